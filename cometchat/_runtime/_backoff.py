"""The waits between the tries of one thing that keeps failing: exponential, with jitter, capped."""

from __future__ import annotations

import random
from typing import Callable, Optional

#: Share of the wait that a server asked for, which the jitter adds at most.
_SPREAD = 0.25


#: Maximum number of doublings. The cap is reached long before; 2.0 ** 1025 would overflow a float.
_MOST_DOUBLINGS = 40


def limit_after(failures: int, first: float = 0.2, longest: float = 30.0) -> float:
    """Return the longest wait after so many failures in a row, in seconds: doubled with each, and capped."""
    return min(first * 2.0 ** min(failures, _MOST_DOUBLINGS), longest)


class Backoff:
    """Counts the failures of one series, and says how long to wait before the next try. For one thread.

    :param first: longest wait after the first failure, in seconds. Each further failure doubles it.
    :param longest: Maximum wait, in seconds, unless a server asked for more.
    :param jitter: returns 0 to 1, at random.
    """

    def __init__(
        self, first: float = 0.2, longest: float = 30.0, jitter: Callable[[], float] = random.random
    ) -> None:
        self._first = first
        self._longest = longest
        self._jitter = jitter
        self._failures = 0

    def next(self, asked: Optional[float] = None) -> float:
        """Count a failure.

        :param asked: seconds that the server asked for, such as a ``Retry-After``.
        :returns: seconds to wait: half to the whole of the limit; not less than ``asked`` plus its jitter, so that
            clients that were all asked for the same wait do not return at the same moment.
        """
        limit, jitter = limit_after(self._failures, self._first, self._longest), self._jitter()
        self._failures += 1
        wait = limit * (0.5 + jitter / 2)
        if asked is None or asked <= 0:
            return wait
        return max(wait, asked + jitter * max(limit, asked * _SPREAD))

    def reset(self) -> None:
        """End the series: a try succeeded."""
        self._failures = 0
