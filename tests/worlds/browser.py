"""A headless Chromium, if the system has one."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


@contextmanager
def opened(page: Path, profile: Path) -> Iterator[Any]:
    """Open a page from disk; skip where Chromium, its driver or selenium is missing."""
    if not CHROMIUM or not DRIVER:
        pytest.skip("needs chromium and chromedriver from the system's packages")
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium, part of the test extra")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={profile}", "--window-size=1360,1000"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        driver.get(page.as_uri())
        yield driver
    finally:
        driver.quit()


def wait_for(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until something holds; fail after some seconds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "the page did not get there in time"
        time.sleep(0.05)


def choose(driver: Any, selector: str, value: str) -> None:
    driver.execute_script(
        "const box = document.querySelector(arguments[0]); box.value = arguments[1];"
        "box.dispatchEvent(new Event('change'))",
        selector,
        value,
    )
