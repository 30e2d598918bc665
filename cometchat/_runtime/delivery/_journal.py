"""Records for the durable inbox which messages the callbacks have handled; see :mod:`._inbox_store`.

If the file can't be written, delivery continues. The journal logs one warning, keeps the records, and tries to write
them once a second, with a later message or without one. If the process is killed before that, these messages are
delivered again.
"""

from __future__ import annotations

import time
from typing import Callable, List, Optional, TypeVar

from ..._log import SafeLog
from ..._protocol._frames import newer
from ...exceptions import ERR_CLIENT_CLOSED, CometChatException
from ..account import Owner
from ._inbox_store import Handled, InboxStore, Progress
from ._queue import Stored

T = TypeVar("T")

#: Seconds between two attempts to write to a file that could not be written.
RETRY = 1.0

#: Maximum number of messages that wait to be recorded. Beyond it the oldest are dropped.
MAX_WAITING = 20_000


class Journal:
    """The journal of one client. The dispatcher calls :meth:`handled` and :meth:`close`, the catch-up the rest.

    :param app_id: of the client.
    :param clock: monotonic seconds.
    """

    def __init__(
        self, store: InboxStore, app_id: str, *, log: SafeLog, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._app_id = app_id
        self._log = log
        self._clock = clock
        self._waiting: List[Handled] = []
        self._retry_at: Optional[float] = None  # while the file can't be written
        self._unreadable = False
        self._waits_as: Optional[str] = None  # the user whose messages another client handles

    # --- the catch-up

    def acquire(self, uid: str) -> bool:
        """Become the client that handles the user's messages. Returns False if another client does.

        :raises CometChatException: ``ERR_INBOX_STORE``, ``ERR_CLIENT_CLOSED``.
        """
        if self._required(lambda: self._store.acquire(self._owner(uid))):
            waits_as, self._waits_as = self._waits_as, None
            if waits_as == uid:
                self._log.info("the other client ended, so this one delivers the messages of %s now", uid)
            return True
        if self._waits_as != uid:
            self._waits_as = uid
            self._log.warning(
                "Another client handles the messages of %s with the same inbox_path. This client delivers no"
                " messages until it ends. To run a bot twice, use a different user or file for each.",
                uid,
            )
        return False

    def load(self, uid: str, resource: str) -> Progress:
        """Return the state of the user's inbox, including the records that are not yet written.

        :raises CometChatException: ``ERR_INBOX_STORE``, ``ERR_CLIENT_CLOSED``.
        """
        owner = self._owner(uid)
        # Before the file is read: the dispatcher may write them at any moment.
        waiting = [each for each in list(self._waiting) if each.owner == owner]
        progress = self._required(lambda: self._store.load(owner, resource))
        self._unreadable = False
        if waiting:
            ids = (*progress.handled, *(each.message_id for each in waiting))
            progress = progress._replace(position=newer(waiting[-1].position, progress.position), handled=ids)
        return progress

    def start(self, uid: str, floor: str) -> None:
        """Start with the messages after ``floor``, at this user's first start with this file.

        :raises CometChatException: ``ERR_INBOX_STORE``, ``ERR_CLIENT_CLOSED``.
        """
        self._required(lambda: self._store.start(self._owner(uid), floor))

    # --- the dispatcher

    def handled(self, stored: Stored) -> None:
        """Record a message whose callbacks have returned. Never raises."""
        if stored.message_id is None or stored.position is None or stored.uid is None:
            return  # a change of an older message, which can't be fetched again
        self._waiting.append(Handled(self._owner(stored.uid), stored.message_id, stored.position))
        self.write_waiting()

    def write_waiting(self) -> Optional[float]:
        """Write the waiting records if it is time. Never raises.

        :returns: seconds until the next attempt; None if no record waits.
        """
        if self._waiting and (self._retry_at is None or self._clock() >= self._retry_at):
            self._write()
        return None if self._retry_at is None else max(0.0, self._retry_at - self._clock())

    def close(self) -> None:
        """Write the waiting records, and release the file."""
        if self._waiting:
            self._write()
        self._store.close()

    def _write(self) -> None:
        try:
            self._store.add(self._waiting)
        except CometChatException as error:
            if self._retry_at is None:
                self._log.warning(
                    "The inbox can't record handled messages. Delivery continues, but if the process is killed"
                    " before the file can be written again, the messages since then are delivered again: %s",
                    error,
                )
            self._retry_at = self._clock() + RETRY
            del self._waiting[:-MAX_WAITING]
            return
        self._waiting = []
        if self._retry_at is not None:
            self._retry_at = None
            self._log.info("the inbox can record again, and has written the waiting records")

    def _owner(self, uid: str) -> Owner:
        return Owner(self._app_id, uid.lower())

    def _required(self, step: Callable[[], T]) -> T:
        """Run a step that must succeed before messages can be delivered. Log once if it fails."""
        try:
            return step()
        except CometChatException as error:
            if not self._unreadable and error.code != ERR_CLIENT_CLOSED:
                self._unreadable = True
                self._log.error(
                    "The inbox's file can't be used. Messages stay at the service until it can: %s", error
                )
            raise
