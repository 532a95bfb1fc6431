"""What is told about a build: a page of Markdown, and the words for a clock that is too slow."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from narrows.bitstream.routing import Routed

#: Paths and registers that the summary shows.
PATHS, REGISTERS = 5, 20


def too_slow(best: Routed, seeds: int, summary: Path) -> str:
    """Which clock missed what, and what to do."""
    missed = [
        f"{name} reaches {clock.achieved_mhz:.1f} of {clock.constraint_mhz:.1f} MHz" for name, clock in best.clocks.items() if not clock.met
    ]
    tried = "the only seed" if seeds == 1 else f"the best of {seeds} seeds"
    return (
        f"Timing is not met, so there is no bitstream: {' and '.join(missed)} with seed {best.seed}, {tried}; {summary} has the worst "
        "paths. Try more --seeds, a lower --clock, or --allow-timing-failure to have the bitstream all the same."
    )


def text(manifest: dict[str, Any], report: dict[str, Any], used: dict[str, tuple[int, int]]) -> str:
    """The summary of a manifest and nextpnr's report; ``used``: of each resource, used and available."""
    sdram = manifest["sdram"]
    margins = ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in sdram["estimated_margins_ns"].items())
    lines = [
        f"# {manifest['board']} ({manifest['device']})", "",
        f"Engine {manifest['engine']}, seed {manifest['seed']}, timing {'met' if manifest['timing_met'] else '**not met**'}.", "",
        "| clock | routed MHz | needed MHz |", "|---|---|---|",
        *(f"| {name} | {clock['achieved_mhz']:.2f} | {clock['constraint_mhz']:.2f} |" for name, clock in manifest["clocks"].items()), "",
        "| resource | used | available |", "|---|---|---|",
        *(f"| {name.replace('_', ' ')} | {count} | {available} |" for name, (count, available) in used.items()), "",
        "LUTs include those of carry chains and distributed RAM. Other seeds (MHz of sync): "
        f"{', '.join(f'{seed}: {mhz}' for seed, mhz in manifest['seeds'].items())}.", "",
        f"SDRAM {sdram['part']}, CAS latency {sdram['cas_latency']}, its clock {sdram['phase_ns']:.2f} ns ({sdram['phase_degrees']:.0f} "
        f"degrees) after the engine's. Margins in ns, estimated from data sheets: {margins}.", "",
        "Tools: " + ", ".join(f"{name} {version}" for name, version in manifest["tools"].items()) + ".", "",
        "## Worst paths", "",
    ]  # fmt: skip
    for path in worst_paths(report)[:PATHS]:
        lines += [f"- **{path['ns']:.2f} ns** ({path['routing_ns']:.2f} in routing), {path['clock']}"]
        lines += [f"  - {name}" for name in path["through"]]
    lines += ["", "## Registers whose values come last", "", "| ns after the clock | register |", "|---|---|"]
    lines += [f"| {ns:.2f} | {name} |" for name, ns in latest_registers(report)[:REGISTERS]]
    return "\n".join(lines) + "\n"


def worst_paths(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The critical paths of nextpnr's report, slowest first: nanoseconds, clock, and the design's names it goes through."""
    made = []
    for path in report["critical_paths"]:
        steps = path["path"]
        nets = [step["net"] for step in steps if "net" in step]
        through = [plain(name) for name in (steps[0]["from"]["cell"], *nets, steps[-1]["to"]["cell"])] if steps else []
        source, target = (path[end].replace("$glbnet$", "") for end in ("from", "to"))
        made.append({
            "ns": sum(step["delay"] for step in steps),
            "routing_ns": sum(step["delay"] for step in steps if step["type"] == "routing"),
            "clock": source if source == target else f"{source} to {target}",
            "through": list(dict.fromkeys(through)),
        })
    return sorted(made, key=lambda path: -path["ns"])


def latest_registers(report: dict[str, Any]) -> list[tuple[str, float]]:
    """Registers of nextpnr's report and nanoseconds from the clock to their latest bit's value, latest first.

    nextpnr reports one path per clock; this says what comes after it. Empty for a report without ``--detailed-timing-report``.
    """
    latest: dict[str, float] = {}
    for net in report.get("detailed_net_timings", ()):
        for endpoint in net["endpoints"]:
            if "edge" in endpoint["event"]:
                name = plain(endpoint["cell"])
                latest[name] = max(latest.get(name, 0.0), endpoint["delay"][1])
    return sorted(latest.items(), key=lambda row: -row[1])


def plain(name: str) -> str:
    """A cell's or net's name without what synthesis appended: a carry chain is one name, that of the register behind it."""
    return re.split(r"_(?:TRELLIS_FF|LUT4|CCU2C|PFUMX|L6MUX21|MULT18X18D|DP16KD|PDPW16KD|TRELLIS_DPR16X4)_|\$CCU2", name)[0]
