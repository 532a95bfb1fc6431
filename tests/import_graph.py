"""Who imports whom: rooms, arrows between them, circles, arrows against the direction.

    python tests/import_graph.py            this checkout's figures
    python tests/import_graph.py FOLDER     those of another one

A room is a package, or a module that lies beside the packages. :data:`FLOORS` says which rooms there are, from the ground up: a
room imports from floors below its own only.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter, defaultdict
from pathlib import Path

#: Where each package's files lie.
PACKAGES = {"narrows": "sw", "narrows.hw": "hw", "narrows.sim": "sim", "narrows.boards": "boards"}

FLOORS = (
    ("errors", "hw.parts"),
    ("hw.dram",),
    ("hw.config",),
    ("hw.activity", "hw.activations", "hw.arithmetic"),
    ("hw.array", "hw.depthwise", "hw.writeback", "hw.stem", "hw.link"),
    ("hw.control",),
    ("hw.engine",),
    ("hw.budget", "hw.top"),
    ("hw.system",),
    ("boards", "config_file", "graph", "output_paths", "tools"),
    ("sim", "tflite"),
    ("bitstream", "golden", "inputs", "link"),
    ("importer",),
    ("plan",),
    ("program",),
    ("cycles",),
    ("schedule",),
    ("compiler",),
    ("device",),
    ("report",),
    ("check", "run_options"),
    ("api",),
    ("explore",),
    ("cli",),
)


class ImportGraph:
    """The arrows between a checkout's modules, and between their rooms."""

    def __init__(self, root: Path):
        self.modules = {
            name: path
            for package, folder in PACKAGES.items() for path in sorted((root / folder).rglob("*.py"))
            for name in (_name(package, path.relative_to(root / folder)),) if ".data" not in name
        }  # fmt: skip
        self.arrows: dict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
        for name, path in self.modules.items():
            for target in self._imported(path):
                if self.room(name) != self.room(target):
                    self.arrows[self.room(name), self.room(target)].add((name, target))

    def room(self, module: str) -> str:
        """The room of a module, without the package's name in front."""
        parent = module.rpartition(".")[0]
        room = module if parent in ("", "narrows", "narrows.hw") else parent
        if room.startswith(("narrows.sim", "narrows.boards")):
            room = ".".join(room.split(".")[:2])
        return room.removeprefix("narrows.")

    @property
    def rooms(self) -> Counter[str]:
        """Every room, and the modules in it."""
        return Counter(self.room(module) for module in self.modules)

    def circles(self) -> list[tuple[str, ...]]:
        """Groups of rooms that can reach each other."""
        reach = {room: {b for a, b in self.arrows if a == room} for room in self.rooms}
        for _ in reach:
            for found in reach.values():
                found.update(*(reach[room] for room in tuple(found)))
        return sorted({tuple(sorted({room} | {b for b in reach[room] if room in reach[b]})) for room in reach if room in reach[room]})

    def back(self) -> list[tuple[str, str]]:
        """(module, what it imports) against the direction of :data:`FLOORS`."""
        floor = {room: n for n, rooms in enumerate(FLOORS) for room in rooms} | {"narrows": len(FLOORS), "hw": -1}
        wrong = [pair for pair in self.arrows if floor.get(pair[0], -1) <= floor.get(pair[1], len(FLOORS))]
        return sorted(arrow for pair in wrong for arrow in self.arrows[pair])

    def _imported(self, path: Path) -> set[str]:
        found = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                found.update(name if (name := f"{node.module}.{alias.name}") in self.modules else node.module for alias in node.names)
            elif isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
        return {name for name in found if name in self.modules}


def _name(package: str, path: Path) -> str:
    return ".".join([package, *path.with_suffix("").parts]).removesuffix(".__init__")


def main(root: Path) -> None:
    """Print a checkout's figures."""
    graph = ImportGraph(root)
    print(f"{len(graph.modules)} modules in {len(graph.rooms)} rooms; {len(graph.arrows)} arrows between rooms")
    print(f"largest folders: {', '.join(f'{room} {count}' for room, count in _folders(graph).most_common(5))}")
    print(f"circles: {len(graph.circles())}{''.join(f'{chr(10)}  {circle}' for circle in graph.circles())}")
    print(f"arrows against the direction: {len(graph.back())}{''.join(f'{chr(10)}  {a} -> {b}' for a, b in graph.back())}")


def _folders(graph: ImportGraph) -> Counter[str]:
    return Counter(path.parent.name for path in graph.modules.values())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1])
