"""Outbox: takes messages and receipts at any time, and sends them while the connection is up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Protocol, Union

from ._runtime import _arguments as arguments
from .exceptions import CometChatException, exception_for, invalid

if TYPE_CHECKING:
    from ._runtime.outbox import OutboxDelivery, OutboxStore, Owner
    from .models import BaseMessage, CustomMessage, MessageReceipt, TextMessage


class Login(Protocol):
    """The logged-in user."""

    @property
    def app_id(self) -> str: ...

    @property
    def uid(self) -> str: ...


class Account(Protocol):
    """What the outbox needs of the client's login."""

    def require(self) -> Login:
        """Return the login. Raises ``USER_NOT_LOGGED_IN``."""


class Bodies(Protocol):
    """What the outbox needs of the client's sender: the bodies that are sent."""

    def message_body(self, message: BaseMessage) -> Dict[str, Any]:
        """Return the body of a message, with a ``muid``."""

    def receipt_body(self, message: BaseMessage, action: str) -> Dict[str, Any]:
        """Return the body of a receipt for a message."""


@dataclass(frozen=True)
class DeadLetter:
    """An item that can't be sent: the service refused it for good, or it is damaged.

    :ivar muid: names it, for ``retry()`` and ``discard()``.
    :ivar message: the item as it was put.
    :ivar error: why.
    :ivar put_at: Unix seconds; ``failed_at`` too.
    """

    muid: str
    message: Union[BaseMessage, MessageReceipt]
    error: CometChatException
    put_at: float
    failed_at: float


class Outbox:
    """``Client.outbox``: sends what it has taken in order, once each, whenever the connection is up.

    With ``AppSettings(outbox_path=...)`` the items are kept in a file (SQLite), which several processes may share: a
    crash, a ``kill -9`` or a power failure after ``put()`` has returned loses nothing, and the next process that
    connects as the same user sends them. Without a path they are kept in memory, as long as the client.

    Each message has a ``muid``, made once: if an answer of the service is lost, the message is sent again, and the
    service recognizes it. A message that the service refuses for good becomes a dead letter (:meth:`dead_letters`),
    and the rest goes on. After any other failure the item is tried again, with growing waits. Errors that only the
    app's operator can solve, such as an expired plan, stop the whole outbox until they are solved.

    Any thread may call any method, also in a callback. A signal handler may call :meth:`put`. If the handler
    interrupted an outbox call of the same thread, ``put()`` raises ``ERR_OUTBOX_STORE``, and has taken nothing.
    """

    def __init__(
        self,
        store: OutboxStore,
        delivery: OutboxDelivery,
        *,
        account: Account,
        sender: Bodies,
        check_message: Callable[[object], None],
        limit: int,
    ) -> None:
        self._store = store
        self._delivery = delivery
        self._account = account
        self._sender = sender
        self._check_message = check_message
        self._limit = limit

    def put(self, message: Union[TextMessage, CustomMessage]) -> str:
        """Take a message. Returns once the message is stored; does not wait for its delivery.

        :param message: as ``Client.send_message`` takes it. One whose ``muid`` already waits here is taken once.
        :returns: its ``muid``; a new one if it had none.
        :raises CometChatException: ``USER_NOT_LOGGED_IN``, ``MISSING_PARAMETERS``, ``INVALID_MESSAGE`` and what else
            ``Client.send_message`` says of its argument, ``ERR_OUTBOX_FULL``, ``ERR_OUTBOX_STORE``,
            ``ERR_CLIENT_CLOSED``. ``INVALID_MESSAGE`` too if its data is nested more than 500 deep.
        """
        owner = self._owner()
        self._check_message(message)
        body = self._sender.message_body(message)
        muid = str(body["muid"])
        self._put(owner, "message", muid, body)
        return muid

    def mark_as_delivered(self, message: BaseMessage) -> None:
        """Take a receipt that says that a message was delivered.

        :param message: as a MessageListener got it.
        :raises CometChatException: as :meth:`put`.
        """
        self._put_receipt(message, "delivered")

    def mark_as_read(self, message: BaseMessage) -> None:
        """Take a receipt that says that a message was read; see :meth:`mark_as_delivered`."""
        self._put_receipt(message, "read")

    def pending(self) -> int:
        """Return how many items of the logged-in user wait, those of other processes too.

        :raises CometChatException: ``USER_NOT_LOGGED_IN``, ``ERR_OUTBOX_STORE``, ``ERR_CLIENT_CLOSED``.
        """
        return self._store.pending(self._owner(), self._delivery.sent_ids())

    def flush(self, timeout: Optional[float] = None) -> bool:
        """Wait until nothing is pending. It does not connect: while the connection is down, nothing goes out.

        :param timeout: seconds; None for no limit.
        :returns: False if the time is over, or the client was closed.
        :raises CometChatException: ``INVALID_TIMEOUT``, and as :meth:`pending`.
        """
        limit = arguments.timeout(timeout, zero=True)
        owner = self._owner()
        if not self._store.pending(owner):
            return True
        self._delivery.wake()
        return self._delivery.wait_until_empty(lambda: self._store.pending(owner), limit)

    def dead_letters(self) -> List[DeadLetter]:
        """Return the items that can't be sent, oldest first.

        The newest 1,000 of a user are kept (or ``outbox_max_items``, if that is less), each for 30 days.

        :raises CometChatException: as :meth:`pending`.
        """
        from ._runtime.outbox import thing_of

        owner = self._owner()
        return [
            DeadLetter(
                dead.item.muid,
                thing_of(dead.item, owner),
                exception_for(dead.code, dead.message, details=dead.details),
                dead.item.put_at,
                dead.failed_at,
            )
            for dead in self._store.dead(owner)
        ]

    def retry(self, muid: str) -> bool:
        """Make a dead letter an item again, as the newest one.

        :returns: False if no dead letter has this ``muid``, or another item of the same one waits.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_MUID``, and as :meth:`pending`.
        """
        revived = self._store.revive(self._owner(), _muid(muid))
        if revived:
            self._delivery.wake()
        return revived

    def discard(self, muid: str) -> bool:
        """Discard a dead letter.

        :returns: False if no dead letter has this ``muid``.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_MUID``, and as :meth:`pending`.
        """
        return self._store.discard(self._owner(), _muid(muid))

    def _put_receipt(self, message: BaseMessage, action: str) -> None:
        import uuid  # here, and the models, so that importing the package does not load them

        from .models import BaseMessage

        owner = self._owner()
        if not isinstance(message, BaseMessage):
            raise invalid("message", "a message that a MessageListener received", message)

        self._put(owner, "receipt", f"{action}-{uuid.uuid4()}", self._sender.receipt_body(message, action))

    def _put(self, owner: Owner, kind: str, muid: str, body: Dict[str, Any]) -> None:
        self._store.put(owner, kind, muid, body, self._limit)
        self._delivery.wake()

    def _owner(self) -> Owner:
        from ._runtime.outbox import Owner

        self._store.check_open()
        session = self._account.require()
        return Owner(session.app_id, session.uid)


def _muid(value: object) -> str:
    return arguments.text("muid", value, "the muid of a dead letter")
