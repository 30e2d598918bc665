"""The dispatcher calls the listeners in order, on its own thread, and no error of a listener stops it."""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
from types import SimpleNamespace
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, cast

import pytest
from interruption import Interruption
from no_threads import no_threads

from cometchat import CometChatException
from cometchat._protocol._delivery import Delivery
from cometchat._runtime import _threads
from cometchat._runtime._registry import CONNECTION, ListenerRegistry
from cometchat._runtime._threads import Wakeup
from cometchat._runtime.delivery import Dispatcher, EventQueue, _dispatcher
from cometchat._runtime.delivery._queue import Stored

DEADLINE = 10.0
NAME = "cometchat-dispatcher-test"


class Listener:
    """Keeps every call. ``hooks[method]`` is called from inside."""

    def __init__(self) -> None:
        self.calls: List[Tuple[Any, ...]] = []
        self.threads: List[str] = []
        self.hooks: Dict[str, Callable[[], object]] = {}

    def __getattr__(self, method: str) -> Callable[..., None]:
        if not method.startswith("on_"):
            raise AttributeError(method)

        def call(*args: Any) -> None:
            self.calls.append((method, *args))
            self.threads.append(threading.current_thread().name)
            if method in self.hooks:
                self.hooks[method]()

        return call

    @property
    def names(self) -> List[str]:
        return [call[0] for call in self.calls]


class Gate:
    """Holds the dispatcher in a callback until the test opens it."""

    def __init__(self, listener: Listener, method: str) -> None:
        self._reached = Wakeup()
        self._open = Wakeup()
        listener.hooks[method] = self._wait

    def _wait(self) -> None:
        self._reached.set()
        self._open.wait(DEADLINE)

    def wait_for(self) -> None:
        assert self._reached.wait(DEADLINE)

    def open(self) -> None:
        self._open.set()


class Hall:
    """A dispatcher with its registry and its queue."""

    def __init__(self, registry: Optional[ListenerRegistry] = None) -> None:
        self.registry = registry or ListenerRegistry()
        self.events = EventQueue(self.registry, 100)
        self.now = 0.0
        self.dispatcher = Dispatcher(self.registry, self.events, NAME, lambda: "client 7, amy", lambda: self.now)

    def listen(self, name: str = "id", kind: str = CONNECTION) -> Listener:
        listener = Listener()
        self.registry.add(kind, name, listener)
        return listener

    def post(self, *methods: str, kind: str = CONNECTION, old: bool = False) -> None:
        """Post state events.

        With ``old``, they belong to the generation that disconnect() ends. Others are always delivered.
        """
        for method in methods:
            self.events.post(kind, method, generation=self.events.generation if old else None)

    def store(self, method: str, message_id: str) -> None:
        delivery = Delivery("message", method, (message_id,))
        assert self.events.post_stored(delivery, self.events.generation, 1, Stored(message_id, None))

    def pass_by(self, *methods: str, kind: str = "user") -> None:
        """Post ephemeral events, together."""
        events = [(Delivery(kind, method, ()), 1) for method in methods]
        self.events.post_ephemeral(events, self.events.generation)

    def disconnect(self) -> None:
        self.events.advance()
        self.post("on_disconnected")
        self.events.discard_old()

    def settle(self) -> None:
        """Wait until all queued events have been delivered."""
        self.dispatcher.start()
        began = time.monotonic()
        self.dispatcher.drain(DEADLINE)
        assert time.monotonic() - began < DEADLINE

    def finish(self) -> None:
        """Deliver all queued events, and end. The wait after an error of the thread ends at once."""
        self.dispatcher.start()
        self.dispatcher.close()
        self.dispatcher.join(DEADLINE)
        assert not self.running

    def hold(self, listener: Listener) -> Gate:
        """Start the dispatcher and hold it in a callback of the listener."""
        gate = Gate(listener, "on_block")
        self.dispatcher.start()
        self.post("on_block")
        gate.wait_for()
        return gate

    @property
    def running(self) -> int:
        return [thread.name for thread in threading.enumerate()].count(NAME)


@pytest.fixture
def hall() -> Iterator[Hall]:
    made = Hall()
    yield made
    made.dispatcher.close()
    made.dispatcher.join(DEADLINE)
    assert not made.running


# Order, arguments, thread.


def test_events_come_in_order_with_their_arguments(hall: Hall) -> None:
    """A thousand events each come once, in the order of the posts, with their arguments."""
    listener = hall.listen()
    for number in range(1000):
        hall.events.post(CONNECTION, "on_it", number, {"n": number})
    hall.settle()
    assert listener.calls == [("on_it", number, {"n": number}) for number in range(1000)]


def test_events_from_before_the_start_are_delivered(hall: Hall) -> None:
    """The thread starts on first use. Events that wait for it are not lost."""
    listener = hall.listen()
    hall.post("on_it")
    assert listener.calls == [] and not hall.dispatcher.alive
    hall.settle()
    assert listener.names == ["on_it"] and hall.dispatcher.alive


@pytest.mark.parametrize("first", ["listener", "start"])
def test_the_thread_runs_for_a_client_in_use_with_a_listener(hall: Hall, first: str) -> None:
    """The listener may be the first of the two, or the use."""
    steps: List[Callable[[], object]] = [hall.listen, hall.dispatcher.start]
    steps = steps if first == "listener" else steps[::-1]
    for step in steps:
        assert not hall.running
        step()
        hall.dispatcher.listener_added()
    assert hall.running == 1


def test_without_a_listener_no_event_waits_for_one(hall: Hall) -> None:
    """The queue stays empty, although no thread takes events from it."""
    hall.dispatcher.start()
    hall.post("on_it")
    hall.store("on_it", "1")
    hall.pass_by("on_it")
    hall.events.add_producer()
    hall.events.remove_producer()
    assert len(hall.events) == 0 and hall.events.has_room() and hall.events._bell.empty()


def test_listeners_are_called_in_the_order_of_their_registration(hall: Hall) -> None:
    """All get one event before any gets the next."""
    order: List[str] = []
    for name in ("a", "b", "c"):
        hall.listen(name).hooks["on_it"] = lambda name=name: order.append(name)  # type: ignore[misc]
    hall.post("on_it", "on_it")
    hall.settle()
    assert order == ["a", "b", "c"] * 2


def test_only_listeners_of_the_kind_are_called(hall: Hall) -> None:
    """A ConnectionListener does not get a login."""
    one, other = hall.listen(kind=CONNECTION), hall.listen(kind="login")
    hall.post("on_it", kind="login")
    hall.settle()
    assert (one.names, other.names) == ([], ["on_it"])


def test_all_calls_come_on_one_named_daemon_thread(hall: Hall) -> None:
    """Events of any thread are delivered on the dispatcher's thread.

    It is a daemon, and a second start makes no second one.
    """
    listener = hall.listen()
    daemons: List[bool] = []
    listener.hooks["on_it"] = lambda: daemons.append(threading.current_thread().daemon)
    for _ in range(3):
        hall.dispatcher.start()
    posters = [threading.Thread(target=hall.post, args=("on_it",), name="test-poster") for _ in range(5)]
    for poster in posters:
        poster.start()
    for poster in posters:
        poster.join(DEADLINE)
    hall.settle()
    assert listener.threads == [NAME] * 5 and daemons == [True] * 5
    assert hall.running == 1


def test_posting_does_not_wait(hall: Hall) -> None:
    """While a listener blocks, ten thousand posts return, and nothing is delivered."""
    listener = hall.listen()
    gate = hall.hold(listener)
    hall.post(*["on_it"] * 10_000)
    assert listener.names == ["on_block"]
    gate.open()
    hall.settle()
    assert len(listener.calls) == 10_001


def test_kinds_of_events_keep_their_order(hall: Hall) -> None:
    """Ephemeral events are taken in batches, but still come between the state and stored events around them."""
    listener = hall.listen(kind="message")
    hall.pass_by("on_1", "on_2", kind="message")
    hall.post("on_3", kind="message")
    hall.pass_by("on_4", kind="message")
    hall.store("on_5", "1")
    hall.pass_by("on_6", "on_7", "on_8", kind="message")
    hall.finish()
    assert listener.names == [f"on_{number}" for number in range(1, 9)]


def test_a_system_without_threads(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """start() raises ERR_INTERNAL. Queued events wait, and a later start() delivers them, without a wait for itself.

    Until then, the next client of these listeners waits.
    """
    monkeypatch.setattr(_dispatcher, "_SLOW", 6 * DEADLINE)
    listener = hall.listen()
    hall.post("on_it")
    with no_threads(), pytest.raises(CometChatException) as caught:
        hall.dispatcher.start()
    assert caught.value.code == "ERR_INTERNAL" and not hall.dispatcher.alive
    assert not hall.dispatcher._last_callback.is_set()
    hall.settle()
    assert listener.names == ["on_it"]


# Errors.


@pytest.mark.parametrize(
    "error",
    [ValueError("mine"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), BaseException("mine"), StopIteration()],
    ids=lambda error: type(error).__name__,
)
def test_a_listener_that_raises_is_logged_and_harmless(
    hall: Hall, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """A listener may raise any exception.

    It and the others get this event and the next. The log has kind, id and method.
    """

    def fail() -> None:
        raise error

    first, bad, last = (hall.listen(name) for name in ("first", "bad one", "last"))
    bad.hooks["on_it"] = fail
    with caplog.at_level(logging.ERROR, "cometchat.listeners"):
        hall.post("on_it", "on_next")
        hall.settle()
    assert [listener.names for listener in (first, bad, last)] == [["on_it", "on_next"]] * 3
    (record,) = caplog.records
    assert record.levelname == "ERROR" and record.exc_info is not None and record.exc_info[1] is error
    parts = ("[client 7, amy]", CONNECTION, "'bad one'", "on_it")
    assert all(part in record.getMessage() for part in parts)


def test_a_listener_without_the_method_is_logged_and_harmless(hall: Hall, caplog: pytest.LogCaptureFixture) -> None:
    """The same holds for a listener whose attribute of that name is not a function."""
    bad, good = hall.listen("bad"), hall.listen("good")
    bad.on_it = None  # type: ignore[attr-defined]
    hall.post("on_it")
    hall.settle()
    assert good.names == ["on_it"] and "TypeError" in caplog.text


class Failing(logging.Handler):
    """A handler that raises, and counts."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error
        self.failures = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.failures += 1
        raise self.error


@pytest.fixture
def failing(request: pytest.FixtureRequest) -> Iterator[Failing]:
    """The log of the listeners, and of the threads, fails."""
    handler = Failing(request.param)
    loggers = [logging.getLogger("cometchat.listeners"), _threads.logger]
    for logger in loggers:
        logger.addHandler(handler)
    yield handler
    for logger in loggers:
        logger.removeHandler(handler)


errors = [OSError("disk full"), MemoryError(), SystemExit(1), KeyboardInterrupt()]


@pytest.mark.parametrize("failing", errors, indirect=True, ids=repr)
@pytest.mark.parametrize("listeners", [3, 5])
def test_a_log_that_fails(hall: Hall, failing: Failing, listeners: int) -> None:
    """The report of a listener's error raises. The other listeners still get this event, and all get the next."""

    def fail() -> None:
        raise ValueError("mine")

    made = [hall.listen(str(number), "user") for number in range(listeners)]
    made[1].hooks["on_it"] = fail
    hall.pass_by("on_it", "on_next")
    hall.finish()
    assert [listener.names for listener in made] == [["on_it", "on_next"]] * listeners
    assert failing.failures


def once(right: Callable[..., Any], error: BaseException) -> Callable[..., Any]:
    """Return ``right`` with an exception at its first call."""
    left = [error]

    def call(*args: Any) -> Any:
        if left:
            raise left.pop()
        return right(*args)

    return call


@pytest.mark.parametrize("error", errors, ids=repr)
@pytest.mark.parametrize("where", ["take", "wait", "caught_up", "is_discarded", "audience"])
def test_an_error_of_its_own_does_not_end_it(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, where: str, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """An error from any place is logged. All events are delivered once, in order, also those in hand."""
    listener = hall.listen(kind="user")
    owner = hall.registry if where == "audience" else hall.events
    monkeypatch.setattr(owner, where, once(getattr(owner, where), error))
    hall.pass_by("on_1", "on_2", "on_3")
    hall.post("on_4", kind="user")
    hall.finish()
    assert listener.names == ["on_1", "on_2", "on_3", "on_4"]
    (record,) = caplog.records
    assert record.exc_info is not None and record.exc_info[1] is error and NAME in record.getMessage()


@pytest.mark.parametrize("listeners", [3, 5])
def test_an_error_between_two_listeners_repeats_no_call(hall: Hall, listeners: int) -> None:
    """The report of a listener's error fails. Listeners that got the event do not get it again."""

    def fail() -> None:
        raise ValueError("mine")

    made = [hall.listen(str(number), "user") for number in range(listeners)]
    made[1].hooks["on_it"] = fail
    hall.dispatcher._log_error = once(hall.dispatcher._log_error, MemoryError())  # type: ignore[method-assign]
    hall.pass_by("on_it", "on_next")
    hall.finish()
    assert [listener.names for listener in made] == [["on_it", "on_next"]] * listeners


def test_close_ends_the_waits_after_errors(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """Successive errors make the thread wait longer each time. Once it is closed, it waits no more."""
    listener, left, take = hall.listen(), [MemoryError() for _ in range(12)], hall.events.take

    def failing_take() -> Any:
        if left:
            raise left.pop()
        return take()

    monkeypatch.setattr(hall.events, "take", failing_take)
    hall.post("on_it")
    hall.finish()
    assert listener.names == ["on_it"]


def test_a_drain_is_not_forgotten_by_an_error(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """A marker that is in hand when the loop fails is still set."""
    hall.listen()
    marker = hall.events.passed()
    monkeypatch.setattr(hall.events, "take", once(hall.events.take, MemoryError()))
    hall.finish()
    assert marker.is_set()


# Listeners that are added late, and that are removed.


@pytest.mark.parametrize("listeners", [1, 5])
def test_a_late_listener_gets_no_older_events(hall: Hall, listeners: int) -> None:
    """A late listener does not get events from before its registration, even if they are delivered after it."""
    first, *_ = (hall.listen(str(number), "user") for number in range(listeners))
    gate = Gate(first, "on_block")
    hall.dispatcher.start()
    hall.post("on_block", kind="user")
    gate.wait_for()
    hall.post("on_two", kind="user")
    late = hall.listen("late", "user")
    hall.post("on_three", kind="user")
    gate.open()
    hall.settle()
    assert (first.names, late.names) == (["on_block", "on_two", "on_three"], ["on_three"])


def test_a_replaced_listener_gets_no_more_events(hall: Hall) -> None:
    """A replaced listener does not get earlier queued events either.

    The new one gets only events after its registration.
    """
    old = hall.listen()
    gate = hall.hold(old)
    hall.post("on_two")
    new = hall.listen()
    hall.post("on_three")
    gate.open()
    hall.settle()
    assert (old.names, new.names) == (["on_block"], ["on_three"])


def test_a_listener_that_another_thread_removes_gets_no_more_events(hall: Hall) -> None:
    """A removed listener does not even get the event in delivery, if its turn has not come yet."""
    first, second = hall.listen("first"), hall.listen("second")
    gate = hall.hold(first)
    hall.registry.remove(CONNECTION, "second")
    gate.open()
    hall.settle()
    assert (first.names, second.names) == (["on_block"], [])


def test_removal_inside_a_callback(hall: Hall) -> None:
    """A listener may remove itself and another one. Both get nothing more, and the third gets everything."""
    one, two, three = (hall.listen(name) for name in ("one", "two", "three"))

    def remove() -> None:
        hall.registry.remove(CONNECTION, "one")
        hall.registry.remove(CONNECTION, "two")

    one.hooks["on_it"] = remove
    hall.post("on_it", "on_next")
    hall.settle()
    assert (one.names, two.names, three.names) == (["on_it"], [], ["on_it", "on_next"])


def test_adding_inside_a_callback(hall: Hall) -> None:
    """The new listener gets events from the next post on, and neither the event in delivery nor queued ones."""
    one, new = hall.listen("one"), Listener()

    def add() -> None:
        hall.registry.add(CONNECTION, "new", new)
        hall.post("on_third")

    one.hooks["on_first"] = add
    hall.post("on_first", "on_second")
    hall.finish()
    assert (one.names, new.names) == (["on_first", "on_second", "on_third"], ["on_third"])


def test_posting_inside_a_callback(hall: Hall) -> None:
    """The event comes after all queued ones, and after all listeners got the event in which it was posted."""
    order: List[Tuple[str, str]] = []
    one, two = hall.listen("one"), hall.listen("two")
    for method in ("on_first", "on_second", "on_third"):
        one.hooks[method] = lambda method=method: order.append(("one", method))  # type: ignore[misc]
        two.hooks[method] = lambda method=method: order.append(("two", method))  # type: ignore[misc]

    def post() -> None:
        order.append(("one", "on_first"))
        hall.post("on_third")

    one.hooks["on_first"] = post
    hall.post("on_first", "on_second")
    hall.finish()
    assert order == [(who, what) for what in ("on_first", "on_second", "on_third") for who in ("one", "two")]


# The listeners' knowledge of the connection.


@pytest.mark.parametrize("listeners", [1, 5])
def test_a_listener_of_a_client_that_is_down_never_gets_a_lone_disconnect(hall: Hall, listeners: int) -> None:
    """The listener was registered while disconnected.

    The end of a short connection, whose other events were discarded, is not for it.
    """
    made = [hall.listen(str(number)) for number in range(listeners)]
    hall.events.advance()
    hall.post("on_connecting", old=True)
    hall.disconnect()
    hall.disconnect()
    hall.settle()
    assert [listener.names for listener in made] == [[]] * listeners
    hall.events.advance()
    hall.post("on_connecting", old=True)
    hall.settle()
    hall.disconnect()
    hall.settle()
    assert [listener.names for listener in made] == [["on_connecting", "on_disconnected"]] * listeners


@pytest.mark.parametrize("transitions", [["on_connecting"], ["on_connecting", "on_connected"]])
def test_a_listener_that_saw_a_connection_gets_its_end(hall: Hall, transitions: List[str]) -> None:
    """The listener was registered while the status was connecting or connected.

    It gets the end, though that event was discarded.
    """
    hall.events.advance()
    hall.post(*transitions, old=True)
    listener = hall.listen()
    hall.disconnect()
    late = hall.listen("late")
    hall.settle()
    assert (listener.names, late.names) == (["on_disconnected"], [])


def test_each_error_of_the_connection_is_delivered(hall: Hall) -> None:
    """Errors do not change a listener's knowledge of the connection."""
    listener = hall.listen()
    hall.post("on_connection_error", "on_connection_error", "on_disconnected", "on_connecting", "on_connection_error")
    hall.post("on_disconnected", "on_disconnected")
    hall.settle()
    assert listener.names == [*["on_connection_error"] * 2, "on_connecting", "on_connection_error", "on_disconnected"]


def test_only_the_connection_has_transitions(hall: Hall) -> None:
    """An event of that name of another kind is always delivered."""
    listener = hall.listen(kind="login")
    hall.post("on_disconnected", "on_disconnected", kind="login")
    hall.settle()
    assert listener.names == ["on_disconnected"] * 2


# Draining and discarding.


def test_drain_waits_for_queued_events(hall: Hall) -> None:
    """When it returns, all earlier events have been delivered."""
    listener = hall.listen()
    hall.dispatcher.start()
    for count in range(1, 50):
        hall.post("on_it")
        hall.dispatcher.drain(DEADLINE)
        assert len(listener.calls) == count


def test_drain_waits_no_longer_than_it_may(hall: Hall) -> None:
    """Behind a listener that blocks, it returns after its time."""
    gate = hall.hold(hall.listen())
    began = time.monotonic()
    hall.dispatcher.drain(0.05)
    assert 0.04 < time.monotonic() - began < 5
    gate.open()


def test_drain_never_waits_forever(hall: Hall) -> None:
    """Before the start, inside a callback, and after the end it returns at once."""
    spent: List[float] = []

    def drain() -> None:
        began = time.monotonic()
        hall.dispatcher.drain(DEADLINE)
        spent.append(time.monotonic() - began)

    hall.post("on_it")
    drain()
    hall.listen().hooks["on_now"] = drain
    hall.post("on_now")
    hall.finish()
    drain()
    assert len(spent) == 3 and max(spent) < DEADLINE / 2


def test_a_discard_drops_queued_events_of_an_old_connection(hall: Hall) -> None:
    """The old connection's events are dropped.

    Other events, the final ``on_disconnected``, and those of the next one are delivered.
    """
    listener = hall.listen()
    gate = hall.hold(listener)
    hall.post("on_old", old=True)
    hall.post("on_other")
    hall.disconnect()
    hall.post("on_new", old=True)
    gate.open()
    hall.settle()
    assert listener.names == ["on_block", "on_other", "on_disconnected", "on_new"]


def test_a_discard_stops_an_event_that_is_being_delivered(hall: Hall) -> None:
    """The listeners whose turn has not come yet do not get it. They get the end."""
    hall.events.advance()
    hall.post("on_connected", old=True)
    first, second = hall.listen("first"), hall.listen("second")
    gate = Gate(first, "on_old")
    hall.post("on_old", old=True)
    hall.dispatcher.start()
    gate.wait_for()
    hall.disconnect()
    gate.open()
    hall.settle()
    assert (first.names, second.names) == (["on_old", "on_disconnected"], ["on_disconnected"])


def test_ephemeral_events_in_hand_are_discarded(hall: Hall) -> None:
    """A batch is in hand when the connection ends. The rest of it is not delivered."""
    listener = hall.listen(kind="user")
    listener.hooks["on_1"] = hall.disconnect
    hall.pass_by("on_1", "on_2", "on_3")
    hall.finish()
    assert listener.names == ["on_1"]


@pytest.mark.parametrize("listeners", [1, 5])
def test_a_stored_event_in_hand_is_delivered(hall: Hall, monkeypatch: pytest.MonkeyPatch, listeners: int) -> None:
    """The inbox counts it as delivered, since the discard did not return it. Otherwise it would be lost."""
    made = [hall.listen(str(number), "message") for number in range(listeners)]
    hall.events.advance()
    hall.store("on_1", "1")
    hall.store("on_2", "2")
    discarded: List[Optional[str]] = []
    take = hall.events.take

    def take_late() -> Any:
        taken = take()
        if not discarded:
            hall.events.advance()
            discarded.extend(stored.message_id for stored in hall.events.discard_old())
        return taken

    monkeypatch.setattr(hall.events, "take", take_late)
    hall.finish()
    assert discarded == ["2"] and made[0].names == ["on_1"]


# Overflow.


def overflow(hall: Hall) -> None:
    hall.registry.remove("user", "other")
    hall.listen("other", kind="user")
    hall.pass_by(*["on_it"] * 130)


class Notice(logging.Handler):
    """Keeps the records, and wakes threads that wait for one of the level INFO."""

    def __init__(self) -> None:
        super().__init__()
        self.records: List[logging.LogRecord] = []
        self.seen = Wakeup()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        if record.levelno == logging.INFO:
            self.seen.set()


@pytest.fixture
def notice(caplog: pytest.LogCaptureFixture) -> Iterator[Notice]:
    caplog.set_level(logging.INFO, "cometchat.listeners")
    handler = Notice()
    logging.getLogger("cometchat.listeners").addHandler(handler)
    yield handler
    logging.getLogger("cometchat.listeners").removeHandler(handler)


def test_too_many_events_are_reported_once(hall: Hall, notice: Notice) -> None:
    """There is one warning, until the listeners have caught up, then a record with the number of dropped events.

    Later there may be another.
    """
    slow = hall.listen("slow")
    for _ in range(2):
        hall.dispatcher.report_delay()
        assert notice.records == []
        gate = hall.hold(slow)
        hall.now += 2.5
        overflow(hall)
        for _ in range(3):
            hall.dispatcher.report_delay()
        gate.open()
        assert notice.seen.wait(DEADLINE)
        warning, info = notice.records
        assert (warning.levelname, info.levelname) == ("WARNING", "INFO")
        assert "[client 7, amy]" in warning.getMessage()
        assert "(listener 'slow' has been in a callback for 2.5 s)" in warning.getMessage()
        assert info.getMessage().endswith("caught up; 30 events were dropped")
        notice.records.clear()
        notice.seen.clear()


@pytest.mark.parametrize("delivering", [None, (iter(()), (), 0.0)], ids=["no event", "an event without a listener"])
def test_too_many_events_while_no_callback_runs(
    hall: Hall, caplog: pytest.LogCaptureFixture, delivering: Optional[Tuple[Iterator[object], Tuple[()], float]]
) -> None:
    """The warning then names no listener."""
    hall.dispatcher._delivering = delivering
    overflow(hall)
    hall.dispatcher.report_delay()
    (record,) = caplog.records
    assert "(listener" not in record.getMessage()


def test_a_callback_that_others_wait_for_is_reported_once(hall: Hall, notice: Notice) -> None:
    """After 5 s it is reported with its listener, if an event waits. The next slow callback is reported again."""
    slow = hall.listen("slow")
    hall.listen("other", kind="user")
    for _ in range(2):
        gate = hall.hold(slow)
        hall.now += 6.0
        hall.dispatcher.report_delay()
        assert notice.records == []
        hall.pass_by("on_it")
        for _ in range(3):
            hall.dispatcher.report_delay()
        gate.open()
        hall.settle()
        hall.now += 1.0
        hall.dispatcher.report_delay()
        (warning,) = notice.records
        said = warning.getMessage()
        assert "1 event waits for the listeners (listener 'slow' has been in a callback for 6.0 s)" in said
        notice.records.clear()


def test_an_overflow_that_ends_before_its_warning(hall: Hall, notice: Notice) -> None:
    """The warning comes with the end if events were dropped.

    Otherwise there is no record, since no action is needed.
    """
    hall.listen(kind="message")
    for number in range(100):
        hall.store("on_it", str(number))
    assert not hall.events.has_room() and hall.events.overflowed
    hall.settle()
    hall.settle()  # the thread checks the overflow once the first drain has passed
    assert notice.records == []
    gate = hall.hold(hall.listen())
    overflow(hall)
    gate.open()
    assert notice.seen.wait(DEADLINE)
    assert [record.levelname for record in notice.records] == ["WARNING", "INFO"]


# The end.


def test_close_delivers_queued_events(hall: Hall) -> None:
    """The thread ends after it has delivered all earlier events."""
    listener = hall.listen()
    hall.dispatcher.start()
    hall.post(*["on_it"] * 100)
    hall.finish()
    assert len(listener.calls) == 100


def test_close_waits_for_the_producers(hall: Hall) -> None:
    """Events of a producer after close() are delivered. The thread ends when the last one has left."""
    listener = hall.listen(kind="outbox")
    gate = Gate(listener, "on_one")
    hall.events.add_producer()
    hall.events.add_producer()
    hall.dispatcher.start()
    hall.dispatcher.close()
    hall.post("on_one", kind="outbox")
    gate.wait_for()
    hall.events.remove_producer()
    gate.open()
    hall.post("on_two", kind="outbox")
    marker = hall.events.passed()
    assert marker.wait(DEADLINE) and hall.running
    hall.post("on_three", kind="outbox")
    hall.events.remove_producer()
    hall.dispatcher.join(DEADLINE)
    assert not hall.running and listener.names == ["on_one", "on_two", "on_three"]


def test_close_twice_and_post_afterwards(hall: Hall) -> None:
    """A second close() is a no-op. Later events are not delivered, and start() makes no new thread."""
    listener = hall.listen()
    hall.dispatcher.start()
    hall.dispatcher.close()
    hall.finish()
    hall.post("on_it")
    hall.dispatcher.start()
    hall.dispatcher.drain(DEADLINE)
    assert listener.calls == []
    assert not hall.running and not hall.dispatcher.alive


def test_a_second_close_ends_the_thread_after_an_interrupted_one(hall: Hall) -> None:
    """A KeyboardInterrupt comes at any point of the first close()."""
    listener = hall.listen()
    for at in itertools.count(1):
        again = Hall(hall.registry)
        again.dispatcher.start()
        came = Interruption(at).happens_in(again.dispatcher.close)
        again.finish()
        assert not again.dispatcher._thread.alive, at
        if not came:
            assert at > 3 and listener.calls == []
            return


def test_a_close_after_an_interrupted_start(hall: Hall) -> None:
    """A KeyboardInterrupt comes at any point of start(). The next client of these listeners does not wait for it."""
    for at in itertools.count(1):
        again = Hall(hall.registry)
        came = Interruption(at).happens_in(again.dispatcher.start)
        again.dispatcher.close()
        again.dispatcher.join(DEADLINE)
        assert again.dispatcher._last_callback.is_set(), at
        if not came:
            return


def test_close_before_the_start(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no thread to end, and none of the later calls makes one. join() does not wait."""
    monkeypatch.setattr(threading.Thread, "start", lambda thread: pytest.fail("a thread was started"))
    hall.dispatcher.close()
    hall.dispatcher.start()
    hall.dispatcher.join(DEADLINE)
    assert not hall.running


def test_close_and_join_from_inside_a_callback(hall: Hall) -> None:
    """The thread does not wait for itself. It delivers the events queued before the close, and ends."""
    listener, ended = hall.listen(), Wakeup()

    def end() -> None:
        hall.dispatcher.close()
        hall.dispatcher.join(DEADLINE)
        ended.set()

    listener.hooks["on_one"] = end
    hall.post("on_one", "on_two")
    hall.dispatcher.start()
    assert ended.wait(DEADLINE / 2)
    hall.dispatcher.join(DEADLINE)
    assert listener.names == ["on_one", "on_two"]


def test_join_waits_no_longer_than_it_may(hall: Hall) -> None:
    """A listener that blocks holds the thread. join() returns after its time."""
    gate = hall.hold(hall.listen())
    hall.dispatcher.close()
    began = time.monotonic()
    hall.dispatcher.join(0.05)
    assert 0.04 < time.monotonic() - began < 5
    gate.open()


# A thread that another thread is about to start.


class HeldStart:
    """Holds the first start of a thread, on a thread of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, hall: Hall) -> None:
        self._start = _threads.start_thread
        self._held, self._open = Wakeup(), Wakeup()
        monkeypatch.setattr(_threads, "start_thread", self._hold)
        self.caller = threading.Thread(target=hall.dispatcher.start)
        self.caller.start()
        assert self._held.wait(DEADLINE)

    def _hold(self, thread: threading.Thread) -> None:
        if not self._held.is_set():
            self._held.set()
            assert self._open.wait(DEADLINE)
        self._start(thread)

    def release(self) -> None:
        self._open.set()
        self.caller.join(DEADLINE)


def test_callbacks_of_a_replaced_client_come_first_although_its_thread_starts_late(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``init()`` gives the listeners to another client while a call is about to start the first client's thread."""
    listener = hall.listen(kind="user")
    start = HeldStart(monkeypatch, hall)
    hall.post("on_old", kind="user")
    hall.dispatcher.close()
    following = Hall(hall.registry)
    following.post("on_new", kind="user")
    following.dispatcher.start()
    following.dispatcher.drain(0.1)  # ends early if the new thread does not wait
    start.release()
    following.finish()
    assert listener.names == ["on_old", "on_new"]


def test_a_thread_that_can_not_start_delays_no_other_client(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("no memory")

    listener = hall.listen(kind="user")
    with monkeypatch.context() as patch:
        patch.setattr(_threads, "start_thread", refuse)
        with pytest.raises(CometChatException):
            hall.dispatcher.start()
    hall.dispatcher.close()
    following = Hall(hall.registry)
    following.post("on_new", kind="user")
    began = time.monotonic()
    following.finish()
    assert listener.names == ["on_new"] and time.monotonic() - began < 4


def test_a_thread_that_can_not_start_at_first_waits_for_the_previous_client(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("no memory")

    listener, previous = hall.listen(kind="user"), Wakeup()
    hall.registry.queue_up(previous)
    with monkeypatch.context() as patch:
        patch.setattr(_threads, "start_thread", refuse)
        with pytest.raises(CometChatException):
            hall.dispatcher.start()
    hall.dispatcher.start()
    hall.post("on_event", kind="user")
    hall.dispatcher.drain(0.1)  # ends early if the thread does not wait
    assert listener.names == []
    previous.set()
    hall.dispatcher.drain(DEADLINE)
    assert listener.names == ["on_event"]


def test_a_thread_that_the_second_of_two_calls_starts_has_started(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first call fails while the second waits for it. The next client waits for this one's last callback."""
    hall.listen()
    start, first_waits, second_waits = _threads.start_thread, Wakeup(), Wakeup()

    def refuse_first(thread: threading.Thread) -> None:
        if not first_waits.is_set():
            first_waits.set()
            assert second_waits.wait(DEADLINE)
            raise RuntimeError("no memory")
        first.join(DEADLINE)
        start(thread)

    def start_first() -> None:
        with pytest.raises(CometChatException):
            hall.dispatcher.start()

    def start_second() -> None:
        second_waits.set()
        hall.dispatcher.start()

    monkeypatch.setattr(_threads, "start_thread", refuse_first)
    first, second = threading.Thread(target=start_first), threading.Thread(target=start_second)
    first.start()
    assert first_waits.wait(DEADLINE)
    second.start()
    second.join(DEADLINE)
    assert hall.dispatcher.alive
    assert not hall.registry.queue_up(Wakeup()).is_set()


@pytest.mark.parametrize("starts", [True, False])
def test_a_close_during_a_start(hall: Hall, monkeypatch: pytest.MonkeyPatch, starts: bool) -> None:
    """The end comes once: from the thread, or from the call that could not start it."""
    hall.listen()
    ended: List[str] = []
    hall.dispatcher._inbox = cast(Any, SimpleNamespace(close=lambda: ended.append("inbox"), write_waiting=lambda: None))
    right, attempts = _threads.start_thread, []

    def start_thread(thread: threading.Thread) -> None:
        attempts.append(thread)
        hall.dispatcher.close()
        assert ended == []
        if not starts:
            raise RuntimeError("no memory")
        right(thread)

    monkeypatch.setattr(_threads, "start_thread", start_thread)
    with contextlib.nullcontext() if starts else pytest.raises(CometChatException):
        hall.dispatcher.start()
    hall.dispatcher.join(DEADLINE)
    assert ended == ["inbox"] and hall.registry.queue_up(Wakeup()).is_set() and len(attempts) == 1


def test_start_returns_when_the_thread_runs(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second call waits for the start by another thread: ``connect()`` must not return before the callbacks."""
    listener = hall.listen(kind="user")
    start = HeldStart(monkeypatch, hall)
    second = threading.Thread(target=hall.dispatcher.start)
    second.start()
    second.join(0.1)
    assert second.is_alive()
    start.release()
    second.join(DEADLINE)
    hall.post("on_event", kind="user")
    hall.dispatcher.drain(DEADLINE)
    assert listener.names == ["on_event"]
