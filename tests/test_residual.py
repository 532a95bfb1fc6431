"""ResidualAdd against the golden ADD, and the fields it gets from a layer."""

import numpy as np
import pytest
from cocotb_harness import cases_file, run_cocotb
from hypothesis import strategies as st

from narrows.errors import NarrowsError
from narrows.graph.network import Add, Tensor
from narrows.hw.arithmetic.requantise import MAX_SHIFT, MIN_SHIFT
from narrows.hw.config import EngineConfig
from narrows.hw.writeback.residual import ResidualAdd
from narrows.hw.writeback.residual_fields import MAX_INPUT_SHIFT, MIN_INPUT_SHIFT, ResidualFields, residual_fields

TAG_BITS = 3


@st.composite
def _fields(draw) -> dict:
    lowest = draw(st.sampled_from((-128, 0)))
    byte = st.one_of(st.integers(lowest, lowest + 255), st.sampled_from((lowest, lowest + 255)))
    multiplier = st.one_of(st.integers(0, 2**31 - 1), st.integers(2**30, 2**31 - 1), st.just(2**30))
    usual = draw(st.booleans())
    input_shift = st.integers(*(-7, 0) if usual else (MIN_INPUT_SHIFT, MAX_INPUT_SHIFT))
    lo, hi = sorted((draw(byte), draw(byte))) if draw(st.booleans()) else (lowest, lowest + 255)
    return {
        "enable": 1,
        "signed": int(lowest < 0),
        **{name: draw(byte) for name in ("z1", "z2")},
        **{name: draw(multiplier) for name in ("m1", "m2", "mo")},
        **{name: draw(input_shift) for name in ("s1", "s2")},
        "so": draw(st.integers(*(-22, -14) if usual else (MIN_SHIFT, MAX_SHIFT))),
        "range": {"zero_point": draw(byte), "lo": lo, "hi": hi},
    }


@pytest.mark.parametrize(("group", "lanes"), [(8, 4), (8, 8), (4, 1), (4, 0), (8, 0)])
def test_residual(group: int, lanes: int):
    config = EngineConfig(group=group, outputs=group, requantisers=group, residual_lanes=lanes)
    component = ResidualAdd(config=config, tag_width=TAG_BITS)
    cycles = group // lanes if lanes else 9 * group
    assert config.sum_cycles == cycles
    assert component.latency(config) == (30 if lanes else 33) + cycles
    env = {
        "GROUP": group,
        "TAG_BITS": TAG_BITS,
        "WORD_CYCLES": cycles,
        "LATENCY": component.latency(config),
        "BYPASS_LATENCY": component.BYPASS_LATENCY,
    }
    run_cocotb(component, "bench_residual", cases=cases_file("residual", examples=120, fields=_fields()), env=env)


def test_tag_width_is_checked():
    with pytest.raises(ValueError, match="tag_width must be 1 bit or more, not 0"):
        ResidualAdd(config=EngineConfig(), tag_width=0)


def _tensor(name: str, dtype: str = "int8", zero_point: int = 0) -> Tensor:
    return Tensor(name=name, index=0, shape=(1, 1, 8), dtype=dtype, scale=0.1, zero_point=zero_point)


def _add(**changes) -> Add:
    values = {
        "name": "block_2_add",
        "op": 12,
        "inputs": (_tensor("shortcut", zero_point=-5), _tensor("projected", zero_point=9)),
        "output": _tensor("sum", zero_point=1),
        "macs": 0,
        "m1": (1 << 30, 0),
        "m2": (1717986918, -2),
        "mo": (1288490189, -17),
        "zero_point": 1,
        "lo": -128,
        "hi": 127,
    }
    return Add(**values | changes)


def test_fields_of_a_layer():
    fields = residual_fields(_add(), a_index=1)
    assert fields == {
        "enable": 1, "signed": 1, "z1": 9, "z2": -5, "m1": 1717986918, "m2": 1 << 30, "mo": 1288490189,
        "s1": -2, "s2": 0, "so": -17, "range": {"zero_point": 1, "lo": -128, "hi": 127},
    }  # fmt: skip
    packed = ResidualFields.const(fields)
    assert (packed.z1, packed.s1, packed.m2, packed.so, packed.range.lo) == (9, -2, 1 << 30, -17, -128)
    swapped = residual_fields(_add())
    assert (swapped["z1"], swapped["m1"], swapped["s1"], swapped["z2"]) == (-5, 1 << 30, 0, 9)


def test_fields_are_plain_integers():
    values = residual_fields(_add(m1=(np.int64(1 << 30), np.int64(-1)), lo=np.int64(-3)))
    assert type(values["m1"]) is int and type(values["s1"]) is int and type(values["range"]["lo"]) is int


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"m2": (-(1 << 30), 0)}, r"Operator 12 \(block_2_add\): the multiplier -\d+ of projected .* subtraction"),
        ({"m1": (1 << 30, 1)}, r"the shift 1 of shortcut is outside -31\.\.0"),
        ({"mo": (1 << 30, 2)}, r"the shift 2 of sum is outside -31\.\.1"),
        ({"output": _tensor("sum", "uint8")}, r"adds int8 \(shortcut\) into uint8; it needs one type"),
        ({"output": _tensor("sum", zero_point=200)}, r"the zero point 200 of sum is no int8"),
        ({"lo": -129}, r"Operator 12 \(block_2_add\): A range of -129\.\.127 is not one of bytes"),
    ],
)
def test_layers_the_hardware_cannot_add(changes: dict, message: str):
    with pytest.raises(NarrowsError, match=message):
        residual_fields(_add(**changes))


def test_there_are_two_inputs():
    with pytest.raises(ValueError, match="inputs 0 and 1, no 2"):
        residual_fields(_add(), a_index=2)
