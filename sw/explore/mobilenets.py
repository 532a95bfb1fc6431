"""MobileNetV2 as the paper defines it (Sandler et al., 2018, table 2), for any width and resolution, without a file.

The networks have no trained weights: every weight is zero, and none takes memory. Shapes, work and traffic are those of the real
ones, which is all that planner and cycle model look at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Literal

import numpy as np

from narrows.golden.kernels import padding_amounts
from narrows.graph.network import Add, Conv, Depthwise, Layer, Network, Pool, Requant, Tensor

#: Table 2: expansion, output channels, repeats, stride of the first repeat.
TABLE = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))

#: Channels of the first convolution and of the last one before the pool.
STEM, HEAD = 32, 1280

#: What the paper's authors trained.
WIDTHS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
RESOLUTIONS = (96, 128, 160, 192, 224)

#: Of ImageNet. Published files often have one more, for the background.
CLASSES = 1000


def round_channels(value: float) -> int:
    """The multiple of 8 nearest to ``value`` (a half goes up), at least 8, and never below nine tenths of it."""
    result = max(8, int(value + 4) // 8 * 8)
    return result if result >= 0.9 * value else result + 8


def mobilenet_v2(width: float, resolution: int, *, classes: int = CLASSES, dtype: Literal["uint8", "int8"] = "uint8") -> Network:
    """The classifier of width multiplier ``width`` for pictures of ``resolution`` x ``resolution`` x 3.

    ``width`` scales every number of channels but the head's, which it only raises. Raises ``ValueError`` for a width or a number of
    classes that is not positive, and for a resolution under 32, which leaves the last blocks no plane.
    """
    if not width > 0 or classes < 1:
        raise ValueError(f"A width multiplier and a number of classes are positive, not {width} and {classes}.")
    if resolution < 32:
        raise ValueError(f"The network halves its picture five times: a resolution of {resolution} is too small, 32 is the least.")
    made = _Maker(dtype, (resolution, resolution, 3))
    made.conv("stem", round_channels(STEM * width), kernel=3, stride=2)
    number = 0
    for expansion, channels, repeats, first_stride in TABLE:
        for repeat in range(repeats):
            number += 1
            made.bottleneck(f"block {number}", expansion, round_channels(channels * width), stride=1 if repeat else first_stride)
    made.conv("head", round_channels(HEAD * max(width, 1.0)))
    made.pool("pool")
    made.conv("classifier", classes)
    return Network(None, made.input, (made.at,), tuple(made.layers), (), ())


def parameters(network: Network) -> int:
    """Weights of the network's layers, without biases."""
    return sum(layer.weights.size for layer in network.layers if isinstance(layer, Conv | Depthwise))


@dataclass
class _Maker:
    """A network under construction: every method appends a layer that reads ``at``, and moves on to its output."""

    dtype: Literal["uint8", "int8"]
    shape: tuple[int, int, int]
    layers: list[Layer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lo, self.hi = (-128, 127) if self.dtype == "int8" else (0, 255)
        self.input = self.at = self._tensor("picture", self.shape)

    def bottleneck(self, name: str, expansion: int, channels: int, *, stride: int) -> None:
        """Table 1: expand, depthwise, project, and a shortcut where both ends have one shape."""
        source = self.at
        if expansion > 1:
            self.conv(f"{name} expand", expansion * source.shape[2])
        self.depthwise(f"{name} depthwise", stride=stride)
        self.conv(f"{name} project", channels)
        if stride == 1 and self.at.shape == source.shape:
            self.add(f"{name} add", source)

    def conv(self, name: str, channels: int, *, kernel: int = 1, stride: int = 1) -> None:
        """A convolution with SAME padding."""
        self._window(Conv, name, channels, (channels, kernel, kernel, self.at.shape[2]), kernel, stride)

    def depthwise(self, name: str, *, stride: int) -> None:
        """A 3x3 depthwise convolution with SAME padding."""
        channels = self.at.shape[2]
        self._window(Depthwise, name, channels, (3, 3, channels), 3, stride)

    def add(self, name: str, other: Tensor) -> None:
        """The shortcut's sum."""
        half = (1 << 30, 0)
        self._append(Add(
            name, len(self.layers), (other, self.at), self._tensor(name, self.at.shape), 0, m1=half, m2=half, mo=half,
            zero_point=0, lo=self.lo, hi=self.hi,
        ))

    def pool(self, name: str) -> None:
        """The average of the plane."""
        output = self._tensor(name, (1, 1, self.at.shape[2]))
        self._append(Pool(
            name, len(self.layers), (self.at,), output, 0, kind="average", multiplier=0, shift=0, zero_point=0, lo=self.lo, hi=self.hi,
        ))

    def _tensor(self, name: str, shape: tuple[int, int, int]) -> Tensor:
        return Tensor(name, len(self.layers), shape, self.dtype, 1.0, 0)

    def _append(self, layer: Layer) -> None:
        self.layers.append(layer)
        self.at = layer.output

    def _window(self, kind: type[Conv | Depthwise], name: str, channels: int, weights: tuple[int, ...], kernel: int, stride: int) -> None:
        height, width, _ = self.at.shape
        output = self._tensor(name, (-(-height // stride), -(-width // stride), channels))
        zeros = np.broadcast_to(np.int64(0), channels)
        self._append(kind(
            name, len(self.layers), (self.at,), output, output.shape[0] * output.shape[1] * prod(weights),
            weights=np.broadcast_to(np.dtype(self.dtype).type(0), weights), weight_zero_point=0, bias=zeros,
            requant=Requant(np.broadcast_to(np.int64(1 << 30), channels), zeros, 0, self.lo, self.hi),
            kernel=(kernel, kernel), stride=(stride, stride), dilation=(1, 1),
            pad=padding_amounts((height, width), (kernel, kernel), (stride, stride), (1, 1), "SAME"),
        ))
