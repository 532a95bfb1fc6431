"""What bounds a block: beside DESIGN's hand calculation, the cycle model's own counters, and engines with a part made slow."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import pytest

from narrows.cycles.bounds import CAUSES, Bounds, bounds_of, bus_share, limit, parts, total
from narrows.cycles.predict import predict
from narrows.explore.mobilenets import mobilenet_v2
from narrows.hw.config import ECP5_25F, EngineConfig
from narrows.plan.plan import Plan
from narrows.program.encode import compile_plan
from narrows.schedule.schedule import plan_network

CONFIG = EngineConfig()


@lru_cache
def plan_of(width: float, resolution: int, config: EngineConfig = CONFIG, batch: int = 1, stream: bool = False) -> Plan:
    return plan_network(mobilenet_v2(width, resolution), config, batch=batch, stream=stream)


def shares_of(width: float, resolution: int, config: EngineConfig = CONFIG) -> dict[str, float]:
    plan = plan_of(width, resolution, config)
    predicted = predict(plan)
    causes = total(parts(bounds, block, config) for bounds, block in zip(bounds_of(plan), predicted, strict=True))
    return {cause: count / sum(block.cycles for block in predicted) for cause, count in causes.items()}


def test_the_bounds_are_those_worked_out_by_hand():
    """Thousands of cycles of MobileNetV2 1.0/224, by products of 8 x 8 x 2 and 9 taps in 3 cycles, block by block."""
    found = bounds_of(plan_of(1.0, 224))
    # The stem's 27 input bytes take 4 words: 112 112 / 2 pairs of 4 groups.
    assert [found[0].array, found[0].depthwise] == [112 * 112 // 2 * (4 * 4 + 2 * 4), 112 * 112 * 4 * 3]
    assert [found[1].array, found[1].depthwise] == [112 * 112 // 2 * 12 * 2 + 56 * 56 // 2 * 3 * 12, 56 * 56 * 12 * 3]
    assert found[16].array == -(-49 // 2) * (120 * 20 + 40 * 120)
    # A pair of pixels has no second one behind the pool.
    assert found[17].array == -(-49 // 2) * 160 * 40 + 125 * 160
    thousands = [round(bounds.array / 1000) for bounds in found[:14]]
    assert thousands == [151, 207, 169, 113, 75, 75, 56, 75, 75, 75, 94, 169, 169, 121]
    assert [found[2].residual, found[3].residual] == [56 * 56 * 3 * 4, 0]


@pytest.mark.parametrize(("batch", "stream"), [(1, False), (4, False), (4, True)])
@pytest.mark.parametrize("config", [CONFIG, ECP5_25F])
def test_bounds_agree_with_the_cycle_model(config, batch, stream):
    plan = plan_of(0.35, 96, config, batch, stream)
    found, predicted = bounds_of(plan), predict(plan)
    assert [bounds.array for bounds in found] == [block.pointwise_busy for block in predicted]
    for bounds, block in zip(found, predicted, strict=True):
        assert bounds.results >= bounds.array and bounds.depthwise >= block.depthwise_busy
        assert block.cycles >= max(bounds.results, bounds.depthwise, bounds.residual)
        of_block = parts(bounds, block, config)
        assert tuple(of_block) == CAUSES and min(of_block.values()) >= 0
        assert sum(of_block.values()) == block.cycles
    # Every byte of the frame is some block's.
    bus = sum(bounds.bus for bounds in found)
    assert 0 <= 2 * bus - sum(block.read_bytes + block.write_bytes for block in predicted) <= 2 * len(found)


def test_the_bus_has_the_program_to_bring():
    plan = plan_of(0.35, 96)
    words = sum(bounds.bus for bounds in bounds_of(plan)) - plan.picture.bytes // 2 - plan.blocks[-1].store.bytes // 2
    assert words == pytest.approx(compile_plan(plan).words, abs=2)
    assert 0.98 < bus_share(CONFIG) < 0.99


def test_each_limit_can_be_the_limit():
    ordinary = shares_of(0.35, 224)
    assert sum(ordinary.values()) == pytest.approx(1)
    assert limit(shares_of(0.35, 96)) == "bus"
    assert limit(shares_of(1.0, 224)) == "multipliers"
    # One requantiser for a slice of eight, results eight cycles apart; a depthwise result every eight.
    shared = shares_of(0.35, 224, replace(CONFIG, pixels=1, requantisers=1))
    assert shared["requantisers"] > 0.2 > ordinary["requantisers"]
    assert shares_of(0.35, 224, replace(CONFIG, depthwise_requantisers=1))["depthwise"] > ordinary["depthwise"] + 0.1


def test_waits_are_put_down_to_what_is_slower_than_the_array():
    bounds = Bounds(array=1000, results=1200, depthwise=1300, residual=100, bus=1479)
    counted = {"cycles": 2200, "wait_weights": 450, "wait_data": 500}
    # Bus: 1479 / 0.9858 are 1500, 300 more than the array's; 100 for depthwise; what is left are 150 and 400.
    assert parts(bounds, counted, CONFIG) == {
        "multipliers": 1000, "requantisers": 200, "depthwise": 100, "residual": 0, "bus": 300, "buffers": 550, "starts": 50,
    }  # fmt: skip
    slow_sums = replace(bounds, residual=1350)
    assert parts(slow_sums, counted, CONFIG)["residual"] == 150 and parts(slow_sums, counted, CONFIG)["buffers"] == 400
    assert limit(parts(bounds, counted, CONFIG)) == "multipliers"
    assert bounds.compute == 1300 and (bounds + bounds).bus == 2958
    # The array is done early; the depthwise unit is not.
    alone = parts(replace(bounds, depthwise=1800), counted | {"cycles": 2600, "wait_data": 0}, CONFIG)
    assert alone["depthwise"] == 600 and alone["starts"] == 2600 - 1200 - 450 - 600
