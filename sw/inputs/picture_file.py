"""A picture's file as the pixels a network sees: decoded, turned upright, made 8 bits and RGB or grey, resized.

What each kind of picture becomes is written down in docs/exactness.md; a kind without a definition is refused, never clipped.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from narrows.errors import NarrowsError

FILTER = "BILINEAR"  # part of the reference: another filter gives other bytes

#: Files of a folder that are taken; other files that are named one by one are tried as pictures.
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pbm", ".pgm", ".ppm", ".pnm", ".pfm", ".jp2", ".avif")
ARRAYS = (".dat", ".npy")

# Modes of 8 bits that Pillow makes RGB and grey by formulas of its own, no colour management between.
_DEFINED = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "HSV"}

# EXIF orientation: how Pillow turns the stored picture upright, and the words for it.
_UPRIGHT = {
    2: (Image.Transpose.FLIP_LEFT_RIGHT, "mirrored"),
    3: (Image.Transpose.ROTATE_180, "turned by 180 degrees"),
    4: (Image.Transpose.FLIP_TOP_BOTTOM, "flipped upside down"),
    5: (Image.Transpose.TRANSPOSE, "mirrored and turned by 90 degrees anticlockwise"),
    6: (Image.Transpose.ROTATE_270, "turned by 90 degrees clockwise"),
    7: (Image.Transpose.TRANSVERSE, "mirrored and turned by 90 degrees clockwise"),
    8: (Image.Transpose.ROTATE_90, "turned by 90 degrees anticlockwise"),
}
# What Pillow meets damaged pictures with, and what it meets damaged EXIF and later frames with.
_DAMAGED = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)
_ODD = (*_DAMAGED, struct.error, KeyError, TypeError, IndexError, AttributeError, OverflowError)

_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # tags of a TIFF
_WHITE_IS_ZERO, _SIGNED = 0, 2  # values of the last two
_EIGHT_OR_SIXTEEN = "save it with 8 bits, or as 16-bit grey"


def read_pixels(path: str | Path, height: int, width: int, channels: int) -> tuple[np.ndarray, list[str]]:
    """The picture at ``path`` as uint8 (height, width, channels), and what has to be said of it.

    Raises :class:`NarrowsError` if it is none, or one whose values have no declared range.
    """
    try:
        with Image.open(path) as picture:
            orientation, notes = _orientation(picture)
            if picture.mode == "F":
                notes.append("its floats, all within 0 to 1, are taken as black to white")
            picture.load()
            if picture.mode == "P":
                picture.info.pop("transparency", None)  # ignored, and Pillow would warn of it
            image = eight_bits(picture, str(path)).convert("RGB" if channels == 3 else "L")
            # Pillow turns a TIFF by itself while it loads it, and then takes its tag away.
            if orientation in _UPRIGHT and _orientation(picture)[0] == orientation:
                image = image.transpose(_UPRIGHT[orientation][0])
            image = image.resize((width, height), Image.Resampling.BILINEAR)
            notes += _frames(picture)
    except FileNotFoundError:
        raise NarrowsError(f"{path}: no such file; give a picture, a .dat of raw pixels or a .npy array") from None
    except _DAMAGED as error:
        text = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise NarrowsError(f"{path}: not a picture Pillow can read ({text}); give a PNG or JPEG file") from None
    return np.asarray(image, np.uint8).reshape(height, width, channels), notes


def _orientation(picture: Image.Image) -> tuple[int, list[str]]:
    """The EXIF orientation, 1 (upright) if there is none, and the words for it."""
    unreadable = ["its EXIF can't be read: taken as upright"]
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            value = picture.getexif().get(ExifTags.Base.Orientation, 1)
    except _ODD:
        return 1, unreadable
    if value in _UPRIGHT:
        return value, [f"EXIF orientation {value}: {_UPRIGHT[value][1]}"]
    return 1, unreadable if warned else []


def _frames(picture: Image.Image) -> list[str]:
    try:
        count = getattr(picture, "n_frames", 1)
    except _ODD:  # damaged behind the first frame, which is all that is read
        return []
    return [f"the first of its {count} frames"] if count > 1 else []


def eight_bits(picture: Image.Image, name: str) -> Image.Image:
    """``picture`` with its values mapped to 0..255 by their declared range; one of 8 bits is returned as it is.

    Raises :class:`NarrowsError`, which begins with ``name``, if the file doesn't say what is black and what is white.
    """
    if picture.mode == "F":
        values = _floats(picture, name)
    elif picture.mode.startswith("I"):
        values = np.asarray(picture).astype(np.float64) / _largest(picture, name)
    else:
        if picture.mode not in _DEFINED:
            raise NarrowsError(f"{name}: a picture of Pillow's mode {picture.mode}, which has no plain conversion; save it as RGB")
        if _tag(picture, _SAMPLE_FORMAT) == _SIGNED:
            raise NarrowsError(f"{name}: a TIFF of signed 8-bit values, which have no range of a picture; {_EIGHT_OR_SIXTEEN}")
        return picture
    if _tag(picture, _PHOTOMETRIC) == _WHITE_IS_ZERO:
        values = 1 - values
    # Never halfway between two: 255 v / 65535 and 255 v / 4095 are no odd number of halves.
    return Image.fromarray(np.floor(values * 255 + 0.5).astype(np.uint8))


def _largest(picture: Image.Image, name: str) -> int:
    """The integer that stands for white."""
    kind, wide = picture.format, picture.mode == "I"
    # Pillow scales a PPM's values to 65535 and shifts a JPEG 2000's up to 16 bits; a TIFF's are as stored. A PNG has no more than 16 bits,
    # though older Pillows call it I.
    if kind in ("PNG", "PPM") or (kind == "JPEG2000" and not wide):
        return 65535
    if kind == "TIFF" and not wide:
        return (1 << int(_tag(picture, _BITS) or 16)) - 1
    what = "32-bit or signed integers" if wide else "16-bit integers"
    raise NarrowsError(f"{name}: a {kind} of {what} doesn't say which value is white; {_EIGHT_OR_SIXTEEN}")


def _floats(picture: Image.Image, name: str) -> np.ndarray:
    """The values of a float picture, all within 0..1."""
    values = np.asarray(picture).astype(np.float64)
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if not (low >= 0 and high <= 1):  # NaN is refused as well
        raise NarrowsError(
            f"{name}: a {picture.format} of floats from {low:g} to {high:g} doesn't say which value is white; {_EIGHT_OR_SIXTEEN}, or "
            "scale its values to 0..1"
        )
    return values


def _tag(picture: Image.Image, tag: int) -> Any:
    """The first value of a TIFF's tag; None for another picture or without the tag."""
    value = getattr(picture, "tag_v2", {}).get(tag)
    return value[0] if isinstance(value, tuple) else value


def picture_files(paths: Sequence[str | Path]) -> list[Path]:
    """``paths`` with each folder replaced by the pictures and arrays in it, by name. Raises :class:`NarrowsError` for a folder without."""
    files: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            files.append(path)
            continue
        try:
            found = [file for file in path.iterdir() if file.suffix.lower() in PICTURES + ARRAYS and not file.name.startswith(".")]
        except OSError as error:
            raise NarrowsError(f"{path}: the folder can't be read ({error.strerror}); give pictures that can") from None
        found = sorted(file for file in found if file.is_file())
        if not found:
            raise NarrowsError(f"{path}: no picture in this folder; looked for {', '.join(PICTURES + ARRAYS)}")
        files += found
    return files
