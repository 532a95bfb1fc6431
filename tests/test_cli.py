"""The command line: what it passes to the API, what it prints, and that no traceback reaches anybody."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

import narrows
from narrows.bitstream import doctor
from narrows.cli import main as cli
from narrows.config_file import load_config
from narrows.errors import NarrowsError
from narrows.hw.config import EngineConfig
from narrows.report import terminal as report

IMAGE = {
    "image": "cat.png",
    "outputs": [{"name": "Softmax", "shape": [1, 3], "dtype": "uint8", "sha256": "ab" * 32}],
    "top": [[2, 200], [0, 40]],
    "values": [0.78125, 0.15625],
    "labels": ["[cat]", "dog"],
}
BLOCK = {
    "name": "block 1", "macs": 2_500_000, "cycles": 20_000, "predicted_cycles": 19_900, "pointwise_busy": 17_000,
    "depthwise_busy": 9_000, "wait_weights": 1_234, "wait_data": 56, "utilisation": 0.82,
    "time": {"array_busy": 17_000, "wait_weights": 1_234, "wait_data": 56, "no_work": 1_710},
}  # fmt: skip
RESULT = {
    "images": [IMAGE | {"cycles": 21_000}], "batch": 1, "stream": False, "cycles": 21_000, "cycles_per_image": 21_000.0,
    "latency_cycles": 21_000, "predicted_cycles": 20_900, "macs": 2_500_000, "multipliers": 152,
    "utilisation": 0.783, "dram_read_bytes": 3_456_789, "dram_write_bytes": 128, "interior_bytes_to_dram": 0, "onchip_bytes": 400_000,
    "clock_mhz": 133, "clock_of": None, "frames_per_second": 6333.3, "engine": "0123456789abcdef", "blocks": [BLOCK],
    "time": {"array_busy": 17_000, "wait_weights": 1_234, "wait_data": 56, "no_work": 2_710}, "depthwise_busy": 9_000, "routed": None,
    "roofline": {
        "bytes_per_cycle": 2, "macs_per_byte": 40.25, "ridge_macs_per_byte": 76.0, "macs_per_cycle": 70.0, "bound": "memory",
        "attainable_macs_per_cycle": 80.5, "attained": 0.8696,
    },
}  # fmt: skip
PLAN = {
    "blocks": [{
        "name": "block 1", "mode": "plane", "slices": 4, "images": 1, "first_image": 0, "channels": [0, 8],
        "input": [7, 7, 8], "interior": None, "output": [7, 7, 8], "macs": 1_000_000,
        "predicted_cycles": 9_000, "predicted_read_bytes": 4_096, "predicted_write_bytes": 0,
    }],
    "notes": ["folded a PAD"], "host_before": [], "host_after": ["SOFTMAX"], "macs": 1_000_000, "multipliers": 152,
    "predicted_cycles": 9_000, "predicted_cycles_per_image": 9_000.0, "batch": 1, "stream": False, "predicted_utilisation": 0.7,
    "onchip_bytes": 400_000, "clock_mhz": 133, "clock_of": None, "engine": "0123456789abcdef",
    "operators": [{"index": 0, "name": "CONV_2D", "tensor": "tensor 3 (t3)", "where": "gateware block 1", "reason": ""}],
}  # fmt: skip
DIFFERENCE = {"position": [1, 2, 3], "got": 4, "expected": 5, "differing": 6, "of": 700}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """In place of the API: it keeps what it was called with, answers with `result` or raises it."""
    made = SimpleNamespace(result=RESULT, calls=[])

    def call(*args: Any, **kwargs: Any) -> dict[str, Any]:
        made.calls.append((args, kwargs))
        if isinstance(made.result, BaseException):
            raise made.result
        if kwargs.get("progress"):
            kwargs["progress"]("running, 1 M cycles", 0.1)
            kwargs["progress"]("running, 2 M cycles", 0.2)
        return made.result

    monkeypatch.setitem(sys.modules, "narrows.api", SimpleNamespace(run_model=call, plan_model=call, check_model=call))
    return made


def invoke(*arguments: str, code: int = 0) -> Any:
    result = CliRunner(env={"COLUMNS": "140", "NO_COLOR": "1"}).invoke(cli.app, arguments)
    assert result.exit_code == code, result.output
    return result


def test_run_prints_classes_blocks_and_totals(api) -> None:
    result = invoke("run", "net.tflite", "--image", "cat.png")
    for words in ("cat.png", "[cat]", "#2", "200", "0.7812", "block 1", "2.50", "20 000", "19 900", "82%", "1 234", "78.3%",
                  "6333.3", "3.46 MB", "128 B", "400.0 KB", "21 000"):  # fmt: skip
        assert words in result.stdout, words
    # Not a terminal: each phase once, no bar, nothing of it on the standard output.
    assert result.stderr.splitlines() == ["running ..."]


def test_run_passes_its_options_on(api, tmp_path: Path) -> None:
    config = tmp_path / "engine.toml"
    config.write_text("weight_words = 1024\n")
    invoke("run", "net.tflite", "-i", "a.png", "-i", "b.png", "--on", "golden", "--labels", "l.txt", "--top", "7", "--config", str(config),
           "--clock", "100", "--waveform", "w.vcd", "--window", "10:20", "--slices", "3", "--batch", "2", "--stream",
           "--report", "out", "--input-range", "-1,1")  # fmt: skip
    (args, kwargs), = api.calls
    assert args == (Path("net.tflite"), [Path("a.png"), Path("b.png")])
    assert callable(kwargs.pop("progress"))
    assert kwargs == {
        "on": "golden", "labels": Path("l.txt"), "top": 7, "config": EngineConfig(weight_words=1024, sdram_mhz=100),
        "slices": 3, "batch": 2, "stream": True, "waveform": Path("w.vcd"), "window": (10, 20), "baud": 3_000_000,
        "report": Path("out"), "input_range": (-1.0, 1.0),
    }  # fmt: skip


def test_a_board_says_what_engine_it_has_unless_one_is_named(api) -> None:
    for options, config in (((), None), (("--clock", "100"), EngineConfig(sdram_mhz=100))):
        invoke("run", "net.tflite", "-i", "a.png", "--on", "/dev/ttyUSB0", "--baud", "115200", *options)
        kwargs = api.calls[-1][1]
        assert (kwargs["on"], kwargs["baud"], kwargs["config"]) == ("/dev/ttyUSB0", 115200, config)


def test_without_a_model_the_embedded_one_runs(api) -> None:
    invoke("run")
    (model, images), kwargs = api.calls[0]
    assert model.name == cli.DEFAULT_MODEL
    assert all(path.parent.name == "images" for path in images)
    assert kwargs["labels"].parent == model.parent
    invoke("run", "--image", "mine.png")
    assert api.calls[1][0] == (model, [Path("mine.png")])


def test_json_is_the_result_exactly(api, tmp_path: Path) -> None:
    assert json.loads(invoke("run", "n.tflite", "--json", "-").stdout) == RESULT
    file = tmp_path / "out.json"
    assert "block 1" in invoke("run", "n.tflite", "--json", str(file)).stdout
    assert json.loads(file.read_text()) == RESULT
    assert "can't be written" in invoke("run", "n.tflite", "--json", str(tmp_path / "no" / "out.json"), code=1).stderr


def test_the_golden_model_has_no_blocks_to_print(api) -> None:
    api.result = {"images": [IMAGE | {"labels": None}]}
    stdout = invoke("run", "net.tflite", "--on", "golden").stdout
    assert "class 2" in stdout
    assert "cycles" not in stdout


def test_a_run_says_what_it_made_of_pictures_and_names(api) -> None:
    said = {"low": [0.0], "high": [1.0], "source": "quantize", "why": "the file's QUANTIZE takes 0 to 1"}
    image = IMAGE | {"notes": ["EXIF orientation 6: turned by 90 degrees clockwise"]}
    api.result = {"images": [image], "input_range": said, "label_note": "l.txt: [2] names"}
    stdout = invoke("run", "net.tflite").stdout
    assert "cat.png\n  EXIF orientation 6: turned" in stdout
    assert "input range 0 to 1 (the file's QUANTIZE takes 0 to 1)\nl.txt: [2] names\n" in stdout
    api.result = api.result | {"input_range": {"low": [-2.0, -1.0], "high": [2.0, 1.5], "source": "unknown", "why": "no word"}}
    assert "input range unknown, taken as -2 to 2, -1 to 1.5 (no word)" in invoke("run", "net.tflite").stdout


def test_plan_prints_blocks_and_what_the_host_does(api) -> None:
    api.result = PLAN
    stdout = invoke("plan", "net.tflite").stdout
    for words in ("plane, 4 slices", "7x7x8", "9 000", "4.1 KB", "folded a PAD", "SOFTMAX", "nothing", "70.0%"):
        assert words in stdout, words


def test_plan_tells_runs_of_a_block_apart(api) -> None:
    """By pictures of the batch, and by channels of the output."""
    block = PLAN["blocks"][0] | {"mode": "rows", "slices": 1, "images": 2}
    api.result = PLAN | {"batch": 4, "blocks": [block, block | {"first_image": 2, "channels": [0, 4]}, block | {"channels": [4, 8]}]}
    stdout = " ".join(invoke("plan", "net.tflite").stdout.split())
    for words in ("rows, pictures 1 to 2 7x7x8", "rows, pictures 3 to 4, channels 1 to 4", "rows, pictures 1 to 2, channels 5 to 8"):
        assert words in stdout, words


@pytest.mark.parametrize("oracle", [True, False])
@pytest.mark.parametrize("equal", [True, False])
def test_check_says_what_was_compared_and_names_the_first_difference(api, equal: bool, oracle: bool) -> None:
    block = {"name": "block 9", "equal": equal, "first_difference": None if equal else DIFFERENCE}
    image = {"image": "cat.png", "blocks": [block], "layers": [], "operators": [block] * 2, "not_compared": ["7 [PAD]"] if oracle else []}
    keys = ("blocks", "layers", "operators") if oracle else ("blocks", "layers")
    compared = {key: {"what": f"some {key}", "with": f"their {key}"} for key in keys}
    missing = None if oracle else "it is not installed"
    api.result = {"equal": equal, "oracle": oracle, "oracle_missing": missing, "compared": compared, "images": [image]}
    stdout = invoke("check", "net.tflite", "--image", "cat.png", code=0 if equal else 1).stdout
    assert f"{int(equal)} of 1 some blocks equal their blocks" in stdout and "0 of 0 some layers" in stdout
    assert ("some operators" in stdout, "not compared" in stdout and "7 [PAD]" in stdout) == (oracle, oracle)
    assert ("at [1, 2, 3]: 4, should be 5, 6 of 700 values" in stdout) == (not equal)
    assert ("TensorFlow Lite was not asked: it is not installed" in stdout) == (not oracle)
    assert ("byte for byte: gateware, golden model and TensorFlow Lite" in stdout) == (equal and oracle)
    assert ("byte for byte: gateware and golden model, compared only with each other" in stdout) == (equal and not oracle)


@pytest.mark.parametrize("command", ["run", "plan", "check"])
@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (NarrowsError("operator 3 CONV_2D:\n stride 5"), 1, "narrows: operator 3 CONV_2D: stride 5"),
        (KeyError("scale"), 1, "narrows: unexpected KeyError: 'scale' -- please report it"),
        (KeyboardInterrupt(), 130, "narrows: interrupted"),
    ],
)
def test_an_error_is_one_line(api, command: str, error: BaseException, code: int, words: str) -> None:
    api.result = error
    result = invoke(command, "net.tflite", code=code)
    assert result.stderr.startswith(words)
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_debug_shows_the_traceback(api) -> None:
    api.result = NarrowsError("no")
    result = CliRunner().invoke(cli.app, ["run", "net.tflite", "--debug"])
    assert result.exception is api.result


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--window", "20"), "give it as FIRST:END"),
        (("--clock", "500"), "cannot run at 500 MHz"),
        (("--input-range", "0"), "give the values of pixels 0 and 255 as LOW,HIGH"),
        (("--input-range", "0,one"), "give the values of pixels 0 and 255 as LOW,HIGH"),
        (("--config", "no-such.toml"), "can't be read"),
    ],
)
def test_wrong_options_are_explained(api, arguments: tuple[str, ...], words: str) -> None:
    assert words in invoke("run", "net.tflite", *arguments, code=1).stderr
    assert api.calls == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("grup = 8", r"there is no setting 'grup'; did you mean 'group'\?"),
        ("zebra = 8", r"there are group, outputs"),
        ("group = 'eight'", r"group must be a whole number, not 'eight'"),
        ("group = true", r"group must be a whole number, not True"),
        ("group = 5", r"group must be a power of two"),
        ("products = 'magic'", r"products must be 'direct'.*, not 'magic'"),
        ("group 8", r"not TOML"),
    ],
)
def test_wrong_engines_are_explained(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "engine.toml"
    path.write_text(text)
    with pytest.raises(NarrowsError, match=f"engine.toml: .*{words}|engine.toml: {words}"):
        load_config(path)


def test_a_config_file_changes_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "engine.toml"
    path.write_text("activation_words = 16384\nproducts = 'direct'\n")
    assert load_config(path) == EngineConfig(activation_words=16384)


@pytest.mark.parametrize("command", [[], ["run"], ["plan"], ["check"], ["build"], ["flash"], ["sweep"], ["results"], ["doctor"]])
def test_help_teaches(command: list[str]) -> None:
    stdout = invoke(*command, "--help").stdout
    assert "Usage: " in stdout
    examples = {"build": "--board ulx3s-85f", "flash": "--board ulx3s-85f", "results": "--models models"}
    example = examples.get("".join(command), "net.tflite")
    assert command in ([], ["doctor"]) or f"narrows {command[0]} {example}" in stdout


def test_doctor_finds_this_machine_healthy() -> None:
    stdout = invoke("doctor").stdout
    for words in ("Python", "amaranth", "C++ compiler", "verilator starts"):
        assert words in stdout


def test_doctor_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/no/such/compiler --fast")
    result = invoke("doctor", code=1)
    assert "unset CXX" in " ".join(result.stdout.split())
    assert result.stderr.startswith("narrows: Something that Narrows needs is missing")
    assert not doctor.healthy(doctor.examine())


def test_bars_are_readable_without_unicode() -> None:
    assert report.bar(0.52) == "█████░░░░░"
    assert report.bar(7.0, "ascii") == "##########"
    assert report.bar(0.0, "ANSI_X3.4-1968") == ".........."


def test_the_installed_program_starts_and_survives_a_closed_pipe() -> None:
    program = Path(sys.executable).with_name("narrows")
    reader, writer = os.pipe()
    os.close(reader)
    closed = subprocess.run([program, "doctor"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    assert "Traceback" not in closed.stderr
    wrong = subprocess.run([program, "run", "/no/such.tflite", "--image", "x.png"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 1
    assert wrong.stdout == ""
    assert wrong.stderr.splitlines()[-1].startswith("narrows: ")
    assert "Traceback" not in wrong.stderr


def test_the_version():
    assert invoke("--version").stdout == f"narrows {narrows.__version__}\n"
