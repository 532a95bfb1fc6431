"""The section of ``docs/results.md`` about boards: what each build takes of the chip, its routed clock, frames per second at it.

The clock comes from the manifests of builds (``narrows build``), the cycles from running a network on exactly that engine, with the
memory's timing at that board's clock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from narrows.hw.config import EngineConfig
from narrows.network import NarrowsError, Network
from narrows.results_text import Section, causes

#: Resources of a chip, in the order of the columns.
_RESOURCES = ("multipliers", "block_rams", "luts", "flip_flops")

#: How often the largest batch is halved or so until it fits: images of a stream, or one image.
_IMAGES = (4, 3, 2, 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class BoardRun:
    """A build's ``manifest``, the name of the network that was run on its engine, and the run; ``None`` if none of them fits."""

    manifest: Mapping[str, Any]
    network: str | None
    way: str
    result: Mapping[str, Any]
    parts: Mapping[str, int]


def known_builds(manifests: Sequence[Path]) -> list[dict[str, Any]]:
    """The builds that ``manifests`` describe, those that are half-written or no build's left out, by board."""
    found = []
    for path in manifests:
        try:
            manifest = json.loads(path.read_text())
            if EngineConfig(**manifest["configuration"]).digest == manifest["engine"]:
                found.append(manifest)
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return sorted(found, key=lambda manifest: manifest["board"])


def run_build(
    manifest: Mapping[str, Any], networks: Mapping[str, Network], measure: Callable[..., Any], progress: Callable[[str, float], None] | None
) -> BoardRun:
    """Run the largest of ``networks`` that fits the build's engine, as a stream of the most images that fit.

    ``measure``: :func:`narrows.results.measure`.
    """
    config = EngineConfig(**manifest["configuration"])
    for name in sorted(networks, key=lambda name: -sum(layer.macs for layer in networks[name].layers)):
        for images in _IMAGES:
            way = (f"stream of {images}", images, True) if images > 1 else ("one image", 1, False)
            try:
                run = measure(name, networks[name], way, config, progress)
            except NarrowsError:
                continue
            return BoardRun(manifest=manifest, network=name, way=way[0], result=run.result, parts=run.causes)
    return BoardRun(manifest=manifest, network=None, way="", result={}, parts={})


def builds(runs: Sequence[BoardRun]) -> Section:
    """Two tables with a line per build, and the path that limits each clock."""
    columns = [name.replace("_", " ") for name in _RESOURCES]
    lines = [
        f"| board | chip | engine | {' | '.join(columns)} | routed MHz | needed | seed of | built |",
        "|---" * (8 + len(columns) - 1) + "|",
    ]
    for run in runs:
        manifest = run.manifest
        clock = f"**{manifest['clock_mhz']:.2f}**" if manifest.get("timing_met", True) else f"{manifest['clock_mhz']:.2f}, **missed**"
        used = " | ".join(f"{manifest['resources'][name]:,}" for name in _RESOURCES)
        seeds = ", ".join(f"{seed}: {mhz:.2f}" for seed, mhz in manifest["seeds"].items())
        lines.append(
            f"| `{manifest['board']}` | {manifest['device']} | `{manifest['engine']}` | {used} | {clock} | {manifest['constraint_mhz']:g} "
            f"| {manifest['seed']} of {seeds} | {manifest['date'][:10]} |"
        )
    for run in runs:
        tools = ", ".join(f"{name} {version}" for name, version in run.manifest["tools"].items())
        lines += ["", f"`{run.manifest['board']}`: {tools}.{_limit(run.manifest)}"]
    lines += [
        "", "Cycles counted on each of these engines with its own memory's timing, and frames per second, routed clock / cycles:", "",
        "| board | network | run as | cycles per image | utilisation | frames/s | where the cycles go |", "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    return lines + [_rate(run) for run in runs]


def _limit(manifest: Mapping[str, Any]) -> str:
    if not manifest.get("worst_paths"):
        return ""
    path = manifest["worst_paths"][0]
    ends = " to ".join(f"`{name}`" for name in dict.fromkeys((path["through"][0], path["through"][-1])))
    return f" The longest path, {ends}, takes {path['ns']:.2f} ns, {path['routing_ns']:.2f} of them in wires."


def _rate(run: BoardRun) -> str:
    if run.network is None:
        return f"| `{run.manifest['board']}` | none fits | | | | | |"
    cycles = run.result["cycles_per_image"]
    return (
        f"| `{run.manifest['board']}` | `{run.network}` | {run.way} | {cycles:,.0f} | {run.result['utilisation']:.1%} "
        f"| **{1e6 * run.manifest['clock_mhz'] / cycles:.1f}** | {causes(run.parts)} |"
    )
