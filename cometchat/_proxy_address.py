"""Reads the address of a proxy. An address may contain a password, so no text of this module shows an address."""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple
from urllib.parse import unquote, urlsplit

SOCKS = ("socks4", "socks4a", "socks5", "socks5h")

#: The form of an address.
FORM = "scheme://[user:password@]host:port, with special characters of the password as %XX"

#: The schemes that a proxy may have.
SCHEMES = "http://, socks4:// or socks5://"


class BadProxy(ValueError):
    """The address of a proxy is invalid. The text does not show the address."""


class ProxyAddress(NamedTuple):
    """The parts of an address.

    :ivar auth: user name and password.
    """

    scheme: str
    host: str
    port: Optional[int]
    auth: Optional[Tuple[str, str]]


def split_address(address: str) -> ProxyAddress:
    """Parse an address like requests: http if it has no scheme.

    :raises BadProxy: the host is missing, the scheme is not one of a proxy, or a part is in the wrong place.
    """
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        scheme, host, port = parts.scheme.lower(), parts.hostname or "", parts.port
    except ValueError:
        host = ""
    # An unescaped "/", "?" or "#" in a password ends the host too early, and a part of the password would be shown.
    escaped = bool(host) and "@" not in parts.path + parts.query + parts.fragment
    if not escaped or port == 0 or " " in host or not address.isprintable():
        # Not "from" the ValueError, which may quote a part of the password as a port.
        raise BadProxy(f"invalid proxy address: expected {FORM}") from None
    if scheme not in ("http", "https") and scheme not in SOCKS:
        raise BadProxy(f"a proxy can't have the scheme {scheme}://: expected {SCHEMES}")
    auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return ProxyAddress(scheme, host, port, auth)
