"""The depthwise unit's inner loops: result, triple of kernel rows, kernel column; a line buffer address for every tap."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.config import POSITION_BITS
from narrows.hw.depthwise.fields import DepthwiseFields
from narrows.hw.depthwise.geometry import COORDINATE_BITS, KERNEL_BITS
from narrows.hw.depthwise.jobs import DepthwiseJob
from narrows.hw.depthwise.line_buffer import LINE_BITS, SIZE_BITS
from narrows.hw.parts.countdown import Countdown
from narrows.hw.parts.delay import delayed

#: What a result is the last of; ``last_slice`` is of the whole slice.
ResultEnds = data.StructLayout({"group": 1, "segment": 1, "slice": 1, "last_slice": 1})

#: One cycle of taps. ``weighted``: a word of weights belongs to it (not in cycles that only fill a result's time);
#: ``first``, ``last`` of its result; ``counts``: which taps are inside plane and kernel; ``banks``: which bank each is from;
#: ``ends``: of the result.
TapCycle = data.StructLayout({
    "valid": 1,
    "weighted": 1,
    "first": 1,
    "last": 1,
    "counts": 3,
    "banks": data.ArrayLayout(2, 3),
    "ends": ResultEnds,
})


class DepthwiseAddresses(wiring.Component):
    """Takes groups' segments (``i``) and asks the line buffers for their taps, one kernel column of three rows a cycle.

    A result begins (``begin``) only in a cycle with ``room``, and then runs to its end without a pause. ``address`` and ``tap``
    come ``LATENCY`` cycles after the cycle a tap is issued in. ``freed`` moves in the cycle after a segment's last address.
    """

    LATENCY = 4

    def __init__(self):
        super().__init__({
            "fields": In(DepthwiseFields),
            "start": In(1),
            "i": In(stream.Signature(DepthwiseJob)),
            "room": In(1),
            "begin": Out(1),
            "idle": Out(1),
            "address": Out(LINE_BITS).array(3),
            "tap": Out(TapCycle),
            "freed": Out(POSITION_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        f, job = self.fields, Signal(DepthwiseJob)
        outputs, triples = Countdown(m, "outputs", SIZE_BITS), Countdown(m, "triples", KERNEL_BITS - 1)
        columns = Countdown(m, "columns", KERNEL_BITS)
        active, first, go = Signal(), Signal(), Signal()
        end_result, end_job, load = Signal(), Signal(), Signal()
        m.d.comb += [
            go.eq(active & (~first | self.room)),
            self.i.ready.eq(~active | end_job),
            load.eq(self.i.valid & self.i.ready),
            self.begin.eq(go & first),
            self.idle.eq(~active),
        ]

        # Cycle 0: the loops. ``job`` is the segment's, with its column and offset moving from result to result.
        column, offset = Signal(signed(COORDINATE_BITS)), Signal(LINE_BITS)
        row = Signal(signed(COORDINATE_BITS))
        words = [Signal(LINE_BITS, name=f"word{tap}") for tap in range(3)]
        self._below = [self._three_below(m, word) for word in words]
        # A kernel has two columns or more, so a result's last tap is never its first one, which may wait: these registers say
        # that this cycle's tap is the last.
        closing = Signal()
        m.d.comb += closing.eq(columns.count == 1)
        with m.If(go):
            columns.step()
            m.d.sync += [end_result.eq(closing & triples.last), end_job.eq(closing & triples.last & outputs.last)]
            m.d.sync += [first.eq(0), column.eq(column + f.column_tap), offset.eq(offset + f.offset_tap)]
            with m.If(columns.last):
                columns.load(f.columns)
                triples.step()
                m.d.sync += [column.eq(job.column), offset.eq(job.offset), end_result.eq(0), end_job.eq(0)]
                self._next_triple(m, row, words)
        with m.If(end_result):
            self._start_result(m, triples, job, row, words)
            outputs.step()
            after = Signal(signed(COORDINATE_BITS)), Signal(LINE_BITS)
            m.d.comb += [after[0].eq(job.column + f.column_output), after[1].eq(job.offset + f.offset_output)]
            m.d.sync += [
                first.eq(1),
                Cat(column, job.column).eq(Cat(after[0], after[0])),
                Cat(offset, job.offset).eq(Cat(after[1], after[1])),
            ]
        with m.If(end_job):
            m.d.sync += active.eq(0)
        with m.If(load):
            self._start_result(m, triples, self.i.payload, row, words)
            outputs.load(self.i.payload.outputs)
            columns.load(f.columns)
            m.d.sync += [active.eq(1), first.eq(1), job.eq(self.i.payload)]
            m.d.sync += [column.eq(self.i.payload.column), offset.eq(self.i.payload.offset)]

        ends = Signal(ResultEnds)
        m.d.comb += [
            ends.group.eq(outputs.last),
            ends.segment.eq(outputs.last & job.end_segment),
            ends.slice.eq(outputs.last & job.end_slice),
            ends.last_slice.eq(job.last_slice),
        ]
        weighted = ~(columns.count < f.idle)
        flags = Cat(weighted, first, columns.last & triples.last)
        inside = Signal()
        m.d.sync += inside.eq(weighted & (column >= 0) & (column < f.in_w))
        counts = self._rows(m, row, triples.last, inside)
        banks = Cat(place.bank for place in job.taps)
        self._addresses(m, job.group, offset, words, [place.bank for place in job.taps])
        valid = Signal(self.LATENCY)
        m.d.sync += valid.eq(Cat(go, valid))
        m.d.comb += [
            self.tap.valid.eq(valid[-1]),
            Cat(self.tap.weighted, self.tap.first, self.tap.last).eq(delayed(m, flags, self.LATENCY)),
            self.tap.counts.eq(delayed(m, counts, self.LATENCY - 2)),
            self.tap.banks.as_value().eq(delayed(m, banks, self.LATENCY)),
            self.tap.ends.as_value().eq(delayed(m, ends.as_value(), self.LATENCY)),
        ]

        # What the segment no longer needs, after its last address.
        passed = Signal(self.LATENCY)
        m.d.sync += passed.eq(Cat(end_job & job.end_segment, passed))
        freed = delayed(m, job.freed, self.LATENCY)
        with m.If(passed[-1]):
            m.d.sync += self.freed.eq(freed)
        with m.If(self.start):
            m.d.sync += self.freed.eq(0)
        return m

    def _start_result(self, m: Module, triples: Countdown, job: data.View, row: Value, words: list[Value]) -> None:
        triples.load(self.fields.triples)
        m.d.sync += row.eq(job.row)
        m.d.sync += [word.eq(place.word) for word, place in zip(words, job.taps, strict=True)]

    def _next_triple(self, m: Module, row: Value, words: list[Value]) -> None:
        """Three rows of the kernel down: the same banks."""
        m.d.sync += row.eq(row + self.fields.row_triple)
        for word, below in zip(words, self._below):
            m.d.sync += word.eq(below)

    def _three_below(self, m: Module, word: Value) -> Value:
        """The word three rows below, a cycle later: a triple has two columns or more."""
        f = self.fields
        wrapped, below = Signal(signed(LINE_BITS + 2)), Signal(LINE_BITS)
        m.d.comb += wrapped.eq(word + f.word_triple_back)
        m.d.sync += below.eq(Mux(wrapped < 0, word + f.word_triple, wrapped))
        return below

    def _rows(self, m: Module, row: Value, last_triple: Value, inside: Value) -> Value:
        """Which taps count, two cycles later; ``inside``: the column does, one cycle later."""
        f = self.fields
        counts = Signal(3)
        for tap in range(3):
            below, exists = Signal(signed(COORDINATE_BITS), name=f"row{tap}"), Signal(name=f"exists{tap}")
            m.d.sync += [
                below.eq(row + (0, f.row_tap, f.row_tap << 1)[tap]),
                exists.eq(~last_triple | (f.last_rows > tap)),
                counts[tap].eq(inside & exists & (below >= 0) & (below < f.in_h)),
            ]
        return counts

    def _addresses(self, m: Module, group: Value, offset: Value, words: list[Value], banks: list[Value]) -> None:
        f = self.fields
        # Cycle 1: the group's offset. Cycle 2: its word. Cycle 3: wrapped around.
        moved = Signal(LINE_BITS)
        m.d.sync += moved.eq(offset + group)
        wrapped = []
        for tap, word in enumerate(words):
            total, place = Signal(LINE_BITS + 1, name=f"total{tap}"), Signal(LINE_BITS, name=f"place{tap}")
            m.d.sync += [
                total.eq(delayed(m, word, 1) + moved),
                place.eq(Mux(total >= f.limit, total - f.limit, total)),
            ]
            wrapped.append(place)
        # Cycle 4: to each bank the tap that is in it.
        banks = [delayed(m, bank, 3) for bank in banks]
        for index, address in enumerate(self.address):
            m.d.sync += address.eq(Mux(banks[0] == index, wrapped[0], Mux(banks[1] == index, wrapped[1], wrapped[2])))
