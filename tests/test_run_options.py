"""What is refused before any work begins, and an output that nobody can write to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_cli import invoke

from narrows import api
from narrows.api import run_model
from narrows.errors import NarrowsError
from narrows.explore import results
from narrows.output_paths import check_file, check_folder
from narrows.report import page as report_page

#: Where no file can be made, whoever asks.
NOWHERE = Path("/proc/nowhere")

PROGRAM = (sys.executable, "-m", "narrows.cli.main")


@pytest.fixture(autouse=True)
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network is read."""

    def fail(*_: object) -> None:
        raise AssertionError("it began to work")

    monkeypatch.setattr(api, "import_network", fail)


@pytest.mark.parametrize(("option", "arguments"), [
    ("--waveform", {"waveform": Path("out.vcd")}), ("--window", {"window": (1, 2)}), ("--batch", {"batch": 2}),
    ("--stream", {"stream": True}), ("--stream", {"stream": True, "batch": 4}), ("--slices", {"slices": 3}),
])  # fmt: skip
def test_golden_has_no_engine(option: str, arguments: dict) -> None:
    """So what is of the engine is refused, not ignored."""
    with pytest.raises(NarrowsError, match=rf"^golden \(NumPy\) has no engine, so no {option}: leave that out, or run on sim"):
        run_model(Path("net.tflite"), [], on="golden", **arguments)


def test_all_of_them_are_named() -> None:
    words = "so no --waveform, no --stream: leave that out"
    assert words in invoke("run", "--on", "golden", "--stream", "--waveform", "out.vcd", code=1).stderr


def test_places_that_cant_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "out" / report_page.TRACE).mkdir(parents=True)
    for arguments, words in (
        ({"report": NOWHERE}, "nothing can be written there"),
        ({"report": tmp_path / "file"}, "nothing can be written there .Not a directory"),
        ({"report": tmp_path / "file" / "out"}, "nothing can be written there"),
        ({"report": tmp_path / "out"}, f"out/{report_page.TRACE}: is a folder; name a file in it"),
        ({"waveform": tmp_path / "none" / "a.vcd"}, "a.vcd: can't be written, there is no folder .*none; make it first"),
        ({"waveform": NOWHERE}, "nowhere: can't be written"),
    ):
        with pytest.raises(NarrowsError, match=words):
            run_model(Path("net.tflite"), [], **arguments)


@pytest.mark.parametrize("command", ["run", "plan", "check", "build", "sweep", "devices"])
def test_every_commands_json(tmp_path: Path, command: str) -> None:
    for path, words in (
        (tmp_path / "none" / "x.json", f"can't be written, there is no folder {tmp_path / 'none'}; make it first"),
        (tmp_path, "is a folder; name a file in it"), (NOWHERE, "can't be written"),
    ):  # fmt: skip
        result = invoke(command, "--json", str(path), code=1)
        assert result.stderr == f"narrows: {path}: {result.stderr.removeprefix(f'narrows: {path}: ')}"
        assert words in result.stderr and result.stderr.count("\n") == 1 and result.stdout == ""


def test_the_page_of_results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(results, "make_results", None)
    for path in (tmp_path / "none.md", tmp_path):
        assert "name a page with places for the sections" in invoke("results", "--page", str(path), code=1).stderr


def test_a_look_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("kept")
    for _ in range(2):
        check_file(file)
        check_file(tmp_path / "new")
        check_folder(tmp_path)
        check_folder(tmp_path / "a" / "b")
    assert file.read_text() == "kept" and [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("command", ["plan", "plan --json -", "doctor", "devices", "run --on golden", "--help", "plan --help"])
def test_an_output_that_is_full(command: str) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*PROGRAM, *command.split()], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "narrows: the output can't be written (No space left on device)"
    assert "Traceback" not in done.stderr and "unexpected" not in done.stderr


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_an_output_that_is_closed(closed: str) -> None:
    command = " ".join(PROGRAM) + f" plan {'>&-' if closed == 'stdout' else '2>&-'}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "120"})
    assert done.returncode == 0 and done.stderr == ""
    assert ("on-chip memory" in done.stdout) == (closed == "stderr")
