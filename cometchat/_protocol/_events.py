"""What a server frame says, once decoded. Plain values: no callbacks, no models, no I/O."""

from __future__ import annotations

import enum
from typing import Any, Dict, NamedTuple, Optional, Union

from ._error_codes import ErrorKind, error_kind


class EventKind(enum.Enum):
    """What may happen to an event on its way to the listeners."""

    #: The service stores this event. If the queue has no room for it, the client fetches it later.
    STORED = "stored"
    #: The service does not keep it. If too many wait, the oldest are dropped and counted.
    EPHEMERAL = "ephemeral"


#: The frames about pinned and saved messages, and about pinned conversations.
PIN_TYPES = (
    *("message_pin", "message_pinned", "message_unpinned", "pin"),
    *("message_save", "message_saved", "message_unsaved", "save"),
    *("conversation_pin", "conversation_pinned", "conversation_unpinned"),
)

#: Frame type -> what kind of event it is. A type that is not here is ephemeral, and has no callback of its own.
#: (wire-protocol, 3.3 and 3.5. STATE events do not come from frames.)
EVENT_KINDS: Dict[str, EventKind] = {
    "message": EventKind.STORED,  # with edits, deletions, group actions and calls
    "on_moderation_status_changed": EventKind.STORED,
    **dict.fromkeys(
        (
            "presence",
            "typing_indicator",
            "transient_message",
            "receipts",
            "reaction",
            "interaction_completed",
            "streamed_message",
            "notification_feed_item",
            *PIN_TYPES,
        ),
        EventKind.EPHEMERAL,
    ),
}


class AuthAnswer(NamedTuple):
    """The answer to ``auth``. ``code`` is ``"200"`` if the server accepted it."""

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
    def kind(self) -> ErrorKind:
        """What a refusal means: 5xx, 408 and 429 are the server's trouble; others go by the code. (Not confirmed.)

        A code that is absent or unknown means that the server refuses the credential.
        """
        code = self.code or ""
        if code in ("408", "429") or (len(code) == 3 and code.isdigit() and code[0] == "5"):
            return ErrorKind.TEMPORARY
        return error_kind(code, 401)


class Pong(NamedTuple):
    """The answer to a ping."""


class ServerEvent(NamedTuple):
    """Something for the listeners: the envelope of wire-protocol 3.3, its ``body`` as it arrived.

    :ivar action: the envelope's own ``action``, which only frames about pins and saves have.
    """

    type: str
    body: Dict[str, Any]
    sender: Optional[str]
    receiver: Optional[str]
    receiver_type: Optional[str]
    device_id: Optional[str]
    message_sender: Optional[str] = None
    action: Optional[str] = None


class Ignored(NamedTuple):
    """A frame that is not of the protocol. Counted, never fatal."""

    reason: str


Event = Union[AuthAnswer, Pong, ServerEvent, Ignored]
