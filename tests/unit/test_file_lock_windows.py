"""The lock between processes on Windows: a copy of the module, imported on "win32", over a stand-in."""

from __future__ import annotations

import errno
import importlib.util
import os
import sys
import threading
import types

import pytest

from cometchat import CometChatException
from cometchat._runtime.storage import _file_lock

fcntl = pytest.importorskip("fcntl", reason="the stand-in locks by it")


class Msvcrt(types.ModuleType):
    """Locks like msvcrt. LK_NBLCK fails at once, and LK_UNLCK needs a lock.

    :ivar calls: the modes of its calls.
    :ivar errors: raised by the next calls, in this order.
    """

    LK_UNLCK, LK_NBLCK = 0, 2

    def __init__(self) -> None:
        super().__init__("msvcrt")
        self.calls, self.errors, self._locked = [], [], set()

    def locking(self, descriptor, mode, size):
        assert size == 1 and os.lseek(descriptor, 0, os.SEEK_CUR) == 0  # it locks from the file's position on
        self.calls.append(mode)
        if self.errors:
            raise self.errors.pop(0)
        if mode == self.LK_UNLCK:
            if descriptor not in self._locked:
                raise PermissionError(errno.EACCES, "not locked")
            self._locked.remove(descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(errno.EACCES, "locked") from None
        self._locked.add(descriptor)


@pytest.fixture
def msvcrt(monkeypatch):
    made = Msvcrt()
    monkeypatch.setitem(sys.modules, "msvcrt", made)
    return made


@pytest.fixture
def lock(msvcrt, monkeypatch, tmp_path):
    """Makes locks on one file."""
    spec = importlib.util.spec_from_file_location(f"{_file_lock.__name__}_windows", _file_lock.__file__)
    windows = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "platform", "win32")
    spec.loader.exec_module(windows)
    made = []

    def make():
        made.append(windows.FileLock(str(tmp_path / "lock"), threading.RLock(), "outbox", "ERR_OUTBOX_STORE"))
        return made[-1]

    yield make
    for each in made:
        each.release()


def test_one_holds_it_at_a_time(lock):
    """A second one is refused at once, and gets the lock after the release."""
    one, other = lock(), lock()
    assert one.acquire() and not other.acquire()
    one.release()
    assert other.acquire() and not one.acquire()


def test_another_error_is_not_another_holder(lock, msvcrt):
    """The file cannot be locked at all: the error is raised, and the file is closed."""
    msvcrt.errors.append(OSError(errno.EBADF, "bad file"))
    one = lock()
    with pytest.raises(CometChatException, match="bad file") as caught:
        one.acquire()
    assert caught.value.code == "ERR_OUTBOX_STORE" and one._descriptor is None


def test_it_is_unlocked_before_it_is_closed(lock, msvcrt):
    """Windows requires this: otherwise it unlocks a closed file some time later."""
    one = lock()
    assert one.acquire()
    one.release()
    one.release()
    assert msvcrt.calls == [msvcrt.LK_NBLCK, msvcrt.LK_UNLCK] and msvcrt._locked == set()
