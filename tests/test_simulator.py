"""The whole-system simulator, with a top module that fills memory and adds it up instead of an engine."""

import re
from pathlib import Path

import pytest
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from narrows.errors import NarrowsError
from narrows.hw.dram.controller import SdramController, sdram_pins
from narrows.hw.dram.timing import W9825G6KH_6, SdramTiming
from narrows.sim import build
from narrows.sim.simulator import SimulationError, Simulator
from narrows.sim.verilog import without_zeros

TIMING = W9825G6KH_6.at(clock_mhz=133)
#: A controller that believes in a faster part than the one it gets.
IMPATIENT = SdramTiming(**{**vars(TIMING), "t_rcd": 1, "t_rp": 1})
STARTUP_US = 1.0
CONTROL, ADDRESS, COUNT, SUM, WORDS = range(5)
FILL, ADD = 1, 2


class Filler(wiring.Component):
    """``CONTROL`` written with FILL writes 7, 8, 9, ... to ``COUNT`` words from word ``ADDRESS`` on, with ADD sums them up."""

    def __init__(self, timing: SdramTiming = TIMING) -> None:
        self._timing = timing
        bus = {"address": In(8), "write": In(1), "write_data": In(32), "read_data": Out(32)}
        super().__init__({
            "bus": Out(wiring.Signature(bus)),
            "sdram": Out(sdram_pins(timing.part)),
            "busy": Out(1),
            "done": Out(1),
            "block_done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.sdram = sdram = SdramController(timing=self._timing, startup_us=STARTUP_US)
        wiring.connect(m, wiring.flipped(self.sdram), sdram.pins)
        address, count = Signal(self._timing.part.address_bits), Signal(9)
        total, words, settle, writing = Signal(32), Signal(9), Signal(3), Signal()
        bus, request = self.bus, sdram.request
        with m.If(bus.write), m.Switch(bus.address):
            with m.Case(CONTROL):
                m.d.sync += [self.busy.eq(1), self.done.eq(0), writing.eq(bus.write_data == FILL)]
                m.d.sync += [request.valid.eq(1), words.eq(0), total.eq(0), settle.eq(0)]
            with m.Case(ADDRESS):
                m.d.sync += address.eq(bus.write_data)
            with m.Case(COUNT):
                m.d.sync += count.eq(bus.write_data)
        m.d.comb += [
            request.payload.address.eq(address),
            request.payload.length.eq(count),
            request.payload.write.eq(writing),
            sdram.write.payload.eq(words + 7),
            sdram.write.valid.eq(self.busy & writing & (words != count)),
        ]
        with m.If(request.ready & request.valid):
            m.d.sync += request.valid.eq(0)
        with m.If((sdram.write.ready & sdram.write.valid) | sdram.read.valid):
            m.d.sync += words.eq(words + 1)
        with m.If(sdram.read.valid):
            m.d.sync += total.eq(total + sdram.read.payload)
        # The last word is at the pins a few cycles after it was taken.
        m.d.comb += self.block_done.eq(settle == 7)
        with m.If(self.busy & (words == count)):
            m.d.sync += settle.eq(settle + 1)
            with m.If(self.block_done):
                m.d.sync += [self.busy.eq(0), self.done.eq(1)]
        chosen = Signal(8)
        m.d.sync += [chosen.eq(bus.address), bus.read_data.eq(Mux(chosen == SUM, total, Mux(chosen == WORDS, words, 0)))]
        return m


def simulator(design: Filler | None = None, **arguments) -> Simulator:
    return Simulator(design or Filler(), timing=TIMING, startup_us=STARTUP_US, **arguments)


def start(simulated: Simulator, what: int, address: int, count: int) -> None:
    simulated.write(ADDRESS, address)
    simulated.write(COUNT, count)
    simulated.write(CONTROL, what)


def test_memory_is_written_and_read_through_the_controller() -> None:
    with simulator() as simulated:
        start(simulated, FILL, 500, 200)  # across the end of a row
        assert simulated.run(5000).reason == "done"
        assert simulated.read_memory(1000, 400) == b"".join((7 + i).to_bytes(2, "little") for i in range(200))
        words = [3 * i * i % 65536 for i in range(256)]
        simulated.load(2_000_000, b"".join(word.to_bytes(2, "little") for word in words))
        start(simulated, ADD, 1_000_000, 256)
        assert simulated.run(5000).reason == "done"
        assert (simulated.read(SUM), simulated.read(WORDS)) == (sum(words), 256)
        assert len(simulated.block_cycles) == 2
        assert simulated.done
        assert not simulated.busy


def test_cycles_are_counted_and_repeat() -> None:
    def stops() -> list[int]:
        with simulator() as simulated:
            start(simulated, FILL, 0, 100)
            before = simulated.cycle
            seen: list[int] = []
            stop = simulated.run(5000, progress=seen.append, every=50)
            assert seen == [*range(50, stop.cycles, 50), stop.cycles]
            assert stop.cycle == before + stop.cycles == simulated.cycle
            assert simulated.run(5000).cycles == 0  # done already
            assert simulated.run(123, until_done=False) == type(stop)("limit", 123, stop.cycle + 123)
            before = simulated.cycle
            simulated.read(SUM)
            simulated.write(COUNT, 1)
            assert simulated.cycle == before + 4
            return [stop.cycles, *simulated.block_cycles]

    assert stops() == stops()


def test_the_limit_is_an_answer() -> None:
    with simulator() as simulated:
        assert simulated.run(1000).reason == "limit"


def test_a_broken_rule_of_the_memory_stops_the_simulation() -> None:
    with simulator(Filler(IMPATIENT)) as simulated:
        start(simulated, FILL, 0, 10)
        with pytest.raises(SimulationError, match=r"broke a rule of the SDRAM: .*tR"):
            simulated.run(5000)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.write(256, 0), "register address has 8 bits; 256 does not fit"),
        (lambda s: s.write(0, 1 << 32), "register value has 32 bits"),
        (lambda s: s.load(s.memory_size - 1, b"ab"), "2 bytes at 33554431 are not in the SDRAM"),
        (lambda s: s.read_memory(-1, 1), "are not in the SDRAM"),
        (lambda s: (s.close(), s.read(0)), "The simulation is closed"),
    ],
)
def test_wrong_use_is_refused(call, message: str) -> None:
    with simulator() as simulated, pytest.raises(SimulationError, match=re.escape(message)):
        call(simulated)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"trace": "a.png"}, "written as .vcd"),
        ({"trace": "a.vcd", "window": (9, 9)}, "9:9 is not"),
        ({"window": (0, 9)}, "needs a file"),
    ],
)
def test_wrong_waveforms_are_refused(arguments, message: str) -> None:
    with pytest.raises(SimulationError, match=message):
        simulator(**arguments)


def test_a_waveform_has_the_window_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "window.vcd"
    stops = []
    for arguments in ({}, {"trace": path, "window": (150, 170)}):
        with simulator(**arguments) as simulated:
            start(simulated, FILL, 0, 50)
            stops.append(simulated.run(5000))
    assert stops[0] == stops[1]
    times = [int(line[1:]) for line in path.read_text().splitlines() if line.startswith("#")]
    assert times[0] == 1500
    assert 1690 <= times[-1] < 1700
    assert "sdram__ras_n" in path.read_text()


def test_a_design_is_compiled_once_for_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In folders of any name: of the result, of the harness and of Verilator."""
    odd = tmp_path / "für $HOME, mein"
    odd.mkdir()
    (odd / "sim").symlink_to(build.HERE)
    (odd / "verilator").symlink_to(build.verilator_root())
    monkeypatch.setenv("NARROWS_BUILD", str(odd / r'"C:\303"'))
    monkeypatch.setattr(build, "HERE", odd / "sim")
    monkeypatch.setattr(build, "HARNESS", tuple(odd / "sim" / path.name for path in build.HARNESS))
    monkeypatch.setattr(build, "verilator_root", lambda: odd / "verilator")
    monkeypatch.setattr(build, "OPTIMISATION", dict.fromkeys(build.OPTIMISATION, "-O0"))
    said: list[str] = []
    first = build.build(Filler(), progress=lambda words, _: said.append(words))
    assert "compiling the simulator" in said
    said.clear()
    assert build.build(Filler, key="filler", progress=lambda words, _: said.append(words)) == first
    assert said == ["elaborating the design", "simulator ready"]
    said.clear()
    assert build.build(Filler, key="filler", progress=lambda words, _: said.append(words)) == first
    assert said == []
    assert not [path for path in first.parent.parent.iterdir() if path.is_dir() and path != first.parent]


def test_a_failing_tool_is_one_line_that_names_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NARROWS_BUILD", str(tmp_path))
    monkeypatch.setattr(build, "CXX_FLAGS", (*build.CXX_FLAGS, "--no-such-flag"))
    with pytest.raises(NarrowsError, match=r"did not build: .*no-such-flag.*log\.txt") as raised:
        build.build(Filler())
    assert "\n" not in str(raised.value)


def test_zeros_of_memories_are_left_out() -> None:
    text = "initial begin\n    mem[0] = 8'h00;\n    mem[1] = 8'h01;\n    \\a.b [12] = 16'h0000;\nend\n"
    assert without_zeros(text) == "initial begin\n    mem[1] = 8'h01;\nend\n"


def test_groups_are_balanced(tmp_path: Path) -> None:
    paths = [tmp_path / str(size) for size in (5, 1, 4, 2, 6)]
    for path in paths:
        path.write_bytes(bytes(int(path.name)))
    groups = [[path.name for path in group] for group in build.balanced(paths, 2)]
    assert sorted(groups) == [["5", "4"], ["6", "2", "1"]]
