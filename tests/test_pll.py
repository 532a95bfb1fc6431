"""The PLL's dividers against all there are, and the phase of the SDRAM's clock against every other one."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.boards.pll import find_pll
from narrows.boards.sdram_phase import best_phase, margins


def brute_force(source: int, wanted: Fraction) -> tuple[Fraction, Fraction]:
    """The least error of any setting the data sheet allows, and of those the least distance of the oscillator from 600 MHz."""
    best = (Fraction(10**6), Fraction(10**6))
    for reference in range(1, 129):
        if not 3.125 <= source / reference <= 400:
            continue
        for feedback in range(1, 129):
            made = Fraction(source * feedback, reference)
            error = abs(made - wanted)
            if error > best[0]:
                continue
            for output in range(1, 129):
                if 400 <= made * output <= 800:
                    best = min(best, (error, abs(made * output - 600)))
    return best


@settings(max_examples=25, deadline=None)
@given(source=st.sampled_from([12, 25, 50, 100]), wanted=st.one_of(st.integers(20, 200), st.fractions(20, 200, max_denominator=8)))
def test_no_setting_is_nearer(source, wanted):
    error, distance = brute_force(source, Fraction(wanted))
    if error > Fraction(wanted) / 50:
        with pytest.raises(ValueError, match="cannot make"):
            find_pll(input_mhz=source, wanted_mhz=wanted)
        return
    pll = find_pll(input_mhz=source, wanted_mhz=wanted)
    assert (abs(pll.output_mhz - wanted), abs(pll.vco_mhz - 600)) == (error, distance)
    assert pll.output_mhz == Fraction(source * pll.feedback, pll.reference)


@pytest.mark.parametrize(("source", "wanted", "made"), [(25, 133, Fraction(400, 3)), (25, 115, 115), (50, 80, 80), (25, 100, 100)])
def test_the_exact_clock_is_told(source, wanted, made):
    assert find_pll(input_mhz=source, wanted_mhz=wanted).output_mhz == made


def test_impossible_clocks_are_refused():
    for wanted in (1, 2, 900):
        with pytest.raises(ValueError, match=rf"cannot make {wanted} MHz of 25 MHz"):
            find_pll(input_mhz=25, wanted_mhz=wanted)


@settings(max_examples=40, deadline=None)
@given(mhz=st.integers(50, 143), step=st.floats(0.1, 1.0))
def test_no_phase_has_more_to_spare(mhz, step):
    latency = 2 if mhz <= 100 else 3
    steps, best = best_phase(step_ns=step, clock_mhz=mhz, cas_latency=latency)
    assert 0 <= steps * step <= 1000 / mhz
    at = 0.0
    while at < 1000 / mhz:
        assert margins(phase_ns=at, clock_mhz=mhz, cas_latency=latency).worst <= best.worst + 1e-9
        at += step


def test_the_margins_are_those_of_a_timing_diagram():
    """Read at 100 MHz and CAS latency 2, the clock 6 ns late: edges as times on one axis."""
    period, phase = 10.0, 6.0
    made = margins(phase_ns=phase, clock_mhz=100, cas_latency=2)
    sampled = 3 * period  # the command left at 0; command register at the pins, two cycles of latency
    slow, fast = 4.5, 2.5  # of a pad
    arrives = phase + slow + period + 6.0 + 0.3  # the part's second edge, then tAC
    leaves = phase + fast + 2 * period + 2.5
    assert made.read_setup == pytest.approx(sampled - arrives - 0.8)
    assert made.read_hold == pytest.approx(leaves - sampled - 0.5)
    assert made.command_setup == pytest.approx(phase - 0.4 - 1.5)
    assert made.command_hold == pytest.approx(period - phase - 0.4 - 1.0)
