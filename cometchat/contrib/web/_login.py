"""The login of a serving process: in the background, with retries, so that no page waits for the service.

The thread runs until the login succeeds or is ended. Then the client keeps the connection. If the service refuses the
session later, and the credential can give a new session, the login starts again.
"""

from __future__ import annotations

import dataclasses
import logging
import random
import threading
from typing import Callable, Optional, Set

from cometchat import (
    AuthenticationException,
    Client,
    CometChatException,
    ConnectionInfo,
    ConnectionListener,
    InvalidArgumentException,
)
from cometchat.exceptions import ERR_CLIENT_CLOSED

from ..._log import SafeLog
from ..._runtime._threads import wait_after
from ..._thread_start import start_thread
from ._settings import Configuration, token_error

logger = SafeLog(logging.getLogger("cometchat.web"))

#: Wait after a refusal, in seconds. Only an operator can solve it, in the dashboard.
_REFUSED = 300.0


class SiteClient(Client):
    """The client of a site. Its ``connection_info()`` also has the error of a failed login."""

    #: The error of the newest login; None after a success.
    login_error: Optional[CometChatException] = None

    def connection_info(self) -> ConnectionInfo:
        """See :meth:`Client.connection_info`. Without a login, ``last_error`` is the login's."""
        info = super().connection_info()
        return info if self.login_error is None else dataclasses.replace(info, last_error=self.login_error)


class Login:
    """Logs a client in. Any thread may call any method. No method waits.

    :param client: the client.
    :param configuration: the account.
    :param ready: called on the login's thread before its first attempt. Waits until the application is complete.
    :param on_site_error: called with the error of a login for which the site's own function raised. The client reports
        every other failed login to its listeners.
    :param jitter: 0 to 1, at random.
    """

    def __init__(
        self,
        client: SiteClient,
        configuration: Configuration,
        ready: Callable[[], object] = lambda: None,
        on_site_error: Callable[[CometChatException], object] = lambda error: None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._configuration = configuration
        self._ready = ready
        self._on_site_error = on_site_error
        self._jitter = jitter
        self._failures = 0
        self._logged: Set[str] = set()  # codes of the failures since the last success that were logged as warnings
        self.reset_after_fork()
        client.add_connection_listener("cometchat-login", _RefusalListener(self, client))

    def reset_after_fork(self) -> None:
        """In the child: forget the thread, which exists only in the parent."""
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._thread: Optional[threading.Thread] = None
        self._wanted = False

    def start(self) -> None:
        """Start the thread. If it already runs, make it log in once more afterwards."""
        with self._lock:
            self._wanted = True
        self.ensure_started()

    def ensure_started(self) -> None:
        """Start the thread if it is needed, such as after a start that failed because the system had no threads."""
        if not self._wanted or self._thread is not None:
            return
        thread: Optional[threading.Thread] = None
        try:
            thread = threading.Thread(target=self._run, name="cometchat-login", daemon=True)
            with self._lock:
                if not self._wanted or self._thread is not None or self._ended.is_set():
                    return
                self._thread = thread
            start_thread(thread)
        except Exception:  # the system has no thread or memory left
            with self._lock:
                self._thread = None if self._thread is thread else self._thread
            logger.exception("The thread of the login can't be started; the next request tries again.")

    def log_in_again(self) -> None:
        """Get a new session after the service refused the old one, if the credential can give one."""
        if self._configuration.renews_sessions():
            logger.warning("This process logs in again by itself.")  # the client's warning asks the operator for it
            self._failures += 1  # so that a service that gives sessions and refuses them gets few requests
            self.start()

    def succeeded(self) -> None:
        """Note that the connection is up, so that the waits are short again."""
        self._failures = 0

    def end(self) -> None:
        """Make no further attempt. An attempt in progress ends within the settings' timeouts."""
        self._ended.set()

    def _run(self) -> None:
        while self._continues():
            try:
                self._until_done()
            except BaseException:  # SystemExit of the site's function too
                self._failures += 1
                logger.exception("Unexpected error of the login. Trying again.")
                with self._lock:
                    self._wanted = True
                self._ended.wait(wait_after(self._failures, self._jitter()))

    def _continues(self) -> bool:
        with self._lock:
            continues, self._wanted = self._wanted and not self._ended.is_set(), False
            if not continues:
                self._thread = None
            return continues

    def _until_done(self) -> None:
        self._ready()
        wait = self._wait(None)
        while not self._ended.wait(wait):
            try:
                self._attempt()
            except Exception as error:
                self._failures += 1
                wait = self._fail(error)
            else:
                self._logged.clear()
                self._client.login_error = None
                return

    def _attempt(self) -> None:
        client = self._client
        if self._failures == 0 and self._configuration.may_resume(client):
            return
        self._configuration.log_in(client)
        user = client.get_logged_in_user()
        if user is not None and not self._configuration.is_logged_in(client):
            wanted = self._configuration.uid
            logger.warning("The AUTH_TOKEN is of %s, not of the UID %s in the settings.", user.uid, wanted)

    def _fail(self, error: Exception) -> float:
        """Report the failure. Returns the seconds to the next attempt."""
        if isinstance(error, CometChatException):
            if error.code == ERR_CLIENT_CLOSED:  # by the site's code
                self._ended.set()
            if self._ended.is_set():
                return 0.0
        known = token_error(error)
        wait = self._wait(known)
        self._report(known, None if known is error else error, wait)
        self._client.login_error = known
        if known is not error:
            self._on_site_error(known)
        return wait

    def _report(self, known: CometChatException, cause: Optional[Exception], wait: float) -> None:
        """Log a warning for the first failure of a kind, and debug messages for repetitions."""
        if known.code in self._logged:
            logger.debug("The login failed again; the next attempt follows in %.1f s: %s", wait, known)
            return
        self._logged.add(known.code)
        if cause is None:
            logger.warning("The login failed; the next attempt follows in %.1f s: %s", wait, known)
        else:
            logger.warning("The login failed; the next attempt follows in %.1f s.", wait, exc_info=cause)

    def _wait(self, error: Optional[CometChatException]) -> float:
        if error is None and not self._failures:
            return 0.0
        asked = None if error is None else error.retry_after
        if asked is None and isinstance(error, (AuthenticationException, InvalidArgumentException)):
            asked = _REFUSED
        return wait_after(self._failures - 1, self._jitter(), asked=asked)


class _RefusalListener(ConnectionListener):
    """Detect a refused session: an error, then disconnected. Runs on the dispatcher thread.

    A client that is already disconnected when its login ends gets the error only.
    """

    def __init__(self, login: Login, client: Client) -> None:
        self._login = login
        self._client = client
        self._refused = False

    def on_connecting(self) -> None:
        self._refused = False

    def on_connected(self) -> None:
        self._refused = False
        self._login.succeeded()

    def on_connection_error(self, error: CometChatException) -> None:
        self._refused = isinstance(error, AuthenticationException)
        try:
            logged_out = self._client.get_logged_in_user() is None
        except CometChatException:  # close() came before this callback
            self._refused = False
            return
        if logged_out:
            self.on_disconnected()

    def on_disconnected(self) -> None:
        if self._refused:
            self._refused = False
            self._login.log_in_again()
