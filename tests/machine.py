"""A clock for promises in seconds, which a busy machine does not break."""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path

_PRESSURE = Path("/proc/pressure/cpu")


def clock() -> float:
    """Seconds of a clock that stops while programs wait for a processor.

    On an idle machine, and on systems that do not count these waits (all but Linux), this is time.monotonic().
    """
    return time.monotonic() - waited()


def waited() -> float:
    """Seconds since the machine's start during which a program waited for a processor."""
    with contextlib.suppress(OSError):
        found = re.search(r"some .*total=(\d+)", _PRESSURE.read_text())
        return int(found[1]) / 1e6 if found else 0.0
    return 0.0
