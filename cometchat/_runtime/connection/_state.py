"""The state of the connection. Only this module knows which connection is current.

How it works
------------

A *generation* is the time from ``connect()`` to ``disconnect()``. It has a number, a thread, and at most one socket at
a time (:class:`.Generation`). Losses and new attempts happen inside a generation.

1. ``connect()`` calls :meth:`ConnectionState.begin`. It takes the next number, sets the phase OPENING, and queues the
   callback ``on_connecting``.
2. The connection thread (:mod:`._thread`) opens a socket, authenticates, and reads frames. It reports each result,
   together with its generation, by :meth:`ConnectionState.signal` or :meth:`ConnectionState.accept`.
3. Under the client's lock, ConnectionState compares the report's generation with the current number. For an older
   generation it returns None, and that thread ends silently. For the current one, the state machine
   (:mod:`cometchat._protocol._states`) makes a step.
4. Still under the lock, the step puts the callbacks into the event queue with the generation's number, sets
   ``status``, and wakes the threads that wait for a phase. So status, callbacks and waits agree, in one order.
5. ``disconnect()`` calls :meth:`ConnectionState.end`. It takes the next number, sets the phase IDLE, queues the final
   ``on_disconnected``, and interrupts the old socket outside of the lock. The queue refuses later events of the old
   thread. A login that the service ends does the same by :meth:`ConnectionState.end_login`.

The number is stored in the event queue, because that is the lowest part that needs it. Only this class changes it. No
other variable says which connection is current.

``status`` is one attribute, written under the lock and read without it: reading it never blocks.

Lock order: the client's lock is taken first. No I/O, no wait and no callback happens under it. If a signal handler
interrupts the holder of the lock on the same thread, another thread makes the handler's call (:mod:`.._lifecycle`).
"""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import Callable, FrozenSet, List, Optional, Tuple

from ..._log import SafeLog
from ..._protocol._failures import Jwt
from ..._protocol._frames import Heartbeat, Ping
from ..._protocol._states import STATUS, UP, CometChatWSState, ConnectionMachine, Phase, Signal, Step
from ..._transport._interfaces import Socket
from ...exceptions import CometChatException, client_closed
from .._registry import CONNECTION, ListenerRegistry
from .._threads import EarlyWakeups, ServiceThread, Wakeup, on_service_thread
from ..account import Account, Credentials
from ..delivery import EventQueue
from ._counters import Counters

logger = logging.getLogger("cometchat.connection")

#: The phases in which no connection is wanted.
_UNWANTED = frozenset({Phase.IDLE, Phase.CLOSED})

#: Public status -> its phases.
_PHASES_OF = {
    status: frozenset(phase for phase in Phase if STATUS[phase] is status) for status in CometChatWSState
}


class Generation:
    """The resources of one generation: its thread, its socket, and the waits on them.

    Its number shows whether it is still the current one: see :class:`.ConnectionState`.

    :param number: its number.
    :param lock: the client's lock. It guards the heartbeat.
    :ivar delay: seconds that the thread waits before the first attempt.
    :ivar wake: ends the wait between two attempts.
    :ivar settings_known: set when no request for the settings is in progress.
    :ivar heartbeat: of the connection that is up, with all pings on it; None without a connection.
    :ivar lost_at: monotonic seconds of the newest loss; None without a loss in this generation.
    :ivar refresh_at: monotonic seconds of the next request for the settings; infinite without one.
    :ivar jwt: the state of the jwt. For the connection thread only.
    :ivar warned_of: the code of the newest error, if a warning about it was logged for the app's operator.
    :ivar outage_at: monotonic seconds of the warning about an outage that lasts; None while the connection is up,
        infinite after the warning.
    """

    def __init__(self, number: int, lock: threading.RLock) -> None:
        self.number = number
        self._lock = lock
        self.delay: float = 0.0
        self.wake: Wakeup = Wakeup()
        self.settings_known: Wakeup = Wakeup()
        self.settings_known.set()
        self.thread: Optional[ServiceThread] = None
        self.socket: Optional[Socket] = None
        self.credentials: Optional[Credentials] = None
        self.heartbeat: Optional[Heartbeat] = None
        self.lost_at: Optional[float] = None
        self.refresh_at: float = math.inf
        self.jwt = Jwt.KNOWN
        self.warned_of: Optional[str] = None
        self.outage_at: Optional[float] = None

    def interrupt(self) -> None:
        """End every wait of the thread. Any thread; does not wait itself."""
        self.wake.set()
        self.settings_known.set()
        socket = self.socket
        if socket is not None:
            socket.interrupt()

    def add_ping(self, ping: Ping) -> bool:
        """Register a user's ping. Returns False if no connection is up."""
        with self._lock:
            if self.heartbeat is None:
                return False
            self.heartbeat.sent_by_user(ping)
            return True

    def remove_ping(self, ping: Ping) -> None:
        """Remove a ping whose caller no longer waits."""
        with self._lock:
            if self.heartbeat is not None:
                self.heartbeat.forget(ping)

    def pong(self, now: float) -> Optional[float]:
        """Note a pong. Returns the round trip in seconds, or None without a ping."""
        with self._lock:
            return None if self.heartbeat is None else self.heartbeat.pong(now)

    def release_pings(self, error: Optional[CometChatException] = None) -> None:
        """Wake every waiting ``ping()``, because the connection is down.

        :param error: the reason; None if it was closed on purpose.
        """
        with self._lock:
            if self.heartbeat is not None:
                self.heartbeat.end(error)
                self.heartbeat = None  # last: if a KeyboardInterrupt ends this call, another one does what is left


class PhaseWaiter:
    """A thread that waits for one of several phases. A short moment in the phase is enough."""

    def __init__(self, phases: FrozenSet[Phase]) -> None:
        self._phases = phases
        self.reached = Wakeup()
        self.seen: Optional[Phase] = None

    def note(self, phase: Phase) -> bool:
        """Note a phase. Returns True if the wait is over."""
        if self.seen is None and phase in self._phases:
            self.seen = phase
        return self.seen is not None


class ConnectionState:
    """The phase, the status, and the current generation of one client's connection: see the top of this module.

    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        registry: ListenerRegistry,
        events: EventQueue,
        counters: Counters,
        account: Account,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lock: threading.RLock = registry.lock
        self._events = events
        self._counters = counters
        self._account = account
        self._log = SafeLog(logger, account.client_name)
        self._unlogged: List[Step] = []
        self._clock = clock
        self._machine = ConnectionMachine()
        self._early_wakeups = EarlyWakeups(clock)
        self._waiters: List[PhaseWaiter] = []
        self._exits = False  # the interpreter
        self._stopped_by: Optional[CometChatException] = None
        #: The newest generation, which may have ended.
        self.newest: Optional[Generation] = None
        self.status: CometChatWSState = CometChatWSState.DISCONNECTED
        self.last_error: Optional[CometChatException] = None
        self.failed_in: Optional[Phase] = None

    # --- which connection is current

    @property
    def number(self) -> int:
        """The number of the current generation. It grows when a generation begins or ends."""
        return self._events.generation

    @property
    def wanted(self) -> bool:
        """Whether the connection is up or being established. Takes no lock."""
        return self._machine.phase not in _UNWANTED

    @property
    def closed(self) -> bool:
        """Whether the client is closed. Takes no lock."""
        return self._machine.phase is Phase.CLOSED

    def is_current(self, generation: Generation) -> bool:
        """Return True if the generation is the current one. Takes no lock."""
        return generation.number == self._events.generation and self.wanted

    def phase(self, generation: Generation) -> Optional[Phase]:
        """Return the phase, or None if the generation is not the current one."""
        with self.lock:
            return self._machine.phase if self.is_current(generation) else None

    # --- beginning and ending it

    def begin(self) -> Optional[Generation]:
        """Start to connect. Returns a new generation, which needs a thread, or None if the current one continues.

        Ends the wait for the next attempt, unless too many attempts came early, or a callback calls this and the server
        asked for the wait. The caller may hold the lock, so this does not log; the caller calls :meth:`log` without it.

        :raises CometChatException: ``ERR_CLIENT_CLOSED``.
        """
        with self.lock:
            if self._machine.phase is Phase.CLOSED:
                raise client_closed()
            # A call that was interrupted before it started the thread left a generation without one.
            begins = not self.wanted or self.newest is None or self.newest.thread is None
            if begins:
                self.newest = Generation(self._events.advance(), self.lock)
                # A callback may connect after each failure, or disconnect first.
                if self.last_error is not None and on_service_thread():
                    self.newest.delay = self._early_wakeups.take_in_advance()
                self._stopped_by = self.last_error = self.failed_in = None
            elif self._must_wait():
                return None
            generation = self.newest
            assert generation is not None
            step = self._machine.handle(Signal.CONNECT, self._clock())
            self._apply(step)
            self._unlogged.append(step)
        # Only a callback's first attempt is delayed, and a call of the program does not wait for it.
        if not begins and (step.old is not step.new or (generation.delay and not on_service_thread())):
            generation.wake.set()
        return generation if begins else None

    def leave_waiters(self) -> None:
        """Let the threads that wait sleep, now and later, because the interpreter exits. They are daemons."""
        with self.lock:
            self._exits = True
            self._waiters.clear()
            if self.newest is not None:
                self.newest.heartbeat = None  # with its pings

    def end(self, signal: Signal) -> Optional[Generation]:
        """End the connection, or stop trying. Returns the ended generation; None without a generation.

        A second call does what is left if a KeyboardInterrupt has ended the first one. The machine stays CLOSED.

        :param signal: DISCONNECT or CLOSE.
        """
        with self.lock:
            self._stopped_by = None
            # First the phase: if this is interrupted, connect() does not take the old connection for a new one.
            phase = self._machine.phase
            step = Step(phase, phase)
            if phase is not Phase.CLOSED:
                step = self._machine.handle(signal, self._clock())
            if self.status is not CometChatWSState.DISCONNECTED:
                step = Step(step.old, step.new, transition="on_disconnected")  # an interrupted call had not queued it
            self._events.advance()
            self._apply(step)
            self._unlogged.append(step)
            ended = self.newest
        if ended is not None:
            ended.interrupt()
            ended.release_pings()
        self.log()
        return ended

    # --- what the connection thread reports

    def signal(
        self,
        generation: Generation,
        signal: Signal,
        error: Optional[CometChatException] = None,
        *,
        only_in: Optional[Phase] = None,
    ) -> Optional[Step]:
        """Hand a signal to the state machine. Returns None if the generation is not the current one.

        :param only_in: the phase for the signal; no-op in any other phase.
        """
        with self.lock:
            step = self._handle(generation, signal, error, only_in)
        self.log()
        return step

    def accept(self, generation: Generation) -> bool:
        """Note that the server has accepted the authentication. Returns False if the generation is not the current one.

        In a throttled app both transitions are one step, so that no thread sees ``connected`` in between.
        """
        with self.lock:
            if not self.is_current(generation):
                return False
            now, throttled = self._clock(), self._account.is_throttled()
            steps = [self._machine.handle(Signal.ACCEPTED, now)]
            if throttled:
                steps.append(self._machine.handle(Signal.THROTTLED, now))
            self._apply(*steps)
            self._unlogged += steps
        self.log()
        return True

    def apply_mode(self, generation: Generation) -> Optional[Step]:
        """Report whether the service throttles the app. Returns None without a change, or as :meth:`signal` does."""
        with self.lock:  # it guards the settings too, so the newest ones are reported last
            throttled = self._account.is_throttled()
            phase, signal = (Phase.ONLINE, Signal.THROTTLED) if throttled else (Phase.THROTTLED, Signal.RESTORED)
            if self._machine.phase is not phase:
                return None
            step = self._handle(generation, signal)
        self.log()
        return step

    def fail(self, generation: Generation, error: CometChatException) -> None:
        """Correct the status after an unexpected error in any phase. The next attempt follows."""
        with self.lock:
            phase = self.phase(generation)
            if phase in UP:
                self._handle(generation, Signal.LOST, error)
                self._handle(generation, Signal.RETRY)
            elif phase is Phase.LOST:
                self._handle(generation, Signal.RETRY)
            elif phase is not Phase.BACKOFF:
                self._handle(generation, Signal.FAILED, error)
        self.log()

    def end_login(self, error: CometChatException) -> Optional[Generation]:
        """End the attempts or the connection, because the login ended. Does not log: the caller may hold the lock.

        :param error: the reason to report.
        :returns: the ended generation, which the caller interrupts; None without a generation.
        """
        with self.lock:
            generation = self.newest
            if generation is None or not self.wanted:
                return None
            self._apply(self._machine.handle(Signal.LOGGED_OUT, self._clock(), error))
            self._events.advance()
            self._stopped_by = error
            return generation

    def rearm(self, generation: Generation) -> None:
        """Begin a wait for the next attempt, unless ``connect()`` or ``disconnect()`` has already ended it."""
        with self.lock:
            if self.is_current(generation) and self._machine.phase in (Phase.BACKOFF, Phase.LOST):
                generation.wake.clear()

    def take_early_wakeup(self) -> bool:
        """Return True if the wait for the next attempt may end early, and count it."""
        with self.lock:
            return self._early_wakeups.take()

    # --- waiting for it

    def wait_for(self, phases: FrozenSet[Phase], timeout: Optional[float]) -> Optional[Phase]:
        """Wait for one of several phases. Returns it, or None after ``timeout`` seconds."""
        waiter = PhaseWaiter(phases)
        with self.lock:
            sleeps = self._exits and threading.get_ident() != threading.main_thread().ident
            if not sleeps and not waiter.note(self._machine.phase):
                self._waiters.append(waiter)
        try:
            if waiter.seen is None:
                waiter.reached.wait(timeout)
        finally:
            with self.lock:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
        return waiter.seen

    def wait_for_status(self, status: CometChatWSState, timeout: Optional[float]) -> bool:
        """Wait until the status is ``status``, even for a moment only. Returns False if the client was closed."""
        phases = _PHASES_OF[status]
        return self.wait_for(phases | {Phase.CLOSED}, timeout) in phases

    def why_stopped(self) -> Tuple[Optional[CometChatException], Optional[CometChatException]]:
        """Return the newest error, and the error that ended the attempts."""
        with self.lock:
            return self.last_error, self._stopped_by

    def error_that_ended(self, generation: Generation) -> Optional[CometChatException]:
        """Return the error that ended the attempts of a generation; None if a call ended it."""
        with self.lock:
            return self._stopped_by if generation.number == self._events.generation else None

    def log(self) -> None:
        """Log the steps that are not logged yet. The caller does not hold the lock: a log handler may call the SDK."""
        while self._unlogged:
            try:
                step = self._unlogged.pop(0)
            except IndexError:  # another thread has logged it
                return
            if step.error is not None:
                self._log.info("%s -> %s: %s", step.old.value, step.new.value, step.error)
            elif step.old is not step.new:
                self._log.info("%s -> %s", step.old.value, step.new.value)

    # --- the caller holds the lock

    def _handle(
        self,
        generation: Generation,
        signal: Signal,
        error: Optional[CometChatException] = None,
        only_in: Optional[Phase] = None,
    ) -> Optional[Step]:
        """Do the work of :meth:`signal`, except for the log."""
        if not self.is_current(generation):
            return None
        phase = self._machine.phase
        if only_in is not None and phase is not only_in:
            return Step(phase, phase)
        step = self._machine.handle(signal, self._clock(), error)
        self._apply(step)
        self._unlogged.append(step)
        if step.new is Phase.IDLE:
            self._stopped_by = self.last_error
        return step

    def _must_wait(self) -> bool:
        """Return True during a wait for the next attempt that ``connect()`` must not end. Count a wait that it ends."""
        if self._machine.phase not in (Phase.BACKOFF, Phase.LOST):
            return False
        if getattr(self.last_error, "retry_after", None) is not None and on_service_thread():
            return True  # a listener may connect after each failure
        return not self._early_wakeups.take()

    def _apply(self, *steps: Step) -> None:
        """Apply a step: queue the events, then set the status, then wake the waiting threads."""
        for step in steps:
            self._counters.step(step)
            current = self._events.generation
            if step.error is not None:
                self._events.post(CONNECTION, "on_connection_error", step.error, generation=current)
                self.last_error, self.failed_in = step.error, step.old
            if step.transition is not None:
                # disconnect() discards the older generation's events, except this one, which must always be delivered.
                bound = None if step.transition == "on_disconnected" else current
                self._events.post(CONNECTION, step.transition, generation=bound)
        self.status = self._machine.status  # after the events: see end()
        waiting, self._waiters = self._waiters, []
        for waiter in waiting:
            # Each phase counts. The waiters wake after all steps.
            if any([waiter.note(step.new) for step in steps]):
                waiter.reached.set()
            else:
                self._waiters.append(waiter)
