"""The calls of the HTTP API about groups and their members. Loop thread only."""

from __future__ import annotations

from typing import Any, Dict, List

from . import errors
from .grouping import ADDING, Grouping
from .http_call import Call, Listing, Route, WhoIs
from .state import State

_SUCCESS = {"success": True}


class GroupRoutes:
    """Each answers with the ``data`` of the success envelope, or refuses with ``ApiError``."""

    def __init__(self, state: State, grouping: Grouping, who_is: WhoIs) -> None:
        self._state = state
        self._grouping = grouping
        self._who_is = who_is

    @property
    def routes(self) -> List[Route]:
        """Method, path, answer."""
        return [
            ("POST", r"/groups", self._create),
            ("GET", r"/groups/([^/]+)", self._get),
            ("GET", r"/groups/([^/]+)/members", self._members),
            ("POST", r"/groups/([^/]+)/members", self._join_or_add),
            ("PUT", r"/groups/([^/]+)/members", self._join_or_add),
            ("DELETE", r"/groups/([^/]+)/members", self._leave),
            ("PUT", r"/groups/([^/]+)/members/([^/]+)", self._change_scope),
            ("DELETE", r"/groups/([^/]+)/members/([^/]+)", self._kick),
            ("POST", r"/groups/([^/]+)/bannedusers/([^/]+)", self._ban),
            ("DELETE", r"/groups/([^/]+)/bannedusers/([^/]+)", self._unban),
        ]

    def _create(self, call: Call) -> Dict[str, Any]:
        uid = self._who_is(call)
        return self._grouping.create(call.body, uid).fields_for(uid)

    def _get(self, call: Call, guid: str) -> Dict[str, Any]:
        uid = self._who_is(call)
        group = self._state.groups.of(guid)
        if group.type == "private":
            group.member(uid)
        return group.fields_for(uid)

    def _members(self, call: Call, guid: str) -> Listing:
        uid = self._who_is(call)
        group = self._state.groups.of(guid)
        group.member(uid)
        members = [
            {**self._state.accounts.of(uid).fields(online=True), "scope": member.scope, "joinedAt": member.joined_at}
            for uid, member in group.members.items()
        ]
        # All on one page, whatever was asked for. The vendor's client wants to know how many pages there are.
        count = len(members)
        pages = {"total": count, "count": count, "per_page": count, "current_page": 1, "total_pages": 1}
        return Listing(members, {"pagination": pages})

    def _join_or_add(self, call: Call, guid: str) -> Dict[str, Any]:
        uid = self._who_is(call)
        body = {} if call.body is None else call.body
        if not isinstance(body, dict):
            raise errors.bad_request("The body is not a JSON object.")
        if any(name in body for name in ADDING):
            return self._grouping.add_all(guid, body, uid, call.resource)
        # The vendor's client takes the group out of the action.
        return self._grouping.join(guid, uid, call.resource, body.get("password"))

    def _leave(self, call: Call, guid: str) -> Dict[str, Any]:
        uid = self._who_is(call)
        self._grouping.leave(guid, uid, call.resource)
        return _SUCCESS

    def _change_scope(self, call: Call, guid: str, member: str) -> Dict[str, Any]:
        uid, body = self._who_is(call), call.body
        scope = body.get("scope") if isinstance(body, dict) else None
        self._grouping.change_scope(guid, member, scope, uid, call.resource)
        return _SUCCESS

    def _kick(self, call: Call, guid: str, member: str) -> Dict[str, Any]:
        self._grouping.kick(guid, member, self._who_is(call), call.resource)
        return _SUCCESS

    def _ban(self, call: Call, guid: str, member: str) -> Dict[str, Any]:
        self._grouping.ban(guid, member, self._who_is(call), call.resource)
        return _SUCCESS

    def _unban(self, call: Call, guid: str, member: str) -> Dict[str, Any]:
        self._grouping.unban(guid, member, self._who_is(call), call.resource)
        return _SUCCESS
