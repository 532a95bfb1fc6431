"""Requantisation behind the depthwise unit: a few lanes take a result word's channels in turn."""

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.arithmetic.ports import ChannelConstants, OutputRange
from narrows.hw.arithmetic.requantise import Requantise
from narrows.hw.config import EngineConfig
from narrows.hw.depthwise.addresses import ResultEnds
from narrows.hw.depthwise.fields import SUM_BITS
from narrows.hw.depthwise.geometry import constant_words
from narrows.hw.depthwise.memory import COUNT_BITS, SliceReader
from narrows.hw.parts.delay import delayed

#: Cycles from a constants' address to its word in front of the lanes: the read and a register.
_CONSTANTS = 3


class DepthwiseResults(wiring.Component):
    """Bytes of ``group`` channels from their sums, ``depthwise_requantisers`` per cycle.

    ``end`` announces a result (with ``ends``), whose ``sums`` are taken ``NOTICE`` cycles later; ends are at least
    ``constant_words(config)`` cycles apart. Word p of a group's constants holds the channels ``p * lanes + lane``;
    ``constant_data`` comes two cycles after its address. The word is on ``o`` for one cycle, with ``o_valid`` and ``o_ends``,
    ``latency(config)`` cycles after ``end``.
    """

    NOTICE = 2

    def __init__(self, *, config: EngineConfig):
        self._group, self._lanes = config.group, config.depthwise_requantisers
        self._phases = constant_words(config)
        self._latency = self.latency(config)
        super().__init__({
            "range": In(OutputRange),
            "end": In(1),
            "ends": In(ResultEnds),
            "sums": In(data.ArrayLayout(signed(SUM_BITS), config.group)),
            "constant_address": Out(range(config.depthwise_words)),
            "constant_data": In(data.ArrayLayout(ChannelConstants, self._lanes)),
            "constants_freed": Out(COUNT_BITS),
            "o": Out(8 * config.group),
            "o_valid": Out(1),
            "o_ends": Out(ResultEnds),
        })

    @classmethod
    def latency(cls, config: EngineConfig) -> int:
        """Cycles from ``end`` to ``o``."""
        return cls.NOTICE + constant_words(config) + Requantise.LATENCY

    def elaborate(self, platform):
        m = Module()
        lanes, phases = self._lanes, self._phases
        ended = Signal(self._latency)
        m.d.sync += ended.eq(Cat(self.end, ended))
        at = Cat(self.end, ended)  # at[n]: a result was announced n cycles ago
        ends = self.ends.as_value()

        # Cycles 0 to phases - 1: addresses of constants.
        m.submodules.reader = reader = SliceReader()
        last_ends = delayed(m, ends, phases - 1)
        m.d.comb += [
            reader.step.eq(at[:phases].any()),
            reader.end_result.eq(at[phases - 1]),
            Cat(reader.end_group, reader.end_segment, reader.end_slice).eq(last_ends),
            self.constant_address.eq(reader.count),
            self.constants_freed.eq(reader.freed),
        ]
        constants = Signal(data.ArrayLayout(ChannelConstants, lanes), reset_less=True)
        m.d.sync += constants.eq(self.constant_data)

        # Cycle 2: the sums are taken, and pass the lanes in the cycles 3 to 3 + phases - 1.
        waiting = Signal(data.ArrayLayout(signed(SUM_BITS), self._group), reset_less=True)
        m.d.sync += waiting.as_value().eq(waiting.as_value() >> (lanes * SUM_BITS))
        with m.If(at[self.NOTICE]):
            m.d.sync += waiting.eq(self.sums)

        # Their bytes, gathered from the last lanes to the first: the word is whole when the last ones leave.
        fresh = Signal(8 * lanes)
        gathered = Signal(8 * lanes * (phases - 1))
        for lane in range(lanes):
            m.submodules[f"lane{lane}"] = requantise = Requantise()
            m.d.comb += [
                requantise.valid.eq(at[_CONSTANTS : _CONSTANTS + phases].any()),
                requantise.acc.eq(waiting[lane]),
                requantise.constants.eq(constants[lane]),
                requantise.range.eq(self.range),
                fresh[8 * lane : 8 * lane + 8].eq(requantise.o),
            ]
        whole = Cat(gathered, fresh)
        m.d.sync += gathered.eq(whole[8 * lanes :])
        m.d.comb += [
            self.o.eq(whole),
            self.o_valid.eq(at[self._latency]),
            self.o_ends.as_value().eq(delayed(m, last_ends, self._latency - phases + 1)),
        ]
        return m
