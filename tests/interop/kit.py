"""The UI Kit in a browser, as a user operates it, and the records of its requests."""

from __future__ import annotations

import re
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Callable, List, NamedTuple, Tuple
from urllib.parse import urlencode, urlsplit

from playwright.sync_api import Browser, Locator, TimeoutError, expect

from cometchat.sandbox import Request, Sandbox

#: Maximum wait for the expected content of the page, in milliseconds.
DEADLINE = 30_000
#: Maximum wait for a button that shows only under the mouse, in milliseconds.
SOON = 5_000
#: Maximum number of times that the mouse is moved there.
ATTEMPTS = 4

ME, OTHER, THIRD = "cometchat-uid-1", "cometchat-uid-2", "cometchat-uid-3"

#: The endpoint of everything that goes over the WebSocket.
FRAMES = "WebSocket"

#: The placeholder for a name in a path of the API, by the part before it.
_NAMES = (
    (r"/users/[^/]+", "/users/{uid}"),
    (r"/groups/[^/]+", "/groups/{guid}"),
    (r"/messages/\d+", "/messages/{id}"),
    (r"/members/[^/]+", "/members/{uid}"),
    (r"/bannedusers/[^/]+", "/bannedusers/{uid}"),
    (r"/reactions/[^/]+", "/reactions/{reaction}"),
    (r"/uploads/[^/]+", "/uploads/{id}"),
    (r"/files/\d+/.+", "/files/{name}"),
)


class Call(NamedTuple):
    """A request of the page, with the status of its answer. The status is 0 without an answer."""

    endpoint: str
    query: Tuple[Tuple[str, str], ...]
    status: int


class Pages(ThreadingHTTPServer):
    """Serves the built app on a free port of this machine."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), lambda *args: _Handler(*args, directory=str(folder)))
        threading.Thread(target=self.serve_forever, name="interop-pages", daemon=True).start()


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


class Kit:
    """One browser window with the app in it, logged in as ME."""

    def __init__(self, browser: Browser, sandbox: Sandbox, pages: Pages) -> None:
        self.sandbox = sandbox
        context = browser.new_context(viewport={"width": 1400, "height": 860})
        self.page = context.new_page()
        self.page.set_default_timeout(DEADLINE)
        expect.set_options(timeout=DEADLINE)
        self.list, self.chat, self.side = (self.page.locator(f"#{name}") for name in ("list", "chat", "side"))
        asked = {"host": urlsplit(sandbox.url).netloc, "app": sandbox.app_id, "key": sandbox.auth_key, "uid": ME}
        self._url = f"http://127.0.0.1:{pages.server_port}/?{urlencode(asked)}"
        #: Errors on the console, and exceptions that no code of the page caught. Refused requests, which Chromium
        #: reports there as well, are in the calls instead.
        self.errors: List[str] = []
        self._beyond: List[Call] = []
        self.page.on("console", lambda message: self._add_error(message.type, message.text))
        self.page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))
        self.page.on("requestfailed", lambda request: self._add_failed(request.method, request.url))

    def start(self) -> None:
        """Load the page, and wait until it shows its conversations and its socket is open."""
        self.page.goto(self._url)
        expect(self.list.locator(".cometchat-conversations__item").first).to_be_visible()
        self.page.wait_for_function("CometChat.getConnectionStatus() === 'connected'")

    # Requests of the page.

    def take_calls(self) -> List[Call]:
        """Return the page's requests and frames since the records were cleared, to the sandbox and to other hosts."""
        calls = [
            Call(_endpoint(request.method, _whole(request)), tuple(request.query.items()), request.status)
            for request in self.sandbox.requests
            if request.method != "OPTIONS"
        ]
        calls += [Call(FRAMES, (), 200) for _ in self.sandbox.frames]
        calls += self._beyond
        self._beyond.clear()
        return calls

    def asked(self, method: str, ending: str) -> None:
        """Wait until the sandbox has answered a request of the page whose host and path end in this way."""
        found = self.sandbox.wait_until(
            lambda: any(call.method == method and _whole(call).endswith(ending) for call in self.sandbox.requests),
            DEADLINE / 1000,
        )
        assert found, f"the page did not ask for {method} {ending}"

    def _add_error(self, type: str, text: str) -> None:
        if type == "error" and not text.startswith("Failed to load resource"):
            self.errors.append(text)

    def _add_failed(self, method: str, url: str) -> None:
        parts = urlsplit(url)
        if parts.hostname != "127.0.0.1":
            self._beyond.append(Call(f"{method} https://{parts.netloc}{parts.path}", (), 0))

    # Actions of a user.

    def tab(self, name: str) -> None:
        """Show one of the app's lists."""
        self.page.locator("nav").get_by_text(name, exact=True).click()

    def open(self, name: str) -> None:
        """Open a conversation of the list."""
        self.tab("Chats")
        self.list.locator(".cometchat-conversations__item-title").get_by_text(name, exact=True).click()
        expect(self.chat.locator(".cometchat-message-bubble").first).to_be_visible()

    def write(self, text: str, where: Locator) -> None:
        """Type a message, and send it with Enter."""
        where.locator("[contenteditable=true]").click()
        self.page.keyboard.type(text)
        self.page.keyboard.press("Enter")

    def send(self, text: str, where: Locator) -> None:
        """Write a message, and wait until it is shown with its receipt."""
        self.write(text, where)
        expect(bubble(text, where).locator(".cometchat-receipts-sent")).to_be_visible()

    def press(self, button: str, text: str, where: Locator) -> None:
        """Point at a message, and press one of the buttons that appear."""
        found = bubble(text, where)

        def press() -> None:
            found.locator(".cometchat-message-bubble__body-wrapper").first.hover()
            found.get_by_label(button, exact=True).click(timeout=SOON)

        self._until_done(press)

    def choose(self, text: str, *items: str) -> None:
        """Choose from the menu of a message, and from the menu inside it."""

        def choose() -> None:
            self.press("More options", text, self.chat)
            self.menu(*items)

        self._until_done(choose)

    def choose_in_header(self, item: str) -> None:
        """Choose from the menu of the open conversation."""
        self.chat.locator(".cometchat-message-header__trailing").get_by_role("button").last.click()
        self.menu(item)

    def menu(self, *items: str) -> None:
        """Choose from the menu that is open."""
        *submenus, last = items
        for item in submenus:
            self.page.get_by_role("menuitem", name=item).first.hover(timeout=SOON)
        self.page.get_by_role("menuitem", name=last, exact=True).first.click(timeout=SOON)

    def _until_done(self, act: Callable[[], None]) -> None:
        """Try again if the list has scrolled away under the mouse, which closes a menu."""
        for _ in range(ATTEMPTS - 1):
            try:
                return act()
            except TimeoutError:
                self.page.keyboard.press("Escape")
        act()

    def confirm(self, button: str) -> None:
        """Press a button of the dialog that asks for a confirmation."""
        self.page.locator(".cometchat-confirm-dialog").get_by_role("button", name=button, exact=True).click()

    def conversation(self, name: str) -> Locator:
        """Point at a conversation of the list, so that its button appears, and return the conversation."""
        found = self.list.locator(".cometchat-conversations__item").filter(has_text=name).first
        found.hover()
        return found

    def says(self, text: str) -> None:
        """Wait until the page shows a text, such as that of a toast."""
        expect(self.page.get_by_text(text).first).to_be_visible()


def bubble(text: str, where: Locator) -> Locator:
    """Return the newest message with this text."""
    return where.locator(".cometchat-message-bubble-wrapper").filter(has_text=text).last


def violated(violation: str) -> str:
    """Return the endpoint that a violation of the sandbox names."""
    found = re.match(r"([A-Z]+) (/[^:]*):", violation)
    return _endpoint(*found.groups()) if found else FRAMES


def _whole(request: Request) -> str:
    """Return a request's path, after the host if the host is an extension's."""
    host = request.headers.get("Host", "").partition(":")[0]
    return f"{host}{request.path}" if host.endswith(".localhost") else request.path


def _endpoint(method: str, path: str) -> str:
    path = re.sub(r"^/v3(\.0)?(?=/)", "", path)
    for name, shown in _NAMES:
        path = re.sub(name, shown, path)
    return f"{method} {path}"
