"""Pictures, raw pixels and arrays become the input tensors whose hashes are recorded."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from narrows.errors import NarrowsError
from narrows.golden.model import as_input
from narrows.inputs.model_input import ModelInput, input_for
from narrows.tflite.model import FileTensor, Model


def tensor(shape=(1, 4, 6, 3), dtype="uint8") -> FileTensor:
    return FileTensor(0, "image", shape, dtype, None, None, 0, None)


def model_of(*tensors: FileTensor) -> Model:
    return Model("m", tensors, (), tuple(range(len(tensors))), (), "")


def read_input(path: Path, source: FileTensor) -> np.ndarray:
    return input_for(model_of(source), path)


@pytest.fixture
def photo(tmp_path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 13, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_a_photograph_is_resized_by_bilinear(photo):
    want = np.asarray(Image.open(photo).convert("RGB").resize((6, 4), Image.Resampling.BILINEAR))
    got = read_input(photo, tensor())
    assert got.shape == (1, 4, 6, 3) and got.dtype == np.uint8
    np.testing.assert_array_equal(got[0], want)
    np.testing.assert_array_equal(read_input(photo, tensor(dtype="int8"))[0], want.astype(int) - 128)
    real = read_input(photo, tensor(dtype="float32"))
    assert real.dtype == np.float32
    np.testing.assert_allclose(real[0], want / 127.5 - 1, atol=1e-6)


def test_channels_first_and_one_channel(photo):
    np.testing.assert_array_equal(
        read_input(photo, tensor((1, 3, 4, 6)))[0].transpose(1, 2, 0), read_input(photo, tensor())[0]
    )
    grey = np.asarray(Image.open(photo).convert("L").resize((6, 4), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(read_input(photo, tensor((1, 4, 6, 1)))[0, :, :, 0], grey)
    np.testing.assert_array_equal(read_input(photo, tensor((1, 1, 4, 6)))[0, 0], grey)


def test_raw_pixels(tmp_path):
    pixels = np.arange(72, dtype=np.uint8)
    pixels.tofile(tmp_path / "x.dat")
    np.testing.assert_array_equal(
        read_input(tmp_path / "x.dat", tensor(dtype="int8")).ravel(), pixels.astype(int) - 128
    )
    with pytest.raises(NarrowsError, match="72 bytes, the model takes 4x5x3 pixels"):
        read_input(tmp_path / "x.dat", tensor((1, 4, 5, 3)))
    with pytest.raises(NarrowsError, match=r"none\.dat: can't be read"):
        read_input(tmp_path / "none.dat", tensor())


@pytest.mark.parametrize("batch", [True, False])
def test_arrays(tmp_path, batch):
    value = np.random.default_rng(1).normal(size=(1, 4, 6, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", value if batch else value[0])
    np.testing.assert_array_equal(read_input(tmp_path / "x.npy", tensor(dtype="float32")), value)
    with pytest.raises(NarrowsError, match=r"float32 .*, the model takes int8 \[1, 4, 6, 3\] .*or uint8 pixels"):
        read_input(tmp_path / "x.npy", tensor(dtype="int8"))


def test_an_array_of_pixels_for_an_int8_model(tmp_path):
    pixels = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    np.save(tmp_path / "x.npy", pixels)
    np.testing.assert_array_equal(read_input(tmp_path / "x.npy", tensor(dtype="int8"))[0], pixels.astype(int) - 128)


def test_suffixes_in_capitals(tmp_path, photo):
    pixels = np.arange(72, dtype=np.uint8)
    pixels.tofile(tmp_path / "x.DAT")
    np.save(tmp_path / "x.npy", pixels.reshape(4, 6, 3))
    (tmp_path / "x.npy").rename(tmp_path / "Y.NPY")
    for name in ("x.DAT", "Y.NPY"):
        np.testing.assert_array_equal(read_input(tmp_path / name, tensor()).ravel(), pixels)
    want = read_input(photo, tensor())
    np.testing.assert_array_equal(read_input(photo.rename(tmp_path / "PHOTO.PNG"), tensor()), want)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("layout", ["C", "F"])
def test_an_array_in_any_order_of_bytes_and_axes_is_the_same_input(tmp_path, order, layout):
    value = np.random.default_rng(1).normal(size=(1, 4, 6, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", np.asarray(value, f"{order}f4", order=layout))
    got = read_input(tmp_path / "x.npy", tensor(dtype="float32"))
    assert got.tobytes() == value.tobytes() and got.dtype == np.float32 and got.dtype.isnative
    assert as_input(tensor(dtype="float32"), value.astype(f"{order}f4")).tobytes() == value.tobytes()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_arrays_of_what_is_no_number_are_refused(tmp_path, wrong):
    value = np.zeros((4, 6, 3), np.float32)
    value[1, 2, 0] = wrong
    np.save(tmp_path / "x.npy", value)
    with pytest.raises(NarrowsError, match="holds infinity or NaN"):
        read_input(tmp_path / "x.npy", tensor(dtype="float32"))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "float32"])
@pytest.mark.parametrize("given", ["bool", "int8", "int16", "uint16", "int32", "int64", "float16", "float32", "float64", "complex64"])
def test_an_array_of_another_type_is_never_converted(tmp_path, dtype, given):
    np.save(tmp_path / "x.npy", np.zeros((4, 6, 3), given))
    if given == dtype:
        assert read_input(tmp_path / "x.npy", tensor(dtype=dtype)).dtype.name == dtype
        return
    with pytest.raises(NarrowsError, match=rf"x\.npy: {given} \[4, 6, 3\], the model takes {dtype} .*convert it"):
        read_input(tmp_path / "x.npy", tensor(dtype=dtype))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "float32"])
@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (1, 4, 6, 1)])
def test_an_array_of_grey_pixels(tmp_path, dtype, shape):
    pixels = np.arange(24, dtype=np.uint8)
    np.save(tmp_path / "x.npy", pixels.reshape(shape))
    got = read_input(tmp_path / "x.npy", tensor((1, 4, 6, 1), dtype)).ravel()
    want = {"uint8": pixels, "int8": pixels.astype(int) - 128, "float32": pixels.astype(np.float32) / np.float32(127.5) - np.float32(1)}
    np.testing.assert_array_equal(got, want[dtype])


@pytest.mark.parametrize("shape", [(3, 6, 3), (6, 4, 3), (4, 6), (2, 4, 6, 3), (4, 6, 3, 1)])
def test_pixels_of_another_size_are_refused(tmp_path, shape):
    np.save(tmp_path / "x.npy", np.zeros(shape, np.uint8))
    with pytest.raises(NarrowsError, match=r"the model takes 4x6x3"):
        read_input(tmp_path / "x.npy", tensor(dtype="int8"))


def test_what_a_person_is_shown_is_what_the_network_sees(tmp_path, photo):
    for dtype in ("uint8", "int8", "float32"):
        picture = ModelInput(model_of(tensor(dtype=dtype))).read(photo)
        np.testing.assert_array_equal(picture.seen, read_input(photo, tensor()))
    np.save(tmp_path / "x.npy", np.zeros((4, 6, 3), np.float32))
    picture = ModelInput(model_of(tensor(dtype="float32"))).read(tmp_path / "x.npy")
    assert picture.seen is picture.value and picture.pixels is None


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.npy"])
@pytest.mark.parametrize(
    "content", [b"", b"nothing of the kind", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\x93NUMPY\x01\0\xff\xff{"]
)
def test_other_files_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(NarrowsError, match=name.replace(".", r"\.")) as refused:
        read_input(tmp_path / name, tensor())
    assert "\n" not in str(refused.value)


def test_a_damaged_picture_is_refused_or_read(photo):
    whole = photo.read_bytes()
    for i in range(8, len(whole), 7):
        photo.write_bytes(whole[:i] + bytes([whole[i] ^ 0x41]) + whole[i + 1 :])
        try:
            outcome = str(read_input(photo, tensor()).shape)
        except NarrowsError as refused:
            outcome = str(refused)
        assert outcome == "(1, 4, 6, 3)" or (str(photo) in outcome and "\n" not in outcome)


def test_missing_files_shapes_and_types(tmp_path, photo):
    with pytest.raises(NarrowsError, match="no such file"):
        read_input(tmp_path / "none.png", tensor())
    with pytest.raises(NarrowsError, match=r"shape \[1, 4, 6, 5\] is no picture"):
        read_input(photo, tensor((1, 4, 6, 5)))
    with pytest.raises(NarrowsError, match="type int16 is no image"):
        read_input(photo, tensor(dtype="int16"))
    with pytest.raises(NarrowsError, match=r"the model takes 4x6x3"):
        ModelInput(model_of(tensor())).of_pixels(np.zeros((3, 3, 3), np.uint8))
    with pytest.raises(NarrowsError, match="has 2 inputs"):
        input_for(model_of(tensor(), tensor()), photo)
