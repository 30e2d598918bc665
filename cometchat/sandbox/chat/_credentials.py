"""Auth tokens and jwts, and whether they are still valid."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass, replace
from typing import Any, Dict, Optional
from urllib.parse import quote

#: Lifetime of a jwt, in seconds: about 60 days, as on the live service.
JWT_LIFETIME = 60 * 24 * 3600.0


@dataclass(frozen=True)
class Token:
    """An auth token. ``device_id`` is the first device that logged in with it."""

    uid: str
    created_at: int
    void: bool = False
    device_id: Optional[str] = None


@dataclass(frozen=True)
class Jwt:
    """An issued jwt. ``resource`` and ``device_id`` are the names that the client gave when it asked for the jwt."""

    uid: str
    resource: Optional[str]
    device_id: Optional[str]
    void: bool = False


class RefusedJwt(Exception):
    """The reason of the refusal of a jwt."""


class Credentials:
    """The credentials of the app's users. Each is replaced and not changed, so that a store writes only new ones."""

    def __init__(self) -> None:
        self.tokens: Dict[str, Token] = {}
        self._jwts: Dict[str, Jwt] = {}
        self._key = secrets.token_bytes(32)

    def issue_token(self, uid: str) -> str:
        """Make an auth token for a user."""
        now, nanoseconds = divmod(time.time_ns(), 10**9)
        # A store returns a user's tokens in the order of their texts.
        token = f"{quote(uid, safe='')}_{now}{nanoseconds:08x}{secrets.token_hex(12)}"
        self.tokens[token] = Token(uid, now)
        return token

    def token(self, text: str, newest: Optional[int] = None) -> Optional[Token]:
        """Return the auth token if it is valid. With ``newest``, only that many of a user's newest tokens are."""
        token = self.tokens.get(text)
        if token is None or token.void:
            return None
        if newest is not None:
            counting = [other for other in self.tokens.values() if other.uid == token.uid and not other.void]
            if not any(other is token for other in counting[-newest:]):
                return None
        return token

    def revoke_tokens(self, uid: Optional[str]) -> int:
        """Void every auth token of one user or of all. Returns their number."""
        revoked = [text for text, token in self.tokens.items() if not token.void and uid in (None, token.uid)]
        for text in revoked:
            self.void_token(text)
        return len(revoked)

    def void_token(self, text: str) -> None:
        """Void an auth token."""
        self.tokens[text] = replace(self.tokens[text], void=True)

    def bind_token(self, text: str, device_id: Optional[str]) -> Token:
        """Record the first device of an auth token. Returns the token."""
        token = self.tokens[text]
        if token.device_id is None and device_id is not None:
            token = self.tokens[text] = replace(token, device_id=device_id)
        return token

    def issue_jwt(
        self, uid: str, lifetime: float, *, resource: Optional[str] = None, device_id: Optional[str] = None
    ) -> str:
        """Make a jwt for a user that lives ``lifetime`` seconds."""
        now = int(time.time())
        jwt_id = secrets.token_hex(8)
        claims = {
            "sub": uid,
            "iat": now,
            "exp": int(now + lifetime),
            "jti": jwt_id,
        }
        self._jwts[jwt_id] = Jwt(uid, resource, device_id)
        return self._sign(claims)

    def issue_call_token(self, uid: str, passthrough: Any) -> str:
        """Make a jwt for a call of a user, valid for an hour. ``passthrough`` is a part of its content."""
        now = int(time.time())
        return self._sign({"sub": uid, "iat": now, "exp": now + 3600, "passthrough": passthrough})

    def expire_jwts(self, uid: Optional[str] = None) -> int:
        """Void every jwt of one user or of all that was issued so far. Returns their number."""
        expired = {jwt_id: jwt for jwt_id, jwt in self._jwts.items() if not jwt.void and uid in (None, jwt.uid)}
        for jwt_id, jwt in expired.items():
            self._jwts[jwt_id] = replace(jwt, void=True)
        return len(expired)

    def read_jwt(self, text: str) -> Jwt:
        """Return the jwt for the text.

        :raises RefusedJwt: its signature is wrong, or it has expired.
        """
        signed, _, signature = text.rpartition(".")
        if text.count(".") != 2 or not is_same(signature, self._signature(signed)):
            raise RefusedJwt("the signature is wrong")
        # The sandbox has signed this text, so from here on the text is well-formed.
        claims = _decode_json(signed.partition(".")[2])
        if "jti" not in claims:
            raise RefusedJwt("it is for a call")
        jwt = self._jwts[claims["jti"]]
        if jwt.void or claims["exp"] <= time.time():
            raise RefusedJwt("it has expired")
        return jwt

    def _sign(self, claims: Dict[str, Any]) -> str:
        signed = f"{_encode_json({'alg': 'HS256', 'typ': 'JWT'})}.{_encode_json(claims)}"
        return f"{signed}.{self._signature(signed)}"

    def _signature(self, signed: str) -> str:
        return _encode(hmac.new(self._key, _bytes(signed), hashlib.sha256).digest())


def is_same(given: str, right: str) -> bool:
    """Return whether a client's text is the right one, in the same time for every wrong text."""
    return hmac.compare_digest(_bytes(given), _bytes(right))


def _bytes(text: str) -> bytes:
    """Return the text as bytes. A client's JSON or header may have lone surrogates."""
    return text.encode("utf-8", "surrogatepass")


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _encode_json(data: Dict[str, Any]) -> str:
    return _encode(json.dumps(data, separators=(",", ":")).encode())


def _decode_json(part: str) -> Dict[str, Any]:
    claims: Dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims
