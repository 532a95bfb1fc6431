"""The virtual board: the gateware, its link included, behind a TCP port, and the driver at the other end."""

from __future__ import annotations

import hashlib
import json
import random
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from engine_runs import SMALL
from faulty_proxy import Proxy
from PIL import Image
from random_mobilenet import random_mobilenet
from rtl_runs import SHARED
from test_link_faults import CLEAR, LONG, RATE
from typer.testing import CliRunner
from virtual_board import Served, client

import narrows
from narrows import Device
from narrows.cli import main as cli
from narrows.device.find import find_devices
from narrows.device.interpreter import Interpreter
from narrows.device.virtual_board import VirtualBoard
from narrows.errors import NarrowsError
from narrows.golden.model import run_model
from narrows.hw.config import ECP5_25F, EngineConfig
from narrows.link.frame import TURNED_AWAY, LinkError

OPTIONS = {
    "height": 21, "width": 19, "pool": "MEAN", "kernel": 3, "rescaling": False, "ends": "plain", "channels_first": False, "channels": 3,
    "dtype": "int8", "last": "none", "wild": False, "prelude": False, "first": "conv", "activation": "RELU6",
}  # fmt: skip
DATA = Path(narrows.__file__).parent / "data"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(SMALL, tmp_path_factory.mktemp("serve")) as board:
        yield board


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "net.tflite"
    path.write_bytes(random_mobilenet(np.random.default_rng(20), **OPTIONS))
    return path


def pixels(count: int) -> list[np.ndarray]:
    """Pictures of nine colours, which the network tells apart."""
    rng = np.random.default_rng(count)
    height, width = OPTIONS["height"], OPTIONS["width"]
    return [np.kron(rng.integers(0, 256, (3, 3, 3)), np.ones((7, 7, 1)))[:height, :width].astype(np.uint8) for _ in range(count)]


def wanted(interpreter: Interpreter, image: np.ndarray) -> np.ndarray:
    """The golden model's output for uint8 pixels."""
    model = interpreter.network.model
    return run_model(model, (image.astype(np.int16) - 128).astype(np.int8))[model.outputs[0]]


def right(interpreter: Interpreter, image: np.ndarray) -> bool:
    """Classify it, and compare the output's bytes."""
    interpreter.classify(image)
    return bool(np.array_equal(interpreter.get_tensor(interpreter.network.model.outputs[0]), wanted(interpreter, image)))


def test_fifty_frames_in_a_row(served: Served, model: Path):
    """One stream, the same in process; cycles too, but for refreshes that fall elsewhere."""
    images = pixels(50)
    results: list[list[tuple[bytes, int]]] = []
    for url in (served.url, "sim"):
        with Device.open(url, config=SMALL) as device:
            interpreter = device.interpreter(model)
            output = interpreter.get_output_details()[0]["index"]
            found = [(interpreter.get_tensor(output).tobytes(), interpreter.frame.cycles) for _ in interpreter.classify_stream(images)]
        assert [value for value, _ in found] == [wanted(interpreter, image).tobytes() for image in images]
        results.append(found)
    assert len({value for value, _ in results[0]}) > 40, "pictures with different answers"
    for (_, over), (_, here) in zip(*results, strict=True):
        assert over == pytest.approx(here, rel=0.02)


def outputs(url: str, config: EngineConfig, file: Path, images: list[Path]) -> list[list[np.ndarray]]:
    """Of the network in ``file`` for each of ``images``, all in one stream."""
    with Device.open(url, config=config) as device:
        interpreter = device.interpreter(file)
        indices = [details["index"] for details in interpreter.get_output_details()]
        return [[interpreter.get_tensor(index) for index in indices] for _ in interpreter.classify_stream(images)]


def test_the_embedded_network_over_the_socket(served: Served):
    """Whole, by the same calls on both boards: what is recorded of it."""
    record = json.loads((DATA / "digits.json").read_text())
    images = [DATA / "images" / name for name in record["images"]]
    expected = [picture["output"] for picture in record["images"].values()]
    for url, count in ((served.url, 3), ("sim", 1)):
        found = outputs(url, SMALL, DATA / record["model"], images[:count])
        assert [value[0].tolist() for (value,) in found] == expected[:count]


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="the real models and their recorded hashes are not beside this repository")
@pytest.mark.parametrize(("name", "pictures", "times"), [
    ("vww_96_int8", ("cat.png", "grace_hopper.png", "sunflower.png"), 17),
    ("cfu_mobilenetv2_160_035", ("input_00001_18027.dat", "input_00004_970.dat"), 1),
])  # fmt: skip
def test_published_networks_over_the_socket(tmp_path: Path, name: str, pictures: tuple[str, ...], times: int):
    """The bytes are those recorded of TensorFlow Lite, frame after frame."""
    recorded = json.loads((SHARED / "golden.json").read_text())[f"{name}.tflite"]
    expected = [[output["sha256"] for output in recorded[picture]["outputs"]] for picture in pictures]
    images = [SHARED / ("cfu_inputs" if picture.endswith(".dat") else "images") / picture for picture in pictures]
    with Served(ECP5_25F, tmp_path) as board:
        for url, count in ((board.url, times), ("sim", 1)):
            begin = time.monotonic()
            found = outputs(url, ECP5_25F, SHARED / "models" / f"{name}.tflite", images * count)
            print(f"{name}: {len(found)} frames on {url} in {time.monotonic() - begin:.1f} s")
            assert [[hashlib.sha256(value.tobytes()).hexdigest() for value in frame] for frame in found] == expected * count


@pytest.mark.parametrize("frames", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_frames_over_a_bad_line(served: Served, model: Path, frames: int):
    """Damaged bytes both ways, and a connection that is cut now and then: right bytes or a clear error."""
    proxy, rng, good, device, errors = Proxy(served.port, faults=RATE), random.Random(1), 0, None, []
    for number, image in enumerate(pixels(frames)):
        begin = time.monotonic()
        try:
            if device is None:
                device = Device.open(proxy.url, config=SMALL, patience=0.3)
                interpreter = device.interpreter(model)
            if number % 10 == 5:
                proxy.cut_after(rng.randrange(1, 4000))
            assert right(interpreter, image)
            good += 1
        except LinkError as error:
            errors.append(str(error))
            if device is not None:
                device.close()
            device = None
        assert time.monotonic() - begin < LONG
    proxy.close()
    if device is not None:
        device.close()
    print(f"{good} of {frames} frames, {proxy.damaged} bytes damaged, {proxy.cuts} cuts; errors: {errors}")
    assert proxy.damaged and proxy.cuts >= frames // 10
    assert all(re.search(CLEAR, error) for error in errors)
    assert good >= 0.9 * frames


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_clients_that_are_killed(served: Served, model: Path, kills: int):
    """While they connect, load, or have frames and pictures under way."""
    rng = random.Random(2)
    for number in range(kills):
        process = client(served, model)
        for expected in ("open", "loaded", "frame")[: 1 + number % 3]:
            assert process.stdout.readline() == f"{expected}\n"
        time.sleep(rng.random() * 0.2)
        process.kill()
        process.wait()
        process.stdout.close()
        with Device.open(served.url, config=SMALL) as device:
            interpreter = device.interpreter(model)
            assert all(right(interpreter, image) for image in pixels(2))


def test_a_board_that_is_killed_and_started_again(tmp_path: Path, model: Path):
    with Served(SMALL, tmp_path) as board, Device.open(board.url, config=SMALL) as device:
        interpreter = device.interpreter(model)
        images, found = pixels(6), []
        stream = interpreter.classify_stream(images)
        for _ in range(2):
            next(stream)
            found.append(interpreter.get_tensor(interpreter.network.model.outputs[0]))
        board.stop(signal.SIGKILL)
        with pytest.raises(LinkError, match=CLEAR):
            list(stream)
        board.start()
        assert all(np.array_equal(value, wanted(interpreter, image)) for value, image in zip(found, images))
        assert all(right(interpreter, image) for image in images)


def test_ctrl_c_ends_it(tmp_path: Path, model: Path):
    """Also while it computes; the client gets a clear error."""
    with Served(SMALL, tmp_path) as board:
        process = client(board, model)
        assert [process.stdout.readline() for _ in range(3)] == ["open\n", "loaded\n", "frame\n"]
        code, said = board.stop()
        assert code == 0 and "a client from 127.0.0.1" in said and "stopped after" in said and "Traceback" not in said
        assert process.wait(timeout=LONG) == 1
        process.stdout.close()


def test_one_client_at_a_time(served: Served, model: Path):
    with Device.open(served.url, config=SMALL) as device:
        interpreter = device.interpreter(model)
        for _ in range(3):
            with pytest.raises(LinkError, match="^The board is busy with another client, and takes one at a time: try again when"):
                Device.open(served.url, config=SMALL)
        assert right(interpreter, pixels(1)[0])
        row = find_devices([served.url])[1]
        assert not row["answers"] and "busy with another client" in row["problem"]
    with Device.open(served.url, config=SMALL) as device:
        assert device.load(interpreter.program) == 0, "it is still there"


def test_a_second_client_hears_it_at_once(served: Served):
    """Also while the first one has sent more than the board has taken; a client that leaves behind as much is no client."""
    for number in range(2):
        with socket.create_connection(("127.0.0.1", served.port)) as first:
            first.sendall(bytes(100_000))
            with socket.create_connection(("127.0.0.1", served.port), timeout=LONG) as second:
                second.sendall(bytes(50))
                assert second.recv(100) == TURNED_AWAY and second.recv(100) == b"", number
        with Device.open(served.url, config=SMALL):
            pass


def test_somebody_who_talks_nonsense(served: Served, model: Path):
    with socket.create_connection(("127.0.0.1", served.port)) as nonsense:
        nonsense.sendall(random.Random(1).randbytes(20_000))
    with socket.create_connection(("127.0.0.1", served.port)):
        pass
    with Device.open(served.url, config=SMALL) as device:
        assert right(device.interpreter(model), pixels(1)[0])


def test_ports_that_are_taken(served: Served):
    with pytest.raises(NarrowsError, match=f"Port {served.port} of 127.0.0.1 can't be listened at .* name another one with --port"):
        VirtualBoard(SMALL, port=served.port)


def test_the_command_line_on_a_virtual_board(served: Served, model: Path, tmp_path: Path):
    """The same JSON as the simulation in process, and `narrows devices` names it."""
    paths = []
    for number, image in enumerate(pixels(2)):
        paths += ["--image", str(tmp_path / f"{number}.png")]
        Image.fromarray(image).save(paths[-1])
    results = {}
    for url in (served.url, "sim"):
        arguments = ["run", str(model), *paths, "--config", str(served.file), "--on", url, "--json", "-"]
        result = CliRunner().invoke(cli.app, arguments)
        assert result.exit_code == 0, result.output
        results[url] = json.loads(result.stdout)
    over, here = results[served.url], results["sim"]
    assert over.keys() == here.keys() and over["on"] == served.url
    assert [block.keys() for block in over["blocks"]] == [block.keys() for block in here["blocks"]]
    for name in ("outputs", "top", "values"):
        assert [image[name] for image in over["images"]] == [image[name] for image in here["images"]]
    for name in ("engine", "macs", "dram_read_bytes", "dram_write_bytes", "predicted_cycles"):
        assert over[name] == here[name]
    result = CliRunner().invoke(cli.app, ["devices", served.url, "--json", "-"])
    sim, board = json.loads(result.stdout)["devices"][:2]
    assert sim["device"] == "sim" and sim["answers"]
    assert board == {
        "device": served.url, "kind": "as given", "answers": True, "engine": SMALL.digest, "clock_mhz": 133.0, "memory_bytes": 1 << 25,
        "known": False,
    }
    # An engine that is not built in must be named.
    result = CliRunner().invoke(cli.app, ["run", str(model), *paths, "--on", served.url])
    assert result.exit_code == 1 and "none of the built-in ones: name the file" in result.stderr
