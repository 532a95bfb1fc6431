"""Memories of block RAMs as they are anywhere but on an ECP5: what a read finds, and when; and how they are cut."""

import pytest
from cocotb_harness import cases_file, run_cocotb
from hypothesis import strategies as st

from narrows.hw.parts.block_ram import BlockRam, Cut, SharedBlockRam

#: Width and depth: of one bit, of an odd number of words, of several rows.
SIZES = [(1, 2), (9, 5), (40, 12), (8, 2500)]
FORMS = {"BlockRam": BlockRam, "SharedBlockRam": SharedBlockRam}


def accesses(width: int, depth: int) -> st.SearchStrategy:
    """Cycles of (write, address to write or to read aside, word, address to read): few addresses, so that they meet."""
    addresses = st.one_of(st.sampled_from(sorted({0, 1, depth // 2, depth - 1})), st.integers(0, depth - 1))
    return st.lists(st.tuples(st.booleans(), addresses, st.integers(0, (1 << width) - 1), addresses), min_size=1, max_size=60)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("width", "depth"), SIZES)
def test_reads(form: str, width: int, depth: int):
    cases = cases_file(f"block-ram-{width}-{depth}", examples=60, cycles=accesses(width, depth))
    env = {"FORM": form, "WIDTH": width, "DEPTH": depth}
    run_cocotb(FORMS[form](width=width, depth=depth), "bench_block_ram", cases=cases, env=env)


@pytest.mark.parametrize("form", FORMS.values())
@pytest.mark.parametrize(("width", "depth"), [(0, 8), (8, 1)])
def test_sizes_are_checked(form: type, width: int, depth: int):
    with pytest.raises(ValueError, match=f"not {depth} of {width} bits"):
        form(width=width, depth=depth)


@pytest.mark.parametrize(
    ("width", "depth", "shared", "cut"),
    [
        (36, 512, False, (512, 36, 1, 1)), (36, 512, True, (1024, 18, 1, 2)), (37, 512, False, (512, 36, 1, 2)),
        (9, 2048, False, (2048, 9, 1, 1)), (9, 2049, False, (2048, 9, 2, 1)), (64, 13312, True, (1024, 18, 13, 4)),
        (18, 1025, True, (2048, 9, 1, 2)),
    ],
)  # fmt: skip
def test_cut(width: int, depth: int, shared: bool, cut: tuple[int, int, int, int]):
    """The fewest block RAMs; of a port that writes and reads none of the widest."""
    found = Cut.of(width=width, depth=depth, shared=shared)
    assert (found.depth, found.width, found.rows, found.columns) == cut
    assert found.block_rams == cut[2] * cut[3]
