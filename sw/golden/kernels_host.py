"""The operators around the engine on NumPy arrays, byte for byte those of TFLite's reference kernels.

Arrays are activations in their stored type; scales are ``np.float32`` and stay so where the kernel
computes in float32.
"""

from __future__ import annotations

import numpy as np

from narrows.golden.fixed_point import mbqm, normalise, round_half_away, rounding_divide_by_pot, srdhm
from narrows.golden.quantization import limits


def quantize(x: np.ndarray, scale: np.float32, zero_point: int, dtype: str) -> np.ndarray:
    """QUANTIZE of floats: round half away of float32(x / scale), plus the zero point, clamped to ``dtype``."""
    lo, hi = limits(dtype)
    rounded = round_half_away(np.asarray(x, np.float32) / scale).astype(np.float64)
    return np.clip(np.nan_to_num(rounded) + zero_point, lo, hi).astype(dtype)


def requantize(
    x: np.ndarray, zero_point_in: int, multiplier: int, shift: int, zero_point: int, lo: int, hi: int, dtype: str
) -> np.ndarray:
    """QUANTIZE of integers, and RELU, RELU6 by ``lo`` and ``hi``: clamp(MBQM(x - z_in) + z_out)."""
    value = mbqm(x.astype(np.int64) - zero_point_in, multiplier, shift) + zero_point
    return np.clip(value, lo, hi).astype(dtype)


def dequantize(x: np.ndarray, scale: np.float32, zero_point: int) -> np.ndarray:
    """DEQUANTIZE: float32(double(scale) * (x - zero_point))."""
    return (np.float64(scale) * (x.astype(np.int64) - zero_point)).astype(np.float32)


def mul(
    a: np.ndarray, b: np.ndarray, zero_points: tuple[int, int], m: tuple[int, int], zero_point: int, lo: int, hi: int
) -> np.ndarray:
    """MUL of equal types; shapes broadcast. ``zero_points`` are those of a and b."""
    product = (a.astype(np.int64) - zero_points[0]) * (b.astype(np.int64) - zero_points[1])
    return np.clip(mbqm(product, *m) + zero_point, lo, hi).astype(a.dtype)


def concatenation(
    parts: list[np.ndarray],
    scales: list[np.float32],
    zero_points: list[int],
    scale: np.float32,
    zero_point: int,
    axis: int,
) -> np.ndarray:
    """CONCATENATION; uint8 parts of another scale are requantised in float32 (int8 parts are copied)."""
    out, dtype = [], parts[0].dtype
    lo, hi = limits(dtype.name)
    inverse = np.float32(1) / scale
    for x, s, z in zip(parts, scales, zero_points, strict=True):
        if dtype == np.uint8 and (s != scale or z != zero_point):
            factor = s * inverse
            value = x.astype(np.float32) * factor + np.float32(-z) * factor
            x = np.clip(round_half_away(value).astype(np.int64) + zero_point, lo, hi).astype(dtype)
        out.append(x)
    return np.concatenate(out, axis=axis)


def _expf(x: np.ndarray) -> np.ndarray:
    """C's expf as glibc computes it: 2^(k/32) times a cubic in double, rounded once. Not always the nearest float."""
    z = x.astype(np.float64) * (float.fromhex("0x1.71547652b82fep+0") * 32)
    k = np.rint(z)
    r = z - k
    c0, c1, c2 = (float.fromhex(c) for c in ("0x1.c6af84b912394p-5", "0x1.ebfce50fac4f3p-3", "0x1.62e42ff0c52d6p-1"))
    y = (c0 / 32**3 * r + c1 / 32**2) * (r * r) + (c2 / 32 * r + 1)
    return (y * np.exp2(k / 32)).astype(np.float32)


def logistic(x: np.ndarray, scale_in: np.float32, zero_in: int, scale_out: np.float32, zero_out: int) -> np.ndarray:
    """LOGISTIC of 8-bit values: a table of round(1 / (1 + exp(-real)) / s_out) + z_out, in float32."""
    lo, hi = limits(x.dtype.name)
    real = scale_in * (np.arange(lo, hi + 1) - zero_in).astype(np.float32)
    value = np.float32(1) / (np.float32(1) + _expf(-real))
    rounded = round_half_away(value * (np.float32(1) / scale_out)).astype(np.int64)
    table = np.clip(rounded + zero_out, lo, hi).astype(x.dtype)
    return table[x.astype(np.int64) - lo]


def softmax_float(x: np.ndarray, beta: float) -> np.ndarray:
    """SOFTMAX of float32 over the last axis, summed one after another in float32."""
    e = _expf((x - x.max(axis=-1, keepdims=True)) * np.float32(beta))
    return e / np.add.accumulate(e, axis=-1)[..., -1:]


def logistic_float(x: np.ndarray) -> np.ndarray:
    """LOGISTIC of float32, with the kernel's short cuts at both ends."""
    usual = np.float32(1) / (np.float32(1) + _expf(-x))
    return np.where(x > np.float32(16.619047164916992188), np.float32(1), np.where(x < np.float32(-9), _expf(x), usual))


_ONE_Q0 = (1 << 31) - 1


def _exp_on_negative_values(a: np.ndarray) -> np.ndarray:
    """gemmlowp's exp for ``a`` <= 0 in Q5.26, result in Q0.31."""
    quarter = 1 << 24  # 1/4 in Q5.26
    a_mod = (a & (quarter - 1)) - quarter
    remainder = a_mod - a
    # The interval [-1/4, 0): a Taylor polynomial around -1/8, in Q0.31.
    x = (a_mod << 5) + (1 << 28)
    x2 = srdhm(x, x)
    x3 = srdhm(x2, x)
    x4 = srdhm(x2, x2)
    third, constant = 715827883, 1895147668  # 1/3 and exp(-1/8)
    tail = rounding_divide_by_pot(srdhm(rounding_divide_by_pot(x4, 2) + x3, np.int64(third)) + x2, 1)
    result = constant + srdhm(np.int64(constant), x + tail)
    # Then a multiplication by exp(-2^k) per bit of the remainder, k = -2..4.
    factors = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
    for bit, factor in enumerate(factors):
        result = np.where(remainder & (quarter << bit), srdhm(result, np.int64(factor)), result)
    return np.where(a == 0, _ONE_Q0, result)


def _one_over_one_plus(x: np.ndarray) -> np.ndarray:
    """gemmlowp's 1 / (1 + x) for ``x`` in [0, 1), both in Q0.31: three Newton steps."""
    total = x + _ONE_Q0
    half = (total + 1) >> 1  # RoundingHalfSum; the total is positive
    d = 1515870810 + srdhm(half, np.int64(-1010580540))  # 48/17 - 32/17 * half, in Q2.29
    for _ in range(3):
        error = (1 << 29) - srdhm(half, d)
        d = d + np.clip(srdhm(d, error) << 2, -(1 << 31), (1 << 31) - 1)
    return np.clip(d << 1, -(1 << 31), (1 << 31) - 1)


def softmax(x: np.ndarray, scale: np.float32, beta: float) -> np.ndarray:
    """SOFTMAX over the last axis, 8 bits in and out (output scale 1/256, zero point the type's minimum).

    Raises ValueError for a ``beta`` that isn't positive or with a vanishing scale.
    """
    lo, hi = limits(x.dtype.name)
    real = min(float(np.float32(beta)) * float(scale) * (1 << 26), float(_ONE_Q0))
    if not real > 1:
        raise ValueError(f"softmax of scale {scale} with beta {beta}")
    multiplier, left = normalise(real)
    reach = int(np.floor(31.0 * (1 << 26) / (1 << left)))
    diff = x.astype(np.int64) - x.max(axis=-1, keepdims=True).astype(np.int64)
    # one table: a difference is -255..0
    table = _exp_on_negative_values(srdhm(np.arange(-255, 1, dtype=np.int64) << left, np.int64(multiplier)))
    live = diff >= -reach
    e = np.where(live, table[diff + 255], 0)
    total = rounding_divide_by_pot(e, 12).sum(axis=-1, keepdims=True)  # Q12.19
    headroom = 31 - np.floor(np.log2(total)).astype(np.int64)  # exact: total is below 2^31, a double holds it
    reciprocal = _one_over_one_plus((total << headroom) - (1 << 31))
    exponent = 12 - headroom + 31 - 8
    out = rounding_divide_by_pot(srdhm(reciprocal, e), exponent) + lo
    return np.clip(np.where(live, out, lo), lo, hi).astype(x.dtype)


def resize_bilinear(
    x: np.ndarray, size: tuple[int, int], *, align_corners: bool, half_pixel_centers: bool
) -> np.ndarray:
    """RESIZE_BILINEAR, ``x`` (n, h, w, c), ``size`` (height, width): 10-bit fixed point for int8, float32 for uint8."""
    taps, blend = (_fixed_taps, _fixed_blend) if x.dtype == np.int8 else (_float_taps, _float_blend)
    y0, y1, fy = taps(x.shape[1], size[0], align_corners, half_pixel_centers)
    x0, x1, fx = taps(x.shape[2], size[1], align_corners, half_pixel_centers)
    fy, fx = fy[None, :, None, None], fx[None, None, :, None]
    above, below = x[:, y0], x[:, y1]
    return blend(above[:, :, x0], below[:, :, x0], above[:, :, x1], below[:, :, x1], fy, fx).astype(x.dtype)


_Taps = tuple[np.ndarray, np.ndarray, np.ndarray]  # the two neighbours' indices and the weight of the second


def _fixed_taps(n: int, out: int, align_corners: bool, half_pixel_centers: bool) -> _Taps:
    step = (1024 * n + out // 2) // out
    if align_corners and out > 1:
        step = (1024 * (n - 1) + (out - 1) // 2) // (out - 1)
    position = np.arange(out, dtype=np.int64) * step
    if half_pixel_centers:
        position = position + step // 2 - 512
    low = np.maximum(np.trunc(position / 1024).astype(np.int64), 0)
    high = np.minimum(np.trunc((position + 1023) / 1024).astype(np.int64), n - 1)
    return low, high, position - 1024 * low


def _fixed_blend(
    a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray, fy: np.ndarray, fx: np.ndarray
) -> np.ndarray:
    total = (a * (1024 - fy) + b * fy) * (1024 - fx) + (c * (1024 - fy) + d * fy) * fx
    value = total + np.where(total > 0, 1 << 19, -(1 << 19))
    return np.sign(value) * (np.abs(value) >> 20)


def _float_taps(n: int, out: int, align_corners: bool, half_pixel_centers: bool) -> _Taps:
    one, half = np.float32(1), np.float32(0.5)
    scale = np.float32(n - 1) / np.float32(out - 1) if align_corners and out > 1 else np.float32(n) / np.float32(out)
    position = np.arange(out, dtype=np.float32) * scale
    if half_pixel_centers:
        position = (np.arange(out, dtype=np.float32) + half) * scale - half
    low = np.maximum(np.floor(position), 0).astype(np.int64)
    high = np.minimum(np.ceil(position), n - one).astype(np.int64)
    return low, high, position - low.astype(np.float32)


def _float_blend(
    a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray, fy: np.ndarray, fx: np.ndarray
) -> np.ndarray:
    # every product and sum is rounded to float32, in the kernel's order
    one, (a, b, c, d) = np.float32(1), (t.astype(np.float32) for t in (a, b, c, d))
    total = a * (one - fy) * (one - fx) + b * fy * (one - fx) + c * (one - fy) * fx + d * fy * fx
    return np.trunc(total + np.float32(0.5))
