"""Calls: their signalling, and the order of their statuses.

Each status of a call is stored as a message of the category ``call``. Not confirmed: its exact shape.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

from ._conversations import Conversation, Conversations
from ._errors import bad_request, refusal
from ._history import History, Message
from ._publisher import Publisher
from ._users import Users

TYPES = ("audio", "video")

#: By status: the statuses that may follow, and the error for any other. A call with a status that is not listed is
#: over.
_NEXT = {
    "initiated": frozenset({"ongoing", "rejected", "cancelled", "busy", "unanswered"}),
    "ongoing": frozenset({"ended"}),
}
_STATUSES = frozenset({"initiated", "ended"}) | _NEXT["initiated"]

#: Statuses that only the caller sets, or only the called users. Both sides may set ``ended``.
_OF_CALLER = frozenset({"cancelled", "unanswered"})
_OF_CALLED = frozenset({"ongoing", "rejected", "busy"})


@dataclass
class CallSession:
    """One call, from the ringing to its end."""

    session_id: str
    kind: str
    initiator: str
    #: A uid or a guid, by ``receiver_type``.
    receiver: str
    receiver_type: str
    initiated_at: int
    status: str = "initiated"
    joined_at: Optional[int] = None
    ended_at: Optional[int] = None
    #: The uids of those who are in it, from its first acceptance on.
    joined: Tuple[str, ...] = ()

    @property
    def fields(self) -> Dict[str, Any]:
        """The session as messages show it. Times that are not known yet are left out."""
        fields = {
            "sessionid": self.session_id,
            "status": self.status,
            "type": self.kind,
            "initiator": self.initiator,
            "receiver": self.receiver,
            "receiverType": self.receiver_type,
            "initiatedAt": self.initiated_at,
            "startedAt": self.joined_at,
            "joinedAt": self.joined_at,
            "endedAt": self.ended_at,
        }
        return {key: value for key, value in fields.items() if value is not None}

    def change(self, status: Any, by: str) -> None:
        """Change to a status.

        :raises ApiError: the status cannot follow, or this user may not set it.
        """
        if not isinstance(status, str) or status not in _STATUSES:
            raise bad_request("status", "is not a status of a call")
        if self.receiver_type == "group" and status == "busy":
            raise refusal("ERR_CALL_GROUP_INVALID_STATUS")
        if self.status == status == "ongoing":
            self._join(by)
            return
        if status not in _NEXT.get(self.status, ()):
            raise self._refusal(status)
        if (status in _OF_CALLER and by != self.initiator) or (status in _OF_CALLED and by == self.initiator):
            raise refusal("ERR_CALL_NOT_A_PART", id=self.session_id)
        self.status = status
        now = int(time.time())
        if status == "ongoing":
            self.joined_at, self.joined = now, (self.initiator, by)
        else:
            self.ended_at = now

    def has(self, uid: str) -> bool:
        """Return whether the call is ongoing and the user is in it."""
        return self.status == "ongoing" and uid in self.joined

    def _join(self, uid: str) -> None:
        """Let another member of the group into an ongoing call."""
        if self.receiver_type == "user":
            raise refusal("ERR_CALL_USER_ALREADY_JOINED", id=self.session_id)
        if uid in self.joined:
            raise refusal("ERR_CALL_GROUP_ALREADY_JOINED", id=self.session_id)
        self.joined += (uid,)

    def _refusal(self, status: str) -> Exception:
        if self.status == "ongoing":
            return refusal("ERR_CALL_ONGOING_TO_INVALID")
        if self.status != "initiated":
            return refusal("ERR_CALL_TERMINATED", id=self.session_id)
        if status == "ended":
            return refusal("ERR_CALL_NOT_STARTED", id=self.session_id)
        return refusal("ERR_CALL_INVALID_INIT")


class Calls:
    """The app's calls, and the actions of users on them."""

    def __init__(self, users: Users, conversations: Conversations, history: History, publisher: Publisher) -> None:
        self._users = users
        self._conversations = conversations
        self._history = history
        self._publisher = publisher
        self._sessions: Dict[str, CallSession] = {}

    def start(self, caller: str, body: Mapping[str, Any], resource: str) -> Message:
        """Ring, for the body of ``POST /calls``. Returns the stored message, or the old one for a repeated muid.

        :raises ApiError: a field is wrong, the receiver does not exist, one side has blocked the other, or is in
            another call.
        """
        for field in ("receiver", "receiverType", "type"):
            if not isinstance(body.get(field), str) or not body[field]:
                raise bad_request(field, "is missing, or not a text")
        before = self._history.sent_before(caller, body.get("muid"))
        if before is not None:
            return before
        conversation = self._conversations.to(caller, body["receiver"], body["receiverType"])
        if conversation.receiver == caller:
            raise refusal("ERR_CALLING_SELF")
        if conversation.receiver_type == "user":
            self._check_blocks(caller, conversation.receiver)
        _check_type(body["type"])
        self._check_free(caller, conversation)
        session = CallSession(
            secrets.token_hex(12),
            body["type"],
            caller,
            conversation.receiver,
            conversation.receiver_type,
            int(time.time()),
        )
        self._sessions[session.session_id] = session
        return self._record(session, conversation, caller, resource, body.get("muid"))

    def change(self, session_id: str, status: Any, by: Optional[str], resource: str) -> Message:
        """Accept, reject, cancel or end a call. Returns the stored message.

        :param by: None is the caller for cancelling and ending, and the called user for answering.
        :raises ApiError: the call does not exist, or the status is not allowed.
        """
        session = self._session(session_id)
        if by is None:
            answers = status in _OF_CALLED and session.receiver_type == "user"
            by = session.receiver if answers else session.initiator
        by = by.lower()
        conversation = self._conversation(session, by)
        session.change(status, by)
        return self._record(session, conversation, by, resource)

    def change_type(self, session_id: str, kind: Any, by: str) -> Dict[str, Any]:
        """Make an audio call a video call, or the other way round. Returns the call.

        :raises ApiError: the call does not exist or is over, the user is not in it, or the type is unknown.
        """
        session = self._session(session_id)
        self._conversation(session, by)
        _check_type(kind)
        if session.status not in _NEXT:
            raise refusal("ERR_CALL_TERMINATED", id=session_id)
        session.kind = kind
        return session.fields

    def _session(self, session_id: str) -> CallSession:
        if session_id not in self._sessions:
            raise refusal("ERR_CALL_SESSION_NOT_FOUND", id=session_id)
        return self._sessions[session_id]

    def _conversation(self, session: CallSession, by: str) -> Conversation:
        """Return the conversation of a call in which the user has a part."""
        if session.receiver_type == "user" and by not in (session.initiator, session.receiver):
            raise refusal("ERR_CALL_NOT_A_PART", id=session.session_id)
        # The acting user must be in the group. The caller may have left it.
        speaker = by if session.receiver_type == "group" else session.initiator
        return self._conversations.to(speaker, session.receiver, session.receiver_type)

    def _check_blocks(self, caller: str, called: str) -> None:
        if called in self._users.get(caller).blocked:
            raise refusal("ERR_BLOCKED_RECEIVER", uid=called)
        if caller in self._users.get(called).blocked:
            raise refusal("ERR_BLOCKED_SENDER", uid=called)

    def _check_free(self, caller: str, conversation: Conversation) -> None:
        """Check that no side is in an ongoing call. One that rings only does not count."""
        sessions = [session for session in self._sessions.values() if session.status == "ongoing"]
        if any(session.has(caller) for session in sessions):
            raise refusal("ERR_CALL_BUSY_SELF")
        called = conversation.receiver
        if conversation.receiver_type == "user":
            if any(session.has(called) for session in sessions):
                raise refusal("ERR_CALL_BUSY_USER", uid=called)
        elif any((session.receiver_type, session.receiver) == ("group", called) for session in sessions):
            raise refusal("ERR_CALL_BUSY_GROUP", guid=called)

    def _record(
        self, session: CallSession, conversation: Conversation, by: str, resource: str, muid: Any = None
    ) -> Message:
        # Between two users, the receiver of the message is the other user. The session says who called whom.
        caller, called = self._users.entity(session.initiator), self._conversations.entity(conversation)
        answered = by == session.receiver
        message: Dict[str, Any] = {
            "conversationId": conversation.id,
            "sender": by,
            "receiverType": session.receiver_type,
            "receiver": session.initiator if answered else session.receiver,
            "category": "call",
            "type": session.kind,
            "data": {
                "action": session.status,
                "resource": resource,
                "entities": {
                    "by": self._users.entity(by),
                    "for": caller if answered else called,
                    # From these sides the vendor's client learns whose call it is. Without them it hides some calls.
                    "on": {
                        "entity": {
                            **session.fields,
                            "conversationId": conversation.id,
                            "data": {"entities": {"sender": caller, "receiver": called}},
                        },
                        "entityType": "call",
                    },
                },
            },
        }
        if isinstance(muid, str):
            message["muid"] = muid
        return self._publisher.store(message, conversation.uids, resource)


def _check_type(kind: Any) -> None:
    if kind not in TYPES:
        raise bad_request("type", f"must be one of {', '.join(TYPES)}")
