"""A service whose answers a test sets, HTTP and WebSocket on one port, and the memory that a process takes."""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Dict, List, Optional, Tuple, Type, Union

import pytest
from integration.conftest import Peer, accept_upgrade, frame
from integration.transport_peers import answer, headers_of

from cometchat import AppSettings

Answer = Union[bytes, Callable[[Peer], object]]

KEY = "the-auth-key-4cb01fa3e8d79a26"
TOKEN = "cometchat-uid-1_7f3a9c0e5d1b8264f0a17c3e"
JWT = "eyJhbGciOiJub25lIn0." + "payloadPAYLOAD0123456789" * 4 + ".signature-SIGNATURE-42"

#: The calls of the SDK, by the beginning of their request line.
CALLS = {
    "POST /users/": "auth_tokens",
    "PUT /me": "me",
    "DELETE /me": "logout",
    "GET /settings": "settings",
    "GET /messages": "history",
    "POST /messages": "messages",
    "GET / ": "upgrade",
}


def ok(data: Any) -> bytes:
    """Return an answer with the protocol's envelope."""
    return answer(200, json.dumps({"data": data}).encode())


class Service:
    """The script of a raw server. ``answers[call]`` replaces the good answer: bytes, or a script.

    :ivar asked: the calls, in order, with the heads of their requests.
    :ivar on_open: called with each open WebSocket, on its thread.
    """

    def __init__(self) -> None:
        self.answers: Dict[str, Answer] = {}
        self.asked: List[Tuple[str, str]] = []
        self.accept = frame(1, b'{"type":"auth","body":{"code":"200","status":"OK"}}')
        self.on_open: Callable[[Peer], object] = lambda peer: None
        self.sockets: List[Peer] = []
        self.port = 0
        self.history: List[Any] = []
        self._changed = threading.Condition()
        self._writing = threading.Lock()  # a pong must not come within another frame

    def settings(self, **overrides: Any) -> AppSettings:
        """Return settings for a client of this service."""
        url = f"http://127.0.0.1:{self.port}"
        return AppSettings(**{"admin_host": url, "client_host": url, **overrides})

    def count(self, call: str) -> int:
        """Return how many times the call was made."""
        with self._changed:
            return sum(name == call for name, _ in self.asked)

    def wait_for(self, call: str, count: int, timeout: float = 10.0) -> None:
        """Wait until the call was made this many times."""
        with self._changed:
            there = self._changed.wait_for(lambda: self.count(call) >= count, timeout)
        assert there, f"{call} was not asked for {count} times: {[name for name, _ in self.asked][-20:]}"

    def say(self, wire: bytes) -> None:
        """Write to the newest WebSocket."""
        with self._writing:
            self.sockets[-1].socket.sendall(wire)

    def event(self, **fields: Any) -> None:
        """Send a frame to the newest WebSocket."""
        self.say(frame(1, json.dumps(fields).encode()))

    def drop(self) -> None:
        """End the newest WebSocket, without a close frame."""
        socket.socket.shutdown(self.sockets[-1].socket, socket.SHUT_RDWR)

    def good(self, call: str) -> bytes:
        """Return the answer of a healthy service."""
        settings = {"CHAT_HOST": "127.0.0.1", "CHAT_WS_PORT": self.port, "CHAT_USE_SSL": 0, "MODE": "DEFAULT"}
        answers: Dict[str, Any] = {
            "auth_tokens": {"uid": "cometchat-uid-1", "authToken": TOKEN},
            "me": {"uid": "cometchat-uid-1", "name": "Andrew", "jwt": JWT, "settings": settings},
            "logout": {"success": True},
            "settings": settings,
            "history": self.history,
            "messages": {"id": "7", "category": "message", "type": "text", "data": {"text": "x"}},
        }
        return ok(answers[call])

    def __call__(self, peer: Peer) -> None:
        while True:
            head = peer.read_head()
            peer.read(int(headers_of(head).get("content-length", "0")))
            call = next(name for start, name in CALLS.items() if head.startswith(start))
            with self._changed:
                self.asked.append((call, head))
                reply = self.answers.get(call)
                self._changed.notify_all()
            if reply is not None:
                if callable(reply):
                    reply(peer)
                else:
                    peer.socket.sendall(reply.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
                return
            if call == "upgrade":
                self._talk(peer, head)
                return
            peer.socket.sendall(self.good(call))

    def _talk(self, peer: Peer, head: str) -> None:
        peer.socket.sendall(accept_upgrade(head))
        peer.read_frame()
        # first: the client may get the answer, and the test may continue, before this thread does
        self.sockets.append(peer)
        peer.socket.sendall(self.accept)
        self.on_open(peer)
        while True:
            came = peer.read_frame()
            if came.opcode == 8:
                return
            if came.opcode == 1 and b'"ping"' in came.payload:
                with self._writing:
                    peer.socket.sendall(frame(1, b'{"action":"pong"}'))


def own_memory() -> Tuple[int, int]:
    """Return the size of this process's address space, and its part in memory, in bytes."""
    with contextlib.suppress(FileNotFoundError):  # where the system is not Linux
        pages = Path("/proc/self/statm").read_text().split()
        return int(pages[0]) * mmap.PAGESIZE, int(pages[1]) * mmap.PAGESIZE
    found = pytest.importorskip("psutil").Process().memory_info()
    return found.vms, found.rss


class Memory:
    """The growth of this process in MB within a ``with`` block: the maximum (``peak``) and the end (``kept``)."""

    peak = kept = 0.0

    def __enter__(self) -> Memory:
        with contextlib.suppress(OSError, AttributeError):
            # glibc: memory that earlier tests have freed must not count as room for this one
            ctypes.CDLL(None).malloc_trim(0)
        self._rss = lambda: own_memory()[1] / 2**20
        self._before = self._most = self._rss()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="test-memory", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._stop.set()
        self._thread.join()
        now = self._rss()
        self.peak, self.kept = max(self._most, now) - self._before, now - self._before

    def _watch(self) -> None:
        while not self._stop.wait(0.003):
            self._most = max(self._most, self._rss())


def endless(head: bytes, piece: bytes = b"x" * 2**20, megabytes: int = 300) -> Callable[[Peer], None]:
    """Return the script of an answer that never ends, sent as fast as it is read."""

    def script(peer: Peer) -> None:
        peer.socket.sendall(head)
        for _ in range(megabytes * 2**20 // len(piece)):
            peer.socket.sendall(piece)

    return script


def dripping(data: bytes) -> Callable[[Peer], None]:
    """Return the script of an answer that arrives byte by byte."""

    def script(peer: Peer) -> None:
        deadline, never = time.monotonic() + 20, threading.Event()
        for byte in data:
            peer.socket.sendall(bytes([byte]))
            never.wait(0.02)
            if time.monotonic() > deadline:
                return

    return script
