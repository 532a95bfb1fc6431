"""Blocks: what is joined with what, and what no block can hold."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from made_network import Made, mobilenet_v1, mobilenet_v2

from narrows.errors import ImportRefused
from narrows.golden.fixed_point import mbqm
from narrows.graph.blocks import form_blocks, identity_conv
from narrows.graph.network import Tensor


def kinds(made: Made) -> list[str]:
    """A letter per stage: expand (i: put in), depthwise or pool, project, add."""
    return [
        ("i" if block.identity else "e" if block.expand else "") + ("d" if block.depthwise else "")
        + ("p" if block.project else "") + ("a" if block.add else "") for block in form_blocks(made.network())
    ]  # fmt: skip


@pytest.mark.parametrize(("made", "expected"), [
    (mobilenet_v2(1.0, 96), ["edp", "edp", "edpa", "edp", *["edpa"] * 2, "edp", *["edpa"] * 3, "edp", *["edpa"] * 2, "edp", *["edpa"] * 2,
                             "edp", "edp"]),
    (mobilenet_v1(0.25, 96), ["ed", *["ed"] * 12, "edp"]),
    (Made(8, 8, 3).conv(8, kernel=3), ["p"]),
    (Made(8, 8, 3).conv(8, kernel=3).conv(8).conv(8), ["p", "p", "p"]),
    (Made(8, 8, 3).depthwise().depthwise().conv(8), ["id", "idp"]),
    (Made(8, 8, 3).conv(8, kernel=3).conv(8).block(8, expand=1, residual=True), ["p", "p", "idpa"]),
    (Made(8, 8, 3).conv(8, kernel=3).pool(), ["ed"]),
    (Made(8, 8, 3).conv(8, kernel=3).depthwise().dense(5).conv(3), ["ed", "p", "p"]),
    (Made(8, 8, 3).depthwise().conv(8).dense(5, (1, 4)).depthwise().conv(3), ["idp", "edp"]),
])  # fmt: skip
def test_stages(made, expected):
    assert kinds(made) == expected


def test_every_layer_is_in_one_block():
    network = mobilenet_v2(0.5, 96).network()
    layers = [layer for block in form_blocks(network) for layer in block.layers]
    assert list(map(id, layers)) == list(map(id, network.layers))
    assert sum(block.macs for block in form_blocks(network)) == sum(layer.macs for layer in network.layers)


def test_an_output_ends_its_block():
    made = Made(8, 8, 3).conv(8, kernel=3)
    first = made.at
    made.depthwise().conv(16)
    second = made.at
    blocks = form_blocks(made.depthwise().conv(8).network(first, second))
    assert [block.output for block in blocks] == [first, second, made.at]


@pytest.mark.parametrize(("kernel", "stride", "shape", "joined"), [
    ((1, 1), (1, 1), (6, 4), 1), ((6, 4), (9, 9), (1, 1), 24), ((2, 4), (2, 1), (3, 1), 8), ((1, 2), (1, 2), (6, 2), 2),
    ((2, 2), (2, 2), (3, 2), None), ((3, 4), (1, 1), (4, 1), None), ((1, 1), (2, 1), (3, 4), None), ((1, 3), (1, 1), (6, 2), None),
])  # fmt: skip
def test_windows_of_pixels_that_follow_each_other(kernel, stride, shape, joined):
    conv = Made(6, 4, 3).conv(5).layers[0]
    output = dataclasses.replace(conv.output, shape=(*shape, 5))
    again = dataclasses.replace(conv, kernel=kernel, stride=stride, output=output)
    assert again.joined == joined
    assert dataclasses.replace(again, pad=(1, 0, 0, 0)).joined is None


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_an_identity_copies_every_byte(dtype):
    limits = np.iinfo(dtype)
    values = np.arange(limits.min, limits.max + 1)
    for zero_point in values[::5]:
        conv = identity_conv(Tensor("t", 0, (1, 1, 1), dtype, 1.0, int(zero_point)))
        requant = conv.requant
        acc = (values - zero_point) * (int(conv.weights[0, 0, 0, 0]) - conv.weight_zero_point)
        got = mbqm(acc, requant.multiplier[0], requant.shift[0]) + requant.zero_point
        assert np.array_equal(np.clip(got, requant.lo, requant.hi), values)


def dilated_stem() -> Made:
    made = Made(9, 9, 3).conv(8, kernel=3)
    made.layers[0] = dataclasses.replace(made.layers[0], dilation=(2, 2))
    return made


def crossing() -> Made:
    made = Made(8, 8, 3).conv(8, kernel=3).conv(8)
    first = made.at
    return made.block(8).block(8).add(first)


def picture_shortcut() -> Made:
    made = Made(8, 8, 3)
    return made.block(3, expand=2).add(made.input)


def second_add() -> Made:
    made = Made(8, 8, 3).conv(8).block(8, residual=True)
    return made.add(made.at)


REFUSALS = {
    "dense": (lambda: Made(8, 8, 3).conv(8, kernel=3).conv(8, kernel=3), "3x3 convolution .*only on the picture; inside"),
    "dilated stem": (dilated_stem, "the first convolution is dilated; train it without"),
    "picture": (picture_shortcut, "its shortcut is the picture; start with a convolution"),
    "second add": (second_add, "not part of a bottleneck"),
}


def test_shortcut_from_another_block():
    *_, block = form_blocks(crossing().network())
    assert block.shortcut is not None and not block.adds_input


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name):
    make, pattern = REFUSALS[name]
    with pytest.raises(ImportRefused, match=f"operator .*, tensor .*{pattern}"):
        form_blocks(make().network())
