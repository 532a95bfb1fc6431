"""Whole networks on the simulated board, once per content: several tests look at one run.

A run takes up to a minute of simulation. Its result is kept under ``build/rtl_runs`` by a name that covers everything it
depends on: the program, the picture, the configuration and the source of gateware and simulator.
"""

from __future__ import annotations

import hashlib
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from narrows import Device
from narrows.device.simulated_board import SimulatedBoard
from narrows.golden.model import run_pre
from narrows.hw.config import EngineConfig
from narrows.importer.importer import import_network
from narrows.inputs.model_input import input_for
from narrows.plan.plan import Plan
from narrows.program.encode import Program, compile_plan
from narrows.schedule.schedule import plan_network
from narrows.sim.build_folder import build_directory
from narrows.sim.sources import sources

#: Real models and pictures, outside the repository; a test that needs one skips without the folder.
SHARED = Path(__file__).resolve().parents[2] / "shared"

#: No network of the tests needs more; a run that does hangs.
MAX_CYCLES = 20_000_000

#: The finer, the closer is the first cycle known in which two runs differ.
PINS_EVERY = 1000

_SOURCES = Path(__file__).resolve().parents[1]


def _tools_digest() -> str:
    """Of gateware and simulator, by the text they are made from."""
    texts = sources(_SOURCES / "hw"), sources(_SOURCES / "sim", suffixes=(".py", ".cpp", ".h", ".v"))
    return hashlib.sha256(repr(texts).encode()).hexdigest()


class Recorded(SimulatedBoard):
    """Runs a program to its end without a look at it, so that only the engine moves the pins; ``pins``: their hashes on the way."""

    def __init__(self, config: EngineConfig, *, netlist: bool) -> None:
        super().__init__(config, netlist=netlist)
        self.pins: list[int] = []

    def pause(self, cycles: int = MAX_CYCLES) -> None:
        self._simulator.run(cycles, progress=lambda _: self.pins.append(self._simulator.pins), every=PINS_EVERY)

    def ends(self) -> list[int]:
        """The cycles in which blocks were over."""
        return self._simulator.block_cycles


def _simulate(plan: Plan, program: Program, picture: np.ndarray, netlist: bool) -> dict[str, Any]:
    board = Recorded(plan.config, netlist=netlist)
    with Device(lambda: board, config=plan.config, attempts=1) as device:
        device.load(program)
        frame = device.run(picture)
        blocks = [{"name": run.block.name, **counters} for run, counters in zip(plan.blocks, frame.blocks, strict=True)]
        stores = {block.block.name: block.store for block in plan.blocks if block.store is not None}
        outputs = {name: board.read_memory(store.address, store.bytes).hex() for name, store in stores.items()}
        return {"cycles": frame.cycles, "blocks": blocks, "outputs": outputs, "ends": board.ends(), "pins": board.pins}


def run_plan(plan: Plan, picture: np.ndarray, *, netlist: bool = False) -> dict[str, Any]:
    """What the simulated board counted and computed for ``plan``, as gateware or as its netlist: see :func:`counted`."""
    tensor = plan.blocks[0].block.input
    program, picture = compile_plan(plan), np.ascontiguousarray(picture).view(tensor.dtype).reshape(tensor.shape)
    about = f"{program.address} {plan.config.digest} {_tools_digest()} {netlist}"
    name = hashlib.sha256(program.image + picture.tobytes() + about.encode()).hexdigest()[:24]
    path = build_directory() / "rtl_runs" / f"{name}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Workers of the test runner may do the same run: the file appears as a whole or not at all.
        part = path.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(_simulate(plan, program, picture, netlist)))
        part.replace(path)
    result = json.loads(path.read_text())
    result["outputs"] = {name: bytes.fromhex(text) for name, text in result["outputs"].items()}
    return result


@lru_cache
def counted(model: Path, image: Path, config: EngineConfig) -> dict[str, Any]:
    """A whole network on the simulated board.

    ``plan``: what ran. ``blocks``: the counters of every block by name (:data:`narrows.hw.control.counters.NAMES`). ``cycles``: of
    the frame. ``outputs``: the bytes of every tensor that was stored, by its block's name. ``ends``: the cycles in which blocks
    were over. ``pins``: hashes of all outputs of the design up to every ``PINS_EVERY``-th cycle of the run, and to its end.
    """
    network = import_network(model)
    value = input_for(network.model, image)
    picture = run_pre(network, value[0] if isinstance(value, tuple) else value)
    plan = plan_network(network, config)
    return {"plan": plan, **run_plan(plan, picture)}
