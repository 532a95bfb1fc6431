"""Requantise and RoundingShift against the reference arithmetic."""

import pytest
from cocotb_harness import cases_file, run_cocotb
from hypothesis import strategies as st

from narrows.hw.arithmetic.requantise import MAX_SHIFT, MIN_SHIFT, Requantise, RoundingShift, channel_constants, output_range
from narrows.hw.parts.multiplier import Multiplier

INT32 = st.one_of(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**16), 2**16))
VECTOR = st.tuples(
    INT32,
    st.one_of(st.integers(-(2**26), 2**26 - 1), st.sampled_from((-(2**26), 2**26 - 1))),
    st.one_of(st.integers(0, 2**31 - 1), st.integers(2**30, 2**31 - 1)),
    st.integers(MIN_SHIFT, MAX_SHIFT),
)


def _output(lowest: int) -> st.SearchStrategy:
    byte = st.integers(lowest, lowest + 255)
    return st.tuples(byte, byte, byte).map(lambda v: (v[0], min(v[1:]), max(v[1:])))


def test_requantise():
    cases = cases_file(
        "requantise",
        examples=100,
        vectors=st.lists(VECTOR, min_size=20, max_size=60),
        output=st.one_of(_output(-128), _output(0)),
    )
    env = {"LATENCY": Requantise.LATENCY, "RANGE_DELAY": Requantise.RANGE_DELAY}
    run_cocotb(Requantise(), "bench_requantise", cases=cases, env=env)


def test_latency_is_the_documented_one():
    assert (Requantise.LATENCY, Requantise.RANGE_DELAY) == (15, 12)
    assert RoundingShift.LATENCY == 3


@pytest.mark.parametrize(("i_width", "o_width"), [(29, 30), (32, 30), (32, 11)])
def test_rounding_shift(i_width: int, o_width: int):
    env = {"LATENCY": RoundingShift.LATENCY, "I_WIDTH": i_width, "O_WIDTH": o_width}
    run_cocotb(RoundingShift(i_width=i_width, o_width=o_width), "bench_rounding_shift", env=env)


def test_wrong_parameters_are_refused():
    with pytest.raises(ValueError, match="gives 2..9 bits, not 10"):
        RoundingShift(i_width=8, o_width=10)
    with pytest.raises(ValueError, match="2 bits of a"):
        Multiplier(a_width=1, b_width=4)


def test_constants_are_checked():
    good = {"bias": -(1 << 31), "multiplier": (1 << 31) - 1, "shift": MIN_SHIFT}
    assert channel_constants(**good) == good
    for wrong in {"bias": 1 << 31}, {"multiplier": -1}, {"multiplier": 1 << 31}, {"shift": -32}, {"shift": 2}:
        with pytest.raises(ValueError, match="does not fit|outside -31..1"):
            channel_constants(**good | wrong)


def test_ranges_are_checked():
    good = {"zero_point": 255, "lo": 0, "hi": 255}
    assert output_range(**good) == good
    for wrong in {"zero_point": 256}, {"lo": -129}, {"hi": 256}, {"lo": -1}, {"lo": 9, "hi": 8}:
        with pytest.raises(ValueError, match="is not (one of bytes|a byte)"):
            output_range(**good | wrong)
