"""Pictures, raw pixels and arrays as a model's input tensor, exactly as the reference hashes were made.

A picture becomes pixels 0..255 as :mod:`narrows.inputs.picture_file` says, and these become the input: unchanged for uint8, minus 128 for
int8, by the model's :mod:`narrows.inputs.input_range` for float32. docs/exactness.md has the whole definition.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from narrows.errors import NarrowsError
from narrows.inputs.input_range import InputRange, input_range
from narrows.inputs.picture_file import read_pixels
from narrows.tflite.model import FileTensor, Model


@dataclass(frozen=True, eq=False)
class Picture:
    """A model's input ``value``, the uint8 ``pixels`` (height, width, channels) it was made of, None if a file held the input itself,
    and ``notes``: what has to be said of the picture."""

    value: np.ndarray
    pixels: np.ndarray | None
    notes: tuple[str, ...] = ()

    @property
    def seen(self) -> np.ndarray:
        """What the network sees, for people to look at: the pixels with a batch of 1, or the array that was given."""
        return self.value if self.pixels is None else self.pixels[None]


class ModelInput:
    """The one input of ``model``. ``range``: what becomes of pixels in a float32 input (``asked``: pixels 0 and 255 as these numbers), or
    None. Raises :class:`NarrowsError` for a model with several inputs and for an ``asked`` that can't be."""

    def __init__(self, model: Model, asked: tuple[float, float] | None = None) -> None:
        if len(model.inputs) != 1:
            raise NarrowsError(f"{model.name}: has {len(model.inputs)} inputs; give a model with one")
        self.tensor = model.tensors[model.inputs[0]]
        channels = image_layout(self.tensor)[2] if _is_image(self.tensor) else 1
        self.range: InputRange | None = input_range(model, channels, asked)

    def read(self, path: str | Path) -> Picture:
        """The file at ``path`` as the input.

        A ``.dat`` holds raw uint8 pixels in rows. A ``.npy`` holds the input itself, batch optional, or uint8
        pixels for a model of another type. Anything else is a picture. Raises :class:`NarrowsError`.
        """
        path = Path(path)
        kind = path.suffix.lower()
        if kind == ".npy":
            return self._from_array(path)
        height, width, channels, _ = image_layout(self.tensor)
        if kind == ".dat":
            pixels, notes = _raw(path, height, width, channels), []
        else:
            pixels, notes = read_pixels(path, height, width, channels)
        return Picture(self.of_pixels(pixels), pixels, tuple(notes))

    def used_range(self, pictures: Iterable[Picture]) -> dict[str, Any] | None:
        """The range in which ``pictures`` were given, as it stands in a result; None if their pixels went in as bytes."""
        return self.range.row() if self.range and any(picture.pixels is not None for picture in pictures) else None

    def of_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 ``pixels`` (height, width, channels), or (height, width) for one channel, as the input, with its shape and type."""
        height, width, channels, channels_first = image_layout(self.tensor)
        if channels == 1 and pixels.ndim == 2:
            pixels = pixels[:, :, None]
        if pixels.shape != (height, width, channels) or pixels.dtype != np.uint8:
            raise NarrowsError(
                f"{self.tensor}: {pixels.dtype} pixels of shape {list(pixels.shape)}, the model takes {height}x{width}x{channels} of uint8"
            )
        if self.tensor.dtype == "uint8":
            value = pixels
        elif self.tensor.dtype == "int8":
            value = (pixels.astype(np.int16) - 128).astype(np.int8)
        elif self.range is not None:
            value = self.range.values(pixels)
        else:
            raise NarrowsError(f"{self.tensor}: type {self.tensor.dtype} is no image; export the model with uint8 or int8 input")
        return np.ascontiguousarray(value.transpose(2, 0, 1) if channels_first else value)[None]

    def _from_array(self, path: Path) -> Picture:
        value, tensor = _load(path), self.tensor
        shaped = value[None] if value.ndim == len(tensor.shape) - 1 else value
        if shaped.dtype.name == tensor.dtype and shaped.shape == tensor.shape:
            if not np.isfinite(shaped).all():
                raise NarrowsError(f"{path}: holds infinity or NaN, of which no byte can be made; give numbers")
            # The file's order of bytes and of axes may be another.
            return Picture(np.ascontiguousarray(shaped, tensor.dtype), None)
        if value.dtype == np.uint8 and _is_image(tensor):
            pixels = value[0] if value.ndim == 4 and len(value) == 1 else value
            return Picture(self.of_pixels(pixels), pixels.reshape(image_layout(tensor)[:3]))
        raise NarrowsError(
            f"{path}: {value.dtype} {list(value.shape)}, the model takes {tensor.dtype} {list(tensor.shape)} ({tensor})"
            + (" or uint8 pixels" if _is_image(tensor) and tensor.dtype != "uint8" else "") + "; convert it with numpy.ndarray.astype"
        )  # fmt: skip


def image_layout(tensor: FileTensor) -> tuple[int, int, int, bool]:
    """(height, width, channels, channels_first) of an image tensor (1, h, w, c) or (1, c, h, w).

    Raises :class:`NarrowsError` for a shape that is neither, with 1 or 3 channels.
    """
    shape = tensor.shape
    if len(shape) == 4 and shape[0] == 1 and shape[3] in (1, 3):
        return shape[1], shape[2], shape[3], False
    if len(shape) == 4 and shape[0] == 1 and shape[1] in (1, 3):
        return shape[2], shape[3], shape[1], True
    raise NarrowsError(f"{tensor}: shape {list(shape)} is no picture of 1 or 3 channels; give a .npy file")


def _is_image(tensor: FileTensor) -> bool:
    return len(tensor.shape) == 4 and tensor.shape[0] == 1 and (tensor.shape[3] in (1, 3) or tensor.shape[1] in (1, 3))


def _raw(path: Path, height: int, width: int, channels: int) -> np.ndarray:
    """The raw pixels in a file as uint8 (height, width, channels)."""
    try:
        raw = np.fromfile(path, np.uint8)
    except OSError as error:
        raise NarrowsError(f"{path}: can't be read ({error.strerror}); give a file of raw pixels") from None
    if raw.size != height * width * channels:
        raise NarrowsError(f"{path}: {raw.size} bytes, the model takes {height}x{width}x{channels} pixels")
    return raw.reshape(height, width, channels)


def _load(path: Path) -> np.ndarray:
    try:
        value = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise NarrowsError(f"{path}: no such file; give a picture, a .dat of raw pixels or a .npy array") from None
    except (OSError, ValueError, EOFError, SyntaxError):
        raise NarrowsError(f"{path}: not a NumPy array file; write it with numpy.save") from None
    if not isinstance(value, np.ndarray):
        raise NarrowsError(f"{path}: several arrays; write one with numpy.save")
    return value


def input_for(model: Model, path: str | Path) -> np.ndarray:
    """The file at ``path`` as the one input of ``model``; see :meth:`ModelInput.read`."""
    return ModelInput(model).read(path).value
