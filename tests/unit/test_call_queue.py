"""The queue in front of the listeners: two lanes, one order, and bounds on what can be done without."""

from __future__ import annotations

import itertools
import sys
import threading
from typing import Any, Iterator, List, Optional

import pytest

from cometchat._runtime.call_queue import Call, CallQueue
from cometchat._runtime.dispatcher import Dispatcher
from cometchat._runtime.registry import Registry

DEADLINE = 10.0


class Line:
    """A queue, with calls that are numbered as the registry does it."""

    def __init__(self, limit: int = 100, max_bytes: int = 1000) -> None:
        self.queue = CallQueue(limit, max_bytes)
        self._numbers = itertools.count(1)
        self.fed: List[int] = []
        self.caught_up: List[int] = []
        self.queue.on_room = lambda: self.fed.append(len(self.queue))
        self.queue.on_caught_up = lambda: self.caught_up.append(self.queue.dropped)

    def put(self, passing: bool = False, size: int = 0) -> int:
        seq = next(self._numbers)
        self.queue.put(Call(seq, "kind", "method", (), True, None, size, passing))
        return seq

    def transitions(self, count: int = 1) -> List[int]:
        return [self.put() for _ in range(count)]

    def messages(self, count: int, size: int = 1) -> List[int]:
        return [self.put(size=size) for _ in range(count)]

    def events(self, count: int, size: int = 1) -> List[int]:
        return [self.put(passing=True, size=size) for _ in range(count)]

    def take(self, count: Optional[int] = None) -> List[int]:
        """The numbers of so many calls; None: of all that wait."""
        return [self.queue.get().seq for _ in range(len(self.queue) if count is None else count)]  # type: ignore

    def look_up(self) -> None:
        """Have the taking thread find the queue empty: it waits, and is given the end."""
        thread = threading.Thread(target=self.queue.get, name="test-taker", daemon=True)
        before = self.queue.times_caught_up, len(self.caught_up)
        thread.start()
        idle = threading.Event()
        for _ in range(int(DEADLINE / 0.002)):
            if self.queue._idle:
                break
            idle.wait(0.002)
        self.queue.put(None)
        thread.join(DEADLINE)
        assert not thread.is_alive() and len(self.caught_up) - before[1] == self.queue.times_caught_up - before[0]


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Threads take turns after every few steps."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


# Order.


def test_calls_of_both_lanes_come_by_their_numbers(line: Line) -> None:
    """However transitions, messages and events are mixed: in the order in which they were put in."""
    expected = line.events(2) + line.transitions(2) + line.messages(3) + line.events(1) + line.messages(1)
    expected += line.transitions() + line.events(3)
    assert line.take() == expected


def test_an_event_that_was_looked_at_waits_for_its_turn(line: Line) -> None:
    """The next event is taken from its lane before its turn has come; what is put in afterwards comes after it."""
    first = line.transitions()
    event = line.events(1)
    assert line.take(1) == first
    later = line.messages(1) + line.events(1)
    assert line.take() == event + later


def test_the_end_comes_after_the_events_that_wait(line: Line) -> None:
    """A turn that is waited for, and the end, come after everything that was put in before, events too."""
    turn = threading.Event()
    before = line.events(3)
    line.queue.put(turn)
    after = line.events(1)
    line.queue.put(None)
    assert line.take(3) == before
    assert line.queue.get() is turn
    assert line.take(1) == after
    assert line.queue.get() is None and len(line.queue) == 0


def test_drain_and_close_wait_for_events_that_pass() -> None:
    """``Dispatcher.drain`` is back once they are told; ``close`` ends the thread once they are."""
    registry, told, held, entered = Registry(), [], threading.Event(), threading.Event()

    class Listener:
        def on_block(self) -> None:
            entered.set()
            held.wait(DEADLINE)

        def on_event(self, number: int) -> None:
            told.append(number)

    registry.add("message", "id", Listener())
    dispatcher = Dispatcher(registry, "test-dispatcher")
    dispatcher.start()
    dispatcher.post("message", "on_block")
    assert entered.wait(DEADLINE)
    turn = threading.Event()
    seen: List[int] = []
    turn.set = lambda: seen.append(len(told))  # type: ignore[method-assign]
    for number in range(3):
        dispatcher.post("message", "on_event", number, passing=True)
    dispatcher.queue.put(turn)
    dispatcher.post("message", "on_event", 3, passing=True)
    dispatcher.close()
    held.set()
    dispatcher.join(DEADLINE)
    assert (seen, told) == ([3], [0, 1, 2, 3])


@pytest.mark.usefixtures("quick_switches")
def test_putting_and_getting_at_once() -> None:
    """Four threads put, one gets: every call that was not dropped comes, once, by number, and no bell is missed."""
    per_thread, threads = 2000, 4
    registry, queue = Registry(), CallQueue(500)

    def produce(lane: int) -> None:
        for number in range(per_thread):
            passing = (lane + number) % 2 == 0
            registry.stamp(lambda seq: queue.put(Call(seq, "", "", (), False, None, 1, passing)))

    def consume() -> None:
        while True:
            call = queue.get()
            if call is None:
                return
            taken.append(call)

    taken: List[Any] = []
    consumer = threading.Thread(target=consume, name="test-consumer", daemon=True)
    producers = [threading.Thread(target=produce, args=(lane,), name="test-producer") for lane in range(threads)]
    for thread in [consumer, *producers]:
        thread.start()
    for thread in producers:
        thread.join(DEADLINE)
    queue.put(None)
    consumer.join(DEADLINE)
    assert not consumer.is_alive()
    numbers = [call.seq for call in taken]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + queue.dropped == per_thread * threads
    assert sum(not call.passing for call in taken) == per_thread * threads / 2
    assert (len(queue), queue._event_bytes, queue._messages, queue._message_bytes) == (0, 0, 0, 0)


# Limits.


def test_beyond_the_count_the_oldest_event_is_dropped(line: Line) -> None:
    """Of 250 events the newest 100 wait, 150 are counted as dropped, and what can't be dropped is all there."""
    kept = line.messages(5) + line.transitions(5)
    events = line.events(250)
    assert line.queue.dropped == 150 and line.queue.overflowed
    assert line.take() == kept + events[150:]


def test_beyond_the_bytes_the_oldest_event_is_dropped(line: Line) -> None:
    """The newest events that have room in 1000 bytes wait."""
    events = line.events(8, size=300)
    assert line.queue.dropped == 5
    assert line.take() == events[5:]
    assert line.queue._event_bytes == 0


def test_an_event_larger_than_the_limit_is_told(line: Line) -> None:
    """Alone it fits, however large it is; with it the older ones are dropped, and the next event drops it."""
    line.events(3, size=10)
    huge = line.events(1, size=5000)
    assert line.queue.dropped == 3
    assert line.take() == huge
    line.events(1, size=5000)
    small = line.events(1, size=10)
    assert line.queue.dropped == 4
    assert line.take() == small


def test_nothing_but_events_is_dropped(line: Line) -> None:
    """Transitions and answers are put in without a limit; messages too: has_room() is for whoever puts them in."""
    calls = line.transitions(500) + line.messages(500, size=50)
    assert line.queue.dropped == 0
    assert line.take() == calls


def test_there_is_room_for_as_many_messages_as_may_wait(line: Line) -> None:
    """By count; transitions and events take no room of theirs."""
    line.transitions(300)
    line.events(300)
    for _ in range(100):
        assert line.queue.has_room()
        line.messages(1)
    assert not line.queue.has_room()


def test_there_is_room_for_as_many_bytes_of_messages(line: Line) -> None:
    """By bytes, whichever is less."""
    line.messages(2, size=499)
    assert line.queue.has_room()
    line.messages(1, size=2)
    assert not line.queue.has_room()


# Starved, and caught up.


def test_who_found_no_room_is_called_once_when_half_is_free(line: Line) -> None:
    """Not at each message that goes, not before half of the room is free, and not again until it was refused again."""
    line.messages(100)
    assert not line.queue.has_room() and not line.queue.has_room()
    line.take(49)
    assert line.fed == []
    line.take(1)
    assert line.fed == [50]
    line.take()
    assert line.fed == [50]
    line.messages(100)
    assert line.fed == [50] and not line.queue.has_room()
    line.take()
    assert line.fed == [50, 50]


def test_room_by_bytes_is_told_of_when_half_of_them_are_free(line: Line) -> None:
    """The bytes count as the messages do."""
    line.messages(2, size=600)
    assert not line.queue.has_room()
    line.take(1)
    assert line.fed == []  # 600 of 1000 bytes are taken
    line.take(1)
    assert line.fed == [0]


def test_nobody_is_called_who_found_room(line: Line) -> None:
    """A full lane that was asked about while there was room calls nobody."""
    assert line.queue.has_room()
    line.messages(100)
    line.take()
    assert line.fed == []


def test_room_is_told_of_without_a_lock(line: Line) -> None:
    """Whoever is called may ask, put in, and be asked by another thread meanwhile."""
    asked: List[bool] = []

    def ask() -> None:
        other = threading.Thread(target=lambda: asked.append(line.queue.has_room()), name="test-other", daemon=True)
        other.start()
        other.join(DEADLINE)
        asked.append(line.queue.has_room())
        line.messages(1)

    line.queue.on_room = ask
    line.messages(100)
    assert not line.queue.has_room()
    line.take(50)
    assert asked == [True, True] and len(line.queue) == 51


def test_caught_up_is_said_once_an_overflow(line: Line) -> None:
    """When the queue is empty after something did not fit; not when everything fitted, and once for each time."""
    line.look_up()
    assert line.caught_up == [] and not line.queue.overflowed
    line.events(130)
    line.events(20)
    line.take()
    assert line.caught_up == [] and line.queue.overflowed
    line.look_up()
    assert line.caught_up == [50] and not line.queue.overflowed
    line.look_up()
    line.messages(100)
    assert not line.queue.has_room()
    line.take()
    line.look_up()
    assert line.caught_up == [50, 50] and line.queue.times_caught_up == 2


def test_the_length_is_what_waits(line: Line) -> None:
    """Both lanes, and the event that was looked at."""
    line.transitions()
    line.events(2)
    assert len(line.queue) == 3
    line.take(1)
    assert len(line.queue) == 2
    line.take()
    assert len(line.queue) == 0
