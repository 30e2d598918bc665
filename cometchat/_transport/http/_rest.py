"""HTTP over requests: one call, one envelope, errors in this SDK's words."""

from __future__ import annotations

import contextlib
import functools
import http.client
import http.cookiejar
import json
import logging
import os
import re
import ssl
import sys
import threading
import time
from typing import Any, Callable, Dict, Iterator, Mapping, NamedTuple, Optional, Tuple, Type, Union
from urllib.parse import urlsplit

import requests
import requests.utils

from ...exceptions import (
    ERR_BAD_RESPONSE,
    ERR_TOO_MANY_REQUESTS,
    FAILED_TO_FETCH,
    AuthenticationException,
    CometChatException,
    ConnectionException,
    client_closed,
    exception_for,
)
from .._exception_chain import exception_chain
from ..net import (
    SOCKS,
    LookUp,
    Proxy,
    client_context,
    look_up,
    network_reason,
    read_proxy,
    retry_after_seconds,
)
from ._limits import MAX_ANSWER, MAX_BODY, Adapter, Session, TooLong, body_of

logger = logging.getLogger("cometchat.http")

#: One call uses one connection; more are kept for calls of several threads at once.
_POOL = 4

_NO_JSON = object()

#: What requests, and the standard library for it, read of the environment on the way to a route.
_ENVIRONMENT = (
    *(name for scheme in ("http", "https", "all", "no") for name in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY")),
    "REQUEST_METHOD",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
)


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
    if sys.platform in ("darwin", "win32"):  # the system's own settings count too
        return _resolve(as_http, tuple((proxies or {}).items()), ca_certs)
    return _resolved(as_http, tuple((proxies or {}).items()), ca_certs, tuple(map(os.environ.get, _ENVIRONMENT)))


def _resolve(url: str, proxies: Tuple[Tuple[str, str], ...], ca_certs: Optional[str]) -> Route:
    with requests.Session() as session:
        merged = session.merge_environment_settings(url, dict(proxies), None, ca_certs, None)
    return Route(
        requests.utils.select_proxy(url, merged["proxies"]), True if merged["verify"] is None else merged["verify"]
    )


@functools.lru_cache(maxsize=256)
def _resolved(
    url: str, proxies: Tuple[Tuple[str, str], ...], ca_certs: Optional[str], environment: Tuple[Optional[str], ...]
) -> Route:
    """The same, remembered for as long as the environment says the same: requests looks at all of it, twice."""
    return _resolve(url, proxies, ca_certs)


class _Connections:
    """A ``requests.Session``, how many calls use it, and whether it takes no new ones."""

    def __init__(self, addresses_of: LookUp) -> None:
        self.calls = 0
        self.retired = False
        self.session = Session()
        # The routes are resolved here, once a host; and a ~/.netrc must not add credentials of its own.
        self.session.trust_env = False
        # A cookie would outlive the logout.
        self.session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        adapter = Adapter(addresses_of=addresses_of, pool_connections=_POOL, pool_maxsize=_POOL)
        self.session.mount("https://", adapter)
        self.session.mount("http://", adapter)


class RequestsRest:
    """HTTP through a ``requests.Session``, whose connections are reused. Usable from several threads.

    :param addresses_of: looks a name up.
    :param wall_clock: Unix seconds, for a ``Retry-After`` date.
    """

    def __init__(
        self,
        *,
        proxies: Optional[Mapping[str, str]] = None,
        ca_certs: Optional[str] = None,
        addresses_of: LookUp = look_up,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._proxies = proxies
        self._ca_certs = ca_certs
        self._addresses_of = addresses_of
        self._wall_clock = wall_clock
        self._routes: Dict[str, Route] = {}
        self._closed = False
        self._lock = threading.Lock()  # of who uses which connections
        self._connections = _Connections(addresses_of)

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
        """Make one call and return the ``data`` of its envelope; see :class:`.._interfaces.Rest`."""
        started = time.monotonic()
        content = None if body is None else json.dumps(body).encode()
        try:
            status, reason_headers, payload = self._exchange(method, url, headers, content, timeout)
        except requests.exceptions.ContentDecodingError as error:
            raise exception_for(ERR_BAD_RESPONSE, f"{_host(url)} sent an answer that can't be decoded.") from error
        except Exception as error:  # all of requests, urllib3, ssl and the system
            if self._closed:
                raise client_closed() from error
            if any(isinstance(cause, TooLong) for cause in exception_chain(error)):
                raise exception_for(
                    ERR_BAD_RESPONSE, f"{_host(url)} sent an answer of more than {MAX_ANSWER} bytes."
                ) from error
            raise exception_for(FAILED_TO_FETCH, f"{method} {_host(url)}: {self._reason(error, url)}.") from error
        logger.debug("%s %s %s in %.3f s", method, _host(url), status, time.monotonic() - started)
        try:
            return self._data(url, status, reason_headers, payload, expect)
        except CometChatException as error:
            error.http_status = status
            payload = None
            # A kept error keeps its frames, and with them what came, millions of values maybe.
            raise error.with_traceback(None)

    def forget_connections(self) -> None:
        """The network may be another one: the next calls make new connections. Those under way keep theirs."""
        with self._lock:
            old, self._connections = self._connections, _Connections(self._addresses_of)
            old.retired = True
            unused = not old.calls
        if unused:
            old.session.close()

    def close(self) -> None:
        """Give the connections back."""
        self._closed = True
        with self._lock:
            connections = self._connections
        connections.session.close()

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
        with self._session() as session:
            response = session.request(
                method,
                url,
                headers={"Accept-Encoding": "gzip", **headers},
                data=content,
                timeout=(timeout, timeout),
                # A redirect would carry the credentials to wherever it points.
                allow_redirects=False,
                stream=True,
                proxies={urlsplit(url).scheme: route.proxy} if route.proxy else {},
                verify=route.verify,
            )
            with response:
                return response.status_code, response.headers, body_of(response)

    @contextlib.contextmanager
    def _session(self) -> Iterator[Session]:
        """Connections for one call. The last call that uses forgotten ones ends them."""
        with self._lock:
            connections = self._connections
            connections.calls += 1
        try:
            yield connections.session
        finally:
            with self._lock:
                connections.calls -= 1
                ends = self._closed or (connections.retired and not connections.calls)
            if ends:  # they must not stay with a pool that nobody closes any more
                connections.session.close()

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
    for cause in exception_chain(error):
        refused = re.search(r"Tunnel connection failed: (\d+)", str(cause)) if isinstance(cause, OSError) else None
        if refused is not None:
            return f"proxy: {proxy.name} made no tunnel to {host}: it answered HTTP {refused.group(1)}"
    if isinstance(error, requests.exceptions.ProxyError):
        return network_reason(error, f"proxy {proxy.name}")
    return network_reason(error, f"{host} through proxy {proxy.name}")


def _was_stale(error: BaseException) -> bool:
    # Through a proxy it is wrapped deeper. Over TLS a write that meets a reset is an "EOF" to Python 3.10 to 3.12.
    stale = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError, ssl.SSLEOFError)
    return any(isinstance(cause, stale) for cause in exception_chain(error))
