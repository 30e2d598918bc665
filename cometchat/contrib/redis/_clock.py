"""The clock for leases, and for other times that Redis counts too."""

from __future__ import annotations

import time
from typing import Optional

#: On Linux; ``time.monotonic()`` stands still there while the machine sleeps.
_WITH_SLEEP: Optional[int] = getattr(time, "CLOCK_BOOTTIME", None)


def clock_with_sleep() -> float:
    """Return monotonic seconds, with the time for which the machine slept: Redis's clock went on meanwhile."""
    return time.monotonic() if _WITH_SLEEP is None else time.clock_gettime(_WITH_SLEEP)
