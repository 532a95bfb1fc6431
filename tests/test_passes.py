"""Passes and their sequencer: every op, credit and cycle, and the values a pass is given."""

import pytest
from cocotb_harness import cases_file, run_cocotb
from hypothesis import strategies as st

from narrows.hw.array.pass_fields import pass_values
from narrows.hw.array.passes import Sequencer
from narrows.hw.config import EngineConfig

CONFIGS = {
    "eight": EngineConfig(),
    "four": EngineConfig(group=4, outputs=4, requantisers=4, depthwise_requantisers=2, residual_lanes=2, pixels=4),
    "one": EngineConfig(group=4, outputs=4, pixels=1, requantisers=4, residual_lanes=1),
    "shared": EngineConfig(group=4, outputs=4, pixels=1, requantisers=1, residual_lanes=1),
}
PACES = ("always", "always", "half", "rare", "bursts")
STAGE = {"slices": 1, "groups": 2, "plane": 12, "segment": 8, "depth": 4, "base": 5, "size": 200, "room": 1000}


@st.composite
def stages(draw, pixels: int) -> dict:
    depth = draw(st.one_of(st.integers(1, 5), st.integers(1, 40)))
    segment = pixels * draw(st.integers(1, 4))
    plane = draw(st.integers(1, min(4 * segment, 40)))
    # Rings that segments fill to the last word, too.
    pairs = -(-min(segment, plane) // pixels)
    size = depth * draw(st.one_of(st.sampled_from((2 * pairs, 3 * pairs)), st.integers(pairs, 14)))
    stage = {"groups": draw(st.integers(1, 4)), "plane": plane, "segment": segment, "depth": depth, "size": size}
    results = stage["groups"] * (plane // pixels + 1) * max(depth, pixels)
    stage["slices"] = draw(st.integers(1, max(1, min(3, 800 // results))))
    stage["base"] = draw(st.integers(0, (1 << 16) - size))
    stage["room"] = segment + draw(st.sampled_from((0, 1, segment, 5000)))
    return stage


@st.composite
def blocks(draw, pixels: int) -> dict:
    used = draw(st.sampled_from((("expand", "project"), ("expand", "project"), ("expand",), ("project",))))
    block = {name: draw(stages(pixels)) for name in used}
    block["weight"] = draw(st.sampled_from((0, 1000, 65530, 40000)))
    block["constant"] = draw(st.sampled_from((0, 5, 65535)))
    block["delay"] = draw(st.sampled_from((0, 0, 1, 30)))
    credits = ("weights", "constants", *(f"{name}_{credit}" for name in used for credit in ("available", "freed")))
    free = draw(st.sampled_from((True, False, False)))
    block["paces"] = {credit: "always" if free else draw(st.sampled_from(PACES)) for credit in credits}
    block["hold"] = draw(st.sampled_from((None, None, "half", "bursts")))
    block["seed"] = draw(st.integers(0, 1 << 32))
    return block


@pytest.mark.parametrize("name", CONFIGS)
def test_passes(name: str):
    config = CONFIGS[name]
    cases = cases_file(f"passes-{name}", examples=60, block=blocks(config.pixels))
    run_cocotb(Sequencer(config=config), "bench_passes", cases=cases, env={"CONFIG": name})


def values(**changes: int) -> dict[str, int]:
    return pass_values(EngineConfig(), **STAGE | {"weight": 0, "constant": 0} | changes)


def test_values():
    got = values(plane=13, weight=(1 << 16) + 3)
    assert got == {
        "slices": 1, "groups": 2, "segments": 2, "segment_pixels": 8, "tail_pixels": 5, "pairs": 3, "tail_pairs": 2,
        "tail_mask": 1, "depth": 4, "cycles": 4, "lead": 0, "base": 5, "size": 200, "segment_words": 16, "room": 1000,
        "weight": 3, "constant": 0,
    }  # fmt: skip
    short = values(depth=1)
    assert (short["cycles"], short["lead"]) == (2, 1)
    whole = values(plane=5)
    assert (whole["segments"], whole["tail_pixels"], whole["tail_pairs"], whole["tail_mask"]) == (1, 5, 2, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"segment": 3}, "A segment must be a multiple of 2 pixels, not 3"),
        ({"groups": 4096}, "A pass can't have 4096 groups, the register has 12 bits"),
        ({"depth": 5000, "size": 5000}, "can't have 5000 depth"),
        ({"base": -1}, "can't have -1 base"),
        ({"segment": 1 << 16, "plane": 1 << 17}, "can't have 65536 segment_pixels"),
    ],
)
def test_values_are_checked(changes: dict, message: str):
    with pytest.raises(ValueError, match=message):
        values(**changes)
