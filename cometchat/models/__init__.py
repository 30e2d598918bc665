"""What comes from the service, as frozen dataclasses: liberal in what they read, silent about secrets."""

from __future__ import annotations

from .user import User

__all__ = ["User"]
