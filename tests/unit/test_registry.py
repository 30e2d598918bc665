"""The registry: the listeners, and the first event that each of them gets."""

from __future__ import annotations

import logging
import threading
from typing import Any, List

import pytest

from cometchat._runtime._registry import CONNECTION, ListenerRegistry, ScopedListener
from cometchat._runtime.delivery import EventQueue

DEADLINE = 10.0


def ids(registry: ListenerRegistry, kind: str = CONNECTION) -> List[str]:
    return [entry.listener_id for entry in registry.audience(kind).entries]


def numbered(registry: ListenerRegistry) -> int:
    """Queue one event, and return its number."""
    EventQueue(registry, 100).post("login", "login_success")
    return registry.last_number


def in_threads(count: int, work: object) -> None:
    """Run ``work(number)`` on several threads that start at the same moment."""
    start = threading.Barrier(count)

    def run(number: int) -> None:
        start.wait(DEADLINE)
        work(number)  # type: ignore[operator]

    threads = [threading.Thread(target=run, args=(number,), name="test-registry") for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()


def test_listeners_stand_in_the_order_of_their_registration() -> None:
    """A replaced listener keeps its place. One that is added again after its removal is the last."""
    registry = ListenerRegistry()
    for name in ("a", "b", "c"):
        registry.add(CONNECTION, name, object())
    registry.add(CONNECTION, "b", object())
    assert ids(registry) == ["a", "b", "c"]
    registry.remove(CONNECTION, "a")
    registry.add(CONNECTION, "a", object())
    assert ids(registry) == ["b", "c", "a"]


def test_kinds_are_apart() -> None:
    """The same id for two kinds is two registrations. A kind without a listener has an empty audience."""
    registry = ListenerRegistry()
    one, other = object(), object()
    registry.add(CONNECTION, "id", one)
    registry.add("login", "id", other)
    registry.remove(CONNECTION, "id")
    assert registry.audience(CONNECTION).entries == () == registry.audience("message").entries
    assert registry.audience("login").listeners == (other,)


def test_an_unknown_id_is_nothing() -> None:
    """Removing an unknown id, or one of another kind, is a no-op."""
    registry = ListenerRegistry()
    registry.remove(CONNECTION, "id")
    registry.add(CONNECTION, "id", object())
    changes = registry.changes
    registry.remove("login", "id")
    registry.remove(CONNECTION, "other")
    assert ids(registry) == ["id"] and registry.changes == changes


def test_a_listener_gets_events_from_its_registration_on() -> None:
    """``since`` is the number of the next event."""
    registry = ListenerRegistry()
    assert [numbered(registry) for _ in range(3)] == [1, 2, 3]
    registry.add(CONNECTION, "id", object())
    (entry,) = registry.audience(CONNECTION).entries
    assert entry.since == 4 == numbered(registry)


def test_the_audience_knows_the_first_event_for_all() -> None:
    """``since`` of the audience is that of its newest listener, and falls when that one leaves."""
    registry = ListenerRegistry()
    registry.add("user", "a", object())
    numbered(registry)
    registry.add("user", "b", object())
    assert registry.audience("user").since == 2
    registry.remove("user", "b")
    assert registry.audience("user").since == 1


def test_a_replaced_listener_is_no_longer_active(caplog: pytest.LogCaptureFixture) -> None:
    """A call may still have the old entry, which is marked.

    The new listener gets events from now on, and a warning names kind and id.
    """
    registry = ListenerRegistry()
    registry.add("login", "light", object())
    (old,) = registry.audience("login").entries
    numbered(registry)
    with caplog.at_level(logging.WARNING, "cometchat.listeners"):
        registry.add("login", "light", object())
    (new,) = registry.audience("login").entries
    assert (old.active, new.active, old.since, new.since) == (False, True, 1, 2)
    (record,) = caplog.records
    assert record.levelname == "WARNING" and "login" in record.getMessage() and "'light'" in record.getMessage()


def test_a_second_registration_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The listener still gets the events that were queued before it, and no warning is logged."""
    registry, listener = ListenerRegistry(), object()
    registry.add(CONNECTION, "id", listener)
    (first,), changes = registry.audience(CONNECTION).entries, registry.changes
    numbered(registry)
    registry.add(CONNECTION, "id", listener)
    assert caplog.records == [] and registry.changes == changes
    assert registry.audience(CONNECTION).entries == (first,) and (first.active, first.since) == (True, 1)


def test_a_removed_listener_is_no_longer_active() -> None:
    """A call may still have the entry, which is marked."""
    registry = ListenerRegistry()
    registry.add(CONNECTION, "id", object())
    (entry,) = registry.audience(CONNECTION).entries
    registry.remove(CONNECTION, "id")
    assert not entry.active


def test_an_audience_does_not_change() -> None:
    """An audience does not change when listeners are added and removed: a call uses it without a lock."""
    registry = ListenerRegistry()
    registry.add(CONNECTION, "a", object())
    before = registry.audience(CONNECTION)
    registry.add(CONNECTION, "b", object())
    registry.remove(CONNECTION, "a")
    assert [entry.listener_id for entry in before.entries] == ["a"] and ids(registry) == ["b"]
    assert len(before.listeners) == 1


def test_each_change_of_an_audience_is_counted() -> None:
    """After a new, a replaced and a removed listener, the dispatcher looks again before it continues."""
    registry = ListenerRegistry()
    counts = [registry.changes]
    for change in (registry.add, registry.add):
        change("user", "id", object())
        counts.append(registry.changes)
    registry.remove("user", "id")
    counts.append(registry.changes)
    assert counts == [0, 1, 2, 3]


def test_whether_listeners_exist_of_some_kinds() -> None:
    """One listener of one of the kinds is enough."""
    registry = ListenerRegistry()
    registry.add("user", "id", object())
    assert not registry.has_listeners(("message", "call"))
    registry.add("call", "id", object())
    assert registry.has_listeners(("message", "call"))
    registry.remove("call", "id")
    assert not registry.has_listeners(("message", "call"))


# A new listener's view of the connection.


@pytest.mark.parametrize(
    "transitions, told",
    [
        ([], "on_disconnected"),
        (["on_connecting"], None),
        (["on_connecting", "on_connection_error"], None),
        (["on_connecting", "on_connected"], None),
        (["on_connecting", "on_connected", "on_disconnected"], "on_disconnected"),
        (["on_connecting", "on_disconnected", "on_connection_error"], "on_disconnected"),
    ],
)
def test_a_new_listener_knows_that_there_is_no_connection(transitions: List[str], told: object) -> None:
    """The newest queued transition counts, delivered or not. An error is not a transition."""
    registry = ListenerRegistry()
    events = EventQueue(registry, 100)
    for method in transitions:
        events.post(CONNECTION, method)
    registry.add(CONNECTION, "id", object())
    (entry,) = registry.audience(CONNECTION).entries
    assert entry.known == told


def test_only_events_of_the_connection_are_transitions() -> None:
    """A login is an event of another kind."""
    registry = ListenerRegistry()
    EventQueue(registry, 100).post("login", "login_success")
    assert registry.last_transition == "on_disconnected"


def test_after_a_fork_the_lock_is_a_new_one() -> None:
    """Another thread of the parent may have held it. The child has no connection."""
    registry = ListenerRegistry()
    EventQueue(registry, 100).post(CONNECTION, "on_connected")
    registry.add("user", "id", object())
    in_threads(1, lambda number: registry.lock.acquire())
    registry.reset_after_fork()
    assert registry.lock.acquire(blocking=False)
    registry.lock.release()
    assert (registry.last_transition, ids(registry, "user")) == ("on_disconnected", ["id"])


# For the time of a block.


def nothing(kind: str) -> None:
    """Start nothing for a listener of this kind."""


def test_a_block_that_can_not_begin_registers_no_listener() -> None:
    """The client can start no thread for the listener. A later block begins from the start."""
    registry, failures = ListenerRegistry(), [RuntimeError("no thread")]

    def changed(kind: str) -> None:
        assert kind == CONNECTION and ids(registry) != []
        if failures:
            raise failures.pop()

    manager = ScopedListener(registry, object(), changed)
    with pytest.raises(RuntimeError):
        manager.__enter__()
    assert ids(registry) == []
    with manager:
        assert len(ids(registry)) == 1
    assert ids(registry) == []


def test_a_scoped_listener_is_registered_for_a_block() -> None:
    """The listener gets a new id, and is removed on every way out.

    Two of them for one listener are two registrations.
    """
    registry, listener = ListenerRegistry(), object()
    with ScopedListener(registry, listener, nothing) as given, ScopedListener(registry, listener, nothing):
        assert given is listener and len(set(ids(registry))) == 2
    with pytest.raises(KeyError), ScopedListener(registry, listener, nothing):
        raise KeyError
    assert ids(registry) == []


def test_a_scoped_listener_is_registered_on_entry() -> None:
    """The listener does not get events between the construction and the ``with``."""
    registry = ListenerRegistry()
    manager = ScopedListener(registry, object(), nothing)
    assert ids(registry) == []
    numbered(registry)
    with manager:
        (entry,) = registry.audience(CONNECTION).entries
        assert entry.since == 2


def test_a_scoped_listener_may_be_entered_again() -> None:
    """Inside itself it stays the same registration, until the outer block ends. After that it is a new one."""
    registry = ListenerRegistry()
    manager = ScopedListener(registry, object(), nothing)
    with manager:
        (outer,) = registry.audience(CONNECTION).entries
        with manager:
            assert registry.audience(CONNECTION).entries == (outer,)
        assert outer.active
    assert ids(registry) == [] and not outer.active
    with manager:
        assert ids(registry) == [outer.listener_id]


def test_blocks_of_two_threads_share_a_scoped_listener(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that begins while another thread begins one has the listener, and keeps it when the other one ends."""
    registry, listener = ListenerRegistry(), object()
    manager = ScopedListener(registry, listener, nothing)
    add, adds, second_waits = registry.add, threading.Event(), threading.Event()

    def slow_add(*args: Any) -> None:
        adds.set()
        second_waits.wait(0.2)  # the other thread may run now; it must not begin its block
        add(*args)

    monkeypatch.setattr(registry, "add", slow_add)

    def block(number: int) -> None:
        if number == 0:
            with manager:
                pass
        else:
            assert adds.wait(DEADLINE)
            with manager:
                begun.append(registry.audience(CONNECTION).listeners)
                second_waits.set()

    begun: List[object] = []
    in_threads(2, block)
    assert begun == [(listener,)]
    assert ids(registry) == []


def test_new_ids_differ() -> None:
    """New ids differ also for several threads."""
    registry, made = ListenerRegistry(), []
    in_threads(4, lambda number: made.extend([registry.new_id("with") for _ in range(200)]))
    assert len(set(made)) == 800


def test_new_ids_avoid_the_ids_of_users() -> None:
    """A user may have chosen an id of the same form, for any kind of listener."""
    registry = ListenerRegistry()
    registry.add(CONNECTION, "with-1", object())
    registry.add("message", "with-2", object())
    assert registry.new_id("with") == "with-3"


# Several threads.


def test_numbers_are_in_the_order_of_the_queue() -> None:
    """Eight threads queue at once. The events are numbered without a gap, in their order in the queue."""
    registry = ListenerRegistry()
    registry.add("login", "id", object())
    events = EventQueue(registry, 100)

    def post(number: int) -> None:
        for _ in range(500):
            events.post("login", "login_success")

    in_threads(8, post)
    assert [events.take()[0].number for _ in range(4000)] == list(range(1, 4001))  # type: ignore[union-attr]


def test_listeners_that_come_and_go_at_once() -> None:
    """Eight threads add and remove their own. No listener is left, and each reader gets whole changes."""
    registry, wrong = ListenerRegistry(), []

    def come_and_go(number: int) -> None:
        for turn in range(200):
            registry.add(CONNECTION, f"{number}-{turn}", object())
            mine = [listener_id for listener_id in ids(registry) if listener_id.startswith(f"{number}-")]
            if mine != [f"{number}-{turn}"]:
                wrong.append(mine)
            registry.remove(CONNECTION, f"{number}-{turn}")

    in_threads(8, come_and_go)
    assert wrong == [] and ids(registry) == []
    assert registry.changes == 8 * 200 * 2


def test_a_warning_is_logged_without_the_lock(caplog: pytest.LogCaptureFixture) -> None:
    """A log handler that waits for another thread's use of the SDK does not deadlock."""
    registry = ListenerRegistry()

    class Asking(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            in_threads(1, lambda number: registry.add("login", "from the handler", object()))

    handler = Asking()
    logger = logging.getLogger("cometchat.listeners")
    logger.addHandler(handler)
    try:
        registry.add(CONNECTION, "id", object())
        registry.add(CONNECTION, "id", object())
    finally:
        logger.removeHandler(handler)
    assert ids(registry, "login") == ["from the handler"]
