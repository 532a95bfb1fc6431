"""What to say of a block that no way of running it fits: the one reason that matters, and what helps, which was tried."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

from narrows.errors import DoesNotFit, Lacks, Unfit
from narrows.hw.config import EngineConfig

#: The memories that a configuration may enlarge, and how many times as large they are tried.
SETTINGS = ("activation_words", "line_words", "weight_words")
_TIMES = (2, 4, 8, 16, 32, 64)


def refusal(name: str, problems: Sequence[Unfit], config: EngineConfig, fits: Callable[[EngineConfig], bool]) -> DoesNotFit:
    """The refusal of block ``name`` for the ``problems`` of all ways to run it; ``fits`` tells whether another engine takes it."""
    reason = str(_telling(problems)[0])
    return DoesNotFit(
        lambda: f"Block {name!r} does not fit this engine: {_explained(problems, config, fits)}", block=name, reason=reason
    )


def _telling(problems: Sequence[Unfit]) -> list[Unfit]:
    """``problems``, last what another way to run the block gets around."""
    return sorted(problems, key=lambda problem: getattr(problem, "passing", False))


def _explained(problems: Sequence[Unfit], config: EngineConfig, fits: Callable[[EngineConfig], bool]) -> str:
    """The problem and its remedy, as two sentences."""
    order = _telling(problems)
    wanted = list(dict.fromkeys([*(problem.setting for problem in order if isinstance(problem, Lacks)), *SETTINGS]))
    changes = next((changes for changes in _larger(config, wanted) if _taken(config, changes, fits)), None)
    if changes is None:
        return f"{next((p for p in order if not isinstance(p, Lacks)), order[0])} Larger memories do not help: use another network."
    reason = next((p for p in order if isinstance(p, Lacks) and p.setting in changes), order[0])
    words = " and ".join(f"{setting} = {value}" for setting, value in changes.items())
    now = ", ".join(str(getattr(config, setting)) for setting in changes)
    return f"{reason} Give the configuration {words} (now {now}), or use a smaller network."


def _taken(config: EngineConfig, changes: dict[str, int], fits: Callable[[EngineConfig], bool]) -> bool:
    """Whether there is an engine with ``changes``, and it takes the block."""
    try:
        return fits(dataclasses.replace(config, **changes))
    except ValueError:
        return False


def _larger(config: EngineConfig, settings: Sequence[str]) -> Iterator[dict[str, int]]:
    """What to change: one memory, those of ``settings`` first, or else all of them."""
    for names in (*([name] for name in settings), list(SETTINGS)):
        for times in _TIMES:
            yield {name: times * getattr(config, name) for name in names}
