"""The models of groups, messages and events accept much, and show no secrets (user: test_models)."""

from __future__ import annotations

import copy
import dataclasses
import enum
import inspect
import json
import pickle
import re
import sys
from typing import Any, Dict, List

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import each_row

from cometchat import (
    Action,
    AIAssistantEvent,
    AIAssistantMessage,
    AIToolArgumentMessage,
    AIToolResultMessage,
    Attachment,
    BaseMessage,
    Call,
    CardMessage,
    Conversation,
    CustomMessage,
    Group,
    Interaction,
    InteractionReceipt,
    InteractiveMessage,
    InvalidArgumentException,
    MediaMessage,
    MessageReceipt,
    ReactionCount,
    ReactionEvent,
    TextMessage,
    TransientMessage,
    TypingIndicator,
    User,
    models,
)
from cometchat._fields import plain_text
from cometchat.models._message import message_from_dict

SECRET = "s3cret-0123456789"
BY = {"uid": "uid2", "name": "George", "authToken": SECRET, "jwt": SECRET, "fat": SECRET}
GEORGE = User("uid2", name="George", status="offline")
ALICE = User("uid3", status="offline")
GROUP = {"guid": "g1", "name": "Hikers"}

#: Every field that a message may have, on the wire and in the model.
COMMON: Dict[str, Any] = {
    "id": 11,
    "muid": "m1",
    "conversationId": "c1",
    "sender": "uid2",
    "receiver": "g1",
    "receiverType": "group",
    "sentAt": 1,
    "updatedAt": 2,
    "editedAt": 3,
    "editedBy": "uid3",
    "deletedAt": 4,
    "deletedBy": "uid4",
    "deliveredAt": 5,
    "readAt": 6,
    "parentId": 7,
    "replyCount": 8,
    "unreadRepliesCount": "9",
    "threadSubscribed": 1,
    "myReceipt": {"deliveredAt": 10, "readAt": "11"},
    "quotedMessageId": 12,
    "quotedMessage": {
        "id": 12,
        "category": "message",
        "type": "text",
        "data": {"text": "q"},
        "quotedMessage": {"id": 1},
    },
    "pinnedAt": 13,
    "pinnedBy": "app_system",
    "savedAt": 14,
    "tags": ["a", "b"],
    "authToken": SECRET,
    "jwt": SECRET,
    "fat": SECRET,
    "somethingNew": [1],
}
#: The same for its ``data``.
COMMON_DATA: Dict[str, Any] = {
    "metadata": {"m": 1},
    "mentions": {"uid3": {"uid": "uid3"}, "uid5": {"name": "x"}, "uid6": None},
    "reactions": [{"reaction": "x", "count": "2", "reactedByMe": True, "new": 1}, 5],
    "moderation": {"status": "approved"},
}
READ_COMMON: Dict[str, Any] = {
    "id": "11",
    "muid": "m1",
    "conversation_id": "c1",
    "sender": GEORGE,
    "receiver_id": "g1",
    "receiver_type": "group",
    "receiver": Group("g1", name="Hikers"),
    "sent_at": 1,
    "updated_at": 2,
    "edited_at": 3,
    "edited_by": "uid3",
    "deleted_at": 4,
    "deleted_by": "uid4",
    "delivered_at": 5,
    "read_at": 6,
    "parent_message_id": "7",
    "reply_count": 8,
    "unread_replies_count": 9,
    "thread_subscribed": True,
    "delivered_to_me_at": 10,
    "read_by_me_at": 11,
    "quoted_message_id": "12",
    "pinned_at": 13,
    "pinned_by": "app_system",
    "saved_at": 14,
    "mentions": (ALICE, User("uid5", name="x", status="offline")),
    "reactions": (ReactionCount("x", 2, True),),
    "moderation_status": "approved",
    "metadata": {"m": 1},
    "tags": ("a", "b"),
}


def on_the_wire(category: str, kind: str, **data: Any) -> Dict[str, Any]:
    entities = {"sender": {"entity": BY}, "receiver": {"entity": GROUP}, **data.pop("entities", {})}
    data = {**copy.deepcopy(COMMON_DATA), "entities": entities, **data}
    return {**COMMON, "category": category, "type": kind, "data": data}


ATTACHMENT = {
    "url": "u",
    "name": "n",
    "extension": "png",
    "mimeType": "image/png",
    "size": "5",
    "metadata": '{"w": 1}',
    "new": 1,
}

#: Category and type, the data on the wire, the class, and its own fields.
MESSAGES: List[Any] = [
    ("message", "text", {"text": "hello"}, TextMessage, {"text": "hello"}),
    (
        "message",
        "image",
        {"url": "u", "text": "look", "attachments": [ATTACHMENT, "x", None]},
        MediaMessage,
        {"url": "u", "caption": "look", "attachments": (Attachment("u", "n", "png", "image/png", 5, {"w": 1}),)},
    ),
    ("message", "file", {"caption": "look"}, MediaMessage, {"url": None, "caption": "look", "attachments": ()}),
    (
        "custom",
        "location",
        {
            "customData": '{"lat": 1}',
            "subType": "s",
            "text": "a place",
            "updateConversation": False,
            "sendNotification": "1",
        },
        CustomMessage,
        {
            "custom_data": {"lat": 1},
            "sub_type": "s",
            "conversation_text": "a place",
            "update_conversation": False,
            "send_notification": True,
        },
    ),
    ("message", "custom", {"customData": {"lat": 1}}, CustomMessage, {"custom_data": {"lat": 1}}),
    (
        "interactive",
        "form",
        {
            "interactiveData": {"a": 1},
            "interactionGoal": {"type": "anyOf"},
            "interactions": [{"elementId": "e", "interactedAt": "7"}, None],
            "allowSenderInteraction": True,
        },
        InteractiveMessage,
        {
            "interactive_data": {"a": 1},
            "interaction_goal": {"type": "anyOf"},
            "interactions": (Interaction("e", 7),),
            "allow_sender_interaction": True,
        },
    ),
    (
        "card",
        "text",
        {"text": "preview", "card": {"fallbackText": "f", "x": 1}},
        CardMessage,
        {"text": "preview", "card": {"fallbackText": "f", "x": 1}, "fallback_text": "f"},
    ),
    (
        "agentic",
        "assistant",
        {"text": "hi", "runId": 5, "threadId": "t", "elements": [{"type": "text", "value": "hi"}, 1]},
        AIAssistantMessage,
        {"text": "hi", "run_id": "5", "thread_id": "t", "elements": ({"type": "text", "value": "hi"},)},
    ),
    (
        "agentic",
        "tool-result",
        {"text": "42", "runId": "5", "threadId": "t", "toolCallId": 9},
        AIToolResultMessage,
        {"text": "42", "run_id": "5", "thread_id": "t", "tool_call_id": "9"},
    ),
    (
        "agentic",
        "tool-arguments",
        {"runId": "5", "threadId": "t", "toolCalls": [{"id": "1", "function": {"name": "f"}}]},
        AIToolArgumentMessage,
        {"run_id": "5", "thread_id": "t", "tool_calls": ({"id": "1", "function": {"name": "f"}},)},
    ),
    (
        "action",
        "groupMember",
        {
            "action": "scopeChanged",
            "extras": {"scope": {"old": "participant", "new": "admin"}},
            "entities": {"by": {"entity": BY}, "on": {"entity": {"uid": "uid3"}}, "for": {"entity": GROUP}},
        },
        Action,
        {
            "action": "scopeChanged",
            "old_scope": "participant",
            "new_scope": "admin",
            "action_by": GEORGE,
            "action_on": ALICE,
            "action_for": Group("g1", name="Hikers"),
        },
    ),
    (
        "call",
        "video",
        {
            "action": "ongoing",
            "entities": {
                "by": {"entity": {"uid": "uid3"}},
                "on": {
                    "entity": {
                        "sessionid": "s1",
                        "status": "initiated",
                        "initiatedAt": 1,
                        "startedAt": "2",
                        "joinedAt": 3,
                        "data": {"entities": {"sender": {"entity": BY}, "receiver": {"entity": GROUP}}},
                    }
                },
            },
        },
        Call,
        {
            "session_id": "s1",
            "action": "ongoing",
            "status": "initiated",
            "initiator": GEORGE,
            "call_receiver": Group("g1", name="Hikers"),
            "initiated_at": 1,
            "started_at": 2,
            "joined_at": 3,
        },
    ),
    ("call", "audio", {"sessionid": "s2", "status": "ended"}, Call, {"session_id": "s2", "status": "ended"}),
    ("brand_new", "x", {"text": "hello"}, BaseMessage, {}),
    ("agentic", "brand_new", {"text": "hello"}, BaseMessage, {}),
]

GROUP_WIRE = {
    "guid": "g1",
    "name": "Hikers",
    "type": "public",
    "icon": "i",
    "description": "d",
    "owner": "uid1",
    "scope": "admin",
    "membersCount": 3,
    "onlineMembersCount": "2",
    "isBannedFromGroup": False,
    "updatedBy": "uid1",
    "hasJoined": True,
    "conversationId": "group_g1",
    "metadata": {"a": 1},
    "tags": ["t"],
    "joinedAt": 1,
    "createdAt": 2,
    "updatedAt": 3,
    "wsChannel": {"identity": "i", "secret": SECRET},
    "somethingNew": 1,
}

#: One of each model, with every field set.
SAMPLES: List[Any] = [
    *(message_from_dict(on_the_wire(category, kind, **copy.deepcopy(data))) for category, kind, data, _, _ in MESSAGES),
    Attachment.from_dict(ATTACHMENT),
    Group.from_dict(GROUP_WIRE),
    User.from_dict(BY),
    TypingIndicator(GEORGE, "g1", "group", {"a": 1}, {"raw": 1}),
    TransientMessage(GEORGE, "g1", "group", {"a": 1}, {"raw": 1}),
    MessageReceipt("5", GEORGE, "g1", "group", "read", 7, {"raw": 1}),
    ReactionEvent("5", "x", GEORGE, 7, "g1", "group", {"raw": 1}),
    InteractionReceipt("5", GEORGE, "g1", "group", {"raw": 1}),
    ReactionCount.from_dict({"reaction": "x", "count": 2, "reactedByMe": True}),
    Interaction("e", 7),
    AIAssistantEvent.from_dict({"type": "card", "data": {"runId": 5, "card": {"a": 1}}}),
    Conversation.from_dict(
        {
            "conversationId": "group_g1",
            "conversationType": "group",
            "conversationWith": GROUP,
            "lastMessage": {"id": 5, "category": "message", "type": "text", "data": {"text": "x"}},
            "unreadMessageCount": "3",
            "unreadMentionsCount": 1,
            "lastReadMessageId": 4,
            "latestMessageId": 5,
            "tags": ["t"],
            "pinnedAt": 1,
            "pinnedBy": "uid1",
        }
    ),
]

each = each_row("model", SAMPLES)


def test_every_model_has_its_sample() -> None:
    """No model is left out of the tests below."""
    assert {type(model).__name__ for model in SAMPLES} == set(models.__all__)


@each_row("category, kind, data, cls, own", MESSAGES)
def test_every_field_of_a_message_is_read(category: str, kind: str, data: Any, cls: Any, own: Dict[str, Any]) -> None:
    """Each category and type has its class, and every value is in a field."""
    wire = on_the_wire(category, kind, **copy.deepcopy(data))
    message = message_from_dict(wire)
    assert type(message) is cls
    expected = {**READ_COMMON, "category": category, "type": kind, "data": wire["data"], **own}
    assert {name: getattr(message, name) for name in expected} == expected
    assert cls.from_dict(wire) == message and message.is_stored
    assert isinstance(message.quoted_message, TextMessage) and message.quoted_message.text == "q"
    assert message.quoted_message.quoted_message is None  # one level is enough, since no message can be endless
    read = {field.name for field in dataclasses.fields(cls)} - {"raw", "quoted_message"}
    assert read - set(expected) <= OWN_DEFAULTS, "a field that no sample sets"


@pytest.mark.parametrize("key", ["isBanned", "isBannedFromGroup"])
def test_a_ban_from_a_group_is_read(key: str) -> None:
    """The service names it ``isBanned`` (source); the vendor's SDKs call it ``isBannedFromGroup``."""
    assert Group.from_dict({"guid": "g", key: True}).is_banned_from_group is True
    assert Group.from_dict({"guid": "g", key: 0}).is_banned_from_group is False


def test_the_channel_of_a_call_is_not_shown() -> None:
    """``wsChannel`` has a secret. Neither ``raw`` nor ``data`` has it, the service's object stays as it was."""
    call = {"sessionid": "s1", "wsChannel": {"identity": "i", "secret": "the-secret"}, "status": "initiated"}
    wire = on_the_wire("call", "video", entities={"by": {"entity": BY}, "on": {"entity": call, "entityType": "call"}})
    before = copy.deepcopy(wire)
    message = message_from_dict(wire)
    assert isinstance(message, Call) and message.session_id == "s1"
    assert "the-secret" not in f"{message.raw} {message.data}" and wire == before
    on = message.raw["data"]["entities"]["on"]
    assert on == {"entity": {"sessionid": "s1", "status": "initiated"}, "entityType": "call"}
    assert message.raw["data"] == message.data


#: Fields of a class that only some of its samples above have.
OWN_DEFAULTS = {
    *("sub_type", "conversation_text", "update_conversation", "send_notification"),
    *("action", "initiator", "call_receiver", "initiated_at", "started_at", "joined_at"),
}


@each_row("category, kind, data, cls, own", MESSAGES)
def test_an_empty_message_has_nothing(category: str, kind: str, data: Any, cls: Any, own: Any) -> None:
    """A missing field is None, an empty mapping or an empty tuple, as in a model made without arguments."""
    assert cls.from_dict({}) == cls()
    read = message_from_dict({"category": category, "type": kind})
    assert read == cls(category=category, type=kind)
    assert {value for value in vars(read).values() if not isinstance(value, dict)} <= {None, (), category, kind}


@pytest.mark.parametrize("zero", [0, "0", "", None])
def test_a_related_id_of_zero_is_none(zero: Any) -> None:
    """The vendor's clients have 0 where a message has no parent. It must not become the id to reply to."""
    message = BaseMessage.from_dict({"id": 7, "parentId": zero, "quotedMessageId": zero})
    assert message.parent_message_id is None and message.quoted_message_id is None
    event = AIAssistantEvent.from_dict({"parentId": zero, "parentMessageId": 5})
    assert event.parent_message_id == "5"


def test_every_field_of_a_group_is_read() -> None:
    """The vendor's fields, in snake_case."""
    assert Group.from_dict(GROUP_WIRE) == Group(
        guid="g1",
        name="Hikers",
        type="public",
        icon="i",
        description="d",
        owner="uid1",
        scope="admin",
        members_count=3,
        online_members_count=2,
        is_banned_from_group=False,
        updated_by="uid1",
        has_joined=True,
        conversation_id="group_g1",
        metadata={"a": 1},
        tags=("t",),
        joined_at=1,
        created_at=2,
        updated_at=3,
    )
    assert Group.from_dict({}) == Group("")


@each_row(
    "category, kind, cls",
    [
        ("message", None, MediaMessage),
        ("message", ["text"], MediaMessage),
        ("agentic", ["assistant"], BaseMessage),
        (None, "text", BaseMessage),
        (5, "text", BaseMessage),
        (["message"], "text", BaseMessage),
        ({"message": 1}, "text", BaseMessage),
        ("Message", "text", BaseMessage),
    ],
)
def test_a_message_of_an_unknown_kind_is_still_one(category: Any, kind: Any, cls: Any) -> None:
    """A message may have an unknown category or type, or one of another JSON type."""
    assert type(message_from_dict({"category": category, "type": kind})) is cls


OFFLINE = {"status": "offline"}  # a user without a status


@each_row(
    "entity, result",
    [
        ({"uid": "u"}, User("u", **OFFLINE)),
        ({"uid": 5}, User("5", **OFFLINE)),
        ({"guid": "g"}, None),  # a group sends nothing
        ({"uid": ""}, None),
        ({"uid": None}, None),
        ({"uid": ["u"]}, None),
        ({}, None),
        ("u", None),
        (None, None),
    ],
)
def test_the_sender_is_the_entity_or_else_the_uid(entity: Any, result: Any) -> None:
    """If the entity has no usable value, the plain ``sender`` counts. Without both, it is None."""
    message = {"data": {"entities": {"sender": {"entity": entity}}}}
    assert BaseMessage.from_dict(message).sender == result
    assert BaseMessage.from_dict({**message, "sender": "plain"}).sender == (result or User("plain"))
    assert BaseMessage.from_dict({**message, "sender": 42}).sender == (result or User("42"))
    assert BaseMessage.from_dict({**message, "sender": ["plain"]}).sender == result


@pytest.mark.parametrize(
    "entity, result",
    [
        ({"guid": "g", "uid": "u"}, Group("g")),
        ({"guid": [], "uid": "u"}, User("u", **OFFLINE)),
        ({"guid": ""}, None),
        ([], None),
    ],
    ids=repr,
)
def test_a_receiver_is_a_group_or_a_user(entity: Any, result: Any) -> None:
    """The receiver's fields decide. A receiver without usable fields is None."""
    assert BaseMessage.from_dict({"data": {"entities": {"receiver": {"entity": entity}}}}).receiver == result


def test_the_data_of_a_message_may_be_json_text() -> None:
    """So may the metadata and the custom data in it."""
    data = {"text": "hello", "metadata": '{"a": 1}', "entities": json.dumps({"sender": {"entity": {"uid": "u"}}})}
    message = message_from_dict({"category": "message", "type": "text", "data": json.dumps(data)})
    assert isinstance(message, TextMessage) and (message.text, message.metadata) == ("hello", {"a": 1})
    assert message.sender == User("u", **OFFLINE)


@each
def test_no_repr_shows_a_secret(model: Any) -> None:
    """A model, the models in it, and its text show no secret."""
    assert SECRET not in repr(model) + str(model)


@each
def test_raw_holds_no_secret_of_its_own(model: Any) -> None:
    """All fields are kept, also unknown ones, but no credential."""
    raw = getattr(model, "raw", {"Interaction": "too small to have one"})
    assert raw and SECRET not in str({key: value for key, value in raw.items() if not isinstance(value, (dict, list))})
    assert "wsChannel" not in raw


@each
def test_a_model_can_not_be_changed(model: Any) -> None:
    """Every model is frozen."""
    for field in dataclasses.fields(model):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(model, field.name, None)


@each
def test_a_model_can_be_copied(model: Any) -> None:
    """The copy has every field and raw, without the auth token. It is equal, with the same hash and class."""
    for other in (
        copy.copy(model),
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        dataclasses.replace(model),
    ):
        assert type(other) is type(model)
        assert all(getattr(other, each.name) == getattr(model, each.name) for each in dataclasses.fields(model))
        assert "_auth_token" not in vars(other)
        assert other == model and hash(other) == hash(model) and len({other, model}) == 1


@each
def test_equality_goes_by_every_field_but_raw(model: Any) -> None:
    """Another value in any field makes another model. Another ``raw`` (or auth token) does not."""
    for field in dataclasses.fields(model):
        other = dataclasses.replace(model, **{field.name: {"another": 1}})
        assert (other == model) is (field.name == "raw"), field.name
    assert model != dict(vars(model)) and model is not None


def test_models_of_two_classes_differ() -> None:
    """An empty text message equals neither an empty custom message nor the plain one."""
    empty = [BaseMessage(), TextMessage(), MediaMessage(), CustomMessage(), InteractiveMessage(), CardMessage()]
    empty += [Action(), Call()]
    assert all((one == other) is (one is other) for one in empty for other in empty)


@each
def test_two_models_share_nothing(model: Any) -> None:
    """The mappings of a model made without any of them are its own."""
    cls = type(model)
    one, other = (cls("x") if cls in (User, Group) else cls() for _ in range(2))
    for field in dataclasses.fields(cls):
        value = getattr(one, field.name)
        assert not isinstance(value, dict) or value is not getattr(other, field.name)


def test_the_read_object_can_be_changed_afterwards() -> None:
    """metadata, custom data and raw are the message's own mappings."""
    wire = on_the_wire("custom", "location", customData={"lat": 1})
    message = message_from_dict(wire)
    assert isinstance(message, CustomMessage)
    wire["data"]["customData"]["lat"] = 2
    wire["data"]["metadata"]["m"] = 2
    wire["new"] = 1
    assert (message.custom_data, message.metadata) == ({"lat": 1}, {"m": 1}) and "new" not in message.raw


@pytest.mark.skipif(sys.version_info < (3, 10), reason="dataclasses have no kw_only")
def test_an_editor_shows_that_the_fields_are_keyword_only() -> None:
    """The signature of each message says what the constructor accepts."""
    for cls in BaseMessage.__subclasses__():
        kinds = {parameter.kind for parameter in inspect.signature(cls).parameters.values()}
        assert kinds == {inspect.Parameter.KEYWORD_ONLY}, cls


@pytest.mark.parametrize("cls", [BaseMessage, TextMessage, CustomMessage, MediaMessage, Call])
def test_a_message_made_without_names_is_refused(cls: Any) -> None:
    """No value becomes the id by mistake: the error shows the right form, and not the value."""
    for wrong in (lambda: cls("Hey", "u2", "user"), lambda: cls(txt="Hey"), lambda: cls("Hey", receiver_id="u")):
        with pytest.raises(InvalidArgumentException) as caught:
            wrong()
        error = caught.value
        assert (error.code, error.name) == ("INVALID_MESSAGE", "message")
        assert f"{cls.__name__}(" in error.message and 'receiver_type="user")' in error.message
        assert "Hey" not in str(error)


def test_the_right_form_works() -> None:
    """The code in the error works."""
    for cls in (TextMessage, CustomMessage):
        with pytest.raises(InvalidArgumentException) as caught:
            cls("x")  # type: ignore[misc]
        (form,) = re.findall(r"\w+Message\(.*\)", caught.value.message)
        assert isinstance(eval(form, {cls.__name__: cls}), cls)


def test_a_stored_message_stays_the_same_message() -> None:
    """replace() keeps id and muid, so that the sender notices that the copy is already stored."""
    new = TextMessage(text="one", receiver_id="u", receiver_type="user", muid="m")
    sent = dataclasses.replace(new, id="5")
    other = dataclasses.replace(sent, text="two")
    assert (new.is_stored, sent.is_stored, other.is_stored, other.id, other.muid) == (False, True, True, "5", "m")


class Name(str, enum.Enum):
    """A class with which many programs name their users."""

    AMY = "amy"


def test_a_str_subclass_becomes_its_value() -> None:
    """An enum's member reads "Name.AMY" in some versions of Python. The message must have "amy"."""
    message = TextMessage(text=Name.AMY, receiver_id=Name.AMY, receiver_type="user")
    assert type(message.text) is type(message.receiver_id) is str
    assert f"{message.text} {message.receiver_id}" == "amy amy"
    assert type(plain_text(Name.AMY)) is str and plain_text(Name.AMY) == "amy"
    assert plain_text("amy") == "amy" and plain_text(5) == 5 and plain_text(None) is None


def test_a_message_to_send_is_made_by_name() -> None:
    """A message for ``send_message`` can be made with keywords, and has their values."""
    text = TextMessage(receiver_id="u", receiver_type="user", text="hello", metadata={"a": 1}, tags=("t",))
    assert (text.text, text.receiver_id, text.muid, text.id, text.category) == ("hello", "u", None, None, None)
    custom = CustomMessage(receiver_id="g", receiver_type="group", type="location", custom_data={"lat": 1})
    assert (custom.type, custom.custom_data) == ("location", {"lat": 1})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
READABLE = {type(model) for model in SAMPLES if hasattr(type(model), "from_dict")}
READERS = [message_from_dict, *(cls.from_dict for cls in READABLE)]
KEYS = sorted({*COMMON, *COMMON_DATA, *GROUP_WIRE, *ATTACHMENT, "category", "type", "data", "lastMessage"})


@given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), JSON, max_size=12))
def test_any_json_object_is_a_model(data: Dict[str, Any]) -> None:
    """Any JSON object, read as any model, raises nothing, and can be shown, hashed and pickled."""
    for read in READERS:
        model: Any = read(data)  # type: ignore[operator]
        repr(model), hash(model), pickle.dumps(model)
        assert all(value is None or not isinstance(value, (list, float)) for value in vars(model).values())
        dataclasses.asdict(model)
