"""Line buffers: the few rows of the wide interior that exist at any time, in three banks.

Row ``V`` of the expanded tensor lies in bank ``V % 3``. ``V`` counts rows from the start of a block, over
images and slices: ``V = (slice * images + image) * in_h + row``. In a bank rows follow each other without
gaps, a pixel takes ``groups`` words, and the bank is a ring of ``limit`` words: the word of (V, x, g) is
``(V // 3 * width + x) * groups + g`` modulo ``limit``.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from narrows.errors import Unfit
from narrows.hw.config import POSITION_BITS, EngineConfig
from narrows.hw.parts.block_ram import BlockRam
from narrows.hw.parts.delay import delayed

#: Bits of a word's address in a bank; ``config.line_words`` is at most ``2**LINE_BITS``.
LINE_BITS = 13

#: Bits of a row's or column's number, and of a kernel's extent.
SIZE_BITS = 11

#: Cycles from an address to its words.
READ_LATENCY = BlockRam.LATENCY

#: Where a tensor lies in the line buffers: ``width`` pixels in a row less one, ``groups`` words in a pixel, ``limit``
#: words in a bank's ring (whole pixels).
LineFields = data.StructLayout({"width": SIZE_BITS, "groups": LINE_BITS + 1, "limit": LINE_BITS + 1})


def line_slots(*, config: EngineConfig, groups: int) -> int:
    """Pixels of ``groups`` words that each bank holds."""
    return config.line_words // groups


def line_fields(*, config: EngineConfig, width: int, groups: int) -> dict[str, int]:
    """Checked values of :data:`LineFields` for rows of ``width`` pixels (1..2047) of ``groups`` words (1..line_words)."""
    if config.line_words > 1 << LINE_BITS:
        raise Unfit(f"Line buffers hold at most {1 << LINE_BITS} words per bank, not {config.line_words}.")
    if not 1 <= width < 1 << SIZE_BITS:
        raise Unfit(f"A row in the line buffers has 1 to {(1 << SIZE_BITS) - 1} pixels, not {width}.")
    if not 1 <= groups <= config.line_words:
        raise Unfit(f"A pixel in the line buffers takes 1 to {config.line_words} words, not {groups}.")
    slots = line_slots(config=config, groups=groups)
    if width > slots:
        raise Unfit(f"A bank of the line buffers holds {slots} pixels of {groups} words, a row has {width}: use more slices.")
    return {"width": width - 1, "groups": groups, "limit": slots * groups}


def line_write(config: EngineConfig) -> data.StructLayout:
    """A word of ``group`` bytes for ``bank``/``address``, written in every cycle with ``enable``."""
    return data.StructLayout({"enable": 1, "bank": 2, "address": LINE_BITS, "data": 8 * config.group})


class LineBuffer(wiring.Component):
    """The three banks, ``line_words`` words of ``group`` bytes each.

    ``data[b]`` is bank b's word ``READ_LATENCY`` cycles after ``address[b]``. A word on ``write`` is in memory for addresses of the
    next cycle.
    """

    def __init__(self, *, config: EngineConfig):
        self._config = config
        super().__init__({
            "write": In(line_write(config)),
            "address": In(LINE_BITS).array(3),
            "data": Out(8 * config.group).array(3),
        })

    def elaborate(self, platform):
        m = Module()
        for bank in range(3):
            m.submodules[f"bank{bank}"] = memory = BlockRam(width=8 * self._config.group, depth=self._config.line_words)
            m.d.comb += [
                memory.write_enable.eq(self.write.enable & (self.write.bank == bank)),
                memory.write_address.eq(self.write.address),
                memory.write_data.eq(self.write.data),
                memory.address.eq(self.address[bank]),
                self.data[bank].eq(memory.data),
            ]
        return m


class LineWriter(wiring.Component):
    """Puts the array's result words where the depthwise unit looks for them. ``fields`` are static from the cycle before ``start`` on.

    Words come in the order segment of pixels, group, pixel of the segment; pixels run on over rows, images and
    slices. ``end_group`` marks the last pixel of the segment for its group, ``end_segment`` the last of all. A word per
    cycle is always accepted. ``write`` follows one cycle later.

    ``expanded``: pixels complete in memory since ``start``, modulo 2**POSITION_BITS; when it counts a pixel, a read
    whose address is presented in the same cycle sees it (two cycles after its last word came).
    """

    def __init__(self, *, config: EngineConfig):
        super().__init__({
            "fields": In(LineFields),
            "start": In(1),
            "valid": In(1),
            "data": In(8 * config.group),
            "end_group": In(1),
            "end_segment": In(1),
            "write": Out(line_write(config)),
            "expanded": Out(POSITION_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        f = self.fields
        # A place: pixels left in the row, bank, first word of the pixel and of the row. Rows V, V + 1, V + 2 in
        # banks 0, 1, 2 begin at the same word, so one row pointer serves all banks.
        # ``end``: no pixels are left; ``pixel_end``, ``row_end``: that is the ring's last pixel.
        place = data.StructLayout({
            "left": SIZE_BITS, "bank": 2, "pixel": LINE_BITS, "row": LINE_BITS, "end": 1, "pixel_end": 1, "row_end": 1,
        })
        here, after, saved = Signal(place), Signal(place), Signal(place)
        group = Signal(LINE_BITS)

        # The next pixel's place.
        stepped, beyond = Signal(LINE_BITS + 1), Signal(LINE_BITS)
        beyond_end, before_end = Signal(), delayed(m, f.limit - (f.groups << 1), 1, name="before_end")
        alone, narrow = delayed(m, f.limit == f.groups, 1, name="alone"), delayed(m, f.width == 0, 1, name="narrow")
        m.d.comb += [
            stepped.eq(here.pixel + f.groups),
            beyond.eq(Mux(here.pixel_end, 0, stepped)),
            beyond_end.eq(Mux(here.pixel_end, alone, here.pixel == before_end[: len(here.pixel)])),
            after.eq(here),
            after.left.eq(here.left - 1), after.end.eq(here.left == 1),
            after.pixel.eq(beyond), after.pixel_end.eq(beyond_end),
        ]
        with m.If(here.end):
            m.d.comb += [
                after.left.eq(f.width), after.end.eq(narrow), after.bank.eq(here.bank + 1),
                after.pixel.eq(here.row), after.pixel_end.eq(here.row_end),
            ]
            with m.If(here.bank == 2):
                m.d.comb += [
                    after.bank.eq(0), after.pixel.eq(beyond), after.pixel_end.eq(beyond_end),
                    after.row.eq(beyond), after.row_end.eq(beyond_end),
                ]

        # Cycle 0: a word's address.
        complete = Signal()
        m.d.sync += [
            self.write.enable.eq(self.valid),
            self.write.data.eq(self.data),
            self.write.bank.eq(here.bank),
            self.write.address.eq(here.pixel + group),
            complete.eq(self.valid & (group + 1 == f.groups)),
        ]
        with m.If(self.valid):
            m.d.sync += here.eq(after)
            with m.If(self.end_group):
                m.d.sync += [here.eq(saved), group.eq(group + 1)]
            with m.If(self.end_segment):
                m.d.sync += [here.eq(after), saved.eq(after), group.eq(0)]

        # Cycle 1: the word goes into memory, the pixel counts from the next cycle on.
        with m.If(complete):
            m.d.sync += self.expanded.eq(self.expanded + 1)

        with m.If(self.start):
            first = Cat(f.width, Const(0, 2 + 2 * LINE_BITS), narrow, alone, alone)
            m.d.sync += [here.as_value().eq(first), saved.as_value().eq(first), group.eq(0), self.expanded.eq(0)]
        return m
