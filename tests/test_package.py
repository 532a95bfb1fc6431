"""The package is found from everywhere, also one folder above a checkout that has its name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import narrows

ROOT = Path(narrows.__file__).resolve().parent.parent

ASK = """
import json
from importlib.resources import files
import narrows, narrows.api, narrows.boards, narrows.hw.config, narrows.sim.build
from narrows import Device, api
here = [module.__file__ for module in (narrows, api, narrows.hw, narrows.sim, narrows.boards)]
print(json.dumps([*here, str(files("narrows") / "data"), narrows.__doc__.split(":")[0], narrows.__name__, Device.__module__]))
"""


def asked(folder: Path) -> list[str]:
    """What ``ASK`` says when started in ``folder``."""
    done = subprocess.run([sys.executable, "-c", ASK], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [str(Path(text).resolve()) if "/" in text else text for text in json.loads(done.stdout)]


@pytest.fixture(params=["narrows", "elsewhere", ""])
def folder(request, tmp_path: Path) -> Path:
    """One with a checkout of that name in it, or the checkout itself."""
    (tmp_path / (request.param or "any")).symlink_to(ROOT)
    return tmp_path if request.param else ROOT


def test_it_is_the_same_from_everywhere(folder: Path):
    names = [f"{name}/__init__.py" for name in ("hw", "sim", "boards")]
    paths = [str(ROOT / name) for name in ("sw/__init__.py", "sw/api.py", *names, "sw/data")]
    assert asked(folder) == [*paths, "Narrows", "narrows", "narrows.device.device"]
