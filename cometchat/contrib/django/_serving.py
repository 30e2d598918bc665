"""Decides which processes of a site serve, and therefore connect, and when.

A process serves if it asks Django for its WSGI or ASGI application, or is runserver's child. Commands such as
``migrate`` and ``test``, ``runserver``'s reloader, scripts and Celery's workers do not serve. A server that loads the
site before it forks (gunicorn's ``--preload``, uWSGI) does not serve either, but its workers do.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Collection, Mapping, Optional, Sequence

from django.core import mail
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_started

from ..web._process import Role, act, is_reloaders_child, loading_modules, server_role
from ..web._settings import Configuration
from . import _process

_APPLICATIONS = {"django.core.wsgi", "django.core.asgi"}
_DEVELOPMENT = {"runserver", "runserver_plus"}


def role(argv: Sequence[str], environ: Mapping[str, str], loading: Collection[str], uwsgi: Optional[Any]) -> Role:
    """Return the role of a process.

    :param argv: its arguments.
    :param environ: its environment.
    :param loading: names of the modules that are setting Django up.
    :param uwsgi: uWSGI's module, if uWSGI runs the process.
    """
    if "django.core.management" in loading:
        command = argv[1] if len(argv) > 1 else ""
        serves = is_reloaders_child(environ) or "--noreload" in argv
        return Role.SERVES if command in _DEVELOPMENT and serves else Role.OTHER
    if _APPLICATIONS.isdisjoint(loading):
        return Role.OTHER
    found = server_role(loading, uwsgi)
    return Role.SERVES if found is Role.OTHER else found


def arrange(configuration: Configuration) -> None:
    """Start a connection if this process serves. Called once, during Django's setup."""
    if configuration.options["CELERY"]:
        _follow_celery()
    if configuration.start == "never":
        return
    request_started.connect(_on_request, dispatch_uid="cometchat.django")
    if configuration.start == "request":
        return
    act(_process.serving, role(sys.argv, os.environ, loading_modules(), sys.modules.get("uwsgi")))


def by_a_server() -> bool:
    """Return True if Django is being set up for a WSGI or ASGI application, without checks."""
    loading = loading_modules()
    return "django.core.management" not in loading and not _APPLICATIONS.isdisjoint(loading)


def _on_request(sender: Any, **kwargs: Any) -> None:
    """Start at the first request, which shows that the process serves. Ignores requests of the test client."""
    if not (isinstance(sender, type) and issubclass(sender, (WSGIHandler, ASGIHandler))) or under_test():
        return
    _process.start()
    request_started.disconnect(dispatch_uid="cometchat.django")


def under_test() -> bool:
    """Return True if Django's test runner or pytest-django prepared this process: it replaced the outgoing mail."""
    return hasattr(mail, "outbox")


def _follow_celery() -> None:
    """Start in Celery's workers: the processes of the prefork pool, or the one process of the other pools.

    The processes of the pool end by ``os._exit``, so Python's end does not close their connections.
    """
    try:
        from celery import signals
    except ModuleNotFoundError:  # then this process is not a worker
        return

    def on_process(**kwargs: Any) -> None:
        _process.start()

    def on_ready(sender: Any = None, **kwargs: Any) -> None:
        if not type(getattr(sender, "pool", None)).__module__.endswith(".prefork"):
            _process.start()

    def on_process_end(**kwargs: Any) -> None:
        _process.stop()

    signals.worker_process_init.connect(on_process, weak=False, dispatch_uid="cometchat.django")
    signals.worker_process_shutdown.connect(on_process_end, weak=False, dispatch_uid="cometchat.django")
    signals.worker_ready.connect(on_ready, weak=False, dispatch_uid="cometchat.django")
