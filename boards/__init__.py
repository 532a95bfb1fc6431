"""Boards: pins, clocks and programming of real hardware. None has been tried.

What a board runs is :class:`narrows.hw.system.System`, in a :class:`narrows.boards.board.Gateware`. A board's file adds what
differs: its pins (from amaranth-boards), SDRAM part, lights. ``docs/add-a-board.md`` says how to write one.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import TYPE_CHECKING

from narrows.errors import NarrowsError

if TYPE_CHECKING:
    from narrows.boards.board import Board

#: Where each board is described: module and name. Nothing is imported before it is asked for, as amaranth-boards may be missing.
CATALOGUE = {
    "ulx3s-85f": ("ulx3s", "ULX3S_85F"),
    "ulx3s-85f-wide": ("ulx3s", "ULX3S_85F_WIDE"),
    "ulx3s-25f": ("ulx3s", "ULX3S_25F"),
    "icepi-zero": ("icepi_zero", "ICEPI_ZERO"),
}


def load_board(name: str) -> Board:
    """The board called ``name``. Raises :class:`NarrowsError` if there is none, or no amaranth-boards."""
    if name not in CATALOGUE:
        near = difflib.get_close_matches(name, CATALOGUE, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(CATALOGUE)}."
        raise NarrowsError(f"There is no board {name!r}; {hint}")
    module, variable = CATALOGUE[name]
    try:
        return getattr(import_module(f"narrows.boards.{module}"), variable)
    except ModuleNotFoundError as error:
        if error.name != "amaranth_boards":
            raise
        raise NarrowsError("amaranth-boards is not installed, which knows the boards' pins: pip install 'narrows[board]'.") from None
