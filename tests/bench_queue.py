"""cocotb tests of the queues: order, rate, latency, and what it holds when nobody takes anything."""

import os

import cocotb
from cocotb.triggers import FallingEdge
from cocotb_bench import Sink, Source, all_patterns, finish, start

from narrows.hw.parts.queue import Queue, ShortQueue

DEPTH, FORM = int(os.environ["DEPTH"]), {"Queue": Queue, "ShortQueue": ShortQueue}[os.environ["FORM"]]
WORDS = [(37 * n) & 2047 for n in range(150)]


@cocotb.test()
@all_patterns
async def streams(dut, idle: str, pressure: str) -> None:
    await start(dut)
    source, sink = Source(dut, "i", idle=idle), Sink(dut, "o", pressure=pressure)
    source.send(WORDS)
    assert await sink.take(len(WORDS)) == WORDS
    await finish(dut, [source], [sink])


@cocotb.test()
async def full_rate(dut) -> None:
    if FORM is Queue and DEPTH < 16:
        return  # a queue shorter than its own latency has pauses
    await start(dut)
    source, sink = Source(dut, "i"), Sink(dut, "o")
    source.send(WORDS)
    await sink.take(len(WORDS))
    first = sink.cycles[0]
    assert first == FORM.LATENCY
    assert sink.cycles == list(range(first, first + len(WORDS)))


@cocotb.test()
async def holds_its_depth(dut) -> None:
    """With nobody taking, ``depth`` words go in, and then no more are lost."""
    await start(dut)
    dut.o__ready.value = 0
    source = Source(dut, "i")
    source.send(WORDS)
    for _ in range(DEPTH + 40):
        await FallingEdge(dut.clk)
    assert dut.i__ready.value == 0
    assert DEPTH <= source.sent <= DEPTH + 8
    sink = Sink(dut, "o")
    assert await sink.take(len(WORDS)) == WORDS
    await finish(dut, [source], [sink])


@cocotb.test()
@cocotb.parametrize(ready=[0, 1], cycles=[1, 2, 3, 5, 8, 13, 30])
async def reset_leaves_nothing(dut, ready: int, cycles: int) -> None:
    """Words under way at a reset, of one cycle, do not come out after it."""
    await start(dut)
    dut.i__valid.value, dut.o__ready.value = 1, ready
    for n in range(cycles):
        dut.i__payload.value = 2047 - n
        await FallingEdge(dut.clk)
    dut.rst.value = 1
    await FallingEdge(dut.clk)
    dut.rst.value, dut.i__valid.value, dut.o__ready.value = 0, 0, 0
    assert dut.o__valid.value == 0 and dut.i__ready.value == 1
    source, sink = Source(dut, "i"), Sink(dut, "o")
    source.send(WORDS)
    assert await sink.take(len(WORDS)) == WORDS
    await finish(dut, [source], [sink])
