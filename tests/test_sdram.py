"""The SDRAM controller, on the pins of a strict chip model."""

import json
from dataclasses import asdict, replace

import pytest
from cocotb_harness import run_cocotb

from narrows.hw.dram.controller import SdramController
from narrows.hw.dram.timing import ANY_256M_75, AS4C32M16SB_7, PARTS, W9825G6KH_6, SdramPart, SdramTiming
from narrows.sim.sdram_chip import SdramParameters

STARTUP_US = 0.5
AT_133 = W9825G6KH_6.at(clock_mhz=133)


def latencies(timing: SdramTiming, latency: int) -> list[int]:
    """From a request on an idle controller to its first word: bank closed, row open, another row open."""
    row_open = latency + 5
    closed = row_open + timing.t_rcd
    return [closed, row_open, closed + timing.t_rp - 1]


def simulate(
    timing: SdramTiming, *testcases: str, io_latency: int = 0, max_length: int = 256, chip: SdramParameters | None = None, **parameters
) -> None:
    """Run tests of bench_sdram.py on a controller with ``parameters``; ``chip``: not the one it was made for."""
    controller = SdramController(timing=timing, startup_us=STARTUP_US, io_latency=io_latency, max_length=max_length, **parameters)
    run_cocotb(
        controller,
        "bench_sdram",
        testcase=testcases or None,
        env={
            "SDRAM": json.dumps(asdict(chip or SdramParameters.of(timing, startup_us=STARTUP_US))),
            "DATA_BITS": timing.part.data_bits,
            "IO_LATENCY": io_latency,
            "MAX_LENGTH": max_length,
            "LATENCIES": " ".join(map(str, latencies(timing, controller.latency))),
            "ROW_MISS": timing.t_rp + timing.t_rcd + 1,
        },
    )


def test_controller():
    """Everything, at the clock boards run at."""
    simulate(AT_133)


GRADES = [(W9825G6KH_6, 100), (AS4C32M16SB_7, 100), (AS4C32M16SB_7, 143), (W9825G6KH_6, 150), (ANY_256M_75, 133)]


@pytest.mark.parametrize(("part", "mhz"), GRADES, ids=lambda value: getattr(value, "name", value))
def test_clock_grades(part, mhz):
    """Half of the table is enough to meet CAS latency 2 and 3, rows of 512 and 1024 words, and every count of cycles."""
    simulate(part.at(clock_mhz=mhz), "long_requests", "linear_read", "random_reads", "same_bank", "latency", "starved_write")


@pytest.mark.parametrize(
    ("time", "rule"), [("t_rcd", "tRCD"), ("t_rp", "tRP"), ("t_ras", "tRAS"), ("t_rfc", "tRFC"), ("t_wr", "tWR"), ("t_refi", "refresh")]
)
def test_times_are_met_exactly(time, rule):
    """A chip that wants a cycle more of one time catches the controller: each is used to the full, and looked at."""
    timing = AS4C32M16SB_7.at(clock_mhz=143)
    chip = SdramParameters.of(timing, startup_us=STARTUP_US)
    longer = chip.t_refi_ps // 2 if time == "t_refi" else (getattr(timing, time) + 1) * chip.period_ps
    case = "linear_read" if time == "t_refi" else "random_traffic/idle=0/pressure=0"
    with pytest.raises(AssertionError, match=f": {rule}"):
        simulate(timing, case, chip=replace(chip, **{f"{time}_ps": longer}))


def test_small_wide_part():
    """32 data bits, two banks, rows of 256 words, registers in the board's pins; requests longer than two rows."""
    part = replace(W9825G6KH_6, name="two banks", data_bits=32, bank_bits=1, column_bits=8, row_bits=11, max_mhz=((2, 133), (3, 166)))
    cases = ["random_traffic/idle=0/pressure=0", "long_requests", "latency", "same_bank"]
    simulate(part.at(clock_mhz=133), *cases, io_latency=3, max_length=1024)


@pytest.mark.parametrize("batch", [1, 6])
def test_refresh_batch(batch):
    simulate(AT_133, "long_idle_then_busy", "starved_write", "random_traffic/idle=0/pressure=1", refresh_batch=batch, max_length=16)


def test_cycles():
    """Nanoseconds become cycles, rounded so that no time falls short."""
    timing = AS4C32M16SB_7.at(clock_mhz=100)
    assert (timing.cas_latency, timing.t_rcd, timing.t_rp, timing.t_ras, timing.t_rc) == (2, 3, 3, 5, 7)
    assert (timing.t_rfc, timing.t_rrd, timing.t_wr, timing.t_mrd, timing.t_refi) == (7, 2, 2, 2, 781)
    timing = W9825G6KH_6.at(clock_mhz=150)
    assert (timing.cas_latency, timing.t_rcd, timing.t_rp, timing.t_ras, timing.t_rc) == (3, 3, 3, 7, 9)
    assert (timing.t_rfc, timing.t_rrd, timing.t_wr, timing.t_mrd, timing.t_refi) == (9, 2, 2, 2, 1171)
    assert timing.power_up_cycles() == 30_000
    assert timing.mode == 0x30
    assert W9825G6KH_6.size_bytes == 32 << 20 and AS4C32M16SB_7.size_bytes == 64 << 20
    assert PARTS["W9825G6KH-6"] is W9825G6KH_6
    assert W9825G6KH_6.at(clock_mhz=100, cas_latency=3).cas_latency == 3


@pytest.mark.parametrize("part", [W9825G6KH_6, AS4C32M16SB_7], ids=lambda part: part.name)
@pytest.mark.parametrize("mhz", [50, 100, 115, 133])
def test_the_part_that_stands_for_any_is_the_slowest(part, mhz):
    slowest, other = ANY_256M_75.at(clock_mhz=mhz), part.at(clock_mhz=mhz)
    assert ANY_256M_75.size_bytes <= part.size_bytes and ANY_256M_75.refresh_rows == part.refresh_rows
    assert slowest.cas_latency == other.cas_latency and slowest.t_refi <= other.t_refi
    for name in ("t_rcd", "t_rp", "t_ras", "t_rc", "t_rfc", "t_rrd", "t_wr", "t_mrd"):
        assert getattr(slowest, name) >= getattr(other, name), name


def test_errors():
    with pytest.raises(ValueError, match=r"AS4C32M16SB-7 cannot run at 150 MHz; its limits are 100 MHz at CAS latency 2, 143 MHz"):
        AS4C32M16SB_7.at(clock_mhz=150)
    with pytest.raises(ValueError, match=r"cannot run at 133 MHz at CAS latency 2"):
        W9825G6KH_6.at(clock_mhz=133, cas_latency=2)
    with pytest.raises(ValueError, match=r"must have 8 to 10 column bits"):
        replace(W9825G6KH_6, column_bits=11)
    with pytest.raises(ValueError, match=r"must have 16 or 32 data bits, not 8"):
        replace(W9825G6KH_6, data_bits=8)
    with pytest.raises(ValueError, match=r"11 to 13 row and 1 or 2 bank bits, not 14 and 2"):
        replace(W9825G6KH_6, row_bits=14)
    with pytest.raises(ValueError, match=r"CAS latency of 2 or 3"):
        replace(W9825G6KH_6, max_mhz=((1, 50),))
    for name, value in {"max_length": 1025, "refresh_batch": 7, "io_latency": 5, "startup_us": -1}.items():
        with pytest.raises(ValueError, match=name):
            SdramController(timing=AT_133, **{name: value})
    assert isinstance(AT_133.part, SdramPart)
