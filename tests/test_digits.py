"""The embedded network: its file is the one that was measured, and its pictures give the recorded answers."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from rtl_runs import counted

import narrows
from narrows.golden import model as golden
from narrows.golden import oracle
from narrows.hw.config import ECP5_25F
from narrows.importer.importer import import_network
from narrows.inputs.model_input import input_for

DATA = Path(narrows.__file__).parent / "data"
RECORD = json.loads((DATA / "digits.json").read_text())
MODEL = DATA / RECORD["model"]


@pytest.fixture(scope="module")
def network():
    return import_network(MODEL)


def test_the_record_is_of_this_file():
    content = MODEL.read_bytes()
    assert hashlib.sha256(content).hexdigest() == RECORD["sha256"]
    assert len(content) == RECORD["bytes"] < 1_000_000
    assert RECORD["accuracy_int8"] >= 0.97


def test_labels_are_the_digits():
    assert (DATA / "digits_labels.txt").read_text().split() == [str(label) for label in range(10)]


def test_every_picture_is_recorded():
    assert {path.name for path in (DATA / "images").iterdir()} == set(RECORD["images"])


def test_the_engine_gets_the_whole_network(network):
    assert [op.name for op in network.pre] == ["QUANTIZE"]
    assert [op.name for op in network.post] == ["SOFTMAX", "QUANTIZE"]


@pytest.mark.parametrize("name", sorted(RECORD["images"]))
def test_pictures_give_the_recorded_output(network, name):
    want = RECORD["images"][name]
    value = input_for(network.model, DATA / "images" / name)
    engine = golden.run_network(network, golden.run_pre(network, value))[-1]
    output = golden.run_post(network, engine)[0][0]
    assert output.tolist() == want["output"]
    assert int(np.argmax(output)) == want["answer"] == want["label"]


@pytest.mark.parametrize("name", sorted(RECORD["images"])[:2])
def test_the_small_engine_runs_it(network, name):
    frame = counted(MODEL, DATA / "images" / name, ECP5_25F)
    last = frame["plan"].blocks[-1].block
    raw = np.frombuffer(frame["outputs"][last.name], last.output.dtype).reshape(1, 1, -1)[:, :, : last.output.shape[2]]
    assert golden.run_post(network, np.ascontiguousarray(raw))[0][0].tolist() == RECORD["images"][name]["output"]


@pytest.mark.skipif(not oracle.available(), reason="the reference kernels are not installed")
@pytest.mark.parametrize("name", sorted(RECORD["images"]))
def test_every_tensor_equals_the_reference(network, name):
    value = input_for(network.model, DATA / "images" / name)
    tensors, want = golden.run_model(network.model, value), oracle.oracle_tensors(MODEL, value)
    for op in network.model.operators:
        np.testing.assert_array_equal(tensors[op.outputs[0]], want[op.outputs[0]], err_msg=str(op))
