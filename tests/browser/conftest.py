"""A real browser, and windows of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.browser.visits import WALL, Visit, Visitor

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give a headless Chromium. It ends with a module: while it runs, no other test can start an event loop."""
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield made
        made.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visitor]:
    """Give a function that opens a window: `visit(base, language="en", size=PHONE)`."""
    opened: list[BrowserContext] = []

    def open_one(base: str, language: str = "zh", size: tuple[int, int] = WALL) -> Visit:
        width, height = size
        context = browser.new_context(viewport={"width": width, "height": height})
        context.add_cookies([{"name": "lang", "value": language, "url": base}])
        opened.append(context)
        return Visit(context.new_page(), base)

    yield open_one
    for context in opened:
        context.close()
