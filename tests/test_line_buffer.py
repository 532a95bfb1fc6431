"""Line buffers: every pixel where the formula says, counted when it is there."""

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cocotb_harness import cases_file, run_cocotb
from hypothesis import strategies as st

from narrows.hw.config import POSITION_BITS, EngineConfig
from narrows.hw.depthwise.line_buffer import LINE_BITS, LineBuffer, LineFields, LineWriter, line_fields, line_slots

CONFIG = EngineConfig(line_words=32)


class Written(wiring.Component):
    """Line writer and banks."""

    def __init__(self, *, config: EngineConfig):
        self._config = config
        word = 8 * config.group
        super().__init__({
            "fields": In(LineFields),
            "start": In(1),
            "valid": In(1),
            "data": In(word),
            "end_group": In(1),
            "end_segment": In(1),
            "expanded": Out(POSITION_BITS),
            "address": In(LINE_BITS).array(3),
            "read": Out(word).array(3),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.writer = writer = LineWriter(config=self._config)
        m.submodules.buffer = buffer = LineBuffer(config=self._config)
        for name in ("fields", "start", "valid", "data", "end_group", "end_segment"):
            m.d.comb += getattr(writer, name).eq(getattr(self, name))
        m.d.comb += [self.expanded.eq(writer.expanded), buffer.write.eq(writer.write)]
        for bank in range(3):
            m.d.comb += [buffer.address[bank].eq(self.address[bank]), self.read[bank].eq(buffer.data[bank])]
        return m


@st.composite
def tensors(draw) -> dict:
    groups = draw(st.integers(1, 4))
    width = draw(st.integers(1, line_slots(config=CONFIG, groups=groups)))
    fields = line_fields(config=CONFIG, width=width, groups=groups)
    return {"width": width, "groups": groups, "limit": fields["limit"]}


def test_line_writer():
    drawn = cases_file(
        "line_buffer",
        examples=40,
        tensor=tensors(),
        segments=st.lists(st.integers(1, 9), min_size=1, max_size=30),
        idle=st.sampled_from(("always", "half", "bursts", "alternating")),
        seed=st.integers(0, 2**32),
    )
    run_cocotb(Written(config=CONFIG), "bench_line_buffer", cases=drawn, env={"GROUP": CONFIG.group})


@pytest.mark.parametrize(
    ("width", "groups", "message"),
    [
        (0, 1, "row in the line buffers has 1 to 2047 pixels, not 0"),
        (1, 33, "pixel in the line buffers takes 1 to 32 words, not 33"),
        (11, 3, "holds 10 pixels of 3 words, a row has 11: use more slices"),
    ],
)
def test_fields_are_checked(width: int, groups: int, message: str):
    with pytest.raises(ValueError, match=message):
        line_fields(config=CONFIG, width=width, groups=groups)


def test_ring_is_whole_pixels():
    assert line_fields(config=CONFIG, width=10, groups=3) == {"width": 9, "groups": 3, "limit": 30}
