"""The login session, its store, and what a socket needs of it."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping, NamedTuple, Optional, TypeVar

from ..._fields import SECRET_KEYS
from ..._log import SafeLog
from ..._transport._exception_chain import pass_on_interruption
from ..._turns import TURNS
from ...settings import SessionStore
from .. import _arguments as arguments
from .._threads import Wakeup

if TYPE_CHECKING:  # importing the package does not load them
    from ..._protocol._frames import Identity
    from ...models import User

#: Returns a new auth token.
Refresh = Callable[[], str]

T = TypeVar("T")

_FORMAT = 1

#: Number of tries of a session store before the last one, and the seconds between two of them.
_TRIES, _AGAIN = (20 if os.name == "nt" else 0), 0.05

#: Maximum lengths of a uid and of a token, in characters.
LONGEST_UID = 1000
LONGEST_TOKEN = 8192


def is_uid(value: object) -> bool:
    """Return True if a value from a server or a file can be a uid."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_UID and arguments.is_unicode(value)


def is_token(value: object) -> bool:
    """Return True if a value can be an auth token, which is sent in a header."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_TOKEN and arguments.fits_header(value)


class Owner(NamedTuple):
    """The user who owns the rows of a file."""

    app_id: str
    uid: str


@dataclass(frozen=True)
class Session:
    """A login.

    :ivar jwt: from ``PUT /me``, as ``settings``. They are not stored; a restart requests them again.
    :ivar refresh: returns a new auth token; None if the login ends with its token. Not stored either.
    """

    app_id: str
    uid: str
    auth_token: str = field(repr=False)
    device_id: str
    user: Mapping[str, Any] = field(repr=False)
    jwt: Optional[str] = field(default=None, repr=False)
    settings: Optional[Mapping[str, Any]] = field(default=None, repr=False)
    refresh: Optional[Refresh] = field(default=None, repr=False, compare=False)

    @property
    def owner(self) -> Owner:
        """The user who is logged in."""
        return Owner(self.app_id, self.uid)

    def is_of(self, uid: str) -> bool:
        """Return True if this is a login of a user. Case does not matter to the service."""
        return self.uid.lower() == uid.lower()

    def to_user(self) -> User:
        """Return the logged-in user."""
        from ...models import User  # here, so that importing the package does not load them

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


def _patiently(call: Callable[[], T]) -> T:
    """Repeat a call on Windows, which refuses it while another program has the file open, such as a virus scanner."""
    for _ in range(_TRIES):
        try:
            return call()
        except PermissionError:
            Wakeup().wait(_AGAIN)
    return call()


class CarefulStore:
    """The user's session store, which gets one call at a time. Its exceptions are logged as warnings. Any thread.

    :param app_id: sessions of other apps are not loaded.
    :param log: the client's.
    """

    def __init__(self, store: SessionStore, app_id: str, log: SafeLog) -> None:
        self._store = store
        self._app_id = app_id
        self._log = log
        self._turn = threading.RLock()

    def load(self) -> Optional[Session]:
        """Return the stored session, or None without a usable one."""
        try:
            with TURNS.lent(), self._turn:
                stored = _patiently(self._store.load)
            # A mapping of the user's own may read its source only now.
            session = None if stored is None else Session.from_store(stored, self._app_id)
        except Exception as error:
            pass_on_interruption(error)
            kind = type(error).__name__
            self._log.warning("The session store can't be read (%s). Log in again.", kind, exc_info=True)
            return None
        if stored is not None and session is None:
            missing = "The session store has no session of app %s that this version can read. Log in again."
            self._log.warning(missing, self._app_id)
        return session

    def save_newest(self, newest: Callable[[], Optional[Session]], ended: Optional[Session]) -> None:
        """Save the login, or clear the store without a login.

        :param newest: returns the login. Asked when it is this call's turn, so that the newest login is saved last.
        :param ended: see ``Account.store_session``.
        """
        failed = "can't be written (%s), so this login may not survive a restart."
        try:
            with TURNS.lent(), self._turn:
                session = newest()
                if session is not None:
                    self._save(session)
                else:
                    failed = "can't be cleared (%s), so a restart may resume this login, which has ended."
                    if ended is None or not self._has_another(ended):
                        _patiently(self._store.clear)
        except Exception as error:
            pass_on_interruption(error)
            self._log.warning(f"The session store {failed}", type(error).__name__, exc_info=True)

    def _save(self, session: Session) -> None:
        try:
            _patiently(lambda: self._store.save(session.to_store()))
        except Exception:
            if self._has_another(session):
                _patiently(self._store.clear)  # else a restart would resume an earlier login
            raise

    def _has_another(self, session: Session) -> bool:
        stored = self.load()
        return stored is not None and stored.auth_token != session.auth_token
