"""The service's history for a client that shares its connection: one process asks a question for all."""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, List, Optional

from ...exceptions import ERR_BAD_RESPONSE, CometChatException, login_replaced
from ...status_store import AsksOnce
from ..account import Account
from ..delivery import History
from ._guarded_seat import exceptions_of


class SharedHistory:
    """See :class:`.History`. Any thread.

    :param store: lets one of several processes ask.
    :param account: whose history it is.
    :param own: asks the service for this process alone.
    """

    def __init__(self, store: AsksOnce, account: Account, own: History) -> None:
        self._store = store
        self._account = account
        self._own = own

    def message(self, message_id: str) -> Dict[str, Any]:
        """Ask for this process alone."""
        return self._own.message(message_id)

    def messages_after(self, message_id: str, limit: int) -> List[Dict[str, Any]]:
        """Return the messages after one, oldest first."""
        page = self._answer(
            f"{limit} after {message_id}", lambda: self._own.messages_after(message_id, limit)
        )
        if not isinstance(page, list) or not all(isinstance(message, dict) for message in page):
            raise _unreadable()
        return page

    def newest_message_id(self, ago: Optional[float] = None) -> str:
        """Return the id of the newest message. A question about an earlier time is this process's own."""
        if ago is not None:
            return self._own.newest_message_id(ago)
        newest = self._answer("newest", self._own.newest_message_id)
        if not isinstance(newest, str):
            raise _unreadable()
        return newest

    def _answer(self, question: str, ask: Callable[[], object]) -> Any:
        owner = self._account.require().owner

        def asked() -> bytes:
            answer = ask()
            if self._account.require().owner != owner:  # it may be another user's, and is not shared
                raise login_replaced()
            return json.dumps(answer).encode()

        with exceptions_of("ask_once"):
            answer = self._store.ask_once(*owner, question, asked)
        try:
            return json.loads(answer)
        except (TypeError, ValueError, RecursionError) as error:
            raise _unreadable() from error


def _unreadable() -> CometChatException:
    return CometChatException(ERR_BAD_RESPONSE, "The answer that another process got can't be read.")
