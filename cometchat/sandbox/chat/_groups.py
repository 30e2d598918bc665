"""Groups: who is in them, who may do what to whom. Plain data: no network, no loop, no threads.

A method that changes a group checks first whether it is allowed, and raises ``ApiError`` where it is not: nothing has
changed then. That others hear of a change is not this module's business.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple

from . import _errors as errors
from ._publisher import Posting, group_entity, user_entity

TYPES = ("public", "private", "password")

#: From the least to the most powerful.
SCOPES = ("participant", "moderator", "admin")

DETAILS = ("icon", "description", "metadata", "tags")

_MODERATOR = SCOPES.index("moderator")
_ADMIN = SCOPES.index("admin")


@dataclass
class Member:
    """One user's membership."""

    scope: str
    joined_at: int


@dataclass
class Group:
    """One group. Its owner is a member, an admin, and out of everybody's reach."""

    guid: str
    name: str
    type: str
    owner: str
    password: Optional[str] = field(default=None, repr=False)
    #: Icon, description, metadata, tags: what it was created with, or given later.
    details: Mapping[str, Any] = field(default_factory=dict)
    created_at: int = 0
    updated_at: int = 0
    members: Dict[str, Member] = field(default_factory=dict)
    #: By uid: since when.
    banned: Dict[str, int] = field(default_factory=dict)

    @property
    def conversation(self) -> str:
        """The id of its conversation."""
        return f"group_{self.guid}"

    @property
    def fields(self) -> Dict[str, Any]:
        """The group's fields of the API, as anybody may see them."""
        return {
            "guid": self.guid,
            "name": self.name,
            "type": self.type,
            "owner": self.owner,
            "membersCount": len(self.members),
            "conversationId": self.conversation,
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            **self.details,
        }

    def fields_for(self, uid: str) -> Dict[str, Any]:
        """The same with the user's own membership."""
        member = self.members.get(uid)
        if member is None:
            return {**self.fields, "hasJoined": False}
        return {**self.fields, "hasJoined": True, "scope": member.scope, "joinedAt": member.joined_at}

    def member(self, uid: str) -> Member:
        """The membership of the one who acts.

        :raises ApiError: they are not in the group.
        """
        if uid not in self.members:
            raise errors.group_not_joined(self.guid)
        return self.members[uid]

    def moderates(self, uid: str) -> bool:
        """Whether the user is a moderator or an admin of the group."""
        return uid in self.members and SCOPES.index(self.members[uid].scope) >= _MODERATOR

    def check_entry(self, password: Any) -> None:
        """Whether somebody may come in by themselves, with this password.

        :raises ApiError: they may not.
        """
        if self.type == "private":
            raise errors.group_join_not_allowed(self.guid)
        if self.type == "password" and password != self.password:
            raise errors.wrong_group_password(self.guid)

    def enter(self, uid: str, scope: str = "participant") -> None:
        """Make the user a member.

        :raises ApiError: they are a member already, or banned.
        """
        if uid in self.members:
            raise errors.already_joined(uid, self.guid)
        if uid in self.banned:
            raise errors.banned_member(uid, self.guid)
        self.members[uid] = Member(scope, int(time.time()))

    def add(self, uid: str, by: str, scope: str) -> None:
        """As ``enter()``, by another member, who may not give a scope above their own.

        :raises ApiError: as ``enter()``, or they may not do that.
        """
        if _rank(scope) > self._power(by):
            raise errors.no_scope_clearance(self.guid)
        self.enter(uid, scope)

    def leave(self, uid: str) -> None:
        """The user goes of their own will.

        :raises ApiError: they are no member, or the owner.
        """
        self.member(uid)
        if uid == self.owner:
            raise errors.owner_may_not_leave(self.guid)
        del self.members[uid]

    def kick(self, uid: str, by: str) -> None:
        """The user is removed by another, and may come again.

        :raises ApiError: they are no member, or the other may not do that.
        """
        self._check_reach(uid, by)
        if uid not in self.members:
            raise errors.not_a_member(uid, self.guid)
        del self.members[uid]

    def ban(self, uid: str, by: str) -> None:
        """The user is removed by another where they were a member, and may not come again.

        :raises ApiError: they are banned already, or the other may not do that.
        """
        self._check_reach(uid, by)
        if uid in self.banned:
            raise errors.banned_member(uid, self.guid)
        self.members.pop(uid, None)
        self.banned[uid] = int(time.time())

    def unban(self, uid: str, by: str) -> None:
        """The user may come again.

        :raises ApiError: they are not banned, or the other may not do that.
        """
        self._check_reach(uid, by)
        if uid not in self.banned:
            raise errors.not_banned(uid, self.guid)
        del self.banned[uid]

    def change_scope(self, uid: str, scope: str, by: str) -> str:
        """Give a member another scope, not above the giver's own; the scope they had.

        :raises ApiError: they are no member or have that scope already, or the other may not do that.
        """
        power = self._check_reach(uid, by)
        if uid not in self.members:
            raise errors.not_a_member(uid, self.guid)
        if _rank(scope) > power:
            raise errors.no_scope_clearance(self.guid)
        old = self.members[uid].scope
        if old == scope:
            raise errors.same_scope(uid, scope)
        self.members[uid].scope = scope
        return old

    def update(self, by: str, changes: Mapping[str, Any]) -> None:
        """Change name, type, password and details, as far as they are given.

        :raises ApiError: a field is wrong, or the user may not do that.
        """
        self._power(by)
        name, kind = changes.get("name", self.name), changes.get("type", self.type)
        password = changes.get("password", self.password)
        if not isinstance(name, str) or not name:
            raise errors.bad_request("The field name is not a text.")
        _check_kind(kind, password)
        self.name, self.type, self.password = name, kind, password
        self.details = {**self.details, **{key: changes[key] for key in DETAILS if key in changes}}
        self.updated_at = int(time.time())

    def hand_over(self, uid: str, by: str) -> None:
        """Make another member the owner, who is an admin then.

        :raises ApiError: they are no member, or own it already, or the other does not own it.
        """
        self.member(by)
        if by != self.owner:
            raise errors.no_scope_clearance(self.guid)
        if uid == by:
            raise errors.no_self_action(self.guid)
        if uid not in self.members:
            raise errors.not_a_member(uid, self.guid)
        self.owner = uid
        self.members[uid].scope = "admin"

    def check_moderator(self, uid: str) -> None:
        """Whether the user is at least a moderator.

        :raises ApiError: they are not.
        """
        self._power(uid)

    def _power(self, by: str) -> int:
        """The rank of somebody who is at least a moderator."""
        rank = SCOPES.index(self.member(by).scope)
        if rank < _MODERATOR:
            raise errors.no_scope_clearance(self.guid)
        return rank

    def _check_reach(self, uid: str, by: str) -> int:
        """The rank of ``by``, who may act on ``uid``: an admin on all but the owner, a moderator on participants."""
        power = self._power(by)
        if uid == by:
            raise errors.no_self_action(self.guid)
        target = self.members.get(uid)
        if uid == self.owner or (power < _ADMIN and target is not None and SCOPES.index(target.scope) >= power):
            raise errors.no_scope_clearance(self.guid)
        return power


def _check_kind(kind: Any, password: Any) -> None:
    if kind not in TYPES:
        raise errors.bad_request(f"The type is none of {', '.join(TYPES)}.")
    if kind == "password" and (not isinstance(password, str) or not password):
        raise errors.bad_request("A group of the type password needs a password.")


def _rank(scope: Any) -> int:
    if scope not in SCOPES:
        raise errors.bad_request(f"The scope is none of {', '.join(SCOPES)}.")
    return SCOPES.index(scope)


class Groups:
    """The app's groups."""

    def __init__(self) -> None:
        self._groups: Dict[str, Group] = {}

    def create(
        self,
        guid: str,
        name: str,
        kind: str,
        owner: str,
        password: Optional[str] = None,
        details: Optional[Mapping[str, Any]] = None,
    ) -> Group:
        """A new group with its owner in it.

        :raises ApiError: the guid is taken, the type unknown, or the password missing.
        """
        _check_kind(kind, password)
        if guid in self._groups:
            raise errors.guid_exists(guid)
        now = int(time.time())
        group = Group(guid, name, kind, owner, password, dict(details or {}), now, now)
        group.enter(owner, "admin")
        self._groups[guid] = group
        return group

    def of(self, guid: str) -> Group:
        """The group.

        :raises ApiError: there is none.
        """
        if guid not in self._groups:
            raise errors.guid_not_found(guid)
        return self._groups[guid]

    def seen_by(self, uid: str) -> List[Group]:
        """The groups that the user may know of: private ones only as a member."""
        return [group for group in self._groups.values() if group.type != "private" or uid in group.members]

    def delete(self, guid: str, by: str) -> None:
        """Remove a group. What was said in it stays.

        :raises ApiError: there is none, or the user is no admin of it.
        """
        group = self.of(guid)
        if group.member(by).scope != "admin":
            raise errors.no_scope_clearance(guid)
        del self._groups[guid]

    def heard_by(self, guid: str, uid: str) -> Optional[Group]:
        """The group, where the user may speak in it."""
        group = self._groups.get(guid)
        return group if group is not None and uid in group.members else None


#: The lists of ``POST /groups/{guid}/members`` that add members, the most powerful first; and the scope of each.
_LISTS = {"admins": "admin", "moderators": "moderator", "participants": "participant"}

#: What makes the body of that call one that adds members, and not a join.
ADDING = (*_LISTS, "usersToBan")


class Grouping(Posting):
    """One app's groups, in the hands of its users. Every method raises ``ApiError`` where the user may not."""

    def create(self, body: Any, owner: str, members: Iterable[str] = ()) -> Group:
        """A new group, by the body of ``POST /groups``. Nobody is told: its first members are simply there."""
        if not isinstance(body, dict):
            raise errors.bad_request("The body is not a JSON object.")
        for name in ("guid", "name"):
            if not isinstance(body.get(name), str) or not body[name]:
                raise errors.bad_request(f"The field {name} is missing, or not a text.")
        if "members" in body:
            _check_lists(body["members"])
        uids = [uid for uid in dict.fromkeys(members) if uid != owner]
        for uid in (owner, *uids):
            self._state.accounts.of(uid)
        details = {key: body[key] for key in DETAILS if key in body}
        kind = body.get("type", "public")
        group = self._state.groups.create(body["guid"], body["name"], kind, owner, body.get("password"), details)
        for uid in uids:
            group.enter(uid)
        return group

    def fill(self, group: Group, lists: Mapping[str, Any]) -> Dict[str, Any]:
        """Put its first members into a new group, by the ``members`` of ``POST /groups``; what came of each."""

        def place(name: str, uid: str) -> None:
            self._state.accounts.of(uid)
            if name in _LISTS:
                group.enter(uid, _LISTS[name])
            else:
                group.ban(uid, group.owner)

        # The vendor's client looks for the lists in a field of their own.
        return {"data": _by_lists(lists, place)}

    def join(self, guid: str, uid: str, resource: str, password: Any = None, *, checked: bool = True) -> Dict[str, Any]:
        """The user joins; the stored action. ``checked`` is whether the group's type and password matter."""
        group = self._state.groups.of(guid)
        self._state.accounts.of(uid)
        if checked and uid not in group.members and uid not in group.banned:
            group.check_entry(password)
        group.enter(uid)
        return self._record("joined", group, uid, resource)

    def leave(self, guid: str, uid: str, resource: str) -> None:
        """The user leaves."""
        group = self._state.groups.of(guid)
        group.leave(uid)
        self._record("left", group, uid, resource, concerned=uid)

    def kick(self, guid: str, uid: str, by: Optional[str], resource: str) -> None:
        """A member removes another. ``by``, here and below: None is the owner."""
        group, by = self._acting(guid, uid, by)
        group.kick(uid, by)
        self._record("kicked", group, by, resource, on=uid)

    def ban(self, guid: str, uid: str, by: Optional[str], resource: str) -> None:
        """A member removes another, or somebody who is not there, for good."""
        group, by = self._acting(guid, uid, by)
        group.ban(uid, by)
        self._record("banned", group, by, resource, on=uid)

    def unban(self, guid: str, uid: str, by: Optional[str], resource: str) -> None:
        """A member takes a ban back."""
        group, by = self._acting(guid, uid, by)
        group.unban(uid, by)
        self._record("unbanned", group, by, resource, on=uid)

    def add(self, guid: str, uid: str, by: Optional[str], scope: str, resource: str) -> None:
        """A member makes another user one."""
        group, by = self._acting(guid, uid, by)
        group.add(uid, by, scope)
        self._record("added", group, by, resource, on=uid)

    def change_scope(self, guid: str, uid: str, scope: Any, by: Optional[str], resource: str) -> None:
        """A member gives another one another scope."""
        group, by = self._acting(guid, uid, by)
        old = group.change_scope(uid, scope, by)
        self._record("scopeChanged", group, by, resource, on=uid, scope={"old": old, "new": scope})

    def add_all(self, guid: str, body: Dict[str, Any], by: str, resource: str) -> Dict[str, Any]:
        """By the body of ``POST /groups/{guid}/members``; for each list and uid what came of it.

        One who can't be added does not stop the others. Not confirmed: the shape of what is answered.
        """
        group = self._state.groups.of(guid)
        group.check_moderator(by)
        _check_lists(body)

        def place(name: str, uid: str) -> None:
            if name in _LISTS:
                self.add(guid, uid, by, _LISTS[name], resource)
            else:
                self.ban(guid, uid, by, resource)

        return _by_lists(body, place)

    def _acting(self, guid: str, uid: str, by: Optional[str]) -> Tuple[Group, str]:
        group = self._state.groups.of(guid)
        self._state.accounts.of(uid)
        return group, group.owner if by is None else by

    def _record(
        self,
        action: str,
        group: Group,
        by: str,
        resource: str,
        *,
        on: Optional[str] = None,
        concerned: Optional[str] = None,
        scope: Optional[Mapping[str, str]] = None,
    ) -> Dict[str, Any]:
        entities = {"by": user_entity(self._state.accounts.of(by)), "for": group_entity(group.fields)}
        if on is not None:
            entities["on"] = user_entity(self._state.accounts.of(on))
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
        also = {uid for uid in (on, concerned) if uid is not None}
        return self._store(message, frozenset(group.members) | also, resource)


def _check_lists(lists: Any) -> None:
    if not isinstance(lists, dict):
        raise errors.bad_request("The field members is not an object.")
    for name in ADDING:
        uids = lists.get(name, [])
        if not isinstance(uids, list) or not all(isinstance(uid, str) for uid in uids):
            raise errors.bad_request(f"The field {name} is not a list of texts.")


def _by_lists(lists: Mapping[str, Any], place: Callable[[str, str], None]) -> Dict[str, Dict[str, Any]]:
    """Call ``place`` with each list's name and each uid in it; what came of it."""
    answer: Dict[str, Dict[str, Any]] = {name: {} for name in ADDING}
    for name in ADDING:
        for uid in lists.get(name, []):
            try:
                place(name, uid)
                answer[name][uid] = {"success": True}
            except errors.ApiError as error:
                answer[name][uid] = {"success": False, **error.envelope}
    return answer
