"""One multiplier of the chip: a product of two signed factors with registers on both sides."""

from amaranth.hdl import ClockSignal, Const, Instance, Module, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.parts.technology import is_ecp5

#: Bits of a factor that a MULT18X18D takes.
_BITS = 18


class DspMultiplier(wiring.Component):
    """``o`` is ``a * b`` of ``LATENCY`` cycles ago, all signed; a new pair every cycle, no reset.

    On an ECP5 a MULT18X18D with its input and output registers: without them it is the slowest thing in the chip.
    """

    LATENCY = 2

    def __init__(self, *, a_width: int, b_width: int):
        if not (2 <= a_width <= _BITS and 2 <= b_width <= _BITS):
            raise ValueError(f"A multiplier takes signed factors of 2 to {_BITS} bits, not {a_width} and {b_width}.")
        super().__init__({
            "a": In(signed(a_width)),
            "b": In(signed(b_width)),
            "o": Out(signed(a_width + b_width)),
        })

    def elaborate(self, platform):
        m = Module()
        if is_ecp5(platform):
            product = Signal(signed(2 * _BITS))
            m.submodules.multiplier = mult18x18d(self.a, self.b, product)
            m.d.comb += self.o.eq(product)
            return m
        # Cycle 1: the multiplier's input registers. Cycle 2: its output register.
        a, b, product = (Signal.like(port, reset_less=True) for port in (self.a, self.b, self.o))
        m.d.sync += [a.eq(self.a), b.eq(self.b), product.eq(a * b)]
        m.d.comb += self.o.eq(product)
        return m


def mult18x18d(a: Value, b: Value, product: Signal) -> Instance:
    """A MULT18X18D in the one mode used: both factors signed, registers at inputs and output, never held, never reset."""
    low = Const(0, 1)
    ports = {f"o_P{n}": product[n] for n in range(2 * _BITS)}
    for n in range(_BITS):
        # A factor's sign fills the upper bits.
        ports |= {f"i_A{n}": a[min(n, len(a) - 1)], f"i_B{n}": b[min(n, len(b) - 1)], f"i_C{n}": low}
    for n in range(4):
        ports |= {f"i_CLK{n}": low if n else ClockSignal(), f"i_CE{n}": Const(1, 1), f"i_RST{n}": low}
    parameters = {}
    for register, clock in (("INPUTA", "CLK0"), ("INPUTB", "CLK0"), ("INPUTC", "NONE"), ("PIPELINE", "NONE"), ("OUTPUT", "CLK0")):
        parameters |= {f"p_REG_{register}_CLK": clock, f"p_REG_{register}_CE": "CE0", f"p_REG_{register}_RST": "RST0"}
    return Instance(
        "MULT18X18D", **parameters, p_RESETMODE="SYNC", p_GSR="DISABLED",
        i_SIGNEDA=Const(1, 1), i_SIGNEDB=Const(1, 1), i_SOURCEA=low, i_SOURCEB=low, **ports,
    )
