"""Sending, editing, deleting, reacting, typing, ...: what a user does to messages. No network: see ``posting``."""

from __future__ import annotations

import time
from typing import Any, Dict, FrozenSet, Optional

from . import _errors as errors
from ._publisher import Outgoing, Posting, user_entity
from ._reactions import Reaction

#: What ``POST /messages`` must have, each a text that is not empty.
_TEXT_FIELDS = ("receiver", "receiverType", "category", "type")


class Messaging(Posting):
    """One app's messages, in the hands of its users. Every method raises ``ApiError`` where the user may not."""

    def send(self, sender: str, body: Any, resource: str, parent_id: Optional[str] = None) -> Dict[str, Any]:
        """Store a message as it was posted; the stored message. One that was sent before, by its muid, is that one.

        :param resource: what the sending client calls itself.
        :param parent_id: the message that it replies to, whatever the body says.
        """
        if parent_id is not None:
            self.seen(parent_id, sender)
        _check(body)
        before = self._state.messages.sent_before(sender, body.get("muid"))
        if before is not None:
            return before
        parties = self._parties(sender, body["receiver"], body["receiverType"])
        entities = {"sender": user_entity(self._state.accounts.of(sender)), "receiver": parties.receiver}
        message: Dict[str, Any] = {
            "conversationId": parties.conversation,
            "sender": sender,
            "receiverType": body["receiverType"],
            "receiver": body["receiver"],
            "category": body["category"],
            "type": body["type"],
            "data": {**body["data"], "resource": resource, "entities": entities},
        }
        for key in ("muid", "parentId", "tags", "metadata"):
            if key in body:
                message[key] = body[key]
        if parent_id is not None:
            message["parentId"] = parent_id
        return self._store(message, parties.uids, resource)

    def edit(self, message_id: str, data: Any, by: str, resource: str) -> Dict[str, Any]:
        """Put other data into a message; the action that says so, with the message as it is now in it."""
        message = self._changeable(message_id, by)
        if not isinstance(data, dict):
            raise errors.bad_request("The field data is missing, or not an object.")
        kept = {key: value for key, value in message["data"].items() if key in ("entities", "reactions", "resource")}
        return self._change(message_id, by, resource, {**data, **kept}, "edited")

    def delete(self, message_id: str, by: str, resource: str) -> Dict[str, Any]:
        """Mark a message as deleted; the action that says so, with the message in it. Its data stays."""
        message = self._changeable(message_id, by)
        return self._change(message_id, by, resource, message["data"], "deleted")

    def react(self, message_id: str, uid: str, reaction: str, resource: str, *, added: bool) -> Dict[str, Any]:
        """Add a reaction to a message, or take it back; the message as it is now. Again: nothing happens."""
        message = self.seen(message_id, uid)
        if message["receiverType"] == "group":
            self._state.groups.of(message["receiver"]).member(uid)
        if not reaction:
            raise errors.bad_request("The reaction is empty.")
        change = self._state.reactions.change(message_id, uid, reaction, added)
        if change is None:
            return message
        counts = self._state.reactions.counts(message_id)
        changed = self._state.messages.replace(message_id, data={**message["data"], "reactions": counts})
        frame = self._frame("reaction", uid, _other_side(message, uid), message["receiverType"], resource)
        # Flat: the vendor's client looks for every field of it here. Not confirmed against the live service.
        frame["body"] = {
            "action": f"message_reaction_{'added' if added else 'removed'}",
            "conversationId": message["conversationId"],
            **self.shown(change),
        }
        if "parentId" in message:
            frame["body"]["parentId"] = message["parentId"]
        self._post(Outgoing(frame, self._concerned(message), uid, resource))
        return changed

    def shown(self, reaction: Reaction) -> Dict[str, Any]:
        """A reaction, as the API shows it."""
        return {**reaction.fields, "reactedBy": self._state.accounts.of(reaction.uid).fields(online=True)}

    def interact(self, message_id: str, uid: str, elements: Any, resource: str) -> None:
        """Tell a message's sender which of its elements the user has used. It is not stored."""
        message = self.seen(message_id, uid)
        if not isinstance(elements, list) or not elements or not all(isinstance(name, str) for name in elements):
            raise errors.bad_request("The field interactions is missing, or not a list of texts.")
        now = int(time.time())
        frame = self._frame("interaction_completed", uid, _other_side(message, uid), message["receiverType"], resource)
        frame["messageSender"] = message["sender"]
        frame["body"] = {
            "messageId": message_id,
            "user": self._state.accounts.of(uid).fields(online=True),
            "interactions": [{"elementId": name, "interactedAt": now} for name in elements],
            "timestamp": now,
        }
        self._post(Outgoing(frame, frozenset({message["sender"]}), uid, resource))

    def show_typing(self, sender: str, receiver: str, receiver_type: str, resource: str, *, started: bool) -> None:
        """Tell the receiver, once, that the sender types, or no longer does."""
        parties = self._parties(sender, receiver, receiver_type)
        frame = self._frame("typing_indicator", sender, receiver, receiver_type, resource)
        frame["body"] = {
            "action": "started" if started else "ended",
            "user": self._state.accounts.of(sender).fields(online=True),
            "metadata": {},
        }
        uids = parties.uids if receiver_type == "group" else frozenset({receiver})
        self._post(Outgoing(frame, uids, sender, resource, transient=True))

    def seen(self, message_id: str, uid: str) -> Dict[str, Any]:
        """A message that the user may see; of others they learn nothing."""
        if not self._state.messages.sees(uid, message_id):
            raise errors.message_not_found(message_id)
        return self._state.messages.get(message_id)

    def _changeable(self, message_id: str, by: str) -> Dict[str, Any]:
        """A message that the user may edit and delete: their own, or one in a group that they moderate."""
        message = self._state.messages.get(message_id)
        moderated = message["receiverType"] == "group" and self._state.groups.of(message["receiver"]).moderates(by)
        if not moderated and self.seen(message_id, by)["sender"] != by:
            raise errors.message_not_yours(message_id)
        if message["category"] in ("action", "call") or "deletedAt" in message:
            raise errors.bad_request("A message that is deleted, an action or a call can't be changed.")
        return message

    def _change(self, message_id: str, by: str, resource: str, data: Dict[str, Any], what: str) -> Dict[str, Any]:
        now = int(time.time())
        changes = {f"{what}At": now, f"{what}By": by, "updatedAt": now, "data": data}
        changed = self._state.messages.replace(message_id, **changes)
        # A message of its own, so that who missed it finds it in the history. The vendor's client knows no other form.
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
                    "by": user_entity(self._state.accounts.of(by)),
                    "for": changed["data"]["entities"]["receiver"],
                    "on": {"entity": changed, "entityType": "message"},
                },
            },
        }
        return self._store(action, self._concerned(changed), resource)

    def _concerned(self, message: Dict[str, Any]) -> FrozenSet[str]:
        """Those who hear of what happens to a message."""
        if message["receiverType"] == "group":
            return frozenset(self._state.groups.of(message["receiver"]).members)
        return frozenset({message["sender"], message["receiver"]})


def _other_side(message: Dict[str, Any], uid: str) -> str:
    """Where something that the user does to a message goes: the group, or the other one of the two."""
    receiver = str(message["receiver"])
    return str(message["sender"]) if message["receiverType"] == "user" and receiver == uid else receiver


def _check(body: Any) -> None:
    if not isinstance(body, dict):
        raise errors.bad_request("The body is not a JSON object.")
    for field in _TEXT_FIELDS:
        if not isinstance(body.get(field), str) or not body[field]:
            raise errors.bad_request(f"The field {field} is missing, or not a text.")
    if body["receiverType"] not in ("user", "group"):
        raise errors.bad_request("The field receiverType is neither user nor group.")
    if not isinstance(body.get("data"), dict):
        raise errors.bad_request("The field data is missing, or not an object.")
