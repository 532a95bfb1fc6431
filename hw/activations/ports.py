"""Shapes of what the components hand to each other."""

from amaranth.hdl import signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.activations.address_generator import ADDRESS_BITS, bank_bits
from narrows.hw.config import BIAS_BITS, MULTIPLIER_BITS, SHIFT_BITS, EngineConfig

#: One channel's constants as they lie in memory: bias lowest. ``shift`` is TensorFlow Lite's, positive is left.
ChannelConstants = data.StructLayout({
    "bias": signed(BIAS_BITS),
    "multiplier": MULTIPLIER_BITS,
    "shift": signed(SHIFT_BITS),
})

#: What follows the multiplier for all channels of a stage: clamp(y + zero_point, lo, hi). Each is a signed 9-bit
#: number in the type's own range (-128..127 or 0..255), so uint8 and int8 are one case; the byte is the low 8 bits.
OutputRange = data.StructLayout({"zero_point": signed(9), "lo": signed(9), "hi": signed(9)})

#: The register port, from the side of the registers.
bus_signature = wiring.Signature({"address": In(8), "write": In(1), "write_data": In(32), "read_data": Out(32)})


def activation_write(config: EngineConfig) -> data.StructLayout:
    """One word for activation memory: ``data`` (``group`` bytes, channel 0 lowest) to ``bank``/``address``;
    ``mark`` pixels of the tensor are complete once it is written (0: none yet)."""
    return data.StructLayout({
        "data": 8 * config.group,
        "bank": bank_bits(config.pixels),
        "address": ADDRESS_BITS,
        "mark": 16,
    })
