"""The login over HTTP, with answers that the test makes."""

from __future__ import annotations

import base64
import dataclasses
import json
import logging
import threading
import time
from typing import Any, Callable, Dict, List, Mapping, Optional
from urllib.parse import parse_qsl

import pytest
from rows import each_row

from cometchat import AppSettings, AuthenticationException, CometChatException, MemorySessionStore
from cometchat._runtime.account import _service, _session
from cometchat._runtime.account._account import Account
from cometchat._runtime.account._redaction import SecretsFilter
from cometchat._runtime.account._session import Session
from cometchat._runtime.delivery._history import AccountHistory
from cometchat._turns import Turns

DEADLINE = 5.0

FAT = "fat-0123456789abcdef0123456789abcdef"
JWT = "jwt-0123456789abcdef"


class Answers:
    """An HTTP transport that answers ``PUT /me`` with ``me``, and other calls with ``{}``. It keeps the calls."""

    rate_limit_remaining: Optional[int] = None
    service_time: Optional[float] = None

    def __init__(self, **me: Any) -> None:
        self.me: Dict[str, Any] = {"uid": "amy", "jwt": JWT, "settings": {}, **me}
        self.token: object = "a-token-of-amy"
        self.settings: Dict[str, Any] = {}
        self.error: Optional[CometChatException] = None
        self.urls: List[str] = []
        self.messages: List[Any] = []

    def call(self, method: str, url: str, *, headers: Mapping[str, str], **_: Any) -> Any:
        self.urls.append(url)
        if self.error is not None:
            raise self.error
        if url.endswith("/auth_tokens"):
            return {"authToken": self.token}
        if "/messages?" in url:
            return self.messages
        if url.endswith("/settings"):
            return self.settings
        return dict(self.me) if url.endswith("/me") else {}

    def forget_connections(self) -> None:
        pass

    def close(self) -> None:
        pass


def account_of(
    rest: Answers,
    store: Optional[MemorySessionStore] = None,
    clock: Callable[[], float] = time.monotonic,
    wall_clock: Callable[[], float] = time.time,
    **settings: Any,
) -> Account:
    checked, clocks = AppSettings(**{"region": "us", **settings}), {"clock": clock, "wall_clock": wall_clock}
    return Account("app", checked, rest, store or MemorySessionStore(), lock=threading.RLock(), number=1, **clocks)


def logged_in(rest: Answers, store: Optional[MemorySessionStore] = None, **settings: Any) -> Account:
    account = account_of(rest, store, **settings)
    account.set_login(account.service.login_with_auth_token("a-token-of-amy", None))
    account.store_session()
    return account


def test_the_token_for_media_files_is_a_credential() -> None:
    """``fat`` gives access to the app's files. No user object, no store and no log shows it."""
    store, rest = MemorySessionStore(), Answers(fat=FAT, name="Amy")
    account = logged_in(rest, store)
    session = account.require()
    assert session.user["name"] == "Amy"
    assert FAT not in repr(session.user) + repr(store.load()) + repr(session.to_user().raw)
    assert FAT not in account.secrets.scrub(f"GET https://media/x?fat={FAT}")
    rest.error = CometChatException("ERR_X", f"Not found: ?fat={FAT}")
    with pytest.raises(CometChatException) as refused:
        account.refresh_settings()
    assert FAT not in refused.value.message
    record = logging.LogRecord("other", logging.INFO, "x.py", 1, "GET /x?fat=%s", (FAT,), None)
    SecretsFilter().filter(record)
    assert FAT not in record.getMessage()


def test_the_account_of_a_child_takes_over_the_login_without_the_jwt() -> None:
    """The parent's connection has used the jwt. The log of the child shows no secret of the parent's either."""
    parent, child = logged_in(Answers(fat=FAT)), account_of(Answers())
    child.take_over(account_of(Answers()))
    assert child.session is None
    child.take_over(parent)
    assert child.require() == dataclasses.replace(parent.require(), jwt=None)
    assert FAT not in child.secrets.scrub(FAT)


def test_the_token_for_media_files_leaves_a_store_of_an_earlier_version() -> None:
    stored = {**Session("app", "amy", "a-token-of-amy", "device", {"name": "Amy", "fat": FAT}).to_store()}
    restored = Session.from_store(stored, "app")
    assert restored is not None and dict(restored.user) == {"name": "Amy"}


@pytest.mark.parametrize(
    "time_now, ago, newest",
    [
        (1000.0, None, "9"),
        (1000.0, 7.0, "8"),  # the ninth was stored 7 s ago
        (1000.6, 7.0, "8"),  # about 993.7, when it was stored
        (1000.0, 20.0, "7"),  # all were stored since, except those older than the first one
        (None, 20.0, "9"),
    ],
)
def test_the_newest_message_at_an_earlier_time(time_now: Optional[float], ago: Optional[float], newest: str) -> None:
    rest = Answers()
    history = AccountHistory(logged_in(rest), clock=lambda: 0.0)
    rest.service_time = time_now
    rest.messages = [{"id": "9", "sentAt": 993}, {"id": "8", "sentAt": 992}]
    assert history.newest_message_id(ago) == newest


def test_a_slow_answer_about_an_earlier_time() -> None:
    """The seconds until the answer count too: what the service stored in them was stored since."""
    rest, now = Answers(), [100.0]
    history = AccountHistory(logged_in(rest), clock=lambda: now[0])
    rest.messages = [{"id": "9", "sentAt": 990}, {"id": "8", "sentAt": 980}]

    def answer_late(*args: Any, **options: Any) -> Any:
        now[0] += 8.0
        rest.service_time = 1000.0
        return rest.messages

    rest.call = answer_late  # type: ignore[method-assign]
    assert history.newest_message_id(5.0) == "8", "asked at 992, about 987"


@pytest.mark.parametrize("oldest, newest", [(1, "150"), (151, "150"), (152, "151")])
def test_the_newest_message_at_an_earlier_time_is_behind_many_newer_ones(oldest: int, newest: str) -> None:
    """More messages than a page has were stored since then."""
    rest = Answers()
    history = AccountHistory(logged_in(rest))
    rest.service_time = 1000.0
    stored = [{"id": str(number), "sentAt": 900 + number // 151 * 50} for number in range(oldest, 401)]

    def page(method: str, url: str, **options: Any) -> Any:
        query = dict(parse_qsl(url.partition("?")[2]))
        found = [each for each in stored if int(str(each["id"])) < int(query.get("id", "1000"))]
        return found[-int(query["per_page"]) :]

    rest.call = page  # type: ignore[method-assign]
    assert history.newest_message_id(90.0) == newest


def test_a_page_of_newer_messages_has_an_entry_that_is_not_a_message() -> None:
    """The next page is asked for by the other entries. If no entry has an id, the service's answer is unusable."""
    rest = Answers()
    history = AccountHistory(logged_in(rest))
    rest.service_time = 1000.0
    pages = [[None, {"id": "9", "sentAt": 999}, {"id": "8", "sentAt": 998}], [{"id": "7", "sentAt": 900}], [None, {}]]
    asked: List[str] = []

    def page(method: str, url: str, **options: Any) -> Any:
        asked.append(dict(parse_qsl(url.partition("?")[2])).get("id", "newest"))
        return pages.pop(0)

    rest.call = page  # type: ignore[method-assign]
    assert history.newest_message_id(50.0) == "7" and asked == ["newest", "8"]
    with pytest.raises(CometChatException, match="has no id"):
        history.newest_message_id(50.0)


def test_the_newest_message_of_an_empty_history() -> None:
    history = AccountHistory(logged_in(Answers()))
    assert history.newest_message_id() == history.newest_message_id(5.0) == "0"


def test_entries_of_a_page_that_are_not_messages() -> None:
    """They are left out: a listener would get an empty message for each, after each reconnect."""
    rest = Answers()
    history = AccountHistory(logged_in(rest))
    rest.messages = [None, {"id": "9"}, "text", {}, {"id": "8"}]
    assert history.messages_after("7", 100) == [{"id": "8"}, {"id": "9"}]


@pytest.mark.parametrize("lacks", ["jwt", "settings"])
def test_a_session_that_must_be_renewed_has_no_credentials(lacks: str) -> None:
    """Such as a stored one, or that of a fork's parent."""
    account = logged_in(Answers())
    session = account.require()
    changes: Any = {lacks: None}
    account.session = dataclasses.replace(session, **changes)
    assert account.credentials() is None
    account.session = session
    assert account.credentials() is not None


@pytest.mark.parametrize("settings", [None, "", []])
@pytest.mark.parametrize("wrapped", [True, False])
def test_settings_that_the_login_lacks_are_asked_for(settings: object, wrapped: bool) -> None:
    """``PUT /me`` may come without settings, as the vendor's Android client knows: ``GET /settings`` has them then."""
    rest, found = Answers(settings=settings), {"CHAT_HOST": "two.cometchat.io", "MODE": "NO_TRANSIENT"}
    rest.settings = {"settings": found} if wrapped else found
    account = logged_in(rest)
    assert account.mode == "NO_TRANSIENT"
    credentials = account.credentials()
    assert credentials is not None and credentials.url == "wss://two.cometchat.io:443/"
    assert [url.rpartition("/")[2] for url in rest.urls] == ["me", "settings"]


def _without_settings(rest: Answers) -> Answers:
    """Let neither ``PUT /me`` nor ``GET /settings`` answer with settings."""
    call = rest.call

    def without_settings(method: str, url: str, **more: Any) -> Any:
        if url.endswith("/settings"):
            raise CometChatException("ERR_OPERATION_FAILED", "the database has trouble")
        return call(method, url, **more)

    rest.call = without_settings  # type: ignore[method-assign]
    return rest


def test_a_login_without_any_settings_has_the_usual_address() -> None:
    account = logged_in(_without_settings(Answers(settings=None)))
    credentials = account.credentials()
    assert credentials is not None and credentials.url == "wss://app.websocket-us.cometchat.io:443/"


def test_a_resumed_session_without_any_settings_has_the_usual_address() -> None:
    """The connection attempt failed with ``USER_NOT_LOGGED_IN``, though the user was logged in."""
    store = MemorySessionStore()
    logged_in(Answers(), store)
    account = account_of(_without_settings(Answers(settings=None)), store)
    account.session = account.stored_session()
    account.renew()
    credentials = account.credentials()
    assert credentials is not None and credentials.url == "wss://app.websocket-us.cometchat.io:443/"


@pytest.mark.parametrize("again", ["login", "renewal", "an empty answer"])
def test_settings_that_nobody_answered_for_are_not_new_and_do_not_replace_older_ones(again: str) -> None:
    """The connection requests them when it opens, so that a throttled app is not reported as connected."""
    account = logged_in(_without_settings(Answers(settings=None)))
    assert not account.take_new_settings(since=0.0)
    account.use_settings({"MODE": "NO_TRANSIENT", "CHAT_HOST": "two.cometchat.io"})
    before = account.credentials()
    if again == "login":
        account.set_login(account.service.login_with_auth_token("a-token-of-amy", None))
    elif again == "renewal":
        account.renew()
    else:
        account.use_settings({})
    after = account.credentials()
    assert account.mode == "NO_TRANSIENT" and not account.take_new_settings(since=0.0)
    assert before is not None and after is not None and after is not before
    assert after.url == before.url == "wss://two.cometchat.io:443/"


@pytest.mark.parametrize("again", ["login", "renewal", "refresh"])
@pytest.mark.parametrize("partial", [{}, {"MODE": "NO_TRANSIENT"}, {"MODE": "FEW", "CHAT_HOST": None}], ids=str)
def test_settings_without_a_host_leave_the_addresses_as_they_are(again: str, partial: Dict[str, Any]) -> None:
    """An answer may have the ``MODE`` alone. The next connection opens where this one is."""
    whole = {"CHAT_HOST": "two.cometchat.io", "CHAT_WSS_PORT": 7443, "CLIENT_API_HOST": "app.apiclient-in.cometchat.io"}
    rest = Answers(settings=whole)
    account = logged_in(rest)
    rest.settings = rest.me["settings"] = partial
    if again == "login":
        account.set_login(account.service.login_with_auth_token("a-token-of-amy", None))
    elif again == "renewal":
        account.renew()
    else:
        account.refresh_settings()
    credentials = account.credentials()
    assert credentials is not None and credentials.url == "wss://two.cometchat.io:7443/"
    assert account.endpoints.client == "https://app.apiclient-in.cometchat.io/v3.0"
    assert account.mode == (partial.get("MODE") or "DEFAULT")


@pytest.mark.parametrize("renewed", [True, False])
def test_settings_of_a_login_are_new_once(renewed: bool) -> None:
    """One connection uses them, if they have not come too long ago."""
    now = [100.0]
    account = account_of(Answers(settings={"MODE": "DEFAULT"}), clock=lambda: now[0])
    account.set_login(account.service.login_with_auth_token("a-token-of-amy", None))
    if renewed:
        assert account.take_new_settings(since=100.0)
        now[0] += 3600.0
        account.renew()
    assert account.take_new_settings(since=now[0])
    assert not account.take_new_settings(since=now[0])
    account.renew()
    assert not account.take_new_settings(since=now[0] + 0.1)


def test_no_other_client_waits_for_the_code_of_this_ones_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """``refresh`` and the session store may hang, on a connection thread that has one of the few turns."""
    turns = Turns(1)
    for module in (_service, _session):
        monkeypatch.setattr(module, "TURNS", turns)
    others: List[bool] = []

    def other() -> None:
        turns.take()
        turns.give_back()

    def hang() -> None:
        thread = threading.Thread(target=other, name="test-other", daemon=True)
        thread.start()
        thread.join(DEADLINE)
        others.append(not thread.is_alive())

    class Store(MemorySessionStore):
        def save(self, session: Mapping[str, Any]) -> None:
            hang()
            super().save(session)

        def clear(self) -> None:
            hang()
            super().clear()

    rest = Answers()
    rest.error = CometChatException("AUTH_ERR_AUTH_TOKEN_NOT_FOUND", "unknown")
    rest.error.http_status = 401

    def refresh() -> str:
        hang()
        rest.error = None
        return "another-token-of-amy"

    account = account_of(rest, Store())
    turns.take()
    account.set_login(account.service.login_with_auth_token("a-token-of-amy", refresh))
    account.store_session()
    account.clear_login()
    account.store_session()
    assert others == [True] * 3 and turns.give_back()


def test_a_refused_token_that_a_login_has_used_since_is_not_replaced() -> None:
    """The service accepts it again. A renewal does not ask ``refresh`` for another one."""
    rest, asked = Answers(), []

    def refresh() -> str:
        asked.append(1)
        return "another-token-of-amy"

    account = account_of(rest)
    for _ in range(2):
        account.set_login(account.service.login_with_auth_token("a-token-of-amy", refresh))
        account.renew()
        assert asked == []
        account.refuse_token(account.require())
    account.renew()
    assert asked == [1]


def test_the_refusal_of_a_proxy_is_not_one_of_the_token() -> None:
    """Its 401 comes without the protocol's envelope. The token is still good, so ``refresh`` is not called."""
    rest, asked = Answers(), []
    account = account_of(rest)
    account.set_login(account.service.login_with_auth_token("a-token-of-amy", lambda: str(asked.append(1))))
    rest.error = CometChatException("ERR_BAD_RESPONSE", "text that is not JSON")
    rest.error.http_status = 401
    for call in (account.renew, account.refresh_settings, lambda: account.request("POST", "/messages", {})):
        with pytest.raises(CometChatException) as caught:
            call()
        assert caught.value.code == "ERR_BAD_RESPONSE" and asked == []
    rest.error = None
    account.renew()
    assert asked == []


def test_a_refresh_that_makes_a_refused_call_is_not_called_again_for_it() -> None:
    """That call needs the token that ``refresh`` is to return. It was called for it again and again, in itself."""
    rest, codes = Answers(), []
    account = account_of(rest)

    def refresh() -> str:
        with pytest.raises(AuthenticationException) as caught:
            account.request("POST", "/messages", {})
        codes.append(caught.value.code)
        rest.error = None
        return "a-new-token"

    account.set_login(account.service.login_with_auth_token("a-token-of-amy", refresh))
    for _ in range(2):  # a later refresh is another one
        rest.error = AuthenticationException("AUTH_ERR_NO_ACCESS", "refused")
        assert account.request("POST", "/messages", {}) == {}
    assert codes == ["ERR_TOKEN_REFRESH"] * 2


def test_a_refused_token_is_used_again_without_a_refresh() -> None:
    """The client has no other token. The service's answer to it decides."""
    rest = Answers()
    account = logged_in(rest)
    account.refuse_token(account.require())
    account.renew()
    assert account.require().auth_token == "a-token-of-amy"
    rest.error = AuthenticationException("AUTH_ERR_NO_ACCESS", "refused")
    account.refuse_token(account.require())
    with pytest.raises(AuthenticationException) as caught:
        account.renew()
    assert caught.value.code == "AUTH_ERR_NO_ACCESS"


ONPREM = {"CLIENT_API_HOST": "client.example.org", "ADMIN_API_HOST": "admin.example.org", "CHAT_API_VERSION": "v3"}


def test_new_settings_and_a_new_jwt_count_at_once() -> None:
    """Values of the old ones are not used again. Equal settings change nothing."""
    settings = {"CLIENT_API_HOST": "app.apiclient-eu.cometchat.io", "CHAT_HOST": "one.cometchat.io"}
    rest = Answers(settings=settings)
    account = logged_in(rest)
    first = account.credentials()
    assert first is not None and first.url.startswith("wss://one.cometchat.io:443/")
    assert account.credentials() is first
    rest.settings = dict(settings)
    account.refresh_settings()
    assert account.credentials() is first
    rest.settings = {**settings, "CLIENT_API_HOST": "app.apiclient-in.cometchat.io", "CHAT_HOST": "two.cometchat.io"}
    account.refresh_settings()
    second = account.credentials()
    assert second is not None and second.url.startswith("wss://two.cometchat.io:443/")
    assert account.endpoints.client == "https://app.apiclient-in.cometchat.io/v3.0"
    account.renew()
    third = account.credentials()
    assert third is not None and third.url.startswith("wss://one.cometchat.io:443/"), "PUT /me has settings too"


def test_a_jwt_is_used_until_shortly_before_its_expiry() -> None:
    """Then None says that the login must be renewed. The expiry of the old jwt does not count for the new one."""

    def jwt(expiry: int) -> str:
        return f"e30.{base64.urlsafe_b64encode(json.dumps({'exp': expiry}).encode()).decode()}.signature"

    now, rest = [1000.0], Answers(jwt=jwt(1100))
    account = account_of(rest, wall_clock=lambda: now[0])
    account.set_login(account.service.login_with_auth_token("a-token-of-amy", None))
    for now[0], is_usable in ((1000.0, True), (1094.9, True), (1095.0, False)):
        assert (account.credentials() is not None) is is_usable, now
    assert account.credentials(check_expiry=False) is not None
    rest.me["jwt"] = jwt(1200)
    account.renew()
    renewed = account.credentials()
    assert renewed is not None and renewed.jwt == rest.me["jwt"]


def test_settings_without_a_login_are_not_used() -> None:
    """The user logs out while the connection requests them."""
    account = account_of(Answers())
    account.use_settings({"MODE": "NO_TRANSIENT"})
    assert account.session is None and account.mode == "DEFAULT"


def test_the_hosts_of_the_settings_are_used_after_the_login() -> None:
    """The vendor's clients do the same.

    The login and its renewal keep their host, since new settings come from there.
    """
    rest = Answers(settings={"CLIENT_API_HOST": "app.apiclient-eu.cometchat.io", "CHAT_API_VERSION": "v4"})
    account = logged_in(rest)
    assert rest.urls == ["https://app.apiclient-us.cometchat.io/v3.0/me"]
    assert account.endpoints.client == "https://app.apiclient-eu.cometchat.io/v4"
    account.request("POST", "/messages", {})
    assert rest.urls[-1] == "https://app.apiclient-eu.cometchat.io/v4/messages"
    account.set_login(account.service.login_with_auth_token("a-token-of-amy", None))
    account.renew()
    assert rest.urls[-1] == "https://app.apiclient-us.cometchat.io/v3.0/me"
    account.clear_login()
    assert account.endpoints.client == "https://app.apiclient-us.cometchat.io/v3.0"


def test_a_host_of_the_users_own_is_used_if_it_is_allowed(caplog: pytest.LogCaptureFixture) -> None:
    rest = Answers(settings=ONPREM)
    account = logged_in(rest, allowed_hosts=["Client.example.org", "admin.example.org"])
    assert account.endpoints == ("https://admin.example.org/v3", "https://client.example.org/v3")
    assert "allowed_hosts" not in caplog.text


def test_another_host_gets_no_token_and_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """The auth token would go to that host."""
    rest = Answers(settings=ONPREM)
    account = logged_in(rest, allowed_hosts=["admin.example.org"])
    assert account.endpoints == ("https://admin.example.org/v3", "https://app.apiclient-us.cometchat.io/v3.0")
    account.renew()
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "client.example.org" in warning and "allowed_hosts" in warning


def test_a_host_in_newer_settings_is_warned_of_too(caplog: pytest.LogCaptureFixture) -> None:
    """They come while a connection is up."""
    rest = Answers()
    account = logged_in(rest)
    rest.settings = dict(ONPREM)
    account.refresh_settings()
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "client.example.org" in warning and account.endpoints.client == "https://app.apiclient-us.cometchat.io/v3.0"
    rest.settings = {}
    account.refresh_settings()
    assert len(caplog.records) == 1, "there is no host left to warn of"


@pytest.mark.parametrize("ended", [True, False])
def test_the_end_of_a_login_is_logged(ended: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A program without a listener would wait forever. Another call may have ended or replaced the login before."""
    rest, asked = Answers(), []
    account = account_of(rest)
    account._end_login = lambda session, error: (asked.append(session.uid), ended)[1]
    account.set_login(account.service.login_with_auth_token("a-token-of-amy", None))
    rest.error = AuthenticationException("AUTH_ERR_AUTH_TOKEN_NOT_FOUND", "unknown")
    with pytest.raises(AuthenticationException):
        account.request("GET", "/me")
    said = "The service ended the login of amy. Log in again. Its answer: AUTH_ERR_AUTH_TOKEN_NOT_FOUND: unknown"
    assert asked == ["amy"] and (said in caplog.text) is ended


@pytest.mark.parametrize("code, ended", [("AUTH_ERR_AUTH_TOKEN_NOT_FOUND", ["amy"]), ("AUTH_ERR_NO_ACCESS", [])])
def test_a_refused_renewal_ends_the_login_only_if_the_service_does_not_know_the_token(
    code: str, ended: List[str]
) -> None:
    """After any other refusal the stored session stays, for the service may accept it later."""
    rest, asked = Answers(), []
    account = logged_in(rest)
    account._end_login = lambda session, error: (asked.append(session.uid), True)[1]
    rest.error = AuthenticationException(code, "refused")
    with pytest.raises(AuthenticationException):
        account.renew()
    assert asked == ended


def test_an_overridden_host_stays(caplog: pytest.LogCaptureFixture) -> None:
    rest = Answers(settings=ONPREM)
    allowed = ["client.example.org", "admin.example.org"]
    account = logged_in(rest, client_host="http://127.0.0.1:5", allowed_hosts=allowed)
    assert account.endpoints == ("https://admin.example.org/v3", "http://127.0.0.1:5")
    account = logged_in(rest, client_host="http://127.0.0.1:5", admin_host="http://127.0.0.1:5")
    assert account.endpoints == ("http://127.0.0.1:5", "http://127.0.0.1:5")
    assert caplog.records == []


@pytest.mark.parametrize("code", ["AUTH_ERR_AUTH_TOKEN_NOT_FOUND", "ERR_AUTHTOKEN_UNAVAILABLE"])
@pytest.mark.parametrize("call", ["a message", "the settings"])
def test_a_refused_token_is_replaced_and_the_call_made_again(code: str, call: str) -> None:
    """The second code says that the token belongs to another device. The service accepts a new one."""
    rest = Answers()
    account = account_of(rest)
    account.set_login(account.service.login_with_auth_token("a-token-of-amy", lambda: "another-token"))

    def accept_the_new(method: str, url: str, *, headers: Mapping[str, str], **_: Any) -> Any:
        if headers["authToken"] != "another-token":
            raise AuthenticationException(code, "refused")
        return dict(rest.me)

    rest.call = accept_the_new  # type: ignore[method-assign]
    if call == "a message":
        account.request("POST", "/messages", {})
    else:
        with pytest.raises(AuthenticationException):
            account.refresh_settings()  # during the handshake, which replaces the token itself
        assert account.require().auth_token == "a-token-of-amy"
        account.refresh_settings(replace_token=True)
    stored = account.stored_session()
    assert account.require().auth_token == "another-token"
    assert stored is not None and stored.auth_token == "another-token"


def test_a_renewal_with_the_answer_for_another_user_changes_no_user() -> None:
    """A proxy may mix up two answers. The client stays the user's, and the next attempt renews again."""
    rest = Answers()
    account = logged_in(rest)
    rest.me["uid"] = "bob"
    with pytest.raises(CometChatException) as caught:
        account.renew()
    assert caught.value.code == "ERR_BAD_RESPONSE" and "'bob'" in caught.value.message
    assert account.me.uid == "amy"
    rest.me["uid"] = "AMY"  # case does not matter
    account.renew()


@pytest.mark.parametrize("change", ["logout", "another login"])
def test_a_renewal_that_another_call_overtakes(change: str) -> None:
    """Its answer comes after a logout, or after the login of another user. It brings no earlier login back."""
    rest, store = Answers(), MemorySessionStore()
    account = logged_in(rest, store)
    call = rest.call

    def overtaken(*args: Any, **options: Any) -> Any:
        rest.call = call  # type: ignore[method-assign]
        answer = call(*args, **options)
        account.clear_login()
        if change == "another login":
            rest.me["uid"] = "bob"
            account.set_login(account.service.login_with_auth_token("a-token-of-bob", None))
        account.store_session()
        return answer

    rest.call = overtaken  # type: ignore[method-assign]
    account.renew()
    expected = None if change == "logout" else "bob"
    assert account.me.uid == expected and (store.load() or {}).get("uid") == expected


def test_a_refused_call_is_not_repeated_as_the_next_user() -> None:
    """Another thread's login comes while the service refuses the token of this one."""
    rest = Answers()
    account = account_of(rest)
    account.set_login(account.service.login_with_auth_token("a-token-of-amy", lambda: "another-token"))
    call = rest.call

    def refuse(*args: Any, **options: Any) -> Any:
        rest.call = call  # type: ignore[method-assign]
        rest.me["uid"] = "bob"
        account.set_login(account.service.login_with_auth_token("a-token-of-bob", lambda: "another-token"))
        rest.urls.clear()
        raise AuthenticationException("AUTH_ERR_AUTH_TOKEN_NOT_FOUND", "unknown")

    rest.call = refuse  # type: ignore[method-assign]
    with pytest.raises(CometChatException) as caught:
        account.request("POST", "/messages", {"text": "of amy"})
    assert caught.value.code == "USER_NOT_LOGGED_IN" and rest.urls == []
    assert account.require().uid == "bob"


def test_a_login_with_a_new_token_is_not_that_of_the_old_one() -> None:
    """A late refusal of the old token does not end it."""
    account = account_of(Answers())
    account.set_login(account.service.login_with_auth_token("a-token-of-amy", lambda: "another-token"))
    old = account.require()
    assert account.holds(old)
    account.refuse_token(old)
    account.renew()
    assert not account.holds(old) and account.holds(account.require())
    account.clear_login()
    assert not account.holds(old)


def test_the_uid_in_the_answer_may_be_a_number() -> None:
    rest = Answers(uid=42)
    account = account_of(rest)
    account.set_login(account.service.login_with_auth_token("a-token-of-amy", None))
    assert account.require().uid == "42"


@each_row(
    "key, value",
    [
        *(("uid", value) for value in (None, "", [], "x" * 1001, "\ud800")),
        *(("jwt", value) for value in (None, "", [], 5, "x" * 8193, "\ud800")),
        *(("authToken", value) for value in (None, "", [], "x" * 8193, "line\nbreak")),
    ],
)
def test_an_answer_without_a_usable_value_is_not_a_login(key: str, value: object) -> None:
    """The stored session could not be read again, or the next call could not be made."""
    rest = Answers(**{key: value})
    if key == "authToken":
        rest.token = value
    with pytest.raises(CometChatException, match=f"lacks a usable {key}") as caught:
        account_of(rest).service.login("amy", "auth-key")
    assert caught.value.code == "ERR_BAD_RESPONSE"


@each_row("key, value", [("uid", "x" * 1000), ("jwt", "x"), ("jwt", "x" * 8192), ("authToken", "x" * 8192)])
def test_an_answer_with_the_longest_values_is_a_login(key: str, value: str) -> None:
    rest = Answers(**{key: value})
    if key == "authToken":
        rest.token = value
    session = account_of(rest).service.login("amy", "auth-key")
    assert value in (session.uid, session.jwt, session.auth_token)
