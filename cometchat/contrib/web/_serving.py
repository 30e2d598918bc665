"""The client of a web application's process, its login, and the feed of its status for pages.

They are created at first use, or when the process starts to serve: not while the application is only imported, and not
in a parent that only starts workers. This module never waits for the network.
"""

from __future__ import annotations

import logging
import threading
from typing import Callable, Optional

from cometchat import Client, CometChatException
from cometchat._fork import ForkSafe, Layer, register

from ..._log import SafeLog
from ._feed import DEFAULT_MAX_STREAMS, StatusFeed
from ._login import Login, SiteClient
from ._settings import Configuration

logger = SafeLog(logging.getLogger("cometchat.web"))


class Serving(ForkSafe):
    """The parts, each created once, at its first use. Any thread.

    :param read: returns the settings; called at the first use, and again after :meth:`stop`.
    :param on_made: called with the new client before it logs in, on the thread that needs it.
    :param ready: called on the login's thread before its first attempt. Waits until the application is complete.
    """

    def __init__(
        self,
        read: Callable[[], Configuration],
        on_made: Callable[[Client], None] = lambda client: None,
        ready: Callable[[], object] = lambda: None,
    ) -> None:
        self._read = read
        self._on_made = on_made
        self._ready = ready
        self._lock = threading.RLock()
        self._configuration: Optional[Configuration] = None
        self._client: Optional[SiteClient] = None
        self._feed: Optional[StatusFeed] = None
        self._login: Optional[Login] = None
        self._starts_after_fork = False
        register(Layer.APPLICATION, self)

    @property
    def configuration(self) -> Configuration:
        """The settings."""
        with self._lock:
            if self._configuration is None:
                self._configuration = self._read()
            return self._configuration

    @property
    def client(self) -> Client:
        """The client, created but not logged in."""
        return self._made()

    @property
    def feed(self) -> StatusFeed:
        """The feed of the client's status."""
        with self._lock:
            self._made()
            assert self._feed is not None
            return self._feed

    @property
    def started(self) -> bool:
        """Whether a login was started."""
        return self._login is not None

    @property
    def login_error(self) -> Optional[CometChatException]:
        """The error of the newest login; None if it succeeded, or before the first login."""
        client = self._client
        return None if client is None else client.login_error

    def start(self) -> Client:
        """Start the login in the background. No-op when called twice."""
        with self._lock:
            client = self._made()
            if self._login is None:
                self._login = Login(client, self.configuration, self._ready)
                self._login.start()
            return client

    def start_after_forks(self) -> None:
        """Make each forked process call :meth:`start`, in a process that only forks others."""
        self._starts_after_fork = True

    def start_in_child(self) -> None:
        """Do the same as :meth:`start`, but log an error instead of raising it."""
        try:
            self.start()
        except Exception:
            logger.exception("The connection of this worker can't be started.")

    def stop(self) -> None:
        """End everything. A later use creates new parts."""
        with self._lock:
            client, feed, login = self._client, self._feed, self._login
            self._client = self._feed = self._login = self._configuration = None
        if login is not None:
            login.end()
        if feed is not None:
            feed.close()
        if client is not None:
            client.close()

    def reset_after_fork(self) -> None:
        """In the child: replace locks that a thread of the parent may hold."""
        self._lock = threading.RLock()
        if self._login is not None:
            self._login.reset_after_fork()

    def start_after_fork(self) -> None:
        """In the child: log in, if the parent wanted to."""
        login, client = self._login, self._client
        if login is None or client is None:
            if self._starts_after_fork:
                self.start_in_child()
        elif client.settings.connect_after_fork and client.get_logged_in_user() is None:
            login.start()

    def _made(self) -> SiteClient:
        client, login = self._client, self._login
        if client is not None:
            if login is not None:
                login.ensure_started()
            return client
        with self._lock:
            if self._client is None:
                configuration = self.configuration
                made = SiteClient(configuration.app_id, configuration.settings)
                streams = configuration.max_streams
                self._feed = StatusFeed(
                    made,
                    keep_alive=configuration.keep_alive,
                    max_streams=DEFAULT_MAX_STREAMS if streams is None else streams,
                    details=configuration.details,
                )
                self._on_made(made)
                self._client = made
            return self._client
