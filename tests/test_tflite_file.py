"""Reading ``.tflite`` files: what is found in good ones, and one sentence for every bad one."""

import warnings

import numpy as np
import pytest
import tflite
from random_mobilenet import random_mobilenet
from tflite_writer import Writer

from narrows.errors import ImportRefused
from narrows.golden import model as golden
from narrows.golden import oracle
from narrows.importer.importer import import_model
from narrows.tflite.file import parse_model, read_model


def small(**options) -> bytes:
    return random_mobilenet(np.random.default_rng(3), blocks=1, height=9, width=9, **options)


def test_fields_of_a_file():
    w = Writer()
    x = w.tensor((1, 4, 4, 2), "int8", 0.5, -3, name="image")
    weights = w.constant(np.arange(6).reshape(3, 1, 1, 2), "int8", [0.1, 0.2, 0.3], 0, axis=0)
    bias = w.constant([7, 8, 9], "int32", [0.05, 0.1, 0.15], 0)
    y = w.tensor((1, 2, 2, 3), "int8", 0.25, 4)
    w.operator(
        "CONV_2D", [x, weights, bias], y, padding="VALID", stride_h=2, stride_w=2, dilation_h_factor=1, dilation_w_factor=1,
        fused_activation_function="RELU6",
    )  # fmt: skip
    model = parse_model(w.finish([x], [y]), "m.tflite")
    assert (model.name, model.inputs, model.outputs) == ("m.tflite", (0,), (3,))
    image, kernel, _, out = model.tensors
    assert (str(image), image.shape, image.dtype, image.data) == ("tensor 0 (image)", (1, 4, 4, 2), "int8", None)
    assert (image.scale.tolist(), image.zero_point.tolist(), out.zero_point.tolist()) == ([0.5], [-3], [4])
    assert (
        kernel.data.tolist() == np.arange(6).reshape(3, 1, 1, 2).tolist()
        and kernel.scale.size == 3
        and kernel.axis == 0
    )
    (op,) = model.operators
    assert (str(op), op.version, op.inputs, op.outputs) == ("operator 0 CONV_2D", 3, (0, 1, 2), (3,))
    assert op.options == {
        "padding": "VALID", "stride_h": 2, "stride_w": 2, "dilation_h": 1, "dilation_w": 1, "activation": "RELU6"
    }  # fmt: skip


def test_quantized_dimension_is_ignored_where_it_means_nothing():
    w = Writer()
    x = w.tensor((1, 4), "int8", 0.5, axis=9)
    flat = w.constant([1, 2], "int8", [0.1, 0.2], 0, axis=3)
    model = parse_model(w.finish([x], [x]))
    assert [t.axis for t in model.tensors] == [0, 0] and flat.index == 1


@pytest.mark.parametrize("fields", ["old", "new", "both"])
@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("name", ["ADD", "SUB", "MUL", "DIV", "SOFTMAX", "RELU6", "QUANTIZE", "PAD"])
def test_an_operator_is_what_either_field_of_its_code_says(name, table, fields):
    w = Writer(code_fields=fields)
    x, y = w.tensor((1, 2), "int8", 0.5), w.tensor((1, 2), "int8", 0.5)
    options = {} if name in ("SOFTMAX", "RELU6", "QUANTIZE", "PAD") else {"fused_activation_function": "NONE"}
    w.operator(name, [x, x], y, table=table, **(options if table else {}))
    content = w.finish([x], [y])
    if name == "SOFTMAX" and not table:
        with pytest.raises(ImportRefused, match="operator 0 SOFTMAX: its options are missing"):
            parse_model(content)
        return
    (op,) = parse_model(content).operators
    assert (op.name, op.options.get("activation", "NONE")) == (name, "NONE")


def test_of_two_codes_that_differ_the_larger_counts():
    """As in TensorFlow Lite; an old writer knows only the old field, and puts 127 there for what came later."""
    for old, new, name in ((3, 41, "SUB"), (41, 3, "SUB"), (127, 130, "BROADCAST_TO"), (0, 0, "ADD"), (0, 999, "operator code 999")):
        w = Writer()
        x, y = w.tensor((1, 2), "int8", 0.5), w.tensor((1, 2), "int8", 0.5)
        w.operator("RELU", [x], y)
        content = bytearray(w.finish([x], [y]))
        code = tflite.Model.GetRootAs(content, 0).OperatorCodes(0)._tab
        content[code.Offset(4) + code.Pos] = old
        content[code.Offset(10) + code.Pos : code.Offset(10) + code.Pos + 4] = new.to_bytes(4, "little")
        assert parse_model(bytes(content)).operators[0].name == name


@pytest.mark.skipif(not oracle.available(), reason="ai-edge-litert 1.2.0 is not installed")
@pytest.mark.parametrize("fields", ["old", "new"])
@pytest.mark.parametrize("name", ["ADD", "SUB", "MUL"])
def test_operators_without_an_option_table_compute_what_the_reference_does(name, fields):
    w = Writer(code_fields=fields)
    x, y = w.tensor((1, 4, 64), "int8", 0.05, 3), w.tensor((1, 4, 64), "int8", 0.11, -7)
    half = w.constant(np.arange(-128, 128).reshape(1, 4, 64), "int8", 0.07, 5)
    w.operator(name, [x, half], y, table=False)
    content, value = w.finish([x], [y]), np.random.default_rng(1).integers(-128, 128, (1, 4, 64)).astype(np.int8)
    found = golden.run_model(parse_model(content), value)[y.index]
    np.testing.assert_array_equal(found, oracle.oracle_tensors(content, value)[y.index])


#: How files begin that stand where a .tflite should, and what is said of them.
NO_MODELS = {
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0c29\nsize 280384\n": "a Git LFS pointer, .*git lfs pull",
    b"\n<!DOCTYPE html><html><head>": "a web page; download the file itself",
    b"PK\x03\x04 and what a zip archive holds": "a zip archive; give the .tflite inside",
    b"\x1f\x8b\x08\x00 and so on and on": "a gzip archive",
    b"\x89HDF\r\n\x1a\n and so on and on": "a Keras model",
    b"": "an empty file",
    b"what may this be, nobody knows": r"no TFL3 mark",
}


@pytest.mark.parametrize("content", NO_MODELS)
def test_what_is_no_model_is_called_what_it_is(content):
    with pytest.raises(ImportRefused, match=f"^m.tflite: .*{NO_MODELS[content]}"):
        parse_model(content, "m.tflite")


BAD = {
    "not a .tflite file": lambda: b"PK\x03\x04 something else entirely",
    "the file is damaged": lambda: small()[: len(small()) // 2],
    "a scale is not a positive number": lambda: written(scale=float("nan")),
    "a zero point is outside int8": lambda: written(zero=200),
    r"2 bytes of data for shape \[1, 3\] of int8": lambda: written(shape=(1, 3)),
    r"shape \[1, -2\]": lambda: written(shape=(1, -2)),
    "up to 8 dimensions and 67108864 elements": lambda: written(shape=(1 << 20, 1 << 20)),
    "3 scales along dimension 0 of shape": lambda: written(scale=[1, 2, 3]),
    r"operator 0 ADD: version 9, known up to 5": lambda: written(version=9),
    "reads a tensor that nothing has written yet": lambda: written(cycle=True),
    "writes a tensor that already has a value": lambda: written(twice=True),
    "graph output tensor 3 .* is written by no operator": lambda: written(dangling=True),
}


def written(*, scale=0.5, zero=0, shape=(1, 2), version=2, cycle=False, twice=False, dangling=False) -> bytes:
    """x + constant, with one thing wrong."""
    w = Writer()
    x, y = w.tensor((1, 2), "int8", 0.5), w.tensor((1, 2), "int8", 0.5)
    c = w.tensor(shape, "int8", scale, zero, data=np.array([1, 2], np.int8))
    extra = w.tensor((1, 2), "int8", 0.5)
    none = {"fused_activation_function": "NONE"}
    w.operator("ADD", [extra if cycle else x, c], y, version=version, **none)
    if twice or cycle:
        w.operator("ADD", [y, c], y if twice else extra, version=version, **none)
    return w.finish([x], [extra if dangling else y])


@pytest.mark.parametrize("reason", BAD)
def test_bad_files_are_refused(reason):
    with pytest.raises(ImportRefused, match=reason) as refused:
        parse_model(BAD[reason](), "bad.tflite")
    assert str(refused.value).startswith("bad.tflite: ") and "\n" not in str(refused.value)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(ImportRefused, match=r"none\.tflite: can't be read \(No such file or directory\)"):
        read_model(tmp_path / "none.tflite")
    with pytest.raises(ImportRefused, match="not a file of at most 1024 MB"):
        read_model(tmp_path)
    with pytest.raises(ImportRefused, match=r"can't be read \(.*null byte"):
        read_model("a\0b")


def test_names_are_printable():
    w = Writer()
    x = w.tensor((1, 2), "int8", 0.5, name="a\nb\x1b[31m")
    assert parse_model(w.finish([x], [x])).tensors[0].name == "a?b?[31m"


def mutated(rng: np.random.Generator, content: bytes) -> bytes:
    """``content`` with flipped bytes, moved ranges, tampered words or its end cut off."""
    data, n = bytearray(content), len(content)
    kind = rng.integers(5)
    if kind == 0:
        return bytes(data[: rng.integers(n)])
    if kind == 1:
        for i in rng.integers(0, n, rng.integers(1, 20)):
            data[i] = rng.integers(256)
    elif kind == 2:
        to, start, length = rng.integers(n), rng.integers(n), rng.integers(1, 300)
        data[to : to + length] = data[start : start + length]
    elif kind == 3:
        for i in rng.integers(0, n // 4, rng.integers(1, 6)):
            word = int(rng.choice([0, 1, 2, 255, 65535, n, n - 4, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]))
            data[4 * i : 4 * i + 4] = word.to_bytes(4, "little")
    else:
        for i in rng.integers(0, n, rng.integers(1, 4)):
            data[i] = (data[i] + rng.integers(-3, 4)) % 256
    return bytes(data)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_are_imported_or_refused(seed):
    """1,000 mutants in all: no other exception, no warning, no message that isn't one line, none slow."""
    rng = np.random.default_rng(seed)
    content = random_mobilenet(rng)
    messages = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(250):
            damaged = mutated(rng, content)
            try:
                import_model(parse_model(damaged))
            except ImportRefused as refused:
                messages.append(str(refused))
    assert 10 < len(messages) < 240
    assert all("\n" not in message and len(message) < 800 for message in messages)
