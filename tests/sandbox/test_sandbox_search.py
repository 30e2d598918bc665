"""Search and filters: each parameter of the lists selects entries, by hand over HTTP."""

from __future__ import annotations

import time

import pytest

A, B, C, D = (f"cometchat-uid-{number}" for number in range(1, 5))


@pytest.fixture
def spoken(sandbox, say):
    """A history with one of each kind: 1 to 6 are messages, 7 to 10 actions and calls."""

    def file(mime_type):
        return {"attachments": [{"url": "https://example.org/f", "name": "f", "mimeType": mime_type, "size": 1}]}

    sandbox.send_message(A, B, "Apples and pears", tags=["fruit"])
    sandbox.send_message(B, A, "See https://example.org or <@uid:cometchat-uid-1>")
    sandbox.send_message(A, B, type="image", data=file("image/png"))
    sandbox.send_message(A, B, type="file", data={**file("application/pdf"), "text": "www.apples.example"})
    sandbox.send_message(A, B, "apples again", parent_id="1")
    sandbox.send_message(B, A, "quoting", quoted_id="1")
    sandbox.edit_message("2", "See http://apples.example")
    sandbox.delete_message("6")
    session = sandbox.call(A, B)
    sandbox.cancel_call(session)


def data(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def ids(answer):
    return " ".join(message["id"] for message in data(answer))


@pytest.mark.parametrize(
    "query, found",
    [
        ("searchKey=apples", "1 2 4 5"),
        ("searchKey=APPLES%20and", "1"),
        ("searchKey=edited", ""),
        ("searchKey=", "1 2 3 4 5 6 7 8 9 10"),
        ("searchKey=apples&hideReplies=true&types=text&categories=message&hideDeleted=1", "1 2"),
        ("hideDeleted=1&categories=message", "1 2 3 4 5"),
        ("onlyDeleted=1", "6"),
        ("hideQuotedMessages=1&categories=message", "1 2 3 4 5"),
        ("tags=fruit,other", "1"),
        ("tags=other", ""),
        ("attachmentTypes=image", "3"),
        ("attachmentTypes=file,audio", "4"),
        ("attachmentTypes=video", ""),
        ("hasAttachments=1", "3 4"),
        ("hasLinks=1", "2 4"),
        ("hasMentions=true", ""),
        (f"mentionedUids={A}", "11"),
        ("onlyUpdates=1&updatedAt=1", "2 6"),
        ("updatedAt=1&limit=2", "10 11"),
        ("updatedAt=9999999999", ""),
        ("withTags=1&withParent=1&mentionsWithTagInfo=1&mentionsWithBlockedInfo=1&per_page=1", "11"),
    ],
)
def test_messages_are_searched(sandbox, say, spoken, query, found):
    """Each parameter selects messages, in a history with edits, deletions and calls, which have no text to find."""
    if "11" in found:
        sandbox.send_message(B, A, f"<@uid:{A}>")
    assert ids(say(A, "GET", f"/users/{B}/messages?{query}")) == found
    assert ids(say(A, "GET", f"/messages?{query}")) == found


def test_changed_messages_are_found_by_their_time(sandbox, say, spoken):
    """updatedAt selects messages sent or changed since then, also in that second."""
    updated = int(time.time()) + 1
    assert ids(say(A, "GET", f"/messages?onlyUpdates=1&updatedAt={updated}")) == ""
    since = sandbox.messages[1]["updatedAt"]
    assert ids(say(A, "GET", f"/users/{B}/messages?onlyUpdates=1&updatedAt={since}&affix=append")) == "2 6"


def test_pinned_and_saved_messages_are_listed(sandbox, say, spoken):
    """pinned=1 selects those pinned in the conversation, and saved=1 the user's own saved ones, of all."""
    sandbox.pin("1")
    sandbox.pin("3")
    sandbox.save("2", A)
    sandbox.save("4", B)
    sandbox.save(sandbox.send_message(A, C, "elsewhere")["id"], A)
    assert ids(say(A, "GET", f"/users/{B}/messages?pinned=1")) == ids(say(B, "GET", "/messages?pinned=1")) == "1 3"
    assert ids(say(A, "GET", "/messages?saved=1")) == "2 11"
    assert ids(say(B, "GET", f"/users/{A}/messages?saved=1")) == "4"
    assert say(A, "GET", "/messages?saved=1").json()["data"][0]["savedAt"]
    page = say(A, "GET", f"/users/{B}/messages?pinned=1&per_page=1").json()
    assert [message["id"] for message in page["data"]] == ["3"]
    cursor = page["meta"]["cursor"]
    assert ids(say(A, "GET", f"/users/{B}/messages?pinned=1&affix=prepend&id={cursor['id']}")) == "1"


def names(answer):
    return [each["conversationWith"]["name"] for each in data(answer)]


@pytest.mark.parametrize(
    "query, found",
    [
        ("searchKey=GEORGE", ["George Alan"]),
        ("searchKey=none", []),
        ("unread=1", ["George Alan"]),
        ("unread=1&searchKey=Nancy", []),
        ("tags=work", ["Nancy Grace"]),
        ("tags=other", []),
        ("pinnedBy=me", ["Nancy Grace"]),
        ("pinnedBy=system", []),
        ("pinnedBy=me,system", ["Nancy Grace"]),
        ("includeBlockedUsers=1&withBlockedInfo=1&searchKey=susan", ["Susan Marie"]),
        ("searchKey=susan", []),
        ("onlyAgentic=true", ["Agent"]),
        ("hideAgentic=true", ["Nancy Grace", "George Alan"]),
    ],
)
def test_conversations_are_searched(sandbox, say, query, found):
    """Each parameter selects conversations. Pinned ones come first, and blocked users on request."""
    sandbox.add_user("agent", "Agent", role="@agentic")
    for other in (C, "agent", D):
        sandbox.send_message(A, other, "hello")
    sandbox.send_message(B, A, "hello")
    sandbox.block(A, D)
    say(A, "PUT", f"/users/{C}/conversation", {"tags": ["work"]})
    say(A, "POST", f"/users/{C}/conversation/pin")
    assert names(say(A, "GET", f"/conversations?{query}")) == found


def test_users_are_sorted(client, say):
    """Users are sorted by name or by status, up or down. Any other order is refused."""

    def listed(query):
        return [user["uid"] for user in data(say(A, "GET", f"/users?{query}"))]

    client.connect(C, presence=None)
    assert listed("sortBy=name&sortOrder=desc&per_page=2") == [D, C]
    assert listed("sortBy=status&per_page=2") == [C, B] and listed("per_page=2") == [B, C]
    for query in ("sortBy=age", "sortBy=name&sortOrder=up"):
        assert say(A, "GET", f"/users?{query}").status_code == 400


def test_members_are_searched(sandbox, say):
    """Members are searched by name, scope and status."""
    sandbox.add_group("g", "G", owner=A, members=[B, C])

    def listed(query):
        return [user["uid"] for user in data(say(A, "GET", f"/groups/g/members?{query}"))]

    assert listed("searchKey=george") == [B] and listed("searchKey=none") == []
    assert listed("scopes=admin,moderator") == [A] and listed("scopes=participant&searchKey=nancy") == [C]
    sandbox.ban("g", C)
    banned = [data(say(A, "GET", f"/groups/g/bannedusers?scopes={scope}")) for scope in ("participant", "admin")]
    assert [len(found) for found in banned] == [1, 0]
    assert listed("status=offline&per_page=1&page=2") == [B] and listed("status=available") == []
