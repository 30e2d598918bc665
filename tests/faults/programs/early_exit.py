"""Functions for the end of the program that run after the SDK's own: imported before it, so registered before it."""

from __future__ import annotations

import atexit
from typing import Callable, List

at_the_very_end: List[Callable[[], object]] = []


@atexit.register
def _run() -> None:
    for act in at_the_very_end:
        act()
