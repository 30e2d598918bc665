"""The verbs of a bot: texts, edits, deletions, reactions, and the history. Each against the sandbox."""

from __future__ import annotations

import itertools
import sys
from typing import Any, Callable, Dict, Iterator, List
from urllib.parse import parse_qsl

import pytest

from cometchat import (
    Action,
    BaseMessage,
    Client,
    CometChatException,
    CustomMessage,
    InvalidArgumentException,
    MediaMessage,
    MessageListener,
    TextMessage,
)
from cometchat.sandbox import Sandbox

from .conftest import DEADLINE, OTHER_UID, UID, Party

GROUP = "chat"


class Heard(MessageListener):
    """Keeps the events of the other side."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: List[Any] = []

    def on_text_message_received(self, message: TextMessage) -> None:
        self.calls.append(("text", message))

    def on_message_edited(self, message: BaseMessage) -> None:
        self.calls.append(("edited", message))

    def on_message_deleted(self, message: BaseMessage) -> None:
        self.calls.append(("deleted", message))

    def on_message_reaction_added(self, reaction_event: Any) -> None:
        self.calls.append(("added", reaction_event))

    def on_message_reaction_removed(self, reaction_event: Any) -> None:
        self.calls.append(("removed", reaction_event))


@pytest.fixture
def me(party: Party, sandbox: Sandbox) -> Client:
    sandbox.add_group(GROUP, "Chat", owner=OTHER_UID, members=[UID])
    client = party.client(auto_establish_socket_connection=False)
    client.login(UID, sandbox.auth_key)
    return client


@pytest.fixture
def heard(party: Party, sandbox: Sandbox, me: Client) -> Iterator[Heard]:
    """The events of the other user."""
    listener = Heard()
    with Client(sandbox.app_id, sandbox.settings()) as other:
        other.add_message_listener(listener)
        other.login(OTHER_UID, sandbox.auth_key)
        other.connect(DEADLINE)
        yield listener


def calls(sandbox: Sandbox, heard: Heard, count: int) -> List[str]:
    """Return the names of the callbacks, once there are this many. It looks again at each change of the sandbox."""

    def enough() -> bool:
        sandbox.typing(UID, OTHER_UID)
        return len(heard.calls) >= count

    assert sandbox.wait_until(enough, DEADLINE), heard.calls
    return [name for name, _ in heard.calls]


def code_of(act: Callable[[], object]) -> str:
    with pytest.raises(CometChatException) as caught:
        act()
    return caught.value.code


def test_a_text_to_a_user_and_to_a_group(me: Client, sandbox: Sandbox, heard: Heard) -> None:
    """``send_text`` names the receiver by uid or guid, and returns the stored message."""
    one = me.send_text("Hello", uid=OTHER_UID.upper())
    two = me.send_text("Hello all", guid=GROUP)
    assert [type(each) for each in (one, two)] == [TextMessage] * 2
    assert (one.text, one.receiver_id, one.receiver_type) == ("Hello", OTHER_UID, "user")
    assert (two.text, two.receiver_id, two.receiver_type) == ("Hello all", GROUP, "group")
    assert calls(sandbox, heard, 2) == ["text", "text"]
    assert [message.id for _, message in heard.calls] == [one.id, two.id]


def test_a_text_in_a_thread(me: Client, sandbox: Sandbox) -> None:
    """``parent_message_id`` is an id, or the message itself."""
    parent = me.send_text("question", uid=OTHER_UID)
    assert parent.id is not None
    answer = me.send_text("answer", uid=OTHER_UID, parent_message_id=parent.id)
    assert answer.parent_message_id == parent.id
    assert [request.path for request in sandbox.requests][-1] == f"/v3.0/messages/{parent.id}/thread"[5:]


def test_an_edit(me: Client, sandbox: Sandbox, heard: Heard) -> None:
    """``edit_message`` returns the message with its changes. Its metadata and tags stay. The other side is notified."""
    message = TextMessage(
        text="Helo", receiver_id=OTHER_UID, receiver_type="user", metadata={"a": [1]}, tags=("greeting",)
    )
    stored = me.send_message(message)
    edited = me.edit_message(stored, "Hello")
    assert isinstance(edited, TextMessage)
    assert (edited.id, edited.text, edited.metadata, edited.tags) == (stored.id, "Hello", {"a": [1]}, ("greeting",))
    assert edited.edited_at is not None and edited.edited_by == UID and edited.receiver_id == OTHER_UID
    assert calls(sandbox, heard, 2) == ["text", "edited"]
    assert heard.calls[1][1].text == "Hello"
    assert sandbox.messages[0]["data"]["text"] == "Hello"
    assert me.edit_message(edited, "Hello!").text == "Hello!"


def test_a_message_whose_id_is_a_number(me: Client) -> None:
    """A program's own copy of a message may have a number as its id. The ids of ``get_messages`` may be numbers too."""
    sent = me.send_text("one", uid=OTHER_UID)
    copied = TextMessage(id=int(str(sent.id)), text="one")  # type: ignore[arg-type]
    assert me.edit_message(copied, "two").text == "two"
    assert [reaction.reaction for reaction in me.add_reaction(copied, "+").reactions] == ["+"]
    assert me.remove_reaction(copied, "+").reactions == ()
    assert me.delete_message(copied).deleted_at


def test_an_edit_of_a_message_that_others_have_changed(me: Client, sandbox: Sandbox) -> None:
    """Reactions and mentions are the service's: an edit does not change them."""
    stored = me.send_text(f"Hello <@uid:{OTHER_UID}>", uid=OTHER_UID)
    assert stored.id is not None
    sandbox.react(stored.id, OTHER_UID, "👍")
    edited = me.edit_message(stored, "Hello")
    assert [reaction.reaction for reaction in edited.reactions] == ["👍"]
    assert edited.mentions == ()


def test_a_deletion(me: Client, sandbox: Sandbox, heard: Heard) -> None:
    """``delete_message`` returns the rest of the message. The other side is notified."""
    stored = me.send_text("Hello", uid=OTHER_UID)
    deleted = me.delete_message(stored)
    assert isinstance(deleted, TextMessage)
    assert (deleted.id, deleted.text, deleted.deleted_by) == (stored.id, None, UID)
    assert deleted.deleted_at is not None and deleted.receiver_id == OTHER_UID
    assert calls(sandbox, heard, 2) == ["text", "deleted"]
    assert code_of(lambda: me.delete_message(stored)) == "ERR_MESSAGE_ACTION_NOT_ALLOWED"


_REST = '{"id": "%s", "conversationId": "c", "deletedAt": 5, "deletedBy": "x"}'


@pytest.mark.parametrize(
    "body", [_REST, '{"category": "action", "data": {"action": "deleted", "entities": {"on": {"entity": %s}}}}' % _REST]
)
def test_a_deleted_message_keeps_its_class(me: Client, sandbox: Sandbox, body: str) -> None:
    """The vendor's example of a deleted message has four fields only, neither the category nor the type."""
    stored = me.send_text("Hello", uid=OTHER_UID)
    sandbox.fail_http(200, path="/messages/*", body='{"data": %s}' % (body % stored.id))
    deleted = me.delete_message(stored)
    assert isinstance(deleted, TextMessage) and (deleted.category, deleted.type) == ("message", "text")
    assert (deleted.id, deleted.text, deleted.deleted_at, deleted.deleted_by) == (stored.id, None, 5, "x")


def test_reactions(me: Client, sandbox: Sandbox, heard: Heard) -> None:
    """A reaction in any spelling is added once, and removed. The answer has the number of reactions."""
    stored = sandbox.send_message(OTHER_UID, UID, "Hello")
    (message,) = me.get_messages(uid=OTHER_UID)
    for _ in range(2):
        reacted = me.add_reaction(message, "👍🏽/?")
        (count,) = reacted.reactions
        assert (count.reaction, count.count, count.reacted_by_me, reacted.id) == ("👍🏽/?", 1, True, stored["id"])
    assert me.remove_reaction(reacted, "👍🏽/?").reactions == ()
    assert calls(sandbox, heard, 3) == ["text", "added", "removed"]


EMPTY = [(204, ""), (200, ""), (200, '{"data": {"success": true, "message": "done"}}')]


@pytest.mark.parametrize("status, body", EMPTY)
def test_an_answer_without_the_message(me: Client, sandbox: Sandbox, status: int, body: str) -> None:
    """A DELETE may be answered without data. The result is then the message as it was, not one without an id."""
    message = me.send_text("a", uid=OTHER_UID)
    sandbox.fail_http(status, times=2, path="/messages/*", body=body)
    assert me.remove_reaction(message, "\u2764") is message
    assert me.delete_message(message) is message


ACTS: Dict[str, Callable[[Client, Any], Any]] = {
    "text": lambda me, message: me.send_text("b", uid=OTHER_UID),
    "custom": lambda me, message: me.send_message(
        CustomMessage(receiver_id=OTHER_UID, receiver_type="user", type="t", custom_data={"a": 1})
    ),
    "edit": lambda me, message: me.edit_message(message, "b"),
    "reaction": lambda me, message: me.add_reaction(message, "\u2764"),
}


@pytest.mark.parametrize("data", ["{}", '{"success": true}', '{"id": null, "data": {}}'])
@pytest.mark.parametrize("name", ACTS)
def test_an_answer_that_must_have_the_message(me: Client, sandbox: Sandbox, name: str, data: str) -> None:
    """``ERR_BAD_RESPONSE``: the result would not be the message that the method promises."""
    message = me.send_text("a", uid=OTHER_UID)
    sandbox.fail_http(200, path="/messages*", body='{"data": %s}' % data)
    with pytest.raises(CometChatException) as caught:
        ACTS[name](me, message)
    assert caught.value.code == "ERR_BAD_RESPONSE" and "message" in caught.value.message


@pytest.mark.parametrize("storage", [True, False], ids=["uploaded", "in one call"])
def test_an_answer_with_an_id_alone_has_the_class_of_what_was_sent(me: Client, sandbox: Sandbox, storage: bool) -> None:
    """The caller reads ``text``, ``custom_data`` or ``attachments``, and no AttributeError ends the program."""
    if not storage:
        sandbox.fail_http(404, path="/files/upload-url", code="ERR_API_NOT_FOUND")
    sandbox.fail_http(200, path="/messages", body='{"data": {"id": 7}}')
    text, custom = ACTS["text"](me, None), ACTS["custom"](me, None)
    media = me.send_media_message(b"a", uid=OTHER_UID, name="a.png")
    assert [type(sent) for sent in (text, custom, media)] == [TextMessage, CustomMessage, MediaMessage]
    assert [sent.id for sent in (text, custom, media)] == ["7"] * 3
    assert text.text is None and custom.type == "t" and media.type == "image" and media.attachments == ()


def test_ones_own_changes_are_not_missed_messages(me: Client, sandbox: Sandbox) -> None:
    """After a reconnect, the history contains this client's own edit and deletion. Its listeners get neither."""
    mine = Heard()
    me.add_message_listener(mine)
    me.connect(DEADLINE)
    sandbox.send_message(OTHER_UID, UID, "first")
    assert calls(sandbox, mine, 1) == ["text"]
    first, second = me.send_text("one", uid=OTHER_UID), me.send_text("two", uid=OTHER_UID)
    sandbox.refuse_connections()
    sandbox.drop_connections()
    assert me.wait_for_status("connecting", DEADLINE)
    sandbox.accept_connections()
    me.edit_message(first, "1")
    me.delete_message(second)
    sandbox.send_message(OTHER_UID, UID, "last")
    assert calls(sandbox, mine, 2) == ["text", "text"]
    assert me.wait_for_status("connected", DEADLINE)
    sandbox.send_message(OTHER_UID, UID, "really")
    assert calls(sandbox, mine, 3) == ["text", "text", "text"]


# The history.


@pytest.fixture
def numbered(me: Client, sandbox: Sandbox) -> List[str]:
    """Make 250 texts of both sides, each followed by one in the group.

    Returns the ids of those between the two users.
    """
    ids = []
    for number in range(250):
        sender, receiver = ((OTHER_UID, UID), (UID, OTHER_UID))[number % 2]
        ids.append(sandbox.send_message(sender, receiver, str(number))["id"])
        sandbox.send_message(OTHER_UID, GROUP, f"group {number}", receiver_type="group")
    sandbox.clear_records()
    return ids


def texts(messages: Iterator[BaseMessage]) -> List[str]:
    return [message.text or "" for message in messages if isinstance(message, TextMessage)]


def pages(sandbox: Sandbox) -> List[Dict[str, str]]:
    return [dict(request.query) for request in sandbox.requests if request.path.endswith("/messages")]


def test_the_newest_first(me: Client, numbered: List[str], sandbox: Sandbox) -> None:
    """The iterator returns a conversation from the newest message to the first, and reads pages when needed."""
    history = me.get_messages(uid=OTHER_UID)
    assert pages(sandbox) == []
    assert texts(itertools.islice(history, 3)) == ["249", "248", "247"]
    assert len(pages(sandbox)) == 1
    assert texts(history) == [str(number) for number in range(246, -1, -1)]
    assert [page.get("id") for page in pages(sandbox)] == [None, numbered[150], numbered[50], numbered[0]]


def test_from_a_message_on(me: Client, numbered: List[str]) -> None:
    """With ``after``, the oldest message comes first.

    ``before`` is the end, and ``"0"`` the beginning of the history.
    """
    assert texts(me.get_messages(uid=OTHER_UID, after=numbered[239])) == [str(number) for number in range(240, 250)]
    between = me.get_messages(uid=OTHER_UID, after=numbered[20], before=numbered[170])
    assert texts(between) == [str(number) for number in range(21, 170)]
    assert texts(me.get_messages(uid=OTHER_UID, after="0", limit=2)) == ["0", "1"]
    assert list(me.get_messages(uid=OTHER_UID, after=numbered[-1])) == []


def test_before_a_message(me: Client, numbered: List[str]) -> None:
    """``before`` is a message or an id, and the order is backwards."""
    (newest,) = me.get_messages(uid=OTHER_UID, limit=1)
    assert texts(me.get_messages(uid=OTHER_UID, before=newest, limit=2)) == ["248", "247"]
    assert texts(me.get_messages(uid=OTHER_UID, before=numbered[2])) == ["1", "0"]


@pytest.mark.parametrize("limit, sizes", [(0, []), (1, ["1"]), (100, ["100"]), (130, ["100", "31"])])
def test_the_limit(limit: int, sizes: List[str], me: Client, numbered: List[str], sandbox: Sandbox) -> None:
    """The iterator reads no more messages than its limit."""
    assert len(list(me.get_messages(uid=OTHER_UID, limit=limit))) == limit
    assert [page["per_page"] for page in pages(sandbox)] == sizes


def test_a_group_and_everything(me: Client, numbered: List[str], sandbox: Sandbox) -> None:
    """``guid`` reads a group's conversation. Without a receiver, all conversations are read."""
    assert texts(me.get_messages(guid=GROUP, limit=2)) == ["group 249", "group 248"]
    assert texts(me.get_messages(limit=3)) == ["group 249", "249", "group 248"]
    assert len(texts(me.get_messages())) == 500


def test_the_history_of_a_user_ends_with_the_login(me: Client, numbered: List[str], sandbox: Sandbox) -> None:
    """The iterator never continues as another user. A login of the same user changes nothing."""
    history = me.get_messages(guid=GROUP)
    assert len(texts(itertools.islice(history, 100))) == 100
    me.login(UID.upper(), sandbox.auth_key)
    assert len(texts(itertools.islice(history, 100))) == 100
    me.login(OTHER_UID, sandbox.auth_key)
    with pytest.raises(CometChatException, match="Another login replaced this one") as caught:
        next(history)
    assert caught.value.code == "USER_NOT_LOGGED_IN"


def test_the_history_ends_with_the_client(me: Client, numbered: List[str], sandbox: Sandbox) -> None:
    """After ``close()`` an iterator returns the messages that it has, and makes no request."""
    new, begun = me.get_messages(guid=GROUP), me.get_messages(guid=GROUP)
    next(begun)
    me.close()
    sandbox.clear_records()
    assert code_of(lambda: next(new)) == "ERR_CLIENT_CLOSED"
    assert len(texts(itertools.islice(begun, 99))) == 99
    assert code_of(lambda: next(begun)) == "ERR_CLIENT_CLOSED"
    assert sandbox.requests == []


def test_a_thread(me: Client, sandbox: Sandbox) -> None:
    """The iterator returns the replies to a message, without the message itself."""
    parent = me.send_text("question", uid=OTHER_UID)
    for text in ("one", "two"):
        me.send_text(text, uid=OTHER_UID, parent_message_id=parent.id)
    me.send_text("elsewhere", uid=OTHER_UID)
    assert parent.id is not None
    assert texts(me.get_messages(parent_message_id=parent.id, after="0")) == ["one", "two"]
    assert texts(me.get_messages(parent_message_id=parent.id)) == ["two", "one"]


def test_the_subscription_to_a_thread(me: Client, sandbox: Sandbox) -> None:
    """The history says whether the user is subscribed to the thread of each message. A reply subscribes its sender."""
    parent, other = (sandbox.send_message(OTHER_UID, UID, text)["id"] for text in ("q", "not answered"))
    me.send_text("a", uid=OTHER_UID, parent_message_id=parent)
    found = {message.id: message.thread_subscribed for message in me.get_messages(uid=OTHER_UID)}
    assert (found[parent], found[other]) == (True, False)


def test_every_entry_of_the_history(me: Client, sandbox: Sandbox) -> None:
    """Edits and deletions are separate entries, and so are other kinds of messages."""
    stored = me.send_text("Helo", uid=OTHER_UID)
    me.edit_message(stored, "Hello")
    me.send_message(CustomMessage(type="x", custom_data={"a": 1}, receiver_id=OTHER_UID, receiver_type="user"))
    history = list(me.get_messages(uid=OTHER_UID, after="0"))
    assert [type(message) for message in history] == [TextMessage, Action, CustomMessage]


def test_new_messages_while_it_is_read(me: Client, numbered: List[str], sandbox: Sandbox) -> None:
    """Going backwards, new messages are not read. Going forwards they are, and none is read twice."""
    back, on = me.get_messages(uid=OTHER_UID), me.get_messages(uid=OTHER_UID, after=numbered[240])
    first = [texts(itertools.islice(each, 1)) for each in (back, on)]
    assert first == [["249"], ["241"]]
    sandbox.send_message(OTHER_UID, UID, "new")
    assert len(texts(back)) == 249
    assert texts(on) == [*(str(number) for number in range(242, 250)), "new"]


def test_a_page_that_fails(me: Client, numbered: List[str], sandbox: Sandbox) -> None:
    """The iterator raises, and goes on when it is asked again. An export that retries has no gap, and no false end."""
    for history, expected in (
        (me.get_messages(uid=OTHER_UID), list(reversed(range(250)))),
        (me.get_messages(uid=OTHER_UID, after="0", limit=150), list(range(150))),
    ):
        found = texts(itertools.islice(history, 100))
        sandbox.fail_http(503)
        for _ in range(2):
            with pytest.raises(CometChatException):
                next(history)
        sandbox.heal()
        assert [*found, *texts(history)] == [str(number) for number in expected]
        assert list(history) == []


def test_a_page_that_repeats_itself(me: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that sends the same page again, in any order, ends the history, not the bot."""
    page = [{"id": str(number), "category": "message", "type": "text"} for number in (3, 1, 2)]
    asked: List[str] = []

    def request(method: str, path: str, *args: Any, **kwargs: Any) -> Any:
        asked.append(path)
        return [*page, {"no": "id"}, "nonsense"]

    monkeypatch.setattr(me._core.account, "request", request)
    assert [message.id for message in me.get_messages()] == ["3", "2", "1"]
    assert [message.id for message in me.get_messages(after="1")] == ["2", "3"]
    assert len(asked) == 4


@pytest.mark.parametrize("limit", [1, 2, 5, 7, sys.maxsize + 1])
def test_pages_that_begin_with_a_known_message(limit: int, me: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page begins with the message of ``id``, like in some lists of the vendor. ``limit`` counts new messages."""

    def request(method: str, path: str, *args: Any, **kwargs: Any) -> Any:
        query = dict(parse_qsl(path.partition("?")[2]))
        edge, size, forward = int(query.get("id", 9)), min(3, int(query["per_page"])), query["affix"] == "append"
        numbers = range(edge, 10)[:size] if forward else range(1, edge + 1)[-size:]
        return [{"id": str(number), "category": "message", "type": "text"} for number in numbers]

    monkeypatch.setattr(me._core.account, "request", request)
    for history, expected in (
        (me.get_messages(limit=limit), "987654321"),
        (me.get_messages(before="9", limit=limit), "87654321"),
        (me.get_messages(after="1", limit=limit), "23456789"),
    ):
        assert [message.id for message in history] == list(expected[:limit])


def test_an_error_comes_from_the_iterator(me: Client, sandbox: Sandbox) -> None:
    """The iterator raises the service's refusal when it reads the page."""
    history = me.get_messages(guid="no-such-group")
    assert code_of(lambda: next(history)) == "ERR_GUID_NOT_FOUND"


# Wrong arguments.

STORED = TextMessage(id="1", text="a", receiver_id=OTHER_UID, receiver_type="user")
NEW = TextMessage(text="a", receiver_id=OTHER_UID, receiver_type="user")

WRONG: Dict[str, Any] = {
    "no receiver": (lambda client: client.send_text("a"), "MISSING_PARAMETERS"),
    "two receivers": (lambda client: client.send_text("a", uid="a", guid="b"), "INVALID_UID"),
    "no text": (lambda client: client.send_text("", uid="a"), "MISSING_PARAMETERS"),
    "a text of another type": (lambda client: client.send_text(5, uid="a"), "INVALID_TEXT"),
    "a guid of another type": (lambda client: client.send_text("a", guid=5), "INVALID_GUID"),
    "a wrong parent": (
        lambda client: client.send_text("a", uid="a", parent_message_id="x"),
        "INVALID_PARENT_MESSAGE_ID",
    ),
    "an edit of nothing": (lambda client: client.edit_message(None, "a"), "MISSING_PARAMETERS"),
    "an edit of an id": (lambda client: client.edit_message("1", "a"), "INVALID_MESSAGE"),
    "an edit of a new message": (lambda client: client.edit_message(NEW, "a"), "INVALID_MESSAGE"),
    "an edit of an action": (lambda client: client.edit_message(Action(id="1"), "a"), "INVALID_MESSAGE"),
    "an edit of content that is not an object": (
        lambda client: client.edit_message(TextMessage(id="1", text="a", data=["a"]), "a"),  # type: ignore[arg-type]
        "INVALID_DATA",
    ),
    "an edit of metadata that is not JSON": (
        lambda client: client.edit_message(TextMessage(id="1", text="a", metadata={"a": object()}), "a"),
        "INVALID_METADATA",
    ),
    "an edit to nothing": (lambda client: client.edit_message(STORED, " "), "MISSING_PARAMETERS"),
    "a deletion of a new message": (lambda client: client.delete_message(NEW), "INVALID_MESSAGE"),
    "an id that is a path": (lambda client: client.delete_message(BaseMessage(id="1/..")), "INVALID_MESSAGE"),
    "a number that is too long for an id": (
        lambda client: client.delete_message(BaseMessage(id=10**5000)),  # type: ignore[arg-type]
        "INVALID_MESSAGE",
    ),
    "a number that is too long for an edge": (
        lambda client: client.get_messages(after=10**5000),  # type: ignore[arg-type]
        "INVALID_AFTER",
    ),
    "no reaction": (lambda client: client.add_reaction(STORED, ""), "MISSING_PARAMETERS"),
    "a reaction that is a path": (lambda client: client.add_reaction(STORED, ".."), "INVALID_REACTION"),
    "a reaction of another type": (lambda client: client.remove_reaction(STORED, 5), "INVALID_REACTION"),
    "two conversations": (lambda client: client.get_messages(uid="a", guid="b"), "INVALID_UID"),
    "a thread of a user": (
        lambda client: client.get_messages(uid="a", parent_message_id="1"),
        "INVALID_PARENT_MESSAGE_ID",
    ),
    "a wrong edge": (lambda client: client.get_messages(before="x"), "INVALID_BEFORE"),
    "a new message as an edge": (lambda client: client.get_messages(after=NEW), "MISSING_PARAMETERS"),
    "a negative limit": (lambda client: client.get_messages(limit=-1), "INVALID_LIMIT"),
    "a limit of another type": (lambda client: client.get_messages(limit=True), "INVALID_LIMIT"),
}


@pytest.mark.parametrize("case", sorted(WRONG))
def test_wrong_arguments(case: str, me: Client, sandbox: Sandbox) -> None:
    """Each raises at the call, and no request is made."""
    sandbox.clear_records()
    act, code = WRONG[case]
    with pytest.raises(InvalidArgumentException) as caught:
        act(me)
    assert caught.value.code == code
    assert sandbox.requests == []


@pytest.mark.parametrize(
    "act",
    [
        lambda client: client.send_text("a", uid="a"),
        lambda client: client.edit_message(STORED, "a"),
        lambda client: client.delete_message(STORED),
        lambda client: client.add_reaction(STORED, "a"),
        lambda client: client.get_messages(),
    ],
)
def test_before_the_login_and_after_the_end(act: Callable[[Client], object], party: Party) -> None:
    """``USER_NOT_LOGGED_IN``, and ``ERR_CLIENT_CLOSED``."""
    client = party.client()
    assert code_of(lambda: act(client)) == "USER_NOT_LOGGED_IN"
    client.close()
    assert code_of(lambda: act(client)) == "ERR_CLIENT_CLOSED"


def test_the_service_refuses(me: Client, sandbox: Sandbox) -> None:
    """The calls raise the service's own codes."""
    theirs = sandbox.send_message(OTHER_UID, UID, "Hello")
    (message,) = me.get_messages(uid=OTHER_UID)
    assert isinstance(message, TextMessage)
    assert code_of(lambda: me.edit_message(message, "mine")) == "ERR_MESSAGE_NOT_A_SENDER"
    assert code_of(lambda: me.delete_message(message)) == "ERR_MESSAGE_NOT_A_SENDER"
    unknown = TextMessage(id=str(int(theirs["id"]) + 1000), text="a")
    assert code_of(lambda: me.add_reaction(unknown, "a")) == "ERR_MESSAGE_ID_NOT_FOUND"
