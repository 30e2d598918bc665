"""A group of the app."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Tuple

from .. import _fields


@dataclass(frozen=True)
class Group:
    """A group, with the vendor's field names in snake_case. Times are Unix times in seconds. Unknown fields are None.

    :ivar type: ``"public"``, ``"private"`` or ``"password"``.
    :ivar scope: the logged-in user's role in the group: ``"admin"``, ``"moderator"`` or ``"participant"``.
    """

    guid: str
    name: Optional[str] = None
    type: Optional[str] = None
    icon: Optional[str] = None
    description: Optional[str] = None
    owner: Optional[str] = None
    scope: Optional[str] = None
    members_count: Optional[int] = None
    online_members_count: Optional[int] = None
    has_joined: Optional[bool] = None
    is_banned_from_group: Optional[bool] = None
    conversation_id: Optional[str] = None
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    tags: Tuple[str, ...] = ()
    joined_at: Optional[int] = None
    created_at: Optional[int] = None
    updated_at: Optional[int] = None
    updated_by: Optional[str] = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Group:
        """Read the service's JSON object. Never raises: fields that are missing or of a wrong type are None."""
        return cls(
            guid=_fields.text(data, "guid") or "",
            name=_fields.text(data, "name"),
            type=_fields.text(data, "type"),
            icon=_fields.text(data, "icon"),
            description=_fields.text(data, "description"),
            owner=_fields.text(data, "owner"),
            scope=_fields.text(data, "scope"),
            members_count=_fields.number(data, "membersCount"),
            online_members_count=_fields.number(data, "onlineMembersCount"),
            has_joined=_fields.flag(data, "hasJoined"),
            is_banned_from_group=_fields.flag(data, "isBanned" if "isBanned" in data else "isBannedFromGroup"),
            conversation_id=_fields.text(data, "conversationId"),
            metadata=_fields.mapping(data, "metadata"),
            tags=_fields.texts(data, "tags"),
            joined_at=_fields.moment(data, "joinedAt"),
            created_at=_fields.moment(data, "createdAt"),
            updated_at=_fields.moment(data, "updatedAt"),
            updated_by=_fields.text(data, "updatedBy"),
            raw=_fields.raw(data),
        )
