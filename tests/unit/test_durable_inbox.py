"""The durable inbox records the messages that callbacks have handled, and the next process continues after them."""

from __future__ import annotations

import itertools
import logging
import os
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Set, Tuple

import pytest
from no_threads import no_threads

from cometchat import AppSettings, CometChatException, ConnectionException, RateLimitException
from cometchat._log import SafeLog
from cometchat._protocol._delivery import Delivery, Self
from cometchat._runtime._registry import ListenerRegistry
from cometchat._runtime._session import Owner
from cometchat._runtime._threads import Wakeup
from cometchat._runtime.delivery import Dispatcher, EventQueue, Inbox, InboxStore, Journal, _inbox_store, _journal
from cometchat._runtime.delivery._catch_up import PATIENCE, TURN, CatchUp
from cometchat._runtime.delivery._inbox_store import Handled, Progress
from cometchat._runtime.delivery._queue import Event, Stored

DEADLINE = 10.0
LOG = SafeLog(logging.getLogger("cometchat.messages"), lambda: "client 7, amy")
ME = Owner("app", "amy")

_numbers = itertools.count(1)


def text_message(number: int, **more: Any) -> Dict[str, Any]:
    data = {"text": f"text {number}", "resource": "other", **more.pop("data", {})}
    return {"id": str(number), "category": "message", "type": "text", "sender": "u2", "data": data, **more}


class FakeStore:
    """The file, in memory. It outlives the process of a House."""

    def __init__(self) -> None:
        self.rows: List[Handled] = []
        self.floors: Dict[Owner, str] = {}
        self.resources: Set[str] = set()
        self.failures: Dict[str, int] = {}  # number of failures by method
        self.held_by_other = 0
        self.closed = 0

    def _may_fail(self, method: str) -> None:
        if self.failures.get(method):
            self.failures[method] -= 1
            raise CometChatException("ERR_INBOX_STORE", "the disk is full")

    def acquire(self, owner: Owner) -> bool:
        self._may_fail("acquire")
        self.held_by_other -= self.held_by_other > 0
        return not self.held_by_other

    def load(self, owner: Owner, resource: str) -> Progress:
        self._may_fail("load")
        self.resources.add(resource)
        rows = [row for row in self.rows if row.owner == owner]
        floor = self.floors.get(owner)
        position = rows[-1].position if rows else floor
        return Progress(position, floor, tuple(row.message_id for row in rows), frozenset(self.resources))

    def start(self, owner: Owner, floor: str) -> None:
        self.floors[owner] = floor

    def add(self, handled: Sequence[Handled]) -> None:
        self._may_fail("add")
        self.rows += handled

    def close(self) -> None:
        self.closed += 1

    @property
    def handled(self) -> List[int]:
        return [int(row.message_id) for row in self.rows]

    @property
    def positions(self) -> List[int]:
        return [int(row.position) for row in self.rows]


class History:
    """The messages that the service stores. ``errors`` are raised first, one for each question."""

    def __init__(self, numbers: Sequence[int], uid: str, resource: str) -> None:
        self.messages = [text_message(number) for number in numbers]
        self.errors: List[Exception] = []
        self.asked: List[str] = []
        self.me = Self(resource, uid)
        self.rate_limit_remaining: Optional[int] = None

    def client_name(self) -> str:
        return "client 7, amy"

    def _ask(self, question: str) -> None:
        self.asked.append(question)
        if self.errors:
            raise self.errors.pop(0)

    def messages_after(self, message_id: str, limit: int) -> List[Dict[str, Any]]:
        self._ask(message_id)
        return [message for message in list(self.messages) if int(message["id"]) > int(message_id)][:limit]

    def newest_message_id(self, ago: Optional[float] = None) -> str:
        self._ask("newest")
        newest: str = self.messages[-1]["id"] if self.messages else "0"
        return newest

    def message(self, message_id: str) -> Dict[str, Any]:
        raise ConnectionException("FAILED_TO_FETCH", "not asked for here")

    def renew(self) -> None:
        raise ConnectionException("FAILED_TO_FETCH", "not asked for here")


class Listener:
    """Keeps the numbers of the messages. ``hook`` is called inside the callback."""

    def __init__(self, hook: Callable[[int], object] = lambda number: None) -> None:
        self.numbers: List[int] = []
        self._hook = hook
        self._changed = threading.Condition()

    def on_text_message_received(self, message: Any) -> None:
        self._hook(int(message.id))
        with self._changed:
            self.numbers.append(int(message.id))
            self._changed.notify_all()

    def on_message_deleted(self, message: Any) -> None:
        self.on_text_message_received(message)

    def wait_for(self, *numbers: int) -> None:
        """Wait until this many messages came, and compare."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.numbers) >= len(numbers), DEADLINE)
            assert self.numbers == list(numbers)


class Happened:
    """Keeps the types of the frames. ``hook`` is called inside the callback."""

    def __init__(self, hook: Callable[[], object] = lambda: None) -> None:
        self.types: List[str] = []
        self._hook = hook

    def on_event(self, kind: str, body: object) -> None:
        self.types.append(kind)
        self._hook()


class House:
    """A process with a durable inbox. Its queue, dispatcher and thread are real, its store and history are not."""

    def __init__(
        self, store: Any, *stored: int, uid: str = "amy", hook: Callable[[int], object] = lambda number: None
    ) -> None:
        self.number = next(_numbers)
        self.store = store
        self.history = History(stored, uid, f"resource-{self.number}")
        self.registry = ListenerRegistry()
        self.events = EventQueue(self.registry, 1000)
        self.now = 0.0
        self.waits: List[float] = []
        self.journal = Journal(store, "app", log=LOG, clock=lambda: self.now)
        self.inbox = Inbox(
            self.registry,
            self.events,
            self.history,
            self.history,
            journal=self.journal,
            enabled=True,
            name=f"test-missed-{self.number}",
            clock=lambda: self.now,
            jitter=lambda: 1.0,
            wait=self._wait,
        )
        self.dispatcher = Dispatcher(
            self.registry, self.events, f"test-dispatcher-{self.number}", lambda: "client 7, amy", inbox=self.inbox
        )
        self.listener = Listener(hook)
        self.generation = self.events.advance()

    def _wait(self, event: Wakeup, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def listen(self, listener_id: str = "id", listener: Optional[Listener] = None) -> None:
        self.registry.add("message", listener_id, listener or self.listener)
        self.dispatcher.listener_added()
        self.inbox.listeners_changed()

    def begin(self) -> None:
        self.dispatcher.start()
        self.inbox.begin(self.generation)

    def up(self) -> None:
        """Connect with a listener, and wait until no message is missing."""
        self.registry.add("message", "id", self.listener)
        self.begin()
        self.settle()

    def settle(self) -> None:
        """Wait for the end of the catch-up, then of the callbacks."""
        for thread in threading.enumerate():
            if thread.name == f"test-missed-{self.number}":
                thread.join(DEADLINE)
                assert not thread.is_alive()
        assert self.events.passed().wait(DEADLINE)

    def live(self, *numbers: int, store: bool = True, own: bool = False, **more: Any) -> None:
        for number in numbers:
            body = text_message(number, **more)
            if store:
                self.history.messages.append(body)
            self.inbox.take(self.generation, body, own, 100)

    def disconnect(self) -> None:
        self.generation = self.events.advance()
        self.inbox.discard_old()

    def close(self) -> None:
        self.disconnect()
        self.dispatcher.close()
        self.dispatcher.join(DEADLINE)


@pytest.fixture
def build() -> Iterator[Callable[..., House]]:
    houses: List[House] = []

    def make(*args: Any, **options: Any) -> House:
        houses.append(House(*args, **options))
        return houses[-1]

    yield make
    for house in houses:
        house.close()


Build = Callable[..., House]


# Delivered messages.


def test_the_first_start_begins_with_the_newest_message(build: Build) -> None:
    """The history before it is not delivered, nor are the ids of the overlap."""
    store = FakeStore()
    house = build(store, *range(1, 41))
    house.up()
    house.live(41, 42)
    house.settle()
    house.listener.wait_for(41, 42)
    assert (store.floors, store.handled, store.positions) == ({ME: "40"}, [41, 42], [41, 42])


def test_a_message_before_the_answer_of_the_first_start(build: Build) -> None:
    """The message came over the connection, and the newest id is its own.

    It is delivered, and would be after a kill.
    """
    store = FakeStore()
    house = build(store, 1, 2)
    gate, ask = threading.Event(), house.history.newest_message_id

    def newest(ago: Optional[float] = None) -> str:
        assert gate.wait(DEADLINE)
        return ask(ago)

    house.history.newest_message_id = newest  # type: ignore[method-assign]
    house.listen()
    house.begin()
    house.live(3)
    gate.set()
    house.settle()
    house.listener.wait_for(3)
    assert store.floors == {ME: "2"}


def test_another_users_newest_message_is_no_start(build: Build) -> None:
    """Another user logged in before the request, so the answer may be about that user."""
    store = FakeStore()
    house = build(store, 1, 2)

    def newest(ago: Optional[float] = None) -> str:
        house.inbox.forget()
        house.history.me = Self("resource", "bob")
        return "77"

    house.history.newest_message_id = newest  # type: ignore[method-assign]
    house.up()
    assert store.floors == {}


def test_the_next_process_goes_on(build: Build) -> None:
    """The next process delivers the messages from in between, in order, before the live ones, each once."""
    store = FakeStore()
    first = build(store, 1)
    first.up()
    first.live(2, 3)
    first.settle()
    second = build(store, *range(1, 300))
    second.listen()
    second.begin()
    second.live(300)
    second.settle()
    second.listener.wait_for(*range(4, 301))


def test_a_kill_repeats_only_the_message_in_progress(build: Build) -> None:
    """While a callback runs, all earlier messages are recorded, and its own is not."""
    store, seen = FakeStore(), []
    house = build(store, 1, hook=lambda number: seen.append((number, list(store.handled))))
    house.up()
    house.live(2, 3, 4)
    house.settle()
    assert seen == [(2, []), (3, [2]), (4, [2, 3])]


def test_a_message_of_a_lower_id_that_comes_late(build: Build) -> None:
    """The message was not handled, so the next process delivers it. Messages around it are not repeated."""
    store = FakeStore()
    first = build(store, 1)
    first.up()
    first.live(5, 7, 6)
    first.settle()
    assert (store.handled, store.positions) == ([5, 7, 6], [5, 7, 7])
    second = build(store, 1, 4, 5, 6, 7, 8)
    second.up()
    second.listener.wait_for(4, 8)


def test_a_callback_that_raises_has_handled_its_message(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    """A message that always raises would otherwise stop the bot forever."""
    store = FakeStore()

    def fail(number: int) -> None:
        raise ValueError("of the callback")

    house = build(store, 1, hook=fail)
    house.up()
    house.live(2)
    house.settle()
    assert store.handled == [2]
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_it_is_recorded_after_the_last_of_several_listeners(build: Build) -> None:
    """By then, each of them has got it."""
    store, seen = FakeStore(), []
    house = build(store, 1)
    second = Listener(lambda number: seen.append((list(house.listener.numbers), list(store.handled))))
    house.registry.add("message", "second", second)
    house.registry.add("message", "id", house.listener)
    house.up()
    house.live(2)
    house.settle()
    assert (second.numbers, house.listener.numbers, store.handled) == ([2], [2], [2])
    assert [handled for _, handled in seen] == [[]]


def test_an_edit_is_a_change_and_moves_no_position(build: Build) -> None:
    """An edit has no id of its own."""
    store = FakeStore()
    house = build(store, 1)
    house.up()
    house.live(2)
    house.live(2, store=False, editedAt=5)
    house.settle()
    assert store.handled == [2]


# Listeners that are added and removed.


def test_messages_wait_for_the_first_listener(build: Build) -> None:
    """A client that is connected before it has a listener skips no message."""
    store = FakeStore()
    store.floors[ME] = "3"
    house = build(store, 3, 4)
    house.begin()
    house.live(5, 6)
    assert store.rows == [] and not house.dispatcher.alive
    house.listen()
    house.settle()
    house.listener.wait_for(4, 5, 6)


def test_events_that_are_not_messages_need_no_message_listener(build: Build) -> None:
    """A pin and a frame of an unknown type are not recorded. So they wait for no listener of messages."""
    house, happened = build(FakeStore()), Happened()
    house.begin()
    house.registry.add("event", "id", happened)
    house.dispatcher.listener_added()
    assert house.events.post_kept(Delivery("event", "on_event", ("new", {})), house.generation, 100)
    assert house.events.passed().wait(DEADLINE)
    assert happened.types == ["new"]


def test_events_that_are_not_messages_come_to_no_later_listener(build: Build) -> None:
    """Unlike a message that no listener got."""
    house, entered, leave = build(FakeStore()), threading.Event(), threading.Event()
    first, second = Happened(lambda: (entered.set(), leave.wait(DEADLINE))), Happened()
    house.up()
    house.registry.add("event", "id", first)
    for kind in ("one", "two"):
        assert house.events.post_kept(Delivery("event", "on_event", (kind, {})), house.generation, 100)
    assert entered.wait(DEADLINE)
    house.registry.add("event", "id", second)
    leave.set()
    assert house.events.passed().wait(DEADLINE)
    assert (first.types, second.types) == (["one"], [])


def held(build: Build, *numbers: int) -> Tuple[House, FakeStore, threading.Event]:
    """Return a house, its store, and an event. Its listener is in the first message's callback until that is set."""
    store, gate, reached = FakeStore(), threading.Event(), threading.Event()

    def hold(number: int) -> None:
        reached.set()
        assert gate.wait(DEADLINE)

    house = build(store, 1, hook=hold)
    house.up()
    house.live(*numbers)
    assert reached.wait(DEADLINE)
    return house, store, gate


@pytest.mark.parametrize("at_once", [False, True])
def test_a_queue_that_outlives_its_listener(at_once: bool, build: Build) -> None:
    """Messages that no callback has handled wait for the next listener, in order."""
    house, store, gate = held(build, 2, 3, 4)
    other, ask = Listener(), house.inbox.for_listeners

    def for_listeners(event: Event) -> Optional[Event]:
        house.inbox.for_listeners = ask  # type: ignore[method-assign]
        answer = ask(event)
        house.listen("other", other)  # before the queue is empty
        return answer

    if at_once:
        house.inbox.for_listeners = for_listeners  # type: ignore[method-assign]
    house.registry.remove("message", "id")
    gate.set()
    if not at_once:
        house.settle()
        assert store.handled == [2]
        house.listen("other", other)
    house.live(5)
    other.wait_for(3, 4, 5)


def test_a_second_listener_gets_no_older_messages(build: Build) -> None:
    """Those that wait for the first one are older than its registration."""
    house, _, gate = held(build, 2, 3)
    other = Listener()
    house.listen("other", other)
    house.live(4)
    gate.set()
    house.listener.wait_for(2, 3, 4)
    other.wait_for(4)


def test_a_listener_in_the_place_of_another(build: Build) -> None:
    """Messages that were queued for the first one go to the second."""
    house, store, gate = held(build, 2, 3, 4)
    other = Listener()
    house.listen("id", other)
    gate.set()
    other.wait_for(3, 4)  # although no event is newer than the listener
    house.settle()
    assert store.handled == [2, 3, 4]


@pytest.mark.parametrize("others", [0, 4])
@pytest.mark.parametrize("replaced", [True, False])
def test_a_listener_that_is_removed_at_the_last_moment(replaced: bool, others: int, build: Build) -> None:
    """A message for which no callback was called is not handled. It goes to the next listener."""
    store, other = FakeStore(), Listener()
    house = build(store, 1)
    for number in range(others):
        house.registry.add("message", f"unused {number}", Listener())
    house.up()
    ask = house.inbox.for_listeners

    def for_listeners(event: Event) -> Optional[Event]:
        house.inbox.for_listeners = ask  # type: ignore[method-assign]
        answer = ask(event)
        for listener_id in ("id", *(f"unused {number}" for number in range(others))):
            house.registry.remove("message", listener_id)
        if replaced:
            house.listen("other", other)
        return answer

    house.inbox.for_listeners = for_listeners  # type: ignore[method-assign]
    house.live(2)
    if not replaced:
        house.settle()
        assert store.handled == []
        house.listen("other", other)
    other.wait_for(2)
    house.settle()
    assert store.handled == [2]


# Disconnects and logins.


def test_a_login_that_ends_while_the_file_is_read(build: Build) -> None:
    """The state in the file is the earlier user's. The next login does not begin with it."""

    class Ending(FakeStore):
        def load(self, owner: Owner, resource: str) -> Progress:
            house.inbox.forget()
            return super().load(owner, resource)

    store = Ending()
    store.start(ME, "1")
    house = build(store, 1)
    house.up()
    assert house.inbox._position.known is None


def test_a_login_that_ends_before_the_file_is_read(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    """Without a user there is nothing to read, and nothing to report."""
    house = build(FakeStore(), 1)
    house.history.me = Self("resource", None)
    house.up()
    assert house.history.asked == [] and caplog.records == []


def test_a_catch_up_that_is_stopped_just_before_its_wait_for_a_callback(build: Build) -> None:
    """The wait does not begin, and the file is left to the next catch-up, which may be another user's."""
    house, store, gate = held(build, 2)
    store.held_by_other = 2
    task = CatchUp(house.generation, None)
    task.stop()
    task.room.clear()  # as the thread does before each request
    house.inbox._thread._load(house.journal, task)
    gate.set()
    assert store.held_by_other == 2


def test_a_disconnect_discards_and_the_position_stays(build: Build) -> None:
    """The position does not pass discarded messages, and the next connection delivers them."""
    house, store, gate = held(build, 2, 3, 4)
    house.disconnect()
    gate.set()
    house.settle()
    assert store.positions == [2]
    house.begin()
    house.settle()
    house.listener.wait_for(2, 3, 4)


def test_a_late_discard_moves_no_position_past_its_messages(build: Build) -> None:
    """connect() on another thread is faster than the end of disconnect(), which a callback delays.

    The discarded message goes before those of the new connection, so a kill can't skip it.
    """
    store, blocked = FakeStore(), threading.Event()
    house = build(store, hook=lambda number: blocked.wait(DEADLINE))
    house.up()
    house.live(1, 2)
    house.history.messages.append(text_message(3))
    house.generation = house.events.advance()
    house.inbox.begin(house.generation)
    for thread in threading.enumerate():
        if thread.name == f"test-missed-{house.number}":
            thread.join(DEADLINE)
    house.inbox.discard_old()
    blocked.set()
    house.listener.wait_for(1, 2, 3)
    house.settle()
    assert (store.handled, store.positions) == ([1, 2, 3], [1, 2, 3])


def test_a_login_waits_for_the_callback_of_the_one_before(build: Build) -> None:
    """The message in it is recorded before the file is read, so that it is not delivered twice."""
    house, store, gate = held(build, 2)
    house.disconnect()
    house.inbox.forget()  # a logout, and a login of the same user
    house.begin()
    gate.set()
    house.settle()
    house.live(3)
    house.settle()
    house.listener.wait_for(2, 3)


def test_a_user_is_held_until_the_last_callback_of_the_users_messages(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user logs in during a callback. If the lock were released then, another process would repeat it."""
    house, store, gate = held(build, 2)
    acquire, passed, handled_before = store.acquire, house.events.passed, {}

    def note(owner: Owner) -> bool:
        handled_before[owner.uid] = list(store.handled)
        return acquire(owner)

    def release(marker: Optional[Wakeup] = None) -> Wakeup:
        waiting = passed(marker)
        gate.set()
        return waiting

    monkeypatch.setattr(store, "acquire", note)
    monkeypatch.setattr(house.events, "passed", release)
    house.disconnect()
    house.inbox.forget()
    house.history.me = Self("resource", "bob")
    house.begin()
    house.settle()
    assert handled_before == {"bob": [2]}


def test_each_user_has_a_position(build: Build) -> None:
    """Another user's first start begins with the newest message."""
    store = FakeStore()
    build(store, 1).up()
    bob = build(store, 1, 2, 3, uid="Bob")
    bob.up()
    amy = build(store, 1, 2, 3)
    amy.up()
    assert store.floors == {ME: "1", Owner("app", "bob"): "3"}
    assert (bob.listener.numbers, amy.listener.numbers) == ([], [2, 3])


def test_own_messages_of_an_earlier_process_are_not_delivered(build: Build) -> None:
    """The bot's answers are in the history, under the name of a connection that has ended."""
    store = FakeStore()
    first = build(store, 1)
    first.up()
    second = build(store, 1)
    mine = {"sender": "Amy", "data": {"resource": first.history.me.resource}}
    answer = text_message(2, sender="amy", data={"resource": first.history.me.resource.upper()})
    elsewhere = text_message(3, sender="amy", data={"resource": "a phone"})
    second.history.messages += [answer, elsewhere]
    second.up()
    second.listener.wait_for(3)
    assert store.positions == [2, 3]
    second.live(2, store=False, deletedAt=6, **mine)  # by a moderator
    second.listener.wait_for(3, 2)
    second.live(4, **mine)  # it comes late
    second.live(5, sender="amy", data={"resource": None})
    second.listener.wait_for(3, 2, 5)


def test_a_message_of_another_user_of_the_same_client_is_delivered(build: Build) -> None:
    """One client had one user after the other. So the message has the name of a connection with this file."""
    store = FakeStore()
    first = build(store, 1)
    first.up()
    second = build(store, 1)
    second.history.messages.append(text_message(2, sender="bob", data={"resource": first.history.me.resource}))
    second.up()
    second.listener.wait_for(2)


def test_own_messages_move_the_position(build: Build) -> None:
    """A bot that only sends does not ask for all of its messages at the next start."""
    store = FakeStore()
    house = build(store, 1)
    house.up()
    house.live(2, own=True)
    house.settle()
    assert (store.positions, house.listener.numbers, house.inbox.fetched) == ([2], [], 0)


def test_own_messages_during_a_catch_up(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """The catch-up, which fetches them too, passes them."""
    store = FakeStore()
    house = build(store, 1)
    house.up()
    ask = house.history.messages_after

    def messages_after(message_id: str, limit: int) -> List[Dict[str, Any]]:
        monkeypatch.undo()
        house.live(2, own=True)
        house.live(3)
        return ask(message_id, limit)

    monkeypatch.setattr(house.history, "messages_after", messages_after)
    house.inbox.lost(house.generation)
    house.begin()
    house.settle()
    assert (house.listener.numbers, store.positions) == ([3], [3])


def test_own_changes_move_no_position(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user edits a known message, and during the catch-up a missed one, which is still delivered."""
    store = FakeStore()
    house = build(store, 1)
    house.up()
    house.live(2)
    house.live(2, store=False, own=True, editedAt=5)
    ask = house.history.messages_after

    def messages_after(message_id: str, limit: int) -> List[Dict[str, Any]]:
        monkeypatch.undo()
        house.live(3, store=False, own=True, editedAt=5)
        return ask(message_id, limit)

    monkeypatch.setattr(house.history, "messages_after", messages_after)
    house.inbox.lost(house.generation)
    house.history.messages.append(text_message(3))
    house.begin()
    house.settle()
    assert None not in house.inbox._position.ids  # as all changes of older messages
    assert (house.listener.numbers, store.positions) == ([2, 3], [2, 3])


def test_own_messages_before_the_position_is_known(build: Build) -> None:
    """They do not move it past missed ones."""

    class Slow(FakeStore):
        def load(self, owner: Owner, resource: str) -> Progress:
            house.live(4, own=True)
            assert house.events.passed().wait(DEADLINE)
            return super().load(owner, resource)

    store = Slow()
    store.start(ME, "1")
    house = build(store, 1, 2, 3)
    house.up()
    assert house.listener.numbers[:2] == [2, 3]


# Failures.


def test_a_full_disk_stops_no_delivery(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    """There is one warning, and no attempt for RETRY seconds. Then all records are written at once."""
    caplog.set_level(logging.INFO, "cometchat.messages")
    store = FakeStore()
    house = build(store, 1)
    house.up()
    store.failures["add"] = 2
    house.live(2, 3)
    house.settle()
    assert (store.handled, store.failures["add"]) == ([], 1)
    house.now += _journal.RETRY
    house.live(4)
    house.settle()
    assert (store.handled, store.failures["add"]) == ([], 0)
    house.now += _journal.RETRY
    house.live(5)
    house.settle()
    house.listener.wait_for(2, 3, 4, 5)
    assert store.handled == [2, 3, 4, 5]
    levels = [record.levelname for record in caplog.records if "record" in record.getMessage()]
    assert levels == ["WARNING", "INFO"]


def test_the_end_of_a_full_disk_needs_no_message(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """The records are written once there is room, although no further message comes: a kill repeats nothing then."""
    monkeypatch.setattr(_journal, "RETRY", 0.01)
    written = threading.Event()

    class Store(FakeStore):
        def add(self, handled: Sequence[Handled]) -> None:
            super().add(handled)
            written.set()

    store = Store()
    house = build(store, 1)
    house.up()
    store.failures["add"] = 1
    house.live(2, 3)
    house.settle()
    assert store.handled == []
    house.now += 1.0
    assert written.wait(DEADLINE) and store.handled == [2, 3]


def test_unwritten_records_count_in_the_process(build: Build) -> None:
    """A new login in the same process repeats no message, and close() tries once more."""
    store = FakeStore()
    house = build(store, 1)
    house.up()
    store.failures["add"] = 1
    house.live(2)
    house.settle()
    house.inbox.forget()
    house.begin()
    house.settle()
    house.live(3)
    house.settle()
    house.listener.wait_for(2, 3)
    house.close()
    assert (store.handled, store.closed) == ([2, 3], 1)


def test_an_unwritten_record_beyond_the_position_counts() -> None:
    """A message that was handled before older ones is not delivered again."""
    store = FakeStore()
    store.start(ME, "1")
    journal = Journal(store, "app", log=LOG, clock=lambda: 0.0)  # type: ignore[arg-type]
    store.failures["add"] = 1
    journal.handled(Stored("5", None, uid="amy", position="3"))
    progress = journal.load("amy", "resource")
    assert (progress.position, progress.handled) == ("3", ("5",))


def test_a_record_that_is_written_while_the_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dispatcher writes it just after the rows were read. Its message must not be delivered again."""
    store = FakeStore()
    store.floors[ME] = "1"
    store.failures["add"] = 1
    now = [0.0]
    journal = Journal(store, "app", log=LOG, clock=lambda: now[0])  # type: ignore[arg-type]
    journal.handled(Stored("5", None, uid="amy", position="5"))
    read = store.load

    def load(owner: Owner, resource: str) -> Progress:
        progress = read(owner, resource)
        now[0] += _journal.RETRY
        journal.write_waiting()
        return progress

    monkeypatch.setattr(store, "load", load)
    progress = journal.load("amy", "resource")
    assert (progress.handled, progress.position, store.handled) == (("5",), "5", [5])


@pytest.mark.parametrize("method", ["acquire", "load"])
def test_a_file_that_cannot_be_read(build: Build, caplog: pytest.LogCaptureFixture, method: str) -> None:
    """Messages wait, with one error. They are delivered once the file can be read."""
    store = FakeStore()
    store.floors[ME], store.failures[method] = "1", 3
    house = build(store, 1, 2)
    house.up()
    house.listener.wait_for(2)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert len(house.waits) == 3
    store.failures[method] = 2  # at the next login
    house.inbox.forget()
    house.begin()
    house.settle()
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]


def test_another_client_with_the_same_file(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    """One warning says what to do. The client tries again, and continues when the other one has ended."""
    caplog.set_level(logging.INFO, "cometchat")
    store = FakeStore()
    store.floors[ME], store.held_by_other = "1", 4
    house = build(store, 1, 2)
    house.up()
    house.listener.wait_for(2)
    assert house.waits == [TURN] * 3
    record, end = caplog.records
    assert record.levelname == "WARNING" and "This client delivers no messages" in record.getMessage()
    assert end.levelname == "INFO" and "the other client ended" in end.getMessage()


def test_a_client_that_waits_for_its_turn_keeps_no_messages(build: Build) -> None:
    """The other client delivers them. When it ends, the file may no longer contain their ids."""
    houses: List[House] = []

    class Shared(FakeStore):
        def acquire(self, owner: Owner) -> bool:
            if self.rows:
                return True
            houses[0].live(3, store=False)
            houses[0].live(4, store=False, deletedAt=5)
            self.rows = [Handled(owner, str(number), str(number)) for number in range(56, 106)]
            return False

    store = Shared()
    store.floors[ME] = "1"
    houses.append(build(store, *range(1, 107)))
    houses[0].up()
    assert houses[0].listener.numbers == [106]


def test_the_newest_catch_up_alone_discards_held_messages(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another client delivers, later messages wait too. They do not try to get the turn each."""
    house = build(FakeStore(), 1)
    monkeypatch.setattr(house.inbox._thread, "start", lambda task: None)
    house.registry.add("message", "id", house.listener)
    house.inbox.begin(house.generation)
    house.live(2)
    waiting, task = house.inbox._waiting, house.inbox._task
    house.inbox.discard_held(CatchUp(house.generation, None))
    assert len(waiting.live) == 1
    assert task is not None
    house.inbox.discard_held(task)
    assert waiting.holding and not waiting.live


def test_the_next_user_with_the_same_file_gets_a_warning_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    """After another login the other user's wait is over, and has not ended well."""
    caplog.set_level(logging.INFO, "cometchat")
    store = FakeStore()
    store.held_by_other = 3
    journal = Journal(store, "app", log=LOG)  # type: ignore[arg-type]
    assert not journal.acquire("amy") and not journal.acquire("bob")
    assert journal.acquire("carl")
    assert [record.getMessage().partition(" with the same")[0][-3:] for record in caplog.records] == ["amy", "bob"]


def test_live_messages_wait_for_missed_ones(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    """Live messages wait for any time without a history. One warning reports it after a while."""
    store = FakeStore()
    store.floors[ME] = "1"
    house = build(store, 1, 2)
    house.history.errors = [ConnectionException("FAILED_TO_FETCH", "away")] * 9
    house.listen()
    house.begin()
    house.live(3, store=False)
    house.settle()
    assert house.now > PATIENCE
    house.listener.wait_for(2, 3)
    assert [record.getMessage().partition(": ")[0][-13:] for record in caplog.records] == ["wait for them"]


def test_live_messages_that_wait_are_delivered_without_another_request(build: Build) -> None:
    """The last page may be older than they are."""
    store = FakeStore()
    store.floors[ME] = "1"
    house = build(store, 1, 2)
    ask = house.history.messages_after

    def page(message_id: str, limit: int) -> List[Dict[str, Any]]:
        if message_id == "2":
            house.live(3, store=False)
        return ask(message_id, limit)

    house.history.messages_after = page  # type: ignore[method-assign]
    house.up()
    house.listener.wait_for(2, 3)


def test_a_history_that_is_refused_keeps_the_position(build: Build) -> None:
    """Live messages are delivered. The next process asks for the refused ones, and repeats none of the others."""
    store = FakeStore()
    store.floors[ME] = "1"
    first = build(store, 1, 2)
    first.history.errors = [CometChatException("ERR_BAD_REQUEST", "refused")]
    first.up()
    assert first.inbox._position.known == "1"
    first.live(3, 4)
    first.settle()
    first.listener.wait_for(3, 4)
    assert store.positions == [1, 1]
    second = build(store, 1, 2, 3, 4, 5)
    second.up()
    second.listener.wait_for(2, 5)


def test_no_thread_for_the_first_start(build: Build) -> None:
    """Without a position no message is delivered. The next message makes another attempt, which delivers all."""
    store = FakeStore()
    store.start(ME, "1")
    house = build(store, 1)
    house.registry.add("event", "other", object())
    house.dispatcher.start()
    with no_threads():
        house.up()
        house.live(2)
    house.settle()
    assert house.listener.numbers == []
    house.live(3)
    house.listener.wait_for(2, 3)


def test_a_refused_first_start(build: Build) -> None:
    """Only live messages are delivered, and the next process continues after them."""
    store = FakeStore()
    first = build(store, 1)
    first.history.errors = [CometChatException("ERR_BAD_REQUEST", "refused") for _ in range(3)]
    first.up()
    first.live(2)
    first.settle()
    first.listener.wait_for(2)
    assert len(first.history.errors) == 2
    second = build(store, 1, 2, 3)
    second.up()
    second.listener.wait_for(3)


@pytest.mark.parametrize("end", ["loss", "disconnect"])
def test_a_refused_first_start_makes_no_old_message_a_missed_one(build: Build, end: str) -> None:
    """The next connection starts at the newest message, as the first one would have."""
    house = build(FakeStore(), 1, 2)
    house.history.errors = [CometChatException("ERR_BAD_REQUEST", "refused")]
    house.up()
    if end == "loss":
        house.inbox.lost(house.generation)
    else:
        house.disconnect()
    house.begin()
    house.settle()
    house.live(3)
    house.listener.wait_for(3)


def test_a_rate_limit_at_the_start(build: Build) -> None:
    """The inbox waits as long as the service asks."""
    store = FakeStore()
    house = build(store, 1)
    error = RateLimitException("ERR_TOO_MANY_REQUESTS", "slower")
    error.retry_after = 7.0
    house.history.errors = [error]
    house.up()
    assert sum(house.waits) >= 7.0 and store.floors == {ME: "1"}


def test_the_file_is_released_by_the_last_callback(build: Build) -> None:
    """The file is not released before: another process would deliver the message in progress."""
    house, store, gate = held(build, 2)
    house.dispatcher.close()
    assert store.closed == 0
    gate.set()
    house.dispatcher.join(DEADLINE)
    assert (store.handled, store.closed) == ([2], 1)


def test_a_client_that_never_ran_releases_the_file(build: Build) -> None:
    """The client's dispatcher has no thread that could do it."""
    store = FakeStore()
    build(store).dispatcher.close()
    assert store.closed == 1


# The file.


def test_the_file_keeps_its_progress(tmp_path: Path) -> None:
    """Rows of one connection are there for the next one."""
    path = str(tmp_path / "new folder" / "inbox.db")
    with closing(InboxStore(path, log=LOG)) as store:
        assert store.load(ME, "one") == Progress(None, None, (), frozenset({"one"}))
        store.start(ME, "7")
        assert store.load(ME, "one") == Progress("7", "7", (), frozenset({"one"}))
        store.add([Handled(ME, "9", "9")])
        store.add([Handled(ME, "8", "9"), Handled(Owner("app", "bob"), "20", "20")])
    with closing(InboxStore(path, log=LOG)) as store:
        assert store.load(ME, "two") == Progress("9", "7", ("9", "8"), frozenset({"one", "two"}))
        assert store.load(Owner("other app", "amy"), "two").position is None


def test_a_message_is_recorded_without_its_process(tmp_path: Path) -> None:
    """Another connection has it at once: a kill -9 of the writer loses no message."""
    path = str(tmp_path / "inbox.db")
    with closing(InboxStore(path, log=LOG)) as store, closing(InboxStore(path, log=LOG)) as other:
        store.add([Handled(ME, "9", "9")])
        assert other.load(ME, "two").position == "9"


@pytest.mark.skipif(os.name != "posix", reason="other systems have other rights")
def test_the_file_is_private(tmp_path: Path) -> None:
    """Every file has the mode 0600, and a new folder 0700."""
    folder = tmp_path / "new"
    with closing(InboxStore(str(folder / "inbox.db"), log=LOG)) as store:
        assert store.acquire(ME)
        modes = {stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()}
        assert (modes, stat.S_IMODE(folder.stat().st_mode), len(list(folder.iterdir()))) == ({0o600}, 0o700, 5)


def test_one_client_holds_an_owner(tmp_path: Path) -> None:
    """The other one gets it after close(). Another owner is free."""
    path = str(tmp_path / "inbox.db")
    bob = Owner("app", "bob")
    with closing(InboxStore(path, log=LOG)) as one, closing(InboxStore(path, log=LOG)) as two:
        assert one.acquire(ME) and one.acquire(ME)
        assert not two.acquire(ME) and two.acquire(bob)
        assert one.acquire(ME) and not one.acquire(bob)  # the client has released its own for that
        assert two.acquire(ME) and not one.acquire(ME)
        two.close()
        assert one.acquire(ME)


def test_the_end_of_a_client_is_no_fault_of_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """close() may come while the catch-up uses the file. The log has no error."""
    store = InboxStore(str(tmp_path / "inbox.db"), log=LOG)
    journal = Journal(store, "app", log=LOG)
    journal.close()
    for use in (lambda: journal.acquire("amy"), lambda: journal.load("amy", "mine"), lambda: journal.start("amy", "1")):
        with pytest.raises(CometChatException, match="ERR_CLIENT_CLOSED"):
            use()
    assert caplog.records == []


def test_a_closed_file_holds_nothing(tmp_path: Path) -> None:
    """A late catch-up gets ERR_CLIENT_CLOSED."""
    store = InboxStore(str(tmp_path / "inbox.db"), log=LOG)
    assert store.acquire(ME)
    store.close()
    with pytest.raises(CometChatException) as caught:
        store.acquire(ME)
    assert caught.value.code == "ERR_CLIENT_CLOSED"
    with closing(InboxStore(str(tmp_path / "inbox.db"), log=LOG)) as other:
        assert other.acquire(ME)


def test_old_rows_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file does not grow forever, and the newest rows and names stay."""
    monkeypatch.setattr(_inbox_store, "_KEPT", 10)
    monkeypatch.setattr(_inbox_store, "_PRUNE", 5)
    monkeypatch.setattr(_inbox_store, "_RESOURCES", 3)
    path = tmp_path / "inbox.db"
    with closing(InboxStore(str(path), log=LOG)) as store:
        for number in range(1, 41):
            store.add([Handled(ME, str(number), str(number))])
            progress = store.load(ME, f"resource {number}")
        assert progress.resources == {"resource 38", "resource 39", "resource 40"}
        assert progress.handled == tuple(map(str, range(31, 41)))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM handled").fetchone() == (10,)
        assert connection.execute("SELECT count(*) FROM resources").fetchone() == (3,)


def test_processes_that_handle_few_messages_remove_old_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file does not grow with the number of restarts."""
    monkeypatch.setattr(_inbox_store, "_KEPT", 10)
    path = tmp_path / "inbox.db"
    for number in range(1, 41):
        with closing(InboxStore(str(path), log=LOG)) as store:
            progress = store.load(ME, "one")
            store.add([Handled(ME, str(number), str(number))])
    assert progress.handled == tuple(map(str, range(30, 40)))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM handled").fetchone() == (11,)


def test_each_user_keeps_its_newest_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rows of another user the same file got in between."""
    monkeypatch.setattr(_inbox_store, "_KEPT", 10)
    monkeypatch.setattr(_inbox_store, "_PRUNE", 5)
    bob = Owner("app", "bob")
    path = str(tmp_path / "inbox.db")
    with closing(InboxStore(path, log=LOG)) as mine, closing(InboxStore(path, log=LOG)) as bobs:
        for number in range(1, 41):
            bobs.add([Handled(bob, f"{number}0{each}", "1") for each in range(5)])
            mine.add([Handled(ME, str(number), str(number))])
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT count(*) FROM handled").fetchone()[0] < 2 * (10 + 5)
        assert mine.load(ME, "one").handled == tuple(map(str, range(31, 41)))
        assert len(bobs.load(bob, "two").handled) == 10


def test_the_rows_of_other_users_are_not_searched(tmp_path: Path) -> None:
    """Each user of a file may have 20,000 rows. A file of an earlier version gets the index too."""
    path = tmp_path / "inbox.db"
    for _ in range(2):
        with closing(InboxStore(str(path), log=LOG)) as store:
            store.add([Handled(ME, "9", "9")])
            store.load(ME, "one")
        with closing(sqlite3.connect(path)) as connection:
            for query in (_inbox_store._NEWEST, _inbox_store._REMOVE_OLD):
                values = {"app_id": "app", "uid": "amy", "limit": 5} if ":limit" in query else ("app", "amy", 5)
                plan = [row[-1] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", values)]
                assert not [step for step in plan if step.startswith("SCAN ")], plan
            connection.execute("DROP INDEX handled_by_owner")


def test_a_file_that_is_not_a_database(tmp_path: Path) -> None:
    """ERR_INBOX_STORE is raised with its path, and the file does not change."""
    path = tmp_path / "inbox.db"
    path.write_text("not a database, but long enough to be looked at" * 20)
    before = path.read_bytes()
    with closing(InboxStore(str(path), log=LOG)) as store, pytest.raises(CometChatException) as caught:
        store.load(ME, "one")
    assert caught.value.code == "ERR_INBOX_STORE" and str(path) in caught.value.message
    assert path.read_bytes() == before


def test_a_locked_file_is_waited_for_briefly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Callbacks wait at most that long, for ERR_INBOX_STORE."""
    monkeypatch.setattr(_inbox_store, "_BUSY", 0.01)
    path = tmp_path / "inbox.db"
    with closing(InboxStore(str(path), log=LOG)) as store:
        store.start(ME, "1")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(CometChatException) as caught:
                store.add([Handled(ME, "2", "2")])
            other.execute("ROLLBACK")
        assert caught.value.code == "ERR_INBOX_STORE" and "locked" in caught.value.message
        store.add([Handled(ME, "2", "2")])


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems remove open files")
def test_a_file_that_is_removed_while_it_is_used(
    build: Build, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """There is one warning. The next message is recorded in a new file, and the next process continues after it."""
    path = tmp_path / "new" / "inbox.db"
    first = build(InboxStore(str(path), log=LOG), 1)
    first.up()
    first.live(2)
    first.settle()
    for file in path.parent.iterdir():
        file.unlink()
    first.live(3)
    first.settle()
    first.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    second = build(InboxStore(str(path), log=LOG), 1, 2, 3, 4)
    second.up()
    second.listener.wait_for(4)


# The setting.


@pytest.mark.parametrize(
    "more, expected",
    [
        ({"fetch_missed_messages": False}, "fetch_missed_messages"),
        ({"outbox_path": "link.db"}, "a different file"),
    ],
)
def test_settings_that_contradict_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: Dict[str, Any], expected: str
) -> None:
    """INVALID_INBOX_PATH names them. A link to the same file is the same file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.db").symlink_to(tmp_path / "inbox.db")
    with pytest.raises(CometChatException) as caught:
        AppSettings(region="us", inbox_path="inbox.db", **more)
    assert caught.value.code == "INVALID_INBOX_PATH" and expected in caught.value.message
