"""The page at /: live in a real Chromium, and closed to every other origin."""

from __future__ import annotations

import json
import socket
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest
import requests

from cometchat.sandbox import SAMPLE, Sandbox
from cometchat.sandbox._listener import Listener
from cometchat.sandbox.page import _page

ONE, TWO = "cometchat-uid-1", "cometchat-uid-2"

#: In seconds.
TIMEOUT = 5.0

#: The width of a phone.
PHONE = {"width": 360, "height": 740}


def post(sandbox: Sandbox, fault: str, **headers: Any) -> requests.Response:
    """Press a button, from the sandbox's own page unless the headers say otherwise."""
    return requests.post(
        f"{sandbox.url}/page/faults/{fault}", headers={"Origin": sandbox.url, **headers}, timeout=TIMEOUT
    )


def state(sandbox: Sandbox) -> Any:
    """Return the first event of the page's stream."""
    with requests.get(f"{sandbox.url}/page/events", stream=True, timeout=TIMEOUT) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        for line in answer.iter_lines():
            if line.startswith(b"data: "):
                return json.loads(line[len("data: ") :])


def test_the_state(sandbox: Sandbox, make_client: Callable[[Sandbox], Any]) -> None:
    """The state has the online users, and all conversations, the latest first, each with its last message."""
    sandbox.fill(SAMPLE)
    sandbox.call(ONE, TWO)
    make_client(sandbox).connect(TWO)
    shown = state(sandbox)
    assert [user["uid"] for user in shown["users"] if user["status"] == "available"] == [TWO]
    assert shown["connections"] == 1
    titles = [each["title"] for each in shown["conversations"]]
    assert titles[:2] == ["Andrew Joseph and George Alan", "Andrew Joseph and Susan Marie"]
    assert shown["conversations"][0]["last"] == "Andrew Joseph: call initiated"
    assert {"title": "Support", "last": "John Paul: Ticket 17 waits for an answer."} in shown["conversations"]
    assert shown["faults"] == []


FAULTS: Dict[str, Tuple[Callable[[Any], Any], Any, Any]] = {
    "throttle": (lambda faults: faults.settings.get("MODE"), "LIMITED_TRANSIENT", "DEFAULT"),
    "silence": (lambda faults: faults.ignoring_pings, True, False),
    "latency": (lambda faults: faults.latency, 1.0, 0.0),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_button_sets_a_fault_and_takes_it_back(sandbox: Sandbox, fault: str) -> None:
    """The first press sets a fault, and the second ends it. heal ends it too. The page shows the standing faults."""
    value, on, off = FAULTS[fault]
    post(sandbox, fault)
    assert value(sandbox._faults) == on
    assert state(sandbox)["faults"] == [fault]
    post(sandbox, fault)
    assert value(sandbox._faults) == off
    post(sandbox, fault)
    assert post(sandbox, "heal").status_code == 200
    assert value(sandbox._faults) in (off, None)
    assert state(sandbox)["faults"] == []


def test_drop_and_revoke(sandbox: Sandbox, client: Any) -> None:
    """Drop ends the WebSockets, and revoke voids the auth tokens. The answer has their number."""
    client.connect(ONE)
    sandbox.auth_token(ONE)
    assert post(sandbox, "drop").text == "Dropped 1 connections."
    assert sandbox.wait_for_connections(0)
    assert post(sandbox, "revoke").text == "Revoked 1 auth tokens."


def test_refuse_ends_by_itself(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """After this time, connections are accepted again."""
    monkeypatch.setattr(_page, "REFUSAL", 0.05)
    assert post(sandbox, "refuse").status_code == 200
    assert sandbox.wait_until(lambda: not sandbox._faults.refusing_connections)
    assert requests.get(sandbox.url, timeout=TIMEOUT).status_code == 200


def test_only_the_page_gets_through_a_refusal(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's connection stays, for the page alone. heal ends the refusal, and cancels its later end."""
    monkeypatch.setattr(_page, "REFUSAL", 600.0)
    with requests.Session() as browser:

        def press(fault: str) -> int:
            url = f"{sandbox.url}/page/faults/{fault}"
            return browser.post(url, headers={"Origin": sandbox.url}, timeout=TIMEOUT).status_code

        assert press("refuse") == 200
        assert sandbox._service is not None
        first = sandbox._service._page._refusal
        assert browser.get(sandbox.url, timeout=TIMEOUT).status_code == 200
        with pytest.raises(requests.ConnectionError):
            requests.get(sandbox.url, timeout=TIMEOUT)
        assert press("heal") == press("refuse") == 200
        with pytest.raises(requests.ConnectionError):
            browser.get(f"{sandbox.url}/settings", timeout=TIMEOUT)
    assert first is not None and first.cancelled()
    assert sandbox.requests == []
    sandbox.heal()
    assert requests.get(sandbox.url, timeout=TIMEOUT).status_code == 200


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://localhost:3000", "https://127.0.0.1"])
def test_another_origin_is_refused(sandbox: Sandbox, origin: Any) -> None:
    """A page of another origin, also one of this machine, changes nothing. Nor does a request without an origin."""
    answer = post(sandbox, "latency", Origin=origin)
    assert answer.status_code == 403
    assert sandbox._faults.latency == 0.0
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/page/events", "/page/faults/latency"])
def test_a_foreign_name_is_refused(sandbox: Sandbox, path: str) -> None:
    """Another name for this address (DNS rebinding) shows nothing and changes nothing, though it is one origin."""
    host = f"evil.example:{sandbox.port}"
    headers = {"Host": host, "Origin": f"http://{host}"}
    method = "POST" if "faults" in path else "GET"
    answer = requests.request(method, sandbox.url + path, headers=headers, timeout=TIMEOUT)
    assert answer.status_code == 403
    assert "localhost" in answer.text and "cometchat-uid" not in answer.text
    assert sandbox._faults.latency == 0.0


def test_a_host_name_with_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Browsers send the name of the machine in lower case, however --host spells it."""
    monkeypatch.setattr(Listener, "bind", bind_here)
    with Sandbox("My-Machine.local") as named:
        url = f"http://127.0.0.1:{named.port}/"
        assert requests.get(url, headers={"Host": "my-machine.local"}, timeout=TIMEOUT).status_code == 200


def bind_here(listener: Listener) -> None:
    """Bind the listener to this machine, which need not have the name."""
    listener._bound = socket.create_server(("127.0.0.1", 0))
    listener._bound.setblocking(False)
    listener.port = listener._bound.getsockname()[1]


def test_a_look_at_its_head(sandbox: Sandbox) -> None:
    """A tool that waits for the sandbox asks with HEAD, and gets the answer to GET without its body."""
    for path in ("/", "/page/script.js"):
        got, asked = (requests.request(method, sandbox.url + path, timeout=TIMEOUT) for method in ("GET", "HEAD"))
        assert (asked.status_code, asked.content) == (200, b"")
        assert asked.headers["Content-Length"] == str(len(got.content))


def test_the_page_is_not_a_request_of_the_api(sandbox: Sandbox) -> None:
    """The page is not in the records, and faults do not affect it. Other paths below /page have no answer."""
    sandbox.fail_http(500)
    answer = requests.get(sandbox.url, timeout=TIMEOUT)
    assert answer.status_code == 200 and sandbox.requests == []
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    sandbox.heal()
    for path in ("/page", "/page/nothing", "/page/../_page.py"):
        assert requests.get(sandbox.url + path, timeout=TIMEOUT).status_code == 400


# In a browser.


@pytest.fixture
def open_page(browser: Any, sandbox: Sandbox) -> Iterator[Callable[..., Any]]:
    """Opens the page in a separate context. An error of the page fails the test."""
    errors: List[str] = []
    contexts = []

    def make(**options: Any) -> Any:
        contexts.append(browser.new_context(**options))
        contexts[-1].set_default_timeout(30_000)
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if "Policy" in message.text else None)
        page.goto(sandbox.url)
        page.get_by_text("live", exact=True).wait_for()
        return page

    yield make
    for context in contexts:
        context.close()
    assert errors == []


def test_it_is_live(open_page: Callable[..., Any], sandbox: Sandbox, make_client: Callable[[Sandbox], Any]) -> None:
    """A user who connects, a message and a fault appear without a reload, and a button works."""
    page = open_page()
    page.get_by_text("None yet").wait_for()
    client = make_client(sandbox)
    client.connect(ONE)
    page.locator(".online", has_text="Andrew Joseph").wait_for()
    sandbox.send_message(ONE, TWO, "<b>Hello</b>")
    page.get_by_text("Andrew Joseph: <b>Hello</b>", exact=True).wait_for()
    latency = page.get_by_role("button", name="Latency")
    assert latency.get_attribute("aria-pressed") == "false"
    latency.focus()
    page.keyboard.press("Enter")
    page.get_by_text("Answers 1 s late.").wait_for()
    page.locator('[data-fault="latency"][aria-pressed="true"]').wait_for()
    page.get_by_role("button", name="Heal all").click()
    page.locator('[data-fault="latency"][aria-pressed="false"]').wait_for()
    page.get_by_role("button", name="Drop connections").click()
    page.get_by_text("Dropped 1 connections.").wait_for()
    page.locator(".offline", has_text="Andrew Joseph").wait_for()


#: The contrast of every element with its own text. WCAG 2 (AA) sets the minimum.
CONTRAST = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const [r, g, b] = color.map((part) => (part /= 255) <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const back = (node) => {
    for (; node; node = node.parentElement) {
      const color = rgb(getComputedStyle(node).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const texts = [...document.querySelectorAll("body *")].filter((node) =>
    [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim()));
  return texts.map((node) => {
    const [a, b] = [light(rgb(getComputedStyle(node).color).slice(0, 3)), light(back(node))].sort((x, y) => y - x);
    return [node.textContent, (a + 0.05) / (b + 0.05)];
  });
}"""


def test_a_phone_can_read_it(open_page: Callable[..., Any], sandbox: Sandbox) -> None:
    """At a phone's width nothing is cut.

    Each text has enough contrast, in both schemes, and each button fits a finger.
    """
    sandbox.fill(SAMPLE)
    sandbox.add_user("long", "A" * 100)
    page = open_page(viewport=PHONE)
    page.get_by_role("button", name="Silence pongs").click()
    page.locator('[aria-pressed="true"]').wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is (scheme == "dark")
        weak = [(text, ratio) for text, ratio in page.evaluate(CONTRAST) if ratio < 4.5]
        assert weak == [], scheme
    boxes = [button.bounding_box() for button in page.get_by_role("button").all()]
    assert len(boxes) == 7 and all(box["height"] >= 44 for box in boxes)
    assert page.locator("html").get_attribute("lang") == "en"
    assert [each.text_content() for each in page.get_by_role("heading").all()][0] == "CometChat sandbox"


def test_a_browser_finds_the_extensions(open_page: Callable[..., Any], sandbox: Sandbox) -> None:
    """The name of an extension's host leads to the sandbox, without a name server: the sandbox's refusal arrives."""
    answer = open_page().goto(f"http://polls-us.localhost:{sandbox.port}/v2/vote")
    assert answer.json()["error"]["code"] == "AUTH_ERR_EMPTY_APPID"


def test_it_says_when_the_sandbox_is_gone(open_page: Callable[..., Any], sandbox: Sandbox) -> None:
    """After a stop the page shows no contact. After a start it is live again by itself."""
    page = open_page()
    page.evaluate("window.kept = true")
    sandbox.stop()
    page.get_by_text("no contact").wait_for()
    sandbox.start()
    page.get_by_text("live", exact=True).wait_for()
    assert page.evaluate("window.kept")
