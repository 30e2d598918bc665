"""The beginning of a reader of the history: the newest message that is older than the reader. Pure."""

from __future__ import annotations

from math import floor, inf
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional

from .._fields import moment
from .._protocol import id_of, newer, older, rank
from ..exceptions import ERR_BAD_RESPONSE, CometChatException

#: Number of messages per request for an earlier time.
_PAGE = "100"


def newest_message_id(
    messages: Callable[[Mapping[str, str]], List[Dict[str, Any]]],
    ago: Optional[float],
    clock: Callable[[], float],
    service_time: Callable[[], Optional[float]],
) -> str:
    """Return the newest message's id, or ``"0"`` without messages. See :meth:`.Account.newest_message_id`.

    :param messages: asks for a page of the history, in the order of the ids.
    :param clock: monotonic seconds.
    :param service_time: returns the time of the newest answer.
    """
    asked_at = clock()
    query = {"affix": "prepend", "per_page": "1" if ago is None else _PAGE}
    page, first = messages(query), 0
    now = service_time()
    # The answer may have taken long, and these seconds are part of the time in which messages do not count.
    until = inf if ago is None or now is None else floor(now - (clock() - asked_at) - ago)
    while page:
        newest: Optional[str] = None
        for message in page:
            if (moment(message, "sentAt") or 0) < until:
                newest = newer(id_of(message), newest)
        if newest is not None:
            return newest
        before, first = first, rank(id_of(page[0]) or "")
        if first < 1:
            raise CometChatException(ERR_BAD_RESPONSE, "The newest message in the history has no id.")
        if before and first >= before:
            return str(before - 1)  # the service gave no older page
        page = messages({**query, "id": str(first)})
    return str(max(first - 1, 0))


def before_live(newest: str, live: Iterable[Optional[str]]) -> str:
    """Return the newest id, or the one before the oldest of the live messages' ids."""
    for message_id in live:
        number = rank(message_id or "")
        if number > 0:
            newest = older(newest, str(number - 1)) or newest
    return newest
