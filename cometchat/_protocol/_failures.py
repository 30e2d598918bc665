"""Judges the failures of an attempt and of a connection: their meaning for the phase, the jwt and the login."""

from __future__ import annotations

import enum
import re
from typing import NamedTuple

from ..exceptions import (
    ERR_INSECURE_SOCKET,
    ERR_INTERNAL,
    WS_AUTH_FAIL,
    AuthenticationException,
    CometChatException,
    ConnectionException,
    RateLimitException,
)
from ._error_codes import ErrorKind, code_kind, known_kind
from ._states import UP, Phase, Signal

#: A close frame in answer to `auth` refuses the credential, except with these codes (going away, protocol error, data
#: of a wrong kind or size, server trouble). With them, another attempt may succeed. (Not confirmed.)
_PASSING_CLOSE_CODES = frozenset({1001, 1002, 1003, 1007, 1009, 1010, 1011, 1012, 1013, 1014, 1015})

#: The details of a close with the vendor's reason for the end of a login.
_LOGGED_OUT = re.compile(r"close code \d+: USER_LOGGED_OUT")


class Jwt(enum.Enum):
    """The state of the jwt, as far as an attempt knows it."""

    #: From the login or from an earlier attempt. If the service refuses it, the attempt fetches another one.
    KNOWN = "known"
    #: The service may have refused it. The next attempt fetches another one first.
    SUSPECT = "suspect"
    #: This attempt has fetched it. If the service refuses it, it would refuse another one too.
    FRESH = "fresh"


class Verdict(NamedTuple):
    """The meaning of a failure.

    :ivar signal: for the state machine.
    :ivar jwt: the state of the jwt after it.
    :ivar ends_login: whether the service says that the login has ended.
    """

    signal: Signal
    jwt: Jwt
    ends_login: bool = False


def judge(phase: Phase, error: CometChatException, jwt: Jwt) -> Verdict:
    """Judge the error that ended a step of the connection thread.

    :param phase: one in which the thread makes a step: it opens, authenticates, renews the jwt, or serves.
    """
    signal = _signal(phase, error, jwt)
    # A stale jwt is not the end: the service may take a new one.
    ends_login = signal is not Signal.STALE and _LOGGED_OUT.fullmatch(error.details or "") is not None
    # In the authentication any failure counts, since the service may answer a bad jwt by silence.
    refused = phase in UP and isinstance(error, AuthenticationException)
    suspect = ends_login or refused or phase is Phase.AUTHENTICATING
    return Verdict(signal, Jwt.SUSPECT if suspect else jwt, ends_login)


def refusal_by_close(error: ConnectionException) -> CometChatException:
    """Return the refusal of the jwt, if the server closed the connection in answer to ``auth``; else the error."""
    # Without a close frame the reason is the network or a crash of the server.
    if not error.closed_by_frame or error.close_code in _PASSING_CLOSE_CODES:
        return error
    return AuthenticationException(
        WS_AUTH_FAIL, "The server closed the connection in answer to auth: it refused the jwt.", details=error.details
    )


def _signal(phase: Phase, error: CometChatException, jwt: Jwt) -> Signal:
    if phase in UP:
        return Signal.LOST
    if phase is not Phase.AUTHENTICATING:
        return Signal.REFUSED if _is_final(error) else Signal.FAILED
    if not isinstance(error, AuthenticationException):
        return Signal.FAILED
    return Signal.REFUSED if jwt is Jwt.FRESH else Signal.STALE


def _is_final(error: CometChatException) -> bool:
    """Return True if another attempt would get the same answer, because the service refuses a credential or request."""
    if error.code == ERR_INSECURE_SOCKET:
        return True  # this client's setting forbids it
    if known_kind(error) in (ErrorKind.TEMPORARY, ErrorKind.RATE_LIMIT, ErrorKind.OPERATOR):
        return False
    if code_kind(error.code) is not None:
        return True  # with any status
    return not isinstance(error, (ConnectionException, RateLimitException)) and error.code != ERR_INTERNAL
