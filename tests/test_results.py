"""The tables of docs/results.md: what is put where, reasons of gaps, and a small network really measured."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path

import pytest
from made_network import Made
from test_cli import invoke

from narrows import results, results_text
from narrows.bounds import CAUSES, Bounds
from narrows.hw.config import EngineConfig
from narrows.network import NarrowsError
from narrows.results import WAYS, Measured, make_results, measure, sections, write
from narrows.results_text import put, reason

PAGE = Path(__file__).parents[1] / "docs" / "results.md"


@lru_cache
def measured() -> list[Measured]:
    """A network with a classifier of its own, as one image and in a stream."""
    network = Made(30, 27, 3, seed=3).conv(8, kernel=3, stride=2).block(12).block(16, stride=2).conv(40).pool().conv(37).network()
    return [measure("mobilenet_v2_1.0_224_made", network, way, EngineConfig()) for way in WAYS[::2]]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def manifest(folder: Path) -> Path:
    path = folder / "manifest.json"
    path.write_text(json.dumps({
        "board": "b", "device": "LFE5U-85F", "seed": 2, "clock_mhz": 120.5, "constraint_mhz": 115.0, "seeds": {"1": 119.0, "2": 120.5},
        "resources": {"block_rams": 190, "luts": 50000}, "engine": "ab", "configuration": {"sdram_mhz": 115, "group": 8},
        "date": "2026-11-24T08:41:45+00:00",
    }))  # fmt: skip
    return path


def test_every_table_has_its_place_on_the_page(tmp_path):
    found = sections(measured(), [manifest(tmp_path)])
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


def test_a_build_that_is_another_engine_says_so(tmp_path):
    lines = results_text.resources(json.loads(manifest(tmp_path).read_text()), measured())
    rate = 120.5e6 / measured()[0].result["cycles_per_image"]
    assert f"one image {rate:.1f}" in "\n".join(lines) and lines[-1].endswith("differ in sdram_mhz.")
    assert results_text.newest([]) is None


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
    manifest(tmp_path / "board")
    page = tmp_path / "page.md"
    page.write_text("".join(f"<!-- measured: {name} -->\nold {name}\n<!-- end -->\n" for name in ("networks", "sweep", "resources")))
    stderr = invoke("results", "--page", str(page)).stderr
    assert "left out: published networks; name the folder" in stderr
    text = page.read_text()
    assert "old networks" in text and "swept" in text and "old sweep" not in text and "120.50 MHz" in text


def test_what_is_no_folder_or_page_is_said(tmp_path):
    with pytest.raises(NarrowsError, match="no folder of models"):
        make_results(tmp_path / "none")
    with pytest.raises(NarrowsError, match="can't be read and written"):
        write(tmp_path / "none.md", {})
