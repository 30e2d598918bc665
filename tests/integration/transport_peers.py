"""The peers of the transports' tests: certificates, proxies, silent addresses, answers of HTTP."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading
import time
import traceback
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

import pytest
import trustme

from cometchat import CometChatException

from .conftest import DEADLINE, Peer, unused_port  # noqa: F401 - the last is for tests without a peer

NAMES = ("127.0.0.1", "localhost")


class Authority:
    """A CA, its bundle as a file, and servers' contexts."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.bundle = str(folder / "ca.pem")
        self.ca.cert_pem.write_to_path(self.bundle)

    def server(self, *names: str, **validity: object) -> ssl.SSLContext:
        """Return a server's context, with a certificate for these names, or for the loopback."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*(names or NAMES), **validity).configure_cert(context)  # type: ignore[arg-type]
        return context


class ConnectProxy:
    """The script of a proxy. It records the request, then relays ``piece`` bytes at a time, or refuses."""

    def __init__(self, refusal: Optional[bytes] = None, piece: int = 65536) -> None:
        self.heads: List[str] = []
        self._refusal = refusal
        self._piece = piece

    def __call__(self, peer: Peer) -> None:
        head = peer.read_head()
        self.heads.append(head)
        if self._refusal is not None:
            peer.socket.sendall(self._refusal)
            return
        host, _, port = head.split(" ")[1].rpartition(":")
        with socket.create_connection((host, int(port)), DEADLINE) as target:
            target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer.socket.sendall(b"HTTP/1.1 200 Connection established\r\nVia: tests\r\n\r\n")
            self._relay(peer.socket, target)

    def _relay(self, one: socket.socket, other: socket.socket) -> None:
        to: Dict[socket.socket, socket.socket] = {one: other, other: one}
        while True:
            readable, _, _ = select.select([one, other], [], [], DEADLINE)
            for source in readable:
                data = source.recv(self._piece)
                if not data:
                    return
                to[source].sendall(data)
            if not readable:
                return

    @property
    def targets(self) -> List[str]:
        return [head.split(" ")[1] for head in self.heads]

    def header(self, name: str) -> Optional[str]:
        """Return a header of the first request."""
        return headers_of(self.heads[0]).get(name.lower())


class SocksProxy(ConnectProxy):
    """The script of a SOCKS proxy. It records the request, then relays or refuses.

    :param user: the user that it expects, with a password.
    :param code: the code of its answer to the request. With None, it ends the connection instead.
    """

    def __init__(self, user: Optional[Tuple[str, str]] = None, code: Optional[int] = None, ends: bool = False) -> None:
        super().__init__()
        self.asked: List[Tuple[str, int]] = []
        self.users: List[Tuple[str, str]] = []
        self._user = user
        self._code = code
        self._ends = ends

    def __call__(self, peer: Peer) -> None:
        version = peer.read(1)[0]
        if self._ends:
            return
        host, port = self._version_4(peer) if version == 4 else self._version_5(peer)
        if not host:
            return
        self.asked.append((host, port))
        code = (90 if version == 4 else 0) if self._code is None else self._code
        tail = b"\0" * 6 if version == 4 else b"\0\1" + b"\0" * 6
        peer.socket.sendall(bytes([0 if version == 4 else 5, code]) + tail)
        if self._code is None:
            with socket.create_connection((host, port), DEADLINE) as target:
                self._relay(peer.socket, target)

    def _version_4(self, peer: Peer) -> Tuple[str, int]:
        _, port, address = struct.unpack("!BH4s", peer.read(7))
        self.users.append((self._text(peer), ""))
        host = socket.inet_ntoa(address)
        return (self._text(peer) if host == "0.0.0.1" else host), port

    def _version_5(self, peer: Peer) -> Tuple[str, int]:
        methods = peer.read(peer.read(1)[0])
        wanted = 2 if self._user else 0
        peer.socket.sendall(bytes([5, wanted if wanted in methods else 0xFF]))
        if wanted not in methods:
            return "", 0
        if self._user:
            peer.read(1)
            given = (peer.read(peer.read(1)[0]).decode(), peer.read(peer.read(1)[0]).decode())
            self.users.append(given)
            peer.socket.sendall(bytes([1, given != self._user]))
            if given != self._user:
                return "", 0
        kind = peer.read(4)[3]
        if kind == 3:
            host = peer.read(peer.read(1)[0]).decode()
        else:
            family, size = (socket.AF_INET, 4) if kind == 1 else (socket.AF_INET6, 16)
            host = socket.inet_ntop(family, peer.read(size))
        return host, int.from_bytes(peer.read(2), "big")

    def _text(self, peer: Peer) -> str:
        data = b""
        while not data.endswith(b"\0"):
            data += peer.read(1)
        return data[:-1].decode()


class SilentAddress:
    """A port on which connections are never made: the backlog is full, so that the kernel does not answer SYN."""

    def __init__(self) -> None:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        self.port = int(self._listener.getsockname()[1])
        self._fillers = [socket.socket() for _ in range(4)]
        for filler in self._fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))

    def __enter__(self) -> SilentAddress:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for filler in [*self._fillers, self._listener]:
            filler.close()


class Count:
    """Counts connections, and lets a test wait for a number of them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.value = 0

    def up(self) -> int:
        with self._changed:
            self.value += 1
            self._changed.notify_all()
            return self.value

    def wait_for(self, value: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.value >= value, DEADLINE), f"{self.value} of {value}"


def headers_of(head: str) -> Dict[str, str]:
    """Return the headers of a request, by their lower-case names."""
    pairs = (line.partition(":") for line in head.split("\r\n")[1:] if line)
    return {name.lower(): value.strip() for name, _, value in pairs}


def answer(status: int = 200, body: bytes = b"", headers: Optional[Mapping[str, str]] = None) -> bytes:
    """Return an answer of HTTP/1.1."""
    lines = [f"HTTP/1.1 {status} Reason", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def drip(peer: Peer, data: Iterable[bytes], pause: float = 0.02) -> None:
    """Send the pieces with pauses, as long as the peer reads them."""
    never = threading.Event()
    with contextlib.suppress(OSError):
        for piece in data:
            peer.socket.sendall(piece)
            never.wait(pause)


class Stopwatch:
    """Measures the seconds from entering to leaving."""

    seconds = 0.0

    def __enter__(self) -> Stopwatch:
        self._started = time.monotonic()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.seconds = time.monotonic() - self._started


def error_of(call: Callable[[], object], code: str) -> CometChatException:
    """Return the error with this code that the call raises."""
    with pytest.raises(CometChatException) as caught:
        call()
    assert caught.value.code == code, caught.value
    return caught.value


def whole_text(error: BaseException) -> str:
    """Return every text of an error: itself, its details, and its traceback with all causes."""
    trace = traceback.format_exception(type(error), error, error.__traceback__)
    return "\n".join([repr(error), str(getattr(error, "details", None)), *trace])


@contextlib.contextmanager
def blackhole() -> Iterator[int]:
    """Yield a port that never answers SYN, since its queue of connections is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
