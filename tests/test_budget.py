"""The budget of block RAMs: what the gateware's memories need, and what is promised of two chips."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from narrows import boards
from narrows.config_file import load_config
from narrows.hw.budget import LFE5U_25F, LFE5U_85F, block_rams, block_rams_of
from narrows.hw.config import ECP5_25F, EngineConfig
from narrows.hw.top import Top
from narrows.sim.verilog import to_rtlil

#: Block RAMs that a host link may take.
LINK = 3


@pytest.mark.parametrize(("config", "most"), [(EngineConfig(), LFE5U_85F), (ECP5_25F, LFE5U_25F)])
def test_it_fits_the_chip(config, most):
    assert sum(block_rams(config).values()) + LINK <= most


def test_totals():
    assert sum(block_rams(EngineConfig()).values()) == 184
    assert block_rams(ECP5_25F) == {
        "activation memory": 18, "line buffers": 6, "array weights": 4, "array constants": 4, "depthwise weights": 3,
        "depthwise constants": 2, "rows of the picture": 2, "queues: two readers, writer, descriptors": 4, "queue of results": 1,
        "counters": 2,
    }  # fmt: skip
    assert sum(block_rams(ECP5_25F).values()) == 46
    assert ECP5_25F.multipliers == 28


def test_the_file_describes_the_small_engine():
    assert load_config(Path(boards.__file__).parent / "lfe5u_25f.toml") == ECP5_25F


@pytest.mark.parametrize(("words", "bits", "shared", "wanted"), [
    (512, 36, False, 1), (512, 37, False, 2), (513, 36, False, 2), (1024, 18, False, 1), (2048, 9, False, 1), (2049, 9, False, 2),
    (512, 36, True, 2), (1024, 18, True, 1), (1024, 19, True, 2), (2048, 9, True, 1), (9216, 32, True, 18), (13312, 64, True, 52),
])  # fmt: skip
def test_a_memory_is_cut_into_the_fewest(words, bits, shared, wanted):
    assert block_rams_of(words=words, bits=bits, shared=shared) == wanted


def memories(config: EngineConfig) -> list[tuple[int, int, int]]:
    """(words, bits, ports that read) of the memories in the gateware that are larger than a few words."""
    found = []
    for module in re.split(r"^module ", to_rtlil(Top(config=config)), flags=re.MULTILINE):
        for bits, words, name in re.findall(r"^  memory width (\d+) size (\d+) (\S+)$", module, flags=re.MULTILINE):
            cells = re.findall(r"cell \$memrd_v2 .*?\n  end", module, flags=re.DOTALL)
            memid = name.replace("\\", "\\\\")
            found.append((int(words), int(bits), sum(f'MEMID "{memid}"' in cell for cell in cells)))
    return [memory for memory in found if memory[0] > 32]


@pytest.mark.parametrize("config", [EngineConfig(), ECP5_25F, replace(ECP5_25F, requantisers=1, depthwise_requantisers=2)])
def test_the_budget_is_that_of_the_gateware(config):
    # Lanes that are written on their own, each with a memory of its own.
    lanes = {9 * 3 * config.group: 3, 69 * config.depthwise_requantisers: config.depthwise_requantisers}
    total = 0
    for words, bits, readers in memories(config):
        count = lanes.get(bits, 1)
        total += count * block_rams_of(words=words, bits=bits // count, shared=readers > 1)
    assert total == sum(block_rams(config).values())
