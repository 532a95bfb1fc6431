"""Walker: the order of words, and the checks of its fields."""

import pytest
from cocotb_harness import cases_file, run_cocotb
from hypothesis import strategies as st

from narrows.hw.activations.address_generator import ADDRESS_BITS, Walker, walk_fields


@st.composite
def _tensor(draw) -> dict:
    groups, slices, places = draw(st.integers(1, 5)), draw(st.integers(1, 3)), draw(st.integers(1, 9))
    stride = groups * slices + draw(st.sampled_from((0, 0, 1, 5)))
    return {
        "groups": groups,
        "slices": slices,
        "stride": stride,
        "places": places,
        "base": draw(st.integers(0, (1 << ADDRESS_BITS) - places * stride)),
        "segments": draw(st.lists(st.integers(1, 9), min_size=1, max_size=6)),
    }


@pytest.mark.parametrize("pixels", [1, 2, 4])
def test_walker(pixels: int):
    cases = cases_file("walker", examples=120, tensor=_tensor())
    run_cocotb(Walker(pixels=pixels), "bench_walker", cases=cases, env={"PIXELS": pixels})


def test_fields():
    good = {"base": 4, "size": 24, "stride": 6, "groups": 2}
    assert walk_fields(**good) == good
    with pytest.raises(ValueError, match="25 words does not hold whole pixels of 6 words"):
        walk_fields(**good | {"size": 25})
    for wrong in {"base": 65536 - 23}, {"stride": 4096, "size": 4096}, {"groups": 4096}, {"base": 0, "size": 65536, "stride": 1}:
        with pytest.raises(ValueError, match="does not fit the walker's registers"):
            walk_fields(**good | wrong)
