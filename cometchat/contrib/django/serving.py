"""Which process serves, and so has a connection; and when it makes it.

A process serves where it asks Django for its WSGI or ASGI application, or is runserver's child. Commands such as
``migrate`` and ``test``, ``runserver``'s reloader, scripts and Celery's workers do not. A server that has loaded the
site before it forks (gunicorn's ``--preload``, uWSGI) does not either: its workers do.
"""

from __future__ import annotations

import enum
import inspect
import logging
import os
import sys
from typing import Any, Iterable, Mapping, Optional, Sequence, Set

from django.core import mail
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_started

from . import conf, process

logger = logging.getLogger("cometchat.django")

_APPLICATIONS = {"django.core.wsgi", "django.core.asgi"}
_DEVELOPMENT = {"runserver", "runserver_plus"}


class Role(enum.Enum):
    """What a process is, as far as it can be known while Django is set up."""

    OTHER = "other"
    SERVES = "serves"
    #: It forks the processes that serve.
    FORKS = "forks"


def role(argv: Sequence[str], environ: Mapping[str, str], callers: Iterable[str], uwsgi: Optional[Any]) -> Role:
    """Judge a process.

    :param argv: its arguments.
    :param environ: its environment.
    :param callers: names of the modules that are setting Django up.
    :param uwsgi: uWSGI's module, where it runs the process.
    """
    names: Set[str] = set(callers)
    if "django.core.management" in names:
        command = argv[1] if len(argv) > 1 else ""
        child = "true" in (environ.get("RUN_MAIN"), environ.get("WERKZEUG_RUN_MAIN"))
        return Role.SERVES if command in _DEVELOPMENT and (child or "--noreload" in argv) else Role.OTHER
    if not names & _APPLICATIONS:
        return Role.OTHER
    if uwsgi is not None:
        return Role.FORKS if uwsgi.worker_id() == 0 else Role.SERVES
    if "gunicorn.arbiter" in names and not any(name.startswith("gunicorn.workers") for name in names):
        return Role.FORKS
    return Role.SERVES


def arrange(configuration: conf.Configuration) -> None:
    """See to it that this process, if it serves, has a connection. Called once, while Django is set up."""
    if configuration.celery:
        _follow_celery()
    if configuration.start == "never":
        return
    request_started.connect(_on_request, dispatch_uid="cometchat.django")
    if configuration.start == "request":
        return
    uwsgi = sys.modules.get("uwsgi")
    found = role(sys.argv, os.environ, _callers(), uwsgi)
    if found is Role.SERVES:
        process.start()
    elif found is Role.FORKS and uwsgi is not None:
        _follow_uwsgi(uwsgi)
    elif found is Role.FORKS and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_in_child)


def by_a_server() -> bool:
    """Whether Django is being set up for a WSGI or ASGI application, where no checks are run."""
    callers = _callers()
    return "django.core.management" not in callers and bool(callers & _APPLICATIONS)


def _callers() -> Set[str]:
    names = set()
    frame = inspect.currentframe()
    while frame is not None:
        names.add(str(frame.f_globals.get("__name__")))
        frame = frame.f_back
    return names


def _on_request(sender: Any, **kwargs: Any) -> None:
    """The first request shows that a process serves, whatever it looked like; the test client's requests do not."""
    if not (isinstance(sender, type) and issubclass(sender, (WSGIHandler, ASGIHandler))) or under_test():
        return
    process.start()
    request_started.disconnect(dispatch_uid="cometchat.django")


def under_test() -> bool:
    """Django's test runner, or pytest-django, has prepared this process: it has taken the outgoing mail over."""
    return hasattr(mail, "outbox")


def _in_child() -> None:
    """An error here would be printed by the interpreter, and the worker would go on: the log is the better place."""
    try:
        process.start()
    except Exception:
        logger.exception("The connection of this worker can't be started.")


def _follow_uwsgi(uwsgi: Any) -> None:
    """uWSGI has a hook of its own, and need not run Python's."""
    before = getattr(uwsgi, "post_fork_hook", None)

    def after_fork() -> None:
        if before is not None:
            before()
        _in_child()

    uwsgi.post_fork_hook = after_fork


def _follow_celery() -> None:
    """A process of the prefork pool, or the one process of the other pools."""
    from celery import signals

    def on_process(**kwargs: Any) -> None:
        process.start()

    def on_ready(sender: Any = None, **kwargs: Any) -> None:
        if not type(getattr(sender, "pool", None)).__module__.endswith(".prefork"):
            process.start()

    signals.worker_process_init.connect(on_process, weak=False, dispatch_uid="cometchat.django")
    signals.worker_ready.connect(on_ready, weak=False, dispatch_uid="cometchat.django")
