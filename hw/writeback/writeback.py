"""From project's results to activation memory: the shortcut is fetched and added on the way."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from narrows.hw.activations.address_generator import Walker, WalkFields
from narrows.hw.activations.memory import activation_read
from narrows.hw.activations.ports import activation_write
from narrows.hw.config import EngineConfig
from narrows.hw.parts.delay import delayed
from narrows.hw.parts.queue import Queue
from narrows.hw.parts.stream_register import StreamRegister
from narrows.hw.writeback.residual import ResidualAdd
from narrows.hw.writeback.residual_fields import ResidualFields

#: Words between the array and memory; the sequencer keeps the array from exceeding it.
DEPTH = 128

#: Shortcut words on their way.
_FETCHES = 16

#: Flags that travel with a word.
Ends = data.StructLayout({"end_group": 1, "end_segment": 1, "end_slice": 1})


class Writeback(wiring.Component):
    """``i`` (``i_valid``) takes a word and its flags every cycle, at most ``DEPTH`` more than have left through ``o``.

    ``o`` writes them to the tensor ``output`` describes, after the residual sum with the word of ``shortcut`` if
    ``residual.enable``. ``slices``: of the pass; a segment's pixels are marked with the last slice. ``written``: a word left.
    """

    def __init__(self, *, config: EngineConfig):
        self._config = config
        word = 8 * config.group
        super().__init__({
            "start": In(1), "slices": In(12),
            "output": In(WalkFields), "shortcut": In(WalkFields), "residual": In(ResidualFields),
            "i_valid": In(1), "i": In(data.StructLayout({"data": word, "ends": Ends})),
            "read": Out(stream.Signature(activation_read(config))),
            "answer": In(1), "answer_data": In(word),
            "o": Out(stream.Signature(activation_write(config))),
            "written": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        word = 8 * self._config.group
        m.submodules.results = results = Queue(width=word + 3, depth=DEPTH)
        m.submodules.pending = pending = SyncFIFOBuffered(width=word + 3, depth=_FETCHES)
        m.submodules.answers = answers = SyncFIFOBuffered(width=word, depth=_FETCHES)
        m.submodules.add = add = ResidualAdd(config=self._config, tag_width=3)
        m.submodules.from_shortcut = fetch = Walker(pixels=self._config.pixels)
        m.submodules.to_output = place = Walker(pixels=self._config.pixels)
        m.d.comb += [results.i.payload.eq(self.i), results.i.valid.eq(self.i_valid)]

        def walk(walker, fields, step, ends):
            m.d.comb += [
                walker.fields.eq(fields), walker.start.eq(self.start), walker.step.eq(step),
                Cat(walker.end_group, walker.end_segment, walker.end_slice).eq(ends),
            ]

        # A word waits in `pending` for its shortcut; without a residual it waits for nothing.
        fetched, room = Signal(), Signal()
        # This cycle's word counts, so that a request on offer, once there is room for it, stays.
        m.d.sync += room.eq(pending.level < Mux(fetched, _FETCHES - 3, _FETCHES - 2))
        enabled = delayed(m, self.residual.enable, 1, name="enabled")
        m.d.comb += [
            self.read.payload.bank.eq(fetch.bank), self.read.payload.address.eq(fetch.address),
            self.read.valid.eq(results.o.valid & room & enabled),
            fetched.eq(results.o.valid & room & (self.read.ready | ~enabled)),
            results.o.ready.eq(fetched), pending.w_en.eq(fetched), pending.w_data.eq(results.o.payload),
            answers.w_en.eq(self.answer), answers.w_data.eq(self.answer_data),
        ]
        walk(fetch, self.shortcut, fetched, results.o.payload[word:])

        m.submodules.pairs = pairs = StreamRegister(add.i.payload.shape())
        wiring.connect(m, pairs.o, add.i)
        joined = Signal()
        m.d.comb += [
            add.fields.eq(self.residual),
            pairs.i.valid.eq(pending.r_rdy & (answers.r_rdy | ~enabled)),
            joined.eq(pairs.i.valid & pairs.i.ready),
            pairs.i.payload.a.eq(pending.r_data[:word]), pairs.i.payload.b.eq(answers.r_data),
            pairs.i.payload.tag.eq(pending.r_data[word:]),
            pending.r_en.eq(joined), answers.r_en.eq(joined & enabled),
        ]

        # Pixels are counted over a group of the segment and marked with the segment's last word.
        ends = data.View(Ends, add.o.payload.tag)
        pixels, slices_left = Signal(16), Signal(12)
        m.d.comb += [
            self.o.valid.eq(add.o.valid), add.o.ready.eq(self.o.ready),
            self.o.payload.data.eq(add.o.payload.data),
            self.o.payload.bank.eq(place.bank), self.o.payload.address.eq(place.address),
            self.o.payload.mark.eq(Mux(ends.end_segment & (slices_left == 0), pixels + 1, 0)),
            self.written.eq(self.o.valid & self.o.ready),
        ]
        walk(place, self.output, self.written, add.o.payload.tag)
        with m.If(self.written):
            m.d.sync += [pixels.eq(Mux(ends.end_group, 0, pixels + 1)), slices_left.eq(slices_left - ends.end_slice)]
        with m.If(self.start):
            m.d.sync += [pixels.eq(0), slices_left.eq(self.slices - 1)]
        return m
