"""The range in which a model with a float32 input wants its pixels, and who says so."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

import numpy as np

from narrows.errors import NarrowsError
from narrows.tflite.metadata import normalization
from narrows.tflite.model import Model

Numbers = tuple[float, ...]

#: Ranges that networks are trained with; the QUANTIZE of the file says which, within the share CLEARLY of its width at each end.
USUAL = ((0.0, 1.0), (0.0, 255.0), (-1.0, 1.0), (-128.0, 127.0), (-0.5, 0.5))
CLEARLY = 0.05

#: Mean and deviation of ImageNet's pixels, in 255ths, per channel: what PyTorch's networks are trained with.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

# Operators that move values and leave them as they are.
_MOVES = {"TRANSPOSE", "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "PAD"}


@dataclass(frozen=True)
class InputRange:
    """How a pixel becomes a value: (pixel - ``before``) / ``divisor`` + ``after`` in float32, each one number or one per channel.

    ``source``: who says so, ``why``: in words.
    """

    before: Numbers
    divisor: Numbers
    after: Numbers
    source: Literal["option", "metadata", "quantize", "unknown"]
    why: str

    def values(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 ``pixels`` (..., channels) as float32."""
        before, divisor, after = (np.array(numbers, np.float32) for numbers in (self.before, self.divisor, self.after))
        return (pixels.astype(np.float32) - before) / divisor + after

    def row(self) -> dict[str, Any]:
        """As it stands in a result: ``low`` and ``high`` are the values of pixels 0 and 255, one or one per channel."""
        channels = max(map(len, (self.before, self.divisor, self.after)))
        low, high = (self.values(np.full(channels, pixel, np.uint8)).tolist() for pixel in (0, 255))
        return {"low": low, "high": high, "source": self.source, "why": self.why}


def span(low: float, high: float, source: Any, why: str) -> InputRange:
    """Pixels 0 to 255 as ``low`` to ``high``."""
    return InputRange((0.0,), (255 / (high - low),), (low,), source, why)


def input_range(model: Model, channels: int, asked: tuple[float, float] | None = None) -> InputRange | None:
    """The range of ``model``'s one input of ``channels`` channels; None if that is no float32, whose pixels go in as bytes.

    What was ``asked`` for is taken, else what the file's metadata says, else the usual range that the QUANTIZE behind the input
    spans, else that QUANTIZE's own range. Raises :class:`NarrowsError` if ``asked`` is none or the model takes bytes.
    """
    tensor = model.tensors[model.inputs[0]]
    if asked is not None:
        return _asked(str(tensor), tensor.dtype, *asked)
    if tensor.dtype != "float32":
        return None
    if (said := normalization(model.metadata, channels)) is not None:
        mean, std = (tuple(numbers.tolist()) for numbers in said)
        return InputRange(mean, std, (0.0,), "metadata", f"the file's metadata says mean {_listed(mean)}, deviation {_listed(std)}")
    spans = quantize_spans(model)
    if len(spans) != 1:
        why = "nothing in the file tells it; as MobileNets are trained: give another with --input-range LOW,HIGH"
        return span(-1, 1, "unknown", why)
    (low, high), = spans  # fmt: skip
    return _usual(low, high, channels)


def _asked(name: str, dtype: str, low: float, high: float) -> InputRange:
    if dtype != "float32":
        raise NarrowsError(f"{name}: takes {dtype}, so pixels go in as bytes; an input range is for a float32 input: leave it out")
    if not (isfinite(low) and isfinite(high) and 1e-30 < abs(high - low) < 1e30):  # what float32 can divide by
        raise NarrowsError(f"{low:g} to {high:g} is no input range; give the values of pixels 0 and 255, like -1,1")
    return span(low, high, "option", "asked for")


def _usual(low: float, high: float, channels: int) -> InputRange:
    """The range that a QUANTIZE of ``low`` to ``high`` means."""
    why = f"the file's QUANTIZE takes {low:.4g} to {high:.4g}"

    def clearly(range_: tuple[float, float]) -> bool:
        return max(abs(low - range_[0]), abs(high - range_[1])) <= CLEARLY * (range_[1] - range_[0])

    for usual in USUAL:
        if clearly(usual):
            return span(*usual, "quantize", why)
    mean, std = (tuple(255 * number for number in numbers) for numbers in IMAGENET)
    ends = [[(pixel - m) / s for m, s in zip(mean, std, strict=True)] for pixel in (0, 255)]
    if channels == 3 and clearly((min(ends[0]), max(ends[1]))):
        return InputRange(mean, std, (0.0,), "quantize", f"{why}, as ImageNet's mean and deviation do")
    return span(low, high, "unknown", f"{why}, no usual range: pixels are spread over it; give another with --input-range LOW,HIGH")


def quantize_spans(model: Model) -> set[tuple[float, float]]:
    """The ranges (least, largest number) of the QUANTIZEs that read the model's input as it is, or moved."""
    spans: set[tuple[float, float]] = set()
    same = {model.inputs[0]}
    for op in model.operators:
        if not same.intersection(op.inputs):
            continue
        output = model.tensors[op.outputs[0]] if op.outputs else None
        if output is not None and op.name in _MOVES:
            same.add(output.index)
        elif output is not None and op.name == "QUANTIZE" and output.dtype in ("int8", "uint8") and output.scale is not None:
            scale, zero_point, ends = float(output.scale[0]), int(output.zero_point[0]), np.iinfo(output.dtype)
            spans.add((scale * (ends.min - zero_point), scale * (ends.max - zero_point)))
    return spans


def in_words(row: dict[str, Any]) -> str:
    """A result's key ``input_range`` as a line."""
    ranges = [f"{low:.4g} to {high:.4g}" for low, high in zip(row["low"], row["high"], strict=True)]
    words = "unknown, taken as " if row["source"] == "unknown" else ""
    return f"input range {words}{', '.join(ranges)} ({row['why']})"


def _listed(numbers: Numbers) -> str:
    return ", ".join(f"{number:.6g}" for number in numbers)
