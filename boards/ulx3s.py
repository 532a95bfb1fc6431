"""ULX3S: LFE5U-85F or -25F, 32 or 64 MB of SDRAM, an FT231X as the serial line. Never tried on a board."""

from dataclasses import replace

from amaranth_boards.ulx3s import ULX3S_25F_Platform, ULX3S_85F_Platform

from narrows.boards.board import Board
from narrows.boards.floorplan import default_engine, wide_engine
from narrows.hw.config import ECP5_25F, ECP5_85F_WIDE, EngineConfig


class _Platform85F(ULX3S_85F_Platform):
    io_registers = True


class _Platform25F(ULX3S_25F_Platform):
    io_registers = True


_COMMON = {
    "loader": "ulx3s",
    "loader_version": "0.1",
    "cable": "ft231X",
    "pins": "RI:CTS:DSR:DCD",
    "clock": "clk25",
    "clock_mhz": 25,
    "button": ("button_fire", 0),
    "lights": (("led", 0), ("led", 1), ("led", 2)),
    # The ESP32 takes a low level here for its own button.
    "high": (("esp32", 0, "gpio0"),),
}

#: Boards were made with MT48LC16M16A2, AS4C16M16, AS4C32M16SB-7, IS42S16160G and W9825G6KH-6, as what was to be had.
ULX3S_85F = Board(
    name="ulx3s-85f", platform=_Platform85F, config=EngineConfig(sdram="any-256M-75", sdram_mhz=115),
    floorplan=default_engine, target_mhz=133.4, first_seed=2, **_COMMON,
)
#: The same board with the other engine.
ULX3S_85F_WIDE = replace(
    ULX3S_85F, name="ulx3s-85f-wide", floorplan=wide_engine, first_seed=1,
    config=replace(ECP5_85F_WIDE, sdram="any-256M-75", sdram_mhz=115),
)
ULX3S_25F = Board(
    name="ulx3s-25f", platform=_Platform25F, dense=True, **_COMMON,
    # One multiplier for residual sums, in turns: with a lane of its own the engine has more logic than the chip.
    config=replace(ECP5_25F, residual_lanes=0, sdram="any-256M-75", sdram_mhz=80),
)  # fmt: skip
