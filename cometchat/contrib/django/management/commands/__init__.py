"""One module per command."""

from __future__ import annotations

from typing import List

__all__: List[str] = []
