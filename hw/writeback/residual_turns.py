"""The residual of an engine that is short of logic: one narrow multiplier forms a sum's three products in turns."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.arithmetic.requantise import RoundingShift, clamped_byte
from narrows.hw.config import ACCUMULATOR_BITS, MULTIPLIER_BITS, SUM_TURNS
from narrows.hw.parts.multiplier import Multiplier
from narrows.hw.writeback.residual_fields import ResidualFields

#: Bits of a factor in a turn, lowest first; three turns make a product.
_PART_BITS = 12
#: Of a product, what lies above the two lower parts, and of that what the first rounding cuts off.
_ABOVE_BITS = ACCUMULATOR_BITS + _PART_BITS + 1
_CUT_BITS = MULTIPLIER_BITS - 2 * _PART_BITS
#: Bits of a scaled input: those of a difference, 20 of the shift, and one for rounding.
_SCALED_BITS = 30
#: Bits that decide a clamp within -256..255 of a number plus or minus 256, with the one above for rounding.
_CLAMPED_BITS = 11


class ResidualTurns(wiring.Component):
    """One residual sum of bytes every ``SUM_TURNS`` cycles: ``o`` in the cycle of ``o_valid``, ``LATENCY`` cycles after ``start``.

    ``start`` counts in cycles with ``ready`` and begins with a pair of bytes, ``a`` of the projected word and ``b`` of the shortcut,
    both of which must stay for ``SUM_TURNS`` cycles, to that with ``last``. No back-pressure. ``fields`` must stay while
    bytes are in flight. ``ready`` is high if there are none, and then every ``SUM_TURNS`` cycles.
    """

    LATENCY = 39

    def __init__(self):
        super().__init__({
            "ready": Out(1),
            "start": In(1),
            "last": Out(1),
            "a": In(8),
            "b": In(8),
            "fields": In(ResidualFields),
            "o": Out(8),
            "o_valid": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        f = self.fields
        m.submodules.product = product = Multiplier(a_width=ACCUMULATOR_BITS, b_width=_PART_BITS)
        m.submodules.divide = divide = RoundingShift(i_width=ACCUMULATOR_BITS, o_width=_SCALED_BITS)

        # Turns go round while a pair is in flight, each turn a bit. Below, cycles are those since its start, modulo SUM_TURNS a turn.
        # `flight`: whether pairs are in their first round, their second, and so on.
        turn, flight = Signal(SUM_TURNS, init=1), Signal(self.LATENCY // SUM_TURNS + 1)
        started = Signal()
        m.d.comb += [
            self.ready.eq(turn[0]), started.eq(self.start & turn[0]),
            self.last.eq(turn[-1] & flight[0]), self.o_valid.eq(turn[self.LATENCY % SUM_TURNS] & flight[-1]),
        ]
        with m.If(~turn[0] | started | flight.any()):
            m.d.sync += turn.eq(turn.rotate_left(1))
        with m.If(turn[0]):
            m.d.sync += flight.eq(Cat(started, flight))

        # Cycles 0 to 2 and 6 to 8: the difference of the projected byte, then of the shortcut.
        shortcut = turn[3:].any()
        byte = Mux(shortcut, self.b, self.a)
        difference = Signal(signed(9), reset_less=True)
        m.d.sync += difference.eq(Cat(byte, byte[-1] & f.signed).as_signed() - Mux(shortcut, f.z2, f.z1))

        # Cycles 1 to 3 and 7 to 9: both with 20 bits below, times m1 and m2. Cycles 22 to 24: the sum, times mo.
        total, summed = Signal(signed(ACCUMULATOR_BITS), reset_less=True), turn[4:7].any()
        m.d.comb += product.a.eq(Mux(summed, Mux(f.so > 0, total << 1, total), difference << 20))
        for first, factor in (1, f.m1), (4, f.mo), (7, f.m2):
            for n in range(3):
                with m.If(turn[(first + n) % SUM_TURNS]):
                    m.d.comb += product.b.eq(factor[n * _PART_BITS : (n + 1) * _PART_BITS])

        # Cycles 7 to 9, 13 to 15 and 28 to 30: the products of parts add up.
        above = Signal(signed(_ABOVE_BITS), reset_less=True)
        starting = turn[1] | turn[4] | turn[7]
        m.d.sync += above.eq(product.o + Mux(starting, 0, above >> _PART_BITS))

        # Cycles 10, 16 and 31: the first rounding. The amount of the second is due a cycle before.
        high = Signal(signed(ACCUMULATOR_BITS), reset_less=True)
        m.d.sync += high.eq((above >> _CUT_BITS) + above[_CUT_BITS - 1])
        shift = Mux(turn[1], f.s1, Mux(turn[7], f.s2, f.so))
        m.d.comb += [divide.i.eq(high), divide.amount.eq(Mux(shift < 0, -shift, 0))]

        # Cycles 11 to 13, 17 to 19, 32 to 34: the second rounding. Cycles 14 and 20: the projected one waits for the shortcut.
        projected = Signal(signed(_SCALED_BITS), reset_less=True)
        with m.If(turn[5]):
            m.d.sync += projected.eq(divide.o)
        with m.If(turn[2]):
            m.d.sync += total.eq(projected + divide.o)

        # Cycle 35: a number too large for a byte in any case becomes one that the clamp sees as such. Cycles 36 to 38: the clamp.
        y, far = divide.o, divide.o[_CLAMPED_BITS - 1 :]
        limit = Cat(y[-1].replicate(_CLAMPED_BITS - 1) ^ ((1 << (_CLAMPED_BITS - 1)) - 1), y[-1])
        near = Signal(signed(_CLAMPED_BITS), reset_less=True)
        m.d.sync += near.eq(Mux(far.all() | ~far.any(), y[:_CLAMPED_BITS], limit))
        m.d.comb += self.o.eq(clamped_byte(m, near, f.range))
        return m
