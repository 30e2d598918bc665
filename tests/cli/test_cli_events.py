"""watch --events: the actions of other users, each as a line or a JSON object."""

from __future__ import annotations

import inspect
import json
import signal
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest
from processes import Process, Start
from rows import each_row

from cometchat import (
    Action,
    Call,
    CallListener,
    Client,
    CometChatException,
    GroupListener,
    InteractionReceipt,
    MediaMessage,
    MessageListener,
    MessageReceipt,
    OutboxListener,
    ReactionEvent,
    TextMessage,
    TransientMessage,
    TypingIndicator,
    User,
    UserListener,
)
from cometchat.cli import main
from cometchat.cli._events import Event, line_of, listen, record_of
from cometchat.sandbox import Sandbox

ME, OTHER = "cometchat-uid-1", "cometchat-uid-2"


@pytest.fixture
def watch(account: List[str], sandbox: Sandbox, start: Start) -> Iterator[Callable[..., Process]]:
    """Starts ``watch``, and waits until it is connected.

    Each ends with Ctrl-C, with 0, and with an empty standard error.
    """
    started: List[Process] = []

    def starter(*options: str) -> Process:
        process = start("watch", *options, *account)
        started.append(process)
        process.line('"status": "connected"' if "--json" in options else "  connected")
        assert sandbox.wait_for_connections(1)
        return process

    yield starter
    for process in started:
        process.send(signal.SIGINT)
        assert process.end() == 0
        assert process.errors() == ""


@pytest.fixture
def watching(watch: Callable[..., Process]) -> Process:
    """Start ``watch --events``, and wait until it is connected."""
    return watch("--events")


def rest(line: str) -> str:
    """Return a line without its time."""
    return line[len("2026-01-01 00:00:00.000  ") :]


def frame(kind: str, body: Dict[str, Any], **envelope: Any) -> Dict[str, Any]:
    return {
        "appId": "sandbox-app",
        "receiver": ME,
        "receiverType": "user",
        "deviceId": "other",
        "sender": OTHER,
        "type": kind,
        "body": body,
        **envelope,
    }


def message_frame(category: str, kind: str, data: Dict[str, Any], **fields: Any) -> Dict[str, Any]:
    body = {"id": "900", "category": category, "type": kind, "sender": OTHER, "receiver": ME, "receiverType": "user"}
    return frame("message", {**body, "data": data, **fields})


def test_messages_and_their_events(watching: Process, sandbox: Sandbox) -> None:
    """A text, its edit, reactions and deletion, typing, and presence have one line each, in order."""
    sandbox.presence(OTHER, True)
    sandbox.typing(OTHER, ME)
    sandbox.typing(OTHER, ME, started=False)
    sent = sandbox.send_message(OTHER, ME, "Hello")["id"]
    sandbox.edit_message(sent, "Hello again")
    sandbox.react(sent, OTHER, "👍")
    sandbox.unreact(sent, OTHER, "👍")
    sandbox.delete_message(sent)
    sandbox.presence(OTHER, False)
    assert [rest(watching.line()) for _ in range(9)] == [
        f"presence          {OTHER} is online",
        f"typing            {OTHER} -> {ME}: started",
        f"typing            {OTHER} -> {ME}: ended",
        f"message           #{sent} {OTHER} -> {ME}: Hello",
        f"edit              #{sent} {OTHER} -> {ME}: Hello again",
        f"reaction          {OTHER}: 👍 on #{sent} added",
        f"reaction          {OTHER}: 👍 on #{sent} removed",
        f"delete            #{sent} {OTHER} -> {ME}, deleted by {OTHER}",
        f"presence          {OTHER} is offline",
    ]


def test_messages_of_every_kind(watching: Process, sandbox: Sandbox) -> None:
    """Media, custom, interactive and card messages, receipts, transient messages and goals have one line each."""
    url = "https://files.example/a.png"
    media = {"url": url, "text": "look", "attachments": [{"url": url}, {"url": url + "?2"}]}
    for number, sent in enumerate(
        [
            message_frame("message", "image", media, id="901"),
            message_frame("custom", "location", {"customData": {"lat": 1}}, id="902"),
            message_frame("interactive", "form", {"interactiveData": {"title": "T"}}, id="903"),
            message_frame("card", "card", {"text": "C"}, id="904"),
            frame("receipts", {"action": "delivered", "messageId": "7", "user": {"uid": OTHER}}),
            frame("receipts", {"action": "read", "messageId": "7", "user": {"uid": OTHER}}),
            frame("receipts", {"action": "interacted", "messageId": "7", "user": {"uid": OTHER}}),
            frame("transient_message", {"user": {"uid": OTHER}, "data": {"live": "x"}}, receiverType="group"),
        ]
    ):
        assert sandbox.send_frame(sent) == 1, number
    assert [rest(watching.line()) for _ in range(8)] == [
        f"message           #901 {OTHER} -> {ME}: image {url} {url}?2 look",
        f'message           #902 {OTHER} -> {ME}: custom location {{"lat": 1}}',
        f'message           #903 {OTHER} -> {ME}: interactive form {{"title": "T"}}',
        f"message           #904 {OTHER} -> {ME}: card C",
        f"receipt           {OTHER}: delivered up to #7",
        f"receipt           {OTHER}: read up to #7",
        f"interaction       {OTHER}: goal of #7 completed",
        f'transient         {OTHER} -> group {ME}: {{"live": "x"}}',
    ]


def test_groups_and_calls(watching: Process, sandbox: Sandbox) -> None:
    """Changes of a group's members and the signalling of calls have one line each, in order."""
    third = "cometchat-uid-3"
    sandbox.add_group("chat", "Chat", owner=OTHER, members=[ME])
    sandbox.join("chat", third)
    sandbox.change_scope("chat", third, "moderator")
    sandbox.leave("chat", third)
    sandbox.add_member("chat", third)
    sandbox.kick("chat", third)
    sandbox.ban("chat", third)
    sandbox.unban("chat", third)
    sandbox.call(OTHER, ME)
    lines = [rest(watching.line()) for _ in range(8)]
    assert lines[:7] == [
        f"group             chat: {third} joined",
        f"group             chat: {OTHER} made {third} moderator, was participant",
        f"group             chat: {third} left",
        f"group             chat: {OTHER} added {third}",
        f"group             chat: {OTHER} kicked {third}",
        f"group             chat: {OTHER} banned {third}",
        f"group             chat: {OTHER} unbanned {third}",
    ]
    assert lines[7].startswith(f"call              {OTHER} -> {ME}: rings (audio, session ")


def test_missed_messages_come_after_the_return(watching: Process, sandbox: Sandbox) -> None:
    """Events that the client missed during a loss are shown when it is back."""
    sandbox.send_message(OTHER, ME, "before")
    watching.line(": before")
    sandbox.refuse_connections()
    sandbox.drop_connections()
    watching.line("  connecting")
    sandbox.send_message(OTHER, ME, "meanwhile")
    sandbox.accept_connections()
    watching.line("  connected")
    assert rest(watching.line()).endswith(": meanwhile")


def test_json_events(sandbox: Sandbox, watch: Callable[..., Process]) -> None:
    """--json prints the time, the event, and the callback's arguments under their names.

    It leaves out raw data, empty fields and repeated data.
    """
    process = watch("--events", "--json")
    sent = sandbox.send_message(OTHER, ME, "Hëllo", metadata={"k": [1, None]})
    sandbox.typing(OTHER, ME)
    record = json.loads(process.line())
    assert sorted(record) == ["event", "message", "time"]
    assert record["event"] == "text_message_received"
    assert record["time"].endswith("Z")
    message = record["message"]
    assert (message["id"], message["text"], message["receiver_id"]) == (sent["id"], "Hëllo", ME)
    assert message["metadata"] == {"k": [1, None]}
    assert message["sender"]["uid"] == OTHER
    assert {"raw", "data", "edited_at", "tags", "muid"} & set(message) == set()
    typing = json.loads(process.line())
    assert typing["event"] == "typing_started"
    assert typing["typing_indicator"]["sender"]["uid"] == OTHER


def test_without_events_only_transitions_are_shown(sandbox: Sandbox, watch: Callable[..., Process]) -> None:
    """Without --events, watch shows only transitions, and asks for no history."""
    process = watch()
    sandbox.send_message(OTHER, ME, "Hello")
    sandbox.drop_connections()
    assert "  error  " in process.line()
    assert [rest(process.line()).split()[0] for _ in range(3)] == ["disconnected", "connecting", "connected"]
    assert [request.path for request in sandbox.requests if request.path.startswith("/messages")] == []


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_stranger_s_text_stays_in_its_line(
    options: List[str], sandbox: Sandbox, watch: Callable[..., Process]
) -> None:
    """Escape sequences, line breaks and marks that change the direction of text are escaped. A long text is cut."""
    process = watch("--events", *options)
    evil = "\x1b[2J\x1b]0;title\x07\r\n2026 connected\u202eabc\x7f\x9b31m"
    sandbox.send_message(OTHER, ME, evil)
    sandbox.send_message(OTHER, ME, "x" * 5000)
    line, long = process.line(), process.line()
    assert line.isprintable() and long.isprintable()
    if options:
        assert json.loads(line)["message"]["text"] == evil
        assert len(json.loads(long)["message"]["text"]) == 5000
    else:
        assert "\\x1b[2J\\x1b]0;title\\x07\\r\\n2026 connected\\u202eabc\\x7f\\x9b31m" in line
        assert len(long) < 500 and long.endswith("…")


def test_odd_json_does_not_end_it(sandbox: Sandbox, watch: Callable[..., Process]) -> None:
    """JSON nested hundreds deep, numbers that JSON does not have, and half a surrogate pair are shown as valid JSON."""
    process = watch("--events", "--json")
    deep: Any = "bottom"
    for _ in range(300):
        deep = [deep]
    sandbox.send_frame(message_frame("custom", "deep", {"customData": {"deep": deep}}, id="901"))
    odd = json.dumps(message_frame("custom", "odd", {"customData": {"n": float("nan"), "half": "\ud800"}}, id="902"))
    sandbox.send_raw(odd)
    sandbox.send_message(OTHER, ME, "still here")

    def no_constant(name: str) -> None:
        raise AssertionError(name)

    first = json.loads(process.line(), parse_constant=no_constant)
    assert first["message"]["type"] == "deep"
    events = [json.loads(process.line(), parse_constant=no_constant)]
    if events[0]["message"].get("type") == "odd":  # a faster decoder refuses the whole frame
        assert events[0]["message"]["custom_data"] == {"n": None, "half": "\ud800"}
        events.append(json.loads(process.line()))
    assert events[-1]["message"]["text"] == "still here"


def test_the_outbox_is_delivered_and_reported(sandbox: Sandbox, watch: Callable[..., Process], tmp_path: Path) -> None:
    """--outbox FILE delivers the items that wait in the file, and prints a line for each result."""
    outbox = tmp_path / "outbox.db"
    settings = sandbox.settings(outbox_path=outbox, auto_establish_socket_connection=False)
    with Client(sandbox.app_id, settings) as client:
        client.login(ME, sandbox.auth_key)
        client.outbox.put(TextMessage(text="waited", receiver_id=OTHER, receiver_type="user"))
        client.outbox.put(TextMessage(text="lost", receiver_id="nobody", receiver_type="user", muid="m2"))
    process = watch("--events", "--outbox", str(outbox))
    assert rest(process.line("outbox")) == f"outbox            delivered: #1 {ME} -> {OTHER}: waited"
    assert rest(process.line("outbox")).startswith("outbox            refused for good: muid m2: ERR_UID_NOT_FOUND: ")


def test_an_outbox_that_can_not_be_used_ends_it(
    account: List[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is not an outbox ends the watch with 1 and one line. Its items would wait forever."""
    no_outbox = tmp_path / "notes.txt"
    no_outbox.write_text("not a database, but a file with many notes in it\n" * 100)
    assert main(["watch", "--events", "--outbox", str(no_outbox), *account]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"outbox failed: ERR_OUTBOX_STORE: The outbox ({no_outbox})" in error


def test_outbox_needs_events(account: List[str], capsys: pytest.CaptureFixture[str]) -> None:
    """--outbox without --events is wrong usage, since no listener would get the results."""
    assert main(["watch", "--outbox", "x", *account]) == 2
    assert "--outbox FILE needs --events" in capsys.readouterr().err


LISTENERS = [UserListener, MessageListener, GroupListener, CallListener, OutboxListener]


@each_row(
    "method",
    [f"{cls.__name__}.{name}" for cls in LISTENERS for name in vars(cls) if name.startswith("on_")],
)
def test_every_callback_has_a_line(method: str) -> None:
    """Each callback of each listener has a line, even if the service has left out every field."""
    kind, _, name = method.partition(".")
    prefix = "outbox_" if kind == "OutboxListener" else ""
    function = vars(next(cls for cls in LISTENERS if cls.__name__ == kind))[name]
    names = list(inspect.signature(function).parameters)[1:]
    empty: Dict[str, Any] = {
        "action": Action(),
        "call": Call(),
        "error": CometChatException("CODE", "why"),
        "interaction_receipt": InteractionReceipt(),
        "message": TransientMessage() if "transient" in name else TextMessage(),
        "message_receipt": MessageReceipt(),
        "reaction_event": ReactionEvent(),
        "typing_indicator": TypingIndicator(),
    }
    event = Event(prefix + name[3:], {parameter: empty.get(parameter) for parameter in names})
    line = line_of(event)
    assert line.what and line.text.isprintable()
    assert json.loads(json.dumps(record_of(event)))["event"] == event.name


def test_all_that_the_feed_registers() -> None:
    """listen() passes every call of every listener on, under its name, with its arguments by name."""
    told: List[Event] = []

    class Recorder:
        """Stands for a client, and keeps the listeners."""

        def __init__(self) -> None:
            self.listeners: List[Any] = []

        def __getattr__(self, name: str) -> Any:
            return lambda listener_id, listener: self.listeners.append(listener)

    recorder = Recorder()
    listen(recorder, told.append)  # type: ignore[arg-type]
    for listener in recorder.listeners:
        for name in dir(listener):
            if name.startswith("on_"):
                getattr(listener, name)("first")
    names = [name[3:] for cls in LISTENERS for name in vars(cls) if name.startswith("on_")]
    assert sorted(event.name.replace("outbox_", "") for event in told) == sorted(names)
    assert all(list(event.arguments.values()) == ["first"] for event in told)


def test_other_lines() -> None:
    """A receipt from the outbox, a group in place of a sender, and a message without a kind have a line."""
    receipt = MessageReceipt(message_id="7", receipt_type="read")
    assert line_of(Event("outbox_delivered", {"message": receipt})).text == "sent: read receipt for #7"
    error = CometChatException("CODE", "why", details="more")
    failed = Event("outbox_failed", {"message": receipt, "error": error})
    assert line_of(failed).text == "refused for good: read receipt: CODE: why (more)"
    assert record_of(failed)["error"] == {"code": "CODE", "message": "why", "details": "more"}
    bare = MediaMessage(sender=User("a"), receiver_id="g", receiver_type="group")
    assert line_of(Event("media_message_received", {"message": bare})).text == "#? a -> group g: ?"
    secret = User.from_dict({"uid": "a", "authToken": "secret"})
    seen = {"uid": "a", "status": "offline"}
    assert record_of(Event("user_online", {"user": secret})) == {"event": "user_online", "user": seen}
