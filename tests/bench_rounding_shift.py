"""cocotb test of RoundingShift: every amount, values at its edges."""

import os
import random

import cocotb
from cocotb.triggers import FallingEdge
from cocotb_bench import start

from narrows.golden.fixed_point import rounding_divide_by_pot

LATENCY, I_WIDTH, O_WIDTH = (int(os.environ[name]) for name in ("LATENCY", "I_WIDTH", "O_WIDTH"))


def expected(value: int, amount: int) -> int | None:
    """The quotient, None where it saturates."""
    limit = 1 << (O_WIDTH - 2)
    floor = value >> amount
    if not -limit <= floor < limit:
        return None
    return int(rounding_divide_by_pot(value, amount))


@cocotb.test()
async def values(dut) -> None:
    await start(dut)
    rng = random.Random(I_WIDTH)
    limit = 1 << (I_WIDTH - 1)
    vectors = []
    for amount in range(32):
        for _ in range(200):
            value = rng.randrange(-limit, limit) >> rng.randrange(I_WIDTH)
            if rng.random() < 0.5:
                value = (value << amount) + (1 << amount >> 1) + rng.randint(-1, 1)  # beside a tie
            vectors.append((max(-limit, min(limit - 1, value)), amount))
    outputs = []
    for (value, _), (_, next_amount) in zip([(0, 0), *vectors], [*vectors, (0, 0)], strict=True):
        dut.i.value = value & (2 * limit - 1)
        dut.amount.value = next_amount
        await FallingEdge(dut.clk)
        outputs.append(dut.o.value.to_signed())
    for _ in range(LATENCY - 1):
        await FallingEdge(dut.clk)
        outputs.append(dut.o.value.to_signed())
    outputs = outputs[LATENCY:]
    top = 1 << (O_WIDTH - 2)
    for (value, amount), got in zip(vectors, outputs, strict=True):
        want = expected(value, amount)
        if want is None:
            assert got in ((-top, -top + 1) if value < 0 else (top - 1, top)), (value, amount, got)
        else:
            assert got == want, (value, amount, got, want)
