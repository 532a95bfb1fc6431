"""The two strict chip models: each rule trips, in both alike; traces of legal and random commands agree."""

import copy
import ctypes
import random
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cocotb_harness import BUILD, compiler

from narrows.hw.dram.timing import AS4C32M16SB_7, W9825G6KH_6
from narrows.sim.sdram_chip import COMMANDS, HEADER, SdramChip, SdramParameters

PINS = ("cke", "cs_n", "ras_n", "cas_n", "we_n", "dq_oe", "ba", "dqm", "a", "dq")
IDLE = {"cke": 1, "cs_n": 1, "ras_n": 1, "cas_n": 1, "we_n": 1, "dq_oe": 0, "ba": 0, "dqm": 0, "a": 0, "dq": 0}

#: A small chip with a different number of cycles for every rule, 10 ns each.
SMALL = SdramParameters(
    row_bits=4,
    column_bits=3,
    bank_bits=2,
    cas_latency=3,
    period_ps=10_000,
    t_rcd_ps=30_000,
    t_rp_ps=40_000,
    t_ras_ps=61_000,
    t_ras_max_ps=2_000_000,
    t_rc_ps=120_000,
    t_rfc_ps=90_000,
    t_rrd_ps=15_000,
    t_wr_ps=25_000,
    t_mrd_ps=0,
    t_rrd_cycles=1,
    t_wr_cycles=2,
    t_mrd_cycles=2,
    t_refi_ps=400_000,
    max_postponed=8,
    power_up_cycles=20,
    power_up_refreshes=2,
)

#: The cycle of MODE REGISTER SET in ``Trace.init``.
MODE_SET = 42

DRIVER = f"""
#include "{HEADER}"
#include <cstring>
extern "C" void run(const uint64_t* p, const uint32_t* trace, uint64_t count, uint32_t* dq, char* message) {{
    SdramParameters parameters{{}};
    uint64_t i = 0;
    parameters.row_bits = p[i++]; parameters.column_bits = p[i++]; parameters.bank_bits = p[i++];
    parameters.cas_latency = p[i++];
    std::memcpy(&parameters.period_ps, p + i, sizeof(uint64_t) * 17);
    SdramChip chip(parameters);
    for (uint64_t cycle = 0; cycle < count && !chip.violated; cycle++) {{
        const uint32_t* t = trace + 10 * cycle;
        SdramPins pins{{}};
        pins.cke = t[0]; pins.cs_n = t[1]; pins.ras_n = t[2]; pins.cas_n = t[3]; pins.we_n = t[4];
        pins.dq_oe = t[5]; pins.ba = t[6]; pins.dqm = t[7]; pins.a = t[8]; pins.dq = t[9];
        if (chip.posedge(cycle, pins)) dq[cycle] = chip.dq() | uint32_t(chip.drives()) << 16;
    }}
    std::strcpy(message, chip.message.c_str());
}}
const SdramParameters initialised = @;
extern "C" uint64_t t_refi() {{ return initialised.t_refi_ps; }}
"""


@pytest.fixture(scope="module")
def cpp():
    """The C++ model behind a C function that runs a trace."""
    folder = BUILD / "sdram_chip"
    folder.mkdir(parents=True, exist_ok=True)
    source, library = folder / "driver.cpp", folder / "driver.so"
    source.write_text(DRIVER.replace("@", SMALL.initialiser()))
    flags = ["-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*shlex.split(compiler()), *flags, "-o", library, source], check=True)
    return ctypes.CDLL(str(library))


class Trace:
    """Pins cycle by cycle; ``at`` pads with idle cycles up to a cycle and adds one command there."""

    def __init__(self) -> None:
        self.cycles: list[dict[str, int]] = []

    def at(self, cycle: int, command: str = "NOP", **pins: int) -> "Trace":
        assert cycle >= len(self.cycles)
        self.cycles += [IDLE] * (cycle - len(self.cycles))
        code = COMMANDS.index(command)
        strobes = {"cs_n": 0, "ras_n": code >> 2, "cas_n": code >> 1 & 1, "we_n": code & 1}
        if command == "WRITE":
            pins = {"dq_oe": 1, **pins}
        self.cycles.append({**IDLE, **strobes, **pins})
        return self

    def after(self, cycles: int, command: str = "NOP", **pins: int) -> "Trace":
        """The same, `cycles` after the last one."""
        return self.at(len(self.cycles) - 1 + cycles, command, **pins)

    def init(self) -> "Trace":
        self.at(20, "PRECHARGE", a=1 << 10).after(4, "REFRESH").after(9, "REFRESH")
        return self.after(9, "MODE REGISTER SET", a=3 << 4).after(1)


def run_python(trace: Trace, parameters: SdramParameters = SMALL) -> tuple[str, list[int]]:
    chip = SdramChip(parameters)
    dq = []
    for cycle, pins in enumerate(trace.cycles):
        if not chip.posedge(cycle, **pins):
            break
        dq.append(chip.dq | chip.drives << 16)
    return chip.message, dq


def run_cpp(cpp, trace: Trace, parameters: SdramParameters = SMALL) -> tuple[str, list[int]]:
    pins = np.array([[cycle[name] for name in PINS] for cycle in trace.cycles], np.uint32)
    fields = np.array(list(vars(parameters).values()), np.uint64)
    dq = np.full(len(pins), 0xFFFFFFFF, np.uint32)
    message = ctypes.create_string_buffer(256)
    cpp.run(fields.ctypes.data_as(ctypes.c_void_p), pins.ctypes.data_as(ctypes.c_void_p), ctypes.c_uint64(len(pins)),
            dq.ctypes.data_as(ctypes.c_void_p), message)
    return message.value.decode(), [int(word) for word in dq if word != 0xFFFFFFFF]


def check(cpp, trace: Trace, parameters: SdramParameters = SMALL) -> tuple[str, list[int]]:
    """Run both models, which must agree on every word and on the message."""
    expected = run_python(trace, parameters)
    assert run_cpp(cpp, trace, parameters) == expected
    return expected


def opened() -> Trace:
    """Row 5 of bank 1 open for three cycles, ready for a READ or WRITE in the next."""
    return Trace().init().after(1, "ACTIVATE", ba=1, a=5).after(2)


def postponed(refreshes: int, cycle: int) -> Trace:
    trace = Trace().init()
    for _ in range(refreshes):
        trace.after(45, "REFRESH")
    return trace.at(cycle)


VIOLATIONS = {
    "power-up wait": (Trace().at(19, "PRECHARGE", a=1 << 10), "PRECHARGE: the wait after power-up is 20 cycles, not 19"),
    "refresh first": (Trace().at(20, "REFRESH"), "REFRESH: initialisation: after PRECHARGE of all banks"),
    "one bank": (Trace().at(20, "PRECHARGE", ba=1).after(9, "REFRESH"), "initialisation: after PRECHARGE of all banks"),
    "mode too early": (
        Trace().at(20, "PRECHARGE", a=1 << 10).after(4, "REFRESH").after(9, "MODE REGISTER SET", a=0x30),
        "initialisation: after 2 REFRESH, not 1",
    ),
    "no mode": (
        Trace().at(20, "PRECHARGE", a=1 << 10).after(4, "REFRESH").after(9, "REFRESH").after(9, "ACTIVATE"),
        "ACTIVATE bank 0: initialisation: after MODE REGISTER SET",
    ),
    "burst length": (Trace().init().after(4, "MODE REGISTER SET", a=0x33), "mode 0x0033 is not burst length 1"),
    "CAS latency": (Trace().init().after(4, "MODE REGISTER SET", a=0x20), "mode 0x0020 is not"),
    "extended mode": (Trace().init().after(4, "MODE REGISTER SET", a=0x30, ba=2), "mode 0x0030 is not"),
    "mode with an open bank": (opened().after(1, "MODE REGISTER SET", a=0x30), "MODE REGISTER SET: bank 1 is open"),
    "tMRD": (
        Trace().at(20, "PRECHARGE", a=1 << 10).after(4, "REFRESH").after(9, "REFRESH")
        .after(9, "MODE REGISTER SET", a=0x30).after(1, "ACTIVATE"),
        "ACTIVATE: tMRD is 2 cycles, not 1",
    ),
    "tRFC": (Trace().init().after(4, "REFRESH").after(8, "ACTIVATE"), "ACTIVATE: tRFC is 9 cycles, not 8"),
    "tRFC to REFRESH": (Trace().init().after(4, "REFRESH").after(8, "REFRESH"), "REFRESH: tRFC is 9 cycles, not 8"),
    "tRCD of READ": (Trace().init().after(4, "ACTIVATE", ba=1).after(2, "READ", ba=1), "READ bank 1: tRCD is 3 cycles, not 2"),
    "tRCD of WRITE": (Trace().init().after(4, "ACTIVATE").after(2, "WRITE"), "WRITE bank 0: tRCD is 3 cycles, not 2"),
    "tRAS": (opened().after(4, "PRECHARGE", ba=1), "PRECHARGE bank 1: tRAS is 7 cycles, not 6"),
    "tRAS of all": (opened().after(4, "PRECHARGE", a=1 << 10), "PRECHARGE bank 1: tRAS is 7 cycles, not 6"),
    "tRAS max": (opened().after(199, "PRECHARGE", ba=1), "PRECHARGE bank 1: tRAS is at most 200 cycles, not 201"),
    "tRAS max of READ": (opened().after(199, "READ", ba=1), "READ bank 1: tRAS is at most 200 cycles, not 201"),
    "tRP": (opened().after(12, "PRECHARGE", ba=1).after(3, "ACTIVATE", ba=1), "ACTIVATE bank 1: tRP is 4 cycles, not 3"),
    "tRP of REFRESH": (opened().after(12, "PRECHARGE", ba=1).after(3, "REFRESH"), "REFRESH: tRP is 4 cycles, not 3"),
    "tRC": (opened().after(5, "PRECHARGE", ba=1).after(4, "ACTIVATE", ba=1), "ACTIVATE bank 1: tRC is 12 cycles, not 11"),
    "tRRD": (Trace().init().after(4, "ACTIVATE").after(1, "ACTIVATE", ba=2), "ACTIVATE bank 2: tRRD is 2 cycles, not 1"),
    "tWR": (opened().after(9, "WRITE", ba=1).after(2, "PRECHARGE", ba=1), "PRECHARGE bank 1: tWR is 3 cycles, not 2"),
    "closed bank, READ": (opened().after(1, "READ", ba=0), "READ bank 0: the bank is closed"),
    "closed bank, WRITE": (opened().after(1, "WRITE", ba=3), "WRITE bank 3: the bank is closed"),
    "open bank": (opened().after(20, "ACTIVATE", ba=1), "ACTIVATE bank 1: the bank is open"),
    "REFRESH with an open bank": (opened().after(20, "REFRESH"), "REFRESH: bank 1 is open"),
    "auto precharge": (opened().after(1, "READ", ba=1, a=1 << 10), "READ bank 1: auto precharge is not modelled"),
    "no such column": (opened().after(1, "READ", ba=1, a=8), "READ bank 1: no such column"),
    "burst terminate": (opened().after(1, "TERMINATE"), "TERMINATE: not modelled"),
    "CKE low": (opened().after(1, cke=0), "CKE low: "),
    "nobody drives": (opened().after(1, "WRITE", ba=1, dq_oe=0), "WRITE bank 1: nobody drives dq"),
    "contention": (opened().after(1, "READ", ba=1).after(3, dq_oe=1), "dq: driven while the chip drives it or lets go"),
    "letting go": (opened().after(1, "READ", ba=1).after(4, "WRITE", ba=1), "dq: driven while the chip drives it or lets go"),
    "refresh": (Trace().init().at(MODE_SET + 9 * 40), "refresh: 9 are due"),
    "average refresh": (postponed(3, MODE_SET + 12 * 40), "refresh: 9 are due"),
}


@pytest.mark.parametrize("rule", VIOLATIONS)
def test_violation(cpp, rule):
    trace, text = VIOLATIONS[rule]
    message, words = check(cpp, trace.after(5))
    assert text in message
    assert message.startswith(f"cycle {len(words)}: ")


#: The same, one cycle later or otherwise just within the rule.
LEGAL = {
    "power-up wait": Trace().at(20, "PRECHARGE", a=1 << 10),
    "write single": Trace().init().after(4, "MODE REGISTER SET", a=0x230),
    "tMRD": Trace().init().after(1, "ACTIVATE"),
    "tRFC": Trace().init().after(4, "REFRESH").after(9, "ACTIVATE"),
    "tRCD": opened().after(1, "READ", ba=1),
    "tRAS": opened().after(5, "PRECHARGE", ba=1),
    "tRAS max": opened().after(198, "PRECHARGE", ba=1),
    "tRP": opened().after(12, "PRECHARGE", ba=1).after(4, "ACTIVATE", ba=1),
    "tRC": opened().after(5, "PRECHARGE", ba=1).after(5, "ACTIVATE", ba=1),
    "tRRD": Trace().init().after(4, "ACTIVATE").after(2, "ACTIVATE", ba=2),
    "tWR": opened().after(9, "WRITE", ba=1).after(3, "PRECHARGE", ba=1),
    "write before the chip drives": opened().after(1, "READ", ba=1).after(2, "WRITE", ba=1),
    "write after a gap": opened().after(1, "READ", ba=1).after(5, "WRITE", ba=1),
    "read after write": opened().after(1, "WRITE", ba=1, a=2, dq=0x1234).after(1, "READ", ba=1, a=2),
    "precharge of a closed bank": opened().after(1, "PRECHARGE", ba=0),
    "masked read": opened().after(1, "READ", ba=1).after(1, dqm=3).after(2, dq_oe=1),
    "CKE low before power-up": Trace().at(3, cke=0).init(),
    "refresh": Trace().init().at(MODE_SET + 9 * 40 - 1),
    "average refresh": postponed(3, MODE_SET + 12 * 40 - 1),
}


@pytest.mark.parametrize("rule", LEGAL)
def test_legal(cpp, rule):
    message, _ = check(cpp, LEGAL[rule])
    assert message == ""


def test_words(cpp):
    """READ after WRITE, bytes masked either way: data comes CAS latency after READ, for one cycle."""
    trace = opened()
    trace.after(1, "WRITE", ba=1, a=2, dq=0xABCD).after(1, "WRITE", ba=1, a=3, dq=0x1234)
    trace.after(1, "WRITE", ba=1, a=2, dq=0x5566, dqm=1)
    trace.after(1, "READ", ba=1, a=2).after(1, "READ", ba=1, a=3, dqm=2).after(1, "READ", ba=1, a=2)
    first = len(trace.cycles) - 3  # the cycle of the first READ
    trace.after(6)
    message, words = check(cpp, trace)
    assert message == ""
    # What is sampled three cycles after a READ is on the bus from the second on. A mask counts two cycles later.
    assert words[first + 1 : first + 6] == [0xFFFF, 0x1_FFCD, 0x1_1234, 0x1_55CD, 0xFFFF]


@pytest.mark.parametrize("seed", range(20))
def test_random_commands(cpp, seed):
    """Commands at random: both models end at the same cycle for the same reason, or agree on all words."""
    rng = random.Random(seed)
    trace, chip = Trace().init(), SdramChip(SMALL)
    for cycle, pins in enumerate(trace.cycles):
        chip.posedge(cycle, **pins)
    for _ in range(200):
        command = rng.choice(["ACTIVATE"] * 4 + ["PRECHARGE"] * 2 + ["READ", "WRITE"] * 12 + ["REFRESH"])
        every = command == "PRECHARGE" and rng.random() < 0.5
        pins = {"ba": rng.randrange(4), "a": 1 << 10 if every else rng.randrange(8)}
        pins |= {"dq": rng.getrandbits(16), "dqm": rng.choice([0, 0, 0, 1, 2, 3])}
        before, after = len(trace.cycles), copy.deepcopy(chip)
        trace.after(rng.choice([1, 1, 1, 2, 3, 7, 13]), command, **pins)
        for cycle in range(before, len(trace.cycles)):
            after.posedge(cycle, **trace.cycles[cycle])
        # Most of the illegal commands are dropped, or the trace would end at once.
        if not after.violated:
            chip = after
        elif rng.random() < 0.01:
            break
        else:
            del trace.cycles[before:]
    check(cpp, trace.after(5))


@pytest.mark.parametrize("part", [W9825G6KH_6, AS4C32M16SB_7], ids=lambda part: part.name)
def test_parameters(part):
    """The structure's fields are in the order of the header, and a part's come from its data sheet."""
    text = HEADER.read_text()
    places = [text.index(f" {name};") for name in vars(SMALL)]
    assert places == sorted(places)
    parameters = SdramParameters.of(part.at(clock_mhz=100), startup_us=1)
    assert parameters.period_ps == 10_000
    assert parameters.t_refi_ps == 7_812_500
    assert parameters.power_up_cycles == 100
    assert replace(parameters, power_up_cycles=20_000) == SdramParameters.of(part.at(clock_mhz=100))


def test_initialiser(cpp):
    cpp.t_refi.restype = ctypes.c_uint64
    assert cpp.t_refi() == SMALL.t_refi_ps
    assert Path(HEADER).exists()
