"""The netlist: a design synthesised for the ECP5, as Verilog that is simulated with models of the primitives in it.

Synthesis is that of the board, of the gateware for a board: primitives where it instantiates them, everything else as Yosys maps
it. The models are in ecp5/.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from narrows.tools import find_tool

#: Verilog of the primitives a netlist consists of.
MODELS = tuple(sorted((Path(__file__).resolve().parent / "ecp5").glob("*.v")))

#: Synthesis as for a bitstream. Amaranth's names survive because the hierarchy is dissolved before anything is renamed. Registers that
#: drive a `*_dup` signal are copies that exist to be near what they drive: without `keep` on the cell they would be merged. Memories that
#: are to be block RAMs are instantiated; the others are small, and a block RAM without its output register would be slow.
SYNTHESIS = """\
read_rtlil top.il
hierarchy -top top
proc
flatten
select -set copies w:*_dup* %a %ci:+[Q] t:$*dff* %i
setattr -set keep 1 @copies
synth_ecp5 -top top -run begin:map_ram
setattr -set ram_style "distributed" t:$mem_v2 r:SIZE<=64 %i
synth_ecp5 -top top -run map_ram:
"""
#: Vectors are split so that Verilator sees no loop where one bit of a vector is made from another of it.
SCRIPT = f"""\
{SYNTHESIS}
splitnets
opt_clean
write_verilog -norename -noattr netlist.v
"""


def to_netlist(text: str, work: Path, call: Callable[[list[str]], None]) -> str:
    """RTLIL of module ``top`` as the Verilog of its netlist, with the same ports. ``call`` runs a command in ``work``."""
    (work / "top.il").write_text(text)
    (work / "netlist.ys").write_text(SCRIPT)
    call([find_tool("yosys").command, "-q", "-l", "netlist.log", "netlist.ys"])
    netlist = (work / "netlist.v").read_text()
    for name in ("top.il", "netlist.v"):
        (work / name).unlink()
    return without_empty_rows(netlist)


def without_empty_rows(text: str) -> str:
    """Verilog without the rows of zeros that block RAMs are initialised with, which is what the models do by themselves."""
    return re.sub(r"^\s*\.INITVAL_[0-9A-F]{2}\(320'h0+\),\n", "", text, flags=re.MULTILINE)
