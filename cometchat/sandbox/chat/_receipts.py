"""Receipts: how far users have received and read, the fields of messages for that, and the frames."""

from __future__ import annotations

import time
from typing import Any, Collection, Dict, List, Optional

from ._conversations import Conversation, Conversations
from ._errors import refusal
from ._history import History, Message
from ._publisher import Publisher
from ._users import Users

#: Maximum members of a group whose messages count as received or read once all members have received or read them.
LARGEST_GROUP = 300

_FIELDS = {"delivered": "deliveredAt", "read": "readAt"}


class Receipts:
    """The receipts of one app."""

    def __init__(
        self, users: Users, conversations: Conversations, history: History, publisher: Publisher
    ) -> None:
        self._users = users
        self._conversations = conversations
        self._history = history
        self._publisher = publisher
        #: Whether the app has "Enhanced Messaging Status".
        self._of_all = False

    def enhance(self, enabled: bool) -> None:
        """Switch on or off the frames that notify senders when a whole group has received or read."""
        self._of_all = enabled

    def post(
        self, uid: str, conversation: Conversation, action: str, message_id: Optional[str], resource: str
    ) -> None:
        """Mark a conversation up to a message (None: to its end), and notify its users.

        :param action: ``delivered`` or ``read``.
        :raises ApiError: the conversation has no such message.
        """
        if message_id is None:
            message = self._history.latest(uid, conversation.id)
            if message is None:
                return
        else:
            message = self.find(uid, conversation, message_id)
        if message["sender"] != uid:
            self._send(uid, conversation, action, message, self._conversations.listeners(uid, conversation), resource)
        self.mark(uid, conversation, action, message, resource)

    def of(self, message: Message, uid: str) -> Dict[str, int]:
        """Return the times at which a user has received and read a message, without a time that is missing."""
        number, conversation = int(message["id"]), message["conversationId"]
        times = {_FIELDS[action]: self._history.marked_at(action, uid, conversation, number) for action in _FIELDS}
        return {field: at for field, at in times.items() if at is not None}

    def shown(self, message: Message) -> List[Dict[str, Any]]:
        """Return the receipts of all users who have received a message."""
        uids = [uid for uid in self._history.marked_by(message["conversationId"]) if uid != message["sender"]]
        found = [(uid, self.of(message, uid)) for uid in uids if self._history.sees(uid, message["id"])]
        return [{"recipient": self._users.shown(self._users.known(uid)), **times} for uid, times in found if times]

    def find(self, uid: str, conversation: Conversation, message_id: str) -> Message:
        """Return a message of the conversation, if the user sees it.

        :raises ApiError: it does not exist there.
        """
        message = self._history.get(message_id)
        if message["conversationId"] != conversation.id or not self._history.sees(uid, message_id):
            raise refusal("ERR_MESSAGE_ID_NOT_FOUND", id=message_id)
        return message

    def mark(self, uid: str, conversation: Conversation, action: str, message: Message, resource: str) -> None:
        """Record that a user has received or read a conversation up to a message. Reading includes receiving."""
        if action == "read":
            self._advance(uid, conversation, "delivered", int(message["id"]), resource)
        self._advance(uid, conversation, action, int(message["id"]), resource)

    def _advance(self, uid: str, conversation: Conversation, action: str, number: int, resource: str) -> None:
        before = self._history.mark(action, uid, conversation.id)
        if number <= before:
            return
        self._history.set_mark(action, uid, conversation.id, number)
        covered = self._history.of_others(uid, conversation.id, before, number)
        if conversation.receiver_type == "group":
            covered = self._complete(conversation, action, covered)
        for message in covered:
            self._history.replace(message["id"], **{_FIELDS[action]: int(time.time())})
        if conversation.receiver_type == "group" and self._of_all:
            self._tell_all(uid, conversation, action, covered, resource)

    def _complete(self, conversation: Conversation, action: str, messages: List[Message]) -> List[Message]:
        """Return the messages of a group that have been received or read by every other member who sees them."""
        if len(conversation.uids) > LARGEST_GROUP:
            return []
        marks = {uid: self._history.mark(action, uid, conversation.id) for uid in conversation.uids}
        return [message for message in messages if self._is_complete(message, marks)]

    def _is_complete(self, message: Message, marks: Dict[str, int]) -> bool:
        number = int(message["id"])
        return all(
            mark >= number or uid == message["sender"] or not self._history.sees(uid, message["id"])
            for uid, mark in marks.items()
        )

    def _tell_all(
        self, uid: str, conversation: Conversation, action: str, messages: List[Message], resource: str
    ) -> None:
        """Notify each sender of the latest message that all others have received or read."""
        of_all = "deliveredToAll" if action == "delivered" else "readByAll"
        for sender, message in {message["sender"]: message for message in messages}.items():
            self._send(uid, conversation, of_all, message, [sender], resource)

    def _send(
        self,
        uid: str,
        conversation: Conversation,
        action: str,
        message: Message,
        hearers: Collection[str],
        resource: str,
    ) -> None:
        """Send the receipt of a user for a message."""
        body = {
            "action": action,
            "messageId": message["id"],
            "user": self._users.on_socket(self._users.get(uid)),
            "timestamp": int(time.time()),
        }
        kind, receiver, sender = conversation.receiver_type, conversation.receiver, message["sender"]
        frame = self._publisher.frame("receipts", uid, receiver, kind, resource, messageSender=sender, body=body)
        self._publisher.send(frame, hearers, uid, resource)
