"""Queues: in block RAM, read through the RAM's output register, and short ones without."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from narrows.hw.parts.block_ram import BlockRam

#: Words on their way out of the RAM or waiting in front of ``o``: enough for a word per cycle.
AHEAD = 8


class Queue(wiring.Component):
    """First in, first out: ``depth`` words (a power of two) and a few more, a word per cycle each way.

    A word is on ``o`` ``LATENCY`` cycles after it was taken from ``i`` at the earliest.
    """

    LATENCY = 6

    def __init__(self, *, width: int, depth: int):
        if depth < 4 or depth & (depth - 1):
            raise ValueError(f"A queue holds a power of two of words, 4 or more, not {depth}.")
        self._width, self._depth = width, depth
        super().__init__({"i": In(stream.Signature(width)), "o": Out(stream.Signature(width))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.ram = ram = BlockRam(width=self._width, depth=self._depth)
        m.submodules.ahead = ahead = SyncFIFOBuffered(width=self._width, depth=AHEAD)
        taken, asked, left = Signal(), Signal(), Signal()
        m.d.comb += [taken.eq(self.i.valid & self.i.ready), left.eq(self.o.valid & self.o.ready)]

        # Cycle 0: a word goes into the RAM. Cycle 1: it is counted.
        write, level, full = Signal(range(self._depth)), Signal(range(self._depth + 1)), Signal()
        after = Signal.like(level)
        m.d.comb += [
            after.eq(level - asked), self.i.ready.eq(~full),
            ram.write_enable.eq(taken), ram.write_address.eq(write), ram.write_data.eq(self.i.payload),
        ]
        # Both answers are ready when `taken`, which comes from far, chooses one.
        m.d.sync += [
            write.eq(write + taken), level.eq(after + taken),
            full.eq(Mux(taken, level > self._depth - 3, level > self._depth - 2)),
        ]

        # Cycle 2: it is asked for, if it has a place in front of `o`. Cycle 4: it comes.
        read, places, some = Signal(range(self._depth)), Signal(range(AHEAD + 1), init=AHEAD), Signal()
        m.d.sync += [some.eq(after != 0), places.eq(places - asked + left), read.eq(read + asked)]
        m.d.comb += [asked.eq(some & (places != 0)), ram.address.eq(read)]
        coming = Signal(BlockRam.LATENCY)
        m.d.sync += coming.eq((coming << 1) | asked)
        m.d.comb += [
            ahead.w_data.eq(ram.data), ahead.w_en.eq(coming[-1]),
            self.o.payload.eq(ahead.r_data), self.o.valid.eq(ahead.r_rdy), ahead.r_en.eq(self.o.ready),
        ]
        return m


class ShortQueue(wiring.Component):
    """:class:`Queue` for up to 32 words, which are not worth a block RAM."""

    LATENCY = 2

    def __init__(self, *, width: int, depth: int):
        if not 4 <= depth <= 32 or depth & (depth - 1):
            raise ValueError(f"A short queue holds 4, 8, 16 or 32 words, not {depth}.")
        self._width, self._depth = width, depth
        super().__init__({"i": In(stream.Signature(width)), "o": Out(stream.Signature(width))})

    def elaborate(self, platform):
        m = Module()
        # One word more, in front of `o`.
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=self._width, depth=self._depth + 1)
        wiring.connect(m, wiring.flipped(self.i), fifo.w_stream)
        wiring.connect(m, fifo.r_stream, wiring.flipped(self.o))
        return m
