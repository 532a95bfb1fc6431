"""Block RAMs of an engine, memory by memory: whether it fits a chip is known before anything is synthesised."""

from narrows.hw.config import CONSTANT_BITS, EngineConfig
from narrows.hw.control.counters import BLOCKS
from narrows.hw.control.counters import WORDS as COUNTERS
from narrows.hw.engine import READ_AHEAD
from narrows.hw.parts.block_ram import Cut
from narrows.hw.writeback.writeback import DEPTH as RESULTS

#: Words of 16 bits in the queues of the writer and of the descriptors, each.
QUEUE_WORDS = 512

#: Block RAMs of an LFE5U-25F and an LFE5U-85F, which also have 28 and 156 multipliers.
LFE5U_25F, LFE5U_85F = 56, 208


def block_rams_of(*, words: int, bits: int, shared: bool = False) -> int:
    """Block RAMs of a memory of ``words`` of ``bits``; ``shared``: one port writes and reads, the other one reads."""
    return Cut.of(width=bits, depth=words, shared=shared).block_rams


def block_rams(config: EngineConfig) -> dict[str, int]:
    """Block RAMs of each memory of the engine and the counters; queues of 32 words and fewer are not made of them.

    The host link's are not among them.
    """
    word, factors = 8 * config.group, 9 * config.group
    queues = 2 * block_rams_of(words=READ_AHEAD, bits=16) + 2 * block_rams_of(words=QUEUE_WORDS, bits=16)
    return {
        "activation memory": config.pixels * block_rams_of(words=config.bank_words, bits=word, shared=True),
        "line buffers": 3 * block_rams_of(words=config.line_words, bits=word),
        "array weights": config.outputs * block_rams_of(words=config.weight_words, bits=factors),
        "array constants": config.outputs // config.constant_sharing * block_rams_of(
            words=config.constant_sharing * config.constant_words, bits=CONSTANT_BITS
        ),
        "depthwise weights": 3 * block_rams_of(words=config.depthwise_words, bits=factors),
        "depthwise constants": config.depthwise_requantisers * block_rams_of(words=config.depthwise_words, bits=CONSTANT_BITS),
        "rows of the picture": 2 * block_rams_of(words=config.image_words // 2, bits=word),
        "queues: two readers, writer, descriptors": queues,
        "queue of results": block_rams_of(words=RESULTS, bits=word + 3),
        "counters": block_rams_of(words=BLOCKS * COUNTERS, bits=32),
    }
