"""Threads that share a device, an interpreter, a link or a simulation: right bytes for each, or a clear error; no crash, no hang."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from engine_model import EngineModel
from engine_runs import SMALL
from link_lines import Board, Line
from random_mobilenet import random_mobilenet
from test_board_device import Wire, batched, made, opened, pictures, right
from test_serve import OPTIONS, pixels

from narrows import Device
from narrows.errors import NarrowsError
from narrows.golden.model import run_model
from narrows.importer.importer import import_network
from narrows.link.client import Link
from narrows.link.frame import LinkError
from narrows.link.turns import Turns

#: Threads change places so often that what is not held together comes apart in a few rounds.
SWITCH = 1e-5


@pytest.fixture(autouse=True)
def often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    yield
    sys.setswitchinterval(before)


def together(*works: Callable[[], None]) -> list[BaseException | None]:
    """Run ``works`` in threads that start at once; what each of them raised."""
    ends: list[BaseException | None] = [None] * len(works)
    start = threading.Barrier(len(works))

    def run(number: int) -> None:
        start.wait()
        try:
            works[number]()
        except BaseException as error:  # noqa: BLE001 - it is looked at in the test
            ends[number] = error

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ends


def test_frames_of_many_threads_on_one_device():
    """Two programs, each thread with its own pictures: single frames and streams. A thread runs the program that it loaded."""
    networks = [made(0), made(1)]
    with opened(Wire(EngineModel(*networks, looks=2))) as device:

        def work(number: int) -> None:
            program, network = networks[number % 2]
            images = pictures(10 + number, network)
            device.load(program)
            for image in images:
                assert right(network, image, device.run(image).output)
            for image, frame in zip(images, device.stream(images), strict=True):
                assert right(network, image, frame.output)

        assert together(*(lambda number=number: work(number) for number in range(6))) == [None] * 6


def test_streams_whose_outputs_come_a_frame_later():
    """What one thread's batch left in the engine is never another's output."""
    program, network = batched(True)
    wire = Wire(EngineModel((program, network)))
    with Device(lambda: Link(wire, patience=0.02, baud=10**9, clock=wire.clock)) as device:
        device.load(program)

        def work(number: int) -> None:
            images = pictures(5 + number, network)
            outputs = [output for frame in device.stream(images) for output in frame.outputs]
            assert all(right(network, image, output) for image, output in zip(images, outputs, strict=True))

        assert together(*(lambda number=number: work(number) for number in range(3))) == [None] * 3


def test_nobody_is_kept_waiting_by_one_who_takes_turn_after_turn():
    """The other thread's stream has no end before this one has had its frame."""
    program, network = made()
    (image, other), served = pictures(2, network), threading.Event()
    with opened(Wire(EngineModel(made()))) as device:
        device.load(program)

        def endless() -> None:
            while not served.is_set():
                assert right(network, other, device.run(other).output)

        def once() -> None:
            for _ in range(5):
                assert right(network, image, device.run(image).output)
            served.set()

        assert together(endless, once) == [None, None]


def test_turns():
    turns, inside, most, order = Turns("The thing"), [], [], []

    def work(number: int) -> None:
        for _ in range(200):
            with turns:
                inside.append(number)
                most.append(len(inside))
                assert turns.mine
                inside.remove(number)
            assert not turns.mine

    assert together(*(lambda number=number: work(number) for number in range(4))) == [None] * 4
    assert len(most) == 800 and max(most) == 1
    with turns:
        threads = []
        for number in range(5):
            threads.append(threading.Thread(target=lambda number=number: (turns.__enter__(), order.append(number), turns.__exit__())))
            threads[-1].start()
            while len(turns._waiting) <= number:
                pass
        with pytest.raises(NarrowsError, match="The thing is in use by this very thread"):
            turns.__enter__()
    for thread in threads:
        thread.join()
    assert order == list(range(5))


def test_a_device_that_is_used_by_what_hears_of_its_progress():
    """It would wait for itself: an error, and the device works again. It may be closed there, which ends the frame."""
    program, network = made()
    image, wire = pictures(1, network)[0], Wire(EngineModel(made(), looks=3))

    def connect() -> Link:
        link = Link(wire, patience=0.02, baud=10**9, clock=wire.clock)
        link.reset()  # what the last connection left running
        return link

    with Device(connect, config=SMALL) as device:
        device.load(program)
        with pytest.raises(NarrowsError, match="The device is in use by this very thread"):
            device.run(image, progress=lambda *_: device.run(image))
        assert right(network, image, device.run(image).output)
        with pytest.raises(NarrowsError, match="The device is closed"):
            device.run(image, progress=lambda *_: device.close())


def closed_ones(device: Device, image: np.ndarray) -> Sequence[Callable[[], object]]:
    """Everything that a device is asked for."""
    program, _ = made()
    return (
        lambda: device.run(image), lambda: device.load(program), lambda: list(device.stream([image])), device.__enter__,
        lambda: device.run_program(program, image), lambda: device.observe({}, pause=0),
    )


def test_a_closed_device_answers_with_an_error():
    program, network = made()
    image = pictures(1, network)[0]
    device = opened(Wire(EngineModel(made())))
    device.load(program)
    frame, stream = device.run(image), device.stream([image, image])
    next(stream)
    device.close()
    device.close()
    for ask in (*closed_ones(device, image), lambda: next(stream), lambda: device.observed(frame)):
        with pytest.raises(NarrowsError, match="The device is closed: open it again"):
            ask()


@pytest.mark.parametrize("number", range(20))
def test_a_device_that_is_closed_while_others_use_it(number: int):
    """Each of them gets its bytes or that error."""
    program, network = made()
    images, frames = pictures(2, network), []
    device = opened(Wire(EngineModel(made(), looks=3)))
    device.load(program)

    def work(image: np.ndarray) -> None:
        while True:
            assert right(network, image, device.run(image).output)
            frames.append(image)

    def close() -> None:
        while len(frames) < number:
            pass
        device.close()

    ends = together(lambda: work(images[0]), lambda: work(images[1]), close)
    assert ends[2] is None and all(isinstance(end, NarrowsError) and "The device is closed" in str(end) for end in ends[:2]), ends


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "net.tflite"
    path.write_bytes(random_mobilenet(np.random.default_rng(20), **OPTIONS))
    return path


def model_device(model: Path) -> Device:
    from narrows.api import build_program

    network = import_network(model)
    line = Line(EngineModel((build_program(network, SMALL), network)))
    return Device(lambda: Link(line, patience=0.02, baud=10**9, clock=line.clock), config=SMALL)


@pytest.mark.parametrize("shared", [False, True])
def test_interpreters_of_many_threads(model: Path, shared: bool):
    """One each: right outputs. One for all: an output that is got is that of the thread's own input, or there is an error."""
    with model_device(model) as device:
        one = device.interpreter(model)
        source, result = one.get_input_details()[0], one.get_output_details()[0]["index"]
        good, refused = [], list[str]()

        def work(number: int) -> None:
            interpreter, rng = one if shared else device.interpreter(model), np.random.default_rng(number)
            for _ in range(10):
                value = rng.integers(-128, 128, source["shape"]).astype(source["dtype"])
                wanted = run_model(one.network.model, value)[result]
                try:
                    interpreter.set_tensor(source["index"], value)
                    interpreter.invoke()
                    got = interpreter.get_tensor(result)
                except NarrowsError as error:
                    refused.append(str(error))
                    continue
                assert np.array_equal(got, wanted)
                good.append(number)

        assert together(*(lambda number=number: work(number) for number in range(4))) == [None] * 4
        assert bool(refused) == shared and len(good) + len(refused) == 40
        assert all("Another thread has given this interpreter inputs" in error for error in refused)


def test_answers_of_many_threads_are_those_of_their_pictures(model: Path):
    """Also of one interpreter, whose kept tensors and frame are those of the last one."""
    images = pixels(24)
    with model_device(model) as device:
        interpreter = device.interpreter(model)
        expected = [interpreter.classify(image) for image in images]
        found: dict[int, object] = {}

        def work(number: int) -> None:
            for at in range(number, len(images), 4):
                found[at] = interpreter.classify(images[at])

        assert together(*(lambda number=number: work(number) for number in range(4))) == [None] * 4
        assert [found[at] for at in range(len(images))] == expected


def test_an_answer_that_is_made_while_another_picture_is_classified(model: Path, monkeypatch: pytest.MonkeyPatch):
    """It is made of its own picture's outputs, not of what the interpreter has kept meanwhile."""
    images = pixels(2)
    with model_device(model) as device:
        interpreter = device.interpreter(model)
        expected = interpreter.classify(images[0])
        assert expected != interpreter.classify(images[1])
        begun, done, answers = threading.Event(), threading.Event(), interpreter._answers

        def late(*arguments):
            if not begun.is_set():
                begun.set()
                done.wait()
            return answers(*arguments)

        monkeypatch.setattr(interpreter, "_answers", late)
        found = []

        def other() -> None:
            begun.wait()
            interpreter.classify(images[1])
            done.set()

        assert together(lambda: found.append(interpreter.classify(images[0])), other) == [None, None]
        assert found == [expected]


def test_a_thread_may_invoke_for_another(model: Path):
    """As event loops have it: inputs are given and outputs are got here, what takes long is done there."""
    with model_device(model) as device:
        interpreter = device.interpreter(model)
        source, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]["index"]
        for seed in range(3):
            value = np.random.default_rng(seed).integers(-128, 128, source["shape"]).astype(source["dtype"])
            interpreter.set_tensor(source["index"], value)
            assert together(interpreter.invoke) == [None]
            assert np.array_equal(interpreter.get_tensor(result), run_model(interpreter.network.model, value)[result])
            assert interpreter.frame is not None
        (error,) = together(lambda: interpreter.classify(np.zeros((21, 19, 3), np.uint8)))
        assert error is None
        for ask in (lambda: interpreter.get_tensor(result), interpreter.invoke, lambda: interpreter.frame):
            with pytest.raises(NarrowsError, match="Another thread has given this interpreter inputs since"):
                ask()


def test_a_link_of_many_threads():
    board = Board(1 << 16)
    line = Line(board)
    link = Link(line, patience=0.02, baud=10**9, clock=line.clock)

    def work(number: int) -> None:
        rng = np.random.default_rng(number)
        for _ in range(30):
            data = rng.bytes(2 * int(rng.integers(1, 800)))
            link.write_memory(8192 * number, data)
            assert link.read_memory(8192 * number, len(data)) == data
            assert link.checksum(8192 * number, len(data)) == zlib.crc32(data)
            link.write_register(100 + number, len(data))
            assert link.read_register(100 + number) == len(data)

    assert together(*(lambda number=number: work(number) for number in range(6))) == [None] * 6
    with pytest.raises(NarrowsError, match="The link is in use by this very thread"):
        link.write_memory(0, bytes(2000), progress=lambda *_: link.status())
    assert link.read_memory(0, 2) == bytes(2)
    link.close()
    for ask in (link.status, link.identify, lambda: link.write_memory(0, b"ab")):
        with pytest.raises(LinkError, match="The link is closed"):
            ask()


@pytest.mark.parametrize("here", [False, True], ids=["elsewhere", "inside"])
def test_a_link_that_is_closed_while_it_is_used(here: bool):
    """Its port is closed when nobody reads it any more."""
    board = Board(1 << 16)
    line, parts, closed = Line(board), [], []
    read = line.read

    def watched(size: int) -> bytes:
        while len(parts) >= 20 and not here and not link._session._closed:
            pass
        for _ in range(1000):  # time for who closes it in the middle of a read
            assert not closed, "closed while it is read"
            time.sleep(0)
        return read(size)

    line.read, line.close = watched, lambda: closed.append(1)
    link = Link(line, patience=0.02, baud=10**9, clock=line.clock)

    def use() -> None:
        while True:
            link.write_memory(0, bytes(4096), progress=lambda done, _: (parts.append(done), here and len(parts) > 20 and link.close()))

    def close() -> None:
        while len(parts) < 20:
            pass
        if not here:
            link.close()
            assert closed

    ends = together(use, close)
    assert isinstance(ends[0], LinkError) and "The link is closed" in str(ends[0]) and ends[1] is None and closed


#: In a process of its own, for what goes wrong in the simulation's library ends the process.
SIMULATED = """
import sys, threading
sys.path.insert(0, sys.argv[1])
from test_threads import *
from narrows.device.simulated_board import SimulatedBoard
from narrows.hw.top import Register
sys.setswitchinterval(SWITCH)
programs = [made(0), made(1)]

device = Device.open("sim", config=SMALL)
def work(number):
    program, network = programs[number % 2]
    device.load(program)
    for image in pictures(6 + number, network):
        assert right(network, image, device.run(image).output)
assert (ends := together(*(lambda number=number: work(number) for number in range(4)))) == [None] * 4, ends

frames = []
def endless(number):
    program, network = programs[number % 2]
    device.load(program)
    while True:
        for image in pictures(2, network):
            assert right(network, image, device.run(image).output)
            frames.append(number)
def close():
    while len(frames) < 5:
        pass
    device.close()
*ends, end = together(lambda: endless(0), lambda: endless(1), close)
assert end is None and all("The device is closed" in str(one) for one in ends), ends

board = SimulatedBoard(SMALL)
cycles = board._simulator.cycle
def raw(number):
    for _ in range(200):
        board.pause(500)
        assert board.read_registers([Register.ENGINE]) == [int(SMALL.digest[:8], 16)]
        board.write_memory(4096 * number, bytes([number]) * 4096)
        assert board.read_memory(4096 * number, 4096) == bytes([number]) * 4096
        board.observe({"array": ["expand"]}, pause=number)
        board._simulator.intervals
assert (ends := together(*(lambda number=number: raw(number) for number in range(4)))) == [None] * 4, ends
assert board._simulator.cycle == cycles + 4 * 200 * (500 + 2)
def until_closed():
    while True:
        board.pause(10**9)
def end_it():
    while board._simulator.cycle < cycles + 10**6:
        pass
    board.close()
*ends, end = together(until_closed, until_closed, end_it)
assert end is None and all("The simulation is closed" in str(one) for one in ends), ends
print("all is well")
"""


def test_threads_in_one_simulation():
    result = subprocess.run([sys.executable, "-c", SIMULATED, str(Path(__file__).parent)], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "all is well\n"), result.stderr[-2000:]
