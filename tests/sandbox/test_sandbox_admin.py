"""The admin API: a back end with the app's API key acts as the app or on behalf of a user, by hand over HTTP."""

from __future__ import annotations

import pytest
import requests
from sandbox_answers import code

from cometchat.sandbox import Sandbox

A, B, C = (f"cometchat-uid-{number}" for number in range(1, 4))
NEW = {"uid": "New-User", "name": "New User"}


@pytest.fixture
def ask(sandbox):
    """Make calls of a back end. Their only headers are the key and the user on whose behalf they act."""

    def call(method, path, body=None, by=None, key=None):
        headers = {"apikey": sandbox.api_key if key is None else key}
        if by is not None:
            headers["onBehalfOf"] = by
        return requests.request(method, f"{sandbox.url}/v3{path}", json=body, headers=headers, timeout=5)

    return call


def data(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


# The permitted callers of each call.


@pytest.mark.parametrize(
    "method, path, caller, refused",
    [
        ("POST", "/users", "no one", (401, "AUTH_ERR_EMPTY_APIKEY")),
        ("POST", "/users", "user", (401, "AUTH_ERR_EMPTY_APIKEY")),
        ("POST", "/users", "wrong", (401, "AUTH_ERR_APIKEY_NOT_FOUND")),
        ("POST", "/users", "auth key", (400, "ERR_BAD_REQUEST")),
        ("POST", "/users", "app", (400, "ERR_BAD_REQUEST")),
        ("DELETE", f"/users/{B}", "user", (401, "AUTH_ERR_EMPTY_APIKEY")),
        ("DELETE", f"/users/{B}", "auth key", (403, "AUTH_ERR_NO_ACCESS")),
        ("GET", "/users", "auth key", (403, "AUTH_ERR_NO_ACCESS")),
        ("GET", "/users", "no one", (401, "AUTH_ERR_EMPTY_AUTH_TOKEN")),
        ("GET", "/users", "wrong", (401, "AUTH_ERR_APIKEY_NOT_FOUND")),
        ("GET", "/conversations", "app", (400, "ERR_BAD_REQUEST")),
        ("DELETE", "/groups/g/members", "app", (400, "ERR_BAD_REQUEST")),
        ("POST", "/groups/g/members", "app", (400, "ERR_BAD_REQUEST")),
        ("POST", "/messages/1/reactions/x", "app", (400, "ERR_BAD_REQUEST")),
        ("PUT", "/me", "app", (400, "ERR_BAD_REQUEST")),
        ("GET", "/conversations", "nobody", (404, "ERR_UID_NOT_FOUND")),
        ("POST", "/users", "another app", (401, "AUTH_ERR_INVALID_APPID")),
    ],
)
def test_each_call_is_for_some_callers(client, sandbox, method, path, caller, refused):
    """A missing, wrong or weaker credential gets the vendor's code. A user's call needs a user from a back end."""
    sandbox.add_group("g", "G")
    headers = {
        "no one": {},
        "user": {"authToken": sandbox.auth_token(A)},
        "wrong": {"apiKey": "wrong"},
        "auth key": {"apiKey": sandbox.auth_key},
        "app": {"apiKey": sandbox.api_key},
        "nobody": {"apiKey": sandbox.api_key, "onBehalfOf": "nobody"},
        "another app": {"apiKey": sandbox.api_key, "appId": "another"},
    }[caller]
    assert code(client.call(method, path, headers=headers)) == refused


def test_the_key_is_made_for_each_sandbox(sandbox):
    """Every sandbox has its own API key, other than its auth key, unless a test sets one."""
    with Sandbox(api_key="mine") as another:
        assert another.api_key == "mine"
        assert len({sandbox.api_key, sandbox.auth_key, another.auth_key}) == 3


def test_a_back_end_needs_no_headers_of_an_sdk(sandbox, ask):
    """A back end sends neither appId nor sdk, which is not a violation. A client that sends them needs the app's id."""
    data(ask("GET", "/users"))
    data(ask("POST", f"/users/{A}/auth_tokens"))
    assert sandbox.violations == []


# Users.


def test_users_are_created_and_log_in(client, sandbox, ask):
    """POST /users makes a user, on request with an auth token. The uid is lowercased, and cannot be used again."""
    fields = {"avatar": "https://example.org/a.png", "role": "boss", "metadata": {"a": 1}, "tags": ["vip"]}
    user = data(ask("POST", "/users", {**NEW, **fields, "withAuthToken": True}))
    assert (user["uid"], user["name"], user["role"], user["metadata"]) == ("new-user", "New User", "boss", {"a": 1})
    assert client.me(user["authToken"]).json()["data"]["avatar"] == fields["avatar"]
    assert code(ask("POST", "/users", NEW)) == (409, "ERR_UID_ALREADY_EXISTS")
    by_client = client.call("POST", "/users", headers={"apiKey": sandbox.auth_key}, body={"uid": "u", "name": "U"})
    assert "authToken" not in data(by_client)
    assert client.create_token("u").status_code == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"uid": None},
        {"uid": "with space"},
        {"uid": "x" * 101},
        {"name": ""},
        {"name": "x" * 101},
        {"avatar": "x" * 3001},
        {"role": 1},
        {"metadata": "x"},
        {"tags": ["x"] * 26},
    ],
)
def test_the_fields_of_users_are_checked(ask, fields):
    """A field outside of the vendor's limits is ERR_BAD_REQUEST with its name, at creation and at a change."""
    answer = ask("POST", "/users", {**NEW, **fields})
    assert code(answer) == (400, "ERR_BAD_REQUEST") and list(answer.json()["error"]["details"]) == list(fields)
    assert code(ask("PUT", f"/users/{A}", fields)) == (400, "ERR_BAD_REQUEST")


def test_users_are_read_and_changed(client, sandbox, ask):
    """A back end reads and changes a user, and removes fields with unset.

    Clients may change users with the auth key.
    """
    assert data(ask("GET", f"/users/{A.upper()}"))["name"] == "Andrew Joseph"
    changed = data(ask("PUT", f"/users/{A}", {"name": "Andy", "role": "boss", "link": "https://example.org"}))
    assert (changed["name"], changed["role"], changed["link"]) == ("Andy", "boss", "https://example.org")
    assert "link" not in data(ask("PUT", f"/users/{A}", {"unset": ["link"]}))
    assert [user["uid"] for user in data(ask("GET", "/users?roles=boss"))] == [A]
    body = {"uid": A, "name": "Andrew"}
    by_client = client.call("PUT", f"/users/{A}", headers={"apiKey": sandbox.auth_key}, body=body)
    assert data(by_client)["name"] == "Andrew"
    assert code(ask("PUT", "/users/nobody", {})) == (404, "ERR_UID_NOT_FOUND")


def test_private_metadata_is_for_back_ends(client, ask, say):
    """The part under @private in a user's metadata is in no answer to a client and in no frame."""
    metadata = {"team": "red", "@private": {"email": "a@example.org"}}
    for answer in (ask("PUT", f"/users/{A}", {"metadata": metadata}), ask("GET", f"/users/{A}")):
        assert data(answer)["metadata"] == metadata
    assert data(say(B, "GET", f"/users/{A}"))["metadata"] == {"team": "red"}
    socket = client.connect(B, presence=None)
    sent = data(ask("POST", "/messages", text_to(B), by=A))
    assert "a@example.org" not in str([sent, client.receive(socket), data(say(A, "GET", "/me"))])


def test_lists_come_page_by_page(ask):
    """A back end asks for pages with perPage."""
    assert [user["uid"] for user in data(ask("GET", "/users?perPage=2&page=2"))] == [C, "cometchat-uid-4"]


def test_users_are_deactivated_and_come_back(client, sandbox, ask, say):
    """Only the back end's list has a deactivated user, until it is reactivated. The token is void."""
    token, socket = sandbox.auth_token(B), client.connect(B, presence=None)
    sandbox.add_group("g", "G", members=[B])
    sandbox.send_message(B, A, "hello")
    sandbox.react("1", B, "x")
    assert data(ask("DELETE", "/users", {"uidsToDeactivate": [B, "nobody", "app_system"]})) == {"deactivatedUids": [B]}
    assert client.me(token).status_code == 401
    for answer in (client.create_token(B), ask("GET", f"/users/{B}"), say(A, "GET", f"/users/{B}/messages")):
        assert code(answer) == (404, "ERR_UID_NOT_FOUND")
    assert B not in [user["uid"] for user in data(say(A, "GET", "/users")) + data(ask("GET", "/groups/g/members"))]
    assert data(say(A, "GET", "/messages/1/reactions"))[0]["uid"] == B and data(say(A, "GET", "/conversations")) == []
    client.send(socket, client.frame("typing_indicator", B, A, {"action": "started"}))
    (gone,) = data(ask("GET", "/users?onlyDeactivated=1"))
    assert gone["uid"] == B and gone["deactivatedAt"]
    assert len(data(ask("GET", "/users?withDeactivated=true"))) == 5
    assert data(ask("PUT", "/users", {"uidsToActivate": [B, A]})) == {"nonDeactivatedUids": [B]}
    assert client.create_token(B).status_code == 200 and "deactivatedAt" not in data(ask("GET", f"/users/{B}"))
    assert sandbox.violations == []


def test_a_jwt_of_a_deactivated_user_opens_no_socket(client, sandbox, ask):
    """The jwts of a user who is deactivated or deleted are refused permanently."""
    jwt = sandbox.jwt(B)
    ask("DELETE", "/users", {"uidsToDeactivate": [B]})
    for _ in range(2):
        socket = client.open()
        client.send(socket, client.auth_frame(B, jwt))
        assert client.receive(socket)["body"]["code"] == "401"
        ask("PUT", "/users", {"uidsToActivate": [B]})


def test_users_are_deleted(client, sandbox, ask, say):
    """A deleted user is no longer in lists and groups, and the messages stay.

    The uid is free, and old tokens stay void.
    """
    token, jwt = sandbox.auth_token(B), sandbox.jwt(B)
    sandbox.add_group("g", "G", members=[B])
    sandbox.send_message(B, "g", "hello", receiver_type="group")
    assert data(ask("DELETE", f"/users/{B}", {"permanent": True}))["success"] is True
    for uid in (B, "nobody", "app_system"):
        assert code(ask("DELETE", f"/users/{uid}")) == (404, "ERR_UID_NOT_FOUND")
    assert data(ask("GET", "/users?onlyDeactivated=1")) == [] and data(ask("GET", "/groups/g"))["membersCount"] == 1
    assert data(say(A, "GET", "/groups/g/messages"))[0]["sender"] == B
    data(ask("POST", "/users", {"uid": B, "name": "Another"}))
    assert client.me(token).status_code == 401 and data(ask("GET", f"/users/{B}"))["name"] == "Another"
    socket = client.open()
    client.send(socket, client.auth_frame(B, jwt))
    assert client.receive(socket)["body"]["code"] == "401"


def test_tokens_are_listed_and_deleted(client, sandbox, ask):
    """A back end makes tokens without a device, lists them, and deletes one or all."""
    first, second = (data(ask("POST", f"/users/{A}/auth_tokens"))["authToken"] for _ in range(2))
    assert [token["authToken"] for token in data(ask("GET", f"/users/{A}/auth_tokens"))] == [first, second]
    assert data(ask("DELETE", f"/users/{A}/auth_tokens/{first}"))["success"] is True
    assert client.me(first).status_code == 401 and client.me(second).status_code == 200
    for uid, token in ((A, first), (A, "unknown"), (B, second)):
        assert code(ask("DELETE", f"/users/{uid}/auth_tokens/{token}")) == (404, "ERR_AUTH_TOKEN_NOT_FOUND")
    assert data(ask("DELETE", f"/users/{A}/auth_tokens"))["success"] is True
    assert client.me(second).status_code == 401 and data(ask("GET", f"/users/{A}/auth_tokens")) == []


def test_friends_and_blocks_are_set(ask, say):
    """A back end makes and ends friendships and blocks of the user in the path."""
    answer = data(ask("POST", f"/users/{A}/friends", {"accepted": [B, "nobody"]}))["accepted"]
    assert {uid: result["success"] for uid, result in answer.items()} == {B: True, "nobody": False}
    assert [user["uid"] for user in data(say(B, "GET", "/user/friends"))] == [A]
    assert [user["uid"] for user in data(ask("GET", f"/users/{A}/friends"))] == [B]
    data(ask("DELETE", f"/users/{A}/friends", {"friends": [B]}))
    assert data(say(B, "GET", "/user/friends")) == []
    data(ask("POST", f"/users/{A}/blockedusers", {"blockedUids": [B]}))
    assert data(say(A, "GET", f"/users/{B}"))["blockedByMe"] is True
    assert [user["uid"] for user in data(ask("GET", f"/users/{A}/blockedusers?direction=blockedByMe"))] == [B]
    data(ask("DELETE", f"/users/{A}/blockedusers", {"blockedUids": [B]}))
    assert data(say(A, "GET", "/blockedusers")) == []


# Groups.


def test_groups_are_kept_by_the_app(client, ask, say):
    """The app makes, changes, lists and deletes groups of every type, and is not a member of them."""
    socket = client.connect(B, presence=None)
    body = {"guid": "G1", "name": "One", "type": "private", "members": {"admins": [A], "participants": [B]}}
    group = data(ask("POST", "/groups", body))
    assert (group["guid"], group["owner"], group["hasJoined"]) == ("g1", "app_system", False)
    assert data(ask("GET", "/groups/g1"))["membersCount"] == 2
    assert [user["scope"] for user in data(ask("GET", "/groups/g1/members"))] == ["admin", "participant"]
    assert data(ask("PUT", "/groups/g1", {"name": "Uno"}))["name"] == "Uno"
    assert [found["guid"] for found in data(ask("GET", "/groups"))] == ["g1"]
    data(ask("POST", "/groups/g1/members", {"participants": [C]}))
    added = client.receive(socket)["body"]
    assert (added["sender"], added["data"]["action"]) == ("app_system", "added")
    assert added["data"]["entities"]["by"]["entity"]["name"] == "System"
    assert data(ask("PUT", f"/groups/g1/members/{C}", {"scope": "moderator"}))["scope"] == "moderator"
    data(ask("DELETE", f"/groups/g1/members/{C}"))
    data(ask("POST", f"/groups/g1/bannedusers/{C}"))
    assert [user["uid"] for user in data(ask("GET", "/groups/g1/bannedusers"))] == [C]
    data(ask("DELETE", f"/groups/g1/bannedusers/{C}"))
    data(ask("PATCH", "/groups/g1/owner", {"owner": A}))
    assert code(ask("DELETE", f"/groups/g1/members/{A}")) == (403, "ERR_GROUP_NO_SCOPE_CLEARANCE")
    data(ask("DELETE", "/groups/g1"))
    assert code(say(A, "GET", "/groups/g1")) == (404, "ERR_GUID_NOT_FOUND")


def test_groups_are_changed_on_behalf_of_a_user(ask):
    """On behalf of a user, a back end has that user's rights, and no more."""
    body = {"guid": "g", "name": "G", "type": "password", "password": "pw", "owner": C}
    assert data(ask("POST", "/groups", body, by=A))["owner"] == A
    data(ask("POST", "/groups/g/members", {"password": "pw"}, by=B))
    assert code(ask("PUT", "/groups/g", {"name": "X"}, by=B)) == (403, "ERR_GROUP_NO_MODERATOR_SCOPE")
    data(ask("DELETE", "/groups/g/members", by=B))
    assert data(ask("GET", "/groups/g"))["membersCount"] == 1
    assert data(ask("POST", "/groups", {**body, "guid": "h"}))["owner"] == C


# Messages.


def text_to(receiver, receiver_type="user"):
    content = {"text": "hello"}
    kind = {"category": "message", "type": "text"}
    return {"receiver": receiver, "receiverType": receiver_type, **kind, "data": content}


def test_the_app_sends_messages(client, sandbox, ask, say):
    """A message of the app is from app_system. It reaches users, and groups of which the app is not a member."""
    sandbox.add_group("g", "G", owner=B)
    socket = client.connect(B, presence=None)
    for body in (text_to(B), text_to("g", "group")):
        sent = data(ask("POST", "/messages", body))
        assert sent["sender"] == "app_system" and sent["data"]["entities"]["sender"]["entity"]["name"] == "System"
        assert client.receive(socket)["body"] == sent
    named = [each["conversationWith"]["name"] for each in data(say(B, "GET", "/conversations"))]
    assert named == ["G", "System"]
    reply = data(ask("POST", "/messages/1/thread", text_to(B)))
    assert reply["parentId"] == "1"
    assert code(ask("POST", "/messages", text_to("nobody"))) == (404, "ERR_UID_NOT_FOUND")
    assert code(ask("POST", "/messages", {**text_to(B), "data": {}})) == (400, "ERR_EMPTY_MESSAGE_TEXT")
    several = {**text_to(B), "multipleReceivers": {"uids": [C]}}
    assert code(ask("POST", "/messages", several)) == (400, "ERR_BAD_REQUEST")


def test_a_back_end_sends_on_behalf_of_a_user(client, sandbox, ask):
    """On behalf of a user, messages, reactions and receipts are that user's, and all of the sockets get them."""
    sender, receiver = client.connect(A, presence=None), client.connect(B, presence=None)
    sent = data(ask("POST", "/messages", text_to(B), by=A.upper()))
    assert sent["sender"] == A and client.receive(sender)["body"] == client.receive(receiver)["body"] == sent
    data(ask("POST", "/messages/1/reactions/x", by=B))
    assert client.receive(sender)["body"]["uid"] == B
    data(ask("POST", f"/users/{A}/conversation/read", {"messageId": 1}, by=B))
    assert data(ask("GET", "/messages/1", by=A))["readAt"]
    assert [each["unreadMessageCount"] for each in data(ask("GET", "/conversations", by=B))] == [0]
    assert code(ask("GET", "/messages/1", by=C)) == (403, "ERR_MESSAGE_NO_ACCESS")


def test_the_app_sees_and_changes_every_message(client, sandbox, ask):
    """The app reads the whole history, that of a user or a group, and edits, deletes and pins messages of users."""
    sandbox.add_group("g", "G", owner=B)
    sandbox.send_message(A, B, "one")
    sandbox.send_message(B, C, "two")
    sandbox.send_message(B, "g", "three", receiver_type="group")

    def ids(path):
        return [message["id"] for message in data(ask("GET", path))]

    assert ids("/messages?limit=2") == ["2", "3"] and ids("/messages?affix=append") == ["1", "2", "3"]
    assert ids(f"/users/{C}/messages") == ["2"] and ids(f"/users/{B}/messages") == ["1", "2", "3"]
    assert ids("/groups/g/messages") == ["3"]
    socket = client.connect(A, presence=None)
    assert data(ask("POST", "/messages/1/pin"))["pinnedBy"] == "app_system"
    assert client.receive(socket)["body"]["pinnedBy"] == "app_system"
    edited = data(ask("PUT", "/messages/1", {"data": {"text": "edited"}}))
    assert (edited["data"]["action"], edited["sender"]) == ("edited", "app_system")
    data(ask("DELETE", "/messages/1"))
    actions = [client.receive(socket)["body"] for _ in range(2)]
    assert [action["data"]["action"] for action in actions] == ["edited", "deleted"]
    assert sandbox.messages[0]["deletedBy"] == "app_system" and data(ask("GET", "/messages/1"))["id"] == "1"
