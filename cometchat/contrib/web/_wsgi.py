"""What a WSGI server says about itself in ``environ``: how many streams it bears, and whether a stream must end.

WSGI has no word for a browser that has closed its connection, nor for the number of threads; the keys and objects of
gunicorn, Werkzeug, Waitress, uWSGI, mod_wsgi and gevent are read if they are there.
"""

from __future__ import annotations

import select
import socket
import ssl
import sys
from typing import Any, Callable, Mapping, Optional, Union

from ._answers import Answer, StreamAnswer
from ._feed import StatusFeed
from ._process import server_is_ending, told_to_end

_WAITRESS = "waitress.client_disconnected"
_SOCKETS = ("gunicorn.socket", "werkzeug.socket")

#: Maximum number of streams under a server that starts a thread or a greenlet for each request.
_STREAMS_WITHOUT_POOL = 100


def is_concurrent(environ: Mapping[str, Any]) -> bool:
    """Return whether the server answers other requests beside a stream."""
    return bool(environ.get("wsgi.multithread")) or _has_greenlets(environ)


def max_streams(environ: Mapping[str, Any]) -> Optional[int]:
    """Return how many streams the server bears: half of its threads. None if their number is unknown."""
    if _has_greenlets(environ) or _starts_threads(environ):
        return _STREAMS_WITHOUT_POOL
    threads = _number_of_threads(environ)
    return None if threads is None else threads // 2


def _has_greenlets(environ: Mapping[str, Any]) -> bool:
    """gevent's server, or a worker of gunicorn that uses it. Unpatched threads would block all of its greenlets."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("threading"):
        return False
    worker = type(told_to_end()).__module__
    return str(environ.get("SERVER_SOFTWARE", "")).startswith("gevent/") or worker == "gunicorn.workers.ggevent"


def _starts_threads(environ: Mapping[str, Any]) -> bool:
    """A server of development. Django's runserver is the second one."""
    return str(environ.get("SERVER_SOFTWARE", "")).startswith(("Werkzeug", "WSGIServer"))


def _number_of_threads(environ: Mapping[str, Any]) -> Optional[int]:
    found: Any = None
    if "gunicorn.socket" in environ:
        found = getattr(getattr(told_to_end(), "cfg", None), "threads", None)
    elif _WAITRESS in environ:
        found = getattr(getattr(_waitress_channel(environ), "adj", None), "threads", None)
    elif "uwsgi.version" in environ:
        found = getattr(sys.modules.get("uwsgi"), "opt", {}).get("threads", 1)
    elif "mod_wsgi.version" in environ:
        found = getattr(sys.modules.get("mod_wsgi"), "threads_per_process", None)
    try:
        return None if found is None else int(found)
    except (TypeError, ValueError):
        return None


def _waitress_channel(environ: Mapping[str, Any]) -> object:
    """The object whose method is in ``environ``."""
    return getattr(environ[_WAITRESS], "__self__", None)


def gone(environ: Mapping[str, Any]) -> Callable[[], bool]:
    """Return a function that says whether a stream must end: its browser closed the connection, or its server stops.

    A worker of gunicorn that stops waits for its answers, up to ``graceful_timeout``. If neither can be known, the
    function returns False.
    """
    has_ended, is_ending = _gone(environ), server_is_ending()
    return lambda: is_ending() or has_ended()


def events_answer(
    feed: StatusFeed, environ: Mapping[str, Any], limit: Optional[int] = None
) -> Union[Answer, StreamAnswer]:
    """Answer a request with the feed's stream, if its server bears one.

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
        # A look at TLS would take what it looks at.
        if isinstance(connection, socket.socket) and not isinstance(connection, ssl.SSLSocket):
            return lambda: _has_ended(connection)
    return lambda: False


def _has_ended(connection: socket.socket) -> bool:
    """Whether the other side has closed or reset it. Does not wait, and takes nothing of what it may have sent."""
    if not hasattr(select, "poll"):
        return False
    try:
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        return bool(poll.poll(0)) and connection.recv(1, socket.MSG_PEEK) == b""
    except (OSError, ValueError):  # reset; or closed on this side
        return True
