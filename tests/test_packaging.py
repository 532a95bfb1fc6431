"""What is installed: all that the source tree's packages hold, and nothing that setuptools would warn of."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


@pytest.mark.parametrize("package", SETTINGS["packages"])
def test_every_file_of_a_package_is_listed(package):
    folder = ROOT / SETTINGS["package-dir"][package]
    listed = {path for pattern in SETTINGS["package-data"].get(package, ()) for path in folder.glob(pattern)}
    there = {path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {str(path.relative_to(folder)) for path in there - listed - set(folder.glob("*.py"))} == set()


def test_folders_of_data_are_not_taken_for_packages():
    # With this at its default, true, setuptools warns of every folder of data that has an importable name.
    assert SETTINGS["include-package-data"] is False
