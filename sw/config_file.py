"""An engine described by a file: TOML whose keys are the fields of :class:`EngineConfig`."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from narrows.errors import NarrowsError
from narrows.hw.config import EngineConfig


def load_config(path: Path) -> EngineConfig:
    """The engine that the file at ``path`` describes; what it leaves out has its default.

    Raises :class:`NarrowsError`, which names the key and what it may be.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NarrowsError(f"{path}: can't be read ({error.strerror}); give a TOML file of engine settings") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise NarrowsError(f"{path}: not TOML ({error}); a setting is a line like `group = 8`") from None
    known = {field.name: field.default for field in fields(EngineConfig)}
    choices = get_type_hints(EngineConfig)
    for key, value in table.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}."
            raise NarrowsError(f"{path}: there is no setting {key!r}; {hint}")
        _check(path, key, value, known[key], get_args(choices[key]))
    try:
        return EngineConfig(**table)
    except ValueError as error:
        raise NarrowsError(f"{path}: {error}") from None


def _check(path: Path, key: str, value: Any, default: Any, choices: tuple[Any, ...]) -> None:
    if choices and value not in choices:
        raise NarrowsError(f"{path}: {key} must be {' or '.join(map(repr, choices))}, not {value!r}.")
    # bool is an int to isinstance(), and not one to a reader.
    if type(value) is not type(default):
        raise NarrowsError(f"{path}: {key} must be a {'whole number' if isinstance(default, int) else 'string'}, not {value!r}.")
