"""Functions that run after the SDK's own at the end of the program, since they are registered before it is imported."""

from __future__ import annotations

import atexit
from typing import Callable, List

at_the_very_end: List[Callable[[], object]] = []


@atexit.register
def _run() -> None:
    for act in at_the_very_end:
        act()
