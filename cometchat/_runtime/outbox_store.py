"""What waits to be sent, in SQLite: a file that several processes may share, or memory. Any thread, any process.

A ``put`` that has returned is on the disk: WAL, with ``synchronous=FULL``. Taking an item out need not be: should the
power fail then, the item is sent once more, and the service knows it by its ``muid``.

A connection of SQLite does one thing at a time. The lock here is that turn: it is held for the time of a statement, and
nothing else is taken under it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import sqlite3
import sys
import threading
import time
from types import TracebackType
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Type

from ..exceptions import (
    ERR_CLIENT_CLOSED,
    ERR_OUTBOX_FULL,
    ERR_OUTBOX_STORE,
    CometChatException,
    exception_for,
)
from .session import make_folder

if sys.platform == "win32":  # pragma: no cover
    import msvcrt
else:
    import fcntl

logger = logging.getLogger("cometchat.outbox")

#: What an item can be.
MESSAGE, RECEIPT = "message", "receipt"

#: Seconds that a statement waits for another process to be done with the file.
_BUSY = 10.0

#: Seconds that a fork waits for a statement to end.
_PAUSE = 1.0

#: Seconds that close() waits for whoever uses it just now.
_CLOSE = 0.1

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

# The second condition counts, and is looked at only where the first, which does not, can't tell.
_PUT = """
INSERT INTO items (app_id, uid, kind, muid, body, put_at)
SELECT :app_id, :uid, :kind, :muid, :body, :put_at
WHERE coalesce((SELECT max(id) FROM items) - (SELECT min(id) FROM items) + 1, 0) < :limit
   OR (SELECT count(*) FROM items WHERE app_id = :app_id AND uid = :uid) < :limit
ON CONFLICT (app_id, uid, muid) DO NOTHING
"""

_BURY = """
INSERT OR REPLACE INTO dead_letters
    (id, app_id, uid, kind, muid, body, put_at, failed_at, code, message, details)
SELECT id, app_id, uid, kind, muid, body, put_at, ?, ?, ?, ? FROM items WHERE id = ?
"""

_REVIVE = """
INSERT OR IGNORE INTO items (app_id, uid, kind, muid, body, put_at)
SELECT app_id, uid, kind, muid, body, put_at FROM dead_letters WHERE app_id = ? AND uid = ? AND muid = ?
"""


class Owner(NamedTuple):
    """Whose items."""

    app_id: str
    uid: str


class Item(NamedTuple):
    """Something that waits to be sent. ``put_at`` in Unix seconds."""

    id: int
    kind: str
    muid: str
    body: Dict[str, Any]
    put_at: float


class DeadItem(NamedTuple):
    """Something that the service has refused for good. Times in Unix seconds."""

    item: Item
    failed_at: float
    code: str
    message: str
    details: Optional[str]


class OutboxStore:
    """One connection to the items.

    :param path: the file; None: in memory.
    :param durable: a commit waits until it is on the disk.
    :param wall_clock: Unix seconds.
    """

    def __init__(
        self, path: Optional[str], *, durable: bool = True, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self.path = path
        self._durable = durable
        self._wall_clock = wall_clock
        self._lock = threading.Lock()
        self._connection: Optional[sqlite3.Connection] = None
        self._closed = False
        self._changing = threading.Lock()
        self._opening, self._delivering = FileLock(None, self._changing), FileLock(None, self._changing)
        self._paused: List[threading.Lock] = []

    def put(self, owner: Owner, kind: str, muid: str, body: Dict[str, Any], limit: int) -> None:
        """Add an item; one that is there already: nothing.

        :param limit: items that this owner may have.
        :raises CometChatException: ``ERR_OUTBOX_FULL``, ``ERR_OUTBOX_STORE``.
        """
        values = {**owner._asdict(), "kind": kind, "muid": muid, "limit": limit, "put_at": self._wall_clock()}
        values["body"] = json.dumps(body)
        with self._turn() as connection:
            if connection.execute(_PUT, values).rowcount > 0:
                return
            known = connection.execute(
                "SELECT 1 FROM items WHERE app_id = ? AND uid = ? AND muid = ?", (*owner, muid)
            ).fetchone()
        if known is None:
            raise exception_for(
                ERR_OUTBOX_FULL,
                f"The outbox is full: {limit} items wait. Wait with flush(), or raise outbox_max_items.",
            )

    def head(self, owner: Owner, kinds: Sequence[str], count: int) -> List[Item]:
        """The oldest items of these kinds, one or two."""
        query = (
            "SELECT id, kind, muid, body, put_at FROM items"
            " WHERE app_id = ? AND uid = ? AND kind IN (?, ?) ORDER BY id LIMIT ?"
        )
        with self._turn() as connection:
            rows = connection.execute(query, (*owner, kinds[0], kinds[-1], count)).fetchall()
        items = [_item(row) for row in rows]
        for item in items:
            if not item.body:  # somebody has damaged it: the rest must not stand behind it
                logger.warning("The item %s of the outbox can't be read, it is a dead letter now.", item.muid)
                self.bury(item, exception_for(ERR_OUTBOX_STORE, "The item can't be read."))
        return [item for item in items if item.body]

    def remove(self, item: Item) -> None:
        """Take an item out: it was sent."""
        with self._turn() as connection:
            connection.execute("DELETE FROM items WHERE id = ?", (item.id,))

    def bury(self, item: Item, error: CometChatException) -> None:
        """Put an item among the dead letters, in one step."""
        with self._turn() as connection, _transaction(connection):
            values = (self._wall_clock(), error.code, error.message, error.details, item.id)
            connection.execute(_BURY, values)
            connection.execute("DELETE FROM items WHERE id = ?", (item.id,))

    def pending(self, owner: Owner) -> int:
        """How many items wait."""
        if self.path is None and self._connection is None and not self._closed:
            return 0  # nothing was ever put: a client that only asks, when it closes, need not make a database for that
        with self._turn() as connection:
            row = connection.execute("SELECT count(*) FROM items WHERE app_id = ? AND uid = ?", owner).fetchone()
        return int(row[0])

    def dead(self, owner: Owner) -> List[DeadItem]:
        """The dead letters, oldest first."""
        with self._turn() as connection:
            rows = connection.execute(
                "SELECT id, kind, muid, body, put_at, failed_at, code, message, details FROM dead_letters"
                " WHERE app_id = ? AND uid = ? ORDER BY id",
                owner,
            ).fetchall()
        return [DeadItem(_item(row[:5]), *row[5:]) for row in rows]

    def revive(self, owner: Owner, muid: str) -> bool:
        """Put a dead letter among the items again, as the newest. False: there is none, or its ``muid`` waits."""
        with self._turn() as connection, _transaction(connection):
            revived = connection.execute(_REVIVE, (*owner, muid)).rowcount > 0
            return revived and self._discard(connection, owner, muid)

    def discard(self, owner: Owner, muid: str) -> bool:
        """Forget a dead letter. False: there is none."""
        with self._turn() as connection:
            return self._discard(connection, owner, muid)

    def pause(self) -> None:
        """Before a fork: let the file go, and keep everybody from it until :meth:`resume`.

        SQLite keeps a process's locks on a file in its memory: a child would believe in those of its parent.
        """
        taken = [lock for lock in (self._lock, self._changing) if lock.acquire(timeout=_PAUSE)]
        self._paused.extend(taken)  # another thread may fork as well, and have them
        if self._lock in taken and self.path is not None:
            self._let_go()

    def resume(self) -> None:
        """After a fork, in the parent: the file is opened again when it is needed."""
        paused, self._paused = self._paused, []
        for lock in paused:
            lock.release()

    def forsake(self) -> None:
        """In the child of a fork: the parent's locks on files are the parent's alone."""
        self._opening.forsake()
        self._delivering.forsake()

    def check_open(self) -> None:
        """It can be used.

        :raises CometChatException: ``ERR_CLIENT_CLOSED``.
        """
        if self._closed:
            raise exception_for(ERR_CLIENT_CLOSED, "This client is closed: its outbox takes nothing any more.")

    def close(self) -> None:
        """Let the file go. Again: nothing."""
        self._closed = True
        # Whoever uses it just now may wait for another process; that one lets the file go then.
        if self._lock.acquire(timeout=_CLOSE):
            try:
                self._let_go()
            finally:
                self._lock.release()

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def delivery_lock(self, owner: Owner) -> FileLock:
        """Who holds it may send this owner's items; the others wait. For one thread."""
        digest = hashlib.sha256("\0".join(owner).encode()).hexdigest()[:16]
        path = None if self.path is None else f"{self.path}.{digest}.lock"
        self._delivering = FileLock(path, self._changing)
        return self._delivering

    @staticmethod
    def _discard(connection: sqlite3.Connection, owner: Owner, muid: str) -> bool:
        statement = "DELETE FROM dead_letters WHERE app_id = ? AND uid = ? AND muid = ?"
        return connection.execute(statement, (*owner, muid)).rowcount > 0

    @contextlib.contextmanager
    def _turn(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self.check_open()
            try:
                if self._connection is None:
                    self._connection = self._open()
                yield self._connection
            except (sqlite3.Error, OSError) as error:
                where = self.path or "in memory"
                raise exception_for(ERR_OUTBOX_STORE, f"The outbox ({where}) can't be used: {error}.") from error
            finally:
                if self._closed:  # meanwhile
                    self._let_go()

    def _open(self) -> sqlite3.Connection:
        if self.path is None:
            return self._connect(":memory:")
        make_folder(os.path.dirname(self.path))
        # Two processes that make the file at once would get in each other's way: SQLite does not wait for that.
        self._opening = FileLock(f"{self.path}.lock", self._changing)
        with self._opening as turn:
            turn.acquire(wait=True)
            # Made here where it is missing: SQLite's own way would let others read what waits to be sent.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            return self._connect(self.path)

    def _connect(self, path: str) -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {'FULL' if self._durable else 'NORMAL'}")
            connection.executescript(_SCHEMA)
        except BaseException:
            connection.close()
            raise
        return connection


class FileLock:
    """One process at a time. The system lets go of it when the process ends, however it ends.

    The child of a fork shares the parent's hold, and would keep it up after the parent has let go. So it closes its
    copy of the descriptor, which it must know of: the file is opened and closed under a lock that a fork waits for.

    :param path: of its file; None: there is nobody else.
    :param changing: held while the file is opened or closed.
    """

    def __init__(self, path: Optional[str], changing: threading.Lock) -> None:
        self._path = path
        self._changing = changing
        self._descriptor: Optional[int] = None

    def acquire(self, wait: bool = False) -> bool:
        """Take it. False: somebody else has it, and this was not to wait.

        :raises CometChatException: ``ERR_OUTBOX_STORE``: its file can't be made.
        :raises OSError: this waits, and the system can't lock the file.
        """
        if self._path is None:
            return True
        try:
            with self._changing:
                descriptor = self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise exception_for(ERR_OUTBOX_STORE, f"The outbox's lock can't be used: {error}.") from error
        try:
            _lock(descriptor, wait)
        except OSError:
            self.release()
            if wait:  # nobody else's hold is the reason
                raise
            return False
        return True

    def release(self) -> None:
        """Let go of it."""
        with self._changing:
            self.forsake()

    def forsake(self) -> None:
        """The same, in the child of a fork, where nobody else is."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __enter__(self) -> FileLock:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.release()


def _lock(descriptor: int, wait: bool) -> None:
    if sys.platform == "win32":  # pragma: no cover - where it waits for 10 s
        msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


def _item(row: Tuple[Any, ...]) -> Item:
    """An item; with an empty body where it can't be read."""
    item_id, kind, muid, text, put_at = row
    try:
        body = json.loads(text)
    except (ValueError, TypeError):
        body = {}
    return Item(item_id, kind, muid, body if isinstance(body, dict) else {}, put_at)


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
