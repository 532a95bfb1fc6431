"""Threads that share a device or a simulation: right bytes for each, or a clear error; no crash, no hang."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from engine_model import EngineModel
from engine_runs import SMALL
from side_by_side import together
from test_board_device import Wire, batched, made, opened, pictures, right

from narrows import Device
from narrows.errors import NarrowsError
from narrows.link.client import Link
from narrows.link.turns import Turns


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
            outputs = [output for frame in device.stream(images) for (output,) in frame.outputs]
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


#: In a process of its own, for what goes wrong in the simulation's library ends the process.
SIMULATED = """
import sys, threading
sys.path.insert(0, sys.argv[1])
from engine_runs import SMALL
from side_by_side import together
from test_board_device import made, pictures, right
from narrows import Device
from narrows.device.simulated_board import SimulatedBoard
from narrows.hw.top import Register
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
