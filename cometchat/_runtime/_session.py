"""The login session, its form in a store, the result of a login, and what a socket needs of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping, NamedTuple, Optional

from .._fields import SECRET_KEYS
from .._protocol import Identity
from . import _arguments as arguments

if TYPE_CHECKING:
    from ..models import User

#: Returns a new auth token.
Refresh = Callable[[], str]

_FORMAT = 1


#: Maximum lengths of a uid and of a token, in characters.
LONGEST_UID = 1000
LONGEST_TOKEN = 8192


def is_uid(value: object) -> bool:
    """Return True if a value from a server or a file can be a uid."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_UID and arguments.is_unicode(value)


def is_token(value: object) -> bool:
    """Return True if a value can be an auth token, which is sent in a header."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_TOKEN and arguments.fits_header(value)


@dataclass(frozen=True)
class Session:
    """A login. ``jwt`` and ``settings`` come from ``PUT /me``. They are not stored; a restart requests them again."""

    app_id: str
    uid: str
    auth_token: str = field(repr=False)
    device_id: str
    user: Mapping[str, Any] = field(repr=False)
    jwt: Optional[str] = field(default=None, repr=False)
    settings: Optional[Mapping[str, Any]] = field(default=None, repr=False)

    def to_user(self) -> User:
        """Return the logged-in user."""
        from ..models import User  # here, so that importing the package does not load them

        return User.from_dict({**self.user, "uid": self.uid, "authToken": self.auth_token})

    def to_store(self) -> Dict[str, Any]:
        """Return the form for a store, which can be written as JSON."""
        return {
            "format": _FORMAT,
            "app_id": self.app_id,
            "uid": self.uid,
            "auth_token": self.auth_token,
            "device_id": self.device_id,
            "user": dict(self.user),
        }

    @classmethod
    def from_store(cls, stored: Mapping[str, Any], app_id: str) -> Optional[Session]:
        """Read the form from a store. Returns None if it is of another app, or invalid."""
        if not isinstance(stored, Mapping) or stored.get("format") != _FORMAT or stored.get("app_id") != app_id:
            return None
        uid, token, device = (stored.get(key) for key in ("uid", "auth_token", "device_id"))
        if not (is_uid(uid) and is_token(token) and isinstance(device, str) and arguments.is_unicode(device)):
            return None
        assert isinstance(uid, str) and isinstance(token, str)
        user = stored.get("user")
        fields = user.items() if isinstance(user, Mapping) else ()
        # A file of an earlier version may hold the token for media files.
        kept = {key: value for key, value in fields if key not in SECRET_KEYS}
        return cls(app_id, uid, token, device, kept)


class Credentials(NamedTuple):
    """The data that a socket needs to open and authenticate."""

    url: str
    identity: Identity
    jwt: str

    def __repr__(self) -> str:
        return f"Credentials(url={self.url!r}, identity={self.identity!r})"


class Login(NamedTuple):
    """The result of a login: the session, and the callable that returns a new auth token."""

    session: Session
    refresh: Optional[Refresh]
