"""From an engine's configuration to a bitstream for a board, with what is known about it beside it."""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from amaranth.hdl import Elaboratable

from narrows.bitstream import summary as build_summary
from narrows.bitstream.cache import cached, digest, file_digest
from narrows.bitstream.routing import Routed, Router, pack, route, utilisation
from narrows.bitstream.synthesis import Design, Netlist, elaborate, synthesise
from narrows.boards import load_board
from narrows.boards.board import Board
from narrows.errors import NarrowsError
from narrows.hw.config import EngineConfig
from narrows.sim.build import Progress
from narrows.sim.build_folder import build_directory, writing
from narrows.tools import OLDEST, Runner, find_tool


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to build. ``seeds``: how many of the router's random placements to try, from ``first_seed`` on, or
    from the board's.

    ``target_mhz``: what the router is asked for instead of the engine's clock; the board's own target if not given.
    ``allow_failure``: make a bitstream though a clock is too slow. ``netlist_only``: stop before routing.
    """

    seeds: int = 1
    first_seed: int | None = None
    router: Router = "router1"
    target_mhz: float | None = None
    allow_failure: bool = False
    netlist_only: bool = False


def build_board(
    board: Board | str,
    *,
    config: EngineConfig | None = None,
    clock: int | None = None,
    options: Options = Options(),
    progress: Progress | None = None,
    system: Callable[..., Elaboratable] | None = None,
) -> dict[str, Any]:
    """Build a bitstream of ``config`` (the board's own if not given), at ``clock`` MHz if given, and return its manifest.

    ``build/<board>/`` has ``narrows.bit``, ``manifest.json`` and ``summary.md``. What is built from the same things is not built again.
    ``system``: see :func:`narrows.bitstream.synthesis.elaborate`. Raises :class:`NarrowsError` if the engine does not suit the board, a
    tool is missing or fails, or a clock is too slow; then there is a summary and no bitstream.
    """
    report = progress or (lambda _words, _fraction: None)
    board = load_board(board) if isinstance(board, str) else board
    config = engine_for(board, config, clock)
    if options.seeds < 1:
        raise NarrowsError(f"At least one seed has to be tried, not {options.seeds}.")
    tools = {name: find_tool(name) for name in OLDEST}
    parent, folder = build_directory() / "boards", build_directory() / board.name
    runner = Runner()
    design = elaborate(board, config, parent=parent, progress=report, system=system)
    netlist = synthesise(design, parent=parent, runner=runner, progress=report)
    manifest = {
        "board": board.name, "device": board.device, "seed": None, "clock_mhz": None, "constraint_mhz": float(design.clock_mhz),
        "resources": netlist.resources, "configuration": asdict(config),
        "tools": {name: tool.version for name, tool in tools.items()}, "engine": config.digest, "options": asdict(options),
        "inputs": {name: file_digest(design.folder / name) for name in ("top.il", "top.lpf")} | {"netlist.json": netlist.sha256},
        "sdram": _sdram(design),
    }  # fmt: skip
    if options.netlist_only:
        return manifest
    _check_fit(netlist, board)
    first = options.first_seed or board.first_seed
    results = route(
        design, netlist, seeds=range(first, first + options.seeds), router=options.router,
        target_mhz=router_target(board, config, options), parent=parent, runner=runner, progress=report,
    )  # fmt: skip
    return _finish(manifest, results, folder=folder, parent=parent, runner=runner, options=options, progress=report)


def engine_for(board: Board, config: EngineConfig | None, clock: int | None) -> EngineConfig:
    """The engine to build: ``config`` with the SDRAM part of the board, or the board's own, at ``clock`` MHz if given."""
    changes: dict[str, Any] = {} if config is None else {"sdram": board.config.sdram}
    if clock is not None:
        changes["sdram_mhz"] = clock
    return EngineConfig(**asdict(config or board.config) | changes)


def router_target(board: Board, config: EngineConfig, options: Options) -> float | None:
    """What the router is asked for, if not the engine's clock: what ``options`` say, or the board's target at the board's clock."""
    if options.target_mhz is not None:
        return options.target_mhz
    return board.target_mhz if config.sdram_mhz == board.config.sdram_mhz else None


def result(manifest: dict[str, Any]) -> dict[str, Any]:
    """Of a manifest what ``--json`` writes."""
    keys = ("board", "device", "seed", "clock_mhz", "constraint_mhz", "resources", "configuration", "tools")
    return {key: manifest[key] for key in keys}


def _sdram(design: Design) -> dict[str, Any]:
    clocking = design.gateware.clocking
    return {
        "part": design.config.sdram, "cas_latency": clocking.timing.cas_latency, "phase_degrees": clocking.pll.phase_degrees,
        "phase_ns": clocking.pll.phase_ns, "estimated_margins_ns": asdict(clocking.margins),
    }  # fmt: skip


#: What each device has, by the names of a manifest's resources.
AVAILABLE = {
    "LFE5U-25F": {"multipliers": 28, "block_rams": 56, "flip_flops": 24288},
    "LFE5U-45F": {"multipliers": 72, "block_rams": 108, "flip_flops": 43848},
    "LFE5U-85F": {"multipliers": 156, "block_rams": 208, "flip_flops": 83640},
}


def _check_fit(netlist: Netlist, board: Board) -> None:
    for name, available in AVAILABLE[board.device].items():
        if (used := netlist.resources[name]) > available:
            raise NarrowsError(
                f"The engine does not fit: it needs {used} {name.replace('_', ' ')}, the {board.device} has {available}. "
                "Choose smaller memories or a smaller group in --config."
            )


def _finish(
    manifest: dict[str, Any], results: list[Routed], *, folder: Path, parent: Path, runner: Runner, options: Options, progress: Progress
) -> dict[str, Any]:
    """Write manifest and summary of the best result; its bitstream if it is fast enough."""
    best = results[0]
    report = best.report()
    used = utilisation(report)
    manifest |= {
        "seed": best.seed, "clock_mhz": round(best.clocks["sync"].achieved_mhz, 3), "timing_met": best.met,
        "clocks": {name: asdict(clock) for name, clock in best.clocks.items()},
        "seeds": {str(routed.seed): round(routed.clocks["sync"].achieved_mhz, 3) for routed in results},
        "resources": {name: count for name, (count, _) in used.items()},
        "worst_paths": build_summary.worst_paths(report)[: build_summary.PATHS],
    }  # fmt: skip
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        # A bitstream of another configuration must not outlive its description.
        for name in ("narrows.bit", "manifest.json"):
            (folder / name).unlink(missing_ok=True)
        (folder / "summary.md").write_text(build_summary.text(manifest, report, used))
    if not best.met and not options.allow_failure:
        raise NarrowsError(build_summary.too_slow(best, len(results), folder / "summary.md"))
    progress("writing the bitstream (ecppack)", 0.95)
    key = digest(file_digest(best.folder / "top.config"), manifest["tools"]["ecppack"])
    packed = cached(parent, f"bit-{key}", lambda where: pack(best, runner=runner, folder=where))
    made = folder / "narrows.bit"
    with writing(folder):
        shutil.copyfile(packed / "top.bit", made)
        manifest["bitstream"] = {"file": str(made), "sha256": file_digest(made), "bytes": made.stat().st_size}
        manifest["date"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    progress("bitstream ready", 1.0)
    return manifest
