"""ConnectionInfo: a look at a client from outside, for diagnosis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from .exceptions import CometChatException


@dataclass(frozen=True)
class ConnectionInfo:
    """Where a client is connected, and what went wrong last. Holds no secret.

    :ivar websocket_url: known after the login.
    :ivar jwt_expires_at: Unix seconds; None where there is no jwt, or it does not say.
    :ivar mode: the service's ``MODE``; None before the login.
    :ivar failed_in: the phase of the newest error: ``"opening"`` (TCP, TLS, upgrade), ``"authenticating"``,
        ``"renewing"`` (the jwt), ``"online"`` or ``"throttled"``; None where there was none since ``connect()``.
    """

    admin_url: str
    client_url: str
    websocket_url: Optional[str]
    uid: Optional[str]
    device_id: Optional[str]
    jwt_expires_at: Optional[float]
    mode: Optional[str]
    failed_in: Optional[str]
    last_error: Optional[CometChatException]
