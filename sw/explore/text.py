"""The sections of ``docs/results.md`` that are measured, as Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from narrows.bitstream.routed import told
from narrows.cycles.bounds import CAUSES, Bounds, total
from narrows.errors import NarrowsError
from narrows.hw.config import EngineConfig

#: A section's lines.
Section = list[str]

#: A block this much above its bound needs a reason.
GAP = 0.05

#: A cause of less than this share of a block's bound is no reason.
_WORTH = 0.01


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """A network's run: ``result`` as of :func:`narrows.api.engine_rows`; ``bounds``, ``parts``: by block, :mod:`narrows.cycles.bounds`."""

    name: str
    way: str
    config: EngineConfig
    result: dict[str, Any]
    bounds: dict[str, Bounds]
    parts: dict[str, dict[str, int]]

    @property
    def causes(self) -> dict[str, int]:
        """The parts of all blocks together."""
        return total(self.parts.values())


def put(page: str, sections: Mapping[str, Section]) -> str:
    """``page`` with the given sections in the place of those between its markers.

    A section stands between ``<!-- measured: NAME -->`` and ``<!-- end -->``. Raises :class:`NarrowsError` if there is no place for one.
    """
    for name, lines in sections.items():
        pattern = rf"(<!-- measured: {re.escape(name)} -->\n).*?(<!-- end -->)"
        page, count = re.subn(pattern, lambda found, lines=lines: found[1] + "\n".join(lines) + "\n" + found[2], page, flags=re.DOTALL)
        if count != 1:
            raise NarrowsError(
                f"The page has {'no place' if not count else 'several places'} for the section {name!r}; "
                f"it goes between the lines '<!-- measured: {name} -->' and '<!-- end -->'"
            )
    return page


def networks(runs: Sequence[Measured]) -> Section:
    """A line per network and way to run it."""
    config = runs[0].config
    lines = [
        f"Engine `{config.digest}`: {config.multipliers} multipliers, {config.onchip_bytes:,} bytes of on-chip data memory. Cycles and "
        f"bytes are per image; frames per second {told(runs[0].result)}.", "",
        "| network | run as | M MAC | cycles | predicted | utilisation | frames/s | read | written | of interiors |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for run in runs:
        result, images = run.result, run.result["batch"]
        read, written = (result[f"dram_{way}_bytes"] / images for way in ("read", "write"))
        lines.append(
            f"| `{run.name}` | {run.way} | {result['macs'] / images / 1e6:.2f} | {result['cycles'] / images:,.0f} "
            f"| {result['predicted_cycles'] / images:,.0f} | {result['utilisation']:.1%} | {result['frames_per_second']:.1f} "
            f"| {read:,.0f} | {written:,.0f} | {result['interior_bytes_to_dram']} |"
        )
    return [*lines, "", predictions(runs)]


def predictions(runs: Sequence[Measured]) -> str:
    """How far the cycle model is off at worst."""
    of_blocks = [(_off(row), row["name"], run) for run in runs for row in run.result["blocks"]]
    off, block, run = max(of_blocks, key=lambda entry: entry[0])
    frame = max(_off(run.result) for run in runs)
    return (
        f"The worst prediction of a block is off by {off:.2%} ({block} of `{run.name}`, {run.way}), the worst of a frame by {frame:.3%}."
    )


def _off(row: Mapping[str, Any]) -> float:
    return abs(row["predicted_cycles"] / row["cycles"] - 1)


def blocks(run: Measured) -> Section:
    """A line per block: what was counted, what bounds it, and why it takes longer if it does."""
    batch = run.result["batch"]
    each = f"All figures are sums over {batch} images." if batch > 1 else ""
    lines = [
        f"`{run.name}`, {run.way}. {each}".rstrip(), "",
        "| block | M MAC | cycles | predicted | array | depthwise | bus | gap | why |", "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    lines += [_block(row, run.bounds[row["name"]], run.parts[row["name"]]) for row in run.result["blocks"]]
    sums = {name: sum(row[name] for row in run.result["blocks"]) for name in ("macs", "cycles", "predicted_cycles")}
    bound = sum(run.bounds.values(), Bounds())
    shares = total(run.parts.values())
    return [
        *lines, _block(sums | {"name": "all"}, bound, shares), "",
        f"Where the cycles go: {causes(shares)}. The sum of the blocks' bounds is {sum(map(_bound, run.bounds.values())):,} cycles.",
    ]  # fmt: skip


def causes(parts: Mapping[str, int]) -> str:
    """The shares of cycles by cause, those of less than a thousandth left out."""
    cycles = sum(parts.values())
    return ", ".join(f"{cause} {parts[cause] / cycles:.1%}" for cause in CAUSES if parts[cause] >= cycles / 1000)


def _bound(bounds: Bounds) -> int:
    return max(bounds.compute, bounds.bus)


def _block(row: Mapping[str, Any], bounds: Bounds, parts: Mapping[str, int]) -> str:
    gap = row["cycles"] / _bound(bounds) - 1
    why = reason(bounds, parts) if gap > GAP else ""
    return (
        f"| {row['name']} | {row['macs'] / 1e6:.2f} | {row['cycles']:,} | {row['predicted_cycles']:,} | {bounds.array:,} "
        f"| {bounds.depthwise:,} | {bounds.bus:,} | {gap:+.1%} | {why} |"
    )


def reason(bounds: Bounds, parts: Mapping[str, int]) -> str:
    """Why a block takes longer than its bound: what its cycles beyond that went into, largest first, as shares of the bound.

    The bound is filled first with the multipliers' work, then with waits for what sets it, then with the others, which hide behind it.
    The shares are those that had no room in it; they add up to the gap.
    """
    bound = _bound(bounds)
    own = [cause for cause in ("depthwise", "bus") if bound == getattr(bounds, cause) > bounds.array]
    left, found = bound, []
    for cause in ("multipliers", *own, *(cause for cause in CAUSES[1:] if cause not in own)):
        hidden = min(left, parts[cause])
        left -= hidden
        found.append(((parts[cause] - hidden) / bound, cause))
    return ", ".join(f"{cause} {share:+.1%}" for share, cause in sorted(found, reverse=True) if share >= _WORTH) or "several small ones"


def gaps(runs: Sequence[Measured]) -> Section:
    """All blocks that are more than :data:`GAP` above their bound in a run of one image."""
    lines = ["| network | block | cycles | bound | gap | why |", "|---|---|---|---|---|---|"]
    for run in (run for run in runs if run.result["batch"] == 1):
        for row in run.result["blocks"]:
            bounds = run.bounds[row["name"]]
            gap = row["cycles"] / _bound(bounds) - 1
            if gap > GAP:
                lines.append(
                    f"| `{run.name}` | {row['name']} | {row['cycles']:,} | {_bound(bounds):,} | {gap:+.1%} "
                    f"| {reason(bounds, run.parts[row['name']])} |"
                )
    return lines if len(lines) > 2 else ["No block takes 5 % more than its bound."]


def published(runs: Sequence[Measured], small: Sequence[Measured] = ()) -> Section:
    """Our figures beside what others have published of the same network; ``small``: runs of CFU-Playground's, if there are any."""
    ours = "; ".join(f"{run.way} {run.result['utilisation']:.1%}" for run in runs)
    moved = [(run.way, run.result["dram_read_bytes"] + run.result["dram_write_bytes"], run.result["batch"]) for run in runs]
    external = "; ".join(f"{way} {count / images / 1e6:.2f}" for way, count, images in moved)
    return [
        "| | share of its multipliers that the network uses | what is not the same |", "|---|---|---|",
        f"| Narrows, {runs[0].config.multipliers} multipliers | {ours} | simulated, with memory; picture and program are there before |",
        "| best confirmed time-shared FPGA engine | about 68 % | the same kind of engine, but measured on a board |",
        "| DPU B4096 | 12 to 17 % | runs any network, from other memory; from frames per second on a board and the peak rate |",
        "| Edge TPU | 6 % | likewise, and a chip of its own, not an FPGA |", "",
        "| | external memory, MB per image | what is not the same |", "|---|---|---|",
        f"| Narrows | {external} | |",
        "| layer by layer | 16.9 | computed: every tensor goes out and comes back |",
        "| block by block | 5.6 | computed: thin ends go out; no published engine is known to need less |",
        "| weights and image alone | 3.6 | computed: the floor for one image. A batch shares weights |", "",
        *_small(small),
        f"On-chip data memory is {runs[0].config.onchip_bytes / 1000:.0f} KB; 524 KB is the smallest known to be published for this "
        "network on an FPGA.", "",
        "Comparable are the network, 8-bit arithmetic and the kind of count: multiply-adds of the network over multipliers x cycles. Not "
        "comparable are clocks, frames per second and power: no board has run this engine.",
    ]  # fmt: skip


def _small(runs: Sequence[Measured]) -> Section:
    singles = [run.result["cycles"] for run in runs if run.result["batch"] == 1]
    if not singles:
        return []
    return [
        "| | cycles for MobileNetV2 0.35/160, one image | what is not the same |", "|---|---|---|",
        f"| Narrows | {singles[0]:,} | |",
        "| CFU-Playground | 397.5 M; best known derivative 197 M | a processor with instructions of its own: far fewer multipliers |", "",
    ]  # fmt: skip


def sweep(of_ways: Mapping[str, Sequence[Mapping[str, Any]]]) -> Section:
    """The paper's networks (rows of :mod:`narrows.explore.sweep`), a table for each way to run them: rates, utilisation, limits."""
    lines: Section = []
    for way, rows in of_ways.items():
        sides = sorted({row["resolution"] for row in rows})
        lines += [
            *([""] if lines else []), f"As {way}, frames per second {told(rows[0])}; utilisation; limit:", "",
            f"| width | {' | '.join(map(str, sides))} |", "|---" * (len(sides) + 1) + "|",
        ]  # fmt: skip
        for width in sorted({row["width"] for row in rows}):
            cells = {row["resolution"]: _cell(row) for row in rows if row["width"] == width}
            lines.append(f"| {width} | {' | '.join(cells[side] for side in sides)} |")
    return lines


def _cell(row: Mapping[str, Any]) -> str:
    if row["refused"] is not None:
        return f"refused: {row['reason']}"
    return f"{row['frames_per_second']:.1f}, {row['utilisation']:.0%}, {row['limit']}"
