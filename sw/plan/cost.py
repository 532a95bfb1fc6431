"""Rough costs of a block, for choices before there is a plan: the array's cycles, and bytes of weights."""

from __future__ import annotations

from narrows.graph.blocks import Block
from narrows.graph.network import Conv, Pool
from narrows.hw.config import EngineConfig
from narrows.hw.stem.fields import stem_layout
from narrows.plan.constants import groups_of


def input_words(block: Block, stage: Conv, config: EngineConfig) -> int:
    """Words of activation memory that a result of ``stage`` is formed of: groups of the pixels it takes, or of a patch."""
    if block.from_picture and stage is (block.expand or block.project):
        return len(stem_layout(*stage.kernel, block.input.shape[2], config.group))
    return (stage.joined or 1) * groups_of(stage.inputs[0].shape[2], config)


def array_cycles(block: Block, config: EngineConfig) -> int:
    """Cycles of the array, or of the depthwise unit where that takes longer, for one image."""
    array = depthwise = 0
    for stage in (block.expand, block.project):
        if stage is not None:
            height, width, channels = stage.output.shape
            results = height * width / config.pixels * -(-channels // config.outputs)
            array += int(results * max(input_words(block, stage, config), config.result_spacing))
    stage = block.depthwise
    if stage is not None:
        height, width, channels = stage.output.shape
        kernel = stage.inputs[0].shape[:2] if isinstance(stage, Pool) else stage.kernel
        taps = -(-kernel[0] // 3) * kernel[1]
        depthwise = height * width * groups_of(channels, config) * max(taps, -(-config.group // config.depthwise_requantisers))
    return max(array, depthwise)


def weight_bytes(block: Block, config: EngineConfig) -> int:
    """Bytes of the array's weights, as they come from external memory."""
    total = 0
    for stage in (block.expand, block.project):
        if stage is not None:
            total += -(-stage.output.shape[2] // config.outputs) * config.outputs * input_words(block, stage, config) * config.group
    return total
