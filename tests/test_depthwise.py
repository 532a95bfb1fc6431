"""The depthwise unit against the golden kernels, and the fields it is given."""

import json
from pathlib import Path

import pytest
from cocotb_harness import cases_file, run_cocotb
from depthwise_blocks import blocks
from depthwise_system import CONFIGS, DepthwiseSystem

from narrows.hw.config import EngineConfig
from narrows.hw.depthwise.fields import depthwise_fields
from narrows.hw.depthwise.geometry import DepthwiseGeometry, constant_words
from narrows.hw.depthwise.unit import DepthwiseUnit

GEOMETRY = {
    "slices": 1,
    "images": 1,
    "groups": 2,
    "in_h": 7,
    "in_w": 6,
    "out_h": 7,
    "out_w": 6,
    "kernel": (3, 3),
    "stride": (1, 1),
    "dilation": (1, 1),
    "pad": (1, 1),
    "segment": 4,
}
CASE = {"kind": "filter", "seed": 5, "expand_segment": 4, "dtype": "uint8", "ring": 14, "base": 3}
CASE |= dict.fromkeys(("idle", "loads", "projects", "pressure"), "always")


def _run(name: str, testcase: str, cases: Path) -> None:
    run_cocotb(DepthwiseSystem(config=CONFIGS[name]), "bench_depthwise", testcase=testcase, cases=cases, env={"CONFIG": name})


def _written(tmp_path: Path, cases: list) -> Path:
    path = tmp_path / "cases.json"
    path.write_text(json.dumps(cases))
    return path


@pytest.mark.parametrize("name", CONFIGS)
def test_drawn_blocks(name: str):
    _run(name, "drawn", cases_file(f"depthwise-{name}", examples=60, block=blocks(CONFIGS[name])))


def test_all_paces(tmp_path: Path):
    _run("eight", "all_paces", _written(tmp_path, [CASE | {"geometry": GEOMETRY}]))


def test_counters(tmp_path: Path):
    _run("eight", "counters", _written(tmp_path, [CASE | {"geometry": GEOMETRY | {"images": 3}}]))


RATES = [
    # Cycles per word, and what differs from GEOMETRY.
    (3, {}),
    (3, {"images": 2, "slices": 3}),
    (3, {"segment": 1}),
    (3, {"segment": 5, "groups": 3}),
    (3, {"groups": 1, "segment": 6}),
    (3, {"groups": 1, "segment": 1}),
    (3, {"groups": 1, "in_w": 2, "out_w": 2, "segment": 2}),
    (3, {"groups": 1, "in_w": 1, "out_w": 1, "segment": 1}),
    (3, {"dilation": (2, 2), "pad": (2, 2)}),
    (3, {"dilation": (1, 4), "pad": (1, 4)}),
    (10, {"kernel": (5, 5), "pad": (2, 2)}),
    (6, {"kernel": (5, 3), "pad": (2, 1), "images": 2}),
    (3, {"kernel": (1, 3), "pad": (0, 1)}),
]


@pytest.mark.parametrize("name", CONFIGS)
def test_rates(name: str, tmp_path: Path):
    # Requantisation takes longer than a 1x1 kernel.
    rates = RATES + [(3, {"kernel": (1, 1), "pad": (0, 0)})] * (name == "eight")
    # A lane takes the channels of a group in turn.
    least = constant_words(CONFIGS[name])
    cases = [{"cycles": max(cycles, least), "block": CASE | {"ring": None, "geometry": GEOMETRY | changes}} for cycles, changes in rates]
    _run(name, "rates", _written(tmp_path, cases))


def test_latency():
    assert DepthwiseUnit.latency(EngineConfig()) == 34


def _fields(config: EngineConfig = CONFIGS["eight"], **changes) -> dict:
    others = {"base": 0, "size": 100, "pixel_words": 2, "zero_in": 3, "zero_point": 0, "lo": 0, "hi": 255, "is_signed": False}
    geometry = DepthwiseGeometry(**GEOMETRY | {k: v for k, v in changes.items() if k in GEOMETRY})
    others |= {k: v for k, v in changes.items() if k not in GEOMETRY}
    return depthwise_fields(config=config, geometry=geometry, **others)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"slices": 0}, "Depthwise slices must be 1 to 4095, not 0"),
        ({"in_w": 2048}, "Depthwise in_w must be 1 to 2047, not 2048"),
        ({"kernel": (128, 3)}, "kernel must be two numbers of 1 to 127"),
        ({"stride": (1, 5)}, "stride must be two numbers of 1 to 4"),
        ({"pad": (-1, 0)}, "pad must be two numbers of 0 to 255"),
        ({"dilation": (3, 1)}, "vertical dilation of 3 puts all rows of the kernel into one bank"),
        ({"segment": 7}, "segment of 7 outputs is longer than a row of 6"),
        ({"out_h": 9, "pad": (0, 0)}, "9 outputs with stride 1 do not fit 7 pixels padded by 0"),
        ({"in_h": 2047, "in_w": 2047}, "counts fewer than 524288 pixels"),
        ({"in_w": 40}, "bank of the line buffers holds 32 pixels of 2 words, a row has 40: use more slices"),
        ({"in_w": 30, "kernel": (5, 5)}, "do not hold what outputs up to .* of row 0 need"),
        ({"ring": 3}, "segment of 4 outputs does not fit a ring of 3"),
        ({"ring": 30, "slices": 2}, "ring of 30 filtered pixels can't hold 2 slices"),
        ({"zero_in": -1}, "zero point of -1 is not a byte of the input's type"),
        ({"kernel": (5, 1), "pad": (2, 0)}, "5 x 1 takes fewer cycles than its rows or requantising its results"),
        ({"kernel": (30, 30), "pad": (29, 29)}, "Sums over a kernel of 30 x 30 do not fit 26 bits"),
        ({"groups": 12, "in_w": 4, "out_w": 4, "in_h": 3, "out_h": 3}, "weights of 12 groups take 36 words, the unit's memory has 32"),
        ({"lo": 5, "hi": 4}, "range of 5..4"),
        ({"size": 101}, "region of 101 words does not hold whole pixels"),
    ],
)
def test_fields_are_checked(changes: dict, message: str):
    with pytest.raises(ValueError, match=message):
        _fields(**changes)


@pytest.mark.parametrize("dilation", [1, 2, 4, 5, 7, 8])
def test_rows_of_a_kernel_are_in_three_banks(dilation: int):
    fields = _fields(dilation=(dilation, 1), pad=(dilation, 1))
    assert {0, fields["step_second"]["bank"], fields["step_third"]["bank"]} == {0, 1, 2}


def test_networks_fit():
    # MobileNetV2 1.0/224: block 2 as rows, block 17 slice by slice; and a global sum of 33 x 33.
    config = EngineConfig()
    rows = {"in_h": 112, "in_w": 112, "out_h": 56, "out_w": 56, "groups": 12, "stride": (2, 2), "pad": (0, 0), "segment": 14}
    assert _fields(config, **rows, size=3 * 28 * 12, pixel_words=12, ring=84)["limit"] == 170 * 12
    assert _fields(config, slices=120, images=4, in_w=7, out_w=7, groups=1, size=120 * 98, pixel_words=120)["slices"] == 119
    pool = {"in_h": 33, "in_w": 33, "out_h": 1, "out_w": 1, "kernel": (33, 33), "pad": (0, 0), "segment": 1}
    assert _fields(config, **pool, groups=1, slices=40, size=40, pixel_words=40, ones=True)["triples"] == 10
