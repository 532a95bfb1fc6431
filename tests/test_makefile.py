"""What `make` passes on: names with spaces, quotes and all."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

#: What the make that runs the tests leaves in the environment.
PASSED_DOWN = ("MODEL", "IMAGE", "MODELS", "ARGS", "BOARD", "JOBS", "MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL")


@pytest.fixture
def passed_on(tmp_path: Path):
    """Runs a target with a program in place of `narrows` that says what it was given; returns the arguments."""
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    for stamp in ("pyvenv.cfg", ".narrows"):  # newer than all they are made from
        (venv / stamp).touch()
    program = venv / "bin" / "narrows"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)

    def make(target: str, **variables: str) -> list[str]:
        clean = {name: value for name, value in os.environ.items() if name not in PASSED_DOWN}
        settings = [f"{name}={value}" for name, value in variables.items()]
        command = ["make", "-s", target, f"VENV={venv}", *settings]
        return subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, check=True).stdout.splitlines()

    return make


@pytest.mark.parametrize("name", ["cat.png", "my pics/a b.png", "it's.png", 'a "b".png', "*.png", "my pics", "ü;x&y.png"])
def test_a_name_is_one_argument(passed_on, name):
    assert passed_on("sim", IMAGE=name) == ["run", "--image", name]
    assert passed_on("sim", MODEL=name, IMAGE=name) == ["run", name, "--image", name]
    assert passed_on("results", MODELS=name)[:3] == ["results", "--models", name]


def test_several_images_go_into_args(passed_on):
    assert passed_on("sim") == ["run"]
    given = passed_on("sim", IMAGE="a b.png", ARGS="--image 'c d.png' --top 3")
    assert given == ["run", "--image", "a b.png", "--image", "c d.png", "--top", "3"]
