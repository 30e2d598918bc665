"""Time limits: a signal handler raises an exception in the middle of a call, as those of Celery and RQ do."""

from __future__ import annotations

import io
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any, Callable, Iterator, List, Optional

import pytest

from cometchat import AppSettings, Client, CometChatException, TextMessage
from cometchat._runtime._threads import ServiceThread
from cometchat._runtime.storage._sqlite_file import SqliteFile
from cometchat._transport._exception_chain import pass_on_interruption
from cometchat._transport.http import RequestsRest
from cometchat._transport.net import Address
from cometchat._transport.websocket import socket_factory
from cometchat.sandbox import Sandbox

from .conftest import DEADLINE, Peer, RawServer, eventually, unused_port

Serve = Callable[..., RawServer]

SIGNAL = signal.SIGUSR1


class Limit(Exception):
    """The exception of a library for time limits, such as Celery's SoftTimeLimitExceeded."""


#: Handlers also raise exceptions that the network may raise: Python's own documentation shows an OSError.
ERRORS = [Limit("limit"), TimeoutError("limit"), OSError(5, "limit"), ValueError("limit"), KeyboardInterrupt()]


class Limits:
    """A signal handler that raises.

    :ivar error: what it raises.
    """

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def handle(self, number: int, frame: Optional[FrameType]) -> None:
        raise self.error

    def exceed(self, *_: object) -> None:
        """Let the handler run on the main thread. It ends the wait of this thread too."""
        signal.pthread_kill(threading.main_thread().ident or 0, SIGNAL)

    def end(self, call: Callable[[], object]) -> None:
        """Assert that the exception of the handler ends the call, and that it is the same object."""
        with pytest.raises(type(self.error)) as caught:
            call()
        assert caught.value is self.error


@pytest.fixture(params=ERRORS, ids=lambda error: type(error).__name__)
def limits(request: pytest.FixtureRequest) -> Iterator[Limits]:
    made = Limits(request.param.with_traceback(None))
    made.error.__context__ = None
    before = signal.signal(SIGNAL, made.handle)
    yield made
    signal.signal(SIGNAL, before)


@pytest.fixture
def rest() -> Iterator[RequestsRest]:
    made = RequestsRest()
    yield made
    made.close()


def get(rest: RequestsRest, port: int) -> Any:
    return rest.call("GET", f"http://127.0.0.1:{port}/me", headers={}, timeout=DEADLINE)


def test_a_limit_while_the_answer_is_awaited(limits: Limits, serve: Serve, rest: RequestsRest) -> None:
    """The caller gets the exception of the handler, and not FAILED_TO_FETCH."""

    def script(peer: Peer) -> None:
        peer.read_head()
        limits.exceed()
        peer.wait_for_end()

    limits.end(lambda: get(rest, serve(script).port))


def test_a_limit_in_the_middle_of_the_answer(limits: Limits, serve: Serve, rest: RequestsRest) -> None:
    """The same while the body is read."""

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.socket.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        limits.exceed()
        peer.wait_for_end()

    limits.end(lambda: get(rest, serve(script).port))


def test_a_limit_on_a_kept_connection(limits: Limits, serve: Serve) -> None:
    """The call is not made again on a new connection, as after the end of a kept one."""
    heads: List[str] = []

    def script(peer: Peer) -> None:
        heads.append(peer.read_head())
        peer.socket.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"data":{}}')
        heads.append(peer.read_head())
        limits.exceed()
        peer.wait_for_end()

    now = [0.0]
    rest = RequestsRest(clock=lambda: now[0] + time.monotonic())
    server = serve(script)
    try:
        get(rest, server.port)
        now[0] += 10.0
        limits.end(lambda: get(rest, server.port))
    finally:
        rest.close()
    assert len(heads) == 2


def test_a_limit_while_a_name_is_looked_up(limits: Limits) -> None:
    """The same while the system looks up a name."""

    def look_up(host: str, port: int) -> List[Address]:
        limits.exceed()
        time.sleep(DEADLINE)
        return []

    rest = RequestsRest(addresses_of=look_up)
    try:
        limits.end(lambda: rest.call("GET", "http://example.test/me", headers={}, timeout=DEADLINE))
    finally:
        rest.close()


def test_a_limit_in_the_middle_of_a_frame(limits: Limits, serve: Serve) -> None:
    """The connection ends, since the server would take the next frame for the rest of this one."""

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.read(100)
        limits.exceed()  # most of the frame finds no room in the buffers of the system
        peer.wait_for_end()

    client = socket_factory(AppSettings(region="us"))()
    try:
        client.open(serve(script).url(), DEADLINE)
        limits.end(lambda: client.send("x" * 2**24, DEADLINE))
        for call in (lambda: client.send("next", DEADLINE), lambda: client.receive(time.monotonic() + DEADLINE)):
            with pytest.raises(CometChatException, match="a signal handler interrupted a frame"):
                call()
    finally:
        client.close()


def test_a_limit_during_a_call_of_a_client(limits: Limits, sandbox: Sandbox) -> None:
    """A user's call raises it too, and the client works afterwards."""
    with Client(sandbox.app_id, sandbox.settings(auto_establish_socket_connection=False)) as client:
        client.login("cometchat-uid-1", sandbox.auth_key)
        sandbox.hang_http()
        timer = threading.Timer(0.2, limits.exceed)
        timer.start()
        limits.end(lambda: client.send_text("Hello", uid="cometchat-uid-2"))
        timer.join()
        sandbox.heal()
        assert client.send_text("Hello", uid="cometchat-uid-2").id


def test_a_limit_in_a_callable_of_the_user(limits: Limits, sandbox: Sandbox) -> None:
    """``refresh``, the session store and a file to send run in the call: it raises the exception of the handler."""

    class Store:
        """A store of the user, whose database hangs: at each call, or only when it writes."""

        def __init__(self, loads: bool) -> None:
            self.loads = loads

        def load(self) -> None:
            if not self.loads:
                limits.exceed()

        save = clear = lambda self, *_: limits.exceed()

    class File(io.BytesIO):
        """A file that hangs while it is read."""

        def read(self, size: Optional[int] = -1) -> bytes:
            limits.exceed()
            return b""

    settings = sandbox.settings(auto_establish_socket_connection=False)
    limits.end(lambda: Client(sandbox.app_id, sandbox.settings(session_store=Store(loads=False))))
    stored = sandbox.settings(auto_establish_socket_connection=False, session_store=Store(loads=True))
    with Client(sandbox.app_id, stored) as client:
        limits.end(lambda: client.login("cometchat-uid-1", sandbox.auth_key))
        limits.end(client.logout)
    with Client(sandbox.app_id, settings) as client:
        limits.end(lambda: client.login_with_auth_token("a" * 40, refresh=limits.exceed))  # type: ignore[arg-type]
        client.login("cometchat-uid-1", sandbox.auth_key)
        limits.end(lambda: client.send_media_message(File(b"abc"), uid="cometchat-uid-2", name="file.txt"))


def test_a_limit_while_the_outbox_stores(
    limits: Limits, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call raises it, and not ``ERR_OUTBOX_STORE``. The file can be used afterwards."""
    message = TextMessage(text="Hello", receiver_id="cometchat-uid-2", receiver_type="user")
    settings = sandbox.settings(auto_establish_socket_connection=False, outbox_path=tmp_path / "outbox.db")
    with Client(sandbox.app_id, settings) as client:
        client.login("cometchat-uid-1", sandbox.auth_key)
        with monkeypatch.context() as patch:
            patch.setattr(SqliteFile, "_is_in_place", limits.exceed)
            client.outbox.pending()  # opens the file
            limits.end(lambda: client.outbox.put(message))
        assert client.outbox.put(message)
        assert client.outbox.pending() == 1


def test_a_limit_while_a_thread_starts(limits: Limits, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread is not forgotten: a second one would call the listeners at the same time."""
    runs, goes_on = [], threading.Event()

    def work() -> None:
        runs.append(threading.get_ident())
        goes_on.wait(DEADLINE)

    thread = ServiceThread("test-thread", work, wanted=lambda: False, wait=time.sleep)
    name = "_start_joinable_thread" if hasattr(threading, "_start_joinable_thread") else "_start_new_thread"
    start = getattr(threading, name)

    def interrupted_start(*args: Any, **options: Any) -> None:
        start(*args, **options)
        assert eventually(lambda: thread._thread in threading._active.values())  # type: ignore[attr-defined]
        with threading._active_limbo_lock:  # type: ignore[attr-defined]
            assert not threading._limbo  # type: ignore[attr-defined]
        limits.exceed()

    with monkeypatch.context() as patch:
        patch.setattr(threading, name, interrupted_start)
        limits.end(thread.start)
    assert thread.alive
    thread.start()
    assert eventually(lambda: runs)
    goes_on.set()
    thread.join(DEADLINE)
    assert len(runs) == 1


def test_a_thread_in_whose_place_another_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that comes to life only after a second start() does not work."""
    runs: List[str] = []
    started: List[threading.Thread] = []
    thread = ServiceThread(
        "test-thread", lambda: runs.append(threading.current_thread().name), wanted=lambda: False, wait=time.sleep
    )
    with monkeypatch.context() as patch:
        patch.setattr("cometchat._runtime._threads.start_thread", started.append)
        thread.start()
    thread.start()
    thread.join(DEADLINE)
    started[0].name = "late"
    started[0].start()
    started[0].join(DEADLINE)
    assert runs == ["test-thread"]


def test_other_exceptions_are_not_passed_on(rest: RequestsRest) -> None:
    """An exception is only passed on if the frame of a handler is in its traceback."""
    try:
        get(rest, unused_port())
    except CometChatException as error:
        pass_on_interruption(error)
    try:
        raise ValueError("mine")
    except ValueError as error:
        pass_on_interruption(error)


@pytest.mark.parametrize(
    "handler",
    [lambda number, frame: 1 / 0, lambda *arguments: 1 / 0, lambda number, frame, more=1, **others: 1 / 0],
    ids=["plain", "variadic", "defaults"],
)
def test_handlers_of_many_shapes(handler: Callable[..., object]) -> None:
    """A handler may take its arguments in any way."""
    before = signal.signal(SIGNAL, handler)
    try:
        try:
            signal.pthread_kill(threading.get_ident(), SIGNAL)
            time.sleep(DEADLINE)
        except ZeroDivisionError as error:
            try:
                raise OSError("wrapped") from error
            except OSError as wrapping:
                with pytest.raises(ZeroDivisionError):
                    pass_on_interruption(wrapping)
    finally:
        signal.signal(SIGNAL, before)


def test_an_older_limit_is_not_passed_on(serve: Serve, rest: RequestsRest) -> None:
    """A call that is made while a limit is handled, and fails for another reason, raises its own error."""
    limits = Limits(Limit("older"))
    before = signal.signal(SIGNAL, limits.handle)
    try:
        limits.exceed()
        time.sleep(DEADLINE)
    except Limit:
        with pytest.raises(CometChatException, match="FAILED_TO_FETCH"):
            get(rest, unused_port())
    finally:
        signal.signal(SIGNAL, before)
