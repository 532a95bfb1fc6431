"""Place and route with nextpnr, one or several seeds, and what its report says."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from narrows.bitstream.cache import cached, digest
from narrows.bitstream.synthesis import Design, Netlist
from narrows.errors import NarrowsError
from narrows.sim.build import Progress
from narrows.tools import Runner, complaint, find_tool

#: Seeds at a time: each takes 1 to 2 GB and a processor.
JOBS = 2
#: The router's tie-breaks: a clock that misses by less is met, for its report has rounded figures.
_ROUNDING_MHZ = 0.01

Router = Literal["router1", "router2"]


@dataclass(frozen=True)
class Clock:
    """A clock as it was routed: ``achieved`` and what it must reach, in MHz."""

    achieved_mhz: float
    constraint_mhz: float

    @property
    def met(self) -> bool:
        """Whether it is fast enough."""
        return self.achieved_mhz >= self.constraint_mhz - _ROUNDING_MHZ


@dataclass(frozen=True)
class Routed:
    """A seed's result, its files ``report.json`` and ``top.config`` in ``folder``; ``clocks`` by domain."""

    seed: int
    folder: Path
    clocks: dict[str, Clock]

    @property
    def met(self) -> bool:
        """Whether every clock is fast enough."""
        return all(clock.met for clock in self.clocks.values())

    def report(self) -> dict[str, Any]:
        """nextpnr's report."""
        return json.loads((self.folder / "report.json").read_text())


def route(
    design: Design,
    netlist: Netlist,
    *,
    seeds: Sequence[int],
    router: Router,
    target_mhz: float | None,
    parent: Path,
    runner: Runner,
    progress: Progress,
) -> list[Routed]:
    """Route with every seed; the results best first.

    The best is the one that meets all constraints with the fastest engine clock; if none does, the one whose worst clock comes nearest.
    ``target_mhz``: what the router is asked for instead of the engine's clock, to make it try harder. Raises :class:`NarrowsError` if
    no seed could be routed.
    """
    made: list[Routed] = []
    failed: list[str] = []
    pool = ThreadPoolExecutor(JOBS)
    try:
        waiting = [
            pool.submit(_route, design, netlist, seed=seed, router=router, target_mhz=target_mhz, parent=parent, runner=runner)
            for seed in seeds
        ]
        progress(f"placing and routing (nextpnr), {len(seeds)} seed{'s' * (len(seeds) > 1)}", 0.3)
        for done in as_completed(waiting):
            if (error := done.exception()) is None:
                made.append(done.result())
            elif isinstance(error, NarrowsError):
                failed.append(str(error))
            else:
                raise error
            count = len(made) + len(failed)
            progress(f"placing and routing (nextpnr), {count} of {len(seeds)} seeds done", 0.3 + 0.6 * count / len(seeds))
    except BaseException:
        runner.stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    if not made:
        raise NarrowsError(f"No seed could be routed: {failed[0]}")
    return sorted(made, key=_rank)


def _rank(routed: Routed) -> tuple[bool, float, int]:
    if routed.met:
        return False, -routed.clocks["sync"].achieved_mhz, routed.seed
    return True, -min(clock.achieved_mhz / clock.constraint_mhz for clock in routed.clocks.values()), routed.seed


def _route(
    design: Design, netlist: Netlist, *, seed: int, router: Router, target_mhz: float | None, parent: Path, runner: Runner
) -> Routed:
    nextpnr, platform = find_tool("nextpnr-ecp5"), design.board.platform
    size = re.fullmatch(r"LFE5U-(\d+)F", design.board.device)
    assert size is not None, design.board.device
    package = platform.package.replace("BG", "CABGA").replace("MG", "CSFBGA")
    constraints = (design.folder / "top.lpf").read_text()
    if target_mhz is not None:
        constraints += f'\nFREQUENCY NET "{netlist.clocks["sync"][0]}" {target_mhz} MHZ;\n'
    arguments = (
        f"--{size[1]}k", "--package", package, "--speed", platform.speed, "--router", router, "--seed", str(seed),
        "--json", "netlist.json", "--lpf", "top.lpf", "--textcfg", "top.config", "--report", "report.json",
        "--detailed-timing-report", "--timing-allow-fail", "--quiet", "--log", "nextpnr.log",
    )  # fmt: skip

    def make(folder: Path) -> None:
        os.link(netlist.folder / "netlist.json", folder / "netlist.json")  # the WebAssembly build follows no link to elsewhere
        (folder / "top.lpf").write_text(constraints)
        status = runner.run(nextpnr, *arguments, folder=folder, log="messages.log")
        if status:
            raise NarrowsError(f"nextpnr fails with seed {seed}: {complaint(folder / 'messages.log', status)}")
        (folder / "netlist.json").unlink()

    key = digest(netlist.sha256, constraints, arguments, nextpnr.version)
    folder = cached(parent, f"route-{key}", make)
    report = json.loads((folder / "report.json").read_text())
    return Routed(seed, folder, clocks(report, netlist.clocks, engine_mhz=float(design.clock_mhz)))


def clocks(report: dict[str, Any], nets: dict[str, list[str]], *, engine_mhz: float) -> dict[str, Clock]:
    """The routed clocks by domain; a domain without any path between registers is not there.

    ``engine_mhz``: what ``sync`` must reach, whatever the router was asked for. Raises :class:`NarrowsError` if the report does not
    have that clock.
    """
    found: dict[str, Clock] = {}
    for name, figures in report["fmax"].items():
        plain = name.removeprefix("$glbnet$")
        domain = next((domain for domain, names in nets.items() if plain in names), plain)
        constraint = engine_mhz if domain == "sync" else figures["constraint"]
        found[domain] = Clock(figures["achieved"], constraint)
    if "sync" not in found:
        raise NarrowsError(f"nextpnr's report has no clock that is the engine's: only {', '.join(report['fmax']) or 'none'}.")
    return found


def utilisation(report: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Used and available, by the names that :func:`narrows.bitstream.synthesis.count` uses, from nextpnr's report."""
    kinds = {"multipliers": "MULT18X18D", "block_rams": "DP16KD", "luts": "TRELLIS_COMB", "flip_flops": "TRELLIS_FF"}
    figures = {name: report["utilization"][kind] for name, kind in kinds.items()}
    return {name: (figure["used"], figure["available"]) for name, figure in figures.items()}


def pack(routed: Routed, *, runner: Runner, folder: Path) -> Path:
    """The bitstream of a result, ``top.bit`` in ``folder``."""
    (folder / "top.config").write_bytes((routed.folder / "top.config").read_bytes())
    runner.check(find_tool("ecppack"), "--compress", "--input", "top.config", "--bit", "top.bit", folder=folder, log="ecppack.log")
    return folder / "top.bit"
