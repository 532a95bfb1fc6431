"""Puts a bitstream on a board, with openFPGALoader."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable

from narrows.bitstream.cache import file_digest
from narrows.boards import load_board
from narrows.errors import NarrowsError
from narrows.sim.build_folder import build_directory

PROGRAM = "openFPGALoader"

#: What colours words in a terminal.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def flash_board(name: str, *, permanent: bool = False, say: Callable[[str], None] = lambda _words: None) -> None:
    """Load the bitstream of ``build/<name>/`` into the FPGA of the board, or into its flash memory if ``permanent``.

    ``say`` hears what is worth knowing of how. Raises :class:`NarrowsError` if there is no such bitstream, or not the one that its
    manifest describes, no openFPGALoader, or no board on the cable.
    """
    board = load_board(name)
    folder = build_directory() / board.name
    bitstream, manifest = folder / "narrows.bit", folder / "manifest.json"
    if not bitstream.exists() or not manifest.exists():
        raise NarrowsError(f"There is no bitstream for {board.name}; `narrows build --board {board.name}` makes one.")
    if json.loads(manifest.read_text())["bitstream"]["sha256"] != file_digest(bitstream):
        raise NarrowsError(f"{bitstream} is not the bitstream that {manifest} describes; build it again.")
    if (program := shutil.which(PROGRAM)) is None:
        raise NarrowsError(f"{PROGRAM} is not on PATH: apt install openfpgaloader, or see its own page for other systems.")
    names = known_boards(program)
    if names is None or board.loader in names:
        target, note = ["-b", board.loader], ""
    else:
        target = ["--cable", board.cable, "--pins", board.pins, "--fpga-part", board.device]
        note = (
            f"{PROGRAM} {_version(program)} does not know the board {board.loader}, {board.loader_version} does: "
            f"it is told the cable ({board.cable} with JTAG at {board.pins}) and the part ({board.device}) instead."
        )
        say(note)
    command = [program, *target, *(["--write-flash"] if permanent else []), str(bitstream)]
    # It says itself how far it is, on the standard output.
    result = subprocess.run(command, check=False, stderr=subprocess.PIPE, encoding="utf-8", errors="replace")
    said = "; ".join(line.strip() for line in _COLOUR.sub("", result.stderr).splitlines() if line.strip())
    if result.returncode:
        raise NarrowsError(
            f"{PROGRAM} ended with status {result.returncode}{f' and said: {said}' if said else ''}. Is the {board.name} connected and "
            f"switched on, and may you use its USB device? `{PROGRAM} --scan-usb` shows what is there.{f' {note}' if note else ''}"
        )
    if said:
        say(said)


def known_boards(program: str) -> set[str] | None:
    """The boards that ``program``, an openFPGALoader, knows by name; None if it does not tell."""
    # Some releases print words before the table.
    _, head, table = _output(program, "--list-boards").partition("board name")
    return {line.split()[0] for line in table.splitlines()[1:] if line.strip()} if head else None


def _version(program: str) -> str:
    found = re.search(r"\d+(\.\d+)+", _output(program, "--Version"))
    return found[0] if found else "of unknown version"


def _output(*command: str) -> str:
    """What a program prints."""
    result = subprocess.run(command, check=False, capture_output=True, encoding="utf-8", errors="replace")
    return _COLOUR.sub("", result.stdout)
