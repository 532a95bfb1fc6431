"""The operators around a network, as ``narrows.golden.operators`` runs them."""

from __future__ import annotations

import numpy as np

from narrows.golden import kernels, kernels_host, quantization
from narrows.golden.operators import BYTES, Call, addition, operator
from narrows.golden.quantization import scale_of, zero_point_of

INTEGERS = ("int32", "int64")
COPIED = (*BYTES, "float32", *INTEGERS)  # types of operators that only move values


def _same_quantisation(call: Call) -> None:
    """A byte operator that only moves values keeps scale and zero point; a file where they differ is damaged."""
    if call.output.dtype in BYTES and call.source(0).scale is not None:
        a, b = call.source(0), call.output
        if scale_of(a) != scale_of(b) or zero_point_of(a) != zero_point_of(b):
            call.refuse("input and output have different scales; quantise the model again")


@operator("QUANTIZE")
def _quantize(call: Call) -> np.ndarray:
    call.types(call.output)
    output, zero = call.output, zero_point_of(call.output)
    if call.types(call.source(0), allowed=(*BYTES, "float32")) == "float32":
        # The kernel casts to int32, and what a cast does beyond it, C++ leaves to the machine.
        if not (np.abs(call.value() / scale_of(output)) < 2**31 - 256).all():
            call.refuse("a number (NaN, say) that is no int32 at the output's scale, so the result isn't defined; give smaller ones")
        return kernels_host.quantize(call.value(), scale_of(output), zero, output.dtype)
    multiplier, shift = quantization.rescale_multiplier(call.source(0), output)
    ends = quantization.limits(output.dtype)
    return kernels_host.requantize(
        call.value(), zero_point_of(call.source(0)), multiplier, shift, zero, *ends, output.dtype
    )


@operator("DEQUANTIZE")
def _dequantize(call: Call) -> np.ndarray:
    if call.types(call.source(0), allowed=(*BYTES, "float16")) == "float16":
        return call.value().astype(np.float32)
    return kernels_host.dequantize(call.value(), scale_of(call.source(0)), zero_point_of(call.source(0)))


def relu_constants(call: Call) -> tuple[int, int, int, int, int]:
    """Check RELU, RELU6 or RELU_N1_TO_1 of bytes: (multiplier, shift, zero point, lo, hi)."""
    call.types(call.source(0), call.output)
    lo, hi = quantization.activation_range(call.op.name, call.output)
    return *quantization.relu_multiplier(call.source(0), call.output), zero_point_of(call.output), lo, hi


@operator("RELU", "RELU6", "RELU_N1_TO_1")
def _relu(call: Call) -> np.ndarray:
    if call.output.dtype == "float32":
        low, high = {"RELU": (0, None), "RELU6": (0, 6), "RELU_N1_TO_1": (-1, 1)}[call.op.name]
        return np.clip(call.value(), np.float32(low), None if high is None else np.float32(high))
    constants = relu_constants(call)
    return kernels_host.requantize(call.value(), zero_point_of(call.source(0)), *constants, call.output.dtype)


@operator("MINIMUM", "MAXIMUM")
def _extremum(call: Call) -> np.ndarray:
    call.types(call.source(0), call.source(1), call.output, allowed=COPIED)
    call.expect(np.broadcast_shapes(call.source(0).shape, call.source(1).shape))
    return (np.minimum if call.op.name == "MINIMUM" else np.maximum)(call.value(0), call.value(1))


def plain_elementwise(call: Call) -> np.ndarray:
    """ADD, SUB, MUL or DIV of float32 (one rounding, then the fused activation), or of integers that hold a shape."""
    a, b = call.source(0), call.source(1)
    dtype = call.types(a, b, call.output, allowed=("float32", "int32", "int64"))
    call.expect(np.broadcast_shapes(a.shape, b.shape))
    functions = {"ADD": np.add, "SUB": np.subtract, "MUL": np.multiply, "DIV": np.divide}
    if dtype != "float32":
        if call.activation != "NONE" or call.op.name == "DIV":
            call.refuse(f"integers with activation {call.activation}")
        return np.asarray(functions[call.op.name](call.value(0), call.value(1)))
    result = np.asarray(functions[call.op.name](call.value(0), call.value(1)))
    low, high = {"NONE": (None, None), "RELU": (0, None), "RELU6": (0, 6), "RELU_N1_TO_1": (-1, 1)}[call.activation]
    return result if low is None else np.clip(result, np.float32(low), None if high is None else np.float32(high))


@operator("ADD", "SUB")
def _add(call: Call) -> np.ndarray:
    if call.output.dtype not in BYTES:
        return plain_elementwise(call)
    constants = addition(call)
    zero_points = zero_point_of(call.source(0)), zero_point_of(call.source(1))
    return kernels.add(call.value(0), call.value(1), zero_points, *constants)


@operator("MUL", "DIV")
def _mul(call: Call) -> np.ndarray:
    if call.output.dtype not in BYTES or call.op.name == "DIV":
        return plain_elementwise(call)
    a, b = call.source(0), call.source(1)
    call.types(a, b, call.output)
    call.expect(np.broadcast_shapes(a.shape, b.shape))
    m = quantization.mul_multiplier(a, b, call.output)
    zero_points = zero_point_of(a), zero_point_of(b)
    return kernels_host.mul(call.value(0), call.value(1), zero_points, m, zero_point_of(call.output), *call.limits())


@operator("SOFTMAX")
def _softmax(call: Call) -> np.ndarray:
    source, output = call.source(0), call.output
    if not source.shape:
        call.refuse("a scalar input", source.index)
    dtype = call.types(source, output, allowed=(*BYTES, "float32"))
    if dtype == "float32":
        return kernels_host.softmax_float(call.value(), call.op.options["beta"])
    if scale_of(output) != np.float32(1 / 256) or zero_point_of(output) != quantization.limits(dtype)[0]:
        call.refuse("an output scale other than 1/256; quantise the model again")
    return kernels_host.softmax(call.value(), scale_of(source), call.op.options["beta"])


@operator("LOGISTIC")
def _logistic(call: Call) -> np.ndarray:
    source, output = call.source(0), call.output
    if call.types(source, output, allowed=(*BYTES, "float32")) == "float32":
        return kernels_host.logistic_float(call.value())
    ends = scale_of(source), zero_point_of(source), scale_of(output), zero_point_of(output)
    return kernels_host.logistic(call.value(), *ends)


@operator("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
def _reshape(call: Call) -> np.ndarray:
    x = call.value()
    call.types(call.source(0), call.output, allowed=COPIED)
    shape = call.output.shape
    if call.op.name == "RESHAPE":
        wanted = call.value(1).reshape(-1).tolist() if call.has(1) else list(call.op.options["new_shape"])
        if len(wanted) > 8 or (wanted and not _fits(shape, wanted)):
            call.refuse(f"the new shape is {wanted}, the file says {list(shape)}")
    elif [d for d in shape if d != 1] != [d for d in x.shape if d != 1]:
        call.refuse(f"shape {list(x.shape)} doesn't become {list(shape)} by dimensions of 1")
    if int(np.prod(shape)) != x.size:
        call.refuse(f"shape {list(x.shape)} can't become {list(shape)}")
    return x.reshape(shape)


def _fits(shape: tuple[int, ...], wanted: list[int]) -> bool:
    return len(shape) == len(wanted) and all(w in (-1, d) for d, w in zip(shape, wanted, strict=True))


@operator("TRANSPOSE")
def _transpose(call: Call) -> np.ndarray:
    call.types(call.source(0), call.output, allowed=COPIED)
    order = [int(a) % max(len(call.source(0).shape), 1) for a in call.value(1).reshape(-1)[:9]]
    if sorted(order) != list(range(len(call.source(0).shape))):
        call.refuse(f"permutation {order} of shape {list(call.source(0).shape)}")
    return np.ascontiguousarray(call.value().transpose(order))


def pad_amounts(call: Call) -> np.ndarray:
    """The paddings of PAD and PADV2, shape (rank, 2), checked against the shapes."""
    source = call.source(0)
    call.types(source, call.output, allowed=COPIED)
    _same_quantisation(call)
    amounts = call.value(1)
    if amounts.shape != (len(source.shape), 2) or amounts.dtype.kind != "i" or (amounts < 0).any():
        call.refuse(f"paddings of shape {list(amounts.shape)}, or negative ones, on shape {list(source.shape)}")
    call.expect([n + int(a) + int(b) for n, (a, b) in zip(source.shape, amounts.tolist(), strict=True)])
    return amounts


def pad_fill(call: Call) -> int | float:
    """The value PAD or PADV2 fills with, in the type's own range."""
    if call.op.name == "PADV2":
        if call.value(2).size != 1:
            call.refuse("more than one fill value")
        return call.value(2).reshape(()).item()
    return zero_point_of(call.output) if call.output.dtype in BYTES and call.output.scale is not None else 0


@operator("PAD", "PADV2")
def _pad(call: Call) -> np.ndarray:
    amounts = pad_amounts(call)
    return np.pad(call.value(), amounts.tolist(), constant_values=pad_fill(call))


@operator("CONCATENATION")
def _concatenation(call: Call) -> np.ndarray:
    parts = [call.source(i) for i in range(len(call.op.inputs))]
    dtype = call.types(call.output, *parts, allowed=COPIED)
    rank, axis = len(call.output.shape), call.op.options["axis"]
    if not parts or call.activation != "NONE" or not -rank <= axis < rank:
        call.refuse(f"{len(parts)} inputs along axis {axis} with activation {call.activation}")
    values = [call.value(i) for i in range(len(parts))]
    if dtype not in BYTES or call.output.scale is None:
        return np.concatenate(values, axis=axis)
    scales, zeros = [scale_of(p) for p in parts], [zero_point_of(p) for p in parts]
    output = scale_of(call.output), zero_point_of(call.output)
    if dtype == "int8" and any((s, z) != output for s, z in zip(scales, zeros, strict=True)):
        call.refuse("int8 inputs of different scales; quantise the model again")
    return kernels_host.concatenation(values, scales, zeros, *output, axis=axis)


@operator("RESIZE_BILINEAR")
def _resize_bilinear(call: Call) -> np.ndarray:
    source = call.source(0)
    call.types(source, call.output)
    size = tuple(int(n) for n in call.value(1).reshape(-1)[:3])
    if len(source.shape) != 4 or 0 in source.shape or len(size) != 2 or min(size) < 1:
        call.refuse(f"size {list(size)} for shape {list(source.shape)}", source.index)
    call.expect((source.shape[0], *size, source.shape[3]))
    flags = {name: bool(call.op.options[name]) for name in ("align_corners", "half_pixel_centers")}
    return kernels_host.resize_bilinear(call.value(), size, **flags)


@operator("ARG_MAX")
def _arg_max(call: Call) -> np.ndarray:
    call.types(call.source(0), allowed=(*BYTES, "float32"))
    axis, rank = int(call.value(1).reshape(())), len(call.source(0).shape)
    if not -rank <= axis < rank or 0 in call.source(0).shape:
        call.refuse(f"axis {axis} of shape {list(call.source(0).shape)}")
    return call.value().argmax(axis=axis).astype(call.types(call.output, allowed=INTEGERS))
