"""The calls of the vendor's screens: threads, reports, features, calls, online users, over HTTP."""

from __future__ import annotations

import base64
import json

import pytest
from sandbox_answers import code

A, B, C = (f"cometchat-uid-{number}" for number in range(1, 4))


def data(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


# Threads.


@pytest.fixture
def threads(sandbox, monkeypatch):
    """Threads under 1 and 2 between A and B, and under 3 in a group, with replies in this order, a second apart."""
    now = [1_800_000_000]
    monkeypatch.setattr("cometchat.sandbox.chat._history.time.time", lambda: now[0])
    sandbox.add_group("g", "G", owner=C, members=[A, B])
    for receiver, kind in ((B, "user"), (B, "user"), ("g", "group")):
        sandbox.send_message(A, receiver, "parent", receiver_type=kind)
    for receiver, kind, parent in ((A, "user", "1"), (A, "user", "2"), ("g", "group", "3")):
        now[0] += 1
        sandbox.send_message(B, receiver, f"reply to {parent}", receiver_type=kind, parent_id=parent)


def test_threads_are_listed(say, threads):
    """Each is its first message with the last reply, its time and the unread replies, the latest thread first."""
    latest, *others = data(say(A, "GET", "/threads?participatedByMe=false&limit=30"))
    assert [each["id"] for each in (latest, *others)] == ["3", "2", "1"]
    assert latest["lastReply"]["data"]["text"] == "reply to 3" and latest["lastReply"]["parentId"] == "3"
    assert (latest["updatedAt"], latest["replyCount"], latest["unreadReplyCount"]) == (1_800_000_003, 1, 1)
    assert (latest["conversationId"], latest["receiver"], latest["receiverType"]) == ("group_g", "g", "group")
    assert latest["threadSubscribed"] is False
    assert [each["id"] for each in data(say(A, "GET", f"/users/{B}/threads"))] == ["2", "1"]
    assert [each["id"] for each in data(say(A, "GET", "/groups/g/threads"))] == ["3"]
    assert [each["id"] for each in data(say(C, "GET", "/threads"))] == ["3"]


def test_subscribed_threads_are_listed(say, threads):
    """With participatedByMe, only subscribed threads are listed: after a reply, a mention, or a request."""
    assert [each["id"] for each in data(say(B, "GET", "/threads?participatedByMe=true"))] == ["3", "2", "1"]
    assert data(say(A, "GET", "/threads?participatedByMe=true")) == []
    assert data(say(A, "POST", "/messages/2/thread/subscription"))["message"]
    (thread,) = data(say(A, "GET", "/threads?participatedByMe=true"))
    assert thread["id"] == "2" and thread["threadSubscribed"] is True
    assert data(say(A, "DELETE", "/messages/2/thread/subscription"))["message"]
    assert data(say(A, "GET", "/threads?participatedByMe=true")) == []


def test_threads_come_page_by_page(say, threads):
    """The next page begins with the last thread of the page before."""
    page = say(A, "GET", "/threads?limit=2").json()
    assert [each["id"] for each in page["data"]] == ["3", "2"]
    cursor = page["meta"]["next"]
    assert cursor == {"affix": "append", "updatedAt": 1_800_000_002, "id": "2"}
    query = f"limit=2&affix=prepend&updatedAt={cursor['updatedAt']}"
    assert [each["id"] for each in data(say(A, "GET", f"/threads?{query}&id={cursor['id']}"))] == ["2", "1"]
    assert [each["id"] for each in data(say(A, "GET", f"/threads?{query}&id=1"))] == ["1"]


# Reports.


def test_messages_are_reported(sandbox, say):
    """A report has one of the reasons of the settings, and a remark. The test can read it."""
    sandbox.send_message(A, B, "rude")
    reasons = data(say(B, "GET", "/settings"))["flagReasons"]
    assert {"id", "name", "description", "createdAt", "updatedAt", "default"} == set(reasons[0])
    body = {"id": reasons[0]["id"], "remark": "really"}
    assert data(say(B, "POST", "/messages/1/flagged", body))["message"]
    (report,) = sandbox.reports
    assert (report["messageId"], report["uid"], report["id"], report["remark"]) == ("1", B, reasons[0]["id"], "really")
    for wrong in ({}, {"id": "unknown"}, {**body, "remark": 1}):
        assert code(say(B, "POST", "/messages/1/flagged", wrong)) == (400, "ERR_BAD_REQUEST")
    assert code(say(C, "POST", "/messages/1/flagged", body)) == (403, "ERR_MESSAGE_NO_ACCESS")
    sandbox.override_settings(flagReasons=[{**reasons[0], "id": "mine"}])
    assert data(say(B, "POST", "/messages/1/flagged", {"id": "mine"})) and len(sandbox.reports) == 2


# Features.


@pytest.mark.parametrize(
    "feature, path",
    [
        ("features.ux.messages.pinned", "/messages/1/pin"),
        ("features.ux.messages.saved", "/messages/1/save"),
        ("features.ux.conversations.pinned", f"/users/{B}/conversation/pin"),
    ],
)
def test_features_are_switched_off(sandbox, say, feature, path):
    """The settings have the app's features and their limits. Calls of a missing feature are refused."""
    sandbox.send_message(A, B, "hello")
    parameters = data(say(A, "GET", "/settings"))["parameters"]
    assert parameters[f"{feature}.enabled"] is True and parameters[f"{feature}.limit"] in (5, 100)
    assert say(A, "POST", path).status_code == 200
    sandbox.override_settings(parameters={f"{feature}.enabled": False})
    assert code(say(A, "DELETE", path)) == (403, "ERR_FEATURE_NOT_ACCESSIBLE")
    sandbox.heal()
    assert say(A, "DELETE", path).status_code == 200


def test_conversations_are_updated_by_every_message(sandbox, say):
    """The settings say that calls, group actions, custom messages and replies are last messages, and they are."""
    parameters = data(say(A, "GET", "/settings"))["parameters"]
    updates = [value for name, value in parameters.items() if name.startswith("core.conversations.updateOn")]
    assert updates == [True] * 4
    sandbox.send_message(A, B, "hello")
    acts = [
        lambda: sandbox.send_message(A, B, "reply", parent_id="1"),
        lambda: sandbox.send_message(A, B, category="custom", type="x", data={"customData": {}}),
        lambda: sandbox.call(A, B),
    ]
    for act in acts:
        act()
        last = data(say(B, "GET", f"/users/{A}/conversation"))["lastMessage"]
        assert last["id"] == sandbox.messages[-1]["id"]
    sandbox.add_group("g", "G", owner=A)
    sandbox.join("g", B)
    assert data(say(A, "GET", "/groups/g/conversation"))["lastMessage"]["category"] == "action"


# Calls, and online users.


def test_a_call_changes_its_type(sandbox, say):
    """PATCH of a call's type is for users in the call, while it rings or runs."""
    session = sandbox.call(A, B, "audio")
    assert data(say(B, "PATCH", f"/calls/{session}/type", {"type": "video"}))["type"] == "video"
    assert code(say(B, "PATCH", f"/calls/{session}/type", {"type": "hologram"})) == (400, "ERR_BAD_REQUEST")
    assert code(say(C, "PATCH", f"/calls/{session}/type", {"type": "audio"})) == (403, "ERR_CALL_NOT_A_PART")
    assert code(say(A, "PATCH", "/calls/x/type", {"type": "audio"})) == (404, "ERR_CALL_SESSION_NOT_FOUND")
    sandbox.cancel_call(session)
    assert sandbox.messages[-1]["type"] == "video"
    assert code(say(A, "PATCH", f"/calls/{session}/type", {"type": "audio"})) == (400, "ERR_CALL_TERMINATED")


def test_a_call_has_a_token(client, say):
    """POST /me/jwt returns a signed token with the client's content. It opens no socket."""
    token = data(say(A, "POST", "/me/jwt", {"passthrough": {"sessionId": "s"}}))["token"]
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["sub"] == A and claims["passthrough"] == {"sessionId": "s"} and claims["exp"] > claims["iat"]
    socket = client.open()
    client.send(socket, client.auth_frame(A, token))
    assert client.receive(socket)["body"]["code"] == "401"


def test_online_users_are_counted(client, sandbox):
    """With a jwt, and without the usual headers, the answer is the number of online users, or of each group's."""
    client.connect(A, presence=None)
    client.connect(B, presence=None)
    sandbox.add_group("g", "G", owner=A)
    sandbox.clear_records()
    bare = {name: None for name in ("sdk", "resource")}

    def ask(jwt, body):
        headers = {**bare, "Authorization": jwt}
        return client.call("POST", "/api/v3.0/online-members", headers=headers, body=body)

    jwt = sandbox.jwt(C)
    assert data(ask(jwt, {})) == {"onlineUsersCount": 2}
    assert data(ask(f"Bearer {jwt}", {"groups": ["g"]})) == {"groups": {"g": 1}}
    assert code(ask(jwt, {"groups": ["none"]})) == (404, "ERR_GUID_NOT_FOUND")
    assert code(ask("x", {})) == (401, "ERR_NO_AUTH") and code(ask(jwt, {"groups": "g"})) == (400, "ERR_BAD_REQUEST")
    assert sandbox.violations == []


# Receipts.


def test_a_message_shows_its_receipts(sandbox, say):
    """GET of a message shows the receipts of all users with times, and to these users their own."""
    sandbox.add_group("g", "G", owner=A, members=[B, C])
    for text in ("1", "2"):
        sandbox.send_message(A, "g", text, receiver_type="group")
    assert "receipts" not in data(say(A, "GET", "/messages/2"))
    sandbox.mark_read("2", B)
    sandbox.mark_delivered("1", C)

    def receipts(message_id):
        found = data(say(A, "GET", f"/messages/{message_id}"))["receipts"]["data"]
        return [(each["recipient"]["uid"], "deliveredAt" in each, "readAt" in each) for each in found]

    assert receipts("1") == [(B, True, True), (C, True, False)] and receipts("2") == [(B, True, True)]
    assert set(data(say(B, "GET", "/messages/2"))["myReceipt"]) == {"deliveredAt", "readAt"}
    assert set(data(say(C, "GET", "/messages/1"))["myReceipt"]) == {"deliveredAt"}
    assert all("myReceipt" not in data(say(uid, "GET", "/messages/2")) for uid in (A, C))
    read_at = data(say(B, "GET", "/messages/1"))["myReceipt"]["readAt"]
    say(B, "DELETE", "/groups/g/conversation/read", {"messageId": "2"})
    assert receipts("2") == [(B, True, False)] and data(say(B, "GET", "/messages/1"))["myReceipt"]["readAt"] == read_at
