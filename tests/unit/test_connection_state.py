"""The current generation, the status, and the woken threads, with a clock of the tests, and without a socket."""

from __future__ import annotations

import itertools
import threading
from types import SimpleNamespace
from typing import Any, Callable, Dict, FrozenSet, List, Optional, Tuple

import pytest
from interruption import Interruption
from listening import full_registry

from cometchat import CometChatException, ConnectionException
from cometchat._protocol._delivery import Delivery
from cometchat._protocol._failures import Jwt
from cometchat._protocol._frames import EventKind, Heartbeat, Ping
from cometchat._protocol._states import STATUS, UP, IllegalSignal, Phase, Signal, Step
from cometchat._runtime._lifecycle import Lifecycle
from cometchat._runtime._threads import ServiceThread, Wakeup
from cometchat._runtime.connection import ConnectionState, ConnectionThread, Generation
from cometchat._runtime.connection import _state as state_module
from cometchat._runtime.connection._counters import Counters
from cometchat._runtime.delivery import EventQueue
from cometchat._runtime.delivery._queue import Event, Stored

DEADLINE = 10.0

ERROR = ConnectionException("WS_CONNECTION_FAIL", "it broke")
REFUSED = CometChatException("WS_AUTH_FAIL", "no")

#: How the connection thread gets into each phase, after the begin of a generation: (signal, with this error).
WAYS: Dict[Phase, List[Tuple[Signal, Optional[CometChatException]]]] = {
    Phase.OPENING: [],
    Phase.AUTHENTICATING: [(Signal.OPENED, None)],
    Phase.RENEWING: [(Signal.OPENED, None), (Signal.STALE, None)],
    Phase.ONLINE: [(Signal.OPENED, None), (Signal.ACCEPTED, None)],
    Phase.THROTTLED: [(Signal.OPENED, None), (Signal.ACCEPTED, None), (Signal.THROTTLED, None)],
    Phase.LOST: [(Signal.OPENED, None), (Signal.ACCEPTED, None), (Signal.LOST, ERROR)],
    Phase.BACKOFF: [(Signal.FAILED, ERROR)],
}

WANTED = sorted(WAYS, key=str)


class House:
    """A state, with a real queue behind it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.registry = full_registry()
        self.events = EventQueue(self.registry, 100)
        self.counters = Counters(wall_clock=lambda: self.now)
        self.is_throttled = no
        account: Any = SimpleNamespace(client_name=lambda: "client 1", is_throttled=lambda: self.is_throttled())
        self.state = ConnectionState(self.registry, self.events, self.counters, account, lambda: self.now)

    def begin(self) -> Generation:
        """Begin a generation, and give it a thread, which does not run."""
        generation = self.state.begin()
        assert generation is not None
        generation.thread = ServiceThread("test-connection", int, wanted=bool, wait=abs)
        return generation

    def in_phase(self, phase: Phase) -> Generation:
        """Begin a generation, and bring it to a phase."""
        generation = self.begin()
        for signal, error in WAYS[phase]:
            assert self.state.signal(generation, signal, error) is not None
        assert self.state.phase(generation) is phase
        return generation

    def posted(self) -> List[Event]:
        """Return the events for the dispatcher."""
        taken: List[Event] = []
        while True:
            some = self.events.take()
            if not some:
                return taken
            taken += [event for event in some if isinstance(event, Event)]

    def names(self) -> List[str]:
        return [event.method for event in self.posted()]


@pytest.fixture
def house() -> House:
    return House()


def yes() -> bool:
    return True


def no() -> bool:
    return False


class FakeSocket:
    """Counts its interrupts."""

    def __init__(self) -> None:
        self.interrupts = 0

    def interrupt(self) -> None:
        self.interrupts += 1


# Which generation is current.


def test_a_generation_begins_once(house: House) -> None:
    """A second ``connect()`` gets the running one, and starts no thread for it."""
    assert (house.state.number, house.state.wanted) == (0, False)
    generation = house.begin()
    assert house.state.begin() is None
    assert house.state.newest is generation and house.state.is_current(generation)
    assert generation.number == house.state.number == house.events.generation == 1


@pytest.mark.parametrize("call", ["connect", "disconnect"])
def test_an_interrupted_call_leaves_no_connection_without_a_thread(call: str) -> None:
    """A KeyboardInterrupt comes at any point. The next ``connect()`` starts a thread, if the old one ends."""
    for at in itertools.count(1):
        house = House()
        lifecycle = new_lifecycle(house)
        calls: Dict[str, Callable[[], None]] = {
            "connect": lambda: lifecycle.connect(0),
            "disconnect": lifecycle.disconnect,
        }
        if call == "disconnect":
            house.in_phase(Phase.ONLINE)
        if not Interruption(at).happens_in(calls[call]):
            assert at > 10
            return
        before = house.state.newest
        has_thread = before is not None and before.thread is not None and house.state.is_current(before)
        lifecycle.connect(0)
        assert house.state.newest is not None and house.state.newest.thread is not None, at
        assert house.state.is_current(house.state.newest), at
        assert (house.state.newest is before) is has_thread, at


@pytest.mark.parametrize("signal", [Signal.DISCONNECT, Signal.CLOSE], ids=str)
def test_a_second_end_does_what_an_interrupted_one_has_left(signal: Signal) -> None:
    """A KeyboardInterrupt comes at any point of the end. The second one frees the thread and tells the listeners."""
    for at in itertools.count(1):
        house = House()
        generation = house.in_phase(Phase.ONLINE)
        house.posted()
        came = Interruption(at).happens_in(lambda: house.state.end(signal))
        house.state.end(signal)
        assert house.state.status == "disconnected" and not house.state.is_current(generation), at
        assert generation.wake.is_set() and "on_disconnected" in house.names(), at
        if not came:
            assert at > 10
            return


def test_the_number_grows_with_each_connect_and_each_disconnect(house: House) -> None:
    """So an event in between belongs to neither."""
    numbers = []
    for _ in range(3):
        house.state.begin()
        numbers.append(house.state.number)
        house.state.end(Signal.DISCONNECT)
        numbers.append(house.state.number)
    house.state.end(Signal.DISCONNECT)
    numbers.append(house.state.number)
    assert numbers == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("phase", WANTED, ids=str)
def test_a_refused_login_ends_each_phase_and_says_why(house: House, phase: Phase) -> None:
    """Promise 8 holds for any refused call: the reason, then ``on_disconnected``. connect() can raise it."""
    generation = house.in_phase(phase)
    house.posted()
    assert house.state.end_login(REFUSED) is generation
    # A listener of a lost connection already knows that it is disconnected.
    assert house.names() == ["on_connection_error", *(["on_disconnected"] if phase is not Phase.LOST else [])]
    assert not house.state.wanted and not house.state.is_current(generation)
    assert house.state.status == "disconnected"
    assert house.state.why_stopped() == (REFUSED, REFUSED)
    assert house.state.end_login(REFUSED) is None and house.names() == []


def test_the_connection_of_a_refused_login_posts_nothing_more(house: House) -> None:
    """Its thread may still route frames of the user who was logged out. The queue refuses their events."""
    number = house.in_phase(Phase.ONLINE).number
    house.state.end_login(REFUSED)
    house.posted()
    event = Delivery("message", "on_typing_started", (None,), EventKind.EPHEMERAL)
    assert not house.events.post_ephemeral([(event, 1)], number)
    assert not house.events.post_stored(event, number, 1, Stored(None, None))
    assert house.posted() == []


def test_a_refused_login_without_a_connection_has_nothing_to_end(house: House) -> None:
    assert house.state.end_login(REFUSED) is None
    house.state.end(Signal.CLOSE)
    assert house.state.end_login(REFUSED) is None and house.names() == []


AGES: Dict[str, Callable[[ConnectionState], object]] = {
    "after disconnect()": lambda state: state.end(Signal.DISCONNECT),
    "after another connect()": lambda state: (state.end(Signal.DISCONNECT), state.begin()),
    "in another backoff": lambda state: (
        state.end(Signal.DISCONNECT),
        state.begin(),
        state.signal(state.newest, Signal.FAILED, ERROR),
    ),
    "after close()": lambda state: state.end(Signal.CLOSE),
}


@pytest.mark.parametrize("age", sorted(AGES))
@pytest.mark.parametrize("phase", WANTED, ids=str)
def test_reports_of_an_old_generation_change_nothing(house: House, phase: Phase, age: str) -> None:
    """Each question is answered with None or False. Its thread ends, and reports nothing."""
    old = house.in_phase(phase)
    AGES[age](house.state)
    house.posted()
    before = house.state.number, house.state.status, house.state.last_error, house.counters.stats(
        messages_fetched=0, events_queued=0, events_dropped=0
    )
    for signal in Signal:
        for error in (None, ERROR):
            assert house.state.signal(old, signal, error) is None
    assert house.state.accept(old) is False
    assert house.state.phase(old) is None and not house.state.is_current(old)
    house.state.fail(old, ERROR)
    old.wake.set()
    house.state.rearm(old)
    assert old.wake.is_set()
    assert house.posted() == []
    assert before == (
        house.state.number,
        house.state.status,
        house.state.last_error,
        house.counters.stats(messages_fetched=0, events_queued=0, events_dropped=0),
    )


def test_a_generation_that_was_given_up_is_not_current(house: House) -> None:
    """A refused credential ends it, though its number is still the newest: its thread must end."""
    generation = house.in_phase(Phase.OPENING)
    step = house.state.signal(generation, Signal.REFUSED, REFUSED)
    assert step is not None and step.new is Phase.IDLE
    assert not house.state.is_current(generation) and not house.state.wanted
    assert house.state.why_stopped() == (REFUSED, REFUSED)
    assert house.state.begin() not in (None, generation) and house.state.why_stopped() == (None, None)


def test_nothing_begins_after_close(house: House) -> None:
    """``ERR_CLIENT_CLOSED`` is raised, and a second end changes and notifies nothing."""
    generation = house.in_phase(Phase.ONLINE)
    assert house.state.end(Signal.CLOSE) is generation
    house.posted()
    with pytest.raises(CometChatException) as caught:
        house.state.begin()
    assert caught.value.code == "ERR_CLIENT_CLOSED" and house.state.closed
    assert house.state.end(Signal.CLOSE) is house.state.end(Signal.DISCONNECT) is generation
    assert house.state.closed and house.posted() == []


# Signals.


def test_a_signal_that_fits_one_phase_only_is_a_no_op_in_another(house: House) -> None:
    """The step says that it is current, and that nothing has changed."""
    generation = house.in_phase(Phase.ONLINE)
    house.posted()
    step = house.state.signal(generation, Signal.RETRY, only_in=Phase.LOST)
    assert step is not None and step == Step(Phase.ONLINE, Phase.ONLINE)
    assert house.posted() == [] and house.state.status == "connected"


def test_a_signal_that_the_phase_has_no_row_for_changes_nothing(house: House) -> None:
    """Such a signal is a mistake of this SDK: it is raised, and the lock is free afterwards."""
    generation = house.in_phase(Phase.OPENING)
    house.posted()
    with pytest.raises(IllegalSignal):
        house.state.signal(generation, Signal.ACCEPTED)
    assert house.state.phase(generation) is Phase.OPENING and house.posted() == []
    free = threading.Thread(target=lambda: house.state.phase(generation), name="test-lock")
    free.start()
    free.join(DEADLINE)
    assert not free.is_alive()


def test_the_events_of_a_life_are_posted_in_order(house: House) -> None:
    """Each belongs to its generation, except ``on_disconnected``, which ends every generation."""
    generation = house.in_phase(Phase.LOST)
    house.state.signal(generation, Signal.RETRY)
    posted = house.posted()
    assert [event.method for event in posted] == [
        *("on_connecting", "on_connected", "on_connection_error", "on_disconnected", "on_connecting")
    ]
    assert [event.generation for event in posted] == [1, 1, 1, None, 1]
    assert [event.args for event in posted if event.args] == [(ERROR,)]


def test_the_newest_error_and_its_phase_are_kept(house: House) -> None:
    """Both are kept until the next ``connect()``. ``disconnect()`` keeps the error, and is not affected by it."""
    generation = house.in_phase(Phase.BACKOFF)
    assert (house.state.last_error, house.state.failed_in) == (ERROR, Phase.OPENING)
    assert house.state.why_stopped() == (ERROR, None) and house.state.error_that_ended(generation) is None
    house.state.signal(generation, Signal.GAVE_UP)
    assert house.state.why_stopped() == (ERROR, ERROR) and house.state.error_that_ended(generation) is ERROR
    house.state.end(Signal.DISCONNECT)
    assert house.state.why_stopped() == (ERROR, None)
    house.state.begin()
    assert (house.state.last_error, house.state.failed_in) == (None, None)


def test_connect_ends_a_wait_and_no_more_than_that(house: House) -> None:
    """In a backoff the wait ends, and the thread makes the next attempt. In an attempt nothing changes."""
    generation = house.in_phase(Phase.BACKOFF)
    assert house.state.begin() is None
    assert generation.wake.is_set() and house.state.phase(generation) is Phase.OPENING
    generation.wake.clear()
    assert house.state.begin() is None and not generation.wake.is_set()


@pytest.mark.parametrize("phase", WANTED, ids=str)
def test_a_wait_is_rearmed_only_while_there_is_one(house: House, phase: Phase) -> None:
    """Without a wait, ``connect()`` has already ended it, and its wake-up must not be lost."""
    generation = house.in_phase(phase)
    generation.wake.set()
    house.state.rearm(generation)
    assert generation.wake.is_set() == (phase not in (Phase.BACKOFF, Phase.LOST))


# After any failure.


@pytest.mark.parametrize("phase", WANTED, ids=str)
def test_the_status_is_true_after_an_unexpected_error_in_any_phase(house: House, phase: Phase) -> None:
    """The status is ``connecting``, since the thread continues. The listeners get a loss or a failed attempt, once."""
    generation = house.in_phase(phase)
    house.posted()
    house.state.fail(generation, REFUSED)
    assert house.state.status == "connecting" and house.state.phase(generation) is Phase.BACKOFF
    if phase in UP:
        assert house.names() == ["on_connection_error", "on_disconnected", "on_connecting"]
    elif phase is Phase.LOST:
        assert house.names() == ["on_connecting"]  # the listeners got the error of the loss
    else:
        assert house.names() == ([] if phase is Phase.BACKOFF else ["on_connection_error"])
    house.state.fail(generation, REFUSED)
    assert house.posted() == [] and house.state.phase(generation) is Phase.BACKOFF
    assert house.state.signal(generation, Signal.RETRY_DUE) is not None


# Waiting threads.


class Reached:
    """Replaces a waiter's event. The wait runs ``action`` on its own thread. Each ``set()`` records the status."""

    action: Callable[[], object] = lambda: None
    state: ConnectionState
    seen: List[str] = []

    def __init__(self) -> None:
        self.is_set = False

    def wait(self, timeout: Optional[float] = None) -> bool:
        type(self).action()
        return self.is_set

    def set(self) -> None:
        self.is_set = True
        self.seen.append(str(self.state.status))


@pytest.fixture
def reached(house: House, monkeypatch: pytest.MonkeyPatch) -> Any:
    made: Any = type("Reached", (Reached,), {"state": house.state, "seen": []})

    class Waiter(state_module.PhaseWaiter):
        def __init__(self, phases: FrozenSet[Phase]) -> None:
            super().__init__(phases)
            self.reached = made()

    monkeypatch.setattr(state_module, "PhaseWaiter", Waiter)
    return made


@pytest.mark.parametrize("phase", WANTED, ids=str)
def test_a_wait_for_the_current_phase_ends_at_once(house: House, reached: Any, phase: Phase) -> None:
    """No other thread has to wake it."""
    reached.action = staticmethod(lambda: pytest.fail("it waits"))
    house.in_phase(phase)
    assert house.state.wait_for(frozenset({phase}), None) is phase
    assert house.state._waiters == []


def test_a_phase_of_a_moment_counts(house: House, reached: Any) -> None:
    """After a loss comes a wait. A thread that waited for either phase notices it, though it is over by then."""
    generation = house.in_phase(Phase.ONLINE)

    def lose() -> None:
        house.state.signal(generation, Signal.LOST, ERROR)
        house.state.signal(generation, Signal.RETRY)
        house.state.signal(generation, Signal.RETRY_DUE)

    reached.action = staticmethod(lose)
    assert house.state.wait_for(frozenset({Phase.LOST}), None) is Phase.LOST
    assert house.state.phase(generation) is Phase.OPENING


def test_in_a_throttled_app_a_wait_does_not_see_connected_alone(house: House, reached: Any) -> None:
    """Promise 10: both transitions are one step, and the woken thread reads the status ``featureThrottled``."""
    generation = house.in_phase(Phase.AUTHENTICATING)
    house.is_throttled = yes
    reached.action = staticmethod(lambda: house.state.accept(generation))
    assert house.state.wait_for(UP, None) is Phase.ONLINE
    assert reached.seen == ["featureThrottled"] and house.state.phase(generation) is Phase.THROTTLED
    assert house.names() == ["on_connecting", "on_connected", "on_feature_throttled"]


@pytest.mark.parametrize("phase", [Phase.ONLINE, Phase.THROTTLED], ids=str)
def test_in_a_throttled_app_both_phases_are_seen(house: House, reached: Any, phase: Phase) -> None:
    """``wait_for_status("connected")`` returns too, since the phase was there for a moment."""
    generation = house.in_phase(Phase.AUTHENTICATING)
    house.is_throttled = yes
    reached.action = staticmethod(lambda: house.state.accept(generation))
    assert house.state.wait_for(frozenset({phase}), None) is phase


@pytest.mark.parametrize("throttled", [True, False])
@pytest.mark.parametrize("phase", [Phase.AUTHENTICATING, Phase.ONLINE, Phase.THROTTLED], ids=str)
def test_the_newest_mode_is_reported_last(house: House, phase: Phase, throttled: bool) -> None:
    """Another thread gets settings with the other MODE just when this one has read the old MODE."""
    generation = house.in_phase(phase)
    modes = {"throttled": throttled}
    others: List[threading.Thread] = []

    def change() -> None:
        modes["throttled"] = not throttled
        house.state.apply_mode(generation)

    def is_throttled() -> bool:
        read = modes["throttled"]
        if others:
            return read
        others.append(threading.Thread(target=change, name="test-settings", daemon=True))
        others[-1].start()
        waits_for_this_one = house.registry.lock._is_owned()  # type: ignore[attr-defined,unused-ignore]
        others[-1].join(0 if waits_for_this_one else DEADLINE)
        return read

    report = house.state.accept if phase is Phase.AUTHENTICATING else house.state.apply_mode
    house.is_throttled = is_throttled
    report(generation)
    others[0].join(DEADLINE)
    assert house.state.phase(generation) is (Phase.ONLINE if throttled else Phase.THROTTLED)


def test_an_app_that_is_not_throttled_is_connected(house: House, reached: Any) -> None:
    """There is one step with one callback."""
    generation = house.in_phase(Phase.AUTHENTICATING)
    reached.action = staticmethod(lambda: house.state.accept(generation))
    assert house.state.wait_for(UP, None) is Phase.ONLINE
    assert reached.seen == ["connected"] and house.names() == ["on_connecting", "on_connected"]
    assert house.counters.stats(messages_fetched=0, events_queued=0, events_dropped=0).connects == 1


@pytest.mark.parametrize("signal", [Signal.DISCONNECT, Signal.CLOSE], ids=str)
def test_the_end_wakes_waiting_threads(house: House, reached: Any, signal: Signal) -> None:
    """A waiting ``connect()`` is notified that its wait has no result, and the status is true by then."""
    house.in_phase(Phase.OPENING)
    reached.action = staticmethod(lambda: house.state.end(signal))
    ends = {Phase.IDLE, Phase.CLOSED}
    assert house.state.wait_for(frozenset(UP | ends), None) in ends
    assert reached.seen == ["disconnected"]


def test_a_wait_that_is_over_is_forgotten(house: House, reached: Any) -> None:
    """After its time, or after an exception such as Ctrl-C, the state does not keep it."""
    house.in_phase(Phase.OPENING)
    assert house.state.wait_for(UP, 0.0) is None

    def interrupt() -> None:
        raise KeyboardInterrupt

    reached.action = staticmethod(interrupt)
    with pytest.raises(KeyboardInterrupt):
        house.state.wait_for(UP, None)
    assert house.state._waiters == []


def test_threads_that_wait_are_woken(house: House) -> None:
    """Ten threads with the real event all get the phase."""
    generation = house.in_phase(Phase.AUTHENTICATING)
    seen: List[Optional[Phase]] = []
    threads = [threading.Thread(target=lambda: seen.append(house.state.wait_for(UP, DEADLINE))) for _ in range(10)]
    for thread in threads:
        thread.start()
    assert house.state.accept(generation)
    for thread in threads:
        thread.join(DEADLINE)
    assert seen == [Phase.ONLINE] * 10


# The end.


def test_the_end_interrupts_all_that_the_thread_may_wait_for(house: House) -> None:
    """The end ends the wait for the next attempt, the wait for the settings and the socket.

    Each ``ping()`` is released.
    """
    generation = house.in_phase(Phase.ONLINE)
    socket: Any = FakeSocket()
    generation.socket, generation.heartbeat = socket, Heartbeat(15.0, 3.0, house.now)
    generation.settings_known.clear()
    done = Wakeup()
    ping = Ping(house.now, done.set)
    assert generation.add_ping(ping)
    assert house.state.end(Signal.DISCONNECT) is generation
    assert generation.wake.is_set() and generation.settings_known.is_set() and socket.interrupts == 1
    assert done.is_set() and ping.round_trip is None and ping.error is None
    assert not generation.add_ping(ping)


@pytest.mark.parametrize("phase", WANTED, ids=str)
def test_the_end_is_disconnected_in_each_phase(house: House, phase: Phase) -> None:
    """The status is ``disconnected`` at once, without the thread.

    ``on_disconnected`` comes once, unless the loss has already brought it.
    """
    house.in_phase(phase)
    house.posted()
    house.state.end(Signal.DISCONNECT)
    assert house.state.status == "disconnected" and not house.state.wanted
    assert house.names() == ([] if STATUS[phase] == "disconnected" else ["on_disconnected"])
    house.state.end(Signal.DISCONNECT)
    assert house.posted() == []


def test_at_the_interpreters_end_no_thread_is_woken(house: House, reached: Any) -> None:
    """Waiting daemon threads sleep until the interpreter is gone: a wake-up then may crash it."""
    generation = house.in_phase(Phase.ONLINE)
    generation.heartbeat = Heartbeat(15.0, 3.0, house.now)
    done = Wakeup()
    ping = Ping(house.now, done.set)
    assert generation.add_ping(ping)
    reached.action = staticmethod(lambda: (house.state.leave_waiters(), house.state.end(Signal.CLOSE)))
    assert house.state.wait_for(frozenset({Phase.CLOSED}), 0.0) is None
    assert reached.seen == [] and not done.is_set() and house.state.closed


def test_the_interpreters_end_before_the_first_connect(house: House) -> None:
    house.state.leave_waiters()
    house.state.end(Signal.CLOSE)
    assert house.state.closed


def test_a_thread_that_waits_after_the_interpreters_end_has_begun(house: House) -> None:
    """A daemon thread sleeps too, instead of an exception in it. The program's own exit functions do not wait."""
    closed = frozenset({Phase.CLOSED})
    house.in_phase(Phase.OPENING)
    house.state.leave_waiters()
    house.state.end(Signal.CLOSE)
    seen: List[object] = ["nothing"]
    daemon = threading.Thread(target=lambda: seen.append(house.state.wait_for(closed, 0.0)), name="test-daemon")
    daemon.start()
    daemon.join()
    assert seen == ["nothing", None] and house.state.wait_for(closed, 0.0) is Phase.CLOSED


# The end by a signal handler, on the thread that it interrupts.


def test_a_handler_may_end_the_wait_of_the_interrupted_thread(house: House, reached: Any) -> None:
    """The main thread is inside ``connect()``. The handler's ``disconnect()`` is finished before that continues."""
    generation = house.in_phase(Phase.OPENING)
    reached.action = staticmethod(lambda: house.state.end(Signal.DISCONNECT))
    assert house.state.wait_for(frozenset({Phase.IDLE}), None) is Phase.IDLE
    assert not house.state.is_current(generation)


@pytest.mark.usefixtures("holds_the_lock")
@pytest.mark.parametrize("phase", WANTED, ids=str)
def test_a_handler_that_interrupts_the_holder_of_the_lock_does_not_hang(house: House, phase: Phase) -> None:
    """The handler's own thread has the lock. The holder's questions are then answered as for an old generation."""
    generation = house.in_phase(phase)
    with house.state.lock:
        assert house.state.end(Signal.CLOSE) is generation
        assert house.state.phase(generation) is None
        assert house.state.signal(generation, Signal.DISCONNECT) is None
    assert house.state.closed and house.state.status == "disconnected"


def new_lifecycle(house: House, drained: Callable[[], object] = lambda: None) -> Lifecycle:
    """Return the user's side of the state, without threads."""

    def start(generation: Generation) -> None:
        generation.thread = ServiceThread("test-connection", int, wanted=bool, wait=abs)

    parts: Any = SimpleNamespace(
        thread=SimpleNamespace(start=start),
        account=SimpleNamespace(client_name=lambda: "client 0", session=object()),
        inbox=SimpleNamespace(discard_old=lambda: None),
        dispatcher=SimpleNamespace(start=lambda: None, drain=lambda patience: drained()),
    )
    return Lifecycle(
        house.state,
        parts.thread,
        account=parts.account,
        inbox=parts.inbox,
        outbox=None,  # type: ignore[arg-type]
        events=house.events,
        dispatcher=parts.dispatcher,
        sharing=None,
        auto_connect=False,
        thread_name="cometchat-{}-0",
        clock=lambda: house.now,
    )


def test_a_disconnect_that_interrupts_the_holder_of_the_lock_is_handed_over(house: House) -> None:
    """Another thread makes it once the lock is free: in the middle of a step the state would be half changed."""
    generation = house.in_phase(Phase.ONLINE)
    done = threading.Event()
    lifecycle = new_lifecycle(house, done.set)
    with house.state.lock:
        lifecycle.disconnect()
        assert house.state.phase(generation) is Phase.ONLINE and not done.is_set()
    assert done.wait(DEADLINE)
    assert house.state.status == "disconnected" and not house.state.is_current(generation)


def test_a_disconnect_elsewhere_is_done_when_it_is_back(house: House) -> None:
    """A disconnect elsewhere makes no other thread."""
    house.in_phase(Phase.ONLINE)
    threads = threading.active_count()
    new_lifecycle(house).disconnect()
    assert house.state.status == "disconnected" and threading.active_count() == threads


def test_generations_know_their_wakeups(house: House) -> None:
    """A signal handler may set them, so none of them is a threading.Event."""
    generation = house.in_phase(Phase.OPENING)
    assert {type(generation.wake), type(generation.settings_known)} == {Wakeup}


def test_the_thread_waits_after_an_unexpected_exception(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if a ``connect()`` has ended the wait before the attempt. Otherwise a lasting fault would use all CPU."""
    generation = house.in_phase(Phase.BACKOFF)
    house.state.begin()
    assert generation.wake.is_set()
    thread = broken_thread(house, monkeypatch)
    with pytest.raises(IndexError):
        thread._run(generation)
    assert house.state.phase(generation) is Phase.BACKOFF and not generation.wake.is_set()


def test_the_first_attempt_is_delayed_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected exception does not repeat the delay."""
    thread = broken_thread(house, monkeypatch)
    waits: List[float] = []
    monkeypatch.setattr(Wakeup, "wait", lambda self, seconds: waits.append(seconds))
    for delay, expected in ((7.0, [7.0]), (0.0, [])):
        generation = house.begin()
        generation.delay = delay
        for _ in range(2):
            with pytest.raises(IndexError):
                thread._run(generation)
        assert waits == expected
        waits.clear()
        house.state.end(Signal.DISCONNECT)


def test_a_thread_leaves_a_shared_connection_with_its_generation(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected exception does not end the membership, because the generation could not join again."""
    left: List[int] = []
    thread = broken_thread(house, monkeypatch, SimpleNamespace(leave=left.append))
    generation = house.begin()
    with pytest.raises(IndexError):
        thread._run(generation)
    assert left == []
    house.state.signal(generation, Signal.GAVE_UP)
    thread._run(generation)
    assert left == [1]


def test_a_missing_pong_is_found_in_time_without_a_busy_loop(house: House) -> None:
    """After the ping, the thread wakes for the usual time of a pong and for its limit."""
    generation = house.in_phase(Phase.ONLINE)
    waits: List[float] = []

    def receive(deadline: float) -> List[bytes]:
        waits.append(deadline)
        house.now = deadline
        return []

    settings_refresh = SimpleNamespace(apply_mode=lambda generation: None)
    thread = new_thread(house, settings=SimpleNamespace(pong_timeout=3.0), settings_refresh=settings_refresh)
    generation.heartbeat = Heartbeat(15.0, 3.0, house.now)
    generation.socket = SimpleNamespace(receive=receive, send=lambda text, timeout: None)
    with pytest.raises(CometChatException) as caught:
        thread._serve(generation)
    assert caught.value.code == "ERR_PONG_TIMEOUT" and waits == [115.0, 115.9, 118.0]


@pytest.mark.parametrize(
    "before, after", [(Jwt.KNOWN, Jwt.KNOWN), (Jwt.FRESH, Jwt.KNOWN), (Jwt.SUSPECT, Jwt.SUSPECT)]
)
def test_what_an_attempt_knows_of_the_jwt(
    house: House, monkeypatch: pytest.MonkeyPatch, before: Jwt, after: Jwt
) -> None:
    """A jwt counts as fresh in the attempt that has fetched it. A suspect one is renewed in the next attempt."""
    generation = house.begin()
    house.state.end(Signal.DISCONNECT)
    generation.jwt = before
    broken_thread(house, monkeypatch)._attempt(generation, None)  # type: ignore[arg-type]
    assert generation.jwt is after


@pytest.mark.parametrize("signal", [Signal.LOST, Signal.FAILED])
def test_a_loss_ends_the_http_connections_before_a_listener_is_called(house: House, signal: Signal) -> None:
    """The network may have changed, and the listener may make a call. A failed attempt does not end them."""
    waiting: List[int] = []
    account = SimpleNamespace(
        client_name=lambda: "client 0", forget_connections=lambda: waiting.append(len(house.events))
    )
    series: Any = SimpleNamespace(count_loss=lambda lived, restart: None, attempt_number=1)
    inbox = SimpleNamespace(lost=lambda number: None)
    generation = house.in_phase(Phase.ONLINE if signal is Signal.LOST else Phase.OPENING)
    house.posted()
    with pytest.raises(ConnectionException):
        new_thread(house, account=account, inbox=inbox)._end_attempt(generation, series, signal, ERROR)
    assert waiting == ([0] if signal is Signal.LOST else [])


def test_a_failure_of_an_old_generation_ends_in_silence(house: House) -> None:
    """Another thread has ended it just after the failure."""
    generation = house.in_phase(Phase.OPENING)
    house.state.end(Signal.DISCONNECT)
    house.posted()
    new_thread(house)._end_attempt(generation, None, Signal.FAILED, ERROR)  # type: ignore[arg-type]
    assert house.posted() == []


def test_an_address_that_can_not_be_used_is_asked_for_again(house: House) -> None:
    """The service may have moved. A new jwt comes with its settings."""
    calls: List[str] = []

    def credentials(check_expiry: bool = True) -> str:
        if not calls:
            raise ERROR
        return "credentials"

    account = SimpleNamespace(
        client_name=lambda: "client 0", credentials=credentials, renew=lambda: calls.append("renew")
    )
    found: object = new_thread(house, account=account)._credentials(house.begin())
    assert (found, calls) == ("credentials", ["renew"])


def broken_thread(house: House, monkeypatch: pytest.MonkeyPatch, sharing: Any = None) -> ConnectionThread:
    """Return the work of a connection thread whose attempts raise."""
    thread = new_thread(house, sharing=sharing)
    monkeypatch.setattr(thread, "_make_attempts", lambda of: [][0])
    return thread


def new_thread(house: House, **parts: Any) -> ConnectionThread:
    """Return the work of a connection thread with these parts only."""
    names = ("settings", "new_socket", "router", "inbox", "dispatcher", "retry_outbox", "policy", "settings_refresh")
    others: Any = dict.fromkeys(("sharing", *names))
    others["account"] = SimpleNamespace(client_name=lambda: "client 0")
    return ConnectionThread(house.state, thread_name="{}", clock=lambda: house.now, **{**others, **parts})


# connect() during the wait for the next attempt.


def test_connect_ends_five_waits_and_one_more_each_ten_seconds(house: House) -> None:
    """A listener that calls ``connect()`` after each failure does not disable the backoff."""
    generation = house.in_phase(Phase.BACKOFF)

    def ended_early() -> int:
        count = 0
        for _ in range(100):
            if house.state.phase(generation) is Phase.OPENING:
                house.state.signal(generation, Signal.FAILED, ERROR)
            assert house.state.begin() is None
            count += house.state.phase(generation) is Phase.OPENING
        return count

    assert ended_early() == 5
    house.now += 9.9
    assert ended_early() == 0
    house.now += 10.2
    assert ended_early() == 2
    house.now += 3600
    assert ended_early() == 5


def delays(house: House, count: int) -> List[float]:
    """Begin generations one after the other, and refuse each. Returns their delays."""
    found = []
    for _ in range(count):
        generation = house.begin()
        found.append(generation.delay)
        house.state.signal(generation, Signal.REFUSED, REFUSED)
    return found


def test_callbacks_that_connect_after_each_refusal_wait(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """After five generations that begin at once, each next one waits for its share of the same budget."""
    monkeypatch.setattr(state_module, "on_service_thread", lambda: True)
    assert delays(house, 8) == [0, 0, 0, 0, 0, 0, 10, 20]
    house.now += 30
    assert delays(house, 2) == [0, 10]
    house.state.end(Signal.DISCONNECT)
    assert house.begin().delay == 20  # a disconnect() before the connect() changes nothing
    house.state.end(Signal.DISCONNECT)
    assert house.begin().delay == 0  # nothing has failed since the last one began


@pytest.mark.parametrize("in_callback", [False, True])
def test_a_call_of_the_program_ends_the_wait_of_a_callbacks_call(
    house: House, monkeypatch: pytest.MonkeyPatch, in_callback: bool
) -> None:
    """Another callback's call does not end it."""
    monkeypatch.setattr(state_module, "on_service_thread", lambda: True)
    delays(house, 6)
    generation = house.begin()
    assert generation.delay and not generation.wake.is_set()
    monkeypatch.setattr(state_module, "on_service_thread", lambda: in_callback)
    assert house.state.begin() is None and generation.wake.is_set() is not in_callback


def test_other_threads_connect_at_once_after_each_refusal(house: House) -> None:
    """The program paces its own calls, such as a loop around ``connect()``."""
    assert delays(house, 8) == [0] * 8


def test_a_connect_that_must_wait_changes_nothing(house: House) -> None:
    """Neither the phase nor the callbacks change, and the connection thread sleeps on."""
    generation = house.in_phase(Phase.BACKOFF)
    while house.state.take_early_wakeup():
        pass
    house.posted()
    assert house.state.begin() is None
    assert house.state.phase(generation) is Phase.BACKOFF
    assert house.names() == [] and not generation.wake.is_set()


@pytest.mark.parametrize("in_callback", [False, True])
@pytest.mark.parametrize("phase", [Phase.LOST, Phase.BACKOFF], ids=str)
def test_the_program_ends_a_retry_after_and_a_callback_does_not(
    house: House, monkeypatch: pytest.MonkeyPatch, phase: Phase, in_callback: bool
) -> None:
    """A callback may call ``connect()`` after each failure, although the server asked clients to wait."""
    monkeypatch.setattr(state_module, "on_service_thread", lambda: in_callback)
    generation = house.in_phase(Phase.ONLINE if phase is Phase.LOST else Phase.OPENING)
    error = ConnectionException("WS_CONNECTION_FAIL", "503", retry_after=60.0)
    house.state.signal(generation, Signal.LOST if phase is Phase.LOST else Signal.FAILED, error)
    assert house.state.begin() is None
    assert house.state.phase(generation) is (phase if in_callback else Phase.OPENING)
    assert generation.wake.is_set() is not in_callback


def test_connect_outside_of_a_wait_costs_nothing(house: House) -> None:
    """After a hundred calls while the connection is up, or being made, the budget is still whole."""
    generation = house.in_phase(Phase.ONLINE)
    for _ in range(100):
        house.state.begin()
    house.state.signal(generation, Signal.LOST, ERROR)
    house.state.begin()
    assert house.state.phase(generation) is Phase.OPENING and generation.wake.is_set()
