"""aiohttp's server with the TCP sockets under its connections at hand, so that each can be ended for certain."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Any, Collection, Dict, Optional

from aiohttp import web


class TcpServer(web.Server):
    """Knows every connection from its making to its loss, TLS and all."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
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
        """End every TCP connection but those of the transports to be kept."""
        for protocol, raw in list(self._raw.items()):
            if protocol.transport is not None and protocol.transport in kept:
                continue
            if isinstance(protocol.transport, asyncio.Transport):
                protocol.transport.abort()
            # A TLS transport that is being closed waits for the client, and its abort() may do nothing (Python 3.11).
            with suppress(OSError):
                raw.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """End every TCP connection, those too that were accepted a moment ago and are made only now."""
        self._ended = True
        self.abort()

    async def wait_empty(self, timeout: float) -> None:
        """Until there is no connection, or for ``timeout`` seconds."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._empty.wait(), timeout)
