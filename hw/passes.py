"""The order of the array's work: one pass per pointwise stage of a block, and the sequencer that interleaves passes.

A pass visits slice, segment, group, result (``pixels`` pixels), input channel group. Its outer loops (``GroupWalk``)
run ahead: while one group of a segment is being formed, the credits of the next are checked, so that no cycle is lost.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.array import array_op
from narrows.hw.config import POSITION_BITS, EngineConfig
from narrows.hw.walker import ADDRESS_BITS

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
        raise ValueError(f"A segment must be a multiple of {config.pixels} pixels, not {segment}.")
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
            raise ValueError(f"A pass can't have {values[name]} {name}, the register has {field.width} bits.")
    return values


def reached(position, needed):
    """Whether a counter has come to ``needed``, both modulo their width."""
    width = len(position)
    return ~(position - needed)[:width][width - 1]


class Group(data.StructLayout):
    """A group of output channels over one segment, ready to be formed."""

    def __init__(self, config: EngineConfig):
        super().__init__({
            "address": ADDRESS_BITS, "weight": COUNT_BITS, "constant": COUNT_BITS, "pairs": 16, "mask": config.pixels,
            "end_segment": 1, "end_slice": 1, "segment_end": POSITION_BITS,
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
        tail = Signal()
        last_group, last_slice = Signal(), Signal()
        m.d.comb += [
            tail.eq(segments_left == 0), last_group.eq(groups_left == 0), last_slice.eq(slices_left == 0),
            group.pairs.eq(Mux(tail, f.tail_pairs, f.pairs)),
            group.mask.eq(Mux(tail, f.tail_mask, ~0)),
            group.end_segment.eq(last_group),
            group.end_slice.eq(last_group & tail),
        ]

        # Credits, registered: they only grow, so an old answer is a safe one. A new group is asked about anew.
        weights_there = Signal()
        m.d.comb += weights_there.eq(
            reached(self.weights, group.weight + f.depth) & reached(self.constants, group.constant + 1)
        )
        m.d.sync += [
            self.ready.eq(
                self.left & ~self.take & weights_there
                & reached(self.available, group.segment_end) & reached((self.freed + f.room)[:POSITION_BITS], produced_end)
            ),
            self.lacks_weights.eq(self.left & ~weights_there),
        ]

        after = Signal(ADDRESS_BITS + 1)
        m.d.comb += after.eq(group.address + f.segment_words)
        next_pixels = Signal(16)
        m.d.comb += next_pixels.eq(Mux((segments_left == 1) | (tail & (f.segments == 1)), f.tail_pixels, f.segment_pixels))
        with m.If(self.take):
            m.d.sync += [groups_left.eq(groups_left - 1), group.weight.eq(group.weight + f.depth), group.constant.eq(group.constant + 1)]
            with m.If(last_group):
                m.d.sync += [
                    groups_left.eq(f.groups - 1),
                    segments_left.eq(segments_left - 1),
                    group.weight.eq(slice_weight), group.constant.eq(slice_constant),
                    group.address.eq(Mux(after >= f.size, after - f.size, after)),
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
                self.left.eq(1), self.ready.eq(0),
            ]
        return m


class Pass(wiring.Component):
    """One pointwise stage of a block as a stream of ops, a cycle each.

    ``op`` is this cycle's work if ``valid``; it is done when ``ready``. ``begin``: it is a result's first op; ``finish``: it
    is its group's last cycle. ``hold`` keeps a new result from beginning. ``consumed``: source pixels no longer needed
    (one slice). With ``release`` the weights and constants before ``released_*`` are no longer needed.
    """

    def __init__(self, *, config: EngineConfig):
        self._config = config
        super().__init__({
            "fields": In(pass_fields(config)), "start": In(1), "hold": In(1),
            "available": In(POSITION_BITS), "freed": In(POSITION_BITS),
            "weights": In(COUNT_BITS), "constants": In(COUNT_BITS),
            "op": Out(array_op(config)), "valid": Out(1), "ready": In(1), "begin": Out(1), "finish": Out(1),
            "consumed": Out(POSITION_BITS),
            "release": Out(1), "released_weights": Out(COUNT_BITS), "released_constants": Out(COUNT_BITS),
            "running": Out(1), "lacks_weights": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        f, op = self.fields, self.op
        m.submodules.walk = walk = GroupWalk(config=self._config)
        for name in ("fields", "start", "available", "freed", "weights", "constants"):
            m.d.comb += getattr(walk, name).eq(getattr(self, name))

        active, finish_result = Signal(), Signal()
        group = Signal(Group(self._config))
        address, weight = Signal(ADDRESS_BITS), Signal(COUNT_BITS)
        channel, pairs_left = Signal(12), Signal(16)
        fire, final_pair = Signal(), Signal()
        m.d.comb += [
            final_pair.eq(pairs_left == 0),
            finish_result.eq(channel == f.cycles - 1),
            op.address.eq(f.base + address),
            op.weight.eq(weight), op.constant.eq(group.constant),
            # Idle ops come first: so results end `result_spacing` cycles apart whatever pass the one before is of.
            op.first.eq(channel == f.lead), op.last.eq(finish_result), op.idle.eq(channel < f.lead),
            op.pixels.eq(Mux(final_pair, group.mask, ~0)),
            op.end_group.eq(final_pair), op.end_segment.eq(final_pair & group.end_segment),
            op.end_slice.eq(final_pair & group.end_slice),
            self.begin.eq(channel == 0),
            self.finish.eq(finish_result & final_pair),
            self.valid.eq(active & ~(self.begin & self.hold)),
            fire.eq(self.valid & self.ready),
            self.running.eq(active | walk.left),
            self.lacks_weights.eq(walk.lacks_weights & ~active),
        ]

        # Inner loops: input channels of a result, results of the group.
        address_after, weight_after = Signal(ADDRESS_BITS), Signal(COUNT_BITS)
        m.d.comb += [
            address_after.eq(Mux(op.idle, address, Mux(address + 1 == f.size, 0, address + 1))),
            weight_after.eq(weight + ~op.idle),
        ]
        with m.If(fire):
            m.d.sync += [channel.eq(channel + 1), address.eq(address_after), weight.eq(weight_after)]
            with m.If(finish_result):
                m.d.sync += [channel.eq(0), weight.eq(group.weight), pairs_left.eq(pairs_left - 1)]

        # The next group follows without a gap if its credits are there.
        m.d.comb += walk.take.eq(walk.ready & (~active | (fire & self.finish)))
        with m.If(walk.take):
            m.d.sync += [
                active.eq(1), group.eq(walk.group), address.eq(walk.group.address), weight.eq(walk.group.weight),
                pairs_left.eq(walk.group.pairs), channel.eq(0),
            ]
        with m.Elif(fire & self.finish):
            m.d.sync += active.eq(0)

        m.d.sync += self.release.eq(fire & self.finish & group.end_slice)
        with m.If(fire & self.finish):
            m.d.sync += [self.released_weights.eq(weight_after), self.released_constants.eq(group.constant + 1)]
            with m.If(group.end_segment):
                m.d.sync += self.consumed.eq(group.segment_end)
        with m.If(self.start):
            m.d.sync += [self.consumed.eq(0), active.eq(0)]
        return m


class Sequencer(wiring.Component):
    """Interleaves expand and project group by group, project first: what it reads makes room for the stages before it.

    ``valid``/``op`` is registered and drives array and activation memory. ``hold_project`` keeps project from beginning
    results. ``released_*``: counts of weight and constant words no pass needs any more.
    ``waits_weights``/``waits_data``: no op this cycle although a pass runs, for lack of weights, or of anything else.
    """

    def __init__(self, *, config: EngineConfig):
        self._config = config
        member = {name: In(POSITION_BITS) for name in ("expand_available", "expand_freed", "project_available", "project_freed")}
        super().__init__({
            "expand_fields": In(pass_fields(config)), "project_fields": In(pass_fields(config)),
            "start_expand": In(1), "start_project": In(1), "hold_project": In(1),
            **member,
            "weights": In(COUNT_BITS), "constants": In(COUNT_BITS),
            "released_weights": Out(COUNT_BITS), "released_constants": Out(COUNT_BITS),
            "valid": Out(1), "op": Out(array_op(config)), "begin": Out(1),
            "expand_consumed": Out(POSITION_BITS), "project_consumed": Out(POSITION_BITS),
            "running": Out(1), "waits_weights": Out(1), "waits_data": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.expand = expand = Pass(config=self._config)
        m.submodules.project = project = Pass(config=self._config)
        for name, stage in (("expand", expand), ("project", project)):
            m.d.comb += [
                stage.fields.eq(getattr(self, f"{name}_fields")),
                stage.start.eq(getattr(self, f"start_{name}")),
                stage.available.eq(getattr(self, f"{name}_available")),
                stage.freed.eq(getattr(self, f"{name}_freed")),
                stage.weights.eq(self.weights), stage.constants.eq(self.constants),
                getattr(self, f"{name}_consumed").eq(stage.consumed),
            ]
            # Passes use the program's words in order: whatever one releases, those before it are released too.
            with m.If(stage.release):
                m.d.sync += [
                    self.released_weights.eq(stage.released_weights), self.released_constants.eq(stage.released_constants)
                ]
        m.d.comb += project.hold.eq(self.hold_project)

        # A group, once begun, is not interrupted.
        locked, owner, chosen = Signal(), Signal(), Signal()
        m.d.comb += [
            chosen.eq(Mux(locked, owner, project.valid)),
            project.ready.eq(chosen), expand.ready.eq(~chosen),
        ]
        op = Signal.like(self.op)
        fire = Signal()
        m.d.comb += [fire.eq(Mux(chosen, project.valid, expand.valid)), op.eq(Mux(chosen, project.op, expand.op))]
        with m.If(fire):
            m.d.sync += [owner.eq(chosen), locked.eq(~Mux(chosen, project.finish, expand.finish))]
        m.d.sync += [
            self.valid.eq(fire), self.op.eq(op), self.op.project.eq(chosen),
            self.begin.eq(fire & Mux(chosen, project.begin, 0)),
            self.waits_weights.eq(~fire & (expand.lacks_weights | project.lacks_weights)),
            self.waits_data.eq(~fire & self.running & ~(expand.lacks_weights | project.lacks_weights)),
        ]
        m.d.comb += self.running.eq(expand.running | project.running)
        return m
