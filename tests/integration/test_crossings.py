"""Refusals in every form, and overlapping calls: findings of an external check of the contract."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, List

import pytest
import tenacity

from cometchat import (
    AppSettings,
    CometChat,
    CometChatException,
    ConnectionException,
    ConnectionListener,
    MemorySessionStore,
)
from cometchat._protocol import _states as states
from cometchat._runtime.connection import _thread as connection_thread
from cometchat._transport.websocket import WebSocketClientSocket
from cometchat._turns import Turns
from cometchat.sandbox import Sandbox

from .conftest import DEADLINE, LOSS, OTHER_UID, UID, Party, Recorder, eventually, finished, in_thread
from .test_promises import put_requests

REFUSED = ["on_connecting", "on_connection_error", "on_disconnected"]


@pytest.mark.parametrize("code", [1000, 1008, 3000, 4000, 4001, 4999])
def test_a_close_in_answer_to_auth_is_a_refusal(sandbox: Sandbox, party: Party, code: int) -> None:
    """After any close in place of an acceptance, the client renews once and ends with WS_AUTH_FAIL."""
    sandbox.refuse_auth(mode="close", close_code=code)
    _, heard = party.joined()
    heard.wait_for_names(*REFUSED)
    (error,) = heard.errors
    assert error.code == "WS_AUTH_FAIL" and str(code) in str(getattr(error.__cause__, "details", ""))
    assert not sandbox.wait_for_attempts(3, 0.2)
    assert (len(sandbox.attempts), put_requests(sandbox)) == (2, 2)


def test_a_close_without_a_code_in_answer_to_auth_is_one_too(sandbox: Sandbox, party: Party) -> None:
    """An empty close frame is a refusal as well."""
    sandbox.ignore_auth()
    _, heard = party.joined()
    for attempt in (1, 2):
        seen = sandbox.wait_until(lambda: len([frame for _, frame in sandbox.frames]) >= attempt, DEADLINE)
        assert seen and sandbox.send_wire(b"\x88\x00") == 1
    heard.wait_for_names(*REFUSED)
    assert heard.errors[0].code == "WS_AUTH_FAIL"
    sandbox.clear_records()


@pytest.mark.parametrize("code", [1001, 1011, 1012, 1013])
def test_a_server_that_goes_away_does_not_refuse(sandbox: Sandbox, party: Party, code: int) -> None:
    """A restart of the server in the middle of auth is not a refusal: the client tries again, and succeeds."""
    sandbox.refuse_auth(mode="close", close_code=code, times=2)
    _, heard = party.joined()
    heard.wait_for("on_connected")
    assert heard.names == ["on_connecting", "on_connection_error", "on_connection_error", "on_connected"]


def test_a_connection_that_breaks_during_auth_does_not_refuse(sandbox: Sandbox, party: Party) -> None:
    """An end without a close frame says nothing about the jwt, however often it happens."""
    sandbox.ignore_auth()
    _, heard = party.joined()
    for attempt in (1, 2, 3):
        assert sandbox.wait_until(lambda: len(sandbox.frames) >= attempt, DEADLINE)
        if attempt == 3:
            sandbox.heal()  # before this one breaks, since the next one is answered
        assert sandbox.drop_connections() == 1
    heard.wait_for("on_connected")
    assert heard.names == ["on_connecting", *["on_connection_error"] * 3, "on_connected"]
    assert [(error.code, error.__cause__ is error) for error in heard.errors] == [("WS_CONNECTION_FAIL", False)] * 3


def test_a_frame_before_the_answer_to_auth(party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client waits on for the answer."""
    receive, early = WebSocketClientSocket.receive, [[b'{"action": "pong"}']]

    def received(*args: Any, **named: Any) -> List[bytes]:
        return early.pop() if early else receive(*args, **named)

    monkeypatch.setattr(WebSocketClientSocket, "receive", received)
    _, heard = party.connected()
    assert not early and heard.names == ["on_connecting", "on_connected"]


def test_the_turns_of_a_connection_thread(sandbox: Sandbox, party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first attempt comes before the repeated ones of other clients. It has no turn during the waits."""
    asked: List[bool] = []
    had_turn: List[bool] = []

    class Noted(Turns):
        def take(self, *, is_first: bool = False) -> None:
            asked.append(is_first)
            super().take(is_first=is_first)

    def wait(state: object) -> float:
        had_turn.append(threading.get_ident() in turns._since)
        return 0.0

    turns = Noted()
    monkeypatch.setattr(connection_thread, "TURNS", turns)
    monkeypatch.setattr(states, "STABLE_AFTER", 0.0)  # so each loss begins a new series
    sandbox.refuse_auth(mode="close", close_code=1011, times=1)
    _, heard = party.joined(reconnect_wait=wait)
    heard.wait_for("on_connected")
    sandbox.drop_connections()
    heard.wait_for("on_connected", 2)
    report = False
    assert asked == [True, True, report, False, False, report, False, False] and had_turn == [False, False]


def test_a_jwt_that_the_attempt_has_fetched_is_fresh(sandbox: Sandbox, party: Party) -> None:
    """An expired jwt is renewed first.

    A refusal of the fresh one ends the series after one renewal and one connection.
    """
    sandbox.jwt_lifetime = -10.0
    client, heard = party.joined(auto_establish_socket_connection=False)
    sandbox.jwt_lifetime = 3600.0
    sandbox.refuse_auth()
    with pytest.raises(CometChatException) as caught:
        client.connect(DEADLINE)
    assert caught.value.code == "WS_AUTH_FAIL"
    heard.wait_for_names(*REFUSED)
    assert (len(sandbox.attempts), put_requests(sandbox)) == (1, 2)


def test_the_life_of_a_connection_does_not_count_as_attempts(sandbox: Sandbox, party: Party) -> None:
    """``stop_after_delay`` may be shorter than the life of the connection: after the loss there is still an attempt."""
    client, heard = party.connected(reconnect_stop=tenacity.stop_after_delay(0.3), ping_interval=0.1)
    assert not heard_within(heard, 0.5)
    heard.clear()
    sandbox.drop_connections()
    heard.wait_for_names(*LOSS)
    assert client.ping(DEADLINE) > 0


def heard_within(heard: Any, seconds: float) -> bool:
    """Return whether a new callback comes within the time."""
    before = len(heard.calls)
    with heard._changed:
        return bool(heard._changed.wait_for(lambda: len(heard._calls) > before, seconds))


def test_close_releases_waiting_calls(sandbox: Sandbox, party: Party) -> None:
    """If ``close()`` is called during ``connect()`` and ``ping()``, these raise ERR_CLIENT_CLOSED."""
    sandbox.ignore_pings()
    client, _ = party.connected()
    pinging = in_thread(lambda: client.ping(DEADLINE))
    assert sandbox.wait_for_frame(lambda frame: frame.get("action") == "ping", DEADLINE)
    client.close()
    assert finished(*pinging).code == "ERR_CLIENT_CLOSED"
    sandbox.heal()
    sandbox.ignore_auth()
    client, _ = party.joined()
    connecting = in_thread(lambda: client.connect(DEADLINE))
    assert sandbox.wait_until(lambda: sandbox.sockets == 1, DEADLINE)
    client.close()
    assert finished(*connecting).code == "ERR_CLIENT_CLOSED"


def test_disconnect_overtakes_a_login(sandbox: Sandbox, party: Party) -> None:
    """If ``disconnect()`` is called during a login, the login succeeds, and does not connect afterwards."""
    client = party.client()
    entered, go_on = threading.Event(), threading.Event()

    def refresh() -> str:
        entered.set()
        assert go_on.wait(DEADLINE)
        return sandbox.auth_token(UID)

    logging_in = in_thread(lambda: client.login_with_auth_token("of-long-ago", refresh))
    assert entered.wait(DEADLINE)
    client.disconnect()
    go_on.set()
    assert finished(*logging_in).uid == UID
    user = client.get_logged_in_user()
    assert user is not None and user.uid == UID
    assert client.get_connection_status() == "disconnected"
    assert sandbox.attempts == []


def test_a_login_while_init_reads_the_session_store(sandbox: Sandbox, party: Party, facade: None) -> None:
    """The login counts. The older session of the store does not replace it."""
    logging_in = []

    class SlowStore(MemorySessionStore):
        """A store that is read while another thread logs in."""

        def load(self) -> Any:
            stored = super().load()
            logging_in.append(in_thread(lambda: CometChat.login(UID, sandbox.auth_key)))
            assert eventually(CometChat.get_logged_in_user)
            return stored

    CometChat.init(sandbox.app_id, party.settings(session_store=SlowStore()))
    assert finished(*logging_in[0]).uid == UID
    user = CometChat.get_logged_in_user()
    assert user is not None and user.uid == UID
    CometChat.connect(DEADLINE)


def test_a_login_as_another_user_connects(sandbox: Sandbox, party: Party) -> None:
    """The disconnect that is part of a change of users does not stop the new user from connecting."""
    client, heard = party.connected()
    client.login(OTHER_UID, sandbox.auth_key)
    client.connect(DEADLINE)
    heard.wait_for("on_connected", 2)
    assert heard.names == ["on_connecting", "on_connected", "on_disconnected", "on_connecting", "on_connected"]


def test_a_loss_is_reported_once(sandbox: Sandbox, party: Party) -> None:
    """If ``on_disconnected`` of a loss calls ``disconnect()``, there is one ``on_disconnected`` in all."""
    client, heard = party.connected()
    heard.hooks["on_disconnected"] = client.disconnect
    sandbox.drop_connections()
    heard.wait_for("on_disconnected")
    heard.hooks.clear()
    assert not heard_within(heard, 0.2)
    assert heard.names == ["on_connecting", "on_connected", "on_connection_error", "on_disconnected"]
    client.connect(DEADLINE)
    heard.wait_for("on_connected", 2)
    client.disconnect()
    heard.wait_for("on_disconnected", 2)
    assert heard.names[-3:] == ["on_connecting", "on_connected", "on_disconnected"]


def test_a_with_block_can_be_entered_again(sandbox: Sandbox, party: Party) -> None:
    """A context manager can be used twice, also nested: it registers once, and removes at the end."""
    connected: List[str] = []

    class Listener(ConnectionListener):
        def on_connected(self) -> None:
            connected.append("on_connected")

    client = party.client(auto_establish_socket_connection=False)
    client.login(UID, sandbox.auth_key)
    during = client.connection_listener(Listener())
    for count in (1, 2):
        with during, during:
            client.connect(DEADLINE)
            assert eventually(lambda: len(connected) == count)
            client.disconnect()
    client.connect(DEADLINE)
    client.disconnect()
    assert connected == ["on_connected"] * 2
    during.__exit__(None, None, None)


def test_init_with_new_equal_strategies(sandbox: Sandbox, facade: None) -> None:
    """``init`` with equal settings keeps the user logged in and connected."""

    def settings() -> AppSettings:
        return sandbox.settings(reconnect_wait=tenacity.wait_fixed(1), reconnect_stop=tenacity.stop_after_attempt(3))

    CometChat.init(sandbox.app_id, settings())
    CometChat.login(UID, sandbox.auth_key)
    CometChat.connect(DEADLINE)
    CometChat.init(sandbox.app_id, settings())
    assert CometChat.get_connection_status() == "connected"


def test_the_callbacks_of_the_old_client_come_before_those_of_the_new_one(sandbox: Sandbox, facade: None) -> None:
    """``init`` changes the client while a callback takes longer than ``close()`` waits. The callbacks keep order."""
    heard, go_on = Recorder(), threading.Event()
    CometChat.add_connection_listener("heard", heard)
    CometChat.init(sandbox.app_id, sandbox.settings())
    heard.hooks["on_connected"] = lambda: go_on.wait(DEADLINE)
    CometChat.login(UID, sandbox.auth_key)
    heard.wait_for("on_connected")
    heard.hooks.clear()
    CometChat.init(sandbox.app_id, sandbox.settings(ping_interval=14))
    CometChat.login(UID, sandbox.auth_key)
    CometChat.connect(DEADLINE)
    assert heard.names == ["on_connecting", "on_connected"]
    go_on.set()
    heard.wait_for("on_connected", 2)
    assert heard.names[2:] == ["on_disconnected", "on_connecting", "on_connected"]


def test_the_listeners_know_when_connect_is_back(
    sandbox: Sandbox, party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``connect()`` returns after ``on_connected`` was called.

    Neither a blocked listener nor a callback holds it up.
    """
    client = party.client(auto_establish_socket_connection=False)
    heard = party.heard(client)
    client.login(UID, sandbox.auth_key)
    with monkeypatch.context() as patient:  # on a busy machine, the thread of the listeners may be late
        patient.setattr("cometchat._runtime._lifecycle._PATIENCE", DEADLINE)
        for count in range(1, 21):
            client.connect(DEADLINE)
            assert len(heard.named("on_connected")) == count
            client.disconnect()
    go_on = threading.Event()
    heard.hooks["on_connecting"] = lambda: go_on.wait(DEADLINE)
    client.connect(DEADLINE)
    assert len(heard.named("on_connected")) == 20
    go_on.set()
    heard.wait_for("on_connected", 21)


class OneSeat:
    """A status store of one process: each member leads, until the test says otherwise."""

    def __init__(self) -> None:
        self.members: List[Any] = []

    def join(self, app_id: str, uid: str, member: Any) -> Any:
        self.members.append(member)
        member.lead()
        return self

    def leads_until(self) -> float:
        return time.monotonic() + 60

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: None


def test_without_its_status_store_a_client_is_disconnected(sandbox: Sandbox, party: Party) -> None:
    """No process knows which one may connect: the status is ``disconnected``, with one error.

    There is no attempt until the store is back.
    """
    store = OneSeat()
    client, heard = party.connected(status_store=store, reconnect_wait=tenacity.wait_none())
    heard.clear()
    (member,) = store.members
    member.away(ConnectionException("ERR_STATUS_STORE", "the store is away"))
    heard.wait_for("on_disconnected")
    assert not heard_within(heard, 0.3) and heard.names == LOSS[:2]
    assert client.get_connection_status() == "disconnected"
    assert [error.code for error in heard.errors] == ["ERR_STATUS_STORE"]
    member.lead()
    heard.wait_for("on_connected")
    assert heard.names == LOSS and len(heard.errors) == 1


@pytest.mark.parametrize("end", ["disconnect", "close"])
def test_without_its_status_store_a_client_can_be_left(sandbox: Sandbox, party: Party, end: str) -> None:
    """``disconnect()`` returns at once, in any wait of its thread."""
    store = OneSeat()
    client, heard = party.connected(status_store=store)
    store.members[0].away(ConnectionException("ERR_STATUS_STORE", "the store is away"))
    heard.wait_for("on_disconnected")
    began = time.monotonic()
    getattr(client, end)()
    assert time.monotonic() - began < 0.5
    assert client.get_connection_status() == "disconnected" and sandbox.wait_for_connections(0)
