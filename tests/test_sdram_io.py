"""The registers at the SDRAM's pins: in I/O cells and as plain logic they are the same, cycle for cycle."""

from types import SimpleNamespace

import pytest
from amaranth.hdl import Module
from amaranth.lib import io, wiring
from amaranth.sim import Simulator
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from narrows.hw.dram.controller import sdram_pins
from narrows.hw.dram.pins import IO_LATENCY, SdramPads, SdramRegisters
from narrows.hw.dram.timing import W9825G6KH_6

PART = W9825G6KH_6
WIDTHS = {"cke": 1, "cs_n": 1, "ras_n": 1, "cas_n": 1, "we_n": 1, "ba": 2, "a": 13, "dqm": 2, "dq_o": 16, "dq_oe": 1}
PORTS = {"cke": "clk_en", "cs_n": "cs", "ras_n": "ras", "cas_n": "cas", "we_n": "we", "ba": "ba", "a": "a", "dqm": "dqm"}


class Board:
    """A platform with registers in its I/O cells."""

    io_registers = True


class OnBoard(wiring.Elaboratable):
    """:class:`SdramRegisters` as a board elaborates it, :class:`SdramPads` behind it."""

    def __init__(self, ports) -> None:
        self.registers, self.pads = SdramRegisters(part=PART), SdramPads(part=PART, ports=ports)

    def elaborate(self, platform):
        m = Module()
        m.submodules.registers = self.registers.elaborate(Board())
        m.submodules.pads = self.pads
        wiring.connect(m, self.registers.pins, self.pads.pins)
        return m


def ports(**changes) -> SimpleNamespace:
    made = {port: io.SimulationPort("o", WIDTHS[name], invert=name.endswith("_n")) for name, port in PORTS.items()}
    return SimpleNamespace(**{**made, "dq": io.SimulationPort("io", 16), **changes})


def value(bits: int):
    return st.integers(0, (1 << bits) - 1)


CYCLE = st.fixed_dictionaries({**{name: value(bits) for name, bits in WIDTHS.items()}, "dq_i": value(16)})


@settings(max_examples=5, deadline=None, phases=[Phase.generate])  # shrinking would build the design again and again
@given(cycles=st.lists(CYCLE, min_size=20, max_size=60))
def test_pads_and_plain_registers_are_the_same(cycles):
    board_ports, plain = ports(), SdramRegisters(part=PART)
    board = OnBoard(board_ports)
    m = Module()
    m.submodules.plain, m.submodules.board = plain, board
    sides = (plain.controller, board.registers.controller)
    seen = []

    async def testbench(ctx):
        for index, cycle in enumerate(cycles):
            for name in WIDTHS:
                for side in sides:
                    ctx.set(getattr(side, name), cycle[name])
            ctx.set(plain.pins.dq_i, cycle["dq_i"])
            ctx.set(board_ports.dq.i, cycle["dq_i"])
            if index:
                for name, bits in WIDTHS.items():
                    ours = ctx.get(getattr(plain.pins, name))
                    if name in PORTS:
                        theirs = ctx.get(getattr(board_ports, PORTS[name]).o)
                    else:
                        theirs = ctx.get(board_ports.dq.o if name == "dq_o" else board_ports.dq.oe)
                    # A pin of 16 has 16 output enables.
                    assert theirs == (ours if name != "dq_oe" else 0xFFFF * ours), (name, bits)
                    assert ours == cycles[index - 1][name]
                answers = [ctx.get(side.dq_i) for side in sides]
                assert answers[0] == cycles[index - 1]["dq_i"]
                # While the board drives its pins it reads what it drives; nobody looks.
                if index > 1 and not cycles[index - 2]["dq_oe"]:
                    assert answers[1] == answers[0]
                seen.append(index)
            await ctx.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    assert len(seen) == len(cycles) - 1
    assert IO_LATENCY == 2


def test_a_board_may_tie_pins_but_not_lack_them():
    tied = ports()
    del tied.clk_en, tied.cs, tied.dqm
    SdramPads(part=PART, ports=tied)
    del tied.ras
    with pytest.raises(ValueError, match="ports must have ras too"):
        SdramPads(part=PART, ports=tied)
    with pytest.raises(ValueError, match="W9825G6KH-6 needs 13 pins a, the board has 11"):
        SdramPads(part=PART, ports=ports(a=io.SimulationPort("o", 11)))
    assert sdram_pins(PART).members["dqm"].init == 3
