"""The registry: who listens, from when on."""

from __future__ import annotations

import logging
import threading
from typing import Any, List

import pytest

from cometchat._runtime.registry import Registry


def ids(registry: Registry, kind: str = "connection") -> List[str]:
    return [entry.listener_id for entry in registry.entries(kind)]


def stamped(registry: Registry) -> int:
    """Number one notification."""
    return registry.stamp(lambda seq: None)


def test_listeners_stand_in_the_order_of_their_registration() -> None:
    """First come, first called; a replaced one keeps its place; one that comes back is the last."""
    registry = Registry()
    for name in ("a", "b", "c"):
        registry.add("connection", name, object())
    registry.add("connection", "b", object())
    assert ids(registry) == ["a", "b", "c"]
    registry.remove("connection", "a")
    registry.add("connection", "a", object())
    assert ids(registry) == ["b", "c", "a"]


def test_kinds_are_apart() -> None:
    """The same id for two kinds is two registrations; a kind without any has none."""
    registry = Registry()
    one, other = object(), object()
    registry.add("connection", "id", one)
    registry.add("login", "id", other)
    registry.remove("connection", "id")
    assert registry.entries("connection") == () == registry.entries("message")
    assert [entry.listener for entry in registry.entries("login")] == [other]


def test_an_unknown_id_is_nothing() -> None:
    """Removing what is not there, twice or of another kind, changes nothing."""
    registry = Registry()
    registry.remove("connection", "id")
    registry.add("connection", "id", object())
    registry.remove("login", "id")
    registry.remove("connection", "other")
    assert ids(registry) == ["id"]


def test_a_listener_hears_from_its_registration_on() -> None:
    """``since`` is the number of the next notification."""
    registry = Registry()
    assert [stamped(registry) for _ in range(3)] == [1, 2, 3]
    registry.add("connection", "id", object())
    (entry,) = registry.entries("connection")
    assert entry.since == 4 == stamped(registry)


def test_a_replaced_listener_is_no_longer_active(caplog: pytest.LogCaptureFixture) -> None:
    """The old entry, which a call may hold, says so; the new one hears from now on; a warning names kind and id."""
    registry = Registry()
    registry.add("login", "light", object())
    (old,) = registry.entries("login")
    stamped(registry)
    with caplog.at_level(logging.WARNING, "cometchat.listeners"):
        registry.add("login", "light", object())
    (new,) = registry.entries("login")
    assert (old.active, new.active, old.since, new.since) == (False, True, 1, 2)
    (record,) = caplog.records
    assert record.levelname == "WARNING" and "login" in record.getMessage() and "'light'" in record.getMessage()


def test_the_same_listener_again_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    """Registering what is registered is harmless, and hears from then on."""
    registry, listener = Registry(), object()
    registry.add("connection", "id", listener)
    stamped(registry)
    registry.add("connection", "id", listener)
    assert caplog.records == []
    assert [(entry.listener, entry.since) for entry in registry.entries("connection")] == [(listener, 2)]


def test_a_removed_listener_is_no_longer_active() -> None:
    """The entry, which a call may hold, says so."""
    registry = Registry()
    registry.add("connection", "id", object())
    (entry,) = registry.entries("connection")
    registry.remove("connection", "id")
    assert not entry.active


def test_what_was_read_does_not_change() -> None:
    """A snapshot stays what it was when listeners come and go: a call runs through it without a lock."""
    registry = Registry()
    registry.add("connection", "a", object())
    before = registry.entries("connection")
    registry.add("connection", "b", object())
    registry.remove("connection", "a")
    assert [entry.listener_id for entry in before] == ["a"] and ids(registry) == ["b"]


def test_during_registers_for_a_block() -> None:
    """Under an id of its own, twice at once if need be, and removed on every way out."""
    registry, listener = Registry(), object()
    with registry.during("connection", listener) as given, registry.during("connection", listener):
        assert given is listener and len(set(ids(registry))) == 2
    with pytest.raises(KeyError), registry.during("connection", listener):
        raise KeyError
    assert ids(registry) == []


def test_during_registers_on_entry() -> None:
    """Not before: what happens between the call and the ``with`` is not heard."""
    registry = Registry()
    manager = registry.during("connection", object())
    assert ids(registry) == []
    stamped(registry)
    with manager:
        (entry,) = registry.entries("connection")
        assert entry.since == 2


def test_numbers_are_in_the_order_of_the_queue() -> None:
    """Eight threads that queue at once: what is queued is numbered without a gap, in the order in which it stands."""
    registry, start = Registry(), threading.Barrier(8)
    queued: List[int] = []

    def post() -> None:
        start.wait(10)
        for _ in range(500):
            registry.stamp(queued.append)

    threads = [threading.Thread(target=post) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert queued == list(range(1, 4001))


def test_listeners_that_come_and_go_at_once() -> None:
    """Eight threads that add and remove their own: in the end nobody is left, and no reader saw a half of anything."""
    registry, start, wrong = Registry(), threading.Barrier(8), []

    def come_and_go(number: int) -> None:
        start.wait(10)
        for turn in range(200):
            registry.add("connection", f"{number}-{turn}", object())
            mine = [listener_id for listener_id in ids(registry) if listener_id.startswith(f"{number}-")]
            if mine != [f"{number}-{turn}"]:
                wrong.append(mine)
            registry.remove("connection", f"{number}-{turn}")

    threads = [threading.Thread(target=come_and_go, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == [] and ids(registry) == []


def test_a_warning_is_logged_without_the_lock(caplog: pytest.LogCaptureFixture) -> None:
    """A log handler that uses the SDK, as one that posts to a chat does, does not deadlock."""
    registry = Registry()
    seen: List[Any] = []

    class Asking(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            registry.add("login", "from the handler", object())
            seen.append(stamped(registry))

    handler = Asking()
    logger = logging.getLogger("cometchat.listeners")
    logger.addHandler(handler)
    try:
        registry.add("connection", "id", object())
        registry.add("connection", "id", object())
    finally:
        logger.removeHandler(handler)
    assert seen == [1] and ids(registry, "login") == ["from the handler"]
