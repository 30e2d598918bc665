"""The clock for leases, and for other times that Redis counts too."""

from __future__ import annotations

import time
from typing import Callable, Optional

#: On Linux; ``time.monotonic()`` stands still there while the machine sleeps.
_WITH_SLEEP: Optional[int] = getattr(time, "CLOCK_BOOTTIME", None)


def clock_with_sleep(monotonic: Callable[[], float] = time.monotonic) -> float:
    """Return monotonic seconds, with the time for which the machine slept.

    Redis's clock does not stand still while this machine sleeps.

    :param monotonic: the clock of other systems.
    """
    return monotonic() if _WITH_SLEEP is None else time.clock_gettime(_WITH_SLEEP)


def as_monotonic(at: float, clock: Callable[[], float], monotonic: Callable[[], float] = time.monotonic) -> float:
    """Return a time of a clock in the seconds of ``time.monotonic()``. After a sleep the answer is another one."""
    now = monotonic()  # first: a standstill between the two makes the answer too early, not too late
    return now + at - clock()
