"""Run one operator of a ``.tflite`` on arrays: checks its tensors, derives its constants, calls its kernel.

``run_operator`` is the only entry. Operators the engine runs too are here; the rest of the host's are
in ``narrows.golden.operators_host`` and register themselves the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from narrows.errors import ImportRefused
from narrows.golden import kernels, quantization
from narrows.tflite.model import FileTensor, Model, Operator

BYTES = ("uint8", "int8")


@dataclass(frozen=True, eq=False)
class Call:
    """One operator with the values of its inputs (None where an optional one is absent)."""

    model: Model
    op: Operator
    values: Sequence[np.ndarray | None]

    def refuse(self, reason: str, tensor: int | None = None) -> NoReturn:
        self.model.refuse(self.op, reason, tensor)

    def source(self, i: int = 0) -> FileTensor:
        """The i-th input tensor; refuses if it isn't there."""
        if i >= len(self.op.inputs) or self.op.inputs[i] < 0:
            self.refuse(f"input {i} is missing; export the model again")
        return self.model.tensors[self.op.inputs[i]]

    def value(self, i: int = 0) -> np.ndarray:
        """The i-th input's value in its declared shape; refuses if it isn't there."""
        tensor = self.source(i)
        value = self.values[i]
        if value is None:
            self.refuse("an input has no value", tensor.index)
        if value.dtype.name != tensor.dtype or value.shape != tensor.shape:
            self.refuse(f"got {value.dtype} {list(value.shape)}, not {tensor.dtype} {list(tensor.shape)}", tensor.index)
        return value

    def has(self, i: int) -> bool:
        """Whether the optional i-th input is there."""
        return i < len(self.op.inputs) and self.op.inputs[i] >= 0

    @property
    def output(self) -> FileTensor:
        if len(self.op.outputs) != 1:
            self.refuse(f"{len(self.op.outputs)} outputs where one is expected")
        return self.model.tensors[self.op.outputs[0]]

    @property
    def activation(self) -> str:
        return self.op.options.get("activation", "NONE")

    def types(self, *tensors: FileTensor, allowed: Sequence[str] = BYTES) -> str:
        """The one type of ``tensors``, which must be in ``allowed``."""
        dtype = tensors[0].dtype
        for tensor in tensors:
            if tensor.dtype not in allowed:
                hint = "; quantise the model to 8 bits first" if tensor.dtype.startswith("float") else ""
                self.refuse(f"type {tensor.dtype}, supported: {', '.join(allowed)}{hint}", tensor.index)
            if tensor.dtype != dtype:
                self.refuse(f"types {dtype} and {tensor.dtype} are mixed; quantise with one type", tensor.index)
        return dtype

    def expect(self, shape: Sequence[int]) -> None:
        """Refuse unless the declared output shape is ``shape``; called before anything large is made."""
        if tuple(shape) != self.output.shape:
            self.refuse(f"its result has shape {list(shape)}, the file says {list(self.output.shape)}")

    def limits(self) -> tuple[int, int]:
        """The fused activation's clamp in the output's type."""
        return quantization.activation_range(self.activation, self.output)


_KERNELS: dict[str, Callable[[Call], np.ndarray]] = {}


def operator(*names: str) -> Callable[[Callable[[Call], np.ndarray]], Callable[[Call], np.ndarray]]:
    """Register a function as the implementation of operators of these names."""

    def register(function: Callable[[Call], np.ndarray]) -> Callable[[Call], np.ndarray]:
        _KERNELS.update(dict.fromkeys(names, function))
        return function

    return register


def supported() -> tuple[str, ...]:
    """Names of the operators the golden model runs, sorted."""
    return tuple(sorted(_KERNELS))


def run_operator(model: Model, op: Operator, values: Sequence[np.ndarray | None]) -> np.ndarray:
    """The output of ``op`` for its inputs' ``values``. Raises :class:`ImportRefused` if it can't be exact."""
    if op.name not in _KERNELS:
        model.refuse(op, f"not supported; the model runs {', '.join(supported())}")
    call = Call(model, op, values)
    try:
        with np.errstate(all="ignore"):  # extreme scales under- and overflow as they do in the kernels
            result = _KERNELS[op.name](call)
    except ImportRefused:
        raise
    except (ValueError, OverflowError, IndexError, TypeError, KeyError, ZeroDivisionError) as error:
        call.refuse(f"{error}; quantise or export the model again")
    call.expect(result.shape)
    if result.dtype.name != call.output.dtype:
        call.refuse(f"its result is {result.dtype}, the file says {call.output.dtype}")
    return result


@dataclass(frozen=True, eq=False)
class Convolution:
    """The constants of CONV_2D, DEPTHWISE_CONV_2D or FULLY_CONNECTED, checked. ``weights`` as the file has them."""

    source: FileTensor
    weights: np.ndarray
    weight_zero_point: int
    bias: np.ndarray
    requant: quantization.Requant
    kernel: kernels.Pair
    stride: kernels.Pair
    dilation: kernels.Pair
    pad: kernels.Pads
    out_shape: tuple[int, ...]


def convolution(call: Call) -> Convolution:
    """Check a convolution against its tensors and derive what running it needs."""
    source, weights, output = call.source(0), call.source(1), call.output
    depthwise, connected = call.op.name == "DEPTHWISE_CONV_2D", call.op.name == "FULLY_CONNECTED"
    dtype = call.types(source, weights, output)
    if weights.data is None and call.values[1] is None:
        call.refuse("the weights aren't constant", weights.index)
    data = call.value(1)
    if len(weights.shape) != (2 if connected else 4) or 0 in weights.shape:
        call.refuse(f"weights of shape {list(weights.shape)}", weights.index)
    channels = weights.shape[3] if depthwise else weights.shape[0]
    if weights.scale is not None and weights.scale.size > 1 and weights.axis != (3 if depthwise else 0):
        call.refuse(f"scales along dimension {weights.axis}, not along the output channels", weights.index)
    zero_points = np.unique(weights.zero_point) if weights.zero_point is not None else np.zeros(1, np.int64)
    if dtype == "uint8" and weights.scale is not None and weights.scale.size != 1:
        call.refuse("uint8 weights with a scale per channel; quantise to int8 instead", weights.index)
    if dtype == "int8" and (zero_points != 0).any():
        call.refuse("int8 weights with a zero point other than 0; quantise symmetrically", weights.index)
    requant = quantization.convolution_requant(
        source, weights, output, channels=channels, activation=call.activation, fully_connected=connected
    )
    geometry = _connected_geometry(call) if connected else _geometry(call, depthwise)
    return Convolution(source, data, int(zero_points[0]), _bias(call, channels), requant, *geometry)


def _bias(call: Call, channels: int) -> np.ndarray:
    if not call.has(2):
        return np.zeros(channels, np.int64)
    bias = call.source(2)
    call.types(bias, allowed=("int32",))
    if bias.shape != (channels,):
        call.refuse(f"bias of shape {list(bias.shape)} for {channels} channels", bias.index)
    if bias.zero_point is not None and bias.zero_point.any():
        call.refuse("a bias with a zero point other than 0; quantise the model again", bias.index)
    return call.value(2).astype(np.int64)


def _connected_geometry(call: Call) -> tuple:
    source, weights, options = call.source(0), call.source(1), call.op.options
    if options["weights_format"] != 0:
        call.refuse("shuffled weights; export them in the default layout", weights.index)
    features = weights.shape[1]
    size = int(np.prod(source.shape))
    if not source.shape or size % features or (options["keep_num_dims"] and source.shape[-1] != features):
        call.refuse(f"an input of shape {list(source.shape)} for {features} features", source.index)
    rows = source.shape[:-1] if options["keep_num_dims"] else (size // features,)
    out_shape = (*rows, weights.shape[0])
    call.expect(out_shape)
    return (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), out_shape


def _geometry(call: Call, depthwise: bool) -> tuple:
    source, weights, options = call.source(0), call.source(1), call.op.options
    if len(source.shape) != 4 or 0 in source.shape:
        call.refuse(f"an input of shape {list(source.shape)}, not (batch, height, width, channels)", source.index)
    batch, height, width, channels = source.shape
    kernel = weights.shape[1], weights.shape[2]
    stride = options["stride_h"], options["stride_w"]
    dilation = options["dilation_h"], options["dilation_w"]
    if min(*stride, *dilation) < 1 or max(*stride, *dilation) > 1 << 16:
        call.refuse(f"stride {stride} with dilation {dilation}")
    if depthwise and (weights.shape[0] != 1 or weights.shape[3] % channels):
        call.refuse(f"depthwise weights of shape {list(weights.shape)} on {channels} channels", weights.index)
    # Prepare ignores depth_multiplier and takes the quotient; a file where they differ is damaged.
    if depthwise and options["multiplier"] not in (0, weights.shape[3] // channels):
        call.refuse(f"depth multiplier {options['multiplier']} with {weights.shape[3]} outputs on {channels} channels")
    if not depthwise and weights.shape[3] != channels:
        call.refuse(f"weights for {weights.shape[3]} of {channels} channels (a grouped convolution)", weights.index)
    size = tuple(
        kernels.output_size(n, k, s, d, options["padding"])
        for n, k, s, d in zip((height, width), kernel, stride, dilation, strict=True)
    )
    out_shape = (batch, *size, weights.shape[3] if depthwise else weights.shape[0])
    if 0 in out_shape:
        call.refuse(f"a {kernel[0]}x{kernel[1]} window doesn't fit in {height}x{width}")
    call.expect(out_shape)
    pad = kernels.padding_amounts((height, width), kernel, stride, dilation, options["padding"])
    return kernel, stride, dilation, pad, out_shape


@operator("CONV_2D", "DEPTHWISE_CONV_2D")
def _convolve(call: Call) -> np.ndarray:
    c = convolution(call)
    kernel, weights = (kernels.conv2d, c.weights) if call.op.name == "CONV_2D" else (kernels.depthwise, c.weights[0])
    zero = quantization.zero_point_of(c.source)
    where = {"stride": c.stride, "dilation": c.dilation, "pad": c.pad}
    return kernel(call.value(0), zero, weights, c.weight_zero_point, c.bias, c.requant, **where)


@operator("FULLY_CONNECTED")
def _fully_connected(call: Call) -> np.ndarray:
    c = convolution(call)
    x = call.value(0).reshape(-1, c.weights.shape[1])
    zero = quantization.zero_point_of(c.source)
    return kernels.fully_connected(x, zero, c.weights, c.weight_zero_point, c.bias, c.requant).reshape(c.out_shape)


def pooling(call: Call) -> tuple[kernels.Pair, kernels.Pair, kernels.Pads, int, int]:
    """Check AVERAGE_POOL_2D: its window, stride, padding and clamp."""
    source, options = call.source(0), call.op.options
    call.types(source, call.output)
    if quantization.scale_of(source) != quantization.scale_of(call.output) or (
        quantization.zero_point_of(source) != quantization.zero_point_of(call.output)
    ):
        call.refuse("input and output have different scales; quantise the model again", source.index)
    kernel = options["filter_h"], options["filter_w"]
    stride = options["stride_h"], options["stride_w"]
    if len(source.shape) != 4 or 0 in source.shape or min(*kernel, *stride) < 1:
        call.refuse(f"a window {kernel} with stride {stride} on shape {list(source.shape)}", source.index)
    size = tuple(
        kernels.output_size(n, k, s, 1, options["padding"])
        for n, k, s in zip(source.shape[1:3], kernel, stride, strict=True)
    )
    call.expect((source.shape[0], *size, source.shape[3]))
    pad = kernels.padding_amounts(source.shape[1:3], kernel, stride, (1, 1), options["padding"])
    return kernel, stride, pad, *call.limits()


@operator("AVERAGE_POOL_2D")
def _average_pool(call: Call) -> np.ndarray:
    kernel, stride, pad, lo, hi = pooling(call)
    return kernels.average_pool(call.value(0), kernel, stride, pad, lo=lo, hi=hi)


def reduction(call: Call) -> tuple[tuple[int, ...], tuple[int, int, int, int, int]]:
    """Check MEAN or SUM of bytes: the axes it goes over, in order, and (multiplier, shift, zero point, lo, hi)."""
    source, output = call.source(0), call.output
    dtype, rank = call.types(source, output), len(call.source(0).shape)
    axes = tuple(sorted({int(a) % rank if rank and -rank <= a < rank else -1 for a in call.value(1).reshape(-1)[:9]}))
    if not axes or axes[0] < 0 or 0 in source.shape:
        call.refuse(f"goes over axes {call.value(1).reshape(-1)[:9].tolist()} of shape {list(source.shape)}")
    keep = call.op.options["keep_dims"]
    call.expect([1 if a in axes else n for a, n in enumerate(source.shape) if keep or a not in axes])
    if call.op.name == "SUM":
        if dtype == "int8":
            call.refuse(
                "TensorFlow Lite's reference kernel sums int8 as if it were uint8 and its other kernels do not, so no result is the "
                "right one; export a mean in its place, and multiply the weights after it"
            )
        pair = quantization.rescale_multiplier(source, output)
    else:
        pair = quantization.mean_multiplier(source, output, int(np.prod([source.shape[a] for a in axes])))
    return axes, (*pair, quantization.zero_point_of(output), *quantization.limits(dtype))


@operator("MEAN", "SUM")
def _reduce(call: Call) -> np.ndarray:
    axes, constants = reduction(call)
    return kernels.reduce(call.value(0), axes, quantization.zero_point_of(call.source(0)), *constants).reshape(call.output.shape)


def addition(call: Call) -> tuple:
    """Check ADD or SUB of bytes: (m1, m2, mo, zero point, lo, hi)."""
    a, b = call.source(0), call.source(1)
    call.types(a, b, call.output)
    call.expect(np.broadcast_shapes(a.shape, b.shape))
    pairs = quantization.add_multipliers(a, b, call.output, subtract=call.op.name == "SUB")
    return *pairs, quantization.zero_point_of(call.output), *call.limits()
