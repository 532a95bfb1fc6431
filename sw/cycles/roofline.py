"""Where cycles went, and how near a run came to what multipliers and external memory allow (Williams et al., Roofline, 2009)."""

from __future__ import annotations

from typing import Any

from narrows.hw.config import EngineConfig
from narrows.hw.dram.timing import PARTS


def bytes_per_cycle(config: EngineConfig) -> int:
    """What external memory moves at most."""
    return PARTS[config.sdram].data_bits // 8


def roofline(config: EngineConfig, *, macs: int, cycles: int, moved: int) -> dict[str, Any]:
    """The position of work of ``macs`` multiply-adds that took ``cycles`` and ``moved`` so many bytes of external memory.

    ``macs_per_byte``: None where nothing was moved. ``attainable_macs_per_cycle``: the smaller of what the multipliers form and of what the
    bytes allow at ``macs_per_byte``; ``bound``: which of the two, "multipliers" or "memory"; ``attained``: the share that was reached.
    """
    width = bytes_per_cycle(config)
    intensity = macs / moved if moved else None
    attainable = float(config.macs_per_cycle) if intensity is None else min(config.macs_per_cycle, width * intensity)
    reached = macs / cycles
    return {
        "bytes_per_cycle": width, "macs_per_byte": intensity, "ridge_macs_per_byte": config.macs_per_cycle / width,
        "macs_per_cycle": reached, "attainable_macs_per_cycle": attainable,
        "bound": "memory" if attainable < config.macs_per_cycle else "multipliers", "attained": reached / attainable if attainable else 0.0,
    }  # fmt: skip


def where_time_went(counted: dict[str, Any]) -> dict[str, int]:
    """The cycles of a row of counters in parts that add up: the array formed products, it waited for weights, for anything else, or had
    nothing to do (a block's begin and end, idle ops of short results)."""
    parts = {
        "array_busy": counted["pointwise_busy"], "wait_weights": counted["wait_weights"], "wait_data": counted["wait_data"],
    }
    return parts | {"no_work": counted["cycles"] - sum(parts.values())}
