"""The host's end of the link's frames and sequence: commands out, replies in, repeated where one was lost.

``docs/link.md`` is the protocol. Nothing here waits without an end: a command is sent so many times, then that is an error.
"""

from __future__ import annotations

import secrets
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Protocol

from narrows.hw.link_protocol import CHECK_BYTES, ESCAPE, ESCAPED, FLAG, HEADER_BYTES, REPLY, REPLY_BYTES, VERSION, Command, Result
from narrows.network import NarrowsError

#: Times that one command is sent, and times that nothing at all comes back before the board is given up.
_TRIES, _SILENCES = 50, 8

#: Bytes a second that the slowest checksum adds up, with the engine at the memory all the time.
_CHECKSUM_RATE = 4_000_000

#: Bits on the line for a byte that has to be escaped.
_LINE_BITS = 20

_WHAT = {
    Result.BUSY: "the engine is running: wait for its end, or reset it",
    Result.ARGUMENT: "the address or the number of bytes is not one the board has",
    Result.UNKNOWN: "the board does not know this command",
}


class LinkError(NarrowsError):
    """The board did not answer, refused a command, or is not the one it should be."""


class Port(Protocol):
    """What a serial port of pyserial is, as far as it is needed; ``read`` returns fewer bytes, or none, after a time-out."""

    def read(self, size: int, /) -> bytes: ...

    def write(self, data: bytes, /) -> int | None: ...


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who answers: what the board said of itself. Sizes in bytes; ``digest`` as :attr:`EngineConfig.digest`."""

    window: int
    room: int
    max_data: int
    memory_bytes: int
    clock_hz: int
    digest: str

    @classmethod
    def of(cls, data: bytes) -> Identity:
        """From the data of the reply to ``HELLO``."""
        if data[4] != VERSION:
            raise LinkError(f"The board speaks version {data[4]} of the link's protocol, this program version {VERSION}: build the board's gateware again.")
        numbers = (int.from_bytes(data[begin:end], "little") for begin, end in ((5, 6), (6, 8), (8, 10), (10, 14), (14, 18)))
        window, room, max_data, memory_bytes, clock_hz = numbers
        return cls(
            window=window, room=room, max_data=max_data, memory_bytes=memory_bytes, clock_hz=clock_hz, digest=data[18:26].hex()
        )


@dataclass(frozen=True)
class Request:
    """A command and its numbers."""

    command: Command
    a: int = 0
    b: int = 0
    data: bytes = b""

    @property
    def writes(self) -> bool:
        return self.command in (Command.WRITE_REGISTER, Command.WRITE_MEMORY)

    @property
    def reply_bytes(self) -> int:
        """Data bytes of the reply, if all goes well."""
        return {Command.READ_MEMORY: self.b, Command.WRITE_REGISTER: 0, Command.WRITE_MEMORY: 0}.get(self.command, 4)

    @property
    def seconds(self) -> float:
        """How long it may take to carry it out."""
        return self.b / _CHECKSUM_RATE if self.command == Command.CHECKSUM else 0.0

    def frame(self, sequence: int) -> bytes:
        header = bytes([sequence, self.command]) + self.a.to_bytes(4, "little") + self.b.to_bytes(4, "little")
        return encode(header + self.data)


@dataclass
class _Pending:
    """A command that has a sequence number; its reply's result and data when they have come."""

    sequence: int
    request: Request
    frame: bytes
    tries: int = 0
    result: int | None = None
    data: bytes = b""


def encode(content: bytes) -> bytes:
    """``content`` with its check, escaped, between flags."""
    whole = content + zlib.crc32(content).to_bytes(CHECK_BYTES, "little")
    for byte in (ESCAPE, FLAG):
        whole = whole.replace(bytes([byte]), bytes([ESCAPE, byte ^ ESCAPED]))
    return bytes([FLAG]) + whole + bytes([FLAG])


def decode(frame: bytes) -> bytes | None:
    """The content of what was between two flags, or nothing if its check is wrong."""
    first, *rest = frame.split(bytes([ESCAPE]))
    if not all(rest):
        return None
    whole = first + b"".join(bytes([part[0] ^ ESCAPED]) + part[1:] for part in rest)
    content, check = whole[:-CHECK_BYTES], whole[-CHECK_BYTES:]
    return content if len(content) >= REPLY_BYTES and zlib.crc32(content).to_bytes(CHECK_BYTES, "little") == check else None


@dataclass
class Session:
    """Sends commands over ``port`` and hands their replies on. ``patience``: seconds without a reply, beside those that the
    line and the command take, after which commands are repeated; ``baud`` is the line's rate, from the port unless given."""

    port: Port
    patience: float = 0.25
    baud: int = 0
    _greeted: bool = False
    _next: int = 0
    _received: bytearray = field(default_factory=bytearray)
    _flight: deque[tuple[int, int]] = field(default_factory=deque)  # sequence number and bytes of what was sent, oldest first

    def __post_init__(self) -> None:
        if getattr(self.port, "timeout", 0) is None:
            raise LinkError("The port has no time-out: a board that is silent would be waited for without an end. Open it with timeout=0.02.")
        self.baud = self.baud or getattr(self.port, "baudrate", 0) or 3_000_000
        self._identity: Identity | None = None

    def hello(self) -> Identity:
        """Begin a session, also after anything that went wrong."""
        self._greeted = False
        nonce = secrets.token_bytes(4)
        request = Request(Command.HELLO, int.from_bytes(nonce, "little"))
        # What was sent before is answered or dropped before this.
        self._flight.clear()
        for _ in range(_SILENCES):
            self._write(request.frame(self._next))
            end = time.monotonic() + self.patience
            while time.monotonic() < end:
                for sequence, command, result, _expected, data in self._replies(1):
                    if (sequence, command, result) == (self._next, Command.HELLO, Result.OK) and data[:4] == nonce:
                        self._identity = Identity.of(data)
                        self._greeted, self._next = True, (self._next + 1) % 256
                        return self._identity
        raise LinkError(
            "The board does not answer. Is it the right port, is the gateware loaded, and built for "
            f"{self.baud} baud? (narrows doctor lists the ports.)"
        )

    def run(self, requests: Iterable[Request], take: Callable[[int, bytes], None] = lambda _index, _data: None) -> None:
        """Carry out ``requests`` in order; ``take`` gets the index and the data of each reply, in order.

        Many are under way at once, but never one that reads and one that writes. A command that is refused ends it all when
        what is under way has been answered. After an exception the next call begins a new session.
        """
        if not self._greeted:
            self.hello()
        try:
            self._run(requests, take)
        except BaseException:
            self._greeted = False
            raise

    def _run(self, requests: Iterable[Request], take: Callable[[int, bytes], None]) -> None:
        identity = self._identity
        assert identity is not None
        source = iter(requests)
        coming = next(source, None)
        pending: deque[_Pending] = deque()
        again: list[_Pending] = []  # to be sent once more, oldest first
        taken, silences, refused = 0, 0, None
        progress = time.monotonic()
        while pending or (coming and not refused):
            # Out: what is repeated goes first.
            out = bytearray()
            while True:
                fresh = not again
                if fresh and (
                    coming is None or refused or len(pending) >= identity.window
                    or (pending and pending[0].request.writes != coming.writes)
                ):
                    break
                if fresh:
                    assert coming is not None
                    command = _Pending(self._next, coming, coming.frame(self._next))
                else:
                    command = again[0]
                size = HEADER_BYTES + len(command.request.data) + CHECK_BYTES
                if self._flight and sum(bytes_ for _, bytes_ in self._flight) + size > identity.room:
                    break
                if fresh:
                    pending.append(command)
                    self._next, coming = (self._next + 1) % 256, next(source, None)
                else:
                    again.pop(0)
                command.tries += 1
                if command.tries > _TRIES:
                    raise LinkError(f"A command was sent {_TRIES} times and never answered well: the line is too noisy.")
                if not self._flight:
                    progress = time.monotonic()
                self._flight.append((command.sequence, size))
                out += command.frame
            self._write(bytes(out))
            # In.
            replies = self._replies(self._expected_bytes(pending))
            for sequence, _command, result, expected, data in replies:
                self._check_session(result, expected, pending)
                lost = self._resolve(sequence)
                command = next((one for one in pending if one.sequence == sequence), None)
                if command and command.result is None and result != Result.ORDER:
                    if result == Result.OK and len(data) != command.request.reply_bytes:
                        raise LinkError(f"The board answered {command.request.command.name} with {len(data)} bytes.")
                    command.result, command.data = result, data
                    progress, silences = time.monotonic(), 0
                elif command:
                    lost.append(sequence)
                again = self._to_repeat(pending, again, lost)
            while pending and pending[0].result is not None:
                command = pending.popleft()
                if command.result == Result.OK and not refused:
                    take(taken, command.data)
                    taken += 1
                elif command.result != Result.OK:
                    refused = refused or command
            if pending and time.monotonic() - progress > self._patience(pending):
                silences += 1
                if silences > _SILENCES:
                    raise LinkError(f"The board has stopped answering ({taken} commands were carried out).")
                self._flight.clear()
                again = [command for command in pending if command.result is None]
                progress = time.monotonic()
        if refused:
            what = _WHAT.get(Result(refused.result or 0), f"result {refused.result}")
            request = refused.request
            raise LinkError(f"The board refused {request.command.name} of {request.a:#x}, {request.b:#x}: {what}.")
