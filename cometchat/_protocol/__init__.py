"""The protocol, pure: no I/O, no threads, no clock, no randomness. Time comes in as ``now``.

These modules take data and return data, so that tests need neither a socket nor waits. They must not import
``threading``, ``socket``, ``time`` or ``random``, nor a module of the floors above.
"""

from __future__ import annotations

from typing import List

__all__: List[str] = []  # import names from the modules: each table and each kind of data has its own
