"""A system that starts no threads, for the time of a block."""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Iterator, Optional

import pytest


@contextlib.contextmanager
def no_threads(names: str = "", *, method: str = "start", error: Optional[BaseException] = None) -> Iterator[None]:
    """Let ``threading.Thread`` raise an error.

    :param names: the beginning of the names of the threads that can't be started; default: of all.
    :param method: the one that raises. Without memory it is the constructor, for all threads.
    :param error: default: Python's error for a system that has no thread left.
    """
    right = getattr(threading.Thread, method)

    def refuse(self: threading.Thread, *args: Any, **kwargs: Any) -> None:
        if method == "__init__" or self.name.startswith(names):
            raise error or RuntimeError("can't start new thread")
        right(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, method, refuse)
        yield
