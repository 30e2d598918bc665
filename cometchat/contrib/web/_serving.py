"""What a process of a web application has one of: the client, its login, and the feed of its status for pages.

Nothing is made before it is asked for or the process begins to serve: not while the application is only imported, and
not in a parent that only starts workers. Nothing here waits for the network.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from typing import Callable, Optional

from cometchat import Client, CometChatException

from ._feed import DEFAULT_MAX_STREAMS, StatusFeed
from ._login import Login, SiteClient
from ._settings import Configuration

logger = logging.getLogger("cometchat.web")


class Serving:
    """The parts, each made at its first use, once, whichever thread comes first. Any thread.

    :param read: returns the settings; called at the first use, and again after :meth:`stop`.
    :param on_made: called with the client when it is made, before it logs in, on the thread that needs it.
    :param ready: called on the login's thread before its first attempt: waits until the application is complete.
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
        _all.add(self)

    @property
    def configuration(self) -> Configuration:
        """The settings."""
        with self._lock:
            if self._configuration is None:
                self._configuration = self._read()
            return self._configuration

    @property
    def client(self) -> Client:
        """The client; made, but not logged in."""
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
        """A login was begun."""
        return self._login is not None

    @property
    def login_error(self) -> Optional[CometChatException]:
        """Why the newest login failed; None where none has, or one has succeeded since."""
        client = self._client
        return None if client is None else client.login_error

    def start(self) -> Client:
        """Begin the login, behind the caller's back; again: nothing."""
        with self._lock:
            client = self._made()
            if self._login is None:
                self._login = Login(client, self.configuration, self._ready)
                self._login.begin()
            return client

    def start_after_fork(self) -> None:
        """This process only forks others: each of them calls :meth:`start`."""
        self._starts_after_fork = True

    def start_in_child(self) -> None:
        """As :meth:`start`, where an error would only be printed, and the worker would go on: it is logged."""
        try:
            self.start()
        except Exception:
            logger.exception("The connection of this worker can't be started.")

    def stop(self) -> None:
        """End everything; what is asked for afterwards is made anew."""
        with self._lock:
            client, feed, login = self._client, self._feed, self._login
            self._client = self._feed = self._login = self._configuration = None
        if login is not None:
            login.end()
        if feed is not None:
            feed.close()
        if client is not None:
            client.close()

    def begin_anew(self) -> None:
        """In the child of a fork, by itself: locks that another thread may have held, a login that was under way."""
        self._lock = threading.RLock()
        login, client = self._login, self._client
        if login is None or client is None:
            if self._starts_after_fork:
                self.start_in_child()
            return
        login.begin_anew()
        if client.settings.connect_after_fork and client.get_logged_in_user() is None:
            login.begin()

    def _made(self) -> SiteClient:
        client = self._client
        if client is not None:
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
                )
                self._on_made(made)
                self._client = made
            return self._client


_all: weakref.WeakSet[Serving] = weakref.WeakSet()


def _after_fork() -> None:
    for serving in list(_all):
        serving.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
