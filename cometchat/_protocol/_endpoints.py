"""The service's addresses, from the app, its region, overrides, and the settings that the service sends at login."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any, Collection, Dict, Mapping, NamedTuple, Optional, Tuple
from urllib.parse import SplitResult, urlsplit

from .._fields import text
from ..exceptions import ERR_BAD_RESPONSE, ERR_INSECURE_SOCKET, CometChatException, exception_for

#: The ``MODE`` in which nothing is throttled.
MODE_DEFAULT = "DEFAULT"

#: The ``MODE`` in which typing indicators and receipts are off, and transient messages go out (observed).
MODE_LIMITED = "LIMITED_TRANSIENT"

#: Maximum Unix time that is a date, in seconds: the end of the year 3000. Windows has no later one.
_LATEST = 32535215999.0

#: Characters of a host's name, as DNS has it.
LONGEST_HOST = 253

#: The regions that the vendor names. Dedicated regions have other names.
KNOWN_REGIONS = ("us", "eu", "in")

#: The service's domains. The hosts of every app are below one of these, on port 443.
HOST_FAMILIES = ("cometchat.io", "cc-cluster-2.io", "cc-edge-2.io")

#: The default version of the API.
DEFAULT_API_VERSION = "v3.0"

#: The keys of the service's settings that may name the WebSocket's host. The first one with a text counts.
_WEBSOCKET_HOSTS = ("CHAT_HOST_OVERRIDE", "CHAT_HOST_APP_SPECIFIC", "CHAT_HOST")

#: The keys of the settings that the addresses depend on.
_ADDRESSES = (
    *_WEBSOCKET_HOSTS,
    *("ADMIN_API_HOST", "CLIENT_API_HOST", "CHAT_API_VERSION", "CHAT_USE_SSL", "CHAT_WS_PORT", "CHAT_WSS_PORT"),
)

#: The keys that the SDK reads. An app's settings have many others. The limit for files is in ``parameters``.
_USED = ("parameters", "MODE", *_ADDRESSES)

#: Maximum length of the API's version, in characters.
_LONGEST_VERSION = 20

#: Spaces, control characters and lone surrogates.
_UNUSABLE = re.compile("[\0- \x7f\ud800-\udfff]")


class HttpEndpoints(NamedTuple):
    """The two HTTP bases, without a slash at the end."""

    admin: str
    client: str


def http_endpoints(
    app_id: str, region: Optional[str], admin_host: Optional[str], client_host: Optional[str]
) -> HttpEndpoints:
    """Return the bases of the admin and the client API. An override gets no version prefix (observed)."""
    admin, client, _ = app_hosts(app_id, region or "")
    return HttpEndpoints(
        _base(admin_host or f"{admin}/{DEFAULT_API_VERSION}"), _base(client_host or f"{client}/{DEFAULT_API_VERSION}")
    )


def is_in_clear(base: str) -> bool:
    """Return True if requests to a base can be read on the network: it has no TLS and is on another machine."""
    parts = urlsplit(base)
    host = (parts.hostname or "").rstrip(".")
    loopback = host in ("localhost", "::1") or host.endswith(".localhost")
    loopback = loopback or (host.startswith("127.") and host.replace(".", "").isdigit())
    return parts.scheme == "http" and not loopback


class SettingsEndpoints(NamedTuple):
    """The HTTP bases after login.

    :ivar refused: hosts in the settings that are not used, each as ``"CLIENT_API_HOST 'evil.example'"``.
    """

    endpoints: HttpEndpoints
    refused: Tuple[str, ...]


def app_hosts(app_id: str, region: str) -> Tuple[str, str, str]:
    """Return the usual hosts of an app: admin API, client API, WebSocket."""
    below = f"-{region}.{HOST_FAMILIES[0]}"
    return f"{app_id}.api{below}", f"{app_id}.apiclient{below}", f"{app_id}.websocket{below}"


def is_of_unknown_region(url: str, region: Optional[str]) -> bool:
    """Return True if a URL's host contains a region that the vendor does not name."""
    return region is not None and region not in KNOWN_REGIONS and f"-{region}.{HOST_FAMILIES[0]}/" in url


def is_allowed_host(host: str, allowed_hosts: Collection[str] = ()) -> bool:
    """Return True if a host is in one of the service's domains, or the user allows it.

    :param host: a name, without a port.
    :param allowed_hosts: exact names, in any case.
    """
    name = host.rstrip(".").lower()
    if any(name == family or name.endswith(f".{family}") for family in HOST_FAMILIES):
        return True
    return any(name == allowed.rstrip(".").lower() for allowed in allowed_hosts)


def endpoints_from_settings(
    current: HttpEndpoints, settings: Mapping[str, Any], allowed_hosts: Collection[str] = ()
) -> SettingsEndpoints:
    """Return the bases that the server's settings name: ``ADMIN_API_HOST``, ``CLIENT_API_HOST``, ``CHAT_API_VERSION``.

    If the settings name no host for a base, the base does not change. A host that is not allowed is refused, since it
    would get the auth token. A host without TLS, or with a port other than 443, is refused too.

    :param current: the bases that the login used.
    :param allowed_hosts: see :func:`is_allowed_host`.
    """
    version = text(settings, "CHAT_API_VERSION") or ""
    if not _is_name(version, _LONGEST_VERSION):
        version = DEFAULT_API_VERSION
    bases, refused = [], []
    for key, base in (("ADMIN_API_HOST", current.admin), ("CLIENT_API_HOST", current.client)):
        host = _first_text(settings, key)
        name = _api_host(host) if host is not None else None
        if name is not None and is_allowed_host(name, allowed_hosts):
            base = f"https://{name}/{version}"
        elif host is not None and name != urlsplit(base).hostname:
            refused.append(f"{key} {host[:80]!r}")
        bases.append(base)
    return SettingsEndpoints(HttpEndpoints(*bases), tuple(refused))


def _api_host(value: str) -> Optional[str]:
    """Return the name of a host that has TLS and the port 443; None for anything else."""
    parts = _split(value if "://" in value else f"https://{value}")
    if parts is None or parts.scheme != "https" or parts.path not in ("", "/") or parts.query or parts.fragment:
        return None
    if parts.port not in (None, 443) or parts.username is not None or not _is_name(parts.hostname or "", LONGEST_HOST):
        return None
    return parts.hostname


def _is_name(value: str, longest: int) -> bool:
    """Return True if a text has only letters and digits, with dots, hyphens and underscores between them."""
    plain = value.replace(".", "").replace("-", "").replace("_", "")
    return len(value) <= longest and plain.isascii() and plain.isalnum() and value[0] != "."


def _split(url: str) -> Optional[SplitResult]:
    try:
        parts = urlsplit(url)
        return parts if parts.port is None or parts.port else None
    except ValueError:
        return None


def websocket_url(
    settings: Mapping[str, Any], app_id: str, region: Optional[str], *, insecure_allowed: bool = True
) -> str:
    """Return the WebSocket's address from the server's settings.

    It is the first one set of ``CHAT_HOST_OVERRIDE``, ``CHAT_HOST_APP_SPECIFIC`` and ``CHAT_HOST`` (observed), else
    the live service's usual name (public log). A scheme or port in the setting is used as it is (not confirmed).

    :param insecure_allowed: if False, the address must have TLS.
    :raises CometChatException: ``ERR_BAD_RESPONSE``: the settings have no usable address; ``ERR_INSECURE_SOCKET``.
    """
    host = _first_text(settings, *_WEBSOCKET_HOSTS)
    if host is None:
        if region is None:
            raise exception_for(
                ERR_BAD_RESPONSE, "The server's settings name no WebSocket host (CHAT_HOST), and no region is set."
            )
        host = app_hosts(app_id, region)[2]
    secure = not _is_off(settings.get("CHAT_USE_SSL"))
    scheme, separator, rest = host.partition("://")
    if separator:
        secure, host = scheme.lower() in ("wss", "https"), rest
    try:
        parts = urlsplit(f"//{_bracketed(host)}")
        hostname, port = parts.hostname, parts.port
    except ValueError as error:
        raise _bad_host(host) from error
    usable = hostname and len(hostname) <= LONGEST_HOST and port != 0 and _UNUSABLE.search(host) is None
    if not hostname or not usable or parts.username is not None:  # a text before an "@" would hide the host
        raise _bad_host(host)
    if port is None:
        port = _port(settings, "CHAT_WSS_PORT" if secure else "CHAT_WS_PORT", 443 if secure else 80)
    name = f"[{hostname}]" if ":" in hostname else hostname
    if not (secure or insecure_allowed):
        raise exception_for(
            ERR_INSECURE_SOCKET,
            f"The service's settings ask for a WebSocket without TLS, to {name}:{port}, while its API has TLS."
            " To allow it, set AppSettings(allow_insecure_socket=True).",
        )
    return f"{'wss' if secure else 'ws'}://{name}:{port}{parts.path or '/'}"


def used_settings(settings: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the settings that this SDK uses, without all others."""
    return {key: settings[key] for key in _USED if key in settings}


def completed(settings: Mapping[str, Any], older: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return new settings, with what they lack from the older ones: everything if they are empty, or the addresses.

    Settings without a host of the WebSocket are a part of the settings, such as the ``MODE`` alone. (Not confirmed.)
    """
    if not settings:
        return older
    if _first_text(settings, *_WEBSOCKET_HOSTS) is not None or _first_text(older, *_WEBSOCKET_HOSTS) is None:
        return settings
    return {**settings, **{key: older[key] for key in _ADDRESSES if key in older}}


def mode_of(settings: Mapping[str, Any]) -> str:
    """Return the ``MODE`` in the settings, or DEFAULT if it is missing."""
    mode = settings.get("MODE")
    return mode.upper() if isinstance(mode, str) and mode else MODE_DEFAULT


def jwt_expiry(jwt: Optional[str]) -> Optional[float]:
    """Return the expiry of a jwt (``exp``) in Unix seconds. Does not check the signature.

    :returns: None if it is unreadable, or not a date: milliseconds instead of seconds, for example.
    """
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
    return seconds if 0 <= seconds <= _LATEST else None  # not NaN either


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
    """Put brackets around an IPv6 address that lacks them, since its colons would look like a port."""
    return f"[{host}]" if host.count(":") > 1 and not host.startswith("[") and "/" not in host else host


def _port(settings: Mapping[str, Any], key: str, default: int) -> int:
    value = settings.get(key)
    if value is None or value == "":
        return default
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        # Six digits after the leading zeros are enough to judge; int() would refuse thousands of digits.
        digits = str(value).lstrip("0") if isinstance(value, str) else f"{value:d}"[:6]
        if digits.isascii() and digits.isdigit() and 0 < int(digits[:6]) < 65536:
            return int(digits[:6])
    # For other values show only the type: the server may send long and deeply nested values.
    shown = repr(str(value)[:40]) if isinstance(value, (str, int)) else f"of type {type(value).__name__}"
    raise exception_for(ERR_BAD_RESPONSE, f"The server's settings hold no usable port: {key} is {shown}.")


def _bad_host(host: str) -> CometChatException:
    return exception_for(ERR_BAD_RESPONSE, f"The server's settings hold no usable WebSocket host: {host[:80]!r}.")
