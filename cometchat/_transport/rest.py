"""HTTP over requests: one call, one envelope, errors in this SDK's words."""

from __future__ import annotations

import http.client
import json
import logging
import time
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Type, Union
from urllib.parse import urlsplit

import requests
import requests.adapters
import requests.utils

from ..exceptions import (
    ERR_BAD_RESPONSE,
    ERR_TOO_MANY_REQUESTS,
    FAILED_TO_FETCH,
    AuthenticationException,
    CometChatException,
    ConnectionException,
    exception_for,
)
from .errors import network_reason, retry_after_seconds

logger = logging.getLogger("cometchat.http")

#: Bytes. A longer answer is not the protocol's.
MAX_BODY = 16 * 1024 * 1024

#: One call uses one connection; more are kept for calls of several threads at once.
_POOL = 4


class Route(NamedTuple):
    """How to get to an address: through which proxy (None: none), and whom to trust.

    :ivar verify: path of the CA bundle, or True for certifi's.
    """

    proxy: Optional[str]
    verify: Union[bool, str]


def resolve_route(url: str, proxies: Optional[Mapping[str, str]], ca_certs: Optional[str]) -> Route:
    """The proxy and CA bundle for an ``http``, ``https``, ``ws`` or ``wss`` address, as requests resolves them.

    Arguments go before the environment; ``no_proxy`` holds for the environment's proxies.
    """
    as_http = url.replace("wss:", "https:", 1) if url.startswith("wss:") else url.replace("ws:", "http:", 1)
    with requests.Session() as session:
        merged = session.merge_environment_settings(as_http, dict(proxies or {}), None, ca_certs, None)
    return Route(
        requests.utils.select_proxy(as_http, merged["proxies"]), True if merged["verify"] is None else merged["verify"]
    )


class RequestsRest:
    """HTTP through one ``requests.Session``, whose connections are reused. Usable from several threads.

    :param wall_clock: Unix seconds, for a ``Retry-After`` date.
    """

    def __init__(
        self,
        *,
        proxies: Optional[Mapping[str, str]] = None,
        ca_certs: Optional[str] = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._proxies = proxies
        self._ca_certs = ca_certs
        self._wall_clock = wall_clock
        self._routes: Dict[str, Route] = {}
        self._session = requests.Session()
        # The routes are resolved here, once a host; and a ~/.netrc must not add credentials of its own.
        self._session.trust_env = False
        adapter = requests.adapters.HTTPAdapter(pool_connections=_POOL, pool_maxsize=_POOL)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: Optional[Mapping[str, Any]] = None,
        timeout: float,
        expect: type = dict,
    ) -> Any:
        """Make one call and return the ``data`` of its envelope; see :class:`.base.Rest`."""
        started = time.monotonic()
        content = None if body is None else json.dumps(body).encode()
        try:
            status, reason_headers, payload = self._exchange(method, url, headers, content, timeout)
        except (requests.RequestException, OSError, ValueError, http.client.HTTPException) as error:
            host = _host(url)
            raise exception_for(FAILED_TO_FETCH, f"{method} {host}: {network_reason(error, host)}.") from error
        logger.debug("%s %s %s in %.3f s", method, _host(url), status, time.monotonic() - started)
        try:
            return self._data(url, status, reason_headers, payload, expect)
        except CometChatException as error:
            error.http_status = status
            raise

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()

    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], content: Optional[bytes], timeout: float
    ) -> Any:
        try:
            return self._send(method, url, headers, content, timeout)
        except requests.ConnectionError as error:
            # A kept connection that the server closed meanwhile: once more, on a new one. Every call of the protocol
            # may be repeated.
            if not _was_stale(error):
                raise
            return self._send(method, url, headers, content, timeout)

    def _send(self, method: str, url: str, headers: Mapping[str, str], content: Optional[bytes], timeout: float) -> Any:
        route = self._route(url)
        response = self._session.request(
            method,
            url,
            headers=dict(headers),
            data=content,
            timeout=(timeout, timeout),
            # A redirect would carry the credentials to wherever it points.
            allow_redirects=False,
            stream=True,
            proxies={urlsplit(url).scheme: route.proxy} if route.proxy else {},
            verify=route.verify,
        )
        with response:
            payload = b""
            for chunk in response.iter_content(65536):
                payload += chunk
                if len(payload) > MAX_BODY:
                    return response.status_code, response.headers, None
            return response.status_code, response.headers, payload

    def _route(self, url: str) -> Route:
        host = _host(url)
        if host not in self._routes:
            self._routes[host] = resolve_route(url, self._proxies, self._ca_certs)
        return self._routes[host]

    def _data(
        self, url: str, status: int, headers: Mapping[str, str], payload: Optional[bytes], expect: type
    ) -> Any:
        retry_after = retry_after_seconds(headers.get("Retry-After"), self._wall_clock())
        envelope = _parse(payload)
        error = envelope.get("error") if envelope is not None else None
        if status == 429:
            raise exception_for(
                ERR_TOO_MANY_REQUESTS,
                f"{_host(url)} answered 429: too many requests.",
                details=_error_text(error),
                retry_after=retry_after,
            )
        if isinstance(error, dict) and (error.get("code") or error.get("message")):
            raise _server_error(error, status, retry_after)
        data = envelope.get("data") if envelope is not None else None
        if not 200 <= status < 300 or not isinstance(data, expect):
            raise exception_for(
                ERR_BAD_RESPONSE,
                f"{_host(url)} answered HTTP {status} with {_describe(payload, envelope)}, not with the protocol's JSON"
                " envelope. Is this the right host, or does a proxy answer in its place?",
                details=f"HTTP {status}",
                retry_after=retry_after,
            )
        return data


def _parse(payload: Optional[bytes]) -> Optional[Dict[str, Any]]:
    if payload is None:
        return None
    try:
        envelope = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return envelope if isinstance(envelope, dict) else None


def _server_error(error: Dict[str, Any], status: int, retry_after: Optional[float]) -> CometChatException:
    """The server's own ``{code, message, details}``, unchanged."""
    code = str(error.get("code") or f"HTTP_{status}")
    cls: Type[CometChatException] = CometChatException
    if status >= 500 or status == 408:
        cls = ConnectionException
    elif status in (401, 403) or code.startswith("AUTH_ERR"):
        cls = AuthenticationException
    return cls(
        code,
        str(error.get("message") or f"HTTP status {status}"),
        name=str(error["name"]) if error.get("name") else None,
        details=_error_text({"message": error.get("details")}),
        retry_after=retry_after,
    )


def _error_text(error: object) -> Optional[str]:
    text = error.get("message") if isinstance(error, dict) else None
    if text is None:
        return None
    return text if isinstance(text, str) else json.dumps(text)


def _describe(payload: Optional[bytes], envelope: Optional[Dict[str, Any]]) -> str:
    if payload is None:
        return f"more than {MAX_BODY} bytes"
    if not payload.strip():
        return "an empty body"
    return "text that is not JSON" if envelope is None else "JSON of another shape"


def _host(url: str) -> str:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.hostname}:{port}"


def _was_stale(error: BaseException) -> bool:
    reasons = [error, *error.args]
    reasons += [item for reason in reasons for item in getattr(reason, "args", ())]
    return any(
        isinstance(item, (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)) for item in reasons
    )
