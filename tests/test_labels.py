"""Names of classes: read without marks and blank ends, and given to classes only where the counts say how."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_mobilenet import random_mobilenet
from rtl_runs import SHARED

from narrows.api import run_model
from narrows.errors import NarrowsError
from narrows.inputs.labels import fit, labels_inside, names_for, read_labels
from narrows.tflite.file import parse_model, read_model

OPTIONS = {
    "pool": "MEAN", "kernel": 3, "rescaling": False, "ends": "plain", "channels_first": False, "channels": 3, "dtype": "int8",
    "last": "none",
}  # fmt: skip


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "net.tflite"
    path.write_bytes(random_mobilenet(np.random.default_rng(5), height=21, width=19, **OPTIONS))
    return path


def classes_of(path: Path) -> int:
    model = read_model(path)
    return int(np.prod(model.tensors[model.outputs[0]].shape))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_name_per_line_in_any_text_file(tmp_path, encoding, end):
    path = tmp_path / "l.txt"
    path.write_bytes(end.join(["  Käse ", "", "two words", "a\u2028b", "", "  ", ""]).encode(encoding))
    assert read_labels(path) == ["Käse", "", "two words", "a\u2028b"]


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf\n", b"\xff\xfe\xfa", b"caf\xe9\n"])
def test_a_file_without_names_is_refused(tmp_path, content):
    (tmp_path / "l.txt").write_bytes(content)
    with pytest.raises(NarrowsError, match=r"l\.txt: no file of labels .*give a text file with a name per line"):
        read_labels(tmp_path / "l.txt")


def test_labels_inside_have_no_byte_order_mark(tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("labels.txt", b"\xef\xbb\xbfone\r\ntwo\r\n\r\n")
    (tmp_path / "m.tflite").write_bytes(b"\0" * 64 + packed.getvalue())
    assert labels_inside(tmp_path / "m.tflite") == ["one", "two"]


@pytest.mark.parametrize(
    ("names", "classes", "fitted", "words"),
    [
        (["a", "b"], 2, ["a", "b"], None),
        (["background", "a"], 2, ["background", "a"], None),
        (["a", "b"], 3, ["background", "a", "b"], "class 0 is taken as background, the first name as class 1"),
        (["Background", "a", "b"], 2, ["a", "b"], "the first name, Background, is left out, the second is class 0"),
        (["???", "a", "b"], 2, ["a", "b"], "the first name, ???, is left out, the second is class 0"),
    ],
)
def test_names_fit_classes_or_classes_and_background(names, classes, fitted, words):
    assert fit(names, classes) == (fitted, words)


@pytest.mark.parametrize(("names", "classes"), [(["a", "b", "c"], 2), (["background", "a"], 3), (["a"], 3), (["a"] * 5, 3), ([], 2)])
def test_names_that_fit_neither_way_do_not(names, classes):
    assert fit(names, classes) is None


@given(st.lists(st.sampled_from(["a", "b", "background", "???", ""]), max_size=8), st.integers(1, 8))
def test_a_fit_has_a_name_for_every_class_and_says_every_shift(names, classes):
    fitted = fit(names, classes)
    if fitted is not None:
        assert len(fitted[0]) == classes
        assert (fitted[0] == names) == (fitted[1] is None)
    else:
        assert len(names) != classes


def test_a_run_says_or_refuses(model, tmp_path):
    classes = classes_of(model)
    np.save(tmp_path / "x.npy", np.zeros((21, 19, 3), np.uint8))
    labels = tmp_path / "l.txt"

    def run(count: int) -> dict:
        labels.write_text("".join(f"name {n}\n" for n in range(count)))
        return run_model(model, [tmp_path / "x.npy"], on="golden", labels=labels, top=classes)

    exact = run(classes)
    assert exact["label_note"] is None
    assert exact["images"][0]["labels"] == [f"name {index}" for index, _ in exact["images"][0]["top"]]
    shifted = run(classes - 1)
    assert shifted["label_note"].startswith(f"{labels}: {classes - 1:,} names for {classes:,} classes: class 0 is taken as background")
    assert shifted["images"][0]["labels"] == [f"name {i - 1}" if i else "background" for i, _ in shifted["images"][0]["top"]]
    for count in (1, classes - 2, classes + 1, classes + 2):
        with pytest.raises(NarrowsError, match=rf"l\.txt: {count} names for {classes} classes; give"):
            run(count)


def test_labels_inside_that_do_not_fit_are_left_out_and_that_is_said(model):
    classes, content = classes_of(model), model.read_bytes()

    def packed(count: int) -> None:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("labels.txt", "\n".join(f"name {n}" for n in range(count)))
        model.write_bytes(content + file.getvalue())

    packed(classes + 3)
    assert names_for(model, None, parse_model(content)) == (
        None, f"the labels inside the model: {classes + 3} names for {classes} classes: left out"
    )  # fmt: skip
    packed(classes)
    assert names_for(model, None, parse_model(content)) == ([f"name {n}" for n in range(classes)], None)


@pytest.mark.skipif(not (SHARED / "labels").is_dir(), reason="the shared label files are not there")
@pytest.mark.parametrize(
    ("labels", "model"),
    [
        ("imagenet", "mobilenet_v1_0.25_128_quant"), ("imagenet", "mobilenet_v2_1.0_224_quant"),
        ("imagenet", "tf2_mobilenet_v2_1.0_224_ptq"), ("flowers", "mobilenet_v2_0.35_224_flowers_uint8"),
    ],
)  # fmt: skip
def test_published_labels_fit_their_models(labels, model):
    path = SHARED / "models" / f"{model}.tflite"
    named, inside = (names_for(path, file, read_model(path)) for file in (SHARED / "labels" / f"{labels}_labels.txt", None))
    assert named[1] is None and inside[1] is None and len(named[0]) == len(inside[0]) == classes_of(path)
    assert named[0][:2] == inside[0][:2]
