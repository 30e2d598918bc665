"""Storing messages, and the frames that notify users of them. The constructor takes the network."""

from __future__ import annotations

from typing import Any, Collection, Dict, Protocol

from ._history import History, Message
from ._reactions import Reactions
from ._triggers import Trigger, of_frame, of_message
from ._users import User

#: The resource of messages for which the sandbox itself plays the sender.
SANDBOX_RESOURCE = "sandbox"

Frame = Dict[str, Any]

#: By the id of a message: the uids that have saved it, with the time.
Saved = Dict[str, Dict[str, int]]


class Network(Protocol):
    """The way to the users' sockets."""

    def is_online(self, uid: str) -> bool:
        """Return whether a user has an accepted connection."""

    def deliver(self, frame: Frame, uids: Collection[str], by: str, resource: str) -> None:
        """Send a frame to the users' sockets, except to the socket of ``by`` with the name ``resource``."""

    def announce(self, frame: Frame, about: User) -> None:
        """Send a presence frame to the sockets that asked for the user's presence."""


class Views:
    """Messages as one user sees them, with the user's own reactions, unread replies and saved marks."""

    def __init__(self, history: History, reactions: Reactions, saved: Saved) -> None:
        self._history = history
        self._reactions = reactions
        self._saved = saved

    def differ(self, message: Message) -> bool:
        """Return whether different users see different fields of this message."""
        own = "reactions" in message["data"] or "replyCount" in message or message["id"] in self._saved
        return own or _is_change(message)

    def of(self, message: Message, uid: str) -> Message:
        """Return the message as the user sees it."""
        if not self.differ(message):
            return message
        data = dict(message["data"])
        shown = {**message, "data": data}
        if "reactions" in data:
            data["reactions"] = self._reactions.counts(message["id"], uid)
        if "replyCount" in message:
            read = self._history.mark("read", uid, message["conversationId"])
            replies = self._history.replies(message["id"])
            unread = [reply for reply in replies if reply["sender"] != uid and int(reply["id"]) > read]
            shown["unreadRepliesCount"] = len(unread)
        if uid in self._saved.get(message["id"], ()):
            shown["savedAt"] = self._saved[message["id"]][uid]
        if _is_change(message):
            on = data["entities"]["on"]
            data["entities"] = {**data["entities"], "on": {**on, "entity": self.of(on["entity"], uid)}}
        return shown


class Publisher:
    """Stores messages of one app, sends frames to its users, and notifies the webhook of both."""

    def __init__(self, app_id: str, history: History, views: Views, network: Network, trigger: Trigger) -> None:
        self._app_id = app_id
        self._history = history
        self.views = views
        self._network = network
        self.trigger = trigger

    def store(self, message: Message, uids: Collection[str], resource: str) -> Message:
        """Store a message and send it to the users. Returns it with its id."""
        stored = self._history.add(message, uids)
        self.send_message(stored, uids, stored["sender"], resource)
        for name, data in of_message(stored):
            self.trigger(name, data)
        return stored

    def send_message(
        self, message: Message, uids: Collection[str], by: str, resource: str, kind: str = "message"
    ) -> None:
        """Send a message to the users. Each user gets it as they see it."""
        envelope = self.frame(kind, message["sender"], message["receiver"], message["receiverType"], resource)
        if not self.views.differ(message):
            self.send({**envelope, "body": message}, uids, by, resource)
            return
        for uid in uids:
            self.send({**envelope, "body": self.views.of(message, uid)}, [uid], by, resource)

    def send(self, frame: Frame, uids: Collection[str], by: str, resource: str) -> None:
        """Send a frame to the users' sockets, except to the one that caused it."""
        self._network.deliver(frame, uids, by, resource)
        for name, data in of_frame(frame):
            self.trigger(name, data)

    def announce(self, frame: Frame, about: User) -> None:
        """Send a presence frame to the sockets that asked for it."""
        self._network.announce(frame, about)

    def frame(self, kind: str, sender: str, receiver: str, receiver_type: str, resource: str, **fields: Any) -> Frame:
        """Return the envelope of a frame with ``fields`` in it."""
        return {
            "appId": self._app_id,
            "receiver": receiver,
            "receiverType": receiver_type,
            "deviceId": resource,
            "sender": sender,
            "type": kind,
            **fields,
        }


def _is_change(message: Message) -> bool:
    """Return whether the message is the action of an edit or a deletion, with the changed message in it."""
    return bool(message["category"] == "action" and message["type"] == "message")
