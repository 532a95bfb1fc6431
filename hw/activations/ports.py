"""What writes activation memory hands over."""

from amaranth.lib import data

from narrows.hw.activations.address_generator import ADDRESS_BITS, bank_bits
from narrows.hw.config import EngineConfig


def activation_write(config: EngineConfig) -> data.StructLayout:
    """One word for activation memory: ``data`` (``group`` bytes, channel 0 lowest) to ``bank``/``address``;
    ``mark`` pixels of the tensor are complete once it is written (0: none yet)."""
    return data.StructLayout({
        "data": 8 * config.group,
        "bank": bank_bits(config.pixels),
        "address": ADDRESS_BITS,
        "mark": 16,
    })
