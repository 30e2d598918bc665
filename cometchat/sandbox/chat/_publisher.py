"""What the ways of acting on a chat have in common: storing a message, and the frames that tell of it.

No network here either: where a frame goes out to is for the callable that is handed in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Collection, Dict, FrozenSet, NamedTuple

from . import _errors as errors
from ._users import Account

if TYPE_CHECKING:
    from .._state import State

#: In the place of a client's resource, where the sandbox plays a user itself.
SANDBOX_RESOURCE = "sandbox"


class Outgoing(NamedTuple):
    """A frame, and whose sockets it is for: not the one, of ``by`` and named ``resource``, that has caused it."""

    frame: Dict[str, Any]
    uids: FrozenSet[str]
    by: str
    resource: str
    #: The service's MODE may keep it from going out.
    transient: bool = False


Post = Callable[[Outgoing], None]


class Parties(NamedTuple):
    """Those between whom something is said."""

    #: The receiver, as messages show it.
    receiver: Dict[str, Any]
    conversation: str
    #: Everybody, the sender too.
    uids: FrozenSet[str]


def user_entity(account: Account) -> Dict[str, Any]:
    """A user, as messages show them."""
    return {"entity": account.fields(online=True), "entityType": "user"}


def group_entity(fields: Dict[str, Any]) -> Dict[str, Any]:
    """A group, as messages show it."""
    return {"entity": fields, "entityType": "group"}


def conversation_of_users(one: str, other: str) -> str:
    """The id of two users' conversation."""
    first, second = sorted((one, other))
    return f"{first}_user_{second}"


class Posting:
    """Acts on the state, and posts what others are to hear of it.

    :param post: brings a frame to sockets.
    """

    def __init__(self, state: State, post: Post) -> None:
        self._state = state
        self._post = post

    def _parties(self, sender: str, receiver: str, receiver_type: str) -> Parties:
        """:raises ApiError: nobody is there to receive, or the sender is not in the group."""
        if receiver_type == "group":
            group = self._state.groups.of(receiver)
            group.member(sender)
            return Parties(group_entity(group.fields), group.conversation, frozenset(group.members))
        if receiver_type != "user":
            raise errors.bad_request("The receiverType is neither user nor group.")
        account = self._state.accounts.of(receiver)
        return Parties(user_entity(account), conversation_of_users(sender, receiver), frozenset({sender, receiver}))

    def _store(self, message: Dict[str, Any], uids: Collection[str], resource: str) -> Dict[str, Any]:
        """Store a message and let everybody concerned know; as it is stored."""
        stored = self._state.messages.add(message, uids)
        self._tell_message(stored, uids, stored["sender"], resource)
        return stored

    def _tell_message(self, message: Dict[str, Any], uids: Collection[str], by: str, resource: str) -> None:
        frame = self._frame("message", message["sender"], message["receiver"], message["receiverType"], resource)
        self._post(Outgoing({**frame, "body": message}, frozenset(uids), by, resource))

    def _frame(self, kind: str, sender: str, receiver: str, receiver_type: str, resource: str) -> Dict[str, Any]:
        """The envelope of a frame."""
        return {
            "appId": self._state.app_id,
            "receiver": receiver,
            "receiverType": receiver_type,
            "deviceId": resource,
            "sender": sender,
            "type": kind,
        }
