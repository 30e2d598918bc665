"""The client of a process that serves, under the name that the documentation has had for it."""

from __future__ import annotations

from .web import Serving

__all__ = ["Serving"]
