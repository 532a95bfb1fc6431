"""The depthwise unit's outer loops: slice, image, row, segment, group; and the credits a group waits for."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.config import POSITION_BITS, EngineConfig
from narrows.hw.depthwise.fields import DepthwiseFields
from narrows.hw.depthwise.geometry import COORDINATE_BITS, GROUP_BITS, constant_words
from narrows.hw.depthwise.line_buffer import LINE_BITS, SIZE_BITS
from narrows.hw.depthwise.memory import COUNT_BITS, LoadCredit
from narrows.hw.parts.delay import delayed

#: A row of the expanded tensor: the bank it is in and its first word there.
LinePlace = data.StructLayout({"bank": 2, "word": LINE_BITS})

#: One segment of a row for one group. ``outputs``: results less one; ``column``, ``offset``: of the first result's first
#: column; ``row``, ``taps``: of the kernel's first row, and the places of it and the two rows below. ``freed``: pixels
#: before this position are not needed once the segment (``end_segment``) has been read.
DepthwiseJob = data.StructLayout({
    "outputs": SIZE_BITS,
    "column": signed(COORDINATE_BITS),
    "offset": LINE_BITS,
    "group": GROUP_BITS,
    "row": signed(COORDINATE_BITS),
    "taps": data.ArrayLayout(LinePlace, 3),
    "freed": POSITION_BITS,
    "end_segment": 1,
    "end_slice": 1,
    "last_slice": 1,
})


def _stepped(m: Module, place: data.View, step: data.View, limit: Value) -> data.View:
    """The row at ``step`` (:data:`LineStep`) from ``place``, two cycles later."""
    moved, around = Signal(3), Signal()
    m.d.comb += [moved.eq(place.bank + step.bank), around.eq(moved >= 3)]
    bank, total = Signal(2), Signal(LINE_BITS + 1)
    m.d.sync += [
        bank.eq(Mux(around, moved - 3, moved)),
        total.eq(place.word + Mux(around, step.far, step.near)),
    ]
    there = Signal(LinePlace)
    m.d.sync += [there.bank.eq(bank), there.word.eq(Mux(total >= limit, total - limit, total))]
    return there


class DepthwiseJobs(wiring.Component):
    """Offers a block's groups in order, each as soon as what it needs is there.

    Every group waits for its weights and constants; a segment's first one also for the pixels it reads and for room
    behind the unit. A group can be taken every 3 cycles, a segment's first one not before 4 cycles after the one before.
    ``running``: groups are still to be offered. ``blocked_data``, ``blocked_weights``: the group is ready but for that.
    """

    def __init__(self, *, config: EngineConfig):
        self._config = config
        super().__init__({
            "fields": In(DepthwiseFields),
            "start": In(1),
            "expanded": In(POSITION_BITS),
            "projected": In(POSITION_BITS),
            "weights_ready": In(COUNT_BITS),
            "constants_ready": In(COUNT_BITS),
            "o": Out(stream.Signature(DepthwiseJob)),
            "running": Out(1),
            "blocked_data": Out(1),
            "blocked_weights": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        f, job = self.fields, self.o.payload
        take, settle = Signal(), Signal(2)
        m.d.comb += take.eq(self.o.valid & self.o.ready)

        # Which of the loops end with this group.
        left = {name: Signal(f[name].shape(), name=f"{name}_left") for name in ("groups", "segments", "rows", "images", "slices")}
        last = {name: Signal(name=f"{name}_last") for name in left}
        m.d.sync += [last[name].eq(left[name] == 0) for name in left]
        # A loop ends with this group if all loops inside it do: known two cycles after the last group, before the next.
        ends, inner, before = {}, 1, take
        for name, count in left.items():
            inner = inner & last[name]
            over = Signal(name=f"{name}_over")
            ends[name] = Signal(name=f"{name}_end")
            m.d.sync += over.eq(inner)
            m.d.comb += ends[name].eq(take & over)
            with m.If(before):
                m.d.sync += count.eq(Mux(last[name], f[name], count - 1))
            before = ends[name]
        end_slice = last["segments"] & last["rows"] & last["images"]
        m.d.comb += [
            job.end_segment.eq(last["groups"]),
            job.end_slice.eq(last["groups"] & end_slice),
            job.last_slice.eq(last["slices"]),
        ]

        segments_over = left["segments"] == 0
        following = self._columns(m, take, ends)
        position, plane, plane_end = self._rows(m, ends)
        need, room = self._credits(m, ends, segments_over, position, plane)
        self._freed(m, segments_over, left["rows"] == 0, following, position, plane, plane_end)
        loaded = self._loaded(m, take)

        # A group's credits are known one cycle after it, a segment's two.
        with m.If(settle != 0):
            m.d.sync += settle.eq(settle - 1)
        with m.If(take):
            m.d.sync += settle.eq(Mux(ends["groups"], 2, 1))
        with m.If(ends["slices"]):
            m.d.sync += self.running.eq(0)
        with m.If(self.start):
            m.d.sync += [self.running.eq(1), settle.eq(3)]
            m.d.sync += [left[name].eq(f[name]) for name in left]
        ready = self.running & (settle == 0)
        m.d.sync += self.o.valid.eq(ready & need & room & loaded & ~take)
        m.d.comb += [
            self.blocked_data.eq(ready & ~(need & room)),
            self.blocked_weights.eq(ready & need & room & ~loaded),
        ]
        return m

    def _columns(self, m: Module, take: Value, ends: dict[str, Value]) -> Value:
        """The group's number, and the segment's first column and offset; returns the next segment's first column."""
        f, job = self.fields, self.o.payload
        following, second = Signal(signed(COORDINATE_BITS)), Signal(signed(COORDINATE_BITS))
        m.d.sync += second.eq(f.column_start + f.column_segment)
        with m.If(take):
            m.d.sync += job.group.eq(job.group + 1)
        with m.If(ends["groups"]):
            m.d.sync += [
                job.group.eq(0),
                job.column.eq(following),
                following.eq(following + f.column_segment),
                job.offset.eq(job.offset + f.offset_segment),
            ]
        with m.If(ends["segments"] | self.start):
            m.d.sync += [job.column.eq(f.column_start), following.eq(second), job.offset.eq(f.offset_start)]
        with m.If(self.start):
            m.d.sync += [job.group.eq(0), following.eq(f.column_start + f.column_segment)]
        return following

    def _rows(self, m: Module, ends: dict[str, Value]) -> tuple[Value, Value, Value]:
        """The rows of the kernel; returns the positions of its first row, of the plane and of the plane's end."""
        f, job = self.fields, self.o.payload
        first, top = Signal(LinePlace), Signal(LinePlace)
        position, plane, plane_end, restart = (Signal(POSITION_BITS, name=name) for name in ("position", "plane", "plane_end", "restart"))
        # Known two cycles later: the next row of outputs, the next plane, and the kernel's other rows.
        below = _stepped(m, first, f.step_output, f.limit)
        beyond = _stepped(m, top, f.step_plane, f.limit)
        m.d.sync += [plane_end.eq(plane + f.position_plane), restart.eq(plane_end + f.position_start)]
        m.d.comb += [
            job.taps[0].eq(first),
            job.taps[1].eq(_stepped(m, first, f.step_second, f.limit)),
            job.taps[2].eq(_stepped(m, first, f.step_third, f.limit)),
        ]
        with m.If(ends["segments"]):
            m.d.sync += [first.eq(below), job.row.eq(job.row + f.row_output), position.eq(position + f.position_output)]
        with m.If(ends["rows"]):
            m.d.sync += [first.eq(beyond), top.eq(beyond), plane.eq(plane_end), position.eq(restart)]
        with m.If(ends["rows"] | self.start):
            m.d.sync += job.row.eq(f.row_start)
        with m.If(self.start):
            start = Cat(f.bank_start, f.word_start)
            m.d.sync += [first.as_value().eq(start), top.as_value().eq(start), plane.eq(0), position.eq(f.position_start)]
        return position, plane, plane_end

    def _credits(
        self, m: Module, ends: dict[str, Value], segments_over: Value, position: Value, plane: Value
    ) -> tuple[Value, Value]:
        """Whether the pixels a segment needs are there, and whether its results have room."""
        f, job = self.fields, self.o.payload
        reach, filtered = Signal(signed(COORDINATE_BITS)), Signal(POSITION_BITS)
        line, column = Signal(POSITION_BITS), Signal(signed(COORDINATE_BITS))
        filtered_end, allowed = Signal(POSITION_BITS), Signal(POSITION_BITS)
        # The positions come from afar. A cycle after the start they are still those of the block before.
        expanded, projected = delayed(m, self.expanded, 1, name="expanded"), delayed(m, self.projected, 1, name="projected")
        # Cycle 0: the last row and column, and the last result.
        m.d.comb += job.outputs.eq(Mux(segments_over, f.tail, f.segment))
        m.d.sync += [
            line.eq(Mux(job.row > f.bottom_limit, plane + f.position_last, position + f.position_bottom)),
            column.eq(Mux(segments_over, f.reach_tail, Mux(reach > f.in_w, f.in_w, reach))),
            filtered_end.eq(filtered + job.outputs + 1),
            allowed.eq(projected + f.ring),
        ]
        # Cycle 1: the comparisons.
        pixels, results = Signal(POSITION_BITS), Signal(POSITION_BITS)
        need, room = Signal(), Signal()
        m.d.comb += [pixels.eq(expanded - line - column), results.eq(allowed - filtered_end)]
        m.d.sync += [need.eq(~pixels[-1]), room.eq(~results[-1])]

        with m.If(ends["groups"]):
            m.d.sync += [reach.eq(reach + f.column_segment), filtered.eq(filtered_end)]
        with m.If(ends["segments"] | self.start):
            m.d.sync += reach.eq(f.reach_start)
        with m.If(ends["images"] | self.start):
            m.d.sync += filtered.eq(0)
        return need, room

    def _freed(
        self, m: Module, segments_over: Value, rows_over: Value, following: Value, position: Value, plane: Value, plane_end: Value
    ) -> None:
        """The position before which nothing is needed after the segment, known two cycles later."""
        f, job = self.fields, self.o.payload
        # Cycle 0: the first row needed then, and the column, inside the plane.
        row, column = Signal(signed(COORDINATE_BITS)), Signal(SIZE_BITS)
        line, over = Signal(POSITION_BITS), Signal()
        m.d.sync += [
            row.eq(Mux(segments_over, job.row + f.row_output, job.row)),
            line.eq(Mux(segments_over, position + f.position_output, position)),
            column.eq(Mux(segments_over | (following < 0), 0, Mux(following > f.in_w, f.in_w, following))),
            over.eq(segments_over & rows_over),
        ]
        # Cycle 1: the position.
        with m.If(over | (row >= f.in_h)):
            m.d.sync += job.freed.eq(plane_end)
        with m.Elif(row < 0):
            m.d.sync += job.freed.eq(plane)
        with m.Else():
            m.d.sync += job.freed.eq(line + column)

    def _loaded(self, m: Module, take: Value) -> Value:
        """Whether the group's weights and constants are in memory."""
        for name, words, ready in (
            ("weights", self.fields.weights, self.weights_ready),
            ("constants", constant_words(self._config), self.constants_ready),
        ):
            m.submodules[name] = credit = LoadCredit()
            m.d.comb += [
                credit.start.eq(self.start),
                credit.words.eq(words),
                credit.ready.eq(ready),
                credit.step.eq(take),
                credit.end_segment.eq(self.o.payload.end_segment),
                credit.end_slice.eq(self.o.payload.end_slice),
            ]
        return m.submodules.weights.ok & m.submodules.constants.ok
