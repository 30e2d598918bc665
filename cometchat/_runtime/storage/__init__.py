"""Files: a SQLite database, and a lock between processes. The outbox and the durable inbox use them."""

from __future__ import annotations

from ._file_lock import FileLock
from ._sqlite_file import SqliteFile, change, select, transaction

__all__ = ["FileLock", "SqliteFile", "change", "select", "transaction"]
