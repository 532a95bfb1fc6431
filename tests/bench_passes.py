"""cocotb tests of the sequencer and its passes against a model of their order and of when each op may go."""

import itertools
import os
import random
from dataclasses import dataclass, field

import cocotb
from cocotb.triggers import FallingEdge
from cocotb_bench import PATTERNS, cases, pack, start
from test_passes import CONFIGS, STAGE

from narrows.hw.array.pass_fields import COUNT_BITS, pass_fields, pass_values
from narrows.hw.array.ports import array_op
from narrows.hw.config import POSITION_BITS

CONFIG = CONFIGS[os.environ["CONFIG"]]
PIXELS, SPACING = CONFIG.pixels, CONFIG.result_spacing
STAGES = ("expand", "project")
OP = array_op(CONFIG)
OUTPUTS = (
    "valid", "op", "begin", "expand_consumed", "project_consumed", "released_weights", "released_constants",
    "running", "waits_weights", "waits_data",
)  # fmt: skip
#: Cycles from the cycle that completes a group's credits to its first op.
CREDIT_LATENCY = 7
#: Cycles from the choice of an op to its being there, and from that of a group's last one to what it sets free.
OP_LATENCY, FREE_LATENCY = 2, 2
#: Cycles from the one in which a group may be taken to that in which the next one of its stage may.
GROUP_LATENCY = 2


@dataclass
class Group:
    """A group of output channels over a segment: what it needs, its ops, and what its end releases."""

    needs: dict[str, int]  # credits, as distances from the pass's first
    ops: list[dict]
    consumed: int | None = None
    released: tuple[int, int] | None = None


def order(case: dict, stage: str) -> list[Group]:
    """All groups of a pass, in the order its module describes."""
    s = case[stage]
    weight, constant = first_words(case)[stage]
    cycles, firsts = max(s["depth"], SPACING), range(0, s["plane"], s["segment"])
    groups = []
    for part in range(s["slices"]):
        for first in firsts:
            end = min(first + s["segment"], s["plane"])
            for number in range(s["groups"]):
                index = part * s["groups"] + number
                last_group = number == s["groups"] - 1
                group = Group(ops=[], needs={
                    "available": end, "freed": part * s["plane"] + end - s["room"],
                    "weights": weight + (index + 1) * s["depth"], "constants": constant + index + 1,
                })  # fmt: skip
                for pixel in range(first, end, PIXELS):
                    final = pixel + PIXELS >= end
                    for cycle in range(cycles):
                        k = cycle - (cycles - s["depth"])  # idle cycles come first
                        group.ops.append({
                            "address": s["base"] + (pixel // PIXELS * s["depth"] + k) % s["size"],
                            "weight": weight + index * s["depth"] + k, "constant": constant + index,
                            "first": k == 0, "last": cycle == cycles - 1, "idle": k < 0, "project": stage == "project",
                            "pixels": (1 << min(PIXELS, end - pixel)) - 1, "begin": cycle == 0,
                            "end_group": final, "end_segment": final and last_group,
                            "end_slice": final and last_group and end == s["plane"],
                        })  # fmt: skip
                if last_group:
                    group.consumed = end
                    if end == s["plane"]:
                        group.released = weight + (index + 1) * s["depth"], constant + index + 1
                groups.append(group)
    return groups


def first_words(case: dict) -> dict[str, tuple[int, int]]:
    """Counts of weight and constant words before each pass: expand's words come first."""
    weight, constant = case["weight"], case["constant"]
    words = {}
    for stage in STAGES:
        words[stage] = weight, constant
        if stage in case:
            weight += case[stage]["slices"] * case[stage]["groups"] * case[stage]["depth"]
            constant += case[stage]["slices"] * case[stage]["groups"]
    words["end"] = weight, constant
    return words


@dataclass
class Stage:
    """A pass on its way: groups wait for credits, one waits behind the one whose ops are made, two ops wait to be chosen."""

    name: str
    left: list[Group] = field(default_factory=list)
    had_left: bool = False  # a cycle before
    ready: bool = False  # the credits of the first group left are there
    lacks: bool = False
    following: Group | None = None
    active: Group | None = None
    at: int = 0  # op within the active group
    head: list[tuple[dict, Group | None]] = field(default_factory=list)  # ops, a group's last one with the group

    @property
    def running(self) -> bool:
        return bool(self.left or self.following or self.active or self.head)

    @property
    def wants_weights(self) -> bool:
        return self.lacks and not (self.following or self.active or self.head)

    def has(self, given: dict, *credits: str) -> bool:
        """Whether the first group left has these credits in a cycle's ``given``."""
        return all(given.get(f"{self.name}_{name}", given.get(name, -1)) >= self.left[0].needs[name] for name in credits)

    def step(self, before: dict, pop: bool) -> None:
        """A cycle, with what was given in the one ``before``; ``pop``: the head's first op leaves."""
        take = self.ready and not self.following
        asks = bool(self.left)
        self.ready = asks and self.had_left and not take and self.has(before, "weights", "constants", "available", "freed")
        self.lacks = asks and not self.has(before, "weights", "constants")
        self.had_left = asks
        fire = self.active is not None and len(self.head) < 2
        if pop:
            self.head.pop(0)
        finish = fire and self.at == len(self.active.ops) - 1
        if fire:
            self.head.append((self.active.ops[self.at], self.active if finish else None))
            self.at += 1
        if finish or self.active is None:
            self.active, self.following, self.at = self.following, None, 0
        if take:
            self.following = self.left.pop(0)


#: What is seen of a cycle in which nothing is chosen and nothing is waited for.
IDLE = {"valid": 0, "op": None, "begin": 0, "waits_weights": 0, "waits_data": 0}


@dataclass
class Model:
    """What the sequencer should do in each cycle, from what it was given in the cycles before."""

    case: dict
    stages: dict[str, Stage] = field(default_factory=lambda: {name: Stage(name) for name in STAGES})
    owner: str | None = None
    over: list[tuple[str, Group] | None] = field(default_factory=lambda: [None] * (FREE_LATENCY - 1))  # groups, by when they ended
    under_way: list[dict] = field(default_factory=lambda: [IDLE] * (OP_LATENCY - 1))  # what was chosen
    before: dict = field(default_factory=dict)

    @property
    def busy(self) -> bool:
        chosen = any(each != IDLE for each in self.under_way)
        return chosen or any(self.over) or any(stage.running for stage in self.stages.values())

    def step(self, now: dict, expected: dict) -> None:
        """One more cycle, in which ``now`` is given; ``expected`` becomes the outputs of the next."""
        stages = self.stages
        stage = self.owner or ("project" if self.may_go("project", now) else "expand")
        fire = self.may_go(stage, now)
        wants_weights = any(each.wants_weights for each in stages.values())
        waits_data = not fire and not wants_weights and any(each.running for each in stages.values())
        chosen = IDLE | {"valid": int(fire), "waits_weights": int(not fire and wants_weights), "waits_data": int(waits_data)}
        ended = None
        if fire:
            op, group = stages[stage].head[0]
            chosen |= {"op": op, "begin": int(stage == "project" and op["begin"])}
            self.owner, ended = (None, (stage, group)) if group else (stage, None)
        self.under_way.append(chosen)
        expected |= self.under_way.pop(0)
        self.over.append(ended)
        self.free(self.over.pop(0), expected)
        for each in stages.values():
            each.step(self.before, fire and each.name == stage)
            if now[f"start_{each.name}"]:
                each.left = order(self.case, each.name)
                expected[f"{each.name}_consumed"] = 0
        self.before = now
        expected["running"] = int(any(each.running for each in stages.values()))

    def may_go(self, stage: str, now: dict) -> bool:
        """Whether a stage has an op that may be done in this cycle if it is its turn."""
        head = self.stages[stage].head
        return bool(head) and not (stage == "project" and head[0][0]["begin"] and now["hold"])

    def free(self, ended: tuple[str, Group] | None, expected: dict) -> None:
        if ended is None:
            return
        stage, group = ended
        if group.consumed is not None:
            expected[f"{stage}_consumed"] = group.consumed
        if group.released:
            expected["released_weights"], expected["released_constants"] = group.released


def check(case: dict, cycle: int, got: dict, want: dict, ran: bool) -> None:
    for name in OUTPUTS[:1] + OUTPUTS[2:]:
        width = 1 << (COUNT_BITS if name.startswith("released") else POSITION_BITS)
        assert got[name] == want[name] % width, f"cycle {cycle}: {name} is {got[name]}, not {want[name]}: {case}"
    assert got["valid"] + got["waits_weights"] + got["waits_data"] == ran, f"cycle {cycle}: {got}"
    if want["op"]:
        op = OP.from_bits(got["op"])
        meant = ("project", "pixels", "idle") if want["op"]["idle"] else [name for name, _ in OP]
        for name in meant:
            have, need = op[name], int(want["op"][name]) % (1 << OP[name].width)
            assert have == need, f"cycle {cycle}: op.{name} is {have}, not {need}: {want['op']} of {case}"


class Credits:
    """Gives credits at the case's paces: pixels of the source and of the destination, weights and constants."""

    def __init__(self, case: dict):
        self.case = case
        self.paces = {name: PATTERNS[pace](random.Random(f"{name} {case['seed']}")) for name, pace in case["paces"].items()}
        self.free = set(case["paces"].values()) == {"always"}
        self.rng = random.Random(case["seed"])
        (self.weights, self.constants), self.end = (case["weight"], case["constant"]), first_words(case)["end"]
        self.now: dict[str, int] = {}
        self.produced = dict.fromkeys(STAGES, 0)
        self.segments: dict[str, list[int]] = {}

    def begin(self, stage: str) -> None:
        s = self.case[stage]
        self.now |= {f"{stage}_available": s["plane"] if self.free else 0, f"{stage}_freed": 0}
        self.segments[stage] = [min(s["segment"], s["plane"] - n) for n in range(0, s["plane"], s["segment"])] * s["slices"]

    def saw(self, op) -> None:
        """A result's last op, seen at the output, completes a segment: its pixels may be freed from now on."""
        stage = STAGES[op.project]
        if op.end_segment and op.last and not op.idle:
            self.produced[stage] += self.segments[stage].pop(0)

    def more(self, name: str, have: int, most: int) -> int:
        if self.free:
            return most
        return min(most, have + self.rng.choice((1, 1, 1, 2, 9))) if next(self.paces[name]) else have

    def cycle(self) -> dict:
        self.weights = self.more("weights", self.weights, self.end[0])
        self.constants = self.more("constants", self.constants, self.end[1])
        given = {"weights": self.weights, "constants": self.constants}
        for stage in self.segments:
            for name, most in (("available", self.case[stage]["plane"]), ("freed", self.produced[stage])):
                key = f"{stage}_{name}"
                given[key] = self.now[key] = self.more(key, self.now[key], most)
        return given


def drive(dut, case: dict, given: dict, credits: Credits) -> None:
    for name, value in (("weights", credits.weights), ("constants", credits.constants)):
        getattr(dut, name).value = value % (1 << COUNT_BITS)
    for stage in STAGES:
        getattr(dut, f"start_{stage}").value = given[f"start_{stage}"]
        for name in ("available", "freed"):
            # Before a start these are another block's.
            getattr(dut, f"{stage}_{name}").value = given.get(f"{stage}_{name}", credits.rng.getrandbits(10))
        if given[f"start_{stage}"]:
            weight, constant = first_words(case)[stage]
            values = pass_values(CONFIG, **case[stage], weight=weight, constant=constant)
            getattr(dut, f"{stage}_fields").value = pack(pass_fields(CONFIG), values)
    dut.hold_project.value = given["hold"]


def sample(dut) -> dict:
    return {name: int(getattr(dut, name).value) for name in OUTPUTS}


async def run(dut, case: dict) -> tuple[list[int], list[tuple[int, bool]]]:
    """A block, every cycle checked. Returns the cycles of its ops, and of its last ops with whose they are."""
    credits, model = Credits(case), Model(case)
    hold = PATTERNS[case["hold"]](random.Random(case["seed"])) if case["hold"] else None
    starts = [stage for stage in STAGES if stage in case]
    start_at = dict(zip(starts, (0, case["delay"])))
    expected, lasts, ops = sample(dut), [], []
    running = [0] * OP_LATENCY
    for cycle in range(60_000):
        got = sample(dut)
        if cycle:
            check(case, cycle, got, expected, running.pop(0))
            running.append(got["running"])
        if got["valid"] and cycle:  # in the first cycle it is the last op of the block before
            ops.append(cycle)
            op = OP.from_bits(got["op"])
            credits.saw(op)
            if op.last and not op.idle:
                lasts.append((cycle, bool(op.project)))
        if cycle > case["delay"] + 1 and not model.busy:
            break
        now = credits.cycle()
        now |= {"hold": int(next(hold)) if hold else 0} | {f"start_{s}": int(start_at.get(s) == cycle) for s in STAGES}
        for stage in starts:
            if now[f"start_{stage}"]:
                credits.begin(stage)
        drive(dut, case, now, credits)
        model.step(now, expected)
        await FallingEdge(dut.clk)
    else:
        raise AssertionError(f"not over: {case}")
    assert sum(len(g.ops) for stage in starts for g in order(case, stage)) == len(ops)
    for (before, _), (after, _) in itertools.pairwise(lasts):
        assert after - before >= SPACING, f"results {after - before} cycles apart: {case}"
    return ops, lasts


async def setup(dut) -> None:
    for name in ("start_expand", "start_project", "hold_project"):
        getattr(dut, name).value = 0
    await start(dut)


@cocotb.test()
async def drawn(dut) -> None:
    """Blocks with credits that come early, late and at random, checked cycle by cycle."""
    await setup(dut)
    for case in cases():
        await run(dut, case["block"])


@cocotb.test()
@cocotb.parametrize(depth=[1, 2, 3, 7], pairs=[1, 3])
async def full_rate(dut, depth: int, pairs: int) -> None:
    """With all credits there is an op in every cycle from start to end: groups * pairs * cycles, and the start's latency."""
    await setup(dut)
    if max(depth, SPACING) == 1:
        pairs = max(pairs, GROUP_LATENCY)
    stage = STAGE | {"depth": depth, "segment": pairs * PIXELS, "plane": 4 * pairs * PIXELS, "slices": 2, "groups": 3, "size": 400}
    for used in (STAGES, STAGES[:1], STAGES[1:]):
        case = dict.fromkeys(used, stage) | {"weight": 7, "constant": 9, "delay": 0, "seed": 1, "hold": None}
        ops, lasts = await run(dut, case | {"paces": {"all": "always"}})
        count = len(used) * 2 * 3 * 4 * pairs * max(depth, SPACING)
        assert ops == [1 + CREDIT_LATENCY + n for n in range(count)]
        # All of project's results come before expand's.
        owners = [project for _, project in lasts]
        assert owners == sorted(owners, reverse=True)


@cocotb.test()
async def project_comes_first(dut) -> None:
    """Project takes over at the end of the group that expand is in the middle of."""
    await setup(dut)
    stage = STAGE | {"depth": 5, "segment": 4 * PIXELS, "plane": 8 * PIXELS}
    case = {"expand": stage, "project": stage, "weight": 0, "constant": 0, "delay": 30, "seed": 1, "hold": None}
    _, lasts = await run(dut, case | {"paces": {"all": "always"}})
    owners = "".join("ep"[project] for _, project in lasts)
    assert owners.count("ep") == 1 and owners.count("pe") == 1 and owners.index("p") % 4 == 0


@cocotb.test()
@cocotb.parametrize(room=[60_000, 60_001, 119_999])
async def positions_wrap(dut, room: int) -> None:
    """More pixels than a position counts: over all slices these go round, and the distance to what is freed still holds."""
    await setup(dut)
    segment, segments, slices = 60_000, 8, 5
    case = {"slices": slices, "groups": 1, "plane": segment * segments, "segment": segment, "depth": SPACING, "base": 0}
    values = pass_values(CONFIG, **case, size=1000, room=room, weight=0, constant=0)
    # A result stands for each segment: a million of them would take long.
    values |= {"pairs": 0, "tail_pairs": 0}
    dut.expand_fields.value, dut.start_expand.value = pack(pass_fields(CONFIG), values), 1
    dut.weights.value = dut.constants.value = slices * SPACING
    dut.expand_available.value, dut.expand_freed.value = segment * segments, 0
    await FallingEdge(dut.clk)
    dut.start_expand.value = 0
    for end in range(segment, slices * segments * segment + 1, segment):
        for short in (1, 0):
            dut.expand_freed.value = max(0, end - room - short) % (1 << POSITION_BITS)
            seen = 0
            for _ in range(3 * SPACING + CREDIT_LATENCY):
                await FallingEdge(dut.clk)
                seen += int(dut.valid.value)
            # The first segment needs nothing freed.
            expected = SPACING * (short if end <= room else 1 - short)
            assert seen == expected, f"{seen} ops for the pixels up to {end}, {short} short"
        assert int(dut.expand_consumed.value) == (end - 1) % (segment * segments) + 1
    assert dut.running.value == 0
