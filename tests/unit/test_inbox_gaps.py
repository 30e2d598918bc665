"""Messages for which slow listeners leave no room: let go, and asked for once there is; each told once, in order."""

from __future__ import annotations

import itertools
import logging
import threading
from typing import Any, Callable, List, Optional

import pytest
from test_inbox import DEADLINE, House, refused, text_message, texts

from cometchat import ConnectionException
from cometchat._protocol import Delivery
from cometchat._runtime import inbox as inbox_module
from cometchat._runtime.call_queue import Call, CallQueue
from cometchat._runtime.catch_up import HELD, PAGE
from cometchat._runtime.run import Run
from cometchat.exceptions import ERR_BAD_RESPONSE


class Full(House):
    """A house whose queue has room when the test says so. The history has every message that is live."""

    def __init__(self, newest: int = 0, **options: Any) -> None:
        self.room = True
        self.looks = threading.Semaphore(0)
        super().__init__(newest, **{"has_room": self._has_room, **options})

    def _has_room(self) -> bool:
        self.looks.release()
        return self.room

    def up(self) -> None:
        """Connected, and it is known where the history begins."""
        self.begin()
        self.settle()
        self.history.questions.clear()

    def live(self, *numbers: int) -> None:
        """Messages that are stored, and brought at once."""
        for number in numbers:
            self.history.messages.append(text_message(number))
            self.take(number)

    def fill(self, *numbers: int) -> None:
        """From now on there is no room; these come. Until the catch-up has seen that it has to wait."""
        self.room = False
        self.live(*numbers)
        self.wait_for_looks(2)

    def wait_for_looks(self, count: int) -> None:
        for _ in range(count):
            assert self.looks.acquire(timeout=DEADLINE)

    def empty(self) -> None:
        """There is room again, as the queue says it."""
        self.room = True
        self.inbox.go_on()
        self.settle()

    @property
    def asking(self) -> List[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "test-missed"]


@pytest.fixture
def house() -> Any:
    made = Full()
    made.up()
    yield made
    made.inbox.forget()
    made.settle()


def too_long() -> ConnectionException:
    error = ConnectionException(ERR_BAD_RESPONSE, "more than can be taken")
    error.http_status = 200
    return error


# A gap, and its end.


def test_what_finds_no_room_is_asked_for_once_there_is(house: Full) -> None:
    """Nobody is asked while there is none; then all come, in order, each once, and live ones go on. Again, too."""
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
    """Where it lasts for one page only, the next one waits; no question is asked in vain."""
    house.fill(*range(1, 3 * PAGE + 1))
    told: List[str] = []
    for page in range(3):
        house.room = True
        post = house.inbox._post
        house.inbox._post = lambda *args: (setattr(house, "room", False), post(*args))  # type: ignore[assignment]
        house.inbox.go_on()
        while len(house.history.questions) <= page:
            assert house.history.asked.acquire(timeout=DEADLINE)
        house.wait_for_looks(2)
        house.inbox._post = post
        told += house.told()
        assert len(told) == (page + 1) * PAGE
    house.empty()
    assert told + house.told() == texts(*range(1, 3 * PAGE + 1))
    assert [question[0] for question in house.history.questions] == ["0", "100", "200", "300"]


def test_more_than_can_be_held_is_asked_for(house: Full) -> None:
    """The gap is larger than what waits for its end."""
    last = 2 * HELD + 7
    house.fill(*range(1, last + 1))
    house.empty()
    assert house.told() == texts(*range(1, last + 1))


def test_a_gap_larger_than_what_is_remembered(house: Full, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was held at its beginning is not told again at its end, when its ids are forgotten."""
    monkeypatch.setattr(inbox_module, "REMEMBERED", PAGE)
    house.fill(*range(1, 5 * PAGE + 1))
    house.empty()
    assert house.told() == texts(*range(1, 5 * PAGE + 1))


def test_a_held_message_that_the_history_does_not_have_is_told(house: Full) -> None:
    """One that comes late to the history, and one without a number: after the gap, once."""
    house.fill(1)
    house.take(2)
    house.inbox.take(house.run, text_message(0, id="no number"), False, 100)  # type: ignore[arg-type]
    house.live(3)
    house.empty()
    assert house.told() == texts(1, 3, 2, 0)


def test_changes_of_messages_do_not_wait(house: Full) -> None:
    """An edit, which the history does not have under a number of its own, opens no gap: it may be dropped later."""
    house.live(1)
    house.room = False
    house.take(1, editedAt=5)
    (_, claim), (delivery, none) = house.queue
    assert claim is not None and (delivery.method, none) == ("on_message_edited", None)
    assert house.asking == []


def test_an_own_message_in_a_gap_hides_nothing(house: Full) -> None:
    """It is known, and no news; what is between is told."""
    house.live(1)
    house.fill(2)
    house.history.messages.append(text_message(3))
    house.take(3, own=True)
    house.live(4)
    house.empty()
    assert house.told() == texts(1, 2, 4)


# What is known of the beginning.


def test_before_the_beginning_is_known_there_is_always_room() -> None:
    """What can't be asked for yet is told, however slow the listeners are."""
    house = Full(newest=7)
    house.room = False
    house.history.gate.clear()
    house.begin()
    house.live(8)
    assert house.told() == texts(8)
    house.history.gate.set()
    house.settle()


def test_the_first_question_is_not_waited_for_where_a_message_is_known() -> None:
    """The newest id is still being asked for, a live message is known already: from that one on it is asked."""
    house = Full(newest=7)
    house.history.gate.clear()
    house.begin()
    house.live(8)
    house.room = False
    house.live(9, 10)
    house.history.gate.set()
    house.empty()
    assert house.told() == texts(8, 9, 10)
    assert ("8", PAGE) in house.history.questions


def test_switched_off_nothing_is_asked_and_nobody_looks_for_room() -> None:
    """``fetch_missed_messages=False``: messages are events like others, and may be dropped."""
    house = Full(enabled=False)
    house.room = False
    house.begin()
    house.live(1, 2)
    assert [claim for _, claim in house.queue] == [None, None]
    assert house.told() == texts(1, 2) and house.history.questions == []
    assert not house.looks.acquire(blocking=False)


# A gap that is broken off.


@pytest.mark.parametrize("end", ["lost", "cut", "forget"])
def test_a_catch_up_that_waits_for_room_can_be_stopped(house: Full, end: str) -> None:
    """By a lost connection, by ``disconnect()``, by a logout: its thread ends, and asks nothing."""
    house.fill(1)
    assert len(house.asking) == 1
    if end == "cut":
        house.disconnect()
    else:
        getattr(house.inbox, end)()
    house.settle()
    assert house.asking == [] and house.history.questions == []


def test_a_loss_during_a_gap(house: Full) -> None:
    """The next connection goes on with it, what is held waits on, and all is told once there is room."""
    house.live(1)
    house.fill(2, 3)
    house.inbox.lost()
    house.settle()
    house.history.messages.append(text_message(4))
    house.begin()
    house.live(5)
    assert house.told() == texts(1) and house.history.questions == []
    house.empty()
    assert house.told() == texts(2, 3, 4, 5)


def test_losses_and_returns_while_there_is_no_room(house: Full) -> None:
    """However often the connection goes and comes: one thread asks, once there is room, and nothing is lost."""
    for number in range(1, 41):
        house.room = False
        house.live(number)
        house.lose_and_return()
    house.empty()
    assert house.asking == []
    assert house.told() == texts(*range(1, 41))


def test_a_disconnect_during_a_gap(house: Full) -> None:
    """What was queued is cut, what is held is let go; the next connection asks for all of it."""
    house.live(1, 2, 3)
    assert house.queue.pop(0)[1]()
    house.fill(4, 5)
    house.disconnect()
    house.queue.clear()
    house.room = True
    house.begin()
    house.settle()
    assert house.told() == texts(2, 3, 4, 5)


def test_a_disconnect_in_the_middle_of_the_pages(house: Full) -> None:
    """Pages that were fetched and not told yet are fetched again."""
    house.fill(*range(1, 2 * PAGE + 1))
    house.history.errors = [None, refused(503)]  # type: ignore[list-item]
    house.on_wait = house.history.gate.clear
    house.room = True
    house.inbox.go_on()
    assert house.paused.wait(DEADLINE)
    assert len(house.queue) == PAGE and house.queue.pop(0)[1]()
    house.disconnect()
    house.queue.clear()
    house.on_wait = lambda: None
    house.history.gate.set()
    house.begin()
    house.settle()
    assert house.told() == texts(*range(2, 2 * PAGE + 1))


def test_a_cut_takes_what_earlier_runs_have_queued_too(house: Full) -> None:
    """A run that ended by itself left messages in the queue; the dispatcher's cut drops them with the next one's."""
    house.live(1, 2)
    house.run = Run()  # the old one gave up: nobody stopped it, nothing was cut
    house.begin()
    house.settle()
    house.live(3)
    claims = [claim for _, claim in house.queue]
    house.disconnect()
    assert [claim() for claim in claims] == [False] * 3
    house.queue.clear()
    house.begin()
    house.settle()
    assert house.told() == texts(1, 2, 3)
    assert not house.inbox._queued


# A service that does not answer as it should.


def test_a_page_that_is_too_long_is_asked_for_in_smaller_ones(house: Full) -> None:
    """An answer of a hundred large messages is more than an HTTP answer may be: fewer are asked for."""
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
    assert house.waits == [pytest.approx(0.4), pytest.approx(0.8)]


def test_a_service_that_gives_no_history_gives_what_is_held(house: Full) -> None:
    """Refused: what is held is told although there is room for some only, and so are those that come with room."""
    house.history.errors = [refused(404)]
    house.fill(1, 2)
    house.empty()
    house.live(3)
    assert house.told() == texts(1, 2, 3)
    assert len(house.history.questions) == 1


def test_held_messages_go_first_once_there_is_room(caplog: pytest.LogCaptureFixture) -> None:
    """Asking fails for long, and there is no room: they wait. It still fails, and there is room: they are told."""
    house = Full()
    house.history.gate.clear()
    house.begin()
    assert house.history.asked.acquire(timeout=DEADLINE)
    house.lose_and_return()
    house.live(1)
    house.room = False
    house.history.errors = [refused() for _ in range(9)]
    told: List[int] = []

    def wait() -> None:
        told.append(len(house.queue))
        house.room = len(told) > 6

    house.on_wait = wait
    house.history.gate.set()
    house.settle()
    assert told == [0] * 7 + [1] * 2
    assert house.told() == texts(1)
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1


# With the real queue.


class Street(Full):
    """An inbox in front of a real queue, from which a listener takes when the test lets it."""

    def __init__(self, limit: int, max_bytes: int) -> None:
        self.calls = CallQueue(limit, max_bytes)
        self._numbers = itertools.count(1)
        self.most = self.most_bytes = 0
        self.heard: List[str] = []
        super().__init__(has_room=self.calls.has_room)
        self.calls.on_room = self.inbox.go_on

    def _post(self, run: Run, delivery: Delivery, size: int, claim: Optional[Callable[[], bool]] = None) -> None:
        self.calls.put(Call(next(self._numbers), "message", delivery.method, delivery.args, True, claim, size, False))
        self.most = max(self.most, self.calls._messages)
        self.most_bytes = max(self.most_bytes, self.calls._message_bytes)

    def listen(self) -> None:
        while True:
            call = self.calls.get()
            if call is None:
                return
            assert isinstance(call, Call) and call.claim is not None
            if call.claim():
                self.heard.append(call.args[0].text)


@pytest.mark.parametrize("limit, max_bytes", [(100, 10**9), (10_000, 20_000)])
def test_with_the_real_queue(limit: int, max_bytes: int) -> None:
    """Ten thousand messages before a listener that stands still, then takes: all, once, in order, and bounded."""
    street = Street(limit, max_bytes)
    street.up()
    numbers = range(1, 10_001)
    listener = threading.Thread(target=street.listen, name="test-listener", daemon=True)
    half = len(numbers) // 2
    street.live(*numbers[:half])
    assert street.calls._messages <= limit and street.most_bytes <= max_bytes + 100
    listener.start()
    street.live(*numbers[half:])
    street.settle()
    street.calls.put(None)
    listener.join(DEADLINE)
    assert not listener.is_alive()
    assert street.heard == texts(*numbers)
    # A page, or what was held, may be put in where there was room for one.
    assert street.most <= min(limit, max_bytes // 100) + PAGE + HELD
    assert street.inbox.fetched > half / 2
