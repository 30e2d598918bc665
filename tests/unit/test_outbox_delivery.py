"""The outbox thread: its items, their order, and its reaction to failures."""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
from types import SimpleNamespace
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import pytest
from no_threads import no_threads

from cometchat import (
    AuthenticationException,
    CometChatException,
    ConnectionException,
    InvalidArgumentException,
    MessageReceipt,
    RateLimitException,
    TextMessage,
)
from cometchat._log import SafeLog
from cometchat._runtime._threads import Wakeup
from cometchat._runtime.account._session import Owner, Session
from cometchat._runtime.outbox import MESSAGE, RECEIPT, OutboxDelivery, OutboxStore, _delivery
from cometchat.exceptions import login_replaced

DEADLINE = 10.0
ME = Owner("app", "u1")
LOGGER = logging.getLogger("cometchat.outbox")
LOG = SafeLog(LOGGER, lambda: "client 1")
A_RECEIPT = {"uid": "u1", "action": "read", "messageId": "5", "messageSender": "u2", "receiverType": "user"}


def answered(status: int, code: str = "ERR_X", kind: type = CometChatException) -> CometChatException:
    error = kind(code, "no")
    error.http_status = status
    return error  # type: ignore[no-any-return]


class House:
    """The delivery with its surroundings. ``answers`` maps a muid to its errors, one for each attempt."""

    def __init__(self, path: Optional[str] = None, jitter: Callable[[], float] = lambda: 1.0) -> None:
        self.store = OutboxStore(path, log=LOG)
        self.login: Any = Session("app", "u1", "t1", "device", {})
        self.kinds: Tuple[str, ...] = (MESSAGE, RECEIPT)
        self.remaining: Optional[int] = None
        self.answers: Dict[str, List[BaseException]] = {}
        self.renewals: List[Callable[[], None]] = []
        self.tried: List[str] = []
        self.told: List[Any] = []
        self.producers = 0
        self.waits: List[Any] = []
        self.before_try: Callable[[], None] = lambda: None
        self.on_try: Callable[[str], None] = lambda muid: None
        self.on_wait: Callable[[Wakeup], None] = lambda wakeup: None
        self.delivery = OutboxDelivery(
            self.store if path is None else OutboxStore(path, log=LOG, durable=False),
            account=self,
            sender=self,
            events=self,
            log=LOG,
            name="test-outbox",
            jitter=jitter,
            wait=self._wait,
        )

    def _wait(self, wakeup: Wakeup, seconds: float) -> None:
        self.waits.append((wakeup is self.delivery._retry, pytest.approx(seconds)))
        self.on_wait(wakeup)

    # As the account.

    @property
    def session(self) -> Any:
        return self.login

    @property
    def rate_limit_remaining(self) -> Optional[int]:
        return self.remaining

    def renew(self) -> None:
        self.renewals.pop(0)()

    # As the queue of events.

    def sendable(self) -> Tuple[str, ...]:
        return self.kinds

    def post(self, *call: Any) -> None:
        self.told.append(call)

    def add_producer(self) -> None:
        self.producers += 1

    def remove_producer(self) -> None:
        self.producers -= 1

    # As the sender.

    def send_message(self, body: Dict[str, Any], uid: str) -> TextMessage:
        self._try(body["muid"], uid)
        return TextMessage(id="1", muid=body["muid"])

    def send_receipt(self, body: Dict[str, Any], uid: str) -> None:
        self._try(body["messageId"], uid)

    def _try(self, muid: str, uid: str) -> None:
        self.before_try()
        if self.login.uid != uid:
            raise login_replaced()
        self.tried.append(muid)
        self.on_try(muid)
        if self.answers.get(muid):
            raise self.answers[muid].pop(0)

    # As its user.

    def put(self, *muids: str, kind: str = MESSAGE) -> None:
        for muid in muids:
            receipt = {
                "messageId": muid,
                "messageSender": "u2",
                "uid": "u1",
                "receiver": "u2",
                "receiverType": "user",
                "action": "read",
            }
            message = {
                "muid": muid,
                "receiver": "u2",
                "receiverType": "user",
                "category": "message",
                "type": "text",
                "data": {"text": muid},
            }
            self.store.put(ME, kind, muid, message if kind == MESSAGE else receipt, 100)

    def flush(self) -> bool:
        self.delivery.wake()
        return self.delivery.wait_until_empty(lambda: self.store.pending(ME), DEADLINE)

    def rest(self) -> None:
        """Wait until the thread has done everything possible, and end it."""
        self.delivery.close()
        self.delivery.join(DEADLINE)
        assert not any(thread.name == "test-outbox" for thread in threading.enumerate())
        assert self.producers == 0  # or the dispatcher would never end

    def run_once(self) -> None:
        """Do the work of one wake-up of the thread, on this thread."""
        self.delivery._send_all()


@pytest.fixture
def house() -> Iterator[House]:
    made = House()
    yield made
    made.rest()
    made.store.close()


def calls(house: House) -> List[Any]:
    return [
        (method, args[0].muid if isinstance(args[0], TextMessage) else "receipt") for _, method, *args in house.told
    ]


def test_items_are_sent_in_order_and_reported(house):
    """All items are sent in the order of putting, and the listeners get each result."""
    house.put("a", "b")
    house.put("r", kind=RECEIPT)
    house.put("c")
    assert house.flush()
    assert house.tried == ["a", "b", "r", "c"]
    assert calls(house) == [
        ("on_delivered", "a"),
        ("on_delivered", "b"),
        ("on_delivered", "receipt"),
        ("on_delivered", "c"),
    ]
    receipt = house.told[2][2]
    assert (receipt.message_id, receipt.sender.uid) == ("r", "u1")


def test_more_than_a_batch(house):
    """Any number of items is sent."""
    house.put(*(f"m{number}" for number in range(90)))
    assert house.flush()
    assert house.tried == [f"m{number}" for number in range(90)]


@pytest.mark.parametrize(
    "error",
    [
        ConnectionException("FAILED_TO_FETCH", "no network"),
        answered(500, kind=ConnectionException),
        answered(408, kind=ConnectionException),
        answered(425),
    ],
    ids=str,
)
def test_a_failure_that_may_pass_is_tried_again(house, error):
    """The item stays the first, and is tried again after growing waits. No other item overtakes it."""
    house.answers["a"] = [error, error, error]
    house.put("a", "b")
    assert house.flush()
    assert house.tried == ["a", "a", "a", "a", "b"]
    assert house.waits == [(True, 0.2), (True, 0.4), (True, 0.8)]
    assert [method for method, _ in calls(house)] == ["on_delivered"] * 2


def test_the_waits_start_again_after_a_success(house):
    """The wait after a success and a failure is the first one again."""
    error = ConnectionException("FAILED_TO_FETCH", "no network")
    house.answers = {"a": [error, error], "b": [error]}
    house.put("a", "b")
    assert house.flush()
    assert [wait for _, wait in house.waits] == [0.2, 0.4, 0.2]


def test_the_wait_is_capped(house):
    """The maximum is 30 s."""
    house.answers["a"] = [ConnectionException("FAILED_TO_FETCH", "no network") for _ in range(12)]
    house.put("a")
    assert house.flush()
    assert house.waits[-1] == (True, 30.0)


def test_failures_that_last_are_one_warning(house, caplog):
    """Else a program without a configuration of the log would never know why its messages wait."""
    caplog.set_level(logging.INFO)
    for muid in ("a", "b"):  # after a success it is logged again
        caplog.clear()
        house.answers[muid] = [answered(500, "ERR_DOWN", ConnectionException) for _ in range(12)]
        house.put(muid)
        house.run_once()
        waited = 0.0
        warnings = []
        for record, (_, wait) in zip(caplog.records, house.waits[-12:]):
            waited += wait.expected
            warnings += [(record.getMessage(), waited)] * (record.levelno == logging.WARNING)
        ((text, after),) = warnings
        assert "ERR_DOWN" in text and "keeps its items" in text and 60 < after < 90


def test_two_thousand_failures(house):
    """The outbox continues after any number of failures: more than a stack has levels, or a float can be doubled."""
    house.answers["a"] = [ConnectionException("FAILED_TO_FETCH", "no network")] * 2000
    house.put("a")
    house.run_once()
    assert len(house.tried) == 2001
    assert house.store.pending(ME) == 0


def test_the_quiet_that_the_service_asks_for(house):
    """Retry-After is obeyed, with additional jitter. Even a new connection does not end it."""
    error = RateLimitException("ERR_TOO_MANY_REQUESTS", "slow", retry_after=8.0)
    error.http_status = 429
    house.answers["a"] = [error]
    house.put("a")
    assert house.flush()
    assert house.waits == [(False, 10.0)]


def test_clients_that_are_asked_for_quiet_spread():
    """Twelve clients with one Retry-After do not return at the same moment."""
    waits = []
    for seed in range(12):
        house = House(jitter=random.Random(seed).random)
        house._wait = lambda wakeup, seconds: waits.append(seconds)
        house.delivery._wait = house._wait
        house.answers["a"] = [RateLimitException("ERR_TOO_MANY_REQUESTS", "slow", retry_after=10.0)]
        house.put("a")
        house.run_once()
        house.store.close()
    assert len(waits) == 12 and min(waits) >= 10.0 and max(waits) - min(waits) > 1.0


@pytest.mark.parametrize(
    "error",
    [
        answered(400),
        answered(404),
        answered(403, "ERR_BLOCKED", AuthenticationException),
        answered(422),
        answered(413, "ERR_BAD_RESPONSE"),
    ],
    ids=str,
)
def test_poison_is_a_dead_letter(house, error, caplog):
    """An item with a final refusal is set aside with its error, the listeners are notified, and the rest continues."""
    house.answers["b"] = [error]
    house.put("a", "b", "c")
    assert house.flush()
    assert house.tried == ["a", "b", "c"]
    assert calls(house) == [("on_delivered", "a"), ("on_failed", "b"), ("on_delivered", "c")]
    assert house.told[1][3] is error
    assert house.told[1][2].sender.uid == "u1"
    (dead,) = house.store.dead(ME)
    assert (dead.item.muid, dead.code) == ("b", error.code)
    assert house.delivery.dead_letters == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_throttling_holds_back_receipts_alone(house):
    """While throttled, messages are sent. The receipts follow afterwards, and the thread does not spin."""
    house.kinds = (MESSAGE,)
    house.put("r1", kind=RECEIPT)
    house.put("a")
    house.put("r2", kind=RECEIPT)
    house.run_once()
    assert house.tried == ["a"]
    house.kinds = (MESSAGE, RECEIPT)
    house.run_once()
    assert house.tried == ["a", "r1", "r2"]
    assert house.waits == []


def test_throttled_in_the_middle(house):
    """Throttling that begins between two items stops the receipts after that."""

    def throttle(muid: str) -> None:
        house.kinds = (MESSAGE,)

    house.on_try = throttle
    house.put("a")
    house.put("r", kind=RECEIPT)
    house.put("b")
    house.run_once()
    assert house.tried == ["a", "b"]
    assert house.store.pending(ME) == 1


def test_nothing_goes_out_while_down(house):
    """Without a connection there is no attempt and no wait."""
    house.kinds = ()
    house.put("a")
    house.run_once()
    assert (house.tried, house.waits) == ([], [])


def test_an_item_that_is_put_while_down_wakes_no_thread(house):
    """The thread runs after the first item. It wakes when the connection is up, and sends them all."""
    looked = Wakeup()
    house.kinds = ()
    house.sendable = lambda: looked.set() or house.kinds
    house.put("a")
    house.delivery.wake()
    assert looked.wait(DEADLINE)
    house.put("b")
    house.delivery.wake()
    assert not house.delivery._wake.is_set()
    house.kinds = (MESSAGE, RECEIPT)
    house.delivery.retry_now()
    assert house.delivery.wait_until_empty(lambda: house.store.pending(ME), DEADLINE)
    assert house.tried == ["a", "b"]


def test_nothing_goes_out_without_a_login(house):
    """Without a user the items stay."""
    house.put("a")
    house.login = None
    house.run_once()
    assert house.tried == []
    assert house.store.pending(ME) == 1


def test_another_user_in_the_middle(house):
    """A login as another user stops the old user's items."""

    def change(muid: str) -> None:
        house.login = Session("app", "u2", "t2", "device", {})

    house.on_try = change
    house.put("a", "b")
    house.run_once()
    assert house.tried == ["a"]
    assert house.store.pending(ME) == 1


@pytest.mark.parametrize("kind", [MESSAGE, RECEIPT])
def test_another_user_just_before_the_call(house, kind):
    """No item goes out as another user. It waits for its owner, and no login is renewed for it."""

    def change() -> None:
        house.login = Session("app", "u2", "t2", "device", {})

    house.before_try = change
    house.put("a", kind=kind)
    house.run_once()
    assert (house.tried, house.waits, calls(house)) == ([], [], [])
    assert house.store.pending(ME) == 1


def test_lost_in_the_middle(house):
    """The connection is lost between two items. The rest waits for the next one."""

    def lose(muid: str) -> None:
        house.kinds = ()

    house.on_try = lose
    house.put("a", "b")
    house.run_once()
    assert house.tried == ["a"]
    house.on_try = lambda muid: None
    house.kinds = (MESSAGE, RECEIPT)
    house.delivery.retry_now()
    assert house.flush()


def test_a_refused_token_is_renewed(house):
    """After 401 the login is renewed, perhaps with a new auth token, and the item is tried again."""

    def renew() -> None:
        house.login = Session("app", "u1", "t2", "device", {})

    house.renewals = [renew]
    house.answers["a"] = [answered(401, kind=AuthenticationException)]
    house.put("a")
    assert house.flush()
    assert house.tried == ["a", "a"]


def test_a_renewal_that_does_not_help(house, caplog):
    """After a second refusal the outbox stops until the next login or connection, without more requests."""
    house.renewals = [lambda: None]
    house.answers["a"] = [answered(401, kind=AuthenticationException), answered(401, kind=AuthenticationException)]
    house.put("a")
    house.run_once()
    assert house.tried == ["a", "a"]
    assert "until the next login" in caplog.text
    house.delivery.wake()
    house.delivery.retry_now()
    assert house.flush()


@pytest.mark.parametrize(
    "refusal",
    [answered(401, kind=AuthenticationException), AuthenticationException("ERR_TOKEN_REFRESH", "not a token")],
    ids=["service", "refresh"],
)
def test_a_token_that_stays_refused(house, caplog, refusal):
    """After renewals without success the outbox stops, logs it, and keeps its items.

    The next connection tries again.
    """

    def refuse() -> None:
        raise refusal

    house.renewals = [refuse]
    house.answers["a"] = [answered(401, kind=AuthenticationException)]
    house.put("a")
    house.run_once()
    assert house.tried == ["a"]
    assert "until the next login" in caplog.text
    assert house.store.pending(ME) == 1
    house.delivery.wake()
    house.delivery.retry_now()
    assert house.flush()


def test_a_renewal_without_network(house):
    """If the renewal fails for another reason, it is repeated like any failure."""

    def fail() -> None:
        raise ConnectionException("FAILED_TO_FETCH", "no network")

    house.renewals = [fail, lambda: None]
    house.answers["a"] = [answered(401, kind=AuthenticationException)] * 2
    house.put("a")
    assert house.flush()
    assert house.tried == ["a", "a", "a"]


def test_a_new_connection_ends_the_wait(house):
    """retry_now() wakes the thread from a wait after a failure."""
    house.answers["a"] = [ConnectionException("FAILED_TO_FETCH", "no network")]
    waiting = threading.Event()

    def wait(wakeup: Wakeup) -> None:
        waiting.set()
        assert wakeup.wait(DEADLINE)

    house.on_wait = wait
    house.put("a")
    house.delivery.wake()
    assert waiting.wait(DEADLINE)
    house.delivery.retry_now()
    assert house.flush()


def test_a_flush_notices_the_last_item_although_the_connection_is_lost_then(house):
    """Nothing is left of the item."""
    progress = Wakeup()
    house.delivery._flushing.append(progress)
    house.on_try = lambda muid: setattr(house, "kinds", ())
    house.put("a")
    house.run_once()
    assert progress.is_set() and house.tried == ["a"] and house.delivery.sent_ids() == ()


def test_an_earlier_connection_does_not_end_the_wait(house):
    house.answers["a"] = [ConnectionException("FAILED_TO_FETCH", "no network")]
    ended: List[bool] = []
    house.on_wait = lambda wakeup: ended.append(wakeup.is_set())
    house.put("a")
    house.delivery._retry.set()
    house.run_once()
    assert house.tried == ["a", "a"] and ended == [False]


def test_an_unused_outbox_has_no_thread(house):
    """A connection alone starts no thread for an unused outbox in memory."""
    house.delivery.retry_now()
    assert not any(thread.name == "test-outbox" for thread in threading.enumerate())


def test_a_file_has_no_thread_while_down(tmp_path):
    """A login alone starts none, such as in a program that only makes HTTP calls."""
    house = House(str(tmp_path / "outbox"))
    house.kinds = ()
    house.delivery.retry_now()
    assert not house.delivery.alive
    house.delivery.close()
    house.store.close()


@pytest.mark.parametrize(
    "error",
    [KeyError("x"), MemoryError(), sqlite3.OperationalError("x"), SystemExit(1)],
    ids=repr,
)
def test_an_unexpected_error_is_survived(house, error, caplog):
    """The error is logged with its traceback. The item is tried again after a wait, without another wake-up."""
    house.answers["a"] = [error]
    house.put("a")
    assert house.flush()
    assert house.tried == ["a", "a"]
    assert len(house.waits) == 1
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [error]


def test_a_failing_store_is_logged(house, caplog):
    """The store's error is a warning. The thread lives, waits, and tries again."""
    house.put("a")
    right = house.store.head
    calls_of_head: List[int] = []

    def fail_once(*args: Any) -> Any:
        calls_of_head.append(1)
        if len(calls_of_head) == 1:
            raise CometChatException("ERR_OUTBOX_STORE", "disk full")
        return right(*args)

    house.store.head = fail_once  # type: ignore[method-assign]
    house.delivery.wake()
    assert house.flush()
    assert "disk full" in caplog.text
    assert house.waits == [(True, 0.2)]


@pytest.mark.parametrize("method", ["head", "remove"])
def test_a_store_that_fails_for_long_is_one_warning(house, caplog, method):
    """A full disk causes one warning until the file works again, however often the thread tries."""
    caplog.set_level(logging.INFO)
    right, left = getattr(house.store, method), [0]

    def fail(*args: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise CometChatException("ERR_OUTBOX_STORE", "disk full")
        return right(*args)

    setattr(house.store, method, fail)
    for text in ("a", "b"):
        left[0] = 50
        house.put(text)
        house.delivery.wake()
        assert house.flush()
    house.delivery.close()
    house.delivery.join(DEADLINE)
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 2 and all("disk full" in record.getMessage() for record in warnings)
    assert caplog.text.count("the outbox can be read and written again") == 2


def test_close_after_an_unexpected_error(tmp_path):
    """The client is closed while the thread waits: it ends, and its file is closed."""
    house = House(str(tmp_path / "o.db"))
    house.answers["a"] = [RuntimeError("x")]
    house.on_wait = lambda wakeup: house.delivery.close()
    house.put("a")
    house.delivery.wake()
    house.delivery.join(DEADLINE)
    assert not house.delivery._thread.alive and house.tried == ["a"]
    assert house.delivery._store._connection is None
    house.store.close()


def test_a_system_without_threads(house, caplog):
    """If the system starts no thread, there is a warning and no error, and the items are kept."""
    house.put("a")
    with no_threads():
        house.delivery.wake()
    assert "can't start new thread" in caplog.text
    assert house.flush()


def test_close_ends_every_wait(house):
    """close() wakes the thread from its wait, and flush(), which returns False."""
    house.answers["a"] = [ConnectionException("FAILED_TO_FETCH", "no network")]
    waiting = threading.Event()

    def wait(wakeup: Wakeup) -> None:
        waiting.set()
        assert wakeup.wait(DEADLINE)

    house.on_wait = wait
    house.put("a")
    flushed: List[bool] = []
    flusher = threading.Thread(target=lambda: flushed.append(house.flush()))
    flusher.start()
    assert waiting.wait(DEADLINE)
    house.delivery.close()
    flusher.join(DEADLINE)
    assert flushed == [False]
    house.delivery.join(DEADLINE)
    house.delivery.wake()


def test_a_flush_that_meets_the_end_returns_false(house):
    """close() comes between its check and its question to the store, which is closed then."""

    def pending() -> int:
        house.delivery.close()
        house.store.close()
        return house.store.pending(ME)

    house.put("a")
    assert house.delivery.wait_until_empty(pending, DEADLINE) is False


@pytest.mark.parametrize("path", [None, "o.db"])
@pytest.mark.parametrize("limit", [0.0, 1.5, 7.0])
def test_a_flush_waits_without_work(tmp_path, monkeypatch, path, limit):
    """It looks at the store at its beginning and at its end. With a file, another process may send: then every 2 s."""
    house = House(path and str(tmp_path / path))
    now, looks, waits = [100.0], [], []

    def wait(wakeup: Wakeup, timeout: Optional[float] = None) -> bool:
        waits.append(timeout)
        now[0] += timeout or 0.0
        return False

    def pending() -> int:
        looks.append(now[0])
        return 1

    monkeypatch.setattr(Wakeup, "wait", wait)
    house.delivery._clock = lambda: now[0]
    assert house.delivery.wait_until_empty(pending, limit) is False
    steps = [2.0, 2.0, 2.0, 1.0] if path and limit == 7.0 else [limit] if limit else []
    assert waits == steps
    assert looks == [100.0 + sum(steps[:number]) for number in range(len(steps) + 1)]
    house.store.close()


def test_a_flush_without_a_limit_waits_until_something_is_sent(house, monkeypatch):
    """It does not look at the store in between."""
    left = [2, 1, 0]
    waits = []

    def wait(progress: Wakeup, timeout: Optional[float] = None) -> None:
        waits.append((progress.is_set(), timeout))
        progress.set()

    monkeypatch.setattr(Wakeup, "wait", wait)
    assert house.delivery.wait_until_empty(lambda: left.pop(0), None) is True
    assert waits == [(False, None), (False, None)]


def test_a_flush_reports_a_store_that_fails(house):
    def pending() -> int:
        raise CometChatException("ERR_OUTBOX_STORE", "disk full")

    with pytest.raises(CometChatException, match="disk full"):
        house.delivery.wait_until_empty(pending, DEADLINE)
    assert house.delivery._flushing == []


def test_close_is_the_end_of_the_thread(house, caplog):
    house.put("a")
    house.delivery.close()
    with no_threads():
        house.delivery.wake()
        house.delivery.retry_now()
    assert caplog.records == []


def test_another_process_has_the_turn(tmp_path):
    """While another process sends, this one waits for its end, longer each time, and sends the rest."""
    house = House(str(tmp_path / "o.db"))
    turn = OutboxStore(str(tmp_path / "o.db"), log=LOG).delivery_lock(ME)
    house.put("a", "b")
    assert turn.acquire()

    def release(wakeup: Wakeup) -> None:
        if len(house.waits) == 2:
            house.store.remove(house.store.head(ME, (MESSAGE,), 1)[0])
            turn.release()

    house.on_wait = release
    assert house.flush()
    assert house.tried == ["b"]
    assert house.waits == [(True, 0.05), (True, 0.1)]
    house.rest()
    house.store.close()


def test_another_process_has_sent_all(tmp_path):
    """The other process has sent all items, so there is no more to wait for."""
    house = House(str(tmp_path / "o.db"))
    turn = OutboxStore(str(tmp_path / "o.db"), log=LOG).delivery_lock(ME)
    house.put("a")
    assert turn.acquire()

    def empty(wakeup: Wakeup) -> None:
        house.store.remove(house.store.head(ME, (MESSAGE,), 1)[0])

    house.on_wait = empty
    assert house.flush()
    assert house.tried == []
    turn.release()
    house.rest()
    house.store.close()


# A sent item is not sent again.


def failing(times: int, error: BaseException, real: Callable[..., Any]) -> Callable[..., Any]:
    """Return a call that fails a number of times, and then works."""
    left = [times]

    def call(*args: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise error
        return real(*args)

    return call


LOCKED = CometChatException("ERR_OUTBOX_STORE", "database is locked")


@pytest.mark.parametrize("error", [LOCKED, MemoryError(), sqlite3.OperationalError("disk full")], ids=repr)
def test_a_sent_item_whose_row_stays(house, error):
    """The row of a sent item cannot be removed. The removal is repeated, and the item is not sent again."""
    house.store.remove = failing(6, error, house.store.remove)
    house.put("a", "b")
    assert house.flush()
    assert house.tried == ["a", "b"]
    assert calls(house) == [("on_delivered", "a"), ("on_delivered", "b")]
    assert len(house.waits) == 6


def test_a_report_that_fails(house):
    """The call of the listeners cannot be queued. The item is not sent again, and the listeners get it once."""
    house.delivery._events = SimpleNamespace(
        post=failing(2, MemoryError(), house.post),
        add_producer=house.add_producer,
        remove_producer=house.remove_producer,
    )
    house.put("a")
    assert house.flush()
    assert (house.tried, calls(house)) == (["a"], [("on_delivered", "a")])


def test_the_listeners_are_notified_before_the_row_is_removed(house):
    """A file that is locked for long does not delay the result."""
    seen: List[Any] = []
    real = house.store.remove
    house.store.remove = lambda item: (seen.extend(calls(house)), real(item))
    house.put("a")
    assert house.flush()
    assert seen == [("on_delivered", "a")]


def test_no_other_process_sends_an_item_that_could_not_be_removed(tmp_path):
    """The process that has sent an item keeps the turn until the row is removed."""
    house = House(str(tmp_path / "o.db"))
    other = OutboxStore(str(tmp_path / "o.db"), log=LOG)
    taken: List[bool] = []

    def look(wakeup: Wakeup) -> None:
        with other.delivery_lock(ME) as turn:
            taken.append(turn.acquire())

    house.on_wait = look
    house.delivery._store.remove = failing(2, LOCKED, house.delivery._store.remove)
    house.put("a")
    house.run_once()
    assert taken == [False, False]
    with other.delivery_lock(ME) as turn:
        assert turn.acquire()
    for store in (other, house.store, house.delivery._store):
        store.close()


def test_close_while_a_row_stays(house):
    """close() ends the attempts to remove it."""
    house.store.remove = failing(10**9, LOCKED, house.store.remove)
    house.put("a", "b")
    house.on_wait = lambda wakeup: house.delivery.close()
    house.delivery.wake()
    house.delivery.join(DEADLINE)
    assert (house.tried, calls(house)) == (["a"], [("on_delivered", "a")])


def held(house: House) -> threading.Event:
    """Put two items. When this returns, the first one is in progress, until the event is set."""
    sending, go = threading.Event(), threading.Event()

    def block(muid: str) -> None:
        sending.set()
        assert go.wait(DEADLINE)

    house.on_try = block
    house.put("a", "b")
    house.delivery.wake()
    assert sending.wait(DEADLINE)
    return go


def test_close_while_an_item_is_being_sent(house):
    """The item is finished, reported and removed. The next one is not begun."""
    go = held(house)
    house.delivery.close()
    house.delivery.close()
    house.delivery.join(0.01)
    assert calls(house) == []
    go.set()
    house.delivery.join(DEADLINE)
    assert (house.tried, calls(house)) == (["a"], [("on_delivered", "a")])


def test_a_transport_that_is_closed_under_an_item(house):
    """If the end of the client stops an item, that is not the item's error: it stays for the next client."""
    error = CometChatException("ERR_CLIENT_CLOSED", "closed")
    house.answers["a"] = [error]
    house.on_try = lambda muid: house.delivery.close()
    house.put("a")
    house.delivery.wake()
    house.delivery.join(DEADLINE)
    assert (house.tried, house.told) == (["a"], [])


def test_close_while_an_item_of_a_file_is_being_sent(tmp_path):
    """The row is removed, though the outbox's own connection is closed by then."""
    house = House(str(tmp_path / "o.db"))
    go = held(house)
    house.delivery.close()
    house.store.close()
    go.set()
    house.rest()
    other = OutboxStore(str(tmp_path / "o.db"), log=LOG)
    assert [item.muid for item in other.head(ME, (MESSAGE,), 9)] == ["b"]
    other.close()


# Items with their own errors.


@pytest.mark.parametrize(
    "kind, body",
    [
        (MESSAGE, {}),
        (MESSAGE, {"muid": "x", "receiver": "u2", "receiverType": "user", "category": "message", "type": "text"}),
        (
            MESSAGE,
            {"muid": "x", "receiver": 5, "receiverType": [], "category": {}, "type": None, "data": {"entities": 5}},
        ),
        (RECEIPT, {}),
        (RECEIPT, {"messageId": 5, "uid": {"a": []}}),
        (RECEIPT, {**A_RECEIPT, "receiver": "\ud800"}),
        (RECEIPT, {**A_RECEIPT, "receiver": ".."}),
        (RECEIPT, {**A_RECEIPT, "receiver": "u2", "action": "../read"}),
        ("letter", {"muid": "x"}),
    ],
)
def test_a_damaged_item_does_not_stop_the_rest(house, kind, body, caplog):
    """An item without a necessary field becomes a dead letter, the listeners are notified, and the rest continues."""
    house.put("a")
    house.store.put(ME, kind, "damaged", body, 100)
    house.put("b")
    assert house.flush()
    assert house.tried == ["a", "b"]
    assert [method for _, method, *_ in house.told] == ["on_delivered", "on_failed", "on_delivered"]
    (_, _, thing, error) = house.told[1]
    assert error.code == "ERR_OUTBOX_STORE" and "damaged" in error.message
    assert isinstance(thing, MessageReceipt) if kind == RECEIPT else thing.muid == "damaged"
    (dead,) = house.store.dead(ME)
    assert (dead.item.muid, dead.code) == ("damaged", "ERR_OUTBOX_STORE")
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_damaged_item_does_not_wait_for_the_end_of_throttling(house):
    """An item of an unknown kind is buried though its kind cannot be sent, and the thread does not spin."""
    house.kinds = (MESSAGE,)
    house.store.put(ME, "letter", "damaged", {}, 100)
    house.put("a")
    house.run_once()
    assert house.tried == ["a"] and house.store.pending(ME) == 0


@pytest.mark.parametrize("code", ["INVALID_RECEIVER_TYPE", "ERR_UNHEARD_OF"])
def test_an_item_that_the_sender_refuses_is_buried(house, code):
    """A wrong argument, found before the sending, is the item's own error. A failure of the service is not."""
    failure = answered(503, code, InvalidArgumentException)
    house.answers["a"] = [failure, InvalidArgumentException(code, "no", name="receiver_type")]
    house.put("a", "b")
    assert house.flush()
    assert [method for method, _ in calls(house)] == ["on_failed", "on_delivered"]
    assert house.tried == ["a", "a", "b"]


def test_too_many_dead_letters(caplog):
    """The oldest ones are discarded, with a warning."""
    house = House()
    house.store._max_dead = 2
    for muid in "abc":
        house.answers[muid] = [answered(400)]
        house.put(muid)
    house.run_once()
    assert [dead.item.muid for dead in house.store.dead(ME)] == ["b", "c"]
    assert "1 oldest were discarded" in caplog.text
    house.store.close()


# Errors by their codes.


@pytest.mark.parametrize(
    "error",
    [
        answered(400, "ERR_MISSION_FAILED"),
        answered(403, "ERR_OPERATION_FAILED", AuthenticationException),
        answered(400, "ERR_TOO_MANY_REQUESTS", RateLimitException),
    ],
    ids=str,
)
def test_a_passing_error_with_a_status_of_a_refusal(house, error):
    """A code for a temporary error counts more than the status."""
    house.answers["a"] = [error]
    house.put("a")
    assert house.flush()
    assert house.tried == ["a", "a"] and house.store.dead(ME) == []


def test_an_error_page_of_another_server(house):
    """A 404 without an error of the service may come from a proxy or a wrong host: the item is kept."""
    house.answers["a"] = [answered(404, "ERR_BAD_RESPONSE", ConnectionException)]
    house.put("a")
    assert house.flush()
    assert house.tried == ["a", "a"] and house.store.dead(ME) == []


@pytest.mark.parametrize("code", ["ERR_SUBSCRIPTION_EXPIRED", "ERR_PLAN_RESTRICTION", "AUTH_ERR_INVALID_APPID"])
@pytest.mark.parametrize("status", [400, 401, 402, 403])
def test_an_operator_has_to_act(house, code, status, caplog):
    """Errors of the app or the plan stop all items with the longest wait, bury none, and are logged once."""
    house.answers["a"] = [answered(status, code, AuthenticationException) for _ in range(3)]
    house.put("a", "b")
    assert house.flush()
    assert house.tried == ["a", "a", "a", "a", "b"]
    assert all(wait.expected >= 30.0 for _, wait in house.waits) and len(house.waits) == 3
    assert house.store.dead(ME) == []
    (warning,) = caplog.records
    assert warning.levelname == "WARNING" and "plan in the CometChat dashboard" in warning.getMessage()
    house.answers["c"] = [answered(status, code)]
    house.put("c")
    assert house.flush()
    assert len(caplog.records) == 2  # after a success it is logged again


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_token_of_another_device_is_renewed(house, status):
    """ERR_AUTHTOKEN_UNAVAILABLE means a refused token, with any status."""
    house.renewals = [lambda: None]
    house.answers["a"] = [answered(status, "ERR_AUTHTOKEN_UNAVAILABLE")]
    house.put("a")
    assert house.flush()
    assert house.tried == ["a", "a"] and house.renewals == [] and house.store.dead(ME) == []


def test_a_renewal_that_the_operator_has_to_allow(house, caplog):
    """The renewal fails with an error of the plan. This does not refuse the token."""

    def fail() -> None:
        raise answered(403, "ERR_SUBSCRIPTION_EXPIRED", AuthenticationException)

    house.renewals = [fail, lambda: None]
    house.answers["a"] = [answered(401, kind=AuthenticationException)] * 2
    house.put("a")
    assert house.flush()
    assert house.tried == ["a", "a", "a"]
    assert "until the next login" not in caplog.text


def test_nothing_is_tried_with_a_refused_token(house):
    """Items that are put afterwards wait too. Another token ends that."""
    house.renewals = [lambda: None]
    house.answers["a"] = [answered(401, kind=AuthenticationException)] * 2
    house.put("a")
    house.run_once()
    house.put("b")
    house.run_once()
    assert house.tried == ["a", "a"]
    house.login = Session("app", "u1", "t2", "device", {})
    house.run_once()
    assert house.tried == ["a", "a", "a", "b"]


# Rate limits.


@pytest.mark.parametrize("remaining, waits", [(None, []), (100, []), (99, [1.5, 1.5]), (0, [1.5, 1.5])])
def test_slow_before_the_limit(house, remaining, waits):
    """The user's own calls need the last requests of a minute. Then one item a second is sent."""
    house.remaining = remaining
    house.put("a", "b")
    assert house.flush()
    assert [wait for _, wait in house.waits] == waits


def test_close_ends_the_slow_pace(house):
    """close() ends that wait, and the item is not begun."""
    house.remaining = 0
    house.on_wait = lambda wakeup: house.delivery.close()
    house.put("a")
    house.delivery.wake()
    house.delivery.join(DEADLINE)
    assert (house.tried, len(house.waits)) == ([], 1)


# Other processes.


@pytest.fixture
def shared(tmp_path, monkeypatch) -> Iterator[House]:
    monkeypatch.setattr(_delivery, "_LOOK", 0.01)
    made = House(str(tmp_path / "o.db"))
    yield made
    made.rest()
    made.store.close()


def until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(int(DEADLINE / 0.01)):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it did not happen")


def test_items_that_another_process_has_left(shared):
    """An idle, connected process finds another one's items in the file, and sends them."""
    shared.delivery.retry_now()
    until(lambda: shared.delivery._store._version is not None)  # it has looked, and found no item
    shared.put("a")  # with its own connection, and without a wake-up
    until(lambda: shared.tried == ["a"])
    until(lambda: shared.store.pending(ME) == 0)


def test_a_look_that_fails(shared, caplog):
    """The file cannot be read for a while. There is a warning, and later looks find the items."""
    store = shared.delivery._store
    store.has_changed = failing(2, LOCKED, store.has_changed)
    shared.delivery.retry_now()
    until(lambda: len(shared.waits) == 2)
    shared.put("a")
    until(lambda: shared.tried == ["a"])
    assert "database is locked" in caplog.text


def test_no_look_without_need(shared, house):
    """While the connection is down, and without a file, the thread sleeps."""
    assert shared.delivery._look_interval() == 0.01
    shared.kinds = ()
    assert shared.delivery._look_interval() is None
    assert house.delivery._look_interval() is None


def test_a_flush_notices_items_that_another_process_has_sent(shared):
    """flush() ends when another process has sent the last item, though this one is not connected."""
    shared.kinds = ()
    shared.put("a")
    flushed: List[bool] = []
    thread = threading.Thread(target=lambda: flushed.append(shared.flush()), name="test-flusher")
    thread.start()
    until(lambda: shared.delivery._flushing != [])
    shared.store.remove(shared.store.head(ME, (MESSAGE,), 1)[0])
    thread.join(DEADLINE)
    assert flushed == [True]


def test_nothing_pending_needs_no_lock(tmp_path):
    """A delivery without items makes no lock for the user."""
    house = House(str(tmp_path / "new" / "o.db"))
    house.run_once()
    assert [path.name for path in (tmp_path / "new").glob("*.lock")] == ["o.db.lock"]
    assert house.waits == []
    for store in (house.store, house.delivery._store):
        store.close()


# Logging.


@pytest.mark.parametrize("error", [OSError("disk full"), ValueError("closed file"), RecursionError()], ids=repr)
def test_a_logging_handler_that_raises(house, error):
    """No warning can be written, and everything else continues."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise error

    handler, root = Broken(), logging.getLogger("cometchat")
    root.addHandler(handler)
    try:
        house.answers = {"a": [answered(400)], "b": [KeyError("x")], "c": [answered(403, "ERR_PLAN_RESTRICTION")]}
        house.put("a", "b", "c")
        assert house.flush()
    finally:
        root.removeHandler(handler)
    assert calls(house) == [("on_failed", "a"), ("on_delivered", "b"), ("on_delivered", "c")]


@pytest.mark.parametrize("method", ["__init__", "start"])
def test_a_system_without_threads_in_memory(house, monkeypatch, method):
    """The system starts no thread for the first item. The next connection starts it."""

    def refuse(*args: Any, **named: Any) -> None:
        raise MemoryError("no thread")

    house.put("a")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, method, refuse)
        house.delivery.wake()
    house.delivery.retry_now()
    until(lambda: house.store.pending(ME) == 0)
