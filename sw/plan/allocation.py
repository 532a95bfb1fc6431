"""Where tensors lie in activation memory while a block runs."""

from __future__ import annotations

from narrows.graph.blocks import Block
from narrows.graph.network import Tensor
from narrows.hw.config import EngineConfig
from narrows.plan.constants import tensor_words
from narrows.plan.plan import Region, depthwise_geometry


def even(config: EngineConfig, pixels: int) -> int:
    """``pixels`` rounded up to whole results of the array, one at least."""
    return max(config.pixels, -(-pixels // config.pixels) * config.pixels)


def tensor_bytes(tensor: Tensor, groups: int, config: EngineConfig) -> int:
    """Bytes of one image's ``tensor`` in external memory, ``groups`` words to a pixel: those of a padded last slice included."""
    height, width, _ = tensor.shape
    return height * width * groups * config.group


class ActivationSpace:
    """Activation memory while a block is placed: what must not be touched, and what is free."""

    def __init__(self, config: EngineConfig, *taken: Region | None, words: int | None = None):
        """``words`` of every bank, all by default; a region in ``taken`` may lie outside of them."""
        self.words = config.bank_words if words is None else words
        self.taken = [region for region in taken if region is not None]

    def gaps(self) -> list[tuple[int, int]]:
        """Free (base, size), the largest first."""
        at, gaps = 0, []
        for region in sorted(self.taken, key=lambda r: r.base):
            if region.base > at:
                gaps.append((at, region.base - at))
            at = max(at, region.end)
        if at < self.words:
            gaps.append((at, self.words - at))
        return sorted(gaps, key=lambda gap: -gap[1])

    def place(self, size: int, groups: int) -> Region | None:
        """A region in the smallest gap that holds it; at the gap's far end if the gap ends the memory."""
        for base, gap in reversed(self.gaps()):
            if gap >= size:
                at = base + gap - size if base + gap == self.words and base else base
                region = Region(base=at, size=size, groups=groups)
                self.taken.append(region)
                return region
        return None

    def ring(self, *, wanted: int, least: int, groups: int, config: EngineConfig) -> Region | None:
        """A ring of ``wanted`` pixels, or as many as there is place for, at least ``least``."""
        if not self.gaps():
            return None
        pairs = min(-(-wanted // config.pixels), self.gaps()[0][1] // groups)
        return self.place(pairs * groups, groups) if pairs * config.pixels >= least else None


def in_place(config: EngineConfig, block: Block, held: Region | None, out_groups: int, *, limit: int) -> Region | None:
    """The output over the input, if every row is written only where no needed input lies (rows mode). It ends before ``limit``."""
    if held is None or block.depthwise is None:
        return None
    size = tensor_words(block.output, config)
    if held.base + size > limit:
        return None
    out_h, out_w, _ = block.output.shape
    geometry = depthwise_geometry(block, slices=1, slice_groups=1, images=1, segment=out_w)
    for row in range(out_h):
        for columns in range(1, out_w + 1):
            written = -(-(row * out_w + columns) // config.pixels) * out_groups
            consumed = geometry.needed(row, columns) // config.pixels * held.groups
            complete = geometry.needed(row, columns) == geometry.in_h * geometry.in_w
            if written > consumed and not complete:
                return None
    return Region(base=held.base, size=size, groups=out_groups)
