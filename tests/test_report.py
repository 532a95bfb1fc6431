"""The terminal's report: where cycles went, the roofline, the routed clock; nothing is printed that the result does not say."""

from __future__ import annotations

import json

import pytest
from test_cli import BLOCK, RESULT

from narrows.bitstream.routed import REACHED, routed_clock, told, told_clock
from narrows.boards import load_board
from narrows.cycles.roofline import roofline, where_time_went
from narrows.hw.config import EngineConfig
from narrows.hw.dram.timing import PARTS
from narrows.report import terminal as report


@pytest.fixture
def printed(monkeypatch, capsys):
    """What a result looks like on a pipe."""
    monkeypatch.setenv("COLUMNS", "160")

    def show(**changes):
        report.print_run(RESULT | changes)
        return capsys.readouterr().out

    return show


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_bars_are_whole(encoding):
    keys = ("array_busy", "wait_weights", "wait_data", "no_work")
    rows = [dict(zip(keys, parts, strict=True)) for parts in ((17_000, 1_234, 56, 1_710), (1, 1, 1, 0), (0, 0, 0, 7))]
    for row in rows:
        drawn = report.time_bar({"time": row, "cycles": sum(row.values())}, encoding)
        assert len(drawn) == report.TIME_BAR
        for character, part in zip("█▓▒·" if encoding == "utf-8" else "#w:.", row.values(), strict=True):
            assert abs(drawn.count(character) - report.TIME_BAR * part / sum(row.values())) <= 1
    assert drawn == ("·" if encoding == "utf-8" else ".") * report.TIME_BAR


def test_where_the_time_went(printed):
    out = printed()
    assert "array works 81.0%, waits for weights 5.9%, for data 0.3%, has no work 12.9%" in out
    assert "depthwise unit" in out and "42.9%  of the cycles, beside the array" in out
    assert "█ array works  ▓ waits for weights  ▒ for data  · has no work" in out
    assert "█" * 14 + "▓" in next(line for line in out.splitlines() if line.startswith("block 1"))


def test_the_classes_have_bars(printed):
    line = next(line for line in printed().splitlines() if "[cat]" in line)
    assert "████████░░" in line


def test_the_roofline(printed):
    assert "87.0%  of 80.5 MAC per cycle: all that 2 bytes a cycle can feed at 40.2 MAC per byte" in printed()
    limit = {"bound": "multipliers", "attainable_macs_per_cycle": 152.0, "attained": 0.5, "macs_per_byte": None}
    assert "50.0%  of 152 MAC per cycle, which all multipliers do" in printed(roofline=RESULT["roofline"] | limit)


def test_the_clock(printed):
    assert "6333.3  at 133 MHz, which no build has reached\n" in "".join(f"{line.rstrip()}\n" for line in printed().splitlines())
    words = printed(clock_mhz=115, clock_of="ulx3s-85f", routed={"board": "ulx3s-85f", "mhz": 122.549})
    assert "at 115 MHz, which builds for ulx3s-85f reach; routed here for ulx3s-85f: 122.5" in " ".join(words.split())


def test_files_are_named(printed):
    assert "page in out/index.html\n" in printed(report={"page": "out/index.html"})


def test_roofline_of_memory_and_of_multipliers():
    config = EngineConfig()
    width = PARTS[config.sdram].data_bits // 8
    memory = roofline(config, macs=1_000_000, cycles=50_000, moved=50_000)
    assert memory["bytes_per_cycle"] == width == 2 and memory["macs_per_byte"] == 20.0
    assert memory["attainable_macs_per_cycle"] == 40.0 and memory["attained"] == 0.5 and memory["bound"] == "memory"
    assert memory["ridge_macs_per_byte"] == config.multipliers / width
    compute = roofline(config, macs=15_200_000, cycles=200_000, moved=1_000)
    assert compute["attainable_macs_per_cycle"] == config.multipliers and compute["attained"] == 0.5 and compute["bound"] == "multipliers"
    nothing = roofline(config, macs=1_000, cycles=100, moved=0)
    assert nothing["macs_per_byte"] is None and nothing["attainable_macs_per_cycle"] == config.multipliers


def test_the_parts_of_the_time_add_up():
    assert where_time_went(BLOCK) == BLOCK["time"]
    assert sum(BLOCK["time"].values()) == BLOCK["cycles"]


def test_a_build_of_this_engine_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv("NARROWS_BUILD", str(tmp_path))
    config = EngineConfig()
    assert routed_clock(config) is None
    for board, mhz, engine in (("one", 120.0, config.digest), ("two", 125.5, config.digest), ("three", 150.0, "other")):
        (tmp_path / board).mkdir()
        (tmp_path / board / "manifest.json").write_text(json.dumps({"board": board, "clock_mhz": mhz, "engine": engine}))
    for board, text in (("four", "{"), ("five", "[]"), ("six", "{}"), ("seven", json.dumps({"engine": config.digest, "clock_mhz": None}))):
        (tmp_path / board).mkdir()
        (tmp_path / board / "manifest.json").write_text(text)
    assert routed_clock(config) == {"board": "two", "mhz": 125.5}


def test_told_clocks_are_those_boards_reach():
    """Rates are told at a clock that some build has reached, whatever the memory's timing is for."""
    for engine, name, mhz in REACHED:
        board = load_board(name).config
        assert told_clock(board) == told_clock(engine) == (mhz, name) and board.sdram_mhz == mhz
    assert told_clock(EngineConfig(sdram_mhz=100)) == (100, "ulx3s-85f")
    assert told_clock(EngineConfig(line_words=4096)) == (EngineConfig().sdram_mhz, None)
    assert told({"clock_mhz": 115, "clock_of": "ulx3s-85f"}) == "at 115 MHz, which builds for ulx3s-85f reach"
    assert told({"clock_mhz": 133, "clock_of": None}) == "at 133 MHz, which no build has reached"
