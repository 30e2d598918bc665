"""HTTP over requests: one call, one envelope, errors in this SDK's words."""

from __future__ import annotations

import functools
import http.client
import http.cookiejar
import io
import json
import logging
import re
import socket
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
from .errors import causes, network_reason, retry_after_seconds
from .proxy import SOCKS, Proxy, read_proxy
from .tls import client_context

logger = logging.getLogger("cometchat.http")

#: Bytes. A longer answer is not the protocol's.
MAX_BODY = 16 * 1024 * 1024

#: One call uses one connection; more are kept for calls of several threads at once.
_POOL = 4

_NO_JSON = object()


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


class _DeadlineReader(io.RawIOBase):
    """The bytes of an answer. The socket's timeout holds for all of them together, not for each part anew."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._timeout = connection.gettimeout()
        self._deadline = None if self._timeout is None else time.monotonic() + self._timeout
        self._raw = connection.makefile("rb", buffering=0)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> Optional[int]:
        """Wait for some bytes until the deadline."""
        if self._deadline is None:
            return self._raw.readinto(buffer)
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("timed out")
        self._connection.settimeout(left)
        try:
            return self._raw.readinto(buffer)
        finally:
            self._connection.settimeout(self._timeout)

    def close(self) -> None:
        """Give the socket back."""
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """An answer that is whole within the timeout: status line, headers, body, and a proxy's answer to CONNECT."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_DeadlineReader(sock))


@functools.lru_cache(maxsize=None)
def _bounded(pool: Any) -> Any:
    """urllib3's class of connection pools, with answers that are a :class:`_Response`."""
    if issubclass(pool.ConnectionCls.response_class, _Response):
        return pool
    connection = type(pool.ConnectionCls.__name__, (pool.ConnectionCls,), {"response_class": _Response})
    return type(pool.__name__, (pool,), {"ConnectionCls": connection})


class _Adapter(requests.adapters.HTTPAdapter):
    """requests' way to urllib3, with :func:`_bounded` pools."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """For what goes without a proxy."""
        super().init_poolmanager(*args, **kwargs)
        _bound(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """For what goes through one."""
        manager = super().proxy_manager_for(*args, **kwargs)
        _bound(manager)
        return manager


def _bound(manager: Any) -> None:
    classes = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {scheme: _bounded(pool) for scheme, pool in classes.items()}


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
        # A cookie would outlive the logout.
        self._session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        adapter = _Adapter(pool_connections=_POOL, pool_maxsize=_POOL)
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
        except requests.exceptions.ContentDecodingError as error:
            raise exception_for(ERR_BAD_RESPONSE, f"{_host(url)} sent an answer that can't be decoded.") from error
        except Exception as error:  # all of requests, urllib3, ssl and the system
            raise exception_for(FAILED_TO_FETCH, f"{method} {_host(url)}: {self._reason(error, url)}.") from error
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
        # A kept connection that the server closed just as the call went out: once more, on a new one. But not a POST:
        # it may have arrived, and twice would be two messages.
        retries = 0 if method == "POST" else 1
        while True:
            try:
                return self._send(method, url, headers, content, timeout)
            except requests.ConnectionError as error:
                if not retries or not _was_stale(error):
                    raise
            retries -= 1

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
            payload = bytearray()
            for chunk in response.iter_content(65536):
                payload += chunk
                if len(payload) > MAX_BODY:
                    return response.status_code, response.headers, None
            return response.status_code, response.headers, bytes(payload)

    def _route(self, url: str) -> Route:
        parts = urlsplit(url)
        key = f"{parts.scheme}://{_host(url)}"
        if key not in self._routes:
            route = resolve_route(url, self._proxies, self._ca_certs)
            # To name what is wrong with them: requests would quote the address with its password.
            if route.proxy:
                read_proxy(route.proxy)
            if parts.scheme == "https":
                client_context(route.verify)
            self._routes[key] = route
        return self._routes[key]

    def _reason(self, error: Exception, url: str) -> str:
        host = _host(url)
        try:
            address = self._route(url).proxy
        except ValueError:
            address = None
        if not address:
            return network_reason(error, host)
        return _proxied_reason(error, host, read_proxy(address))

    def _data(self, url: str, status: int, headers: Mapping[str, str], payload: Optional[bytes], expect: type) -> Any:
        retry_after = retry_after_seconds(headers.get("Retry-After"), self._wall_clock())
        answer = _parse(payload)
        envelope = answer if isinstance(answer, dict) else {}
        error = envelope.get("error")
        if status == 429:
            raise exception_for(
                ERR_TOO_MANY_REQUESTS,
                f"{_host(url)} answered 429: too many requests.",
                details=_error_text(error),
                retry_after=retry_after,
            )
        if isinstance(error, dict) and (error.get("code") or error.get("message")):
            raise _server_error(error, status, retry_after)
        data = envelope.get("data")
        if not 200 <= status < 300 or not isinstance(data, expect):
            raise exception_for(
                ERR_BAD_RESPONSE,
                f"{_host(url)} answered HTTP {status} with {_describe(payload, answer)}, not with the protocol's JSON"
                " envelope. Is this the right host, or does a proxy answer in its place?",
                details=f"HTTP {status}",
                retry_after=retry_after,
            )
        return data


def _parse(payload: Optional[bytes]) -> object:
    """The JSON, or ``_NO_JSON``."""
    if payload is None:
        return _NO_JSON
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return _NO_JSON


def _server_error(error: Dict[str, Any], status: int, retry_after: Optional[float]) -> CometChatException:
    """The server's own ``{code, message, details}``, unchanged."""
    code = _text(error.get("code") or f"HTTP_{status}")
    cls: Type[CometChatException] = CometChatException
    if status >= 500 or status == 408:
        cls = ConnectionException
    elif status in (401, 403) or code.startswith("AUTH_ERR"):
        cls = AuthenticationException
    return cls(
        code,
        _text(error.get("message") or f"HTTP status {status}"),
        name=_text(error["name"]) if error.get("name") else None,
        details=_error_text({"message": error.get("details")}),
        retry_after=retry_after,
    )


def _error_text(error: object) -> Optional[str]:
    text = error.get("message") if isinstance(error, dict) else None
    return None if text is None else _text(text)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value)
    except RecursionError:  # as deep as could just be read
        return "nested too deep to show"


def _describe(payload: Optional[bytes], answer: object) -> str:
    if payload is None:
        return f"more than {MAX_BODY} bytes"
    if not payload.strip():
        return "an empty body"
    return "text that is not JSON" if answer is _NO_JSON else "JSON of another shape"


def _host(url: str) -> str:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.hostname}:{port}"


def _proxied_reason(error: Exception, host: str, proxy: Proxy) -> str:
    if isinstance(error, requests.exceptions.InvalidSchema) and proxy.scheme in SOCKS:
        return f"proxy: {proxy.name} needs the packages of the extra: pip install 'cometchat[socks]'"
    for cause in causes(error):
        refused = re.search(r"Tunnel connection failed: (\d+)", str(cause)) if isinstance(cause, OSError) else None
        if refused is not None:
            return f"proxy: {proxy.name} made no tunnel to {host}: it answered HTTP {refused.group(1)}"
    if isinstance(error, requests.exceptions.ProxyError):
        return network_reason(error, f"proxy {proxy.name}")
    return network_reason(error, f"{host} through proxy {proxy.name}")


def _was_stale(error: BaseException) -> bool:
    # Through a proxy it is wrapped deeper.
    stale = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)
    return any(isinstance(cause, stale) for cause in causes(error))
