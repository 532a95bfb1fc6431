"""Constants: the hardware's forms give the reference's byte for every accumulator that can occur."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_network import Made

from narrows.errors import ImportRefused
from narrows.golden.fixed_point import mbqm
from narrows.graph.network import Conv, Requant
from narrows.hw.arithmetic.requantise import MAX_SHIFT, MIN_SHIFT
from narrows.hw.config import BIAS_BITS, EngineConfig
from narrows.hw.stem.fields import stem_layout
from narrows.plan.constants import (
    Channels,
    depthwise_weights,
    fold,
    pack_constants,
    pointwise_weights,
    pool_channels,
    settle,
    stem_weights,
    weight_pairs,
)

CONFIG = EngineConfig()


def one_channel(weights: list[int], bias: int, multiplier: int, shift: int, *, out_zero: int = 0, in_zero: int = 0) -> Conv:
    """A pointwise layer of one output channel."""
    made = Made(1, 1, len(weights)).conv(1)
    layer = made.layers[0]
    requant = Requant(np.array([multiplier]), np.array([shift]), out_zero, -128, 127)
    source = dataclasses.replace(layer.inputs[0], zero_point=in_zero)
    raw = np.array(weights, np.int8).reshape(1, 1, 1, -1)
    return dataclasses.replace(layer, inputs=(source,), weights=raw, weight_zero_point=0, bias=np.array([bias]), requant=requant)


@settings(max_examples=400, deadline=None)
@given(
    weights=st.lists(st.integers(-127, 127), min_size=1, max_size=3), bias=st.integers(-(1 << 30), 1 << 30) | st.integers(-5000, 5000),
    multiplier=st.just(0) | st.integers(1 << 30, (1 << 31) - 1), shift=st.integers(-31, 6), out_zero=st.integers(-128, 127),
    in_zero=st.integers(-128, 127), pixels=st.lists(st.integers(-128, 127), min_size=3, max_size=3),
)  # fmt: skip
def test_settled_channels_give_the_same_byte(weights, bias, multiplier, shift, out_zero, in_zero, pixels):
    """At random pixels and at those that give the smallest and the largest accumulator."""
    layer = one_channel(weights, bias, multiplier, shift, out_zero=out_zero, in_zero=in_zero)
    try:
        channels = settle(layer)
    except ImportRefused:
        fits = -(1 << BIAS_BITS - 1) <= bias < 1 << BIAS_BITS - 1 and MIN_SHIFT <= shift <= MAX_SHIFT
        assert not fits
        return
    assert -(1 << BIAS_BITS - 1) <= channels.bias[0] < 1 << BIAS_BITS - 1
    assert MIN_SHIFT <= channels.shift[0] <= MAX_SHIFT
    factors = np.array(weights)
    for x in (np.array(pixels[: len(weights)]), np.where(factors > 0, 127, -128), np.where(factors > 0, -128, 127)):
        def byte(raw: np.ndarray, b: int, m: int, s: int, x: np.ndarray = x) -> int:
            acc = np.int64(b + ((x - in_zero) * raw.reshape(-1)).sum())
            return int(np.clip(mbqm(acc, np.int64(m), np.int64(s)) + out_zero, -128, 127))

        stored = channels.weights[0], channels.bias[0], channels.multiplier[0], channels.shift[0]
        assert byte(*stored) == byte(factors, bias, multiplier, shift)


@pytest.mark.parametrize(("bias", "shift", "pattern"), [
    (0, 30, "channel 0 has a multiplier of 128 or more"),
    (2_147_483_600, -20, "operator conv0, tensor .*quantise the model again"),
    (-2_147_483_600, -31, "operator conv0, tensor .*quantise the model again"),
])  # fmt: skip
def test_channels_beyond_the_accumulator_are_refused(bias, shift, pattern):
    layer = one_channel([127] * 4000, bias, 3 << 29, shift)
    with pytest.raises(ImportRefused, match=pattern):
        settle(layer)


@pytest.mark.parametrize("n", [*range(1, 50), 64, 100, 196, 225, 256, 400])
def test_average_pool_is_exact_for_every_sum(n):
    """Division by ``n`` with ties away from zero, for all sums of n bytes of either type."""
    made = Made(1, n, 8).pool("average")
    channels = pool_channels(made.layers[0], 8)
    sums = np.arange(-128 * n, 255 * n + 1, dtype=np.int64)
    expected = np.where(sums < 0, -((2 * -sums + n) // (2 * n)), (2 * sums + n) // (2 * n))
    assert np.array_equal(mbqm(sums, channels.multiplier[0], channels.shift[0]), expected)
    assert len(channels.bias) == 8 and not channels.bias.any()


def test_mean_beyond_the_shifts_is_refused():
    pool = dataclasses.replace(Made(2, 2, 8).pool().layers[0], shift=MIN_SHIFT - 1)
    with pytest.raises(ImportRefused, match="operator pool0, tensor .*: shift .* is beyond"):
        pool_channels(pool, 8)


def test_weights_lie_in_the_order_of_use():
    made = Made(4, 4, 3, dtype="uint8").conv(11, kernel=3).depthwise().conv(13)
    stem, depthwise, project = (settle(layer) for layer in made.layers)
    first = stem_weights(stem, CONFIG, groups=2)
    for place, tap in enumerate(tap for word in stem_layout(3, 3, 3, 8) for tap in word):
        got = first[:, place // 8, :, place % 8].reshape(-1)[:11]
        assert np.array_equal(got, stem.weights[:, tap[0], tap[1], tap[2]] if tap else np.full(11, stem.weight_zero_point))
    taps = depthwise_weights(depthwise, CONFIG, groups=2)
    assert taps.shape == (2, 3, 3, 8) and taps[1, 2, 0, 2] == depthwise.weights[10, 0, 2]
    assert (taps[1, :, :, 3:] == depthwise.weight_zero_point).all()
    last = pointwise_weights(project, CONFIG, groups=2, depth=2)
    assert last.shape == (2, 2, 8, 8) and last[1, 1, 4, 2] == project.weights[12, 0, 0, 10]
    assert (last[1, :, 5:] == project.weight_zero_point).all() and (last[:, 1, :, 3:] == project.weight_zero_point).all()


def test_constants_are_packed():
    layer = one_channel([1], -5, (1 << 31) - 1, -3)
    channels = settle(layer)
    narrow = pack_constants(channels, 8)
    word = int.from_bytes(narrow[0].tobytes(), "little")
    assert word & (1 << 27) - 1 == (1 << 27) - 5 and word >> 27 & (1 << 31) - 1 == (1 << 31) - 1 and word >> 58 == 64 - 3
    assert narrow.shape == (8, 8) and not narrow[1:].any()


def test_a_wide_bias_makes_constants_wide():
    layer = one_channel([1], -(1 << 28), 1 << 30, -3)
    wide = pack_constants(dataclasses.replace(settle(layer), bias=np.array([-(1 << 28)])), 8)
    assert wide.shape == (8, 10) and int.from_bytes(wide[0].tobytes(), "little") & (1 << 32) - 1 == (1 << 32) - (1 << 28)


def fast_sums(a: np.ndarray, weights: np.ndarray, zero_point: int) -> np.ndarray:
    """What fast products accumulate: (pixels, groups * outputs) for factors ``a`` (pixels, depth * group), by their definition."""
    groups, depth, outputs, group = weights.shape
    b = weights.astype(np.int64).transpose(0, 2, 1, 3).reshape(groups * outputs, depth * group) - zero_point
    even, odd = a[:, None, 0::2] + b[None, :, 1::2], a[:, None, 1::2] + b[None, :, 0::2]
    return (even * odd).sum(axis=-1) - (a[:, 0::2] * a[:, 1::2]).sum(axis=-1, keepdims=True)


@settings(max_examples=150, deadline=None)
@given(
    dtype=st.sampled_from(("uint8", "int8")), inputs=st.integers(1, 40), outputs=st.integers(1, 20), stem=st.booleans(),
    bias=st.sampled_from((0, 5000, 1 << 26, (1 << 31) - 1)), ends=st.booleans(), seed=st.integers(0, 1 << 32),
)  # fmt: skip
def test_folded_biases_give_the_sums_of_direct_products(dtype, inputs, outputs, stem, bias, ends, seed):
    """Modulo 2^32, and whatever lies in the places of padding: the array reads bytes there that belong to nothing."""
    rng = np.random.default_rng(seed)
    info = np.iinfo(dtype)
    zero = int(rng.integers(info.min, info.max, endpoint=True)) if dtype == "uint8" else 0
    shape = (outputs, 3, 3, 3) if stem else (outputs, 1, 1, inputs)
    raw = rng.choice([info.min, info.max], shape) if ends else rng.integers(info.min, info.max, shape, endpoint=True)
    ones = np.ones(outputs, np.int64)
    biases = rng.integers(-bias - 1, bias, outputs, endpoint=True)
    channels = Channels(raw.astype(dtype), zero, biases, ones, ones)
    groups = -(-outputs // CONFIG.outputs)
    if stem:
        packed = stem_weights(channels, CONFIG, groups=groups)
    else:
        packed = pointwise_weights(channels, CONFIG, groups=groups, depth=-(-inputs // CONFIG.group))
    pixels = 5, packed.shape[1] * CONFIG.group
    a = rng.choice([-256, 255], pixels) if ends else rng.integers(-256, 256, pixels)
    weights = packed.view(dtype)
    folded = fold(channels, weight_pairs(packed, zero, signed=dtype == "int8"))
    assert folded.bias.shape == biases.shape and (np.abs(folded.bias + 0.5) < 1 << 31).all()
    factors = weights.astype(np.int64).transpose(0, 2, 1, 3).reshape(groups * CONFIG.outputs, -1)[:outputs] - zero
    direct = a @ factors.T + biases
    fast = fast_sums(a, weights, zero)[:, :outputs] + folded.bias
    assert np.array_equal(direct % (1 << 32), fast % (1 << 32))
    # What follows a layer's own channels has no weights and needs no bias.
    assert not weight_pairs(packed, zero, signed=dtype == "int8").reshape(-1)[outputs:].any()
