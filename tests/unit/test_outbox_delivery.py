"""The outbox thread: what it sends, in which order, what it does where that fails."""

from __future__ import annotations

import logging
import threading
from types import SimpleNamespace
from typing import Any, Callable, Dict, Iterator, List, Optional

import pytest

from cometchat import (
    AuthenticationException,
    CometChatException,
    CometChatWSState,
    ConnectionException,
    RateLimitException,
    TextMessage,
)
from cometchat._runtime.outbox_delivery import OutboxDelivery
from cometchat._runtime.outbox_store import MESSAGE, RECEIPT, OutboxStore, Owner

DEADLINE = 10.0
ME = Owner("app", "u1")


def answered(status: int, code: str = "ERR_X", kind: type = CometChatException) -> CometChatException:
    error = kind(code, "no")
    error.http_status = status
    return error  # type: ignore[no-any-return]


class House:
    """The delivery with what is around it. ``answers`` maps a muid to the errors that it meets, one a try."""

    def __init__(self, path: Optional[str] = None) -> None:
        self.store = OutboxStore(path)
        self.connection = SimpleNamespace(status=CometChatWSState.CONNECTED)
        self.account = SimpleNamespace(
            session=SimpleNamespace(app_id="app", uid="u1", auth_token="t1"), renew=self._renew
        )
        self.answers: Dict[str, List[Exception]] = {}
        self.renewals: List[Callable[[], None]] = []
        self.tried: List[str] = []
        self.told: List[Any] = []
        self.waits: List[Any] = []
        self.on_try: Callable[[str], None] = lambda muid: None
        self.on_wait: Callable[[threading.Event], None] = lambda event: None
        self.delivery = OutboxDelivery(
            self.store if path is None else OutboxStore(path, durable=False),
            account=self.account,  # type: ignore[arg-type]
            connection=self.connection,  # type: ignore[arg-type]
            sender=self,  # type: ignore[arg-type]
            dispatcher=SimpleNamespace(post=lambda *call: self.told.append(call)),  # type: ignore[arg-type]
            name="test-outbox",
            jitter=lambda: 1.0,
            wait=self._wait,
        )

    def _renew(self) -> None:
        self.renewals.pop(0)()

    def _wait(self, event: threading.Event, seconds: float) -> None:
        self.waits.append((event is self.delivery._hurry, pytest.approx(seconds)))
        self.on_wait(event)

    # As Sender.

    def as_from_here(self, body: Dict[str, Any]) -> Dict[str, Any]:
        return {**body, "here": True}

    def post(self, body: Dict[str, Any]) -> TextMessage:
        assert body["here"]
        self._try(body["muid"])
        return TextMessage(id="1", muid=body["muid"])

    def send_receipt(self, body: Dict[str, Any]) -> None:
        self._try(body["messageId"])

    def _try(self, muid: str) -> None:
        self.tried.append(muid)
        self.on_try(muid)
        if self.answers.get(muid):
            raise self.answers[muid].pop(0)

    # As its user.

    def put(self, *muids: str, kind: str = MESSAGE) -> None:
        for muid in muids:
            receipt = {"messageId": muid, "uid": "u1", "receiver": "u2", "receiverType": "user", "action": "read"}
            message = {"muid": muid, "category": "message", "type": "text", "data": {"text": muid}}
            self.store.put(ME, kind, muid, message if kind == MESSAGE else receipt, 100)

    def flush(self) -> bool:
        self.delivery.poke()
        return self.delivery.wait_until_empty(lambda: self.store.pending(ME), DEADLINE)

    def rest(self) -> None:
        """Until the thread has done what it can; it ends."""
        self.delivery.close()
        self.delivery.join(DEADLINE)
        assert not any(thread.name == "test-outbox" for thread in threading.enumerate())

    def run_once(self) -> None:
        """What the thread does on one wake-up, here."""
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


def test_in_order_and_told(house):
    """Everything goes out in the order of putting, and the listeners hear of each."""
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


def test_more_than_a_batch(house):
    """However many there are."""
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
        answered(404, "ERR_BAD_RESPONSE", ConnectionException),
    ],
    ids=str,
)
def test_a_failure_that_may_pass_is_tried_again(house, error):
    """The item stays the first, and is tried again after waits that grow; nothing overtakes it."""
    house.answers["a"] = [error, error, error]
    house.put("a", "b")
    assert house.flush()
    assert house.tried == ["a", "a", "a", "a", "b"]
    assert house.waits == [(True, 0.2), (True, 0.4), (True, 0.8)]
    assert [method for method, _ in calls(house)] == ["on_delivered"] * 2


def test_the_waits_begin_anew_after_a_success(house):
    """A failure after a success waits as the first one did."""
    error = ConnectionException("FAILED_TO_FETCH", "no network")
    house.answers = {"a": [error, error], "b": [error]}
    house.put("a", "b")
    assert house.flush()
    assert [wait for _, wait in house.waits] == [0.2, 0.4, 0.2]


def test_the_wait_is_capped(house):
    """At most 30 s."""
    house.answers["a"] = [ConnectionException("FAILED_TO_FETCH", "no network") for _ in range(12)]
    house.put("a")
    assert house.flush()
    assert house.waits[-1] == (True, 30.0)


def test_the_quiet_that_the_service_asks_for(house):
    """Retry-After is obeyed, and not even a new connection ends it."""
    error = RateLimitException("ERR_TOO_MANY_REQUESTS", "slow", retry_after=7.0)
    error.http_status = 429
    house.answers["a"] = [error]
    house.put("a")
    assert house.flush()
    assert house.waits == [(False, 7.0)]


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
    """What the service refuses for good is put aside with its error, the listeners are told, the rest goes on."""
    house.answers["b"] = [error]
    house.put("a", "b", "c")
    assert house.flush()
    assert house.tried == ["a", "b", "c"]
    assert calls(house) == [("on_delivered", "a"), ("on_failed", "b"), ("on_delivered", "c")]
    assert house.told[1][3] is error
    assert house.told[1][2].sender.uid == "u1"
    (dead,) = house.store.dead(ME)
    assert (dead.item.muid, dead.code) == ("b", error.code)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_throttling_holds_back_receipts_alone(house):
    """While throttled, messages go out; the receipts follow when it is over, and the thread does not spin."""
    house.connection.status = CometChatWSState.FEATURE_THROTTLED
    house.put("r1", kind=RECEIPT)
    house.put("a")
    house.put("r2", kind=RECEIPT)
    house.run_once()
    assert house.tried == ["a"]
    house.connection.status = CometChatWSState.CONNECTED
    house.run_once()
    assert house.tried == ["a", "r1", "r2"]
    assert house.waits == []


def test_throttled_in_the_middle(house):
    """Throttling that begins between two items stops the receipts from there on."""

    def throttle(muid: str) -> None:
        house.connection.status = CometChatWSState.FEATURE_THROTTLED

    house.on_try = throttle
    house.put("a")
    house.put("r", kind=RECEIPT)
    house.put("b")
    house.run_once()
    assert house.tried == ["a", "b"]
    assert house.store.pending(ME) == 1


@pytest.mark.parametrize("status", [CometChatWSState.DISCONNECTED, CometChatWSState.CONNECTING])
def test_nothing_goes_out_while_down(house, status):
    """No connection: nothing is tried, and nothing is waited for."""
    house.connection.status = status
    house.put("a")
    house.run_once()
    assert (house.tried, house.waits) == ([], [])


def test_nothing_goes_out_without_a_login(house):
    """No user: the items stay."""
    house.put("a")
    house.account.session = None
    house.run_once()
    assert house.tried == []
    assert house.store.pending(ME) == 1


def test_another_user_in_the_middle(house):
    """A login as another user stops the old one's items."""

    def change(muid: str) -> None:
        house.account.session = SimpleNamespace(app_id="app", uid="u2", auth_token="t2")

    house.on_try = change
    house.put("a", "b")
    house.run_once()
    assert house.tried == ["a"]
    assert house.store.pending(ME) == 1


def test_lost_in_the_middle(house):
    """The connection goes down between two items: the rest waits for the next one."""

    def lose(muid: str) -> None:
        house.connection.status = CometChatWSState.CONNECTING

    house.on_try = lose
    house.put("a", "b")
    house.run_once()
    assert house.tried == ["a"]
    house.on_try = lambda muid: None
    house.connection.status = CometChatWSState.CONNECTED
    house.delivery.hurry()
    assert house.flush()


def test_a_refused_token_is_renewed(house):
    """401: the login is renewed, which may bring a new auth token, and the item is tried again."""

    def renew() -> None:
        house.account.session = SimpleNamespace(app_id="app", uid="u1", auth_token="t2")

    house.renewals = [renew]
    house.answers["a"] = [answered(401, kind=AuthenticationException)]
    house.put("a")
    assert house.flush()
    assert house.tried == ["a", "a"]


def test_a_renewal_that_does_not_help(house, caplog):
    """Renewed and refused again: the outbox stands still until the next login or connection, and does not hammer."""
    house.renewals = [lambda: None]
    house.answers["a"] = [answered(401, kind=AuthenticationException), answered(401, kind=AuthenticationException)]
    house.put("a")
    house.run_once()
    assert house.tried == ["a", "a"]
    assert "until the next login" in caplog.text
    house.delivery.poke()
    house.delivery.hurry()
    assert house.flush()


def test_a_token_that_stays_refused(house, caplog):
    """No renewal helps: the outbox stands still, says so, and keeps its items; the next connection tries again."""

    def refuse() -> None:
        raise answered(401, kind=AuthenticationException)

    house.renewals = [refuse]
    house.answers["a"] = [answered(401, kind=AuthenticationException)]
    house.put("a")
    house.run_once()
    assert house.tried == ["a"]
    assert "until the next login" in caplog.text
    assert house.store.pending(ME) == 1
    house.delivery.poke()
    house.delivery.hurry()
    assert house.flush()


def test_a_renewal_without_network(house):
    """The renewal fails for another reason: it is tried again like any failure."""

    def fail() -> None:
        raise ConnectionException("FAILED_TO_FETCH", "no network")

    house.renewals = [fail, lambda: None]
    house.answers["a"] = [answered(401, kind=AuthenticationException)] * 2
    house.put("a")
    assert house.flush()
    assert house.tried == ["a", "a", "a"]


def test_a_new_connection_ends_the_wait(house):
    """hurry() wakes the thread from a wait after a failure."""
    house.answers["a"] = [ConnectionException("FAILED_TO_FETCH", "no network")]
    waiting = threading.Event()

    def wait(event: threading.Event) -> None:
        waiting.set()
        assert event.wait(DEADLINE)

    house.on_wait = wait
    house.put("a")
    house.delivery.poke()
    assert waiting.wait(DEADLINE)
    house.delivery.hurry()
    assert house.flush()


def test_no_thread_for_who_does_not_use_it(house):
    """A connection alone starts no thread for an outbox in memory that was never used."""
    house.delivery.hurry()
    assert not any(thread.name == "test-outbox" for thread in threading.enumerate())


def test_an_unexpected_error_is_survived(house, caplog):
    """A mistake is logged with its traceback, and the next wake-up goes on."""
    house.answers["a"] = [KeyError("a mistake")]
    house.put("a")
    seen = threading.Event()

    class Seen(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.set()

    logging.getLogger("cometchat.outbox").addHandler(Seen())
    try:
        house.delivery.poke()
        assert seen.wait(DEADLINE)
    finally:
        logging.getLogger("cometchat.outbox").handlers.pop()
    assert house.flush()
    assert "a mistake" in caplog.text


def test_a_store_that_fails_is_said(house, caplog):
    """The store's error is a warning; the thread lives, waits, and tries again."""
    house.put("a")
    right = house.store.head
    calls_of_head: List[int] = []

    def fail_once(*args: Any) -> Any:
        calls_of_head.append(1)
        if len(calls_of_head) == 1:
            raise CometChatException("ERR_OUTBOX_STORE", "disk full")
        return right(*args)

    house.store.head = fail_once  # type: ignore[method-assign]
    house.delivery.poke()
    assert house.flush()
    assert "disk full" in caplog.text
    assert house.waits == [(True, 0.2)]


def test_no_thread_to_be_had(house, monkeypatch, caplog):
    """The system gives no thread: a warning, no error; the items are kept."""

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    house.put("a")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        house.delivery.poke()
    assert "can't start new thread" in caplog.text
    assert house.flush()


def test_close_ends_every_wait(house):
    """close() wakes the thread from a wait and flush() from its own, which says False."""
    house.answers["a"] = [ConnectionException("FAILED_TO_FETCH", "no network")]
    waiting = threading.Event()

    def wait(event: threading.Event) -> None:
        waiting.set()
        assert event.wait(DEADLINE)

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
    house.delivery.poke()


def test_another_process_has_the_turn(tmp_path):
    """While another process sends, this one waits for its end, and sends what is left."""
    house = House(str(tmp_path / "o.db"))
    turn = OutboxStore(str(tmp_path / "o.db")).delivery_lock(ME)
    house.put("a", "b")
    assert turn.acquire()

    def release(event: threading.Event) -> None:
        house.store.remove(house.store.head(ME, (MESSAGE,), 1)[0])
        turn.release()
        house.on_wait = lambda event: None

    house.on_wait = release
    assert house.flush()
    assert house.tried == ["b"]
    assert house.waits == [(True, 0.05)]
    house.rest()
    house.store.close()


def test_another_process_has_sent_all(tmp_path):
    """The other process has emptied it: nothing is left to wait for."""
    house = House(str(tmp_path / "o.db"))
    turn = OutboxStore(str(tmp_path / "o.db")).delivery_lock(ME)
    house.put("a")
    assert turn.acquire()

    def empty(event: threading.Event) -> None:
        house.store.remove(house.store.head(ME, (MESSAGE,), 1)[0])

    house.on_wait = empty
    assert house.flush()
    assert house.tried == []
    turn.release()
    house.rest()
    house.store.close()
