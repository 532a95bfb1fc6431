"""A device that runs programs: the gateware in simulation, with the host's registers and external memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from narrows.compiler import Program
from narrows.hw.counters import NAMES, WORDS
from narrows.hw.top import Register, Status
from narrows.network import NarrowsError, Network
from narrows.plan import BlockPlan, Transfer
from narrows.sim.simulator import board

#: What hears of progress: a line of words and the fraction done, 0 to 1.
Progress = Callable[[str, float], None]

#: A program that takes this many times its predicted cycles, and some more, has hung.
_PATIENCE, _GRACE = 4, 1_000_000


@dataclass(frozen=True, eq=False)
class Frame:
    """One run: the engine's ``output`` (shape of the network's output tensor), ``cycles`` from the start command to the
    last byte in external memory, and per block the gateware's counters by the names of :mod:`narrows.hw.counters`."""

    output: np.ndarray
    cycles: int
    blocks: tuple[dict[str, int], ...]


class SimulatedDevice:
    """The board's gateware in simulation. A context manager; one program is loaded at construction."""

    def __init__(
        self, program: Program, *, waveform: Path | None = None, window: tuple[int, int] | None = None,
        progress: Progress | None = None,
    ):
        """Compiles the simulator unless it is cached. ``waveform``: a .vcd file for the cycles ``window``."""
        self._program = program
        config = program.plan.config
        self._simulator = board(config, trace=waveform, window=window, progress=progress)
        if program.address + len(program.image) > self._simulator.memory_size:
            raise NarrowsError(
                f"The program and its tensors take {program.address + len(program.image)} bytes of external memory, "
                f"which has {self._simulator.memory_size}."
            )
        self._simulator.load(program.address, program.image)
        if self._simulator.read(Register.ENGINE) != int(config.digest[:8], 16):
            raise NarrowsError("The program was compiled for another engine than this one; compile it for this configuration.")
        while not self._simulator.read(Register.STATUS) & Status.READY:
            pass

    def __enter__(self) -> SimulatedDevice:
        return self

    def __exit__(self, *_: object) -> None:
        self._simulator.close()

    def run(self, network: Network, picture: np.ndarray, *, expected: int, progress: Progress | None = None) -> Frame:
        """One frame: ``picture`` has the shape and type of ``network.input``; ``expected`` cycles are predicted."""
        simulator, plan = self._simulator, self._program.plan
        simulator.load(plan.picture.address, np.ascontiguousarray(picture).tobytes())
        simulator.write(Register.PROGRAM_ADDRESS, self._program.address)
        simulator.write(Register.PROGRAM_WORDS, self._program.words)
        simulator.write(Register.CONTROL, 1)

        def report(cycles: int) -> None:
            if progress is not None:
                progress(f"running, {cycles / 1e6:.2f} M cycles", min(cycles / max(expected, 1), 1.0))

        stop = simulator.run(_PATIENCE * expected + _GRACE, progress=report)
        if stop.reason != "done":
            status, done = simulator.read(Register.STATUS), simulator.read(Register.BLOCKS)
            where = f"in block {plan.blocks[min(done, len(plan.blocks) - 1)].block.name!r} ({done} of {len(plan.blocks)} done)"
            what = "met a packet it does not know" if status & Status.BAD else f"did not finish in {stop.cycles} cycles"
            raise NarrowsError(f"The engine {what} {where}; please report the model and this line.")
        return Frame(self.tensor(plan.blocks[-1]), simulator.read(Register.CYCLES), self._counters())

    def tensor(self, plan: BlockPlan, transfer: Transfer | None = None) -> np.ndarray:
        """The output of a block that was stored to external memory, in its shape and type."""
        transfer = transfer or plan.store
        assert transfer is not None
        height, width, channels = plan.block.output.shape
        raw = np.frombuffer(self._simulator.read_memory(transfer.address, transfer.bytes), plan.block.output.dtype)
        return raw.reshape(height, width, -1)[:, :, :channels].copy()

    def _counters(self) -> tuple[dict[str, int], ...]:
        simulator = self._simulator
        result = []
        for block in range(len(self._program.plan.blocks)):
            values = {}
            for number, name in enumerate(NAMES):
                simulator.write(Register.COUNTER_INDEX, block * WORDS + number)
                simulator.read(Register.STATUS)  # two cycles for the counter memory
                values[name] = simulator.read(Register.COUNTER)
            result.append(values)
        return tuple(result)
