"""What happens before openFPGALoader gets a bitstream, what it is called with, and what is said of its end.

A script stands in for it that knows the boards of one release or another; the real one is asked as well, where it is installed.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from narrows.bitstream.flash import PROGRAM, flash_board, known_boards
from narrows.boards import CATALOGUE, load_board
from narrows.cli import main as cli
from narrows.errors import NarrowsError

REAL = shutil.which(PROGRAM)

#: What releases print for --list-boards: Debian 12's, and one that knows all boards.
BOARDS = {
    "0.10.0": "board name               cable_name\nulx2s                    ft232RL\nulx3s                    ft231X\n",
    "1.1.1": "empty\nboard name                 cable_name         fpga_part\nicepi-zero                 ft231X             Undefined\n"
             "ulx3s                      ft231X             Undefined\n",
}  # fmt: skip

#: What both say, in these words, where no cable is.
NO_CABLE = "unable to open ftdi device: -3 (device not found)\nJTAG init failed with: unable to open ftdi device"


@pytest.fixture
def bitstreams(tmp_path, monkeypatch) -> Path:
    """A folder with a bitstream and its manifest for every board, and nothing on PATH."""
    monkeypatch.setenv("NARROWS_BUILD", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    for board in ("ulx3s-85f", "icepi-zero"):
        folder = tmp_path / board
        folder.mkdir()
        (folder / "narrows.bit").write_bytes(b"bits")
        (folder / "manifest.json").write_text(json.dumps({"bitstream": {"sha256": hashlib.sha256(b"bits").hexdigest()}}))
    return tmp_path


def loader(folder: Path, *, version: str = "1.1.1", status: int = 0, says: str = "") -> Path:
    """An openFPGALoader that writes down what it was called with."""
    program = folder / "bin" / PROGRAM
    called = program.with_suffix(".called")
    program.write_text(
        f'#!/bin/sh\ncase "$1" in\n--list-boards) printf "%s" "{BOARDS.get(version, "")}"; exit 0;;\n'
        f'--Version) echo "openFPGALoader v{version}"; exit 0;;\nesac\n'
        f'echo "$@" > "{called}"\nprintf "%s" "{says}" >&2\nexit {status}\n'
    )
    program.chmod(0o755)
    return called


@pytest.mark.parametrize(("permanent", "option"), [(False, ""), (True, "--write-flash ")])
@pytest.mark.parametrize(("board", "name"), [("ulx3s-85f", "ulx3s"), ("icepi-zero", "icepi-zero")])
def test_the_loader_gets_board_and_bitstream(bitstreams, board, name, permanent, option):
    called, said = loader(bitstreams), []
    flash_board(board, permanent=permanent, say=said.append)
    assert called.read_text() == f"-b {name} {option}{bitstreams / board / 'narrows.bit'}\n" and said == []


@pytest.mark.parametrize(("permanent", "option"), [(False, ""), (True, "--write-flash ")])
def test_a_loader_that_does_not_know_the_board(bitstreams, permanent, option):
    """It gets what it would know: ``CABLE`` and ``PINS`` are those of the release that does."""
    called, said = loader(bitstreams, version="0.10.0"), []
    flash_board("icepi-zero", permanent=permanent, say=said.append)
    told = "--cable ft231X --pins RI:CTS:DSR:DCD --fpga-part LFE5U-25F"
    assert called.read_text() == f"{told} {option}{bitstreams / 'icepi-zero' / 'narrows.bit'}\n"
    assert said == [
        "openFPGALoader 0.10.0 does not know the board icepi-zero, 1.0.0 does: it is told the cable (ft231X with JTAG at RI:CTS:DSR:DCD) "
        "and the part (LFE5U-25F) instead."
    ]
    flash_board("ulx3s-85f", permanent=permanent, say=said.append)
    assert called.read_text().startswith("-b ulx3s ") and len(said) == 1


def test_a_loader_that_does_not_tell_what_it_knows(bitstreams):
    called = loader(bitstreams, version="0.0")
    flash_board("icepi-zero")
    assert called.read_text().startswith("-b icepi-zero ")


@pytest.mark.parametrize("version", ["0.10.0", "1.1.1"])
def test_no_cable(bitstreams, version):
    """The program's own words, and the release that knows the board if this one does not."""
    loader(bitstreams, version=version, status=1, says=f"\x1b[31m{NO_CABLE}\x1b[0m\n")
    with pytest.raises(NarrowsError) as error:
        flash_board("icepi-zero")
    words = str(error.value)
    assert words.startswith(
        f"openFPGALoader ended with status 1 and said: {NO_CABLE.replace(chr(10), '; ')}. Is the icepi-zero connected and switched on, "
        "and may you use its USB device? `openFPGALoader --scan-usb` shows what is there."
    )
    assert words.endswith("openFPGALoader 0.10.0 does not know the board icepi-zero, 1.0.0 does: it is told the cable (ft231X with JTAG "
                          "at RI:CTS:DSR:DCD) and the part (LFE5U-25F) instead.") == (version == "0.10.0")  # fmt: skip


def test_the_command(bitstreams):
    """What it says of the fallback, and of the end; its warnings when all went well."""
    loader(bitstreams, version="0.10.0", says="careful")
    result = CliRunner().invoke(cli.app, ["flash", "--board", "icepi-zero"])
    first, second = result.stderr.splitlines()
    assert result.exit_code == 0 and "does not know the board icepi-zero, 1.0.0 does" in first and second == "narrows: careful"
    loader(bitstreams, status=3)
    result = CliRunner().invoke(cli.app, ["flash"])
    assert result.exit_code == 1 and result.stderr.startswith("narrows: openFPGALoader ended with status 3. Is the ulx3s-85f connected")


def test_the_real_program_knows_what_it_is_told(bitstreams, monkeypatch):
    """Where it is installed, and nothing is connected; everywhere the words it has in both releases."""
    found = REAL is not None and re.search("found 0 USB|No USB devices", _scan(REAL)) is not None
    if found:
        (bitstreams / "bin" / PROGRAM).symlink_to(REAL)
    else:
        loader(bitstreams, version="0.10.0", status=1, says=NO_CABLE)
    known = known_boards(str(bitstreams / "bin" / PROGRAM))
    assert known is not None and "ulx3s" in known and "board" not in known
    for permanent in (False, True):
        for board in ("ulx3s-85f", "icepi-zero"):
            with pytest.raises(NarrowsError, match=r"said: unable to open ftdi device: -3 \(device not found\); JTAG init failed") as error:
                flash_board(board, permanent=permanent)
            assert ("does not know the board" in str(error.value)) == (load_board(board).loader not in known)


def _scan(program: str) -> str:
    done = subprocess.run([program, "--scan-usb"], check=False, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_every_board_says_how_it_is_reached():
    for name in CATALOGUE:
        board = load_board(name)
        assert board.cable and re.fullmatch(r"\w+(:\w+){3}", board.pins) and re.fullmatch(r"\d+(\.\d+)+", board.loader_version)


def test_what_is_missing_is_named(bitstreams):
    with pytest.raises(NarrowsError, match="openFPGALoader is not on PATH: apt install openfpgaloader"):
        flash_board("ulx3s-85f")
    shutil.rmtree(bitstreams / "icepi-zero")
    with pytest.raises(NarrowsError, match="no bitstream for icepi-zero; `narrows build --board icepi-zero` makes one"):
        flash_board("icepi-zero")
    with pytest.raises(NarrowsError, match="no board 'ulx'"):
        flash_board("ulx")


def test_a_bitstream_that_nobody_describes_is_refused(bitstreams):
    called = loader(bitstreams)
    (bitstreams / "ulx3s-85f" / "narrows.bit").write_bytes(b"other bits")
    with pytest.raises(NarrowsError, match="is not the bitstream that .*manifest.json describes"):
        flash_board("ulx3s-85f")
    assert not called.exists()
