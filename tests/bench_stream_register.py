"""cocotb tests of a stream's register against a queue of two words."""

import os
import random

import cocotb
from amaranth.hdl import Shape
from cocotb.triggers import FallingEdge, ReadOnly
from cocotb_bench import PATTERNS, Sink, Source, all_patterns, finish, start
from test_stream_register import SHAPES

from narrows.hw.parts.stream_register import StreamRegister

WIDTH = Shape.cast(SHAPES[os.environ["SHAPE"]]).width


def numbers(rng: random.Random, count: int) -> list[int]:
    return [rng.getrandbits(WIDTH) for _ in range(count)]


async def decoded(dut) -> None:
    """Of the word on offer, and of none if there is none."""
    while True:
        await FallingEdge(dut.clk)
        await ReadOnly()
        word = int(dut.o__payload.value) & 0b11111
        assert int(dut.decoded.value) == (1 << word if dut.o__valid.value and word < 3 else 0)


@cocotb.test()
@all_patterns
async def in_order(dut, idle: str, pressure: str) -> None:
    """All words come out once and in order, and on offer they stay."""
    await start(dut)
    source, sink = Source(dut, "i", idle=idle), Sink(dut, "o", pressure=pressure)
    words = numbers(random.Random(f"{idle} {pressure}"), 300)
    if hasattr(dut, "decoded"):
        words = [word & ~0b11100 for word in words]  # often one of the three
        cocotb.start_soon(decoded(dut))
    source.send(words)
    assert await sink.take(len(words)) == words
    await finish(dut, [source], [sink])


@cocotb.test()
async def full_rate(dut) -> None:
    """A word per cycle each way, each ``LATENCY`` cycles later."""
    await start(dut)
    source, sink = Source(dut, "i"), Sink(dut, "o")
    words = numbers(random.Random(1), 50)
    source.send(words)
    assert await sink.take(len(words)) == words
    assert sink.cycles == [StreamRegister.LATENCY + n for n in range(len(words))]
    await finish(dut, [source], [sink])


@cocotb.test()
@all_patterns
async def every_cycle(dut, idle: str, pressure: str) -> None:
    """``valid`` and ``ready`` say in every cycle what a queue of two words says, whatever the other side does in that cycle."""
    rng = random.Random(f"{idle} {pressure}")
    dut.i__valid.value = dut.o__ready.value = 0
    await start(dut)
    active, room = PATTERNS[idle](rng), PATTERNS[pressure](rng)
    inside, offered = [], None
    for cycle in range(400):
        # A reset empties it, also while words go in and out.
        reset = rng.random() < 0.02
        dut.rst.value = int(reset)
        if offered is None and next(active):
            offered = rng.getrandbits(WIDTH)
        ready = next(room)
        dut.i__valid.value, dut.o__ready.value = int(offered is not None), int(ready)
        dut.i__payload.value = rng.getrandbits(WIDTH) if offered is None else offered
        await ReadOnly()
        assert bool(dut.i__ready.value) == (len(inside) < 2), f"cycle {cycle}: {inside}"
        assert bool(dut.o__valid.value) == bool(inside), f"cycle {cycle}: {inside}"
        assert not inside or int(dut.o__payload.value) == inside[0], f"cycle {cycle}: {inside}"
        taken = offered is not None and len(inside) < 2
        if inside and ready:
            inside.pop(0)
        if taken:
            inside.append(offered)
            offered = None
        if reset:
            inside = []
        await FallingEdge(dut.clk)
    dut.rst.value = 0
