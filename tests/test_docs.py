"""The documentation's site: every link leads somewhere, and nothing is loaded from elsewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from mkdocs.exceptions import PluginError

from narrows.hw.config import ECP5_25F, ECP5_85F_WIDE, EngineConfig

ROOT = Path(__file__).resolve().parent.parent
PAGE = SimpleNamespace(file=SimpleNamespace(src_path="a.md"))


def build(folder: Path, site: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(folder / "mkdocs.yml"), "--site-dir"]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run([*command, str(site)], capture_output=True, text=True, check=False, env=environment)


def test_the_site_is_whole(tmp_path):
    made = build(ROOT, tmp_path / "site")
    assert made.returncode == 0, made.stdout + made.stderr
    pages = {path.stem: path.read_text() for path in (tmp_path / "site").glob("*.html")}
    assert {path.stem for path in (ROOT / "docs").glob("*.md")} == set(pages) - {"404"}
    for name, text in pages.items():
        loaded = re.findall(r'<(?:script|img|iframe|source)[^>]* src="(https?:[^"]*)"', text)
        loaded += re.findall(r'<link[^>]* rel="(?:stylesheet|preconnect|preload)"[^>]* href="(https?:[^"]*)"', text)
        assert not loaded, name


def test_a_dead_link_is_an_error(tmp_path):
    for name in ("mkdocs.yml", "docs"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    with (tmp_path / "docs" / "index.md").open("a") as index:
        index.write("\n[there](nowhere.md) and [here](results.md#no-such-heading)\n")
    for path in (tmp_path / "docs").glob("*.md"):
        path.write_text(re.sub(r"\]\(\.\./[^)]*\)", "]", path.read_text()))
    made = build(tmp_path, tmp_path / "site")
    assert made.returncode != 0 and "nowhere.md" in made.stdout + made.stderr and "no-such-heading" in made.stdout + made.stderr


def test_links_to_the_source_become_words():
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs" / "site_hooks.py")
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    text = "see [`top.py`](../hw/top.py) and [the units](../hw) or [results](results.md#how-to-read-it)"
    assert hooks.on_page_markdown(text, page=PAGE) == "see `top.py` and the units (`hw`) or [results](results.md#how-to-read-it)"
    with pytest.raises(PluginError, match=r"a\.md: links to \.\./hw/none\.py, which is not in the source tree"):
        hooks.on_page_markdown("[x](../hw/none.py)", page=PAGE)


def test_the_engines_tables_are_those_of_the_code():
    """Each has the default engine in its first column and another one beside it."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = {
        "on-chip data memory": lambda config: f"{config.onchip_bytes:,} bytes",
        "activation memory": lambda config: f"{config.activation_words * config.group:,} bytes",
        "line buffers": lambda config: f"{3 * config.line_words * config.group:,} bytes",
        "multipliers, array + depthwise": lambda config: f"= {config.multipliers}",
        "array: input channels x output channels x pixels": lambda config: f"{config.group} x {config.outputs} x {config.pixels}",
    }
    for name, words in rows.items():
        found = [line.replace("*", "").split("|")[2:4] for line in page.splitlines() if line.startswith(f"| {name} |")]
        for cells, other in zip(found, (ECP5_25F, ECP5_85F_WIDE), strict=False):
            for cell, config in zip(cells, (EngineConfig(), other), strict=True):
                assert words(config) in cell, (name, cell)
        assert found, name
