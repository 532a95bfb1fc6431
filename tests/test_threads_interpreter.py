"""Threads and interpreters: outputs are those of a thread's own inputs, or there is an error."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from engine_model import EngineModel
from engine_runs import SMALL
from link_lines import Line
from random_mobilenet import random_mobilenet
from side_by_side import together
from test_serve import OPTIONS, pixels

from narrows import Device
from narrows.compiler.runnable import build_program
from narrows.errors import NarrowsError
from narrows.golden.model import run_model
from narrows.importer.importer import import_network
from narrows.link.client import Link


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "net.tflite"
    path.write_bytes(random_mobilenet(np.random.default_rng(20), **OPTIONS))
    return path


def model_device(model: Path) -> Device:
    network = import_network(model)
    line = Line(EngineModel((build_program(network, SMALL), network)))
    return Device(lambda: Link(line, patience=0.02, baud=10**9, clock=line.clock), config=SMALL)


@pytest.mark.parametrize("shared", [False, True])
def test_interpreters_of_many_threads(model: Path, shared: bool):
    """One each: right outputs. One for all: an output that is got is that of the thread's own input, or there is an error."""
    with model_device(model) as device:
        one = device.interpreter(model)
        source, result = one.get_input_details()[0], one.get_output_details()[0]["index"]
        good, refused = [], list[str]()

        def work(number: int) -> None:
            interpreter, rng = one if shared else device.interpreter(model), np.random.default_rng(number)
            for _ in range(10):
                value = rng.integers(-128, 128, source["shape"]).astype(source["dtype"])
                wanted = run_model(one.network.model, value)[result]
                try:
                    interpreter.set_tensor(source["index"], value)
                    interpreter.invoke()
                    got = interpreter.get_tensor(result)
                except NarrowsError as error:
                    refused.append(str(error))
                    continue
                assert np.array_equal(got, wanted)
                good.append(number)

        assert together(*(lambda number=number: work(number) for number in range(4))) == [None] * 4
        assert bool(refused) == shared and len(good) + len(refused) == 40
        assert all("Another thread has given this interpreter inputs" in error for error in refused)


def test_answers_of_many_threads_are_those_of_their_pictures(model: Path):
    """Also of one interpreter, whose kept tensors and frame are those of the last one."""
    images = pixels(24)
    with model_device(model) as device:
        interpreter = device.interpreter(model)
        expected = [interpreter.classify(image) for image in images]
        found: dict[int, object] = {}

        def work(number: int) -> None:
            for at in range(number, len(images), 4):
                found[at] = interpreter.classify(images[at])

        assert together(*(lambda number=number: work(number) for number in range(4))) == [None] * 4
        assert [found[at] for at in range(len(images))] == expected


def test_an_answer_that_is_made_while_another_picture_is_classified(model: Path, monkeypatch: pytest.MonkeyPatch):
    """It is made of its own picture's outputs, not of what the interpreter has kept meanwhile."""
    images = pixels(2)
    with model_device(model) as device:
        interpreter = device.interpreter(model)
        expected = interpreter.classify(images[0])
        assert expected != interpreter.classify(images[1])
        begun, done, answers = threading.Event(), threading.Event(), interpreter._answers

        def late(*arguments):
            if not begun.is_set():
                begun.set()
                done.wait()
            return answers(*arguments)

        monkeypatch.setattr(interpreter, "_answers", late)
        found = []

        def other() -> None:
            begun.wait()
            interpreter.classify(images[1])
            done.set()

        assert together(lambda: found.append(interpreter.classify(images[0])), other) == [None, None]
        assert found == [expected]


def test_a_thread_may_invoke_for_another(model: Path):
    """As event loops have it: inputs are given and outputs are got here, what takes long is done there."""
    with model_device(model) as device:
        interpreter = device.interpreter(model)
        source, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]["index"]
        for seed in range(3):
            value = np.random.default_rng(seed).integers(-128, 128, source["shape"]).astype(source["dtype"])
            interpreter.set_tensor(source["index"], value)
            assert together(interpreter.invoke) == [None]
            assert np.array_equal(interpreter.get_tensor(result), run_model(interpreter.network.model, value)[result])
            assert interpreter.frame is not None
        (error,) = together(lambda: interpreter.classify(np.zeros((21, 19, 3), np.uint8)))
        assert error is None
        for ask in (lambda: interpreter.get_tensor(result), interpreter.invoke, lambda: interpreter.frame):
            with pytest.raises(NarrowsError, match="Another thread has given this interpreter inputs since"):
                ask()
