"""How one block runs: how many slices, what stays on chip and where, what passes through external memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from narrows.errors import DoesNotFit, Lacks, Unfit
from narrows.graph.blocks import Block
from narrows.hw.config import EngineConfig
from narrows.plan.allocation import ActivationSpace, even, in_place, tensor_bytes
from narrows.plan.constants import groups_of, tensor_words
from narrows.plan.cost import input_words
from narrows.plan.plan import BlockPlan, Region, Transfer, depthwise_geometry
from narrows.program.encode import check_fields
from narrows.schedule.buffering import expand_segment, line_room, row_steps, shortcut_ring
from narrows.schedule.remedy import refusal
from narrows.schedule.request import RESIDENT_SHARE, Request


class BlockPlanner:
    """Plans one block: tries the ways to run it, best first, and keeps the first that fits."""

    def __init__(self, config: EngineConfig, block: Block, request: Request, allocate: Callable[[int], Transfer]):
        """``allocate`` gives room for so many bytes in external memory."""
        self._config, self._block, self._request, self._allocate = config, block, request, allocate
        self._where, self._images, self._slices = request.where, request.images, request.slices

    def plan(self) -> tuple[tuple[BlockPlan, ...], Region | Transfer]:
        """The block's runs, and where its output is then; raises :class:`DoesNotFit`."""
        problems: list[Unfit] = []
        for way in self._ways(self._block):
            for spill in (True,) if self._request.spill else (False, True):
                try:
                    runs = way(spill)
                    for run in runs:
                        check_fields(run, self._config)
                except Unfit as error:
                    problems.append(error)
                    continue
                store = runs[-1].store
                return runs, store if spill and store is not None else self._output(runs)
        raise refusal(self._block.name, problems, self._config, self._fits)

    def _fits(self, config: EngineConfig) -> bool:
        """Whether an engine of ``config`` takes the block."""
        request = dataclasses.replace(self._request, limit=self._request.limit + config.bank_words - self._config.bank_words)
        try:
            type(self)(config, self._block, request, self._allocate).plan()
        except (DoesNotFit, Unfit):
            return False
        return True

    def _output(self, runs: Sequence[BlockPlan]) -> Region:
        """Where the block's whole output is after ``runs``."""
        return runs[-1].output

    @property
    def _by_rows(self) -> bool:
        """Whether runs that keep their weights and go row by row may be planned."""
        return self._slices is None and self._images == 1 and self._request.into is None

    def _held(self, block: Block) -> Region | None:
        """The input's region, where it is on chip already."""
        return self._where if isinstance(self._where, Region) and not block.from_picture else None

    def _memory(self, *taken: Region | None) -> ActivationSpace:
        request = self._request
        return ActivationSpace(self._config, *taken, request.addend, *request.keep, words=request.limit)

    def _ways(self, block: Block) -> Sequence[Callable[[bool], tuple[BlockPlan, ...]]]:
        config = self._config
        if block.depthwise is None:
            return [lambda spill: (self._pointwise(block, spill),)]
        interior = groups_of(block.depthwise.output.shape[2], config)
        ways: list[Callable[[bool], tuple[BlockPlan, ...]]] = []
        if self._slices is None:
            if self._by_rows:
                ways.append(lambda spill: (self._rows(block, spill, self._request.resident),))
            # One group a slice needs the least room; more per slice cost line buffers and gain nothing.
            counts = [interior]
        else:
            # As asked, or the next smaller size where such a slice is too large.
            most = -(-interior // min(self._slices, interior))
            counts = [min(self._slices, interior), *(-(-interior // size) for size in range(most - 1, 0, -1))]
        ways += [lambda spill, t=t: (self._plane(block, spill, t),) for t in counts]
        if self._by_rows:
            ways.append(lambda spill: (self._rows(block, spill, share=1.0),))
        return ways

    # The source of a block's first stage, and where its output may go.

    def _source(
        self, block: Block, memory: ActivationSpace, *, wanted: int | None, least: int
    ) -> tuple[Region, Transfer | None, Transfer | None]:
        """(region, picture, load). ``wanted``/``least``: pixels of a ring, None for the whole tensor."""
        height, width, _ = block.input.shape
        if block.from_picture:
            first = block.expand or block.project
            assert first is not None
            depth = input_words(block, first, self._config)
            out_h, out_w, _ = first.output.shape
            whole, picture, load = out_h * out_w, self._request.picture, None
        elif isinstance(self._where, Region):
            return self._where, None, None
        else:
            assert self._where is not None
            whole, picture, load = self._images * height * width // block.joined, None, self._where
            depth = load.bytes // (whole * self._config.group)
        whole = even(self._config, whole)
        region = memory.ring(
            wanted=whole if wanted is None else min(wanted, whole), least=whole if wanted is None else min(least, whole),
            groups=depth, config=self._config,
        )
        if region is None:
            raise Lacks(f"there is no room for its input of {whole} pixels in {depth} words each.", "activation_words")
        return region, picture, load

    def _depths(self, block: Block) -> tuple[int, int, int]:
        """(expand depth, project depth, project groups); 0 for a stage that is not there."""
        config = self._config
        expand = input_words(block, block.expand, config) if block.expand else 0
        project = input_words(block, block.project, config) if block.project else 0
        if block.depthwise is not None and not block.project:
            project = groups_of(block.depthwise.output.shape[2], config)
        return expand, project, groups_of(block.project.output.shape[2], config) if block.project else 0

    def _rows(self, block: Block, spill: bool, share: float) -> BlockPlan:
        """One slice, row by row: the weights of the whole block must stay on chip, in ``share`` of their memory."""
        config = self._config
        expand_depth, project_depth, project_groups = self._depths(block)
        assert block.depthwise is not None
        interior = groups_of(block.depthwise.output.shape[2], config)
        weights = interior * expand_depth + project_groups * project_depth
        if weights > share * config.weight_words or interior + project_groups > config.constant_words:
            raise Lacks(f"its {weights} words of weights can't stay on chip row by row.", "weight_words", passing=True)
        in_w = block.depthwise.inputs[0].shape[1]
        out_h, out_w, out_channels = block.output.shape
        filtered_w = block.depthwise.output.shape[1]
        geometry, steps = row_steps(config, block, interior)
        expanded, project_segment = steps["expand_segment"], steps["project_segment"]

        held = self._held(block)
        out_groups = groups_of(out_channels, config)
        memory = self._memory(held)
        output = None
        out_whole = tensor_words(block.output, config)
        if not spill:
            over = in_place(config, block, held, out_groups, limit=self._request.limit)
            if over is not None and any(over.overlaps(region) for region in self._request.keep):
                over = None
            if over is None or not block.adds_input:
                output = memory.place(out_whole, out_groups)
            output = output or over
            if output is None:
                raise Lacks(f"its output of {block.output.shape} has no room on chip.", "activation_words", passing=True)
            if output not in memory.taken:
                memory.taken.append(output)
        wanted, least = 2 * in_w + expanded, 2 * expanded
        if block.adds_input:
            # A shortcut that streams through a ring must stay until project comes to it.
            reach = shortcut_ring(geometry, expanded=expanded, projected=project_segment)
            wanted, least = max(wanted + 4 * in_w, reach), max(least + 4 * in_w, reach)
        source, picture, load = self._source(block, memory, wanted=wanted, least=least)
        if load is not None and source not in memory.taken:
            memory.taken.append(source)
        if spill:
            output = memory.ring(
                wanted=min(2 * out_w + 2 * project_segment, even(config, out_h * out_w)), least=2 * project_segment,
                groups=out_groups, config=config,
            )
            if output is None:
                raise Lacks("there is no room for a ring of its output.", "activation_words")
        filtered = None
        if block.project is not None:
            whole = even(config, filtered_w * block.depthwise.output.shape[0])
            filtered = memory.ring(
                wanted=min(2 * filtered_w + project_segment, whole),
                least=min(project_segment + 2 * steps["depthwise_segment"], whole), groups=interior, config=config,
            )
            if filtered is None:
                raise Lacks("there is no room for rows of its filtered interior.", "activation_words")
        assert output is not None
        return self._finish(
            block, mode="rows", slices=1, slice_groups=interior, source=source, picture=picture, load=load,
            filtered=filtered, output=output, spill=spill, **steps,
        )

    def _plane(self, block: Block, spill: bool, slices: int) -> BlockPlan:
        """Slice after slice over the whole plane; the filtered interior stays on chip until project has used it."""
        config = self._config
        expand_depth, project_depth, _ = self._depths(block)
        assert block.depthwise is not None
        interior = groups_of(block.depthwise.output.shape[2], config)
        slice_groups = -(-interior // slices)
        padded = slices * slice_groups
        if max(slice_groups * expand_depth, project_depth) > config.weight_words:
            raise Lacks(f"a slice of {slice_groups} groups needs more than the {config.weight_words} words of weights.", "weight_words")
        in_h, in_w, _ = block.depthwise.inputs[0].shape
        filtered_h, filtered_w, _ = block.depthwise.output.shape
        filtered_pixels = even(config, self._images * filtered_h * filtered_w)
        held = self._held(block)
        memory = self._memory(held)
        source, picture, load = self._source(block, memory, wanted=None, least=0)
        if source not in memory.taken:
            memory.taken.append(source)
        filtered = None
        if block.project is not None:
            filtered = memory.place(filtered_pixels // config.pixels * padded, padded)
            if filtered is None:
                raise Lacks(
                    f"its filtered interior of {filtered_pixels} pixels and {padded} groups does not fit beside its input.",
                    "activation_words",
                )
        out_groups = groups_of(block.output.shape[2], config) if block.project else padded
        out_whole = even(config, self._images * block.output.shape[0] * block.output.shape[1]) // config.pixels * out_groups
        if spill:
            # A group's results span the whole plane before the next group's begin: no ring can hold them.
            raise Lacks("its output has no room on chip.", "activation_words", passing=True)
        output = self._request.into or self._plane_output(block, memory, source, filtered, out_whole, out_groups)
        if output is None:
            raise Lacks(f"its output of {block.output.shape} has no room on chip.", "activation_words", passing=True)
        geometry = depthwise_geometry(block, slices=slices, slice_groups=slice_groups, images=self._images, segment=filtered_w)
        room = line_room(config, geometry)
        segment = expand_segment(config, geometry, room=room, wanted=even(config, min(self._images * in_h * in_w, max(in_w, 28))))
        return self._finish(
            block, mode="plane", slices=slices, slice_groups=slice_groups, source=source, picture=picture, load=load,
            filtered=filtered, output=output, room=room, expand_segment=segment, depthwise_segment=filtered_w,
            project_segment=filtered_pixels, spill=False,
        )

    def _plane_output(
        self, block: Block, memory: ActivationSpace, source: Region, filtered: Region | None, size: int, groups: int
    ) -> Region | None:
        """Project begins when the input has been used, so only a shortcut and the filtered interior must be kept."""
        shortcut = block.adds_input
        if filtered is None or shortcut:
            free = memory.place(size, groups)
            if free is not None or not shortcut or source.groups != groups or source in self._request.keep:
                return free
            return Region(base=source.base, size=size, groups=groups)
        only_filtered = self._memory(filtered)
        return only_filtered.place(size, groups)

    def _pointwise(self, block: Block, spill: bool) -> BlockPlan:
        """Project alone: a pointwise layer by itself, or the stem without a depthwise layer after it."""
        config = self._config
        _, depth, groups = self._depths(block)
        assert block.project is not None
        if depth > config.weight_words:
            raise Lacks(f"a group's {depth} words of weights exceed the {config.weight_words} words of the memory.", "weight_words")
        out_h, out_w, _ = block.output.shape
        pixels = even(config, self._images * out_h * out_w)
        resident = groups * depth <= RESIDENT_SHARE * config.weight_words and groups <= config.constant_words
        held = self._held(block)
        memory = self._memory(held)
        segment = even(config, out_w) if resident else pixels
        source, picture, load = self._source(
            block, memory, wanted=2 * segment if resident else None, least=2 * segment if resident else 0
        )
        if source not in memory.taken:
            memory.taken.append(source)
        size = pixels // config.pixels * groups
        output = memory.ring(wanted=4 * segment, least=2 * segment, groups=groups, config=config) if spill else (
            self._request.into or memory.place(size, groups)
        )
        if spill and not resident:
            raise Lacks("its output has no room on chip.", "activation_words", passing=True)
        if output is None:
            raise Lacks(f"its output of {block.output.shape} has no room on chip.", "activation_words", passing=True)
        return self._finish(
            block, mode="rows" if resident else "plane", slices=0, slice_groups=0, source=source, picture=picture, load=load,
            filtered=None, output=output, room=0, expand_segment=0, depthwise_segment=0, project_segment=segment, spill=spill,
        )

    def _finish(
        self, block: Block, *, spill: bool, slices: int, slice_groups: int, source: Region, filtered: Region | None, output: Region,
        **rest: Any,
    ) -> BlockPlan:
        """The run, with what follows from where its tensors lie."""
        config = self._config
        expand_depth, _, project_groups = self._depths(block)
        project_depth = source.groups
        if block.depthwise is not None:
            expand_depth = source.groups
            project_depth = slices * slice_groups if block.project else 0
        if block.project is None:
            filtered = output
        shortcut = source if block.adds_input else self._request.addend
        if block.shortcut is not None and (shortcut is None or shortcut.groups != output.groups):
            raise Unfit(f"its shortcut {block.shortcut.name!r} is not on chip in its output's {output.groups} groups of channels.")
        store = self._allocate(self._images * tensor_bytes(block.output, output.groups, config)) if spill else None
        return BlockPlan(
            block=block, images=self._images, slices=slices, slice_groups=slice_groups, source=source, filtered=filtered, output=output,
            expand_depth=expand_depth, project_depth=project_depth, project_groups=project_groups, store=store,
            addend=self._request.addend, **rest,
        )
