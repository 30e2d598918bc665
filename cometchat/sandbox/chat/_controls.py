"""The other side, with a method for each action: a user of the sandbox needs no client, and acts like another device.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Callable, Dict, List, Literal, Mapping, Optional, Sequence, TypeVar

from .._json import check_json
from ._chat import Chat
from ._errors import ApiError
from ._history import copy_of, other_side
from ._publisher import SANDBOX_RESOURCE

T = TypeVar("T")


class ChatControls(ABC):
    """Any thread but the sandbox's own may call these methods. They also work while the sandbox is stopped.

    Every method has the effect of the HTTP API for that user, with the same checks, except for the content and the size
    of messages. All sockets of the users concerned get the event, including those of the acting user.

    :raises KeyError: (each method) the user, group, message or call does not exist.
    :raises ValueError: (each method) the service would refuse the action; the text has its code.
    :raises TimeoutError: (each method) the sandbox's thread took more than 5 seconds.
    """

    _chat: Chat

    @abstractmethod
    def _run(self, act: Callable[[], T]) -> T:
        """Call the function in the loop thread, or in the caller's thread while the sandbox is stopped."""

    # Users.

    def add_friends(self, uid: str, *friends: str) -> None:
        """Make a user and others friends of each other. The subscription ``FRIENDS`` is about friends.

        :raises KeyError: one of them does not exist.
        :raises ValueError: the user is among the friends.
        """
        self._act(lambda: self._chat.users.befriend(uid, list(friends)))

    def block(self, uid: str, other: str) -> None:
        """Let a user block another one. The blocker gets nothing more of the other user outside of groups.

        :raises KeyError: one of them does not exist.
        """
        self._act(lambda: self._chat.users.block(self._chat.users.get(uid), [self._uid(other)]))

    def unblock(self, uid: str, other: str) -> None:
        """Remove a user's block of another user. No-op without a block.

        :raises KeyError: one of them does not exist.
        """
        self._act(lambda: self._chat.users.unblock(self._chat.users.get(uid), [self._uid(other)]))

    # Messages.

    def send_message(
        self,
        sender: str,
        receiver: str,
        text: Optional[str] = None,
        *,
        receiver_type: Literal["user", "group"] = "user",
        category: str = "message",
        type: str = "text",
        data: Optional[Mapping[str, Any]] = None,
        muid: Optional[str] = None,
        metadata: Optional[Mapping[str, Any]] = None,
        parent_id: Optional[str] = None,
        quoted_id: Optional[str] = None,
        tags: Optional[Sequence[str]] = None,
    ) -> Dict[str, Any]:
        """Store and deliver a message as if another device of the sender had posted it. Returns it as it is stored.

        :param receiver: a uid or guid, by ``receiver_type``: ``"user"`` or ``"group"``.
        :param category: also ``"card"`` and ``"agentic"``, which only the service sends.
        :param data: the message's data. ``text`` and ``metadata`` are added to it.
        :param muid: if the sender has used it before, the call stores nothing and returns the earlier message.
        :param parent_id: the message that this one replies to.
        :param quoted_id: the message that it quotes.
        :raises KeyError: the user, group or message does not exist.
        :raises ValueError: a field is wrong, or the sender is not in the group or has blocked the receiver.
        """
        content = dict(data or {})
        if text is not None:
            content["text"] = text
        if metadata is not None:
            content["metadata"] = dict(metadata)
        body: Dict[str, Any] = {
            "receiver": receiver,
            "receiverType": receiver_type,
            "category": category,
            "type": type,
            "data": content,
        }
        optional: Dict[str, Any] = {"muid": muid, "parentId": parent_id, "quotedMessageId": quoted_id}
        if tags is not None:
            optional["tags"] = tags if isinstance(tags, str) else list(tags)  # the check refuses a text
        body.update({key: value for key, value in optional.items() if value is not None})
        check_json("message", body)

        def send() -> Dict[str, Any]:
            uid = self._uid(sender)
            return copy_of(self._chat.messages.send(uid, body, SANDBOX_RESOURCE, played=True))

        return self._act(send)

    def send_card(
        self, sender: str, receiver: str, card: Mapping[str, Any], text: str = "", *, type: str = "text"
    ) -> Dict[str, Any]:
        """Deliver a card message, as the service does. Returns it as it is stored.

        :param card: its content, which the SDK does not interpret.
        :param text: the preview.
        :param type: the vendor's JavaScript client reads a card of the type ``"text"`` as a text message.
        :raises KeyError: one of the users does not exist.
        """
        return self.send_message(sender, receiver, text, category="card", type=type, data={"card": dict(card)})

    def send_agentic(self, sender: str, receiver: str, type: str, **data: Any) -> Dict[str, Any]:
        """Deliver a message of an AI agent. Returns it as it is stored.

        :param type: ``"assistant"``, ``"tool-result"`` or ``"tool-arguments"``.
        :param data: its data, such as ``text``, ``runId``, ``threadId``, ``toolCallId`` or ``toolCalls``.
        :raises KeyError: one of the users does not exist.
        """
        return self.send_message(sender, receiver, category="agentic", type=type, data=data)

    def stream(self, sender: str, receiver: str, text: str) -> Dict[str, Any]:
        """Stream an agent's answer word by word, from ``run_started`` to ``run_finished``. Returns the stored message.

        :raises KeyError: one of the users does not exist.
        """
        return self._act(lambda: copy_of(self._chat.streams.answer(sender, receiver, text, SANDBOX_RESOURCE)))

    def stream_event(
        self, sender: str, receiver: str, type: str, *, parent_id: Optional[str] = None, **data: Any
    ) -> None:
        """Send one event of an agent's run, such as ``tool_call_start``. It is not stored.

        :param parent_id: the message that the run answers.
        :param data: the event's data, such as ``toolCallId``.
        :raises KeyError: one of the users does not exist.
        :raises ValueError: the type is unknown, or JSON cannot hold the data.
        """
        check_json("data", data)
        send_event = self._chat.streams.send_event
        self._act(lambda: send_event(sender, receiver, type, data, SANDBOX_RESOURCE, parent_id=parent_id))

    def edit_message(self, id: str, text: str, by: Optional[str] = None) -> Dict[str, Any]:
        """Give a message another text, and send all users concerned an action. Returns the message with its changes.

        :param by: a uid. None is the message's sender.
        :raises KeyError: the message does not exist.
        :raises ValueError: that user may not change it.
        """

        def edit() -> Dict[str, Any]:
            message = self._chat.history.get(id)
            body = {"data": {**message["data"], "text": text}}
            self._chat.messages.edit(id, body, self._actor(message, by), SANDBOX_RESOURCE)
            return copy_of(self._chat.history.get(id))

        return self._act(edit)

    def delete_message(self, id: str, by: Optional[str] = None) -> Dict[str, Any]:
        """Mark a message as deleted, and send all users concerned an action. Returns the message with its changes.

        :param by: a uid. None is the message's sender.
        :raises KeyError: the message does not exist.
        :raises ValueError: that user may not delete it.
        """

        def delete() -> Dict[str, Any]:
            message = self._chat.history.get(id)
            self._chat.messages.delete(id, self._actor(message, by), SANDBOX_RESOURCE)
            return copy_of(self._chat.history.get(id))

        return self._act(delete)

    def react(self, id: str, uid: str, reaction: str) -> None:
        """Add a user's reaction to a message. No-op if the user has already added it.

        :raises KeyError: the message does not exist.
        :raises ValueError: that user may not see it.
        """
        self._react(id, uid, reaction, added=True)

    def unreact(self, id: str, uid: str, reaction: str) -> None:
        """Remove a user's reaction. No-op if there is no such reaction.

        :raises KeyError: the message does not exist.
        :raises ValueError: that user may not see it.
        """
        self._react(id, uid, reaction, added=False)

    def moderate(
        self, id: str, status: Literal["pending", "approved", "disapproved", "unmoderated"]
    ) -> Dict[str, Any]:
        """Set the moderation status of a message, and notify its sender. Returns the message with its changes.

        :param status: ``"pending"``, ``"approved"``, ``"disapproved"`` or ``"unmoderated"``.
        :raises KeyError: the message does not exist.
        :raises ValueError: the status is unknown.
        """
        return self._act(lambda: copy_of(self._chat.messages.moderate(id, status, SANDBOX_RESOURCE)))

    def pin(self, id: str, by: Optional[str] = None) -> None:
        """Pin a message for its conversation. No-op if it is pinned.

        :param by: a uid. None is the message's sender.
        :raises KeyError: the message does not exist.
        :raises ValueError: that user may not see it.
        """
        self._pin(id, by, pinned=True)

    def unpin(self, id: str, by: Optional[str] = None) -> None:
        """Unpin a message. No-op if it is not pinned. Arguments and errors are those of :meth:`pin`."""
        self._pin(id, by, pinned=False)

    def save(self, id: str, uid: str) -> None:
        """Save a message for a user, whose sockets get the event. No-op if it is saved.

        :raises KeyError: the message does not exist.
        :raises ValueError: that user may not see it.
        """
        self._act(lambda: self._chat.messages.save(id, self._uid(uid), SANDBOX_RESOURCE, saved=True))

    def unsave(self, id: str, uid: str) -> None:
        """Remove a message from a user's saved messages. Arguments and errors are those of :meth:`save`."""
        self._act(lambda: self._chat.messages.save(id, self._uid(uid), SANDBOX_RESOURCE, saved=False))

    def pin_conversation(
        self, uid: str, other: str, pinned: bool = True, receiver_type: Literal["user", "group"] = "user"
    ) -> None:
        """Pin or unpin a user's conversation, and notify the user's sockets. No-op if it already is so.

        :param other: a uid or guid, by ``receiver_type``: ``"user"`` or ``"group"``.
        :raises KeyError: the user or group does not exist, or the conversation has no message yet.
        :raises ValueError: the user has pinned as many conversations as the app allows.
        """

        def pin() -> None:
            conversations, pinner = self._chat.conversations, self._uid(uid)
            conversations.pin(pinner, conversations.of(pinner, other, receiver_type), SANDBOX_RESOURCE, pinned=pinned)

        self._act(pin)

    def mark_delivered(self, id: str, uid: str) -> None:
        """Mark everything up to a message as delivered to a user. Its sender gets the receipt.

        :raises KeyError: the message does not exist.
        :raises ValueError: that user may not see it.
        """
        self._mark(id, uid, "delivered")

    def mark_read(self, id: str, uid: str) -> None:
        """Mark everything up to a message as read by a user. Errors are those of :meth:`mark_delivered`."""
        self._mark(id, uid, "read")

    def enhance_receipts(self, enabled: bool = True) -> None:
        """Switch the app's "Enhanced Messaging Status" on or off. It is off in a new app.

        With it, the sender of a message to a group gets ``deliveredToAll`` once the last member has received the
        message, and ``readByAll`` once the last member has read it.
        """
        self._act(lambda: self._chat.receipts.enhance(enabled))

    def typing(
        self, sender: str, receiver: str, started: bool = True, receiver_type: Literal["user", "group"] = "user"
    ) -> None:
        """Notify the receiver that the sender starts or stops typing, unless the ``MODE`` stops that.

        :param receiver: a uid or guid, by ``receiver_type``: ``"user"`` or ``"group"``.
        :raises KeyError: the user or group does not exist.
        :raises ValueError: the sender is not in the group.
        """
        self._act(
            lambda: self._chat.transient.show_typing(
                self._uid(sender), receiver, receiver_type, SANDBOX_RESOURCE, started=started
            )
        )

    def presence(self, uid: str, online: bool) -> None:
        """Send a user's presence to the sockets that asked for it. It ends no socket of the user.

        :raises KeyError: the user does not exist.
        """
        self._act(lambda: self._chat.transient.announce(uid, SANDBOX_RESOURCE, online=online))

    # Groups.

    def add_group(
        self,
        guid: str,
        name: str,
        *,
        type: str = "public",
        owner: str = "cometchat-uid-1",
        members: Sequence[str] = (),
        password: Optional[str] = None,
    ) -> None:
        """Create a group. Its first members are not notified.

        :param type: ``"public"``, ``"private"``, or ``"password"`` with a password.
        :param owner: the uid of a member, who becomes an admin.
        :param members: uids of participants.
        :raises KeyError: a user does not exist.
        :raises ValueError: the guid exists already, or a field is wrong.
        """
        body = {"guid": guid, "name": name, "type": type, "password": password}
        self._act(lambda: self._chat.groups.create(body, owner, members))

    def join(self, guid: str, uid: str) -> None:
        """Let a user join a group, regardless of its type and password.

        :raises KeyError: the user or group does not exist.
        :raises ValueError: the user is a member already, or banned.
        """
        self._act(lambda: self._chat.groups.join(guid, uid, SANDBOX_RESOURCE, checked=False))

    def leave(self, guid: str, uid: str) -> None:
        """Let a member leave a group.

        :raises KeyError: the group does not exist.
        :raises ValueError: the user is not a member, or is the owner.
        """
        self._act(lambda: self._chat.groups.leave(guid, uid, SANDBOX_RESOURCE))

    def kick(self, guid: str, uid: str, by: Optional[str] = None) -> None:
        """Remove a member from a group. The user may join again.

        :param by: a uid. None is the group's owner.
        :raises KeyError: the user or group does not exist.
        :raises ValueError: the user is not a member, or ``by`` may not do that.
        """
        self._act(lambda: self._chat.groups.kick(guid, uid, by, SANDBOX_RESOURCE))

    def ban(self, guid: str, uid: str, by: Optional[str] = None) -> None:
        """Ban a user, member or not, from a group. The user may not join again.

        :param by: a uid. None is the group's owner.
        :raises KeyError: the user or group does not exist.
        :raises ValueError: the user is banned already, or ``by`` may not do that.
        """
        self._act(lambda: self._chat.groups.ban(guid, uid, by, SANDBOX_RESOURCE))

    def unban(self, guid: str, uid: str, by: Optional[str] = None) -> None:
        """Let a banned user join again.

        :param by: a uid. None is the group's owner.
        :raises KeyError: the user or group does not exist.
        :raises ValueError: the user is not banned, or ``by`` may not do that.
        """
        self._act(lambda: self._chat.groups.unban(guid, uid, by, SANDBOX_RESOURCE))

    def change_scope(self, guid: str, uid: str, scope: str, by: Optional[str] = None) -> None:
        """Give a member another scope.

        :param scope: ``"admin"``, ``"moderator"`` or ``"participant"``.
        :param by: a uid. None is the group's owner.
        :raises KeyError: the user or group does not exist.
        :raises ValueError: the user is not a member or has that scope, the scope is unknown, or ``by`` may not do that.
        """
        self._act(lambda: self._chat.groups.change_scope(guid, uid, scope, by, SANDBOX_RESOURCE))

    def add_member(self, guid: str, uid: str, by: Optional[str] = None, scope: str = "participant") -> None:
        """Make a user a member.

        :param by: a uid. None is the group's owner.
        :raises KeyError: the user or group does not exist.
        :raises ValueError: the user is a member or banned, the scope is unknown, or ``by`` may not do that.
        """
        self._act(lambda: self._chat.groups.add(guid, uid, by, scope, SANDBOX_RESOURCE))

    # Calls: their signalling.

    def call(
        self, caller: str, receiver: str, type: str = "audio", receiver_type: Literal["user", "group"] = "user"
    ) -> str:
        """Ring, and return the session id of the call.

        :param receiver: a uid or guid, by ``receiver_type``: ``"user"`` or ``"group"``.
        :param type: ``"audio"`` or ``"video"``.
        :raises KeyError: the user or group does not exist.
        :raises ValueError: a field is wrong, the caller is not in the group, or one side has blocked the other.
        """
        body = {"receiver": receiver, "receiverType": receiver_type, "type": type}

        def start() -> str:
            message = self._chat.calls.start(self._uid(caller), body, SANDBOX_RESOURCE)
            return str(message["data"]["entities"]["on"]["entity"]["sessionid"])

        return self._act(start)

    def accept_call(self, session_id: str, by: Optional[str] = None) -> None:
        """Accept a call.

        :param by: a uid. None is the called user.
        :raises KeyError: the call does not exist.
        :raises ValueError: the call does not ring, or ``by`` was not called.
        """
        self._change_call(session_id, "ongoing", by)

    def reject_call(self, session_id: str, by: Optional[str] = None) -> None:
        """Reject a call. Arguments and errors are those of :meth:`accept_call`."""
        self._change_call(session_id, "rejected", by)

    def cancel_call(self, session_id: str, by: Optional[str] = None) -> None:
        """Cancel a call before the other side answers it.

        :param by: a uid. None is the caller.
        :raises KeyError: the call does not exist.
        :raises ValueError: the call does not ring, or ``by`` is not the caller.
        """
        self._change_call(session_id, "cancelled", by)

    def end_call(self, session_id: str, by: Optional[str] = None) -> None:
        """End an accepted call.

        :param by: a uid. None is the caller.
        :raises KeyError: the call does not exist.
        :raises ValueError: the call was not accepted or is over, or ``by`` is not in it.
        """
        self._change_call(session_id, "ended", by)

    # Internals.

    def _uid(self, uid: str) -> str:
        return self._chat.users.get(uid).uid

    def _actor(self, message: Mapping[str, Any], by: Optional[str]) -> str:
        return str(message["sender"]) if by is None else self._uid(by)

    def _react(self, id: str, uid: str, reaction: str, *, added: bool) -> None:
        self._act(lambda: self._chat.messages.react(id, self._uid(uid), reaction, SANDBOX_RESOURCE, added=added))

    def _pin(self, id: str, by: Optional[str], *, pinned: bool) -> None:
        def pin() -> None:
            uid = self._actor(self._chat.history.get(id), by)
            self._chat.messages.pin(id, uid, SANDBOX_RESOURCE, pinned=pinned)

        self._act(pin)

    def _mark(self, id: str, uid: str, action: str) -> None:
        def mark() -> None:
            reader = self._uid(uid)
            message = self._chat.messages.seen(id, reader)
            other = other_side(message, reader)
            conversation = self._chat.conversations.of(reader, other, message["receiverType"])
            self._chat.receipts.post(reader, conversation, action, id, SANDBOX_RESOURCE)

        self._act(mark)

    def _change_call(self, session_id: str, status: str, by: Optional[str]) -> None:
        self._act(lambda: self._chat.calls.change(session_id, status, by, SANDBOX_RESOURCE))

    def _act(self, act: Callable[[], T]) -> T:
        try:
            return self._run(act)
        except ApiError as error:
            details: List[str] = [problem for problems in error.details.values() for problem in problems]
            kind = KeyError if error.status == 404 else ValueError
            raise kind(" ".join([f"{error.code}: {error.message}", *details])) from None
