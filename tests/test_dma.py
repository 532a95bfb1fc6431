"""Readers and writers, and the arbiter between them and a controller."""

import json
from dataclasses import asdict

import pytest
from cocotb_harness import cases_file, run_cocotb
from dma_system import DmaSystem
from hypothesis import strategies as st

from narrows.hw.dram.controller import SdramController
from narrows.hw.dram.dma import MemoryReader, MemoryWriter
from narrows.hw.dram.timing import W9825G6KH_6
from narrows.sim.sdram_chip import SdramParameters

SYSTEMS = {
    "small": {"readers": 3, "writers": 2, "burst": 8, "depth": 16},
    "usual": {"readers": 2, "writers": 1, "burst": 128, "depth": 512},
    "tiny": {"readers": 1, "writers": 1, "burst": 2, "depth": 16},
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_dma(name: str):
    system = SYSTEMS[name]
    sizes = st.sampled_from([0, 1, system["burst"] - 1, system["burst"], system["burst"] + 1, system["depth"]])
    words = st.one_of(sizes, st.integers(0, 5 * min(system["burst"], 32)))
    transfer = st.tuples(st.integers(0, 0xFFF), words)
    cases = cases_file(f"dma_{name}", examples=12, transfers=st.lists(transfer, min_size=8, max_size=12))
    run_cocotb(DmaSystem(**system), "bench_dma", cases=cases, env={key.upper(): value for key, value in system.items()})


@pytest.mark.parametrize("unit", [MemoryReader, MemoryWriter])
@pytest.mark.parametrize(("sizes", "message"), [
    ({"burst": 512}, "power of two from 2 to 256 words, not 512"),
    ({"burst": 100}, "power of two from 2 to 256 words, not 100"),
    ({"depth": 500}, "two bursts of 128, not 500 words"),
    ({"burst": 256, "depth": 256}, "two bursts of 256, not 256 words"),
])
def test_refused_sizes(unit, sizes: dict, message: str):
    with pytest.raises(ValueError, match=message):
        unit(**sizes)


@pytest.mark.parametrize(("burst", "depth", "least"), [(128, 512, 0.95), (64, 256, 0.95), (32, 128, 0.9)])
def test_dma_with_sdram(burst: int, depth: int, least: float):
    timing = W9825G6KH_6.at(clock_mhz=133)
    controller = SdramController(timing=timing, startup_us=0.5)
    system = {"readers": 2, "writers": 1, "burst": burst, "depth": depth}
    parameters = SdramParameters.of(timing, startup_us=0.5)
    env = {**{key.upper(): value for key, value in system.items()}, "LEAST": least, "SDRAM": json.dumps(asdict(parameters))}
    run_cocotb(DmaSystem(**system, controller=controller), "bench_dma_sdram", env=env)
