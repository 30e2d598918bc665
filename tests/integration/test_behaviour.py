"""The lines of "How it must behave", one by one, checked from outside."""

from __future__ import annotations

import contextlib
import logging
import queue
import select
import socket
import threading
import time
from typing import Any, Callable, ContextManager, Dict, Iterator, List, Optional, Sequence, Tuple

import pytest
import tenacity
from machine import clock

from cometchat import (
    AppSettings,
    Client,
    CometChat,
    CometChatException,
    CometChatWSState,
    ConnectionListener,
    FileSessionStore,
    InvalidArgumentException,
    LoginListener,
    MessageListener,
    TextMessage,
)
from cometchat._turns import TURNS, WATCH
from cometchat.sandbox import Sandbox

from .conftest import DEADLINE, LOSS, OTHER_UID, UID, LoginRecorder, Party, Peer, RawServer, Recorder, eventually
from .transport_peers import blackhole

SLOW = tenacity.wait_fixed(30)

#: Maximum time of disconnect(), in seconds.
AT_ONCE = 0.2


# The first listener.


@pytest.mark.parametrize("owner", ["client", "facade"])
@pytest.mark.parametrize("registration", ["add", "block"])
def test_the_first_listener_of_a_connected_client(
    sandbox: Sandbox, party: Party, facade: None, owner: str, registration: str
) -> None:
    """The listener gets the events after its registration only. Before it, the client has no dispatcher thread."""
    if owner == "facade":
        CometChat.init(sandbox.app_id, party.settings())
    target: Any = CometChat if owner == "facade" else party.client()
    target.login(UID, sandbox.auth_key)
    target.connect(DEADLINE)
    sandbox.drop_connections()
    assert eventually(lambda: sandbox.connections == 1 and str(target.get_connection_status()) == "connected")
    assert not any("dispatcher" in thread.name for thread in threading.enumerate())
    heard = Recorder()
    with contextlib.ExitStack() as blocks:
        if registration == "add":
            target.add_connection_listener("id", heard)
        else:
            blocks.enter_context(target.connection_listener(heard))
        sandbox.drop_connections()
        heard.wait_for_names(*LOSS)


# A server that is slow or refuses.


def test_a_server_that_takes_half_a_second_for_auth(sandbox: Sandbox, party: Party) -> None:
    """The status is ``connecting`` for all of the time that the server takes to answer ``auth``."""
    sandbox.delay_auth(0.5)
    client, heard = party.joined()
    frame = sandbox.wait_for_frame(lambda frame: frame.get("type") == "auth", DEADLINE)
    asked, statuses, never = time.monotonic(), set(), threading.Event()
    while time.monotonic() < asked + 0.4:
        statuses.add(str(client.get_connection_status()))
        never.wait(0.005)
    assert frame is not None
    assert statuses == {"connecting"}
    assert heard.wait_for("on_connected").time - asked > 0.4


def test_auth_refused(sandbox: Sandbox, party: Party) -> None:
    """The client is never ``connected``.

    It renews once, and ends with ``WS_AUTH_FAIL`` and ``on_disconnected``, without a third connection.
    """
    sandbox.refuse_auth()
    client, heard = party.joined()
    assert not client.wait_for_status("connected", 0.5)
    heard.wait_for_names("on_connecting", "on_connection_error", "on_disconnected")
    assert heard.errors[0].code == "WS_AUTH_FAIL"
    assert [request.method for request in sandbox.requests] == ["POST", "PUT", "PUT"]
    assert len(sandbox.attempts) == 2


def test_a_listener_that_connects_after_each_refusal(sandbox: Sandbox, party: Party) -> None:
    """It gets five more tries at once. Before the next one the client waits, so that it does not flood the service."""
    sandbox.refuse_auth()
    client, heard = party.joined()
    client.add_connection_listener("stubborn", ConnectionListener(on_disconnected=lambda: client.connect(timeout=0)))
    heard.wait_for_names(*["on_connecting", "on_connection_error", "on_disconnected"] * 6, "on_connecting")
    with Client(sandbox.app_id, sandbox.settings(auto_establish_socket_connection=False)) as other:
        other.login(OTHER_UID, sandbox.auth_key)  # takes time, in which a client without a wait tries again
    assert client.get_connection_status() is CometChatWSState.CONNECTING
    assert len(sandbox.attempts) == 12


def test_auth_never_answered(sandbox: Sandbox, party: Party) -> None:
    """With ``auth_timeout=1``, ``ERR_AUTH_TIMEOUT`` comes within 1.5 s of the attempt, and the attempts continue."""
    sandbox.ignore_auth(times=2)
    client, heard = party.joined(auth_timeout=1)
    started = heard.wait_for("on_connecting").time
    first = heard.wait_for("on_connection_error")
    assert 0.9 < first.time - started < 1.5
    heard.wait_for("on_connected")
    assert [error.code for error in heard.errors] == ["ERR_AUTH_TIMEOUT"] * 2
    assert len(sandbox.attempts) == 3
    assert "never answered" in heard.errors[0].message
    assert isinstance(heard.errors[0], TimeoutError)
    assert client.get_connection_status() is CometChatWSState.CONNECTED


# Losses.


ENDINGS: Dict[str, Callable[[Sandbox], object]] = {
    "reset": lambda sandbox: sandbox.drop_connections(),
    "end of stream": lambda sandbox: sandbox.drop_connections(reset=False),
    "close 1000": lambda sandbox: sandbox.close_connections(1000),
    "close 1012": lambda sandbox: sandbox.close_connections(1012, "restarting"),
    "close 4001": lambda sandbox: sandbox.close_connections(4001, "elsewhere"),
}


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS.keys())
def test_a_drop_with_the_default_backoff(sandbox: Sandbox, party: Party, end: Callable[[Sandbox], object]) -> None:
    """The statuses are ``disconnected``, ``connecting``, ``connected``, within 1.5 s if the server is up."""
    _, heard = party.connected(reconnect_wait=None)
    heard.clear()
    end(sandbox)
    lost = heard.wait_for("on_disconnected").time
    back = heard.wait_for("on_connected").time
    assert heard.names == LOSS
    assert heard.errors[0].code == "WS_CONNECTION_FAIL"
    assert back - lost < 1.5


def test_a_restart_with_the_default_backoff(sandbox: Sandbox, party: Party) -> None:
    """The statuses are the same. An attempt that comes before the server is up again fails, and another follows."""
    _, heard = party.connected(reconnect_wait=None)
    heard.clear()
    sandbox.restart()
    heard.wait_for("on_connected")
    assert [name for name in heard.names if name != "on_connection_error"] == ["on_disconnected", *LOSS[-2:]]
    assert {error.code for error in heard.errors} == {"WS_CONNECTION_FAIL"}


def test_the_close_code_and_reason_are_in_the_details(sandbox: Sandbox, party: Party) -> None:
    """A close by the server is reported with its code and its reason. The code is also there as a number."""
    _, heard = party.connected()
    sandbox.close_connections(4010, "you were long enough here")
    error = heard.wait_for("on_connection_error").argument
    assert error.details == "close code 4010: you were long enough here"
    assert error.close_code == 4010


def test_no_pongs(sandbox: Sandbox, party: Party) -> None:
    """With ``ping_interval=1, pong_timeout=0.5`` and no pongs, the client reports ``ERR_PONG_TIMEOUT`` within 2 s."""
    _, heard = party.connected(ping_interval=1, pong_timeout=0.5)
    sandbox.ignore_pings()
    quiet = time.monotonic()
    found = heard.wait_for("on_connection_error")
    assert found.time - quiet < 2
    assert found.argument.code == "ERR_PONG_TIMEOUT"
    assert heard.wait_for("on_connected", 2)


def test_no_pongs_in_a_flood_of_other_frames(sandbox: Sandbox, party: Party) -> None:
    """Other frames do not count as pongs: a server that sends them without end, but no pong, is found as well."""
    _, heard = party.connected(ping_interval=0.2, pong_timeout=0.2)
    sandbox.ignore_pings()
    stop = threading.Event()
    deadline = time.monotonic() + 2
    while not heard.errors and time.monotonic() < deadline:
        sandbox.send_frame({"type": "presence", "body": {"action": "online", "user": {"uid": "x"}}})
        stop.wait(0.001)
    assert [error.code for error in heard.errors][:1] == ["ERR_PONG_TIMEOUT"]


def test_pings_that_are_answered_keep_the_connection(sandbox: Sandbox, party: Party) -> None:
    """After ten heartbeats with answers there was no callback, and every ping follows the protocol."""
    _, heard = party.connected(ping_interval=0.05, pong_timeout=2)

    def pings() -> List[Dict[str, Any]]:
        return [frame for _, frame in sandbox.frames if frame.get("action") == "ping"]

    assert sandbox.wait_until(lambda: len(pings()) >= 10, DEADLINE)
    assert heard.names == ["on_connecting", "on_connected"]
    assert pings()[0] == {"action": "ping", "ack": "true"}


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="only Linux has epoll")
def test_the_socket_watch_does_not_wait_for_a_usual_pong(
    sandbox: Sandbox, party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a crowd the thread waits for a pong on its own, and with the watch only if the pong takes long."""
    waits: "queue.Queue[float]" = queue.Queue()
    wait = WATCH.wait

    def noted(descriptors: Sequence[int], timeout: float) -> Optional[List[int]]:
        waits.put(timeout)
        return wait(descriptors, timeout)

    client, _ = party.connected(ping_interval=0.2, pong_timeout=8)
    monkeypatch.setattr("cometchat._turns._LINGER", 0.02)  # its thread ends with the test
    monkeypatch.setattr(WATCH, "wait", noted)
    monkeypatch.setattr(WATCH, "_most_alone", 0)
    sandbox.ignore_pings()
    assert waits.get(timeout=DEADLINE) <= 8 - 0.9
    client.disconnect()


# Refused attempts.


def _gaps(heard: Recorder) -> List[float]:
    times = [call.time for call in heard.named("on_connection_error")]
    return [after - before for before, after in zip(times, times[1:])]


def test_ten_refused_attempts(sandbox: Sandbox, party: Party) -> None:
    """Ten refused attempts lead to one error each, and to growing waits that differ between two clients.

    Then both return.
    """
    wait = tenacity.wait_random_exponential(multiplier=0.005, max=30)
    both = [party.connected(reconnect_wait=wait)[1] for _ in range(2)]
    sandbox.refuse_connections()
    sandbox.drop_connections()
    for heard in both:
        heard.wait_for("on_connection_error", 11, timeout=30)
    sandbox.accept_connections()
    for heard in both:
        heard.wait_for("on_connected", 2, timeout=30)
        assert {error.code for error in heard.errors} == {"WS_CONNECTION_FAIL"}
        assert "refused" in heard.errors[1].message
        assert heard.names.count("on_connecting") == 2
        assert heard.names.count("on_disconnected") == 1
    first, second = (_gaps(heard)[:10] for heard in both)
    for gaps in (first, second):
        assert max(gaps[5:]) > 2 * max(gaps[:2])
        assert sum(gaps[-3:]) > sum(gaps[:3])
    assert [round(gap, 3) for gap in first] != [round(gap, 3) for gap in second]


def test_the_default_waits(sandbox: Sandbox, party: Party, caplog: pytest.LogCaptureFixture) -> None:
    """By default the first retry comes after at most 1 s.

    Each wait is at most twice the one before, and at most 30 s.

    The test reads the waits from the log, and ends them from inside, since ``connect()`` ends only a few of them.
    """
    caplog.set_level(logging.INFO, "cometchat.connection")
    client, heard = party.connected(reconnect_wait=None)
    sandbox.refuse_connections()
    sandbox.drop_connections()
    for count in range(1, 12):
        heard.wait_for("on_connection_error", count)
        assert eventually(lambda: len(_announced(caplog)) >= count)
        generation = client._core.state.newest
        assert generation is not None
        generation.wake.set()
    # The attempt of the last failure has failed too. The next call ends a wait.
    assert eventually(lambda: len(_announced(caplog)) >= 12)
    waits = _announced(caplog)[:11]
    assert [number for number, _ in waits] == list(range(2, 13))
    for position, (_, seconds) in enumerate(waits):
        assert 0 <= seconds <= min(30, 2**position)
    assert max(seconds for _, seconds in waits[3:]) > 1
    sandbox.accept_connections()
    client.connect(DEADLINE)


def _announced(caplog: pytest.LogCaptureFixture) -> List[Tuple[int, float]]:
    waits = [record.args for record in caplog.records if "next attempt" in record.msg]
    # The name of the client comes first.
    return [args[1:] for args in waits if isinstance(args, tuple)]  # type: ignore[misc]


def test_connect_during_the_wait_tries_at_once(sandbox: Sandbox, party: Party) -> None:
    """While a retry is 30 s away, ``connect()`` makes it at once."""
    client, heard = party.connected(reconnect_wait=SLOW)
    sandbox.refuse_connections()
    sandbox.drop_connections()
    heard.wait_for("on_connecting", 2)
    sandbox.accept_connections()
    started = time.monotonic()
    client.connect(DEADLINE)
    assert time.monotonic() - started < 2
    assert client.get_connection_status() is CometChatWSState.CONNECTED


class Impatient(ConnectionListener):
    """Calls ``connect()`` after each failure."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def on_disconnected(self) -> None:
        self._client.connect(timeout=0)

    def on_connection_error(self, error: CometChatException) -> None:
        self._client.connect(timeout=0)


def test_a_listener_that_connects_after_each_failure_keeps_the_waits(sandbox: Sandbox, party: Party) -> None:
    """Five waits end early, then the waits have their usual length: there is no storm of attempts."""
    client, heard = party.connected(reconnect_wait=SLOW)
    client.add_connection_listener("impatient", Impatient(client))
    sandbox.refuse_connections()
    sandbox.drop_connections()
    # The loss, and the failures of the five attempts that did not wait.
    heard.wait_for("on_connection_error", 6)
    assert not eventually(lambda: heard.names.count("on_connection_error") > 6, 1.0)


@pytest.mark.parametrize("status", [503, 429])
def test_retry_after_in_the_handshake_is_obeyed(sandbox: Sandbox, party: Party, status: int) -> None:
    """After ``Retry-After: 1`` to an upgrade, there is no attempt within that second, with any strategy."""
    sandbox.refuse_upgrades(status, retry_after=1)
    _, heard = party.joined()
    error = heard.wait_for("on_connection_error").argument
    assert (error.code, error.retry_after) == ("WS_CONNECTION_FAIL", 1.0)
    assert str(status) in error.message
    sandbox.heal()
    heard.wait_for("on_connected")
    first, second = (attempt.time for attempt in sandbox.attempts)
    assert 1.0 <= second - first < 3.0


def test_retry_after_of_a_renewal_is_obeyed(sandbox: Sandbox, party: Party) -> None:
    """After 429 with ``Retry-After`` for ``PUT /me``, the attempt has failed, and the next one waits so long."""
    client, heard = party.joined(auto_establish_socket_connection=False)
    sandbox.expire_jwts()
    sandbox.fail_http(429, times=1, retry_after=1, path="/me")
    client.connect(DEADLINE)
    assert [error.code for error in heard.errors] == ["ERR_TOO_MANY_REQUESTS"]
    failed, connected = heard.wait_for("on_connection_error").time, heard.wait_for("on_connected").time
    assert 0.9 <= connected - failed < 3.5


def test_the_series_ends_where_reconnect_stop_says_so(sandbox: Sandbox, party: Party) -> None:
    """With ``stop_after_attempt(3)``, three errors come, then ``on_disconnected``.

    ``connect()`` raises the last error.
    """
    sandbox.refuse_upgrades(500)
    client, heard = party.joined(reconnect_stop=tenacity.stop_after_attempt(3))
    heard.wait_for("on_disconnected")
    assert heard.names == ["on_connecting", *["on_connection_error"] * 3, "on_disconnected"]
    with pytest.raises(CometChatException) as caught:
        client.connect(DEADLINE)
    assert (caught.value.code, caught.value.details) == ("WS_CONNECTION_FAIL", "HTTP 500")
    assert len(sandbox.attempts) == 6
    sandbox.heal()
    client.connect(DEADLINE)


def test_connect_within_its_timeout(sandbox: Sandbox, party: Party) -> None:
    """``connect(timeout)`` raises ``ERR_CONNECT_TIMEOUT`` with the newest failure as its cause.

    The attempts continue.
    """
    sandbox.refuse_upgrades(500)
    client, heard = party.joined()
    started = time.monotonic()
    with pytest.raises(CometChatException) as caught:
        client.connect(timeout=0.3)
    assert 0.3 <= time.monotonic() - started < 1
    assert caught.value.code == "ERR_CONNECT_TIMEOUT"
    assert isinstance(caught.value.__cause__, CometChatException)
    assert caught.value.__cause__.details == "HTTP 500"
    sandbox.heal()
    heard.wait_for("on_connected")


def test_connect_is_released_by_disconnect(sandbox: Sandbox, party: Party) -> None:
    """A ``connect()`` that waits on one thread raises ``NO_WEBSOCKET_CONNECTION`` when another one disconnects."""
    sandbox.ignore_auth()
    client, heard = party.joined()
    heard.wait_for("on_connecting")
    timer = threading.Timer(0.1, client.disconnect)
    timer.name = "test-timer"
    timer.start()
    with pytest.raises(CometChatException) as caught:
        client.connect(DEADLINE)
    timer.join()
    assert caught.value.code == "NO_WEBSOCKET_CONNECTION"


# disconnect() within 0.2 s, in every state.


def _silent_port(serve: Callable[..., RawServer]) -> ContextManager[int]:
    """Return a context with a port that accepts TCP connections and sends nothing, so that TLS hangs."""
    return contextlib.nullcontext(serve(lambda peer: peer.wait_for_end()).port)


STATES: Dict[str, Tuple[Callable[[Sandbox], object], Dict[str, Any]]] = {
    "connected": (lambda sandbox: None, {}),
    "throttled": (lambda sandbox: sandbox.set_mode("NO_TRANSIENT"), {}),
    "the handshake hangs": (lambda sandbox: sandbox.hang_upgrades(), {}),
    "auth is not answered": (lambda sandbox: sandbox.ignore_auth(), {}),
    "backoff": (lambda sandbox: sandbox.refuse_upgrades(), {"reconnect_wait": SLOW}),
    "refused": (lambda sandbox: sandbox.refuse_auth(), {}),
}

READY: Dict[str, Callable[[Sandbox, Recorder], object]] = {
    "connected": lambda sandbox, heard: heard.wait_for("on_connected"),
    "throttled": lambda sandbox, heard: heard.wait_for("on_feature_throttled"),
    "the handshake hangs": lambda sandbox, heard: sandbox.wait_for_attempts(1, DEADLINE),
    "auth is not answered": lambda sandbox, heard: sandbox.wait_for_frame(lambda frame: True, DEADLINE),
    "backoff": lambda sandbox, heard: heard.wait_for("on_connection_error"),
    "refused": lambda sandbox, heard: heard.wait_for("on_disconnected"),
}


def _disconnect_at_once(client: Client) -> None:
    started = clock()
    client.disconnect()
    assert clock() - started < AT_ONCE
    assert client.get_connection_status() is CometChatWSState.DISCONNECTED


@pytest.mark.parametrize("sandbox", [False, True], indirect=True, ids=["ws", "wss"])
@pytest.mark.parametrize("state", STATES)
def test_disconnect_at_once(sandbox: Sandbox, party: Party, state: str) -> None:
    """``disconnect()`` returns within 0.2 s. The status is and stays ``disconnected``, and no attempt follows."""
    prepare, settings = STATES[state]
    prepare(sandbox)
    client, heard = party.joined(**settings)
    assert READY[state](sandbox, heard)
    heard.wait_for("on_connecting")
    _disconnect_at_once(client)
    heard.wait_for("on_disconnected")
    sandbox.heal()
    attempts = len(sandbox.attempts)
    assert not sandbox.wait_for_attempts(attempts + 1, 0.2)
    assert client.get_connection_status() is CometChatWSState.DISCONNECTED
    assert heard.names[-1] == "on_disconnected"
    assert heard.names.count("on_disconnected") == 1


def test_an_overflow_and_a_loss_where_no_missed_messages_are_asked_for(sandbox: Sandbox, party: Party) -> None:
    """With ``fetch_missed_messages=False``, the gap of an overflow is closed after the reconnect too."""
    client = party.client(fetch_missed_messages=False, max_queued_events=100)
    connection, go_on, texts = party.heard(client), threading.Event(), []

    class Slow(MessageListener):
        def on_text_message_received(self, message: TextMessage) -> None:
            go_on.wait(DEADLINE)
            texts.append(message.text)

    client.add_message_listener("slow", Slow())
    client.login(UID, sandbox.auth_key)
    connection.wait_for("on_connected")
    for number in range(200):
        sandbox.send_message(OTHER_UID, UID, str(number))
    client.ping(DEADLINE)
    assert client.stats().events_queued <= 101
    sandbox.drop_connections()
    assert eventually(lambda: client.stats().drops and client.get_connection_status() == "connected")
    go_on.set()
    connection.wait_for("on_connected", 2)
    sandbox.send_message(OTHER_UID, UID, "after")
    assert eventually(lambda: texts and texts[-1] == "after")
    assert texts == [*map(str, range(200)), "after"]


def test_disconnect_says_goodbye(sandbox: Sandbox, party: Party) -> None:
    """The server gets a close frame with 1000."""
    client, _ = party.connected()
    client.disconnect()
    assert sandbox.wait_for_connections(0, DEADLINE)
    assert sandbox.wait_until(lambda: sandbox.close_codes, DEADLINE) == [1000]


@pytest.mark.parametrize("place", ["TCP", "TLS"])
def test_disconnect_at_once_while_the_network_is_silent(
    sandbox: Sandbox, party: Party, serve: Callable[..., RawServer], place: str
) -> None:
    """``disconnect()`` returns at once in a TCP connect or a TLS handshake that hangs.

    The thread left behind ends with ``connect_timeout``.
    """
    silent = blackhole() if place == "TCP" else _silent_port(serve)
    with silent as port:
        sandbox.override_settings(CHAT_USE_SSL=place == "TLS", CHAT_WS_PORT=str(port), CHAT_WSS_PORT=str(port))
        client, heard = party.joined(connect_timeout=1)
        heard.wait_for("on_connecting")
        state = client._core.state
        assert eventually(lambda: state.newest is not None and state.newest.socket is not None)
        _disconnect_at_once(client)
        started = time.monotonic()
        client.close()
        assert time.monotonic() - started < 0.5
        threads = [thread for thread in threading.enumerate() if thread.name.startswith("cometchat-connection")]
        for thread in threads:
            thread.join(1.5)
            assert not thread.is_alive()
    assert heard.names == ["on_connecting", "on_disconnected"]


def test_disconnect_at_once_while_a_renewal_hangs(sandbox: Sandbox, party: Party) -> None:
    """``disconnect()`` returns at once in a ``PUT /me`` that is never answered."""
    client, heard = party.joined(auto_establish_socket_connection=False)
    sandbox.expire_jwts()
    sandbox.hang_http()
    client.connect(timeout=0)
    assert sandbox.wait_until(lambda: [r for r in sandbox.requests if r.status == 0], DEADLINE)
    heard.wait_for("on_connecting")
    _disconnect_at_once(client)
    sandbox.heal()
    client.close()
    assert heard.names == ["on_connecting", "on_disconnected"]


def test_disconnect_where_nothing_is_connected(party: Party) -> None:
    """``disconnect()`` is a no-op before the login, and when called twice."""
    client = party.client()
    heard = party.heard(client)
    for _ in range(2):
        _disconnect_at_once(client)
    client.close()
    assert heard.names == []


@pytest.mark.parametrize(
    "callback", ["on_connecting", "on_connected", "on_feature_throttled", "on_disconnected", "on_connection_error"]
)
def test_disconnect_at_once_from_inside_a_connection_callback(sandbox: Sandbox, party: Party, callback: str) -> None:
    """In each callback ``disconnect()`` returns within 0.2 s, and afterwards only the last callback comes."""
    if callback == "on_feature_throttled":
        sandbox.set_mode("LIMITED_TRANSIENT")
    client = party.client()
    heard = party.heard(client)
    took: List[float] = []

    def leave() -> None:
        heard.hooks.clear()
        started = clock()
        client.disconnect()
        took.append(clock() - started)
        heard.note("returned")

    heard.hooks[callback] = leave
    client.login(UID, sandbox.auth_key)
    if callback in ("on_disconnected", "on_connection_error"):
        client.connect(DEADLINE)
        sandbox.drop_connections()
    heard.wait_for("returned")
    client.close()
    assert took[0] < AT_ONCE
    assert heard.names[heard.names.index("returned") + 1 :] in ([], ["on_disconnected"])
    assert heard.named("on_disconnected")


@pytest.mark.parametrize("callback", ["login_success", "login_failure", "logout_success", "logout_failure"])
def test_disconnect_at_once_from_inside_a_login_callback(sandbox: Sandbox, party: Party, callback: str) -> None:
    """``disconnect()`` returns at once in a LoginListener's callbacks."""
    client, _ = party.connected()
    login = LoginRecorder()
    client.add_login_listener("login", login)
    took: List[float] = []

    def leave() -> None:
        started = clock()
        client.disconnect()
        took.append(clock() - started)

    login.hooks[callback] = leave
    if callback == "login_success":
        client.login(UID, sandbox.auth_key)
    elif callback == "logout_success":
        client.logout()
    else:
        sandbox.fail_http(500)
        with pytest.raises(CometChatException):
            client.login(UID, sandbox.auth_key) if callback == "login_failure" else client.logout()
    login.wait_for(callback)
    assert eventually(lambda: took) and took[0] < AT_ONCE
    assert client.get_connection_status() is CometChatWSState.DISCONNECTED


def test_close_ends_everything(sandbox: Sandbox, party: Party) -> None:
    """``close()`` disconnects and ends the threads. Every later call raises ERR_CLIENT_CLOSED."""
    client, heard = party.connected()
    scope = client.connection_listener(Recorder())
    client.close()
    client.close()
    assert heard.names == ["on_connecting", "on_connected", "on_disconnected"]
    assert client.get_connection_status() is CometChatWSState.DISCONNECTED
    calls: List[Callable[[], object]] = [
        lambda: client.login(UID, "key"),
        lambda: client.login_with_auth_token("token"),
        client.logout,
        client.get_logged_in_user,
        client.connect,
        client.disconnect,
        client.ping,
        client.connection_info,
        lambda: client.wait_for_status("connected", 0),
        lambda: client.add_connection_listener("id", Recorder()),
        lambda: client.add_login_listener("id", LoginRecorder()),
        lambda: client.connection_listener(Recorder()),
        scope.__enter__,
    ]
    for call in calls:
        with pytest.raises(CometChatException) as caught:
            call()
        assert caught.value.code == "ERR_CLIENT_CLOSED"


# ping()


def test_ping_measures_the_round_trip(sandbox: Sandbox, party: Party) -> None:
    """``ping()`` returns the seconds until the pong: with a latency of 0.2 s at least that."""
    client, _ = party.connected()
    assert 0 < client.ping() < 0.2
    sandbox.set_latency(0.2)
    assert 0.2 <= client.ping() < 1


def test_ping_without_an_answer_or_a_connection(sandbox: Sandbox, party: Party) -> None:
    """``ERR_PONG_TIMEOUT`` is raised without a pong in time, and ``NO_WEBSOCKET_CONNECTION`` without a connection."""
    client, heard = party.connected()
    sandbox.ignore_pings()
    started = time.monotonic()
    with pytest.raises(TimeoutError) as caught:
        client.ping(timeout=0.1)
    assert getattr(caught.value, "code", None) == "ERR_PONG_TIMEOUT"
    assert 0.1 <= time.monotonic() - started < 1
    assert heard.names == ["on_connecting", "on_connected"]
    client.disconnect()
    with pytest.raises(ConnectionError) as down:
        client.ping()
    assert getattr(down.value, "code", None) == "NO_WEBSOCKET_CONNECTION"


def test_ping_ends_with_the_connection(sandbox: Sandbox, party: Party) -> None:
    """If the connection breaks, a waiting ``ping()`` raises that error at once."""
    client, _ = party.connected()
    sandbox.ignore_pings()
    timer = threading.Timer(0.1, sandbox.drop_connections)
    timer.name = "test-timer"
    timer.start()
    started = time.monotonic()
    with pytest.raises(CometChatException) as caught:
        client.ping(timeout=DEADLINE)
    timer.join()
    assert caught.value.code == "WS_CONNECTION_FAIL"
    assert time.monotonic() - started < 2


# Unknown frames.


@pytest.mark.parametrize(
    "data",
    [
        "",
        "no JSON",
        "[]",
        "null",
        '"text"',
        "{}",
        '{"type": 5}',
        '{"type": "unheard_of", "body": {}}',
        '{"type": "presence"}',
        '{"type": "presence", "body": []}',
        "[" * 100_000,
        "\u0000",
        b"\xff\xfe\x00",
        b"",
        '{"action": "pong"}',
        '{"type": "message", "body": {"id": NaN}}',
        "1" * 5000,
    ],
    ids=lambda data: repr(data[:20]),
)
def test_useless_frames_do_no_harm(sandbox: Sandbox, party: Party, data: Any) -> None:
    """The client ignores malformed frames and unknown types. The connection stays open, and answers."""
    client, heard = party.connected()
    assert sandbox.send_raw(data) == 1
    assert client.ping(DEADLINE) > 0
    assert heard.names == ["on_connecting", "on_connected"]


# Secrets.


def _windows(secret: str) -> List[str]:
    """Return every piece of a secret that is long enough to be useful."""
    return [secret[start : start + 20] for start in range(len(secret) - 19)]


def _leaks(text: str, *secrets: str) -> List[str]:
    """Return the pieces of secrets in the text. The header of a jwt is the same for all, and is not a secret."""
    found = []
    for number, secret in enumerate(secrets):
        body = secret.partition(".")[2] if secret.count(".") == 2 else secret
        found += [f"secret {number} ({len(secret)} characters): {piece!r}" for piece in _windows(body) if piece in text]
    return found


def _secrets_of(client: Client, sandbox: Sandbox) -> Tuple[str, ...]:
    user = client.get_logged_in_user()
    frame = sandbox.wait_for_frame(lambda frame: frame.get("type") == "auth", DEADLINE)
    assert user is not None and user.auth_token is not None and frame is not None
    return (sandbox.auth_key, user.auth_token, frame["body"]["auth"])


def _seen(log: pytest.LogCaptureFixture, heard: Recorder) -> str:
    """Return every text that a user can see: the log with its tracebacks, and the errors in every form."""
    return log.text + "".join(f"{error} {error!r} {error.args} {vars(error)}" for error in heard.errors)


@pytest.fixture
def secret_sandbox() -> Iterator[Sandbox]:
    with Sandbox(auth_key="the-auth-key-4cb01fa3e8d7") as running:
        yield running


@pytest.fixture
def secret_party(secret_sandbox: Sandbox) -> Iterator[Party]:
    together = Party(secret_sandbox)
    yield together
    together.close()


def test_no_secret_in_a_megabyte_of_log(
    secret_sandbox: Sandbox, secret_party: Party, debug_log: pytest.LogCaptureFixture
) -> None:
    """A server repeats the credentials in its frames, a megabyte of them. The DEBUG log shows none of them."""
    client, heard = secret_party.connected()
    secrets = _secrets_of(client, secret_sandbox)
    for number in range(700):
        secret_sandbox.send_frame(
            {"type": "message", "number": number, "body": {"text": [*secrets[1:]], "filler": "x" * 3000}}
        )
    assert client.ping(DEADLINE) > 0
    secret_sandbox.drop_connections()
    heard.wait_for("on_connected", 2)
    client.logout()
    text = _seen(debug_log, heard)
    assert len(text) > 1_000_000
    assert "***" in text
    assert _leaks(text, *secrets) == []


def test_each_record_of_a_login_and_a_loss_names_its_client(
    sandbox: Sandbox, party: Party, caplog: pytest.LogCaptureFixture
) -> None:
    """HTTP calls too, so that the log of a process with several clients can be read."""
    caplog.set_level(logging.DEBUG, "cometchat")
    client, heard = party.connected()
    sandbox.drop_connections()
    heard.wait_for("on_connected", 2)
    client.close()
    records = [record for record in caplog.records if record.name.startswith("cometchat.")]
    assert {"cometchat.connection", "cometchat.frames", "cometchat.http"} <= {record.name for record in records}
    assert [record.getMessage() for record in records if not record.getMessage().startswith("[client ")] == []
    assert all(record.getMessage().startswith(f"[{getattr(record, 'client', None)}] ") for record in records)


ECHOES: Dict[str, Callable[[Sandbox, str], object]] = {
    "the code of the answer to auth": lambda sandbox, secret: sandbox.refuse_auth(code=secret),
    "a frame's type": lambda sandbox, secret: sandbox.send_frame({"type": secret, "body": {}}),
    "a frame's type, cut": lambda sandbox, secret: sandbox.send_frame({"type": "t" * 25 + secret, "body": {}}),
    "no JSON": lambda sandbox, secret: sandbox.send_raw(secret),
    "at the end of what is logged": lambda sandbox, secret: sandbox.send_raw("x" * (2001 - len(secret)) + secret),
    "bytes": lambda sandbox, secret: sandbox.send_raw(secret.encode()),
    "an auth frame while connected": lambda sandbox, secret: sandbox.send_frame(
        {"type": "auth", "body": {"code": "401", "status": secret, "message": secret}}
    ),
    "a close reason": lambda sandbox, secret: sandbox.close_connections(4000, secret[:123]),
    "HTTP": lambda sandbox, secret: sandbox.fail_http(
        401, body={"error": {"code": "ERR", "message": f"no {secret}", "details": {"token": secret}}}
    ),
    "the code of an HTTP error": lambda sandbox, secret: sandbox.fail_http(
        401, body={"error": {"code": secret, "name": secret, "message": "no"}}
    ),
    "HTTP, too many requests": lambda sandbox, secret: sandbox.fail_http(
        429, body={"error": {"code": "ERR", "message": f"no {secret}"}}
    ),
    "HTTP without JSON": lambda sandbox, secret: sandbox.fail_http(500, body=f"<html>{secret}</html>"),
}


@pytest.mark.parametrize("which", [1, 2], ids=["auth token", "jwt"])
@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES.keys())
def test_a_server_that_repeats_a_secret(
    secret_sandbox: Sandbox,
    secret_party: Party,
    debug_log: pytest.LogCaptureFixture,
    echo: Callable[[Sandbox, str], object],
    which: int,
) -> None:
    """The server may repeat a credential in any place, also a part of it: neither the log nor an error shows it."""
    client, heard = secret_party.connected(reconnect_stop=tenacity.stop_after_attempt(3))
    secrets = _secrets_of(client, secret_sandbox)
    echo(secret_sandbox, secrets[which])
    with contextlib.suppress(CometChatException):
        client.ping(DEADLINE)
    secret_sandbox.expire_jwts()
    secret_sandbox.drop_connections()
    heard.wait_for("on_connecting", 2)
    with contextlib.suppress(CometChatException):
        client.connect(DEADLINE)
    client.close()
    assert len(heard.errors) >= 1
    assert _leaks(_seen(debug_log, heard), *secrets) == []


def test_no_secret_where_a_login_fails(
    secret_sandbox: Sandbox, secret_party: Party, debug_log: pytest.LogCaptureFixture
) -> None:
    """The errors of login, renewal and logout show no credential, neither as text nor in their causes' tracebacks."""
    client = secret_party.client(auto_establish_socket_connection=False)
    logger = logging.getLogger("somebody")
    # Built here: a traceback quotes the lines of this file.
    key, token = "wrong-key-" + "0123456789abcdef", "cometchat-uid-1_" + "0123456789abcdef" * 2

    def attempt(call: Callable[[], object]) -> None:
        try:
            call()
        except CometChatException:
            logger.exception("it failed")
        else:
            pytest.fail("it did not fail")

    attempt(lambda: client.login(UID, key))
    attempt(lambda: client.login_with_auth_token(token))
    attempt(lambda: client.login_with_auth_token(token, refresh=lambda: f"{token}-2"))
    attempt(lambda: client.login_with_auth_token(token, refresh=lambda: f"{token}\n"))
    attempt(lambda: client.login_with_auth_token(token, refresh=lambda: f"{token}\u20ac"))
    attempt(lambda: client.login_with_auth_token(f"{token}\n"))
    attempt(lambda: client.login(UID, f"{key}\n"))
    secret_sandbox.refuse_connections()
    attempt(lambda: client.login(UID, secret_sandbox.auth_key))
    attempt(lambda: client.login_with_auth_token(token))
    assert debug_log.text.count("Traceback") >= 8
    assert _leaks(debug_log.text, secret_sandbox.auth_key, key, token) == []


# Wrong arguments.


_CLIENT_CALLS: List[Tuple[str, str, Callable[[Client, Any], object], List[Any]]] = [
    ("login", "uid", lambda client, value: client.login(value, "key"), [None, "", "  ", 5, b"uid", ["uid"]]),
    ("login", "auth_key", lambda client, value: client.login(UID, value), [None, "", 5, b"key", "k\u00e9y", "a\nb"]),
    (
        "login_with_auth_token",
        "auth_token",
        lambda client, value: client.login_with_auth_token(value),
        [None, "", 5, b"token", "to\r\nken"],
    ),
    (
        "login_with_auth_token",
        "refresh",
        lambda client, value: client.login_with_auth_token("token", value),
        ["token", 5, b""],
    ),
    ("connect", "timeout", lambda client, value: client.connect(value), ["1", -1, float("nan"), float("inf"), True]),
    ("ping", "timeout", lambda client, value: client.ping(value), ["1", 0, -1, float("nan"), True]),
    (
        "wait_for_status",
        "status",
        lambda client, value: client.wait_for_status(value, 0),
        [None, "", "online", "Connected", 5],
    ),
    (
        "wait_for_status",
        "timeout",
        lambda client, value: client.wait_for_status("connected", value),
        ["1", -1, float("nan"), False],
    ),
    *[
        (
            f"{verb}_{kind}_listener",
            "listener_id",
            lambda client, value, v=verb, k=kind: _listen(client, v, k, value),
            values,
        )
        for verb in ("add", "remove")
        for kind in ("connection", "login")
        for values in [[None, "", 5, b"id"]]
    ],
    (
        "add_connection_listener",
        "listener",
        lambda client, value: client.add_connection_listener("id", value),
        [None, "listener", ConnectionListener, object(), LoginListener()],
    ),
    (
        "add_login_listener",
        "listener",
        lambda client, value: client.add_login_listener("id", value),
        [None, LoginListener, ConnectionListener()],
    ),
    (
        "connection_listener",
        "listener",
        lambda client, value: client.connection_listener(value),
        [None, ConnectionListener, LoginListener()],
    ),
    ("Client", "app_id", lambda client, value: Client(value, client.settings), [None, "", 5, "a b\n"]),
    ("Client", "settings", lambda client, value: Client("app", value), [None, {}, "us", AppSettings]),
    ("FileSessionStore", "path", lambda client, value: FileSessionStore(value), [None, "", 5]),
]


def _listen(client: Client, verb: str, kind: str, listener_id: Any) -> None:
    listener = {"connection": ConnectionListener, "login": LoginListener}[kind]()
    arguments = (listener_id, listener) if verb == "add" else (listener_id,)
    getattr(client, f"{verb}_{kind}_listener")(*arguments)


def test_a_wrong_argument_of_a_method(party: Party) -> None:
    """A wrong argument raises ``MISSING_PARAMETERS`` or ``INVALID_{PARAMETER}``, names it, and calls no service."""
    client, wrong = party.client(), []
    for method, parameter, call, values in _CLIENT_CALLS:
        for value in values:
            try:
                call(client, value)
                wrong.append(f"{method} takes {parameter}={value!r}")
            except InvalidArgumentException as error:
                right = error.code in ("MISSING_PARAMETERS", f"INVALID_{parameter.upper()}")
                if not right or error.name != parameter or f" {parameter}: expected " not in error.message:
                    wrong.append(f"{method}({parameter}={value!r}) raises {error!r}")
    assert not wrong, "\n".join(wrong)


def test_calls_without_a_login(sandbox: Sandbox, party: Party) -> None:
    """Before a login and after a logout the calls raise ``USER_NOT_LOGGED_IN``, and the getter returns None."""
    client = party.client()
    for _ in range(2):
        for call in (client.connect, client.ping, client.logout):
            with pytest.raises(CometChatException) as caught:
                call()
            assert caught.value.code == "USER_NOT_LOGGED_IN"
        assert client.get_logged_in_user() is None
        client.login(UID, sandbox.auth_key)
        client.logout()


def test_the_first_frame_is_auth(
    sandbox: Sandbox, party: Party, serve: Callable[..., RawServer]
) -> None:
    """The first frame on a socket is ``auth`` with the jwt, never the auth token. Nothing is sent before its answer."""
    import json

    first: List[Dict[str, Any]] = []
    rest: List[int] = []

    def script(peer: Peer) -> None:
        peer.upgrade()
        first.append(json.loads(peer.read_frame().payload))
        peer.socket.settimeout(0.3)
        with contextlib.suppress(OSError):
            rest.append(peer.read_frame().opcode)

    server = serve(script)
    sandbox.override_settings(CHAT_WS_PORT=str(server.port), CHAT_USE_SSL="0")
    client, heard = party.joined(ping_interval=0.05, reconnect_stop=tenacity.stop_after_attempt(1))
    heard.wait_for("on_connection_error")
    user = client.get_logged_in_user()
    assert first[0]["type"] == "auth"
    assert first[0]["body"]["auth"].count(".") == 2
    assert user is not None and user.auth_token not in str(first[0])
    assert rest in ([], [8])


@pytest.mark.parametrize("region, is_told", [("usa", True), ("eu", False)])
def test_a_login_in_an_unknown_region_names_the_known_ones(
    monkeypatch: pytest.MonkeyPatch, region: str, is_told: bool
) -> None:
    """The host of an unknown region has no address, so the error names CometChat's regions.

    For a known region it does not.
    """

    def unknown(*args: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with contextlib.closing(Client("app", AppSettings(region=region))) as client:
        assert client.connection_info().websocket_url == f"wss://app.websocket-{region}.cometchat.io:443/"
        with pytest.raises(CometChatException, match="DNS: no address for app.api") as caught:
            client.login("me", auth_key="a-key")
    assert ("CometChat names the regions us, eu, in, not 'usa'" in str(caught.value)) is is_told


def test_the_users_strategies_have_no_turn(sandbox: Sandbox, party: Party) -> None:
    """A slow strategy does not delay another client that reconnects."""
    had_turn: List[bool] = []

    def wait(state: Any) -> float:
        had_turn.append(TURNS.give_back())
        return 0.01

    _, heard = party.connected(reconnect_wait=wait)
    sandbox.drop_connections()
    heard.wait_for("on_connected", 2)
    assert had_turn == [False]
