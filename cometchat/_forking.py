"""A fork: the child's clients begin anew, and what is the parent's stays the parent's.

A child inherits copies of sockets, locks and objects, but no threads. Whatever it did with them, the parent would feel:
a shutdown ends the parent's connection, a lock that another thread held stays locked for ever. So the child's copies
are let go of without a word, and each client gets new parts. It is ``disconnected``, still logged in, and its listeners
are the same; ``connect()`` makes a connection of the child's own.
"""

from __future__ import annotations

import os
from typing import Iterable, List, Protocol


class Forked(Protocol):
    """What is done for a client when its process forks."""

    def _before_fork(self) -> None:
        """In the parent, on the thread that forks."""

    def _after_fork(self) -> None:
        """In the parent, when it has forked."""

    def _begin_anew(self) -> List[object]:
        """In the child. Returns what must not be touched there, not even by the garbage collector."""


_left_alone: List[object] = []


def see_to(clients: Iterable[Forked]) -> None:
    """Do this for whatever clients there are when the process forks."""

    def before() -> None:
        for client in list(clients):
            client._before_fork()

    def in_parent() -> None:
        for client in list(clients):
            client._after_fork()

    def in_child() -> None:
        for client in list(clients):
            _left_alone.extend(client._begin_anew())

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=in_child)
