"""A stream cut in two: what goes in and what comes out do not see each other in the same cycle."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class StreamRegister(wiring.Component):
    """Passes words of ``shape`` from ``i`` to ``o``, ``LATENCY`` cycle later, a word per cycle: valid and ready are
    registers."""

    LATENCY = 1

    def __init__(self, shape):
        self._shape = shape
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        # Two words in turn. What comes in looks at nothing that goes out, and the other way round.
        words = [Signal(self._shape, name=f"word{n}", reset_less=True) for n in range(2)]
        write, read, count, after = Signal(), Signal(), Signal(2), Signal(2)
        push, pop = self.i.valid & self.i.ready, self.o.valid & self.o.ready
        m.d.comb += [after.eq(count + push - pop), self.o.payload.eq(Mux(read, words[1], words[0]))]
        full = Signal()
        m.d.comb += self.i.ready.eq(~full)
        m.d.sync += [
            count.eq(after), full.eq(after[1]), self.o.valid.eq(after != 0), write.eq(write ^ push), read.eq(read ^ pop),
        ]
        for n, word in enumerate(words):
            with m.If(self.i.ready & (write == n)):
                m.d.sync += word.eq(self.i.payload)
        return m
