"""A block's descriptor: what every unit is told. The engine knows nothing of networks, a block is all it sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import signed
from amaranth.lib import data

from narrows.hw.activations.address_generator import WalkFields
from narrows.hw.activations.stream import TransferFields
from narrows.hw.arithmetic.ports import OutputRange
from narrows.hw.array.pass_fields import pass_fields
from narrows.hw.config import EngineConfig
from narrows.hw.depthwise.fields import DepthwiseFields
from narrows.hw.depthwise.line_buffer import LineFields
from narrows.hw.dram.dma import BYTE_ADDRESS_BITS, COUNT_BITS
from narrows.hw.stem.fields import StemFields
from narrows.hw.writeback.residual_fields import ResidualFields

#: Which units a block uses, and how they are joined. ``load``, ``stem``: the source comes from external memory, as it is or
#: through the stem (neither: it lies in activation memory). ``project_first``: project reads the source, there is no
#: depthwise. ``hold_source``: source pixels stay until their residual sum is done. ``store``: the output goes to external
#: memory. ``last``: of the program. ``signed``: bytes are int8.
Flags = data.StructLayout({
    "load": 1,
    "stem": 1,
    "expand": 1,
    "project": 1,
    "project_first": 1,
    "hold_source": 1,
    "store": 1,
    "last": 1,
    "signed": 1,
})

#: A linear region of external memory: byte address and 16-bit words.
RegionFields = data.StructLayout({"address": BYTE_ADDRESS_BITS, "words": COUNT_BITS})


def descriptor_layout(config: EngineConfig) -> data.StructLayout:
    """All fields of a descriptor, lowest bits first, in a program as 16-bit words."""
    return data.StructLayout({
        "flags": Flags,
        "source": RegionFields,
        "sink": RegionFields,
        "zero_expand": signed(9),
        "zero_project": signed(9),
        "range_expand": OutputRange,
        "range_project": OutputRange,
        "expand": pass_fields(config),
        "project": pass_fields(config),
        "lines": LineFields,
        "depthwise": DepthwiseFields,
        "stem": StemFields,
        "load": TransferFields,
        "store": TransferFields,
        "output": WalkFields,
        "shortcut": WalkFields,
        "residual": ResidualFields,
    })


def descriptor_words(config: EngineConfig) -> int:
    """16-bit words of a descriptor."""
    return -(-descriptor_layout(config).size // 16)


def pack_descriptor(config: EngineConfig, values: Mapping[str, Any]) -> bytes:
    """The bytes of a descriptor; units without values get zeros. Values are those the units' own functions checked."""
    layout = descriptor_layout(config)
    unknown = set(values) - {name for name, _ in layout}
    if unknown:
        raise ValueError(f"A descriptor has no {', '.join(sorted(unknown))}.")
    return layout.const(values).as_bits().to_bytes(2 * descriptor_words(config), "little")
