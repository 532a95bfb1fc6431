"""Frames of the host link: bytes between flags, with a CRC-32 behind them.

Both directions spend a few cycles on each byte: a serial line has tens of them.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from narrows.hw.link.protocol import CHECK_BYTES, ESCAPE, ESCAPED, FLAG, HEADER_BYTES, MAX_DATA, WINDOW
from narrows.hw.parts.block_ram import BlockRam

#: Bytes of the shortest and of the longest frame, its check included.
SHORTEST = HEADER_BYTES + CHECK_BYTES
LONGEST = SHORTEST + MAX_DATA

#: Bytes of the memory that are never filled: what the count of them is late by.
_MARGIN = 4

#: A byte of a frame; ``last``: none follows.
FrameByte = data.StructLayout({"data": 8, "last": 1})


def crc32():
    """A CRC-32 processor, a byte per cycle."""
    return CRC32_ISO_HDLC(data_width=8).create()


class FrameReceiver(wiring.Component):
    """Keeps frames of the byte stream ``i`` whose check is right, and offers them, with their check, at ``o``, byte by byte.

    A frame of ``length`` bytes (``SHORTEST`` to ``LONGEST``) begins at ``o`` when it is complete; ``length`` is its until its
    last byte was taken. ``error``: a byte was lost or damaged, which spoils the frame. So does one that finds no room
    among ``size`` bytes, or ``WINDOW`` frames waiting already: nobody hears of spoilt frames. A byte of ``i`` is taken every
    five cycles; the next one of ``o`` is offered four cycles after the last was taken.
    """

    def __init__(self, *, size: int = 4096):
        if size & (size - 1) or size < 2 * LONGEST:
            raise ValueError(f"The memory for frames must have a power of two of bytes, {2 * LONGEST} or more, not {size}.")
        self._size = size
        super().__init__({
            "i": In(stream.Signature(8)), "error": In(1),
            "o": Out(stream.Signature(FrameByte)), "length": Out(range(LONGEST + 1)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = BlockRam(width=16, depth=self._size // 2)
        m.submodules.lengths = lengths = SyncFIFOBuffered(width=len(self.length), depth=WINDOW + 1)
        write, read = Signal(range(self._size)), Signal(range(self._size))
        full = Signal()
        used = Signal(range(self._size))
        m.d.sync += [used.eq(write - read), full.eq(used >= self._size - _MARGIN)]
        self._fill(m, memory, lengths, write, full)
        self._offer(m, memory, lengths, read)
        return m

    def _fill(self, m, memory, lengths, write, full) -> None:
        """A byte of ``i`` in five steps; a frame begins at an even byte."""
        m.submodules.crc = crc = crc32()
        idle, steps, byte = Signal(init=1), Signal(4), Signal(8)
        start, length = Signal.like(write), Signal.like(self.length)
        flag, escape, escaped, spoilt, good = Signal(), Signal(), Signal(), Signal(), Signal()
        short, long = Signal(), Signal()
        decoded, low = Signal(8), Signal(8)
        # Step 0: take it.
        m.d.comb += self.i.ready.eq(idle)
        m.d.sync += [steps.eq(Cat(self.i.valid & idle, steps)), idle.eq((idle & ~self.i.valid) | steps[3])]
        with m.If(idle):
            m.d.sync += byte.eq(self.i.payload)
        # Step 1: what it is, and what the bytes before it were.
        m.d.sync += [flag.eq(byte == FLAG), escape.eq(byte == ESCAPE), short.eq(length < SHORTEST), long.eq(length >= LONGEST)]
        # Step 2: of a flag, whether it ends a good frame; of others, what they stand for.
        m.d.sync += [
            good.eq(crc.match_detected & ~spoilt & ~escaped & ~short & lengths.w_rdy),
            decoded.eq(byte ^ Mux(escaped, ESCAPED, 0)),
        ]
        # Step 3: keep it.
        put, end = steps[2] & ~flag & ~escape, steps[2] & flag
        m.d.comb += [
            crc.data.eq(decoded), crc.valid.eq(put), crc.start.eq(end),
            memory.write_enable.eq(put & ~full), memory.write_address.eq(write[1:]),
            memory.write_data.eq(Cat(Mux(write[0], low, decoded), decoded)),
            lengths.w_data.eq(length), lengths.w_en.eq(end & good),
        ]
        with m.If(put):
            m.d.sync += [escaped.eq(0), low.eq(decoded), length.eq(length + 1), write.eq(write + 1)]
            with m.If(full | long):
                m.d.sync += [spoilt.eq(1), write.eq(write), length.eq(length)]
        with m.If(steps[2] & escape):
            m.d.sync += escaped.eq(1)
            with m.If(escaped):
                m.d.sync += spoilt.eq(1)
        # The next frame begins behind this one, or in its place.
        after = Signal.like(write)
        m.d.sync += after.eq(Cat(0, (write + 1)[1:]))
        with m.If(end):
            m.d.sync += [escaped.eq(0), spoilt.eq(0), length.eq(0), write.eq(start)]
            with m.If(good):
                m.d.sync += [write.eq(after), start.eq(after)]
        with m.If(self.error):
            m.d.sync += spoilt.eq(1)

    def _offer(self, m, memory, lengths, read) -> None:
        """The oldest frame's bytes, each fetched when the one before was taken."""
        opened, wait = Signal(), Signal(3)
        left = Signal(signed(len(self.length) + 1))
        m.d.comb += [memory.address.eq(read[1:]), self.o.payload.last.eq(left < 0), lengths.r_en.eq(~opened)]
        m.d.sync += wait.eq(wait << 1)
        with m.If(~opened):
            m.d.sync += [self.length.eq(lengths.r_data), left.eq(lengths.r_data - 2), opened.eq(lengths.r_rdy), wait.eq(lengths.r_rdy)]
        with m.If(wait[2]):
            m.d.sync += [self.o.payload.data.eq(memory.data.word_select(read[0], 8)), self.o.valid.eq(1)]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [self.o.valid.eq(0), read.eq(read + 1), left.eq(left - 1), wait.eq(1)]
            with m.If(left < 0):
                m.d.sync += [opened.eq(0), read.eq(Cat(0, read[1:] + 1)), wait.eq(0)]


class FrameTransmitter(wiring.Component):
    """Bytes of ``i``, up to and including ``last``, leave at ``o`` between two flags with their check behind them.

    A byte takes three cycles, four if it has to be escaped.
    """

    def __init__(self):
        super().__init__({"i": In(stream.Signature(FrameByte)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = crc32()
        byte, last, special = Signal(8), Signal(), Signal()
        check, left = Signal(8 * CHECK_BYTES), Signal(range(CHECK_BYTES + 1))
        m.d.comb += crc.data.eq(byte)
        m.d.sync += special.eq((byte == FLAG) | (byte == ESCAPE))
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.o.valid.eq(self.i.valid), self.o.payload.eq(FLAG), crc.start.eq(1)]
                m.d.sync += [left.eq(CHECK_BYTES), last.eq(0)]
                with m.If(self.i.valid & self.o.ready):
                    m.next = "TAKE"
            with m.State("TAKE"):
                with m.If(~last):
                    m.d.comb += self.i.ready.eq(1)
                    m.d.sync += [byte.eq(self.i.payload.data), last.eq(self.i.payload.last & self.i.valid)]
                    with m.If(self.i.valid):
                        m.next = "LOOK"
                with m.Elif(left == 0):
                    m.next = "END"
                with m.Else():
                    m.d.sync += [byte.eq(check[:8]), check.eq(check >> 8), left.eq(left - 1)]
                    m.next = "LOOK"
            with m.State("LOOK"):
                m.d.comb += crc.valid.eq(left == CHECK_BYTES)
                m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(Mux(special, ESCAPE, byte))]
                with m.If(left == CHECK_BYTES):
                    m.d.sync += check.eq(crc.crc)
                with m.If(self.o.ready):
                    m.next = "TAKE"
                    with m.If(special):
                        m.next = "ESCAPED"
            with m.State("ESCAPED"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(byte ^ ESCAPED)]
                with m.If(self.o.ready):
                    m.next = "TAKE"
            with m.State("END"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(FLAG)]
                with m.If(self.o.ready):
                    m.next = "IDLE"
        return m
