"""The login of a site in the background: its waits, its log, and the failures that do not end it."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
from typing import Any, Iterator, List, Optional, Tuple
from unittest import mock

import pytest
from no_threads import no_threads

from cometchat import AuthenticationException, CometChatException, MemorySessionStore, RateLimitException, User
from cometchat.contrib.web import Configuration, Serving, examine
from cometchat.contrib.web._login import Login, SiteClient, _RefusalListener
from cometchat.sandbox import Sandbox

from .support import DEADLINE, eventually

SETTING = {"APP_ID": "app", "REGION": "us", "UID": "cometchat-uid-1", "AUTH_KEY": "key"}


class Waits:
    """Replaces the event that ends a login. It counts the waits, and ends after this many."""

    def __init__(self, most: int) -> None:
        self.seconds: List[float] = []
        self._most = most

    def wait(self, seconds: float) -> bool:
        self.seconds.append(seconds)
        return self.is_set()

    def is_set(self) -> bool:
        return len(self.seconds) > self._most

    def set(self) -> None:
        self._most = 0


class FailingConfiguration(Configuration):
    """Its logins raise the test's errors. An error of None lets one succeed."""

    errors: Iterator[Optional[BaseException]]

    def log_in(self, client: Any) -> None:
        error = next(self.errors)
        if error is not None:
            raise error


def configuration(errors: Iterator[Optional[BaseException]]) -> FailingConfiguration:
    plain, problems = examine(SETTING, {}, "")
    assert plain is not None and not problems
    made = FailingConfiguration(**vars(plain))
    object.__setattr__(made, "errors", errors)  # frozen
    return made


@pytest.fixture
def client() -> Iterator[SiteClient]:
    plain, _ = examine(SETTING, {}, "")
    assert plain is not None
    with contextlib.closing(SiteClient(plain.app_id, plain.settings)) as made:
        yield made


def run(login: Login, most: int) -> List[float]:
    """Run the login on this thread, without a wait. Returns the seconds that it would have waited."""
    waits = Waits(most)
    login._ended = waits  # type: ignore[assignment]
    login._wanted = True
    login._run()
    return waits.seconds


def test_ten_thousand_failures_do_not_end_the_login(client: SiteClient) -> None:
    """The wait grows to its limit and stays there, and the code never computes 2.0 ** 1025. Then the login succeeds."""
    failures: List[Optional[BaseException]] = [CometChatException("FAILED_TO_FETCH", "away")] * 10_000
    login = Login(client, configuration(iter([*failures, None])), jitter=lambda: 1.0)
    waits = run(login, 20_000)
    assert len(waits) == 10_001
    assert waits[1] < waits[2] < waits[-1] == 30.0
    assert client.login_error is None and login._thread is None


def test_errors_of_any_kind_do_not_end_the_login(client: SiteClient) -> None:
    """Errors of the site's function, of the system, and of the function that waits for the site do not end it.

    Nor does ``sys.exit()`` in one of the functions. It would end a plain thread silently.
    """
    ready = iter([MemoryError(), OSError(24, "too many open files"), SystemExit(1), *[None] * 9])

    def wait_until_ready() -> None:
        error = next(ready)
        if error is not None:
            raise error

    errors = [KeyError("x"), MemoryError(), RecursionError(), OSError(24, "too many open files"), SystemExit(1), None]
    login = Login(client, configuration(iter(errors)), wait_until_ready, jitter=lambda: 1.0)
    assert len(run(login, 100)) == 10
    assert client.login_error is None


def test_each_kind_of_failure_is_a_warning_once(client: SiteClient, caplog: pytest.LogCaptureFixture) -> None:
    """In a long outage the kinds alternate, and still each is one warning. After a success it is one again."""
    away, busy = CometChatException("FAILED_TO_FETCH", "away"), CometChatException("ERR_HTTP_503", "busy")
    login = Login(client, configuration(iter([*[away, busy] * 50, None, away, None])), jitter=lambda: 1.0)
    run(login, 1000)
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert ["busy" in text for text in warnings] == [False, True]
    run(login, 1000)
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 3


def test_a_login_of_the_site_itself_ends_the_error(client: SiteClient) -> None:
    """If the site's code logs the client in between two attempts, the error of the first attempt goes away."""

    class Site(FailingConfiguration):
        def is_logged_in(self, client: Any) -> bool:
            return client.login_error is not None

    plain = configuration(iter([CometChatException("FAILED_TO_FETCH", "away")]))
    made = Site(**{field.name: getattr(plain, field.name) for field in dataclasses.fields(plain)})
    object.__setattr__(made, "errors", plain.errors)
    login = Login(client, made, jitter=lambda: 1.0)
    waits = Waits(100)
    login._ended = waits  # type: ignore[assignment]
    login._wanted = True
    with mock.patch.object(login, "_report", lambda *_: login.succeeded()):  # the connection is up before the wait
        login._run()
    assert len(waits.seconds) == 2
    assert client.login_error is None


def test_pages_see_at_once_that_the_function_for_a_token_failed() -> None:
    """Its error is not one of the client's, whose listeners wake the streams. A stream lives for up to 25 seconds."""
    asked = threading.Event()

    def token() -> str:
        assert asked.wait(DEADLINE)
        raise KeyError("no token")

    setting = {"APP_ID": "app", "REGION": "us", "AUTH_TOKEN": token, "KEEP_ALIVE": 0.1}
    made, _ = examine(setting, {}, "")
    assert made is not None
    serving = Serving(lambda: made)
    try:
        serving.start()
        events = serving.feed.events()
        next(event for event in events if '"reason": null' in event)
        asked.set()
        assert eventually(lambda: serving.login_error is not None)
        assert '"reason": {"code": "ERR_TOKEN_REFRESH"}' in next(event for event in events if "event: status" in event)
    finally:
        serving.stop()


class Broken(logging.Handler):
    """A handler with, for example, a full disk. Unlike handlers of the standard library, it raises its errors."""

    def emit(self, record: logging.LogRecord) -> None:
        raise OSError(28, "No space left on device")


def test_a_logging_handler_that_raises_does_not_end_the_login(client: SiteClient) -> None:
    """The login continues, and succeeds."""
    handler = Broken()
    logging.getLogger("cometchat").addHandler(handler)
    try:
        errors = [CometChatException(f"ERR_{number}", "x") for number in range(20)]
        login = Login(client, configuration(iter([*errors, None])), jitter=lambda: 1.0)
        assert len(run(login, 100)) == 21
    finally:
        logging.getLogger("cometchat").removeHandler(handler)
    assert client.login_error is None


@pytest.mark.parametrize("method", ["__init__", "start"])
def test_a_thread_that_cannot_be_started_is_started_later(method: str) -> None:
    """Without a thread or memory left, start() does not raise, and the next use of the client tries again."""
    plain, _ = examine(SETTING, {}, "")
    assert plain is not None
    serving = Serving(lambda: configuration(iter([None])))

    with contextlib.closing(contextlib.ExitStack()) as stack:
        stack.callback(serving.stop)
        serving.client  # noqa: B018
        with no_threads(method=method):
            serving.start()
            assert serving.started and serving._parts is not None
            login = serving._parts.login
            assert login._thread is None and login._wanted
        serving.feed.report()
        assert eventually(lambda: login._thread is None and not login._wanted)


def test_the_sites_code_may_wait_for_another_thread_that_needs_the_client() -> None:
    """While a thread reads the settings, or adds its listeners, others do not wait for it. All get the same client."""
    seen: List[Any] = []
    made: List[Any] = []

    def in_another_thread() -> None:
        if threading.current_thread().name != "test-other":
            other = threading.Thread(target=lambda: seen.append(serving.start()), daemon=True, name="test-other")
            other.start()
            other.join(5.0)
            assert not other.is_alive()

    def read() -> Configuration:
        in_another_thread()
        return configuration(iter([None]))

    def on_made(client: Any) -> None:
        made.append(client)
        in_another_thread()

    serving = Serving(read, on_made)
    with contextlib.closing(contextlib.ExitStack()) as stack:
        stack.callback(serving.stop)
        client = serving.start()
        assert seen == [client] * 2 and serving.client is client
        closed = [each for each in made if each is not client]
        assert len(closed) == len(made) - 1
        for each in closed:
            with pytest.raises(CometChatException, match="ERR_CLIENT_CLOSED"):
                each.connection_info()
        assert serving.started and serving._parts is not None
        login = serving._parts.login
        assert eventually(lambda: client.login_error is None and not login._wanted)


def fork(serving: Serving) -> None:
    """Do what a fork does in the child."""
    serving.reset_after_fork()
    serving.start_after_fork()


def test_a_worker_that_has_stopped_forks_processes_without_a_connection() -> None:
    """The server's master makes its workers connect, but not the processes that these fork."""
    serving = Serving(lambda: configuration(iter([None])))
    serving.start_after_forks()
    fork(serving)
    assert serving.started
    serving.stop()
    fork(serving)
    assert not serving.started


def test_the_child_of_a_fork_after_the_site_closed_the_client(caplog: pytest.LogCaptureFixture) -> None:
    """The child makes no connection, and logs nothing."""
    plain, _ = examine(SETTING, {}, "")
    assert plain is not None
    serving = Serving(lambda: plain)
    with no_threads("cometchat-login"):
        client = serving.start()
    client.close()
    caplog.clear()
    fork(serving)
    parts = serving._parts
    assert parts is not None and eventually(lambda: parts.login._thread is None)
    assert not caplog.records and client.login_error is None  # type: ignore[attr-defined]
    serving.stop()


def test_the_child_of_a_fork_logs_in_if_the_stored_session_is_of_another_user() -> None:
    """A fork between two attempts does not end the login, although the client has a user."""
    calls: List[Any] = []
    other = User("cometchat-uid-2", "Somebody")

    class Counted(FailingConfiguration):
        def log_in(self, client: Any) -> None:
            calls.append(client)

    plain = configuration(iter([]))
    made = Counted(**{field.name: getattr(plain, field.name) for field in dataclasses.fields(plain)})
    serving = Serving(lambda: made)
    with mock.patch.object(SiteClient, "get_logged_in_user", return_value=other):
        try:
            serving.start()
            assert eventually(lambda: len(calls) == 1)
            fork(serving)
            assert eventually(lambda: len(calls) == 2)
        finally:
            serving.stop()


def test_a_log_handler_may_wait_for_another_thread_that_needs_the_client() -> None:
    """No lock is held while the SDK logs that the thread of the login can't be started."""
    serving = Serving(lambda: configuration(iter([None])))

    class Waiting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if threading.current_thread().name != "test-other":
                other = threading.Thread(target=lambda: seen.append(serving.client), daemon=True, name="test-other")
                other.start()
                other.join(5.0)

    handler, seen = Waiting(), []  # type: ignore[var-annotated]
    handler.createLock = lambda: None  # type: ignore[method-assign]
    handler.lock = None
    logging.getLogger("cometchat.web").addHandler(handler)
    try:
        with no_threads("cometchat-login"):
            client = serving.start()
        assert seen == [client]
    finally:
        logging.getLogger("cometchat.web").removeHandler(handler)
        serving.stop()


def test_waits_that_the_server_dictates_differ(client: SiteClient) -> None:
    """Retry-After is never cut short, and two processes never return in the same moment."""
    told = RateLimitException("ERR_TOO_MANY_REQUESTS", "slow down", retry_after=10.0)
    waits = []
    for jitter in (0.0, 0.5, 1.0):
        login = Login(client, configuration(iter([told, None])), jitter=lambda value=jitter: value)  # type: ignore
        waits.append(run(login, 10)[1])
    assert waits == [10.0, 11.25, 12.5]
    refused = AuthenticationException("AUTH_ERR_APIKEY_NOT_FOUND", "no such key")
    login = Login(client, configuration(iter([refused, None])), jitter=lambda: 1.0)
    assert run(login, 10)[1] == 375.0


@pytest.mark.parametrize("is_disconnected", [True, False])
def test_a_login_that_ended_starts_again_once(client: SiteClient, is_disconnected: bool) -> None:
    """The service ends the login. A client that is disconnected at that moment gets no second on_disconnected."""
    started: List[None] = []

    class Counted(Login):
        def start(self) -> None:
            started.append(None)

    listener = _RefusalListener(Counted(client, configuration(iter([None]))), client)
    listener.on_connection_error(CometChatException("WS_CONNECTION_FAIL", "lost"))
    listener.on_disconnected()
    assert started == []
    if not is_disconnected:
        listener.on_connecting()
    listener.on_connection_error(AuthenticationException("AUTH_ERR_AUTH_TOKEN_NOT_FOUND", "ended"))
    if not is_disconnected:
        listener.on_disconnected()
    assert len(started) == 1


def test_the_site_may_close_the_client_during_the_login(client: SiteClient, caplog: pytest.LogCaptureFixture) -> None:
    """The login ends: a closed client can't log in. Nothing is logged."""
    login = Login(client, configuration(iter([CometChatException("FAILED_TO_FETCH", "away")])))
    login._failures = 1  # an attempt before this one
    login._configuration, _ = examine(SETTING, {}, "")  # type: ignore[assignment]
    client.close()
    assert len(run(login, 100)) == 2  # the second one is that of the end
    assert not caplog.records and client.login_error is None


def test_an_error_that_is_reported_after_close(client: SiteClient) -> None:
    """The dispatcher delivers what waits. No exception reaches the console, and no login starts."""
    begun: List[str] = []

    class Counted(Login):
        def log_in_again(self) -> None:
            begun.append("login")

    listener = _RefusalListener(Counted(client, configuration(iter([None]))), client)
    client.close()
    listener.on_connection_error(AuthenticationException("WS_AUTH_FAIL", "refused"))
    listener.on_disconnected()
    listener.on_connection_error(CometChatException("WS_CONNECTION_FAIL", "it broke"))
    assert begun == []


def test_a_failed_login_is_one_line(client: SiteClient, caplog: pytest.LogCaptureFixture) -> None:
    """The first failure of a kind is a warning. Repetitions have the level DEBUG."""
    caplog.set_level(logging.DEBUG, "cometchat.web")
    away, refused = CometChatException("FAILED_TO_FETCH", "away"), AuthenticationException("AUTH_ERR_X", "refused")
    login = Login(client, configuration(iter([away, away, away, refused, refused, None])), jitter=lambda: 0.0)
    run(login, 100)
    levels = [(record.levelname, record.args[1].code) for record in caplog.records]  # type: ignore
    assert [code for level, code in levels if level == "WARNING"] == ["FAILED_TO_FETCH", "AUTH_ERR_X"]
    assert len(levels) == 5


@pytest.mark.parametrize("uid", ["cometchat-uid-1", "CometChat-UID-1", None])
def test_a_stored_session_of_the_user_is_used(uid: Optional[str]) -> None:
    """The uid in the settings may have any case: each login would make one more auth token."""
    plain, _ = examine(SETTING, {}, "")
    assert plain is not None
    with Sandbox() as sandbox:
        settings = sandbox.settings(session_store=MemorySessionStore(), auto_establish_socket_connection=False)
        with contextlib.closing(SiteClient(sandbox.app_id, settings)) as first:
            first.login("cometchat-uid-1", sandbox.auth_key)
    with contextlib.closing(SiteClient(sandbox.app_id, settings)) as again:
        assert dataclasses.replace(plain, uid=uid).is_logged_in(again)
        assert not dataclasses.replace(plain, uid="cometchat-uid-2").is_logged_in(again)


@pytest.mark.parametrize("uid", ["cometchat-uid-1", "CometChat-UID-2", None])
def test_a_token_of_another_user(caplog: pytest.LogCaptureFixture, uid: Optional[str]) -> None:
    """A warning names both users: otherwise the site sends and receives as a user whom its settings do not name."""
    plain, _ = examine(SETTING, {}, "")
    assert plain is not None
    with Sandbox() as sandbox:
        settings = sandbox.settings(auto_establish_socket_connection=False)
        token = sandbox.auth_token("cometchat-uid-2")
        with contextlib.closing(SiteClient(sandbox.app_id, settings)) as made:
            login = Login(made, dataclasses.replace(plain, uid=uid, auth_key=None, auth_token=token))
            run(login, 100)
            assert made.get_logged_in_user() is not None and made.login_error is None
    expected = ["The AUTH_TOKEN is of cometchat-uid-2, not of the UID cometchat-uid-1 in the settings."]
    warnings = [record.getMessage() for record in caplog.records if record.name == "cometchat.web"]
    assert warnings == (expected if uid == "cometchat-uid-1" else [])


@contextlib.contextmanager
def site_with_a_void_session() -> Iterator[Tuple[Sandbox, SiteClient]]:
    """Run a sandbox. Yields it, and a site's client whose store has a session that the service refuses."""
    with Sandbox() as sandbox:
        settings = sandbox.settings(session_store=MemorySessionStore())
        with contextlib.closing(SiteClient(sandbox.app_id, settings)) as first:
            first.login("cometchat-uid-1", sandbox.auth_key)
        sandbox.revoke_tokens()
        with contextlib.closing(SiteClient(sandbox.app_id, settings)) as again:
            yield sandbox, again


@pytest.mark.parametrize("uid", ["cometchat-uid-1", None])
def test_a_token_in_the_settings_replaces_that_of_the_stored_session(uid: Optional[str]) -> None:
    """The operator gave the site a new token, because the old one was void. The old session would be refused."""
    plain, _ = examine(SETTING, {}, "")
    assert plain is not None
    with site_with_a_void_session() as (sandbox, again):
        token = sandbox.auth_token("cometchat-uid-1")
        run(Login(again, dataclasses.replace(plain, uid=uid, auth_key=None, auth_token=token)), 100)
        user = again.get_logged_in_user()
        assert user is not None and user.auth_token == token
        assert again.wait_for_status("connected", DEADLINE)


def test_a_refused_session_of_the_store_is_replaced_by_refresh() -> None:
    """A stored session has no REFRESH with it, so the site logs in again."""
    plain, _ = examine(SETTING, {}, "")
    assert plain is not None
    with site_with_a_void_session() as (sandbox, again):

        def refresh() -> str:
            return sandbox.auth_token("cometchat-uid-1")

        configured = dataclasses.replace(plain, auth_key=None, auth_token="void", refresh=refresh)
        login = Login(again, configured, jitter=lambda: 0.0)
        login.start()
        try:
            assert again.wait_for_status("connected", DEADLINE)
        finally:
            login.end()
