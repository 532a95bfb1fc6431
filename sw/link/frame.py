"""Frames of the host link on the host's side: commands as bytes, bytes as replies. ``docs/link.md`` is the protocol."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from narrows.errors import NarrowsError
from narrows.hw.link.protocol import CHECK_BYTES, ESCAPE, ESCAPED, FLAG, HEADER_BYTES, REPLY, REPLY_BYTES, VERSION, Command

#: The result in the frame that a client gets where another one has the board, :data:`TURNED_AWAY`; never the gateware's.
TAKEN = 255

#: Bytes a second that the slowest checksum adds up, with the engine at the memory all the time.
_CHECKSUM_RATE = 4_000_000


def line_seconds(data: bytes, *, block: int, baud: int) -> float:
    """How long ``data`` take on a line of ``baud`` bits a second, written in frames of ``block`` data bytes one after the other."""
    escaped = data.count(FLAG) + data.count(ESCAPE)
    frames = -(-len(data) // block) * (HEADER_BYTES + CHECK_BYTES + 2)
    return 10 / baud * (len(data) + escaped + frames)


class LinkError(NarrowsError):
    """The board did not answer, refused a command, or is not the one it should be."""


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
            raise LinkError(
                f"The board speaks version {data[4]} of the link's protocol, this program version {VERSION}: build the gateware again."
            )
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


@dataclass(frozen=True)
class Reply:
    """A reply's fields; see :class:`narrows.hw.link.protocol.Result`."""

    sequence: int
    command: int
    result: int
    expected: int
    status: int
    data: bytes

    @classmethod
    def of(cls, frame: bytes) -> Reply | None:
        """From the bytes between two flags; nothing if it is not a good reply."""
        content = decode(frame)
        if content is None or len(content) < REPLY_BYTES or not content[1] & REPLY:
            return None
        sequence, command, result, expected, status = content[:REPLY_BYTES]
        return cls(sequence, command ^ REPLY, result, expected, status, content[REPLY_BYTES:])


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
    return content if zlib.crc32(content).to_bytes(CHECK_BYTES, "little") == check else None


#: What a client gets, unasked, from whoever stands before a board that another client has: a reply to ``HELLO``.
TURNED_AWAY = encode(bytes([0, REPLY | Command.HELLO, TAKEN, 0, 0]))
