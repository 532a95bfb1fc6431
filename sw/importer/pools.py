"""Averages and sums of a plane as layers: of all of it by the depthwise unit's global pool, of windows or one axis as a convolution."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from narrows.golden.operators import Call, pooling, reduction
from narrows.golden.quantization import average_multiplier
from narrows.graph.network import Pool
from narrows.importer.lowering import LAYERS, Lowering, Value, append_window, image_operand, layer_name


def lower_average(low: Lowering, call: Call) -> None:
    """AVERAGE_POOL_2D over the whole plane, or over windows that all lie inside it."""
    value = image_operand(low, call)
    low.operand(call)  # refuses padding
    height, width, _ = value.tensor.shape
    kernel, stride, pad, lo, hi = pooling(call)
    output = low.tensor(call, call.output.shape[1:])
    if output.shape[:2] == (1, 1) and kernel[0] - pad[0] >= height and kernel[1] - pad[1] >= width:
        kernel, stride = (height, width), (1, 1)
    elif any(pad):
        call.refuse(f"a {kernel[0]}x{kernel[1]} window with padding counts fewer pixels at the borders; pool without padding (VALID)")
    if kernel == (height, width) and not _is_column(value):
        _append_pool(low, call, value, "average", (0, 0, output.zero_point, lo, hi))
        return
    # Raw values are averaged: what the zero point takes off each is added again.
    count = kernel[0] * kernel[1]
    constants = (*average_multiplier(count), 0, lo, hi)
    append_window(low, call, value, output, kernel=kernel, stride=stride, bias=count * value.tensor.zero_point, constants=constants)


def lower_reduction(low: Lowering, call: Call) -> None:
    """MEAN or SUM over height, width or both."""
    value = low.operand(call, channels_first=True)
    axes, constants = reduction(call)
    over = _dimensions(call, value, axes)
    if "channels" in over:
        call.refuse("goes over the channels; the engine takes means over height and width only")
    height, width, channels = value.tensor.shape
    kernel = height if "height" in over else 1, width if "width" in over else 1
    if kernel == (height, width) and not _is_column(value):
        _append_pool(low, call, value, "mean", constants)
        return
    output = low.tensor(call, (height // kernel[0], width // kernel[1], channels))
    reordered = value.channels_first and output.shape[:2] != (1, 1)
    append_window(
        low, call, value, replace(output, index=-1) if reordered else output, kernel=kernel, stride=(1, 1), constants=constants
    )
    low.values[output.index] = replace(low.values[output.index], channels_first=reordered)


def _is_column(value: Value) -> bool:
    """Whether the plane is a column of more rows than the unit takes at once: then its kernel needs a second one, of zeros."""
    return value.tensor.shape[1] == 1 and value.tensor.shape[0] > 3


def _dimensions(call: Call, value: Value, axes: tuple[int, ...]) -> set[str]:
    """Which dimensions of the plane ``axes`` of the file's shape are: it may have more ones, or neighbours as one."""
    sizes: dict[str, int] = dict(zip(("height", "width", "channels"), value.tensor.shape, strict=True))
    order = ("channels", "height", "width") if value.channels_first else ("height", "width", "channels")
    left, found = [name for name in order if sizes[name] != 1], set[str]()
    for axis, size in enumerate(call.source(0).shape):
        product, names = 1, set[str]()
        while product < size and left:
            names.add(left[0])
            product *= sizes[left.pop(0)]
        if product != size:
            shape = "x".join(str(n) for n in value.tensor.shape)
            call.refuse(f"its input {list(call.source(0).shape)} cuts through rows of a tensor of {shape}; remove the RESHAPE before it")
        found |= names if axis in axes else set()
    return found


def _append_pool(
    low: Lowering, call: Call, value: Value, kind: Literal["average", "mean"], constants: tuple[int, int, int, int, int]
) -> None:
    multiplier, shift, zero_point, lo, hi = constants
    low.append(
        call,
        Pool(
            name=layer_name(call.op), op=call.op.index, inputs=(value.tensor,), output=low.tensor(call, (1, 1, value.tensor.shape[2])),
            macs=0, kind=kind, multiplier=multiplier, shift=shift, zero_point=zero_point, lo=lo, hi=hi,
        ),
    )  # fmt: skip


LAYERS.update({"AVERAGE_POOL_2D": lower_average, "MEAN": lower_reduction, "SUM": lower_reduction})
