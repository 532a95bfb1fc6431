"""State of an import, and the operators that become layers one to one.

Operators are visited in execution order. :class:`Lowering` remembers for each tensor which layer's
bytes it holds, seen through shapes that vanish and paddings that fold; ``narrows.importer.rules`` adds the
operators that have no layer of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from narrows.golden import quantization
from narrows.golden.kernels import Pads
from narrows.golden.operators import BYTES, Call, Convolution, addition, convolution
from narrows.graph.blocks import identity_conv
from narrows.graph.network import Add, Conv, Depthwise, Layer, Requant, Tensor
from narrows.tflite.model import Model, Operator

NO_PAD: Pads = (0, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class Value:
    """What a tensor of the file holds: the bytes of ``tensor`` with ``pad`` pixels of its zero point around.

    ``channels_first``: they come in the order (channels, height, width). ``alone``: nothing else reads them.
    ``layer``: its position in the chain, None for the engine's input.
    """

    tensor: Tensor
    pad: Pads = NO_PAD
    channels_first: bool = False
    alone: bool = False
    layer: int | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The padded shape as a (1, height, width, channels) operand."""
        (height, width, channels), (top, left, bottom, right) = self.tensor.shape, self.pad
        return 1, height + top + bottom, width + left + right, channels


@dataclass(eq=False)
class Lowering:
    """``constants`` (tensor index to value) hold folded subgraphs, ``uses`` the live readers of each tensor."""

    model: Model
    constants: dict[int, np.ndarray]
    uses: Counter[int]
    values: dict[int, Value] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    origins: list[list[int]] = field(default_factory=list)

    @contextmanager
    def recording(self, op: Operator) -> Iterator[None]:
        """Keep in ``origins`` which layers ``op`` adds or changes meanwhile: of each layer the operators, by index, first its own."""
        places = {value.layer for i in op.inputs if (value := self.values.get(i)) is not None and value.layer is not None}
        before = {at: self.layers[at] for at in places}
        yield
        self.origins += [[] for _ in self.layers[len(self.origins) :]]
        for at, layer in enumerate(self.layers):
            if (at in before and layer is not before[at]) or not self.origins[at]:
                self.origins[at].append(op.index)

    def call(self, op: Operator) -> Call:
        """``op`` with its constant inputs' values."""
        return Call(self.model, op, [self.constant(i) for i in op.inputs])

    def constant(self, index: int) -> np.ndarray | None:
        """The tensor's constant value, or None for an activation or an absent input."""
        return None if index < 0 else self.constants.get(index, self.model.tensors[index].data)

    def tensor(self, call: Call, shape: Sequence[int]) -> Tensor:
        """``call``'s output as a tensor of the engine of ``shape`` (height, width, channels)."""
        out = call.output
        height, width, channels = (int(n) for n in shape)
        scale, zero_point = float(quantization.scale_of(out)), quantization.zero_point_of(out)
        dtype: Any = call.types(out)
        return Tensor(out.name, out.index, (height, width, channels), dtype, scale, zero_point)

    def operand(self, call: Call, i: int = 0, *, padded: bool = False, channels_first: bool = False) -> Value:
        """The engine's value behind input ``i``; refuses a constant, padding and reordered bytes unless allowed."""
        source = call.source(i)
        value = self.values.get(source.index)
        if value is None:
            call.refuse("a constant where an activation is expected; fold it into a convolution", source.index)
        if value.pad != NO_PAD and not padded:
            call.refuse("reads a padded tensor; only convolutions take padding", source.index)
        if value.channels_first and not channels_first:
            call.refuse("reads a transposed tensor; convert the model to channels-last (NHWC)", source.index)
        return value

    def alone(self, index: int) -> bool:
        """Whether exactly one live operator reads the tensor, and it isn't a graph output."""
        return self.uses[index] == 1 and index not in self.model.outputs

    def append(self, call: Call, layer: Layer) -> None:
        """Put ``layer`` at the chain's end as the producer of ``call``'s output."""
        self.layers.append(layer)
        index = call.output.index
        self.values[index] = Value(layer.output, alone=self.alone(index), layer=len(self.layers) - 1)

    def note(self, call: Call, text: str) -> None:
        self.notes.append(f"{call.op}: {text}")


def layer_name(op: Operator) -> str:
    """A layer's name: index and name of its operator in the file."""
    return f"{op.index} {op.name}"


def image_operand(low: Lowering, call: Call) -> Value:
    value = low.operand(call, padded=True)
    if value.shape != call.source(0).shape:
        call.refuse(
            f"reads shape {list(call.source(0).shape)} where the engine has {list(value.shape)}; "
            "remove the RESHAPE or TRANSPOSE before it",
            call.source(0).index,
        )
    return value


def lower_convolution(low: Lowering, call: Call) -> None:
    """CONV_2D and DEPTHWISE_CONV_2D, with the padding of PAD operators before them."""
    c, value = convolution(call), image_operand(low, call)
    pad = tuple(a + b for a, b in zip(c.pad, value.pad, strict=True))
    output = low.tensor(call, c.out_shape[1:])
    macs = prod(output.shape) * prod(c.kernel)
    if call.op.name == "CONV_2D":
        low.append(call, _layer(Conv, call, value.tensor, output, c, macs * value.tensor.shape[2], pad=pad))
        return
    c = replace(c, weights=c.weights[0])
    multiplier = output.shape[2] // value.tensor.shape[2]
    if multiplier == 1:
        low.append(call, _layer(Depthwise, call, value.tensor, output, c, macs, pad=pad))
        return
    at = value.layer
    if at is not None and isinstance(producer := low.layers[at], Conv) and value.alone:
        low.layers[at] = source = _repeat_channels(producer, multiplier)
        low.note(call, f"depth multiplier {multiplier}: {producer.name} gives each channel {multiplier} times")
        low.append(call, _layer(Depthwise, call, source.output, output, c, macs, pad=pad))
    elif at is not None:
        copies = _repeat_channels(identity_conv(value.tensor), multiplier)
        low.layers.append(copies)
        low.note(call, f"depth multiplier {multiplier}: each channel of {value.tensor.name} is copied {multiplier} times first")
        low.append(call, _layer(Depthwise, call, copies.output, output, c, macs, pad=pad))
    else:
        dense = replace(c, weights=_dense(c, value.tensor.shape[2]))
        low.note(call, f"depth multiplier {multiplier}: run as a convolution with zeros between channels")
        low.append(call, _layer(Conv, call, value.tensor, output, dense, macs, pad=pad))


def _layer(kind: type, call: Call, source: Tensor, output: Tensor, c: Convolution, macs: int, **changes: Any) -> Layer:
    fields = {"kernel": c.kernel, "stride": c.stride, "dilation": c.dilation, "pad": c.pad} | changes
    return kind(
        name=layer_name(call.op), op=call.op.index, inputs=(source,), output=output, macs=macs, weights=c.weights,
        weight_zero_point=c.weight_zero_point, bias=c.bias, requant=c.requant, **fields,
    )  # fmt: skip


def _repeat_channels(layer: Conv, times: int) -> Conv:
    """``layer`` with each output channel ``times`` times in a row; its output is no tensor of the file (index -1)."""
    height, width, channels = layer.output.shape
    name = f"{layer.output.name} ({times} times)"
    output = replace(layer.output, name=name, index=-1, shape=(height, width, channels * times))
    requant = replace(
        layer.requant,
        multiplier=np.repeat(layer.requant.multiplier, times),
        shift=np.repeat(layer.requant.shift, times),
    )
    weights, bias = np.repeat(layer.weights, times, axis=0), np.repeat(layer.bias, times)
    return replace(layer, output=output, weights=weights, bias=bias, requant=requant)


def _dense(c: Convolution, channels: int) -> np.ndarray:
    """Depthwise weights (kh, kw, out) as full ones (out, kh, kw, channels), the rest at the zero point."""
    kh, kw, out = c.weights.shape
    if out * kh * kw * channels > 1 << 24:
        raise ValueError(f"a depth multiplier of {out // channels} on {channels} channels is too large to rewrite")
    weights = np.full((out, kh, kw, channels), c.weight_zero_point, c.weights.dtype)
    each = np.arange(out)
    weights[each, :, :, each // (out // channels)] = c.weights.transpose(2, 0, 1)
    return weights


def lower_fully_connected(low: Lowering, call: Call) -> None:
    """FULLY_CONNECTED as a convolution whose window is a pixel (a dense layer that keeps the plane), some of a row, rows or the plane."""
    c, value = convolution(call), low.operand(call, channels_first=True)
    height, width, channels = value.tensor.shape
    outputs, features = c.weights.shape
    pixels, rest = divmod(features, channels)
    if rest == 0 and pixels == height * width:
        window = (height, width)
    elif rest or value.channels_first:
        call.refuse(f"{features} features of a tensor of {height}x{width}x{channels}; connect whole pixels, or flatten all of them")
    elif width % pixels == 0:
        window = (1, pixels)
    elif pixels % width == 0 and height * width % pixels == 0:
        window = (pixels // width, width)
    else:
        call.refuse(f"{features} features of a tensor of {height}x{width}x{channels}; connect parts of a row, or whole rows")
    shape = (height // window[0], width // window[1], outputs)
    weights = c.weights.reshape(outputs, *window, channels)
    if value.channels_first:
        weights = c.weights.reshape(outputs, channels, *window).transpose(0, 2, 3, 1)
        low.note(call, "weights put in channels-last order")
    c = replace(c, weights=np.ascontiguousarray(weights))
    layer = _layer(Conv, call, value.tensor, low.tensor(call, shape), c, prod(shape) * features, kernel=window, stride=window)
    low.append(call, layer)


def lower_add(low: Lowering, call: Call) -> None:
    """ADD of two activations of one shape."""
    m1, m2, mo, zero_point, lo, hi = addition(call)
    a, b = low.operand(call, 0), low.operand(call, 1)
    if a.tensor.shape != b.tensor.shape:
        call.refuse(f"adds shapes {list(a.tensor.shape)} and {list(b.tensor.shape)}; only equal ones are taken")
    low.append(
        call,
        Add(
            name=layer_name(call.op), op=call.op.index, inputs=(a.tensor, b.tensor),
            output=low.tensor(call, a.tensor.shape), macs=0, m1=m1, m2=m2, mo=mo, zero_point=zero_point, lo=lo, hi=hi,
        ),
    )  # fmt: skip


def append_window(
    low: Lowering, call: Call, value: Value, output: Tensor, *, kernel: tuple[int, int], stride: tuple[int, int], bias: int = 0,
    constants: tuple[int, int, int, int, int],
) -> None:
    """A depthwise convolution of ``value`` to ``output`` with weights of 1: clamp(MBQM(sum of (x - z_in) + bias) + zero_point, lo, hi) of
    each window, by ``constants`` (multiplier, shift, zero point, lo, hi)."""
    channels = value.tensor.shape[2]
    multiplier, shift, *ends = constants
    low.append(
        call,
        Depthwise(
            name=layer_name(call.op), op=call.op.index, inputs=(value.tensor,), output=output, macs=0,
            weights=np.ones((*kernel, channels), value.tensor.dtype), weight_zero_point=0, bias=np.full(channels, bias),
            requant=Requant(np.full(channels, multiplier), np.full(channels, shift), *ends), kernel=kernel, stride=stride,
            dilation=(1, 1), pad=NO_PAD,
        ),
    )  # fmt: skip


def append_pointwise(low: Lowering, call: Call, *constants: int) -> None:
    """An operator that maps each byte by itself, as a 1x1 depthwise convolution with weights of 1.

    It gives clamp(MBQM(x - z_in) + zero_point, lo, hi), which is what QUANTIZE and RELU are.
    """
    value = low.operand(call)
    call.types(call.source(0), call.output, allowed=BYTES)
    multiplier, shift, zero_point, lo, hi = constants
    output = low.tensor(call, value.tensor.shape)
    append_window(low, call, value, output, kernel=(1, 1), stride=(1, 1), constants=(multiplier, shift, zero_point, lo, hi))


LAYERS = {
    "CONV_2D": lower_convolution,
    "DEPTHWISE_CONV_2D": lower_convolution,
    "FULLY_CONNECTED": lower_fully_connected,
    "ADD": lower_add,
}  # narrows.importer.pools adds pools
