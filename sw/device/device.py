"""One driver for every board: simulated in this process, behind a TCP port, or at a serial line.

    with Device.open("/dev/ttyUSB0") as device:
        device.load(program)
        for frame in device.stream(pictures):
            ...
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

import numpy as np

from narrows.device.board import Board, find_config, open_board, picture_bytes
from narrows.device.frame import Frame, Progress
from narrows.device.program import BoardProgram
from narrows.errors import NarrowsError
from narrows.graph.network import Network
from narrows.hw.config import EngineConfig
from narrows.hw.system import BAUD
from narrows.link.frame import LinkError
from narrows.link.turns import Turns
from narrows.plan.plan import BlockPlan
from narrows.program.encode import Program

if TYPE_CHECKING:
    from narrows.device.interpreter import Interpreter
    from narrows.device.simulated_board import SimulatedBoard
    from narrows.sim.watch import Interval

#: The device that is always there.
SIMULATED = "sim"

#: Seconds before a lost connection is made again, twice as many before each further try.
_BACKOFF = 0.2

_T = TypeVar("_T")


class Device:
    """A board that runs programs: a context manager. Everything either gives the right bytes or raises :class:`NarrowsError`.

    Threads may share it. They take turns, a frame each, in the order they came; a thread runs the program that it loaded itself, if it
    loaded one. After :meth:`close` by any of them all get an error, also those whose frame is under way.

    ``connect`` opens the board, and opens it again where the connection was lost; a frame is then run anew, which changes nothing of
    its result, up to ``attempts`` times in all. ``config``: the engine that the board must have; None: one of the built-in
    engines, found by what the board says of itself. ``baud``: the line's rate, for the times that are told.
    """

    def __init__(self, connect: Callable[[], Board], *, config: EngineConfig | None = None, attempts: int = 3, baud: int = BAUD) -> None:
        self._connect, self._attempts, self._baud = connect, attempts, baud
        self._turns, self._closed = Turns("The device"), False
        self._program: Program | None = None  # the one loaded last
        self._own = threading.local()  # ``program``: the one this thread loaded last
        self._on_board: BoardProgram | None = None  # what is known of the board's memory, if nothing happened to it since
        self._board: Board | None = connect()
        self.identity = self._board.identity
        try:
            self.config = config or find_config(self.identity)
            self._require(self._board)
        except BaseException:
            self._drop()
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
            from narrows.device.simulated_board import SimulatedBoard

            chosen = config or EngineConfig()
            return cls(lambda: SimulatedBoard(chosen, waveform=waveform, window=window, progress=progress), config=chosen)
        if waveform is not None or window is not None:
            raise NarrowsError(f"A waveform is of the simulation in this process, not of {url}: run on sim.")
        return cls(lambda: open_board(url, baud=baud, patience=patience), config=config, attempts=attempts, baud=baud)

    def __enter__(self) -> Self:
        self._check_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the port, or end the simulation: for good, and for a frame that another thread runs, too."""
        self._closed = True
        if (board := self._board) is not None:
            board.close()
        if not self._turns.mine:
            with self._turns:
                self._drop()

    def load(self, program: Program, *, progress: Progress | None = None) -> int:
        """Make the board's memory hold ``program``, verified by checksums; returns the bytes sent: 0 if all of it was there already."""
        with self._turn():
            self._own.program = self._program = program
            return self._load(program, progress)

    def _load(self, program: Program, progress: Progress | None) -> int:
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
        return self._again(lambda board: self._there(board, program).verify(progress))

    def interpreter(
        self, model: str | Path | Network, *, slices: int | None = None, progress: Progress | None = None,
        input_range: tuple[float, float] | None = None,
    ) -> Interpreter:
        """``model`` (a .tflite file) compiled for this device, loaded, and ready to be given tensors or pictures."""
        from narrows.device.interpreter import Interpreter

        # pyright knows this class under two names: see the Makefile's `types`.
        return Interpreter(self, model, slices=slices, progress=progress, input_range=input_range)  # pyright: ignore[reportArgumentType]

    def run(self, *pictures: np.ndarray, progress: Progress | None = None) -> Frame:
        """Run the loaded program once: each picture has the shape and type of the network's input, and there are as many as the plan has
        images, or fewer, which are repeated then. A program of a stream gives the outputs of the run before: use :meth:`stream`."""
        return self.run_program(self._chosen(), *pictures, progress=progress)

    def run_program(self, program: Program, *pictures: np.ndarray, progress: Progress | None = None) -> Frame:
        """:meth:`load` and :meth:`run` at once, in one turn; :meth:`run` runs what it did before."""
        batch = [picture_bytes(program.plan, picture) for picture in pictures]
        if not 0 < len(batch) <= program.plan.images:
            raise NarrowsError(f"The program takes {program.plan.images} pictures at once, not {len(batch)}.")
        with self._turn():
            self._load(program, progress)
            return self._again(lambda board: self._there(board, program).frame(batch, progress=progress))

    def stream(self, pictures: Iterable[np.ndarray], *, alone: bool = False, progress: Progress | None = None) -> Iterator[Frame]:
        """A frame with the outputs of each batch of ``pictures``, in order, as many pictures as the plan has images.

        The next batch is taken before a frame is run, and sent to the board while it runs, from when the engine has read the
        pictures before. ``alone``: it is sent when the frame is over. A board's engine counts what passes its memory, whoever moves it,
        so only then are its counters those of the program alone (:class:`Frame`).
        """
        source, program = iter(pictures), self._chosen()
        plan, waiting, before = program.plan, list[list[bytes]](), list[bytes]()

        def take(count: int) -> None:
            while len(waiting) < count and (batch := [picture_bytes(program.plan, picture) for picture in islice(source, plan.images)]):
                waiting.append(batch)

        def attempt(board: Board) -> Frame:
            here = self._there(board, program)
            if plan.late and before and here.last is not before:
                here.frame(before, progress=progress)  # the engine must have it again to end it
            return here.frame(waiting[0] if waiting else before, None if alone or len(waiting) < 2 else waiting[1], progress)

        take(2)
        while waiting or (plan.late and before):
            with self._turn():
                self._load(program, progress)  # in case another one was, since the last frame
                frame, of = self._again(attempt), before if plan.late else waiting[0]
            before = waiting.pop(0) if waiting else []
            if of:
                yield replace(frame, outputs=frame.outputs[: len(of)])
            take(2)

    def tensor(self, frame: Frame, run: BlockPlan) -> np.ndarray:
        """What ``run``, one of the plan's that store something, left in external memory in the last frame, which is ``frame``: (images,
        height, width, ``run.stored`` channels)."""
        with self._turn():
            there = self._left_by(frame)
            try:
                return there.stored(run)
            except LinkError:
                self._drop()  # on another connection it may be another memory
                raise

    def observe(self, lines: Mapping[str, Sequence[str]], *, pause: int) -> None:
        """From now on keep what units of a simulation in this process do: see :meth:`narrows.sim.simulator.Simulator.watch`."""
        with self._turn():
            self._observable().observe(lines, pause=pause)

    def observed(self, frame: Frame) -> list[Interval]:
        """What :meth:`observe` kept of the last run, which gave ``frame``, in cycles since its start; then it keeps no more."""
        with self._turn():
            self._left_by(frame)
            return self._observable().observed(sum(run["cycles"] for run in frame.blocks))

    def _observable(self) -> SimulatedBoard:
        from narrows.device.simulated_board import SimulatedBoard

        if not isinstance(self._board, SimulatedBoard):
            raise NarrowsError("Only a simulation in this process tells what every unit does: run on sim.")
        return self._board

    # Helpers.

    def _left_by(self, frame: Frame) -> BoardProgram:
        """The program on the board, which was run last by ``frame``."""
        if self._on_board is None or self._on_board.counted is not frame.blocks:
            raise NarrowsError("Another frame was run since: ask for what one has left before the next one.")
        return self._on_board

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """This thread's turn at the board."""
        with self._turns:
            self._check_open()
            yield

    def _check_open(self) -> None:
        if self._closed:
            raise NarrowsError("The device is closed: open it again.")

    def _drop(self) -> None:
        """Nothing is known of the board any more."""
        board, self._board = self._board, None
        self._on_board = None
        if board is not None:
            board.close()

    def _chosen(self) -> Program:
        """The program that this thread runs."""
        self._check_open()
        program = getattr(self._own, "program", self._program)
        if program is None:
            raise NarrowsError("There is no program on the device: load one first.")
        return program

    def _there(self, board: Board, program: Program) -> BoardProgram:
        """``program`` on ``board``."""
        if self._on_board is None or self._on_board.program is not program:
            self._on_board = BoardProgram(board, program, baud=self._baud)
        return self._on_board

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
                self._check_open()
                return work(self._board)
            except LinkError as error:
                self._drop()
                self._check_open()
                if attempt + 1 == self._attempts:
                    raise LinkError(f"{error} (Tried {self._attempts} times.)" if attempt else str(error)) from error
                time.sleep(_BACKOFF * 2**attempt)
            except NarrowsError:
                self._drop()
                self._check_open()
                raise
            except BaseException:
                self._drop()
                raise
        raise AssertionError
