"""Users, auth tokens and jwts of the one app that a sandbox holds. Plain data: no network, no loop, no threads.

Called from the loop thread and, to issue credentials without HTTP, from any other: each step is one dict operation.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Set
from urllib.parse import quote

from . import _errors as errors

#: What users change about themselves, beside their name.
DETAILS = ("avatar", "link", "statusMessage", "metadata", "tags")

#: Seconds. What a jwt of the live service is said to live: about 60 days.
JWT_LIFETIME = 60 * 24 * 3600.0

#: The sample users of a new app.
SAMPLE_USERS = {
    "cometchat-uid-1": "Andrew Joseph",
    "cometchat-uid-2": "George Alan",
    "cometchat-uid-3": "Nancy Grace",
    "cometchat-uid-4": "Susan Marie",
    "cometchat-uid-5": "John Paul",
}


@dataclass
class Account:
    """One user, as the API shows it. Times are epoch seconds."""

    uid: str
    name: str
    role: str
    created_at: int
    last_active_at: int
    updated_at: int
    details: Dict[str, Any] = field(default_factory=dict)
    #: The uids of those whom the user has blocked.
    blocked: Set[str] = field(default_factory=set)

    def fields(self, *, online: bool) -> Dict[str, Any]:
        """The user's fields of the API; what is not set is left out, as the service does."""
        return {
            "uid": self.uid,
            "name": self.name,
            "role": self.role,
            "status": "online" if online else "offline",
            "lastActiveAt": self.last_active_at,
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "hasBlockedMe": False,
            "blockedByMe": False,
            **self.details,
        }

    def fields_for(self, other: Account, *, online: bool) -> Dict[str, Any]:
        """The same, with who of the two has blocked the other."""
        blocks = {"hasBlockedMe": other.uid in self.blocked, "blockedByMe": self.uid in other.blocked}
        return {**self.fields(online=online), **blocks}

    def update(self, changes: Mapping[str, Any]) -> None:
        """Change name and details, as far as they are given.

        :raises ApiError: the name is not one.
        """
        name = changes.get("name", self.name)
        if not isinstance(name, str) or not name:
            raise errors.bad_request("The field name is not a text.")
        self.name = name
        self.details.update({key: changes[key] for key in DETAILS if key in changes})
        self.updated_at = int(time.time())

    def block(self, uids: List[str], blocked: bool) -> None:
        """Block other users, or no longer."""
        if blocked:
            self.blocked.update(uids)
        else:
            self.blocked.difference_update(uids)


@dataclass
class Token:
    """An auth token: whose it is, and whether it still counts."""

    uid: str
    created_at: int
    void: bool = False


@dataclass
class Jwt:
    """An issued jwt. ``resource`` and ``device_id``: what the client called itself when it asked for it, if it did."""

    uid: str
    resource: Optional[str]
    device_id: Optional[str]
    void: bool = False


class RefusedJwt(Exception):
    """Why a jwt is refused."""


class Accounts:
    """Who exists, and which credentials count."""

    def __init__(self) -> None:
        self.users: Dict[str, Account] = {}
        self.tokens: Dict[str, Token] = {}
        #: Seconds that a jwt issued from now on lives; below 0 it has expired already.
        self.jwt_lifetime = JWT_LIFETIME
        self._jwts: Dict[str, Jwt] = {}
        self._key = secrets.token_bytes(32)
        for uid, name in SAMPLE_USERS.items():
            self.add(uid, name)

    def add(self, uid: str, name: str, role: str = "default", avatar: Optional[str] = None) -> Account:
        """Create the user, or change the one there is."""
        now = int(time.time())
        details = {} if avatar is None else {"avatar": avatar}
        account = Account(uid, name, role, created_at=now, last_active_at=now, updated_at=now, details=details)
        self.users[uid] = account
        return account

    def of(self, uid: str) -> Account:
        """The user.

        :raises ApiError: there is none.
        """
        if uid not in self.users:
            raise errors.uid_not_found(uid)
        return self.users[uid]

    def issue_token(self, uid: str) -> str:
        """A new auth token for a user."""
        now = int(time.time())
        token = f"{quote(uid, safe='')}_{now}{secrets.token_hex(16)}"
        self.tokens[token] = Token(uid, now)
        return token

    def revoke_tokens(self, uid: Optional[str]) -> int:
        """Void every auth token, of one user or of all; how many there were."""
        revoked = [token for token in list(self.tokens.values()) if not token.void and uid in (None, token.uid)]
        for token in revoked:
            token.void = True
        return len(revoked)

    def issue_jwt(
        self,
        uid: str,
        *,
        lifetime: Optional[float] = None,
        resource: Optional[str] = None,
        device_id: Optional[str] = None,
    ) -> str:
        """A new jwt for a user, good for ``lifetime`` seconds (default: ``jwt_lifetime``)."""
        now = int(time.time())
        jwt_id = secrets.token_hex(8)
        claims = {
            "sub": uid,
            "iat": now,
            "exp": int(now + (self.jwt_lifetime if lifetime is None else lifetime)),
            "jti": jwt_id,
        }
        signed = f"{_encode_json({'alg': 'HS256', 'typ': 'JWT'})}.{_encode_json(claims)}"
        self._jwts[jwt_id] = Jwt(uid, resource, device_id)
        return f"{signed}.{self._signature(signed)}"

    def expire_jwts(self) -> int:
        """Void every jwt issued so far; how many there were."""
        expired = [jwt for jwt in list(self._jwts.values()) if not jwt.void]
        for jwt in expired:
            jwt.void = True
        return len(expired)

    def read_jwt(self, text: str) -> Jwt:
        """The jwt behind the text.

        :raises RefusedJwt: it is not one of ours, or no longer good.
        """
        signed, _, signature = text.rpartition(".")
        if text.count(".") != 2 or not hmac.compare_digest(signature.encode(), self._signature(signed).encode()):
            raise RefusedJwt("the signature is wrong")
        # What is signed was issued here: from now on it can be trusted to be well-formed and known.
        claims = _decode_json(signed.partition(".")[2])
        jwt = self._jwts[claims["jti"]]
        if jwt.void or claims["exp"] <= time.time():
            raise RefusedJwt("it has expired")
        return jwt

    def _signature(self, signed: str) -> str:
        return _encode(hmac.new(self._key, signed.encode(), hashlib.sha256).digest())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _encode_json(data: Dict[str, Any]) -> str:
    return _encode(json.dumps(data, separators=(",", ":")).encode())


def _decode_json(part: str) -> Dict[str, Any]:
    claims: Dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims
