"""Tables in terminals of every width: whole columns go, least needed first; no number is cut, no name lost."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_runs import small_report
from rich.console import Console
from test_cli import DIFFERENCE

from narrows.api import plan_model
from narrows.bitstream import doctor
from narrows.check import COMPARED
from narrows.cli import main as cli
from narrows.device.find import find_devices
from narrows.explore.sweep import sweep_all
from narrows.report import terminal as report
from narrows.report.parts import Totals, Words
from narrows.report.plan import print_plan
from narrows.report.sweep import print_sweep
from narrows.report.table import Table, shortened, shortest

WIDTHS = (40, 60, 80, 100, 120, 200)
#: Wide enough for anything.
ALL = 1000

Printed = Callable[..., list[str]]


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Printed:
    """The lines that a function prints at a width."""

    def lines(width: int, show: Callable[[Any], None], result: Any) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(width))
        show(result)
        return capsys.readouterr().out.splitlines()

    return lines


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A real one."""
    return small_report(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def results(run: dict[str, Any]) -> dict[str, tuple[Callable[[Any], None], Any]]:
    """Of every command what it shows, and how."""
    model = cli.defaults(None, None)[0]
    plan = plan_model(model, batch=4)
    rows = [{"name": block["name"], "equal": index % 2 == 0, "first_difference": DIFFERENCE} for index, block in enumerate(run["blocks"])]
    checked = {"image": "a folder/a picture of 1 234 567.png", "notes": [], "blocks": rows, "layers": rows, "operators": rows}
    compared = {key: dict(zip(("what", "with"), words, strict=True)) for key, words in COMPARED.items()}
    check = {"images": [checked], "compared": compared, "oracle": False, "oracle_missing": "it is not installed", "equal": False}
    manifest = {
        "board": "ulx3s-85f", "device": "LFE5U-85F", "engine": run["engine"], "seed": 12, "timing_met": False,
        "resources": {"multipliers": 152, "flip_flops": 48_715, "block_rams": 194},
        "clocks": {"sync": {"achieved_mhz": 116.47, "constraint_mhz": 115.0}},
        "bitstream": {"bytes": 1_942_123, "file": "build/ulx3s-85f/narrows.bit"},
    }
    sweep = sweep_all(widths=[0.35], resolutions=[96, 224])
    fit = sweep_all(widths=[0.35], resolutions=[96], board="icepi-zero")
    refused = {"network": "mobilenet_v2_0.35_96_refused", "refused": "x", "reason": "operator 3 CONV_2D: " + "stride 5 " * 9}
    sweep["rows"].append(sweep["rows"][0] | refused)
    return {
        "run": (report.print_run, run), "plan": (print_plan, plan), "build": (report.print_build, manifest),
        "check": (report.print_check, check),
        "sweep": (print_sweep, sweep), "fit": (print_sweep, fit), "doctor": (report.print_doctor, doctor.examine()),
        "devices": (report.print_devices, {"devices": find_devices(["socket://localhost:1"])}),
    }  # fmt: skip


NAMES = ("run", "plan", "build", "check", "sweep", "fit", "doctor", "devices")


def tokens(lines: list[str]) -> Iterator[str]:
    """What stands between spaces and has a digit, a number with its thousands being one; but for shortened names and long paths."""
    for line in lines:
        for token in re.sub(r"(?<=\d) (?=\d{3}(?!\d))", "_", line).split():
            if any(character.isdigit() for character in token) and not re.search(r"[…/<>-]", token):
                yield token


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_no_number_is_cut(results, printed: Printed, name: str, width: int):
    """Every number at this width is one at any, and no line is longer, but for paths that can be clicked on."""
    everything = set(tokens(printed(ALL, *results[name])))
    lines = printed(width, *results[name])
    assert set(tokens(lines)) <= everything
    assert max(len(line) for line in lines if not re.match("(page|json|trace) in ", line)) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_the_blocks_of_a_run(run, printed: Printed, width: int):
    """Each has its line with its name and all its cycles; columns come back in the order of need."""
    lines = printed(width, report.print_run, run)
    names = [block["name"] for block in run["blocks"]]
    for block in run["blocks"]:
        number, kind = block["name"].split()
        line, = (line for line in lines if re.match(rf"{number} {kind[:8]}", line))
        assert re.search(rf" {report._count(block['cycles'])}( |$)", line)
        if width >= 100:
            assert line.startswith(f"{block['name']} ")
    at = lines.index(next(line for line in lines if line.startswith(names[0][:8])))
    header = " ".join(" ".join(lines[at - 2 : at]).split())
    order = ["block", "cycles", "utilisation", "weights", "data", "where they went", "predicted", "M MAC"]
    shown = [words for words in order if words in header]
    assert shown == order[: len(shown)], header
    assert len(shown) == {40: 3, 60: 5, 80: 7, 100: 8, 120: 8, 200: 8}[width]


@pytest.mark.parametrize("width", WIDTHS)
def test_every_row_is_there(results, printed: Printed, width: int):
    """Of sweeps, doctors and devices."""
    plan = results["plan"][1]
    lines = printed(width, *results["plan"])
    assert sum(bool(re.match(r"\d+ [A-Z]", line)) for line in lines) == len(plan["blocks"])
    fps = [f"{row['frames_per_second']:.1f}" for row in results["sweep"][1]["rows"] if row["refused"] is None]
    lines = printed(width, *results["sweep"])
    assert all(any(re.search(rf" {number}( |$)", line) for line in lines) for number in fps)
    words = " ".join(" ".join(lines).split())
    assert "refused" in words and words.count("stride") == 9
    lines = printed(width, *results["doctor"])
    assert all(any(finding.name in line for line in lines) for finding in results["doctor"][1])
    assert any(line.startswith("socket://localhost:1") for line in printed(width, *results["devices"]))


def test_a_terminal_of_any_size_gets_them_whole(results, printed: Printed):
    """One that is narrower than tables are made for wraps them itself."""
    assert printed(20, *results["run"]) == printed(40, *results["run"])


def drawn(width: int, thing: Any) -> list[str]:
    console = Console(width=width, file=None, highlight=False, emoji=False)
    with console.capture() as capture:
        console.print(thing)
    return capture.get().splitlines()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(40, 130), st.lists(st.tuples(st.text("abc_. ", min_size=1, max_size=50), st.integers(0, 10**9), st.integers(0, 10**6)),
                                   min_size=1, max_size=6)
)  # fmt: skip
def test_any_table(width: int, rows: list[tuple[str, int, int]]):
    table = Table(("network",), ("cycles", "wait weights"), ("limit",), least=("wait weights",))
    for name, first, second in rows:
        table.add_row(name, f"{first:,}".replace(",", " "), f"{second:,}".replace(",", " "), "words " * 9)
    lines = drawn(width, table)
    for _, first, _ in rows:
        assert any(re.search(rf"(^|  ){first:,}( |$)".replace(",", " "), line) for line in lines)
    assert "".join(lines).count("words") == 9 * len(rows) and max(map(len, lines)) <= width


@pytest.mark.parametrize(("names", "width", "short"), [
    (("3 CONV_2D", "6 CONV_2D", "64 FULLY_CONNECTED"), 12, ("3 CONV_2D", "6 CONV_2D", "64 FULLY_CO…")),
    (("mobilenet_v2_1.0_224", "mobilenet_v2_1.0_192"), 12, ("mobilene…224", "mobilene…192")),
    (("mobilenet_v2_0.35_96_int8", "mobilenet_v2_1.00_96_int8"), 20, ("mobilenet_v2_0.35_9…", "mobilenet_v2_1.00_9…")),
    (("same_name_twice_1", "same_name_twice_1"), 12, ("same_name_t…", "same_name_t…")),
])  # fmt: skip
def test_names_keep_what_tells_them_apart(names: tuple[str, ...], width: int, short: tuple[str, ...]):
    assert tuple(shortened(names, width)[name] for name in names) == short


@given(st.sets(st.text("ab12_ ", min_size=1, max_size=30), min_size=1, max_size=5))
def test_names_are_never_confused(names: set[str]):
    """At the least width and at every larger one."""
    for width in range(shortest(names), 31):
        short = shortened(names, width)
        assert len(set(short.values())) == len(names) and max(map(len, short.values())) <= width


def test_words_and_figures():
    """A number is not parted from its thousands or its unit; what has no room beside a figure stands below it."""
    text = "it takes 1 234 567 cycles and 393.2 KB"
    for width in range(10, 40):
        lines = drawn(width, Words(f"[bold]{text}[/]"))
        assert " ".join(lines) == text and any("1 234 567" in line for line in lines) and any("393.2 KB" in line for line in lines)
    assert drawn(30, Totals([("cycles per frame", "276 677", "predicted 276 665"), ("clock", "1", "")])) == [
        "cycles per frame  276 677", "  predicted 276 665", "clock                   1",
    ]  # fmt: skip
    assert drawn(60, Totals([("cycles", "276 677", "of a frame"), ("x", "1", "")])) == ["cycles  276 677  of a frame", "x             1"]
    assert drawn(12, Totals([("host before", "TRANSPOSE", "")])) == ["host before", "  TRANSPOSE"]


def test_all_tables_of_the_terminal_are_these():
    """Nothing is printed with a table that cuts."""
    for path in Path(report.__file__).parent.glob("*.py"):
        assert "rich.table" not in path.read_text(), path
