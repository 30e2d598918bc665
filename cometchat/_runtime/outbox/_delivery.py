"""The outbox thread: sends the items that wait, in order, while the connection is up.

Messages and receipts are sent in the order in which they were put. If throttling delays a receipt, the messages after
it are still sent. One process at a time sends the items of a user: the holder of the delivery lock. It also sends the
items that other processes put into the same file.

After sending an item, the thread first records it as sent, then queues its ``on_delivered``, then removes its row. It
sends no other item and keeps the delivery lock until the row is removed.
"""

from __future__ import annotations

import random
import time
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

from ..._log import SafeLog
from ..._protocol._error_codes import ErrorKind, kind_of
from ...exceptions import (
    ERR_CLIENT_CLOSED,
    ERR_OUTBOX_STORE,
    AuthenticationException,
    CometChatException,
    InvalidArgumentException,
    exception_for,
    without_frames,
)
from ...models import BaseMessage, MessageReceipt, User
from ...models._message import message_from_dict
from .._arguments import is_path_part
from .._threads import Backoff, ServiceThread, Wakeup, rate_limit_pause
from ..account import Account, Owner
from ..delivery import EventQueue
from ..messages import Sender
from ._store import MESSAGE, RECEIPT, Item, OutboxStore

#: Maximum number of items read at once.
_BATCH = 50

#: Seconds between two checks of the file for items of other processes.
_LOOK = 2.0

#: First and maximum wait for another process to release the delivery lock, in seconds.
_TURN_WAIT = 0.05, 1.0

#: Seconds between two tries while the app's operator must act. Also the maximum wait of the backoff.
_LONGEST = 30.0

#: Number of failures in a row that are reported by a warning: they have lasted for about a minute.
_MANY = 9

#: Fields that an item's body must have as text.
_TEXTS = {
    MESSAGE: ("receiver", "receiverType", "category", "type", "muid"),
    RECEIPT: ("receiver", "receiverType", "action", "messageId", "messageSender"),
}

#: The field that becomes a part of the address to which an item is sent.
_IN_ADDRESS = {MESSAGE: "parentId", RECEIPT: "receiver"}

ItemModel = Union[BaseMessage, MessageReceipt]


class OutboxDelivery:
    """Owns the outbox thread, which starts at first need and ends after :meth:`close`.

    :param store: the items. With a file, a separate connection for this thread.
    :param log: the client's log.
    :param name: of the thread.
    :param jitter: returns 0 to 1, at random.
    :param wait: waits for a Wakeup, with a maximum number of seconds.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        store: OutboxStore,
        *,
        account: Account,
        sender: Sender,
        events: EventQueue,
        log: SafeLog,
        name: str,
        jitter: Callable[[], float] = random.random,
        wait: Callable[[Wakeup, float], object] = Wakeup.wait,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._account = account
        self._sender = sender
        self._events = events
        self._log = log
        self._jitter = jitter
        self._wait = wait
        self._clock = clock
        #: Number of items that this object has made dead letters.
        self.dead_letters: int = 0
        self._thread = ServiceThread(name, self._work, wanted=self._is_open, wait=self._wait_for_end)
        self._closing = Wakeup()
        self._wake = Wakeup()  # there may be something to send
        self._retry = Wakeup()  # the wait after a failure is over
        self._flushing: List[Wakeup] = []  # one for each call of wait_until_empty()
        # Only the thread uses the rest.
        self._backoff: Optional[Backoff] = None  # of consecutive failures
        self._operator_code: Optional[str] = None  # the error that was logged for the operator
        #: Sent items with a remaining row, and the message to report; None after the report.
        self._sent: Dict[Tuple[int, str], Optional[ItemModel]] = {}
        #: The auth token that the service refused. It is not used again.
        self._refused_token: Optional[str] = None
        self._renewed_for: Optional[int] = None  # the item
        self._file_fails = False  # a warning about the file was logged

    def wake(self) -> None:
        """Start to send the items. Any thread; does not wait. A signal handler may call it."""
        if self._closing.is_set() or (self._thread.alive and not self._sender.sendable()):
            return  # closed, or :meth:`retry_now` follows when the connection is up
        self._wake.set()
        try:
            self._thread.start()
        except CometChatException as error:
            self._log.warning("The outbox keeps its items, but can't send them now: %s", error)

    def retry_now(self) -> None:
        """End the wait after a failure, because the connection is up or the auth token is new.

        Any thread; does not wait. No-op while the connection is down.
        """
        if not self._sender.sendable():
            return
        if self._store.path is None and not self._thread.alive and not self._wake.is_set():
            return  # no item was ever put
        self._refused_token = self._renewed_for = None
        self._retry.set()
        self.wake()

    def close(self) -> None:
        """Start no new item, and make the thread end. Does not wait; no-op when called twice.

        The item in progress is finished, within its HTTP timeout. It is recorded as sent and reported.
        """
        self._closing.set()
        self._retry.set()
        self._wake.set()
        self._report_progress()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.alive

    def join(self, timeout: float) -> None:
        """Wait for the thread's end, at most ``timeout`` seconds; no-op on the thread itself."""
        self._thread.join(timeout)

    def sent_ids(self) -> Tuple[int, ...]:
        """Return the ids of sent items whose rows are not yet removed."""
        return tuple(item_id for item_id, _ in list(self._sent))

    def wait_until_empty(self, pending: Callable[[], int], timeout: Optional[float]) -> bool:
        """Wait until no item is pending. Returns False if the time is over or the client was closed."""
        progress = Wakeup()
        end = None if timeout is None else self._clock() + timeout
        self._flushing.append(progress)
        try:
            while not self._closing.is_set():
                progress.clear()
                try:
                    if not pending():
                        return True
                except CometChatException:
                    if self._closing.is_set():
                        return False  # the store was closed in between
                    raise
                left = None if end is None else end - self._clock()
                if left is not None and left <= 0:
                    return False
                # With a file, another process may be sending.
                progress.wait(left if self._store.path is None else min(_LOOK, _LOOK if left is None else left))
            return False
        finally:
            self._flushing.remove(progress)

    # --- the thread

    def _is_open(self) -> bool:
        return not self._closing.is_set()

    def _wait_for_end(self, seconds: float) -> None:
        """Wait after an unexpected error. If the client is closed, the thread ends then."""
        self._wait(self._closing, seconds)
        self._close_store()

    def _close_store(self) -> None:
        if self._closing.is_set():
            self._store.close()

    def _work(self) -> None:
        self._events.add_producer()
        try:
            self._wake.set()  # the run that raised may have left something
            while not self._closing.is_set():
                try:
                    self._wait_for_items()
                    self._send_all()
                except CometChatException as error:
                    if not self._closing.is_set():
                        self._report_file("The outbox can't be read or written, trying again: %s", error)
                        self._wait_after(error)
                        self._wake.set()
                else:
                    self._note_working_file()
        finally:
            self._events.remove_producer()
            self._close_store()

    def _wait_for_items(self) -> None:
        while not self._wake.wait(self._look_interval()):
            if self._store.has_changed():
                break
        self._wake.clear()

    def _look_interval(self) -> Optional[float]:
        """Return the interval of checks for other processes' items; None in memory or while nothing can be sent."""
        return _LOOK if self._store.path is not None and self._sender.sendable() else None

    def _send_all(self) -> None:
        turns: Optional[Backoff] = None
        while True:
            self._retry.clear()
            owner, kinds = self._owner(), self._sender.sendable()
            if self._closing.is_set() or owner is None or not kinds or self._is_refused():
                return
            if not self._store.head(owner, kinds, 1):
                self._report_progress()  # another process may have sent the last ones
                return
            error: Optional[CometChatException] = None
            with self._store.delivery_lock(owner) as turn:
                is_ours = turn is None or turn.acquire()
                if is_ours:
                    error = self._send_of(owner)
            if not is_ours:
                turns = turns or Backoff(*_TURN_WAIT, jitter=self._jitter)
                self._wait(self._retry, turns.next())
            elif error is not None and self._is_refused():
                self._log.warning("The outbox stops until the next login or connection: %s", error)
            elif error is not None and self._owner() == owner:
                self._wait_after(error)

    def _send_of(self, owner: Owner) -> Optional[CometChatException]:
        """Send until no item is left or an item fails. Returns the failure."""
        while True:
            kinds = self._sender.sendable()
            items = self._store.head(owner, kinds, _BATCH) if kinds else []
            if not items:
                return None
            for item in items:
                self._slow_down()
                if self._closing.is_set() or self._owner() != owner:
                    return None
                damage = item.damage or _damage_of(item)
                if damage:
                    self._bury(owner, item, exception_for(ERR_OUTBOX_STORE, f"The item is damaged: {damage}."))
                elif item.kind not in self._sender.sendable():
                    return None
                else:
                    error = self._send(owner, item)
                    if error is not None:
                        return error
                self._backoff = self._operator_code = self._renewed_for = None
                self._report_progress()

    def _slow_down(self) -> None:
        """Wait, to reserve the rest of the rate limit for the user's calls."""
        pause = rate_limit_pause(self._account.rate_limit_remaining, self._jitter())
        if pause:
            self._wait(self._closing, pause)

    def _send(self, owner: Owner, item: Item) -> Optional[CometChatException]:
        """Send an item, unless it was already sent. Returns the error if it must be tried again."""
        key = item.id, item.muid
        if key not in self._sent:
            try:
                if item.kind == RECEIPT:
                    self._sender.send_receipt(item.body, owner.uid)
                    self._sent[key] = receipt_of(item.body)
                else:
                    self._sent[key] = self._sender.send_message(item.body, owner.uid)
            except CometChatException as error:
                return self._judge(owner, item, without_frames(error))
        sent = self._sent[key]
        if sent is not None:
            self._events.post("outbox", "on_delivered", sent)
            self._sent[key] = None
        if self._remove(item):
            del self._sent[key]
        return None

    def _remove(self, item: Item) -> bool:
        """Remove a sent item, with retries. Returns False if the client was closed first."""
        while True:
            try:
                self._store.remove(item)
                self._note_working_file()
                return True
            except CometChatException as error:
                if self._closing.is_set():
                    return False
                seconds = self._next_wait(error)
                self._report_file("The outbox can't remove a sent item. Next try in %.1f s: %s", seconds, error)
                self._wait(self._closing, seconds)

    def _report_file(self, message: str, *args: object) -> None:
        """Log that the file can't be used: as a warning, once until it works again."""
        report = self._log.info if self._file_fails else self._log.warning
        self._file_fails = True
        report(message, *args)

    def _note_working_file(self) -> None:
        if self._file_fails:
            self._file_fails = False
            self._log.info("the outbox can be read and written again")

    def _judge(self, owner: Owner, item: Item, error: CometChatException) -> Optional[CometChatException]:
        """Make an item a dead letter if the error is about the item. Else return the failure to wait for."""
        if error.code == ERR_CLIENT_CLOSED:  # the transport was closed during the call; the next client sends the item
            return error
        kind = kind_of(error)
        is_own = kind in (ErrorKind.MESSAGE, ErrorKind.INVALID_REQUEST)
        if is_own or (error.http_status is None and isinstance(error, InvalidArgumentException)):
            self._bury(owner, item, error)
            return None
        # A login of another user keeps the item for its owner.
        return self._renew(item, error) if kind is ErrorKind.CREDENTIAL and self._owner() == owner else error

    def _bury(self, owner: Owner, item: Item, error: CometChatException) -> None:
        dropped = self._store.bury(owner, item, error)
        self.dead_letters += 1
        self._log.warning("An item of the outbox can't be sent and is now a dead letter: %s", error)
        if dropped:
            self._log.warning("There are too many dead letters. The %d oldest were discarded.", dropped)
        self._events.post("outbox", "on_failed", model_of(item, owner), error)

    def _renew(self, item: Item, error: CometChatException) -> CometChatException:
        """Renew a refused auth token, once per item. Returns the failure."""
        token = self._token()
        if self._renewed_for == item.id:  # and refused again
            self._refused_token = token
            return error
        try:
            self._account.renew()
        except CometChatException as failure:
            by_refresh = failure.http_status is None and isinstance(failure, AuthenticationException)
            if by_refresh or kind_of(failure) is ErrorKind.CREDENTIAL:
                self._refused_token = token
            return without_frames(failure)
        self._renewed_for = item.id
        return error

    def _wait_after(self, error: CometChatException) -> None:
        if kind_of(error) is ErrorKind.OPERATOR:
            seconds = self._next_wait(error, at_least=_LONGEST)
            if self._operator_code != error.code:
                self._operator_code = error.code
                self._log.warning(
                    "The service refuses this app. The outbox keeps its items and tries again in %.0f to %.0f s."
                    " Check the app id, the region and the plan in the CometChat dashboard: %s",
                    _LONGEST,
                    2 * _LONGEST,
                    error,
                )
        else:
            seconds = self._next_wait(error)
            self._report_failure(seconds, error)
        # A new connection ends the wait, unless the service asked for it.
        self._wait(self._closing if error.retry_after else self._retry, seconds)

    def _report_failure(self, seconds: float, error: CometChatException) -> None:
        assert self._backoff is not None
        if self._backoff.failures == _MANY and not self._file_fails:
            self._log.warning(
                "The outbox keeps its items: %d tries to send the oldest one have failed. Next try in %.1f s: %s",
                _MANY,
                seconds,
                error,
            )
        else:
            self._log.info("the outbox tries again in %.1f s: %s", seconds, error)

    def _next_wait(self, error: CometChatException, at_least: float = 0.0) -> float:
        if self._backoff is None:
            self._backoff = Backoff(longest=_LONGEST, jitter=self._jitter)
        return self._backoff.next(max(error.retry_after or 0.0, at_least))

    def _token(self) -> Optional[str]:
        session = self._account.session
        return session.auth_token if session is not None else None

    def _is_refused(self) -> bool:
        return self._refused_token is not None and self._token() == self._refused_token

    def _owner(self) -> Optional[Owner]:
        session = self._account.session
        return session.owner if session is not None else None

    def _report_progress(self) -> None:
        for waiting in list(self._flushing):
            waiting.set()


def model_of(item: Item, owner: Owner) -> ItemModel:
    """Return an item as a model for the listeners."""
    if item.kind == RECEIPT:
        return receipt_of(item.body)
    return message_from_dict({**item.body, "sender": owner.uid, "muid": item.muid})


def receipt_of(body: Dict[str, Any]) -> MessageReceipt:
    """Return a receipt of this user."""
    get = body.get  # a damaged one has nothing
    user = User(body["uid"]) if get("uid") else None
    return MessageReceipt(get("messageId"), user, get("receiver"), get("receiverType"), get("action"), None, body)


def _damage_of(item: Item) -> Optional[str]:
    """Return which required field a body lacks, or which field can't be sent. Returns None if it can be sent."""
    for name in _TEXTS[item.kind]:
        if not isinstance(item.body.get(name), str):
            return f"its {name} is missing"
    name = _IN_ADDRESS[item.kind]
    if not is_path_part(str(item.body.get(name))):
        return f"its {name} can't be a part of an address"
    if item.kind == RECEIPT and item.body["action"] not in ("delivered", "read"):
        return "its action is unknown"
    if item.kind == MESSAGE and not isinstance(item.body.get("data"), dict):
        return "its data is missing"
    return None
