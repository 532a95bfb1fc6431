"""From a board's gateware to a netlist of the FPGA's cells: Amaranth, then Yosys, then the floorplan."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from amaranth.hdl import Elaboratable

from narrows import boards, hw
from narrows.bitstream.cache import cached, digest, file_digest
from narrows.boards.board import Board, Gateware
from narrows.boards.ecp5 import BLOCK_RAMS, MULTIPLIERS, free_carries, place, placeable
from narrows.errors import NarrowsError
from narrows.hw.config import EngineConfig
from narrows.sim.build import Progress
from narrows.sim.netlist import SYNTHESIS
from narrows.sim.sources import sources
from narrows.tools import Runner, find_tool

_SCRIPT = f"{SYNTHESIS}write_json yosys.json\n"

#: Flip-flops in one tile share their reset, and those without one can't be with others: in a chip that is nearly full the router finds
#: no places for a dozen kinds. So resets and enables of few flip-flops become logic.
_FEW_RESETS, _FEW_ENABLES = 300, 8
_FLIP_FLOPS = "$_DFF_?_ 01", "$_DFF_?P?_ r", "$_SDFF_?P?_ r", "$_DFFE_??_ 01", "$_DFFE_?P??_ r", "$_SDFFE_?P??_ r"
_DENSE_SCRIPT = _SCRIPT.replace("-run map_ram:\n", f"""\
-run map_ram:map_ffs
opt_clean
dfflegalize -minsrst {_FEW_RESETS} -mince {_FEW_ENABLES} {" ".join(f"-cell {kind}" for kind in _FLIP_FLOPS)}
synth_ecp5 -top top -run map_ffs:
""")  # fmt: skip


@dataclass(frozen=True)
class Design:
    """A board's gateware as RTLIL (``top.il``) with the pins (``top.lpf``), in a folder."""

    folder: Path
    board: Board
    config: EngineConfig
    gateware: Gateware

    @property
    def clock_mhz(self) -> Fraction:
        """The engine's clock, exactly: what the router must reach."""
        return self.gateware.clocking.pll.output_mhz


@dataclass(frozen=True)
class Netlist:
    """Cells of the FPGA (``netlist.json``) in a folder.

    ``resources``: how many of each kind. ``clocks``: of each domain the names of its net. ``sha256``: of the file.
    """

    folder: Path
    resources: dict[str, int]
    clocks: dict[str, list[str]]
    sha256: str


def elaborate(
    board: Board, config: EngineConfig, *, parent: Path, progress: Progress, system: Callable[..., Elaboratable] | None = None
) -> Design:
    """The design of ``config`` on ``board``; ``system`` in the place of what a board has otherwise, for tests."""
    try:
        gateware = Gateware(board=board, config=config) if system is None else Gateware(board=board, config=config, system=system)
    except ValueError as error:
        raise NarrowsError(f"{board.name} can't be built: {error}") from None

    def make(folder: Path) -> None:
        progress("elaborating the design", 0.0)
        # No source lines: a bitstream should not depend on where the sources lie.
        plan = board.platform().prepare(gateware, "top", emit_src=False)
        for name in ("top.il", "top.lpf"):
            content = plan.files[name]
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    key = digest(board.name, asdict(config), _sources(), repr(system), importlib.metadata.version("amaranth"), _boards_version())
    return Design(cached(parent, f"design-{key}", make), board, config, gateware)


def synthesise(design: Design, *, parent: Path, runner: Runner, progress: Progress) -> Netlist:
    """The netlist of ``design``, with the board's floorplan."""
    yosys = find_tool("yosys")
    floorplan, dense = design.board.floorplan, design.board.dense
    script = _DENSE_SCRIPT if dense else _SCRIPT

    def make(folder: Path) -> None:
        progress("synthesising (Yosys)", 0.1)
        (folder / "top.il").write_bytes((design.folder / "top.il").read_bytes())
        (folder / "synth.ys").write_text(script)
        runner.check(yosys, "-q", "-l", "yosys.log", "synth.ys", folder=folder, log="messages.log")
        (folder / "top.il").unlink()
        netlist = json.loads((folder / "yosys.json").read_text())
        (folder / "yosys.json").unlink()
        if dense:
            free_carries(netlist)
        if floorplan is not None:
            try:
                place(netlist, floorplan(placeable(netlist)), device=design.board.device)
            except ValueError as error:
                raise NarrowsError(str(error)) from None
        (folder / "netlist.json").write_text(json.dumps(netlist))
        info = {"resources": count(netlist), "clocks": clock_nets(netlist), "sha256": file_digest(folder / "netlist.json")}
        (folder / "info.json").write_text(json.dumps(info))

    key = digest(file_digest(design.folder / "top.il"), script, yosys.version, (floorplan or dense) and (design.board.name, _sources()))
    folder = cached(parent, f"netlist-{key}", make)
    return Netlist(folder, **json.loads((folder / "info.json").read_text()))


def count(netlist: dict[str, Any]) -> dict[str, int]:
    """Cells of a netlist by kind. A LUT is a place for one: two in each carry cell, four and two for writing in a distributed RAM."""
    kinds: dict[str, int] = {}
    for cell in netlist["modules"]["top"]["cells"].values():
        kinds[cell["type"]] = kinds.get(cell["type"], 0) + 1
    return {
        "multipliers": sum(kinds.get(kind, 0) for kind in MULTIPLIERS),
        "block_rams": sum(kinds.get(kind, 0) for kind in BLOCK_RAMS),
        "luts": kinds.get("LUT4", 0) + 2 * kinds.get("CCU2C", 0) + 6 * kinds.get("TRELLIS_DPR16X4", 0),
        "flip_flops": kinds.get("TRELLIS_FF", 0),
    }


def clock_nets(netlist: dict[str, Any]) -> dict[str, list[str]]:
    """Of each clock domain all names that the router may call its net by."""
    module = netlist["modules"]["top"]
    bits = {domain: module["cells"][cell]["connections"][port][0] for domain, (cell, port) in Gateware.CLOCKS.items()}
    names: dict[str, list[str]] = {domain: [] for domain in bits}
    for name, net in module["netnames"].items():
        for domain, bit in bits.items():
            if net["bits"] == [bit]:
                names[domain].append(name)
    return names


def _sources() -> list[tuple[str, str]]:
    """The text of everything a design is made from."""
    return [text for package in (hw, boards) for text in sources(Path(str(package.__file__)).parent)]


def _boards_version() -> str:
    return importlib.metadata.version("amaranth-boards")
