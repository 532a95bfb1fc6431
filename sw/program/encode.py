"""From a plan to the program in external memory: descriptors, weights and constants in the order the engine uses them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from narrows.graph.network import Conv, Pool
from narrows.hw.activations.address_generator import walk_fields
from narrows.hw.activations.stream import transfer_fields
from narrows.hw.arithmetic.requantise import output_range
from narrows.hw.array.pass_fields import pass_values
from narrows.hw.config import EngineConfig
from narrows.hw.control.descriptor import pack_descriptor
from narrows.hw.control.program_reader import WIDE, Kind, fits_rings, lane_bytes
from narrows.hw.depthwise.fields import NO_RING, depthwise_fields
from narrows.hw.depthwise.line_buffer import line_fields
from narrows.hw.stem.fields import stem_fields
from narrows.hw.writeback.residual_fields import residual_fields
from narrows.plan.constants import (
    Channels,
    depthwise_constants,
    depthwise_weights,
    fold,
    groups_of,
    pack_constants,
    pointwise_weights,
    pool_channels,
    settle,
    stem_weights,
    weight_pairs,
)
from narrows.plan.packets import Packets
from narrows.plan.plan import BlockPlan, Plan, depthwise_geometry

#: Room of a destination that nothing drains: any number of pixels.
_UNLIMITED = (1 << 19) - 1

#: Slices whose weights and constants share packets in plane mode: few headers, and no memory fills with what is not due.
CHUNK_WORDS = 64


@dataclass(frozen=True, eq=False)
class Program:
    """What is loaded into external memory at ``address`` and started. ``words`` of 16 bits; ``plan`` says the rest."""

    plan: Plan
    image: bytes

    @property
    def address(self) -> int:
        """Byte address."""
        return self.plan.program_address

    @property
    def words(self) -> int:
        """Length in 16-bit words."""
        return len(self.image) // 2


@dataclass(frozen=True, eq=False)
class _Stage:
    """A stage's words by group: weights (groups, words, lanes, bytes) and constants (groups, ..., lanes, bytes)."""

    weights: np.ndarray
    constants: np.ndarray
    weight_zero_point: int

    def part(self, groups: range) -> _Stage:
        """Of some groups."""
        some = slice(groups.start, groups.stop)
        return dataclasses.replace(self, weights=self.weights[some], constants=self.constants[some])


class _BlockCompiler:
    """One block's descriptor and packets."""

    def __init__(self, plan: BlockPlan, config: EngineConfig, *, first: bool = False, last: bool = False):
        self._plan, self._config, self._first, self._last = plan, config, first, last
        self._block = plan.block
        self._signed = plan.block.output.dtype == "int8"

    def write(self, stream: Packets) -> None:
        """Append the block to the program.

        The first block's descriptor comes last if it may: once it starts, its picture goes first on the bus, and weights wait.
        """
        descriptor, packets = Packets(self._config), Packets(self._config)
        descriptor.put(Kind.DESCRIPTOR, pack_descriptor(self._config, self.descriptor(stream)))
        self._packets(packets)
        if self._first and fits_rings(self._config, packets.counts):
            stream.append(packets)
            stream.append(descriptor)
        else:
            stream.append(descriptor)
            stream.append(packets)

    def _packets(self, stream: Packets) -> None:
        """Weights and constants."""
        plan = self._plan
        expand = self._expand() if self._block.expand else None
        depthwise = self._depthwise() if self._block.depthwise else None
        project = self._project() if self._block.project else None
        if expand is not None and depthwise is not None:
            # Plane mode: a few slices at a time, so that what the depthwise unit needs is there when its slice is.
            per_slice = plan.slice_groups * plan.expand_depth
            chunk = max(1, CHUNK_WORDS // per_slice) if plan.mode == "plane" else 1
            for first in range(0, plan.slices, chunk):
                groups = slice(first * plan.slice_groups, (first + chunk) * plan.slice_groups)
                self._put(stream, Kind.CONSTANTS, Kind.WEIGHTS, expand, groups)
                self._put(stream, Kind.DEPTHWISE_CONSTANTS, Kind.DEPTHWISE_WEIGHTS, depthwise, groups)
        if project is not None:
            for groups in project_chunks(plan, self._config):
                self._put(stream, Kind.CONSTANTS, Kind.WEIGHTS, project, groups)

    def _put(self, stream: Packets, constants: Kind, weights: Kind, stage: _Stage, groups: slice) -> None:
        wide = {narrow: kind for kind, narrow in WIDE.items()}
        kind = constants if stage.constants.shape[-1] == lane_bytes(self._config, constants) else wide[constants]
        stream.put(kind, stage.constants[groups])
        if stage.weights.size:
            stream.put(weights, stage.weights[groups], zero_point=stage.weight_zero_point, signed=self._signed)

    # Stages.

    def _pointwise(self, conv: Conv, *, groups: int, depth: int, from_picture: bool) -> _Stage:
        channels = settle(conv)
        if from_picture:
            weights = stem_weights(channels, self._config, groups=groups)
        else:
            weights = pointwise_weights(channels, self._config, groups=groups, depth=depth, joined=conv.joined or 1)
        if self._config.products == "fast":
            channels = fold(channels, weight_pairs(weights, channels.weight_zero_point, signed=self._signed))
        constants = pack_constants(channels, groups * self._config.outputs).reshape(groups, self._config.outputs, -1)
        return _Stage(weights, constants, channels.weight_zero_point)

    def _expand(self) -> _Stage:
        plan, conv = self._plan, self._block.expand
        assert conv is not None
        every, formed = self._interior()
        stage = self._pointwise(conv, groups=every, depth=plan.expand_depth, from_picture=self._block.from_picture)
        return stage.part(formed)

    def _project(self) -> _Stage:
        plan, conv = self._plan, self._block.project
        assert conv is not None
        from_picture = self._block.from_picture and self._block.depthwise is None
        every = groups_of(conv.output.shape[2], self._config)
        stage = self._pointwise(conv, groups=every, depth=plan.project_depth, from_picture=from_picture)
        first = plan.channels.start // self._config.outputs
        return stage.part(range(first, first + plan.project_groups))

    def _interior(self) -> tuple[int, range]:
        """Groups of the interior, padded last slice included, and those this run forms: without project they are the output's."""
        first = 0 if self._block.project is not None else self._plan.channels.start // self._config.group
        formed = range(first, first + self._plan.expand_groups)
        assert self._block.depthwise is not None
        return max(formed.stop, groups_of(self._block.depthwise.output.shape[2], self._config)), formed

    def _depthwise(self) -> _Stage:
        stage, (groups, formed) = self._block.depthwise, self._interior()
        assert stage is not None
        if isinstance(stage, Pool):
            channels: Channels = pool_channels(stage, stage.output.shape[2])
            weights = np.zeros((groups, 0), np.uint8)
        else:
            channels = settle(stage)
            weights = depthwise_weights(channels, self._config, groups=groups)
        constants = depthwise_constants(channels, self._config, groups=groups)
        return _Stage(weights, constants, channels.weight_zero_point).part(formed)

    # The descriptor.

    def descriptor(self, stream: Packets) -> dict[str, Any]:
        plan, block, config = self._plan, self._block, self._config
        values: dict[str, Any] = {
            "flags": {
                "load": plan.load is not None, "stem": plan.picture is not None,
                "expand": block.expand is not None, "project": block.project is not None,
                "project_first": block.depthwise is None, "store": plan.store is not None,
                "hold_source": block.adds_input and plan.load is not None,
                "last": self._last, "signed": self._signed,
            },
        }
        incoming = plan.picture or plan.load
        if incoming is not None:
            values["source"] = {"address": incoming.address, "words": -(-incoming.bytes // 2)}
        if plan.picture is not None:
            values["stem"] = self._stem()
        if plan.load is not None:
            source = plan.source
            values["load"] = transfer_fields(
                config=config, base=source.base, size=source.size, groups=source.groups, pixels=plan.pixels("input")
            )
        if plan.store is not None:
            output = plan.output
            values["sink"] = {"address": plan.store.address, "words": plan.store.bytes // 2}
            values["store"] = transfer_fields(
                config=config, base=output.base, size=output.size, groups=output.groups, pixels=plan.pixels("output")
            )
        counts = stream.counts
        start = {"weight": counts[Kind.WEIGHTS], "constant": counts[Kind.CONSTANTS]}
        if block.expand is not None:
            values |= self._expand_fields(start)
            start = {
                "weight": start["weight"] + plan.expand_groups * plan.expand_depth, "constant": start["constant"] + plan.expand_groups
            }
        if block.project is not None:
            values |= self._project_fields(start)
        return values

    def _stem(self) -> dict[str, Any]:
        block, source = self._block, self._plan.source
        first = block.expand or block.project
        assert first is not None
        height, width, channels = block.input.shape
        return stem_fields(
            config=self._config, height=height, width=width, channels=channels, kernel=first.kernel, stride=first.stride,
            padding=first.pad[:2], output=first.output.shape[:2], zero=block.input.zero_point & 0xFF,
            base=source.base, size=source.size,
        )

    def _expand_fields(self, start: dict[str, int]) -> dict[str, Any]:
        plan, block, config = self._plan, self._block, self._config
        conv, stage, source, filtered = block.expand, block.depthwise, plan.source, plan.filtered
        assert conv is not None and stage is not None and filtered is not None
        geometry = depthwise_geometry(
            block, slices=plan.slices, slice_groups=plan.slice_groups, images=plan.images, segment=plan.depthwise_segment
        )
        ring = filtered.pixels(config)
        if isinstance(stage, Pool):
            # AVERAGE_POOL_2D averages raw values; MEAN takes the zero point off and puts the output's on.
            mean = stage.kind == "mean"
            zero_in, zero_point, lo, hi = stage.inputs[0].zero_point if mean else 0, stage.zero_point if mean else 0, stage.lo, stage.hi
        else:
            requant = stage.requant
            zero_in, zero_point, lo, hi = stage.inputs[0].zero_point, requant.zero_point, requant.lo, requant.hi
        return {
            "zero_expand": conv.inputs[0].zero_point,
            "range_expand": output_range(zero_point=conv.requant.zero_point, lo=conv.requant.lo, hi=conv.requant.hi),
            "expand": pass_values(
                config, slices=plan.slices, groups=plan.slice_groups, plane=plan.images * geometry.in_h * geometry.in_w,
                segment=plan.expand_segment, depth=plan.expand_depth, base=source.base, size=source.size, room=plan.room, **start,
            ),
            "lines": line_fields(config=config, width=geometry.in_w, groups=plan.slice_groups),
            "depthwise": depthwise_fields(
                config=config, geometry=geometry, base=filtered.base + self._interior()[1].start, size=filtered.size,
                pixel_words=filtered.groups,
                zero_in=zero_in, zero_point=zero_point, lo=lo, hi=hi, is_signed=self._signed,
                ring=ring if ring < plan.pixels("filtered") else NO_RING, ones=isinstance(stage, Pool),
            ),
        }

    def _project_fields(self, start: dict[str, int]) -> dict[str, Any]:
        plan, block, config = self._plan, self._block, self._config
        conv, output = block.project, plan.output
        assert conv is not None
        source = plan.filtered if block.depthwise is not None else plan.source
        assert source is not None
        # Row by row a segment is projected for all groups; otherwise each group's weights serve the whole plane at once.
        slices, groups = (1, plan.project_groups) if plan.mode == "rows" else (plan.project_groups, 1)
        room = output.pixels(config) if plan.store is not None and output.pixels(config) < plan.pixels("output") else _UNLIMITED
        values: dict[str, Any] = {
            "zero_project": conv.inputs[0].zero_point,
            "range_project": output_range(zero_point=conv.requant.zero_point, lo=conv.requant.lo, hi=conv.requant.hi),
            "project": pass_values(
                config, slices=slices, groups=groups, plane=plan.pixels("output"), segment=plan.project_segment,
                depth=plan.project_depth, base=source.base, size=source.size, room=room, **start,
            ),
            "output": walk_fields(base=output.base, size=output.size, stride=output.groups, groups=groups),
        }
        if block.add is not None:
            index = next(n for n, tensor in enumerate(block.add.inputs) if tensor is conv.output)
            values["residual"] = residual_fields(block.add, a_index=index)
            shortcut = plan.addend or plan.source
            values["shortcut"] = walk_fields(base=shortcut.base, size=shortcut.size, stride=shortcut.groups, groups=groups)
        return values


def project_chunks(plan: BlockPlan, config: EngineConfig) -> list[slice]:
    """Project's groups whose constants come before their weights: all, but no more than the constants' memory holds."""
    size = plan.project_groups if plan.project_groups <= config.constant_words else config.constant_words // 2
    return [slice(first, min(first + size, plan.project_groups)) for first in range(0, plan.project_groups, size)]


def check_fields(plan: BlockPlan, config: EngineConfig) -> None:
    """``Unfit`` where a unit's fields can't hold what was planned."""
    compiler = _BlockCompiler(plan, config)
    pack_descriptor(config, compiler.descriptor(Packets(config)))


def compile_plan(plan: Plan) -> Program:
    """The program of ``plan``; ``Unfit`` where a unit's fields can't hold what was planned."""
    stream = Packets(plan.config)
    for block in plan.blocks:
        _BlockCompiler(block, plan.config, first=block is plan.blocks[0], last=block is plan.blocks[-1]).write(stream)
    return Program(plan, b"".join(stream.parts))
