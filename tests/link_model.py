"""The gateware's side of the host link in Python, written from docs/link.md alone: shares no number with the gateware."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

HELLO, READ_REGISTER, WRITE_REGISTER, READ_MEMORY, WRITE_MEMORY, CHECKSUM, READ_COUNTER = range(7)
OK, ORDER, NO_SESSION, BUSY, ARGUMENT, UNKNOWN = range(6)
CONTROL, COUNTER_INDEX, COUNTER = 0, 6, 7


def framed(content: bytes) -> bytes:
    """``content`` with its check, between flags."""
    checked = content + zlib.crc32(content).to_bytes(4, "little")
    return b"\x7e" + checked.replace(b"\x7d", b"\x7d\x5d").replace(b"\x7e", b"\x7d\x5e") + b"\x7e"


def command(sequence: int, number: int, a: int = 0, b: int = 0, data: bytes = b"") -> bytes:
    """A command, without its check."""
    return bytes([sequence & 255, number]) + a.to_bytes(4, "little") + b.to_bytes(4, "little") + data


class Deframer:
    """Bytes in, the contents of good frames out."""

    def __init__(self, *, shortest: int = 14, longest: int = 1038) -> None:
        self._shortest, self._longest = shortest, longest
        self.spoil(reset=True)

    def spoil(self, *, reset: bool = False) -> None:
        """The frame that a byte would now belong to is no good; or there is a new one."""
        self._bytes, self._escaped, self._spoilt = bytearray() if reset else self._bytes, False, not reset

    def feed(self, data: bytes) -> list[bytes]:
        frames = []
        for byte in data:
            if byte == 0x7E:
                frame = bytes(self._bytes)
                good = not (self._spoilt or self._escaped) and self._shortest <= len(frame) <= self._longest
                if good and zlib.crc32(frame[:-4]) == int.from_bytes(frame[-4:], "little"):
                    frames.append(frame[:-4])
                self.spoil(reset=True)
            elif byte == 0x7D:
                self._spoilt |= self._escaped
                self._escaped = True
            else:
                self._bytes.append(byte ^ (0x20 if self._escaped else 0))
                self._escaped = False
        return frames


@dataclass
class BoardModel:
    """Answers bytes with bytes. ``read_register`` and ``write_register`` are the engine's, ``memory`` is all of its memory;
    ``busy`` and ``status`` are asked when a command is carried out and when it is answered."""

    memory: bytearray
    read_register: Callable[[int], int]
    write_register: Callable[[int, int], None]
    busy: Callable[[], bool] = lambda: False
    status: Callable[[], int] = lambda: 1
    digest: str = "0123456789abcdef"
    clock_hz: int = 133_000_000
    room: int = 4064
    done: list[str] = field(default_factory=list)  # what was carried out and not only repeated
    _expected: int = 0
    _session: bool = False
    _history: list[int] = field(default_factory=list)  # results of the session's last 16 commands, the latest first

    def __post_init__(self) -> None:
        self.deframer = Deframer()

    def receive(self, data: bytes) -> bytes:
        """The bytes that the gateware sends when it receives these."""
        return b"".join(framed(self.answer(frame)) for frame in self.deframer.feed(data))

    def answer(self, frame: bytes) -> bytes:
        """The reply to a good frame."""
        sequence, number = frame[0], frame[1]
        a, b = int.from_bytes(frame[2:6], "little"), int.from_bytes(frame[6:10], "little")
        result, data = self._result(sequence, number, a, b, frame[10:])
        return bytes([sequence, number ^ 0x80, result, self._expected, self.status()]) + data

    def _result(self, sequence: int, number: int, a: int, b: int, data: bytes) -> tuple[int, bytes]:
        if number == HELLO and not data:
            self._session, self._expected, self._history = True, (sequence + 1) % 256, []
            who = bytes([1, 16]) + self.room.to_bytes(2, "little") + (1024).to_bytes(2, "little")
            who += len(self.memory).to_bytes(4, "little") + self.clock_hz.to_bytes(4, "little") + bytes.fromhex(self.digest)
            return OK, a.to_bytes(4, "little") + who
        if not self._session:
            return NO_SESSION, b""
        age = (self._expected - 1 - sequence) % 256
        if age != 255 and age >= len(self._history):
            return ORDER, b""
        new = age == 255
        if new:
            result = self._check(number, a, b, data)
            self._expected = (self._expected + 1) % 256
            self._history = [result, *self._history][:16]
            self.done.append(f"{number} {a:x} {b:x} {result}")
        else:
            result = self._check(number, a, b, data, before=self._history[age])
        return result, self._carry_out(new, number, a, b, data) if result == OK else b""

    def _check(self, number: int, a: int, b: int, data: bytes, *, before: int | None = None) -> int:
        if number > READ_COUNTER:
            return UNKNOWN
        if len(data) != (b if number == WRITE_MEMORY else 0):
            return ARGUMENT
        if number in (READ_MEMORY, WRITE_MEMORY, CHECKSUM):
            if a % 2 or b % 2 or b == 0 or a + b > len(self.memory) or (number != CHECKSUM and b > 1024):
                return ARGUMENT
        elif number in (READ_REGISTER, WRITE_REGISTER) and a > 255:
            return ARGUMENT
        if number == WRITE_REGISTER and a == CONTROL and b & 1 and (self.busy() if before is None else before == BUSY):
            return BUSY
        return OK

    def _carry_out(self, new: bool, number: int, a: int, b: int, data: bytes) -> bytes:
        if number == WRITE_REGISTER and new:
            self.write_register(a, b)
        if number == WRITE_MEMORY and new:
            self.memory[a : a + b] = data
        if number == READ_COUNTER:
            self.write_register(COUNTER_INDEX, a)
            return self.read_register(COUNTER).to_bytes(4, "little")
        if number == READ_REGISTER:
            return self.read_register(a).to_bytes(4, "little")
        if number == READ_MEMORY:
            return bytes(self.memory[a : a + b])
        if number == CHECKSUM:
            return zlib.crc32(self.memory[a : a + b]).to_bytes(4, "little")
        return b""
