"""cocotb tests of the array's products: exact for every pair of factors, after the documented latency."""

import itertools
import os
import random
from collections.abc import Callable, Iterator

import cocotb
from cocotb.triggers import FallingEdge
from cocotb_bench import start

from narrows.hw.arithmetic.products import DirectProducts, FastProducts, PairProducts

GROUP = int(os.environ["GROUP"])
EDGES = (-256, -255, -128, -1, 0, 1, 127, 255)

Factors = list[int]


def bits(factors: Factors) -> int:
    return sum((factor & 0x1FF) << (9 * at) for at, factor in enumerate(factors))


def dot(a: Factors, b: Factors) -> int:
    return sum(x * y for x, y in zip(a, b, strict=True))


def pair_sum(factors: Factors) -> int:
    return dot(factors[0::2], factors[1::2])


def vectors() -> Iterator[tuple[Factors, Factors]]:
    """All pairs of edges in every place and in all places at once, neighbours' included, then anything."""
    for a, b in itertools.product(EDGES, EDGES):
        yield [a] * GROUP, [b] * GROUP
        yield [a, b] * (GROUP // 2), [b, a] * (GROUP // 2)
        yield [a, b] * (GROUP // 2), [a, b] * (GROUP // 2)
        for place in range(GROUP):
            yield [a if n == place else 0 for n in range(GROUP)], [b if n == place else -256 for n in range(GROUP)]
    rng = random.Random(GROUP)
    for _ in range(3000):
        yield tuple([rng.choice((rng.randint(-256, 255), rng.choice(EDGES))) for _ in range(GROUP)] for _ in "ab")


def all_pairs(places: int) -> Iterator[tuple[Factors, Factors]]:
    """Every one of the 2^18 pairs of factors in one of ``places``, the others of the cycle being others of them."""
    everything = list(itertools.product(range(-256, 256), repeat=2))
    random.Random(places).shuffle(everything)
    for first in range(0, len(everything), places):
        a, b = zip(*everything[first : first + places])
        yield list(a), list(b)


async def compare(dut, work: Iterator, expect: Callable[..., int], latency: int, late: Callable[..., int] | None = None) -> None:
    """Drive ``a``, ``b`` if it is something, and ``late(a)`` as ``shared`` as many cycles later as its maker takes."""
    await start(dut)
    expected, shared = [], []
    last = [([0] * GROUP, [0] * GROUP if hasattr(dut, "b") else None)] * latency
    for a, b in itertools.chain(work, last):
        if len(expected) >= latency:
            assert dut.o.value.to_signed() == expected[-latency]
        dut.a.value = bits(a)
        if b is not None:
            dut.b.value = bits(b)
        expected.append(expect(a, b))
        if late is not None:
            shared.append(late(a))
            if len(shared) > PairProducts.LATENCY:
                dut.shared.value = shared[-1 - PairProducts.LATENCY] & (1 << len(dut.shared)) - 1
        await FallingEdge(dut.clk)


@cocotb.test()
async def direct(dut) -> None:
    await compare(dut, vectors(), dot, DirectProducts.LATENCY)


@cocotb.test()
async def fast(dut) -> None:
    work = vectors() if GROUP < 16 else itertools.chain(vectors(), all_pairs(GROUP))
    await compare(dut, work, lambda a, b: dot(a, b) + pair_sum(b), FastProducts.LATENCY, pair_sum)


@cocotb.test()
async def pairs(dut) -> None:
    """``a`` holds both factors of a product."""

    def twice(work: Iterator) -> Iterator:
        for a, b in work:
            yield [factor for pair in zip(a, b) for factor in pair], None

    edges = ((a[: GROUP // 2], b[: GROUP // 2]) for a, b in vectors())
    work = edges if GROUP < 16 else itertools.chain(edges, all_pairs(GROUP // 2))
    await compare(dut, twice(work), lambda a, _: pair_sum(a), PairProducts.LATENCY)
