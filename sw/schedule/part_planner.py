"""How one block runs where nothing else fits: some of its channels after the others, each run on the whole input."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from narrows.errors import Lacks, Unfit
from narrows.graph.blocks import Block
from narrows.plan.constants import groups_of, tensor_words
from narrows.plan.plan import BlockPlan
from narrows.schedule.block_planner import BlockPlanner
from narrows.schedule.buffering import row_steps


class PartPlanner(BlockPlanner):
    """Plans one block; one that ends in its depthwise stage also in runs of some channels each."""

    def _ways(self, block: Block) -> Sequence[Callable[[bool], tuple[BlockPlan, ...]]]:
        ways = super()._ways(block)
        if not self._by_rows or block.expand is None or block.project is not None or block.from_picture:
            return ways
        return [*ways, lambda spill: self._parts(block, spill)]

    def _parts(self, block: Block, spill: bool) -> tuple[BlockPlan, ...]:
        """Row by row, as many channels at once as their weights and line buffers have room for; the input comes once for each run.

        The runs' channels lie side by side in the output. It must have room on chip, also where it is stored: the last run does that.
        """
        config = self._config
        assert block.depthwise is not None
        channels = block.output.shape[2]
        groups, depth = groups_of(channels, config), self._depths(block)[0]
        memory = self._memory(self._held(block))
        output = memory.place(tensor_words(block.output, config), groups)
        if output is None:
            raise Lacks(f"its output of {block.output.shape} has no room on chip.", "activation_words", passing=True)
        size, steps = self._part_size(block, groups, depth)
        in_w, expanded = block.depthwise.inputs[0].shape[1], steps["expand_segment"]
        source, picture, load = self._source(block, memory, wanted=2 * in_w + expanded, least=2 * expanded)
        runs = []
        for first in range(0, groups, size):
            last = min(first + size, groups)
            run = self._finish(
                block, mode="rows", slices=1, slice_groups=last - first, source=source, picture=picture, load=load, filtered=None,
                output=output, spill=spill and last == groups, **row_steps(config, block, last - first)[1],
            )
            runs.append(dataclasses.replace(run, part=range(first * config.group, min(last * config.group, channels)), beside=True))
        return tuple(runs)

    def _part_size(self, block: Block, groups: int, depth: int) -> tuple[int, dict[str, int]]:
        """Groups of a run, as few runs as possible and all about the same; and its steps."""
        most = self._config.weight_words // depth
        if not most:
            raise Lacks(f"a group's {depth} words of weights exceed the {self._config.weight_words} words of the memory.", "weight_words")
        problem: Unfit | None = None
        for count in range(-(-groups // most), groups + 1):
            size = -(-groups // count)
            try:
                return size, row_steps(self._config, block, size)[1]
            except Unfit as error:
                problem = error
        assert problem is not None
        raise problem
