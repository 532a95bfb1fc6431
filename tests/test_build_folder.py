"""The folder of builds: what is said where nothing can be written, and what interrupted builds leave."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from test_simulator import Filler

from narrows.bitstream.cache import cached
from narrows.errors import NarrowsError
from narrows.sim import build
from narrows.sim.build_folder import build_directory, locked, remove_leftovers, writing

#: Some user who is not this one.
NOBODY = 65534


@contextmanager
def as_somebody() -> Iterator[None]:
    """Without the rights of root, who may write everywhere."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_the_folder_is_absolute(monkeypatch, tmp_path: Path):
    """Programs run inside of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NARROWS_BUILD", "here")
    assert build_directory() == tmp_path / "here"
    monkeypatch.setenv("NARROWS_BUILD", "")
    assert build_directory() == Path(build.HERE).parent / "build"


def test_what_is_said_where_nothing_can_be_written(monkeypatch, tmp_path: Path):
    """One sentence, with the way out; also where a file stands in the way, and of a bitstream."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("NARROWS_BUILD", str(tmp_path / "file"))
    sentence = r"file/\w+: nothing can be built there \(Not a directory.*\); name a folder of your own in NARROWS_BUILD\.$"
    with pytest.raises(NarrowsError, match=sentence):
        build.build(Filler)
    with pytest.raises(NarrowsError, match=sentence):
        cached(build_directory() / "boards", "step", lambda folder: None)


def test_another_users_folder(tmp_path: Path):
    closed = tmp_path / "sim"
    closed.mkdir()
    closed.chmod(0o555)
    for parent in tmp_path, *tmp_path.parents:  # pytest's own are closed to others, one more of them in a worker
        if not parent.stat().st_mode & 0o001:
            parent.chmod(0o755)
    sentence = rf"{closed}: nothing can be built there \(Permission denied, .*\); name a folder of your own in NARROWS_BUILD"
    with pytest.raises(NarrowsError, match=sentence), as_somebody(), writing(closed), locked(closed / "0.lock"):
        pass
    with pytest.raises(NarrowsError, match=sentence), as_somebody():
        cached(closed, "step", lambda folder: None)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk(monkeypatch, tmp_path: Path, number: int):
    """Nothing is left there, neither of this build nor of one before: it makes room."""
    monkeypatch.setenv("NARROWS_BUILD", str(tmp_path))
    (tmp_path / "sim" / f"{'0' * 16}.interrupted").mkdir(parents=True)

    def fail(*_: object) -> str:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(build, "to_verilog", fail)
    sentence = f"{tmp_path}/sim: the disk is full; make room there, or name a folder on another disk in NARROWS_BUILD"
    with pytest.raises(NarrowsError, match=sentence):
        build.build(Filler)
    assert {path.suffix for path in (tmp_path / "sim").iterdir()} == {".lock"}


@pytest.mark.parametrize("status", [0, 1])
def test_a_program_that_has_no_room(monkeypatch, tmp_path: Path, status: int):
    """Some fail without a word of it, some write half a file and are content."""
    verilator = tmp_path / "verilator" / "bin" / "verilator_bin"
    verilator.parent.mkdir(parents=True)
    verilator.write_text(f"#!/bin/sh\nprintf '{{' > Vtop.json\nexit {status}\n")
    verilator.chmod(0o755)
    monkeypatch.setenv("NARROWS_BUILD", str(tmp_path))
    monkeypatch.setattr(build, "verilator_root", lambda: tmp_path / "verilator")
    with pytest.raises(NarrowsError, match="did not build"):
        build.build(Filler)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(10**9, 10**9, 4096))
    with pytest.raises(NarrowsError, match="the disk is full"):
        build.build(Filler)


def test_a_compiler_that_is_not_there(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("NARROWS_BUILD", str(tmp_path))
    monkeypatch.setenv("CXX", "/no/such/compiler --fast")
    with pytest.raises(NarrowsError, match=r"/no/such/compiler can't be started \(No such file or directory\); `narrows doctor`"):
        build.build(Filler)


def test_verilators_report_is_json_but_for_other_letters():
    """As it writes of a folder `für "x" \\303`."""
    text = r'{"sources": {"global": ["/f\303\274r \"x\" \\303/a.cpp"], "classes_fast": ["b.cpp", "/\\\\303\303/c.cpp"]}}'
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)
    assert build.sources_of(text) == {"global": ["a.cpp"], "classes_fast": ["b.cpp", "c.cpp"]}


def test_what_interrupted_builds_left_goes(tmp_path: Path):
    """But nothing of builds that run, or that is no build's."""
    ours, theirs, gone = "0" * 16, "1" * 16, "2" * 16
    left = [tmp_path / f"{name}.abcd_123" for name in (ours, theirs, gone)]
    kept = [tmp_path / name for name in (ours, "holiday.pictures", f"{gone}.lock.d", "3" * 16)]
    for folder in (*left, *kept):
        folder.mkdir()
        (folder / "log.txt").touch()
    with locked(tmp_path / f"{ours}.lock"), locked(tmp_path / f"{theirs}.lock"):
        remove_leftovers(tmp_path, ours=ours)
        assert [folder.exists() for folder in left] == [False, True, False]
    with locked(tmp_path / f"{ours}.lock"):
        remove_leftovers(tmp_path, ours=ours)
    assert not any(folder.exists() for folder in left)
    assert all((folder / "log.txt").exists() for folder in kept)


#: A build that waits in the middle until it is killed, or is interrupted.
WAITING = """
import sys, time
sys.path.insert(0, sys.argv[1])
from test_simulator import Filler
from narrows.sim import build
def wait(*_):
    print("building", flush=True)
    time.sleep(600)
build.to_verilog = wait
build.build(Filler)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_build_that_is_ended(monkeypatch, tmp_path: Path, how: signal.Signals):
    """It cleans up if it can, else the next build does, of whatever design; while it runs nobody touches its folder."""
    monkeypatch.setenv("NARROWS_BUILD", str(tmp_path))
    parent = tmp_path / "sim"
    command = [sys.executable, "-c", WAITING, str(Path(__file__).parent)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout.readline() == "building\n"
    work, = (path for path in parent.iterdir() if path.is_dir())
    remove_leftovers(parent, ours="")
    assert work.exists()
    process.send_signal(how)
    process.wait(timeout=60)
    process.stdout.close()
    assert work.exists() == (how == signal.SIGKILL)
    remove_leftovers(parent, ours="")
    assert not work.exists()
