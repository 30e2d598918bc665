"""The queue before the listeners: two lanes, one order, three kinds of events, and generations."""

from __future__ import annotations

import itertools
import threading
from typing import Any, Callable, List, Optional, Sequence

import pytest
from interruption import LineInterruption
from listening import full_registry

from cometchat._protocol._delivery import Delivery
from cometchat._runtime._registry import CONNECTION, ListenerRegistry
from cometchat._runtime._threads import Wakeup
from cometchat._runtime.delivery import Dispatcher, EventQueue
from cometchat._runtime.delivery import _queue as queue_module
from cometchat._runtime.delivery._queue import _BATCH, Stored

DEADLINE = 10.0


class Line:
    """A queue with short ways to post each kind of event. Each way returns the numbers of the events."""

    def __init__(self, limit: int = 100, max_bytes: int = 1000) -> None:
        self.registry = full_registry()
        self.queue = EventQueue(self.registry, limit, max_bytes)
        self.generation = self.queue.advance()

    def _numbers(self, count: int) -> List[int]:
        last = self.registry.last_number
        return list(range(last - count + 1, last + 1))

    def state(self, count: int = 1, generation: Optional[int] = None) -> List[int]:
        for _ in range(count):
            self.queue.post("login", "on_it", generation=generation)
        return self._numbers(count)

    def stored(self, count: int = 1, size: int = 1) -> List[int]:
        for _ in range(count):
            item = Stored(str(self.registry.last_number + 1), None)
            assert self.queue.post_stored(Delivery("message", "on_it", ()), self.generation, size, item)
        return self._numbers(count)

    def kept(self, count: int = 1, size: int = 1, kind: str = "conversation") -> List[int]:
        for _ in range(count):
            assert self.queue.post_kept(Delivery(kind, "on_it", ()), self.generation, size)
        return self._numbers(count)

    def ephemeral(self, count: int = 1, size: int = 1) -> List[int]:
        assert self.queue.post_ephemeral([(Delivery("user", "on_it", ()), size)] * count, self.generation)
        return self._numbers(count)

    def one_by_one(self, count: int, size: int = 1) -> List[int]:
        return [number for _ in range(count) for number in self.ephemeral(1, size)]

    def next_generation(self) -> None:
        self.generation = self.queue.advance()

    def take(self, count: Optional[int] = None) -> List[int]:
        """Take at least this many events, or all waiting ones for None. Returns their numbers."""
        taken: List[int] = []
        while count is None or len(taken) < count:
            items = self.queue.take()
            if not items:
                break
            taken += [item.number for item in items]  # type: ignore[union-attr]
        return taken

    def counts(self) -> Sequence[int]:
        """Return the queue's counts. All are 0 when it is empty."""
        queue = self.queue
        return len(queue), queue._stored, queue._lasting_bytes, queue._ephemeral_bytes


@pytest.fixture
def line() -> Line:
    return Line()


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, name="test-queue", daemon=True)
    thread.start()
    return thread


def end(thread: threading.Thread) -> None:
    thread.join(DEADLINE)
    assert not thread.is_alive()


def test_an_event_without_memory_takes_no_room(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the queue would count as full for good after some failures, and would fetch no message again."""

    def fail(*values: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(queue_module, "Event", fail)
        for _ in range(3):
            with pytest.raises(MemoryError):
                line.stored(size=500)
    assert line.counts() == (0, 0, 0, 0) and line.queue.has_room()


def test_an_event_that_is_taken_without_memory_stays(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dispatcher takes it after the failure."""
    expected = line.stored(2)

    def fail(event: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(line.queue, "_make_room", fail)
        with pytest.raises(MemoryError):
            line.queue.take()
    assert line.take() == expected and line.counts() == (0, 0, 0, 0)


# Order.


def test_events_of_both_lanes_are_taken_by_their_numbers(line: Line) -> None:
    """For any mixture of the three kinds, the order is that of the posts."""
    expected = line.ephemeral(2) + line.state(2) + line.stored(3) + line.ephemeral(1) + line.stored(1)
    expected += line.state() + line.ephemeral(3)
    assert line.take() == expected == list(range(1, 14))
    assert line.counts() == (0, 0, 0, 0)


def test_a_batch_of_ephemeral_events_ends_where_another_kind_is_next(line: Line) -> None:
    """Events are taken together only if no state or stored event is between them."""
    line.ephemeral(3)
    line.stored()
    line.ephemeral(2)
    line.state()
    line.one_by_one(2)
    batches = []
    while len(line.queue):
        batches.append([item.number for item in line.queue.take()])  # type: ignore[union-attr]
    assert batches == [[1, 2, 3], [4], [5, 6], [7], [8, 9]]


def test_a_batch_of_ephemeral_events_is_bounded() -> None:
    """Events in the dispatcher's hand no longer count as waiting, so it takes some, not all."""
    line = Line(limit=1000)
    line.ephemeral(2 * _BATCH + 1)
    assert [len(line.queue.take()) for _ in range(4)] == [_BATCH, _BATCH, 1, 0]


def test_events_posted_after_a_look_come_later(line: Line) -> None:
    """An event that is posted while another one is in hand waits behind the earlier ones."""
    first, event = line.state(), line.ephemeral()
    assert line.take(1) == first
    later = line.stored() + line.ephemeral()
    assert line.take() == event + later


def test_an_event_has_the_posted_values(line: Line) -> None:
    """An event has kind, method, arguments, generation, size, and the inbox's data."""
    item = Stored("7", "6")
    line.queue.post("login", "login_success", "amy", generation=5)
    line.queue.post_stored(Delivery("message", "on_text", ("a",)), line.generation, 12, item)
    line.queue.post_ephemeral([(Delivery("user", "on_user_online", ("b",)), 34)], line.generation)
    assert [line.queue.take()[0] for _ in range(3)] == [
        (1, "login", "login_success", ("amy",), 5, 0, None),
        (2, "message", "on_text", ("a",), line.generation, 12, item),
        (3, "user", "on_user_online", ("b",), line.generation, 34, None),
    ]


def test_the_length_counts_waiting_events(line: Line) -> None:
    """The length counts both lanes, and a marker."""
    line.state()
    line.ephemeral(2)
    line.queue.passed()
    assert len(line.queue) == 4
    line.take(1)
    assert len(line.queue) == 3


def test_a_marker_is_between_earlier_and_later_events(line: Line) -> None:
    """passed() comes after all waiting events, also ephemeral ones. Taking it does not set it."""
    before = line.ephemeral(3)
    marker = line.queue.passed()
    after = line.ephemeral(1)
    assert line.take(3) == before
    assert line.queue.take() == (marker,) and not marker.is_set()
    assert line.take() == after


def test_drain_and_close_wait_for_ephemeral_events() -> None:
    """The event of passed() is set once they are delivered. ``close`` ends the thread once all are."""
    registry, told, held, entered = ListenerRegistry(), [], Wakeup(), Wakeup()
    events = EventQueue(registry, 100)
    set_after: List[bool] = []

    class Listener:
        def on_block(self) -> None:
            entered.set()
            held.wait(DEADLINE)

        def on_event(self, number: int) -> None:
            told.append(number)
            set_after.append(marker.is_set())

    registry.add("message", "id", Listener())
    dispatcher = Dispatcher(registry, events, "test-dispatcher", lambda: "client 1")
    dispatcher.start()
    events.post("message", "on_block")
    assert entered.wait(DEADLINE)
    for number in range(3):
        events.post_ephemeral([(Delivery("message", "on_event", (number,)), 1)], 0)
    marker = events.passed()
    events.post_ephemeral([(Delivery("message", "on_event", (3,)), 1)], 0)
    dispatcher.close()
    held.set()
    dispatcher.join(DEADLINE)
    assert (told, set_after) == ([0, 1, 2, 3], [False, False, False, True])


@pytest.mark.usefixtures("quick_switches")
def test_posting_and_taking_at_once() -> None:
    """Four threads post and one takes. Every event that was not dropped comes once, by number, and no ring is lost."""
    per_thread, threads = 2000, 4
    registry = full_registry()
    queue = EventQueue(registry, 500)
    taken: List[Any] = []

    def produce(lane: int) -> None:
        for number in range(per_thread):
            if (lane + number) % 2 == 0:
                queue.post_ephemeral([(Delivery("user", "", ()), 1)], 0)
            else:
                queue.post_stored(Delivery("message", "", ()), 0, 1, Stored(None, None))

    def consume() -> None:
        while True:
            items = queue.take()
            taken.extend(items)
            if not items and not queue.wait():
                return

    consumer = in_thread(consume)
    producers = [in_thread(lambda lane=lane: produce(lane)) for lane in range(threads)]  # type: ignore[misc]
    for thread in producers:
        end(thread)
    queue.end()
    end(consumer)
    numbers = [event.number for event in taken]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + queue.dropped == per_thread * threads
    assert sum(event.stored is not None for event in taken) == per_thread * threads / 2
    assert (len(queue), queue._stored, queue._lasting_bytes, queue._ephemeral_bytes) == (0, 0, 0, 0)


# Three kinds of events. Ephemeral ones are dropped, the oldest first.


def test_beyond_the_count_the_oldest_ephemeral_event_is_dropped(line: Line) -> None:
    """Of 250 the newest 100 wait, 150 are counted as dropped, and no event of another kind is missing."""
    kept = line.stored(5) + line.state(5)
    events = line.one_by_one(250)
    assert line.queue.dropped == 150 and line.queue.overflowed
    assert line.take() == kept + events[150:]


def test_beyond_the_bytes_the_oldest_ephemeral_event_is_dropped(line: Line) -> None:
    """The newest events that have room in 1000 bytes wait."""
    events = line.one_by_one(8, size=300)
    assert line.queue.dropped == 5
    assert line.take() == events[5:]
    assert line.counts() == (0, 0, 0, 0)


def test_events_that_come_together_are_dropped_one_by_one(line: Line) -> None:
    """Of 250 in one call the newest 100 wait. Of some that are too large together, the newest that fit wait."""
    events = line.ephemeral(250)
    assert line.queue.dropped == 150
    assert line.take() == events[150:]
    events = line.ephemeral(4, size=400)
    assert line.queue.dropped == 152
    assert line.take() == events[2:]


def test_an_event_larger_than_the_limit_is_delivered(line: Line) -> None:
    """Alone it fits, at any size. The older ones are dropped for it, and the next event drops it."""
    line.ephemeral(3, size=10)
    huge = line.ephemeral(1, size=5000)
    assert line.queue.dropped == 3
    assert line.take() == huge
    line.ephemeral(1, size=5000)
    small = line.ephemeral(1, size=10)
    assert line.queue.dropped == 4
    assert line.take() == small


def test_state_and_stored_events_are_never_dropped(line: Line) -> None:
    """State and stored events are posted without a limit. has_room() is for the inbox, which posts stored ones."""
    events = line.state(500) + line.stored(500, size=50)
    assert line.queue.dropped == 0 and not line.queue.overflowed
    assert line.take() == events


def test_kept_events_are_dropped_for_their_size_only(line: Line) -> None:
    """Pins and the like are not stored, so they can't be fetched again. The newest are dropped, and counted."""
    expected = line.kept(300, size=3)
    assert (line.queue.dropped, line.queue.overflowed) == (0, False)
    expected += line.kept(size=100)
    assert line.kept(2) and (line.queue.dropped, line.queue.overflowed) == (2, True)
    assert line.take() == expected and line.counts() == (0, 0, 0, 0)


def test_a_kept_event_without_a_listener_is_not_queued(line: Line) -> None:
    """Frames of unknown types may come in floods, and few programs listen to them."""
    line.kept(kind="nobody")
    assert line.counts() == (0, 0, 0, 0)
    assert line.take(0) == [] and line.state() == [2]


def test_there_is_room_for_a_number_of_stored_events(line: Line) -> None:
    """State and ephemeral events do not use their room."""
    line.state(300)
    line.ephemeral(100)
    for _ in range(100):
        assert line.queue.has_room()
        line.stored()
    assert not line.queue.overflowed
    assert not line.queue.has_room() and line.queue.overflowed


def test_events_that_can_not_be_fetched_are_not_limited_in_number(line: Line) -> None:
    """Beyond the number, an event fits only if it cannot be fetched. Beyond the bytes, no event fits."""
    line.stored(500)
    assert not line.queue.has_room() and line.queue.has_room(fetchable=False)
    line.stored(1, size=500)
    assert not line.queue.has_room(fetchable=False)


def test_there_is_room_for_a_size_of_stored_events(line: Line) -> None:
    """The size is in bytes, and both limits hold."""
    line.stored(2, size=499)
    assert line.queue.has_room() and line.queue.has_room(fetchable=False)
    line.stored(1, size=2)
    assert not line.queue.has_room() and not line.queue.has_room(fetchable=False)


def test_taken_events_make_room(line: Line) -> None:
    """Taking one from a full queue makes room for one."""
    line.stored(100)
    line.state()
    assert not line.queue.has_room()
    line.take(1)
    assert line.queue.has_room()
    line.stored()
    assert not line.queue.has_room()


# Room, and the end of an overflow.


def test_a_wait_for_room_ends_when_half_is_free(line: Line) -> None:
    """A thread is woken once for each wait, not at each taken event, and not before half of the room is free."""
    line.stored(100)
    wakeup = Wakeup()
    line.queue.when_room(wakeup)
    line.queue.when_room(wakeup)
    line.take(49)
    assert not wakeup.is_set()
    line.take(1)
    assert wakeup.is_set()
    wakeup.clear()
    line.stored(50)
    line.take()
    assert not wakeup.is_set()


def test_each_that_waits_for_room_is_woken(line: Line) -> None:
    """Any number of threads is woken."""
    line.stored(100)
    wakeups = [Wakeup(), Wakeup(), Wakeup()]
    for wakeup in wakeups:
        line.queue.when_room(wakeup)
    line.take(50)
    assert all(wakeup.is_set() for wakeup in wakeups)


def test_room_is_half_of_the_bytes_too(line: Line) -> None:
    """The bytes count like the number."""
    line.stored(2, size=600)
    wakeup = Wakeup()
    line.queue.when_room(wakeup)
    line.take(1)
    assert not wakeup.is_set()  # 600 of 1000 bytes are used
    line.take(1)
    assert wakeup.is_set()


def test_room_that_is_there_wakes_at_once(line: Line) -> None:
    """Half of the queue may have become free between the check and the wait."""
    line.stored(50)
    wakeup = Wakeup()
    line.queue.when_room(wakeup)
    assert wakeup.is_set()
    line.stored(1)
    other = Wakeup()
    line.queue.when_room(other)
    assert not other.is_set()


def test_ephemeral_and_state_events_do_not_end_a_wait_for_room(line: Line) -> None:
    """These events neither use nor release the room of stored ones."""
    line.ephemeral(3)
    line.state(3)
    line.stored(100)
    wakeup = Wakeup()
    line.queue.when_room(wakeup)
    line.take(6)
    assert not wakeup.is_set()


def test_the_end_of_an_overflow_is_reported_once(line: Line) -> None:
    """The end is reported once after something did not fit, and not if everything fitted."""
    assert not line.queue.caught_up()
    line.ephemeral(130)
    line.take()
    assert line.queue.caught_up() and not line.queue.caught_up()
    line.stored(100)
    assert not line.queue.has_room()
    line.take()
    assert line.queue.caught_up() and not line.queue.overflowed


# The bell.


class Bell:
    """Counts its rings."""

    def __init__(self) -> None:
        self.rings = 0

    def put(self, item: None) -> None:
        self.rings += 1


def test_events_ring_for_a_dispatcher_that_found_nothing(line: Line) -> None:
    """There is one ring for all that are posted together, and no ring while the dispatcher is busy, for any kind."""
    posts: List[Callable[[], object]] = [
        lambda: line.ephemeral(3),
        lambda: line.stored(),
        lambda: line.state(),
        lambda: line.state() and line.queue.passed(),
    ]
    bell = line.queue._bell = Bell()  # type: ignore[assignment]
    for number, post in enumerate(posts, 1):
        assert line.queue.take() == ()
        post()
        post()
        assert bell.rings == number
        while len(line.queue):
            line.queue.take()


@pytest.mark.parametrize("kind", ["connection", "user"])
def test_an_event_without_a_listener_is_not_kept(line: Line, kind: str) -> None:
    """It has a number, so that a later listener does not get it. The transition is noted, and no thread is woken."""
    line.registry.remove(kind, "always")
    bell = line.queue._bell = Bell()  # type: ignore[assignment]
    assert line.queue.take() == ()
    before = line.registry.last_number
    if kind == "connection":
        line.queue.post(kind, "on_connecting")
        assert line.registry.last_transition == "on_connecting"
    else:
        assert line.queue.post_ephemeral([(Delivery("user", "on_it", ()), 1)], line.generation)
    assert line.registry.last_number == before + 1
    assert line.counts() == (0, 0, 0, 0) and bell.rings == 0
    line.registry.add(kind, "later", object())
    assert line.registry.audience(kind).since == before + 2


def test_a_marker_is_set_at_once_if_all_events_are_delivered(line: Line) -> None:
    """The dispatcher has found the queue empty, and waits. An event in its hands is not yet delivered."""
    assert line.take() == []
    assert line.queue.passed().is_set() and not len(line.queue)
    line.state()
    assert not line.queue.passed().is_set()
    while line.queue.take():
        pass
    assert line.queue.passed().is_set()
    line.state()
    (in_hand,) = line.queue.take()
    assert not line.queue.passed().is_set(), in_hand


class LookAtRelease:
    """A lock. Calls a function each time it is released."""

    def __init__(self, look: Callable[[], object]) -> None:
        self._lock = threading.RLock()
        self._look = look

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        self._look()


@pytest.mark.parametrize("kind", ["state", "stored", "ephemeral"])
def test_an_event_that_the_dispatcher_takes_at_once_is_not_yet_delivered(line: Line, kind: str) -> None:
    """The dispatcher wakes for another reason, and takes the event as soon as it can. A marker waits for it."""
    markers: List[Wakeup] = []

    def take() -> None:
        queue._lock = free  # type: ignore[assignment]
        assert len(queue.take()) == 1
        markers.append(queue.passed())

    queue, free = line.queue, line.queue._lock
    assert queue.take() == ()
    queue._lock = LookAtRelease(take)  # type: ignore[assignment]
    getattr(line, kind)()
    assert [marker.is_set() for marker in markers] == [False]


@pytest.mark.parametrize("kind", ["state", "stored", "ephemeral"])
def test_an_interrupted_post_silences_no_later_event(kind: str) -> None:
    """After an interruption at any line, the next event wakes the waiting dispatcher."""
    for at in itertools.count(1):
        line = Line()
        queue = line.queue
        assert queue.take() == ()
        was_interrupted = LineInterruption(at, queue_module).happens_in(getattr(line, kind))
        while not queue._bell.empty():  # the dispatcher continues until it waits again
            queue._bell.get()
            while queue.take():
                pass
        if not was_interrupted:
            return
        line.state()
        assert not queue._bell.empty(), at


def test_the_end_is_when_the_queue_is_empty(line: Line) -> None:
    """wait() is True while an event waits, and False forever after the end."""
    line.state(2)
    line.queue.end()
    assert line.queue.wait()
    line.take()
    assert not line.queue.wait() and not line.queue.wait()


def test_an_event_ends_the_wait(line: Line) -> None:
    """The end wakes it too."""
    seen: List[bool] = []
    assert line.queue.take() == ()
    thread = in_thread(lambda: seen.append(line.queue.wait()))
    line.state()
    end(thread)
    line.take()
    line.queue.take()
    thread = in_thread(lambda: seen.append(line.queue.wait() and line.queue.wait()))
    line.queue.end()
    end(thread)
    assert seen == [True, False]


def test_the_end_waits_for_the_producers(line: Line) -> None:
    """Only the last producer's leave ends the wait, and its events are delivered."""
    queue = line.queue
    taken: List[Any] = []
    queue.add_producer()
    queue.add_producer()

    def consume() -> None:
        while True:
            items = queue.take()
            taken.extend(items)
            for item in items:
                if isinstance(item, Wakeup):
                    item.set()
            if not items and not queue.wait():
                return

    thread = in_thread(consume)
    queue.end()
    queue.remove_producer()
    queue.post("outbox", "on_delivered")
    assert queue.passed().wait(DEADLINE)
    assert thread.is_alive() and len(taken) == 2
    queue.post("outbox", "on_delivered")
    queue.remove_producer()
    end(thread)
    assert len(taken) == 3


def test_a_dispatcher_that_waits_is_woken_by_the_last_producer(line: Line) -> None:
    """The end wakes it, though no event comes."""
    bell = line.queue._bell = Bell()  # type: ignore[assignment]
    line.queue.add_producer()
    assert line.queue.take() == () and bell.rings == 0
    line.queue.end()
    assert bell.rings == 1
    line.queue.remove_producer()
    assert bell.rings == 2 and not line.queue.wait()


# Generations.


def test_an_old_generation_can_post_nothing(line: Line) -> None:
    """An old generation can post neither stored nor ephemeral events. A future generation cannot post either."""
    delivery, old = Delivery("message", "on_it", ()), line.generation
    line.next_generation()
    last = line.registry.last_number
    for generation in (old, 0, line.generation + 1):
        assert not line.queue.post_stored(delivery, generation, 1, Stored("1", None))
        assert not line.queue.post_kept(delivery, generation, 1)
        assert not line.queue.post_ephemeral([(delivery, 1)], generation)
    assert (line.counts(), line.registry.last_number) == ((0, 0, 0, 0), last)
    assert line.stored() == [last + 1]


def test_each_generation_has_the_next_number(line: Line) -> None:
    """advance() returns it."""
    before = line.queue.generation
    assert (line.queue.advance(), line.queue.advance(), line.queue.generation) == (before + 1, before + 2, before + 2)


def test_waiting_events_are_delivered_until_they_are_discarded(line: Line) -> None:
    """A new generation alone drops nothing: ``disconnect()`` lets the listeners get the past events."""
    events = line.stored() + line.ephemeral() + line.state(generation=line.generation)
    line.next_generation()
    assert line.take() == events


def test_discarding_drops_exactly_old_events(line: Line) -> None:
    """Events without a generation and of the current one stay, in their order, and so do markers."""
    line.stored(2)
    always = line.state()
    line.ephemeral(2)
    line.state(generation=line.generation)
    marker = line.queue.passed()
    line.next_generation()
    line.stored()
    line.next_generation()
    new = line.stored() + line.ephemeral() + line.state(generation=line.generation)
    line.queue.discard_old()
    assert len(line.queue) == 5
    assert line.take(1) == always
    assert line.queue.take() == (marker,)
    assert line.take() == new
    assert line.counts() == (0, 0, 0, 0) and line.queue.dropped == 0


def test_messages_that_can_be_fetched_are_discarded(line: Line) -> None:
    """A change without an id of its own stays, and so do other events."""
    others = line.state()
    line.stored(2)
    line.queue.post_stored(Delivery("message", "on_it", ()), line.generation, 1, Stored(None, None))
    line.queue.discard_messages()
    assert line.take() == [*others, *line._numbers(1)]


def test_the_stored_ones_are_returned_oldest_first(line: Line) -> None:
    """The inbox needs only those, to fetch them again."""
    items = [Stored("5", None), Stored(None, "5", {"id": "3"}), Stored("4", "5")]
    for item in items:
        line.queue.post_stored(Delivery("message", "on_it", ()), line.generation, 1, item)
        line.ephemeral()
    line.next_generation()
    line.stored()
    assert line.queue.discard_old() == items
    assert line.queue.discard_old() == []


def test_discarding_gives_the_room_back(line: Line) -> None:
    """Number and bytes count the events that wait now, and threads that wait for room are woken."""
    line.stored(100, size=20)
    line.ephemeral(100, size=9)
    wakeup = Wakeup()
    line.queue.when_room(wakeup)
    assert not line.queue.has_room()
    line.next_generation()
    assert not wakeup.is_set()
    assert len(line.queue.discard_old()) == 100
    assert line.queue.has_room() and wakeup.is_set()
    assert line.counts() == (0, 0, 0, 0)
    line.stored(1, size=500)
    assert line.queue.has_room()
    line.ephemeral(100, size=9)
    assert line.queue.dropped == 0


def test_an_event_in_hand_is_discarded_too(line: Line) -> None:
    """The dispatcher asks for each event that it has taken, and looks again before it continues."""
    line.stored()
    (old,) = line.queue.take()
    line.state()
    (always,) = line.queue.take()
    line.next_generation()
    line.ephemeral()
    (new,) = line.queue.take()
    changes = line.registry.changes
    assert not line.queue.is_discarded(old)  # type: ignore[arg-type]
    line.queue.discard_old()
    assert [line.queue.is_discarded(event) for event in (old, always, new)] == [True, False, False]  # type: ignore
    assert line.registry.changes == changes + 1


def test_a_transition_is_known_when_it_is_queued(line: Line) -> None:
    """A listener that is added now can read it. An error is not a transition, and neither is a login."""
    line.queue.post(CONNECTION, "on_connecting", generation=line.generation)
    assert line.registry.last_transition == "on_connecting"
    line.queue.post(CONNECTION, "on_connection_error", None, generation=line.generation)
    line.queue.post("login", "login_success", None)
    assert line.registry.last_transition == "on_connecting"
    line.take()
    line.next_generation()
    line.queue.post(CONNECTION, "on_disconnected")
    line.queue.discard_old()
    assert line.registry.last_transition == "on_disconnected"
    (event,) = line.queue.take()
    assert event.method == "on_disconnected"  # type: ignore[union-attr]
