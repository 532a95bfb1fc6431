"""One block after another: descriptor in, units started, and on when all of them are done."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.config import EngineConfig
from narrows.hw.control.descriptor import descriptor_layout, descriptor_words
from narrows.hw.parts.delay import delayed

#: Cycles that every unit must be quiet before a block is over: longer than any unit takes to show that it is busy.
_QUIET = 8

#: Words of the descriptor that one copy of the shift's enable moves: what a wire reaches in a cycle.
_WORDS_A_COPY = 12


class Control(wiring.Component):
    """Shifts a descriptor in from ``i``, pulses ``start``, waits for ``quiet``, pulses ``block``; after the last, ``done``.

    ``descriptor`` is static from ``start`` to ``block``; units start a cycle later or more. ``start`` comes three cycles after a
    descriptor's last word was taken, ``block`` in the ``_QUIET + 1``-th cycle of quiet. ``done`` stays until the engine is reset
    for the next program.
    """

    def __init__(self, *, config: EngineConfig):
        self._config = config
        super().__init__({
            "i": In(stream.Signature(16)),
            "descriptor": Out(descriptor_layout(config)),
            "start": Out(1), "quiet": In(1), "block": Out(1), "done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        words = descriptor_words(self._config)
        left = Signal(range(words), init=words - 1)
        still = Signal(range(_QUIET + 1))
        m.d.comb += self.descriptor.eq(self._shift(m, words)[:self.descriptor.shape().size])
        m.d.sync += self.start.eq(0)
        with m.FSM():
            with m.State("DESCRIPTOR"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    m.d.sync += left.eq(left - 1)
                    with m.If(left == 0):
                        m.d.sync += left.eq(words - 1)
                        m.next = "SHIFT"
            with m.State("SHIFT"):
                m.next = "START"
            with m.State("START"):
                m.d.sync += [self.start.eq(1), still.eq(0)]
                m.next = "RUN"
            with m.State("RUN"):
                m.d.sync += still.eq(still + 1)
                with m.If(~self.quiet):
                    m.d.sync += still.eq(0)
                with m.Elif(still == _QUIET):
                    m.d.comb += self.block.eq(1)
                    with m.If(self.descriptor.flags.last):
                        m.next = "DONE"
                    with m.Else():
                        m.next = "DESCRIPTOR"
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
        return m

    def _shift(self, m: Module, words: int) -> Signal:
        """The descriptor's words, shifted down by one two cycles after one was taken from ``i``."""
        shift, word = Signal(16 * words, reset_less=True), delayed(m, self.i.payload, 2, name="word")
        taken = delayed(m, self.i.valid & self.i.ready, 1, name="taken", reset_less=False)
        after = Cat(shift, word)[16:]
        for first in range(0, words, _WORDS_A_COPY):
            # The descriptor's registers stand near what they tell, all over the chip.
            enable = Signal(name=f"enable{first}_dup")
            m.d.sync += enable.eq(taken)
            part = slice(16 * first, 16 * min(first + _WORDS_A_COPY, words))
            with m.If(enable):
                m.d.sync += shift[part].eq(after[part])
        return shift
