"""Threads that renew the same login at the same time share one renewal."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable, Iterator, List, Mapping, Optional, Set

import pytest
from interruption import Interruption
from test_account import Answers

from cometchat import AppSettings, AuthenticationException, CometChatException, MemorySessionStore
from cometchat._runtime.account import _renewal
from cometchat._runtime.account._account import Account
from cometchat._runtime.account._renewal import SharedRenewal

DEADLINE = 10.0

THREADS = 5


class Lock:
    """A lock that tells when a number of the pool's threads have released it."""

    def __init__(self, threads: int = 1) -> None:
        self._lock = threading.RLock()
        self._missing = threads
        self._users: Set[int] = set()
        self.released = threading.Event()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        if threading.current_thread() is not threading.main_thread():
            self._users.add(threading.get_ident())
        self._lock.release()
        if len(self._users) >= self._missing:
            self.released.set()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(THREADS) as pool:
        yield pool


def test_a_refused_token_is_replaced_once_for_all_threads(pool: ThreadPoolExecutor) -> None:
    """``refresh`` is called once, and every call succeeds with its token."""
    rest, lock, all_refused = Answers(), Lock(THREADS), threading.Barrier(THREADS)
    settings, asked = AppSettings(region="us"), []
    account = Account("app", settings, rest, MemorySessionStore(), lock=lock, number=1)  # type: ignore[arg-type]

    def accept_the_second(method: str, url: str, *, headers: Mapping[str, str], **_: Any) -> Any:
        if headers["authToken"] != "token-2":
            all_refused.wait(DEADLINE)
            raise AuthenticationException("AUTH_ERR_AUTH_TOKEN_NOT_FOUND", "refused")
        return dict(rest.me)

    def refresh() -> str:
        asked.append(threading.get_ident())
        assert lock.released.wait(DEADLINE), "the other threads wait for the token too"
        return "token-2"

    account.set_login(account.service.login_with_auth_token("token-1", refresh))
    rest.call = accept_the_second  # type: ignore[method-assign]
    calls = [pool.submit(account.request, "POST", "/messages", {}) for _ in range(THREADS)]
    assert [call.result(2 * DEADLINE)["uid"] for call in calls] == ["amy"] * THREADS
    assert account.require().auth_token == "token-2" and len(asked) == 1


class Meeting:
    """A call of another thread waits for a renewal of the same login.

    :ivar logins: number of times that the service was asked for a jwt.
    """

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.lock = Lock()
        self.rest = Answers()
        settings = AppSettings(region="us")
        self.account = Account(
            "app", settings, self.rest, MemorySessionStore(), lock=self.lock, number=1  # type: ignore[arg-type]
        )
        self.account.set_login(self.account.service.login_with_auth_token("token-1", lambda: "token-2"))
        self.rest.urls.clear()
        self._answer = self.rest.call
        self._pool = pool

    @property
    def logins(self) -> int:
        return len([url for url in self.rest.urls if url.endswith("/me")])

    def void(self) -> None:
        """Let the service refuse the token from now on."""
        self.rest.call = self._refuse  # type: ignore[method-assign]

    def _refuse(self, method: str, url: str, *, headers: Mapping[str, str], **_: Any) -> Any:
        if headers["authToken"] != "token-2":
            raise AuthenticationException("AUTH_ERR_AUTH_TOKEN_NOT_FOUND", "refused")
        return self._answer(method, url, headers=headers)

    def run(self, call: Callable[..., Any], *args: Any, before: Callable[[], None], end: Callable[[], None]) -> Any:
        """Renew, and make the call on another thread during the renewal. Returns the result of the call.

        :param before: happens before the call.
        :param end: happens before the renewal ends.
        """
        calls: List[Future[Any]] = []

        def renewing(*some: Any, **options: Any) -> Any:
            self.rest.call = self._answer  # type: ignore[method-assign]
            before()
            calls.append(self._pool.submit(call, *args))
            assert self.lock.released.wait(DEADLINE), "the call waits for this renewal"
            end()
            return self._answer(*some, **options)

        self.rest.call = renewing  # type: ignore[method-assign]
        try:
            self.account.renew()
        except KeyboardInterrupt:
            assert self.logins == 0
        return calls[0].result(DEADLINE)


def nothing() -> None:
    """Do nothing."""


def test_a_renewal_that_began_before_the_refusal_is_of_no_use(pool: ThreadPoolExecutor) -> None:
    """The service voids the token while it answers that renewal. The refused call gets a new token all the same."""
    meeting = Meeting(pool)
    account = meeting.account
    assert meeting.run(account.request, "POST", "/messages", {}, before=meeting.void, end=nothing) == {}
    assert account.require().auth_token == "token-2"


def test_a_refused_call_during_whose_wait_the_user_logs_out(pool: ThreadPoolExecutor) -> None:
    meeting = Meeting(pool)
    account = meeting.account
    with pytest.raises(CometChatException) as caught:
        meeting.run(account.request, "POST", "/messages", {}, before=meeting.void, end=account.clear_login)
    assert caught.value.code == "USER_NOT_LOGGED_IN"


def test_a_renewal_that_another_thread_makes_is_enough(pool: ThreadPoolExecutor) -> None:
    """Without a refusal the login keeps its token, and gets one new jwt."""
    meeting = Meeting(pool)
    meeting.run(meeting.account.renew, before=nothing, end=nothing)
    assert meeting.logins == 1


def test_a_renewal_that_a_signal_handler_ends_is_not_enough(pool: ThreadPoolExecutor) -> None:
    """The connection, for one, needs a jwt all the same."""
    meeting = Meeting(pool)

    def interrupt() -> None:
        raise KeyboardInterrupt

    meeting.run(meeting.account.renew, before=nothing, end=interrupt)
    assert meeting.logins == 1


class Race:
    """Two threads renew the same login. The second one comes while the first one renews.

    :ivar renewed: the threads that renewed.
    """

    def __init__(self, pool: ThreadPoolExecutor, *, is_needed: bool) -> None:
        self.lock = Lock()
        self.shared = SharedRenewal(self.lock)  # type: ignore[arg-type]
        self.renewed: List[str] = []
        self._second: List[Future[None]] = []
        self._pool = pool
        self._is_needed = is_needed

    def run(self, error: Optional[CometChatException] = None) -> None:
        """Renew. The first thread's renewal ends with ``error``."""

        def first() -> None:
            self.renewed.append("first")
            arguments = "login", self.note("second"), lambda: self._is_needed
            self._second.append(self._pool.submit(self.shared.run, *arguments))
            assert self.lock.released.wait(DEADLINE)
            if error is not None:
                raise error

        self.shared.run("login", first, lambda: True)

    def note(self, name: str) -> Callable[[], None]:
        return lambda: self.renewed.append(name)

    @property
    def error(self) -> Optional[BaseException]:
        """The exception of the second thread's call; None if it returned."""
        return self._second[0].exception(DEADLINE)


@pytest.mark.parametrize("is_needed, renewed", [(False, ["first"]), (True, ["first", "second"])])
def test_a_thread_shares_the_renewal_of_another_one(
    is_needed: bool, renewed: List[str], pool: ThreadPoolExecutor
) -> None:
    """It renews itself only if that did not help. A later renewal is another one."""
    race = Race(pool, is_needed=is_needed)
    race.run()
    assert race.error is None and race.renewed == renewed
    race.shared.run("login", race.note("later"), lambda: False)
    assert race.renewed == [*renewed, "later"]


def test_a_thread_shares_the_failure_of_another_one(pool: ThreadPoolExecutor) -> None:
    """Both calls raise it, each an object of its own, since a traceback grows with each raise."""
    race, error = Race(pool, is_needed=True), AuthenticationException("ERR_TOKEN_REFRESH", "no token")
    with pytest.raises(AuthenticationException) as caught:
        race.run(error)
    assert caught.value is error and race.error is not error
    assert isinstance(race.error, AuthenticationException) and str(race.error) == str(error)
    assert race.renewed == ["first"]


def test_a_renewal_waits_neither_for_itself_nor_for_that_of_another_login(pool: ThreadPoolExecutor) -> None:
    """``refresh`` may call the SDK, and another user may log in while it hangs."""
    shared, done = SharedRenewal(threading.RLock()), []

    def first() -> None:
        shared.run("login", lambda: done.append("within"), lambda: True)
        pool.submit(shared.run, "other", lambda: done.append("other"), lambda: True).result(DEADLINE)

    shared.run("login", first, lambda: True)
    assert done == ["within", "other"]


def test_a_renewal_that_hangs_stops_no_other(pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_renewal, "_PATIENCE", 0.01)
    shared, hangs, end, done = SharedRenewal(threading.RLock()), threading.Event(), threading.Event(), []

    def hang() -> None:
        hangs.set()
        assert end.wait(DEADLINE)
        raise CometChatException("ERR_TOKEN_REFRESH", "too late")

    hanging = pool.submit(shared.run, "login", hang, lambda: True)
    assert hangs.wait(DEADLINE)
    shared.run("login", lambda: done.append("renewed"), lambda: False)
    end.set()
    assert done == ["renewed"] and hanging.exception(DEADLINE) is not None


def test_a_renewal_that_a_signal_handler_ends_stops_no_other(pool: ThreadPoolExecutor) -> None:
    """The exception comes at any point. Another thread renews at once: it does not wait until the patience ends."""
    for at in itertools.count(1):
        shared, done = SharedRenewal(threading.RLock()), []
        happened = Interruption(at).happens_in(lambda: shared.run("login", lambda: None, lambda: True))
        pool.submit(shared.run, "login", lambda: done.append(at), lambda: True).result(DEADLINE)
        assert done == [at]
        if not happened:
            assert at > 4
            return
