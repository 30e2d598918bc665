"""Every field of every model, against a hand-written table: as number and text, present, null and absent."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any, Dict, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_shapes import NOTHING, SHAPES, VALUES, Shape


def put(data: Dict[str, Any], way: Tuple[str, ...], value: Any) -> None:
    for key in way[:-1]:
        data = data.setdefault(key, {})
    data[way[-1]] = value


@pytest.mark.parametrize("kind", sorted(SHAPES))
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


@settings(deadline=None, derandomize=True, max_examples=300)
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
