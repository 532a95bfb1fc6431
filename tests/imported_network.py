"""Small networks written to a file's bytes, and the import held to the model's bytes and the reference's."""

import numpy as np
from tflite_writer import Writer, WrittenTensor

from narrows.golden import model as golden
from narrows.golden import oracle
from narrows.graph.network import Network
from narrows.importer.importer import import_model
from narrows.tflite.file import parse_model


def values_of(network: Network, seed: int = 0) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """A random input of the model and every tensor for it."""
    rng, tensor = np.random.default_rng(seed), network.model.tensors[network.model.inputs[0]]
    if tensor.dtype == "float32":
        value = rng.normal(0, 0.6, tensor.shape).astype(np.float32)
    else:
        info = np.iinfo(tensor.dtype)
        value = rng.integers(info.min, info.max + 1, tensor.shape).astype(tensor.dtype)
    return value, golden.run_model(network.model, value)


def checked(content: bytes) -> Network:
    """Import ``content`` and hold the network's layers and results to the model's, and those to the reference's."""
    network = import_model(parse_model(content))
    value, tensors = values_of(network)
    if oracle.available():
        want = oracle.oracle_tensors(content, value)
        for op in network.model.operators:
            np.testing.assert_array_equal(tensors[op.outputs[0]], want[op.outputs[0]], err_msg=str(op))
    outputs = golden.run_network(network, golden.run_pre(network, value))
    for layer, output in zip(network.layers, outputs, strict=True):
        assert output.shape == layer.output.shape and output.dtype.name == layer.output.dtype
        if layer.output.index >= 0:
            np.testing.assert_array_equal(output.ravel(), tensors[layer.output.index].ravel(), err_msg=layer.name)
    values = {id(layer.output): output for layer, output in zip(network.layers, outputs, strict=True)}
    results = golden.run_post(network, *(values[id(tensor)] for tensor in network.outputs))
    for index, result in zip(network.model.outputs, results, strict=True):
        np.testing.assert_array_equal(result, tensors[index])
    assert network.output is network.layers[-1].output
    return network


class Net(Writer):
    """A writer with the few operators these tests chain; everything int8 with weights at random."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.rng = np.random.default_rng(seed)

    def bytes(self, shape: tuple[int, ...], scale: float = 0.05, zero: int = 3, dtype: str = "int8") -> WrittenTensor:
        return self.tensor(shape, dtype, scale, zero)

    def conv(
        self, x: WrittenTensor, out: int, *, kernel: int = 1, zero: int = 3, padding: str = "SAME", scale: float = 0.05
    ):
        weights = self.constant(self.rng.integers(-127, 128, (out, kernel, kernel, x.shape[3])), "int8", 0.01)
        bias = self.constant(self.rng.integers(-999, 999, out), "int32", x.scale * 0.01)
        cut = kernel - 1 if padding == "VALID" else 0
        y = self.bytes((1, x.shape[1] - cut, x.shape[2] - cut, out), scale, zero)
        options = {"padding": padding, "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1}
        return self.operator("CONV_2D", [x, weights, bias], y, **options, fused_activation_function="NONE")

    def depthwise(self, x: WrittenTensor, multiplier: int = 1):
        channels = x.shape[3] * multiplier
        weights = self.constant(self.rng.integers(-127, 128, (1, 3, 3, channels)), "int8", 0.02)
        y = self.bytes((*x.shape[:3], channels))
        options = {"padding": "SAME", "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1}
        options |= {"depth_multiplier": multiplier, "fused_activation_function": "NONE"}
        return self.operator("DEPTHWISE_CONV_2D", [x, weights], y, **options)

    def add(self, a: WrittenTensor, b: WrittenTensor):
        return self.operator("ADD", [a, b], self.bytes(a.shape, 0.08), fused_activation_function="NONE")

    def pad(self, x: WrittenTensor, amounts: list[list[int]], name: str = "PAD", fill: int | None = None):
        shape = tuple(n + a + b for n, (a, b) in zip(x.shape, amounts, strict=True))
        terms = [x, self.constant(amounts, "int32")]
        if fill is not None:
            terms.append(self.constant(np.int64(fill), "int8", x.scale, x.zero_point))
        return self.operator(name, terms, self.bytes(shape, x.scale, x.zero_point))


    def reshape(self, x: WrittenTensor, *shape: int) -> WrittenTensor:
        return self.operator("RESHAPE", [x, self.constant(shape, "int32")], self.bytes(shape, x.scale, x.zero_point))

    def transpose(self, x: WrittenTensor, *order: int) -> WrittenTensor:
        y = self.bytes(tuple(x.shape[axis] for axis in order), x.scale, x.zero_point)
        return self.operator("TRANSPOSE", [x, self.constant(order, "int32")], y)

    def dense(self, x: WrittenTensor, out: int, features: int | None = None, **options) -> WrittenTensor:
        """FULLY_CONNECTED of all of ``x``, or of so many ``features`` at once."""
        size = int(np.prod(x.shape))
        weights = self.constant(self.rng.integers(-127, 128, (out, features or size)), "int8", 0.01)
        rows = x.shape[:-1] if options.get("keep_num_dims") else (size // (features or size),)
        return self.operator("FULLY_CONNECTED", [x, weights, None], self.bytes((*rows, out), 0.4), **options)

    def mean(self, x: WrittenTensor, *axes: int, keep: bool = False, scale: float | None = None, name: str = "MEAN") -> WrittenTensor:
        over = {axis % len(x.shape) for axis in axes}
        shape = tuple(1 if axis in over else n for axis, n in enumerate(x.shape) if keep or axis not in over)
        y = self.tensor(shape, x.dtype, scale or x.scale, x.zero_point)
        return self.operator(name, [x, self.constant(axes, "int32")], y, keep_dims=keep)

    def average(self, x: WrittenTensor, window: tuple[int, int], stride: tuple[int, int], padding: str = "VALID") -> WrittenTensor:
        cut = [k - 1 if padding == "VALID" else 0 for k in window]
        size = [-(-(n - c) // s) for n, c, s in zip(x.shape[1:3], cut, stride, strict=True)]
        options = {"filter_height": window[0], "filter_width": window[1], "stride_h": stride[0], "stride_w": stride[1]}
        y = self.bytes((1, *size, x.shape[3]), x.scale, x.zero_point)
        return self.operator("AVERAGE_POOL_2D", [x], y, **options, padding=padding, fused_activation_function="NONE")


def image(n: Net, height: int = 6, width: int = 5, channels: int = 3) -> WrittenTensor:
    return n.bytes((1, height, width, channels), 1 / 128, -1)


def kinds(network: Network) -> list[str]:
    return [type(layer).__name__ for layer in network.layers]
