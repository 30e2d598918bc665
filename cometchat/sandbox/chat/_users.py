"""Users: their fields, their blocks and their friends."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Set

from ._errors import bad_request, refusal
from ._fields import A_TEXT, AN_ID, CLIENTS_METADATA, METADATA, Check, a_text, check_fields
from ._triggers import Trigger

#: The sender in a back end's calls that name no user.
APP = "app_system"

#: Fields that users can change, beside their name.
DETAILS = ("avatar", "link", "statusMessage", "metadata", "tags")

#: The key of the part of a user's metadata that only back ends see.
_PRIVATE = "@private"

#: The checks of the fields that a back end gives.
_CHECKS: Mapping[str, Check] = {
    "uid": AN_ID,
    "name": a_text(100, 1),
    "avatar": a_text(3000),
    "link": a_text(3000),
    "role": a_text(100, 1),
    "metadata": METADATA,
    "statusMessage": A_TEXT,
}

#: The checks of the fields that users change.
_OWN_CHECKS: Mapping[str, Check] = {
    **{name: _CHECKS[name] for name in ("name", "avatar", "link", "statusMessage")},
    "metadata": CLIENTS_METADATA,
}

#: The sample users of a new app.
SAMPLE_USERS = {
    "cometchat-uid-1": "Andrew Joseph",
    "cometchat-uid-2": "George Alan",
    "cometchat-uid-3": "Nancy Grace",
    "cometchat-uid-4": "Susan Marie",
    "cometchat-uid-5": "John Paul",
}


@dataclass
class User:
    """One user. Times are Unix seconds."""

    uid: str
    name: str
    role: str
    created_at: int
    last_active_at: int
    updated_at: int
    details: Dict[str, Any] = field(default_factory=dict)
    #: By uid: the time at which the user blocked them.
    blocked: Dict[str, int] = field(default_factory=dict)
    friends: Set[str] = field(default_factory=set)
    #: ``active``, ``deactivated`` or ``deleted``. Messages and groups may still name a user who is not active.
    state: str = "active"
    deactivated_at: Optional[int] = None

    def change(self, changes: Mapping[str, Any]) -> None:
        """Change those of the user's own fields that are given. A null is like no field.

        :raises ApiError: a field is wrong.
        """
        given = {key: value for key, value in changes.items() if value is not None or key == "name"}
        check_fields(given, _OWN_CHECKS)
        self.update(given)

    def update(self, changes: Mapping[str, Any]) -> None:
        """Change those of name and details that are given. They have been checked."""
        self.name = changes.get("name", self.name)
        self.details.update({key: changes[key] for key in DETAILS if key in changes})
        self.updated_at = int(time.time())


class Users:
    """The app's users. Their ids are lowercase, and match in any case. A user who is not active does not exist.

    :param is_online: whether a user has an accepted connection.
    :param trigger: tells the webhook.
    """

    def __init__(self, is_online: Callable[[str], bool], trigger: Trigger) -> None:
        self._is_online = is_online
        self._trigger = trigger
        self._users: Dict[str, User] = {}
        self.add(APP, "System")
        for uid, name in SAMPLE_USERS.items():
            self.add(uid, name)

    @property
    def app(self) -> User:
        """The app itself. It is in no list."""
        return self._users[APP]

    @property
    def all(self) -> List[User]:
        """The active users in the order of their creation."""
        return [user for user in self.in_state("active") if user is not self.app]

    def in_state(self, state: str) -> List[User]:
        """Return the users in a state, in the order of their creation."""
        return [user for user in list(self._users.values()) if user.state == state]

    def add(self, uid: str, name: str, role: str = "default", avatar: Optional[str] = None) -> User:
        """Create the user, or replace the user with that uid."""
        now = int(time.time())
        details = {} if avatar is None else {"avatar": avatar}
        user = User(uid.lower(), name, role, created_at=now, last_active_at=now, updated_at=now, details=details)
        self._users[user.uid] = user
        return user

    def add_checked(self, uid: str, name: str, role: str, avatar: Optional[str]) -> User:
        """Create the user that a test describes, with any uid.

        :raises ApiError: a field is wrong.
        """
        if not isinstance(uid, str) or not uid:
            raise bad_request("uid", "must be a text")
        check_fields({"name": name, "role": role, **({} if avatar is None else {"avatar": avatar})}, _CHECKS)
        return self.add(uid, name, role, avatar)

    def create(self, fields: Mapping[str, Any]) -> User:
        """Create the user that a back end describes.

        :raises ApiError: a field is missing or wrong, or the uid already exists.
        """
        check_fields(fields, _CHECKS, ("uid", "name"))
        before = self._users.get(fields["uid"].lower())
        if before is not None and before.state != "deleted":
            raise refusal("ERR_UID_ALREADY_EXISTS", uid=before.uid)
        user = self.add(fields["uid"], fields["name"], fields.get("role", "default"))
        user.update(fields)
        return user

    def change(self, uid: str, fields: Mapping[str, Any]) -> User:
        """Change fields of a user for a back end, and remove the fields that ``unset`` names.

        :raises ApiError: the user does not exist, or a field is wrong.
        """
        user = self.get(uid)
        unset = fields.get("unset") or []
        if not isinstance(unset, list) or not all(isinstance(name, str) for name in unset):
            raise bad_request("unset", "must be a list of texts")
        check_fields(fields, _CHECKS)
        user.update(fields)
        user.role = fields.get("role", user.role)
        for name in unset:
            user.details.pop(name, None)
        return user

    def set_state(self, uid: str, old: str, new: str) -> Optional[User]:
        """Deactivate, reactivate or delete a user. Returns None if no user in the old state has this uid."""
        user = self._users.get(uid.lower())
        if user is None or user.state != old or user is self.app:
            return None
        user.state = new
        user.deactivated_at = None if new == "active" else int(time.time())
        return user

    def __contains__(self, uid: object) -> bool:
        return isinstance(uid, str) and uid.lower() in self._users and self._users[uid.lower()].state == "active"

    def get(self, uid: str) -> User:
        """Return the user.

        :raises ApiError: the user does not exist.
        """
        if uid not in self:
            raise refusal("ERR_UID_NOT_FOUND", uid=uid)
        return self._users[uid.lower()]

    def known(self, uid: str) -> User:
        """Return a user who is or was active."""
        return self._users[uid]

    def befriend(self, uid: str, others: List[str]) -> None:
        """Make users friends of each other.

        :raises ApiError: a user does not exist, or a user would be their own friend.
        """
        user, friends = self.get(uid), [self.get(other) for other in others]
        if user in friends:
            raise refusal("ERR_CANNOT_FORM_SELF_RELATION")
        for friend in friends:
            user.friends.add(friend.uid)
            friend.friends.add(user.uid)

    def block(self, user: User, uids: List[str]) -> None:
        """Let a user block others. An earlier block keeps its time."""
        now = int(time.time())
        for uid in uids:
            user.blocked.setdefault(uid, now)
        self._tell_of_blocks("user_blocked", user, uids)

    def unblock(self, user: User, uids: List[str]) -> None:
        """Let a user unblock others."""
        for uid in uids:
            user.blocked.pop(uid, None)
        self._tell_of_blocks("user_unblocked", user, uids)

    def separate(self, uid: str, others: List[str]) -> None:
        """End a user's friendships. No-op for users who are not friends.

        :raises ApiError: the user does not exist.
        """
        user = self.get(uid)
        for friend in [self.known(other) for other in user.friends.intersection(map(str.lower, others))]:
            user.friends.discard(friend.uid)
            friend.friends.discard(user.uid)

    def divided(self, one: str, other: str) -> bool:
        """Return whether one of two users has blocked the other."""
        return other in self.known(one).blocked or one in self.known(other).blocked

    def shown(self, user: User, viewer: Optional[User] = None) -> Dict[str, Any]:
        """Return a user's fields as the API shows them to the viewer. The status is ``available`` or ``offline``."""
        fields = self._fields(user, "available" if self._is_online(user.uid) else "offline")
        if viewer is self.app and "metadata" in user.details:
            fields["metadata"] = user.details["metadata"]  # whole
        if viewer is None or viewer is user or viewer is self.app:
            return fields
        fields["conversationId"] = conversation_of_users(user.uid, viewer.uid)
        if viewer.uid in user.blocked:
            fields.update(hasBlockedMe=True, blockedAt=user.blocked[viewer.uid])
        if user.uid in viewer.blocked:
            fields.update(blockedByMe=True, blockedByMeAt=viewer.blocked[user.uid])
        return fields

    def on_socket(self, user: User, online: bool = True) -> Dict[str, Any]:
        """Return a user's fields as frames about them show them. The status is ``online`` or ``offline``."""
        return self._fields(user, "online" if online else "offline")

    def entity(self, uid: str) -> Dict[str, Any]:
        """Return a user as messages show them."""
        return {"entity": self.shown(self.known(uid)), "entityType": "user"}

    def _tell_of_blocks(self, event: str, by: User, uids: List[str]) -> None:
        others = {uid: self.shown(self.get(uid)) for uid in uids if uid in self}
        if others:
            self._trigger(event, {"users": others, "by": self.shown(by)})

    def _fields(self, user: User, status: str) -> Dict[str, Any]:
        return {
            "uid": user.uid,
            "name": user.name,
            "role": user.role,
            "status": status,
            "lastActiveAt": user.last_active_at,
            "createdAt": user.created_at,
            "updatedAt": user.updated_at,
            "hasBlockedMe": False,
            "blockedByMe": False,
            **({} if user.deactivated_at is None else {"deactivatedAt": user.deactivated_at}),
            **{key: _public(value) for key, value in user.details.items()},
        }


def _public(detail: Any) -> Any:
    """Return a user's detail as other users see it."""
    return {key: value for key, value in detail.items() if key != _PRIVATE} if isinstance(detail, dict) else detail


def conversation_of_users(one: str, other: str) -> str:
    """Return the id of two users' conversation."""
    first, second = sorted((one, other))
    return f"{first}_user_{second}"
