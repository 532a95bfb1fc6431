"""How the array forms and sums products: a strategy with one interface and one latency."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.dsp import DspMultiplier

#: Cycles from operands at the ports to their sum.
LATENCY = 4


def sum_bits(group: int) -> int:
    """Bits of a signed sum of ``group`` products of 9-bit signed factors."""
    return 17 + (group - 1).bit_length() + 1


class DirectProducts(wiring.Component):
    """Sum of ``group`` products of 9-bit signed ``a`` and ``b``, one multiplier each, exact, ``LATENCY`` cycles."""

    def __init__(self, *, group: int):
        self._group = group
        super().__init__({
            "a": In(data.ArrayLayout(signed(9), group)),
            "b": In(data.ArrayLayout(signed(9), group)),
            "o": Out(signed(sum_bits(group))),
        })

    def elaborate(self, platform):
        m = Module()
        # Cycles 1 and 2: products.
        products = []
        for channel in range(self._group):
            m.submodules[f"multiplier{channel}"] = multiplier = DspMultiplier(a_width=9, b_width=9)
            m.d.comb += [multiplier.a.eq(self.a[channel]), multiplier.b.eq(self.b[channel])]
            products.append(multiplier.o)
        # Cycle 3: sums of four. Cycle 4: their sum.
        fours = []
        for start in range(0, self._group, 4):
            four = Signal(signed(20), name=f"four{start}", reset_less=True)
            m.d.sync += four.eq(sum(products[start + 2 : start + 4], sum(products[start + 1 : start + 2], products[start])))
            fours.append(four)
        m.d.sync += self.o.eq(sum(fours[1:], fours[0]))
        return m


#: What ``EngineConfig.products`` may name.
STRATEGIES = {"direct": DirectProducts}
