"""Folders are rooms: imports go one way, none in a circle, and the map in the documentation is the tree."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from import_graph import FLOORS, PACKAGES, ImportGraph

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def graph() -> ImportGraph:
    return ImportGraph(ROOT)


def test_imports_go_one_way(graph):
    assert graph.back() == []
    assert graph.circles() == []


def test_every_room_has_its_floor(graph):
    known = {room for floor in FLOORS for room in floor}
    assert set(graph.rooms) - {"narrows", "hw"} <= known
    assert known <= set(graph.rooms)


def test_an_arrow_back_is_seen(tmp_path):
    """And a circle, and a room that nobody knows."""
    for path, text in {
        "sw/graph/network.py": "from narrows.api import run_model", "sw/api.py": "from narrows.graph import network",
        "sw/attic/box.py": "import narrows.errors", "sw/errors.py": "", "sw/cli/main.py": "import narrows.api",
    }.items():  # fmt: skip
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    graph = ImportGraph(tmp_path)
    assert graph.circles() == [("api", "graph")]
    assert graph.back() == [("narrows.attic.box", "narrows.errors"), ("narrows.graph.network", "narrows.api")]


def test_folders_are_small(graph):
    """Who opens one sees all of it."""
    assert max(graph.rooms.values()) <= 14


def test_every_package_is_installed():
    """The list in pyproject.toml is the tree's."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        ".".join([package, *path.parent.relative_to(ROOT / folder).parts])
        for package, folder in PACKAGES.items() for path in (ROOT / folder).rglob("__init__.py")
    }  # fmt: skip
    assert sorted(listed) == sorted(found)


def test_the_map_of_folders_is_the_tree():
    """``docs/architecture.md`` has a line for each folder, and says of each what its ``__init__`` says first."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    mapped = dict(re.findall(r"^\| `((?:sw|hw|sim|boards)/[\w/]*)` \| ([^|]*) \|$", page, re.MULTILINE))
    paths = [path for folder in PACKAGES.values() for path in (ROOT / folder).rglob("__init__.py")]
    tree = {f"{path.parent.relative_to(ROOT).as_posix()}/": path for path in paths}
    assert sorted(mapped) == sorted(tree)
    for folder, path in tree.items():
        first = path.read_text().split('"""')[1].split("\n")[0].rstrip(".")
        assert first.lower().startswith(mapped[folder].strip().lower().rstrip(".")), (folder, first)
