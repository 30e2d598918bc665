"""Outbox: takes messages and receipts at any time, and sends them once the connection is up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, List, Optional, Union

from ._runtime import _arguments as arguments
from .exceptions import CometChatException, exception_for, invalid

if TYPE_CHECKING:
    from ._runtime._account import Account
    from ._runtime.outbox import OutboxDelivery, OutboxStore, Owner
    from ._runtime._sender import Sender
    from .models import BaseMessage, CustomMessage, MessageReceipt, TextMessage


@dataclass(frozen=True)
class DeadLetter:
    """Something that the service has refused for good.

    :ivar muid: names it, for ``retry()`` and ``discard()``.
    :ivar message: as it was put.
    :ivar error: what the service said.
    :ivar put_at: Unix seconds; ``failed_at`` too.
    """

    muid: str
    message: Union[BaseMessage, MessageReceipt]
    error: CometChatException
    put_at: float
    failed_at: float


class Outbox:
    """``Client.outbox``: what it has taken is sent in order, once each, whenever the connection is up.

    With ``AppSettings(outbox_path=...)`` it is kept in a file (SQLite), which several processes may share: a crash, a
    ``kill -9`` or a power failure after ``put()`` has returned loses nothing, and the next process that connects as the
    same user sends it. Without a path it is kept in memory, as long as the client.

    Every message has a ``muid``, made once: should an answer of the service get lost, the message is sent again, and
    the service knows it by that. A message that the service refuses for good (HTTP 4xx) goes to
    :meth:`dead_letters`, and the rest goes on; after any other failure it is tried again, with growing waits.
    A receipt has no answer: it counts as sent once it is written to the socket.

    All methods may be called from any thread, and from inside a callback.
    """

    def __init__(
        self,
        store: OutboxStore,
        delivery: OutboxDelivery,
        *,
        account: Account,
        sender: Sender,
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
        """Take a message. Returns once it is kept; does not wait for its delivery.

        :param message: as ``Client.send_message`` takes it. One whose ``muid`` waits here already is taken once.
        :returns: its ``muid``; a new one where it had none.
        :raises CometChatException: ``USER_NOT_LOGGED_IN``, ``MISSING_PARAMETERS``, ``INVALID_MESSAGE`` and what else
            ``Client.send_message`` says of its argument, ``ERR_OUTBOX_FULL``, ``ERR_OUTBOX_STORE``,
            ``ERR_CLIENT_CLOSED``.
        """
        owner = self._owner()
        self._check_message(message)
        body = self._sender.message_body(message)
        muid = str(body["muid"])
        self._put(owner, "message", muid, body)
        return muid

    def mark_as_delivered(self, message: BaseMessage) -> None:
        """Take a receipt: a message was delivered.

        :param message: as a MessageListener got it.
        :raises CometChatException: as :meth:`put`.
        """
        self._put_receipt(message, "delivered")

    def mark_as_read(self, message: BaseMessage) -> None:
        """Take a receipt: a message was read; see :meth:`mark_as_delivered`."""
        self._put_receipt(message, "read")

    def pending(self) -> int:
        """How many items of the logged-in user wait, those of other processes too.

        :raises CometChatException: ``USER_NOT_LOGGED_IN``, ``ERR_OUTBOX_STORE``, ``ERR_CLIENT_CLOSED``.
        """
        return self._store.pending(self._owner())

    def flush(self, timeout: Optional[float] = None) -> bool:
        """Wait until nothing is pending. It does not connect: while the connection is down, nothing goes out.

        :param timeout: seconds; None: without limit.
        :returns: False: the time is over, or the client was closed.
        :raises CometChatException: ``INVALID_TIMEOUT``, and as :meth:`pending`.
        """
        limit = arguments.timeout(timeout, zero=True)
        owner = self._owner()
        if not self._store.pending(owner):
            return True
        self._delivery.wake()
        return self._delivery.wait_until_empty(lambda: self._store.pending(owner), limit)

    def dead_letters(self) -> List[DeadLetter]:
        """What the service has refused for good, oldest first.

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
        """Take a dead letter up again, as the newest item.

        :returns: False: there is none of this ``muid``, or another item of the same one waits.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_MUID``, and as :meth:`pending`.
        """
        revived = self._store.revive(self._owner(), _muid(muid))
        if revived:
            self._delivery.wake()
        return revived

    def discard(self, muid: str) -> bool:
        """Forget a dead letter.

        :returns: False: there is none of this ``muid``.
        :raises CometChatException: ``MISSING_PARAMETERS``, ``INVALID_MUID``, and as :meth:`pending`.
        """
        return self._store.discard(self._owner(), _muid(muid))

    def _put_receipt(self, message: BaseMessage, action: str) -> None:
        import uuid  # here, and the models, so that importing the package does not load them

        from .models import BaseMessage

        owner = self._owner()
        if not isinstance(message, BaseMessage):
            raise invalid("message", "give a message that a MessageListener got", message)

        self._put(owner, "receipt", f"{action}-{uuid.uuid4()}", self._sender.receipt_body(message, action))

    def _put(self, owner: Owner, kind: str, muid: str, body: dict[str, object]) -> None:
        self._store.put(owner, kind, muid, body, self._limit)
        self._delivery.wake()

    def _owner(self) -> Owner:
        from ._runtime.outbox import Owner

        self._store.check_open()
        session = self._account.require()
        return Owner(session.app_id, session.uid)


def _muid(value: object) -> str:
    return arguments.text("muid", value, "give the muid of a dead letter")
