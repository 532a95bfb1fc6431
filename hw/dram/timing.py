"""What an SDR SDRAM part demands, in nanoseconds from its data sheet, and the same in cycles of a clock."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor


@dataclass(frozen=True, kw_only=True)
class SdramPart:
    """An SDR SDRAM part: geometry in address bits, minimum times in nanoseconds.

    ``max_mhz``: the fastest clock for a CAS latency in cycles, as (latency, MHz) pairs.
    ``t_rcd``: ACTIVATE to READ or WRITE. ``t_rp``: PRECHARGE to ACTIVATE or REFRESH. ``t_ras``: ACTIVATE to PRECHARGE,
    at most ``t_ras_max``. ``t_rc``: ACTIVATE to ACTIVATE of one bank. ``t_rfc``: REFRESH to the next command.
    ``t_rrd``: ACTIVATE to ACTIVATE of another bank. ``t_wr``: last word written to PRECHARGE. ``t_mrd``: MODE REGISTER
    SET to the next command. ``*_cycles``: what the data sheet states in clock cycles; the longer one counts.
    ``refresh_ms``: the time in which all rows must be refreshed, ``refresh_rows`` REFRESH commands.
    ``power_up_us``: stable clock before the first command; ``power_up_refreshes`` follow it.
    """

    name: str
    row_bits: int = 13
    column_bits: int
    bank_bits: int = 2
    data_bits: int = 16
    max_mhz: tuple[tuple[int, float], ...]
    t_rcd: float
    t_rp: float
    t_ras: float
    t_ras_max: float = 100_000
    t_rc: float
    t_rfc: float
    t_rrd: float = 0
    t_wr: float = 0
    t_mrd: float = 0
    t_rrd_cycles: int = 1
    t_wr_cycles: int = 1
    t_mrd_cycles: int = 2
    refresh_ms: float = 64
    refresh_rows: int = 8192
    power_up_us: float = 200
    power_up_refreshes: int = 8

    def __post_init__(self) -> None:
        if self.data_bits not in (16, 32):
            raise ValueError(f"{self.name} must have 16 or 32 data bits, not {self.data_bits}.")
        if not 8 <= self.column_bits <= 10:
            raise ValueError(
                f"{self.name} must have 8 to 10 column bits (A10 is not one of them), not {self.column_bits}."
            )
        if not 11 <= self.row_bits <= 13 or not 1 <= self.bank_bits <= 2:
            raise ValueError(
                f"{self.name} must have 11 to 13 row and 1 or 2 bank bits, not {self.row_bits} and {self.bank_bits}."
            )
        if not self.max_mhz or any(latency not in (2, 3) for latency, _ in self.max_mhz):
            raise ValueError(f"{self.name} must name its fastest clock for a CAS latency of 2 or 3.")

    @property
    def address_bits(self) -> int:
        """Bits of a word's address."""
        return self.row_bits + self.bank_bits + self.column_bits

    @property
    def size_bytes(self) -> int:
        return (1 << self.address_bits) * self.data_bits // 8

    def at(self, *, clock_mhz: float | Fraction, cas_latency: int | None = None) -> SdramTiming:
        """This part's timing at a clock, with the lowest CAS latency the clock allows unless one is given."""
        allowed = sorted(latency for latency, mhz in self.max_mhz if clock_mhz <= mhz)
        if not allowed or cas_latency not in (None, *allowed):
            limits = ", ".join(f"{mhz:g} MHz at CAS latency {latency}" for latency, mhz in self.max_mhz)
            wanted = "" if cas_latency is None else f" at CAS latency {cas_latency}"
            raise ValueError(f"{self.name} cannot run at {float(clock_mhz):g} MHz{wanted}; its limits are {limits}.")
        period = 1000 / Fraction(clock_mhz)

        def cycles(nanoseconds: float, least: int = 1) -> int:
            return max(ceil(Fraction(nanoseconds) / period), least)

        return SdramTiming(
            part=self,
            clock_mhz=clock_mhz,
            cas_latency=cas_latency or allowed[0],
            t_rcd=cycles(self.t_rcd),
            t_rp=cycles(self.t_rp),
            t_ras=cycles(self.t_ras),
            t_rc=cycles(self.t_rc),
            t_rfc=cycles(self.t_rfc),
            t_rrd=cycles(self.t_rrd, self.t_rrd_cycles),
            t_wr=cycles(self.t_wr, self.t_wr_cycles),
            t_mrd=cycles(self.t_mrd, self.t_mrd_cycles),
            t_refi=floor(Fraction(self.refresh_ms) * 1_000_000 / self.refresh_rows / period),
        )


@dataclass(frozen=True, kw_only=True)
class SdramTiming:
    """An :class:`SdramPart` at a clock: its times in whole cycles, named as there.

    ``t_refi``: the average interval between REFRESH commands, rounded down.
    """

    part: SdramPart
    clock_mhz: float | Fraction
    cas_latency: int
    t_rcd: int
    t_rp: int
    t_ras: int
    t_rc: int
    t_rfc: int
    t_rrd: int
    t_wr: int
    t_mrd: int
    t_refi: int

    @property
    def mode(self) -> int:
        """The mode register: burst length 1, sequential, this CAS latency, written words one by one as well."""
        return self.cas_latency << 4

    def power_up_cycles(self, startup_us: float | None = None) -> int:
        """Cycles to wait after power-up; ``startup_us`` shortens the wait for a simulation."""
        return ceil(Fraction(self.part.power_up_us if startup_us is None else startup_us) * Fraction(self.clock_mhz))


#: Winbond, 32 MB, one of the parts soldered on ULX3S boards. The industrial grade's times, which the other one meets too.
W9825G6KH_6 = SdramPart(
    name="W9825G6KH-6",
    column_bits=9,
    max_mhz=((2, 100), (3, 166)),
    t_rcd=18,
    t_rp=18,
    t_ras=42,
    t_rc=60,
    t_rfc=60,
    t_rrd_cycles=2,
    t_wr_cycles=2,
)

#: Alliance, 64 MB, the other one.
AS4C32M16SB_7 = SdramPart(
    name="AS4C32M16SB-7",
    column_bits=10,
    max_mhz=((2, 100), (3, 143)),
    t_rcd=21,
    t_rp=21,
    t_ras=42,
    t_rc=63,
    t_rfc=63,
    t_rrd=14,
    t_wr=14,
    t_mrd=14,
    t_wr_cycles=2,
)

#: No part but a board's bargain with whatever was in stock: 32 MB or more, 16 bits wide, grade 7 or 75, each time the longest of
#: MT48LC16M16A2-75 (tRAS, tRC, tRFC, tRRD, tWR: 1 clock + 7.5 ns; 7.5 ns of clock), AS4C16M16SA-7, AS4C32M16SB-7 (tRCD, tRP),
#: IS42S16160G-7 and W9825G6KH-6. Of a 64 MB part's rows the lower half is used.
ANY_256M_75 = SdramPart(
    name="any-256M-75",
    column_bits=9,
    max_mhz=((2, 100), (3, 133.34)),
    t_rcd=21,
    t_rp=21,
    t_ras=44,
    t_rc=66,
    t_rfc=66,
    t_rrd=15,
    t_wr=15,
    t_mrd=15,
    t_rrd_cycles=2,
    t_wr_cycles=2,
)

#: Every part by its name.
PARTS = {part.name: part for part in (W9825G6KH_6, AS4C32M16SB_7, ANY_256M_75)}
