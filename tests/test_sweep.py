"""The sweep's rows: figures of planner and cycle model, refusals as rows, engines that fit a board, and what the command shows."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from test_cli import invoke

from narrows import boards
from narrows.bitstream.build import AVAILABLE
from narrows.boards import load_board
from narrows.cycles.bounds import CAUSES
from narrows.cycles.predict import predict
from narrows.errors import DoesNotFit, NarrowsError
from narrows.explore import sweep
from narrows.explore.engines import engines_for, fits, used_block_rams, used_multipliers
from narrows.explore.mobilenets import mobilenet_v2
from narrows.explore.sweep import of_paper, shortened
from narrows.hw.config import ECP5_25F, EngineConfig
from narrows.report.sweep import best_of_arrays, limits
from narrows.schedule.schedule import plan_network

CONFIG = EngineConfig()


def rows_of(width: float, resolution: int, config: EngineConfig = CONFIG, **options: Any) -> list[dict[str, Any]]:
    return sweep.sweep(of_paper([width], [resolution]), [config], **options)


@pytest.mark.parametrize(("batch", "stream"), [(1, False), (2, True)])
def test_a_row_has_the_figures_of_plan_and_cycle_model(batch, stream):
    (row,) = rows_of(0.35, 96, batch=batch, stream=stream)
    plan = plan_network(mobilenet_v2(0.35, 96), CONFIG, batch=batch, stream=stream)
    predicted = predict(plan)
    cycles = sum(block.cycles for block in predicted) / plan.images
    assert row["network"] == "0.35/96" and row["refused"] is None and (row["batch"], row["stream"]) == (plan.images, plan.late)
    assert row["cycles_per_image"] == cycles and row["frames_per_second"] == pytest.approx(115e6 / cycles)
    assert row["utilisation"] == pytest.approx(plan.macs / plan.images / (152 * cycles))
    assert row["read_bytes"] * plan.images == sum(block.read_bytes for block in predicted)
    assert row["write_bytes"] * plan.images == sum(block.write_bytes for block in predicted)
    assert tuple(row["shares"]) == CAUSES and sum(row["shares"].values()) == pytest.approx(1)
    assert row["shares"][row["limit"]] == max(row["shares"].values())
    assert EngineConfig(**row["configuration"]).digest == row["engine"] == CONFIG.digest
    assert json.loads(json.dumps(row)) == row


def test_what_the_planner_refuses_is_a_row():
    (row,) = rows_of(1.0, 224, replace(CONFIG, line_words=512))
    assert row["reason"] == "block 2 project: a row of 112 pixels in 12 groups exceeds a bank of the line buffers"
    assert row["refused"].startswith("Block 'block 2 project' does not fit this engine: ")
    assert "cycles_per_image" not in row and row["multipliers"] == 152


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("Block 'b 1' does not fit this engine: its 9 words of weights can't stay on chip row by row. it is odd. Give the "
         "configuration more activation_words.", "b 1: it is odd"),
        ("Block 'b' does not fit this engine: its output of (1, 2, 3) has no room on chip. Give the configuration more.",
         "b: its output of (1, 2, 3) has no room on chip"),
        ("Block 'b' would never end: expand can't go on (expand waits for weights). Give the configuration larger memories.",
         "b: expand can't go on (expand waits for weights)"),
        ("Something\n  else", "Something else"),
        ("x" * 200, "x" * 107 + "..."),
    ],
)  # fmt: skip
def test_reasons_are_short(message, words):
    assert shortened(DoesNotFit(message)) == words


def test_a_board_has_room_for_its_engines():
    for name in boards.CATALOGUE:
        board = load_board(name)
        engines = engines_for(board)
        available = AVAILABLE[board.device]
        assert engines[0] == board.config and len(set(engines)) == len(engines) > 3
        for config in engines:
            assert used_multipliers(config) <= available["multipliers"] and used_block_rams(config) <= available["block_rams"]
            assert (config.sdram, config.sdram_mhz) == (board.config.sdram, board.config.sdram_mhz)
        assert any(used_block_rams(config) > 0.95 * available["block_rams"] for config in engines)
    assert {config.sdram_mhz for config in engines_for(load_board("ulx3s-85f"), clock_mhz=100)} == {100}
    assert not fits(CONFIG, "LFE5U-25F") and fits(ECP5_25F, "LFE5U-25F")
    assert not fits(replace(CONFIG, pixels=4), "LFE5U-85F")


def row(array: str, rate: float | None, **changes: Any) -> dict[str, Any]:
    made = {"requantisers": 8, "depthwise_requantisers": 3, "group": 8, "activation_words": 1024, "line_words": 512, "weight_words": 256}
    found: dict[str, Any] = {
        "network": "1.0/224", "macs": 3e8, "engine": f"{array} {rate}", "array": array, "configuration": made, "multipliers": 152,
        "block_rams": 194, "onchip_bytes": 400_000, "clock_mhz": 115, "refused": None,
    }  # fmt: skip
    if rate is None:
        return found | {"refused": "A long reason.", "reason": "[block 2]: no room"} | changes
    shares = dict.fromkeys(CAUSES, 0.0) | {"bus": 0.55, "multipliers": 0.4, "starts": 0.05}
    return found | {
        "cycles_per_image": 1e6, "frames_per_second": rate, "utilisation": 0.642, "read_bytes": 3.7e6, "write_bytes": 1e5, "limit": "bus",
        "shares": shares,
    } | changes  # fmt: skip


def test_the_best_engine_of_each_array_is_shown():
    rows = [row("8x8x2", 30.0), row("8x8x2", 40.0), row("8x8x1", None), row("8x8x1", None), row("4x4x1", None), row("4x4x1", 5.0)]
    assert best_of_arrays(rows) == [rows[1], rows[2], rows[5]]
    assert limits(rows[0]) == "bus 55%, multipliers 40%"


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command asked for; it is answered with two engines."""
    calls: dict[str, Any] = {}

    def answer(**asked: Any) -> dict[str, Any]:
        calls.update(asked)
        asked["progress"]("predicting, much", 0.5)
        device = "LFE5U-85F" if asked["board"] else None
        return {"board": asked["board"], "device": device, "rows": [row("8x8x2", 40.0), row("8x8x1", None)]}

    monkeypatch.setattr(sweep, "sweep_all", answer)
    return calls


def test_the_command_shows_a_line_each(shown):
    stdout = invoke("sweep", "--fit", "ulx3s-85f", "-w", "1.0", "-r", "224", "--stream").stdout
    for words in ("1.0/224", "8x8x2", "8+3", "8+12", "1 000 000", "40.0", "64%", "3.80 MB", "bus 55%", "refused", "[block 2]: no room",
                  "115 MHz", "ulx3s-85f (LFE5U-85F)"):  # fmt: skip
        assert words in stdout, words
    del shown["progress"]
    assert shown == {
        "models": (), "widths": [1.0], "resolutions": [224], "classes": 1000, "board": "ulx3s-85f", "clock": None, "config": None,
        "batch": 4, "stream": True,
    }  # fmt: skip
    result = json.loads(invoke("sweep", "--json", "-", "--batch", "2").stdout)
    assert [found["array"] for found in result["rows"]] == ["8x8x2", "8x8x1"] and result["board"] is None
    assert shown["config"] == CONFIG and shown["batch"] == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--fit", "ulx3s-85"), "There is no board 'ulx3s-85'; did you mean ulx3s-85f"),
        (("--fit", "ulx3s-85f", "--config", "x.toml"), "--fit chooses the engines"),
        (("net.tflite", "--width", "1.0"), "the files named have their own"),
        (("--resolution", "16"), "a resolution of 16 is too small"),
        (("--width", "-1"), "positive"),
    ],
)
def test_what_can_not_be_swept_is_said(arguments, words):
    assert words in invoke("sweep", *arguments, code=1).stderr


def test_rows_of_a_board_are_fastest_first():
    result = sweep.sweep_all(widths=[0.35], resolutions=[96], board="ulx3s-25f")
    rates = [found.get("frames_per_second", 0) for found in result["rows"]]
    assert rates == sorted(rates, reverse=True) and rates[0] > 50
    assert len(rates) == len(engines_for(load_board("ulx3s-25f")))


def test_a_network_that_is_none_is_refused():
    with pytest.raises(NarrowsError, match="too small"):
        of_paper([1.0], [8])
