"""One process asks the service's history for all processes of a user."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Callable, Dict, List, Optional, Tuple

import pytest

from cometchat import CometChatException
from cometchat._runtime.account._session import Owner
from cometchat._runtime.sharing import SharedHistory


class Store:
    """Keeps the shared answers by user and question, and does something before it asks."""

    def __init__(self) -> None:
        self.answers: Dict[Tuple[str, str], bytes] = {}
        self.meanwhile: Callable[[], object] = lambda: None

    def ask_once(self, app_id: str, uid: str, question: str, ask: Callable[[], bytes]) -> bytes:
        self.meanwhile()
        answer = self.answers[uid, question] = ask()
        return answer


class Account:
    """A login."""

    uid = "amy"

    def require(self) -> Any:
        return SimpleNamespace(owner=Owner("app", self.uid))


class Own:
    """The history of the account's user."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def messages_after(self, message_id: str, limit: int) -> List[Dict[str, Any]]:
        return [{"id": "8", "receiver": self._account.uid}]

    def message(self, message_id: str) -> Dict[str, Any]:
        return {"id": message_id}

    def newest_message_id(self, ago: Optional[float] = None) -> str:
        return "8" if ago is None else str(ago)


@pytest.mark.parametrize(
    "answer, code",
    [
        (RuntimeError("away"), "ERR_STATUS_STORE"),
        (CometChatException("ERR_X", "x"), "ERR_X"),
        (None, "ERR_BAD_RESPONSE"),
        (b"{", "ERR_BAD_RESPONSE"),
        (b"[5]", "ERR_BAD_RESPONSE"),
        (b"{}", "ERR_BAD_RESPONSE"),
        (b"[" * 100_000, "ERR_BAD_RESPONSE"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_store_that_gives_no_answer(answer: Any, code: str) -> None:
    """The inbox asks again after these errors. It logs any other exception as one of the SDK's own faults."""

    class Broken(Store):
        def ask_once(self, app_id: str, uid: str, question: str, ask: Callable[[], bytes]) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

    account = Account()
    history = SharedHistory(Broken(), account, Own(account))  # type: ignore[arg-type]
    for ask in (lambda: history.messages_after("7", 100), history.newest_message_id):
        with pytest.raises(CometChatException) as raised:
            ask()
        assert raised.value.code == code


def test_the_newest_message_is_asked_for_all() -> None:
    """That of an earlier time, and one message, are questions of this process alone."""
    store, account = Store(), Account()
    history = SharedHistory(store, account, Own(account))  # type: ignore[arg-type]
    assert history.newest_message_id() == "8" and list(store.answers) == [("amy", "newest")]
    assert history.newest_message_id(60.0) == "60.0" and history.message("5") == {"id": "5"}
    assert len(store.answers) == 1


def test_the_history_of_another_user_is_not_shared() -> None:
    """Another user logs in while this process waits for its turn to ask. That user's messages are not the first's."""
    store, account = Store(), Account()
    history = SharedHistory(store, account, Own(account))  # type: ignore[arg-type]
    assert history.messages_after("7", 100) == [{"id": "8", "receiver": "amy"}]
    store.meanwhile = lambda: setattr(account, "uid", "bob")
    for ask in (lambda: history.messages_after("8", 100), history.newest_message_id):
        account.uid = "amy"
        with pytest.raises(CometChatException) as raised:
            ask()
        assert raised.value.code == "USER_NOT_LOGGED_IN"
    assert list(store.answers) == [("amy", "100 after 7")]
