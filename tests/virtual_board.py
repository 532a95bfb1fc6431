"""``narrows serve`` as a process of its own, and clients that can be killed."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Self

from narrows.hw.config import EngineConfig

#: Seconds for the simulator to be compiled, if it has to be.
BUILD = 600


def settings(config: EngineConfig) -> str:
    """``config`` as a file that --config takes."""
    return "".join(f"{name} = {value!r}\n" for name, value in dataclasses.asdict(config).items())


class Served:
    """A virtual board of ``config``, with its files in ``folder``; ``port`` as said, or what it chose."""

    def __init__(self, config: EngineConfig, folder: Path, *, port: int = 0) -> None:
        self.config, self._folder = config, folder
        self.file = folder / "engine.toml"
        self.file.write_text(settings(config))
        self.port = port
        self.start()

    def start(self) -> None:
        """Start it, at the same port as before if it ran before."""
        self._errors = (self._folder / "serve.txt").open("a")
        command = [sys.executable, "-m", "narrows.cli.main", "serve", "--port", str(self.port), "--config", str(self.file)]
        # A shell's background job hands down that Ctrl-C is to be ignored.
        heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._errors, text=True, preexec_fn=heed)
        said = self.process.stdout.readline()
        assert said.startswith(f"engine {self.config.digest} at socket://127.0.0.1:"), said + (self._folder / "serve.txt").read_text()
        self.port = int(said.rsplit(":", 1)[1])
        self.url = f"socket://localhost:{self.port}"

    def stop(self, how: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """End it; its exit code, and what it said on the standard error so far."""
        self.process.send_signal(how)
        self.process.stdout.close()
        code = self.process.wait(timeout=60)
        self._errors.close()
        return code, (self._folder / "serve.txt").read_text()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop(signal.SIGKILL)


#: Runs frames of random pictures until it is killed; says so after each.
CLIENT = """
import sys
import numpy as np
from narrows import Device
from narrows.config_file import load_config
from pathlib import Path
with Device.open(sys.argv[1], config=load_config(Path(sys.argv[2]))) as device:
    print("open", flush=True)
    interpreter = device.interpreter(sys.argv[3])
    print("loaded", flush=True)
    shape, rng = interpreter.network.input.shape, np.random.default_rng(0)
    for frame in device.stream(rng.integers(-128, 128, shape).astype(np.int8) for _ in range(10**6)):
        print("frame", flush=True)
"""


def client(board: Served, model: Path) -> subprocess.Popen:
    """A process that runs ``model`` on ``board`` without an end."""
    command = [sys.executable, "-c", CLIENT, board.url, str(board.file), str(model)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
