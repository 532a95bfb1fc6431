"""What all boards have in common: clocks, reset, the SDRAM's pins, a serial line and lights around :class:`narrows.hw.system.System`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from amaranth.hdl import ClockDomain, ClockSignal, Const, Elaboratable, Instance, Module, Signal
from amaranth.lib import io, wiring

from narrows.boards.pll import Pll, find_pll
from narrows.boards.sdram_phase import Margins, best_phase
from narrows.hw.config import EngineConfig
from narrows.hw.dram.pins import SdramPads
from narrows.hw.dram.timing import SdramTiming
from narrows.hw.system import System
from narrows.hw.top import memory_timing

#: Cycles of the board's clock from the release of the global reset to the first edge of the engine's: longer than it takes to get anywhere.
_SETTLE = 15

#: A floorplan: from the names and types of a netlist's cells to the BELs of those that have their place.
Floorplan = Callable[[Mapping[str, str]], Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class Board:
    """A board of the catalogue.

    ``platform``: the class that knows its pins. ``clock``: the resource with its oscillator, of ``clock_mhz``. ``config``: the engine
    built for it if no other is asked for, with the SDRAM part it carries. ``button``: the resource that resets. ``lights``: resources
    for alive, busy and error. ``high``: pins to hold high, as resource, number and the name within. ``loader``: its name for
    openFPGALoader, which knows it from ``loader_version`` on; an older one is told the ``cable`` and which of its ``pins`` are TDI, TDO,
    TCK and TMS. ``floorplan``: sites for multipliers and block RAMs. ``dense``: ``config`` fills the chip, so its netlist has to leave
    the router as much room as it can, at the cost of longer paths. ``target_mhz``: what the router is asked for at that config's clock, if
    more than the clock, so that it tries harder. ``first_seed``: of the router's random placements, one that is known to be fast enough.
    """

    name: str
    platform: type
    clock: str
    clock_mhz: int
    config: EngineConfig
    button: tuple[str, int] | None
    lights: tuple[tuple[str, int], ...]
    high: tuple[tuple[str, int, str], ...] = ()
    loader: str
    loader_version: str
    cable: str
    pins: str
    floorplan: Floorplan | None = None
    dense: bool = False
    target_mhz: float | None = None
    first_seed: int = 1

    @property
    def device(self) -> str:
        """The FPGA."""
        return self.platform.device


class Clocking:
    """The clocks of ``config`` on ``board``: the PLL's setting with the phase of the SDRAM's clock, and what is left of its times.

    Raises ``ValueError`` if the PLL's clock is too fast for the timing the engine is built with, or no phase suits the SDRAM.
    """

    def __init__(self, *, board: Board, config: EngineConfig) -> None:
        self.timing = memory_timing(config)
        pll = find_pll(input_mhz=board.clock_mhz, wanted_mhz=config.sdram_mhz)
        self._check(pll, config)
        steps, self.margins = best_phase(
            step_ns=float(125 / pll.vco_mhz), clock_mhz=float(pll.output_mhz), cas_latency=self.timing.cas_latency
        )
        if self.margins.worst < 0:
            raise ValueError(f"No phase of the SDRAM's clock leaves it enough time at {config.sdram_mhz} MHz; choose a slower clock.")
        self.pll: Pll = dataclasses.replace(pll, phase_steps=steps)

    margins: Margins

    def _check(self, pll: Pll, config: EngineConfig) -> None:
        """The clock is only near the wanted one: a faster one must need no more cycles."""
        exact = pll.output_mhz  # as a fraction: 15 ns are two cycles of 133 1/3 MHz and not a hair more
        needed: SdramTiming = self.timing.part.at(clock_mhz=exact, cas_latency=self.timing.cas_latency)
        for field in dataclasses.fields(SdramTiming):
            name, built = field.name, getattr(self.timing, field.name)
            if name.startswith("t_") and name != "t_refi" and built < getattr(needed, name):
                raise ValueError(
                    f"The PLL's clock would be {float(exact):.3f} MHz, at which {config.sdram} needs a longer {name} than at "
                    f"{config.sdram_mhz} MHz; choose another clock."
                )


class Gateware(Elaboratable):
    """Everything on the FPGA of ``board``: ``system`` for ``config``, its clocks and pins.

    Domains: ``sync``, the engine's; ``sdram``, the same clock later, for the SDRAM's clock pin; ``raw``, the board's oscillator.

    Reset: none of the engine's registers has a reset input, on the board as in simulation; all power up with their initial values. While
    the PLL is not locked or the button is pressed, the chip's global reset (SGSR) puts every register back to that value, and the
    engine's clock stands still. The reset ends on the board's clock; the engine's starts 16 of those cycles later, so that no
    register sees an edge while its neighbour is still held.
    """

    #: Of each domain the cell and its port that has the clock.
    CLOCKS: ClassVar[dict[str, tuple[str, str]]] = {"sync": ("gate", "CLKO"), "sdram": ("pll", "CLKOS"), "raw": ("reset", "CLK")}

    def __init__(self, *, board: Board, config: EngineConfig, system: Callable[..., Elaboratable] = System) -> None:
        self._board, self._config, self._system = board, config, system
        self.clocking = Clocking(board=board, config=config)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        self._clocks(m, platform)
        hertz = round(self.clocking.pll.output_mhz * 1_000_000)
        m.submodules.system = system = self._system(config=self._config, clock_hz=hertz)

        memory = platform.request("sdram", 0, dir="-")
        m.submodules.sdram_pads = pads = SdramPads(part=self.clocking.timing.part, ports=memory)
        wiring.connect(m, system.sdram, pads.pins)
        m.submodules.sdram_clock = clock = io.DDRBuffer("o", memory.clk, o_domain="sdram")
        m.d.comb += [clock.o[0].eq(1), clock.o[1].eq(0)]

        line = platform.request("uart", 0, dir="-")
        m.submodules.rx = rx = io.Buffer("i", line.rx)
        m.submodules.tx = tx = io.Buffer("o", line.tx)
        m.d.comb += [system.rx.eq(rx.i), tx.o.eq(system.tx)]

        for (resource, number), name in zip(self._board.lights, ("alive", "busy", "error"), strict=True):
            m.submodules[f"light_{name}"] = light = io.Buffer("o", platform.request(resource, number, dir="-"))
            m.d.comb += light.o.eq(getattr(system, name))
        for resource, number, name in self._board.high:
            m.submodules[f"{resource}_{name}"] = pin = io.Buffer("o", getattr(platform.request(resource, number, dir="-"), name))
            m.d.comb += pin.o.eq(1)
        return m

    def _clocks(self, m: Module, platform: Any) -> None:
        """The domains, the PLL, and the order in which things start."""
        for name in ("sync", "sdram", "raw"):
            m.domains += ClockDomain(name, reset_less=True)
        m.submodules.oscillator = oscillator = io.Buffer("i", platform.request(self._board.clock, 0, dir="-"))
        made, locked = Signal(name="pll_clock"), Signal()
        m.d.comb += ClockSignal("raw").eq(oscillator.i)
        m.submodules.pll = self.clocking.pll.instance(clock=oscillator.i, first=made, second=ClockSignal("sdram"), locked=locked)

        # Two registers that the global reset leaves alone, for it comes out of them.
        pressed = Const(0)
        if self._board.button is not None:
            m.submodules.button = button = io.Buffer("i", platform.request(*self._board.button, dir="-"))
            pressed = button.i
        waiting, released = Signal(), Signal()
        for index, (d, q) in enumerate(((locked & ~pressed, waiting), (waiting, released))):
            m.submodules[f"release{index}"] = Instance("FD1S3AX", p_GSR="DISABLED", i_CK=ClockSignal("raw"), i_D=d, o_Q=q)
        m.submodules.reset = Instance("SGSR", i_CLK=ClockSignal("raw"), i_GSR=released)

        # This counter is one of those it resets.
        count, running = Signal(range(_SETTLE + 1)), Signal()
        with m.If(count == _SETTLE):
            m.d.raw += running.eq(1)
        with m.Else():
            m.d.raw += count.eq(count + 1)
        m.submodules.gate = Instance("DCCA", i_CLKI=made, i_CE=running, o_CLKO=ClockSignal("sync"))
