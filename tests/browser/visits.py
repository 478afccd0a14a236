"""What a test in a real browser needs: a window that someone looks through, and an application that is served."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from axe_playwright_python.sync_playwright import Axe
from fastapi import FastAPI
from playwright.sync_api import ConsoleMessage, Page, Request

from api.server import ApiRole

AXE = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "resultTypes": ["violations"]}
WALL, DESK, PHONE = (1920, 1080), (1366, 768), (360, 780)


@dataclass
class Visit:
    """A page that someone looks at, what went wrong on it, and which addresses it asked for."""

    page: Page
    base: str
    wrong: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", self._requested)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.wrong.append(message.text)

    def _requested(self, request: Request) -> None:
        self.asked.append(request.url)

    def go(self, path: str) -> Page:
        """Open a page of the console."""
        self.page.goto(self.base + path)
        return self.page

    @property
    def strangers(self) -> list[str]:
        """Addresses of other hosts that were asked for."""
        return [url for url in self.asked if not url.startswith((self.base, "data:", "blob:"))]


Visitor = Callable[..., Visit]


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve an application on this machine; its address."""
    role, stop = ApiRole(app, "127.0.0.1", 0), threading.Event()
    base = f"http://127.0.0.1:{role.bind()}"
    thread = threading.Thread(target=role.run, args=(stop,), name="api of a browser's test")
    thread.start()
    try:
        if not role.wait_started(20):
            raise TimeoutError(base)
        yield base
    finally:
        stop.set()
        thread.join()


def barriers(page: Page) -> str:
    """Return what axe-core finds that keeps someone from using a page (WCAG A and AA); empty where nothing does."""
    found = Axe().run(page, options=AXE)
    return str(found.generate_report()) if found.violations_count else ""
