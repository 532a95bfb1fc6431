"""What a pass of the array is told: the fields of a descriptor, and the values a host gives them."""

from amaranth.lib import data

from narrows.errors import Unfit
from narrows.hw.activations.address_generator import ADDRESS_BITS
from narrows.hw.config import POSITION_BITS, EngineConfig

#: Width of a count of weight or constant words since the start of a program, modulo.
COUNT_BITS = 16


def pass_fields(config: EngineConfig) -> data.StructLayout:
    """A pass. ``slices`` of ``groups`` output groups each over ``segments`` of pixels (all but the last of
    ``segment_pixels``, that of ``tail_pixels``); ``depth`` input groups, ``cycles`` = max(depth, spacing) per result, of
    which ``lead`` = cycles - depth idle ones come first.

    ``base``, ``size``: source region, words per bank, a ring. ``segment_words``: words per bank of a full segment, modulo
    ``size``. ``pairs``, ``tail_pairs``: results per segment and group, minus one; ``tail_mask``: real pixels of the last.
    ``room``: pixels the destination may hold that are not freed yet. ``weight``, ``constant``: count of words in the
    program before the first of this pass.
    """
    return data.StructLayout({
        "slices": 12, "groups": 12, "segments": 16, "segment_pixels": 16, "tail_pixels": 16,
        "pairs": 16, "tail_pairs": 16, "tail_mask": config.pixels,
        "depth": 12, "cycles": 12, "lead": range(max(config.result_spacing, 2)),
        "base": ADDRESS_BITS, "size": ADDRESS_BITS, "segment_words": ADDRESS_BITS,
        "room": POSITION_BITS,
        "weight": COUNT_BITS, "constant": COUNT_BITS,
    })


def pass_values(
    config: EngineConfig, *, slices: int, groups: int, plane: int, segment: int, depth: int,
    base: int, size: int, room: int, weight: int, constant: int,
) -> dict[str, int]:
    """Values of :func:`pass_fields` for ``plane`` pixels in segments of ``segment`` (a multiple of ``pixels``)."""
    if segment % config.pixels:
        raise Unfit(f"A segment must be a multiple of {config.pixels} pixels, not {segment}.")
    segment = min(segment, -(-plane // config.pixels) * config.pixels)
    segments = -(-plane // segment)
    tail = plane - (segments - 1) * segment
    odd = tail % config.pixels
    values = {
        "slices": slices, "groups": groups, "segments": segments, "segment_pixels": segment, "tail_pixels": tail,
        "pairs": segment // config.pixels - 1, "tail_pairs": -(-tail // config.pixels) - 1,
        "tail_mask": (1 << (odd or config.pixels)) - 1,
        "depth": depth, "cycles": max(depth, config.result_spacing), "lead": max(config.result_spacing - depth, 0),
        "base": base, "size": size, "segment_words": segment // config.pixels * depth % size,
        "room": room, "weight": weight % (1 << COUNT_BITS), "constant": constant % (1 << COUNT_BITS),
    }
    for name, field in pass_fields(config):
        if not 0 <= values[name] < 1 << field.width:
            raise Unfit(f"A pass can't have {values[name]} {name}, the register has {field.width} bits.")
    return values
