"""Control: descriptors in, units started one block at a time; and the descriptor's bytes."""

import pytest
from cocotb_harness import run_cocotb

from narrows.hw.config import EngineConfig
from narrows.hw.control.control import Control
from narrows.hw.control.descriptor import descriptor_layout, descriptor_words, pack_descriptor

CONFIGS = {
    "eight": EngineConfig(),
    "four": EngineConfig(group=4, outputs=4, requantisers=4, depthwise_requantisers=2, residual_lanes=2, pixels=4),
    "one": EngineConfig(group=4, outputs=4, pixels=1, requantisers=4, depthwise_requantisers=2, residual_lanes=1),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_control(name: str):
    run_cocotb(Control(config=CONFIGS[name]), "bench_control", env={"CONFIG": name})


def test_descriptor_bytes():
    config = EngineConfig()
    layout, words = descriptor_layout(config), descriptor_words(config)
    assert 16 * (words - 1) < layout.size <= 16 * words
    packed = pack_descriptor(config, {"flags": {"load": 1, "last": 1}, "source": {"address": 0x123456}, "residual": {"z2": -3}})
    assert len(packed) == 2 * words
    view = layout.from_bits(int.from_bytes(packed, "little") & ((1 << layout.size) - 1))
    assert (view.flags.load, view.flags.stem, view.flags.last, view.source.address, view.residual.z2) == (1, 0, 1, 0x123456, -3)
    assert packed[0] == 0b10000001
    with pytest.raises(ValueError, match="A descriptor has no pool, stride"):
        pack_descriptor(config, {"stride": 1, "flags": {}, "pool": 2})
