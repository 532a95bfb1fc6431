"""What the command line prints: tables for people. Every number in them is in the API's dictionaries."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from narrows.bitstream.doctor import Finding
from narrows.bitstream.routed import told
from narrows.inputs.input_range import in_words
from narrows.report.parts import Words
from narrows.report.parts import count as _count
from narrows.report.parts import size as _bytes
from narrows.report.parts import table as _table
from narrows.report.parts import totals as _totals
from narrows.report.table import Table

#: Columns of a report that goes into a file or a pipe, and the fewest that tables are made for: less is the terminal's to wrap.
PIPE_WIDTH, LEAST_WIDTH = 120, 40
BAR = 10

#: Characters of a bar that shows where cycles went, and its parts: keys of the result's ``time``, and words.
TIME_BAR = 16
TIME = {"array_busy": "array works", "wait_weights": "waits for weights", "wait_data": "for data", "no_work": "has no work"}


def console(*, stderr: bool = False) -> Console:
    """The terminal, or a pipe: wide enough for the tables, and without colours there and where NO_COLOR is set."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    made = Console(file=stream, width=width, highlight=False, emoji=False)
    made.width = max(made.width, LEAST_WIDTH)
    return made


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
    _print_input(out, result)
    if "blocks" not in result:
        return
    out.print(_blocks(out, result["blocks"]))
    out.print(Words(_legend(out)))
    clock, images = result["clock_mhz"], result["batch"]
    out.print(_totals([
        ("cycles per frame", _count(round(result["cycles_per_image"])), f"predicted {_count(round(result['predicted_cycles'] / images))}"),
        ("latency", _count(result["latency_cycles"]), f"cycles, {1e-3 * result['latency_cycles'] / clock:.2f} ms {_together(result)}"),
        ("frames per second", f"{result['frames_per_second']:.1f}", f"{told(result)}{_routed(result)}"),
        ("utilisation", f"{result['utilisation']:.1%}", f"{result['macs'] / 1e6:.2f} M MAC on {result['multipliers']} multipliers"),
        ("where the time went", time_bar(result, out.encoding), _shares(result)),
        ("depthwise unit", f"{result['depthwise_busy'] / result['cycles']:.1%}", "of the cycles, beside the array"),
        ("roofline", f"{result['roofline']['attained']:.1%}", _roofline(result["roofline"])),
        ("external memory", _bytes(result["dram_read_bytes"] // images), f"read, {_bytes(result['dram_write_bytes'] // images)} written"),
        ("  of block interiors", _bytes(result["interior_bytes_to_dram"]), "to external memory"),
        ("on-chip memory", _bytes(result["onchip_bytes"]), f"engine {result['engine']}"),
    ]))  # fmt: skip
    for what, path in result.get("report", {}).items():
        out.print(f"{what} in {escape(path)}", soft_wrap=True)


def _print_notes(out: Console, image: dict[str, Any]) -> None:
    for note in image.get("notes", []):
        out.print(Words(escape(note), indent=2))


def _print_input(out: Console, result: dict[str, Any]) -> None:
    """What was decided about pixels and names."""
    if result.get("input_range"):
        out.print(Words(escape(in_words(result["input_range"]))))
    if result.get("label_note"):
        out.print(Words(escape(result["label_note"])))


def _routed(result: dict[str, Any]) -> str:
    routed = result.get("routed")
    return f"; routed here for {routed['board']}: {routed['mhz']:.1f}" if routed else ""


def _shares(result: dict[str, Any]) -> str:
    """The parts of the time in words."""
    return ", ".join(f"{words} {result['time'][key] / result['cycles']:.1%}" for key, words in TIME.items())


def _roofline(roof: dict[str, Any]) -> str:
    if roof["bound"] == "multipliers":
        return f"of {roof['attainable_macs_per_cycle']:.0f} MAC per cycle, which all multipliers do (memory would feed more)"
    return (
        f"of {roof['attainable_macs_per_cycle']:.1f} MAC per cycle: all that {roof['bytes_per_cycle']} bytes a cycle can feed "
        f"at {roof['macs_per_byte']:.1f} MAC per byte"
    )


def _together(result: dict[str, Any]) -> str:
    """What shares the cycles."""
    if result["batch"] == 1 and not result["stream"]:
        return "for one picture"
    return f"for {result['batch']} pictures at once" + (", their classifier between the next ones' blocks" if result["stream"] else "")


def _print_image(out: Console, image: dict[str, Any]) -> None:
    cycles = f" ({_count(image['cycles'])} cycles)" if "cycles" in image else ""
    out.print(Words(f"[bold]{escape(image['image'])}[/]{cycles}"))
    _print_notes(out, image)
    # Labels are as long as they like, and shortened first; ranks and bars only repeat what the order and the scores say.
    table = Table(("class",), ("number", "share", "score", "value"), (), least=("share", "value", "number"), header=False, indent=2)
    labels = image.get("labels") or [None] * len(image["top"])
    for rank, ((index, score), label) in enumerate(zip(image["top"], labels, strict=True), 1):
        value = image["values"][rank - 1] if "values" in image else None
        real = "" if value is None or value == score else f"{value:.4g}"
        share = "" if value is None or not 0 <= value <= 1 else bar(value, out.encoding)
        name = f"[bold]{escape(label)}[/]" if label else f"class {index}"
        table.add_row(f"{rank}.  {name}", f"#{index}", share, str(score), real)
    out.print(table)
    for output in image["outputs"]:
        shape = "x".join(map(str, output["shape"]))
        out.print(Words(f"[dim]{escape(output['name'])}  {output['dtype']} {shape}  sha256 {output['sha256'][:16]}...[/]", indent=2))


def _blocks(out: Console, blocks: list[dict[str, Any]]) -> Table:
    table = _table(
        "block", right=("M MAC", "cycles", "predicted", "utilisation", "where they went", "wait weights", "wait data"),
        least=("M MAC", "predicted", "where they went", "wait data", "wait weights", "utilisation"),
    )
    for block in blocks:
        table.add_row(
            escape(block["name"]), f"{block['macs'] / 1e6:.2f}", _count(block["cycles"]), _count(block["predicted_cycles"]),
            f"{block['utilisation']:.0%}", time_bar(block, out.encoding),
            _count(block["wait_weights"]), _count(block["wait_data"]),
        )  # fmt: skip
    return table


def time_bar(counted: dict[str, Any], encoding: str = "utf-8") -> str:
    """A bar of TIME_BAR characters in parts as long as those of ``counted["time"]``, for which ``TIME`` has words."""
    characters = _characters(encoding)
    # Every part's end is rounded, not its length: so all of them together are as long as the bar.
    ends = [round(TIME_BAR * done / max(counted["cycles"], 1)) for done in accumulate(counted["time"][key] for key in TIME)]
    return "".join(character * (end - begin) for character, begin, end in zip(characters, [0, *ends], ends))


def _legend(out: Console) -> str:
    pairs = zip(_characters(out.encoding), TIME.values(), strict=True)
    return "[dim]where they went: " + "  ".join(f"{character} {words}" for character, words in pairs) + "[/]"


def _characters(encoding: str) -> str:
    return "█▓▒·" if encoding.lower().startswith("utf") else "#w:."


def print_check(result: dict[str, Any]) -> None:
    """Per image what was compared with what, and what differs in full; at the end what "equal" means."""
    out = console()
    for image in result["images"]:
        out.print(Words(f"[bold]{escape(image['image'])}[/]"))
        _print_notes(out, image)
        for key, pair in result["compared"].items():
            _print_comparison(out, f"{pair['what']} equal {pair['with']}", image[key])
        if image.get("not_compared"):
            names = escape(", ".join(image["not_compared"]))
            out.print(Words(f"[red]not compared[/], TensorFlow Lite has no value of: {names}", indent=4))
    _print_input(out, result)
    if result["oracle_missing"]:
        out.print(Words(f"[yellow]TensorFlow Lite was not asked[/]: {escape(result['oracle_missing'])}"))
    words = "gateware, golden model and TensorFlow Lite" if result["oracle"] else "gateware and golden model, compared only with each other"
    out.print(Words(f"[bold green]equal, byte for byte[/]: {words}" if result["equal"] else "[bold red]different[/]"))


def _print_comparison(out: Console, words: str, rows: list[dict[str, Any]]) -> None:
    out.print(Words(f"{sum(row['equal'] for row in rows)} of {len(rows)} {words}", indent=2))
    for row in rows:
        if not row["equal"]:
            first = row["first_difference"] or {}
            share = f", {first['differing']} of {first['of']} values" if "of" in first else ""
            where = f"at {first.get('position')}: {first.get('got')}, should be {first.get('expected')}{share}"
            out.print(Words(f"[red]{escape(row['name'])}[/] first differs {escape(where)}", indent=4))


def print_build(manifest: dict[str, Any]) -> None:
    """What an engine takes of the chip, and how fast it is there."""
    out = console()
    rows = [(name.replace("_", " "), _count(count), "") for name, count in manifest["resources"].items()]
    for name, clock in manifest.get("clocks", {}).items():
        rows.append((f"clock {name}", f"{clock['achieved_mhz']:.1f}", f"MHz routed, {clock['constraint_mhz']:.1f} needed"))
    out.print(Words(f"[bold]{escape(manifest['board'])}[/] ({manifest['device']}), engine {manifest['engine']}"))
    out.print(_totals(rows))
    if "bitstream" in manifest:
        met = "" if manifest["timing_met"] else ", [red]too slow[/]"
        out.print(Words(f"seed {manifest['seed']}: {manifest['bitstream']['bytes']} bytes in {escape(manifest['bitstream']['file'])}{met}"))


def print_doctor(findings: list[Finding]) -> None:
    """A line per thing looked at."""
    table = _table("", "what", last=("needed to", "version or remedy"), least=("needed to",), whole=True)
    for finding in findings:
        mark = "[green]ok[/]" if finding.version else "[red]missing[/]" if finding.need == "run" else "[yellow]missing[/]"
        table.add_row(mark, finding.name, finding.need, escape(finding.version or finding.remedy))
    console().print(table)


def print_devices(result: dict[str, Any]) -> None:
    """A line per thing that a network can run on."""
    # What is given to --on has to be whole.
    table = _table("--on", "what it is", last=("who answers",), least=("what it is",), whole=True)
    for row in result["devices"]:
        who = row.get("problem") or "ready"
        if "engine" in row:
            who = f"engine {row['engine']} at {row['clock_mhz']:g} MHz, {row['memory_bytes'] >> 20} MB"
            who += "" if row["known"] else ": not a built-in one, name its --config"
        colour = "green" if row["answers"] else "red"
        table.add_row(escape(row["device"]), escape(row["kind"]), f"[{colour}]{escape(who)}[/]")
    console().print(table)


def bar(fraction: float, encoding: str = "utf-8") -> str:
    """``fraction`` of a bar of BAR characters."""
    full, empty = ("█", "░") if encoding.lower().startswith("utf") else ("#", ".")
    filled = round(min(max(fraction, 0.0), 1.0) * BAR)
    return full * filled + empty * (BAR - filled)
