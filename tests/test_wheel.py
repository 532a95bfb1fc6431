"""The wheel is complete: every module and every file of data, imported far from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from import_graph import PACKAGES, ImportGraph

ROOT = Path(__file__).resolve().parents[1]

#: Imports every module it is given, none of them from the checkout.
IMPORT_ALL = """
import importlib, sys
from pathlib import Path
home = Path(sys.argv[1])
for name in sys.argv[2:]:
    module = importlib.import_module(name)
    assert Path(module.__file__).is_relative_to(home), (name, module.__file__)
import narrows
assert narrows.__version__
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with what a wheel of this checkout installs."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    # Built from what git knows, as a release would be: nothing that lies about gets in.
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout.decode().split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "source" / name).write_bytes((ROOT / name).read_bytes())
    wheel = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(folder / "source")]
    subprocess.run(wheel, check=True, capture_output=True)
    (made,) = folder.glob("narrows-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(folder / "site"), str(made)], check=True, capture_output=True)
    return folder / "site"


def test_every_module_imports_outside_the_checkout(installed, tmp_path):
    modules = sorted(ImportGraph(ROOT).modules)
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", IMPORT_ALL, str(installed), *modules]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_every_file_is_there(installed):
    """Beside the modules what they read: networks, pictures, templates, sources of the simulator, engines."""
    for package, folder in PACKAGES.items():
        place = installed.joinpath(*package.split("."))
        names = subprocess.run(["git", "ls-files", "-z", folder], cwd=ROOT, check=True, capture_output=True).stdout.decode().split("\0")
        missing = [name for name in filter(None, names) if not (place / Path(name).relative_to(folder)).exists()]
        assert not [name for name in missing if not name.startswith("sw/data/")], package
        assert all(name.endswith((".py", ".md", ".json")) for name in missing), missing  # how the embedded network was made


def test_folders_of_data_are_not_taken_for_packages():
    """With this at its default, true, setuptools warns of every folder of data that has an importable name."""
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["include-package-data"] is False
