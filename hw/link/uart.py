"""An asynchronous serial port: a start bit, eight data bits from the lowest on, a stop bit; no parity, no flow control."""

from fractions import Fraction

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

#: A bit lasts a whole number of cycles, one more as often as the fraction says, which has so many bits.
_FRACTION_BITS = 8

#: Fewer cycles in a bit leave nothing of the tolerance: a sample lies within a cycle of where it should.
LEAST_CYCLES = 8


def _cycles(clock_hz: int, baud: int) -> Fraction:
    """Cycles in a bit."""
    if baud < 1 or clock_hz < LEAST_CYCLES * baud:
        raise ValueError(f"A bit must last {LEAST_CYCLES} cycles or more: a clock of {clock_hz} Hz is too slow for {baud} baud.")
    return Fraction(clock_hz, baud)


class _Bits:
    """Bits of so many ``cycles``: ``end`` is high in the last one of each. The first after :meth:`begin` is ``first`` bits long.

    Ends are off by half a cycle at most, and by what the fraction of a cycle was rounded by.
    """

    def __init__(self, m: Module, *, cycles: Fraction, first: Fraction):
        one = 1 << _FRACTION_BITS
        bit, end = round(cycles * one), round(first * cycles * one) + one // 2
        # The count runs down to -1: so many cycles less two.
        count = Signal(signed(bit.bit_length() - _FRACTION_BITS + 1))
        # The next bit's end in fractions of a cycle, and whether that bit is longer by a cycle.
        fraction, longer = Signal(_FRACTION_BITS), Signal()
        self.end = count < 0
        m.d.sync += count.eq(count - 1)
        with m.If(self.end):
            m.d.sync += [Cat(fraction, longer).eq(fraction + bit % one), count.eq(Mux(longer, bit // one - 1, bit // one - 2))]
        self._begin = [
            count.eq(end // one - 2), fraction.eq(end + bit), longer.eq((end + bit) // one - end // one - bit // one),
        ]

    def begin(self):
        """What starts the first bit in the next cycle."""
        return self._begin


class UartReceiver(wiring.Component):
    """Bytes that come in at ``rx``, which is not of this clock, with ``baud`` bits per second of ``clock_hz`` cycles.

    A byte is offered at ``o`` in the middle of its stop bit; it must be taken before the next one is complete. ``error`` is
    high for a cycle if a byte was lost for that reason or had no stop bit. Levels of a single cycle are not seen, and a
    start bit that is gone in its middle is none. Tolerates 2 % of difference between the clocks and edges that are early
    or late by an eighth of a bit, at 27 cycles in a bit and more. Four cycles from ``rx`` to the first one that matters.
    """

    def __init__(self, *, clock_hz: int, baud: int):
        self._cycles = _cycles(clock_hz, baud)
        super().__init__({"rx": In(1), "o": Out(stream.Signature(8)), "error": Out(1)})

    def elaborate(self, platform):
        m = Module()
        level, seen, line, last = Signal(), Signal(2, init=0b11), Signal(init=1), Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.rx, level, init=1)
        # The majority of three cycles.
        m.d.sync += [
            seen.eq(Cat(level, seen)),
            line.eq((level & seen[0]) | (level & seen[1]) | (seen[0] & seen[1])),
            last.eq(line),
        ]

        bits = _Bits(m, cycles=self._cycles, first=Fraction(1, 2))
        # Data bits enter at the top; the one that is put there first is at the bottom when all of them are in.
        busy, starting, shift = Signal(), Signal(), Signal(9)
        m.d.sync += self.error.eq(0)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(~busy & last & ~line):
            m.d.sync += [busy.eq(1), starting.eq(1), shift.eq(1 << 8), bits.begin()]
        with m.Elif(busy & bits.end):
            m.d.sync += starting.eq(0)
            with m.If(starting):
                m.d.sync += busy.eq(~line)
            with m.Elif(~shift[0]):
                m.d.sync += shift.eq(Cat(shift[1:], line))
            with m.Else():
                m.d.sync += busy.eq(0)
                with m.If(line & (~self.o.valid | self.o.ready)):
                    m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(shift[1:])]
                with m.Else():
                    m.d.sync += self.error.eq(1)
        return m


class UartTransmitter(wiring.Component):
    """Bytes of ``i`` leave at ``tx``, out of a register; a start bit begins in the cycle after its byte was taken.

    The next byte is taken a cycle after the stop bit at the earliest.
    """

    def __init__(self, *, clock_hz: int, baud: int):
        self._cycles = _cycles(clock_hz, baud)
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        bits = _Bits(m, cycles=self._cycles, first=Fraction(1))
        busy, shift, left = Signal(), Signal(10, init=(1 << 10) - 1), Signal(signed(5))
        m.d.comb += [self.i.ready.eq(~busy), self.tx.eq(shift[0])]
        with m.If(~busy & self.i.valid):
            m.d.sync += [busy.eq(1), shift.eq(Cat(0, self.i.payload, 1)), left.eq(8), bits.begin()]
        with m.Elif(busy & bits.end):
            m.d.sync += [shift.eq(Cat(shift[1:], 1)), left.eq(left - 1), busy.eq(left >= 0)]
        return m
