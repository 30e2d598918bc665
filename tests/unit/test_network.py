"""The network's return: the kernel's messages, the notified threads, and the effect on a wait."""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import queue
import select
import socket
import struct
import threading
from types import SimpleNamespace
from typing import Any, Callable, Iterator, List, Optional, Tuple

import pytest
import tenacity
from no_threads import no_threads
from test_reconnect import FakeWake

from cometchat import CometChatException, ConnectionException, RateLimitException
from cometchat._runtime._threads import Wakeup
from cometchat._runtime.connection import Generation, ReconnectPolicy
from cometchat._runtime.connection._network_watch import Network
from cometchat._runtime.connection._reconnect_policy import SOONEST, RetrySeries
from cometchat._transport.net import NetworkChanges
from cometchat._transport.net._host_probe import LOOK

DEADLINE = 10.0

needs_netlink = pytest.mark.skipif(not hasattr(socket, "AF_NETLINK"), reason="netlink is Linux's")


def message(kind: int, payload: bytes = b"") -> bytes:
    data = struct.pack("=LHHLL", 16 + len(payload), kind, 0, 0, 0) + payload
    return data + bytes(-len(data) % 4)


def link(index: int, flags: int) -> bytes:
    return message(16, struct.pack("=BxHiII", 0, 1, index, flags, 0))


@pytest.fixture
def changes() -> Iterator[NetworkChanges]:
    try:
        made = NetworkChanges()
    except OSError as error:
        pytest.skip(f"no netlink here: {error}")
    yield made
    made.close()


@pytest.mark.parametrize("missing", [(socket, "AF_NETLINK"), (select, "poll")], ids=["netlink", "poll"])
def test_a_system_that_can_not_report_changes(missing: Tuple[Any, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS and Windows have no netlink, and eventlet takes ``poll()`` away: the wait was an error in the log then."""
    monkeypatch.delattr(*missing, raising=False)
    with pytest.raises(OSError):
        NetworkChanges()


@needs_netlink
def test_which_messages_tell_of_a_return(changes: NetworkChanges) -> None:
    """A new address, a new route and a link that comes up do. A removed one, and a link that stays up, do not."""
    up, down = 0x41, 0x01
    assert changes.has_return(message(20)) and changes.has_return(message(24))
    assert not changes.has_return(message(21)) and not changes.has_return(message(25))
    assert not changes.has_return(link(3, down))
    assert changes.has_return(link(3, up))
    assert not changes.has_return(link(3, up))
    assert not changes.has_return(link(3, down) + message(21))
    assert changes.has_return(link(4, down) + link(3, up))


@needs_netlink
@pytest.mark.parametrize(
    "data", [b"", b"\0" * 16, b"\x01", message(16), message(16, b"\0" * 3), link(1, 0x40)[:-4], b"\xff" * 64]
)
def test_broken_messages_are_ignored(changes: NetworkChanges, data: bytes) -> None:
    """No length in a message leads out of the data."""
    assert not changes.has_return(data)


@needs_netlink
def test_stop_ends_a_wait(changes: NetworkChanges) -> None:
    """stop() works from another thread, and before the wait."""
    outcome: List[bool] = []
    thread = threading.Thread(target=lambda: outcome.append(changes.wait()), name="test-wait")
    thread.start()
    changes.stop()
    thread.join(DEADLINE)
    assert outcome == [False]
    changes.stop()
    assert not changes.wait()


class FakeChanges:
    """Returns the results of the test."""

    def __init__(self) -> None:
        self.said: queue.Queue[bool] = queue.Queue()
        self.closed = threading.Event()

    def wait(self) -> bool:
        return self.said.get(timeout=DEADLINE)

    def stop(self) -> None:
        self.said.put(False)

    def close(self) -> None:
        self.closed.set()


def test_all_waits_share_one_thread_that_ends_with_the_last() -> None:
    """Two waiting threads share one listening thread. It ends with the last one, and the next one starts it again."""
    made: List[FakeChanges] = []

    def new() -> FakeChanges:
        made.append(FakeChanges())
        return made[-1]

    network = Network(new)
    for expected in (1, 2):
        one, other = threading.Event(), threading.Event()
        with network.watched(lambda waits: one.set()):
            with network.watched(lambda waits: other.set()):
                made[-1].said.put(True)
                assert one.wait(DEADLINE) and other.wait(DEADLINE)
            one.clear()
            other.clear()
            made[-1].said.put(True)
            assert one.wait(DEADLINE) and not other.is_set()
        assert made[-1].closed.wait(DEADLINE)
        assert len(made) == expected


def test_a_log_that_raises_does_not_end_the_watch() -> None:
    """The application's filter raises. Each wait still ends, and the next watch listens again."""

    class Raises(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            raise OSError("disk full")

    logger, raises = logging.getLogger("cometchat.connection"), Raises()
    before = logger.level
    made: List[FakeChanges] = []

    def new() -> FakeChanges:
        made.append(FakeChanges())
        return made[-1]

    network = Network(new)
    logger.addFilter(raises)
    logger.setLevel(logging.DEBUG)
    try:
        for expected in (1, 2):
            told = threading.Event()
            with network.watched(lambda waits: told.set()):
                for _ in range(2):
                    told.clear()
                    made[-1].said.put(True)
                    assert told.wait(DEADLINE)
            assert made[-1].closed.wait(DEADLINE)
            assert len(made) == expected
    finally:
        logger.removeFilter(raises)
        logger.setLevel(before)


def test_a_watch_that_raises_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    """The system's socket fails. This watch is over and logged, and the next wait starts another."""
    made: List[FakeChanges] = []
    failed: List[threading.Thread] = []

    class Fails(FakeChanges):
        def wait(self) -> bool:
            failed.append(threading.current_thread())
            raise OSError(errno.ENOBUFS, "No buffer space available")

    def new() -> FakeChanges:
        made.append(FakeChanges() if made else Fails())
        return made[-1]

    network = Network(new)
    with network.watched(lambda waits: None):
        assert made[0].closed.wait(DEADLINE)
    told = threading.Event()
    with network.watched(lambda waits: told.set()):
        made[1].said.put(True)
        assert told.wait(DEADLINE)
    failed[0].join(DEADLINE)
    assert "no longer watched" in caplog.text


@pytest.mark.parametrize("error", [OSError("no netlink on this system"), MemoryError()], ids=repr)
def test_a_system_that_says_nothing(error: Exception) -> None:
    """The wait continues without the messages. The next wait asks the system again."""
    asked: List[None] = []

    def new() -> Any:
        asked.append(None)
        raise error

    network = Network(new)
    for count in (1, 2):
        with network.watched(lambda waits: pytest.fail("nothing has returned")):
            assert len(asked) == count


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()], ids=repr)
def test_a_watch_whose_thread_can_not_be_started(error: Exception) -> None:
    """The wait continues without it. The next wait starts another."""
    made: List[FakeChanges] = []

    def new() -> FakeChanges:
        made.append(FakeChanges())
        return made[-1]

    network = Network(new)
    with no_threads(error=error), network.watched(lambda waits: pytest.fail("nothing watches")):
        assert made[0].closed.is_set()
    told = threading.Event()
    with network.watched(lambda waits: told.set()):
        made[1].said.put(True)
        assert told.wait(DEADLINE)


class Watched:
    """Stands in for the network, and returns as soon as it is watched, or after a time. Then it returns once more."""

    def __init__(self, waits: int = 1, before: Callable[[], object] = lambda: None) -> None:
        self.count = 0
        self._waits = waits
        self._before = before

    @contextlib.contextmanager
    def __call__(self, on_return: Callable[[int], None]) -> Iterator[None]:
        self.count += 1
        self._before()
        on_return(self._waits)
        on_return(self._waits)
        yield


def caused_by(cause: BaseException) -> CometChatException:
    error = ConnectionException("WS_CONNECTION_FAIL", "it failed")
    error.__cause__ = cause
    return error


#: Failures of an attempt, without an answer and with one.
SILENCE, ANSWER = caused_by(TimeoutError()), ConnectionException("WS_CONNECTION_FAIL", "The server answered 503.")


@contextlib.contextmanager
def unwatched(on_return: Callable[[int], None]) -> Iterator[None]:
    """Never call the function, like a network that stays away."""
    yield


def new_policy(
    wait: Any, jitter: float = 0.1, watch: Any = unwatched, probe: Callable[[Any], Any] = lambda failure: None
) -> ReconnectPolicy:
    return ReconnectPolicy(wait, None, watch, lambda: "client 1", lambda: jitter, probe)


def new_series(policy: ReconnectPolicy, wake: Wakeup, **more: Any) -> RetrySeries:
    """Return a series of the policy that ``wake`` ends. ``more`` has other questions to its state."""
    generation = Generation(1, threading.RLock())
    generation.wake = wake
    after_wait = more.pop("after_wait", lambda: None)
    defaults = {
        "is_current": lambda of: True,
        "rearm": lambda of: None,
        "take_early_wakeup": lambda: True,
        "signal": lambda of, signal, only_in: after_wait(),
    }
    state: Any = SimpleNamespace(**{**defaults, **more})
    return RetrySeries(policy, state, generation, before_wait=lambda state: None)


def wait_once(policy: ReconnectPolicy, error: Exception) -> Tuple[int, float]:
    """Fail once, then succeed. Returns how often the wake-up was rearmed, and the seconds of the wait."""
    rearmed: List[bool] = []
    wake = FakeWake()
    policy.clock = wake.clock

    def rearm(generation: Generation) -> None:
        assert generation.wake is wake
        rearmed.append(wake.is_set())
        wake.clear()

    outcomes = [error, None]
    for attempt in new_series(policy, wake, after_wait=wake.set, rearm=rearm).attempts():
        with attempt:
            outcome = outcomes.pop(0)
            if outcome is not None:
                wake.clear()
                raise outcome
    assert outcomes == [] and rearmed in ([], [True])
    return len(rearmed), wake.clock()


def test_the_return_ends_a_long_wait() -> None:
    """A wait of an hour is over within a second."""
    watched = Watched()
    policy = new_policy(tenacity.wait_fixed(3600), 0.1, watched)
    rearmed, seconds = wait_once(policy, SILENCE)
    assert (rearmed, watched.count) == (1, 1) and SOONEST <= seconds < 1


def fail_once(watched: Watched, wake: FakeWake, failure: Exception) -> None:
    """Make a first attempt that fails, and a second one that succeeds, with an hour between them."""
    for attempt in new_series(new_policy(tenacity.wait_fixed(3600), 0.1, watched), wake).attempts():
        with attempt:
            if not wake.waits:
                raise failure


@pytest.mark.parametrize(
    "failure",
    [
        caused_by(TimeoutError("timed out")),
        caused_by(OSError(errno.ENETUNREACH, "Network is unreachable")),
        caused_by(socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")),
        ConnectionException("ERR_PONG_TIMEOUT", "No pong came."),
    ],
    ids=["no answer", "no route", "no name server", "no pong"],
)
def test_the_network_matters_after_silence(failure: Exception) -> None:
    """There was no answer: a new link, address or route may have been the missing part."""
    watched, wake = Watched(), FakeWake()
    fail_once(watched, wake, failure)
    assert watched.count == 1 and max(filter(None, wake.waits)) <= 3600


@pytest.mark.parametrize(
    "failure",
    [
        caused_by(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")),
        caused_by(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")),
        ConnectionException("WS_CONNECTION_FAIL", "The server answered 503."),
        ConnectionException("WS_CONNECTION_FAIL", "The server closed the connection."),
    ],
    ids=["refused", "reset", "status", "close frame"],
)
def test_the_network_does_not_matter_after_an_answer(failure: Exception) -> None:
    """The service refuses. A container's network on this machine is not a reason for an attempt."""
    watched, wake = Watched(), FakeWake()
    fail_once(watched, wake, failure)
    assert watched.count == 0 and wake.waits == [3600]


@pytest.mark.parametrize("waits, rest", [(1, SOONEST), (50, SOONEST), (1000, 10.0)])
def test_many_clients_return_one_after_the_other(waits: int, rest: float) -> None:
    """When the network returns, the clients of a process try again within a time that grows with their number."""
    wake = FakeWake()
    policy = new_policy(tenacity.wait_fixed(3600), 1.0, Watched(waits))
    for attempt in new_series(policy, wake).attempts():
        with attempt:
            if not wake.waits:
                raise SILENCE
    assert wake.waits[-1] == pytest.approx(max(rest, 2 * SOONEST), abs=0.5)


def test_a_return_after_a_long_time() -> None:
    """Even then the attempt is not made at once, because other processes see the network's return too."""
    wake = FakeWake()
    policy = new_policy(tenacity.wait_fixed(3600), 1.0, Watched(before=lambda: wake.wait(100)))
    policy.clock = wake.clock
    for attempt in new_series(policy, wake, rearm=lambda of: wake.clear()).attempts():
        with attempt:
            if not wake.waits:
                raise SILENCE
    assert wake.waits == [100, 3600, SOONEST]


def test_a_network_that_comes_and_goes_ends_a_few_waits_only() -> None:
    """The budget is that of ``connect()``: once it is empty, the wait lasts."""
    watched, wake, budget = Watched(), FakeWake(), [True, True, False, False]
    policy = new_policy(tenacity.wait_fixed(3600), 0.1, watched)
    series = new_series(policy, wake, take_early_wakeup=lambda: budget.pop(0), rearm=lambda of: wake.clear())
    for attempt in series.attempts():
        with attempt:
            if budget:
                raise SILENCE
    assert watched.count == 3
    # Two waits that end, with their short rest. Then a whole one.
    assert [seconds for seconds in wake.waits if seconds == 3600] == [3600] * 3
    assert wake.waits[-1] == 3600 and len(wake.waits) == 5


def test_an_answer_of_the_host_is_part_of_the_budget() -> None:
    """Without budget the host is asked further, until the wait is over."""
    reach, wake = FakeReach(1), FakeWake()
    policy = policy_with(reach, 2 * SOONEST + 0.1)
    policy.clock = wake.clock
    for attempt in new_series(policy, wake, take_early_wakeup=lambda: False).attempts():
        with attempt:
            if not reach.looks:
                raise ANSWER
    assert wake.clock() == pytest.approx(2 * SOONEST + 0.1) and reach.looks > 1


def test_a_short_wait_is_not_watched() -> None:
    """A short wait is over soon in any case."""
    watched = Watched()
    policy = new_policy(tenacity.wait_fixed(0.01), 0.1, watched)
    assert wait_once(policy, ANSWER) == (0, 0.01) and watched.count == 0
    assert 2 * SOONEST > 0.01


def test_a_wait_that_the_server_asked_for_is_obeyed() -> None:
    """Retry-After counts, for any change of the network."""

    asked = RateLimitException("ERR_TOO_MANY_REQUESTS", "later", retry_after=0.01)

    watched = Watched()
    policy = new_policy(tenacity.wait_fixed(2 * SOONEST + 0.01), 0.0, watched)
    assert wait_once(policy, asked) == (0, 2 * SOONEST + 0.01) and watched.count == 0


class FakeReach:
    """Is back at this look, or never for None."""

    every = LOOK

    def __init__(self, back_at: Optional[int]) -> None:
        self.looks = 0
        self.closed = False
        self.looked = threading.Event()
        self._back_at = back_at

    def is_back(self) -> bool:
        self.looks += 1
        self.looked.set()
        return self.looks == self._back_at

    def close(self) -> None:
        self.closed = True


def policy_with(reach: FakeReach, seconds: float, watch: Any = unwatched) -> ReconnectPolicy:
    """Return a policy that waits this long, and probes during the wait."""
    return new_policy(tenacity.wait_fixed(seconds), watch=watch, probe=lambda failure: reach)


def test_an_answer_of_the_host_ends_a_long_wait() -> None:
    """Like the machine's own network, it ends a wait of an hour."""
    reach = FakeReach(3)
    rearmed, seconds = wait_once(policy_with(reach, 3600), ANSWER)
    assert (rearmed, reach.looks, reach.closed) == (1, 3, True) and seconds >= 2 * LOOK


def test_another_network_does_not_end_a_wait_in_which_the_host_is_asked() -> None:
    """Containers start and stop on this machine: only the host's own answer counts."""
    reach, watched = FakeReach(None), Watched()
    rearmed, seconds = wait_once(policy_with(reach, 2 * SOONEST + 0.1, watch=watched), ANSWER)
    assert rearmed == 0 and seconds == pytest.approx(2 * SOONEST + 0.1)
    assert (watched.count, reach.closed) == (0, True)


def test_a_host_that_never_answers_is_asked_until_the_wait_is_over() -> None:
    """Then the wait has the strategy's length."""
    reach = FakeReach(None)
    rearmed, seconds = wait_once(policy_with(reach, 2 * SOONEST + 0.1), ANSWER)
    assert rearmed == 0 and seconds == pytest.approx(2 * SOONEST + 0.1)
    assert reach.looks == math.ceil((2 * SOONEST + 0.1) / LOOK) and reach.closed


def test_the_user_ends_a_wait_in_which_the_host_is_asked() -> None:
    """The wait ends at once, like any other wait, and no socket stays open."""
    reach, wake, ended = FakeReach(None), Wakeup(), threading.Event()

    def attempts() -> None:
        with contextlib.suppress(ConnectionException):
            series = new_series(policy_with(reach, 3600), wake, is_current=lambda of: not wake.is_set())
            for attempt in series.attempts():
                with attempt:
                    raise ANSWER
        ended.set()

    thread = threading.Thread(target=attempts, name="test-attempts")
    thread.start()
    assert reach.looked.wait(DEADLINE)
    wake.set()
    assert ended.wait(DEADLINE)
    thread.join(DEADLINE)
    assert reach.closed and reach.looks < 3


def test_no_host_is_probed_during_a_servers_wait_or_a_short_one() -> None:
    """Retry-After counts, and a short wait is over soon in any case."""

    asked = RateLimitException("ERR_TOO_MANY_REQUESTS", "later", retry_after=0.01)

    reach = FakeReach(1)
    assert wait_once(policy_with(reach, 2 * SOONEST + 0.01), asked) == (0, 2 * SOONEST + 0.01)
    assert wait_once(policy_with(reach, 0.01), ANSWER) == (0, 0.01)
    assert reach.looks == 0


def test_the_probe_is_that_of_the_last_failure() -> None:
    """After an answer in between, no address is probed: one attempt does not use the addresses of another."""
    failures = [SILENCE, ANSWER, None]
    seen: List[Any] = []
    wake = FakeWake()
    policy = new_policy(tenacity.wait_fixed(3600), probe=seen.append)
    for attempt in new_series(policy, wake).attempts():
        with attempt:
            failure = failures[len(seen)]
            if failure is not None:
                raise failure
    assert seen == failures[:2] and wake.waits == [3600, 3600]
