"""The helpers for tests: the wait for a message, and a user whom a test plays."""

from __future__ import annotations

import copy
import dataclasses
import threading
from typing import Any, Callable, Dict, List

import pytest

from cometchat.sandbox import Sandbox

ME, OTHER = "cometchat-uid-1", "cometchat-uid-2"


def test_a_message_that_is_there_is_returned_at_once(sandbox: Sandbox) -> None:
    """The first message with the text, the sender and the receiver is returned.

    Uids match in lower case, like in the service.
    """
    other = sandbox.play(OTHER)
    other.say("Hello", to="cometchat-uid-3")
    sent = other.say("Hello", to=ME)
    other.say("Hello", to=ME)
    assert sandbox.expect_message(text="Hello", sender=OTHER.upper(), receiver=ME, timeout=0) == sent
    assert sandbox.expect_message("Hello", receiver=ME, timeout=0) == sent
    assert sandbox.expect_message(timeout=0)["id"] == "1"


def test_a_message_is_waited_for() -> None:
    """A message that another thread sends after the first look ends the wait."""
    looked = threading.Event()

    class Looked(Sandbox):
        @property
        def messages(self) -> List[Dict[str, Any]]:
            found = super().messages
            looked.set()
            return found

    def write() -> None:
        assert looked.wait(10)
        sandbox.play(OTHER).say("Late", to=ME)

    with Looked() as sandbox:
        writer = threading.Thread(target=write, name="test-writer", daemon=True)
        writer.start()
        assert sandbox.expect_message(text="Late", timeout=10)["receiver"] == ME
        writer.join(10)


def test_the_error_lists_the_stored_messages(sandbox: Sandbox) -> None:
    """The error has one line for each message, so that the reader of the report sees the other messages."""
    sandbox.play(OTHER).say("Hullo", to=ME)
    sandbox.call(OTHER, ME)
    with pytest.raises(AssertionError) as caught:
        sandbox.expect_message(text="Hello", sender=OTHER, timeout=0)
    assert str(caught.value).splitlines() == [
        "no message (text='Hello', sender='cometchat-uid-2') within 0 s; stored: 2",
        "  1 cometchat-uid-2 -> cometchat-uid-1, message text: 'Hullo'",
        "  2 cometchat-uid-2 -> cometchat-uid-1, call audio",
    ]


def test_the_error_lists_the_newest_of_many(sandbox: Sandbox) -> None:
    """The error has twenty lines, not thousands."""
    other = sandbox.play(OTHER)
    for number in range(25):
        other.say(f"text {number}", to=ME)
    with pytest.raises(AssertionError) as caught:
        sandbox.expect_message(text="Hello", timeout=0)
    head, *lines = str(caught.value).splitlines()
    assert head == "no message (text='Hello') within 0 s; stored: 25, the newest 20"
    assert len(lines) == 20 and lines[-1].endswith("'text 24'")


def test_actions_and_calls_are_not_messages(sandbox: Sandbox) -> None:
    """An edit is stored as an action with the new text. Only the message that it changed counts."""
    sent = sandbox.play(OTHER).say("Hello", to=ME)
    sandbox.edit_message(sent["id"], "Hello again")
    assert sandbox.expect_message(text="Hello again", timeout=0)["id"] == sent["id"]
    sandbox.call("cometchat-uid-3", ME)
    with pytest.raises(AssertionError, match="no message"):
        sandbox.expect_message(sender="cometchat-uid-3", timeout=0)


def test_a_player_acts_for_one_user(sandbox: Sandbox) -> None:
    """A player sends texts to a user and to a group, and reads. Its repr is the uid."""
    sandbox.add_group("group", "Group", members=[OTHER])
    other = sandbox.play(OTHER.upper())
    assert repr(other) == "<Player cometchat-uid-2>" and other.uid == OTHER
    assert other.say("All", to="group", receiver_type="group")["receiverType"] == "group"
    for message in (sandbox.send_message(ME, OTHER, "One"), sandbox.send_message(ME, OTHER, "Two")["id"]):
        other.read(message)
    assert all("readAt" in message for message in sandbox.messages[1:])
    with pytest.raises(KeyError, match="no user 'nonesuch'"):
        sandbox.play("nonesuch")


def test_a_player_types(client: Any, sandbox: Sandbox) -> None:
    """The receiver gets the start and the end."""
    socket = client.connect(ME)
    other = sandbox.play(OTHER)
    other.typing(to=ME)
    other.typing(to=ME, started=False)
    frames = [client.receive(socket) for _ in range(2)]
    assert [(frame["sender"], frame["body"]["action"]) for frame in frames] == [(OTHER, "started"), (OTHER, "ended")]


def test_records_can_be_copied(client: Any, sandbox: Sandbox) -> None:
    """A test may keep a deep copy of the records, or make dicts of them."""
    client.connect()
    client.call("GET", "/settings?a=1&a=2")
    for record in (sandbox.requests[-1], sandbox.attempts[-1]):
        assert copy.deepcopy(record) == record
        assert dataclasses.asdict(record)["headers"] == record.headers
    assert copy.deepcopy(sandbox.requests[-1]).query["a"] == "1"


def test_records_have_a_short_repr(client: Any, sandbox: Sandbox) -> None:
    """In pytest's output, a record shows the call and its status, without times and credentials."""
    client.create_token(ME)
    client.create_token("nonesuch")
    client.connect(ME)
    assert repr(sandbox.requests) == (
        "[<Request POST /users/cometchat-uid-1/auth_tokens 200>, <Request POST /users/nonesuch/auth_tokens 404>]"
    )
    assert repr(sandbox.attempts) == "[<Attempt />]"


@pytest.mark.parametrize(
    "play",
    [
        lambda sandbox: sandbox.send_message(OTHER, ME, "Hi", metadata={"at": object()}),
        lambda sandbox: sandbox.play(OTHER).say("Hi", to=ME, data={"customData": {"of": {1, 2}}}),
        lambda sandbox: sandbox.send_card(OTHER, ME, {"size": float("nan")}),
        lambda sandbox: sandbox.send_agentic(OTHER, ME, "assistant", text=b"Hi"),
        lambda sandbox: sandbox.stream_event(OTHER, ME, "card", card=object()),
        lambda sandbox: sandbox.fill({"messages": [{"sender": OTHER, "receiver": ME, "text": object()}]}),
        lambda sandbox: sandbox.answer("POST", "polls/v2/create", {"of": {1, 2}}),
    ],
)
def test_only_json_is_played(sandbox: Sandbox, play: Callable[[Sandbox], object]) -> None:
    """A value that JSON can't hold raises at the call. Stored, it would break every later answer with it."""
    with pytest.raises(ValueError, match="give a value that JSON can hold: "):
        play(sandbox)
    assert sandbox.messages == []


def test_a_text_is_no_list_of_tags(sandbox: Sandbox) -> None:
    """Each of its characters would be a tag."""
    with pytest.raises(ValueError, match="The tags must be a list of texts"):
        sandbox.send_message(OTHER, ME, "Hi", tags="urgent")


def test_a_wait_is_woken_after_the_effect_of_a_frame(client: Any, sandbox: Sandbox) -> None:
    """A predicate about the effect, such as "it is read", would be false before it, and nothing would wake the wait."""
    read: List[bool] = []

    def look() -> None:
        if threading.current_thread().name.startswith("cometchat-sandbox"):
            read.append("readAt" in sandbox.messages[0])

    sandbox.send_message(OTHER, ME, "Hi")
    socket = client.connect(ME, presence=None)
    sandbox._journal.listen(look)
    client.send(socket, client.frame("receipts", ME, OTHER, {"action": "read", "messageId": "1"}, messageSender=OTHER))
    assert sandbox.wait_for_frame(lambda frame: frame["type"] == "receipts")
    sandbox.add_friends(ME, OTHER)  # waits until the sandbox's thread has taken the frame
    assert read[-1]
