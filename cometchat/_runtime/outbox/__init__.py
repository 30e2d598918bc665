"""The outbox: its items in SQLite, and the thread that sends them."""

from __future__ import annotations

from .._sqlite_file import Owner
from ._delivery import OutboxDelivery, model_of
from ._store import MESSAGE, RECEIPT, Item, OutboxStore

__all__ = [
    "Item",
    "MESSAGE",
    "OutboxDelivery",
    "OutboxStore",
    "Owner",
    "RECEIPT",
    "model_of",
]
