"""Load and store of activation memory against the definition of a tensor's places."""

import pytest
from cocotb_harness import cases_file, run_cocotb
from hypothesis import strategies as st

from narrows.hw.activations.stream import ActivationLoad, ActivationStore, transfer_fields
from narrows.hw.config import EngineConfig

SHAPES = [(4, 1), (4, 2), (8, 2), (8, 4), (16, 2)]


def engine(group: int, pixels: int) -> dict:
    return {"group": group, "pixels": pixels, "outputs": group, "requantisers": group, "depthwise_requantisers": (group + 2) // 3}


@st.composite
def tensors(draw):
    """A tensor and a region, mostly smaller than it."""
    groups = draw(st.one_of(st.just(1), st.integers(1, 9)))
    return {
        "base": draw(st.integers(0, 100)),
        "groups": groups,
        "size": groups * draw(st.integers(1, 6)),
        "pixels": draw(st.integers(0, 30)),
        "seed": draw(st.integers(0, 99)),
    }


@pytest.mark.parametrize(("group", "pixels"), SHAPES)
@pytest.mark.parametrize("unit", [ActivationLoad, ActivationStore])
def test_transfer(unit, group: int, pixels: int):
    config = EngineConfig(**engine(group, pixels))
    cases = cases_file(f"activation_stream_{group}_{pixels}", examples=20, case=tensors())
    bench = "bench_activation_load" if unit is ActivationLoad else "bench_activation_store"
    run_cocotb(unit(config=config), bench, cases=cases, env={"NARROWS_CONFIG": engine(group, pixels)})


GOOD = {"base": 0, "size": 30, "groups": 3, "pixels": 100}


@pytest.mark.parametrize(("change", "message"), [
    ({"groups": 0}, "does not hold one pixel of 0 words"),
    ({"size": 2}, "region of 2 words per bank does not hold one pixel of 3 words"),
    ({"size": 31}, "region of 31 words does not hold whole pixels of 3 words"),
    ({"base": 14320}, "region of 30 words at 14320 exceeds the banks of 14336 words"),
    ({"pixels": 1 << 19}, "524288 pixels cannot be counted"),
    ({"pixels": (1 << 19) - 1, "size": 900, "groups": 90}, "too large for one transfer of 33554432 bytes"),
])
def test_refusals(change: dict, message: str):
    assert transfer_fields(config=EngineConfig(), **GOOD) == {
        "walk": {"base": 0, "size": 30, "stride": 3, "groups": 3}, "ring": 20, "pixels": 100, "words": 1200,
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        transfer_fields(config=EngineConfig(), **{**GOOD, **change})


def test_depth():
    with pytest.raises(ValueError, match="4 words or more, not 2"):
        ActivationStore(config=EngineConfig(), depth=2)
