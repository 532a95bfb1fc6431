"""The stem: patches of the picture as the pixels of a tensor that the pointwise array then takes like any other."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from narrows.hw.activations.ports import activation_write
from narrows.hw.activations.stream import PixelWalk, PositionGate
from narrows.hw.config import POSITION_BITS, EngineConfig
from narrows.hw.parts.countdown import Countdown
from narrows.hw.parts.delay import delayed
from narrows.hw.stem.fields import KERNEL_BITS, SIZE_BITS, StemFields
from narrows.hw.stem.picture import OFFSET_BITS, PLACE_BITS, PictureRing, Window

#: Words between the sequencer and ``o``, enough to cover the way through the ring.
_DEPTH = 16

#: Cycles between rows: what is in flight leaves the ring, and the next row's needs are worked out.
_SETTLE = 8

#: What the sequencer asks for in a cycle. ``emit``: a word goes out, the window's or, with ``shared``, the one of the rows'
#: rests. ``keep``: bytes of the window (``single``: the one behind it) from ``place`` on go into that word.
_Step = data.StructLayout({"emit": 1, "shared": 1, "keep": 1, "single": 1, "place": KERNEL_BITS})


class _Patches(wiring.Component):
    """Steps through the windows of patch after patch, row after row of patches.

    ``at`` and ``step`` belong together, one cycle after the step. ``room`` allows a step and may lag by one.
    ``first``: place of the first byte of the picture still needed. ``idle``: no step is to come, and none is on its way
    into the ring.
    """

    def __init__(self, *, group: int):
        self._group = group
        super().__init__({
            "fields": In(StemFields),
            "start": In(1),
            "idle": Out(1),
            "filled": In(POSITION_BITS),
            "first": Out(signed(PLACE_BITS)),
            "consumed": In(POSITION_BITS),
            "room": In(1),
            "at": Out(Window),
            "step": Out(_Step),
        })

    def elaborate(self, platform):
        m = Module()
        base = Signal(signed(PLACE_BITS))  # place of the current patches' first line
        running, row_end = Signal(), Signal()
        self._rows(m, base, running, row_end)
        self._steps(m, base, running, row_end)
        return m

    def _rows(self, m: Module, base: Signal, running: Signal, row_end: Signal) -> None:
        """Go on to the next row of patches when the picture has come far enough."""
        f = self.fields
        # Words that must have come: to the end of the patches' last line, but no more than there are.
        reach, need = Signal(PLACE_BITS - 2), Signal(POSITION_BITS)
        lead = Signal(signed(POSITION_BITS))
        m.d.sync += [
            reach.eq((base + f.span) >> (self._group - 1).bit_length()),
            need.eq(Mux(reach > f.groups, f.groups, reach)),
            lead.eq(self.filled - need),
        ]
        rows, settled = Signal(SIZE_BITS), Signal(range(_SETTLE))
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.idle.eq(1)
                with m.If(self.start):
                    m.d.sync += [settled.eq(0), rows.eq(f.rows), base.eq(f.base), self.first.eq(f.base)]
                    m.next = "SETTLE"
            with m.State("SETTLE"):
                m.d.sync += settled.eq(settled + 1)
                with m.If(settled == _SETTLE // 2 - 1):
                    m.d.sync += self.first.eq(base)
                with m.If(settled == _SETTLE - 1):
                    m.next = "WAIT"
            with m.State("WAIT"):
                with m.If(~rows.any()):
                    m.next = "IDLE"
                with m.Elif(~lead[-1]):
                    m.d.sync += running.eq(1)
                    m.next = "RUN"
            with m.State("RUN"):
                m.d.sync += settled.eq(0)
                with m.If(row_end):
                    m.d.sync += running.eq(0)
                    # After the last row nothing of the picture is needed.
                    m.d.sync += [base.eq(Mux(rows == 1, f.total, base + f.down)), rows.eq(rows - 1)]
                    m.next = "SETTLE"

    def _steps(self, m: Module, base: Signal, running: Signal, row_end: Signal) -> None:
        """Step through a row's patches: each line's windows, a read for its rest if that has one, then the shared word."""
        f = self.fields
        m.submodules.gate = gate = PositionGate()
        begun, resting, sharing = Signal(), Signal(), Signal()  # within a patch; next is a rest, next is the shared word
        columns = Countdown(m, "columns", SIZE_BITS, end=1)
        lines, windows = Countdown(m, "lines", KERNEL_BITS, end=1), Countdown(m, "windows", KERNEL_BITS, end=1)
        line, place = Signal(signed(PLACE_BITS)), Signal(KERNEL_BITS)
        left, offset = Signal(signed(OFFSET_BITS)), Signal(signed(OFFSET_BITS))
        go, last_window, line_end, patch_end = Signal(), Signal(), Signal(), Signal()
        rests = delayed(m, f.rest.any(), 1, name="rests")
        single = Signal()  # the line's rest is one byte, which lies right behind its last window
        m.d.comb += [
            gate.start.eq(self.start),
            gate.limit.eq(self.consumed + f.ring),
            gate.step.eq(go & ~begun),
            go.eq(running & self.room & (gate.open | begun)),
            last_window.eq(windows.last & ~resting & ~sharing),
            single.eq(last_window & rests & ~f.alone),
            line_end.eq(resting | (last_window & ~f.alone)),
            patch_end.eq(sharing | (line_end & lines.last & ~rests)),
            row_end.eq(go & patch_end & columns.last),
        ]
        with m.If(go):
            windows.step()
            m.d.sync += [begun.eq(1), offset.eq(offset + self._group), resting.eq(last_window)]
            with m.If(line_end):
                lines.step()
                windows.load(f.windows)
                m.d.sync += [
                    line.eq(line + f.line),
                    offset.eq(left),
                    place.eq(place + f.rest),
                    resting.eq(0),
                    sharing.eq(lines.last),
                ]
        with m.If(~running | (go & patch_end)):
            columns.step()
            lines.load(f.lines)
            windows.load(f.windows)
            m.d.sync += [
                begun.eq(0),
                Cat(resting, sharing, place).eq(0),
                line.eq(base),
                left.eq(left + f.right),
                offset.eq(left + f.right),
            ]
        with m.If(~running):
            columns.load(f.columns)
            m.d.sync += [left.eq(f.left), offset.eq(f.left)]

        # The step as the ring and the gathering see it. A rest is read so that its bytes come out at their place.
        m.d.sync += [
            self.at.line.eq(line),
            self.at.inside.eq((line >= 0) & (line < f.total)),
            self.at.offset.eq(offset - Mux(resting, place, 0)),
            self.step.emit.eq(go & ~resting),
            self.step.shared.eq(sharing),
            self.step.keep.eq(go & (resting | single)),
            self.step.single.eq(single),
            self.step.place.eq(place),
        ]


class Stem(wiring.Component):
    """Turns the picture at ``i`` (rows of pixels of channels, low byte first) into patches for activation memory at ``o``.

    ``start`` (one cycle, while ``done``) begins a picture; ``fields`` (:func:`narrows.hw.stem.fields.stem_fields`) are
    static from the cycle before until ``done``. Patches lie pixel by pixel in the order of
    :func:`narrows.hw.stem.fields.stem_layout`, with a ``mark`` of 1 on each one's last word. One is written when the ring has room
    for it beside those from ``consumed`` on, the number of patches nobody needs any more (from 0 in the second cycle after
    ``start`` on). A row of patches begins when all lines of the picture that it needs have come; its first word is offered 15
    cycles after the last of them. :func:`narrows.hw.stem.fields.stem_pixel_cycles` tells the time per patch. Exactly the
    picture's words are taken. ``done`` rises when these and the last patch have left.
    """

    def __init__(self, *, config: EngineConfig):
        self._config = config
        super().__init__({
            "fields": In(StemFields),
            "start": In(1),
            "consumed": In(POSITION_BITS),
            "i": In(stream.Signature(16)),
            "o": Out(stream.Signature(activation_write(config))),
            "done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.patches = patches = _Patches(group=self._config.group)
        m.submodules.ring = ring = PictureRing(config=self._config)
        wiring.connect(m, wiring.flipped(self.i), ring.i)
        m.d.comb += [
            patches.fields.eq(self.fields),
            patches.start.eq(self.start),
            patches.filled.eq(ring.filled),
            patches.consumed.eq(self.consumed),
            ring.start.eq(self.start),
            ring.words.eq(self.fields.words),
            ring.line_bytes.eq(self.fields.line),
            ring.zero.eq(self.fields.zero),
            ring.first.eq(patches.first),
            ring.at.eq(patches.at),
        ]
        word, valid = self._gather(m, patches, ring)

        # Words that are asked for or wait, so that the way through the ring never stops.
        claimed = Signal(range(_DEPTH + 1))
        m.d.sync += [
            claimed.eq(claimed + patches.step.emit - (self.o.valid & self.o.ready)),
            patches.room.eq(claimed < _DEPTH - 2),
        ]
        self._write(m, word, valid)
        m.d.comb += self.done.eq(patches.idle & ring.done & ~claimed.any())
        return m

    def _gather(self, m: Module, patches: _Patches, ring: PictureRing) -> tuple[Signal, Signal]:
        """Pass windows on, and collect the lines' rests for a word of their own."""
        group = self._config.group
        before = data.View(_Step, delayed(m, patches.step.as_value(), ring.LATENCY - 1))
        here = data.View(_Step, delayed(m, before.as_value(), 1))
        # The cycle before the window: whose bytes are kept.
        kept = Signal(group, reset_less=True)
        m.d.sync += kept.eq(
            Cat((before.place <= p) & (p < before.place + self.fields.rest) & before.keep for p in range(group))
        )
        shared = Signal(data.ArrayLayout(8, group), reset_less=True)
        for index in range(group):
            with m.If(kept[index]):
                m.d.sync += shared[index].eq(Mux(here.single, ring.window[group], ring.window[index]))
        word = Signal(8 * group, reset_less=True)
        m.d.sync += word.eq(Mux(here.shared, shared.as_value(), ring.window.as_value()[: 8 * group]))
        valid = Signal(ring.LATENCY + 1)  # of a word at every stage, with reset
        m.d.sync += valid.eq(Cat(patches.step.emit, valid))
        return word, valid[-1]

    def _write(self, m: Module, word: Signal, valid: Signal) -> None:
        """Give each word its address, and let it wait for its turn."""
        layout = activation_write(self._config)
        m.submodules.walk = walk = PixelWalk(pixels=self._config.pixels)
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=layout.size, depth=_DEPTH + 1)
        entry = Signal(layout)
        m.d.comb += [
            walk.fields.eq(self.fields.walk),
            walk.start.eq(self.start),
            walk.step.eq(valid),
            entry.data.eq(word),
            entry.bank.eq(walk.bank),
            entry.address.eq(walk.address),
            entry.mark.eq(walk.last),
            fifo.w_data.eq(entry),
            fifo.w_en.eq(valid),
            self.o.valid.eq(fifo.r_rdy),
            self.o.payload.eq(fifo.r_data),
            fifo.r_en.eq(self.o.ready),
        ]
