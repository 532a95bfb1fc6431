"""What every unit of the simulated engine did when, as a trace for Perfetto (ui.perfetto.dev) or chrome://tracing.

The format is Chrome's trace events, a JSON object with ``traceEvents``: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU.
A line is a thread of one process; slices are complete events ("X") in microseconds at the engine's clock, with a resolution of 1 ns.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from narrows.errors import NarrowsError
from narrows.sim.watch import Interval

#: Lines of a trace in their order, and what is seen on each (:data:`narrows.sim.watch.WATCHED`).
LINES = {
    "array: expand": ("expand",),
    "array: project": ("project",),
    "array: waits for": ("array_waits_weights", "array_waits_data"),
    "line buffers": ("line_buffers",),
    "depthwise": ("depthwise",),
    "depthwise: waits for": ("depthwise_waits_weights", "depthwise_waits_data"),
    "writeback": ("writeback",),
    "load": ("stem", "load"),
    "store": ("store",),
    "program reader": ("program",),
    "SDRAM": ("read", "write", "refresh"),
}

#: Names of slices that are not named after their block.
_NAMES = {
    "array_waits_weights": "weights", "array_waits_data": "data", "depthwise_waits_weights": "weights", "depthwise_waits_data": "data",
    "stem": "patches of the picture", "load": "tensor", "program": "program", "read": "read", "write": "write", "refresh": "refresh",
}  # fmt: skip

#: Pauses of so many cycles never end a slice. The work of two blocks is further apart, in any unit that a block waits for.
PAUSE = 8

#: Slices at most, which are some 130 bytes each: longer pauses are passed over until there are no more than these.
MOST_SLICES = 100_000


def trace(intervals: Sequence[Interval], runs: Sequence[dict[str, Any]], *, clock_mhz: float, most: int = MOST_SLICES) -> dict[str, Any]:
    """The trace of a frame: ``intervals`` by line in order of time (cycles from the frame's start on), ``runs`` as in a report.

    A slice's ``args``: ``cycle``, the first one; ``busy``, cycles in which it was so, the others being pauses; ``block``.
    ``otherData.longest_pause``: cycles up to which a pause does not end a slice.
    """
    borders = [run["begin"] for run in runs]
    intervals, pause = _few(intervals, borders, most)
    numbers = {name: number for number, name in enumerate(("blocks", *LINES), 1)}
    events: list[dict[str, Any]] = [{"ph": "M", "pid": 1, "tid": 0, "ts": 0, "name": "process_name", "args": {"name": "Narrows engine"}}]
    for name, number in numbers.items():
        events.append({"ph": "M", "pid": 1, "tid": number, "ts": 0, "name": "thread_name", "args": {"name": name}})
        events.append({"ph": "M", "pid": 1, "tid": number, "ts": 0, "name": "thread_sort_index", "args": {"sort_index": number}})

    def put(line: str, name: str, begin: int, end: int, arguments: dict[str, Any]) -> None:
        # Both ends are rounded to nanoseconds in the same way, so that neighbours still touch and never overlap.
        first, last = (round(1000 * cycle / clock_mhz) for cycle in (begin, end))
        row = {"ph": "X", "pid": 1, "tid": numbers[line], "ts": first / 1000, "dur": (last - first) / 1000, "name": name, "cat": line}
        events.append(row | {"args": arguments})

    for run in runs:
        waits = {name: run[name] for name in ("pointwise_busy", "depthwise_busy", "wait_weights", "wait_data", "read_bytes", "write_bytes")}
        put("blocks", run["name"], run["begin"], run["begin"] + run["cycles"], {"cycle": run["begin"], "cycles": run["cycles"], **waits})
    for one in intervals:
        run = runs[max(bisect_right(borders, one.begin) - 1, 0)]
        put(one.line, _NAMES.get(one.what) or run["name"], one.begin, one.end, {"cycle": one.begin, "busy": one.busy, "block": run["name"]})
    return {"displayTimeUnit": "ns", "otherData": {"clock_mhz": clock_mhz, "longest_pause": pause}, "traceEvents": events}


def _few(intervals: Sequence[Interval], borders: Sequence[int], most: int) -> tuple[Sequence[Interval], int]:
    """At most ``most`` intervals, and the pause up to which they were joined for it."""
    pause = PAUSE
    while len(intervals) > most and pause < 1 << 40:
        pause *= 2
        intervals = joined(intervals, borders, pause)
    return intervals, pause


def joined(intervals: Sequence[Interval], borders: Sequence[int], pause: int) -> list[Interval]:
    """``intervals`` with those joined that follow each other on a line within ``pause`` cycles, say the same and begin in one block."""
    result: list[Interval] = []
    for one in intervals:
        last = result[-1] if result else None
        if (
            last is not None and (last.line, last.what) == (one.line, one.what) and one.begin - last.end <= pause
            and bisect_right(borders, last.begin) == bisect_right(borders, one.begin)
        ):  # fmt: skip
            result[-1] = replace(last, end=one.end, busy=last.busy + one.busy)
        else:
            result.append(one)
    return result


def write_trace(path: Path, traced: dict[str, Any]) -> None:
    """A line per event, without spaces. Raises :class:`NarrowsError`."""
    encode = json.JSONEncoder(separators=(",", ":")).encode
    head = encode({key: value for key, value in traced.items() if key != "traceEvents"})[:-1]
    body = ",\n".join(map(encode, traced["traceEvents"]))
    try:
        path.write_text(f'{head},"traceEvents":[\n{body}\n]}}\n')
    except OSError as error:
        raise NarrowsError(f"{path}: can't be written ({error.strerror}).") from None
