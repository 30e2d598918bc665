"""Messages that find no room behind slow listeners are fetched once there is room, each once, in order."""

from __future__ import annotations

import itertools
import logging
import threading
from typing import Any, Callable, Dict, Iterator, List

import pytest
from test_inbox import DEADLINE, House, at_level, refused, text_message, texts

from cometchat import ConnectionException
from cometchat._protocol import _position
from cometchat._protocol._position import OVERLAP, Gap
from cometchat._runtime._registry import ListenerRegistry
from cometchat._runtime._threads import Wakeup
from cometchat._runtime.delivery import Dispatcher, EventQueue
from cometchat._runtime.delivery import _inbox as inbox_module
from cometchat._runtime.delivery import _waiting
from cometchat._runtime.delivery._catch_up import CatchUp
from cometchat._runtime.delivery._history import PAGE
from cometchat._runtime.delivery._waiting import HELD
from cometchat.exceptions import ERR_BAD_RESPONSE


class Gate(EventQueue):
    """A queue that is full when the test says so, in number or in bytes."""

    def __init__(self) -> None:
        super().__init__(ListenerRegistry(), 100_000)
        self.full = self.full_of_bytes = False
        self.waiting: List[Wakeup] = []
        self.waits = threading.Semaphore(0)

    def has_room(self, fetchable: bool = True) -> bool:
        return super().has_room(fetchable) and not (self.full and fetchable) and not self.full_of_bytes

    def when_room(self, wakeup: Wakeup) -> None:
        self.waiting.append(wakeup)
        self.waits.release()
        if not self.full and not self.full_of_bytes:
            wakeup.set()

    def empty(self) -> None:
        self.full = self.full_of_bytes = False
        waiting, self.waiting = self.waiting, []
        for wakeup in waiting:
            wakeup.set()


class Full(House):
    """A house whose queue has room when the test says so. The history has every live message."""

    events: Gate

    def __init__(self, newest: int = 0, **options: Any) -> None:
        super().__init__(newest, Gate(), **options)

    def live(self, *numbers: int) -> None:
        """Store messages, and push them at once."""
        for number in numbers:
            self.history.grow(number)
            self.take(number)

    def fill(self, *numbers: int) -> None:
        """Leave no room, and push these. Returns after the catch-up has noticed that it must wait."""
        self.events.full = True
        self.live(*numbers)
        self.wait_for_waits()

    def wait_for_waits(self) -> None:
        assert self.events.waits.acquire(timeout=DEADLINE)

    def empty(self) -> None:
        """Make room again."""
        self.events.empty()
        self.settle()


@pytest.fixture
def house() -> Iterator[Full]:
    """A house with an empty history."""
    made = Full()
    made.up()
    yield made
    made.inbox.forget()
    made.settle()


@pytest.fixture
def old_house() -> Iterator[Full]:
    """A house whose history has ten older messages."""
    made = Full(newest=10)
    made.up()
    yield made
    made.inbox.forget()
    made.settle()


def too_long(status: int = 200) -> ConnectionException:
    error = ConnectionException(ERR_BAD_RESPONSE, "more than can be taken")
    error.http_status = status
    return error


def action(number: int) -> Dict[str, Any]:
    """Let a member join a group."""
    return {"id": str(number), "category": "action", "type": "groupMember", "data": {"action": "joined"}}


def call(number: int) -> Dict[str, Any]:
    """Let another user call."""
    return {"id": str(number), "category": "call", "type": "audio", "data": {"action": "initiated"}}


# A gap, and its end.


def test_messages_without_room_are_fetched_once_there_is_room(house: Full) -> None:
    """Without room there is no question.

    Then all come, in order, each once, and live ones continue. So does a second gap.
    """
    house.live(1, 2)
    house.fill(3, 4, 5)
    assert house.history.questions == [] and len(house.asking) == 1
    assert house.told() == texts(1, 2)
    house.empty()
    house.live(6)
    assert house.told() == texts(3, 4, 5, 6)
    assert house.history.questions == [("2", PAGE), ("5", PAGE)]
    assert house.inbox.fetched == 3
    house.fill(7, 8)
    house.empty()
    assert house.told() == texts(7, 8)


def test_the_room_is_looked_at_before_each_page(house: Full) -> None:
    """If there is room for one page only, the next one waits, without a useless question."""
    house.fill(*range(1, 3 * PAGE + 1))
    told: List[str] = []
    post = house.events.post_stored

    def post_and_fill(*args: Any) -> bool:
        house.events.full = True
        return post(*args)

    house.events.post_stored = post_and_fill  # type: ignore[method-assign]
    for page in range(3):
        house.events.empty()
        house.wait_for_waits()
        assert len(house.history.questions) == page + 1
        told += house.told()
        assert len(told) == (page + 1) * PAGE
    house.events.post_stored = post  # type: ignore[method-assign]
    house.empty()
    assert told + house.told() == texts(*range(1, 3 * PAGE + 1))
    assert [question[0] for question in house.history.questions] == ["0", "100", "200", "300"]


def test_more_than_can_be_held_is_asked_for(house: Full) -> None:
    """The gap is larger than the number of messages that may wait for its end."""
    last = 2 * HELD + 7
    house.fill(*range(1, last + 1))
    house.empty()
    assert house.told() == texts(*range(1, last + 1))


def test_a_gap_larger_than_the_memory_of_ids(house: Full, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages that were held at its beginning are not delivered again at its end, after their ids are forgotten."""
    monkeypatch.setattr(_position, "REMEMBERED", PAGE)
    house.fill(*range(1, 5 * PAGE + 1))
    house.empty()
    assert house.told() == texts(*range(1, 5 * PAGE + 1))


def test_a_held_message_that_the_history_does_not_have_is_delivered(house: Full) -> None:
    """A message that gets into the history late, and one whose id is not a number, are delivered once after the gap."""
    house.fill(1)
    house.take(2)
    house.bodies(text_message(0, id="not a number"))
    house.live(3)
    house.empty()
    assert house.told() == texts(1, 3, 2, 0)


def test_an_own_message_in_a_gap_hides_nothing(house: Full) -> None:
    """The own message is known, and not delivered. Messages before it are delivered."""
    house.live(1)
    house.fill(2)
    house.history.grow(3)
    house.take(3, own=True)
    house.live(4)
    house.empty()
    assert house.told() == texts(1, 2, 4)


def test_a_gap_asks_from_the_known_position(house: Full) -> None:
    """The inbox asks for no older message: the connection was up, so all pushed messages have arrived."""
    house.live(*range(1, 201))
    house.fill(201)
    house.empty()
    assert house.history.questions[0] == ("200", PAGE)


# Changes of older messages, which the inbox cannot ask for in the same way.


def test_changes_of_messages_do_not_wait(house: Full) -> None:
    """A change has no id for a question, so it goes into a queue that is full in number, and opens no gap."""
    house.live(1)
    house.events.full = True
    house.take(1, editedAt=5)
    house.take(1, deletedAt=6)
    assert house.methods() == ["on_text_message_received", "on_message_edited", "on_message_deleted"]
    assert house.asking == []


def test_changes_wait_behind_a_gap(house: Full) -> None:
    """The gap may contain the changed message: a listener gets the message first."""
    house.fill(1)
    house.take(1, editedAt=5)
    house.take(1, deletedAt=6)
    assert house.deliver() == []
    house.empty()
    assert house.methods() == ["on_text_message_received", "on_message_edited", "on_message_deleted"]


def test_promise_12() -> None:
    """With one blocked callback and a limit of 100, 500 edits, deletions, group actions and calls are all delivered."""
    house = House(events=EventQueue(ListenerRegistry(), 100))
    blocked, held = Wakeup(), Wakeup()
    heard: List[Any] = []

    class Listener:
        def on_text_message_received(self, message: Any) -> None:
            blocked.set()
            held.wait(DEADLINE)

        def __getattr__(self, method: str) -> Callable[..., None]:
            return lambda first, *rest: heard.append((method, first.id))

    for kind in ("message", "group", "call"):
        house.registry.add(kind, "id", Listener())
    dispatcher = Dispatcher(house.registry, house.events, "test-dispatcher", lambda: "client 7")
    house.history.grow(*range(1, 1001))
    house.up()
    house.take(1001)
    house.history.grow(1001)
    dispatcher.start()
    assert blocked.wait(DEADLINE)
    expected: Dict[str, List[Any]] = {"changes": [], "stored": []}
    numbers = itertools.count(1002)
    for each in range(500):
        mark, method = (("editedAt", "on_message_edited"), ("deletedAt", "on_message_deleted"))[each % 2]
        house.take(each + 1, **{mark: 5})
        expected["changes"].append((method, str(each + 1)))
        for make, method in ((action, "on_group_member_joined"), (call, "on_incoming_call_received")):
            body = make(next(numbers))
            house.history.messages.append(body)
            house.bodies(body)
            expected["stored"].append((method, body["id"]))
    assert len(house.events) < 700
    held.set()
    house.settle()
    dispatcher.close()
    dispatcher.join(DEADLINE)
    changes = [event for event in heard if event[0].startswith("on_message")]
    stored = [event for event in heard if event not in set(changes)]
    assert (changes, stored) == (expected["changes"], expected["stored"])
    assert house.events.dropped == 0


def test_beyond_the_bytes_the_newest_change_of_each_message_is_kept(old_house: Full) -> None:
    """Once there is room, an edited message is delivered in its new form, and a deleted one without a question."""
    old_house.events.full_of_bytes = True
    old_house.take(1, editedAt=5)
    old_house.wait_for_waits()
    old_house.take(2, editedAt=5)
    old_house.take(3, editedAt=5)
    old_house.take(2, deletedAt=6)
    for number in range(7, 1000):
        old_house.take(1, editedAt=number, data={"text": f"old text {number}"})
    changes = old_house.inbox._waiting.changes
    assert list(changes) == ["3", "2", "1"] and "data" not in changes["1"]
    old_house.history.messages[0] = text_message(1, editedAt=1000, data={"text": "as it is now"})
    old_house.empty()
    events = old_house.deliver()
    assert [(event.method, event.args[0].id, event.args[0].text) for event in events] == [
        ("on_message_edited", "3", "text 3"),
        ("on_message_deleted", "2", None),
        ("on_message_edited", "1", "as it is now"),
    ]
    assert events[-1].args[0].raw["editedAt"] == 1000
    asked = [question[1] for question in old_house.history.questions if question[0] == "message"]
    assert asked == ["3", "1"]


def test_more_changes_than_can_be_held(old_house: Full, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest of each message is kept, and none comes after a newer one, of the same message or of another."""
    monkeypatch.setattr(_waiting, "HELD", 4)
    old_house.fill(11)
    for number in (1, 2, 3, 1, 4):
        old_house.take(number, editedAt=5)
    old_house.take(3, deletedAt=6)
    old_house.take(1, editedAt=7)
    old_house.history.messages[0] = text_message(1, editedAt=7, data={"text": "newest"})
    old_house.empty()
    assert [(event.method[3:], event.args[0].id, event.args[0].text) for event in old_house.deliver()] == [
        ("text_message_received", "11", "text 11"),
        ("message_edited", "1", "text 1"),
        ("message_edited", "2", "text 2"),
        ("message_edited", "3", "text 3"),
        ("message_edited", "4", "text 4"),
        ("message_deleted", "3", None),
        ("message_edited", "1", "newest"),
    ]


def test_a_flood_while_changes_are_delivered(old_house: Full, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages that find no room while an edited message is fetched come later. None is lost, and none goes before."""
    monkeypatch.setattr(_waiting, "HELD", 2)
    old_house.events.full_of_bytes = True
    old_house.take(1, editedAt=5)
    old_house.wait_for_waits()
    right = old_house.history.message

    def flooded(message_id: str) -> Dict[str, Any]:
        old_house.live(11, 12, 13, 14)
        return right(message_id)

    old_house.history.message = flooded  # type: ignore[method-assign]
    old_house.empty()
    old_house.live(15)
    assert old_house.told() == texts(1, 11, 12, 13, 14, 15)


def test_a_discard_does_not_take_an_older_change_for_the_newest(old_house: Full) -> None:
    """At disconnect(), an edit is in the queue, and a deletion of the same message has found no room."""
    old_house.take(1, 2, editedAt=5)
    old_house.events.full_of_bytes = True
    old_house.take(1, deletedAt=6)
    old_house.wait_for_waits()
    old_house.disconnect()
    old_house.events.empty()
    old_house.connect()
    assert [(event.method, event.args[0].id) for event in old_house.deliver()] == [
        ("on_message_edited", "2"),
        ("on_message_deleted", "1"),
    ]


@pytest.mark.parametrize("mark", ["editedAt", "deletedAt"])
def test_a_disconnect_while_a_change_is_delivered(old_house: Full, mark: str) -> None:
    """The generation is old before the change is queued. The next connection delivers it."""
    old_house.events.full_of_bytes = True
    old_house.take(1, **{mark: 5})
    old_house.wait_for_waits()
    right = old_house.history.messages_after

    def late(message_id: str, limit: int) -> List[Dict[str, Any]]:
        old_house.history.messages_after = right  # type: ignore[method-assign]
        page = right(message_id, limit)
        if mark == "deletedAt":
            old_house.events.advance()
        return page

    def late_message(message_id: str) -> Dict[str, Any]:
        old_house.events.advance()
        return text_message(1, editedAt=5)

    old_house.history.messages_after = late  # type: ignore[method-assign]
    old_house.history.message = late_message  # type: ignore[method-assign]
    old_house.empty()
    assert old_house.deliver() == []
    old_house.inbox.discard_old()
    old_house.history.message = lambda message_id: text_message(1, editedAt=5)  # type: ignore[method-assign]
    old_house.connect()
    assert [event.args[0].id for event in old_house.deliver()] == ["1"]


def test_a_deletion_while_an_edit_is_fetched_is_not_lost(old_house: Full) -> None:
    """The answer is older than the deletion. A listener gets the deletion last."""
    old_house.events.full_of_bytes = True
    old_house.take(1, editedAt=5)
    old_house.wait_for_waits()
    right = old_house.history.message

    def late(message_id: str) -> Dict[str, Any]:
        answer = right(message_id)
        old_house.take(1, deletedAt=6)
        return answer

    old_house.history.message = late  # type: ignore[method-assign]
    old_house.empty()
    assert old_house.methods()[-1] == "on_message_deleted"


def test_a_change_that_goes_before_kept_ones(old_house: Full) -> None:
    """A newer change of the same message is delivered at once. The older one is not delivered after it."""
    old_house.history.errors = [refused(404)]
    old_house.events.full_of_bytes = True
    old_house.take(1, editedAt=5)
    old_house.wait_for_waits()
    old_house.empty()
    old_house.take(1, deletedAt=6)
    assert old_house.methods() == ["on_message_deleted"]
    old_house.lose_and_return()
    old_house.settle()
    assert old_house.deliver() == []


@pytest.mark.parametrize("error, waits", [(refused(404), 0), (refused(503), 1)])
def test_an_edited_message_that_can_not_be_fetched(old_house: Full, error: Exception, waits: int) -> None:
    """If the service refuses, the edit is delivered without the text. After a failure, the inbox asks again."""
    old_house.events.full_of_bytes = True
    old_house.take(1, editedAt=5)
    old_house.wait_for_waits()
    old_house.history.errors = [None, error]
    old_house.empty()
    (event,) = old_house.deliver()
    assert (event.method, event.args[0].id) == ("on_message_edited", "1")
    assert (event.args[0].text is None, len(old_house.waits)) == (not waits, waits)


def test_requests_for_edited_messages_slow_down_before_the_rate_limit(old_house: Full) -> None:
    """There is one request for each edited message. The user's own calls need the last ones of a minute."""
    old_house.history.rate_limit_remaining = 99
    old_house.events.full_of_bytes = True
    old_house.take(1, editedAt=5)
    old_house.wait_for_waits()
    old_house.take(2, 3, 4, editedAt=5)
    old_house.history.questions.clear()
    old_house.empty()
    assert len(old_house.deliver()) == 4
    assert len(old_house.history.questions) == 6 and len(old_house.waits) == 5, "a wait between any two"


def test_live_messages_do_not_wait_forever_for_changes(old_house: Full) -> None:
    """They have gone first once already, before the messages were fetched."""
    old_house.events.full_of_bytes = True
    old_house.take(1, editedAt=5)
    old_house.wait_for_waits()
    old_house.history.errors = [*[refused()] * 8, None, *[refused()] * 10]
    waiting: List[int] = []

    def wait() -> None:
        waiting.append(len(old_house.events))
        if len(waiting) == 10:
            old_house.live(11)

    old_house.on_wait = wait
    old_house.empty()
    assert waiting == [0] * 10 + [1] * 9


def test_many_changes_wait_for_room(old_house: Full) -> None:
    """If there is room for some, the others keep waiting."""
    old_house.events.full_of_bytes = True
    old_house.take(1, deletedAt=5)
    old_house.wait_for_waits()
    for number in range(2, 6):
        old_house.inbox._waiting.keep_change(text_message(number, deletedAt=5))
    post = old_house.events.post_stored

    def post_and_fill(*args: Any) -> bool:
        old_house.events.full_of_bytes = True
        return post(*args)

    old_house.events.post_stored = post_and_fill  # type: ignore[method-assign]
    for number in range(1, 5):
        old_house.events.empty()
        old_house.wait_for_waits()
        assert [event.args[0].id for event in old_house.deliver()] == [str(number)]
    old_house.events.post_stored = post  # type: ignore[method-assign]
    old_house.empty()
    assert [event.args[0].id for event in old_house.deliver()] == ["5"]


def test_a_message_without_an_id_is_held_too(house: Full) -> None:
    """The inbox cannot ask for it, and does not lose it at the beginning of a gap."""
    house.live(1)
    house.events.full_of_bytes = True
    house.bodies(text_message(2, id=None))
    house.wait_for_waits()
    house.empty()
    assert house.told() == texts(1, 2)


# The beginning.


def test_before_the_beginning_is_known_there_is_always_room() -> None:
    """Messages that the inbox cannot ask for yet are delivered, also with slow listeners."""
    house = Full(newest=7)
    house.events.full = True
    house.history.gate.clear()
    house.begin()
    house.live(8)
    assert house.told() == texts(8)
    house.history.gate.set()
    house.settle()


def test_the_first_question_is_not_waited_for_where_a_message_is_known() -> None:
    """The question for the newest id is open, and a live message is known already. The inbox asks from that one on."""
    house = Full(newest=7)
    house.history.gate.clear()
    house.begin()
    house.live(8)
    house.events.full = True
    house.live(9, 10)
    house.history.gate.set()
    house.empty()
    assert house.told() == texts(8, 9, 10)
    assert ("8", PAGE) in house.history.questions


def test_switched_off_messages_without_room_are_still_fetched() -> None:
    """``fetch_missed_messages=False`` is about reconnects.

    A slow listener loses no message, also not over a reconnect.
    """
    house = Full(enabled=False)
    house.begin()
    house.live(1)
    house.fill(2, 3)
    house.lose()
    house.begin()
    house.live(4)
    house.empty()
    house.live(5)
    assert house.told() == texts(1, 2, 3, 4, 5)
    house.lose_and_return()
    house.settle()
    assert house.history.questions == [("1", PAGE), ("4", PAGE)]


def test_switched_off_live_messages_of_a_new_connection_wait_for_no_older_ones() -> None:
    """connect() on another thread is faster than the end of disconnect(), and the old connection left a gap."""
    house = Full(enabled=False)
    house.begin()
    house.live(1)
    house.fill(2)
    house.generation = house.events.advance()
    house.events.full = False
    house.begin()
    house.live(3)
    assert house.told() == texts(1, 3)
    house.empty()


def test_switched_off_a_first_message_without_room_is_fetched() -> None:
    """The first message of a connection may be routed before the inbox knows that the connection is up."""
    house = Full(enabled=False)
    house.begin()
    house.live(1)
    assert house.told() == texts(1)
    house.disconnect()
    house.generation = house.events.advance()
    house.fill(2)
    house.begin()
    house.empty()
    assert house.told() == texts(2)


def test_switched_off_there_is_always_room_for_the_beginning() -> None:
    house = Full(enabled=False)
    house.begin()
    house.events.full = True
    house.live(1)
    assert house.told() == texts(1) and house.history.questions == []


def test_switched_off_a_change_without_room_is_delivered_later() -> None:
    """It is the first thing that comes, so the newest id is asked for."""
    house = Full(newest=3, enabled=False)
    house.begin()
    house.events.full_of_bytes = True
    house.take(1, deletedAt=5)
    house.wait_for_waits()
    house.empty()
    assert house.methods() == ["on_message_deleted"]


# A gap that is interrupted.


@pytest.mark.parametrize("end", ["lose", "disconnect", "forget", "close"])
def test_a_catch_up_that_waits_for_room_can_be_stopped(house: Full, end: str) -> None:
    """A lost connection, ``disconnect()``, a logout and ``close()`` end it: its thread ends, and asks for nothing."""
    house.fill(1)
    assert len(house.asking) == 1
    getattr(house.inbox if end in ("forget", "close") else house, end)()
    house.settle()
    assert house.asking == [] and house.history.questions == []


def test_a_catch_up_that_is_stopped_just_before_its_wait_for_room(house: Full) -> None:
    """The wait does not begin, because nothing would end it."""
    task = CatchUp(house.generation, Gap("1", "1"))
    task.stop()
    house.events.full = True
    assert not house.inbox._thread._has_room(task)


def test_a_loss_during_a_gap(house: Full) -> None:
    """The next connection continues with it. Held messages keep waiting, and all are delivered once there is room."""
    house.live(1)
    house.fill(2, 3)
    house.lose()
    house.settle()
    house.history.grow(4)
    house.begin()
    house.live(5)
    assert house.told() == texts(1) and house.history.questions == []
    house.empty()
    assert house.told() == texts(2, 3, 4, 5)


def test_a_loss_during_a_gap_with_an_own_message_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The own message is known, and newer by far. The next connection still asks from the beginning of the gap."""
    monkeypatch.setattr(_waiting, "HELD", 1)
    house = Full(newest=1000)
    house.up()
    house.live(1001)
    house.fill(1002, 1003)
    house.take(1004 + 2 * OVERLAP, own=True)
    house.lose_and_return()
    house.empty()
    assert house.told() == texts(1001, 1002, 1003)


def test_a_gap_behind_a_catch_up_that_was_given_up(house: Full, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a thread the missed message waits for the next catch-up, which here is that of the gap."""
    house.live(1)
    assert house.told() == texts(1)
    house.history.grow(2)
    with monkeypatch.context() as patch:
        patch.setattr(inbox_module.CatchUpThread, "start", lambda thread, task: house.inbox.give_up(task))
        house.lose_and_return()
    house.live(3)
    house.fill(4)
    house.empty()
    assert house.told() == texts(3, 2, 4)


def test_losses_and_returns_while_there_is_no_room(house: Full) -> None:
    """After any number of losses one thread asks, once there is room, and no message is lost."""
    for number in range(1, 41):
        house.events.full = True
        house.live(number)
        house.lose_and_return()
    house.empty()
    assert house.asking == []
    assert house.told() == texts(*range(1, 41))


def test_a_disconnect_during_a_gap(house: Full) -> None:
    """Queued and held messages are discarded. The next connection asks for all of them."""
    house.live(1, 2, 3)
    assert house.told(1) == texts(1)
    house.fill(4, 5)
    house.take(1, deletedAt=5)
    house.disconnect()
    assert house.deliver() == []
    house.events.empty()
    house.connect()
    assert [event.args[0].id for event in house.deliver()] == ["2", "3", "4", "5", "1"]
    assert {limit for _, limit in house.history.questions} == {PAGE}  # no message needed its own question


def test_a_disconnect_in_the_middle_of_the_pages(house: Full) -> None:
    """Pages that were fetched and not delivered yet are fetched again."""
    house.fill(*range(1, 2 * PAGE + 1))
    house.history.errors = [None, refused(503)]
    house.on_wait = house.history.gate.clear
    house.events.empty()
    assert house.paused.wait(DEADLINE)
    assert len(house.events) == PAGE and house.told(1) == texts(1)
    house.disconnect()
    house.on_wait = lambda: None
    house.history.gate.set()
    house.connect()
    assert house.told() == texts(*range(2, 2 * PAGE + 1))


def test_a_discard_drops_events_of_earlier_generations(house: Full) -> None:
    """A generation that ended by itself left messages in the queue. They are discarded with the next one's."""
    house.live(1, 2)
    house.connect()
    house.live(3)
    house.disconnect()
    assert house.deliver() == []
    house.connect()
    assert house.told() == texts(1, 2, 3)


def test_held_messages_are_not_for_a_later_listener(house: Full) -> None:
    """All listeners leave during a gap, and the connection breaks. Messages until then are no longer delivered."""
    house.live(1)
    house.fill(2)
    house.take(1, deletedAt=5)
    house.lose()
    house.listen(False)
    house.begin()
    house.deliver()
    house.listen(True)
    house.inbox.listeners_changed()
    house.empty()
    house.live(3)
    assert house.told() == texts(3)


# A service with wrong answers.


def test_a_page_that_is_too_long_is_asked_for_in_smaller_ones(house: Full) -> None:
    """An answer with a hundred large messages may exceed the limit of HTTP answers. The inbox asks for fewer."""
    house.fill(*range(1, 51))
    right = house.history.messages_after

    def bounded(message_id: str, limit: int) -> Any:
        page = right(message_id, limit)
        if len(page) > 10:
            raise too_long()
        return page

    house.history.messages_after = bounded  # type: ignore[method-assign]
    house.empty()
    assert house.told() == texts(*range(1, 51))
    assert house.waits == [pytest.approx(0.2), pytest.approx(0.4)]


def test_an_outage_does_not_make_pages_small(house: Full) -> None:
    """A proxy answers some requests with a text of its own. A long gap is still fetched by the hundred."""
    house.fill(*range(1, 2 * PAGE + 1))
    house.history.errors = [too_long(502), None, too_long(503), too_long(404)]
    house.empty()
    assert house.told() == texts(*range(1, 2 * PAGE + 1))
    assert {limit for _, limit in house.history.questions} == {PAGE}


def test_smaller_pages_grow_again(house: Full) -> None:
    """One answer that was too long costs a long gap only some more requests."""
    house.fill(*range(1, 10 * PAGE + 1))
    house.history.errors = [too_long(), too_long(), too_long()]
    house.empty()
    assert house.told() == texts(*range(1, 10 * PAGE + 1))
    assert len(house.history.questions) < 50


def test_a_service_without_a_history_releases_held_messages(house: Full) -> None:
    """After a refusal held messages are delivered, also beyond the room, and so are later ones once there is room."""
    house.history.errors = [refused(404)]
    house.fill(1, 2)
    house.empty()
    house.live(3)
    assert house.told() == texts(1, 2, 3)
    assert len(house.history.questions) == 1


def test_held_messages_go_first_once_there_is_room(caplog: pytest.LogCaptureFixture) -> None:
    """Questions fail for long.

    Without room the messages wait. With room they are delivered while questions still fail.
    """
    house = Full()
    house.history.gate.clear()
    house.begin()
    assert house.history.asked.acquire(timeout=DEADLINE)
    house.lose()
    house.history.gate.set()
    house.settle()
    house.history.gate.clear()
    house.begin()
    house.live(1)
    house.events.full = True
    house.history.errors = [refused() for _ in range(9)]
    waiting: List[int] = []

    def wait() -> None:
        waiting.append(len(house.events))
        house.events.full = len(waiting) <= 6

    house.on_wait = wait
    house.history.gate.set()
    house.settle()
    assert waiting == [0] * 7 + [1] * 3
    assert house.told() == texts(1)
    assert len(at_level(caplog, logging.WARNING)) == 1


def test_a_gap_during_a_catch_up_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """Live messages go first after a while.

    One that finds no room then waits, and also goes first once there is room.
    """
    house = Full(newest=1)
    house.up()
    house.history.gate.clear()
    house.lose_and_return()
    house.live(2)
    house.history.errors = [refused() for _ in range(9)]
    waiting: List[int] = []

    def wait() -> None:
        waiting.append(len(house.events))
        if len(waiting) == 7:
            house.events.full = True
            house.live(3)
            house.events.full = False

    house.on_wait = wait
    house.history.gate.set()
    house.settle()
    assert waiting == [0] * 5 + [1] * 2 + [2] * 3
    assert house.told() == texts(2, 3)
    assert len(at_level(caplog, logging.WARNING)) == 2


# With the real queue.


@pytest.mark.parametrize("limit, max_bytes", [(100, 10**9), (10_000, 20_000)])
def test_with_the_real_queue(limit: int, max_bytes: int) -> None:
    """Ten thousand messages for a listener that blocks for a while all come once, in order, with bounded memory."""

    class Bounded(EventQueue):
        most = most_bytes = 0

        def post_stored(self, *args: Any) -> bool:
            posted = super().post_stored(*args)
            self.most = max(self.most, self._stored)
            self.most_bytes = max(self.most_bytes, self._lasting_bytes)
            return posted

    events = Bounded(ListenerRegistry(), limit, max_bytes)
    house = House(events=events)
    heard: List[str] = []
    house.up()

    class Listener:
        def on_text_message_received(self, message: Any) -> None:
            heard.append(message.text)

    house.registry.add("message", "id", Listener())
    dispatcher = Dispatcher(house.registry, events, "test-dispatcher", lambda: "client 7")
    numbers = range(1, 4001)
    for number in numbers:
        house.history.grow(number)
        house.take(number)
        if number == 2000:
            assert events._stored <= limit and events.most_bytes <= max_bytes + 100
            dispatcher.start()
    house.settle()
    dispatcher.close()
    dispatcher.join(DEADLINE)
    assert heard == texts(*numbers)
    # A page, or the held messages, may enter if there is room for one.
    assert events.most <= min(limit, max_bytes // 100) + PAGE + HELD
    assert house.inbox.fetched > 500
