"""The meaning of a failure for the phase, the jwt and the login."""

from __future__ import annotations

from typing import Optional, Tuple

import pytest
from rows import each_row

from cometchat._protocol._failures import Jwt, judge, refusal_by_close
from cometchat._protocol._states import Phase, Signal
from cometchat.exceptions import CometChatException, ConnectionException, class_of_answer, exception_for

LOST, CLOSED = exception_for("WS_CONNECTION_FAIL", "lost"), exception_for("ERR_PROTOCOL", "garbage")
SILENCE, REFUSAL = exception_for("ERR_AUTH_TIMEOUT", "silence"), exception_for("WS_AUTH_FAIL", "refused")
LOGGED_OUT = exception_for("WS_CONNECTION_FAIL", "closed", details="close code 4001: USER_LOGGED_OUT")
LOGGED_OUT_AT_AUTH = exception_for("WS_AUTH_FAIL", "closed", details="close code 4001: USER_LOGGED_OUT")

KNOWN, SUSPECT, FRESH = Jwt.KNOWN, Jwt.SUSPECT, Jwt.FRESH


def answer(code: str, status: int) -> CometChatException:
    """Return the error for an answer of the HTTP API."""
    error = class_of_answer(code, status)(code, "no")
    error.http_status = status
    return error


@each_row("phase", [Phase.ONLINE, Phase.THROTTLED])
@each_row("jwt", [KNOWN, FRESH])
@each_row(
    "error, suspect, ends_login",
    [
        (LOST, False, False),
        (CLOSED, False, False),
        (REFUSAL, True, False),
        (LOGGED_OUT, True, True),
        (answer("ERR_SUBSCRIPTION_EXPIRED", 403), False, False),
    ],
)
def test_each_failure_of_a_connection_that_is_up_is_a_loss(
    phase: Phase, jwt: Jwt, error: CometChatException, suspect: bool, ends_login: bool
) -> None:
    """A withdrawn acceptance makes the jwt suspect. So does the end of a login: a new token brings a new jwt."""
    assert judge(phase, error, jwt) == (Signal.LOST, SUSPECT if suspect else jwt, ends_login)


@each_row(
    "error, jwt, expected",
    [
        (SILENCE, KNOWN, (Signal.FAILED, SUSPECT, False)),
        (SILENCE, FRESH, (Signal.FAILED, SUSPECT, False)),
        (LOST, KNOWN, (Signal.FAILED, SUSPECT, False)),
        (LOST, FRESH, (Signal.FAILED, SUSPECT, False)),
        (answer("ERR_PLAN_RESTRICTION", 403), KNOWN, (Signal.FAILED, SUSPECT, False)),
        (REFUSAL, KNOWN, (Signal.STALE, SUSPECT, False)),
        (REFUSAL, FRESH, (Signal.REFUSED, SUSPECT, False)),
        (LOGGED_OUT, KNOWN, (Signal.FAILED, SUSPECT, True)),
        (LOGGED_OUT_AT_AUTH, KNOWN, (Signal.STALE, SUSPECT, False)),
        (LOGGED_OUT_AT_AUTH, FRESH, (Signal.REFUSED, SUSPECT, True)),
    ],
)
def test_a_failure_during_the_authentication(
    error: CometChatException, jwt: Jwt, expected: Tuple[Signal, Jwt, bool]
) -> None:
    """Any failure may be due to the jwt. A refusal of a fresh one is final; any other jwt is renewed first."""
    assert judge(Phase.AUTHENTICATING, error, jwt) == expected


@each_row("phase", [Phase.OPENING, Phase.RENEWING])
@each_row("jwt", list(Jwt))
@each_row(
    "error, signal",
    [
        (LOST, Signal.FAILED),
        (exception_for("ERR_CONNECT_TIMEOUT", "slow"), Signal.FAILED),
        (exception_for("ERR_INTERNAL", "a bug"), Signal.FAILED),
        (exception_for("ERR_TOKEN_REFRESH", "refresh raised"), Signal.FAILED),
        (answer("ERR_BAD_RESPONSE", 200), Signal.FAILED),
        (answer("ERR_UNHEARD_OF", 500), Signal.FAILED),
        (answer("ERR_TOO_MANY_REQUESTS", 429), Signal.FAILED),
        (answer("ERR_SUBSCRIPTION_EXPIRED", 403), Signal.FAILED),
        (answer("AUTH_ERR_INVALID_APPID", 401), Signal.FAILED),
        (exception_for("ERR_INSECURE_SOCKET", "no TLS"), Signal.REFUSED),
        (exception_for("USER_NOT_LOGGED_IN", "logged out"), Signal.REFUSED),
        (answer("AUTH_ERR_AUTH_TOKEN_NOT_FOUND", 401), Signal.REFUSED),
        (answer("ERR_UNHEARD_OF", 401), Signal.REFUSED),
        (answer("ERR_UID_NOT_FOUND", 404), Signal.REFUSED),
        (answer("ERR_UNHEARD_OF", 400), Signal.REFUSED),
    ],
)
def test_a_failure_before_the_authentication(phase: Phase, jwt: Jwt, error: CometChatException, signal: Signal) -> None:
    """The attempts end only where another one would get the same answer. The jwt is as good as before."""
    assert judge(phase, error, jwt) == (signal, jwt, False)


@pytest.mark.parametrize("jwt", list(Jwt), ids=str)
def test_the_end_of_a_login_makes_the_jwt_suspect_in_any_phase(jwt: Jwt) -> None:
    """A close with the vendor's reason may come before ``auth`` is sent."""
    assert judge(Phase.OPENING, LOGGED_OUT, jwt) == (Signal.FAILED, SUSPECT, True)


@pytest.mark.parametrize(
    "details", [None, "", "USER_LOGGED_OUT", "close code 4001: USER_LOGGED_OUT?", "close code : USER_LOGGED_OUT"]
)
def test_only_the_vendors_reason_ends_a_login(details: Optional[str]) -> None:
    """It is the whole reason of a close."""
    assert not judge(Phase.ONLINE, exception_for("WS_CONNECTION_FAIL", "closed", details=details), KNOWN).ends_login


def closed(by_frame: bool, code: Optional[int]) -> ConnectionException:
    error = ConnectionException("WS_CONNECTION_FAIL", "closed", details=f"close code {code}")
    error.closed_by_frame, error.close_code = by_frame, code
    return error


@each_row("code", [None, 1000, 1008, 3000, 4001, 4999])
def test_a_close_in_answer_to_auth_refuses_the_jwt(code: Optional[int]) -> None:
    """The refusal has the close as its details."""
    refusal = refusal_by_close(closed(True, code))
    assert (refusal.code, refusal.details) == ("WS_AUTH_FAIL", f"close code {code}")


@pytest.mark.parametrize("by_frame, code", [(False, None), (False, 1006), (True, 1001), (True, 1011), (True, 1012)])
def test_a_close_for_another_reason_refuses_nothing(by_frame: bool, code: Optional[int]) -> None:
    """The network, or the server, has trouble."""
    error = closed(by_frame, code)
    assert refusal_by_close(error) is error
