"""cocotb tests of Requantise: bytes and their latency against the reference arithmetic, thousands at a time."""

import os
import random
from collections import deque

import cocotb
from arithmetic_vectors import accumulators, requantised
from cocotb.triggers import FallingEdge
from cocotb_bench import cases, pack, start

from narrows.hw.arithmetic.ports import ChannelConstants, OutputRange

LATENCY, RANGE_DELAY = int(os.environ["LATENCY"]), int(os.environ["RANGE_DELAY"])
INT8, UINT8 = (-128, 127), (0, 255)

#: (zero point, lo, hi): the types' limits, ReLU, ReLU6-like ranges and a single value.
RANGES = [
    *((zero_point, *INT8) for zero_point in (-128, -1, 0, 127)),
    *((zero_point, *UINT8) for zero_point in (0, 1, 128, 255)),
    (-128, -128, 94),
    (-5, -5, 127),
    (17, 17, 200),
    (255, 0, 0),
    (-128, 127, 127),
]


async def run(dut, work, valid=lambda: True):
    """Put work through the pipeline: (vectors, output) pairs, a vector being (acc, bias, multiplier, shift).

    Each cycle's valid bit and byte must be the expected ones, and the range follows its accumulator by RANGE_DELAY.
    """
    todo = deque(
        (vector, output, byte)
        for vectors, output in work
        for vector, byte in zip(vectors, requantised(vectors, output), strict=True)
    )
    flying = deque([None] * LATENCY)  # the one that leaves in this cycle first
    while todo or any(flying):
        # At a falling edge: outputs of this cycle are there, inputs of this cycle are about to come.
        leaving = flying.popleft()
        assert dut.o_valid.value == (leaving is not None)
        if leaving is not None:
            assert dut.o.value == leaving[2], f"{leaving}: {int(dut.o.value)}"
        entering = todo.popleft() if todo and valid() else None
        flying.append(entering)
        dut.valid.value = int(entering is not None)
        if entering is not None:
            acc, bias, multiplier, shift = entering[0]
            dut.acc.value = acc & 0xFFFFFFFF
            dut.constants.value = pack(ChannelConstants, {"bias": bias, "multiplier": multiplier, "shift": shift})
        else:
            dut.acc.value = random.getrandbits(32)
        if ranging := flying[-1 - RANGE_DELAY]:
            zero_point, lo, hi = ranging[1]
            dut.range.value = pack(OutputRange, {"zero_point": zero_point, "lo": lo, "hi": hi})
        else:
            dut.range.value = random.getrandbits(27)
        await FallingEdge(dut.clk)


@cocotb.test()
@cocotb.parametrize(output=RANGES)
async def every_shift(dut, output) -> None:
    await start(dut)
    rng = random.Random(f"{output}")
    await run(dut, [([accumulators(rng, shift) for shift in range(-31, 2) for _ in range(100)], output)])


@cocotb.test()
async def changing(dut) -> None:
    """Another channel and another range with every value, with and without gaps."""
    await start(dut)
    rng = random.Random(7)
    work = [([accumulators(rng, rng.randint(-12, 1))], rng.choice(RANGES)) for _ in range(2000)]
    await run(dut, work, lambda: rng.random() < 0.4)
    await run(dut, work)


@cocotb.test()
async def drawn(dut) -> None:
    await start(dut)
    await run(dut, [(case["vectors"], case["output"]) for case in cases()])


@cocotb.test()
async def ties(dut) -> None:
    """Exact halves of both roundings, and their neighbours, on both sides of zero."""
    await start(dut)
    vectors = []
    for shift in range(-31, 1):
        for quotient in range(-9, 10):
            tie = (2 * quotient + 1) << -shift  # times 2^30 / 2^31: half of it, i.e. an odd number of halves
            vectors += [(tie + near, 0, 1 << 30, shift) for near in (-2, -1, 0, 1, 2) if abs(tie) < 1 << 30]
    vectors += [(acc, 0, 1 << 30, 1) for acc in range(-300, 300)] + [(acc, 0, 1 << 29, 1) for acc in range(-300, 300)]
    await run(dut, [(vectors, output) for output in ((-128, *INT8), (0, *INT8), (7, *UINT8))])


@cocotb.test()
async def dead_channels(dut) -> None:
    """A channel with multiplier 0 or a shift of -31 gives its zero point, whatever the bias says."""
    await start(dut)
    biases = (-(1 << 26), (1 << 26) - 1, 0, 1, -1)
    vectors = [
        (acc, bias, multiplier, shift)
        for acc in (-(1 << 31), (1 << 31) - 1, -1, 0, 1, 54321)
        for bias in biases
        for multiplier, shift in ((0, 0), (0, -31), (0, 1), ((1 << 31) - 1, -31), (1 << 30, -31), (1, 1), (1, -31))
    ]
    await run(dut, [(vectors, output) for output in RANGES])


@cocotb.test()
async def average(dut) -> None:
    """Multipliers of a global average, which need not be normalised: a sum divided by a count."""
    await start(dut)
    rng = random.Random(5)
    for count in (1, 2, 9, 16, 49, 64, 81, 289):
        multiplier = min((1 << 31) // count + 1, (1 << 31) - 1)
        sums = {rng.randint(0, 255 * count) for _ in range(500)} | {0, 255 * count}
        await run(dut, [([(total, 0, multiplier, 0) for total in sorted(sums)], (0, *UINT8))])
