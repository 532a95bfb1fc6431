"""The residual: TensorFlow Lite's ADD of a projected word and its shortcut, bit for bit.

    y1 = MBQM((a - z1) << 20, m1, s1)           the projected byte
    y2 = MBQM((b - z2) << 20, m2, s2)           the shortcut
    byte = clamp(MBQM(y1 + y2, mo, so) + zero_point, lo, hi)

MBQM is the multiplication with two roundings of :mod:`narrows.hw.arithmetic.requantise`. A difference of bytes has nine bits, so
the first two are small products: ``((d << 20) * m + 2^30) >> 31`` is ``(d * m + 2^10) >> 11``.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from narrows.hw.arithmetic.requantise import Requantise, RoundingShift
from narrows.hw.config import ACCUMULATOR_BITS, MULTIPLIER_BITS, SHIFT_BITS, SUM_TURNS, EngineConfig
from narrows.hw.parts.delay import delayed
from narrows.hw.parts.multiplier import Multiplier
from narrows.hw.writeback.residual_fields import ResidualFields
from narrows.hw.writeback.residual_turns import ResidualTurns

#: Bits of a scaled input: 9 of the difference, 20 of the shift.
_SCALED_BITS = 29


class ScaledDifference(wiring.Component):
    """``o`` is ``MBQM((byte - zero_point) << 20, multiplier, shift)``; a new byte every cycle, ``LATENCY`` cycles.

    ``byte`` is int8 if ``signed``, else uint8; ``zero_point`` a number of the same type; ``shift`` -31..0; all but
    the byte must stay while bytes are in flight. ``o`` is signed and within +-2^28.
    """

    LATENCY = Multiplier.LATENCY + RoundingShift.LATENCY + 2

    def __init__(self):
        super().__init__({
            "byte": In(8),
            "signed": In(1),
            "zero_point": In(signed(9)),
            "multiplier": In(MULTIPLIER_BITS),
            "shift": In(signed(SHIFT_BITS)),
            "o": Out(signed(_SCALED_BITS + 1)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.product = product = Multiplier(a_width=9, b_width=MULTIPLIER_BITS)
        m.submodules.divide = divide = RoundingShift(i_width=_SCALED_BITS, o_width=_SCALED_BITS + 1)

        # Cycle 0: the difference.
        value = Cat(self.byte, self.byte[-1] & self.signed).as_signed()
        difference = Signal(signed(9), reset_less=True)
        m.d.sync += difference.eq(value - self.zero_point)

        # Cycles 1 to 6: the product.
        m.d.comb += [product.a.eq(difference), product.b.eq(self.multiplier)]

        # Cycle 7: the first rounding.
        high = Signal(signed(_SCALED_BITS), reset_less=True)
        m.d.sync += high.eq((product.o >> 11) + product.o[10])

        # Cycles 8 to 10: the second one.
        m.d.comb += [divide.i.eq(high), divide.amount.eq(-self.shift), self.o.eq(divide.o)]
        return m


class ResidualLane(wiring.Component):
    """One residual sum per cycle: ``o`` in the cycle of ``o_valid``, ``LATENCY`` cycles after ``a``, ``b`` and ``valid``.

    ``a`` and ``b`` are bytes of the projected word and of the shortcut. No back-pressure; ``fields`` must stay while
    bytes are in flight.
    """

    LATENCY = ScaledDifference.LATENCY + 1 + Requantise.LATENCY

    def __init__(self):
        super().__init__({
            "valid": In(1),
            "a": In(8),
            "b": In(8),
            "fields": In(ResidualFields),
            "o": Out(8),
            "o_valid": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        f = self.fields
        m.submodules.projected = projected = ScaledDifference()
        m.submodules.shortcut = shortcut = ScaledDifference()
        m.submodules.requantise = requantise = Requantise()
        arriving = Signal(ScaledDifference.LATENCY)
        m.d.sync += arriving.eq(Cat(self.valid, arriving))

        # Cycles 0 to 10: both inputs.
        for unit, byte, number in (projected, self.a, 1), (shortcut, self.b, 2):
            m.d.comb += [
                unit.byte.eq(byte),
                unit.signed.eq(f.signed),
                unit.zero_point.eq(f[f"z{number}"]),
                unit.multiplier.eq(f[f"m{number}"]),
                unit.shift.eq(f[f"s{number}"]),
            ]

        # Cycle 11: their sum.
        total = Signal(signed(ACCUMULATOR_BITS), reset_less=True)
        summed = Signal()
        m.d.sync += [total.eq(projected.o + shortcut.o), summed.eq(arriving[-1])]

        # Cycles 12 to 26: to a byte.
        m.d.comb += [
            requantise.valid.eq(summed),
            requantise.acc.eq(total),
            requantise.constants.multiplier.eq(f.mo),
            requantise.constants.shift.eq(f.so),
            requantise.range.eq(f.range),
            self.o.eq(requantise.o),
            self.o_valid.eq(requantise.o_valid),
        ]
        return m


class ResidualAdd(wiring.Component):
    """Adds shortcut words to projected words of ``config.group`` channels; the stream of a block without residual passes.

    Stream ``i`` has ``a`` (the projected word), ``b`` (the shortcut, ignored without ``enable``), channel 0 lowest, and
    ``tag`` (``tag_width`` bits, 1 or more), which comes out unchanged beside the word's ``data`` on stream ``o``.

    With lanes, ``config.residual_lanes`` sums per cycle, else a sum in some cycles: a word takes ``config.sum_cycles`` cycles, words back
    to back lose none, and back-pressure loses nothing (words start only while the output queue has room for them). Latency from the
    first cycle a word is on ``i`` to the first it is on ``o``: ``latency(config)`` cycles; without lanes, only if the word before has
    left or comes just before, else up to eight more. Without ``enable`` a word takes one cycle and appears ``BYPASS_LATENCY`` cycles later.

    ``fields`` may change only while ``busy`` is low and no word is offered on ``i``: ``busy`` is high from the cycle
    after a word's start until the cycle after it has been taken from ``o``.
    """

    BYPASS_LATENCY = 2

    def __init__(self, *, config: EngineConfig, tag_width: int):
        if tag_width < 1:
            raise ValueError(f"tag_width must be 1 bit or more, not {tag_width}.")
        self._lanes, self._parts = config.residual_lanes, config.group // (config.residual_lanes or 1)
        # A word holds its place from its start to the cycle after it is taken. A few more keep words without a sum going.
        self._depth = max(-(-(self.latency(config) + 1) // config.sum_cycles), self.BYPASS_LATENCY + 1)
        bits = 8 * config.group
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"a": bits, "b": bits, "tag": tag_width}))),
            "o": Out(stream.Signature(data.StructLayout({"data": bits, "tag": tag_width}))),
            "fields": In(ResidualFields),
            "busy": Out(1),
        })

    @classmethod
    def latency(cls, config: EngineConfig) -> int:
        """Cycles from a word's first on ``i`` to its first on ``o``, with ``enable``."""
        if config.residual_lanes:
            return config.sum_cycles + 1 + ResidualLane.LATENCY + cls.BYPASS_LATENCY
        return config.sum_cycles - SUM_TURNS + 1 + ResidualTurns.LATENCY + cls.BYPASS_LATENCY

    def elaborate(self, platform):
        m = Module()
        enable = self.fields.enable
        bits = len(self.o.p.data)
        m.submodules.words = words = SyncFIFOBuffered(width=bits, depth=self._depth)
        m.submodules.tags = tags = SyncFIFOBuffered(width=len(self.o.p.tag), depth=self._depth)

        # Places in the queues: taken when a word starts, given back when it leaves.
        places = Signal(range(self._depth + 1), init=self._depth)
        started, left, some = Signal(), Signal(), Signal(init=1)
        after = Signal.like(places)
        m.d.sync += [places.eq(after), some.eq(after != 0)]
        m.d.comb += [after.eq(places - started + left), left.eq(self.o.valid & self.o.ready), self.busy.eq(places != self._depth)]

        # One part of the word on offer after another, each for a cycle or some; `go`: its last one. The word is taken with its last part.
        part = Signal(range(self._parts))
        first, last, go = Signal(), Signal(), Signal()
        m.d.comb += [
            first.eq(part == 0),
            last.eq((part == self._parts - 1) | ~enable),
        ]
        may = ~first | some
        if self._lanes:
            m.d.comb += [self.i.ready.eq(last & may), go.eq(self.i.valid & may), started.eq(go & first)]
        else:
            m.submodules.turns = turns = ResidualTurns()
            m.d.comb += [
                turns.start.eq(self.i.valid & may & enable), turns.fields.eq(self.fields),
                turns.a.eq(self.i.p.a.word_select(part, 8)), turns.b.eq(self.i.p.b.word_select(part, 8)),
                self.i.ready.eq(Mux(enable, last & turns.last, may)), go.eq(Mux(enable, turns.last, self.i.valid & may)),
                started.eq(Mux(enable, turns.start & turns.ready & first, go)),
            ]
        m.d.comb += [tags.w_en.eq(go & last), tags.w_data.eq(self.i.p.tag)]
        with m.If(go & enable):
            m.d.sync += part.eq(Mux(last, 0, part + 1))
        sums, summed = self._in_cycles(m, part, going=go & enable) if self._lanes else (turns.o, turns.o_valid)

        # The parts of a word gather from the top down to its bottom bits.
        gathered = Signal(bits, reset_less=True)
        parts = Signal(range(self._parts))
        complete = Signal()
        with m.If(summed):
            m.d.sync += gathered.eq(Cat(gathered, sums)[len(sums) :])
            m.d.sync += parts.eq(Mux(parts == self._parts - 1, 0, parts + 1))
        m.d.sync += complete.eq(summed & (parts == self._parts - 1))

        # Queues and output.
        m.d.comb += [
            words.w_en.eq(Mux(enable, complete, go)),
            words.w_data.eq(Mux(enable, gathered, self.i.p.a)),
            self.o.valid.eq(words.r_rdy),
            self.o.p.data.eq(words.r_data),
            self.o.p.tag.eq(tags.r_data),
            words.r_en.eq(left),
            tags.r_en.eq(left),
        ]
        return m

    def _in_cycles(self, m: Module, part: Value, *, going: Value) -> tuple[Value, Value]:
        """A part every cycle that is ``going``: the sums of its bytes, and whether they are there."""
        lanes = [ResidualLane() for _ in range(self._lanes)]
        going = delayed(m, going, 1, name="going", reset_less=False)
        for n, lane in enumerate(lanes):
            m.submodules[f"lane{n}"] = lane
            m.d.comb += [
                lane.valid.eq(going),
                lane.a.eq(delayed(m, self.i.p.a.word_select(part * self._lanes + n, 8), 1, name=f"a{n}")),
                lane.b.eq(delayed(m, self.i.p.b.word_select(part * self._lanes + n, 8), 1, name=f"b{n}")),
                lane.fields.eq(self.fields),
            ]
        return Cat(lane.o for lane in lanes), lanes[0].o_valid
