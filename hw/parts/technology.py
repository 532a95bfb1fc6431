"""What the gateware is built for: on a device some components are its primitives, anywhere else plain logic.

Components ask their ``platform``; boards of amaranth-boards name their ``device``, and a simulation has no platform.
"""


class Ecp5:
    """A platform without a board: components become the primitives of an ECP5, as for a netlist that is simulated."""

    device = "LFE5U-85F"


def is_ecp5(platform: object) -> bool:
    """Whether ``platform`` is an ECP5, with MULT18X18D, DP16KD and CCU2C to build of."""
    return getattr(platform, "device", "").startswith("LFE5U")


def has_io_registers(platform: object) -> bool:
    """Whether ``platform`` is a board that keeps the registers in front of the SDRAM's pins in its I/O cells."""
    return getattr(platform, "io_registers", False)
