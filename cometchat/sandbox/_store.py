"""The state of an app in one SQLite file. It outlives the process, also a killed one.

A part of the state is an object. The store keeps its plain attributes (dicts, lists, sets, texts, numbers, records);
its collaborators are not plain. Each message and each file has a row, and every other part has one row. A save writes
the rows that have changed since the last save, in one transaction.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import operator
import os
import pickle  # nosec B403
import secrets
import sqlite3
from itertools import chain, compress, count
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Type, Union

#: Changes when a new version can no longer read older states.
FORMAT = 1

_FILE = "sandbox.db"

_PLAIN: Tuple[Type[Any], ...] = (dict, list, set, str, bytes, int, float, bool, type(None))

_OPENING = (
    # Only one process may use the file.
    "PRAGMA locking_mode=EXCLUSIVE",
    # Not WAL: the end of a fork's child, which has a copy of the connection, would delete that file.
    "PRAGMA journal_mode=TRUNCATE",
    # A killed process loses nothing. A power failure may lose the last changes.
    "PRAGMA synchronous=OFF",
    "BEGIN EXCLUSIVE",
    "CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    "COMMIT",
)

#: By name: an object, and its attributes (lists or dicts) of which each entry has a row.
Parts = Mapping[str, Tuple[object, Tuple[str, ...]]]


#: Errors that pickle may raise for bytes from elsewhere.
_UNREADABLE = (pickle.UnpicklingError, AttributeError, EOFError, ImportError, LookupError, TypeError, ValueError)


class Store:
    """The file in a folder. One thread may use it at a time.

    :raises OSError: the folder cannot be created, or another sandbox is using it.
    :raises ValueError: the file does not hold a state that this version can read.
    """

    def __init__(self, folder: Union[str, os.PathLike[str]]) -> None:
        os.makedirs(folder, exist_ok=True)
        self._path = os.path.join(os.fspath(folder), _FILE)
        self._database: Optional[sqlite3.Connection] = None
        #: By the name of a row: the value, or the pickled part, that the row holds.
        self._written: Dict[str, Any] = {}
        #: By the prefix of rows: the entries that the rows hold, in the order of the list or dict.
        self._written_entries: Dict[str, List[Any]] = {}
        #: Rows that were read, until the parts take them.
        self._rows: Dict[str, Any] = {}
        self._parts: Parts = {}
        self._values: Dict[str, Any] = {}
        #: The store that opened the file last.
        self._owner: Optional[str] = None
        self._read()
        #: Whether the file had no state yet.
        self.is_new: bool = not self._rows

    def get(self, name: str) -> Any:
        """Return a value that was saved on its own, or None."""
        return self._rows.get(name)

    def load(self, parts: Parts, **values: Any) -> None:
        """Put the state into the parts, in place: other objects may share the same containers.

        Later saves write these parts, and the values on their own.
        """
        self._parts, self._values = parts, values
        for name, (part, listed) in parts.items():
            for attribute, value in self._rows.get(name, {}).items():
                if attribute in vars(part):
                    _restore(part, attribute, value)
            for attribute in listed:
                container, prefix = vars(part)[attribute], f"{name}.{attribute}/"
                rows = {row[len(prefix) :]: value for row, value in self._rows.items() if row.startswith(prefix)}
                if isinstance(container, list):
                    container[:] = [rows[key] for key in sorted(rows, key=int)]
                else:
                    container.update(rows)
                self._written_entries[prefix] = _entries(container)
        self._rows.clear()

    def open(self) -> None:
        """Take the file, until ``close()``.

        :raises OSError: another sandbox is using it, or has changed it since this one read it, or the disk is full.
        """
        database = self._connect()
        owner = _owner(database)
        if owner != self._owner:
            database.close()
            raise OSError(f"{self._path}: another sandbox has changed it; make a new one")
        self._owner = secrets.token_hex(8)
        self._database = database
        try:
            self.save()
        except sqlite3.Error as error:
            self._database = None
            database.close()
            raise OSError(f"{self._path}: {error}") from error

    def save(self) -> None:
        """Write the changes. No-op while the file is closed.

        :raises sqlite3.Error: SQLite cannot write the file.
        """
        if self._database is None:
            return
        rows = {"format": FORMAT, "owner": self._owner, **self._values}
        changed = {name: _pickled(value) for name, value in rows.items() if self._written.get(name) != value}
        written_entries = dict(self._written_entries)
        for name, (part, listed) in self._parts.items():
            value = _pickled({key: value for key, value in _plain(part) if key not in listed})
            if self._written.get(name) != value:
                rows[name] = changed[name] = value
            for attribute in listed:
                prefix, container = f"{name}.{attribute}/", vars(part)[attribute]
                for key, entry in _changes(written_entries[prefix], container):
                    changed[f"{prefix}{key}"] = _pickled(entry)
                written_entries[prefix] = _entries(container)
        if changed:
            with self._database:
                self._database.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", changed.items())
            self._written.update({name: rows[name] for name in changed if name in rows})
            self._written_entries = written_entries

    def close(self) -> None:
        """Write the last changes, and release the file. No-op when called twice.

        :raises sqlite3.Error: SQLite cannot write the file. It is released nevertheless.
        """
        if self._database is not None:
            try:
                self.save()
            finally:
                self._database.close()
                self._database = None

    def _read(self) -> None:
        database = self._connect()
        try:
            self._owner = _owner(database)
            for name, value in _rows(database, "SELECT name, value FROM state"):
                self._rows[name] = _Unpickler(io.BytesIO(value)).load()
        except (sqlite3.Error, *_UNREADABLE) as error:
            raise ValueError(f"{self._path}: it does not hold a state of the sandbox") from error
        finally:
            database.close()
        if self._rows.get("format", FORMAT) != FORMAT:
            raise ValueError(f"{self._path}: it holds the state of another version; take another folder")

    def _connect(self) -> sqlite3.Connection:
        with contextlib.ExitStack() as failed:
            try:
                database = sqlite3.connect(self._path, timeout=0, check_same_thread=False)
                failed.callback(database.close)
                for statement in _OPENING:
                    _rows(database, statement)
            except sqlite3.OperationalError as error:
                hint = "; another sandbox may be using it" if "locked" in str(error) else ""
                raise OSError(f"{self._path}: {error}{hint}") from error
            except sqlite3.DatabaseError as error:
                raise ValueError(f"{self._path}: it is not a file of the sandbox") from error
            failed.pop_all()
            return database


class _Unpickler(pickle.Unpickler):
    """Creates only the sandbox's own records, so that a file from elsewhere cannot run code."""

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name) if module.startswith("cometchat.sandbox.") else None
        if isinstance(found, type) and (dataclasses.is_dataclass(found) or issubclass(found, tuple)):
            return found
        raise pickle.UnpicklingError(f"{module}.{name} is not a record of the sandbox")


def _owner(database: sqlite3.Connection) -> Optional[str]:
    rows = _rows(database, "SELECT value FROM state WHERE name = 'owner'")
    return str(_Unpickler(io.BytesIO(rows[0][0])).load()) if rows else None


def _rows(database: sqlite3.Connection, statement: str) -> List[Tuple[Any, ...]]:
    """Return all rows. Closes the cursor: on PyPy an open one would break the next transaction."""
    with contextlib.closing(database.execute(statement)) as cursor:
        return cursor.fetchall()


def _pickled(value: Any) -> bytes:
    return pickle.dumps(value, protocol=4)


def _plain(part: object) -> Iterator[Tuple[str, Any]]:
    """Yield the plain attributes of a part."""
    for name, value in vars(part).items():
        if isinstance(value, _PLAIN) or dataclasses.is_dataclass(value):
            yield name, value


def _entries(container: Any) -> List[Any]:
    """Return the entries of a list or a dict."""
    return list(container if isinstance(container, list) else container.values())


def _changes(before: Sequence[Any], container: Any) -> Iterator[Tuple[Any, Any]]:
    """Yield the key and the value of entries that are new, or in the place of others.

    They are compared by identity: an entry is replaced, and never changed in place. A loop in Python would take a tenth
    of a second for each request to a sandbox with a hundred thousand messages.
    """
    entries = _entries(container)
    keys = range(len(entries)) if isinstance(container, list) else list(container)
    for at in chain(compress(count(), map(operator.is_not, before, entries)), range(len(before), len(entries))):
        yield keys[at], entries[at]


def _restore(part: object, attribute: str, value: Any) -> None:
    current = vars(part)[attribute]
    if isinstance(current, (dict, set)):
        current.clear()
        current.update(value)
    elif isinstance(current, list):
        current[:] = value
    else:
        setattr(part, attribute, value)
