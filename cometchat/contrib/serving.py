"""The client of a process that serves a web application: what it is made of, when it begins, a login that goes on.

Knows no framework; settings come as a mapping, as frameworks have them. A process that serves has one client, made when
it begins to serve: not while the application is only imported, and not in a parent that only starts workers.
"""

from __future__ import annotations

import difflib
import logging
import os
import random
import sys
import threading
import weakref
from dataclasses import dataclass, field, fields
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional

from cometchat import (
    AppSettings,
    Client,
    CometChatException,
    ConnectionException,
    InvalidArgumentException,
    RateLimitException,
)

from .wsgi import gunicorn_worker

logger = logging.getLogger("cometchat.web")

#: Seconds between two logins that failed for want of a network: at first, and at most.
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0

#: Fields of AppSettings that a client shares with others.
_SHARED = ("session_store", "outbox_path", "status_store")

_ACCOUNT = ("APP_ID", "UID", "AUTH_KEY", "AUTH_TOKEN", "REFRESH")


@dataclass(frozen=True)
class Account:
    """An app, the settings of its client, and a credential of one of its users."""

    app_id: str
    settings: AppSettings
    uid: Optional[str]
    auth_key: Optional[str] = field(default=None, repr=False)
    auth_token: Optional[str] = field(default=None, repr=False)
    refresh: Optional[Callable[[], str]] = field(default=None, repr=False)

    def login(self, client: Client) -> None:
        """Log the client in, unless a stored session has done it."""
        user = client.get_logged_in_user()
        if user is not None and self.uid in (None, user.uid):
            return
        if self.auth_token:
            client.login_with_auth_token(self.auth_token, self.refresh)
        else:
            client.login(self.uid or "", self.auth_key or "")

    def environment(self) -> Dict[str, str]:
        """The same for the command line, as ``cometchat doctor`` and ``cometchat watch`` read it."""
        values = {
            "COMETCHAT_APP_ID": self.app_id,
            "COMETCHAT_REGION": self.settings.region,
            "COMETCHAT_UID": self.uid,
            "COMETCHAT_AUTH_KEY": None if self.auth_token else self.auth_key,
            "COMETCHAT_AUTH_TOKEN": self.auth_token,
            "COMETCHAT_ADMIN_HOST": self.settings.admin_host,
            "COMETCHAT_CLIENT_HOST": self.settings.client_host,
            "REQUESTS_CA_BUNDLE": self.settings.ca_certs,
        }
        return {name: value for name, value in values.items() if value}


def read_account(values: object, more: Iterable[str] = ()) -> Account:
    """The account that an application's settings name: ``APP_ID``, ``UID``, ``AUTH_KEY`` or ``AUTH_TOKEN`` (with it
    ``REFRESH``, see ``login_with_auth_token``), and the fields of AppSettings in upper case.

    :param values: a mapping.
    :param more: names that the framework reads itself.
    :raises CometChatException: naming what is wrong and what would be right; no value that may be a secret is shown.
    """
    if not isinstance(values, Mapping):
        raise _wrong("", f'give a mapping, such as {{"APP_ID": ..., "REGION": "us"}}, not {type(values).__name__}')
    names = {field.name.upper(): field.name for field in fields(AppSettings)}
    known = [*_ACCOUNT, *names, *more]
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(str(name).upper(), known, 1)
            meant = f"did you mean {near[0]}?" if near else f"give some of {', '.join(known)}"
            raise _wrong(str(name), f"there is no such setting: {meant}")
    settings = AppSettings(**{names[name]: value for name, value in values.items() if name in names})
    app_id, uid, auth_key, auth_token, refresh = (values.get(name) for name in _ACCOUNT)
    _check_credential(uid, auth_key, auth_token)
    account = Account(str(app_id or ""), settings, uid, auth_key, auth_token, refresh)
    # What a client checks is said when the application starts, not in its first request. This one keeps to itself.
    bare = {f.name: getattr(settings, f.name) for f in fields(AppSettings) if f.name not in _SHARED}
    Client(app_id or "", AppSettings(**bare)).close()
    return account


def _check_credential(uid: object, auth_key: object, auth_token: object) -> None:
    for name, value in (("UID", uid), ("AUTH_KEY", auth_key), ("AUTH_TOKEN", auth_token)):
        if value is not None and not isinstance(value, str):
            raise _wrong(name, f"give a string, not {type(value).__name__}")
    if auth_key and auth_token:
        raise _wrong("AUTH_TOKEN", "give AUTH_TOKEN or AUTH_KEY, not both")
    if not auth_key and not auth_token:
        raise _wrong("AUTH_KEY", "give AUTH_TOKEN, or for development AUTH_KEY and UID")
    if auth_key and not uid:
        raise _wrong("UID", "AUTH_KEY needs the uid of a user that exists")


def _wrong(name: str, expected: str) -> InvalidArgumentException:
    where = f"COMETCHAT[{name!r}]" if name else "COMETCHAT"
    return InvalidArgumentException("INVALID_COMETCHAT", f"{where} is wrong: {expected}.", name=where)


class ServingClient:
    """The one client of a process that serves, made at its first use. Any thread.

    :param account: whose client it is.
    :param on_made: called with the client when it is made, before it logs in, on the thread that needs it.
    """

    def __init__(self, account: Account, on_made: Callable[[Client], None] = lambda client: None) -> None:
        self.account = account
        self._on_made = on_made
        self._client: Optional[Client] = None
        self._started = False
        self._start_after_fork = False
        self._ended = threading.Event()
        self._lock = threading.RLock()
        _serving.add(self)

    @property
    def started(self) -> bool:
        """:meth:`start` was called in this process."""
        return self._started

    @property
    def client(self) -> Client:
        """The client; made now, where it was not."""
        client = self._client
        if client is not None:
            return client
        with self._lock:
            if self._client is None:
                made = Client(self.account.app_id, self.account.settings)
                self._on_made(made)
                self._client = made
            return self._client

    def start(self) -> None:
        """Log in, behind the caller's back, again and again until it works or the credential is refused."""
        with self._lock:
            if self._started or self._ended.is_set():
                return
            self._started = True
            client = self.client
        threading.Thread(target=self._login, args=(client,), name="cometchat-login", daemon=True).start()

    def start_after_fork(self) -> None:
        """This process only starts others: each of them calls :meth:`start`."""
        self._start_after_fork = True

    def close(self) -> None:
        """End the client. Again: nothing."""
        self._ended.set()
        with self._lock:
            if self._client is not None:
                self._client.close()

    def begin_anew(self) -> None:
        """In the child of a fork, by itself: the lock may be a thread's that is not here. A login goes on here too."""
        self._lock = threading.RLock()
        was_started, self._started = self._started, False
        client = self._client
        unfinished = was_started and client is not None and client.get_logged_in_user() is None
        if not self._ended.is_set() and (self._start_after_fork or unfinished):
            self.start()
        else:
            self._started = was_started

    def _login(self, client: Client) -> None:
        wait = _FIRST_WAIT
        while not self._ended.is_set():
            try:
                self.account.login(client)
                return
            except CometChatException as error:
                if not _may_pass(error):
                    logger.error("The login is refused, and not tried again: %s", error)
                    return
                logger.warning("The login failed, and is tried again: %s", error)
                pause = max(error.retry_after or 0.0, wait * random.uniform(0.5, 1.0))  # nosec B311
            self._ended.wait(pause)
            wait = min(wait * 2, _LONGEST_WAIT)


def _may_pass(error: CometChatException) -> bool:
    if error.http_status is not None and error.http_status >= 500:
        return True
    return isinstance(error, (ConnectionException, RateLimitException)) or error.code == "LOGIN_IN_PROGRESS"


_serving: weakref.WeakSet[ServingClient] = weakref.WeakSet()


def _after_fork() -> None:
    parts: List[ServingClient] = list(_serving)
    for part in parts:
        part.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def start_as_the_server_does(serving: ServingClient) -> None:
    """Start now in a worker; in what only starts workers, in each of them; else nowhere: the first request has to."""
    uwsgi: Any = sys.modules.get("uwsgi")
    if uwsgi is not None:
        if uwsgi.worker_id() > 0:
            serving.start()
        else:
            serving.start_after_fork()
    elif gunicorn_worker() is not None:
        serving.start()
    elif "gunicorn.arbiter" in sys.modules:
        serving.start_after_fork()  # --preload
