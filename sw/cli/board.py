"""The command line's part for boards: ``narrows serve`` and ``narrows devices``."""

from __future__ import annotations

from typing import Annotated

import typer

from narrows.cli.options import Clock, Config, Debug, Json, engine, errors, finish
from narrows.hw.system import BAUD
from narrows.link.client import PORT
from narrows.report import terminal as report

Baud = Annotated[int, typer.Option("--baud", min=1, metavar="BAUD", help="Bits a second of a serial line, as the gateware was built for.")]


def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port to listen at; 0 takes any free one and says which.")] = PORT,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    config: Config = None,
    clock: Clock = None,
    debug: Debug = False,
) -> None:
    """Be a board: simulate the whole gateware, link included, behind a TCP port.

    What passes through the port is byte for byte what passes over a board's serial line, so every program that talks to a board
    can be tried without one. One client at a time; the board keeps its memory when a client leaves. Ctrl-C ends it.
    """
    with errors(debug):
        from narrows.device.virtual_board import VirtualBoard

        out = report.console(stderr=True)
        chosen = engine(config, clock)
        with report.progress() as progress:
            board = VirtualBoard(chosen, host=host, port=port, say=out.print, progress=progress)
        with board:
            # On the standard output, at once: a script reads the port from it.
            typer.echo(f"engine {chosen.digest} at socket://{host}:{board.port}")
            try:
                board.serve()
            except KeyboardInterrupt:
                out.print(f"stopped after {board.cycle} cycles")


def devices(
    url: Annotated[
        list[str] | None,
        typer.Argument(help="More to ask: socket://host:port, or a serial port that is not recognised.", show_default=False),
    ] = None,
    baud: Baud = BAUD,
    json_file: Json = None,
    debug: Debug = False,
) -> None:
    """List what `narrows run --on` can be given, and what is there if it answers.

    Looks at serial ports behind FTDI converters, which boards like the ULX3S carry, and asks each who it is. No board has been
    tried yet.
    """
    with errors(debug):
        from narrows.device.find import find_devices

        result = {"devices": find_devices(url or (), baud=baud)}
    finish(result, json_file, report.print_devices)


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command(
        epilog="[dim]Examples:[/]\n\nnarrows serve\n\nnarrows run --on socket://localhost:7000   (in another terminal)\n\n"
        "narrows serve --port 7001 --config small.toml"
    )(serve)
    app.command(epilog="[dim]Examples:[/]\n\nnarrows devices\n\nnarrows devices socket://localhost:7000 --json -")(devices)
