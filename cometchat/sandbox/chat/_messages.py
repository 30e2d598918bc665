"""Messages, and what users do with them: send, edit, delete, react, use, moderate, pin and save."""

from __future__ import annotations

import time
from typing import Any, Dict, FrozenSet, List, Mapping, Optional

from ._content import (
    CATEGORIES,
    SERVICE_CATEGORIES,
    check_content,
    check_envelope,
    check_size,
    mentions,
)
from ._conversations import Conversation, Conversations
from ._errors import bad_request, refusal
from ._features import Features
from ._fields import check_tags
from ._groups import Groups
from ._history import History, Message, other_side
from ._publisher import Publisher, Saved
from ._reactions import Reaction, Reactions
from ._threads import Threads
from ._users import APP, Users

#: The results of moderation.
MODERATION_STATUSES = ("unmoderated", "pending", "approved", "disapproved")

#: The parts of a message's data that an edit does not change and a deletion does not remove.
_KEPT = ("entities", "reactions", "resource", "moderation")


class Messages:
    """One app's messages, and the actions of users. Every method raises ``ApiError`` if the user may not act."""

    def __init__(
        self,
        users: Users,
        groups: Groups,
        conversations: Conversations,
        history: History,
        reactions: Reactions,
        threads: Threads,
        features: Features,
        saved: Saved,
        publisher: Publisher,
    ) -> None:
        self._users = users
        self._groups = groups
        self._conversations = conversations
        self._history = history
        self._reactions = reactions
        self._threads = threads
        self._features = features
        self._saved = saved
        self._publisher = publisher

    def send(
        self,
        sender: str,
        body: Any,
        resource: str,
        parent_id: Optional[str] = None,
        *,
        played: bool = False,
    ) -> Message:
        """Store a posted message. Returns it, or the old one for a repeated muid.

        :param resource: the name of the sending client.
        :param parent_id: the message that it replies to. It overrides the body.
        :param played: the sandbox itself plays the sender, and may send more than a client.
        """
        if not isinstance(body, dict):
            raise bad_request("body", "is not a JSON object")
        parent_id = _text_id(body, "parentId", "parentMessageId") if parent_id is None else parent_id
        if parent_id is not None:
            self.seen(parent_id, sender)
        check_envelope(body, (*CATEGORIES, *SERVICE_CATEGORIES) if played else CATEGORIES)
        before = self._history.sent_before(sender, body.get("muid"))
        if before is not None:
            return before
        if not played:
            check_content(body["category"], body["type"], body["data"])
            check_size(body)
        conversation = self._conversations.to(sender, body["receiver"], body["receiverType"])
        message = self._compose(sender, conversation, body, resource)
        if parent_id is not None:
            message["parentId"] = self._parent(parent_id, conversation)
        quoted = _text_id(body, "quotedMessageId")
        if quoted is not None:
            message["quotedMessage"] = self._quoted(quoted, sender, conversation)
        stored = self._publisher.store(message, self._viewers(sender, conversation), resource)
        if parent_id is not None:
            self._history.replace(parent_id, replyCount=len(self._history.replies(parent_id)))
            # A reply subscribes its sender to the thread, and a mention in a reply subscribes the mentioned user.
            self._threads.subscribe(parent_id, {sender, *stored["data"].get("mentions", ())})
        return stored

    def edit(self, message_id: str, body: Mapping[str, Any], by: str, resource: str) -> Message:
        """Replace the data and tags of a message. Returns the action of the edit, with the changed message in it."""
        message = self._changeable(message_id, by)
        data = body.get("data")
        if not isinstance(data, dict):
            raise refusal("ERR_INVALID_MESSAGE_DATA", problem="is missing, or not an object")
        check_content(message["category"], message["type"], data)
        check_size(body)
        kept = {key: value for key, value in message["data"].items() if key in _KEPT}
        mentioned = mentions(data.get("text"), self._users)
        new = {key: value for key, value in data.items() if key != "mentions"}
        changed = {**new, **kept, **({} if mentioned is None else {"mentions": mentioned})}
        tags = {"tags": check_tags(body["tags"])} if "tags" in body else {}
        return self._change(message_id, by, resource, "edited", data=changed, **tags)

    def delete(self, message_id: str, by: str, resource: str) -> Message:
        """Mark a message as deleted and remove its content. Returns the action of the deletion."""
        message = self._changeable(message_id, by)
        kept = {key: value for key, value in message["data"].items() if key in _KEPT}
        return self._change(message_id, by, resource, "deleted", data=kept, pinnedAt=None, pinnedBy=None)

    def react(self, message_id: str, uid: str, reaction: str, resource: str, *, added: bool) -> Message:
        """Add or remove a reaction to a message. Returns the message with its changes. A repetition changes nothing."""
        message = self.seen(message_id, uid)
        if message["receiverType"] == "group":
            self._groups.get(message["receiver"]).member(uid)
        if not reaction:
            raise bad_request("reaction", "is empty")
        change = self._reactions.change(message_id, uid, reaction, added)
        if change is None:
            return message
        data = {**message["data"], "reactions": self._reactions.counts(message_id)}
        changed = self._history.replace(message_id, data=data)
        # Flat: the vendor's clients expect every field of it here.
        body: Dict[str, Any] = {
            "action": f"message_reaction_{'added' if added else 'removed'}",
            "conversationId": message["conversationId"],
            **self.shown(change),
        }
        if "parentId" in message:
            body["parentId"] = message["parentId"]
        self._send_frame(message, "reaction", uid, resource, self._conversations.audience(message), body=body)
        return changed

    def shown(self, reaction: Reaction) -> Dict[str, Any]:
        """Return a reaction as the API shows it."""
        return {**reaction.fields, "reactedBy": self._users.shown(self._users.known(reaction.uid))}

    def interact(self, message_id: str, uid: str, elements: Any, resource: str) -> None:
        """Notify a message's sender that the user has used one of its elements."""
        message = self.seen(message_id, uid)
        if not isinstance(elements, list) or not elements or not all(isinstance(name, str) for name in elements):
            raise bad_request("interactions", "is missing, or not a list of texts")
        now = int(time.time())
        body = {
            "messageId": message_id,
            "user": self._users.on_socket(self._users.get(uid)),
            "interactions": [{"elementId": name, "interactedAt": now} for name in elements],
            "timestamp": now,
        }
        sender = message["sender"]
        self._send_frame(message, "interaction_completed", uid, resource, [sender], messageSender=sender, body=body)

    def moderate(self, message_id: str, status: str, resource: str) -> Message:
        """Set the moderation status of a message and notify its sender. Returns the message with its changes."""
        if status not in MODERATION_STATUSES:
            raise bad_request("status", f"must be one of {', '.join(MODERATION_STATUSES)}")
        message = self._history.get(message_id)
        data = {**message["data"], "moderation": {"status": status}}
        changed = self._history.replace(message_id, data=data, updatedAt=int(time.time()))
        self._publisher.send_message(changed, [changed["sender"]], "", resource, "on_moderation_status_changed")
        return changed

    def pin(self, message_id: str, uid: str, resource: str, *, pinned: bool) -> Message:
        """Pin or unpin a message for its whole conversation. Returns the message with its changes."""
        message = self.seen(message_id, uid)
        if pinned == ("pinnedAt" in message):
            return message
        if pinned:
            self._check_room(uid, message["conversationId"])
        marks = (int(time.time()), uid) if pinned else (None, None)
        changed = self._history.replace(message_id, pinnedAt=marks[0], pinnedBy=marks[1])
        body = {"action": "message_pinned" if pinned else "message_unpinned", "message": changed, "pinnedBy": uid}
        self._send_frame(message, "message_pin", uid, resource, self._conversations.audience(message), body=body)
        return changed

    def save(self, message_id: str, uid: str, resource: str, *, saved: bool) -> Message:
        """Save a message for the user alone, or undo that. Returns the message as the user sees it."""
        message = self.seen(message_id, uid)
        savers = self._saved.setdefault(message_id, {})
        if saved != (uid in savers):
            limit = self._features.limit("messages.saved")
            if saved and sum(uid in users for users in self._saved.values()) >= limit:
                raise refusal("ERR_SAVED_MESSAGES_LIMIT_EXCEEDED", limit=str(limit))
            if saved:
                savers[uid] = int(time.time())
            else:
                del savers[uid]
            action = "message_saved" if saved else "message_unsaved"
            body = {"action": action, "message": self._publisher.views.of(message, uid)}
            self._send_frame(message, "message_save", uid, resource, [uid], body=body)
        return message

    def seen(self, message_id: str, uid: str) -> Message:
        """Return a message that the user may see."""
        if not self._history.sees(uid, message_id):
            raise refusal("ERR_MESSAGE_NO_ACCESS", id=message_id)
        return self._history.get(message_id)

    def _compose(
        self, sender: str, conversation: Conversation, body: Mapping[str, Any], resource: str
    ) -> Dict[str, Any]:
        """Return the message to store for a posted one, without its thread and its quoted message."""
        entities = {"sender": self._users.entity(sender), "receiver": self._conversations.entity(conversation)}
        data = {**body["data"], "resource": resource, "entities": entities}
        mentioned = mentions(data.get("text"), self._users)
        if mentioned is not None:
            data["mentions"] = mentioned
        message: Dict[str, Any] = {
            "conversationId": conversation.id,
            "sender": sender,
            "receiverType": conversation.receiver_type,
            "receiver": conversation.receiver,
            "category": body["category"],
            "type": body["type"],
            "data": data,
        }
        for key in ("muid", "metadata"):
            if key in body:
                message[key] = body[key]
        if "tags" in body:
            message["tags"] = check_tags(body["tags"])
        return message

    def _viewers(self, sender: str, conversation: Conversation) -> FrozenSet[str]:
        """Return the users who see a message. If the receiver has blocked the sender, only the sender sees it."""
        if conversation.receiver_type == "group":
            return conversation.uids
        if conversation.receiver in self._users.get(sender).blocked:
            raise refusal("ERR_BLOCKED_RECEIVER", uid=conversation.receiver)
        blocked = sender in self._users.get(conversation.receiver).blocked
        return frozenset({sender}) if blocked else conversation.uids

    def _parent(self, message_id: str, conversation: Conversation) -> str:
        parent = self._history.get(message_id)
        if parent["conversationId"] != conversation.id:
            raise refusal("ERR_WRONG_MESSAGE_THREAD", id=message_id)
        if "parentId" in parent:
            raise refusal("ERR_MESSAGE_THREAD_NESTING", id=message_id)
        if parent["category"] in ("action", "call"):
            raise refusal("ERR_WRONG_MESSAGE_THREAD_CATEGORY")
        return message_id

    def _quoted(self, message_id: str, sender: str, conversation: Conversation) -> Message:
        """Return the quoted message, without its own quoted message and reactions."""
        quoted = self.seen(message_id, sender)
        if quoted["conversationId"] != conversation.id:
            raise refusal("ERR_WRONG_MESSAGE_THREAD", id=message_id)
        data = {key: value for key, value in quoted["data"].items() if key != "reactions"}
        return {**{key: value for key, value in quoted.items() if key != "quotedMessage"}, "data": data}

    def _changeable(self, message_id: str, by: str) -> Message:
        """Return a message that the user may edit and delete: their own, or one in a group that the user moderates.

        The app may change every message.
        """
        message = self._history.get(message_id)
        moderated = by == APP or (
            message["receiverType"] == "group" and self._groups.get(message["receiver"]).moderates(by)
        )
        if not moderated and self.seen(message_id, by)["sender"] != by:
            raise refusal("ERR_MESSAGE_NOT_A_SENDER", id=message_id)
        if message["category"] in ("action", "call") or "deletedAt" in message:
            raise refusal("ERR_MESSAGE_ACTION_NOT_ALLOWED")
        return message

    def _change(self, message_id: str, by: str, resource: str, what: str, **changes: Any) -> Message:
        now = int(time.time())
        marks = {f"{what}At": now, f"{what}By": by, "updatedAt": now}
        changed = self._history.replace(message_id, **marks, **changes)
        # A separate message, so that a user who missed it finds it in the history.
        action = {
            "conversationId": changed["conversationId"],
            "sender": by,
            "receiverType": changed["receiverType"],
            "receiver": changed["receiver"],
            "category": "action",
            "type": "message",
            "data": {
                "action": what,
                "resource": resource,
                "entities": {
                    "by": self._users.entity(by),
                    "for": changed["data"]["entities"]["receiver"],
                    "on": {"entity": changed, "entityType": "message"},
                },
            },
        }
        return self._publisher.store(action, self._conversations.audience(changed), resource)

    def _check_room(self, uid: str, conversation: str) -> None:
        messages = self._history.between(uid, conversation, 0, self._history.count)
        limit = self._features.limit("messages.pinned")
        if sum("pinnedAt" in message for message in messages) >= limit:
            raise refusal("ERR_PINNED_MESSAGES_LIMIT_EXCEEDED", limit=str(limit))

    def _send_frame(
        self, message: Message, kind: str, by: str, resource: str, uids: "FrozenSet[str] | List[str]", **fields: Any
    ) -> None:
        """Send a frame about a message."""
        receiver = other_side(message, by)
        frame = self._publisher.frame(kind, by, receiver, message["receiverType"], resource, **fields)
        self._publisher.send(frame, uids, by, resource)


def _text_id(body: Mapping[str, Any], *names: str) -> Optional[str]:
    """Return, as text, the id in the first of these fields that has one."""
    values = (body.get(name) for name in names)
    return next((str(value) for value in values if value not in (None, "", 0)), None)
