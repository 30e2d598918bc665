"""The rules of the service, by hand over HTTP and sockets: limits, blocks, friends, modes, receipts, threads, pins."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import requests
from sandbox_answers import code

from cometchat.sandbox.chat import _content, _fields, _receipts

A, B, C = "cometchat-uid-1", "cometchat-uid-2", "cometchat-uid-3"


def text_to(receiver, text="hello", **change):
    kind = "group" if receiver == "g" else "user"
    body = {"receiver": receiver, "receiverType": kind, "category": "message", "type": "text", "data": {"text": text}}
    return {**body, **change}


def ids(answer):
    assert answer.status_code == 200, answer.text
    return [message["id"] for message in answer.json()["data"]]


# Messages.


@pytest.mark.parametrize(
    "change, refused",
    [
        ({"data": {"text": ""}}, "ERR_EMPTY_MESSAGE_TEXT"),
        ({"data": {"text": " \n"}}, "ERR_EMPTY_MESSAGE_TEXT"),
        ({"data": {}}, "ERR_EMPTY_MESSAGE_TEXT"),
        ({"data": {"text": 5}}, "ERR_INVALID_MESSAGE_TEXT"),
        ({"data": {"text": "x" * 65_537}}, "ERR_INVALID_MESSAGE_TEXT"),
        ({"data": {"text": "x", "metadata": {"a": "ä" * 5_200}}}, "ERR_INVALID_MESSAGE_DATA"),
        ({"data": {"text": "x", "metadata": 5}}, "ERR_INVALID_METADATA"),
        ({"data": "text"}, "ERR_INVALID_MESSAGE_DATA"),
        ({"tags": ["t"] * 26}, "ERR_BAD_REQUEST"),
        ({"tags": ["t" * 101]}, "ERR_BAD_REQUEST"),
        ({"tags": "t"}, "ERR_BAD_REQUEST"),
        ({"receiver": ""}, "ERR_EMPTY_RECEIVER"),
        ({"receiverType": "crowd"}, "ERR_INVALID_RECEIVER_TYPE"),
        ({"category": ""}, "ERR_EMPTY_MESSAGE_CATEGORY"),
        ({"category": "agentic"}, "ERR_INVALID_MESSAGE_CATEGORY"),
        ({"category": "call"}, "ERR_INVALID_MESSAGE_CATEGORY"),
        ({"type": ""}, "ERR_EMPTY_MESSAGE_TYPE"),
        ({"type": 5}, "ERR_INVALID_MESSAGE_TYPE"),
        ({"type": "image"}, "ERR_EMPTY_MESSAGE_FILE"),
        ({"category": "custom", "type": "x"}, "ERR_EMPTY_CUSTOM_DATA"),
        ({"category": "custom", "type": "x", "data": {"customData": []}}, "ERR_INVALID_CUSTOM_DATA"),
    ],
)
def test_the_refusals_of_the_service(sandbox, say, change, refused):
    """A message without its content, or above a limit, gets the code of the vendor's list and is not stored."""
    assert code(say(A, "POST", "/messages", {**text_to(B), **change})) == (400, refused)
    assert sandbox.messages == []


def test_the_largest_message_is_stored(say):
    """A message with a text of 65,000 characters, just under 10 KB of metadata, and 25 tags is stored."""
    data = {"text": "x" * 50_000, "metadata": {"a": "x" * 10_000}}
    stored = say(A, "POST", "/messages", text_to(B, data=data, tags=["t" * 100] * 25)).json()["data"]
    assert len(stored["data"]["text"]) == 50_000 and len(stored["tags"]) == 25


def test_the_details_of_a_bad_request_name_the_field(say):
    """``details`` is an object. For each wrong field it has a list of texts."""
    error = say(A, "POST", "/messages", text_to(B, tags=["t"] * 26)).json()["error"]
    assert error["details"] == {"tags": ["The tags has more than 25 tags."]} and error["devMessage"] == error["message"]


def test_mentions_are_found_in_the_text(say):
    """``mentions`` has the mentioned users by uid, also after an edit, and no unknown users."""
    stored = say(A, "POST", "/messages", text_to(B, f"<@uid:{B}> and <@uid:unknown>")).json()["data"]
    assert list(stored["data"]["mentions"]) == [B] and stored["data"]["mentions"][B]["name"] == "George Alan"
    assert say(B, "GET", "/conversations").json()["data"][0]["unreadMentionsCount"] == 1
    assert ids(say(B, "GET", "/messages?myMentionsOnly=1")) == ["1"]
    assert ids(say(A, "GET", "/messages?myMentionsOnly=1")) == []
    action = say(A, "PUT", "/messages/1", {"data": {"text": "none"}}).json()["data"]
    assert "mentions" not in action["data"]["entities"]["on"]["entity"]["data"]


def test_a_message_may_quote_another(say):
    """A message contains the message that it quotes, without that one's own quote."""
    say(A, "POST", "/messages", text_to(B, "first"))
    second = say(B, "POST", "/messages", text_to(A, "second", quotedMessageId="1")).json()["data"]
    third = say(A, "POST", "/messages", text_to(B, "third", quotedMessageId=2)).json()["data"]
    assert second["quotedMessage"]["data"]["text"] == "first"
    assert third["quotedMessage"]["id"] == "2" and "quotedMessage" not in third["quotedMessage"]
    assert code(say(C, "POST", "/messages", text_to(A, quotedMessageId="1"))) == (403, "ERR_MESSAGE_NO_ACCESS")


def test_replies_are_counted(sandbox, say):
    """A message with replies has their number, and the viewer's number of unread ones, for both ways of replying."""
    say(A, "POST", "/messages", text_to(B))
    say(B, "POST", "/messages/1/thread", text_to(A))
    assert say(B, "POST", "/messages", text_to(A, parentId="1")).json()["data"]["parentId"] == "1"
    mine, theirs = (say(uid, "GET", "/messages/1").json()["data"] for uid in (A, B))
    assert (mine["replyCount"], mine["unreadRepliesCount"]) == (2, 2)
    assert (theirs["replyCount"], theirs["unreadRepliesCount"]) == (2, 0)
    sandbox.mark_read("3", A)
    assert say(A, "GET", "/messages/1").json()["data"]["unreadRepliesCount"] == 0


def test_a_thread_is_checked(sandbox, say):
    """A reply to a reply, to another conversation, to a call or to an unknown message is refused."""
    say(A, "POST", "/messages", text_to(B))
    say(B, "POST", "/messages/1/thread", text_to(A))
    sandbox.send_message(A, C, "elsewhere")
    sandbox.call(A, B)
    refused = {"2": "THREAD_NESTING", "3": "WRONG_MESSAGE_THREAD", "4": "THREAD_CATEGORY", "9": "ID_NOT_FOUND"}
    for parent, text in refused.items():
        assert text in code(say(A, "POST", f"/messages/{parent}/thread", text_to(B)))[1]
        assert text in code(say(A, "POST", "/messages", text_to(B, parentId=parent)))[1]


def test_threads_are_subscribed_to(say):
    """A reply, a mention and a request subscribe to a thread. Messages show it on request."""
    say(A, "POST", "/messages", text_to(B))

    def subscribed(uid, query="?withThreadSubscribed=true"):
        return [message.get("threadSubscribed") for message in say(uid, "GET", f"/messages{query}").json()["data"]][0]

    assert (subscribed(A), subscribed(B), subscribed(A, "")) == (False, False, None)
    say(B, "POST", "/messages/1/thread", text_to(A, f"<@uid:{A}>"))
    assert (subscribed(A), subscribed(B)) == (True, True)
    for _ in range(2):
        assert say(A, "DELETE", "/messages/1/thread/subscription").json()["data"]["success"] is True
    assert say(A, "GET", "/messages/1?withThreadSubscribed=true").json()["data"]["threadSubscribed"] is False
    say(A, "POST", "/messages/1/thread/subscription")
    assert subscribed(A) is True
    assert code(say(C, "POST", "/messages/1/thread/subscription")) == (403, "ERR_MESSAGE_NO_ACCESS")


def test_the_history_has_edits_and_deletions(say):
    """Each edit and each deletion is an action with its own id, in order. append returns all after an id."""
    say(A, "POST", "/messages", text_to(B, "one"))
    say(A, "POST", "/messages", text_to(B, "two"))
    say(A, "PUT", "/messages/1", {"data": {"text": "new"}})
    say(A, "DELETE", "/messages/2")
    say(A, "POST", "/messages", text_to(B, "three"))
    for after in range(6):
        assert ids(say(B, "GET", f"/messages?affix=append&id={after}")) == [str(n) for n in range(after + 1, 6)]
    history = say(B, "GET", "/messages?affix=append&id=2&category=action").json()["data"]
    changes = [(entry["data"]["action"], entry["data"]["entities"]["on"]["entity"]["id"]) for entry in history]
    assert changes == [("edited", "1"), ("deleted", "2")]
    deleted = history[1]["data"]["entities"]["on"]["entity"]
    assert (deleted["sender"], deleted["receiver"], deleted["deletedBy"]) == (A, B, A)
    assert "text" not in deleted["data"] and deleted["sentAt"] and deleted["conversationId"]


def test_reacted_by_me_is_about_the_viewer(client, sandbox, say):
    """``reactedByMe`` is true for the user who has reacted and false for the other, in answers and in frames."""
    sandbox.send_message(A, B, "hello")
    sandbox.react("1", B, "x")
    seen = [say(uid, "GET", "/messages/1").json()["data"]["data"]["reactions"] for uid in (A, B)]
    assert [reactions[0]["reactedByMe"] for reactions in seen] == [False, True]
    sockets = [client.connect(uid, presence=None) for uid in (A, B)]
    sandbox.edit_message("1", "edited")
    for socket, expected in zip(sockets, (False, True)):
        edited = client.receive(socket)["body"]["data"]["entities"]["on"]["entity"]
        assert edited["data"]["reactions"][0]["reactedByMe"] is expected


@pytest.mark.parametrize(
    "path, name",
    [
        ("/messages?savedOnly=1", "savedOnly"),
        ("/messages?polling=1&id=1", "polling"),
        ("/messages/1?x=1", "x"),
        ("/users?onlyDead=1", "onlyDead"),
        ("/groups?sortBy=name", "sortBy"),
        (f"/users/{B}/conversation?withTags=1", "withTags"),
        ("/conversations?archived=1", "archived"),
        ("/me?a=1", "a"),
    ],
)
def test_an_unknown_parameter_is_refused(sandbox, say, path, name):
    """A parameter that the sandbox does not implement is ERR_BAD_REQUEST with its name, not a page of everything."""
    sandbox.send_message(A, B, "hello")
    answer = say(A, "GET", path)
    assert code(answer) == (400, "ERR_BAD_REQUEST") and name in answer.json()["error"]["details"]


@pytest.mark.parametrize(
    "query, wanted",
    [
        ("searchKey=ONE", "1"),
        (f"sender={B}", "2"),
        ("receiverType=group", "3"),
        ("tags=b,c", "3"),
        ("hasMentions=1", "2"),
        ("hasReactions=1", "1"),
        ("hasAttachments=1", "4"),
        ("onlyDeleted=1", "5"),
        ("hideDeleted=1&categories=message", "1 2 3 4"),
        ("toTimestamp=5", ""),
        ("fromTimestamp=5&hideReplies=0&categories=message", "1 2 3 4 5"),
        ("undelivered=1&categories=message", "2"),
        ("unread=1&categories=message", "2"),
        ("conversationId=group_g", "3"),
        ("hideMessagesFromBlockedUsers=1&categories=message", "1 3 4 5"),
    ],
)
def test_the_history_can_be_searched(sandbox, say, query, wanted):
    """Each filter returns the messages that fit it, and only them."""
    sandbox.add_group("g", "G", owner=A)
    sandbox.send_message(A, B, "one")
    sandbox.send_message(B, A, f"two <@uid:{A}>")
    sandbox.send_message(A, "g", "three", receiver_type="group", tags=["b"])
    sandbox.send_message(A, B, type="file", data={"attachments": [{"url": "u"}]})
    sandbox.send_message(A, B, "five")
    sandbox.delete_message("5")
    sandbox.react("1", B, "x")
    if "Blocked" in query:
        sandbox.block(A, B)
    assert ids(say(A, "GET", f"/messages?{query}")) == wanted.split()


# Users.


def test_ids_are_lowercase(client, sandbox, say):
    """Uids and guids match in any case, in paths, bodies and frames, and are returned in lowercase."""
    sandbox.add_user("Zoe", "Zoe")
    sandbox.add_group("G", "Group", owner="ZOE", members=[A.upper()])
    assert say(A, "GET", "/users/ZOE").json()["data"]["uid"] == "zoe"
    assert say(A, "GET", "/groups/G").json()["data"]["guid"] == "g"
    stored = say(A, "POST", "/messages", text_to(B.upper())).json()["data"]
    assert (stored["receiver"], stored["conversationId"]) == (B, f"{A}_user_{B}")
    receiver = client.connect(B, presence=None)
    sender = client.open()
    client.send(sender, client.auth_frame(A.upper(), sandbox.jwt(A.upper())))
    assert client.receive(sender)["body"]["code"] == "200"
    body = {"action": "started", "metadata": {}}
    client.send(sender, client.frame("typing_indicator", A.upper(), B.upper(), body))
    frame = client.receive(receiver)
    assert (frame["sender"], frame["receiver"]) == (A, B) and sandbox.violations == []


def test_blocks_work(client, sandbox, say):
    """A message to a user whom I have blocked is refused.

    One to a user who has blocked me succeeds, and is not delivered.
    """
    say(A, "POST", "/blockedusers", {"blockedUids": [B]})
    assert code(say(A, "POST", "/messages", text_to(B))) == (403, "ERR_BLOCKED_RECEIVER")
    blocker = client.connect(A)
    blocked = client.connect(B, presence=None)
    assert say(B, "POST", "/messages", text_to(A)).json()["data"]["id"] == "1"
    client.send(blocked, client.frame("typing_indicator", B, A, {"action": "started"}))
    say(B, "PUT", "/messages/1", {"data": {"text": "edited"}})
    assert client.hears_nothing(blocker, 0.05)
    assert ids(say(A, "GET", "/messages")) == [] and ids(say(B, "GET", "/messages")) == ["1", "2"]
    for caller, called, refused in ((A, B, "ERR_BLOCKED_RECEIVER"), (B, A, "ERR_BLOCKED_SENDER")):
        body = {"receiver": called, "receiverType": "user", "type": "audio"}
        assert code(say(caller, "POST", "/calls", body)) == (403, refused)
    shown = say(A, "GET", f"/users/{B}").json()["data"]
    assert shown["blockedByMe"] is True and abs(shown["blockedByMeAt"] - time.time()) < 5


def test_a_block_does_not_count_in_a_group(client, sandbox, say):
    """In a common group, messages reach the user who has blocked their sender."""
    sandbox.block(A, B)
    sandbox.add_group("g", "G", owner=A, members=[B])
    blocker = client.connect(A, presence=None)
    say(B, "POST", "/messages", text_to("g"))
    assert client.receive(blocker)["body"]["sender"] == B
    sandbox.unblock(A, B)
    say(B, "POST", "/messages", text_to(A))
    assert client.receive(blocker)["body"]["receiver"] == A


def test_a_block_of_oneself_is_refused(say):
    """A list that contains the own uid is refused as a whole."""
    assert code(say(A, "POST", "/blockedusers", {"blockedUids": [B, A]})) == (400, "ERR_CANNOT_BLOCK_SELF")
    assert say(A, "GET", "/blockedusers").json()["data"] == []


def test_presence_of_friends(client, sandbox, say):
    """The subscription FRIENDS brings the presence of friends alone, and friends are listed."""
    sandbox.add_friends(A, B)
    watcher = client.connect(A, presence="FRIENDS")
    client.connect(C, presence=None)
    client.connect(B, presence=None)
    assert client.receive(watcher)["sender"] == B and client.hears_nothing(watcher, 0.05)
    assert [user["uid"] for user in say(B, "GET", "/user/friends").json()["data"]] == [A]
    assert [user["uid"] for user in say(A, "GET", "/users?friendsOnly=1").json()["data"]] == [B]
    with pytest.raises(ValueError, match="ERR_CANNOT_FORM_SELF_RELATION"):
        sandbox.add_friends(A, A)


def test_the_api_says_available_and_the_socket_online(client, sandbox, say):
    """A connected user is ``available`` in answers and messages, and ``online`` in frames about them.

    Others are offline.
    """
    sandbox.add_group("g", "G", owner=A, members=[B])
    watcher = client.connect(A)
    statuses = {user["uid"]: user["status"] for user in say(A, "GET", "/groups/g/members").json()["data"]}
    assert statuses == {A: "available", B: "offline"}
    assert say(A, "GET", "/groups/g").json()["data"]["onlineMembersCount"] == 1
    client.connect(B, presence=None)
    assert client.receive(watcher)["body"]["user"]["status"] == "online"
    stored = sandbox.send_message(B, A, "hello")
    assert stored["data"]["entities"]["sender"]["entity"]["status"] == "available"


@pytest.mark.parametrize(
    "mode, passing",
    [
        ("DEFAULT", ["typing_indicator", "transient_message", "receipts"]),
        ("LIMITED_TRANSIENT", ["transient_message"]),
        ("NO_TRANSIENT", []),
    ],
)
def test_each_mode_stops_its_frames(client, sandbox, mode, passing):
    """LIMITED_TRANSIENT stops typing indicators and receipts, and NO_TRANSIENT transient messages too.

    Messages pass.
    """
    message = sandbox.send_message(B, A, "hello")
    sender, receiver = client.connect(A, presence=None), client.connect(B, presence=None)
    sandbox.set_mode(mode)
    bodies = {
        "typing_indicator": {"action": "started"},
        "transient_message": {"data": {"like": 1}},
        "receipts": {"action": "read", "messageId": message["id"]},
    }
    for kind, body in bodies.items():
        envelope = {"messageSender": B} if kind == "receipts" else {}
        client.send(sender, client.frame(kind, A, B, body, **envelope))
    assert sandbox.wait_for_frame(lambda frame: frame.get("type") == "receipts")
    sandbox.send_message(A, B, "last")
    heard = [client.receive(receiver)["type"] for _ in range(len(passing) + 1)]
    assert heard == [*passing, "message"] and sandbox.violations == []
    assert ("readAt" in sandbox.messages[0]) == (mode == "DEFAULT")


# Receipts.


@pytest.mark.parametrize("action, field", [("delivered", "deliveredAt"), ("read", "readAt")])
def test_receipts_over_http(client, sandbox, say, action, field):
    """POST of delivered or read with a messageId marks up to it, in the messages too, and notifies their sender."""
    for text in ("one", "two", "three"):
        sandbox.send_message(B, A, text)
    sender, other = client.connect(B, presence=None), client.connect(A, presence=None)
    answer = say(A, "POST", f"/users/{B}/conversation/{action}", {"messageId": 2})
    assert answer.json()["data"]["success"] is True
    frame = client.receive(sender)
    assert (frame["type"], frame["sender"], frame["receiver"], frame["messageSender"]) == ("receipts", A, B, B)
    body = frame["body"]
    assert (body["action"], body["messageId"], body["user"]["uid"]) == (action, "2", A)
    assert abs(body["timestamp"] - time.time()) < 5
    assert [field in message for message in sandbox.messages] == [True, True, False]
    assert ("deliveredAt" in sandbox.messages[0]) is True
    assert client.hears_nothing(other, 0.05)
    say(A, "POST", f"/users/{B}/conversation/{action}")
    assert client.receive(sender)["body"]["messageId"] == "3"
    for message_id in ("9", "x"):
        refused = code(say(A, "POST", f"/users/{B}/conversation/{action}", {"messageId": message_id}))
        assert refused == (404, "ERR_MESSAGE_ID_NOT_FOUND")


def test_the_last_member_completes_a_group(client, sandbox, say):
    """With the last member's receipt, the sender gets deliveredToAll and readByAll, if the app has that feature."""
    sandbox.add_group("g", "G", owner=A, members=[B, C])
    sandbox.enhance_receipts()
    sender = client.connect(A, presence=None)
    first = sandbox.send_message(A, "g", "hello", receiver_type="group")["id"]
    assert client.receive(sender)["body"]["id"] == first
    heard = []
    for uid in (B, C):
        say(uid, "POST", "/groups/g/conversation/read", {"messageId": first})
    for _ in range(4):
        heard.append(client.receive(sender)["body"]["action"])
    assert heard == ["read", "read", "deliveredToAll", "readByAll"]
    assert "readAt" in sandbox.messages[0] and "deliveredAt" in sandbox.messages[0]
    sandbox.enhance_receipts(False)
    sandbox.send_message(B, "g", "again", receiver_type="group")
    client.receive(sender)
    for uid in (A, C):
        sandbox.mark_delivered("2", uid)
        assert client.receive(sender)["body"]["action"] == "delivered"
    assert client.hears_nothing(sender, 0.05)


def test_a_large_group_has_no_receipts_of_all(sandbox):
    """Above 300 members receipts are delivered, and no message is marked."""
    members = [f"u{number}" for number in range(301)]
    for uid in members:
        sandbox.add_user(uid, uid)
    sandbox.add_group("g", "G", owner=A, members=members)
    sandbox.send_message(A, "g", "hello", receiver_type="group")
    for uid in members:
        sandbox.mark_read("1", uid)
    assert "readAt" not in sandbox.messages[0]


# Pins, moderation, cards, agents.


def test_messages_are_pinned_and_saved(client, sandbox, say):
    """A pin is for both sides of the conversation, and notifies them. A saved message is for one user alone."""
    sandbox.send_message(A, B, "hello")
    mine, theirs = client.connect(A, presence=None), client.connect(B, presence=None)
    pinned = say(C, "POST", "/messages/1/pin")
    assert code(pinned) == (403, "ERR_MESSAGE_NO_ACCESS")
    sandbox.pin("1", by=B)
    for socket in (mine, theirs):
        frame = client.receive(socket)
        body = frame["body"]
        assert (frame["type"], body["action"], body["pinnedBy"]) == ("message_pin", "message_pinned", B)
    assert say(A, "GET", "/messages/1").json()["data"]["pinnedBy"] == B
    sandbox.unpin("1")
    assert client.receive(mine)["body"]["action"] == client.receive(theirs)["body"]["action"] == "message_unpinned"
    assert "pinnedAt" not in say(A, "GET", "/messages/1").json()["data"]
    sandbox.save("1", A)
    assert client.receive(mine)["body"]["action"] == "message_saved" and client.hears_nothing(theirs, 0.05)
    assert "savedAt" in say(A, "GET", "/messages/1").json()["data"]
    assert "savedAt" not in say(B, "GET", "/messages/1").json()["data"]
    sandbox.unsave("1", A)
    assert client.receive(mine)["body"]["action"] == "message_unsaved"
    sandbox.pin_conversation(A, B)
    assert client.receive(mine)["body"]["conversation"]["conversationId"] == f"{A}_user_{B}"


def test_pins_have_a_limit(sandbox):
    """A conversation has 100 pinned messages, and a user 100 saved ones. The settings may have other limits."""
    for number in range(1, 102):
        sandbox.send_message(A, B, str(number))
    for number in range(1, 101):
        sandbox.pin(str(number))
        sandbox.save(str(number), A)
    with pytest.raises(ValueError, match="ERR_PINNED_MESSAGES_LIMIT_EXCEEDED"):
        sandbox.pin("101")
    with pytest.raises(ValueError, match="ERR_SAVED_MESSAGES_LIMIT_EXCEEDED"):
        sandbox.save("101", A)
    sandbox.save("101", B)
    sandbox.override_settings(parameters={"features.ux.messages.pinned.limit": 101})
    sandbox.pin("101")


def test_moderation_is_played(client, sandbox):
    """moderate() changes the status in the message and notifies only its sender. An unknown status is a ValueError."""
    sandbox.send_message(A, B, "hello", data={"moderation": {"status": "pending"}})
    sender, receiver = client.connect(A, presence=None), client.connect(B, presence=None)
    sandbox.moderate("1", "disapproved")
    frame = client.receive(sender)
    assert (frame["type"], frame["body"]["data"]["moderation"]) == (
        "on_moderation_status_changed",
        {"status": "disapproved"},
    )
    assert client.hears_nothing(receiver, 0.05)
    with pytest.raises(ValueError, match="ERR_BAD_REQUEST"):
        sandbox.moderate("1", "banned")


def test_cards_and_agents_are_played(client, sandbox):
    """Cards and agentic messages arrive as messages of their categories, and a stream as its events and a message."""
    socket = client.connect(B, presence=None)
    sandbox.send_card(A, B, {"fallbackText": "f"}, "preview")
    sandbox.send_agentic(A, B, "tool-result", text="42", runId=1, threadId="t", toolCallId="c")
    card, result = (client.receive(socket)["body"] for _ in range(2))
    assert (card["category"], card["type"], card["data"]["card"]) == ("card", "text", {"fallbackText": "f"})
    assert (result["category"], result["type"], result["data"]["toolCallId"]) == ("agentic", "tool-result", "c")
    stored = sandbox.stream(A, B, "Good morning to you")
    frames = [client.receive(socket) for _ in range(9)]
    types = [frame["body"].get("type") for frame in frames]
    content = ["text_message_content"] * 4
    assert types == ["run_started", "text_message_start", *content, "text_message_end", "run_finished", "assistant"]
    assert "".join(frame["body"]["data"].get("delta", "") for frame in frames[:-1]) == "Good morning to you"
    assert frames[-1]["body"] == stored and stored["data"]["text"] == "Good morning to you"
    sandbox.stream_event(A, B, "tool_call_args", delta="{", toolCallId="c")
    assert client.receive(socket)["body"]["data"]["delta"] == "{"
    with pytest.raises(ValueError, match="ERR_BAD_REQUEST"):
        sandbox.stream_event(A, B, "sneeze")


# The frames and headers of other clients.


def test_the_forms_of_android_are_not_violations(client, sandbox):
    """Android has no Accept, another resource or none, userAgent beside appInfo, no sender in auth, a boolean ack."""
    now = int(time.time() * 1000)
    client.resource = f"Android-4_1_8-{'aB3' * 10}-{now}"
    info = {"osVersion": "14", "version": "4.1.8", "apiVersion": "v3.0"}
    body = {"platform": "Android", "userAgent": "cc_android_sdk", "deviceId": "9774d56d682e549c", "appInfo": info}
    bare = {"Accept": None, "sdk": "android@4.1.8"}
    headers = {**bare, "resource": None, "apiKey": sandbox.auth_key}
    path = f"/users/{A}/auth_tokens"
    token = client.call("POST", path, headers=headers, body={**body, "uid": A}).json()["data"]["authToken"]
    full = {**info, "resource": client.resource, "platform": "android", "language": "kotlin", "origin": "", "uts": now}
    headers = {**bare, "resource": client.resource, "authToken": token}
    me = client.call("PUT", "/me", headers=headers, body={**body, "appInfo": full}).json()["data"]
    assert client.call("GET", "/settings", headers={**headers, "resource": None}).status_code == 200
    socket = client.open()
    auth = client.auth_frame(A, me["jwt"])
    del auth["sender"]
    auth["body"]["params"] = {"platform": "Android", "userAgent": "", "deviceId": body["deviceId"], "appInfo": full}
    client.send(socket, auth)
    assert client.receive(socket)["body"]["code"] == "200"
    client.send(socket, {"action": "ping", "ack": True})
    assert client.receive(socket) == {"action": "pong"}
    sandbox.send_message(B, A, "hello")
    receipt = client.frame("receipts", A, B, {"action": "read", "messageId": 1}, messageSender=B)
    client.send(socket, receipt)
    assert sandbox.wait_until(lambda: "readAt" in sandbox.messages[0])
    assert sandbox.violations == []


def test_a_file_is_posted_in_a_form(client, sandbox):
    """A multipart message is not a violation. Its file becomes an attachment that can be fetched."""
    form = {"receiver": B, "receiverType": "user", "category": "message", "type": "file"}
    form["data"] = json.dumps({"text": "caption"})
    token = sandbox.auth_token(A)
    headers = {**client.headers, "authToken": token}
    del headers["Content-Type"]
    files = {"files[]": ("a b.txt", b"content", "text/plain")}
    answer = requests.post(sandbox.url + "/v3.0/messages", headers=headers, data=form, files=files, timeout=5)
    data = answer.json()["data"]["data"]
    (attachment,) = data["attachments"]
    assert (data["text"], attachment["name"], attachment["size"]) == ("caption", "a b.txt", 7)
    assert (attachment["extension"], attachment["mimeType"]) == ("txt", "text/plain")
    sandbox.restart()
    fetched = requests.get(attachment["url"], timeout=5)
    assert (fetched.content, fetched.headers["Content-Type"]) == (b"content", "text/plain")
    assert sandbox.violations == []
    headers["Content-Type"] = "multipart/form-data"
    broken = requests.post(sandbox.url + "/messages", headers=headers, data=b"--", timeout=5)
    assert code(broken) == (400, "ERR_BAD_REQUEST")


def test_the_page_of_limits_names_what_the_sandbox_enforces():
    """docs/limits.rst has the vendor's numbers; those that the sandbox knows too are the same."""
    page = " ".join((Path(__file__).parents[2] / "docs" / "limits.rst").read_text("utf-8").split())
    assert f"receipts in a group all up to {_receipts.LARGEST_GROUP} members" in page
    message = f"a message {_content.LONGEST_MESSAGE:,} characters of JSON; {_content.LARGEST_DATA // 1024} KB of data; "
    assert message + f"{_fields.MOST_TAGS} tags of {_fields.LONGEST_TAG} characters" in page
    assert "presence of at most 1,000 users of the app who are online" in page
