"""Activation memory: what is read is what was written last, whoever wants the banks."""

import pytest
from cocotb_harness import run_cocotb

from narrows.hw.activations.memory import ActivationMemory
from narrows.hw.config import EngineConfig

CONFIGS = {
    "eight": EngineConfig(activation_words=50),
    "four": EngineConfig(
        group=4, outputs=4, requantisers=4, depthwise_requantisers=2, residual_lanes=2, pixels=4, activation_words=64
    ),
    "one": EngineConfig(
        group=4, outputs=4, pixels=1, requantisers=4, depthwise_requantisers=2, residual_lanes=1, activation_words=33
    ),
}


@pytest.mark.parametrize(("name", "writes", "reads"), [("eight", 4, 2), ("four", 2, 3), ("one", 4, 2)])
def test_activation_memory(name: str, writes: int, reads: int):
    component = ActivationMemory(config=CONFIGS[name], writes=writes, reads=reads)
    run_cocotb(component, "bench_activation_memory", env={"CONFIG": name, "WRITES": writes, "READS": reads})
