"""The listener's method for each frame of the server, and its arguments."""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import json
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import each_row

from cometchat import (
    Action,
    AIAssistantMessage,
    AIToolArgumentMessage,
    AIToolResultMessage,
    BaseMessage,
    Call,
    CardMessage,
    CustomMessage,
    Group,
    Interaction,
    InteractionReceipt,
    InteractiveMessage,
    MediaMessage,
    MessageListener,
    MessageReceipt,
    ReactionEvent,
    TextMessage,
    TransientMessage,
    TypingIndicator,
    User,
)
from cometchat._protocol._delivery import Delivery, Self, deliver, deliver_message
from cometchat._protocol._frames import EVENT_KINDS, EventKind, ServerEvent, decode
from cometchat.listeners import KINDS

FRAMES: Dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "frames.json").read_text("utf-8"))[
    "server_to_client"
]
RESOURCE = "PYTHON-0_1_0-00000000-0000-4000-8000-000000000000-1700000000000"

UID1 = User("uid1", name="UID1", status="online", role="default")
UID2 = User("uid2", name="UID2", status="online", role="default")
GROUP = Group("g1", name="G", type="public")


def delivered(frame: Any, resource: str = RESOURCE) -> Optional[Delivery]:
    event = decode(json.dumps(frame).encode())
    return deliver(event, Self(resource, "uid1")) if isinstance(event, ServerEvent) else None


def unclaimed(frame: Any) -> bool:
    """Return the call of the EventListener for a frame without its own callback, with the frame's type and body."""
    return called(frame) == ("event", "on_event", frame["type"], frame["body"])


def called(frame: Any) -> Tuple[Any, ...]:
    """Return kind, method and arguments of the call."""
    delivery = delivered(frame)
    assert delivery is not None
    return (delivery.kind, delivery.method, *delivery.args)


# The recorded frames.


def message(cls: Callable[..., Any], message_id: str, **own: Any) -> Any:
    """Return a message with the common fields of the recorded ones."""
    common = {"muid": "m1", "conversation_id": "uid1_user_uid2", "sent_at": 1700000001, "updated_at": 1700000001}
    return cls(id=message_id, **{"sender": UID2, **common, **own})


def data_of(name: str) -> Any:
    return FRAMES[name]["body"]["data"]


def seen(user: User, status: str, at: int) -> User:
    return dataclasses.replace(user, status=status, last_active_at=at)


TO_ME = {"receiver_id": "uid1", "receiver_type": "user"}

RECORDED: Dict[str, Optional[Tuple[Any, ...]]] = {
    "auth_ok": None,
    "pong": None,
    "presence_online": ("user", "on_user_online", seen(UID2, "online", 1700000000)),
    "presence_available": ("user", "on_user_online", seen(UID2, "online", 1700000000)),
    "presence_offline": ("user", "on_user_offline", seen(UID2, "offline", 1700000009)),
    "typing_started": ("message", "on_typing_started", TypingIndicator(UID2, **TO_ME)),
    "typing_ended": ("message", "on_typing_ended", TypingIndicator(UID2, **TO_ME)),
    "transient_message": (
        "message",
        "on_transient_message_received",
        TransientMessage(UID2, **TO_ME, data={"like": 1}),
    ),
    "receipt_delivered": (
        "message",
        "on_messages_delivered",
        MessageReceipt("5", UID2, **TO_ME, receipt_type="delivered", timestamp=1700000002),
    ),
    "receipt_read": (
        "message",
        "on_messages_read",
        MessageReceipt("5", UID2, **TO_ME, receipt_type="read", timestamp=1700000003),
    ),
    "message_text": (
        "message",
        "on_text_message_received",
        message(
            TextMessage,
            "11",
            **TO_ME,
            receiver=UID1,
            category="message",
            type="text",
            text="hello",
            data=data_of("message_text"),
        ),
    ),
    "message_custom": (
        "message",
        "on_custom_message_received",
        message(
            CustomMessage,
            "12",
            **TO_ME,
            receiver=UID1,
            category="custom",
            type="location",
            custom_data={"lat": 1},
            data=data_of("message_custom"),
        ),
    ),
    "message_action_group_member_joined": (
        "group",
        "on_group_member_joined",
        message(
            Action,
            "13",
            receiver=GROUP,
            receiver_id="g1",
            receiver_type="group",
            category="action",
            type="groupMember",
            action="joined",
            action_by=UID2,
            action_for=GROUP,
            data=data_of("message_action_group_member_joined"),
        ),
        UID2,
        GROUP,
    ),
}


@each_row("name", sorted(FRAMES))
def test_each_recorded_frame_reaches_its_method(name: str) -> None:
    """Every frame of the recording calls the right method with the right values. auth and pong call no method."""
    expected = RECORDED[name]
    if expected is None:
        assert delivered(FRAMES[name]) is None
    else:
        assert called(FRAMES[name]) == expected


@each_row("name", sorted(name for name, expected in RECORDED.items() if expected is not None))
def test_raw_is_the_received_object(name: str) -> None:
    """Every event keeps the object that it was read from."""
    body = FRAMES[name]["body"]
    argument = called(FRAMES[name])[2]
    assert argument.raw == (body["user"] if isinstance(argument, User) else body)


@each_row("name", sorted(name for name, expected in RECORDED.items() if expected is not None))
def test_own_frames_do_not_come_back(name: str) -> None:
    """A frame with this connection's own resource is an echo. The same frame from another device is not."""
    for resource in (RESOURCE, RESOURCE.lower(), RESOURCE.upper()):  # the service writes ids in lower case
        assert delivered({**FRAMES[name], "deviceId": resource}) is None
    assert delivered({**FRAMES[name], "deviceId": RESOURCE + "x", "sender": "uid1"}) is not None


def test_a_message_that_this_connection_has_sent_does_not_come_back() -> None:
    """A message over HTTP has its resource inside. It is an echo too, for any envelope."""
    frame = copy.deepcopy(FRAMES["message_text"])
    frame["body"]["data"]["resource"] = RESOURCE
    frame["body"]["sender"] = "UID1"
    assert delivered(frame) is None
    assert delivered(frame, RESOURCE.swapcase()) is None
    assert delivered(frame, RESOURCE + "x") is not None


@pytest.mark.parametrize("fetched", [True, False])
def test_a_message_of_this_clients_earlier_user_is_no_echo(fetched: bool) -> None:
    """It has this client's resource inside too. It was sent before a login as its receiver."""
    body = copy.deepcopy(FRAMES["message_text"])["body"]
    body["data"]["resource"] = RESOURCE
    delivery = deliver_message(body, Self(RESOURCE, "uid1"), fetched=fetched)
    assert delivery is not None and delivery.args[0].sender.uid == "uid2"
    del body["sender"]
    assert deliver_message(body, Self(RESOURCE, "uid1"), fetched=fetched) is None


@pytest.mark.parametrize("mark", ["editedAt", "deletedAt"])
def test_a_change_of_an_own_message_by_another_user_is_no_echo(mark: str) -> None:
    """The message still names its first sender's resource. The envelope says who changed it."""
    frame = copy.deepcopy(FRAMES["message_text"])
    frame["body"]["data"]["resource"] = RESOURCE
    frame["body"][mark] = 1700000005
    assert called(frame)[1] == f"on_message_{mark[:-2]}"
    assert delivered({**frame, "deviceId": RESOURCE}) is None


# Every kind of every type.


def frame(kind: str, body: Any, **envelope: Any) -> Dict[str, Any]:
    return {**TO_ME_ON_THE_WIRE, "type": kind, "body": body, **envelope}


TO_ME_ON_THE_WIRE = {"appId": "app", "receiver": "uid1", "receiverType": "user", "deviceId": "D2", "sender": "uid2"}
ON_THE_WIRE = {"uid": "uid2", "name": "UID2", "status": "online", "role": "default"}


@pytest.mark.parametrize(
    "action, method, time",
    [
        ("delivered", "on_messages_delivered", "delivered_at"),
        ("deliveredToAll", "on_messages_delivered_to_all", "delivered_at"),
        ("read", "on_messages_read", "read_at"),
        ("readByAll", "on_messages_read_by_all", "read_at"),
    ],
)
def test_each_receipt(action: str, method: str, time: str) -> None:
    """Each of the four has its own callback, with its time and the sender of its message."""
    body = {"action": action, "messageId": 5, "user": ON_THE_WIRE, "timestamp": 7}
    to_group = {"receiver": "g1", "receiverType": "group", "messageSender": 9}
    receipt = MessageReceipt("5", UID2, "g1", "group", action, 7, message_sender="9")
    assert called(frame("receipts", body, **to_group)) == ("message", method, receipt)
    assert {name: getattr(receipt, name) for name in ("delivered_at", "read_at")} == {
        "delivered_at": None,
        "read_at": None,
        time: 7,
    }


def test_a_receipt_of_all_calls_the_plain_method_by_default() -> None:
    """A listener that overrides only the plain methods gets both."""
    for plain, of_all in (("on_messages_delivered", "_to_all"), ("on_messages_read", "_by_all")):
        heard: List[Any] = []
        getattr(MessageListener(**{plain: heard.append}), plain + of_all)("receipt")
        assert heard == ["receipt"]


def test_an_interaction_receipt() -> None:
    """The event is the goal of an interactive message, as a receipt."""
    body = {"action": "interacted", "messageId": "5", "user": ON_THE_WIRE}
    assert called(frame("receipts", body)) == (
        "message",
        "on_interaction_goal_completed",
        InteractionReceipt("5", UID2, "uid1", "user"),
    )


@pytest.mark.parametrize("change", ["added", "removed"])
@pytest.mark.parametrize("by", [True, False], ids=["who reacted", "the sender"])
def test_each_reaction(change: str, by: bool) -> None:
    """The user who reacted is inside the body. If it is missing, it is the frame's sender."""
    reaction = {"messageId": "5", "reaction": "\U0001f44d", "reactedAt": 7, "conversationId": "c", "parentId": 4}
    if by:
        reaction["reactedBy"] = ON_THE_WIRE
    body = {"action": f"message_reaction_{change}", "reaction": reaction}
    assert called(frame("reaction", body)) == (
        "message",
        f"on_message_reaction_{change}",
        ReactionEvent(
            *("5", "\U0001f44d", UID2 if by else User("uid2"), 7, "uid1", "user"),
            conversation_id="c",
            parent_message_id="4",
        ),
    )


@pytest.mark.parametrize("text", ["+", '{"messageId": "6"}'])
@pytest.mark.parametrize("change", ["added", "removed"])
def test_a_flat_reaction(change: str, text: str) -> None:
    """The vendor's client reads a reaction without its own layer as the same event. It may be any text."""
    body = {
        "action": f"message_reaction_{change}",
        "id": "1",
        "messageId": "5",
        "uid": "uid3",
        "reaction": text,
        "reactedAt": 7,
    }
    told = called(frame("reaction", {**body, "conversationId": "c", "parentId": 4}))[2]
    assert told == ReactionEvent(
        "5", text, User("uid3"), 7, "uid1", "user", reaction_id="1", conversation_id="c", parent_message_id="4"
    )


def test_an_interaction_as_the_vendor_s_client_reads_it() -> None:
    """The vendor's client reads the frame type ``interaction_completed``."""
    body = {"messageId": "5", "user": ON_THE_WIRE, "interactions": [{"elementId": "e", "interactedAt": 7}]}
    kind, method, receipt = called(frame("interaction_completed", body))
    assert (kind, method, receipt.message_id, receipt.sender) == ("message", "on_interaction_goal_completed", "5", UID2)
    assert receipt.interactions == (Interaction("e", 7),)


def entities(**roles: Any) -> Dict[str, Any]:
    types = {role: "group" if "guid" in entity else "user" for role, entity in roles.items()}
    return {role: {"entity": entity, "entityType": types[role]} for role, entity in roles.items()}


def action_frame(action: str, **data: Any) -> Dict[str, Any]:
    roles = entities(by={"uid": "by"}, on={"uid": "on"}, **{"for": {"guid": "g1"}})
    body = {
        "id": "13",
        "category": "action",
        "type": "groupMember",
        "receiver": "g1",
        "receiverType": "group",
        "data": {"action": action, "entities": roles, **data},
    }
    return frame("message", body)


BY, ON, IN = User("by", status="offline"), User("on", status="offline"), Group("g1")

ACTIONS: Dict[str, Tuple[str, Tuple[Any, ...]]] = {
    "joined": ("on_group_member_joined", (BY, IN)),
    "invited": ("on_group_member_joined", (BY, IN)),
    "left": ("on_group_member_left", (BY, IN)),
    "kicked": ("on_group_member_kicked", (ON, BY, IN)),
    "banned": ("on_group_member_banned", (ON, BY, IN)),
    "unbanned": ("on_group_member_unbanned", (ON, BY, IN)),
    "added": ("on_member_added_to_group", (BY, ON, IN)),
    "scopeChanged": ("on_group_member_scope_changed", (BY, ON, "admin", "participant", IN)),
}


@each_row("action", sorted(ACTIONS))
def test_each_group_action(action: str) -> None:
    """The arguments have the vendor's order, and the listener's own names."""
    method, arguments = ACTIONS[action]
    extras = {"scope": {"new": "admin", "old": "participant"}} if action == "scopeChanged" else {}
    delivery = delivered(action_frame(action, extras=extras))
    assert delivery is not None and (delivery.kind, delivery.method) == ("group", method)
    assert isinstance(delivery.args[0], Action) and delivery.args[0].action == action
    assert delivery.args[1:] == arguments
    names = list(inspect.signature(getattr(KINDS["group"], method)).parameters)[1:]
    assert len(names) == len(delivery.args)
    for name, value in zip(names, delivery.args):
        expected = {"_by": BY, "by": BY, "joined_user": BY, "left_user": BY}
        if name.endswith("by"):
            assert value == expected["by"], name
        elif "group" in name or name.endswith(("_from", "_to")) and "scope" not in name:
            assert value == IN, name
        elif "user" in name:
            assert value == expected.get(name, ON), name


def test_every_method_of_every_listener_has_its_frame() -> None:
    """The listeners for the server's events have no method that is never called."""
    kinds = ("user", "group", "message", "call", "ai_assistant", "conversation", "event")
    wanted = {(kind, name) for kind in kinds for name in vars(KINDS[kind]) if name.startswith("on_")}
    found = {(delivery.kind, delivery.method) for delivery in map(delivered, EVERY_FRAME) if delivery is not None}
    assert found == wanted


@pytest.mark.parametrize("without", ["by", "on", "for"])
def test_a_group_action_that_does_not_say_who(without: str) -> None:
    """The listener gets it. A missing user is None."""
    bare = action_frame("kicked")
    del bare["body"]["data"]["entities"][without]
    gone = {"by": BY, "on": ON, "for": IN}[without]
    assert called(bare)[3:] == tuple(None if value == gone else value for value in (ON, BY, IN))


def test_the_group_of_an_action_is_the_receiver_where_it_is_not_said() -> None:
    """A group action is sent to its group."""
    bare = action_frame("joined")
    bare["body"]["data"]["entities"] = entities(by={"uid": "by"}, receiver={"guid": "g1"})
    assert called(bare)[3:] == (BY, IN)


def call_frame(status: Any, *, by: str = "by", caller: Optional[str] = None, group: bool = False) -> Dict[str, Any]:
    """Return a call of ``caller``, whose status ``by`` has changed."""
    to = {"guid": "g1"} if group else {"uid": "to"}
    inner = entities(sender={"uid": caller or by}, receiver=to)
    on = {"sessionid": "s1", "status": status, "initiatedAt": 1, "joinedAt": "2", "data": {"entities": inner}}
    body = {
        "id": "14",
        "category": "call",
        "type": "audio",
        "receiver": "g1" if group else "to",
        "receiverType": "group" if group else "user",
        "data": {"action": "something else", "entities": entities(by={"uid": by}, on=on, **{"for": to})},
    }
    return frame("message", body)


CALLS = {
    "initiated": "on_incoming_call_received",
    "ongoing": "on_outgoing_call_accepted",
    "rejected": "on_outgoing_call_rejected",
    "busy": "on_outgoing_call_rejected",
    "unanswered": "on_incoming_call_cancelled",
    "cancelled": "on_incoming_call_cancelled",
    "ended": "on_call_ended_message_received",
}


@each_row("status", sorted(CALLS))
def test_each_status_of_a_call(status: str) -> None:
    """The call has its session, its times, both sides, and the acting user. The inner call's status counts."""
    kind, name, call = called(call_frame(status, caller="caller"))
    assert (kind, name) == ("call", CALLS[status]) and isinstance(call, Call)
    assert (call.session_id, call.status, call.initiated_at, call.joined_at, call.type) == ("s1", status, 1, 2, "audio")
    assert call.initiator == User("caller", status="offline") and call.sender == BY
    assert call.call_receiver == call.receiver == User("to", status="offline")


def test_a_call_without_a_status_has_its_action() -> None:
    """Some frames have only the action."""
    bare = call_frame(None)
    bare["body"]["data"]["action"] = "ended"
    assert called(bare)[:2] == ("call", "on_call_ended_message_received")


def test_the_initiator_of_a_call_that_does_not_say_it() -> None:
    """Without the inner call's entities it is the inner call's sender. Without that, it is the acting user."""
    bare = call_frame("ongoing", caller="caller")
    del bare["body"]["data"]["entities"]["on"]["entity"]["data"]
    assert called(bare)[2].initiator == BY
    bare["body"]["data"]["entities"]["on"]["entity"]["sender"] = 7
    assert called(bare)[2].initiator == User("7")


def test_a_call_of_this_user_from_another_device_does_not_come_in() -> None:
    """The caller's other devices do not ring. For the caller, a call without an answer is a rejection."""
    assert unclaimed(call_frame("initiated", by="uid1"))
    assert called(call_frame("unanswered", caller="uid1"))[:2] == ("call", "on_outgoing_call_rejected")


@each_row("status", sorted(CALLS))
def test_only_the_caller_gets_the_answers_to_a_call_to_a_group(status: str) -> None:
    """The other members get its start and its end."""
    answer = status in ("ongoing", "rejected", "busy")
    for key in (None, "receiverType", "data"):  # the receiver's type or the inner call says that it is a group
        to_group = call_frame(status, caller="uid3", group=True)
        if key == "data":
            del to_group["body"]["data"]["entities"]["for"]
            to_group["body"]["data"]["entities"]["on"]["entity"]["data"]["entities"].pop("receiver")
        elif key is not None:
            del to_group["body"][key]
        assert unclaimed(to_group) is answer, key
    if status != "initiated":
        assert called(call_frame(status, caller="uid1", group=True))[0] == "call"
    assert not unclaimed(call_frame(status, caller="uid3"))  # a call only to this user


@pytest.mark.parametrize("status", ["brand_new", 5])
def test_a_call_of_an_unknown_status_is_another_message(status: Any) -> None:
    """The call is stored, so it is not lost."""
    kind, method, call = called(call_frame(status))
    assert (kind, method, type(call)) == ("message", "on_other_message_received", Call)


MESSAGES: Dict[Tuple[str, str], Tuple[str, Any]] = {
    ("message", "text"): ("on_text_message_received", TextMessage),
    ("message", "image"): ("on_media_message_received", MediaMessage),
    ("message", "video"): ("on_media_message_received", MediaMessage),
    ("message", "audio"): ("on_media_message_received", MediaMessage),
    ("message", "file"): ("on_media_message_received", MediaMessage),
    ("custom", "anything"): ("on_custom_message_received", CustomMessage),
    ("interactive", "form"): ("on_interactive_message_received", InteractiveMessage),
    ("card", "card"): ("on_card_message_received", CardMessage),
    ("message", "custom"): ("on_custom_message_received", CustomMessage),
    ("agentic", "assistant"): ("on_ai_assistant_message_received", AIAssistantMessage),
    ("agentic", "tool-result"): ("on_ai_tool_result_received", AIToolResultMessage),
    ("agentic", "tool-arguments"): ("on_ai_tool_arguments_received", AIToolArgumentMessage),
}


def message_frame(category: str, kind: str, **fields: Any) -> Dict[str, Any]:
    return frame("message", {"id": "1", "category": category, "type": kind, "data": {}, **fields})


@each_row("category, kind", sorted(MESSAGES))
def test_each_category_of_message(category: str, kind: str) -> None:
    """Each has its own class and its own method."""
    method, cls = MESSAGES[category, kind]
    called_kind, name, received = called(message_frame(category, kind))
    assert (called_kind, name, type(received)) == ("message", method, cls)
    assert (received.category, received.type, received.id) == (category, kind, "1")


@each_row("category", ["agentic", "brand_new", "", None, 5, ["message"], {"a": 1}])
def test_a_message_of_an_unknown_kind_does_not_disappear(category: Any) -> None:
    """The service stores it: the listener gets the message as a message without its own class."""
    kind, method, received = called(message_frame(category, "text"))
    assert (kind, method, type(received)) == ("message", "on_other_message_received", BaseMessage)
    assert received.id == "1" and received.raw["category"] == category


@each_row("key, method", [("editedAt", "on_message_edited"), ("deletedAt", "on_message_deleted")])
@each_row("category, kind", sorted(MESSAGES) + [("agentic", "x")])
def test_an_edit_and_a_delete_of_each_category(category: str, kind: str, key: str, method: str) -> None:
    """``editedAt`` makes it an edit, and ``deletedAt`` a deletion, for any kind of message."""
    called_kind, name, changed = called(message_frame(category, kind, **{key: 1700000005}))
    assert (called_kind, name) == ("message", method)
    assert type(changed) is MESSAGES.get((category, kind), ("", BaseMessage))[1]
    assert 1700000005 in (changed.edited_at, changed.deleted_at)


def test_a_message_that_was_edited_and_deleted_is_deleted() -> None:
    """The deletion is the newer fact, since it cannot be undone."""
    assert called(message_frame("message", "text", editedAt=5, deletedAt=6))[1] == "on_message_deleted"


@each_row("value", [None, 0, "", "yesterday", True, [], {}, "0", -1, 10**20])
def test_an_empty_time_is_not_an_edit(value: Any) -> None:
    """A message with an empty ``editedAt`` or ``deletedAt`` is a new message."""
    assert called(message_frame("message", "text", editedAt=value, deletedAt=value))[1] == "on_text_message_received"


@pytest.mark.parametrize("action", ["edited", "deleted"])
def test_an_edit_and_a_delete_as_an_action_on_a_message(action: str) -> None:
    """The listener gets the message of the action."""
    on = {"id": "11", "category": "message", "type": "text", "data": {"text": "new"}}
    data = {"action": action, "entities": {"on": {"entity": on}}}
    body = {"id": "12", "category": "action", "type": "message", "data": data}
    kind, method, changed = called(frame("message", body))
    assert (kind, method) == ("message", f"on_message_{action}")
    assert isinstance(changed, TextMessage) and (changed.id, changed.text) == ("11", "new")


def test_a_deleted_message_takes_missing_fields_from_the_action() -> None:
    """In the published example, the deleted message has only its id and its marks.

    The action has the user and the place.
    """
    on = {"id": "11", "conversationId": 5, "deletedAt": "1700000005", "deletedBy": "by"}
    roles = {**entities(by={"uid": "by"}, **{"for": {"guid": "g1"}}), "on": {"entity": on, "entityType": "message"}}
    action = {"id": "12", "category": "action", "type": "message", "receiver": "g1", "receiverType": "group"}
    deleted = {**frame("message", {**action, "conversationId": "c", "data": {"action": "deleted", "entities": roles}})}
    message = called(deleted)[2]
    assert (message.sender, message.receiver_id, message.receiver_type, message.receiver) == (BY, "g1", "group", IN)
    assert (message.id, message.conversation_id, message.deleted_at, message.raw) == ("11", "5", 1700000005, on)
    on.update(sender="uid3", receiver="g2", receiverType="group")
    message = called(deleted)[2]  # its own fields count
    assert (message.sender, message.receiver_id, message.receiver) == (User("uid3"), "g2", None)
    del on["conversationId"]
    assert called(deleted)[2].conversation_id == "c"


def test_an_edited_message_of_the_history_is_a_new_one() -> None:
    """The message was edited before the listeners got it. A deleted one is still a deletion."""
    me, body = Self(RESOURCE, "uid1"), message_frame("message", "text", editedAt=5)["body"]
    new, gone = (deliver_message({**body, **more}, me, fetched=True) for more in ({}, {"deletedAt": 6}))
    assert new is not None and (new.method, new.args[0].edited_at) == ("on_text_message_received", 5)
    assert gone is not None and gone.method == "on_message_deleted"


def test_a_moderated_message_is_not_a_new_one() -> None:
    """The status of a known message has changed. The user's own message is delivered too, and is not an echo."""
    data = {"text": "x", "resource": RESOURCE, "moderation": {"status": "disapproved"}}
    body = message_frame("message", "text", id=17, data=data)["body"]
    delivery = delivered(frame("on_moderation_status_changed", body, deviceId=RESOURCE))
    assert delivery is not None and (delivery.kind, delivery.method) == ("message", "on_message_moderated")
    assert delivery.event_kind is EventKind.STORED
    assert (type(delivery.args[0]), delivery.args[0].moderation_status) == (TextMessage, "disapproved")


STREAMED = {
    "type": "text_message_content",
    "conversationId": "c",
    "id": 5,
    "parentId": "4",
    "data": {"runId": 7, "threadId": "t", "timestamp": 8, "delta": "Hel"},
}


@pytest.mark.parametrize("status, expected", [("unmoderated", None), (None, None), ("pending", "pending")])
def test_the_status_of_a_message_without_moderation_is_none(status: Any, expected: Optional[str]) -> None:
    """The vendor's clients have a word for it, which may come over the wire too."""
    body = {"id": "1", "category": "message", "type": "text", "data": {"moderation": {"status": status}}}
    assert called(frame("on_moderation_status_changed", body))[2].moderation_status == expected


def test_an_event_of_an_assistant() -> None:
    """The run, the thread and the message are ids, and the rest is in ``data``. It is never an echo."""
    kind, method, event = called(frame("streamed_message", STREAMED, deviceId=RESOURCE))
    assert (kind, method) == ("ai_assistant", "on_ai_assistant_event_received")
    assert (event.type, event.conversation_id, event.message_id) == ("text_message_content", "c", "5")
    assert (event.parent_message_id, event.run_id, event.thread_id, event.timestamp) == ("4", "7", "t", 8)
    assert event.data["delta"] == "Hel" and event.raw == STREAMED


PINS = [
    ("message_pin", {"action": "message_unpinned"}, {}, "unpinned"),  # as captured live
    ("message_pin", {}, {"action": "pinned"}, "pinned"),
    ("message_pinned", {}, {}, "pinned"),
    ("message_unpinned", {}, {}, "unpinned"),
    ("pin", {}, {}, "pinned"),
    ("pin", {"action": "unpin"}, {"action": "pin"}, "unpinned"),
    ("message_save", {"action": "save"}, {}, "saved"),
    ("message_saved", {}, {}, "saved"),
    ("message_unsaved", {}, {}, "unsaved"),
    ("save", {}, {"action": "message_unsaved"}, "unsaved"),
]


@pytest.mark.parametrize("nested", [True, False], ids=["nested", "flat"])
def test_each_pin_and_save(nested: bool) -> None:
    """The action is in the body or in the envelope, or is the type. The message is inside, or is the body."""
    message = {"id": 17, "category": "message", "type": "text", "data": {"text": "x"}}
    for kind, body, envelope, done in PINS:
        told = called(frame(kind, {**body, **({"message": message} if nested else message)}, **envelope))
        assert told[:2] == ("message", f"on_message_{done}"), (kind, body)
        assert isinstance(told[2], TextMessage) and told[2].id == "17"
    conversation = {"conversationId": "c", "pinnedAt": "5", "conversationWith": ON_THE_WIRE}
    for kind, body, envelope, done in (
        ("conversation_pin", {"action": "pinned"}, {}, "pinned"),
        ("conversation_pin", {}, {"action": "conversation_unpinned"}, "unpinned"),
        ("conversation_pinned", {}, {}, "pinned"),
        ("conversation_unpinned", {}, {}, "unpinned"),
    ):
        told = called(frame(kind, {**body, **({"conversation": conversation} if nested else conversation)}, **envelope))
        assert told[:2] == ("conversation", f"on_conversation_{done}"), (kind, body)
        assert (told[2].conversation_id, told[2].pinned_at, told[2].conversation_with) == ("c", 5, UID2)


UNKNOWN_ACTIONS = ["brand_new", "", None, 5, True, [], {}, ["online"]]


def test_no_frame_is_invisible() -> None:
    """A frame without its own callback goes to the EventListener: unknown types, unknown actions, feed items."""
    for action in UNKNOWN_ACTIONS:
        for kind in ("presence", "typing_indicator", "receipts", "reaction"):
            assert unclaimed(frame(kind, {"action": action, "user": ON_THE_WIRE, "reaction": {}})), (kind, action)
    assert unclaimed(frame("presence", {"action": "online", "user": {}}, sender=None))
    assert unclaimed(frame("brand_new", {"a": 1}))
    assert unclaimed(frame("notification_feed_item", {"action": "sent", "feedItem": {"id": "1"}}, deviceId=RESOURCE))
    for kind in ("message_pin", "message_save", "conversation_pin"):  # without an action
        assert unclaimed(frame(kind, {"message": {"id": "1"}}))
    assert unclaimed(frame("conversation_pin", {"action": "saved", "conversation": {"conversationId": "c"}}))
    for nothing in ({}, {"conversation": {}}, {"conversation": {"conversationWith": {"name": "no uid"}}, "unread": 1}):
        assert unclaimed(frame("conversation_pinned", nothing))  # without a conversation
        assert unclaimed(frame("message_pinned", nothing)) and unclaimed(frame("message_saved", nothing))
    assert unclaimed(frame("message_pin", {"action": "message_pinned", "messageId": "7"}))  # without a message
    assert unclaimed(frame("streamed_message", {"data": {}}))


@each_row(
    "on, action",
    [*((on, action) for on in ("groupMember", "message") for action in UNKNOWN_ACTIONS), ("groupMember", "edited")],
)
def test_an_unknown_action_is_another_message(on: str, action: Any) -> None:
    """The action is stored, so it is not lost."""
    unknown = action_frame(action)
    unknown["body"]["type"] = on
    kind, method, told = called(unknown)
    assert (kind, method, type(told)) == ("message", "on_other_message_received", Action)


def test_the_kind_of_each_delivery() -> None:
    """The table of frame types has it: the SDK must not drop events that the service stores."""
    for each in EVERY_FRAME:
        delivery = delivered(each)
        if delivery is not None:
            kind = EVENT_KINDS.get(each["type"], EventKind.KEPT)
            if delivery.method == "on_interaction_goal_completed":  # may come in a frame of receipts too
                kind = EventKind.KEPT
            assert delivery.event_kind is kind, each


def test_presence_of_an_unknown_user() -> None:
    """Without a user it is the frame's sender, with the event's status and time."""
    told = called({"type": "presence", "body": {"action": "available", "timestamp": "7"}, "sender": 42})
    assert told == ("user", "on_user_online", User("42", status="online", last_active_at=7))


def test_the_ids_of_a_frame_may_be_numbers() -> None:
    """As recorded from Android, a sender, receiver or message that is a number is not lost."""
    numbers = {"sender": 42, "receiver": 43}
    typing = called(frame("typing_indicator", {"action": "started"}, **numbers))[2]
    assert (typing.sender, typing.receiver_id) == (User("42"), "43")
    transient = called(frame("transient_message", {"user": {"uid": 42}}, **numbers))[2]
    assert (transient.sender, transient.receiver_id) == (User("42", status="offline"), "43")
    receipt = called(frame("receipts", {"action": "read", "messageId": 5}, **numbers))[2]
    assert (receipt.sender, receipt.message_id) == (User("42"), "5")


# Missing and wrong values.

EVERY_FRAME: List[Dict[str, Any]] = [
    *FRAMES.values(),
    *(action_frame(action, extras={"scope": {"new": "admin", "old": "participant"}}) for action in ACTIONS),
    *(call_frame(status) for status in ("initiated", "ongoing", "rejected", "cancelled", "ended")),
    *(message_frame(category, kind, tags=["a"], parentId="3") for category, kind in MESSAGES),
    message_frame("message", "file", data={"url": "u", "attachments": [{"url": "u", "size": 5}], "metadata": {"a": 1}}),
    message_frame("message", "text", editedAt=5, editedBy="uid2"),
    message_frame("message", "text", deletedAt=5, deletedBy="uid2"),
    message_frame("brand_new", "x"),
    frame("receipts", {"action": "interacted", "messageId": "5", "user": ON_THE_WIRE}),
    *(frame("receipts", {"action": action, "messageId": 5}) for action in ("deliveredToAll", "readByAll")),
    frame("interaction_completed", {"messageId": 5, "interactions": [{"elementId": "e", "interactedAt": 7}]}),
    frame("on_moderation_status_changed", {"id": "1", "data": {"moderation": {"status": "approved"}}}),
    frame("streamed_message", STREAMED),
    *(frame(kind, {**body, "message": {"id": "1"}}, **envelope) for kind, body, envelope, _ in PINS),
    frame("conversation_pin", {"action": "pinned", "conversation": {"conversationWith": {"uid": "u"}}}),
    frame("conversation_unpinned", {"conversationWith": {"guid": "g"}, "lastMessage": {"id": "1"}}),
    frame("brand_new", {"a": 1}),
    message_frame(
        "message",
        "text",
        myReceipt={"deliveredAt": 1, "readAt": 2},
        quotedMessage={"id": "1", "data": {"text": "x"}},
        data={
            "mentions": {"u": {"uid": "u"}},
            "reactions": [{"reaction": "x", "count": 2, "reactedByMe": True}],
            "moderation": {"status": "pending"},
        },
    ),
    *(
        frame(
            "reaction",
            {
                "action": f"message_reaction_{change}",
                "reaction": {"messageId": "5", "reaction": "x", "reactedAt": 7, "reactedBy": ON_THE_WIRE},
            },
        )
        for change in ("added", "removed")
    ),
]

#: Values that an annotation allows, as it is written in the models' source.
ALLOWED: Dict[str, Callable[[Any], bool]] = {
    "str": lambda value: type(value) is str,
    "Optional[str]": lambda value: value is None or type(value) is str,
    "Optional[int]": lambda value: value is None or type(value) is int,
    "Optional[bool]": lambda value: value is None or type(value) is bool,
    "Mapping[str, Any]": lambda value: type(value) is dict,
    "Tuple[str, ...]": lambda value: type(value) is tuple and all(type(item) is str for item in value),
    "Tuple[Mapping[str, Any], ...]": lambda value: type(value) is tuple and all(type(item) is dict for item in value),
    **{
        f"Tuple[{name}, ...]": lambda value: type(value) is tuple
        for name in ("Attachment", "Interaction", "ReactionCount", "User")
    },
    "Optional[BaseMessage]": lambda value: value is None or isinstance(value, BaseMessage),
    "Optional[User]": lambda value: value is None or type(value) is User,
    "Entity": lambda value: value is None or type(value) in (User, Group),
}


@functools.lru_cache(maxsize=None)
def fields_of(cls: type) -> Optional[Tuple[Tuple[str, str], ...]]:
    """Return name and annotation of each field of a model. None if the class is not a model."""
    if not dataclasses.is_dataclass(cls):
        return None
    return tuple((field.name, str(field.type)) for field in dataclasses.fields(cls))


@functools.lru_cache(maxsize=None)
def signature_of(kind: str, method: str) -> inspect.Signature:
    return inspect.signature(vars(KINDS[kind])[method])


def models_in(value: Any, way: str = "") -> Iterator[Tuple[str, Any]]:
    """Yield the model and all models in it, each with its path from the outermost."""
    fields = fields_of(type(value))
    if fields is not None:
        yield way, value
        for name, _ in fields:
            inner = getattr(value, name)
            if isinstance(inner, tuple) or fields_of(type(inner)) is not None:
                yield from models_in(inner, f"{way}.{name}")
    elif isinstance(value, tuple):
        for number, item in enumerate(value):
            yield from models_in(item, f"{way}[{number}]")


def check(delivery: Optional[Delivery]) -> None:
    """Check that a listener can get a delivery: an existing method, its arguments, fields of their types."""
    if delivery is None:
        return
    signature_of(delivery.kind, delivery.method).bind(None, *delivery.args)
    for way, model in models_in(delivery.args):
        for name, annotation in fields_of(type(model)) or ():
            assert ALLOWED[annotation](getattr(model, name)), f"{way}.{name}"
        assert getattr(model, "uid", "x") and getattr(model, "guid", "x"), f"{way} has no id"
        repr(model), hash(model)


def paths(value: Any, way: Tuple[Any, ...] = ()) -> Iterator[Tuple[Any, ...]]:
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*way, key)
        yield from paths(inner, (*way, key))


MISSING = object()
WRONG: List[Any] = [
    MISSING,
    *(None, True, False, 0, -1, 5, 10**30, 1.5, 1e308, float("nan"), float("inf")),
    *("", " ", "x", "5", "\u0663", "online"),
    *([], {}, [None], ["x"], {"a": 1}, {"uid": None}, {"uid": []}, {"guid": {}}),
    *({"entity": "x"}, {"entity": {"uid": {}}}, {"entity": {"guid": True, "uid": "u"}}),
]


def changed(original: Any, way: Tuple[Any, ...], value: Any) -> Any:
    """Return a copy with another value in one place, or without it. The copy shares the other places."""
    result = copy.copy(original)
    holder = result
    for key in way[:-1]:
        holder[key] = copy.copy(holder[key])
        holder = holder[key]
    if value is MISSING:
        del holder[way[-1]]
    else:
        holder[way[-1]] = value
    return result


@pytest.mark.parametrize("number", range(len(EVERY_FRAME)))
def test_anything_missing_or_of_a_wrong_type_is_survived(number: int) -> None:
    """Each key of each frame, at any depth, is removed or changed to another type.

    No exception and no wrong type follow.
    """
    original = EVERY_FRAME[number]
    ways = list(paths(original))
    assert ways
    for way in ways:
        for value in WRONG:
            try:
                check(delivered(changed(original, way, value)))
            except Exception as error:
                raise AssertionError(f"{way} as {value!r}") from error


def flat(delivery: Delivery) -> Dict[str, Any]:
    """Return every plain field of a delivery, by its path."""
    return {
        f"{way}.{field.name}": getattr(model, field.name)
        for way, model in models_in(delivery.args)
        for field in dataclasses.fields(model)
        if field.name not in ("raw", "data") and not dataclasses.is_dataclass(getattr(model, field.name))
    }


@pytest.mark.parametrize("name", sorted(name for name, expected in RECORDED.items() if expected is not None))
def test_a_missing_key_changes_only_its_field(name: str) -> None:
    """If a key is absent, or has a list as its value, its field is None or empty. The others do not change.

    A user without a status is offline.
    """
    before = delivered(FRAMES[name])
    assert before is not None
    for way in paths(FRAMES[name]):
        if set(way[:-1]) & {"metadata", "customData"}:
            continue  # the app's own, passed on unchanged
        for value in (MISSING, None, [1]):
            after = delivered(changed(FRAMES[name], way, value))
            if after is None or after.method != before.method:
                # Its type, category or action, without which the kind is unknown; or the user of a presence.
                assert set(way) & {"type", "category", "action", "body", "user", "uid"}, way
                continue
            old, new = flat(before), flat(after)
            for key in {key for key in new if key in old and new[key] != old[key]}:
                offline = (key[-7:], new[key]) == (".status", "offline")
                assert offline or new[key] in (None, {}, ()), (way, value, key)
            assert {key for key in new if key not in old and new[key] not in (None, {}, (), "uid2")} == set()


@each_row(
    "key, field",
    [
        ("id", "id"),
        ("muid", "muid"),
        ("conversationId", "conversation_id"),
        ("receiverType", "receiver_type"),
        ("receiver", "receiver_id"),
        ("sentAt", "sent_at"),
        ("updatedAt", "updated_at"),
    ],
)
@each_row("value", [MISSING, None, [], {}, True])
def test_each_missing_field_of_a_message_is_none(key: str, field: str, value: Any) -> None:
    """The message is still delivered, with None in exactly that field."""
    whole = called(FRAMES["message_text"])[2]
    method, received = called(changed(FRAMES["message_text"], ("body", key), value))[1:]
    assert method == "on_text_message_received"
    assert dataclasses.replace(whole, **{field: None}) == received


def test_a_user_without_a_usable_uid_is_the_sender() -> None:
    """If the object of a user has no usable uid, the envelope's counts. Without both, the uid is None."""
    for user in ({}, {"uid": []}, {"uid": None}, {"uid": ""}, {"uid": True, "name": "x"}, "uid2", 5, None):
        typing = frame("typing_indicator", {"action": "started", "user": user})
        assert called(typing)[2].sender == User("uid2")
        assert called({**typing, "sender": None})[2].sender is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
USER = st.fixed_dictionaries({}, optional={key: JSON for key in ("uid", "guid", "name", "tags", "metadata")}) | JSON
HOLDER = st.fixed_dictionaries({}, optional={"entity": USER, "entityType": JSON}) | JSON
ROLES = st.sampled_from(["by", "on", "for", "sender", "receiver"])
DATA = st.fixed_dictionaries(
    {},
    optional={
        "action": st.sampled_from([*ACTIONS, "initiated", "ongoing", "edited", "deleted"]) | JSON,
        **{key: JSON for key in ("mentions", "reactions", "moderation", "interactions", "toolCalls", "card")},
        "entities": st.dictionaries(ROLES, HOLDER, max_size=5) | JSON,
        "extras": st.fixed_dictionaries({}, optional={"scope": JSON}) | JSON,
        "attachments": st.lists(USER, max_size=3) | JSON,
        **{key: JSON for key in ("text", "metadata", "customData", "url", "resource", "interactiveData")},
    },
)
REACTION = st.fixed_dictionaries({}, optional={"reactedBy": USER, "messageId": JSON, "reactedAt": JSON}) | JSON
TIMES = ("timestamp", "sentAt", "editedAt", "deletedAt")
BODY = st.fixed_dictionaries(
    {},
    optional={
        "action": st.sampled_from(["online", "offline", "started", "ended", "read", "message_reaction_added"]) | JSON,
        "category": st.sampled_from(["message", "custom", "interactive", "card", "action", "call", "agentic"]) | JSON,
        "type": st.sampled_from(["text", "image", "message", "groupMember", "assistant", "tool-result"]) | JSON,
        **{key: JSON for key in ("quotedMessage", "myReceipt", "message", "conversation", "lastMessage")},
        "user": USER,
        "reaction": REACTION,
        "data": DATA | JSON,
        **{key: JSON for key in ("id", "messageId", "metadata", "tags", *TIMES)},
    },
)


@given(st.sampled_from([*sorted(EVENT_KINDS), "brand_new"]), BODY, JSON, JSON)
def test_any_body_of_any_type_is_delivered_or_passed_over(kind: str, body: Any, sender: Any, receiver: Any) -> None:
    """For any JSON in any known place there is no exception, and a listener's arguments have the declared types."""
    check(delivered({"type": kind, "body": body, "sender": sender, "receiver": receiver, "receiverType": receiver}))
