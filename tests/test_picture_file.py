"""Every kind of picture that docs/exactness.md defines, against a plain form of the definition; all others are refused."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, TiffImagePlugin

from narrows.errors import NarrowsError
from narrows.inputs.picture_file import ARRAYS, PICTURES, picture_files, read_pixels

RNG = np.random.default_rng(7)
GREY = RNG.integers(0, 256, (9, 13)).astype(np.uint8)
COLOUR = RNG.integers(0, 256, (9, 13, 3)).astype(np.uint8)
ALPHA = RNG.integers(0, 256, (9, 13)).astype(np.uint8)
WIDE = RNG.integers(0, 65536, (9, 13)).astype(np.uint16)


def saved(folder: Path, picture: Image.Image, suffix: str = ".png", **options) -> Path:
    picture.save(folder / f"p{suffix}", **options)
    return folder / f"p{suffix}"


def read(path: Path, channels: int = 3, size: tuple[int, int] = (9, 13)) -> np.ndarray:
    return read_pixels(path, *size, channels)[0]


def grey_of(rgb: np.ndarray) -> np.ndarray:
    """ITU-R 601-2 luma in Pillow's arithmetic."""
    r, g, b = np.moveaxis(rgb.astype(np.int64), -1, 0)
    return ((19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16).astype(np.uint8)


def check(path: Path, rgb: np.ndarray, grey: np.ndarray | None = None) -> None:
    np.testing.assert_array_equal(read(path), rgb)
    np.testing.assert_array_equal(read(path, 1)[..., 0], grey_of(rgb) if grey is None else grey)


def three(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, 2)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".ppm", ".webp"])
def test_rgb_and_grey(tmp_path, suffix):
    lossless = {"lossless": True} if suffix == ".webp" else {}
    check(saved(tmp_path, Image.fromarray(COLOUR), suffix, **lossless), COLOUR)
    if suffix != ".webp":  # which has no grey
        check(saved(tmp_path, Image.fromarray(GREY), suffix), three(GREY), GREY)


def test_black_and_white(tmp_path):
    check(saved(tmp_path, Image.fromarray(GREY > 99)), three(np.where(GREY > 99, 255, 0)), np.where(GREY > 99, 255, 0))


def test_alpha_is_ignored_and_the_colour_below_it_counts(tmp_path):
    check(saved(tmp_path, Image.fromarray(np.dstack([COLOUR, ALPHA]))), COLOUR)
    check(saved(tmp_path, Image.fromarray(np.dstack([GREY, ALPHA]))), three(GREY), GREY)
    check(saved(tmp_path, Image.fromarray(np.dstack([COLOUR, 0 * ALPHA]))), COLOUR)


def palette_picture() -> tuple[Image.Image, np.ndarray]:
    colours = RNG.integers(0, 256, (16, 3)).astype(np.uint8)
    indices = GREY % 16
    picture = Image.fromarray(indices).convert("L")
    picture.putpalette(colours.tobytes())
    return picture, colours[indices]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("transparency", [None, 3, bytes(range(16))])
def test_a_palette_is_looked_up_and_its_transparency_ignored(tmp_path, transparency):
    picture, rgb = palette_picture()
    assert picture.mode == "P"
    options = {} if transparency is None else {"transparency": transparency}
    check(saved(tmp_path, picture, **options), rgb)
    if not isinstance(transparency, bytes):
        check(saved(tmp_path, picture, ".gif", **options), rgb)


def test_a_palette_with_alpha(tmp_path):
    picture, rgb = palette_picture()
    path = saved(tmp_path, picture.convert("PA"), ".tif")
    assert Image.open(path).mode == "PA"
    check(path, rgb)


def test_cmyk_by_pillows_formula(tmp_path):
    cmyk = np.dstack([COLOUR, ALPHA])
    path = saved(tmp_path, Image.fromarray(cmyk, "CMYK"), ".tif")
    ink = 255 - ALPHA.astype(np.int64)[..., None]
    product = COLOUR.astype(np.int64) * ink + 128
    check(path, np.clip(ink - ((product + (product >> 8)) >> 8), 0, 255))


def test_ycbcr_by_pillows_formula(tmp_path):
    path = saved(tmp_path, Image.fromarray(COLOUR, "YCbCr"), ".tif")
    assert Image.open(path).mode == "YCbCr"
    y, cb, cr = np.moveaxis(COLOUR.astype(float), -1, 0)
    want = np.stack([y + 1.402 * (cr - 128), y - 0.34414 * (cb - 128) - 0.71414 * (cr - 128), y + 1.772 * (cb - 128)], -1)
    assert np.abs(read(path) - np.clip(want, 0, 255)).max() <= 1
    np.testing.assert_array_equal(read(path, 1)[..., 0], COLOUR[..., 0])


def nearest(values: np.ndarray, white: int) -> np.ndarray:
    return np.array([int(255 * int(v) / white + 0.5) for v in values.ravel()], np.uint8).reshape(values.shape)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm", ".jp2"])
def test_16_bit_grey_is_the_nearest_of_8_bits(tmp_path, suffix):
    values = WIDE.copy()
    values.flat[:6] = 0, 65535, 128, 129, 257 * 77, 255  # rounding, not the upper byte
    path = saved(tmp_path, Image.fromarray(values), suffix)
    check(path, three(nearest(values, 65535)), nearest(values, 65535))
    # The same as the picture of 8 bits, when it is made smaller as well.
    small = tmp_path / "small"
    small.mkdir()
    eight = saved(small, Image.fromarray(nearest(values, 65535)))
    np.testing.assert_array_equal(read(path, size=(4, 5)), read(eight, size=(4, 5)))


def test_a_copy_of_8_bits_in_16_gives_them_back(tmp_path):
    np.testing.assert_array_equal(read(saved(tmp_path, Image.fromarray(GREY.astype(np.uint16) * 257)), 1)[..., 0], GREY)


def png(folder: Path, kind: int, samples: np.ndarray) -> Path:
    """A PNG of 16-bit ``samples`` (height, width, channels), of the colour type ``kind``, which Pillow does not write."""
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    (folder / "p.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    return folder / "p.png"


def test_16_bit_colour_and_grey_with_alpha_are_what_pillow_decodes(tmp_path):
    wide = RNG.integers(0, 65536, (9, 13, 4)).astype(np.uint16)
    upper = (wide >> 8).astype(np.uint8)
    check(png(tmp_path, 2, wide[..., :3]), upper[..., :3])
    check(png(tmp_path, 6, wide), upper[..., :3])
    check(png(tmp_path, 4, wide[..., :2]), three(upper[..., 0]), upper[..., 0])
    check(png(tmp_path, 0, wide[..., :1]), three(nearest(wide[..., 0], 65535)), nearest(wide[..., 0], 65535))
    (tmp_path / "p.ppm").write_bytes(b"P6 13 9 65535\n" + wide[..., :3].astype(">u2").tobytes())
    check(tmp_path / "p.ppm", nearest(wide[..., :3], 65535))


def tiff(folder: Path, picture: Image.Image, tags: dict[int, int]) -> Path:
    """``picture`` as a TIFF whose tags are changed in place, since Pillow writes its own."""
    path = saved(folder, picture, ".tif")
    content = bytearray(path.read_bytes())
    start = int.from_bytes(content[4:8], "little")
    for entry in range(start + 2, start + 2 + 12 * int.from_bytes(content[start : start + 2], "little"), 12):
        tag = int.from_bytes(content[entry : entry + 2], "little")
        if tag in tags:
            content[entry + 8 : entry + 12] = tags[tag].to_bytes(4, "little")
    path.write_bytes(content)
    return path


def test_a_tiff_whose_white_is_zero(tmp_path):
    wide = tiff(tmp_path, Image.fromarray(WIDE), {262: 0})
    check(wide, three(nearest(65535 - WIDE, 65535)), nearest(65535 - WIDE, 65535))
    check(tiff(tmp_path, Image.fromarray(GREY), {262: 0}), three(255 - GREY), 255 - GREY)
    check(tiff(tmp_path, Image.fromarray((GREY / np.float32(255)).astype(np.float32)), {262: 0}), three(255 - GREY), 255 - GREY)


def test_a_tiff_of_12_bits(tmp_path):
    values = RNG.integers(0, 4096, (9, 14)).astype(np.uint16)
    values.flat[:3] = 0, 4095, 2048
    pairs = values.reshape(-1, 2)
    packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], 1).astype(np.uint8).tobytes()
    plain = np.frombuffer(packed, np.uint8).reshape(9, 21)
    path = tiff(tmp_path, Image.fromarray(plain), {256: 14, 258: 12})
    assert Image.open(path).mode == "I;16"
    np.testing.assert_array_equal(read(path, 1, (9, 14))[..., 0], nearest(values, 4095))


@pytest.mark.parametrize("suffix", [".tif", ".pfm"])
def test_floats_within_0_and_1(tmp_path, suffix):
    values = np.random.default_rng(1).random((9, 13)).astype(np.float32)
    values.flat[:4] = 0, 1, 0.5, 127.4 / 255
    path = saved(tmp_path, Image.fromarray(values), suffix)
    want = np.floor(values.astype(float) * 255 + 0.5).astype(np.uint8)
    check(path, three(want), want)
    assert "taken as black to white" in read_pixels(path, 9, 13, 1)[1][0]
    for wrong in (-0.01, 1.01, 255, np.nan, np.inf):
        values[2, 2] = wrong
        with pytest.raises(NarrowsError, match=r"of floats from .* doesn't say which value is white; save it with 8 bits"):
            read(saved(tmp_path, Image.fromarray(values), suffix))


@pytest.mark.parametrize("values", [WIDE.astype(np.int32), WIDE.astype(np.int32) << 8, -WIDE.astype(np.int32), GREY.astype(np.int32)])
@pytest.mark.parametrize("suffix", [".tif", ".im"])
@pytest.mark.filterwarnings("ignore:IM image format")
def test_integers_without_a_range_are_refused(tmp_path, values, suffix):
    with pytest.raises(NarrowsError, match=r"of 32-bit or signed integers doesn't say which value is white; save it with 8 bits, or as 16"):
        read(saved(tmp_path, Image.fromarray(values), suffix))


@pytest.mark.filterwarnings("ignore:IM image format")
def test_other_wide_or_signed_pictures_are_refused(tmp_path):
    with pytest.raises(NarrowsError, match=r"IM of 16-bit integers doesn't say which value is white"):
        read(saved(tmp_path, Image.fromarray(WIDE), ".im"))
    path = saved(tmp_path, Image.fromarray(GREY), ".tif", tiffinfo=signed())
    with pytest.raises(NarrowsError, match="signed 8-bit values"):
        read(path)


def signed() -> TiffImagePlugin.ImageFileDirectory_v2:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[339] = 2
    return tags


UPRIGHT = {
    1: lambda p: p, 2: lambda p: p[:, ::-1], 3: lambda p: p[::-1, ::-1], 4: lambda p: p[::-1], 5: lambda p: p.swapaxes(0, 1),
    6: lambda p: np.rot90(p, -1), 7: lambda p: p[::-1, ::-1].swapaxes(0, 1), 8: lambda p: np.rot90(p),
}  # fmt: skip


@pytest.mark.parametrize(
    ("suffix", "options"),
    [(".png", {}), (".webp", {"lossless": True}), (".jpg", {"quality": 95}), (".tif", {}), (".tif", {"compression": "tiff_deflate"})],
)
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_the_exif_orientation_is_applied_once_and_said(tmp_path, suffix, options, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, Image.fromarray(COLOUR), suffix, exif=exif, **options)
    stored = COLOUR if suffix != ".jpg" else np.asarray(Image.open(path))
    want = UPRIGHT[orientation](stored)
    pixels, notes = read_pixels(path, *want.shape)
    np.testing.assert_array_equal(pixels, want)
    assert [note.partition(":")[0] for note in notes] == ([f"EXIF orientation {orientation}"] if orientation > 1 else [])
    # Upright first, then the other size.
    upright = np.asarray(Image.fromarray(np.ascontiguousarray(want)).resize((5, 4), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(read(path, size=(4, 5)), upright)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none_is_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels, notes = read_pixels(saved(tmp_path, Image.fromarray(COLOUR), exif=exif), 9, 13, 3)
    assert (pixels == COLOUR).all() and notes == []


def test_16_bit_grey_is_turned_as_well(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path, Image.fromarray(WIDE), exif=exif)
    np.testing.assert_array_equal(read(path, 1, (13, 9))[..., 0], np.rot90(nearest(WIDE, 65535), -1))


@pytest.mark.filterwarnings("error")
@given(st.binary(max_size=60), st.booleans())
def test_exif_that_cannot_be_read_does_not_refuse_the_picture(tmp_path_factory, content, begun):
    folder = tmp_path_factory.mktemp("exif")
    header = b"Exif\0\0II*\0\x08\0\0\0" if begun else b"Exif\0\0"
    path = saved(folder, Image.fromarray(COLOUR), ".png", exif=header + content)
    pixels, notes = read_pixels(path, 9, 13, 3)
    assert pixels.shape == (9, 13, 3)
    assert notes or (pixels == COLOUR).all()


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".tif"])
def test_the_first_frame_of_an_animation_and_that_is_said(tmp_path, suffix):
    frames = [Image.fromarray(np.full((9, 13, 3), value, np.uint8)) for value in (50, 120, 200)]
    lossless = {"lossless": True} if suffix == ".webp" else {}
    path = saved(tmp_path, frames[0], suffix, save_all=True, append_images=frames[1:], **lossless)
    pixels, notes = read_pixels(path, 9, 13, 3)
    assert (pixels == 50).all() and notes == ["the first of its 3 frames"]


def test_a_colour_profile_is_ignored(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    check(saved(tmp_path, Image.fromarray(COLOUR), icc_profile=profile), COLOUR)


@pytest.mark.parametrize("channels", [1, 3])
def test_other_modes_are_refused_in_a_sentence(tmp_path, channels):
    with pytest.raises(NarrowsError, match=r"p\.tif: a picture of Pillow's mode LAB, which has no plain conversion; save it as RGB"):
        read(saved(tmp_path, Image.fromarray(COLOUR, "LAB"), ".tif"), channels)


def test_a_folder_is_its_pictures_by_name(tmp_path):
    for name in ("b c.PNG", "a.jpeg", "z.npy", "x.DAT", "notes.txt", ".hidden.png", "._a.jpeg", "net.tflite"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    names = ["a.jpeg", "b c.PNG", "x.DAT", "z.npy"]
    assert picture_files([tmp_path / "none.png", tmp_path]) == [tmp_path / "none.png", *(tmp_path / name for name in names)]
    with pytest.raises(NarrowsError, match=r"folder\.png: no picture in this folder; looked for \.png, \.jpg, .*\.dat, \.npy"):
        picture_files([tmp_path / "folder.png"])


def test_suffixes_of_a_folder_are_formats_that_pillow_reads():
    Image.init()
    assert set(PICTURES) <= {*Image.registered_extensions()} and not set(ARRAYS) & set(PICTURES)


def test_a_truncated_animation_still_has_a_first_frame(tmp_path):
    frames = [Image.fromarray(RNG.integers(0, 256, (9, 13)).astype(np.uint8)) for _ in range(3)]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    (tmp_path / "p.gif").write_bytes(stream.getvalue()[:-60])
    np.testing.assert_array_equal(read(tmp_path / "p.gif", 1)[..., 0], np.asarray(frames[0]))
