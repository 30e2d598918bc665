"""HTTP calls over requests: one envelope per call, with this SDK's errors."""

from __future__ import annotations

import http.client
import json
import logging
import re
import time
import zlib
from typing import Any, Callable, Dict, Iterator, Mapping, NamedTuple, Optional, Tuple, Union
from urllib.parse import urlsplit

import requests

from ..._log import SafeLog
from ..._protocol._frames import user_agent
from ..._turns import TURNS
from ...exceptions import (
    ERR_BAD_RESPONSE,
    ERR_PRESIGNED_URL_EXPIRED,
    ERR_S3_UPLOAD_FAILED,
    ERR_TOO_MANY_REQUESTS,
    FAILED_TO_FETCH,
    CometChatException,
    class_of_answer,
    client_closed,
    exception_for,
    unusable,
    without_frames,
)
from ...version import __version__
from .._exception_chain import exception_chain, pass_on_interruption, shorten
from .._form import Form
from .._json_decoder import loads
from .._printable import printable
from ..net import (
    ClientCert,
    DialFailed,
    LookUp,
    client_context,
    host_and_port,
    http_date,
    look_up,
    network_reason,
    requested_wait,
    resolve_route,
    tls_ended,
)
from ._connections import ATTEMPT, MAX_ANSWER, MAX_BODY, Attempt, SharedConnections, TooLong, Way

logger = logging.getLogger("cometchat.http")

#: Maximum idle time of a connection that a call uses, in seconds.
_MAX_IDLE = 30.0

#: The same for a call that can't be repeated if the connection turns out to be dead.
_MAX_IDLE_ONCE = 5.0

#: Maximum wait of a repeatable call for the first byte on a connection that was idle, in seconds.
_PATIENCE = 3.0

#: Maximum time without progress of an upload, in seconds, as in the vendor's client.
_STALL = 30.0

_NO_JSON = object()


class _Request(NamedTuple):
    """The request of a call.

    :ivar host: of the URL, with its port.
    :ivar content: the body; a form is read while it is sent.
    :ivar repeatable: sending it twice does no harm.
    :ivar timeout: seconds.
    """

    method: str
    url: str
    host: str
    headers: Mapping[str, str]
    content: Union[bytes, Form, None]
    repeatable: bool
    timeout: float


class RequestsRest:
    """HTTP over ``requests``, with reused connections. Several threads may use it.

    :param proxies: as AppSettings has them.
    :param ca_certs: as AppSettings has them.
    :param client_cert: path of the client's certificate, with its key; or the paths of both.
    :param addresses_of: looks a name up.
    :param connections: those of other clients too; by default its own.
    :param decode: reads JSON.
    :param client_name: for the log; see :class:`SafeLog`.
    :param clock: monotonic seconds.
    :param wall_clock: Unix seconds, for a ``Retry-After`` date.
    """

    def __init__(
        self,
        *,
        proxies: Optional[Mapping[str, str]] = None,
        ca_certs: Optional[str] = None,
        client_cert: Optional[ClientCert] = None,
        addresses_of: LookUp = look_up,
        connections: Optional[SharedConnections] = None,
        decode: Callable[[bytes], Any] = loads,
        client_name: Optional[Callable[[], str]] = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._proxies = proxies
        self._ca_certs = ca_certs
        self._client_cert = client_cert
        self._decode = decode
        self._log = SafeLog(logger, client_name)
        self._wall_clock = wall_clock
        self._connections = connections or SharedConnections(Way(addresses_of, clock=clock, wall_clock=wall_clock))
        self._closed = False
        #: The newest ``X-Rate-Limit-Remaining``: calls that the service allows in this minute; None if unknown.
        self.rate_limit_remaining: Optional[int] = None
        self._clock = clock
        self._newest_date = ("", 0.0)  # the ``Date`` of the newest answer, and when it arrived

    @property
    def service_time(self) -> Optional[float]:
        """The service's time in Unix seconds, up to a second early; None if its newest answer has no ``Date``."""
        text, arrived = self._newest_date
        date = http_date(text)
        return None if date is None else date + self._clock() - arrived

    def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: Union[Mapping[str, Any], Form, None] = None,
        timeout: float,
        expect: type = dict,
    ) -> Any:
        """Make one call and return the ``data`` of its envelope.

        If the connection ends before the answer begins, or a kept one is silent, a repeatable call (GET, PUT, DELETE,
        with a ``muid``, or to ``auth_tokens``) is sent once more, on a new connection.

        :param body: an object, sent as JSON; or a form. A form is sent once and may take long, so the timeout is for
            each of its blocks.
        :param timeout: seconds to connect (for each of TCP, proxy and TLS), and seconds for the whole answer.
        :param expect: the type of ``data``, dict or list.
        :raises CometChatException: ``FAILED_TO_FETCH``, ``ERR_TOO_MANY_REQUESTS``, ``ERR_BAD_RESPONSE``, or the
            server's own code.
        """
        if isinstance(body, Form):
            request = _form_request(url, body, headers, timeout)
        else:
            repeatable = _is_repeatable(method, url, body)
            request = _Request(method, url, _host(url), headers, _encode(body), repeatable, timeout)
        with TURNS.lent():
            status, answered, payload = self._fetch(request)
        remaining = answered.get("x-rate-limit-remaining", "").strip()
        if remaining.isascii() and remaining.isdigit():
            self.rate_limit_remaining = int(remaining[:9])
        self._newest_date = (answered.get("date", ""), self._clock())
        try:
            answer = _parse(payload, self._decode)
            return _data_of(request, status, answered, payload, answer, expect, self._wall_clock())
        except CometChatException as error:
            error.http_status = status
            payload = answer = None
            # A kept error would keep its frames, and with them the answer, which may have millions of values.
            raise without_frames(error)

    def upload(self, url: str, form: Form, *, timeout: float) -> None:
        """Post a form to a storage service, without the API's headers and without credentials.

        :raises CometChatException: ``ERR_S3_UPLOAD_FAILED``, ``ERR_PRESIGNED_URL_EXPIRED``, ``FAILED_TO_FETCH``;
            ``INVALID_PATH_OR_FILE``: the file is no longer readable.
        """
        request = _form_request(url, form, {}, timeout)
        status, _, payload = self._fetch(request)
        if not 200 <= status < 300:
            raise _storage_error(request.host, status, payload or b"")

    def _fetch(self, request: _Request) -> Tuple[int, Mapping[str, str], Optional[bytes]]:
        """Return the status, headers and body of an answer. The body is None if it is over the limit."""
        started = time.monotonic()
        try:
            status, answered, payload = self._exchange(request)
        except CometChatException:  # from a form whose file can't be read
            raise
        except Exception as error:  # every error of requests, urllib3, ssl and the system
            cause = error
        else:
            self._log.debug("%s %s %s in %.3f s", request.method, request.host, status, time.monotonic() - started)
            return status, answered, payload
        # Not in the handler: PyPy would give the cause its frames back.
        pass_on_interruption(cause)
        raise self._failure(request, cause) from cause

    def _failure(self, request: _Request, cause: Exception) -> CometChatException:
        """Return the error of a call without an answer, and shorten its cause: its frames and request have secrets."""
        for each in exception_chain(cause):
            if isinstance(each, requests.RequestException):
                each.request = None
        shorten(cause)
        if isinstance(cause, requests.exceptions.ContentDecodingError):
            return exception_for(ERR_BAD_RESPONSE, f"{request.host} sent an answer that can't be decoded.")
        if self._closed:
            return client_closed()
        if any(isinstance(each, TooLong) for each in exception_chain(cause)):
            return exception_for(ERR_BAD_RESPONSE, f"{request.host} sent an answer of more than {MAX_ANSWER} bytes.")
        return exception_for(FAILED_TO_FETCH, f"{request.method} {request.host}: {self._reason(request, cause)}.")

    def forget_connections(self) -> None:
        """Make later calls use new connections, because the network may have changed. Calls in progress keep theirs."""
        self._connections.retire()

    def close(self) -> None:
        """Close the connections if no other client uses them. A signal handler may call it at any time."""
        self._closed = True
        self._connections.leave(id(self))

    def _exchange(self, request: _Request) -> Tuple[int, Mapping[str, str], Optional[bytes]]:
        """Send a request. If the connection was dead and a repetition does no harm, send it once more, on a new one."""
        if not request.repeatable:
            return self._send(request, Attempt(_MAX_IDLE_ONCE))
        attempt = Attempt(_MAX_IDLE, min(_PATIENCE, request.timeout / 2))
        try:
            return self._send(request, attempt)
        except requests.RequestException as error:
            pass_on_interruption(error)
            was_dead = attempt.gave_up or (isinstance(error, requests.ConnectionError) and _was_dead(error))
            if self._closed or not was_dead:
                raise
        spent = attempt.patience if attempt.gave_up and attempt.patience is not None else 0.0
        return self._send(request._replace(timeout=request.timeout - spent), Attempt(max_idle=0.0))

    def _send(self, request: _Request, attempt: Attempt) -> Tuple[int, Mapping[str, str], Optional[bytes]]:
        if isinstance(request.content, Form):
            request.content.rewind()
        scheme = urlsplit(request.url).scheme
        route = resolve_route(request.url, self._proxies, self._ca_certs)
        proxy = route.proxy
        if scheme == "https":  # for a precise error message
            client_context(route.ca_bundle, self._client_cert)
        # requests asks some proxies itself. For the others, dial() makes a tunnel.
        asks = proxy is not None and (proxy.scheme == "https" or (proxy.scheme == "http" and scheme == "http"))
        forwarder, tunnel = (proxy, None) if asks else (None, proxy)
        token = ATTEMPT.set(attempt)
        try:
            with self._connections.lent(id(self), tunnel) as connections:
                response = connections.send(
                    _prepared(request),
                    timeout=(request.timeout, request.timeout),
                    stream=True,
                    proxies={} if forwarder is None else {scheme: forwarder.address},
                    # A path: with True, requests 2.32.2 to 2.32.4 adds no certificate to the context of another pool.
                    verify=route.ca_bundle,
                    cert=self._client_cert,
                )
                with response:
                    if response.status_code == 407 and forwarder is not None:
                        raise DialFailed(
                            f"proxy: {forwarder.name} passed no request to {request.host}: it answered HTTP 407"
                        )
                    answer = response.status_code, response.headers, _body_of(response)
            attempt.note_use(True)
            return answer
        except Exception as error:
            if not isinstance(error, CometChatException):  # from a form whose file can't be read
                attempt.note_use(False)
            raise
        finally:
            ATTEMPT.reset(token)
            if self._closed:  # during the call
                self._connections.leave(id(self))

    def _reason(self, request: _Request, error: Exception) -> str:
        host = request.host
        try:
            proxy = resolve_route(request.url, self._proxies, self._ca_certs).proxy
        except ValueError:
            proxy = None
        if proxy is None:
            return network_reason(error, host)
        for cause in exception_chain(error):
            refused = re.search(r"Tunnel connection failed: (\d+)", str(cause)) if isinstance(cause, OSError) else None
            if refused is not None:  # urllib3's words
                return f"proxy: {proxy.name} made no tunnel to {host}: it answered HTTP {refused.group(1)}"
        if isinstance(error, requests.exceptions.ProxyError):  # plain http: the proxy was dialed as a host is
            dialed = next((each.__cause__ for each in exception_chain(error) if isinstance(each, DialFailed)), None)
            return network_reason(dialed or error, f"proxy {proxy.name}")
        return network_reason(error, f"{host} through proxy {proxy.name}")


def _prepared(request: _Request) -> requests.PreparedRequest:
    """Return the request as requests sends it, without a cookie jar and credentials in the address."""
    headers = {"Accept-Encoding": "gzip", "User-Agent": user_agent(__version__), **request.headers}
    prepared = requests.PreparedRequest()
    prepared.prepare_method(request.method)
    prepared.prepare_url(request.url, None)
    prepared.prepare_headers(headers)
    prepared.prepare_body(request.content, None)
    return prepared


def _form_request(url: str, form: Form, headers: Mapping[str, str], timeout: float) -> _Request:
    """Return the request for a form. It is sent once: the service might store a repetition twice."""
    headers = {**headers, "Content-Type": form.content_type}
    return _Request("POST", url, _host(url), headers, form, False, max(timeout, _STALL))


def _storage_error(host: str, status: int, payload: bytes) -> CometChatException:
    """Return the error of a storage service that refused a file. Its XML names a code."""
    found = re.search(rb"<Code>([A-Za-z0-9]{1,80})</Code>", payload[:65536])
    reason = f" ({found.group(1).decode()})" if found else ""
    expired = status == 403 and b"Expired" in payload[:65536]
    error = exception_for(
        ERR_PRESIGNED_URL_EXPIRED if expired else ERR_S3_UPLOAD_FAILED,
        f"{host} has not taken the file: HTTP {status}{reason}.",
        details=f"HTTP {status}",
    )
    error.http_status = status
    return error


def _encode(body: Optional[Mapping[str, Any]]) -> Optional[bytes]:
    if body is None:
        return None
    try:
        return json.dumps(body).encode()
    except RecursionError as error:
        raise unusable("body", "data with fewer than hundreds of nested levels") from error


def _is_repeatable(method: str, url: str, body: Optional[Mapping[str, Any]]) -> bool:
    """Return True if a second request does no harm. The service stores a message with a ``muid`` once."""
    if method != "POST":
        return method in ("GET", "PUT", "DELETE")
    return (body is not None and bool(body.get("muid"))) or urlsplit(url).path.endswith("/auth_tokens")


def _body_of(response: requests.Response) -> Optional[bytes]:
    """Return the body; None if it has more than MAX_BODY bytes.

    (urllib3 before 2.6 would unpack 2 KB to gigabytes.)
    """
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    chunks = _chunks(response)
    if encoding in ("gzip", "x-gzip", "deflate"):
        chunks = _unpacked(chunks)
    elif encoding not in ("", "identity"):
        raise requests.exceptions.ContentDecodingError("an encoding that was not requested")
    payload = bytearray()
    for chunk in chunks:
        payload += chunk
        if len(payload) > MAX_BODY:
            return None
    return bytes(payload)


def _chunks(response: requests.Response) -> Iterator[bytes]:
    """Yield the parts of a body as they arrive."""
    try:
        yield from response.raw.stream(65536, decode_content=False)
    except ValueError as error:  # urllib3 tries to read a chunk whose length is negative
        raise http.client.HTTPException("a chunk of an impossible length") from error


def _unpacked(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Unpack a body in the format of zlib, or of gzip, in which several parts may follow each other (RFC 1952).

    A piece of more than MAX_BODY bytes is cut. The caller must not continue after it.
    """
    part, is_first, is_over = zlib.decompressobj(47), True, False  # 47: gzip or zlib, by its head
    for data in chunks:
        while data and not is_over:
            if part.eof:
                part, is_first = zlib.decompressobj(47), False
            try:
                unpacked = part.decompress(data, MAX_BODY + 1)
            except zlib.error as error:
                if is_first:
                    raise requests.exceptions.ContentDecodingError("it can't be unpacked") from error
                is_over = True  # bytes after the last part, such as zeros, do not belong to the body
            else:
                yield unpacked
                data = part.unused_data


def _host(url: str) -> str:
    parts = urlsplit(url)
    return host_and_port(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))


def _was_dead(error: BaseException) -> bool:
    """Return True if the connection ended before the answer began."""
    ended = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)
    return any(isinstance(cause, ended) or tls_ended(cause) for cause in exception_chain(error))


def _data_of(
    request: _Request,
    status: int,
    headers: Mapping[str, str],
    payload: Optional[bytes],
    answer: object,
    expect: type,
    now: float,
) -> Any:
    """Return the ``data`` of an answer's envelope.

    :param payload: the body; None if it was over the limit.
    :param answer: the body's JSON, or ``_NO_JSON``.
    :param expect: the type of ``data``, dict or list.
    :param now: Unix seconds.
    :raises CometChatException: the server's own error, or ``ERR_BAD_RESPONSE`` for an answer without the envelope.
    """
    if request.method == "DELETE" and 200 <= status < 300 and payload is not None and not payload.strip():
        return expect()  # deleted, without data
    envelope = answer if isinstance(answer, dict) else {}
    data, error = envelope.get("data"), envelope.get("error")
    if not isinstance(error, dict) or not (error.get("code") or error.get("message")):
        error = None
    if error is None and 200 <= status < 300 and isinstance(data, expect):
        return data
    limited = status == 429 or (error is not None and error.get("code") == ERR_TOO_MANY_REQUESTS)
    retry_after = requested_wait(headers, now, limited=limited)
    if error is not None:
        raise _server_error(error, status, retry_after)
    if status == 429:
        raise exception_for(
            ERR_TOO_MANY_REQUESTS, f"{request.host} answered 429: too many requests.", retry_after=retry_after
        )
    raise exception_for(
        ERR_BAD_RESPONSE,
        f"{request.host} answered HTTP {status} with {_describe(payload, answer)}, not with the protocol's JSON"
        " envelope. Is this the right host, or does a proxy answer in its place?",
        details=f"HTTP {status}",
        retry_after=retry_after,
    )


def _parse(payload: Optional[bytes], decode: Callable[[bytes], Any]) -> object:
    """Return the JSON, or ``_NO_JSON``."""
    if payload is None:
        return _NO_JSON
    try:
        return decode(payload)
    except ValueError:
        return _NO_JSON


def _server_error(error: Dict[str, Any], status: int, retry_after: Optional[float]) -> CometChatException:
    """Return the server's own ``{code, message, details}``."""
    fallback = ERR_TOO_MANY_REQUESTS if status == 429 else f"HTTP_{status}"
    code = _text(error.get("code") or fallback)
    return class_of_answer(code, status)(
        code,
        _text(error.get("message") or f"HTTP status {status}"),
        name=_text(error["name"]) if error.get("name") else None,
        details=_details(error),
        retry_after=retry_after,
    )


def _details(error: Dict[str, Any]) -> Optional[str]:
    """Return ``details`` as one text, or else ``devMessage`` if it differs from ``message``."""
    details = error.get("details")
    if details in (None, "", {}, []):
        more = error.get("devMessage")
        details = None if more == error.get("message") else more
    if not isinstance(details, dict):
        return None if details is None else _text(details)
    parts = []
    for field, value in details.items():
        texts = value if isinstance(value, list) else [value]
        parts.append(f"{_text(field)}: {' '.join(map(_text, texts))}")
    return "; ".join(parts)


def _text(value: object) -> str:
    if not isinstance(value, str):
        try:
            value = json.dumps(value, ensure_ascii=False)
        except (RecursionError, ValueError):  # too deep to write again
            return "nested too deep to show"
    return printable(value)


def _describe(payload: Optional[bytes], answer: object) -> str:
    if payload is None:
        return f"more than {MAX_BODY} bytes"
    if not payload.strip():
        return "an empty body"
    return "text that is not JSON" if answer is _NO_JSON else "JSON of another shape"
