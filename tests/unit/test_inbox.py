"""Missed messages: fetched after a reconnect, delivered in order, each once, before the live ones."""

from __future__ import annotations

import itertools
import logging
import threading
from typing import Any, Callable, Dict, List, Optional

import pytest
from no_threads import no_threads

from cometchat import CometChatException, ConnectionException, RateLimitException
from cometchat._protocol import _position
from cometchat._protocol._delivery import Delivery, Self
from cometchat._protocol._frames import EventKind
from cometchat._protocol._position import OVERLAP, Gap
from cometchat._runtime._registry import ListenerRegistry
from cometchat._runtime._threads import Wakeup
from cometchat._runtime.delivery import EventQueue, Inbox
from cometchat._runtime.delivery import _catch_up as catch_up_module
from cometchat._runtime.delivery import _inbox as inbox_module
from cometchat._runtime.delivery import _waiting
from cometchat._runtime.delivery._catch_up import PATIENCE, CatchUp
from cometchat._runtime.delivery._history import PAGE
from cometchat._runtime.delivery._inbox_store import Progress
from cometchat._runtime.delivery._queue import Event, Stored
from cometchat._runtime.delivery._waiting import HELD, HELD_BYTES

DEADLINE = 10.0

_numbers = itertools.count(1)


def text_message(number: int, **more: Any) -> Dict[str, Any]:
    data = {"text": f"text {number}", "resource": "other", **more.pop("data", {})}
    return {"id": str(number), "category": "message", "type": "text", "sender": "u2", "data": data, **more}


class History:
    """The messages that the service stores.

    ``gate`` holds an answer back. ``errors`` are raised first, one per question.

    :ivar newest_at_begin: id of the newest message at an earlier time.
    """

    def __init__(self, newest: int = 0) -> None:
        self.newest_at_begin = str(newest)
        self.messages = [text_message(number) for number in range(1, newest + 1)]
        self.questions: List[Any] = []
        self.errors: List[Optional[Exception]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Semaphore(0)
        self.me = Self("mine", "u1")
        self.rate_limit_remaining: Optional[int] = None

    def client_name(self) -> str:
        return "client 7, amy"

    def ask(self, question: Any) -> None:
        self.questions.append(question)
        self.asked.release()
        assert self.gate.wait(DEADLINE)
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error

    def messages_after(self, message_id: str, limit: int) -> List[Dict[str, Any]]:
        self.ask((message_id, limit))
        return [message for message in self.messages if int(message["id"]) > int(message_id)][:limit]

    def newest_message_id(self, ago: Optional[float] = None) -> str:
        newest: str = self.messages[-1]["id"] if self.messages else "0"
        self.ask("newest" if ago is None else ("newest", ago))
        if ago is not None:
            return self.newest_at_begin
        return newest  # as it was at the time of the question

    def message(self, message_id: str) -> Dict[str, Any]:
        self.ask(("message", message_id))
        for message in self.messages:
            if message["id"] == message_id:
                return message
        raise refused(404)

    def renew(self) -> None:
        self.ask("renew")

    def grow(self, *numbers: int) -> None:
        self.messages += [text_message(number) for number in numbers]


class House:
    """An inbox with a queue and a history. The test takes the queued events, like the dispatcher."""

    def __init__(self, newest: int = 0, events: Optional[EventQueue] = None, **options: Any) -> None:
        self.name = f"test-missed-{next(_numbers)}"
        self.history = History(newest)
        self.events = EventQueue(ListenerRegistry(), 100_000) if events is None else events
        self.registry = self.events._registry
        self.listen(True)
        self.generation = self.events.advance()
        self.now = 0.0
        self.waits: List[float] = []
        self.on_wait: Callable[[], None] = lambda: None
        self.paused = threading.Event()
        self.inbox = Inbox(
            self.registry,
            self.events,
            self.history,
            self.history,
            name=self.name,
            **{
                "enabled": True,
                "clock": lambda: self.now,
                "jitter": lambda: 1.0,
                "wait": self._wait,
                **options,
            },
        )

    def _wait(self, event: Wakeup, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds
        self.on_wait()
        self.paused.set()

    def listen(self, listening: bool) -> None:
        if listening:
            self.registry.add("message", "id", object())
        else:
            self.registry.remove("message", "id")

    def begin(self) -> None:
        """Open the connection."""
        self.inbox.begin(self.generation)

    def up(self) -> None:
        """Open the connection, and wait for the newest id."""
        self.begin()
        self.settle()
        self.history.questions.clear()

    def bodies(self, *bodies: Dict[str, Any], own: bool = False, size: int = 100) -> None:
        for body in bodies:
            self.inbox.take(self.generation, body, own, size)

    def take(self, *numbers: int, own: bool = False, size: int = 100, **more: Any) -> None:
        self.bodies(*(text_message(number, **more) for number in numbers), own=own, size=size)

    def settle(self) -> None:
        """Wait until no catch-up runs."""
        while self.asking:  # one may start another
            for thread in self.asking:
                thread.join(DEADLINE)
                assert not thread.is_alive()

    @property
    def asking(self) -> List[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == self.name]

    def deliver(self, count: int = -1) -> List[Event]:
        """Take this many events out of the queue, like the dispatcher. -1 takes all."""
        taken: List[Event] = []
        while len(taken) != count:
            items = self.events.take()
            if not items:
                break
            taken += items  # type: ignore[arg-type]
        return taken

    def told(self, count: int = -1) -> List[str]:
        """Return the listeners' calls for this many events."""
        return [event.args[0].text for event in self.deliver(count)]

    def methods(self) -> List[str]:
        return [event.method for event in self.deliver()]

    def lose_and_return(self) -> None:
        """Lose the connection. The same generation connects again."""
        self.lose()
        self.begin()

    def lose(self) -> None:
        """Lose the connection."""
        self.inbox.lost(self.generation)

    def disconnect_and_connect(self) -> None:
        """Call disconnect(), then connect()."""
        self.disconnect()
        self.generation = self.events.advance()
        self.begin()

    def disconnect(self) -> None:
        """Call disconnect(): the generation is old at once, and queued events are discarded a moment later."""
        self.events.advance()
        self.inbox.discard_old()

    def connect(self) -> None:
        """Call connect(), and wait for the connection and the missed events."""
        self.generation = self.events.advance()
        self.begin()
        self.settle()


@pytest.fixture
def house() -> House:
    return House()


def texts(*numbers: int) -> List[str]:
    return [f"text {number}" for number in numbers]


def refused(status: Optional[int] = None) -> ConnectionException:
    """Return a failure without a network, or an answer with an unknown code, so that the status counts."""
    error = ConnectionException("FAILED_TO_FETCH" if status is None else "ERR_UNHEARD_OF", "no")
    error.http_status = status
    return error


def too_many() -> RateLimitException:
    error = RateLimitException("ERR_TOO_MANY_REQUESTS", "too many")
    error.http_status = 429
    return error


def at_level(caplog: pytest.LogCaptureFixture, level: int) -> List[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


# After a reconnect.


def test_the_first_connection_asks_only_where_it_begins() -> None:
    """At first no message is missing.

    The inbox asks for the newest id, and live messages do not wait for the answer.
    """
    house = House(newest=7)
    house.history.gate.clear()
    house.begin()
    house.take(8)
    assert house.told() == texts(8)
    house.history.gate.set()
    house.settle()
    assert house.history.questions == ["newest"]
    assert house.told() == []


def test_missed_messages_come_before_live_ones() -> None:
    """After a reconnect the messages from in between come first, then the live ones, each once."""
    house = House(newest=3)
    house.up()
    house.history.grow(4, 5, 6)
    house.history.gate.clear()
    house.lose_and_return()
    house.take(6, 7)
    assert house.told() == []
    house.history.gate.set()
    house.settle()
    assert house.told() == texts(4, 5, 6, 7)
    assert house.history.questions[0] == ("3", PAGE)
    assert house.inbox.fetched == 3


def test_all_pages_are_fetched() -> None:
    """Any number of missed messages is fetched page by page, in order."""
    house = House(newest=1)
    house.up()
    house.history.grow(*range(2, 452))
    house.lose_and_return()
    house.settle()
    assert house.told() == texts(*range(2, 452))
    assert [question[0] for question in house.history.questions] == ["1", "101", "201", "301", "401", "451"]


def test_an_old_generation_is_not_listened_to(house: House) -> None:
    """A connection thread that was left behind can neither begin a catch-up nor hand in events."""
    house.up()
    house.take(1)
    old = house.generation
    house.disconnect()
    house.inbox.begin(old)
    house.settle()
    house.inbox.take(old, text_message(2), False, 100)
    assert house.history.questions == [] and house.told() == []


def test_an_own_message_is_not_delivered(house: House) -> None:
    """A message that this connection has sent is delivered neither live nor from the history."""
    house.up()
    house.take(1, own=True)
    house.inbox.sent("2")
    house.inbox.sent(None)
    assert None not in house.inbox._position.ids  # as all changes of older messages
    mine = text_message(3, sender="u1", data={"resource": "mine"})
    house.history.messages = [text_message(1), text_message(2), mine, text_message(4)]
    house.lose_and_return()
    house.settle()
    assert house.told() == texts(4)


def test_an_own_change_does_not_make_its_message_known(house: House) -> None:
    """The user edits a missed message, which get_messages() has read. The catch-up still delivers it."""
    house.up()
    house.lose()
    house.history.grow(1, 2)
    house.history.gate.clear()
    house.begin()
    house.take(1, own=True, editedAt=5)
    house.history.gate.set()
    house.settle()
    assert house.told() == texts(1, 2)


def test_a_message_that_no_listener_gets_is_known(house: House) -> None:
    """So the next catch-up does not begin before it."""
    house.up()
    house.take(1, sender="u1", data={"resource": "mine"})  # such as one that another process has sent
    assert house.told() == [] and house.inbox._position.known == "1"


def test_a_message_that_comes_twice_is_delivered_once(house: House) -> None:
    """The second arrival of the same id is not delivered, from any source."""
    house.up()
    house.take(1, 2, 1, 2, 3)
    assert house.told() == texts(1, 2, 3)


@pytest.mark.parametrize("mark", ["0", None, -1, 10**20])
def test_a_message_with_an_unusable_edit_mark_comes_once(house: House, mark: object) -> None:
    """It is a new message for the listeners, and so for the memory of ids too."""
    house.up()
    house.take(1, editedAt=mark)
    house.take(1, deletedAt=mark)
    assert house.methods() == ["on_text_message_received"]


def test_an_edit_is_delivered_although_its_message_is_known(house: House) -> None:
    """An edit and a deletion have the id of an older message, and are delivered all the same. Each mark is a number."""
    house.up()
    house.take(1)
    house.take(1, editedAt=5)
    house.take(1, editedAt="6")
    house.take(1, editedAt=None)
    house.take(1, deletedAt=6)
    assert house.methods() == [
        "on_text_message_received",
        "on_message_edited",
        "on_message_edited",
        "on_message_deleted",
    ]


def test_a_message_edited_while_away_is_still_a_message() -> None:
    """A missed message that was edited is delivered as a message, and a deleted one as a deletion, each once."""
    house = House(newest=1)
    house.up()
    action = {"id": "4", "category": "action", "type": "message", "data": {"action": "edited"}}
    house.history.messages += [text_message(2, editedAt=5), text_message(3, deletedAt=6), action]
    house.lose_and_return()
    house.lose_and_return()
    house.settle()
    assert house.methods() == ["on_text_message_received", "on_message_deleted", "on_message_edited"]


def test_group_actions_and_calls_are_fetched_too() -> None:
    """The inbox asks for each kind of listener of stored events. Each listener gets its own kind."""
    methods = {
        "message": "on_text_message_received",
        "group": "on_group_member_joined",
        "call": "on_incoming_call_received",
    }
    for kind in methods:
        house = House(newest=1)
        house.listen(False)
        house.registry.add(kind, "id", object())
        house.up()
        action = {"id": "2", "category": "action", "type": "groupMember", "data": {"action": "joined"}}
        call = {"id": "3", "category": "call", "type": "audio", "data": {"action": "initiated"}}
        house.history.messages += [action, call, text_message(4)]
        house.lose_and_return()
        house.settle()
        (event,) = house.deliver()
        assert (event.kind, event.method) == (kind, methods[kind])


# The beginning, and older messages.


def test_a_loss_before_the_beginning_is_known() -> None:
    """The first connection breaks before the answer to its question. The answer counts, and later messages come."""
    house = House(newest=3)
    house.history.gate.clear()
    house.begin()
    house.lose()
    house.history.gate.set()
    house.settle()
    house.history.grow(4)
    house.begin()
    house.settle()
    assert house.told() == texts(4)


def test_the_beginning_becomes_known_too_late() -> None:
    """The answer comes after a loss, and includes messages that were missed. Only live ones count as known."""
    house = House(newest=7)
    house.history.gate.clear()

    def late(ago: Optional[float] = None) -> str:
        house.history.ask("newest")
        newest: str = house.history.messages[-1]["id"]
        return newest

    house.history.newest_message_id = late  # type: ignore[method-assign]
    house.begin()
    assert house.history.asked.acquire(timeout=DEADLINE)
    house.history.grow(8)
    house.take(8)
    house.lose()
    house.history.grow(9)
    house.history.gate.set()
    house.settle()
    house.begin()
    house.settle()
    assert house.told() == texts(8, 9)


@pytest.mark.parametrize("returns", [House.lose_and_return, House.disconnect_and_connect])
def test_two_connections_before_the_beginning_is_known(returns: Callable[[House], None]) -> None:
    """The question is still open when the next connection is up. That one asks for the time of the first question."""
    house = House(newest=3)
    house.history.gate.clear()
    house.begin()
    assert house.history.asked.acquire(timeout=DEADLINE)
    house.now = 7.0
    returns(house)
    house.take(5)
    house.history.grow(4, 5)
    house.history.gate.set()
    house.settle()
    assert house.told() == texts(4, 5)
    assert house.history.questions[:2] == ["newest", ("newest", 7.0)]


@pytest.mark.parametrize("again", [None, House.lose_and_return, House.disconnect_and_connect])
def test_a_live_message_goes_before_the_missed_ones_before_the_beginning_is_known(
    again: Optional[Callable[[House], None]],
) -> None:
    """The first connection breaks, and the questions of the next one fail for so long that a live message goes first.

    The messages between the connections are then still missing, also for a third connection.
    """
    house = House(newest=3)
    house.history.gate.clear()
    house.begin()
    assert house.history.asked.acquire(timeout=DEADLINE)
    house.lose_and_return()
    house.history.grow(4, 5)
    house.history.errors = [refused() for _ in range(9)]
    told: List[str] = []

    def wait() -> None:
        if house.now > PATIENCE + 2 and not told:
            house.take(5)
            told.extend(house.told())
            if again is not None:
                again(house)

    house.on_wait = wait
    house.history.gate.set()
    house.settle()
    assert told + house.told() == texts(5, 4)


def test_a_loss_that_is_reported_late() -> None:
    """Another thread connects before the report. The report must not stop the catch-up of the new connection."""
    house = House(newest=1)
    house.up()
    old = house.generation
    house.history.gate.clear()
    house.disconnect_and_connect()
    house.take(2)
    house.inbox.lost(old)
    house.history.gate.set()
    house.settle()
    assert house.told() == texts(2)


def test_a_change_between_two_losses_before_the_beginning_is_known() -> None:
    """The question is still open after the second loss. The change can't be fetched, so it is delivered."""
    house = House(newest=3)
    house.history.gate.clear()
    house.begin()
    assert house.history.asked.acquire(timeout=DEADLINE)
    house.lose_and_return()
    house.take(2, editedAt=5)
    house.lose_and_return()
    house.history.gate.set()
    house.settle()
    assert house.methods() == ["on_message_edited"]


def test_a_change_does_not_tell_the_beginning() -> None:
    """A change comes before the newest id is known, and the connection breaks. Later messages still count as missed."""
    house = House(newest=3)
    house.history.gate.clear()
    house.begin()
    assert house.history.asked.acquire(timeout=DEADLINE)
    house.take(2, editedAt=5)
    house.lose()
    house.history.grow(4)
    house.history.newest_at_begin = "3"
    house.begin()
    house.history.gate.set()
    house.settle()
    assert house.methods() == ["on_message_edited", "on_text_message_received"]


def test_an_answer_during_disconnect_does_not_tell_the_beginning() -> None:
    """It may include messages that came after the end of the connection."""
    house = House(newest=3)
    house.history.gate.clear()
    house.begin()
    assert house.history.asked.acquire(timeout=DEADLINE)
    house.events.advance()
    house.history.newest_at_begin = "3"
    house.history.newest_message_id = lambda ago=None: "4" if ago is None else "3"  # type: ignore[method-assign]
    house.history.grow(4)
    (task,) = [house.inbox._task]
    assert task is not None
    house.inbox.begin_after(task, "4")
    house.inbox.discard_old()
    house.history.gate.set()
    house.connect()
    assert house.told() == texts(4)


@pytest.mark.parametrize("back", [False, True])
def test_a_message_that_is_stored_before_the_beginning_is_known(back: bool) -> None:
    """The connection breaks during the question, whose answer includes a missed message.

    That message still counts as missed.
    """
    house = House(newest=3)
    house.history.gate.clear()

    def late(ago: Optional[float] = None) -> str:
        house.history.ask("newest")
        newest: str = house.history.messages[-1]["id"] if ago is None else "3"
        return newest

    house.history.newest_message_id = late  # type: ignore[method-assign]
    house.begin()
    assert house.history.asked.acquire(timeout=DEADLINE)
    house.lose()
    house.history.grow(4)
    if back:
        house.begin()
    house.history.gate.set()
    house.settle()
    if not back:
        assert house.told() == []
        house.begin()
        house.settle()
    assert house.told() == texts(4)


@pytest.mark.parametrize("back", [False, True])
def test_the_first_live_message_is_the_beginning_if_the_answer_comes_later(back: bool) -> None:
    """The service tells the time in whole seconds, so the answer for an earlier time may name a much older message."""
    house = House(newest=142)
    house.history.newest_at_begin = "93"
    house.history.gate.clear()
    house.begin()
    assert house.history.asked.acquire(timeout=DEADLINE)
    house.history.grow(143)
    house.take(143)
    house.lose()
    house.history.grow(144)
    if back:
        house.begin()
    house.history.gate.set()
    house.settle()
    if not back:
        house.begin()
        house.settle()
    assert house.told() == texts(143, 144)


def test_a_catch_up_asks_back_a_little() -> None:
    """A message with a lower id may have been stored, and not yet pushed, when the connection broke. It is fetched."""
    house = House(newest=1000)
    house.up()
    house.take(*range(1001, 1200))
    assert len(house.told()) == 199
    late = 1199 - OVERLAP + 1
    house.inbox._position.ids.pop(str(late))  # as if it had not been pushed
    house.history.grow(*range(1001, 1203))
    house.lose_and_return()
    house.settle()
    assert house.history.questions[0] == (str(1199 - OVERLAP), PAGE)
    assert house.told() == texts(late, 1200, 1201, 1202)


def test_messages_older_than_the_beginning_are_not_delivered() -> None:
    """A catch-up may ask further back: messages older than the beginning are not delivered."""
    house = House(newest=1000)
    house.up()
    house.take(1002)
    house.history.grow(1001, 1002, 1003)
    house.lose_and_return()
    house.settle()
    assert house.history.questions[0] == ("1000", PAGE)
    assert house.told() == texts(1002, 1001, 1003)
    house.history.messages_after = lambda message_id, limit: house.history.messages[-200:]  # type: ignore
    house.lose_and_return()
    house.settle()
    assert house.told() == []


def test_a_small_history_is_asked_back_too() -> None:
    """With fewer messages than its overlap, a catch-up asks from the beginning on."""
    house = House(newest=3)
    house.up()
    house.take(4, 6)
    house.history.grow(4, 5, 6)
    house.lose_and_return()
    house.settle()
    assert house.history.questions[0] == ("3", PAGE)
    assert house.told() == texts(4, 6, 5)


def test_without_a_known_beginning_nothing_older_is_delivered() -> None:
    """A live message came before the newest id was known, and the connection broke. That message is the beginning."""
    house = House(newest=1000)
    house.history.gate.clear()
    house.begin()
    house.take(1001)
    house.history.grow(1001, 1002)
    house.lose()
    house.begin()
    house.history.gate.set()
    house.settle()
    assert house.told() == texts(1001, 1002)


# Events that disconnect() discards are missed events.


def test_disconnect_loses_nothing(house: House) -> None:
    """The next connection fetches the messages that disconnect() discarded, and not the delivered ones."""
    house.up()
    house.take(1, 2, 3, 4)
    assert house.told(1) == texts(1)
    house.disconnect()
    house.settle()
    assert house.told() == [] and house.history.questions == []
    house.history.grow(*range(1, 6))
    house.connect()
    assert house.told() == texts(2, 3, 4, 5)


@pytest.mark.parametrize("newest", [7, 1007])
@pytest.mark.parametrize("when", ["late", "before", "after"])
def test_disconnect_at_the_beginning_loses_nothing(newest: int, when: str) -> None:
    """The very first message is discarded. The answer with the newest id comes later, or includes it."""
    house = House(newest=newest)
    house.history.gate.clear()
    if when != "late":
        house.history.grow(newest + 1)
    house.begin()
    assert house.history.asked.acquire(timeout=DEADLINE)
    if when == "before":
        house.history.gate.set()
        house.settle()
    house.take(newest + 1)
    if when == "after":
        house.history.gate.set()
        house.settle()
    house.disconnect()
    house.history.gate.set()
    house.settle()
    if when == "late":
        house.history.grow(newest + 1)
    house.history.grow(newest + 2)
    house.connect()
    assert house.told() == texts(newest + 1, newest + 2)


def test_late_frames_of_the_old_connection_change_no_position(house: House) -> None:
    """During disconnect(), the old connection reads its own echo, or a message without a listener.

    Discarded messages are fetched.
    """
    house.up()
    house.take(1, 2)
    old = house.generation
    house.disconnect()
    for body, own in ((text_message(3), True), (text_message(4, category="unheard of"), False)):
        house.inbox.take(old, body, own, 100)
    house.history.grow(1, 2)
    house.connect()
    assert house.told() == texts(1, 2)


def test_a_discard_in_the_middle_of_a_catch_up_loses_nothing() -> None:
    """Missed messages that were fetched and discarded before their delivery are fetched again."""
    house = House(newest=1)
    house.up()
    house.history.grow(2, 3, 4)
    house.lose_and_return()
    house.settle()
    house.history.errors = [None, refused(503)]
    house.history.grow(5, 6, 7)
    house.on_wait = house.history.gate.clear
    house.lose_and_return()
    assert house.paused.wait(DEADLINE)
    assert house.told(1) == texts(2)
    house.disconnect()
    house.on_wait = lambda: None
    house.history.gate.set()
    house.connect()
    assert house.told() == texts(3, 4, 5, 6, 7)


def test_a_message_that_came_after_newer_ones_is_not_lost_by_a_discard(house: House) -> None:
    """When it came, newer ids than its own were known. The next catch-up asks from before it."""
    house.history.grow(*range(1, 6))
    house.up()
    house.take(5)
    house.disconnect()
    house.connect()
    assert house.told() == texts(5)


def test_a_message_of_a_new_generation_is_not_discarded_with_the_old_one(house: House) -> None:
    """A late discard does not affect events that the next connection has queued. It fetches the discarded ones."""
    house.up()
    house.take(1)
    house.events.advance()
    house.history.grow(1, 2)
    house.connect()
    house.history.grow(3)
    house.take(3)
    house.inbox.discard_old()
    house.settle()
    assert house.told() == texts(2, 3, 1)


def test_a_late_discard_during_the_catch_up_of_the_new_generation(house: House) -> None:
    """It began after the discarded messages. So another one begins before them."""
    numbers = range(1, OVERLAP + 10)
    house.up()
    house.history.grow(*numbers)
    house.take(*numbers)
    house.generation = house.events.advance()
    house.history.gate.clear()
    house.begin()
    first = house.inbox._task
    house.inbox.discard_old()
    assert first is not None and first.stopped.is_set()
    house.history.gate.set()
    house.settle()
    assert house.told() == texts(*numbers)


def test_a_late_discard_without_messages_asks_for_nothing(house: House) -> None:
    house.up()
    house.events.advance()
    house.connect()
    house.history.questions.clear()
    house.inbox.discard_old()
    house.settle()
    assert house.history.questions == []


def test_a_change_that_a_late_discard_hits_is_delivered(house: House) -> None:
    """connect() on another thread is faster than the end of disconnect()."""
    house.up()
    house.take(1, deletedAt=5)
    house.events.advance()
    house.connect()
    house.inbox.discard_old()
    house.settle()
    assert house.methods() == ["on_message_deleted"]


def test_a_late_frame_of_the_old_connection_does_not_wait_for_the_new_one(house: House) -> None:
    """It may be another user's."""
    house.up()
    old = house.generation
    house.disconnect()
    house.history.gate.clear()
    house.generation = house.events.advance()
    house.begin()
    house.inbox.take(old, text_message(1), False, 100)
    house.history.gate.set()
    house.settle()
    assert house.told() == []


def test_a_login_does_not_ask_since_when_the_earlier_one_began() -> None:
    """The earlier user logged out before the newest id was known. The next user has missed nothing."""
    house = House(newest=7)
    house.history.gate.clear()
    house.begin()
    house.inbox.forget()
    house.history.gate.set()
    house.settle()
    house.connect()
    assert house.history.questions == ["newest", "newest"]


def test_an_earlier_message_that_was_stored_but_not_pushed_before_a_loss_is_fetched(house: House) -> None:
    """The newest id was never answered. The first live message tells where the messages begin."""
    house.history.gate.clear()
    house.begin()
    house.history.grow(10, 11, 12)
    house.take(10, 12)
    house.lose_and_return()
    house.history.gate.set()
    house.settle()
    assert house.told() == texts(10, 12, 11)


def test_a_second_listener_repeats_no_request(house: House) -> None:
    """The request that the first one began is not answered yet."""
    house.history.gate.clear()
    house.begin()
    house.inbox.listeners_changed()
    house.history.gate.set()
    house.settle()
    assert house.history.questions == ["newest"]


def test_live_messages_wait_for_those_that_a_late_discard_hits(house: House) -> None:
    """connect() on another thread is faster than the end of disconnect(). More messages follow than the overlap."""
    house.up()
    house.history.grow(1)
    house.take(1)
    house.events.advance()
    house.connect()
    house.history.gate.clear()
    house.inbox.discard_old()
    house.history.grow(*range(2, OVERLAP + 10))
    house.take(*range(2, OVERLAP + 10))
    house.history.gate.set()
    house.settle()
    house.lose_and_return()
    house.settle()
    assert house.told() == texts(*range(1, OVERLAP + 10))


@pytest.mark.parametrize("mark, method", [("editedAt", "on_message_edited"), ("deletedAt", "on_message_deleted")])
def test_changes_that_disconnect_discards_are_delivered(house: House, mark: str, method: str) -> None:
    """A change has no id of its own, so the next connection delivers it without a question to the service."""
    house.history.grow(1, 2)
    house.up()
    house.take(1, 2, **{mark: 5})
    moderated = Delivery("message", "on_message_moderated", (), EventKind.STORED)  # it can't be fetched again
    assert house.events.post_stored(moderated, house.generation, 1, Stored(None, None))
    house.disconnect()
    assert house.deliver() == []
    house.history.messages = [text_message(1, **{mark: 5}), text_message(2, **{mark: 5})]
    house.connect()
    assert [(event.method, event.args[0].id) for event in house.deliver()] == [(method, "1"), (method, "2")]
    house.disconnect()
    house.connect()
    assert house.deliver() == []


def test_changes_that_disconnect_discards_at_the_beginning_are_delivered() -> None:
    """When they were discarded, not even the newest id was known."""
    house = House(newest=3)
    house.history.gate.clear()
    house.begin()
    house.take(1, deletedAt=5)
    house.disconnect()
    house.history.gate.set()
    house.connect()
    assert [event.args[0].id for event in house.deliver()] == ["1"]


@pytest.mark.parametrize("status", [None, 404])
def test_changes_that_wait_for_a_catch_up_outlive_disconnect(status: Optional[int]) -> None:
    """The changes were not even queued at disconnect(), and the service answered, or refused, at that moment."""
    house = House(newest=3)
    house.up()
    house.history.gate.clear()
    house.lose_and_return()
    house.take(1, deletedAt=5)
    house.take(2, deletedAt=5)
    house.history.errors = [status and refused(status)]
    house.events.advance()
    house.history.gate.set()  # the old catch-up ends between the new generation and the discard
    house.settle()
    house.inbox.discard_old()
    house.connect()
    assert [event.args[0].id for event in house.deliver()] == ["1", "2"]


def test_changes_that_wait_for_a_catch_up_outlive_a_new_generation() -> None:
    """The next connection begins before the end of the old one is noticed."""
    house = House(newest=3)
    house.up()
    house.history.gate.clear()
    house.lose_and_return()
    house.take(1, deletedAt=5)
    house.events.advance()
    house.generation = house.events.advance()
    house.history.gate.set()
    house.begin()
    house.settle()
    assert [event.args[0].id for event in house.deliver()] == ["1"]


# A catch-up that is interrupted or fails.


def test_the_next_connection_goes_on_where_a_catch_up_broke_off() -> None:
    """The connection breaks during a catch-up. The next one asks from the end of the last page on."""
    house = House(newest=1)
    house.up()
    house.history.grow(*range(2, 252))
    house.history.gate.clear()
    assert house.history.asked.acquire(timeout=DEADLINE)
    house.lose_and_return()
    assert house.history.asked.acquire(timeout=DEADLINE)
    house.take(300)
    house.lose()
    house.history.gate.set()
    house.settle()
    assert house.told() == []
    house.begin()
    house.settle()
    assert house.told() == texts(*range(2, 252), 300)


def test_the_next_connection_goes_on_behind_the_pages_that_were_queued() -> None:
    """The connection breaks after the first page. The next one asks a little before its end, not from its start."""
    house = House(newest=1)
    house.up()
    house.history.grow(*range(2, 252))
    house.history.errors = [None, refused(503)]
    house.on_wait = house.lose
    house.lose_and_return()
    house.settle()
    assert house.told() == texts(*range(2, 102))
    house.history.questions.clear()
    house.begin()
    house.settle()
    assert house.history.questions[0] == (str(101 - OVERLAP), PAGE)
    assert house.told() == texts(*range(102, 252))


@pytest.mark.parametrize("status", [401, 404])
def test_an_answer_that_comes_after_the_loss_says_nothing(status: int, caplog: pytest.LogCaptureFixture) -> None:
    """The connection breaks during the question, which fails too. The next connection asks, and renews the login."""
    house = House(newest=1)
    house.up()
    house.history.gate.clear()
    house.history.errors = [refused(status)]
    house.lose_and_return()
    house.lose()
    house.history.gate.set()
    house.settle()
    assert caplog.records == [] and house.waits == [] and "renew" not in house.history.questions


def test_pages_that_are_out_of_order() -> None:
    """The newest id of a page counts, in any place. Messages without an id, or with an odd one, are delivered."""
    house = House(newest=1)
    house.up()
    bodies = {number: text_message(number) for number in (2, 3, 4)}
    pages = {"1": [bodies[3], bodies[2], text_message(0, id=None), text_message(1, id="b")], "3": [bodies[4]], "4": []}
    asked: List[str] = []

    def page(message_id: str, limit: int) -> List[Dict[str, Any]]:
        asked.append(message_id)
        return pages[message_id]

    house.history.messages_after = page  # type: ignore[method-assign]
    house.lose_and_return()
    house.settle()
    assert house.told() == texts(3, 2, 0, 1, 4)
    assert asked == ["1", "3", "4"]


@pytest.mark.parametrize("size", [100, 1 + HELD_BYTES // 800])
def test_a_flood_during_a_catch_up_is_fetched_instead_of_kept(size: int) -> None:
    """Too many live messages, in number or in bytes, are fetched later: none is lost, and memory is bounded."""
    house = House(newest=1)
    house.up()
    house.history.gate.clear()
    house.lose_and_return()
    numbers = range(2, HELD + 501)
    house.take(*numbers, size=size)
    assert len(house.inbox._waiting.live) == (HELD if size == 100 else 799)
    house.history.grow(*numbers)
    house.history.gate.set()
    house.settle()
    assert house.told() == texts(*numbers)


def test_asking_again_after_a_failure() -> None:
    """After a temporary failure the inbox asks again, with growing waits and the server's. Then all is delivered."""
    house = House(newest=1)
    house.up()
    slow = refused(503)
    slow.retry_after = 3.0
    house.history.errors = [refused(), refused(), slow]
    house.history.grow(2)
    house.history.gate.clear()
    house.lose_and_return()
    house.take(3)
    house.history.gate.set()
    house.settle()
    assert house.waits == [pytest.approx(0.2), pytest.approx(0.4), pytest.approx(3.8)]
    assert house.told() == texts(2, 3)


def test_live_messages_do_not_wait_forever(caplog: pytest.LogCaptureFixture) -> None:
    """If questions fail for long, live messages go first, with one warning. The missed ones come later."""
    house = House(newest=1)
    house.up()
    house.history.errors = [refused() for _ in range(8)]
    house.history.grow(2, 3)
    house.history.gate.clear()
    house.lose_and_return()
    house.take(3)
    house.history.gate.set()
    house.settle()
    assert house.told() == texts(3, 2)
    (warning,) = at_level(caplog, logging.WARNING)
    assert "[client 7, amy]" in warning


def test_live_messages_do_not_wait_forever_after_another_loss() -> None:
    """The question for the newest id fails for long, and the connection breaks. Live messages wait only once more."""
    house = House(newest=3)
    house.history.errors = [refused() for _ in range(15)]
    waiting: List[int] = []

    def wait() -> None:
        waiting.append(len(house.events))
        if len(waiting) == 8:
            house.history.gate.clear()
            house.lose_and_return()
            house.take(4)
            house.history.gate.set()

    house.on_wait = wait
    house.begin()
    house.settle()
    assert waiting == [0] * 8 + [1] * 8


def test_live_messages_do_not_wait_forever_for_connections_that_are_short(house: House) -> None:
    """Every question fails, and each connection breaks after some seconds. Live messages wait no longer in total."""
    house.up()
    house.history.grow(1)
    house.history.gate.clear()
    house.history.errors = [refused() for _ in range(15)]
    breaks = [3.0, 6.0, 9.0]

    def wait() -> None:
        if breaks and house.now >= breaks[0]:
            breaks.pop(0)
            house.lose_and_return()

    house.on_wait = wait
    house.lose_and_return()
    house.take(2)
    house.history.gate.set()
    house.settle()
    assert house.told() == texts(2, 1) and breaks == []


def test_a_question_that_hangs_uses_up_the_patience(house: House) -> None:
    """It fails after ten seconds. Live messages do not wait for the next one."""
    house.up()
    house.history.grow(1)
    house.history.gate.clear()
    house.history.errors = [refused()]
    house.lose_and_return()
    house.take(2)
    assert house.history.asked.acquire(timeout=DEADLINE)
    house.now = 10.0
    house.history.gate.set()
    house.settle()
    assert house.told() == texts(2, 1)


def let_a_live_message_wait(house: House) -> None:
    """Take the message 2 before the service refuses the request for the message 1, with ``Retry-After: 60``."""
    house.up()
    house.history.grow(1)
    error = too_many()
    error.retry_after = 60.0
    house.history.errors = [error]
    house.history.gate.clear()
    house.lose_and_return()
    house.take(2)


def test_live_messages_do_not_wait_for_a_long_retry_after(house: House) -> None:
    """They wait for five seconds. The next request is still made after the ``Retry-After``."""
    let_a_live_message_wait(house)
    told: List[List[str]] = []
    house.on_wait = lambda: told.append(house.told())
    house.history.gate.set()
    house.settle()
    assert house.waits[0] == PATIENCE and sum(house.waits) >= 60.0
    assert told + [house.told()] == [[], texts(2), texts(1)]


def test_a_stop_while_live_messages_wait_for_a_retry_after(house: House) -> None:
    """A disconnect in these five seconds ends the task: it delivers no live message, and makes no other request."""
    let_a_live_message_wait(house)
    house.on_wait = house.disconnect
    house.history.gate.set()
    house.settle()
    assert house.waits == [PATIENCE] and house.told() == []
    house.on_wait = lambda: None
    house.history.grow(2)
    house.connect()
    assert house.told() == texts(1, 2)


def test_a_late_failure_has_its_own_patience() -> None:
    """A failure after long and successful paging does not let live messages go first."""
    house = House(newest=1)
    house.up()
    house.history.grow(*range(2, 252))
    right = house.history.messages_after
    asked: List[str] = []

    def slow(message_id: str, limit: int) -> List[Dict[str, Any]]:
        house.now += 4.0
        asked.append(message_id)
        if len(asked) in (2, 4):
            raise refused(500)
        return right(message_id, limit)

    house.history.messages_after = slow  # type: ignore[method-assign]
    house.history.gate.clear()
    house.lose_and_return()
    house.take(900)
    house.history.gate.set()
    house.settle()
    assert house.told() == texts(*range(2, 252), 900)
    assert house.waits == [pytest.approx(0.2)] * 2


def test_ten_thousand_failures(house: House) -> None:
    """The waits grow to half a minute and no further, and the missed messages are delivered at the end.

    One wait has two parts: in between, live messages no longer wait.
    """
    house.up()
    house.history.errors = [refused() for _ in range(10_000)]
    house.history.grow(1)
    house.lose_and_return()
    house.settle()
    assert house.waits[-1] == max(house.waits) == 30.0 and len(house.waits) == 10_001
    assert house.told() == texts(1)


def test_an_error_that_is_not_expected(caplog: pytest.LogCaptureFixture) -> None:
    """A mistake during a question is logged, and the question repeated. Live messages do not wait forever."""
    house = House(newest=1)
    house.up()
    house.history.errors = [KeyError("a mistake") for _ in range(8)]
    house.history.grow(2)
    house.history.gate.clear()
    house.lose_and_return()
    house.take(3)
    house.history.gate.set()
    house.settle()
    assert house.told() == texts(3, 2)
    assert any("a mistake" in str(record.exc_info) for record in caplog.records)


def test_a_refused_answer_loses_no_missed_message() -> None:
    """After a refusal live messages come. The next connection asks from the old position."""
    house = House(newest=1000)
    house.up()
    house.history.grow(1001)
    house.history.errors = [refused(404)]
    house.lose_and_return()
    house.settle()
    live = 1002 + 2 * OVERLAP
    house.take(live)
    house.lose_and_return()
    house.settle()
    assert house.told() == texts(live, 1001)


@pytest.mark.parametrize("error", [refused(status) for status in (408, 425, 429, 500, 501, 503)] + [too_many()])
def test_an_answer_that_may_pass(house: House, error: Exception) -> None:
    """These answers are not final: the inbox asks again."""
    house.up()
    house.history.grow(1)
    house.history.errors = [error]
    house.lose_and_return()
    house.settle()
    assert house.told() == texts(1) and len(house.waits) == 1


@pytest.mark.parametrize("errors, told", [([refused(401)], texts(2)), ([refused(401), None, refused(401)], [])])
def test_a_refused_login_is_renewed_once(errors: List[Optional[Exception]], told: List[str]) -> None:
    """After 401 the login is renewed, and the question repeated. A second refusal is final."""
    house = House(newest=1)
    house.up()
    house.history.grow(2)
    house.history.errors = list(errors)
    house.lose_and_return()
    house.settle()
    assert house.told() == told
    assert house.history.questions.count("renew") == 1


def test_live_messages_come_although_the_newest_id_is_refused(house: House) -> None:
    house.history.errors = [refused(404)]
    house.begin()
    house.settle()
    house.take(1)
    assert house.told() == texts(1)


def test_a_login_that_can_not_be_renewed(house: House) -> None:
    """The refusal is final then, and live messages continue."""
    house.up()
    house.history.errors = [refused(401), refused(401)]
    house.lose_and_return()
    house.settle()
    house.take(1)
    assert house.told() == texts(1) and house.waits == []


def test_a_login_that_can_not_be_renewed_at_the_moment(house: House) -> None:
    """The renewal fails for lack of a network, and later succeeds. The missed messages come then."""
    house.up()
    house.history.grow(1)
    house.history.errors = [refused(401), refused(), refused(401), None]
    house.lose_and_return()
    house.settle()
    assert house.told() == texts(1) and len(house.waits) == 1
    assert house.history.questions.count("renew") == 2


def test_nothing_falls_between_the_last_page_and_the_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages arrive together with the answer that none are missing. Those without room are fetched."""
    monkeypatch.setattr(_waiting, "HELD", 1)
    house = House(newest=1)
    house.up()
    right = house.history.messages_after

    def late(message_id: str, limit: int) -> List[Dict[str, Any]]:
        house.history.messages_after = right  # type: ignore[method-assign]
        page = right(message_id, limit)
        house.take(2, 3)
        house.history.grow(2, 3)
        return page

    house.history.messages_after = late  # type: ignore[method-assign]
    house.lose_and_return()
    house.settle()
    house.take(4)
    assert house.told() == texts(2, 3, 4)


def coded(code: str, status: Optional[int]) -> CometChatException:
    error = CometChatException(code, "no")
    error.http_status = status
    return error


@pytest.mark.parametrize(
    "error",
    [
        coded("ERR_SUBSCRIPTION_EXPIRED", 403),
        coded("ERR_API_NOT_FOUND", 404),
        coded("ERR_MISSION_FAILED", 400),
        coded("TOO_MANY_REQUEST", 403),
        coded("ERR_BAD_RESPONSE", 404),
    ],
)
def test_the_code_counts_before_the_status(house: House, error: Exception) -> None:
    """After an error of the plan, the database, a rate limit, or a proxy, the inbox asks again."""
    house.up()
    house.history.grow(1)
    house.history.errors = [error]
    house.lose_and_return()
    house.settle()
    assert house.told() == texts(1) and len(house.waits) == 1


@pytest.mark.parametrize("error", [coded("ERR_AUTHTOKEN_UNAVAILABLE", 400), coded("AUTH_ERR_NO_ACCESS", 403)])
def test_a_refused_credential_is_renewed_for_every_status(house: House, error: Exception) -> None:
    house.up()
    house.history.grow(1)
    house.history.errors = [error]
    house.lose_and_return()
    house.settle()
    assert house.told() == texts(1) and house.waits == []
    assert house.history.questions.count("renew") == 1


def test_a_catch_up_slows_down_before_the_rate_limit() -> None:
    """The user's own calls need the last requests of a minute."""
    house = House(newest=1, jitter=lambda: 0.5)
    house.up()
    house.history.grow(*range(2, 3 * PAGE))
    house.history.rate_limit_remaining = 1000
    house.lose_and_return()
    house.settle()
    assert len(house.deliver()) == 3 * PAGE - 2 and house.waits == []
    house.history.grow(*range(3 * PAGE, 5 * PAGE))
    house.history.rate_limit_remaining = 99
    house.lose_and_return()
    house.settle()
    assert len(house.deliver()) == 2 * PAGE
    assert set(house.waits) == {1.0} and len(house.waits) >= 2


@pytest.mark.parametrize("error", [refused(404), coded("ERR_NO_ACCESS", 403), coded("ERR_CLIENT_CLOSED", None)])
def test_a_service_that_gives_no_history(house: House, caplog: pytest.LogCaptureFixture, error: Exception) -> None:
    """A service that refuses the question gets no other one for this connection. Live messages continue."""
    house.up()
    house.take(1)
    house.history.errors = [error, error]
    for number in (2, 3):
        house.lose_and_return()
        house.settle()
        house.take(number)
    assert house.told() == texts(1, 2, 3)
    assert len(house.history.questions) == 2
    assert [record.levelname for record in caplog.records if "does not give" in record.message] == ["WARNING"]


def test_live_messages_do_not_wait_for_a_log_handler(house: House) -> None:
    """A handler of the warning may block forever, such as one that writes to a full pipe."""
    told: List[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.extend(house.told())

    house.up()
    house.history.gate.clear()
    house.history.errors = [refused(404)]
    house.lose_and_return()
    house.take(1)
    handler, log = Handler(), logging.getLogger("cometchat.messages")
    log.addHandler(handler)
    try:
        house.history.gate.set()
        house.settle()
    finally:
        log.removeHandler(handler)
    assert told == texts(1)


def test_a_service_that_gives_no_newest_id() -> None:
    """The next connection asks for it again."""
    house = House(newest=5)
    house.history.errors = [refused(404)]
    house.up()
    house.lose_and_return()
    house.settle()
    house.history.grow(6)
    house.lose_and_return()
    house.settle()
    assert house.told() == texts(6)


# The need to ask.


def test_without_a_listener_nothing_is_asked(house: House) -> None:
    """Without a listener for stored events, no connection makes a call."""
    house.listen(False)
    house.begin()
    house.lose_and_return()
    house.settle()
    assert house.history.questions == []


def test_a_listener_that_comes_later_misses_nothing_from_then_on() -> None:
    """The first listener is added while the connection is up. Older messages are not delivered."""
    house = House(newest=1005)
    house.listen(False)
    house.begin()
    house.listen(True)
    house.inbox.listeners_changed()
    house.settle()
    assert house.history.questions == ["newest"]
    house.history.grow(1006)
    house.lose_and_return()
    house.settle()
    assert house.told() == texts(1006)
    asked = list(house.history.questions)
    house.inbox.listeners_changed()
    house.settle()
    assert house.history.questions == asked and "newest" not in asked[1:]


def test_a_listener_that_comes_while_the_connection_is_down_asks_nothing(house: House) -> None:
    """The next connection asks."""
    house.inbox.listeners_changed()
    house.begin()
    house.settle()
    house.lose()
    house.inbox.forget()
    house.inbox.listeners_changed()
    house.settle()
    assert house.history.questions == ["newest"]


def test_events_without_a_listener_are_not_missed() -> None:
    """All listeners leave, and others are added after a reconnect. Events from in between are not delivered."""
    house = House(newest=1000)
    house.up()
    house.listen(False)
    house.history.grow(1001)
    house.lose_and_return()
    house.listen(True)
    house.lose_and_return()
    house.settle()
    house.history.grow(1002)
    house.lose_and_return()
    house.settle()
    assert house.told() == texts(1002)


def test_a_change_that_was_discarded_is_not_for_a_listener_that_comes_later() -> None:
    """All listeners leave after a disconnect. The change is no longer delivered."""
    house = House(newest=3)
    house.up()
    house.take(1, deletedAt=5)
    house.disconnect()
    house.listen(False)
    house.connect()
    house.listen(True)
    house.inbox.listeners_changed()
    house.settle()
    house.lose_and_return()
    house.settle()
    assert house.deliver() == []


def test_switched_off() -> None:
    """With ``fetch_missed_messages=False`` there is no question after a reconnect, and live messages come at once."""
    house = House(newest=5, enabled=False)
    house.begin()
    house.take(6)
    house.lose_and_return()
    house.take(8)
    house.inbox.listeners_changed()
    house.settle()
    assert house.history.questions == []
    assert house.told() == texts(6, 8)


def test_another_user_begins_at_the_newest_id() -> None:
    """After a logout no message of the old user is known or asked for, and no change is kept."""
    house = House(newest=1000)
    house.up()
    house.take(1001)
    assert house.told() == texts(1001)
    house.take(5, deletedAt=5)
    house.disconnect()
    house.inbox.forget()
    house.history.grow(1001)
    house.connect()
    assert house.history.questions == ["newest"]
    house.lose_and_return()
    house.settle()
    assert house.deliver() == []
    house.take(1001)  # which the old user has got
    assert house.told() == texts(1001)


@pytest.mark.parametrize("change", [False, True])
def test_a_discard_of_an_ended_logins_events_does_not_concern_the_next(change: bool) -> None:
    """A slow listener has not yet got them. The next user misses none of them."""
    house = House(newest=10)
    house.up()
    house.take(5 if change else 11, **({"editedAt": 5} if change else {}))
    house.events.advance()  # the login ends its connection
    house.inbox.forget()
    house.history.grow(*range(12, 100))
    house.connect()
    house.disconnect()
    house.connect()
    assert house.methods() == []


def test_a_catch_up_of_an_old_generation_ends() -> None:
    """After a disconnect in the middle of a catch-up, the old catch-up delivers no more messages, and loses none."""
    house = House(newest=1)
    house.up()
    house.history.grow(2)
    house.history.gate.clear()
    house.lose_and_return()
    house.events.advance()
    house.history.gate.set()
    house.settle()
    assert house.deliver() == []
    house.inbox.discard_old()
    house.connect()
    assert house.told() == texts(2)


# Odd messages, and no thread.


def test_messages_without_a_number(house: House) -> None:
    """Messages whose ids are not numbers, or are missing, are delivered in the order of their arrival."""
    house.up()
    house.bodies(*({**text_message(0), "id": message_id} for message_id in ("b", "a", None, 5, True, "")))
    assert len(house.told()) == 6


def test_a_newest_id_that_is_not_a_number(house: House) -> None:
    """Missed messages are asked for with that id, unchanged."""
    house.history.newest_message_id = lambda ago: "b"  # type: ignore[method-assign]
    house.up()
    asked: List[str] = []
    house.history.messages_after = lambda message_id, limit: asked.append(message_id) or []  # type: ignore
    house.lose_and_return()
    house.settle()
    assert asked == ["b"]
    house.bodies(text_message(0, id="c"))
    house.disconnect()
    house.connect()
    assert asked == ["b", "b"]


def test_a_message_that_can_not_be_read_does_no_harm(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A mistake in reading one message is logged with its traceback. The next one is delivered."""
    right = inbox_module.deliver_message

    def wrong(body: Dict[str, Any], me: Self, *, fetched: bool) -> Optional[Delivery]:
        if body["id"] == "1":
            raise KeyError("a mistake")
        return right(body, me, fetched=fetched)

    monkeypatch.setattr(inbox_module, "deliver_message", wrong)
    house.up()
    house.take(1, 2)
    assert house.told() == texts(2)
    assert "a mistake" in caplog.text


def test_a_message_that_has_no_room_in_memory_is_fetched_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not count as unreadable. If it came live, its connection ends, and the next one asks for it.

    If it was fetched, it is fetched again. Every message is delivered, in order.
    """
    right, left = inbox_module.deliver_message, [2]

    def wrong(body: Dict[str, Any], me: Self, *, fetched: bool) -> Optional[Delivery]:
        if body["id"] == "2" and left[0]:
            left[0] -= 1
            raise MemoryError
        return right(body, me, fetched=fetched)

    monkeypatch.setattr(inbox_module, "deliver_message", wrong)
    house.up()
    house.take(1)
    with pytest.raises(MemoryError):
        house.take(2)
    house.history.grow(1, 2, 3)
    house.lose_and_return()
    house.settle()
    assert left == [0] and house.told() == texts(1, 2, 3)


@pytest.mark.parametrize("name", ["ServiceThread", "_start"])
def test_a_catch_up_that_was_left_without_a_thread(house: House, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The connection thread has no memory before it can start the thread that asks. The next connection asks.

    It does not wait for the answer to a question that was never asked.
    """

    def fail(*values: object, **options: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        if name == "ServiceThread":
            patch.setattr(catch_up_module, "ServiceThread", fail)
        else:
            patch.setattr(house.inbox, "_start", fail)  # between the preparation and the start
        with pytest.raises(MemoryError):
            house.begin()
    house.lose_and_return()
    house.settle()
    house.take(1)
    assert house.told() == texts(1)


@pytest.mark.parametrize(
    "call",
    [
        lambda inbox, old: inbox.add_page(old, []),
        lambda inbox, old: inbox.begin_after(old, "9"),
        lambda inbox, old: inbox.give_up(old, refused=True),
        lambda inbox, old: inbox.release_early(old),
        lambda inbox, old: inbox.resume(old, Progress("9", "9", (), frozenset())),
    ],
)
def test_a_catch_up_that_another_has_replaced_changes_nothing(call: Callable[[Inbox, CatchUp], object]) -> None:
    """Its answer may arrive when the next one already asks."""
    house = House(newest=3)
    house.up()
    house.history.grow(4)
    house.history.gate.clear()
    house.lose_and_return()
    house.take(5)
    call(house.inbox, CatchUp(house.generation, Gap("3", "3")))
    assert house.told() == []
    house.history.gate.set()
    house.settle()
    assert house.told() == texts(4, 5)


def test_no_thread(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """If the system starts no thread, live messages continue, the log has the reason, and the next connection asks."""
    house.up()
    house.take(1)
    with no_threads():
        house.lose_and_return()
    live = 4 + 2 * OVERLAP
    house.take(2, live)
    assert house.told() == texts(1, 2, live)
    assert "can't start new thread" in caplog.text
    house.history.grow(1, 2, 3, live)
    house.lose_and_return()
    house.settle()
    assert house.told() == texts(3)


def test_an_interrupted_start_of_a_thread(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's thread is interrupted while it adds the first listener. Live messages do not wait for the catch-up."""

    def interrupt(self: threading.Thread) -> None:
        raise KeyboardInterrupt

    house.listen(False)
    house.begin()
    house.listen(True)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupt)
        with pytest.raises(KeyboardInterrupt):
            house.inbox.listeners_changed()
    house.lose_and_return()
    house.settle()
    house.take(1)
    assert house.told() == texts(1)


def test_the_memory_of_ids_is_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest ids are forgotten."""
    monkeypatch.setattr(_position, "REMEMBERED", 3)
    house.up()
    house.take(1, 2, 3, 4)
    assert list(house.inbox._position.ids) == ["2", "3", "4"]
