"""What the command line prints: tables for people. Every number in them is in the API's dictionaries."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from narrows.doctor import Finding

#: Columns of a report that goes into a file or a pipe.
PIPE_WIDTH = 120
BAR = 10


def console(*, stderr: bool = False) -> Console:
    """The terminal, or a pipe: wide enough for the tables, and without colours there and where NO_COLOR is set."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return Console(file=stream, width=width, highlight=False, emoji=False)


@contextmanager
def progress() -> Iterator[Callable[[str, float], None]]:
    """A function that shows words and a fraction: as a bar in a terminal, else each new phase as a line."""
    terminal = console(stderr=True)
    if not terminal.is_terminal:
        said: set[str] = set()

        def say(words: str, _fraction: float) -> None:
            phase = words.split(",")[0]
            if phase not in said:
                said.add(phase)
                terminal.print(f"{escape(phase)} ...")

        yield say
        return
    columns = (SpinnerColumn(), BarColumn(30), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=terminal, transient=True) as bar:
        task = bar.add_task("reading the network", total=1.0)
        yield lambda words, fraction: bar.update(task, description=escape(words), completed=fraction)


def print_run(result: dict[str, Any]) -> None:
    """The classes of each image, then the engine's blocks and totals."""
    out = console()
    for image in result["images"]:
        _print_image(out, image)
    if "blocks" not in result:
        return
    out.print(_blocks(out, result["blocks"]))
    clock, images = result["clock_mhz"], result["batch"]
    out.print(_totals([
        ("cycles per frame", _count(round(result["cycles_per_image"])), f"predicted {_count(round(result['predicted_cycles'] / images))}"),
        ("latency", _count(result["latency_cycles"]), f"cycles, {1e-3 * result['latency_cycles'] / clock:.2f} ms {_together(result)}"),
        ("frames per second", f"{result['frames_per_second']:.1f}", f"at {clock} MHz"),
        ("utilisation", f"{result['utilisation']:.1%}", f"{result['macs'] / 1e6:.2f} M MAC on {result['multipliers']} multipliers"),
        ("external memory", _bytes(result["dram_read_bytes"] // images), f"read, {_bytes(result['dram_write_bytes'] // images)} written"),
        ("  of block interiors", _bytes(result["interior_bytes_to_dram"]), "to external memory"),
        ("on-chip memory", _bytes(result["onchip_bytes"]), f"engine {result['engine']}"),
    ]))  # fmt: skip


def _together(result: dict[str, Any]) -> str:
    """What shares the cycles."""
    if result["batch"] == 1 and not result["stream"]:
        return "for one picture"
    return f"for {result['batch']} pictures at once" + (", their classifier between the next ones' blocks" if result["stream"] else "")


def _batched(result: dict[str, Any]) -> str:
    return f", {result['batch']} pictures at once" if result["batch"] > 1 else ""


def _print_image(out: Console, image: dict[str, Any]) -> None:
    cycles = f" ({_count(image['cycles'])} cycles)" if "cycles" in image else ""
    out.print(f"[bold]{escape(image['image'])}[/]{cycles}")
    table = Table(box=None, padding=(0, 2), show_header=False)
    labels = image.get("labels") or [None] * len(image["top"])
    for rank, ((index, score), label) in enumerate(zip(image["top"], labels, strict=True), 1):
        value = image["values"][rank - 1] if "values" in image else None
        real = "" if value is None or value == score else f"{value:.4g}"
        table.add_row(f"{rank}.", f"[bold]{escape(label)}[/]" if label else f"class {index}", f"#{index}", str(score), real)
    out.print(table)
    for output in image["outputs"]:
        shape = "x".join(map(str, output["shape"]))
        out.print(f"  [dim]{escape(output['name'])}  {output['dtype']} {shape}  sha256 {output['sha256'][:16]}...[/]")


def _blocks(out: Console, blocks: list[dict[str, Any]]) -> Table:
    table = _table("block", right=("M MAC", "cycles", "predicted", "utilisation", "wait weights", "wait data"))
    for block in blocks:
        table.add_row(
            escape(block["name"]), f"{block['macs'] / 1e6:.2f}", _count(block["cycles"]), _count(block["predicted_cycles"]),
            f"{bar(block['utilisation'], out.encoding)} {block['utilisation']:4.0%}",
            _count(block["wait_weights"]), _count(block["wait_data"]),
        )  # fmt: skip
    return table


def print_plan(result: dict[str, Any]) -> None:
    """The blocks of a plan, what the host does around them, and the predicted totals."""
    out = console()
    table = _table("block", "how", "in", "interior", "out", right=("M MAC", "cycles", "read", "written"))
    for block in result["blocks"]:
        how = block["mode"] if block["slices"] <= 1 else f"{block['mode']}, {block['slices']} slices"
        if result["batch"] > 1:
            last = block["first_image"] + block["images"]
            how += f", picture {last}" if block["images"] == 1 else f", pictures {block['first_image'] + 1} to {last}"
        shapes = ("x".join(map(str, block[key])) if block[key] else "" for key in ("input", "interior", "output"))
        table.add_row(
            escape(block["name"]), how, *shapes, f"{block['macs'] / 1e6:.2f}", _count(block["predicted_cycles"]),
            _bytes(block["predicted_read_bytes"]), _bytes(block["predicted_write_bytes"]),
        )  # fmt: skip
    out.print(table)
    for note in result["notes"]:
        out.print(f"[dim]graph: {escape(note)}[/]")
    cycles, clock = round(result["predicted_cycles_per_image"]), result["clock_mhz"]
    work = f"{result['macs'] / 1e6:.2f} M MAC on {result['multipliers']} multipliers"
    out.print(_totals([
        ("host before, after", ", ".join(result["host_before"]) or "nothing", ", ".join(result["host_after"]) or "nothing"),
        ("predicted cycles", _count(cycles), f"per frame, {1e6 * clock / cycles:.1f} frames per second at {clock} MHz{_batched(result)}"),
        ("utilisation", f"{result['predicted_utilisation']:.1%}", work),
        ("on-chip memory", _bytes(result["onchip_bytes"]), f"engine {result['engine']}"),
    ]))  # fmt: skip


def print_check(result: dict[str, Any]) -> None:
    """Per image the blocks and operators that were compared, and those that differ in full."""
    out = console()
    for image in result["images"]:
        out.print(f"[bold]{escape(image['image'])}[/]")
        _print_comparison(out, "blocks of the gateware equal the golden model", image["blocks"])
        if image.get("operators"):
            _print_comparison(out, "operators of the golden model equal TensorFlow Lite", image["operators"])
    if not result["oracle"]:
        out.print("[dim]TensorFlow Lite was not asked: ai-edge-litert is not installed (the extra `test` has it)[/]")
    out.print("[bold green]equal, byte for byte[/]" if result["equal"] else "[bold red]different[/]")


def _print_comparison(out: Console, words: str, rows: list[dict[str, Any]]) -> None:
    out.print(f"  {sum(row['equal'] for row in rows)} of {len(rows)} {words}")
    for row in rows:
        if not row["equal"]:
            first = row["first_difference"] or {}
            share = f", {first['differing']} of {first['of']} values" if "of" in first else ""
            where = f"at {first.get('position')}: {first.get('got')}, should be {first.get('expected')}{share}"
            out.print(f"    [red]{escape(row['name'])}[/] first differs {escape(where)}")


def print_build(manifest: dict[str, Any]) -> None:
    """What an engine takes of the chip, and how fast it is there."""
    out = console()
    rows = [(name.replace("_", " "), _count(count), "") for name, count in manifest["resources"].items()]
    for name, clock in manifest.get("clocks", {}).items():
        rows.append((f"clock {name}", f"{clock['achieved_mhz']:.1f}", f"MHz routed, {clock['constraint_mhz']:.1f} needed"))
    out.print(f"[bold]{escape(manifest['board'])}[/] ({manifest['device']}), engine {manifest['engine']}")
    out.print(_totals(rows))
    if "bitstream" in manifest:
        met = "" if manifest["timing_met"] else ", [red]too slow[/]"
        out.print(f"seed {manifest['seed']}: {manifest['bitstream']['bytes']} bytes in {escape(manifest['bitstream']['file'])}{met}")


def print_doctor(findings: list[Finding]) -> None:
    """A line per thing looked at."""
    table = _table("", "what", "version or remedy", "needed to")
    for finding in findings:
        mark = "[green]ok[/]" if finding.version else "[red]missing[/]" if finding.need == "run" else "[yellow]missing[/]"
        table.add_row(mark, finding.name, escape(finding.version or finding.remedy), finding.need)
    console().print(table)


def bar(fraction: float, encoding: str = "utf-8") -> str:
    """``fraction`` of a bar of BAR characters."""
    full, empty = ("█", "░") if encoding.lower().startswith("utf") else ("#", ".")
    filled = round(min(max(fraction, 0.0), 1.0) * BAR)
    return full * filled + empty * (BAR - filled)


def _table(*left: str, right: tuple[str, ...] = ()) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _totals(rows: list[tuple[str, str, str]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column()
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _count(value: int) -> str:
    return f"{value:,}".replace(",", " ")


def _bytes(value: int) -> str:
    """Bytes in the unit that fits: B, KB of 1000 and MB."""
    for unit, size in (("MB", 1_000_000), ("KB", 1000)):
        if value >= size:
            return f"{value / size:.{2 if unit == 'MB' else 1}f} {unit}"
    return f"{value} B"
