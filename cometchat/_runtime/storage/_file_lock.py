"""A lock between processes, on a separate file."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
from typing import Optional

from ..._paths import is_open_to_others
from ...exceptions import exception_for

if sys.platform == "win32":  # pragma: no cover
    import msvcrt
else:
    import fcntl

#: A link instead of a lock file is not followed: in a shared folder another user may have created it.
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)

#: The errors if another process holds the lock. Any other error means that the system can't lock the file.
_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)


class FileLock:
    """A lock that one process holds at a time. The system releases it when the process ends in any way.

    The child of a fork inherits the descriptor, and with it the lock, even after the parent has released it. So the
    child closes its copy. It must know the descriptor, which therefore changes only under a lock that a fork takes.

    :param path: of the lock file.
    :param changing: held while the file is opened or closed.
    :param what: name of the locked thing, for errors.
    :param code: of the errors.
    """

    def __init__(
        self, path: str, changing: threading.RLock, what: str, code: str  # type: ignore[valid-type,unused-ignore]
    ) -> None:
        self._path = path
        self._changing = changing
        self._what = what
        self._code = code
        self._descriptor: Optional[int] = None

    def acquire(self) -> bool:
        """Take the lock. Does not wait.

        :returns: False if another process holds it.
        :raises CometChatException: with the code of the lock: its file can't be created or locked.
        """
        while True:
            try:
                with self._changing:
                    descriptor = self._descriptor = os.open(self._path, _FLAGS, 0o600)
                if is_open_to_others(os.fstat(descriptor)):  # an older version created it so
                    os.fchmod(descriptor, 0o600)
                is_free = _lock(descriptor)
                if is_free and self._is_in_place(descriptor):
                    return True
            except OSError as error:
                self.release()
                raise exception_for(self._code, f"The {self._what}'s lock can't be used: {error}.") from error
            self.release()
            if not is_free:
                return False
            # The file was removed in between: another process may hold the lock on a new one.

    def release(self) -> None:
        """Release the lock; no-op if it is not held."""
        with self._changing:
            try:
                if self._descriptor is not None:
                    _unlock(self._descriptor)
            finally:
                self.release_after_fork()

    def release_after_fork(self) -> None:
        """In the child of a fork: close its copy. The parent keeps the lock."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _is_in_place(self, descriptor: int) -> bool:
        try:
            return os.name != "posix" or os.path.samestat(os.fstat(descriptor), os.stat(self._path))
        except FileNotFoundError:
            return False

    def __enter__(self) -> FileLock:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()


def _lock(descriptor: int) -> bool:
    """Lock the file. Returns False if another process holds the lock."""
    try:
        if sys.platform == "win32":  # pragma: no cover - the tests run a copy of this module, over a stand-in
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _HELD:
            raise
        return False
    return True


def _unlock(descriptor: int) -> None:
    """Unlock the file. A close would not, while the child of a fork has a copy that it does not know."""
    with contextlib.suppress(OSError):  # it was not locked
        if sys.platform == "win32":  # pragma: no cover - the tests run a copy of this module, over a stand-in
            msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
