"""The command line's part for figures of many networks and engines: ``narrows sweep`` and ``narrows results``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from narrows.boards import CATALOGUE
from narrows.cli.options import Clock, Config, Debug, Json, engine, errors, finish
from narrows.errors import NarrowsError
from narrows.explore.mobilenets import CLASSES, RESOLUTIONS, WIDTHS
from narrows.report import terminal as report


def sweep(
    model: Annotated[
        list[Path] | None,
        typer.Argument(help="Networks (.tflite) to sweep in place of the paper's.", show_default=False),
    ] = None,
    width: Annotated[
        list[float] | None,
        typer.Option("--width", "-w", metavar="ALPHA", show_default=False,
                     help=f"Width multiplier; repeat for more. Without: {', '.join(map(str, WIDTHS))}; with --fit 0.35, 1.0."),
    ] = None,
    resolution: Annotated[
        list[int] | None,
        typer.Option("--resolution", "-r", metavar="PIXELS", show_default=False,
                     help=f"Side of the picture; repeat for more. Without: {', '.join(map(str, RESOLUTIONS))}; with --fit 224."),
    ] = None,
    classes: Annotated[int, typer.Option(min=1, help="Classes of the paper's networks.")] = CLASSES,
    fit: Annotated[
        str | None,
        typer.Option(metavar="BOARD", show_default=False,
                     help=f"Compare engines that this board has multipliers and block RAMs for: one of {', '.join(CATALOGUE)}."),
    ] = None,
    config: Config = None,
    clock: Clock = None,
    batch: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", show_default=False,
                     help="Run late blocks once for N pictures, or as many as pay and fit. Without: 1; with --stream 4."),
    ] = None,
    stream: Annotated[bool, typer.Option("--stream", help="Batch after batch, the classifier in the background of the next one.")] = False,
    json_file: Json = None,
    debug: Debug = False,
) -> None:
    """Predict many networks on an engine, or on all engines that fit a board.

    Without a model the networks are MobileNetV2 of every width and resolution in
    the paper. Nothing is simulated: the planner plans each network, the cycle
    model counts it, in a few tenths of a second a line. What the planner refuses
    is a line with the reason.

    The last column says what the cycles go into, the largest part first:

    [bold]multipliers[/]: the array works; [bold]bus[/]: it waits for external memory's two bytes
    a cycle; [bold]requantisers[/], [bold]depthwise[/], [bold]residual[/]: for units slower than itself;
    [bold]buffers[/]: for weights or rows that had no room to come earlier; [bold]starts[/]:
    blocks begin and end.
    """
    with errors(debug), report.progress() as progress:
        from narrows.explore.sweep import sweep_all

        if fit is not None and config is not None:
            raise NarrowsError("--fit chooses the engines, --config names one: give one of them.")
        result = sweep_all(
            models=model or (), widths=width, resolutions=resolution, classes=classes, board=fit, clock=clock,
            config=None if fit is not None else engine(config, clock), batch=batch or (4 if stream else 1), stream=stream,
            progress=progress,
        )  # fmt: skip
    from narrows.report.sweep import print_sweep

    finish(result, json_file, print_sweep)


def results(
    models: Annotated[
        Path | None,
        typer.Option("--models", "-m", metavar="FOLDER", help="The published networks (.tflite). Without: only the embedded one.",
                     show_default=False),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option("--page", "-p", metavar="FILE", help="Put the tables between this file's markers, as in docs/results.md.",
                     show_default=False),
    ] = None,
    config: Config = None,
    clock: Clock = None,
    debug: Debug = False,
) -> None:
    """Measure the tables of docs/results.md: simulate networks and explain their cycles.

    Each network runs on the simulated board three times: one image, a batch of
    four, a stream of four. Then block by block: cycles counted, what the array, the
    depthwise unit and the bus need at least, and the reason for a gap over 5 %.
    Files that hold no classifier for this engine are left out, and named.

    Without --page the tables go to the standard output. With it, tables that need
    models which are not there stay as they are.
    """
    with errors(debug), report.progress() as progress:
        from narrows.explore.results import check_page, make_results, sweep_section, write
        from narrows.sim.build_folder import build_directory

        if page is not None:
            check_page(page)
        manifests = sorted(build_directory().glob("*/manifest.json"))
        chosen = engine(config, clock)
        sections, left_out = make_results(
            models, embedded=page is None or models is not None, manifests=manifests, config=chosen, progress=progress
        )  # fmt: skip
        if page is not None:
            write(page, sections | {"sweep": sweep_section(chosen, progress)})
    if page is None:
        typer.echo("\n\n".join("\n".join([f"## {name}", "", *lines]) for name, lines in sections.items()))
    for words in left_out:
        typer.echo(f"left out: {words}", err=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command(
        epilog="[dim]Examples:[/]\n\nnarrows sweep\n\nnarrows sweep --width 1.0 --resolution 224 --stream\n\n"
        "narrows sweep --fit ulx3s-85f --width 1.0 --json sweep.json\n\nnarrows sweep net.tflite --stream"
    )(sweep)
    app.command(
        epilog="[dim]Examples:[/]\n\nnarrows results\n\nnarrows results --models models\n\n"
        "narrows results --models models --page docs/results.md"
    )(results)
