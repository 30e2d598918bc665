"""Interrupts a call at one of the points at which Python runs a signal handler."""

from __future__ import annotations

import os
import sys
from types import CodeType, FrameType
from typing import Any, Callable, Optional

import cometchat
from cometchat import _fork

ROOT = os.path.dirname(cometchat.__file__)

#: The functions that weak references call.
_CALLBACKS = {code for code in _fork.ForkProtocol.register.__code__.co_consts if isinstance(code, CodeType)}


class Interruption:
    """Raises a KeyboardInterrupt at the n-th such point of the SDK's code on this thread.

    These points are the start of a function in Python, and the return of one in C.
    """

    def __init__(self, at: int) -> None:
        self._left = at
        self._error: Optional[KeyboardInterrupt] = None

    def _look(self, frame: FrameType, event: str, function: Any) -> None:
        if event not in ("call", "c_return") or not frame.f_code.co_filename.startswith(ROOT):
            return
        if frame.f_code in _CALLBACKS:
            return  # Python prints an exception in a callback of a weak reference, and continues
        self._left -= 1
        if not self._left:
            sys.setprofile(None)
            self._error = KeyboardInterrupt()
            raise self._error

    def happens_in(self, call: Callable[[], object]) -> bool:
        """Make the call. Returns False if it ended before that point. Any other exception passes."""
        before = sys.getprofile()
        sys.setprofile(self._look)
        try:
            call()
        except KeyboardInterrupt as error:
            assert error is self._error
        finally:
            sys.setprofile(before)
        return self._error is not None
