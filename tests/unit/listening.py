"""A registry in which each kind of event has a listener: the queue keeps no event without one."""

from __future__ import annotations

from cometchat._runtime._registry import ListenerRegistry
from cometchat.listeners import KINDS


def full_registry() -> ListenerRegistry:
    """Return a registry with one listener of each kind, which has no callback."""
    registry = ListenerRegistry()
    for kind in KINDS:
        registry.add(kind, "always", object())
    return registry
