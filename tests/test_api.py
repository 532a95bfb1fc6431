"""What the command line calls: results under their keys, errors in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from engine_runs import SMALL
from imported_network import Net
from PIL import Image
from random_mobilenet import random_mobilenet

from narrows import check
from narrows.api import check_model, plan_model, run_model
from narrows.check import first_difference
from narrows.errors import NarrowsError
from narrows.golden import oracle
from narrows.hw.config import EngineConfig
from narrows.tflite.file import read_model

OPTIONS = {
    "pool": "MEAN", "kernel": 3, "rescaling": False, "ends": "plain", "channels_first": False, "channels": 3, "dtype": "int8",
    "last": "none",
}  # fmt: skip
BLOCK_KEYS = {"name", "mode", "slices", "macs", "cycles", "predicted_cycles", "pointwise_busy", "depthwise_busy", "wait_weights",
              "wait_data", "read_bytes", "write_bytes", "utilisation"}  # fmt: skip


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "net.tflite"
    path.write_bytes(random_mobilenet(np.random.default_rng(5), height=21, width=19, **OPTIONS))
    return path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 30, 3)).astype(np.uint8)).save(path)
    return path


def test_a_run_on_both_devices(model, image):
    got = run_model(model, [image, image], top=2)
    golden = run_model(model, [image], on="golden", top=2)
    assert json.loads(json.dumps(got)) == got  # nothing of NumPy in it
    assert [row["outputs"] for row in got["images"]] == [golden["images"][0]["outputs"]] * 2
    assert {"top", "values", "image", "outputs", "cycles"} <= set(got["images"][0]) and len(got["images"][0]["top"]) == 2
    assert set(got["blocks"][0]) >= BLOCK_KEYS and got["interior_bytes_to_dram"] == 0
    assert got["engine"] == EngineConfig().digest and got["multipliers"] == 152
    assert sum(block["macs"] for block in got["blocks"]) == got["macs"]
    assert not {"cycles", "blocks", "engine"} & set(golden)


@pytest.mark.parametrize("slices", [None, 1, 2])
def test_a_check_compares_every_block(model, image, slices):
    result = check_model(model, [image], slices=slices)
    assert result["equal"] and result["images"][0]["blocks"]
    assert all(row["equal"] and row["first_difference"] is None for row in result["images"][0]["blocks"])
    assert json.loads(json.dumps(result)) == result


def test_a_check_on_a_small_engine(model, image):
    assert check_model(model, [image], config=SMALL)["equal"]


def test_a_check_says_what_it_compared_with(model, image, monkeypatch):
    with_it = check_model(model, [image])
    assert with_it["oracle"] == oracle.available()
    assert list(with_it["compared"]) == ["blocks", "layers", *(["operators"] if oracle.available() else [])]
    monkeypatch.setattr(oracle, "available", lambda: False)
    without = check_model(model, [image])
    assert without["equal"] and not without["oracle"] and "is not installed" in without["oracle_missing"]
    assert list(without["compared"]) == ["blocks", "layers"] and without["images"][0]["operators"] == []
    rows = with_it["images"][0]
    assert len(rows["operators"]) == (len(read_model(model).operators) if with_it["oracle"] else 0)
    assert rows["layers"] and not rows.get("not_compared")


def test_a_check_finds_a_layer_that_is_not_its_operators(model, image, monkeypatch):
    """Gateware and golden layers may agree on what is not in the file."""

    def other(network, value, observer):
        tensors = run_golden(network, value, observer)
        index = max(tensors)
        return tensors | {i: v ^ 1 for i, v in tensors.items() if v.dtype == np.int8 and i == index}

    run_golden = check.run_golden
    monkeypatch.setattr(check, "run_golden", other)
    result = check_model(model, [image])
    assert not result["equal"] and all(row["equal"] for row in result["images"][0]["blocks"])
    assert sum(not row["equal"] for row in result["images"][0]["layers"]) == 1


def test_a_check_of_a_file_that_the_reference_refuses(model, image, monkeypatch):
    def refuse(*_):
        raise RuntimeError("no kernel\nfor that")

    monkeypatch.setattr(oracle, "available", lambda: True)
    monkeypatch.setattr(oracle, "oracle_tensors", refuse)
    result = check_model(model, [image])
    assert result["equal"] and not result["oracle"] and result["oracle_missing"] == "TensorFlow Lite refuses the file (no kernel for that)"


def test_an_operator_that_nobody_reads_is_run_by_no_device(tmp_path, image):
    """Not even by the golden model, which could not."""
    n = Net()
    x = n.bytes((1, 12, 12, 3), 1 / 255, -128)
    y = n.conv(x, 4)
    n.operator("HARD_SWISH", [y], n.bytes(y.shape))
    path = tmp_path / "unread.tflite"
    path.write_bytes(n.finish([x], [n.conv(y, 4)]))
    golden, engine = (run_model(path, [image], on=on)["images"][0]["outputs"] for on in ("golden", "sim"))
    assert golden == engine and check_model(path, [image])["equal"]


def test_a_plan_has_a_row_per_block(model):
    plan = plan_model(model)
    assert json.loads(json.dumps(plan)) == plan
    assert sum(row["predicted_cycles"] for row in plan["blocks"]) == plan["predicted_cycles"]
    assert plan["blocks"][0]["external"] == ["picture"] and plan["blocks"][-1]["external"] == ["store"]


def test_the_first_difference():
    a = np.zeros((2, 3, 4), np.uint8)
    b = a.copy()
    assert first_difference(a, b) is None
    b[1, 0, 2] = b[1, 2, 3] = 7
    assert first_difference(a, b) == {"position": [1, 0, 2], "got": 0, "expected": 7, "differing": 2, "of": 24}


def test_what_is_not_there(model, image, tmp_path):
    text = tmp_path / "text.png"
    text.write_text("no picture")
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(model.read_bytes()[:100])
    for pattern, call in (
        ("no device 'fpga': run on sim .* or golden", lambda: run_model(model, [image], on="fpga")),
        ("no image to run; give one with --image", lambda: run_model(model, [])),
        ("no image to check; give one with --image", lambda: check_model(model, [])),
        ("none.tflite", lambda: run_model(tmp_path / "none.tflite", [image])),
        ("cut.tflite", lambda: run_model(cut, [image])),
        ("text.png: no.*model|text.png", lambda: plan_model(text)),
        ("none.png: no such file; give a picture", lambda: run_model(model, [tmp_path / "none.png"])),
        ("text.png: not a picture Pillow can read", lambda: run_model(model, [image, text])),
        ("does not fit this engine", lambda: plan_model(model, config=EngineConfig(activation_words=16))),
    ):
        with pytest.raises(NarrowsError, match=pattern):
            call()
