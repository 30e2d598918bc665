"""The frames that a follower passed to its leader, until the leader confirms them."""

from __future__ import annotations

import contextlib
import logging
from typing import Callable, Dict

from ..._log import SafeLog
from ._wire import whole

logger = SafeLog(logging.getLogger("cometchat.redis"))


class UnconfirmedFrames:
    """The unconfirmed frames of one seat. For its thread.

    :param patience: seconds after which a frame without a confirmation counts as lost.
    :param clock: monotonic seconds.
    :ivar lost: frames that were never confirmed.
    """

    def __init__(self, patience: float, clock: Callable[[], float]) -> None:
        self._patience = patience
        self._clock = clock
        self._waiting: Dict[int, float] = {}
        self._numbered = 0
        self.lost = 0

    def add(self) -> int:
        """Return the number of the next frame."""
        self._numbered += 1
        self._waiting[self._numbered] = self._clock() + self._patience
        return self._numbered

    def confirm(self, message: bytes) -> None:
        """Handle a leader's confirmation: numbers with commas between them."""
        for number in message.split(b","):
            with contextlib.suppress(ValueError):  # of another program
                self._waiting.pop(whole(number), None)

    def lose(self, count: int) -> None:
        """Count frames that could not be passed to a leader."""
        if count:
            self.lost += count
            logger.warning(
                "%d typing indicators, receipts or transient messages were not confirmed by a leader and are lost.",
                count,
            )

    def count_lost(self) -> None:
        """Count the frames whose time is over."""
        now = self._clock()
        over = [number for number, until in self._waiting.items() if until <= now]
        for number in over:
            del self._waiting[number]
        self.lose(len(over))
