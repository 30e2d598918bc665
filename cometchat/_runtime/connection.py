"""The connection's state, where its threads meet.

The connection thread (``worker``, one a :class:`~.run.Run`) opens, authenticates and receives; any other thread hands
in a signal and a wake-up. What they share is behind one lock, under which nothing waits, no listener is called and
nothing is logged.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import Any, Callable, FrozenSet, List, Optional, Sequence, Tuple

from .._protocol import Delivery
from .._protocol.machine import ConnectionMachine, Step
from .._protocol.states import STATUS, UP, CometChatWSState, Phase, Signal
from .._transport.base import Socket
from ..exceptions import (
    ERR_CONNECT_TIMEOUT,
    ERR_FEATURE_THROTTLED,
    ERR_INTERNAL,
    ERR_PONG_TIMEOUT,
    NO_WEBSOCKET_CONNECTION,
    CometChatException,
    client_closed,
    exception_for,
)
from .counters import Counters, again
from .dispatcher import Dispatcher, Owed
from .run import Run

logger = logging.getLogger("cometchat.connection")

KIND = "connection"

#: Seconds that connect() and disconnect() wait for the listeners to hear what was before they return.
_PATIENCE = 0.05


class Superseded(Exception):
    """A thread's run is not the current one any more: it ends, and says nothing."""


class _Waiter:
    """Somebody who waits for a phase; it counts even if it lasts for a moment only."""

    def __init__(self, phases: FrozenSet[Phase]) -> None:
        self._phases = phases
        self.reached = threading.Event()
        self.seen: Optional[Phase] = None

    def look(self, phase: Phase) -> bool:
        """Take note of a phase. True: it is one of those."""
        if phase not in self._phases:
            return False
        self.seen = phase
        self.reached.set()
        return True


class Connection:
    """One client's connection.

    :param start: starts the connection thread of a run.
    :param send_ping: writes a ping to a socket.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        start: Callable[[Run], None],
        send_ping: Callable[[Socket, float], None],
        counters: Optional[Counters] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dispatcher = dispatcher
        self._counters = counters or Counters()
        self._start = start
        self._send_ping = send_ping
        self._clock = clock
        self._lock = threading.Lock()
        self._machine = ConnectionMachine()
        self._run: Optional[Run] = None
        self._waiting: List[_Waiter] = []
        self._ended: Optional[Run] = None
        self._stopped_by: Optional[CometChatException] = None
        self._last_off = 0  # the number of the newest on_disconnected
        #: Called after a run's calls, and those of the runs before it, were cut off.
        self.on_cut: Callable[[Run], None] = lambda run: None
        #: Called with each step of the machine, under the lock: must not wait.
        self.on_step: Callable[[Step], None] = lambda step: None
        #: Called when a connection is not wanted any more: must not wait.
        self.on_end: Callable[[], None] = lambda: None
        #: Called in the child of a fork.
        self.on_forsake: Callable[[], None] = lambda: None
        #: Called when the client ends, with the seconds that it may take.
        self.on_join: Callable[[float], None] = lambda timeout: None
        #: How often somebody has called for no connection. Read by anybody, without a lock; written under it.
        self.disconnects = 0
        #: The same.
        self.status = CometChatWSState.DISCONNECTED
        self.last_error: Optional[CometChatException] = None
        self.failed_in: Optional[Phase] = None

    def connect(self, unless_after: Optional[int] = None) -> None:
        """Want the connection: start the thread, or end the wait for the next attempt. Any thread; does not wait.

        :param unless_after: a :attr:`disconnects` of earlier; if there was a disconnect since: nothing.
        """
        run: Optional[Run] = None
        self._dispatcher.start()
        with self._lock:
            if self._machine.phase is Phase.CLOSED:
                raise client_closed()
            if unless_after is not None and unless_after != self.disconnects:
                return
            step = self._machine.handle(Signal.CONNECT, self._clock())
            if self._run is None:
                run = self._run = Run()
                self._stopped_by = self.last_error = self.failed_in = None
            elif step.old is not step.new:
                self._run.wake.set()
            self._apply(step)
        _log(step)
        if run is None:
            return
        try:
            self._start(run)
        except RuntimeError as cause:  # the interpreter ends, or the system has no more threads
            run.thread = None
            error = exception_for(ERR_INTERNAL, f"No thread can be started: {cause}.")
            with contextlib.suppress(Superseded):
                self.signal(run, Signal.REFUSED, error)
            raise error from cause

    def disconnect(self) -> None:
        """Want no connection. Any thread; returns within some milliseconds, in every state."""
        self._end(Signal.DISCONNECT, counted=True)

    def drop(self) -> None:
        """The same, for a login that is about to connect as another user."""
        self._end(Signal.DISCONNECT)

    def close(self, *, at_exit: bool = False) -> None:
        """Want no connection, for ever.

        :param at_exit: the interpreter ends: nothing is waited for, and who waits is a daemon thread that sleeps on
            until it is gone; woken, it would only have an error to print.
        """
        self._end(Signal.CLOSE, at_exit=at_exit)

    def forsake(self) -> None:
        """In the child of a fork: the socket is the parent's, and is let go of without a word."""
        for run in (self._run, self._ended):
            if run is not None and run.socket is not None:
                run.socket.forsake()
        self.on_forsake()

    def join(self, timeout: float) -> None:
        """Wait for the thread that :meth:`close` has stopped, at most ``timeout`` seconds."""
        thread = self._ended.thread if self._ended is not None else None
        if thread is not None and thread.ident is not None and thread is not threading.current_thread():
            thread.join(timeout)
        self.on_join(timeout)

    def wait_until_up(self, timeout: Optional[float]) -> None:
        """Wait for the connection; see ``Client.connect``."""
        waiter = self._watch(UP | {Phase.IDLE, Phase.CLOSED})
        phase = self._wait(waiter, timeout)
        with self._lock:
            newest, stopped_by = self.last_error, self._stopped_by
        if phase in UP:
            # Who is back from connect() may expect that the listeners know, if they let it.
            self._dispatcher.drain(_PATIENCE)
            return
        if phase is None:
            raise exception_for(
                ERR_CONNECT_TIMEOUT,
                f"Not connected within {timeout:g} s; the attempts go on.",
                details=str(newest) if newest is not None else None,
            ) from newest
        if phase is Phase.CLOSED:
            raise client_closed()
        message = "The connection was given up, by disconnect(), logout() or another login, while connect() waited."
        raise again(stopped_by or exception_for(NO_WEBSOCKET_CONNECTION, message))

    def wait_for_status(self, status: CometChatWSState, timeout: Optional[float]) -> bool:
        """Wait until the status was ``status``, if only for a moment. False also where the client was closed."""
        phases = frozenset(phase for phase in Phase if STATUS[phase] is status)
        return self._wait(self._watch(phases | {Phase.CLOSED}), timeout) in phases

    def check_transient(self) -> None:
        """Transient features can be used now.

        :raises CometChatException: ``NO_WEBSOCKET_CONNECTION``, ``ERR_FEATURE_THROTTLED``.
        """
        if self.status is CometChatWSState.FEATURE_THROTTLED:
            raise exception_for(
                ERR_FEATURE_THROTTLED, "The service has switched typing, receipts and transient messages off for now."
            )
        if self.status is not CometChatWSState.CONNECTED:
            raise exception_for(NO_WEBSOCKET_CONNECTION, f"There is no connection to send on: it is {self.status}.")

    def send(self, text: str, timeout: float) -> None:
        """Send a frame on the connection that is up."""
        run = self._run
        socket = run.socket if run is not None and run.heartbeat is not None else None
        if socket is None:
            raise exception_for(NO_WEBSOCKET_CONNECTION, f"There is no connection to send on: it is {self.status}.")
        socket.send(text, timeout)

    def ping(self, timeout: float) -> float:
        """Send a ping and wait for its pong: seconds."""
        run = self._run
        socket = run.socket if run is not None else None
        waiter = run.add_waiter(self._clock()) if run is not None else None
        if run is None or socket is None or waiter is None:
            raise exception_for(NO_WEBSOCKET_CONNECTION, f"There is no connection to ping: it is {self.status}.")
        try:
            self._send_ping(socket, timeout)
            arrived = waiter.done.wait(timeout)
        finally:
            run.remove_waiter(waiter)
        if waiter.round_trip is not None:
            return waiter.round_trip
        if arrived:
            if self._machine.phase is Phase.CLOSED:
                raise client_closed()
            message = "The connection was closed while ping() waited."
            raise again(waiter.error or exception_for(NO_WEBSOCKET_CONNECTION, message))
        raise exception_for(ERR_PONG_TIMEOUT, f"No pong came within {timeout:g} s.")

    @property
    def wanted(self) -> bool:
        """It is up, or being made. Takes no lock."""
        return self._run is not None

    def is_current(self, run: Run) -> bool:
        """The run is still the wanted one."""
        return self._run is run

    def phase(self, run: Run) -> Phase:
        """Where the connection is.

        :raises Superseded: the run is an old one.
        """
        with self._lock:
            if self._run is not run:
                raise Superseded
            return self._machine.phase

    @property
    def refusal(self) -> Signal:
        """The signal for a refused jwt."""
        with self._lock:
            return self._machine.refusal

    def signal(
        self, run: Run, signal: Signal, error: Optional[CometChatException] = None, *, only_in: Optional[Phase] = None
    ) -> Step:
        """Hand a signal to the machine, in the name of a run.

        :param only_in: in any other phase: nothing.
        :raises Superseded: the run is an old one.
        """
        with self._lock:
            if self._run is not run:
                raise Superseded
            phase = self._machine.phase
            if only_in is not None and phase is not only_in:
                return Step(phase, phase, ())
            step = self._machine.handle(signal, self._clock(), error)
            self._apply(step)
        _log(step, error)
        return step

    def post(self, run: Run, delivery: Delivery, size: int, claim: Optional[Callable[[], bool]] = None) -> None:
        """Queue a call for the listeners, in the name of a run.

        :param size: bytes of the frame.
        :param claim: see :meth:`Dispatcher.post`; without one it is an event that may be dropped.
        :raises Superseded: the run is an old one, and nobody wants to hear of it.
        """
        with self._lock:
            if self._run is not run:
                raise Superseded
            self._dispatcher.post(
                delivery.kind,
                delivery.method,
                *delivery.args,
                of_connection=True,
                claim=claim,
                size=size,
                passing=claim is None,
            )

    def post_events(self, run: Run, owed: Sequence[Owed]) -> None:
        """Queue calls for events that may be dropped, in the name of a run, as one step.

        :raises Superseded: the run is an old one, and nobody wants to hear of them.
        """
        with self._lock:
            if self._run is not run:
                raise Superseded
            self._dispatcher.post_events(owed)

    def prepare_wait(self, run: Run) -> None:
        """A wait for the next attempt begins; not if connect() or disconnect() has ended it already."""
        with self._lock:
            if self._run is run and self._machine.phase in (Phase.BACKOFF, Phase.LOST):
                run.wake.clear()

    def _watch(self, phases: FrozenSet[Phase]) -> _Waiter:
        waiter = _Waiter(phases)
        with self._lock:
            if not waiter.look(self._machine.phase):
                self._waiting.append(waiter)
        return waiter

    def _wait(self, waiter: _Waiter, timeout: Optional[float]) -> Optional[Phase]:
        """The phase that was waited for, or None: the time is over."""
        try:
            waiter.reached.wait(timeout)
        finally:
            with self._lock:
                if waiter in self._waiting:
                    self._waiting.remove(waiter)
        return waiter.seen

    def _end(self, signal: Signal, *, counted: bool = False, at_exit: bool = False) -> None:
        with self._lock:
            if self._machine.phase is Phase.CLOSED:
                return
            self.disconnects += counted
            run, self._run = self._run, None
            if run is not None:
                self._ended, self._stopped_by = run, None
            # One that has ended by itself may have calls in the queue: they are cut too.
            ended = self._ended
            step = self._machine.handle(signal, self._clock())
            if at_exit:
                self._waiting.clear()
            self._apply(step)
            last_off = self._last_off
        if run is not None:
            run.stop(at_exit=at_exit)
            run.release_waiters()
        self.on_end()
        _log(step)
        if at_exit:  # what is queued is delivered for as long as join() waits
            return
        # Promise 7, without breaking promise 1: what has happened is told before this returns, if the listeners let it;
        # of what is still queued then, only the final on_disconnected may arrive.
        self._dispatcher.drain(_PATIENCE)
        self._dispatcher.cut(last_off)
        if ended is not None:
            self.on_cut(ended)

    def _apply(self, step: Step) -> None:
        """Under the lock: the status first, then the notifications, then whoever waits."""
        self.status = self._machine.status
        self._counters.step(step)
        for notify in step.notifications:
            args: Tuple[Any, ...] = () if notify.error is None else (notify.error,)
            seq = self._dispatcher.post(KIND, notify.method, *args, of_connection=True)
            if notify.method == "on_disconnected":
                self._last_off = seq
            if notify.error is not None:
                self.last_error, self.failed_in = notify.error, step.old
        if step.new is Phase.IDLE and self._run is not None and step.old is not Phase.IDLE:
            self._ended, self._run = self._run, None
            self._stopped_by = self.last_error
        self.on_step(step)
        self._waiting = [waiter for waiter in self._waiting if not waiter.look(step.new)]


def _log(step: Step, error: Optional[CometChatException] = None) -> None:
    if error is not None:
        logger.info("%s -> %s: %s", step.old.value, step.new.value, error)
    elif step.old is not step.new:
        logger.info("%s -> %s", step.old.value, step.new.value)
