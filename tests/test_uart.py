"""The serial port, bit by bit."""

import pytest
from cocotb_harness import run_cocotb

from narrows.hw.link.uart import UartReceiver, UartTransmitter

HALVES = {"receiver": UartReceiver, "transmitter": UartTransmitter}


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize(("period_ps", "baud"), [(7500, 3_000_000), (10_000, 3_000_000), (40_000, 921_600)])
def test_uart(half: str, period_ps: int, baud: int):
    port = HALVES[half](clock_hz=round(1e12 / period_ps), baud=baud)
    run_cocotb(port, "bench_uart", env={"HALF": half, "PERIOD_PS": period_ps, "BAUD": baud})


@pytest.mark.parametrize("half", HALVES)
def test_refused(half: str):
    with pytest.raises(ValueError, match="A bit must last 8 cycles or more: a clock of 20000000 Hz is too slow for 3000000 baud"):
        HALVES[half](clock_hz=20_000_000, baud=3_000_000)
