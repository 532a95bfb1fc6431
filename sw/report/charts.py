"""Geometry of a report's drawings: from the JSON's numbers to shapes. Lengths are percent of the drawing unless said otherwise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

#: What a block's cycles went into, in the order of a bar's parts: key in the JSON's ``time``, words, class of the style sheet.
TIME = (
    ("array_busy", "array forms products", "busy"),
    ("wait_weights", "waits for weights", "weights"),
    ("wait_data", "waits for data or room", "data"),
    ("no_work", "has no work", "idle"),
)

#: Regions of activation memory that a run uses: key of the run, words, class.
REGIONS = (
    ("source_at", "input", "source"),
    ("filtered_at", "filtered interior", "filtered"),
    ("output_at", "output", "output"),
)


def ticks(limit: float, most: int = 5) -> list[float]:
    """At most ``most`` + 1 round numbers from 0 up to ``limit``, a step of 1, 2 or 5 times a power of ten apart."""
    if limit <= 0:
        return [0.0]
    step = 10.0 ** math.floor(math.log10(limit / most))
    step = next(step * factor for factor in (1, 2, 5, 10, 20) if limit / (step * factor) <= most)
    return [step * number for number in range(int(limit / step + 1e-9) + 1)]


def short(value: float) -> str:
    """A tick's label: ``1.5 M``, ``200 k``, ``0``."""
    for size, unit in ((1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def silhouette(block: dict[str, Any]) -> list[tuple[float, float]]:
    """The outline of a block in a field of 100 x 56: as high as the square roots of its tensors' channels, input left, output right."""
    ends = (block["input"][2], (block["interior"] or block["output"])[2], block["output"][2])
    left, middle, right = (min(max(1.55 * math.sqrt(channels), 4), 56) for channels in ends)
    across, heights = (4.0, 34.0, 66.0, 96.0), (left, middle, middle, right)
    if not block["interior"]:
        across, heights = (4.0, 96.0), (left, right)
    upper = [(x, round(28 - height / 2, 1)) for x, height in zip(across, heights, strict=True)]
    return upper + [(x, round(56 - y, 1)) for x, y in reversed(upper)]


def points(outline: Sequence[tuple[float, float]]) -> str:
    """An outline as the attribute of an SVG polygon."""
    return " ".join(f"{x:g},{y:g}" for x, y in outline)


def shape(extent: Sequence[int] | None) -> str:
    """``112x112x16`` with a real multiplication sign."""
    return "" if extent is None else "\u00d7".join(map(str, extent))


def memory_map(result: dict[str, Any]) -> dict[str, Any]:
    """Rectangles of activation memory over time, and both axes' ticks: (percent, label)."""
    memory, runs = result["activation_memory"], result["runs"]
    end, words = max(run["begin"] + run["cycles"] for run in runs), memory["words_per_bank"]
    size = memory["banks"] * memory["word_bytes"]
    rectangles = []
    for run in runs:
        for key, what, kind in REGIONS:
            if run[key] is not None:
                low, high = run[key]
                rectangles.append({
                    "x": 100 * run["begin"] / end, "width": 100 * run["cycles"] / end, "y": 100 * (1 - high / words),
                    "height": 100 * (high - low) / words, "class": kind, "bytes": size * (high - low),
                    "title": f"{run['name']}: {what}, {size * (high - low):,} bytes from word {low} on".replace(",", " ", 1),
                })
    return {
        "rectangles": rectangles, "end": end, "bytes": size * words,
        "borders": [100 * run["begin"] / end for run in runs[1:]],
        "x": [(100 * tick / end, short(tick)) for tick in ticks(end)],
        "y": [(100 * tick / (size * words), short(tick)) for tick in ticks(size * words, 4)],
    }


def lanes(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Regions of external memory with the share of time in which each is in use."""
    end = max(run["begin"] + run["cycles"] for run in result["runs"])
    return [
        row | {"x": 100 * row["begin"] / end, "width": 100 * (row["end"] - row["begin"]) / end} for row in result["external_memory"]
    ]


def roofline_chart(result: dict[str, Any]) -> dict[str, Any]:
    """The roof as a line and blocks as points in a field with logarithmic axes, of which each ends at a power of two."""
    roof = result["roofline"]
    named = [("network", roof)] + [(block["name"], block["roofline"]) for block in result["blocks"]]
    known = [row["macs_per_byte"] for _, row in named if row["macs_per_byte"]] + [roof["ridge_macs_per_byte"]]
    left, right = math.floor(math.log2(min(known))) - 0.5, math.ceil(math.log2(max(known))) + 1
    reached = [row["macs_per_cycle"] for _, row in named if row["macs_per_cycle"] > 0]
    peak = roof["ridge_macs_per_byte"] * roof["bytes_per_cycle"]
    top = math.log2(peak) + 0.6
    bottom = min(math.floor(math.log2(min(reached))), top - 3) - 0.3

    def x(value: float | None) -> float:
        return 97.0 if value is None else 100 * (math.log2(value) - left) / (right - left)

    def y(value: float) -> float:
        return 100 * (math.log2(value) - bottom) / (top - bottom)

    start = max(2.0**left, 2.0**bottom / roof["bytes_per_cycle"])
    ceiling = y(peak)
    line = [(x(start), y(start * roof["bytes_per_cycle"])), (x(roof["ridge_macs_per_byte"]), ceiling), (100.0, ceiling)]
    return {
        "line": " ".join(f"{px:.2f},{100 - py:.2f}" for px, py in line),
        "points": [
            {"x": x(row["macs_per_byte"]), "y": y(row["macs_per_cycle"]), "number": number, "name": name}
            for number, (name, row) in enumerate(named) if row["macs_per_cycle"] > 0
        ],
        "x": [(x(2.0**power), f"{2.0**power:g}") for power in range(math.ceil(left), int(right) + 1) if (power - math.ceil(left)) % 2 == 0],
        "y": [(y(2.0**power), f"{2.0**power:g}") for power in range(math.ceil(bottom), int(top) + 1)],
    }
