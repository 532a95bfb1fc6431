"""Sites of multipliers and block RAMs, and floorplans that make no sense. That the router agrees is tested in test_build.py."""

import itertools

import pytest

from narrows.boards.ecp5 import SITES, free_carries, place, placeable
from narrows.boards.floorplan import default_engine, wide_engine
from narrows.hw.config import ECP5_85F_WIDE, EngineConfig
from narrows.hw.parts.block_ram import Cut

COUNTS = {"LFE5U-25F": (28, 56), "LFE5U-45F": (72, 108), "LFE5U-85F": (156, 208)}


@pytest.mark.parametrize("device", COUNTS)
def test_a_device_has_the_sites_of_its_data_sheet(device):
    sites = SITES[device]
    assert (len(set(sites.multipliers)), len(set(sites.block_rams))) == COUNTS[device]
    assert (len(sites.multipliers), len(sites.block_rams)) == COUNTS[device]


def test_sites_are_named_as_the_router_does():
    sites = SITES["LFE5U-85F"]
    assert sites.multiplier(0, 0, 0) == "X4/Y10/MULT18_0" and sites.multiplier(2, 12, 3) == "X119/Y58/MULT18_5"
    assert sites.block_ram(0, 6, 3) == "X64/Y22/EBR3" and sites.block_ram(3, 7, 0) == "X69/Y82/EBR0"
    assert SITES["LFE5U-25F"].multiplier(0, 3, 0) == "X33/Y13/MULT18_0"
    with pytest.raises(ValueError, match="blocks 0 to 12, not 13"):
        sites.block_ram(0, 13, 0)


def netlist() -> dict:
    kinds = {"a.m0": "MULT18X18D", "a.m1": "MULT18X18D", "a.r0": "DP16KD", "a.r1": "PDPW16KD", "a.f": "TRELLIS_FF"}
    return {"modules": {"top": {"cells": {name: {"type": kind} for name, kind in kinds.items()}}}}


def test_a_floorplan_sees_what_can_be_placed_and_places_it():
    made = netlist()
    assert placeable(made) == {"a.m0": "MULT18X18D", "a.m1": "MULT18X18D", "a.r0": "DP16KD", "a.r1": "PDPW16KD"}
    place(made, {"a.m1": "X13/Y13/MULT18_0", "a.r1": "X4/Y37/EBR0"}, device="LFE5U-25F")
    cells = made["modules"]["top"]["cells"]
    assert {name: cell.get("attributes") for name, cell in cells.items()} == {
        "a.m0": None, "a.m1": {"BEL": "X13/Y13/MULT18_0"}, "a.r0": None, "a.r1": {"BEL": "X4/Y37/EBR0"}, "a.f": None,
    }  # fmt: skip


@pytest.mark.parametrize(("bels", "message"), [
    ({"a.f": "X4/Y37/EBR0"}, "places a.f, which is no multiplier or block RAM"),
    ({"a.m2": "X4/Y13/MULT18_0"}, "places a.m2, which is no"),
    ({"a.m0": "X4/Y37/EBR0"}, "a.m0, a MULT18X18D, on X4/Y37/EBR0, where the LFE5U-25F has none"),
    ({"a.m0": "X4/Y10/MULT18_0"}, "on X4/Y10/MULT18_0, where the LFE5U-25F has none"),
    ({"a.r0": "X4/Y37/EBR0", "a.r1": "X4/Y37/EBR0"}, "puts a.r1 and a.r0 both on X4/Y37/EBR0"),
])  # fmt: skip
def test_floorplans_that_make_no_sense(bels, message):
    with pytest.raises(ValueError, match=message):
        place(netlist(), bels, device="LFE5U-25F")


@pytest.mark.parametrize(("floorplan", "config", "products", "columns"), [
    (default_engine, EngineConfig(), (8, 2, 8), 2), (wide_engine, ECP5_85F_WIDE, (8, 4, 4), 4),
])  # fmt: skip
def test_an_engine_has_its_places(floorplan, config, products, columns):
    """Its multipliers and large memories by the names they have in a netlist; another one of its memories changes nothing."""
    cut = Cut.of(width=8 * config.group, depth=config.bank_words, shared=True)
    sizes = {
        ("array.slice{}.products{}.multiplier{}.multiplier", "MULT18X18D"): products,
        ("depthwise.taps.products{}.multiplier{}.multiplier", "MULT18X18D"): (8, 3),
        ("array.slice{}.weights.column{}", "DP16KD"): (8, columns),
        ("memory.bank{}.column{}_row{}", "DP16KD"): (config.pixels, cut.columns, cut.rows),
        ("line_buffer.bank{}.column{}", "DP16KD"): (3, 8), ("depthwise_weights.lane{}.column{}", "DP16KD"): (3, 2),
    }  # fmt: skip
    cells = {
        f"system.top.engine.{name.format(*at)}": {"type": kind}
        for (name, kind), size in sizes.items() for at in itertools.product(*map(range, size))
    }
    made = {"modules": {"top": {"cells": cells}}}
    chosen = floorplan(placeable(made))
    assert chosen.keys() == cells.keys() and len(set(chosen.values())) == len(cells) == 128 + 24 + 8 * columns + 112 + 24 + 6
    place(made, chosen, device="LFE5U-85F")
    del cells["system.top.engine.memory.bank0.column0_row6"]
    assert len(floorplan(placeable(made))) == len(cells) - 111


def test_ends_of_carry_chains_are_freed_unless_something_looks_at_them():
    def carry(**connections: list) -> dict:
        directions = {port: "output" if port in ("COUT", "S0") else "input" for port in connections}
        return {"type": "CCU2C", "port_directions": directions, "connections": connections}

    look = {"type": "LUT4", "port_directions": {"A": "input", "Z": "output"}, "connections": {"A": [6], "Z": [7]}}
    cells = {
        "first": carry(CIN=["0"], COUT=[2], S0=[3]), "second": carry(CIN=[2], COUT=[4], S0=[5]),
        "looked_at": carry(CIN=["1"], COUT=[6], S0=[8]), "at_a_pin": carry(CIN=["0"], COUT=[9], S0=[10]), "lut": look,
    }  # fmt: skip
    made = {"modules": {"top": {"ports": {"pin": {"direction": "output", "bits": [9]}}, "cells": cells}}}
    assert free_carries(made) == 1
    assert {name: cell["connections"].get("COUT") for name, cell in cells.items()} == {
        "first": [2], "second": ["x"], "looked_at": [6], "at_a_pin": [9], "lut": None,
    }  # fmt: skip
