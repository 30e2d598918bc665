"""Calls: their sessions, and which status may follow which. Signalling only. Plain data: no network, no threads."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any, Dict, Optional

from . import _errors as errors
from ._publisher import Parties, Posting, user_entity

TYPES = ("audio", "video")

#: By status: what may follow. A call that is in none of these is over.
_NEXT = {
    "initiated": frozenset({"ongoing", "rejected", "cancelled", "busy", "unanswered"}),
    "ongoing": frozenset({"ended"}),
}

#: Who a status is of: the one who called, or one who was called. ``ended`` is of either.
_OF_CALLER = frozenset({"cancelled", "unanswered"})
_OF_CALLED = frozenset({"ongoing", "rejected", "busy"})


@dataclass
class CallSession:
    """One call, from its ringing to its end."""

    session_id: str
    kind: str
    initiator: str
    #: A uid or guid, by ``receiver_type``.
    receiver: str
    receiver_type: str
    initiated_at: int
    status: str = "initiated"
    joined_at: Optional[int] = None
    ended_at: Optional[int] = None

    @property
    def fields(self) -> Dict[str, Any]:
        """The session as messages show it; what has not been is left out."""
        fields = {
            "sessionid": self.session_id,
            "status": self.status,
            "type": self.kind,
            "initiator": self.initiator,
            "receiver": self.receiver,
            "receiverType": self.receiver_type,
            "initiatedAt": self.initiated_at,
            "joinedAt": self.joined_at,
            "endedAt": self.ended_at,
        }
        return {key: value for key, value in fields.items() if value is not None}

    def change(self, status: Any, by: str) -> None:
        """Go on to a status.

        :raises ApiError: it can't follow, or is not for this user to set.
        """
        if not isinstance(status, str) or status not in _NEXT.get(self.status, ()):
            raise errors.bad_request(f"A call that is {self.status} can't become that.")
        if (status in _OF_CALLER and by != self.initiator) or (status in _OF_CALLED and by == self.initiator):
            raise errors.call_not_yours(self.session_id)
        self.status = status
        now = int(time.time())
        if status == "ongoing":
            self.joined_at = now
        else:
            self.ended_at = now


class Calls:
    """The app's calls."""

    def __init__(self) -> None:
        self._sessions: Dict[str, CallSession] = {}

    def start(self, kind: Any, initiator: str, receiver: str, receiver_type: str) -> CallSession:
        """A new call, under a session id of its own.

        :raises ApiError: the type is unknown.
        """
        if kind not in TYPES:
            raise errors.bad_request(f"The type is none of {', '.join(TYPES)}.")
        session = CallSession(secrets.token_hex(12), kind, initiator, receiver, receiver_type, int(time.time()))
        self._sessions[session.session_id] = session
        return session

    def of(self, session_id: str) -> CallSession:
        """The call.

        :raises ApiError: there is none.
        """
        if session_id not in self._sessions:
            raise errors.call_not_found(session_id)
        return self._sessions[session_id]


class Calling(Posting):
    """One app's calls, in the hands of its users. Every method raises ``ApiError`` where the user may not."""

    def start(self, caller: str, body: Any, resource: str) -> Dict[str, Any]:
        """Ring, by the body of ``POST /calls``; the stored message. One that was sent before, by its muid, is that one.

        :param resource: what the caller's client calls itself.
        """
        if not isinstance(body, dict):
            raise errors.bad_request("The body is not a JSON object.")
        for field in ("receiver", "receiverType", "type"):
            if not isinstance(body.get(field), str) or not body[field]:
                raise errors.bad_request(f"The field {field} is missing, or not a text.")
        before = self._state.messages.sent_before(caller, body.get("muid"))
        if before is not None:
            return before
        self._state.accounts.of(caller)
        if body["receiver"] == caller:
            raise errors.bad_request("Nobody can call themselves.")
        parties = self._parties(caller, body["receiver"], body["receiverType"])
        session = self._state.calls.start(body["type"], caller, body["receiver"], body["receiverType"])
        return self._record(session, parties, caller, resource, body.get("muid"))

    def change(self, session_id: str, status: Any, by: Optional[str], resource: str) -> Dict[str, Any]:
        """Accept, reject, cancel, end, ... a call; the stored message.

        :param by: None is the one whom the status becomes: the caller who cancels or ends, the called user who answers.
        """
        session = self._state.calls.of(session_id)
        if by is None:
            answers = status in ("ongoing", "rejected", "busy") and session.receiver_type == "user"
            by = session.receiver if answers else session.initiator
        if session.receiver_type == "user" and by not in (session.initiator, session.receiver):
            raise errors.call_not_found(session_id)
        # In a group it is the one who acts who has to be in it; the caller may have left.
        speaker = by if session.receiver_type == "group" else session.initiator
        parties = self._parties(speaker, session.receiver, session.receiver_type)
        session.change(status, by)
        return self._record(session, parties, by, resource)

    def _record(
        self, session: CallSession, parties: Parties, by: str, resource: str, muid: Any = None
    ) -> Dict[str, Any]:
        # Between two, the message goes to the other one; the session has who called whom.
        receiver, shown = session.receiver, parties.receiver
        if by == session.receiver:
            receiver, shown = session.initiator, user_entity(self._state.accounts.of(session.initiator))
        sides = {"sender": user_entity(self._state.accounts.of(session.initiator)), "receiver": parties.receiver}
        message: Dict[str, Any] = {
            "conversationId": parties.conversation,
            "sender": by,
            "receiverType": session.receiver_type,
            "receiver": receiver,
            "category": "call",
            "type": session.kind,
            "data": {
                "action": session.status,
                "resource": resource,
                "entities": {
                    "by": user_entity(self._state.accounts.of(by)),
                    "for": shown,
                    # The vendor's client learns from its sides whose call it is; without them it keeps some to itself.
                    "on": {"entity": {**session.fields, "data": {"entities": sides}}, "entityType": "call"},
                },
            },
        }
        if isinstance(muid, str):
            message["muid"] = muid
        return self._store(message, parties.uids, resource)
