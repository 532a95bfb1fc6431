"""The models that netlists are simulated with."""

import pytest
from amaranth.hdl import ClockSignal, Instance, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cocotb_harness import run_cocotb
from ecp5_cells import Cells
from ecp5_twins import Twins

from narrows.sim.netlist import MODELS

CLOCKS = {"TRELLIS_FF": "CLK", "MULT18X18D": "CLK0", "TRELLIS_DPR16X4": "WCK", "DP16KD": "CLKB", "PDPW16KD": "CLKR"}


class One(wiring.Component):
    """One cell, with ``input`` at pin ``pin``."""

    def __init__(self, kind: str, pin: str, output: str, **parameters: object):
        self._kind, self._pins, self._parameters = kind, (pin, output), parameters
        super().__init__({"input": In(1), "output": Out(1)})

    def elaborate(self, platform):
        m = Module()
        pin, output = self._pins
        parameters = {f"p_{name}": value for name, value in self._parameters.items()}
        pins = {f"i_{CLOCKS[self._kind]}": ClockSignal(), f"i_{pin}": self.input, f"o_{output}": self.output}
        m.submodules.one = Instance(self._kind, **parameters, **pins)
        return m


def test_cells():
    run_cocotb(Cells(), "bench_ecp5_cells", sources=MODELS)


def test_two_writes_of_one_word_stop_the_simulation():
    with pytest.raises(AssertionError, match="both ports write one word"):
        run_cocotb(Cells(), "bench_ecp5_stops", testcase="both_write", sources=MODELS)


def test_writes_beside_each_other_do_not():
    run_cocotb(Cells(), "bench_ecp5_stops", testcase="harmless", sources=MODELS)


@pytest.mark.parametrize(("kind", "pin", "output", "parameters"), [
    ("TRELLIS_FF", "DI", "Q", {"SRMODE": "CE_OVER_LSR"}),
    ("TRELLIS_FF", "DI", "Q", {"LSRMODE": "PRLD"}),
    ("TRELLIS_DPR16X4", "WRE", "DO", {"WCKMUX": "INV"}),
    ("MULT18X18D", "A0", "P0", {"REG_INPUTA_CLK": "CLK1"}),
    ("MULT18X18D", "A0", "P0", {"REG_INPUTC_CLK": "CLK0"}),
    ("MULT18X18D", "A0", "P0", {"REG_OUTPUT_CLK": "CLK0", "REG_OUTPUT_CE": "CE1"}),
    ("DP16KD", "ADB13", "DOB0", {"DATA_WIDTH_A": 8}),
    ("DP16KD", "ADB13", "DOB0", {"CLKBMUX": "INV"}),
    ("DP16KD", "ADB13", "DOB0", {"CSDECODE_B": "0b111"}),
    ("DP16KD", "ADB13", "DOB0", {"REGMODE_B": "BOTH"}),
    ("DP16KD", "ADB13", "DOB0", {"DATA_WIDTH_A": 4, "WRITEMODE_A": "READBEFOREWRITE"}),
    ("PDPW16KD", "ADR13", "DO0", {"DATA_WIDTH_W": 18}),
])  # fmt: skip
def test_other_modes_do_not_build(kind, pin, output, parameters):
    with pytest.raises(AssertionError, match="USERFATAL.* modelled"):
        run_cocotb(One(kind, pin, output, **parameters), "bench_ecp5_cells", sources=MODELS)


@pytest.mark.parametrize(("kind", "pin", "output"), [
    ("MULT18X18D", "SRIA0", "P0"), ("MULT18X18D", "A0", "SIGNEDP"), ("DP16KD", "CSX", "DOB0"),
])  # fmt: skip
def test_other_pins_do_not_build(kind, pin, output):
    with pytest.raises(AssertionError, match="not found"):
        run_cocotb(One(kind, pin, output), "bench_ecp5_cells", sources=MODELS)


@pytest.mark.parametrize(("kind", "pin", "output"), [
    ("MULT18X18D", "SOURCEA", "P0"), ("MULT18X18D", "RST0", "P0"), ("DP16KD", "RSTB", "DOB0"), ("DP16KD", "CSB1", "DOB0"),
])  # fmt: skip
def test_other_inputs_stop_the_simulation(kind, pin, output):
    with pytest.raises(AssertionError, match="not modelled"):
        run_cocotb(One(kind, pin, output), "bench_ecp5_one", sources=MODELS)


def test_components_of_primitives():
    """What the gateware builds of them does what its plain form does."""
    run_cocotb(Twins(), "bench_ecp5_twins", sources=MODELS)
