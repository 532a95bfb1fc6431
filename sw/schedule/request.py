"""What the schedule asks of the planner for one block, and its answer where that can't be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from narrows.graph.network import NarrowsError
from narrows.plan.plan import Region, Transfer

#: Share of the weight memory a block may keep to itself: the rest prefetches for the next block. All of it if nothing else fits.
RESIDENT_SHARE = 0.6


class Lacks(ValueError):
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


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of one block: for how many ``images``, from where, and to where.

    ``where``: a region of activation memory or a tensor in external memory with the block's input; ``None``: ``picture``. ``into``:
    where the output must go; ``spill``: it must go to external memory. ``limit``: words of a bank that may be used. ``resident``:
    share of weight memory a block may keep. ``addend``: where its shortcut lies, if that is not its input; ``keep``: regions that later
    blocks read.
    """

    where: Region | Transfer | None
    limit: int
    picture: Transfer | None = None
    images: int = 1
    into: Region | None = None
    spill: bool = False
    resident: float = RESIDENT_SHARE
    slices: int | None = None
    addend: Region | None = None
    keep: tuple[Region, ...] = ()
