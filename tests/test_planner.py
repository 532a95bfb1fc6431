"""The planner: nothing that is needed is overwritten, everything reasonable fits, refusals say why."""

from __future__ import annotations

import dataclasses
import re
from itertools import pairwise

import pytest
from engine_runs import SMALL
from made_network import Made, efficientnet_lite, mnasnet, mobilenet_v1, mobilenet_v2

from narrows.compiler.runnable import build_program
from narrows.errors import DoesNotFit
from narrows.graph.network import Network
from narrows.hw.config import ECP5_25F, EngineConfig
from narrows.plan.plan import BlockPlan, Plan, depthwise_geometry
from narrows.schedule.schedule import plan_network

WIDTHS, RESOLUTIONS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4), (96, 128, 160, 192, 224)


def check_regions(plan: Plan) -> None:
    """Regions lie in memory, and overlap only where one of them is no longer needed."""
    config = plan.config
    for block in plan.blocks:
        check_run(block, config)
    for before, block in pairwise(plan.blocks):
        if block.load is None:
            assert block.source == before.output
        elif block.block is before.block and block.beside:
            assert (block.load, block.source, block.output) == (before.load, before.source, before.output)
            assert block.channels.start == before.channels.stop and before.store is None
        else:
            assert block.load == before.store
    transfers = sorted((plan.picture, *plan.stores), key=lambda transfer: transfer.address)
    assert all(first.address + first.bytes <= second.address for first, second in pairwise(transfers))
    assert transfers[-1].address + transfers[-1].bytes <= plan.program_address


def check_run(block: BlockPlan, config: EngineConfig) -> None:
    """One run's own regions."""
    for region in filter(None, (block.source, block.filtered, block.output)):
        assert region.base >= 0 and region.end <= config.bank_words
    if block.filtered is not None and block.filtered is not block.output:
        assert not block.filtered.overlaps(block.source)
        assert not block.filtered.overlaps(block.output)
    if block.output.overlaps(block.source):
        check_in_place(block, config)


def check_in_place(block: BlockPlan, config: EngineConfig) -> None:
    """Pixel by pixel: what is written lies in pixels that no later result reads, its own shortcut aside."""
    if block.mode == "plane" and block.block.depthwise is not None:
        # The input is used up when project begins, except as the shortcut, which is read at the place that is written.
        assert block.block.shortcut is None or (block.output.base, block.output.groups) == (block.source.base, block.source.groups)
        return
    assert block.mode == "rows" and block.block.depthwise is not None and block.output.base == block.source.base
    geometry = depthwise_geometry(block.block, slices=1, slice_groups=1, images=1, segment=1)
    top, left = geometry.pad
    for row in range(geometry.out_h):
        for column in range(geometry.out_w):
            end = -(-(row * geometry.out_w + column + 1) // config.pixels) * block.output.groups
            # Expand is at least as far as the last pixel of the window that this result needs.
            y = min(max(row * geometry.stride[0] - top + (geometry.kernel[0] - 1) * geometry.dilation[0], 0), geometry.in_h - 1)
            x = min(max(column * geometry.stride[1] - left + (geometry.kernel[1] - 1) * geometry.dilation[1], 0), geometry.in_w - 1)
            read = y * geometry.in_w + x + 1
            done = read == geometry.in_h * geometry.in_w
            assert done or end <= read // config.pixels * block.source.groups


@pytest.mark.parametrize("width", WIDTHS)
def test_every_mobilenet_v2_has_a_plan(width):
    for resolution in RESOLUTIONS:
        program = build_program(mobilenet_v2(width, resolution).network(), EngineConfig())
        check_regions(program.plan)
        spilled = [block for block in program.plan.blocks[:-1] if block.store is not None]
        # Only where a tensor of 112 x 112 x 24 (or 96 x 96) leaves no room for anything else.
        assert len(spilled) == (width >= 1.3 and resolution >= 192)


@pytest.mark.parametrize("width", [0.25, 0.5, 0.75, 1.0])
def test_every_mobilenet_v1_has_a_plan(width):
    for resolution in RESOLUTIONS:
        plan = build_program(mobilenet_v1(width, resolution).network(), EngineConfig()).plan
        check_regions(plan)
        # Only where 28 x 28 x 256 leaves no room for an output, and weights for all channels none for themselves.
        assert any(block.beside for block in plan.blocks) == ((width, resolution) == (1.0, 224))


@pytest.mark.parametrize(("make", "options"), [(efficientnet_lite, (1.0, 224)), (efficientnet_lite, (1.1, 240)), (mnasnet, (224,))])
def test_other_networks_of_inverted_residuals_have_a_plan(make, options):
    check_regions(build_program(make(*options).network(), EngineConfig()).plan)


def test_every_channel_is_formed_once():
    plan = build_program(mobilenet_v1(1.0, 224).network(), EngineConfig()).plan
    formed = [block.channels for block in plan.blocks if block.beside]
    assert [channel for channels in formed for channel in channels] == list(range(256)) and len(formed) == 2
    assert plan.macs == sum(block.macs for block in plan.blocks)


def test_the_block_before_makes_way():
    """14 x 14 x 128 fits on chip as an output, but not as the next block's input beside its output."""
    plan = build_program(mobilenet_v1(0.25, 224).network(), ECP5_25F).plan
    check_regions(plan)
    blocks = {block.block.name: block for block in plan.blocks}
    assert blocks["depthwise15"].store is not None and blocks["depthwise17"].load == blocks["depthwise15"].store


def test_a_network_of_too_many_runs():
    made = Made(8, 8, 3).conv(8, kernel=3)
    for _ in range(130):
        made.block(8, expand=2)
    with pytest.raises(DoesNotFit, match="takes 131 runs of blocks, the engine counts 128"):
        plan_network(made.network(), EngineConfig())


@pytest.mark.parametrize("slices", [None, 1, 3, 1000])
@pytest.mark.parametrize("store_blocks", [False, True])
def test_regions_with_chosen_slices(slices, store_blocks):
    plan = plan_network(mobilenet_v2(0.35, 64).network(), EngineConfig(), slices=slices, store_blocks=store_blocks)
    check_regions(plan)
    assert len(plan.stores) == (len(plan.blocks) if store_blocks else 1)
    assert slices is None or all(block.mode == "plane" for block in plan.blocks if block.block.depthwise is not None)


@pytest.mark.parametrize("words", [700, 1024, 1500, 2048, 4096])
def test_regions_where_tensors_are_spilled(words):
    made = Made(56, 60, 3).conv(8, kernel=3, stride=2).block(8, expand=2, residual=True).block(12, expand=2, stride=2)
    plan = plan_network(made.block(12, expand=2, residual=True).network(), dataclasses.replace(SMALL, activation_words=words))
    check_regions(plan)
    for block in plan.blocks:
        if block.block.shortcut is not None and block.load is not None:
            # The shortcut's pixel is still there when project comes to it: two rows of a window and what segments add.
            assert block.source.pixels(plan.config) >= 4 * block.block.input.shape[1]


def test_a_padded_last_slice_is_stored_whole():
    """Nine groups in five slices of two are ten: the tensor in external memory has a group of nothing."""
    plan = plan_network(Made(9, 9, 3).conv(72, kernel=3).depthwise().network(), EngineConfig(), slices=5)
    assert plan.blocks[-1].output.groups == 10 and plan.outputs[0].store.bytes == 81 * 80


def refused(network: Network, config: EngineConfig) -> DoesNotFit | None:
    try:
        plan_network(network, config)
    except DoesNotFit as error:
        return error
    return None


REMEDIES = {
    "line": (lambda: Made(64, 250, 3).conv(16, kernel=3).block(16).network(), {"line_words": 128}),
    "weights": (lambda: Made(8, 8, 3).conv(512, kernel=3).conv(16).network(), {"weight_words": 16}),
    "activations": (lambda: mobilenet_v2(1.0, 224).network(), {"activation_words": 2048}),
}


@pytest.mark.parametrize("name", REMEDIES)
def test_the_remedy_of_a_refusal_works(name):
    """Each time it enlarges the memory it says, by what it says, and the block is refused no more; in the end the network fits."""
    make, changes = REMEDIES[name]
    config, network, seen = EngineConfig(**changes), make(), {}
    while (error := refused(network, config)) is not None:
        found = re.search(r"Give the configuration (\w+) = (\d+) \(now (\d+)\)", str(error))
        assert found is not None and getattr(config, found[1]) == int(found[3]) < int(found[2]), str(error)
        assert error.block not in seen
        seen[error.block] = str(error)
        config = dataclasses.replace(config, **{found[1]: int(found[2])})
    assert any(setting in text for text in seen.values() for setting in changes)


def test_a_refusal_gives_one_reason():
    """Of two ways that fail, not both under one advice."""
    with pytest.raises(DoesNotFit) as error:
        plan_network(Made(19, 19, 3).conv(8, kernel=17).depthwise().network(), EngineConfig())
    reason = "does not fit this engine: The stem's kernel has 1 to 15 rows of 1 to 120 bytes, not 17 rows of 17 pixels of 3 channels."
    assert str(error.value).endswith(f"{reason} Larger memories do not help: use another network.")


REFUSALS = {
    "line": (lambda: Made(64, 250, 3).conv(16, kernel=3).block(16).network(), {"line_words": 128}, "a row of 250 pixels.*line_words"),
    "input": (lambda: mobilenet_v2(1.0, 224).network(), {"activation_words": 2048}, "activation_words"),
    "weights": (lambda: Made(8, 8, 3).conv(512, kernel=3).conv(16).network(), {"weight_words": 16}, "words of weights.*weight_words"),
    "stem": (lambda: Made(19, 19, 3).conv(8, kernel=17).network(), {}, "1 to 15 rows of 1 to 120 bytes, not 17 rows of 17 pixels"),
    "depthwise kernel": (lambda: Made(4, 140, 3).conv(8, kernel=3).pool().network(), {}, "kernel .* 1 to 127"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_name_the_block_and_the_way_out(name):
    make, changes, pattern = REFUSALS[name]
    with pytest.raises(DoesNotFit, match=f"^Block '.*' does not fit this engine: .*{pattern}"):
        plan_network(make(), EngineConfig(**changes))


def test_leaving_slices_out_is_only_advised_where_that_helps():
    made = Made(19, 19, 3).conv(8, kernel=17).depthwise()
    with pytest.raises(DoesNotFit, match=r"not 17 rows of 17 pixels of 3 channels\. Larger memories do not help") as error:
        build_program(made.network(), EngineConfig(), slices=1)
    assert "--slices" not in str(error.value)
