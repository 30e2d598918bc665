"""One socket's work, without a decision: open it, authenticate, ping, read a frame. On the connection thread."""

from __future__ import annotations

import logging
import time
from typing import Any, Callable, Dict, List, Optional, Sequence

from .._protocol import (
    PING,
    AuthAnswer,
    Delivery,
    Heartbeat,
    Ignored,
    Pong,
    Self,
    ServerEvent,
    decode,
    deliver,
    encode_auth,
)
from .._transport.base import Socket, SocketFactory
from .._transport.json_decoder import loads
from ..exceptions import (
    ERR_AUTH_TIMEOUT,
    ERR_PONG_TIMEOUT,
    USER_NOT_LOGGED_IN,
    WS_AUTH_FAIL,
    WS_CONNECTION_FAIL,
    AuthenticationException,
    CometChatException,
    ConnectionException,
    exception_for,
)
from ..settings import AppSettings
from .account import Account, Credentials
from .counters import Counters
from .dispatcher import Owed
from .run import Run

logger = logging.getLogger("cometchat.frames")

#: A close frame in answer to `auth` refuses the credential, unless its code is one of these: going away, protocol
#: error, data of a wrong kind or size, the server's own trouble. Another attempt may then succeed. (Not confirmed.)
PASSING_CLOSE_CODES = frozenset({1001, 1002, 1003, 1007, 1009, 1010, 1011, 1012, 1013, 1014, 1015})

#: Characters.
_LONGEST_LOGGED = 2000
_LONGEST_SECRET = 8192


class Link:
    """What the connection thread does with a socket.

    :param post: queues calls that the listeners are owed, in the name of a run.
    :param take_message: takes the body of a message, in the name of a run; whether this connection has sent it; bytes.
    :param clock: monotonic seconds.
    :param wall_clock: Unix seconds, for the ``auth`` frame.
    """

    def __init__(
        self,
        account: Account,
        settings: AppSettings,
        open_socket: SocketFactory,
        post: Callable[[Run, Sequence[Owed]], None],
        take_message: Callable[[Run, Dict[str, Any], bool, int], None],
        counters: Optional[Counters] = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._account = account
        self._counters = counters or Counters()
        self._settings = settings
        self._post = post
        self._take_message = take_message
        self._clock = clock
        self._wall_clock = wall_clock
        self.new_socket = open_socket
        #: Given the frames that are events; None: nobody wants them.
        self.relay: Optional[Callable[[bytes], None]] = None

    def credentials(self, run: Run) -> Credentials:
        """What the socket wants, with a new jwt where there is none, it is expired, or an attempt failed over it."""
        credentials = None if run.jwt_suspect else self._stored_credentials()
        if credentials is None:
            run.jwt_suspect = False
            self._account.renew()
            run.jwt_is_fresh = True
            # Straight from the service it is taken as it is: an expiry in the past may be this machine's wrong clock.
            credentials = self._account.credentials(check_expiry=False)
        if credentials is None:
            raise exception_for(USER_NOT_LOGGED_IN, "The user logged out while the connection was being made.")
        return credentials

    def _stored_credentials(self) -> Optional[Credentials]:
        try:
            return self._account.credentials()
        except ConnectionException as error:  # the settings hold no usable address: new ones may
            logger.info("%s", error)
            return None

    def open(self, socket: Socket, credentials: Credentials) -> None:
        """TCP, TLS, upgrade."""
        logger.debug("= open %s", credentials.url)
        socket.open(credentials.url, self._settings.connect_timeout)

    def authenticate(self, run: Run) -> None:
        """Send ``auth`` and wait for its answer.

        :raises CometChatException: ``WS_AUTH_FAIL``, ``ERR_AUTH_TIMEOUT``, or what broke the socket.
        """
        socket, credentials, limit = run.socket, run.credentials, self._settings.auth_timeout
        assert socket is not None and credentials is not None
        frame = encode_auth(
            credentials.identity,
            credentials.jwt,
            self._settings.subscription_type,
            self._settings.roles,
            int(self._wall_clock() * 1000),
        )
        deadline = self._clock() + limit
        socket.send(frame, limit)
        logger.debug("> auth of %s (jwt not shown)", credentials.identity.uid)
        while True:
            try:
                data = socket.receive(deadline)
            except ConnectionException as error:
                refusal = _refusal_by_close(error)
                if refusal is error:  # which must not become its own cause
                    raise
                raise refusal from error
            if data is not None:
                event = self._decode(data)
                if isinstance(event, AuthAnswer):
                    self._judge(event)
                    return
            if self._clock() >= deadline:
                raise exception_for(
                    ERR_AUTH_TIMEOUT,
                    f"The server never answered auth within {limit:g} s. The service is silent when it gets an auth"
                    " token in place of the jwt, or a jwt of another app.",
                )

    def start_heartbeat(self) -> Heartbeat:
        """The heartbeat of a socket that has just been accepted."""
        return Heartbeat(self._settings.ping_interval, self._settings.pong_timeout, self._clock())

    def send_ping(self, socket: Socket, timeout: float) -> None:
        """Send the heartbeat's frame."""
        socket.send(PING, timeout)
        logger.debug("> %s", PING)

    def pong_missing(self) -> CometChatException:
        """The error of a connection that does not answer."""
        return exception_for(
            ERR_PONG_TIMEOUT, f"No pong came within {self._settings.pong_timeout:g} s: the connection is dead."
        )

    def take(self, run: Run, frames: Sequence[bytes]) -> None:
        """Take frames of a connection that is up, which came together: their events are queued together.

        :raises CometChatException: ``WS_AUTH_FAIL``: the server takes its acceptance back.
        :raises Superseded: the run is an old one.
        """
        self._counters.frames(len(frames), sum(map(len, frames)))
        me = self._account.me
        owed: List[Owed] = []
        try:
            for data in frames:
                event = self._decode(data)
                if isinstance(event, ServerEvent):
                    if self.relay is not None:
                        self.relay(data)
                    if event.type == "message":
                        self._hand_over(run, owed)  # what came before it is told before it
                        self._take_message(run, event.body, event.device_id == me.resource, len(data))
                    else:
                        delivery = self._delivery_of(event, me)
                        if delivery is not None:
                            owed.append((delivery, len(data)))
                elif isinstance(event, Pong):
                    self._pong(run)
                elif isinstance(event, AuthAnswer):
                    self._judge(event)
        finally:
            self._hand_over(run, owed)

    def _hand_over(self, run: Run, owed: List[Owed]) -> None:
        if owed:
            self._post(run, owed)
            owed.clear()

    def _delivery_of(self, event: ServerEvent, me: Self) -> Optional[Delivery]:
        try:
            return deliver(event, me)
        except Exception:  # a frame can't end the connection; that it could be read so badly is a mistake of this SDK
            self._counters.ignored()
            logger.exception("A frame of type %s can't be delivered.", event.type)
            return None

    def _pong(self, run: Run) -> None:
        round_trip = run.pong(self._clock())
        if round_trip is not None:
            self._counters.pong(round_trip)

    def _decode(self, data: bytes) -> object:
        event = decode(data, loads)
        if isinstance(event, Ignored):
            self._counters.ignored()
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("< %s", self._shown(data.decode("utf-8", "replace")))
            if isinstance(event, Ignored):
                logger.debug("ignored: %s", self._shown(event.reason))
        return event

    def _shown(self, text: str) -> str:
        """The text as it may be logged: without secrets, and cut, in this order, so that no piece of one stays."""
        if len(text) <= _LONGEST_LOGGED:
            return self._account.scrub(text)
        # A secret that begins before the cut ends before the second one.
        shown = self._account.scrub(text[: _LONGEST_LOGGED + _LONGEST_SECRET])[:_LONGEST_LOGGED]
        return f"{shown} ... {len(text)} characters"

    def _judge(self, answer: AuthAnswer) -> None:
        if answer.accepted:
            return
        said = self._shown(
            ", ".join(part for part in (answer.code, answer.status, answer.message) if part) or "no code"
        )
        if answer.transient:
            raise exception_for(WS_CONNECTION_FAIL, "The server could not authenticate just now.", details=said)
        raise exception_for(WS_AUTH_FAIL, "The server refused the authentication of the WebSocket.", details=said)


def _refusal_by_close(error: ConnectionException) -> CometChatException:
    # Without a close frame nobody has said anything: the network broke, or the server did.
    if not error.closed_by_frame or error.close_code in PASSING_CLOSE_CODES:
        return error
    return AuthenticationException(
        WS_AUTH_FAIL, "The server closed the connection in answer to auth: it refused the jwt.", details=error.details
    )
