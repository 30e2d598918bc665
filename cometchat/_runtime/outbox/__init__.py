"""The outbox: its items in SQLite, and the thread that sends them."""

from __future__ import annotations

from ._delivery import OutboxDelivery, model_of
from ._store import MESSAGE, RECEIPT, Item, OutboxStore

__all__ = [
    "Item",
    "MESSAGE",
    "OutboxDelivery",
    "OutboxStore",
    "RECEIPT",
    "model_of",
]
