"""The service no longer knows the auth token: the client gets a new one, or ends the login with the reason."""

from __future__ import annotations

import threading
from typing import Any, Callable, List

import pytest
import tenacity

from cometchat import Client, CometChatException, MemorySessionStore, TextMessage
from cometchat._runtime.account._redaction import Secrets
from cometchat._transport.http import RequestsRest
from cometchat.sandbox import Sandbox

from .conftest import DEADLINE, LOSS, OTHER_UID, UID, LoginRecorder, Party, eventually, finished, in_thread

DEAD = "AUTH_ERR_AUTH_TOKEN_NOT_FOUND"


def send(client: Client) -> None:
    client.send_message(TextMessage(text="a", receiver_id="cometchat-uid-2", receiver_type="user"))


def put(client: Client) -> None:
    client.outbox.put(TextMessage(text="a", receiver_id="cometchat-uid-2", receiver_type="user"))


def logins_of(client: Client) -> LoginRecorder:
    logins = LoginRecorder()
    client.add_login_listener("logins", logins)
    return logins


def log_in_with_refresh(sandbox: Sandbox, client: Client) -> List[str]:
    """Log in with an auth token, and connect. The list gets each token that ``refresh`` returns."""
    given: List[str] = []

    def refresh() -> str:
        given.append(sandbox.auth_token(UID))
        return given[-1]

    client.login_with_auth_token(sandbox.auth_token(UID), refresh)
    client.connect(DEADLINE)
    return given


def test_a_user_who_no_longer_exists_is_logged_out(sandbox: Sandbox, party: Party) -> None:
    """The service answers ``ERR_UID_NOT_FOUND`` for a deleted or deactivated user. Each logout failed."""
    client, _ = party.connected()
    sandbox.fail_http(404, times=1, path="/me", code="ERR_UID_NOT_FOUND")
    client.logout()
    assert client.get_logged_in_user() is None


@pytest.mark.parametrize("call", [send, put])
def test_a_call_with_a_dead_token_ends_the_login(
    sandbox: Sandbox, party: Party, call: Callable[[Client], None]
) -> None:
    """As after logout(), there is no user, an empty store and no connection.

    The connection's listeners get the reason.
    """
    store = MemorySessionStore()
    client, heard = party.connected(session_store=store)
    logins = logins_of(client)
    heard.clear()
    sandbox.revoke_tokens()
    try:
        call(client)
    except CometChatException as error:
        assert error.code == DEAD
    logins.wait_for_names("logout_success")
    heard.wait_for_names("on_connection_error", "on_disconnected")
    assert heard.errors[0].code == DEAD
    assert eventually(lambda: store.load() is None)
    assert client.get_logged_in_user() is None and client.get_connection_status() == "disconnected"
    assert sandbox.wait_until(lambda: not sandbox.connections, DEADLINE)
    assert client.login(UID, sandbox.auth_key).uid == UID
    heard.wait_for("on_connected")


def test_a_call_with_a_dead_token_while_disconnected(sandbox: Sandbox, party: Party) -> None:
    """The connection's listeners hear why the login ended in this state too."""
    client, heard = party.connected()
    logins = logins_of(client)
    client.disconnect()
    heard.wait_for("on_disconnected")
    heard.clear()
    sandbox.revoke_tokens()
    with pytest.raises(CometChatException):
        send(client)
    logins.wait_for_names("logout_success")
    heard.wait_for_names("on_connection_error")
    assert heard.errors[0].code == DEAD and client.get_connection_status() == "disconnected"


def test_a_restored_session_with_a_dead_token_ends(sandbox: Sandbox, party: Party) -> None:
    """The first attempt notices it. Promise 8 holds, and the store is empty afterwards."""
    store = MemorySessionStore()
    client, _ = party.connected(session_store=store)
    client.close()
    sandbox.revoke_tokens()
    again = party.client(session_store=store, auto_establish_socket_connection=False)
    heard, logins = party.heard(again), logins_of(again)
    with pytest.raises(CometChatException) as refused:
        again.connect(DEADLINE)
    assert refused.value.code == DEAD
    heard.wait_for_names("on_connecting", "on_connection_error", "on_disconnected")
    logins.wait_for_names("logout_success")
    assert eventually(lambda: store.load() is None) and again.get_logged_in_user() is None


def test_a_dead_token_during_the_wait_for_the_next_attempt(sandbox: Sandbox, party: Party) -> None:
    client, heard = party.connected(reconnect_wait=tenacity.wait_fixed(60))
    logins = logins_of(client)
    heard.clear()
    sandbox.revoke_tokens()
    sandbox.drop_connections()
    heard.wait_for("on_connecting")
    with pytest.raises(CometChatException):
        send(client)
    heard.wait_for_names(*LOSS[:3], "on_connection_error", "on_disconnected")
    logins.wait_for_names("logout_success")


def test_a_call_with_a_dead_token_gets_a_new_one(sandbox: Sandbox, party: Party) -> None:
    """With ``refresh`` the call succeeds, the connection stays, and the new token is stored."""
    store = MemorySessionStore()
    client = party.client(session_store=store)
    heard, logins = party.heard(client), logins_of(client)
    given = log_in_with_refresh(sandbox, client)
    heard.wait_for("on_connected")
    sandbox.revoke_tokens()
    send(client)
    stored: Any = store.load()
    assert [stored["auth_token"]] == given
    assert heard.names == ["on_connecting", "on_connected"] and logins.names == ["login_success"]


#: Codes with which the service may refuse an auth token, and the statuses that say so with any code.
REFUSALS = [
    *((status, code) for status in (200, 403, 429, 500) for code in (DEAD, "ERR_AUTHTOKEN_UNAVAILABLE")),
    (404, "ERR_AUTH_TOKEN_NOT_FOUND"),
    (403, "ERR_AUTHTOKEN_NOT_ACCESSIBLE"),
    (403, "ERR_AUTHTOKEN_NEW"),
    (403, "ERR_NO_AUTH"),
    (403, "JWT_NOT_FOUND"),
    (401, "ERR_NEW"),
]


@pytest.mark.parametrize("status, code", REFUSALS)
@pytest.mark.parametrize("path", ["/messages", "/me"])
def test_a_refused_token_is_not_used_again(
    sandbox: Sandbox, party: Party, path: str, status: int, code: str
) -> None:
    """Once one call is refused, the next call has a new token, even if another call would accept the old one."""
    client = party.client(auto_establish_socket_connection=False)
    given = log_in_with_refresh(sandbox, client)
    if path == "/me":
        client.disconnect()
        sandbox.expire_jwts()
    sandbox.fail_http(status, code=code, path=path, times=1)
    if path == "/me":
        client.connect(DEADLINE)
    send(client)
    assert len(given) == 1 and len(sandbox.messages) == 1
    send(client)
    assert len(given) == 1


@pytest.mark.parametrize("code", [1000, 1002, 4001])
def test_a_close_that_says_logged_out_ends_the_login(sandbox: Sandbox, party: Party, code: int) -> None:
    client, heard = party.connected()
    logins = logins_of(client)
    heard.clear()
    sandbox.close_connections(code, "USER_LOGGED_OUT")
    logins.wait_for_names("logout_success")
    heard.wait_for_names("on_connection_error", "on_disconnected")
    assert "USER_LOGGED_OUT" in str(heard.errors[0].details)
    assert client.get_logged_in_user() is None and client.get_connection_status() == "disconnected"


@pytest.mark.parametrize("revoked", [True, False])
def test_a_close_that_says_logged_out_gets_a_new_token(sandbox: Sandbox, party: Party, revoked: bool) -> None:
    client = party.client()
    heard = party.heard(client)
    given = log_in_with_refresh(sandbox, client)
    heard.wait_for("on_connected")
    heard.clear()
    if revoked:
        sandbox.revoke_tokens()
    sandbox.close_connections(1002, "USER_LOGGED_OUT")
    heard.wait_for_names(*LOSS)
    assert len(given) == 1 and client.get_logged_in_user() is not None


def test_a_close_that_says_logged_out_leaves_the_next_login(
    sandbox: Sandbox, party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes while another user logs in, whose login stays and connects."""
    client, heard = party.connected()
    scrub_error, calls = Secrets.scrub_error, [lambda: client.login(OTHER_UID, sandbox.auth_key)]

    def scrubbed(secrets: Secrets, error: CometChatException) -> None:
        if threading.current_thread().name.startswith("cometchat-connection-") and calls:
            finished(*in_thread(calls.pop()))
        scrub_error(secrets, error)

    monkeypatch.setattr(Secrets, "scrub_error", scrubbed)
    sandbox.close_connections(1000, "USER_LOGGED_OUT")
    heard.wait_for("on_connected", 2)
    user = client.get_logged_in_user()
    assert not calls and user is not None and user.uid == OTHER_UID and client.ping(DEADLINE) > 0


def test_a_dead_token_leaves_the_newer_login_of_another_process_in_the_store(sandbox: Sandbox, party: Party) -> None:
    """Workers share a FileSessionStore: the first one that logs in again must not lose its login to the others."""
    store = MemorySessionStore()
    client, _ = party.connected(session_store=store)
    logins = logins_of(client)
    stored = store.load()
    assert stored is not None
    sandbox.revoke_tokens()
    newer = {**stored, "auth_token": sandbox.auth_token(UID)}
    store.save(newer)
    with pytest.raises(CometChatException):
        send(client)
    logins.wait_for_names("logout_success")
    assert client.get_logged_in_user() is None and store.load() == newer


def test_a_login_while_the_attempt_asks_with_the_earlier_dead_token(
    sandbox: Sandbox, party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal is about the earlier token. It does not end the attempts of the new login."""
    store = MemorySessionStore()
    party.connected(session_store=store)[0].close()
    sandbox.revoke_tokens()
    token, call = sandbox.auth_token(UID), RequestsRest.call
    made = threading.Event()
    logins = [lambda: clients[0].login_with_auth_token(token)]
    clients: List[Client] = []

    def call_late(self: RequestsRest, method: str, url: str, **options: Any) -> Any:
        if threading.current_thread().name.startswith("cometchat-connection-") and logins:
            assert made.wait(DEADLINE)
            finished(*in_thread(logins.pop()))
        return call(self, method, url, **options)

    monkeypatch.setattr(RequestsRest, "call", call_late)
    clients.append(party.client(session_store=store))
    made.set()
    assert clients[0].wait_for_status("connected", DEADLINE) and not logins
    user = clients[0].get_logged_in_user()
    assert user is not None and user.auth_token == token


@pytest.mark.parametrize("uid", [UID, OTHER_UID])
def test_a_logout_leaves_the_login_of_another_process_in_the_store(sandbox: Sandbox, party: Party, uid: str) -> None:
    """The other process would find no login at its restart, although the logout did not void its token."""
    store = MemorySessionStore()
    client, _ = party.connected(session_store=store)
    other = party.client(session_store=store)
    other.login(uid, sandbox.auth_key)
    stored = store.load()
    client.logout()
    assert store.load() == stored is not None
    other.logout()
    assert store.load() is None


@pytest.mark.parametrize(
    "status, code, told",
    [
        (402, "ERR_PLAN_NEW", True),
        (403, "ERR_SUBSCRIPTION_PAUSED", True),
        (402, "ERR_BRAND_NEW", True),
        (400, "ERR_SHARD_FAILED", False),
    ],
)
def test_a_code_that_is_not_in_the_table_is_judged_on_a_reconnect_too(
    sandbox: Sandbox, party: Party, caplog: pytest.LogCaptureFixture, status: int, code: str, told: bool
) -> None:
    """The prefix or the status decides: the attempts continue, and a warning says what an operator must do."""
    client, heard = party.connected()
    heard.clear()
    sandbox.expire_jwts()
    sandbox.fail_http(status, code=code, path="/me")
    sandbox.drop_connections()
    assert eventually(lambda: any(error.code == code for error in heard.errors))
    assert eventually(lambda: client.get_connection_status() == "connecting")
    assert eventually(lambda: ("The service refuses this app" in caplog.text) is told)
    sandbox.heal()
    client.connect(DEADLINE)
    assert client.get_connection_status() == "connected"


@pytest.mark.parametrize("status", [429, 500])
@pytest.mark.parametrize("code", [DEAD, "ERR_AUTHTOKEN_UNAVAILABLE", "ERR_UID_NOT_FOUND"])
def test_a_final_code_ends_the_attempts_with_any_status(
    sandbox: Sandbox, party: Party, status: int, code: str
) -> None:
    """The code counts before the status: another attempt would get the same answer."""
    _, heard = party.connected()
    heard.clear()
    sandbox.expire_jwts()
    sandbox.fail_http(status, code=code, path="/me")
    sandbox.drop_connections()
    heard.wait_for_names(*LOSS[:3], "on_connection_error", "on_disconnected")
    assert heard.errors[-1].code == code


@pytest.mark.parametrize("code", ["ERR_MISSION_FAILED", "AUTH_ERR_INVALID_APPID"])
def test_an_error_that_is_not_about_the_token_asks_for_no_other(sandbox: Sandbox, party: Party, code: str) -> None:
    """HTTP 401 with a code of the database or the app: ``refresh`` is not called, and the attempts go on."""
    client = party.client()
    heard = party.heard(client)
    given = log_in_with_refresh(sandbox, client)
    heard.wait_for("on_connected")
    sandbox.expire_jwts()
    sandbox.fail_http(401, code=code, path="/me")
    sandbox.drop_connections()
    assert eventually(lambda: any(error.code == code for error in heard.errors))
    assert client.get_connection_status() == "connecting" and given == []
    sandbox.heal()
    client.connect(DEADLINE)


@pytest.mark.parametrize("code", ["ERR_SUBSCRIPTION_EXPIRED", "AUTH_ERR_INVALID_APPID", "ERR_PLAN_NEW"])
def test_an_operators_code_in_the_answer_to_auth(
    sandbox: Sandbox, party: Party, caplog: pytest.LogCaptureFixture, code: str
) -> None:
    """As over HTTP, the jwt is not renewed, the attempts continue with long waits, and one warning says what to do."""
    client, heard = party.connected()
    heard.clear()
    renewals = len([request for request in sandbox.requests if request.method == "PUT"])
    sandbox.refuse_auth(code=code)
    sandbox.drop_connections()
    assert eventually(lambda: any(error.code == code for error in heard.errors))
    assert eventually(lambda: "The service refuses this app" in caplog.text)
    assert client.get_connection_status() == "connecting" and renewals == len(
        [request for request in sandbox.requests if request.method == "PUT"]
    )
    sandbox.heal()
    client.connect(DEADLINE)
    assert client.get_connection_status() == "connected"
