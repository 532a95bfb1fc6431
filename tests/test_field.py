"""Files from the field: what they compute is what was recorded, or they are refused as what they are, by every command alike."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imported_network import Net, image
from rtl_runs import SHARED
from test_cli import invoke

from narrows.api import check_model, plan_model, run_model
from narrows.compiler.operator_table import REFUSED
from narrows.compiler.runnable import runnable
from narrows.errors import ImportRefused, NarrowsError
from narrows.explore.results import make_results
from narrows.explore.sweep import sweep_all
from narrows.golden.model import model_outputs
from narrows.golden.model import run_model as run_golden
from narrows.hw.config import EngineConfig
from narrows.inputs.model_input import input_for
from narrows.tflite.file import read_model

FIELD = SHARED / "field"
pytestmark = pytest.mark.skipif(not FIELD.is_dir(), reason="files from the field and their recorded hashes are not beside this repository")

PICTURES = ("cat.png", "grace_hopper.png")


@cache
def recorded() -> dict[str, Any]:
    return json.loads((FIELD / "golden.json").read_text())


def file_of(name: str) -> Path:
    return next(FIELD.glob(f"*/{name}.tflite"))


def hashes(name: str, picture: str) -> list[str]:
    return [output["sha256"] for output in recorded()[f"{name}.tflite"][picture]]


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("name", ["sub_read_as_add", "mul_read_as_add", "tinymaix_vww96_q_builtin_only"])
def test_operators_whose_code_stands_in_the_new_field_only(name, picture):
    """The golden model runs them as what they are, not as the ADD of the old field's 0."""
    model = read_model(file_of(name))
    outputs = model_outputs(model, run_golden(model, input_for(model, SHARED / "images" / picture)))
    assert [hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest() for value in outputs] == hashes(name, picture)


@pytest.mark.parametrize("name", ["sub_read_as_add", "mul_read_as_add", "tinymaix_vww96_q_builtin_only", "constant_second_output"])
def test_every_device_gives_what_was_recorded(name):
    pictures = [SHARED / "images" / picture for picture in PICTURES]
    for on in ("golden", "sim"):
        rows = run_model(file_of(name), pictures, on=on)["images"]
        assert [[output["sha256"] for output in row["outputs"]] for row in rows] == [hashes(name, picture) for picture in PICTURES], on


def test_what_the_engine_has_no_unit_for_ends_on_the_host(tmp_path):
    """A product of two tensors and the little that follows; a longer tail is refused, as the engine would do next to nothing."""
    rows = plan_model(file_of("mul_read_as_add"))
    assert [row["where"] for row in rows["operators"]] == ["gateware block 1", "gateware block 2", "host after", "host after"]
    assert rows["host_after"] == ["MUL", "CONV_2D"] and "no unit" in rows["operators"][2]["reason"]
    n = Net()
    x = image(n, 40, 40)
    y = n.conv(x, 32)
    y = n.operator("MUL", [y, n.conv(y, 32)], n.bytes(y.shape), fused_activation_function="NONE")
    (tmp_path / "tail.tflite").write_bytes(n.finish([x], [n.conv(y, 32)]))
    with pytest.raises(ImportRefused, match=r"operator 2 MUL, .*: can't run between layers: the engine does not multiply two tensors"):
        plan_model(tmp_path / "tail.tflite")


#: Files that do not run, and the operator and reason, or what they are.
REFUSALS = {
    "cfu_hps_2022_89ops": r"operator 12 MAX_POOL_2D, tensor 53 \(.*\): not supported",
    "tinymaix_cifar10_q": r"operator 1 CONV_2D, tensor 11 \(.*\): a 5x5 convolution with stride \(2, 2\) runs only on the picture",
    "lfs_pointer": "a Git LFS pointer, not the file itself; run `git lfs pull`",
}


@pytest.mark.parametrize("name", REFUSALS)
def test_every_command_refuses_alike(name):
    path, picture = file_of(name), SHARED / "images" / "cat.png"
    calls = (
        lambda: runnable(path, EngineConfig()), lambda: plan_model(path), lambda: run_model(path, [picture]),
        lambda: check_model(path, [picture]),
    )  # fmt: skip
    words = set()
    for call in calls:
        with pytest.raises(NarrowsError, match=REFUSALS[name]) as refused:
            call()
        words.add(str(refused.value))
    (row,) = sweep_all(models=[path])["rows"]
    assert words == {row["refused"]} == {invoke("plan", str(path), code=1).stderr.removeprefix("narrows: ").strip()}


def test_a_sweep_goes_on_after_a_refused_file():
    names = ("cfu_hps_2022_89ops", "lfs_pointer", "tinymaix_vww96_q_builtin_only")
    rows = sweep_all(models=[file_of(name) for name in names])["rows"]
    assert [(row["network"], row["refused"] is None, row["macs"] is None) for row in rows] == [
        (names[0], False, True), (names[1], False, True), (names[2], True, False)
    ]  # fmt: skip
    assert rows[0]["reason"].startswith("operator 12 MAX_POOL_2D: not supported") and rows[1]["reason"].startswith("a Git LFS pointer")


def test_what_does_not_fit_is_left_out_of_the_results(tmp_path):
    """A file that imports but doesn't fit the engine ends nothing."""
    (tmp_path / "one.tflite").symlink_to(file_of("tinymaix_cifar10_q"))
    _, left_out = make_results(tmp_path, embedded=False)
    assert len(left_out) == 1 and "operator 1 CONV_2D" in left_out[0] and "a 5x5 convolution" in left_out[0]


def test_a_refused_file_has_the_table_of_its_operators():
    """All refusals that can be found, the first one's error and exit code unchanged."""
    with pytest.raises(NarrowsError) as refused:
        plan_model(file_of("cfu_hps_2022_89ops"))
    rows = refused.value.operators
    assert [row["index"] for row in rows] == list(range(89))
    found = {row["name"] for row in rows if row["where"] == REFUSED}
    assert found == {"STRIDED_SLICE", "MAX_POOL_2D", "CONCATENATION"}
    assert all(bool(row["reason"]) == (row["where"] in (REFUSED, "not known")) for row in rows)
    shown = invoke("plan", str(file_of("tinymaix_cifar10_q")), "--json", "-", code=1)
    result = json.loads(shown.stdout)
    assert shown.stderr == f"narrows: {result['refused']}\n"
    assert [row["index"] for row in result["operators"] if row["where"] == REFUSED][:2] == [1, 2]


def test_slices_that_do_not_fit_are_left_out():
    model = SHARED / "models" / "mobilenet_v2_1.0_224_quant.tflite"
    with pytest.raises(NarrowsError, match=r"with --slices 4: there is no room .*\. Leave --slices out: then it fits\.$"):
        plan_model(model, slices=4)
    assert plan_model(model)["predicted_cycles"] > 0
