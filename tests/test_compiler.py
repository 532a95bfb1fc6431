"""Programs: every word is accounted for, and what registers can't hold is said with the network's words."""

from __future__ import annotations

import pytest
from engine_runs import SMALL
from made_network import Made, mobilenet_v2

from narrows.compiler.runnable import build_program
from narrows.errors import DoesNotFit
from narrows.hw.config import EngineConfig
from narrows.hw.control.program_reader import Kind, lane_bytes, lanes
from narrows.program.encode import check_fields, compile_plan
from narrows.schedule.schedule import plan_network


def packets(image: bytes, config: EngineConfig) -> list[tuple[Kind, int]]:
    """(kind, words) of every packet; fails where one runs over the end."""
    at, found = 0, []
    while at < len(image):
        kind, count = Kind(image[at] & 7), int.from_bytes(image[at + 2 : at + 4], "little")
        found.append((kind, count))
        at += 4 + count * lanes(config, kind) * lane_bytes(config, kind)
    assert at == len(image)
    return found


@pytest.mark.parametrize("slices", [None, 2])
def test_two_compilations_are_the_same_bytes(slices):
    network = mobilenet_v2(0.35, 64).network()
    first, second = (build_program(network, EngineConfig(), slices=slices) for _ in range(2))
    assert first.image == second.image and first.words == len(first.image) // 2 and first.address == first.plan.program_address


def test_a_descriptor_per_block_in_order():
    plan = plan_network(Made(30, 30, 3).conv(8, kernel=3, stride=2).block(8, residual=True).pool().conv(4).network(), SMALL)
    found = packets(compile_plan(plan).image, SMALL)
    kinds = [kind for kind, _ in found]
    # The first block's weights come before its descriptor, the others' after theirs.
    assert kinds.count(Kind.DESCRIPTOR) == len(plan.blocks) and kinds[0] != Kind.DESCRIPTOR
    first = kinds.index(Kind.DESCRIPTOR)
    assert kinds[first + 1] == Kind.DESCRIPTOR and kinds[-1] == Kind.WEIGHTS
    words = sum(count for kind, count in found if kind == Kind.WEIGHTS)
    assert words == sum(b.expand_groups * b.expand_depth + b.project_groups * b.project_depth for b in plan.blocks)
    for block in plan.blocks:
        check_fields(block, SMALL)


def test_what_no_register_holds_does_not_fit():
    with pytest.raises(DoesNotFit, match="^(Block '.*'|The network) does not fit this engine: .*[.]$"):
        build_program(Made(2000, 2000, 3).conv(8, kernel=3, stride=2).block(8).network(), EngineConfig())
