"""What is expected to stay as it is: cycle counts, in ``cycles.json``, and the gateware itself, in ``rtlil.json``.

    python tests/replay.py        counts again and writes both files anew (``make cycles``); it says what changed

Cycles: of every classifier the counted ones block by block, and predictions for batches. Gateware: a hash of what Amaranth makes of
each engine, so that moving code about is seen to change nothing.

Models that are not beside the repository keep their figures.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rtl_runs import SHARED, counted

from narrows import __file__ as package
from narrows.cycles.predict import predict
from narrows.hw.config import ECP5_25F, ECP5_85F_WIDE, EngineConfig
from narrows.hw.system import LinkedTop
from narrows.importer.importer import import_network
from narrows.schedule.schedule import plan_network
from narrows.sim.simulator import STARTUP_US
from narrows.sim.verilog import to_rtlil

EXPECTED = Path(__file__).with_name("cycles.json")
GATEWARE = Path(__file__).with_name("rtlil.json")
DATA = Path(package).parent / "data"

ENGINES = {"default": EngineConfig(), "lfe5u_25f": ECP5_25F, "ulx3s_85f_wide": ECP5_85F_WIDE}
CLASSIFIERS = (
    "cfu_mobilenetv2_160_035", "mobilenet_v1_0.25_128_quant", "mobilenet_v2_0.35_224_flowers_uint8",
    "mobilenet_v2_1.0_224_quant", "tf2_mobilenet_v2_1.0_224_ptq", "vww_96_int8",
)  # fmt: skip
EMBEDDED = "digits_mobilenetv2_035_96"
#: Network and engine. Of the other engines one network is enough, which other tests run, too.
RUNS = [*((name, "default") for name in (EMBEDDED, *CLASSIFIERS)), *((CLASSIFIERS[0], engine) for engine in list(ENGINES)[1:])]
BATCHES = {"batch of 2": (2, False), "batch of 4": (4, False), "stream of 4": (4, True)}


def model_of(name: str) -> Path:
    """The network's file, which may be missing."""
    return (DATA if name == EMBEDDED else SHARED / "models") / f"{name}.tflite"


def measure(name: str, engine: str) -> dict[str, Any]:
    """``frame`` and ``blocks``: counted cycles; ``predicted``: those of batches and streams. Cycles do not depend on the picture."""
    picture = DATA / "images" / "0.png" if name == EMBEDDED else SHARED / "images" / "cat.png"
    config = ENGINES[engine]
    run = counted(model_of(name), picture, config)
    blocks = {block["name"]: block["cycles"] for block in run["blocks"]}
    assert len(blocks) == len(run["blocks"])
    network = import_network(model_of(name))
    predicted = {
        words: sum(block.cycles for block in predict(plan_network(network, config, batch=batch, stream=stream)))
        for words, (batch, stream) in BATCHES.items()
    }
    return {"frame": {"frame": run["cycles"]}, "blocks": blocks, "predicted": predicted}


def differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """A table of what changed, no lines if nothing did."""
    rows = []
    for kind in ("blocks", "frame", "predicted"):
        before, after = expected.get(kind, {}), found[kind]
        rows += [(name, before.get(name), after.get(name)) for name in {**before, **after} if before.get(name) != after.get(name)]
    if not rows:
        return []
    width = max(len(name) for name, _, _ in rows)
    lines = [f"{'':{width}}  {'expected':>10}  {'found':>10}  change"]
    for name, old, new in rows:
        change = f"{new - old:+d} ({new / old - 1:+.3%})" if old and new else "new" if new else "gone"
        lines.append(f"{name:{width}}  {old if old is not None else '-':>10}  {new if new is not None else '-':>10}  {change}")
    return lines


def expected_of(name: str, engine: str) -> dict[str, Any]:
    """What the file says of a run; empty if it does not know it."""
    return json.loads(EXPECTED.read_text()).get(engine, {}).get(name, {}) if EXPECTED.exists() else {}


def gateware(engine: str) -> str:
    """A hash of the RTLIL of an engine's whole board, its link included."""
    design = LinkedTop(config=ENGINES[engine], startup_us=STARTUP_US)
    return hashlib.sha256(to_rtlil(design).encode()).hexdigest()


def update() -> None:
    """Count every network again, look at every engine again and write the files."""
    GATEWARE.write_text(json.dumps({engine: gateware(engine) for engine in ENGINES}, indent=1) + "\n")
    known = json.loads(EXPECTED.read_text()) if EXPECTED.exists() else {}
    for name, engine in RUNS:
        if not model_of(name).exists():
            print(f"{name}: not beside the repository, its figures stay")
            continue
        found = measure(name, engine)
        changed = differences(known.get(engine, {}).get(name, {}), found)
        print("\n".join([f"{name} on {engine}: {'as before' if not changed else ''}", *(f"  {line}" for line in changed)]))
        known.setdefault(engine, {})[name] = found
    EXPECTED.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(update())
