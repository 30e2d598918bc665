"""The connection as seen by user threads: connect, wait, disconnect."""

from __future__ import annotations

import logging
import time
from typing import Any, Callable, Optional, Tuple

from ..._log import ClientLog
from ..._protocol import UP, CometChatWSState, Phase, Signal
from ...exceptions import (
    ERR_CONNECT_TIMEOUT,
    NO_WEBSOCKET_CONNECTION,
    CometChatException,
    client_closed,
    exception_for,
)
from .._counters import copy_of
from .._threads import ServiceThread
from ..delivery import Dispatcher, Inbox
from ..sharing import SharedConnection
from ._state import PHASES_OF, ConnectionState, Generation
from ._thread import ConnectionThread

logger = logging.getLogger("cometchat.connection")

#: Maximum time that connect() and disconnect() wait for the callbacks, in seconds.
_PATIENCE = 0.05


class Connection:
    """One client's connection, as seen by user threads.

    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        state: ConnectionState,
        thread: ConnectionThread,
        *,
        inbox: Inbox,
        dispatcher: Dispatcher,
        sharing: Optional[SharedConnection],
        name: str,
        client_name: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state = state
        self._lock: Any = state.lock
        self._thread = thread
        self._inbox = inbox
        self._dispatcher = dispatcher
        self._sharing = sharing
        self._name = name
        self._log = ClientLog(logger, client_name)
        self._clock = clock

    # --- connect

    def connect(self) -> None:
        """Start to connect: start the thread, or end the wait for the next attempt. Does not wait."""
        self.start(*self.begin())

    def begin(self) -> Tuple[Generation, bool]:
        """Start to connect. The caller may hold the lock, and afterwards passes the result to :meth:`start`."""
        return self.state.begin()

    def start(self, generation: Generation, begins: bool) -> None:
        """Start the thread of a generation that has just begun."""
        if begins:
            self._thread.start(generation)

    def wait_until_up(self, deadline: Optional[float], timeout: Optional[float]) -> None:
        """Wait for the connection; see ``Client.connect``.

        :param deadline: monotonic seconds.
        :param timeout: as the user gave it, for the error.
        """
        rest = None if deadline is None else max(0.0, deadline - self._clock())
        phase = self.state.wait_for(UP | {Phase.IDLE, Phase.CLOSED}, rest)
        newest, stopped_by = self.state.why_stopped()
        if phase in UP:
            # After connect() the caller expects that the callbacks were called, unless a listener blocks.
            self._dispatcher.drain(_PATIENCE)
            return
        if phase is None:
            raise exception_for(
                ERR_CONNECT_TIMEOUT,
                f"Not connected within {timeout:g} s; the attempts continue.",
                details=str(newest) if newest is not None else None,
            ) from (None if newest is None else copy_of(newest))  # without the connection thread's frames
        if phase is Phase.CLOSED:
            raise client_closed()
        message = "disconnect(), logout() or another login ended the connection while connect() waited."
        raise copy_of(stopped_by or exception_for(NO_WEBSOCKET_CONNECTION, message))

    def wait_for_status(self, status: CometChatWSState, timeout: Optional[float]) -> bool:
        """Wait until the status is ``status``, even for a moment only. Returns False if the client was closed."""
        phases = PHASES_OF[status]
        return self.state.wait_for(phases | {Phase.CLOSED}, timeout) in phases

    # --- disconnect

    def disconnect(self) -> None:
        """End the connection, or stop trying. Returns within milliseconds, in every state and on every thread.

        Queued events are delivered before it returns, unless a listener blocks. After that, only the final
        ``on_disconnected`` is delivered.
        """
        if not self.hand_over_if_interrupted(self.disconnect):
            ended = self.state.end(Signal.DISCONNECT)
            self._leave_shared()
            if ended is not None:
                self._dispatcher.drain(_PATIENCE)
                self._inbox.discard_old()

    def release_refused(self, generation: Generation, error: CometChatException) -> None:
        """Release the resources of a generation that :meth:`ConnectionState.refuse` ended. Does not wait."""
        self._log.info("the login ended, so the connection ends: %s", error)
        generation.interrupt()
        generation.release_pings(error)
        if self._sharing is not None:
            self._sharing.publish(error)
            self._sharing.leave(generation.number)

    def close(self, *, at_exit: bool = False) -> None:
        """End the connection permanently.

        :param at_exit: the interpreter exits, so this must not wait.
        """
        ended = self.state.end(Signal.CLOSE, at_exit=at_exit)
        self._leave_shared()
        if ended is not None and not at_exit:  # at exit, queued events are delivered while join() waits
            self._dispatcher.drain(_PATIENCE)
            self._inbox.discard_old()

    def join(self, timeout: float) -> None:
        """Wait for the connection thread, for at most ``timeout`` seconds."""
        generation = self.state.newest
        if generation is not None and generation.thread is not None:
            generation.thread.join(timeout)
        if self._sharing is not None:
            self._sharing.wait_left(timeout)

    def release_after_fork(self) -> None:
        """In the child of a fork: close the copy of the parent's socket without sending anything."""
        generation = self.state.newest
        if generation is not None and generation.socket is not None:
            generation.socket.release_after_fork()
        if self._sharing is not None:
            self._sharing.release_after_fork()

    def _leave_shared(self) -> None:
        if self._sharing is not None:
            self._sharing.leave(self.state.number)

    def hand_over_if_interrupted(self, call: Callable[[], None]) -> bool:
        """Pass a call to another thread if a signal handler makes it and interrupted the holder of the lock.

        The interrupted thread releases the lock only after the handler returns, so the handler cannot wait for it.

        :returns: True if the call was passed on.
        """
        if not self._lock._is_owned():
            return False
        ServiceThread(self._name.format("signal"), call, wanted=lambda: False, wait=time.sleep).start()
        return True
