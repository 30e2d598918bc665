"""Calling, accepting, rejecting, ...: what users do to calls. Signalling only. No network: see ``posting``.

Each status of a call is stored as a message of the category ``call``. Not confirmed: its exact shape.
"""

from __future__ import annotations

from typing import Any, Dict, Optional

from . import errors
from .calls import CallSession
from .posting import Parties, Posting, user_entity


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
