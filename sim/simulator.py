"""The whole system, cycle by cycle: the top module, an SDRAM chip, and a host at the register port.

Nothing is left out to be fast: refresh, row misses and bus turnarounds cost what they cost on a
board, and a controller that breaks a rule of the chip stops the simulation.

    with board(config) as simulator:
        simulator.load(address, program)
        simulator.write(Register.PROGRAM_WORDS, len(program) // 2)
        simulator.write(Register.CONTROL, 1)
        stop = simulator.run(max_cycles=10_000_000)
        result = simulator.read_memory(address, count)
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Self

from amaranth.lib import wiring

from narrows import hw
from narrows.hw.config import EngineConfig
from narrows.hw.dram.timing import SdramTiming
from narrows.hw.system import LinkedTop
from narrows.hw.top import Top, memory_timing
from narrows.sim.build import Progress, build
from narrows.sim.library import Library, SimulationError
from narrows.sim.sdram_chip import SdramParameters
from narrows.sim.sources import sources
from narrows.sim.watch import CInterval, Interval, masks, named

#: Cycles simulated in one call of the library: a few tens of milliseconds, so that Ctrl-C is heard.
SLICE = 50_000

#: The wait after power-up, in microseconds; on a board it is 200, in which nothing happens.
STARTUP_US = 1.0


def board(
    config: EngineConfig,
    *,
    netlist: bool = False,
    trace: str | Path | None = None,
    window: tuple[int, int] | None = None,
    progress: Progress | None = None,
    link: bool = False,
) -> Simulator:
    """The simulated board of ``config``: its top module, or with ``netlist`` what synthesis makes of it, and its memory part.

    Its host has the register port or, with ``link``, the bytes of the line (:meth:`Simulator.send`, :meth:`Simulator.receive`).
    """
    key = repr((config, link, STARTUP_US, sources(Path(hw.__file__).parent)))
    # A netlist is what a board gets, which nobody watches.
    design = LinkedTop if link else Top if netlist else partial(Top, watched=True)
    return Simulator(
        lambda: design(config=config, startup_us=STARTUP_US),
        timing=memory_timing(config),
        startup_us=STARTUP_US,
        key=key,
        netlist=netlist,
        trace=trace,
        window=window,
        progress=progress,
    )


@dataclass(frozen=True)
class Stop:
    """Why :meth:`Simulator.run` returned: ``reason``, after ``cycles`` more cycles, at cycle ``cycle``."""

    reason: Literal["done", "limit"]
    cycles: int
    cycle: int


class Simulator:
    """A running system. Construction compiles it (once per content) and powers it up.

    ``design``, or what it returns, has the ports of :class:`narrows.hw.top.Top` or of :class:`narrows.hw.system.LinkedTop`;
    ``timing`` is that of the part at its SDRAM pins, which is held to the part's own figures, and ``startup_us`` as given to the
    controller. ``trace`` names a ``.vcd`` file to write, of the cycles ``window[0]`` up to but not including ``window[1]``; in it
    a cycle lasts 10 ns whatever the clock is. ``progress`` hears about the compilation; ``key`` and ``netlist`` are
    passed on to :func:`narrows.sim.build.build`.

    Cycles are counted from power-up. Raises :class:`NarrowsError` if the tools fail or an argument makes no sense. Threads may share
    it: each call of the library is one at a time, and after :meth:`close` by any of them all get an error.
    """

    def __init__(
        self,
        design: wiring.Component | Callable[[], wiring.Component],
        *,
        timing: SdramTiming,
        startup_us: float | None = None,
        key: str = "",
        netlist: bool = False,
        trace: str | Path | None = None,
        window: tuple[int, int] | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._library, self._lines = None, []
        begin, end = _checked_window(trace, window)
        part = astuple(SdramParameters.of(timing, startup_us=startup_us))
        path = None if trace is None else str(trace).encode()
        built = build(design, key=key, trace=trace is not None, netlist=netlist, progress=progress)
        self._library = Library(built, (ctypes.c_uint64 * len(part))(*part), path, begin, end)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the simulation, which completes its waveform. Whatever is called afterwards is an error, as is a :meth:`run` under way."""
        if self._library is not None:
            self._library.close()

    __del__ = close

    # The SDRAM's memory, by a door that no board has.

    @property
    def memory_size(self) -> int:
        """Bytes in the SDRAM."""
        return self._library.call("memory_size")

    def load(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Put ``data`` into the SDRAM at byte ``address``, in no time."""
        data = bytes(data)
        self._check_range(address, len(data))
        self._library.call("load", address, data, len(data))

    def read_memory(self, address: int, count: int) -> bytes:
        """``count`` bytes of the SDRAM from byte ``address``, in no time."""
        self._check_range(address, count)
        buffer = ctypes.create_string_buffer(count)
        self._library.call("read", address, buffer, count)
        return buffer.raw

    # The register port, which takes the cycles it takes.

    def write(self, address: int, value: int) -> None:
        """Write a 32-bit register: two cycles, after which it has its effect."""
        self._library.call("bus_write", _checked("register address", address, 8), _checked("register value", value, 32))

    def read(self, address: int) -> int:
        """Read a 32-bit register: two cycles."""
        return self._library.call("bus_read", _checked("register address", address, 8))

    # The line's bytes, of a design that has a link. They take the cycles that the gateware needs, not those of a serial line.

    def send(self, data: bytes) -> None:
        """Bytes for the board to take as it can, while cycles pass."""
        self._library.call("send", data, len(data))

    def receive(self, count: int, *, max_cycles: int) -> bytes:
        """Up to ``count`` bytes that the board has sent, after as many cycles as it takes, ``max_cycles`` at most."""
        buffer = ctypes.create_string_buffer(count)
        got = self._library.call("receive", buffer, count, max_cycles)
        self._check_rules()
        return buffer.raw[:got]

    # Time.

    @property
    def cycle(self) -> int:
        """Cycles simulated so far."""
        return self._library.call("cycle")

    @property
    def pins(self) -> int:
        """A hash of the values that all outputs of the design had in all cycles so far."""
        return self._library.call("pins")

    @property
    def done(self) -> bool:
        """The output ``done``: the program has ended."""
        return bool(self._library.call("done"))

    @property
    def busy(self) -> bool:
        """The output ``busy``: a program is running."""
        return bool(self._library.call("busy"))

    @property
    def block_cycles(self) -> list[int]:
        """The cycle of every ``block_done``."""
        with self._library.lock:
            count = self._library.call("blocks", None, 0)
            buffer = (ctypes.c_uint64 * count)()
            self._library.call("blocks", buffer, count)
        return list(buffer)

    def watch(self, lines: Mapping[str, Sequence[str]], *, pause: int = 0) -> None:
        """From now on keep for every line the intervals in which one of its things (names in ``narrows.sim.watch.WATCHED`` that exclude
        each other) is so; what pauses for up to ``pause`` cycles has one interval. What was kept before is forgotten."""
        with self._library.lock:
            self._library.call("watch", masks(lines), len(lines), pause)
            self._lines = list(lines)

    @property
    def intervals(self) -> list[Interval]:
        """What :meth:`watch` kept, line by line in order of time; those of a line do not overlap."""
        with self._library.lock:
            buffer = (CInterval * self._library.call("watched", None, 0))()
            self._library.call("watched", buffer, len(buffer))
            return named(buffer, self._lines)

    def run(self, max_cycles: int, *, until_done: bool = True, progress: Callable[[int], None] | None = None, every: int = SLICE) -> Stop:
        """Simulate until ``done`` is high, or just ``max_cycles`` cycles if not ``until_done``.

        A call while ``done`` is high returns at once. ``progress`` gets the cycles of this call so far,
        each ``every`` cycles. Raises :class:`SimulationError` when a rule of the SDRAM or an assertion of the design is
        broken; reaching ``max_cycles`` is an answer, not an error.
        """
        ran = 0
        while ran < max_cycles:
            wanted = min(every, max_cycles - ran)
            got = self._library.call("run", wanted, until_done)
            ran += got
            if progress is not None:
                progress(ran)
            self._check_rules()
            if got < wanted:
                break
        return Stop("done" if until_done and self.done else "limit", ran, self.cycle)

    def _check_rules(self) -> None:
        if violation := self._library.call("violation").decode():
            raise SimulationError(f"The controller broke a rule of the SDRAM: {violation}.")
        if message := self._library.call("stopped").decode():
            raise SimulationError(f"The design stopped the simulation in cycle {self.cycle}: {message}")

    def _check_range(self, address: int, count: int) -> None:
        if address < 0 or count < 0 or address + count > self.memory_size:
            raise SimulationError(f"{count} bytes at {address} are not in the SDRAM, which has {self.memory_size}.")


def _checked(what: str, value: int, bits: int) -> int:
    if not 0 <= value < 1 << bits:
        raise SimulationError(f"A {what} has {bits} bits; {value} does not fit.")
    return value


def _checked_window(trace: str | Path | None, window: tuple[int, int] | None) -> tuple[int, int]:
    if trace is None:
        if window is not None:
            raise SimulationError("A window of cycles needs a file to write its waveform to.")
        return 0, 0
    if Path(trace).suffix != ".vcd":
        raise SimulationError(f"{trace}: waveforms are written as .vcd (GTKWave and Surfer read it), so name the file so.")
    begin, end = window or (0, 2**63)
    if not 0 <= begin < end:
        raise SimulationError(f"A window is begin:end with 0 <= begin < end, in cycles; {begin}:{end} is not.")
    return begin, end
