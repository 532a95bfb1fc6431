"""Cycle counts are those of ``cycles.json``, to the cycle: a change that costs cycles, or saves some, shows here."""

from __future__ import annotations

import json

import pytest
from replay import ENGINES, EXPECTED, GATEWARE, RUNS, differences, expected_of, gateware, measure, model_of

from narrows.sim.sources import sources


@pytest.mark.parametrize(("name", "engine"), RUNS)
def test_cycles_are_those_expected(name, engine):
    if not model_of(name).exists():
        pytest.skip("the real models are not beside this repository")
    changed = differences(expected_of(name, engine), measure(name, engine))
    if changed:
        pytest.fail("\n".join([f"Cycles of {name} on {engine} changed. If they should, `make cycles` writes them down:", *changed]), False)


@pytest.mark.parametrize("engine", ENGINES)
def test_gateware_is_what_was_expected(engine):
    """Moving code about changes no net of it; if the gateware should change, `make cycles` writes the new hash down."""
    assert gateware(engine) == json.loads(GATEWARE.read_text())[engine]


def test_sources_of_any_depth_count(tmp_path):
    """Names of simulators, netlists and recorded runs are made of these."""
    seen = [sources(tmp_path)]
    for path, text in ("a.py", "1"), ("a.py", "2"), ("room/a.py", "2"), ("room/cell/b.py", ""), ("room/cell/b.py", "3"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
        seen.append(sources(tmp_path))
    (tmp_path / "a.py").rename(tmp_path / "room" / "c.py")
    seen.append(sources(tmp_path))
    (tmp_path / "room" / "notes.txt").write_text("no source")
    assert len({repr(found) for found in seen}) == len(seen)
    assert sources(tmp_path) == seen[-1]


def test_every_run_has_its_figures():
    known = json.loads(EXPECTED.read_text())
    assert sorted((name, engine) for engine, of_engine in known.items() for name in of_engine) == sorted(RUNS)


def test_a_change_is_a_table_of_what_changed():
    expected = {"blocks": {"3 CONV_2D": 1000, "6 ADD": 500, "9 ADD": 7}, "frame": {"frame": 1507}, "predicted": {"batch of 4": 6000}}
    assert differences(expected, expected) == []
    found = {"blocks": {"3 CONV_2D": 1010, "6 ADD": 500, "12 ADD": 9}, "frame": {"frame": 1519}, "predicted": {"batch of 4": 5400}}
    assert [line.split() for line in differences(expected, found)] == [
        ["expected", "found", "change"],
        ["3", "CONV_2D", "1000", "1010", "+10", "(+1.000%)"],
        ["9", "ADD", "7", "-", "gone"],
        ["12", "ADD", "-", "9", "new"],
        ["frame", "1507", "1519", "+12", "(+0.796%)"],
        ["batch", "of", "4", "6000", "5400", "-600", "(-10.000%)"],
    ]
