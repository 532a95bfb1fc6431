"""The engine's operators on NumPy arrays, byte for byte those of TFLite's reference kernels.

Activations have shape (batch, height, width, channels) and their stored type (uint8 or int8).
"""

from __future__ import annotations

import numpy as np

from narrows.golden.fixed_point import mbqm, requantise
from narrows.graph.network import Requant

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]

_GROUP_BYTES = 1 << 25  # im2col works on groups of output rows of about this size


def output_size(n: int, kernel: int, stride: int, dilation: int, padding: str) -> int:
    """Output pixels along one axis of ``n`` input pixels; ``padding`` is "SAME" or "VALID"."""
    if padding == "SAME":
        return -(-n // stride)
    return max(-(-(n - (kernel - 1) * dilation) // stride), 0)


def padding_amounts(size: Pair, kernel: Pair, stride: Pair, dilation: Pair, padding: str) -> Pads:
    """(top, left, bottom, right) in pixels for an input of ``size`` (height, width)."""
    if padding == "VALID":
        return 0, 0, 0, 0
    totals = [
        max((output_size(n, k, s, d, padding) - 1) * s + (k - 1) * d + 1 - n, 0)
        for n, k, s, d in zip(size, kernel, stride, dilation, strict=True)
    ]
    top, left = totals[0] // 2, totals[1] // 2
    return top, left, totals[0] - top, totals[1] - left


def windows(x: np.ndarray, kernel: Pair, stride: Pair, dilation: Pair) -> np.ndarray:
    """A view of every window of padded ``x`` (n, h, w, c): shape (n, out_h, out_w, kh, kw, c)."""
    n, h, w, c = x.shape
    (kh, kw), (sh, sw), (dh, dw) = kernel, stride, dilation
    out_h, out_w = (h - (kh - 1) * dh - 1) // sh + 1, (w - (kw - 1) * dw - 1) // sw + 1
    bn, bh, bw, bc = x.strides
    shape = (n, max(out_h, 0), max(out_w, 0), kh, kw, c)
    strides = (bn, bh * sh, bw * sw, bh * dh, bw * dw, bc)
    return np.lib.stride_tricks.as_strided(x, shape, strides, writeable=False)


def _padded(x: np.ndarray, zero_point: int, pad: Pads, dtype: type) -> np.ndarray:
    """``x - zero_point`` as ``dtype`` with zeros around it."""
    top, left, bottom, right = pad
    n, h, w, c = x.shape
    out = np.zeros((n, h + top + bottom, w + left + right, c), dtype)
    np.subtract(x, zero_point, out=out[:, top : top + h, left : left + w], dtype=dtype)
    return out


def convolution_sums(
    x: np.ndarray,
    zero_point: int,
    weights: np.ndarray,
    weight_zero_point: int,
    *,
    stride: Pair,
    dilation: Pair,
    pad: Pads,
) -> np.ndarray:
    """sum (x - zero_point) * (w - weight_zero_point) over each window, exact, before the bias.

    ``x`` (n, h, w, cin), ``weights`` (cout, kh, kw, cin); result (n, out_h, out_w, cout) in a float type
    that holds integers: products go through BLAS, and sums below 2^24 (2^53) are exact in float32 (float64).
    """
    cout, kh, kw, cin = weights.shape
    factors = weights.reshape(cout, -1).astype(np.int64) - weight_zero_point
    bound = np.abs(factors).sum(axis=1).max(initial=0) * 255
    dtype = np.float32 if bound < 1 << 24 else np.float64
    matrix = np.ascontiguousarray(factors.T.astype(dtype))
    view = windows(_padded(x, zero_point, pad, dtype), (kh, kw), stride, dilation)
    n, out_h, out_w = view.shape[:3]
    out = np.empty((n, out_h, out_w, cout), dtype)
    rows = max(_GROUP_BYTES // max(out_w * kh * kw * cin * np.dtype(dtype).itemsize, 1), 1)
    for image in range(n):
        for start in range(0, out_h, rows):
            group = view[image, start : start + rows]
            out[image, start : start + rows] = (group.reshape(-1, kh * kw * cin) @ matrix).reshape(-1, out_w, cout)
    return out


def conv2d(
    x: np.ndarray,
    zero_point: int,
    weights: np.ndarray,
    weight_zero_point: int,
    bias: np.ndarray,
    requant: Requant,
    *,
    stride: Pair = (1, 1),
    dilation: Pair = (1, 1),
    pad: Pads = (0, 0, 0, 0),
    dtype: str | None = None,
) -> np.ndarray:
    """CONV_2D: ``x`` (n, h, w, cin), ``weights`` (cout, kh, kw, cin), ``bias`` (cout,). Padding holds ``zero_point``.

    The result has shape (n, out_h, out_w, cout) and type ``dtype`` (that of ``x`` by default).
    """
    acc = convolution_sums(x, zero_point, weights, weight_zero_point, stride=stride, dilation=dilation, pad=pad)
    return requantise(_biased(acc, bias), requant, dtype or x.dtype.name)


def depthwise(
    x: np.ndarray,
    zero_point: int,
    weights: np.ndarray,
    weight_zero_point: int,
    bias: np.ndarray,
    requant: Requant,
    *,
    stride: Pair = (1, 1),
    dilation: Pair = (1, 1),
    pad: Pads = (0, 0, 0, 0),
    dtype: str | None = None,
) -> np.ndarray:
    """DEPTHWISE_CONV_2D: ``x`` (n, h, w, c), ``weights`` (kh, kw, c * multiplier); otherwise as :func:`conv2d`."""
    kh, kw, cout = weights.shape
    factors = weights.astype(np.int32) - weight_zero_point
    padded = _padded(x, zero_point, pad, np.int32)
    if cout != x.shape[3]:
        padded = np.repeat(padded, cout // x.shape[3], axis=3)
    view = windows(padded, (kh, kw), stride, dilation)
    acc = np.zeros((*view.shape[:3], cout), np.int32)
    for row in range(kh):
        for column in range(kw):
            acc += view[:, :, :, row, column] * factors[row, column]
    return requantise(_biased(acc, bias), requant, dtype or x.dtype.name)


def _biased(acc: np.ndarray, bias: np.ndarray) -> np.ndarray:
    # The bias can be +-2^30, so the sum is formed in 64 bits whatever type the products came in.
    return acc.astype(np.int64) + bias


def fully_connected(
    x: np.ndarray,
    zero_point: int,
    weights: np.ndarray,
    weight_zero_point: int,
    bias: np.ndarray,
    requant: Requant,
    *,
    dtype: str | None = None,
) -> np.ndarray:
    """FULLY_CONNECTED: ``x`` (n, features), ``weights`` (out, features), ``bias`` (out,); result (n, out)."""
    image, kernel = x[:, None, None, :], weights[:, None, None, :]
    return conv2d(image, zero_point, kernel, weight_zero_point, bias, requant, dtype=dtype)[:, 0, 0, :]


def add(
    a: np.ndarray, b: np.ndarray, zero_points: Pair, m1: Pair, m2: Pair, mo: Pair, zero_point: int, lo: int, hi: int
) -> np.ndarray:
    """ADD (or SUB, with m2 negated) of equal types; shapes broadcast. ``zero_points`` are those of a and b."""
    left = mbqm((a.astype(np.int64) - zero_points[0]) << 20, *m1)
    right = mbqm((b.astype(np.int64) - zero_points[1]) << 20, *m2)
    return np.clip(mbqm(left + right, *mo) + zero_point, lo, hi).astype(a.dtype)


def average_pool(
    x: np.ndarray, kernel: Pair, stride: Pair = (1, 1), pad: Pads = (0, 0, 0, 0), *, lo: int, hi: int
) -> np.ndarray:
    """AVERAGE_POOL_2D of raw values, ``x`` (n, h, w, c): rounds half away from zero over the pixels inside the image."""
    sums = windows(_padded(x, 0, pad, np.int32), kernel, stride, (1, 1)).sum(axis=(3, 4), dtype=np.int64)
    inside = np.ones((1, *x.shape[1:3], 1), np.uint8)
    count = windows(_padded(inside, 0, pad, np.int32), kernel, stride, (1, 1)).sum(axis=(3, 4), dtype=np.int64)
    rounded = np.sign(sums) * ((np.abs(sums) + count // 2) // np.maximum(count, 1))
    return np.clip(rounded, lo, hi).astype(x.dtype)


def reduce(
    x: np.ndarray,
    axes: tuple[int, ...],
    zero_point_in: int,
    multiplier: int,
    shift: int,
    zero_point: int,
    lo: int,
    hi: int,
    dtype: str | None = None,
) -> np.ndarray:
    """MEAN or SUM over ``axes`` of ``x``, which stay as dimensions of 1. A mean's count is in the multiplier."""
    count = int(np.prod([x.shape[axis] for axis in axes]))
    acc = x.sum(axis=axes, keepdims=True, dtype=np.int64) - zero_point_in * count
    return np.clip(mbqm(acc, multiplier, shift) + zero_point, lo, hi).astype(dtype or x.dtype)
