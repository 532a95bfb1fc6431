"""Random small networks of the MobileNet kind, written the different ways converters write them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from tflite_writer import Writer, WrittenTensor


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a network is written. :func:`random_options` draws one at random."""

    dtype: str = "int8"
    per_channel: bool = True  # int8 only
    height: int = 17
    width: int = 15
    channels: int = 3
    channels_first: bool = False  # a TRANSPOSE before the first layer
    ends: str = "plain"  # "uint8" (QUANTIZE at both ends of an int8 model), "float" (QUANTIZE, DEQUANTIZE)
    prelude: bool = False  # MUL and SUB on the input
    first: str = "conv"  # "depthwise": no stem
    padding: str = "SAME"  # "PAD" before VALID, "VALID"
    activation: str = "RELU6"  # fused; "RELU"; "range"; operators "RELU6_OP", "RELU_OP", "MINIMUM_OP"
    rescaling: bool = False  # RELU operators change the scale
    multiplier: int = 1  # of one depthwise layer
    blocks: int = 3
    expand: int = 3
    kernel: int = 3
    dilation: int = 1
    pool: str = "MEAN"  # "MEAN_FLAT" (no kept dimensions), "AVERAGE", "none"
    classifier: str = "FC"  # "CONV"
    classes: int = 5
    subgraph: bool = False  # SHAPE, STRIDED_SLICE, PACK give RESHAPE its shape
    requantise: bool = False  # a QUANTIZE between layers
    last: str = "SOFTMAX"  # "LOGISTIC", "ARG_MAX", "none"
    wild: bool = False  # dead channels: enormous biases, vanishing scales


def random_options(rng: np.random.Generator, **fixed: Any) -> Options:
    """Options at random, those in ``fixed`` as given."""

    def one(*choices: Any) -> Any:
        return choices[rng.integers(len(choices))]

    dtype = fixed.get("dtype", one("int8", "int8", "uint8"))
    drawn = {
        "dtype": dtype,
        "per_channel": one(True, True, False),
        "height": int(rng.integers(9, 26)),
        "width": int(rng.integers(9, 26)),
        "channels": one(3, 3, 1),
        "channels_first": one(False, False, True),
        "ends": one("plain", "float", "uint8" if dtype == "int8" else "float"),
        "prelude": one(False, False, False, True),
        "first": one("conv", "conv", "conv", "depthwise"),
        "padding": one("SAME", "SAME", "PAD", "VALID"),
        "activation": one("RELU6", "RELU6", "RELU", "range", "RELU6_OP", "RELU_OP", "MINIMUM_OP"),
        "rescaling": one(False, True),
        "multiplier": one(1, 1, 2, 8),
        "blocks": int(rng.integers(1, 5)),
        "expand": one(1, 2, 3, 6),
        "kernel": one(3, 3, 5),
        "dilation": one(1, 1, 1, 2),
        "pool": one("MEAN", "MEAN_FLAT", "AVERAGE", "none"),
        "classifier": one("FC", "CONV"),
        "classes": int(rng.integers(2, 12)),
        "subgraph": one(False, True),
        "requantise": one(False, False, True),
        "last": one("SOFTMAX", "SOFTMAX", "LOGISTIC", "ARG_MAX", "none"),
        "wild": one(False, True),
    }
    return Options(**(drawn | fixed))


def random_mobilenet(rng: np.random.Generator, **options: Any) -> bytes:
    """The bytes of a random ``.tflite``; ``options`` are fields of :class:`Options`, the rest is drawn."""
    unknown = set(options) - {f.name for f in fields(Options)}
    assert not unknown, f"unknown options {sorted(unknown)}"
    return _Network(rng, random_options(rng, **options)).build()


class _Network:
    """Writes one network front to back; every method takes a tensor and returns the next."""

    def __init__(self, rng: np.random.Generator, options: Options) -> None:
        self.rng, self.o, self.w = rng, options, Writer()
        self.lo, self.hi = (0, 255) if options.dtype == "uint8" else (-128, 127)

    def activation(self, shape: tuple[int, ...], scale: float, zero: int, dtype: str | None = None) -> WrittenTensor:
        return self.w.tensor(shape, dtype or self.o.dtype, np.float32(scale), zero)

    def like(self, t: WrittenTensor, shape: tuple[int, ...]) -> WrittenTensor:
        return self.activation(shape, t.scale, t.zero_point, t.dtype)

    def build(self) -> bytes:
        source = x = self.image()
        x = self.prelude(x) if self.o.prelude else x
        if self.o.first == "conv":
            x = self.conv(x, int(self.rng.integers(4, 12)), kernel=self.o.kernel, stride=2, act=True)
            x = self.depthwise(x, multiplier=self.o.multiplier)
        else:
            x = self.depthwise(x, multiplier=max(self.o.multiplier, 2), stride=2)
        x = self.conv(x, int(self.rng.integers(3, 9)))
        for _ in range(self.o.blocks):
            x = self.block(x)
        x = self.requantise(x) if self.o.requantise else x
        x = self.conv(x, int(self.rng.integers(8, 24)), act=True)
        x = self.classifier(self.pool(x))
        return self.w.finish([source], [self.ending(x)])

    def image(self) -> WrittenTensor:
        o = self.o
        shape = (1, o.height, o.width, o.channels)
        first = (1, o.channels, o.height, o.width) if o.channels_first else shape
        zero = 1 + self.lo + 126 + int(self.rng.integers(0, 3))
        self.source = x = {
            "float": lambda: self.w.tensor(first, "float32", name="image"),
            "uint8": lambda: self.w.tensor(first, "uint8", np.float32(1 / 127.5), zero + 128, name="image"),
            "plain": lambda: self.activation(first, 1 / 127.5, zero),
        }[o.ends]()
        steps = [lambda t: self.transpose(t, (0, 2, 3, 1))] if o.channels_first else []
        if o.ends != "plain":
            steps.append(lambda t: self.w.operator("QUANTIZE", [t], self.activation(t.shape, 1 / 127.5, zero)))
        if self.rng.integers(2):
            steps.reverse()
        for step in steps:
            x = step(x)
        self.first = x
        return self.source

    def transpose(self, t: WrittenTensor, order: tuple[int, ...]) -> WrittenTensor:
        out = self.w.tensor(tuple(t.shape[a] for a in order), t.dtype, t.scale, t.zero_point)
        return self.w.operator("TRANSPOSE", [t, self.w.constant(order, "int32")], out)

    def prelude(self, _: WrittenTensor) -> WrittenTensor:
        x, zero = self.first, self.first.zero_point
        two = self.w.constant(np.int64(self.hi), self.o.dtype, np.float32(2 / (self.hi - self.lo // 2)), self.lo // 2)
        x = self.w.operator("MUL", [x, two], self.activation(x.shape, x.scale * np.float32(2), zero))
        one = self.w.constant(np.int64(self.hi), self.o.dtype, np.float32(0.004), self.lo)
        self.first = self.w.operator("SUB", [x, one], self.activation(x.shape, x.scale, self.middle()))
        return self.source

    def middle(self) -> int:
        return (self.lo + self.hi + 1) // 2 + int(self.rng.integers(-20, 21))

    def weights(self, shape: tuple[int, ...], axis: int) -> tuple[np.ndarray, Any, int]:
        """Raw weights, their scale (one or per channel) and zero point."""
        o, count = self.o, shape[axis]
        spread = float(np.exp(self.rng.normal(-4, 0.7)))
        if o.dtype == "uint8":
            return self.rng.integers(0, 256, shape), np.float32(spread), int(self.rng.integers(17, 242))
        raw = self.rng.integers(-127, 128, shape)
        if not o.per_channel:
            return raw, np.float32(spread), 0
        scale = (spread * np.exp(self.rng.normal(0, 0.8, count))).astype(np.float32)
        if o.wild:
            scale[self.rng.integers(count)] = 10.0 ** -self.rng.integers(5, 14)
        return raw, scale, 0

    def produce(
        self, name: str, x: WrittenTensor, raw: tuple, shape: tuple, fan: int, act: bool, axis: int, **options: Any
    ):
        """A convolution of any kind with a bias, an output scale that suits it and its activation."""
        o, (data, s_w, z_w) = self.o, raw
        channels = data.shape[axis]
        weights = self.w.constant(data, o.dtype, s_w, z_w, axis=axis)
        product = np.float32(x.scale) * np.asarray(s_w, np.float32)
        bias = np.rint(self.rng.normal(0, 1, channels) * 40 * 60 * np.sqrt(fan)).astype(np.int64)
        if o.wild and self.rng.integers(2):
            bias[self.rng.integers(channels)] = int(self.rng.choice([-1, 1])) * int(
                self.rng.integers(1 << 29, 1073741953)
            )
        terms = [x, weights, self.w.constant(bias, "int32", product, 0)]
        if not self.rng.integers(8) and name != "CONV_2D":  # the reference's quantised CONV_2D wants a bias
            terms[2:] = [None] if name == "FULLY_CONNECTED" else []
        deviation = float(np.median(product)) * 60 * 70 * np.sqrt(fan)  # of the real result, roughly
        fused, relu = "NONE", act and o.activation
        if relu in ("RELU6", "RELU", "range"):
            fused = "NONE" if relu == "range" else relu
            wide = 6 if relu == "RELU6" and 1 < deviation < 20 else 2.5 * deviation
            out = self.activation(shape, wide / 255, self.lo)
        else:
            out = self.activation(shape, 6 * deviation / 255, self.middle())
        out = self.w.operator(name, terms, out, fused_activation_function=fused, **options)
        return self.activation_operators(out) if relu and relu.endswith("_OP") else out

    def activation_operators(self, x: WrittenTensor) -> WrittenTensor:
        kind = self.o.activation
        scale, zero = (x.scale * 0.6, self.lo) if self.o.rescaling else (x.scale, x.zero_point)
        relu = "RELU6" if kind == "RELU6_OP" else "RELU"
        x = self.w.operator(relu, [x], self.activation(x.shape, scale, zero))
        if kind == "MINIMUM_OP":
            bound = self.w.constant(np.int64(self.hi - 40), self.o.dtype, x.scale, x.zero_point)
            x = self.w.operator("MINIMUM", [x, bound], self.like(x, x.shape))
        return x

    def window(self, x: WrittenTensor, kernel: int, stride: int, dilation: int) -> tuple[WrittenTensor, int, int, str]:
        """Padding before a window: the tensor to read, the output's height and width, SAME or VALID."""
        _, height, width, channels = x.shape
        reach, mode = (kernel - 1) * dilation, self.o.padding if kernel > 1 else "SAME"
        if mode == "PAD":
            before, after = reach // 2 - (stride == 2), reach - reach // 2
            amounts = [[0, 0], [before, after], [before, after], [0, 0]]
            height, width = height + before + after, width + before + after
            padded = self.like(x, (1, height, width, channels))
            x = self.w.operator("PAD", [x, self.w.constant(amounts, "int32")], padded)
        if mode == "SAME" or min(height, width) <= reach + stride:
            return x, -(-height // stride), -(-width // stride), "SAME"
        return x, -(-(height - reach) // stride), -(-(width - reach) // stride), "VALID"

    def conv(self, x: WrittenTensor, out: int, *, kernel: int = 1, stride: int = 1, act: bool = False) -> WrittenTensor:
        x = self.first if x is self.source else x
        x, height, width, padding = self.window(x, kernel, stride, 1)
        channels = x.shape[3]
        raw = self.weights((out, kernel, kernel, channels), 0)
        options = {"padding": padding, "stride_h": stride, "stride_w": stride}
        options |= {"dilation_h_factor": 1, "dilation_w_factor": 1}
        return self.produce("CONV_2D", x, raw, (1, height, width, out), kernel**2 * channels, act, 0, **options)

    def depthwise(self, x: WrittenTensor, *, multiplier: int = 1, stride: int = 1) -> WrittenTensor:
        x = self.first if x is self.source else x
        kernel, dilation = self.o.kernel, self.o.dilation if stride == 1 else 1
        x, height, width, padding = self.window(x, kernel, stride, dilation)
        out = x.shape[3] * multiplier
        raw = self.weights((1, kernel, kernel, out), 3)
        options = {"padding": padding, "stride_h": stride, "stride_w": stride, "depth_multiplier": multiplier}
        options |= {"dilation_h_factor": dilation, "dilation_w_factor": dilation}
        return self.produce("DEPTHWISE_CONV_2D", x, raw, (1, height, width, out), kernel**2, True, 3, **options)

    def block(self, x: WrittenTensor) -> WrittenTensor:
        residual = self.o.padding == "SAME" and bool(self.rng.integers(3))
        channels = x.shape[3] if residual else int(self.rng.integers(3, 10))
        y = self.conv(x, x.shape[3] * self.o.expand, act=True) if self.o.expand > 1 else x
        y = self.depthwise(y, stride=1 if residual or min(x.shape[1:3]) < 5 else int(self.rng.integers(1, 3)))
        y = self.conv(y, channels)
        if not residual:
            return y
        out = self.activation(y.shape, np.float32(max(x.scale, y.scale) * np.float32(1.2)), self.middle())
        pair = [x, y] if self.rng.integers(2) else [y, x]
        return self.w.operator("ADD", pair, out, fused_activation_function="NONE")

    def requantise(self, x: WrittenTensor) -> WrittenTensor:
        return self.w.operator("QUANTIZE", [x], self.activation(x.shape, x.scale * np.float32(1.3), self.middle()))

    def pool(self, x: WrittenTensor) -> WrittenTensor:
        o, (_, height, width, channels) = self.o, x.shape
        if o.pool == "AVERAGE":
            options = {"filter_height": height, "filter_width": width, "stride_h": height, "stride_w": width}
            out = self.like(x, (1, 1, 1, channels))
            activation = {"fused_activation_function": "NONE", "padding": str(self.rng.choice(["VALID", "SAME"]))}
            return self.w.operator("AVERAGE_POOL_2D", [x], out, **options, **activation)
        if o.pool == "none":
            return x
        shape = (1, channels) if o.pool == "MEAN_FLAT" else (1, 1, 1, channels)
        out = (
            self.activation(shape, x.scale * np.float32(0.7), self.lo) if self.rng.integers(2) else self.like(x, shape)
        )
        axes = self.w.constant([[1, 2], [2, 1], [-3, -2]][self.rng.integers(3)], "int32")
        return self.w.operator("MEAN", [x, axes], out, keep_dims=o.pool != "MEAN_FLAT")

    def reshape(self, x: WrittenTensor, shape: tuple[int, ...]) -> WrittenTensor:
        out = self.like(x, shape)
        if not self.o.subgraph:
            return self.w.operator("RESHAPE", [x, self.w.constant(shape, "int32")], out, new_shape=shape)
        sizes = self.w.operator("SHAPE", [x], self.w.tensor((len(x.shape),), "int32"), out_type="INT32")
        zero, one = self.w.constant([0], "int32"), self.w.constant([1], "int32")
        batch = self.w.operator(
            "STRIDED_SLICE", [sizes, zero, one, one], self.w.tensor((), "int32"), shrink_axis_mask=1
        )
        rest = [self.w.constant(np.int64(n), "int32") for n in shape[1:]]
        packed = self.w.tensor((len(shape),), "int32")
        self.w.operator("PACK", [batch, *rest], packed, values_count=len(shape), axis=0)
        return self.w.operator("RESHAPE", [x, packed], out)

    def classifier(self, x: WrittenTensor) -> WrittenTensor:
        o, features = self.o, int(np.prod(x.shape))
        if o.classifier == "CONV" and o.pool != "none":
            x = self.reshape(x, (1, 1, 1, features)) if len(x.shape) == 2 else x
            return self.reshape(self.conv(x, o.classes), (1, o.classes))
        if len(x.shape) == 4 and self.rng.integers(3):
            x = self.reshape(x, (1, features))
        raw = self.weights((o.classes, features), 0)
        return self.produce("FULLY_CONNECTED", x, raw, (1, o.classes), features, False, 0)

    def ending(self, x: WrittenTensor) -> WrittenTensor:
        o = self.o
        if o.last == "SOFTMAX":
            x = self.w.operator("SOFTMAX", [x], self.activation(x.shape, 1 / 256, self.lo), beta=1.0)
        elif o.last == "LOGISTIC":
            x = self.w.operator("LOGISTIC", [x], self.activation(x.shape, 1 / 256, self.lo))
        elif o.last == "ARG_MAX":
            axis = self.w.constant(np.int64(1), "int32")
            return self.w.operator("ARG_MAX", [x, axis], self.w.tensor((1,), "int64"), output_type="INT64")
        if o.ends == "float":
            return self.w.operator("DEQUANTIZE", [x], self.w.tensor(x.shape, "float32"))
        if o.ends == "uint8":
            return self.w.operator("QUANTIZE", [x], self.activation(x.shape, x.scale, x.zero_point + 128, "uint8"))
        return x
