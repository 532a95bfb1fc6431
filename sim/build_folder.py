"""The folder in which builds are kept: where it is, who works in it, and what to do when it can't be written."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from narrows.errors import NarrowsError

ROOT = Path(__file__).resolve().parent.parent

#: A folder in which a build is, or was: the name of its result, and letters of its own.
_WORK = re.compile(r"([0-9a-f]{16})\.\w+")

#: A disk with less than this left, in bytes, is full for a compiler.
_LITTLE = 1 << 20


def build_directory() -> Path:
    """Where builds are kept: ``NARROWS_BUILD``, else build/ of the source tree, else the user's cache."""
    if named := os.environ.get("NARROWS_BUILD"):
        return Path(named).absolute()
    if (ROOT / "pyproject.toml").exists():
        return ROOT / "build"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "narrows"


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Around what writes into ``folder``: raises :class:`NarrowsError` with what to do where that is impossible."""
    try:
        yield
    except NarrowsError:
        # A program without room often says something else, or nothing.
        if _is_full(folder):
            raise _full(folder) from None
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _full(folder) from None
        where = f", {error.filename}" if error.filename not in (None, str(folder)) else ""
        raise NarrowsError(
            f"{folder}: nothing can be built there ({error.strerror}{where}); name a folder of your own in NARROWS_BUILD."
        ) from None


def _full(folder: Path) -> NarrowsError:
    return NarrowsError(f"{folder}: the disk is full; make room there, or name a folder on another disk in NARROWS_BUILD.")


def _is_full(folder: Path) -> bool:
    with suppress(OSError):
        return shutil.disk_usage(folder).free < _LITTLE
    return False


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock in the file ``path``, waiting for whoever has it."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def remove_leftovers(parent: Path, *, ours: str) -> None:
    """Remove the folders in ``parent`` of builds that were interrupted: those whose lock nobody holds.

    Whoever calls holds the lock of the result ``ours``. What can't be removed, another user's say, stays.
    """
    for folder in parent.iterdir():
        if (found := _WORK.fullmatch(folder.name)) is None or not folder.is_dir():
            continue
        with suppress(OSError):
            if found[1] == ours:
                shutil.rmtree(folder)
                continue
            with (parent / f"{found[1]}.lock").open("w") as file:
                # Not waited for: whoever has it is building there.
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
