"""Users: their fields, whom they have blocked, and who their friends are."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Set

from ._errors import bad_request, refusal
from ._triggers import Trigger

#: Fields that users can change, beside their name.
DETAILS = ("avatar", "link", "statusMessage", "metadata", "tags")

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
    #: By uid: since when the user has blocked them.
    blocked: Dict[str, int] = field(default_factory=dict)
    friends: Set[str] = field(default_factory=set)

    def update(self, changes: Mapping[str, Any]) -> None:
        """Change name and details, as far as they are given.

        :raises ApiError: the name is not a text.
        """
        name = changes.get("name", self.name)
        if not isinstance(name, str) or not name:
            raise bad_request("name", "is not a text")
        self.name = name
        self.details.update({key: changes[key] for key in DETAILS if key in changes})
        self.updated_at = int(time.time())


class Users:
    """The app's users. Their ids are lowercase, and are found in any case.

    :param is_online: whether a user has an accepted connection.
    :param trigger: tells the webhook.
    """

    def __init__(self, is_online: Callable[[str], bool], trigger: Trigger) -> None:
        self._is_online = is_online
        self._trigger = trigger
        self._users: Dict[str, User] = {}
        for uid, name in SAMPLE_USERS.items():
            self.add(uid, name)

    @property
    def all(self) -> List[User]:
        """The users in the order of their creation."""
        return list(self._users.values())

    def add(self, uid: str, name: str, role: str = "default", avatar: Optional[str] = None) -> User:
        """Create the user, or replace the one of that uid."""
        now = int(time.time())
        details = {} if avatar is None else {"avatar": avatar}
        user = User(uid.lower(), name, role, created_at=now, last_active_at=now, updated_at=now, details=details)
        self._users[user.uid] = user
        return user

    def __contains__(self, uid: object) -> bool:
        return isinstance(uid, str) and uid.lower() in self._users

    def get(self, uid: str) -> User:
        """Return the user.

        :raises ApiError: the user does not exist.
        """
        if uid not in self:
            raise refusal("ERR_UID_NOT_FOUND", uid=uid)
        return self._users[uid.lower()]

    def befriend(self, uid: str, others: List[str]) -> None:
        """Make users friends of each other.

        :raises ApiError: one of them does not exist, or is the user.
        """
        user, friends = self.get(uid), [self.get(other) for other in others]
        if user in friends:
            raise refusal("ERR_CANNOT_FORM_SELF_RELATION")
        for friend in friends:
            user.friends.add(friend.uid)
            friend.friends.add(user.uid)

    def block(self, user: User, uids: List[str]) -> None:
        """Let a user block others; an earlier block keeps its time."""
        now = int(time.time())
        for uid in uids:
            user.blocked.setdefault(uid, now)
        self._tell_of_blocks("user_blocked", user, uids)

    def unblock(self, user: User, uids: List[str]) -> None:
        """Let a user take blocks back."""
        for uid in uids:
            user.blocked.pop(uid, None)
        self._tell_of_blocks("user_unblocked", user, uids)

    def divided(self, one: str, other: str) -> bool:
        """Return whether one of two users has blocked the other."""
        return other in self.get(one).blocked or one in self.get(other).blocked

    def shown(self, user: User, viewer: Optional[User] = None) -> Dict[str, Any]:
        """Return a user's fields as the API shows them to the viewer: the status is ``available`` or ``offline``."""
        fields = self._fields(user, "available" if self._is_online(user.uid) else "offline")
        if viewer is None or viewer is user:
            return fields
        fields["conversationId"] = conversation_of_users(user.uid, viewer.uid)
        if viewer.uid in user.blocked:
            fields.update(hasBlockedMe=True, blockedAt=user.blocked[viewer.uid])
        if user.uid in viewer.blocked:
            fields.update(blockedByMe=True, blockedByMeAt=viewer.blocked[user.uid])
        return fields

    def on_socket(self, user: User, online: bool = True) -> Dict[str, Any]:
        """Return a user's fields as frames about them show them: the status is ``online`` or ``offline``."""
        return self._fields(user, "online" if online else "offline")

    def entity(self, uid: str) -> Dict[str, Any]:
        """Return a user as messages show them."""
        return {"entity": self.shown(self.get(uid)), "entityType": "user"}

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
            **user.details,
        }


def conversation_of_users(one: str, other: str) -> str:
    """Return the id of two users' conversation."""
    first, second = sorted((one, other))
    return f"{first}_user_{second}"
