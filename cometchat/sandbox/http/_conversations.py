"""The calls of the HTTP API about conversations: what was said last in each, and what is unread. Loop thread only."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional

from .._state import State
from ..chat import _errors as errors
from ..chat._errors import ApiError
from ..chat._publisher import conversation_of_users
from ._request import Call, Listing, Route, WhoIs, numbered_page


class ConversationRoutes:
    """Each answers with the ``data`` of the success envelope, or refuses with ``ApiError``.

    :param is_online: whether a user has a socket.
    """

    def __init__(self, state: State, is_online: Callable[[str], bool], who_is: WhoIs) -> None:
        self._state = state
        self._is_online = is_online
        self._who_is = who_is

    @property
    def routes(self) -> List[Route]:
        """Method, path, answer."""
        return [
            ("GET", r"/conversations", self._list),
            ("GET", r"/(user|group)s/([^/]+)/conversation", self._get),
            ("POST", r"/(user|group)s/([^/]+)/conversation/read", self._read),
            ("DELETE", r"/(user|group)s/([^/]+)/conversation/read", self._unread),
            ("POST", r"/(user|group)s/([^/]+)/conversation/delivered", self._delivered),
        ]

    def _list(self, call: Call) -> Listing:
        uid, wanted = self._who_is(call), call.query.get("conversationType")
        found = (self._conversation(uid, conversation) for conversation in self._state.messages.conversations(uid))
        return numbered_page(
            call, [entry for entry in found if entry is not None and wanted in (None, entry["conversationType"])]
        )

    def _get(self, call: Call, kind: str, other: str) -> Dict[str, Any]:
        uid = self._who_is(call)
        found = self._conversation(uid, self._id(uid, kind, other))
        if found is None:
            raise errors.conversation_not_found(other)
        return found

    def _read(self, call: Call, kind: str, other: str) -> Dict[str, Any]:
        uid = self._who_is(call)
        conversation = self._id(uid, kind, other)
        latest = self._state.messages.latest(uid, conversation)
        if latest is not None:
            self._state.messages.note_read(uid, conversation, int(latest["id"]))
        return {"success": True, "message": "Read."}

    def _unread(self, call: Call, kind: str, other: str) -> Dict[str, Any]:
        uid = self._who_is(call)
        conversation, message_id = self._id(uid, kind, other), str(call.fields.get("messageId", ""))
        if not self._state.messages.sees(uid, message_id):
            raise errors.message_not_found(message_id)
        if self._state.messages.get(message_id)["conversationId"] != conversation:
            raise errors.message_not_found(message_id)
        self._state.messages.note_read(uid, conversation, int(message_id) - 1)
        return {"conversation": self._get(call, kind, other)}

    def _delivered(self, call: Call, kind: str, other: str) -> Dict[str, Any]:
        self._id(self._who_is(call), kind, other)
        return {"success": True, "message": "Delivered."}

    def _id(self, uid: str, kind: str, other: str) -> str:
        """The id of a user's conversation with another, or in a group."""
        if kind == "user":
            return conversation_of_users(uid, self._state.accounts.of(other).uid)
        group = self._state.groups.of(other)
        group.member(uid)
        return group.conversation

    def _conversation(self, uid: str, conversation: str) -> Optional[Dict[str, Any]]:
        """A conversation as a user sees it; None where nothing was said in it yet, or its group is no more."""
        messages = self._state.messages
        latest = messages.latest(uid, conversation)
        if latest is None:
            return None
        try:
            other = self._other_side(uid, latest)
        except ApiError:
            return None
        fields = {
            "conversationId": conversation,
            "conversationType": latest["receiverType"],
            "updatedAt": latest["sentAt"],
            "unreadMessageCount": messages.unread(uid, conversation),
            "latestMessageId": latest["id"],
            "lastReadMessageId": messages.read_up_to(uid, conversation),
            "lastMessage": latest,
            "conversationWith": other,
        }
        return {key: value for key, value in fields.items() if value is not None}

    def _other_side(self, uid: str, message: Dict[str, Any]) -> Dict[str, Any]:
        if message["receiverType"] == "group":
            return self._state.groups.of(message["receiver"]).fields_for(uid)
        other = message["sender"] if message["receiver"] == uid else message["receiver"]
        account = self._state.accounts.of(other)
        return account.fields_for(self._state.accounts.of(uid), online=self._is_online(other))
