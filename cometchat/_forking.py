"""A fork: the child's clients begin anew, and what is the parent's stays the parent's.

A child inherits copies of sockets, locks and objects, but no threads. Whatever it did with them, the parent would feel:
a shutdown ends the parent's connection, a lock that another thread held stays locked for ever. So the child's copies
are let go of without a word, and each client gets new parts. It is ``disconnected``, still logged in, and its listeners
are the same. Where the parent was to be connected, the child then makes a connection of its own, by itself.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
import sys
from typing import Iterable, List, Protocol

from . import _fork  # noqa: F401  # its hooks run before those below, until the clients register there

logger = logging.getLogger("cometchat.client")


class Forked(Protocol):
    """What is done for a client when its process forks."""

    def _before_fork(self) -> None:
        """In the parent, on the thread that forks."""

    def _after_fork(self) -> None:
        """In the parent, when it has forked."""

    def _begin_anew(self) -> List[object]:
        """In the child. Returns what must not be touched there, not even by the garbage collector."""

    def _go_on(self) -> None:
        """In the child, when all clients have begun anew."""


#: Linux's MADV_WIPEONFORK: whatever forks, the child finds a page of zeros. Python's mmap does not name it.
_WIPE_ON_FORK = 18


class Mark(Protocol):
    """``mark[0]`` is true in the process that made it, and false in a child of that."""

    def __getitem__(self, place: int) -> object: ...


class _PidMark:
    """One that asks the system, where it wipes no pages."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def __getitem__(self, place: int) -> bool:
        return self._pid == os.getpid()


def new_mark() -> Mark:
    """A mark of this process. Reading it takes no system call, where the system can wipe a page for a child."""
    if sys.platform != "linux":
        return _PidMark()
    page: Mark = _PidMark()
    with contextlib.suppress(OSError, ValueError):  # a system without it, or without memory
        wiped = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        wiped.madvise(_WIPE_ON_FORK)
        wiped[0] = 1
        page = wiped
    return page


_left_alone: List[object] = []


def see_to(clients: Iterable[Forked]) -> None:
    """Do this for whatever clients there are when the process forks."""

    def before() -> None:
        for client in list(clients):
            client._before_fork()

    def in_parent() -> None:
        for client in list(clients):
            client._after_fork()

    def in_child() -> None:
        forked = list(clients)
        for client in forked:
            _left_alone.extend(client._begin_anew())
        for client in forked:
            client._go_on()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=in_child)


def begin_anew_late(client: Forked) -> None:
    """In the child of a fork that Python was not told of."""
    logger.warning(
        "This process was forked without Python's fork hooks, so that the client begins anew only now, at its first"
        " use. Under uWSGI: --py-call-uwsgi-fork-hooks or --lazy-apps."
    )
    _left_alone.extend(client._begin_anew())
    client._go_on()


_warned = False


def warn_where_threads_stand_still() -> None:
    """Say, once a process, that uWSGI was started without threads: Python's then run during requests only, or never."""
    global _warned
    if _warned:
        return
    _warned = True
    # Not its options: since uWSGI 2.0.27 threads are on without them.
    if not getattr(sys.modules.get("uwsgi"), "has_threads", True):
        logger.warning(
            "uWSGI runs without threads, so that the connection can neither be made nor kept: start it with"
            " --enable-threads (in an ini file: enable-threads = true)."
        )
