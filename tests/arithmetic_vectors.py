"""Vectors that find the edges of requantisation, for the benches of what requantises."""

import random
from collections.abc import Sequence

import numpy as np

from narrows.golden.fixed_point import mbqm, wrap32


def requantised(vectors: Sequence[tuple[int, int, int, int]], output: tuple[int, int, int]) -> list[int]:
    """The bits of the byte of every (acc, bias, multiplier, shift), for ``output`` (zero point, lo, hi)."""
    acc, bias, factor, shift = np.array(vectors, np.int64).reshape(-1, 4).T
    zero_point, lo, hi = output
    return [int(byte) & 0xFF for byte in np.clip(mbqm(wrap32(acc + bias), factor, shift) + zero_point, lo, hi)]


def int32(x: int) -> int:
    return ((x + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)


def multiplier(rng: random.Random) -> int:
    """0..2^31-1: usually normalised, sometimes a limit, a power of two or small."""
    kind = rng.random()
    if kind < 0.6:
        return rng.getrandbits(30) | 1 << 30
    if kind < 0.8:
        return rng.getrandbits(rng.randint(1, 31))
    return rng.choice((0, 1, 1 << 30, (1 << 30) + 1, (1 << 31) - 1, 1 << rng.randrange(31)))


def accumulators(rng: random.Random, shift: int) -> tuple[int, int, int, int]:
    """(acc, bias, multiplier, shift), most within reach of the output's range, many beside a tie."""
    factor = multiplier(rng)
    bias = rng.choice((0, -(1 << 26), (1 << 26) - 1, int32(rng.getrandbits(32)) >> rng.randint(5, 31)))
    kind = rng.random()
    if kind < 0.75 and factor:
        target = rng.randint(-700, 700) + rng.choice((0, 0.5, rng.random()))
        x = int(target * 2.0**-shift * 2**31 / factor) + rng.randint(-2, 2)
        x = max(-(1 << 31), min((1 << 31) - 1, x))
        acc = int32(x - bias)
    elif kind < 0.9:
        acc = int32(rng.getrandbits(32)) >> rng.randrange(32)
    else:
        acc = rng.choice((-(1 << 31), (1 << 31) - 1, -(1 << 30), 1 << 30, 0, -1))
    return acc, bias, factor, shift
