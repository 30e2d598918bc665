"""The counters of a connection, fed with the steps of the real machine."""

from __future__ import annotations

import dataclasses
import sys
import threading
from types import FrameType
from typing import Any, List

import pytest

from cometchat import CometChatException, ConnectionException
from cometchat._protocol._states import ConnectionMachine, Signal
from cometchat._runtime.connection import _counters
from cometchat._runtime.connection._counters import ERRORS, Counters
from cometchat.exceptions import (
    ERR_AUTH_TIMEOUT,
    ERR_PONG_TIMEOUT,
    WS_AUTH_FAIL,
    WS_CONNECTION_FAIL,
    AuthenticationException,
    copy_of,
    exception_for,
)
from cometchat.status import Stats

DEADLINE = 10.0


class Counted:
    """A machine, and the counters that get each of its steps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.counters = Counters(wall_clock=lambda: self.now)
        self.machine = ConnectionMachine()

    def signal(self, *signals: Signal) -> None:
        for signal in signals:
            self.counters.step(self.machine.handle(signal, self.now))

    def fail(self, signal: Signal, error: CometChatException) -> None:
        self.counters.step(self.machine.handle(signal, self.now, error))

    def up(self) -> None:
        self.signal(Signal.OPENED, Signal.ACCEPTED)

    @property
    def stats(self) -> Stats:
        return self.counters.stats(messages_fetched=0, events_queued=0, events_dropped=0)


@pytest.fixture
def counted() -> Counted:
    return Counted()


def failure(code: str = WS_CONNECTION_FAIL, **attributes: Any) -> CometChatException:
    error = exception_for(code, "no")
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


def test_nothing_has_happened_yet(counted: Counted) -> None:
    """The values are zero, empty, or None."""
    assert dataclasses.asdict(counted.stats) == {
        **dict.fromkeys(("attempts", "connects", "frames_received", "bytes_received", "frames_ignored"), 0),
        **dict.fromkeys(("messages_fetched", "events_queued", "events_dropped", "dead_letters", "pings"), 0),
        **dict.fromkeys(("failures", "drops", "close_codes"), {}),
        **{"ping_round_trip": None, "ping_round_trip_mean": None, "last_errors": (), "rate_limit_remaining": None},
        "leads": None,
        "messages_truncated": 0,
    }


def test_attempts_and_connects(counted: Counted) -> None:
    """There is one attempt for each start of a connection, and one connect for each accepted authentication."""
    counted.signal(Signal.CONNECT)
    assert (counted.stats.attempts, counted.stats.connects) == (1, 0)
    counted.signal(Signal.CONNECT)  # already wanted
    counted.up()
    assert (counted.stats.attempts, counted.stats.connects) == (1, 1)
    counted.fail(Signal.LOST, failure())
    counted.signal(Signal.RETRY, Signal.RETRY_DUE)
    counted.fail(Signal.FAILED, failure())
    counted.signal(Signal.CONNECT)  # ends the wait
    counted.up()
    assert (counted.stats.attempts, counted.stats.connects) == (3, 2)


def test_throttling_is_not_a_connect(counted: Counted) -> None:
    """The connection was up before and after."""
    counted.signal(Signal.CONNECT)
    counted.up()
    counted.signal(Signal.THROTTLED, Signal.RESTORED, Signal.THROTTLED)
    assert (counted.stats.attempts, counted.stats.connects) == (1, 1)
    counted.fail(Signal.LOST, failure())
    assert dict(counted.stats.drops) == {WS_CONNECTION_FAIL: 1}


def test_with_a_new_jwt_it_is_the_same_attempt(counted: Counted) -> None:
    """A stale jwt is renewed on the way."""
    counted.signal(Signal.CONNECT, Signal.OPENED, Signal.STALE, Signal.RENEWED)
    counted.up()
    assert (counted.stats.attempts, counted.stats.connects, counted.stats.failures) == (1, 1, {})


def test_failures_and_drops_are_counted_by_code(counted: Counted) -> None:
    """An error before the connection was up is a failure, and one afterwards a drop. ``disconnect()`` is neither."""
    counted.signal(Signal.CONNECT)
    counted.fail(Signal.FAILED, failure())
    counted.signal(Signal.RETRY_DUE, Signal.OPENED)
    counted.fail(Signal.FAILED, failure(ERR_AUTH_TIMEOUT))
    counted.signal(Signal.RETRY_DUE)
    counted.fail(Signal.FAILED, failure())
    counted.signal(Signal.RETRY_DUE)
    counted.up()
    counted.fail(Signal.LOST, failure(ERR_PONG_TIMEOUT))
    counted.signal(Signal.RETRY, Signal.RETRY_DUE)
    counted.up()
    counted.signal(Signal.DISCONNECT, Signal.CONNECT, Signal.OPENED)
    counted.fail(Signal.REFUSED, failure(WS_AUTH_FAIL))
    assert dict(counted.stats.failures) == {WS_CONNECTION_FAIL: 2, ERR_AUTH_TIMEOUT: 1, WS_AUTH_FAIL: 1}
    assert dict(counted.stats.drops) == {ERR_PONG_TIMEOUT: 1}
    assert [error.phase for error in counted.stats.last_errors] == [
        *("opening", "authenticating", "opening", "online", "authenticating")
    ]


@pytest.mark.parametrize(
    "attributes, counts",
    [
        ({"closed_by_frame": True, "close_code": 1012}, {1012: 1}),
        ({"closed_by_frame": True, "close_code": None}, {}),
        ({"closed_by_frame": False, "close_code": 1006}, {}),
    ],
)
def test_close_codes_are_those_of_close_frames(counted: Counted, attributes: Any, counts: Any) -> None:
    """Close codes come from connections that were up. No frame, or a frame without a code, counts as no code."""
    counted.signal(Signal.CONNECT, Signal.OPENED)
    counted.fail(Signal.FAILED, failure(**attributes))
    assert dict(counted.stats.close_codes) == {}
    counted.signal(Signal.RETRY_DUE)
    counted.up()
    counted.fail(Signal.LOST, failure(**attributes))
    assert dict(counted.stats.close_codes) == counts


def test_an_authentication_that_is_taken_back_is_a_drop(counted: Counted) -> None:
    """The error has no close code, and does not need one."""
    counted.signal(Signal.CONNECT)
    counted.up()
    counted.fail(Signal.LOST, AuthenticationException(WS_AUTH_FAIL, "no"))
    assert dict(counted.stats.drops) == {WS_AUTH_FAIL: 1} and dict(counted.stats.close_codes) == {}


def test_frames_and_pings(counted: Counted) -> None:
    """The counters have counts, bytes, the newest round trip and the mean of all."""
    for size in (10, 20, 30):
        counted.counters.frames([b"x" * size])
    counted.counters.ignored()
    for round_trip in (0.3, 0.1, 0.2):
        counted.counters.pong(round_trip)
    stats = counted.stats
    assert (stats.frames_received, stats.bytes_received, stats.frames_ignored, stats.pings) == (3, 60, 1, 3)
    assert stats.ping_round_trip == 0.2 and stats.ping_round_trip_mean == pytest.approx(0.2)


def test_counts_of_other_parts_are_included(counted: Counted) -> None:
    """The inbox counts fetched messages, and the queue waiting and dropped events."""
    counts = {"messages_fetched": 1, "events_queued": 2, "events_dropped": 3}
    stats = counted.counters.stats(**counts, dead_letters=5, messages_truncated=6, rate_limit_remaining=4)
    assert (stats.messages_fetched, stats.events_queued, stats.events_dropped) == (1, 2, 3)
    assert (stats.dead_letters, stats.messages_truncated) == (5, 6)
    assert stats.rate_limit_remaining == 4


def test_the_newest_errors_are_remembered(counted: Counted) -> None:
    """There are ten, the newest last, each with its time."""
    counted.signal(Signal.CONNECT)
    for number in range(ERRORS + 5):
        counted.now += 1
        counted.fail(Signal.FAILED, failure(details=str(number)))
        counted.signal(Signal.RETRY_DUE)
    errors = counted.stats.last_errors
    assert [error.error.details for error in errors] == [str(number) for number in range(5, 15)]
    assert [error.at for error in errors] == [101.0 + number for number in range(5, 15)]
    assert counted.stats.failures[WS_CONNECTION_FAIL] == 15


def test_a_remembered_error_is_a_copy_that_holds_nothing(counted: Counted) -> None:
    """The copy has all of the error's text.

    But its traceback, and its causes', would hold sockets and received data.
    """
    try:
        try:
            raise OSError("cable")
        except OSError as cause:
            raise failure(details="why", close_code=1006, http_status=503, retry_after=2.0) from cause
    except ConnectionException as error:
        raised = error
    counted.signal(Signal.CONNECT)
    counted.fail(Signal.FAILED, raised)
    (remembered,) = counted.stats.last_errors
    copy: Any = remembered.error
    assert copy is not raised and type(copy) is type(raised)
    assert vars(copy) == vars(raised) and str(copy) == str(raised)
    assert raised.__traceback__ is not None and isinstance(raised.__cause__, OSError)
    while copy is not None:
        assert copy.__traceback__ is None and copy.__context__ is None
        copy = copy.__cause__


def test_an_error_that_is_raised_again_has_its_cause() -> None:
    """The error is a copy of the reason, for a thread that waits for the connection."""
    error = failure()
    error.__cause__ = OSError("cable")
    assert copy_of(error).__cause__ is error.__cause__


@pytest.mark.parametrize(
    "code", [WS_CONNECTION_FAIL, WS_AUTH_FAIL, "ERR_TOO_MANY_REQUESTS", "ERR_NO_SUCH", "INVALID_X"]
)
def test_an_error_of_every_class_can_be_copied(code: str) -> None:
    """The copy works for the class of each code."""
    error = exception_for(code, "text", details="details")
    copy = copy_of(error)
    assert type(copy) is type(error) and (copy.code, copy.message, copy.details) == (code, "text", "details")


def test_stats_stay_as_they_were(counted: Counted) -> None:
    """A returned object shows its moment."""
    counted.signal(Signal.CONNECT)
    before = counted.stats
    counted.fail(Signal.FAILED, failure())
    assert before.failures == {} and before.last_errors == () and counted.stats.failures != {}
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.attempts = 5  # type: ignore[misc]


def test_reading_beside_the_connection_thread(counted: Counted) -> None:
    """Only the connection thread counts frames and pongs.

    Another thread reads without a lock, and gets consistent values.
    """
    seen: List[Any] = []
    begun, over = threading.Event(), threading.Event()

    def read() -> None:
        while not over.is_set():
            seen.append(counted.stats.ping_round_trip_mean)
            begun.set()

    thread = threading.Thread(target=read, name="test-read", daemon=True)
    thread.start()
    assert begun.wait(DEADLINE)
    for _ in range(2000):
        counted.counters.frames([b"ab"])
        counted.counters.pong(1.0)
    over.set()
    thread.join(DEADLINE)
    stats = counted.stats
    assert (stats.frames_received, stats.bytes_received, stats.pings) == (2000, 4000, 2000)
    assert stats.ping_round_trip_mean == 1.0
    assert set(seen) <= {None, 1.0}


def test_stats_agree_with_themselves_at_every_line(counted: Counted) -> None:
    """A reader may come between any two lines of the writer. The mean fits the pings, and ten errors are kept."""
    seen: List[Stats] = []

    def look(frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_filename == _counters.__file__:
            seen.append(counted.stats)
            return look

    counted.signal(Signal.CONNECT)
    before = sys.gettrace()
    sys.settrace(look)
    try:
        for number in range(ERRORS + 2):
            counted.counters.pong(2.0)
            counted.fail(Signal.FAILED, failure(f"CODE_{number}"))
            counted.signal(Signal.RETRY_DUE)
    finally:
        sys.settrace(before)
    assert max(len(stats.last_errors) for stats in seen) == ERRORS
    assert {(bool(stats.pings), stats.ping_round_trip, stats.ping_round_trip_mean) for stats in seen} == {
        (False, None, None),
        (True, 2.0, 2.0),
    }


def test_a_server_that_invents_codes_fills_no_memory(counted: Counted) -> None:
    """A hundred codes are counted separately, and all others together, since each may be a label of a metric."""
    for number in range(500):
        counted.signal(Signal.CONNECT)
        counted.fail(Signal.FAILED, failure(f"ERR_{number % 250}"))
    failures = counted.stats.failures
    assert len(failures) == 101 and sum(failures.values()) == 500
    assert failures["ERR_0"] == failures["ERR_99"] == 2 and failures["other"] == 300


def test_drops_and_close_codes_have_the_same_limit(counted: Counted) -> None:
    """A close code is a number: 0, which no frame can have, stands for the others."""
    for number in range(300):
        counted.signal(Signal.CONNECT)
        counted.up()
        lost = ConnectionException(f"ERR_{number}", "no")
        lost.close_code, lost.closed_by_frame = 3000 + number, True
        counted.fail(Signal.LOST, lost)
    stats = counted.stats
    assert len(stats.drops) == 101 and stats.drops["other"] == 200
    assert len(stats.close_codes) == 101 and stats.close_codes[0] == 200 and stats.close_codes[3099] == 1
