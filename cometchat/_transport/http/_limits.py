"""An answer of HTTP that has an end: in time, in bytes, and in what it unpacks to; and TLS of 1.2 at the least.

requests, urllib3 and http.client read some parts of an answer up to their end, wherever that is, and some only log what
they can't read.
"""

from __future__ import annotations

import functools
import http.client
import io
import socket
import ssl
import time
import zlib
from typing import Any, Callable, Dict, Optional

import requests
import requests.adapters
import urllib3.connection
import urllib3.exceptions
import urllib3.util.ssl_

from ..net import Connector, LookUp, look_up

#: Bytes. A longer answer is not the protocol's.
MAX_BODY = 16 * 1024 * 1024

#: Bytes. Its head, and the lengths of its chunks, have room in as many again.
MAX_ANSWER = 2 * MAX_BODY


class TooLong(OSError):
    """An answer over the limit, whatever its parts are."""


class _DeadlineReader(io.RawIOBase):
    """The bytes of an answer. The socket's timeout and a limit hold for all of them together, not for each part."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._timeout = connection.gettimeout()
        self._deadline = None if self._timeout is None else time.monotonic() + self._timeout
        self._raw = connection.makefile("rb", buffering=0)
        self._left = MAX_ANSWER

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> Optional[int]:
        """Wait for some bytes until the deadline."""
        if self._left <= 0:
            raise TooLong(f"more than {MAX_ANSWER} bytes")
        taken = self._take(buffer)
        self._left -= taken or 0
        return taken

    def _take(self, buffer: Any) -> Optional[int]:
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

    def begin(self, *args: Any, **kwargs: Any) -> None:
        """Read the head."""
        super().begin(*args, **kwargs)
        # What can't be read as a header is let go: urllib3 would log it as a warning, and it may quote a credential.
        self.msg.defects.clear()
        self.msg.set_payload("")


def _connect(connection: Any, addresses_of: LookUp) -> socket.socket:
    """In place of urllib3's way to TCP; raises what that raises."""
    timeout: float = connection.timeout
    host = connection._dns_host.strip("[]")  # urllib3's: as it is to be looked up
    try:
        connector = Connector(deadline=time.monotonic() + timeout, addresses_of=addresses_of)
        raw = connector.connect(host, connection.port).detach()
    except socket.timeout as error:
        raise urllib3.exceptions.ConnectTimeoutError(connection, f"no TCP within {timeout:g} s") from error
    except OSError as error:
        raise urllib3.exceptions.NewConnectionError(connection, "no TCP") from error
    raw.settimeout(timeout)
    return raw


@functools.lru_cache(maxsize=64)
def _bounded(pool: Any, addresses_of: LookUp) -> Any:
    """urllib3's class of connection pools, with answers that are a :class:`_Response`, and :func:`_connect`."""
    if issubclass(pool.ConnectionCls.response_class, _Response):
        return pool
    more: Dict[str, Any] = {"response_class": _Response}
    if pool.ConnectionCls._new_conn is urllib3.connection.HTTPConnection._new_conn:  # not where that is SOCKS
        more["_new_conn"] = lambda connection: _connect(connection, addresses_of)
    connection = type(pool.ConnectionCls.__name__, (pool.ConnectionCls,), more)
    return type(pool.__name__, (pool,), {"ConnectionCls": connection})


class _Tls:
    """The TLS context of an adapter, made when the first pool for https needs it: that takes half a millisecond."""

    def __init__(self) -> None:
        self._context: Optional[ssl.SSLContext] = None

    def pool(self, cls: Any) -> Callable[..., Any]:
        """Makes pools of a class, with this context."""

        def make(*args: Any, **kwargs: Any) -> Any:
            if self._context is None:
                self._context = _tls()
            return cls(*args, **{**kwargs, "ssl_context": self._context})

        return make


class Adapter(requests.adapters.HTTPAdapter):
    """requests' way to urllib3, with :func:`_bounded` pools.

    :param addresses_of: looks a name up.
    """

    def __init__(self, *, addresses_of: LookUp = look_up, **kwargs: Any) -> None:
        self._addresses_of = addresses_of
        super().__init__(**kwargs)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """For what goes without a proxy."""
        super().init_poolmanager(*args, **kwargs)
        self._bound(self.poolmanager)
        classes = self.poolmanager.pool_classes_by_scheme
        classes["https"] = _Tls().pool(classes["https"])

    def close(self) -> None:
        """End every connection, also those that a call under way gives back later.

        urllib3 from 2 on leaves that to the garbage collector, which comes to it when it comes.
        """
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in list(manager.pools.keys()):
                pool = manager.pools.get(key)
                if pool is not None:
                    pool.close()
        super().close()

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """For what goes through one."""
        manager = super().proxy_manager_for(*args, ssl_context=_tls(), **kwargs)
        self._bound(manager)
        return manager

    def _bound(self, manager: Any) -> None:
        classes = manager.pool_classes_by_scheme.items()
        manager.pool_classes_by_scheme = {scheme: _bounded(pool, self._addresses_of) for scheme, pool in classes}


def _tls() -> ssl.SSLContext:
    """As strict as the WebSocket's, where urllib3 before 2 is not. Whom to trust, requests puts in for each call."""
    context = urllib3.util.ssl_.create_urllib3_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Session(requests.Session):
    """requests' session, which looks at no redirect. It would read the whole body of one, without a limit."""

    def get_redirect_target(self, resp: Any) -> None:
        """There is none."""


def body_of(response: requests.Response) -> Optional[bytes]:
    """The body; None: more than MAX_BODY bytes. urllib3 before 2.6 would unpack 2 KB to gigabytes: here is an end."""
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    unpacker = None if encoding in ("", "identity") else zlib.decompressobj(47)  # 47: gzip or zlib, by its head
    if unpacker is not None and encoding not in ("gzip", "x-gzip", "deflate"):
        raise requests.exceptions.ContentDecodingError("an encoding that was not asked for")
    payload = bytearray()
    for chunk in response.raw.stream(65536, decode_content=False):
        if unpacker is not None:
            try:
                chunk = unpacker.decompress(chunk, MAX_BODY + 1 - len(payload))
            except zlib.error as error:
                raise requests.exceptions.ContentDecodingError("it can't be unpacked") from error
        payload += chunk
        if len(payload) > MAX_BODY:
            return None
    return bytes(payload)
