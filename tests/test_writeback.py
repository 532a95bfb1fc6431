"""From project's results to activation memory: places, marks and residual sums."""

import pytest
from cocotb_bench import PATTERNS
from cocotb_harness import cases_file, run_cocotb
from hypothesis import strategies as st

from narrows.hw.config import EngineConfig
from narrows.hw.writeback.writeback import Writeback

CONFIGS = {
    "eight": EngineConfig(),
    "four": EngineConfig(group=4, outputs=4, requantisers=4, depthwise_requantisers=2, residual_lanes=4, pixels=4),
    "one": EngineConfig(group=4, outputs=4, pixels=1, requantisers=4, depthwise_requantisers=2, residual_lanes=1),
    "turns": EngineConfig(group=4, outputs=4, pixels=1, requantisers=1, depthwise_requantisers=1, residual_lanes=0),
}


@st.composite
def regions(draw, *, groups: int) -> dict:
    """Where a tensor lies: a ring of whole pixels."""
    stride = groups + draw(st.sampled_from((0, 0, 3)))
    size = stride * draw(st.integers(1, 9))
    return {"base": draw(st.integers(0, (1 << 16) - size)), "size": size, "stride": stride}


@st.composite
def blocks(draw) -> dict:
    slices, groups = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    paces = st.sampled_from(("always", "always", *PATTERNS))
    return {
        "slices": slices,
        "groups": groups,
        "segments": draw(st.lists(st.integers(1, 9), min_size=1, max_size=6)),
        "output": draw(regions(groups=slices * groups)),
        "shortcut": draw(regions(groups=slices * groups)),
        "residual": draw(st.booleans()),
        "dtype": draw(st.sampled_from(("uint8", "int8"))),
        "paces": {name: draw(paces) for name in ("words", "reads", "answers", "pressure")},
        "seed": draw(st.integers(0, 1 << 32)),
    }


@pytest.mark.parametrize("name", CONFIGS)
def test_writeback(name: str):
    cases = cases_file("writeback", examples=60, block=blocks())
    run_cocotb(Writeback(config=CONFIGS[name]), "bench_writeback", cases=cases, env={"CONFIG": name})
