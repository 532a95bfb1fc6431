"""How the array forms and sums products: a strategy with one interface and one latency."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.dsp import DspMultiplier

#: Cycles from operands at the ports to their sum.
LATENCY = 5


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
        # Cycle 3: sums of two. Cycle 4: of four. Cycle 5: of all.
        sums, bits = products, 18
        for level in ("two", "four"):
            bits += 1
            pairs = [sums[n : n + 2] for n in range(0, len(sums), 2)]
            sums = []
            for n, pair in enumerate(pairs):
                total = Signal(signed(bits), name=f"{level}{n}", reset_less=True)
                m.d.sync += total.eq(sum(pair[1:], pair[0]))
                sums.append(total)
        total = Signal(signed(sum_bits(self._group)), reset_less=True)
        m.d.sync += total.eq(sum(sums[1:], sums[0]))
        m.d.comb += self.o.eq(total)
        return m


#: What ``EngineConfig.products`` may name.
STRATEGIES = {"direct": DirectProducts}
