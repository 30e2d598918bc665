"""The items of the outbox in SQLite: in a file that several processes may share, or in memory. Any thread.

When ``put`` returns, the item is on the disk (WAL, with ``synchronous=FULL``). A removal may still be in the cache. If
the power fails then, the item is sent again, and the service recognizes it by its ``muid``.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from ..._fields import is_deeper
from ..._log import SafeLog
from ...exceptions import ERR_OUTBOX_FULL, ERR_OUTBOX_STORE, CometChatException, exception_for, unusable
from ..account import Owner, writable
from ..storage import FileLock, SqliteFile, change, select, transaction

#: The kinds of items.
MESSAGE, RECEIPT = "message", "receipt"

#: Maximum nesting of an item's body. Far below Python's recursion limit, so that every stored item can be read again.
MAX_NESTING = 500

#: Maximum age of a dead letter, in seconds.
MAX_DEAD_AGE = 30 * 24 * 3600.0

#: Maximum wait of a statement for another process to release the file, in seconds.
_BUSY = 10.0

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

# The second condition is expensive, and is evaluated only if the first one is not conclusive.
_PUT = """
INSERT INTO items (app_id, uid, kind, muid, body, put_at)
SELECT :app_id, :uid, :kind, :muid, :body, :put_at
WHERE coalesce((SELECT max(id) FROM items) - (SELECT min(id) FROM items) + 1, 0) < :limit
   OR (SELECT count(*) FROM items WHERE app_id = :app_id AND uid = :uid) < :limit
ON CONFLICT (app_id, uid, muid) DO NOTHING
"""

# An item of an unknown kind is damaged. It is read too, so that it does not stay forever.
_HEAD = """
SELECT id, kind, muid, body, put_at FROM items
WHERE app_id = ? AND uid = ? AND (kind IN (?, ?) OR kind NOT IN ('message', 'receipt')) ORDER BY id LIMIT ?
"""

# The id alone does not identify an item: a new file, in place of a deleted one, has other items with the same ids. A
# damaged muid can't be compared.
_REMOVE = "DELETE FROM items WHERE id = :id AND (:damage IS NOT NULL OR muid = :muid)"

_BURY = """
INSERT OR REPLACE INTO dead_letters
    (id, app_id, uid, kind, muid, body, put_at, failed_at, code, message, details)
SELECT id, app_id, uid, kind, :muid, body, put_at, :now, :code, :message, :details FROM items
WHERE id = :id AND (:damage IS NOT NULL OR muid = :muid)
"""

# A time in the future is of a clock that was wrong. Such a dead letter must not replace every later one.
_DROP_OLD_DEAD = """
DELETE FROM dead_letters WHERE app_id = :app_id AND uid = :uid AND (failed_at < :oldest OR id NOT IN (
    SELECT id FROM dead_letters WHERE app_id = :app_id AND uid = :uid
    ORDER BY min(failed_at, :now) DESC, id DESC LIMIT :limit
))
"""

_REVIVE = """
INSERT OR IGNORE INTO items (app_id, uid, kind, muid, body, put_at)
SELECT app_id, uid, kind, muid, body, put_at FROM dead_letters WHERE app_id = ? AND uid = ? AND muid = ?
"""


class Item(NamedTuple):
    """An item that waits to be sent.

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
    """An item that the service refused permanently. Times are in Unix seconds."""

    item: Item
    failed_at: float
    code: str
    message: str
    details: Optional[str]


class OutboxStore(SqliteFile):
    """One connection to the items.

    :param path: the file; None keeps the items in memory.
    :param log: the client's log.
    :param durable: whether a commit waits until it is on the disk.
    :param max_dead: Maximum number of dead letters that a user keeps; the oldest ones are discarded.
    :param wall_clock: Unix seconds.
    """

    def __init__(
        self,
        path: Optional[str],
        *,
        log: SafeLog,
        durable: bool = True,
        max_dead: int = 1000,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(
            path, log=log, what="outbox", code=ERR_OUTBOX_STORE, schema=_SCHEMA, durable=durable, busy=_BUSY
        )
        self._max_dead = max_dead
        self._wall_clock = wall_clock

    def put(self, owner: Owner, kind: str, muid: str, body: Dict[str, Any], limit: int) -> None:
        """Add an item; no-op if an item with this ``muid`` waits.

        :param limit: Maximum number of items of this owner.
        :raises CometChatException: ``ERR_OUTBOX_FULL``, ``ERR_OUTBOX_STORE``, ``INVALID_MESSAGE``.
        """
        values = {**owner._asdict(), "kind": kind, "muid": muid, "limit": limit, "put_at": self._wall_clock()}
        values["body"] = _encoded(body)
        for _ in range(2):
            with self._turn() as connection:
                taken = change(connection, _PUT, values) > 0 or bool(
                    select(
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
            ERR_OUTBOX_STORE, f"The outbox ({self.path}) is being deleted or replaced. The item was not stored."
        )

    def head(self, owner: Owner, kinds: Sequence[str], count: int) -> List[Item]:
        """Return the oldest items of these (one or two) kinds and of unknown kinds."""
        with self._turn() as connection:
            rows = select(connection, _HEAD, (*owner, kinds[0], kinds[-1], count))
        return [_item(row) for row in rows]

    def remove(self, item: Item) -> None:
        """Remove a sent item."""
        with self._turn() as connection:
            change(connection, _REMOVE, _identity(item))

    def bury(self, owner: Owner, item: Item, error: CometChatException) -> int:
        """Make an item a dead letter, atomically.

        :returns: number of older dead letters that were discarded for it.
        """
        now = self._wall_clock()
        said = {"code": error.code, "message": error.message, "details": error.details}
        texts = {name: text and writable(text) for name, text in said.items()}
        with self._turn() as connection, transaction(connection):
            change(connection, _BURY, {**_identity(item), "now": now, **texts})
            change(connection, _REMOVE, _identity(item))
            limits = {"now": now, "oldest": now - MAX_DEAD_AGE, "limit": self._max_dead}
            return change(connection, _DROP_OLD_DEAD, {**owner._asdict(), **limits})

    def pending(self, owner: Owner, without: Sequence[int] = ()) -> int:
        """Return the number of waiting items.

        :param without: ids of items that are not counted.
        """
        if self.path is None and self._connection is None and not self._closed.is_set():
            return 0  # no item was ever put, and a client that only asks does not need a database
        query = "SELECT count(*) FROM items WHERE app_id = ? AND uid = ?"
        if without:
            query = f"{query} AND id NOT IN ({', '.join('?' * len(without))})"
        with self._turn() as connection:
            return int(select(connection, query, (*owner, *without))[0][0])

    def dead(self, owner: Owner) -> List[DeadItem]:
        """Return the dead letters, oldest first."""
        with self._turn() as connection:
            rows = select(
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
        """Turn a dead letter into an item again, as the newest item.

        :returns: False if there is no such dead letter, or an item with its ``muid`` waits.
        """
        with self._turn() as connection, transaction(connection):
            revived = change(connection, _REVIVE, (*owner, muid)) > 0
            return revived and _discard(connection, owner, muid)

    def discard(self, owner: Owner, muid: str) -> bool:
        """Discard a dead letter. Returns False if there is no such dead letter."""
        with self._turn() as connection:
            return _discard(connection, owner, muid)

    def has_changed(self) -> bool:
        """Return True if another connection wrote to the file since the last call. For one thread."""
        with self._turn() as connection:
            version = int(select(connection, "PRAGMA data_version")[0][0])
            before, self._version = self._version, version
        return before != version

    def delivery_lock(self, owner: Owner) -> contextlib.AbstractContextManager[Optional[FileLock]]:
        """Return the lock of the process that may send this owner's items. None in memory. For one thread."""
        if self.path is None:
            return contextlib.nullcontext()
        return self.owner_lock(owner)


def _identity(item: Item) -> Dict[str, Any]:
    """Return the values that identify an item."""
    return {"id": item.id, "muid": item.muid, "damage": item.damage}


def _discard(connection: sqlite3.Connection, owner: Owner, muid: str) -> bool:
    statement = "DELETE FROM dead_letters WHERE app_id = ? AND uid = ? AND muid = ?"
    return change(connection, statement, (*owner, muid)) > 0


def _encoded(body: Dict[str, Any]) -> str:
    expected = f"data that can be written as JSON, nested at most {MAX_NESTING} deep"
    try:
        text = json.dumps(body, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise unusable("message", expected) from error
    if len(text) > MAX_NESTING and is_deeper(body, MAX_NESTING):  # a level has at least one bracket
        raise unusable("message", expected)
    return text


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
    """Return a stored body; None if it can't be read and sent."""
    if isinstance(text, str):
        with contextlib.suppress(ValueError, RecursionError):
            body = json.loads(text)
            json.dumps(body, allow_nan=False)
            if isinstance(body, dict) and not is_deeper(body, MAX_NESTING):
                return body
    return None


def _text_of(value: object) -> str:
    return value if isinstance(value, str) else repr(value)


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0
