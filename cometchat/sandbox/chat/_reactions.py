"""Who has reacted to which message, and how. Plain data: no network, no loop, no threads."""

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
        """As the API shows it, apart from the user's own fields."""
        return {
            "id": self.id,
            "messageId": self.message_id,
            "uid": self.uid,
            "reaction": self.reaction,
            "reactedAt": self.reacted_at,
        }


class Reactions:
    """By message, the reactions in the order in which they came."""

    def __init__(self) -> None:
        self._reactions: Dict[str, Dict[Tuple[str, str], Reaction]] = {}
        self._count = 0

    def change(self, message_id: str, uid: str, reaction: str, added: bool) -> Optional[Reaction]:
        """Add a user's reaction or take it away; which one it was, None where nothing changes by that."""
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
        """The reactions to a message: of one kind, or all for None."""
        found = self._reactions.get(message_id, {}).values()
        return [entry for entry in found if reaction in (None, entry.reaction)]

    def counts(self, message_id: str) -> List[Dict[str, Any]]:
        """The reactions to a message, as its data shows them."""
        counts: Dict[str, int] = {}
        for entry in self.of(message_id):
            counts[entry.reaction] = counts.get(entry.reaction, 0) + 1
        return [{"reaction": reaction, "count": count} for reaction, count in counts.items()]
