"""Icepi Zero: LFE5U-25F, 32 MB of SDRAM, an FT231X as the serial line. Never tried on a board."""

from amaranth_boards.icepi_zero import IcepiZero1_3Platform

from narrows.boards.board import Board
from narrows.boards.ulx3s import ULX3S_25F


class _Platform(IcepiZero1_3Platform):
    io_registers = True


ICEPI_ZERO = Board(
    name="icepi-zero",
    platform=_Platform,
    loader="icepi-zero",
    loader_version="1.0.0",
    cable="ft231X",
    pins="RI:CTS:DSR:DCD",
    clock="clk50",
    clock_mhz=50,
    config=ULX3S_25F.config,
    button=("button", 0),
    lights=(("led", 0), ("led", 1), ("led", 2)),
    dense=True,
)
