"""Every field of every model, against two hand-written tables: as number and text, present, null and absent.

``model_shapes`` says what each model's field is. ``shapes_table`` says what the service sends; it is the table for the
sandbox's answers and frames too.
"""

from __future__ import annotations

import dataclasses
import json
import pickle
from typing import Any, Callable, Dict, Iterator, Tuple

from hypothesis import given
from hypothesis import strategies as st
from model_shapes import NOTHING, SHAPES, VALUES, Shape
from rows import each_row
from sandbox import shapes_table

from cometchat import Attachment, Conversation, Group, Interaction, ReactionCount, User
from cometchat._protocol._delivery import Self, deliver
from cometchat._protocol._frames import ServerEvent
from cometchat.models._message import message_from_dict


def put(data: Dict[str, Any], way: Tuple[str, ...], value: Any) -> None:
    for key in way[:-1]:
        data = data.setdefault(key, {})
    data[way[-1]] = value


@each_row("kind", sorted(SHAPES))
def test_each_field_is_read_alone(kind: str) -> None:
    """Each value of each field is read as the table says, without other fields."""
    read, base, shapes = SHAPES[kind]
    assert shapes
    for shape in shapes:
        for sent, expected in [*VALUES[shape.kind], (None, NOTHING.get(shape.kind))]:
            data: Dict[str, Any] = dict(base)
            put(data, shape.wire, sent)
            got = getattr(read(data), shape.name)
            assert got == expected and type(got) is type(expected), (shape, sent, got)
        assert getattr(read(dict(base)), shape.name) == NOTHING.get(shape.kind), (shape, "absent")


ABSENT = object()


def drawn(shape: Shape) -> st.SearchStrategy[Any]:
    return st.sampled_from([*VALUES[shape.kind], (None, NOTHING.get(shape.kind)), (ABSENT, NOTHING.get(shape.kind))])


@given(st.data())
def test_the_fields_do_not_disturb_one_another(data: st.DataObject) -> None:
    """In any mixture of values every field is the same as alone. The model can be shown, hashed and pickled."""
    read, base, shapes = SHAPES[data.draw(st.sampled_from(sorted(SHAPES)))]
    chosen = {shape: data.draw(drawn(shape)) for shape in shapes}
    wire: Dict[str, Any] = dict(base)
    for shape, (sent, _) in chosen.items():
        if sent is not ABSENT:
            put(wire, shape.wire, sent)
    model = read(wire)
    for shape, (_, value) in chosen.items():
        assert getattr(model, shape.name) == value, shape
    repr(model), hash(model), dataclasses.asdict(model)
    assert pickle.loads(pickle.dumps(model)) == model


def test_the_table_names_every_plain_field_of_the_models() -> None:
    """A new field without a row in the table fails this test. Models inside of models have separate tests."""
    inner = {"id", "uid", "guid", "raw", "data", "category", "type", "status"}
    models = ("sender", "receiver", "quoted_message", "mentions", "reactions", "attachments", "interactions", "card")
    entities = ("elements", "tool_calls", "initiator", "call_receiver", "action_by", "action_on", "action_for")
    conversation = ("conversation_with", "last_message")
    for kind, (read, base, shapes) in SHAPES.items():
        names = {field.name for field in dataclasses.fields(read(base))}
        left = names - {shape.name for shape in shapes} - inner - {*models, *entities, *conversation}
        assert left <= ({"action"} if kind == "call audio" else set()), kind


# The table of the sandbox's answers and frames.


def _event(kind: str) -> Callable[[Dict[str, Any]], Any]:
    """Read the body of a frame: the method that is called, and what it gets."""

    def read(body: Dict[str, Any]) -> Any:
        delivery = deliver(ServerEvent(kind, body, "42", "me", "user", "other"), Self("mine", "me"))
        assert delivery is not None
        return delivery.method, () if delivery.method == "on_event" else delivery.args

    return read


def _message(category: str, kind: str) -> Callable[[Dict[str, Any]], Any]:
    """Read the data of a message. ``data`` itself is what arrived, so it is left out."""

    def read(data: Dict[str, Any]) -> Any:
        message = message_from_dict({"id": "1", "category": category, "type": kind, "data": data})
        return type(message), {each.name: getattr(message, each.name) for each in _compared(message)}

    return read


def _compared(model: Any) -> Iterator[Any]:
    return (each for each in dataclasses.fields(model) if each.name not in ("raw", "data"))


def _call(call: Dict[str, Any]) -> Any:
    return _message("call", "audio")({"entities": {"on": {"entity": call, "entityType": "call"}}})


#: Reader, kind of the table.
READERS = [
    *((User.from_dict, kind) for kind in ("user", "socket_user")),
    (Group.from_dict, "group"),
    (Conversation.from_dict, "conversation"),
    (Attachment.from_dict, "attachment"),
    (ReactionCount.from_dict, "reaction_count"),
    (Interaction.from_dict, "interaction"),
    *((message_from_dict, kind) for kind in ("message", "group_action", "message_action", "call_message")),
    *((_message("message", kind), "message_data") for kind in ("text", "image", "custom")),
    *((_message(category, "x"), "message_data") for category in ("custom", "interactive", "card")),
    *((_message("agentic", kind), "message_data") for kind in ("assistant", "tool-result", "tool-arguments")),
    (_call, "call"),
    (_event("reaction"), "reaction_event"),
    (_event("receipts"), "receipt"),
    (_event("typing_indicator"), "typing"),
    (_event("transient_message"), "transient"),
    (_event("presence"), "presence"),
    (_event("interaction_completed"), "interaction_event"),
    (_event("streamed_message"), "stream_event"),
    (_event("message_pin"), "pin_event"),
    (_event("conversation_pin"), "conversation_pin_event"),
]


def _forms(written: str) -> Tuple[Any, ...]:
    """Return forms of one value that mean the same."""
    if written in ("id", "uid", "number", "seconds", "milliseconds"):
        return 1_795_866_833, "1795866833"
    if written == "object":
        value = {"key": {"a": [1]}}
        return value, json.dumps(value)
    return ({"flag": (True, 1, "true")}).get(written, ())


@each_row("number", range(len(READERS)))
def test_what_the_service_sends_is_read_in_every_form(number: int) -> None:
    """A number and its text, an object and its JSON text are the same; null is the same as absent."""
    read, kind = READERS[number]
    whole = shapes_table.sample(kind)
    for field in shapes_table.fields(kind):
        forms = [read({**whole, field.name: form}) for form in _forms(field.type)]
        assert all(form == forms[0] for form in forms), field
        absent = {name: value for name, value in whole.items() if name != field.name}
        assert read({**whole, field.name: None}) == read(absent), field


#: Fields that make no difference to a model: the sandbox's own, those of lists that the SDK does not fetch, and those
#: whose value the sample has in another place too, from where it is read.
UNREAD = {
    *(("call", name) for name in ("conversationId", "data", "endedAt", "initiator", "receiver", "receiverType")),
    ("call", "type"),
    *((kind, "sender") for kind in ("message", "call_message", "group_action", "message_action")),
    *(("user", name) for name in ("bannedAt", "joinedAt", "scope")),
    *(("message_data", name) for name in ("caption", "resource")),
    ("conversation", "conversationWith"),
    ("group", "members"),
    ("interaction_event", "timestamp"),
    ("message", "receipts"),
    ("pin_event", "pinnedBy"),
    ("presence", "timestamp"),
    ("reaction_event", "uid"),
}


def test_the_models_read_what_the_service_sends() -> None:
    """Each field of the table makes a difference to a model, apart from the listed ones."""
    unread = {(kind, field.name) for _, kind in READERS for field in shapes_table.fields(kind)}
    for read, kind in READERS:
        whole = {"quotedMessage": {"id": "2"}, **shapes_table.sample(kind)}
        for name in [name for of, name in unread if of == kind]:
            if read({key: value for key, value in whole.items() if key != name}) != read(whole):
                unread.remove((kind, name))
    assert unread == UNREAD
