"""The old, documented name of :mod:`cometchat.contrib.web._serving`."""

from __future__ import annotations

from .web import Serving

__all__ = ["Serving"]
