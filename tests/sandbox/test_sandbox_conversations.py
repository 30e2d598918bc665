"""Conversations: lists, single ones, read and unread, by hand over HTTP and sockets."""

from __future__ import annotations

import pytest
from sandbox_answers import code

A, B, C = "cometchat-uid-1", "cometchat-uid-2", "cometchat-uid-3"
WITH_B = f"{A}_user_{B}"


@pytest.fixture
def unread(say):
    """Return the number of messages in a conversation that a user has not read."""
    return lambda uid, path: say(uid, "GET", path + "/conversation").json()["data"]["unreadMessageCount"]


@pytest.fixture
def spoken(sandbox):
    """Three messages from B to A and one back, and one of C to a group of all three."""
    for number in range(1, 4):
        sandbox.send_message(B, A, str(number))
    sandbox.send_message(A, B, "4")
    sandbox.add_group("g", "The Group", owner=C, members=[A, B])
    sandbox.send_message(C, "g", "5", receiver_type="group")


def test_the_conversations_are_listed(sandbox, say, spoken):
    """GET /conversations returns a user's, the latest first, with last message, other side and unread messages."""
    answer = say(A, "GET", "/v3.0/conversations?per_page=10&page=1").json()
    group, user = answer["data"]
    assert (group["conversationId"], group["conversationType"], group["unreadMessageCount"]) == ("group_g", "group", 1)
    assert group["conversationWith"]["name"] == "The Group" and group["conversationWith"]["hasJoined"] is True
    assert group["lastMessage"] == sandbox.messages[-1] and group["latestMessageId"] == "5"
    assert (user["conversationId"], user["conversationType"], user["unreadMessageCount"]) == (WITH_B, "user", 3)
    assert user["conversationWith"]["uid"] == B and user["lastMessage"]["id"] == "4"
    assert answer["meta"]["pagination"]["total_pages"] == 1
    first = say(A, "GET", "/conversations?per_page=1").json()
    assert first["data"] == [group] and first["meta"]["pagination"]["total_pages"] == 2
    assert say(A, "GET", "/conversations?conversationType=user").json()["data"] == [user]


def test_a_conversation_is_shown(say, spoken):
    """GET of a user's or a group's conversation returns it like the list. Each side sees the other."""
    listed = say(B, "GET", "/conversations").json()["data"]
    assert [say(B, "GET", f"{path}/conversation").json()["data"] for path in ("/groups/g", f"/users/{A}")] == listed
    assert listed[1]["conversationWith"]["uid"] == A and listed[1]["unreadMessageCount"] == 1


def test_there_is_no_conversation_without_a_message(sandbox, say, spoken):
    """A conversation without a message is not accessible. The conversation of a deleted group is not listed."""
    assert code(say(A, "GET", f"/users/{C}/conversation")) == (404, "ERR_CONVERSATION_NOT_ACCESSIBLE")
    assert code(say(A, "GET", "/users/nobody/conversation")) == (404, "ERR_UID_NOT_FOUND")
    say(C, "DELETE", "/groups/g")
    assert code(say(A, "GET", "/groups/g/conversation")) == (404, "ERR_GUID_NOT_FOUND")
    assert [found["conversationId"] for found in say(A, "GET", "/conversations").json()["data"]] == [WITH_B]


def test_a_conversation_is_marked_as_read(sandbox, say, unread, spoken):
    """POST of read leaves nothing unread. DELETE makes a message and the later ones unread again."""
    assert say(A, "POST", f"/users/{B}/conversation/read").json()["data"]["success"] is True
    assert say(A, "POST", "/groups/g/conversation/read").status_code == 200
    assert (unread(A, f"/users/{B}"), unread(A, "/groups/g"), unread(B, f"/users/{A}")) == (0, 0, 1)
    answer = say(A, "DELETE", f"/users/{B}/conversation/read", {"messageId": "2"}).json()["data"]["conversation"]
    assert (answer["unreadMessageCount"], answer["lastReadMessageId"]) == (2, "1")
    for message_id in ("5", "9", "", None):
        body = {"messageId": message_id}
        refused = code(say(A, "DELETE", f"/users/{B}/conversation/read", body))
        assert refused == (404, "ERR_MESSAGE_ID_NOT_FOUND")


def test_a_conversation_is_marked_as_delivered(say, spoken):
    """POST of delivered succeeds for a user and for a group of one's own, and is refused for another group."""
    for path in (f"/users/{B}", "/groups/g"):
        assert say(A, "POST", f"{path}/conversation/delivered").json()["data"]["success"] is True
    say(A, "DELETE", "/groups/g/members")
    assert code(say(A, "POST", "/groups/g/conversation/delivered")) == (403, "ERR_GROUP_NOT_JOINED")


def test_a_receipt_reads(client, sandbox, say, unread, spoken):
    """A read receipt on the socket marks the conversation of its message.

    An earlier one does not move the mark back.
    """
    socket = client.connect(A, presence=None)
    for message_id in ("2", "1", "77"):
        body = {"action": "read", "messageId": message_id}
        client.send(socket, client.frame("receipts", A, B, body, messageSender=B))
    assert sandbox.wait_until(lambda: len(sandbox.frames) == 4)
    assert unread(A, f"/users/{B}") == 1 and unread(A, "/groups/g") == 1
    body = {"action": "delivered", "messageId": "3"}
    client.send(socket, client.frame("receipts", A, B, body, messageSender=B))
    assert sandbox.wait_until(lambda: len(sandbox.frames) == 5)
    assert unread(A, f"/users/{B}") == 1 and sandbox.violations == []


def test_actions_and_calls_are_not_unread(sandbox, unread, spoken):
    """Only messages of others count as unread, and neither actions nor calls."""
    sandbox.call(B, A)
    sandbox.edit_message("1", "edited")
    sandbox.send_message(A, B, "own")
    assert unread(A, f"/users/{B}") == 3


def test_unread_messages_are_counted(say, spoken):
    """The history with unread=1 and count=1 returns a number for each conversation with unread messages."""
    user = {"entityType": "user", "entityId": B, "count": 3}
    group = {"entityType": "group", "entityId": "g", "count": 1}
    assert say(A, "GET", "/messages?unread=1&count=1").json()["data"] == [group, user]
    assert say(A, "GET", f"/users/{B}/messages?unread=1&count=1").json()["data"] == [user]
    assert say(A, "GET", "/groups/g/messages?unread=1&count=1").json()["data"] == [group]
    assert say(A, "GET", f"/users/{C}/messages?unread=1&count=1").json()["data"] == []
    assert say(C, "GET", "/messages?unread=1&count=1").json()["data"] == []


@pytest.mark.parametrize(
    "method, path",
    [
        ("GET", "/conversations"),
        ("GET", f"/users/{B}/conversation"),
        ("POST", f"/users/{B}/conversation/read"),
        ("DELETE", "/groups/g/conversation/read"),
        ("PUT", "/groups/g/conversation"),
        ("DELETE", f"/users/{B}/conversation"),
        ("POST", f"/users/{B}/conversation/pin"),
        ("POST", "/groups/g/conversation/delivered"),
    ],
)
def test_every_call_wants_an_auth_token(client, sandbox, method, path):
    """Without an auth token conversations are refused, and a fault can be set on each path."""
    assert code(client.call(method, path)) == (401, "AUTH_ERR_EMPTY_AUTH_TOKEN")
    sandbox.fail_http(503, path=path)
    assert client.call(method, path).status_code == 503


def test_conversations_are_searched_by_tags(say, spoken):
    """The list is searched by the tags of the other side, and shows them on request."""
    say(B, "PUT", "/me", {"tags": ["vip"]})
    user, *_ = say(A, "GET", "/conversations?userTags=vip&conversationType=user").json()["data"]
    assert "tags" not in user["conversationWith"]
    assert say(A, "GET", "/conversations?userTags=other&conversationType=user").json()["data"] == []
    query = "userTags=vip&groupTags=none&withUserAndGroupTags=true&withTags=true"
    (user,) = say(A, "GET", f"/conversations?{query}").json()["data"]
    assert user["conversationWith"]["tags"] == ["vip"]


def test_a_conversation_is_deleted_for_one_user(sandbox, say, spoken):
    """DELETE removes a conversation and its messages only for the user. A new message begins it again."""
    assert say(A, "DELETE", f"/users/{B}/conversation").json()["data"]["success"] is True
    assert [found["conversationId"] for found in say(A, "GET", "/conversations").json()["data"]] == ["group_g"]
    assert say(A, "GET", f"/users/{B}/messages").json()["data"] == []
    assert [message["id"] for message in say(A, "GET", "/messages").json()["data"]] == ["5"]
    assert len(say(B, "GET", f"/users/{A}/messages").json()["data"]) == 4
    assert code(say(A, "DELETE", f"/users/{B}/conversation")) == (404, "ERR_CONVERSATION_NOT_ACCESSIBLE")
    sandbox.send_message(B, A, "again")
    assert [message["id"] for message in say(A, "GET", f"/users/{B}/messages").json()["data"]] == ["6"]
    assert say(A, "DELETE", "/groups/g/conversation").status_code == 200
    assert [found["conversationId"] for found in say(A, "GET", "/conversations").json()["data"]] == [WITH_B]


def test_a_conversation_has_tags(say, spoken):
    """PUT sets tags of a conversation only for the user. Lists show them on request."""
    answer = say(A, "PUT", "/groups/g/conversation", {"tags": ["work"]}).json()["data"]
    assert (answer["conversationId"], answer["tags"]) == ("group_g", ["work"])
    listed, *_ = say(A, "GET", "/conversations?withTags=1&tags=work,play").json()["data"]
    assert listed["tags"] == ["work"]
    assert "tags" not in say(A, "GET", "/conversations?tags=work").json()["data"][0]
    assert "tags" not in say(B, "GET", "/groups/g/conversation").json()["data"]
    for body in ({}, {"tags": "work"}, {"tags": ["x"] * 26}):
        assert code(say(A, "PUT", "/groups/g/conversation", body)) == (400, "ERR_BAD_REQUEST")
    assert code(say(A, "PUT", f"/users/{C}/conversation", {"tags": []})) == (404, "ERR_CONVERSATION_NOT_ACCESSIBLE")


def test_a_conversation_is_pinned(client, make_client, sandbox, say, spoken):
    """POST and DELETE of a pin return the conversation. The user's other sockets are notified once."""
    mine, theirs = make_client(sandbox).connect(A, presence=None), client.connect(B, presence=None)
    for method, action in (("POST", "conversation_pinned"), ("DELETE", "conversation_unpinned")):
        for _ in range(2):  # the second call has no effect
            answer = say(A, method, f"/users/{B}/conversation/pin").json()["data"]
            assert answer.get("pinnedBy") == (A if method == "POST" else None)
            assert say(A, "GET", f"/users/{B}/conversation").json()["data"] == answer
        frame = client.receive(mine)
        assert (frame["type"], frame["sender"], frame["receiver"]) == ("conversation_pin", A, B)
        assert frame["body"] == {"action": action, "conversation": answer}
    assert say(A, "POST", "/groups/g/conversation/pin").json()["data"]["pinnedAt"]
    assert client.receive(mine)["receiverType"] == "group"
    assert client.hears_nothing(mine, 0.05) and client.hears_nothing(theirs, 0.05)
    assert code(say(A, "POST", f"/users/{C}/conversation/pin")) == (404, "ERR_CONVERSATION_NOT_ACCESSIBLE")


def test_pinned_conversations_have_a_limit(sandbox, say):
    """A user pins at most five conversations. A deleted one does not count."""
    for number in range(6):
        sandbox.add_user(f"u{number}", f"U{number}")
        sandbox.send_message(A, f"u{number}", "hello")
    for number in range(5):
        sandbox.pin_conversation(A, f"u{number}")
    refused = say(A, "POST", "/users/u5/conversation/pin")
    assert code(refused) == (400, "ERR_PINNED_CONVERSATIONS_LIMIT_EXCEEDED")
    with pytest.raises(ValueError, match="ERR_PINNED_CONVERSATIONS_LIMIT_EXCEEDED"):
        sandbox.pin_conversation(A, "u5")
    say(A, "DELETE", "/users/u0/conversation")
    assert say(A, "POST", "/users/u5/conversation/pin").status_code == 200
