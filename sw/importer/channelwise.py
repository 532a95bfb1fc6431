"""What a requantiser can't do for one channel, done in two layers: large multipliers, and bounds of its own.

A requantiser has a channel's multiplier, below two, and a layer's bounds. Both that is asked beyond can be had exactly from a
second layer that forms each channel from itself alone, a 1x1 convolution with weights on its diagonal:

- A channel with multiplier 2 or more, whose weights have no room for a power of two: the first layer gives the accumulator itself,
  clamped to the output's range. What is clamped there is clamped after the multiplication, too, if the zero point lies within the
  range. The second layer multiplies.
- A bound b below a type's end e: one layer moves the channel up by e - b, so that the type's end is the bound, the next one back.
  A 1x1 convolution that follows needs no move back: it is a constant in its sums, so it goes into the bias.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from narrows.golden.fixed_point import mbqm
from narrows.graph.network import Clip, Conv, Depthwise, Layer, Requant, Tensor, type_limits
from narrows.hw.arithmetic.requantise import MAX_SHIFT

#: A channel's own weight is a power of two up to this one, which an int8 holds.
MAX_POWER = 6

#: The multiplier 1 as (M, shift): MBQM gives back every value.
ONE = (1 << 30, 1)


def realise(layers: Sequence[Layer], outputs: Sequence[Tensor]) -> list[list[Layer]]:
    """For each of ``layers`` those that do it, in order: none is a clip, or has a shift that there is a way around.

    ``outputs`` are the tensors that leave. Tensors of the network keep their bytes; a clip's result that only a 1x1 convolution reads is
    never formed.
    """
    readers = Counter(id(tensor) for layer in layers for tensor in layer.inputs)
    readers.update(id(tensor) for tensor in outputs)
    result: list[list[Layer]] = []
    moved: dict[int, tuple[Tensor, np.ndarray]] = {}  # by a clip's result: the tensor there is instead, and what is added to it
    for index, layer in enumerate(layers):
        if isinstance(layer, Clip):
            steps, source, offset = _clipped(layer)
            follows = layers[index + 1] if index + 1 < len(layers) else None
            if _takes_offset(follows, layer.output) and readers[id(layer.output)] == 1:
                moved[id(layer.output)] = source, offset
            else:
                steps.append(_diagonal(source, layer.output, -offset, layer))
            result.append(steps)
        elif isinstance(layer, Conv) and id(layer.inputs[0]) in moved:
            result.append(_in_two(_without_offset(layer, *moved[id(layer.inputs[0])])))
        else:
            result.append(_in_two(layer))
    return result


# Multipliers of two and more.


def _in_two(layer: Layer) -> list[Layer]:
    """``layer``, or where channels have shifts beyond the hardware's the two layers that give its bytes."""
    if not isinstance(layer, Conv | Depthwise):
        return [layer]
    layer = _with_larger_weights(layer)
    requant = layer.requant
    large = _large(layer)
    if not large.any():
        return [layer]
    output = replace(layer.output, name=f"{layer.output.name} (before its multiplier)", index=-1)
    most = 127 if layer.weights.dtype == np.int8 else 255
    # As little of the shift as must be goes into the weight.
    power = np.where(large, requant.shift - MAX_SHIFT, 0)
    assert (1 << power).max() <= most
    first = replace(
        requant, multiplier=np.where(large, ONE[0], requant.multiplier), shift=np.where(large, ONE[1], requant.shift),
    )  # fmt: skip
    second = replace(
        requant, multiplier=np.where(large, requant.multiplier, ONE[0]), shift=np.where(large, requant.shift - power, ONE[1]),
    )  # fmt: skip
    zeros = np.zeros(len(power), np.int64)
    return [
        replace(layer, output=output, requant=first),
        replace(_conv(output, layer.output, zeros, second, layer), weights=_weights(1 << power, layer.weights.dtype)),
    ]


def _with_larger_weights(layer: Conv | Depthwise) -> Conv | Depthwise:
    """``layer`` with what its channels' weights have room for of shifts beyond the hardware's: a shift is a factor of every sum."""
    power = np.clip(layer.requant.shift - MAX_SHIFT, 0, MAX_POWER)
    largest = 127 if layer.weights.dtype == np.int8 else 255
    power = np.where(np.abs(layer.factors()).max(axis=1) << power <= largest, power, 0)
    if layer.weight_zero_point or not power.any():
        return layer
    axes = (1,) * (layer.weights.ndim - 1)
    scale = 1 << (power if isinstance(layer, Depthwise) else power.reshape(-1, *axes))
    weights = (layer.weights.astype(np.int64) * scale).astype(layer.weights.dtype)
    requant = replace(layer.requant, shift=layer.requant.shift - power)
    return replace(layer, weights=weights, bias=layer.bias << power, requant=requant)


def _large(layer: Conv | Depthwise) -> np.ndarray:
    """Which channels have a multiplier of 2 or more that two layers can apply exactly; others are as they were."""
    requant, power = layer.requant, layer.requant.shift - MAX_SHIFT
    large = (power > 0) & (requant.multiplier >= 1 << 30)
    least, most = layer.reach()
    # The reference's shift must not overflow, and the weight must be one.
    fits = (np.maximum(np.abs(least), np.abs(most)) < 1 << np.maximum(31 - requant.shift, 0)) & (power <= MAX_POWER)
    alike = _bytes(requant, least) == _bytes(requant, most)  # a constant, which has a way of its own
    return large & fits & ~alike & (requant.lo <= requant.zero_point <= requant.hi)


def _bytes(requant: Requant, acc: np.ndarray) -> np.ndarray:
    """The output of each channel for its accumulator ``acc``, where the shift does not overflow."""
    return np.clip(mbqm(acc, requant.multiplier, requant.shift) + requant.zero_point, requant.lo, requant.hi)


# Bounds of a channel's own.


def _clipped(clip: Clip) -> tuple[list[Layer], Tensor, np.ndarray]:
    """What clips; the tensor that is there then, and by how much each of its channels is moved."""
    result: list[Layer] = []
    lowest, highest = type_limits(clip.output.dtype)
    source, offset = clip.inputs[0], np.zeros(len(clip.hi), np.int64)
    for bound, end in (clip.hi, highest), (clip.lo, lowest):
        if (bound == end).all():
            continue
        output = replace(clip.output, name=f"{clip.output.name} (moved)", index=-1)
        result.append(_diagonal(source, output, end - bound - offset, clip))
        source, offset = output, end - bound
    return result, source, offset


def _diagonal(source: Tensor, output: Tensor, move: np.ndarray, layer: Layer) -> Conv:
    """The layer that adds ``move`` to each channel and clamps to the type."""
    requant = Requant(np.full(len(move), ONE[0]), np.full(len(move), ONE[1]), output.zero_point, *type_limits(output.dtype))
    return _conv(source, output, move, requant, layer)


def _conv(source: Tensor, output: Tensor, bias: np.ndarray, requant: Requant, layer: Layer) -> Conv:
    """A 1x1 convolution of each channel with itself, in the name of ``layer``; no work of the network's."""
    ones = np.ones(len(bias), np.int64)
    return Conv(
        f"{layer.name} (channel by channel)", layer.op, (source,), output, 0, _weights(ones, source.dtype), 0, bias, requant,
        (1, 1), (1, 1), (1, 1), (0, 0, 0, 0),
    )  # fmt: skip


def _weights(diagonal: np.ndarray, dtype: np.typing.DTypeLike) -> np.ndarray:
    return np.diag(diagonal).astype(dtype).reshape(len(diagonal), 1, 1, -1)


def _takes_offset(layer: Layer | None, tensor: Tensor) -> bool:
    """Whether ``layer`` is a 1x1 convolution that reads ``tensor``, whose padding there is none of."""
    return isinstance(layer, Conv) and layer.inputs[0] is tensor and layer.kernel == (1, 1) and not any(layer.pad)


def _without_offset(layer: Conv, source: Tensor, offset: np.ndarray) -> Conv:
    """``layer`` reading ``source``, whose channels are moved by ``offset``."""
    return replace(layer, inputs=(source,), bias=layer.bias - layer.factors() @ offset)
