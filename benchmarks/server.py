"""The server side: a separate process with raw sockets. It encodes the frames before the clock starts.

One port serves the HTTP calls of a CometChat login, and WebSockets whose path names the protocol (``dialects``).
Commands arrive as lines of JSON on standard input. Answers go to standard output.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import sys
import threading
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from .dialects import DIALECTS, READY_AT_ONCE, STAMP, Answer, Dialect, dialect_of, encoded, frame, payload

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

#: Bytes in one send call of a flood.
_BLOCK = 256 * 1024

_USER = {"uid": "uid1", "name": "UID1", "status": "online", "role": "default"}


class Peer:
    """One client's WebSocket."""

    def __init__(self, raw: socket.socket, dialect: str) -> None:
        self.raw = raw
        self.dialect = dialect
        self.lock = threading.Lock()

    def send(self, data: bytes) -> None:
        """Send all of these bytes."""
        with self.lock:
            self.raw.sendall(data)


class Server:
    """The server."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.port = self._listener.getsockname()[1]
        self._changed = threading.Condition()
        self._ready: List[Peer] = []
        self._newest: Optional[Peer] = None
        self._peer: Optional[Peer] = None
        self._accepted = 0
        self._requests = 0
        self._message_id = 100
        # The server's reaction to a client: "answer", "silent" or "refuse".
        self._upgrade = self._auth = self._me = "answer"
        self._mode = "DEFAULT"
        self._never = threading.Event()

    def serve(self) -> None:
        """Accept connections until the process ends."""
        while True:
            raw, _ = self._listener.accept()
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._accepted += 1
            threading.Thread(target=self._talk, args=(raw,), daemon=True).start()

    def command(self, line: Dict[str, Any]) -> Dict[str, Any]:
        """Carry out one command."""
        do: Callable[..., Dict[str, Any]] = getattr(self, f"do_{line.pop('do')}")
        return do(**line)

    def do_flood(self, count: int) -> Dict[str, Any]:
        """Send ``count`` events as fast as the waiting client takes them. Returns the time of the start."""
        peer = self._peer
        assert peer is not None, "wait for a client first"
        one = encoded(peer.dialect)
        many = max(1, _BLOCK // len(one))
        block = one * many
        started = time.monotonic()
        while count:
            part = min(many, count)
            peer.send(block if part == many else one * part)
            count -= part
        return {"started": started}

    def do_pace(self, count: int, rate: float) -> Dict[str, Any]:
        """Send the client events one at a time, ``rate`` per second, each with the time of its sending."""
        peer = self._peer
        assert peer is not None, "wait for a client first"
        before, after = encoded(peer.dialect, stamped=True).split(STAMP.encode())
        threading.Thread(target=self._pace, args=(peer, before, after, count, 1.0 / rate), daemon=True).start()
        return {}

    def do_publish(self, port: int, channel: str, count: int, rate: float) -> Dict[str, Any]:
        """Publish the same events in a Redis, at the same rate."""
        event = payload(stamped=True).encode()
        command = b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n$%d\r\n" % (len(channel), channel.encode(), len(event))
        before, after = (command + event + b"\r\n").split(STAMP.encode())
        raw = socket.create_connection(("127.0.0.1", port))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = Peer(raw, "redis")
        threading.Thread(target=self._drain, args=(raw,), daemon=True).start()
        threading.Thread(target=self._pace, args=(peer, before, after, count, 1.0 / rate), daemon=True).start()
        return {}

    @staticmethod
    def _drain(raw: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while raw.recv(65536):
                pass

    def do_wait(self, timeout: float = 60.0) -> Dict[str, Any]:
        """Wait for one more client that is ready, beside those of earlier calls."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._newest is not None, timeout):
                raise RuntimeError("no client is ready")
            self._peer, self._newest = self._newest, None
        return {}

    def do_drop(self) -> Dict[str, Any]:
        """End every WebSocket, without a close frame. Return when that began."""
        with self._changed:
            peers, self._ready = self._ready, []
        began = time.monotonic()
        for peer in peers:
            with contextlib.suppress(OSError):  # the client has ended it
                peer.raw.shutdown(socket.SHUT_RDWR)
        return {"dropped": len(peers), "at": began}

    def do_behave(
        self, upgrade: str = "answer", auth: str = "answer", me: str = "answer", mode: str = "DEFAULT"
    ) -> Dict[str, Any]:
        """React to clients in this way from now on."""
        self._upgrade, self._auth, self._me, self._mode = upgrade, auth, me, mode
        self._never.set()  # releases the waiting clients
        self._never = threading.Event()
        return {}

    def do_counts(self) -> Dict[str, Any]:
        """Return the numbers of TCP connections and HTTP requests so far."""
        return {"accepted": self._accepted, "requests": self._requests}

    def _pace(self, peer: Peer, before: bytes, after: bytes, count: int, interval: float) -> None:
        wake = threading.Event()
        due = time.monotonic()
        try:
            for _ in range(count):
                due += interval
                wake.wait(max(0.0, due - time.monotonic()))
                peer.send(b"%b%019d%b" % (before, time.monotonic_ns(), after))
        except OSError:
            return

    # --- one connection

    def _talk(self, raw: socket.socket) -> None:
        try:
            with raw, raw.makefile("rb") as reader:
                while True:
                    head = self._head(reader)
                    if head is None:
                        return
                    method, path, headers = head
                    if headers.get("upgrade", "").lower() == "websocket":
                        self._websocket(raw, reader, path, headers)
                        return
                    body = reader.read(int(headers.get("content-length", "0")))
                    self._requests += 1
                    raw.sendall(self._http(method, path, body))
        except OSError:
            return

    @staticmethod
    def _head(reader: Any) -> Optional[Tuple[str, str, Dict[str, str]]]:
        first = reader.readline().split()
        if len(first) < 2:
            return None
        headers = {}
        while True:
            line = reader.readline().strip()
            if not line:
                return first[0].decode(), first[1].decode(), headers
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()

    def _http(self, method: str, path: str, body: bytes) -> bytes:
        settings = {"CHAT_HOST_OVERRIDE": f"127.0.0.1:{self.port}/cometchat", "CHAT_USE_SSL": 0, "MODE": self._mode}
        data: Any = {"success": True}
        if path.endswith("/auth_tokens"):
            data = {**_USER, "authToken": "uid1_token"}
        elif path.endswith("/me") and method == "PUT":
            if self._me == "silent":
                self._never.wait()
            data = {**_USER, "authToken": "uid1_token", "jwt": "header.payload.signature", "settings": settings}
        elif path.endswith("/settings"):
            data = settings
        elif path.endswith("/messages") and method == "POST":
            self._message_id += 1
            data = {**json.loads(body), "id": str(self._message_id), "sentAt": 1700000001}
        elif "/messages" in path:
            data = []
        answer = json.dumps({"data": data}).encode()
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer

    def _websocket(self, raw: socket.socket, reader: Any, path: str, headers: Dict[str, str]) -> None:
        name = dialect_of(path)
        dialect = DIALECTS[name]
        if name == "cometchat" and self._upgrade != "answer":
            if self._upgrade == "silent":
                self._never.wait()
            else:
                raw.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
            return
        key = hashlib.sha1(headers["sec-websocket-key"].encode() + _MAGIC, usedforsecurity=False).digest()
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {base64.b64encode(key).decode()}",
        ]
        if dialect.subprotocol:
            lines.append(f"Sec-WebSocket-Protocol: {dialect.subprotocol}")
        raw.sendall("\r\n".join([*lines, "", ""]).encode())
        peer = Peer(raw, name)
        try:
            for greeting in dialect.greeting:
                peer.send(frame(greeting, dialect.opcode))
            if name in READY_AT_ONCE:
                self._is_ready(peer)
            self._frames(peer, dialect, reader)
        finally:
            with self._changed:
                if peer in self._ready:
                    self._ready.remove(peer)

    def _frames(self, peer: Peer, dialect: Dialect, reader: Any) -> None:
        while True:
            head = reader.read(2)
            if len(head) < 2:
                return
            opcode, length = head[0] & 15, head[1] & 127
            if length > 125:
                length = int.from_bytes(reader.read(2 if length == 126 else 8), "big")
            mask = reader.read(4)
            data = bytes(byte ^ mask[place % 4] for place, byte in enumerate(reader.read(length)))
            if opcode == 8:
                peer.send(frame(data, 8))
                return
            if opcode == 9:
                peer.send(frame(data, 10))
            elif opcode in (1, 2):
                answer = dialect.answer(data)
                if peer.dialect == "cometchat" and answer.ready and self._auth != "answer":
                    if self._auth == "silent":
                        continue
                    answer = Answer((b'{"type":"auth","body":{"code":"401"}}',))
                for text in answer.frames:
                    peer.send(frame(text, dialect.opcode))
                if answer.ready:
                    self._is_ready(peer)

    def _is_ready(self, peer: Peer) -> None:
        with self._changed:
            self._ready.append(peer)
            self._newest = peer
            self._changed.notify_all()

    def say(self, line: Dict[str, Any]) -> None:
        """Print a line on standard output."""
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def main() -> None:
    """Serve until standard input ends."""
    threading.stack_size(128 * 1024)
    server = Server()
    threading.Thread(target=server.serve, daemon=True).start()
    server.say({"port": server.port})
    for line in sys.stdin:
        server.say(server.command(json.loads(line)))


if __name__ == "__main__":
    main()
