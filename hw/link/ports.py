"""The register port, between the host's commands and the registers."""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

#: The register port, from the side of the registers.
bus_signature = wiring.Signature({"address": In(8), "write": In(1), "write_data": In(32), "read_data": Out(32)})
