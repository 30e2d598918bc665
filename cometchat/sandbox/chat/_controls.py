"""The other side, each act of it a method: a user who needs no client, as if they had another device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Sequence, TypeVar

from .._service import Service
from .._state import State
from ._calls import Calling
from ._errors import ApiError
from ._groups import Grouping
from ._history import copy_of
from ._messages import Messaging
from ._publisher import SANDBOX_RESOURCE, Outgoing

T = TypeVar("T")


class _Acts(NamedTuple):
    messages: Messaging
    groups: Grouping
    calls: Calling


class PlayControls(ABC):
    """Callable from any thread but the sandbox's own; while it is stopped, what is done is stored all the same.

    Every method does what the HTTP API would do for that user, with the same checks; all sockets of all users
    concerned hear of it, that user's own too. Who is told nothing (``by=None``) acts as the one who may.

    :raises KeyError: (each method) there is no such user, group, message or call.
    :raises ValueError: (each method) the service would refuse it; the text has its code.
    :raises TimeoutError: (each method) the sandbox's thread did not get round to it within 5 seconds.
    """

    _state: State

    @abstractmethod
    def _apply(self, change: Callable[[Optional[Service]], T]) -> T:
        """Run the change in the loop thread with the running service; in the caller's, with None, where none runs."""

    # Messages.

    def send_message(
        self,
        sender: str,
        receiver: str,
        text: Optional[str] = None,
        *,
        receiver_type: str = "user",
        category: str = "message",
        type: str = "text",
        data: Optional[Mapping[str, Any]] = None,
        muid: Optional[str] = None,
        metadata: Optional[Mapping[str, Any]] = None,
    ) -> Dict[str, Any]:
        """Store and deliver a message, as if another device of the sender had posted it. The message as it is stored.

        :param receiver: uid or guid, by ``receiver_type``: ``"user"`` or ``"group"``.
        :param data: the message's data; ``text`` and ``metadata`` are put into it.
        :param muid: with one that the sender has used before, nothing happens, and that message is returned.
        :raises KeyError: no such user or group. :raises ValueError: a field is wrong, or the sender not in the group.
        """
        content = dict(data or {})
        if text is not None:
            content["text"] = text
        if metadata is not None:
            content["metadata"] = dict(metadata)
        body = {
            "receiver": receiver,
            "receiverType": receiver_type,
            "category": category,
            "type": type,
            "data": content,
        }
        if muid is not None:
            body["muid"] = muid

        def send(acts: _Acts) -> Dict[str, Any]:
            self._state.accounts.of(sender)
            return copy_of(acts.messages.send(sender, body, SANDBOX_RESOURCE))

        return self._act(send)

    def edit_message(self, id: str, text: str, by: Optional[str] = None) -> Dict[str, Any]:
        """Give a message another text, and let everybody concerned know by an action; the message as it is now.

        :param by: a uid; None is its sender.
        :raises KeyError: no such message, or not for that user. :raises ValueError: it is not theirs to change.
        """

        def edit(acts: _Acts) -> Dict[str, Any]:
            message = self._state.messages.get(id)
            data = {**message["data"], "text": text}
            acts.messages.edit(id, data, message["sender"] if by is None else by, SANDBOX_RESOURCE)
            return copy_of(self._state.messages.get(id))

        return self._act(edit)

    def delete_message(self, id: str, by: Optional[str] = None) -> Dict[str, Any]:
        """Mark a message as deleted, and let everybody concerned know by an action; the message as it is now.

        :param by: a uid; None is its sender.
        :raises KeyError: no such message, or not for that user. :raises ValueError: it is not theirs to delete.
        """

        def delete(acts: _Acts) -> Dict[str, Any]:
            message = self._state.messages.get(id)
            acts.messages.delete(id, message["sender"] if by is None else by, SANDBOX_RESOURCE)
            return copy_of(self._state.messages.get(id))

        return self._act(delete)

    def react(self, id: str, uid: str, reaction: str) -> None:
        """Add a user's reaction to a message. A second time: nothing.

        :raises KeyError: no such message, or not for that user. :raises ValueError: they are not in its group.
        """
        self._act(lambda acts: acts.messages.react(id, uid, reaction, SANDBOX_RESOURCE, added=True))

    def unreact(self, id: str, uid: str, reaction: str) -> None:
        """Take a user's reaction back. Where there is none: nothing.

        :raises KeyError: no such message, or not for that user. :raises ValueError: they are not in its group.
        """
        self._act(lambda acts: acts.messages.react(id, uid, reaction, SANDBOX_RESOURCE, added=False))

    def typing(self, sender: str, receiver: str, started: bool = True, receiver_type: str = "user") -> None:
        """Tell the receiver that the sender types, or no longer does. In mode ``NO_TRANSIENT``: nothing.

        :param receiver: uid or guid, by ``receiver_type``: ``"user"`` or ``"group"``.
        :raises KeyError: no such user or group. :raises ValueError: the sender is not in the group.
        """
        self._act(
            lambda acts: acts.messages.show_typing(sender, receiver, receiver_type, SANDBOX_RESOURCE, started=started)
        )

    def presence(self, uid: str, online: bool) -> None:
        """Tell those who asked for it that a user came online or went offline; a frame only, no socket comes or goes.

        In mode ``NO_TRANSIENT``: nothing.

        :raises KeyError: no such user.
        """

        def announce(service: Optional[Service]) -> None:
            self._state.accounts.of(uid)
            if service is not None:
                service.hub.announce(uid, "online" if online else "offline", SANDBOX_RESOURCE)

        self._checked(announce)

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
        """Create a group. Nobody is told of it, nor of its first members.

        :param type: ``"public"``, ``"private"``, or ``"password"`` with a password.
        :param owner: a member of it, and an admin.
        :param members: uids of participants.
        :raises KeyError: no such user. :raises ValueError: the guid is taken, or a field wrong.
        """
        body = {"guid": guid, "name": name, "type": type, "password": password}
        self._act(lambda acts: acts.groups.create(body, owner, members))

    def join(self, guid: str, uid: str) -> None:
        """A user joins a group, whatever its type and password.

        :raises KeyError: no such user or group. :raises ValueError: they are in it already, or banned.
        """
        self._act(lambda acts: acts.groups.join(guid, uid, SANDBOX_RESOURCE, checked=False))

    def leave(self, guid: str, uid: str) -> None:
        """A member leaves a group.

        :raises KeyError: no such group. :raises ValueError: they are not in it, or own it.
        """
        self._act(lambda acts: acts.groups.leave(guid, uid, SANDBOX_RESOURCE))

    def kick(self, guid: str, uid: str, by: Optional[str] = None) -> None:
        """A member is removed from a group, and may join again.

        :param by: a uid; None is the group's owner.
        :raises KeyError: no such user or group. :raises ValueError: they are not in it, or ``by`` may not do that.
        """
        self._act(lambda acts: acts.groups.kick(guid, uid, by, SANDBOX_RESOURCE))

    def ban(self, guid: str, uid: str, by: Optional[str] = None) -> None:
        """A user is removed from a group, where they are in it, and may not join again.

        :param by: a uid; None is the group's owner.
        :raises KeyError: no such user or group. :raises ValueError: they are banned, or ``by`` may not do that.
        """
        self._act(lambda acts: acts.groups.ban(guid, uid, by, SANDBOX_RESOURCE))

    def unban(self, guid: str, uid: str, by: Optional[str] = None) -> None:
        """A banned user may join again.

        :param by: a uid; None is the group's owner.
        :raises KeyError: no such user or group. :raises ValueError: they are not banned, or ``by`` may not do that.
        """
        self._act(lambda acts: acts.groups.unban(guid, uid, by, SANDBOX_RESOURCE))

    def change_scope(self, guid: str, uid: str, scope: str, by: Optional[str] = None) -> None:
        """A member gets another scope.

        :param scope: ``"admin"``, ``"moderator"`` or ``"participant"``.
        :param by: a uid; None is the group's owner.
        :raises KeyError: no such user or group. :raises ValueError: they are not in it or have that scope, there is no
            such scope, or ``by`` may not do that.
        """
        self._act(lambda acts: acts.groups.change_scope(guid, uid, scope, by, SANDBOX_RESOURCE))

    def add_member(self, guid: str, uid: str, by: Optional[str] = None, scope: str = "participant") -> None:
        """A user is made a member by another.

        :param by: a uid; None is the group's owner.
        :raises KeyError: no such user or group. :raises ValueError: they are in it or banned, there is no such scope,
            or ``by`` may not do that.
        """
        self._act(lambda acts: acts.groups.add(guid, uid, by, scope, SANDBOX_RESOURCE))

    # Calls: their signalling.

    def call(self, caller: str, receiver: str, type: str = "audio", receiver_type: str = "user") -> str:
        """Ring. The session id of the call.

        :param receiver: uid or guid, by ``receiver_type``: ``"user"`` or ``"group"``.
        :param type: ``"audio"`` or ``"video"``.
        :raises KeyError: no such user or group. :raises ValueError: a field is wrong, or the caller not in the group.
        """
        body = {"receiver": receiver, "receiverType": receiver_type, "type": type}
        message = self._act(lambda acts: acts.calls.start(caller, body, SANDBOX_RESOURCE))
        return str(message["data"]["entities"]["on"]["entity"]["sessionid"])

    def accept_call(self, session_id: str, by: Optional[str] = None) -> None:
        """A call is accepted.

        :param by: a uid; None is the called user.
        :raises KeyError: no such call, or not theirs. :raises ValueError: it is not ringing, or ``by`` is the caller.
        """
        self._change_call(session_id, "ongoing", by)

    def reject_call(self, session_id: str, by: Optional[str] = None) -> None:
        """A call is rejected; arguments and errors as :meth:`accept_call`."""
        self._change_call(session_id, "rejected", by)

    def cancel_call(self, session_id: str, by: Optional[str] = None) -> None:
        """A call is taken back before anybody has answered it.

        :param by: a uid; None is the caller.
        :raises KeyError: no such call, or not theirs. :raises ValueError: it is not ringing, or ``by`` not the caller.
        """
        self._change_call(session_id, "cancelled", by)

    def end_call(self, session_id: str, by: Optional[str] = None) -> None:
        """A call that was accepted is over.

        :param by: a uid; None is the caller.
        :raises KeyError: no such call, or not theirs. :raises ValueError: it was not accepted, or is over.
        """
        self._change_call(session_id, "ended", by)

    # Inside.

    def _change_call(self, session_id: str, status: str, by: Optional[str]) -> None:
        self._act(lambda acts: acts.calls.change(session_id, status, by, SANDBOX_RESOURCE))

    def _act(self, act: Callable[[_Acts], T]) -> T:
        def change(service: Optional[Service]) -> T:
            post = _to_nobody if service is None else service.hub.bring
            return act(_Acts(Messaging(self._state, post), Grouping(self._state, post), Calling(self._state, post)))

        return self._checked(change)

    def _checked(self, change: Callable[[Optional[Service]], T]) -> T:
        try:
            return self._apply(change)
        except ApiError as error:
            kind = KeyError if error.status == 404 else ValueError
            raise kind(f"{error.code}: {error.message} {error.details}".strip()) from None


def _to_nobody(outgoing: Outgoing) -> None:
    """Nobody is connected."""
