"""One driver for every board: simulated in this process, behind a TCP port, or at a serial line.

    with Device.open("/dev/ttyUSB0") as device:
        device.load(program)
        for frame in device.stream(pictures):
            ...
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

import numpy as np

from narrows import cycles as cycle_model
from narrows.board_port import Board, find_config, open_board, picture_bytes, size_words
from narrows.compiler import Program
from narrows.device import Frame, Progress
from narrows.hw.config import EngineConfig
from narrows.hw.counters import NAMES, WORDS
from narrows.hw.system import BAUD
from narrows.hw.top import Register, Status
from narrows.link import BLOCK
from narrows.link_frame import LinkError, line_seconds
from narrows.network import NarrowsError, Network
from narrows.outputs import read_outputs

if TYPE_CHECKING:
    from narrows.interpreter import Interpreter
    from narrows.sim.watch import Interval
    from narrows.simulated_board import SimulatedBoard

#: The device that is always there.
SIMULATED = "sim"

#: A program that takes this many times its predicted cycles, and some more, has hung.
_PATIENCE, _GRACE = 4, 1_000_000

#: Bytes of the next picture that are sent between two looks at the frame that runs: less than 60 ms of a 3 Mbaud line.
_PIECE = 16_384

#: Seconds before a lost connection is made again, twice as many before each further try.
_BACKOFF = 0.2

_T = TypeVar("_T")


class Device:
    """A board that runs programs: a context manager. Everything either gives the right bytes or raises :class:`NarrowsError`.

    ``connect`` opens the board, and opens it again where the connection was lost; a frame is then run anew, which changes nothing of
    its result, up to ``attempts`` times in all. ``config``: the engine that the board must have; None: one of the built-in
    engines, found by what the board says of itself. ``baud``: the line's rate, for the times that are told.
    """

    def __init__(self, connect: Callable[[], Board], *, config: EngineConfig | None = None, attempts: int = 3, baud: int = BAUD) -> None:
        self._connect, self._attempts, self._baud = connect, attempts, baud
        self._program: Program | None = None
        self._expected = 0  # cycles of a frame
        self._verified = False  # memory holds the program
        self._pictures: dict[int, tuple[bytes, int]] = {}  # those in memory, and how many bytes of each are there
        self._last: list[bytes] | None = None  # the batch that was run last, if nothing happened to the engine since
        self._board: Board | None = connect()
        self.identity = self._board.identity
        try:
            self.config = config or find_config(self.identity)
            self._require(self._board)
        except BaseException:
            self.close()
            raise

    @classmethod
    def open(
        cls, url: str = SIMULATED, *, config: EngineConfig | None = None, baud: int = BAUD, patience: float | None = None,
        attempts: int = 3, waveform: Path | None = None, window: tuple[int, int] | None = None, progress: Progress | None = None,
    ) -> Device:
        """The board at ``url``: "sim" (the gateware, simulated in this process), "socket://host:port" (a board behind a TCP port,
        as of ``narrows serve``) or a serial port ("/dev/ttyUSB0", "COM3").

        ``config``: the engine; None: the default one for "sim", what the board says for others. ``patience``: seconds without a
        reply after which the link repeats itself. ``waveform``: a .vcd file of the cycles ``window``, of "sim" only.
        """
        if url == SIMULATED:
            from narrows.simulated_board import SimulatedBoard

            chosen = config or EngineConfig()
            return cls(lambda: SimulatedBoard(chosen, waveform=waveform, window=window, progress=progress), config=chosen)
        if waveform is not None or window is not None:
            raise NarrowsError(f"A waveform is of the simulation in this process, not of {url}: run on sim.")
        return cls(lambda: open_board(url, baud=baud, patience=patience), config=config, attempts=attempts, baud=baud)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the port, or end the simulation."""
        board, self._board = self._board, None
        self._verified, self._pictures, self._last = False, {}, None
        if board is not None:
            board.close()

    def load(self, program: Program, *, progress: Progress | None = None) -> int:
        """Make the board's memory hold ``program``, verified by checksums; returns the bytes sent: 0 if all of it was there already."""
        if program.plan.config.digest != self.config.digest:
            raise NarrowsError(
                f"The program was compiled for engine {program.plan.config.digest}, the board has {self.config.digest}: "
                "compile it for this one."
            )
        if program.address + len(program.image) > self.identity.memory_bytes:
            raise NarrowsError(
                f"The program and its tensors take {program.address + len(program.image)} bytes of external memory, "
                f"which has {self.identity.memory_bytes}."
            )
        if program is not self._program:
            self._expected = sum(block.cycles for block in cycle_model.predict(program.plan))
            self._program, self._verified, self._pictures, self._last = program, False, {}, None
        return self._again(lambda board: self._verify(board, progress))

    def interpreter(
        self, model: str | Path | Network, *, slices: int | None = None, progress: Progress | None = None,
        input_range: tuple[float, float] | None = None,
    ) -> Interpreter:
        """``model`` (a .tflite file) compiled for this device, loaded, and ready to be given tensors or pictures."""
        from narrows.interpreter import Interpreter

        # pyright knows this class under two names: see the Makefile's `types`.
        return Interpreter(self, model, slices=slices, progress=progress, input_range=input_range)  # pyright: ignore[reportArgumentType]

    def run(self, *pictures: np.ndarray, progress: Progress | None = None) -> Frame:
        """Run the loaded program once: each picture has the shape and type of the network's input, and there are as many as the plan has
        images, or fewer, which are repeated then. A program of a stream gives the outputs of the run before: use :meth:`stream`."""
        program = self._loaded()
        batch = [picture_bytes(program.plan, picture) for picture in pictures]
        if not 0 < len(batch) <= program.plan.images:
            raise NarrowsError(f"The program takes {program.plan.images} pictures at once, not {len(batch)}.")
        return self._again(lambda board: self._frame(board, batch, lambda: None, progress))

    def stream(self, pictures: Iterable[np.ndarray], *, progress: Progress | None = None) -> Iterator[Frame]:
        """A frame with the outputs of each batch of ``pictures``, in order, as many pictures as the plan has images.

        The next batch is taken, and sent to the board, while a frame runs, from when the engine has read the pictures before.
        """
        source, program = iter(pictures), self._loaded()
        plan, waiting, before = program.plan, list[list[bytes]](), list[bytes]()

        def take(count: int) -> None:
            while len(waiting) < count and (batch := [picture_bytes(program.plan, picture) for picture in islice(source, plan.images)]):
                waiting.append(batch)

        def ahead() -> list[bytes] | None:
            take(2)
            return waiting[1] if len(waiting) > 1 else None

        def attempt(board: Board) -> Frame:
            if plan.late and before and self._last is not before:
                self._frame(board, before, lambda: None, progress)  # the engine must have it again to end it
            return self._frame(board, waiting[0] if waiting else before, ahead, progress)

        take(1)
        while waiting or (plan.late and before):
            self.load(program, progress=progress)  # in case another one was, since the last frame
            frame, of = self._again(attempt), before if plan.late else waiting[0]
            before = waiting.pop(0) if waiting else []
            if of:
                yield replace(frame, outputs=frame.outputs[: len(of)])
            take(1)

    def observe(self, lines: Mapping[str, Sequence[str]], *, pause: int) -> None:
        """From now on keep what units of a simulation in this process do: see :meth:`narrows.sim.simulator.Simulator.watch`."""
        self._observable().observe(lines, pause=pause)

    def observed(self, frame: Frame) -> list[Interval]:
        """What :meth:`observe` kept of the last run, which gave ``frame``, in cycles since its start; then it keeps no more."""
        return self._observable().observed(sum(run["cycles"] for run in frame.blocks))

    def _observable(self) -> SimulatedBoard:
        from narrows.simulated_board import SimulatedBoard

        if not isinstance(self._board, SimulatedBoard):
            raise NarrowsError("Only a simulation in this process tells what every unit does: run on sim.")
        return self._board

    # What one attempt consists of.

    def _frame(self, board: Board, batch: list[bytes], ahead: Callable[[], list[bytes] | None], progress: Progress | None) -> Frame:
        program = self._loaded()
        self._verify(board, progress)
        for index in range(program.plan.images):
            self._put(board, index, batch, program.plan.pictures[index].bytes + 1)
        self._last = None
        board.start(program.address, program.words)
        self._wait(board, ahead, progress)
        outputs = read_outputs(board.read_memory, program.plan)
        runs, words = len(program.plan.blocks), len(NAMES)
        counts = board.read_counters([run * WORDS + number for run in range(runs) for number in range(words)])
        values = [counts[run * words : (run + 1) * words] for run in range(runs)]
        rows = tuple({str(name): count for name, count in zip(NAMES, run, strict=True)} for run in values)
        frame = Frame(outputs, board.read_registers([Register.CYCLES])[0], rows)
        self._last = batch
        return frame

    def _wait(self, board: Board, ahead: Callable[[], list[bytes] | None], progress: Progress | None) -> None:
        """Wait for the program's end by the engine's own clock, sending the next pictures when the engine has read these."""
        plan = self._loaded().plan
        # How many runs have ended when a picture has been read.
        read = [1 + max(n for n, run in enumerate(plan.blocks) if run.picture == region) for region in plan.pictures]
        coming, asked = None, False
        board.pause()
        while True:
            status, runs, cycles = board.read_registers((Register.STATUS, Register.BLOCKS, Register.CYCLES))
            if status & Status.DONE:
                return
            where = f"in block {plan.blocks[min(runs, len(plan.blocks) - 1)].block.name!r} ({runs} of {len(plan.blocks)} done)"
            if status & Status.BAD:
                raise NarrowsError(f"The engine met a packet it does not know {where}; please report the model and this line.")
            if status & Status.HUNG or cycles > self._limit:
                raise NarrowsError(f"The engine did not finish in {cycles} cycles {where}; please report the model and this line.")
            if not status & Status.BUSY:
                raise LinkError(f"The engine was reset {where}: is somebody else using the board?")
            if progress is not None:
                progress(f"running, {cycles / 1e6:.2f} M cycles", min(cycles / max(self._expected, 1), 1.0))
            if runs >= min(read) and not asked:
                coming, asked = ahead(), True
            free = [index for index, after in enumerate(read) if runs >= after]
            if coming is None or not any(self._put(board, index, coming, _PIECE) for index in free):
                board.pause()

    def _verify(self, board: Board, progress: Progress | None) -> int:
        """Compare memory with the program and write what differs."""
        if self._verified:
            return 0
        program = self._loaded()
        line = [line_seconds(data, block=BLOCK, baud=self._baud) for data in (program.image, bytes(program.plan.picture.bytes))]

        def report(done: int, total: int) -> None:
            if progress is not None:
                seconds = f"{line[0] * total / len(program.image):.1f} s at {self._baud / 1e6:g} Mbaud; a picture takes {line[1]:.2f} s"
                progress(f"sending {size_words(total)} of program ({seconds}), {size_words(done)} sent", done / total)

        sent = board.upload(program.address, program.image, progress=report)
        board.watch(self._limit)
        self._verified = True
        return sent

    def _put(self, board: Board, index: int, batch: list[bytes], most: int) -> int:
        """Send up to ``most`` bytes of picture ``index``, but none that are there already; returns how many were sent."""
        data = batch[index % len(batch)]
        there, sent = self._pictures.pop(index, (b"", 0))  # nothing is known of it until what is sent has arrived
        sent = sent if there == data else 0
        part = data[sent : sent + most]
        if part:
            board.write_memory(self._loaded().plan.pictures[index].address + sent, part)
        self._pictures[index] = data, sent + len(part)
        return len(part)

    # Helpers.

    @property
    def _limit(self) -> int:
        return _PATIENCE * self._expected + _GRACE

    def _loaded(self) -> Program:
        if self._program is None:
            raise NarrowsError("There is no program on the device: load one first.")
        return self._program

    def _require(self, board: Board) -> None:
        if board.identity.digest != self.config.digest:
            raise NarrowsError(
                f"The board's engine is {board.identity.digest}, not {self.config.digest} as configured: "
                "load the gateware that belongs to it, or name the board's configuration."
            )

    def _again(self, work: Callable[[Board], _T]) -> _T:
        """Do ``work``, on a new connection if the last one was lost. Whatever goes wrong, nothing is then known of the board."""
        for attempt in range(self._attempts):
            try:
                if self._board is None:
                    self._board = self._connect()
                    self._require(self._board)
                return work(self._board)
            except LinkError as error:
                self.close()
                if attempt + 1 == self._attempts:
                    raise LinkError(f"{error} (Tried {self._attempts} times.)" if attempt else str(error)) from error
                time.sleep(_BACKOFF * 2**attempt)
            except BaseException:
                self.close()
                raise
        raise AssertionError
