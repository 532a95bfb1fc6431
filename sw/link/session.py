"""The host's end of the link's sequence: commands out, replies in, repeated where one was lost.

``docs/link.md`` is the protocol. Nothing here waits without an end: a command is sent so many times, then that is an error.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from narrows.hw.link.protocol import (
    CHECK_BYTES,
    FLAG,
    HEADER_BYTES,
    MAX_DATA,
    REPLY_BYTES,
    Command,
    Result,
)
from narrows.link.frame import TAKEN, Identity, LinkError, Reply, Request
from narrows.link.turns import Turns

#: Times that one command is sent, and times that nothing at all comes back before the board is given up.
_TRIES, _SILENCES = 50, 8

#: Bits on the line for a byte that has to be escaped.
_LINE_BITS = 20

#: Bytes between two flags that could still be a reply, all of them escaped.
_LONGEST = 2 * (REPLY_BYTES + MAX_DATA + CHECK_BYTES)

_T = TypeVar("_T")

_WHAT: dict[int, str] = {
    Result.BUSY: "the engine is running: wait for its end, or reset it",
    Result.ARGUMENT: "the address or the number of bytes is not one the board has",
    Result.UNKNOWN: "the board does not know this command",
}


class Port(Protocol):
    """What a serial port of pyserial is, as far as it is needed; ``read`` returns fewer bytes, or none, after a time-out."""

    def read(self, size: int, /) -> bytes: ...

    def write(self, data: bytes, /) -> int | None: ...


@dataclass
class _Pending:
    """A command that has a sequence number; its reply's result and data when they have come."""

    sequence: int
    request: Request
    frame: bytes
    tries: int = 0
    result: int | None = None
    data: bytes = b""

    @property
    def size(self) -> int:
        """Bytes of the frame that the board has to keep."""
        return HEADER_BYTES + len(self.request.data) + CHECK_BYTES


class Session:
    """Sends commands over ``port`` and hands their replies on.

    ``patience``: seconds without a reply, beside those that the line and the command take, after which commands are repeated;
    ``baud`` is the line's rate, that of the port unless given. ``clock`` tells the seconds that pass. Threads may share it: what one
    asks for is done before what the next one does.
    """

    def __init__(self, port: Port, *, patience: float = 0.25, baud: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        if getattr(port, "timeout", 0) is None:
            raise LinkError("The port has no time-out, so a silent board would be waited for without an end: open it with timeout=0.02.")
        self._port, self._least_patience, self.clock = port, patience, clock
        self._baud = baud or getattr(port, "baudrate", 0) or 3_000_000
        self._turns, self._closed = Turns("The link"), False
        self._identity: Identity | None = None  # of the session, or none
        self._received = bytearray()
        self.next = 0
        self.flight: deque[tuple[int, int]] = deque()  # sequence numbers and sizes of what was sent, oldest first

    def close(self) -> None:
        """Close the port, if it can be closed. Whoever waits for an answer is told so first."""
        self._closed = True
        if not self._turns.mine:
            with self._turns:
                self._close_port()

    def hello(self) -> Identity:
        """Begin a session, also after anything that went wrong."""
        with self._turns:
            return self._attended(self._hello)

    def _hello(self) -> Identity:
        nonce = secrets.token_bytes(4)
        request = Request(Command.HELLO, int.from_bytes(nonce, "little"))
        self._identity = None
        self.flight.clear()  # what was sent before is answered, or dropped, before this is
        for _ in range(_SILENCES):
            self.write(request.frame(self.next))
            end = self.clock() + self._least_patience
            while self.clock() < end:
                self.check_open()
                for reply in self.replies(0):
                    if (reply.command, reply.result) == (Command.HELLO, TAKEN):
                        raise LinkError("The board is busy with another client, and takes one at a time: try again when that has left.")
                    if (reply.sequence, reply.command, reply.result) == (self.next, Command.HELLO, Result.OK) and reply.data[:4] == nonce:
                        self._identity = Identity.of(reply.data)
                        self.next = (self.next + 1) % 256
                        return self._identity
        raise LinkError(
            f"The board does not answer. Is it the right port, is the gateware loaded, and was it built for {self._baud} baud?"
        )

    def run(self, requests: Iterable[Request], take: Callable[[int, bytes], None] = lambda _index, _data: None) -> None:
        """Carry out ``requests`` in order; ``take`` gets the index and the data of each reply, in order.

        Many are under way at once, but never one that reads and one that writes. A command that is refused ends it all when
        what is under way has been answered. After an exception the next call begins a new session.
        """

        def work() -> None:
            identity = self._identity or self._hello()
            self._identity = None
            _Batch(self, identity, requests, take).run()
            self._identity = identity

        with self._turns:
            self._attended(work)

    def _attended(self, work: Callable[[], _T]) -> _T:
        """``work``, unless the session is closed, now or meanwhile."""
        try:
            self.check_open()
            return work()
        finally:
            if self._closed:
                self._close_port()

    def check_open(self) -> None:
        """Raises if the session is closed."""
        if self._closed:
            raise LinkError("The link is closed.")

    def _close_port(self) -> None:
        """Once or more often: ports don't mind."""
        close = getattr(self._port, "close", None)
        if close is not None:
            close()

    def room(self, identity: Identity, size: int) -> bool:
        """Whether a command of ``size`` bytes may be sent now."""
        return not self.flight or sum(sent for _, sent in self.flight) + size <= identity.room

    def patience(self, requests: Iterable[Request]) -> float:
        """Seconds in which one of ``requests`` must be answered."""
        line = sum(sent for _, sent in self.flight)
        work = 0.0
        for request in requests:
            line += request.reply_bytes + 2 * CHECK_BYTES + REPLY_BYTES
            work = max(work, request.seconds)
        return self._least_patience + work + _LINE_BITS * line / self._baud

    def write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except OSError as error:
            raise LinkError(f"The port can't be written to: {error}.") from error

    def replies(self, data_bytes: int) -> list[Reply]:
        """Good replies among what has come in, or comes before the port's time-out; the next one should have ``data_bytes``."""
        wanted = max(2 + REPLY_BYTES + data_bytes + CHECK_BYTES - len(self._received), 1)
        try:
            self._received += self._port.read(max(wanted, getattr(self._port, "in_waiting", 0)))
        except OSError as error:
            raise LinkError(f"The port can't be read: {error}.") from error
        *frames, rest = self._received.split(bytes([FLAG]))
        self._received = rest[-_LONGEST:]
        return [reply for reply in map(Reply.of, map(bytes, filter(None, frames))) if reply]


class _Batch:
    """One run of commands."""

    def __init__(self, session: Session, identity: Identity, requests: Iterable[Request], take: Callable[[int, bytes], None]) -> None:
        self._session, self._identity, self._take = session, identity, take
        self._source = iter(requests)
        self._coming = next(self._source, None)
        self._pending: deque[_Pending] = deque()
        self._again: list[_Pending] = []  # to be sent once more
        self._taken, self._silences = 0, 0
        self._refused: _Pending | None = None
        self._progress = session.clock()

    def run(self) -> None:
        while self._pending or (self._coming and not self._refused):
            self._session.check_open()
            self._send()
            self._receive()
            self._hand_on()
            self._look_at_the_clock()
        if self._refused:
            request, result = self._refused.request, self._refused.result
            what = _WHAT.get(result or 0, f"result {result}")
            raise LinkError(f"The board refused {request.command.name} with {request.a:#x} and {request.b:#x}: {what}.")

    def _send(self) -> None:
        """All that may be sent: what is repeated goes first."""
        out = bytearray()
        while command := self._choose():
            command.tries += 1
            if command.tries > _TRIES:
                raise LinkError(f"A command was sent {_TRIES} times without an answer: the line is too noisy, or the board too busy.")
            if not self._session.flight:
                self._progress = self._session.clock()
            self._session.flight.append((command.sequence, command.size))
            out += command.frame
        if out:
            self._session.write(bytes(out))

    def _choose(self) -> _Pending | None:
        """What is sent next, if there is room for it."""
        session = self._session
        if self._again:
            return self._again.pop(0) if session.room(self._identity, self._again[0].size) else None
        request = self._coming
        if request is None or self._refused or len(self._pending) >= self._identity.window:
            return None
        if self._pending and self._pending[0].request.writes != request.writes:
            return None
        command = _Pending(session.next, request, request.frame(session.next))
        if not session.room(self._identity, command.size):
            return None
        session.next = (session.next + 1) % 256
        self._coming = next(self._source, None)
        self._pending.append(command)
        return command

    def _receive(self) -> None:
        """Replies to their commands. As they come in order, what was sent before a command that is answered has been lost."""
        flight = self._session.flight
        waiting = {command.sequence: command for command in self._pending if command.result is None}
        for reply in self._session.replies(next((command.request.reply_bytes for command in waiting.values()), 0)):
            self._check(reply)
            lost = [reply.sequence] if reply.result == Result.ORDER else []
            if reply.sequence in (sequence for sequence, _ in flight):
                while (sequence := flight.popleft()[0]) != reply.sequence:
                    lost.append(sequence)
            command = waiting.get(reply.sequence)
            if command and reply.result != Result.ORDER:
                if reply.result == Result.OK and len(reply.data) != command.request.reply_bytes:
                    raise LinkError(f"The board answered {command.request.command.name} with {len(reply.data)} bytes.")
                command.result, command.data = reply.result, reply.data
                del waiting[reply.sequence]
                self._progress, self._silences = self._session.clock(), 0
            under_way = {sequence for sequence, _ in flight}
            again = {command.sequence for command in self._again} | set(lost) - under_way
            self._again = [command for sequence, command in waiting.items() if sequence in again]

    def _check(self, reply: Reply) -> None:
        """A gateware that has forgotten the session does not expect what it should."""
        first = self._pending[0].sequence if self._pending else self._session.next
        known = (reply.expected - first) % 256 <= (self._session.next - first) % 256
        if reply.result == Result.NO_SESSION or not known:
            raise LinkError("The board has begun anew: its power or its gateware was lost in between. Load the network again.")

    def _hand_on(self) -> None:
        """The replies that nothing before them is missing of."""
        while self._pending and self._pending[0].result is not None:
            command = self._pending.popleft()
            if command.result != Result.OK:
                self._refused = self._refused or command
            elif not self._refused:
                self._take(self._taken, command.data)
                self._taken += 1

    def _look_at_the_clock(self) -> None:
        """After a long silence all that is unanswered is sent again."""
        session = self._session
        waiting = [command for command in self._pending if command.result is None]
        if waiting and session.clock() - self._progress > session.patience(command.request for command in waiting):
            self._silences += 1
            if self._silences > _SILENCES:
                raise LinkError(f"The board has stopped answering, after {self._taken} commands of this kind.")
            session.flight.clear()
            self._again, self._progress = waiting, session.clock()
