"""Names of the classes: from a text file or from inside the model, fitted to the number of classes."""

from __future__ import annotations

import lzma
import re
import zipfile
import zlib
from collections.abc import Sequence
from math import prod
from pathlib import Path

from narrows.errors import NarrowsError
from narrows.tflite.model import Model

BACKGROUND = "background"

#: What the class that is none of the others is called.
_BACKGROUNDS = {BACKGROUND, "__background__", "???", "dummy"}
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}  # of byte order; UTF-8's is known to utf-8-sig
_MAX_LABELS = 1 << 20  # bytes


def read_labels(path: Path) -> list[str]:
    """A name per line of a text in UTF-8, or in UTF-16 with a byte order mark. Raises :class:`NarrowsError`."""
    try:
        content = path.read_bytes()
        names = _lines(content.decode(_MARKS.get(content[:2], "utf-8-sig")))
    except (OSError, UnicodeDecodeError) as error:
        raise NarrowsError(f"{path}: no file of labels ({error}); give a text file with a name per line") from None
    if not names:
        raise NarrowsError(f"{path}: no file of labels (it is empty); give a text file with a name per line")
    return names


def _lines(text: str) -> list[str]:
    """The names in ``text``, without the blank lines at its end."""
    lines = [line.strip() for line in re.split("\r\n|\r|\n", text)]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def labels_inside(path: str | Path) -> list[str] | None:
    """The labels packed into the file (TFLite metadata appends a zip with text files), or None."""
    try:
        with zipfile.ZipFile(path) as archive:
            texts = [f for f in archive.infolist() if f.filename.endswith(".txt") and f.file_size <= _MAX_LABELS]
            texts.sort(key=lambda f: "label" not in f.filename.lower())
            if not texts:
                return None
            return _lines(archive.read(texts[0]).decode("utf-8-sig", "replace")) or None
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError):
        return None


def names_for(path: str | Path, labels: Path | None, model: Model) -> tuple[list[str] | None, str | None]:
    """A name for each score of the first output of ``model``, which is the file ``path``, and what has to be said of the names: from the
    file ``labels``, else from inside the model.

    Names that don't fit are a :class:`NarrowsError` if they were asked for; those inside the model are left out, and that is said.
    """
    names = labels_inside(path) if labels is None else read_labels(labels)
    if names is None:
        return None, None
    classes = prod(model.tensors[model.outputs[0]].shape)
    counts = f"{'the labels inside the model' if labels is None else labels}: {len(names):,} names for {classes:,} classes"
    fitted = fit(names, classes)
    if fitted is not None:
        return fitted[0], fitted[1] and f"{counts}: {fitted[1]}"
    if labels is None:
        return None, f"{counts}: left out"
    raise NarrowsError(f"{counts}; give a file with a name for each class, or leave it out")


def fit(names: Sequence[str], classes: int) -> tuple[list[str], str | None] | None:
    """``names`` for ``classes`` classes, and in words how they were shifted for a background; None if they fit neither way."""
    has_background = bool(names) and names[0].lower() in _BACKGROUNDS
    if len(names) == classes:
        return list(names), None
    if len(names) == classes - 1 and not has_background:
        return [BACKGROUND, *names], f"class 0 is taken as {BACKGROUND}, the first name as class 1"
    if len(names) == classes + 1 and has_background:
        return list(names[1:]), f"the first name, {names[0]}, is left out, the second is class 0"
    return None
