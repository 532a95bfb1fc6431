"""A network on a device as TensorFlow Lite's interpreter has it: details, tensors, answers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from engine_model import EngineModel
from engine_runs import SMALL
from link_lines import Line
from random_mobilenet import random_mobilenet

import narrows
from narrows import Device, Interpreter
from narrows.api import run_model as run_by_api
from narrows.errors import NarrowsError
from narrows.golden import oracle
from narrows.golden.model import run_model
from narrows.importer.importer import import_network
from narrows.inputs.model_input import input_for
from narrows.link.client import Link

DATA = Path(narrows.__file__).parent / "data"
RECORD = json.loads((DATA / "digits.json").read_text())
IMAGES = [DATA / "images" / name for name in sorted(RECORD["images"])]
#: The model's input is uint8 pixels, its output uint8 scores; QUANTIZE and SOFTMAX are the host's.
MODEL = DATA / RECORD["model"]


def device_for(model: Path) -> Device:
    """A model of the board that runs ``model``: any network, at once."""
    from narrows.compiler.runnable import build_program

    network = import_network(model)
    line = Line(EngineModel((build_program(network, SMALL), network)))
    return Device(lambda: Link(line, patience=0.02, baud=10**9, clock=line.clock), config=SMALL)


@pytest.fixture
def interpreter() -> Iterator[Interpreter]:
    with device_for(MODEL) as device:
        yield device.interpreter(MODEL)


def test_set_invoke_get(interpreter: Interpreter):
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (source["name"], source["dtype"], source["shape"].tolist()) == ("serving_default_image:0", np.uint8, [1, 96, 96, 3])
    assert (result["dtype"], result["shape"].tolist(), result["quantization"]) == (np.uint8, [1, 10], (0.00390625, 0))
    interpreter.allocate_tensors()
    for path in IMAGES[:2]:
        value = input_for(interpreter.network.model, path).copy()
        interpreter.set_tensor(source["index"], value)
        kept = value.copy()
        value[:] = 0  # what was set is a copy
        interpreter.invoke()
        output = interpreter.get_tensor(result["index"])
        assert output[0].tolist() == RECORD["images"][path.name]["output"]
        assert np.array_equal(interpreter.get_tensor(source["index"]), kept)
        output[:] = 7
        assert interpreter.get_tensor(result["index"])[0].tolist() == RECORD["images"][path.name]["output"]
    assert interpreter.frame.cycles > 0 and len(interpreter.frame.blocks) == len(interpreter.program.plan.blocks)


@pytest.mark.parametrize("model", ["digits", "int8", "float"])
@pytest.mark.skipif(not oracle.available(), reason="the reference kernels are not installed")
def test_details_are_those_of_tensorflow_lite(model: str, tmp_path: Path):
    from ai_edge_litert.interpreter import Interpreter as Reference

    path = tmp_path / "net.tflite"
    if model == "digits":
        shutil.copy(MODEL, path)
    else:
        ends = {"int8": "plain", "float": "float"}[model]
        path.write_bytes(random_mobilenet(np.random.default_rng(20), height=21, width=19, ends=ends, dtype="int8", first="conv"))
    reference = Reference(model_path=str(path))
    with device_for(path) as device:
        interpreter = device.interpreter(path)
        for ours, theirs in (
            (interpreter.get_input_details(), reference.get_input_details()),
            (interpreter.get_output_details(), reference.get_output_details()),
        ):
            assert len(ours) == len(theirs)
            for mine, their in zip(ours, theirs, strict=True):
                assert mine.keys() == their.keys()
                for name in ("name", "index", "dtype", "quantization"):
                    assert mine[name] == their[name], name
                assert mine["shape"].dtype == their["shape"].dtype and np.array_equal(mine["shape"], their["shape"])
                for name in ("scales", "zero_points"):
                    a, b = mine["quantization_parameters"][name], their["quantization_parameters"][name]
                    assert a.dtype == b.dtype and np.array_equal(a, b), name


def test_pictures(interpreter: Interpreter):
    """By file or as pixels, one or many; the same as `narrows run` says."""
    best = [RECORD["images"][path.name]["answer"] for path in IMAGES]
    rows = run_by_api(MODEL, IMAGES[:1], on="golden", top=3)["images"][0]
    answers = interpreter.classify(IMAGES[0], top=3)
    assert [[answer.index, answer.score] for answer in answers] == rows["top"] and [answer.value for answer in answers] == rows["values"]
    assert [answer.label for answer in answers] == [None] * 3
    pixels = input_for(interpreter.network.model, IMAGES[1])[0]
    assert interpreter.classify(pixels)[0].index == best[1]
    assert [answers[0].index for answers in interpreter.classify_stream(IMAGES, top=1)] == best
    for wrong in (pixels[:50], pixels.astype(np.float32), pixels[:, :, 0]):
        with pytest.raises(NarrowsError, match="pixels of shape .*, the model takes 96x96x3"):
            interpreter.classify(wrong)
    with pytest.raises(NarrowsError, match="no such file"):
        interpreter.classify("nowhere.png")


def test_what_can_not_be_set_or_got(interpreter: Interpreter):
    source, result = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    good = np.zeros((1, 96, 96, 3), np.uint8)
    for message, call in (
        (r"Tensor 5 is no input; set \d+ \(serving_default_image:0\)", lambda: interpreter.set_tensor(5, good)),
        (r"the value has shape \[96, 96, 3\], the model takes \[1, 96, 96, 3\]", lambda: interpreter.set_tensor(source, good[0])),
        ("the input is int8 .*, the model takes uint8", lambda: interpreter.set_tensor(source, good.view(np.int8))),
        ("has no value: set it first", interpreter.invoke),
        (f"Tensor {result} has no value yet: set the inputs and invoke", lambda: interpreter.get_tensor(result)),
        (f"Tensor 5 is not kept; get .*{result} ", lambda: interpreter.get_tensor(5)),
    ):
        with pytest.raises(NarrowsError, match=message):
            call()


def test_two_networks_on_one_device(tmp_path: Path):
    """Each invocation runs its own, whatever was loaded in between."""
    paths = []
    for seed in (20, 27):
        paths.append(tmp_path / f"{seed}.tflite")
        options = {"ends": "plain", "dtype": "int8", "first": "conv", "channels": 3, "channels_first": False, "prelude": False}
        paths[-1].write_bytes(random_mobilenet(np.random.default_rng(seed), height=21, width=19, **options))
    networks = [import_network(path) for path in paths]
    from narrows.compiler.runnable import build_program

    line = Line(EngineModel(*((build_program(network, SMALL), network) for network in networks)))
    rng = np.random.default_rng(1)
    with Device(lambda: Link(line, patience=0.02, baud=10**9, clock=line.clock), config=SMALL) as device:
        interpreters = [device.interpreter(path) for path in paths]
        for interpreter in interpreters * 2:
            source, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
            value = rng.integers(-128, 128, source["shape"]).astype(source["dtype"])
            interpreter.set_tensor(source["index"], value)
            interpreter.invoke()
            want = run_model(interpreter.network.model, value)[result["index"]]
            assert np.array_equal(interpreter.get_tensor(result["index"]), want)


def test_refused_models(tmp_path: Path):
    with device_for(MODEL) as device, pytest.raises(NarrowsError, match=r"none.tflite"):
        device.interpreter(tmp_path / "none.tflite")


def test_the_example_of_the_documentation(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """As it is written there, on a model of the board."""
    root = Path(__file__).parents[1]
    code = (root / "docs" / "python-api.md").read_text().split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(root)
    monkeypatch.setattr(narrows, "Device", type("Device", (), {"open": lambda url: {"sim": device_for(MODEL)}[url]}))
    exec(compile(code, "python-api.md", "exec"), {})
    said = capsys.readouterr().out.splitlines()
    first = RECORD["images"]["0.png"]
    assert said[0].split()[:2] == [str(first["answer"]), str(max(first["output"]))]
    assert len(said) == 4 and "cycles" in said[3]
