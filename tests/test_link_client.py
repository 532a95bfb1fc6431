"""The host's side of the link against a model of the board that was written from the specification."""

import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from link_lines import MEMORY_BYTES, Board, Line, TimedLine

from narrows.errors import NarrowsError
from narrows.hw.config import EngineConfig
from narrows.link.client import Link, open_link
from narrows.link.frame import LinkError, decode, encode


def linked(line: Line, **options) -> Link:
    """In the line's own time, so that nothing depends on how fast this machine is."""
    return Link(line, **{"patience": 0.02, "baud": 10**9, "clock": line.clock, **options})


def test_identity():
    link = linked(Line(Board()))
    assert vars(link.identity) == {
        "window": 16, "room": 4064, "max_data": 1024, "memory_bytes": MEMORY_BYTES, "clock_hz": 133_000_000,
        "digest": "0123456789abcdef",
    }
    with pytest.raises(LinkError, match="configuration 0123456789abcdef, the program is for"):
        link.require(EngineConfig())


def test_registers_and_counters():
    board = Board()
    link = linked(Line(board))
    link.write_register(200, 0xDEADBEEF)
    assert link.read_register(200) == 0xDEADBEEF and board.registers[200] == 0xDEADBEEF
    assert link.read_counters(range(100)) == [zlib.crc32(n.to_bytes(4, "little")) for n in range(100)]
    with pytest.raises(LinkError, match="refused READ_REGISTER with 0x100 and 0x0: the address or the number"):
        link.read_register(256)
    assert link.read_register(200) == 0xDEADBEEF


@settings(max_examples=30, deadline=None)
@given(
    address=st.integers(0, 5000).map(lambda n: 2 * n), size=st.integers(0, 4000).map(lambda n: 2 * n),
    block=st.integers(1, 512).map(lambda n: 2 * n), seed=st.integers(0, 99), late=st.sampled_from((0, 3, 100)),
)
def test_memory(address: int, size: int, block: int, seed: int, late: int):
    board = Board(1 << 16)
    board.memory[:] = before = bytearray(random.Random(1).randbytes(1 << 16))
    link = linked(Line(board, late=late, seed=seed), block=block, patience=0.05)
    data = random.Random(seed).randbytes(size)
    steps: list[tuple[int, int]] = []
    link.write_memory(address, data, progress=lambda *step: steps.append(step))
    assert board.memory[address : address + size] == data
    assert board.memory[:address] == before[:address] and board.memory[address + size :] == before[address + size :]
    assert steps == [(min(at + block, size), size) for at in range(0, size, block)]
    assert link.read_memory(address, size) == data
    if size:
        assert link.checksum(address, size) == zlib.crc32(data)


@pytest.mark.parametrize(("address", "size", "message"), [
    (1, 2, "2 bytes at 1 are not whole words"), (0, 3, "3 bytes at 0 are not whole words"),
    (MEMORY_BYTES, 2, "are not in the board's memory, which has 33554432"), (-2, 2, "are not in the board's memory"),
])
def test_refused_ranges(address: int, size: int, message: str):
    link = linked(Line(Board()))
    with pytest.raises(NarrowsError, match=message):
        link.read_memory(address, size)
    with pytest.raises(NarrowsError, match=message):
        link.write_memory(address, bytes(size))
    with pytest.raises(NarrowsError, match=message):
        link.checksum(address, size)


def test_upload_writes_what_is_not_there():
    board = Board()
    link = linked(Line(board))
    data = random.Random(2).randbytes(200_000)
    assert link.upload(1000, data) == len(data)
    assert link.upload(1000, data) == 0
    board.memory[1000 + 70_000] ^= 1
    steps: list[tuple[int, int]] = []
    assert link.upload(1000, data, progress=lambda *step: steps.append(step)) == 1 << 16
    assert steps[-1] == (1 << 16, 1 << 16)
    assert board.memory[1000:201_000] == data


def test_programs():
    board = Board()
    link = linked(Line(board))
    link.start(0x1234, 99)
    assert (board.registers[2], board.registers[3], board.starts) == (0x1234, 99, 1)
    board.registers[1] = 3
    with pytest.raises(LinkError, match="refused WRITE_REGISTER .* the engine is running"):
        link.start(0, 1)
    with pytest.raises(LinkError, match="has not ended after"):
        link.wait(seconds=0.01)
    board.registers[1] = 16 + 3
    with pytest.raises(LinkError, match="hung after 0 blocks"):
        link.wait(seconds=1)
    link.reset()
    assert board.registers[0] == 2
    board.registers[1] = 5
    assert link.wait(seconds=1) == 5


def exercise(link: Link, board: Board, rng: random.Random) -> None:
    """Something of everything; a start must happen once and everything must be right, or an error raised."""
    data = rng.randbytes(2 * rng.randrange(1, 3000))
    address = 2 * rng.randrange(0, 20_000)
    link.write_memory(address, data)
    assert board.memory[address : address + len(data)] == data
    assert link.read_memory(address, len(data)) == data
    assert link.checksum(address, len(data)) == zlib.crc32(data)
    number = rng.getrandbits(32)
    link.write_register(99, number)
    assert link.read_register(99) == number
    numbers = [rng.randrange(1024) for _ in range(30)]
    assert link.read_counters(numbers) == [zlib.crc32(n.to_bytes(4, "little")) for n in numbers]
    starts = board.starts
    link.start(address, len(data))
    assert board.starts == starts + 1 and (board.registers[2], board.registers[3]) == (address, len(data))


@pytest.mark.parametrize(("faults", "late", "block", "least"), [
    (1 / 2000, 0, 512, 20), (1 / 2000, 5, 256, 20), (1 / 200, 3, 64, 15), (1 / 30, 0, 32, 0),
])
def test_faults(faults: float, late: int, block: int, least: int):
    """Bytes changed, lost, doubled and put in: everything is right, or there is an error, and it never takes long."""
    good = 0
    for seed in range(20):
        board, rng = Board(1 << 17), random.Random(seed)
        line = Line(board, late=late, seed=seed)
        link = linked(line, block=block)
        line.faults = faults
        begin = line.clock()
        try:
            exercise(link, board, rng)
            good += 1
        except LinkError as error:
            print(seed, error)
            line.faults = 0.0
            exercise(link, board, rng)  # once the line is good again, so is the link
        assert line.clock() - begin < 10
    print(f"{good} of 20 at one fault in {1 / faults:.0f} bytes")
    assert good >= least


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_starts_happen_once(seed: int):
    """However many replies and commands are lost on the way."""
    board = Board(1 << 10)
    line = Line(board, seed=seed, late=seed % 4)
    link = linked(line)
    line.faults = 1 / 40
    tried = 0
    try:
        for _ in range(10):
            tried += 1
            link.start(2, 3)
            assert board.starts == tried
    except LinkError:
        assert board.starts in (tried - 1, tried)


class Silent(Line):
    """Takes everything and says nothing."""

    def write(self, data: bytes) -> int:
        return len(data)


class Echo(Line):
    """Sends back what it is sent."""

    def write(self, data: bytes) -> int:
        self._coming += [(0, byte) for byte in data]
        return len(data)


class Noisy(Silent):
    """Says much that means nothing."""

    def read(self, size: int) -> bytes:
        super().read(0)
        return self.rng.randbytes(size)


@pytest.mark.parametrize("kind", [Silent, Echo, Noisy])
def test_no_board(kind: type[Line]):
    with pytest.raises(LinkError, match="does not answer. Is it the right port"):
        linked(kind(Board(1 << 10)))


def test_a_board_that_falls_silent():
    line = Line(Board(1 << 10))
    link = linked(line)
    line.board.receive = lambda data: b""
    begin = line.clock()
    with pytest.raises(LinkError, match="has stopped answering, after 0 commands"):
        link.read_memory(0, 1024)
    assert line.clock() - begin < 2


def test_a_board_that_begins_anew():
    board = Board(1 << 12)
    line = Line(board)
    link = linked(line, block=64)
    link.write_register(50, 1)
    line.board = Board(1 << 12)
    with pytest.raises(LinkError, match="has begun anew"):
        link.write_memory(0, bytes(1024))
    assert not line.board.done
    link.write_memory(0, b"\x01" * 1024)
    assert line.board.memory[:1024] == b"\x01" * 1024
    # Somebody else's session in between.
    line.write(encode(bytes([77, 0]) + bytes(8)))
    with pytest.raises(LinkError, match="has begun anew"):
        link.write_memory(0, bytes(1024))


def test_other_versions():
    line = Line(Board())
    inner = line.board.answer
    line.board.answer = lambda frame: inner(frame)[:9] + b"\x02" + inner(frame)[10:]
    with pytest.raises(LinkError, match="speaks version 2 of the link's protocol, this program version 1"):
        linked(line)


def test_ports_that_wait_for_ever():
    line = Line(Board())
    line.timeout = None
    with pytest.raises(LinkError, match="has no time-out"):
        linked(line)
    with pytest.raises(LinkError, match=r"/nowhere can't be opened"):
        open_link("/nowhere")


@given(st.binary(max_size=200))
def test_frames(content: bytes):
    frame = encode(content)
    assert frame[0] == frame[-1] == 0x7E and 0x7E not in frame[1:-1]
    assert decode(frame[1:-1]) == content
    assert decode(frame[1:-2]) is None


@pytest.mark.parametrize(("delay", "write", "read"), [(0.0005, 0.9, 0.9), (0.002, 0.9, 0.9)])
def test_speed(delay: float, write: float, read: float):
    """The share of the line's bytes that are data, behind a converter that delays them by ``delay`` each way."""
    board = Board(1 << 18)
    line = TimedLine(board, baud=3_000_000, delay=delay)
    link = Link(line, clock=line.clock)
    data = random.Random(4).randbytes(100_000)
    for least, work in ((write, lambda: link.write_memory(0, data)), (read, lambda: link.read_memory(0, len(data)))):
        begin = line.now
        work()
        share = len(data) * 10 / line.baudrate / (line.now - begin)
        print(f"{share:.3f} of the line's {line.baudrate / 10:.0f} bytes a second with {2000 * delay:.0f} ms there and back")
        assert share >= least
    assert board.memory[: len(data)] == data
