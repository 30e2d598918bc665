"""Where the logged-in session is kept: in memory, or in a file that survives a restart."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import stat
import time
from typing import Any, Mapping, Optional, Union

from ._paths import make_folder
from .exceptions import invalid, missing, unusable

logger = logging.getLogger("cometchat.session")

#: The beginning of the name of a file that is being written.
_HALF = ".session-"

#: Age, in seconds, of a file that a killed save has left.
_STALE = 60.0

#: Maximum size of a session file, in bytes.
_LONGEST_FILE = 16 * 1024 * 1024


class MemorySessionStore:
    """Keeps the session as long as this object lives. The default."""

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
    """Keeps the session in a file, so that it survives a restart: mode 0600, replaced in one step.

    A missing folder is made with mode 0700. A file that can't be read as a session is set aside, under its name with
    ``.damaged`` behind it, and a warning is logged.

    :param path: the file.
    :raises CometChatException: ``MISSING_PARAMETERS`` or ``INVALID_PATH``.
    """

    def __init__(self, path: Union[str, os.PathLike[str]]) -> None:
        expected = "give the path of a file of its own, which need not exist"
        if path is None or (isinstance(path, str) and not path):
            raise missing("path", expected)
        if not isinstance(path, (str, os.PathLike)):
            raise invalid("path", expected, path)
        if "\0" in str(os.fspath(path)):
            raise unusable("path", f"{expected}, without a null character")
        self.path = os.path.abspath(os.fspath(path))

    def __repr__(self) -> str:
        return f"FileSessionStore({self.path!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FileSessionStore) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)

    def load(self) -> Optional[Mapping[str, Any]]:
        """Return the session in the file, or None."""
        try:
            self._check()
            with open(self.path, encoding="utf-8") as file:
                stored = json.load(file)
            if not isinstance(stored, dict):
                raise ValueError("not a JSON object")
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError) as error:
            self._set_aside(error)
            return None
        return stored

    def save(self, session: Mapping[str, Any]) -> None:
        """Write the session to a new file, and put that in the old one's place."""
        import tempfile  # here, since it loads much, and few keep a session in a file

        folder = os.path.dirname(self.path)
        make_folder(folder)
        # mkstemp makes the file with mode 0600.
        descriptor, temporary = tempfile.mkstemp(prefix=_HALF, dir=folder)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(session, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except BaseException:
            os.unlink(temporary)
            raise
        _sweep(folder)

    def clear(self) -> None:
        """Remove the file."""
        _sweep(os.path.dirname(self.path))
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            return

    def _check(self) -> None:
        """Check the file before it is opened: a pipe or a device may never end, and a session is small."""
        found = os.stat(self.path)
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            raise OSError(errno.EINVAL, "not a file", self.path)
        if stat.S_ISREG(found.st_mode) and found.st_size > _LONGEST_FILE:
            raise ValueError("too long")

    def _set_aside(self, error: Exception) -> None:
        aside = f"{self.path}.damaged"
        try:
            os.replace(self.path, aside)
        except OSError as failure:
            aside = f"its place, since it can't be moved ({failure.strerror})"
        logger.warning(
            "The session file %s is not a session (%s): it is left in %s. Log in again.",
            self.path,
            type(error).__name__,
            aside,
        )


def _sweep(folder: str) -> None:
    """Remove the half files of saves that were killed: they contain tokens."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(_HALF) and entry.stat(follow_symlinks=False).st_mtime < time.time() - _STALE:
                os.unlink(entry.path)
