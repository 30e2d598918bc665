"""Overlapping login, logout, connect, disconnect and close, with fakes, decided only by events."""

from __future__ import annotations

import itertools
import threading
from types import SimpleNamespace
from typing import Any, Callable, Dict, FrozenSet, Iterator, List, Optional, Tuple

import pytest
from interruption import Interruption

from cometchat import CometChatException
from cometchat._protocol._login_states import LoginState
from cometchat._protocol._states import Phase, Signal
from cometchat._runtime import _lifecycle
from cometchat._runtime._lifecycle import Lifecycle
from cometchat._runtime._threads import Wakeup
from cometchat._runtime.account._session import Session
from cometchat.exceptions import FAILED_TO_FETCH, USER_NOT_LOGGED_IN, exception_for

DEADLINE = 10.0

FAILURE = exception_for(FAILED_TO_FETCH, "no network")


def session_of(uid: str) -> Session:
    return Session("app", uid, f"token-of-{uid}", "device", {"uid": uid})


class FakeConnection:
    """A state of the connection, and its thread. It counts its generations, and records the calls in ``calls``."""

    def __init__(self, calls: List[str], lock: LockWithHook) -> None:
        self.lock = lock
        self.calls = calls
        self.number = 0
        self.wanted = False
        self.newest: Any = None
        self.on_disconnect: Callable[[], None] = lambda: None
        self.no_thread: Optional[CometChatException] = None
        self.reached: Optional[Phase] = Phase.ONLINE

    def begin(self) -> Any:
        begins = not self.wanted
        self.calls.append("begin" if begins else "begin again")
        self.wanted = True
        self.number += begins
        if begins:
            self.newest = FakeGeneration(self.number, self.calls)
        return self.newest if begins else None

    def log(self) -> None:
        assert not self.lock._is_owned()

    def start(self, generation: Any) -> None:
        self.calls.append("start")
        if self.no_thread is not None:
            raise self.no_thread

    def apply_mode(self) -> None:
        assert not self.lock._is_owned()

    def end(self, signal: Signal) -> Any:
        self.calls.append("disconnect")
        self.wanted = False
        self.number += 1
        ended = self.newest
        self.on_disconnect()
        return ended

    def end_login(self, error: CometChatException) -> Any:
        self.calls.append(f"refuse {error.code}")
        ended, self.wanted = (self.newest if self.wanted else None), False
        return ended

    def wait_for(self, phases: FrozenSet[Phase], timeout: Optional[float]) -> Optional[Phase]:
        self.calls.append("wait until up" if timeout is None else f"wait until up for {timeout:g}")
        return self.reached

    def why_stopped(self) -> Tuple[None, None]:
        return None, None


class FakeGeneration:
    """A generation without a socket. ``calls`` gets the interrupt, and the end of the wait for its thread."""

    def __init__(self, number: int, calls: List[str]) -> None:
        self.number, self.calls = number, calls
        self.thread = SimpleNamespace(join=lambda timeout: calls.append("join"))
        self.interrupt = lambda: calls.append(f"release {number}")

    def release_pings(self, error: CometChatException) -> None:
        self.calls.append(f"pings {error.code}")


class FakeAccount:
    """An account. ``voiding`` is called in the HTTP call of a logout, in which no lock may be held."""

    def __init__(self, calls: List[str]) -> None:
        self.session: Optional[Session] = None
        self.calls = calls
        self.voiding: Callable[[], None] = lambda: None
        self.storing: Callable[[], None] = lambda: None
        self.stored: Optional[Session] = None
        self.in_store: Optional[Session] = None

    def client_name(self) -> str:
        return "client 1"

    def stored_session(self) -> Optional[Session]:
        return self.in_store

    def require(self) -> Session:
        if self.session is None:
            raise exception_for(USER_NOT_LOGGED_IN, "nobody")
        return self.session

    def void(self, session: Session) -> None:
        self.calls.append(f"void {session.uid}")
        self.voiding()

    def set_login(self, session: Session) -> None:
        self.calls.append(f"enter {session.uid}")
        self.session = session

    def holds(self, session: Session) -> bool:
        return self.session == session

    def clear_login(self) -> Optional[Session]:
        self.calls.append("leave")
        ended, self.session = self.session, None
        return ended

    def store_session(self, ended: Optional[Session] = None) -> None:
        self.calls.append("store")
        self.storing()
        self.stored = self.session


class WatchedWakeup(Wakeup):
    """Reports when a thread is about to wait."""

    waiting = threading.Semaphore(0)

    def wait(self, timeout: Optional[float] = None) -> bool:
        type(self).waiting.release()
        return super().wait(timeout)


class LockWithHook:
    """A client's lock. ``on_release`` is called once, right after the next release."""

    def __init__(self) -> None:
        self._lock: Any = threading.RLock()
        self.on_release: Callable[[], object] = lambda: None

    def _is_owned(self) -> bool:
        return bool(self._lock._is_owned())

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        return bool(self._lock.acquire(blocking, timeout))

    def release(self) -> None:
        self._lock.release()
        if not self._is_owned():
            on_release, self.on_release = self.on_release, lambda: None
            on_release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class House:
    """A lifecycle with fakes around it, at the monotonic time ``now``."""

    def __init__(self, auto_connect: bool = True, uid: Optional[str] = None, sharing: Any = None) -> None:
        self.now = 100.0
        self.calls: List[str] = []
        self.posted: List[Tuple[Any, ...]] = []
        self.tried_with: List[Optional[Session]] = []  # by the outbox
        self.on_post: Callable[[], None] = lambda: None
        self.lock = LockWithHook()
        self.account, self.connection = FakeAccount(self.calls), FakeConnection(self.calls, self.lock)
        self.dispatcher: Any = SimpleNamespace(start=lambda: None, drain=lambda timeout: None)
        parts: Dict[str, Any] = {
            "connection": self.connection,
            "thread": self.connection,
            "account": self.account,
            "dispatcher": self.dispatcher,
            "inbox": SimpleNamespace(forget=lambda: self.calls.append("forget"), discard_old=lambda: None),
            "events": SimpleNamespace(post=self._post),
            "outbox": SimpleNamespace(retry_now=lambda: self.tried_with.append(self.account.session)),
            "sharing": sharing,
        }
        self.lifecycle = Lifecycle(
            **parts,
            auto_connect=auto_connect,
            thread_name="test-{}",
            clock=lambda: self.now,
        )
        if uid is not None:
            self.account.in_store = session_of(uid)
            self.lifecycle.resume()
            self.calls.clear()

    def _post(self, kind: str, *event: Any) -> None:
        self.on_post()
        self.posted.append(event)

    @property
    def state(self) -> LoginState:
        return self.lifecycle.state

    @property
    def events(self) -> List[str]:
        return [event[0] for event in self.posted]

    def login(self, uid: str = "u1", act: Callable[[], None] = lambda: None) -> Session:
        def whole() -> Session:
            act()
            return session_of(uid)

        return self.lifecycle.login(whole)


class Held:
    """A call on another thread that stops inside its HTTP call, until the test releases it."""

    def __init__(self) -> None:
        self.entered, self._go_on = threading.Event(), threading.Event()
        self.raises: Optional[BaseException] = None

    def __call__(self) -> None:
        self.entered.set()
        assert self._go_on.wait(DEADLINE)
        if self.raises is not None:
            raise self.raises

    def go_on(self, raises: Optional[BaseException] = None) -> None:
        self.raises = raises
        self._go_on.set()


class Running:
    """A call on another thread."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._outcome: List[Any] = []
        self._thread = threading.Thread(target=self._run, args=(call,), name="test-call", daemon=True)
        self._thread.start()

    def _run(self, call: Callable[[], Any]) -> None:
        try:
            self._outcome.append(call())
        except BaseException as error:
            self._outcome.append(error)

    def end(self) -> Any:
        """Wait for the call, and return its result or its exception."""
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()
        return self._outcome[0]

    @property
    def code(self) -> str:
        return str(self.end().code)


@pytest.fixture(autouse=True)
def waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Semaphore]:
    """Counts the threads that wait for the end of another call."""
    WatchedWakeup.waiting = threading.Semaphore(0)
    monkeypatch.setattr(_lifecycle, "Wakeup", WatchedWakeup)
    yield WatchedWakeup.waiting


def code_of(call: Callable[[], Any]) -> str:
    with pytest.raises(CometChatException) as caught:
        call()
    return caught.value.code


def held_logout(house: House) -> "tuple[Held, Running]":
    """Return a logout that has stopped inside its HTTP call."""
    held = house.account.voiding = Held()
    logout = Running(house.lifecycle.logout)
    assert held.entered.wait(DEADLINE)
    return held, logout


def held_login(house: House, uid: str = "u1") -> "tuple[Held, Running]":
    """Return a login that has stopped inside its HTTP call."""
    held = Held()
    login = Running(lambda: house.login(uid, held))
    assert held.entered.wait(DEADLINE)
    return held, login


# One call at a time.


@pytest.mark.parametrize("auto_connect", [True, False])
def test_a_login_enters_and_connects_in_auto_mode(auto_connect: bool) -> None:
    """The user is entered before the connection begins. The store is written at the end."""
    house = House(auto_connect)
    assert house.login().uid == "u1" and house.state is LoginState.LOGGED_IN
    assert house.calls == ["enter u1", "store", *(["begin", "start"] if auto_connect else [])]
    assert house.events == ["login_success"] and house.posted[0][1].uid == "u1"


def test_a_failed_login_changes_nothing() -> None:
    """The listeners get the reason, and the next login works."""
    house = House()

    def fail() -> None:
        assert house.state is LoginState.LOGGING_IN
        raise FAILURE

    assert code_of(lambda: house.login(act=fail)) == FAILED_TO_FETCH
    assert house.state is LoginState.LOGGED_OUT and house.calls == []
    assert house.posted == [("login_failure", FAILURE)]
    assert house.login().uid == "u1"


def test_a_listener_may_repeat_a_call_at_once() -> None:
    """The call has ended when the dispatcher can deliver its result."""
    house, states = House(), []

    def fail() -> None:
        raise FAILURE

    def note() -> None:
        house.lock.on_release = lambda: states.append(house.state)

    house.on_post = note
    code_of(lambda: house.login(act=fail))
    house.login()
    house.account.voiding = fail
    code_of(house.lifecycle.logout)
    house.account.voiding = lambda: None
    house.lifecycle.logout()
    results = [("login_failure", "out"), ("login_success", "in"), ("logout_failure", "in"), ("logout_success", "out")]
    states_of = {"in": LoginState.LOGGED_IN, "out": LoginState.LOGGED_OUT}
    assert list(zip(house.events, states)) == [(event, states_of[state]) for event, state in results]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), ZeroDivisionError()], ids=repr)
def test_an_exception_of_another_kind_comes_out_of_a_login(error: BaseException) -> None:
    """A Ctrl-C on the user's thread is not an event, but it ends the login."""
    house = House(uid="u1")

    def fail() -> None:
        raise error

    with pytest.raises(type(error)):
        house.login("u2", fail)
    house.account.voiding = fail
    with pytest.raises(type(error)):
        house.lifecycle.logout()
    assert house.state is LoginState.LOGGED_IN and house.posted == []
    house.account.voiding = lambda: None
    house.lifecycle.logout()


CALLS: Dict[str, Tuple[Optional[str], Callable[[House], object]]] = {
    "a first login": (None, lambda house: house.login("u1")),
    "another login": ("u1", lambda house: house.login("u2")),
    "a logout": ("u1", lambda house: house.lifecycle.logout()),
    "a login that the service ends": ("u1", lambda house: house.lifecycle.end_login(house.account.session, FAILURE)),
}


@pytest.mark.parametrize("name", CALLS)
def test_an_interrupted_call_ends(name: str) -> None:
    """A KeyboardInterrupt comes at any point. Then no call is in progress, and the state says if there is a user."""
    uid, call = CALLS[name]
    for at in itertools.count(1):
        house = House(uid=uid)
        if not Interruption(at).happens_in(lambda: call(house)):
            assert at > 5
            return
        there = house.account.session is not None
        assert house.state is (LoginState.LOGGED_IN if there else LoginState.LOGGED_OUT), at
        house.login("u3")
        assert house.state is LoginState.LOGGED_IN


@pytest.mark.parametrize("name", ["another login", "a logout", "a dead token"])
def test_the_next_user_does_not_get_the_inbox_of_this_one(name: str) -> None:
    """The system has no memory left to make a new inbox. The user stays, until it has."""
    house = House(uid="u1")
    session = house.account.require()
    call = {**CALLS, "a dead token": ("u1", lambda house: house.lifecycle.end_login(session, DEAD))}[name][1]
    forget = house.lifecycle._inbox.forget

    def fail() -> None:
        house.lifecycle._inbox.forget = forget  # type: ignore[method-assign]
        raise MemoryError

    house.lifecycle._inbox.forget = fail  # type: ignore[method-assign]
    with pytest.raises(MemoryError):
        call(house)
    assert house.account.session is session and house.state is LoginState.LOGGED_IN
    call(house)
    assert house.account.session is not session and "forget" in house.calls


def test_a_login_that_gets_no_dispatcher_does_not_begin() -> None:
    """The login makes no call, since the listeners could not get the result."""
    house, made = House(), []

    def refuse() -> None:
        raise FAILURE

    house.dispatcher.start = refuse
    assert code_of(lambda: house.login(act=lambda: made.append(1))) == FAILED_TO_FETCH
    assert house.state is LoginState.LOGGED_OUT and made == []


def test_a_login_whose_connection_gets_no_thread_is_stored_all_the_same() -> None:
    """The user is logged in, and has been notified: a restart must find the login."""
    house = House()
    house.connection.no_thread = FAILURE
    assert code_of(house.login) == FAILED_TO_FETCH
    assert house.state is LoginState.LOGGED_IN and house.events == ["login_success"]
    assert house.account.stored is house.account.session is not None


def test_a_logout_disconnects_voids_and_forgets_in_this_order() -> None:
    """The connection is down before the token is void. The store is cleared at the end."""
    house = House(uid="u1")
    house.lifecycle.logout()
    assert house.calls == ["disconnect", "void u1", "join", "forget", "leave", "store"]
    assert house.state is LoginState.LOGGED_OUT and house.events == ["logout_success"]
    assert code_of(house.lifecycle.logout) == USER_NOT_LOGGED_IN


def test_a_failed_logout_can_be_repeated() -> None:
    """The user is disconnected and still logged in."""
    house = House(uid="u1")

    def fail() -> None:
        raise FAILURE

    house.account.voiding = fail
    assert code_of(house.lifecycle.logout) == FAILED_TO_FETCH
    assert house.state is LoginState.LOGGED_IN and house.account.session is not None
    assert house.calls == ["disconnect", "void u1"] and house.events == ["logout_failure"]
    house.account.voiding = lambda: None
    house.lifecycle.logout()
    assert house.state is LoginState.LOGGED_OUT


def test_a_second_login_of_the_same_user_keeps_the_connection() -> None:
    """For the same user the client neither disconnects nor forgets the login."""
    house = House(uid="u1")
    house.login("u1")
    assert house.calls == ["enter u1", "store", "begin again"]


def test_a_login_of_another_user_ends_the_connection_of_the_first() -> None:
    """The connection ends before the other user is entered, so that no frame reaches the wrong user."""
    house = House(uid="u1")
    house.login("u2")
    assert house.calls == ["disconnect", "forget", "enter u2", "store", "begin", "start"]


def test_a_failed_login_in_place_of_another_users_keeps_that_user() -> None:
    """The connection stays too."""
    house = House(uid="u1")

    def fail() -> None:
        assert house.state is LoginState.SWITCHING
        raise FAILURE

    assert code_of(lambda: house.login("u2", fail)) == FAILED_TO_FETCH
    assert house.state is LoginState.LOGGED_IN and house.account.require().uid == "u1"
    assert house.calls == [] and house.connection.wanted


def test_another_user_is_not_entered_while_the_first_is_connected() -> None:
    """Another thread's ``connect()`` right after the disconnect began as the first user. It is ended too."""
    house = House(uid="u1")
    times = iter([house.connection.begin, lambda: None])
    house.connection.on_disconnect = lambda: (next(times)(), None)[1]
    house.login("u2")
    assert house.calls == ["disconnect", "begin", "disconnect", "forget", "enter u2", "store", "begin", "start"]


@pytest.mark.parametrize("timeout, waits", [(0, None), (5.0, "wait until up for 5"), (None, "wait until up")])
def test_connect_begins_starts_and_waits(timeout: Optional[float], waits: Optional[str]) -> None:
    """With 0 it does not wait."""
    house = House(auto_connect=False, uid="u1")
    house.lifecycle.connect(timeout)
    assert house.calls == ["begin", "start", *([waits] if waits else [])]


def test_connect_needs_a_user() -> None:
    """Without a user, no connection begins."""
    house = House()
    assert code_of(lambda: house.lifecycle.connect(None)) == USER_NOT_LOGGED_IN
    assert house.calls == []


@pytest.mark.parametrize("auto_connect", [True, False])
def test_a_stored_session_is_taken_up(auto_connect: bool) -> None:
    """In auto mode it also connects. Without a session nothing happens."""
    house = House(auto_connect)
    house.lifecycle.resume()
    assert house.state is LoginState.LOGGED_OUT and house.calls == []
    house.account.in_store = session_of("u1")
    house.lifecycle.resume()
    assert house.state is LoginState.LOGGED_IN
    assert house.calls == (["begin", "start"] if auto_connect else [])


# During a logout.


def test_connect_during_a_logout_waits_and_then_has_no_user(waiting: threading.Semaphore) -> None:
    """Promise 9: when ``logout()`` returns, the connection is closed, and no other one has begun."""
    house = House(uid="u1")
    held, logout = held_logout(house)
    connect = Running(lambda: house.lifecycle.connect(None))
    assert waiting.acquire(timeout=DEADLINE)
    held.go_on()
    assert logout.end() is None and connect.code == USER_NOT_LOGGED_IN
    assert "begin" not in house.calls and not house.connection.wanted


def test_a_logout_right_after_a_session_was_taken_up_ends_without_a_connection() -> None:
    """Promise 9, for ``CometChat.init()`` on one thread and ``CometChat.logout()`` on another."""
    house = House()
    house.account.in_store = session_of("u1")
    logouts: List[Tuple[Held, Running]] = []
    house.lock.on_release = lambda: logouts.append(held_logout(house))
    house.lifecycle.resume()
    held, logout = logouts[0]
    held.go_on()
    assert logout.end() is None
    assert "begin" not in house.calls and not house.connection.wanted


def test_a_failed_logout_lets_the_waiting_connect_proceed(waiting: threading.Semaphore) -> None:
    """The user is still logged in."""
    house = House(uid="u1")
    held, logout = held_logout(house)
    connects = [Running(lambda: house.lifecycle.connect(None)) for _ in range(3)]
    for _ in connects:
        assert waiting.acquire(timeout=DEADLINE)
    assert "begin" not in house.calls
    held.go_on(FAILURE)
    assert logout.code == FAILED_TO_FETCH and [connect.end() for connect in connects] == [None] * 3
    assert house.calls.count("begin") == 1 and house.calls.count("wait until up") == 3


@pytest.mark.parametrize("reached", [Phase.ONLINE, Phase.IDLE, None])
def test_the_listeners_are_called_before_connect_returns_or_raises(reached: Optional[Phase]) -> None:
    """A program that catches the error finds the callbacks in its listener, the last one included."""
    house = House(uid="u1")
    house.connection.reached = reached
    house.dispatcher.drain = lambda timeout: house.calls.append("drain")
    if reached is Phase.ONLINE:
        house.lifecycle.connect(5.0)
    else:
        code = "ERR_CONNECT_TIMEOUT" if reached is None else "NO_WEBSOCKET_CONNECTION"
        assert code_of(lambda: house.lifecycle.connect(5.0)) == code
    assert house.calls[-2:] == ["wait until up for 5", "drain"]


@pytest.mark.parametrize("timeout, code", [(0.0, "USER_NOT_LOGGED_IN"), (1e-9, "ERR_CONNECT_TIMEOUT")])
def test_connect_does_not_wait_for_a_logout_for_longer_than_it_may(timeout: float, code: str) -> None:
    """No connection begins later either. A call that does not wait gets the answer of one that waits."""
    house = House(uid="u1")
    held, logout = held_logout(house)
    assert code_of(lambda: house.lifecycle.connect(timeout)) == code
    held.go_on()
    assert logout.end() is None and "begin" not in house.calls


def test_the_wait_for_a_logout_counts_as_time_of_connect(waiting: threading.Semaphore) -> None:
    """``connect(5)`` that has waited 3 s for a failed logout waits 2 s for the connection."""
    house = House(uid="u1")
    held, logout = held_logout(house)
    connect = Running(lambda: house.lifecycle.connect(5.0))
    assert waiting.acquire(timeout=DEADLINE)
    house.now += 3
    held.go_on(FAILURE)
    assert logout.code == FAILED_TO_FETCH and connect.end() is None
    assert house.calls[-1] == "wait until up for 2"


def test_a_login_during_a_logout_waits_and_then_runs(waiting: threading.Semaphore) -> None:
    """The login's HTTP call begins after that of the logout has ended."""
    house = House(uid="u1")
    held, logout = held_logout(house)
    login = Running(lambda: house.login("u2", lambda: house.calls.append("act")))
    assert waiting.acquire(timeout=DEADLINE)
    assert "act" not in house.calls
    held.go_on()
    assert logout.end() is None and login.end().uid == "u2"
    assert house.calls.index("leave") < house.calls.index("act")
    assert house.state is LoginState.LOGGED_IN and house.account.require().uid == "u2"


def test_a_login_waits_until_a_logout_has_cleared_the_store(waiting: threading.Semaphore) -> None:
    """A store may be slow. The listeners are notified of the logout first, because the login is the newer call."""
    house = House(uid="u1")
    held = house.account.storing = Held()
    logout = Running(house.lifecycle.logout)
    assert held.entered.wait(DEADLINE)
    login = Running(lambda: house.login("u2"))
    assert waiting.acquire(timeout=DEADLINE)
    house.account.storing = lambda: None
    held.go_on()
    assert logout.end() is None and login.end().uid == "u2"
    assert house.events == ["logout_success", "login_success"]


@pytest.mark.parametrize("call", ["login", "logout"])
def test_a_failure_is_queued_before_another_call_can_begin(call: str) -> None:
    """Else the listeners could be notified of the next login before the failure."""
    house = House(uid="u1")
    free: List[bool] = []

    def fail() -> None:
        raise FAILURE

    house.account.voiding = fail
    house.on_post = lambda: free.append(Running(lambda: house.lock.acquire(blocking=False)).end())
    assert code_of(house.lifecycle.logout if call == "logout" else lambda: house.login("u2", fail)) == FAILED_TO_FETCH
    assert house.events == [f"{call}_failure"] and free == [False]


@pytest.mark.parametrize("error", [RuntimeError("bug"), KeyboardInterrupt()])
def test_a_logout_that_an_exception_ends_in_the_store_is_a_logout(error: BaseException) -> None:
    """The token is void, so the user is logged out. Another login is possible."""
    house = House(uid="u1")
    house.account.storing = Held()
    house.account.storing.go_on(error)
    with pytest.raises(type(error)):
        house.lifecycle.logout()
    assert house.state is LoginState.LOGGED_OUT and house.events == ["logout_success"]
    house.account.storing = lambda: None
    assert house.login("u2").uid == "u2"


def test_a_second_logout_waits_for_the_first(waiting: threading.Semaphore) -> None:
    """Then there is no user to log out. After a failed one, it logs out itself."""
    for failure, code in ((None, USER_NOT_LOGGED_IN), (FAILURE, None)):
        house = House(uid="u1")
        held, first = held_logout(house)
        second = Running(house.lifecycle.logout)
        assert waiting.acquire(timeout=DEADLINE)
        house.account.voiding = lambda: None
        held.go_on(failure)
        first.end()
        assert getattr(second.end(), "code", None) == code
        assert house.state is LoginState.LOGGED_OUT


# During a login.


@pytest.mark.parametrize("uid", [None, "u1"], ids=["of the first user", "in place of another's"])
def test_a_second_login_is_refused_at_once(uid: Optional[str]) -> None:
    """``LOGIN_IN_PROGRESS`` is raised, without an HTTP call. The first login is not affected."""
    house, made = House(uid=uid), []
    held, login = held_login(house, "u2")
    assert code_of(lambda: house.login("u3", lambda: made.append(1))) == "LOGIN_IN_PROGRESS"
    held.go_on()
    assert login.end().uid == "u2" and house.account.require().uid == "u2" and made == []
    assert house.events == ["login_success"]


def test_a_logout_during_a_login_waits_and_then_logs_out(waiting: threading.Semaphore) -> None:
    """When it returns, no user is logged in, in either order of the two."""
    house = House()
    held, login = held_login(house)
    logout = Running(house.lifecycle.logout)
    assert waiting.acquire(timeout=DEADLINE)
    assert house.calls == []
    held.go_on()
    assert login.end().uid == "u1" and logout.end() is None
    assert house.account.session is None and house.state is LoginState.LOGGED_OUT
    assert house.calls[-1] == "store" and house.account.stored is None


def test_a_logout_during_a_login_that_fails_has_no_user(waiting: threading.Semaphore) -> None:
    """``USER_NOT_LOGGED_IN`` is raised. After a login in place of another user's, that user is logged out."""
    for uid, code in ((None, USER_NOT_LOGGED_IN), ("u1", None)):
        house = House(uid=uid)
        held, login = held_login(house, "u2")
        logout = Running(house.lifecycle.logout)
        assert waiting.acquire(timeout=DEADLINE)
        held.go_on(FAILURE)
        assert login.code == FAILED_TO_FETCH
        assert getattr(logout.end(), "code", None) == code and house.account.session is None


def test_connect_during_a_first_login_has_no_user() -> None:
    """``connect()`` does not wait: no user is logged in, and in auto mode the login connects."""
    house = House()
    held, login = held_login(house)
    assert code_of(lambda: house.lifecycle.connect(None)) == USER_NOT_LOGGED_IN
    held.go_on()
    assert login.end().uid == "u1"


def test_a_call_that_is_about_to_be_refused_for_want_of_a_user_sees_a_login_that_ends_now() -> None:
    """The login of another thread ends between the look at the table and the refusal. No call is in progress then."""
    for call in ("connect", "logout"):
        house = House(auto_connect=False)
        require = house.account.require

        def login_first(house: House = house, require: Callable[[], Session] = require) -> Session:
            house.account.require = require  # type: ignore[method-assign]
            Running(house.login).end()
            return require()

        house.account.require = login_first  # type: ignore[method-assign]
        calls = {"connect": lambda: house.lifecycle.connect(0), "logout": house.lifecycle.logout}
        calls[call]()
        assert house.calls[-1] == {"connect": "start", "logout": "store"}[call]


def test_connect_during_a_login_in_place_of_another_users_runs() -> None:
    """``connect()`` connects as the old user, who is logged in until the other one is."""
    house = House(auto_connect=False, uid="u1")
    held, login = held_login(house, "u2")
    house.lifecycle.connect(None)
    assert house.calls == ["begin", "start", "wait until up"]
    held.go_on()
    assert login.end().uid == "u2"
    assert house.calls[3:] == ["disconnect", "forget", "enter u2", "store"] and not house.connection.wanted


@pytest.mark.parametrize("uid", [None, "u1", "u2"], ids=["first", "same user", "another user"])
def test_a_disconnect_during_a_login_holds(uid: Optional[str]) -> None:
    """The login succeeds, and does not connect."""
    house = House(uid=uid)
    house.login("u2", house.lifecycle.disconnect)
    assert house.account.require().uid == "u2" and house.events == ["login_success"]
    assert "begin" not in house.calls and not house.connection.wanted


def test_a_connect_behind_the_disconnect_during_a_login_counts() -> None:
    """The last call counts."""
    house = House(uid="u1")

    def act() -> None:
        house.lifecycle.disconnect()
        house.lifecycle.connect(0)

    house.login("u1", act)
    assert house.connection.wanted
    house = House(uid="u1")
    house.login("u2", lambda: (house.lifecycle.disconnect(), house.lifecycle.connect(0), None)[2])
    assert house.connection.wanted and house.account.require().uid == "u2"
    assert house.calls[-3:] == ["store", "begin", "start"]


# A call inside another one, on the same thread.


def test_a_connection_that_begins_during_a_disconnect_keeps_its_place() -> None:
    """The disconnect leaves the line of the processes that share a connection for its own generation only."""
    left: List[int] = []
    house = House(uid="u1", sharing=SimpleNamespace(leave=left.append))
    assert house.connection.number == 1
    house.connection.on_disconnect = lambda: house.lifecycle.connect(0)
    house.lifecycle.disconnect()
    assert house.connection.wanted and house.connection.number == 3 and left == [1]


def test_a_client_that_never_connected_leaves_the_line_too() -> None:
    """It has no generation of its own."""
    left: List[int] = []
    house = House(sharing=SimpleNamespace(leave=left.append))
    house.lifecycle.disconnect()
    assert left == [house.connection.number]


def test_a_login_lets_the_outbox_try_the_new_token() -> None:
    """Also if the connection of the same user stays up, so that no new connection tells the outbox."""
    house = House(uid="u1")
    session = house.login("u1")
    assert house.calls == ["enter u1", "store", "begin again"] and house.tried_with == [session]


def test_a_call_inside_a_login_on_its_own_thread_is_refused() -> None:
    """A ``refresh`` callable that logs in or out would wait for itself: it gets ``LOGIN_IN_PROGRESS``."""
    house, codes = House(), []

    def act() -> None:
        codes.extend([code_of(house.lifecycle.logout), code_of(house.login)])

    house.login("u1", act)
    house.login("u2", act)  # also in place of another user's
    assert codes == ["LOGIN_IN_PROGRESS"] * 4 and house.account.require().uid == "u2"


def test_a_call_inside_a_logout_on_its_own_thread_is_refused() -> None:
    """Each of the three."""
    house, codes = House(uid="u1"), []

    def voiding() -> None:
        calls = (house.lifecycle.logout, house.login, lambda: house.lifecycle.connect(None))
        codes.extend([code_of(call) for call in calls])  # type: ignore[arg-type]

    house.account.voiding = voiding
    house.lifecycle.logout()
    assert codes == ["LOGIN_IN_PROGRESS"] * 3 and house.state is LoginState.LOGGED_OUT


def test_no_lock_is_held_during_an_http_call() -> None:
    """Another thread's ``get_connection_status()``, listeners and ``disconnect()`` do not wait."""
    house, got = House(), []

    def other() -> None:
        got.append(house.lock.acquire(timeout=DEADLINE))
        house.lock.release()

    def act() -> None:
        Running(other).end()

    house.login("u1", act)
    house.account.voiding = act
    house.lifecycle.logout()
    assert got == [True, True]


# The end.


@pytest.mark.parametrize("uid", [None, "u1"], ids=["first", "in place of another's"])
def test_a_close_during_a_login_enters_nothing(uid: Optional[str]) -> None:
    """``ERR_CLIENT_CLOSED``: no login is entered, stored or connected, and a listener gets the failure."""
    house = House(uid=uid)
    assert code_of(lambda: house.login("u2", lambda: (house.lifecycle.close(), None)[1])) == "ERR_CLIENT_CLOSED"
    assert house.state is LoginState.CLOSED and house.lifecycle.closed
    assert {"enter u2", "begin", "start", "store"}.isdisjoint(house.calls)
    assert house.events == ["login_failure"]


def test_a_close_during_a_logout_does_not_undo_it() -> None:
    """The token is void, and the login is gone from the store as well."""
    house = House(uid="u1")
    house.account.voiding = lambda: (house.lifecycle.close(), None)[1]
    house.lifecycle.logout()
    assert house.state is LoginState.CLOSED and house.account.session is None and "store" in house.calls


@pytest.mark.parametrize("name", ["connect", "login", "logout"])
def test_a_close_ends_the_wait_for_another_call(waiting: threading.Semaphore, name: str) -> None:
    """The logout that they wait for may hang. They get ``ERR_CLIENT_CLOSED`` before it ends."""
    house = House(uid="u1")
    held, logout = held_logout(house)
    calls = {"connect": lambda: house.lifecycle.connect(None), "login": house.login, "logout": house.lifecycle.logout}
    waits = Running(calls[name])  # type: ignore[arg-type]
    assert waiting.acquire(timeout=DEADLINE)
    assert house.lifecycle.close()
    assert waits.code == "ERR_CLIENT_CLOSED"
    held.go_on()
    assert logout.end() is None and house.state is LoginState.CLOSED


def test_after_a_close_each_call_is_refused() -> None:
    """A second close is a no-op."""
    house = House(uid="u1")
    assert house.lifecycle.close() and not house.lifecycle.close()
    for call in (house.login, house.lifecycle.logout, lambda: house.lifecycle.connect(0)):
        assert code_of(call) == "ERR_CLIENT_CLOSED"  # type: ignore[arg-type]
    assert house.calls == []


def test_a_session_is_not_taken_up_after_a_close() -> None:
    """A signal handler may close a client that is just being made."""
    house = House()

    def close_meanwhile() -> Session:
        house.lifecycle.close()
        return session_of("u1")

    house.account.stored_session = close_meanwhile  # type: ignore[method-assign]
    house.lifecycle.resume()
    assert house.state is LoginState.CLOSED and house.calls == [] and house.account.session is None


# Forks.


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("uid", [None, "u1"])
def test_the_child_of_a_fork_connects_if_a_user_is_logged_in(uid: Optional[str], closed: bool) -> None:
    """The child of a parent that was closing the client does not connect."""
    house = House()
    house.account.session = None if uid is None else session_of(uid)
    house.lifecycle.closed = closed
    expected = LoginState.CLOSED if closed else LoginState.LOGGED_OUT if uid is None else LoginState.LOGGED_IN
    assert house.state is expected
    house.lifecycle.reconnect_after_fork()
    assert house.calls == (["begin", "start"] if expected is LoginState.LOGGED_IN else [])


def test_a_disconnect_after_a_login_has_precedence_over_its_connection() -> None:
    """It comes while the login writes the session."""
    house = House()
    house.account.storing = house.lifecycle.disconnect
    house.login()
    assert house.calls == ["enter u1", "store", "disconnect"]


def test_a_logout_that_ends_before_another_call_waits_for_it() -> None:
    """The other call has just seen it in progress."""
    house = House(uid="u1")
    held, logout = held_logout(house)
    house.lock.on_release = lambda: (held.go_on(), logout.end())
    assert code_of(lambda: house.lifecycle.connect(None)) == USER_NOT_LOGGED_IN


# A dead auth token.


DEAD = CometChatException("AUTH_ERR_AUTH_TOKEN_NOT_FOUND", "unknown")


@pytest.mark.parametrize("connected", [True, False])
def test_a_dead_token_ends_the_login_as_a_logout_does(connected: bool) -> None:
    """This end makes no HTTP call, and gives the connection's listeners the reason.

    A client that only makes HTTP calls starts its dispatcher for them.
    """
    house = House(auto_connect=connected)
    session = house.login()
    house.dispatcher.start = lambda: house.calls.append("dispatch")
    number, house.posted = house.connection.number, []
    house.calls.clear()
    assert house.lifecycle.end_login(session, DEAD)
    released = [f"release {number}", f"pings {DEAD.code}"] if connected else []
    assert house.calls == [f"refuse {DEAD.code}", "forget", "leave", *released, "store", "dispatch"]
    told = ["logout_success"] if connected else ["on_connection_error", "logout_success"]  # else by the connection
    assert house.state is LoginState.LOGGED_OUT and house.events == told
    assert house.account.stored is None
    assert not house.lifecycle.end_login(session, DEAD)
    assert house.events == told


def test_a_dead_token_ends_the_membership_of_a_shared_connection() -> None:
    """The other processes get the reason first."""
    sharing = SimpleNamespace(
        publish=lambda error: house.calls.append(f"publish {error.code}"),
        leave=lambda number: house.calls.append(f"leave {number}"),
    )
    house = House(uid="u1", sharing=sharing)
    house.lifecycle.end_login(house.account.require(), DEAD)
    assert house.calls[-3:] == [f"publish {DEAD.code}", "leave 1", "store"]


def test_a_log_handler_that_interrupts_the_end_of_a_login() -> None:
    """The connection has ended, also where a Ctrl-C comes in a slow write."""
    house = House(uid="u1")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    log: Any = SimpleNamespace(info=interrupted)
    house.lifecycle._log = log
    with pytest.raises(KeyboardInterrupt):
        house.lifecycle.end_login(house.account.require(), DEAD)
    assert "release 1" in house.calls and house.state is LoginState.LOGGED_OUT


def test_a_dead_token_of_an_earlier_login_ends_nothing() -> None:
    """The answer to a call of the old login comes late. The new login stays."""
    house = House()
    old = house.login("u1")
    house.login("u2")
    house.calls.clear()
    assert not house.lifecycle.end_login(old, DEAD)
    assert house.state is LoginState.LOGGED_IN and house.calls == []


def test_a_dead_token_leaves_a_call_that_is_under_way_alone() -> None:
    """A logout decides by itself, and so does a login in place of this one. A closed client stays closed."""
    house = House()
    session = house.login()
    ended: List[bool] = []
    house.account.voiding = lambda: ended.append(house.lifecycle.end_login(session, DEAD))
    house.lifecycle.logout()
    session = house.login()
    house.login(act=lambda: ended.append(house.lifecycle.end_login(session, DEAD)))
    session = house.account.require()
    house.lifecycle.close()
    ended.append(house.lifecycle.end_login(session, DEAD))
    assert ended == [False, False, False]
    assert house.events.count("logout_success") == 1
