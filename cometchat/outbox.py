"""The outbox takes messages and receipts at any time, and sends them while the connection is up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Union

from ._lazy import LazyModule
from ._runtime import _arguments as arguments
from .exceptions import CometChatException, exception_for, invalid

if TYPE_CHECKING:
    from . import models
    from ._runtime import account as account_module
    from ._runtime import messages as messages_module
    from ._runtime import outbox as outbox_module
    from ._runtime.account import Owner
else:
    models = LazyModule(f"{__package__}.models")
    account_module = LazyModule(f"{__package__}._runtime.account")
    messages_module = LazyModule(f"{__package__}._runtime.messages")
    outbox_module = LazyModule(f"{__package__}._runtime.outbox")


@dataclass(frozen=True)
class DeadLetter:
    """An item that can't be sent: the service refused it permanently, or it is damaged.

    :ivar muid: its id, for ``retry()`` and ``discard()``.
    :ivar message: the item as it was put.
    :ivar error: the reason.
    :ivar put_at: Unix seconds; ``failed_at`` too.
    """

    muid: str
    message: Union[models.BaseMessage, models.MessageReceipt]
    error: CometChatException
    put_at: float
    failed_at: float


class Outbox:
    """``Client.outbox`` sends its items in order while the connection is up.

    With ``AppSettings(outbox_path=...)`` the items are kept in a file (SQLite), which several processes may share.
    After ``put()`` has returned, a crash, a ``kill -9`` or a power failure loses no item: the next process that
    connects as the same user sends it. Without a path the items are kept in memory, as long as the client lives.

    Each message has a fixed ``muid``. If an answer of the service is lost, the outbox sends the message again under it,
    and a service that knows the ``muid`` stores it once. (The sandbox does. For the live service this is not
    confirmed.) A message that the service refuses permanently becomes a dead letter (:meth:`dead_letters`), and the
    outbox sends the next one. After any other failure it retries the item, with growing waits. Errors that only the
    app's operator can solve, such as an expired plan, stop the whole outbox until they are solved.

    You can call every method on any thread, callbacks included. A signal handler may call :meth:`put`. If the handler
    interrupted an outbox call of the same thread, ``put()`` raises ``ERR_OUTBOX_STORE`` and stores nothing.
    """

    # ``CometChat.outbox`` reads the attributes that are named here from the shared client.
    _store: outbox_module.OutboxStore
    _delivery: outbox_module.OutboxDelivery
    _account: account_module.Account
    _sender: messages_module.Sender
    _limit: int

    def __init__(
        self,
        store: outbox_module.OutboxStore,
        delivery: outbox_module.OutboxDelivery,
        *,
        account: account_module.Account,
        sender: messages_module.Sender,
        limit: int,
    ) -> None:
        self._store = store
        self._delivery = delivery
        self._account = account
        self._sender = sender
        self._limit = limit

    def put(self, message: Union[models.TextMessage, models.CustomMessage]) -> str:
        """Store a message to send. Returns once it is stored; does not wait for its delivery.

        :param message: a message that ``Client.send_message`` accepts. No-op if its ``muid`` is already waiting.
        :returns: its ``muid``; the outbox makes one for a message without ``muid``.
        :raises CometChatException: ``USER_NOT_LOGGED_IN``, ``MISSING_PARAMETERS``, ``INVALID_MESSAGE`` and the other
            argument errors of ``Client.send_message``, ``ERR_OUTBOX_FULL``, ``ERR_OUTBOX_STORE``,
            ``ERR_CLIENT_CLOSED``. ``INVALID_MESSAGE`` too if its data is nested more than 500 deep.
        """
        owner = self._owner()
        arguments.message(message)
        body = self._sender.message_body(message)
        muid = str(body["muid"])
        self._put(owner, "message", muid, body)
        return muid

    def mark_as_delivered(self, message: models.BaseMessage) -> None:
        """Store a receipt to send: the message was delivered.

        :param message: a message that a MessageListener received.
        :raises CometChatException: as :meth:`put`.
        """
        self._put_receipt(message, "delivered")

    def mark_as_read(self, message: models.BaseMessage) -> None:
        """Store a receipt to send: the message was read. See :meth:`mark_as_delivered`."""
        self._put_receipt(message, "read")

    def pending(self) -> int:
        """Return the number of waiting items of the logged-in user, including those of other processes.

        :raises CometChatException: ``USER_NOT_LOGGED_IN``, ``ERR_OUTBOX_STORE``, ``ERR_CLIENT_CLOSED``.
        """
        return self._store.pending(self._owner(), self._delivery.sent_ids())

    def flush(self, timeout: Optional[float] = None) -> bool:
        """Wait until no item is pending. It does not connect: the outbox sends only while the connection is up.

        :param timeout: maximum wait, in seconds; None waits without limit.
        :returns: False if the time is over or the client was closed.
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

        The outbox keeps the newest 1,000 of a user (or ``outbox_max_items``, if that is less), each for 30 days.

        :raises CometChatException: as :meth:`pending`.
        """
        owner = self._owner()
        return [
            DeadLetter(
                dead.item.muid,
                outbox_module.model_of(dead.item, owner),
                exception_for(dead.code, dead.message, details=dead.details),
                dead.item.put_at,
                dead.failed_at,
            )
            for dead in self._store.dead(owner)
        ]

    def retry(self, muid: str) -> bool:
        """Turn a dead letter into an item again, as the newest item.

        :returns: False if no dead letter has this ``muid``, or an item with this ``muid`` is already waiting.
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

    def _put_receipt(self, message: models.BaseMessage, action: str) -> None:
        import uuid  # here, so that importing the package does not load it

        owner = self._owner()
        if not isinstance(message, models.BaseMessage):
            raise invalid("message", "a message that a MessageListener received", message)
        self._put(owner, "receipt", f"{action}-{uuid.uuid4()}", self._sender.receipt_body(message, action))

    def _put(self, owner: Owner, kind: str, muid: str, body: Dict[str, Any]) -> None:
        self._store.put(owner, kind, muid, body, self._limit)
        self._delivery.wake()

    def _owner(self) -> Owner:
        self._store.check_open()
        return self._account.require().owner


def _muid(value: object) -> str:
    return arguments.text("muid", value, "the muid of a dead letter")
