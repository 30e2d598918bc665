"""What a process of a site has one of: see :mod:`cometchat.contrib.web`."""

from __future__ import annotations

from typing import Optional

from django.apps import apps

from cometchat import Client, CometChatException

from ..web._feed import StatusFeed
from ..web._serving import Serving
from . import _conf, _relay

#: Receivers, and what AUTH_TOKEN may call, are there once every app is.
serving = Serving(_conf.read, on_made=_relay.register, ready=apps.ready_event.wait)


def get_client() -> Client:
    """The client of this process, the same at each call. Any thread; does not wait.

    In a process that serves it is logged in and connected, or about to be. In any other process it is neither, until
    :func:`start` is called there.

    :raises ImproperlyConfigured: the setting ``COMETCHAT`` is wrong.
    """
    return serving.client


def start() -> Client:
    """Log this process's client in, in the background, and connect it. No-op when called twice. Any thread.

    For scripts, commands and workers of your own. Processes that serve call it by themselves.

    :returns: the client: ``start().wait_for_status("connected", timeout=10)`` waits.
    :raises ImproperlyConfigured: the setting ``COMETCHAT`` is wrong.
    """
    return serving.start()


def started() -> bool:
    """Return whether :func:`start` was called in this process."""
    return serving.started


def login_error() -> Optional[CometChatException]:
    """Return why the newest login failed; None if none has failed, or one has succeeded since."""
    return serving.login_error


def stop() -> None:
    """End the connection and the client's threads, within half a second. No-op if nothing was started.

    The end of the process does it by itself. Afterwards :func:`get_client` and :func:`start` make a new client.
    """
    serving.stop()


def get_feed() -> StatusFeed:
    """What the views answer from: the status of this process's client, and a stream of its changes.

    :raises ImproperlyConfigured: the setting ``COMETCHAT`` is wrong.
    """
    return serving.feed
