"""The outer loops of a pass: slice, segment, group; and the credits a group waits for."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.activations.address_generator import ADDRESS_BITS
from narrows.hw.array.pass_fields import COUNT_BITS, pass_fields
from narrows.hw.config import POSITION_BITS, EngineConfig
from narrows.hw.parts.delay import delayed


def reached(position, needed):
    """Whether a counter has come to ``needed``, both modulo their width."""
    width = len(position)
    return ~(position - needed)[:width][width - 1]


class Group(data.StructLayout):
    """A group of output channels over one segment, ready to be formed."""

    def __init__(self, config: EngineConfig):
        super().__init__({
            "address": ADDRESS_BITS, "weight": COUNT_BITS, "constant": COUNT_BITS, "pairs": 16, "single": 1, "at_end": 1,
            "mask": config.pixels, "end_segment": 1, "end_slice": 1, "segment_end": POSITION_BITS,
        })


class GroupWalk(wiring.Component):
    """The outer loops of a pass. ``group`` may be taken (``take``) when ``ready``; the next is ready two cycles later at best, so a
    group of a single op is followed by a cycle without one.

    A group is ready when its weights and constants are loaded (``weights``, ``constants``: counts of loaded words), its
    segment's source pixels are there (``available``, of this plane) and there is ``room`` for its results beyond those
    ``freed`` (counted over all slices). ``left``: there are groups to take.
    """

    def __init__(self, *, config: EngineConfig):
        self._config = config
        super().__init__({
            "fields": In(pass_fields(config)), "start": In(1),
            "available": In(POSITION_BITS), "freed": In(POSITION_BITS),
            "weights": In(COUNT_BITS), "constants": In(COUNT_BITS),
            "group": Out(Group(config)), "ready": Out(1), "take": In(1), "left": Out(1),
            "lacks_weights": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        f, group = self.fields, self.group
        groups_left, segments_left, slices_left = Signal(12), Signal(16), Signal(12)
        slice_weight, slice_constant = Signal(COUNT_BITS), Signal(COUNT_BITS)
        produced_end = Signal(POSITION_BITS)  # this segment's end, counted over all slices
        tail, last_group, last_slice = Signal(), Signal(), Signal()
        m.d.comb += [
            group.pairs.eq(Mux(tail, f.tail_pairs, f.pairs)),
            group.mask.eq(Mux(tail, f.tail_mask, ~0)),
            group.end_segment.eq(last_group),
            group.end_slice.eq(last_group & tail),
        ]
        # Takes are two cycles apart or more, so what follows from the counters may be a cycle late.
        next_pixels, next_address = Signal(16), Signal(ADDRESS_BITS)
        in_tail, after = Signal(), Signal(ADDRESS_BITS + 1)
        m.d.comb += [in_tail.eq(segments_left == 0), after.eq(group.address + f.segment_words)]
        m.d.sync += [
            tail.eq(in_tail), last_group.eq(groups_left == 0), last_slice.eq(slices_left == 0),
            group.at_end.eq(group.address == delayed(m, f.size - 1, 1, name="last_address")),
            group.single.eq(Mux(in_tail, f.tail_pairs, f.pairs) == 0),
            next_pixels.eq(Mux((segments_left == 1) | (in_tail & (f.segments == 1)), f.tail_pixels, f.segment_pixels)),
            next_address.eq(Mux(after >= f.size, after - f.size, after)),
        ]
        self._credits(m, produced_end)

        with m.If(self.take):
            m.d.sync += [groups_left.eq(groups_left - 1), group.weight.eq(group.weight + f.depth), group.constant.eq(group.constant + 1)]
            with m.If(last_group):
                m.d.sync += [
                    groups_left.eq(f.groups - 1),
                    segments_left.eq(segments_left - 1),
                    group.weight.eq(slice_weight), group.constant.eq(slice_constant),
                    group.address.eq(next_address),
                    group.segment_end.eq(group.segment_end + next_pixels),
                    produced_end.eq(produced_end + next_pixels),
                ]
                with m.If(tail):
                    m.d.sync += [
                        segments_left.eq(f.segments - 1),
                        slices_left.eq(slices_left - 1),
                        group.weight.eq(group.weight + f.depth), slice_weight.eq(group.weight + f.depth),
                        group.constant.eq(group.constant + 1), slice_constant.eq(group.constant + 1),
                        group.address.eq(0),
                        group.segment_end.eq(next_pixels),
                        self.left.eq(~last_slice),
                    ]
        first_pixels = Mux(f.segments == 1, f.tail_pixels, f.segment_pixels)
        with m.If(self.start):
            m.d.sync += [
                groups_left.eq(f.groups - 1), segments_left.eq(f.segments - 1), slices_left.eq(f.slices - 1),
                group.weight.eq(f.weight), slice_weight.eq(f.weight),
                group.constant.eq(f.constant), slice_constant.eq(f.constant),
                group.address.eq(0), group.segment_end.eq(first_pixels), produced_end.eq(first_pixels),
                self.left.eq(1),
            ]
        return m

    def _credits(self, m, produced_end):
        """``ready``, in registers: counters only grow, so an old answer is a safe one. A new group is asked about anew."""
        f, group = self.fields, self.group
        # Cycle 1: counters that come from afar. Those of the block before are over a cycle after its start.
        here = {name: delayed(m, getattr(self, name), 1, name=name) for name in ("available", "freed", "weights", "constants")}
        fresh = delayed(m, self.left, 1, name="left", reset_less=False) & self.left
        # Cycle 2: the comparisons.
        weights_there = Signal()
        m.d.comb += weights_there.eq(
            reached(here["weights"], group.weight + f.depth) & reached(here["constants"], group.constant + 1)
        )
        m.d.sync += [
            self.ready.eq(
                fresh & ~self.take & weights_there
                & reached(here["available"], group.segment_end) & reached((here["freed"] + f.room)[:POSITION_BITS], produced_end)
            ),
            self.lacks_weights.eq(self.left & ~weights_there),
        ]
