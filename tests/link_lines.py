"""Lines to the model of the board, for the host's side of the link: with faults, late, or with a clock of their own."""

import random
import zlib
from bisect import bisect_left

from link_model import BoardModel

MEMORY_BYTES = 1 << 25


class Board(BoardModel):
    """The model with registers: what is written is there. ``starts``: writes of CONTROL with bit 0."""

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self.registers = {8: 0x01234567, 1: 1}
        self.starts = 0
        super().__init__(
            memory=bytearray(memory_bytes), read_register=self._read, write_register=self._write,
            busy=lambda: bool(self.registers[1] & 2),
        )

    def _read(self, address: int) -> int:
        if address == 7:
            return zlib.crc32(self.registers.get(6, 0).to_bytes(4, "little"))
        return self.registers.get(address, 0)

    def _write(self, address: int, value: int) -> None:
        self.registers[address] = value
        self.starts += address == 0 and value & 1


class Line:
    """A port whose other end is ``board``; of so many bytes one, each way, is changed, lost, doubled or has one put before it.

    ``late``: what the board says arrives after up to so many reads. A read takes a millisecond by ``clock``.
    """

    timeout = 0.0

    def __init__(self, board: BoardModel, *, faults: float = 0.0, late: int = 0, seed: int = 1) -> None:
        self.board, self.faults, self.late = board, faults, late
        self.rng = random.Random(seed)
        self.written = 0
        self._coming: list[tuple[int, int]] = []  # the read at which a byte arrives, the byte
        self._reads = 0

    def write(self, data: bytes) -> int:
        self.written += len(data)
        answer = self.damaged(self.board.receive(self.damaged(data)))
        at = max(self._reads + self.rng.randint(0, self.late), self._coming[-1][0] if self._coming else 0)
        self._coming += [(at, byte) for byte in answer]
        return len(data)

    def read(self, size: int) -> bytes:
        self._reads += 1
        ready = [byte for at, byte in self._coming[:size] if at <= self._reads]
        del self._coming[: len(ready)]
        return bytes(ready)

    @property
    def in_waiting(self) -> int:
        return bisect_left(self._coming, (self._reads + 1, 0))

    def clock(self) -> float:
        return self._reads / 1000

    def damaged(self, data: bytes) -> bytes:
        if not self.faults:
            return data
        result = bytearray()
        for byte in data:
            if self.rng.random() >= self.faults:
                result.append(byte)
                continue
            other = self.rng.choice((0x7E, 0x7D, self.rng.getrandbits(8)))
            result += self.rng.choice((bytes([other]), b"", bytes([byte, byte]), bytes([other, byte])))
        return bytes(result)


class TimedLine(Line):
    """A line of ``baud`` bits per second each way behind a converter that adds ``delay`` seconds each way; ``now``: its clock."""

    timeout = 0.02
    in_waiting = 0

    def __init__(self, board: BoardModel, *, baud: int, delay: float) -> None:
        super().__init__(board)
        self.baudrate, self._delay, self.now = baud, delay, 0.0
        self._free = self._back_free = 0.0  # when the line each way has sent all that it was given
        self._arrivals: list[tuple[float, int]] = []

    def clock(self) -> float:
        return self.now

    def write(self, data: bytes) -> int:
        byte_time = 10 / self.baudrate
        for byte in data:
            self._free = max(self._free, self.now + self._delay) + byte_time
            for answer in self.board.receive(bytes([byte])):
                self._back_free = max(self._back_free, self._free) + byte_time
                self._arrivals.append((self._back_free + self._delay, answer))
        return len(data)

    def read(self, size: int) -> bytes:
        end = self.now + self.timeout
        enough = self._arrivals[size - 1][0] if len(self._arrivals) >= size else end
        self.now = max(self.now + 1e-6, min(end, enough))
        ready = [byte for at, byte in self._arrivals[:size] if at <= self.now]
        del self._arrivals[: len(ready)]
        return bytes(ready)
