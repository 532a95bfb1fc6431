"""Whether a run comes to its end, beside stages that take turns until none can go on."""

from __future__ import annotations

import dataclasses

import pytest
from engine_runs import SMALL
from hypothesis import given
from hypothesis import strategies as st

from narrows.hw.depthwise.geometry import DepthwiseGeometry
from narrows.hw.depthwise.line_buffer import line_slots
from narrows.schedule.buffering import expand_segment, line_buffers_suffice, line_room, shortcut_ring


@st.composite
def geometries(draw, same: bool = False) -> DepthwiseGeometry:
    kernel, dilation = draw(st.sampled_from((1, 2, 3, 5))), draw(st.sampled_from((1, 2, 4)))
    stride = 1 if same else draw(st.integers(1, 2))
    height, width = draw(st.integers(1, 16)), draw(st.integers(1, 16))
    out_h, out_w = -(-height // stride), -(-width // stride)
    pad = (kernel - 1) * dilation // 2
    return DepthwiseGeometry(
        slices=1, images=1 if same else draw(st.integers(1, 3)), groups=draw(st.integers(1, 3)), in_h=height, in_w=width,
        out_h=out_h, out_w=out_w, kernel=(kernel, kernel), stride=(stride, stride), dilation=(dilation, dilation),
        pad=(pad, pad), segment=draw(st.integers(1, out_w)),
    )  # fmt: skip


def ends(shape: DepthwiseGeometry, *, room: int, segment: int, ring: int | None = None, projected: int = 0) -> bool:
    """Expand and depthwise take turns, pixel by pixel of their credits; with ``ring``, project frees the input that is in it."""
    plane, pixels = shape.in_h * shape.in_w, shape.images * shape.in_h * shape.in_w
    jobs = [
        (image * plane + shape.needed(row, last), image * plane + shape.freed(row, last), (image * shape.out_h + row) * shape.out_w + last)
        for image in range(shape.images) for row in range(shape.out_h)
        for last in [*range(shape.segment, shape.out_w, shape.segment), shape.out_w]
    ]  # fmt: skip
    expanded = freed = filtered = summed = 0
    moved = True
    while moved:
        moved = False
        end = min(expanded + segment, pixels)
        if expanded < end <= freed + room and (ring is None or end <= summed + ring):
            expanded, moved = end, True
        elif jobs and expanded >= jobs[0][0]:
            _, freed, filtered = jobs.pop(0)
            moved = True
        elif ring is not None and summed < filtered and filtered >= min(summed + projected, pixels):
            summed, moved = min(summed + projected, pixels), True
    return not jobs and (ring is None or summed == pixels)


@given(geometries(), st.integers(1, 300), st.integers(1, 12))
def test_line_buffers_suffice(geometry, room, segment):
    assert line_buffers_suffice(geometry, room=room, segment=segment) == ends(geometry, room=room, segment=segment)


@given(geometries(), st.integers(1, 300), st.integers(1, 20).map(lambda pairs: 2 * pairs))
def test_expand_segment(geometry, room, wanted):
    """The first of the halves that ends, or none does."""
    halves = [wanted]
    while halves[-1] > 2:
        halves.append(-(-(halves[-1] // 2) // 2) * 2)
    good = [segment for segment in halves if ends(geometry, room=room, segment=segment)]
    if good:
        assert expand_segment(SMALL, geometry, room=room, wanted=wanted) == good[0]
    else:
        with pytest.raises(ValueError, match=f"^the line buffers' {room} pixels do not hold the .* rows of {geometry.in_w} that"):
            expand_segment(SMALL, geometry, room=room, wanted=wanted)


@given(geometries(same=True), st.integers(1, 12), st.integers(1, 12))
def test_shortcut_ring(geometry, segment, projected):
    """As many pixels are enough, one fewer is not."""
    ring = shortcut_ring(geometry, expanded=segment, projected=projected)
    assert ends(geometry, room=10_000, segment=segment, ring=ring, projected=projected)
    assert not ends(geometry, room=10_000, segment=segment, ring=ring - 1, projected=projected)


@given(geometries(), st.sampled_from((16, 32, 64, 128, 256)))
def test_line_room(geometry, words):
    """No pixel that lies less far behind is overwritten, row y in bank y % 3 behind row y - 3."""
    config = dataclasses.replace(SMALL, line_words=words)
    slots = line_slots(config=config, groups=geometry.groups)
    if slots < geometry.in_w:
        with pytest.raises(ValueError, match="exceeds a bank of the line buffers"):
            line_room(config, geometry)
        return
    room, width = line_room(config, geometry), geometry.in_w
    places: dict[tuple[int, int], int] = {}
    for pixel in range(3 * room):
        row, column = divmod(pixel, width)
        place = row % 3, (row // 3 * width + column) % slots
        assert pixel - places.get(place, -room) >= room
        places[place] = pixel


def test_a_kernel_of_nine_rows():
    """Five rows of taps with one between them: rows 0 and 1 of outputs free two rows of 14, and row 2 needs its eleventh."""
    shape = DepthwiseGeometry(
        slices=1, images=1, groups=2, in_h=16, in_w=14, out_h=16, out_w=14, kernel=(5, 5), stride=(1, 1), dilation=(2, 2), pad=(4, 4),
        segment=14,
    )  # fmt: skip
    assert shape.needed(6, 14) == 154 and shape.freed(5, 14) == 28
    assert not line_buffers_suffice(shape, room=130, segment=8)
    assert expand_segment(SMALL, shape, room=130, wanted=8) == 4
