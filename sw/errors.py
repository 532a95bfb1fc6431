"""What can go wrong, as exceptions that a user can act on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class NarrowsError(Exception):
    """An error a user can act on: one message, shown without a traceback.

    ``operators``: where a network is refused that was looked at as a whole, the rows of :mod:`narrows.compiler.operator_table`.
    """

    operators: Sequence[dict[str, Any]] = ()


class ImportRefused(NarrowsError):
    """The model can't be run exactly: names the operator, the tensor, the reason and the way out.

    Where it is about one operator, ``op`` is its index in the file, and ``reason`` what the message says after naming it.
    """

    def __init__(self, message: str, *, op: int | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.op, self.reason = op, reason


class Unfit(ValueError):
    """A way to run something that this engine can't: a field of a unit is too small, a geometry is none of its. Another way may do."""


class Lacks(Unfit):
    """A way to run a block for which there is too little of ``setting``, one of the engine's memories.

    ``passing``: there are other ways to run the block, which tell more of what it lacks.
    """

    def __init__(self, reason: str, setting: str, *, passing: bool = False) -> None:
        super().__init__(reason)
        self.setting, self.passing = setting, passing


class DoesNotFit(NarrowsError):
    """The network does not fit this engine: which block (``block``, its name), what it needs (``reason``) and what to change."""

    def __init__(self, message: str | Callable[[], str], block: str | None = None, reason: str = "") -> None:
        """``message`` may be a function: what helps takes time to find, and most refusals are of one way of many and never read."""
        super().__init__(message)
        self.block, self.reason, self._message = block, reason, message

    def __str__(self) -> str:
        if not isinstance(self._message, str):
            self._message = self._message()
        return self._message
