"""Where multipliers, shifts and clamps come from: the float side of TFLite's ``Prepare`` functions.

The last bits depend on which products are rounded to float32, so each formula here follows its
kernel (``kernel_util.cc``, ``add.cc``, ``mul.cc``, ``reduce.cc``, ``activations.cc``).
"""

from __future__ import annotations

import numpy as np

from narrows.golden.fixed_point import mbqm, quantize_multiplier, round_half_away
from narrows.graph.network import Requant
from narrows.graph.network import type_limits as limits
from narrows.tflite.model import FileTensor


def scale_of(tensor: FileTensor) -> np.float32:
    """The tensor's one scale. Raises ValueError if it has none, or several."""
    if tensor.scale is None or tensor.scale.size != 1:
        raise ValueError(f"{tensor} has {0 if tensor.scale is None else tensor.scale.size} scales where one is needed")
    return tensor.scale[0]


def zero_point_of(tensor: FileTensor) -> int:
    """The tensor's one zero point. Raises ValueError if it has none, or several."""
    scale_of(tensor)
    assert tensor.zero_point is not None  # it comes with the scale
    return int(tensor.zero_point[0])


def activation_range(activation: str, output: FileTensor) -> tuple[int, int]:
    """The clamp (lo, hi) of a fused activation, in the range of ``output``'s type."""
    lo, hi = limits(output.dtype)
    if activation == "NONE":
        return lo, hi
    scale, zero = scale_of(output), zero_point_of(output)

    def quantised(real: float) -> int:
        return zero + int(round_half_away(np.float32(real) / scale))

    low = {"RELU": 0.0, "RELU6": 0.0, "RELU_N1_TO_1": -1.0}[activation]
    high = {"RELU": None, "RELU6": 6.0, "RELU_N1_TO_1": 1.0}[activation]
    return max(lo, quantised(low)), hi if high is None else min(hi, quantised(high))


def convolution_requant(
    source: FileTensor,
    weights: FileTensor,
    output: FileTensor,
    *,
    channels: int,
    activation: str,
    fully_connected: bool = False,
) -> Requant:
    """The requantisation of CONV_2D, DEPTHWISE_CONV_2D or FULLY_CONNECTED, one entry per output channel.

    uint8, and FULLY_CONNECTED with one weight scale, round s_in * s_w to float32 first; int8 keeps doubles.
    Raises ValueError for a scale count that isn't 1 or ``channels``, or a multiplier out of range.
    """
    s_in, s_out = scale_of(source), scale_of(output)
    s_w = weights.scale
    if s_w is None or s_w.size not in (1, channels):
        raise ValueError(f"{weights} has {0 if s_w is None else s_w.size} scales for {channels} output channels")
    if source.dtype == "uint8" or (fully_connected and s_w.size == 1):
        real = [float(np.float32(s_in * s_w[0])) / float(s_out)]
    else:
        real = [float(s_in) * float(s) / float(s_out) for s in s_w]
    pairs = np.array([quantize_multiplier(d) for d in real], dtype=np.int64).reshape(-1, 2)
    pairs = np.ascontiguousarray(np.broadcast_to(pairs, (channels, 2)).T)
    lo, hi = activation_range(activation, output)
    return Requant(multiplier=pairs[0], shift=pairs[1], zero_point=zero_point_of(output), lo=lo, hi=hi)


def add_multipliers(a: FileTensor, b: FileTensor, output: FileTensor, *, subtract: bool = False) -> tuple:
    """The (multiplier, shift) pairs of ADD's two inputs and its output; SUB negates the second.

    Raises ValueError where the output's multiplier is 1 or more, which the reference doesn't take.
    """
    s1, s2, so = scale_of(a), scale_of(b), scale_of(output)
    twice_max = float(np.float32(2) * max(s1, s2))
    m1 = quantize_multiplier(float(s1) / twice_max)
    m2 = quantize_multiplier(float(s2) / twice_max)
    mo = quantize_multiplier(twice_max / float(np.float32(1 << 20) * so))
    if mo[1] > 0:
        raise ValueError("the output's scale is too small for the inputs' scales")
    return m1, (-m2[0], m2[1]) if subtract else m2, mo


def rescale_multiplier(source: FileTensor, output: FileTensor) -> tuple[int, int]:
    """(multiplier, shift) of QUANTIZE, MEAN and SUM: s_in / s_out in doubles."""
    return quantize_multiplier(float(scale_of(source)) / float(scale_of(output)))


def relu_multiplier(source: FileTensor, output: FileTensor) -> tuple[int, int]:
    """(multiplier, shift) of RELU and RELU6 as operators of their own: the quotient is rounded to float32."""
    return quantize_multiplier(float(scale_of(source) / scale_of(output)))


def mul_multiplier(a: FileTensor, b: FileTensor, output: FileTensor) -> tuple[int, int]:
    """(multiplier, shift) of MUL: s1 * s2 / s_out in float32."""
    return quantize_multiplier(float(np.float32(scale_of(a) * scale_of(b)) / scale_of(output)))


def mean_multiplier(source: FileTensor, output: FileTensor, count: int) -> tuple[int, int]:
    """(multiplier, shift) of MEAN over ``count`` elements: the division is folded into the multiplier."""
    multiplier, shift = rescale_multiplier(source, output)
    up = min(count.bit_length() - 1, 32, 31 + shift)
    return (multiplier << up) // count, shift - up


def average_multiplier(count: int) -> tuple[int, int]:
    """(multiplier, shift) of AVERAGE_POOL_2D over ``count`` raw values: division by it, ties away from zero.

    With shift 0 a requantiser gives floor(acc * M / 2^31 + 1/2), which is that for M = floor(2^31 / n) + 1: the excess of less than
    2^-31 a unit of acc moves no value over a boundary that lies 1 / 2n away, and decides ties outward on both sides. Proven for
    each count here; ValueError if it fails.
    """
    multiplier, shift = ((1 << 31) // count + 1, 0) if count > 1 else (1 << 30, 1)
    acc = np.arange(-128 * count, 255 * count + 1, dtype=np.int64)
    expected = np.sign(acc) * ((np.abs(acc) + count // 2) // count)
    if not np.array_equal(mbqm(acc, multiplier, shift), expected):
        raise ValueError(f"{count} pixels can't be averaged exactly")
    return multiplier, shift
