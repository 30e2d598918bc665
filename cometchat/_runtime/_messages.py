"""Changes stored messages, adds reactions, and reads the history page by page. Over HTTP, on any thread."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, Mapping, Optional
from urllib.parse import quote

from .._fields import mapping
from .._protocol import id_of, message_from_dict, rank
from ..models import Action, BaseMessage
from ..models._message import changed_message
from ._account import Account, lacks
from ._history import PAGE, read_page
from .delivery import Inbox

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
        forward = after is not None
        edge, end = (after, before) if forward else (before, None)
        left = limit
        while left is None or left > 0:
            check_open()
            known = 0 if edge is None else 1  # the service may repeat the message at the edge
            page = self._page(path, edge, forward, PAGE if left is None else min(left + known, PAGE), uid)
            if not page:
                return
            for message_id, message in list(page.items())[:left]:
                if end is not None and rank(message_id) >= rank(end):
                    return
                yield message_from_dict(message)
                edge = message_id
            left = None if left is None else left - len(page)

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
        changed = message_from_dict(answer)
        if isinstance(changed, Action):
            self._inbox.sent(changed.id)
            data = mapping(answer, "data")
            changed = changed_message(mapping(mapping(mapping(data, "entities"), "on"), "entity"), changed)
        if changed.is_stored:
            return changed
        if not may_be_empty:
            raise lacks("message")
        return message


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
