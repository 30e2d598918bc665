"""Conversations: their users, the last message of each, and the unread messages."""

from __future__ import annotations

import time
from typing import Any, Dict, FrozenSet, List, NamedTuple, Optional, Tuple

from ._errors import ApiError, refusal
from ._features import Features
from ._fields import check_tags
from ._groups import Groups
from ._history import History, Message, other_side
from ._publisher import Publisher
from ._users import Users, conversation_of_users


class Conversation(NamedTuple):
    """A conversation with its receiver, as one of its users sees it."""

    id: str
    #: A uid or a guid, by ``receiver_type``.
    receiver: str
    receiver_type: str
    #: Its users, including the one who asked.
    uids: FrozenSet[str]


class Conversations:
    """The app's conversations."""

    def __init__(
        self, users: Users, groups: Groups, history: History, features: Features, publisher: Publisher
    ) -> None:
        self._users = users
        self._groups = groups
        self._history = history
        self._features = features
        self._publisher = publisher
        #: By uid and conversation: the user's tags, and the time at which the user pinned it.
        self._tags: Dict[Tuple[str, str], List[str]] = {}
        self._pinned_at: Dict[Tuple[str, str], int] = {}

    def of(self, uid: str, receiver: str, receiver_type: str) -> Conversation:
        """Return the conversation that a user wants to read.

        :raises ApiError: the receiver does not exist, or the user is not in the group.
        """
        return self._find(uid, receiver, receiver_type, "ERR_GROUP_NOT_JOINED")

    def to(self, sender: str, receiver: str, receiver_type: str) -> Conversation:
        """Return the conversation that a user wants to write to.

        :raises ApiError: as :meth:`of`.
        """
        return self._find(sender, receiver, receiver_type, "ERR_NOT_A_MEMBER")

    def entity(self, conversation: Conversation) -> Dict[str, Any]:
        """Return the receiver as messages show it."""
        if conversation.receiver_type == "group":
            return self._groups.entity(self._groups.get(conversation.receiver))
        return self._users.entity(conversation.receiver)

    def listeners(self, uid: str, conversation: Conversation) -> FrozenSet[str]:
        """Return the users who get a transient frame of a user. A block between two users stops it."""
        if conversation.receiver_type == "group":
            return conversation.uids
        divided = self._users.divided(uid, conversation.receiver)
        return frozenset() if divided else frozenset({conversation.receiver})

    def audience(self, message: Message) -> FrozenSet[str]:
        """Return the users who get a change of a message. Users who have blocked its sender do not get it."""
        if message["receiverType"] == "group":
            return frozenset(self._groups.get(message["receiver"]).members)
        sender, receiver = message["sender"], message["receiver"]
        heard = self._history.sees(receiver, message["id"])
        return frozenset({sender, receiver} if heard else {sender})

    def list(self, uid: str) -> List[Dict[str, Any]]:
        """Return a user's conversations, the latest first. Conversations of deleted groups are left out."""
        found = (self.shown(uid, conversation) for conversation in self._history.conversations(uid))
        return [conversation for conversation in found if conversation is not None]

    def get(self, uid: str, conversation: Conversation) -> Dict[str, Any]:
        """Return a conversation as a user sees it.

        :raises ApiError: it has no message yet.
        """
        shown = self.shown(uid, conversation.id)
        if shown is None:
            raise refusal("ERR_CONVERSATION_NOT_ACCESSIBLE", id=conversation.receiver)
        return shown

    def pin(self, uid: str, conversation: Conversation, resource: str, *, pinned: bool) -> Dict[str, Any]:
        """Pin or unpin a conversation for a user, and notify the user's sockets. Returns it with its changes.

        No-op if it already is so.

        :raises ApiError: it has no message yet, or the user has pinned too many conversations.
        """
        key, limit = (uid, conversation.id), self._features.limit("conversations.pinned")
        shown = self.get(uid, conversation)
        if pinned == (key in self._pinned_at):
            return shown
        if not pinned:
            del self._pinned_at[key]
        elif sum(user == uid for user, _ in self._pinned_at) >= limit:
            raise refusal("ERR_PINNED_CONVERSATIONS_LIMIT_EXCEEDED", limit=str(limit))
        else:
            self._pinned_at[key] = int(time.time())
        shown = self.get(uid, conversation)
        body = {"action": f"conversation_{'pinned' if pinned else 'unpinned'}", "conversation": shown}
        kind, receiver = conversation.receiver_type, conversation.receiver
        frame = self._publisher.frame("conversation_pin", uid, receiver, kind, resource, body=body)
        self._publisher.send(frame, [uid], uid, resource)
        return shown

    def tag(self, uid: str, conversation: Conversation, tags: Any) -> Dict[str, Any]:
        """Replace a user's tags of a conversation. Returns it with its changes.

        :raises ApiError: it has no message yet, or the tags are wrong.
        """
        self.get(uid, conversation)
        self._tags[uid, conversation.id] = check_tags(tags)
        return self.get(uid, conversation)

    def delete(self, uid: str, conversation: Conversation) -> None:
        """Remove a conversation and its messages from a user's view. The other users keep it.

        :raises ApiError: it has no message yet.
        """
        self.get(uid, conversation)
        self._history.forget(uid, conversation.id)
        for marks in (self._tags, self._pinned_at):
            marks.pop((uid, conversation.id), None)

    def shown(self, uid: str, conversation: str) -> Optional[Dict[str, Any]]:
        """Return a conversation as a user sees it, or None if it has no message or its group was deleted."""
        latest = self._history.latest(uid, conversation)
        if latest is None:
            return None
        try:
            other = self._other_side(uid, latest)
        except ApiError:
            return None
        unread = self._history.unread(uid, conversation)
        read = self._history.mark("read", uid, conversation)
        fields: Dict[str, Any] = {
            "conversationId": conversation,
            "conversationType": latest["receiverType"],
            "createdAt": self._history.first(uid, conversation)["sentAt"],
            "updatedAt": latest["sentAt"],
            "unreadMessageCount": len(unread),
            "unreadMentionsCount": sum(uid in message["data"].get("mentions", ()) for message in unread),
            "latestMessageId": latest["id"],
            "lastMessage": self._publisher.views.of(latest, uid),
            "conversationWith": other,
        }
        if read:
            fields["lastReadMessageId"] = str(read)
        if (uid, conversation) in self._tags:
            fields["tags"] = self._tags[uid, conversation]
        if (uid, conversation) in self._pinned_at:
            fields.update(pinnedAt=self._pinned_at[uid, conversation], pinnedBy=uid)
        return fields

    def _find(self, uid: str, receiver: str, receiver_type: str, not_in_it: str) -> Conversation:
        if receiver_type == "group":
            group = self._groups.get(receiver)
            if not group.admits(uid):
                raise refusal(not_in_it, uid=uid, guid=group.guid)
            return Conversation(group.conversation, group.guid, "group", frozenset(group.members))
        if receiver_type != "user":
            raise refusal("ERR_INVALID_RECEIVER_TYPE")
        other = self._users.get(receiver).uid
        return Conversation(conversation_of_users(uid, other), other, "user", frozenset({uid, other}))

    def _other_side(self, uid: str, message: Message) -> Dict[str, Any]:
        other = other_side(message, uid)
        if message["receiverType"] == "group":
            return self._groups.shown(self._groups.get(other), uid)
        return self._users.shown(self._users.get(other), self._users.get(uid))
