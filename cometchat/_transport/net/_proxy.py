"""A proxy's address taken apart. It may hold a password: no text made here shows more than scheme, host and port."""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple
from urllib.parse import unquote, urlsplit

SOCKS = ("socks4", "socks4a", "socks5", "socks5h")

_PORTS = {"http": 80, "https": 443}


class BadProxy(ValueError):
    """An address that is none. The text does not show it."""


class Proxy(NamedTuple):
    """A proxy.

    :ivar auth: user name and password.
    """

    scheme: str
    host: str
    port: int
    auth: Optional[Tuple[str, str]]

    @property
    def name(self) -> str:
        """For error texts."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def read_proxy(address: str) -> Proxy:
    """Take an address apart, as requests understands it: without a scheme it is http.

    :raises BadProxy: it has no host, a scheme that no proxy has, or a part that is not where it belongs.
    """
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError:
        host = None
    # A password with an unescaped "/", "?" or "#" ends the host too early: the rest of it would be shown as a host.
    if not host or "@" in parts.path + parts.query + parts.fragment:
        # Not "from" the ValueError, which quotes what it took for a port.
        raise BadProxy(
            "the proxy's address can't be read: give scheme://[user:password@]host:port, with special characters of"
            " the password as %XX"
        ) from None
    if scheme not in _PORTS and scheme not in SOCKS:
        raise BadProxy(f"{scheme}:// is no scheme of a proxy: give http://, socks4:// or socks5://")
    auth = None
    if parts.username:
        auth = (unquote(parts.username), unquote(parts.password or ""))
    return Proxy(scheme, host, port or _PORTS.get(scheme, 1080), auth)
