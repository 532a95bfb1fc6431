"""A stream cut in two: what goes in and what comes out do not see each other in the same cycle."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class StreamRegister(wiring.Component):
    """Passes words of ``shape`` from ``i`` to ``o``, ``LATENCY`` cycle later, a word per cycle: valid, payload and ready are registers."""

    LATENCY = 1

    def __init__(self, shape):
        self._shape = shape
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        # One word in front, and one more that came in the cycle in which the front could not leave.
        kept, keeping = Signal(self._shape, reset_less=True), Signal()
        front = Signal(self._shape, reset_less=True)
        m.d.comb += [self.i.ready.eq(~keeping), self.o.payload.eq(front)]
        with m.If(~keeping):
            m.d.sync += kept.eq(self.i.payload)
        with m.If(self.o.ready | ~self.o.valid):
            m.d.sync += [self.o.valid.eq(self.i.valid | keeping), keeping.eq(0), front.eq(kept)]
            with m.If(~keeping):
                m.d.sync += front.eq(self.i.payload)
        with m.Elif(self.i.valid):
            m.d.sync += keeping.eq(1)
        return m
