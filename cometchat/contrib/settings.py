"""The setting ``COMETCHAT`` of a web application, under the name that the documentation has had for it."""

from __future__ import annotations

from .web import Configuration, Option, Problem, complaint, examine, refusal

__all__ = ["Configuration", "Option", "Problem", "complaint", "examine", "refusal"]
