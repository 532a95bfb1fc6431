"""Performance counters: every account of every block, to the cycle."""

from cocotb_harness import run_cocotb

from narrows.hw.control.counters import BLOCKS, NAMES, WORDS, Counters


def test_counters():
    assert len(NAMES) < WORDS and BLOCKS >= 100
    run_cocotb(Counters(), "bench_counters")
