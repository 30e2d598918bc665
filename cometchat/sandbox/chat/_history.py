"""The history: it numbers, stores and finds every message of the app.

Messages, group actions and calls share one numbering. A stored message is never changed in place: an edit puts another
object at its number. The viewers of a message are fixed when it is stored. So a user keeps the messages from the time
in a group, and does not see the messages from before joining or after leaving.
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Tuple

from ._errors import refusal
from ._users import APP

Message = Dict[str, Any]

#: The key of the feed with all messages that a user may see.
_ALL = ""


@dataclass(frozen=True)
class PageQuery:
    """The wanted part of a history: newer (``append``) or older (``prepend``) than a message or a time."""

    affix: str
    id: Optional[int]
    sent_at: Optional[int]
    limit: int
    fits: Callable[[Message], bool]


def copy_of(message: Message) -> Message:
    """Copy a message down to the fields of its data. A deep copy of ten thousand messages would take a second."""
    return {**message, "data": dict(message["data"])}


def other_side(message: Message, uid: str) -> str:
    """Return the other side of a message's conversation for a user: the guid of its group, or the other user's uid."""
    is_received = message["receiverType"] == "user" and message["receiver"] == uid
    return str(message["sender"] if is_received else message["receiver"])


class History:
    """The messages in the order of their arrival. The n-th message has the id n. A feed is a list of ids."""

    def __init__(self) -> None:
        self._messages: List[Message] = []
        self._sent_at: List[int] = []
        #: By uid and conversation, and by uid alone for all conversations: ids in ascending order.
        self._feeds: Dict[Tuple[str, str], List[int]] = {}
        #: By the id of the parent: the ids of the replies.
        self._threads: Dict[str, List[int]] = {}
        #: By action (``delivered``, ``read``), uid and conversation: the ids up to which the user is, each with its
        #: time. The ids ascend.
        self._marks: Dict[Tuple[str, str, str], List[Tuple[int, int]]] = {}
        #: By sender and muid: the message's id.
        self._muids: Dict[Tuple[str, str], str] = {}

    @property
    def messages(self) -> List[Message]:
        """Copies of the messages, oldest first."""
        return [copy_of(message) for message in list(self._messages)]

    @property
    def count(self) -> int:
        """The number of messages, which is the id of the latest one."""
        return len(self._messages)

    def add(self, message: Message, viewers: Iterable[str]) -> Message:
        """Store a message. Returns it with its id and its times."""
        # The times never go back when the clock does: the ids have the same order.
        now = max(int(time.time()), self._sent_at[-1] if self._sent_at else 0)
        number = len(self._messages) + 1
        stored = {"id": str(number), **message, "sentAt": now, "updatedAt": now}
        self._messages.append(stored)
        self._sent_at.append(now)
        # The app itself sees every message.
        for uid in {*viewers, APP}:
            for conversation in (_ALL, message["conversationId"]):
                self._feeds.setdefault((uid, conversation), []).append(number)
        if "parentId" in message:
            self._threads.setdefault(message["parentId"], []).append(number)
        if isinstance(message.get("muid"), str):
            self._muids[message["sender"], message["muid"]] = stored["id"]
        return stored

    def newest(self) -> Iterator[Message]:
        """Yield the messages themselves, newest first."""
        return reversed(self._messages)

    def get(self, message_id: str) -> Message:
        """Return the message.

        :raises ApiError: it does not exist.
        """
        return self._messages[self._number(message_id) - 1]

    def sent_before(self, sender: str, muid: Any) -> Optional[Message]:
        """Return the message that the sender has sent under this muid, or None."""
        message_id = self._muids.get((sender, muid)) if isinstance(muid, str) else None
        return None if message_id is None else self.get(message_id)

    def replace(self, message_id: str, **changes: Any) -> Message:
        """Change fields of a message, and remove those that are None. Returns it with its changes.

        :raises ApiError: it does not exist.
        """
        number = self._number(message_id)
        fields = {**self._messages[number - 1], **changes}
        changed = {key: value for key, value in fields.items() if value is not None}
        self._messages[number - 1] = changed
        return changed

    def sees(self, uid: str, message_id: str) -> bool:
        """Return whether a user may see a message.

        :raises ApiError: it does not exist.
        """
        number = self._number(message_id)
        feed = self._feeds.get((uid, _ALL), [])
        at = bisect_left(feed, number)
        return at < len(feed) and feed[at] == number

    def page(self, uid: str, query: PageQuery, conversation: str = _ALL) -> List[Message]:
        """Return a part of the messages that a user may see, of one conversation or of all, oldest first."""
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

    def between(self, uid: str, conversation: str, after: int, up_to: int) -> List[Message]:
        """Return a user's messages of a conversation with ids above ``after`` and up to ``up_to``."""
        feed = self._feeds.get((uid, conversation), [])
        return [self._messages[number - 1] for number in feed[bisect_right(feed, after) : bisect_right(feed, up_to)]]

    def of_others(self, uid: str, conversation: str, after: int, up_to: int) -> List[Message]:
        """Return the messages of :meth:`between` that have receipts: of other users, no actions, no calls."""
        found = self.between(uid, conversation, after, up_to)
        return [each for each in found if each["sender"] != uid and each["category"] not in ("action", "call")]

    def replies(self, message_id: str) -> List[Message]:
        """Return the replies to a message."""
        return [self._messages[number - 1] for number in self._threads.get(message_id, [])]

    @property
    def parents(self) -> List[Message]:
        """The messages that have replies."""
        return [self.get(message_id) for message_id in self._threads]

    def conversations(self, uid: str) -> List[str]:
        """Return the ids of a user's conversations, latest message first."""
        latest = {key[1]: feed[-1] for key, feed in self._feeds.items() if key[0] == uid and key[1] != _ALL}
        return sorted(latest, key=lambda conversation: latest[conversation], reverse=True)

    def latest(self, uid: str, conversation: str) -> Optional[Message]:
        """Return the latest message of a conversation that a user may see, or None."""
        feed = self._feeds.get((uid, conversation))
        return self._messages[feed[-1] - 1] if feed else None

    def first(self, uid: str, conversation: str) -> Message:
        """Return the oldest message of a conversation that a user may see. It must have one."""
        return self._messages[self._feeds[uid, conversation][0] - 1]

    def forget(self, uid: str, conversation: str) -> None:
        """Remove all messages of a conversation from a user's view."""
        forgotten = set(self._feeds.pop((uid, conversation), ()))
        self._feeds[uid, _ALL] = [number for number in self._feeds.get((uid, _ALL), ()) if number not in forgotten]

    # How far users have received and read.

    def mark(self, action: str, uid: str, conversation: str) -> int:
        """Return the id of the message up to which a user has received or read a conversation, or 0."""
        marks = self._marks.get((action, uid, conversation))
        return marks[-1][0] if marks else 0

    def marked_at(self, action: str, uid: str, conversation: str, number: int) -> Optional[int]:
        """Return when a user has received or read a message, in Unix seconds, or None if the user has not."""
        marks = self._marks.get((action, uid, conversation), [])
        at = bisect_left(marks, (number,))
        return marks[at][1] if at < len(marks) else None

    def marked_by(self, conversation: str) -> List[str]:
        """Return the users who have received a message in a conversation."""
        return sorted({uid for _, uid, marked in self._marks if marked == conversation})

    def set_mark(self, action: str, uid: str, conversation: str, number: int) -> None:
        """Move the mark of a conversation to a message, forwards or backwards."""
        before = self.marked_at(action, uid, conversation, number)
        marks = self._marks.setdefault((action, uid, conversation), [])
        marks[bisect_left(marks, (number,)) :] = [(number, int(time.time()) if before is None else before)]

    def unread(self, uid: str, conversation: str) -> List[Message]:
        """Return the messages of others that a user has not read. Actions and calls do not count."""
        return self.of_others(uid, conversation, self.mark("read", uid, conversation), len(self._messages))

    def _collect(self, feed: List[int], positions: Iterable[int], query: PageQuery) -> List[Message]:
        found: List[Message] = []
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
        raise refusal("ERR_MESSAGE_ID_NOT_FOUND", id=message_id)
