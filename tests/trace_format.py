"""What the description of Chrome's trace event format asks of a file, as far as this project uses it: JSON objects, "X" and "M" events."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

#: Names that metadata events may have, and the key of their arguments.
METADATA = {
    "process_name": "name", "process_labels": "labels", "process_sort_index": "sort_index",
    "thread_name": "name", "thread_sort_index": "sort_index",
}  # fmt: skip


def violations(trace: Any) -> list[str]:
    """What is wrong with ``trace``: nothing, if a viewer can show it as it is meant."""
    if not isinstance(trace, dict) or not isinstance(trace.get("traceEvents"), list):
        return ["no object with an array traceEvents"]
    wrong = []
    if trace.get("displayTimeUnit", "ms") not in ("ms", "ns"):
        wrong.append("displayTimeUnit is neither ms nor ns")
    for number, event in enumerate(trace["traceEvents"]):
        wrong += [f"event {number}: {problem}" for problem in _event(event)]
    return wrong


def _event(event: Any) -> list[str]:
    if not isinstance(event, dict):
        return ["no object"]
    wrong = [f"{key} is no whole number" for key in ("pid", "tid") if type(event.get(key)) is not int]
    if not isinstance(event.get("name"), str):
        wrong.append("without a name")
    if not isinstance(event.get("args", {}), dict):
        wrong.append("args is no object")
    if event.get("ph") == "M":
        key = METADATA.get(event.get("name", ""))
        if key is None or not isinstance(event.get("args", {}).get(key), int if key == "sort_index" else str):
            wrong.append("metadata that no viewer knows")
    elif event.get("ph") == "X":
        for key in ("ts", "dur"):
            value = event.get(key)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 2**53 / 1000:
                wrong.append(f"{key} is no time in microseconds")
    else:
        wrong.append(f"phase {event.get('ph')!r}")
    return wrong


def tracks(trace: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The complete events of every thread by its name, in the file's order."""
    names = {event["tid"]: event["args"]["name"] for event in trace["traceEvents"] if event["name"] == "thread_name"}
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in trace["traceEvents"]:
        if event["ph"] == "X":
            found[names[event["tid"]]].append(event)
    return dict(found)


def overlaps(events: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Pairs of neighbours that overlap, in nanoseconds, which is what viewers count in."""
    ordered = sorted(events, key=lambda event: event["ts"])
    ends = [round(1000 * event["ts"]) + round(1000 * event["dur"]) for event in ordered]
    return [(a, b) for a, b, end in zip(ordered, ordered[1:], ends) if round(1000 * b["ts"]) < end]
