"""Counts the events of a client's connection.

Transitions are counted under the client's lock, frames and pongs by the router's thread. Reading takes no lock: numbers
that belong together are replaced as a whole.
"""

from __future__ import annotations

import time
from typing import Callable, Dict, Optional, Sequence, Tuple, TypeVar

from ..._protocol._states import UP, Phase, Step
from ...exceptions import CometChatException, ConnectionException, copy_of
from ...status import PastError, Stats

#: Maximum number of errors that are remembered.
ERRORS = 10

#: Maximum number of error codes with their own count. A server may invent more codes.
_MOST_CODES = 100

#: Keys for the codes beyond the maximum.
_OTHER, _OTHER_CLOSE_CODE = "other", 0

Code = TypeVar("Code", str, int)


class Counters:
    """The counters of one client.

    :param wall_clock: Unix seconds.
    """

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        self._wall_clock = wall_clock
        self._attempts = self._connects = 0
        self._failures: Dict[str, int] = {}
        self._drops: Dict[str, int] = {}
        self._close_codes: Dict[int, int] = {}
        self._frames = self._bytes = self._ignored = 0
        # The number of answered pings, and the newest and total round trip in seconds.
        self._pongs: Tuple[int, Optional[float], float] = (0, None, 0.0)
        self._errors: Tuple[PastError, ...] = ()

    def step(self, step: Step) -> None:
        """Count a transition. The caller holds the client's lock."""
        error = step.error
        if error is None and step.old is step.new:
            return
        # A step with a new jwt belongs to the same attempt.
        self._attempts += step.new is Phase.OPENING and step.old not in (Phase.OPENING, Phase.RENEWING)
        self._connects += step.new in UP and step.old is Phase.AUTHENTICATING
        if error is not None:
            self._count_error(step, error)

    def frames(self, frames: Sequence[bytes]) -> None:
        """Count frames of a connection that is up."""
        self._frames += len(frames)
        self._bytes += sum(map(len, frames))

    def ignored(self) -> None:
        """Count a frame that the SDK does not use."""
        self._ignored += 1

    def pong(self, round_trip: float) -> None:
        """Count an answered ping."""
        answered, _, total = self._pongs
        self._pongs = (answered + 1, round_trip, total + round_trip)

    def stats(
        self,
        *,
        messages_fetched: int,
        events_queued: int,
        events_dropped: int,
        messages_truncated: int = 0,
        dead_letters: int = 0,
        rate_limit_remaining: Optional[int] = None,
        leads: Optional[bool] = None,
    ) -> Stats:
        """Return all counts, including those of the inbox, the queue, the outbox and the account."""
        pings, newest, total = self._pongs
        return Stats(
            attempts=self._attempts,
            connects=self._connects,
            failures=dict(self._failures),
            drops=dict(self._drops),
            close_codes=dict(self._close_codes),
            frames_received=self._frames,
            bytes_received=self._bytes,
            frames_ignored=self._ignored,
            messages_fetched=messages_fetched,
            events_queued=events_queued,
            events_dropped=events_dropped,
            pings=pings,
            ping_round_trip=newest,
            ping_round_trip_mean=total / pings if pings else None,
            last_errors=self._errors,
            messages_truncated=messages_truncated,
            dead_letters=dead_letters,
            rate_limit_remaining=rate_limit_remaining,
            leads=leads,
        )

    def _count_error(self, step: Step, error: CometChatException) -> None:
        if step.old in UP:
            _count(self._drops, error.code, _OTHER)
            if isinstance(error, ConnectionException) and error.closed_by_frame and error.close_code is not None:
                _count(self._close_codes, error.close_code, _OTHER_CLOSE_CODE)
        else:
            _count(self._failures, error.code, _OTHER)
        remembered = copy_of(error)
        remembered.__cause__ = None  # its traceback would keep a socket and its buffer alive
        self._errors = (*self._errors, PastError(self._wall_clock(), step.old.value, remembered))[-ERRORS:]


def _count(counts: Dict[Code, int], code: Code, other: Code) -> None:
    key = code if code in counts or len(counts) < _MOST_CODES else other
    counts[key] = counts.get(key, 0) + 1
