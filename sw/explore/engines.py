"""The engines that a board has room for: shapes of the array, and how its block RAMs are shared out among the memories."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import get_args, get_type_hints

from narrows.bitstream.build import AVAILABLE, engine_for
from narrows.boards.board import Board
from narrows.hw.activations.address_generator import ADDRESS_BITS
from narrows.hw.budget import block_rams
from narrows.hw.config import EngineConfig

#: Block RAMs of the host link, which every board has beside the engine.
LINK_BLOCK_RAMS = 2

#: Words of line buffers, array weights and array constants where a word has 8 channels: very lean, lean, balanced, ahead with weights.
_MEMORIES = ((512, 256, 128), (1024, 256, 256), (2048, 512, 512), (2048, 1024, 512))

#: Activation memory comes in steps of so many words. Every bank has as many as addresses reach, at most, and more bytes than these
#: would hold nothing else: the largest tensor of a width of 1.4.
_STEP, _MOST_BYTES = 1024, 320 * 1024


def used_block_rams(config: EngineConfig) -> int:
    """Block RAMs of ``config`` on a board."""
    return sum(block_rams(config).values()) + LINK_BLOCK_RAMS


def used_multipliers(config: EngineConfig) -> int:
    """Multipliers of the chip that ``config`` takes."""
    return config.chip_multipliers


def fits(config: EngineConfig, device: str) -> bool:
    """Whether ``device`` has the multipliers and block RAMs for ``config``. LUTs are known only after synthesis."""
    available = AVAILABLE[device]
    return used_multipliers(config) <= available["multipliers"] and used_block_rams(config) <= available["block_rams"]


def engines_for(board: Board, *, clock_mhz: int | None = None) -> list[EngineConfig]:
    """Engines for ``board``, with its SDRAM and at its clock, or ``clock_mhz``: the one built for it, then those of every shape that fits.

    For each shape and share of line buffers and weights, activation memory takes the block RAMs that are left.
    """
    own = engine_for(board, None, clock_mhz)
    found = [own]
    for shape in _shapes(own):
        for lines, weights, constants in _MEMORIES:
            words = {"line_words": lines, "weight_words": weights, "constant_words": constants}
            config = replace(shape, **{name: 8 * count // shape.group for name, count in words.items()})
            filled = _filled(config, board.device)
            if filled is not None and filled not in found:
                found.append(filled)
    return found


def _shapes(own: EngineConfig) -> Iterator[EngineConfig]:
    """Every array: with as many requantisers and residual lanes as keep up, and, where slices may share, with few of all."""
    for products in get_args(get_type_hints(EngineConfig)["products"]):
        for group in (4, 8, 16):
            for pixels in (1, 2, 4):
                for requantisers in (group, group // 4):
                    try:
                        yield replace(
                            own, products=products, group=group, outputs=group, pixels=pixels, requantisers=requantisers,
                            depthwise_requantisers=-(-group // 3) if requantisers == group else 1,
                            residual_lanes=max(1, group // 4) if requantisers == group else 0, activation_words=_STEP,
                        )
                    except ValueError:
                        continue  # no such engine


def _filled(config: EngineConfig, device: str) -> EngineConfig | None:
    """``config`` with the most activation memory that fits; ``None`` if it does not fit at all."""
    if not fits(config, device):
        return None
    low, high = 1, min(_MOST_BYTES // config.group, config.pixels << ADDRESS_BITS) // _STEP
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(replace(config, activation_words=middle * _STEP), device) else (low, middle - 1)
    return replace(config, activation_words=low * _STEP)
