"""Checks of the paths that users pass in, and of the links there, and the creation of their folders."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from typing import Optional

from ._fields import plain_text
from .exceptions import invalid, invalid_value

#: Completes "expected ..." in the error of a wrong path.
A_FILE = "the path of a file, which need not exist"

#: Texts that SQLite or SQLAlchemy would read as a URI.
_URI = re.compile(r"file:|[a-z][a-z0-9+.-]+://", re.IGNORECASE)  # not the drive of C://


def checked_path(name: str, value: object, expected: str = A_FILE, *, folder: bool = False) -> Optional[str]:
    """Check a path that a user passed in, and make it absolute. ``~`` and ``~user`` are expanded.

    :param name: of the argument or field.
    :param expected: completes "expected ..." in the error.
    :param folder: whether the path may be that of a folder that exists.
    :returns: the path; None if the value is None.
    :raises CometChatException: ``INVALID_{NAME}``.
    """
    if value is None:
        return None
    if not isinstance(value, (str, os.PathLike)):
        raise invalid(name, expected, value)
    given = os.fspath(value)
    if not isinstance(given, str):
        raise invalid(name, expected, value)
    given = str(plain_text(given))
    if given == ":memory:":
        raise invalid_value(name, f"{expected} (leave {name} out to keep the data in memory)", given)
    if _URI.match(given):
        raise invalid_value(name, f"{expected} (a plain path, not a URI)", given)
    path = os.path.expanduser(given)
    if path.startswith("~"):
        raise invalid_value(name, f"{expected} (after ~, the name of an existing user)", given)
    if not path or "\0" in path or not _is_encodable(path) or (os.path.isdir(path) and not folder):
        raise invalid_value(name, expected, given)
    try:
        return os.path.abspath(path)
    except OSError as error:  # a relative path, in a working folder that was removed
        raise invalid_value(name, f"{expected} (an absolute one, since the working folder is gone)", given) from error


def _is_encodable(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


def is_trusted(found: os.stat_result) -> bool:
    """Return True if the file, or the link, belongs to this user or to root."""
    return os.name != "posix" or found.st_uid in (os.geteuid(), 0)


def is_open_to_others(found: os.stat_result) -> bool:
    """Return True if other users have rights on a file of this user."""
    return os.name == "posix" and found.st_uid == os.geteuid() and bool(stat.S_IMODE(found.st_mode) & 0o077)


class ForeignFile(PermissionError):
    """The file, or the link to it, belongs to another user. ``strerror`` has the reason."""


def check_link(path: str) -> bool:
    """Return True if the path is a symbolic link.

    :raises ForeignFile: the link belongs to another user, and may point to any place.
    """
    try:
        found = os.lstat(path)
    except OSError:
        return False
    if not stat.S_ISLNK(found.st_mode):
        return False
    if not is_trusted(found):
        raise ForeignFile(errno.EPERM, "it is a link that belongs to another user", path)
    return True


def make_folder(folder: str) -> None:
    """Create a folder and its missing parents with mode 0700. (os.makedirs gives the mode to the last one only.)"""
    if os.path.isdir(folder):
        return
    parent = os.path.dirname(folder)
    if parent != folder:
        make_folder(parent)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    if os.name == "posix":  # that it is there has to outlive a power failure as well
        descriptor = os.open(parent, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # some file systems sync no folders
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
