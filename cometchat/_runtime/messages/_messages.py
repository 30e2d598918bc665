"""Changes stored messages, adds reactions, and reads the history page by page. Over HTTP, on any thread."""

from __future__ import annotations

from collections import deque
from typing import Any, Callable, Deque, Dict, Iterator, Mapping, Optional, Tuple
from urllib.parse import quote

from ..._fields import mapping
from ..._protocol._frames import id_of, rank
from ...models import Action, BaseMessage
from ...models._message import changed_message, message_from_dict
from ..account import Account, lacks
from ..delivery import PAGE, Inbox, read_page

#: Fields that an edit does not send.
_MADE_BY_THE_SERVICE = ("entities", "mentions", "moderation", "reactions", "resource")


class Messages:
    """The stored messages of one account."""

    def __init__(self, account: Account, inbox: Inbox) -> None:
        self._account = account
        self._inbox = inbox

    def edit(self, message: BaseMessage, text: str) -> BaseMessage:
        """Replace the text of a message, and keep its other data. Returns the changed message."""
        data = {key: value for key, value in message.data.items() if key not in _MADE_BY_THE_SERVICE}
        data.update(text=text, resource=self._account.resource)
        if message.metadata:
            data["metadata"] = dict(message.metadata)
        answer = self._account.request("PUT", _path(message), {"data": data})
        return self._changed(message, answer, may_be_empty=False)

    def delete(self, message: BaseMessage) -> BaseMessage:
        """Delete a message for all users. Returns it without its content."""
        return self._changed(message, self._account.request("DELETE", _path(message)), may_be_empty=True)

    def react(self, message: BaseMessage, reaction: str, *, added: bool) -> BaseMessage:
        """Add or remove a reaction. Returns the changed message."""
        path = f"{_path(message)}/reactions/{quote(reaction, safe='')}"
        answer = self._account.request("POST" if added else "DELETE", path)
        return self._changed(message, answer, may_be_empty=not added)

    def history(
        self,
        path: str,
        *,
        before: Optional[str],
        after: Optional[str],
        limit: Optional[int],
        uid: str,
        check_open: Callable[[], None],
    ) -> Iterator[BaseMessage]:
        """Read a history: from the newest message back, or from ``after`` on.

        :param path: of the history, after the base of the API.
        :param before: id of a message; only older messages are read.
        :param after: id of a message; only newer messages are read.
        :param limit: maximum number of messages; None for all.
        :param uid: of the user who reads it.
        :param check_open: raises if the client is closed. Called before each page.
        """

        def fetch(edge: Optional[str], size: int) -> Dict[str, Dict[str, Any]]:
            check_open()
            return self._page(path, edge, after is not None, size, uid)

        if after is not None:
            return _History(fetch, edge=after, end=before, limit=limit)
        return _History(fetch, edge=before, end=None, limit=limit)

    def _page(self, path: str, edge: Optional[str], forward: bool, size: int, uid: str) -> Dict[str, Dict[str, Any]]:
        """Return the new messages of a page by their ids, nearest first. A page may repeat known messages."""
        # The service sends ``threadSubscribed`` only on request. The vendor's JavaScript client always requests it.
        more = {"withThreadSubscribed": "true"}
        page: Dict[str, Dict[str, Any]] = {}
        for message in read_page(self._account, path, edge, size, forward=forward, uid=uid, **more):
            message_id = id_of(message)
            if message_id and _is_beyond(message_id, edge, forward):
                page[message_id] = message
        return page if forward else dict(reversed(page.items()))

    def _changed(self, message: BaseMessage, answer: Mapping[str, Any], *, may_be_empty: bool) -> BaseMessage:
        """Read the answer to a change: the message, or an action with the message in it.

        :param may_be_empty: whether the answer may lack the message, as after a DELETE. The result is then ``message``.
        """
        known = {"category": message.category, "type": message.type}  # the rest of a deleted message lacks them
        changed = message_from_dict({**known, **answer})
        if isinstance(changed, Action):
            self._inbox.sent(changed.id)
            entities = mapping(mapping(answer, "data"), "entities")
            changed = changed_message({**known, **mapping(mapping(entities, "on"), "entity")}, changed)
        if changed.is_stored:
            return changed
        if not may_be_empty:
            raise lacks("message")
        return message


class _History(Iterator[BaseMessage]):
    """Messages that are fetched page by page. A generator would end at an error; here the next call fetches again.

    :param fetch: returns the messages beyond an id, nearest first, at most this many.
    :param edge: id of the message before the first one.
    :param end: id of the first message that is not read.
    :param limit: maximum number of messages; None for all.
    """

    def __init__(
        self,
        fetch: Callable[[Optional[str], int], Dict[str, Dict[str, Any]]],
        *,
        edge: Optional[str],
        end: Optional[str],
        limit: Optional[int],
    ) -> None:
        self._fetch = fetch
        self._edge = edge
        self._end = end
        self._left = limit
        self._page: Deque[Tuple[str, Dict[str, Any]]] = deque()

    def __next__(self) -> BaseMessage:
        if self._left != 0 and not self._page:
            known = 0 if self._edge is None else 1  # the page may begin with the last known message
            size = PAGE if self._left is None else min(self._left + known, PAGE)
            self._page.extend(self._fetch(self._edge, size).items())
        if self._left == 0 or not self._page or self._is_end(self._page[0][0]):
            self._left = 0
            raise StopIteration
        self._edge, message = self._page.popleft()
        if self._left is not None:
            self._left -= 1
        return message_from_dict(message)

    def _is_end(self, message_id: str) -> bool:
        return self._end is not None and rank(message_id) >= rank(self._end)


def history_path(uid: Optional[str], guid: Optional[str], parent_message_id: Optional[str]) -> str:
    """Return the path of the history of a conversation, of a thread, or of all conversations."""
    if uid is not None:
        return f"/users/{quote(uid, safe='')}/messages"
    if guid is not None:
        return f"/groups/{quote(guid, safe='')}/messages"
    if parent_message_id is not None:
        return f"/messages/{quote(parent_message_id, safe='')}/thread"
    return "/messages"


def _path(message: BaseMessage) -> str:
    return f"/messages/{quote(str(message.id), safe='')}"  # a message of the user's own may have a number as its id


def _is_beyond(number: str, edge: Optional[str], forward: bool) -> bool:
    if edge is None:
        return True
    return rank(number) > rank(edge) if forward else rank(number) < rank(edge)
