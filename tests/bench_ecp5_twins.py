"""cocotb tests of components of primitives against their plain twins and against what both should do."""

import random
from collections import deque

import cocotb
from cocotb.triggers import FallingEdge
from cocotb_bench import start
from ecp5_twins import FACTORS, PRODUCTS, RAMS, SHARED

from narrows.hw.parts.block_ram import BlockRam, SharedBlockRam
from narrows.hw.parts.dsp import DspMultiplier
from narrows.hw.parts.multiplier import FACTOR_BITS, FactorMultiplier, Multiplier


def value(dut, name: str) -> int:
    return int(getattr(dut, name).value)


@cocotb.test()
async def memories(dut) -> None:
    """Writes and reads at random, often of the word that is being written or was written a few cycles ago."""
    await start(dut)
    rng = random.Random(6)
    memories = [(f"ram{n}", *size, BlockRam.LATENCY, [0] * size[1]) for n, size in enumerate(RAMS)]
    memories += [(f"shared{n}", *size, SharedBlockRam.LATENCY, [0] * size[1]) for n, size in enumerate(SHARED)]
    coming = {name: deque([(None, None)] * (latency - 1)) for name, _, _, latency, _ in memories}
    for cycle in range(3000):
        for name, width, depth, _, words in memories:
            enable, data = rng.getrandbits(1), rng.choice((0, (1 << width) - 1, rng.getrandbits(width)))
            write = rng.choice((rng.randrange(depth), rng.randrange(min(depth, 6)), depth - 1))
            read = rng.choice((write, rng.randrange(depth), rng.randrange(min(depth, 6)), write ^ 1 if write ^ 1 < depth else write))
            for pin, drive in (("enable", enable), ("write", write), ("value", data), ("read", read)):
                getattr(dut, f"{name}_{pin}").value = drive
            garbled = enable and read == write
            coming[name].append((words[read] ^ ((1 << width) - 1 if garbled else 0), None if enable else words[write]))
            if enable:
                words[write] = data
        await FallingEdge(dut.clk)
        for name, _, _, _, _ in memories:
            expected, aside = coming[name].popleft()
            if expected is not None:
                found = value(dut, f"{name}_chip"), value(dut, f"{name}_plain")
                assert found == (expected, expected), f"cycle {cycle}, {name}"
            if aside is not None and name.startswith("shared"):
                found = value(dut, f"{name}_aside_chip"), value(dut, f"{name}_aside_plain")
                assert found == (aside, aside), f"cycle {cycle}, {name} aside"


def drawn(rng: random.Random, bits: int, signed: bool) -> int:
    """A number, often one at which signs or carries change."""
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return min(max(rng.choice((low, high, 0, 1, -1, low + 1, high - 1, rng.randint(low, high), rng.randint(low, high))), low), high)


@cocotb.test()
async def multipliers(dut) -> None:
    await start(dut)
    rng = random.Random(7)
    units = [(f"dsp{n}", *size, True, DspMultiplier.LATENCY) for n, size in enumerate(FACTORS)]
    units += [(f"product{n}", *size, False, Multiplier.LATENCY) for n, size in enumerate(PRODUCTS)]
    units += [("factor0", FACTOR_BITS, FACTOR_BITS, True, FactorMultiplier.LATENCY)]
    coming = {name: deque([None] * (latency - 1)) for name, _, _, _, latency in units}
    for cycle in range(3000):
        for name, a_bits, b_bits, b_signed, _ in units:
            a, b = drawn(rng, a_bits, True), drawn(rng, b_bits, b_signed)
            getattr(dut, f"{name}_a").value, getattr(dut, f"{name}_b").value = a & (1 << a_bits) - 1, b & (1 << b_bits) - 1
            coming[name].append(a * b & (1 << a_bits + b_bits) - 1)
        await FallingEdge(dut.clk)
        for name, *_ in units:
            expected = coming[name].popleft()
            if expected is not None:
                assert (value(dut, f"{name}_chip"), value(dut, f"{name}_plain")) == (expected, expected), f"cycle {cycle}, {name}"
