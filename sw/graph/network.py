"""The few forms the engine runs, and what surrounds them.

An imported network is a chain of :class:`Layer` objects in execution order between two short
lists of host operators. Import (``narrows.importer.importer``) produces it, the golden model
(``narrows.golden.model``) gives its arithmetic, the planner groups its layers into blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from narrows.errors import ImportRefused


@dataclass(frozen=True, eq=False)
class Tensor:
    """One activation tensor of the engine, one image: ``shape`` is (height, width, channels).

    ``dtype`` is ``"uint8"`` or ``"int8"``; ``index`` is the tensor's index in the ``.tflite``
    (the tensor whose bytes equal this one), ``name`` its name there.
    """

    name: str
    index: int
    shape: tuple[int, int, int]
    dtype: Literal["uint8", "int8"]
    scale: float
    zero_point: int


@dataclass(frozen=True, eq=False)
class Requant:
    """How an int32 accumulator becomes a byte: clamp(MBQM(acc, multiplier, shift) + zero_point, lo, hi).

    ``multiplier`` (int64 array, 0..2^31-1) and ``shift`` (int64 array, -31..30, positive is left)
    have one entry per output channel; ``zero_point``, ``lo`` and ``hi`` are in the type's own range.
    """

    multiplier: np.ndarray
    shift: np.ndarray
    zero_point: int
    lo: int
    hi: int


def type_limits(dtype: str) -> tuple[int, int]:
    """The smallest and the largest number of ``"uint8"`` or ``"int8"``."""
    return (-128, 127) if dtype == "int8" else (0, 255)


def accumulator_reach(factors: np.ndarray, bias: np.ndarray, source: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The least and the most that channels' accumulators can be, bias included, for any bytes of ``source``.

    ``factors``: (channels, taps), weights less their zero point, int64; ``bias``: (channels,).
    """
    lo, hi = (limit - source.zero_point for limit in type_limits(source.dtype))
    least = bias + np.minimum(factors * lo, factors * hi).sum(axis=1)
    return least, bias + np.maximum(factors * lo, factors * hi).sum(axis=1)


@dataclass(frozen=True, eq=False)
class Layer:
    """Base: ``inputs`` -> ``output``, ``op`` the index of the operator in the ``.tflite`` whose output this is."""

    name: str
    op: int
    inputs: tuple[Tensor, ...]
    output: Tensor
    macs: int


@dataclass(frozen=True, eq=False)
class Windowed(Layer):
    """Base of what forms each output pixel of a window of input pixels: :class:`Conv` and :class:`Depthwise`."""

    weights: np.ndarray
    weight_zero_point: int
    bias: np.ndarray
    requant: Requant
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    pad: tuple[int, int, int, int]

    def factors(self) -> np.ndarray:
        """(output channels, taps): weights less their zero point, int64."""
        raise NotImplementedError

    def reach(self) -> tuple[np.ndarray, np.ndarray]:
        """:func:`accumulator_reach` of every output channel."""
        return accumulator_reach(self.factors(), self.bias, self.inputs[0])


@dataclass(frozen=True, eq=False)
class Conv(Windowed):
    """A convolution over all input channels. FULLY_CONNECTED is one whose window is a pixel, some whole rows or the plane.

    ``weights`` is the raw stored array, uint8 or int8, shape (out, kh, kw, in); the factor is
    ``weights - weight_zero_point``. ``bias`` is int64, shape (out,). ``pad`` is (top, left, bottom, right)
    in pixels, which hold the input's zero point.
    """

    def factors(self) -> np.ndarray:
        """(out channels, taps): weights less their zero point, int64."""
        return self.weights.reshape(self.weights.shape[0], -1).astype(np.int64) - self.weight_zero_point

    @property
    def joined(self) -> int | None:
        """Pixels of each window, if the windows are the input cut into runs of so many pixels that follow each other: 1 for a pointwise
        convolution, all for one over the whole plane. None for other windows."""
        (in_h, in_w, _), (out_h, out_w, _), (kh, kw) = self.inputs[0].shape, self.output.shape, self.kernel
        covered = (out_h * kh, out_w * kw) == (in_h, in_w) and not any(self.pad)
        steps = zip((out_h, out_w), self.kernel, self.stride, self.dilation, strict=True)
        beside = all((out == 1 or stride == size) and (size == 1 or dilation == 1) for out, size, stride, dilation in steps)
        return kh * kw if covered and beside and (kh == 1 or kw == in_w) else None


@dataclass(frozen=True, eq=False)
class Depthwise(Windowed):
    """A depthwise convolution with multiplier 1. ``weights`` has shape (kh, kw, channels); the rest as in :class:`Conv`."""

    def factors(self) -> np.ndarray:
        """(channels, taps): weights less their zero point, int64."""
        return np.moveaxis(self.weights, -1, 0).reshape(self.weights.shape[-1], -1).astype(np.int64) - self.weight_zero_point


@dataclass(frozen=True, eq=False)
class Add(Layer):
    """The residual: clamp(MBQM(MBQM((a-z1)<<20, m1) + MBQM((b-z2)<<20, m2), mo) + zero_point, lo, hi).

    ``m1``, ``m2``, ``mo`` are (multiplier, shift) pairs for ``inputs[0]``, ``inputs[1]``, output.
    """

    m1: tuple[int, int]
    m2: tuple[int, int]
    mo: tuple[int, int]
    zero_point: int
    lo: int
    hi: int


@dataclass(frozen=True, eq=False)
class Pool(Layer):
    """Global average over the whole plane. ``kind`` "average": AVERAGE_POOL_2D's rounding of raw values, then the
    clamp; "mean": MEAN's requantisation of ``sum - zero_point_in * n`` by (multiplier, shift)."""

    kind: Literal["average", "mean"]
    multiplier: int
    shift: int
    zero_point: int
    lo: int
    hi: int


@dataclass(frozen=True, eq=False)
class Clip(Layer):
    """clamp(x, lo[c], hi[c]) with bounds per channel, integer arrays in the type's own range; both ends have one scale and zero point.

    No unit runs it: :mod:`narrows.importer.channelwise` makes layers of it.
    """

    lo: np.ndarray
    hi: np.ndarray


@dataclass(frozen=True, eq=False)
class HostOp:
    """An operator the host runs in the golden model's arithmetic: index and name in the ``.tflite``."""

    op: int
    name: str


@dataclass(frozen=True, eq=False)
class Network:
    """A network ready for the engine.

    ``input`` is the image tensor the engine reads and ``outputs`` are those it writes, in the order of the layers that give
    them; ``pre`` turns the model's input into ``input``, ``post`` the engine's ``outputs`` into the model's outputs. ``taken``:
    which output has the bytes of a tensor (by index in the file) that the caller or ``post`` reads. ``model`` is
    the parsed ``.tflite`` (``narrows.tflite.file``), which the host operators are run from;
    ``constants`` holds the values (by tensor index) of its constant subgraphs.
    ``notes`` say in words what each applied graph rule did. ``origins``: for each layer the file's operators that it does
    the work of, by index, first the one it was made for.
    """

    model: Any
    input: Tensor
    outputs: tuple[Tensor, ...]
    layers: tuple[Layer, ...]
    pre: tuple[HostOp, ...]
    post: tuple[HostOp, ...]
    notes: tuple[str, ...] = field(default=())
    constants: dict[int, np.ndarray] = field(default_factory=dict)
    origins: tuple[tuple[int, ...], ...] = field(default=())
    taken: dict[int, Tensor] = field(default_factory=dict)

    @property
    def output(self) -> Tensor:
        """The last output, that of the last layer."""
        return self.outputs[-1]


class LayerRefused(ImportRefused):
    """The engine can't run ``layer`` exactly, for ``reason``, the way out included."""

    def __init__(self, layer: Layer, reason: str) -> None:
        super().__init__(f"operator {layer.name}, tensor {layer.output.index} ({layer.output.name}): {reason}", reason=reason)
        self.layer = layer
