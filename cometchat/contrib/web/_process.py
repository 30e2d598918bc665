"""The role of a web application's process: it serves, forks serving processes, or neither. Detects its end too.

This module knows the servers but no framework. Each framework knows which of its commands serve.
"""

from __future__ import annotations

import enum
import inspect
import signal
import sys
from typing import Any, Callable, Collection, Mapping, Optional, Set

from ._serving import Serving


class Role(enum.Enum):
    """The role of a process, as far as it is known while the application is loaded."""

    OTHER = "other"
    SERVES = "serves"
    #: It forks the serving processes.
    FORKS = "forks"


def calling_modules() -> Set[str]:
    """Return the names of the modules on the call stack."""
    names = set()
    frame = inspect.currentframe()
    while frame is not None:
        names.add(str(frame.f_globals.get("__name__")))
        frame = frame.f_back
    return names


def loading_modules() -> Set[str]:
    """Return the names of the modules that are loading the application: those on the call stack, and gunicorn's.

    If the application's program starts gunicorn, gunicorn is not on the stack.
    """
    names = calling_modules()
    if "gunicorn.arbiter" in sys.modules:
        names.add("gunicorn.arbiter")
        names.update(cls.__module__ for cls in type(signalled_server()).__mro__)
    return names


def server_role(loading: Collection[str], uwsgi: Optional[Any]) -> Role:
    """Return the role of the process in its server; ``OTHER`` if no known server forks.

    :param loading: see :func:`loading_modules`.
    :param uwsgi: uWSGI's module, if uWSGI runs the process.
    """
    if uwsgi is not None:
        return Role.FORKS if uwsgi.worker_id() == 0 else Role.SERVES
    if any(name.startswith(("gunicorn.workers", "uvicorn.workers")) for name in loading):
        return Role.SERVES
    return Role.FORKS if "gunicorn.arbiter" in loading else Role.OTHER


def is_reloaders_child(environ: Mapping[str, str]) -> bool:
    """Return True if Django's or Werkzeug's reloader started this process to serve."""
    return "true" in (environ.get("RUN_MAIN"), environ.get("WERKZEUG_RUN_MAIN"))


def act(serving: Serving, role: Role) -> None:
    """Start a connection in each serving process: in this one, or in those that it forks."""
    uwsgi = sys.modules.get("uwsgi")
    if role is Role.SERVES:
        serving.start()
    elif role is Role.FORKS and uwsgi is not None:
        _follow_uwsgi(uwsgi, serving)
    elif role is Role.FORKS:
        serving.start_after_forks()


def _follow_uwsgi(uwsgi: Any, serving: Serving) -> None:
    """Use uWSGI's fork hook, because uWSGI may not run Python's. It runs in mules and the spooler too."""
    before: Optional[Callable[[], None]] = getattr(uwsgi, "post_fork_hook", None)

    def after_fork() -> None:
        if before is not None:
            before()
        if uwsgi.worker_id() > 0:
            serving.start_in_child()

    uwsgi.post_fork_hook = after_fork


def signalled_server() -> object:
    """Return the object whose method handles SIGTERM: gunicorn's worker or uvicorn's server."""
    return getattr(signal.getsignal(signal.SIGTERM), "__self__", None)


def server_is_ending() -> Callable[[], bool]:
    """Return a function that returns True if the server is stopping and would wait for the streams."""
    server = signalled_server()
    return lambda: not getattr(server, "alive", True) or bool(getattr(server, "should_exit", False))
