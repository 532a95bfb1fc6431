"""The depthwise unit's side of its weight and constant memories: rings that are filled slice by slice.

Words are counted since reset, modulo 2**COUNT_BITS; a word's address is its count. The words of a slice's groups are
used in order, once per segment, and released when the slice ends.
"""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

#: Width of a count of words.
COUNT_BITS = 16


class LoadCredit(wiring.Component):
    """Whether the words of the group whose turn it is are in memory.

    ``words``: a group's, static from ``start`` on. ``ready``: words loaded since reset. ``step`` passes to the next group,
    the slice's first one again with ``end_segment``, the next slice's with ``end_slice``. ``ok`` is valid from the second
    cycle after ``start`` or ``step`` on.
    """

    def __init__(self):
        super().__init__({
            "start": In(1),
            "words": In(10),
            "ready": In(COUNT_BITS),
            "step": In(1),
            "end_segment": In(1),
            "end_slice": In(1),
            "ok": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        begin, end = Signal(COUNT_BITS), Signal(COUNT_BITS)
        with m.If(self.step):
            m.d.sync += end.eq(end + self.words)
            with m.If(self.end_segment):
                m.d.sync += end.eq(begin + self.words)
            with m.If(self.end_slice):
                m.d.sync += [begin.eq(end), end.eq(end + self.words)]
        with m.If(self.start):
            m.d.sync += end.eq(begin + self.words)
        margin = Signal(COUNT_BITS)
        m.d.comb += margin.eq(self.ready - end)
        m.d.sync += self.ok.eq(~margin[-1])
        return m


class SliceReader(wiring.Component):
    """Counts through a slice's words: every result of a group reads the group's words.

    ``count`` is the word to read in this cycle, and read if ``step``. ``end_result`` comes with a result's last word or a
    later cycle before the next result's first; then ``end_group``, ``end_segment``, ``end_slice`` tell where the next result
    is. ``freed``: words released since reset.
    """

    def __init__(self):
        super().__init__({
            "step": In(1),
            "end_result": In(1),
            "end_group": In(1),
            "end_segment": In(1),
            "end_slice": In(1),
            "count": Out(COUNT_BITS),
            "freed": Out(COUNT_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        after, group = Signal(COUNT_BITS), Signal(COUNT_BITS)
        m.d.comb += after.eq(self.count + self.step)
        m.d.sync += self.count.eq(after)
        with m.If(self.end_result):
            m.d.sync += self.count.eq(group)
            with m.If(self.end_group):
                m.d.sync += Cat(self.count, group).eq(Cat(after, after))
            with m.If(self.end_segment):
                m.d.sync += Cat(self.count, group).eq(Cat(self.freed, self.freed))
            with m.If(self.end_slice):
                m.d.sync += Cat(self.count, group, self.freed).eq(Cat(after, after, after))
        return m
