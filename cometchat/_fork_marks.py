"""The name of this process, and a cheap mark that tells it from its forked children."""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import sys
from typing import List, Union

#: Linux's MADV_WIPEONFORK: after any fork, the child finds a page of zeros. Python's mmap has no name for it.
_WIPE_ON_FORK = 18


def process_name() -> str:
    """Return ``host:pid`` in printable ASCII without a space: Redis accepts no other name of a connection."""
    import socket  # here, so that importing the package is light

    host = re.sub("[^!-~]", "-", socket.gethostname())
    return f"{host or 'localhost'}:{os.getpid()}"


class _PidMark:
    """A mark that asks the system for the process id, where the system can't wipe pages."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def __getitem__(self, place: int) -> bool:
        return self._pid == os.getpid()


#: ``mark[0]`` is true in the process that made it, and false in a child of that.
Mark = Union[_PidMark, mmap.mmap]


def new_mark() -> Mark:
    """Return a mark of this process. Reading it takes no system call if the system can wipe a page in a child."""
    if sys.platform != "linux":
        return _PidMark()
    page: Mark = _PidMark()
    with contextlib.suppress(OSError, ValueError):  # a system without it, or without memory
        wiped = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        wiped.madvise(_WIPE_ON_FORK)
        wiped[0] = 1
        page = wiped
    return page


_marks: List[Mark] = []


def process_mark() -> Mark:
    """Return the mark of this process."""
    if not _marks or not _marks[-1][0]:
        _marks[:] = [new_mark()]
    return _marks[-1]
