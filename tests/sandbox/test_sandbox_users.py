"""Users: single ones, lists, changes of their own, blocks, by hand over HTTP."""

from __future__ import annotations

import pytest
from sandbox_answers import code

A, B, C, D, E = (f"cometchat-uid-{number}" for number in range(1, 6))


def uids(answer):
    """Return the uids of a page."""
    assert answer.status_code == 200, answer.text
    return [user["uid"] for user in answer.json()["data"]]


def test_a_user_is_shown(client, say):
    """GET of a user returns their fields, with whether they have a socket now."""
    user = say(A, "GET", f"/v3.0/users/{B}").json()["data"]
    assert (user["uid"], user["name"], user["status"]) == (B, "George Alan", "offline")
    client.connect(B, presence=None)
    assert say(A, "GET", f"/users/{B}").json()["data"]["status"] == "available"
    assert code(say(A, "GET", "/users/nobody")) == (404, "ERR_UID_NOT_FOUND")


def test_the_others_are_listed(client, say):
    """GET /users returns the other users page by page, on request by name and status."""
    assert uids(say(A, "GET", "/users")) == [B, C, D, E]
    answer = say(A, "GET", "/users?per_page=3&page=2")
    pages = {"total": 4, "count": 1, "per_page": 3, "current_page": 2, "total_pages": 2}
    assert uids(answer) == [E] and answer.json()["meta"]["pagination"] == pages
    client.connect(C, presence=None)
    assert uids(say(A, "GET", "/users?status=online")) == [C]
    empty = say(A, "GET", "/users?searchKey=nobody")
    assert uids(empty) == [] and empty.json()["meta"]["pagination"]["total_pages"] == 1
    assert uids(say(A, "GET", "/users?searchKey=GEORGE%20A")) == [B]
    assert uids(say(A, "GET", "/users?searchKey=alan")) == []  # the service looks at the beginning
    assert code(say(A, "GET", "/users?per_page=0")) == (400, "ERR_BAD_REQUEST")


def test_users_change_themselves(client, sandbox, say):
    """PUT /me with a user's fields changes only these, is not a violation, and shows in the user's messages."""
    changes = {"uid": B, "name": "Andy", "metadata": {"a": 1}, "avatar": "https://example.org/a.png", "role": "boss"}
    me = say(A, "PUT", "/me", changes).json()["data"]
    assert (me["uid"], me["name"], me["metadata"], me["role"]) == (A, "Andy", {"a": 1}, "default")
    assert me["authToken"] and me["jwt"]
    say(A, "PUT", "/me", {"statusMessage": "busy"})
    user = say(B, "GET", f"/users/{A}").json()["data"]
    assert (user["name"], user["avatar"], user["statusMessage"]) == ("Andy", changes["avatar"], "busy")
    assert say(A, "GET", f"/users/{B}").json()["data"]["name"] == "George Alan"
    socket = client.connect(B, presence=None)
    sandbox.send_message(A, B, "hello")
    assert client.receive(socket)["body"]["data"]["entities"]["sender"]["entity"]["name"] == "Andy"
    assert code(say(A, "PUT", "/me", {"name": ""})) == (400, "ERR_BAD_REQUEST")
    assert sandbox.violations == []


def test_users_are_blocked(say):
    """Blocked users are listed, and both sides see the block, until it ends. Each uid has a result."""
    answer = say(A, "POST", "/blockedusers", {"blockedUids": [B, "nobody"]}).json()["data"]
    assert {uid: result["success"] for uid, result in answer.items()} == {B: True, "nobody": False}
    say(C, "POST", "/blockedusers", {"blockedUids": [A]})
    assert uids(say(A, "GET", "/blockedusers?per_page=10&page=1")) == [B, C]
    assert uids(say(A, "GET", "/blockedusers?direction=blockedByMe")) == [B]
    assert uids(say(A, "GET", "/blockedusers?direction=hasBlockedMe")) == [C]
    mine, theirs = (say(A, "GET", f"/users/{uid}").json()["data"] for uid in (B, C))
    assert (mine["blockedByMe"], mine["hasBlockedMe"]) == (True, False)
    assert (theirs["blockedByMe"], theirs["hasBlockedMe"]) == (False, True)
    say(A, "DELETE", "/blockedusers", {"blockedUids": [B]})
    assert say(A, "GET", f"/users/{B}").json()["data"]["blockedByMe"] is False


@pytest.mark.parametrize(
    "path, wanted",
    [
        ("/users?hideBlockedUsers=1", [B, D, E]),
        (f"/users?searchKey={D}&searchIn=uid", [D]),
        (f"/users?searchKey={D}&searchIn=name", []),
        ("/users?searchKey=uid-4", []),
        (f"/users?uids={B},{E}", [B, E]),
        ("/users?roles=default,boss&tags=none", []),
        ("/blockedusers?searchKey=nancy", [C]),
    ],
)
def test_users_are_searched(sandbox, say, path, wanted):
    """Each parameter selects users."""
    sandbox.block(A, C)
    assert uids(say(A, "GET", path)) == wanted


@pytest.mark.parametrize(
    "path", ["/users?searchIn=role", "/blockedusers?direction=up", "/conversations?conversationType=crowd"]
)
def test_a_parameter_without_sense_is_refused(say, path):
    """An unknown value of a parameter is ERR_BAD_REQUEST."""
    assert code(say(A, "GET", path)) == (400, "ERR_BAD_REQUEST")


@pytest.mark.parametrize("body", [None, [], {"blockedUids": B}, {"blockedUids": [1]}])
def test_blocking_wants_a_list(say, body):
    """A block without a list of uids is refused."""
    assert code(say(A, "POST", "/blockedusers", body)) == (400, "ERR_BAD_REQUEST")


@pytest.mark.parametrize(
    "method, path", [("GET", "/users"), ("GET", f"/users/{B}"), ("GET", "/blockedusers"), ("POST", "/blockedusers")]
)
def test_every_call_wants_an_auth_token(client, sandbox, method, path):
    """Every route needs an auth token, and a fault can be set on each path."""
    assert code(client.call(method, path)) == (401, "AUTH_ERR_EMPTY_AUTH_TOKEN")
    sandbox.fail_http(503, path=path)
    assert client.call(method, path).status_code == 503
