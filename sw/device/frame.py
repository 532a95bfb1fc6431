"""A device that runs programs: the gateware in simulation, with the host's registers and external memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from narrows.device.outputs import read_outputs, read_stored
from narrows.errors import NarrowsError
from narrows.graph.network import Network
from narrows.hw.control.counters import NAMES, WORDS
from narrows.hw.top import Register, Status
from narrows.plan.plan import BlockPlan
from narrows.program.encode import Program
from narrows.sim.simulator import board

#: What hears of progress: a line of words and the fraction done, 0 to 1.
Progress = Callable[[str, float], None]

#: A program that takes this many times its predicted cycles, and some more, has hung.
_PATIENCE, _GRACE = 4, 1_000_000


@dataclass(frozen=True, eq=False)
class Frame:
    """One run of a program: the engine's ``outputs``, for each image an array for each of the network's outputs, ``cycles`` from the start
    command to the last byte in external memory, and for each of the plan's runs the gateware's counters by the names of
    :mod:`narrows.hw.control.counters`. A program of a stream gives the outputs of the images of its run before.

    ``sent``: bytes of the next pictures that the host sent meanwhile. Over a line they go through the memory that the engine uses: they
    are among the words written, in whatever block they came, and may cost it cycles. With 0 all counters are the program's own."""

    outputs: tuple[tuple[np.ndarray, ...], ...]
    cycles: int
    blocks: tuple[dict[str, int], ...]
    sent: int = 0

    @property
    def output(self) -> np.ndarray:
        """The first image's last output, which is the only one of most networks."""
        return self.outputs[0][-1]


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

    def run(
        self, network: Network, picture: np.ndarray, *pictures: np.ndarray, expected: int, progress: Progress | None = None
    ) -> Frame:
        """Run the program: every picture has the shape and type of ``network.input``, and there are as many as the plan has images, or
        fewer, which are repeated then; ``expected`` cycles are predicted."""
        simulator, plan = self._simulator, self._program.plan
        given = (picture, *pictures)
        if len(given) > plan.images:
            raise NarrowsError(f"The program takes {plan.images} pictures at once, not {len(given)}.")
        for index, region in enumerate(plan.pictures):
            simulator.load(region.address, np.ascontiguousarray(given[index % len(given)]).tobytes())
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
        return Frame(read_outputs(simulator.read_memory, plan), simulator.read(Register.CYCLES), self._counters())

    def tensor(self, run: BlockPlan) -> np.ndarray:
        """What a run stored to external memory: (images, height, width, ``run.stored`` channels)."""
        assert run.store is not None
        return read_stored(self._simulator.read_memory, run.store, run.block.output, run.images, run.stored)

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
