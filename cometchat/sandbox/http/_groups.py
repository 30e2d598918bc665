"""The calls of the HTTP API about groups and their members. Loop thread only."""

from __future__ import annotations

from typing import Any, Dict, List

from .._state import State
from ..chat._groups import ADDING, Grouping
from ._request import Call, Listing, Route, WhoIs, numbered_page

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
            ("GET", r"/groups", self._list),
            ("POST", r"/groups", self._create),
            ("GET", r"/groups/([^/]+)", self._get),
            ("PUT", r"/groups/([^/]+)", self._update),
            ("DELETE", r"/groups/([^/]+)", self._delete),
            ("PATCH", r"/groups/([^/]+)/owner", self._hand_over),
            ("GET", r"/groups/([^/]+)/members", self._members),
            ("POST", r"/groups/([^/]+)/members", self._join_or_add),
            ("PUT", r"/groups/([^/]+)/members", self._join_or_add),
            ("DELETE", r"/groups/([^/]+)/members", self._leave),
            ("PUT", r"/groups/([^/]+)/members/([^/]+)", self._change_scope),
            ("DELETE", r"/groups/([^/]+)/members/([^/]+)", self._kick),
            ("GET", r"/groups/([^/]+)/bannedusers", self._banned),
            ("POST", r"/groups/([^/]+)/bannedusers/([^/]+)", self._ban),
            ("DELETE", r"/groups/([^/]+)/bannedusers/([^/]+)", self._unban),
        ]

    def _create(self, call: Call) -> Dict[str, Any]:
        uid = self._who_is(call)
        group = self._grouping.create(call.body, uid)
        if "members" not in call.fields:
            return group.fields_for(uid)
        members = self._grouping.fill(group, call.fields["members"])
        return {**group.fields_for(uid), "members": members}

    def _list(self, call: Call) -> Listing:
        uid = self._who_is(call)
        word, joined = call.query.get("searchKey", "").lower(), call.query.get("hasJoined") in ("1", "true")
        groups = [
            group.fields_for(uid)
            for group in self._state.groups.seen_by(uid)
            if word in group.name.lower() and (uid in group.members or not joined)
        ]
        return numbered_page(call, groups)

    def _update(self, call: Call, guid: str) -> Dict[str, Any]:
        uid = self._who_is(call)
        group = self._state.groups.of(guid)
        group.update(uid, call.fields)
        return group.fields_for(uid)

    def _delete(self, call: Call, guid: str) -> Dict[str, Any]:
        self._state.groups.delete(guid, self._who_is(call))
        return _SUCCESS

    def _hand_over(self, call: Call, guid: str) -> Dict[str, Any]:
        uid = self._who_is(call)
        group, owner = self._state.groups.of(guid), str(call.fields.get("owner", ""))
        self._state.accounts.of(owner)
        group.hand_over(owner, uid)
        # The vendor's client hands the message on.
        return {**_SUCCESS, "message": f"The group {guid} is owned by {owner}."}

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
        return numbered_page(call, members)

    def _banned(self, call: Call, guid: str) -> Listing:
        uid = self._who_is(call)
        group = self._state.groups.of(guid)
        group.check_moderator(uid)
        # With the scope that they would come back with: the vendor's client shows them as members.
        banned = [
            {**self._state.accounts.of(uid).fields(online=False), "scope": "participant", "bannedAt": since}
            for uid, since in group.banned.items()
        ]
        return numbered_page(call, banned)

    def _join_or_add(self, call: Call, guid: str) -> Dict[str, Any]:
        uid, body = self._who_is(call), call.fields
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
