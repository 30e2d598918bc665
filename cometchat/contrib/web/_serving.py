"""The client of a web application's process, its login, and the feed of its status for pages.

They are created at first use, or when the process starts to serve: not while the application is only imported, and not
in a parent that only starts workers. This module never waits for the network.
"""

from __future__ import annotations

import logging
import threading
from typing import Callable, NamedTuple, Optional

from cometchat import Client, CometChatException
from cometchat._fork import ForkSafe, Layer, register

from ..._log import SafeLog
from ._feed import DEFAULT_MAX_STREAMS, StatusFeed
from ._login import Login, SiteClient
from ._settings import Configuration

logger = SafeLog(logging.getLogger("cometchat.web"))


class _Parts(NamedTuple):
    """One client with its feed and its login."""

    client: SiteClient
    feed: StatusFeed
    login: Login


class Serving(ForkSafe):
    """The parts, created at their first use. Any thread.

    No lock is held while the site's code runs. If two threads create a client at the same moment, one of the clients is
    closed, and both threads get the other one.

    :param read: returns the settings; called at the first use, and again after :meth:`stop`.
    :param on_made: called with a new client before it logs in, on the thread that needs it.
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
        self._parts: Optional[_Parts] = None
        self._started = False
        self._starts_after_fork = False
        register(Layer.APPLICATION, self)

    @property
    def configuration(self) -> Configuration:
        """The settings."""
        known = self._configuration
        if known is not None:
            return known
        read = self._read()
        with self._lock:
            self._configuration = self._configuration or read
            return self._configuration

    @property
    def client(self) -> Client:
        """The client, created but not logged in."""
        return self._made().client

    @property
    def feed(self) -> StatusFeed:
        """The feed of the client's status."""
        return self._made().feed

    @property
    def started(self) -> bool:
        """Whether a login was started."""
        return self._started

    @property
    def login_error(self) -> Optional[CometChatException]:
        """The error of the newest login; None if it succeeded, or before the first login."""
        parts = self._parts
        return None if parts is None else parts.client.login_error

    def start(self) -> Client:
        """Start the login in the background. No-op when called twice."""
        parts = self._made()
        with self._lock:
            # Another thread may have started the login already, or called stop().
            starts = self._parts is parts and not self._started
            self._started = self._started or starts
        if starts:
            parts.login.start()
        return parts.client

    def start_after_forks(self) -> None:
        """Make each process that this one forks call :meth:`start`. Not the processes that those fork."""
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
            parts = self._parts
            self._parts = self._configuration = None
            self._started = False
        if parts is not None:
            _end(parts)

    def reset_after_fork(self) -> None:
        """In the child: replace locks that a thread of the parent may hold."""
        self._lock = threading.RLock()
        if self._parts is not None:
            self._parts.login.reset_after_fork()

    def start_after_fork(self) -> None:
        """In the child: log in, if the parent wanted to."""
        parts, serves, self._starts_after_fork = self._parts, self._starts_after_fork, False
        if parts is None or not self._started:
            if serves:
                self.start_in_child()
        elif parts.client.settings.connect_after_fork:
            parts.login.start()  # it ends at once if the user is logged in

    def _made(self) -> _Parts:
        parts = self._parts
        if parts is not None:
            parts.login.ensure_started()
            return parts
        configuration = self.configuration
        client = SiteClient(configuration.app_id, configuration.settings)
        streams = configuration.max_streams
        feed = StatusFeed(
            client,
            keep_alive=configuration.keep_alive,
            max_streams=DEFAULT_MAX_STREAMS if streams is None else streams,
            details=configuration.details,
        )
        new = _Parts(client, feed, Login(client, configuration, self._ready, feed.note_login))
        self._on_made(client)
        with self._lock:
            kept = self._parts = self._parts or new
        if kept is not new:
            _end(new)
        return kept


def _end(parts: _Parts) -> None:
    parts.login.end()
    parts.feed.close()
    parts.client.close()
