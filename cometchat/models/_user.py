"""A user of the app."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from .. import _fields

#: The API's status -> the status of the socket and of this SDK.
_STATUSES: Dict[Optional[str], str] = {"available": "online", "": "offline", None: "offline"}

_text = _fields.text

# Shorter to find, for the events that arrive in floods.
_new, _set = object.__new__, object.__setattr__


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
        # Containers are read at once, since the caller may change them. The other fields are read at their first use:
        # most events are presence, and few listeners read all fields of its user.
        values: Dict[str, Any] = {"raw": _fields.raw(data)}
        if "metadata" in data:
            values["metadata"] = _fields.mapping(data, "metadata")
        if "tags" in data:
            values["tags"] = _fields.texts(data, "tags")
        if "authToken" in data:
            values[_TOKEN] = _text(data, "authToken")
        user = _new(cls)
        _set(user, "__dict__", values)  # the class is frozen
        return user

    def __getstate__(self) -> Dict[str, Any]:
        state = self.__dict__.copy()
        state.pop(_TOKEN, None)
        return state


#: The attribute with the auth token. It is not a field, so asdict() does not find it.
_TOKEN = "_auth_token"  # nosec B105


def _uid(data: Mapping[str, Any], key: str) -> str:
    return _text(data, key) or ""


def _status(data: Mapping[str, Any], key: str) -> Optional[str]:
    status = _text(data, key)
    return _STATUSES.get(status, status)


class _Field:
    """A field of a user that was read from JSON. The first use reads it from ``raw``, and keeps it."""

    def __init__(self, name: str, key: str, read: Callable[[Mapping[str, Any], str], Any]) -> None:
        self._name = name
        self._key = key
        self._read = read

    def __get__(self, user: Optional[User], owner: type) -> Any:
        if user is None:
            return None
        values = user.__dict__
        value = values[self._name] = self._read(values["raw"], self._key)
        return value


for _name, _key, _reader in (
    ("uid", "uid", _uid),
    ("name", "name", _text),
    ("avatar", "avatar", _text),
    ("link", "link", _text),
    ("role", "role", _text),
    ("status", "status", _status),
    ("status_message", "statusMessage", _text),
    ("metadata", "metadata", _fields.mapping),
    ("tags", "tags", _fields.texts),
    ("last_active_at", "lastActiveAt", _fields.moment),
    ("created_at", "createdAt", _fields.moment),
    ("updated_at", "updatedAt", _fields.moment),
    ("deactivated_at", "deactivatedAt", _fields.moment),
    ("has_blocked_me", "hasBlockedMe", _fields.flag),
    ("blocked_by_me", "blockedByMe", _fields.flag),
    ("blocked_at", "blockedAt", _fields.moment),
    ("blocked_by_me_at", "blockedByMeAt", _fields.moment),
    ("conversation_id", "conversationId", _text),
):
    setattr(User, _name, _Field(_name, _key, _reader))
