"""Operators without a layer of their own: each rule folds one into what is around it, exactly, or declines.

A rule takes the import's state and an operator and returns whether it applied; ``RULES`` lists by
operator the rules to try in order. What a rule did is said in the network's notes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from narrows.golden import quantization
from narrows.golden.operators import Call
from narrows.golden.operators_host import pad_amounts, pad_fill, relu_constants
from narrows.graph.network import Add, Clip, Conv, Depthwise, Layer, Pool
from narrows.importer.lowering import Lowering, Value, append_pointwise, layer_name

IDENTITY = (1 << 30, 1)  # the multiplier and shift of 1.0: MBQM gives back every value

Rule = Callable[[Lowering, Call], bool]


def _see_through(low: Lowering, call: Call, **changes: object) -> None:
    """``call``'s output holds its input's bytes, with ``changes`` to the :class:`Value`."""
    value = low.operand(call, padded=True, channels_first=True)
    alone = value.alone and low.alone(call.output.index)
    low.values[call.output.index] = replace(value, alone=alone, **changes)


def shape_vanishes(low: Lowering, call: Call) -> bool:
    """RESHAPE, SQUEEZE, EXPAND_DIMS: the bytes stay where they are; who reads them checks the shape."""
    low.operand(call, channels_first=True)
    call.types(call.source(0), call.output)
    if np.prod(call.source(0).shape) != np.prod(call.output.shape):
        call.refuse(f"shape {list(call.source(0).shape)} can't become {list(call.output.shape)}")
    if not _same_scale(call) or _zero_points(call)[0] != _zero_points(call)[1]:
        call.refuse("input and output have different scales; quantise the model again")
    _see_through(low, call)
    return True


def _permutation(call: Call) -> list[int]:
    shape = call.source(0).shape
    order = [int(a) % max(len(shape), 1) for a in call.value(1).reshape(-1)[:9]]
    if sorted(order) != list(range(len(shape))):
        call.refuse(f"permutation {order} of shape {list(shape)}")
    return order


def transpose_of_ones_vanishes(low: Lowering, call: Call) -> bool:
    """TRANSPOSE that only moves dimensions of 1 leaves the bytes where they are."""
    moved = [a for a in _permutation(call) if call.source(0).shape[a] != 1]
    return moved == sorted(moved) and shape_vanishes(low, call)


def transpose_waits_for_its_reader(low: Lowering, call: Call) -> bool:
    """TRANSPOSE to channels first, and back: a FULLY_CONNECTED takes it into its weights, nothing else does."""
    value, order = low.operand(call, channels_first=True), _permutation(call)
    height, width, channels = value.tensor.shape
    here = ((1, channels, height, width), [0, 2, 3, 1]) if value.channels_first else (value.shape, [0, 3, 1, 2])
    if (call.source(0).shape, order) != here:
        call.refuse("moves data between layers; convert the model to channels-last (NHWC)")
    _see_through(low, call, channels_first=not value.channels_first)
    return True


def pad_folds_into_convolutions(low: Lowering, call: Call) -> bool:
    """PAD with the zero point: the convolutions that read it take the pixels as their own padding."""
    value, amounts = low.operand(call, padded=True), pad_amounts(call)
    if len(amounts) != 4 or amounts[[0, 3]].any() or value.shape != call.source(0).shape:
        call.refuse(f"pads {amounts.tolist()}; only height and width of an image can be padded")
    if pad_fill(call) != value.tensor.zero_point:
        call.refuse(f"fills with {pad_fill(call)}, not with the zero point {value.tensor.zero_point}; use PAD")
    sides = amounts[1, 0], amounts[2, 0], amounts[1, 1], amounts[2, 1]
    _see_through(low, call, pad=tuple(int(a) + b for a, b in zip(sides, value.pad, strict=True)))
    low.note(call, "folded into the convolutions that read it")
    return True


def _same_scale(call: Call) -> bool:
    return quantization.scale_of(call.source(0)) == quantization.scale_of(call.output)


def _zero_points(call: Call) -> tuple[int, int]:
    return quantization.zero_point_of(call.source(0)), quantization.zero_point_of(call.output)


def _clamp_into_producer(low: Lowering, call: Call, lo: int, hi: int) -> bool:
    """Fold clamp(x - z_in + z_out, lo, hi) into the layer that gives x, if nothing else reads x."""
    value = low.operand(call)
    z_in, z_out = _zero_points(call)
    if value.layer is None or not value.alone:
        return False
    producer, move = low.layers[value.layer], z_out - z_in
    if isinstance(producer, Clip) or (isinstance(producer, Pool) and producer.kind == "average" and move):
        return False  # it has no one bound, or no zero point to move
    output = low.tensor(call, value.tensor.shape)
    low.note(call, f"folded into the clamp of {producer.name}")
    low.layers[value.layer] = _reclamped(
        producer, move, lo, hi, name=layer_name(call.op), op=call.op.index, output=output
    )
    low.values[call.output.index] = Value(output, alone=low.alone(call.output.index), layer=value.layer)
    return True


def _reclamped(layer: Layer, move: int, lo: int, hi: int, **changes: object) -> Layer:
    """``layer`` followed by clamp(. + move, lo, hi). Clamping both ends is right even for ranges that don't meet."""

    def bounds(old_lo: int, old_hi: int) -> dict[str, int]:
        return {"lo": min(max(old_lo + move, lo), hi), "hi": min(max(old_hi + move, lo), hi)}

    if isinstance(layer, Conv | Depthwise):
        old = layer.requant
        requant = replace(old, zero_point=old.zero_point + move, **bounds(old.lo, old.hi))
        return replace(layer, requant=requant, **changes)
    assert isinstance(layer, Add | Pool)
    return replace(layer, zero_point=layer.zero_point + move, **bounds(layer.lo, layer.hi), **changes)


def relu_folds(low: Lowering, call: Call) -> bool:
    """RELU, RELU6, RELU_N1_TO_1 of the producer's own scale narrow its clamp."""
    multiplier, shift, _, lo, hi = relu_constants(call)
    return (multiplier, shift) == IDENTITY and _clamp_into_producer(low, call, lo, hi)


def relu_is_depthwise(low: Lowering, call: Call) -> bool:
    """A RELU that changes the scale, or whose input others read too, runs as a 1x1 depthwise convolution."""
    append_pointwise(low, call, *relu_constants(call))
    low.note(call, "run as a 1x1 depthwise convolution")
    return True


def _extremum_bounds(low: Lowering, call: Call) -> tuple[Call, np.ndarray, np.ndarray]:
    """MINIMUM or MAXIMUM with a constant, as a clamp (lo, hi) of each channel; the call has the activation first."""
    op = call.op
    if len(op.inputs) == 2 and low.constant(op.inputs[0]) is not None:
        call = low.call(replace(op, inputs=op.inputs[::-1]))
    bound, dtype = low.constant(call.source(1).index), call.types(call.source(0), call.source(1), call.output)
    channels = low.operand(call).tensor.shape[2]
    if bound is None or bound.size not in (1, channels) or bound.size != max(bound.shape[-1:], default=1):
        call.refuse("its bound is no constant, one for all channels or one for each; export the model without it", call.source(1).index)
    call.expect(np.broadcast_shapes(call.source(0).shape, call.source(1).shape))
    if not _same_scale(call) or _zero_points(call)[0] != _zero_points(call)[1]:
        call.refuse("input and output have different scales; quantise the model again")
    bounds = np.broadcast_to(bound.reshape(-1).astype(np.int64), channels)
    lo, hi = (np.full(channels, limit) for limit in quantization.limits(dtype))
    return (call, lo, bounds) if op.name == "MINIMUM" else (call, bounds, hi)


def _one_bound(low: Lowering, call: Call) -> tuple[Call, int, int] | None:
    """The same where all channels have the same bound."""
    call, lo, hi = _extremum_bounds(low, call)
    return None if np.ptp(lo) or np.ptp(hi) else (call, int(lo[0]), int(hi[0]))


def extremum_folds(low: Lowering, call: Call) -> bool:
    """MINIMUM and MAXIMUM with a constant narrow the producer's clamp."""
    found = _one_bound(low, call)
    return found is not None and _clamp_into_producer(low, *found)


def extremum_is_depthwise(low: Lowering, call: Call) -> bool:
    """A MINIMUM or MAXIMUM whose input others read too runs as a 1x1 depthwise convolution."""
    if (found := _one_bound(low, call)) is None:
        return False
    call, lo, hi = found
    append_pointwise(low, call, *IDENTITY, _zero_points(call)[1], lo, hi)
    low.note(call, "run as a 1x1 depthwise convolution")
    return True


def extremum_of_channels(low: Lowering, call: Call) -> bool:
    """MINIMUM and MAXIMUM with a constant for each channel; :mod:`narrows.importer.channelwise` says how they run."""
    call, lo, hi = _extremum_bounds(low, call)
    tensor = low.operand(call).tensor
    output = low.tensor(call, tensor.shape)
    low.append(call, Clip(name=layer_name(call.op), op=call.op.index, inputs=(tensor,), output=output, macs=0, lo=lo, hi=hi))
    low.note(call, "one bound per channel: run as 1x1 convolutions of each channel with itself")
    return True


def quantize_folds(low: Lowering, call: Call) -> bool:
    """QUANTIZE to the same scale only moves the zero point: the producer's."""
    dtype = call.types(call.source(0), call.output)
    same = quantization.rescale_multiplier(call.source(0), call.output) == IDENTITY
    return same and _clamp_into_producer(low, call, *quantization.limits(dtype))


def quantize_is_depthwise(low: Lowering, call: Call) -> bool:
    """QUANTIZE to another scale between layers runs as a 1x1 depthwise convolution."""
    dtype = call.types(call.source(0), call.output)
    multiplier = quantization.rescale_multiplier(call.source(0), call.output)
    append_pointwise(low, call, *multiplier, _zero_points(call)[1], *quantization.limits(dtype))
    low.note(call, "run as a 1x1 depthwise convolution")
    return True


_RELU: tuple[Rule, ...] = (relu_folds, relu_is_depthwise)
_EXTREMUM: tuple[Rule, ...] = (extremum_folds, extremum_is_depthwise, extremum_of_channels)

RULES: dict[str, tuple[Rule, ...]] = {
    "RESHAPE": (shape_vanishes,),
    "SQUEEZE": (shape_vanishes,),
    "EXPAND_DIMS": (shape_vanishes,),
    "TRANSPOSE": (transpose_of_ones_vanishes, transpose_waits_for_its_reader),
    "PAD": (pad_folds_into_convolutions,),
    "PADV2": (pad_folds_into_convolutions,),
    "RELU": _RELU,
    "RELU6": _RELU,
    "RELU_N1_TO_1": _RELU,
    "MINIMUM": _EXTREMUM,
    "MAXIMUM": _EXTREMUM,
    "QUANTIZE": (quantize_folds, quantize_is_depthwise),
}
# The folding rules worth trying after the last layer; what they decline the host runs.
CLAMPS: dict[str, Rule] = {name: rules[0] for name, rules in RULES.items() if rules in (_RELU, _EXTREMUM)}
