"""Where multipliers and block RAMs are on an ECP5, and how a floorplan tells the router.

Both stand in rows across the chip, in blocks of four at regular distances; one column of something else lies between. Names are BELs,
nextpnr's own: ``X4/Y10/MULT18_0``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MULTIPLIERS = frozenset({"MULT18X18D"})
BLOCK_RAMS = frozenset({"DP16KD", "PDPW16KD"})

#: Of a block: distance from its first column, and the name there.
_MULTIPLIER_SITES = ((0, "MULT18_0"), (1, "MULT18_1"), (4, "MULT18_4"), (5, "MULT18_5"))
_BLOCK_RAM_SITES = ((0, "EBR0"), (2, "EBR1"), (4, "EBR2"), (6, "EBR3"))
_FIRST_COLUMN, _BLOCK_COLUMNS, _GAP = 4, 9, 2


@dataclass(frozen=True, kw_only=True)
class Sites:
    """The sites of a device.

    ``blocks`` in a row, from number ``gap_before`` on two columns further right. Rows from the top of the chip.
    """

    blocks: int
    gap_before: int
    multiplier_rows: tuple[int, ...]
    block_ram_rows: tuple[int, ...]

    def multiplier(self, row: int, block: int, index: int) -> str:
        """The BEL of multiplier ``index`` (0 to 3) of a block, in the ``row``-th row of multipliers."""
        return self._bel(self.multiplier_rows[row], block, _MULTIPLIER_SITES[index])

    def block_ram(self, row: int, block: int, index: int) -> str:
        """The BEL of block RAM ``index`` (0 to 3) of a block, in the ``row``-th row of block RAMs."""
        return self._bel(self.block_ram_rows[row], block, _BLOCK_RAM_SITES[index])

    @property
    def multipliers(self) -> list[str]:
        """All of them, row by row."""
        rows, blocks = range(len(self.multiplier_rows)), range(self.blocks)
        return [self.multiplier(row, block, index) for row in rows for block in blocks for index in range(4)]

    @property
    def block_rams(self) -> list[str]:
        """All of them, row by row."""
        rows, blocks = range(len(self.block_ram_rows)), range(self.blocks)
        return [self.block_ram(row, block, index) for row in rows for block in blocks for index in range(4)]

    def _bel(self, row: int, block: int, site: tuple[int, str]) -> str:
        if not 0 <= block < self.blocks:
            raise ValueError(f"A row has blocks 0 to {self.blocks - 1}, not {block}.")
        offset, name = site
        return f"X{_FIRST_COLUMN + _BLOCK_COLUMNS * block + _GAP * (block >= self.gap_before) + offset}/Y{row}/{name}"


#: By device; what a router placed on all sites of a chip, read back.
SITES = {
    "LFE5U-25F": Sites(blocks=7, gap_before=3, multiplier_rows=(13,), block_ram_rows=(25, 37)),
    "LFE5U-45F": Sites(blocks=9, gap_before=4, multiplier_rows=(22, 46), block_ram_rows=(10, 34, 58)),
    "LFE5U-85F": Sites(blocks=13, gap_before=7, multiplier_rows=(10, 34, 58), block_ram_rows=(22, 46, 70, 82)),
}


def placeable(netlist: Mapping[str, Any], top: str = "top") -> dict[str, str]:
    """Name and type of the multipliers and block RAMs in a netlist as Yosys writes it: what a floorplan is asked about."""
    cells = netlist["modules"][top]["cells"]
    return {name: cell["type"] for name, cell in cells.items() if cell["type"] in MULTIPLIERS | BLOCK_RAMS}


def place(netlist: dict[str, Any], bels: Mapping[str, str], *, device: str, top: str = "top") -> None:
    """Write ``bels``, by the names of cells, into ``netlist``.

    Raises ``ValueError`` for a cell that is not there, a BEL the device does not have or that suits another type, and for two cells
    on one BEL: the router's words for these are harder to read.
    """
    cells, sites, taken = placeable(netlist, top), SITES[device], dict[str, str]()
    multipliers, block_rams = set(sites.multipliers), set(sites.block_rams)
    for name, bel in bels.items():
        if name not in cells:
            raise ValueError(f"The floorplan places {name}, which is no multiplier or block RAM of the netlist.")
        if bel not in (multipliers if cells[name] in MULTIPLIERS else block_rams):
            raise ValueError(f"The floorplan puts {name}, a {cells[name]}, on {bel}, where the {device} has none.")
        if bel in taken:
            raise ValueError(f"The floorplan puts {name} and {taken[bel]} both on {bel}.")
        taken[bel] = name
        netlist["modules"][top]["cells"][name].setdefault("attributes", {})["BEL"] = bel


def free_carries(netlist: dict[str, Any], top: str = "top") -> int:
    """Disconnect the ends of carry chains that nothing looks at; how many there were.

    Yosys gives each a net of its own, and the router adds a cell, of two LUTs, to bring it out of the chain.
    """
    module = netlist["modules"][top]
    used = {bit for port in module.get("ports", {}).values() for bit in port["bits"]}
    for cell in module["cells"].values():
        used |= {bit for port, bits in cell["connections"].items() if cell["port_directions"][port] != "output" for bit in bits}
    freed = 0
    for cell in module["cells"].values():
        if cell["type"] == "CCU2C" and cell["connections"]["COUT"][0] not in used:
            cell["connections"]["COUT"] = ["x"]
            freed += 1
    return freed
