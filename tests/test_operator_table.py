"""The table of operators: every operator of a file has its place, and what runs is refused nowhere."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from imported_network import Net, image
from random_mobilenet import random_mobilenet
from rich.console import Console
from test_tflite_file import mutated

from narrows.compiler.operator_table import AFTER, CONSTANT, GATEWARE, LEFT_OUT, OPEN, REFUSED, rows_of_refused, rows_of_runnable
from narrows.compiler.runnable import runnable
from narrows.errors import NarrowsError
from narrows.hw.config import EngineConfig
from narrows.report.plan import print_operators
from narrows.tflite.file import parse_model

CONFIG = EngineConfig()


def places(content: bytes, config: EngineConfig = CONFIG) -> list[tuple[str, str]]:
    """Name and place of every operator."""
    model = parse_model(content, "m")
    try:
        rows = rows_of_runnable(runnable(model, config))
    except NarrowsError as error:
        rows = rows_of_refused(model, config, error)
    return [(row["name"], row["where"]) for row in rows]


def test_where_operators_run():
    n = Net()
    x = image(n)
    y = n.conv(n.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 4, kernel=3, padding="VALID")
    y = n.operator("RELU6", [y], n.bytes(y.shape))
    n.conv(y, 2)
    folded = n.operator("QUANTIZE", [n.constant(np.zeros(y.shape), "int8", 0.05, 3)], n.bytes(y.shape))
    y = n.depthwise(y)
    y = n.operator("ADD", [y, folded], n.bytes(y.shape), fused_activation_function="NONE")
    assert places(n.finish([x], [y])) == [
        ("PAD", "folded into 1 CONV_2D"), ("CONV_2D", f"{GATEWARE} block 1"), ("RELU6", "folded into 1 CONV_2D"), ("CONV_2D", LEFT_OUT),
        ("QUANTIZE", CONSTANT), ("DEPTHWISE_CONV_2D", f"{GATEWARE} block 1"), ("ADD", AFTER),
    ]  # fmt: skip


def test_all_refusals_are_found():
    """Two operators nobody knows, a convolution that no block holds, an operator that may not stand there; what follows stays open."""
    n = Net()
    x = image(n)
    y = n.conv(x, 8)
    y = n.operator("HARD_SWISH", [y], n.bytes(y.shape))
    y = n.conv(y, 8, kernel=3)
    y = n.operator("LOGISTIC", [n.conv(y, 8)], n.bytes(y.shape))
    y = n.conv(y, 8)
    y = n.operator("CUMSUM", [y], n.tensor((4, 4), "int8", 0.05, 3))
    y = n.conv(n.operator("RESHAPE", [y], n.bytes((1, 4, 4, 1)), new_shape=(1, 4, 4, 1)), 8)
    content = n.finish([x], [y])
    assert places(content) == [
        ("CONV_2D", GATEWARE), ("HARD_SWISH", REFUSED), ("CONV_2D", REFUSED), ("CONV_2D", GATEWARE), ("LOGISTIC", REFUSED),
        ("CONV_2D", GATEWARE), ("CUMSUM", REFUSED), ("RESHAPE", OPEN), ("CONV_2D", GATEWARE),
    ]  # fmt: skip


def test_blocks_without_room_are_found_one_by_one():
    n = Net()
    x = image(n)
    content = n.finish([x], [n.conv(n.conv(n.depthwise(n.conv(x, 64)), 64), 64)])
    tiny = dataclasses.replace(CONFIG, weight_words=4)
    assert [where for _, where in places(content, tiny)] == [REFUSED, GATEWARE, GATEWARE, REFUSED]


@pytest.mark.parametrize("seed", range(6))
def test_what_runs_is_refused_nowhere_and_what_is_refused_has_its_row(seed):
    """Of random networks and damaged ones."""
    rng = np.random.default_rng(seed)
    content = random_mobilenet(rng)
    for mutant in (content, *(mutated(rng, content) for _ in range(12))):
        try:
            model = parse_model(mutant)
        except NarrowsError:
            continue
        try:
            rows = rows_of_runnable(runnable(model, CONFIG))
        except NarrowsError as error:
            rows = rows_of_refused(model, CONFIG, error)
            op = getattr(error, "op", None)
            assert op is None or rows[op]["where"] == REFUSED
        else:
            assert not {row["where"] for row in rows} & {REFUSED, OPEN}
            found = rows_of_refused(model, CONFIG, NarrowsError("no reason"))
            assert not [row for row in found if row["where"] == REFUSED]
        assert [row["index"] for row in rows] == list(range(len(model.operators)))


def test_tables_fit_a_terminal():
    rows = [{"index": i, "name": "FULLY_CONNECTED", "where": "gateware block 7", "reason": ""} for i in range(60)]
    rows[50] |= {"where": REFUSED, "reason": "a [long] reason " * 9}
    for every, lines in ((False, 8), (True, 60)):
        out = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
        print_operators(out, rows, every=every)
        text = out.export_text().splitlines()
        assert max(map(len, text)) <= 80 and len(text) >= lines and ("--operators" in text[-1]) == (not every)
        assert "[long]" in " ".join(text) and "FULLY_CONNECTED" in " ".join(text)
    assert sum(line.startswith("FULLY_CONNECTED") for line in text) == 0
