"""Import: every way converters write a MobileNet gives the model's bytes, or one sentence why not."""

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from imported_network import Net, checked, image, kinds
from random_mobilenet import random_mobilenet
from tflite_writer import WrittenTensor

from narrows.errors import ImportRefused
from narrows.graph.network import Add, Conv, Depthwise, Pool
from narrows.importer.importer import import_model, import_network
from narrows.inputs.labels import labels_inside
from narrows.tflite.file import parse_model

SHARED = Path(__file__).resolve().parents[2] / "shared"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the real models are not beside this repository")


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


def of_two(name: str):
    """Puts operator ``name`` of two activations between two convolutions, of which the second is more work than the host does."""

    def build(n: Net, x: WrittenTensor) -> WrittenTensor:
        y = n.conv(x, 200)
        return n.conv(n.operator(name, [y, y], n.bytes(y.shape)), 200)

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
    r"operator 1 edgetpu-custom-op, .*: the network is compiled for the Edge TPU; take the file from before": through("edgetpu-custom-op"),
    r"operator 1 ethos-u, .*: the network is compiled for an Ethos-U; take the file from before Vela": through("ethos-u"),
    r"operator 1 FlexErf, .*: an operator of TensorFlow, not of TFLite; convert the model with": through("FlexErf"),
    r"operator 1 SUB, .*: can't run between layers: the engine adds two tensors, it does not subtract": of_two("SUB"),
    r"operator 1 MUL, .*: can't run between layers: the engine does not multiply two tensors": of_two("MUL"),
    r"operator 1 MUL, .*: can't run between layers; export the model with it folded": lambda n, x: n.conv(
        n.operator("MUL", [y := n.conv(x, 4), n.constant([3], "int8", 0.1)], n.bytes(y.shape)), 4
    ),
    r"operator 2 CONV_2D, .*: branches off the chain": shortcut_convolution,
    r"operator 1 AVERAGE_POOL_2D, .*: a 2x2 window with padding counts fewer .*; pool without padding": small_pool,
    r"operator 1 MEAN, .*: goes over the channels": lambda n, x: n.mean(n.conv(x, 4), 3),
    r"operator 2 MEAN, .*: its input \[1, 10, 12\] cuts through rows of a tensor of 6x5x4": lambda n, x: n.mean(
        n.reshape(n.conv(x, 4), 1, 10, 12), 1
    ),
    r"operator 1 SUM, .*: .* sums int8 as if it were uint8 .*; export a mean": lambda n, x: n.mean(n.conv(x, 4), 1, 2, name="SUM"),
    r"operator 1 FULLY_CONNECTED, .*: 8 features of a tensor of 6x5x4; connect parts of a row": lambda n, x: n.dense(n.conv(x, 4), 3, 8),
    r"operator 1 FULLY_CONNECTED, .*: 30 features of a tensor of 6x5x4; connect whole pixels": lambda n, x: n.dense(n.conv(x, 4), 3, 30),
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


def test_outputs_inside_the_network():
    """Also one that is read in another shape, and one that the host works on before the last layer."""
    n = Net()
    x = image(n)
    y = n.conv(x, 4)
    flat = n.reshape(y, 1, 120)
    real = n.operator("DEQUANTIZE", [y], n.tensor(y.shape, "float32"))
    z = n.dense(flat, 3)
    probabilities = n.operator("SOFTMAX", [z], n.bytes(z.shape, 1 / 256, -128), beta=1.0)
    network = checked(n.finish([x], [probabilities, real, flat, z]))
    assert network.outputs == tuple(layer.output for layer in network.layers) and network.output.index == z.index
    assert set(network.taken) == {y.index, flat.index, z.index} and [op.name for op in network.post] == ["DEQUANTIZE", "SOFTMAX"]


def test_outputs_that_no_layer_gives():
    def transposed(n: Net, x: WrittenTensor, y: WrittenTensor) -> WrittenTensor:
        last = n.dense(t := n.transpose(y, 0, 3, 1, 2), 3)
        return n.finish([x], [t, last])

    n = Net()
    x = image(n)
    with pytest.raises(ImportRefused, match="graph output .* is a transposed tensor; export the model without it"):
        import_model(parse_model(transposed(n, x, n.conv(x, 4))))
    n = Net()
    x = image(n)
    with pytest.raises(ImportRefused, match="graph output .* is the image itself; export the model without it"):
        import_model(parse_model(n.finish([x], [n.conv(x, 4), x])))


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
