"""The user's ping on the current socket."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, Callable, List, Tuple

import pytest
from integration.conftest import finished, in_thread

from cometchat._protocol import PING, Heartbeat
from cometchat._runtime._sender import Sender
from cometchat._runtime.connection import Generation


def ping(send: Callable[[Generation], None], clock: Callable[[], float], closed: bool = False) -> Tuple[Any, List[str]]:
    """Ping on a socket that is up. Returns the error, and what was sent.

    :param send: called while the ping is sent.
    """
    sent: List[str] = []

    def send_text(text: str, timeout: float) -> None:
        sent.append(text)
        send(generation)

    generation = Generation(1, threading.RLock())
    generation.heartbeat = Heartbeat(15.0, 3.0, clock())
    generation.socket = SimpleNamespace(send=send_text)  # type: ignore[assignment]
    state: Any = SimpleNamespace(newest=generation, closed=closed)
    account: Any = SimpleNamespace(client_name=lambda: "client 1", lock=threading.RLock())
    inbox: Any = None
    sender = Sender(account, state, inbox, timeout=3.0, clock=clock)
    return finished(*in_thread(lambda: sender.ping(60.0))), sent


def test_the_time_for_the_ping_counts() -> None:
    """The limit of ping() is for both, the room for the ping and its pong: a slow peer gets less time to answer."""
    now = [100.0]
    error, sent = ping(lambda generation: now.append(now[-1] + 60.0), lambda: now[-1])
    assert error.code == "ERR_PONG_TIMEOUT" and sent == [PING]


@pytest.mark.parametrize("closed, code", [(False, "NO_WEBSOCKET_CONNECTION"), (True, "ERR_CLIENT_CLOSED")])
def test_a_ping_on_a_connection_that_is_closed_on_purpose(closed: bool, code: str) -> None:
    """disconnect() or close() on another thread ends the wait."""
    error, _ = ping(lambda generation: generation.release_pings(), lambda: 100.0, closed)
    assert error.code == code
