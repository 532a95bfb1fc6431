"""cocotb tests of control: what is started when, with which descriptor, and when a block is over."""

import os
import random

import cocotb
from cocotb.triggers import FallingEdge, ReadOnly
from cocotb_bench import PATTERNS, start
from test_control import CONFIGS

from narrows.hw.control.descriptor import descriptor_layout, descriptor_words

CONFIG = CONFIGS[os.environ["CONFIG"]]
WORDS, LAYOUT = descriptor_words(CONFIG), descriptor_layout(CONFIG)
#: Cycles after a start in which every unit must have been quiet, one after the other.
QUIET = 9


def descriptor(rng: random.Random, last: bool) -> int:
    """Random bits with the flag of the last block as it should be."""
    flag = LAYOUT.const({"flags": {"last": 1}}).as_bits()
    return rng.getrandbits(16 * WORDS) & ~flag | flag * last


@cocotb.test()
@cocotb.parametrize(idle=list(PATTERNS), quiet=["always", "half", "bursts"])
async def blocks(dut, idle: str, quiet: str) -> None:
    rng = random.Random(f"{idle} {quiet}")
    dut.i__valid.value = dut.quiet.value = 0
    await start(dut)
    program = [descriptor(rng, n == 3) for n in range(4)]
    words = [bits >> (16 * n) & 0xFFFF for bits in program for n in range(WORDS)]
    words += [rng.getrandbits(16) for _ in range(WORDS)]  # of the next program: not to be touched
    offers, rests = PATTERNS[idle](rng), PATTERNS[quiet](rng)
    taken, started, over, calm, offering, after_done, complete = 0, 0, 0, 0, False, 0, 0
    for _ in range(20_000):
        offering = offering or next(offers)
        dut.i__valid.value, dut.i__payload.value = int(offering), words[taken]
        resting = next(rests)
        dut.quiet.value = int(resting)
        await ReadOnly()
        assert bool(dut.i__ready.value) == (taken < WORDS * (over + 1) and over < len(program))
        running = started > over
        # A descriptor is complete, its last word takes two cycles into its place, then the block starts.
        complete = complete + 1 if taken == WORDS * (over + 1) and over < len(program) else 0
        due = complete == 3
        assert bool(dut.start.value) == due, f"a start after {taken} words"
        if running or due:
            assert int(dut.descriptor.value) == program[over] & ((1 << LAYOUT.size) - 1)
        calm = calm + 1 if (running or due) and resting else 0
        assert bool(dut.block.value) == (calm == QUIET)
        assert bool(dut.done.value) == (over == len(program))
        if dut.block.value:
            over, calm = over + 1, 0
        started += due
        if offering and dut.i__ready.value:
            taken, offering = taken + 1, False
        await FallingEdge(dut.clk)
        after_done += over == len(program)
        if after_done == 20:
            break
    assert (started, over, taken) == (4, 4, 4 * WORDS)


@cocotb.test()
async def reset_begins_anew(dut) -> None:
    """A reset in the middle of a descriptor leaves nothing of it."""
    dut.i__valid.value = dut.quiet.value = 0
    await start(dut)
    dut.i__valid.value = 1
    for _ in range(WORDS // 2):
        await FallingEdge(dut.clk)
    dut.i__valid.value, dut.rst.value = 0, 1
    await FallingEdge(dut.clk)
    dut.rst.value = 0
    for n in range(WORDS):
        assert dut.start.value == 0
        dut.i__valid.value, dut.i__payload.value = 1, n
        await FallingEdge(dut.clk)
    dut.i__valid.value = 0
    for _ in range(2):
        assert dut.start.value == 0
        await FallingEdge(dut.clk)
    assert dut.start.value == 1 and int(dut.descriptor.value) & 0xFFFFFFFF == 0x10000
