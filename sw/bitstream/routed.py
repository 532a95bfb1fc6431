"""The clock of an engine: what builds for boards reach, and what place and route made of it on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from narrows.hw.config import ECP5_25F, ECP5_85F_WIDE, EngineConfig
from narrows.sim.build_folder import build_directory

#: Engines that boards are built with, and the clock in MHz that a build has to reach: each was routed, and every clock was met.
REACHED = ((EngineConfig(), "ulx3s-85f", 115), (ECP5_85F_WIDE, "ulx3s-85f-wide", 115), (ECP5_25F, "icepi-zero", 80))


def told_clock(config: EngineConfig) -> tuple[int, str | None]:
    """(MHz, board): what times and frames per second of ``config`` are told at, and the board whose builds reach it.

    That is ``sdram_mhz``, which sets the memory's timing in cycles, or the lower clock that this engine reaches on a board.
    Without such a board nothing is known to reach it.
    """
    for engine, board, mhz in REACHED:
        if _alike(engine) == _alike(config):
            return min(mhz, config.sdram_mhz), board
    return config.sdram_mhz, None


def _alike(config: EngineConfig) -> EngineConfig:
    """``config`` less its memory, and less the lanes of residual sums: on the smallest chip they take turns, for some cycles more."""
    return replace(config, sdram=EngineConfig.sdram, sdram_mhz=EngineConfig.sdram_mhz, residual_lanes=1)


def told(result: Mapping[str, Any]) -> str:
    """The clock of a result, which has ``clock_mhz`` and ``clock_of``, in words."""
    who = f"which builds for {result['clock_of']} reach" if result["clock_of"] else "which no build has reached"
    return f"at {result['clock_mhz']} MHz, {who}"


def routed_clock(config: EngineConfig) -> dict[str, Any] | None:
    """``board`` and ``mhz`` of the last build of exactly this engine (``narrows build``), the fastest board's if there are several."""
    found = []
    for path in sorted(build_directory().glob("*/manifest.json")):
        try:
            manifest = json.loads(path.read_text())
            if manifest["engine"] == config.digest:
                found.append({"board": str(manifest["board"]), "mhz": float(manifest["clock_mhz"])})
        except (OSError, ValueError, KeyError, TypeError):
            continue  # half-written, or not a board's: nothing is known from it
    return max(found, key=lambda row: row["mhz"], default=None)
