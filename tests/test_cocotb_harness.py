"""The cocotb harness itself, on a skid buffer."""

import os
import shlex
import shutil
import subprocess
import sys

import pytest
from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from cocotb_harness import cases_file, make_settings, run_cocotb
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


#: Compilers a machine may have; Zig's is always there.
COMPILERS = {"g++": "g++", "clang++": "clang++", "zig": f"{shlex.quote(sys.executable)} -m ziglang c++"}


@pytest.mark.parametrize("name", COMPILERS)
def test_every_compiler_takes_a_precompiled_header(name, tmp_path):
    """By the rules of verilated.mk, which larger designs are built with. `a.cpp` finds what it uses in no other place."""
    command = COMPILERS[name]
    if name != "zig" and not shutil.which(name):
        pytest.skip(f"no {name} on this machine")
    cxx = tmp_path / "cxx"
    cxx.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    cxx.chmod(0o755)
    (tmp_path / "Vtop__pch.h").write_text("inline int twice(int value) { return 2 * value; }\n")
    (tmp_path / "a.cpp").write_text("int four() { return twice(2); }\n")
    rules = ["VM_PREFIX = Vtop", "VM_PARALLEL_BUILDS = 1", "VM_CLASSES_FAST = a", "include $(VERILATOR_ROOT)/include/verilated.mk"]
    (tmp_path / "Makefile").write_text("\n".join(rules) + "\n")
    settings = [f"{key}={value}" for key, value in make_settings(cxx).items()]
    environment = {key: value for key, value in os.environ.items() if key != "MAKEFLAGS"}
    made = subprocess.run(["make", "a.o", *settings], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    assert (tmp_path / "Vtop__pch.h.fast.gch").exists() and "-include Vtop__pch.h.fast " in made.stdout
