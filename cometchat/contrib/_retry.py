"""The wait before the next try, in every loop of contrib."""

from __future__ import annotations

from cometchat._runtime.backoff import backoff

#: Maximum exponent: the wait no longer grows, and 2.0 ** 1025 would overflow.
_MOST_DOUBLINGS = 16


def wait_after(failures: int, jitter: float) -> float:
    """Seconds to wait after so many failures in a row: exponential, with jitter, 30 at most.

    :param jitter: 0 to 1, at random.
    """
    return backoff(min(failures, _MOST_DOUBLINGS), jitter)


def obey(retry_after: float, jitter: float) -> float:
    """Seconds to wait where a server said how many: never less, and up to a quarter (a second at least) more.

    Without the difference all clients would come back in the same moment.

    :param jitter: 0 to 1, at random.
    """
    return retry_after + jitter * max(1.0, retry_after / 4)
