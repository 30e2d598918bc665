"""Reads the address of a proxy. It may contain a password, so every text shows only the scheme, host and port."""

from __future__ import annotations

from base64 import b64encode
from typing import NamedTuple, Optional, Tuple
from urllib.parse import quote, unquote, urlsplit

SOCKS = ("socks4", "socks4a", "socks5", "socks5h")

#: The usual ports; 1080 for SOCKS.
_PORTS = {"http": 80, "https": 443}

#: The form of an address.
FORM = "scheme://[user:password@]host:port, with special characters of the password as %XX"

#: The schemes that a proxy may have.
SCHEMES = "http://, socks4:// or socks5://"


class BadProxy(ValueError):
    """The address of a proxy is invalid. The text does not show the address."""


class Proxy(NamedTuple):
    """A proxy.

    :ivar auth: user name and password.
    :ivar variable: the environment variable; empty if the settings name the proxy.
    """

    scheme: str
    host: str
    port: int
    auth: Optional[Tuple[str, str]]
    variable: str = ""

    @property
    def authorization(self) -> Optional[str]:
        """The value of the header ``Proxy-Authorization``; None without a user. In UTF-8, as browsers send it."""
        return None if self.auth is None else f"Basic {b64encode(':'.join(self.auth).encode()).decode()}"

    @property
    def name(self) -> str:
        """For error texts."""
        return f"{self.scheme}://{self._place}{_origin(self.variable)}"

    @property
    def address(self) -> str:
        """For requests, with the password. It is escaped: at a backslash, for one, urllib3 would end the host."""
        credentials = "" if self.auth is None else ":".join(quote(each, safe="") for each in self.auth) + "@"
        return f"{self.scheme}://{credentials}{self._place}"

    @property
    def _place(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read_proxy(address: str, variable: str = "") -> Proxy:
    """Read an address like requests: http if it has no scheme.

    :param variable: the environment variable, for error texts.
    :raises BadProxy: the host is missing, the scheme is not one of a proxy, or a part is in the wrong place.
    """
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        scheme, host, port = parts.scheme.lower(), parts.hostname or "", parts.port
    except ValueError:
        host = ""
    # An unescaped "/", "?" or "#" in a password ends the host too early, and a part of the password would be shown.
    escaped = bool(host) and "@" not in parts.path + parts.query + parts.fragment
    if not escaped or port == 0 or " " in host or "\\" in host or not address.isprintable():
        # Not "from" the ValueError, which may quote a part of the password as a port.
        raise BadProxy(f"invalid proxy address{_origin(variable)}: expected {FORM}") from None
    if scheme not in ("http", "https") and scheme not in SOCKS:
        raise BadProxy(f"a proxy can't have the scheme {scheme}://{_origin(variable)}: expected {SCHEMES}")
    auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return Proxy(scheme, host, port or _PORTS.get(scheme, 1080), auth, variable)


def _origin(variable: str) -> str:
    return f" ({variable})" if variable else ""
