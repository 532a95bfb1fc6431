"""A network through the simulated board, every block's output beside the golden model's."""

from __future__ import annotations

from typing import Any

import numpy as np

from narrows.check import first_difference
from narrows.compiler.runnable import build_program
from narrows.device.device import Device
from narrows.golden.model import run_network
from narrows.graph.network import Network
from narrows.hw.config import EngineConfig
from narrows.plan.plan import BlockPlan, Plan

#: The smallest engine that takes common shapes: tensors of a few kilobytes pass through external memory.
SMALL = EngineConfig(
    group=4, outputs=4, requantisers=4, depthwise_requantisers=2, residual_lanes=2, activation_words=2048, line_words=1024,
    depthwise_words=256,
)  # fmt: skip


def differences(
    network: Network, config: EngineConfig, *pictures: np.ndarray, slices: int | None = None, store_blocks: bool = True
) -> tuple[Plan, list[Any]]:
    """The plan that ran, and (block, first difference) of every stored block that is not what the golden model says."""
    program = build_program(network, config, slices=slices, store_blocks=store_blocks)
    wrong = []
    with Device.open(config=config) as device:
        device.load(program)
        for picture in pictures:
            golden = {id(layer.output): value for layer, value in zip(network.layers, run_network(network, picture), strict=True)}
            frame = device.run(picture)
            stored = [block for block in program.plan.blocks if block.store is not None]
            found = [(b.block.name, first_difference(device.tensor(frame, b)[0], golden[id(b.block.output)])) for b in stored]
            wrong += [(name, difference) for name, difference in found if difference is not None]
    return program.plan, wrong


def traits(plan: BlockPlan, config: EngineConfig) -> set[str]:
    """What is special about a block's plan."""
    found = {plan.mode}
    ring = plan.output.pixels(config) < plan.pixels("output")
    found |= {"load"} if plan.load is not None else set()
    found |= {"load ring"} if plan.load is not None and plan.source.pixels(config) < plan.pixels("input") else set()
    found |= {"store ring"} if plan.store is not None and ring else set()
    found |= {"held source"} if plan.load is not None and plan.block.shortcut is not None else set()
    found |= {"in place"} if plan.output.overlaps(plan.source) and plan.load is None else set()
    return found
