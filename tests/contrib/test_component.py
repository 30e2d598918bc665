"""<cometchat-status> in a real Chromium: with a Flask application under gunicorn, and with answers of the tests."""

from __future__ import annotations

import contextlib
import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any, Callable, Dict, Iterator, List, Tuple, Type

import pytest

from cometchat.contrib.web import component_script
from cometchat.sandbox import Sandbox

from .flask_site import site
from .support import DEADLINE, UID, Server, account, eventually

#: Maximum time until the page shows a change, in milliseconds.
PROMISED = 1000

ORIGIN = "http://app.test"

REPORTED = ("connected", "connecting", "disconnected", "featureThrottled")

STATES = (*REPORTED, "noContact")

WORDS = {
    "connected": "Connected",
    "connecting": "Connecting\u2026",
    "disconnected": "Disconnected",
    "featureThrottled": "Connected, some features are off",
    "noContact": "No contact with the app",
}

#: Keeps the page's observations: [milliseconds, status] of each change, and the violations of the policy.
WITNESS = """
window.seen = []; window.details = []; window.violations = [];
document.addEventListener("statuschange", (event) => {
  window.seen.push([Date.now(), event.detail.status]);
  window.details.push(event.detail);
});
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""


@pytest.fixture(scope="module")
def context(browser: Any) -> Iterator[Any]:
    """One profile for all pages, since the light keeps nothing in a profile."""
    made = browser.new_context()
    made.set_default_timeout(DEADLINE * 1000)
    made.add_init_script(WITNESS)
    yield made
    made.close()


@pytest.fixture(scope="module")
def tab(context: Any) -> Any:
    """One tab for all tests, since the first page of a tab starts a process."""
    return context.new_page()


@pytest.fixture
def page(tab: Any) -> Iterator[Any]:
    """A tab as if it were new. An error of a script in it fails the test."""
    errors: List[str] = []

    def keep(error: Any) -> None:
        errors.append(str(error))

    tab.on("pageerror", keep)
    yield tab
    tab.remove_listener("pageerror", keep)
    tab.unroute_all()
    tab.emulate_media(color_scheme="null", reduced_motion="null", forced_colors="null")
    tab.goto("about:blank")
    assert errors == []


def shows(page: Any, status: str, timeout: float = DEADLINE) -> None:
    """Wait until the light has a status, and its words match."""
    page.locator(f'cometchat-status[status="{status}"]').first.wait_for(state="attached", timeout=timeout * 1000)
    assert page.get_by_role("status").first.text_content() == f"Chat: {WORDS[status]}"


def now(page: Any) -> int:
    """Return the milliseconds of the page's clock."""
    return int(page.evaluate("Date.now()"))


def shown_after(page: Any, begin: int, status: str) -> int:
    """Return the milliseconds from ``begin`` until the page showed the status."""
    shows(page, status)
    return min(int(at) - begin for at, shown in page.evaluate("window.seen") if shown == status and at >= begin)


# With a real application.


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def shared(sandbox: Sandbox) -> Iterator[Server]:
    # A text in AUTH_TOKEN. With an auth key the site would log in again after the service's refusal.
    settings = account(sandbox, AUTH_KEY=None, AUTH_TOKEN=sandbox.auth_token(UID), MAX_STREAMS=8)
    with site(settings, "--worker-class", "gthread", "--threads", "12") as running:
        yield running


def test_the_page_shows_loss_and_return_within_a_second(page: Any, shared: Server, sandbox: Sandbox) -> None:
    """After a drop and a refusal it shows "connecting", and after the return "connected", within a second each."""
    page.goto(shared.url)
    shows(page, "connected")
    begin = now(page)
    sandbox.refuse_connections()
    sandbox.drop_connections()
    assert shown_after(page, begin, "connecting") <= PROMISED
    assert page.evaluate("window.details.at(-1).reason.code") == "WS_CONNECTION_FAIL"
    sandbox.accept_connections()
    assert sandbox.wait_for_connections(1, DEADLINE)
    begin = now(page)
    shows(page, "connected", PROMISED / 1000)
    assert now(page) - begin <= PROMISED
    assert page.evaluate("window.details.at(-1).reason") is None
    assert page.evaluate("document.querySelector('cometchat-status').user") is None, "visitors do not see the uid"


def test_the_page_shows_throttling_within_a_second(page: Any, shared: Server, sandbox: Sandbox) -> None:
    """The second begins when the client is connected again, and knows the service's mode."""
    page.goto(shared.url)
    shows(page, "connected")
    connects = len(sandbox.attempts)
    sandbox.set_mode("LIMITED_TRANSIENT", push=True)
    assert sandbox.wait_until(lambda: len(sandbox.attempts) > connects and sandbox.connections == 1, DEADLINE)
    shows(page, "featureThrottled", PROMISED / 1000)
    connects = len(sandbox.attempts)
    sandbox.set_mode("DEFAULT", push=True)
    assert sandbox.wait_until(lambda: len(sandbox.attempts) > connects and sandbox.connections == 1, DEADLINE)
    shows(page, "connected", PROMISED / 1000)


def test_the_page_shows_a_refusal_and_a_disconnect_within_a_second(page: Any, shared: Server, sandbox: Sandbox) -> None:
    """A refused login ends the attempts: the page shows "disconnected" with the reason.

    After disconnect() there is no reason.
    """
    page.goto(shared.url)
    shows(page, "connected")
    sandbox.refuse_auth()
    sandbox.drop_connections()

    def refused() -> Any:  # the loss itself is also shown as disconnected, for a moment
        report = shared.get("/cometchat/status")
        return report["status"] == "disconnected" and (report["reason"] or {}).get("code") == "WS_AUTH_FAIL"

    assert eventually(refused)
    shows(page, "disconnected", PROMISED / 1000)
    assert page.evaluate("document.querySelector('cometchat-status').reason.code") == "WS_AUTH_FAIL"
    sandbox.heal()
    shared.fetch("/connect", "POST")
    shows(page, "connected")
    begin = now(page)
    shared.fetch("/disconnect", "POST")
    assert shown_after(page, begin, "disconnected") <= PROMISED
    assert page.evaluate("document.querySelector('cometchat-status').reason") is None
    shared.fetch("/connect", "POST")
    shows(page, "connected")


class Tabs:
    """Some tabs of one browser that show the same site, and their open streams."""

    def __init__(self, context: Any, url: str, count: int, script: str = "") -> None:
        self.streams: List[Any] = []
        self.pages: List[Any] = []
        for _ in range(count):
            page = context.new_page()
            page.add_init_script(script)
            page.on("request", lambda request: request.url.endswith("/events") and self.streams.append(request))
            page.on("requestfinished", self._end)
            page.on("requestfailed", self._end)
            page.goto(url)
            self.pages.append(page)

    def _end(self, request: Any) -> None:
        if request in self.streams:
            self.streams.remove(request)

    def close(self) -> None:
        for page in self.pages:
            page.close()

    def leader(self) -> Any:
        """Return the tab that has the one stream, or None if the number of streams is not one."""
        self.pages[-1].wait_for_timeout(20)  # passes the events of all tabs on
        return self.streams[0].frame.page if len(self.streams) == 1 else None


HIDE = """(away) => {
  Object.defineProperty(document, "hidden", {configurable: true, get: () => away});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_the_tabs_of_a_browser_share_a_stream(context: Any, shared: Server) -> None:
    """A browser has six connections for a host. With nine tabs, each tab still shows every change within a second.

    When the tab with the stream is hidden or closed, another tab opens a stream, and the others continue.
    """
    with contextlib.closing(Tabs(context, shared.url, 9)) as tabs:
        for page in tabs.pages:
            shows(page, "connected")
        first = eventually(tabs.leader)
        assert first is not None
        begin = now(first)
        shared.fetch("/disconnect", "POST")
        for page in tabs.pages:
            assert shown_after(page, begin, "disconnected") <= PROMISED
        shared.fetch("/connect", "POST")
        for page in tabs.pages:
            shows(page, "connected")
        first.evaluate(HIDE, True)
        second = eventually(lambda: tabs.leader() not in (None, first) and tabs.leader())
        assert second
        second.close()  # like a crash: the page has no time to report it
        tabs.pages.remove(second)
        tabs.streams = [request for request in tabs.streams if request.frame.page is not second]
        third = eventually(lambda: tabs.leader() not in (None, first, second) and tabs.leader())
        assert third
        first.evaluate(HIDE, False)
        shared.fetch("/disconnect", "POST")
        for page in tabs.pages:
            shows(page, "disconnected", PROMISED / 1000)
        assert tabs.leader() is third, "a tab that is visible again follows the tab with the stream"
        shared.fetch("/connect", "POST")
        for page in tabs.pages:
            shows(page, "connected")
            assert [status for _, status in page.evaluate("window.seen") if status == "noContact"] == []


def test_a_browser_without_channels_polls(context: Any, shared: Server) -> None:
    """A stream for each tab would take all connections of the browser. So the page polls the JSON, and no tab hangs."""
    with contextlib.closing(Tabs(context, shared.url, 7, "delete window.BroadcastChannel")) as tabs:
        for page in tabs.pages:
            shows(page, "connected")
        assert tabs.streams == []


def test_a_strict_policy_has_nothing_to_forbid(page: Any, shared: Server) -> None:
    """The page has no inline style or script, no eval, and no HTML from strings.

    A style that the test adds is a violation.
    """
    page.goto(shared.url)
    shows(page, "connected")
    assert page.evaluate("window.violations") == []
    dot = page.get_by_role("status").locator("[part=dot]")
    assert dot.evaluate("(dot) => getComputedStyle(dot).width") == "10px"  # the component's own style is in force
    page.evaluate("document.body.setAttribute('style', 'color: red')")
    assert eventually(lambda: page.evaluate("window.violations")) == ["style-src-attr"]


def test_an_app_that_is_killed_is_seen_and_its_return_too(page: Any, sandbox: Sandbox) -> None:
    """After kill -9 the page shows "no contact" within a second.

    After a new start it recovers by itself, on a stream.
    """
    arguments = ("--worker-class", "gthread", "--threads", "4")
    with site(account(sandbox), *arguments) as own:
        page.goto(own.url)
        shows(page, "connected")
        begin = now(page)
        own.kill()
        assert shown_after(page, begin, "noContact") <= PROMISED
        with page.expect_request("**/cometchat/events", timeout=DEADLINE * 1000):
            own.start()
        shows(page, "connected")


def test_before_sync_workers_the_page_asks_for_the_json(page: Any, sandbox: Sandbox) -> None:
    """Sync workers answer the stream with 204, and serve other requests.

    A change is shown at the next poll, after 0.3 s.
    """
    with site(account(sandbox), "--worker-class", "sync") as own:
        answers: List[Tuple[str, int]] = []
        page.on("response", lambda response: answers.append((response.url.rpartition("/")[2], response.status)))
        page.goto(own.url)
        shows(page, "connected")
        begin = now(page)
        own.fetch("/disconnect", "POST")
        assert shown_after(page, begin, "disconnected") <= PROMISED
        assert ("events", 204) in answers and ("status", 200) in answers
        assert answers.count(("events", 204)) == 1


# With answers of the tests.


def report(status: str, **more: Any) -> str:
    return json.dumps({"status": status, "since": "2026-01-02T03:04:05.678Z", "reason": None, "user": None, **more})


def serve(page: Any, body: str, answers: Dict[str, Callable[[Any], None]]) -> Dict[str, int]:
    """Open a page with this body, and answer its requests from the table.

    Returns the number of requests for each path.
    """
    asked: Dict[str, int] = {}
    head = '<meta charset="utf-8"><meta name="color-scheme" content="light dark"><script src="/x.js" defer></script>'

    def answer(route: Any) -> None:
        path = route.request.url[len(ORIGIN) :]
        asked[path] = asked.get(path, 0) + 1
        if path == "/":
            route.fulfill(body=f'<!doctype html><html lang="en">{head}<body>{body}', content_type="text/html")
        elif path == "/x.js":
            route.fulfill(body=component_script(), content_type="text/javascript")
        elif path in answers:
            answers[path](route)
        else:
            route.abort()

    page.route("**/*", answer)
    page.goto(ORIGIN)
    return asked


def as_json(text: str) -> Callable[[Any], None]:
    return lambda route: route.fulfill(body=text, content_type="application/json")


def as_events(text: str) -> Callable[[Any], None]:
    return lambda route: route.fulfill(body=text, content_type="text/event-stream")


EVERY_STATE = "".join(f'<cometchat-status status-src="/{state}"></cometchat-status>' for state in STATES)
ANSWERS = {f"/{state}": as_json(report(state)) for state in REPORTED}

MEASURE = """() => [...document.querySelectorAll("cometchat-status")].map((element) => {
  const part = (name) => getComputedStyle(element.shadowRoot.querySelector(`[part=${name}]`));
  return [element.status, part("text").color, part("base").backgroundColor, part("dot").borderBlockEndColor];
})"""


def luminance(color: str) -> float:
    channels = [int(value) / 255 for value in color[color.index("(") + 1 : -1].split(",")[:3]]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Return the contrast as WCAG 2 defines it, from 1 to 21."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_words_and_dots_have_contrast(page: Any) -> None:
    """In each state, the words have a contrast of at least 4.5 to 1, and the dot of 3 to 1 (WCAG 2 AA).

    Dark mode is dark.
    """
    serve(page, EVERY_STATE, ANSWERS)
    for state in STATES:
        shows_state(page, state)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        measured = page.evaluate(MEASURE)
        assert [state for state, *_ in measured] == list(STATES)
        for state, words, paper, dot in measured:
            assert contrast(words, paper) >= 4.5, (scheme, state)
            assert contrast(dot, paper) >= 3.0, (scheme, state)
            assert (luminance(paper) < 0.1) is (scheme == "dark")
    assert round(contrast("rgb(255, 255, 255)", "rgb(0, 0, 0)")) == 21


def shows_state(page: Any, state: str) -> None:
    page.locator(f'cometchat-status[status="{state}"]').first.wait_for(state="attached")


def test_screen_readers_get_the_words(page: Any) -> None:
    """The light is a polite live region with the role status.

    It has words for the dot's colour, also if only the dot is visible.
    """
    serve(page, '<cometchat-status compact status-src="/connected"></cometchat-status>', ANSWERS)
    shows(page, "connected")
    region = page.get_by_role("status")
    assert region.count() == 1
    assert (region.get_attribute("aria-live"), region.get_attribute("aria-atomic")) == ("polite", "true")
    assert region.locator("[part=dot]").get_attribute("aria-hidden") == "true"
    assert "Chat: Connected" in page.locator("body").aria_snapshot()
    assert region.locator("[part=text]").bounding_box()["width"] <= 1


def test_reduced_motion_is_respected(page: Any) -> None:
    """While connecting, the dot turns. It does not turn for users who asked their system for less motion."""
    serve(page, EVERY_STATE, ANSWERS)
    shows_state(page, "connecting")
    for motion, expected in {"reduce": [], "no-preference": ["turn"]}.items():
        page.emulate_media(reduced_motion=motion)
        moving = page.evaluate(
            "document.querySelector('[status=connecting]').shadowRoot.getAnimations().map((a) => a.animationName)"
        )
        assert moving == expected, motion


def test_forced_colours_are_kept(page: Any) -> None:
    """If the system forces its colours, words, frame and dot use them, and the dot is still a dot."""
    page.emulate_media(forced_colors="active", color_scheme="light")
    serve(page, EVERY_STATE, ANSWERS)
    shows_state(page, "connected")
    canvas, text = page.evaluate(
        "[...['Canvas', 'CanvasText']].map((color) => { document.body.style.backgroundColor = color;"
        " document.body.style.forcedColorAdjust = 'none'; return getComputedStyle(document.body).backgroundColor; })"
    )
    for _, words, paper, dot in page.evaluate(MEASURE):
        assert (words, paper, dot) == (text, canvas, text)


def test_the_reason_is_in_the_tooltip(page: Any) -> None:
    """The tooltip has the reason: the code, and a message if the site shows messages. It is empty while connected."""
    answer = {"now": report("disconnected", reason={"code": "AUTH_ERR_APIKEY_NOT_FOUND"})}
    serve(
        page,
        '<cometchat-status poll="0.25" status-src="/s"></cometchat-status>',
        {"/s": lambda route: as_json(answer["now"])(route)},
    )

    def shows_title(text: str) -> bool:
        return eventually(lambda: (page.get_by_role("status").get_attribute("title") or "") == text)

    assert shows_title("AUTH_ERR_APIKEY_NOT_FOUND")
    answer["now"] = report("connecting", reason={"code": "FAILED_TO_FETCH", "message": "x.example: refused"})
    assert shows_title("FAILED_TO_FETCH: x.example: refused")
    answer["now"] = report("connected")
    assert shows_title("")
    assert page.evaluate("document.querySelector('cometchat-status').status") == "connected"


def test_words_colours_and_parts_are_the_pages(page: Any) -> None:
    """Attributes set the words, custom properties the colours, and parts any style. None of it is read as HTML."""
    body = (
        "<style>cometchat-status { --cometchat-status-connected: rgb(1, 2, 3); }"
        "cometchat-status { --cometchat-status-background: rgb(4, 5, 6) }"
        "cometchat-status::part(text) { font-style: italic }</style>"
        '<cometchat-status status-src="/connected" label="Verbindung:" text-connected="<b>Verbunden">'
        "</cometchat-status>"
    )
    serve(page, body, ANSWERS)
    shows_state(page, "connected")
    assert page.get_by_role("status").text_content() == "Verbindung: <b>Verbunden"
    assert [row[2:] for row in page.evaluate(MEASURE)] == [["rgb(4, 5, 6)", "rgb(1, 2, 3)"]]
    assert page.locator("[part=text]").evaluate("(element) => getComputedStyle(element).fontStyle") == "italic"
    page.evaluate("document.querySelector('cometchat-status').setAttribute('text-connected', 'Da')")
    assert page.get_by_role("status").text_content() == "Verbindung: Da"


def test_the_page_gets_events_of_changes(page: Any) -> None:
    """statuschange is fired at each change, and not for a repeated status. Its detail has the report."""
    answers = iter([report("connecting", reason={"code": "C", "message": "M"}), report("connected", user="u")])
    last = report("connected", user="u")
    serve(
        page,
        '<cometchat-status status-src="/s" poll="0.25"></cometchat-status>',
        {"/s": lambda route: as_json(next(answers, last))(route)},
    )
    shows(page, "connected")
    with page.expect_request("**/s"):
        pass
    first, second = page.evaluate("window.details")
    assert first == {**json.loads(report("connecting")), "reason": {"code": "C", "message": "M"}, "previous": "waiting"}
    assert second == {**json.loads(report("connected")), "user": "u", "previous": "connecting"}


def test_another_answer_is_not_a_report(page: Any) -> None:
    """A login page, another JSON and an unknown status are not accepted as the application's report."""
    answers = {"/1": "<html>Please log in", "/2": "[]", "/3": '{"status": "wonderful"}'}
    lights = "".join(f'<cometchat-status status-src="{path}"></cometchat-status>' for path in answers)
    serve(page, lights, {path: as_json(answer) for path, answer in answers.items()})
    assert eventually(lambda: page.locator('cometchat-status[status="noContact"]').count() == 3)
    assert {status for _, status in page.evaluate("window.seen")} == {"noContact"}


def test_a_stream_that_ends_is_opened_again_without_a_word(page: Any) -> None:
    """Streams end after a while, to free their threads. The page shows no loss then."""
    stream = as_events("event: alive\ndata: 10\n\nevent: status\ndata: " + report("connected") + "\n\n")
    asked = serve(page, '<cometchat-status src="/e" status-src="/s"></cometchat-status>', {"/e": stream})
    shows(page, "connected")
    assert eventually(lambda: page.evaluate("1") and asked["/e"] >= 4)
    assert [status for _, status in page.evaluate("window.seen")] == ["connected"]
    assert "/s" not in asked


def test_two_lights_of_a_page_share_a_stream(page: Any) -> None:
    """A stream holds a thread of the server, so a page has one for all of its lights, and ends it with them."""
    stream = as_events("event: status\ndata: " + report("connected") + "\n\n")
    held: List[Any] = []
    asked = serve(page, '<cometchat-status src="/e"></cometchat-status>' * 2, {"/e": lambda r: held.append(r) or None})
    assert eventually(lambda: page.evaluate("1") and held)
    page.wait_for_timeout(300)  # the fact is that no second stream is opened, and there is no event to wait for
    assert asked["/e"] == 1
    stream(held[0])
    assert eventually(lambda: page.evaluate("document.querySelectorAll('[status=connected]').length")) == 2
    page.evaluate("document.querySelectorAll('cometchat-status').forEach((element) => element.remove())")
    before = asked["/e"]
    page.wait_for_timeout(600)  # again, there is no event to wait for
    assert asked["/e"] == before


def test_an_endless_poll_asks_once(page: Any) -> None:
    """A poll that no timer of a browser can wait for is a long one, and not a request after the other."""
    serve(page, '<cometchat-status status-src="/connected" poll="Infinity"></cometchat-status>', ANSWERS)
    shows_state(page, "connected")
    page.wait_for_timeout(500)  # no event tells that a request does not come
    assert page.evaluate("performance.getEntriesByName('http://app.test/connected').length") == 1


def test_a_hidden_page_asks_for_nothing(page: Any) -> None:
    """While the tab is hidden, no timer of the light runs. When it is visible again, the light asks at once."""
    serve(page, '<cometchat-status status-src="/connected" poll="0.25"></cometchat-status>', ANSWERS)
    shows(page, "connected")
    with page.expect_request("**/connected"):
        pass
    page.evaluate(HIDE, True)
    asked = page.evaluate("performance.getEntriesByType('resource').length")
    page.wait_for_timeout(800)  # three times the poll
    assert page.evaluate("performance.getEntriesByType('resource').length") - asked <= 1  # one was on its way
    with page.expect_request("**/connected", timeout=PROMISED):
        page.evaluate(HIDE, False)


class _Silent(BaseHTTPRequestHandler):
    """A page with a light. Its stream sends the status once, then nothing, and never ends."""

    light = '<cometchat-status src="/events"></cometchat-status>'

    def do_GET(self) -> None:
        if self.path == "/events":
            self._head("text/event-stream")
            self.wfile.write(
                b"event: alive\ndata: 0.3\n\nevent: status\ndata: " + report("connected").encode() + b"\n\n"
            )
            self.wfile.flush()
            self.server.released.wait(DEADLINE)  # type: ignore[attr-defined]
        elif self.path == "/":
            self._head("text/html")
            self.wfile.write(f'<script src="/x.js" defer></script>{self.light}'.encode())
        elif self.path == "/x.js":
            self._head("text/javascript")
            self.wfile.write(component_script().encode())
        else:
            self.send_error(404)

    def _head(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Do not log to standard error."""


class _Buffered(_Silent):
    """The same behind a proxy that keeps the stream back, but lets the JSON pass."""

    light = '<cometchat-status src="/events" status-src="/status" poll="0.3"></cometchat-status>'

    def do_GET(self) -> None:
        if self.path == "/events":
            self._head("text/event-stream")
            self.server.released.wait(DEADLINE)  # type: ignore[attr-defined]
        elif self.path == "/status":
            self._head("application/json")
            self.wfile.write(report("connected").encode())
        else:
            super().do_GET()


@contextlib.contextmanager
def served(page: Any, handler: Type[_Silent]) -> Iterator[None]:
    """Open the page of a server."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        server.released = threading.Event()  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.05,), name="silent", daemon=True).start()
        try:
            page.goto(f"http://127.0.0.1:{server.server_address[1]}/")
            yield
        finally:
            server.released.set()  # type: ignore[attr-defined]
            page.goto("about:blank")
            server.shutdown()


def test_a_silent_app_is_no_contact(page: Any) -> None:
    """A stream that is open but silent for two and a half times the limit is shown as "no contact"."""
    with served(page, _Silent):
        shows_state(page, "connected")
        shows_state(page, "noContact")
        (connected, _), (silent, _) = page.evaluate("window.seen")[:2]
        assert 700 <= silent - connected <= 750 + PROMISED
        assert page.evaluate("window.seen[1][1]") == "noContact"


def test_behind_a_proxy_that_keeps_the_stream_back_the_page_polls(page: Any) -> None:
    """A stream without its first sign of life counts as no stream: the page asks for the JSON."""
    with served(page, _Buffered):
        with page.expect_request("**/events"):
            shows_state(page, "connected")  # the second request comes while the page polls
        assert [status for _, status in page.evaluate("window.seen")] == ["connected"]
