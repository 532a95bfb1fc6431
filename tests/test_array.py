"""The pointwise array against the golden kernels, and the products it is made of."""

import pytest
from cocotb_harness import cases_file, run_cocotb
from hypothesis import strategies as st

from narrows.hw.array import PointwiseArray
from narrows.hw.config import EngineConfig
from narrows.hw.products import DirectProducts, sum_bits

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


@pytest.mark.parametrize("name", CONFIGS)
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
    assert component.latency == 30 + config.outputs
    run_cocotb(component, "bench_array", cases=cases, env={"CONFIG": name, "LATENCY": component.latency})


@pytest.mark.parametrize("group", [4, 16])
def test_products(group: int):
    assert group * 256 * 256 < 1 << (sum_bits(group) - 1)
    run_cocotb(DirectProducts(group=group), "bench_products", env={"GROUP": group})
