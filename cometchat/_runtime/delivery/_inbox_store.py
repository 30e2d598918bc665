"""Records in SQLite which messages the callbacks have handled: the file of ``AppSettings(inbox_path=...)``.

It writes a row when the callbacks of a message have returned. The row is then in the system's cache (WAL, with
``synchronous=NORMAL``), so a ``kill -9`` does not lose it. A power failure may lose the newest rows. Their messages
are then delivered again.

The *position* is the id up to which all messages are handled. Messages above it may be handled too, if they arrived out
of order or before missed ones. So each row contains its message and the position at its time.
"""

from __future__ import annotations

import sqlite3
from typing import FrozenSet, List, NamedTuple, Optional, Sequence, Tuple

from ..._log import SafeLog
from ...exceptions import ERR_INBOX_STORE
from ..account import Owner
from ..storage import SqliteFile, change, select, transaction

#: Minimum number of an owner's rows to keep: as many as the ids that the inbox remembers.
_KEPT = 20_000

#: Number of new rows after which older ones are removed.
_PRUNE = 1_000

#: Number of an owner's earlier connections whose names are kept.
_RESOURCES = 1_000

#: Maximum wait of a statement for another process to release the file, in seconds. Callbacks wait too.
_BUSY = 0.5

_SCHEMA = """
CREATE TABLE IF NOT EXISTS handled (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id TEXT NOT NULL, uid TEXT NOT NULL, message_id TEXT NOT NULL, position TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS handled_by_owner ON handled (app_id, uid, id);
CREATE TABLE IF NOT EXISTS starts (
    app_id TEXT NOT NULL, uid TEXT NOT NULL, floor TEXT NOT NULL, PRIMARY KEY (app_id, uid)
);
CREATE TABLE IF NOT EXISTS resources (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id TEXT NOT NULL, uid TEXT NOT NULL, resource TEXT NOT NULL, UNIQUE (app_id, uid, resource)
);
"""

_ADD = "INSERT INTO handled (app_id, uid, message_id, position) VALUES (?, ?, ?, ?)"

_NEWEST = "SELECT message_id, position FROM handled WHERE app_id = ? AND uid = ? ORDER BY id DESC LIMIT ?"

_REMOVE_OLD = """
DELETE FROM handled WHERE app_id = :app_id AND uid = :uid AND id <= (
    SELECT id FROM handled WHERE app_id = :app_id AND uid = :uid ORDER BY id DESC LIMIT 1 OFFSET :limit
)
"""

_ADD_RESOURCE = "INSERT OR IGNORE INTO resources (app_id, uid, resource) VALUES (?, ?, ?)"

_NEWEST_RESOURCES = "SELECT resource FROM resources WHERE app_id = ? AND uid = ? ORDER BY id DESC LIMIT ?"

_REMOVE_OLD_RESOURCES = """
DELETE FROM resources WHERE app_id = :app_id AND uid = :uid AND id NOT IN (
    SELECT id FROM resources WHERE app_id = :app_id AND uid = :uid ORDER BY id DESC LIMIT :limit
)
"""


class Handled(NamedTuple):
    """A message whose callbacks have returned."""

    owner: Owner
    message_id: str
    position: str


class Progress(NamedTuple):
    """The state of an owner's inbox.

    :ivar position: the id up to which all messages are handled; None before the owner's first start.
    :ivar floor: the newest id at the owner's first start. Older messages are not delivered.
    :ivar handled: ids of handled messages, oldest first.
    :ivar resources: the names of the owner's connections that used this file, including this one.
    """

    position: Optional[str]
    floor: Optional[str]
    handled: Tuple[str, ...]
    resources: FrozenSet[str]


class InboxStore(SqliteFile):
    """One connection to the file.

    :param path: of the file.
    :param log: the client's.
    """

    def __init__(self, path: str, *, log: SafeLog) -> None:
        super().__init__(
            path, log=log, what="inbox", code=ERR_INBOX_STORE, schema=_SCHEMA, durable=False, busy=_BUSY
        )
        self._holder: Optional[Owner] = None
        self._added = 0

    def acquire(self, owner: Owner) -> bool:
        """Take the owner's lock, and release that of another owner. Returns False if another client holds it.

        :raises CometChatException: ``ERR_INBOX_STORE``, ``ERR_CLIENT_CLOSED``.
        """
        with self._turn():
            pass  # it creates the folder
        with self._lock:
            if self._holder != owner:
                self._release_holder()
                if not self.owner_lock(owner).acquire():
                    return False
                self._holder = owner
        if self._closed.is_set():
            self._release_holder()
        return True

    def load(self, owner: Owner, resource: str) -> Progress:
        """Return the state of an owner's inbox.

        :param resource: of the delivering connection. The messages that it sends are not delivered, now or later.
        """
        with self._turn() as connection:
            change(connection, _ADD_RESOURCE, (*owner, resource))
            change(connection, _REMOVE_OLD_RESOURCES, {**owner._asdict(), "limit": _RESOURCES})
            _remove_old(connection, owner)  # for a process that handles few messages before it ends
            resources = frozenset(_texts(connection, _NEWEST_RESOURCES, (*owner, _RESOURCES)))
            floors = _texts(connection, "SELECT floor FROM starts WHERE app_id = ? AND uid = ?", owner)
            rows = select(connection, _NEWEST, (*owner, _KEPT))
        ids = [row[0] for row in reversed(rows) if isinstance(row[0], str)]
        positions = [row[1] for row in rows if isinstance(row[1], str)]
        floor = floors[0] if floors else None
        return Progress(positions[0] if positions else floor, floor, tuple(ids), resources)

    def start(self, owner: Owner, floor: str) -> None:
        """Start with the messages after ``floor``."""
        with self._turn() as connection:
            change(connection, "INSERT OR REPLACE INTO starts (app_id, uid, floor) VALUES (?, ?, ?)", (*owner, floor))

    def add(self, handled: Sequence[Handled]) -> None:
        """Record messages, all or none of them."""
        rows = [(*each.owner, each.message_id, each.position) for each in handled]
        with self._turn() as connection:
            if len(rows) == 1:
                change(connection, _ADD, rows[0])
            else:
                with transaction(connection):
                    connection.executemany(_ADD, rows).close()
            self._added += len(rows)
            if self._added >= _PRUNE:
                self._added = 0
                _remove_old(connection, handled[-1].owner)

    def close(self) -> None:
        """Release the file and the lock; no-op when called twice."""
        super().close()
        self._release_holder()

    def _release_holder(self) -> None:
        self._holder = None
        if self._owned is not None:
            self._owned.release()


def _remove_old(connection: sqlite3.Connection, owner: Owner) -> None:
    change(connection, _REMOVE_OLD, {**owner._asdict(), "limit": _KEPT})


def _texts(connection: sqlite3.Connection, query: str, values: Sequence[object]) -> List[str]:
    return [row[0] for row in select(connection, query, values) if isinstance(row[0], str)]
