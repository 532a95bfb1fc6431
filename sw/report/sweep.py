"""The tables of ``narrows sweep``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape

from narrows.report.parts import Words, count, size, table, totals
from narrows.report.terminal import console

#: A cause of less than this share of the cycles is not worth its words.
_WORTH = 0.1


def print_sweep(result: Mapping[str, Any]) -> None:
    """A line per network and engine; what is the same in all of them stands below."""
    out = console()
    several = len({row["engine"] for row in result["rows"]}) > 1
    rows = best_of_arrays(result["rows"]) if several else result["rows"]
    about = _ENGINE if several else ("M MAC",)
    made = table(
        "network", right=(*about, "cycles", "frames/s", "used", "external"), last=("limit",),
        least=("weights", "RAMs", "M MAC", "external", "KB", "mult.", "req.", "used", "cycles"),
    )
    for row in rows:
        cells = [escape(row["network"]), *(_engine(row) if several else (f"{row['macs'] / 1e6:.1f}" if row["macs"] else "",))]
        if row["refused"] is None:
            cells += [
                count(round(row["cycles_per_image"])), f"{row['frames_per_second']:.1f}", f"{row['utilisation']:.0%}",
                size(round(row["read_bytes"] + row["write_bytes"])), limits(row),
            ]  # fmt: skip
        else:
            cells += ["", "refused", "", "", f"[red]{escape(row['reason'])}[/]"]
        made.add_row(*cells)
    out.print(made)
    first = rows[0]
    if not several:
        out.print(totals([
            ("engine", first["array"], f"{first['engine']}, {first['onchip_bytes'] / 1000:.1f} KB on chip"),
            ("of the chip", str(first["multipliers"]), f"multipliers, {first['block_rams']} block RAMs with the host link"),
        ]))  # fmt: skip
    for words in notes(result):
        out.print(Words(f"[dim]{escape(words)}[/]"))


def best_of_arrays(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """For each network and array the fastest engine; a refused one only where all are. The order stays."""
    best: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for row in rows:
        made = row["configuration"]
        key = (row["network"], row["array"], made["requantisers"], made["depthwise_requantisers"])
        if key not in best or row.get("frames_per_second", 0) > best[key].get("frames_per_second", 0):
            best[key] = row
    kept = {id(row) for row in best.values()}
    return [row for row in rows if id(row) in kept]


def limits(row: Mapping[str, Any]) -> str:
    """What most cycles go into, and whatever else takes many."""
    shares = row["shares"]
    causes = sorted((cause for cause in shares if shares[cause] >= _WORTH), key=lambda cause: -shares[cause])
    return ", ".join(f"{cause} {shares[cause]:.0%}" for cause in causes)


def notes(result: Mapping[str, Any]) -> list[str]:
    """What has to be known of the figures."""
    clocks = sorted({row["clock_mhz"] for row in result["rows"]})
    words = [
        f"Predicted by the cycle model, per image. Frames per second at {' and '.join(map(str, clocks))} MHz; used: of all multipliers in "
        "all cycles; external: bytes read and written; limit: what cycles go into."
    ]
    if result["board"] is not None:
        words.append(
            f"Of {len({row['engine'] for row in result['rows']})} engines within the multipliers and block RAMs of {result['board']} "
            f"({result['device']}) the fastest with each array; --json has all. "
            "req.: requantisers of array + depthwise unit; KB: activations + line buffers; weights: words, one for a cycle of the array. "
            "LUTs and the clock that routes are known only after `narrows build`."
        )
    return words


#: What tells engines apart: requantisers of array and depthwise unit, KB of activations and line buffers, words of weights, and what
#: they take of the chip.
_ENGINE = ("array", "req.", "KB", "weights", "mult.", "RAMs")


def _engine(row: Mapping[str, Any]) -> Sequence[str]:
    made = row["configuration"]
    activations, lines = (words * made["group"] // 1024 for words in (made["activation_words"], 3 * made["line_words"]))
    return (
        row["array"], f"{made['requantisers']}+{made['depthwise_requantisers']}", f"{activations}+{lines}", str(made["weight_words"]),
        str(row["multipliers"]), str(row["block_rams"]),
    )  # fmt: skip
