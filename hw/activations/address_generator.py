"""Address of each word written to (or fetched beside) activation memory.

Pixel ``q`` of a tensor lies in bank ``q % pixels`` at word ``base + (q // pixels) * stride + g``
for channel group ``g``. All producers visit words in one order: slice, segment of pixels, group of
the slice, pixel of the segment; a walker follows that order one word per step.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from narrows.errors import Unfit
from narrows.hw.parts.delay import delayed

ADDRESS_BITS = 16


def bank_bits(pixels: int) -> int:
    """Bits of a bank's number, one at least: that of a single bank is always 0."""
    return max(1, (pixels - 1).bit_length())


#: Where a tensor lies. ``base``: first word of the region in every bank; ``size``: words of the region in every
#: bank, after which rows wrap around to ``base`` (a ring); ``stride``: words per pixel, i.e. groups of channels;
#: ``groups``: groups per slice.
WalkFields = data.StructLayout({"base": ADDRESS_BITS, "size": ADDRESS_BITS, "stride": 12, "groups": 12})


class Walker(wiring.Component):
    """Follows (slice, segment, group, pixel) order through a tensor in activation memory.

    ``fields`` are static from the cycle before ``start`` on. ``step`` consumes the current ``bank``/``address`` (valid the cycle
    after ``start``, and the cycle after every step).
    ``end_group`` with a step: this was the group's last pixel in the segment; ``end_segment``: and the slice's
    last group; ``end_slice``: and the slice's last segment.
    """

    def __init__(self, *, pixels: int):
        self._last_bank, self._bank_bits = pixels - 1, bank_bits(pixels)
        super().__init__({
            "fields": In(WalkFields),
            "start": In(1),
            "step": In(1),
            "end_group": In(1),
            "end_segment": In(1),
            "end_slice": In(1),
            "bank": Out(self._bank_bits),
            "address": Out(ADDRESS_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        f = self.fields
        # A position is the pixel's (bank, word of group 0), kept relative to the base so that the wrap is one compare.
        pixel, segment = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS)
        segment_bank = Signal(self._bank_bits)
        group, slice_group = Signal(12), Signal(12)

        bank_after, last_bank = Signal(self._bank_bits), Signal()
        pixel_after, stepped = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS)
        # Whether the pixel is the ring's last is known beside it, so that nothing waits for a comparison.
        at_end, segment_at_end, at_end_after = Signal(), Signal(), Signal()
        alone = delayed(m, f.size == f.stride, 1, name="alone")
        before_end = delayed(m, f.size - (f.stride << 1), 1, name="before_end")
        m.d.comb += [
            last_bank.eq(self.bank == self._last_bank),
            bank_after.eq(Mux(last_bank, 0, self.bank + 1)),
            stepped.eq(pixel + f.stride),
            pixel_after.eq(Mux(last_bank, Mux(at_end, 0, stepped), pixel)),
            at_end_after.eq(Mux(last_bank, Mux(at_end, alone, pixel == before_end[: len(pixel)]), at_end)),
            self.address.eq(f.base + pixel + group),
        ]
        with m.If(self.step):
            m.d.sync += [self.bank.eq(bank_after), pixel.eq(pixel_after), at_end.eq(at_end_after)]
            with m.If(self.end_group):
                m.d.sync += [self.bank.eq(segment_bank), pixel.eq(segment), at_end.eq(segment_at_end), group.eq(group + 1)]
            with m.If(self.end_segment):
                m.d.sync += [
                    Cat(self.bank, segment_bank).eq(Cat(bank_after, bank_after)),
                    Cat(pixel, segment).eq(Cat(pixel_after, pixel_after)),
                    Cat(at_end, segment_at_end).eq(Cat(at_end_after, at_end_after)),
                    group.eq(slice_group),
                ]
            with m.If(self.end_slice):
                m.d.sync += [
                    Cat(self.bank, segment_bank, pixel, segment).eq(0),
                    Cat(at_end, segment_at_end).eq(Cat(alone, alone)),
                    group.eq(slice_group + f.groups),
                    slice_group.eq(slice_group + f.groups),
                ]
        with m.If(self.start):
            m.d.sync += Cat(self.bank, segment_bank, pixel, segment, group, slice_group).eq(0)
            m.d.sync += Cat(at_end, segment_at_end).eq(Cat(alone, alone))
        return m


def walk_fields(*, base: int, size: int, stride: int, groups: int) -> dict[str, int]:
    """Checked values of :data:`WalkFields`: words, see there; ``size`` must be whole pixels (``Unfit``)."""
    if size % stride:
        raise Unfit(f"A region of {size} words does not hold whole pixels of {stride} words.")
    if base + size > 1 << ADDRESS_BITS or size >= 1 << ADDRESS_BITS or stride >= 1 << 12 or groups >= 1 << 12:
        raise Unfit(f"A region of {size} words at {base} with {stride} groups does not fit the walker's registers.")
    return {"base": base, "size": size, "stride": stride, "groups": groups}
