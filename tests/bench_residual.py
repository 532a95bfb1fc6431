"""cocotb tests of ResidualAdd: bytes, order and cycles against the golden ADD."""

import os
import random

import cocotb
import numpy as np
from amaranth.lib import data
from cocotb.triggers import FallingEdge
from cocotb_bench import Sink, Source, all_patterns, cases, finish, pack, start

from narrows.golden import kernels
from narrows.hw.writeback.residual_fields import ResidualFields

GROUP, WORD_CYCLES, LATENCY, BYPASS_LATENCY, TAG_BITS = (
    int(os.environ[name]) for name in ("GROUP", "WORD_CYCLES", "LATENCY", "BYPASS_LATENCY", "TAG_BITS")
)
IN = data.StructLayout({"a": 8 * GROUP, "b": 8 * GROUP, "tag": TAG_BITS})
OUT = data.StructLayout({"data": 8 * GROUP, "tag": TAG_BITS})

#: An ordinary addition of int8 tensors.
USUAL = {
    "enable": 1, "signed": 1, "z1": 3, "z2": -11, "m1": 1 << 30, "m2": 1717986918, "mo": 1288490189,
    "s1": 0, "s2": -1, "so": -17, "range": {"zero_point": -4, "lo": -128, "hi": 127},
}  # fmt: skip


def expected(words, fields):
    """What comes out of [(a, b, tag)], words as arrays of ``GROUP`` bytes."""
    if not fields["enable"]:
        return [(a.tobytes(), tag) for a, _, tag in words]
    dtype = np.int8 if fields["signed"] else np.uint8
    pairs = ((fields[f"m{x}"], fields[f"s{x}"]) for x in "12o")
    a, b = (np.array([word[n] for word in words]).view(dtype) for n in (0, 1))
    sums = kernels.add(a, b, (fields["z1"], fields["z2"]), *pairs, **fields["range"])
    return [(row.tobytes(), tag) for row, (_, _, tag) in zip(sums, words, strict=True)]


def make(rng: random.Random, count: int):
    """Words of random bytes, many at the ends of the types, with tags in no order."""
    edges = bytes((0, 1, 127, 128, 129, 254, 255))

    def word():
        drawn = rng.choice(edges) if rng.random() < 0.3 else None
        return np.frombuffer(bytes(rng.getrandbits(8) if drawn is None else drawn for _ in range(GROUP)), np.uint8)

    return [(word(), word(), rng.getrandbits(TAG_BITS)) for _ in range(count)]


async def configure(dut, fields) -> None:
    """Change the fields, which is allowed only now."""
    assert dut.busy.value == 0
    dut.fields.value = pack(ResidualFields, fields)
    await FallingEdge(dut.clk)


def send(source, words) -> None:
    source.send(
        {"a": int.from_bytes(a.tobytes(), "little"), "b": int.from_bytes(b.tobytes(), "little"), "tag": tag}
        for a, b, tag in words
    )


async def exchange(dut, source, sink, words, fields) -> None:
    await configure(dut, fields)
    send(source, words)
    taken = await sink.take(len(words))
    got = [(word.data.to_bytes(GROUP, "little"), word.tag) for word in taken]
    for n, (have, want) in enumerate(zip(got, expected(words, fields), strict=True)):
        assert have == want, f"word {n} {words[n]} of {fields}: {have}, not {want}"
    await FallingEdge(dut.clk)
    await FallingEdge(dut.clk)


@cocotb.test()
@all_patterns
async def streams(dut, idle: str, pressure: str) -> None:
    await start(dut)
    source, sink = Source(dut, "i", shape=IN, idle=idle), Sink(dut, "o", shape=OUT, pressure=pressure)
    rng = random.Random(f"{idle} {pressure}")
    for enable in (1, 0, 1):
        await exchange(dut, source, sink, make(rng, 60), USUAL | {"enable": enable})
    await finish(dut, [source], [sink])


@cocotb.test()
@cocotb.parametrize(case=[(1, WORD_CYCLES, LATENCY), (0, 1, BYPASS_LATENCY)])
async def full_rate(dut, case) -> None:
    """Words back to back lose no cycle, with or without a residual, and appear after the documented latency."""
    enable, cycles, latency = case
    await start(dut)
    await configure(dut, USUAL | {"enable": enable})
    source, sink = Source(dut, "i", shape=IN), Sink(dut, "o", shape=OUT)
    send(source, make(random.Random(1), 200))
    await sink.take(200)
    assert sink.cycles == [latency + cycles * n for n in range(200)]
    await finish(dut, [source], [sink])


@cocotb.test()
async def drawn(dut) -> None:
    """Fields from Hypothesis over their whole range."""
    await start(dut)
    source, sink = Source(dut, "i", shape=IN, idle="bursts"), Sink(dut, "o", shape=OUT, pressure="bursts")
    rng = random.Random(2)
    for case in cases():
        await exchange(dut, source, sink, make(rng, 40), case["fields"])
    await finish(dut, [source], [sink])


@cocotb.test()
async def every_pair(dut) -> None:
    """All differences of both inputs at every shift of one of them: the narrow products with both roundings."""
    await start(dut)
    source, sink = Source(dut, "i", shape=IN), Sink(dut, "o", shape=OUT)
    ramp = np.arange(256, dtype=np.uint8).reshape(-1, GROUP)
    zero = np.zeros(GROUP, np.uint8)
    for shift in range(-31, 1):
        # The other input is its zero point. The output multiplier brings the narrow product's last bits to the byte.
        so = min(0, -shift - 20)
        fields = USUAL | {"signed": 0, "z1": 0, "z2": 0, "s1": shift, "s2": shift, "so": so}
        fields |= {"m1": 1594932627, "m2": 1 << 30, "mo": 1 << 30, "range": {"zero_point": 128, "lo": 0, "hi": 255}}
        words = [(row, zero, 1) for row in ramp] + [(zero, row, 2) for row in ramp]
        await exchange(dut, source, sink, words, fields)
        fields |= {"z1": 255, "z2": 255}
        full = np.full(GROUP, 255, np.uint8)
        await exchange(dut, source, sink, [(row, full, 3) for row in ramp] + [(full, row, 0) for row in ramp], fields)
    await finish(dut, [source], [sink])


@cocotb.test()
async def small_factors(dut) -> None:
    """Multipliers so small, behind which little is cut, that the narrow products' first rounding decides the byte."""
    await start(dut)
    source, sink = Source(dut, "i", shape=IN), Sink(dut, "o", shape=OUT)
    rng = random.Random(4)
    for _ in range(60):
        small = {name: rng.randrange(1 << rng.randint(6, 13)) for name in ("m1", "m2")}
        shifts = {"s1": rng.choice((0, 0, -1)), "s2": rng.choice((0, 0, -2)), "so": rng.choice((1, 0, 0, -1))}
        fields = USUAL | small | shifts | {"mo": rng.choice(((1 << 31) - 1, 1 << 30)), "z2": rng.randint(-128, 127)}
        await exchange(dut, source, sink, make(rng, 64), fields)
    await finish(dut, [source], [sink])
