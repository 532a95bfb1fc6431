"""cocotb tests of the SDRAM controller, with the strict chip model at its pins."""

import json
import os
import random
from dataclasses import dataclass

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge
from cocotb_bench import PATTERNS, Source, all_patterns, start

from narrows.sim.sdram_chip import SdramChip, SdramParameters

PARAMETERS = SdramParameters(**json.loads(os.environ["SDRAM"]))
MAX_LENGTH = int(os.environ["MAX_LENGTH"])
LENGTH_BITS = MAX_LENGTH.bit_length()
IO_LATENCY = int(os.environ["IO_LATENCY"])
DATA_BITS = int(os.environ["DATA_BITS"])
ADDRESS_BITS = PARAMETERS.row_bits + PARAMETERS.bank_bits + PARAMETERS.column_bits
ROW = 1 << PARAMETERS.column_bits


@dataclass(frozen=True)
class Request:
    """A request, as on the port."""

    address: int
    length: int
    write: bool = False

    def bits(self) -> int:
        return self.address | self.length << ADDRESS_BITS | int(self.write) << ADDRESS_BITS + LENGTH_BITS


class Bench:
    """The chip at the pins, a source of requests and one of words, and the words that come back."""

    def __init__(self, dut, *, idle: str = "always", write_idle: str = "always") -> None:
        self.dut = dut
        self.chip = SdramChip(PARAMETERS, DATA_BITS)
        self.chip.memory[:] = 0xDEAD
        self.requests = Source(dut, "request", idle=idle)
        self.writes = Source(dut, "write", idle=write_idle)
        self.words: list[int] = []
        self.cycles: list[int] = []  # in which each word read came
        self.commands: list[int] = []  # in which the chip saw a READ or WRITE
        self.refreshes: list[int] = []
        self.cycle = 0
        self.expected: list[int] = []
        self.reference = self.chip.memory.copy()
        self._random = random.Random(1)
        cocotb.start_soon(self._run())

    def send(self, requests) -> None:
        """Queue `requests`, with random words to write, and note what they should read and write."""
        for request in requests:
            where = np.arange(request.address, request.address + request.length) % len(self.reference)
            if request.write:
                words = [self._random.getrandbits(DATA_BITS) for _ in where]
                self.reference[where] = words
                self.writes.send(words)
            else:
                self.expected += self.reference[where].tolist()
            self.requests.send([request.bits()])

    async def done(self, *, timeout: int = 200_000) -> None:
        """Wait until everything has been read and written; nothing else may come, nothing be wrong."""
        for _ in range(timeout):
            if not self.requests.words and not self.writes.words and len(self.words) >= len(self.expected):
                break
            await FallingEdge(self.dut.clk)
        for _ in range(40):
            await FallingEdge(self.dut.clk)
        assert not self.requests.words and not self.writes.words, "the controller stopped"
        assert self.words == self.expected
        assert np.array_equal(self.chip.memory, self.reference)

    async def _run(self) -> None:
        dut = self.dut
        names = ("cke", "cs_n", "ras_n", "cas_n", "we_n", "ba", "a", "dqm", "dq_o", "dq_oe")
        pins = [(name.removesuffix("_o"), getattr(dut, f"pins__{name}")) for name in names]
        ready, cs_n, dq_oe, dq_i = dut.ready, dut.pins__cs_n, dut.pins__dq_oe, dut.pins__dq_i
        valid, payload = dut.read__valid, dut.read__payload
        outward: list[dict[str, int]] = []  # registers of the board, half of them on the way out
        inward = [0] * (IO_LATENCY // 2)
        while True:
            await ReadOnly()
            sampled = {}  # what a pin that is not named has when nothing happens; reading pins is what takes time
            if not int(cs_n.value) or int(dq_oe.value) or not int(ready.value):
                sampled = {name: int(pin.value) for name, pin in pins}
            outward.append(sampled)
            came = int(valid.value)
            word = int(payload.value) if came else 0
            await RisingEdge(dut.clk)
            if came:
                self.words.append(word)
                self.cycles.append(self.cycle)
            if len(outward) > IO_LATENCY - IO_LATENCY // 2:
                seen = outward.pop(0)
                if seen and not seen["cs_n"] and seen["ras_n"] and not seen["cas_n"]:
                    self.commands.append(self.cycle)
                elif seen and not seen["cs_n"] and not seen["ras_n"] and not seen["cas_n"] and seen["we_n"]:
                    self.refreshes.append(self.cycle)
                self.chip.posedge(self.cycle, **seen)
                assert not self.chip.violated, self.chip.message
                inward.append(self.chip.dq)
            await FallingEdge(dut.clk)
            dq_i.value = inward.pop(0) if len(inward) > IO_LATENCY // 2 else 0
            self.cycle += 1


async def bench(dut, **patterns) -> Bench:
    """Reset, and wait until the controller is ready."""
    await start(dut)
    made = Bench(dut, **patterns)
    for _ in range(PARAMETERS.power_up_cycles + 400):
        await FallingEdge(dut.clk)
        if dut.ready.value:
            return made
    raise AssertionError("the controller never became ready")


def random_requests(count: int, *, longest: int, seed: int = 0) -> list[Request]:
    """Reads and writes that often meet in rows and banks, cross rows, and wrap at the end of the memory."""
    rng = random.Random(seed)
    size = 1 << ADDRESS_BITS
    made = []
    for _ in range(count):
        row = rng.choice([0, 0, 1, 2, 3, 4, 5, 8, 9, size // ROW - 1])
        address = row * ROW + rng.choice([0, rng.randrange(ROW), ROW - 1 - rng.randrange(8)])
        length = rng.choice([1, 2, 3, rng.randint(1, longest), rng.randint(1, longest)])
        made.append(Request(address, length, rng.random() < 0.5))
    return made


@cocotb.test()
@all_patterns
async def random_traffic(dut, idle: str, pressure: str) -> None:
    """Requests come with `idle`, words to write with `pressure`: a hole in them is a hole, nothing more."""
    made = await bench(dut, idle=idle, write_idle=pressure)
    seed = list(PATTERNS).index(idle) * len(PATTERNS) + list(PATTERNS).index(pressure)
    made.send(random_requests(60, longest=min(24, MAX_LENGTH), seed=seed))
    await made.done()


@cocotb.test()
async def long_requests(dut) -> None:
    made = await bench(dut)
    made.send(random_requests(30, longest=MAX_LENGTH, seed=5))
    await made.done()


@cocotb.test()
async def linear_read(dut) -> None:
    """A linear stream of reads of 256 words keeps 97 % of the bus, refreshes and rows included."""
    made = await bench(dut)
    made.send(Request(256 * index, 256) for index in range(128))
    await made.done()
    taken = made.commands[-1] - made.commands[0] + 1
    efficiency = len(made.commands) / taken
    dut._log.info("linear read: %.2f %% of peak", 100 * efficiency)
    assert efficiency >= 0.97


@cocotb.test()
async def linear_write(dut) -> None:
    made = await bench(dut)
    made.send(Request(256 * index, 256, True) for index in range(80))
    await made.done()
    efficiency = len(made.commands) / (made.commands[-1] - made.commands[0] + 1)
    dut._log.info("linear write: %.2f %% of peak", 100 * efficiency)
    assert efficiency >= 0.97


@cocotb.test()
async def random_reads(dut) -> None:
    """Reads of 32 words anywhere: the row of the next one is opened during the current one, unless banks collide."""
    made = await bench(dut)
    rng = random.Random(3)
    requests = [Request(rng.randrange(1 << ADDRESS_BITS), 32) for _ in range(300)]
    made.send(requests)
    await made.done()
    taken = made.commands[-1] - made.commands[0] + 1
    overhead = (taken - len(made.commands)) / len(requests)
    gaps = [after - before - 1 for before, after in zip(made.commands, made.commands[1:], strict=False)]
    dut._log.info("random reads: %.1f cycles overhead per request of 32 words, longest gap %d", overhead, max(gaps))
    assert overhead <= 5


@cocotb.test()
async def same_bank(dut) -> None:
    """The worst case: each request needs another row of the same bank."""
    made = await bench(dut)
    rows = ROW << PARAMETERS.bank_bits
    made.send(Request(rows * (index % 7), 32) for index in range(100))
    await made.done()
    gaps = [after - before - 1 for before, after in zip(made.commands, made.commands[1:], strict=False)]
    typical = sorted(gap for gap in gaps if gap)[50]
    dut._log.info("row miss in the same bank: %d idle cycles", typical)
    assert typical == int(os.environ["ROW_MISS"])  # tRP + tRCD + 1


@cocotb.test()
async def latency(dut) -> None:
    """From a request on an idle controller to its first word: bank closed, row open, another row open."""
    made = await bench(dut)
    measured = []
    for address in (0, 5, ROW << PARAMETERS.bank_bits):
        for _ in range(20):
            await FallingEdge(dut.clk)
        made.send([Request(address, 1)])
        await FallingEdge(dut.clk)  # the source offers it after this edge
        begun = made.cycle
        await made.done()
        measured.append(made.cycles[-1] - begun)
    dut._log.info("latency: %s cycles (bank closed, row open, row miss)", measured)
    expected = [int(value) for value in os.environ["LATENCIES"].split()]
    assert measured == expected, f"{measured} is not {expected}"


@cocotb.test()
async def long_idle_then_busy(dut) -> None:
    """Refresh keeps its average with and without requests, and one at a time when idle."""
    made = await bench(dut)
    interval = PARAMETERS.t_refi_ps // PARAMETERS.period_ps
    for _ in range(12 * interval):
        await FallingEdge(dut.clk)
    assert len(made.refreshes) - PARAMETERS.power_up_refreshes in (11, 12)
    made.send(random_requests(200, longest=min(200, MAX_LENGTH), seed=8))
    await made.done()


@cocotb.test()
async def starved_write(dut) -> None:
    """A WRITE that waits for its words, however long, does not hold refreshes back; nor the row they go to."""
    made = await bench(dut)
    interval = PARAMETERS.t_refi_ps // PARAMETERS.period_ps
    made.requests.send([Request(ROW - 4, 8, True).bits(), Request(ROW * 9, 4, True).bits()])
    for index in range(12):
        if index in (1, 5, 9):
            for _ in range(10 * interval):
                await FallingEdge(dut.clk)
        made.writes.send([index])
        made.reference[ROW - 4 + index if index < 8 else ROW * 9 + index - 8] = index
    await made.done()
    assert len(made.refreshes) >= 30


@cocotb.test()
async def counters(dut) -> None:
    made = await bench(dut)
    made.send(random_requests(50, longest=min(30, MAX_LENGTH), seed=2))
    await made.done()
    for _ in range(8):
        await FallingEdge(dut.clk)
    assert int(dut.words.value) == len(made.commands)
    assert int(dut.refreshes.value) == len(made.refreshes)
    assert int(dut.activates.value) > 0


