"""The budget of block RAMs: what the gateware's memories need, and what is promised of two chips."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from amaranth.back import rtlil

from narrows import boards
from narrows.config_file import load_config
from narrows.hw.budget import LFE5U_25F, LFE5U_85F, block_rams
from narrows.hw.config import ECP5_25F, ECP5_85F_WIDE, EngineConfig
from narrows.hw.parts.technology import Ecp5
from narrows.hw.top import Top

#: Block RAMs that a host link may take.
LINK = 3


@pytest.mark.parametrize(("config", "most"), [(EngineConfig(), LFE5U_85F), (ECP5_85F_WIDE, LFE5U_85F), (ECP5_25F, LFE5U_25F)])
def test_it_fits_the_chip(config, most):
    assert sum(block_rams(config).values()) + LINK <= most


def test_totals():
    assert sum(block_rams(EngineConfig()).values()) == 192
    assert block_rams(ECP5_25F) == {
        "activation memory": 16, "line buffers": 6, "array weights": 4, "array constants": 4, "depthwise weights": 3,
        "depthwise constants": 2, "rows of the picture": 2, "queues: two readers, writer, descriptors": 4, "queue of results": 1,
        "counters": 2,
    }  # fmt: skip
    assert sum(block_rams(ECP5_25F).values()) == 44
    assert ECP5_25F.multipliers == 28
    assert sum(block_rams(ECP5_85F_WIDE).values()) == 200
    assert ECP5_85F_WIDE.chip_multipliers == 152


@pytest.mark.parametrize(("name", "config"), [("lfe5u_25f", ECP5_25F), ("ulx3s_85f_wide", ECP5_85F_WIDE)])
def test_files_describe_the_other_engines(name, config):
    assert load_config(Path(boards.__file__).parent / f"{name}.toml") == config


@pytest.mark.parametrize("config", [
    EngineConfig(), pytest.param(ECP5_85F_WIDE, marks=pytest.mark.slow), ECP5_25F,
    replace(ECP5_25F, requantisers=2, depthwise_requantisers=2),
])  # fmt: skip
def test_the_budget_is_that_of_the_gateware(config):
    text = rtlil.convert(Top(config=config), platform=Ecp5(), emit_src=False)
    assert len(re.findall(r"cell \\DP16KD ", text)) == sum(block_rams(config).values())
    assert len(re.findall(r"cell \\MULT18X18D ", text)) == config.chip_multipliers
    assert "activity" not in text  # taps for traces are for simulations only
    # What is left to synthesis is no memory for block RAMs.
    assert all(int(words) <= 32 for words in re.findall(r"memory width \d+ size (\d+) ", text))
