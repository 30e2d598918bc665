"""The listening socket: one port, kept while the sandbox runs, whether it accepts connections or refuses them."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
import ssl
from typing import Callable, Optional
from urllib.parse import urlsplit

#: Hosts that stand for every interface of this machine.
WILDCARDS = ("", "0.0.0.0", "::")


def host_name(address: str) -> str:
    """Return the name in a Host header, without its port; empty if it cannot be read."""
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
    """Bound from ``bind()`` to ``close()``; listening from ``listen()`` to ``refuse()``."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        #: The wanted port; once bound, the real one, which later binds take too.
        self.port = port
        self._bound: Optional[socket.socket] = None
        self._server: Optional[asyncio.Server] = None

    def bind(self) -> None:
        """Take the port without listening on it: connections are refused.

        :raises OSError: another process has the port.
        """
        bound = socket.socket(socket.AF_INET6 if ":" in self._host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            if os.name == "posix":
                # Connections that have just ended keep the port for a minute otherwise.
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
        """Accept no more, and wait until the connections accepted just before are made.

        asyncio makes them one turn later; if the server is closed by then, it drops the socket without closing it.
        """
        if self._server is None:
            return
        loop = asyncio.get_running_loop()
        for listening in self._server.sockets:
            with contextlib.suppress(NotImplementedError):  # Windows' proactor loop
                loop.remove_reader(listening.fileno())
        for _ in range(2):
            await asyncio.sleep(0)

    def refuse(self) -> None:
        """Close the listening socket: the kernel refuses connections. Another, not listening, keeps the port."""
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
