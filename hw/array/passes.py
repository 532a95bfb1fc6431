"""The order of the array's work: one pass per pointwise stage of a block, and the sequencer that interleaves passes.

A pass visits slice, segment, group, result (``pixels`` pixels), input channel group. Its outer loops (``GroupWalk``)
run ahead: while one group of a segment is being formed, the credits of the next are checked, so that no cycle is lost.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from narrows.hw.activations.address_generator import ADDRESS_BITS
from narrows.hw.array.group_walk import Group, GroupWalk
from narrows.hw.array.pass_fields import COUNT_BITS, pass_fields
from narrows.hw.array.ports import array_op
from narrows.hw.config import POSITION_BITS, EngineConfig
from narrows.hw.parts.delay import delayed
from narrows.hw.parts.stream_register import StreamRegister


def pass_step(config: EngineConfig) -> data.StructLayout:
    """A cycle's work of a pass, and what it means for others once it is done.

    ``begin``: it is a result's first op. ``finish``: its group's last; ``consumed``: with ``end_segment``, source pixels no longer
    needed then (one slice). With ``end_slice`` the weights and constants before ``weights`` and ``constants`` are not either.
    """
    return data.StructLayout({
        "op": array_op(config), "begin": 1, "finish": 1, "end_segment": 1, "end_slice": 1,
        "consumed": POSITION_BITS, "weights": COUNT_BITS, "constants": COUNT_BITS,
    })


class Pass(wiring.Component):
    """One pointwise stage of a block as a stream of ops, a cycle each."""

    def __init__(self, *, config: EngineConfig):
        self._config = config
        super().__init__({
            "fields": In(pass_fields(config)), "start": In(1),
            "available": In(POSITION_BITS), "freed": In(POSITION_BITS),
            "weights": In(COUNT_BITS), "constants": In(COUNT_BITS),
            "o": Out(stream.Signature(pass_step(config))),
            "running": Out(1), "lacks_weights": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        f, step = self.fields, self.o.payload
        op = step.op
        m.submodules.walk = walk = GroupWalk(config=self._config)
        for name in ("fields", "start", "available", "freed", "weights", "constants"):
            m.d.comb += getattr(walk, name).eq(getattr(self, name))

        active, group = Signal(), Signal(Group(self._config))
        waiting, following = Signal(), Signal(Group(self._config), reset_less=True)
        address, weight = Signal(ADDRESS_BITS), Signal(COUNT_BITS)
        # Of the result: cycles left, and whether this is its last one, its first, an idle one, the first that is not.
        cycles_left, last, begin, idle, fresh = Signal(12), Signal(), Signal(), Signal(), Signal()
        finish, at_end = Signal(), Signal()  # its group's last cycle; the address is the source ring's last
        idle_left, pairs_left, final_pair = Signal.like(f.lead), Signal(16), Signal()
        address_after, weight_after = Signal(ADDRESS_BITS), Signal(COUNT_BITS)
        fire = Signal()
        m.d.comb += [
            op.address.eq(f.base + address),
            op.weight.eq(weight), op.constant.eq(group.constant),
            # Idle ops come first: so results end `result_spacing` cycles apart whatever pass the one before is of.
            op.first.eq(fresh & ~idle), op.last.eq(last), op.idle.eq(idle),
            op.pixels.eq(Mux(final_pair, group.mask, ~0)),
            op.end_group.eq(final_pair), op.end_segment.eq(final_pair & group.end_segment),
            op.end_slice.eq(final_pair & group.end_slice),
            step.begin.eq(begin), step.finish.eq(finish),
            step.end_segment.eq(group.end_segment), step.end_slice.eq(group.end_slice), step.consumed.eq(group.segment_end),
            step.weights.eq(weight_after), step.constants.eq(group.constant + 1),
            self.o.valid.eq(active), fire.eq(active & self.o.ready),
            self.running.eq(active | waiting | walk.left),
            self.lacks_weights.eq(walk.lacks_weights & ~active & ~waiting),
        ]

        # Inner loops: input channels of a result, results of the group.
        m.d.comb += [
            address_after.eq(Mux(idle, address, Mux(at_end, 0, address + 1))),
            weight_after.eq(weight + ~idle),
        ]
        single, one_word = delayed(m, f.cycles == 1, 1, name="single"), delayed(m, f.size == 1, 1, name="one_word")
        before_end = delayed(m, f.size - 2, 1, name="before_end")
        begin_result = [
            cycles_left.eq(delayed(m, f.cycles - 1, 1, name="cycles")), last.eq(single),
            begin.eq(1), idle.eq(f.lead != 0), idle_left.eq(f.lead), fresh.eq(1),
        ]
        with m.If(fire):
            m.d.sync += [
                cycles_left.eq(cycles_left - 1), last.eq(cycles_left == 1), finish.eq((cycles_left == 1) & final_pair), begin.eq(0),
                at_end.eq(Mux(idle, at_end, Mux(at_end, one_word, address == before_end))),
                idle_left.eq(idle_left - idle), idle.eq(idle & (idle_left != 1)), fresh.eq(idle),
                address.eq(address_after), weight.eq(weight_after),
            ]
            with m.If(last):
                m.d.sync += [*begin_result, weight.eq(group.weight), pairs_left.eq(pairs_left - 1), final_pair.eq(pairs_left == 1)]
                m.d.sync += finish.eq(single & (pairs_left == 1))

        # The next group waits here once its credits are there, so that it follows without a gap.
        m.d.comb += walk.take.eq(walk.ready & ~waiting)
        with m.If(walk.take):
            m.d.sync += [waiting.eq(1), following.eq(walk.group)]
        with m.If(waiting & (~active | (self.o.ready & finish))):
            m.d.sync += [
                waiting.eq(0), active.eq(1), group.eq(following), address.eq(following.address), weight.eq(following.weight),
                pairs_left.eq(following.pairs), final_pair.eq(following.single),
                *begin_result, finish.eq(single & following.single), at_end.eq(following.at_end),
            ]
        with m.Elif(fire & finish):
            m.d.sync += active.eq(0)

        with m.If(self.start):
            m.d.sync += active.eq(0)
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
        stages, heads = {}, {}
        for name in ("expand", "project"):
            m.submodules[name] = stages[name] = stage = Pass(config=self._config)
            m.submodules[f"{name}_head"] = head = StreamRegister(pass_step(self._config))
            wiring.connect(m, stage.o, head.i)
            heads[name] = head.o
            m.d.comb += [
                stage.fields.eq(getattr(self, f"{name}_fields")),
                stage.start.eq(getattr(self, f"start_{name}")),
                stage.available.eq(getattr(self, f"{name}_available")),
                stage.freed.eq(getattr(self, f"{name}_freed")),
                stage.weights.eq(self.weights), stage.constants.eq(self.constants),
            ]

        # A group, once begun, is not interrupted. What project holds has begun no result.
        expand, project = heads["expand"], heads["project"]
        locked, owner, chosen, fire, may_project = Signal(), Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            may_project.eq(project.valid & ~(project.payload.begin & self.hold_project)),
            chosen.eq(Mux(locked, owner, may_project)),
            project.ready.eq(chosen & may_project), expand.ready.eq(~chosen),
            fire.eq(Mux(chosen, may_project, expand.valid)),
        ]
        finish = Mux(chosen, project.payload.finish, expand.payload.finish)
        with m.If(fire):
            m.d.sync += [owner.eq(chosen), locked.eq(~finish)]
        self._done(m, heads)

        running, lacks_weights = Signal(), Signal()
        m.d.comb += [
            running.eq(Cat(stage.running for stage in stages.values()).any() | Cat(head.valid for head in heads.values()).any()),
            lacks_weights.eq(Cat(stages[name].lacks_weights & ~heads[name].valid for name in stages).any()),
            self.running.eq(running),
        ]

        # The choice is a register before ops follow it.
        chose, fired, begins, runs, lacks = (
            delayed(m, value, 1, name=name, reset_less=False) for name, value in (
                ("chose", chosen), ("fired", fire), ("begins", project.payload.begin), ("runs", running), ("lacks", lacks_weights),
            )
        )
        ops = {name: delayed(m, head.payload.op, 1, name=f"{name}_op") for name, head in heads.items()}
        m.d.sync += [
            self.valid.eq(fired), self.op.eq(Mux(chose, ops["project"], ops["expand"])), self.op.project.eq(chose),
            self.begin.eq(fired & chose & begins),
            self.waits_weights.eq(~fired & lacks), self.waits_data.eq(~fired & runs & ~lacks),
        ]
        return m

    def _done(self, m, heads):
        """What the end of a group sets free, two cycles after its last op."""
        for name, head in heads.items():
            step = delayed(m, head.payload, 1, name=f"{name}_step")
            done = delayed(m, head.valid & head.ready & head.payload.finish, 1, name=f"{name}_done", reset_less=False)
            consumed = getattr(self, f"{name}_consumed")
            with m.If(done & step.end_segment):
                m.d.sync += consumed.eq(step.consumed)
            with m.If(getattr(self, f"start_{name}")):
                m.d.sync += consumed.eq(0)
            # Passes use the program's words in order: whatever one releases, those before it are released too.
            with m.If(done & step.end_slice):
                m.d.sync += [self.released_weights.eq(step.weights), self.released_constants.eq(step.constants)]
