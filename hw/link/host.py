"""The host link: takes commands from a byte stream, one after the other, and answers each of them.

::

    i -> FrameReceiver -> Link -> FrameTransmitter -> o
                           |  |
          registers (bus) -+  +- HostMemory -> arbiter

``docs/link.md`` has the protocol. Nothing of a command is done before all of it has arrived and its check was right.
"""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.dram.dma import BYTE_ADDRESS_BITS
from narrows.hw.link.frame import SHORTEST, FrameReceiver, FrameTransmitter
from narrows.hw.link.memory import HostMemory, host_memory_ports
from narrows.hw.link.ports import bus_signature
from narrows.hw.link.protocol import HEADER_BYTES, MAX_DATA, REPLY, REPLY_BYTES, VERSION, WINDOW, Command, Result

#: More cycles than it takes from a header to the flags made of it, from a register's address (or a counter's number) to its
#: value, and from the start of a transfer until it shows.
_SETTLE = 7

#: Bytes of the memory for frames that a host may not use: the receiver's margin, and a byte per frame to make it even.
_SPARE = 32

_Header = data.StructLayout({"sequence": 8, "command": 8, "a": 32, "b": 32})


def identity(*, digest: str, clock_hz: int, memory_bytes: int, room: int) -> bytes:
    """What follows the host's four bytes in the reply to ``HELLO``; ``digest`` is 16 hex digits."""
    numbers = ((VERSION, 1), (WINDOW, 1), (room, 2), (MAX_DATA, 2), (memory_bytes, 4), (clock_hz, 4))
    return b"".join(value.to_bytes(size, "little") for value, size in numbers) + bytes.fromhex(digest)


class Link(wiring.Component):
    """Commands in at ``i``, replies out at ``o``, both bytes; ``error``: a byte of ``i`` was lost or damaged.

    ``digest`` names the configuration (16 hex digits), ``clock_hz`` is for the host to know. ``bus`` goes to the register
    port, ``memory`` to the arbiter. ``control``, ``index`` and ``value`` are the addresses of the registers that start the
    engine (bit 0; refused while ``busy``), choose a counter and show it. ``status`` is a byte that every reply carries. No
    command begins while ``hold`` is high, so no transfer is under way if it is raised by a register's write. ``buffer``:
    bytes of memory for frames.
    """

    def __init__(self, *, digest: str, clock_hz: int, control: int, index: int, value: int, buffer: int = 4096):
        if not 0 < clock_hz < 1 << 32:
            raise ValueError(f"The clock must be 1 to 2**32 - 1 Hz, not {clock_hz}.")
        self._identity = identity(
            digest=digest, clock_hz=clock_hz, memory_bytes=1 << BYTE_ADDRESS_BITS, room=buffer - _SPARE
        )
        self._control, self._index, self._value, self._buffer = control, index, value, buffer
        super().__init__({
            "i": In(stream.Signature(8)), "error": In(1), "o": Out(stream.Signature(8)),
            "bus": Out(bus_signature.flip()), "memory": Out(host_memory_ports),
            "busy": In(1), "hold": In(1), "status": In(8),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = self._receiver = receiver = FrameReceiver(size=self._buffer)
        m.submodules.transmitter = self._transmitter = transmitter = FrameTransmitter()
        m.submodules.host_memory = self._memory = memory = HostMemory()
        wiring.connect(m, wiring.flipped(self.i), receiver.i)
        wiring.connect(m, transmitter.o, wiring.flipped(self.o))
        wiring.connect(m, memory.memory, wiring.flipped(self.memory))
        self._header = header = Signal(_Header)
        self._answer, self._left = Signal(32), Signal(range(MAX_DATA + 1))
        self._result, self._place, self._wait = Signal(Result), Signal(range(REPLY_BYTES)), Signal(range(_SETTLE + 1))
        m.d.comb += [receiver.error.eq(self.error), memory.address.eq(header.a), memory.words.eq(header.b[1:])]
        # Bytes pass three cycles apart at least, so a byte is counted a cycle after it has passed, and what the count says of the
        # next one is another cycle later. A state that sets the count comes after this and wins.
        self._none, self._last, self._moved = Signal(), Signal(), Signal()
        m.d.sync += [self._none.eq(self._left == 0), self._last.eq(self._left == 1), self._moved.eq(0)]
        with m.If(self._moved):
            m.d.sync += [self._answer.eq(self._answer >> 8), self._left.eq(self._left - 1)]
        self._flags(m)
        self._sequence(m)
        with m.FSM():
            self._take(m)
            self._carry_out(m)
            self._reply(m)
        return m

    def _flags(self, m) -> None:
        """What kind of command is in the header, and whether it makes sense: right four cycles after the header's last byte."""
        header, is_ = self._header, {}
        for command in Command:
            is_[command] = Signal(name=f"is_{command.name.lower()}")
            m.d.sync += is_[command].eq(header.command == command)
        end, odd, wide, starts = Signal(BYTE_ADDRESS_BITS + 2), Signal(), Signal(), Signal()
        low, high, far, more, many = Signal(), Signal(), Signal(), Signal(), Signal()
        none, past, large, outside = Signal(), Signal(), Signal(), Signal()
        block, beyond, known, length = Signal(), Signal(), Signal(), Signal(range(SHORTEST + 2 * MAX_DATA))
        self._is, self._known, self._starts, self._wrong = is_, known, Signal(), Signal()
        m.d.sync += [
            # Cycle 1
            end.eq(header.a[: BYTE_ADDRESS_BITS + 1] + header.b[: BYTE_ADDRESS_BITS + 1]),
            odd.eq(header.a[0] | header.b[0]),
            low.eq(header.b[:16].any()), high.eq(header.b[16:].any()), many.eq(header.b[:16] > MAX_DATA),
            far.eq(header.a[BYTE_ADDRESS_BITS:].any()), more.eq(header.b[BYTE_ADDRESS_BITS + 1 :].any()),
            wide.eq(header.a[8:].any()), starts.eq((header.a == self._control) & header.b[0]),
            # Cycle 2
            none.eq(~low & ~high), large.eq(many | high), outside.eq(odd | far | more), past.eq(end > 1 << BYTE_ADDRESS_BITS),
            block.eq(is_[Command.READ_MEMORY] | is_[Command.WRITE_MEMORY]),
            length.eq(Mux(is_[Command.WRITE_MEMORY], header.b[: MAX_DATA.bit_length()], 0) + SHORTEST),
            known.eq(Cat(is_.values()).any()),
            self._starts.eq(starts & is_[Command.WRITE_REGISTER]),
            # Cycle 3
            beyond.eq(outside | none | past),
            # Cycle 4
            self._wrong.eq(
                (self._receiver.length != length) | (block & (beyond | large)) | (is_[Command.CHECKSUM] & beyond)
                | ((is_[Command.READ_REGISTER] | is_[Command.WRITE_REGISTER]) & wide)
            ),
        ]

    def _sequence(self, m) -> None:
        """Whether the command is the next one or one that was done before; what came of the last ``WINDOW`` commands."""
        self._expected, self._session = Signal(8), Signal()
        self._done, self._busy = Signal(WINDOW), Signal(WINDOW)  # of each, the latest lowest: it was done, it met a busy engine
        self._next, self._again, self._was_busy = Signal(), Signal(), Signal()
        age, recent = Signal(8), Signal()
        which = age[: (WINDOW - 1).bit_length()]
        m.d.sync += [
            # Cycle 1: the command before the next one has age 0.
            age.eq(self._expected - self._header.sequence - 1),
            # Cycle 2
            self._next.eq(age == 255), recent.eq(age < WINDOW),
            # Cycle 3
            self._again.eq(recent & self._done.bit_select(which, 1)), self._was_busy.eq(self._busy.bit_select(which, 1)),
        ]

    def _take(self, m) -> None:
        """A command's header comes in."""
        byte, header = self._receiver.o, self._header.as_value()
        count = Signal(range(HEADER_BYTES))
        with m.State("IDLE"):
            m.d.sync += [count.eq(HEADER_BYTES - 1), self._wait.eq(_SETTLE)]
            with m.If(byte.valid & ~self.hold):
                m.next = "HEADER"
        with m.State("HEADER"):
            m.d.comb += byte.ready.eq(1)
            with m.If(byte.valid):
                m.d.sync += [header.eq(Cat(header[8:], byte.payload.data)), count.eq(count - 1)]
                with m.If(count == 0):
                    m.next = "SETTLE"
        with m.State("SETTLE"):
            m.d.sync += self._wait.eq(self._wait - 1)
            with m.If(self._wait == 0):
                m.next = "DECIDE"

    def _decide(self, m) -> None:
        """What is to be done with the command; its result."""
        header, result = self._header, self._result
        with m.State("DECIDE"):
            m.d.sync += [self._wait.eq(_SETTLE), self._left.eq(0), self._place.eq(0)]
            m.next = "REPLY"
            with m.If(self._is[Command.HELLO] & ~self._wrong):
                m.d.sync += [
                    result.eq(Result.OK), self._session.eq(1), self._expected.eq(header.sequence + 1), self._done.eq(0),
                    self._answer.eq(header.a), self._left.eq(4 + len(self._identity)),
                ]
            with m.Elif(~self._session):
                m.d.sync += result.eq(Result.NO_SESSION)
            with m.Elif(~self._next & ~self._again):
                m.d.sync += result.eq(Result.ORDER)
            with m.Else():
                with m.If(self._next):
                    m.d.sync += [
                        self._expected.eq(self._expected + 1), self._done.eq(Cat(1, self._done)),
                        self._busy.eq(Cat(self.busy, self._busy)),
                    ]
                with m.If(~self._known):
                    m.d.sync += result.eq(Result.UNKNOWN)
                with m.Elif(self._wrong):
                    m.d.sync += result.eq(Result.ARGUMENT)
                with m.Elif(self._starts & Mux(self._next, self.busy, self._was_busy)):
                    m.d.sync += result.eq(Result.BUSY)
                with m.Else():
                    m.d.sync += result.eq(Result.OK)
                    self._begin(m)

    def _begin(self, m) -> None:
        """Begin to carry out a command. What writes is not done again; what reads is."""
        header, bus, memory = self._header, self.bus, self._memory
        m.d.sync += [bus.address.eq(header.a), bus.write_data.eq(header.b)]
        with m.If(self._is[Command.READ_REGISTER]):
            m.next = "BUS"
        with m.If(self._is[Command.WRITE_REGISTER]):
            m.d.sync += bus.write.eq(self._next)
        with m.If(self._is[Command.READ_COUNTER]):
            m.d.sync += [bus.address.eq(self._index), bus.write_data.eq(header.a), bus.write.eq(1)]
            m.next = "COUNTER"
        with m.If(self._is[Command.READ_MEMORY]):
            m.d.sync += [memory.start_read.eq(1), self._left.eq(header.b)]
        with m.If(self._is[Command.WRITE_MEMORY] & self._next):
            m.d.sync += [memory.start_write.eq(1), self._left.eq(header.b)]
            m.next = "WRITE"
        with m.If(self._is[Command.CHECKSUM]):
            m.d.sync += memory.start_sum.eq(1)
            m.next = "MEMORY"

    def _carry_out(self, m) -> None:
        """Registers, and memory but for reading, where the data are already the reply's."""
        byte, bus, memory = self._receiver.o, self.bus, self._memory
        m.d.sync += [bus.write.eq(0), memory.start_read.eq(0), memory.start_write.eq(0), memory.start_sum.eq(0)]
        self._decide(m)
        with m.State("COUNTER"):
            m.d.sync += bus.address.eq(self._value)
            m.next = "BUS"
        with m.State("BUS"):
            m.d.sync += [self._wait.eq(self._wait - 1), self._answer.eq(bus.read_data), self._left.eq(4)]
            with m.If(self._wait == 0):
                m.next = "REPLY"
        with m.State("WRITE"):
            m.d.comb += [memory.i.payload.eq(byte.payload.data), memory.i.valid.eq(byte.valid), byte.ready.eq(memory.i.ready)]
            with m.If(byte.valid & byte.ready):
                m.d.sync += self._moved.eq(1)
                with m.If(self._last):
                    m.next = "MEMORY"
        with m.State("MEMORY"):
            m.d.sync += [self._answer.eq(memory.sum), self._left.eq(Mux(self._is[Command.CHECKSUM], 4, 0))]
            with m.If(self._wait != 0):
                m.d.sync += self._wait.eq(self._wait - 1)
            with m.Elif(memory.done):
                m.next = "REPLY"

    def _reply(self, m) -> None:
        """The reply's header, its data, and what is left of the command: its check."""
        header, frame, o, memory = self._header, self._receiver.o, self._transmitter.i, self._memory
        fields = Array([header.sequence, header.command ^ REPLY, self._result, self._expected, self.status])
        rom = Array([0, *(Const(byte, 8) for byte in reversed(self._identity))])
        field, ended, own, known = Signal(8), Signal(), Signal(), Signal(8)
        m.d.sync += [
            field.eq(fields[self._place]), ended.eq(self._place == REPLY_BYTES - 1),
            own.eq(self._is[Command.HELLO] & (self._left - self._moved <= len(self._identity))),
            known.eq(Mux(own, rom[self._left[: len(self._identity).bit_length()]], self._answer[:8])),
        ]
        with m.State("REPLY"):
            m.d.comb += [o.valid.eq(1), o.payload.data.eq(field), o.payload.last.eq(ended & self._none)]
            with m.If(o.ready):
                m.d.sync += self._place.eq(self._place + 1)
                with m.If(ended):
                    m.next = "DATA"
                    with m.If(self._none):
                        m.next = "DRAIN"
        with m.State("DATA"):
            m.d.comb += [o.valid.eq(1), o.payload.data.eq(known), o.payload.last.eq(self._last)]
            with m.If(self._is[Command.READ_MEMORY]):
                m.d.comb += [o.valid.eq(memory.o.valid), o.payload.data.eq(memory.o.payload), memory.o.ready.eq(o.ready)]
            with m.If(o.valid & o.ready):
                m.d.sync += self._moved.eq(1)
                with m.If(self._last):
                    m.next = "DRAIN"
        with m.State("DRAIN"):
            m.d.comb += frame.ready.eq(1)
            with m.If(frame.valid & frame.payload.last):
                m.next = "IDLE"
