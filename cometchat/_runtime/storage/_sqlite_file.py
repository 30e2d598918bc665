"""An SQLite file of this SDK, which several processes may share; or SQLite in memory. Any thread.

An SQLite connection does one thing at a time. Each statement, and the opening of the file, holds the file's lock; under
it only a file lock is taken. The lock is an RLock, so that a call in a signal handler can detect that it interrupted a
call of the same thread. It then raises; with a plain lock it would hang.

This process never opens the database file except through SQLite: closing any descriptor of a file drops all POSIX
locks that the process holds on it, including SQLite's.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import sqlite3
import stat
import threading
import time
from contextlib import closing
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from ..._log import SafeLog
from ..._paths import check_link, is_open_to_others, is_trusted, make_folder
from ..._transport._exception_chain import pass_on_interruption
from ...exceptions import ERR_CLIENT_CLOSED, exception_for
from .._threads import Wakeup
from ..account import Owner
from ._file_lock import FileLock

#: Maximum wait of a fork for a statement to end, in seconds.
_PAUSE = 1.0

#: Maximum wait for another process that is opening the file, in seconds, and the time between two tries.
_OPENING, _AGAIN = 30.0, 0.01

#: Maximum wait of close() for a call of another thread, in seconds.
_CLOSE = 0.1


_TABLE = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)")


class SqliteFile:
    """One connection to a file.

    :param path: of the file; None keeps the rows in memory.
    :param log: the client's log.
    :param what: name of the file, for errors and log records.
    :param code: of the errors.
    :param schema: statements that create missing tables.
    :param durable: whether a commit waits until it is on the disk.
    :param busy: maximum wait of a statement for another process to release the file, in seconds.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        path: Optional[str],
        *,
        log: SafeLog,
        what: str,
        code: str,
        schema: str,
        durable: bool,
        busy: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self._log = log
        self._what = what
        self._code = code
        self._schema = schema
        self._durable = durable
        self._busy = busy
        self._clock = clock
        self._lock = threading.RLock()
        self._connection: Optional[sqlite3.Connection] = None
        self._closed = Wakeup()
        #: The device and inode of the open database and its WAL.
        self._files: Dict[str, Tuple[int, int]] = {}
        self._version: Optional[int] = None
        self._changing = threading.RLock()
        self._opening: Optional[FileLock] = None
        self._owned: Optional[FileLock] = None
        #: The locks that each thread holds for a fork.
        self._paused: Dict[int, List[Any]] = {}

    def owner_lock(self, owner: Owner) -> FileLock:
        """Return the lock of the process that works on this owner's rows. For one thread, with one lock at a time.

        :raises CometChatException: with the code of the store: its path is a link of another user.
        """
        digest = hashlib.sha256("\0".join(owner).encode()).hexdigest()[:16]
        try:
            path = _target(self.path or "")
        except OSError as error:
            raise exception_for(self._code, f"The {self._what}'s lock can't be used: {error}.") from error
        if self._owned is not None:
            self._owned.release()  # in case an exception left it locked
        self._owned = FileLock(f"{path}.{digest}.lock", self._changing, self._what, self._code)
        return self._owned

    def check_open(self) -> None:
        """Check that the file can be used.

        :raises CometChatException: ``ERR_CLIENT_CLOSED``.
        """
        if self._closed.is_set():
            raise exception_for(ERR_CLIENT_CLOSED, f"This client is closed: its {self._what} can't be used.")

    def close(self) -> None:
        """Release the file; no-op when called twice. Never waits for a call that a signal handler interrupted."""
        self._closed.set()
        self._release_if_closed()

    # --- forks

    def pause_for_fork(self) -> None:
        """Close the file, and block all threads until :meth:`resume_after_fork` on this thread.

        SQLite keeps a process's file locks in its memory, so a child would assume that it holds its parent's locks.
        """
        inside = _is_held_here(self._lock)  # a signal handler that forks: the interrupted call still uses the file
        taken = self._paused.setdefault(threading.get_ident(), [])
        wait = _PAUSE
        for lock in (self._lock, self._changing):
            if lock.acquire(timeout=wait):
                taken.append(lock)
            else:
                wait = 0.0  # the limit is for both together
        if self.path is not None and not inside and self._lock in taken:
            with contextlib.suppress(sqlite3.Error):  # the connection is dropped anyway
                self._release_file()

    def resume_after_fork(self) -> None:
        """In the parent: release the locks of this thread. The next use opens the file again."""
        for lock in reversed(self._paused.pop(threading.get_ident(), [])):
            lock.release()

    def release_after_fork(self) -> None:
        """In the child of a fork: close the copies of the parent's file locks. The child does not use this store."""
        for lock in (self._opening, self._owned):
            if lock is not None:
                lock.release_after_fork()

    # --- the connection

    @contextlib.contextmanager
    def _turn(self) -> Iterator[sqlite3.Connection]:
        if _is_held_here(self._lock):
            raise exception_for(
                self._code,
                f"The {self._what} was called in a signal handler that interrupted an {self._what} call of the same"
                " thread: call it from another thread.",
            )
        replaced = False
        try:
            with self._lock:
                self.check_open()
                try:
                    replaced = self._connection is not None and not self._is_in_place()
                    if replaced:
                        self._release_file()
                    if self._connection is None:
                        self._connection, self._version = self._open(), None
                    yield self._connection
                except (sqlite3.Error, OSError) as error:
                    pass_on_interruption(error)
                    where = self.path or "in memory"
                    raise exception_for(self._code, f"The {self._what} ({where}) can't be used: {error}.") from error
        finally:
            self._release_if_closed()
            if replaced:
                self._log.warning(
                    "The %s's file %s was deleted or replaced while it was in use. Its content is lost.",
                    self._what,
                    self.path,
                )

    def _release_if_closed(self) -> None:
        """Release the file of a closed store. If another thread is using it, that thread releases it."""
        if self._closed.is_set() and not _is_held_here(self._lock) and self._lock.acquire(timeout=_CLOSE):
            try:
                self._release_file()
            finally:
                self._lock.release()

    def _release_file(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _is_in_place(self) -> bool:
        """Return True if the connection's files are still the ones that another process would open."""
        return all(_identity(path) == identity for path, identity in self._files.items())

    def _open(self) -> sqlite3.Connection:
        if self.path is None:
            return self._connect(":memory:")
        path = _target(self.path)
        make_folder(os.path.dirname(path))
        if self._opening is not None:
            self._opening.release()  # as for the owner's lock
        # SQLite does not wait if two processes create the file at the same time.
        self._opening = FileLock(f"{path}.lock", self._changing, self._what, self._code)
        with contextlib.ExitStack() as failure:
            with self._opening as turn:
                self._await(turn)
                _create(path)
                before = _identity(self.path)  # of the link's target
                connection = self._connect(path)
                failure.callback(connection.close)
                _make_private(path)  # only now: a wrong path must not change the mode of another program's file
                files = {self.path: before, f"{path}-wal": _identity(f"{path}-wal")}
                if before != _identity(self.path):
                    raise OSError(errno.ESTALE, "the file was replaced while it was being opened", path)
                self._files = {name: identity for name, identity in files.items() if identity is not None}
            failure.pop_all()
            return connection

    def _await(self, turn: FileLock) -> None:
        """Take the lock of the process that opens the file. A process that is stopped keeps it."""
        ends = self._clock() + _OPENING
        while not turn.acquire():
            if self._clock() >= ends:
                raise OSError(errno.EBUSY, f"another process has been opening it for {_OPENING:g} s", self.path)
            self._closed.wait(_AGAIN)
            self.check_open()

    def _connect(self, path: str) -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=self._busy, isolation_level=None, check_same_thread=False)
        try:
            connection.text_factory = _decoded
            tables = {name for (name,) in select(connection, "SELECT name FROM sqlite_master WHERE type = 'table'")}
            if tables and tables.isdisjoint(_TABLE.findall(self._schema)):
                raise OSError(errno.EINVAL, "it is a database of another program", path)
            select(connection, "PRAGMA journal_mode = WAL")
            change(connection, f"PRAGMA synchronous = {'FULL' if self._durable else 'NORMAL'}")
            connection.executescript(self._schema).close()
            select(connection, "SELECT count(*) FROM sqlite_master")  # opens the WAL
        except BaseException:
            connection.close()
            raise
        return connection


def select(connection: sqlite3.Connection, query: str, values: Any = ()) -> List[Tuple[Any, ...]]:
    """Return all rows of a query. Closes the cursor, which would otherwise keep the file locked."""
    with closing(connection.execute(query, values)) as cursor:
        return cursor.fetchall()


def change(connection: sqlite3.Connection, statement: str, values: Any = ()) -> int:
    """Run a statement. Returns the number of changed rows."""
    with closing(connection.execute(statement, values)) as cursor:
        return cursor.rowcount


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Make the changes of a block together. If one fails, or their commit, none is made."""
    try:
        change(connection, "BEGIN IMMEDIATE")
        yield
        change(connection, "COMMIT")
    finally:
        if connection.in_transaction:  # after some errors SQLite has already made the rollback
            change(connection, "ROLLBACK")


def _is_held_here(lock: Any) -> bool:
    """Return True if this thread holds an RLock."""
    return bool(lock._is_owned())


def _target(path: str) -> str:
    """Return the path of the file itself, so that a link to it is kept.

    :raises OSError: the link belongs to another user.
    """
    check_link(path)
    return os.path.realpath(path)


def _identity(path: str) -> Optional[Tuple[int, int]]:
    """Return the device and inode of a file; None if the name no longer exists.

    :raises OSError: the folder can't be read, so that this is not known.
    """
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return (found.st_dev, found.st_ino) if found.st_nlink else None


def _create(path: str) -> None:
    """Create a missing database file, readable by its owner only. SQLite's additional files get the same mode.

    :raises OSError: one of the files is not a regular file, or belongs to another user.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    for each, found in _files_of(path):
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", each)
        if not is_trusted(found) and os.geteuid() != 0:
            raise PermissionError(errno.EPERM, "the file belongs to another user", each)


def _make_private(path: str) -> None:
    """Make a database and SQLite's additional files readable by this user only, who owns them."""
    for each, found in _files_of(path):
        if is_open_to_others(found):
            with contextlib.suppress(FileNotFoundError):  # SQLite has just removed it
                os.chmod(each, 0o600)


def _files_of(path: str) -> Iterator[Tuple[str, os.stat_result]]:
    """Yield those files of a database that exist."""
    for each in (path, f"{path}-wal", f"{path}-shm"):
        with contextlib.suppress(FileNotFoundError):
            yield each, os.stat(each, follow_symlinks=False)


def _decoded(raw: bytes) -> Any:
    """Return a text from SQLite, or its bytes if it is damaged. (sqlite3 would raise for the whole query.)"""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw
