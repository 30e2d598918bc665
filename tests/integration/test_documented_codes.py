"""Each error that a call raises is in its docstring, with its code."""

from __future__ import annotations

import re
from typing import Callable, Dict, NamedTuple, Set

import pytest
from no_threads import no_threads

from cometchat import Client, CometChatException, ConnectionListener, MemorySessionStore, TextMessage, User
from cometchat.sandbox import Sandbox

from .conftest import DEADLINE, OTHER_UID, UID, Party, Recorder

STORED = TextMessage(id="1", text="a", receiver_id=OTHER_UID, receiver_type="user")
RECEIVED = TextMessage(id="1", text="a", sender=User(OTHER_UID), receiver_id=UID, receiver_type="user")


def documented(method: str) -> Set[str]:
    """Return the codes in the docstring of a method of Client, with those of the methods that it refers to."""
    raised = " ".join((getattr(Client, method).__doc__ or "").partition(":raises CometChatException:")[2].split())
    codes = set(re.findall(r"``([A-Z]\w+)``", raised))
    return codes.union(*(documented(other) for other in re.findall(r"as :meth:`(\w+)`", raised)))


#: Method -> a call of it that reaches the service over HTTP.
HTTP: Dict[str, Callable[[Client], object]] = {
    "login": lambda client: client.login(UID, "key"),
    "login_with_auth_token": lambda client: client.login_with_auth_token("token"),
    "send_message": lambda client: client.send_message(
        TextMessage(text="a", receiver_id=OTHER_UID, receiver_type="user")
    ),
    "send_text": lambda client: client.send_text("a", uid=OTHER_UID),
    "send_media_message": lambda client: client.send_media_message(b"a", uid=OTHER_UID, name="a.txt"),
    "edit_message": lambda client: client.edit_message(STORED, "b"),
    "delete_message": lambda client: client.delete_message(STORED),
    "add_reaction": lambda client: client.add_reaction(STORED, "+"),
    "remove_reaction": lambda client: client.remove_reaction(STORED, "+"),
    "get_messages": lambda client: list(client.get_messages(limit=1)),
    "logout": lambda client: client.logout(),
}


def raised_code(act: Callable[[], object]) -> str:
    with pytest.raises(CometChatException) as caught:
        act()
    return caught.value.code


@pytest.mark.parametrize("method", HTTP)
def test_the_codes_of_http_calls(method: str, sandbox: Sandbox, party: Party) -> None:
    """No network, an answer that is not of the protocol, and too many requests."""
    client = party.client(auto_establish_socket_connection=False)
    client.login(UID, sandbox.auth_key)
    found = set()
    for fault in (
        lambda: sandbox.fail_http(200, body="<html>"),
        lambda: sandbox.fail_http(429, body="<html>"),
        sandbox.refuse_connections,
    ):
        fault()
        found.add(raised_code(lambda: HTTP[method](client)))
        sandbox.heal()
    assert found == {"ERR_BAD_RESPONSE", "ERR_TOO_MANY_REQUESTS", "FAILED_TO_FETCH"}
    assert found <= documented(method)


@pytest.mark.parametrize("method", [name for name in HTTP if name not in ("login", "login_with_auth_token", "logout")])
def test_the_code_of_a_refresh_that_raises(method: str, sandbox: Sandbox, party: Party) -> None:
    """A call replaces a refused token, so it may raise what ``refresh`` raises."""
    client = party.client(auto_establish_socket_connection=False)
    client.login_with_auth_token(sandbox.auth_token(UID), refresh=lambda: {}["a token"])
    sandbox.revoke_tokens()
    assert raised_code(lambda: HTTP[method](client)) == "ERR_TOKEN_REFRESH"
    assert "ERR_TOKEN_REFRESH" in documented(method)


class Frame(NamedTuple):
    """A call that sends a frame, and its code while the app is throttled."""

    act: Callable[[Client], None]
    throttled: str


FRAMES = {
    "start_typing": Frame(lambda client: client.start_typing(OTHER_UID), "ERR_FEATURE_THROTTLED"),
    "end_typing": Frame(lambda client: client.end_typing(OTHER_UID), "ERR_FEATURE_THROTTLED"),
    "send_transient_message": Frame(
        lambda client: client.send_transient_message(OTHER_UID, "user", {}), "ERR_FEATURE_THROTTLED"
    ),
    "mark_as_delivered": Frame(lambda client: client.mark_as_delivered(RECEIVED), "RECEIPTS_TEMPORARILY_BLOCKED"),
    "mark_as_read": Frame(lambda client: client.mark_as_read(RECEIVED), "RECEIPTS_TEMPORARILY_BLOCKED"),
}


@pytest.mark.parametrize("method", FRAMES)
def test_the_codes_of_frames(method: str, sandbox: Sandbox, party: Party) -> None:
    """No login, no connection, and a throttled app. A receipt has another code than typing there."""
    act, throttled = FRAMES[method]
    client = party.client(auto_establish_socket_connection=False)
    found = [raised_code(lambda: act(client))]
    client.login(UID, sandbox.auth_key)
    found.append(raised_code(lambda: act(client)))
    sandbox.set_mode("NO_TRANSIENT")
    client.login(UID, sandbox.auth_key)
    client.connect(DEADLINE)
    found.append(raised_code(lambda: act(client)))
    assert found == ["USER_NOT_LOGGED_IN", "NO_WEBSOCKET_CONNECTION", throttled]
    assert set(found) <= documented(method)
    unused = {"ERR_FEATURE_THROTTLED", "RECEIPTS_TEMPORARILY_BLOCKED"} - {throttled}
    assert not unused & documented(method)


def test_the_codes_of_calls_inside_a_logout(sandbox: Sandbox, party: Party) -> None:
    """The session store is called during a logout, which such a call can't wait for."""
    found: Dict[str, str] = {}

    class Store:
        def load(self) -> None:
            return None

        def save(self, session: object) -> None:
            pass

        def clear(self) -> None:
            for method in ("connect", "logout"):
                found[method] = raised_code(getattr(client, method))

    client = party.client(session_store=Store(), auto_establish_socket_connection=False)
    client.login(UID, sandbox.auth_key)
    client.logout()
    assert found == {"connect": "LOGIN_IN_PROGRESS", "logout": "LOGIN_IN_PROGRESS"}
    assert all(code in documented(method) for method, code in found.items())


@pytest.mark.parametrize("method", ["login", "connect", "logout"])
def test_the_code_of_a_lack_of_threads(method: str, sandbox: Sandbox, party: Party) -> None:
    """The system starts no thread for the client."""
    kept = MemorySessionStore()
    with Client(sandbox.app_id, sandbox.settings(session_store=kept, auto_establish_socket_connection=False)) as first:
        first.login(UID, sandbox.auth_key)
    client = party.client(session_store=kept, auto_establish_socket_connection=False)
    client.add_connection_listener(ConnectionListener())

    acts = {"login": lambda: client.login(UID, sandbox.auth_key), "connect": client.connect, "logout": client.logout}
    with no_threads():
        code = raised_code(acts[method])
    assert code == "ERR_INTERNAL" and code in documented(method)


def test_the_code_of_a_lack_of_threads_for_the_first_listener(sandbox: Sandbox, party: Party) -> None:
    """A connected client without a listener has no thread for the callbacks. The listener is not registered then."""
    client, recorder = party.client(), Recorder()
    client.login(UID, sandbox.auth_key)
    client.connect(DEADLINE)
    with no_threads():
        assert raised_code(lambda: client.add_connection_listener("id", recorder)) == "ERR_INTERNAL"
        assert raised_code(client.connection_listener(recorder).__enter__) == "ERR_INTERNAL"
    assert not client._registry.audience("connection").entries
    added = [method for method in dir(Client) if re.fullmatch(r"add_\w+_listener|connection_listener", method)]
    assert len(added) == 11 and all("ERR_INTERNAL" in documented(method) for method in added)
