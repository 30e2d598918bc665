"""What a server frame says, once decoded. Plain values: no callbacks, no models, no I/O."""

from __future__ import annotations

from typing import Any, Dict, NamedTuple, Optional, Union

#: The frame types that carry something for the listeners (wire-protocol, 3.3; the last one as the vendor's client reads
#: it).
EVENT_TYPES = frozenset(
    {"presence", "typing_indicator", "transient_message", "receipts", "message", "reaction", "interaction_completed"}
)


class AuthAnswer(NamedTuple):
    """The answer to ``auth``. ``code`` is ``"200"`` where it was accepted."""

    code: Optional[str]
    status: Optional[str]
    message: Optional[str]

    @property
    def accepted(self) -> bool:
        """Accepted: code 200, as text or number; or, without any code, the status OK. (Only ``"200"`` is confirmed.)"""
        if self.code is None:
            return self.status is not None and self.status.upper() == "OK"
        return self.code == "200"

    @property
    def transient(self) -> bool:
        """The server's own trouble (5xx, 408, 429), no verdict on the credential. (Not confirmed.)"""
        return self.code is not None and (
            self.code in ("408", "429") or (len(self.code) == 3 and self.code.isdigit() and self.code[0] == "5")
        )


class Pong(NamedTuple):
    """The answer to a ping."""


class ServerEvent(NamedTuple):
    """Something for the listeners: the envelope of wire-protocol 3.3, its ``body`` as it came."""

    type: str
    body: Dict[str, Any]
    sender: Optional[str]
    receiver: Optional[str]
    receiver_type: Optional[str]
    device_id: Optional[str]


class Ignored(NamedTuple):
    """A frame that says nothing to this SDK: of an unknown type, or not of the protocol. Counted, never fatal."""

    reason: str


Event = Union[AuthAnswer, Pong, ServerEvent, Ignored]
