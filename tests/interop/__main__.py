"""``python tests/interop [screen ...]``: run the vendor's React UI Kit on the sandbox, and print its calls.

Not a test: it needs npm's packages, which are not in this repository. pytest collects nothing here.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from typing import Dict, List, NamedTuple, Tuple

from kit import Call, Kit, Pages, violated
from playwright.sync_api import Browser, Error, expect, sync_playwright
from screens import SCREENS, fill
from vendor_app import BUILD, build_app, install_commands

from cometchat.sandbox import Sandbox

#: Refusals that are the service's own answers: a conversation without a message is not accessible.
EXPECTED = {("GET /users/{uid}/conversation", 404), ("GET /groups/{guid}/conversation", 404)}


class Result(NamedTuple):
    """The result of one screen: its calls, and everything that went wrong."""

    screen: str
    calls: List[Call]
    violations: List[str]
    problems: List[str]

    @property
    def good(self) -> bool:
        return not self.violations and not self.problems and all(map(_served, self.calls))


def main() -> int:
    """Drive the screens. Returns 1 if a call was not served, violated the protocol, or was an error on the console."""
    parser = argparse.ArgumentParser(prog="interop", description=__doc__)
    parser.add_argument("screens", nargs="*", metavar="screen", help=f"of: {', '.join(SCREENS)}; default: all")
    parser.add_argument("--screenshot", metavar="FILE", help="where to write a picture of the main screen")
    given = parser.parse_args()
    unknown = [name for name in given.screens if name not in SCREENS]
    if unknown:
        parser.error(f"no such screen: {', '.join(unknown)}")
    install_commands()
    pages = Pages(build_app())
    with sync_playwright() as playwright:
        # Without Chromium's own sandbox, which root cannot have, and with our certificate.
        options = ["--no-sandbox", "--ignore-certificate-errors"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        if given.screenshot:
            take_picture(browser, pages, given.screenshot)
            return 0
        with Sandbox(tls=True) as sandbox:
            fill(sandbox)
            kit = Kit(browser, sandbox, pages)
            results = [drive(kit, name) for name in given.screens or SCREENS]
    print(report(results))
    return 0 if all(result.good for result in results) else 1


def drive(kit: Kit, name: str) -> Result:
    """Load the page, and run one screen."""
    print(f"{name} ...", flush=True)
    kit.sandbox.clear_records()
    kit.errors.clear()
    problems = []
    try:
        kit.start()
        SCREENS[name](kit)
    except (AssertionError, Error) as error:
        picture = BUILD / f"{name.replace(' ', '-')}.png"
        kit.page.screenshot(path=str(picture))
        problems.append(f"{str(error).strip().splitlines()[0]} (see {picture})")
    problems += [f"console: {text}" for text in kit.errors]
    return Result(name, kit.take_calls(), kit.sandbox.violations, problems)


def take_picture(browser: Browser, pages: Pages, path: str) -> None:
    """Write a picture of the conversations, an open conversation, and a thread in it."""
    with Sandbox(tls=True) as sandbox:
        fill(sandbox)
        kit = Kit(browser, sandbox, pages)
        kit.start()
        for name in ("presence and typing", "reactions", "replies", "threads"):
            SCREENS[name](kit)
        kit.page.mouse.move(700, 500)  # away from elements with a tooltip
        expect(kit.page.locator(".cometchat-toast")).to_have_count(0)
        kit.page.screenshot(path=path)


def report(results: List[Result]) -> str:
    """Return the table, with the problems below it."""
    screens: Dict[Tuple[str, str, str], List[str]] = {}
    for result in results:
        for endpoint in {call.endpoint for call in result.calls}:
            calls = [call for call in result.calls if call.endpoint == endpoint]
            violations = sum(endpoint == violated(violation) for violation in result.violations)
            row = (endpoint, _refusal(calls) or "yes", str(violations or ""))
            screens.setdefault(row, []).append(result.screen)
    table = [("endpoint", "screen", "served", "violation")]
    for (endpoint, served, violation), shown in sorted(screens.items()):
        more = f" and {len(shown) - 1} more" if len(shown) > 1 else ""
        table.append((endpoint, shown[0] + more, served, violation))
    widths = [max(len(line[column]) for line in table) for column in range(4)]
    text = "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in table)
    wrong = [f"{each.screen}: {what}" for each in results for what in (*each.violations, *each.problems)]
    good = sum(result.good for result in results)
    return "\n".join([text, "", *wrong, f"{good} of {len(results)} screens work"])


def _served(call: Call) -> bool:
    return 0 < call.status < 400 or (call.endpoint, call.status) in EXPECTED


def _refusal(calls: List[Call]) -> str:
    """Return the status of a refused call with its query, since a parameter may be the reason.

    Empty if all were served.
    """
    refused = sorted((call.status, call.query) for call in calls if not _served(call))
    if not refused:
        return ""
    status, query = refused[0]
    return " ".join([str(status or "no"), *(f"{name}={value}" for name, value in query if len(value) < 20)])


if __name__ == "__main__":
    sys.exit(main())
