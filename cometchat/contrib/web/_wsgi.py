"""What a WSGI server tells of itself in ``environ``: which streams it bears, and whether a stream is to end.

WSGI has no word for a browser that has gone; gunicorn's, Werkzeug's and Waitress's own keys are read where they are
there.
"""

from __future__ import annotations

import select
import socket
import ssl
from typing import Any, Callable, Mapping, Optional, Union

from ._feed import Answer, StatusFeed, StreamAnswer
from ._process import server_is_ending

_SOCKETS = ("gunicorn.socket", "werkzeug.socket")

#: How many streams the servers of development may hold: they start a thread for each request.
_STREAMS_OF_DEVELOPMENT = 100


def is_concurrent(environ: Mapping[str, Any]) -> bool:
    """The server answers other requests while one is answered piece by piece."""
    return bool(environ.get("wsgi.multithread"))


def max_streams(environ: Mapping[str, Any]) -> Optional[int]:
    """How many streams the server bears; None: that is not known of it."""
    # Django's runserver is the second one.
    starts_threads = str(environ.get("SERVER_SOFTWARE", "")).startswith(("Werkzeug", "WSGIServer"))
    return _STREAMS_OF_DEVELOPMENT if starts_threads else None


def gone(environ: Mapping[str, Any]) -> Callable[[], bool]:
    """A function that says whether a stream is to end: its browser has closed the connection, or its server stops.

    A worker of gunicorn that is to stop waits for its answers, up to ``graceful_timeout``. Where neither can be known,
    the function says no.
    """
    has_ended, is_ending = _gone(environ), server_is_ending()
    return lambda: is_ending() or has_ended()


def events_answer(
    feed: StatusFeed, environ: Mapping[str, Any], limit: Optional[int] = None
) -> Union[Answer, StreamAnswer]:
    """The feed's stream for a request, as far as its server bears one.

    See :meth:`cometchat.contrib.web.StatusFeed.events_answer`.

    :param limit: how many streams there may be; None: what suits the server.
    """
    if limit is None:
        limit = max_streams(environ)
    return feed.events_answer(is_concurrent(environ), limit, gone(environ))


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
