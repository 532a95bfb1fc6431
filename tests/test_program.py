"""The program reader: packets into memories and queues, never over words that are still used."""

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cocotb_bench import PATTERNS
from cocotb_harness import cases_file, run_cocotb
from hypothesis import strategies as st

from narrows.hw.array.ports import constant_load, weight_load
from narrows.hw.config import EngineConfig
from narrows.hw.control.program_reader import (
    Kind,
    LaneMemory,
    ProgramReader,
    depthwise_constant_load,
    depthwise_weight_load,
    header,
    lane_bytes,
    lanes,
)

WORDS = {"weight_words": 8, "constant_words": 4, "depthwise_words": 16}
CONFIGS = {
    "eight": EngineConfig(**WORDS),
    "four": EngineConfig(group=4, outputs=4, requantisers=4, depthwise_requantisers=2, residual_lanes=2, **WORDS),
    "sixteen": EngineConfig(group=16, outputs=16, requantisers=16, depthwise_requantisers=6, **WORDS),
}


class ReaderAndMemories(wiring.Component):
    """The program reader with the depthwise unit's two memories."""

    def __init__(self, *, config: EngineConfig):
        self._reader = ProgramReader(config=config)
        self._memories = {
            "weight": LaneMemory(load=depthwise_weight_load(config), lanes=3),
            "constant": LaneMemory(load=depthwise_constant_load(config), lanes=config.depthwise_requantisers),
        }
        reader = self._reader.signature.members
        members = {name: reader[name] for name in ("i", "descriptor", "freed", "loaded", "bad")}
        members |= {"load_weight": Out(weight_load(config)), "load_constant": Out(constant_load(config))}
        for name, memory in self._memories.items():
            members |= {f"load_depthwise_{name}": reader[f"load_depthwise_{name}"]}
            members |= {f"{name}_address": In(memory.address.shape()), f"{name}_word": Out(memory.word.shape())}
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        m.submodules.reader = reader = self._reader
        wiring.connect(m, wiring.flipped(self.i), reader.i)
        wiring.connect(m, reader.descriptor, wiring.flipped(self.descriptor))
        for n in range(4):
            m.d.comb += [reader.freed[n].eq(self.freed[n]), self.loaded[n].eq(reader.loaded[n])]
        for name in ("bad", "load_weight", "load_constant", "load_depthwise_weight", "load_depthwise_constant"):
            m.d.comb += getattr(self, name).eq(getattr(reader, name))
        for name, memory in self._memories.items():
            m.submodules[name] = memory
            m.d.comb += [
                memory.load.eq(getattr(reader, f"load_depthwise_{name}")),
                memory.address.eq(getattr(self, f"{name}_address")),
                getattr(self, f"{name}_word").eq(memory.word),
            ]
        return m


@st.composite
def packets(draw) -> list[dict]:
    kinds = st.sampled_from(draw(st.sampled_from((tuple(Kind), tuple(Kind), (Kind.WEIGHTS, Kind.CONSTANTS), (Kind.DEPTHWISE_CONSTANTS,)))))
    packet = st.fixed_dictionaries({
        "kind": kinds.map(int),
        "count": st.sampled_from((0, 1, 1, 2, 3, 5, 9)),
        "zero_point": st.one_of(st.integers(-256, 255), st.sampled_from((0, 255, -128, -256))),
        "signed": st.booleans(),
    })
    return draw(st.lists(packet, min_size=5, max_size=15))


@pytest.mark.parametrize("name", CONFIGS)
def test_program(name: str):
    paces = {key: st.sampled_from(("always", "always", "half", "bursts")) for key in ("idle", "pressure")}
    paces["frees"] = st.sampled_from(sorted(PATTERNS))
    examples = 32 if name == "sixteen" else 48
    cases = cases_file(f"program-{name}", examples=examples, packets=packets(), seed=st.integers(0, 1 << 32), **paces)
    run_cocotb(ReaderAndMemories(config=CONFIGS[name]), "bench_program", cases=cases, env={"CONFIG": name})


def test_header():
    assert header(Kind.WEIGHTS, 0x1234, zero_point=-2, signed=True) == bytes((0x0A, 0xFF, 0x34, 0x12))
    assert header(Kind.DESCRIPTOR, 135) == bytes((1, 0, 135, 0))
    for wrong in {"count": 1 << 16}, {"count": -1}, {"zero_point": 256}, {"zero_point": -257}:
        with pytest.raises(ValueError, match="A packet can't hold"):
            header(Kind.WEIGHTS, **{"count": 1} | wrong)


@pytest.mark.parametrize(
    ("kind", "entries", "size"),
    [
        (Kind.DESCRIPTOR, 1, 2),
        (Kind.WEIGHTS, 8, 8),
        (Kind.CONSTANTS, 8, 8),
        (Kind.DEPTHWISE_WEIGHTS, 3, 8),
        (Kind.DEPTHWISE_CONSTANTS, 3, 8),
        (Kind.WIDE_CONSTANTS, 8, 10),
        (Kind.DEPTHWISE_WIDE_CONSTANTS, 3, 10),
    ],
)
def test_sizes(kind: Kind, entries: int, size: int):
    assert (lanes(EngineConfig(), kind), lane_bytes(EngineConfig(), kind)) == (entries, size)
