"""The tags for ``{% load %}``."""

from __future__ import annotations

from typing import List

__all__: List[str] = []
