"""The shape of a depthwise convolution as the unit runs it, and what follows from it in whole numbers."""

from __future__ import annotations

from dataclasses import dataclass

from narrows.errors import Unfit
from narrows.hw.config import MAX_DILATION, MAX_STRIDE, POSITION_BITS, EngineConfig
from narrows.hw.depthwise.line_buffer import SIZE_BITS

#: Bits of a row's or column's number inside or around the plane, signed.
COORDINATE_BITS = 14

#: Bits of a kernel's extent, and of a count of groups, slices and images.
KERNEL_BITS, GROUP_BITS, SLICE_BITS, IMAGE_BITS = 7, 12, 12, 8

#: Unconsumed filtered pixels when nothing limits them.
NO_RING = 1 << (POSITION_BITS - 1)


@dataclass(frozen=True, kw_only=True)
class DepthwiseGeometry:
    """Shape of a depthwise convolution (multiplier 1) and the order it is done in.

    ``slices`` of ``groups`` groups of channels each, one after the other over all ``images``. A plane has ``in_h`` x ``in_w``
    pixels and gives ``out_h`` x ``out_w``. Pairs are (vertical, horizontal); ``pad`` is (top, left), the other two sides
    follow from the sizes. ``segment``: outputs of a row formed for one group before the next group's turn; a row's last
    segment may be shorter.
    """

    slices: int
    images: int
    groups: int
    in_h: int
    in_w: int
    out_h: int
    out_w: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    pad: tuple[int, int]
    segment: int

    def __post_init__(self) -> None:
        limits = {"slices": SLICE_BITS, "images": IMAGE_BITS, "groups": GROUP_BITS}
        limits |= dict.fromkeys(("in_h", "in_w", "out_h", "out_w", "segment"), SIZE_BITS)
        for name, bits in limits.items():
            if not 1 <= getattr(self, name) < 1 << bits:
                raise Unfit(f"Depthwise {name} must be 1 to {(1 << bits) - 1}, not {getattr(self, name)}.")
        for name, low, high in (("kernel", 1, 127), ("stride", 1, MAX_STRIDE), ("dilation", 1, MAX_DILATION), ("pad", 0, 255)):
            pair = getattr(self, name)
            if len(pair) != 2 or not all(low <= value <= high for value in pair):
                raise Unfit(f"A depthwise {name} must be two numbers of {low} to {high}, not {pair}.")
        if self.kernel[0] > 1 and self.dilation[0] % 3 == 0:
            raise Unfit(f"A vertical dilation of {self.dilation[0]} puts all rows of the kernel into one bank of the line buffers.")
        if self.segment > self.out_w:
            raise Unfit(f"A segment of {self.segment} outputs is longer than a row of {self.out_w}.")
        if self.in_h * self.in_w >= NO_RING or self.images * self.out_h * self.out_w >= NO_RING:
            raise Unfit(f"The unit counts fewer than {NO_RING} pixels of a plane, and filtered ones of all images.")
        for size, out, kernel, stride, dilation, pad in zip(
            (self.in_h, self.in_w), (self.out_h, self.out_w), self.kernel, self.stride, self.dilation, self.pad, strict=True
        ):
            if (out + 1) * stride + (kernel + 3) * dilation >= 1 << (COORDINATE_BITS - 1):
                raise Unfit(f"{out} outputs with stride {stride} go beyond the unit's coordinates.")
            if (out - 1) * stride - pad >= size:
                raise Unfit(f"{out} outputs with stride {stride} do not fit {size} pixels padded by {pad}.")

    @property
    def triples(self) -> int:
        """Steps of three rows in a kernel."""
        return -(-self.kernel[0] // 3)

    @property
    def segments(self) -> int:
        """Segments in a row."""
        return -(-self.out_w // self.segment)

    def result_cycles(self, config: EngineConfig) -> int:
        """Cycles from one result word of ``group`` channels to the next."""
        return max(self.triples * self.kernel[1], constant_words(config), 2)

    def words(self) -> int:
        """Result words of the block."""
        return self.slices * self.images * self.groups * self.out_h * self.out_w

    def needed(self, row: int, columns: int) -> int:
        """Pixels of a plane that must be complete for the first ``columns`` outputs of output ``row``."""
        (kh, kw), (sh, sw), (dh, dw), (top, left) = self.kernel, self.stride, self.dilation, self.pad
        last_row = min(row * sh - top + (kh - 1) * dh, self.in_h - 1)
        return last_row * self.in_w + min((columns - 1) * sw - left + (kw - 1) * dw, self.in_w - 1) + 1

    def freed(self, row: int, columns: int) -> int:
        """Pixels of a plane that nothing needs after the first ``columns`` outputs of output ``row``."""
        first, column = row * self.stride[0] - self.pad[0], columns * self.stride[1] - self.pad[1]
        if columns == self.out_w:
            first, column = first + self.stride[0], 0
        if row == self.out_h - 1 and columns == self.out_w or first >= self.in_h:
            return self.in_h * self.in_w
        return max(first, 0) * self.in_w + (min(max(column, 0), self.in_w) if first >= 0 else 0)


def constant_words(config: EngineConfig) -> int:
    """Words of constants that a group's channels take, and cycles their requantisation does."""
    return -(-config.group // config.depthwise_requantisers)
