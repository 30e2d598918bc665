"""What the user sends: messages over HTTP; typing, transient messages and receipts over the socket. Any thread."""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from .._protocol import encode_receipt, encode_transient_message, encode_typing, id_of, message_from_dict
from ..exceptions import CometChatException, invalid, missing, unusable
from ..models import BaseMessage, CustomMessage, TextMessage, User
from .account import Account
from .arguments import is_unicode
from .connection import Connection

#: Seconds in which one receiver is told once that somebody types.
TYPING_INTERVAL = 5.0

_USER_KEYS = ("uid", "name", "avatar", "role", "status")


class Sender:
    """Sends for one account.

    :param sent: told of the id of each message that was sent.
    :param clock: monotonic seconds.
    :param new_uuid: makes the ``muid`` of a message that has none.
    :param timeout: seconds to find room in the socket.
    """

    def __init__(
        self,
        account: Account,
        connection: Connection,
        sent: Callable[[Optional[str]], None],
        *,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
        new_uuid: Callable[[], object] = uuid.uuid4,
    ) -> None:
        self._account = account
        self._connection = connection
        self._sent = sent
        self._timeout = timeout
        self._clock = clock
        self._new_uuid = new_uuid
        self._lock = threading.Lock()
        self._typing: Dict[Tuple[str, str], float] = {}

    def send_message(self, message: BaseMessage) -> BaseMessage:
        """Send over HTTP; the stored message comes back."""
        return self.post(self.message_body(message))

    def as_from_here(self, body: Dict[str, Any]) -> Dict[str, Any]:
        """A body that was made earlier, by another process maybe: this connection is what sends it."""
        return {**body, "data": {**body["data"], "resource": self._account.resource}}

    def post(self, body: Dict[str, Any]) -> BaseMessage:
        """Send what :meth:`message_body` has made."""
        stored = self._account.send_message(body)
        self._sent(id_of(stored))
        return message_from_dict(stored)

    def message_body(self, message: BaseMessage) -> Dict[str, Any]:
        """The body of ``POST /messages``. Made once for a message: its ``muid`` tells a repetition."""
        data: Dict[str, Any] = {"resource": self._account.resource}
        if isinstance(message, TextMessage):
            kind, data["text"] = "text", message.text
        elif isinstance(message, CustomMessage):
            kind, data["customData"] = message.type or "", dict(message.custom_data)
            if message.sub_type:
                data["subType"] = message.sub_type
        else:
            raise invalid("message", "give a TextMessage or a CustomMessage", message)
        if message.metadata:
            data["metadata"] = dict(message.metadata)
        body: Dict[str, Any] = {
            "receiver": message.receiver_id,
            "receiverType": message.receiver_type,
            "category": "message" if isinstance(message, TextMessage) else "custom",
            "type": kind,
            "muid": message.muid or str(self._new_uuid()),
            "data": data,
        }
        if message.tags:
            body["tags"] = list(message.tags)
        if message.parent_message_id:
            body["parentId"] = message.parent_message_id
        return body

    def typing(self, receiver_id: str, receiver_type: str, metadata: Optional[Dict[str, Any]], started: bool) -> None:
        """Tell that the user types, once per 5 s and receiver; or types no longer."""
        self._check_transient()
        key = (receiver_type, receiver_id)
        now = self._clock()
        with self._lock:
            if started and now - self._typing.get(key, -TYPING_INTERVAL) < TYPING_INTERVAL:
                return
            self._typing = {other: at for other, at in self._typing.items() if now - at < TYPING_INTERVAL}
            if started:
                self._typing[key] = now
        identity = self._account.identity(self._account.require())
        frame = encode_typing(identity, receiver_id, receiver_type, self._user(), started=started, metadata=metadata)
        try:
            self._connection.send(frame, self._timeout)
        except CometChatException:
            with self._lock:
                self._typing.pop(key, None)  # nobody was told
            raise

    def transient_message(self, receiver_id: str, receiver_type: str, data: Dict[str, Any]) -> None:
        """Send a message that is not stored."""
        self._check_transient()
        identity = self._account.identity(self._account.require())
        frame = encode_transient_message(identity, receiver_id, receiver_type, self._user(), data)
        self._connection.send(frame, self._timeout)

    def receipt(self, message: BaseMessage, action: str) -> None:
        """Tell the sender of a message that it was delivered or read."""
        self._check_transient()
        self.send_receipt(self.receipt_body(message, action))

    def receipt_body(self, message: BaseMessage, action: str) -> Dict[str, Any]:
        """What :meth:`send_receipt` sends."""
        sender = message.sender.uid if isinstance(message.sender, User) else message.sender
        values = {"id": message.id, "sender": sender, "receiver_type": message.receiver_type}
        if not all(values.values()) or message.receiver_type not in ("user", "group"):
            raise missing("message", "give a message that was received, with its id, sender and receiver_type")
        for name, value in {**values, "receiver_id": message.receiver_id or "-"}.items():
            if not isinstance(value, str) or not is_unicode(value):
                raise unusable("message", f"give a message that was received: its {name} is no text")
        return {
            "uid": self._account.require().uid,
            "action": action,
            "messageId": message.id,
            "messageSender": sender,
            "receiver": (message.receiver_id or "") if message.receiver_type == "group" else sender,
            "receiverType": message.receiver_type,
        }

    def send_receipt(self, body: Mapping[str, Any]) -> None:
        """Send a receipt; there is no answer to it."""
        frame = encode_receipt(
            self._account.identity(self._account.require()),
            body["receiver"],
            body["receiverType"],
            self._user(),
            action=body["action"],
            message_id=body["messageId"],
            message_sender=body["messageSender"],
        )
        self._connection.send(frame, self._timeout)

    def _check_transient(self) -> None:
        self._account.require()
        self._connection.check_transient()

    def _user(self) -> Dict[str, Any]:
        session = self._account.require()
        user = {key: session.user[key] for key in _USER_KEYS if session.user.get(key) is not None}
        return {**user, "uid": session.uid}
