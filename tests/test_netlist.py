"""The netlist after synthesis beside the gateware: every byte, every counter, every output in every cycle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import ClockSignal, Instance
from engine_runs import differences
from made_network import Made, mobilenet_v2
from rtl_runs import PINS_EVERY, run_plan
from test_simulator import ADD, ADDRESS, CONTROL, COUNT, FILL, STARTUP_US, SUM, TIMING, Filler

import narrows
from narrows.golden.model import run_pre
from narrows.graph.network import Network
from narrows.hw.config import ECP5_25F, ECP5_85F_WIDE, EngineConfig
from narrows.importer.importer import import_network
from narrows.inputs.model_input import input_for
from narrows.schedule.schedule import plan_network
from narrows.sim.simulator import SimulationError, Simulator

DATA = Path(narrows.__file__).parent / "data"


class Other(Filler):
    """One constant is another one."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.sdram.a.eq(m.submodules.sdram.pins.a | m.submodules.sdram.pins.cs_n)
        return m


class Colliding(Filler):
    """Beside what it should do, it writes a word of a block RAM at both ports, as soon as it is told to add."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        if platform is not None:
            write = self.bus.write & (self.bus.write_data == ADD)
            m.submodules.ram = Instance(
                "DP16KD", i_CLKA=ClockSignal(), i_CLKB=ClockSignal(), i_CEA=1, i_CEB=1, i_WEA=write, i_WEB=write,
                **{f"i_AD{port}{n}": 1 for port in "AB" for n in range(2)}, a_keep=1,
            )  # fmt: skip
        return m


def filled(netlist: bool, design: type[Filler] = Filler) -> list[Any]:
    """What a run of the filler shows: sum, cycles, and all outputs after each step."""
    seen: list[Any] = []
    with Simulator(design, timing=TIMING, startup_us=STARTUP_US, netlist=netlist) as simulator:
        for address, count in ((1000, 10), (511, 300)):
            for job in (FILL, ADD):
                simulator.write(ADDRESS, address)
                simulator.write(COUNT, count)
                simulator.write(CONTROL, job)
                stop = simulator.run(100_000)
                seen += [stop, simulator.pins]
            total = simulator.read(SUM)
            assert total == sum(range(7, 7 + count))
            seen += [total, simulator.pins, simulator.read_memory(2 * address, 2 * count)]
    return seen


def test_a_small_design():
    assert filled(netlist=True) == filled(netlist=False)


def test_another_design_is_noticed():
    assert filled(netlist=True, design=Other) != filled(netlist=False)


def test_what_a_ram_cannot_do_is_noticed():
    with pytest.raises(SimulationError, match=r"ram.*DP16KD: both ports write one word"):
        filled(netlist=True, design=Colliding)


def same(network: Network, config: EngineConfig, picture: np.ndarray, **options: Any) -> None:
    """Run ``network`` on gateware and netlist; all that can be seen has to be the same."""
    plan = plan_network(network, config, **options)
    gateware, netlist = run_plan(plan, picture), run_plan(plan, picture, netlist=True)
    differing = [n for n, pair in enumerate(zip(gateware["pins"], netlist["pins"])) if pair[0] != pair[1]]
    assert not differing, f"outputs differ in the {PINS_EVERY} cycles before {(differing[0] + 1) * PINS_EVERY} of the run, or earlier"
    for what in ("pins", "ends", "cycles", "blocks", "outputs"):
        assert gateware[what] == netlist[what], what


def every_unit(*, size: int) -> Made:
    """A stem, a depthwise layer, blocks of stride 1 with a shortcut and of stride 2, a pool: every unit has work."""
    made = Made(size + 2, size, 3).conv(8, kernel=3, stride=2).depthwise().conv(12)
    return made.block(12, residual=True).block(20, stride=2).pool().conv(6)


def test_small_engine():
    made = every_unit(size=21)
    network, picture = made.network(), made.picture()
    assert not differences(network, ECP5_25F, picture)[1]
    same(network, ECP5_25F, picture, store_blocks=True)


@pytest.mark.slow
@pytest.mark.parametrize("make", [lambda: every_unit(size=47), lambda: mobilenet_v2(0.35, 32, classes=10)], ids=["units", "MobileNetV2"])
def test_default_engine(make):
    made = make()
    same(made.network(), EngineConfig(), made.picture(), store_blocks=True)


@pytest.mark.slow
def test_wide_engine():
    """Fast products, and what the pixels' channels share, of carry chains."""
    made = every_unit(size=47)
    same(made.network(), ECP5_85F_WIDE, made.picture(), store_blocks=True)


@pytest.mark.slow
def test_default_engine_runs_the_embedded_network():
    network = import_network(DATA / "digits_mobilenetv2_035_96.tflite")
    same(network, EngineConfig(), run_pre(network, input_for(network.model, DATA / "images" / "3.png")))
