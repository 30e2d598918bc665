"""Reactions: the users who have reacted to a message, and the reaction of each."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple


@dataclass(frozen=True)
class Reaction:
    """One user's reaction to one message."""

    id: str
    message_id: str
    uid: str
    reaction: str
    reacted_at: int

    @property
    def fields(self) -> Dict[str, Any]:
        """The reaction as the API shows it, without the fields of its user."""
        return {
            "id": self.id,
            "messageId": self.message_id,
            "uid": self.uid,
            "reaction": self.reaction,
            "reactedAt": self.reacted_at,
        }


class Reactions:
    """The reactions to each message, in the order of their arrival."""

    def __init__(self) -> None:
        self._reactions: Dict[str, Dict[Tuple[str, str], Reaction]] = {}
        self._count = 0

    def change(self, message_id: str, uid: str, reaction: str, added: bool) -> Optional[Reaction]:
        """Add or remove a user's reaction. Returns the reaction, or None if nothing changes."""
        reactions = self._reactions.setdefault(message_id, {})
        key = (uid, reaction)
        if not added:
            return reactions.pop(key, None)
        if key in reactions:
            return None
        self._count += 1
        reactions[key] = Reaction(str(self._count), message_id, uid, reaction, int(time.time()))
        return reactions[key]

    def of(self, message_id: str, reaction: Optional[str] = None) -> List[Reaction]:
        """Return the reactions to a message: of one kind, or all of them for None."""
        found = self._reactions.get(message_id, {}).values()
        return [entry for entry in found if reaction in (None, entry.reaction)]

    def counts(self, message_id: str, viewer: Optional[str] = None) -> List[Dict[str, Any]]:
        """Return the reactions to a message as its data shows them. ``reactedByMe`` is about the viewer."""
        counts: Dict[str, Dict[str, Any]] = {}
        for entry in self.of(message_id):
            count = counts.setdefault(entry.reaction, {"reaction": entry.reaction, "count": 0, "reactedByMe": False})
            count["count"] += 1
            count["reactedByMe"] = count["reactedByMe"] or entry.uid == viewer
        return list(counts.values())
