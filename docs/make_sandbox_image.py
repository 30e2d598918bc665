"""Takes the picture of the sandbox's page in docs/images, with Playwright and the chromium on PATH.

Run it after a change of the page, with the Python of ``make test``.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from cometchat import Client
from cometchat.sandbox import SAMPLE, Sandbox

IMAGE = Path(__file__).resolve().parent / "images" / "sandbox-page.png"

ONLINE = ("cometchat-uid-1", "cometchat-uid-3", "cometchat-uid-4")


def main() -> int:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        print("no chromium on PATH: on Debian, apt-get install chromium", file=sys.stderr)
        return 1
    with Sandbox() as sandbox, sync_playwright() as playwright:
        sandbox.fill(SAMPLE)
        clients = [Client(sandbox.app_id, sandbox.settings()) for _ in ONLINE]
        for client, uid in zip(clients, ONLINE):
            client.login(uid, sandbox.auth_key)
        sandbox.wait_for_connections(len(ONLINE))
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 900, "height": 680})
        page.goto(sandbox.url)
        page.get_by_role("button", name="Latency").click()
        page.locator('[aria-pressed="true"]').wait_for()
        page.screenshot(path=IMAGE)
        browser.close()
        for client in clients:
            client.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
