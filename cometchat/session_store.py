"""Stores for the login session: in memory, or in a file that survives a restart."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import re
import stat
import time
from typing import Any, Iterator, Mapping, Optional, TextIO, Union

from ._log import SafeLog
from ._paths import A_FILE, ForeignFile, check_link, checked_path, is_trusted, make_folder
from .exceptions import missing

logger: SafeLog = SafeLog(logging.getLogger("cometchat.session"))

#: The suffix that ``tempfile`` adds to the session file's name, for a file that is being written.
_HALF = re.compile(r"[a-z0-9_]{8}\.half")

#: The first two bytes of a session file, of a damaged one (zeros after a power failure), and of one without a session.
_BEGINNINGS = (b'{"', b"{", b"", b"\0", b"\0\0", b"{}")

#: Minimum age of the file of an interrupted save, in seconds, before it is removed.
_STALE = 60.0

#: Maximum size of a session file, in bytes.
_LONGEST_FILE = 16 * 1024 * 1024


class MemorySessionStore:
    """The default store: keeps the session in memory, as long as this object lives."""

    def __init__(self) -> None:
        self._session: Optional[Mapping[str, Any]] = None

    def load(self) -> Optional[Mapping[str, Any]]:
        """Return the session, or None."""
        return self._session

    def save(self, session: Mapping[str, Any]) -> None:
        """Keep the session."""
        self._session = session

    def clear(self) -> None:
        """Forget the session."""
        self._session = None


class FileSessionStore:
    """Keeps the session in a file, so that it survives a restart. The file has mode 0600 and is replaced atomically.

    A missing folder is created with mode 0700. A damaged session file is not loaded, and the next login replaces it. A
    file of another program is neither loaded nor replaced: a session file begins with ``{"``. A file that belongs to
    another user or that other users may write to is not loaded (POSIX; a file that root owns is accepted). A symbolic
    link is followed if the user or root owns it. A device, such as ``/dev/null``, or a pipe is neither read nor
    replaced. The log has a warning in each of these cases.

    :param path: the file; ``~`` is the home folder.
    :raises CometChatException: ``MISSING_PARAMETERS`` or ``INVALID_PATH``.
    """

    def __init__(self, path: Union[str, os.PathLike[str]]) -> None:
        if path is None or (isinstance(path, str) and not path):
            raise missing("path", A_FILE)
        self.path: str = str(checked_path("path", path, folder=True))

    def __repr__(self) -> str:
        return f"FileSessionStore({self.path!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FileSessionStore) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)

    def load(self) -> Optional[Mapping[str, Any]]:
        """Return the session in the file, or None."""
        try:
            with open(self._target(), encoding="utf-8", opener=_open_at_once) as file:
                _check(os.fstat(file.fileno()), self.path)
                stored = json.load(file)
            if not isinstance(stored, dict):
                raise ValueError("not a JSON object")
        except FileNotFoundError:
            return None
        except ForeignFile as error:
            logger.warning(
                "The session file %s is not loaded, since %s. Remove it, and log in again.", self.path, error.strerror
            )
            return None
        except (ValueError, RecursionError) as error:
            logger.warning(
                "The session file %s is not a session (%s). Log in again.", self.path, type(error).__name__
            )
            return None
        return stored

    def save(self, session: Mapping[str, Any]) -> None:
        """Write the session to a new file that then replaces the old one."""
        try:
            target = self._target()
            with _replacing(target) as file:
                json.dump(session, file)
        finally:
            del session  # a traceback may show variables
        _sweep(target)

    def clear(self) -> None:
        """Remove the file."""
        target = self._target()
        try:
            _check_replaceable(target)
            _sweep(target)
            os.unlink(target)
        except (FileNotFoundError, FileExistsError):  # another program's file stays
            return

    def _target(self) -> str:
        """Return the path of the file itself, so that a link to it is kept.

        :raises OSError: the link belongs to another user, or points to itself.
        """
        if not check_link(self.path):
            return self.path
        target = os.path.realpath(self.path)
        if os.path.islink(target):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), self.path)
        return target


@contextlib.contextmanager
def _replacing(target: str) -> Iterator[TextIO]:
    """Open a new file, for its user only, that replaces the target at the end of the block, or is removed."""
    import tempfile  # here, because it is slow to import and few programs need it

    _check_replaceable(target)
    folder, name = os.path.split(target)
    make_folder(folder)
    # mkstemp makes the file with mode 0600.
    descriptor, temporary = tempfile.mkstemp(prefix=f".{name}-", suffix=".half", dir=folder)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):  # a signal handler raised right after the replacement
            os.unlink(temporary)
        raise


def _open_at_once(path: str, flags: int) -> int:
    """Open a file. Does not follow a link that has just replaced it, and does not wait for a pipe's writer."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def _check(found: os.stat_result, path: str) -> None:
    """Check the file before it is read: a session file is regular and small."""
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a file", path)
    if not is_trusted(found):
        raise ForeignFile(errno.EPERM, "it belongs to another user", path)
    if os.name == "posix" and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ForeignFile(errno.EPERM, "other users may write to it", path)
    if found.st_size > _LONGEST_FILE:
        raise ValueError("too long")


def _check_replaceable(target: str) -> None:
    """Check that the file may be replaced or removed: it is a session, or the path is wrong.

    :raises OSError: it is not a regular file (root could remove a device, such as /dev/null, for all programs), or it
        is another program's.
    """
    try:
        if not stat.S_ISREG(os.lstat(target).st_mode):
            raise OSError(errno.EINVAL, "not a file", target)
        with open(target, "rb", opener=_open_at_once) as file:
            beginning = file.read(2)
    except (FileNotFoundError, PermissionError):  # it may be another user's, and this user's folder
        return
    if beginning not in _BEGINNINGS:
        raise FileExistsError(errno.EEXIST, "it is not a session, and it may be another program's", target)


def _sweep(target: str) -> None:
    """Remove the files of interrupted saves: they contain tokens."""
    folder, name = os.path.split(target)
    prefix = f".{name}-"
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            own = entry.name.startswith(prefix) and _HALF.fullmatch(entry.name[len(prefix) :])
            if own and entry.stat(follow_symlinks=False).st_mtime < time.time() - _STALE:
                os.unlink(entry.path)
