"""Messages: sent, repeated, edited, deleted, reactions, and the history, by hand over HTTP and sockets."""

from __future__ import annotations

import time

import pytest
from sandbox_answers import code

A, B, C = "cometchat-uid-1", "cometchat-uid-2", "cometchat-uid-3"


def text_to(receiver, text="hello", **change):
    return {
        "receiver": receiver,
        "receiverType": "user",
        "category": "message",
        "type": "text",
        "data": {"text": text},
        **change,
    }


def numbers(answer):
    """Return the ids of a page."""
    assert answer.status_code == 200, answer.text
    return [message["id"] for message in answer.json()["data"]]


def test_a_muid_counts_once(client, sandbox, say):
    """The same muid of the same sender returns the stored message, and delivers nothing.

    Another sender's is another message.
    """
    socket = client.connect(B, presence=None)
    first = say(A, "POST", "/messages", text_to(B, muid="m")).json()["data"]
    again = say(A, "POST", "/messages", text_to(B, "changed", muid="m"))
    other = say(C, "POST", "/messages", text_to(B, muid="m")).json()["data"]
    assert again.status_code == 200 and again.json()["data"] == first
    assert (first["id"], other["id"]) == ("1", "2")
    assert [client.receive(socket)["body"] for _ in range(2)] == [first, other]
    assert client.hears_nothing(socket, 0.05)
    assert sandbox.messages == [first, other]


def test_a_muid_outlives_membership(sandbox, say):
    """If a kicked user repeats a message, the answer is the stored one."""
    sandbox.add_group("g", "G", owner=A, members=[B])
    first = say(B, "POST", "/messages", text_to("g", receiverType="group", muid="m")).json()["data"]
    sandbox.kick("g", B)
    assert say(B, "POST", "/messages", text_to("g", receiverType="group", muid="m")).json()["data"] == first


def test_a_message_reaches_the_senders_other_sockets(client, make_client, sandbox, say):
    """A message reaches the receiver's sockets and the sender's others, but not the socket that sent it."""
    another = make_client(sandbox)
    receiver, here, there = client.connect(B), client.connect(A), another.connect(A)
    assert client.receive(receiver)["type"] == "presence"
    stored = say(A, "POST", "/messages", text_to(B)).json()["data"]
    assert client.receive(receiver)["body"] == client.receive(there)["body"] == stored
    assert client.hears_nothing(here, 0.05)


def test_ids_are_shared_and_sorted_by_time(sandbox, say):
    """Messages, group actions and calls each take the next number, as text, and never an earlier sentAt."""
    sandbox.add_group("g", "G", owner=A)
    sandbox.send_message(A, B, "one")
    sandbox.join("g", B)
    sandbox.call(A, B)
    say(B, "POST", "/messages", text_to("g", receiverType="group"))
    stored = sandbox.messages
    assert [(message["id"], message["category"]) for message in stored] == [
        ("1", "message"),
        ("2", "action"),
        ("3", "call"),
        ("4", "message"),
    ]
    assert [message["sentAt"] for message in stored] == sorted(message["sentAt"] for message in stored)


def test_a_message_to_a_group_reaches_its_members(client, make_client, sandbox, say):
    """Members' sockets get it, also the sender's others. Outsiders do not get it, and cannot send to the group."""
    sandbox.add_group("g", "G", owner=A, members=[B])
    another = make_client(sandbox)
    here, there = client.connect(A, presence=None), another.connect(A, presence=None)
    member, outsider = client.connect(B, presence=None), client.connect(C, presence=None)
    stored = say(A, "POST", "/messages", text_to("g", receiverType="group")).json()["data"]
    assert stored["conversationId"] == "group_g"
    assert stored["data"]["entities"]["receiver"]["entity"]["guid"] == "g"
    frame = client.receive(member)
    assert (frame["receiver"], frame["receiverType"], frame["body"]) == ("g", "group", stored)
    assert client.receive(there) == frame
    assert client.hears_nothing(here, 0.05) and client.hears_nothing(outsider, 0.05)
    assert code(say(C, "POST", "/messages", text_to("g", receiverType="group"))) == (403, "ERR_NOT_A_MEMBER")


# The history.


@pytest.fixture
def spoken(sandbox):
    """Ten messages from A to B, with the ids 1 to 10."""
    for number in range(1, 11):
        sandbox.send_message(A, B, str(number))


@pytest.mark.parametrize(
    "query, ids",
    [
        ("?affix=append&id=7", "8 9 10"),
        ("?affix=append&id=2&per_page=3", "3 4 5"),
        ("?affix=append", "1 2 3 4 5 6 7 8 9 10"),
        ("?affix=append&id=10", ""),
        ("?affix=append&id=9999", ""),
        ("?affix=prepend&id=4", "1 2 3"),
        ("?affix=prepend&id=9&per_page=2", "7 8"),
        ("?affix=prepend&per_page=2", "9 10"),
        ("?per_page=1", "10"),
        ("?affix=prepend&id=1", ""),
        ("", "1 2 3 4 5 6 7 8 9 10"),
        ("?affix=append&sentAt=1", "1 2 3 4 5 6 7 8 9 10"),
        ("?affix=prepend&sentAt=1", ""),
        ("?affix=append&sentAt=99999999999", ""),
        ("?affix=prepend&sentAt=99999999999&per_page=2", "9 10"),
    ],
)
def test_the_history_is_asked_for_by_affix(say, spoken, query, ids):
    """append returns messages newer than an id or a time, and prepend older ones, always oldest first."""
    assert numbers(say(B, "GET", f"/messages{query}")) == ids.split()


def test_a_page_has_its_position(say, spoken):
    """meta has the page's limit and count, and the ids for the pages before and after."""
    meta = say(B, "GET", "/v3.0/messages?affix=append&id=2&per_page=3").json()["meta"]
    assert meta["current"] == {"limit": 3, "count": 3}
    assert (meta["previous"]["affix"], meta["previous"]["id"]) == ("prepend", "3")
    assert (meta["next"]["affix"], meta["next"]["id"]) == ("append", "5")
    assert meta["cursor"] == {"id": 5, "sentAt": meta["next"]["sentAt"], "affix": "append"}
    empty = say(B, "GET", "/messages?affix=append&id=10").json()
    assert empty == {
        "data": [],
        "meta": {"current": {"limit": 100, "count": 0}, "next": {"affix": "append", "id": "10"}},
    }


@pytest.mark.parametrize(
    "affix, start, pages",
    [("prepend", "", ["8 9 10", "5 6 7", "2 3 4", "1", ""]), ("append", "&id=4", ["5 6 7", "8 9 10", ""])],
)
def test_a_cursor_leads_to_the_next_page(say, spoken, affix, start, pages):
    """With the id and the sentAt of each page's cursor, a client reads every message once: the id decides."""
    for wanted in pages:
        answer = say(B, "GET", f"/messages?affix={affix}&per_page=3{start}")
        assert numbers(answer) == wanted.split()
        cursor = answer.json()["meta"].get("cursor")
        assert (cursor is None) == (wanted == "")
        start = cursor and f"&id={cursor['id']}&sentAt={cursor['sentAt']}"


def test_a_page_has_100_messages_and_at_most_1000(sandbox, say):
    """Without per_page a page has 100 messages, like on the service. A request for more than 1000 gets 1000."""
    for number in range(1001):
        sandbox.send_message(A, B, str(number))
    assert len(numbers(say(B, "GET", "/messages?affix=append"))) == 100
    answer = say(B, "GET", "/messages?affix=append&per_page=5000")
    assert len(numbers(answer)) == 1000 and answer.json()["meta"]["current"]["limit"] == 1000


@pytest.mark.parametrize("query", ["affix=sideways", "id=x", "id=-1", "per_page=0", "per_page=many", "sentAt=now"])
def test_a_query_that_makes_no_sense_is_refused(say, query):
    """An unknown affix, or a text in place of a whole number, is ERR_BAD_REQUEST."""
    assert code(say(A, "GET", f"/messages?{query}")) == (400, "ERR_BAD_REQUEST")


def test_the_history_can_be_filtered(sandbox, say):
    """The history is filtered by category and type, one or several. A page is filled with fitting messages."""
    sandbox.send_message(A, B, "one")
    sandbox.send_message(A, B, category="custom", type="place", data={"customData": {}})
    sandbox.send_message(A, B, type="image", data={"url": "u"})
    sandbox.call(A, B)
    assert numbers(say(B, "GET", "/messages?category=custom")) == ["2"]
    assert numbers(say(B, "GET", "/messages?categories=custom,call")) == ["2", "4"]
    assert numbers(say(B, "GET", "/messages?category=message&type=image&type=text")) == ["1", "3"]
    assert numbers(say(B, "GET", "/messages?affix=append&per_page=1&types=image,audio")) == ["3"]


def test_the_history_is_ones_own(sandbox, say):
    """A user sees the messages from and to them, and no others."""
    sandbox.send_message(A, B, "1")
    sandbox.send_message(B, A, "2")
    sandbox.send_message(B, C, "3")
    assert numbers(say(A, "GET", "/messages")) == ["1", "2"]
    assert numbers(say(B, "GET", "/messages")) == ["1", "2", "3"]
    assert numbers(say(C, "GET", "/messages")) == ["3"]
    for path in (f"/users/{C}/messages", f"/messages?uid={C}"):
        assert numbers(say(B, "GET", path)) == ["3"]
        assert numbers(say(A, "GET", path)) == []
    assert code(say(A, "GET", "/users/nobody/messages")) == (404, "ERR_UID_NOT_FOUND")


def test_the_history_of_a_group_is_of_the_time_in_it(sandbox, say):
    """A member sees a group from their joining to their leaving, both included. Others may not ask."""
    sandbox.add_group("g", "G", owner=A)
    sandbox.send_message(A, "g", "before", receiver_type="group")
    sandbox.join("g", B)
    sandbox.send_message(A, "g", "within", receiver_type="group")
    for path in ("/groups/g/messages", "/messages?guid=g"):
        assert numbers(say(B, "GET", path)) == ["2", "3"]
        assert numbers(say(A, "GET", path)) == ["1", "2", "3"]
        assert code(say(C, "GET", path)) == (403, "ERR_GROUP_NOT_JOINED")
    sandbox.leave("g", B)
    sandbox.send_message(A, "g", "after", receiver_type="group")
    assert numbers(say(B, "GET", "/messages")) == ["2", "3", "4"]
    assert code(say(B, "GET", "/groups/g/messages")) == (403, "ERR_GROUP_NOT_JOINED")
    assert code(say(B, "GET", "/groups/none/messages")) == (404, "ERR_GUID_NOT_FOUND")


def test_the_history_survives_a_restart(sandbox, say, spoken):
    """Messages from before a stop exist after the start, and the ids continue."""
    sandbox.stop()
    assert sandbox.send_message(A, B, "while it was down")["id"] == "11"
    sandbox.presence(A, True)  # to a user without a socket
    sandbox.start()
    assert numbers(say(B, "GET", "/messages?affix=append&id=9")) == ["10", "11"]


def test_ten_thousands_of_messages_stay_fast(sandbox, say):
    """With 30,000 stored messages, sending one and a page of the history take well under 50 ms each."""
    store = sandbox._chat.history
    for number in range(30_000):
        message = {
            "conversationId": f"{A}_user_{B}",
            "sender": A,
            "receiverType": "user",
            "receiver": B,
            "category": "message",
            "type": "text",
            "muid": str(number),
            "data": {"text": str(number)},
        }
        store.add(message, (A, B))
    before = time.perf_counter()
    for step in range(20):
        assert numbers(say(B, "GET", f"/messages?affix=append&id={step * 1400}&per_page=1")) == [str(step * 1400 + 1)]
        assert sandbox.send_message(A, B, "again", muid=str(step))["id"] == str(step + 1)
        assert sandbox.send_message(A, B, "more")["id"] == str(30_001 + step)
    assert (time.perf_counter() - before) / 60 < 0.05


def test_replies_are_in_a_thread(client, sandbox, say):
    """A reply is delivered with its parentId, belongs to the thread, and can be left out of the history."""
    sandbox.send_message(A, B, "one")
    sandbox.send_message(A, B, "two")
    socket = client.connect(A, presence=None)
    stored = say(B, "POST", "/messages/1/thread", text_to(A, "reply", parentMessageId="1")).json()["data"]
    assert (stored["id"], stored["parentId"], stored["data"]["text"]) == ("3", "1", "reply")
    assert client.receive(socket)["body"] == stored
    say(A, "POST", "/messages/1/thread", text_to(B, "another"))
    assert numbers(say(B, "GET", "/messages/1/thread?affix=prepend&per_page=1")) == ["4"]
    assert numbers(say(B, "GET", "/messages/1/thread?affix=prepend&per_page=1&id=4")) == ["3"]
    assert numbers(say(B, "GET", "/messages/2/thread")) == []
    assert numbers(say(A, "GET", f"/users/{B}/messages?hideReplies=true")) == ["1", "2"]
    assert numbers(say(A, "GET", f"/users/{B}/messages")) == ["1", "2", "3", "4"]
    for method, body in (("GET", None), ("POST", text_to(A))):
        assert code(say(C, method, "/messages/1/thread", body)) == (403, "ERR_MESSAGE_NO_ACCESS")


# One message.


def test_only_sender_and_receiver_read_a_message(sandbox, say):
    """GET /messages/{id} returns the message to its sender and receiver, and refuses others."""
    stored = sandbox.send_message(A, B, "one")
    for uid in (A, B):
        assert say(uid, "GET", "/messages/1").json()["data"] == stored
    assert code(say(C, "GET", "/messages/1")) == (403, "ERR_MESSAGE_NO_ACCESS")
    for uid, message_id in ((A, "2"), (A, "0"), (A, "x"), (A, "9" * 30)):
        assert code(say(uid, "GET", f"/messages/{message_id}")) == (404, "ERR_MESSAGE_ID_NOT_FOUND")


def test_an_edit_is_stored_and_delivered(client, make_client, sandbox, say):
    """An edit changes the data, sets editedAt and editedBy, and reaches all sockets but the editor's as an action."""
    another = make_client(sandbox)
    sandbox.send_message(A, B, "hello", metadata={"a": 1})
    receiver, here, there = client.connect(B, presence=None), client.connect(A, presence=None), another.connect(A)
    action = say(A, "PUT", "/messages/1", {"data": {"text": "hi"}}).json()["data"]
    assert (action["id"], action["category"], action["type"], action["sender"]) == ("2", "action", "message", A)
    assert action["data"]["action"] == "edited" and action["data"]["resource"] == client.resource
    entities = action["data"]["entities"]
    assert (entities["by"]["entity"]["uid"], entities["for"]["entity"]["uid"]) == (A, B)
    assert entities["on"]["entityType"] == "message"
    edited = entities["on"]["entity"]
    assert (edited["id"], edited["data"]["text"], edited["editedBy"]) == ("1", "hi", A)
    assert abs(edited["editedAt"] - time.time()) < 5 and "metadata" not in edited["data"]
    assert edited["data"]["entities"]["sender"]["entity"]["uid"] == A
    frame = client.receive(receiver)
    assert (frame["type"], frame["sender"], frame["deviceId"]) == ("message", A, client.resource)
    assert frame["body"] == another.receive(there)["body"] == action
    assert client.hears_nothing(here, 0.05)
    assert sandbox.messages == [edited, action]


def test_a_delete_is_stored_and_delivered(client, sandbox, say):
    """A deleted message has deletedAt and deletedBy, reaches the receiver in an action, and cannot be changed again."""
    sandbox.send_message(A, B, "hello")
    receiver = client.connect(B, presence=None)
    action = say(A, "DELETE", "/messages/1").json()["data"]
    deleted = action["data"]["entities"]["on"]["entity"]
    assert action["data"]["action"] == "deleted" and deleted["id"] == "1"
    assert deleted["deletedBy"] == A and abs(deleted["deletedAt"] - time.time()) < 5
    assert client.receive(receiver)["body"] == action
    assert say(B, "GET", "/messages").json()["data"] == [deleted, action]
    assert code(say(A, "PUT", "/messages/1", {"data": {"text": "x"}})) == (400, "ERR_MESSAGE_ACTION_NOT_ALLOWED")
    assert code(say(A, "DELETE", "/messages/1")) == (400, "ERR_MESSAGE_ACTION_NOT_ALLOWED")


def test_only_ones_own_messages_are_ones_to_change(sandbox, say):
    """The receiver may not edit or delete, a stranger does not see the message, and an action cannot change."""
    sandbox.send_message(A, B, "hello")
    sandbox.add_group("g", "G", owner=A)
    sandbox.join("g", B)
    for method, body in (("PUT", {"data": {"text": "x"}}), ("DELETE", None)):
        assert code(say(B, method, "/messages/1", body)) == (403, "ERR_MESSAGE_NOT_A_SENDER")
        assert code(say(C, method, "/messages/1", body)) == (403, "ERR_MESSAGE_NO_ACCESS")
        assert code(say(B, method, "/messages/2", body)) == (400, "ERR_MESSAGE_ACTION_NOT_ALLOWED")
    for body in (None, {}, {"data": "text"}):
        assert code(say(A, "PUT", "/messages/1", body)) == (400, "ERR_INVALID_MESSAGE_DATA")
    assert code(say(A, "PUT", "/messages/1", [])) == (400, "ERR_BAD_REQUEST")


def test_moderators_change_messages_of_their_group(client, sandbox, say):
    """A moderator deletes a participant's message, also one from before their time. The members are notified."""
    sandbox.add_group("g", "G", owner=A, members=[B])
    sandbox.send_message(B, "g", "rude", receiver_type="group")
    sandbox.add_member("g", C, scope="moderator")
    member = client.connect(B, presence=None)
    assert say(C, "DELETE", "/messages/1").json()["data"]["sender"] == C
    deleted = client.receive(member)["body"]["data"]["entities"]["on"]["entity"]
    assert (deleted["id"], deleted["sender"], deleted["deletedBy"]) == ("1", B, C)


# Reactions.


def test_reactions_are_stored_and_delivered(client, make_client, sandbox, say):
    """A reaction, and its end, reach both sides as a flat reaction frame. The message has the number of reactions."""
    another = make_client(sandbox)
    sandbox.send_message(A, B, "hello")
    sender, reacting = client.connect(A, presence=None), another.connect(B, presence=None)
    path = "/messages/1/reactions/%F0%9F%91%8D"
    for method, action, counts in (
        ("POST", "message_reaction_added", [{"reaction": "👍", "count": 1, "reactedByMe": True}]),
        ("DELETE", "message_reaction_removed", []),
    ):
        for _ in range(2):  # the second call has no effect
            assert say(B, method, path, by=another).json()["data"]["data"]["reactions"] == counts
        frame = client.receive(sender)
        assert (frame["type"], frame["sender"], frame["receiver"]) == ("reaction", B, A)
        body = frame["body"]
        assert (body["action"], body["conversationId"], body["id"]) == (action, f"{A}_user_{B}", "1")
        assert (body["messageId"], body["reaction"], body["uid"]) == ("1", "👍", B) and "parentId" not in body
        assert abs(body["reactedAt"] - time.time()) < 5 and body["reactedBy"]["uid"] == B
    assert client.hears_nothing(sender, 0.05) and client.hears_nothing(reacting, 0.05)


def test_reactions_are_counted(client, sandbox):
    """Each user counts once for each reaction. A reaction without users is removed."""
    sandbox.send_message(A, B, "hello")
    socket = client.connect(B, presence=None)
    sandbox.react("1", A, "x")
    assert client.receive(socket)["receiver"] == B
    sandbox.react("1", B, "x")
    sandbox.react("1", B, "y")
    counts = [(found["reaction"], found["count"]) for found in sandbox.messages[0]["data"]["reactions"]]
    assert counts == [("x", 2), ("y", 1)]
    sandbox.unreact("1", A, "x")
    sandbox.unreact("1", B, "y")
    assert sandbox.messages[0]["data"]["reactions"] == [{"reaction": "x", "count": 1, "reactedByMe": False}]


def test_a_reaction_to_a_reply_says_so(client, sandbox, say):
    """A reaction frame about a message of a thread has that thread's parentId."""
    sandbox.send_message(A, B, "hello")
    say(B, "POST", "/messages/1/thread", text_to(A))
    socket = client.connect(A, presence=None)
    sandbox.react("2", B, "x")
    body = client.receive(socket)["body"]
    assert (body["messageId"], body["parentId"]) == ("2", "1")


def test_reactions_are_listed(sandbox, say):
    """GET returns the reactions to a message, all or of one kind, page by page, each with its user."""
    sandbox.send_message(A, B, "hello")
    for uid, reaction in ((A, "x"), (B, "x"), (B, "👍")):
        sandbox.react("1", uid, reaction)

    def listed(query):
        answer = say(A, "GET", f"/messages/1/reactions{query}").json()
        return [(entry["id"], entry["uid"], entry["reaction"]) for entry in answer["data"]], answer["meta"]

    everything = [("1", A, "x"), ("2", B, "x"), ("3", B, "👍")]
    assert listed("") == (everything, listed("")[1])
    assert listed("/x")[0] == everything[:2] and listed("/y") == ([], {"current": {"limit": 100, "count": 0}})
    found, meta = listed("?limit=2&affix=append")
    assert found == everything[:2] and meta["next"] == {"affix": "append", "id": "2"}
    assert listed("?limit=2&affix=append&id=2")[0] == everything[2:]
    found, meta = listed("?limit=2&affix=prepend")
    assert found == everything[1:] and meta["previous"] == {"affix": "prepend", "id": "2"}
    assert listed("?limit=2&affix=prepend&id=2")[0] == everything[:1]
    entry, *_ = say(A, "GET", "/messages/1/reactions").json()["data"]
    assert entry["messageId"] == "1" and entry["reactedBy"]["name"] == "Andrew Joseph" and entry["reactedAt"]
    assert code(say(C, "GET", "/messages/1/reactions")) == (403, "ERR_MESSAGE_NO_ACCESS")


@pytest.mark.parametrize("receiver, receiver_type", [(B, "user"), ("g", "group")])
def test_a_messages_sender_gets_interactions(client, make_client, sandbox, say, receiver, receiver_type):
    """PATCH of interacted reaches only the sockets of the message's sender, with element and time."""
    sandbox.add_group("g", "G", owner=A, members=[B, C])
    sandbox.send_message(A, receiver, "form", receiver_type=receiver_type)
    sender, other = client.connect(A, presence=None), make_client(sandbox).connect(C, presence=None)
    answer = say(B, "PATCH", "/messages/1/interacted", {"interactions": ["button"]})
    assert answer.json()["data"]["success"] is True
    frame = client.receive(sender)
    assert (frame["type"], frame["sender"], frame["messageSender"]) == ("interaction_completed", B, A)
    assert (frame["receiver"], frame["receiverType"]) == (A if receiver == B else "g", receiver_type)
    body = frame["body"]
    assert (body["messageId"], body["user"]["uid"]) == ("1", B) and abs(body["timestamp"] - time.time()) < 5
    assert body["interactions"] == [{"elementId": "button", "interactedAt": body["timestamp"]}]
    assert client.hears_nothing(other, 0.05)


@pytest.mark.parametrize("body", [None, {}, {"interactions": []}, {"interactions": "x"}, {"interactions": [1]}, []])
def test_an_interaction_has_elements(sandbox, say, body):
    """Without a list of the elements' names, or without a message for that user, it is refused."""
    sandbox.send_message(A, B, "form")
    assert code(say(B, "PATCH", "/messages/1/interacted", body)) == (400, "ERR_BAD_REQUEST")
    named = {"interactions": ["x"]}
    assert code(say(C, "PATCH", "/messages/1/interacted", named)) == (403, "ERR_MESSAGE_NO_ACCESS")


def test_only_viewers_of_a_message_react(sandbox, say):
    """A stranger cannot react, and neither can a user who has left the group."""
    sandbox.add_group("g", "G", owner=A, members=[B])
    sandbox.send_message(A, "g", "hello", receiver_type="group")
    assert code(say(C, "POST", "/messages/1/reactions/x")) == (403, "ERR_MESSAGE_NO_ACCESS")
    sandbox.leave("g", B)
    assert code(say(B, "POST", "/messages/1/reactions/x")) == (403, "ERR_GROUP_NOT_JOINED")


@pytest.mark.parametrize(
    "method, path",
    [
        ("GET", "/messages"),
        ("GET", f"/users/{B}/messages"),
        ("GET", "/groups/g/messages"),
        ("GET", "/messages/1"),
        ("PUT", "/messages/1"),
        ("DELETE", "/messages/1"),
        ("POST", "/messages/1/reactions/x"),
        ("DELETE", "/messages/1/reactions/x"),
        ("GET", "/messages/1/reactions"),
        ("GET", "/messages/1/reactions/x"),
        ("GET", "/messages/1/thread"),
        ("POST", "/messages/1/thread"),
        ("PATCH", "/messages/1/interacted"),
    ],
)
def test_every_call_wants_an_auth_token(client, sandbox, method, path):
    """Without an auth token history, edits and reactions are refused, and a fault can be set on each path."""
    assert code(client.call(method, path)) == (401, "AUTH_ERR_EMPTY_AUTH_TOKEN")
    sandbox.fail_http(503, path=path)
    assert client.call(method, "/v3.0" + path).status_code == 503


# Played by the sandbox.


def test_send_message_plays_another_device(client, sandbox):
    """A message of send_message() reaches the receiver and all of the sender's sockets.

    The result is the stored message.
    """
    sender, receiver = client.connect(A, presence=None), client.connect(B, presence=None)
    stored = sandbox.send_message(A, B, "hello", muid="m", metadata={"a": 1})
    assert client.receive(sender)["body"] == client.receive(receiver)["body"] == stored
    assert (stored["muid"], stored["data"]["text"], stored["data"]["metadata"]) == ("m", "hello", {"a": 1})
    assert sandbox.send_message(A, B, "again", muid="m") == stored
    custom = sandbox.send_message(A, B, category="custom", type="place", data={"customData": {"lat": 1}})
    assert client.receive(receiver)["body"] == custom and custom["data"]["customData"] == {"lat": 1}
    assert client.hears_nothing(receiver, 0.05)


def test_the_sandbox_returns_copies(sandbox):
    """Changes of the results of send_message(), edit_message() and messages change nothing in the sandbox."""
    sandbox.send_message(A, B, "hello")["data"]["text"] = "changed"
    assert sandbox.messages[0]["data"]["text"] == "hello"
    sandbox.edit_message("1", "hi")["data"]["text"] = "changed"
    sandbox.messages[0]["data"]["text"] = "changed"
    assert sandbox.messages[0]["data"]["text"] == "hi"


def test_edit_and_delete_and_react_are_played(client, sandbox):
    """edit_message(), delete_message(), react() and unreact() reach the sockets like those of the API."""
    sandbox.send_message(A, B, "hello", metadata={"a": 1})
    socket = client.connect(B, presence=None)
    edited = sandbox.edit_message("1", "hi")
    assert (edited["editedBy"], edited["data"]["text"], edited["data"]["metadata"]) == (A, "hi", {"a": 1})
    assert sandbox.messages[0] == edited == client.receive(socket)["body"]["data"]["entities"]["on"]["entity"]
    sandbox.react("1", B, "👍")
    sandbox.unreact("1", B, "👍")
    assert [client.receive(socket)["body"]["action"] for _ in range(2)] == [
        "message_reaction_added",
        "message_reaction_removed",
    ]
    deleted = sandbox.delete_message("1", by=A)
    assert sandbox.messages[0] == deleted == client.receive(socket)["body"]["data"]["entities"]["on"]["entity"]


def test_typing_and_presence_are_played(client, sandbox):
    """typing() reaches the receiver, and presence() its subscribers. NO_TRANSIENT stops both."""
    sandbox.add_group("g", "G", owner=A, members=[B])
    socket = client.connect(B)
    sandbox.typing(A, B)
    started = client.receive(socket)
    assert (started["type"], started["sender"], started["receiver"]) == ("typing_indicator", A, B)
    assert started["body"]["action"] == "started" and started["body"]["user"]["uid"] == A
    sandbox.typing(A, "g", False, "group")
    ended = client.receive(socket)
    assert (ended["receiver"], ended["receiverType"], ended["body"]["action"]) == ("g", "group", "ended")
    for online, status in ((True, "online"), (False, "offline")):
        sandbox.presence(C, online)
        frame = client.receive(socket)
        assert (frame["type"], frame["body"]["action"], frame["body"]["user"]["status"]) == ("presence", status, status)
    sandbox.set_mode("NO_TRANSIENT")
    sandbox.typing(A, B)
    sandbox.presence(C, True)
    assert client.hears_nothing(socket, 0.05)


@pytest.mark.parametrize(
    "act, error, text",
    [
        (lambda sandbox: sandbox.send_message("nobody", B, "x"), KeyError, "ERR_UID_NOT_FOUND"),
        (lambda sandbox: sandbox.send_message(A, "nobody", "x"), KeyError, "ERR_UID_NOT_FOUND"),
        (lambda sandbox: sandbox.send_message(A, "g", "x", receiver_type="group"), KeyError, "ERR_GUID_NOT_FOUND"),
        (lambda sandbox: sandbox.send_message(A, B, "x", type=""), ValueError, "ERR_EMPTY_MESSAGE_TYPE"),
        (lambda sandbox: sandbox.edit_message("7", "x"), KeyError, "ERR_MESSAGE_ID_NOT_FOUND"),
        (lambda sandbox: sandbox.edit_message("1", "x", by=B), ValueError, "ERR_MESSAGE_NOT_A_SENDER"),
        (lambda sandbox: sandbox.delete_message("1", by=C), ValueError, "ERR_MESSAGE_NO_ACCESS"),
        (lambda sandbox: sandbox.react("1", C, "x"), ValueError, "ERR_MESSAGE_NO_ACCESS"),
        (lambda sandbox: sandbox.unreact("1", A, ""), ValueError, "ERR_BAD_REQUEST"),
        (lambda sandbox: sandbox.typing(A, "nobody"), KeyError, "ERR_UID_NOT_FOUND"),
        (lambda sandbox: sandbox.typing(A, B, receiver_type="crowd"), ValueError, "ERR_INVALID_RECEIVER_TYPE"),
        (lambda sandbox: sandbox.presence("nobody", True), KeyError, "ERR_UID_NOT_FOUND"),
    ],
)
def test_an_impossible_act_raises(sandbox, act, error, text):
    """A missing object raises KeyError. An action that the service would refuse raises ValueError, with the code."""
    sandbox.send_message(A, B, "hello")
    stored = sandbox.messages
    with pytest.raises(error, match=text):
        act(sandbox)
    assert sandbox.messages == stored


@pytest.mark.parametrize(
    "kind, body, envelope",
    [
        ("typing_indicator", {"action": "started", "metadata": {}}, {}),
        ("transient_message", {"data": {"like": 1}}, {}),
        ("receipts", {"action": "read", "messageId": "5"}, {"messageSender": B}),
    ],
)
def test_transient_frames_to_a_group_reach_its_members(client, make_client, sandbox, kind, body, envelope):
    """A member's frame reaches the members' other sockets, also the sender's. An outsider's is dropped."""
    sandbox.add_group("g", "G", owner=A, members=[B])
    another = make_client(sandbox)
    here, there = client.connect(A, presence=None), another.connect(A, presence=None)
    member, outsider = client.connect(B, presence=None), client.connect(C, presence=None)
    client.send(here, client.frame(kind, A, "g", body, receiverType="group", **envelope))
    frame = client.receive(member)
    assert (frame["type"], frame["receiver"], frame["sender"]) == (kind, "g", A)
    assert frame["body"]["user"]["name"] == "Andrew Joseph"
    assert client.receive(there) == frame
    client.send(outsider, client.frame(kind, C, "g", body, receiverType="group", **envelope))
    assert sandbox.wait_for_frame(lambda frame: frame["sender"] == C and frame["type"] == kind)
    assert all(client.hears_nothing(socket, 0.05) for socket in (here, there, member, outsider))
    assert sandbox.violations == []
