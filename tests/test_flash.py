"""What happens before openFPGALoader gets a bitstream, and what it is called with."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from narrows.bitstream.flash import flash_board
from narrows.errors import NarrowsError


@pytest.fixture
def bitstream(tmp_path, monkeypatch) -> Path:
    """A bitstream with its manifest, and nothing on PATH."""
    monkeypatch.setenv("NARROWS_BUILD", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    folder = tmp_path / "ulx3s-85f"
    folder.mkdir()
    (folder / "narrows.bit").write_bytes(b"bits")
    (folder / "manifest.json").write_text(json.dumps({"bitstream": {"sha256": hashlib.sha256(b"bits").hexdigest()}}))
    return folder / "narrows.bit"


def loader(bitstream: Path, *, status: int = 0) -> Path:
    """An openFPGALoader that writes down what it was called with."""
    program = bitstream.parent.parent / "bin" / "openFPGALoader"
    called = program.with_suffix(".called")
    program.write_text(f'#!/bin/sh\necho "$@" > {called}\nexit {status}\n')
    program.chmod(0o755)
    return called


@pytest.mark.parametrize(("permanent", "option"), [(False, ""), (True, "--write-flash ")])
def test_the_loader_gets_board_and_bitstream(bitstream, permanent, option):
    called = loader(bitstream)
    flash_board("ulx3s-85f", permanent=permanent)
    assert called.read_text() == f"-b ulx3s {option}{bitstream}\n"


def test_what_is_missing_is_named(bitstream):
    with pytest.raises(NarrowsError, match="openFPGALoader is not on PATH: apt install openfpgaloader"):
        flash_board("ulx3s-85f")
    with pytest.raises(NarrowsError, match="no bitstream for icepi-zero; `narrows build --board icepi-zero` makes one"):
        flash_board("icepi-zero")
    with pytest.raises(NarrowsError, match="no board 'ulx'"):
        flash_board("ulx")
    loader(bitstream, status=1)
    with pytest.raises(NarrowsError, match="status 1: is the ulx3s-85f connected and switched on"):
        flash_board("ulx3s-85f")


def test_a_bitstream_that_nobody_describes_is_refused(bitstream):
    called = loader(bitstream)
    bitstream.write_bytes(b"other bits")
    with pytest.raises(NarrowsError, match="is not the bitstream that .*manifest.json describes"):
        flash_board("ulx3s-85f")
    assert not called.exists()
