"""What a board instantiates: everything behind a serial line, or behind the line's bytes."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.config import EngineConfig
from narrows.hw.dram.controller import sdram_pins
from narrows.hw.link.host import Link
from narrows.hw.link.uart import UartReceiver, UartTransmitter
from narrows.hw.top import Register, Status, Top, memory_timing

#: The baud rate of a USB serial converter that does not make the line the slower part.
BAUD = 3_000_000


class LinkedTop(wiring.Component):
    """:class:`narrows.hw.top.Top` with a host at the byte streams ``i`` and ``o``; ``line_error``: a byte of ``i`` was lost.

    ``clock_hz``: what the host is told, the configuration's clock if not given.
    """

    def __init__(self, *, config: EngineConfig, clock_hz: int | None = None, startup_us: float | None = None):
        self._config, self._startup_us = config, startup_us
        self._clock_hz = clock_hz or config.sdram_mhz * 1_000_000
        super().__init__({
            "i": In(stream.Signature(8)), "line_error": In(1), "o": Out(stream.Signature(8)),
            "sdram": Out(sdram_pins(memory_timing(config).part)),
            "busy": Out(1), "done": Out(1), "block_done": Out(1), "status": Out(8),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.top = top = Top(config=self._config, startup_us=self._startup_us)
        m.submodules.link = link = Link(
            digest=self._config.digest, clock_hz=self._clock_hz,
            control=Register.CONTROL, index=Register.COUNTER_INDEX, value=Register.COUNTER,
        )
        wiring.connect(m, link.bus, top.bus)
        wiring.connect(m, link.memory, top.host)
        wiring.connect(m, wiring.flipped(self.sdram), top.sdram)
        wiring.connect(m, wiring.flipped(self.i), link.i)
        wiring.connect(m, wiring.flipped(self.o), link.o)
        m.d.comb += [
            link.error.eq(self.line_error), link.busy.eq(top.busy), link.hold.eq(top.resetting), link.status.eq(top.status),
            *(getattr(self, name).eq(getattr(top, name)) for name in ("busy", "done", "block_done", "status")),
        ]
        return m


class System(wiring.Component):
    """The whole gateware, in one clock domain of ``clock_hz`` (the configuration's clock if not given).

    ``rx``, ``tx``: the serial line from and to the host, ``baud`` bits per second. Lights: ``busy``, a program runs;
    ``error``, one made no sense or is hung; ``alive`` goes on and off about once a second.
    """

    def __init__(
        self, *, config: EngineConfig, clock_hz: int | None = None, baud: int = BAUD, startup_us: float | None = None,
    ):
        self._linked = LinkedTop(config=config, clock_hz=clock_hz, startup_us=startup_us)
        self._clock_hz, self._baud = clock_hz or config.sdram_mhz * 1_000_000, baud
        super().__init__({
            "rx": In(1, init=1), "tx": Out(1, init=1), "sdram": Out(sdram_pins(memory_timing(config).part)),
            "busy": Out(1), "error": Out(1), "alive": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.linked = linked = self._linked
        m.submodules.receiver = receiver = UartReceiver(clock_hz=self._clock_hz, baud=self._baud)
        m.submodules.transmitter = transmitter = UartTransmitter(clock_hz=self._clock_hz, baud=self._baud)
        wiring.connect(m, receiver.o, linked.i)
        wiring.connect(m, linked.o, transmitter.i)
        wiring.connect(m, wiring.flipped(self.sdram), linked.sdram)
        m.d.comb += [receiver.rx.eq(self.rx), self.tx.eq(transmitter.tx), linked.line_error.eq(receiver.error)]
        blink = Signal(range(self._clock_hz))
        m.d.sync += [
            blink.eq(blink + 1), self.alive.eq(blink[-1]), self.busy.eq(linked.busy),
            self.error.eq((linked.status & (Status.BAD | Status.HUNG)).any()),
        ]
        return m
