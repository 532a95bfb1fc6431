"""A board at the other end of a serial line: registers, external memory, start and end of programs.

    with open_link("/dev/ttyUSB0") as link:
        link.upload(program.address, program.image)
        link.start(program.address, program.words)
        link.wait(seconds=2)
        result = link.read_memory(address, count)
"""

from __future__ import annotations

import errno
import os
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Self
from urllib.parse import urlsplit

from narrows.hw.config import EngineConfig
from narrows.hw.link.protocol import Command
from narrows.hw.system import BAUD
from narrows.hw.top import RESET, START, Register, Status
from narrows.link.frame import Identity, LinkError, Request
from narrows.link.session import Port, Session

#: What hears of progress: bytes done of all.
Progress = Callable[[int, int], None]

#: The TCP port of a virtual board, unless another is named.
PORT = 7000

#: Data bytes of a frame: larger ones cost less of the line, but more when one is lost.
BLOCK = 512

#: Seconds of :class:`Link`'s ``patience`` with a board, and with what may be a simulation that runs hundreds of times slower.
_PATIENCE, _REMOTE_PATIENCE = 0.25, 2.0

#: Seconds between two looks at a program that runs.
_PAUSE = 0.001

#: Bytes that one checksum is of when memory is compared.
_PIECE = 1 << 16


class Link:
    """Commands to the board at ``port``, any object with pyserial's ``read`` and ``write``, and a time-out.

    Everything either is done as asked or raises :class:`LinkError`; bytes lost or damaged on the line are sent again. See
    :class:`narrows.link.session.Session` for ``patience``, ``baud`` and ``clock``. ``block``: data bytes of a frame. Threads may share it:
    what takes one run of commands is carried out as a whole.
    """

    def __init__(
        self, port: Port, *, block: int = BLOCK, patience: float = _PATIENCE, baud: int = 0, clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._session = Session(port, patience=patience, baud=baud, clock=clock)
        self.identity: Identity = self._session.hello()
        if block < 2 or block % 2 or block > self.identity.max_data:
            raise LinkError(f"Frames must have an even number of data bytes, 2 to {self.identity.max_data}, not {block}.")
        self._block = block

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the port, if it can be closed. Whatever is asked for afterwards, or has no answer yet, is an error."""
        self._session.close()

    def identify(self) -> Identity:
        """Ask the board again who it is, which begins a new session."""
        self.identity = self._session.hello()
        return self.identity

    def require(self, config: EngineConfig) -> None:
        """Refuse a board that was built for another configuration."""
        if self.identity.digest != config.digest:
            raise LinkError(
                f"The board's gateware is of configuration {self.identity.digest}, the program is for {config.digest}: "
                "load the gateware that belongs to it, or compile for that configuration."
            )

    # Registers.

    def read_register(self, address: int) -> int:
        """A 32-bit register."""
        return self._values([Request(Command.READ_REGISTER, address)])[0]

    def read_registers(self, addresses: Sequence[int]) -> list[int]:
        """32-bit registers, one after the other."""
        return self._values([Request(Command.READ_REGISTER, address) for address in addresses])

    def write_register(self, address: int, value: int) -> None:
        """Write a 32-bit register, once."""
        self._session.run([Request(Command.WRITE_REGISTER, address, value)])

    def read_counters(self, numbers: Sequence[int]) -> list[int]:
        """Performance counters by their numbers (block * ``WORDS`` + counter)."""
        return self._values([Request(Command.READ_COUNTER, number) for number in numbers])

    def status(self) -> Status:
        """What the engine does."""
        return Status(self.read_register(Register.STATUS))

    # External memory.

    def write_memory(self, address: int, data: bytes, *, progress: Progress | None = None) -> None:
        """Put ``data`` at byte ``address``; both even."""
        self._check_range(address, len(data))
        requests = [
            Request(Command.WRITE_MEMORY, address + at, len(part), part)
            for at in range(0, len(data), self._block)
            if (part := bytes(data[at : at + self._block]))
        ]

        def done(index: int, _: bytes) -> None:
            if progress is not None:
                progress(min((index + 1) * self._block, len(data)), len(data))

        self._session.run(requests, done)

    def read_memory(self, address: int, count: int, *, progress: Progress | None = None) -> bytes:
        """``count`` bytes from byte ``address`` on; both even."""
        self._check_range(address, count)
        result = bytearray()

        def done(_: int, data: bytes) -> None:
            result.extend(data)
            if progress is not None:
                progress(len(result), count)

        self._session.run(
            (Request(Command.READ_MEMORY, address + at, min(self._block, count - at)) for at in range(0, count, self._block)), done
        )
        return bytes(result)

    def checksum(self, address: int, count: int) -> int:
        """The CRC-32 of ``count`` bytes of memory, which the board adds up itself."""
        return self._checksums([(address, count)])[0]

    def upload(self, address: int, data: bytes, *, progress: Progress | None = None) -> int:
        """Make memory hold ``data`` at byte ``address``: what is not there already is written, then compared again.

        Returns the bytes that had to be written. ``progress`` is of these, and hears how many there are before the first one.
        """
        differing = self.differing(address, data)
        total, sent = sum(len(data[at : at + _PIECE]) for at in differing), 0
        if progress is not None and total:
            progress(0, total)
        for at in differing:
            part, before = data[at : at + _PIECE], sent
            self.write_memory(
                address + at, part,
                progress=None if progress is None else lambda done, _all, before=before: progress(before + done, total),
            )
            sent += len(part)
        if wrong := self.differing(address, data):
            raise LinkError(f"Memory at {address + wrong[0]:#x} does not hold what was written: is the program that runs writing there?")
        return sent

    def differing(self, address: int, data: bytes) -> list[int]:
        """Offsets of the pieces of ``data`` that memory at byte ``address`` does not hold, by their checksums."""
        parts = {at: data[at : at + _PIECE] for at in range(0, len(data), _PIECE)}
        sums = self._checksums([(address + at, len(part)) for at, part in parts.items()])
        return [at for (at, part), there in zip(parts.items(), sums) if zlib.crc32(part) != there]

    # Programs.

    def start(self, address: int, words: int) -> None:
        """Start the program of ``words`` 16-bit words at byte ``address``; refused while one runs."""
        registers = ((Register.PROGRAM_ADDRESS, address), (Register.PROGRAM_WORDS, words), (Register.CONTROL, START))
        self._session.run([Request(Command.WRITE_REGISTER, register, value) for register, value in registers])

    def wait(self, *, seconds: float, progress: Callable[[float], None] | None = None) -> Status:
        """Wait for the end of the program that runs; ``progress`` hears the seconds so far. Raises if it takes longer or hangs."""
        begin = self._clock()
        while (status := self.status()) & Status.BUSY:
            passed = self._clock() - begin
            if status & Status.BAD:
                raise LinkError("The program made no sense to the engine: it was damaged, or compiled for another one.")
            if status & Status.HUNG:
                raise LinkError(f"The engine is hung after {self.read_register(Register.BLOCKS)} blocks; reset it.")
            if passed > seconds:
                raise LinkError(f"The program has not ended after {passed:.1f} s.")
            if progress is not None:
                progress(passed)
        return status

    def watch(self, cycles: int) -> None:
        """A program is hung when no block of it has ended for more than so many cycles."""
        self.write_register(Register.WATCHDOG, min(cycles, 2**32 - 1))

    def pause(self) -> None:
        """Some time passes, short beside a program's."""
        time.sleep(_PAUSE)

    def reset(self) -> None:
        """End whatever program runs; external memory is kept, but for what it was writing."""
        self.write_register(Register.CONTROL, RESET)

    def _values(self, requests: Iterable[Request]) -> list[int]:
        values: list[int] = []
        self._session.run(requests, lambda _, data: values.append(int.from_bytes(data, "little")))
        return values

    def _checksums(self, regions: Sequence[tuple[int, int]]) -> list[int]:
        for address, count in regions:
            self._check_range(address, count)
        return self._values([Request(Command.CHECKSUM, address, count) for address, count in regions])

    def _check_range(self, address: int, count: int) -> None:
        if address % 2 or count % 2:
            raise LinkError(f"Memory is of words of two bytes: {count} bytes at {address} are not whole words.")
        if address < 0 or count < 0 or address + count > self.identity.memory_bytes:
            raise LinkError(f"{count} bytes at {address} are not in the board's memory, which has {self.identity.memory_bytes}.")


def open_link(url: str, *, baud: int = BAUD, block: int = BLOCK, patience: float | None = None) -> Link:
    """The board at a serial port (``/dev/ttyUSB0``, ``COM3``) or at ``socket://host:port``; ``patience``: see :class:`Link`."""
    import serial

    remote = "://" in url
    if url.lower().startswith("socket:"):
        _check_address(url)
    # A second program at the same serial port would read half of the replies; systems that can refuse it.
    options: dict[str, Any] = {} if remote or os.name != "posix" else {"exclusive": True}
    try:
        port: Any = serial.serial_for_url(url, baudrate=baud, timeout=0.02, write_timeout=5, **options)
    except (serial.SerialException, ValueError) as error:
        taken = getattr(error, "errno", None) in (errno.EAGAIN, errno.EBUSY)
        why = "the board is busy with another client, for another program has the port" if taken else error
        raise LinkError(f"{url} can't be opened: {why}.") from error
    with suppress(AttributeError, NotImplementedError, OSError, ValueError):
        port.set_low_latency_mode(True)  # otherwise USB converters may keep a reply for 16 ms
    try:
        return Link(port, block=block, baud=baud, patience=patience or (_REMOTE_PATIENCE if remote else _PATIENCE))
    except BaseException:
        port.close()
        raise


def _check_address(url: str) -> None:
    """Refuse what is not socket://host:port, with a port that there can be."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise LinkError(f"{url} can't be opened: {error}; give it as socket://host:port.") from None
    if not host or not port:
        missing = "port" if host else "host"
        raise LinkError(
            f"{url} can't be opened: it names no {missing}; give it as socket://host:port, "
            f"socket://localhost:{PORT} for `narrows serve` on this machine."
        )
