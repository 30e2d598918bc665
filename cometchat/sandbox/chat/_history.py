"""The app's messages: numbered, stored, found again. Plain data: no network, no loop, no threads.

Messages, group actions and calls are all kept here, and share one numbering. A stored message is never changed in
place: an edit puts another object where it was. Who may see a message is settled when it is stored (its viewers): a
user keeps what came while they were in a group, and does not see what was said before they joined or after they left.
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Any, Dict, FrozenSet, Iterable, List, Optional, Tuple

from . import _errors as errors

#: Messages on a page, where nobody says how many.
DEFAULT_PAGE = 30

#: The key of the feed of everything that a user may see.
_ALL = ""


@dataclass(frozen=True)
class PageQuery:
    """Which part of a history is wanted. ``append`` is what came after a message or a time, ``prepend`` before it."""

    affix: str = "prepend"
    id: Optional[int] = None
    sent_at: Optional[int] = None
    limit: int = DEFAULT_PAGE
    #: Empty: any.
    categories: FrozenSet[str] = frozenset()
    types: FrozenSet[str] = frozenset()
    #: The message of which the replies are wanted; None: any message.
    parent_id: Optional[str] = None
    hide_replies: bool = False

    def fits(self, message: Dict[str, Any]) -> bool:
        """Whether the message is of a wanted category and type, and in the wanted thread."""
        if self.hide_replies and "parentId" in message:
            return False
        if self.parent_id is not None and message.get("parentId") != self.parent_id:
            return False
        return (not self.categories or message["category"] in self.categories) and (
            not self.types or message["type"] in self.types
        )


def copy_of(message: Dict[str, Any]) -> Dict[str, Any]:
    """A copy down to the fields of its data: a deep one of ten thousand messages takes a second."""
    return {**message, "data": dict(message["data"])}


class MessageStore:
    """The messages in the order they came. The message with the id n is the n-th; each user has feeds of such ids."""

    def __init__(self) -> None:
        self._messages: List[Dict[str, Any]] = []
        self._sent_at: List[int] = []
        #: By uid and conversation, and by uid alone for everything: ids, growing.
        self._feeds: Dict[Tuple[str, str], List[int]] = {}
        #: By uid and conversation: the id of the message up to which the user has read it.
        self._read: Dict[Tuple[str, str], int] = {}
        #: By sender and muid: the message's id.
        self._muids: Dict[Tuple[str, str], str] = {}

    @property
    def messages(self) -> List[Dict[str, Any]]:
        """Copies, oldest first."""
        return [copy_of(message) for message in list(self._messages)]

    def add(self, message: Dict[str, Any], viewers: Iterable[str]) -> Dict[str, Any]:
        """Store a message; as it is stored, with its id and its times."""
        # Never back in time, whatever the clock does: the ids are sorted by it.
        now = max(int(time.time()), self._sent_at[-1] if self._sent_at else 0)
        number = len(self._messages) + 1
        stored = {"id": str(number), **message, "sentAt": now, "updatedAt": now}
        self._messages.append(stored)
        self._sent_at.append(now)
        for uid in viewers:
            for conversation in (_ALL, message["conversationId"]):
                self._feeds.setdefault((uid, conversation), []).append(number)
        if isinstance(message.get("muid"), str):
            self._muids[message["sender"], message["muid"]] = stored["id"]
        return stored

    def get(self, message_id: str) -> Dict[str, Any]:
        """The message.

        :raises ApiError: there is none.
        """
        return self._messages[self._number(message_id) - 1]

    def sent_before(self, sender: str, muid: Any) -> Optional[Dict[str, Any]]:
        """The message that the sender has sent under this muid."""
        message_id = self._muids.get((sender, muid)) if isinstance(muid, str) else None
        return None if message_id is None else self.get(message_id)

    def replace(self, message_id: str, **changes: Any) -> Dict[str, Any]:
        """Change fields of a message; as it is now.

        :raises ApiError: there is none.
        """
        number = self._number(message_id)
        changed = {**self._messages[number - 1], **changes}
        self._messages[number - 1] = changed
        return changed

    def sees(self, uid: str, message_id: str) -> bool:
        """Whether a user may see a message.

        :raises ApiError: there is none.
        """
        number = self._number(message_id)
        feed = self._feeds.get((uid, _ALL), [])
        at = bisect_left(feed, number)
        return at < len(feed) and feed[at] == number

    def page(self, uid: str, query: PageQuery, conversation: str = _ALL) -> List[Dict[str, Any]]:
        """What a user may see of their history, or of one conversation of it; oldest first."""
        feed = self._feeds.get((uid, conversation), [])
        if query.affix == "append":
            after = query.id
            if after is None:
                after = 0 if query.sent_at is None else bisect_right(self._sent_at, query.sent_at)
            return self._collect(feed, range(bisect_right(feed, after), len(feed)), query)
        before = query.id
        if before is None:
            before = len(self._messages) + 1 if query.sent_at is None else bisect_left(self._sent_at, query.sent_at) + 1
        return self._collect(feed, range(bisect_left(feed, before) - 1, -1, -1), query)[::-1]

    def conversations(self, uid: str) -> List[str]:
        """The ids of a user's conversations, the one with the latest message first."""
        latest = {key[1]: feed[-1] for key, feed in self._feeds.items() if key[0] == uid and key[1] != _ALL}
        return sorted(latest, key=lambda conversation: latest[conversation], reverse=True)

    def latest(self, uid: str, conversation: str) -> Optional[Dict[str, Any]]:
        """The latest message of a conversation that a user may see."""
        feed = self._feeds.get((uid, conversation))
        return None if feed is None else self._messages[feed[-1] - 1]

    def note_read(self, uid: str, conversation: str, number: int) -> None:
        """The user has read a conversation up to the message with this number, and nothing after it."""
        self._read[uid, conversation] = number

    def note_receipt(self, uid: str, message_id: str) -> None:
        """The user says that they have read up to a message. Where there is none for them: nothing."""
        try:
            seen = self.sees(uid, message_id)
        except errors.ApiError:
            return
        if seen:
            key = (uid, self.get(message_id)["conversationId"])
            self._read[key] = max(self._read.get(key, 0), int(message_id))

    def read_up_to(self, uid: str, conversation: str) -> Optional[str]:
        """The id of the message up to which the user has read a conversation; None where they have read nothing."""
        number = self._read.get((uid, conversation), 0)
        return str(number) if number else None

    def unread(self, uid: str, conversation: str) -> int:
        """How many messages of others a user has not read. Actions and calls do not count."""
        feed = self._feeds.get((uid, conversation), [])
        unread = feed[bisect_right(feed, self._read.get((uid, conversation), 0)) :]
        messages = (self._messages[number - 1] for number in unread)
        return sum(found["sender"] != uid and found["category"] not in ("action", "call") for found in messages)

    def _collect(self, feed: List[int], positions: Iterable[int], query: PageQuery) -> List[Dict[str, Any]]:
        found: List[Dict[str, Any]] = []
        for position in positions:
            message = self._messages[feed[position] - 1]
            if query.fits(message):
                found.append(message)
                if len(found) == query.limit:
                    break
        return found

    def _number(self, message_id: str) -> int:
        if message_id.isascii() and message_id.isdigit() and len(message_id) < 20:
            number = int(message_id)
            if 1 <= number <= len(self._messages):
                return number
        raise errors.message_not_found(message_id)
