"""A photograph, raw pixels or an array as the model's input tensor, exactly as the reference hashes were made.

A picture is decoded by Pillow, made RGB (or grey for one channel), resized with its BILINEAR filter
and given to the model as pixels 0..255: unchanged for uint8, minus 128 for int8, / 127.5 - 1 for float32.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from narrows.network import NarrowsError
from narrows.tflite_file import FileTensor, Model

FILTER = "BILINEAR"  # part of the reference: another filter gives other bytes


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


def pixels_to_input(pixels: np.ndarray, tensor: FileTensor) -> np.ndarray:
    """uint8 ``pixels`` (height, width, channels) as the model's input, with its shape and type."""
    height, width, channels, channels_first = image_layout(tensor)
    if pixels.shape != (height, width, channels) or pixels.dtype != np.uint8:
        raise NarrowsError(
            f"{tensor}: {pixels.dtype} pixels of shape {list(pixels.shape)}, the model takes {height}x{width}x{channels}"
        )
    if channels_first:
        pixels = pixels.transpose(2, 0, 1)
    if tensor.dtype == "uint8":
        value = pixels
    elif tensor.dtype == "int8":
        value = (pixels.astype(np.int16) - 128).astype(np.int8)
    elif tensor.dtype == "float32":
        value = pixels.astype(np.float32) / np.float32(127.5) - np.float32(1)
    else:
        raise NarrowsError(f"{tensor}: type {tensor.dtype} is no image; export the model with uint8 or int8 input")
    return np.ascontiguousarray(value)[None]


def read_pixels(path: str | Path, height: int, width: int, channels: int) -> np.ndarray:
    """The picture at ``path`` as uint8 (height, width, channels). Raises :class:`NarrowsError` if it is none."""
    try:
        with Image.open(path) as picture:
            image = picture.convert("RGB" if channels == 3 else "L").resize((width, height), Image.Resampling.BILINEAR)
    except FileNotFoundError:
        raise NarrowsError(f"{path}: no such file; give a picture, a .dat of raw pixels or a .npy array") from None
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        # Pillow meets damaged pictures with any of these
        text = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise NarrowsError(f"{path}: not a picture Pillow can read ({text}); give a PNG or JPEG file") from None
    return np.asarray(image, np.uint8).reshape(height, width, channels)


def read_input(path: str | Path, tensor: FileTensor) -> np.ndarray:
    """The file at ``path`` as the value of graph input ``tensor``.

    A ``.dat`` holds raw uint8 pixels in rows. A ``.npy`` holds the input itself, batch optional, or uint8
    pixels for a model of another type. Anything else is a picture. Raises :class:`NarrowsError`.
    """
    path = Path(path)
    if path.suffix == ".npy":
        return _from_array(path, tensor)
    height, width, channels, _ = image_layout(tensor)
    if path.suffix != ".dat":
        return pixels_to_input(read_pixels(path, height, width, channels), tensor)
    try:
        raw = np.fromfile(path, np.uint8)
    except OSError as error:
        raise NarrowsError(f"{path}: can't be read ({error.strerror}); give a file of raw pixels") from None
    if raw.size != height * width * channels:
        raise NarrowsError(f"{path}: {raw.size} bytes, the model takes {height}x{width}x{channels} pixels")
    return pixels_to_input(raw.reshape(height, width, channels), tensor)


def _from_array(path: Path, tensor: FileTensor) -> np.ndarray:
    try:
        value = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError):
        raise NarrowsError(f"{path}: not a NumPy array file; write it with numpy.save") from None
    if not isinstance(value, np.ndarray):
        raise NarrowsError(f"{path}: several arrays; write one with numpy.save")
    shaped = value[None] if value.ndim == len(tensor.shape) - 1 else value
    if shaped.dtype.name == tensor.dtype and shaped.shape == tensor.shape:
        return np.ascontiguousarray(shaped)
    if shaped.dtype == np.uint8 and shaped.ndim == 4 and len(shaped) == 1:
        return pixels_to_input(shaped[0], tensor)
    raise NarrowsError(
        f"{path}: {value.dtype} {list(value.shape)}, the model takes {tensor.dtype} {list(tensor.shape)} ({tensor})"
    )


def input_for(model: Model, path: str | Path) -> np.ndarray:
    """The file at ``path`` as the one input of ``model``; see :func:`read_input`."""
    if len(model.inputs) != 1:
        raise NarrowsError(f"{model.name}: has {len(model.inputs)} inputs; give a model with one")
    return read_input(path, model.tensors[model.inputs[0]])
