"""What the commands share: their common options, and how their results and errors are shown."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from narrows.boards import CATALOGUE
from narrows.config_file import load_config
from narrows.errors import NarrowsError
from narrows.hw.config import EngineConfig
from narrows.hw.top import memory_timing
from narrows.output_paths import check_file

Config = Annotated[
    Path | None, typer.Option("--config", "-c", help="TOML file of engine settings, lines like [cyan]group = 8[/]; see hw/config.py.")
]
Clock = Annotated[
    int | None, typer.Option("--clock", metavar="MHZ", min=1, help="Clock of engine and memory; the memory's timing in cycles follows it.")
]


def _json_file(value: str | None) -> str | None:
    """Refuses a file that can't be written before the work for it begins."""
    if value not in (None, "-"):
        with errors(False):
            check_file(Path(value))
    return value


Json = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE", callback=_json_file,
                 help="Write the result as JSON; - is the standard output, instead of tables."),
]
InputRange = Annotated[
    str | None, typer.Option("--input-range", metavar="LOW,HIGH", help="What pixels 0 and 255 are to a model with a float32 input, like "
                             "0,1. Without: what the file says, in its metadata or by its QUANTIZE.", show_default=False)
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Model = Annotated[
    Path | None,
    typer.Argument(help="A .tflite of a quantised MobileNet. Without one: the embedded digit classifier.", show_default=False),
]
Images = Annotated[
    list[Path] | None,
    typer.Option("--image", "-i", help="A picture (PNG, JPEG), .dat of raw pixels, .npy, or a folder of them; repeat for more.",
                 show_default=False),
]
Slices = Annotated[
    int | None,
    typer.Option(min=1, metavar="T", help="Cut every block's interior into T slices of channels, or the next number that fits, "
                 "instead of what the planner chooses."),
]
Batch = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Run the late blocks, which wait for weights, once for N pictures (or as many as pay and fit); "
                 "fewer pictures are repeated. Without: 1, with --stream 4.", show_default=False),
]
Stream = Annotated[
    bool, typer.Option("--stream", help="Batch after batch, each one's classifier in the background of the next; cycles are those of a "
                       "batch in the middle.")
]
BoardName = Annotated[str, typer.Option("--board", "-b", metavar="BOARD", help=f"One of {', '.join(CATALOGUE)}.")]


def engine(config: Path | None, clock: int | None) -> EngineConfig:
    """The engine that the options describe."""
    chosen = EngineConfig() if config is None else load_config(config)
    if clock is not None:
        chosen = dataclasses.replace(chosen, sdram_mhz=clock)
    try:
        memory_timing(chosen)
    except ValueError as error:
        raise NarrowsError(f"This clock does not suit the memory: {error}") from None
    return chosen


def finish(result: dict[str, Any], json_file: str | None, show: Any) -> None:
    """Write ``result`` as JSON if asked, and show it unless that went to the standard output."""
    if json_file == "-":
        typer.echo(json.dumps(result, indent=1))
        return
    show(result)
    if json_file is not None:
        with errors(False):
            try:
                Path(json_file).write_text(json.dumps(result, indent=1) + "\n")
            except OSError as error:
                raise NarrowsError(f"{json_file}: can't be written ({error.strerror}).") from None


def parse_range(text: str | None) -> tuple[float, float] | None:
    """``LOW,HIGH`` as two numbers."""
    if text is None:
        return None
    try:
        low, high = (float(number) for number in text.split(","))
    except ValueError:
        raise NarrowsError(f"--input-range {text}: give the values of pixels 0 and 255 as LOW,HIGH, for example -1,1.") from None
    return low, high


@contextmanager
def errors(debug: bool) -> Iterator[None]:
    """Turn whatever goes wrong into one line on the standard error and an exit code."""
    try:
        yield
    except (typer.Exit, typer.Abort, BrokenPipeError):
        raise
    except KeyboardInterrupt:
        typer.echo("narrows: interrupted", err=True)
        raise typer.Exit(130) from None
    except NarrowsError as error:
        if debug:
            raise
        typer.echo(f"narrows: {one_line(error)}", err=True)
        raise typer.Exit(1) from None
    except Exception as error:
        if debug or (isinstance(error, OSError) and _output_is_lost()):
            raise
        what = f"{type(error).__name__}: {one_line(error)}"
        typer.echo(f"narrows: unexpected {what} -- please report it to the project, with the command and what --debug shows", err=True)
        raise typer.Exit(1) from None


def _output_is_lost() -> bool:
    """Whether what was printed does not arrive, which :func:`narrows.cli.main` says of all commands."""
    try:
        sys.stdout.flush()
    except OSError:
        return True
    return False


def one_line(error: BaseException) -> str:
    """The words of ``error`` without line breaks."""
    return " ".join(str(error).split())
