"""The threads: the connection's and the dispatcher's, and what they share. Only here are threads started."""

from __future__ import annotations

from typing import List

__all__: List[str] = []  # its packages and modules export their own
