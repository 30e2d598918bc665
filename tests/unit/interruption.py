"""Interrupts a call at one of the points at which Python runs a signal handler."""

from __future__ import annotations

import gc
import os
import sys
from types import FrameType, ModuleType
from typing import Any, Callable, Optional

import cometchat
from cometchat import _fork

ROOT = os.path.dirname(cometchat.__file__)

#: The function that weak references call.
_CALLBACK = _fork.ForkProtocol._forget.__code__

#: Python 3.14 loses the lock of a ``with`` block if an exception comes at this point (python/cpython#148874).
_SKIPS_ENTER = sys.version_info >= (3, 14)


class Interruption:
    """Raises a KeyboardInterrupt at the n-th such point of the SDK's code on this thread.

    These points are the start of a function in Python, and the return of one in C.
    """

    _get: Callable[[], Any] = staticmethod(sys.getprofile)
    _set: Callable[[Any], None] = staticmethod(sys.setprofile)

    def __init__(self, at: int) -> None:
        self._left = at
        self._error: Optional[KeyboardInterrupt] = None

    def _look(self, frame: FrameType, event: str, argument: object) -> Any:
        if event not in ("call", "c_return") or not frame.f_code.co_filename.startswith(ROOT):
            return
        if frame.f_code is _CALLBACK:
            return  # Python prints an exception in a callback of a weak reference, and continues
        if _SKIPS_ENTER and getattr(argument, "__name__", "") == "__enter__":
            return
        self._pass()

    def _pass(self) -> None:
        self._left -= 1
        if not self._left:
            self._set(None)
            self._error = KeyboardInterrupt()
            raise self._error

    def happens_in(self, call: Callable[[], object]) -> bool:
        """Make the call. Returns False if it ended before that point. Any other exception passes."""
        before, look = self._get(), self._look  # kept here: the interpreter runs it while it takes itself away
        collects = gc.isenabled()
        gc.disable()  # the end of another test's client must not get the exception: Python would only print it
        self._set(look)
        try:
            call()
        except KeyboardInterrupt as error:
            assert error is self._error
        finally:
            self._set(before)
            if collects:
                gc.enable()
        return self._error is not None


class LineInterruption(Interruption):
    """Raises it at the n-th line of one module's code. Python 3.9 runs signal handlers between most lines."""

    _get = staticmethod(sys.gettrace)
    _set = staticmethod(sys.settrace)

    def __init__(self, at: int, module: ModuleType) -> None:
        super().__init__(at)
        self._file = module.__file__

    def _look(self, frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_filename != self._file:
            return None
        if event == "line":
            self._pass()
        return self._look
