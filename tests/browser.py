"""Headless Chromium: the machine's own, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

#: Milliseconds that anything may take: machines that test have other things to do.
PATIENCE = 240_000

NAMES = ("chromium", "chromium-browser", "chromium-headless-shell", "google-chrome", "google-chrome-stable")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser. `.ci/browser` installs one where it may; a test is left out only where that did not work."""
    path = os.environ.get("CHROME") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("There is no Chromium on the PATH, and `.ci/browser` could not install it.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, timeout=PATIENCE, args=["--disable-gpu", "--disable-dev-shm-usage"])
        yield browser
        browser.close()
