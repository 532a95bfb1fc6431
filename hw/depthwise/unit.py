"""The depthwise unit: line buffers in, filtered words for activation memory out.

``group`` channels of one kernel column (three rows) are multiplied per cycle, so a 3x3 result word takes three cycles,
during which the lanes behind requantise the one before. See :mod:`narrows.hw.depthwise.fields` for what a block may be.

    jobs -> addresses -> (line buffers) -> taps -> results -> FIFO -> walker
"""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from narrows.hw.activations.address_generator import Walker
from narrows.hw.activations.ports import activation_write
from narrows.hw.arithmetic.ports import ChannelConstants
from narrows.hw.config import POSITION_BITS, EngineConfig
from narrows.hw.depthwise.addresses import DepthwiseAddresses, ResultEnds
from narrows.hw.depthwise.fields import DepthwiseFields
from narrows.hw.depthwise.jobs import DepthwiseJob, DepthwiseJobs
from narrows.hw.depthwise.line_buffer import LINE_BITS, SIZE_BITS
from narrows.hw.depthwise.memory import COUNT_BITS
from narrows.hw.depthwise.results import DepthwiseResults
from narrows.hw.depthwise.taps import DepthwiseTaps
from narrows.hw.parts.delay import delayed
from narrows.hw.parts.stream_register import StreamRegister

#: Result words under way at one time, from the first tap to the stream.
FIFO_WORDS = 16


class DepthwiseUnit(wiring.Component):
    """Filters a block. ``fields`` are static from the cycle before ``start`` (one cycle) until ``done`` (idle: nothing is left inside).

    Result words leave through ``o`` in the order slice, image, row, segment, group, pixel of the segment. One takes
    ``result_cycles`` = max(ceil(kh / 3) * kw, ceil(group / lanes), 2) cycles, without a pause between results, groups, segments and
    rows, as long as all four credits are there, ``o`` keeps up, and it is three cycles or more (below, ``FIFO_WORDS`` results under
    way are too few). A segment that is a single result takes four cycles at least.
    A word is on ``o`` ``latency(config)`` cycles after its last tap was issued.

    Credits: ``expanded`` input pixels are in the line buffers (linear: row V times width + column); ``projected`` filtered
    pixels are consumed, so that their place may be overwritten; ``weights_ready`` and ``constants_ready`` words have been
    loaded since reset. In return ``freed`` input pixels may be overwritten, ``weights_freed`` and ``constants_freed`` words.

    Memories answer two cycles after an address: ``line_data``; ``weight_data`` (9-bit factors, tap row j of channel c in lane
    ``j * group + c``; word ``t * kw + kx`` of a group for rows 3 t to 3 t + 2 of kernel column kx); ``constant_data`` (word p,
    lane l: channel ``p * lanes + l``).

    ``forming``, ``waiting_data``, ``waiting_weights`` are for counters of cycles: taps are multiplied; the unit stands still for
    pixels (or room for them behind); for weights or constants.
    """

    def __init__(self, *, config: EngineConfig):
        self._config = config
        super().__init__({
            "fields": In(DepthwiseFields),
            "start": In(1),
            "done": Out(1, init=1),
            "expanded": In(POSITION_BITS),
            "freed": Out(POSITION_BITS),
            "projected": In(POSITION_BITS),
            "line_address": Out(LINE_BITS).array(3),
            "line_data": In(8 * config.group).array(3),
            "weights_ready": In(COUNT_BITS),
            "weights_freed": Out(COUNT_BITS),
            "weight_address": Out(range(config.depthwise_words)),
            "weight_data": In(data.ArrayLayout(signed(9), 3 * config.group)),
            "constants_ready": In(COUNT_BITS),
            "constants_freed": Out(COUNT_BITS),
            "constant_address": Out(range(config.depthwise_words)),
            "constant_data": In(data.ArrayLayout(ChannelConstants, config.depthwise_requantisers)),
            "o": Out(stream.Signature(activation_write(config))),
            "forming": Out(1),
            "waiting_data": Out(1),
            "waiting_weights": Out(1),
        })

    @staticmethod
    def latency(config: EngineConfig) -> int:
        """Cycles from the issue of a result's last tap to its word on ``o``: addresses, sums, bytes, and 2 for the FIFO."""
        sums = DepthwiseAddresses.LATENCY + DepthwiseTaps.LATENCY - DepthwiseResults.NOTICE
        return sums + DepthwiseResults.latency(config) + 2

    def elaborate(self, platform):
        m = Module()
        m.submodules.jobs = jobs = DepthwiseJobs(config=self._config)
        m.submodules.addresses = addresses = DepthwiseAddresses()
        m.submodules.taps = taps = DepthwiseTaps(config=self._config)
        m.submodules.results = results = DepthwiseResults(config=self._config)

        # Groups and their credits, then addresses.
        m.submodules.between = between = StreamRegister(DepthwiseJob)
        wiring.connect(m, jobs.o, between.i)
        wiring.connect(m, between.o, addresses.i)
        for name in ("expanded", "projected", "weights_ready", "constants_ready"):
            m.d.comb += getattr(jobs, name).eq(getattr(self, name))
        for part in (jobs, addresses, taps):
            m.d.comb += part.fields.eq(self.fields)
        m.d.comb += [
            jobs.start.eq(self.start),
            addresses.start.eq(self.start),
            self.freed.eq(addresses.freed),
            taps.tap.eq(addresses.tap),
            *(port.eq(address) for port, address in zip(self.line_address, addresses.address, strict=True)),
        ]

        # Sums.
        notice = DepthwiseTaps.LATENCY - DepthwiseResults.NOTICE
        ended = Signal(notice)
        m.d.sync += ended.eq(Cat(addresses.tap.valid & addresses.tap.last, ended))
        m.d.comb += [
            *(port.eq(word) for port, word in zip(taps.line_data, self.line_data, strict=True)),
            self.weight_address.eq(taps.weight_address),
            taps.weight_data.eq(self.weight_data),
            self.weights_freed.eq(taps.weights_freed),
            self.forming.eq(taps.forming),
        ]

        # Bytes.
        m.d.comb += [
            results.range.eq(self.fields.range),
            results.end.eq(ended[-1]),
            results.ends.as_value().eq(delayed(m, addresses.tap.ends.as_value(), notice)),
            results.sums.eq(taps.sums),
            self.constant_address.eq(results.constant_address),
            results.constant_data.eq(self.constant_data),
            self.constants_freed.eq(results.constants_freed),
        ]
        under_way = self._leave(m, results, addresses)

        with m.If(~jobs.running & ~between.o.valid & addresses.idle & ~under_way):
            m.d.sync += self.done.eq(1)
        with m.If(self.start):
            m.d.sync += self.done.eq(0)
        m.d.sync += [
            self.waiting_data.eq(addresses.idle & jobs.blocked_data),
            self.waiting_weights.eq(addresses.idle & jobs.blocked_weights),
        ]
        return m

    def _leave(self, m: Module, results: DepthwiseResults, addresses: DepthwiseAddresses) -> Signal:
        """The FIFO, its places, and where its words go; returns whether a result is under way."""
        word = data.StructLayout({"data": 8 * self._config.group, "ends": ResultEnds})
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=word.size, depth=FIFO_WORDS)
        m.submodules.walker = walker = Walker(pixels=self._config.pixels)
        head, sent = Signal(word), Signal()
        m.d.comb += [
            fifo.w_data.eq(Cat(results.o, results.o_ends)),
            fifo.w_en.eq(results.o_valid),
            head.as_value().eq(fifo.r_data),
            sent.eq(self.o.valid & self.o.ready),
            fifo.r_en.eq(sent),
        ]

        # A result has a place in the FIFO from its first tap on.
        places, after = Signal(range(FIFO_WORDS + 1), init=FIFO_WORDS), Signal(range(FIFO_WORDS + 1))
        room, under_way = Signal(init=1), Signal()
        gone = delayed(m, sent, 1, name="gone", reset_less=False)
        m.d.comb += [after.eq(places - addresses.begin + gone), addresses.room.eq(room)]
        m.d.sync += [places.eq(after), room.eq(after != 0), under_way.eq(after != FIFO_WORDS)]

        # The segment's pixels are counted in its last group.
        pixels, counted = Signal(SIZE_BITS), Signal(SIZE_BITS)
        m.d.comb += [
            counted.eq(pixels + 1),
            self.o.valid.eq(fifo.r_rdy),
            self.o.payload.data.eq(head.data),
            self.o.payload.bank.eq(walker.bank),
            self.o.payload.address.eq(walker.address),
            self.o.payload.mark.eq(Mux(head.ends.segment & head.ends.last_slice, counted, 0)),
            walker.fields.eq(self.fields.walk),
            walker.start.eq(self.start),
            walker.step.eq(sent),
            Cat(walker.end_group, walker.end_segment, walker.end_slice).eq(head.ends),
        ]
        with m.If(sent):
            m.d.sync += pixels.eq(Mux(head.ends.group, 0, counted))
        return under_way
