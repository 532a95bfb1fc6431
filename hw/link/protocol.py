"""The host link's numbers; ``docs/link.md`` says what they mean."""

from enum import IntEnum

#: Version of the protocol. Another one has other frames.
VERSION = 1

#: Between frames; before a byte that is one of the two and is sent with bit 5 inverted.
FLAG, ESCAPE, ESCAPED = 0x7E, 0x7D, 0x20

#: Bytes before a command's data (sequence number, command, two numbers of 32 bits), before a reply's, and of the check behind both.
HEADER_BYTES, REPLY_BYTES, CHECK_BYTES = 10, 5, 4

#: Data bytes that a command or a reply may have.
MAX_DATA = 1024

#: Commands that may be unanswered: the gateware remembers what came of so many.
WINDOW = 16

#: The reply to a command has its number with this bit.
REPLY = 0x80


class Command(IntEnum):
    """What a host asks for. ``a`` and ``b`` are the command's numbers."""

    HELLO = 0
    READ_REGISTER = 1
    WRITE_REGISTER = 2
    READ_MEMORY = 3
    WRITE_MEMORY = 4
    CHECKSUM = 5
    READ_COUNTER = 6


class Result(IntEnum):
    """What came of it: done; not the command that is next in sequence; no sequence yet; the engine is busy; the numbers make
    no sense; no such command."""

    OK = 0
    ORDER = 1
    NO_SESSION = 2
    BUSY = 3
    ARGUMENT = 4
    UNKNOWN = 5
