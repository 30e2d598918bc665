"""The front door: every request and every upgrade comes in here, and meets the standing faults. Loop thread only."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import time
from typing import Dict, List, Mapping, Optional, Tuple
from urllib.parse import urlsplit

from aiohttp import web
from multidict import CIMultiDict

from ._journal import Attempt, Request
from ._listener import Listener
from ._state import State
from ._tcp_server import TcpServer
from .chat import _errors as errors
from .chat._errors import ApiError
from .http._api import HttpApi, envelope, refusal
from .http._request import Call, bare_path
from .socket._connection import Connection
from .socket._hub import Hub

logger = logging.getLogger("cometchat.sandbox")

#: Bytes. What a client may send in one message.
MAX_MESSAGE_SIZE = 16 * 1024 * 1024
#: Seconds that a client has to answer a close frame.
CLOSE_TIMEOUT = 2.0

_WILDCARDS = ("", "0.0.0.0", "::")


class Service:
    """One run of the service, from a start to a stop."""

    def __init__(self, state: State, listener: Listener, host: str, tls: Optional[ssl.SSLContext]) -> None:
        self._state = state
        self._listener = listener
        self._host = host
        self._tls = tls
        self.hub = Hub(state)
        self._api = HttpApi(state, self.hub)
        #: Every WebSocket, authenticated or not.
        self.connections: List[Connection] = []
        self._hanging: List[asyncio.Transport] = []
        self._server: Optional[TcpServer] = None
        self._healed = asyncio.Event()

    async def open(self) -> None:
        """Take connections, unless they are to be refused."""
        self._server = TcpServer(self._answer, access_log=None, logger=logger)
        if not self._state.faults.refusing_connections:
            await self.accept()

    async def accept(self) -> None:
        """Listen, where it does not."""
        assert self._server is not None
        await self._listener.listen(self._server, self._tls)

    async def refuse(self) -> None:
        """Stop listening, and end every TCP connection that is not a WebSocket's."""
        assert self._server is not None
        await self._listener.pause()
        self._listener.refuse()
        self._server.abort(kept=[connection.transport for connection in self.connections])

    async def close(self) -> None:
        """Stop listening, and end every TCP connection."""
        assert self._server is not None
        await self._listener.pause()
        self._listener.close()
        for connection in list(self.connections):
            connection.abort(reset=False)
        self._release()
        self._server.end()
        for _ in range(3):  # in these turns of the loop, what was accepted a moment ago is made, and ended
            await asyncio.sleep(0)
        await self._server.wait_empty(CLOSE_TIMEOUT)

    def drop(self, reset: bool) -> int:
        """End the TCP connection of every WebSocket and of every upgrade that hangs; how many."""
        count = len(self.connections) + len(self._hanging)
        for connection in list(self.connections):
            connection.abort(reset)
        self._release()
        return count

    def heal(self) -> None:
        """Let go of what hangs: it is dropped, so that nothing of the fault is left."""
        self._release()

    def _release(self) -> None:
        for transport in self._hanging:
            transport.abort()
        self._hanging.clear()
        self._healed.set()
        self._healed = asyncio.Event()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._upgrade(request)
        arrival = time.monotonic()
        if self._state.faults.hanging_http:
            self._note_request(request, 0, arrival)
            return await self._hang(request)
        status, text, headers = await self._respond(request)
        await asyncio.sleep(self._state.faults.latency)
        self._note_request(request, status, arrival)
        headers.update(_cors(request))
        return web.Response(status=status, text=text if status != 204 else None, headers=headers)

    async def _respond(self, request: web.BaseRequest) -> Tuple[int, str, Dict[str, str]]:
        """Status, body and headers of the answer."""
        as_json = {"Content-Type": "application/json; charset=utf-8"}
        if request.method == "OPTIONS":
            # Never a failure that a test asked for: a browser would not even show its status to the page.
            return 204, "", {}
        body = (await request.read()).decode("utf-8", "replace")
        failure = self._state.faults.take_http_failure(bare_path(request.rel_url.raw_path))
        if failure is not None:
            headers = {} if failure.retry_after is None else {"Retry-After": str(failure.retry_after)}
            if isinstance(failure.body, str):
                return failure.status, failure.body, {"Content-Type": "text/html; charset=utf-8", **headers}
            data = errors.of_status(failure.status).envelope if failure.body is None else failure.body
            return failure.status, json.dumps(data), {**as_json, **headers}
        try:
            return 200, envelope(self._api.answer(Call(request, body, self._address(request)))), as_json
        except ApiError as error:
            return error.status, refusal(error), as_json
        except Exception:
            logger.exception("%s %s failed", request.method, request.path)
            failed = errors.internal_error()
            return failed.status, refusal(failed), as_json

    async def _upgrade(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = CIMultiDict(request.headers)
        self._state.journal.note_attempt(Attempt(time.monotonic(), request.rel_url.raw_path, headers))
        faults = self._state.faults
        if faults.hanging_upgrades:
            return await self._hang(request)
        await asyncio.sleep(faults.latency)
        if faults.upgrade_refusal is not None:
            status, retry_after = faults.upgrade_refusal.status, faults.upgrade_refusal.retry_after
            return web.json_response(
                errors.of_status(status).envelope,
                status=status,
                headers={} if retry_after is None else {"Retry-After": str(retry_after)},
            )
        transport = request.transport
        if not isinstance(transport, asyncio.Transport):
            return web.Response()  # the client has gone, and nobody reads it
        websocket = web.WebSocketResponse(timeout=CLOSE_TIMEOUT, compress=False, max_msg_size=MAX_MESSAGE_SIZE)
        try:
            await websocket.prepare(request)
        except ConnectionError:
            return web.Response()  # the client has gone meanwhile
        connection = Connection(websocket, transport, self._state, self.hub)
        self.connections.append(connection)
        try:
            await connection.serve()
        finally:
            self.connections.remove(connection)
            self._state.journal.changed()
        return websocket

    async def _hang(self, request: web.BaseRequest) -> web.StreamResponse:
        if isinstance(request.transport, asyncio.Transport):
            self._hanging.append(request.transport)
        await self._healed.wait()
        return web.Response(status=503)  # to nobody: the connection has been dropped

    def _address(self, request: web.BaseRequest) -> Tuple[str, int, bool]:
        host = self._host
        if host in _WILDCARDS:
            # Bound to every interface: the client can reach the one that it has just reached. A name of the real
            # service that a tester has mapped to here means this machine.
            asked = _host_name(request.headers.get("Host", ""))
            host = "127.0.0.1" if not asked or asked.endswith(".cometchat.io") else asked
        return host, self._listener.port, self._tls is not None

    def _note_request(self, request: web.BaseRequest, status: int, arrival: float) -> None:
        path, headers, query = request.rel_url.raw_path, CIMultiDict(request.headers), request.rel_url.query
        self._state.journal.note_request(Request(arrival, request.method, path, status, headers, query))


def _host_name(address: str) -> str:
    """The name of a Host header, without its port; empty where there is none to be read."""
    try:
        return urlsplit(f"//{address}").hostname or ""
    except ValueError:
        return ""


def _cors(request: web.BaseRequest) -> Mapping[str, str]:
    """Headers that let a page of any origin make the call and read the answer."""
    headers = {
        "Access-Control-Allow-Origin": request.headers.get("Origin", "*"),
        "Access-Control-Expose-Headers": "Retry-After",
        "Vary": "Origin",
    }
    if "Origin" in request.headers:
        headers["Access-Control-Allow-Credentials"] = "true"
    if request.method == "OPTIONS":
        headers["Access-Control-Allow-Methods"] = "GET, POST, PUT, PATCH, DELETE, OPTIONS"
        headers["Access-Control-Allow-Headers"] = request.headers.get("Access-Control-Request-Headers", "*")
        headers["Access-Control-Max-Age"] = "600"
        if "Access-Control-Request-Private-Network" in request.headers:
            # Asked by browsers before a page from the internet may call a server on loopback.
            headers["Access-Control-Allow-Private-Network"] = "true"
    return headers
