"""The SDRAM controller and the two chip models."""

import json
from dataclasses import asdict

import pytest
from cocotb_harness import run_cocotb
from narrows.hw.sdram import SdramController
from narrows.hw.sdram_timing import AS4C32M16SB_7, W9825G6KH_6, SdramTiming
from narrows.sim.sdram_chip import SdramParameters

STARTUP_US = 0.5


def latencies(timing: SdramTiming, latency: int) -> list[int]:
    """From a request on an idle controller to its first word: bank closed, row open, another row open."""
    row_open = latency + 6
    closed = row_open + timing.t_rcd
    return [closed, row_open, closed + timing.t_rp]


def simulate(timing: SdramTiming, *, io_latency: int = 0, max_length: int = 256, testcase=None) -> None:
    controller = SdramController(timing=timing, startup_us=STARTUP_US, io_latency=io_latency, max_length=max_length)
    run_cocotb(
        controller,
        "bench_sdram",
        testcase=testcase,
        env={
            "SDRAM": json.dumps(asdict(SdramParameters.of(timing, startup_us=STARTUP_US))),
            "DATA_BITS": timing.part.data_bits,
            "LATENCY": controller.latency,
            "IO_LATENCY": io_latency,
            "LENGTH_BITS": max_length.bit_length(),
            "LATENCIES": " ".join(map(str, latencies(timing, controller.latency))),
        },
    )


def test_controller():
    """Everything, at the clock boards run at."""
    simulate(W9825G6KH_6.at(clock_mhz=133))


@pytest.mark.parametrize(("part", "mhz"), [(W9825G6KH_6, 100), (AS4C32M16SB_7, 143), (W9825G6KH_6, 150)])
def test_clock_grades(part, mhz):
    cases = ["long_requests", "linear_read", "random_reads", "same_bank", "latency", "starved_write"]
    simulate(part.at(clock_mhz=mhz), testcase=cases)
