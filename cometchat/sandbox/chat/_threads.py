"""Threads: the replies to a message, and the users who are subscribed to them."""

from __future__ import annotations

from typing import Dict, Iterable, List, NamedTuple, Optional, Set, Tuple

from ._history import History, Message


class MessageThread(NamedTuple):
    """A message with replies, as one user sees it."""

    parent: Message
    last_reply: Message

    @property
    def order(self) -> Tuple[int, int]:
        """Its position: the time of its last reply, in seconds, and the id of the parent."""
        return self.last_reply["sentAt"], int(self.parent["id"])


class Threads:
    """The threads of one app."""

    def __init__(self, history: History) -> None:
        self._history = history
        #: By the id of a message: the uids that are subscribed to its thread.
        self._subscribers: Dict[str, Set[str]] = {}

    def subscribe(self, message_id: str, uids: Iterable[str]) -> None:
        """Subscribe users to the thread of a message. No-op for users who are subscribed."""
        self._subscribers.setdefault(message_id, set()).update(uids)

    def unsubscribe(self, message_id: str, uid: str) -> None:
        """End a user's subscription. No-op for a user who is not subscribed."""
        self._subscribers.get(message_id, set()).discard(uid)

    def is_subscribed(self, message_id: str, uid: str) -> bool:
        """Return whether a user is subscribed to the thread of a message."""
        return uid in self._subscribers.get(message_id, ())

    def of(self, uid: str, conversation: Optional[str], *, subscribed: bool) -> List[MessageThread]:
        """Return the threads that a user sees, of one conversation or of all, the latest reply first.

        :param subscribed: return only the threads to which the user is subscribed.
        """
        found: List[MessageThread] = []
        for parent in self._history.parents:
            if conversation not in (None, parent["conversationId"]) or not self._history.sees(uid, parent["id"]):
                continue
            if subscribed and not self.is_subscribed(parent["id"], uid):
                continue
            seen = [reply for reply in self._history.replies(parent["id"]) if self._history.sees(uid, reply["id"])]
            found += [MessageThread(parent, seen[-1])] if seen else []
        return sorted(found, key=lambda thread: thread.order, reverse=True)
