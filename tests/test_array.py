"""The pointwise array against the golden kernels, and the products it is made of."""

from dataclasses import replace

import pytest
from cocotb_harness import cases_file, run_cocotb
from ecp5_twins import OnChip
from hypothesis import strategies as st

from narrows.hw.arithmetic.products import STRATEGIES, FastProducts, PairProducts, sum_bits
from narrows.hw.array.array import PointwiseArray
from narrows.hw.config import ECP5_85F_WIDE, EngineConfig
from narrows.sim.netlist import MODELS

CONFIGS = {
    "eight": EngineConfig(weight_words=64, constant_words=16),
    "four": EngineConfig(
        group=4, outputs=4, requantisers=4, depthwise_requantisers=2, residual_lanes=2, pixels=4, weight_words=128, constant_words=8
    ),
} | {
    # One pixel, and a requantiser for each slice, for two and for all four.
    f"one, {requantisers}": EngineConfig(
        group=4, outputs=4, pixels=1, requantisers=requantisers, residual_lanes=1, weight_words=64, constant_words=8
    )
    for requantisers in (4, 2, 1)
}
#: The same shapes with fast products, and the wide engine's.
CONFIGS |= {f"{name}, fast": replace(config, products="fast") for name, config in CONFIGS.items()}
CONFIGS["wide"] = replace(ECP5_85F_WIDE, weight_words=64, constant_words=16)

#: Left to the slow tests: shapes that differ from another one's in nothing that products have to do with.
SLOW = {"eight, fast", "one, 4, fast", "one, 2, fast"}


@st.composite
def stages(draw) -> dict:
    """One layer: its channels' groups, its pixels, and what is unusual about its numbers."""
    depth = draw(st.one_of(st.integers(1, 4), st.integers(1, 40)))
    return {
        "depth": depth,
        "groups": draw(st.integers(1, max(1, min(4, 48 // depth)))),
        "plane": draw(st.integers(1, 9)),
        "bytes": draw(st.sampled_from(("any", "any", "any", "lowest", "highest", "ends"))),
        "shifts": draw(st.sampled_from(("usual", "usual", "usual", "extreme"))),
        "whole_range": draw(st.booleans()),
    }


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in CONFIGS])
def test_array(name: str):
    config = CONFIGS[name]
    cases = cases_file(
        f"array-{name}",
        examples=60,
        expand=stages(),
        project=stages(),
        dtype=st.sampled_from(("uint8", "int8")),
        gaps=st.sampled_from(("always", "always", "half", "bursts")),
        seed=st.integers(0, 1 << 32),
    )
    component = PointwiseArray(config=config)
    assert component.latency == 30 + config.outputs + (2 if config.products == "fast" else 0)
    run_cocotb(component, "bench_array", cases=cases, env={"CONFIG": name, "LATENCY": component.latency})


@pytest.mark.parametrize("group", [4, 16])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_products(strategy: str, group: int):
    """Exact for any factors; fast products add those of the weights, half as many."""
    assert (group + group // 2) * 256 * 256 < 1 << (sum_bits(group) - 1)
    products = STRATEGIES[strategy]
    assert {"direct": 5, "fast": 7}[strategy] == products.LATENCY
    run_cocotb(products(group=group), "bench_products", testcase=strategy, env={"GROUP": group})


@pytest.mark.parametrize("group", [4, 16])
def test_shared_products(group: int):
    assert group // 2 * 256 * 256 < 1 << (sum_bits(group // 2) - 1)
    assert PairProducts.LATENCY == FastProducts.LATENCY - 1
    run_cocotb(PairProducts(group=group), "bench_products", testcase="pairs", env={"GROUP": group})


@pytest.mark.slow
def test_shared_products_on_the_chip():
    """Every pair of factors in the carry chains of an ECP5, which take no multiplier; test_ecp5_models.py tries some of them."""
    run_cocotb(OnChip(PairProducts(group=16)), "bench_products", testcase="pairs", env={"GROUP": 16}, sources=MODELS)
