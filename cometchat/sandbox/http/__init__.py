"""The HTTP API: its routes and its envelopes."""

from ._api import HttpApi

__all__ = ["HttpApi"]
