"""Single operators with random shapes, scales and values, against the live reference kernels."""

from collections.abc import Callable

import numpy as np
import pytest
from tflite_writer import Writer, WrittenTensor

from narrows.errors import ImportRefused, NarrowsError
from narrows.golden import model as golden
from narrows.golden import oracle
from narrows.tflite.file import parse_model

pytestmark = pytest.mark.skipif(not oracle.available(), reason="ai-edge-litert 1.2.0 is not installed")

Build = Callable[["One"], tuple[WrittenTensor, WrittenTensor]]


class One(Writer):
    """A file of one operator, with helpers that draw its tensors."""

    def __init__(self, rng: np.random.Generator, dtype: str) -> None:
        super().__init__()
        self.rng, self.dtype = rng, dtype
        self.lo, self.hi = (0, 255) if dtype == "uint8" else (-128, 127)

    def integer(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high))

    def shape(self) -> tuple[int, ...]:
        return 1, self.integer(1, 8), self.integer(1, 8), self.integer(1, 6)

    def scale(self) -> np.float32:
        return np.float32(np.exp(self.rng.uniform(-7, 1)))

    def zero(self) -> int:
        return self.integer(self.lo, self.hi + 1)

    def bytes(self, shape: tuple[int, ...], scale: np.float32 | None = None, zero: int | None = None) -> WrittenTensor:
        return self.tensor(shape, self.dtype, self.scale() if scale is None else scale, self.zero() if zero is None else zero)

    def like(self, t: WrittenTensor, shape: tuple[int, ...] | None = None) -> WrittenTensor:
        return self.tensor(t.shape if shape is None else shape, t.dtype, t.scale, t.zero_point)

    def constant_bytes(self, shape: tuple[int, ...]) -> WrittenTensor:
        return self.constant(self.rng.integers(self.lo, self.hi + 1, shape), self.dtype, self.scale(), self.zero())

    def activation(self) -> str:
        return str(self.rng.choice(["NONE", "RELU", "RELU6", "RELU_N1_TO_1"]))


def elementwise(name: str) -> Build:
    def build(o: One) -> tuple[WrittenTensor, WrittenTensor]:
        x = o.bytes(o.shape())
        other = o.constant_bytes([x.shape, (1, 1, 1, x.shape[3]), (), (1,)][o.integer(0, 4)])
        scale = max(x.scale, other.scale) * np.float32(o.rng.uniform(0.05, 3)) * (x.scale if name == "MUL" else np.float32(1))
        return x, o.operator(name, [x, other], o.bytes(x.shape, scale), fused_activation_function=o.activation())

    return build


def unary(name: str) -> Build:
    def build(o: One) -> tuple[WrittenTensor, WrittenTensor]:
        x = o.bytes(o.shape())
        return x, o.operator(name, [x], o.bytes(x.shape, x.scale * np.float32(o.rng.uniform(0.1, 4))))

    return build


def requantise_types(o: One) -> tuple[WrittenTensor, WrittenTensor]:
    x = o.bytes(o.shape())
    kind = ["int8", "uint8"][o.integer(0, 2)]
    return x, o.operator("QUANTIZE", [x], o.tensor(x.shape, kind, o.scale(), o.integer(0, 128)))


def quantize_floats(o: One) -> tuple[WrittenTensor, WrittenTensor]:
    x = o.tensor(o.shape(), "float32")
    return x, o.operator("QUANTIZE", [x], o.bytes(x.shape, np.float32(o.rng.choice([0.5, 0.25, 0.003, 0.0078125, 1 / 255]))))


def dequantize(o: One) -> tuple[WrittenTensor, WrittenTensor]:
    x = o.bytes(o.shape())
    return x, o.operator("DEQUANTIZE", [x], o.tensor(x.shape, "float32"))


def probabilities(name: str) -> Build:
    def build(o: One) -> tuple[WrittenTensor, WrittenTensor]:
        x = o.bytes((1, o.integer(1, 300)))
        options = {"beta": float(o.rng.choice([1.0, 1.0, 0.3, 2.5]))} if name == "SOFTMAX" else {}
        return x, o.operator(name, [x], o.bytes(x.shape, np.float32(1 / 256), o.lo), **options)

    return build


def float_probabilities(name: str) -> Build:
    def build(o: One) -> tuple[WrittenTensor, WrittenTensor]:
        x = o.tensor((1, o.integer(1, 1100)), "float32", np.float32(o.rng.choice([0.03, 0.1, 0.4])))
        options = {"beta": 1.0} if name == "SOFTMAX" else {}
        return x, o.operator(name, [x], o.tensor(x.shape, "float32", x.scale), **options)

    return build


def pool(o: One) -> tuple[WrittenTensor, WrittenTensor]:
    x = o.bytes(o.shape())
    (_, h, w, c), stride = x.shape, (o.integer(1, 4), o.integer(1, 4))
    window, padding = (o.integer(1, h + 1), o.integer(1, w + 1)), ["SAME", "VALID"][o.integer(0, 2)]
    size = [-(-(n - (0 if padding == "SAME" else k - 1)) // s) for n, k, s in zip((h, w), window, stride, strict=True)]
    options = {"filter_height": window[0], "filter_width": window[1], "stride_h": stride[0], "stride_w": stride[1]}
    y = o.like(x, (1, *size, c))
    return x, o.operator("AVERAGE_POOL_2D", [x], y, **options, padding=padding, fused_activation_function=o.activation())


def mean(o: One) -> tuple[WrittenTensor, WrittenTensor]:
    x = o.bytes((1, o.integer(1, 16), o.integer(1, 16), o.integer(1, 6)))
    keep = bool(o.integer(0, 2))
    shape = (1, 1, 1, x.shape[3]) if keep else (1, x.shape[3])
    y = o.like(x, shape) if o.integer(0, 2) else o.bytes(shape, x.scale * np.float32(o.rng.uniform(0.2, 2)))
    return x, o.operator("MEAN", [x, o.constant([1, 2], "int32")], y, keep_dims=keep)


def reduction(name: str) -> Build:
    """Over any axes, named in any way, of any rank."""

    def build(o: One) -> tuple[WrittenTensor, WrittenTensor]:
        rank = o.integer(2, 5)
        x, keep = o.bytes((1, *(o.integer(1, 9) for _ in range(rank - 1)))), bool(o.integer(0, 2))
        over = o.rng.choice(rank, o.integer(1, rank), replace=False).tolist()
        axes = [axis - rank * o.integer(0, 2) for axis in (*over, *over[: o.integer(0, 2)])]
        shape = tuple(1 if axis in over else n for axis, n in enumerate(x.shape) if keep or axis not in over)
        y = o.like(x, shape) if o.integer(0, 2) else o.bytes(shape, x.scale * np.float32(np.exp(o.rng.uniform(-1, 4))))
        return x, o.operator(name, [x, o.constant(axes, "int32")], y, keep_dims=keep)

    return build


def concatenation(o: One) -> tuple[WrittenTensor, WrittenTensor]:
    x = o.bytes(o.shape())
    other = o.constant_bytes((*x.shape[:3], o.integer(1, 5)))
    if o.dtype == "int8":
        other.scale, other.zero_point = x.scale, x.zero_point
    y = o.like(x, (*x.shape[:3], x.shape[3] + other.shape[3]))
    return x, o.operator("CONCATENATION", [x, other], y, axis=3, fused_activation_function="NONE")


def resize(o: One) -> tuple[WrittenTensor, WrittenTensor]:
    x = o.bytes(o.shape())
    size, flag = (o.integer(1, 20), o.integer(1, 20)), o.integer(0, 3)
    y = o.like(x, (1, *size, x.shape[3]))
    options = {"align_corners": flag == 1, "half_pixel_centers": flag == 2}
    return x, o.operator("RESIZE_BILINEAR", [x, o.constant(size, "int32")], y, version=3, **options)


def pad(o: One) -> tuple[WrittenTensor, WrittenTensor]:
    x = o.bytes(o.shape())
    amounts = o.rng.integers(0, 3, (4, 2))
    y = o.like(x, tuple(int(n) for n in np.array(x.shape) + amounts.sum(axis=1)))
    return x, o.operator("PAD", [x, o.constant(amounts, "int32")], y)


def arg_max(o: One) -> tuple[WrittenTensor, WrittenTensor]:
    x = o.bytes((1, o.integer(1, 6), o.integer(1, 30)))
    y = o.tensor(x.shape[:2], "int32")
    return x, o.operator("ARG_MAX", [x, o.constant(np.int64(2), "int32")], y, output_type="INT32")


OPERATORS: dict[str, Build] = {
    "ADD": elementwise("ADD"),
    "SUB": elementwise("SUB"),
    "MUL": elementwise("MUL"),
    "RELU": unary("RELU"),
    "RELU6": unary("RELU6"),
    "RELU_N1_TO_1": unary("RELU_N1_TO_1"),
    "SOFTMAX": probabilities("SOFTMAX"),
    "LOGISTIC": probabilities("LOGISTIC"),
    "SOFTMAX of floats": float_probabilities("SOFTMAX"),
    "LOGISTIC of floats": float_probabilities("LOGISTIC"),
    "QUANTIZE": requantise_types,
    "QUANTIZE of floats": quantize_floats,
    "DEQUANTIZE": dequantize,
    "AVERAGE_POOL_2D": pool,
    "MEAN": mean,
    "MEAN of any axes": reduction("MEAN"),
    "SUM": reduction("SUM"),
    "CONCATENATION": concatenation,
    "RESIZE_BILINEAR": resize,
    "PAD": pad,
    "ARG_MAX": arg_max,
}


@pytest.mark.parametrize(("name", "dtype"), [(n, t) for n in OPERATORS for t in ("int8", "uint8") if (n, t) != ("SUM", "int8")])
def test_operator(name, dtype):
    for seed in range(100):
        o = One(np.random.default_rng(seed), dtype)
        x, y = OPERATORS[name](o)
        content = o.finish([x], [y])
        if x.dtype == "float32":
            value = (o.rng.integers(-300, 300, x.shape) * float(y.scale) / 2).astype(np.float32)  # ties and both ends
        else:
            value = o.rng.integers(o.lo, o.hi + 1, x.shape).astype(x.dtype)
        want = oracle.oracle_tensors(content, value)[y.index]
        got = golden.run_model(parse_model(content), value)[y.index]
        np.testing.assert_array_equal(got, want, err_msg=f"seed {seed}")


def test_the_reference_sums_int8_as_uint8():
    """Which is why such a sum is refused: the other kernels give the right one."""
    n = Writer()
    x = n.tensor((1, 4), "int8", 0.5, 0)
    y = n.operator("SUM", [x, n.constant([1], "int32")], n.tensor((1,), "int8", 4.0, 0), keep_dims=False)
    content, value = n.finish([x], [y]), np.array([[-8, -8, -8, -8]], np.int8)
    assert oracle.oracle_tensors(content, value)[y.index].tolist() == [124]
    with pytest.raises(ImportRefused, match=r"operator 0 SUM, .*as if it were uint8 .*; export a mean in its place"):
        golden.run_model(parse_model(content), value)


@pytest.mark.parametrize("zero_point", [-128, 0, 127])
def test_quantize_is_exact_up_to_int32_and_refused_beyond(zero_point):
    """Beyond, the kernel's cast is C++'s undefined behaviour: machines differ."""
    w = Writer()
    x = w.tensor((1, 4), "float32")
    y = w.operator("QUANTIZE", [x], w.tensor(x.shape, "int8", 0.5, zero_point))
    content = w.finish([x], [y])
    value = np.array([[2.0**29, -(2.0**29), 1.07e9, -1.07e9]], np.float32)
    np.testing.assert_array_equal(golden.run_model(parse_model(content), value)[y.index], oracle.oracle_tensors(content, value)[y.index])
    for wrong in (2.0**30, -(2.0**30), 1e30, np.inf, -np.inf, np.nan):
        value[0, 2] = wrong
        with pytest.raises(NarrowsError, match=r"operator 0 QUANTIZE, .*no int32 at the output's scale, .*give smaller ones"):
            golden.run_model(parse_model(content), value)
