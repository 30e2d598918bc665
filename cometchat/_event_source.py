"""Access to a client's events before the listeners get them, for the parts of this package that pass events on."""

from __future__ import annotations

from typing import List, Optional

from ._listening import checked_listener
from ._protocol._frames import ServerEvent, rank
from ._protocol._position import overlapped
from ._runtime.connection import Received, Tap
from ._runtime.delivery import PAGE, before_live, next_page_size
from .client import Client

__all__ = [
    "EventSource",
    "PAGE",
    "Received",
    "Tap",
    "before_live",
    "checked_listener",
    "next_page_size",
    "overlapped",
    "rank",
]


class EventSource:
    """One client's events, live and stored. Any thread."""

    def __init__(self, client: Client) -> None:
        self._core = client._core

    @property
    def uid(self) -> Optional[str]:
        """The logged-in user, or None."""
        return self._core.account.me.uid

    @property
    def service_time(self) -> Optional[float]:
        """The service's Unix seconds, by its newest answer; None if unknown."""
        return self._core.account.service_time

    @property
    def leads(self) -> bool:
        """Whether this client holds the connection. A client without a status store always does."""
        sharing = self._core.sharing
        return sharing is None or sharing.leads

    def add(self, tap: Tap) -> None:
        """Start to hand the live events to a tap."""
        self._core.router.add_tap(tap)

    def remove(self, tap: Tap) -> None:
        """Stop handing events to a tap."""
        self._core.router.remove_tap(tap)

    def newest_message_id(self, ago: float) -> str:
        """Ask the service for the id of the newest message at an earlier time. Returns ``"0"`` without a message.

        :param ago: seconds. Messages that the service stored since then do not count, nor those of the two seconds
            before.
        :raises CometChatException: as the calls of :class:`Client`.
        """
        return self._core.history.newest_message_id(ago)

    def messages_after(self, message_id: str, limit: int) -> List[Received]:
        """Ask the service for messages after one, oldest first.

        :raises CometChatException: as the calls of :class:`Client`.
        """
        me = self._core.account.me
        return [
            Received(ServerEvent("message", body, None, None, None, None), me, b"", len(str(body)), fetched=True)
            for body in self._core.history.messages_after(message_id, limit)
        ]
