"""The paper's networks: published figures of work and parameters, shapes of table 2, and the real files of the same networks."""

from __future__ import annotations

import pytest
from made_network import mobilenet_v2 as with_weights
from rtl_runs import SHARED

from narrows.cycles.predict import predict
from narrows.explore.mobilenets import RESOLUTIONS, WIDTHS, mobilenet_v2, parameters, round_channels
from narrows.graph.network import Conv, Depthwise, Network
from narrows.hw.config import EngineConfig
from narrows.importer.importer import import_network
from narrows.schedule.schedule import plan_network

#: Million multiply-adds, by width and resolution, and million parameters: what the authors publish of their 22 trained networks
#: (research/slim/nets/mobilenet/README.md of tensorflow/models), cut and rounded.
PUBLISHED = {
    1.4: ({224: 582}, 6.06), 1.3: ({224: 509}, 5.34),
    1.0: ({224: 300, 192: 221, 160: 154, 128: 99, 96: 56}, 3.47),
    0.75: ({224: 209, 192: 153, 160: 107, 128: 69, 96: 39}, 2.61),
    0.5: ({224: 97, 192: 71, 160: 50, 128: 32, 96: 18}, 1.95),
    0.35: ({224: 59, 192: 43, 160: 30, 128: 20, 96: 11}, 1.66),
}  # fmt: skip

#: Real files of these networks: width, resolution, classes.
REAL = {
    "mobilenet_v2_1.0_224_quant": (1.0, 224, 1001), "tf2_mobilenet_v2_1.0_224_ptq": (1.0, 224, 1001),
    "mobilenet_v2_0.35_224_flowers_uint8": (0.35, 224, 5), "cfu_mobilenetv2_160_035": (0.35, 160, 2),
}  # fmt: skip


def macs(network: Network) -> int:
    return sum(layer.macs for layer in network.layers)


@pytest.mark.parametrize("width", WIDTHS)
def test_work_and_parameters_are_those_published(width):
    of_resolutions, millions = PUBLISHED[width]
    for resolution, published in of_resolutions.items():
        network = mobilenet_v2(width, resolution)
        assert macs(network) // 10**6 == published
        assert round(parameters(network) / 1e6, 2) == millions


def test_the_papers_own_figures():
    assert macs(mobilenet_v2(1.0, 224)) == 300_774_272
    assert parameters(mobilenet_v2(1.0, 224)) == pytest.approx(3.4e6, rel=0.03)
    assert macs(mobilenet_v2(1.4, 224)) == pytest.approx(585e6, rel=0.01)


def test_a_blocks_work_is_table_1s():
    """h w k (t k) + h' w' 9 t k + h' w' t k k'."""
    layers = {layer.name: layer for layer in mobilenet_v2(1.0, 224).layers}
    for number, (h, k, t, k2, stride) in {2: (112, 16, 6, 24, 2), 3: (56, 24, 6, 24, 1), 17: (7, 160, 6, 320, 1)}.items():
        small = h // stride
        of_block = sum(layers[f"block {number} {part}"].macs for part in ("expand", "depthwise", "project"))
        assert of_block == h * h * k * t * k + small**2 * t * k * (9 + k2)
        assert (f"block {number} add" in layers) == (stride == 1 and k == k2)


@pytest.mark.parametrize(
    ("value", "channels"), [(32, 32), (11.2, 16), (8.4, 8), (5.6, 8), (0.1, 8), (33.6, 32), (41.6, 40), (12, 16), (17.5, 16), (35.2, 32)]
)
def test_channels_are_rounded_as_in_the_reference_implementation(value, channels):
    assert round_channels(value) == channels
    assert round_channels(value) % 8 == 0 and round_channels(value) >= 0.9 * value


def test_the_head_is_never_narrower():
    assert [mobilenet_v2(width, 96).layers[-1].inputs[0].shape for width in (0.35, 1.0, 1.4)] == [(1, 1, 1280), (1, 1, 1280), (1, 1, 1792)]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("resolution", [*RESOLUTIONS, 97])
def test_layers_fit_each_other(width, resolution):
    network = mobilenet_v2(width, resolution)
    at = network.input
    for layer in network.layers:
        assert at in layer.inputs
        if isinstance(layer, Conv | Depthwise):
            (kh, kw), (sh, sw), (top, left, bottom, right) = layer.kernel, layer.stride, layer.pad
            height, width_, channels = layer.inputs[0].shape
            assert layer.output.shape[0] == (height + top + bottom - kh) // sh + 1
            assert layer.output.shape[1] == (width_ + left + right - kw) // sw + 1
            assert layer.weights.shape[-1] == channels and layer.bias.shape == (layer.output.shape[2],)
        at = layer.output
    assert at is network.output


@pytest.mark.parametrize(
    ("arguments", "words"), [((1.0, 31), "resolution of 31 is too small"), ((0.0, 224), "positive"), ((float("nan"), 224), "positive")]
)
def test_what_is_no_network_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        mobilenet_v2(*arguments)


def signature(network: Network) -> list[tuple]:
    return [(type(layer).__name__, layer.inputs[0].shape, layer.output.shape, layer.macs) for layer in network.layers]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real models are not beside this repository")
@pytest.mark.parametrize("name", REAL)
def test_a_real_file_has_the_same_layers_and_cycles(name):
    width, resolution, classes = REAL[name]
    real = import_network(SHARED / "models" / f"{name}.tflite")
    made = mobilenet_v2(width, resolution, classes=classes)
    assert signature(real) == signature(made)
    for config in (EngineConfig(), EngineConfig(pixels=1)):
        plans = [plan_network(network, config) for network in (real, made)]
        cycles = [[(block.cycles, block.read_bytes, block.write_bytes) for block in predict(plan)] for plan in plans]
        assert cycles[0] == cycles[1]


def test_networks_with_weights_have_the_same_layers():
    """Those that tests simulate."""
    for width, resolution in ((0.35, 96), (1.4, 224)):
        assert signature(with_weights(width, resolution).network()) == signature(mobilenet_v2(width, resolution, classes=1001))
