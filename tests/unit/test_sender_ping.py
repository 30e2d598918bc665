"""The user's ping on the current socket."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, List

from integration.conftest import finished, in_thread

from cometchat._protocol import PING, Heartbeat
from cometchat._runtime._sender import Sender
from cometchat._runtime.connection import Generation


def test_the_time_for_the_ping_counts() -> None:
    """The limit of ping() is for both, the room for the ping and its pong: a slow peer gets less time to answer."""
    now = [100.0]
    sent: List[str] = []

    def send(text: str, timeout: float) -> None:
        now[0] += timeout
        sent.append(text)

    generation = Generation(1, threading.RLock())
    generation.heartbeat = Heartbeat(15.0, 3.0, now[0])
    generation.socket = SimpleNamespace(send=send)  # type: ignore[assignment]
    state: Any = SimpleNamespace(newest=generation, closed=False)
    account: Any = SimpleNamespace(client_name=lambda: "client 1", lock=threading.RLock())
    inbox: Any = None
    sender = Sender(account, state, inbox, timeout=3.0, clock=lambda: now[0])
    error = finished(*in_thread(lambda: sender.ping(60.0)))
    assert error.code == "ERR_PONG_TIMEOUT" and sent == [PING]
