"""What a server's error is about. To be replaced by ``cometchat._protocol.error_kind``."""

from __future__ import annotations

import enum
from typing import Dict, Optional

from ...exceptions import ERR_BAD_RESPONSE, ERR_TOO_MANY_REQUESTS


class ErrorKind(enum.Enum):
    """Who or what can solve it."""

    TEMPORARY = "time"
    RATE_LIMIT = "fewer requests"
    OPERATOR = "the operator of the app"
    CREDENTIAL = "a new login"
    MESSAGE = "another message"
    INVALID_REQUEST = "another request"


_KINDS: Dict[str, ErrorKind] = {
    ERR_TOO_MANY_REQUESTS: ErrorKind.RATE_LIMIT,
    "TOO_MANY_REQUEST": ErrorKind.RATE_LIMIT,
    **dict.fromkeys(
        "AUTH_ERR_EMPTY_APPID AUTH_ERR_INVALID_APPID AUTH_ERR_EMPTY_APIKEY AUTH_ERR_APIKEY_NOT_FOUND AUTH_ERR_NO_ACCESS"
        " ERR_PLAN_RESTRICTION ERR_SUBSCRIPTION_EXPIRED ERR_PLAN_QUOTA_RESTRICTION ERR_INVALID_API_VERSION"
        " ERR_API_NOT_FOUND".split(),
        ErrorKind.OPERATOR,
    ),
    **dict.fromkeys(
        "ERR_MISSION_FAILED ERR_OPERATION_FAILED ERR_EXCEPTION ERR_BAD_ERROR_RESPONSE".split(), ErrorKind.TEMPORARY
    ),
    **dict.fromkeys(
        "ERR_UID_NOT_FOUND ERR_GUID_NOT_FOUND ERR_GROUP_NOT_JOINED ERR_NOT_A_MEMBER ERR_BANNED_GROUPMEMBER"
        " ERR_EMPTY_RECEIVER ERR_INVALID_RECEIVER_TYPE ERR_MESSAGE_ID_NOT_FOUND ERR_INVALID_MESSAGE_DATA"
        " ERR_EMPTY_MESSAGE_TEXT ERR_INVALID_MESSAGE_TEXT ERR_EMPTY_CUSTOM_DATA ERR_INVALID_CUSTOM_DATA"
        " ERR_INVALID_METADATA ERR_MESSAGE_NO_ACCESS ERR_WRONG_MESSAGE_THREAD ERR_MESSAGE_THREAD_NESTING"
        " ERR_BLOCKED_RECEIVER ERR_BLOCKED_SENDER ERR_BLOCKED_BY_EXTENSION ERR_BLOCKED_BY_WEBHOOK"
        " ERR_CONVERSATION_NOT_ACCESSIBLE".split(),
        ErrorKind.MESSAGE,
    ),
}

_CREDENTIALS = ("AUTH_ERR", "ERR_AUTH_TOKEN", "ERR_AUTHTOKEN")

_STATUSES = {
    401: ErrorKind.CREDENTIAL,
    407: ErrorKind.TEMPORARY,
    408: ErrorKind.TEMPORARY,
    425: ErrorKind.TEMPORARY,
    429: ErrorKind.RATE_LIMIT,
}

#: Statuses that are about the request even if a server in between answered, and not the service.
_OF_THE_REQUEST = frozenset({400, 413, 414, 415, 422})


def error_kind(code: str, http_status: Optional[int]) -> ErrorKind:
    """Judge an error by its code; by its HTTP status if the code is unknown."""
    kind = _KINDS.get(code)
    if kind is not None:
        return kind
    if code.startswith(_CREDENTIALS):
        return ErrorKind.CREDENTIAL
    if http_status is None or not 400 <= http_status < 500:
        return ErrorKind.TEMPORARY
    if http_status in _STATUSES:
        return _STATUSES[http_status]
    if code == ERR_BAD_RESPONSE and http_status not in _OF_THE_REQUEST:
        return ErrorKind.TEMPORARY
    return ErrorKind.INVALID_REQUEST
