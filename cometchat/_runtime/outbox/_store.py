"""The items that wait to be sent, in SQLite: a file that several processes may share, or memory. Any thread.

A ``put`` that has returned is on the disk: WAL, with ``synchronous=FULL``. The removal of an item need not be: if the
power fails then, the item is sent once more, and the service recognizes it by its ``muid``.

An SQLite connection does one thing at a time. The store's lock is held for the time of a statement, and while the file
is opened; only a file lock is taken under it. The lock is an RLock, so that a call in a signal handler finds out that
it interrupted a call of the same thread: it raises then, where a plain lock would hang.

This process never opens the database file by itself while SQLite may have it open: closing any descriptor of a file
drops all POSIX locks that the process holds on it, SQLite's too.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import sqlite3
import stat
import threading
import time
from contextlib import closing
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ..._log import ClientLog
from ..._paths import make_folder
from ...exceptions import (
    ERR_CLIENT_CLOSED,
    ERR_OUTBOX_FULL,
    ERR_OUTBOX_STORE,
    CometChatException,
    exception_for,
    unusable,
)
from ._file_lock import FileLock

#: The kinds of items.
MESSAGE, RECEIPT = "message", "receipt"

#: Maximum nesting of an item's body. Far below Python's recursion limit, so that whatever was put can be read again.
MAX_NESTING = 500

#: Maximum age of a dead letter, in seconds.
MAX_DEAD_AGE = 30 * 24 * 3600.0

#: Maximum wait of a statement for another process to release the file, in seconds.
_BUSY = 10.0

#: Maximum wait of a fork for a statement to end, in seconds.
_PAUSE = 1.0

#: Maximum wait of close() for a call of another thread, in seconds.
_CLOSE = 0.1

_INTERRUPTED = (
    "The outbox was called in a signal handler that interrupted an outbox call of the same thread:"
    " call it from another thread."
)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS items (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id TEXT NOT NULL, uid TEXT NOT NULL, kind TEXT NOT NULL, muid TEXT NOT NULL,
    body TEXT NOT NULL, put_at REAL NOT NULL,
    UNIQUE (app_id, uid, muid)
);
CREATE TABLE IF NOT EXISTS dead_letters (
    id INTEGER PRIMARY KEY,
    app_id TEXT NOT NULL, uid TEXT NOT NULL, kind TEXT NOT NULL, muid TEXT NOT NULL,
    body TEXT NOT NULL, put_at REAL NOT NULL,
    failed_at REAL NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL, details TEXT,
    UNIQUE (app_id, uid, muid)
);
"""

# The second condition counts, and is evaluated only if the first, which is cheap, can't tell.
_PUT = """
INSERT INTO items (app_id, uid, kind, muid, body, put_at)
SELECT :app_id, :uid, :kind, :muid, :body, :put_at
WHERE coalesce((SELECT max(id) FROM items) - (SELECT min(id) FROM items) + 1, 0) < :limit
   OR (SELECT count(*) FROM items WHERE app_id = :app_id AND uid = :uid) < :limit
ON CONFLICT (app_id, uid, muid) DO NOTHING
"""

# An item of an unknown kind is damaged, and read so that it does not stay for ever.
_HEAD = """
SELECT id, kind, muid, body, put_at FROM items
WHERE app_id = ? AND uid = ? AND (kind IN (?, ?) OR kind NOT IN ('message', 'receipt')) ORDER BY id LIMIT ?
"""

_BURY = """
INSERT OR REPLACE INTO dead_letters
    (id, app_id, uid, kind, muid, body, put_at, failed_at, code, message, details)
SELECT id, app_id, uid, kind, ?, body, put_at, ?, ?, ?, ? FROM items WHERE id = ?
"""

_DROP_OLD_DEAD = """
DELETE FROM dead_letters WHERE app_id = :app_id AND uid = :uid AND (failed_at < :oldest OR id NOT IN (
    SELECT id FROM dead_letters WHERE app_id = :app_id AND uid = :uid ORDER BY failed_at DESC, id DESC LIMIT :limit
))
"""

_REVIVE = """
INSERT OR IGNORE INTO items (app_id, uid, kind, muid, body, put_at)
SELECT app_id, uid, kind, muid, body, put_at FROM dead_letters WHERE app_id = ? AND uid = ? AND muid = ?
"""


class Owner(NamedTuple):
    """The user whose items these are."""

    app_id: str
    uid: str


class Item(NamedTuple):
    """Something that waits to be sent.

    :ivar put_at: Unix seconds.
    :ivar damage: what is wrong with the stored item; None if it can be read.
    """

    id: int
    kind: str
    muid: str
    body: Dict[str, Any]
    put_at: float
    damage: Optional[str] = None


class DeadItem(NamedTuple):
    """An item that was refused for good. Times in Unix seconds."""

    item: Item
    failed_at: float
    code: str
    message: str
    details: Optional[str]


class OutboxStore:
    """One connection to the items.

    :param path: the file; None keeps the items in memory.
    :param log: the client's.
    :param durable: a commit waits until it is on the disk.
    :param max_dead: Maximum number of dead letters that a user keeps; the oldest ones are discarded.
    :param wall_clock: Unix seconds.
    """

    def __init__(
        self,
        path: Optional[str],
        *,
        log: ClientLog,
        durable: bool = True,
        max_dead: int = 1000,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self._log = log
        self._durable = durable
        self._max_dead = max_dead
        self._wall_clock = wall_clock
        self._lock = threading.RLock()
        self._connection: Optional[sqlite3.Connection] = None
        self._closed = False
        #: The database and its WAL, with device and inode, as this connection has them open.
        self._files: Dict[str, Tuple[int, int]] = {}
        self._version: Optional[int] = None
        self._changing = threading.RLock()
        self._opening: Optional[FileLock] = None
        self._delivering: Optional[FileLock] = None
        #: The locks that each thread took for a fork.
        self._paused: Dict[int, List[Any]] = {}

    def put(self, owner: Owner, kind: str, muid: str, body: Dict[str, Any], limit: int) -> None:
        """Add an item; no-op if an item of this ``muid`` waits.

        :param limit: Maximum number of items of this owner.
        :raises CometChatException: ``ERR_OUTBOX_FULL``, ``ERR_OUTBOX_STORE``, ``INVALID_MESSAGE``.
        """
        values = {**owner._asdict(), "kind": kind, "muid": muid, "limit": limit, "put_at": self._wall_clock()}
        values["body"] = _encoded(body)
        for _ in range(2):
            with self._turn() as connection:
                taken = _change(connection, _PUT, values) > 0 or bool(
                    _rows(
                        connection, "SELECT 1 FROM items WHERE app_id = ? AND uid = ? AND muid = ?", (*owner, muid)
                    )
                )
                if taken and self._is_in_place():
                    return
            if not taken:
                raise exception_for(
                    ERR_OUTBOX_FULL,
                    f"The outbox is full: {limit} items wait. Wait with flush(), or raise outbox_max_items.",
                )
        raise exception_for(
            ERR_OUTBOX_STORE, f"The outbox ({self.path}) is being deleted or replaced: nothing was put into it."
        )

    def head(self, owner: Owner, kinds: Sequence[str], count: int) -> List[Item]:
        """Return the oldest items of these kinds, one or two, and of unknown kinds."""
        with self._turn() as connection:
            rows = _rows(connection, _HEAD, (*owner, kinds[0], kinds[-1], count))
        return [_item(row) for row in rows]

    def remove(self, item: Item) -> None:
        """Remove an item that was sent."""
        with self._turn() as connection:
            _change(connection, "DELETE FROM items WHERE id = ?", (item.id,))

    def bury(self, owner: Owner, item: Item, error: CometChatException) -> int:
        """Make an item a dead letter, in one step.

        :returns: how many older dead letters were discarded for it.
        """
        now = self._wall_clock()
        texts = [_writable(text) for text in (error.code, error.message, error.details)]
        with self._turn() as connection, _transaction(connection):
            _change(connection, _BURY, (item.muid, now, *texts, item.id))
            _change(connection, "DELETE FROM items WHERE id = ?", (item.id,))
            limits = {"oldest": now - MAX_DEAD_AGE, "limit": self._max_dead}
            return _change(connection, _DROP_OLD_DEAD, {**owner._asdict(), **limits})

    def pending(self, owner: Owner, without: Sequence[int] = ()) -> int:
        """Return how many items wait.

        :param without: ids of items that are not counted.
        """
        if self.path is None and self._connection is None and not self._closed:
            return 0  # nothing was ever put, and a client that only asks needs no database
        query = "SELECT count(*) FROM items WHERE app_id = ? AND uid = ?"
        if not without:
            return self._count(query, owner)
        return self._count(f"{query} AND id NOT IN ({', '.join('?' * len(without))})", (*owner, *without))

    def dead(self, owner: Owner) -> List[DeadItem]:
        """Return the dead letters, oldest first."""
        with self._turn() as connection:
            rows = _rows(
                connection,
                "SELECT id, kind, muid, body, put_at, failed_at, code, message, details FROM dead_letters"
                " WHERE app_id = ? AND uid = ? AND failed_at >= ? ORDER BY id",
                (*owner, self._wall_clock() - MAX_DEAD_AGE),
            )
        return [
            DeadItem(_item(row[:5]), _number(row[5]), _text_of(row[6]), _text_of(row[7]), row[8] and _text_of(row[8]))
            for row in rows
        ]

    def revive(self, owner: Owner, muid: str) -> bool:
        """Make a dead letter an item again, the newest.

        :returns: False if there is no such dead letter, or an item of its ``muid`` waits.
        """
        with self._turn() as connection, _transaction(connection):
            revived = _change(connection, _REVIVE, (*owner, muid)) > 0
            return revived and _discard(connection, owner, muid)

    def discard(self, owner: Owner, muid: str) -> bool:
        """Discard a dead letter. Returns False if there is no such dead letter."""
        with self._turn() as connection:
            return _discard(connection, owner, muid)

    def has_changed(self) -> bool:
        """Whether another connection, of any process, has written to the file since the last call. For one thread."""
        with self._turn() as connection:
            version = int(_rows(connection, "PRAGMA data_version")[0][0])
            before, self._version = self._version, version
        return before != version

    def delivery_lock(self, owner: Owner) -> contextlib.AbstractContextManager[Optional[FileLock]]:
        """Return the lock of the process that may send this owner's items. None in memory. For one thread."""
        if self.path is None:
            return contextlib.nullcontext()
        digest = hashlib.sha256("\0".join(owner).encode()).hexdigest()[:16]
        self._delivering = FileLock(f"{os.path.realpath(self.path)}.{digest}.lock", self._changing)
        return self._delivering

    def check_open(self) -> None:
        """Check that the store can be used.

        :raises CometChatException: ``ERR_CLIENT_CLOSED``.
        """
        if self._closed:
            raise exception_for(ERR_CLIENT_CLOSED, "This client is closed: its outbox takes nothing any more.")

    def close(self) -> None:
        """Release the file; no-op when called twice. Never waits for a call that a signal handler interrupted."""
        self._closed = True
        self._release_if_closed()

    # --- forks

    def pause_for_fork(self) -> None:
        """Close the file, and keep all threads from it until :meth:`resume_after_fork` on this thread.

        SQLite keeps a process's locks on a file in its memory: a child would believe in those of its parent.
        """
        inside = _is_held_here(self._lock)  # a signal handler that forks: the interrupted call still uses the file
        taken = self._paused.setdefault(threading.get_ident(), [])
        wait = _PAUSE
        for lock in (self._lock, self._changing):
            if lock.acquire(timeout=wait):
                taken.append(lock)
            else:
                wait = 0.0  # both together may not take longer
        if self.path is not None and not inside and self._lock in taken:
            with contextlib.suppress(sqlite3.Error):  # the connection is dropped all the same
                self._release_file()

    def resume_after_fork(self) -> None:
        """Release what this thread took, in the parent. The file is opened again when it is needed."""
        for lock in reversed(self._paused.pop(threading.get_ident(), [])):
            lock.release()

    def release_after_fork(self) -> None:
        """Close the copies of the parent's file locks, in the child. The store is not used there any more."""
        for lock in (self._opening, self._delivering):
            if lock is not None:
                lock.release_after_fork()

    # --- the connection

    @contextlib.contextmanager
    def _turn(self) -> Iterator[sqlite3.Connection]:
        if _is_held_here(self._lock):
            raise exception_for(ERR_OUTBOX_STORE, _INTERRUPTED)
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
                    where = self.path or "in memory"
                    raise exception_for(ERR_OUTBOX_STORE, f"The outbox ({where}) can't be used: {error}.") from error
        finally:
            self._release_if_closed()
            if replaced:
                self._log.warning(
                    "The outbox's file %s was deleted or replaced while it was in use: what it held is lost.", self.path
                )

    def _release_if_closed(self) -> None:
        """Release the file of a closed store. Another thread that uses it just now does so when it is done."""
        if self._closed and not _is_held_here(self._lock) and self._lock.acquire(timeout=_CLOSE):
            try:
                self._release_file()
            finally:
                self._lock.release()

    def _release_file(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _is_in_place(self) -> bool:
        """Whether the files of the connection are still those that the next process would open."""
        return all(_identity(path) == identity for path, identity in self._files.items())

    def _open(self) -> sqlite3.Connection:
        if self.path is None:
            return self._connect(":memory:")
        path = os.path.realpath(self.path)
        make_folder(os.path.dirname(path))
        # SQLite does not wait if two processes make the file at once.
        self._opening = FileLock(f"{path}.lock", self._changing)
        with self._opening as turn:
            turn.acquire(wait=True)
            _make_private(path)
            before = _identity(self.path)  # of what it links to
            connection = self._connect(path)
            files = {self.path: before, f"{path}-wal": _identity(f"{path}-wal")}
            if before != _identity(self.path):
                connection.close()
                raise OSError(errno.ESTALE, "the file was replaced while it was opened", path)
            self._files = {name: identity for name, identity in files.items() if identity is not None}
            return connection

    def _connect(self, path: str) -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
        try:
            connection.text_factory = _decoded
            _rows(connection, "PRAGMA journal_mode = WAL")
            _change(connection, f"PRAGMA synchronous = {'FULL' if self._durable else 'NORMAL'}")
            connection.executescript(_SCHEMA).close()
            _rows(connection, "SELECT count(*) FROM items")  # opens the WAL
        except BaseException:
            connection.close()
            raise
        return connection

    def _count(self, query: str, values: Tuple[Any, ...]) -> int:
        with self._turn() as connection:
            return int(_rows(connection, query, values)[0][0])


def _rows(connection: sqlite3.Connection, query: str, values: Any = ()) -> List[Tuple[Any, ...]]:
    """All rows of a query. The cursor is closed: one that waits for the garbage collector keeps the file locked."""
    with closing(connection.execute(query, values)) as cursor:
        return cursor.fetchall()


def _change(connection: sqlite3.Connection, statement: str, values: Any = ()) -> int:
    """Run a statement, and return how many rows it changed."""
    with closing(connection.execute(statement, values)) as cursor:
        return cursor.rowcount


def _discard(connection: sqlite3.Connection, owner: Owner, muid: str) -> bool:
    statement = "DELETE FROM dead_letters WHERE app_id = ? AND uid = ? AND muid = ?"
    return _change(connection, statement, (*owner, muid)) > 0


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    _change(connection, "BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        _change(connection, "ROLLBACK")
        raise
    _change(connection, "COMMIT")


def _is_held_here(lock: Any) -> bool:
    """Whether this thread holds an RLock."""
    return bool(lock._is_owned())


def _identity(path: str) -> Optional[Tuple[int, int]]:
    """The device and inode of a file; None if it has no link of this name any more."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found.st_nlink else None


def _make_private(path: str) -> None:
    """Make the database file where it is missing, readable by its owner only; so are those that SQLite adds to it."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    for each in (path, f"{path}-wal", f"{path}-shm"):
        with contextlib.suppress(FileNotFoundError):
            found = os.stat(each, follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EINVAL, "not a regular file", each)
            if os.name == "posix":
                _check_owner(each, found)


def _check_owner(path: str, found: os.stat_result) -> None:
    me = os.geteuid()
    if me != 0 and found.st_uid not in (me, 0):
        raise PermissionError(errno.EPERM, "the file belongs to another user", path)
    if found.st_uid == me and stat.S_IMODE(found.st_mode) & 0o077:
        os.chmod(path, 0o600)


def _encoded(body: Dict[str, Any]) -> str:
    expected = f"give data that can be written as JSON, nested at most {MAX_NESTING} deep"
    try:
        text = json.dumps(body, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise unusable("message", expected) from error
    if _is_too_deep(body):
        raise unusable("message", expected)
    return text


def _is_too_deep(value: Any) -> bool:
    """Whether a value is nested too deeply; asked level by level, since recursion would fail itself."""
    level = [value]
    for _ in range(MAX_NESTING + 1):
        inner: List[Any] = []
        for each in level:
            if isinstance(each, dict):
                inner.extend(each.values())
            elif isinstance(each, (list, tuple)):
                inner.extend(each)
        if not inner:
            return False
        level = inner
    return True


def _item(row: Sequence[Any]) -> Item:
    item_id, kind, muid, text, put_at = row
    body, damage = _read(text), None
    if body is None:
        damage = "its body can't be read"
    elif not isinstance(muid, str):
        damage = "its muid can't be read"
    elif kind not in (MESSAGE, RECEIPT):
        damage = "its kind is unknown"
    muid = muid if isinstance(muid, str) else f"damaged-{item_id}"
    return Item(item_id, _text_of(kind), muid, body or {}, _number(put_at), damage)


def _read(text: object) -> Optional[Dict[str, Any]]:
    """A stored body, if it can be read, and written again when it is sent."""
    if isinstance(text, str):
        with contextlib.suppress(ValueError, RecursionError):
            body = json.loads(text)
            json.dumps(body, allow_nan=False)
            if isinstance(body, dict) and not _is_too_deep(body):
                return body
    return None


def _decoded(raw: bytes) -> Any:
    """SQLite's text; as bytes if it is damaged, where sqlite3 would raise for the whole query."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _text_of(value: object) -> str:
    return value if isinstance(value, str) else repr(value)


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


def _writable(text: Optional[str]) -> Optional[str]:
    """A text without half surrogate pairs, which SQLite refuses."""
    return text.encode("utf-8", "backslashreplace").decode() if isinstance(text, str) else text
