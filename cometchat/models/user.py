"""A user of the app."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Tuple

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
        return cls(
            uid=_fields.text(data, "uid") or "",
            name=_fields.text(data, "name"),
            avatar=_fields.text(data, "avatar"),
            link=_fields.text(data, "link"),
            role=_fields.text(data, "role"),
            status=_fields.text(data, "status"),
            status_message=_fields.text(data, "statusMessage"),
            metadata=_fields.mapping(data, "metadata"),
            tags=_fields.texts(data, "tags"),
            last_active_at=_fields.number(data, "lastActiveAt"),
            created_at=_fields.number(data, "createdAt"),
            updated_at=_fields.number(data, "updatedAt"),
            deactivated_at=_fields.number(data, "deactivatedAt"),
            has_blocked_me=_fields.flag(data, "hasBlockedMe"),
            blocked_by_me=_fields.flag(data, "blockedByMe"),
            auth_token=_fields.text(data, "authToken"),
            raw=_fields.raw(data),
        )
