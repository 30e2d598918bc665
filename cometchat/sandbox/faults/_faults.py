"""The standing faults: plain data that the loop thread reads before it acts as usual."""

from __future__ import annotations

import fnmatch
import math
from dataclasses import dataclass, field
from typing import Any, Dict, FrozenSet, List, Mapping, Optional, Union

from .._api_paths import version_of
from .._json import check_json
from ..chat._credentials import JWT_LIFETIME

#: The ways in which the service refuses a credential on the socket: a frame with the code, a close, or silence.
REFUSAL_MODES = ("frame", "close", "silence")

#: By ``MODE``: the types of frames that the service does not deliver.
STOPPED: Mapping[str, FrozenSet[str]] = {
    "LIMITED_TRANSIENT": frozenset({"typing_indicator", "receipts"}),
    "NO_TRANSIENT": frozenset({"typing_indicator", "receipts", "transient_message", "presence"}),
}

#: Codes that stand for a close without a code, an end without a close frame, and a failure of TLS; and a reserved one.
_NEVER_SENT = (1004, 1005, 1006, 1015)

#: Maximum requests of the app in a minute. The live service's plans have less: 20,000, and 10,000 for logins.
REQUESTS_PER_MINUTE = 1_000_000


def check_number(name: str, value: object, least: int, most: int) -> None:
    """Raise ValueError unless a value is a whole number in a range."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name}: give a whole number from {least} to {most}, not {value!r}")


def check_count(name: str, value: object) -> None:
    """Raise ValueError unless a value is a whole number of 0 or more, or None."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise ValueError(f"{name}: give a whole number, 0 or more, or None, not {value!r}")


def check_close_code(name: str, value: int) -> None:
    """Raise ValueError unless a close frame can have a code."""
    check_number(name, value, 1000, 4999)
    if value in _NEVER_SENT:
        raise ValueError(f"{name}: no close frame has {value}; drop_connections() ends connections without a frame")


def check_header(name: str, value: object) -> None:
    """Raise ValueError unless a header can have a value."""
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"{name}: give a printable text, not {value!r}")


def check_retry_after(value: object) -> None:
    """Raise ValueError unless a value is a number of seconds, a text, or None."""
    if value is not None and not _is_finite(value):
        check_header("retry_after", value)


def check_path(path: str) -> None:
    """Raise ValueError for a path of the API that no request has, such as one with the version prefix."""
    if not path.startswith(("/", "*")) or version_of(path):
        raise ValueError(f"path: give a path without the version prefix, such as '/me', not {path!r}")


def check_seconds(name: str, value: object) -> None:
    """Raise ValueError unless a value is a number of seconds, 0 or more."""
    if not isinstance(value, (int, float)) or not _is_finite(value) or value < 0:
        raise ValueError(f"{name}: give a number of seconds, 0 or more, not {value!r}")


def check_lifetime(name: str, value: object) -> None:
    """Raise ValueError unless a value is a number of seconds, which may be negative."""
    if not _is_finite(value):
        raise ValueError(f"{name}: give a number of seconds, not {value!r}")


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -math.inf < value < math.inf


@dataclass(frozen=True)
class Refusal:
    """The refusal of a credential on the socket."""

    mode: str = "frame"
    code: str = "401"
    close_code: int = 4001

    def __post_init__(self) -> None:
        if self.mode not in REFUSAL_MODES:
            raise ValueError(f"mode: give one of {', '.join(REFUSAL_MODES)}, not {self.mode!r}")
        check_close_code("close_code", self.close_code)
        check_json("code", self.code)


@dataclass(frozen=True)
class UpgradeRefusal:
    """The HTTP answer to a WebSocket upgrade in place of 101."""

    status: int
    retry_after: Union[None, int, float, str] = None

    def __post_init__(self) -> None:
        check_number("status", self.status, 200, 599)
        check_retry_after(self.retry_after)


@dataclass
class HttpFailure:
    """An HTTP answer in place of the right one. ``left`` is the number of answers left, None for no end."""

    status: int
    left: Optional[int]
    retry_after: Union[None, int, float, str]
    body: Union[None, str, Mapping[str, Any]]
    path: Optional[str]
    code: Optional[str] = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_number("status", self.status, 200, 599)
        check_count("times", self.left)
        check_json("body", self.body)
        check_retry_after(self.retry_after)
        for name, value in self.headers.items():
            check_header("headers", name)
            check_header(name, value)
        if self.path is not None:
            check_path(self.path)

    def fits(self, path: str) -> bool:
        """Return whether the failure is for a request to this path."""
        return self.left != 0 and (self.path is None or fnmatch.fnmatchcase(path, self.path))


@dataclass(frozen=True)
class RateLimit:
    """Maximum requests within a window, and its length in seconds."""

    requests: int = REQUESTS_PER_MINUTE
    window: float = 60.0

    def __post_init__(self) -> None:
        check_number("requests", self.requests, 0, 2**31 - 1)
        check_seconds("window", self.window)
        if self.window < 0.001:
            raise ValueError(f"window: give 0.001 seconds or more, not {self.window!r}")


@dataclass
class Faults:
    """All standing faults until ``heal()``. A new object is a service in good health."""

    refusing_connections: bool = False
    upgrade_refusal: Optional[UpgradeRefusal] = None
    hanging_upgrades: bool = False
    hanging_http: bool = False
    #: Refuses every ``auth``, also with a valid jwt. ``auth_refusals_left`` counts down, None for no end.
    auth_refusal: Optional[Refusal] = None
    auth_refusals_left: Optional[int] = None
    #: The refusal of a jwt that is really wrong.
    bad_jwt: Refusal = field(default_factory=Refusal)
    auth_delay: float = 0.0
    ignoring_pings: bool = False
    http_failures: List[HttpFailure] = field(default_factory=list)
    rate_limit: RateLimit = field(default_factory=RateLimit)
    #: Lifetime of the jwts issued from now on, in seconds. A jwt with a negative lifetime has already expired.
    jwt_lifetime: float = JWT_LIFETIME
    #: The number of a user's newest auth tokens that are valid. None for all.
    tokens_that_count: Optional[int] = None
    #: Whether an auth token is valid only for the first device that logs in with it.
    device_bound_tokens: bool = False
    latency: float = 0.0
    #: Fields of the settings answer that differ from the right ones, including ``MODE``.
    settings: Dict[str, Any] = field(default_factory=dict)

    def clear(self) -> None:
        """End all faults."""
        vars(self).update(vars(Faults()))

    def stops(self, frame_type: str) -> bool:
        """Return whether the ``MODE`` in force stops a type of frames."""
        return frame_type in STOPPED.get(str(self.settings.get("MODE")), ())

    def take_auth_refusal(self) -> Optional[Refusal]:
        """Return the refusal of this ``auth``, or None if its jwt decides."""
        if self.auth_refusal is None or self.auth_refusals_left == 0:
            return None
        if self.auth_refusals_left is not None:
            self.auth_refusals_left -= 1
        return self.auth_refusal

    def take_http_failure(self, path: str) -> Optional[HttpFailure]:
        """Return the answer to this request in place of the right one. ``path`` has no version prefix."""
        failure = next((each for each in self.http_failures if each.fits(path)), None)
        if failure is not None and failure.left is not None:
            failure.left -= 1
            if failure.left == 0:
                self.http_failures.remove(failure)
        return failure
