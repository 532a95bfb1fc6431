"""The one description of an engine: every component, plan, report and manifest carries it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal

from narrows.hw.dram.timing import PARTS

#: Width of a progress counter: positions are pixels counted from the start of a block, modulo
#: 2**POSITION_BITS, compared by the sign of their difference.
POSITION_BITS = 20

#: Pixels of padding, strides and dilations are small numbers.
MAX_STRIDE = 4
MAX_DILATION = 8

#: Bits of a channel's constants: bias (signed), multiplier, shift (signed).
BIAS_BITS, MULTIPLIER_BITS, SHIFT_BITS = 32, 31, 6
CONSTANT_BITS = BIAS_BITS + MULTIPLIER_BITS + SHIFT_BITS

#: In a program a bias has so many bits, which makes a channel's constants eight bytes, unless a layer has one that needs more.
NARROW_BIAS_BITS = 64 - MULTIPLIER_BITS - SHIFT_BITS

#: Accumulators are the reference's int32, so no bound has to be proven.
ACCUMULATOR_BITS = 32

#: Cycles of a residual sum where one multiplier forms its three products: three parts of each.
SUM_TURNS = 9


def _power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """An engine. All sizes are checked; a wrong one raises ``ValueError`` with a whole sentence.

    ``group``: channels in a memory word, which are also the input channels the array takes per cycle.
    ``outputs``: output channels formed at once, one slice of the chain each.
    ``pixels``: pixels formed at once, one bank of activation memory each.
    ``products``: how the array forms products (hw/arithmetic/products.py): ``direct``, one from a multiplier, or ``fast``, two.
    ``requantisers``: results per cycle behind the array: one per slice, or, where ``pixels`` is 1, one for a few neighbours.
    ``depthwise_requantisers``: results per cycle behind the depthwise unit; with fewer than a third of ``group`` a 3x3 takes longer.
    ``residual_lanes``: residual sums per cycle; with 0 there is one in nine cycles, for a fifth of a lane's logic.
    ``activation_words``: words of ``group`` bytes in activation memory, all banks together.
    ``line_words``: words in each of the three banks of the line buffers.
    ``weight_words``: words of ``outputs * group`` weights; ``constant_words``: words of ``outputs`` channels' constants.
    ``depthwise_words``: words in each of the depthwise unit's weight and constant memories.
    ``image_words``: words of ``group`` bytes that hold rows of the picture for the stem.
    ``sdram_mhz``: clock of engine and SDRAM, which sets the SDRAM's timing in cycles.
    ``sdram``: the SDRAM part, by its name in ``narrows.hw.dram.timing.PARTS``.
    """

    group: int = 8
    outputs: int = 8
    pixels: int = 2
    products: Literal["direct", "fast"] = "direct"
    requantisers: int = 8
    depthwise_requantisers: int = 3
    residual_lanes: int = 2
    activation_words: int = 28672
    line_words: int = 2048
    weight_words: int = 512
    constant_words: int = 512
    depthwise_words: int = 512
    image_words: int = 1024
    sdram_mhz: int = 133
    sdram: str = "W9825G6KH-6"

    def __post_init__(self) -> None:
        for name in ("group", "outputs", "pixels", "weight_words", "constant_words", "line_words", "depthwise_words", "image_words"):
            if not _power_of_two(getattr(self, name)):
                raise ValueError(f"{name} must be a power of two, not {getattr(self, name)}.")
        if self.group not in (4, 8, 16):
            raise ValueError(f"group must be 4, 8 or 16 channels, not {self.group}.")
        if self.outputs != self.group:
            raise ValueError(f"outputs must equal group ({self.group}): a result word holds one group of channels, not {self.outputs}.")
        if self.pixels not in (1, 2, 4):
            raise ValueError(f"pixels must be 1, 2 or 4, not {self.pixels}.")
        if not _power_of_two(self.requantisers) or self.requantisers > self.outputs:
            raise ValueError(f"requantisers must divide outputs ({self.outputs}), {self.requantisers} does not.")
        if self.pixels > 1 and self.requantisers != self.outputs:
            raise ValueError(f"requantisers must equal outputs ({self.outputs}) unless pixels is 1, not {self.requantisers}.")
        if not 1 <= self.depthwise_requantisers <= self.group:
            raise ValueError(f"depthwise_requantisers must be 1 to group ({self.group}), not {self.depthwise_requantisers}.")
        if self.residual_lanes < 0 or (self.residual_lanes and self.group % self.residual_lanes):
            raise ValueError(f"residual_lanes must be 0 or divide group ({self.group}), {self.residual_lanes} does not.")
        if self.activation_words < 1 or self.activation_words % self.pixels:
            raise ValueError(f"activation_words must be a positive multiple of pixels ({self.pixels}), not {self.activation_words}.")
        if self.products not in ("direct", "fast"):
            raise ValueError(f"products must be direct or fast, not {self.products!r}.")
        if self.sdram not in PARTS:
            raise ValueError(f"sdram must be one of {', '.join(PARTS)}, not {self.sdram!r}.")

    @property
    def macs_per_cycle(self) -> int:
        """Multiply-adds a cycle, if array and depthwise unit work: more than ``multipliers`` with fast products."""
        return self.group * self.outputs * self.pixels + 3 * self.group

    @property
    def multipliers(self) -> int:
        """Multipliers that form products of activations and weights, or serve to: the chip's and those in logic."""
        return self.chip_multipliers + (self.group // 2 * self.pixels if self.products == "fast" else 0)

    @property
    def chip_multipliers(self) -> int:
        """Multipliers of the chip: the array's and the depthwise unit's three taps per channel.

        Fast products take one for a pair of channels; those that serve all slices, one for each pair of a pixel, are in logic.
        """
        products_each = 2 if self.products == "fast" else 1
        return self.group * self.outputs * self.pixels // products_each + 3 * self.group

    @property
    def sharing(self) -> int:
        """Slices of the array that share a requantiser."""
        return self.outputs // self.requantisers

    @property
    def constant_sharing(self) -> int:
        """Slices of the array that share a memory of constants: those of a requantiser, or as many as fill a block RAM.

        No more than results are cycles apart, for slices read their constants a cycle after each other.
        """
        slices = self.sharing
        while 2 * slices <= min(self.result_spacing, self.outputs) and 2 * slices * self.constant_words <= 512:
            slices *= 2
        return slices

    @property
    def result_spacing(self) -> int:
        """Cycles that results of the array must be apart, so that they can be requantised."""
        return self.pixels * self.sharing

    @property
    def sum_cycles(self) -> int:
        """Cycles from one word's residual sum to the next one's."""
        return self.group // self.residual_lanes if self.residual_lanes else self.group * SUM_TURNS

    @property
    def bank_words(self) -> int:
        """Words in one bank of activation memory."""
        return self.activation_words // self.pixels

    @property
    def onchip_bytes(self) -> int:
        """Bytes of on-chip data memory, queues included, weights counted as the 9-bit factors they are stored as."""
        bits = self.activation_words * self.group * 8
        bits += 3 * self.line_words * self.group * 8
        bits += self.weight_words * self.outputs * self.group * 9
        bits += self.constant_words * self.outputs * CONSTANT_BITS
        bits += self.depthwise_words * (3 * self.group * 9 + self.depthwise_requantisers * CONSTANT_BITS)
        bits += self.image_words * self.group * 8
        # Queues: two readers of 1,025 words of 16 bits, a writer and the descriptors of 513, 128 results with three flags.
        bits += 2 * (1025 + 513) * 16 + 128 * (8 * self.group + 3)
        return -(-bits // 8)

    @property
    def digest(self) -> str:
        """Sixteen hex digits that name this configuration. A program is for one engine; hosts read the first eight from the gateware."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


#: An engine for a chip of the LFE5U-25F's class: 28 multipliers, 56 block RAMs.
ECP5_25F = EngineConfig(
    group=4, outputs=4, pixels=1, requantisers=1, depthwise_requantisers=1, residual_lanes=1,
    activation_words=8192, line_words=1024, constant_words=256,
)  # fmt: skip

#: A wide engine for the LFE5U-85F: fast products make the multipliers of 8 x 8 x 2 products do for four pixels.
ECP5_85F_WIDE = EngineConfig(pixels=4, products="fast", weight_words=1024, constant_words=256)
