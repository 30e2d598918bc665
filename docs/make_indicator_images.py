"""Takes the pictures of <cometchat-status> in docs/images, with Playwright and the chromium on PATH.

Run it after a change of the component, with the Python of ``make test``. It needs no server: what the pages ask for is
answered here.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, Route, sync_playwright

from cometchat.contrib.web import component_script

IMAGES = Path(__file__).resolve().parent / "images"
ORIGIN = "http://app.test"

STATES = ("connected", "connecting", "disconnected", "featureThrottled", "noContact")

SHEET = """<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<style>
  body {{ margin: 0; padding: 20px 24px; width: max-content; background: {paper}; color: {ink} }}
  body {{ font: 13px/1.4 system-ui, sans-serif }}
  table {{ border-collapse: collapse }} td {{ padding: 7px 22px 7px 0 }} code {{ font-size: 12.5px; opacity: .85 }}
</style>
<script src="/cometchat-status.js" defer></script></head><body><table>{rows}</table></body></html>"""
ROW = """<tr><td><code>{state}</code></td><td><cometchat-status status-src="/{state}"></cometchat-status></td>
<td><cometchat-status status-src="/{state}" compact></cometchat-status></td></tr>"""


def answer(route: Route) -> None:
    path = route.request.url[len(ORIGIN) + 1 :]
    if path == "cometchat-status.js":
        route.fulfill(body=component_script(), content_type="text/javascript")
    elif path in ("light", "dark"):
        paper, ink = ("#ffffff", "#1f2328") if path == "light" else ("#0d1117", "#e6edf3")
        rows = "".join(ROW.format(state=state) for state in STATES)
        route.fulfill(body=SHEET.format(rows=rows, paper=paper, ink=ink), content_type="text/html")
    elif path in STATES[:4]:
        report = {"status": path, "since": None, "reason": None, "user": None}
        route.fulfill(body=json.dumps(report), content_type="application/json")
    else:
        route.abort()


def take(page: Page, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.goto(f"{ORIGIN}/{scheme}")
    for state in STATES:
        page.locator(f'cometchat-status[status="{state}"]').first.wait_for()
    page.locator("body").screenshot(path=IMAGES / f"indicator-{scheme}.png")
    if scheme == "light":
        for state in STATES:
            light = page.locator(f'cometchat-status[status="{state}"]').first
            light.screenshot(path=IMAGES / f"indicator-{state}.png")


def main() -> int:
    chromium = shutil.which("chromium")
    if chromium is None:
        print("no chromium on PATH: on Debian, apt-get install chromium", file=sys.stderr)
        return 1
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(device_scale_factor=2, viewport={"width": 900, "height": 500})
        page.route("**/*", answer)
        for scheme in ("light", "dark"):
            take(page, scheme)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
