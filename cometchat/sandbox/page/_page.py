"""The page at ``/``: users who are online, conversations, and buttons for faults. Loop thread only."""

from __future__ import annotations

import asyncio
import contextlib
import json
from importlib.resources import files
from typing import Any, Awaitable, Callable, Dict, List, Optional
from weakref import WeakSet

from aiohttp import web

from .._app import App
from .._listener import host_name, is_ip
from ..chat import ApiError
from ..chat._history import Message
from ..faults import RunningService

#: Time for which the page's button refuses connections, in seconds. It ends by itself, since the page needs a
#: connection to end it.
REFUSAL = 10.0
#: The latency of the page's button, and the minimum time between two updates, in seconds.
LATENCY, PAUSE = 1.0, 0.1
#: Maximum number of conversations on the page. It shows the latest.
MOST_CONVERSATIONS = 50

#: By path: a file beside this module, and its type.
_FILES = {
    "/": ("index.html", "text/html"),
    "/page/style.css": ("style.css", "text/css"),
    "/page/script.js": ("script.js", "text/javascript"),
}

#: No other origin may read the page, show it in a frame, or add anything to it.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Page:
    """The page of one run of the service.

    :param scheme: ``http`` or ``https``.
    :param host: the host on which the sandbox listens.
    """

    def __init__(self, app: App, service: RunningService, scheme: str, host: str) -> None:
        self._app = app
        self._service = service
        self._scheme = scheme
        self._host = host.lower()
        self._refusal: Optional[asyncio.Future[None]] = None
        #: The TCP connections of browsers that show the page.
        self.transports: WeakSet[Any] = WeakSet()
        acts = (self._drop, self._refuse, self._throttle, self._revoke, self._silence, self._latency, self._heal)
        self._acts: Dict[str, Callable[[], Awaitable[str]]] = {act.__name__[1:]: act for act in acts}

    async def answer(self, request: web.BaseRequest) -> Optional[web.StreamResponse]:
        """Answer a request for the page, or return None for any other request."""
        path = request.rel_url.raw_path
        if path != "/" and not path.startswith("/page/"):
            return None
        address = request.headers.get("Host", "")
        name = host_name(address)
        # Another name may point to this server (DNS rebinding). An IP address may not.
        if name not in (self._host, "localhost") and not is_ip(name):
            return _text(403, "Open this page by an IP address, as localhost, or by the sandbox's own host name.")
        self.transports.add(request.transport)
        if request.method in ("GET", "HEAD") and path in _FILES:
            name, kind = _FILES[path]
            headers = {**_HEADERS, "Content-Type": f"{kind}; charset=utf-8"}
            return web.Response(body=files(__package__).joinpath(name).read_bytes(), headers=headers)  # or from a zip
        if request.method == "GET" and path == "/page/events":
            return await self._stream(request)
        act = self._acts.get(path.removeprefix("/page/faults/"))
        if request.method != "POST" or act is None:
            return None
        # A page of another origin can post, but its browser names that origin.
        if request.headers.get("Origin") != f"{self._scheme}://{address}":
            return _text(403, "Only the sandbox's own page may do that.")
        text = await act()
        self._app.journal.changed()
        return _text(200, text)

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        """Send the state now and after each change, until the browser disconnects."""
        response = web.StreamResponse(headers={**_HEADERS, "Content-Type": "text/event-stream"})
        loop, news, shown = asyncio.get_running_loop(), asyncio.Event(), ""

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has just ended, and the stream with it
                loop.call_soon_threadsafe(news.set)

        self._app.journal.listen(tell)
        try:
            await response.prepare(request)
            while True:
                news.clear()
                state = json.dumps(self._state())
                if state != shown:
                    await response.write(f"data: {state}\n\n".encode())
                shown = state
                await asyncio.sleep(PAUSE)
                await news.wait()
        except ConnectionError:
            return response
        finally:
            self._app.journal.unlisten(tell)

    def _state(self) -> Dict[str, Any]:
        chat, faults = self._app.chat, self._app.faults
        standing = {
            "refuse": faults.refusing_connections,
            "throttle": faults.settings.get("MODE", "DEFAULT") != "DEFAULT",
            "silence": faults.ignoring_pings,
            "latency": faults.latency > 0,
        }
        users = map(chat.users.shown, chat.users.all)
        return {
            "app": self._app.app_id,
            "connections": sum(connection.uid is not None for connection in self._service.connections),
            "messages": chat.history.count,
            "users": [{name: user[name] for name in ("uid", "name", "status")} for user in users],
            "conversations": self._conversations(),
            "faults": [name for name, stands in standing.items() if stands],
        }

    def _conversations(self) -> List[Dict[str, str]]:
        latest: Dict[str, Message] = {}
        for message in self._app.chat.history.newest():
            latest.setdefault(message["conversationId"], message)
            if len(latest) == MOST_CONVERSATIONS:
                break
        return [self._line(message) for message in latest.values()]

    def _line(self, message: Message) -> Dict[str, str]:
        sender = self._name("user", message["sender"])
        receiver = self._name(message["receiverType"], message["receiver"])
        title = receiver if message["receiverType"] == "group" else " and ".join(sorted([sender, receiver]))
        data = message["data"]
        what = data.get("text") or f"{message['category']} {data.get('action', message['type'])}"
        return {"title": title, "last": f"{sender}: {what}"}

    def _name(self, kind: str, identifier: str) -> str:
        chat = self._app.chat
        try:
            return chat.groups.get(identifier).name if kind == "group" else chat.users.get(identifier).name
        except ApiError:
            return identifier  # deleted

    # The buttons, by their names. Each returns the text that the page shows.

    async def _drop(self) -> str:
        return f"Dropped {self._service.drop(reset=True)} connections."

    async def _refuse(self) -> str:
        self._app.faults.refusing_connections = True
        await self._service.refuse()
        if self._refusal is None or self._refusal.done():
            self._refusal = asyncio.ensure_future(self._accept_later())
        return f"Refuses connections for {REFUSAL:g} s; WebSockets stay up."

    async def _accept_later(self) -> None:
        await asyncio.sleep(REFUSAL)
        self._app.faults.refusing_connections = False
        await self._service.accept()
        self._app.journal.changed()

    async def _throttle(self) -> str:
        settings = self._app.faults.settings
        throttled = settings.get("MODE", "DEFAULT") != "DEFAULT"
        settings["MODE"] = "DEFAULT" if throttled else "LIMITED_TRANSIENT"
        return f"MODE is {settings['MODE']}; clients read it from the settings within a minute."

    async def _revoke(self) -> str:
        return f"Revoked {self._app.chat.credentials.revoke_tokens(None)} auth tokens."

    async def _silence(self) -> str:
        self._app.faults.ignoring_pings = not self._app.faults.ignoring_pings
        return "Sends no pongs." if self._app.faults.ignoring_pings else "Sends pongs again."

    async def _latency(self) -> str:
        self._app.faults.latency = 0.0 if self._app.faults.latency else LATENCY
        return f"Answers {self._app.faults.latency:g} s late."

    async def _heal(self) -> str:
        if self._refusal is not None:
            self._refusal.cancel()
        self._app.faults.clear()
        self._service.drop_hanging()
        await self._service.accept()
        return "Healed. Revoked tokens stay revoked."


def _text(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, headers=_HEADERS)
