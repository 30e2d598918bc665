"""Where the service is: addresses from the app, its region, overrides, and the settings that login brings."""

from __future__ import annotations

import base64
import binascii
import json
import math
from typing import Any, Mapping, NamedTuple, Optional
from urllib.parse import urlsplit

from ..exceptions import ERR_BAD_RESPONSE, ERR_INSECURE_SOCKET, CometChatException, exception_for

#: The ``MODE`` in which nothing is throttled.
MODE_DEFAULT = "DEFAULT"

#: The ``MODE`` in which typing indicators and receipts are off, and transient messages go out (observed).
MODE_LIMITED = "LIMITED_TRANSIENT"

#: Characters of a host's name, as DNS has it.
LONGEST_HOST = 253


class HttpEndpoints(NamedTuple):
    """The two HTTP bases, without a slash at the end."""

    admin: str
    client: str


def http_endpoints(
    app_id: str, region: Optional[str], admin_host: Optional[str], client_host: Optional[str]
) -> HttpEndpoints:
    """The bases of the admin and the client API. An override gets no version prefix (observed)."""
    return HttpEndpoints(
        _base(admin_host) if admin_host else f"https://{app_id}.api-{region}.cometchat.io/v3.0",
        _base(client_host) if client_host else f"https://{app_id}.apiclient-{region}.cometchat.io/v3.0",
    )


def websocket_url(
    settings: Mapping[str, Any], app_id: str, region: Optional[str], *, insecure_allowed: bool = True
) -> str:
    """The WebSocket's address from the server's settings.

    The first host set of ``CHAT_HOST_OVERRIDE``, ``CHAT_HOST_APP_SPECIFIC``, ``CHAT_HOST`` (observed); without any, the
    live service's usual name (public log). A host that brings its own scheme or port keeps them (not confirmed).

    :param insecure_allowed: False: it has to be one with TLS.
    :raises CometChatException: ``ERR_BAD_RESPONSE``: the settings hold no usable address; ``ERR_INSECURE_SOCKET``.
    """
    host = _first_text(settings, "CHAT_HOST_OVERRIDE", "CHAT_HOST_APP_SPECIFIC", "CHAT_HOST")
    if host is None:
        if region is None:
            raise exception_for(
                ERR_BAD_RESPONSE, "The server's settings name no WebSocket host (CHAT_HOST), and no region is set."
            )
        host = f"{app_id}.websocket-{region}.cometchat.io"
    secure = not _is_off(settings.get("CHAT_USE_SSL"))
    scheme, separator, rest = host.partition("://")
    if separator:
        secure, host = scheme.lower() in ("wss", "https"), rest
    try:
        parts = urlsplit(f"//{_bracketed(host)}")
        hostname, port = parts.hostname, parts.port
    except ValueError as error:
        raise _bad_host(host) from error
    if (
        not hostname
        or len(hostname) > LONGEST_HOST
        or port == 0
        or any(character <= " " or "\ud800" <= character <= "\udfff" for character in host)
    ):
        raise _bad_host(host)
    if port is None:
        port = _port(settings, "CHAT_WSS_PORT" if secure else "CHAT_WS_PORT", 443 if secure else 80)
    name = f"[{hostname}]" if ":" in hostname else hostname
    if not (secure or insecure_allowed):
        raise exception_for(
            ERR_INSECURE_SOCKET,
            f"The service's settings ask for a WebSocket without TLS, to {name}:{port}, while its API has TLS."
            " If that is meant so: AppSettings(allow_insecure_socket=True).",
        )
    return f"{'wss' if secure else 'ws'}://{name}:{port}{parts.path or '/'}"


def mode_of(settings: Mapping[str, Any]) -> str:
    """The ``MODE`` of the settings; DEFAULT where there is none."""
    mode = settings.get("MODE")
    return mode.upper() if isinstance(mode, str) and mode else MODE_DEFAULT


def jwt_expiry(jwt: Optional[str]) -> Optional[float]:
    """When a jwt ends, in Unix seconds, by its ``exp`` claim; None: it can't be read. The signature is not checked."""
    parts = (jwt or "").split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    expiry = claims.get("exp") if isinstance(claims, dict) else None
    if isinstance(expiry, bool) or not isinstance(expiry, (int, float)):
        return None
    try:
        seconds = float(expiry)
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) else None


def _base(override: str) -> str:
    base = override if "://" in override else f"https://{override}"
    return base.rstrip("/")


def _first_text(settings: Mapping[str, Any], *keys: str) -> Optional[str]:
    for key in keys:
        value = settings.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return None


def _is_off(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in ("0", "false", "no", "off")
    return value is False or (isinstance(value, (int, float)) and value == 0)


def _bracketed(host: str) -> str:
    """An IPv6 address without brackets gets them: its colons are no port."""
    return f"[{host}]" if host.count(":") > 1 and not host.startswith("[") and "/" not in host else host


def _port(settings: Mapping[str, Any], key: str, default: int) -> int:
    value = settings.get(key)
    if value is None or value == "":
        return default
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        # Without leading zeros six digits tell enough; int() would refuse thousands of them.
        digits = str(value).lstrip("0") if isinstance(value, str) else f"{value:d}"[:6]
        if digits.isascii() and digits.isdigit() and 0 < int(digits[:6]) < 65536:
            return int(digits[:6])
    # Of anything else only the type: its text may be as long and as deep as the server likes.
    shown = repr(str(value)[:40]) if isinstance(value, (str, int)) else f"of type {type(value).__name__}"
    raise exception_for(ERR_BAD_RESPONSE, f"The server's settings hold no usable port: {key} is {shown}.")


def _bad_host(host: str) -> CometChatException:
    return exception_for(ERR_BAD_RESPONSE, f"The server's settings hold no usable WebSocket host: {host[:80]!r}.")
