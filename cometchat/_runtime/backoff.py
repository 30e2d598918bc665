"""The wait between two tries of an HTTP call that nobody waits for: exponential, with jitter, capped."""

from __future__ import annotations

#: Seconds: after the first failure, and at the most.
_FIRST, _LONGEST = 0.2, 30.0


def backoff(failures: int, jitter: float) -> float:
    """Seconds to wait.

    :param failures: doubles the wait with each.
    :param jitter: 0 to 1; with it the wait is half to the whole of what it could be.
    """
    return min(_FIRST * 2.0**failures, _LONGEST) * (0.5 + jitter / 2)
