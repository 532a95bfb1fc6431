"""Between the 16-bit words of external memory and the wider words of on-chip memory, low bytes first."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

#: Up to 2**24 words of 16 bits in a transfer.
COUNT_BITS = 25


def _check_group(group: int) -> None:
    if group < 4 or group & (group - 1):
        raise ValueError(f"A word must be a power of two of at least 4 bytes, not {group}.")


class WordPacker(wiring.Component):
    """Gathers ``words`` 16-bit words of ``i`` into words of ``group`` bytes at ``o``.

    ``start`` (one cycle, while ``done``) takes ``words`` (0 to 2**24); exactly so many are taken from ``i``. A last word that
    is not full goes out with old bytes at its upper end. A word comes out one cycle after its last part; 2 bytes per cycle
    are sustained if each word is taken within ``group / 2 - 1`` cycles. ``done``: nothing to take, nothing on offer.
    """

    def __init__(self, *, group: int):
        _check_group(group)
        self._lanes = group // 2
        super().__init__({
            "start": In(1),
            "words": In(COUNT_BITS),
            "done": Out(1),
            "i": In(stream.Signature(16)),
            "o": Out(stream.Signature(8 * group)),
        })

    def elaborate(self, platform):
        m = Module()
        # Less two, so that the sign tells the last word: -1, and -2 when there is none left.
        left = Signal(signed(COUNT_BITS + 1), init=-2)
        active, lane = Signal(), Signal(range(self._lanes))
        parts = [Signal(16, name=f"part{index}", reset_less=True) for index in range(self._lanes - 1)]
        # The next word is the last of all, or of a word of memory.
        closing = Signal()
        m.d.comb += [
            self.i.ready.eq(active & ~(closing & self.o.valid)),
            self.done.eq(~active & ~self.o.valid),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        # Whether a word comes is known late, so data does not wait for it: the place of the next one, and a word that is not on
        # offer, change all the time.
        for index, part in enumerate(parts):
            with m.If(lane == index):
                m.d.sync += part.eq(self.i.payload)
        with m.If(~self.o.valid):
            m.d.sync += self.o.payload.eq(Cat(*parts, self.i.payload))
            for index in range(self._lanes - 1):
                with m.If(lane == index):
                    m.d.sync += self.o.payload[16 * index : 16 * index + 16].eq(self.i.payload)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                lane.eq(Mux(closing, 0, lane + 1)), left.eq(left - 1), active.eq(~left[-1]),
                closing.eq((left == 0) | (~closing & (lane == self._lanes - 2))),
            ]
            with m.If(closing):
                m.d.sync += self.o.valid.eq(1)
        with m.If(self.start):
            m.d.sync += [left.eq(self.words - 2), active.eq(self.words.any()), lane.eq(0), closing.eq(self.words <= 1)]
        return m


class WordUnpacker(wiring.Component):
    """Hands out each word of ``group`` bytes at ``i`` as ``group / 2`` words of 16 bits at ``o``.

    The first comes out one cycle after the word was taken; 2 bytes per cycle are sustained.
    """

    def __init__(self, *, group: int):
        _check_group(group)
        self._group = group
        super().__init__({"i": In(stream.Signature(8 * group)), "o": Out(stream.Signature(16))})

    def elaborate(self, platform):
        m = Module()
        lanes = self._group // 2
        rest, last = Signal(8 * self._group, reset_less=True), Signal()
        lane = Signal(range(lanes))
        m.d.comb += [
            last.eq(lane == lanes - 1),
            self.o.payload.eq(rest[:16]),
            self.i.ready.eq(~self.o.valid | (last & self.o.ready)),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [rest.eq(rest >> 16), lane.eq(lane + 1), self.o.valid.eq(~last)]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [rest.eq(self.i.payload), lane.eq(0), self.o.valid.eq(1)]
        return m
