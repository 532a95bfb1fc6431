"""Reference results and vectors that find the edges of requantisation, for the benches of what requantises."""

import random


def mbqm(x: int, multiplier: int, shift: int) -> int:
    """MultiplyByQuantizedMultiplier of TensorFlow Lite's reference kernels: two roundings, 64-bit product."""
    left, right = max(shift, 0), max(-shift, 0)
    high = (x * (1 << left) * multiplier + (1 << 30)) >> 31
    remainder = high & ((1 << right) - 1)
    return (high >> right) + (remainder > (((1 << right) - 1) >> 1) + (high < 0))


def int32(x: int) -> int:
    return ((x + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)


def clamped(y: int, zero_point: int, lo: int, hi: int) -> int:
    """The byte's bits of y."""
    return max(lo, min(hi, y + zero_point)) & 0xFF


def requantised(acc: int, bias: int, multiplier: int, shift: int, zero_point: int, lo: int, hi: int) -> int:
    return clamped(mbqm(int32(acc + bias), multiplier, shift), zero_point, lo, hi)


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
