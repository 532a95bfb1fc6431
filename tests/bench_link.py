"""cocotb tests of the link: the same bytes to the gateware and to the model, the same replies, writes and memory afterwards."""

import os
import random
from collections import deque

import cocotb
from cocotb.triggers import ClockCycles, FallingEdge, ReadOnly
from cocotb_bench import Sink, Source, all_patterns, cases, finish, start
from link_model import (
    BUSY,
    CHECKSUM,
    CONTROL,
    COUNTER,
    HELLO,
    OK,
    READ_COUNTER,
    READ_MEMORY,
    READ_REGISTER,
    WRITE_MEMORY,
    WRITE_REGISTER,
    BoardModel,
    Deframer,
    command,
    framed,
)  # fmt: skip

os.environ.update(READERS="1", WRITERS="1", BURST="16", DEPTH="32")
from bench_dma import Memory

#: External memory in these tests: what the model keeps of it, at the lower and at the upper end.
MEMORY_BYTES, KEPT = 1 << 25, 1 << 14


class Registers:
    """256 registers; the one at ``COUNTER`` shows what it should of the number in the one before. ``log``: all writes."""

    def __init__(self) -> None:
        self.values = [(37 * n + 11) * 0x01030507 & 0xFFFFFFFF for n in range(256)]
        self.log: list[tuple[int, int]] = []

    def read(self, address: int) -> int:
        if address == COUNTER:
            return (self.values[COUNTER - 1] * 0x9E3779B1 + 5) & 0xFFFFFFFF
        return self.values[address]

    def write(self, address: int, value: int) -> None:
        self.values[address] = value
        self.log.append((address, value))


async def serve_registers(dut, registers: Registers) -> None:
    """The register port: what is at ``address`` shows two cycles later, a counter four more."""
    values: deque[int] = deque([0, 0])
    counters: deque[int] = deque([registers.read(COUNTER)] * 5)
    while True:
        await ReadOnly()
        address = int(dut.bus__address.value)
        if dut.bus__write.value:
            registers.write(address, int(dut.bus__write_data.value))
        counters.append(registers.read(COUNTER))
        late = counters.popleft()
        values.append(late if address == COUNTER else registers.read(address))
        await FallingEdge(dut.clk)
        dut.bus__read_data.value = values.popleft()


class Bench:
    """The gateware, the model, and what is compared of them."""

    def __init__(self, dut, *, idle: str = "always", pressure: str = "always", pattern: str = "half") -> None:
        self.dut = dut
        self.source, self.sink = Source(dut, "i", idle=idle), Sink(dut, "o", pressure=pressure)
        self.memory = Memory(dut, pattern=pattern)
        self.registers, self.expected_registers = Registers(), Registers()
        contents = bytearray(MEMORY_BYTES)
        for place in (range(KEPT // 2), range((MEMORY_BYTES - KEPT) // 2, MEMORY_BYTES // 2)):
            for word in place:
                contents[2 * word : 2 * word + 2] = self.memory.at(word).to_bytes(2, "little")
        self.model = BoardModel(
            memory=contents, read_register=self.expected_registers.read, write_register=self.expected_registers.write,
            busy=lambda: bool(int(dut.busy.value)), status=lambda: int(dut.status.value),
        )
        cocotb.start_soon(serve_registers(dut, self.registers))

    async def same(self, data: bytes) -> bytes:
        """Send ``data`` to both; the replies, which must be the same."""
        expected = self.model.receive(data)
        self.source.send(data)
        await self.source.drained()
        replies = bytes(await self.sink.take(len(expected), timeout=60_000))
        assert replies == expected, f"{replies.hex(' ')} instead of {expected.hex(' ')}"
        return replies

    async def end(self) -> None:
        """Nothing is left to come, and registers and memory are the model's."""
        await finish(self.dut, [self.source], [self.sink], cycles=3000)
        assert self.registers.log == self.expected_registers.log
        for word, value in self.memory.contents.items():
            assert value == int.from_bytes(self.model.memory[2 * word : 2 * word + 2], "little"), f"word {word:x}"


async def prepare(dut, **patterns: str) -> Bench:
    for name, value in (("busy", 0), ("hold", 0), ("status", 1), ("error", 0), ("bus__read_data", 0)):
        getattr(dut, name).value = value
    await start(dut)
    return Bench(dut, **patterns)


def address(rng: random.Random, size: int) -> int:
    """An even address of ``size`` bytes at one of the ends of memory."""
    return rng.choice((0, MEMORY_BYTES - KEPT)) + rng.randrange(0, KEPT - size + 1, 2)


def good_command(rng: random.Random, sequence: int, *, most: int = 80) -> bytes:
    """Some command that makes sense."""
    number = rng.choice((READ_REGISTER, WRITE_REGISTER, READ_MEMORY, WRITE_MEMORY, WRITE_MEMORY, CHECKSUM, READ_COUNTER))
    if number in (READ_MEMORY, WRITE_MEMORY, CHECKSUM):
        size = rng.randrange(2, most + 1, 2)
        data = bytes(rng.choice((0x7D, 0x7E, rng.getrandbits(8))) for _ in range(size))
        return command(sequence, number, address(rng, size), size, data if number == WRITE_MEMORY else b"")
    if number == READ_COUNTER:
        return command(sequence, number, rng.randrange(1024))
    return command(sequence, number, rng.randrange(256), rng.getrandbits(32) if number == WRITE_REGISTER else 0)


@cocotb.test()
@all_patterns
async def patterns(dut, idle: str, pressure: str) -> None:
    """Commands of every kind, one after the other and several in flight."""
    bench, rng = await prepare(dut, idle=idle, pressure=pressure, pattern=idle), random.Random(f"{idle}{pressure}")
    first = rng.randrange(256)
    await bench.same(framed(command(first, HELLO, rng.getrandbits(32))))
    await bench.same(b"".join(framed(good_command(rng, first + n, most=24)) for n in range(1, 9)))
    await bench.end()


@cocotb.test()
async def example(dut) -> None:
    """The bytes of the specification."""
    bench = await prepare(dut)
    for sent, answered in cases():
        assert await bench.same(bytes.fromhex(sent)) == bytes.fromhex(answered)
    await bench.end()


@cocotb.test()
async def long_frames(dut) -> None:
    """The longest data, as many in flight as there is room for; nothing but escaped bytes; a checksum of more than a frame."""
    bench, rng = await prepare(dut, pattern="bursts"), random.Random(7)
    await bench.same(framed(command(0, HELLO)))
    frames = [command(n, WRITE_MEMORY, 1024 * n, 1024, rng.randbytes(1024)) for n in (1, 2, 3)]
    await bench.same(b"".join(framed(frame) for frame in frames))
    await bench.same(framed(command(4, WRITE_MEMORY, MEMORY_BYTES - 1024, 1024, b"\x7d\x7e" * 512)))
    await bench.same(b"".join(framed(command(n, READ_MEMORY, 1024 * (n - 5), 1024)) for n in range(5, 10)))
    await bench.same(framed(command(10, CHECKSUM, 0, KEPT)) + framed(command(11, CHECKSUM, MEMORY_BYTES - 2, 2)))
    await bench.same(b"".join(framed(command(12 + n, READ_REGISTER, n)) for n in range(16)))
    await bench.end()


@cocotb.test()
async def refused(dut) -> None:
    """Commands that make no sense, in sequence, each followed by one that does."""
    bench, rng = await prepare(dut), random.Random(9)
    await bench.same(framed(command(9, READ_REGISTER, 8)) + framed(command(255, HELLO, 77)))
    wrong = [
        command(0, READ_REGISTER, 256), command(0, WRITE_REGISTER, 1 << 31), command(0, 7), command(0, 255, 2, 2, b"xx"),
        command(0, READ_MEMORY, 1, 2), command(0, READ_MEMORY, 0, 3), command(0, READ_MEMORY, 0, 0), command(0, READ_MEMORY, 0, 1026),
        command(0, READ_MEMORY, MEMORY_BYTES, 2), command(0, READ_MEMORY, MEMORY_BYTES - 2, 4), command(0, READ_MEMORY, 1 << 31, 2),
        command(0, WRITE_MEMORY, 0, 4, b"two"), command(0, WRITE_MEMORY, 0, 4, b"four+"), command(0, WRITE_MEMORY, 0, 4),
        command(0, WRITE_MEMORY, MEMORY_BYTES - 2, 4, b"four"), command(0, WRITE_MEMORY, 0, 2052, b"four"),
        command(0, CHECKSUM, 0, 0), command(0, CHECKSUM, 0, MEMORY_BYTES + 2), command(0, CHECKSUM, 2, MEMORY_BYTES),
        command(0, CHECKSUM, 0, 1 << 31), command(0, CHECKSUM, 0, 7), command(0, READ_REGISTER, 5, 0, b"more"),
        command(0, HELLO, 5, 0, b"more"), command(0, READ_COUNTER, 5, 0, b"x"),
    ]
    for n, frame in enumerate(wrong):
        await bench.same(framed(bytes([2 * n & 255]) + frame[1:]) + framed(good_command(rng, 2 * n + 1, most=12)))
    await bench.end()


@cocotb.test()
async def repeated(dut) -> None:
    """The last 16 commands are answered again, in any order; writes are not done again, reads are; others are out of order."""
    bench, rng = await prepare(dut), random.Random(11)
    first = 250
    await bench.same(framed(command(first, HELLO, 3)))
    sent = {}
    for n in range(1, 60):
        sent[n] = good_command(rng, first + n, most=8)
        await bench.same(framed(sent[n]))
        for _ in range(rng.randrange(3)):
            other = max(1, n - rng.choice((0, 1, 2, 15, 16, 17, 40)))
            await bench.same(framed(sent[other]))
        if rng.random() < 0.3:
            await bench.same(framed(good_command(rng, first + n + rng.choice((2, 3, 20, 128)), most=8)))
        if n == 30:  # a new session knows nothing of the one before
            first = first + n - 35
            await bench.same(framed(command(first + n, HELLO, 4)) + framed(sent[29]))
    await bench.end()


@cocotb.test()
async def starts(dut) -> None:
    """A start is carried out once, and refused while busy; a repetition is answered as the first time, whatever is now."""
    bench = await prepare(dut)
    await bench.same(framed(command(0, HELLO)))
    begin = [command(n, WRITE_REGISTER, CONTROL, 1 if n < 3 else 2) for n in range(5)]
    await bench.same(framed(begin[1]))
    dut.busy.value, dut.status.value = 1, 3
    await FallingEdge(dut.clk)
    await bench.same(framed(begin[1]) + framed(begin[1]))
    reply = await bench.same(framed(begin[2]))
    assert Deframer(shortest=9).feed(reply)[0][2] == BUSY
    await bench.same(framed(begin[3]))  # a reset is no start
    dut.busy.value, dut.status.value = 0, 5
    await FallingEdge(dut.clk)
    reply = await bench.same(framed(begin[2]))
    assert Deframer(shortest=9).feed(reply)[0][2] == BUSY
    reply = await bench.same(framed(begin[1]))
    assert Deframer(shortest=9).feed(reply)[0][2] == OK
    assert bench.registers.log == [(CONTROL, 1), (CONTROL, 2)]
    await bench.end()


@cocotb.test()
async def held(dut) -> None:
    """No command begins while the engine is being reset."""
    bench = await prepare(dut)
    await bench.same(framed(command(0, HELLO)))
    dut.hold.value = 1
    frame = framed(command(1, READ_MEMORY, 0, 8))
    bench.source.send(frame)
    await ClockCycles(dut.clk, 2000)
    assert not bench.sink.words and not bench.memory.requests
    dut.hold.value = 0
    expected = bench.model.receive(frame)
    assert bytes(await bench.sink.take(len(expected))) == expected
    await bench.end()


@cocotb.test()
async def line_errors(dut) -> None:
    """A byte that was lost spoils its frame and no other."""
    bench = await prepare(dut)
    await bench.same(framed(command(0, HELLO)))
    frame = framed(command(1, WRITE_MEMORY, 64, 4, b"abcd"))
    for place in (1, 2, 9, len(frame) - 1):
        bench.source.send(frame[:place])
        await bench.source.drained()
        await ClockCycles(dut.clk, 8)
        dut.error.value = 1
        await ClockCycles(dut.clk, 1)
        dut.error.value = 0
        bench.source.send(frame[place:])
        await bench.source.drained()
        await ClockCycles(dut.clk, 1000)
        assert not bench.sink.words and not bench.memory.contents
    await bench.same(frame)
    await bench.end()


@cocotb.test()
async def too_much(dut) -> None:
    """More than there is room for while nobody takes the replies: what is dropped is dropped whole, and all goes on after it."""
    bench, rng = await prepare(dut, pressure="always"), random.Random(13)
    await bench.same(framed(command(0, HELLO)))
    bench.sink._active = iter([False] * 45_000 + [True] * 10_000_000)
    frames = [command(n, WRITE_MEMORY, 1024 * n, 1024, rng.randbytes(1024)) for n in range(1, 8)]
    bench.source.send(b"".join(framed(frame) for frame in frames))
    await bench.source.drained()
    await ClockCycles(dut.clk, 60_000)
    replies = Deframer(shortest=9).feed(bytes(bench.sink.words))
    bench.sink.words.clear()
    assert 3 <= len(replies) < 7 and [reply[0] for reply in replies] == list(range(1, len(replies) + 1))
    for frame in frames[: len(replies)]:
        bench.model.receive(framed(frame))
    await bench.same(b"".join(framed(frame) for frame in frames[len(replies) : len(replies) + 2]))
    await bench.end()


def damaged(rng: random.Random, data: bytes) -> bytes:
    """``data`` with a few bytes changed, lost, doubled, put in or cut off."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        place = rng.randrange(len(data) + 1)
        value = rng.choice((0x7E, 0x7D, 0x5E, rng.getrandbits(8)))
        match rng.randrange(5):
            case 0:
                data[place : place + 1] = bytes([value])
            case 1:
                del data[place : place + 1]
            case 2:
                data[place:place] = data[place : place + rng.randrange(20)]
            case 3:
                data[place:place] = bytes([value])
            case 4:
                del data[place : place + rng.randrange(40)]
    return bytes(data)


@cocotb.test()
async def noise(dut) -> None:
    """Damaged frames have no effect but what the model says, and a good one after them is answered."""
    bench, rng = await prepare(dut, idle="half", pressure="half"), random.Random(int(os.environ.get("SEED", "17")))
    sequence = 100
    await bench.same(framed(command(sequence, HELLO)))
    for _ in range(150):
        frames = [good_command(rng, sequence + n + 1, most=20) for n in range(rng.randint(1, 3))]
        data = damaged(rng, b"".join(framed(frame) for frame in frames))
        if rng.random() < 0.2:
            data += rng.randbytes(rng.randrange(30))
        before = len(bench.model.done)
        await bench.same(data)
        sequence += len(bench.model.done) - before
        sequence += 1
        frame = good_command(rng, sequence, most=8)
        reply = await bench.same(framed(frame))
        assert Deframer(shortest=9).feed(reply)[-1][:3] == bytes([sequence & 255, frame[1] ^ 0x80, OK])
    await bench.end()


@cocotb.test()
async def sizes(dut) -> None:
    """Frames around the shortest and the longest."""
    bench = await prepare(dut)
    await bench.same(framed(command(0, HELLO)))
    for size in (0, 1, 4, 5, 9, 10, 11, 1033, 1034, 1035, 1040, 2500):
        await bench.same(framed(bytes([1, 4] + [0] * 2500)[:size]))
    await bench.same(framed(command(bench.model._expected, READ_REGISTER, 3)) * 2)
    await bench.same(b"\x7e\x00\x00\x00\x00\x7e" + framed(command(bench.model._expected, READ_REGISTER, 4))[1:])
    await bench.end()
