"""Finds out from a WSGI server's ``environ`` how many streams it can handle, and whether a stream must end.

WSGI does not define how to detect a closed connection or the number of threads. This module reads the keys and objects
of gunicorn, Werkzeug, Waitress, uWSGI, mod_wsgi, gevent and asgiref.
"""

from __future__ import annotations

import select
import socket
import ssl
import sys
from typing import Any, Callable, Mapping, Optional, Union

from ._answers import Answer, StreamAnswer
from ._feed import DEFAULT_MAX_AGE, StatusFeed
from ._process import calling_modules, server_is_ending, signalled_server

_WAITRESS = "waitress.client_disconnected"
_SOCKETS = ("gunicorn.socket", "werkzeug.socket")

#: Modules that call the application on their only thread, but claim to have threads: asgiref's WsgiToAsgi, and Django's
#: runserver with --nothreading.
_SINGLE_THREADS = ("asgiref.wsgi", "django.core.management.commands.runserver")

#: Maximum number of streams under a server that starts a thread or a greenlet for each request.
_STREAMS_WITHOUT_POOL = 100


def is_concurrent(environ: Mapping[str, Any]) -> bool:
    """Return True if the server can answer other requests during a stream, and lets it live."""
    has_threads = bool(environ.get("wsgi.multithread")) and calling_modules().isdisjoint(_SINGLE_THREADS)
    return (has_threads or _has_greenlets(environ)) and not _kills_streams(environ)


def max_streams(environ: Mapping[str, Any]) -> Optional[int]:
    """Return the maximum number of streams: half of the server's threads. None if their number is unknown."""
    if _has_greenlets(environ) or _starts_threads(environ):
        return _STREAMS_WITHOUT_POOL
    threads = _number_of_threads(environ)
    return None if threads is None else threads // 2


def _has_greenlets(environ: Mapping[str, Any]) -> bool:
    """Return True for gevent's server, or gunicorn with gevent. Unpatched threads would block all its greenlets."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("threading"):
        return False
    worker = type(signalled_server()).__module__
    return str(environ.get("SERVER_SOFTWARE", "")).startswith("gevent/") or worker == "gunicorn.workers.ggevent"


def _kills_streams(environ: Mapping[str, Any]) -> bool:
    """Return True for a uWSGI whose option ``harakiri`` kills a worker before its stream ends."""
    longest = _whole(_uwsgi_option("harakiri")) if "uwsgi.version" in environ else None
    return longest is not None and 0 < longest <= DEFAULT_MAX_AGE


def _starts_threads(environ: Mapping[str, Any]) -> bool:
    """Return True for a development server that starts a thread per request (Werkzeug's, Django's runserver)."""
    return str(environ.get("SERVER_SOFTWARE", "")).startswith(("Werkzeug", "WSGIServer"))


def _number_of_threads(environ: Mapping[str, Any]) -> Optional[int]:
    found: Any = None
    if "gunicorn.socket" in environ:
        found = getattr(getattr(signalled_server(), "cfg", None), "threads", None)
    elif _WAITRESS in environ:
        found = getattr(getattr(_waitress_channel(environ), "adj", None), "threads", None)
    elif "uwsgi.version" in environ:
        found = _uwsgi_option("threads") or 1
    elif "mod_wsgi.version" in environ:
        found = getattr(sys.modules.get("mod_wsgi"), "threads_per_process", None)
    return _whole(found)


def _uwsgi_option(name: str) -> Any:
    return getattr(sys.modules.get("uwsgi"), "opt", {}).get(name)


def _whole(found: Any) -> Optional[int]:
    try:
        return None if found is None else int(found)
    except (TypeError, ValueError):
        return None


def _waitress_channel(environ: Mapping[str, Any]) -> object:
    """Return Waitress's channel, whose method is in ``environ``."""
    return getattr(environ[_WAITRESS], "__self__", None)


def gone(environ: Mapping[str, Any]) -> Callable[[], bool]:
    """Return a function that returns True if a stream must end: the browser disconnected, or the server stops.

    (A stopping worker of gunicorn waits for its answers, up to ``graceful_timeout``.) The function returns False if
    this is unknown.
    """
    has_ended, is_ending = _gone(environ), server_is_ending()
    return lambda: is_ending() or has_ended()


def events_answer(
    feed: StatusFeed, environ: Mapping[str, Any], limit: Optional[int] = None
) -> Union[Answer, StreamAnswer]:
    """Answer a request with the feed's stream, if its server can handle one.

    See :meth:`cometchat.contrib.web.StatusFeed.events_answer`.

    :param limit: maximum number of streams; None: half of the server's threads.
    """
    if limit is None:
        limit = max_streams(environ)
    return feed.events_answer(is_concurrent(environ), limit, gone(environ))


def _gone(environ: Mapping[str, Any]) -> Callable[[], bool]:
    is_closed = environ.get(_WAITRESS)
    if callable(is_closed):
        # Waitress waits five seconds for its threads when it stops.
        threads = getattr(getattr(_waitress_channel(environ), "server", None), "task_dispatcher", None)
        return lambda: bool(is_closed()) or getattr(threads, "stop_count", 0) > 0
    for name in _SOCKETS:
        connection = environ.get(name)
        # With TLS, a check would consume data.
        if isinstance(connection, socket.socket) and not isinstance(connection, ssl.SSLSocket):
            return lambda: _has_ended(connection)
    return lambda: False


def _has_ended(connection: socket.socket) -> bool:
    """Return True if the other side closed or reset the connection. Does not wait, and does not consume data."""
    if not hasattr(select, "poll"):
        return False
    try:
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        return bool(poll.poll(0)) and connection.recv(1, socket.MSG_PEEK) == b""
    except (OSError, ValueError):  # reset; or closed on this side
        return True
