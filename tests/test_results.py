"""The tables of docs/results.md: what is put where, reasons of gaps, and a small network really measured."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path

import pytest
from made_network import Made
from test_cli import invoke

from narrows.cycles.bounds import CAUSES, Bounds
from narrows.errors import NarrowsError
from narrows.explore import results
from narrows.explore import text as results_text
from narrows.explore.builds import BoardRun, builds, known_builds, run_build
from narrows.explore.results import WAYS, Measured, make_results, measure, sections, write
from narrows.explore.text import put, reason
from narrows.hw.config import EngineConfig

PAGE = Path(__file__).parents[1] / "docs" / "results.md"


@lru_cache
def measured() -> list[Measured]:
    """A network with a classifier of its own, as one image and in a stream."""
    return [measure("mobilenet_v2_1.0_224_made", NETWORK, way, EngineConfig()) for way in WAYS[::2]]


@lru_cache
def of_build(content: str) -> BoardRun:
    """That network on a build's engine."""
    return run_build(json.loads(content), {"made": NETWORK}, measure, None)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


#: The small network's.
NETWORK = Made(30, 27, 3, seed=3).conv(8, kernel=3, stride=2).block(12).block(16, stride=2).conv(40).pool().conv(37).network()

#: An engine of a board: its memory's clock is another one.
OF_BOARD = EngineConfig(sdram_mhz=115)


def manifest(folder: Path, **changes) -> Path:
    path = folder / "manifest.json"
    path.write_text(json.dumps({
        "board": "b", "device": "LFE5U-85F", "seed": 2, "clock_mhz": 120.5, "constraint_mhz": 115.0, "seeds": {"2": 120.5, "1": 119.0},
        "resources": {"multipliers": 152, "block_rams": 190, "luts": 50000, "flip_flops": 40000}, "engine": OF_BOARD.digest,
        "configuration": asdict(OF_BOARD), "date": "2026-11-24T08:41:45+00:00", "tools": {"yosys": "0.70"}, "timing_met": True,
        "worst_paths": [
            {"ns": 9.9, "routing_ns": 9.0, "clock": "clk to <async>", "through": ["busy", "light"]},
            {"ns": 8.3, "routing_ns": 6.5, "clock": "clk", "through": ["a.b", "a.c", "d.e"]},
        ], **changes,
    }))  # fmt: skip
    return path


def test_every_table_has_its_place_on_the_page(tmp_path):
    found = sections(measured(), [of_build(manifest(tmp_path).read_text())])
    assert set(found) == {"networks", "gaps", "blocks, one image", "blocks, stream of 4", "published", "resources"}
    places = re.findall(r"<!-- measured: (.*) -->", PAGE.read_text())
    assert set(found) <= set(places) and len(places) == len(set(places))
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text())
    write(page, found)
    again = page.read_text()
    write(page, found)
    assert page.read_text() == again and "mobilenet_v2_1.0_224_made" in again
    assert re.sub(r"(?s)(<!-- measured: .*? -->).*?<!-- end -->", r"\1", again) == re.sub(
        r"(?s)(<!-- measured: .*? -->).*?<!-- end -->", r"\1", PAGE.read_text()
    )


def test_the_tables_are_what_was_counted():
    single, stream = measured()
    lines = results_text.networks(measured())
    row = cells(next(line for line in lines if "one image" in line))
    assert row[3] == f"{single.result['cycles']:,}" and row[5] == f"{single.result['utilisation']:.1%}"
    assert cells(next(line for line in lines if "stream" in line))[3] == f"{stream.result['cycles'] / 4:,.0f}"
    table = [cells(line) for line in results_text.blocks(single) if line.startswith("|")][2:]
    assert [row[0] for row in table] == [*(block["name"] for block in single.result["blocks"]), "all"]
    assert [row[2] for row in table[:-1]] == [f"{block['cycles']:,}" for block in single.result["blocks"]]
    for row, block in zip(table, single.result["blocks"], strict=False):
        bounds = single.bounds[block["name"]]
        gap = block["cycles"] / max(bounds.compute, bounds.bus) - 1
        assert row[7] == f"{gap:+.1%}" and (row[8] != "") == (gap > 0.05)
        assert block["pointwise_busy"] == bounds.array == single.parts[block["name"]]["multipliers"]
        assert sum(single.parts[block["name"]].values()) == block["cycles"]
    assert "All figures are sums over 4 images." in results_text.blocks(stream)[0]


def test_the_small_network_stands_beside_its_authors():
    single, stream = measured()
    lines = results_text.published(measured(), [stream, single])
    assert f"| Narrows | {single.result['cycles']:,} | |" in lines and any("397.5 M" in line for line in lines)
    assert not any("397.5 M" in line for line in results_text.published(measured()))


def test_reasons_leave_out_what_the_bound_is():
    none = dict.fromkeys(CAUSES, 0)
    array = Bounds(array=1000, results=1200, depthwise=500, bus=900)
    assert reason(array, none | {"multipliers": 1000, "requantisers": 200, "bus": 100, "starts": 9}) == "requantisers +20.0%, bus +10.0%"
    on_bus = Bounds(array=500, results=500, depthwise=400, bus=1000)
    assert reason(on_bus, none | {"multipliers": 500, "bus": 510, "buffers": 80}) == "buffers +8.0%, bus +1.0%"
    slow = Bounds(array=500, results=500, depthwise=1000, bus=400)
    assert reason(slow, none | {"multipliers": 500, "depthwise": 500, "starts": 100}) == "starts +10.0%"
    # Requantisers' waits hide behind the depthwise unit's work, up to its end.
    assert reason(slow, none | {"multipliers": 500, "requantisers": 600, "starts": 10}) == "requantisers +10.0%, starts +1.0%"
    assert reason(slow, none) == "several small ones"


def test_a_build_is_measured_on_its_own_engine(tmp_path):
    content = manifest(tmp_path).read_text()
    run = of_build(content)
    # With the memory's timing of another clock the cycles are others.
    assert run.measured is not None
    result = run.measured.result
    cycles = result["cycles_per_image"]
    assert run.measured.way == "stream of 4" and cycles != measured()[1].result["cycles_per_image"]
    assert abs(result["predicted_cycles"] / result["cycles"] - 1) < 0.005
    lines = builds([run])
    row = cells(next(line for line in lines if line.startswith("| `b` | LFE")))
    assert row[3:9] == ["152", "190", "50,000", "40,000", "**120.50**", "115"] and row[9] == "2 of 2: 120.50, 1: 119.00"
    row = cells(next(line for line in lines if line.startswith("| `b` | `made`")))
    assert row[2:4] == ["stream of 4", f"{cycles:,.0f}"] and row[5] == f"**{120.5e6 / cycles:.1f}**"
    shares = re.findall(r"([a-z]+) ([\d.]+)%", row[6])
    assert {cause for cause, _ in shares} <= set(CAUSES) and abs(sum(float(share) for _, share in shares) - 100) < 0.6
    assert "`b`: yosys 0.70. The longest path, `a.b` to `d.e`, takes 8.30 ns, 6.50 of them in wires." in lines


def test_a_build_says_how_many_images_it_took(tmp_path):
    """Four were offered, the engine holds three."""
    short = replace(measured()[1], result=measured()[1].result | {"batch": 3})
    run = run_build(json.loads(manifest(tmp_path).read_text()), {"made": NETWORK}, lambda *_: short, None)
    assert run.measured is not None and run.measured.way == "stream of 3"


def test_builds_that_missed_or_hold_nothing_say_so(tmp_path):
    small = asdict(replace(OF_BOARD, activation_words=2))
    engine = replace(OF_BOARD, activation_words=2).digest
    content = manifest(tmp_path, timing_met=False, configuration=small, engine=engine).read_text()
    lines = builds([run_build(json.loads(content), {"made": NETWORK}, measure, None)])
    assert any("120.50, **missed**" in line for line in lines) and "| `b` | none fits | | | | | |" in lines


def test_what_describes_no_build_is_left_out(tmp_path):
    names = ("good", "text", "old", "other")
    good, text, old, other = (tmp_path / name for name in names)
    for folder in (good, text, old, other):
        folder.mkdir()
    manifest(good)
    (text / "manifest.json").write_text("{")
    manifest(old, configuration={"no_such_setting": 1})
    manifest(other, engine="of another release")
    paths = [tmp_path / name / "manifest.json" for name in (*names, "gone")]
    assert [build["board"] for build in known_builds(paths)] == ["b"] and known_builds(paths[1:]) == []


@pytest.mark.parametrize(
    ("page", "words"),
    [("nothing", "no place for the section 'gaps'"), (2 * "<!-- measured: gaps -->\nold\n<!-- end -->\n", "several places")],
)
def test_a_page_has_one_place_for_each(page, words):
    with pytest.raises(NarrowsError, match=words):
        put(page, {"gaps": ["new"]})


def test_without_models_the_page_keeps_their_tables(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "sweep_section", lambda *_: ["swept"])
    monkeypatch.setenv("NARROWS_BUILD", str(tmp_path))
    (tmp_path / "board").mkdir()
    manifest(tmp_path / "board")  # without networks there is nothing to run on its engine
    page = tmp_path / "page.md"
    page.write_text("".join(f"<!-- measured: {name} -->\nold {name}\n<!-- end -->\n" for name in ("networks", "sweep", "resources")))
    stderr = invoke("results", "--page", str(page)).stderr
    assert "left out: published networks; name the folder" in stderr
    text = page.read_text()
    assert "old networks" in text and "swept" in text and "old sweep" not in text and "old resources" in text


def test_what_is_no_folder_or_page_is_said(tmp_path):
    with pytest.raises(NarrowsError, match="no folder of models"):
        make_results(tmp_path / "none")
    with pytest.raises(NarrowsError, match="can't be read and written"):
        write(tmp_path / "none.md", {})
