"""The pointwise passes and the depthwise unit of a block in the cycle model."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Protocol

from narrows.cycles.latencies import (
    CONSUMED_TO_TAP,
    CREDIT_TO_FIRE,
    EXPANDED_TO_TAP,
    FIRE_TO_CONSUMED,
    FIRE_TO_POP,
    LOADED_TO_TAP,
    TAP_TO_FREED,
    TAP_TO_POP,
    TAP_TO_POP_CONSTANTS,
    WRITE_TO_DONE,
    WRITE_TO_POSITION,
    Latencies,
    fire_to_pop_constants,
)
from narrows.cycles.program import Program
from narrows.cycles.transfers import Positions
from narrows.hw.config import EngineConfig
from narrows.hw.control.program_reader import RINGS, Kind
from narrows.hw.depthwise.geometry import DepthwiseGeometry, constant_words

WEIGHTS, CONSTANTS, DEPTHWISE_WEIGHTS, DEPTHWISE_CONSTANTS = (
    RINGS.index(kind) for kind in (Kind.WEIGHTS, Kind.CONSTANTS, Kind.DEPTHWISE_WEIGHTS, Kind.DEPTHWISE_CONSTANTS)
)


class Clock(Protocol):
    """What tells the cycle from which a number of pixels count."""

    def time(self, count: int, /) -> int | None:
        """That cycle, or ``None`` as long as it depends on what has not been done."""


class Expanded:
    """Pixels in the line buffers: complete as the last group of each segment of them is formed."""

    def __init__(self, config: EngineConfig, latencies: Latencies):
        self._pixels, self._latency = config.pixels, latencies.fire_to_expanded
        self._ends: list[int] = []
        self._segments: list[tuple[int, int, int]] = []

    def add(self, first: int, end: int, cycle: int, cycles: int) -> None:
        """Pixels ``first`` to ``end`` are formed from ``cycle`` on, ``cycles`` for a result."""
        self._ends.append(end)
        self._segments.append((first, cycle, cycles))

    def time(self, count: int) -> int | None:
        """The cycle from which ``count`` pixels are there."""
        if not self._ends or self._ends[-1] < count:
            return None
        first, cycle, cycles = self._segments[bisect_left(self._ends, count)]
        result, lane = divmod(count - 1 - first, self._pixels)
        return cycle + (result + 1) * cycles - 1 + lane + self._latency


class Pass:
    """A pointwise stage, group by group; see :class:`narrows.hw.array.passes.Pass`.

    ``available``: source pixels, ``freed``: of the destination, which has ``room`` beyond them (``None``: without end).
    """

    def __init__(
        self, config: EngineConfig, program: Program, *, slices: int, groups: int, plane: int, segment: int, depth: int,
        weight: int, constant: int, available: Clock, freed: Clock | None, room: int,
    ):  # fmt: skip
        segment = min(segment, -(-plane // config.pixels) * config.pixels)
        self.slices, self.groups, self.plane, self.segment, self.depth = slices, groups, plane, segment, depth
        self.segments = -(-plane // segment)
        self.cycles = max(depth, config.result_spacing)
        self.busy = 0
        self._lanes, self._constants_late = config.pixels, fire_to_pop_constants(config)
        self._program = program
        self._weight, self._constant = weight, constant
        self._available, self._freed, self._room = available, freed, room
        self._slice, self._segment, self._group = 0, 0, 0
        self._data: int | None = None
        self.consumed = Positions()
        self.left = True
        self._load()

    def _load(self) -> None:
        """The next segment's sizes."""
        self.first = self._segment * self.segment
        self.end = min(self.first + self.segment, self.plane)
        results = -(-(self.end - self.first) // self._lanes)
        self.group_cycles = results * self.cycles
        self._busy_cycles = results * self.depth
        self._data = None

    @property
    def produced(self) -> tuple[int, int]:
        """The segment's pixels, counted over all slices."""
        return self._slice * self.plane + self.first, self._slice * self.plane + self.end

    @property
    def groups_left(self) -> int:
        """Groups of the segment that may follow each other: those whose weights are known to be there."""
        return 1 if not self._segment else self.groups - self._group

    @property
    def ends_pixels(self) -> bool:
        """Whether pixels are complete after the groups that may follow each other now."""
        return self._slice == self.slices - 1 and self._group + self.groups_left == self.groups

    def weights(self) -> int | None:
        """When the next group's weights and constants count."""
        if self._segment:
            return 0
        group = self._slice * self.groups + self._group + 1
        weights = self._program.loaded(WEIGHTS, self._weight + group * self.depth)
        constants = self._program.loaded(CONSTANTS, self._constant + group)
        return None if weights is None or constants is None else max(weights, constants)

    def data(self) -> int | None:
        """When the segment's source pixels and the room for its results are there."""
        if self._data is None:
            there = self._available.time(self.end)
            freed = 0 if self._freed is None else self._freed.time(self._slice * self.plane + self.end - self._room)
            if there is None or freed is None:
                return None
            self._data = max(there, freed)
        return self._data

    def ready(self) -> int | None:
        """The first cycle the next group may begin in, as far as this pass is concerned."""
        data = self.data()
        weights = None if data is None else self.weights()
        return None if data is None or weights is None else max(data, weights) + CREDIT_TO_FIRE

    def run(self, groups: int, end: int) -> bool:
        """The next ``groups`` end before cycle ``end``; whether they ended their segment."""
        self.busy += groups * self._busy_cycles
        self._group += groups
        if self._group < self.groups:
            return False
        self._group = 0
        if not self._slice:
            self.consumed.add(self.end, end + FIRE_TO_CONSUMED)
        self._segment += 1
        if self._segment == self.segments:
            self._segment = 0
            self._slice += 1
            rings = self._program.stream.rings
            rings[WEIGHTS].free(self._weight + self._slice * self.groups * self.depth, end + FIRE_TO_POP)
            rings[CONSTANTS].free(self._constant + self._slice * self.groups, end + self._constants_late)
            self.left = self._slice < self.slices
        self._load()
        return True


class Depthwise:
    """The depthwise unit on one block: segments of its output in order, each as early as its credits allow.

    ``filtered``: pixels of results in activation memory, which count in the last slice; ``freed``: of the line buffers.
    """

    def __init__(
        self, config: EngineConfig, program: Program, latencies: Latencies, geometry: DepthwiseGeometry, *, start: int,
        weights: tuple[int, int], ones: bool, expanded: Expanded, projected: Clock, ring: int, written: Callable[[int, int], None],
    ):  # fmt: skip
        self._program, self._latencies, self._geometry = program, latencies, geometry
        self._expanded, self._projected, self._ring, self._written = expanded, projected, ring, written
        self._first_weight, self._first_constant = weights
        self._weights = 0 if ones else geometry.triples * geometry.kernel[1]
        self._constants = constant_words(config)
        self._result = geometry.result_cycles(config)
        self.busy = geometry.words() * geometry.triples * geometry.kernel[1]
        self.cycle = start  # of the next tap
        self.filtered, self.freed = Positions(), Positions()
        self._slice, self._at, self._group = 0, 0, 0
        self._plane = geometry.in_h * geometry.in_w
        # Of an image's segments: pixels needed, pixels freed, outputs.
        self._segments = [
            (geometry.needed(row, last), geometry.freed(row, last), last - first)
            for row in range(geometry.out_h)
            for first in range(0, geometry.out_w, geometry.segment)
            for last in (min(first + geometry.segment, geometry.out_w),)
        ]
        self._results = 0
        self._writes: list[tuple[int, int, int]] = []  # of the latest segments: cycle of the first word, first pixel, pixels

    @property
    def left(self) -> bool:
        """Whether segments are left."""
        return self._slice < self._geometry.slices

    def _loaded(self) -> int | None:
        """When the group's weights and constants count, which it uses for the first time in the slice's first segment."""
        group = self._slice * self._geometry.groups + self._group + 1
        constants = self._program.loaded(DEPTHWISE_CONSTANTS, self._first_constant + group * self._constants)
        weights = self._program.loaded(DEPTHWISE_WEIGHTS, self._first_weight + group * self._weights) if self._weights else 0
        return None if weights is None or constants is None else max(weights, constants)

    def advance(self) -> None:
        """Do all segments whose credits are known."""
        groups, total = self._geometry.groups, len(self._segments) * self._geometry.images
        while self.left:
            image, index = divmod(self._at, len(self._segments))
            needed, freed, outputs = self._segments[index]
            base = (self._slice * self._geometry.images + image) * self._plane
            there = self._expanded.time(base + needed)
            room = self._projected.time(self._results + outputs - self._ring)
            if there is None or room is None:
                return
            self.cycle = max(self.cycle, there + EXPANDED_TO_TAP, room + CONSUMED_TO_TAP if room else 0)
            if self._at:
                self.cycle += groups * outputs * self._result
            else:  # a slice's first segment: each group's weights may have to come
                while self._group < groups:
                    loaded = self._loaded()
                    if loaded is None:
                        return
                    self.cycle = max(self.cycle, loaded + LOADED_TO_TAP) + outputs * self._result
                    self._group += 1
                self._group = 0
            self._writes.append((self.cycle - groups * outputs * self._result, self._results, outputs))
            self._end_segment(base + freed, outputs, total)

    def _end_segment(self, freed: int, outputs: int, total: int) -> None:
        self.freed.add(freed, self.cycle + TAP_TO_FREED)
        self._results += outputs
        if self._slice == self._geometry.slices - 1:
            cycle = self.cycle - 1 + self._latencies.tap_to_write + WRITE_TO_POSITION
            self.filtered.add(self._results, cycle)
            self._written(self._results, cycle)
        self._at += 1
        if self._at == total:
            self._at, self._results = 0, 0
            self._slice += 1
            groups = self._slice * self._geometry.groups
            rings = self._program.stream.rings
            if self._weights:
                rings[DEPTHWISE_WEIGHTS].free(self._first_weight + groups * self._weights, self.cycle + TAP_TO_POP)
            rings[DEPTHWISE_CONSTANTS].free(self._first_constant + groups * self._constants, self.cycle + TAP_TO_POP_CONSTANTS)

    def writes(self, cycle: int) -> Iterator[tuple[int, int]]:
        """Cycle and pixel of words written from ``cycle`` on, as far as they are known. Asked for in order of time."""
        groups, step = self._geometry.groups, self._result
        late = step - 1 + self._latencies.tap_to_write
        while self._writes and self._writes[0][0] + groups * self._writes[0][2] * step + late <= cycle:
            self._writes.pop(0)
        for begin, first, outputs in self._writes:
            for word in range(max(0, -(-(cycle - begin - late) // step)), groups * outputs):
                yield begin + late + word * step, first + word % outputs

    def done(self) -> int:
        """When the last result has left."""
        return self.cycle - 1 + self._latencies.tap_to_write + WRITE_TO_DONE
