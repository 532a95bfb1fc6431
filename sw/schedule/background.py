"""A classifier in the background: parts of it between the blocks of the next batch, as many as the weight memory has room for.

The program brings weights in the order of use, ahead of it as far as they fit. So what a part needs comes while the run before
it computes, if it fits beside what that one keeps; and the run after it starts at once if its first weights fit, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from narrows.graph.blocks import Block
from narrows.hw.config import EngineConfig
from narrows.plan.allocation import ActivationSpace, even
from narrows.plan.constants import groups_of
from narrows.plan.cost import array_cycles, weight_bytes
from narrows.plan.plan import BlockPlan, Region, Transfer
from narrows.program.encode import CHUNK_WORDS, check_fields

#: Share of the bus that data gets, refresh and changes of the row aside.
_BUS_SHARE = 0.9


@dataclass(frozen=True, kw_only=True)
class Background:
    """A pointwise ``classifier`` of ``images`` single pixels that lie in ``source``, outside of what other runs use."""

    config: EngineConfig
    classifier: Block
    images: int
    source: Region

    @property
    def depth(self) -> int:
        """Weight words of a group of outputs."""
        return self.source.groups

    @property
    def groups(self) -> int:
        """Groups of outputs."""
        return groups_of(self.classifier.output.shape[2], self.config)

    def part(self, first: int, groups: int, output: Region, allocate: Callable[[int], Transfer]) -> BlockPlan:
        """The run that forms ``groups`` groups of outputs from group ``first`` on."""
        config, channels = self.config, self.classifier.output.shape[2]
        lanes = config.outputs
        return BlockPlan(
            block=self.classifier, images=self.images, mode="plane", slices=0, slice_groups=0, expand_depth=0, project_depth=self.depth,
            project_groups=groups, source=self.source, filtered=None, output=output, expand_segment=0, depthwise_segment=0,
            project_segment=even(config, self.images), room=0, store=allocate(self.images * groups * config.group),
            part=range(first * lanes, min(channels, (first + groups) * lanes)),
        )


@dataclass
class _Slot:
    """The place after run ``after``: weight words there is room for, groups the bus can bring meanwhile, groups that are put there."""

    after: int
    room: int
    most: int
    groups: int = 0

    def lacking(self, depth: int) -> int:
        """Weight words that would have to come while the array waits, were there one group more."""
        return max(0, (self.groups + 1) * depth - self.room)


def interleave(
    runs: list[BlockPlan], background: Background, allocate: Callable[[int], Transfer], *, most: int
) -> list[BlockPlan] | None:
    """``runs`` with parts of the classifier between them, at most ``most``; ``None`` if there is no place."""
    config, depth = background.config, background.depth
    slots = []
    for index, (before, after) in enumerate(pairwise(runs)):
        if background.source.overlaps(before.output) or background.source.overlaps(after.source):
            continue
        room = config.weight_words - _kept(before) - _first(after)
        spare = _BUS_SHARE * _cycles(before, config) - weight_bytes(before.block, config) / 2
        slots.append(_Slot(after=index, room=room, most=max(0, int(spare // (depth * config.outputs * config.group / 2)))))
    left = background.groups
    while left:
        open_slots = [slot for slot in slots if slot.groups < slot.most and (slot.groups or sum(s.groups > 0 for s in slots) < most)]
        if not open_slots:
            open_slots = [slot for slot in slots if slot.groups] or slots
        if not open_slots:
            return None
        # Where it costs least; and there, where a part is already, for a part costs some hundred cycles of its own.
        best = min(open_slots, key=lambda slot: (slot.lacking(depth), slot.groups == 0, -slot.room))
        best.groups += 1
        left -= 1
    return _mixed(runs, {slot.after: slot.groups for slot in slots if slot.groups}, background, allocate)


def _mixed(
    runs: list[BlockPlan], groups: dict[int, int], background: Background, allocate: Callable[[int], Transfer]
) -> list[BlockPlan] | None:
    config = background.config
    result, first = [], 0
    pairs = even(config, background.images) // config.pixels
    for index, run in enumerate(runs):
        result.append(run)
        count = groups.get(index, 0)
        if not count:
            continue
        output = ActivationSpace(config, run.output, runs[index + 1].source, background.source).place(pairs * count, count)
        if output is None:
            return None
        part = background.part(first, count, output, allocate)
        check_fields(part, config)
        result.append(part)
        first += count
    return result


def _kept(run: BlockPlan) -> int:
    """Weight words that are released only when the run is nearly over."""
    if run.mode == "rows":
        return run.expand_groups * run.expand_depth + run.project_groups * run.project_depth
    return run.project_depth if run.project_groups else run.slice_groups * run.expand_depth


def _first(run: BlockPlan) -> int:
    """Weight words that a run needs to begin."""
    if run.mode == "rows":
        return _kept(run)
    return min(CHUNK_WORDS, run.slices * run.slice_groups * run.expand_depth) if run.slices else run.project_depth


def _cycles(run: BlockPlan, config: EngineConfig) -> int:
    return run.images * array_cycles(run.block, config)
