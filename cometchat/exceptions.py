"""All exceptions that this SDK raises on purpose.

::

    CometChatException                    code, name, message, details
     +-- AuthenticationException          a credential was refused: auth key, auth token, jwt
     +-- ConnectionException              (also ConnectionError) network, HTTP transport, WebSocket
     |    +-- ConnectionTimeoutException  (also TimeoutError) no answer in time
     +-- InvalidArgumentException         (also ValueError) a wrong argument: names it, says what would be right
     +-- RateLimitException               HTTP 429, with ``retry_after``

Codes are the vendor's documented ones where they exist. The service's own ``{code, message, details}`` pass through
unchanged. The SDK's own codes start with ``ERR_``. ``__cause__`` is the exception of the library.

This module knows nothing of sockets, threads or HTTP, and imports nothing of the package.
"""

from __future__ import annotations

from typing import Any, ClassVar, Dict, Optional, Tuple, Type

# The vendor's codes.
COMETCHAT_INITIALIZATION_NOT_DONE = "COMETCHAT_INITIALIZATION_NOT_DONE"
ERR_FILE_SIZE_EXCEEDED = "ERR_FILE_SIZE_EXCEEDED"
ERR_PRESIGNED_URL_EXPIRED = "ERR_PRESIGNED_URL_EXPIRED"
ERR_S3_UPLOAD_FAILED = "ERR_S3_UPLOAD_FAILED"
FAILED_TO_FETCH = "FAILED_TO_FETCH"
LOGIN_IN_PROGRESS = "LOGIN_IN_PROGRESS"
MISSING_PARAMETERS = "MISSING_PARAMETERS"
NO_WEBSOCKET_CONNECTION = "NO_WEBSOCKET_CONNECTION"
RECEIPTS_TEMPORARILY_BLOCKED = "RECEIPTS_TEMPORARILY_BLOCKED"
USER_NOT_LOGGED_IN = "USER_NOT_LOGGED_IN"
WS_AUTH_FAIL = "WS_AUTH_FAIL"
WS_CONNECTION_FAIL = "WS_CONNECTION_FAIL"

# This SDK's own.
ERR_AUTH_TIMEOUT = "ERR_AUTH_TIMEOUT"
ERR_BAD_RESPONSE = "ERR_BAD_RESPONSE"
ERR_CLIENT_CLOSED = "ERR_CLIENT_CLOSED"
ERR_CONNECT_TIMEOUT = "ERR_CONNECT_TIMEOUT"
ERR_FEATURE_THROTTLED = "ERR_FEATURE_THROTTLED"
ERR_INSECURE_SOCKET = "ERR_INSECURE_SOCKET"
ERR_INTERNAL = "ERR_INTERNAL"
ERR_INBOX_STORE = "ERR_INBOX_STORE"
ERR_OUTBOX_FULL = "ERR_OUTBOX_FULL"
ERR_OUTBOX_STORE = "ERR_OUTBOX_STORE"
ERR_PONG_TIMEOUT = "ERR_PONG_TIMEOUT"
ERR_PROTOCOL = "ERR_PROTOCOL"
ERR_STATUS_STORE = "ERR_STATUS_STORE"
ERR_TOKEN_REFRESH = "ERR_TOKEN_REFRESH"  # nosec B105
ERR_TOO_MANY_REQUESTS = "ERR_TOO_MANY_REQUESTS"


class CometChatException(Exception):
    """The base class of all errors of this SDK.

    :ivar code: a stable string to branch on, such as ``"WS_AUTH_FAIL"``.
    :ivar message: one sentence for people: what is wrong and, where known, what would be right.
    :ivar name: the wrong argument of an :class:`InvalidArgumentException`; else the service's name of the error, or the
        same as ``code``.
    :ivar details: more information, such as a close code and its reason; or None.
    :ivar retry_after: seconds (>= 0) for which the server asked to wait; None if it did not ask.
    :ivar http_status: the HTTP status of the answer; None if the error was not an HTTP answer.
    """

    http_status: Optional[int] = None

    #: Refusals that usually mean a mixed-up credential -> the text that ``str(error)`` adds to the service's words.
    _HINTS: ClassVar[Dict[str, str]] = {
        "AUTH_ERR_APIKEY_NOT_FOUND": "login() takes the app's auth key, not a REST API key or an auth token",
        "AUTH_ERR_AUTH_TOKEN_NOT_FOUND": (  # nosec B105
            "revoked, logged out, or not an auth token: login() takes the auth key"
        ),
    }

    def __init__(
        self,
        code: str,
        message: str,
        *,
        name: Optional[str] = None,
        details: Optional[str] = None,
        retry_after: Optional[float] = None,
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.name: str = code if name is None else name
        self.details = details
        self.retry_after = retry_after

    def __str__(self) -> str:
        wait = f"retry after {max(self.retry_after, 1):.0f} s" if self.retry_after else None
        more = "; ".join(filter(None, (self.details, self._HINTS.get(self.code), wait)))
        return f"{self.code}: {self.message}" + (f" ({more})" if more else "")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(code={self.code!r}, message={self.message!r}, details={self.details!r})"

    def __reduce__(self) -> Tuple[Type[CometChatException], Tuple[str, str], Dict[str, Any]]:
        # The default would lose the fields of the OSErrors below.
        return type(self), (self.code, self.message), dict(self.__dict__)


class AuthenticationException(CometChatException):
    """The service refused a credential: an auth key, an auth token or a ``jwt``. It will refuse it again."""


class ConnectionException(CometChatException, ConnectionError):
    """The network or the server failed: DNS, refused, TLS, proxy, handshake, lost, closed. A retry may succeed.

    :ivar close_code: the WebSocket close code that the server sent; None if it sent no close code.
    :ivar closed_by_frame: the server sent a close frame, with or without a code.
    """

    close_code: Optional[int] = None
    closed_by_frame: bool = False


class ConnectionTimeoutException(ConnectionException, TimeoutError):
    """No answer came in time: to the connect, to ``auth`` or to a ping."""


class InvalidArgumentException(CometChatException, ValueError):
    """An argument is missing or wrong. ``name`` is the argument's name."""


class RateLimitException(CometChatException):
    """The service limits the rate (HTTP 429). ``retry_after`` holds the seconds that it asked for, or None."""


#: Code -> exception class. Any other code is a plain :class:`CometChatException`.
CLASSES: Dict[str, Type[CometChatException]] = {
    ERR_AUTH_TIMEOUT: ConnectionTimeoutException,
    ERR_BAD_RESPONSE: ConnectionException,
    ERR_CONNECT_TIMEOUT: ConnectionTimeoutException,
    ERR_FILE_SIZE_EXCEEDED: InvalidArgumentException,
    ERR_PONG_TIMEOUT: ConnectionTimeoutException,
    ERR_PRESIGNED_URL_EXPIRED: ConnectionException,
    ERR_PROTOCOL: ConnectionException,
    ERR_S3_UPLOAD_FAILED: ConnectionException,
    ERR_STATUS_STORE: ConnectionException,
    ERR_TOKEN_REFRESH: ConnectionException,
    ERR_TOO_MANY_REQUESTS: RateLimitException,
    FAILED_TO_FETCH: ConnectionException,
    MISSING_PARAMETERS: InvalidArgumentException,
    NO_WEBSOCKET_CONNECTION: ConnectionException,
    WS_AUTH_FAIL: AuthenticationException,
    WS_CONNECTION_FAIL: ConnectionException,
}


def exception_for(
    code: str,
    message: str,
    *,
    name: Optional[str] = None,
    details: Optional[str] = None,
    retry_after: Optional[float] = None,
) -> CometChatException:
    """Create the exception for a code, as an instance of the class that :data:`CLASSES` gives."""
    cls = CLASSES.get(code, CometChatException)
    return cls(code, message, name=name, details=details, retry_after=retry_after)


def class_of_answer(code: str, http_status: int) -> Type[CometChatException]:
    """Return the class of an error of the service, by its code, then by the HTTP status of the answer.

    The prefix of a code marks it as an authentication error. HTTP 403 does not: it may also be about the plan.
    """
    if code == ERR_TOO_MANY_REQUESTS:
        return RateLimitException
    if code.startswith(("AUTH_ERR", "ERR_AUTH_TOKEN", "ERR_AUTHTOKEN")):
        return AuthenticationException
    if http_status == 429:
        return RateLimitException
    if http_status == 401:
        return AuthenticationException
    if http_status >= 500 or http_status == 408:
        return ConnectionException
    return CometChatException


def copy_of(error: CometChatException) -> CometChatException:
    """Return a copy without the traceback, which grows with each raise and keeps the frames' objects alive."""
    copy = type(error)(error.code, error.message)
    copy.__dict__.update(error.__dict__)
    copy.__cause__ = error.__cause__
    return copy


def without_frames(error: CometChatException) -> CometChatException:
    """Return the error without its frames so far. It would keep their variables, such as credentials and long answers.

    The frame that raises it again is added, so its variables must not be credentials.
    """
    return error.with_traceback(None)


def client_closed() -> CometChatException:
    """Return the error of a call after ``close()``."""
    return exception_for(ERR_CLIENT_CLOSED, "This client is closed. Create a new one.")


def login_replaced() -> CometChatException:
    """Return the error of a call during which another user logged in."""
    return exception_for(USER_NOT_LOGGED_IN, "Another login replaced this one during the call.")


def missing(parameter: str, expected: str) -> InvalidArgumentException:
    """Return the error of an argument that is empty or absent."""
    return InvalidArgumentException(MISSING_PARAMETERS, f"Missing {parameter}: expected {expected}.", name=parameter)


def invalid(parameter: str, expected: str, got: object) -> InvalidArgumentException:
    """Return the error of a wrong argument. It shows the argument's type only: the value may be a secret."""
    return InvalidArgumentException(
        f"INVALID_{parameter.upper()}",
        f"Invalid {parameter}: expected {expected}, got {type(got).__name__}.",
        name=parameter,
    )


def unusable(parameter: str, expected: str) -> InvalidArgumentException:
    """Return the error of a wrong value of the right type. It does not show the value, which may be a secret."""
    return InvalidArgumentException(
        f"INVALID_{parameter.upper()}", f"Invalid {parameter}: expected {expected}.", name=parameter
    )


def invalid_value(parameter: str, expected: str, got: object) -> InvalidArgumentException:
    """Return the error of a wrong value. It shows the value, cut to length. The value must not be a secret."""
    return InvalidArgumentException(
        f"INVALID_{parameter.upper()}", f"Invalid {parameter}: expected {expected}, got {_shown(got)}.", name=parameter
    )


def _shown(value: object) -> str:
    """Return a value as a text for a message, at most 200 characters; its type if it has no text.

    Python gives a number of 5,000 digits no text.
    """
    try:
        text = repr(value)
    except Exception:
        return type(value).__name__
    return text if len(text) <= 200 else f"{text[:200]}..."
