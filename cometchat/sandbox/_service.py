"""The front door: every request and every upgrade arrives here, and meets the standing faults. Loop thread only."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import time
from typing import Callable, Collection, Dict, List, NamedTuple, Optional, Union

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ._api_paths import bare_path
from ._app import Address, App
from ._journal import Attempt, Request
from ._listener import WILDCARDS, Listener, host_name
from ._tcp_server import TcpServer
from .chat import ApiError
from .chat._errors import asked_for, bad_request, refusal
from .faults._faults import HttpFailure
from .http import (
    Api,
    ApiRequest,
    Limits,
    RateLimiter,
    Uploads,
    cors_headers,
    error_text,
    retry_headers,
)
from .page import Page
from .socket import Connection, Hub

logger = logging.getLogger("cometchat.sandbox")

#: Maximum size of a client's WebSocket message, in bytes.
MAX_MESSAGE_SIZE = 16 * 1024 * 1024
#: Time that a client has to answer a close frame, in seconds.
CLOSE_TIMEOUT = 2.0

_JSON = {"Content-Type": "application/json; charset=utf-8"}
#: Users upload the files. Opened in a browser, a file must not act as the sandbox's own page.
_OF_FILES = {
    "Content-Security-Policy": "script-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
}
#: Errors for a body that is not multipart/form-data.
_NO_FORM = (ValueError, HttpProcessingError)


class Answer(NamedTuple):
    """An HTTP answer, without the headers that every answer has."""

    status: int
    content: Union[str, bytes]
    headers: Dict[str, str]


class Service:
    """One run of the service, from a start to a stop."""

    def __init__(
        self,
        app: App,
        hub: Hub,
        listener: Listener,
        host: str,
        tls: Optional[ssl.SSLContext],
        origins: Collection[str],
        uploads: Uploads,
        save: Callable[[], None],
    ) -> None:
        self._app = app
        self._hub = hub
        self._listener = listener
        self._host = host
        self._tls = tls
        self._origins = origins
        self._api = Api(app, uploads)
        self._limiter = RateLimiter(app.faults)
        self._uploads = uploads
        self._save = save
        #: Every WebSocket, authenticated or not.
        self.connections: List[Connection] = []
        self._hanging: List[asyncio.Transport] = []
        self._server: Optional[TcpServer] = None
        self._page = Page(app, self, "http" if tls is None else "https", host)
        self._healed = asyncio.Event()

    async def open(self) -> None:
        """Accept connections, unless a fault refuses them."""
        self._server = TcpServer(self._handle, access_log=None, logger=logger)
        self._app.webhook.open()
        if not self._app.faults.refusing_connections:
            await self.accept()

    async def accept(self) -> None:
        """Listen. No-op while it listens."""
        assert self._server is not None
        await self._listener.listen(self._server, self._tls)

    async def refuse(self) -> None:
        """Stop listening, and end every TCP connection that has no WebSocket. The page's connections stay."""
        assert self._server is not None
        await self._listener.pause()
        self._listener.refuse()
        kept = [connection.transport for connection in self.connections]
        self._server.abort(kept=[*kept, *self._page.transports])

    async def close(self) -> None:
        """Stop listening, and end every TCP connection."""
        assert self._server is not None
        await self._listener.pause()
        self._listener.close()
        for connection in list(self.connections):
            connection.abort(reset=False)
        self.drop_hanging()
        self._server.end()
        for _ in range(3):  # turns of the loop in which connections that were accepted just before are made and ended
            await asyncio.sleep(0)
        await self._server.wait_empty(CLOSE_TIMEOUT)
        await self._app.webhook.close(CLOSE_TIMEOUT)

    def drop(self, reset: bool) -> int:
        """End the TCP connection of every WebSocket, and those that hang. Return their number."""
        count = len(self.connections) + sum(not transport.is_closing() for transport in self._hanging)
        for connection in list(self.connections):
            connection.abort(reset)
        self.drop_hanging()
        return count

    def drop_hanging(self) -> None:
        """Drop the connections that hang, so that nothing is left of the fault."""
        for transport in self._hanging:
            transport.abort()
        self._hanging.clear()
        self._healed.set()
        self._healed = asyncio.Event()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.transport is None:
            return web.Response()  # the connection has already ended: aiohttp can't read the body
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._upgrade(request)
        page = await self._page.answer(request)
        if page is not None:
            self._has_saved()
            return page
        if self._app.faults.refusing_connections and isinstance(request.transport, asyncio.Transport):
            # a connection that the page kept, and that its browser also uses for other requests
            request.transport.abort()
            return web.Response()
        arrival = time.monotonic()
        if self._app.faults.hanging_http:
            self._record(request, 0, arrival)
            return await self._hang(request)
        try:
            if request.headers.get("Expect", "").lower() == "100-continue":
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            answer = await self._answer(request)
        except ConnectionError:
            return web.Response()  # the client has ended in its request, and does not read the answer
        if not self._has_saved() and request.method != "OPTIONS":
            answer = _refused(refusal("ERR_MISSION_FAILED"))
        await asyncio.sleep(self._app.faults.latency)
        self._record(request, answer.status, arrival)
        headers = {**answer.headers, **cors_headers(request.method, request.headers, self._origins)}
        if isinstance(answer.content, bytes):
            return web.Response(status=answer.status, body=answer.content, headers=headers)
        text = answer.content if answer.status != 204 else None
        return web.Response(status=answer.status, text=text, headers=headers)

    def _has_saved(self) -> bool:
        """Save the state. Returns False, and logs the error, if it can't be written, such as on a full disk."""
        try:
            self._save()
        except Exception:
            logger.exception("the state can't be saved")
            return False
        return True

    async def _answer(self, request: web.BaseRequest) -> Answer:
        if request.method == "OPTIONS":
            # Never a failure that a test has set: a browser would not show its status to the page.
            return Answer(204, "", {})
        path = request.rel_url.raw_path
        file = self._uploads.get(path) if request.method == "GET" else None
        if file is not None:
            return Answer(200, file[1], {"Content-Type": file[0], **_OF_FILES})
        if request.method == "POST" and self._uploads.expects(path):
            return await self._receive(request)
        try:
            asked = await self._read(request)
        except ApiError as error:
            return _refused(error)
        except web.HTTPRequestEntityTooLarge:
            return _refused(ApiError(413, "ERR_BAD_REQUEST", "The body is too large."))
        except _NO_FORM:
            return _refused(bad_request("body", "is not multipart/form-data"))
        now = time.time()
        allowed, limits = self._limiter.take(now)
        failure = self._app.faults.take_http_failure(bare_path(path))
        if failure is not None:
            answer = _failed(failure, now)
        elif not allowed:
            answer = _refused(refusal("ERR_TOO_MANY_REQUESTS"))
        else:
            answer = self._ask(asked)
        return Answer(answer.status, answer.content, {**limits, **answer.headers})

    async def _receive(self, request: web.BaseRequest) -> Answer:
        """Take a file, as the storage service does: without the API's headers, envelopes and rate limit."""
        now = time.time()
        failure = self._app.faults.take_http_failure(request.rel_url.raw_path)
        if failure is not None:
            await request.read()
            return _failed(failure, now)
        try:
            status, text = await self._uploads.receive(request, now)
        except web.HTTPRequestEntityTooLarge:
            status, text = 413, ""
        except _NO_FORM:
            status, text = 400, ""
        return Answer(status, text, {"Content-Type": "application/xml"})

    def _ask(self, request: ApiRequest) -> Answer:
        try:
            return Answer(200, self._api.answer(request), dict(_JSON))
        except ApiError as error:
            return _refused(error)
        except Exception:
            logger.exception("%s %s failed", request.method, request.path)
            return _refused(refusal("ERR_MISSION_FAILED"))

    async def _read(self, request: web.BaseRequest) -> ApiRequest:
        address = self._address(request)
        text, form = "", None
        if request.content_type == "multipart/form-data":
            form = await self._uploads.read(request, address.url, Limits.of(self._app.features.parameters))
        else:
            text = (await request.read()).decode("utf-8", "replace")
        url = request.rel_url
        extension = self._app.answers.extension_of(host_name(request.headers.get("Host", "")))
        query = {name: url.query.getall(name) for name in url.query}
        return ApiRequest(request.method, url.raw_path, request.headers, query, text, form, address, extension)

    async def _upgrade(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = request.headers.copy()
        journal = self._app.journal
        journal.add(journal.attempts, Attempt(time.monotonic(), request.rel_url.raw_path, headers))
        faults = self._app.faults
        if faults.hanging_upgrades:
            return await self._hang(request)
        await asyncio.sleep(faults.latency)
        if faults.upgrade_refusal is not None:
            status, retry_after = faults.upgrade_refusal.status, faults.upgrade_refusal.retry_after
            return web.json_response(
                asked_for(status).envelope, status=status, headers=_retry_headers(status, retry_after, time.time())
            )
        transport = request.transport
        if not isinstance(transport, asyncio.Transport):
            return web.Response()  # the client has closed the connection, and does not read the answer
        websocket = web.WebSocketResponse(timeout=CLOSE_TIMEOUT, compress=False, max_msg_size=MAX_MESSAGE_SIZE)
        try:
            await websocket.prepare(request)
        except ConnectionError:
            return web.Response()  # the client closed the connection during the upgrade
        connection = Connection(websocket, transport, self._app, self._hub, self._has_saved)
        self.connections.append(connection)
        try:
            await connection.serve()
        finally:
            self.connections.remove(connection)
            journal.changed()
        return websocket

    async def _hang(self, request: web.BaseRequest) -> web.StreamResponse:
        if isinstance(request.transport, asyncio.Transport):
            self._hanging.append(request.transport)
        await self._healed.wait()
        return web.Response(status=503)  # never sent: the connection is dropped before

    def _address(self, request: web.BaseRequest) -> Address:
        host = self._host
        if host in WILDCARDS:
            # Bound to every interface: the client can reach the address that it has just used. If a tester has mapped a
            # name of the real service to this machine, that name means this machine.
            asked = host_name(request.headers.get("Host", ""))
            host = "127.0.0.1" if not asked or asked.endswith(".cometchat.io") else asked
        return Address(host, self._listener.port, self._tls is not None)

    def _record(self, request: web.BaseRequest, status: int, arrival: float) -> None:
        path, headers, query = request.rel_url.raw_path, request.headers.copy(), request.rel_url.query.copy()
        journal = self._app.journal
        journal.add(journal.requests, Request(arrival, request.method, path, status, headers, query))


def _refused(error: ApiError) -> Answer:
    return Answer(error.status, error_text(error), dict(_JSON))


def _failed(failure: HttpFailure, now: float) -> Answer:
    """Return the answer that a test has set."""
    headers = {**_retry_headers(failure.status, failure.retry_after, now), **failure.headers}
    if isinstance(failure.body, str):
        return Answer(failure.status, failure.body, {"Content-Type": "text/html; charset=utf-8", **headers})
    data = asked_for(failure.status, failure.code).envelope if failure.body is None else failure.body
    return Answer(failure.status, json.dumps(data), {**_JSON, **headers})


def _retry_headers(status: int, retry_after: Union[None, int, float, str], now: float) -> Dict[str, str]:
    """Return ``Retry-After`` as a test has set it. For seconds and the status 429, add ``X-Rate-Limit-Reset``."""
    if retry_after is None:
        return {}
    headers = retry_headers(retry_after, now) if status == 429 and isinstance(retry_after, (int, float)) else {}
    return {**headers, "Retry-After": str(retry_after)}
