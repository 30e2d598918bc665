"""Missed messages: fetched after a reconnect, told in order, each once, before the live ones."""

from __future__ import annotations

import logging
import threading
from typing import Any, Callable, Dict, List, Optional

import pytest

from cometchat import CometChatException, ConnectionException
from cometchat._protocol import Delivery, Self
from cometchat._runtime import catch_up
from cometchat._runtime import inbox as inbox_module
from cometchat._runtime.catch_up import HELD, PAGE
from cometchat._runtime.connection import Superseded
from cometchat._runtime.inbox import Inbox
from cometchat._runtime.run import Run

DEADLINE = 10.0


def text_message(number: int, **more: Any) -> Dict[str, Any]:
    data = {"text": f"text {number}", "resource": "other", **more.pop("data", {})}
    return {"id": str(number), "category": "message", "type": "text", "sender": "u2", "data": data, **more}


class History:
    """What the service keeps. ``gate`` holds an answer back; ``errors`` are raised first, one a question."""

    def __init__(self, newest: int = 0) -> None:
        self.messages = [text_message(number) for number in range(1, newest + 1)]
        self.questions: List[Any] = []
        self.errors: List[CometChatException] = []
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Semaphore(0)

    def _ask(self, question: Any) -> None:
        self.questions.append(question)
        self.asked.release()
        assert self.gate.wait(DEADLINE)
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error

    def messages_after(self, message_id: str, limit: int) -> List[Dict[str, Any]]:
        self._ask((message_id, limit))
        return [message for message in self.messages if int(message["id"]) > int(message_id)][:limit]

    def renew(self) -> None:
        self._ask("renew")

    def newest_message_id(self) -> str:
        newest = self.messages[-1]["id"] if self.messages else "0"
        self._ask("newest")
        return newest  # as it was when it was asked


class House:
    """An inbox with what is around it: a queue, a dispatcher on demand, a history."""

    def __init__(self, newest: int = 0, **options: Any) -> None:
        self.history = History(newest)
        self.run: Optional[Run] = Run()
        self.queue: List[Any] = []
        self.listening = True
        self.now = 0.0
        self.waits: List[float] = []
        self.on_wait: Callable[[], None] = lambda: None
        self.paused = threading.Event()
        self.inbox = Inbox(
            self.history,
            self._post,
            wanted=lambda: self.listening,
            me=lambda: Self("mine", "u1"),
            name="test-missed",
            **{"enabled": True, "clock": lambda: self.now, "jitter": lambda: 1.0, "wait": self._wait, **options},
        )

    def _post(self, run: Run, delivery: Delivery, size: int, claim: Optional[Callable[[], bool]] = None) -> None:
        if run is not self.run:
            raise Superseded
        self.queue.append((delivery, claim))

    def _wait(self, event: threading.Event, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds
        self.on_wait()
        self.paused.set()

    def begin(self) -> None:
        assert self.run is not None
        self.inbox.begin(self.run)

    def take(self, *numbers: int, own: bool = False, **more: Any) -> None:
        assert self.run is not None
        for number in numbers:
            self.inbox.take(self.run, text_message(number, **more), own, 100)

    def settle(self) -> None:
        """Until no catch-up runs."""
        for thread in threading.enumerate():
            if thread.name == "test-missed":
                thread.join(DEADLINE)
                assert not thread.is_alive()

    def told(self) -> List[str]:
        """What the listeners hear, once the dispatcher comes to it."""
        queue, self.queue = self.queue, []
        return [delivery.args[0].text for delivery, claim in queue if claim is None or claim()]

    def lose_and_return(self) -> None:
        self.inbox.lost()
        self.begin()

    def disconnect(self) -> None:
        """As Connection does it: the run is old at once, the cut comes after."""
        run, self.run = self.run, Run()
        assert run is not None
        run.stop()
        self.inbox.cut(run)


@pytest.fixture
def house() -> House:
    return House()


def texts(*numbers: int) -> List[str]:
    return [f"text {number}" for number in numbers]


def refused(status: Optional[int] = None) -> ConnectionException:
    error = ConnectionException("FAILED_TO_FETCH", "no network")
    error.http_status = status
    return error


def test_the_first_connection_asks_only_where_it_begins():
    """At first nothing is missed: the newest id is asked for, and live messages do not wait for the answer."""
    house = House(newest=7)
    house.history.gate.clear()
    house.begin()
    house.take(8)
    assert house.told() == texts(8)
    house.history.gate.set()
    house.settle()
    assert house.history.questions == ["newest"]
    assert house.told() == []


def test_what_was_missed_comes_before_what_is_live():
    """After a reconnect the messages between come first, then the live ones, each once."""
    house = House(newest=3)
    house.begin()
    house.settle()
    house.history.messages += [text_message(number) for number in (4, 5, 6)]
    house.history.gate.clear()
    house.lose_and_return()
    house.take(6, 7)
    assert house.told() == []
    house.history.gate.set()
    house.settle()
    assert house.told() == texts(4, 5, 6, 7)
    assert house.history.questions[:2] == ["newest", ("3", PAGE)]


def test_a_loss_before_the_beginning_is_known():
    """The first connection breaks before its question is answered: the answer counts, and what came after it comes."""
    house = House(newest=3)
    house.history.gate.clear()
    house.begin()
    house.inbox.lost()
    house.history.gate.set()
    house.settle()
    house.history.messages.append(text_message(4))
    house.begin()
    house.settle()
    assert house.told() == texts(4)


def test_the_beginning_becomes_known_too_late():
    """The answer comes after a loss, and counts what was missed by then: what was told live is known, and no more."""
    house = House(newest=7)
    house.history.gate.clear()

    def late() -> str:
        house.history._ask("newest")
        return house.history.messages[-1]["id"]

    house.history.newest_message_id = late  # type: ignore[method-assign]
    house.begin()
    assert house.history.asked.acquire(timeout=DEADLINE)
    house.history.messages.append(text_message(8))
    house.take(8)
    house.inbox.lost()
    house.history.messages.append(text_message(9))
    house.history.gate.set()
    house.settle()
    house.begin()
    house.settle()
    assert house.told() == texts(8, 9)


def test_two_connections_before_the_beginning_is_known():
    """The question is still unanswered when the next connection is up: it is not asked anew, and nothing is missed."""
    house = House(newest=3)
    house.history.gate.clear()
    house.begin()
    assert house.history.asked.acquire(timeout=DEADLINE)
    house.lose_and_return()
    house.take(5)
    house.history.messages += [text_message(4), text_message(5)]
    house.history.gate.set()
    house.settle()
    assert house.told() == texts(4, 5)
    assert house.history.questions.count("newest") == 1


def test_all_pages_are_fetched():
    """However many were missed: page after page, in order."""
    house = House(newest=1)
    house.begin()
    house.settle()
    house.history.messages += [text_message(number) for number in range(2, 452)]
    house.lose_and_return()
    house.settle()
    assert house.told() == texts(*range(2, 452))
    assert [question[0] for question in house.history.questions[1:]] == ["1", "101", "201", "301", "401", "451"]


def test_an_own_message_is_no_news(house):
    """What this connection has sent is not told, neither live nor from the history."""
    house.begin()
    house.settle()
    house.take(1, own=True)
    house.inbox.sent("2")
    house.inbox.sent(None)
    mine = text_message(3, data={"resource": "mine"})
    house.history.messages = [text_message(1), text_message(2), mine, text_message(4)]
    house.lose_and_return()
    house.settle()
    assert house.told() == texts(4)


def test_a_message_that_comes_twice_is_told_once(house):
    """The same id again is no news, from wherever it comes."""
    house.begin()
    house.settle()
    house.take(1, 2, 1, 2, 3)
    assert house.told() == texts(1, 2, 3)


def test_an_edit_is_told_although_its_message_is_known(house):
    """An edit and a delete have the id of an older message, and are news all the same."""
    house.begin()
    house.settle()
    house.take(1)
    house.take(1, editedAt=5)
    house.take(1, deletedAt=6)
    assert [delivery.method for delivery, _ in house.queue] == [
        "on_text_message_received",
        "on_message_edited",
        "on_message_deleted",
    ]


def test_what_was_edited_while_away_is_a_message_all_the_same():
    """A missed message that was edited meanwhile is told as a message; one that was deleted, as deleted; each once."""
    house = House(newest=1)
    house.begin()
    house.settle()
    action = {"id": "4", "category": "action", "type": "message", "data": {"action": "edited"}}
    house.history.messages += [text_message(2, editedAt=5), text_message(3, deletedAt=6), action]
    house.lose_and_return()
    house.lose_and_return()
    house.settle()
    assert [delivery.method for delivery, _ in house.queue] == [
        "on_text_message_received",
        "on_message_deleted",
        "on_message_edited",
    ]


def test_disconnect_loses_nothing():
    """Messages that disconnect() cut from the queue are fetched by the next connection; those told are not."""
    house = House(newest=0)
    house.begin()
    house.settle()
    house.take(1, 2, 3, 4)
    first = house.queue.pop(0)
    assert first[1]()
    queue = list(house.queue)
    house.disconnect()
    assert [claim() for _, claim in queue] == [False] * 3
    house.queue.clear()
    house.history.messages = [text_message(number) for number in range(1, 6)]
    house.begin()
    house.settle()
    assert house.told() == texts(2, 3, 4, 5)


def test_disconnect_before_the_beginning_was_known_loses_nothing():
    """The same where the very first message is cut, and nothing was known before it."""
    house = House(newest=7)
    house.history.gate.clear()
    house.begin()
    house.take(8)
    house.disconnect()
    house.queue.clear()
    house.history.gate.set()
    house.settle()
    house.history.messages = [text_message(number) for number in (7, 8, 9)]
    house.begin()
    house.settle()
    assert house.told() == texts(8, 9)


def test_what_the_old_connection_still_reads_makes_nothing_known():
    """An own echo, or a message that is nobody's, read while disconnect() runs: what was cut is asked for."""
    house = House(newest=0)
    house.begin()
    house.settle()
    house.take(1, 2)
    old = house.run
    house.disconnect()
    house.queue.clear()
    for body, own in ((text_message(3), True), (text_message(4, category="unheard of"), False)):
        with pytest.raises(Superseded):
            house.inbox.take(old, body, own, 100)
    house.history.messages = [text_message(1), text_message(2)]
    house.begin()
    house.settle()
    assert house.told() == texts(1, 2)


def test_a_cut_in_the_middle_of_a_catch_up_loses_nothing():
    """Missed messages that were fetched, and cut before anybody heard of them, are fetched again."""
    house = House(newest=1)
    house.begin()
    house.settle()
    house.history.messages += [text_message(number) for number in range(2, 5)]
    house.lose_and_return()
    house.settle()
    house.history.errors = [None, refused(503)]  # type: ignore[list-item]
    house.history.messages += [text_message(number) for number in range(5, 8)]
    house.on_wait = lambda: house.history.gate.clear()
    house.lose_and_return()
    assert house.paused.wait(DEADLINE)
    first = house.queue.pop(0)
    assert first[1]()
    house.disconnect()
    house.queue.clear()
    house.on_wait = lambda: None
    house.history.gate.set()
    house.begin()
    house.settle()
    assert house.told() == texts(3, 4, 5, 6, 7)


def test_a_message_that_came_after_newer_ones_is_not_lost_by_a_cut(house):
    """Known was more than its own number when it came: a cut asks from before it."""
    house.history.messages = [text_message(number) for number in range(1, 6)]
    house.begin()
    house.settle()
    house.take(5)
    house.disconnect()
    house.queue.clear()
    house.begin()
    house.settle()
    assert house.told() == texts(5)


def test_a_message_of_a_new_run_is_not_cut_with_the_old_one(house):
    """A cut that comes late does not touch what the next connection has queued."""
    house.begin()
    house.settle()
    house.take(1)
    old, house.run = house.run, Run()
    house.begin()
    house.settle()
    house.take(2)
    assert house.queue.pop()[1]()
    house.inbox.cut(old)
    assert house.told() == []
    house.history.messages = [text_message(1), text_message(2)]
    house.lose_and_return()
    house.settle()
    assert house.told() == texts(1)


def test_the_next_connection_goes_on_where_a_catch_up_broke_off():
    """The connection breaks while missed messages are fetched: the next one asks from where the last page ended."""
    house = House(newest=1)
    house.begin()
    house.settle()
    house.history.messages += [text_message(number) for number in range(2, 252)]
    house.history.gate.clear()
    house.lose_and_return()
    assert house.history.asked.acquire(timeout=DEADLINE) and house.history.asked.acquire(timeout=DEADLINE)
    house.take(300)
    house.inbox.lost()
    house.history.gate.set()
    house.settle()
    assert house.told() == []
    house.begin()
    house.settle()
    assert house.told() == texts(*range(2, 252), 300)


def test_a_flood_during_a_catch_up_is_fetched_instead_of_kept():
    """More live messages than may wait are let go, and asked for: order and memory hold, nothing is lost."""
    house = House(newest=1)
    house.begin()
    house.settle()
    last = HELD + 500
    house.history.gate.clear()
    house.lose_and_return()
    numbers = range(2, last + 1)
    house.take(*numbers)
    house.history.messages += [text_message(number) for number in numbers]
    house.history.gate.set()
    house.settle()
    assert house.told() == texts(*numbers)


def test_asking_again_after_a_failure():
    """A failure that may pass is tried again, with growing waits and as the server asks; then all is told in order."""
    house = House(newest=1)
    house.begin()
    house.settle()
    slow = refused(503)
    slow.retry_after = 2.0
    house.history.errors = [refused(), refused(), slow]
    house.history.messages.append(text_message(2))
    house.history.gate.clear()
    house.lose_and_return()
    house.take(3)
    house.history.gate.set()
    house.settle()
    assert house.waits == [pytest.approx(0.4), pytest.approx(0.8), 2.0]
    assert house.told() == texts(2, 3)


def test_live_messages_do_not_wait_for_ever(caplog):
    """Where asking fails for long, live messages go first, which is said once; the missed ones come later, not lost."""
    house = House(newest=1)
    house.begin()
    house.settle()
    house.history.errors = [refused() for _ in range(8)]
    house.history.messages += [text_message(2), text_message(3)]
    house.history.gate.clear()
    house.lose_and_return()
    house.take(3)
    house.history.gate.set()
    house.settle()
    assert house.told() == texts(3, 2)
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1


def test_a_late_failure_has_its_own_patience():
    """A failure after long and successful paging is no reason to let live messages go first."""
    house = House(newest=1)
    house.begin()
    house.settle()
    house.history.messages += [text_message(number) for number in range(2, 252)]
    right = house.history.messages_after
    asked: List[str] = []

    def slow(message_id: str, limit: int) -> List[Dict[str, Any]]:
        house.now += 4.0
        asked.append(message_id)
        if len(asked) == 3:
            raise refused(500)
        return right(message_id, limit)

    house.history.messages_after = slow  # type: ignore[method-assign]
    house.history.gate.clear()
    house.lose_and_return()
    house.take(900)
    house.history.gate.set()
    house.settle()
    assert house.told() == texts(*range(2, 252), 900)


def test_a_refused_answer_does_not_lose_what_was_missed():
    """Refused once, and live messages come meanwhile: the next connection asks from where this one stood."""
    house = House(newest=1)
    house.begin()
    house.settle()
    house.history.messages.append(text_message(2))
    house.history.errors = [refused(404)]
    house.lose_and_return()
    house.settle()
    house.take(3)
    house.lose_and_return()
    house.settle()
    assert house.told() == texts(3, 2)


def test_a_refused_login_is_renewed_once():
    """401: the login is renewed, and the question asked again; refused again, or not to be renewed, it is final."""
    for answers, told in (([refused(401)], texts(2)), ([refused(401)] * 2, [])):
        house = House(newest=1)
        house.begin()
        house.settle()
        house.history.messages.append(text_message(2))
        house.history.errors = [answers[0], *[None] * (len(answers) - 1), *answers[1:]]  # type: ignore[list-item]
        house.lose_and_return()
        house.settle()
        assert house.told() == told
        assert house.history.questions.count("renew") == 1


def test_nothing_falls_between_the_last_page_and_the_release(monkeypatch):
    """A message that finds the room full is asked for, whenever it comes."""
    monkeypatch.setattr(catch_up, "HELD", 1)
    house = House(newest=1)
    house.begin()
    house.settle()
    house.history.gate.clear()
    house.lose_and_return()
    house.take(2, 3)
    house.history.messages += [text_message(2), text_message(3)]
    house.history.gate.set()
    house.settle()
    house.take(4)
    assert house.told() == texts(2, 3, 4)


@pytest.mark.parametrize("error", [refused(404), refused(501), CometChatException("ERR_NO_ACCESS", "no")])
def test_a_service_that_gives_no_history(house, caplog, error):
    """A service that refuses the question is not asked again for this connection; live messages go on."""
    house.begin()
    house.settle()
    house.take(1)
    house.history.errors = [error, error]
    for number in (2, 3):
        house.lose_and_return()
        house.settle()
        house.take(number)
    assert house.told() == texts(1, 2, 3)
    assert len(house.history.questions) == 3
    assert [record.levelname for record in caplog.records if "does not give" in record.message] == ["WARNING"]


def test_without_a_listener_nothing_is_asked(house):
    """Nobody listens to messages: no call is made, at no connection."""
    house.listening = False
    house.begin()
    house.lose_and_return()
    house.settle()
    assert house.history.questions == []


def test_a_listener_that_comes_later_misses_nothing_from_then_on():
    """The first listener comes while the connection is up: what is older than that is not told."""
    house = House(newest=5)
    house.listening = False
    house.begin()
    house.listening = True
    house.inbox.look_again()
    house.settle()
    assert house.history.questions == ["newest"]
    house.history.messages.append(text_message(6))
    house.lose_and_return()
    house.settle()
    assert house.told() == texts(6)
    house.inbox.look_again()
    house.settle()
    assert house.history.questions[0] == "newest" and "newest" not in house.history.questions[1:]


def test_switched_off(house):
    """``fetch_missed_messages=False``: nothing is asked, and live messages come as they come."""
    house = House(newest=5, enabled=False)
    house.begin()
    house.take(6)
    house.lose_and_return()
    house.take(8)
    house.settle()
    assert house.history.questions == []
    assert house.told() == texts(6, 8)


def test_another_user_begins_anew(house):
    """After a logout nothing of the old user's messages is known or asked for."""
    house.begin()
    house.settle()
    house.take(1)
    house.inbox.forget()
    house.begin()
    house.settle()
    assert house.history.questions == ["newest", "newest"]


def test_a_catch_up_of_an_old_run_ends():
    """A disconnect while missed messages are fetched: the old catch-up says nothing more."""
    house = House(newest=1)
    house.begin()
    house.settle()
    house.history.messages.append(text_message(2))
    house.history.gate.clear()
    house.lose_and_return()
    house.run = None
    house.history.gate.set()
    house.settle()
    assert house.queue == []


def test_messages_without_a_number(house):
    """Ids that are no numbers, or are missing, are told as they come."""
    house.begin()
    house.settle()
    for message_id in ("b", "a", None, 5, True, ""):
        house.inbox.take(house.run, {**text_message(0), "id": message_id}, False, 100)
    assert len(house.told()) == 6


def test_a_message_that_can_not_be_read_harms_nobody(house, monkeypatch, caplog):
    """A mistake in the reading of one message is logged with its traceback; the next one is told."""
    right = inbox_module.deliver_message

    def wrong(body: Dict[str, Any], me: Self, *, fetched: bool) -> Optional[Delivery]:
        if body["id"] == "1":
            raise KeyError("a mistake")
        return right(body, me, fetched=fetched)

    monkeypatch.setattr(inbox_module, "deliver_message", wrong)
    house.begin()
    house.settle()
    house.take(1, 2)
    assert house.told() == texts(2)
    assert "a mistake" in caplog.text


def test_no_thread(house, monkeypatch, caplog):
    """Where no thread can be started, live messages go on, and the log says what is missing."""

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    house.begin()
    house.settle()
    house.take(1)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    house.lose_and_return()
    house.take(2)
    assert house.told() == texts(1, 2)
    assert "can't start new thread" in caplog.text


def test_what_is_remembered_is_bounded(house, monkeypatch):
    """The ids of long ago are let go."""
    monkeypatch.setattr(inbox_module, "REMEMBERED", 3)
    house.begin()
    house.settle()
    house.take(1, 2, 3, 4)
    assert list(house.inbox._seen) == ["2", "3", "4"]
