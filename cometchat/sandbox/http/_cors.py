"""The headers that let pages of other origins call the API from a browser."""

from __future__ import annotations

import ipaddress
from typing import Collection, Dict, Mapping

from .._listener import host_name, is_ip

#: Headers that a page may read.
_EXPOSED = "Retry-After, X-Rate-Limit, X-Rate-Limit-Remaining, X-Rate-Limit-Reset"


def cors_headers(method: str, headers: Mapping[str, str], origins: Collection[str]) -> Dict[str, str]:
    """Return the headers for a page of this machine, or of one of the origins. Other pages get only ``Vary``."""
    origin = headers.get("Origin")
    if origin is None or not (_is_local(origin) or origin in origins):
        return {"Vary": "Origin"}
    answer = {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": _EXPOSED,
        "Vary": "Origin",
    }
    if method == "OPTIONS":
        answer["Access-Control-Allow-Methods"] = "GET, POST, PUT, PATCH, DELETE, OPTIONS"
        answer["Access-Control-Allow-Headers"] = headers.get("Access-Control-Request-Headers", "*")
        answer["Access-Control-Max-Age"] = "600"
        if "Access-Control-Request-Private-Network" in headers:
            # Browsers ask for this permission before a page may call a server on loopback.
            answer["Access-Control-Allow-Private-Network"] = "true"
    return answer


def _is_local(origin: str) -> bool:
    """Return whether the origin is a page that this machine serves itself."""
    host = host_name(origin.partition("://")[2])
    if host == "localhost" or host.endswith(".localhost"):
        return True
    return is_ip(host) and ipaddress.ip_address(host).is_loopback
