"""A stream cut in two: what goes in and what comes out do not see each other in the same cycle."""

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class StreamRegister(wiring.Component):
    """Passes words of ``shape`` from ``i`` to ``o``, ``LATENCY`` cycle later, a word per cycle: valid and ready are
    registers.

    ``decode``: from a payload to a list of bits. Then ``decoded`` has those of the word on offer, 0 if there is none: registers too, for
    whoever has to decide in a cycle what to do with words from many places.
    """

    LATENCY = 1

    def __init__(self, shape: Any, *, decode: Callable[[Any], list[Value]] | None = None):
        self._shape, self._decode = shape, decode
        bits = len(decode(Signal(shape))) if decode else 0
        super().__init__({
            "i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape)), **({"decoded": Out(bits)} if decode else {}),
        })

    def elaborate(self, platform):
        m = Module()
        # Two words in turn. What comes in looks at nothing that goes out, and the other way round.
        words = [Signal(self._shape, name=f"word{n}", reset_less=True) for n in range(2)]
        write, read, full = Signal(), Signal(), Signal()
        push, pop = self.i.valid & self.i.ready, self.o.valid & self.o.ready
        m.d.comb += [self.i.ready.eq(~full), self.o.payload.eq(Mux(read, words[1], words[0]))]
        # What takes a word may decide late: full and valid depend on it through one LUT each, not through a count.
        m.d.sync += [
            self.o.valid.eq(self.i.valid | full | (self.o.valid & ~self.o.ready)),
            full.eq(self.o.valid & ~self.o.ready & (self.i.valid | full)),
            write.eq(write ^ push), read.eq(read ^ pop),
        ]
        for n, word in enumerate(words):
            with m.If(self.i.ready & (write == n)):
                m.d.sync += word.eq(self.i.payload)
        if self._decode is not None:
            pushed, other = (Signal.like(self.decoded, name=name) for name in ("pushed", "other"))
            m.d.comb += [
                pushed.eq(Mux(push, Cat(self._decode(self.i.payload)), 0)),
                other.eq(Mux(read, Cat(self._decode(words[0])), Cat(self._decode(words[1])))),
            ]
            # After a word that leaves comes the second one, or the one that arrives.
            m.d.sync += self.decoded.eq(Mux(pop, Mux(full, other, pushed), Mux(self.o.valid, self.decoded, pushed)))
        return m
