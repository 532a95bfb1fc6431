"""cocotb tests of the array's products: exact for every pair of factors, after the documented latency."""

import itertools
import os
import random

import cocotb
from cocotb.triggers import FallingEdge
from cocotb_harness import start

from narrows.hw.products import LATENCY

GROUP = int(os.environ["GROUP"])
EDGES = (-256, -255, -128, -1, 0, 1, 127, 255)


def bits(factors: list[int]) -> int:
    return sum((factor & 0x1FF) << (9 * at) for at, factor in enumerate(factors))


def vectors():
    """All pairs of edges in every place and in all places at once, then anything."""
    for a, b in itertools.product(EDGES, EDGES):
        yield [a] * GROUP, [b] * GROUP
        for place in range(GROUP):
            yield [a if n == place else 0 for n in range(GROUP)], [b if n == place else -256 for n in range(GROUP)]
    rng = random.Random(GROUP)
    for _ in range(3000):
        yield tuple([rng.choice((rng.randint(-256, 255), rng.choice(EDGES))) for _ in range(GROUP)] for _ in "ab")


@cocotb.test()
async def exact(dut) -> None:
    await start(dut)
    expected = []
    for a, b in [*vectors(), *[([0] * GROUP, [0] * GROUP)] * LATENCY]:
        if len(expected) >= LATENCY:
            assert dut.o.value.to_signed() == expected[-LATENCY]
        dut.a.value, dut.b.value = bits(a), bits(b)
        expected.append(sum(x * y for x, y in zip(a, b, strict=True)))
        await FallingEdge(dut.clk)
