"""Steps of a build, each kept in a folder that is named by all it was made from."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from narrows.sim.build_folder import locked, writing


def digest(*parts: object) -> str:
    """Names a result by what it is made from."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def cached(parent: Path, name: str, make: Callable[[Path], object]) -> Path:
    """The folder ``name`` in ``parent``; ``make`` fills it unless it is there.

    A second process that wants the same one waits. A folder has its name only when it is complete; what a failed step left, its log
    before all, is in ``name.part``.
    """
    folder = parent / name
    with writing(parent):
        parent.mkdir(parents=True, exist_ok=True)
        with locked(parent / f"{name}.lock"):
            if not folder.exists():
                part = parent / f"{name}.part"
                shutil.rmtree(part, ignore_errors=True)
                part.mkdir()
                make(part)
                part.rename(folder)
    return folder
