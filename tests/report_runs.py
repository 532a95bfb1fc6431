"""A small network's run with its report, for tests of what it shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from random_mobilenet import random_mobilenet

from narrows.api import run_model

OPTIONS = {
    "pool": "MEAN", "kernel": 3, "rescaling": False, "ends": "plain", "channels_first": False, "channels": 3, "dtype": "int8",
    "last": "none",
}  # fmt: skip


def small_report(folder: Path, **options: Any) -> dict[str, Any]:
    """The result of a random network on the default engine, its report in ``folder / "out"``."""
    model, image = folder / "net <b>&amp; co.tflite", folder / "noise.png"
    model.write_bytes(random_mobilenet(np.random.default_rng(5), height=21, width=19, **OPTIONS))
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 30, 3)).astype(np.uint8)).save(image)
    labels = folder / "labels.txt"
    labels.write_text("</script><script>alert(1)</script>\n" * 11)  # as many as classes
    return run_model(model, [image, image], labels=labels, report=folder / "out", **options)
