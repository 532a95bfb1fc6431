"""Pipelined products of wide numbers, as requantisation needs them."""

from amaranth.hdl import Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.delay import delayed


class Multiplier(wiring.Component):
    """``o`` is ``a * b`` of ``LATENCY`` cycles ago, exact; a new pair every cycle.

    ``a`` is signed (``a_width`` bits, 2 or more), ``b`` unsigned (``b_width`` bits, 1 or more), ``o`` signed
    (``a_width + b_width`` bits). The registers have no reset.

    The behaviour is written as one product with registers behind it, which is the fast form to simulate but leaves
    the tools nothing to pipeline. A form for synthesis must have the same ports and the same latency: one cycle forms
    16 rows of two bits of a 31-bit factor each (radix 4), four cycles add them in pairs.
    """

    LATENCY = 5

    def __init__(self, *, a_width: int, b_width: int):
        if a_width < 2 or b_width < 1:
            raise ValueError(f"A product needs 2 bits of a and 1 of b or more, not {a_width} and {b_width}.")
        super().__init__({
            "a": In(signed(a_width)),
            "b": In(b_width),
            "o": Out(signed(a_width + b_width)),
        })

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(delayed(m, self.a * self.b, self.LATENCY))
        return m
