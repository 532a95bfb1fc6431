"""Import: every way converters write a MobileNet gives the model's bytes, or one sentence why not."""

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from random_mobilenet import random_mobilenet
from tflite_writer import Writer, WrittenTensor

from narrows import golden, oracle
from narrows.importer import import_model, import_network, labels_inside
from narrows.network import Add, Conv, Depthwise, ImportRefused, Network, Pool
from narrows.tflite_file import parse_model

SHARED = Path(__file__).resolve().parents[2] / "shared"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the real models are not beside this repository")


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
    for index, result in zip(network.model.outputs, golden.run_post(network, outputs[-1]), strict=True):
        np.testing.assert_array_equal(result, tensors[index])
    assert network.output is network.layers[-1].output
    return network


@pytest.mark.parametrize("seed", range(40))
def test_random_networks(seed):
    checked(random_mobilenet(np.random.default_rng(1000 + seed)))


# --- real files -----------------------------------------------------------------------------------------------

REAL = {  # layers, millions of multiply-adds, operators before and after the engine
    "cfu_mobilenetv2_160_035": (64, 29.6, ["MUL", "SUB"], ["SOFTMAX"]),
    "mobilenet_v1_0.25_128_quant": (29, 13.6, [], ["RESHAPE", "SOFTMAX"]),
    "mobilenet_v2_0.35_224_flowers_uint8": (64, 58.0, [], ["RESHAPE", "SOFTMAX"]),
    "mobilenet_v2_1.0_224_quant": (64, 300.8, [], ["RESHAPE", "SOFTMAX"]),
    "tf2_mobilenet_v2_1.0_224_ptq": (64, 300.8, ["QUANTIZE"], ["RESHAPE", "SOFTMAX", "QUANTIZE"]),
    "vww_96_int8": (29, 7.5, [], ["SOFTMAX"]),
}


@needs_shared
@pytest.mark.parametrize("name", REAL)
def test_real_classifiers(name):
    network = import_network(SHARED / "models" / f"{name}.tflite")
    macs = round(sum(layer.macs for layer in network.layers) / 1e6, 1)
    assert (len(network.layers), macs, [h.name for h in network.pre], [h.name for h in network.post]) == REAL[name]
    assert network.notes == ()
    first, last = network.layers[0], network.layers[-1]
    assert first.macs == 27 * np.prod(first.output.shape) and isinstance(last, Conv) and last.kernel == (1, 1)
    assert sum(isinstance(layer, Pool) for layer in network.layers) == 1
    assert sum(isinstance(layer, Add) for layer in network.layers) == (10 if len(network.layers) == 64 else 0)


@needs_shared
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "coco_ssd_mobilenet_v1_1.0_quant_2018_06_29",
            r"operator 57 CONCATENATION, tensor 172 \(concat\): not supported",
        ),
        (
            "deeplabv3_mnv2_dm05_pascal_quant",
            r"operator 64 RESIZE_BILINEAR, tensor 176 \(ResizeBilinear\): not supported",
        ),
        ("ssd_mobilenet_v2_fpnlite_10_256_int8", r"operator 150 RESIZE_BILINEAR, tensor 415 .*: not supported"),
    ],
)
def test_other_networks_are_refused(name, reason):
    with pytest.raises(ImportRefused, match=reason):
        import_network(SHARED / "models" / f"{name}.tflite")


@needs_shared
def test_labels_inside():
    labels = labels_inside(SHARED / "models" / "mobilenet_v2_0.35_224_flowers_uint8.tflite")
    assert labels == (SHARED / "labels" / "flowers_labels.txt").read_text().split()
    assert len(labels_inside(SHARED / "models" / "mobilenet_v2_1.0_224_quant.tflite")) == 1001
    assert labels_inside(SHARED / "models" / "vww_96_int8.tflite") is None


def test_labels_of_a_damaged_file(tmp_path):
    path = tmp_path / "m.tflite"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.txt", "one\ntwo\n\n" * 50)
    assert labels_inside(path)[:2] == ["one", "two"]
    whole = path.read_bytes()
    for i in range(30, 50):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 0x55]) + whole[i + 1 :])
        assert labels_inside(path) is None or isinstance(labels_inside(path), list)
    assert labels_inside(tmp_path / "none") is None


# --- one rule at a time -----------------------------------------------------------------------------------------


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


def image(n: Net, height: int = 6, width: int = 5, channels: int = 3) -> WrittenTensor:
    return n.bytes((1, height, width, channels), 1 / 128, -1)


def kinds(network: Network) -> list[str]:
    return [type(layer).__name__ for layer in network.layers]


def test_pad_folds_into_a_convolution():
    n = Net()
    x = image(n)
    y = n.conv(n.pad(x, [[0, 0], [0, 2], [1, 1], [0, 0]]), 4, kernel=3, padding="VALID")
    network = checked(n.finish([x], [y]))
    assert kinds(network) == ["Conv"] and network.layers[0].pad == (0, 1, 2, 1) and network.pre == ()
    assert network.layers[0].inputs[0].shape == (6, 5, 3) and "folded into the convolutions" in network.notes[0]


def test_pad_adds_to_a_convolutions_own():
    n = Net()
    x = image(n)
    padded = n.pad(n.pad(x, [[0, 0], [1, 0], [0, 0], [0, 0]]), [[0, 0], [0, 0], [0, 2], [0, 0]], "PADV2", fill=-1)
    network = checked(n.finish([x], [n.conv(padded, 4, kernel=3)]))
    assert network.layers[0].pad == (2, 1, 1, 3)


@pytest.mark.parametrize("name", ["RELU", "RELU6", "RELU_N1_TO_1"])
def test_relu_narrows_the_clamp(name):
    n = Net()
    x = image(n)
    y = n.conv(x, 4)
    z = n.operator(name, [y], n.bytes(y.shape, y.scale, y.zero_point))
    network = checked(n.finish([x], [n.conv(z, 4)]))
    assert kinds(network) == ["Conv", "Conv"]
    requant = network.layers[0].requant
    assert (requant.lo, requant.hi) == {"RELU": (3, 127), "RELU6": (3, 123), "RELU_N1_TO_1": (-17, 23)}[name]


def test_relu_moves_the_zero_point():
    n = Net()
    x = image(n)
    y = n.conv(x, 4)
    z = n.operator("RELU6", [y], n.bytes(y.shape, y.scale, -100))
    network = checked(n.finish([x], [n.conv(z, 4)]))
    assert kinds(network) == ["Conv", "Conv"] and network.layers[0].requant.zero_point == -100


def test_relu_of_another_scale_is_a_depthwise_layer():
    n = Net()
    x = image(n)
    y = n.conv(x, 4)
    z = n.operator("RELU6", [y], n.bytes(y.shape, 6 / 255, -128))
    network = checked(n.finish([x], [n.conv(z, 4)]))
    assert kinds(network) == ["Conv", "Depthwise", "Conv"] and network.layers[1].macs == 0


def test_relu_of_a_tensor_others_read_is_a_depthwise_layer():
    n = Net()
    x = image(n)
    y = n.conv(x, 4)
    z = n.operator("RELU", [y], n.bytes(y.shape, y.scale, y.zero_point))
    network = checked(n.finish([x], [n.add(y, n.conv(z, 4))]))
    assert kinds(network) == ["Conv", "Depthwise", "Conv", "Add"]


def test_minimum_and_maximum():
    n = Net()
    x = image(n)
    y = n.conv(x, 4)
    low = n.constant(np.int64(-20), "int8", y.scale, y.zero_point)
    high = n.constant([30], "int8", y.scale, y.zero_point)
    z = n.operator("MAXIMUM", [low, y], n.bytes(y.shape, y.scale, y.zero_point))
    z = n.operator("MINIMUM", [z, high], n.bytes(y.shape, y.scale, y.zero_point))
    network = checked(n.finish([x], [n.conv(z, 4)]))
    assert kinds(network) == ["Conv", "Conv"]
    assert (network.layers[0].requant.lo, network.layers[0].requant.hi) == (-20, 30)


def test_clamps_that_do_not_meet():
    n = Net()
    x = image(n)
    y = n.conv(x, 4)
    for name, bound in (("MINIMUM", -50), ("MAXIMUM", 10)):
        y = n.operator(name, [y, n.constant([bound], "int8", y.scale, 3)], n.bytes(y.shape, y.scale, 3))
    network = checked(n.finish([x], [n.conv(y, 2)]))
    assert (network.layers[0].requant.lo, network.layers[0].requant.hi) == (10, 10)


def test_a_clamp_after_the_last_layer_folds():
    n = Net()
    x = image(n)
    y = n.conv(x, 4)
    z = n.operator("RELU", [y], n.bytes(y.shape, y.scale, y.zero_point))
    network = checked(n.finish([x], [z]))
    assert kinds(network) == ["Conv"] and network.post == () and network.output.index == z.index


def test_requantise_between_layers():
    n = Net()
    x = image(n)
    y = n.conv(x, 4)
    same = n.operator("QUANTIZE", [y], n.bytes(y.shape, y.scale, -9))
    other = n.operator("QUANTIZE", [n.conv(same, 4)], n.bytes(y.shape, 0.031, 5))
    network = checked(n.finish([x], [n.conv(other, 4)]))
    assert kinds(network) == ["Conv", "Conv", "Depthwise", "Conv"]


def test_depth_multiplier_behind_a_convolution_repeats_its_channels():
    n = Net()
    x = image(n)
    network = checked(n.finish([x], [n.depthwise(n.conv(x, 4), 2)]))
    assert kinds(network) == ["Conv", "Depthwise"]
    assert network.layers[0].output.shape == (6, 5, 8) and network.layers[0].output.index == -1
    assert network.layers[0].macs == 6 * 5 * 4 * 3 and network.layers[1].macs == 6 * 5 * 8 * 9


@pytest.mark.parametrize("channels", [1, 3])
def test_depth_multiplier_on_the_image_is_a_convolution(channels):
    n = Net()
    x = image(n, channels=channels)
    network = checked(n.finish([x], [n.depthwise(x, 8)]))
    assert kinds(network) == ["Conv"] and network.layers[0].macs == 6 * 5 * 8 * channels * 9


def test_depth_multiplier_on_a_shared_tensor_copies_its_channels():
    n = Net()
    x = image(n)
    y = n.conv(x, 4)
    network = checked(n.finish([x], [n.add(n.conv(n.depthwise(y, 2), 4), y)]))
    assert kinds(network) == ["Conv", "Conv", "Depthwise", "Conv", "Add"]


def test_fully_connected_over_a_plane_is_a_convolution_of_its_size():
    network = checked(random_mobilenet(np.random.default_rng(5), pool="none", classifier="FC", height=9, width=12))
    head, last = network.layers[-2:]
    assert isinstance(last, Conv) and last.kernel == head.output.shape[:2] and last.output.shape[:2] == (1, 1)


def test_fully_connected_on_channels_first_order():
    """A flattening from a framework with channels first; a pair of transposes before it cancels."""
    n = Net()
    x = image(n)
    y = n.conv(x, 4)

    def transpose(t: WrittenTensor, order: list[int]) -> WrittenTensor:
        out = n.bytes(tuple(t.shape[a] for a in order), t.scale, t.zero_point)
        return n.operator("TRANSPOSE", [t, n.constant(order, "int32")], out)

    y = n.conv(transpose(transpose(y, [0, 3, 1, 2]), [0, 2, 3, 1]), 4)
    y = transpose(y, [0, 3, 1, 2])
    flat = n.operator("RESHAPE", [y, n.constant([1, 120], "int32")], n.bytes((1, 120), y.scale, y.zero_point))
    weights = n.constant(n.rng.integers(-127, 128, (7, 120)), "int8", 0.01)
    z = n.operator("FULLY_CONNECTED", [flat, weights, None], n.bytes((1, 7), 0.4), fused_activation_function="NONE")
    network = checked(n.finish([x], [z]))
    assert kinds(network) == ["Conv", "Conv", "Conv"] and "channels-last" in network.notes[-1]


def test_float_normalisation_and_transpose_before_the_engine():
    n = Net()
    x = n.tensor((1, 3, 6, 5), "float32")
    y = n.operator("SUB", [x, n.constant(np.float32(0.45), "float32")], n.tensor(x.shape, "float32"))
    y = n.operator(
        "DIV", [y, n.constant(np.float32([[[0.2]], [[0.3]], [[0.4]]]), "float32")], n.tensor(x.shape, "float32")
    )
    y = n.operator("TRANSPOSE", [y, n.constant([0, 2, 3, 1], "int32")], n.tensor((1, 6, 5, 3), "float32"))
    y = n.operator("QUANTIZE", [y], n.bytes((1, 6, 5, 3), 0.02, 5))
    y = n.conv(y, 4)
    out = n.operator("DEQUANTIZE", [y], n.tensor(y.shape, "float32"))
    network = checked(n.finish([x], [out]))
    assert [h.name for h in network.pre] == ["SUB", "DIV", "TRANSPOSE", "QUANTIZE"]
    assert [h.name for h in network.post] == ["DEQUANTIZE"]


def test_constant_subgraphs_fold():
    options = {"subgraph": True, "pool": "MEAN", "classifier": "CONV", "last": "SOFTMAX", "ends": "plain"}
    network = checked(random_mobilenet(np.random.default_rng(2), **options))
    assert [h.name for h in network.post] == ["RESHAPE", "SOFTMAX"]
    assert "of constant or unread subgraphs left out" in network.notes[0]


def test_a_shape_worked_out_at_length():
    """RESHAPE to (SHAPE[0], product of SHAPE[1:3] times SHAPE[3]), as converters from other frameworks write it."""
    n = Net()
    x = image(n)
    y = n.conv(x, 4)

    def whole(shape: tuple[int, ...]) -> WrittenTensor:
        return n.tensor(shape, "int32")

    sizes = n.operator("SHAPE", [y], whole((4,)), out_type="INT32")
    sides = n.operator("GATHER", [sizes, n.constant([1, 2], "int32")], whole((2,)), axis=0)
    area = n.operator("REDUCE_PROD", [sides, n.constant([0], "int32")], whole((1,)), keep_dims=True)
    channels = n.operator("GATHER", [sizes, n.constant([3], "int32")], whole((1,)), axis=0)
    count = n.operator("MUL", [area, channels], whole((1,)), fused_activation_function="NONE")
    one = n.operator("FILL", [n.constant([1], "int32"), n.constant(np.int32(1), "int32")], whole((1,)))
    shape = n.operator("CONCATENATION", [one, count], whole((2,)), axis=0, fused_activation_function="NONE")
    flat = n.operator("RESHAPE", [y, shape], n.bytes((1, 120), y.scale, y.zero_point))
    weights = n.constant(n.rng.integers(-127, 128, (7, 120)), "int8", 0.01)
    z = n.operator("FULLY_CONNECTED", [flat, weights, None], n.bytes((1, 7), 0.4), fused_activation_function="NONE")
    network = checked(n.finish([x], [z]))
    assert kinds(network) == ["Conv", "Conv"] and network.layers[1].kernel == (6, 5)


def test_float_softmax_at_the_end():
    n = Net()
    x = image(n, 1, 1)
    y = n.conv(x, 40)
    y = n.operator(
        "SOFTMAX", [n.operator("DEQUANTIZE", [y], n.tensor(y.shape, "float32"))], n.tensor(y.shape, "float32"), beta=1.0
    )
    assert [h.name for h in checked(n.finish([x], [y])).post] == ["DEQUANTIZE", "SOFTMAX"]


def test_weights_quantised_in_the_file():
    n = Net()
    x = image(n)
    real = n.constant(n.rng.normal(0, 1, (4, 1, 1, 3)), "float32")
    weights = n.operator("QUANTIZE", [real], n.bytes((4, 1, 1, 3), 0.02, 0))
    options = {"padding": "SAME", "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1}
    bias = n.constant([1, 2, 3, 4], "int32", 0.02 / 128)
    y = n.operator("CONV_2D", [x, weights, bias], n.bytes((1, 6, 5, 4)), **options, fused_activation_function="NONE")
    assert kinds(checked(n.finish([x], [y]))) == ["Conv"]


def test_each_layer_reads_the_one_before():
    network = checked(random_mobilenet(np.random.default_rng(8), blocks=4, padding="SAME", activation="RELU6"))
    tensors = [network.input, *(layer.output for layer in network.layers)]
    for i, layer in enumerate(network.layers):
        assert tensors[i] in layer.inputs and all(t in tensors[: i + 1] for t in layer.inputs)
        if isinstance(layer, Depthwise):
            assert layer.weights.shape == (*layer.kernel, layer.output.shape[2])


# --- refusals ---------------------------------------------------------------------------------------------------


def refusal(build) -> str:
    n = Net()
    x = image(n)
    y = build(n, x)
    with pytest.raises(ImportRefused) as refused:
        import_model(parse_model(n.finish([x], [y]), "m"))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def through(name: str):
    """Puts operator ``name`` between two convolutions."""

    def build(n: Net, x: WrittenTensor) -> WrittenTensor:
        y = n.conv(x, 4)
        return n.conv(n.operator(name, [y], n.bytes(y.shape)), 4)

    return build


def shortcut_convolution(n: Net, x: WrittenTensor) -> WrittenTensor:
    y = n.conv(x, 4)
    return n.add(n.conv(y, 4), n.conv(y, 4))


def small_pool(n: Net, x: WrittenTensor) -> WrittenTensor:
    options = {"filter_height": 2, "filter_width": 2, "stride_h": 2, "stride_w": 2, "padding": "SAME"}
    y = n.conv(x, 4)
    return n.operator("AVERAGE_POOL_2D", [y], n.bytes((1, 3, 3, 4)), **options, fused_activation_function="NONE")


def float_convolution(n: Net, x: WrittenTensor) -> WrittenTensor:
    real = n.operator("DEQUANTIZE", [x], n.tensor(x.shape, "float32"))
    weights = n.constant(np.ones((4, 1, 1, 3)), "float32")
    options = {"padding": "SAME", "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1}
    return n.operator("CONV_2D", [real, weights], n.tensor((1, 6, 5, 4), "float32"), **options)


def pad_then_add(n: Net, x: WrittenTensor) -> WrittenTensor:
    y = n.conv(n.conv(x, 4), 4, kernel=3, padding="VALID")
    return n.add(n.pad(y, [[0, 0], [1, 1], [1, 1], [0, 0]]), n.conv(x, 4))


REFUSED = {
    r"m: operator 1 HARD_SWISH, tensor 4 \(t4\): not supported": through("HARD_SWISH"),
    r"operator 1 LOGISTIC, .*: can't run between layers": through("LOGISTIC"),
    r"operator 2 CONV_2D, .*: branches off the chain": shortcut_convolution,
    r"operator 1 AVERAGE_POOL_2D, .*: a 2x2 window on 6x5; pool over the whole plane": small_pool,
    r"operator 1 CONV_2D, .*: type float32; quantise the model to 8 bits first": float_convolution,
    r"operator \d ADD, .*: reads a padded tensor": pad_then_add,
    r"operator 0 PADV2, .*: fills with 7, not with the zero point -1": lambda n, x: n.conv(
        n.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], "PADV2", fill=7), 4, kernel=3, padding="VALID"
    ),
    r"operator 0 PAD, .*: pads \[.*\]; only height and width": lambda n, x: n.conv(
        n.pad(x, [[0, 0], [0, 0], [0, 0], [0, 1]]), 4
    ),
    r"operator 1 TRANSPOSE, .*: moves data between layers": lambda n, x: n.conv(
        n.operator("TRANSPOSE", [n.conv(x, 4), n.constant([0, 2, 1, 3], "int32")], n.bytes((1, 5, 6, 4))), 4
    ),
    r"operator 2 CONV_2D, .*: reads a transposed tensor": lambda n, x: n.conv(
        n.operator("TRANSPOSE", [n.conv(x, 4), n.constant([0, 3, 1, 2], "int32")], n.bytes((1, 4, 6, 5))), 4
    ),
    r"operator 1 ADD, .*: adds a tensor to itself": lambda n, x: n.add(y := n.conv(x, 4), y),
    r"no convolution in the model": lambda n, x: n.operator("RELU", [x], n.bytes(x.shape)),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_refusals_say_why(reason):
    assert re.search(reason, refusal(REFUSED[reason]))


def test_an_output_inside_the_network_is_refused():
    n = Net()
    x = image(n)
    y = n.conv(x, 4)
    with pytest.raises(ImportRefused, match=r"graph output tensor 3 \(t3\) is inside the network"):
        import_model(parse_model(n.finish([x], [y, n.conv(y, 4)])))


def test_two_inputs_are_refused():
    n = Net()
    a, b = image(n), image(n)
    with pytest.raises(ImportRefused, match="2 graph inputs; export the model with one"):
        import_model(parse_model(n.finish([a, b], [n.conv(n.add(a, b), 4)])))


def test_a_batch_is_refused():
    n = Net()
    x = n.bytes((2, 6, 5, 3))
    with pytest.raises(ImportRefused, match="batch 1"):
        import_model(parse_model(n.finish([x], [x])))


def test_an_unread_branch_is_left_out():
    n = Net()
    x = image(n)
    y = n.conv(x, 4)
    n.operator("HARD_SWISH", [y], n.bytes(y.shape))
    network = import_model(parse_model(n.finish([x], [y])))
    assert kinds(network) == ["Conv"] and "1 operator of constant or unread subgraphs" in network.notes[0]
