"""Groups: their members, the rights of members, and the actions that notify the members.

Each change is stored as a message of the category ``action``, and the members and the user concerned get it. A refused
change raises ``ApiError`` and changes nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple

from ._errors import ApiError, bad_request, refusal
from ._fields import AN_ID, CLIENTS_METADATA, Check, a_text, check_fields
from ._history import Message
from ._publisher import Publisher
from ._users import APP, Users

TYPES = ("public", "private", "password")

#: From the least powerful to the most powerful.
SCOPES = ("participant", "moderator", "admin")

DETAILS = ("icon", "description", "metadata", "tags")

_CHECKS: Mapping[str, Check] = {
    "guid": AN_ID,
    "name": a_text(100, 1),
    "icon": a_text(3000),
    "description": a_text(255),
    "metadata": CLIENTS_METADATA,
    "password": a_text(100),
    "owner": AN_ID,
}

#: Maximum members in one call that creates a group.
FIRST_MEMBERS = 25

_MODERATOR = SCOPES.index("moderator")
_ADMIN = SCOPES.index("admin")

#: The lists of ``POST /groups/{guid}/members`` that add members, with the scope of each; the most powerful first.
_LISTS = {"admins": "admin", "moderators": "moderator", "participants": "participant"}

#: A body of that call with one of these fields adds members. Any other body lets the user join.
ADDING = (*_LISTS, "usersToBan")


@dataclass
class Member:
    """One user's membership."""

    scope: str
    joined_at: int


@dataclass
class Group:
    """One group. Its owner is a member and an admin. The other members cannot change the owner's membership."""

    guid: str
    name: str
    type: str
    owner: str
    password: Optional[str] = field(default=None, repr=False)
    #: Icon, description, metadata and tags, if given.
    details: Mapping[str, Any] = field(default_factory=dict)
    created_at: int = 0
    updated_at: int = 0
    members: Dict[str, Member] = field(default_factory=dict)
    #: The time of each ban, by uid.
    banned: Dict[str, int] = field(default_factory=dict)

    @property
    def conversation(self) -> str:
        """The id of its conversation."""
        return f"group_{self.guid}"

    def member(self, uid: str) -> Member:
        """Return the membership of the acting user. The app has the rights of an admin, and is not in the group.

        :raises ApiError: the user is not in the group.
        """
        if uid == APP:
            return Member("admin", self.created_at)
        if uid not in self.members:
            raise refusal("ERR_GROUP_NOT_JOINED", guid=self.guid)
        return self.members[uid]

    def moderates(self, uid: str) -> bool:
        """Return whether the user is a moderator or an admin of the group, or the app."""
        return self.admits(uid) and SCOPES.index(self.member(uid).scope) >= _MODERATOR

    def admits(self, uid: str) -> bool:
        """Return whether the user may write and read in the group. Its members and the app may."""
        return uid in self.members or uid == APP

    def check_entry(self, password: Any) -> None:
        """Check whether a user may join with this password.

        :raises ApiError: the group is private, or the password is wrong.
        """
        if self.type == "private":
            raise refusal("ERR_GROUP_JOIN_NOT_ALLOWED", guid=self.guid)
        if self.type == "password" and not password:
            raise refusal("ERR_EMPTY_GROUP_PASS", guid=self.guid)
        if self.type == "password" and password != self.password:
            raise refusal("ERR_WRONG_GROUP_PASS", guid=self.guid)

    def enter(self, uid: str, scope: str = "participant") -> None:
        """Make the user a member.

        :raises ApiError: the user is a member already, or banned.
        """
        if uid in self.members:
            raise refusal("ERR_ALREADY_JOINED", uid=uid, guid=self.guid)
        if uid in self.banned:
            raise refusal("ERR_BANNED_GROUPMEMBER", uid=uid, guid=self.guid)
        self.members[uid] = Member(scope, int(time.time()))

    def add(self, uid: str, by: str, scope: str) -> None:
        """Make the user a member on behalf of another one, who may not give a scope above their own.

        :raises ApiError: as :meth:`enter`, or ``by`` may not do that.
        """
        if self._rank(scope) > self.check_moderator(by):
            raise refusal("ERR_GROUP_NO_SCOPE_CLEARANCE", guid=self.guid)
        self.enter(uid, scope)

    def leave(self, uid: str) -> None:
        """Remove a member who wants to leave.

        :raises ApiError: the user is not a member, or is the owner.
        """
        self.member(uid)
        if uid == self.owner:
            raise refusal("ERR_OWNER_EXIT_FORBIDDEN", guid=self.guid)
        del self.members[uid]

    def kick(self, uid: str, by: str) -> None:
        """Remove a member. The user may join again.

        :raises ApiError: the user is not a member, or ``by`` may not do that.
        """
        self._check_reach(uid, by)
        self._check_member(uid)
        del self.members[uid]

    def ban(self, uid: str, by: str) -> None:
        """Ban a user, member or not. The user may not join again.

        :raises ApiError: the user is banned already, or ``by`` may not do that.
        """
        self._check_reach(uid, by)
        if uid in self.banned:
            raise refusal("ERR_ALREADY_BANNED", uid=uid, guid=self.guid)
        self.members.pop(uid, None)
        self.banned[uid] = int(time.time())

    def unban(self, uid: str, by: str) -> None:
        """Lift a ban.

        :raises ApiError: the user is not banned, or ``by`` may not do that.
        """
        self._check_reach(uid, by)
        if uid not in self.banned:
            raise refusal("ERR_NOT_A_BANNED_USER", uid=uid, guid=self.guid)
        del self.banned[uid]

    def change_scope(self, uid: str, scope: str, by: str) -> str:
        """Give a member another scope, at most the scope of ``by``. Returns the old scope.

        :raises ApiError: the user is not a member or has that scope already, or ``by`` may not do that.
        """
        power = self._check_reach(uid, by)
        self._check_member(uid)
        if self._rank(scope) > power:
            raise refusal("ERR_GROUP_NO_SCOPE_CLEARANCE", guid=self.guid)
        old = self.members[uid].scope
        if old == scope:
            raise refusal("ERR_SAME_SCOPE", uid=uid, scope=scope)
        self.members[uid].scope = scope
        return old

    def update(self, by: str, changes: Mapping[str, Any]) -> None:
        """Change those of name, type, password and details that are given.

        :raises ApiError: a field is wrong, or ``by`` may not do that.
        """
        self.check_moderator(by)
        changes = {key: value for key, value in changes.items() if value is not None}
        check_fields(changes, _CHECKS)
        name, kind = changes.get("name", self.name), changes.get("type", self.type)
        password = changes.get("password", self.password)
        _check_kind(self.guid, kind, password)
        self.name, self.type, self.password = name, kind, password
        self.details = {**self.details, **{key: changes[key] for key in DETAILS if key in changes}}
        self.updated_at = int(time.time())

    def hand_over(self, uid: str, by: str) -> None:
        """Make another member the owner and an admin.

        :raises ApiError: the user is not a member or owns it already, or ``by`` does not own it.
        """
        self.member(by)
        if by not in (self.owner, APP):
            raise refusal("ERR_GROUP_NOT_THE_OWNER", guid=self.guid)
        if uid in (by, self.owner):
            raise refusal("ERR_GROUP_NO_SELF_ACTION", guid=self.guid)
        self._check_member(uid)
        self.owner = uid
        self.members[uid].scope = "admin"

    def check_moderator(self, uid: str) -> int:
        """Return the rank of a user who is at least a moderator.

        :raises ApiError: the user has a lower scope.
        """
        rank = SCOPES.index(self.member(uid).scope)
        if rank < _MODERATOR:
            raise refusal("ERR_GROUP_NO_MODERATOR_SCOPE", guid=self.guid)
        return rank

    def _check_member(self, uid: str) -> None:
        if uid not in self.members:
            raise refusal("ERR_NOT_A_MEMBER", uid=uid, guid=self.guid)

    def _check_reach(self, uid: str, by: str) -> int:
        """Return the rank of ``by``. An admin may act on all members but the owner, a moderator on participants."""
        power = self.check_moderator(by)
        if uid == by:
            raise refusal("ERR_GROUP_NO_SELF_ACTION", guid=self.guid)
        target = self.members.get(uid)
        if uid == self.owner or (power < _ADMIN and target is not None and SCOPES.index(target.scope) >= power):
            raise refusal("ERR_GROUP_NO_SCOPE_CLEARANCE", guid=self.guid)
        return power

    def _rank(self, scope: Any) -> int:
        if scope not in SCOPES:
            raise bad_request("scope", f"must be one of {', '.join(SCOPES)}")
        return SCOPES.index(scope)


def _check_kind(guid: str, kind: Any, password: Any) -> None:
    if kind not in TYPES:
        raise bad_request("type", f"must be one of {', '.join(TYPES)}")
    if kind == "password" and (not isinstance(password, str) or not password):
        raise refusal("ERR_EMPTY_GROUP_PASS", guid=guid)


class Groups:
    """The app's groups, and the actions of users on them. Their ids are lowercase, and match in any case."""

    def __init__(self, users: Users, publisher: Publisher, is_online: Callable[[str], bool]) -> None:
        self._users = users
        self._publisher = publisher
        self._is_online = is_online
        self._groups: Dict[str, Group] = {}

    def get(self, guid: str) -> Group:
        """Return the group.

        :raises ApiError: it does not exist.
        """
        if guid.lower() not in self._groups:
            raise refusal("ERR_GUID_NOT_FOUND", guid=guid)
        return self._groups[guid.lower()]

    def seen_by(self, uid: str) -> List[Group]:
        """Return the groups that the user may see. Only members see private groups."""
        return [group for group in self._groups.values() if group.type != "private" or group.admits(uid)]

    def shown(self, group: Group, viewer: Optional[str] = None) -> Dict[str, Any]:
        """Return the group's fields as the API shows them, with the viewer's own membership."""
        fields = {
            "guid": group.guid,
            "name": group.name,
            "type": group.type,
            "owner": group.owner,
            "membersCount": len(group.members),
            "onlineMembersCount": sum(map(self._is_online, group.members)),
            "conversationId": group.conversation,
            "createdAt": group.created_at,
            "updatedAt": group.updated_at,
            **group.details,
        }
        if viewer is None:
            return fields
        member = group.members.get(viewer)
        if member is None:
            return {**fields, "hasJoined": False, **({"isBanned": True} if viewer in group.banned else {})}
        return {**fields, "hasJoined": True, "scope": member.scope, "joinedAt": member.joined_at}

    def entity(self, group: Group) -> Dict[str, Any]:
        """Return the group as messages show it."""
        return {"entity": self.shown(group), "entityType": "group"}

    def create(self, body: Mapping[str, Any], owner: str, members: Iterable[str] = ()) -> Group:
        """Make a group for the body of ``POST /groups``. Its first members are not notified.

        :raises ApiError: a field is wrong, the guid exists already, or a user does not exist.
        """
        body = {key: value for key, value in body.items() if value is not None}
        check_fields(body, _CHECKS, ("guid", "name", "type"))
        if "members" in body:
            _check_lists(body["members"])
            if sum(len(body["members"].get(name, [])) for name in ADDING) > FIRST_MEMBERS:
                raise bad_request("members", f"has more than {FIRST_MEMBERS} users")
        owner = self._users.get(owner).uid
        uids = [uid for uid in dict.fromkeys(self._users.get(member).uid for member in members) if uid != owner]
        guid, kind, password = body["guid"].lower(), body["type"], body.get("password")
        _check_kind(guid, kind, password)
        if guid in self._groups:
            raise refusal("ERR_GUID_ALREADY_EXISTS", guid=guid)
        now = int(time.time())
        details = {key: body[key] for key in DETAILS if key in body}
        group = Group(guid, body["name"], kind, owner, password, details, now, now)
        if owner != APP:
            group.enter(owner, "admin")
        for uid in uids:
            group.enter(uid)
        self._groups[guid] = group
        users = self._users
        self._publisher.trigger(
            "group_created",
            {"group": self.shown(group, owner), "members": {uid: users.shown(users.get(uid)) for uid in group.members}},
        )
        return group

    def update(self, guid: str, by: str, changes: Mapping[str, Any]) -> Group:
        """Change those of name, type, password and details that are given. Returns the group.

        :raises ApiError: it does not exist, a field is wrong, or ``by`` may not do that.
        """
        group = self.get(guid)
        group.update(by, changes)
        self._publisher.trigger("group_updated", {"group": {**self.shown(group), "updatedBy": by}})
        return group

    def hand_over(self, guid: str, uid: str, by: str) -> str:
        """Make another member the owner. Returns the member's uid.

        :raises ApiError: the group does not exist, the user is not a member, or ``by`` does not own it.
        """
        group, owner = self.get(guid), self._users.get(uid).uid
        old_owner = group.owner
        group.hand_over(owner, by)
        shown = {**self.shown(group), "updatedBy": by, "oldOwner": old_owner}
        self._publisher.trigger("group_owner_transferred", {"group": shown})
        return owner

    def fill(self, group: Group, lists: Mapping[str, Any]) -> Dict[str, Any]:
        """Add the first members to a new group, for the ``members`` of ``POST /groups``. Returns the result of each."""

        def place(name: str, uid: str) -> Dict[str, Message]:
            uid = self._users.get(uid).uid
            if name in _LISTS:
                group.enter(uid, _LISTS[name])
            else:
                group.ban(uid, group.owner)
            return {}

        # The vendor's client expects the lists in a field of their own.
        return {"data": _by_lists(lists, place)}

    def delete(self, guid: str, by: str) -> None:
        """Remove a group. Its messages stay.

        :raises ApiError: it does not exist, or the user is not an admin of it.
        """
        group = self.get(guid)
        if group.member(by).scope != "admin":
            raise refusal("ERR_GROUP_NO_ADMIN_SCOPE", guid=group.guid)
        del self._groups[group.guid]
        self._publisher.trigger("group_deleted", {"group": {**self.shown(group), "updatedBy": by}})

    def remove_everywhere(self, uid: str) -> None:
        """Remove a deleted user from all groups. The members are not notified."""
        for group in self._groups.values():
            group.members.pop(uid, None)
            group.banned.pop(uid, None)

    # Each method returns the action that reports the change. ``by`` is the acting user; None is the owner.

    def join(self, guid: str, uid: str, resource: str, password: Any = None, *, checked: bool = True) -> Message:
        """Let a user join, and return the action. With ``checked``, the group's type and password matter."""
        group, uid = self.get(guid), self._users.get(uid).uid
        if checked and uid not in group.members and uid not in group.banned:
            group.check_entry(password)
        group.enter(uid)
        return self._record("joined", group, uid, resource)

    def leave(self, guid: str, uid: str, resource: str) -> None:
        """Let a user leave."""
        group, uid = self.get(guid), uid.lower()
        group.leave(uid)
        self._record("left", group, uid, resource, also=uid)

    def kick(self, guid: str, uid: str, by: Optional[str], resource: str) -> None:
        """Remove a member. The user may join again."""
        group, uid, by = self._acting(guid, uid, by)
        group.kick(uid, by)
        self._record("kicked", group, by, resource, on=uid, also=uid)

    def ban(self, guid: str, uid: str, by: Optional[str], resource: str) -> Message:
        """Ban a user, member or not, and return the action. The user may not join again."""
        group, uid, by = self._acting(guid, uid, by)
        group.ban(uid, by)
        return self._record("banned", group, by, resource, on=uid, also=uid)

    def unban(self, guid: str, uid: str, by: Optional[str], resource: str) -> None:
        """Lift a ban."""
        group, uid, by = self._acting(guid, uid, by)
        group.unban(uid, by)
        self._record("unbanned", group, by, resource, on=uid)

    def add(self, guid: str, uid: str, by: Optional[str], scope: str, resource: str) -> Message:
        """Make a user a member, and return the action."""
        group, uid, by = self._acting(guid, uid, by)
        group.add(uid, by, scope)
        return self._record("added", group, by, resource, on=uid)

    def change_scope(self, guid: str, uid: str, scope: Any, by: Optional[str], resource: str) -> None:
        """Give a member another scope."""
        group, uid, by = self._acting(guid, uid, by)
        old = group.change_scope(uid, scope, by)
        self._record("scopeChanged", group, by, resource, on=uid, scope={"old": old, "new": scope})

    def add_all(self, guid: str, body: Mapping[str, Any], by: str, resource: str) -> Dict[str, Any]:
        """Add members for the body of ``POST /groups/{guid}/members``. Returns the result of each list and uid.

        If a user cannot be added, the others still are. Not confirmed: the shape of the answer.
        """
        group = self.get(guid)
        group.check_moderator(by)
        _check_lists(body)

        def place(name: str, uid: str) -> Dict[str, Message]:
            if name in _LISTS:
                return {"data": self.add(guid, uid, by, _LISTS[name], resource)}
            return {"data": self.ban(guid, uid, by, resource)}

        return _by_lists(body, place)

    def _acting(self, guid: str, uid: str, by: Optional[str]) -> Tuple[Group, str, str]:
        group = self.get(guid)
        return group, self._users.get(uid).uid, group.owner if by is None else by.lower()

    def _record(
        self,
        action: str,
        group: Group,
        by: str,
        resource: str,
        *,
        on: Optional[str] = None,
        also: Optional[str] = None,
        scope: Optional[Mapping[str, str]] = None,
    ) -> Message:
        """Store an action on the group, and send it to the members.

        :param also: the user who gets it too, and was a member until now.
        """
        entities = {"by": self._users.entity(by), "for": self.entity(group)}
        if on is not None:
            entities["on"] = self._users.entity(on)
        data: Dict[str, Any] = {"action": action, "resource": resource, "entities": entities}
        if scope is not None:
            data["extras"] = {"scope": dict(scope)}
        message = {
            "conversationId": group.conversation,
            "sender": by,
            "receiverType": "group",
            "receiver": group.guid,
            "category": "action",
            "type": "groupMember",
            "data": data,
        }
        audience = {*group.members, *(() if also is None else (also,))}
        return self._publisher.store(message, audience, resource)


def _check_lists(lists: Any) -> None:
    if not isinstance(lists, dict):
        raise bad_request("members", "is not an object")
    for name in ADDING:
        uids = lists.get(name, [])
        if not isinstance(uids, list) or not all(isinstance(uid, str) for uid in uids):
            raise bad_request(name, "is not a list of texts")


def _by_lists(lists: Mapping[str, Any], place: Callable[[str, str], Dict[str, Any]]) -> Dict[str, Dict[str, Any]]:
    """Call ``place`` with the list's name and each uid. Returns the results, with the fields that ``place`` returns."""
    answer: Dict[str, Dict[str, Any]] = {name: {} for name in ADDING}
    for name in ADDING:
        for uid in lists.get(name, []):
            try:
                answer[name][uid] = {"success": True, **place(name, uid)}
            except ApiError as error:
                answer[name][uid] = {"success": False, **error.envelope}
    return answer
