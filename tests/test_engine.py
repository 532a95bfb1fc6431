"""Whole networks of any geometry on the simulated board: every byte of every block."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from engine_runs import SMALL, differences, traits
from made_network import Made, efficientnet_lite, mnasnet, mobilenet_v1, mobilenet_v2
from random_mobilenet import random_mobilenet

from narrows.errors import DoesNotFit, ImportRefused
from narrows.hw.config import ECP5_25F, ECP5_85F_WIDE, EngineConfig
from narrows.importer.importer import import_model
from narrows.tflite.file import parse_model

ENGINES = {"default": EngineConfig(), "small": SMALL, "25F": ECP5_25F, "wide": ECP5_85F_WIDE}
#: What every engine runs of the networks :mod:`random_mobilenet` can write.
PLAIN = {"pool": "MEAN", "kernel": 3, "rescaling": False}


def odd(height: int, width: int, **options) -> Made:
    return Made(height, width, 3, **options).conv(8, kernel=3, stride=2).depthwise().conv(12)


GEOMETRIES = {
    "7 by 7": lambda: odd(7, 7).block(12, residual=True).block(20, stride=2).pool().conv(5),
    "1 by 1": lambda: Made(1, 1, 3).conv(8, kernel=3, stride=2).block(16).block(16, residual=True).conv(9),
    "2 by 3": lambda: odd(2, 3).block(12, residual=True).block(7, stride=2).pool("average").conv(3),
    "257 wide": lambda: Made(5, 257, 3).conv(8, kernel=3).block(8, expand=2, residual=True).block(16, stride=2),
    "257 high": lambda: Made(257, 5, 3).conv(8, kernel=3).block(8, expand=2, residual=True).block(16, stride=2),
    "odd planes, stride 2": lambda: odd(31, 29).block(12, stride=2).block(12, stride=2).block(12, stride=2).pool().conv(6),
    "5x5": lambda: odd(25, 22).block(12, kernel=5, residual=True).block(16, kernel=5, stride=2).block(16, kernel=5).pool().conv(6),
    "5x5 on the picture": lambda: Made(24, 23, 3).conv(8, kernel=5, stride=2).block(8).pool().conv(3),
    "7x7": lambda: odd(25, 22).block(12, kernel=7, expand=2).block(16, kernel=7, stride=2, expand=2).pool().conv(6),
    "dilated": lambda: odd(26, 24).block(12, dilation=2, residual=True).block(12, dilation=4).pool().conv(6),
    "dilated 5x5": lambda: odd(26, 24).block(12, kernel=5, dilation=2, residual=True).pool().conv(6),
    "one channel": lambda: Made(20, 21, 1, dtype="uint8").conv(1, kernel=3, stride=2).block(1).block(1, residual=True).pool().conv(2),
    "identity and shortcut": lambda: odd(20, 22).block(12, expand=1, residual=True).block(12, expand=1, residual=True).pool().conv(2),
    "first depthwise": lambda: Made(18, 17, 3).depthwise(stride=2).conv(8).block(8, residual=True).pool("average").conv(3),
    "no pool": lambda: odd(18, 17).block(8),
    "ends in depthwise": lambda: odd(18, 17).conv(18).depthwise(),
    "ends in a pool": lambda: odd(18, 17, dtype="uint8").conv(20).pool("average"),
    "stem alone": lambda: Made(18, 17, 3).conv(13, kernel=3, stride=2),
    "MobileNetV1": lambda: mobilenet_v1(0.25, 32, classes=10),
    "MobileNetV2": lambda: mobilenet_v2(0.35, 32, classes=10),
}

#: Through external memory on the small engine, and what the planner must find there.
STREAMS = {
    "load and store": (
        lambda: odd(56, 60).block(12, stride=2).block(12, residual=True).pool().conv(4), {"load ring", "store ring", "in place"},
    ),
    "held source": (lambda: odd(56, 60).block(12, expand=2, residual=True).block(8, stride=2), {"load ring", "store ring", "held source"}),
    # Project comes to add the input eight rows after it was loaded.
    "held far": (
        lambda: Made(60, 24, 3).conv(8, kernel=3).block(8, expand=2, kernel=5, dilation=4, residual=True),
        {"load ring", "store ring", "held source"},
    ),
}


def drawn(seed: int, **options):
    """A random network, a picture for it, and a number of slices."""
    rng = np.random.default_rng(seed)
    network = import_model(parse_model(random_mobilenet(rng, **options)))
    limits = np.iinfo(network.input.dtype)
    return network, rng.integers(limits.min, limits.max + 1, network.input.shape).astype(network.input.dtype), int(rng.integers(2, 6))


@pytest.mark.parametrize(("seed", "engine"), [
    # A network of each type on the wide engine; the others take minutes there.
    pytest.param(seed, engine, marks=pytest.mark.slow) if engine == "wide" and seed > 1 else (seed, engine)
    for seed in range(6) for engine in ENGINES
])  # fmt: skip
def test_random_networks(seed, engine):
    """Row by row where that fits, in one slice, in a few and in as many as there are groups."""
    network, picture, some = drawn(seed, dtype=("int8", "uint8")[seed % 2], **PLAIN)
    for slices in (None, 1, some, 1000):
        assert not differences(network, ENGINES[engine], picture, slices=slices)[1], f"{slices} slices"
    assert not differences(network, ENGINES[engine], picture, store_blocks=False)[1]


@pytest.mark.parametrize("size", [10, 16, 20])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_runs_of_some_channels(size, dtype):
    """Weights for half of the channels, and no room for input and output at once: each half takes the whole input."""
    config = replace(SMALL, weight_words=64, activation_words=2048 if size == 20 else 1024)
    made = Made(size, size + 1, 3, dtype=dtype).conv(24, kernel=3).depthwise().conv(40).depthwise().conv(40).depthwise(stride=2)
    for network in (made.network(), made.pool().conv(12).network()):
        for store_blocks in (False, True):
            plan, wrong = differences(network, config, made.picture(), store_blocks=store_blocks)
            assert not wrong and [run.channels for run in plan.blocks if run.beside] == [range(20), range(20, 40)]


@pytest.mark.parametrize("engine", ["small", "25F"])
def test_line_buffers_that_are_nearly_full(engine):
    """Nine rows of 14 pixels of a dilated 5x5 in room for 130: expand must go on in small steps."""
    network, picture, _ = drawn(146, height=35, width=31)
    assert not differences(network, ENGINES[engine], picture)[1]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("part", range(15))
def test_many_random_networks(part, engine):
    """Anything the generator draws; what is refused is refused with a sentence."""
    ran = 0
    for seed in range(100 + 10 * part, 110 + 10 * part):
        network, picture, some = drawn(seed, height=9 + seed % 40, width=9 + 7 * seed % 50)
        for slices in (None, 1, some, 1000):
            try:
                wrong = differences(network, ENGINES[engine], picture, slices=slices)[1]
            except (DoesNotFit, ImportRefused):
                continue
            assert not wrong, f"seed {seed}, {slices} slices"
            ran += 1
    assert ran >= 4


@pytest.mark.parametrize("name", GEOMETRIES)
def test_geometry(name):
    made = GEOMETRIES[name]()
    for slices in (None, 2):
        assert not differences(made.network(), EngineConfig(), made.picture(), slices=slices)[1], f"{slices} slices"


@pytest.mark.slow
@pytest.mark.parametrize("name", GEOMETRIES)
def test_geometry_on_the_wide_engine(name):
    made = GEOMETRIES[name]()
    for slices in (None, 2):
        assert not differences(made.network(), ECP5_85F_WIDE, made.picture(), slices=slices)[1], f"{slices} slices"


@pytest.mark.parametrize("engine", ["small", "25F"])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_geometry_on_a_small_engine(name, engine):
    made, config = GEOMETRIES[name](), ENGINES[engine]
    if name == "257 wide" and engine == "small":
        with pytest.raises(DoesNotFit, match="no room for its input"):
            differences(made.network(), config, made.picture())
        return
    assert not differences(made.network(), config, made.picture())[1]


@pytest.mark.parametrize("store_blocks", [True, False])
@pytest.mark.parametrize("name", STREAMS)
def test_tensors_pass_through_external_memory(name, store_blocks):
    """A block that stores nothing may follow one that did."""
    make, wanted = STREAMS[name]
    made = make()
    plan, wrong = differences(made.network(), SMALL, made.picture(), store_blocks=store_blocks)
    assert not wrong
    assert wanted <= set().union(*(traits(block, plan.config) for block in plan.blocks))


def test_a_full_memory_of_constants():
    """The next constants wait for room in their memory all the time, and must not replace what a result still needs."""
    made = Made(12, 13, 3).conv(16, kernel=3, stride=2).block(16, stride=2).block(16, residual=True).pool().conv(5)
    config = replace(ECP5_25F, constant_words=16)
    assert not differences(made.network(), config, made.picture(), slices=1000)[1]


def test_extreme_pictures_one_after_the_other():
    """Nothing of one frame is left for the next."""
    made = odd(21, 23).block(12, residual=True).block(24, stride=2).pool().conv(6)
    shape = made.input.shape
    pictures = [np.full(shape, value, "int8") for value in (-128, 127, 0, made.input.zero_point)] + [made.picture()]
    assert not differences(made.network(), EngineConfig(), *pictures)[1]


@pytest.mark.slow
@pytest.mark.parametrize(("width", "resolution"), [(1.3, 224), (1.4, 224), (1.0, 96), (0.5, 160)])
def test_wide_mobilenets(width, resolution):
    """At 1.3 and more the second block's input is larger than the chip's memory."""
    made = mobilenet_v2(width, resolution)
    assert not differences(made.network(), EngineConfig(), made.picture(), store_blocks=False)[1]


@pytest.mark.slow
@pytest.mark.parametrize("width", [0.75, 1.0])
def test_a_wide_mobilenet_v1(width):
    """Three of its tensors pass through external memory; of the widest, one comes twice, for half of a block's channels each."""
    made = mobilenet_v1(width, 224)
    assert not differences(made.network(), EngineConfig(), made.picture(), store_blocks=False)[1]


@pytest.mark.slow
@pytest.mark.parametrize(("make", "options"), [(efficientnet_lite, (1.0, 224)), (mnasnet, (224,))])
@pytest.mark.parametrize("engine", ["default", "wide"])
def test_other_networks_of_inverted_residuals(make, options, engine):
    made = make(*options)
    assert not differences(made.network(), ENGINES[engine], made.picture())[1]
