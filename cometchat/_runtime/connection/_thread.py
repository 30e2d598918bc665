"""The connection thread: open, authenticate, serve, and try again, until the connection is not wanted any more.

It works for one :class:`Generation`. Everything that it reports goes through :class:`ConnectionState`, which answers
None once that generation is not the current one. Then the thread ends, and says nothing.
"""

from __future__ import annotations

import logging
import re
import time
from typing import Any, Callable, Dict, Optional

from ..._log import ClientLog
from ..._protocol import MODE_DEFAULT, PING, UP, ErrorKind, Phase, Signal
from ..._transport import SocketFactory, drop_frames
from ..._turns import TURNS
from ...exceptions import (
    ERR_INSECURE_SOCKET,
    ERR_INTERNAL,
    ERR_PONG_TIMEOUT,
    ERR_TOKEN_REFRESH,
    AuthenticationException,
    CometChatException,
    ConnectionException,
    RateLimitException,
    exception_for,
)
from ...settings import AppSettings
from .._account import Account
from .._threads import ServiceThread
from ..delivery import Dispatcher, Inbox
from ..outbox import OutboxDelivery
from ..sharing import SharedConnection
from ._frame_router import FrameRouter
from ._generation import Generation
from ._handshake import Handshake
from ._reconnect_policy import ReconnectPolicy, RetrySeries, count_loss, known_kind
from ._state import ConnectionState

logger = logging.getLogger("cometchat.connection")

#: After so many failed attempts the settings are asked for: the service may have moved.
_ASK_AGAIN = 3

#: Maximum time, in seconds, that an accepted connection waits for the service's MODE before it is reported.
_MODE_PATIENCE = 2.0


class ConnectionThread:
    """What the connection threads of one client do. A generation's own things are in its :class:`Generation`.

    :param name: of the client's threads, with ``{}`` for what they do.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        state: ConnectionState,
        *,
        account: Account,
        settings: AppSettings,
        new_socket: SocketFactory,
        handshake: Handshake,
        router: FrameRouter,
        inbox: Inbox,
        dispatcher: Dispatcher,
        outbox: OutboxDelivery,
        policy: ReconnectPolicy,
        sharing: Optional[SharedConnection],
        name: str,
        client_name: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._account = account
        self._settings = settings
        self._new_socket = new_socket
        self._handshake = handshake
        self._router = router
        self._inbox = inbox
        self._dispatcher = dispatcher
        self._outbox = outbox
        self._policy = policy
        self._sharing = sharing
        self._name = name
        self._log = ClientLog(logger, client_name)
        self._clock = clock
        self._steps: Dict[Phase, Callable[[Generation], bool]] = {
            Phase.OPENING: self._open,
            Phase.AUTHENTICATING: self._authenticate,
            Phase.RENEWING: self._renew,
            Phase.ONLINE: self._serve,
            Phase.THROTTLED: self._serve,
        }

    def start(self, generation: Generation) -> None:
        """Start the thread of a generation.

        :raises CometChatException: ``ERR_INTERNAL``: the system gives no thread. The generation has ended then.
        """
        thread = ServiceThread(
            self._name.format("connection"),
            lambda: self._run(generation),
            wanted=lambda: self._state.is_current(generation),
            wait=generation.wake.wait,
        )
        generation.thread = thread
        try:
            thread.start()
        except CometChatException as error:
            generation.thread = None
            self._state.signal(generation, Signal.REFUSED, error)
            raise

    def _run(self, generation: Generation) -> None:
        """Make attempts until the generation ends. What escapes from here is reported, and this is run again."""
        try:
            self._state.signal(generation, Signal.RETRY_DUE, only_in=Phase.BACKOFF)  # after such an escape
            series = RetrySeries(
                self._policy,
                self._state,
                generation,
                before_wait=lambda state: self._before_wait(generation, state),
                after_wait=lambda: self._after_wait(generation),
            )
            for attempt in series.attempts():
                with attempt:
                    self._attempt(generation, attempt.retry_state)
        except CometChatException:
            self._give_up(generation)
        except BaseException as cause:
            self._state.fail(generation, _unexpected(cause, "connecting"))
            raise
        finally:
            TURNS.give_back()
            self._release(generation)
            if self._sharing is not None and not self._state.is_current(generation):
                self._sharing.leave(generation.number)

    def _attempt(self, generation: Generation, retry_state: Any) -> None:
        """Make one attempt, and live with the connection if it succeeds. Raises what ended it."""
        while True:
            phase = self._state.phase(generation)
            step = None if phase is None else self._steps.get(phase)
            if step is None:
                return
            if phase in UP:
                TURNS.give_back()
            elif retry_state.attempt_number > 1 or generation.lost_at is not None:
                TURNS.take()  # after a failure: a thousand others may reconnect in this moment
            try:
                if not step(generation):
                    return
            except CometChatException as error:
                TURNS.take()
                self._failed(generation, retry_state, error)
            except BaseException as cause:
                TURNS.take()
                # A mistake of this SDK, or of a callable that it was given (SystemExit too): reported, and survived.
                assert phase is not None
                self._log.exception("Unexpected error while %s", phase.value)
                self._failed(generation, retry_state, _unexpected(cause, phase.value))

    # --- the steps: each returns False if the generation is not the current one

    def _open(self, generation: Generation) -> bool:
        credentials = generation.credentials = self._handshake.credentials(generation)
        if self._sharing is not None:
            socket = self._sharing.new_socket(generation.number, generation.wake)
        else:
            socket = self._new_socket()
        generation.socket = socket
        if not self._state.is_current(generation):  # it ended before there was a socket to interrupt
            return False
        self._handshake.open(socket, credentials)
        if self._account.take_new_settings() or self._account.share_settings(generation.lost_at):
            generation.settings_known.set()
        else:
            self._refresh_settings(generation)
        return self._state.signal(generation, Signal.OPENED) is not None

    def _authenticate(self, generation: Generation) -> bool:
        socket, credentials = generation.socket, generation.credentials
        assert socket is not None and credentials is not None
        heartbeat = self._handshake.authenticate(socket, credentials)
        generation.settings_known.wait(_MODE_PATIENCE)
        with self._state.lock:
            generation.heartbeat = heartbeat
        generation.jwt_suspect = generation.jwt_is_fresh = False
        self._schedule_refresh(generation)
        if not self._state.accept(generation, throttled=self._account.mode != MODE_DEFAULT):
            return False
        self._publish()
        self._router.begin(generation)
        self._outbox.retry_now()
        return True

    def _renew(self, generation: Generation) -> bool:
        self._close_socket(generation)
        self._account.renew()
        generation.jwt_suspect = False
        return self._state.signal(generation, Signal.RENEWED) is not None

    def _serve(self, generation: Generation) -> bool:
        """Receive until the connection breaks."""
        socket, heartbeat, pong_timeout = generation.socket, generation.heartbeat, self._settings.pong_timeout
        if socket is None or heartbeat is None:
            return False
        while self._state.is_current(generation):
            now = self._clock()
            if heartbeat.due(now):
                with self._state.lock:
                    heartbeat.sent(now)
                socket.send(PING, pong_timeout)
                self._log.debug("> %s", PING)
            deadline = heartbeat.deadline
            if generation.refresh_at is not None:
                if now >= generation.refresh_at:
                    self._refresh_settings(generation, refreshes=True)
                    self._schedule_refresh(generation)
                deadline = min(deadline, generation.refresh_at or deadline)
            frames = socket.receive_burst(deadline)
            if frames:
                if not self._router.take(generation, frames):
                    return False
                self._dispatcher.report_overflow()
                self._dispatcher.report_slow_callback()
            elif self._account.shared_mode is not None:
                self._apply_mode(generation)
            # What has arrived is read before a missing pong is judged; a flood of other frames does not put it off.
            now = self._clock()
            if heartbeat.expired(now - pong_timeout / 4 if frames else now):
                raise exception_for(
                    ERR_PONG_TIMEOUT, f"No pong came within {pong_timeout:g} s: the connection is dead."
                )
        return False

    # --- failures and waits

    def _failed(self, generation: Generation, retry_state: Any, error: CometChatException) -> None:
        """Turn an error into the phase's signal. Raises it, unless the attempt goes on with a new jwt."""
        phase = self._state.phase(generation)
        if phase is None:
            return
        refused = isinstance(error, AuthenticationException)
        if error.code != ERR_TOKEN_REFRESH:  # its cause is the user's, who wants to see where it was
            drop_frames(error)
        self._account.scrub_error(error)
        generation.jwt_suspect = generation.jwt_suspect or phase is Phase.AUTHENTICATING or (refused and phase in UP)
        signal = self._signal_for(phase, error, generation)
        if signal is Signal.STALE:
            self._log.info("the server refused the jwt (%s): it is renewed once", error.details or error.code)
            self._state.signal(generation, signal)
            return
        if _says_logged_out(error):
            session = self._account.session
            if session is not None and not self._account.refreshes and self._account.logged_out(session, error):
                return
            generation.jwt_suspect = True  # PUT /me comes next, and a new token if the old one is refused
        if signal is Signal.LOST:
            self._account.forget_connections()  # before a listener hears of it, and calls
        # The status changes first: closing may take its moment, and the connection is known to be lost.
        step = self._state.signal(generation, signal, error)
        if step is None:
            return
        self._publish(error)
        self._warn_operator(generation, error)
        if signal is Signal.LOST:
            generation.lost_at = self._clock()
            self._inbox.lost()
        elif phase is Phase.OPENING and retry_state.attempt_number % _ASK_AGAIN == 0:
            self._refresh_settings(generation)
        self._release(generation, error)
        if signal is Signal.LOST:
            # If another process holds the connection, or none may, the service has not failed this process.
            elsewhere = self._sharing is not None and not self._sharing.leads
            count_loss(retry_state, step.lived, step.restart_count or elsewhere)
        TURNS.give_back()  # the strategies are the user's code
        raise error

    def _warn_operator(self, generation: Generation, error: CometChatException) -> None:
        """Log one warning in a row about an error that only an operator of the app can end."""
        if known_kind(error) is not ErrorKind.OPERATOR:
            generation.warned_of = None
        elif generation.warned_of != error.code:
            generation.warned_of = error.code
            self._log.warning(
                "The service refuses this app: the attempts go on, with long waits. Check the app id, the region and"
                " the plan in the CometChat dashboard: %s",
                error,
            )

    def _signal_for(self, phase: Phase, error: CometChatException, generation: Generation) -> Signal:
        if phase in UP:
            return Signal.LOST
        if phase is Phase.AUTHENTICATING:
            if not isinstance(error, AuthenticationException):
                return Signal.FAILED
            # A jwt that this attempt has fetched is fresh: another would be refused too.
            return Signal.REFUSED if generation.jwt_is_fresh else self._state.refusal
        return Signal.REFUSED if _is_final(error) else Signal.FAILED

    def _before_wait(self, generation: Generation, retry_state: Any) -> None:
        """Tenacity says: once more."""
        self._state.rearm(generation)
        if self._sharing is not None:
            self._sharing.wait_while_away(generation.wake)
        self._state.signal(generation, Signal.RETRY, only_in=Phase.LOST)
        self._publish()
        if self._sharing is not None:
            self._sharing.wake_if_worthwhile(generation.wake)
        self._log.info(
            "the next attempt (number %d) in %.1f s", retry_state.attempt_number + 1, retry_state.next_action.sleep
        )

    def _after_wait(self, generation: Generation) -> None:
        # In another phase than BACKOFF, connect() has ended the wait already.
        self._state.signal(generation, Signal.RETRY_DUE, only_in=Phase.BACKOFF)

    def _give_up(self, generation: Generation) -> None:
        """The series is over: tenacity says stop; or it has ended already, since a credential was refused."""
        for phase in (Phase.LOST, Phase.BACKOFF):
            self._state.signal(generation, Signal.GAVE_UP, only_in=phase)
        _, error = self._state.why_stopped()
        if error is not None and generation.number == self._state.number:
            # A program that waits for messages would wait for ever: it is told, without a listener too.
            self._log.warning("The connection has ended, and no further attempt is made: %s", error)

    def _release(self, generation: Generation, error: Optional[CometChatException] = None) -> None:
        generation.release_pings(error)
        self._close_socket(generation)

    def _close_socket(self, generation: Generation) -> None:
        socket, generation.socket = generation.socket, None
        if socket is not None:
            socket.close()

    # --- the service's settings

    def _schedule_refresh(self, generation: Generation) -> None:
        interval = self._settings.settings_refresh_interval
        generation.refresh_at = self._clock() + interval if interval else None

    def _refresh_settings(self, generation: Generation, refreshes: bool = False) -> None:
        """Ask for the settings on a thread of its own: the socket must not wait for HTTP.

        :param refreshes: whether to replace a refused token: not beside the handshake, which does it too.
        """
        if self._account.shared_mode is not None or not generation.settings_known.is_set():
            return
        generation.settings_known.clear()
        thread = ServiceThread(
            self._name.format("settings"),
            lambda: self._refresh(generation, refreshes),
            wanted=lambda: False,
            wait=generation.wake.wait,
        )
        try:
            thread.start()
        except CometChatException as error:
            generation.settings_known.set()
            self._log.warning("The settings can't be refreshed: %s", error)

    def _refresh(self, generation: Generation, refreshes: bool) -> None:
        try:
            self._account.refresh_settings(refreshes)
        except CometChatException as error:
            self._log.info("the settings could not be refreshed, the old ones hold: %s", error)
        except Exception:
            self._log.exception("Unexpected error while the settings were refreshed.")
        finally:
            generation.settings_known.set()
        self._apply_mode(generation)

    def _apply_mode(self, generation: Generation) -> None:
        throttled = self._account.mode != MODE_DEFAULT
        phase, signal = (Phase.ONLINE, Signal.THROTTLED) if throttled else (Phase.THROTTLED, Signal.RESTORED)
        step = self._state.signal(generation, signal, only_in=phase)
        if step is not None and step.old is not step.new:
            self._publish()
            if not throttled:
                self._outbox.retry_now()

    def _publish(self, error: Optional[CometChatException] = None) -> None:
        """Tell the processes that share this connection."""
        if self._sharing is not None:
            self._sharing.publish(error)


def _unexpected(cause: BaseException, doing: str) -> CometChatException:
    error = exception_for(ERR_INTERNAL, f"Unexpected {type(cause).__name__} while {doing}.")
    error.__cause__ = cause
    return error


def _says_logged_out(error: CometChatException) -> bool:
    """Return True if the server closed the socket with the vendor's reason for the end of a login."""
    return bool(re.fullmatch(r"close code \d+: USER_LOGGED_OUT", error.details or ""))


def _is_final(error: CometChatException) -> bool:
    """Return True if another attempt brings the same answer: the service refuses a credential, or a request."""
    if error.code == ERR_INSECURE_SOCKET:
        return True  # this client's own setting forbids it
    if known_kind(error) in (ErrorKind.TEMPORARY, ErrorKind.RATE_LIMIT, ErrorKind.OPERATOR):
        return False
    return not isinstance(error, (ConnectionException, RateLimitException)) and error.code != ERR_INTERNAL
