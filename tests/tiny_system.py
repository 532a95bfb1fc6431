"""A system that routes in seconds, with the ports of a board's: a multiplier, a block RAM, copies of a register, all pins in use."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.config import EngineConfig
from narrows.hw.dram.controller import sdram_pins
from narrows.hw.dram.pins import SdramRegisters
from narrows.hw.top import memory_timing


class TinySystem(wiring.Component):
    """``rx`` fills a shift register, ``tx`` tells of everything."""

    def __init__(self, *, config: EngineConfig, clock_hz: int) -> None:
        self._part = memory_timing(config).part
        super().__init__({
            "rx": In(1), "tx": Out(1), "sdram": Out(sdram_pins(self._part)), "busy": Out(1), "error": Out(1), "alive": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.sdram_io = sdram_io = SdramRegisters(part=self._part)
        m.submodules.ram = ram = memory.Memory(shape=16, depth=1024, init=[])
        wiring.connect(m, wiring.flipped(self.sdram), sdram_io.pins)
        controller, write, read = sdram_io.controller, ram.write_port(), ram.read_port()
        bits = Signal(32)
        total = Signal(16)
        # One by one: of several in one assignment Amaranth names only the last.
        here_dup = Signal(4)
        there_dup = Signal(4)
        m.d.sync += [
            bits.eq(Cat(self.rx, bits)), total.eq(bits[:16] * read.data), here_dup.eq(bits[3:]), there_dup.eq(bits[3:]),
            self.tx.eq(total.xor() ^ controller.dq_i.xor()),
        ]
        m.d.comb += [
            write.addr.eq(bits[16:]), write.data.eq(bits), write.en.eq(bits[31]), read.addr.eq(bits[:10]),
            controller.dq_o.eq(bits), controller.dq_oe.eq(bits[20]), controller.a.eq(here_dup), controller.ba.eq(there_dup),
            Cat(controller.cke, controller.cs_n, controller.ras_n, controller.cas_n, controller.we_n, controller.dqm).eq(bits[7:]),
            self.alive.eq(bits[5]), self.busy.eq(bits[6]), self.error.eq(bits[7]),
        ]
        return m
