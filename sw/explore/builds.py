"""The section of ``docs/results.md`` about boards: what each build takes of the chip, its routed clock, frames per second at it.

The clock comes from the manifests of builds (``narrows build``), the cycles from running a network on exactly that engine, with the
memory's timing at that board's clock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from narrows.errors import NarrowsError
from narrows.explore.text import Measured, Section, causes
from narrows.graph.network import Network
from narrows.hw.config import EngineConfig
from narrows.sim.build import Progress

#: Resources of a chip, in the order of the columns.
_RESOURCES = ("multipliers", "block_rams", "luts", "flip_flops")

#: Images of a stream, the most that fit; one is a single image.
_IMAGES = (4, 3, 2, 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class BoardRun:
    """A build's ``manifest`` and what was run on its engine; ``None`` if no network fits."""

    manifest: Mapping[str, Any]
    measured: Measured | None


def known_builds(manifests: Sequence[Path]) -> list[dict[str, Any]]:
    """The builds that ``manifests`` describe, by board; what is half-written or of an older release is left out."""
    found = []
    for path in manifests:
        try:
            manifest = json.loads(path.read_text())
            if EngineConfig(**manifest["configuration"]).digest == manifest["engine"] and manifest["worst_paths"]:
                found.append(manifest)
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return sorted(found, key=lambda manifest: manifest["board"])


def run_build(
    manifest: Mapping[str, Any], networks: Mapping[str, Network], measure: Callable[..., Measured], progress: Progress | None
) -> BoardRun:
    """Run the largest of ``networks`` that fits the build's engine, as a stream of the most images that fit.

    ``measure``: :func:`narrows.explore.results.measure`.
    """
    config = EngineConfig(**manifest["configuration"])
    for name in sorted(networks, key=lambda name: -sum(layer.macs for layer in networks[name].layers)):
        for images in _IMAGES:
            way = (f"stream of {images}", images, True) if images > 1 else ("one image", 1, False)
            try:
                measured = measure(name, networks[name], way, config, progress)
            except NarrowsError:
                continue
            # The planner may have taken fewer images than it was offered.
            way_taken = way[0].replace(f"of {images}", f"of {measured.result['batch']}")
            return BoardRun(manifest=manifest, measured=replace(measured, way=way_taken))
    return BoardRun(manifest=manifest, measured=None)


def builds(runs: Sequence[BoardRun]) -> Section:
    """Two tables with a line per build, and the path that limits each clock."""
    columns = [name.replace("_", " ") for name in _RESOURCES]
    lines = [
        f"| board | chip | engine | {' | '.join(columns)} | routed MHz | needed | seed of | built |",
        "|---" * (8 + len(columns) - 1) + "|",
    ]
    for run in runs:
        manifest = run.manifest
        clock = f"**{manifest['clock_mhz']:.2f}**" if manifest["timing_met"] else f"{manifest['clock_mhz']:.2f}, **missed**"
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
    # A path to a pin, to a light for instance, limits no clock.
    paths = manifest["worst_paths"]
    path = next((path for path in paths if " to " not in path["clock"]), paths[0])
    ends = " to ".join(f"`{name}`" for name in dict.fromkeys((path["through"][0], path["through"][-1])))
    return f" The longest path, {ends}, takes {path['ns']:.2f} ns, {path['routing_ns']:.2f} of them in wires."


def _rate(run: BoardRun) -> str:
    measured = run.measured
    if measured is None:
        return f"| `{run.manifest['board']}` | none fits | | | | | |"
    cycles = measured.result["cycles_per_image"]
    return (
        f"| `{run.manifest['board']}` | `{measured.name}` | {measured.way} | {cycles:,.0f} | {measured.result['utilisation']:.1%} "
        f"| **{1e6 * run.manifest['clock_mhz'] / cycles:.1f}** | {causes(measured.causes)} |"
    )
