"""What a requantiser is given: a channel's constants, and the range of a stage's output."""

from amaranth.hdl import signed
from amaranth.lib import data

from narrows.hw.config import BIAS_BITS, MULTIPLIER_BITS, SHIFT_BITS

#: One channel's constants as they lie in memory: bias lowest. ``shift`` is TensorFlow Lite's, positive is left.
ChannelConstants = data.StructLayout({
    "bias": signed(BIAS_BITS),
    "multiplier": MULTIPLIER_BITS,
    "shift": signed(SHIFT_BITS),
})

#: What follows the multiplier for all channels of a stage: clamp(y + zero_point, lo, hi). Each is a signed 9-bit
#: number in the type's own range (-128..127 or 0..255), so uint8 and int8 are one case; the byte is the low 8 bits.
OutputRange = data.StructLayout({"zero_point": signed(9), "lo": signed(9), "hi": signed(9)})
