"""Opens and authenticates a socket: credentials, TCP, TLS, upgrade, ``auth``. On the connection thread."""

from __future__ import annotations

import logging
import time
from typing import Callable, Optional

from ..._log import ClientLog
from ..._protocol import AuthAnswer, Heartbeat, encode_auth
from ..._transport import Socket
from ...exceptions import (
    ERR_AUTH_TIMEOUT,
    USER_NOT_LOGGED_IN,
    WS_AUTH_FAIL,
    AuthenticationException,
    CometChatException,
    ConnectionException,
    exception_for,
)
from ...settings import AppSettings
from .._account import Account
from .._session import Credentials
from ._frame_router import FrameRouter
from ._state import Generation

logger = logging.getLogger("cometchat.connection")

#: A close frame in answer to `auth` refuses the credential, except with these codes (going away, protocol error, data
#: of a wrong kind or size, server trouble). With them, another attempt may succeed. (Not confirmed.)
PASSING_CLOSE_CODES = frozenset({1001, 1002, 1003, 1007, 1009, 1010, 1011, 1012, 1013, 1014, 1015})


class Handshake:
    """Opens and authenticates sockets for one client.

    :param clock: monotonic seconds.
    :param wall_clock: Unix seconds, for the ``auth`` frame.
    """

    def __init__(
        self,
        account: Account,
        settings: AppSettings,
        router: FrameRouter,
        client_name: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._account = account
        self._settings = settings
        self._router = router
        self._log = ClientLog(logger, client_name)
        self._clock = clock
        self._wall_clock = wall_clock

    def credentials(self, generation: Generation) -> Credentials:
        """Return the credentials for the socket. Renews the jwt first if it is missing, expired or suspect."""
        stored = None if generation.jwt_suspect else self._stored_credentials()
        generation.jwt_is_fresh = False
        if stored is None:
            self._account.renew()
            generation.jwt_suspect, generation.jwt_is_fresh = False, True
            # A new jwt is used even if it seems expired, since this machine's clock may be wrong.
            stored = self._account.credentials(check_expiry=False)
        if stored is None:
            raise exception_for(USER_NOT_LOGGED_IN, "The user logged out during the connection attempt.")
        return stored

    def open(self, socket: Socket, credentials: Credentials) -> None:
        """Open the socket: TCP, TLS, upgrade."""
        self._log.debug("= open %s", credentials.url)
        socket.open(credentials.url, self._settings.connect_timeout)

    def authenticate(self, socket: Socket, credentials: Credentials) -> Heartbeat:
        """Send ``auth`` and wait for its answer. Returns the heartbeat of the accepted socket.

        :raises CometChatException: ``WS_AUTH_FAIL``, ``ERR_AUTH_TIMEOUT``, or what broke the socket.
        """
        limit = self._settings.auth_timeout
        frame = encode_auth(
            credentials.identity,
            credentials.jwt,
            self._settings.subscription_type,
            self._settings.roles,
            int(self._wall_clock() * 1000),
        )
        deadline = self._clock() + limit
        socket.send(frame, limit)
        self._log.debug("> auth of %s (jwt not shown)", credentials.identity.uid)
        while True:
            try:
                data = socket.receive(deadline)
            except ConnectionException as error:
                refusal = _refusal_by_close(error)
                if refusal is error:  # it must not become its own cause
                    raise
                raise refusal from error
            if data is not None:
                event = self._router.decode(data)
                if isinstance(event, AuthAnswer):
                    self._router.check_accepted(event)
                    return Heartbeat(self._settings.ping_interval, self._settings.pong_timeout, self._clock())
            if self._clock() >= deadline:
                raise exception_for(
                    ERR_AUTH_TIMEOUT,
                    f"The server never answered auth within {limit:g} s. The service is silent when it gets an auth"
                    " token in place of the jwt, or a jwt of another app.",
                )

    def _stored_credentials(self) -> Optional[Credentials]:
        try:
            return self._account.credentials()
        except ConnectionException as error:  # new settings may have a usable address
            self._log.info("%s", error)
            return None


def _refusal_by_close(error: ConnectionException) -> CometChatException:
    # Without a close frame the reason is the network or a crash of the server.
    if not error.closed_by_frame or error.close_code in PASSING_CLOSE_CODES:
        return error
    return AuthenticationException(
        WS_AUTH_FAIL, "The server closed the connection in answer to auth: it refused the jwt.", details=error.details
    )
