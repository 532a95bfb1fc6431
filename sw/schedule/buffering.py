"""Whether a run comes to its end: what a stage needs next, beside what the memory before it still has to hold."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from narrows.errors import Lacks
from narrows.graph.blocks import Block
from narrows.hw.config import EngineConfig
from narrows.hw.depthwise.geometry import DepthwiseGeometry
from narrows.hw.depthwise.line_buffer import line_slots
from narrows.plan.allocation import even
from narrows.plan.plan import depthwise_geometry


@lru_cache(maxsize=1024)
def _needs(geometry: DepthwiseGeometry) -> tuple[tuple[int, int], ...]:
    """Of an image's depthwise segments, in order: pixels of the plane that must be there, and pixels freed before."""
    needs, freed = [], 0
    for row in range(geometry.out_h):
        for first in range(0, geometry.out_w, geometry.segment):
            last = min(first + geometry.segment, geometry.out_w)
            needs.append((geometry.needed(row, last), freed))
            freed = geometry.freed(row, last)
    return tuple(needs)


def _expanded(geometry: DepthwiseGeometry, needed: int, segment: int) -> int:
    """Pixels of all images that expand, ``segment`` at a time, has done when ``needed`` are there."""
    return min(-(-needed // segment) * segment, geometry.images * geometry.in_h * geometry.in_w)


def line_room(config: EngineConfig, geometry: DepthwiseGeometry) -> int:
    """Pixels that a slice's line buffers hold for certain; ``Unfit`` if not three rows.

    Pixel i of a bank overwrites pixel i - slots; in linear order that is this many pixels before, or more.
    """
    rows, part = divmod(line_slots(config=config, groups=geometry.groups), geometry.in_w)
    if not rows:
        raise Lacks(f"a row of {geometry.in_w} pixels in {geometry.groups} groups exceeds a bank of the line buffers.", "line_words")
    return 3 * rows * geometry.in_w + part


def line_buffers_suffice(geometry: DepthwiseGeometry, *, room: int, segment: int) -> bool:
    """Whether line buffers of ``room`` pixels always take the ``segment`` of expand with the pixel that depthwise waits for.

    Expand begins a segment when there is room for all of it beside the pixels that depthwise has not freed; see
    :class:`narrows.hw.depthwise.jobs.DepthwiseJobs` for what it needs and frees.
    """
    needs = _needs(geometry)
    if max(needed - freed for needed, freed in needs) + segment - 1 <= room:
        return True
    plane = geometry.in_h * geometry.in_w
    return all(
        _expanded(geometry, image * plane + needed, segment) - image * plane - freed <= room
        for image in range(geometry.images) for needed, freed in needs
    )  # fmt: skip


def expand_segment(config: EngineConfig, geometry: DepthwiseGeometry, *, room: int, wanted: int) -> int:
    """Pixels expand does for one group before the next: ``wanted``, or the next half of it that line buffers of ``room`` pixels take.

    ``Unfit`` if they don't take the smallest.
    """
    segment = wanted
    while not line_buffers_suffice(geometry, room=room, segment=segment):
        if segment == config.pixels:
            rows = (geometry.kernel[0] - 1) * geometry.dilation[0] + 1
            raise Lacks(
                f"the line buffers' {room} pixels do not hold the {rows} rows of {geometry.in_w} that a row of its output needs.",
                "line_words",
            )
        segment = even(config, segment // 2)
    return segment


def row_steps(config: EngineConfig, block: Block, groups: int) -> tuple[DepthwiseGeometry, dict[str, int]]:
    """One image's ``block`` row by row, ``groups`` groups of its interior at once: what the line buffers hold, and the stages' segments.

    ``Unfit`` if the line buffers are too small.
    """
    assert block.depthwise is not None
    in_w, out_w = block.depthwise.inputs[0].shape[1], block.depthwise.output.shape[1]
    segment = max(1, min(out_w, max(8, -(-out_w // 4))))
    geometry = depthwise_geometry(block, slices=1, slice_groups=groups, images=1, segment=segment)
    room = line_room(config, geometry)
    expanded = expand_segment(config, geometry, room=room, wanted=even(config, max(8, -(-in_w // 4))))
    steps = {"room": room, "expand_segment": expanded, "depthwise_segment": segment, "project_segment": even(config, segment)}
    return geometry, steps


def shortcut_ring(geometry: DepthwiseGeometry, *, expanded: int, projected: int) -> int:
    """Pixels of its input that a block with a shortcut holds at most until project, row by row, comes to add them.

    ``expanded``, ``projected``: pixels of a segment of the two stages. Project begins a segment when depthwise has done all of it,
    which takes input further down; its own sums free the input. One image; input and output have the same height and width.
    """
    return max(_expanded(geometry, needed, expanded) - first for first, needed in _projected(geometry, projected))


def _projected(geometry: DepthwiseGeometry, segment: int) -> Iterator[tuple[int, int]]:
    """Of project's segments: their first pixel, and pixels of the plane that depthwise needs until they can begin."""
    needs, pixels = _needs(geometry), geometry.out_h * geometry.out_w
    for first in range(0, pixels, segment):
        row, column = divmod(min(first + segment, pixels) - 1, geometry.out_w)
        yield first, needs[row * geometry.segments + column // geometry.segment][0]
