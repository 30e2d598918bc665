"""The dispatcher: calls in order, on its own thread, each listener for itself."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest

from cometchat._runtime.dispatcher import Dispatcher
from cometchat._runtime.registry import Registry

DEADLINE = 10.0


class Listener:
    """Keeps every call; ``hooks[method]`` is called from inside."""

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


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def dispatcher(registry: Registry) -> Iterator[Dispatcher]:
    made = Dispatcher(registry, "cometchat-dispatcher-test")
    yield made
    made.close()
    made.join(DEADLINE)
    assert "cometchat-dispatcher-test" not in [thread.name for thread in threading.enumerate()]


def listen(registry: Registry, name: str = "id", kind: str = "connection") -> Listener:
    listener = Listener()
    registry.add(kind, name, listener)
    return listener


def settle(dispatcher: Dispatcher) -> None:
    """Everything that was queued has been delivered."""
    dispatcher.start()
    began = time.monotonic()
    dispatcher.drain(DEADLINE)
    assert time.monotonic() - began < DEADLINE


class Gate:
    """Holds the dispatcher in a callback until it is opened."""

    def __init__(self, listener: Listener, method: str) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()
        listener.hooks[method] = self._wait

    def _wait(self) -> None:
        self.reached.set()
        self._open.wait(DEADLINE)

    def wait_for(self) -> None:
        assert self.reached.wait(DEADLINE)

    def open(self) -> None:
        self._open.set()


# Order, arguments, thread.


def test_calls_come_in_order_with_their_arguments(registry: Registry, dispatcher: Dispatcher) -> None:
    """A thousand calls: each once, in the order in which they were posted, with what was posted, numbered."""
    listener = listen(registry)
    numbers = [dispatcher.post("connection", "on_it", number, {"n": number}) for number in range(1000)]
    settle(dispatcher)
    assert listener.calls == [("on_it", number, {"n": number}) for number in range(1000)]
    assert numbers == list(range(1, 1001))


def test_what_is_posted_before_the_start_is_delivered(registry: Registry, dispatcher: Dispatcher) -> None:
    """The thread is started on need; what waits for it is not lost."""
    listener = listen(registry)
    dispatcher.post("connection", "on_it")
    assert listener.calls == []
    settle(dispatcher)
    assert listener.names == ["on_it"]


def test_listeners_are_called_in_the_order_of_their_registration(registry: Registry, dispatcher: Dispatcher) -> None:
    """All of one call before any of the next."""
    order: List[str] = []
    for name in ("a", "b", "c"):
        listen(registry, name).hooks["on_it"] = lambda name=name: order.append(name)
    dispatcher.post("connection", "on_it")
    dispatcher.post("connection", "on_it")
    settle(dispatcher)
    assert order == ["a", "b", "c"] * 2


def test_only_listeners_of_the_kind_are_called(registry: Registry, dispatcher: Dispatcher) -> None:
    """A login is none of a ConnectionListener's business."""
    one, other = listen(registry, kind="connection"), listen(registry, kind="login")
    dispatcher.post("login", "on_it")
    settle(dispatcher)
    assert (one.names, other.names) == ([], ["on_it"])


def test_all_calls_come_on_one_named_daemon_thread(registry: Registry, dispatcher: Dispatcher) -> None:
    """Whoever posts: the thread is the dispatcher's, a daemon, and starting again makes no second one."""
    listener = listen(registry)
    daemons: List[bool] = []
    listener.hooks["on_it"] = lambda: daemons.append(threading.current_thread().daemon)
    for _ in range(3):
        dispatcher.start()
    posters = [threading.Thread(target=dispatcher.post, args=("connection", "on_it")) for _ in range(5)]
    for poster in posters:
        poster.start()
    for poster in posters:
        poster.join(DEADLINE)
    settle(dispatcher)
    assert listener.threads == ["cometchat-dispatcher-test"] * 5 and daemons == [True] * 5
    assert [t.name for t in threading.enumerate()].count("cometchat-dispatcher-test") == 1


def test_posting_does_not_wait(registry: Registry, dispatcher: Dispatcher) -> None:
    """While a listener blocks, ten thousand posts return, and nobody is called meanwhile."""
    listener = listen(registry)
    gate = Gate(listener, "on_block")
    dispatcher.start()
    dispatcher.post("connection", "on_block")
    gate.wait_for()
    for _ in range(10_000):
        dispatcher.post("connection", "on_it")
    assert listener.names == ["on_block"]
    gate.open()
    settle(dispatcher)
    assert len(listener.calls) == 10_001


# Isolation.


@pytest.mark.parametrize(
    "error",
    [ValueError("mine"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), BaseException("mine"), StopIteration()],
    ids=lambda error: type(error).__name__,
)
def test_a_listener_that_raises_is_logged_and_harmless(
    registry: Registry, dispatcher: Dispatcher, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it raises: the others hear this call and the next, and so does it; the log has kind, id and method."""

    def fail() -> None:
        raise error

    first, bad, last = (listen(registry, name) for name in ("first", "bad one", "last"))
    bad.hooks["on_it"] = fail
    with caplog.at_level(logging.ERROR, "cometchat.listeners"):
        dispatcher.post("connection", "on_it")
        dispatcher.post("connection", "on_next")
        settle(dispatcher)
    assert [listener.names for listener in (first, bad, last)] == [["on_it", "on_next"]] * 3
    (record,) = caplog.records
    assert record.levelname == "ERROR" and record.exc_info is not None and record.exc_info[1] is error
    assert all(part in record.getMessage() for part in ("connection", "'bad one'", "on_it"))


def test_a_listener_without_the_method_is_logged_and_harmless(
    registry: Registry, dispatcher: Dispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    """As one whose attribute of that name is no function."""
    bad, good = listen(registry, "bad"), listen(registry, "good")
    bad.on_it = None  # type: ignore[attr-defined]
    dispatcher.post("connection", "on_it")
    settle(dispatcher)
    assert good.names == ["on_it"] and "TypeError" in caplog.text


# Who comes late, who goes.


def test_a_late_listener_hears_of_nothing_older(registry: Registry, dispatcher: Dispatcher) -> None:
    """What was posted before the registration is not heard, even if it is delivered after it."""
    first = listen(registry, "first")
    gate = Gate(first, "on_one")
    dispatcher.start()
    dispatcher.post("connection", "on_one")
    dispatcher.post("connection", "on_two")
    gate.wait_for()
    late = listen(registry, "late")
    dispatcher.post("connection", "on_three")
    gate.open()
    settle(dispatcher)
    assert (first.names, late.names) == (["on_one", "on_two", "on_three"], ["on_three"])


def test_a_replaced_listener_hears_nothing_more(registry: Registry, dispatcher: Dispatcher) -> None:
    """Neither of what was queued before; and its successor hears of what comes after only."""
    old = listen(registry)
    gate = Gate(old, "on_one")
    dispatcher.start()
    dispatcher.post("connection", "on_one")
    dispatcher.post("connection", "on_two")
    gate.wait_for()
    new = listen(registry)
    dispatcher.post("connection", "on_three")
    gate.open()
    settle(dispatcher)
    assert (old.names, new.names) == (["on_one"], ["on_three"])


def test_a_listener_that_is_removed_from_another_thread_hears_nothing_more(
    registry: Registry, dispatcher: Dispatcher
) -> None:
    """Not even the call that is being delivered, if its turn has not come yet."""
    first, second = listen(registry, "first"), listen(registry, "second")
    gate = Gate(first, "on_one")
    dispatcher.start()
    dispatcher.post("connection", "on_one")
    gate.wait_for()
    registry.remove("connection", "second")
    gate.open()
    settle(dispatcher)
    assert (first.names, second.names) == (["on_one"], [])


def test_removal_inside_a_callback(registry: Registry, dispatcher: Dispatcher) -> None:
    """A listener may remove itself and another one; both hear nothing more, whoever is left hears everything."""
    one, two, three = (listen(registry, name) for name in ("one", "two", "three"))

    def remove() -> None:
        registry.remove("connection", "one")
        registry.remove("connection", "two")

    one.hooks["on_it"] = remove
    dispatcher.post("connection", "on_it")
    dispatcher.post("connection", "on_next")
    settle(dispatcher)
    assert (one.names, two.names, three.names) == (["on_it"], [], ["on_it", "on_next"])


def test_adding_inside_a_callback(registry: Registry, dispatcher: Dispatcher) -> None:
    """The new listener hears from the next post on: not of the call that is being delivered, nor of what was queued."""
    one, new = listen(registry, "one"), Listener()

    def add() -> None:
        registry.add("connection", "new", new)
        dispatcher.post("connection", "on_third")

    one.hooks["on_first"] = add
    dispatcher.post("connection", "on_first")
    dispatcher.post("connection", "on_second")
    settle(dispatcher)
    settle(dispatcher)
    assert (one.names, new.names) == (["on_first", "on_second", "on_third"], ["on_third"])


def test_posting_inside_a_callback(registry: Registry, dispatcher: Dispatcher) -> None:
    """It comes after what is queued already, and after all listeners have heard the call it was posted in."""
    order: List[Tuple[str, str]] = []
    one, two = listen(registry, "one"), listen(registry, "two")
    for method in ("on_first", "on_second", "on_third"):
        one.hooks[method] = lambda method=method: order.append(("one", method))
        two.hooks[method] = lambda method=method: order.append(("two", method))
    one.hooks["on_first"] = lambda: (order.append(("one", "on_first")), dispatcher.post("connection", "on_third"))
    dispatcher.post("connection", "on_first")
    dispatcher.post("connection", "on_second")
    settle(dispatcher)
    settle(dispatcher)
    assert order == [(who, what) for what in ("on_first", "on_second", "on_third") for who in ("one", "two")]


# Draining and cutting.


def test_drain_waits_for_what_is_queued(registry: Registry, dispatcher: Dispatcher) -> None:
    """When it returns, everything that was posted before has been told."""
    listener = listen(registry)
    dispatcher.start()
    for count in range(1, 50):
        dispatcher.post("connection", "on_it")
        dispatcher.drain(DEADLINE)
        assert len(listener.calls) == count


def test_drain_waits_no_longer_than_it_may(registry: Registry, dispatcher: Dispatcher) -> None:
    """Behind a listener that blocks it returns after its time."""
    listener = listen(registry)
    gate = Gate(listener, "on_block")
    dispatcher.start()
    dispatcher.post("connection", "on_block")
    gate.wait_for()
    began = time.monotonic()
    dispatcher.drain(0.05)
    assert 0.04 < time.monotonic() - began < 5
    gate.open()


def test_drain_does_not_wait_where_that_would_be_for_ever(registry: Registry, dispatcher: Dispatcher) -> None:
    """Before the start, from inside a callback, and after the end it returns at once."""
    spent: List[float] = []

    def drain() -> None:
        began = time.monotonic()
        dispatcher.drain(DEADLINE)
        spent.append(time.monotonic() - began)

    dispatcher.post("connection", "on_it")
    drain()
    listen(registry).hooks["on_now"] = drain
    dispatcher.post("connection", "on_now")
    settle(dispatcher)
    dispatcher.close()
    dispatcher.join(DEADLINE)
    drain()
    assert len(spent) == 3 and max(spent) < DEADLINE / 2


def test_cut_drops_what_an_old_connection_has_queued(registry: Registry, dispatcher: Dispatcher) -> None:
    """Of the connection's calls those that are older than the given one; other calls, and that one, are made."""
    listener = listen(registry)
    gate = Gate(listener, "on_block")
    dispatcher.start()
    dispatcher.post("connection", "on_block", of_connection=True)
    gate.wait_for()
    dispatcher.post("connection", "on_old", of_connection=True)
    dispatcher.post("connection", "on_other")
    last = dispatcher.post("connection", "on_disconnected", of_connection=True)
    dispatcher.cut(last)
    dispatcher.post("connection", "on_new", of_connection=True)
    gate.open()
    settle(dispatcher)
    assert listener.names == ["on_block", "on_other", "on_disconnected", "on_new"]


def test_cut_stops_a_call_that_is_being_delivered(registry: Registry, dispatcher: Dispatcher) -> None:
    """The listeners whose turn has not come yet do not hear it, and of the end only those that came while it was up."""
    registry.is_down = lambda: False
    first, second = listen(registry, "first"), listen(registry, "second")
    registry.is_down = lambda: True
    third = listen(registry, "third")
    gate = Gate(first, "on_old")
    dispatcher.start()
    dispatcher.post("connection", "on_old", of_connection=True)
    gate.wait_for()
    last = dispatcher.post("connection", "on_disconnected", of_connection=True)
    dispatcher.cut(last)
    gate.open()
    settle(dispatcher)
    assert (first.names, second.names) == (["on_old", "on_disconnected"], ["on_disconnected"])
    assert third.names == []


def test_a_smaller_cut_takes_nothing_back(registry: Registry, dispatcher: Dispatcher) -> None:
    """Two threads that cut: the later number holds."""
    listener = listen(registry)
    numbers = [dispatcher.post("connection", f"on_{name}", of_connection=True) for name in ("one", "two", "three")]
    dispatcher.cut(numbers[2])
    dispatcher.cut(numbers[0])
    settle(dispatcher)
    assert listener.names == ["on_three"]


# The end.


def test_close_delivers_what_is_queued(registry: Registry, dispatcher: Dispatcher) -> None:
    """The thread ends once it has told everything that was posted before."""
    listener = listen(registry)
    dispatcher.start()
    for _ in range(100):
        dispatcher.post("connection", "on_it")
    dispatcher.close()
    dispatcher.join(DEADLINE)
    assert len(listener.calls) == 100


def test_close_twice_and_post_afterwards(registry: Registry, dispatcher: Dispatcher) -> None:
    """Again: nothing. What is posted afterwards is numbered, and told to nobody; a new start makes no thread."""
    listener = listen(registry)
    dispatcher.start()
    dispatcher.close()
    dispatcher.close()
    dispatcher.join(DEADLINE)
    assert dispatcher.post("connection", "on_it") == 1
    dispatcher.start()
    dispatcher.drain(DEADLINE)
    assert listener.calls == []
    assert "cometchat-dispatcher-test" not in [thread.name for thread in threading.enumerate()]


def test_close_before_the_start(registry: Registry, dispatcher: Dispatcher) -> None:
    """There is no thread to end, and none is made any more; joining does not wait."""
    dispatcher.close()
    dispatcher.start()
    dispatcher.join(DEADLINE)
    assert "cometchat-dispatcher-test" not in [thread.name for thread in threading.enumerate()]


def test_close_and_join_from_inside_a_callback(registry: Registry, dispatcher: Dispatcher) -> None:
    """The thread does not wait for itself, tells what was queued before the close, and ends."""
    listener, ended = listen(registry), threading.Event()

    def end() -> None:
        dispatcher.close()
        dispatcher.join(DEADLINE)
        ended.set()

    listener.hooks["on_one"] = end
    dispatcher.post("connection", "on_one")
    dispatcher.post("connection", "on_two")
    dispatcher.start()
    assert ended.wait(DEADLINE / 2)
    dispatcher.join(DEADLINE)
    assert listener.names == ["on_one", "on_two"]


def test_join_waits_no_longer_than_it_may(registry: Registry, dispatcher: Dispatcher) -> None:
    """A listener that blocks holds the thread; whoever joins it goes on after the time."""
    gate = Gate(listen(registry), "on_block")
    dispatcher.start()
    dispatcher.post("connection", "on_block")
    gate.wait_for()
    dispatcher.close()
    began = time.monotonic()
    dispatcher.join(0.05)
    assert 0.04 < time.monotonic() - began < 5
    gate.open()
