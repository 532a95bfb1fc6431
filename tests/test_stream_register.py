"""A stream's register: nothing lost, nothing doubled, at full rate, and no path from one side to the other."""

import pytest
from amaranth.lib import data
from cocotb_harness import run_cocotb

from narrows.hw.parts.stream_register import StreamRegister

SHAPES = {"word": 16, "bit": 1, "structure": data.StructLayout({"low": 5, "high": 7})}



def low_is(word) -> list:
    """Bits that a word may be decoded to."""
    return [word.low == value for value in range(3)]


@pytest.mark.parametrize("shape", SHAPES)
def test_stream_register(shape: str):
    run_cocotb(StreamRegister(SHAPES[shape]), "bench_stream_register", env={"SHAPE": shape})


def test_decoded():
    run_cocotb(StreamRegister(SHAPES["structure"], decode=low_is), "bench_stream_register", env={"SHAPE": "structure"})
