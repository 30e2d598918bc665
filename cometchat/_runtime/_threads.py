"""The threads of this SDK: how they run and wait, and how long they wait after a failure."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import sys
import threading
import time
from typing import Callable, List, Optional

from .._log import SafeLog
from .._thread_start import start_thread
from .._transport._exception_chain import pass_on_interruption
from .._turns import TURNS
from ..exceptions import ERR_INTERNAL, exception_for

logger = logging.getLogger("cometchat.client")

#: Minimum run, in seconds, after which a failure starts a new series of waits.
_GOOD_RUN = 30.0

#: Maximum jitter, as a share of the wait that a server asked for.
_SPREAD = 0.25

#: Maximum number of consecutive attempts that come early.
_EARLY_WAKEUPS = 5

#: Seconds after which one more attempt may come early.
_REFILL = 10.0

#: Requests per minute that are reserved for the user's calls, and the seconds between two other requests at that point.
_RESERVE, _SLOW = 100, 1.0

#: Exceptions that ``Thread.join`` may raise once the thread has ended.
_ENDED_MEANWHILE = (AssertionError, RuntimeError)

#: Maximum number of doublings. Waits reach their cap much earlier; 2.0 ** 1025 would overflow a float.
_MOST_DOUBLINGS = 40

#: Maximum length of one wait of the main thread, in seconds. Python runs signal handlers there, between two bytecodes.
#: So a signal just before the system's wait does not end that wait. On Windows no signal does, before Python 3.14.
_STRETCH = 0.5


class Wakeup:
    """Like ``threading.Event``, but safe in signal handlers.

    ``threading.Event`` hangs if a signal handler sets it while the interrupted thread holds its lock.

    A raw lock is the gate, which is locked while the event is not set. No thread owns it, and ``set()`` never waits for
    it. The flag holds the state; the gate only blocks the waiters. A waiter that passes the gate opens it again for the
    next one, unless the event was cleared in between. In that case it leaves the gate locked, and waits again. So with
    several waiters only one of them may clear the event, and the others may miss a set() that is cleared at once.

    :param clock: monotonic seconds.
    """

    __slots__ = ("_clock", "_is_set", "_gate")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._is_set = False
        self._gate = threading.Lock()
        self._gate.acquire()

    def set(self) -> None:
        """Wake all waiters, now and until :meth:`clear`. Never waits."""
        self._is_set = True
        try:  # without a call in between, in which a KeyboardInterrupt could come
            self._gate.release()
        except RuntimeError:  # the gate was open
            return

    def clear(self) -> None:
        """Make later calls of :meth:`wait` wait. Does not wait itself."""
        self._is_set = False
        self._gate.acquire(blocking=False)
        if self._is_set:  # set() may have run in between and found the gate open
            self.set()

    def is_set(self) -> bool:
        """Return whether the event is set."""
        return self._is_set

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Wait until the event is set, at most ``timeout`` seconds.

        :returns: whether it is set.
        """
        end = None if timeout is None else self._clock() + timeout
        longest = _STRETCH if threading.get_ident() == threading.main_thread().ident else threading.TIMEOUT_MAX
        while not self.is_set():
            left = longest if end is None else min(max(0.0, end - self._clock()), longest)
            passed = False
            try:
                with TURNS.lent():
                    passed = self._gate.acquire(timeout=left)
            finally:
                if self._is_set:  # although an exception may interrupt this thread: the next one must pass
                    try:
                        self._gate.release()
                    except RuntimeError:
                        passed = True
            if not passed and left < longest:
                return self._is_set
        return True


def wait_after(
    failures: int, jitter: float, *, first: float = 0.2, longest: float = 30.0, asked: Optional[float] = None
) -> float:
    """Return the seconds to wait before the next try: between half of a limit and the limit.

    But at least ``asked`` plus jitter, so that clients with the same ``Retry-After`` do not return at the same time.

    :param failures: number of failures before the newest one.
    :param jitter: 0 to 1, at random.
    :param first: the limit after the first failure, in seconds. Each further failure doubles it.
    :param longest: maximum limit, in seconds.
    :param asked: seconds that the server asked for, such as a ``Retry-After``.
    """
    limit = min(first * 2.0 ** min(failures, _MOST_DOUBLINGS), longest)
    wait = limit * (0.5 + jitter / 2)
    if asked is None:
        return wait
    return max(wait, asked + jitter * max(limit, asked * _SPREAD))


def rate_limit_pause(remaining: Optional[int], jitter: float) -> float:
    """Return the seconds to wait before a background request, to reserve the rate limit for the user's calls.

    :param remaining: requests that the service still accepts in this minute; None if unknown.
    :param jitter: 0 to 1, at random.
    """
    return _SLOW * (0.5 + jitter) if remaining is not None and remaining < _RESERVE else 0.0


class Backoff:
    """Counts the failures of one series, and computes the wait before the next try. For one thread.

    See :func:`wait_after`.

    :param jitter: returns 0 to 1, at random.
    :ivar failures: their number.
    """

    def __init__(
        self, first: float = 0.2, longest: float = 30.0, jitter: Callable[[], float] = random.random
    ) -> None:
        self._first = first
        self._longest = longest
        self._jitter = jitter
        self.failures: int = 0

    def next(self, asked: Optional[float] = None) -> float:
        """Count a failure. Returns the seconds to wait."""
        failures, self.failures = self.failures, self.failures + 1
        return wait_after(failures, self._jitter(), first=self._first, longest=self._longest, asked=asked)


class EarlyWakeups:
    """A budget for attempts that come early: 5 at first, and one more every 10 s. Its owner holds a lock.

    Without it, a listener that calls ``connect()`` after each failure, or an unstable network link, would disable the
    backoff.

    :param clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left = float(_EARLY_WAKEUPS)
        self._counted_at = clock()

    def take(self) -> bool:
        """Take one from the budget. Returns False if it is empty: the attempt must not come early."""
        self._refill()
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def take_in_advance(self) -> float:
        """Take one from the budget. Returns the seconds until the budget has it."""
        self._refill()
        self._left -= 1
        return max(0.0, -self._left * _REFILL)

    def _refill(self) -> None:
        now = self._clock()
        self._left = min(self._left + (now - self._counted_at) / _REFILL, float(_EARLY_WAKEUPS))
        self._counted_at = now


_local = threading.local()


def on_service_thread() -> bool:
    """Return True on a thread of this SDK, such as in a callback, and in the child of a fork on such a thread."""
    return getattr(_local, "is_service_thread", False)


def end_child(error: Optional[BaseException]) -> None:
    """End the child of a fork when its only thread ends, with the code of SystemExit.

    :param error: the exception that its thread raised.
    """
    code: object = 0 if error is None else 1
    if isinstance(error, SystemExit):
        code = 0 if error.code is None else error.code
    text = ""
    if not isinstance(code, int):
        text, code = f"{code}\n", 1
    for stream, last in ((sys.stdout, ""), (sys.stderr, text)):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, without a reader, or missing
            stream.write(last)
            stream.flush()
    os._exit(code & 0xFF)


class ServiceThread:
    """Runs ``work`` on a daemon thread, and runs it again if it raises. The thread ends when ``work`` returns.

    If a callback forks, the child has only this thread, without work for it. The child ends with the callback.

    Where two threads find at the same moment that a third one has ended, each holds a lock of it for an instant, and
    expects the other not to. ``Thread.join`` and ``Thread.is_alive`` of PyPy then raise one of ``_ENDED_MEANWHILE``, or
    call the thread alive; those of CPython up to 3.12 could. So a ServiceThread marks its end itself.

    :param name: of the thread. It contains the client's number.
    :param work: the thread's loop.
    :param wanted: returns whether to run ``work`` again after it raised.
    :param wait: waits a number of seconds; returns early if the thread is no longer wanted.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], None],
        *,
        wanted: Callable[[], bool],
        wait: Callable[[float], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._work = work
        self._wanted = wanted
        self._wait = wait
        self._clock = clock
        self._backoff: Optional[Backoff] = None  # of the failures since the last good run
        self._lock = threading.RLock()
        self._starting = False
        self._thread: Optional[threading.Thread] = None
        self._ended = Wakeup()
        self._new: List[Wakeup] = []  # of the thread that has not begun to work
        #: The newest exception that a report or a wait raised, for a debugger.
        self.last_failure: Optional[BaseException] = None

    def start(self) -> None:
        """Start the thread; no-op while it runs. Any thread, and a signal handler that interrupted this call.

        :raises CometChatException: ``ERR_INTERNAL``: the system can't start a thread.
        """
        with self._lock:
            if self._starting:
                return  # in a signal handler: the interrupted call starts the thread
            self._starting = True
            try:
                # The thread of an interrupted start() may not be alive yet. It must not work beside the new one.
                if self.alive or (not self._take(self._ended) and self.alive):
                    return
                self._ended = ended = Wakeup()
                self._new.append(ended)
                self._thread = threading.Thread(target=self._run, args=(ended,), name=self.name, daemon=True)
                start_thread(self._thread)
            except Exception as cause:  # no memory, no descriptors, the interpreter ends, a sub-interpreter, ...
                # Thread.start() may replace the exception of a signal handler by this one. The thread may run then.
                interruption = cause.__context__ if isinstance(cause, KeyError) else None
                pass_on_interruption(interruption or cause)
                raise exception_for(ERR_INTERNAL, f"No thread can be started: {cause}.") from cause
            finally:
                self._starting = False

    def join(self, timeout: float) -> None:
        """Wait for the thread's end, at most ``timeout`` seconds; no-op on the thread itself. Any number of threads."""
        thread, ended = self._thread, self._ended
        if thread is None or thread is threading.current_thread() or (self.alive and not ended.wait(timeout)):
            return
        with contextlib.suppress(*_ENDED_MEANWHILE):
            thread.join(timeout)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        thread = self._thread
        if thread is None or self._ended.is_set():
            return False
        with contextlib.suppress(*_ENDED_MEANWHILE):
            return thread.is_alive()
        return False

    def _take(self, ended: Wakeup) -> bool:
        """Return True once for each thread: to the thread itself, which then works, or to a start() before that."""
        try:
            self._new.remove(ended)
        except ValueError:
            return False
        return True

    def _run(self, ended: Wakeup) -> None:
        if not self._take(ended):
            return
        _local.is_service_thread = True
        process, continues = os.getpid(), True
        try:
            while continues:
                try:
                    self._run_until_done(process)
                    return
                except Exception as failure:  # of the report, or of the first call, such as for a lack of memory
                    self.last_failure = failure
                    continues = self._wanted()
        finally:
            _local.is_service_thread = False
            ended.set()

    def _run_until_done(self, process: int) -> None:
        while True:
            started = self._clock()
            try:
                self._work()
                if os.getpid() != process:
                    end_child(None)
                return
            except BaseException as error:  # SystemExit too
                if os.getpid() != process:
                    if not isinstance(error, SystemExit):
                        self._report(error, "A callback forked, and then raised in the child.")
                    end_child(error)
                if not self._wanted():
                    if isinstance(error, Exception):
                        return
                    raise
                self._recover(error, self._clock() - started)
                if not self._wanted():
                    return

    def _recover(self, error: BaseException, lived: float) -> None:
        """Report an exception of ``work`` and wait. A failure in this method must not end the thread."""
        if self._backoff is None or lived >= _GOOD_RUN:
            self._backoff = Backoff()
        seconds = self._backoff.next()
        self._report(error, f"Unexpected error. The thread continues in {seconds:.1f} s.")
        self._try(lambda: self._wait(seconds))

    def _report(self, error: BaseException, message: str) -> None:
        log = SafeLog(logger, lambda: self.name)  # not in the constructor: most threads never need it
        self._try(lambda: log.error(message, exc_info=error))
        self.last_failure = log.last_failure or self.last_failure

    def _try(self, step: Callable[[], object]) -> None:
        try:
            step()
        except BaseException as failure:  # such as a logging handler that exits in the child of a fork
            self.last_failure = failure
