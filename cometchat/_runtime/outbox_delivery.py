"""The outbox thread: sends what waits, in order, while the connection is up.

Messages and receipts go out in the order in which they were put. A receipt that throttling holds back does not hold
back the messages behind it. One process at a time sends the items of a user; the others' items are in the same file,
and are sent by whoever has the turn.
"""

from __future__ import annotations

import logging
import random
import threading
from typing import Any, Callable, Dict, Optional, Tuple, Union

from .._protocol import message_from_dict
from .._protocol.states import CometChatWSState
from ..exceptions import ERR_BAD_RESPONSE, ERR_CLIENT_CLOSED, AuthenticationException, CometChatException
from ..models import BaseMessage, MessageReceipt, User
from .account import Account
from .backoff import backoff
from .connection import Connection
from .dispatcher import Dispatcher
from .outbox_store import MESSAGE, RECEIPT, Item, OutboxStore, Owner
from .sender import Sender

logger = logging.getLogger("cometchat.outbox")

#: Items read at once.
_BATCH = 50

#: Seconds: the wait for another process's turn to end.
_TURN_WAIT = 0.05

#: HTTP statuses after which the same message can still be taken later.
_PASSING = frozenset({401, 407, 408, 425, 429})

#: Statuses that say that this message will never be taken, whoever has answered. (A 404 without an error of the
#: service's own may come from somebody who stands between.)
_NEVER = frozenset({400, 413, 414, 415, 422})


class OutboxDelivery:
    """Owns the thread, started on first need and ended by :meth:`close`.

    :param store: the items, with a connection of its own.
    :param name: the thread's.
    :param jitter: 0 to 1 at random.
    :param wait: waits for an event, some seconds at the most.
    """

    def __init__(
        self,
        store: OutboxStore,
        *,
        account: Account,
        connection: Connection,
        sender: Sender,
        dispatcher: Dispatcher,
        name: str,
        jitter: Callable[[], float] = random.random,
        wait: Callable[[threading.Event, float], object] = threading.Event.wait,
    ) -> None:
        self._store = store
        self._account = account
        self._connection = connection
        self._sender = sender
        self._dispatcher = dispatcher
        self._name = name
        self._jitter = jitter
        self._wait = wait
        self._lock = threading.Lock()
        self._thread: Optional[threading.Thread] = None
        self._ended = threading.Event()
        self._wake = threading.Event()  # there is something to do
        self._hurry = threading.Event()  # a wait after a failure is over
        self._progress = threading.Condition()
        self._failures = 0  # in a row; the thread's own
        # The auth token that the service refused: nothing is tried with it any more.
        self._refused_token: Optional[str] = None
        self._renewed_for: Optional[int] = None  # the item

    def poke(self) -> None:
        """Something was put. Any thread; does not wait."""
        with self._lock:
            if self._ended.is_set():
                return
            if self._thread is None:
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # the interpreter ends, or the system has no more threads
                    logger.warning("The outbox keeps its items, and can't send them now: %s.", error)
                    return
                self._thread = thread
        if self._kinds():  # else hurry() wakes it, once the connection is up
            self._wake.set()

    def hurry(self) -> None:
        """The connection is up: what has waited after a failure is tried at once."""
        if self._thread is None and self._store.path is None:
            return  # nothing was ever put
        self._refused_token = self._renewed_for = None
        self._hurry.set()
        self.poke()

    def close(self) -> None:
        """Let the thread end. Does not wait; again: nothing."""
        with self._lock:
            self._ended.set()
        self._hurry.set()
        self._wake.set()
        with self._progress:
            self._progress.notify_all()

    def pause(self) -> None:
        """Before a fork; see :meth:`OutboxStore.pause`. In memory the store is the outbox's own, and paused by it."""
        if self._store.path is not None:
            self._store.pause()

    def resume(self) -> None:
        """After it, in the parent."""
        if self._store.path is not None:
            self._store.resume()

    def forsake(self) -> None:
        """In the child of a fork: give this process's hold on the parent's turn up."""
        self._store.forsake()

    def join(self, timeout: float) -> None:
        """Wait for the thread's end, at most ``timeout`` seconds; not on the thread itself."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def wait_until_empty(self, pending: Callable[[], int], timeout: Optional[float]) -> bool:
        """Wait until nothing is pending. False: the time is over, or the client closed."""
        with self._progress:
            self._progress.wait_for(lambda: self._ended.is_set() or not pending(), timeout)
        return not self._ended.is_set() and not pending()

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                self._wake.wait()
                self._wake.clear()
                try:
                    self._send_all()
                except CometChatException as error:
                    if error.code != ERR_CLIENT_CLOSED:
                        logger.warning("The outbox can't be read or written, and tries again: %s", error)
                        self._wait_after(error)
                        self._wake.set()
                except Exception:  # a mistake of this SDK: said loudly, and the items are still there
                    logger.exception("Unexpected error in the outbox.")
        finally:
            self._store.close()

    def _send_all(self) -> None:
        while not self._ended.is_set():
            owner = self._owner()
            if owner is None or not self._kinds():
                return
            self._hurry.clear()
            with self._store.delivery_lock(owner) as turn:
                if not turn.acquire():
                    if not self._pending(owner):
                        return
                    self._wait(self._hurry, _TURN_WAIT)
                    continue
                error = self._send_of(owner)
            if error is None:
                if not self._pending(owner):
                    return
                if not self._store.head(owner, self._kinds() or (MESSAGE,), 1):
                    return  # receipts that throttling holds back: the end of it wakes this thread
                continue
            if isinstance(error, AuthenticationException) and self._is_refused():
                logger.warning("The outbox stands still until the next login: %s", error)
                return
            self._wait_after(error)

    def _wait_after(self, error: CometChatException) -> None:
        wait = backoff(self._failures, self._jitter())
        self._failures += 1
        asked = error.retry_after or 0.0
        logger.info("the outbox tries again in %.1f s: %s", max(wait, asked), error)
        # A new connection ends the wait, but not the quiet that the service has asked for.
        self._wait(self._ended if asked > wait else self._hurry, max(wait, asked))

    def _send_of(self, owner: Owner) -> Optional[CometChatException]:
        """Send until nothing is left or something fails; what failed."""
        while True:
            items = self._store.head(owner, self._kinds(), _BATCH) if self._kinds() else []
            if not items:
                return None
            for item in items:
                if self._ended.is_set() or self._owner() != owner or item.kind not in self._kinds():
                    return None
                try:
                    sent = self._send(item)
                except CometChatException as error:
                    if not _is_poison(error):
                        return self._after_failure(item, error)
                    self._bury(owner, item, error)
                else:
                    self._store.remove(item)
                    self._dispatcher.post("outbox", "on_delivered", sent)
                self._failures, self._renewed_for = 0, None
                self._progressed()

    def _send(self, item: Item) -> Union[BaseMessage, MessageReceipt]:
        if item.kind == RECEIPT:
            self._sender.send_receipt(item.body)
            return receipt_of(item.body)
        return self._sender.post(self._sender.as_from_here(item.body))

    def _bury(self, owner: Owner, item: Item, error: CometChatException) -> None:
        self._store.bury(item, error)
        logger.warning("The service refused an item of the outbox for good, it is a dead letter now: %s", error)
        self._dispatcher.post("outbox", "on_failed", thing_of(item, owner), error)

    def _after_failure(self, item: Item, error: CometChatException) -> CometChatException:
        """A refused auth token is renewed once, if there is a way to."""
        if not isinstance(error, AuthenticationException):
            return error
        token = self._token()
        if self._renewed_for == item.id:  # and refused again
            self._refused_token = token
            return error
        try:
            self._account.renew()
        except CometChatException as failure:
            if isinstance(failure, AuthenticationException):
                self._refused_token = token
            return failure
        self._renewed_for = item.id
        return error

    def _token(self) -> Optional[str]:
        session = self._account.session
        return session.auth_token if session is not None else None

    def _is_refused(self) -> bool:
        return self._token() in (None, self._refused_token)

    def _owner(self) -> Optional[Owner]:
        session = self._account.session
        return Owner(session.app_id, session.uid) if session is not None else None

    def _kinds(self) -> Tuple[str, ...]:
        """What can be sent now."""
        status = self._connection.status
        if status is CometChatWSState.CONNECTED:
            return MESSAGE, RECEIPT
        return (MESSAGE,) if status is CometChatWSState.FEATURE_THROTTLED else ()

    def _pending(self, owner: Owner) -> int:
        pending = self._store.pending(owner)
        if not pending:
            self._progressed()  # another process may have sent the last ones
        return pending

    def _progressed(self) -> None:
        with self._progress:
            self._progress.notify_all()


def thing_of(item: Item, owner: Owner) -> Union[BaseMessage, MessageReceipt]:
    """An item as the model that listeners get."""
    if item.kind == RECEIPT:
        return receipt_of(item.body)
    return message_from_dict({**item.body, "sender": owner.uid})


def receipt_of(body: Dict[str, Any]) -> MessageReceipt:
    """A receipt of this user's own."""
    get = body.get  # a damaged one has nothing
    user = User(body["uid"]) if get("uid") else None
    return MessageReceipt(get("messageId"), user, get("receiver"), get("receiverType"), get("action"), None, body)


def _is_poison(error: CometChatException) -> bool:
    """The service will never take it: a 4xx with an error of its own, or one that says how the message is too much."""
    status = error.http_status
    if status is None or not 400 <= status < 500 or status in _PASSING:
        return False
    if status == 403 and error.code.startswith("AUTH_ERR"):
        return False
    return error.code != ERR_BAD_RESPONSE or status in _NEVER
