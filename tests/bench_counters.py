"""cocotb tests of the performance counters against sums of what was sent."""

import random

import cocotb
from cocotb.triggers import FallingEdge
from cocotb_bench import start

from narrows.hw.control.counters import BLOCKS, NAMES, WORDS

#: Cycles from ``block`` or ``clear`` to ``blocks``, and from ``block`` to the first cycle in which its account's first word can be
#: asked for; the others follow.
COUNT_LATENCY, WORD_LATENCY = 2, 4


async def account(dut, rng: random.Random, blocks: int) -> list[list[int]]:
    """Events of so many blocks; what each counted. A block's last cycle is the one before ``block``."""
    sums, now = [], [0] * len(NAMES)
    for _ in range(blocks):
        for cycle in range(rng.choice((WORDS, WORDS, rng.randint(WORDS, 60)))):
            dut.block.value = int(cycle == 0 and bool(sums))
            dut.run.value = run = int(rng.random() < 0.8)
            dut.events.value = events = rng.getrandbits(len(NAMES))
            now = [count + (run & events >> n & 1) for n, count in enumerate(now)]
            await FallingEdge(dut.clk)
        sums.append(now)
        now = [0] * len(NAMES)
    await close(dut)
    return sums


async def close(dut) -> None:
    """The end of the last block, up to when its first word can be asked for."""
    before = int(dut.blocks.value)
    dut.block.value, dut.run.value, dut.index.value = 1, 0, 0
    for cycle in range(1, WORD_LATENCY + 1):
        await FallingEdge(dut.clk)
        dut.block.value = 0
        assert int(dut.blocks.value) == min(before + (cycle >= COUNT_LATENCY), BLOCKS)


async def read_back(dut, sums: list[list[int]]) -> None:
    """One index per cycle, the values two cycles later."""
    expected = [count for block in sums for count in [*block, *[0] * (WORDS - len(block))]]
    for cycle in range(len(expected) + 2):
        if cycle >= 2:
            assert int(dut.value.value) == expected[cycle - 2], f"block {(cycle - 2) // WORDS}, counter {(cycle - 2) % WORDS}"
        dut.index.value = min(cycle, len(expected) - 1)
        await FallingEdge(dut.clk)


async def clear(dut, rng: random.Random) -> None:
    """Events and a block's end in the cycle of a clear are forgotten with the rest."""
    dut.clear.value, dut.run.value, dut.events.value, dut.block.value = 1, 1, (1 << len(NAMES)) - 1, rng.getrandbits(1)
    await FallingEdge(dut.clk)
    dut.clear.value = dut.run.value = dut.block.value = 0
    for _ in range(COUNT_LATENCY - 1):
        await FallingEdge(dut.clk)
    assert int(dut.blocks.value) == 0


@cocotb.test()
async def accounts(dut) -> None:
    for name in ("clear", "run", "events", "block", "index"):
        getattr(dut, name).value = 0
    await start(dut)
    rng = random.Random(1)
    for blocks in (1, 5, 0, 40, BLOCKS, BLOCKS + 3, 2):
        if blocks:
            sums = await account(dut, rng, blocks)
            assert int(dut.blocks.value) == min(blocks, BLOCKS)
            await read_back(dut, sums[:BLOCKS])
        for _ in range(rng.randint(0, 30)):
            dut.events.value, dut.run.value = rng.getrandbits(len(NAMES)), 1
            await FallingEdge(dut.clk)
        await clear(dut, rng)


@cocotb.test()
async def wide(dut) -> None:
    """A count passes 2^16 within one block."""
    for name in ("clear", "block", "index"):
        getattr(dut, name).value = 0
    await start(dut)
    dut.run.value, dut.events.value = 1, 1
    for _ in range(70_000):
        await FallingEdge(dut.clk)
    await close(dut)
    await read_back(dut, [[70_000, *[0] * (len(NAMES) - 1)]])
