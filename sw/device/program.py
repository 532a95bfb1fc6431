"""A program in a board's memory, the pictures beside it, and one frame after the other."""

from __future__ import annotations

import numpy as np

from narrows.cycles import predict as cycle_model
from narrows.device.board import Board, size_words
from narrows.device.frame import Frame, Progress
from narrows.device.outputs import read_outputs, read_stored
from narrows.errors import NarrowsError
from narrows.hw.control.counters import NAMES, WORDS
from narrows.hw.top import Register, Status
from narrows.link.client import BLOCK
from narrows.link.frame import LinkError, line_seconds
from narrows.plan.plan import BlockPlan
from narrows.program.encode import Program

#: A program that takes this many times its predicted cycles, and some more, has hung.
_PATIENCE, _GRACE = 4, 1_000_000

#: Bytes of the next picture that are sent between two looks at the frame that runs: less than 60 ms of a 3 Mbaud line.
_PIECE = 16_384


class BoardProgram:
    """``program`` on ``board``, at a line of ``baud`` for the times that are told. As long as it lives nobody else uses the board.

    ``last``: the batch of the last frame, ``counted``: that frame's rows of counters; None before the first one and after one that failed.
    """

    def __init__(self, board: Board, program: Program, *, baud: int) -> None:
        self._board, self._baud = board, baud
        self.program = program
        self.last: list[bytes] | None = None
        self.counted: tuple[dict[str, int], ...] | None = None
        self._expected = sum(block.cycles for block in cycle_model.predict(program.plan))
        self._limit = _PATIENCE * self._expected + _GRACE
        self._verified = False
        self._pictures: dict[int, tuple[bytes, int]] = {}  # those in memory, and how many bytes of each are there

    def verify(self, progress: Progress | None = None) -> int:
        """Compare memory with the program, once, and write what differs; returns the bytes written."""
        if self._verified:
            return 0
        program = self.program
        line = [line_seconds(data, block=BLOCK, baud=self._baud) for data in (program.image, bytes(program.plan.picture.bytes))]

        def report(done: int, total: int) -> None:
            if progress is not None:
                seconds = f"{line[0] * total / len(program.image):.1f} s at {self._baud / 1e6:g} Mbaud; a picture takes {line[1]:.2f} s"
                progress(f"sending {size_words(total)} of program ({seconds}), {size_words(done)} sent", done / total)

        sent = self._board.upload(program.address, program.image, progress=report)
        self._board.watch(self._limit)
        self._verified = True
        return sent

    def frame(self, batch: list[bytes], coming: list[bytes] | None = None, progress: Progress | None = None) -> Frame:
        """Run the program on ``batch``, each picture's bytes; ``coming``: those to send meanwhile, from when the engine has read these."""
        plan = self.program.plan
        self.verify(progress)
        for index in range(plan.images):
            self._put(index, batch, plan.pictures[index].bytes + 1)
        self.last = self.counted = None
        self._board.start(self.program.address, self.program.words)
        sent = self._wait(coming, progress)
        outputs = read_outputs(self._board.read_memory, plan)
        runs, words = len(plan.blocks), len(NAMES)
        counts = self._board.read_counters([run * WORDS + number for run in range(runs) for number in range(words)])
        values = [counts[run * words : (run + 1) * words] for run in range(runs)]
        rows = tuple({str(name): count for name, count in zip(NAMES, run, strict=True)} for run in values)
        frame = Frame(outputs, self._board.read_registers([Register.CYCLES])[0], rows, sent)
        self.last, self.counted = batch, rows
        return frame

    def stored(self, run: BlockPlan) -> np.ndarray:
        """See :meth:`narrows.Device.tensor`."""
        assert run.store is not None
        return read_stored(self._board.read_memory, run.store, run.block.output, run.images, run.stored)

    def _wait(self, coming: list[bytes] | None, progress: Progress | None) -> int:
        """Wait for the program's end by the engine's own clock; returns how many bytes of the pictures ``coming`` were sent meanwhile."""
        plan, sent = self.program.plan, 0
        # How many runs have ended when a picture has been read.
        read = [1 + max(n for n, run in enumerate(plan.blocks) if run.picture == region) for region in plan.pictures]
        self._board.pause()
        while True:
            status, runs, cycles = self._board.read_registers((Register.STATUS, Register.BLOCKS, Register.CYCLES))
            if status & Status.DONE:
                return sent
            where = f"in block {plan.blocks[min(runs, len(plan.blocks) - 1)].block.name!r} ({runs} of {len(plan.blocks)} done)"
            if status & Status.BAD:
                raise NarrowsError(f"The engine met a packet it does not know {where}; please report the model and this line.")
            if status & Status.HUNG or cycles > self._limit:
                raise NarrowsError(f"The engine did not finish in {cycles} cycles {where}; please report the model and this line.")
            if not status & Status.BUSY:
                raise LinkError(f"The engine was reset {where}: is somebody else using the board?")
            if progress is not None:
                progress(f"running, {cycles / 1e6:.2f} M cycles", min(cycles / max(self._expected, 1), 1.0))
            free = [index for index, after in enumerate(read) if runs >= after]
            piece = 0 if coming is None else next(filter(None, (self._put(index, coming, _PIECE) for index in free)), 0)
            sent += piece
            if not piece:
                self._board.pause()

    def _put(self, index: int, batch: list[bytes], most: int) -> int:
        """Send up to ``most`` bytes of picture ``index``, but none that are there already; returns how many were sent."""
        data = batch[index % len(batch)]
        there, sent = self._pictures.pop(index, (b"", 0))  # nothing is known of it until what is sent has arrived
        sent = sent if there == data else 0
        part = data[sent : sent + most]
        if part:
            self._board.write_memory(self.program.plan.pictures[index].address + sent, part)
        self._pictures[index] = data, sent + len(part)
        return len(part)
