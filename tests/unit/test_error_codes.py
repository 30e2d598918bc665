"""The meaning of each error code for retries."""

from __future__ import annotations

import re
from pathlib import Path

from rows import each_row

from cometchat import exceptions
from cometchat._protocol._error_codes import ERROR_KINDS, ErrorKind, error_kind

T, R, O, C, M, I = (  # noqa: E741
    ErrorKind.TEMPORARY,
    ErrorKind.RATE_LIMIT,
    ErrorKind.OPERATOR,
    ErrorKind.CREDENTIAL,
    ErrorKind.MESSAGE,
    ErrorKind.INVALID_REQUEST,
)

#: The SDK's own codes.
OWN = {name for name, value in vars(exceptions).items() if name.isupper() and isinstance(value, str)}


@each_row(
    "code, status, kind",
    [
        # The code counts, for any status.
        ("ERR_SUBSCRIPTION_EXPIRED", 403, O),
        ("ERR_PLAN_RESTRICTION", 400, O),
        ("ERR_PLAN_QUOTA_RESTRICTION", 402, O),
        ("AUTH_ERR_INVALID_APPID", 401, O),
        ("ERR_API_NOT_FOUND", 404, O),
        ("ERR_MISSION_FAILED", 400, T),
        ("ERR_OPERATION_FAILED", 403, T),
        ("ERR_WS_APP_INIT_FAILED", 400, T),
        ("ERR_TOO_MANY_REQUESTS", 400, R),
        ("TOO_MANY_REQUEST", None, R),
        ("ERR_AUTHTOKEN_UNAVAILABLE", 400, C),
        ("ERR_AUTHTOKEN_UNAVAILABLE", 500, C),
        ("AUTH_ERR_AUTH_TOKEN_NOT_FOUND", 404, C),
        ("AUTH_ERR_NO_ACCESS", 403, C),
        ("ERR_BLOCKED_RECEIVER", 403, M),
        ("ERR_UID_NOT_FOUND", 404, M),
        ("ERR_NOT_A_MEMBER", 500, M),
        ("ERR_BAD_REQUEST", 400, I),
        # Families.
        ("AUTH_ERR_BRAND_NEW", 400, C),
        ("ERR_AUTH_TOKEN_BRAND_NEW", 400, C),
        ("ERR_PLAN_BRAND_NEW", 403, O),
        ("ERR_SUBSCRIPTION_PAUSED", 400, O),
        ("ERR_WS_BRAND_NEW", 400, T),
        ("ERR_GROUP_UPDATE_FAILED", 400, T),
        # Unknown codes: the status counts.
        ("ERR_BRAND_NEW", 401, C),
        ("ERR_BRAND_NEW", 402, O),
        ("ERR_BRAND_NEW", 408, T),
        ("ERR_BRAND_NEW", 425, T),
        ("ERR_BRAND_NEW", 429, R),
        ("ERR_BRAND_NEW", 500, T),
        ("ERR_BRAND_NEW", 503, T),
        ("ERR_BRAND_NEW", 400, I),
        ("ERR_BRAND_NEW", 403, I),
        ("ERR_BRAND_NEW", 404, I),
        ("ERR_BRAND_NEW", None, T),
        # Without a code of the service, another server may have answered: no message may be buried for it.
        ("HTTP_403", 403, T),
        ("HTTP_404", 404, T),
        ("ERR_BAD_RESPONSE", 403, T),
        ("ERR_BAD_RESPONSE", 404, T),
        ("ERR_BAD_RESPONSE", 407, O),
        ("", 404, T),
        # These mean the same from any sender.
        ("ERR_BAD_RESPONSE", 413, I),
        ("ERR_BAD_RESPONSE", 502, T),
        ("ERR_BAD_RESPONSE", 200, T),
        ("ERR_BAD_RESPONSE", 302, T),
        # This SDK's own.
        ("FAILED_TO_FETCH", None, T),
        ("ERR_PONG_TIMEOUT", None, T),
        ("RECEIPTS_TEMPORARILY_BLOCKED", None, T),
        ("WS_AUTH_FAIL", None, C),
        ("USER_NOT_LOGGED_IN", None, C),
        ("MISSING_PARAMETERS", None, I),
        ("INVALID_UID", None, I),
    ],
)
def test_the_kind_of_an_error(code, status, kind):
    """The code counts before the status. For an unknown code only the status is known."""
    assert error_kind(code, status) is kind


@each_row("status", [None, 200, 400, 401, 403, 404, 429, 500])
def test_a_code_of_the_app_the_plan_the_login_the_database_or_the_rate_limit_buries_no_message(status):
    """Every code of these kinds, at every status."""
    for code, kind in ERROR_KINDS.items():
        assert error_kind(code, status) is kind
        if code.startswith(("AUTH_ERR", "ERR_AUTH", "ERR_PLAN", "ERR_SUBSCRIPTION", "ERR_MISSION", "ERR_OPERATION")):
            assert kind not in (M, I), code


def test_every_code_of_this_sdk_has_a_kind():
    """A new code of exceptions.py is in the table, or in the list of codes that no retry depends on."""
    without = {"ERR_BAD_RESPONSE", "ERR_INTERNAL", "ERR_OUTBOX_FULL", "ERR_OUTBOX_STORE", "ERR_TOKEN_REFRESH"}
    assert OWN - set(ERROR_KINDS) == without


@each_row(
    "code, status, cls",
    [
        ("AUTH_ERR_NO_ACCESS", 400, exceptions.AuthenticationException),
        ("ERR_AUTH_TOKEN_NOT_FOUND", 404, exceptions.AuthenticationException),
        ("ERR_AUTHTOKEN_UNAVAILABLE", 400, exceptions.AuthenticationException),
        ("ERR_BRAND_NEW", 401, exceptions.AuthenticationException),
        ("ERR_SUBSCRIPTION_EXPIRED", 403, exceptions.CometChatException),
        ("ERR_BLOCKED_RECEIVER", 403, exceptions.CometChatException),
        ("ERR_UID_NOT_FOUND", 404, exceptions.CometChatException),
        ("ERR_MISSION_FAILED", 500, exceptions.ConnectionException),
        ("ERR_BRAND_NEW", 408, exceptions.ConnectionException),
        ("ERR_TOO_MANY_REQUESTS", 400, exceptions.RateLimitException),
        ("ERR_BRAND_NEW", 429, exceptions.RateLimitException),
        ("ERR_TOO_MANY_REQUESTS", 401, exceptions.RateLimitException),
        ("AUTH_ERR_AUTH_TOKEN_NOT_FOUND", 429, exceptions.AuthenticationException),
        ("ERR_AUTHTOKEN_UNAVAILABLE", 429, exceptions.AuthenticationException),
    ],
)
def test_the_class_of_an_answer(code, status, cls):
    """The code counts before the status. AuthenticationException is for credentials: HTTP 403 alone is not one."""
    assert exceptions.class_of_answer(code, status) is cls


def test_the_docs_have_the_table():
    """docs/errors.rst lists each code of the service under its kind, and no other."""
    page = (Path(__file__).parents[2] / "docs" / "errors.rst").read_text("utf-8")
    text = page.partition("The service's codes\n---")[2]
    titles = {
        T: "Temporary",
        R: "Rate limit",
        O: "Work for the operator",
        C: "Refused credential",
        M: "Single message, user, group or call",
        I: "Wrong request",
    }
    for kind, title in titles.items():
        section = re.split(r"\n.*\n~~~", text.partition(f"\n{title}\n~~~")[2])[0]
        codes = re.findall(r"``([A-Z_]+)``[,.]", section.partition("\n\n")[2].partition("\n\n")[2])
        assert sorted(codes) == sorted(c for c, k in ERROR_KINDS.items() if k is kind and c not in OWN), title
