"""How one block runs for several images at once: as for one, or, where their outputs have no room, in parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from narrows.errors import Lacks, Unfit
from narrows.graph.blocks import Block, cut_after_depthwise
from narrows.plan.allocation import even
from narrows.plan.constants import groups_of
from narrows.plan.plan import BlockPlan, Region
from narrows.schedule.part_planner import PartPlanner


class BatchPlanner(PartPlanner):
    """Plans one block for a batch."""

    def _ways(self, block: Block) -> Sequence[Callable[[bool], tuple[BlockPlan, ...]]]:
        ways = super()._ways(block)
        if self._images == 1 or block.depthwise is None or block.project is None or block.add is not None:
            return ways
        interior = groups_of(block.depthwise.output.shape[2], self._config)
        return [*ways, lambda spill: self._parted(block, spill, min(self._slices or interior, interior))]

    def _output(self, runs: Sequence[BlockPlan]) -> Region:
        if len(runs) == 1 or runs[-1].beside:
            return super()._output(runs)
        # The parts' outputs follow each other.
        first, last = runs[1].output, runs[-1].output
        return Region(base=first.base, size=last.end - first.base, groups=first.groups)

    def _parted(self, block: Block, spill: bool, slices: int) -> tuple[BlockPlan, ...]:
        """Where a batch's output has no room beside the filtered interior: project the first images, then the others over the
        first ones' interior. Project's weights come twice."""
        config = self._config
        if spill or self._request.keep:
            raise Lacks("its output has no room on chip.", "activation_words", passing=True)
        interior, project = cut_after_depthwise(block)
        pixels = block.output.shape[0] * block.output.shape[1]
        early = next((n for n in range((self._images + 1) // 2, self._images) if n * pixels % config.pixels == 0), None)
        if early is None:
            raise Unfit(f"{self._images} images can't be parted into whole groups of pixels.")
        out_groups = groups_of(block.output.shape[2], config)
        first_out = early * pixels // config.pixels * out_groups
        out_size = even(config, self._images * pixels) // config.pixels * out_groups
        held = self._where if isinstance(self._where, Region) else None
        source, _, _ = self._source(interior, self._memory(held), wanted=None, least=0)
        padded = slices * -(-groups_of(interior.output.shape[2], config) // slices)
        size = even(config, self._images * pixels) // config.pixels * padded
        for base in (first_out, max(first_out, source.end)):
            filtered = Region(base=base, size=size, groups=padded)
            if not filtered.overlaps(source) and filtered.end <= self._request.limit:
                break
        else:
            raise Lacks(f"its filtered interior of {padded} groups and the output of {early} images do not fit.", "activation_words")
        request = dataclasses.replace(self._request, into=filtered)
        plan = BatchPlanner(config, interior, request, self._allocate)._plane(interior, False, slices)
        runs = [plan]
        start = base - first_out
        for first, images in ((0, early), (early, self._images - early)):
            at = first * pixels // config.pixels
            part = even(config, images * pixels) // config.pixels
            target = Region(base=start + at * out_groups, size=part * out_groups, groups=out_groups)
            if first and target.end > filtered.base + at * padded:
                raise Lacks("the output of the later images has no room in the interior of the first ones.", "activation_words")
            where = Region(base=filtered.base + at * padded, size=part * padded, groups=padded)
            request = dataclasses.replace(self._request, where=where, into=target, images=images)
            run = BatchPlanner(config, project, request, self._allocate)._pointwise(project, False)
            runs.append(dataclasses.replace(run, first=first))
        assert runs[-1].output.end - start == out_size
        return tuple(runs)
