"""A user of the app."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from . import _fields


@dataclass(frozen=True)
class User:
    """A user, with the vendor's field names in snake_case.

    Times are Unix times in seconds. A field that the service did not send is None (``metadata`` and ``tags``: empty);
    ``raw`` keeps everything that it did send, unknown fields too, without credentials.
    """

    uid: str
    name: Optional[str] = None
    avatar: Optional[str] = None
    link: Optional[str] = None
    role: Optional[str] = None
    status: Optional[str] = None
    status_message: Optional[str] = None
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    tags: Tuple[str, ...] = ()
    last_active_at: Optional[int] = None
    created_at: Optional[int] = None
    updated_at: Optional[int] = None
    deactivated_at: Optional[int] = None
    has_blocked_me: Optional[bool] = None
    blocked_by_me: Optional[bool] = None
    #: The auth token of the login, where this is the logged-in user: what ``login_with_auth_token`` takes. A secret.
    auth_token: Optional[str] = field(default=None, repr=False, compare=False)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> User:
        """Read the service's JSON object. Never raises: what is missing or of another type is None."""
        values = _NOTHING.copy()
        for key, value in data.items():
            field_and_reader = _READERS.get(key)
            if field_and_reader is not None:
                name, read = field_and_reader
                # The fields of most users are texts.
                values[name] = value if read is _fields.text and type(value) is str else read(data, key)
        if "metadata" not in data:
            values["metadata"] = {}
        values["uid"] = values["uid"] or ""
        values["raw"] = _fields.raw(data)
        # Past the frozen __init__, which would set each of the fields through object.__setattr__: presence is most of
        # what comes, and each event of it has a user.
        user = cls.__new__(cls)
        user.__dict__.update(values)
        return user


#: The service's key, the field that it goes to, and how it is read.
_READERS: Dict[str, Tuple[str, Callable[[Mapping[str, Any], str], Any]]] = {
    "uid": ("uid", _fields.text),
    "name": ("name", _fields.text),
    "avatar": ("avatar", _fields.text),
    "link": ("link", _fields.text),
    "role": ("role", _fields.text),
    "status": ("status", _fields.text),
    "statusMessage": ("status_message", _fields.text),
    "metadata": ("metadata", _fields.mapping),
    "tags": ("tags", _fields.texts),
    "lastActiveAt": ("last_active_at", _fields.number),
    "createdAt": ("created_at", _fields.number),
    "updatedAt": ("updated_at", _fields.number),
    "deactivatedAt": ("deactivated_at", _fields.number),
    "hasBlockedMe": ("has_blocked_me", _fields.flag),
    "blockedByMe": ("blocked_by_me", _fields.flag),
    "authToken": ("auth_token", _fields.text),
}

#: A user of whom the service says nothing.
_NOTHING: Dict[str, Any] = {**{each.name: None for each in fields(User)}, "tags": ()}
