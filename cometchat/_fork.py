"""Forks: the one place that ``os.fork`` calls back.

A child inherits copies of sockets, locks and objects, but only the thread that forked. A lock that another thread held
would stay locked in the child forever. So each object that owns locks, threads or descriptors registers here, and a
fork runs one protocol over all of them:

1. *before*, in the parent: ``pause_for_fork`` takes the object's locks, so that the child finds consistent state;
2. *after*, in the parent: ``resume_after_fork`` for exactly those that step 1 has called;
3. *after*, in the child: ``reset_after_fork`` for all of them, layer by layer, then ``start_after_fork``.

An object that fails in a step does not stop the others. The failures are logged at the end, when all locks are free.
"""

from __future__ import annotations

import enum
import logging
import os
import threading
import weakref
from typing import Callable, Dict, List, Optional, Tuple

from ._log import WRITERS, SafeLog

logger = SafeLog(logging.getLogger("cometchat.client"))


class Layer(enum.IntEnum):
    """The order of resets. An object may use objects of earlier layers."""

    LOGS = 0  # paused last, since the threads that wait for the locks of others may write to a log
    PROCESS = 1  # shared by all clients: host addresses, network watch, remembered secrets, stores
    LISTENERS = 2  # with the locks of the clients
    CLIENT = 3
    APPLICATION = 4  # objects that use clients: web views, metrics, the process-wide default


class ForkSafe:
    """The steps of an object that registers: no-ops, to override as needed. Each runs on the thread that forks."""

    def pause_for_fork(self) -> None:
        """In the parent, before the fork: take the locks. Must not wait for longer than a second."""

    def resume_after_fork(self) -> None:
        """In the parent, after the fork: release what :meth:`pause_for_fork` took, although it may have raised."""

    def reset_after_fork(self) -> None:
        """In the child: replace locks and threads, and release what belongs to the parent without using it."""

    def start_after_fork(self) -> None:
        """In the child, when every object has been reset: start what should run."""


class LogPause(ForkSafe):
    """Keeps the threads of this SDK out of log handlers during a fork: see :class:`._log.Writers`."""

    def pause_for_fork(self) -> None:
        """See :class:`ForkSafe`."""
        WRITERS.pause()

    def resume_after_fork(self) -> None:
        """See :class:`ForkSafe`."""
        WRITERS.resume()

    def reset_after_fork(self) -> None:
        """See :class:`ForkSafe`."""
        WRITERS.reset()


class ForkProtocol:
    """All registered objects of this process, and the protocol over them."""

    def __init__(self) -> None:
        # An RLock: a signal handler that forks may have interrupted register() on this very thread. It is held from
        # before the fork until after it, so that no object is added or removed in between.
        self._lock = threading.RLock()
        self._members: Dict[int, Tuple[Layer, weakref.KeyedRef[int, ForkSafe]]] = {}
        self._paused: List[ForkSafe] = []
        self._failures: List[Tuple[str, BaseException]] = []  # with the text for the log
        self._pid = os.getpid()

    def register(self, layer: Layer, thing: ForkSafe) -> None:
        """Include an object in every later fork, for as long as it lives. Any thread."""
        key = id(thing)
        with self._lock:
            self._members[key] = layer, weakref.KeyedRef(thing, self._forget, key)

    def unregister(self, thing: ForkSafe) -> None:
        """Leave an object out of later forks. Any thread; no-op if it is not registered."""
        with self._lock:
            self._members.pop(id(thing), None)

    def registered(self, layer: Layer) -> List[ForkSafe]:
        """Return the objects of one layer."""
        with self._lock:
            return [thing for of, thing in self._in_order() if of is layer]

    def before(self) -> None:
        """In the parent: pause all."""
        self._lock.acquire()
        for _, thing in reversed(self._in_order()):  # the application first: it uses the layers below
            self._paused.append(thing)
            self._run(thing.pause_for_fork, "paused before a fork")

    def after_in_parent(self) -> None:
        """Resume exactly what :meth:`before` has paused, or has begun to pause."""
        paused, self._paused = self._paused, []
        try:
            for thing in reversed(paused):
                self._run(thing.resume_after_fork, "resumed after a fork")
        finally:
            failures = self._take_failures()
            self._lock.release()
            _log(failures)

    def after_in_child(self) -> None:
        """Reset all, then start all."""
        self._lock, self._paused, self._failures, self._pid = threading.RLock(), [], [], os.getpid()
        things = self._in_order()
        reset = [thing for _, thing in things if self._run(thing.reset_after_fork, "reset in the child of a fork")]
        for thing in reset:
            self._run(thing.start_after_fork, "started in the child of a fork")
        _log(self._take_failures())

    def is_unnoticed(self) -> bool:
        """Return True in a child that was forked without Python's fork hooks, until :meth:`after_unnoticed_fork`."""
        return self._pid != os.getpid()

    def after_unnoticed_fork(self) -> None:
        """Do the same late, in a child that was forked without Python's fork hooks. No-op when called twice."""
        with _unnoticed:
            if self.is_unnoticed():
                self.after_in_child()

    def _run(self, step: Callable[[], None], what: str) -> bool:
        """Run one step of one object. Returns False if it failed."""
        try:
            step()
        except BaseException as error:  # a KeyboardInterrupt too: Python would only print it
            name = type(getattr(step, "__self__", step)).__name__
            self._failures.append((f"{name} could not be {what}.", error))
            return False
        return True

    def _take_failures(self) -> List[Tuple[str, BaseException]]:
        failures, self._failures = self._failures, []
        return failures

    def _forget(self, reference: weakref.KeyedRef[int, ForkSafe]) -> None:
        # dict.pop is one step: the garbage collector may call this method anywhere.
        self._members.pop(reference.key, None)

    def _in_order(self) -> List[Tuple[Layer, ForkSafe]]:
        members = sorted(list(self._members.values()), key=lambda member: member[0])
        things = [(layer, reference()) for layer, reference in members]
        return [(layer, thing) for layer, thing in things if thing is not None]


def _log(failures: List[Tuple[str, BaseException]]) -> None:
    for text, error in failures:
        logger.error(text, exc_info=error)


#: Several threads of a child may find out at the same time that it was forked without Python's hooks.
_unnoticed = threading.RLock()

#: Of this process.
_forks = ForkProtocol()
_log_pause = LogPause()
_forks.register(Layer.LOGS, _log_pause)
register = _forks.register
unregister = _forks.unregister
registered = _forks.registered
is_unnoticed = _forks.is_unnoticed
after_unnoticed_fork = _forks.after_unnoticed_fork

_register_at_fork: Optional[Callable[..., None]] = getattr(os, "register_at_fork", None)  # missing on Windows
if _register_at_fork is not None:
    _register_at_fork(
        before=_forks.before, after_in_parent=_forks.after_in_parent, after_in_child=_forks.after_in_child
    )
