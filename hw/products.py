"""How the array forms and sums products: a strategy with one interface and one latency."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

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
        products = []
        for channel in range(self._group):
            # Cycle 1: the multiplier's input registers. Cycle 2: its output register.
            a = Signal(signed(9), name=f"a{channel}", reset_less=True)
            b = Signal(signed(9), name=f"b{channel}", reset_less=True)
            product = Signal(signed(18), name=f"product{channel}", reset_less=True)
            m.d.sync += [a.eq(self.a[channel]), b.eq(self.b[channel]), product.eq(a * b)]
            products.append(product)
        # Cycle 3: sums of four. Cycle 4: their sum.
        fours = []
        for start in range(0, self._group, 4):
            four = Signal(signed(20), name=f"four{start}", reset_less=True)
            m.d.sync += four.eq((products[start] + products[start + 1]) + (products[start + 2] + products[start + 3]))
            fours.append(four)
        m.d.sync += self.o.eq(sum(fours[1:], fours[0]))
        return m


#: What ``EngineConfig.products`` may name.
STRATEGIES = {"direct": DirectProducts}
