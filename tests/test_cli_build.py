"""`narrows build` and `narrows flash`: what they pass on, what they print, what they write."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_cli import invoke

from narrows.bitstream import build, flash
from narrows.bitstream.build import Options, result
from narrows.errors import NarrowsError
from narrows.hw.config import EngineConfig

MANIFEST = {
    "board": "ulx3s-85f", "device": "LFE5U-85F", "seed": 2, "clock_mhz": 141.5, "constraint_mhz": 133.333, "timing_met": True,
    "resources": {"multipliers": 152, "block_rams": 190, "luts": 34567, "flip_flops": 45678}, "configuration": {"group": 8},
    "tools": {"yosys": "0.70"}, "engine": "0123456789abcdef", "clocks": {"sync": {"achieved_mhz": 141.5, "constraint_mhz": 133.333}},
    "bitstream": {"file": "build/ulx3s-85f/narrows.bit", "sha256": "ab", "bytes": 1234567},
}  # fmt: skip


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """In place of the flow: it keeps what it was called with, and answers with ``manifest`` or raises it."""
    made = SimpleNamespace(manifest=dict(MANIFEST), calls=[], flashed=[])

    def build_board(*args: Any, **kwargs: Any) -> dict[str, Any]:
        made.calls.append((args, kwargs))
        if isinstance(made.manifest, Exception):
            raise made.manifest
        return made.manifest

    monkeypatch.setattr(build, "build_board", build_board)
    monkeypatch.setattr(flash, "flash_board", lambda *args, **kwargs: made.flashed.append((args, kwargs)))
    return made


def test_a_build_is_shown(built) -> None:
    stdout = invoke("build").stdout
    for words in ("ulx3s-85f", "LFE5U-85F", "0123456789abcdef", "152", "34 567", "141.5", "133.3 needed", "seed 2", "narrows.bit"):
        assert words in stdout, words
    built.manifest |= {"timing_met": False}
    assert "too slow" in invoke("build").stdout
    del built.manifest["bitstream"], built.manifest["clocks"]
    assert "narrows.bit" not in invoke("build", "--no-route").stdout


def test_options_are_passed_on(built, tmp_path: Path) -> None:
    config = tmp_path / "engine.toml"
    config.write_text("weight_words = 1024\n")
    invoke("build", "--board", "icepi-zero", "--config", str(config), "--clock", "80", "--seeds", "4", "--seed", "7", "--router", "router2",
           "--target", "90", "--netlist-only", "--allow-timing-failure")  # fmt: skip
    ((args, kwargs),) = built.calls
    assert args == ("icepi-zero",) and callable(kwargs.pop("progress"))
    assert kwargs == {"config": EngineConfig(weight_words=1024), "clock": 80, "options": Options(
        seeds=4, first_seed=7, router="router2", target_mhz=90, netlist_only=True, allow_failure=True,
    )}  # fmt: skip
    invoke("build")
    assert built.calls[1][0] == ("ulx3s-85f",)
    assert built.calls[1][1]["config"] is None and built.calls[1][1]["options"] == Options()


def test_json_has_what_was_promised(built, tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    assert "narrows.bit" in invoke("build", "--json", str(file)).stdout
    assert json.loads(file.read_text()) == json.loads(invoke("build", "--json", "-").stdout) == result(MANIFEST)


def test_missed_timing_is_an_error_of_one_line(built) -> None:
    built.manifest = NarrowsError("Timing is not met, so there is no bitstream")
    found = invoke("build", code=1)
    assert found.stderr.splitlines()[-1] == "narrows: Timing is not met, so there is no bitstream" and found.stdout == ""


def test_flash(built) -> None:
    invoke("flash", "--board", "icepi-zero", "--flash")
    invoke("flash")
    assert all(callable(kwargs.pop("say")) for _, kwargs in built.flashed)
    assert built.flashed == [(("icepi-zero",), {"permanent": True}), (("ulx3s-85f",), {"permanent": False})]
