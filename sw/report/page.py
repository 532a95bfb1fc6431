"""A run as one page without any network access, and beside it what the page is made of: the run's JSON and a trace for Perfetto."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from PIL import Image

from narrows.errors import NarrowsError
from narrows.inputs.input_range import in_words
from narrows.report import charts
from narrows.report.trace import write_trace

#: Names of the files in a report's folder.
PAGE, DATA, TRACE = "index.html", "report.json", "trace.json"

#: Pictures are shown until their data takes so many bytes of the page; all of them have their answers.
MOST_PICTURE_BYTES = 700_000

#: Digits in groups of three have a narrow no-break space between them.
SPACE = "\u202f"

_FOLDER = Path(__file__).parent / "template"


def write_report(folder: Path, result: dict[str, Any], traced: dict[str, Any] | None, inputs: Sequence[np.ndarray]) -> dict[str, Any]:
    """Write ``PAGE``, ``DATA`` and, if something was ``traced``, ``TRACE`` into ``folder``; the result's key ``report`` is returned.

    ``result``: of :func:`narrows.api.run_model`, with :func:`narrows.report.run_details.run_details`; ``inputs``: the model's input for
    each of its images. ``DATA`` is that and the key ``report``. Raises :class:`NarrowsError` if the folder can't be written.
    """
    names = {"page": PAGE, "json": DATA} | ({"trace": TRACE} if traced is not None else {})
    paths = {key: str(folder / name) for key, name in names.items()}
    whole = result | {"report": paths}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / DATA).write_text(json.dumps(whole, indent=1) + "\n")
        (folder / PAGE).write_text(page(whole, pictures(inputs)), encoding="utf-8")
        if traced is not None:
            write_trace(folder / TRACE, traced)
    except OSError as error:
        raise NarrowsError(f"{folder}: the report can't be written there ({error.strerror}).") from None
    return paths


def page(result: dict[str, Any], shown: Sequence[str | None] = ()) -> str:
    """The page of ``result``: every figure on it is read off ``result``, which is in it as JSON; ``shown``: pictures as data URLs."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )
    files = {name: Markup((_FOLDER / name).read_text(encoding="utf-8")) for name in ("style.css", "script.js")}
    # Inside a script element nothing but "</" ends it.
    embedded = Markup(json.dumps(result, separators=(",", ":")).replace("<", "\\u003c"))
    return environment.get_template("page.html").render(
        result=result, shown=shown, style=files["style.css"], script=files["script.js"], embedded=embedded, charts=charts,
        fig=lambda path, style="count": figure(result, path, style), text=FORMATS, with_pictures=_with_pictures, in_words=in_words,
    )


def pictures(inputs: Sequence[np.ndarray]) -> list[str | None]:
    """Every input as a data URL, what the network sees; None for what is no picture, and for what would make the page too large."""
    result: list[str | None] = []
    room = MOST_PICTURE_BYTES
    for value in inputs:
        url = picture_url(value)
        if url is not None:
            room -= len(url)
        result.append(url if room >= 0 else None)
    return result


def picture_url(value: np.ndarray) -> str | None:
    """A model's input (1, height, width, channels) or (1, channels, height, width) of 1 or 3 channels as a picture in a data URL."""
    if value.ndim != 4 or value.shape[0] != 1:
        return None
    plane = value[0]
    if plane.shape[2] not in (1, 3) and plane.shape[0] in (1, 3):
        plane = plane.transpose(1, 2, 0)
    if plane.shape[2] not in (1, 3):
        return None
    if plane.dtype == np.int8:
        plane = plane.astype(np.int16) + 128
    elif plane.dtype != np.uint8:
        plane = np.clip(np.rint((plane.astype(np.float64) + 1) * 127.5), 0, 255)
    pixels = plane.astype(np.uint8)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    large = max(image.size) > 128
    buffer = io.BytesIO()
    if large:
        image.save(buffer, "JPEG", quality=88)
    else:
        image.save(buffer, "PNG", optimize=True)
    return f"data:image/{'jpeg' if large else 'png'};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def figure(result: dict[str, Any], path: str, style: str) -> Markup:
    """The number at ``path`` (keys and indices between dots) of ``result``: as it is in the element's ``value``, for people in its text."""
    value: Any = result
    for key in path.split("."):
        value = value[int(key)] if isinstance(value, list) else value[key]
    if value is None:
        return Markup('<data data-json="{}" value="">none</data>').format(path)
    return Markup('<data data-json="{}" value="{}">{}</data>').format(path, json.dumps(value), FORMATS[style](value))


def _count(value: float) -> str:
    return f"{round(value):,}".replace(",", SPACE)


def _bytes(value: float) -> str:
    """Bytes, KB of 1000 and MB."""
    for unit, size, digits in (("MB", 1_000_000, 2), ("KB", 1000, 1)):
        if value >= size:
            return f"{value / size:.{digits}f}{SPACE}{unit}"
    return f"{round(value)}{SPACE}B"


#: How numbers are written.
FORMATS = {
    "count": _count, "bytes": _bytes, "percent": lambda value: f"{value:.1%}", "one": lambda value: f"{value:.1f}",
    "three": lambda value: f"{value:.3f}", "mega": lambda value: f"{value / 1e6:.2f}{SPACE}M",
}  # fmt: skip


def _with_pictures(images: Sequence[dict[str, Any]], shown: Sequence[str | None]) -> list[tuple[dict[str, Any], str | None]]:
    return [(image, shown[index] if index < len(shown) else None) for index, image in enumerate(images)]
