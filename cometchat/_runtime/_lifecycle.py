"""The calls of user threads that log in and out, connect and disconnect.

One table controls them: see :mod:`cometchat._protocol._login_states`. The login state and the generation of the
connection change under one lock. So a ``connect()`` can't run after a ``logout()`` has ended the connection and before
its HTTP call has ended.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Callable, Optional, Tuple

from .._log import SafeLog
from .._protocol._login_states import LOGIN_STATE, ON_CALL, Call, LoginState, Outcome
from .._protocol._states import UP, Phase, Signal
from ..exceptions import (
    ERR_CONNECT_TIMEOUT,
    LOGIN_IN_PROGRESS,
    NO_WEBSOCKET_CONNECTION,
    USER_NOT_LOGGED_IN,
    CometChatException,
    client_closed,
    copy_of,
    exception_for,
    without_frames,
)
from ._threads import ServiceThread, Wakeup
from .account import Account, Session
from .connection import ConnectionState, ConnectionThread, Generation
from .delivery import Dispatcher, EventQueue, Inbox
from .outbox import OutboxDelivery
from .sharing import SharedConnection

logger = logging.getLogger("cometchat.connection")

#: Maximum time that connect() and disconnect() wait for the callbacks, in seconds.
_PATIENCE = 0.05

#: Maximum time, in seconds, that logout() waits for the connection thread to close its socket.
_CLOSING = 0.2


class CallInProgress:
    """A login or logout, from its beginning to its end.

    :ivar ended: set at its end, and when the client is closed.
    """

    def __init__(self, call: Call) -> None:
        self.call = call
        self.thread = threading.get_ident()
        self.ended = Wakeup()


class Lifecycle:
    """One client's login state, and the calls that change it or the connection. On any thread.

    :param auto_connect: connect after a login.
    :param thread_name: of the client's threads, with ``{}`` for their task.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        connection: ConnectionState,
        thread: ConnectionThread,
        *,
        account: Account,
        inbox: Inbox,
        events: EventQueue,
        dispatcher: Dispatcher,
        outbox: OutboxDelivery,
        sharing: Optional[SharedConnection],
        auto_connect: bool,
        thread_name: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lock: Any = connection.lock
        self._connection = connection
        self._thread = thread
        self._account = account
        self._inbox = inbox
        self._events = events
        self._dispatcher = dispatcher
        self._outbox = outbox
        self._sharing = sharing
        self._auto_connect = auto_connect
        self._thread_name = thread_name
        self._log = SafeLog(logger, account.client_name)
        self._clock = clock
        self.closed = False
        self._running: Optional[CallInProgress] = None

    @property
    def state(self) -> LoginState:
        """The login state. It follows from the login, so an interrupted call can't leave it behind."""
        if self.closed:
            return LoginState.CLOSED
        running = self._running
        return LOGIN_STATE[self._account.session is not None, running.call if running is not None else None]

    def resume(self) -> None:
        """Resume the stored session, and connect in auto mode. Makes no HTTP call."""
        session = self._account.stored_session()
        if session is None:
            return
        with self._lock:
            if self.state is not LoginState.LOGGED_OUT:  # since another thread has called CometChat.login()
                return
            self._account.session = session
            number = self._connection.number
        if self._auto_connect:
            self._connect_unless_changed(number)

    # --- login and logout

    def login(self, act: Callable[[], Session]) -> Session:
        """Log in. ``act`` makes the HTTP calls.

        :raises CometChatException: ``LOGIN_IN_PROGRESS``, ``ERR_CLIENT_CLOSED``, or what ``act`` raises.
        """
        self._dispatcher.start()
        call = CallInProgress(Call.LOGIN)
        try:
            self._begin(call)
            session, number_to_connect = self._log_in(act, call)
        except CometChatException as error:
            raise without_frames(error)  # they do not help the caller either
        finally:
            self._end(call)  # if an exception of any kind came, such as a KeyboardInterrupt
        self._account.store_session()
        self._thread.apply_mode()  # a connection of the same user stays up
        if number_to_connect is not None:
            self._connect_unless_changed(number_to_connect)
        self._outbox.retry_now()  # with the new auth token, if a connection of the same user is up
        return session

    def _log_in(self, act: Callable[[], Session], call: CallInProgress) -> Tuple[Session, Optional[int]]:
        try:
            number = self._connection.number
            session = act()
            return session, self._make_current(session, number, call)
        except CometChatException as error:
            self._fail(call, "login_failure", without_frames(error))
            raise

    def logout(self) -> None:
        """Disconnect, void the token, forget the login.

        :raises CometChatException: ``USER_NOT_LOGGED_IN``, ``LOGIN_IN_PROGRESS``, ``ERR_CLIENT_CLOSED``, or what the
            HTTP call raises: the user is still logged in then.
        """
        call = CallInProgress(Call.LOGOUT)
        try:
            self._begin(call)
            self._log_out(call)
        finally:
            self._end(call)  # as in login()

    def _log_out(self, call: CallInProgress) -> None:
        try:
            self._dispatcher.start()
            self.disconnect()
            self._account.void(self._account.require())
            self.join(_CLOSING)  # usually it has closed its socket by now
        except CometChatException as error:
            self._fail(call, "logout_failure", error)
            raise
        try:
            with self._lock:
                self._inbox.forget()  # first: an interrupted call must not leave it to the next user
                ended = self._account.clear_login()
            self._account.store_session(ended)
        finally:
            with self._lock:  # before the result of a login that waits
                self._events.post("login", "logout_success")
                self._end(call)

    def end_login(self, session: Session, error: CometChatException) -> bool:
        """End a login whose auth token the service no longer knows: like logout(), without the HTTP call.

        :param error: the service's error. Listeners get it in ``on_connection_error``.
        :returns: False if this is no longer the login, or if a login or logout is in progress, which uses the same
            token and handles the refusal.
        """
        with self._lock:
            if self.state is not LoginState.LOGGED_IN or not self._account.holds(session):
                return False
            error = copy_of(error)  # the caller raises the original
            ended = self._connection.end_login(error)
            if ended is None:  # no connection thread reports the reason, so this call does
                self._events.post("connection", "on_connection_error", error)
            self._inbox.forget()
            self._account.clear_login()
            self._events.post("login", "logout_success")
        if ended is not None:
            self._release(ended, error)
        self._account.store_session(session)
        self._dispatcher.start()
        return True

    # --- connect and disconnect

    def connect(self, timeout: Optional[float]) -> None:
        """Connect, and wait for at most ``timeout`` seconds; 0 does not wait.

        :raises CometChatException: ``USER_NOT_LOGGED_IN``, ``ERR_CLIENT_CLOSED``, and as ``Client.connect`` says.
        """
        deadline = None if timeout is None else self._clock() + timeout
        while True:
            with self._lock:
                outcome = ON_CALL[self.state, Call.CONNECT]
                if outcome is Outcome.RUN:
                    begun = self._connection.begin()
                    break
            # A call that does not wait gets the answer that it would get after the logout.
            late = ERR_CONNECT_TIMEOUT if timeout else USER_NOT_LOGGED_IN
            self._wait_or_refuse(outcome, deadline, late)
        self._start(begun)
        if timeout != 0:
            self._wait_until_up(deadline, timeout)

    def disconnect(self) -> None:
        """End the connection, or stop trying. Returns within milliseconds, in every state and on every thread.

        Queued events are delivered before it returns, unless a listener blocks. After that, only the final
        ``on_disconnected`` is delivered.
        """
        if not self.hand_over_if_interrupted(self.disconnect):
            self._end_connection(Signal.DISCONNECT)

    @property
    def alive(self) -> bool:
        """Whether the connection thread runs."""
        generation = self._connection.newest
        return generation is not None and generation.thread is not None and generation.thread.alive

    def join(self, timeout: float) -> None:
        """Wait for the connection thread, for at most ``timeout`` seconds."""
        generation = self._connection.newest
        if generation is not None and generation.thread is not None:
            generation.thread.join(timeout)
        if self._sharing is not None:
            self._sharing.wait_left(timeout)

    def _start(self, generation: Optional[Generation]) -> None:
        """Start the thread of a generation that has just begun. The caller does not hold the lock."""
        if generation is not None:
            self._thread.start(generation)
        self._connection.log()  # afterwards: a log handler may block, or end this call by an exception

    def _wait_until_up(self, deadline: Optional[float], timeout: Optional[float]) -> None:
        """Wait for the connection; see ``Client.connect``.

        :param deadline: monotonic seconds.
        :param timeout: as the user gave it, for the error.
        """
        rest = None if deadline is None else deadline - self._clock()
        phase = self._connection.wait_for(UP | {Phase.IDLE, Phase.CLOSED}, rest)
        newest, stopped_by = self._connection.why_stopped()
        # After connect(), and after its error, the caller expects that the callbacks were called.
        self._dispatcher.drain(_PATIENCE)
        if phase in UP:
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

    def _end_connection(self, signal: Signal) -> None:
        if self._end_generation(signal):
            self._dispatcher.drain(_PATIENCE)
            self._inbox.discard_old()

    def _end_generation(self, signal: Signal) -> bool:
        """End the current generation. Returns False if there was none. Does not wait."""
        ended = self._connection.end(signal)
        if self._sharing is not None:
            # Not the newest number, unless the client is closed: another call may have begun the next generation.
            self._sharing.leave(self._connection.number if ended is None else ended.number)
        return ended is not None

    def _release(self, generation: Generation, error: CometChatException) -> None:
        """Release the resources of a generation that ended with the login. Does not wait."""
        generation.interrupt()
        generation.release_pings(error)
        if self._sharing is not None:
            self._sharing.publish(error)
            self._sharing.leave(generation.number)
        self._log.info("the login ended, so the connection ends: %s", error)

    # --- the end

    def hand_over_if_interrupted(self, call: Callable[[], None]) -> bool:
        """Pass a call to another thread if a signal handler makes it and interrupted the holder of the lock.

        The interrupted thread releases the lock only after the handler returns, so the handler cannot wait for it.

        :returns: True if the call was passed on.
        """
        if not self._lock._is_owned():
            return False
        ServiceThread(self._thread_name.format("signal"), call, wanted=lambda: False, wait=time.sleep).start()
        return True

    def close(self) -> bool:
        """Refuse every later call. Returns False if it was already closed. Does not wait."""
        with self._lock:
            if self.closed:
                return False
            self.closed, running = True, self._running
        if running is not None:
            running.ended.set()
        return True

    def close_connection(self, *, at_exit: bool) -> None:
        """End the connection permanently.

        :param at_exit: whether the interpreter exits. Then queued events are delivered while :meth:`join` waits.
        """
        if at_exit:
            self._connection.leave_waiters()
            self._end_generation(Signal.CLOSE)
        else:
            self._end_connection(Signal.CLOSE)

    # --- forks

    def release_after_fork(self) -> None:
        """In the child of a fork: close the copy of the parent's socket without sending anything."""
        generation = self._connection.newest
        if generation is not None and generation.socket is not None:
            generation.socket.release_after_fork()
        if self._sharing is not None:
            self._sharing.release_after_fork()

    def reconnect_after_fork(self) -> None:
        """In the child of a fork: connect, because the parent's client was to be connected."""
        self._connect_unless_changed(self._connection.number)

    # --- calls that take time

    def _begin(self, call: CallInProgress) -> None:
        """Begin a call that takes time, when the table allows it."""
        while True:
            with self._lock:
                outcome = ON_CALL[self.state, call.call]
                if outcome is Outcome.RUN:
                    self._running = call
                    return
            self._wait_or_refuse(outcome, None)

    def _end(self, call: CallInProgress) -> None:
        """End a call. No-op if it is not in progress."""
        with self._lock:
            if self._running is call:
                self._running = None
        call.ended.set()

    def _fail(self, call: CallInProgress, callback: str, error: CometChatException) -> None:
        """End a call after a failure, and report it before the result of a call that waits."""
        with self._lock:
            self._events.post("login", callback, error)
            self._end(call)

    def _make_current(self, session: Session, number: int, call: CallInProgress) -> Optional[int]:
        """Make this the current login. Returns the number of the generation to connect from, or None.

        :param number: of the generation at the beginning of the call. A disconnect() during the call has precedence.
        """
        user = session.to_user()
        connection, connects = self._connection, self._auto_connect
        with self._lock:
            connects = connects and (connection.number == number or connection.wanted)
            before = self._account.session
        switches = before is not None and not before.is_of(session.uid)
        while True:
            if switches:
                self.disconnect()
            with self._lock:
                if self.closed:
                    raise client_closed()
                if switches and connection.wanted:
                    continue  # another thread has just connected as the previous user
                if switches:
                    self._inbox.forget()
                self._account.set_login(session)
                self._end(call)
                self._events.post("login", "login_success", user)
                return connection.number if connects else None

    def _connect_unless_changed(self, number: int) -> None:
        """Connect a user, unless another call has changed the login or the connection since.

        :param number: of the generation before those calls.
        """
        with self._lock:
            if self.state is not LoginState.LOGGED_IN or self._connection.number != number:
                return
            begun = self._connection.begin()
        self._start(begun)

    def _wait_or_refuse(self, outcome: Outcome, deadline: Optional[float], late: str = ERR_CONNECT_TIMEOUT) -> None:
        """Refuse a call that may not run now, or wait until it is to be checked again.

        :param late: the code of the error at the deadline.
        """
        if outcome is Outcome.REFUSE_CLOSED:
            raise client_closed()
        if outcome is Outcome.REFUSE_LOGGED_OUT:
            self._account.require()  # raises, unless a login has just ended: then the caller checks again
            return
        if outcome is Outcome.REFUSE_BUSY:
            raise exception_for(LOGIN_IN_PROGRESS, "Another login of this client is already in progress.")
        running = self._running
        if running is None:  # the call has just ended
            return
        if running.thread == threading.get_ident():
            raise exception_for(
                LOGIN_IN_PROGRESS, "This call was made inside a login or logout of the same client and thread."
            )
        if not running.ended.wait(None if deadline is None else deadline - self._clock()):
            raise exception_for(late, "Not connected in time: a logout of this client is in progress.")
