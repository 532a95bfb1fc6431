"""The PLL of an ECP5 (EHXPLLL): its dividers for a wanted clock, and the clock that they really make."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from amaranth.hdl import Instance, Value

#: What the data sheet allows, in MHz: the phase detector's input and the oscillator. Dividers have seven bits.
DETECTOR_MHZ = (Fraction(25, 8), Fraction(400))
VCO_MHZ = (Fraction(400), Fraction(800))
LARGEST_DIVIDER = 128


@dataclass(frozen=True, kw_only=True)
class Pll:
    """A setting: ``output_mhz`` = ``input_mhz`` * ``feedback`` / ``reference``, made of an oscillator ``output`` times as fast.

    A second output has the same clock, later by ``phase_steps`` eighths of the oscillator's period.
    """

    input_mhz: Fraction
    reference: int
    feedback: int
    output: int
    phase_steps: int = 0

    @property
    def output_mhz(self) -> Fraction:
        """Exactly."""
        return self.input_mhz * self.feedback / self.reference

    @property
    def vco_mhz(self) -> Fraction:
        """The oscillator's clock."""
        return self.output_mhz * self.output

    @property
    def phase_degrees(self) -> float:
        """By how much the second output is later, in degrees of its period."""
        return 360 * self.phase_steps / (8 * self.output)

    @property
    def phase_ns(self) -> float:
        """The same in nanoseconds."""
        return float(self.phase_steps * 125 / self.vco_mhz)

    def instance(self, *, clock: Value, first: Value, second: Value, locked: Value) -> Instance:
        """The primitive: ``clock`` in; ``first``, ``second`` and ``locked`` out."""
        # A phase counts from the end of the divider's period on, so that both outputs have room for it.
        aligned = self.output - 1
        coarse, fine = divmod(self.phase_steps, 8)
        return Instance(
            "EHXPLLL",
            # Of the loop filter and the charge pump: what is used for every setting of this range.
            a_ICP_CURRENT="12", a_LPF_RESISTOR="8", a_MFG_ENABLE_FILTEROPAMP="1", a_MFG_GMCREF_SEL="2",
            p_FEEDBK_PATH="CLKOP", p_CLKI_DIV=self.reference, p_CLKFB_DIV=self.feedback,
            p_CLKOP_ENABLE="ENABLED", p_CLKOP_DIV=self.output, p_CLKOP_CPHASE=aligned, p_CLKOP_FPHASE=0,
            p_CLKOS_ENABLE="ENABLED", p_CLKOS_DIV=self.output, p_CLKOS_CPHASE=aligned + coarse, p_CLKOS_FPHASE=fine,
            i_CLKI=clock, i_CLKFB=first, o_CLKOP=first, o_CLKOS=second, o_LOCK=locked,
        )  # fmt: skip


def find_pll(*, input_mhz: Fraction | int, wanted_mhz: Fraction | float) -> Pll:
    """The setting whose clock is nearest to ``wanted_mhz``; of several the one with the oscillator nearest the middle of its range.

    Raises ``ValueError`` if there is none within 2 %.
    """
    source, wanted = Fraction(input_mhz), Fraction(wanted_mhz)
    middle = sum(VCO_MHZ) / 2
    best: tuple[Fraction, Fraction, Pll] | None = None
    for reference in range(1, LARGEST_DIVIDER + 1):
        if not DETECTOR_MHZ[0] <= source / reference <= DETECTOR_MHZ[1]:
            continue
        nearest = int(wanted * reference / source)
        for feedback in (nearest, nearest + 1):
            made = source * feedback / reference
            if not 1 <= feedback <= LARGEST_DIVIDER:
                continue
            for output in {int(middle / made), int(middle / made) + 1}:
                pll = Pll(input_mhz=source, reference=reference, feedback=feedback, output=output)
                if not (1 <= output <= LARGEST_DIVIDER and VCO_MHZ[0] <= pll.vco_mhz <= VCO_MHZ[1]):
                    continue
                rank = (Fraction(abs(made - wanted)), Fraction(abs(pll.vco_mhz - middle)), pll)
                if best is None or rank[:2] < best[:2]:
                    best = rank
    if best is None or best[0] > wanted / 50:
        raise ValueError(f"The PLL cannot make {float(wanted):g} MHz of {float(source):g} MHz.")
    return best[2]
