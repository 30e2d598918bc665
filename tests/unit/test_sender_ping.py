"""The user's ping on the current socket, and the address of a receipt."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, Callable, List, Tuple

import pytest
from integration.conftest import finished, in_thread

from cometchat._protocol._frames import PING, Heartbeat
from cometchat._runtime.connection import Generation
from cometchat._runtime.messages._sender import Sender


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
    used: List[Generation] = []

    def send(generation: Generation) -> None:
        used.append(generation)
        now.append(now[-1] + 60.0)

    error, sent = ping(send, lambda: now[-1])
    assert error.code == "ERR_PONG_TIMEOUT" and sent == [PING]
    assert used[0].pong(now[-1]) is None  # ping() no longer waits for a pong


@pytest.mark.parametrize("closed, code", [(False, "NO_WEBSOCKET_CONNECTION"), (True, "ERR_CLIENT_CLOSED")])
def test_a_ping_on_a_connection_that_is_closed_on_purpose(closed: bool, code: str) -> None:
    """disconnect() or close() on another thread ends the wait."""
    error, _ = ping(lambda generation: generation.release_pings(), lambda: 100.0, closed)
    assert error.code == code


@pytest.mark.parametrize(
    "receiver, kind, path",
    [("u/2", "user", "/users/u%2F2/conversation/read"), ("g1", "group", "/groups/g1/conversation/read")],
)
def test_the_address_of_a_receipt(receiver: str, kind: str, path: str) -> None:
    """It names the user or the group. The call is made as the user who put it, and for no other."""
    asked: List[Any] = []
    account = SimpleNamespace(client_name=lambda: "client 1", lock=threading.RLock())
    account.request = lambda *args, **named: asked.append((args, named))
    parts: Any = (account, None, None)
    body = {"receiver": receiver, "receiverType": kind, "action": "read", "messageId": "7"}
    Sender(*parts, timeout=3.0).send_receipt(body, "u1")
    assert asked == [(("POST", path, {"messageId": "7"}), {"uid": "u1"})]
