"""The commands of ``manage.py``."""

from __future__ import annotations

from typing import List

__all__: List[str] = []
