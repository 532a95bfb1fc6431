"""One rule at a time: operators without a layer of their own fold into their neighbours, or become depthwise layers."""

import numpy as np
import pytest
from imported_network import Net, checked, image, kinds
from random_mobilenet import random_mobilenet
from tflite_writer import WrittenTensor

from narrows.graph.network import Conv


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


@pytest.mark.parametrize(("features", "window"), [(4, (1, 1)), (12, (1, 3)), (24, (1, 6)), (48, (2, 6)), (96, (4, 6))])
def test_fully_connected_of_pixels_that_follow_each_other(features, window):
    n = Net()
    x = image(n, 4, 6)
    y = n.dense(n.reshape(n.conv(x, 4), 96 // features, features), 5, features)
    network = checked(n.finish([x], [n.dense(n.reshape(y, 1, 480 // features), 3)]))
    first, last = network.layers[1:]
    assert isinstance(first, Conv) and isinstance(last, Conv)
    assert first.kernel == window and first.joined == window[0] * window[1] and last.joined == 96 // features


def test_fully_connected_keeps_the_plane():
    n = Net()
    x = image(n)
    network = checked(n.finish([x], [n.dense(n.conv(x, 4), 7, 4, keep_num_dims=True)]))
    assert network.output.shape == (6, 5, 7)


MEANS = {
    "rows, then columns": lambda n, y: n.mean(n.mean(y, 1), 1),
    "columns, then rows": lambda n, y: n.mean(n.mean(y, -2, keep=True), 1, scale=0.03),
    "of a reshaped plane": lambda n, y: n.mean(n.reshape(y, 1, 30, 4), 1),
    "both, in a rank of three": lambda n, y: n.mean(n.reshape(y, 6, 5, 4), 0, 1),
    "channels first, columns, then rows": lambda n, y: n.mean(n.mean(n.transpose(y, 0, 3, 1, 2), 3), 2),
    "channels first, rows, then columns": lambda n, y: n.mean(n.mean(n.transpose(y, 0, 3, 1, 2), 2), 2),
    "channels first, both": lambda n, y: n.mean(n.transpose(y, 0, 3, 1, 2), 2, 3, keep=True),
    "of nothing": lambda n, y: n.reshape(n.mean(n.mean(y, 0, keep=True, scale=0.04), 1, 2), 1, 4),
}


@pytest.mark.parametrize("name", MEANS)
def test_means_over_any_axes(name):
    n = Net()
    x = image(n)
    network = checked(n.finish([x], [n.dense(MEANS[name](n, n.conv(x, 4)), 3)]))
    assert kinds(network)[0] == "Conv" and kinds(network)[-1] == "Conv" and network.layers[-2].output.shape == (1, 1, 4)


@pytest.mark.parametrize(("window", "stride"), [((2, 2), (2, 2)), ((3, 2), (1, 2)), ((5, 1), (1, 1)), ((1, 5), (1, 1))])
def test_averages_of_windows(window, stride):
    n = Net()
    x = image(n)
    network = checked(n.finish([x], [n.conv(n.average(n.conv(x, 4, zero=-77), window, stride), 4)]))
    assert kinds(network) == ["Conv", "Depthwise", "Conv"]


@pytest.mark.parametrize("kind", ["MEAN", "AVERAGE_POOL_2D"])
def test_a_plane_of_one_column(kind):
    n = Net()
    x = image(n, 9, 1)
    y = n.conv(x, 4)
    network = checked(n.finish([x], [n.mean(y, 1, 2) if kind == "MEAN" else n.average(y, (9, 1), (1, 1))]))
    assert kinds(network) == ["Conv", "Depthwise"]


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
