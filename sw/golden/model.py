"""The golden model: what every byte has to be.

:func:`run_model` runs a ``.tflite`` operator by operator, as TFLite's reference kernels do, and
:func:`run_network` the engine's layers, which must give the same bytes. The arithmetic's parts are in
``narrows.golden.fixed_point``, ``narrows.golden.kernels`` and ``narrows.golden.kernels_host`` and are re-exported here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import singledispatch

import numpy as np

from narrows.errors import ImportRefused, NarrowsError
from narrows.golden import kernels, operators_host, operators_shape
from narrows.golden.fixed_point import mbqm, quantize_multiplier, requantise
from narrows.golden.kernels import add, average_pool, conv2d, depthwise, fully_connected, reduce
from narrows.golden.kernels_host import softmax
from narrows.golden.operators import run_operator
from narrows.graph.network import Add, Conv, Depthwise, HostOp, Layer, Network, Pool
from narrows.tflite.model import FileTensor, Model, Operator

__all__ = [
    "add", "average_pool", "conv2d", "depthwise", "fully_connected", "mbqm", "quantize_multiplier", "reduce",
    "requantise", "run_layer", "run_model", "run_network", "run_post", "run_pre", "softmax",
]  # fmt: skip

HOST_ONLY = {"TFLite_Detection_PostProcess"}  # floating point after the last integer tensor: the caller's own work
Observer = Callable[[Operator, np.ndarray], None]
assert operators_host and operators_shape  # imported to register their operators


def as_input(tensor: FileTensor, value: np.ndarray) -> np.ndarray:
    """``value`` as the graph input ``tensor``: its type exactly, its shape with or without the batch of 1."""
    value = np.asarray(value)
    if value.shape == tensor.shape[1:] and tensor.shape[:1] == (1,):
        value = value[None]
    if value.shape != tensor.shape or value.dtype.name != tensor.dtype:
        raise NarrowsError(
            f"{tensor}: the input is {value.dtype} {list(value.shape)}, "
            f"the model takes {tensor.dtype} {list(tensor.shape)}"
        )
    return value.astype(tensor.dtype, copy=False)  # in the machine's order of bytes


def run_model(
    model: Model, inputs: Mapping[int, np.ndarray] | np.ndarray, observer: Observer | None = None
) -> dict[int, np.ndarray]:
    """Run ``model``, operators whose results nobody reads left out; the result maps tensor index to value, constants left out.

    ``inputs`` maps graph input to value, or is the value of the only one. ``observer`` sees each operator with
    its output. Operators of :data:`HOST_ONLY` and what depends on them are left out. Raises
    :class:`ImportRefused` for an operator that isn't supported, :class:`NarrowsError` for a wrong input.
    """
    if not isinstance(inputs, Mapping):
        if len(model.inputs) != 1:
            raise NarrowsError(f"{model.name}: has {len(model.inputs)} inputs; give a dict by tensor index")
        inputs = {model.inputs[0]: inputs}
    if missing := set(model.inputs) - set(inputs):
        raise NarrowsError(f"{model.name}: no value for input {model.tensors[min(missing)]}")
    values = {i: as_input(model.tensors[i], inputs[i]) for i in model.inputs}
    return run_operators(model, model.live(model.operators), values, observer)


def run_operators(
    model: Model, ops: Sequence[Operator], values: dict[int, np.ndarray], observer: Observer | None = None
) -> dict[int, np.ndarray]:
    """Run ``ops`` in order on ``values`` (tensor index to value), which gets their outputs and is returned."""
    skipped: set[int] = set()
    for op in ops:
        if op.name in HOST_ONLY or skipped.intersection(op.inputs):
            skipped.update(op.outputs)
            continue
        arguments = [None if i < 0 else values.get(i, model.tensors[i].data) for i in op.inputs]
        result = run_operator(model, op, arguments)
        values[op.outputs[0]] = result
        if observer is not None:
            observer(op, result)
    return values


@singledispatch
def run_layer(layer: Layer, *inputs: np.ndarray) -> np.ndarray:
    """One layer of an imported network; ``inputs`` and the result have shape (height, width, channels)."""
    raise ImportRefused(f"{layer.name}: no arithmetic for a {type(layer).__name__} layer")


@run_layer.register
def _(layer: Conv, x: np.ndarray) -> np.ndarray:
    return _convolve(layer, kernels.conv2d, x)


@run_layer.register
def _(layer: Depthwise, x: np.ndarray) -> np.ndarray:
    return _convolve(layer, kernels.depthwise, x)


def _convolve(layer: Conv | Depthwise, kernel: Callable[..., np.ndarray], x: np.ndarray) -> np.ndarray:
    return kernel(
        x[None],
        layer.inputs[0].zero_point,
        layer.weights,
        layer.weight_zero_point,
        layer.bias,
        layer.requant,
        stride=layer.stride,
        dilation=layer.dilation,
        pad=layer.pad,
        dtype=layer.output.dtype,
    )[0]


@run_layer.register
def _(layer: Add, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    zero_points = layer.inputs[0].zero_point, layer.inputs[1].zero_point
    return kernels.add(a, b, zero_points, layer.m1, layer.m2, layer.mo, layer.zero_point, layer.lo, layer.hi)


@run_layer.register
def _(layer: Pool, x: np.ndarray) -> np.ndarray:
    if layer.kind == "average":
        return kernels.average_pool(x[None], x.shape[:2], lo=layer.lo, hi=layer.hi)[0]
    constants = layer.multiplier, layer.shift, layer.zero_point, layer.lo, layer.hi
    return kernels.reduce(x, (0, 1), layer.inputs[0].zero_point, *constants, layer.output.dtype)


def run_network(network: Network, image: np.ndarray) -> list[np.ndarray]:
    """The output of every layer of ``network`` for ``image``, which has ``network.input``'s shape and type."""
    tensor = network.input
    if image.shape != tensor.shape or image.dtype.name != tensor.dtype:
        raise NarrowsError(
            f"{tensor.name}: the image is {image.dtype} {list(image.shape)}, the engine takes {tensor.dtype} "
            f"{list(tensor.shape)}"
        )
    values = {id(network.input): image}
    outputs = []
    for layer in network.layers:
        result = run_layer(layer, *(values[id(t)] for t in layer.inputs))
        values[id(layer.output)] = result
        outputs.append(result)
    return outputs


def _host(network: Network, ops: Sequence[HostOp], values: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    return run_operators(network.model, [network.model.operators[h.op] for h in ops], network.constants | values)


def run_pre(network: Network, model_input: np.ndarray) -> np.ndarray:
    """The engine's image, shape ``network.input.shape``, from the model's input (batch of 1 optional)."""
    model: Model = network.model
    source = model.inputs[0]
    values = _host(network, network.pre, {source: as_input(model.tensors[source], model_input)})
    return np.ascontiguousarray(values[network.input.index].reshape(network.input.shape))


def run_post(network: Network, *engine_outputs: np.ndarray) -> list[np.ndarray]:
    """The model's outputs, in the file's order and shapes, from the engine's, one for each of ``network.outputs``."""
    model: Model = network.model
    given = {id(tensor): value for tensor, value in zip(network.outputs, engine_outputs, strict=True)}
    values: dict[int, np.ndarray] = {}
    for index, source in network.taken.items():
        tensor, value = model.tensors[index], given[id(source)]
        if value.dtype.name != tensor.dtype or value.size != np.prod(tensor.shape):
            raise NarrowsError(
                f"{tensor}: the engine's output is {value.dtype} {list(value.shape)}, "
                f"the model has {tensor.dtype} {list(tensor.shape)} there"
            )
        values[index] = value.reshape(tensor.shape)
    return model_outputs(model, _host(network, network.post, values))


def model_outputs(model: Model, values: Mapping[int, np.ndarray]) -> list[np.ndarray]:
    """The model's outputs in the file's order, out of ``values`` (by tensor index) and its constants."""
    return [value if (value := model.tensors[i].data) is not None else values[i] for i in model.outputs]
