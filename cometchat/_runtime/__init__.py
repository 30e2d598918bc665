"""The connection thread, the dispatcher thread and their shared parts. Only this package starts threads."""

from __future__ import annotations

from typing import List

__all__: List[str] = []  # the packages and modules below have their own exports
