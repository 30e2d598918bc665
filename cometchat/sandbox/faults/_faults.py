"""The standing faults: plain data that the loop thread looks at before it does the right thing."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Union

#: What the service does with a credential that it does not take: a frame with the code, a close, nothing at all.
REFUSAL_MODES = ("frame", "close", "silence")


@dataclass(frozen=True)
class Refusal:
    """How a credential is refused on the socket."""

    mode: str = "frame"
    code: str = "401"
    close_code: int = 4001

    def __post_init__(self) -> None:
        if self.mode not in REFUSAL_MODES:
            raise ValueError(f"mode: give one of {', '.join(REFUSAL_MODES)}, not {self.mode!r}")


@dataclass(frozen=True)
class UpgradeRefusal:
    """The HTTP answer to a WebSocket upgrade in place of 101."""

    status: int
    retry_after: Union[None, int, float, str] = None


@dataclass
class HttpFailure:
    """An HTTP answer in place of the right one; ``left`` is how many more of them, None for no end."""

    status: int
    left: Optional[int]
    retry_after: Union[None, int, float, str]
    body: Union[None, str, Mapping[str, Any]]
    path: Optional[str]

    def fits(self, path: str) -> bool:
        return self.left != 0 and (self.path is None or fnmatch.fnmatchcase(path, self.path))


@dataclass
class Faults:
    """Everything that stands until it is healed. A new one is a service in good health."""

    refusing_connections: bool = False
    upgrade_refusal: Optional[UpgradeRefusal] = None
    hanging_upgrades: bool = False
    hanging_http: bool = False
    #: Every ``auth`` is refused so, however good its jwt; ``auth_refusals_left`` counts down, None for no end.
    auth_refusal: Optional[Refusal] = None
    auth_refusals_left: Optional[int] = None
    #: How a jwt that is really wrong is refused.
    bad_jwt: Refusal = field(default_factory=Refusal)
    auth_delay: float = 0.0
    ignoring_pings: bool = False
    http_failures: List[HttpFailure] = field(default_factory=list)
    latency: float = 0.0
    #: Fields of the settings answer that differ from the right ones; ``MODE`` among them.
    settings: Dict[str, Any] = field(default_factory=dict)

    @property
    def mode(self) -> str:
        return str(self.settings.get("MODE", "DEFAULT"))

    def take_auth_refusal(self) -> Optional[Refusal]:
        """How to refuse this ``auth``, whatever it holds; None to judge it by what it holds."""
        if self.auth_refusal is None or self.auth_refusals_left == 0:
            return None
        if self.auth_refusals_left is not None:
            self.auth_refusals_left -= 1
        return self.auth_refusal

    def take_http_failure(self, path: str) -> Optional[HttpFailure]:
        """The answer to give to this request in place of the right one; ``path`` is without the version prefix."""
        for failure in self.http_failures:
            if failure.fits(path):
                if failure.left is not None:
                    failure.left -= 1
                return failure
        return None
