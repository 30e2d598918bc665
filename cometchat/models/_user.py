"""A user of the app."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from .. import _fields

#: The API's status -> the status of the socket and of this SDK.
_STATUSES: Dict[Optional[str], str] = {"available": "online", "": "offline", None: "offline"}

_text = _fields.text


@dataclass(frozen=True)
class User:
    """A user, with the vendor's field names in snake_case.

    Times are Unix times in seconds. A field that the service did not send is None (``metadata`` and ``tags``: empty).
    ``raw`` keeps everything that the service sent, unknown fields too, without credentials.

    :ivar status: ``"online"`` or ``"offline"``. The API's ``"available"`` is read as ``"online"``. A user without a
        status in the service's data is offline. None if only the user's uid is known.
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
    blocked_at: Optional[int] = None
    blocked_by_me_at: Optional[int] = None
    conversation_id: Optional[str] = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def auth_token(self) -> Optional[str]:
        """The auth token of the login, a secret. Only the logged-in user has one. ``login_with_auth_token`` takes it.

        Copies, pickles and ``dataclasses.asdict()`` of the user do not have it.
        """
        token: Optional[str] = self.__dict__.get(_TOKEN)
        return token

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> User:
        """Read the service's JSON object. Never raises: fields that are missing or of a wrong type are None."""
        # Holds only the fields that the service sent. Python reads the others, most of them None, from the class.
        values: Dict[str, Any] = {"uid": None, "status": None, "metadata": {}}
        for key, value in data.items():
            if key in _SAME and type(value) is str:
                values[key] = value
            elif key in _READERS:
                name, read = _READERS[key]
                values[name] = read(data, key)
        if values["uid"] is None:
            values["uid"] = ""
        status = values["status"]
        if status in _STATUSES:
            values["status"] = _STATUSES[status]
        values["raw"] = _fields.raw(data)
        # Not through the frozen __init__, which would call object.__setattr__ for each field: most events are presence,
        # and each has a user.
        user = object.__new__(cls)
        object.__setattr__(user, "__dict__", values)
        return user

    def __getstate__(self) -> Dict[str, Any]:
        state = self.__dict__.copy()
        state.pop(_TOKEN, None)
        return state


#: The attribute with the auth token. It is not a field, so asdict() does not find it.
_TOKEN = "_auth_token"  # nosec B105


#: The service's key, the field, and the reader of the field.
_READERS: Dict[str, Tuple[str, Callable[[Mapping[str, Any], str], Any]]] = {
    "uid": ("uid", _text),
    "name": ("name", _text),
    "avatar": ("avatar", _text),
    "link": ("link", _text),
    "role": ("role", _text),
    "status": ("status", _text),
    "statusMessage": ("status_message", _text),
    "metadata": ("metadata", _fields.mapping),
    "tags": ("tags", _fields.texts),
    "lastActiveAt": ("last_active_at", _fields.moment),
    "createdAt": ("created_at", _fields.moment),
    "updatedAt": ("updated_at", _fields.moment),
    "deactivatedAt": ("deactivated_at", _fields.moment),
    "hasBlockedMe": ("has_blocked_me", _fields.flag),
    "blockedByMe": ("blocked_by_me", _fields.flag),
    "blockedAt": ("blocked_at", _fields.moment),
    "blockedByMeAt": ("blocked_by_me_at", _fields.moment),
    "conversationId": ("conversation_id", _text),
    "authToken": (_TOKEN, _text),
}

#: Texts whose field has the name that the service gives it.
_SAME = frozenset(key for key, (name, read) in _READERS.items() if name == key and read is _text)
