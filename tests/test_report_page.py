"""A report's page in a browser: no error, no network, every figure the JSON's, legible at a desk and on a telephone, light and dark."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from browser import PATIENCE, chromium
from PIL import Image
from report_runs import small_report

from narrows.api import run_model
from narrows.errors import NarrowsError
from narrows.report import charts as report_charts
from narrows.report import page as report_page

VIEWS = [(width, scheme) for width in (1280, 400) for scheme in ("light", "dark")]

#: What a reader would see: text of an element's own, its size, its contrast with what is behind it, and whether it is cut off.
LEGIBLE = """() => {
  const channels = (colour) => (colour.match(/[\\d.]+/g) || []).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = channels(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const seen = [];
  for (const element of document.body.querySelectorAll("*")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    const box = element.getBoundingClientRect();
    if (!own || element.tagName === "SCRIPT" || element.tagName === "title" || !box.width) continue;
    const style = getComputedStyle(element);
    const [a, b] = [luminance(channels(style.color)), luminance(behind(element))].sort((x, y) => y - x);
    const scrolls = element.closest(".scroll");
    seen.push({text: element.textContent.trim(), size: parseFloat(style.fontSize), contrast: (a + 0.05) / (b + 0.05),
      outside: !scrolls && (box.left < 0 || box.right > innerWidth + 0.5), cut: element.scrollWidth > element.clientWidth + 1
      && style.overflowX === "hidden" && style.textOverflow !== "ellipsis"});
  }
  return seen;
}"""


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return small_report(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


def opened(browser, path, **options):
    """A page and what it complained of or asked for beside itself."""
    context = browser.new_context(offline=True, **options)
    context.set_default_timeout(PATIENCE)
    page, complaints = context.new_page(), []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: request.url.startswith("data:") or request.url == path.as_uri() or complaints.append(request.url))
    page.goto(path.as_uri())
    return page, complaints


def figures(page):
    """Path, value and text of every figure."""
    return page.eval_on_selector_all("data[data-json]", "all => all.map((e) => [e.dataset.json, e.value, e.textContent])")


def at(result, path):
    for key in path.split("."):
        result = result[int(key)] if isinstance(result, list) else result[key]
    return result


def read(text):
    """The number that a figure's text says, and by how much rounding may be off."""
    number, unit = re.fullmatch(r"([\d\u202f]+(?:\.\d+)?)\u202f?(%|B|KB|MB|M|)", text).groups()
    digits = len(number.partition(".")[2])
    scale = {"": 1, "B": 1, "%": 0.01, "KB": 1e3, "MB": 1e6, "M": 1e6}[unit]
    return float(number.replace("\u202f", "")) * scale, 0.5001 * 10**-digits * scale


def test_figures_are_those_of_the_json(browser, result):
    path = Path(result["report"]["page"])
    assert path.stat().st_size < 2_000_000
    stored = json.loads(Path(result["report"]["json"]).read_text())
    assert stored == result
    page, complaints = opened(browser, path)
    assert json.loads(page.text_content("#result")) == stored
    shown = figures(page)
    for key, value, text in shown:
        assert value == ("" if at(stored, key) is None else json.dumps(at(stored, key))), key
        if value:
            number, rounding = read(text)
            assert abs(number - at(stored, key)) <= rounding, (key, text)
    paths = {key for key, _, _ in shown}
    assert paths >= {
        "frames_per_second", "cycles_per_image", "latency_cycles", "utilisation", "dram_read_bytes", "onchip_bytes", "time.wait_weights",
        "roofline.attained", "images.0.values.0", "external_memory.0.bytes",
    }  # fmt: skip
    for number in range(len(result["blocks"])):
        assert paths >= {f"blocks.{number}.{key}" for key in ("cycles", "predicted_cycles", "utilisation", "time.wait_data", "read_bytes")}
    assert complaints == []


def test_bars_are_as_long_as_their_numbers(browser, result):
    page, _ = opened(browser, Path(result["report"]["page"]), viewport={"width": 1280, "height": 900})
    rows = page.eval_on_selector_all("#time .row", """rows => rows.map((row) => [row.querySelector(".bar").getBoundingClientRect().width,
        ...[...row.querySelectorAll(".bar i")].map((part) => part.getBoundingClientRect().width)])""")
    longest = max(block["cycles"] for block in result["blocks"])
    whole = max(row[0] for row in rows)
    for row, block in zip(rows, result["blocks"], strict=True):
        assert row[0] == pytest.approx(whole * block["cycles"] / longest, abs=1)
        for part, (key, _, _) in zip(row[1:], report_charts.TIME, strict=True):
            assert part == pytest.approx(row[0] * block["time"][key] / block["cycles"], abs=1)
    drawn = page.eval_on_selector_all("#memory rect", "all => all.length")
    assert drawn == sum(run[key] is not None for run in result["runs"] for key, _, _ in report_charts.REGIONS)


def test_pictures_are_what_the_network_saw(browser, result):
    page, _ = opened(browser, Path(result["report"]["page"]))
    urls = page.eval_on_selector_all(".answer img", "all => all.map((image) => [image.src, image.naturalWidth, image.naturalHeight])")
    assert [size for _, *size in urls] == [[19, 21], [19, 21]]
    picture = Image.open(io.BytesIO(base64.b64decode(urls[0][0].partition(",")[2])))
    source = Image.open(result["images"][0]["image"]).resize((19, 21), Image.Resampling.BILINEAR)
    assert np.array_equal(np.asarray(picture), np.asarray(source))


def test_a_press_on_a_block_shows_it(browser, result):
    page, complaints = opened(browser, Path(result["report"]["page"]))
    assert not page.is_visible("#detail")
    page.click(".block >> nth=1")
    text = page.inner_text("#detail")
    assert result["blocks"][1]["name"] in text and f"{result['blocks'][1]['cycles']:,}".replace(",", "\u202f") in text
    assert page.eval_on_selector_all(".chosen", "all => new Set(all.map((e) => e.dataset.block)).size") == 1
    assert complaints == []


def test_without_scripts_the_figures_are_there(browser, result):
    path = Path(result["report"]["page"])
    with_script, _ = opened(browser, path)
    without, complaints = opened(browser, path, java_script_enabled=False)
    assert without.inner_text("main") == with_script.inner_text("main")
    assert complaints == []


def test_names_cannot_break_out(browser, result):
    """The model's file and the classes have names with tags in them."""
    page, complaints = opened(browser, Path(result["report"]["page"]))
    assert page.inner_text("h1") == "net <b>&amp; co.tflite"
    assert "</script><script>alert(1)</script>" in page.inner_text(".answer >> nth=0")
    assert page.eval_on_selector_all("script", "all => all.length") == 2
    assert complaints == []


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_it_is_legible(browser, result, tmp_path, width, scheme):
    page, complaints = opened(
        browser, Path(result["report"]["page"]), viewport={"width": width, "height": 900}, color_scheme=scheme,
    )  # fmt: skip
    page.click(".block >> nth=0")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    seen = page.evaluate(LEGIBLE)
    assert len(seen) > 100
    for what in seen:
        assert what["size"] >= 10.5, what
        assert what["contrast"] >= 4.5, what
        assert not what["outside"] and not what["cut"], what
    image = tmp_path / "page.png"
    page.screenshot(path=image, full_page=True)
    pixels = np.asarray(Image.open(image).convert("L")).astype(int)
    background = pixels[2, 2]
    assert (background > 200) == (scheme == "light") and np.mean(np.abs(pixels - background) > 40) > 0.02
    assert complaints == []


def test_a_batch_in_a_stream_has_a_page(browser, tmp_path):
    result = small_report(tmp_path, batch=2, stream=True)
    page, complaints = opened(browser, Path(result["report"]["page"]))
    assert "2 pictures at once" in page.inner_text("header") and complaints == []
    assert all(value == json.dumps(at(result, key)) for key, value, _ in figures(page) if value)


def test_a_report_needs_cycles_and_a_folder(tmp_path):
    with pytest.raises(NarrowsError, match="and golden has none: run on sim"):
        run_model(tmp_path / "net.tflite", [tmp_path / "a.png"], on="golden", report=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(NarrowsError, match="the report can't be written there"):
        report_page.write_report(tmp_path / "file", {}, None, [])


def test_a_board_has_a_page_without_a_trace(browser, result, tmp_path):
    there = {key: value for key, value in result.items() if key != "report"} | {"on": "socket://localhost:7000"}
    paths = report_page.write_report(tmp_path, there, None, [])
    assert set(paths) == {"page", "json"} and not (tmp_path / report_page.TRACE).exists()
    page, complaints = opened(browser, tmp_path / report_page.PAGE)
    assert "on socket://localhost:7000, at 115 MHz" in page.inner_text("header") and complaints == []
    assert report_page.TRACE not in page.inner_text("main")


def test_what_was_made_of_pictures_and_names_is_on_the_page(result):
    images = [image | {"notes": ["EXIF orientation 6: <turned>"]} for image in result["images"]]
    said = {"low": [0.0], "high": [1.0], "source": "quantize", "why": "the file's QUANTIZE takes 0 to 1"}
    text = report_page.page(result | {"images": images, "input_range": said, "label_note": "l.txt: 10 names for 11 classes"})
    for words in ("EXIF orientation 6: &lt;turned&gt;", "input range 0 to 1 (the file&#39;s QUANTIZE", "l.txt: 10 names for 11"):
        assert words in text.partition('id="network"')[0]


def test_pictures_of_every_kind():
    grey = np.arange(12, dtype=np.uint8).reshape(1, 3, 4, 1)
    first = np.arange(36, dtype=np.int16).reshape(1, 3, 3, 4)
    for value, size in ((grey, (4, 3)), ((first - 128).astype(np.int8), (4, 3)), (np.zeros((1, 200, 150, 3), np.float32), (150, 200))):
        data = base64.b64decode(report_page.picture_url(value).partition(",")[2])
        assert Image.open(io.BytesIO(data)).size == size
    assert report_page.picture_url(np.zeros((1, 7), np.uint8)) is None and report_page.picture_url(np.zeros((1, 4, 4, 8), np.uint8)) is None
    noise = np.random.default_rng(0).integers(0, 256, (1, 600, 600, 3)).astype(np.uint8)
    assert [url is None for url in report_page.pictures([noise] * 9)] != [False] * 9


def test_ticks_are_round():
    assert report_charts.ticks(276_671) == [0, 100_000, 200_000]
    assert report_charts.ticks(1.0) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert report_charts.ticks(0) == [0]
    assert [report_charts.short(value) for value in (0, 500, 1500, 2.5e6)] == ["0", "500", "1.5 k", "2.5 M"]


def test_blocks_are_drawn_as_they_are():
    block = {"input": [7, 7, 16], "interior": [7, 7, 96], "output": [7, 7, 24]}
    outline = report_charts.silhouette(block)
    heights = [b - a for (_, a), (_, b) in zip(outline[:4], reversed(outline[4:]))]
    assert heights[1] == heights[2] > heights[3] > heights[0] > 0
    assert len(report_charts.silhouette(block | {"interior": None})) == 4
