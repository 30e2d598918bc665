"""Starts the SDK's threads, each with a context of its own.

Under uWSGI they must not receive the signals that end a worker. uWSGI ends a worker inside its signal handler, on the
thread to which the system gave the signal. There it finalizes Python. On another thread than the main thread, Python
waits for the main thread's end. The main thread waits for requests. So the worker hangs until the master kills it, by
default after 60 s. If the main thread is already ending the worker, a second signal on another thread ends the process
before the close frames are sent.

uWSGI blocks all signals on its own threads (``uwsgi_setup_thread_req`` in its ``core/loop.c``) for this reason.

It can also run without threads. Then the client can't connect, and this module warns.
"""

from __future__ import annotations

import contextvars
import logging
import signal
import sys
import threading

from ._log import SafeLog

logger = SafeLog(logging.getLogger("cometchat.client"))

_warned = False


def start_thread(thread: threading.Thread) -> None:
    """Start a thread with a context of its own. Under uWSGI it does not receive SIGHUP, SIGINT and SIGTERM.

    Python 3.14 may give a thread the context (``contextvars``) of its starter, such as that of a web request.

    :raises RuntimeError: the system can't start a thread.
    """
    context = contextvars.Context()
    if sys.platform == "win32" or not _is_thread_of_uwsgi():
        context.run(thread.start)
        return
    # A thread starts with the mask of the thread that starts it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP, signal.SIGINT, signal.SIGTERM))
        context.run(thread.start)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _is_thread_of_uwsgi() -> bool:
    """Return True if uWSGI runs this process, unless gevent makes greenlets of the main thread out of all threads."""
    monkey = sys.modules.get("gevent.monkey")
    return "uwsgi" in sys.modules and (monkey is None or not monkey.is_module_patched("threading"))


def warn_if_uwsgi_has_no_threads() -> None:
    """Warn once if uWSGI runs without threads: Python's threads then run during requests only, or never."""
    global _warned
    if _warned:
        return
    _warned = True
    # Not its options: since uWSGI 2.0.27 threads are on without them.
    if not getattr(sys.modules.get("uwsgi"), "has_threads", True):
        logger.warning(
            "uWSGI runs without threads, so the client can't connect. Start it with --enable-threads (in an ini"
            " file: enable-threads = true)."
        )
