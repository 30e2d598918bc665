"""The rate limit of the app, and its headers."""

from __future__ import annotations

import math
from typing import Dict, Tuple

from ..faults import Faults


class RateLimiter:
    """Counts the requests of each window."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._limit = faults.rate_limit
        #: The beginning and the end of the window, in Unix seconds.
        self._window = (0.0, 0.0)
        self._count = 0

    def take(self, now: float) -> Tuple[bool, Dict[str, str]]:
        """Count a request at a Unix time. Returns whether the API may answer it, and the headers of the answer."""
        limit = self._faults.rate_limit
        # A new limit starts a window with its first request. A minute of the clock would end within some tests.
        if limit is not self._limit or not self._window[0] <= now < self._window[1]:
            self._limit, self._window, self._count = limit, (now, now + limit.window), 0
        allowed = self._count < limit.requests
        self._count += allowed
        remaining = max(limit.requests - self._count, 0)
        headers = {"X-Rate-Limit": str(limit.requests), "X-Rate-Limit-Remaining": str(remaining)}
        if not allowed:
            headers.update(retry_headers(self._window[1] - now, now))
        return allowed, headers


def retry_headers(seconds: float, now: float) -> Dict[str, str]:
    """Return the headers that say when a client may ask again. ``now`` is a Unix time."""
    return {"Retry-After": str(max(math.ceil(seconds), 1)), "X-Rate-Limit-Reset": str(math.ceil(now + seconds))}
