"""The text of everything below a folder, for names of what is made from it: a file in any sub-folder counts."""

from __future__ import annotations

from pathlib import Path


def sources(folder: Path, *, suffixes: tuple[str, ...] = (".py",)) -> list[tuple[str, str]]:
    """(path below ``folder``, text) of every file with one of ``suffixes``, in order of the paths."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in suffixes and path.is_file())
    return [(path.relative_to(folder).as_posix(), path.read_text()) for path in paths]
