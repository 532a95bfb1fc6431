"""Performance counters: what each block's cycles went into, kept for the host to read."""

from amaranth.hdl import Array, Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.parts.block_ram import BlockRam
from narrows.hw.parts.delay import delayed

#: What is counted per block, in the order of the host's words. Cycles: all, those in which the array or the depthwise
#: unit formed products, those in which the array stood still for weights or for anything else while it had work.
#: 16-bit words moved to and from external memory.
NAMES = ("cycles", "pointwise_busy", "depthwise_busy", "wait_weights", "wait_data", "read_words", "write_words")

#: Blocks that are remembered, and words for each.
BLOCKS, WORDS = 128, 8


class Counters(wiring.Component):
    """Counts ``events`` (a bit for each of ``NAMES``) in cycles with ``run``; ``block`` closes a block's account.

    ``index`` (``block * WORDS + name``) reads a counter of a closed block, ``value`` two cycles later. ``blocks``: accounts
    closed since ``clear``, two cycles late; those after ``BLOCKS`` are not kept. Word ``n`` of an account may be asked for ``n + 4``
    cycles after its ``block``. A block closes at least ``WORDS`` cycles after the one before.
    """

    def __init__(self):
        super().__init__({
            "clear": In(1), "run": In(1), "events": In(len(NAMES)), "block": In(1),
            "index": In(range(BLOCKS * WORDS)), "value": Out(32), "blocks": Out(range(BLOCKS + 1)),
        })

    def elaborate(self, platform):
        m = Module()
        # Everything a cycle later, for it comes from all over the engine.
        clear, run, block, events = (delayed(m, port, 1, name=name, reset_less=False) for name, port in (
            ("clear", self.clear), ("run", self.run), ("block", self.block), ("events", self.events),
        ))
        m.submodules.memory = memory = BlockRam(width=32, depth=BLOCKS * WORDS)
        running = [Signal(32, name=name) for name in NAMES]
        closed = [Signal(32, name=f"closed_{name}") for name in NAMES]
        word = Signal(range(WORDS + 1), init=WORDS)
        slot = Signal(range(BLOCKS))
        for count, copy, event in zip(running, closed, events, strict=True):
            m.d.sync += count.eq(count + (event & run))
            with m.If(block):
                m.d.sync += [copy.eq(count), count.eq(event & run)]
            with m.If(clear):
                m.d.sync += count.eq(0)
        m.d.comb += [
            memory.write_enable.eq(delayed(m, ~word[-1], 1, name="writing", reset_less=False)),
            memory.write_address.eq(delayed(m, Cat(word[:-1], slot), 1, name="place")),
            memory.write_data.eq(delayed(m, Array([*closed, 0])[word[:-1]], 1, name="value")),
            memory.address.eq(self.index), self.value.eq(memory.data),
        ]
        with m.If(~word[-1]):
            m.d.sync += word.eq(word + 1)
        with m.If(block & (self.blocks != BLOCKS)):
            m.d.sync += [word.eq(0), slot.eq(self.blocks), self.blocks.eq(self.blocks + 1)]
        with m.If(clear):
            m.d.sync += [self.blocks.eq(0), word.eq(WORDS)]
        return m
