"""Headless Chromium: the machine's own, driven by Playwright."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

#: Milliseconds that anything may take: machines that test have other things to do.
PATIENCE = 240_000

NAMES = ("chromium", "chromium-browser", "chromium-headless-shell", "google-chrome", "google-chrome-stable")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser. `.ci/test-packages` installs what is missing where it may; a test is left out only where that did not work."""
    if subprocess.run([sys.executable, "-m", "playwright", "--version"], check=False, capture_output=True).returncode:
        pytest.skip("Playwright's node does not start here: it needs libatomic.so.1, which `.ci/test-packages` could not install.")
    path = os.environ.get("CHROME") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("There is no Chromium on the PATH, and `.ci/test-packages` could not install it.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, timeout=PATIENCE, args=["--disable-gpu", "--disable-dev-shm-usage"])
        yield browser
        browser.close()
