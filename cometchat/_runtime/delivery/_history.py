"""Asks the service for stored messages, over HTTP, page by page. Any thread."""

from __future__ import annotations

import time
from math import floor, inf
from typing import Any, Callable, Dict, Iterable, List, Optional, Protocol
from urllib.parse import quote, urlencode

from ..._fields import moment
from ..._protocol._frames import id_of, newer, older, rank
from ...exceptions import ERR_BAD_RESPONSE, CometChatException
from ..account import Account

#: Maximum number of messages per request: the vendor's documented size of a page, and the maximum of its clients.
PAGE = 100


class History(Protocol):
    """The stored messages of one user."""

    def messages_after(self, message_id: str, limit: int) -> List[Dict[str, Any]]:
        """Return the messages after one, oldest first."""

    def newest_message_id(self, ago: Optional[float] = None) -> str:
        """Return the newest message's id, or ``"0"`` without messages.

        :param ago: seconds before this call. Messages that the service stored since then do not count, nor those of the
            two seconds before, because the service's time has whole seconds. Without the service's time every message
            counts. None: every message counts.
        """

    def message(self, message_id: str) -> Dict[str, Any]:
        """Return one message in its current form."""


def next_page_size(size: int, error: Optional[CometChatException] = None) -> int:
    """Return the number of messages for the next request: fewer if the answer may have been too long, else slowly more.

    :param size: of the last request.
    :param error: of the last request. An HTTP error has another reason than the size.
    """
    if error is None:
        return min(size + 1, PAGE)
    too_long = error.code == ERR_BAD_RESPONSE and (error.http_status is None or error.http_status < 300)
    return max(1, size // 4) if too_long else size


class AccountHistory:
    """See :class:`History`.

    :param clock: monotonic seconds.
    """

    def __init__(self, account: Account, clock: Callable[[], float] = time.monotonic) -> None:
        self._account = account
        self._clock = clock

    def messages_after(self, message_id: str, limit: int) -> List[Dict[str, Any]]:
        """See :class:`History`."""
        page = read_page(self._account, "/messages", message_id, limit, forward=True)
        return [message for message in page if message]  # an empty one is nothing that a listener could use

    def message(self, message_id: str) -> Dict[str, Any]:
        """See :class:`History`."""
        found: Dict[str, Any] = self._account.request("GET", f"/messages/{quote(message_id, safe='')}")
        return found

    def newest_message_id(self, ago: Optional[float] = None) -> str:
        """See :class:`History`."""
        asked_at, limit = self._clock(), 1 if ago is None else PAGE
        page, first = self._page_before(None, limit), 0
        now = self._account.service_time
        # The answer may have taken long, and these seconds are part of the time in which messages do not count.
        until = inf if ago is None or now is None else floor(now - (self._clock() - asked_at) - ago)
        while page:
            newest: Optional[str] = None
            for message in page:
                if (moment(message, "sentAt") or 0) < until:
                    newest = newer(id_of(message), newest)
            if newest is not None:
                return newest
            ranks = (rank(id_of(message) or "") for message in page)
            before, first = first, next((number for number in ranks if number > 0), 0)
            if not first:
                raise CometChatException(ERR_BAD_RESPONSE, "The newest message in the history has no id.")
            if before and first >= before:
                return str(before - 1)  # the service gave no older page
            page = self._page_before(str(first), limit)
        return str(max(first - 1, 0))

    def _page_before(self, edge: Optional[str], limit: int) -> List[Dict[str, Any]]:
        return read_page(self._account, "/messages", edge, limit, forward=False)


def read_page(
    account: Account,
    path: str,
    edge: Optional[str],
    limit: int,
    *,
    forward: bool,
    uid: Optional[str] = None,
    **query: str,
) -> List[Dict[str, Any]]:
    """Return a page of a history, oldest first. An entry that is not a message is an empty dict.

    :param path: of the history, after the base of the API.
    :param edge: id of a message; None for the newest page.
    :param limit: maximum number of messages. The service may ignore it.
    :param forward: whether to return the messages after ``edge``, or those before it.
    :param uid: the user who reads it; see :meth:`.Account.require`.
    :param query: more parameters of the query.
    """
    query = {"affix": "append" if forward else "prepend", "per_page": str(limit), **query}
    if edge is not None:
        query["id"] = edge
    answer = account.request("GET", f"{path}?{urlencode(query)}", expect=list, uid=uid)
    messages = [message if isinstance(message, dict) else {} for message in answer]
    # By number: the order within a page is not confirmed.
    return sorted(messages, key=lambda message: rank(id_of(message) or ""))


def before_live(newest: str, live: Iterable[Optional[str]]) -> str:
    """Return the newest id, or the one before the oldest of the live messages' ids."""
    for message_id in live:
        number = rank(message_id or "")
        if number > 0:
            newest = older(newest, str(number - 1)) or newest
    return newest
