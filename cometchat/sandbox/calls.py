"""Calls: their sessions, and which status may follow which. Signalling only. Plain data: no network, no threads."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any, Dict, Optional

from . import errors

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
