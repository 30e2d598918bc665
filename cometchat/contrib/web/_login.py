"""The login of a process that serves: in the background, again and again, so that no page waits for the service.

The thread lives until the login has succeeded or is ended. From there on the client keeps the connection by itself,
until the service refuses what it has: then, with a credential that gives a new session, the login begins again.
"""

from __future__ import annotations

import dataclasses
import logging
import random
import threading
from typing import Callable, Optional

from cometchat import (
    AuthenticationException,
    Client,
    CometChatException,
    ConnectionInfo,
    ConnectionListener,
    InvalidArgumentException,
)

from ._settings import Configuration

logger = logging.getLogger("cometchat.web")

#: Seconds: the longest wait between two attempts; full jitter, so that forty workers do not come in one moment.
_LONGEST = 60.0

#: Seconds to the next attempt after a refusal: only somebody at the dashboard can cure it.
_REFUSED = 300.0


class SiteClient(Client):
    """The client of a site: why it is not logged in is known to whoever asks why it is not connected."""

    #: Why the newest login failed; None once one has succeeded.
    login_error: Optional[CometChatException] = None

    def connection_info(self) -> ConnectionInfo:
        """See :meth:`Client.connection_info`. Without a login, ``last_error`` is the login's."""
        info = super().connection_info()
        return info if self.login_error is None else dataclasses.replace(info, last_error=self.login_error)


class Login:
    """Logs a client in. All methods may be called from any thread; none waits.

    :param client: whom.
    :param configuration: as whom.
    :param ready: called on the login's thread before its first attempt: waits until the application is complete.
    """

    def __init__(
        self, client: SiteClient, configuration: Configuration, ready: Callable[[], object] = lambda: None
    ) -> None:
        self._client = client
        self._configuration = configuration
        self._ready = ready
        self._failures = 0
        self.begin_anew()
        client.add_connection_listener("cometchat-login", _Refusals(self))

    def begin_anew(self) -> None:
        """In the child of a fork: the thread is not there."""
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: Optional[threading.Thread] = None
        self._wanted = False

    def begin(self) -> None:
        """Start the thread, or have the one that runs log in once more when it is done."""
        with self._lock:
            self._wanted = True
            if self._thread is None and not self._ended.is_set():
                self._thread = threading.Thread(target=self._run, name="cometchat-login", daemon=True)
                self._thread.start()

    def begin_again(self) -> None:
        """The session was refused: get a new one, where the credential can give one."""
        if self._configuration.renews_sessions():
            self._failures += 1  # so that a service that gives sessions and refuses them is not hammered
            self.begin()

    def succeeded(self) -> None:
        """The connection is up: waits begin anew."""
        self._failures = 0

    def end(self) -> None:
        """Make no further attempt. One that is under way ends by itself, within the settings' timeouts."""
        self._ended.set()

    def _run(self) -> None:
        self._ready()
        while self._goes_on():
            self._until_done()

    def _goes_on(self) -> bool:
        with self._lock:
            goes_on, self._wanted = self._wanted and not self._ended.is_set(), False
            if not goes_on:
                self._thread = None
            return goes_on

    def _until_done(self) -> None:
        wait = self._wait(None)
        while not self._ended.wait(wait):
            try:
                self._attempt()
            except Exception as error:
                self._failures += 1
                wait = self._failed(error)
            else:
                return

    def _attempt(self) -> None:
        client = self._client
        if self._failures == 0 and self._configuration.is_logged_in(client):  # the session of SESSION_STORE
            return
        self._configuration.log_in(client)
        client.login_error = None

    def _failed(self, error: Exception) -> float:
        """Tell of it; returns the seconds to the next attempt."""
        if isinstance(error, CometChatException):
            if self._ended.is_set():  # closed meanwhile
                return 0.0
            known = error
            wait = self._wait(known)
            logger.warning("The login failed; the next attempt follows in %.1f s: %s", wait, known)
        else:
            known = CometChatException("ERR_TOKEN_REFRESH", f"AUTH_TOKEN raised {type(error).__name__}.")
            wait = self._wait(None)
            logger.warning("The login failed; the next attempt follows in %.1f s.", wait, exc_info=error)
        self._client.login_error = known
        return wait

    def _wait(self, error: Optional[CometChatException]) -> float:
        if error is not None and error.retry_after is not None:
            return error.retry_after
        if isinstance(error, (AuthenticationException, InvalidArgumentException)):
            return _REFUSED
        if self._failures == 0:
            return 0.0
        return random.uniform(0.0, min(2.0 ** (self._failures - 1), _LONGEST))  # nosec B311


class _Refusals(ConnectionListener):
    """Runs on the dispatcher thread. A refused session ends the client's attempts: error, then disconnected."""

    def __init__(self, login: Login) -> None:
        self._login = login
        self._refused = False

    def on_connecting(self) -> None:
        self._refused = False

    def on_connected(self) -> None:
        self._refused = False
        self._login.succeeded()

    def on_connection_error(self, error: CometChatException) -> None:
        self._refused = isinstance(error, AuthenticationException)

    def on_disconnected(self) -> None:
        if self._refused:
            self._refused = False
            self._login.begin_again()
