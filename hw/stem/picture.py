"""The latest rows of the picture in on-chip memory, readable at any byte."""

from amaranth.hdl import C, Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.activations.stream import PositionGate
from narrows.hw.config import POSITION_BITS, EngineConfig
from narrows.hw.parts.block_ram import BlockRam
from narrows.hw.parts.delay import delayed
from narrows.hw.parts.gearbox import COUNT_BITS, WordPacker

#: Bits of a byte's place in the picture, signed: pictures have up to 2**22 bytes, and rows above them negative places.
PLACE_BITS = 24

#: Bits of a byte's offset from the beginning of its row, signed.
OFFSET_BITS = 18

#: Bits of the offset of an edge of the row from a window, clamped.
_EDGE_BITS = 5

#: Where a window begins. ``line``: the row's first byte's place; ``inside``: the row is in the picture;
#: ``offset``: the window's first byte in the row.
Window = data.StructLayout({"line": signed(PLACE_BITS), "inside": 1, "offset": signed(OFFSET_BITS)})


class PictureRing(wiring.Component):
    """Keeps the picture's bytes that arrive at ``i``, low byte first, and reads windows of ``group + 1`` of them.

    ``start`` (one cycle, while ``done``) begins a picture of ``words`` 16-bit words. ``filled``: words of ``group`` bytes
    that have come. Bytes from ``first`` (a place, may be negative) on stay in the ring of ``config.image_words`` words;
    places before it are reused a few cycles later. ``window`` holds the bytes that ``at`` asked for ``LATENCY`` cycles ago,
    ``zero`` for those that are not in the row (of ``line_bytes`` bytes) or whose row is not in the picture. ``done``: all
    words have come.
    """

    LATENCY = 7

    def __init__(self, *, config: EngineConfig):
        self._config = config
        super().__init__({
            "start": In(1),
            "words": In(COUNT_BITS),
            "line_bytes": In(OFFSET_BITS - 1),
            "zero": In(8),
            "first": In(signed(PLACE_BITS)),
            "filled": Out(POSITION_BITS),
            "done": Out(1),
            "i": In(stream.Signature(16)),
            "at": In(Window),
            "window": Out(data.ArrayLayout(8, config.group + 1)),
        })

    def elaborate(self, platform):
        m = Module()
        group, half = self._config.group, self._config.image_words // 2
        self._byte_bits = (group - 1).bit_length()
        banks = [BlockRam(width=8 * group, depth=half) for _ in range(2)]
        m.submodules.even, m.submodules.odd = banks
        self._fill(m, banks)
        word, shift, mask = self._locate(m)

        # Cycle 3: the words around the window leave the memories.  Cycle 4: their output registers.
        pair = []
        for bank, row in zip(banks, (word + 1, word), strict=True):
            m.d.comb += bank.address.eq(row[1:])
            pair.append(bank.data)
        # Cycle 5: in order.  Cycle 6: from the window's first byte on.  Cycle 7: zeros around the picture.
        both, shifted = Signal(16 * group, reset_less=True), Signal(8 * (group + 1), reset_less=True)
        m.d.sync += [
            both.eq(Mux(delayed(m, word[0], 2), Cat(pair[1], pair[0]), Cat(pair[0], pair[1]))),
            shifted.eq(both >> Cat(C(0, 3), delayed(m, shift, 3))),
        ]
        for index in range(group + 1):
            m.d.sync += self.window[index].eq(Mux(mask[index], shifted.word_select(index, 8), self.zero))
        return m

    def _fill(self, m: Module, banks: list[BlockRam]) -> None:
        """Words go into the ring as they come, as long as nobody needs what they replace."""
        m.submodules.packer = packer = WordPacker(group=self._config.group)
        m.submodules.gate = gate = PositionGate()
        wiring.connect(m, wiring.flipped(self.i), packer.i)
        taken = packer.o.valid & packer.o.ready
        m.d.comb += [
            packer.start.eq(self.start),
            packer.words.eq(self.words),
            packer.o.ready.eq(gate.open),
            gate.start.eq(self.start),
            gate.limit.eq((self.first >> self._byte_bits) + self._config.image_words),
            gate.step.eq(taken),
            self.filled.eq(gate.position),
            self.done.eq(packer.done),
        ]
        for index, bank in enumerate(banks):
            m.d.comb += [
                bank.write_address.eq(gate.position[1:]),
                bank.write_data.eq(packer.o.payload),
                bank.write_enable.eq(taken & (gate.position[0] == index)),
            ]

    def _locate(self, m: Module) -> tuple:
        """The window's word in the ring and its first byte there (cycle 2), and which bytes are in the picture (cycle 6)."""
        bits = (self._config.image_words * self._config.group - 1).bit_length()
        address, inside = Signal(bits, reset_less=True), Signal(reset_less=True)
        before, behind = Signal(signed(OFFSET_BITS + 1), reset_less=True), Signal(signed(OFFSET_BITS + 1), reset_less=True)
        # Cycle 1: the place in the ring; bytes to the row's two edges.
        m.d.sync += [
            address.eq(self.at.line + self.at.offset),
            before.eq(-self.at.offset),
            behind.eq(self.line_bytes - self.at.offset),
            inside.eq(self.at.inside),
        ]
        # Cycle 2: the edges, clamped to a few bits.
        word = Signal(bits - self._byte_bits, reset_less=True)
        shift = Signal(self._byte_bits, reset_less=True)
        low, high = Signal(_EDGE_BITS, reset_less=True), Signal(_EDGE_BITS, reset_less=True)
        m.d.sync += [Cat(shift, word).eq(address), low.eq(_clamp(before)), high.eq(Mux(inside, _clamp(behind), 0))]
        # Cycle 3: one bit per byte.
        mask = Signal(self._config.group + 1, reset_less=True)
        m.d.sync += mask.eq(Cat((low <= index) & (index < high) for index in range(self._config.group + 1)))
        return word, shift, delayed(m, mask, 3)


def _clamp(value):
    """A signed number within 0 .. 2**_EDGE_BITS - 1."""
    large = value[_EDGE_BITS:-1].any()
    return Mux(value[-1], 0, Mux(large, (1 << _EDGE_BITS) - 1, value[:_EDGE_BITS]))
