"""When the SDRAM's clock should rise, seen from the engine's clock: late enough for one direction, early enough for the other.

All of this is arithmetic on data sheets; no board has confirmed it. Times are nanoseconds from an edge of ``sync`` at which the I/O
registers put out a command. All outputs, the clock among them, leave through the same kind of I/O register, so what they take to the
pins cancels out on the way there, and counts twice the other way: out with the clock, then back with the data.

    0                        the I/O registers get a command; the pins have it after the pad's delay
    phase                    the SDRAM's clock rises, the same delay later: the part takes the command
    phase + (CAS - 1) T + tAC    it has put out the word (pads and wires beside), and keeps it until
    phase + CAS T + tOH
    (CAS + 1) T              the I/O registers take it: the cycle the controller counts on (its ``io_latency``)
"""

from __future__ import annotations

from dataclasses import dataclass

#: The slowest of the parts in :mod:`narrows.hw.dram.timing`: inputs stable before and after the clock, outputs valid after it by
#: CAS latency, and held.
T_IS, T_IH = 1.5, 1.0
T_AC = {2: 6.0, 3: 5.4}
T_OH = 2.5

#: Estimates for an ECP5 of grade 6, LVCMOS33 with fast slew: from the clock at an I/O register to the pin, fastest and slowest; from
#: the pin into the register, setup and hold with the input buffer's delay; wires of a few centimetres, both ways; outputs among themselves.
PAD_OUT = (2.5, 4.5)
PAD_SETUP, PAD_HOLD = 0.8, 0.5
WIRES = 0.3
SKEW = 0.4


@dataclass(frozen=True, kw_only=True)
class Margins:
    """What is left, in nanoseconds, of each of four conditions; below zero it is not met."""

    command_setup: float
    command_hold: float
    read_setup: float
    read_hold: float

    @property
    def worst(self) -> float:
        """The least of them."""
        return min(self.command_setup, self.command_hold, self.read_setup, self.read_hold)


def margins(*, phase_ns: float, clock_mhz: float, cas_latency: int) -> Margins:
    """The margins with the SDRAM's clock ``phase_ns`` after the engine's."""
    period = 1000 / clock_mhz
    return Margins(
        command_setup=phase_ns - SKEW - T_IS,
        command_hold=period - phase_ns - SKEW - T_IH,
        read_setup=2 * period - (phase_ns + PAD_OUT[1] + T_AC[cas_latency] + WIRES + PAD_SETUP),
        read_hold=phase_ns + PAD_OUT[0] + T_OH - period - PAD_HOLD,
    )


def best_phase(*, step_ns: float, clock_mhz: float, cas_latency: int) -> tuple[int, Margins]:
    """The number of steps of ``step_ns`` within a period whose least margin is the largest, and the margins."""
    steps = range(int(1000 / clock_mhz / step_ns + 0.5))
    made = [margins(phase_ns=step * step_ns, clock_mhz=clock_mhz, cas_latency=cas_latency) for step in steps]
    best = max(steps, key=lambda step: made[step].worst)
    return best, made[best]
