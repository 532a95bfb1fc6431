"""Intervals in which units of the simulated board do something: what traces are made of."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from narrows.hw.activity import ACTIVITY

#: What can be watched, and its bit: the design's activity from 0 on, the commands at the SDRAM's pins from 32 on (sim/watch.h).
WATCHED = {name: bit for bit, name in (*enumerate(ACTIVITY), *enumerate(("read", "write", "refresh"), 32))}


@dataclass(frozen=True, slots=True)
class Interval:
    """``what`` was so in ``busy`` of the cycles from ``begin`` up to but not including ``end``, the first and the last among them."""

    line: str
    what: str
    begin: int
    end: int
    busy: int


class CInterval(ctypes.Structure):
    """An interval as the simulator's library hands it over."""

    _fields_ = tuple((name, ctypes.c_uint64) for name in ("line", "bit", "begin", "end", "busy"))


def masks(lines: Mapping[str, Sequence[str]]) -> ctypes.Array[ctypes.c_uint64]:
    """The bits of every line."""
    words = [sum(1 << WATCHED[name] for name in names) for names in lines.values()]
    return (ctypes.c_uint64 * len(words))(*words)


def named(intervals: Iterable[CInterval], lines: Sequence[str]) -> list[Interval]:
    """``intervals`` line by line, each line's in order of time."""
    names = {bit: name for name, bit in WATCHED.items()}
    ordered = sorted(intervals, key=lambda interval: (interval.line, interval.begin))
    return [Interval(lines[int(found.line)], names[found.bit], found.begin, found.end, found.busy) for found in ordered]
