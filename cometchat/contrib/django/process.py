"""What a process has one of: the client, its login, and the feed of its status for pages.

Nothing is made before it is asked for, and nothing here waits for the network.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Optional

from cometchat import Client, CometChatException, LoginListener, User
from cometchat.contrib.web import DEFAULT_MAX_STREAMS, StatusFeed

from . import conf, relay
from .login import Login, SiteClient

#: Streams where the server starts a thread for each request.
_DEVELOPMENT_STREAMS = 100


class _Process:
    """The parts, each made at its first use, once, whichever thread comes first."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._configuration: Optional[conf.Configuration] = None
        self._client: Optional[SiteClient] = None
        self._feed: Optional[StatusFeed] = None
        self._login: Optional[Login] = None

    @property
    def _read(self) -> conf.Configuration:
        """The settings, read once. Where the lock is held."""
        if self._configuration is None:
            self._configuration = conf.read()
        return self._configuration

    @property
    def client(self) -> SiteClient:
        """The client; made, but not logged in."""
        client = self._client
        if client is not None:
            return client
        with self._lock:
            if self._client is None:
                made = SiteClient(self._read.app_id, self._read.settings)
                relay.register(made)
                self._client = made
            return self._client

    @property
    def feed(self) -> StatusFeed:
        """The feed of the client's status."""
        with self._lock:
            if self._feed is None:
                client, configuration = self.client, self._read
                streams = configuration.max_streams
                if streams is None:
                    streams = _DEVELOPMENT_STREAMS if sys.argv[1:2] == ["runserver"] else DEFAULT_MAX_STREAMS
                self._feed = StatusFeed(client, keep_alive=configuration.keep_alive, max_streams=streams)
                client.add_login_listener("cometchat.django.feed", _FailedLogins(self._feed))
            return self._feed

    @property
    def started(self) -> bool:
        """A login was begun."""
        return self._login is not None

    @property
    def login_error(self) -> Optional[CometChatException]:
        """Why the newest login failed."""
        return None if self._client is None else self._client.login_error

    def start(self) -> SiteClient:
        """Begin the login, once."""
        with self._lock:
            client = self.client
            if self._login is None:
                self._login = Login(client, self._read)
                self._login.begin()
            return client

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
        """In the child of a fork: locks that another thread may have held, and a login that was under way."""
        self._lock = threading.RLock()
        login, client = self._login, self._client
        if login is None or client is None:
            return
        login.begin_anew()
        if client.settings.connect_after_fork and client.get_logged_in_user() is None:
            login.begin()


class _FailedLogins(LoginListener):
    """Runs on the dispatcher thread: pages are told why there is no connection."""

    def __init__(self, feed: StatusFeed) -> None:
        self._feed = feed

    def login_failure(self, error: CometChatException) -> None:
        self._feed.notice(None)

    def login_success(self, user: User) -> None:
        self._feed.notice(None)


_process = _Process()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.begin_anew)


def get_client() -> Client:
    """The client of this process, the same at each call. Any thread; does not wait.

    In a process that serves it is logged in and connected, or about to be. In any other process it is neither, until
    :func:`start` is called there.

    :raises ImproperlyConfigured: the setting ``COMETCHAT`` is wrong.
    """
    return _process.client


def start() -> Client:
    """Log this process's client in, in the background, and connect it; again: nothing. Any thread; does not wait.

    For scripts, commands and workers of your own. Processes that serve call it by themselves.

    :returns: the client: ``start().wait_for_status("connected", timeout=10)`` waits.
    :raises ImproperlyConfigured: the setting ``COMETCHAT`` is wrong.
    """
    return _process.start()


def started() -> bool:
    """Whether :func:`start` was called in this process, by whomever."""
    return _process.started


def login_error() -> Optional[CometChatException]:
    """Why the newest login failed; None where none has, or one has succeeded since."""
    return _process.login_error


def stop() -> None:
    """End the connection and the client's threads, within half a second; nothing was started: nothing.

    The end of the process does it by itself. Afterwards :func:`get_client` and :func:`start` make a new client.
    """
    _process.stop()


def get_feed() -> StatusFeed:
    """What the views answer from: the status of this process's client, and a stream of its changes.

    :raises ImproperlyConfigured: the setting ``COMETCHAT`` is wrong.
    """
    return _process.feed
