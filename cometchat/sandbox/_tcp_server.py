"""aiohttp's server that knows the TCP sockets of its connections, so that it can end each for certain."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Any, Collection, Dict, Optional

from aiohttp import web

from .http import LARGEST_BODY


class TcpServer(web.Server):
    """Knows every connection, with TLS or without, from its start to its end."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, request_factory=_make_request, **options)
        self._raw: Dict[web.RequestHandler, Any] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self._ended = False

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._raw[handler] = transport.get_extra_info("socket")
        self._empty.clear()
        if self._ended:
            transport.abort()

    def connection_lost(self, handler: web.RequestHandler, exc: Optional[BaseException] = None) -> None:
        super().connection_lost(handler, exc)
        self._raw.pop(handler, None)
        if not self._raw:
            self._empty.set()

    def abort(self, kept: Collection[Any] = ()) -> None:
        """End every TCP connection, except those of the kept transports."""
        for protocol, raw in list(self._raw.items()):
            if protocol.transport is not None and protocol.transport in kept:
                continue
            if isinstance(protocol.transport, asyncio.Transport):
                protocol.transport.abort()
            # A TLS transport that is closing waits for the client, and its abort() may have no effect (Python 3.11).
            with suppress(OSError):
                raw.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """End every TCP connection, also those that were accepted just before and that asyncio makes only now."""
        self._ended = True
        self.abort()

    async def wait_empty(self, timeout: float) -> None:
        """Wait until every connection has ended, for ``timeout`` seconds at most."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._empty.wait(), timeout)


def _make_request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=LARGEST_BODY)
