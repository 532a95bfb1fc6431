"""The golden model: its arithmetic against plain integers, its operators against recorded and live references."""

import dataclasses
import hashlib
import json
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_mobilenet import random_mobilenet, random_options
from tflite_writer import Writer

from narrows.errors import ImportRefused, NarrowsError
from narrows.golden import model as golden
from narrows.golden import oracle
from narrows.golden.fixed_point import mbqm, quantize_multiplier, requantise, round_half_away
from narrows.golden.kernels import average_pool, conv2d, depthwise, padding_amounts, reduce
from narrows.graph.network import Requant
from narrows.importer.importer import import_model, import_network
from narrows.inputs.model_input import input_for
from narrows.tflite.file import parse_model, read_model
from narrows.tflite.model import Model

SHARED = Path(__file__).resolve().parents[2] / "shared"
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the real models and their recorded hashes are not beside this repository"
)
needs_oracle = pytest.mark.skipif(not oracle.available(), reason="ai-edge-litert 1.2.0 is not installed")

CLASSIFIERS = (
    "cfu_mobilenetv2_160_035",
    "mobilenet_v1_0.25_128_quant",
    "mobilenet_v2_0.35_224_flowers_uint8",
    "mobilenet_v2_1.0_224_quant",
    "tf2_mobilenet_v2_1.0_224_ptq",
    "vww_96_int8",
)


@cache
def recorded() -> dict:
    return json.loads((SHARED / "golden.json").read_text()) if SHARED.is_dir() else {}


@cache
def model_named(name: str) -> Model:
    return read_model(SHARED / "models" / name)


def photograph(name: str) -> Path:
    return SHARED / ("cfu_inputs" if name.endswith(".dat") else "images") / name


def digest(value: np.ndarray) -> str:
    return hashlib.sha256(value.tobytes()).hexdigest()


RUNS = [
    (model, image)
    for model, images in sorted(recorded().items())
    if model.endswith(".tflite")
    for image in images
    if not image.startswith("_")
]


@needs_shared
def test_all_nine_models_are_recorded():
    assert len({model for model, _ in RUNS}) == 9 and len(RUNS) == 60


@pytest.mark.parametrize(("name", "image"), RUNS)
def test_every_operator_of_every_model(name, image):
    """Byte for byte at every operator, the host's floating-point detection operator excepted."""
    model, want = model_named(name), recorded()[name][image]
    value = input_for(model, photograph(image))
    assert digest(value) == want["input_sha256"]
    got = []
    golden.run_model(
        model, value, lambda op, v: got.append([op.index, op.name, op.outputs[0], list(v.shape), digest(v)[:16]])
    )
    assert got == [row for row in want["ops"] if row[1] not in ("CUSTOM", *golden.HOST_ONLY)]


@needs_shared
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_layers_give_the_models_bytes(name):
    """The engine's forms between the host's operators give what the file's operators give."""
    network = import_network(SHARED / "models" / f"{name}.tflite")
    value = input_for(network.model, photograph("cat.png"))
    tensors = golden.run_model(network.model, value)
    image = golden.run_pre(network, value)
    outputs = golden.run_network(network, image)
    for layer, output in zip(network.layers, outputs, strict=True):
        assert output.shape == layer.output.shape
        np.testing.assert_array_equal(output.ravel(), tensors[layer.output.index].ravel(), err_msg=layer.name)
    results = golden.run_post(network, outputs[-1])
    for index, result in zip(network.model.outputs, results, strict=True):
        np.testing.assert_array_equal(result, tensors[index])


# --- arithmetic, against integers and fractions of any size -------------------------------------------------


def exact_mbqm(x: int, m: int, shift: int) -> int:
    """The definition, in integers of any size (the left shift wraps as int32 does)."""
    if shift > 0:
        x = ((x << shift) + (1 << 31)) % (1 << 32) - (1 << 31)
    high = (x * m + (1 << 30)) >> 31
    value = Fraction(high, 1 << max(-shift, 0))
    rounded = int(abs(value) + Fraction(1, 2))
    return rounded if value >= 0 else -rounded


INT32 = st.one_of(
    st.integers(-(1 << 31), (1 << 31) - 1), st.integers(-300, 300), st.sampled_from([-(1 << 31), (1 << 31) - 1])
)


@given(st.lists(INT32, min_size=1), st.one_of(st.just(0), st.integers(1 << 30, (1 << 31) - 1)), st.integers(-31, 30))
def test_mbqm_is_its_definition(values, m, shift):
    assert mbqm(np.array(values), m, shift).tolist() == [exact_mbqm(x, m, shift) for x in values]


@given(st.floats(min_value=0, max_value=2.0**29, allow_nan=False))
def test_quantize_multiplier_is_nearest(d):
    m, shift = quantize_multiplier(d)
    assert (m == 0 and shift == 0) or (1 << 30 <= m < 1 << 31 and -31 <= shift <= 30)
    unit = Fraction(2) ** (shift - 31)
    if m:
        assert abs(Fraction(d) - m * unit) <= unit / 2
    else:
        assert d < 2.0**-31


@pytest.mark.parametrize("d", [-1.0, float("nan"), float("inf"), 2.0**31])
def test_quantize_multiplier_refuses(d):
    with pytest.raises(ValueError, match="multiplier"):
        quantize_multiplier(d)


def test_quantize_multiplier_carries_into_the_shift():
    assert quantize_multiplier(1 - 2.0**-40) == (1 << 30, 1)
    assert quantize_multiplier(1.0) == (1 << 30, 1)


def test_rounding_just_below_a_half():
    below = np.nextafter(np.float32(0.5), np.float32(0))
    assert round_half_away(np.array([below, 0.5, -0.5, 2.5, -2.5, -below], np.float32)).tolist() == [0, 1, -1, 3, -3, 0]


def test_requantise_wraps_and_clamps():
    requant = Requant(np.array([1 << 30, 0]), np.array([1, 0]), zero_point=-3, lo=-100, hi=90)
    acc = np.array([[5, 5], [200, 200], [-200, 7], [(1 << 32) + 6, 1 << 31]])
    assert requantise(acc, requant, "int8").tolist() == [[2, -3], [90, -3], [-100, -3], [3, -3]]


# --- kernels, against loops -----------------------------------------------------------------------------------


def loops(x, z, weights, zw, bias, requant, stride, dilation, pad, dtype):
    """A convolution one multiply-add at a time; ``weights`` (out, kh, kw, in) with zw where there is none."""
    out, kh, kw, cin = weights.shape
    (top, left, bottom, right), (_, h, w, _) = pad, x.shape
    oh = (h + top + bottom - (kh - 1) * dilation[0] - 1) // stride[0] + 1
    ow = (w + left + right - (kw - 1) * dilation[1] - 1) // stride[1] + 1
    result = np.zeros((1, oh, ow, out), dtype)
    for r, c, o in np.ndindex(oh, ow, out):
        acc = int(bias[o])
        for i, j, k in np.ndindex(kh, kw, cin):
            y, v = r * stride[0] + i * dilation[0] - top, c * stride[1] + j * dilation[1] - left
            if 0 <= y < h and 0 <= v < w:
                acc += (int(x[0, y, v, k]) - z) * (int(weights[o, i, j, k]) - zw)
        value = exact_mbqm(acc, int(requant.multiplier[o]), int(requant.shift[o])) + requant.zero_point
        result[0, r, c, o] = min(max(value, requant.lo), requant.hi)
    return result


@pytest.mark.parametrize("seed", range(12))
def test_convolutions_against_loops(seed):
    rng = np.random.default_rng(seed)
    dtype = ["int8", "uint8"][seed % 2]
    lo, hi = (0, 255) if dtype == "uint8" else (-128, 127)
    h, w, cin, cout = rng.integers(3, 8), rng.integers(3, 8), rng.integers(1, 4), rng.integers(1, 5)
    kernel = tuple(rng.integers(1, 4, 2).tolist())
    stride, dilation = (tuple(rng.integers(1, 3, 2).tolist()) for _ in range(2))
    same = padding_amounts((h, w), kernel, stride, dilation, "SAME")
    pad = tuple(a + b for a, b in zip(same, rng.integers(0, 2, 4).tolist(), strict=True))
    x = rng.integers(lo, hi + 1, (1, h, w, cin)).astype(dtype)
    z, zw = int(rng.integers(lo, hi + 1)), int(rng.integers(0, 256)) if dtype == "uint8" else 0
    weights = rng.integers(lo, hi + 1, (cout, *kernel, cin)).astype(dtype)
    bias = rng.integers(-3000, 3000, cout)
    requant = Requant(
        rng.integers(1 << 30, 1 << 31, cout), rng.integers(-11, -5, cout), int(rng.integers(lo, hi)), lo + 5, hi - 5
    )
    where = {"stride": stride, "dilation": dilation, "pad": pad}
    got = conv2d(x, z, weights, zw, bias, requant, **where)
    np.testing.assert_array_equal(got, loops(x, z, weights, zw, bias, requant, stride, dilation, pad, dtype))

    times = int(rng.integers(1, 3))
    channelwise = rng.integers(lo, hi + 1, (*kernel, cin * times)).astype(dtype)
    dense = np.full((cin * times, *kernel, cin), zw)
    for o in range(cin * times):
        dense[o, :, :, o // times] = channelwise[:, :, o]
    each = Requant(rng.integers(1 << 30, 1 << 31, cin * times), rng.integers(-11, -5, cin * times), z, lo, hi)
    bias = rng.integers(-3000, 3000, cin * times)
    got = depthwise(x, z, channelwise, zw, bias, each, **where)
    np.testing.assert_array_equal(got, loops(x, z, dense, zw, bias, each, stride, dilation, pad, dtype))


def test_a_float64_sum_where_float32_would_round():
    x, weights = np.full((1, 1, 1, 2001), 255, np.uint8), np.full((1, 1, 1, 2001), 255, np.uint8)
    identity = Requant(np.array([1 << 30]), np.array([-16]), 0, 0, 255)
    exact = 2001 * 255 * 255
    got = conv2d(x, 0, weights, 0, np.array([0]), identity)
    assert got.item() == min(exact_mbqm(exact, 1 << 30, -16), 255) == min(round(exact / 2**17), 255)


def test_average_rounds_half_away_from_zero():
    x = np.array([[[-3, 3, 1], [-2, 2, 1]]], np.int8).reshape(1, 1, 2, 3)
    assert average_pool(x, (1, 2), lo=-128, hi=127).ravel().tolist() == [-3, 3, 1]


def test_mean_folds_the_division_into_the_multiplier():
    x = np.arange(-8, 8, dtype=np.int8).reshape(1, 4, 4, 1)
    m, shift = (1 << 30) // 16 * 16, 1 - 4
    assert reduce(x, (1, 2), -8, m, shift, -8, -128, 127).item() == 0  # the mean of 0..15 is 7.5, away from zero 8


def test_input_shape_and_type_are_checked():
    model = parse_model(random_mobilenet(np.random.default_rng(0), ends="plain", dtype="int8"))
    shape = model.tensors[model.inputs[0]].shape
    assert (
        golden.run_model(model, np.zeros(shape[1:], np.int8)).keys()
        == golden.run_model(model, np.zeros(shape, np.int8)).keys()
    )
    with pytest.raises(NarrowsError, match=r"the input is uint8 .*, the model takes int8 \["):
        golden.run_model(model, np.zeros(shape, np.uint8))


def test_an_unknown_operator_is_named():
    w = Writer()
    x, y = w.tensor((1, 4), "int8", 0.1), w.tensor((1, 4), "int8", 0.1, name="crooked")
    w.operator("HARD_SWISH", [x], y)
    with pytest.raises(ImportRefused, match=r"operator 0 HARD_SWISH, tensor 1 \(crooked\): not supported"):
        golden.run_model(parse_model(w.finish([x], [y])), np.zeros((1, 4), np.int8))


# --- the live reference ---------------------------------------------------------------------------------------


def random_input(rng: np.random.Generator, model: Model) -> np.ndarray:
    tensor = model.tensors[model.inputs[0]]
    if tensor.dtype == "float32":
        return rng.normal(0, 0.6, tensor.shape).astype(np.float32)
    info = np.iinfo(tensor.dtype)
    return rng.integers(info.min, info.max + 1, tensor.shape).astype(tensor.dtype)


@needs_oracle
@pytest.mark.parametrize("block", range(8))
def test_random_networks_against_the_reference_kernels(block):
    """Every operator of random networks, and the imported layers between their host operators."""
    for seed in range(25 * block, 25 * block + 25):
        rng = np.random.default_rng(seed)
        options = dataclasses.asdict(random_options(rng))
        content = random_mobilenet(rng, **options)
        model = parse_model(content)
        value = random_input(rng, model)
        want = oracle.oracle_tensors(content, value)
        context = f"seed {seed}: {options}"

        def compare(op, got, want=want, context=context):
            np.testing.assert_array_equal(got, want[op.outputs[0]], err_msg=f"{op} of {context}")

        golden.run_model(model, value, compare)
        network = import_model(model)
        outputs = golden.run_network(network, golden.run_pre(network, value))
        for layer, output in zip(network.layers, outputs, strict=True):
            if layer.output.index >= 0:
                np.testing.assert_array_equal(
                    output.ravel(), want[layer.output.index].ravel(), err_msg=f"{layer.name} of {context}"
                )
        for index, result in zip(model.outputs, golden.run_post(network, outputs[-1]), strict=True):
            np.testing.assert_array_equal(result, want[index], err_msg=context)


@needs_oracle
@needs_shared
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_against_the_reference_kernels(name):
    """Noise as input reaches values that photographs don't."""
    path = SHARED / "models" / f"{name}.tflite"
    model = model_named(path.name)
    value = random_input(np.random.default_rng(1), model)
    want = oracle.oracle_tensors(path, value)
    golden.run_model(
        model, value, lambda op, got: np.testing.assert_array_equal(got, want[op.outputs[0]], err_msg=str(op))
    )


def test_a_dense_layers_scales_are_multiplied_in_float32():
    """The product of input's and weights' scale is rounded before it is divided, where one scale is for all channels. Weights of 0 make the
    bias the accumulator; with doubles throughout, as a convolution has them, it would be 108."""
    n = Writer()
    x, scale = n.tensor((1, 3), "int8", 0.0796, 0), np.float32(0.0796) * np.float32(0.0079)
    weights, bias = n.constant(np.zeros((2, 3)), "int8", 0.0079, 0), n.constant([3418, -3418], "int32", scale, 0)
    y = n.operator("FULLY_CONNECTED", [x, weights, bias], n.tensor((1, 2), "int8", 0.02, 0), fused_activation_function="NONE")
    content, value = n.finish([x], [y]), np.zeros((1, 3), np.int8)
    assert golden.run_model(parse_model(content), value)[y.index].tolist() == [[107, -107]]
    assert not oracle.available() or oracle.oracle_tensors(content, value)[y.index].tolist() == [[107, -107]]
