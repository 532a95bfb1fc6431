"""Requantisation: from an int32 accumulator to a byte, TensorFlow Lite's double rounding bit for bit.

    x = (acc + bias) * 2^max(shift, 0)    int32, which wraps around
    h = (x * M + 2^30) >> 31              ties toward +infinity (SaturatingRoundingDoublingHighMul)
    y = h / 2^max(-shift, 0)              ties away from zero (RoundingDivideByPOT)
    byte = clamp(y + zero_point, lo, hi)

The names in brackets are gemmlowp's.
"""

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from narrows.errors import Unfit
from narrows.hw.arithmetic.ports import ChannelConstants, OutputRange
from narrows.hw.config import ACCUMULATOR_BITS, BIAS_BITS, MULTIPLIER_BITS
from narrows.hw.parts.delay import delayed
from narrows.hw.parts.multiplier import Multiplier

#: Shifts of a channel (TensorFlow Lite's, positive is left) that the hardware computes; a compiler refuses others.
MIN_SHIFT, MAX_SHIFT = -31, 1

#: Bits of a shift to the right, 0..31.
_AMOUNT_BITS = 5


class RoundingShift(wiring.Component):
    """``o`` is ``i / 2**amount``, rounded to nearest with ties away from zero; a new value every cycle.

    ``i`` is signed (``i_width`` bits). ``amount`` (0..31) comes **one cycle before** the ``i`` it belongs to.
    ``o`` is signed (``o_width`` bits), ``LATENCY`` cycles after ``i``: exact if the quotient rounded down fits one bit
    less; beyond, the number next to that range's end (a clamp inside the range sees no difference).
    Nothing saturates if ``o_width > i_width``. The registers have no reset.
    """

    LATENCY = 3

    def __init__(self, *, i_width: int, o_width: int):
        if not 2 <= o_width <= i_width + 1:
            raise ValueError(f"A rounding shift of {i_width} bits gives 2..{i_width + 1} bits, not {o_width}.")
        self._quotient_bits = o_width - 1
        super().__init__({
            "i": In(signed(i_width)),
            "amount": In(_AMOUNT_BITS),
            "o": Out(signed(o_width)),
        })

    def elaborate(self, platform):
        m = Module()
        bits = self._quotient_bits

        # Cycle -1: the amount is 4 * coarse + fine; which nibbles a coarse shift drops, one bit each.
        coarse, fine, drops = Signal(3, reset_less=True), Signal(2, reset_less=True), Signal(7, reset_less=True)
        m.d.sync += [
            Cat(fine, coarse).eq(self.amount),
            drops.eq(Cat(self.amount[2:] > nibble for nibble in range(len(drops)))),
        ]

        # Cycle 0: coarse shift of i with one bit (the guard) appended below. Of the bits that leave the window it is
        # enough to know whether one below was set, and whether one above differed from the sign.
        extended = Cat(C(0, 1), self.i)
        window = Signal(signed(bits + 4), reset_less=True)
        below, above, negative = (Signal(reset_less=True) for _ in range(3))
        first_above = len(window)
        nibbles_above = [extended[at : at + 4] for at in range(first_above, len(extended), 4)]
        m.d.sync += [
            window.eq(extended.as_signed() >> Cat(C(0, 2), coarse)),
            below.eq(Cat(extended[4 * n : 4 * n + 4].any() & dropped for n, dropped in enumerate(drops)).any()),
            above.eq(
                Cat(
                    Mux(self.i[-1], ~nibble.all(), nibble.any()) & ~(drops[n] if n < len(drops) else 0)
                    for n, nibble in enumerate(nibbles_above)
                ).any()
            ),
            negative.eq(self.i[-1]),
        ]

        # Cycle 1: fine shift. Half or more rounds up, except a tie of a negative number.
        shifted = Signal(signed(len(window)))
        sticky = Signal()
        quotient = Signal(signed(bits), reset_less=True)
        up, overflow, sign = (Signal(reset_less=True) for _ in range(3))
        last_fine = delayed(m, fine, 1)
        m.d.comb += [
            shifted.eq(window >> last_fine),
            sticky.eq(below | Cat(window[n] & (last_fine > n) for n in range(3)).any()),
        ]
        m.d.sync += [
            quotient.eq(shifted[1:]),
            up.eq(shifted[0] & (sticky | ~negative)),
            overflow.eq(above | Mux(negative, ~shifted[bits:].all(), shifted[bits:].any())),
            sign.eq(negative),
        ]

        # Cycle 2: saturate and round.
        limit = Cat(sign.replicate(bits - 1) ^ ((1 << (bits - 1)) - 1), sign).as_signed()
        rounded = Signal(signed(bits + 1), reset_less=True)
        m.d.sync += rounded.eq(Mux(overflow, limit, quotient) + up)
        m.d.comb += self.o.eq(rounded)
        return m


class Requantise(wiring.Component):
    """One lane of requantisation: one accumulator per cycle, a feed-forward pipeline of ``LATENCY`` cycles.

    ``acc`` (signed 32, without the bias) and ``constants`` are taken in every cycle with ``valid``; the byte of it is
    on ``o`` in the cycle ``o_valid`` is high, ``LATENCY`` cycles later. There is no back-pressure.
    ``constants``: bias in 32 bits (the sum wraps around as an int32), multiplier 0..2^31-1, normalised or not,
    shift ``MIN_SHIFT``..``MAX_SHIFT``. ``range`` belongs to the ``acc`` of ``RANGE_DELAY`` cycles before; any signed
    9-bit ``zero_point`` and ``lo <= hi`` will do. ``o`` is the byte as a pattern of bits, int8 or uint8 alike.
    """

    LATENCY = Multiplier.LATENCY + RoundingShift.LATENCY + 6
    RANGE_DELAY = LATENCY - 3

    def __init__(self):
        super().__init__({
            "valid": In(1),
            "acc": In(signed(ACCUMULATOR_BITS)),
            "constants": In(ChannelConstants),
            "range": In(OutputRange),
            "o": Out(8),
            "o_valid": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.product = product = Multiplier(a_width=ACCUMULATOR_BITS, b_width=MULTIPLIER_BITS)
        # Of y the ten bits -512..511 decide a clamp of y plus or minus 256 within -256..255.
        m.submodules.divide = divide = RoundingShift(i_width=ACCUMULATOR_BITS, o_width=11)
        travelling = Signal(self.LATENCY)
        m.d.sync += travelling.eq(Cat(self.valid, travelling))
        m.d.comb += self.o_valid.eq(travelling[-1])

        # Cycle 0: the bias; the shift is split into a bit for left and an amount for right.
        shift = self.constants.shift
        biased = Signal(signed(ACCUMULATOR_BITS), reset_less=True)
        left, right = Signal(reset_less=True), Signal(_AMOUNT_BITS, reset_less=True)
        m.d.sync += [
            biased.eq(self.acc + self.constants.bias),
            left.eq(shift > 0),
            right.eq(Mux(shift < 0, -shift, 0)),
        ]

        # Cycle 1: the shift to the left.
        x = Signal(signed(ACCUMULATOR_BITS), reset_less=True)
        m.d.sync += x.eq(Mux(left, biased << 1, biased))

        # Cycles 2 to 7: the product.
        m.d.comb += [product.a.eq(x), product.b.eq(delayed(m, self.constants.multiplier, 2))]

        # Cycle 8: the first rounding.
        high = Signal(signed(ACCUMULATOR_BITS), reset_less=True)
        m.d.sync += high.eq((product.o >> 31) + product.o[30])

        # Cycles 9 to 11: the second one. Its amount is due a cycle early.
        m.d.comb += [divide.i.eq(high), divide.amount.eq(delayed(m, right, 1 + product.LATENCY))]

        # Cycles 12 to 14: to a byte within the range, which is taken here.
        m.d.comb += self.o.eq(clamped_byte(m, divide.o, self.range))
        return m


def clamped_byte(m: Module, value: Value, output: data.View) -> Signal:
    """``clamp(value + zero_point, lo, hi)`` of ``value`` (signed, 11 bits) three cycles later; ``output`` is an
    :data:`~narrows.hw.arithmetic.ports.OutputRange`, taken with ``value``."""
    # Cycle 0: the zero point. The range travels on.
    total = Signal(signed(12), reset_less=True)
    m.d.sync += total.eq(value + output.zero_point)
    lo, hi = delayed(m, output.lo, 1), delayed(m, output.hi, 1)

    # Cycle 1: compare with both limits.
    low, high_side, byte = Signal(reset_less=True), Signal(reset_less=True), Signal(8, reset_less=True)
    m.d.sync += [low.eq(total < lo), high_side.eq(total > hi), byte.eq(total)]

    # Cycle 2: choose.
    clamped = Signal(8, reset_less=True)
    m.d.sync += clamped.eq(Mux(low, delayed(m, lo, 1), Mux(high_side, delayed(m, hi, 1), byte)))
    return clamped


def channel_constants(*, bias: int, multiplier: int, shift: int) -> dict[str, int]:
    """Checked values of :data:`~narrows.hw.arithmetic.ports.ChannelConstants` (``Unfit`` where the hardware is too small)."""
    if not -(1 << (BIAS_BITS - 1)) <= bias < 1 << (BIAS_BITS - 1):
        raise Unfit(f"A bias of {bias} does not fit {BIAS_BITS} bits.")
    if not 0 <= multiplier < 1 << MULTIPLIER_BITS:
        raise Unfit(f"A multiplier of {multiplier} does not fit {MULTIPLIER_BITS} bits.")
    if not MIN_SHIFT <= shift <= MAX_SHIFT:
        raise Unfit(f"A shift of {shift} is outside {MIN_SHIFT}..{MAX_SHIFT}.")
    return {"bias": bias, "multiplier": multiplier, "shift": shift}


def output_range(*, zero_point: int, lo: int, hi: int) -> dict[str, int]:
    """Checked values of :data:`~narrows.hw.arithmetic.ports.OutputRange`: a type's own numbers, int8 or uint8 (``Unfit``)."""
    if not -128 <= lo <= hi <= 255 or hi - lo > 255:
        raise Unfit(f"A range of {lo}..{hi} is not one of bytes.")
    if not -128 <= zero_point <= 255:
        raise Unfit(f"A zero point of {zero_point} is not a byte.")
    return {"zero_point": zero_point, "lo": lo, "hi": hi}
