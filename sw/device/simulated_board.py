"""The board's gateware in this process: its registers and memory without a line in between, for :class:`narrows.Device`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from narrows.errors import NarrowsError
from narrows.hw.config import EngineConfig
from narrows.hw.link.protocol import MAX_DATA, WINDOW
from narrows.hw.top import RESET, START, Register, Status
from narrows.link.frame import Identity
from narrows.sim.simulator import SLICE, board
from narrows.sim.watch import Interval

#: More cycles than a reset takes.
_RESET_CYCLES = 10_000


class SimulatedBoard:
    """What :class:`narrows.link.client.Link` is for a board at a line. Time passes in :meth:`pause`, some cycles in registers' accesses.

    External memory is reached through the simulator's own door, in no time. ``config``: the engine, compiled unless it is cached;
    ``waveform``: a .vcd file for the cycles ``window``; ``netlist``: what synthesis makes of the gateware, in its place. Raises
    :class:`NarrowsError` where a tool fails. Threads may share it: each method is carried out as a whole.
    """

    def __init__(
        self, config: EngineConfig, *, waveform: Path | None = None, window: tuple[int, int] | None = None,
        progress: Callable[[str, float], None] | None = None, netlist: bool = False,
    ) -> None:
        self._lock = threading.RLock()  # for what takes several accesses
        self._simulator = board(config, netlist=netlist, trace=waveform, window=window, progress=progress)
        self.identity = Identity(
            window=WINDOW, room=0, max_data=MAX_DATA, memory_bytes=self._simulator.memory_size, clock_hz=config.sdram_mhz * 1_000_000,
            digest=config.digest,
        )
        if self._simulator.read(Register.ENGINE) != int(config.digest[:8], 16):
            raise NarrowsError("The simulated gateware is of another engine than it was made for: remove build/sim.")
        while not self._simulator.read(Register.STATUS) & Status.READY:
            pass

    def close(self) -> None:
        """End the simulation, which completes its waveform."""
        self._simulator.close()

    def pause(self, cycles: int = SLICE) -> None:
        """Let so many cycles pass, fewer if the program that runs ends."""
        self._simulator.run(cycles)

    def watch(self, cycles: int) -> None:
        """Nothing: no simulated program waits for the watchdog, as whoever runs it counts its cycles."""

    def observe(self, lines: Mapping[str, Sequence[str]], *, pause: int) -> None:
        """From now on keep what units do: see :meth:`narrows.sim.simulator.Simulator.watch`."""
        self._simulator.watch(lines, pause=pause)

    def observed(self, cycles: int) -> list[Interval]:
        """What :meth:`observe` kept of the last program, whose runs took ``cycles``, in cycles since its start; then it keeps no more."""
        with self._lock:
            begin = self._simulator.block_cycles[-1] - cycles
            found = [replace(one, begin=one.begin - begin, end=one.end - begin) for one in self._simulator.intervals]
            self._simulator.watch({})
        return [one for one in found if one.begin >= 0]

    def read_registers(self, addresses: Sequence[int]) -> list[int]:
        """32-bit registers, one after the other."""
        return [self._simulator.read(address) for address in addresses]

    def read_counters(self, numbers: Sequence[int]) -> list[int]:
        """Performance counters by their numbers (block * ``WORDS`` + counter)."""
        values = []
        for number in numbers:
            with self._lock:
                self._simulator.write(Register.COUNTER_INDEX, number)
                self._simulator.read(Register.STATUS)  # two cycles for the counter memory
                values.append(self._simulator.read(Register.COUNTER))
        return values

    def write_memory(self, address: int, data: bytes) -> None:
        """Put ``data`` at byte ``address``."""
        self._simulator.load(address, data)

    def read_memory(self, address: int, count: int) -> bytes:
        """``count`` bytes from byte ``address`` on."""
        return self._simulator.read_memory(address, count)

    def upload(self, address: int, data: bytes, *, progress: Callable[[int, int], None] | None = None) -> int:
        """Make memory hold ``data`` at byte ``address``; returns the bytes that had to be written, all or none."""
        with self._lock:
            if self.read_memory(address, len(data)) == data:
                return 0
            self.write_memory(address, data)
        return len(data)

    def start(self, address: int, words: int) -> None:
        """Start the program of ``words`` 16-bit words at byte ``address``; refused while one runs."""
        with self._lock:
            if self._simulator.busy:
                raise NarrowsError("The engine is running: wait for its end, or reset it.")
            self._simulator.write(Register.PROGRAM_ADDRESS, address)
            self._simulator.write(Register.PROGRAM_WORDS, words)
            self._simulator.write(Register.CONTROL, START)

    def reset(self) -> None:
        """End whatever program runs; external memory is kept, but for what it was writing."""
        self._simulator.write(Register.CONTROL, RESET)
        self._simulator.run(_RESET_CYCLES, until_done=False)
