"""The fixed-point arithmetic of TFLite's reference kernels, vectorised and exact in NumPy.

Sources: ``quantization_util.cc`` (QuantizeMultiplier), ``common.h`` (MultiplyByQuantizedMultiplier in
its double rounding form) and gemmlowp's ``fixedpoint.h``.
"""

from __future__ import annotations

import math

import numpy as np

from narrows.graph.network import Requant

_BLOCK = 1 << 15  # values worked on at once: a few int64 temporaries of this size stay in the cache


def wrap32(x: np.ndarray) -> np.ndarray:
    """Integers modulo 2^32, as int64 in -2^31..2^31-1: what an int32 register holds after overflow."""
    return x.astype(np.int32).astype(np.int64)


def round_half_away(x: np.ndarray | np.floating | float) -> np.ndarray:
    """Nearest integer, ties away from zero, in the type of ``x`` (C's ``round``, not Python's).

    ``trunc(x + 0.5)`` would be wrong just below a half; the difference to the floor is exact.
    """
    size = np.abs(x)
    whole = np.floor(size)
    return np.copysign(whole + (size - whole >= 0.5), x)


def normalise(d: float) -> tuple[int, int]:
    """``d`` > 0 as (M, shift), d ~ M * 2^(shift - 31), M 2^30..2^31-1; any shift."""
    q, shift = math.frexp(d)
    m = math.floor(q * (1 << 31) + 0.5)  # exact: q has 53 bits, and is positive
    return (m // 2, shift + 1) if m == 1 << 31 else (m, shift)


def quantize_multiplier(d: float) -> tuple[int, int]:
    """``d`` as (M, shift), d ~ M * 2^(shift - 31): M is 0 or 2^30..2^31-1, shift -31..30.

    Raises ValueError for a negative, infinite or too large ``d``.
    """
    if not (math.isfinite(d) and d >= 0):
        raise ValueError(f"multiplier {d} is not a finite number >= 0")
    m, shift = normalise(d) if d else (0, 0)
    if shift > 30:
        raise ValueError(f"multiplier {d} is 2^30 or more")
    return (0, 0) if shift < -31 else (m, shift)


def srdhm(a: np.ndarray | np.integer, b: np.ndarray | np.integer | int) -> np.ndarray:
    """(2 * a * b) >> 32 rounded to nearest, ties toward +infinity; int32 values held in int64.

    Saturates for a == b == -2^31, the one product that doesn't fit.
    """
    return np.minimum((a * b + (1 << 30)) >> 31, (1 << 31) - 1)


def rounding_divide_by_pot(x: np.ndarray, exponent: np.ndarray | int) -> np.ndarray:
    """x / 2^exponent to nearest, ties away from zero; ``exponent`` 0..31."""
    mask = (np.int64(1) << np.asarray(exponent, np.int64)) - 1
    return (x >> exponent) + ((x & mask) > (mask >> 1) + (x < 0))


def mbqm(x: np.ndarray, multiplier: np.ndarray | int, shift: np.ndarray | int) -> np.ndarray:
    """MultiplyByQuantizedMultiplier: x * multiplier * 2^(shift - 31) with its two roundings.

    ``x`` int64 holding int32 values; ``multiplier`` and ``shift`` broadcast against it. Result as ``x``.
    """
    left, right = np.maximum(shift, 0), np.maximum(np.negative(shift), 0)
    x = np.asarray(x, np.int64)
    if np.any(left):
        x = wrap32(x << left)
    return rounding_divide_by_pot(srdhm(x, multiplier), right)


def requantise(acc: np.ndarray, requant: Requant, dtype: str) -> np.ndarray:
    """clamp(MBQM(acc) + zero_point, lo, hi) as ``dtype``; ``acc`` integers of shape (..., channels), wrapped to int32."""
    channels = acc.shape[-1]
    flat = np.ascontiguousarray(acc).reshape(-1, channels)
    out = np.empty(flat.shape, dtype)
    rows = max(_BLOCK // max(channels, 1), 1)
    for start in range(0, len(flat), rows):
        value = mbqm(wrap32(flat[start : start + rows]), requant.multiplier, requant.shift)
        np.clip(value + requant.zero_point, requant.lo, requant.hi, out=value)
        out[start : start + rows] = value
    return out.reshape(acc.shape)
