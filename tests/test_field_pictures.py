"""Pictures, ranges and names as they come from the field, in files outside the repository."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rtl_runs import SHARED

from narrows.api import check_model, run_model
from narrows.device.device import Device
from narrows.errors import NarrowsError
from narrows.inputs.model_input import ModelInput
from narrows.inputs.picture_file import read_pixels
from narrows.tflite.file import read_model

FIELD = SHARED / "field"
PICTURES = FIELD / "pictures"
CLASSIFIER = SHARED / "models" / "mobilenet_v1_0.25_128_quant.tflite"
RANGES = {"range_0_1": [0, 1], "range_0_255": [0, 255], "range_-1_1": [-1, 1]}

pytestmark = pytest.mark.skipif(not FIELD.is_dir(), reason="the files from the field are not there")


def pixels(name: str, channels: int = 3) -> np.ndarray:
    return read_pixels(PICTURES / name, 128, 128, channels)[0]


def today(name: str, mode: str = "RGB") -> np.ndarray:
    """The definition of the recorded hashes, for ordinary pictures."""
    return np.asarray(Image.open(PICTURES / name).convert(mode).resize((128, 128), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("name", ["plain.png", "rgb16.png", "rgba_half_transparent.png"])
def test_ordinary_pictures_keep_their_bytes(name):
    np.testing.assert_array_equal(pixels(name), today(name))
    np.testing.assert_array_equal(pixels(name, 1)[..., 0], today(name, "L"))
    np.testing.assert_array_equal(pixels(name), today("plain.png"))


@pytest.mark.parametrize("name", ["grey16.png", "float.tif"])
def test_wide_grey_is_the_grey_of_the_picture(name):
    np.testing.assert_array_equal(pixels(name, 1)[..., 0], today("plain.png", "L"))
    grey = np.asarray(Image.open(PICTURES / "plain.png").convert("L").convert("RGB").resize((128, 128), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(pixels(name), grey)


def test_integers_without_a_range_are_refused():
    with pytest.raises(NarrowsError, match=r"int32\.tif: a TIFF of 32-bit or signed integers doesn't say .*save it with 8 bits"):
        run_model(CLASSIFIER, [PICTURES / "int32.tif"], on="golden")


def test_a_telephones_picture_is_upright_and_of_the_same_class():
    turned = run_model(CLASSIFIER, [PICTURES / "exif6.jpg", PICTURES / "plain.png"], on="golden", top=3)["images"]
    assert turned[0]["notes"] == ["EXIF orientation 6: turned by 90 degrees clockwise"] and turned[1]["notes"] == []
    assert [index for index, _ in turned[0]["top"]][:2] == [index for index, _ in turned[1]["top"]][:2]
    assert np.abs(pixels("exif6.jpg").astype(int) - pixels("plain.png")).mean() < 4


@pytest.mark.parametrize("name", RANGES)
def test_the_files_own_range_gives_the_recorded_bytes(name, tmp_path):
    recorded = json.loads((FIELD / "golden.json").read_text())[f"{name}.tflite"]
    images = [SHARED / "images" / image for image in recorded]
    result = run_model(FIELD / "made" / f"{name}.tflite", images, on="golden")
    said = result["input_range"]
    assert (said["low"], said["high"], said["source"]) == (RANGES[name][:1], RANGES[name][1:], "quantize")
    for row in result["images"]:
        assert [output["sha256"] for output in row["outputs"]] == [o["sha256"] for o in recorded[Path(row["image"]).name]]
    asked = run_model(FIELD / "made" / f"{name}.tflite", images, on="golden", input_range=(0.0, 0.25))
    assert asked["input_range"]["source"] == "option" and asked["input_range"]["high"] == [0.25]
    assert [row["outputs"] for row in asked["images"]] != [row["outputs"] for row in result["images"]]
    # An array that is the input itself has no range, and needs none.
    np.save(tmp_path / "x.npy", ModelInput(read_model(FIELD / "made" / f"{name}.tflite")).read(images[0]).value)
    given = run_model(FIELD / "made" / f"{name}.tflite", [tmp_path / "x.npy"], on="golden")
    assert given["input_range"] is None and given["images"][0]["outputs"] == result["images"][0]["outputs"]


def test_the_gateware_gets_the_same_pixels_and_an_interpreter_too():
    model, image = FIELD / "made" / "range_0_1.tflite", SHARED / "images" / "cat.png"
    recorded = json.loads((FIELD / "golden.json").read_text())[model.name][image.name]
    row = run_model(model, [image], input_range=(0.0, 1.0))["images"][0]
    assert [output["sha256"] for output in row["outputs"]] == [output["sha256"] for output in recorded]
    with Device.open("sim") as device:
        answers = {}
        for asked in (None, (0.0, 1.0), (0.0, 0.25)):
            interpreter = device.interpreter(model, input_range=asked)
            assert interpreter.input_range.source == ("option" if asked else "quantize")
            (best, *_) = interpreter.classify(image, top=1)
            answers[asked] = (best, interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).tobytes())
    assert answers[None] == answers[0.0, 1.0] != answers[0.0, 0.25]
    assert hashlib.sha256(answers[None][1]).hexdigest() == recorded[0]["sha256"]


def test_a_check_says_what_it_made_of_the_picture():
    result = check_model(FIELD / "made" / "range_0_1.tflite", [PICTURES / "exif6.jpg"])
    assert result["equal"] and result["input_range"]["high"] == [1]
    assert result["images"][0]["notes"] == ["EXIF orientation 6: turned by 90 degrees clockwise"]


def test_a_range_for_a_model_of_bytes_is_refused():
    for call in (run_model, check_model):
        with pytest.raises(NarrowsError, match="takes uint8, so pixels go in as bytes"):
            call(CLASSIFIER, [PICTURES / "plain.png"], input_range=(0.0, 1.0), **({"on": "golden"} if call is run_model else {}))


def test_a_published_float_input_is_minus_one_to_one():
    source = ModelInput(read_model(FIELD / "models" / "mcunet_vww.tflite"))
    assert (source.range.source, source.range.row()["low"], source.range.row()["high"]) == ("quantize", [-1], [1])


def test_a_folder_with_a_space_is_the_pictures_in_it(tmp_path):
    folder = tmp_path / "my pics"
    folder.mkdir()
    for name in ("plain.png", "exif6.jpg"):
        shutil.copy(PICTURES / name, folder / f"a {name}")
    (folder / "notes.txt").write_text("no picture")
    result = run_model(CLASSIFIER, [folder], on="golden")
    assert [Path(row["image"]).name for row in result["images"]] == ["a exif6.jpg", "a plain.png"]
