"""The old, documented name of :mod:`cometchat.contrib.web._settings`."""

from __future__ import annotations

from .web import Configuration, Option, Problem, complaint, examine, refusal

__all__ = ["Configuration", "Option", "Problem", "complaint", "examine", "refusal"]
