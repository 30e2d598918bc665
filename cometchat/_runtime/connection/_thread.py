"""The connection thread: opens, authenticates, serves, and tries again, until its generation ends (:mod:`._state`)."""

from __future__ import annotations

import logging
import math
import time
from typing import Any, Callable, Dict, Optional, Sequence

from ..._log import SafeLog
from ..._protocol._error_codes import ErrorKind, known_kind
from ..._protocol._failures import Jwt, judge, refusal_by_close
from ..._protocol._frames import PING, AuthAnswer, Heartbeat, encode_auth
from ..._protocol._states import UP, Phase, Signal, Step
from ..._transport._exception_chain import drop_frames
from ..._transport._interfaces import Socket, SocketFactory
from ..._turns import TURNS
from ...exceptions import (
    ERR_AUTH_TIMEOUT,
    ERR_INTERNAL,
    ERR_PONG_TIMEOUT,
    ERR_TOKEN_REFRESH,
    USER_NOT_LOGGED_IN,
    CometChatException,
    ConnectionException,
    exception_for,
)
from ...settings import AppSettings
from .._threads import ServiceThread
from ..account import Account, Credentials
from ..delivery import Dispatcher, Inbox
from ..sharing import SharedConnection, SharedSocket
from ._frame_log import FrameLog
from ._frame_router import FrameRouter
from ._reconnect_policy import ReconnectPolicy, RetrySeries
from ._settings_refresh import SettingsRefresh
from ._state import ConnectionState, Generation

logger = logging.getLogger("cometchat.connection")

#: Number of failed attempts after which the settings are requested, because the service may have moved.
_ASK_AGAIN = 3

#: An outage lasts if the connection is still down after this time, in seconds. Shorter ones are normal in any network.
_OUTAGE = 60.0

#: First wait for a pong, in seconds. Most pongs arrive within it. A wait under a second costs less, because the thread
#: does not need the socket watch for it.
_USUAL_PONG = 0.9


class ConnectionThread:
    """The work of one client's connection threads. The data of a generation is in its :class:`Generation`.

    :param retry_outbox: sends the items of the outbox that wait. Called when a connection is up.
    :param thread_name: of the client's threads, with ``{}`` for their task.
    :param clock: monotonic seconds.
    :param wall_clock: Unix seconds, for the ``auth`` frame.
    """

    def __init__(
        self,
        state: ConnectionState,
        *,
        account: Account,
        settings: AppSettings,
        new_socket: SocketFactory,
        router: FrameRouter,
        inbox: Inbox,
        dispatcher: Dispatcher,
        retry_outbox: Callable[[], object],
        policy: ReconnectPolicy,
        settings_refresh: SettingsRefresh,
        sharing: Optional[SharedConnection],
        thread_name: str,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._state = state
        self._account = account
        self._settings = settings
        self._new_socket = new_socket
        self._router = router
        self._inbox = inbox
        self._dispatcher = dispatcher
        self._retry_outbox = retry_outbox
        self._policy = policy
        self._settings_refresh = settings_refresh
        self._sharing = sharing
        self._thread_name = thread_name
        self._log = SafeLog(logger, account.client_name)
        self._frames = FrameLog(account)
        self._clock = clock
        self._wall_clock = wall_clock

    def start(self, generation: Generation) -> None:
        """Start the thread of a generation, and the dispatcher. If no thread runs, the generation has ended.

        :raises CometChatException: ``ERR_INTERNAL``: the system can't start a thread.
        """
        thread = ServiceThread(
            self._thread_name.format("connection"),
            lambda: self._run(generation),
            wanted=lambda: self._state.is_current(generation),
            wait=generation.wake.wait,
        )
        generation.thread = thread
        try:
            self._dispatcher.start()
            thread.start()
        except BaseException as cause:  # a KeyboardInterrupt too, or else the phase would stay OPENING without a thread
            if not thread.alive:
                generation.thread = None
                error = cause if isinstance(cause, CometChatException) else _unexpected(cause, "starting a thread")
                self._state.signal(generation, Signal.REFUSED, error)
            raise

    def apply_mode(self) -> None:
        """Report the MODE that came with a login, if a connection is up. Any thread."""
        generation = self._state.newest
        if generation is not None:
            self._settings_refresh.apply_mode(generation)

    def _run(self, generation: Generation) -> None:
        """Make attempts until the generation ends. If it raises, the thread reports the exception and runs it again."""
        try:
            if generation.delay:
                self._log.info("the first attempt in %.1f s: callbacks often called connect()", generation.delay)
                generation.wake.wait(generation.delay)
                generation.delay = 0.0  # also if this runs again
            while self._state.is_current(generation):
                self._state.signal(generation, Signal.RETRY_DUE, only_in=Phase.BACKOFF)  # after an unexpected exception
                self._make_attempts(generation)
        except BaseException as cause:
            self._state.fail(generation, _unexpected(cause, "connecting"))
            self._state.rearm(generation)  # a connect() may have ended an earlier wait
            raise
        finally:
            TURNS.give_back()
            self._release(generation)
            if self._sharing is not None and not self._state.is_current(generation):
                self._sharing.leave(generation.number)

    def _make_attempts(self, generation: Generation) -> None:
        """Make attempts until the generation ends, or until one failed that is not repeated.

        A ``connect()`` that came while the strategy decided to stop has begun another series: the generation goes on.
        """
        series = RetrySeries(self._policy, self._state, generation, lambda state: self._before_wait(generation, state))
        try:
            for attempt in series.attempts():
                with attempt:
                    self._attempt(generation, series)
        except CometChatException:
            self._give_up(generation)

    def _attempt(self, generation: Generation, series: RetrySeries) -> None:
        """Make one attempt, and serve the connection if it succeeds. Raises the error that ended it, once reported.

        It makes the step of each phase, until one without a step, or the end of the generation.
        """
        if generation.jwt is Jwt.FRESH:
            generation.jwt = Jwt.KNOWN  # an earlier attempt has fetched it
        while True:
            phase = self._state.phase(generation)
            step = _STEPS.get(phase)
            if step is None:
                return
            if phase not in UP:
                TURNS.take(is_first=series.attempt_number == 1 and generation.lost_at is None)
            try:
                step(self, generation)
                continue
            except CometChatException as caught:
                error = caught
            except BaseException as cause:
                # A bug of this SDK or of a user's callable (SystemExit too). It is reported, and the thread continues.
                assert phase is not None
                self._log.exception("Unexpected error while %s", phase.value)
                error = _unexpected(cause, phase.value)
            TURNS.take()
            # Not in the handler: PyPy would give the error its frames back, and they keep whole messages alive.
            self._failed(generation, series, error)

    # --- the steps: each changes the phase, raises, or returns because the generation is not the current one

    def _open(self, generation: Generation) -> None:
        credentials = generation.credentials = self._credentials(generation)
        if self._sharing is not None:
            socket: Socket = SharedSocket(
                self._sharing, generation.number, generation.wake, lambda frames: self._take(generation, frames)
            )
        else:
            socket = self._new_socket()
        generation.socket = socket
        if not self._state.is_current(generation):  # the generation ended before the socket existed
            return
        self._frames.opened(credentials.url)
        socket.open(credentials.url, self._settings.connect_timeout)
        self._settings_refresh.opened(generation)
        self._state.signal(generation, Signal.OPENED)

    def _credentials(self, generation: Generation) -> Credentials:
        """Return the credentials for the socket. Renews the jwt first if it is missing, expired or suspect."""
        stored = None if generation.jwt is Jwt.SUSPECT else self._stored_credentials()
        if stored is None:
            self._fetch_jwt(generation)
            # A new jwt is used even if it seems expired, since this machine's clock may be wrong.
            stored = self._account.credentials(check_expiry=False)
        if stored is None:
            raise exception_for(USER_NOT_LOGGED_IN, "The user logged out during the connection attempt.")
        return stored

    def _fetch_jwt(self, generation: Generation) -> None:
        self._account.renew()
        generation.jwt = Jwt.FRESH

    def _stored_credentials(self) -> Optional[Credentials]:
        try:
            return self._account.credentials()
        except ConnectionException as error:  # new settings may have a usable address
            self._log.info("%s", error)
            return None

    def _authenticate(self, generation: Generation) -> None:
        socket, credentials = generation.socket, generation.credentials
        assert socket is not None and credentials is not None
        deadline = self._clock() + self._settings.auth_timeout
        self._send_auth(socket, credentials)
        self._wait_for_acceptance(socket, deadline)
        heartbeat = Heartbeat(self._settings.ping_interval, self._settings.pong_timeout, self._clock())
        self._settings_refresh.accepted(generation)
        generation.outage_at = None
        with self._state.lock:
            generation.heartbeat = heartbeat
        if not self._state.accept(generation):
            return
        self._publish()
        self._router.begin(generation)
        self._retry_outbox()

    def _send_auth(self, socket: Socket, credentials: Credentials) -> None:
        settings, now = self._settings, int(self._wall_clock() * 1000)
        identity = credentials.identity
        frame = encode_auth(identity, credentials.jwt, settings.subscription_type, settings.roles, now)
        socket.send(frame, settings.auth_timeout)
        self._frames.sent_auth(identity.uid)

    def _wait_for_acceptance(self, socket: Socket, deadline: float) -> None:
        """Wait for the answer to ``auth``.

        :raises CometChatException: ``WS_AUTH_FAIL``, ``ERR_AUTH_TIMEOUT``, or what broke the socket.
        """
        while True:
            try:
                frames = socket.receive(deadline, only_one=True)
            except ConnectionException as error:
                refusal = refusal_by_close(error)
                if refusal is error:  # it must not become its own cause
                    raise
                raise refusal from error
            for data in frames:
                event = self._router.decode(data)
                if isinstance(event, AuthAnswer):
                    return self._router.check_accepted(event)
            if self._clock() >= deadline:
                raise exception_for(
                    ERR_AUTH_TIMEOUT,
                    f"The server never answered auth within {self._settings.auth_timeout:g} s. The service is silent"
                    " when it gets an auth token in place of the jwt, or a jwt of another app.",
                )

    def _renew(self, generation: Generation) -> None:
        self._close_socket(generation)
        self._fetch_jwt(generation)
        self._state.signal(generation, Signal.RENEWED)

    def _serve(self, generation: Generation) -> None:
        """Receive until the connection breaks."""
        socket, heartbeat, pong_timeout = generation.socket, generation.heartbeat, self._settings.pong_timeout
        if socket is None or heartbeat is None:  # the generation has ended meanwhile
            return
        while self._state.is_current(generation):
            now = self._clock()
            pings = heartbeat.due(now)
            if pings:
                with self._state.lock:
                    heartbeat.sent(now)
                socket.send(PING, pong_timeout)
                self._frames.sent(PING)
            deadline = min(heartbeat.deadline, now + _USUAL_PONG) if pings else heartbeat.deadline
            if now >= generation.refresh_at:
                self._settings_refresh.keep_fresh(generation, now)
            TURNS.give_back()  # of a thread that the socket watch woke
            frames = socket.receive(min(deadline, generation.refresh_at))
            if frames:
                self._take(generation, frames)
            else:  # another process, or a call that renewed the auth token, may have changed it
                self._settings_refresh.apply_mode(generation)
            # All data that has arrived is read before a pong counts as missing, but a flood of other frames does not
            # delay this check.
            now = self._clock()
            if heartbeat.expired(now - pong_timeout / 4 if frames else now):
                raise exception_for(
                    ERR_PONG_TIMEOUT, f"No pong came within {pong_timeout:g} s: the connection is dead."
                )

    def _take(self, generation: Generation, frames: Sequence[bytes]) -> None:
        """Route frames. On this thread, or on the store's thread while this one waits in the socket."""
        self._router.take(generation, frames)
        self._dispatcher.report_delay()

    # --- failures and waits

    def _failed(self, generation: Generation, series: RetrySeries, error: CometChatException) -> None:
        """Do what the failure of a step demands. Raises it, unless the attempt continues with a new jwt."""
        if error.code != ERR_TOKEN_REFRESH:  # the cause is the user's exception, whose traceback is useful
            drop_frames(error)
        phase = self._state.phase(generation)
        if phase is None:
            return
        self._account.secrets.scrub_error(error)
        verdict = judge(phase, error, generation.jwt)
        generation.jwt = verdict.jwt
        if verdict.signal is Signal.STALE:
            self._log.info("the server refused the jwt (%s): renewing it once", error.details or error.code)
            self._state.signal(generation, Signal.STALE)
            return
        if verdict.ends_login:
            self._end_login(generation, error)
        self._end_attempt(generation, series, verdict.signal, error)

    def _end_login(self, generation: Generation, error: CometChatException) -> None:
        """End the connection's login, and with it the generation, because the service did. Or use a new token.

        No-op if the user has just logged in again.
        """
        session, credentials = self._account.session, generation.credentials
        if session is None or credentials is None or session.device_id != credentials.identity.device_id:
            return
        if not self._account.end_login(session, error):
            self._account.refuse_token(session)

    def _end_attempt(
        self, generation: Generation, series: RetrySeries, signal: Signal, error: CometChatException
    ) -> None:
        """Report the error that ended an attempt or a connection, release its resources, and raise the error.

        :param signal: FAILED, REFUSED or LOST. No-op if the generation is not the current one.
        """
        if signal is Signal.LOST:
            self._account.forget_connections()  # before a listener is called, which may call methods
        # The status changes first, because the connection is known to be lost and the close may take some time.
        step = self._state.signal(generation, signal, error)
        if step is None:
            return
        self._publish(error)
        self._warn_operator(generation, error)
        if signal is Signal.LOST:
            self._count_loss(generation, series, step)
        elif step.old is Phase.OPENING and series.attempt_number % _ASK_AGAIN == 0:
            self._settings_refresh.request(generation)
        self._release(generation, error)
        TURNS.give_back()  # the strategies are user code
        raise error

    def _count_loss(self, generation: Generation, series: RetrySeries, step: Step) -> None:
        """Note the loss for the inbox, which fetches what is missed from now on, and for the count of attempts."""
        generation.lost_at = self._clock()
        self._inbox.lost(generation.number)
        # If another process leads, or no process can, the service has not failed for this process.
        elsewhere = self._sharing is not None and not self._sharing.leads
        series.count_loss(step.lived, restart=step.restart_count or elsewhere)

    def _warn_operator(self, generation: Generation, error: CometChatException) -> None:
        """Log one warning per series about an error that only the app's operator can solve."""
        if known_kind(error) is not ErrorKind.OPERATOR:
            generation.warned_of = None
        elif generation.warned_of != error.code:
            generation.warned_of = error.code
            self._log.warning(
                "The service refuses this app. The attempts continue with long waits. Check the app id, the region"
                " and the plan in the CometChat dashboard: %s",
                error,
            )

    def _before_wait(self, generation: Generation, retry_state: Any) -> None:
        """Handle tenacity's decision to try again."""
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
        if self._sharing is None or self._sharing.leads:
            self._warn_of_outage(generation, retry_state.outcome.exception())

    def _warn_of_outage(self, generation: Generation, error: BaseException) -> None:
        """Log one warning about an outage that lasts. It reaches a program without a connection listener too.

        :param error: the newest failure. There is another warning for one that only the app's operator can solve.
        """
        now = self._clock()
        if generation.outage_at is None:
            generation.outage_at = now + _OUTAGE
        elif now >= generation.outage_at and generation.warned_of is None:
            down = now - generation.outage_at + _OUTAGE
            generation.outage_at = math.inf
            self._log.warning(
                "Not connected for %.0f s. The attempts continue. The newest failure: %s", down, error
            )

    def _give_up(self, generation: Generation) -> None:
        """End the series: tenacity stopped it, or a refused credential has already ended it."""
        for phase in (Phase.LOST, Phase.BACKOFF):
            self._state.signal(generation, Signal.GAVE_UP, only_in=phase)
        error = self._state.error_that_ended(generation)
        if error is not None:
            # A program that waits for messages would wait forever. The warning reaches it even without a listener.
            self._log.warning("The connection ended, and the client will not try again: %s", error)

    def _release(self, generation: Generation, error: Optional[CometChatException] = None) -> None:
        generation.release_pings(error)
        self._close_socket(generation)

    def _close_socket(self, generation: Generation) -> None:
        socket, generation.socket = generation.socket, None
        if socket is not None:
            socket.close()

    def _publish(self, error: Optional[CometChatException] = None) -> None:
        """Notify the processes that share this connection."""
        if self._sharing is not None:
            self._sharing.publish(error)


#: Phase -> the step that the thread makes in it. Without a step, the attempt ends.
_STEPS: Dict[Optional[Phase], Callable[[ConnectionThread, Generation], None]] = {
    Phase.OPENING: ConnectionThread._open,
    Phase.AUTHENTICATING: ConnectionThread._authenticate,
    Phase.RENEWING: ConnectionThread._renew,
    Phase.ONLINE: ConnectionThread._serve,
    Phase.THROTTLED: ConnectionThread._serve,
}


def _unexpected(cause: BaseException, doing: str) -> CometChatException:
    error = exception_for(ERR_INTERNAL, f"Unexpected {type(cause).__name__} while {doing}.")
    error.__cause__ = cause
    return error
