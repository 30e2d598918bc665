"""Chooses the route to a host: the proxy and the trusted certificates. HTTP and the WebSocket use it for each call."""

from __future__ import annotations

import ipaddress
import os
import sys
import urllib.request
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Tuple
from urllib.parse import urlsplit

from ..._fork_marks import new_mark
from ..._proxy_address import Proxy, read_proxy
from .._printable import printable

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

#: Maximum number of remembered answers of the system.
_MOST_ANSWERS = 256

_HTTP_SCHEMES = {"ws": "http", "wss": "https"}


class SystemSettings:
    """The proxies in the settings of Windows or macOS, as urllib reads them.

    macOS ends the child of a fork that asks for them. So a child keeps to the answers of its parent, and to the
    environment.
    """

    def __init__(self) -> None:
        self._is_of_this_process = new_mark()
        self._answers: Dict[Optional[str], Any] = {}

    def proxies(self) -> Dict[str, str]:
        """Return the proxies by scheme: those of the environment, or else those of the settings."""
        return urllib.request.getproxies_environment() or self._ask(None, urllib.request.getproxies, {})

    def bypasses(self, host: str) -> bool:
        """Return True if the settings exclude a host."""
        return bool(self._ask(host, lambda: urllib.request.proxy_bypass(host), False))

    def _ask(self, about: Optional[str], system: Callable[[], Any], otherwise: Any) -> Any:
        if sys.platform == "darwin" and not self._is_of_this_process[0]:
            return self._answers.get(about, otherwise)
        answer = system()
        if len(self._answers) < _MOST_ANSWERS or about in self._answers:
            self._answers[about] = answer
        return answer


#: Of this process.
_SETTINGS = SystemSettings()


class Route(NamedTuple):
    """The route to an address.

    :ivar ca_bundle: path of a file or folder.
    """

    proxy: Optional[Proxy]
    ca_bundle: str


def host_and_port(host: str, port: int) -> str:
    """Return ``host:port`` as in a URL. The name may come from a server."""
    host = host if host.isprintable() else printable(host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_address(host: str) -> bool:
    """Return True if a host is an IP address and not a name. IPv6 with or without brackets and zone."""
    try:
        ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return False
    return True


def resolve_route(url: str, proxies: Optional[Mapping[str, str]], ca_certs: Optional[str]) -> Route:
    """Choose the proxy and the CA bundle for an ``http``, ``https``, ``ws`` or ``wss`` address.

    The arguments take precedence over the environment, which is read at each call. ``no_proxy`` applies to the
    environment's proxies only. This is like requests, but stricter: see :func:`bypasses_proxy`.

    :raises BadProxy: the proxy's address is invalid.
    """
    parts = urlsplit(url)
    scheme, host, port = parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
    scheme = _HTTP_SCHEMES.get(scheme, scheme)
    merged = _environment_proxies(scheme)
    if merged:
        entries = (proxies or {}).get("no_proxy") or os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
        if bypasses_proxy(host, port, entries):
            merged = {}
    merged.update((key, (address, "")) for key, address in (proxies or {}).items())
    keys = (f"{scheme}://{host}", scheme, f"all://{host}", "all")
    address, variable = next((merged[key] for key in keys if key in merged), ("", ""))
    bundle = ca_certs or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    return Route(read_proxy(address, variable) if address else None, bundle or _default_bundle())


def _default_bundle() -> str:
    import requests.utils  # takes most of the time of an import: the command line's help, for one, does without it

    return requests.utils.DEFAULT_CA_BUNDLE_PATH


def _environment_proxies(scheme: str) -> Dict[str, Tuple[str, str]]:
    """Return the environment's proxies for a scheme, each with its variable. Like urllib, but reads few variables."""
    if sys.platform in ("darwin", "win32"):  # the system's own settings count too
        return {name: (address, "") for name, address in _SETTINGS.proxies().items()}
    found: Dict[str, Tuple[str, str]] = {}
    for name in (scheme, "all"):
        variable = f"{name}_proxy"
        address = os.environ.get(variable)
        # In a CGI program, HTTP_PROXY is the request's header "Proxy".
        if address is None and not (name == "http" and "REQUEST_METHOD" in os.environ):
            variable = variable.upper()
            address = os.environ.get(variable)
        if address:
            found[name] = address, variable
    return found


def bypasses_proxy(host: str, port: int, entries: str) -> bool:
    """Return True if a ``no_proxy`` list names a host.

    :param entries: separated by commas or spaces: ``*``, a domain (with its subdomains), an address, a network such as
        ``10.0.0.0/8`` or ``fd00::/8``; IPv6 with or without brackets; each with or without a port.
    """
    name = host.lower().rstrip(".")
    if any(_matches(entry, name, port) for entry in entries.lower().replace(",", " ").split()):
        return True
    # These systems have their own list in their settings.
    return sys.platform in ("darwin", "win32") and _SETTINGS.bypasses(host)


def _matches(entry: str, name: str, port: int) -> bool:
    if entry == "*":
        return True
    bare, separator, tail = entry.rpartition(":")
    if separator and tail.isdigit() and ("]" in bare or ":" not in bare):  # else the colon is a part of IPv6
        if int(tail) != port:
            return False
        entry = bare
    try:
        network = ipaddress.ip_network(entry.replace("[", "").replace("]", ""), strict=False)
        return ipaddress.ip_address(name.partition("%")[0]) in network
    except ValueError:  # one of the two is a name
        domain = entry.lstrip("*").strip(".")
        return bool(domain) and (name == domain or name.endswith(f".{domain}"))
