"""The residual: TensorFlow Lite's ADD of a projected word and its shortcut, bit for bit.

    y1 = MBQM((a - z1) << 20, m1, s1)           the projected byte
    y2 = MBQM((b - z2) << 20, m2, s2)           the shortcut
    byte = clamp(MBQM(y1 + y2, mo, so) + zero_point, lo, hi)

MBQM is the multiplication with two roundings of :mod:`narrows.hw.requantise`. A difference of bytes has nine bits, so
the first two are small products: ``((d << 20) * m + 2^30) >> 31`` is ``(d * m + 2^10) >> 11``.
"""

from collections.abc import Mapping

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from narrows.hw.config import ACCUMULATOR_BITS, MULTIPLIER_BITS, SHIFT_BITS, EngineConfig
from narrows.hw.delay import delayed
from narrows.hw.multiplier import Multiplier
from narrows.hw.ports import OutputRange
from narrows.hw.requantise import MAX_SHIFT, MIN_SHIFT, Requantise, RoundingShift, output_range
from narrows.network import Add, NarrowsError

#: Shifts of the two inputs: the larger input's factor is a half, so never to the left.
MIN_INPUT_SHIFT, MAX_INPUT_SHIFT = -31, 0

#: What the residual of a block needs. ``enable`` 0: projected words pass unchanged. ``signed``: bytes are int8, not
#: uint8. 1: the projected word, 2: the shortcut. ``z1``, ``z2``: zero points in the type's range; ``m1``, ``m2``,
#: ``mo``: 0..2^31-1; ``s1``, ``s2``: -31..0; ``so``: -31..1, TensorFlow Lite's shifts, positive is left.
ResidualFields = data.StructLayout({
    "enable": 1,
    "signed": 1,
    "z1": signed(9),
    "z2": signed(9),
    "m1": MULTIPLIER_BITS,
    "m2": MULTIPLIER_BITS,
    "mo": MULTIPLIER_BITS,
    "s1": signed(SHIFT_BITS),
    "s2": signed(SHIFT_BITS),
    "so": signed(SHIFT_BITS),
    "range": OutputRange,
})

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

    ``config.residual_lanes`` sums per cycle: a word takes ``word_cycles`` cycles, words back to back lose none, and
    back-pressure loses nothing (words start only while the output queue has room for them). Latency from the
    first cycle a word is on ``i`` to the first it is on ``o``: ``latency`` cycles. Without ``enable`` a word takes
    one cycle and appears ``BYPASS_LATENCY`` cycles later.

    ``fields`` may change only while ``busy`` is low and no word is offered on ``i``: ``busy`` is high from the cycle
    after a word's start until the cycle after it has been taken from ``o``.
    """

    BYPASS_LATENCY = 2

    def __init__(self, *, config: EngineConfig, tag_width: int):
        if tag_width < 1:
            raise ValueError(f"tag_width must be 1 bit or more, not {tag_width}.")
        self._lanes = config.residual_lanes
        self.word_cycles = config.group // config.residual_lanes
        self.latency = self.word_cycles + 1 + ResidualLane.LATENCY + self.BYPASS_LATENCY
        # A word holds its place from its start to the cycle after it is taken.
        self._depth = -(-(self.latency + 1) // self.word_cycles)
        bits = 8 * config.group
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"a": bits, "b": bits, "tag": tag_width}))),
            "o": Out(stream.Signature(data.StructLayout({"data": bits, "tag": tag_width}))),
            "fields": In(ResidualFields),
            "busy": Out(1),
        })

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

        # Each cycle one part of the word on offer; it is taken with its last part.
        part = Signal(range(self.word_cycles))
        first, last, go = Signal(), Signal(), Signal()
        m.d.comb += [
            first.eq(part == 0),
            last.eq((part == self.word_cycles - 1) | ~enable),
            self.i.ready.eq(last & (~first | some)),
            go.eq(self.i.valid & (~first | some)),
            started.eq(go & first),
            tags.w_en.eq(go & last),
            tags.w_data.eq(self.i.p.tag),
        ]
        with m.If(go & enable):
            m.d.sync += part.eq(Mux(last, 0, part + 1))

        # The lanes' parts of a word gather from the top down to its bottom bits.
        lanes = [ResidualLane() for _ in range(self._lanes)]
        going = delayed(m, go & enable, 1, name="going", reset_less=False)
        for n, lane in enumerate(lanes):
            m.submodules[f"lane{n}"] = lane
            m.d.comb += [
                lane.valid.eq(going),
                lane.a.eq(delayed(m, self.i.p.a.word_select(part * self._lanes + n, 8), 1, name=f"a{n}")),
                lane.b.eq(delayed(m, self.i.p.b.word_select(part * self._lanes + n, 8), 1, name=f"b{n}")),
                lane.fields.eq(self.fields),
            ]
        gathered = Signal(bits, reset_less=True)
        parts = Signal(range(self.word_cycles))
        complete = Signal()
        with m.If(lanes[0].o_valid):
            m.d.sync += gathered.eq(Cat(gathered, *(lane.o for lane in lanes))[8 * self._lanes :])
            m.d.sync += parts.eq(Mux(parts == self.word_cycles - 1, 0, parts + 1))
        m.d.sync += complete.eq(lanes[0].o_valid & (parts == self.word_cycles - 1))

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


def residual_fields(layer: Add, *, a_index: int = 0) -> dict[str, int | Mapping[str, int]]:
    """The values of :data:`ResidualFields` for ``layer``; ``layer.inputs[a_index]`` is the projected tensor.

    Raises :class:`~narrows.network.NarrowsError` for what the hardware can't compute exactly.
    """
    if a_index not in (0, 1):
        raise ValueError(f"An addition has inputs 0 and 1, no {a_index}.")
    where = f"Operator {layer.op} ({layer.name})"
    for tensor in (*layer.inputs, layer.output):
        if tensor.dtype != layer.output.dtype:
            raise NarrowsError(f"{where} adds {tensor.dtype} ({tensor.name}) into {layer.output.dtype}; it needs one type.")
        lowest = -128 if tensor.dtype == "int8" else 0
        if not lowest <= tensor.zero_point <= lowest + 255:
            raise NarrowsError(f"{where}: the zero point {tensor.zero_point} of {tensor.name} is no {tensor.dtype}.")
    inputs = ((layer.inputs[0], layer.m1), (layer.inputs[1], layer.m2))
    (a, (m1, s1)), (b, (m2, s2)) = inputs[a_index], inputs[1 - a_index]
    mo, so = layer.mo
    limits = (MIN_INPUT_SHIFT, MAX_INPUT_SHIFT)
    for name, multiplier, shift, (least, most) in (
        (a.name, m1, s1, limits),
        (b.name, m2, s2, limits),
        (layer.output.name, mo, so, (MIN_SHIFT, MAX_SHIFT)),
    ):
        if not 0 <= multiplier < 1 << MULTIPLIER_BITS:
            raise NarrowsError(f"{where}: the multiplier {multiplier} of {name} is not within 0..2^31-1 (a subtraction?).")
        if not least <= shift <= most:
            raise NarrowsError(f"{where}: the shift {shift} of {name} is outside {least}..{most}: its scale is out of proportion.")
    try:
        limit = output_range(zero_point=int(layer.zero_point), lo=int(layer.lo), hi=int(layer.hi))
    except ValueError as error:
        raise NarrowsError(f"{where}: {error}") from error
    return {
        "enable": 1,
        "signed": int(layer.output.dtype == "int8"),
        "z1": int(a.zero_point),
        "z2": int(b.zero_point),
        "m1": int(m1),
        "m2": int(m2),
        "mo": int(mo),
        "s1": int(s1),
        "s2": int(s2),
        "so": int(so),
        "range": limit,
    }
