"""The depthwise unit with line buffers and memories around it, for tests."""

from amaranth.hdl import Module, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from narrows.hw.activations.ports import activation_write
from narrows.hw.arithmetic.ports import ChannelConstants
from narrows.hw.config import POSITION_BITS, EngineConfig
from narrows.hw.depthwise.fields import DepthwiseFields
from narrows.hw.depthwise.line_buffer import LineBuffer, LineFields, LineWriter
from narrows.hw.depthwise.unit import DepthwiseUnit

CONFIGS = {
    "eight": EngineConfig(line_words=64, depthwise_words=32),
    "four": EngineConfig(group=4, outputs=4, requantisers=4, line_words=128, depthwise_words=64, pixels=4),
    "one": EngineConfig(
        group=4, outputs=4, pixels=1, requantisers=4, depthwise_requantisers=1, residual_lanes=1, line_words=128, depthwise_words=64
    ),
}


class DepthwiseSystem(wiring.Component):
    """Unit, line writer, line buffers, weight and constant memories, the last two with a write port each."""

    def __init__(self, *, config: EngineConfig):
        self._config = config
        self._weight = data.ArrayLayout(signed(9), 3 * config.group)
        self._constant = data.ArrayLayout(ChannelConstants, config.depthwise_requantisers)
        count, address = 16, range(config.depthwise_words)
        super().__init__({
            "fields": In(DepthwiseFields),
            "lines": In(LineFields),
            "start": In(1),
            "done": Out(1),
            "word_valid": In(1),
            "word_data": In(8 * config.group),
            "word_end_group": In(1),
            "word_end_segment": In(1),
            "expanded": Out(POSITION_BITS),
            "freed": Out(POSITION_BITS),
            "projected": In(POSITION_BITS),
            "weights_ready": In(count),
            "weights_freed": Out(count),
            "weight_en": In(1),
            "weight_at": In(address),
            "weight_word": In(self._weight),
            "constants_ready": In(count),
            "constants_freed": Out(count),
            "constant_en": In(1),
            "constant_at": In(address),
            "constant_word": In(self._constant),
            "o": Out(stream.Signature(activation_write(config))),
            "forming": Out(1),
            "waiting_data": Out(1),
            "waiting_weights": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = DepthwiseUnit(config=self._config)
        m.submodules.writer = writer = LineWriter(config=self._config)
        m.submodules.buffer = buffer = LineBuffer(config=self._config)
        for name in ("fields", "start", "projected", "weights_ready", "constants_ready"):
            m.d.comb += getattr(unit, name).eq(getattr(self, name))
        for name in ("done", "freed", "weights_freed", "constants_freed", "forming", "waiting_data", "waiting_weights"):
            m.d.comb += getattr(self, name).eq(getattr(unit, name))
        wiring.connect(m, unit.o, wiring.flipped(self.o))

        m.d.comb += [
            writer.fields.eq(self.lines),
            writer.start.eq(self.start),
            writer.valid.eq(self.word_valid),
            writer.data.eq(self.word_data),
            writer.end_group.eq(self.word_end_group),
            writer.end_segment.eq(self.word_end_segment),
            buffer.write.eq(writer.write),
            unit.expanded.eq(writer.expanded),
            self.expanded.eq(writer.expanded),
        ]
        for bank in range(3):
            m.d.comb += [buffer.address[bank].eq(unit.line_address[bank]), unit.line_data[bank].eq(buffer.data[bank])]

        for name, shape in (("weight", self._weight), ("constant", self._constant)):
            memory = Memory(shape=shape, depth=self._config.depthwise_words, init=[])
            m.submodules[name] = memory
            write, read = memory.write_port(), memory.read_port()
            m.d.comb += [
                write.en.eq(getattr(self, f"{name}_en")),
                write.addr.eq(getattr(self, f"{name}_at")),
                write.data.eq(getattr(self, f"{name}_word")),
                read.addr.eq(getattr(unit, f"{name}_address")),
            ]
            m.d.sync += getattr(unit, f"{name}_data").eq(read.data)
        return m
