"""Faults of this machine, of a user's callables, and of this SDK itself are reported, and do not end the client."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest
import tenacity
from no_threads import no_threads

import cometchat
from cometchat import (
    AuthenticationException,
    Client,
    CometChatException,
    CometChatWSState,
    ConnectionException,
    MemorySessionStore,
)
from cometchat._protocol._login_states import LoginState
from cometchat._runtime.account._account import Account, Credentials
from cometchat._runtime.account._redaction import Secrets
from cometchat._runtime.connection import ConnectionState, ConnectionThread, FrameRouter, SettingsRefresh
from cometchat._transport.http import RequestsRest
from cometchat._transport.websocket import WebSocketClientSocket
from cometchat.sandbox import Sandbox

from .conftest import DEADLINE, LOSS, OTHER_UID, UID, LoginRecorder, Party, Recorder, eventually, finished, in_thread

MANUAL = {"auto_establish_socket_connection": False}
ROOT = Path(cometchat.__file__).resolve().parents[1]


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(CometChatException) as caught:
        call()
    return caught.value.code


# No threads.


def test_a_connection_thread_that_can_not_be_started(sandbox: Sandbox, party: Party) -> None:
    """``connect()`` raises ``ERR_INTERNAL``, the listeners get a failed attempt, and a later one succeeds."""
    client = party.client(**MANUAL)
    heard = party.heard(client)
    client.login(UID, sandbox.auth_key)
    with no_threads("cometchat-connection-"):
        assert code_of(client.connect) == code_of(lambda: client.connect(0)) == "ERR_INTERNAL"
        assert client.get_connection_status() == "disconnected"
    client.connect(DEADLINE)
    failed = ["on_connecting", "on_connection_error", "on_disconnected"]
    heard.wait_for_names(*failed, *failed, "on_connecting", "on_connected")
    assert [error.code for error in heard.errors] == ["ERR_INTERNAL"] * 2
    assert "thread" in heard.errors[0].message and isinstance(heard.errors[0].__cause__, RuntimeError)


def test_a_log_handler_that_interrupts_connect(sandbox: Sandbox, party: Party) -> None:
    """The caller gets the KeyboardInterrupt, such as of a Ctrl-C in a slow write, and the thread connects."""
    client = party.client(**MANUAL)
    heard = party.heard(client)
    client.login(UID, sandbox.auth_key)
    caller = threading.current_thread()

    class Interrupting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if threading.current_thread() is caller:
                raise KeyboardInterrupt

    package, handler = logging.getLogger("cometchat.connection"), Interrupting()
    level = package.level
    package.setLevel(logging.INFO)
    package.addHandler(handler)
    try:
        # The connection thread may log the step before the caller does.
        with contextlib.suppress(KeyboardInterrupt):
            client.connect(0)
    finally:
        package.removeHandler(handler)
        package.setLevel(level)
    heard.wait_for_names("on_connecting", "on_connected")


def test_a_dispatcher_thread_that_can_not_be_started(sandbox: Sandbox, party: Party) -> None:
    """``login()`` and ``connect()`` raise ``ERR_INTERNAL``, and work once there are threads again."""
    client = party.client()
    heard = party.heard(client)
    with no_threads("cometchat-dispatcher-"):
        assert code_of(lambda: client.login(UID, sandbox.auth_key)) == "ERR_INTERNAL"
        assert client.get_logged_in_user() is None and client.get_connection_status() == "disconnected"
    client.login(UID, sandbox.auth_key)
    client.connect(DEADLINE)
    heard.wait_for_names("on_connecting", "on_connected")


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), KeyboardInterrupt()], ids=type)
@pytest.mark.parametrize("name", ["cometchat-dispatcher-", "cometchat-connection-"])
def test_a_restored_login_whose_threads_can_not_be_started(
    sandbox: Sandbox, party: Party, name: str, error: BaseException
) -> None:
    """``connect()`` raises, and the status is not "connecting" without a thread. A later ``connect()`` succeeds."""
    store = MemorySessionStore()
    party.client(session_store=store, **MANUAL).login(UID, sandbox.auth_key)
    client = party.client(session_store=store, **MANUAL)
    heard = party.heard(client)
    with no_threads(name, error=error):
        with pytest.raises((CometChatException, KeyboardInterrupt)):
            client.connect(DEADLINE)
        assert client.get_connection_status() == "disconnected"
    client.connect(DEADLINE)
    heard.wait_for_names("on_connecting", "on_connection_error", "on_disconnected", "on_connecting", "on_connected")
    assert heard.errors[0].code == "ERR_INTERNAL"


def test_a_connect_that_is_interrupted_when_its_thread_runs(
    sandbox: Sandbox, party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller gets the KeyboardInterrupt, and the thread connects."""
    client = party.client(**MANUAL)
    heard = party.heard(client)
    client.login(UID, sandbox.auth_key)
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        if thread.name.startswith("cometchat-connection-"):
            heard.wait_for("on_connected")
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            client.connect(DEADLINE)
    assert client.get_connection_status() == "connected" and heard.names == ["on_connecting", "on_connected"]


def test_a_client_that_can_not_resume_its_session_leaves_no_thread(sandbox: Sandbox, party: Party) -> None:
    """The constructor raises, so the caller has no client to close."""
    store = MemorySessionStore()
    party.client(session_store=store, **MANUAL).login(UID, sandbox.auth_key)
    before = set(threading.enumerate())
    with no_threads("cometchat-connection-"):
        assert code_of(lambda: Client(sandbox.app_id, sandbox.settings(session_store=store))) == "ERR_INTERNAL"
    assert eventually(lambda: set(threading.enumerate()) <= before)


def test_a_settings_thread_that_can_not_be_started(
    sandbox: Sandbox, party: Party, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection stays up with the old settings, a warning is logged, and the next refresh works."""
    client, heard = party.connected(settings_refresh_interval=0.02)
    with no_threads("cometchat-settings-"):
        with caplog.at_level(logging.WARNING, "cometchat"):
            assert eventually(lambda: "can't be refreshed" in caplog.text)
        sandbox.set_mode("NO_TRANSIENT")
        assert client.ping(DEADLINE) > 0 and client.get_connection_status() == "connected"
    heard.wait_for("on_feature_throttled")


# Mistakes of this SDK, or of its libraries.


class Mistakes:
    """Makes methods raise an unexpected error, once."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self.left = 0

    def make(self, cls: type, method: str, error: BaseException) -> None:
        self.left = 1
        right = getattr(cls, method)

        def wrong(*args: Any, **kwargs: Any) -> Any:
            if self.left:
                self.left -= 1
                raise error
            return right(*args, **kwargs)

        self._patch.setattr(cls, method, wrong)


@pytest.fixture
def mistakes(monkeypatch: pytest.MonkeyPatch) -> Mistakes:
    return Mistakes(monkeypatch)


@pytest.mark.parametrize(
    "part, method", [(SettingsRefresh, "_request"), (Account, "refresh_settings")], ids=["at once", "in the request"]
)
def test_an_unexpected_error_in_a_settings_thread(
    sandbox: Sandbox, party: Party, mistakes: Mistakes, caplog: pytest.LogCaptureFixture, part: type, method: str
) -> None:
    """A thread without memory for its first call, or for a later one, does not end the requests for the settings."""
    _, heard = party.connected(settings_refresh_interval=0.02)
    mistakes.make(part, method, MemoryError())
    assert eventually(lambda: "Traceback" in caplog.text, DEADLINE)
    sandbox.set_mode("NO_TRANSIENT")
    heard.wait_for("on_feature_throttled")


@pytest.mark.parametrize("error", [ZeroDivisionError("mine"), SystemExit(1)], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    "phase, part, method",
    [
        ("opening", WebSocketClientSocket, "open"),
        ("opening", ConnectionThread, "_credentials"),
        ("authenticating", ConnectionThread, "_wait_for_acceptance"),
    ],
    ids=["open", "credentials", "acceptance"],
)
def test_an_unexpected_error_in_an_attempt(
    party: Party,
    mistakes: Mistakes,
    caplog: pytest.LogCaptureFixture,
    phase: str,
    part: type,
    method: str,
    error: BaseException,
) -> None:
    """The attempt fails with ``ERR_INTERNAL``, is logged with its traceback, and the next attempt succeeds."""
    mistakes.make(part, method, error)
    client, heard = party.joined()
    heard.wait_for("on_connected")
    assert heard.names == ["on_connecting", "on_connection_error", "on_connected"]
    (reported,) = heard.errors
    assert reported.code == "ERR_INTERNAL" and reported.__cause__ is error
    assert type(error).__name__ in reported.message and phase in reported.message and "mine" not in reported.message
    assert "Traceback" in caplog.text and client.connection_info().failed_in == phase


class LockWatch(logging.Handler):
    """A log handler. It notes the records that come from a thread that holds the lock of a client."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.clients: List[Client] = []
        self.messages: List[str] = []
        self.under_the_lock: List[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
        if any(client._core.state.lock._is_owned() for client in self.clients):  # type: ignore[attr-defined]
            self.under_the_lock.append(self.messages[-1])


def test_a_log_handler_may_call_the_sdk(sandbox: Sandbox, party: Party, mistakes: Mistakes) -> None:
    """Nothing is logged under the client's lock. A thread in the handler, which has a lock too, could wait for it."""
    watch, package = LockWatch(), logging.getLogger("cometchat")
    client = party.client()
    heard = party.heard(client)
    watch.clients.append(client)
    package.addHandler(watch)
    package.setLevel(logging.DEBUG)
    try:
        client.login(UID, sandbox.auth_key)
        client.connect(DEADLINE)
        mistakes.make(Secrets, "scrub_error", ZeroDivisionError("mine"))
        sandbox.drop_connections()
        heard.wait_for("on_connected", 2)
        client.disconnect()
        client.connect(DEADLINE)
        client.logout()
        client.close()
    finally:
        package.setLevel(logging.NOTSET)
        package.removeHandler(watch)
    for transition in ("idle -> opening", "lost -> backoff", "online -> idle"):
        assert any(transition in message for message in watch.messages), transition
    assert watch.under_the_lock == []


def test_a_log_handler_that_exits_prevents_no_connection(party: Party) -> None:
    """It exits at each record, and SystemExit ends a thread only."""

    class Exiting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if threading.current_thread() is not threading.main_thread():
                raise SystemExit(1)

    package, handler = logging.getLogger("cometchat"), Exiting()
    package.addHandler(handler)
    package.setLevel(logging.DEBUG)
    try:
        client, heard = party.joined()
        heard.wait_for("on_connected")
        assert heard.names == ["on_connecting", "on_connected"]
    finally:
        package.setLevel(logging.NOTSET)
        package.removeHandler(handler)


@pytest.mark.parametrize("error", [ZeroDivisionError("mine"), SystemExit(1)], ids=lambda error: type(error).__name__)
def test_an_unexpected_error_while_a_loss_is_reported(
    sandbox: Sandbox, party: Party, mistakes: Mistakes, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    """The listeners and the log get it. It does not disappear in the retry, and the client connects again."""
    client, heard = party.connected()
    heard.clear()
    mistakes.make(Secrets, "scrub_error", error)
    sandbox.drop_connections()
    heard.wait_for("on_connected")
    assert heard.names == LOSS and "Traceback" in caplog.text
    (reported,) = heard.errors
    assert reported.code == "ERR_INTERNAL" and reported.__cause__ is error


@pytest.mark.parametrize(
    "part, method, error",
    [(ConnectionState, "rearm", ZeroDivisionError("mine")), (ConnectionThread, "_warn_of_outage", SystemExit(1))],
    ids=["lost", "backoff"],
)
def test_an_unexpected_error_between_two_attempts(
    sandbox: Sandbox, party: Party, mistakes: Mistakes, part: type, method: str, error: BaseException
) -> None:
    """It ends neither the thread nor the attempts, and the listeners see the usual loss."""
    _, heard = party.connected()
    heard.clear()
    mistakes.make(part, method, error)
    sandbox.drop_connections()
    heard.wait_for("on_connected")
    assert not mistakes.left and heard.names == LOSS


@pytest.mark.parametrize("error", [ZeroDivisionError("mine"), SystemExit(1)], ids=lambda error: type(error).__name__)
def test_an_unexpected_error_in_a_connection(
    sandbox: Sandbox, party: Party, mistakes: Mistakes, error: BaseException
) -> None:
    """A connection whose frame cannot be handled is lost, and the client connects again."""
    client, heard = party.connected()
    heard.clear()
    mistakes.make(FrameRouter, "take", error)
    sandbox.send_raw('{"type": "presence", "body": {}}')
    heard.wait_for("on_connected")
    assert heard.names == LOSS and heard.errors[0].code == "ERR_INTERNAL"
    assert client.ping(DEADLINE) > 0 and sandbox.wait_for_connections(1)


@pytest.mark.parametrize("error", [ZeroDivisionError("mine"), SystemExit(1)], ids=lambda error: type(error).__name__)
def test_an_unexpected_error_in_a_renewal(
    sandbox: Sandbox, party: Party, mistakes: Mistakes, error: BaseException
) -> None:
    """A jwt is refused, and its renewal fails unexpectedly: the attempt fails, and the next one renews the jwt."""
    client, heard = party.connected()
    heard.clear()
    sandbox.expire_jwts()
    mistakes.make(Account, "renew", error)
    sandbox.drop_connections()
    heard.wait_for("on_connected")
    assert heard.names == [*LOSS[:3], "on_connection_error", "on_connected"]
    assert heard.errors[1].code == "ERR_INTERNAL" and client.get_connection_status() == "connected"


def test_a_frame_that_can_not_be_delivered(
    sandbox: Sandbox, party: Party, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A mistake in reading a frame costs that frame. It is logged, and does not affect the connection."""

    def wrong(*args: Any) -> Any:
        raise ZeroDivisionError

    client, heard = party.connected()
    monkeypatch.setattr("cometchat._runtime.connection._frame_router.deliver", wrong)
    sandbox.send_frame({"type": "presence", "body": {"action": "online"}, "sender": "uid2"})
    client.ping(DEADLINE)
    assert "presence" in caplog.text and "ZeroDivisionError" in caplog.text
    assert heard.names == ["on_connecting", "on_connected"]


@pytest.mark.parametrize(
    "wait",
    [float("nan"), float("inf"), None, ZeroDivisionError("mine"), SystemExit(1)],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else repr(value),
)
def test_a_wait_strategy_of_no_use_does_not_end_the_attempts(sandbox: Sandbox, party: Party, wait: Any) -> None:
    """After any failure of it, the thread lives, ``connect()`` ends the wait, and the client connects again."""

    def strategy(state: Any) -> Any:
        if isinstance(wait, BaseException):
            raise wait
        return wait

    client, heard = party.connected(reconnect_wait=strategy)
    sandbox.drop_connections()
    heard.wait_for("on_connecting", 2)
    client.connect(DEADLINE)
    heard.wait_for("on_connected", 2)
    assert heard.names == ["on_connecting", "on_connected", *LOSS]


def test_a_stop_strategy_that_raises_does_not_end_the_attempts(sandbox: Sandbox, party: Party) -> None:
    """A strategy that raises does not end the attempts: the client connects again."""

    def stop(state: Any) -> bool:
        raise ZeroDivisionError

    _, heard = party.connected(reconnect_stop=stop)
    sandbox.drop_connections()
    heard.wait_for("on_connected", 2)


def test_a_strategy_that_uses_the_client(sandbox: Sandbox, party: Party) -> None:
    """A strategy may call any method. A strategy that disconnects ends the series."""
    connected: List[Tuple[Client, Recorder]] = []
    ended = threading.Event()

    def wait(state: Any) -> float:
        client, heard = connected[0]
        assert client.get_connection_status() == "disconnected"
        heard.wait_for("on_disconnected")
        client.disconnect()
        ended.set()
        return 0.0

    client, heard = party.connected(reconnect_wait=wait)
    connected.append((client, heard))
    sandbox.drop_connections()
    assert ended.wait(DEADLINE)
    assert finished(*in_thread(lambda: client.wait_for_status("disconnected", DEADLINE)))
    sandbox.clear_records()
    client.connect(DEADLINE)
    heard.wait_for("on_connected", 2)
    assert heard.names == ["on_connecting", "on_connected", *LOSS[:2], "on_connecting", "on_connected"]
    assert len(sandbox.attempts) == 1


@pytest.mark.parametrize("lost", [True, False], ids=["a loss", "a failed attempt"])
def test_a_connect_while_the_stop_strategy_decides(sandbox: Sandbox, party: Party, lost: bool) -> None:
    """The attempts go on, as after a ``connect()`` that comes after the decision."""
    calls = [lambda: client.connect(0)]

    def stop(state: object) -> bool:
        if calls:
            calls.pop()()
        return True

    client = party.client(reconnect_stop=stop, **MANUAL)
    heard = party.heard(client)
    client.login(UID, sandbox.auth_key)
    if lost:
        client.connect(DEADLINE)
        heard.wait_for("on_connected")
        heard.clear()
        sandbox.drop_connections()
    else:
        sandbox.refuse_auth(mode="close", close_code=1011, times=1)
        client.connect(0)
    heard.wait_for("on_connected", timeout=5)
    assert heard.names == (LOSS if lost else ["on_connecting", "on_connection_error", "on_connected"])


# Settings.


@pytest.mark.parametrize("status, body", [(500, None), (200, "<html>"), (200, {"data": []}), (429, None), (401, None)])
def test_settings_that_can_not_be_had(sandbox: Sandbox, party: Party, status: int, body: Any) -> None:
    """If ``GET /settings`` fails, the connection and the old ``MODE`` stay, and the next right answer counts."""
    client, heard = party.connected(settings_refresh_interval=0.02)
    sandbox.fail_http(status, body=body, path="/settings")
    sandbox.set_mode("NO_TRANSIENT")
    sandbox.clear_records()
    assert sandbox.wait_until(lambda: len([r for r in sandbox.requests if r.path.endswith("/settings")]) >= 3)
    assert client.get_connection_status() == "connected" and client.connection_info().mode == "DEFAULT"
    sandbox.heal()
    sandbox.set_mode("NO_TRANSIENT")
    heard.wait_for("on_feature_throttled")
    assert heard.names == ["on_connecting", "on_connected", "on_feature_throttled"]


def settings_requests(sandbox: Sandbox) -> int:
    return len([request for request in sandbox.requests if request.path.endswith("/settings")])


def test_requests_for_the_settings_obey_a_retry_after(sandbox: Sandbox, party: Party) -> None:
    """One answer with it holds the requests of all clients of the app, those of a reconnect too."""
    for _ in range(3):
        party.connected(settings_refresh_interval=0.1, ping_interval=0.05)
    sandbox.fail_http(429, retry_after=3600, path="/settings")
    assert sandbox.wait_until(lambda: [request.status for request in sandbox.requests].count(429) == 1, DEADLINE)
    sandbox.drop_connections()
    assert sandbox.wait_for_connections(3, DEADLINE)
    sandbox.clear_records()
    # Three clients send that many pings in five intervals.
    assert sandbox.wait_until(lambda: len([f for _, f in sandbox.frames if f.get("action") == "ping"]) >= 30, DEADLINE)
    assert settings_requests(sandbox) == 0


def test_settings_inside_of_settings(sandbox: Sandbox, party: Party) -> None:
    """An answer that has the settings one level deeper is read too."""
    client, heard = party.connected(settings_refresh_interval=0.02)
    sandbox.fail_http(200, body={"data": {"settings": {"MODE": "LIMITED_TRANSIENT"}}}, path="/settings")
    heard.wait_for("on_feature_throttled")
    assert client.connection_info().mode == "LIMITED_TRANSIENT"


def test_settings_of_an_old_login_do_not_count(sandbox: Sandbox, party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that arrives after the logout is discarded."""
    client = party.client(**MANUAL)
    client.login(UID, sandbox.auth_key)
    account = client._core.account
    call = RequestsRest.call

    def log_out_meanwhile(self: RequestsRest, method: str, url: str, **options: Any) -> Any:
        data = call(self, method, url, **options)
        if method == "GET":
            client.logout()
        return data

    monkeypatch.setattr(RequestsRest, "call", log_out_meanwhile)
    account.refresh_settings()
    assert account.session is None and client.get_logged_in_user() is None


def test_no_refresh_of_the_settings_where_none_is_wanted(sandbox: Sandbox, party: Party) -> None:
    """With ``settings_refresh_interval=0`` the login's settings count, without ``GET /settings``."""
    client, _ = party.connected(settings_refresh_interval=0, ping_interval=0.02)
    assert sandbox.wait_until(lambda: len([f for _, f in sandbox.frames if f.get("action") == "ping"]) >= 5)
    assert [request.path for request in sandbox.requests if request.path.endswith("/settings")] == []


def test_one_client_of_a_process_asks_for_the_settings_of_all(sandbox: Sandbox, party: Party) -> None:
    """Every client learns of a new ``MODE``, with about as many requests as one client makes."""
    heard = [party.connected(settings_refresh_interval=0.4)[1] for _ in range(8)]
    sandbox.clear_records()
    began = time.monotonic()
    sandbox.set_mode("NO_TRANSIENT")
    for each in heard:
        each.wait_for("on_feature_throttled")
    asked = len([request for request in sandbox.requests if request.path.endswith("/settings")])
    assert 1 <= asked <= 2 + (time.monotonic() - began) / 0.2


# Login and logout.


@pytest.mark.parametrize(
    "path, data, lacks",
    [
        ("/users/*/auth_tokens", {}, "authToken"),
        ("/users/*/auth_tokens", {"authToken": ""}, "authToken"),
        ("/users/*/auth_tokens", {"authToken": 5}, "authToken"),
        ("/me", {"uid": UID, "settings": {}}, "jwt"),
        ("/me", {"uid": UID, "jwt": "", "settings": {}}, "jwt"),
        ("/me", {"jwt": "a.b.c", "settings": {}}, "uid"),
        ("/me", {"uid": [], "jwt": "a.b.c"}, "uid"),
    ],
)
def test_an_answer_that_lacks_something(sandbox: Sandbox, party: Party, path: str, data: Any, lacks: str) -> None:
    """``ERR_BAD_RESPONSE`` names the missing field, no user is logged in, and the login listener gets the error."""
    client = party.client()
    logins = LoginRecorder()
    client.add_login_listener("logins", logins)
    sandbox.fail_http(200, body={"data": data}, path=path)
    with pytest.raises(ConnectionError, match=lacks) as caught:
        client.login(UID, sandbox.auth_key)
    assert isinstance(caught.value, CometChatException) and caught.value.code == "ERR_BAD_RESPONSE"
    assert logins.wait_for("login_failure").argument is caught.value
    assert client.get_logged_in_user() is None and client.get_connection_status() == "disconnected"


def test_a_login_without_settings(sandbox: Sandbox, party: Party) -> None:
    """After ``PUT /me`` without ``settings``, the user is logged in, and the mode is the service's usual one."""
    sandbox.fail_http(200, times=1, body={"data": {"uid": UID, "jwt": "a.b.c"}}, path="/me")
    client = party.client(**MANUAL)
    assert client.login_with_auth_token("token").uid == UID
    assert client.connection_info().mode == "DEFAULT"


def test_a_failed_logout_can_be_repeated(sandbox: Sandbox, party: Party) -> None:
    """The first logout raises, the listener is called, and the user is disconnected and still logged in.

    The second one succeeds.
    """
    store = MemorySessionStore()
    client, heard = party.connected(session_store=store)
    logins = LoginRecorder()
    client.add_login_listener("logins", logins)
    sandbox.fail_http(503, times=1, path="/me")
    with pytest.raises(CometChatException) as caught:
        client.logout()
    assert logins.wait_for("logout_failure").argument is caught.value
    assert client.get_logged_in_user() is not None and store.load() is not None
    assert client.get_connection_status() == "disconnected"
    client.logout()
    logins.wait_for_names("logout_failure", "logout_success")
    assert client.get_logged_in_user() is None and store.load() is None
    assert heard.names == ["on_connecting", "on_connected", "on_disconnected"]
    assert code_of(client.logout) == "USER_NOT_LOGGED_IN"


def test_a_logout_with_a_void_token_succeeds(sandbox: Sandbox, party: Party) -> None:
    """A token that the service no longer knows does not have to be voided."""
    client, _ = party.connected()
    sandbox.revoke_tokens()
    client.logout()
    assert client.get_logged_in_user() is None


class BrokenStore(MemorySessionStore):
    """A store whose methods fail on request."""

    def __init__(self, *broken: str) -> None:
        super().__init__()
        self.broken = broken

    def save(self, session: Any) -> None:
        self._fail("save")
        super().save(session)

    def clear(self) -> None:
        self._fail("clear")
        super().clear()

    def _fail(self, method: str) -> None:
        if method in self.broken:
            raise OSError(28, "No space left on device")


def test_a_store_that_can_not_be_written(sandbox: Sandbox, party: Party, caplog: pytest.LogCaptureFixture) -> None:
    """The login works without it. A warning says that the login will not survive a restart, and shows no token."""
    client, _ = party.connected(session_store=BrokenStore("save"))
    user = client.get_logged_in_user()
    assert user is not None and user.auth_token
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "written" in record.getMessage() and user.auth_token not in caplog.text


def test_a_store_that_can_not_be_cleared(sandbox: Sandbox, party: Party, caplog: pytest.LogCaptureFixture) -> None:
    """The user is logged out all the same, and a warning is logged."""
    client, _ = party.connected(session_store=BrokenStore("clear"))
    client.logout()
    assert client.get_logged_in_user() is None
    assert "can't be cleared" in caplog.text and "a restart may resume this login" in caplog.text
    assert "may not survive" not in caplog.text


def test_a_client_that_is_closed_during_its_login(
    sandbox: Sandbox, party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The login raises ``ERR_CLIENT_CLOSED``, and the client does not connect."""
    client = party.client()
    call = RequestsRest.call

    def close_meanwhile(self: RequestsRest, method: str, url: str, **options: Any) -> Any:
        data = call(self, method, url, **options)
        if method == "PUT":
            client.close()
        return data

    monkeypatch.setattr(RequestsRest, "call", close_meanwhile)
    assert code_of(lambda: client.login(UID, sandbox.auth_key)) == "ERR_CLIENT_CLOSED"
    assert client.get_connection_status() == "disconnected" and sandbox.attempts == []


def test_a_second_login_at_the_same_time(sandbox: Sandbox, party: Party) -> None:
    """The second login raises ``LOGIN_IN_PROGRESS`` at once. Afterwards a login is possible again."""
    client = party.client(**MANUAL)
    sandbox.set_latency(0.5)
    first = in_thread(lambda: client.login(UID, sandbox.auth_key))
    assert eventually(lambda: client._core.lifecycle.state is LoginState.LOGGING_IN)
    assert code_of(lambda: client.login(OTHER_UID, sandbox.auth_key)) == "LOGIN_IN_PROGRESS"
    assert code_of(lambda: client.login_with_auth_token("token")) == "LOGIN_IN_PROGRESS"
    assert finished(*first).uid == UID
    sandbox.set_latency(0)
    assert client.login(OTHER_UID, sandbox.auth_key).uid == OTHER_UID


def test_another_user_in_the_same_client(sandbox: Sandbox, party: Party) -> None:
    """A login in place of another user's ends that user's connection, and begins the new one's."""
    client, heard = party.connected()
    client.login(OTHER_UID, sandbox.auth_key)
    heard.wait_for("on_connected", 2)
    assert heard.names == ["on_connecting", "on_connected", "on_disconnected", "on_connecting", "on_connected"]
    assert sandbox.wait_for_connections(1)
    assert [uid for uid, frame in sandbox.frames if frame.get("type") != "auth" and uid == UID] == []
    assert client.connection_info().uid == OTHER_UID


# The refresh callable.


class Refresh:
    """Returns these values, one after the other, or raises them if they are exceptions."""

    def __init__(self, *values: Any) -> None:
        self.values = list(values)
        self.threads: List[str] = []

    def __call__(self) -> Any:
        self.threads.append(threading.current_thread().name)
        value = self.values.pop(0) if len(self.values) > 1 else self.values[0]
        if isinstance(value, BaseException):
            raise value
        return value() if callable(value) else value


NO_TOKENS: List[Any] = [None, "", 5, b"token", ["token"], "to\nken", "t\u00f6ken", " token"]


def test_a_refused_token_is_refreshed_at_login(sandbox: Sandbox, party: Party) -> None:
    """The callable is called once, on the thread that logs in. The new token is the user's and the store's."""
    store = MemorySessionStore()
    client = party.client(session_store=store, **MANUAL)
    new = sandbox.auth_token(UID)
    refresh = Refresh(new)
    user = client.login_with_auth_token("void", refresh)
    stored = store.load()
    assert (user.uid, user.auth_token) == (UID, new) and stored is not None and stored["auth_token"] == new
    assert refresh.threads == [threading.current_thread().name]


def test_a_token_that_is_taken_is_not_refreshed(sandbox: Sandbox, party: Party) -> None:
    """The callable is called only when a new token is needed."""
    refresh = Refresh(ZeroDivisionError())
    client = party.client()
    client.login_with_auth_token(sandbox.auth_token(UID), refresh)
    client.connect(DEADLINE)
    assert refresh.threads == []


def test_a_refreshed_token_that_is_refused_too(sandbox: Sandbox, party: Party) -> None:
    """The server's refusal is raised, and the callable is not called twice."""
    refresh = Refresh("void-too")
    with pytest.raises(AuthenticationException):
        party.client().login_with_auth_token("void", refresh)
    assert len(refresh.threads) == 1


@pytest.mark.parametrize("value", [*NO_TOKENS, ZeroDivisionError("mine")], ids=repr)
def test_a_refresh_of_no_use_at_login(sandbox: Sandbox, party: Party, value: Any) -> None:
    """``ERR_TOKEN_REFRESH`` has the callable's exception as its cause, and does not show its result."""
    client = party.client()
    with pytest.raises(CometChatException) as caught:
        client.login_with_auth_token("void", Refresh(value))
    assert caught.value.code == "ERR_TOKEN_REFRESH" and client.get_logged_in_user() is None
    expected = ConnectionException if isinstance(value, Exception) else AuthenticationException
    assert type(caught.value) is expected, "docs/errors.rst says so"
    if isinstance(value, Exception):
        assert caught.value.__cause__ is value and "mine" not in str(caught.value)
    elif value == "":
        assert "not an empty str" in str(caught.value)
    elif value:
        assert "token" not in str(caught.value).replace("auth token", "") and "to\nken" not in str(caught.value)


def test_ctrl_c_in_a_refresh_at_login_comes_out(sandbox: Sandbox, party: Party) -> None:
    """KeyboardInterrupt is raised as the user's own exception, on the user's own thread. The next login works."""
    client = party.client(**MANUAL)
    with pytest.raises(KeyboardInterrupt):
        client.login_with_auth_token("void", Refresh(KeyboardInterrupt()))
    assert client.login(UID, sandbox.auth_key).uid == UID


@pytest.fixture
def expired(sandbox: Sandbox, party: Party) -> Iterator[Callable[..., Any]]:
    """Connect with a refresh callable, then void all of the client's credentials, and drop the connection."""

    def expire(refresh: Refresh, **overrides: Any) -> Any:
        client = party.client(**overrides)
        heard = party.heard(client)
        client.login_with_auth_token(sandbox.auth_token(UID), refresh)
        client.connect(DEADLINE)
        heard.wait_for("on_connected")
        heard.clear()
        sandbox.revoke_tokens()
        sandbox.expire_jwts()
        sandbox.drop_connections()
        return client, heard

    yield expire


def test_a_token_that_is_void_later_is_refreshed(sandbox: Sandbox, expired: Any) -> None:
    """The refresh runs on the connection thread. The new token is stored, and the client connects again."""
    store = MemorySessionStore()
    refresh = Refresh(lambda: sandbox.auth_token(UID))
    client, heard = expired(refresh, session_store=store)
    heard.wait_for("on_connected")
    assert heard.names == LOSS
    (thread,) = refresh.threads
    assert thread.startswith("cometchat-connection-")
    stored = store.load()
    assert stored is not None and stored["auth_token"] == client.get_logged_in_user().auth_token


class Unprintable(Exception):
    """An exception that can't show itself."""

    def __str__(self) -> str:
        raise ValueError("it has no text")

    __repr__ = __str__


@pytest.mark.parametrize(
    "error",
    [ZeroDivisionError(), OSError(5, "x"), SystemExit(), Unprintable(Unprintable())],
    ids=lambda error: type(error).__name__,
)
def test_a_refresh_that_raises_later_is_tried_again(sandbox: Sandbox, expired: Any, error: BaseException) -> None:
    """A raising refresh is a failed attempt, since the user's own server may be down as well.

    The next attempt calls it again.
    """
    refresh = Refresh(error, lambda: sandbox.auth_token(UID))
    _, heard = expired(refresh)
    heard.wait_for("on_connected")
    assert heard.names == [*LOSS[:3], "on_connection_error", "on_connected"]
    assert heard.errors[1].code == ("ERR_INTERNAL" if isinstance(error, SystemExit) else "ERR_TOKEN_REFRESH")
    assert len(refresh.threads) == 2


@pytest.mark.parametrize("value", [None, 5, "to\nken", "void"], ids=repr)
def test_a_refresh_that_gives_no_token_ends_the_attempts(sandbox: Sandbox, expired: Any, value: Any) -> None:
    """A refused credential, or no credential, does not improve by another attempt."""
    client, heard = expired(Refresh(value))
    heard.wait_for("on_disconnected", 2)
    assert heard.names == [*LOSS[:3], "on_connection_error", "on_disconnected"]
    assert isinstance(heard.errors[1], AuthenticationException)
    assert client.get_connection_status() == "disconnected" and client.get_logged_in_user() is not None


def test_a_refresh_for_another_user_ends_the_attempts(sandbox: Sandbox, expired: Any) -> None:
    """The client stays the client of its user. The error names both users."""
    client, heard = expired(Refresh(lambda: sandbox.auth_token(OTHER_UID)))
    heard.wait_for("on_disconnected", 2)
    assert heard.names == [*LOSS[:3], "on_connection_error", "on_disconnected"]
    error = heard.errors[1]
    assert error.code == "ERR_TOKEN_REFRESH" and f"{UID!r}" in error.message and f"{OTHER_UID!r}" in error.message
    assert client.get_logged_in_user().uid == UID
    with pytest.raises(CometChatException) as caught:
        client.send_text("from whom?", uid="cometchat-uid-3")
    assert caught.value.code == "ERR_TOKEN_REFRESH" and sandbox.messages == []
    assert client.login_with_auth_token(sandbox.auth_token(OTHER_UID)).uid == OTHER_UID


def test_a_refresh_that_disconnects(sandbox: Sandbox, expired: Any) -> None:
    """A refresh may call any method. Afterwards there is no attempt, and no callback but the last one."""
    clients: List[Client] = []
    ready, done = threading.Event(), threading.Event()

    def disconnect() -> str:
        ready.wait(DEADLINE)
        attempts.append(len(sandbox.attempts))
        clients[0].disconnect()
        done.set()
        return sandbox.auth_token(UID)

    attempts: List[int] = []
    client, heard = expired(Refresh(disconnect))
    clients.append(client)
    heard.wait_for("on_connecting")
    ready.set()
    assert done.wait(DEADLINE)
    client.close()
    assert heard.names == [*LOSS[:3], "on_disconnected"]
    assert [len(sandbox.attempts)] == attempts


def test_a_refresh_that_disconnects_before_there_is_a_socket(sandbox: Sandbox, party: Party) -> None:
    """The jwt must be renewed before the first attempt. No socket is opened after the end."""
    client = party.client(**MANUAL)
    heard = party.heard(client)
    done = threading.Event()

    def disconnect() -> str:
        heard.wait_for("on_connecting")
        client.disconnect()
        done.set()
        return sandbox.auth_token(UID)

    sandbox.jwt_lifetime = -10
    client.login_with_auth_token(sandbox.auth_token(UID), disconnect)
    sandbox.revoke_tokens()
    client.connect(0)
    assert done.wait(DEADLINE)
    heard.wait_for_names("on_connecting", "on_disconnected")
    client.close()
    assert sandbox.attempts == [] and heard.names == ["on_connecting", "on_disconnected"]


def test_a_refresh_that_logs_out(sandbox: Sandbox, expired: Any) -> None:
    """The user has logged out. There is no attempt, and the token that arrives later logs no user in."""
    clients: List[Client] = []
    ready, done = threading.Event(), threading.Event()

    def log_out() -> str:
        ready.wait(DEADLINE)
        clients[0].logout()
        done.set()
        return sandbox.auth_token(UID)

    client, heard = expired(Refresh(log_out))
    clients.append(client)
    heard.wait_for("on_connecting")
    ready.set()
    assert done.wait(DEADLINE)
    heard.wait_for("on_disconnected", 2)
    assert client.get_logged_in_user() is None and client.get_connection_status() == "disconnected"
    assert heard.names == [*LOSS[:3], "on_disconnected"]


def test_a_store_that_can_not_take_a_refreshed_token(
    sandbox: Sandbox, expired: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning is logged, with the store's exception, and the client connects again."""
    store = BrokenStore()

    def new_token() -> str:
        store.broken = ("save",)
        return sandbox.auth_token(UID)

    _, heard = expired(Refresh(new_token), session_store=store)
    heard.wait_for("on_connected")
    assert "can't be written" in caplog.text and "Traceback" in caplog.text


# Many at once, and the end.


def test_many_threads_that_connect_make_one_connection(sandbox: Sandbox, party: Party) -> None:
    """After twenty calls of ``connect()`` at once, all return, and there was one attempt."""
    client = party.client(**MANUAL)
    heard = party.heard(client)
    client.login(UID, sandbox.auth_key)
    start = threading.Barrier(20)
    callers = [in_thread(lambda: (start.wait(DEADLINE), client.connect(DEADLINE))[1]) for _ in range(20)]
    assert [finished(*caller) for caller in callers] == [None] * 20
    heard.wait_for("on_connected")
    assert len(sandbox.attempts) == 1 and heard.names.count("on_connecting") == 1


def test_connecting_and_disconnecting_from_many_threads(sandbox: Sandbox, party: Party) -> None:
    """After any order, the callbacks are a possible sequence, and the end is that of the last call."""
    client = party.client(**MANUAL)
    heard = party.heard(client)
    client.login(UID, sandbox.auth_key)

    def toggle(number: int) -> None:
        for turn in range(15):
            client.connect(0) if (turn + number) % 2 else client.disconnect()

    for toggler in [in_thread(lambda number=number: toggle(number)) for number in range(6)]:
        assert finished(*toggler) is None
    client.disconnect()
    client.connect(DEADLINE)
    assert sandbox.wait_for_connections(1)
    heard.wait_until(lambda: heard.names[-1:] == ["on_connected"], "on_connected at the end")
    client.close()
    status = CometChatWSState.DISCONNECTED.value
    allowed: Dict[str, Dict[str, str]] = {
        "disconnected": {"on_connecting": "connecting"},
        "connecting": {"on_connected": "connected", "on_connection_error": "connecting"},
        "connected": {"on_connection_error": "connected"},
    }
    for name in heard.names:
        # A disconnect() cuts events, but never on_disconnected itself.
        if name == "on_connecting":
            status = "disconnected"
        assert name in allowed[status] or name == "on_disconnected", heard.names
        status = allowed[status].get(name, "disconnected")
    assert heard.names[-3:] == ["on_connecting", "on_connected", "on_disconnected"]


def test_waiting_ends_with_the_client(party: Party) -> None:
    """``wait_for_status`` without a limit returns False when the client is closed."""
    client = party.client()
    waiting = in_thread(lambda: client.wait_for_status("connected"))
    assert eventually(lambda: client._core.state._waiters)
    client.close()
    assert finished(*waiting) is False


def test_a_connection_that_is_closed_stays_closed(sandbox: Sandbox, party: Party) -> None:
    """A connect() that passed its check right before the close raises ``ERR_CLIENT_CLOSED``.

    Another close is a no-op.
    """
    client, _ = party.connected()
    client.close()
    assert code_of(client._core.state.begin) == "ERR_CLIENT_CLOSED"
    assert code_of(lambda: client._core.sender.ping(1)) == "NO_WEBSOCKET_CONNECTION"
    client._core.lifecycle.disconnect()
    client._core.lifecycle.close_connection(at_exit=False)
    assert client.get_connection_status() == "disconnected"


def test_credentials_show_no_jwt() -> None:
    """The objects that open and authenticate a socket can be logged."""
    identity: Any = ("app", "uid1")
    assert "s3cret" not in repr(Credentials("wss://x/", identity, "s3cret"))


_SCRIPT = """
import sys, threading
from cometchat import AppSettings, Client
url, auth_key = sys.argv[1:]
client = Client("sandbox-app", AppSettings(admin_host=url, client_host=url))
client.login("cometchat-uid-1", auth_key)
client.connect(10)
print("connected", flush=True)
"""


def test_a_program_that_ends_says_goodbye(sandbox: Sandbox) -> None:
    """A script that does not close its client ends at once, without an error, and the server gets a close frame."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", _SCRIPT, sandbox.url, sandbox.auth_key]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50, env=environment)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "connected\n", "")
    assert sandbox.wait_until(lambda: sandbox.close_codes == [1000])


def test_a_stop_strategy_ends_a_series_of_renewals(sandbox: Sandbox, party: Party) -> None:
    """``stop_after_attempt`` also counts attempts that fail in ``PUT /me``.

    Then comes ``on_disconnected``, and no more.
    """
    client, heard = party.connected(reconnect_stop=tenacity.stop_after_attempt(3))
    heard.clear()
    sandbox.expire_jwts()
    sandbox.fail_http(500, path="/me")
    sandbox.drop_connections()
    heard.wait_for("on_disconnected", 2)
    assert heard.names == [*LOSS[:3], "on_connection_error", "on_connection_error", "on_disconnected"]
    assert isinstance(heard, Recorder) and client.get_connection_status() == "disconnected"
