"""The login over HTTP, against answers that the test makes up."""

from __future__ import annotations

import logging
import threading
from typing import Any, Dict, List, Mapping, Optional

import pytest

from cometchat import AppSettings, CometChatException, MemorySessionStore
from cometchat._runtime._account import Account
from cometchat._runtime._redaction import SecretsFilter
from cometchat._runtime._session import Session

FAT = "fat-0123456789abcdef0123456789abcdef"
JWT = "jwt-0123456789abcdef"


class Answers:
    """The HTTP transport: answers ``PUT /me`` with ``me``, and everything else with ``{}``. Keeps the calls."""

    rate_limit_remaining: Optional[int] = None

    def __init__(self, **me: Any) -> None:
        self.me: Dict[str, Any] = {"uid": "amy", "jwt": JWT, "settings": {}, **me}
        self.error: Optional[CometChatException] = None
        self.urls: List[str] = []

    def call(self, method: str, url: str, *, headers: Mapping[str, str], **_: Any) -> Any:
        self.urls.append(url)
        if self.error is not None:
            raise self.error
        if url.endswith("/auth_tokens"):
            return {"authToken": "a-token-of-amy"}
        return dict(self.me) if url.endswith("/me") else {}

    def forget_connections(self) -> None:
        pass

    def close(self) -> None:
        pass


def account_of(rest: Answers, store: Optional[MemorySessionStore] = None, **settings: Any) -> Account:
    options = {"region": "us", **settings}
    store = store or MemorySessionStore()
    return Account("app", AppSettings(**options), rest, store, lock=threading.RLock(), number=1)


def logged_in(rest: Answers, store: Optional[MemorySessionStore] = None, **settings: Any) -> Account:
    account = account_of(rest, store, **settings)
    account.enter(account.login_with_auth_token("a-token-of-amy", None))
    account.store_session()
    return account


def test_the_token_for_media_files_is_a_credential() -> None:
    """``fat`` gives access to the app's files: no user object, no store and no log shows it."""
    store, rest = MemorySessionStore(), Answers(fat=FAT, name="Amy")
    account = logged_in(rest, store)
    session = account.require()
    assert session.user["name"] == "Amy"
    assert FAT not in repr(session.user) + repr(store.load()) + repr(session.to_user().raw)
    assert FAT not in account.scrub(f"GET https://media/x?fat={FAT}")
    rest.error = CometChatException("ERR_X", f"Not found: ?fat={FAT}")
    with pytest.raises(CometChatException) as refused:
        account.refresh_settings()
    assert FAT not in refused.value.message
    record = logging.LogRecord("other", logging.INFO, "x.py", 1, "GET /x?fat=%s", (FAT,), None)
    SecretsFilter().filter(record)
    assert FAT not in record.getMessage()


def test_the_token_for_media_files_leaves_a_store_of_an_earlier_version() -> None:
    stored = {**Session("app", "amy", "a-token-of-amy", "device", {"name": "Amy", "fat": FAT}).to_store()}
    restored = Session.from_store(stored, "app")
    assert restored is not None and dict(restored.user) == {"name": "Amy"}
