"""The command line: a thin shell over :mod:`narrows.api`, one small function per command."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer

from narrows.cli import board as cli_board
from narrows.cli import sweep as cli_sweep
from narrows.cli.options import (
    Batch,
    BoardName,
    Clock,
    Config,
    Debug,
    Images,
    InputRange,
    Json,
    Model,
    Slices,
    Stream,
    engine,
    errors,
    finish,
    one_line,
    parse_range,
)
from narrows.config_file import load_config
from narrows.errors import NarrowsError
from narrows.hw.config import EngineConfig
from narrows.report import plan as report_plan
from narrows.report import terminal as report

#: What runs when no model is named: a classifier of handwritten digits, trained and stored here.
DEFAULT_MODEL = "digits_mobilenetv2_035_96.tflite"
DEFAULT_LABELS = "digits_labels.txt"

#: What is built when no board is named.
DEFAULT_BOARD = "ulx3s-85f"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Runs int8 MobileNets (.tflite) on an FPGA accelerator, byte for byte as TensorFlow Lite does: simulated, counted, checked.",
    epilog="Start with [bold]narrows run[/]: it needs no argument. Each command has examples: [bold]narrows run --help[/].",
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"narrows {metadata.version('narrows')}")
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and end.")] = False,
) -> None:
    """Options that belong to no command."""


class RouterName(StrEnum):
    """nextpnr's routers."""

    router1 = "router1"
    router2 = "router2"


@app.command(
    epilog="[dim]Examples:[/]\n\nnarrows run\n\nnarrows run net.tflite --image cat.png --labels labels.txt --top 5\n\n"
    "narrows run net.tflite -i cat.png --on golden --json -\n\nnarrows run --report out\n\n"
    "narrows run --waveform out.vcd --window 10000:12000\n\n"
    "narrows run --on /dev/ttyUSB0\n\nnarrows run --on socket://localhost:7000   (a virtual board: narrows serve)"
)
def run(
    model: Model = None,
    image: Images = None,
    on: Annotated[
        str,
        typer.Option(metavar="DEVICE", help="sim: the gateware, cycle by cycle. golden: NumPy, no cycles. A board: its serial port, or "
                     "socket://host:port, where `narrows serve` may be. `narrows devices` lists what there is."),
    ] = "sim",
    baud: cli_board.Baud = cli_board.BAUD,
    labels: Annotated[Path | None, typer.Option(help="Names of the classes, one per line. Without: those inside the model.")] = None,
    input_range: InputRange = None,
    top: Annotated[int, typer.Option(min=1, help="Classes to show per image.")] = 3,
    config: Config = None,
    clock: Clock = None,
    slices: Slices = None,
    batch: Batch = None,
    stream: Stream = False,
    waveform: Annotated[Path | None, typer.Option(help="Write a .vcd waveform; name its cycles with --window.")] = None,
    window: Annotated[str | None, typer.Option(help="Cycles of the waveform, FIRST:END.", metavar="A:B")] = None,
    report_folder: Annotated[
        Path | None, typer.Option("--report", metavar="DIR", help="Write a page (index.html) and a trace for Perfetto (trace.json) there.")
    ] = None,
    json_file: Json = None,
    debug: Debug = False,
) -> None:
    """Run pictures through a network and count where the cycles go.

    Prints the best classes of each picture, then for each block of the network its multiply-accumulates (M MAC), measured and
    predicted cycles, how busy the multipliers were, and the cycles spent waiting for weights and for data.
    """
    with errors(debug), report.progress() as progress:
        from narrows.api import run_model

        path, pictures, names = defaults(model, image)
        result = run_model(
            path, pictures, on=on, baud=baud, config=config_of(on, config, clock), labels=labels or names, top=top, slices=slices,
            **batches(batch, stream), waveform=waveform, window=parse_window(window), report=report_folder,
            progress=progress, input_range=parse_range(input_range),
        )  # fmt: skip
    finish(result, json_file, report.print_run)


@app.command(
    epilog="[dim]Examples:[/]\n\nnarrows plan\n\nnarrows plan net.tflite --config small.toml\n\nnarrows plan net.tflite --json plan.json"
)
def plan(
    model: Model = None, config: Config = None, clock: Clock = None, slices: Slices = None, batch: Batch = None, stream: Stream = False,
    every: Annotated[bool, typer.Option("--operators", help="A line for every operator of the file, however many there are.")] = False,
    json_file: Json = None, debug: Debug = False,
) -> None:
    """Show how a network would run: where each operator runs, the blocks, where they lie in memory, what they should cost.

    Of a network that is refused: every operator that keeps it from running, why, and what to do. Takes seconds, simulates nothing.
    """
    with errors(debug):
        from narrows.api import plan_model

        path = defaults(model, None)[0]
        try:
            result = plan_model(path, config=engine(config, clock), slices=slices, **batches(batch, stream))
        except NarrowsError as error:
            if error.operators:
                refused = {"model": str(path), "refused": one_line(error), "operators": error.operators}
                finish(refused, json_file, lambda result: report_plan.print_refused(result, every=every))
            raise
    finish(result, json_file, lambda result: report_plan.print_plan(result, every=every))


@app.command(epilog="[dim]Examples:[/]\n\nnarrows check\n\nnarrows check net.tflite --image cat.png")
def check(
    model: Model = None, image: Images = None, config: Config = None, clock: Clock = None, slices: Slices = None,
    batch: Batch = None, input_range: InputRange = None, json_file: Json = None, debug: Debug = False,
) -> None:
    """Compare every block of the simulated gateware with the golden model, byte by byte. Exit code 1 if they differ."""
    with errors(debug), report.progress() as progress:
        from narrows.api import check_model

        path, pictures, _ = defaults(model, image)
        # The embedded pictures are much alike: one checks as much as all of them.
        result = check_model(path, pictures if image else pictures[:1], config=engine(config, clock), slices=slices,
                             batch=batch or 1, progress=progress, input_range=parse_range(input_range))  # fmt: skip
    finish(result, json_file, report.print_check)
    if not result["equal"]:
        raise typer.Exit(1)


@app.command(
    epilog="[dim]Examples:[/]\n\nnarrows build --board ulx3s-85f --seeds 4\n\nnarrows build --board ulx3s-85f --clock 115 --json -"
)
def build(
    board: BoardName = DEFAULT_BOARD,
    config: Config = None,
    clock: Clock = None,
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="Random placements to try, two at a time; the fastest wins.")] = 1,
    seed: Annotated[int | None, typer.Option(min=1, metavar="S", help="The first of them. Without: the board's choice.")] = None,
    router: Annotated[RouterName, typer.Option(help="router1 makes faster designs, router2 needs less time.")] = RouterName.router1,
    target: Annotated[
        float | None,
        typer.Option(min=1, metavar="MHZ", help="Ask the router for this clock, so that it tries harder. Without: the board's choice."),
    ] = None,
    netlist_only: Annotated[
        bool, typer.Option("--netlist-only", "--no-route", help="Stop after synthesis and show what the engine takes of the chip.")
    ] = False,
    allow_failure: Annotated[bool, typer.Option("--allow-timing-failure", help="Make a bitstream though a clock is too slow.")] = False,
    json_file: Json = None,
    debug: Debug = False,
) -> None:
    """Build the bitstream of an engine for a board: synthesis, place and route, and a check that every clock is fast enough.

    build/BOARD/ gets narrows.bit, manifest.json and summary.md. No board has been tried yet.
    """
    with errors(debug), report.progress() as progress:
        from narrows.bitstream.build import Options, build_board
        from narrows.bitstream.build import result as shown

        options = Options(
            seeds=seeds, first_seed=seed, router=router.value, target_mhz=target,
            allow_failure=allow_failure, netlist_only=netlist_only,
        )  # fmt: skip
        manifest = build_board(
            board, config=None if config is None else load_config(config), clock=clock, options=options, progress=progress
        )
    if json_file is not None:
        finish(shown(manifest), json_file, lambda _: report.print_build(manifest))
    else:
        report.print_build(manifest)


@app.command(epilog="[dim]Examples:[/]\n\nnarrows flash --board ulx3s-85f\n\nnarrows flash --board ulx3s-85f --flash")
def flash(
    board: BoardName = DEFAULT_BOARD,
    flash: Annotated[bool, typer.Option("--flash", help="Into the flash memory, to stay; otherwise until the power goes off.")] = False,
    debug: Debug = False,
) -> None:
    """Put the bitstream that `narrows build` made on a board, with openFPGALoader."""
    with errors(debug):
        from narrows.bitstream.flash import flash_board

        flash_board(board, permanent=flash, say=lambda words: typer.echo(f"narrows: {words}", err=True))


@app.command()
def doctor(debug: Debug = False) -> None:
    """Show the versions of all tools, what is missing and what to do about it. Exit code 1 if networks can't run."""
    from narrows.bitstream.doctor import examine, healthy

    with errors(debug):
        findings = examine()
    report.print_doctor(findings)
    with errors(debug):
        if not healthy(findings):
            raise NarrowsError("Something that Narrows needs is missing: see the lines above.")


cli_sweep.register(app)
cli_board.register(app)


def defaults(model: Path | None, images: list[Path] | None) -> tuple[Path, list[Path], Path | None]:
    """The model, pictures and labels to run: the embedded ones where none are named."""
    if model is not None:
        return model, images or [], None
    data = Path(str(files("narrows"))) / "data"
    return data / DEFAULT_MODEL, images or sorted((data / "images").glob("*.png")), data / DEFAULT_LABELS


def config_of(on: str, config: Path | None, clock: int | None) -> EngineConfig | None:
    """The engine that the options describe; None where nothing is said and a board can be asked."""
    ask = config is None and clock is None and on not in ("sim", "golden")
    return None if ask else engine(config, clock)


def batches(batch: int | None, stream: bool) -> dict[str, Any]:
    """The options of a batch as arguments."""
    return {"batch": batch or (4 if stream else 1), "stream": stream}


def parse_window(text: str | None) -> tuple[int, int] | None:
    """``A:B`` as two cycles."""
    if text is None:
        return None
    first, _, end = text.partition(":")
    if not (first.isdecimal() and end.isdecimal()):
        raise NarrowsError(f"--window {text}: give it as FIRST:END in cycles, for example 10000:12000.")
    return int(first), int(end)


def main() -> None:
    """The program ``narrows``."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has enough.
        _drop_output()
        sys.exit(0)
    except OSError as error:
        _drop_output()
        typer.echo(f"narrows: the output can't be written ({error.strerror})", err=True)
        sys.exit(1)


def _drop_output() -> None:
    """Python would complain once more when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
