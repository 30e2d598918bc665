"""The client and the feed of a site's process; see :mod:`cometchat.contrib.web`."""

from __future__ import annotations

from typing import Optional

from django.apps import apps

from cometchat import Client, CometChatException

from ..web._feed import StatusFeed
from ..web._serving import Serving
from . import _conf, _relay

#: Receivers, and the code that AUTH_TOKEN may call, exist when all apps are loaded.
serving = Serving(_conf.read, on_made=_relay.register, ready=apps.ready_event.wait)


def get_client() -> Client:
    """Return the client of this process, the same at each call. Any thread; does not wait.

    In a serving process it is logged in and connected, or will be soon. In any other process, call :func:`start` first.

    :raises ImproperlyConfigured: the setting ``COMETCHAT`` is wrong.
    """
    return serving.client


def start() -> Client:
    """Log this process's client in, in the background, and connect it. No-op when called twice. Any thread.

    For your scripts, commands and workers. Serving processes call it automatically.

    :returns: the client. To wait: ``start().wait_for_status("connected", timeout=10)``.
    :raises ImproperlyConfigured: the setting ``COMETCHAT`` is wrong.
    """
    return serving.start()


def started() -> bool:
    """Return whether :func:`start` was called in this process."""
    return serving.started


def login_error() -> Optional[CometChatException]:
    """Return the error of the newest login; None if it succeeded, or before the first login."""
    return serving.login_error


def stop() -> None:
    """End the connection and the client's threads, within half a second. No-op without a client.

    The end of the process does this too. Afterwards :func:`get_client` and :func:`start` create a new client.
    """
    serving.stop()


def get_feed() -> StatusFeed:
    """Return the feed of the views: the status of this process's client, and a stream of its changes.

    :raises ImproperlyConfigured: the setting ``COMETCHAT`` is wrong.
    """
    return serving.feed
