"""Each callback of the event listeners, from an action of the sandbox or another client to the listener's arguments."""

from __future__ import annotations

import queue
import uuid
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

import pytest
import requests

from cometchat import (
    Action,
    Call,
    CallListener,
    CardMessage,
    Client,
    CustomMessage,
    Group,
    GroupListener,
    InteractiveMessage,
    MediaMessage,
    MessageListener,
    ReactionEvent,
    TextMessage,
    User,
    UserListener,
)
from cometchat.sandbox import Sandbox

from .conftest import DEADLINE, OTHER_UID, UID, Party

THIRD_UID = "cometchat-uid-3"


class Event(NamedTuple):
    """One callback, with its arguments."""

    name: str
    args: Tuple[Any, ...]


class Ear:
    """Listens to everything but the connection. ``next()`` waits for the next callback, with its name."""

    def __init__(self, client: Client) -> None:
        self._events: queue.Queue[Event] = queue.Queue()
        client.add_user_listener("ear", self._listener(UserListener))
        client.add_group_listener("ear", self._listener(GroupListener))
        client.add_message_listener("ear", self._listener(MessageListener))
        client.add_call_listener("ear", self._listener(CallListener))

    def next(self, name: str) -> Tuple[Any, ...]:
        """Return the arguments of the next callback, which must have this name."""
        event = self._events.get(timeout=DEADLINE)
        assert event.name == name, event
        return event.args

    def message(self, name: str) -> Any:
        """Return the one argument of the next callback, which must have this name."""
        (message,) = self.next(name)
        return message

    @property
    def left(self) -> List[Event]:
        """Return the callbacks that no test waited for."""
        return list(self._events.queue)

    def _listener(self, base: type) -> Any:
        def method(name: str) -> Callable[..., None]:
            return lambda _self, *args: self._events.put(Event(name, args))

        methods: Dict[str, Any] = {name: method(name) for name in vars(base) if name.startswith("on_")}
        return type("Recorder", (base,), methods)()


def heard(party: Party, sandbox: Sandbox, uid: str = UID, **settings: Any) -> Tuple[Client, Ear]:
    """Return a connected client of a user, and its listener. It gets the presence of others only on request."""
    client = party.client(**{"subscription_type": "NONE", **settings})
    ear = Ear(client)
    client.login(uid, sandbox.auth_key)
    client.connect(DEADLINE)
    return client, ear


# Users.


def test_presence_of_other_clients(sandbox: Sandbox, party: Party) -> None:
    """A client is notified of another one that connects and disconnects, with the user's fields."""
    _, ear = heard(party, sandbox, subscription_type="ALL_USERS")
    other, _ = heard(party, sandbox, OTHER_UID)
    came = ear.message("on_user_online")
    assert isinstance(came, User) and (came.uid, came.name, came.status) == (OTHER_UID, "George Alan", "online")
    other.disconnect()
    gone = ear.message("on_user_offline")
    assert (gone.uid, gone.status) == (OTHER_UID, "offline")


def test_presence_that_is_played(sandbox: Sandbox, party: Party) -> None:
    """presence() of a user without a client calls on_user_online and on_user_offline."""
    _, ear = heard(party, sandbox, subscription_type="ALL_USERS")
    sandbox.presence(THIRD_UID, True)
    assert ear.message("on_user_online").uid == THIRD_UID
    sandbox.presence(THIRD_UID, False)
    assert ear.message("on_user_offline").uid == THIRD_UID


# Groups.

GROUP_EVENTS = [
    (lambda sandbox: sandbox.join("g", THIRD_UID), "on_group_member_joined", [THIRD_UID, "g"]),
    (lambda sandbox: sandbox.leave("g", OTHER_UID), "on_group_member_left", [OTHER_UID, "g"]),
    (lambda sandbox: sandbox.kick("g", OTHER_UID), "on_group_member_kicked", [OTHER_UID, UID, "g"]),
    (lambda sandbox: sandbox.ban("g", OTHER_UID), "on_group_member_banned", [OTHER_UID, UID, "g"]),
    (lambda sandbox: sandbox.unban("g", "banned"), "on_group_member_unbanned", ["banned", UID, "g"]),
    (lambda sandbox: sandbox.add_member("g", THIRD_UID), "on_member_added_to_group", [UID, THIRD_UID, "g"]),
    (
        lambda sandbox: sandbox.change_scope("g", OTHER_UID, "moderator"),
        "on_group_member_scope_changed",
        [UID, OTHER_UID, "moderator", "participant", "g"],
    ),
]


@pytest.mark.parametrize("act, name, wanted", GROUP_EVENTS, ids=[name for _, name, _ in GROUP_EVENTS])
def test_group_events(
    sandbox: Sandbox, party: Party, act: Callable[[Sandbox], None], name: str, wanted: List[str]
) -> None:
    """An action in a group reaches a member's GroupListener: the action, its user, the acting user, and the group."""
    sandbox.add_user("banned", "Banned")
    sandbox.add_group("g", "The Group", owner=UID, members=[OTHER_UID])
    sandbox.ban("g", "banned")
    _, ear = heard(party, sandbox)
    act(sandbox)
    action, *args = ear.next(name)
    assert isinstance(action, Action) and (action.category, action.type) == ("action", "groupMember")
    assert (action.id, action.receiver_id, action.receiver_type) == (sandbox.messages[-1]["id"], "g", "group")
    plain = {User: lambda user: user.uid, Group: lambda group: group.guid, str: str}
    assert [plain[type(arg)](arg) for arg in args] == wanted
    assert args[-1].name == "The Group"


@pytest.mark.parametrize("act", ["kick", "ban"])
def test_the_user_concerned_is_notified(sandbox: Sandbox, party: Party, act: str) -> None:
    """A user who is kicked or banned gets that action, and no later action of the group."""
    sandbox.add_group("g", "G", owner=UID, members=[OTHER_UID])
    _, ear = heard(party, sandbox, OTHER_UID)
    getattr(sandbox, act)("g", OTHER_UID)
    sandbox.send_message(UID, "g", "good riddance", receiver_type="group")
    sandbox.send_message(UID, OTHER_UID, "sorry")
    _, concerned, by, group = ear.next("on_group_member_kicked" if act == "kick" else "on_group_member_banned")
    assert (concerned.uid, by.uid, group.guid) == (OTHER_UID, UID, "g")
    assert ear.message("on_text_message_received").text == "sorry"


# Messages.


def test_messages_of_a_client_reach_the_others(sandbox: Sandbox, party: Party) -> None:
    """A sent message reaches the receiver and the sender's other client complete, and does not come back."""
    sender, own = heard(party, sandbox)
    _, elsewhere = heard(party, sandbox)
    _, ear = heard(party, sandbox, OTHER_UID)
    sent = sender.send_message(
        TextMessage(receiver_id=OTHER_UID, receiver_type="user", text="hello", metadata={"a": 1}, tags=("t",))
    )
    got = ear.message("on_text_message_received")
    assert isinstance(got, TextMessage) and got == elsewhere.message("on_text_message_received") == sent
    assert (got.text, got.metadata, got.tags, got.muid) == ("hello", {"a": 1}, ("t",), sent.muid)
    assert got.sender is not None and (got.sender.uid, got.sender.name) == (UID, "Andrew Joseph")
    assert isinstance(got.receiver, User) and got.receiver.uid == got.receiver_id == OTHER_UID
    sandbox.send_message(OTHER_UID, UID, "marker")
    assert own.message("on_text_message_received").text == "marker"


def test_messages_of_a_client_reach_a_group(sandbox: Sandbox, party: Party) -> None:
    """A custom message to a group reaches its members, with the group as the receiver."""
    sandbox.add_group("g", "The Group", owner=UID, members=[OTHER_UID])
    sender, _ = heard(party, sandbox)
    _, ear = heard(party, sandbox, OTHER_UID)
    sender.send_message(
        CustomMessage(receiver_id="g", receiver_type="group", type="place", custom_data={"lat": 1}, sub_type="s")
    )
    got = ear.message("on_custom_message_received")
    assert isinstance(got, CustomMessage) and (got.custom_data, got.sub_type, got.type) == ({"lat": 1}, "s", "place")
    assert isinstance(got.receiver, Group) and got.receiver.name == "The Group"
    assert (got.receiver_type, got.conversation_id) == ("group", "group_g")


def test_messages_of_every_category(sandbox: Sandbox, party: Party) -> None:
    """Text, media, custom, interactive and card messages each reach their own callback, with their own fields."""
    _, ear = heard(party, sandbox)
    sandbox.send_message(OTHER_UID, UID, "hello")
    text = ear.message("on_text_message_received")
    assert isinstance(text, TextMessage) and (text.id, text.text) == ("1", "hello")
    file = {"url": "https://example.org/a.png", "name": "a.png", "extension": "png", "mimeType": "image/png", "size": 3}
    sandbox.send_message(OTHER_UID, UID, "look", type="image", data={"url": file["url"], "attachments": [file]})
    media = ear.message("on_media_message_received")
    assert isinstance(media, MediaMessage) and (media.url, media.caption) == (file["url"], "look")
    assert (media.attachments[0].name, media.attachments[0].size) == ("a.png", 3)
    sandbox.send_message(OTHER_UID, UID, category="custom", type="place", data={"customData": {"lat": 1}})
    assert ear.message("on_custom_message_received").custom_data == {"lat": 1}
    sandbox.send_message(
        OTHER_UID, UID, category="interactive", type="form", data={"interactiveData": {"title": "Form"}}
    )
    form = ear.message("on_interactive_message_received")
    assert isinstance(form, InteractiveMessage) and form.interactive_data == {"title": "Form"}
    sandbox.send_message(OTHER_UID, UID, category="card", type="card", data={"any": 1})
    card = ear.message("on_card_message_received")
    assert isinstance(card, CardMessage) and card.data["any"] == 1


def test_edits_and_deletes(sandbox: Sandbox, party: Party) -> None:
    """An edit and a deletion by another device reach both sides, also the client that sent the message."""
    sender, own = heard(party, sandbox)
    _, ear = heard(party, sandbox, OTHER_UID)
    sent = sender.send_message(TextMessage(receiver_id=OTHER_UID, receiver_type="user", text="hello"))
    assert sent.id is not None and ear.message("on_text_message_received").text == "hello"
    sandbox.edit_message(sent.id, "hi")
    for side in (ear, own):
        edited = side.message("on_message_edited")
        assert (edited.id, edited.text, edited.edited_by) == (sent.id, "hi", UID) and edited.edited_at
    sandbox.delete_message(sent.id)
    for side in (ear, own):
        deleted = side.message("on_message_deleted")
        assert (deleted.id, deleted.deleted_by) == (sent.id, UID) and deleted.deleted_at


def test_reactions(sandbox: Sandbox, party: Party) -> None:
    """A reaction and its end reach the message's sender: the reaction, its user, the message, the time."""
    _, ear = heard(party, sandbox)
    sandbox.send_message(UID, OTHER_UID, "hello")
    ear.next("on_text_message_received")
    sandbox.react("1", OTHER_UID, "👍")
    sandbox.unreact("1", OTHER_UID, "👍")
    for name in ("on_message_reaction_added", "on_message_reaction_removed"):
        event = ear.message(name)
        assert isinstance(event, ReactionEvent) and (event.message_id, event.reaction) == ("1", "👍")
        assert event.reacted_by is not None and event.reacted_by.name == "George Alan" and event.reacted_at
        assert (event.receiver_id, event.receiver_type) == (UID, "user")


@pytest.mark.parametrize("receiver, receiver_type", [(OTHER_UID, "user"), ("g", "group")])
def test_typing_and_transient_messages(sandbox: Sandbox, party: Party, receiver: str, receiver_type: str) -> None:
    """Typing indicators and transient messages of a client, and typing() of the sandbox, reach users and groups."""
    sandbox.add_group("g", "G", owner=UID, members=[OTHER_UID])
    client, own = heard(party, sandbox)
    _, ear = heard(party, sandbox, OTHER_UID)
    client.start_typing(receiver, receiver_type, {"a": 1})
    client.end_typing(receiver, receiver_type)
    client.send_transient_message(receiver, receiver_type, {"like": 1})
    started, ended = ear.message("on_typing_started"), ear.message("on_typing_ended")
    assert (started.sender.uid, started.sender.name, started.metadata) == (UID, "Andrew Joseph", {"a": 1})
    assert (started.receiver_id, started.receiver_type) == (ended.receiver_id, ended.receiver_type)
    assert (ended.receiver_id, ended.receiver_type) == (receiver, receiver_type)
    transient = ear.message("on_transient_message_received")
    assert (transient.sender.uid, transient.data, transient.receiver_id) == (UID, {"like": 1}, receiver)
    sandbox.typing(UID, receiver, True, receiver_type)
    sandbox.typing(UID, receiver, False, receiver_type)
    assert ear.message("on_typing_started").sender.uid == UID
    assert ear.message("on_typing_ended").sender.uid == UID
    # The client's own frames do not come back to it. Frames of the user's other device to a group do.
    if receiver_type == "group":
        assert own.message("on_typing_started").receiver_id == "g"
        assert own.message("on_typing_ended").receiver_id == "g"
    sandbox.send_message(OTHER_UID, UID, "marker")
    assert own.message("on_text_message_received").text == "marker"


@pytest.mark.parametrize("receiver, receiver_type", [(OTHER_UID, "user"), ("g", "group")])
def test_receipts(sandbox: Sandbox, party: Party, receiver: str, receiver_type: str) -> None:
    """mark_as_delivered and mark_as_read of a received message reach its sender, with the message's id and a time."""
    sandbox.add_group("g", "G", owner=UID, members=[OTHER_UID])
    sender, ear = heard(party, sandbox)
    client, other = heard(party, sandbox, OTHER_UID)
    sent = sender.send_message(TextMessage(receiver_id=receiver, receiver_type=receiver_type, text="hello"))
    message = other.message("on_text_message_received")
    client.mark_as_delivered(message)
    client.mark_as_read(message)
    for name, action in (("on_messages_delivered", "delivered"), ("on_messages_read", "read")):
        receipt = ear.message(name)
        assert (receipt.message_id, receipt.receipt_type, receipt.sender.uid) == (sent.id, action, OTHER_UID)
        assert receipt.timestamp and receipt.receiver_type == receiver_type


def test_a_goal_completed(sandbox: Sandbox, party: Party) -> None:
    """A receipt for a goal (its shape is not confirmed) calls on_interaction_goal_completed."""
    _, ear = heard(party, sandbox)
    envelope = {"appId": sandbox.app_id, "receiver": UID, "receiverType": "user", "sender": OTHER_UID, "deviceId": "D"}
    body = {"action": "interactionGoalCompleted", "messageId": "5", "user": {"uid": OTHER_UID}}
    assert sandbox.send_frame({**envelope, "type": "receipts", "body": body}, UID) == 1
    receipt = ear.message("on_interaction_goal_completed")
    assert (receipt.message_id, receipt.sender.uid) == ("5", OTHER_UID)


def test_interactions_with_a_message(sandbox: Sandbox, party: Party) -> None:
    """The sender of an interactive message gets the receiver's interactions: the sender, and the acting user."""
    _, ear = heard(party, sandbox)
    sandbox.send_message(UID, OTHER_UID, category="interactive", type="form", data={"interactiveData": {"title": "F"}})
    ear.next("on_interactive_message_received")
    # The SDK's clients do not send this. With the headers of a client's last call, there is no violation.
    headers = {name: sandbox.requests[-1].headers[name] for name in ("appId", "Accept", "Content-Type", "sdk")}
    headers.update(authToken=sandbox.auth_token(OTHER_UID), resource=f"WEB-4_2_0-{uuid.uuid4()}-1700000000000")
    body = {"interactions": ["button"]}
    answer = requests.patch(f"{sandbox.url}/messages/1/interacted", json=body, headers=headers, timeout=DEADLINE)
    assert answer.status_code == 200, answer.text
    receipt = ear.message("on_interaction_goal_completed")
    assert (receipt.message_id, receipt.sender.uid, receipt.receiver_type) == ("1", OTHER_UID, "user")


# Calls.


def test_an_incoming_call(sandbox: Sandbox, party: Party) -> None:
    """A call rings at the called user's client, and its cancelling arrives there."""
    _, ear = heard(party, sandbox)
    session_id = sandbox.call(OTHER_UID, UID, "video")
    call = ear.message("on_incoming_call_received")
    assert isinstance(call, Call) and (call.session_id, call.type, call.status) == (session_id, "video", "initiated")
    assert isinstance(call.initiator, User) and call.initiator.name == "George Alan"
    sandbox.cancel_call(session_id)
    cancelled = ear.message("on_incoming_call_cancelled")
    assert (cancelled.session_id, cancelled.status) == (session_id, "cancelled")


@pytest.mark.parametrize(
    "act, name, status",
    [
        ("accept_call", "on_outgoing_call_accepted", "ongoing"),
        ("reject_call", "on_outgoing_call_rejected", "rejected"),
    ],
)
def test_an_outgoing_call(sandbox: Sandbox, party: Party, act: str, name: str, status: str) -> None:
    """The called user's answer to a call reaches the caller's client."""
    session_id = sandbox.call(UID, OTHER_UID)
    _, ear = heard(party, sandbox)
    getattr(sandbox, act)(session_id)
    call = ear.message(name)
    assert (call.session_id, call.status, call.sender.uid) == (session_id, status, OTHER_UID)


# Missed events.


def test_missed_events_come_after_the_reconnect(sandbox: Sandbox, party: Party) -> None:
    """Messages, group actions and calls from a time without a connection come once, in order, before live ones."""
    sandbox.add_group("g", "G", owner=OTHER_UID, members=[UID])
    client, ear = heard(party, sandbox)
    sandbox.send_message(OTHER_UID, UID, "before")
    assert ear.message("on_text_message_received").text == "before"
    sandbox.refuse_connections()
    sandbox.drop_connections()
    assert client.wait_for_status("connecting", DEADLINE)
    sandbox.send_message(OTHER_UID, UID, "missed")
    sandbox.send_message(OTHER_UID, THIRD_UID, "not for you")
    sandbox.join("g", THIRD_UID)
    sandbox.send_message(THIRD_UID, "g", "missed too", receiver_type="group")
    sandbox.call(OTHER_UID, UID)
    sandbox.accept_connections()
    client.connect(DEADLINE)
    sandbox.send_message(OTHER_UID, UID, "live")
    assert ear.message("on_text_message_received").text == "missed"
    assert ear.next("on_group_member_joined")[1].uid == THIRD_UID
    assert ear.message("on_text_message_received").text == "missed too"
    assert ear.message("on_incoming_call_received").initiator.uid == OTHER_UID
    assert ear.message("on_text_message_received").text == "live"
    assert ear.left == []


def test_missed_edits_and_deletes_come_too(sandbox: Sandbox, party: Party) -> None:
    """Edits and deletions from a time without a connection come after the reconnect, in their turn."""
    client, ear = heard(party, sandbox)
    sandbox.send_message(OTHER_UID, UID, "hello")
    sandbox.send_message(OTHER_UID, UID, "there")
    assert [ear.message("on_text_message_received").id for _ in range(2)] == ["1", "2"]
    sandbox.refuse_connections()
    sandbox.drop_connections()
    assert client.wait_for_status("connecting", DEADLINE)
    sandbox.edit_message("1", "hi")
    sandbox.send_message(OTHER_UID, UID, "meanwhile")
    sandbox.delete_message("2")
    sandbox.accept_connections()
    client.connect(DEADLINE)
    edited = ear.message("on_message_edited")
    assert (edited.id, edited.text) == ("1", "hi") and edited.edited_at
    assert ear.message("on_text_message_received").text == "meanwhile"
    assert ear.message("on_message_deleted").id == "2"
