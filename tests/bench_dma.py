"""cocotb tests of reader, writer and arbiter in front of a plain memory that serves requests in order."""

import itertools
import os
import random
from collections import deque

import cocotb
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge
from cocotb.utils import get_sim_time
from cocotb_bench import PATTERNS, Sink, Source, all_patterns, cases, finish, start, unpack

from narrows.hw.dram.arbiter import ControllerBurst
from narrows.hw.parts.queue import Queue

READERS, WRITERS = int(os.environ["READERS"]), int(os.environ["WRITERS"])
BURST, DEPTH = int(os.environ["BURST"]), int(os.environ["DEPTH"])


class Memory:
    """Serves requests one by one: a word in each cycle that ``pattern`` allows, read ones ``latency`` cycles later."""

    def __init__(self, dut, *, pattern: str = "always", latency: int = 8, seed: int = 1) -> None:
        self.contents: dict[int, int] = {}
        self.requests: list[tuple[int, int, int]] = []  # address, length, write
        self.read_cycles: list[int] = []
        self._dut, self._latency = dut, latency
        self._active = PATTERNS[pattern](random.Random(f"memory {seed}"))
        dut.read__valid.value = 0
        dut.request__ready.value = 0
        dut.write__ready.value = 0
        cocotb.start_soon(self._run())

    def at(self, address: int) -> int:
        """A word: what was written, or else a number that depends on the address in every bit."""
        return self.contents.get(address, (address * 40503 + 12345) >> 3 & 0xFFFF)

    async def _run(self) -> None:
        dut, queue = self._dut, deque()
        words: deque[int | None] = deque([None] * self._latency)
        for cycle in itertools.count():
            active = next(self._active)
            serve = queue[0] if queue and active else None
            if serve and not serve[2]:
                words.append(self.at(serve[0]))
                self._advance(queue)
            else:
                words.append(None)
            word = words.popleft()
            if word is not None:
                self.read_cycles.append(cycle)
            dut.read__valid.value = int(word is not None)
            dut.read__payload.value = word or 0
            dut.request__ready.value = int(len(queue) < 3)
            dut.write__ready.value = int(bool(serve and serve[2]))
            await ReadOnly()
            if dut.write__ready.value and dut.write__valid.value:
                self.contents[serve[0]] = int(dut.write__payload.value)
                self._advance(queue)
            if dut.request__valid.value and dut.request__ready.value:
                burst = unpack(ControllerBurst, int(dut.request__payload.value))
                assert 1 <= burst.length <= BURST
                self.requests.append((burst.address, burst.length, burst.write))
                queue.append([burst.address, burst.length, burst.write])
            await FallingEdge(dut.clk)

    @staticmethod
    def _advance(queue: deque) -> None:
        queue[0][0] += 1
        queue[0][1] -= 1
        if not queue[0][1]:
            queue.popleft()


async def begin(dut, name: str, address: int, words: int) -> None:
    """Start the client ``name`` at a word's address."""
    port = {field: getattr(dut, f"{name}__{field}") for field in ("start", "address", "words", "done")}
    await FallingEdge(dut.clk)
    assert port["done"].value == 1
    port["start"].value, port["address"].value, port["words"].value = 1, 2 * address, words
    await FallingEdge(dut.clk)
    port["start"].value = 0
    assert port["done"].value == int(words == 0)


async def done(dut, name: str, timeout: int = 20_000) -> None:
    for _ in range(timeout):
        await FallingEdge(dut.clk)
        if getattr(dut, f"{name}__done").value == 1:
            return
    raise AssertionError(f"{name} is not done after {timeout} cycles")


async def prepare(dut, *, idle: str, pressure: str, pattern: str) -> tuple:
    for name in [f"reader{i}" for i in range(READERS)] + [f"writer{i}" for i in range(WRITERS)]:
        for field in ("start", "address", "words"):
            getattr(dut, f"{name}__{field}").value = 0
    await start(dut)
    memory = Memory(dut, pattern=pattern)
    sinks = [Sink(dut, f"reader{i}__o", pressure=pressure, seed=i) for i in range(READERS)]
    sources = [Source(dut, f"writer{i}__i", idle=idle, seed=i) for i in range(WRITERS)]
    return memory, sinks, sources


async def read(dut, memory: Memory, index: int, sink: Sink, transfers: list) -> None:
    """One transfer after the other, from a part of memory that nobody writes."""
    for address, words in transfers:
        address += index << 16
        await begin(dut, f"reader{index}", address, words)
        assert await sink.take(words) == [memory.at(address + i) for i in range(words)]
        await done(dut, f"reader{index}")


async def write(dut, memory: Memory, index: int, source: Source, transfers: list, early: bool) -> None:
    """One transfer after the other; ``early``: words come before their transfer begins."""
    rng = random.Random(index)
    for address, words in transfers:
        address += 16 + index << 16
        data = [rng.getrandbits(16) for _ in range(words)]
        if early:
            source.send(data)
        await begin(dut, f"writer{index}", address, words)
        if not early:
            source.send(data)
        await done(dut, f"writer{index}")
        assert [memory.at(address + i) for i in range(words)] == data
        assert not source.words


async def all_at_once(dut, memory: Memory, sinks: list, sources: list, transfers: list, early: bool) -> None:
    """Client ``i`` makes every so many of the transfers."""
    count = READERS + WRITERS
    tasks = [cocotb.start_soon(read(dut, memory, i, sink, transfers[i::count])) for i, sink in enumerate(sinks)]
    tasks += [
        cocotb.start_soon(write(dut, memory, i, source, transfers[READERS + i :: count], early))
        for i, source in enumerate(sources)
    ]
    for task in tasks:
        await task


@cocotb.test()
@all_patterns
async def patterns(dut, idle: str, pressure: str) -> None:
    """Clients and the memory idle; ``idle`` is the pattern of both."""
    memory, sinks, sources = await prepare(dut, idle=idle, pressure=pressure, pattern=idle)
    await all_at_once(dut, memory, sinks, sources, cases()[0]["transfers"], early=False)
    await finish(dut, sources, sinks)


@cocotb.test()
async def transfers(dut) -> None:
    memory, sinks, sources = await prepare(dut, idle="bursts", pressure="bursts", pattern="bursts")
    for number, case in enumerate(cases()):
        await all_at_once(dut, memory, sinks, sources, case["transfers"], early=bool(number % 2))
    await finish(dut, sources, sinks)


@cocotb.test()
async def read_sees_what_was_written(dut) -> None:
    memory, sinks, sources = await prepare(dut, idle="always", pressure="always", pattern="half")
    del memory
    for words in (1, 2, BURST, 3 * BURST + 1):
        data = [i ^ 0x5A5A ^ words for i in range(words)]
        sources[0].send(data)
        await begin(dut, "writer0", 999, words)
        await done(dut, "writer0")
        await begin(dut, "reader0", 999, words)
        assert await sinks[0].take(words) == data
        await done(dut, "reader0")


@cocotb.test()
async def priority(dut) -> None:
    """While all readers have requests, the first one's go first; each request is whole but for the last."""
    memory, sinks, _ = await prepare(dut, idle="always", pressure="always", pattern="always")
    words = 20 * BURST + 3
    tasks = [cocotb.start_soon(read(dut, memory, i, sink, [(0, words)])) for i, sink in enumerate(sinks)]
    for task in tasks:
        await task
    for index in range(READERS):
        mine = [(address - (index << 16), length) for address, length, _ in memory.requests if address >> 16 == index]
        assert mine == [(i, min(BURST, words - i)) for i in range(0, words, BURST)]
    ends = [max(i for i, request in enumerate(memory.requests) if request[0] >> 16 == index) for index in range(READERS)]
    assert ends == sorted(ends)


@cocotb.test()
async def room_is_respected(dut) -> None:
    """Nobody takes the words: no more are asked for than the FIFO holds, and none is lost."""
    memory, sinks, _ = await prepare(dut, idle="always", pressure="rare", pattern="always")
    sinks[0]._active = itertools.chain(itertools.repeat(False, 40 * DEPTH), itertools.repeat(True))
    task = cocotb.start_soon(read(dut, memory, 0, sinks[0], [(0, 4 * DEPTH)]))
    for _ in range(20 * DEPTH):
        await RisingEdge(dut.clk)
    assert sum(length for _, length, _ in memory.requests) == DEPTH
    await task


@cocotb.test(skip=BURST < 32)
async def speed(dut) -> None:
    """One linear reader keeps the memory busy in all cycles but the first ones; so does a writer."""
    memory, sinks, sources = await prepare(dut, idle="always", pressure="always", pattern="always")
    words = 40 * BURST
    await read(dut, memory, 0, sinks[0], [(0, words)])
    assert memory.read_cycles[-1] - memory.read_cycles[0] == words - 1
    sources[0].send(range(words))
    await begin(dut, "writer0", 0, words)
    started = get_sim_time("ns")
    await done(dut, "writer0")
    cycles = (get_sim_time("ns") - started) / 10
    assert words >= 0.97 * cycles, f"{words} words written in {cycles} cycles"


@cocotb.test()
async def latency(dut) -> None:
    """Cycles from the start to the controller's request, and from a word at ``read`` to the reader's ``o``."""
    memory, sinks, sources = await prepare(dut, idle="always", pressure="always", pattern="always")
    await begin(dut, "reader0", 5, 1)
    count = 1  # cycles since the one with the start
    while not dut.request__valid.value:
        await FallingEdge(dut.clk)
        count += 1
    assert count == 6  # four in the reader, two in the arbiter
    while not dut.read__valid.value:
        await FallingEdge(dut.clk)
        await ReadOnly()
    count = 0
    while not dut.reader0__o__valid.value:
        await FallingEdge(dut.clk)
        await ReadOnly()
        count += 1
    assert count == 1 + Queue.LATENCY  # one in the arbiter, the rest in the reader
    assert await sinks[0].take(1) == [memory.at(5)]
    await finish(dut, sources, sinks)
