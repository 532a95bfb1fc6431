"""Traces: every slice is of real events, which the gateware's own counters confirm, and the file is what viewers read."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from engine_runs import SMALL
from made_network import Made
from report_runs import small_report
from test_simulator import ADD, ADDRESS, CONTROL, COUNT, FILL, simulator
from trace_format import overlaps, tracks, violations

from narrows.compiler.runnable import build_program
from narrows.device.device import Device
from narrows.errors import NarrowsError
from narrows.hw.config import EngineConfig
from narrows.hw.top import Top
from narrows.report.run_details import run_details
from narrows.report.trace import LINES, PAUSE, joined, trace, write_trace
from narrows.sim.watch import Interval

RUNS = [{"name": name, "begin": begin, "cycles": 100, **dict.fromkeys(
    ("pointwise_busy", "depthwise_busy", "wait_weights", "wait_data", "read_bytes", "write_bytes"), 0,
)} for name, begin in (("a", 0), ("b", 100))]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small network's result, its runs' details in it, and its trace as read back from the file."""
    result = small_report(tmp_path_factory.mktemp("report"))
    return result, json.loads(Path(result["report"]["trace"]).read_text())


def test_commands_at_the_pins():
    with simulator() as simulated:
        simulated.watch({"SDRAM": ("read", "write", "refresh")}, pause=100_000)
        for job, what in ((FILL, "write"), (ADD, "read")):
            for address, value in ((ADDRESS, 1000), (COUNT, 10), (CONTROL, job)):
                simulated.write(address, value)
            simulated.run(10_000)
            last = simulated.intervals[-1]
            assert (last.line, last.what, last.busy) == ("SDRAM", what, 10)
            assert 10 <= last.end - last.begin < 60 and last.end <= simulated.cycle
        simulated.watch({})
        simulated.write(CONTROL, ADD)
        simulated.run(10_000)
        assert simulated.intervals == []


def test_pauses():
    """Refreshes of an idle memory, one at a time: once each for itself, then with the pauses between them."""
    with simulator() as simulated:
        simulated.run(5_000, until_done=False)
        simulated.watch({"SDRAM": ("refresh",)})
        simulated.run(20_000, until_done=False)
        single = simulated.intervals
        apart = {b.begin - a.begin for a, b in pairwise(single)}
        assert len(single) > 8 and all((one.end - one.begin, one.busy) == (1, 1) for one in single)
        simulated.watch({"SDRAM": ("refresh",)}, pause=max(apart) - 2)
        simulated.run(20_000, until_done=False)
        assert len(simulated.intervals) > 1
        simulated.watch({"SDRAM": ("refresh",)}, pause=max(apart) + 2)
        simulated.run(20_000, until_done=False)
        (all_of_them,) = simulated.intervals
        assert abs(all_of_them.busy - len(single)) <= 1 and all_of_them.end - all_of_them.begin > 15_000


def test_the_file_is_of_the_format(run):
    _, traced = run
    assert violations(traced) == []
    assert set(tracks(traced)) == {"blocks", *LINES}


def test_the_format_is_held_to():
    good = {"ph": "X", "pid": 1, "tid": 1, "ts": 0, "dur": 1.5, "name": "a"}
    assert violations({"traceEvents": [good, {"ph": "M", "pid": 1, "tid": 1, "name": "thread_name", "args": {"name": "x"}}]}) == []
    for change in ({"ph": "Y"}, {"ts": -1}, {"dur": "1"}, {"tid": "1"}, {"name": None}, {"args": []}, {"ph": "M"}):
        assert violations({"traceEvents": [good | change]}), change
    assert violations([good]) and violations({"traceEvents": {}}) and violations({"traceEvents": [], "displayTimeUnit": "s"})
    assert overlaps([good, good | {"ts": 1.499}]) and not overlaps([good, good | {"ts": 1.5}])


def test_slices_of_a_track_do_not_overlap(run):
    result, traced = run
    for name, events in tracks(traced).items():
        assert overlaps(events) == [], name
        assert events == sorted(events, key=lambda event: event["ts"])
        assert max(event["ts"] + event["dur"] for event in events) <= result["cycles"] / result["clock_mhz"] + 1e-3


def test_slices_add_up_to_the_counters(run):
    result, traced = run
    runs, lines = result["runs"], tracks(traced)
    borders = [one["begin"] for one in runs]
    busy = Counter()
    for name, events in lines.items():
        for event in events if name != "blocks" else ():
            what = event["name"] if "waits" in name or name == "SDRAM" else ""
            number = bisect_right(borders, event["args"]["cycle"]) - 1
            assert event["args"]["block"] == runs[number]["name"]
            busy[name, what, number] += event["args"]["busy"]
    for number, one in enumerate(runs):
        assert busy["array: expand", "", number] + busy["array: project", "", number] == one["pointwise_busy"]
        assert busy["depthwise", "", number] == one["depthwise_busy"]
        assert busy["array: waits for", "weights", number] == one["wait_weights"]
        assert busy["array: waits for", "data", number] == one["wait_data"]
    words = {what: sum(count for key, count in busy.items() if key[:2] == ("SDRAM", what)) for what in ("read", "write")}
    assert (2 * words["read"], 2 * words["write"]) == (result["dram_read_bytes"], result["dram_write_bytes"])
    assert [(event["args"]["cycle"], event["args"]["cycles"]) for event in lines["blocks"]] == [(r["begin"], r["cycles"]) for r in runs]


def test_frames_with_tensors_outside():
    """Frames of the small engine one after the other, whose tensors pass through external memory: load and store have their slices."""
    made = Made(16, 12, 3)
    network = made.conv(8, kernel=3, stride=2).block(16, stride=1).block(16, residual=True).pool().conv(5).network()
    program = build_program(network, SMALL, store_blocks=True)
    with Device.open("sim", config=SMALL) as device:
        device.load(program)
        for _ in range(2):
            device.observe(LINES, pause=PAUSE)
            frame = device.run(made.picture())
            traced = trace(device.observed(frame), run_details(program, frame)["runs"], clock_mhz=133)
            assert violations(traced) == [] and not any(overlaps(events) for events in tracks(traced).values())
            assert tracks(traced)["store"] and tracks(traced)["SDRAM"][0]["args"]["cycle"] < 200


def test_long_traces_are_made_short():
    intervals = [Interval("depthwise", "depthwise", 10 * n, 10 * n + 1, 1) for n in range(20)]
    assert joined(intervals, [0, 100], 8) == intervals
    assert joined(intervals, [0, 100], 9) == [Interval("depthwise", "depthwise", begin, begin + 91, 10) for begin in (0, 100)]
    other = [Interval("depthwise", "depthwise", 0, 5, 5), Interval("load", "stem", 5, 7, 2), Interval("load", "load", 7, 9, 2)]
    assert joined(other, [0], 1000) == other
    short = trace(intervals, RUNS, clock_mhz=100, most=2)
    assert short["otherData"] == {"clock_mhz": 100, "longest_pause": 16}
    assert [event["args"]["busy"] for event in tracks(short)["depthwise"]] == [10, 10]
    assert [event["dur"] for event in tracks(short)["blocks"]] == [1.0, 1.0]
    # A period of 7.5188 ns: neighbours still touch.
    close = trace([Interval("load", "stem" if n % 2 else "load", n, n + 1, 1) for n in range(200)], RUNS, clock_mhz=133)
    events = tracks(close)["load"]
    assert not overlaps(events)
    assert all(round(1000 * (a["ts"] + a["dur"])) == round(1000 * b["ts"]) for a, b in pairwise(events))


def test_a_trace_that_cannot_be_written(tmp_path):
    with pytest.raises(NarrowsError, match=r"trace.json: can't be written \(No such file"):
        write_trace(tmp_path / "none" / "trace.json", trace([], RUNS, clock_mhz=100))


def test_only_simulations_are_watched():
    """What a board's netlist has not, test_budget.py looks at."""
    assert "activity" not in Top(config=EngineConfig()).signature.members
    assert "activity" in Top(config=EngineConfig(), watched=True).signature.members
