"""The waits between the tries of one thing that keeps failing: exponential, with jitter, capped."""

from __future__ import annotations

import random
from typing import Callable, Optional

#: Share of the wait that a server asked for, which the jitter adds at most.
_SPREAD = 0.25


class Backoff:
    """Counts the failures of one series, and says how long to wait before the next try. For one thread.

    :param first: longest wait after the first failure, in seconds. Each further failure doubles it.
    :param longest: Maximum wait, in seconds, unless a server asked for more.
    :param jitter: returns 0 to 1, at random.
    """

    def __init__(
        self, first: float = 0.2, longest: float = 30.0, jitter: Callable[[], float] = random.random
    ) -> None:
        self._first = min(first, longest)
        self._longest = longest
        self._jitter = jitter
        self._limit = self._first

    def next(self, asked: Optional[float] = None) -> float:
        """Count a failure.

        :param asked: seconds that the server asked for, such as a ``Retry-After``.
        :returns: seconds to wait: half to the whole of the limit; not less than ``asked`` plus its jitter, so that
            clients that were all asked for the same wait do not return at the same moment.
        """
        limit, jitter = self._limit, self._jitter()
        self._limit = min(2 * limit, self._longest)  # a doubled limit can't overflow, where 2.0 ** failures does
        wait = limit * (0.5 + jitter / 2)
        if asked is None or asked <= 0:
            return wait
        return max(wait, asked + jitter * max(limit, asked * _SPREAD))

    def reset(self) -> None:
        """End the series: a try succeeded."""
        self._limit = self._first
