"""Joining, leaving, kicking, banning, ...: what users do to groups. No network: see ``posting``.

Each change is stored as a message of the category ``action``, and told to the members and to whom it concerns.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, Mapping, Optional, Tuple

from . import errors
from .groups import DETAILS, Group
from .posting import Posting, group_entity, user_entity

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
        for field in ("guid", "name"):
            if not isinstance(body.get(field), str) or not body[field]:
                raise errors.bad_request(f"The field {field} is missing, or not a text.")
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
