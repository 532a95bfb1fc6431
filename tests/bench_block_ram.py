"""cocotb tests of memories of block RAMs against a dictionary, cycle by cycle, with a read and a write in each."""

import os
import random

import cocotb
from cocotb.triggers import FallingEdge
from cocotb_bench import cases, start
from test_block_ram import FORMS

FORM, WIDTH, DEPTH = os.environ["FORM"], int(os.environ["WIDTH"]), int(os.environ["DEPTH"])
LATENCY, SHARED = FORMS[FORM].LATENCY, FORM == "SharedBlockRam"
ALL_ONES = (1 << WIDTH) - 1


async def run(dut, memory: dict[int, int], cycles: list) -> None:
    """Each cycle's answers, ``LATENCY`` cycles later: the word, its inverse while it was being written, nothing if unknown."""
    due: dict[int, dict[str, int]] = {}
    for cycle in range(len(cycles) + LATENCY):
        for port, word in due.pop(cycle, {}).items():
            got = int(getattr(dut, port).value)
            assert got == word, f"cycle {cycle}: {port} is {got:x}, not {word:x}: {cycles}"
        if cycle < len(cycles):
            write, place, word, address = cycles[cycle]
            dut.write_enable.value, dut.write_data.value, dut.address.value = int(write), word, address
            (dut.aside_address if SHARED else dut.write_address).value = place
            answers = due[cycle + LATENCY] = {}
            if address in memory:
                answers["data"] = memory[address] ^ (ALL_ONES if write and place == address else 0)
            if SHARED and not write and place in memory:
                answers["aside_data"] = memory[place]
            if write:
                memory[place] = word
        else:
            dut.write_enable.value = 0
        await FallingEdge(dut.clk)


async def setup(dut) -> None:
    dut.write_enable.value = 0
    await start(dut)


@cocotb.test()
async def drawn(dut) -> None:
    await setup(dut)
    memory: dict[int, int] = {}
    for case in cases():
        await run(dut, memory, case["cycles"])


@cocotb.test()
@cocotb.parametrize(distance=[0, 1, 2, 5])
async def write_to_read(dut, distance: int) -> None:
    """A word is there for addresses of the cycle after its write, not for that of the write itself."""
    await setup(dut)
    rng = random.Random(distance)
    memory: dict[int, int] = {}
    for place in range(min(DEPTH, 4)):
        old, new = rng.getrandbits(WIDTH), rng.getrandbits(WIDTH)
        cycles = [(True, place, old, (place + 1) % DEPTH)] + [(False, place, 0, place)] * 3
        cycles += [(True, place, new, place if distance == 0 else (place + 1) % DEPTH)]
        cycles += [(False, (place + 1) % DEPTH, 0, (place + 1) % DEPTH)] * max(0, distance - 1)
        await run(dut, memory, [*cycles, (False, place, 0, place)])


@cocotb.test()
async def every_word(dut) -> None:
    """All words are there and are different; a word per cycle is written and read."""
    await setup(dut)
    rng = random.Random(1)
    memory: dict[int, int] = {}
    await run(dut, memory, [(True, n, rng.getrandbits(WIDTH), (n - 1) % DEPTH) for n in range(DEPTH)])
    await run(dut, memory, [(False, DEPTH - 1 - n, 0, n) for n in range(DEPTH)])
