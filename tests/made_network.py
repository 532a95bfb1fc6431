"""Networks by hand, layer after layer, with random weights: any geometry, no file."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from narrows.golden.fixed_point import quantize_multiplier
from narrows.golden.kernels import padding_amounts
from narrows.graph.network import Add, Conv, Depthwise, Layer, Network, Pool, Requant, Tensor


class Made:
    """A network under construction: every method appends a layer that reads ``at`` and moves on to its result."""

    def __init__(self, height: int, width: int, channels: int, *, dtype: str = "int8", seed: int = 0):
        self.rng, self.dtype = np.random.default_rng(seed), dtype
        self.lo, self.hi = (-128, 127) if dtype == "int8" else (0, 255)
        self.layers: list[Layer] = []
        self.input = self.at = self._tensor((height, width, channels))

    def conv(self, out: int, *, kernel: int | tuple[int, int] = 1, stride: int = 1) -> Made:
        """A convolution; a kernel of more than 1 only on the picture."""
        size = (kernel, kernel) if isinstance(kernel, int) else kernel
        shape = (out, *size, self.at.shape[2])
        return self._window(Conv, out, shape, size[0] * size[1] * self.at.shape[2], size, stride, 1)

    def dense(self, out: int, window: tuple[int, int] | None = None) -> Made:
        """A convolution of windows beside each other, of the whole plane by default."""
        height, width, channels = self.at.shape
        kh, kw = window or (height, width)
        source, tensor = self.at, self._tensor((height // kh, width // kw, out))
        self.conv(out)
        fan = kh * kw * channels
        old = self.layers.pop()
        weights = self.rng.integers(self.lo, self.hi + 1, (out, kh, kw, channels)).astype(self.dtype)
        requant = replace(old.requant, multiplier=old.requant.multiplier, shift=old.requant.shift - round(np.log2(kh * kw) / 2))
        self.layers.append(replace(
            old, inputs=(source,), output=tensor, macs=tensor.shape[0] * tensor.shape[1] * fan * out, weights=weights, requant=requant,
            kernel=(kh, kw), stride=(kh, kw), pad=(0, 0, 0, 0),
        ))
        self.at = tensor
        return self

    def depthwise(self, *, kernel: int = 3, stride: int = 1, dilation: int = 1) -> Made:
        """A depthwise convolution with SAME padding."""
        channels = self.at.shape[2]
        return self._window(Depthwise, channels, (kernel, kernel, channels), kernel**2, (kernel, kernel), stride, dilation)

    def add(self, other: Tensor) -> Made:
        """The sum of ``other`` and the last result."""
        out = self._tensor(self.at.shape)
        pairs = [quantize_multiplier(ratio) for ratio in (0.31, 0.43, 2.0**-19)]
        inputs = (other, self.at) if self.rng.integers(2) else (self.at, other)
        self.layers.append(Add(f"add{len(self.layers)}", len(self.layers), inputs, out, 0, *pairs, out.zero_point, self.lo, self.hi))
        self.at = out
        return self

    def block(self, out: int, *, expand: int = 6, kernel: int = 3, stride: int = 1, dilation: int = 1, residual: bool = False) -> Made:
        """An inverted residual block."""
        source = self.at
        if expand > 1:
            self.conv(expand * source.shape[2])
        self.depthwise(kernel=kernel, stride=stride, dilation=dilation).conv(out)
        return self.add(source) if residual else self

    def pool(self, kind: str = "mean") -> Made:
        """The average of the plane."""
        height, width, channels = self.at.shape
        out = self._tensor((1, 1, channels))
        multiplier, shift = quantize_multiplier(0.9 / (height * width))
        name, zero = f"pool{len(self.layers)}", out.zero_point if kind == "mean" else 0
        self.layers.append(Pool(name, len(self.layers), (self.at,), out, 0, kind, multiplier, shift, zero, self.lo, self.hi))
        self.at = out
        return self

    def network(self, *outputs: Tensor) -> Network:
        """What was built; ``outputs``: tensors that are outputs beside the last one."""
        return Network(None, self.input, (*outputs, self.at), tuple(self.layers), (), ())

    def picture(self) -> np.ndarray:
        """Random pixels."""
        return self.rng.integers(self.lo, self.hi + 1, self.input.shape).astype(self.dtype)

    def _tensor(self, shape: tuple[int, int, int]) -> Tensor:
        return Tensor(f"t{len(self.layers)}", len(self.layers), shape, self.dtype, 0.05, int(self.rng.integers(self.lo, self.hi + 1)))

    def _window(self, kind: type, out: int, shape: tuple, fan: int, kernel: tuple[int, int], stride: int, dilation: int) -> Made:
        height, width, _ = self.at.shape
        pads = padding_amounts((height, width), kernel, (stride, stride), (dilation, dilation), "SAME")
        tensor = self._tensor((-(-height // stride), -(-width // stride), out))
        weights = self.rng.integers(self.lo, self.hi + 1, shape).astype(self.dtype)
        zero = 0 if self.dtype == "int8" else int(self.rng.integers(0, 256))
        scales = np.exp(self.rng.normal(0, 0.3, out)) * 0.7 / (70 * np.sqrt(fan))
        multiplier, shift = (np.array(part, np.int64) for part in zip(*map(quantize_multiplier, scales), strict=True))
        requant = Requant(multiplier, shift, tensor.zero_point, self.lo, self.hi)
        bias = self.rng.integers(-3000, 3000, out)
        self.layers.append(kind(
            f"{kind.__name__.lower()}{len(self.layers)}", len(self.layers), (self.at,), tensor, height * width * fan * out // stride**2,
            weights, zero, bias, requant, kernel, (stride, stride), (dilation, dilation), pads,
        ))
        self.at = tensor
        return self


def _channels(value: float) -> int:
    """A multiple of 8 near ``value``, at least 8, and no more than a tenth below it."""
    result = max(8, int(value + 4) // 8 * 8)
    return result if result >= 0.9 * value else result + 8


def mobilenet_v2(width: float, resolution: int, *, dtype: str = "uint8", channels: int = 3, classes: int = 1001) -> Made:
    """MobileNetV2 (Sandler et al., 2018, table 2) of any ``width`` and ``resolution``."""
    made = Made(resolution, resolution, channels, dtype=dtype).conv(_channels(32 * width), kernel=3, stride=2)
    for expand, channels, repeats, stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ):
        _repeated(made, expand, _channels(channels * width), repeats, stride, kernel=3)
    return made.conv(_channels(1280 * max(width, 1.0))).pool().conv(classes)


def mobilenet_v1(width: float, resolution: int, *, dtype: str = "uint8", channels: int = 3, classes: int = 1001) -> Made:
    """MobileNetV1 (Howard et al., 2017, table 1) of any ``width`` and ``resolution``."""
    made = Made(resolution, resolution, channels, dtype=dtype).conv(max(8, int(32 * width)), kernel=3, stride=2)
    rows = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
    for channels, stride in rows:
        made.depthwise(stride=stride).conv(max(8, int(channels * width)))
    return made.pool("average").conv(classes)


def efficientnet_lite(depth: float, resolution: int, *, classes: int = 1000) -> Made:
    """EfficientNet-Lite of width 1.0: 0 is ``depth`` 1.0 at 224, 1 is 1.1 at 240; blocks of Tan and Le, 2019, table 1."""
    made = Made(resolution, resolution, 3).conv(32, kernel=3, stride=2).depthwise().conv(16)
    for expand, channels, repeats, stride, kernel in (
        (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3),
    ):
        _repeated(made, expand, channels, repeats if channels == 320 else math.ceil(repeats * depth), stride, kernel)
    return made.conv(1280).pool().conv(classes)


def mnasnet(resolution: int, *, classes: int = 1000) -> Made:
    """MnasNet-B1 (Tan et al., 2019): without squeeze and excitation."""
    made = Made(resolution, resolution, 3).conv(32, kernel=3, stride=2).depthwise().conv(16)
    for expand, channels, repeats, stride, kernel in (
        (3, 24, 3, 2, 3), (3, 40, 3, 2, 5), (6, 80, 3, 2, 5), (6, 96, 2, 1, 3), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3),
    ):
        _repeated(made, expand, channels, repeats, stride, kernel)
    return made.conv(1280).pool().conv(classes)


def _repeated(made: Made, expand: int, channels: int, repeats: int, stride: int, kernel: int) -> None:
    for index in range(repeats):
        made.block(channels, expand=expand, kernel=kernel, stride=1 if index else stride, residual=index > 0)
