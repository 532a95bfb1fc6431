"""cocotb tests of reader, writer and arbiter with the SDRAM controller and the strict chip model."""

import json
import os
import random

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge
from cocotb_bench import Sink, Source, finish, start

from narrows.sim.sdram_chip import SdramChip, SdramParameters

PARAMETERS = SdramParameters(**json.loads(os.environ["SDRAM"]))
READERS, WRITERS = int(os.environ["READERS"]), int(os.environ["WRITERS"])
BURST = int(os.environ["BURST"])
INPUTS = ("cs_n", "ras_n", "cas_n", "we_n", "ba", "a", "dqm", "dq_o", "dq_oe", "cke")

#: Words of memory that belong to one client in the test of all of them.
REGION = 1 << 14


class Bench:
    """The chip at the pins, a sink per reader and a source per writer."""

    def __init__(self, dut, *, idle: str, pressure: str) -> None:
        self.dut = dut
        self.chip = SdramChip(PARAMETERS, 16)
        self.chip.memory[: 64 * REGION] = np.random.default_rng(3).integers(0, 1 << 16, 64 * REGION)
        self.read_cycles: list[int] = []
        self.write_cycles: list[int] = []
        self.sinks = [Sink(dut, f"reader{i}__o", pressure=pressure, seed=i) for i in range(READERS)]
        self.sources = [Source(dut, f"writer{i}__i", idle=idle, seed=i) for i in range(WRITERS)]
        cocotb.start_soon(self._run())

    async def _run(self) -> None:
        pins = {name.removesuffix("_o"): getattr(self.dut, f"pins__{name}") for name in INPUTS}
        for cycle in range(1 << 30):
            await ReadOnly()
            seen = {name: int(pin.value) for name, pin in pins.items()}
            if self.dut.read_words.value:
                self.read_cycles.append(cycle)
            if self.dut.write_words.value:
                self.write_cycles.append(cycle)
            await RisingEdge(self.dut.clk)
            self.chip.posedge(cycle, **seen)
            assert not self.chip.violated, self.chip.message
            await FallingEdge(self.dut.clk)
            self.dut.pins__dq_i.value = self.chip.dq

    async def transfer(self, name: str, address: int, words: int) -> None:
        """Start a client at a word's address, wait until it is done."""
        port = {field: getattr(self.dut, f"{name}__{field}") for field in ("start", "address", "words", "done")}
        await FallingEdge(self.dut.clk)
        assert port["done"].value == 1
        port["start"].value, port["address"].value, port["words"].value = 1, 2 * address, words
        await FallingEdge(self.dut.clk)
        port["start"].value = 0
        for _ in range(200_000):
            if port["done"].value == 1:
                return
            await FallingEdge(self.dut.clk)
        raise AssertionError(f"{name} is not done")

    async def read(self, index: int, address: int, words: int, expected: list[int] | None = None) -> None:
        if expected is None:
            expected = self.chip.memory[address : address + words].tolist()
        await self.transfer(f"reader{index}", address, words)
        assert await self.sinks[index].take(words) == expected

    async def write(self, index: int, address: int, words: list[int]) -> None:
        self.sources[index].send(words)
        await self.transfer(f"writer{index}", address, len(words))


async def bench(dut, *, idle: str = "always", pressure: str = "always") -> Bench:
    for name in [f"reader{i}" for i in range(READERS)] + [f"writer{i}" for i in range(WRITERS)]:
        for field in ("start", "address", "words"):
            getattr(dut, f"{name}__{field}").value = 0
    dut.pins__dq_i.value = 0
    await start(dut)
    return Bench(dut, idle=idle, pressure=pressure)


def efficiency(cycles: list[int]) -> float:
    return len(cycles) / (cycles[-1] - cycles[0] + 1)


@cocotb.test()
async def linear_read(dut) -> None:
    """One reader keeps the bus busy, refreshes and rows included."""
    made = await bench(dut)
    await made.read(0, 77, 160 * BURST)
    dut._log.info("linear read: %.2f %% of peak", 100 * efficiency(made.read_cycles))
    assert efficiency(made.read_cycles) >= float(os.environ["LEAST"])


@cocotb.test()
async def linear_write(dut) -> None:
    """So does one writer; its words come as fast as they leave."""
    made = await bench(dut)
    await made.write(0, 77, [i & 0xFFFF for i in range(80 * BURST)])
    dut._log.info("linear write: %.2f %% of peak", 100 * efficiency(made.write_cycles))
    assert efficiency(made.write_cycles) >= float(os.environ["LEAST"])


@cocotb.test()
async def two_readers(dut) -> None:
    """Two linear readers together: bursts of either follow each other without a hole but for rows of one bank."""
    made = await bench(dut)
    tasks = [cocotb.start_soon(made.read(i, i * REGION + 77, 60 * BURST)) for i in range(READERS)]
    for task in tasks:
        await task
    dut._log.info("all readers: %.2f %% of peak", 100 * efficiency(made.read_cycles))
    assert efficiency(made.read_cycles) >= 0.85


@cocotb.test()
@cocotb.parametrize(idle=["always", "bursts", "rare"], pressure=["always", "bursts"])
async def all_clients(dut, idle: str, pressure: str) -> None:
    """Readers and writers at once never see each other's words; then the words written are read."""
    made = await bench(dut, idle=idle, pressure=pressure)
    rng = random.Random(f"{idle} {pressure}")

    def places(client: int) -> list[tuple[int, int]]:
        sizes = [0, 1, BURST, rng.randrange(4 * BURST), rng.randrange(4 * BURST)]
        rng.shuffle(sizes)
        return [(client * REGION + rng.randrange(REGION - size), size) for size in sizes]

    async def reads(index: int) -> None:
        for address, words in places(index):
            await made.read(index, address, words)

    async def writes(index: int) -> None:
        for address, words in places(READERS + index):
            data = [rng.getrandbits(16) for _ in range(words)]
            await made.write(index, address, data)
            await made.read(READERS - 1, address, words, data)  # the last words are still on their way to the chip
            assert made.chip.memory[address : address + words].tolist() == data

    tasks = [cocotb.start_soon(reads(index)) for index in range(READERS - 1)]
    tasks += [cocotb.start_soon(writes(index)) for index in range(1)]
    for task in tasks:
        await task
    await finish(dut, made.sources, made.sinks)
