"""The eight promises of ``ConnectionListener``, each by its number."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Callable, Dict, List, Type

import pytest
import tenacity

from cometchat import AuthenticationException, CometChatException, CometChatWSState, ConnectionListener, MessageListener
from cometchat._runtime.account._account import Account
from cometchat._runtime.delivery import _dispatcher as dispatcher
from cometchat.sandbox import Sandbox

from .conftest import DEADLINE, LOSS, UID, Party, Recorder, eventually, finished, in_thread

SLOW = tenacity.wait_fixed(30)


def put_requests(sandbox: Sandbox) -> int:
    return len([request for request in sandbox.requests if request.method == "PUT"])


# 1. Exactly the transitions that happened, each once, in order, from the registration on.


@pytest.mark.parametrize("sandbox", [False, True], indirect=True, ids=["ws", "wss"])
def test_promise_1_a_listener_sees_exactly_the_transitions(sandbox: Sandbox, party: Party) -> None:
    """Connecting, throttling, its end, a loss, the return and the goodbye: each callback once, in order."""
    client, heard = party.connected(settings_refresh_interval=0.05)
    sandbox.set_mode("LIMITED_TRANSIENT")
    heard.wait_for("on_feature_throttled")
    sandbox.set_mode("DEFAULT")
    heard.wait_for("on_connected", 2)
    sandbox.drop_connections()
    heard.wait_for("on_connected", 3)
    client.disconnect()
    client.close()
    assert heard.names == [
        "on_connecting",
        "on_connected",
        "on_feature_throttled",
        "on_connected",
        *LOSS,
        "on_disconnected",
    ]


def test_promise_1_a_late_listener_gets_no_older_events(sandbox: Sandbox, party: Party) -> None:
    """A listener that is added while the connection is up gets only later events."""
    client, _ = party.connected()
    late = Recorder()
    client.add_connection_listener("late", late)
    sandbox.drop_connections()
    late.wait_for("on_connected")
    assert late.names == LOSS


def test_promise_1_a_listener_added_while_callbacks_are_queued_sees_nothing_older(
    sandbox: Sandbox, party: Party
) -> None:
    """A listener gets no event from before its registration, even if the other listeners have not got it yet either."""
    client = party.client()
    first, late, go_on = Recorder(), Recorder(), threading.Event()
    first.hooks["on_connecting"] = lambda: go_on.wait(DEADLINE)
    client.add_connection_listener("first", first)
    client.login(UID, sandbox.auth_key)
    client.connect(DEADLINE)  # on_connected is queued behind the blocked on_connecting
    client.add_connection_listener("late", late)
    go_on.set()
    first.wait_for("on_connected")
    client.disconnect()
    late.wait_for("on_disconnected")
    assert late.names == ["on_disconnected"]


def test_promise_1_a_removed_listener_gets_no_more_calls(sandbox: Sandbox, party: Party) -> None:
    """After its removal, a listener is not called, not even for queued events."""
    client = party.client()
    blocking, removed, go_on = Recorder(), Recorder(), threading.Event()
    blocking.hooks["on_connecting"] = lambda: go_on.wait(DEADLINE)
    client.add_connection_listener("blocking", blocking)
    client.add_connection_listener("removed", removed)
    client.login(UID, sandbox.auth_key)
    client.connect(DEADLINE)
    client.remove_connection_listener("removed")
    go_on.set()
    blocking.wait_for("on_connected")
    client.close()
    assert removed.names == []


def test_promise_1_a_new_listener_takes_the_place_of_its_id(
    sandbox: Sandbox, party: Party, caplog: pytest.LogCaptureFixture
) -> None:
    """If a listener_id is in use, the new listener replaces the old one, and a warning names the id."""
    client, old = party.connected()
    old.clear()
    new = Recorder()
    with caplog.at_level(logging.WARNING, "cometchat"):
        client.add_connection_listener("heard", new)
    sandbox.drop_connections()
    new.wait_for("on_connected")
    assert (old.names, new.names) == ([], LOSS)
    assert [record.levelname for record in caplog.records if "'heard'" in record.getMessage()] == ["WARNING"]


def test_promise_1_a_second_registration_of_a_listener_loses_nothing(sandbox: Sandbox, party: Party) -> None:
    """A program that adds its listener again in each ``on_connected`` still gets what was queued before."""
    client, heard = party.connected()
    entered, go_on = threading.Event(), threading.Event()
    texts: List[str] = []
    bot = MessageListener(on_text_message_received=lambda message: texts.append(message.text))
    client.add_message_listener("bot", bot)

    def add_again() -> None:
        entered.set()
        go_on.wait(DEADLINE)
        client.add_message_listener("bot", bot)
        client.add_connection_listener("heard", heard)

    client.add_connection_listener("again", ConnectionListener(on_connected=add_again))
    sandbox.drop_connections()
    assert entered.wait(DEADLINE) and sandbox.wait_for_connections(1)
    sandbox.send_message("cometchat-uid-2", UID, "queued")
    assert eventually(lambda: client.stats().events_queued)
    sandbox.drop_connections()
    assert eventually(lambda: client.stats().connects == 3)
    go_on.set()
    heard.wait_for("on_connected", 3)
    assert (texts, heard.names[2:]) == (["queued"], LOSS + LOSS)


def test_promise_1_a_context_manager_listens_for_as_long_as_it_lasts(sandbox: Sandbox, party: Party) -> None:
    """``connection_listener()`` registers on entry and removes on exit, also if the block raises."""
    client, heard = party.connected()
    inside = Recorder()
    with pytest.raises(KeyError), client.connection_listener(inside) as given:
        assert given is inside
        sandbox.drop_connections()
        inside.wait_for("on_connected")
        raise KeyError
    sandbox.drop_connections()
    heard.wait_for("on_connected", 3)
    assert inside.names == LOSS


def test_promise_1_all_callbacks_come_one_at_a_time_on_one_thread(sandbox: Sandbox, party: Party) -> None:
    """The callbacks of two listeners never overlap, and all of them run on the dispatcher thread."""
    client, heard = party.connected()
    running = threading.Lock()
    overlaps: List[str] = []

    def alone() -> None:
        if not running.acquire(blocking=False):
            overlaps.append("overlap")
            return
        threading.Event().wait(0.01)
        running.release()

    recorders = [heard, party.heard(client)]
    other = Recorder()
    client.add_connection_listener("other", other)
    for recorder in [*recorders, other]:
        recorder.hooks = {name: alone for name in LOSS}
    for count in (1, 2, 3):
        sandbox.drop_connections()
        other.wait_for("on_connected", count)
    threads = {call.thread for recorder in [*recorders, other] for call in recorder.calls}
    assert overlaps == []
    assert len(threads) == 1 and threads.pop().startswith("cometchat-dispatcher-")


# 2. `connected` is never reported before the authentication is accepted, nor after the loss is known.


def test_promise_2_connecting_until_the_authentication_is_accepted(sandbox: Sandbox, party: Party) -> None:
    """While the socket is open and ``auth`` is sent, the status stays ``connecting`` until the answer arrives."""
    sandbox.delay_auth(0.5)
    client, heard = party.joined()
    assert sandbox.wait_for_frame(lambda frame: frame.get("type") == "auth", DEADLINE)
    assert not client.wait_for_status("connected", 0.2)
    assert heard.names == ["on_connecting"]
    heard.wait_for("on_connected")
    assert client.get_connection_status() is CometChatWSState.CONNECTED


def test_promise_2_not_connected_while_the_loss_is_reported(sandbox: Sandbox, party: Party) -> None:
    """In ``on_connection_error`` and all that follows, until the return, the status is not ``connected``."""
    _, heard = party.connected(reconnect_wait=SLOW)
    heard.clear()
    sandbox.drop_connections()
    heard.wait_for_names("on_connection_error", "on_disconnected", "on_connecting")
    assert {call.status for call in heard.calls} <= {"disconnected", "connecting"}


def test_promise_2_the_status_never_says_connected_for_a_refused_login(sandbox: Sandbox, party: Party) -> None:
    """A watcher that reads the status without a pause never sees ``connected`` while every ``auth`` is refused."""
    sandbox.refuse_auth()
    client = party.client()
    seen, stop = set(), threading.Event()

    def watch() -> None:
        while not stop.is_set():
            seen.add(str(client.get_connection_status()))

    thread, outcome = in_thread(watch)
    try:
        heard = party.heard(client)
        client.login(UID, sandbox.auth_key)
        heard.wait_for("on_disconnected")
    finally:
        stop.set()
    finished(thread, outcome)
    # A watcher that waits for a processor may miss a status.
    assert seen and seen <= {"disconnected", "connecting"}


# 3. disconnected, connecting, connected. Each failed attempt in between gives an error.


def test_promise_3_a_loss_reads_disconnected_connecting_connected(sandbox: Sandbox, party: Party) -> None:
    """Each failed attempt after a loss gives ``on_connection_error``, and leaves the status ``connecting``."""
    client, heard = party.connected()
    heard.clear()
    sandbox.refuse_connections()
    sandbox.drop_connections()
    heard.wait_for("on_connection_error", 4)
    sandbox.accept_connections()
    heard.wait_for("on_connected")
    failed = len(heard.errors) - 1
    assert heard.names == [
        "on_connection_error",
        "on_disconnected",
        "on_connecting",
        *["on_connection_error"] * failed,
        "on_connected",
    ]
    assert {call.status for call in heard.named("on_connection_error")[1:4]} == {"connecting"}
    assert {error.code for error in heard.errors} == {"WS_CONNECTION_FAIL"}


def test_promise_3_waiting_for_a_status_sees_each_of_the_cycle(sandbox: Sandbox, party: Party) -> None:
    """``wait_for_status()`` of three threads sees ``disconnected``, ``connecting`` and ``connected`` of one loss."""
    client, _ = party.connected()
    sandbox.hang_upgrades()  # so that the return waits for the third thread
    gone = in_thread(lambda: client.wait_for_status("disconnected", DEADLINE))
    again = in_thread(lambda: client.wait_for_status("connecting", DEADLINE))
    assert eventually(lambda: len(client._core.state._waiters) == 2)
    sandbox.drop_connections()
    assert finished(*gone) is True
    assert finished(*again) is True
    back = in_thread(lambda: client.wait_for_status("connected", DEADLINE))
    sandbox.heal()
    assert finished(*back) is True


# 4. A listener that raises is logged, and affects nothing else.


@pytest.mark.parametrize("raised", [ValueError, SystemExit, KeyboardInterrupt, CometChatException])
def test_promise_4_a_listener_that_raises_is_logged_and_harmless(
    sandbox: Sandbox, party: Party, caplog: pytest.LogCaptureFixture, raised: Type[BaseException]
) -> None:
    """A listener may raise any exception in every callback.

    It is logged with id and traceback, and the others get all events.
    """
    client = party.client(settings_refresh_interval=0.05)
    bad, good = Recorder(), Recorder()

    def fail() -> None:
        raise raised("the listener's own fault", "")

    bad.hooks = {name: fail for name in (*LOSS, "on_feature_throttled")}
    client.add_connection_listener("the-bad-one", bad)
    client.add_connection_listener("the-good-one", good)
    client.login(UID, sandbox.auth_key)
    good.wait_for("on_connected")
    sandbox.drop_connections()
    good.wait_for("on_connected", 2)
    sandbox.set_mode("NO_TRANSIENT")
    good.wait_for("on_feature_throttled")
    assert client.ping(DEADLINE) > 0
    assert bad.names == good.names
    logged = [record for record in caplog.records if "the-bad-one" in record.getMessage()]
    assert len(logged) == len(bad.names)
    assert all(record.levelname == "ERROR" and record.exc_info for record in logged)
    assert all(record.exc_info[0] is raised and record.exc_info[2] for record in logged if record.exc_info)


# 5. A slow listener delays other listeners only.


def test_promise_5_a_blocked_listener_stops_neither_heartbeat_nor_status(
    sandbox: Sandbox, party: Party, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While a listener blocks, pings are sent and answered, a loss is found and repaired, and the status is true.

    A warning names the listener.
    """
    monkeypatch.setattr(dispatcher, "_SLOW", 0.1)
    client = party.client(ping_interval=0.05, pong_timeout=2)
    slow, other, go_on = Recorder(), Recorder(), threading.Event()
    slow.hooks["on_connected"] = lambda: go_on.wait(DEADLINE)
    client.add_connection_listener("slow", slow)
    client.add_connection_listener("other", other)
    client.login(UID, sandbox.auth_key)
    try:
        slow.wait_for("on_connected")

        def pings() -> int:
            return len([frame for _, frame in sandbox.frames if frame.get("action") == "ping"])

        before = pings()
        assert sandbox.wait_until(lambda: pings() >= before + 5, DEADLINE)
        assert client.get_connection_status() is CometChatWSState.CONNECTED
        assert client.ping(DEADLINE) < 2
        sandbox.refuse_connections()
        sandbox.drop_connections()
        assert client.wait_for_status("connecting", DEADLINE)
        sandbox.accept_connections()
        assert client.wait_for_status("connected", DEADLINE)
        assert other.names == ["on_connecting"]
        assert eventually(lambda: "'slow'" in caplog.text)
    finally:
        go_on.set()
    other.wait_for("on_connected", 2)
    assert other.names == slow.names


# 6. Any method of the SDK may be called from inside a callback (all of them: test_reentrancy).


def test_promise_6_a_whole_new_connection_from_inside_a_callback(sandbox: Sandbox, party: Party) -> None:
    """disconnect, logout, login of another user and connect each work inside ``on_connected``."""
    client = party.client()
    heard = party.heard(client)
    outcome: List[Any] = []

    def everything() -> None:
        del heard.hooks["on_connected"]
        client.disconnect()
        outcome.append(str(client.get_connection_status()))
        client.logout()
        outcome.append(client.get_logged_in_user())
        outcome.append(client.login("cometchat-uid-3", sandbox.auth_key).uid)
        client.connect(DEADLINE)
        outcome.append(str(client.get_connection_status()))
        outcome.append(client.ping(DEADLINE) > 0)

    heard.hooks["on_connected"] = everything
    client.login(UID, sandbox.auth_key)
    heard.wait_for("on_connected", 2)
    assert outcome == ["disconnected", None, "cometchat-uid-3", "connected", True]


# 7. After disconnect() has returned, only the final on_disconnected.


@pytest.mark.parametrize("pause", [0.0, 0.002, 0.005, 0.01, 0.02, 0.05])
def test_promise_7_nothing_but_on_disconnected_after_disconnect(sandbox: Sandbox, party: Party, pause: float) -> None:
    """If ``disconnect()`` is called at any time of a connection attempt, only ``on_disconnected`` comes afterwards."""
    client = party.client(auto_establish_socket_connection=False)
    client.login(UID, sandbox.auth_key)
    heard = party.heard(client)
    nothing = threading.Event()
    for _ in range(10):
        client.connect(timeout=0)
        nothing.wait(pause)
        client.disconnect()
        heard.note("returned")
        assert client.get_connection_status() is CometChatWSState.DISCONNECTED
        client._core.dispatcher.drain(DEADLINE)
        nothing.wait(0.02)
        names = heard.names
        late = names[names.index("returned") + 1 :]
        assert late in ([], ["on_disconnected"]), names
        # On a busy machine disconnect() may discard on_connecting. Then the listener knows of no connection to end.
        assert names.count("on_disconnected") == names.count("on_connecting"), names
        heard.clear()


def test_promise_7_queued_callbacks_of_the_old_connection_are_dropped(sandbox: Sandbox, party: Party) -> None:
    """Events that were queued behind a slow listener when ``disconnect()`` was called are never delivered."""
    client = party.client()
    heard, go_on = Recorder(), threading.Event()
    heard.hooks["on_connecting"] = lambda: go_on.wait(DEADLINE)
    client.add_connection_listener("heard", heard)
    client.login(UID, sandbox.auth_key)
    client.connect(DEADLINE)
    heard.wait_for("on_connecting")
    client.disconnect()
    go_on.set()
    client.close()
    assert heard.names == ["on_connecting", "on_disconnected"]


def test_promise_7_from_inside_a_callback_the_next_listener_is_not_called(sandbox: Sandbox, party: Party) -> None:
    """If one listener's ``on_connected`` calls ``disconnect()``, the next one gets only ``on_disconnected``."""
    client = party.client()
    first, second = Recorder(), Recorder()
    first.hooks["on_connected"] = client.disconnect
    client.add_connection_listener("first", first)
    client.add_connection_listener("second", second)
    client.login(UID, sandbox.auth_key)
    second.wait_for("on_disconnected")
    client.close()
    assert first.names == ["on_connecting", "on_connected", "on_disconnected"]
    assert second.names == ["on_connecting", "on_disconnected"]


def test_promise_7_a_new_connection_is_reported_after_an_old_one_was_cut(sandbox: Sandbox, party: Party) -> None:
    """After ``disconnect()`` and ``connect()``, the old connection is silent, and the new one's events are complete."""
    client, heard = party.connected()
    for _ in range(10):
        heard.clear()
        client.disconnect()
        client.connect(DEADLINE)
        heard.wait_for("on_connected")
        assert heard.names == ["on_disconnected", "on_connecting", "on_connected"]


# 8. Refused credentials end the series; an expired jwt is renewed once.


REFUSALS: Dict[str, Callable[[Sandbox], None]] = {
    "a code in the answer": lambda sandbox: sandbox.refuse_auth("401"),
    "a close": lambda sandbox: sandbox.refuse_auth(mode="close", close_code=4001),
    "a close of the policy": lambda sandbox: sandbox.refuse_auth(mode="close", close_code=1008),
}


@pytest.mark.parametrize("refuse", REFUSALS.values(), ids=REFUSALS.keys())
def test_promise_8_a_fresh_jwt_refused_ends_the_series(
    sandbox: Sandbox, party: Party, refuse: Callable[[Sandbox], None]
) -> None:
    """A refused jwt is renewed once.

    A second refusal leads to ``on_connection_error``, ``on_disconnected``, and no third attempt.
    """
    refuse(sandbox)
    client, heard = party.joined()
    heard.wait_for_names("on_connecting", "on_connection_error", "on_disconnected")
    assert heard.errors[0].code == "WS_AUTH_FAIL"
    assert isinstance(heard.errors[0], AuthenticationException)
    assert not sandbox.wait_for_attempts(3, 0.3)
    assert (len(sandbox.attempts), put_requests(sandbox)) == (2, 2)
    assert client.get_connection_status() is CometChatWSState.DISCONNECTED
    with pytest.raises(CometChatException) as caught:
        client.connect(DEADLINE)
    assert caught.value.code == "WS_AUTH_FAIL"


def test_promise_8_a_refused_jwt_is_renewed_and_then_taken(sandbox: Sandbox, party: Party) -> None:
    """A jwt that the service no longer accepts is renewed with ``PUT /me``, without an error for the listener."""
    client, heard = party.joined(auto_establish_socket_connection=False)
    sandbox.expire_jwts()
    client.connect(DEADLINE)
    heard.wait_for_names("on_connecting", "on_connected")
    assert put_requests(sandbox) == 2


def test_promise_8_an_expired_jwt_is_renewed_before_it_is_shown(sandbox: Sandbox, party: Party) -> None:
    """The client does not try an expired jwt: ``PUT /me`` comes first, and one connection is enough."""
    sandbox.jwt_lifetime = 1.0
    client, heard = party.joined(auto_establish_socket_connection=False)
    sandbox.jwt_lifetime = 3600.0
    client.connect(DEADLINE)
    heard.wait_for_names("on_connecting", "on_connected")
    assert (len(sandbox.attempts), put_requests(sandbox)) == (1, 2)


def test_promise_8_a_revoked_token_ends_the_series(sandbox: Sandbox, party: Party) -> None:
    """If the jwt is refused and the auth token revoked, the service's code is reported, and the attempts end."""
    client, heard = party.connected()
    heard.clear()
    sandbox.revoke_tokens()
    sandbox.expire_jwts()
    sandbox.drop_connections()
    heard.wait_for("on_disconnected", 2)
    assert heard.names == [
        "on_connection_error",
        "on_disconnected",
        "on_connecting",
        "on_connection_error",
        "on_disconnected",
    ]
    assert heard.errors[1].code == "AUTH_ERR_AUTH_TOKEN_NOT_FOUND"
    attempts = len(sandbox.attempts)
    assert not sandbox.wait_for_attempts(attempts + 1, 0.3)


def test_promise_8_a_wrong_auth_key_is_not_tried_twice(sandbox: Sandbox, party: Party) -> None:
    """A refused auth key raises the service's own code. There is no connection and no second call."""
    client = party.client()
    heard = party.heard(client)
    started = time.monotonic()
    with pytest.raises(AuthenticationException) as caught:
        client.login(UID, "another-key-0123456789")
    assert caught.value.code == "AUTH_ERR_APIKEY_NOT_FOUND"
    assert "another-key-0123456789" not in f"{caught.value} {caught.value!r}"
    assert time.monotonic() - started < 5
    client.close()
    assert (heard.names, len(sandbox.requests), sandbox.attempts) == ([], 1, [])


def test_promise_8_a_jwt_of_an_earlier_attempt_is_renewed_again(
    sandbox: Sandbox, party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a jwt that the same attempt has fetched is fresh. An older one may have expired during the outage."""
    _, heard = party.connected()
    renew = Account.renew

    def outage_after_it(account: Account) -> None:
        renew(account)
        sandbox.refuse_upgrades()

    with monkeypatch.context() as patch:
        patch.setattr(Account, "renew", outage_after_it)
        sandbox.expire_jwts()
        sandbox.drop_connections()
        heard.wait_for("on_connection_error", 3)
    sandbox.expire_jwts()
    sandbox.heal()
    heard.wait_for("on_connected", 2)
    assert heard.names.count("on_disconnected") == 1


def test_promise_8_the_count_of_renewals_starts_again_with_a_connection(sandbox: Sandbox, party: Party) -> None:
    """Each accepted connection gives the next one its own renewal."""
    _, heard = party.connected()
    for count in (2, 3):
        sandbox.expire_jwts()
        sandbox.drop_connections()
        heard.wait_for("on_connected", count)
    assert [error.code for error in heard.errors] == ["WS_CONNECTION_FAIL"] * 2
    assert put_requests(sandbox) == 3
