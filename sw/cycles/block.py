"""One block in the cycle model: array, depthwise unit and transfers from ``start`` to ``block``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from narrows.cycles.dram import Bus
from narrows.cycles.latencies import QUIET_TO_BLOCK, START_TO_FIRE, WRITE_TO_POSITION, Latencies
from narrows.cycles.program import Program
from narrows.cycles.transfers import Load, Positions, Stem, Store
from narrows.cycles.units import Clock, Depthwise, Expanded, Pass
from narrows.errors import NarrowsError
from narrows.graph.network import Pool
from narrows.hw.config import EngineConfig
from narrows.hw.control.program_reader import Kind
from narrows.hw.depthwise.geometry import NO_RING
from narrows.hw.writeback.writeback import DEPTH
from narrows.plan.plan import BlockPlan, depthwise_geometry
from narrows.program.encode import project_chunks


class Deadlock(NarrowsError):
    """A plan in which units wait for each other for ever."""


class _Always:
    """A counter that has always been far enough."""

    def time(self, _count: int) -> int:
        return 0


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Words of each ring that the program brought before a block."""

    words: dict[Kind, int]

    def after(self, packets: list[tuple[Kind, int]]) -> Counts:
        """Those after ``packets``."""
        words = dict(self.words)
        for kind, count in packets:
            words[kind] += count
        return Counts(words=words)


class BlockRun:
    """Runs a block from cycle ``start`` on; then ``end`` is the cycle of ``block``."""

    def __init__(self, plan: BlockPlan, config: EngineConfig, program: Program, latencies: Latencies, counts: Counts, start: int):
        self._plan, self._config, self._program, self._latencies = plan, config, program, latencies
        self._bus: Bus = program.bus
        self._start, self._words = start, counts.words
        self.expand: Pass | None = None
        self.project: Pass | None = None
        self._depthwise: Depthwise | None = None
        self.wait_weights = self.wait_data = 0
        self._written = 0  # the last word's way out of the writeback
        self._source_consumed = Positions()
        self._projected_words: list[tuple[int, int]] = []  # cycle and pixel, kept for the stem
        self._store = None
        if plan.store is not None:
            self._store = Store(config, self._bus, address=plan.store.address, groups=plan.output.groups, pixels=plan.pixels("output"))
            self._bus.sink = self._store.writer
        self._feed = self._source()
        self._expanded = Expanded(config, latencies)
        self._make_passes()

    # What there is.

    def _source(self) -> Stem | Load | None:
        plan, config, block = self._plan, self._config, self._plan.block
        ring = plan.source.pixels(config)
        feed: Stem | Load | None = None
        if plan.picture is not None:
            first = block.expand or block.project
            assert first is not None
            feed = Stem(
                config, self._bus, self._source_consumed, start=self._start, address=plan.picture.address, ring=ring,
                shape=block.input.shape, kernel=first.kernel, stride=first.stride, top=first.pad[0], output=first.output.shape[:2],
                filtered=self._filtered_words, projected=self._projected_words,
            )  # fmt: skip
        elif plan.load is not None:
            feed = Load(
                config, self._bus, self._source_consumed, start=self._start, address=plan.load.address, ring=ring,
                groups=plan.source.groups, pixels=plan.pixels("input"),
            )  # fmt: skip
        self._bus.source = feed.reader if feed is not None else None
        return feed

    def _make_passes(self) -> None:
        plan, config, words = self._plan, self._config, dict(self._words)
        source: Clock = self._feed or _Always()
        stored = self._store if self._store is not None and plan.output.pixels(config) < plan.pixels("output") else None
        project_source: Clock = source
        if plan.block.depthwise is not None:
            stage = plan.block.depthwise
            geometry = depthwise_geometry(
                plan.block, slices=plan.slices, slice_groups=plan.slice_groups, images=plan.images, segment=plan.depthwise_segment
            )
            assert plan.filtered is not None
            ring = plan.filtered.pixels(config)
            self._projected: Positions = Positions()
            projected: Clock = self._projected if plan.block.project is not None or self._store is None else self._store
            self._depthwise = Depthwise(
                config, self._program, self._latencies, geometry, start=self._start + START_TO_FIRE,
                weights=(words[Kind.DEPTHWISE_WEIGHTS], words[Kind.DEPTHWISE_CONSTANTS]), ones=isinstance(stage, Pool),
                expanded=self._expanded, projected=projected, ring=ring if ring < plan.pixels("filtered") else NO_RING,
                written=self._filtered,
            )
            self.expand = Pass(
                config, self._program, slices=plan.slices, groups=plan.slice_groups,
                plane=plan.images * geometry.in_h * geometry.in_w, segment=plan.expand_segment, depth=plan.expand_depth,
                weight=words[Kind.WEIGHTS], constant=words[Kind.CONSTANTS], available=source, freed=self._depthwise.freed,
                room=plan.room,
            )
            words[Kind.WEIGHTS] += plan.expand_groups * plan.expand_depth
            words[Kind.CONSTANTS] += plan.expand_groups
            project_source = self._depthwise.filtered
        if plan.block.project is not None:
            slices, groups = (1, plan.project_groups) if plan.mode == "rows" else (plan.project_groups, 1)
            self.project = Pass(
                config, self._program, slices=slices, groups=groups, plane=plan.pixels("output"), segment=plan.project_segment,
                depth=plan.project_depth, weight=words[Kind.WEIGHTS], constant=words[Kind.CONSTANTS], available=project_source,
                freed=stored, room=plan.output.pixels(config),
            )
        # What source pixels wait for: their use, or with a shortcut their sum's.
        first = self.expand or self.project
        assert first is not None
        if not plan.block.adds_input or plan.load is None:
            first.consumed = self._source_consumed
        if self.project is not None and self.expand is not None:
            self.project.consumed = self._projected

    def _filtered_words(self, cycle: int) -> Iterable[tuple[int, int]]:
        return self._depthwise.writes(cycle) if self._depthwise is not None else ()

    # What happens.

    def _filtered(self, pixels: int, cycle: int) -> None:
        if self._plan.block.project is None and self._store is not None:
            self._store.written(pixels, cycle)

    def _write_back(self, project: Pass, start: int, groups: int, end: int) -> int:
        """Words of ``groups`` of project that begin in cycle ``start`` leave; the cycle their fires end before.

        Residual sums take longer than a result of a few input channels: the queue before them fills and holds the array.
        """
        latencies, lanes = self._latencies, self._config.pixels
        residual = self._plan.block.shortcut is not None
        latency = latencies.fire_to_summed if residual else latencies.fire_to_written
        step = latencies.sum_cycles if residual else 1
        words = groups * (project.end - project.first)
        first = max(start + project.cycles - 1 + latency, self._written + step)
        self._written = max(end - 1 + latency + (lanes - 1) * step, first + (words - 1) * step)
        if self._plan.picture is not None:
            self._projected_words += [
                (start + group * project.group_cycles + (at // lanes + 1) * project.cycles - 1 + latency + at % lanes, project.first + at)
                for group in range(groups) for at in range(project.end - project.first)
            ]
        held = end
        if project.cycles < lanes * step:
            held = max(end, self._written - (DEPTH - 3 * lanes) * step + project.cycles)
        self.wait_data += held - end
        if project.ends_pixels:
            cycle = self._written + WRITE_TO_POSITION
            if residual and self._plan.load is not None:
                self._source_consumed.add(project.end, cycle)
            if self._store is not None:
                self._store.written(project.end, cycle)
        return held

    def run(self) -> int:
        """Run the block; the cycle of ``block``. Raises :class:`Deadlock`."""
        cycle = self._start + START_TO_FIRE
        expand, project, depthwise = self.expand, self.project, self._depthwise
        while True:
            if depthwise is not None and depthwise.left:
                depthwise.advance()
            expand_ready = expand.ready() if expand is not None and expand.left else None
            project_ready = project.ready() if project is not None and project.left else None
            if expand_ready is None and project_ready is None:
                break
            first = min(ready for ready in (expand_ready, project_ready) if ready is not None)
            start = max(cycle, first)
            if start > cycle:
                self._wait(cycle, start)
            if project is not None and project_ready is not None and project_ready <= start:
                cycle = self._project(project, start)
            elif expand is not None:
                cycle = self._expand(expand, start, project_ready)
        if any(stage is not None and stage.left for stage in (expand, project, depthwise)):
            raise Deadlock(self._explain())
        return self._end(cycle)

    @property
    def depthwise_busy(self) -> int:
        """Cycles in which the depthwise unit multiplies."""
        return self._depthwise.busy if self._depthwise is not None else 0

    def _project(self, project: Pass, start: int) -> int:
        groups = project.groups_left
        end = self._write_back(project, start, groups, start + groups * project.group_cycles)
        project.run(groups, end)
        return end

    def _expand(self, expand: Pass, start: int, project_ready: int | None) -> int:
        """Groups until project may go on, which goes first then."""
        groups = expand.groups_left
        if project_ready is not None:
            groups = min(groups, -(-(project_ready - start) // expand.group_cycles))
        end = start + groups * expand.group_cycles
        first, last = expand.produced
        length = expand.group_cycles
        if expand.run(groups, end):
            self._expanded.add(first, last, end - length, expand.cycles)
        return end

    def _wait(self, cycle: int, start: int) -> None:
        """Account for the array's standing still: for weights as long as a pass lacks some, for anything else then."""
        lacking = cycle
        for stage in (self.expand, self.project):
            if stage is not None and stage.left:
                weights = stage.weights()
                lacking = max(lacking, start if weights is None else min(weights, start))
        self.wait_weights += lacking - cycle
        self.wait_data += start - lacking

    def _end(self, cycle: int) -> int:
        """The cycle of ``block``: the last unit is done, and everything stays quiet."""
        dones: list[int | None] = [cycle, self._written + 1]
        if self._depthwise is not None:
            dones.append(self._depthwise.done())
        dones += [unit.done() for unit in (self._feed, self._store) if unit is not None]
        known = [done for done in dones if done is not None]
        if len(known) < len(dones):
            raise Deadlock(self._explain())
        return max(known) + QUIET_TO_BLOCK

    def _explain(self) -> str:
        stages = (("expand", self.expand), ("depthwise", self._depthwise), ("project", self.project))
        waiting = [name for name, stage in stages if stage is not None and stage.left]
        reasons = []
        for name, stage in stages:
            if isinstance(stage, Pass) and stage.left:
                reasons.append(f"{name} waits for {'pixels or room' if stage.data() is None else 'weights'}")
        ring = self._program.stream.blocked
        full = f"; the program waits for room in ring memory {ring}" if ring >= 0 else ""
        return (
            f"Block {self._plan.block.name!r} would never end: {', '.join(waiting) or 'its transfers'} can't go on "
            f"({'; '.join(reasons) or 'a transfer waits'}{full}). Give the configuration larger memories, or plan more slices."
        )


def block_packets(plan: BlockPlan, config: EngineConfig, *, descriptor: int, constants: int, chunk_words: int) -> list[tuple[Kind, int]]:
    """The block's packets in the order of the program (see :mod:`narrows.program.encode`): kind and memory words."""
    packets: list[tuple[Kind, int]] = [(Kind.DESCRIPTOR, descriptor)]
    block = plan.block
    if block.depthwise is not None:
        stage = block.depthwise
        pool = isinstance(stage, Pool)
        taps = 0 if pool else -(-stage.kernel[0] // 3) * stage.kernel[1]
        per_slice = plan.slice_groups * plan.expand_depth
        chunk = max(1, chunk_words // per_slice) if plan.mode == "plane" else 1
        bounds = [*range(0, plan.slices, chunk), plan.slices]
        for first, end in pairwise(bounds):
            groups = (end - first) * plan.slice_groups
            packets += [(Kind.CONSTANTS, groups), (Kind.WEIGHTS, groups * plan.expand_depth)]
            packets.append((Kind.DEPTHWISE_CONSTANTS, groups * constants))
            if taps:
                packets.append((Kind.DEPTHWISE_WEIGHTS, groups * taps))
    if block.project is not None:
        for groups in project_chunks(plan, config):
            count = groups.stop - groups.start
            packets += [(Kind.CONSTANTS, count), (Kind.WEIGHTS, count * plan.project_depth)]
    return packets
