"""What the schedule asks of the planner for one block, and its answer where that can't be."""

from __future__ import annotations

from dataclasses import dataclass

from narrows.plan.plan import Region, Transfer

#: Share of the weight memory a block may keep to itself: the rest prefetches for the next block. All of it if nothing else fits.
RESIDENT_SHARE = 0.6


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
