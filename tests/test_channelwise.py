"""Multipliers of two and more, and bounds of a channel's own: against the reference, and on the gateware."""

import dataclasses

import numpy as np
import pytest
from engine_runs import SMALL, differences
from hypothesis import given
from hypothesis import strategies as st
from imported_network import Net, checked, image
from made_network import Made

from narrows.errors import ImportRefused
from narrows.golden.model import run_layer, run_network
from narrows.graph.network import Clip, Conv, Layer
from narrows.hw.arithmetic.requantise import MAX_SHIFT
from narrows.hw.config import EngineConfig
from narrows.importer.channelwise import realise
from narrows.importer.importer import import_model
from narrows.plan.constants import settle
from narrows.tflite.file import parse_model

ENGINES = pytest.mark.parametrize("config", [EngineConfig(), SMALL], ids=["default", "small"])


class ChannelNet(Net):
    """Layers whose channels have what a requantiser has not."""

    def bound(self, x, name: str, low: int, high: int):
        """``name`` with a constant for each channel within ``low``..``high``; the constant comes first now and then."""
        constant = self.constant(self.rng.integers(low, high + 1, x.shape[-1]), "int8", x.scale, x.zero_point)
        pair = [x, constant] if self.rng.integers(2) else [constant, x]
        return self.operator(name, pair, self.bytes(x.shape, x.scale, x.zero_point))

    def steep(self, x, kind: str, out: int):
        """A convolution whose multipliers are 0.001 to 120."""
        multipliers = np.exp(self.rng.uniform(np.log(0.001), np.log(120), out))
        multipliers[0] = 120
        shape, axis = ((out, 1, 1, x.shape[3]), 0) if kind == "CONV_2D" else ((1, 3, 3, out), 3)
        weights = self.constant(self.rng.integers(-127, 128, shape), "int8", multipliers * 0.05 / x.scale, axis=axis)
        bias = self.constant(self.rng.integers(-300, 300, out), "int32", multipliers * 0.05, 0)
        options = {"padding": "SAME", "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1}
        options |= {"depth_multiplier": 1} if kind != "CONV_2D" else {}
        y = self.bytes((*x.shape[:3], out), 0.05, int(self.rng.integers(-128, 128)))
        return self.operator(kind, [x, weights, bias], y, **options, fused_activation_function="RELU")


def equalised(seed: int) -> bytes:
    """Two inverted residuals with a bound per channel behind the depthwise layer, as cross-layer equalisation leaves them."""
    n = ChannelNet(seed)
    x = n.conv(picture := image(n), 8)
    for _ in range(2):
        y = n.bound(n.depthwise(n.conv(x, 24)), "MINIMUM", 20, 127)
        y = n.bound(y, "MAXIMUM", -100, 3) if n.rng.integers(2) else y
        x = n.add(x, n.conv(y, 8))
    return n.finish([picture], [n.bound(n.conv(x, 5), "MINIMUM", -20, 100)])


def steep(seed: int) -> bytes:
    """An inverted residual in which every layer has channels with multipliers of two and more."""
    n = ChannelNet(seed)
    x = n.conv(picture := image(n), 8)
    y = n.steep(n.steep(n.steep(x, "CONV_2D", 16), "DEPTHWISE_CONV_2D", 16), "CONV_2D", 8)
    return n.finish([picture], [n.conv(n.add(x, y), 4)])


@pytest.mark.parametrize("make", [equalised, steep])
@pytest.mark.parametrize("seed", range(4))
def test_bytes_are_the_references(make, seed: int):
    """Of every tensor of the file that is formed."""
    network = checked(make(seed))
    assert not any(isinstance(layer, Clip) for layer in network.layers)
    assert all(layer.requant.shift.max() <= MAX_SHIFT for layer in network.layers if isinstance(layer, Conv))


@ENGINES
@pytest.mark.parametrize("make", [equalised, steep])
def test_on_the_gateware(make, config: EngineConfig):
    network = import_model(parse_model(make(0)))
    pictures = [np.random.default_rng(seed).integers(-128, 128, network.input.shape).astype("int8") for seed in (1, 2)]
    plan, wrong = differences(network, config, *pictures)
    assert not wrong
    assert any(run.addend is not None for run in plan.blocks)


@ENGINES
def test_addend_that_is_no_input(config: EngineConfig):
    """A sum over two blocks: the first one's input stays on chip, also while the second one runs slice by slice."""
    made = Made(9, 7, 3, seed=3).conv(8)
    thin = made.at
    made.block(12, expand=3).block(8, expand=2, kernel=5).add(thin).block(8, residual=True).add(made.at)
    assert made.layers.pop().name.startswith("add")  # not of a tensor with itself
    made.at = made.layers[-1].output
    for slices in None, 2:
        plan, wrong = differences(made.network(), config, made.picture(), slices=slices)
        assert not wrong
        assert [run.block.name for run in plan.blocks if run.addend is not None]


@given(
    seed=st.integers(0, 1 << 30), dtype=st.sampled_from(["int8", "uint8"]), power=st.integers(2, 7),
    kind=st.sampled_from(["conv", "depthwise"]), limits=st.tuples(st.integers(0, 255), st.integers(0, 255)), zero=st.integers(0, 255),
)  # fmt: skip
def test_large_multipliers_in_two_layers(seed: int, dtype: str, power: int, kind: str, limits: tuple[int, int], zero: int):
    """Whatever the range and its zero point: the bytes of the one layer, or the layer as it was, which is refused then."""
    made = Made(3, 4, 5, dtype=dtype, seed=seed)
    made = made.conv(6) if kind == "conv" else made.depthwise()
    layer = made.layers[0]
    lo, hi = (limit + made.lo for limit in sorted(limits))
    shift = np.array(layer.requant.shift)
    shift[:2] = power, 2
    layer = dataclasses.replace(
        layer, requant=dataclasses.replace(layer.requant, shift=shift, lo=lo, hi=hi, zero_point=zero + made.lo),
        output=dataclasses.replace(layer.output, zero_point=zero + made.lo), bias=layer.bias // 4000,
    )  # fmt: skip
    (layers,) = realise([layer], [layer.output])
    assert len(layers) == 2 or not lo <= zero + made.lo <= hi or constant(layer) or layers[0].requant.shift.max() <= MAX_SHIFT
    picture = made.picture()
    assert np.array_equal(run_through(layers, picture), run_layer(layer, picture))


def test_room_in_the_weights_takes_no_second_layer():
    """That of a layer that only scales, for one."""
    made = Made(3, 4, 5, seed=1).depthwise()
    (layer,) = made.layers
    requant = dataclasses.replace(layer.requant, shift=np.array([7, 2, 1, 0, -3]))
    layer = dataclasses.replace(layer, weights=np.ones_like(layer.weights), requant=requant)
    ((larger,),) = realise([layer], [layer.output])
    assert larger.requant.shift.tolist() == [1, 1, 1, 0, -3] and larger.weights[0, 0].tolist() == [64, 2, 1, 1, 1]
    picture = made.picture()
    assert np.array_equal(run_layer(larger, picture), run_layer(layer, picture))


def constant(layer: Layer) -> bool:
    """Whether the two steep channels always give the same byte."""
    try:
        settle(layer)
    except ImportRefused:
        return False
    return True


def run_through(layers: list[Layer], picture: np.ndarray) -> np.ndarray:
    for layer in layers:
        picture = run_layer(layer, picture)
    return picture


def test_multipliers_beyond_are_refused():
    """A weight of seven bits holds a power of 64 at most."""
    made = Made(3, 4, 5, seed=1).conv(6)
    (layer,) = made.layers
    shift = np.full(6, 8)
    layer = dataclasses.replace(layer, requant=dataclasses.replace(layer.requant, shift=shift))
    assert realise([layer], [layer.output]) == [[layer]]
    with pytest.raises(ImportRefused, match=r"multiplier of 128 or more"):
        settle(layer)


@pytest.mark.parametrize(("lo", "hi"), [(-128, 20), (-30, 127), (-30, 20)])
@pytest.mark.parametrize("follows", ["conv", "depthwise", "both", "nothing"])
def test_clips_of_channels(lo: int, hi: int, follows: str):
    """A clip moves back what it moved unless a 1x1 convolution alone reads it."""
    made = Made(5, 4, 6, seed=9)
    rng = np.random.default_rng(2)
    source = made.at
    bounds = (rng.integers(min(lo, made.lo), max(lo, made.lo) + 1, 6) if lo > -128 else np.full(6, -128), rng.integers(hi, 128, 6))
    clip = Clip("clip", 0, (source,), dataclasses.replace(source, name="clipped", index=1), 0, *bounds)
    made.layers.append(clip)
    made.at = clip.output
    if follows in ("conv", "both"):
        made.conv(7)
    elif follows == "depthwise":
        made.depthwise()
    last = clip.output if follows == "both" else made.at
    layers = [step for steps in realise(made.layers, [last]) for step in steps]
    picture = made.picture()
    values = {id(source): picture}
    for layer in layers:
        values[id(layer.output)] = run_layer(layer, *(values[id(tensor)] for tensor in layer.inputs))
    clipped = np.clip(picture, *bounds).astype("int8")
    expected = clipped if follows in ("nothing", "both") else run_layer(made.layers[-1], clipped)
    assert np.array_equal(values[id(last)], expected)
    assert (id(clip.output) in values) == (follows != "conv")


def test_unchanged_networks():
    """A network without any of that keeps its very layers."""
    made = Made(9, 7, 3).conv(8, kernel=3, stride=2).block(8, residual=True)
    assert realise(made.layers, [made.at]) == [[layer] for layer in made.layers]
    assert run_network(made.network(), made.picture())[-1].shape == made.at.shape
