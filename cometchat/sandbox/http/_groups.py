"""The routes of groups and their members."""

from __future__ import annotations

from typing import Any, Dict, List

from ..chat import Chat
from ..chat._errors import bad_request
from ..chat._groups import ADDING, Group
from ..chat._history import Message
from ..chat._users import APP, User
from ._callers import FOR_BOTH
from ._request import ApiRequest
from ._routes import PAGE, Listing, Route, done, fits_status, fits_tags, numbered_page, with_tags


class GroupRoutes:
    """Each answers with the ``data`` of the success envelope, or raises ``ApiError``."""

    def __init__(self, chat: Chat) -> None:
        self._users = chat.users
        self._groups = chat.groups

    @property
    def routes(self) -> List[Route]:
        """The routes."""
        group, member, banned = "/groups/{guid}", "/groups/{guid}/members/{uid}", "/groups/{guid}/bannedusers/{uid}"
        members, banned_users = (*PAGE, "searchKey", "scopes", "status"), (*PAGE, "searchKey", "scopes")
        listed = (*PAGE, "searchKey", "hasJoined", "type", "types", "tags", "withTags")
        return [
            Route("GET", "/groups", self._list, listed, audience=FOR_BOTH),
            Route("POST", "/groups", self._create, audience=FOR_BOTH),
            Route("GET", group, self._get, audience=FOR_BOTH),
            Route("PUT", group, self._update, audience=FOR_BOTH),
            Route("DELETE", group, self._delete, audience=FOR_BOTH),
            Route("PATCH", group + "/owner", self._hand_over, audience=FOR_BOTH),
            Route("GET", group + "/members", self._members, members, audience=FOR_BOTH),
            Route("POST", group + "/members", self._join_or_add, audience=FOR_BOTH),
            Route("PUT", group + "/members", self._join_or_add, audience=FOR_BOTH),
            Route("DELETE", group + "/members", self._leave),
            Route("PUT", member, self._change_scope, audience=FOR_BOTH),
            Route("DELETE", member, self._kick, audience=FOR_BOTH),
            Route("GET", group + "/bannedusers", self._banned, banned_users, audience=FOR_BOTH),
            Route("POST", banned, self._ban, audience=FOR_BOTH),
            Route("DELETE", banned, self._unban, audience=FOR_BOTH),
        ]

    def _create(self, request: ApiRequest, me: User) -> Dict[str, Any]:
        body = request.fields
        group = self._groups.create(body, (body.get("owner") or APP) if me.uid == APP else me.uid)
        if body.get("members") is None:
            return self._groups.shown(group, me.uid)
        members = self._groups.fill(group, body["members"])
        return {**self._groups.shown(group, me.uid), "members": members}

    def _list(self, request: ApiRequest, me: User) -> Listing:
        word, joined = request.word, request.flag("hasJoined")
        types = request.texts("type", "types")

        def fits(group: Group) -> bool:
            wanted = word in group.name.lower() and (not types or group.type in types)
            return wanted and (me.uid in group.members or not joined)

        shown = [self._groups.shown(group, me.uid) for group in self._groups.seen_by(me.uid) if fits(group)]
        tagged = [group for group in shown if fits_tags(group, request.texts("tags"))]
        return numbered_page(request, with_tags(request, tagged))

    def _update(self, request: ApiRequest, me: User, guid: str) -> Dict[str, Any]:
        return self._groups.shown(self._groups.update(guid, me.uid, request.fields), me.uid)

    def _delete(self, request: ApiRequest, me: User, guid: str) -> Dict[str, Any]:
        self._groups.delete(guid, me.uid)
        return done(f"The group {guid} was deleted.")

    def _hand_over(self, request: ApiRequest, me: User, guid: str) -> Dict[str, Any]:
        owner = self._groups.hand_over(guid, str(request.fields.get("owner", "")), me.uid)
        # The vendor's client shows the message.
        return done(f"The group {guid} is owned by {owner}.")

    def _get(self, request: ApiRequest, me: User, guid: str) -> Dict[str, Any]:
        group = self._groups.get(guid)
        if group.type == "private":
            group.member(me.uid)
        return self._groups.shown(group, me.uid)

    def _members(self, request: ApiRequest, me: User, guid: str) -> Listing:
        group = self._groups.get(guid)
        group.member(me.uid)
        scopes, status = request.texts("scopes"), request.query.get("status")
        word = request.word
        members = [
            {**self._users.shown(self._users.get(uid)), "scope": member.scope, "joinedAt": member.joined_at}
            for uid, member in group.members.items()
            if uid in self._users and (not scopes or member.scope in scopes)
        ]
        found = [user for user in members if word in user["name"].lower() and fits_status(user, status)]
        return numbered_page(request, found)

    def _banned(self, request: ApiRequest, me: User, guid: str) -> Listing:
        group, word, scopes = self._groups.get(guid), request.word, request.texts("scopes")
        group.check_moderator(me.uid)
        # With the scope that they would have again: the vendor's client shows them as members.
        banned = [
            {**self._users.shown(self._users.get(uid)), "scope": "participant", "bannedAt": since}
            for uid, since in group.banned.items()
            if uid in self._users and (not scopes or "participant" in scopes)
        ]
        return numbered_page(request, [user for user in banned if word in user["name"].lower()])

    def _join_or_add(self, request: ApiRequest, me: User, guid: str) -> Dict[str, Any]:
        body = request.fields
        if any(name in body for name in ADDING):
            return self._groups.add_all(guid, body, me.uid, request.resource)
        # The vendor's client reads the group from the action.
        if me.uid == APP:
            raise bad_request("participants", "is missing")
        action: Message = self._groups.join(guid, me.uid, request.resource, body.get("password"))
        return action

    def _leave(self, request: ApiRequest, me: User, guid: str) -> Dict[str, Any]:
        self._groups.leave(guid, me.uid, request.resource)
        return done(f"You have left the group {guid}.")

    def _change_scope(self, request: ApiRequest, me: User, guid: str, uid: str) -> Dict[str, Any]:
        self._groups.change_scope(guid, uid, request.fields.get("scope"), me.uid, request.resource)
        member = self._groups.get(guid).members[uid]
        return {"success": True, "guid": guid, "uid": uid, "scope": member.scope, "joinedAt": member.joined_at}

    def _kick(self, request: ApiRequest, me: User, guid: str, uid: str) -> Dict[str, Any]:
        self._groups.kick(guid, uid, me.uid, request.resource)
        return done(f"The user {uid} was removed from the group {guid}.")

    def _ban(self, request: ApiRequest, me: User, guid: str, uid: str) -> Dict[str, Any]:
        self._groups.ban(guid, uid, me.uid, request.resource)
        return done(f"The user {uid} was banned from the group {guid}.")

    def _unban(self, request: ApiRequest, me: User, guid: str, uid: str) -> Dict[str, Any]:
        self._groups.unban(guid, uid, me.uid, request.resource)
        return done(f"The user {uid} may join the group {guid} again.")
