"""The listening socket: it keeps one port while the sandbox runs, also while the sandbox refuses connections."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
import ssl
from typing import Callable, Optional
from urllib.parse import urlsplit

#: Hosts that mean every interface of this machine.
WILDCARDS = ("", "0.0.0.0", "::")


def host_name(address: str) -> str:
    """Return the name in a Host header, without its port. Empty if the header cannot be read."""
    try:
        return urlsplit(f"//{address}").hostname or ""
    except ValueError:
        return ""


def is_ip(name: str) -> bool:
    """Return whether a host is an IP address."""
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(name))
    return False


class Listener:
    """Bound from ``bind()`` to ``close()``, and listening from ``listen()`` to ``refuse()``."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        #: The wanted port. After the first bind it is the real one, and later binds take it too.
        self.port = port
        self._bound: Optional[socket.socket] = None
        self._server: Optional[asyncio.Server] = None

    def bind(self) -> None:
        """Take the port without listening on it, so that the kernel refuses connections.

        :raises OSError: another process has the port.
        """
        bound = socket.socket(socket.AF_INET6 if ":" in self._host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            if os.name == "posix":
                # Without this option, connections that have just ended keep the port for a minute.
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((self._host, self.port))
            bound.setblocking(False)
        except BaseException:
            bound.close()
            raise
        self._bound = bound
        self.port = bound.getsockname()[1]

    async def listen(self, protocol: Callable[[], asyncio.Protocol], tls: Optional[ssl.SSLContext]) -> None:
        """Accept connections from now on."""
        bound, self._bound = self._bound, None
        if bound is None:
            return
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(protocol, sock=bound, ssl=tls)

    async def pause(self) -> None:
        """Stop accepting, and wait until asyncio has made the connections that were accepted just before.

        asyncio makes them one turn of the loop later. If the server is closed by then, it drops the socket without
        closing it.
        """
        if self._server is None:
            return
        loop = asyncio.get_running_loop()
        for listening in self._server.sockets:
            with contextlib.suppress(NotImplementedError):  # the proactor loop of Windows
                loop.remove_reader(listening.fileno())
        for _ in range(2):
            await asyncio.sleep(0)

    def refuse(self) -> None:
        """Close the listening socket, so that the kernel refuses connections. Another socket keeps the port."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self.bind()

    def close(self) -> None:
        """Release the port."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._bound is not None:
            self._bound.close()
            self._bound = None
