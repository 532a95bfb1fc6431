"""The host's side of the link and the whole gateware, with the memory chip: what comes by the link is what comes by the back door."""

import random
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from engine_runs import SMALL
from made_network import Made

from narrows.compiler.runnable import build_program
from narrows.device.device import Device
from narrows.device.frame import Frame
from narrows.hw.control.counters import NAMES, WORDS
from narrows.hw.top import Register, Status
from narrows.link.client import Link
from narrows.link.frame import LinkError
from narrows.program.encode import Program
from narrows.sim.link_port import LinkPort
from narrows.sim.simulator import Simulator, board

#: Much of it passes through external memory, both ways, while it runs.
MADE = (
    Made(112, 104, 3).conv(8, kernel=3, stride=2).depthwise().conv(12)
    .block(12, stride=2).block(12, residual=True).block(12, residual=True)
)
PICTURE = MADE.picture()

#: External memory that the program does not use.
ELSEWHERE = 20 << 20


@pytest.fixture(scope="module")
def program() -> Program:
    return build_program(MADE.network(), SMALL)


@pytest.fixture(scope="module")
def frame(program: Program) -> Frame:
    """What the back door gets."""
    with Device.open(config=SMALL) as device:
        device.load(program)
        frame = device.run(PICTURE)
    assert len(np.unique(frame.output)) > 20
    return frame


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with board(SMALL, link=True) as simulator:
        yield simulator


@pytest.fixture
def link(simulator: Simulator) -> Link:
    return Link(LinkPort(simulator), patience=5)


def output(link: Link, program: Program) -> bytes:
    """The last block's tensor as it lies in memory."""
    store = program.plan.blocks[-1].store
    return link.read_memory(store.address, store.bytes + store.bytes % 2)[: store.bytes]


def prepare(simulator: Simulator, program: Program) -> None:
    """Program and picture by the back door, where the way they come is not what is tested."""
    simulator.load(program.address, program.image)
    simulator.load(program.plan.picture.address, PICTURE.tobytes())


def is_right(link: Link, program: Program, frame: Frame) -> bool:
    last = program.plan.blocks[-1].block.output
    found = np.frombuffer(output(link, program), last.dtype).reshape(*last.shape[:2], -1)[:, :, : last.shape[2]]
    return bool(np.array_equal(found, frame.output))


def test_a_network_by_the_link(simulator: Simulator, link: Link, program: Program, frame: Frame):
    link.require(SMALL)
    picture = PICTURE.tobytes()
    assert link.upload(program.address, program.image) == len(program.image)
    assert link.upload(program.address, program.image) == 0
    link.write_memory(program.plan.picture.address, picture)
    assert simulator.read_memory(program.address, len(program.image)) == program.image
    assert simulator.read_memory(program.plan.picture.address, len(picture)) == picture
    assert link.checksum(program.address, len(program.image)) == zlib.crc32(program.image)
    link.start(program.address, program.words)
    assert link.wait(seconds=120) & Status.DONE
    assert is_right(link, program, frame)
    # Refreshes fall on other cycles; the work is the same to the cycle.
    assert link.read_register(Register.CYCLES) == pytest.approx(frame.cycles, rel=0.005)
    assert link.read_register(Register.BLOCKS) == len(frame.blocks)
    counters = link.read_counters([block * WORDS + n for block in range(len(frame.blocks)) for n in range(len(NAMES))])
    for block, expected in enumerate(frame.blocks):
        found = dict(zip(NAMES, counters[block * len(NAMES) :]))
        for name in ("pointwise_busy", "depthwise_busy"):
            assert found[name] == expected[name]


def test_memory_while_a_program_runs(simulator: Simulator, link: Link, program: Program, frame: Frame):
    """The next picture comes in meanwhile; what is read, written and summed up is right, and so is the result."""
    prepare(simulator, program)
    rng = random.Random(1)
    link.start(program.address, program.words)
    busy, at = 0, ELSEWHERE
    while link.status() & Status.BUSY:
        data = rng.randbytes(2 * rng.randrange(1, 100))
        link.write_memory(at, data)
        assert link.checksum(at, len(data)) == zlib.crc32(data)
        assert link.read_memory(at, len(data)) == data
        assert link.checksum(program.address, 512) == zlib.crc32(program.image[:512])
        busy, at = busy + 1, at + len(data)
    assert busy > 20
    assert is_right(link, program, frame)


def test_a_program_that_hangs(simulator: Simulator, link: Link, program: Program, frame: Frame):
    """Half a program waits for the other half. Memory can be used, a start is refused, and a reset helps."""
    prepare(simulator, program)
    link.write_register(Register.WATCHDOG, 500_000)
    link.start(program.address, program.words // 2)
    with pytest.raises(LinkError, match="The engine is hung after"):
        link.wait(seconds=120)
    with pytest.raises(LinkError, match="the engine is running"):
        link.start(program.address, program.words)
    link.write_memory(ELSEWHERE, b"still here")
    assert link.read_memory(ELSEWHERE, 10) == b"still here"
    link.reset()
    assert link.status() == Status.READY
    link.start(program.address, program.words)
    link.wait(seconds=120)
    assert is_right(link, program, frame)


def test_resets_at_any_time(simulator: Simulator, link: Link, program: Program, frame: Frame):
    """Whatever the engine was doing with the memory, afterwards it runs and memory has what it should."""
    prepare(simulator, program)
    rng = random.Random(2)
    link.write_memory(ELSEWHERE, data := rng.randbytes(3000))
    for _ in range(30):
        link.start(program.address, program.words)
        simulator.run(rng.randrange(1, 60_000), until_done=False)
        link.reset()
        assert link.read_memory(ELSEWHERE, len(data)) == data
        assert link.status() == Status.READY
    assert link.checksum(program.address, len(program.image)) == zlib.crc32(program.image)
    link.write_memory(program.plan.picture.address, PICTURE.tobytes())
    link.start(program.address, program.words)
    link.wait(seconds=120)
    assert is_right(link, program, frame)
