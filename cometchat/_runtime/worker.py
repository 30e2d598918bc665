"""The connection thread: opens, authenticates, serves, and tries again, until it is not wanted any more.

It runs in the name of one :class:`~.run.Run`. Whatever it has to say goes through ``Connection.signal``, which drops it
once another run has taken over.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Callable, Dict, Optional

from .._protocol import MODE_DEFAULT
from .._protocol.states import UP, Phase, Signal
from .._transport.causes import let_go_of_frames
from ..exceptions import (
    ERR_INTERNAL,
    ERR_TOKEN_REFRESH,
    AuthenticationException,
    CometChatException,
    ConnectionException,
    RateLimitException,
    exception_for,
)
from ..settings import AppSettings
from .account import Account
from .connection import Connection, Superseded
from .counters import Counters
from .inbox import Inbox
from .link import Link
from .reconnect import ReconnectPolicy, count_loss
from .run import Run
from .shared import Shared

logger = logging.getLogger("cometchat.connection")

#: After so many failed attempts the settings are asked for: the service may have moved.
_ASK_AGAIN = 3


class Worker:
    """What the connection thread does. One for all the runs of a client; what a run owns is in its Run.

    :param policy: when to try again.
    :param on_up: called when the connection is up, or not throttled any more; must not wait.
    :param name: of the client's threads, with ``{}`` for what they do.
    :param report: called after each frame, to say that listeners are slow.
    :param shared: where processes share one connection.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        account: Account,
        settings: AppSettings,
        link: Link,
        inbox: Inbox,
        policy: ReconnectPolicy,
        on_up: Callable[[], None],
        name: str,
        report: Callable[[], None] = lambda: None,
        counters: Optional[Counters] = None,
        shared: Optional[Shared] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._account = account
        self._settings = settings
        self._link = link
        self._inbox = inbox
        self._policy = policy
        self._on_up = on_up
        self._report = report
        self._counters = counters or Counters()
        self._shared = shared
        self._name = name
        self._clock = clock

    def start(self, run: Run) -> None:
        """Start the run's thread.

        :raises RuntimeError: the system gives no thread.
        """
        run.thread = threading.Thread(target=self._main, args=(run,), name=self._name.format("connection"), daemon=True)
        run.thread.start()

    def _main(self, run: Run) -> None:
        """The connection thread."""
        attempts = self._policy.attempts(
            wake=run.wake,
            wanted=lambda: self._connection.is_current(run),
            before_wait=lambda state: self._before_wait(run, state),
            after_wait=lambda: self._after_wait(run),
            rearm=lambda: self._connection.prepare_wait(run),
        )
        try:
            for attempt in attempts:
                with attempt:
                    self._attempt(run, attempt.retry_state)
        except Superseded:
            logger.debug("an old connection thread ends")
        except CometChatException:
            self._give_up(run)
        finally:
            self._let_go(run)
            if self._shared is not None:
                self._shared.leave()

    def _attempt(self, run: Run, state: Any) -> None:
        """One attempt, and the life of the connection if it succeeds. Raises what ended it."""
        steps: Dict[Phase, Callable[[Run], None]] = {
            Phase.OPENING: self._open,
            Phase.AUTHENTICATING: self._authenticate,
            Phase.RENEWING: self._renew,
            Phase.ONLINE: self._serve,
            Phase.THROTTLED: self._serve,
        }
        while True:
            phase = self._connection.phase(run)
            try:
                steps[phase](run)
            except Superseded:
                raise
            except CometChatException as error:
                self._failed(run, state, error)
            except BaseException as cause:
                # A mistake of this SDK, or of a callable that it was given (SystemExit too): said loudly, and survived.
                logger.exception("Unexpected error while %s", phase.value)
                wrapped = exception_for(ERR_INTERNAL, f"Unexpected {type(cause).__name__} while {phase.value}.")
                wrapped.__cause__ = cause
                self._failed(run, state, wrapped)

    def _open(self, run: Run) -> None:
        run.credentials = self._link.credentials(run)
        socket = self._link.new_socket()
        run.socket = socket
        if run.stopped:  # it came before there was a socket to interrupt
            raise Superseded
        self._link.open(socket, run.credentials)
        self._connection.signal(run, Signal.OPENED)
        if self._account.settings_are_new:
            self._account.settings_are_new = False
        else:
            self._refresh_settings(run)

    def _authenticate(self, run: Run) -> None:
        self._link.authenticate(run)
        heartbeat = self._link.start_heartbeat()
        with run.lock:
            run.heartbeat = heartbeat
        run.jwt_suspect = run.jwt_is_fresh = False
        self._schedule_refresh(run)
        self._connection.signal(run, Signal.ACCEPTED)
        self._inbox.begin(run)
        self._on_up()
        if not run.refreshing:
            self._apply_mode(run)

    def _renew(self, run: Run) -> None:
        self._close_socket(run)
        self._account.renew()
        run.jwt_suspect = False
        self._connection.signal(run, Signal.RENEWED)

    def _serve(self, run: Run) -> None:
        """The connection's life: receive until it breaks."""
        socket, heartbeat, link = run.socket, run.heartbeat, self._link
        assert socket is not None and heartbeat is not None
        while not run.stopped:
            now = self._clock()
            if heartbeat.due(now):
                with run.lock:
                    heartbeat.sent(now)
                link.send_ping(socket, self._settings.pong_timeout)
            deadline = heartbeat.deadline
            if run.refresh_at is not None:
                if now >= run.refresh_at:
                    self._refresh_settings(run)
                    self._schedule_refresh(run)
                deadline = min(deadline, run.refresh_at or deadline)
            frames = socket.receive_burst(deadline)
            if frames:
                link.take(run, frames)
                self._report()
            elif self._account.shared_mode is not None:
                self._apply_mode(run)
            # What has arrived is read before a missing pong is judged; a flood of other frames does not put it off.
            now = self._clock()
            if heartbeat.expired(now - self._settings.pong_timeout / 4 if frames else now):
                raise link.pong_missing()
        raise Superseded

    def _failed(self, run: Run, state: Any, error: CometChatException) -> None:
        """Turn an error into the phase's signal; raise it, unless the attempt goes on with a new jwt."""
        phase = self._connection.phase(run)
        refused = isinstance(error, AuthenticationException)
        if error.code != ERR_TOKEN_REFRESH:  # that one's cause is the user's, who wants to see where it was
            let_go_of_frames(error)
        self._account.scrub_error(error)
        run.jwt_suspect = run.jwt_suspect or phase is Phase.AUTHENTICATING or (refused and phase in UP)
        if phase in UP:
            signal = Signal.LOST
            self._account.forget_connections()  # before anybody hears of it, and calls
        elif phase is Phase.AUTHENTICATING and refused:
            # One that this attempt has fetched is fresh: another would be refused too.
            signal = Signal.REFUSED if run.jwt_is_fresh else self._connection.refusal
        elif phase is not Phase.AUTHENTICATING and _is_final(error):
            signal = Signal.REFUSED
        else:
            signal = Signal.FAILED
        if signal is Signal.STALE:
            logger.info("the server refused the jwt (%s): it is renewed once", error.details or error.code)
            self._connection.signal(run, signal)
            return
        # The status changes first: closing may take its moment, and the connection is known to be lost.
        step = self._connection.signal(run, signal, error)
        if signal is Signal.LOST:
            self._inbox.lost()
        elif phase is Phase.OPENING and state.attempt_number % _ASK_AGAIN == 0:
            self._refresh_settings(run)
        self._let_go(run, error)
        if signal is Signal.LOST:
            # Where another holds the connection, or nobody may, the service has not failed this process.
            elsewhere = self._shared is not None and not self._shared.leads
            count_loss(state, step.lived, step.restart_count or elsewhere)
        raise error

    def _before_wait(self, run: Run, state: Any) -> None:
        """Tenacity says: once more."""
        self._connection.prepare_wait(run)
        held = self._shared is not None and self._shared.hold(run.wake)
        self._connection.signal(run, Signal.RETRY, only_in=Phase.LOST)
        if held:
            return
        if self._shared is not None:
            self._shared.expect(run.wake)
        logger.info("the next attempt (number %d) in %.1f s", state.attempt_number + 1, state.next_action.sleep)

    def _after_wait(self, run: Run) -> None:
        # Elsewhere than in BACKOFF: connect() has ended the wait already.
        self._connection.signal(run, Signal.RETRY_DUE, only_in=Phase.BACKOFF)

    def _give_up(self, run: Run) -> None:
        """The series is over: tenacity says stop; or it has ended already, since a credential was refused."""
        for phase in (Phase.LOST, Phase.BACKOFF):
            if self._connection.is_current(run):
                self._connection.signal(run, Signal.GAVE_UP, only_in=phase)

    def _close_socket(self, run: Run) -> None:
        socket, run.socket = run.socket, None
        if socket is not None:
            socket.close()

    def _let_go(self, run: Run, error: Optional[CometChatException] = None) -> None:
        run.release_waiters(error)
        self._close_socket(run)

    def _schedule_refresh(self, run: Run) -> None:
        interval = self._settings.settings_refresh_interval
        run.refresh_at = self._clock() + interval if interval else None

    def _refresh_settings(self, run: Run) -> None:
        """Ask for the settings on a thread of its own: the socket must not wait for HTTP."""
        if run.refreshing or self._account.shared_mode is not None:
            return
        run.refreshing = True
        thread = threading.Thread(target=self._refresh, args=(run,), name=self._name.format("settings"), daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            run.refreshing = False
            logger.warning("The settings can't be refreshed: %s.", error)

    def _refresh(self, run: Run) -> None:
        try:
            self._account.refresh_settings()
        except CometChatException as error:
            logger.info("the settings could not be refreshed, the old ones hold: %s", error)
        except Exception:  # a mistake of this SDK: said loudly, and survived
            logger.exception("Unexpected error while the settings were refreshed.")
        finally:
            run.refreshing = False
        self._apply_mode(run)

    def _apply_mode(self, run: Run) -> None:
        throttled = self._account.mode != MODE_DEFAULT
        phase, signal = (Phase.ONLINE, Signal.THROTTLED) if throttled else (Phase.THROTTLED, Signal.RESTORED)
        try:
            step = self._connection.signal(run, signal, only_in=phase)
            if step.old is not step.new and not throttled:
                self._on_up()
        except Superseded:
            logger.debug("settings for an old connection")


def _is_final(error: CometChatException) -> bool:
    """Trying again is no use: a credential, or something else that the service will not take."""
    return not isinstance(error, (ConnectionException, RateLimitException)) and error.code != ERR_INTERNAL
