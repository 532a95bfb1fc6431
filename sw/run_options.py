"""What can be said of the options of a run before anything is read, compiled or simulated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from narrows.device.board import looks_like_a_port
from narrows.errors import NarrowsError
from narrows.output_paths import check_file, check_folder
from narrows.report.page import DATA, PAGE, TRACE


def check_options(
    on: str, *, report: Path | None, waveform: Path | None, window: tuple[int, int] | None, engine: Mapping[str, Any]
) -> None:
    """Refuse a device that is none, options that ``on`` has no use for, and places that can't be written.

    ``engine``: options of how the engine runs, by name, falsy where not given. Raises :class:`NarrowsError`.
    """
    if on not in ("sim", "golden") and not looks_like_a_port(on):
        raise NarrowsError(
            f"There is no device {on!r}: run on sim (the gateware) or golden (NumPy), a serial port like /dev/ttyUSB0 or socket://host:port."
        )
    if on == "golden":
        if report is not None:
            raise NarrowsError("A report shows where cycles went, and golden has none: run on sim (the gateware) or on a board.")
        given = {"--waveform": waveform, "--window": window, **engine}
        if unused := [name for name, value in given.items() if value]:
            raise NarrowsError(f"golden (NumPy) has no engine, so no {', no '.join(unused)}: leave that out, or run on sim (the gateware).")
    if report is not None:
        check_folder(report)
        if report.is_dir():
            for name in (PAGE, DATA, TRACE):
                check_file(report / name)
    if waveform is not None:
        check_file(waveform)
