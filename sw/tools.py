"""The programs that make a bitstream: native ones on PATH if they are new enough, else those of the Python package index."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from narrows.errors import NarrowsError

#: Program, and the oldest native version that is used: older ones answer with other reports, or know less of the ECP5.
OLDEST = {"yosys": (0, 45), "nextpnr-ecp5": (0, 8), "ecppack": (1, 4)}
_VERSION = re.compile(r"(?:Yosys|nextpnr-|Version) ?(\d+(?:\.\d+)+[\w-]*)")


@dataclass(frozen=True)
class Tool:
    """A program: what starts it, and the version it tells of itself."""

    name: str
    command: str
    version: str


@lru_cache
def find_tool(name: str) -> Tool:
    """The program ``name``, one of :data:`OLDEST`. Raises :class:`NarrowsError` if there is none that is new enough."""
    seen = []
    scripts = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    for candidate, folders in ((name, None), (f"yowasp-{name}", scripts)):
        if (path := shutil.which(candidate, path=folders)) is None:
            continue
        version = _version(path)
        if version is None or tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < OLDEST[name]:
            seen.append(f"{path} is {version or 'broken'}")
            continue
        return Tool(name, path, version)
    wanted = ".".join(map(str, OLDEST[name]))
    why = f" ({'; '.join(seen)})" if seen else ""
    raise NarrowsError(
        f"{name} {wanted} or newer is missing{why}: pip install 'narrows[board]' brings it (`make bitstream` does that by itself)."
    )


def _version(path: str) -> str | None:
    try:
        result = subprocess.run([path, "--version"], check=False, capture_output=True, text=True, timeout=300)
    except (OSError, subprocess.SubprocessError):
        return None
    found = _VERSION.search(result.stdout + result.stderr)
    return found[1] if found else None


class Runner:
    """Runs programs, in several threads if asked to, and ends all of them when something goes wrong in one.

    Paths are relative to ``folder``, for the WebAssembly builds see little else of the machine.
    """

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def run(self, tool: Tool, *arguments: str, folder: Path, log: str) -> int:
        """The exit status; all that was printed is in the file ``log``."""
        with (folder / log).open("ab") as output:
            with self._lock:
                if self._stopped:
                    return -1
                process = subprocess.Popen(
                    [tool.command, *arguments], cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
                )
                self._running.add(process)
            try:
                return process.wait()
            finally:
                with self._lock:
                    self._running.discard(process)

    def check(self, tool: Tool, *arguments: str, folder: Path, log: str) -> None:
        """The same; raises :class:`NarrowsError` with the program's own words if it fails."""
        status = self.run(tool, *arguments, folder=folder, log=log)
        if status:
            raise NarrowsError(f"{tool.name} fails: {complaint(folder / log, status)}")

    def stop(self) -> None:
        """End what runs, start nothing more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.kill()


def complaint(log: Path, status: int) -> str:
    """The first error in a log, and where the rest is."""
    lines = log.read_text(errors="replace").splitlines()
    line = next((line for line in lines if line.startswith(("ERROR", "error", "terminate"))), f"exit status {status}")
    return f"{line.strip()} (whole output: {log})"
