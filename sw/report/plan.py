"""What ``narrows plan`` prints: the operators of a file, the blocks they become."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape

from narrows.bitstream.routed import told
from narrows.compiler.operator_table import REFUSED
from narrows.report.parts import Words, count, size, table, totals
from narrows.report.terminal import console

#: Longer tables are shown by kinds of operators, and so many refusals in full.
SHORT = 40


def print_plan(result: Mapping[str, Any], *, every: bool = False) -> None:
    """Where operators run (``every``: see :func:`print_operators`), the blocks of a plan, and the predicted totals."""
    out = console()
    print_operators(out, result["operators"], every=every)
    made = table(
        "block", "how", "in", "interior", "out", right=("M MAC", "cycles", "read", "written"),
        least=("M MAC", "written", "in", "interior", "read", "out", "how"),
    )
    for block in result["blocks"]:
        how = block["mode"] if block["slices"] <= 1 else f"{block['mode']}, {block['slices']} slices"
        if result["batch"] > 1:
            last = block["first_image"] + block["images"]
            how += f", picture {last}" if block["images"] == 1 else f", pictures {block['first_image'] + 1} to {last}"
        first, end = block["channels"]
        if end - first < block["output"][-1]:
            how += f", channels {first + 1} to {end}"
        shapes = ("x".join(map(str, block[key])) if block[key] else "" for key in ("input", "interior", "output"))
        made.add_row(
            escape(block["name"]), how, *shapes, f"{block['macs'] / 1e6:.2f}", count(block["predicted_cycles"]),
            size(block["predicted_read_bytes"]), size(block["predicted_write_bytes"]),
        )  # fmt: skip
    out.print(made)
    for note in result["notes"]:
        out.print(Words(f"[dim]graph: {escape(note)}[/]"))
    cycles, clock = round(result["predicted_cycles_per_image"]), result["clock_mhz"]
    batched = f", {result['batch']} pictures at once" if result["batch"] > 1 else ""
    work = f"{result['macs'] / 1e6:.2f} M MAC on {result['multipliers']} multipliers"
    out.print(totals([
        ("host before, after", ", ".join(result["host_before"]) or "nothing", ", ".join(result["host_after"]) or "nothing"),
        ("predicted cycles", count(cycles), f"per frame, {1e6 * clock / cycles:.1f} frames per second {told(result)}{batched}"),
        ("utilisation", f"{result['predicted_utilisation']:.1%}", work),
        ("on-chip memory", size(result["onchip_bytes"]), f"engine {result['engine']}"),
    ]))  # fmt: skip


def print_refused(result: Mapping[str, Any], *, every: bool = False) -> None:
    """The operators of a file that is refused."""
    print_operators(console(), result["operators"], every=every)


def print_operators(out: Console, rows: Sequence[Mapping[str, Any]], *, every: bool = False) -> None:
    """A line per operator; of a long file per kind and place, with those that are refused in full. ``every``: all lines anyway."""
    if every or len(rows) <= SHORT:
        _print_rows(out, rows)
        return
    kinds = Counter((row["name"], _kind(row["where"])) for row in rows)
    made = table("operators", right=("count",), last=("where they run",), least=("count",))
    for (name, where), number in kinds.items():
        made.add_row(escape(name), str(number), _coloured(where))
    out.print(made)
    refused = [row for row in rows if row["where"] == REFUSED]
    if refused:
        _print_rows(out, refused[:SHORT])
    if len(refused) > SHORT:
        out.print(Words(f"... and {len(refused) - SHORT} more that are refused"))
    out.print(Words(f"[dim]{len(rows)} operators; --operators shows each[/]"))


def _print_rows(out: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    made = table("operator", "where it runs", last=("why, what to do",), least=(), whole=True)
    for row in rows:
        made.add_row(f"{row['index']} {escape(row['name'])}", _coloured(row["where"]), escape(row["reason"]))
    out.print(made)


def _kind(where: str) -> str:
    """The place without the number of a block or operator."""
    if where.startswith("folded into "):
        return "folded into another operator"
    return "gateware" if where.startswith("gateware") else where


def _coloured(where: str) -> str:
    return f"[red]{where}[/]" if where == REFUSED else escape(where)
