"""Decoded server frames as plain values: no callbacks, no models, no I/O."""

from __future__ import annotations

import enum
from typing import Any, Dict, NamedTuple, Optional, Union

from ._error_codes import ErrorKind, error_kind


class EventKind(enum.Enum):
    """Whether an event on its way to the listeners may be dropped, or fetched again."""

    #: The service stores this event. If the queue has no room for it, the client fetches it later.
    STORED = "stored"
    #: The service does not store this event. If too many wait, the oldest are dropped and counted.
    EPHEMERAL = "ephemeral"


#: The frames about pinned and saved messages, and about pinned conversations.
PIN_TYPES = (
    *("message_pin", "message_pinned", "message_unpinned", "pin"),
    *("message_save", "message_saved", "message_unsaved", "save"),
    *("conversation_pin", "conversation_pinned", "conversation_unpinned"),
)

#: Frame type -> kind of event. All other types are ephemeral, and have no callback of their own.
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
        """Whether the server accepted: code 200 (text or number), or status OK. (``"200"`` is confirmed.)"""
        if self.code is None:
            return self.status is not None and self.status.upper() == "OK"
        return self.code == "200"

    @property
    def kind(self) -> ErrorKind:
        """The kind of a refusal: 5xx, 408 and 429 are server trouble; others are judged by code. (Not confirmed.)

        A missing or unknown code means that the server refuses the credential.
        """
        code = self.code or ""
        if code in ("408", "429") or (len(code) == 3 and code.isdigit() and code[0] == "5"):
            return ErrorKind.TEMPORARY
        return error_kind(code, 401)


class Pong(NamedTuple):
    """The answer to a ping."""


class ServerEvent(NamedTuple):
    """An event for the listeners: the envelope of wire-protocol 3.3, with its ``body`` as it arrived.

    :ivar action: the envelope's ``action``. Only frames about pins and saves have one.
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
    """A frame that does not follow the protocol. It is counted, and is never fatal."""

    reason: str


Event = Union[AuthAnswer, Pong, ServerEvent, Ignored]
