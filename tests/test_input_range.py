"""The range of float32 inputs: what the file says, and what it can't say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metadata_writer import metadata
from tflite_writer import Writer

from narrows.errors import NarrowsError
from narrows.inputs.input_range import IMAGENET, USUAL, in_words, input_range, quantize_spans
from narrows.inputs.model_input import ModelInput
from narrows.tflite.file import parse_model
from narrows.tflite.metadata import normalization
from narrows.tflite.model import Model

PIXELS = np.arange(256, dtype=np.uint8)


def file(
    *scales: tuple[float, int], dtype: str = "int8", channels: int = 3, said: bytes | None = None, before: str | None = None,
    first: bool = False,
) -> Model:  # fmt: skip
    """A float32 input into a QUANTIZE for each (scale, zero point), by way of the operator ``before``; with metadata."""
    w = Writer()
    shape = (1, channels, 4, 64) if first else (1, 4, 64, channels)
    x = source = w.tensor(shape, "float32", name="image")
    if before == "RESHAPE":
        x = w.operator("RESHAPE", [x, w.constant([4, 64, channels], "int32")], w.tensor((4, 64, channels), "float32"))
    elif before == "MUL":
        x = w.operator("MUL", [x, w.constant([0.5], "float32")], w.tensor(shape, "float32"))
    outputs = [w.operator("QUANTIZE", [x], w.tensor(x.shape, dtype, *scale)) for scale in scales]
    return parse_model(w.finish([source], outputs, metadata=said))


def quantization(low: float, high: float, dtype: str) -> tuple[float, int]:
    """Scale and zero point as a converter chooses them, with a number that is exactly 0."""
    ends = np.iinfo(dtype)
    scale = np.float32((high - low) / 255)
    return scale, int(np.clip(round(ends.min - low / scale), ends.min, ends.max))


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("usual", USUAL)
@pytest.mark.parametrize("share", [1, 0.97])
def test_the_range_is_the_usual_one_that_the_quantize_spans(usual, dtype, share):
    low, high = usual
    model = file(quantization(low, low + share * (high - low), dtype), dtype=dtype)
    found = input_range(model, 3)
    assert found.source == "quantize" and found.row()["low"] == [low] and found.row()["high"] == pytest.approx([high])
    np.testing.assert_allclose(found.values(PIXELS[:, None])[:, 0], low + PIXELS / 255 * (high - low), atol=1e-6 * (high - low))


def test_values_are_those_of_the_plain_formula_to_the_bit():
    values = {usual: input_range(file(quantization(*usual, "int8")), 3).values(PIXELS[:, None])[:, 0] for usual in USUAL}
    pixels = PIXELS.astype(np.float32)
    assert values[-1, 1].dtype == np.float32
    np.testing.assert_array_equal(values[-1, 1], pixels / np.float32(127.5) - np.float32(1))
    np.testing.assert_array_equal(values[0, 1], pixels / np.float32(255))
    np.testing.assert_array_equal(values[0, 255], pixels)
    np.testing.assert_array_equal(values[-128, 127], pixels - 128)


def test_imagenets_range_is_its_mean_and_deviation():
    found = input_range(file(quantization(-2.1179, 2.64, "int8")), 3)
    mean, std = np.array(IMAGENET) * 255
    assert found.source == "quantize" and "ImageNet" in found.why
    pixels = np.random.default_rng(1).integers(0, 256, (4, 64, 3)).astype(np.uint8)
    np.testing.assert_allclose(found.values(pixels), (pixels - mean) / std, atol=1e-6)
    assert input_range(file(quantization(-2.1179, 2.64, "int8"), channels=1), 1).source == "unknown"


@given(st.floats(-300, 300), st.floats(0.01, 600))
def test_any_other_range_is_spread_over_and_said(low, width):
    scale, zero = width / 255, float(np.clip(round(-128 - low / (width / 255)), -128, 127))
    model = file((scale, int(zero)))
    ((low, high),) = quantize_spans(model)
    found = input_range(model, 1)
    near = [u for u in USUAL if max(abs(low - u[0]), abs(high - u[1])) <= 0.05 * (u[1] - u[0])]
    assert found.source == ("quantize" if near else "unknown")
    assert near or (found.row()["low"] == pytest.approx([low], abs=1e-5 * width) and "--input-range" in found.why)


def test_only_what_moves_values_may_stand_before_the_quantize():
    zero_to_one = quantization(0, 1, "int8")
    assert input_range(file(zero_to_one, before="RESHAPE"), 3).row()["high"] == [1]
    assert input_range(file(zero_to_one, zero_to_one), 3).row()["low"] == [0]
    for model in (file(zero_to_one, before="MUL"), file(zero_to_one, quantization(-1, 1, "int8")), file()):
        found = input_range(model, 3)
        assert (found.source, found.row()["low"], found.row()["high"]) == ("unknown", [-1], [1])
        assert "unknown, taken as -1 to 1" in in_words(found.row())


@pytest.mark.parametrize("first", [False, True])
def test_metadata_comes_first_and_is_applied_exactly_per_channel(first):
    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    model = file(quantization(-1, 1, "int8"), said=metadata(mean, std, before=True), first=first)
    pixels = np.random.default_rng(1).integers(0, 256, (4, 64, 3)).astype(np.uint8)
    source = ModelInput(model)
    assert source.range.source == "metadata" and "mean 123.675, 116.28, 103.53" in source.range.why
    want = (pixels.astype(np.float32) - np.array(mean, np.float32)) / np.array(std, np.float32)
    np.testing.assert_array_equal(source.of_pixels(pixels)[0], want.transpose(2, 0, 1) if first else want)


def test_one_mean_serves_all_channels():
    model = file(quantization(-1, 1, "int8"), said=metadata([0], [255]))
    assert input_range(model, 3).row() == {
        "low": [0], "high": [1], "source": "metadata", "why": "the file's metadata says mean 0, deviation 255"
    }  # fmt: skip


@pytest.mark.parametrize(
    "said",
    [
        metadata([1], [0]), metadata([float("nan")], [1]), metadata([1, 2], [1, 2]), metadata(None, [1]), metadata([1], None),
        metadata([1], [2], kind=2), b"", b"M001", b"\xff\xff\xff\x7fM001" + bytes(40),
    ],
)  # fmt: skip
def test_metadata_that_says_nothing_useful_is_not_there(said):
    model = file(quantization(0, 1, "int8"), said=said)
    assert input_range(model, 3).source == "quantize"


@given(st.data())
def test_damaged_metadata_is_read_or_not_there(data):
    content = bytearray(metadata([1, 2, 3], [4, 5, 6], before=True))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(8, len(content) - 1))] = data.draw(st.integers(0, 255))
    found = normalization(bytes(content[: data.draw(st.integers(8, len(content)))]), 3)
    assert found is None or all(numbers.dtype == np.float32 and numbers.size in (1, 3) for numbers in found)


def test_what_is_asked_for_overrides():
    model = file(quantization(0, 1, "int8"), said=metadata([0], [255]))
    found = input_range(model, 3, (-1, 1))
    assert (found.source, found.row()["low"], found.row()["high"]) == ("option", [-1], [1])
    assert input_range(model, 3, (1, 0)).row()["low"] == [1]
    for wrong in ((0, 0), (0, float("inf")), (float("nan"), 1), (1e30, 1e30), (-3e38, 3e38)):
        with pytest.raises(NarrowsError, match=r"is no input range; give the values of pixels 0 and 255, like -1,1"):
            input_range(model, 3, wrong)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_bytes_have_no_range(dtype):
    w = Writer()
    x = w.tensor((1, 4, 64, 3), dtype, 1 / 255, 0, name="image")
    model = parse_model(w.finish([x], [w.operator("QUANTIZE", [x], w.tensor(x.shape, "int8", 0.5))], metadata=metadata([0], [255])))
    assert input_range(model, 3) is None
    pixels = PIXELS.reshape(4, 64, 1).repeat(3, 2)
    np.testing.assert_array_equal(ModelInput(model).of_pixels(pixels)[0].astype(int), pixels.astype(int) - (128 if dtype == "int8" else 0))
    with pytest.raises(NarrowsError, match=rf"takes {dtype}, so pixels go in as bytes; .*leave it out"):
        input_range(model, 3, (0, 1))
