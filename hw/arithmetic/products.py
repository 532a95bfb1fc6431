"""How the array forms and sums products: strategies with one interface, each with its latency.

A strategy is built for a ``group`` of channels, takes 9-bit signed factors ``a`` (a pixel's) and ``b`` (a channel's weights), and
``o`` is their sum of products, and for :class:`FastProducts` a constant more, ``LATENCY`` cycles later.
"""

from amaranth.hdl import Module, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.parts.delay import delayed
from narrows.hw.parts.dsp import DspMultiplier
from narrows.hw.parts.multiplier import FACTOR_BITS, FactorMultiplier


def factors(group: int) -> data.ArrayLayout:
    """``group`` 9-bit signed factors."""
    return data.ArrayLayout(signed(FACTOR_BITS), group)


def sum_bits(group: int) -> int:
    """Bits of a signed sum of ``group`` products of 9-bit signed factors, and of that with half as many products more."""
    return 17 + (group - 1).bit_length() + 1


def _sums(m: Module, values: list[Value], *, bits: int, names: tuple[str, ...]) -> Value:
    """The sum of signed ``values`` in ``bits`` bits: a level of sums of pairs per name but the last, which is the sum of all left.

    A cycle per name. Bits above ``bits`` are cut off on the way: sums wrap around, so the total is exact if it fits.
    """
    width = len(values[0])
    for name in names[:-1]:
        width = min(width + 1, bits)
        pairs = [values[n : n + 2] for n in range(0, len(values), 2)]
        values = []
        for n, pair in enumerate(pairs):
            total = Signal(signed(width), name=f"{name}{n}", reset_less=True)
            m.d.sync += total.eq(sum(pair[1:], pair[0]))
            values.append(total)
    total = Signal(signed(bits), name=names[-1], reset_less=True)
    m.d.sync += total.eq(sum(values[1:], values[0]))
    return total


class DirectProducts(wiring.Component):
    """``o`` is the sum of ``group`` products ``a * b``, one multiplier each, exact."""

    #: Cycles from factors to their sum.
    LATENCY = 5
    #: What the strategy wants to be told of a pixel's factors beside themselves: nothing.
    SHARED = None

    def __init__(self, *, group: int):
        self._group = group
        super().__init__({"a": In(factors(group)), "b": In(factors(group)), "o": Out(signed(sum_bits(group)))})

    def elaborate(self, platform):
        m = Module()
        # Cycles 1 and 2: products.
        products = []
        for channel in range(self._group):
            m.submodules[f"multiplier{channel}"] = multiplier = DspMultiplier(a_width=FACTOR_BITS, b_width=FACTOR_BITS)
            m.d.comb += [multiplier.a.eq(self.a[channel]), multiplier.b.eq(self.b[channel])]
            products.append(multiplier.o)
        # Cycle 3: sums of two. Cycle 4: of four. Cycle 5: of all.
        m.d.comb += self.o.eq(_sums(m, products, bits=len(self.o), names=("two", "four", "total")))
        return m


class PairProducts(wiring.Component):
    """``o`` is the sum of ``a[0] * a[1]``, ``a[2] * a[3]`` and so on, exact, ``LATENCY`` cycles later.

    Formed once for each pixel, in logic: the chip's multipliers are for products that a channel has for itself.
    """

    LATENCY = FactorMultiplier.LATENCY + 2

    def __init__(self, *, group: int):
        self._group = group
        super().__init__({"a": In(factors(group)), "o": Out(signed(sum_bits(group // 2)))})

    def elaborate(self, platform):
        m = Module()
        # Cycles 1 to 4: products.
        products = []
        for pair in range(self._group // 2):
            m.submodules[f"multiplier{pair}"] = multiplier = FactorMultiplier()
            m.d.comb += [multiplier.a.eq(self.a[2 * pair]), multiplier.b.eq(self.a[2 * pair + 1])]
            products.append(multiplier.o)
        # Cycle 5: sums of two. Cycle 6: of all.
        m.d.comb += self.o.eq(_sums(m, products, bits=len(self.o), names=("two", "total")))
        return m


class FastProducts(wiring.Component):
    """The fast inner product (Winograd's), two products from one multiplier, exact for all factors::

        a0 * b0 + a1 * b1 + b0 * b1 = (a0 + b1) * (a1 + b0) - a0 * a1

    ``o`` is the sum of ``group`` products ``a * b`` and of the ``b0 * b1`` of all pairs, which are a constant of the channel: the
    compiler takes them off its bias (``weight_pairs`` in sw/plan/constants.py). ``shared``: the sum of the ``a0 * a1`` of the same
    factors ``a``, ``SHARED.LATENCY`` cycles after them, the same for every channel.
    """

    LATENCY = 7
    #: What forms ``shared``, once for each pixel.
    SHARED = PairProducts

    def __init__(self, *, group: int):
        self._group = group
        super().__init__({
            "a": In(factors(group)), "b": In(factors(group)), "shared": In(signed(sum_bits(group // 2))), "o": Out(signed(sum_bits(group))),
        })

    def elaborate(self, platform):
        m = Module()
        products = []
        for pair in range(self._group // 2):
            # Cycle 1: sums of factors.
            left, right = (Signal(signed(FACTOR_BITS + 1), name=f"{name}{pair}", reset_less=True) for name in ("left", "right"))
            m.d.sync += [left.eq(self.a[2 * pair] + self.b[2 * pair + 1]), right.eq(self.a[2 * pair + 1] + self.b[2 * pair])]
            # Cycles 2 and 3: products.
            m.submodules[f"multiplier{pair}"] = multiplier = DspMultiplier(a_width=len(left), b_width=len(right))
            m.d.comb += [multiplier.a.eq(left), multiplier.b.eq(right)]
            products.append(multiplier.o)
        # Cycle 4: sums of two. Cycle 5: of four. Cycle 6: of all. Cycle 7: less what the pixel's channels share.
        total = _sums(m, products, bits=len(self.o), names=("two", "four", "total"))
        m.d.comb += self.o.eq(delayed(m, (total - self.shared)[: len(self.o)].as_signed(), 1, name="sum"))
        return m


#: What ``EngineConfig.products`` may name.
STRATEGIES = {"direct": DirectProducts, "fast": FastProducts}
