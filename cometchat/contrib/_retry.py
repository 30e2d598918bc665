"""The wait before the next try, in every loop of contrib."""

from __future__ import annotations

from cometchat._runtime._threads import limit_after


def wait_after(failures: int, jitter: float) -> float:
    """Return the seconds to wait after so many failures in a row: exponential, with jitter, 30 at most.

    :param jitter: 0 to 1, at random.
    """
    return limit_after(failures) * (0.5 + jitter / 2)


def wait_as_asked(retry_after: float, jitter: float) -> float:
    """Return the seconds to wait after a server named a time: that time, plus up to a quarter (at least a second).

    Without the addition all clients would return at the same time.

    :param jitter: 0 to 1, at random.
    """
    return retry_after + jitter * max(1.0, retry_after / 4)
