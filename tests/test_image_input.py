"""Pictures, raw pixels and arrays become the input tensors whose hashes are recorded."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from narrows.image_input import ModelInput, input_for
from narrows.network import NarrowsError
from narrows.tflite_file import FileTensor, Model


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
