"""Puts a bitstream on a board, with openFPGALoader."""

from __future__ import annotations

import json
import shutil
import subprocess

from narrows.bitstream.cache import file_digest
from narrows.boards import load_board
from narrows.errors import NarrowsError
from narrows.sim.build_folder import build_directory

PROGRAM = "openFPGALoader"


def flash_board(name: str, *, permanent: bool = False) -> None:
    """Load the bitstream of ``build/<name>/`` into the FPGA of the board, or into its flash memory if ``permanent``.

    Raises :class:`NarrowsError` if there is no such bitstream, or not the one that its manifest describes, no openFPGALoader, or no
    board on the cable.
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
    command = [program, "-b", board.loader, *(["--write-flash"] if permanent else []), str(bitstream)]
    # It says itself how far it is.
    status = subprocess.run(command, check=False).returncode
    if status:
        raise NarrowsError(
            f"{PROGRAM} ended with status {status}: is the {board.name} connected and switched on, and may you use its USB device? "
            f"`{PROGRAM} --detect` shows what is there."
        )
