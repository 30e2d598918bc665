"""A fuzz target: bytes as a server's answer to an HTTP call, from its status line on."""

from __future__ import annotations

import contextlib
import gzip
import threading
import zlib
from typing import Any, List

from integration.conftest import Peer, RawServer

from cometchat import AppSettings, CometChatException, MemorySessionStore
from cometchat._runtime.account._account import Account
from cometchat._transport.http import RequestsRest

from .fuzz_values import KEYS, ODD, Draw, as_json, check

TOKEN = "the-auth-token-0123456789abcdef"

#: Maximum time for an answer, in seconds.
LIMIT = 2.0


class Answering:
    """A server that gives every request the same bytes and ends. It starts on first use, and sometimes again."""

    def __init__(self) -> None:
        self.reply = b""
        self._asked = 0
        self._servers: List[RawServer] = []

    def url(self) -> str:
        """Return its URL."""
        self._asked += 1
        if self._asked % 500 == 0:  # it remembers every connection
            self.close()
        if not self._servers:
            self._servers.append(RawServer(self._script))
        return f"http://127.0.0.1:{self._servers[0].port}"

    def _script(self, peer: Peer) -> None:
        peer.read_head()
        with contextlib.suppress(OSError):
            peer.socket.sendall(self.reply)

    def close(self) -> None:
        """End it. The next call starts another."""
        while self._servers:
            self._servers.pop().close()


answering = Answering()


def ask(reply: bytes) -> Any:
    """Return the result of a call with this answer, or None if it raised an allowed exception."""
    url = answering.url()
    answering.reply = reply
    rest = RequestsRest()
    account = Account("app", AppSettings(region="us"), rest, MemorySessionStore(), lock=threading.RLock(), number=1)
    account.secrets.add(TOKEN)
    try:
        data = rest.call("GET", f"{url}/me", headers={"authToken": TOKEN}, timeout=LIMIT)
    except CometChatException as error:
        account.secrets.scrub_error(error)
        check(error, servers_own=error.http_status is not None)
        return None
    finally:
        rest.close()
    assert isinstance(data, dict)
    return data


def reply_of(draw: Draw) -> bytes:
    """Return an answer that is nearly right."""
    status = draw.pick(
        ["200 ok", "204", "401 no", "429 slowly", "500", "302 there", "101 x", "099 y", "1000", "2e2", ""]
    )
    body = as_json({draw.pick(["data", "error", "x"]): draw.value()}, twice=draw.byte() % 8 == 1)
    if draw.byte() % 8 == 1:
        body = draw.rest()
    headers = [
        f"{draw.pick(_HEADERS)}: {draw.pick(_VALUES)}".encode("latin-1", "replace") for _ in range(draw.byte() % 5)
    ]
    kind = draw.byte() % 6
    if kind < 2:
        headers.append(b"Content-Length: %d" % (len(body) + draw.pick([0, 0, 0, 5, -1, 10**30])))
    elif kind == 2:
        headers.append(b"Transfer-Encoding: chunked")
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (draw.pick([len(body), 1, 2**70, 0]), body)
    elif kind == 3:
        body = draw.pick([gzip.compress, zlib.compress, bytes])(body)
        headers.append(b"Content-Encoding: " + draw.pick([b"gzip", b"deflate", b"gzip, gzip", b"br", b"identity"]))
    return b"\r\n".join([b"HTTP/1.1 " + status.encode(), *headers, b"", body])


_HEADERS = ["Content-Length", "Transfer-Encoding", "Content-Encoding", "Location", "Retry-After", "Connection", "X", ""]

_VALUES = [str(value)[:200] for value in ODD] + [
    *("chunked", "gzip", "close", "http://[", "//other/", "Wed, 21 Oct 2099 07:28:00 GMT", "Thu, 99 Feb 2026 25:61:00"),
    *("-1", "1", "5, 6", "identity", "gzip, chunked", TOKEN),
]


def one_input(data: bytes) -> None:
    """Check any answer: the result is an object, or a CometChatException that says what was wrong."""
    draw = Draw(data)
    ask(draw.rest() if draw.byte() % 2 else reply_of(draw))


#: Inputs to begin with.
SEEDS = [
    b'\x01HTTP/1.1 200 ok\r\nContent-Length: 12\r\n\r\n{"data": {}}',
    b'\x01HTTP/1.1 400 no\r\nRetry-After: 5\r\nContent-Length: 27\r\n\r\n{"error": {"code": "ERR_X"}}',
    b"\x01HTTP/1.1 200 ok\r\nTransfer-Encoding: chunked\r\n\r\nc\r\n" + b'{"data": {}}\r\n0\r\n\r\n',
    b"\x01HTTP/1.1 302 f\r\nLocation: http://other/\r\n\r\n",
    b"\x00" + bytes(range(250)),
    b"\x00" + bytes(KEYS.index("code") for _ in range(80)),
]
