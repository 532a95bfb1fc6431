"""The cocotb harness itself, on a skid buffer."""

import pytest
from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from cocotb_harness import cases_file, run_cocotb
from hypothesis import strategies as st


class Skid(wiring.Component):
    """A register stage that cuts the ready path: 1 cycle of latency, a word per cycle."""

    def __init__(self, *, broken: bool = False) -> None:
        self._broken = broken
        super().__init__({"i": In(stream.Signature(6)), "o": Out(stream.Signature(6))})

    def elaborate(self, platform) -> Module:
        m = Module()
        spare, full = Signal(6), Signal()
        m.d.comb += self.i.ready.eq(1 if self._broken else ~full)
        with m.If(self.o.ready | ~self.o.valid):
            m.d.sync += [
                self.o.valid.eq(self.i.valid | full),
                self.o.payload.eq(self.i.payload),
                full.eq(0),
            ]
            with m.If(full):
                m.d.sync += self.o.payload.eq(spare)
        with m.Elif(self.i.valid & self.i.ready):
            m.d.sync += [spare.eq(self.i.payload), full.eq(1)]
        return m


def test_skid():
    pixels = st.lists(st.tuples(st.integers(-16, 15), st.integers(0, 1)), max_size=20)
    run_cocotb(Skid(), "bench_skid", cases=cases_file("skid", pixels=pixels))


def test_broken_skid():
    with pytest.raises(AssertionError, match="cocotb tests of bench_skid failed"):
        run_cocotb(Skid(broken=True), "bench_skid", testcase="streams/idle=0/pressure=1")
