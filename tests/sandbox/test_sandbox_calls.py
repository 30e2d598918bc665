"""The signalling of calls, by hand over HTTP and sockets, and played by the sandbox."""

from __future__ import annotations

import pytest
from sandbox_answers import code

A, B, C = "cometchat-uid-1", "cometchat-uid-2", "cometchat-uid-3"


def ring(receiver=B, **change):
    return {"receiver": receiver, "receiverType": "user", "type": "audio", **change}


def session(message):
    return message["data"]["entities"]["on"]["entity"]


def test_a_call_rings(client, make_client, sandbox, say):
    """POST /calls stores a message of the category call, and sends it to all sockets but the caller's own."""
    another = make_client(sandbox)
    called, here, there = client.connect(B, presence=None), client.connect(A, presence=None), another.connect(A)
    stored = say(A, "POST", "/calls", ring(type="video")).json()["data"]
    assert (stored["id"], stored["category"], stored["type"]) == ("1", "call", "video")
    assert (stored["sender"], stored["receiver"], stored["receiverType"]) == (A, B, "user")
    assert stored["conversationId"] == f"{A}_user_{B}" and stored["data"]["action"] == "initiated"
    entities = stored["data"]["entities"]
    assert (entities["by"]["entity"]["uid"], entities["for"]["entity"]["uid"]) == (A, B)
    assert entities["on"]["entityType"] == "call"
    sides = entities["on"]["entity"]["data"]["entities"]
    assert (sides["sender"]["entity"]["uid"], sides["receiver"]["entity"]["uid"]) == (A, B)
    on = session(stored)
    assert on["sessionid"] and (on["status"], on["initiator"], on["receiver"], on["type"]) == (
        "initiated",
        A,
        B,
        "video",
    )
    assert client.receive(called)["body"] == another.receive(there)["body"] == stored
    assert client.hears_nothing(here, 0.05)
    assert sandbox.messages == [stored]


@pytest.mark.parametrize(
    "uid, status", [(B, "ongoing"), (B, "rejected"), (B, "busy"), (A, "cancelled"), (A, "unanswered")]
)
def test_a_call_is_answered_or_taken_back(client, sandbox, say, uid, status):
    """Each status is stored and reaches the other side. The session keeps its caller and its called user."""
    session_id = sandbox.call(A, B)
    other = A if uid == B else B
    socket = client.connect(other, presence=None)
    message = say(uid, "PUT", f"/calls/{session_id}", {"status": status}).json()["data"]
    assert client.receive(socket)["body"] == message == sandbox.messages[-1]
    assert (message["data"]["action"], session(message)["status"], message["sender"]) == (status, status, uid)
    assert (session(message)["sessionid"], message["receiver"]) == (session_id, other)
    entities = message["data"]["entities"]
    assert (entities["by"]["entity"]["uid"], entities["for"]["entity"]["uid"]) == (uid, other)
    sides = session(message)["data"]["entities"]
    assert session(message)["initiator"] == sides["sender"]["entity"]["uid"] == A
    assert sides["receiver"]["entity"]["uid"] == B


@pytest.mark.parametrize("uid", [A, B])
def test_an_accepted_call_ends(sandbox, say, uid):
    """Either side ends an ongoing call. The session has the times of joining and ending."""
    session_id = sandbox.call(A, B)
    assert code(say(uid, "PUT", f"/calls/{session_id}", {"status": "ended"})) == (400, "ERR_CALL_NOT_STARTED")
    sandbox.accept_call(session_id)
    message = say(uid, "PUT", f"/calls/{session_id}", {"status": "ended"}).json()["data"]
    on = session(message)
    assert on["initiatedAt"] <= on["joinedAt"] <= on["endedAt"]
    assert code(say(uid, "PUT", f"/calls/{session_id}", {"status": "ended"})) == (400, "ERR_CALL_TERMINATED")


@pytest.mark.parametrize(
    "uid, status, refused",
    [
        (A, "ongoing", (403, "ERR_CALL_NOT_A_PART")),
        (A, "rejected", (403, "ERR_CALL_NOT_A_PART")),
        (B, "cancelled", (403, "ERR_CALL_NOT_A_PART")),
        (C, "ongoing", (403, "ERR_CALL_NOT_A_PART")),
        (B, "on hold", (400, "ERR_BAD_REQUEST")),
        (B, None, (400, "ERR_BAD_REQUEST")),
    ],
)
def test_permissions(sandbox, say, uid, status, refused):
    """The caller cannot answer, the called user cannot cancel, and a stranger does not see the call.

    Nothing is stored.
    """
    session_id = sandbox.call(A, B)
    assert code(say(uid, "PUT", f"/calls/{session_id}", {"status": status})) == refused
    assert len(sandbox.messages) == 1


@pytest.mark.parametrize(
    "body, refused",
    [
        (None, (400, "ERR_BAD_REQUEST")),
        (ring(type="smell"), (400, "ERR_BAD_REQUEST")),
        (ring(receiver=""), (400, "ERR_BAD_REQUEST")),
        (ring(receiver=A), (400, "ERR_CALLING_SELF")),
        (ring(receiverType="crowd"), (400, "ERR_INVALID_RECEIVER_TYPE")),
        (ring("nobody"), (404, "ERR_UID_NOT_FOUND")),
        (ring("none", receiverType="group"), (404, "ERR_GUID_NOT_FOUND")),
        (ring("g", receiverType="group"), (403, "ERR_NOT_A_MEMBER")),
    ],
)
def test_an_incomplete_call_is_refused(sandbox, say, body, refused):
    """A call with a missing field, to oneself, to an unknown user or to a group of others is refused."""
    sandbox.add_group("g", "G", owner=C)
    assert code(say(A, "POST", "/calls", body)) == refused
    assert sandbox.messages == []


def test_a_status_that_cannot_follow_is_refused(sandbox, say):
    """A ringing call does not start again, and an accepted one can only end."""
    session_id = sandbox.call(A, B)
    for status, refused in (("initiated", "ERR_CALL_INVALID_INIT"), ("ended", "ERR_CALL_NOT_STARTED")):
        assert code(say(A, "PUT", f"/calls/{session_id}", {"status": status})) == (400, refused)
    sandbox.accept_call(session_id)
    refused = code(say(A, "PATCH", f"/calls/{session_id}", {"status": "cancelled"}))
    assert refused == (400, "ERR_CALL_ONGOING_TO_INVALID")


def test_a_side_that_is_in_a_call_is_busy(sandbox, say):
    """Neither side of an ongoing call calls or is called, until it ends; a call that only rings does not count."""
    sandbox.call(C, A)
    session_id = sandbox.call(A, B)
    sandbox.accept_call(session_id)
    assert code(say(A, "POST", "/calls", ring(C))) == (400, "ERR_CALL_BUSY_SELF")
    assert code(say(B, "POST", "/calls", ring(C))) == (400, "ERR_CALL_BUSY_SELF")
    for called in (A, B):
        assert code(say(C, "POST", "/calls", ring(called))) == (400, "ERR_CALL_BUSY_USER")
    assert code(say(B, "PUT", f"/calls/{session_id}", {"status": "ongoing"})) == (400, "ERR_CALL_USER_ALREADY_JOINED")
    sandbox.end_call(session_id)
    assert say(C, "POST", "/calls", ring(B)).status_code == 200


def test_members_join_the_call_of_a_group(sandbox, say):
    """Each member once; the group has one call at a time, which is never busy."""
    sandbox.add_group("g", "G", owner=A, members=[B, C])
    session_id = session(say(A, "POST", "/calls", ring("g", receiverType="group")).json()["data"])["sessionid"]
    path = f"/calls/{session_id}"
    assert code(say(B, "PUT", path, {"status": "busy"})) == (400, "ERR_CALL_GROUP_INVALID_STATUS")
    for uid in (B, C):
        assert session(say(uid, "PUT", path, {"status": "ongoing"}).json()["data"])["status"] == "ongoing"
        assert code(say(uid, "PUT", path, {"status": "ongoing"})) == (400, "ERR_CALL_GROUP_ALREADY_JOINED")
    assert code(say(C, "POST", "/calls", ring("g", receiverType="group"))) == (400, "ERR_CALL_BUSY_SELF")
    sandbox.add_user("d", "D")
    sandbox.join("g", "d")
    assert code(say("d", "POST", "/calls", ring("g", receiverType="group"))) == (400, "ERR_CALL_BUSY_GROUP")


def test_a_muid_counts_once(sandbox, say):
    """A call that starts again under the same muid is the same call."""
    first = say(A, "POST", "/calls", ring(muid="m")).json()["data"]
    assert first["muid"] == "m" and say(A, "POST", "/calls", ring(muid="m")).json()["data"] == first
    assert len(sandbox.messages) == 1


def test_a_group_is_called(client, sandbox, say):
    """A call to a group reaches its members. A member can accept it even after the caller has left the group."""
    sandbox.add_group("g", "G", owner=C, members=[A, B])
    member = client.connect(B, presence=None)
    stored = say(A, "POST", "/calls", ring("g", receiverType="group")).json()["data"]
    assert client.receive(member)["body"] == stored
    assert (stored["receiver"], stored["conversationId"]) == ("g", "group_g")
    sandbox.leave("g", A)
    sandbox.accept_call(session(stored)["sessionid"], by=C)
    left, accepted = (client.receive(member)["body"] for _ in range(2))
    assert (left["data"]["action"], accepted["data"]["action"], accepted["receiver"]) == ("left", "ongoing", "g")
    sides = session(accepted)["data"]["entities"]
    assert (sides["sender"]["entity"]["uid"], sides["receiver"]["entity"]["guid"]) == (A, "g")


@pytest.mark.parametrize("method, path", [("POST", "/calls"), ("PUT", "/calls/x")])
def test_every_call_wants_an_auth_token(client, sandbox, method, path):
    """Without an auth token calls are refused, and a fault can be set on each path."""
    assert code(client.call(method, path, body={})) == (401, "AUTH_ERR_EMPTY_AUTH_TOKEN")
    sandbox.fail_http(503, path=path)
    assert client.call(method, path).status_code == 503


# Played by the sandbox.


def test_calls_are_played(client, sandbox):
    """Both sides get call(), accept_call(), reject_call(), cancel_call() and end_call()."""
    caller, called = client.connect(A, presence=None), client.connect(B, presence=None)
    accepted = sandbox.call(A, B, "video")
    sandbox.accept_call(accepted)
    sandbox.end_call(accepted, by=B)
    sandbox.reject_call(sandbox.call(A, B))
    sandbox.cancel_call(sandbox.call(A, B))
    for socket in (caller, called):
        heard = [client.receive(socket)["body"] for _ in range(7)]
        assert [(body["data"]["action"], body["sender"]) for body in heard] == [
            ("initiated", A),
            ("ongoing", B),
            ("ended", B),
            ("initiated", A),
            ("rejected", B),
            ("initiated", A),
            ("cancelled", A),
        ]
        assert {session(body)["sessionid"] for body in heard[:3]} == {accepted}
        assert len({session(body)["sessionid"] for body in heard}) == 3


@pytest.mark.parametrize(
    "act, error, text",
    [
        (lambda sandbox: sandbox.call("nobody", B), KeyError, "ERR_UID_NOT_FOUND"),
        (lambda sandbox: sandbox.call(A, "nobody"), KeyError, "ERR_UID_NOT_FOUND"),
        (lambda sandbox: sandbox.call(A, B, "smell"), ValueError, "ERR_BAD_REQUEST"),
        (lambda sandbox: sandbox.accept_call("none"), KeyError, "ERR_CALL_SESSION_NOT_FOUND"),
        (lambda sandbox: sandbox.reject_call(sandbox.call(A, B), by=C), ValueError, "ERR_CALL_NOT_A_PART"),
        (lambda sandbox: sandbox.accept_call(sandbox.call(A, B), by=A), ValueError, "ERR_CALL_NOT_A_PART"),
        (lambda sandbox: sandbox.cancel_call(sandbox.call(A, B), by=B), ValueError, "ERR_CALL_NOT_A_PART"),
        (lambda sandbox: sandbox.end_call(sandbox.call(A, B)), ValueError, "ERR_CALL_NOT_STARTED"),
    ],
)
def test_an_impossible_act_raises(sandbox, act, error, text):
    """A missing object raises KeyError. An action that the service would refuse raises ValueError, with the code."""
    with pytest.raises(error, match=text):
        act(sandbox)
    assert all(message["data"]["action"] == "initiated" for message in sandbox.messages)
