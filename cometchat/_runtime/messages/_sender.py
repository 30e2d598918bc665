"""Sends for the user: messages over HTTP; typing, transient messages, receipts, pings over the socket. Any thread."""

from __future__ import annotations

import time
import uuid
from typing import Any, Callable, Dict, Mapping, Optional, Tuple, Union
from urllib.parse import quote

from ..._protocol._endpoints import MODE_DEFAULT, MODE_LIMITED
from ..._protocol._frames import PING, Identity, Ping, encode_receipt, encode_transient_message, encode_typing, id_of
from ..._protocol._states import UP_STATUSES, CometChatWSState
from ..._transport._form import Form
from ..._transport._interfaces import Socket
from ...exceptions import (
    ERR_FEATURE_THROTTLED,
    ERR_PONG_TIMEOUT,
    NO_WEBSOCKET_CONNECTION,
    RECEIPTS_TEMPORARILY_BLOCKED,
    CometChatException,
    client_closed,
    copy_of,
    exception_for,
    missing,
    unusable,
)
from ...models import BaseMessage, CustomMessage, TextMessage, User
from ...models._message import message_from_dict
from .._arguments import is_path_part, is_unicode, quoted
from .._threads import Wakeup
from ..account import Account, Session, lacks
from ..connection import ConnectionState, FrameLog
from ..delivery import Inbox

#: Minimum time between two typing indicators to one receiver, in seconds.
TYPING_INTERVAL = 5.0

_USER_KEYS = ("uid", "name", "avatar", "role", "status")


class Sender:
    """Sends for one account, on the current socket of its connection and over HTTP.

    :param clock: monotonic seconds.
    :param new_uuid: makes the ``muid`` of a message without one.
    :param timeout: maximum wait for room in the socket, in seconds.
    """

    def __init__(
        self,
        account: Account,
        state: ConnectionState,
        inbox: Inbox,
        *,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
        new_uuid: Callable[[], object] = uuid.uuid4,
    ) -> None:
        self._account = account
        self._state = state
        self._inbox = inbox
        self._timeout = timeout
        self._frames = FrameLog(account)
        self._clock = clock
        self._new_uuid = new_uuid
        self._lock = account.lock
        self._typing: Dict[Tuple[str, str, str], float] = {}

    def send(self, message: BaseMessage) -> BaseMessage:
        """Send over HTTP. Returns the stored message."""
        return self.send_message(self.message_body(message))

    def send_message(self, body: Dict[str, Any], uid: Optional[str] = None) -> BaseMessage:
        """Send a body from :meth:`message_body`, possibly made earlier or in another process. Returns the message.

        :param uid: of its sender; None if any user may send it.
        """
        body = {**body, "data": {**body["data"], "resource": self._account.resource}}
        return self.post(body, body, uid)

    def post(self, body: Mapping[str, Any], content: Union[Mapping[str, Any], Form], uid: Optional[str]) -> BaseMessage:
        """Post a message. Returns the message from the service's answer.

        Notes its id, so that it is not delivered again from the history.

        :param body: the message.
        :param content: ``body``, or a form with its fields and its file.
        :param uid: as for :meth:`send_message`.
        """
        parent = body.get("parentId")
        path = f"/messages/{quote(str(parent), safe='')}/thread" if parent else "/messages"
        answer = self._account.request("POST", path, content, uid=uid)
        message_id = id_of(answer)
        if message_id is None:
            raise lacks("message")
        self._inbox.sent(message_id)
        # The answer may lack them. Then the result has the class of what was sent.
        return message_from_dict({"category": body["category"], "type": body["type"], **answer})

    def message_body(self, message: BaseMessage) -> Dict[str, Any]:
        """Return the body for ``POST /messages``. It is made once per message: its ``muid`` marks a repetition."""
        data: Dict[str, Any] = {"resource": self._account.resource}
        if isinstance(message, TextMessage):
            kind, data["text"] = "text", message.text
        else:
            assert isinstance(message, CustomMessage)  # the caller has checked it
            kind = message.type or ""
            data.update(_custom_data(message))
        if message.metadata:
            data["metadata"] = dict(message.metadata)
        body: Dict[str, Any] = {
            "receiver": (message.receiver_id or "").lower(),
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
        quoted_id = quoted(message)
        if quoted_id is not None:
            body["quotedMessageId"] = quoted_id
        return body

    def typing(self, receiver_id: str, receiver_type: str, metadata: Optional[Dict[str, Any]], started: bool) -> None:
        """Send that the user is typing (once per 5 s and receiver) or stopped. A start after a stop is always sent."""
        self._check_transient("typing")
        key = (self._account.require().uid, receiver_type, receiver_id)
        now = self._clock()
        with self._lock:
            if started and now - self._typing.get(key, -TYPING_INTERVAL) < TYPING_INTERVAL:
                return
            self._typing = {other: at for other, at in self._typing.items() if now - at < TYPING_INTERVAL}
            if started:
                self._typing[key] = now
            else:
                self._typing.pop(key, None)  # the next start is sent
        try:
            socket, identity, user = self._open_socket()
            frame = encode_typing(identity, receiver_id, receiver_type, user, started=started, metadata=metadata)
            self._send_frame(socket, frame)
        except CometChatException:
            with self._lock:
                self._typing.pop(key, None)  # it was not sent
            raise

    def transient_message(self, receiver_id: str, receiver_type: str, data: Dict[str, Any]) -> None:
        """Send a transient message."""
        self._check_transient("transient")
        socket, identity, user = self._open_socket()
        self._send_frame(socket, encode_transient_message(identity, receiver_id, receiver_type, user, data))

    def receipt(self, message: BaseMessage, action: str) -> None:
        """Tell the sender of a message that it was delivered or read."""
        self._check_transient("receipt")
        body = self.receipt_body(message, action)
        socket, identity, user = self._open_socket()
        frame = encode_receipt(
            identity,
            body["receiver"],
            body["receiverType"],
            user,
            action=body["action"],
            message_id=body["messageId"],
            message_sender=body["messageSender"],
        )
        self._send_frame(socket, frame)

    def receipt_body(self, message: BaseMessage, action: str) -> Dict[str, Any]:
        """Return what :meth:`send_receipt` sends."""
        sender = message.sender.uid if isinstance(message.sender, User) else message.sender
        values = {"id": message.id, "sender": sender, "receiver_type": message.receiver_type}
        if not all(values.values()) or message.receiver_type not in ("user", "group"):
            raise missing("message", "a received message with its id, sender and receiver_type")
        for name, value in {**values, "receiver_id": message.receiver_id or "-"}.items():
            if not isinstance(value, str) or not is_unicode(value):
                raise unusable("message", f"a received message whose {name} is a string")
        receiver = str((message.receiver_id or "") if message.receiver_type == "group" else sender)
        if not is_path_part(receiver):
            raise unusable("message", "a received message from a possible sender or group")
        return {
            "uid": self._account.require().uid,
            "action": action,
            "messageId": message.id,
            "messageSender": str(sender).lower(),
            "receiver": receiver.lower(),
            "receiverType": message.receiver_type,
        }

    def send_receipt(self, body: Mapping[str, Any], uid: str) -> None:
        """Send a user's receipt over HTTP, whose answer tells the outbox that it arrived.

        The path is that of the vendor's Android client.
        """
        kind = "groups" if body["receiverType"] == "group" else "users"
        path = f"/{kind}/{quote(body['receiver'], safe='')}/conversation/{body['action']}"
        self._account.request("POST", path, {"messageId": body["messageId"]}, uid=uid)

    def sendable(self) -> Tuple[str, ...]:
        """Return the kinds of outbox items that may be sent now. Empty while the connection is down."""
        status = self._state.status
        if status is CometChatWSState.CONNECTED:
            return "message", "receipt"
        return ("message",) if status is CometChatWSState.FEATURE_THROTTLED else ()

    def ping(self, timeout: float) -> float:
        """Send a ping and wait for its pong. Returns the round trip in seconds.

        :param timeout: maximum time for both, in seconds.
        :raises CometChatException: ``USER_NOT_LOGGED_IN``, ``NO_WEBSOCKET_CONNECTION``, ``ERR_PONG_TIMEOUT``,
            ``WS_CONNECTION_FAIL``, ``ERR_CLIENT_CLOSED``.
        """
        ends, done = self._clock() + timeout, Wakeup()
        generation = self._state.newest
        socket = generation.socket if generation is not None else None
        ping = Ping(self._clock(), done.set)
        if generation is None or socket is None or not generation.add_ping(ping):
            self._account.require()
            raise self._not_connected("ping")
        try:
            socket.send(PING, timeout)
            self._frames.sent(PING)
            ended = done.wait(max(0.0, ends - self._clock()))
        finally:
            generation.remove_ping(ping)
        if ping.round_trip is not None:
            return ping.round_trip
        if ended:
            if self._state.closed:
                raise client_closed()
            message = "The connection was closed while ping() waited."
            raise copy_of(ping.error or exception_for(NO_WEBSOCKET_CONNECTION, message))
        raise exception_for(ERR_PONG_TIMEOUT, f"No pong came within {timeout:g} s.")

    def _open_socket(self) -> Tuple[Socket, Identity, Dict[str, Any]]:
        """Return the socket of the connection that is up, its identity, and the user for whom it was opened."""
        generation, session = self._state.newest, self._account.require()
        socket = generation.socket if generation is not None and generation.heartbeat is not None else None
        credentials = generation.credentials if generation is not None else None
        # Another user may have logged in since this call began.
        if socket is None or credentials is None or not session.is_of(credentials.identity.uid):
            raise self._not_connected("send on")
        return socket, credentials.identity, _user_of(session)

    def _send_frame(self, socket: Socket, frame: str) -> None:
        socket.send(frame, self._timeout)
        self._frames.sent(frame)

    def _check_transient(self, kind: str) -> None:
        """Check that the service accepts transient frames of a kind now.

        :param kind: ``"typing"``, ``"receipt"`` or ``"transient"``.
        :raises CometChatException: ``USER_NOT_LOGGED_IN``, ``NO_WEBSOCKET_CONNECTION``, ``ERR_FEATURE_THROTTLED``,
            ``RECEIPTS_TEMPORARILY_BLOCKED``.
        """
        self._account.require()
        if self._state.status not in UP_STATUSES:
            raise self._not_connected("send on")
        mode = self._account.mode
        if mode == MODE_DEFAULT or (mode == MODE_LIMITED and kind == "transient"):
            return
        if kind == "receipt":
            raise exception_for(
                RECEIPTS_TEMPORARILY_BLOCKED,
                "The service does not accept receipts now. outbox.mark_as_read() keeps them and sends them later.",
            )
        raise exception_for(
            ERR_FEATURE_THROTTLED, "The service does not accept typing indicators, receipts and transient messages now."
        )

    def _not_connected(self, to: str) -> CometChatException:
        return exception_for(
            NO_WEBSOCKET_CONNECTION, f"There is no connection to {to}: it is {self._state.status}."
        )


def _user_of(session: Session) -> Dict[str, Any]:
    user = {key: session.user[key] for key in _USER_KEYS if session.user.get(key) is not None}
    if "status" in user:
        user["status"] = "online"  # the API says "available" where the socket says "online" (observed)
    return {**user, "uid": session.uid}


def _custom_data(message: CustomMessage) -> Dict[str, Any]:
    """Return what only a custom message has, under the keys that the vendor's clients read."""
    fields = {
        "customData": dict(message.custom_data),
        "subType": message.sub_type or None,
        "text": message.conversation_text or None,
        "updateConversation": message.update_conversation,
        "sendNotification": message.send_notification,
    }
    return {key: value for key, value in fields.items() if value is not None}
