"""Faults on demand: the standing ones, and the methods that set them."""

from ._controls import FaultControls, RunningService
from ._faults import Faults, Refusal

__all__ = ["FaultControls", "Faults", "Refusal", "RunningService"]
