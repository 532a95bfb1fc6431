"""What the planner decides for each block: slices, segments, and where everything lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from narrows.graph.blocks import Block
from narrows.graph.network import Pool, Tensor
from narrows.hw.config import EngineConfig
from narrows.hw.depthwise.geometry import DepthwiseGeometry


@dataclass(frozen=True, kw_only=True)
class Region:
    """``size`` words from ``base`` on in every bank of activation memory, ``groups`` words to a pixel."""

    base: int
    size: int
    groups: int

    @property
    def end(self) -> int:
        """First word after the region."""
        return self.base + self.size

    def overlaps(self, other: Region | None) -> bool:
        """Whether they share a word."""
        return other is not None and self.base < other.end and other.base < self.end

    def pixels(self, config: EngineConfig) -> int:
        """Pixels it holds at once."""
        return self.size // self.groups * config.pixels


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """A linear region of external memory, ``bytes`` from ``address`` on."""

    address: int
    bytes: int


def depthwise_geometry(block: Block, *, slices: int, slice_groups: int, images: int, segment: int) -> DepthwiseGeometry:
    """The depthwise unit's view of ``block``; a global pool is a kernel of the plane's size."""
    stage = block.depthwise
    assert stage is not None
    in_h, in_w, _ = stage.inputs[0].shape
    out_h, out_w, _ = stage.output.shape
    if isinstance(stage, Pool):
        kernel, stride, dilation, pad = (in_h, in_w), (1, 1), (1, 1), (0, 0)
    else:
        kernel, stride, dilation, pad = stage.kernel, stage.stride, stage.dilation, stage.pad[:2]
    return DepthwiseGeometry(
        slices=slices, images=images, groups=slice_groups, in_h=in_h, in_w=in_w, out_h=out_h, out_w=out_w,
        kernel=kernel, stride=stride, dilation=dilation, pad=pad, segment=min(segment, out_w),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class BlockPlan:
    """One run of a block, for ``images`` images at once, of a batch's from number ``first`` on.

    ``mode``: "rows": one slice, project follows row by row, weights stay for the block; "plane": ``slices`` of
    ``slice_groups`` groups of the interior one after the other, weights are used once, project follows when the filtered
    interior is complete. ``*_depth``: input groups of a stage; ``expand_groups``, ``project_groups``: output groups.
    ``source``: the first stage's input (the block's input, or the stem's patches); ``filtered``: depthwise's results, which
    is ``output`` where there is no project. ``*_segment``: pixels done for one group before the next.
    ``room``: pixels of a slice that the line buffers hold. ``load``/``picture``/``store``: traffic with external memory.
    ``part``: the output channels it forms, where not all; ``beside``: they lie in ``output`` beside those that other runs form, and
    the last of these stores all. ``addend``: where the shortcut lies, if it is not the block's input.
    """

    block: Block
    images: int
    mode: Literal["rows", "plane"]
    slices: int
    slice_groups: int
    expand_depth: int
    project_depth: int
    project_groups: int
    source: Region
    filtered: Region | None
    output: Region
    expand_segment: int
    depthwise_segment: int
    project_segment: int
    room: int
    picture: Transfer | None = None
    load: Transfer | None = None
    store: Transfer | None = None
    first: int = 0
    part: range | None = None
    beside: bool = False
    addend: Region | None = None

    @property
    def channels(self) -> range:
        """Output channels that this run forms."""
        return self.part or range(self.block.output.shape[2])

    @property
    def stored(self) -> range:
        """Output channels that ``store`` holds after this run."""
        return range(self.channels.stop) if self.beside else self.channels

    @property
    def completes(self) -> bool:
        """Whether what it stores is there after it, and not only after a later run."""
        return not self.beside or self.channels.stop == self.block.output.shape[2]

    @property
    def macs(self) -> int:
        """Multiply-adds of the network's layers for all images and this run's channels."""
        return self.images * self.block.macs * len(self.channels) // self.block.output.shape[2]

    @property
    def expand_groups(self) -> int:
        """Groups of the expanded tensor, those of a padded last slice included."""
        return self.slices * self.slice_groups

    def pixels(self, which: Literal["input", "output", "filtered"]) -> int:
        """Pixels of a plane, all images; of the input those taken as one count once."""
        if which == "filtered":
            stage = self.block.depthwise
            assert stage is not None
            shape = stage.output.shape
        else:
            shape = getattr(self.block, which).shape
        joined = self.block.joined if which == "input" else 1
        return self.images * shape[0] * shape[1] // joined


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where a run leaves ``channels`` of the network's output ``tensor`` for ``images`` images from number ``first`` on."""

    tensor: Tensor
    store: Transfer
    first: int
    images: int
    channels: range


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """A network on an engine: runs of its blocks in order and the map of external memory (bytes).

    ``images``: pictures of a batch, each with its region of ``pictures``. ``late``: the outputs are those of the batch
    before, whose classifier runs between this one's blocks.
    """

    config: EngineConfig
    blocks: tuple[BlockPlan, ...]
    images: int
    pictures: tuple[Transfer, ...]
    outputs: tuple[Output, ...]
    late: bool = False
    program_address: int = 0

    @property
    def picture(self) -> Transfer:
        """The first image's."""
        return self.pictures[0]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The network's outputs, in the order they are formed."""
        return tuple({id(part.tensor): part.tensor for part in self.outputs}.values())

    @property
    def stores(self) -> tuple[Transfer, ...]:
        """Regions of external memory that runs write, in order; images of a batch may use one after the other."""
        return tuple(run.store for run in self.blocks if run.store is not None)

    @property
    def macs(self) -> int:
        """Multiply-adds of the network for the whole batch."""
        return sum(block.macs for block in self.blocks)
