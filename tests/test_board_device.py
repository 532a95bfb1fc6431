"""The driver on a model of the board that was written from the specification: what it sends, how often, and what it makes of trouble."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from engine_model import COUNTER, WATCHDOG, EngineModel, counter
from engine_runs import SMALL
from link_lines import Line, TimedLine
from link_model import Deframer
from made_network import Made, mobilenet_v2

from narrows.compiler.runnable import build_program
from narrows.device.board import find_config
from narrows.device.device import Device
from narrows.errors import NarrowsError
from narrows.golden.model import run_network
from narrows.graph.network import Network
from narrows.hw.config import ECP5_25F, ECP5_85F_WIDE, EngineConfig
from narrows.hw.control.counters import NAMES
from narrows.link.client import BLOCK, Link
from narrows.link.frame import LinkError, line_seconds
from narrows.program.encode import Program

WRITE_MEMORY = 4


@cache
def made(seed: int = 0) -> tuple[Program, Network]:
    """A stem and two blocks; the picture has an odd number of bytes."""
    network = Made(17, 13, 3, seed=seed).conv(8, kernel=3, stride=2).depthwise().conv(8).block(8, residual=True).pool().conv(5).network()
    return build_program(network, SMALL), network


def pictures(count: int, network: Network) -> list[np.ndarray]:
    rng = np.random.default_rng(count)
    return [rng.integers(-128, 128, network.input.shape).astype(np.int8) for _ in range(count)]


def right(network: Network, picture: np.ndarray, output: np.ndarray) -> bool:
    return bool(np.array_equal(run_network(network, picture)[-1], output))


class Wire(Line):
    """A line whose bytes to the board are kept."""

    def __init__(self, board: EngineModel, **options) -> None:
        super().__init__(board, **options)
        self.bytes = bytearray()

    def write(self, data: bytes) -> int:
        self.bytes += data
        return super().write(data)

    def written_memory(self) -> list[tuple[int, int]]:
        """(address, size) of what was written to memory so far, in order; then forgotten."""
        frames, self.bytes = Deframer().feed(bytes(self.bytes)), bytearray()
        return [
            (int.from_bytes(frame[2:6], "little"), int.from_bytes(frame[6:10], "little")) for frame in frames if frame[1] == WRITE_MEMORY
        ]


def opened(wire: Line, **options) -> Device:
    return Device(lambda: Link(wire, patience=0.02, baud=10**9, clock=wire.clock), config=SMALL, **options)


def covered(writes: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Regions that ``writes`` make up; fails if a byte is written twice."""
    regions: list[tuple[int, int]] = []
    for address, size in sorted(writes):
        if regions and regions[-1][0] + regions[-1][1] >= address:
            begin, length = regions[-1]
            assert begin + length == address, f"written twice: {address:#x}"
            regions[-1] = begin, length + size
        else:
            regions.append((address, size))
    return regions


def test_nothing_is_sent_twice():
    """Counted on the wire: a program once and never again, each picture once, one that is there already not at all."""
    program, network = made()
    wire = Wire(EngineModel(made()))
    place, size = program.plan.picture.address, program.plan.picture.bytes + program.plan.picture.bytes % 2
    with opened(wire) as device:
        assert device.load(program) == len(program.image)
        sent = len(wire.bytes)
        assert covered(wire.written_memory()) == [(program.address, len(program.image))]
        # Beside the program only HELLO, two checksums, a register, and what framing costs.
        assert sent <= len(program.image) * 1.07 + 120
        assert device.load(program) == 0 and not wire.written_memory()
        images = pictures(3, network)
        for picture in [*images, images[2]]:
            assert right(network, picture, device.run(picture).output)
        writes = wire.written_memory()
        assert [covered(writes[n : n + len(writes) // 3]) for n in range(0, len(writes), len(writes) // 3)] == [[(place, size)]] * 3
    # Another program that drives the same board: it finds out by checksums.
    with opened(wire) as device:
        assert device.load(program) == 0
        assert right(network, images[0], device.run(images[0]).output)
        assert covered(wire.written_memory()) == [(place, size)]


def test_a_frame_has_its_counters():
    program, network = made()
    with opened(Wire(board := EngineModel(made()))) as device:
        device.load(program)
        for number, picture in enumerate(pictures(2, network), 1):
            frame = device.run(picture)
            assert frame.cycles == 1000 * len(program.plan.blocks)
            assert frame.blocks == tuple(
                {name: counter(number, 8 * block + n) for n, name in enumerate(NAMES)} for block in range(len(program.plan.blocks))
            )
        assert board.registers[WATCHDOG] > 1_000_000 and COUNTER not in board.registers


def test_a_tensor_is_of_the_frame_that_left_it():
    """Over a line, too; of any frame but the last one it is gone."""
    program, network = made()
    with opened(Wire(EngineModel(made()))) as device:
        device.load(program)
        last = program.plan.blocks[-1]
        for picture in pictures(2, network):
            frame = device.run(picture)
            assert np.array_equal(device.tensor(frame, last)[0], run_network(network, picture)[-1].reshape(last.block.output.shape))
        device.run(picture)
        with pytest.raises(NarrowsError, match="Another frame was run since"):
            device.tensor(frame, last)
        assert right(network, picture, device.run(picture).output)


def test_the_next_picture_is_sent_while_a_frame_runs():
    """From when the engine has read the one before: the model reads it as late as the engine may."""
    program, network = made()
    board = EngineModel(made(), looks=3)
    taken: list[int] = []
    images = pictures(6, network)
    with opened(Wire(board)) as device:
        device.load(program)
        results = []
        for number, frame in enumerate(device.stream(taken.append(n) or image for n, image in enumerate(images))):
            assert taken == list(range(min(number + 2, len(images)))), "one picture ahead, no more"
            results.append(right(network, images[number], frame.output))
        assert results == [True] * 6
    # Commands by their numbers: after every start but the last one memory is written, before the output is read.
    order = "".join(command[0] if command[:5] != "2 0 1" else "S" for command in board.done)
    frames = order.split("S")[1:]
    assert [re.fullmatch("1*4+1+3+[612]*" if n < 5 else "1+3+[612]*", frame) is not None for n, frame in enumerate(frames)] == [True] * 6


def test_pictures_that_are_generated_late_or_wrong():
    program, network = made()
    with opened(Wire(EngineModel(made()))) as device:
        with pytest.raises(NarrowsError, match="no program on the device: load one first"):
            device.run(pictures(1, network)[0])
        device.load(program)
        assert list(device.stream([])) == []
        for wrong in (np.zeros((3, 3, 3), np.int8), pictures(1, network)[0].view(np.uint8)):
            with pytest.raises(NarrowsError, match=r"The picture is .*, the network takes int8 \[17, 13, 3\]"):
                device.run(wrong)
        picture = pictures(1, network)[0]
        assert right(network, picture, device.run(picture).output)


def test_two_programs_take_turns():
    """A stream goes on with its own program, whatever was run in between."""
    first, second = made(0), made(1)
    with opened(Wire(EngineModel(first, second))) as device:
        device.load(first[0])
        images = pictures(3, first[1])
        for image, frame in zip(images, device.stream(images), strict=True):
            assert right(first[1], image, frame.output)
            device.load(second[0])
            assert right(second[1], image, device.run(image).output)


@cache
def batched(stream: bool) -> tuple[Program, Network]:
    """Two images at once; in a stream the classifier of the two before in the background."""
    network = mobilenet_v2(0.1, 32, dtype="int8", classes=40).network()
    program = build_program(network, EngineConfig(), batch=2, stream=stream)
    assert (program.plan.images, program.plan.late) == (2, stream)
    return program, network


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_batches(stream: bool, count: int):
    """Each frame has the outputs of its own pictures, also where the program gives them a run later."""
    program, network = batched(stream)
    board = EngineModel((program, network), looks=2)
    images = pictures(count, network)
    wire = Wire(board)
    with Device(lambda: Link(wire, patience=0.02, baud=10**9, clock=wire.clock)) as device:
        device.load(program)
        frames = list(device.stream(images))
        assert [len(frame.outputs) for frame in frames] == [2] * (count // 2) + [1] * (count % 2)
        outputs = [output for frame in frames for (output,) in frame.outputs]
        assert all(right(network, image, output) for image, output in zip(images, outputs, strict=True))
        assert len({output.tobytes() for output in outputs}) == count
        with pytest.raises(NarrowsError, match="takes 2 pictures at once, not 3"):
            device.run(*pictures(3, network))
    assert board.starts == -(-count // 2) + stream


@pytest.mark.parametrize("stream", [False, True])
def test_batches_on_a_board_that_is_restarted(stream: bool, monkeypatch: pytest.MonkeyPatch):
    """What the engine kept of the batch before is lost: that batch is run again."""
    monkeypatch.setattr("narrows.device.device._BACKOFF", 0)
    program, network = batched(stream)
    images = pictures(4, network)

    def run(at: int) -> int:
        wire = Restarting(lambda: EngineModel((program, network)), at)
        with Device(lambda: Link(wire, patience=0.02, baud=10**9, clock=wire.clock)) as device:
            device.load(program)
            outputs = [output for frame in device.stream(images) for (output,) in frame.outputs]
        assert all(right(network, image, output) for image, output in zip(images, outputs, strict=True))
        return wire.writes

    writes = run(0)
    for at in (writes // 2, writes // 2 + 7, writes - 3):
        run(at)


def test_programs_for_other_engines_and_boards():
    program, network = made()
    other = build_program(network, ECP5_25F)
    with opened(Wire(EngineModel(made()))) as device:
        with pytest.raises(NarrowsError, match=f"compiled for engine .*, the board has {SMALL.digest}"):
            device.load(other)
        assert device.load(program)
    wire = Wire(EngineModel(made()))
    with pytest.raises(NarrowsError, match=f"The board's engine is {SMALL.digest}, not {ECP5_25F.digest} as configured"):
        Device(lambda: Link(wire, patience=0.02, baud=10**9, clock=wire.clock), config=ECP5_25F)
    small = EngineModel(made(), memory_bytes=4096)
    with opened(Wire(small)) as device, pytest.raises(NarrowsError, match="of external memory, which has 4096"):
        device.load(program)


def test_built_in_engines_are_recognised():
    wire = Line(EngineModel(made()))
    identity = Link(wire, patience=0.02, baud=10**9, clock=wire.clock).identity
    with pytest.raises(NarrowsError, match=f"{SMALL.digest} is none of the built-in ones: name the file"):
        find_config(identity)
    for base, part, clock, hertz in (
        (EngineConfig(), "any-256M-75", 115, 115_000_000), (ECP5_25F, "W9825G6KH-6", 133, 132_812_500),
        (ECP5_85F_WIDE, "any-256M-75", 115, 114_583_333),
    ):
        config = dataclasses.replace(base, sdram=part, sdram_mhz=clock)
        assert find_config(dataclasses.replace(identity, digest=config.digest, clock_hz=hertz)) == config


@pytest.mark.parametrize(("trouble", "message"), [
    ({"hang": 1}, "did not finish in 1000 cycles in block '.*' .1 of"),
    ({"bad": 2}, "met a packet it does not know in block '.*' .2 of"),
])  # fmt: skip
def test_an_engine_that_hangs_or_stops(trouble: dict, message: str):
    program, network = made()
    board = EngineModel(made(), **trouble)
    picture = pictures(1, network)[0]
    with opened(Wire(board)) as device:
        device.load(program)
        with pytest.raises(NarrowsError, match="The engine " + message):
            device.run(picture)
        assert board.starts == 1, "a program that hangs is not run again"


class Restarting(Wire):
    """The board loses its power at the ``at``-th write to the line."""

    def __init__(self, make: Callable[[], EngineModel], at: int) -> None:
        super().__init__(make())
        self._make, self._at, self.writes = make, at, 0

    def write(self, data: bytes) -> int:
        self.writes += 1
        if self.writes == self._at:
            self.board = self._make()
        return super().write(data)


def test_a_board_that_is_restarted_at_any_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("narrows.device.device._BACKOFF", 0)
    program, network = made()
    image = pictures(1, network)[0]

    def run(at: int) -> int:
        wire = Restarting(lambda: EngineModel(made()), at)
        with opened(wire) as device:
            device.load(program)
            for _ in range(2):
                assert right(network, image, device.run(image).output)
        return wire.writes

    for at in range(2, run(0)):
        run(at)


def test_attempts_are_counted(monkeypatch: pytest.MonkeyPatch):
    pauses: list[float] = []
    monkeypatch.setattr("narrows.device.device.time.sleep", pauses.append)
    program, network = made()
    wire = Wire(EngineModel(made()))
    with opened(wire) as device:
        device.load(program)
        inner, wire.board.receive = wire.board.receive, lambda data: b""
        with pytest.raises(LinkError, match=r"does not answer.*\(Tried 3 times.\)"):
            device.run(pictures(1, network)[0])
        assert [pause for pause in pauses if pause > 0.1] == [0.2, 0.4]
        wire.board.receive = inner
        image = pictures(1, network)[0]
        assert right(network, image, device.run(image).output)


@pytest.mark.parametrize(("width", "classes"), [(0.1, 10), pytest.param(1.0, 1001, marks=pytest.mark.slow)])
def test_the_time_of_an_upload_is_told_before_it_starts(width: float, classes: int):
    """MobileNetV2 at 224x224 and a picture over 3 Mbaud, in the line's own time: what was said, and what it took."""
    network = mobilenet_v2(width, 224, classes=classes).network()
    program = build_program(network, EngineConfig())
    line = TimedLine(EngineModel((program, network), memory_bytes=1 << 25), baud=3_000_000, delay=0.001)
    said: list[tuple[str, float]] = []
    with Device(lambda: Link(line, clock=line.clock)) as device:
        assert device.config == EngineConfig()
        begin = line.now
        device.load(program, progress=lambda *what: said.append(what))
        took = line.now - begin
    told = line_seconds(program.image, block=BLOCK, baud=3_000_000)
    picture = line_seconds(bytes(224 * 224 * 3), block=BLOCK, baud=3_000_000)
    size = f"{len(program.image) / 1e6:.2f} MB"
    print(f"{size}: {told:.2f} s told, {took:.2f} s taken; a picture {picture:.3f} s")
    assert said[0] == (f"sending {size} of program ({told:.1f} s at 3 Mbaud; a picture takes {picture:.2f} s), 0.0 KB sent", 0.0)
    assert [fraction for _, fraction in said] == sorted(fraction for _, fraction in said) and said[-1][1] == 1.0
    assert len(said) > len(program.image) // (2 * BLOCK)
    assert told == pytest.approx(took, rel=0.04)
