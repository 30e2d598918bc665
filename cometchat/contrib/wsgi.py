"""What a WSGI server tells of itself in ``environ``: does it bear a stream, and is a stream's browser still there?

WSGI has no word for the second; gunicorn's, Werkzeug's and Waitress's own keys are read where they are there.
"""

from __future__ import annotations

import select
import signal
import socket
import ssl
from typing import Any, Callable, Mapping

_SOCKETS = ("gunicorn.socket", "werkzeug.socket")


def is_concurrent(environ: Mapping[str, Any]) -> bool:
    """The server answers other requests while one is answered piece by piece."""
    return bool(environ.get("wsgi.multithread"))


def gunicorn_worker() -> Any:
    """The worker of gunicorn that this process is, or None. It sets its signals before it loads an application."""
    owner = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return owner if any(cls.__module__.startswith("gunicorn.workers") for cls in type(owner).__mro__) else None


def gone(environ: Mapping[str, Any]) -> Callable[[], bool]:
    """A function that says whether a stream is to end: its browser has closed the connection, or its server stops.

    A worker of gunicorn that is to stop waits for its answers, up to ``graceful_timeout``. Where neither can be known,
    the function says no.
    """
    has_ended, worker = _gone(environ), gunicorn_worker()
    return lambda: getattr(worker, "alive", True) is False or has_ended()


def _gone(environ: Mapping[str, Any]) -> Callable[[], bool]:
    told = environ.get("waitress.client_disconnected")
    if callable(told):
        return lambda: bool(told())
    for name in _SOCKETS:
        connection = environ.get(name)
        # Of TLS nothing can be looked at without taking it.
        if isinstance(connection, socket.socket) and not isinstance(connection, ssl.SSLSocket):
            return lambda: _has_ended(connection)
    return lambda: False


def _has_ended(connection: socket.socket) -> bool:
    """The other side has closed or reset it. Does not wait, and takes nothing of what it may have sent."""
    if not hasattr(select, "poll"):
        return False
    try:
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        return bool(poll.poll(0)) and connection.recv(1, socket.MSG_PEEK) == b""
    except (OSError, ValueError):  # reset; or closed on this side
        return True
