"""Looks at where results are to be written before the work for them begins."""

from __future__ import annotations

import tempfile
from pathlib import Path

from narrows.errors import NarrowsError


def check_file(path: Path) -> None:
    """Raises :class:`NarrowsError` if the file ``path`` can't be written; what is in it stays."""
    try:
        if path.is_file():
            path.open("ab").close()
        elif path.is_dir():
            raise NarrowsError(f"{path}: is a folder; name a file in it.")
        elif not path.exists() and not path.parent.is_dir():
            raise NarrowsError(f"{path}: can't be written, there is no folder {path.parent}; make it first.")
        elif not path.exists():
            _try(path.parent)
    except OSError as error:
        raise NarrowsError(f"{path}: can't be written ({error.strerror}); name another file.") from None


def check_folder(path: Path) -> None:
    """Raises :class:`NarrowsError` if files can't be written into the folder ``path``, which need not be there, nor those above it."""
    try:
        _try(next(folder for folder in (path, *path.absolute().parents) if folder.exists()))
    except OSError as error:
        raise NarrowsError(f"{path}: nothing can be written there ({error.strerror}); name another folder.") from None


def _try(folder: Path) -> None:
    """Raises ``OSError`` if no file can be made in ``folder``."""
    with tempfile.TemporaryFile(dir=folder):
        pass
