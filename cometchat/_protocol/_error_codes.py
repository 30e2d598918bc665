"""One table that says, for each error code, whether and how to retry.

The code counts before the HTTP status: the service answers 403 for an expired plan, and 400 for a database timeout.
Only a code that the table does not know is judged by the status.
"""

from __future__ import annotations

import enum
from typing import Dict, Optional

from ..exceptions import CometChatException


class ErrorKind(enum.Enum):
    """The kinds of errors, by what to do about them."""

    #: The service, its database or the network has trouble: try again.
    TEMPORARY = "temporary"
    #: Too many requests: try again after the time that the service asks for.
    RATE_LIMIT = "rate_limit"
    #: A problem of the app or its plan: all requests fail until an operator acts. Try again with the longest wait.
    OPERATOR = "operator"
    #: A credential was refused: a new one may be accepted.
    CREDENTIAL = "credential"
    #: A problem of one message, user, group or call. Requests about others may succeed.
    MESSAGE = "message"
    #: The request is wrong: a retry fails too.
    INVALID_REQUEST = "invalid_request"


def error_kind(code: str, http_status: Optional[int]) -> ErrorKind:
    """Judge an error by its code; by its HTTP status if the code is unknown.

    :param code: of the service, or of this SDK.
    :param http_status: None for an error that is not the answer to an HTTP call.
    """
    known = code_kind(code)
    if known is not None:
        return known
    if code.endswith("_FAILED"):  # the service could not do it
        return ErrorKind.TEMPORARY
    if http_status is None:
        return ErrorKind.INVALID_REQUEST if code.startswith(_OWN_CHECKS) else ErrorKind.TEMPORARY
    return _by_status(code, http_status)


def code_kind(code: str) -> Optional[ErrorKind]:
    """Judge a code by the table or by its prefix. Returns None if it is unknown."""
    known = ERROR_KINDS.get(code)
    if known is not None:
        return known
    return next((kind for prefix, kind in _PREFIXES.items() if code.startswith(prefix)), None)


def kind_of(error: CometChatException) -> ErrorKind:
    """Judge an error by its code and its HTTP status."""
    return error_kind(error.code, error.http_status)


def known_kind(error: Optional[BaseException]) -> Optional[ErrorKind]:
    """Return the kind of a service error, or of an SDK error with a known code; None for all others."""
    if not isinstance(error, CometChatException):
        return None
    return code_kind(error.code) if error.http_status is None else kind_of(error)


def _by_status(code: str, status: int) -> ErrorKind:
    known = _STATUSES.get(status)
    if known is not None:
        return known
    if not 400 <= status < 500:
        return ErrorKind.TEMPORARY
    # An answer without a code may come from a proxy or a wrong host instead of the service.
    has_own_code = bool(code) and code != "ERR_BAD_RESPONSE" and not code.startswith("HTTP_")
    return ErrorKind.INVALID_REQUEST if has_own_code else ErrorKind.TEMPORARY


#: These statuses mean the same from the service and from a proxy.
_STATUSES: Dict[int, ErrorKind] = {
    400: ErrorKind.INVALID_REQUEST,
    401: ErrorKind.CREDENTIAL,
    402: ErrorKind.OPERATOR,
    407: ErrorKind.OPERATOR,  # the proxy requires a password
    408: ErrorKind.TEMPORARY,
    413: ErrorKind.INVALID_REQUEST,
    414: ErrorKind.INVALID_REQUEST,
    415: ErrorKind.INVALID_REQUEST,
    422: ErrorKind.INVALID_REQUEST,
    425: ErrorKind.TEMPORARY,
    429: ErrorKind.RATE_LIMIT,
}

#: Codes of this SDK's own checks of arguments.
_OWN_CHECKS = ("INVALID_", "MISSING_")

_TEMPORARY = """
    ERR_MISSION_FAILED ERR_OPERATION_FAILED ERR_EXCEPTION ERR_BAD_ERROR_RESPONSE ERR_CHAT_API_FAILURE
    ERR_AUTH_TOKEN_DELETE_FAILED ERR_AUTH_TOKENS_DELETE_FAILED ERR_SETTINGS_HASH_OUTDATED
    FAILED_TO_FETCH NO_INTERNET_CONNECTION NO_WEBSOCKET_CONNECTION WS_CONNECTION_FAIL WS_CONNECTION_FALLBACK_FAIL
    ERR_AUTH_TIMEOUT ERR_CONNECT_TIMEOUT ERR_PONG_TIMEOUT ERR_PROTOCOL ERR_STATUS_STORE ERR_INBOX_STORE
    ERR_S3_UPLOAD_FAILED ERR_PRESIGNED_URL_EXPIRED
    ERR_FEATURE_THROTTLED RECEIPTS_TEMPORARILY_BLOCKED LOGIN_IN_PROGRESS REQUEST_IN_PROGRESS
"""

_RATE_LIMIT = "ERR_TOO_MANY_REQUESTS TOO_MANY_REQUEST"

_OPERATOR = """
    AUTH_ERR_EMPTY_APPID AUTH_ERR_INVALID_APPID
    ERR_PLAN_RESTRICTION ERR_PLAN_QUOTA_RESTRICTION ERR_SUBSCRIPTION_EXPIRED
    ERR_INVALID_API_VERSION ERR_API_NOT_FOUND ERR_INSECURE_SOCKET
"""

_CREDENTIAL = """
    AUTH_ERR_EMPTY_APIKEY AUTH_ERR_APIKEY_NOT_FOUND AUTH_ERR_NO_ACCESS AUTH_ERR_EMPTY_AUTH_HEADER
    AUTH_ERR_EMPTY_AUTH_TOKEN AUTH_ERR_AUTH_TOKEN_NOT_FOUND
    ERR_AUTH_TOKEN_NOT_FOUND ERR_AUTHTOKEN_UNAVAILABLE ERR_AUTHTOKEN_NOT_ACCESSIBLE ERR_NO_AUTH JWT_NOT_FOUND
    USER_NOT_AUTHORISED USER_NOT_LOGGED_IN NOT_LOGGED_IN ERR_NOT_LOGGED_IN WS_AUTH_FAIL
"""

_MESSAGE = """
    ERR_UID_NOT_FOUND ERR_GUID_NOT_FOUND ERR_ROLE_NOT_FOUND ERR_ROLE_DELETE_DENIED
    ERR_EMPTY_RECEIVER ERR_INVALID_RECEIVER_TYPE ERR_MESSAGE_ID_NOT_FOUND ERR_INVALID_MESSAGE_DATA
    ERR_EMPTY_MESSAGE_TEXT ERR_INVALID_MESSAGE_TEXT ERR_EMPTY_MESSAGE_CATEGORY ERR_INVALID_MESSAGE_CATEGORY
    ERR_EMPTY_MESSAGE_TYPE ERR_INVALID_MESSAGE_TYPE ERR_EMPTY_MESSAGE_FILE ERR_MESSAGE_NOT_A_SENDER
    ERR_MESSAGE_NO_ACCESS ERR_MESSAGE_ACTION_NOT_ALLOWED ERR_EMPTY_CUSTOM_DATA ERR_INVALID_CUSTOM_DATA
    ERR_INVALID_METADATA ERR_INVALID_MEDIA_MESSAGE ERR_WRONG_MESSAGE_THREAD ERR_MESSAGE_THREAD_NESTING
    ERR_WRONG_MESSAGE_THREAD_CATEGORY ERR_PINNED_MESSAGES_LIMIT_EXCEEDED ERR_SAVED_MESSAGES_LIMIT_EXCEEDED
    ERR_CONVERSATION_NOT_ACCESSIBLE ERR_CONVERSATION_NOT_FOUND ERR_FILE_SIZE_EXCEEDED ERR_FILE_COUNT_EXCEEDED
    ERR_EMPTY_GROUP_PASS ERR_WRONG_GROUP_PASS ERR_ALREADY_JOINED ERR_GROUP_NOT_JOINED ERR_GROUP_JOIN_NOT_ALLOWED
    ERR_NOT_A_MEMBER ERR_NO_VACANCY ERR_SAME_SCOPE ERR_NOT_A_BANNED_USER ERR_BANNED_GROUPMEMBER ERR_ALREADY_BANNED
    ERR_GROUP_NO_CLEARANCE ERR_GROUP_NO_ADMIN_SCOPE ERR_GROUP_NO_MODERATOR_SCOPE ERR_GROUP_NO_SCOPE_CLEARANCE
    ERR_GROUP_NO_SELF_ACTION
    ERR_ALREADY_FRIEND ERR_NOT_A_FRIEND ERR_CANNOT_FORM_SELF_RELATION ERR_CANNOT_BLOCK_SELF ERR_BLOCKED_RECEIVER
    ERR_BLOCKED_SENDER ERR_BLOCKED_BY_EXTENSION ERR_BLOCKED_BY_WEBHOOK
    ERR_CALLING_SELF ERR_CALL_BUSY_SELF ERR_CALL_BUSY_GROUP ERR_CALL_BUSY_USER ERR_EMPTY_CALL_SESSION_ID
    ERR_CALL_SESSION_NOT_FOUND ERR_CALL_TERMINATED ERR_CALL_NOT_A_PART ERR_CALL_INVALID_INIT
    ERR_CALL_ONGOING_TO_INVALID ERR_CALL_NOT_STARTED ERR_CALL_GROUP_ALREADY_JOINED ERR_CALL_GROUP_ALREADY_LEFT
    ERR_CALL_USER_ALREADY_JOINED ERR_CALL_GROUP_INVALID_STATUS ERR_CALL_EMPTY_JOINED_AT
"""

_INVALID_REQUEST = """
    ERR_BAD_REQUEST ERR_EXTENSION_NOT_FOUND ERR_FEATURE_NOT_ACCESSIBLE MISSING_PARAMETERS ERR_CLIENT_CLOSED
    COMETCHAT_INITIALIZATION_NOT_DONE
"""

#: Code -> kind: the vendor's error guide, the codes of its clients, and this SDK's own.
ERROR_KINDS: Dict[str, ErrorKind] = {
    code: kind
    for kind, codes in (
        (ErrorKind.TEMPORARY, _TEMPORARY),
        (ErrorKind.RATE_LIMIT, _RATE_LIMIT),
        (ErrorKind.OPERATOR, _OPERATOR),
        (ErrorKind.CREDENTIAL, _CREDENTIAL),
        (ErrorKind.MESSAGE, _MESSAGE),
        (ErrorKind.INVALID_REQUEST, _INVALID_REQUEST),
    )
    for code in codes.split()
}

#: Prefixes of families of codes, for codes that are not in the table.
_PREFIXES: Dict[str, ErrorKind] = {
    "AUTH_ERR": ErrorKind.CREDENTIAL,
    "ERR_AUTH_TOKEN": ErrorKind.CREDENTIAL,
    "ERR_AUTHTOKEN": ErrorKind.CREDENTIAL,
    "ERR_PLAN_": ErrorKind.OPERATOR,
    "ERR_SUBSCRIPTION_": ErrorKind.OPERATOR,
    "ERR_WS_": ErrorKind.TEMPORARY,
}
