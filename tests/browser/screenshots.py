"""Pictures of the console for the documents: `make screenshots`, out of a running demo in headless Chromium."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.browser.visits import DESK
from tests.e2e.processes import HEATWATCH
from tests.peers import free_port, wait_for

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
START_S, NOTICE_S, SETTLE_MS = 60.0, 180.0, 1500


def main() -> None:
    """Start a demo, wait for the notice of its stop, and take the pictures."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        command = [*HEATWATCH, "demo", "--port", str(port), "--data-dir", f"{folder}/demo", "--json"]
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            wait_for(lambda: _answers(base), START_S)
            wait_for(lambda: _asked(base, "notices?state=published")["total"], NOTICE_S)
            _take(base)
        finally:
            running.terminate()
            running.wait(30)


def _take(base: str) -> None:
    stop = _asked(base, "tickets?kind=heat_outage")["items"][0]["id"]
    room = next(one["point_id"] for one in _asked(base, "tickets?kind=low_temperature")["items"] if one["point_id"])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        page = browser.new_page(viewport={"width": 1600, "height": 900})
        _picture(page, f"{base}/", "now.png")
        page.set_viewport_size({"width": DESK[0], "height": DESK[1]})
        _picture(page, f"{base}/tickets/{stop}", "ticket.png")
        _picture(page, f"{base}/rooms/{room}?days=1", "room.png")
        _picture(page, f"{base}/public/notices", "notice.png")
        _picture(page, f"{base}/language/en?next=/", "now-en.png")
        browser.close()


def _picture(page: Page, url: str, name: str) -> None:
    page.goto(url)
    page.wait_for_timeout(SETTLE_MS)
    page.screenshot(path=PICTURES / name)
    sys.stdout.write(f"docs/pictures/{name}\n")


def _answers(base: str) -> bool:
    try:
        return bool(_asked(base, "tickets")["total"])
    except OSError:
        time.sleep(0.5)
        return False


def _asked(base: str, path: str) -> Any:
    with urllib.request.urlopen(f"{base}/api/v1/{path}", timeout=20) as answer:  # noqa: S310 - our own
        return json.loads(answer.read())


if __name__ == "__main__":
    main()
