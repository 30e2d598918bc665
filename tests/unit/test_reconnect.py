"""The time of the next attempt: the default wait, ``Retry-After``, users' strategies, and a wait that can be ended."""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import random
import threading
import time
from types import SimpleNamespace
from typing import Any, Callable, Dict, Iterator, List, Optional

import pytest
import tenacity
from hypothesis import given
from hypothesis import strategies as st

from cometchat import CometChatException, ConnectionException, RateLimitException
from cometchat._runtime._threads import Wakeup
from cometchat._runtime.connection import Generation, ReconnectPolicy
from cometchat._runtime.connection._reconnect_policy import LONGEST_WAIT, RetrySeries, default_wait

#: Maximum wait of a strategy, in seconds: an Event cannot wait for infinity.
LONGEST = 86_400.0


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Make tenacity's randomness, from the module `random`, the same for each run of a test."""
    before = random.getstate()
    random.seed(20261124)
    yield
    random.setstate(before)


def failed(attempt: int = 1, error: Optional[CometChatException] = None) -> tenacity.RetryCallState:
    """Return the state after this many attempts, the last of which has failed."""
    state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
    state.attempt_number = attempt
    error = error or ConnectionException("WS_CONNECTION_FAIL", "lost")
    state.set_exception((type(error), error, None))
    return state


def new_policy(wait: Any, stop: Any, jitter: Callable[[], float] = random.random) -> ReconnectPolicy:
    """Return a policy on a machine whose network never returns."""
    return ReconnectPolicy(wait, stop, lambda on_return: contextlib.nullcontext(), lambda: "client 1", jitter)


def wait_of(policy: ReconnectPolicy, state: tenacity.RetryCallState) -> float:
    """Return the wait of a series of the policy in this state."""
    return Series(policy).series._seconds(state)


class FakeWake(Wakeup):
    """Does not wait. ``waits`` has the seconds of the caller, and :meth:`clock` counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: List[float] = []
        self._passed = 0.0

    def clock(self) -> float:
        """Return the seconds of all waits so far."""
        return self._passed

    def wait(self, timeout: Optional[float] = None) -> bool:
        assert timeout is not None
        self.waits.append(timeout)
        self._passed += 0.0 if self.is_set() else timeout
        return self.is_set()


class Series:
    """One series of attempts that all fail, with its events."""

    def __init__(self, policy: ReconnectPolicy, most: int = 1000, wake: Optional[Wakeup] = None) -> None:
        self.wake = wake or FakeWake()
        self.wanted = True
        self.errors: List[CometChatException] = []
        self.events: List[str] = []
        self.states: List[tenacity.RetryCallState] = []
        self.before_attempt: Dict[int, Callable[[tenacity.RetryCallState], None]] = {}
        self._most = most
        generation = Generation(1, threading.RLock())
        generation.wake = self.wake
        state: Any = SimpleNamespace(
            is_current=lambda of: of is generation and self.wanted,
            signal=lambda of, signal, only_in: self.events.append("woken"),
        )
        self.series = RetrySeries(
            policy,
            state,
            generation,
            before_wait=lambda state: self.events.append(f"wait {state.attempt_number}"),
        )

    @property
    def waits(self) -> List[float]:
        assert isinstance(self.wake, FakeWake)
        return self.wake.waits

    def run(self, error: Callable[[int], CometChatException]) -> Optional[CometChatException]:
        """Run until the series ends or reaches its maximum. Returns the error at its end."""
        try:
            for number, attempt in enumerate(self.series.attempts(), 1):
                self.events.append(f"attempt {number}")
                with attempt:
                    if number in self.before_attempt:
                        self.before_attempt[number](attempt.retry_state)
                    if number >= self._most:
                        self.wanted = False
                    self.errors.append(error(number))
                    raise self.errors[-1]
        except CometChatException as last:
            return last
        return None


def lost(number: int) -> CometChatException:
    return ConnectionException("WS_CONNECTION_FAIL", f"attempt {number} failed")


# The default.


@pytest.mark.parametrize("attempt", range(1, 12))
def test_the_default_wait_is_spread_over_all_of_its_range(attempt: int) -> None:
    """0 to 1 s after the first attempt, 0 to 2 s after the second, doubling, up to 30 s, evenly from 0 on."""
    policy, state = new_policy(None, None), failed(attempt)
    cap = min(2.0 ** (attempt - 1), 30.0)
    waits = sorted(wait_of(policy, state) for _ in range(2000))
    assert 0 <= waits[0] < cap * 0.01 and cap * 0.99 < waits[-1] <= cap
    for tenth in range(1, 10):
        assert abs(waits[tenth * 200] - cap * tenth / 10) < cap * 0.05


@pytest.mark.parametrize("attempt", [12, 64, 1023, 1024, 1025, 5000, 100_000])
def test_the_default_wait_never_changes(attempt: int) -> None:
    """The range is the same even after so many attempts that 2 to their power is too large for a float."""
    policy, state = new_policy(None, None), failed(attempt)
    waits = [wait_of(policy, state) for _ in range(200)]
    assert max(waits) <= 30 and max(waits) > 25 and min(waits) < 5


def test_the_cap_is_the_documented_one() -> None:
    """The maximum is 30 s."""
    assert LONGEST_WAIT == 30.0
    assert isinstance(default_wait(), tenacity.wait_random_exponential)


@pytest.mark.parametrize("jitter, expected", [(0.0, 15.0), (1.0, 30.0)])
def test_the_wait_for_the_operator_of_an_app(jitter: float, expected: float) -> None:
    """The client tries again at the longest wait, as the other clients of the app do, but not with them."""
    failure = failed(1, ConnectionException("AUTH_ERR_INVALID_APPID", "unknown"))
    assert wait_of(new_policy(tenacity.wait_none(), None, lambda: jitter), failure) == expected
    assert wait_of(new_policy(tenacity.wait_fixed(40), None, lambda: jitter), failure) == 40


def test_two_clients_wait_differently() -> None:
    """Clients of the same server do not return together: no two of a hundred waits are equal."""
    one, two = new_policy(None, None), new_policy(None, None)
    for attempt in range(1, 11):
        waits = [wait_of(policy, failed(attempt)) for policy in (one, two) for _ in range(50)]
        assert len(set(waits)) == 100


def test_the_default_never_stops(caplog: pytest.LogCaptureFixture) -> None:
    """After a thousand failures, the next attempt comes."""
    series = Series(new_policy(None, None))
    series.run(lost)
    assert caplog.text == ""
    assert len(series.errors) == 1000 and len(series.waits) == 999
    assert series.waits[0] <= 1 and max(series.waits) <= 30


# Retry-After.


@pytest.mark.parametrize(
    "asked, strategy, least", [(0.0, 2.0, 2.0), (1.0, 2.0, 2.0), (5.0, 2.0, 5.0), (3600.0, 2.0, 3600.0)]
)
def test_a_retry_after_is_the_least(asked: float, strategy: float, least: float) -> None:
    """The wait is the longer of the server's and the strategy's, with up to 1 s at random on top of the server's."""
    error = RateLimitException("ERR_TOO_MANY_REQUESTS", "slow down", retry_after=asked)
    for jitter in (0.0, 0.5, 0.999):
        policy = new_policy(tenacity.wait_fixed(strategy), None, jitter=lambda: jitter)
        assert wait_of(policy, failed(1, error)) == max(strategy, asked + jitter) >= least


@given(st.floats(0, 3600), st.floats(0, 3600))
def test_a_retry_after_is_obeyed_for_every_strategy(asked: float, strategy: float) -> None:
    """The attempt never comes earlier than the server asked for, and at most 1 s later than both."""
    error = ConnectionException("WS_CONNECTION_FAIL", "503", retry_after=asked)
    seconds = wait_of(new_policy(tenacity.wait_fixed(strategy), None), failed(1, error))
    assert max(asked, strategy) <= seconds <= max(asked, strategy) + 1


def test_a_retry_after_does_not_bring_all_clients_back_at_once() -> None:
    """The waits of a hundred clients with a Retry-After of 10 s are spread over a second."""
    error = ConnectionException("WS_CONNECTION_FAIL", "503", retry_after=10.0)
    waits = sorted(wait_of(new_policy(None, None), failed(1, error)) for _ in range(100))
    assert len(set(waits)) == 100 and waits[0] < 10.2 and 10.8 < waits[-1] <= 11


def test_a_retry_after_holds_for_its_own_attempt_only() -> None:
    """The next failure without one waits as long as the strategy says."""
    series = Series(new_policy(tenacity.wait_fixed(1), tenacity.stop_after_attempt(4), jitter=lambda: 0.25))
    series.run(lambda number: RateLimitException("X", "x", retry_after=7.0) if number == 2 else lost(number))
    assert series.waits == [1, 7.25, 1]


# Users' strategies.

ERROR = ConnectionException("WS_CONNECTION_FAIL", "lost")

WAITS: Dict[str, Any] = {
    "none": tenacity.wait_none(),
    "fixed": tenacity.wait_fixed(3),
    "incrementing": tenacity.wait_incrementing(1, 2, 8),
    "exponential": tenacity.wait_exponential(multiplier=0.5, max=9),
    "chain": tenacity.wait_chain(*[tenacity.wait_fixed(1)] * 2, tenacity.wait_fixed(5)),
    "sum": tenacity.wait_fixed(1) + tenacity.wait_exponential(max=4),
    "combine": tenacity.wait_combine(tenacity.wait_fixed(1), tenacity.wait_incrementing(0, 1)),
    "sum()": sum([tenacity.wait_fixed(1), tenacity.wait_fixed(2)]),  # type: ignore[list-item]
    "a function": lambda state: state.attempt_number * 1.5,
    "an int": lambda state: 4,
    "a text that is a number": lambda state: "2.5",
}


@pytest.mark.parametrize("name", sorted(WAITS))
def test_the_wait_is_the_strategys(name: str) -> None:
    """Any of tenacity's own, combined or not, and any callable give the seconds, attempt by attempt."""
    strategy = WAITS[name]
    series = Series(new_policy(strategy, tenacity.stop_after_attempt(7)))
    series.run(lost)
    assert series.waits == [float(strategy(failed(attempt))) for attempt in range(1, 7)]


@pytest.mark.parametrize(
    "strategy, least, most",
    [
        (tenacity.wait_random(1, 2), 1, 2),
        (tenacity.wait_fixed(3) + tenacity.wait_random(0, 2), 3, 5),
        (tenacity.wait_random_exponential(multiplier=0.1, max=0.4), 0, 0.4),
        (tenacity.wait_exponential_jitter(initial=1, max=60, exp_base=1.1, jitter=2), 1, 18),
    ],
    ids=["random", "fixed + random", "random exponential", "exponential jitter"],
)
def test_the_wait_is_a_random_strategys(strategy: Any, least: float, most: float) -> None:
    """Random strategies stay within their own limits, and never give the same wait twice."""
    series = Series(new_policy(strategy, tenacity.stop_after_attempt(30)))
    series.run(lost)
    assert len(series.waits) == 29
    assert least <= min(series.waits) and max(series.waits) <= most
    assert len(set(series.waits)) > 15


def broken(value: Any) -> Callable[[Any], Any]:
    def strategy(state: Any) -> Any:
        if isinstance(value, BaseException):
            raise value
        return value

    return strategy


@pytest.mark.parametrize(
    "value",
    [
        ValueError("mine"),
        ZeroDivisionError(),
        CometChatException("X", "mine"),
        RecursionError(),
        SystemExit(1),
        None,
        "soon",
        [],
        object(),
        float("nan"),
        float("-inf"),
        -1,
        10**400,
    ],
    ids=lambda value: str(type(value).__name__) if not isinstance(value, float) else "nan",
)
def test_a_wait_strategy_that_fails_gives_way_to_the_default(value: Any, caplog: pytest.LogCaptureFixture) -> None:
    """If it raises, or returns no number, the default wait counts, with a log record, and the series continues."""
    series = Series(new_policy(broken(value), tenacity.stop_after_attempt(5)))
    with caplog.at_level(logging.ERROR, "cometchat"):
        last = series.run(lost)
    assert last is series.errors[4]
    assert len(series.waits) == 4 and all(0 <= wait <= 2**n for n, wait in enumerate(series.waits))
    assert {record.levelname for record in caplog.records} == {"ERROR"} and len(caplog.records) >= 4
    assert "reconnect_wait" in caplog.text and "Traceback" in caplog.text


@pytest.mark.parametrize("value, seconds", [(True, 1.0), (-0.0, 0.0), (0, 0.0)])
def test_no_wait_is_a_wait_too(value: float, seconds: float) -> None:
    """0, as from tenacity's ``wait_none``, means the next attempt at once."""
    assert wait_of(new_policy(broken(value), None), failed()) == seconds


@pytest.mark.parametrize("value", [float("inf"), 1e300, 1e18, LONGEST + 1])
def test_a_wait_that_is_too_long_is_a_day(value: float) -> None:
    """An Event cannot wait for infinity: such a strategy waits for the longest time that a setting may have."""
    seconds = wait_of(new_policy(broken(value), None), failed())
    assert seconds == LONGEST <= threading.TIMEOUT_MAX


@given(st.floats() | st.integers() | st.none() | st.text(max_size=5) | st.decimals() | st.fractions() | st.booleans())
def test_every_result_of_a_strategy_is_a_valid_wait(value: Any) -> None:
    """The seconds are a number from 0 to a day."""
    seconds = wait_of(new_policy(broken(value), None), failed())
    assert type(seconds) is float and math.isfinite(seconds) and 0 <= seconds <= LONGEST


@pytest.mark.parametrize(
    "stop, attempts",
    [
        (tenacity.stop_after_attempt(1), 1),
        (tenacity.stop_after_attempt(4), 4),
        (tenacity.stop_after_attempt(9) | tenacity.stop_after_attempt(3), 3),
        (tenacity.stop_after_attempt(9) & tenacity.stop_after_attempt(3), 9),
        (tenacity.stop_any(tenacity.stop_after_attempt(5), tenacity.stop_never), 5),
        (tenacity.stop_all(tenacity.stop_after_attempt(5), tenacity.stop_after_attempt(6)), 6),
        (lambda state: state.attempt_number >= 2, 2),
        (lambda state: "yes" if state.attempt_number >= 2 else "", 2),
    ],
    ids=["1", "4", "either", "both", "any", "all", "a function", "a truthy value"],
)
def test_the_series_ends_where_the_stop_strategy_says(stop: Any, attempts: int) -> None:
    """The series ends with the last attempt's error, and without another wait."""
    series = Series(new_policy(tenacity.wait_fixed(1), stop))
    last = series.run(lost)
    assert len(series.errors) == attempts and last is series.errors[-1]
    assert series.waits == [1] * (attempts - 1)


def test_a_stop_by_time_measures_the_series(monkeypatch: pytest.MonkeyPatch) -> None:
    """``stop_after_delay`` and ``stop_before_delay`` end it when that time is over, or would be after the wait."""
    stops: List[Any] = [(tenacity.stop_after_delay(10), 11)]
    if hasattr(tenacity, "stop_before_delay"):  # since 8.3
        stops.append((tenacity.stop_before_delay(10), 10))
    for stop, attempts in stops:
        clock = itertools.count(0, 1.0)
        monkeypatch.setattr(time, "monotonic", lambda clock=clock: next(clock))
        series = Series(new_policy(tenacity.wait_fixed(0.5), stop))
        series.run(lost)
        # The clock advances by a second with each look: one at the start, one for each failure.
        assert abs(len(series.errors) - attempts) <= 1 and len(series.errors) > 8


def test_a_stop_by_event_ends_the_series() -> None:
    """``stop_when_event_set`` uses the user's own event."""
    event = threading.Event()
    series = Series(new_policy(tenacity.wait_none(), tenacity.stop_when_event_set(event)))
    series.before_attempt[3] = lambda state: event.set()
    assert series.run(lost) is series.errors[2] and len(series.errors) == 3


@pytest.mark.parametrize("value", [ValueError("x"), ZeroDivisionError(), SystemExit(1)], ids=lambda e: type(e).__name__)
def test_a_stop_strategy_that_raises_stops_nothing(value: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The attempts continue, and the log has the reason."""
    series = Series(new_policy(tenacity.wait_none(), broken(value)), most=4)
    with caplog.at_level(logging.ERROR, "cometchat"):
        series.run(lost)
    assert len(series.errors) == 4
    assert "reconnect_stop" in caplog.text and "Traceback" in caplog.text


# The course of a series.


def test_attempts_and_waits_take_turns() -> None:
    """An attempt, the wait with its number, its end, the next attempt."""
    series = Series(new_policy(tenacity.wait_fixed(1), tenacity.stop_after_attempt(3)))
    series.run(lost)
    assert series.events == [
        *("attempt 1", "wait 1", "woken"),
        *("attempt 2", "wait 2", "woken"),
        "attempt 3",
    ]


def test_an_attempt_that_is_not_wanted_any_more_ends_the_series() -> None:
    """After ``disconnect()`` there is no wait after a failure."""
    series = Series(new_policy(tenacity.wait_fixed(1), None), most=2)
    last = series.run(lost)
    assert last is series.errors[1] and series.waits == [1]


def test_each_series_counts_for_itself() -> None:
    """Two series of one policy, one inside the other, do not affect each other's count."""
    policy = new_policy(tenacity.wait_incrementing(1, 1), tenacity.stop_after_attempt(3))
    outer, inner = Series(policy), Series(policy)
    outer.before_attempt[2] = lambda state: inner.run(lost) and None
    outer.run(lost)
    assert outer.waits == inner.waits == [1, 2]


def test_an_event_that_is_set_ends_the_wait_at_once() -> None:
    """A wait of a day ends as soon as the event is set, before it or from another thread."""
    wake = Wakeup()
    series = Series(new_policy(tenacity.wait_fixed(LONGEST), tenacity.stop_after_attempt(3)), wake=wake)
    waiting = threading.Event()

    def set_soon() -> None:
        waiting.wait(10)
        wake.set()

    series.before_attempt[1] = lambda state: waiting.set()
    thread = threading.Thread(target=set_soon)
    began = time.monotonic()
    thread.start()
    series.run(lost)
    thread.join(10)
    assert not thread.is_alive() and len(series.errors) == 3
    assert time.monotonic() - began < 5


# The count starts again.


def restart_at(attempt: int, series: Series) -> None:
    """Lose a connection in this attempt that had been up for a minute."""
    series.before_attempt[attempt] = lambda state: series.series.count_loss(60.0, restart=True)


def test_after_a_restart_the_waits_are_the_first_ones_again() -> None:
    """The loss of a connection that lived is the first failure, for a strategy that counts."""
    series = Series(new_policy(tenacity.wait_incrementing(1, 1), tenacity.stop_after_attempt(9)))
    restart_at(4, series)
    series.run(lost)
    assert series.waits[:6] == [1, 2, 3, 1, 2, 3]


def test_after_a_restart_the_default_wait_is_at_most_a_second() -> None:
    """The default wait begins with at most a second again."""
    for _ in range(50):
        series = Series(new_policy(None, None), most=7)
        restart_at(6, series)
        series.run(lost)
        assert series.waits[5] <= 1


def test_after_a_restart_the_stop_strategies_count_again() -> None:
    """``stop_after_attempt(3)`` gives three attempts after the loss, and ``stop_after_attempt(1)`` gives one."""
    series = Series(new_policy(tenacity.wait_none(), tenacity.stop_after_attempt(3)))
    restart_at(3, series)
    series.run(lost)
    assert len(series.errors) == 3 + 3
    series = Series(new_policy(tenacity.wait_none(), tenacity.stop_after_attempt(1)))
    restart_at(1, series)
    series.run(lost)
    assert len(series.errors) == 1 + 1


def test_after_a_restart_the_time_starts_again() -> None:
    """For ``stop_after_delay``, a connection's life is not a part of the series.

    The series starts now, without a sleep.
    """
    series = Series(new_policy(tenacity.wait_none(), tenacity.stop_after_delay(10)), most=8)

    def lose(state: tenacity.RetryCallState) -> None:
        state.start_time -= 1000
        state.idle_for = 500
        series.series.count_loss(990.0, restart=True)
        assert (state.attempt_number, state.idle_for) == (0, 0)

    series.before_attempt[7] = lose
    series.run(lost)
    assert len(series.errors) == 8


@pytest.mark.parametrize("seconds, attempts", [(10, 3), (0.5, 2)])
def test_a_short_life_does_not_count_as_attempts(seconds: float, attempts: int) -> None:
    """If a connection was too short to start the count again, its seconds still do not count as attempts."""
    series = Series(new_policy(tenacity.wait_none(), tenacity.stop_after_delay(seconds)), most=3)

    def lose(state: tenacity.RetryCallState) -> None:
        state.start_time -= 100
        series.series.count_loss(99.0, restart=False)
        assert state.attempt_number == 2

    series.before_attempt[2] = lose
    series.run(lost)
    assert len(series.errors) == attempts


def test_the_log_names_the_client(caplog: pytest.LogCaptureFixture) -> None:
    """A process may have several clients with different strategies: each record names the client."""
    policy = new_policy(broken(ValueError("x")), broken(ValueError("y")))
    with caplog.at_level(logging.ERROR, "cometchat"):
        Series(policy, most=2).run(lost)
    assert len(caplog.records) == 2
    assert {record.getMessage().split("] ")[0] for record in caplog.records} == {"[client 1"}
