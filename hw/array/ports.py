"""What passes the array's ports and its chain, and how long it takes."""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from narrows.hw.activations.address_generator import ADDRESS_BITS
from narrows.hw.activations.memory import READ_LATENCY
from narrows.hw.arithmetic.products import STRATEGIES, factors, sum_bits
from narrows.hw.config import CONSTANT_BITS, EngineConfig
from narrows.hw.parts.block_ram import BlockRam

#: Cycles from an op at the array's port to its activations entering slice 0: the memory's, a plain register, the zero point.
ACTIVATION_DELAY = READ_LATENCY + 2
#: Cycles from a weight's address to its factors at the multipliers: the memory's, and a plain register.
WEIGHT_DELAY = BlockRam.LATENCY + 1


def sum_delay(config: EngineConfig) -> int:
    """Cycles from an op at the array's port to its sum, as long as the strategy's products take."""
    return ACTIVATION_DELAY + STRATEGIES[config.products].LATENCY


def array_op(config: EngineConfig) -> data.StructLayout:
    """One cycle's work: ``group`` input channels of ``pixels`` pixels times ``outputs`` output channels.

    ``address``: word of every bank of activation memory. ``weight``, ``constant``: words of the local memories.
    ``first``/``last``: of the input channels of a result. ``idle``: adds nothing (results must end
    ``config.result_spacing`` cycles apart). ``project``: which stage it belongs to. ``pixels``: which pixels are real, the
    lowest bits. ``end_*``: the result's last pixel is the last of its group, segment, slice.
    """
    return data.StructLayout({
        "address": ADDRESS_BITS,
        "weight": (config.weight_words - 1).bit_length(),
        "constant": (config.constant_words - 1).bit_length(),
        "first": 1,
        "last": 1,
        "idle": 1,
        "project": 1,
        "pixels": config.pixels,
        "end_group": 1,
        "end_segment": 1,
        "end_slice": 1,
    })


def array_result(config: EngineConfig) -> data.StructLayout:
    """One pixel's ``outputs`` results as a word, with the flags of its op."""
    return data.StructLayout({
        "data": 8 * config.outputs,
        "project": 1,
        "end_group": 1,
        "end_segment": 1,
        "end_slice": 1,
    })


def memory_load(*, lanes: int, depth: int, width: int) -> data.StructLayout:
    """One lane of a word on its way into the local memories: ``enable``, ``lane``, ``address``, ``data``."""
    return data.StructLayout({"enable": 1, "lane": range(max(lanes, 2)), "address": range(depth), "data": width})


def weight_load(config: EngineConfig) -> data.StructLayout:
    """``group`` 9-bit factors for one slice."""
    return memory_load(lanes=config.outputs, depth=config.weight_words, width=9 * config.group)


def constant_load(config: EngineConfig) -> data.StructLayout:
    """One channel's constants for one slice."""
    return memory_load(lanes=config.outputs, depth=config.constant_words, width=CONSTANT_BITS)


def pixel_factors(config: EngineConfig) -> data.ArrayLayout:
    """``group`` 9-bit signed factors of each of ``pixels`` pixels."""
    return data.ArrayLayout(factors(config.group), config.pixels)


def shared_terms(config: EngineConfig) -> data.ArrayLayout:
    """Of each pixel what the strategy forms once for all slices; 0 bits if it is nothing."""
    shared = STRATEGIES[config.products].SHARED
    return data.ArrayLayout(unsigned(0) if shared is None else signed(sum_bits(config.group // 2)), config.pixels)


def result_flags(config: EngineConfig) -> data.StructLayout:
    """Whose result it is and what it ends."""
    return data.StructLayout({"project": 1, "end_group": 1, "end_segment": 1, "end_slice": 1})
