"""Inside the simulator: clock, streams and their patterns, for the benches that :mod:`cocotb_harness` runs."""

import itertools
import json
import os
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cocotb
from amaranth.hdl import Const, Shape
from cocotb.clock import Clock
from cocotb.triggers import Event, FallingEdge, ReadOnly, RisingEdge

Pattern = Callable[[random.Random], Iterator[bool]]

PATTERNS: dict[str, Pattern] = {
    "always": lambda rng: itertools.repeat(True),
    "half": lambda rng: (rng.random() < 0.5 for _ in itertools.count()),
    "rare": lambda rng: (rng.random() < 0.1 for _ in itertools.count()),
    "alternating": lambda rng: itertools.cycle([False, True]),
    "bursts": lambda rng: _bursts(rng),
}
"""When a source has a word or a sink has room, by name: whether each cycle is an active one."""


def _bursts(rng: random.Random) -> Iterator[bool]:
    for active in itertools.cycle([True, False]):
        yield from itertools.repeat(active, rng.randint(1, 12))


def all_patterns(test: Callable[..., Any]) -> Any:
    """Decorate a cocotb test (below `@cocotb.test()`) to run once per pair `idle`, `pressure`."""
    return cocotb.parametrize(idle=list(PATTERNS), pressure=list(PATTERNS))(test)


def cases() -> list[dict[str, Any]]:
    """The cases of the `cases_file` that `run_cocotb` was given."""
    return json.loads(Path(os.environ["NARROWS_CASES"]).read_text())


async def start(dut: Any, *, period_ns: int = 10, cycles: int = 3) -> None:
    """Start the clock and reset the design; returns at a falling edge, before any active cycle."""
    Clock(dut.clk, period_ns, unit="ns").start()
    if hasattr(dut, "rst"):
        dut.rst.value = 1
    for _ in range(cycles):
        await FallingEdge(dut.clk)
    if hasattr(dut, "rst"):
        dut.rst.value = 0


class Source:
    """Drives the stream `name` of `dut`: inputs change at falling edges, so no edge is a race.

    `shape` is the payload's shape, needed when words are not plain integers; `idle` names the
    pattern of cycles with a word to offer. An offered word stays until it is taken, as the
    stream contract demands.
    """

    def __init__(
        self, dut: Any, name: str, *, shape: Any = None, idle: str = "always", seed: int = 1
    ) -> None:
        self.words: deque[Any] = deque()
        self.sent = 0  # words transferred
        self._dut, self._shape = dut, shape
        self._payload = getattr(dut, f"{name}__payload", None)  # absent when zero bits wide
        self._valid, self._ready = getattr(dut, f"{name}__valid"), getattr(dut, f"{name}__ready")
        self._active = PATTERNS[idle](random.Random(f"{name} {seed}"))
        self._empty = Event()
        self._valid.value = 0
        cocotb.start_soon(self._run())

    def send(self, words: Iterable[Any]) -> None:
        """Queue `words`: integers, or initialisers of `shape`."""
        self.words.extend(words)
        if self.words:
            self._empty.clear()

    async def drained(self) -> None:
        """Wait until every queued word has been taken."""
        if self.words:
            self._empty.clear()
            await self._empty.wait()

    async def _run(self) -> None:
        offering = False
        while True:
            if not offering and self.words and next(self._active):
                offering = True
                if self._payload is not None:
                    self._payload.value = pack(self._shape, self.words[0])
            self._valid.value = int(offering)
            await ReadOnly()
            taken = offering and bool(self._ready.value)
            await RisingEdge(self._dut.clk)
            if taken:
                offering = False
                self.words.popleft()
                self.sent += 1
                if not self.words:
                    self._empty.set()
            await FallingEdge(self._dut.clk)


class Sink:
    """Takes words from the stream `name` of `dut` in the cycles that the pattern `pressure` allows.

    Checks the stream contract on the way: an offered word must stay, unchanged, until taken.
    """

    def __init__(
        self, dut: Any, name: str, *, shape: Any = None, pressure: str = "always", seed: int = 1
    ) -> None:
        self.words: list[Any] = []
        self.cycles: list[int] = []  # at which cycle since construction each word came
        self._dut, self._name, self._shape = dut, name, shape
        self._payload = getattr(dut, f"{name}__payload", None)
        self._valid, self._ready = getattr(dut, f"{name}__valid"), getattr(dut, f"{name}__ready")
        self._active = PATTERNS[pressure](random.Random(f"{name} {seed}"))
        self._more = Event()
        self._ready.value = 0
        cocotb.start_soon(self._run())

    async def take(self, count: int, *, timeout: int = 100_000) -> list[Any]:
        """Wait for `count` words and remove them from the sink; `timeout` in cycles per word."""
        while len(self.words) < count:
            have = len(self.words)
            self._more.clear()
            for _ in range(timeout):
                await RisingEdge(self._dut.clk)
                if self._more.is_set():
                    break
            assert len(self.words) > have, (
                f"{self._name}: no word for {timeout} cycles, {have} of {count} came"
            )
        taken, self.words = self.words[:count], self.words[count:]
        return taken

    async def _run(self) -> None:
        offered = None  # the word on offer that was not taken
        for cycle in itertools.count():
            active = next(self._active)
            self._ready.value = int(active)
            await ReadOnly()
            valid = bool(self._valid.value)
            bits = 0 if self._payload is None or not valid else int(self._payload.value)
            assert offered is None or (valid and bits == offered), (
                f"{self._name}: an offered word changed"
            )
            offered = bits if valid and not active else None
            await RisingEdge(self._dut.clk)
            if valid and active:
                self.words.append(unpack(self._shape, bits))
                self.cycles.append(cycle)
                self._more.set()
            await FallingEdge(self._dut.clk)


async def finish(
    dut: Any, sources: Iterable[Source], sinks: Iterable[Sink], *, cycles: int = 64
) -> None:
    """Wait `cycles` and require that the sources are empty and nothing is left in the sinks."""
    for _ in range(cycles):
        await RisingEdge(dut.clk)
    for source in sources:
        assert not source.words, f"{len(source.words)} words were never taken"
    for sink in sinks:
        assert not sink.words, (
            f"{len(sink.words)} words came that nobody expected: {sink.words[:4]}"
        )


def pack(shape: Any, value: Any) -> int:
    """The bits of `value`, an initialiser of `shape`; without a shape `value` is the bits."""
    if shape is None:
        return int(value)
    constant = Const.cast(Const(value, shape))
    return constant.value & ((1 << len(constant)) - 1)


def unpack(shape: Any, bits: int) -> Any:
    """The inverse of `pack`: an integer, or a constant of `shape` whose fields can be read."""
    if shape is None:
        return bits
    if isinstance(shape, (int, Shape)) or shape is bool:
        return Const(bits, Shape.cast(shape)).value
    return shape.from_bits(bits)
