"""What a board instantiates until the host's link is there: the gateware with its register port on a shift register.

The register port is driven by the serial line bit by bit and its answer is folded into one bit, so that synthesis keeps all of it.
"""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.config import EngineConfig
from narrows.hw.sdram import sdram_pins
from narrows.hw.top import Top, memory_timing


class System(wiring.Component):
    """Lights: ``busy``, a program runs; ``error``, never; ``alive`` goes on and off about once a second. ``rx``, ``tx``: serial line."""

    def __init__(self, *, config: EngineConfig, clock_hz: int) -> None:
        self._config, self._clock_hz = config, clock_hz
        super().__init__({
            "rx": In(1, init=1), "tx": Out(1, init=1), "sdram": Out(sdram_pins(memory_timing(config).part)),
            "busy": Out(1), "error": Out(1), "alive": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.top = top = Top(config=self._config)
        wiring.connect(m, wiring.flipped(self.sdram), top.sdram)
        bits, count = Signal(41), Signal((self._clock_hz - 1).bit_length())
        m.d.sync += [bits.eq(Cat(self.rx, bits)), count.eq(count + 1), self.tx.eq(top.bus.read_data.xor())]
        m.d.comb += [
            Cat(top.bus.write_data, top.bus.address, top.bus.write).eq(bits),
            self.busy.eq(top.busy), self.alive.eq(count[-1]),
        ]
        return m
