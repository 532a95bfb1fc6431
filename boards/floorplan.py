"""Where the multipliers and large memories of the default engine and the wide one stand on an LFE5U-85F.

LUTs and flip-flops are the router's to place.

The chip has rows of sites: block RAMs in the rows 22, 46, 70 and 82, multipliers in 10, 34 and 58, thirteen blocks of four each.

- Slices of the array are a chain: each has its products in four neighbouring blocks and the next slice beside or below it, and its
  weights in the row of block RAMs above them.
- Activation memory takes the two lowest rows, column after column, so that the RAMs whose words one byte lane chooses from are near.
- The depthwise unit is at the left end, its line buffers above it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial

from narrows.boards.ecp5 import SITES

_SITES = SITES["LFE5U-85F"]

#: Of each slice the row of multipliers and the first of its four blocks, and the row and block of the RAMs that hold its weights.
_SLICES = ((2, 5, 1, 8), (2, 9, 1, 10), (1, 9, 0, 11), (1, 5, 1, 9), (1, 1, 0, 2), (0, 0, 0, 1), (0, 4, 0, 5), (0, 8, 0, 9))

#: The wide engine's weights take whole blocks.
_WIDE_WEIGHTS = ((1, 8), (1, 10), (0, 11), (0, 7), (0, 2), (0, 1), (0, 5), (0, 9))

#: Activation memory's sites in the order it takes them: down a column, then the next, and what is left in another row.
_ACTIVATIONS = [_SITES.block_ram(row, block, index) for block in range(13) for index in range(4) for row in (2, 3)]
_ACTIVATIONS += [_SITES.block_ram(1, block, index) for block in (12, 11) for index in range(4)]


def _product(index: int, number: int) -> str:
    row, block, _, _ = _SLICES[index]
    return _SITES.multiplier(row, block + number // 4, number % 4)


def _direct_product(index: int, pixel: int, channel: int) -> str:
    return _product(index, 8 * pixel + channel)


def _fast_product(index: int, pixel: int, pair: int) -> str:
    return _product(index, 4 * pixel + pair)


def _tap(channel: int, tap: int) -> str:
    number = 3 * channel + tap
    return _SITES.multiplier(2, number // 4, number % 4) if number < 20 else _SITES.multiplier(1, 0, number % 4)


def _weights(index: int, column: int) -> str:
    _, _, row, block = _SLICES[index]
    return _SITES.block_ram(row, block, column)


def _wide_weights(index: int, column: int) -> str:
    return _SITES.block_ram(*_WIDE_WEIGHTS[index], column)


def _activation(bank: int, column: int, row: int, *, banks: int) -> str:
    return _ACTIVATIONS[(banks * column + bank) * 7 + row]


def _line(bank: int, column: int) -> str:
    number = 3 * column + bank
    return _SITES.block_ram(1, 2 + number // 4, number % 4)


def _depthwise_weights(lane: int, column: int) -> str:
    number = 2 * lane + column
    return _SITES.block_ram(1, number // 4, number % 4)


#: Cells by the ends of their names, how many there are, and the site of each by the numbers in its name.
_Rules = tuple[tuple[str, int, Callable[..., str]], ...]

_PRODUCTS = r"\.array\.slice(\d+)\.products(\d+)\.multiplier(\d+)\.multiplier$"
_WEIGHTS = r"\.array\.slice(\d+)\.weights\.column(\d+)$"
_ACTIVATION = r"\.memory\.bank(\d+)\.column(\d+)_row(\d+)$"
_COMMON: _Rules = (
    (r"\.depthwise\.taps\.products(\d+)\.multiplier(\d+)\.multiplier$", 24, _tap),
    (r"\.line_buffer\.bank(\d+)\.column(\d+)$", 24, _line),
    (r"\.depthwise_weights\.lane(\d+)\.column(\d+)$", 6, _depthwise_weights),
)
_DEFAULT: _Rules = (
    (_PRODUCTS, 128, _direct_product), (_WEIGHTS, 16, _weights), (_ACTIVATION, 112, partial(_activation, banks=2)), *_COMMON,
)  # fmt: skip
_WIDE: _Rules = (
    (_PRODUCTS, 128, _fast_product), (_WEIGHTS, 32, _wide_weights), (_ACTIVATION, 112, partial(_activation, banks=4)), *_COMMON,
)  # fmt: skip


def default_engine(cells: Mapping[str, str]) -> dict[str, str]:
    """The sites of the default engine's cells, by their names. A memory of another size than that engine's is left to the router."""
    return _placed(_DEFAULT, cells)


def wide_engine(cells: Mapping[str, str]) -> dict[str, str]:
    """The same for the wide engine."""
    return _placed(_WIDE, cells)


def _placed(rules: _Rules, cells: Mapping[str, str]) -> dict[str, str]:
    sites = {}
    for pattern, count, site in rules:
        found = [(name, match) for name in cells if (match := re.search(pattern, name))]
        if len(found) == count:
            sites |= {name: site(*map(int, match.groups())) for name, match in found}
    return sites
