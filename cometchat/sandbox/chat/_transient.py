"""Events that are not stored: typing, transient messages, receipts over the socket, and presence."""

from __future__ import annotations

import time
from typing import Any, Dict

from ._conversations import Conversation, Conversations
from ._errors import ApiError
from ._publisher import Frame, Publisher
from ._receipts import Receipts
from ._users import Users


class Transient:
    """The frames of one app that are not stored."""

    def __init__(
        self, users: Users, conversations: Conversations, receipts: Receipts, publisher: Publisher
    ) -> None:
        self._users = users
        self._conversations = conversations
        self._receipts = receipts
        self._publisher = publisher

    def route(self, uid: str, frame: Frame, resource: str) -> None:
        """Send a client's frame to its receiver's sockets. Frames of deactivated users or to unknown users are dropped.

        A frame to a group goes to the sockets of its members, also to the sender's other sockets. The sender must be a
        member.
        """
        try:
            user = self._users.get(uid)
            conversation = self._conversations.to(uid, frame["receiver"], frame["receiverType"])
        except ApiError:
            return
        body = {**frame["body"], "user": self._users.on_socket(user)}
        if frame["type"] == "receipts":
            body.update(messageId=str(body["messageId"]), timestamp=int(time.time()))
        routed = {**frame, "sender": uid, "receiver": conversation.receiver, "body": body}
        self._publisher.send(routed, self._conversations.listeners(uid, conversation), uid, resource)
        if frame["type"] == "receipts":
            self._mark(uid, conversation, body, resource)

    def show_typing(self, sender: str, receiver: str, receiver_type: str, resource: str, *, started: bool) -> None:
        """Notify the receiver that the sender starts or stops typing.

        :raises ApiError: the receiver does not exist, or the sender is not in the group.
        """
        conversation = self._conversations.to(sender, receiver, receiver_type)
        body = {
            "action": "started" if started else "ended",
            "user": self._users.on_socket(self._users.get(sender)),
            "metadata": {},
        }
        frame = self._publisher.frame(
            "typing_indicator", sender, conversation.receiver, receiver_type, resource, body=body
        )
        self._publisher.send(frame, self._conversations.listeners(sender, conversation), sender, resource)

    def announce(self, uid: str, resource: str, *, online: bool) -> None:
        """Send a user's presence to the users who asked for it."""
        user = self._users.get(uid)
        user.last_active_at = int(time.time())
        body = {
            "action": "online" if online else "offline",
            "user": self._users.on_socket(user, online),
            "timestamp": user.last_active_at,
        }
        self._publisher.announce(self._publisher.frame("presence", user.uid, "", "", resource, body=body), user)

    def _mark(self, uid: str, conversation: Conversation, body: Dict[str, Any], resource: str) -> None:
        try:
            message = self._receipts.find(uid, conversation, body["messageId"])
        except ApiError:
            return  # a receipt for a message that the user does not see
        self._receipts.mark(uid, conversation, body["action"], message, resource)
