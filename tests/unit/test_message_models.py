"""The models of groups, messages and events: liberal in what they read, silent about secrets. (User: test_models.)"""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any, Callable, Dict, List

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cometchat import (
    Action,
    Attachment,
    BaseMessage,
    Call,
    CardMessage,
    CustomMessage,
    Group,
    InteractionReceipt,
    InteractiveMessage,
    MediaMessage,
    MessageReceipt,
    ReactionEvent,
    TextMessage,
    TransientMessage,
    TypingIndicator,
    User,
    models,
)
from cometchat._protocol import message_from_dict

SECRET = "s3cret-0123456789"
BY = {"uid": "uid2", "name": "George", "authToken": SECRET, "jwt": SECRET}
GEORGE = User("uid2", name="George")
GROUP = {"guid": "g1", "name": "Hikers"}

#: Every field that any message may have, on the wire and in the model.
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
    "tags": ["a", "b"],
    "authToken": SECRET,
    "jwt": SECRET,
    "somethingNew": [1],
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
    "metadata": {"m": 1},
    "tags": ("a", "b"),
}


def on_the_wire(category: str, kind: str, **data: Any) -> Dict[str, Any]:
    entities = {"sender": {"entity": BY}, "receiver": {"entity": GROUP}, **data.pop("entities", {})}
    return {**COMMON, "category": category, "type": kind, "data": {"metadata": {"m": 1}, "entities": entities, **data}}


ATTACHMENT = {"url": "u", "name": "n", "extension": "png", "mimeType": "image/png", "size": "5", "new": 1}

#: Category and type, the data on the wire, the class, and its own fields.
MESSAGES: List[Any] = [
    ("message", "text", {"text": "hello"}, TextMessage, {"text": "hello"}),
    (
        "message",
        "image",
        {"url": "u", "text": "look", "attachments": [ATTACHMENT, "x", None]},
        MediaMessage,
        {"url": "u", "caption": "look", "attachments": (Attachment("u", "n", "png", "image/png", 5),)},
    ),
    ("message", "file", {"caption": "look"}, MediaMessage, {"url": None, "caption": "look", "attachments": ()}),
    (
        "custom",
        "location",
        {"customData": {"lat": 1}, "subType": "s"},
        CustomMessage,
        {"custom_data": {"lat": 1}, "sub_type": "s"},
    ),
    (
        "interactive",
        "form",
        {"interactiveData": {"a": 1}, "interactionGoal": {"b": 2}},
        InteractiveMessage,
        {"interactive_data": {"a": 1}, "interaction_goal": {"b": 2}},
    ),
    ("card", "card", {"x": 1}, CardMessage, {}),
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
            "action_on": User("uid3"),
            "action_for": Group("g1", name="Hikers"),
        },
    ),
    (
        "call",
        "video",
        {
            "action": "initiated",
            "entities": {"by": {"entity": BY}, "on": {"entity": {"sessionid": "s1", "status": "initiated"}}},
        },
        Call,
        {"session_id": "s1", "action": "initiated", "status": "initiated", "initiator": GEORGE},
    ),
    ("call", "audio", {"sessionid": "s2", "status": "ended"}, Call, {"session_id": "s2", "status": "ended"}),
    ("agentic", "x", {"text": "hello"}, BaseMessage, {}),
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
    "hasJoined": True,
    "conversationId": "group_g1",
    "metadata": {"a": 1},
    "tags": ["t"],
    "joinedAt": 1,
    "createdAt": 2,
    "updatedAt": 3,
    "authToken": SECRET,
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
]

each = pytest.mark.parametrize("model", SAMPLES, ids=lambda model: type(model).__name__)


def test_every_model_has_its_sample() -> None:
    """No model is left out of the tests below."""
    assert {type(model).__name__ for model in SAMPLES} == set(models.__all__)


@pytest.mark.parametrize("category, kind, data, cls, own", MESSAGES, ids=[f"{m[0]}-{m[1]}" for m in MESSAGES])
def test_every_field_of_a_message_is_read(category: str, kind: str, data: Any, cls: Any, own: Dict[str, Any]) -> None:
    """Each category and type has its class, with all that came in fields."""
    wire = on_the_wire(category, kind, **copy.deepcopy(data))
    message = message_from_dict(wire)
    assert type(message) is cls
    expected = {**READ_COMMON, "category": category, "type": kind, "data": wire["data"], **own}
    assert {name: getattr(message, name) for name in expected} == expected
    assert cls.from_dict(wire) == message


@pytest.mark.parametrize("category, kind, data, cls, own", MESSAGES, ids=[f"{m[0]}-{m[1]}" for m in MESSAGES])
def test_an_empty_message_is_one_of_nothing(category: str, kind: str, data: Any, cls: Any, own: Any) -> None:
    """What is missing is None, an empty mapping or an empty tuple: the same as made without arguments."""
    assert cls.from_dict({}) == cls()
    read = message_from_dict({"category": category, "type": kind})
    assert read == cls(category=category, type=kind)
    assert {value for value in vars(read).values() if not isinstance(value, dict)} <= {None, (), category, kind}


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
        has_joined=True,
        conversation_id="group_g1",
        metadata={"a": 1},
        tags=("t",),
        joined_at=1,
        created_at=2,
        updated_at=3,
    )
    assert Group.from_dict({}) == Group("")


@pytest.mark.parametrize(
    "category, kind, cls",
    [
        ("message", None, MediaMessage),
        ("message", ["text"], MediaMessage),
        (None, "text", BaseMessage),
        (5, "text", BaseMessage),
        (["message"], "text", BaseMessage),
        ({"message": 1}, "text", BaseMessage),
        ("Message", "text", BaseMessage),
    ],
)
def test_a_message_of_no_known_kind_is_still_one(category: Any, kind: Any, cls: Any) -> None:
    """A category or type that nobody knows, or of another JSON type."""
    assert type(message_from_dict({"category": category, "type": kind})) is cls


@pytest.mark.parametrize(
    "entity, result",
    [
        ({"uid": "u"}, User("u")),
        ({"uid": 5}, User("5")),
        ({"guid": "g"}, None),  # a group sends nothing
        ({"uid": ""}, None),
        ({"uid": None}, None),
        ({"uid": ["u"]}, None),
        ({}, None),
        ("u", None),
        (None, None),
    ],
    ids=repr,
)
def test_the_sender_is_the_entity_or_else_the_uid(entity: Any, result: Any) -> None:
    """Where the entity says nothing of use, the plain ``sender`` is there; where neither does, it is None."""
    message = {"data": {"entities": {"sender": {"entity": entity}}}}
    assert BaseMessage.from_dict(message).sender == result
    assert BaseMessage.from_dict({**message, "sender": "plain"}).sender == (result or User("plain"))
    assert BaseMessage.from_dict({**message, "sender": ["plain"]}).sender == result


@pytest.mark.parametrize(
    "entity, result",
    [({"guid": "g", "uid": "u"}, Group("g")), ({"guid": [], "uid": "u"}, User("u")), ({"guid": ""}, None), ([], None)],
    ids=repr,
)
def test_a_receiver_is_a_group_or_a_user(entity: Any, result: Any) -> None:
    """By what it has; one that has nothing of use is None."""
    assert BaseMessage.from_dict({"data": {"entities": {"receiver": {"entity": entity}}}}).receiver == result


@each
def test_no_repr_shows_a_secret(model: Any) -> None:
    """Neither a model's nor those of the models in it, nor its text."""
    assert SECRET not in repr(model) + str(model)


@each
def test_raw_holds_no_secret_of_its_own(model: Any) -> None:
    """What came is kept, unknown fields too, but no credential."""
    assert SECRET not in str({key: value for key, value in model.raw.items() if not isinstance(value, (dict, list))})
    assert model.raw


@each
def test_a_model_can_not_be_changed(model: Any) -> None:
    """Every model is frozen."""
    for field in dataclasses.fields(model):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(model, field.name, None)


@each
@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model)), dataclasses.replace],
    ids=["copy", "deepcopy", "pickle", "replace"],
)
def test_a_model_can_be_copied(model: Any, duplicate: Callable[[Any], Any]) -> None:
    """With every field, raw too; the copy is equal, has the same hash, and is of the same class."""
    other = duplicate(model)
    assert type(other) is type(model) and vars(other) == vars(model)
    assert other == model and hash(other) == hash(model) and len({other, model}) == 1


@each
def test_equality_goes_by_every_field_but_raw(model: Any) -> None:
    """Another value in any field is another model; another ``raw`` (or auth token) is not."""
    for field in dataclasses.fields(model):
        other = dataclasses.replace(model, **{field.name: {"another": 1}})
        assert (other == model) is (field.name in ("raw", "auth_token")), field.name
    assert model != dict(vars(model)) and model is not None


def test_models_of_two_classes_differ() -> None:
    """An empty text message is no empty custom message, and not the plain one."""
    empty = [BaseMessage(), TextMessage(), MediaMessage(), CustomMessage(), InteractiveMessage(), CardMessage()]
    empty += [Action(), Call()]
    assert all((one == other) is (one is other) for one in empty for other in empty)


@each
def test_two_models_share_nothing(model: Any) -> None:
    """The mappings of a model made without any are its own."""
    cls = type(model)
    one, other = (cls("x") if cls in (User, Group) else cls() for _ in range(2))
    for field in dataclasses.fields(cls):
        value = getattr(one, field.name)
        assert not isinstance(value, dict) or value is not getattr(other, field.name)


def test_what_was_read_can_be_changed_afterwards() -> None:
    """metadata, custom data and raw are the message's own mappings."""
    wire = on_the_wire("custom", "location", customData={"lat": 1})
    message = message_from_dict(wire)
    assert isinstance(message, CustomMessage)
    wire["data"]["customData"]["lat"] = 2
    wire["data"]["metadata"]["m"] = 2
    wire["new"] = 1
    assert (message.custom_data, message.metadata) == ({"lat": 1}, {"m": 1}) and "new" not in message.raw


def test_a_message_to_send_is_made_by_name() -> None:
    """What ``send_message`` takes can be made with keywords, and knows what it was given."""
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
KEYS = sorted({*COMMON, *GROUP_WIRE, *ATTACHMENT, "category", "type", "data"})


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), JSON, max_size=12))
def test_any_json_object_is_a_model(data: Dict[str, Any]) -> None:
    """Whatever the service sends, reading it as any model raises nothing, and it can be shown, hashed and pickled."""
    for read in READERS:
        model: Any = read(data)  # type: ignore[operator]
        repr(model), hash(model), pickle.dumps(model)
        assert all(value is None or not isinstance(value, (list, float)) for value in vars(model).values())
