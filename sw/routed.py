"""What place and route made of an engine, if it was built on this machine."""

from __future__ import annotations

import json
from typing import Any

from narrows.hw.config import EngineConfig
from narrows.sim.build_folder import build_directory


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
