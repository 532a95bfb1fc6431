"""The stem against the definition of a convolution's patches, and the layout its weights follow."""

import itertools

import pytest
from cocotb_harness import cases_file, run_cocotb
from hypothesis import strategies as st

from narrows.hw.config import EngineConfig
from narrows.hw.stem.fields import stem_fields, stem_layout, stem_pixel_cycles
from narrows.hw.stem.unit import Stem

ENGINES = {
    "4x1": {"group": 4, "image_words": 64, "pixels": 1},
    "4x2": {"group": 4, "image_words": 64, "pixels": 2},
    "8x2": {"group": 8, "image_words": 64, "pixels": 2},
    "16x4": {"group": 16, "image_words": 32, "pixels": 4},
}


def engine(name: str) -> dict:
    sizes = ENGINES[name]
    group = sizes["group"]
    return {**sizes, "outputs": group, "requantisers": group, "depthwise_requantisers": (group + 2) // 3}


@st.composite
def stems(draw, config: EngineConfig):
    """A stem that the engine takes: small pictures, of which the ring still holds only a part."""
    kernels = [(3, 3, c) for c in range(1, 5)] + [(1, 1, 4), (1, 1, 1), (2, 2, 3), (2, 3, 4), (1, 5, 3), (5, 5, 1), (3, 6, 3)]
    kernels += [(10, 4, 1), (15, 1, 2), (1, 11, 1), (2, 9, 2), (3, 3, 5), (2, 2, 8), (1, 1, 15), (1, 1, 20), (1, 15, 4)]
    kh, kw, channels = draw(st.sampled_from(kernels))
    sh, sw = draw(st.integers(1, 4)), draw(st.integers(1, min(4, 63 // channels)))
    top, left = draw(st.integers(0, kh - 1)), draw(st.integers(0, kw - 1))
    ring = config.image_words * config.group
    width = draw(st.integers(1, min(14, (ring - 2 * config.group) // kh // channels)))
    height = draw(st.integers(1, 24))
    rows = draw(st.integers(1, min(6, (height - 1 + top) // sh + 1)))
    columns = draw(st.integers(1, (width - 1 + left) // sw + 1))
    groups = len(stem_layout(kh, kw, channels, config.group))
    return {
        "height": height, "width": width, "channels": channels, "kernel": (kh, kw), "stride": (sh, sw),
        "padding": (top, left), "output": (rows, columns), "zero": draw(st.integers(0, 255)),
        "base": draw(st.integers(0, 40)), "size": groups * draw(st.integers(1, 6)), "seed": draw(st.integers(0, 99)),
    }  # fmt: skip


@pytest.mark.parametrize("name", ENGINES)
def test_stem(name: str):
    config = EngineConfig(**engine(name))
    cases = cases_file(f"stem_{name}", examples=60, case=stems(config))
    run_cocotb(Stem(config=config), "bench_stem", cases=cases, env={"NARROWS_CONFIG": engine(name)})


@pytest.mark.parametrize("width", [224, 513])
def test_photograph(width: int):
    """The usual engine on the first rows of pictures of real sizes, padded as TensorFlow Lite does."""
    columns = (width + 1) // 2
    case = {
        "height": 8, "width": width, "channels": 3, "kernel": (3, 3), "stride": (2, 2), "padding": (0, width % 2),
        "output": (4, columns), "zero": 128, "base": 100, "size": 400, "seed": 4,
    }  # fmt: skip
    cases = cases_file(f"stem_photograph_{width}", examples=1, case=st.just(case))
    run_cocotb(Stem(config=EngineConfig()), "bench_stem", testcase="shapes", cases=cases)


@pytest.mark.parametrize(("kernel", "channels", "group", "words", "cycles"), [
    ((3, 3), 3, 8, 4, 4),
    ((3, 3), 3, 4, 7, 7),
    ((3, 3), 3, 16, 3, 3),
    ((3, 3), 1, 8, 3, 3),
    ((2, 3), 4, 8, 3, 5),
    ((1, 1), 3, 4, 1, 2),
])
def test_layout_size(kernel, channels, group, words, cycles):
    assert len(stem_layout(*kernel, channels, group)) == words
    assert stem_pixel_cycles(kernel=kernel, channels=channels, group=group) == cycles


@pytest.mark.parametrize("group", [4, 8, 16])
def test_layout_is_complete(group: int):
    """Every input of the patch has exactly one byte."""
    for kh, kw, channels in itertools.product(range(1, 16, 2), range(1, 12), range(1, 10, 2)):
        words = stem_layout(kh, kw, channels, group)
        assert all(len(word) == group for word in words)
        held = [value for word in words for value in word if value is not None]
        assert sorted(held) == list(itertools.product(range(kh), range(kw), range(channels)))


GOOD = {
    "height": 224, "width": 224, "channels": 3, "kernel": (3, 3), "stride": (2, 2), "padding": (0, 0),
    "output": (112, 112), "zero": 128, "base": 0, "size": 400,
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), [
    ({"channels": 32}, "fewer than 64 bytes apart, not 2 pixels of 32 channels"),
    ({"kernel": (16, 3)}, "1 to 15 rows of 1 to 120 bytes, not 16 rows of 3 pixels of 3 channels"),
    ({"kernel": (3, 43)}, "1 to 15 rows of 1 to 120 bytes, not 3 rows of 43 pixels"),
    ({"stride": (5, 1)}, "strides are 1 to 4, not 5 and 1"),
    ({"padding": (3, 0)}, "padding of 3 rows and 0 columns"),
    ({"output": (0, 1)}, "cannot be counted"),
    ({"output": (113, 112)}, "reaches beyond the picture of 224x224"),
    ({"zero": -1}, "0 to 255, not -1"),
    ({"width": 1000}, "3 rows of 3000 bytes and two words do not fit the picture memory of 8192 bytes"),
    ({"height": 10000}, "4194304 or more"),
    ({"size": 3}, "does not hold one patch of 4 words"),
    ({"size": 402}, "does not hold whole pixels of 4 words"),
    ({"base": 14000}, "exceeds the banks of 14336 words"),
])
def test_refusals(change: dict, message: str):
    stem_fields(config=EngineConfig(), **GOOD)
    with pytest.raises(ValueError, match=message):
        stem_fields(config=EngineConfig(), **{**GOOD, **change})
