"""Who has reacted to which message, and how. Plain data: no network, no loop, no threads."""

from __future__ import annotations

from typing import Any, Dict, List, Set


class Reactions:
    """By message, the users of each reaction, in the order in which the reactions came."""

    def __init__(self) -> None:
        self._uids: Dict[str, Dict[str, Set[str]]] = {}

    def change(self, message_id: str, uid: str, reaction: str, added: bool) -> bool:
        """Add a user's reaction or take it away; whether that changes anything."""
        reactions = self._uids.setdefault(message_id, {})
        uids = reactions.setdefault(reaction, set())
        changes = (uid in uids) != added
        if added:
            uids.add(uid)
        else:
            uids.discard(uid)
            if not uids:
                del reactions[reaction]
        return changes

    def counts(self, message_id: str) -> List[Dict[str, Any]]:
        """The reactions to a message, as its data shows them."""
        reactions = self._uids.get(message_id, {})
        return [{"reaction": reaction, "count": len(uids)} for reaction, uids in reactions.items()]
