"""The test's side of floods: programs in separate processes, and thousands of frames."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List

from integration.conftest import OTHER_UID, UID, eventually, frame

from cometchat.sandbox import Sandbox

from .network_program import Program

#: Bytes of unsent frames at which the server waits before it sends more: a pong has to wait behind them.
UNSENT = 256 * 1024

#: Number of frames in one write.
BATCH = 500

MIB = 1024 * 1024


def program(name: str) -> Program:
    """Start a program of this folder. It runs without coverage, which would grow and take time."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("COV")}
    started = Program([sys.executable, str(Path(__file__).with_name(name))], env)
    started.wait_for("ready")
    return started


@contextlib.contextmanager
def flooded_client(sandbox: Sandbox, **settings: Any) -> Iterator[Program]:
    """Yield a connected client of the sandbox in a separate process. At the end no thread of the SDK is left in it."""
    client = program("flood_client.py")
    try:
        where = {"app_id": sandbox.app_id, "auth_key": sandbox.auth_key, "url": sandbox.url}
        client.call("start", **where, subscription_type="ALL_USERS", **settings)
        yield client
        assert client.call("close", timeout=60.0) == []
    finally:
        client.close()


def _text(number: int, size: int) -> Dict[str, Any]:
    """Return an ephemeral event: typing indicators, receipts, presence and transient messages in turn."""
    user = {"uid": OTHER_UID, "name": f"Number {number}", "role": "default", "status": "online"}
    to = {"receiver": UID, "receiverType": "user", "deviceId": "flood", "sender": OTHER_UID, "appId": "sandbox-app"}
    if size:
        return {**to, "type": "transient_message", "body": {"user": user, "data": {"n": number, "text": "x" * size}}}
    return [
        {**to, "type": "typing_indicator", "body": {"action": "started", "user": user, "metadata": {"n": number}}},
        {**to, "type": "receipts", "body": {"action": "read", "messageId": str(number), "user": user}},
        {**to, "type": "presence", "body": {"action": "online", "user": user, "timestamp": 1}},
        {**to, "type": "transient_message", "body": {"user": user, "data": {"n": number}}},
    ][number % 4]


class Flood:
    """Sends numbered events and numbered messages to the one client of a sandbox.

    :ivar events: number of sent events.
    :ivar messages: number of sent messages.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.events = 0
        self.messages = 0

    def send_events(self, count: int, size: int = 0) -> None:
        """Send this many events of about this many bytes each, at the client's speed."""
        last = self.events + count
        while self.events < last:
            numbers = range(self.events, min(last, self.events + (1 if size else BATCH)))
            wire = b"".join(frame(1, json.dumps(_text(number, size)).encode()) for number in numbers)
            assert self._sandbox.send_wire(wire) == 1
            self.events = numbers.stop
            assert eventually(lambda: self._unsent() < UNSENT, 30.0), "the client takes nothing more"

    def send_messages(self, count: int, size: int = 0) -> None:
        """Store this many messages, and deliver them if the client is connected."""
        for self.messages in range(self.messages + 1, self.messages + count + 1):
            self._sandbox.send_message(OTHER_UID, UID, f"{self.messages - 1} {'x' * size}")
            if size:
                assert eventually(lambda: self._unsent() < UNSENT, 30.0), "the client takes nothing more"

    def _unsent(self) -> int:
        service = self._sandbox._service
        assert service is not None
        return sum(connection.transport.get_write_buffer_size() for connection in list(service.connections))


def drop(sandbox: Sandbox, client: Program) -> None:
    """Drop the connection after everything sent has arrived, and wait until it is back."""
    client.call("ping")
    connects = client.call("stats")["connects"]
    assert sandbox.drop_connections() == 1
    assert eventually(lambda: client.call("stats")["connects"] == connects + 1, 30.0), "it does not come back"


def log_of(client: Program) -> List[str]:
    """Return the levels of the client's log records about floods. Another record may say that a callback took 5 s."""
    records = client.call("heard")["log"]
    assert {name for name, _, _ in records} <= {"cometchat.listeners"}, records
    return [level for _, level, text in records if "Too many events" in text or "caught up" in text]
