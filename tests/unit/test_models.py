"""The models accept much, and show no secrets."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import each_row

from cometchat import User

WIRE = {
    "uid": "uid1",
    "name": "Andrew",
    "avatar": "https://x/a.png",
    "link": "https://x",
    "role": "default",
    "status": "online",
    "statusMessage": "hi",
    "metadata": {"a": 1},
    "tags": ["t1", "t2"],
    "lastActiveAt": 1,
    "createdAt": 2,
    "updatedAt": 3,
    "deactivatedAt": 4,
    "hasBlockedMe": True,
    "blockedByMe": False,
    "blockedAt": 5,
    "blockedByMeAt": 6,
    "conversationId": "c1",
    "authToken": "s3cret-token",
    "jwt": "s3cret-jwt",
    "fat": "s3cret-fat",
    "wsChannel": {"identity": "i", "secret": "s3cret-channel", "service": "s"},
    "somethingNew": [1],
}


def test_every_field_is_read():
    """The vendor's fields, in snake_case, have the received values."""
    user = User.from_dict(WIRE)
    read = {field.name: getattr(user, field.name) for field in dataclasses.fields(user) if field.name != "raw"}
    assert read == {
        "uid": "uid1",
        "name": "Andrew",
        "avatar": "https://x/a.png",
        "link": "https://x",
        "role": "default",
        "status": "online",
        "status_message": "hi",
        "metadata": {"a": 1},
        "tags": ("t1", "t2"),
        "last_active_at": 1,
        "created_at": 2,
        "updated_at": 3,
        "deactivated_at": 4,
        "has_blocked_me": True,
        "blocked_by_me": False,
        "blocked_at": 5,
        "blocked_by_me_at": 6,
        "conversation_id": "c1",
    }
    assert user.auth_token == "s3cret-token"


def test_missing_fields_are_none():
    """An empty object gives a user without values, who is offline: None, an empty mapping, an empty tuple."""
    assert User.from_dict({}) == User(uid="", status="offline")
    assert (User(uid="").metadata, User(uid="").tags, User(uid="").name) == ({}, (), None)


@each_row(
    "key, value, field, result",
    [
        ("uid", 5, "uid", "5"),
        ("uid", None, "uid", ""),
        ("uid", True, "uid", ""),
        ("name", ["x"], "name", None),
        ("name", False, "name", None),
        ("createdAt", "1700000000", "created_at", 1700000000),
        ("createdAt", 1700000000.9, "created_at", 1700000000),
        ("createdAt", "yesterday", "created_at", None),
        ("createdAt", "-5", "created_at", None),
        ("createdAt", "٣", "created_at", None),
        ("createdAt", "9" * 5000, "created_at", None),
        ("createdAt", float("nan"), "created_at", None),
        ("createdAt", float("inf"), "created_at", None),
        ("createdAt", True, "created_at", None),
        ("createdAt", 0, "created_at", None),
        ("createdAt", "0", "created_at", None),
        ("createdAt", -5, "created_at", None),
        ("uid", 10**200, "uid", ""),
        ("status", "available", "status", "online"),
        ("status", "online", "status", "online"),
        ("status", "away", "status", "away"),
        ("status", "", "status", "offline"),
        ("status", None, "status", "offline"),
        ("status", [], "status", "offline"),
        ("metadata", '{"a": {"b": 1}}', "metadata", {"a": {"b": 1}}),
        ("metadata", ' {"a": 1}', "metadata", {"a": 1}),
        ("metadata", '{"a": ', "metadata", {}),
        ("metadata", '{"a": ' * 2000, "metadata", {}),
        ("metadata", '{"a": %s}' % ("9" * 5000), "metadata", {}),
        ("metadata", "text", "metadata", {}),
        ("metadata", "{}", "metadata", {}),
        ("metadata", [1], "metadata", {}),
        ("tags", "t1", "tags", ()),
        ("tags", ["t1", 5, None], "tags", ("t1",)),
        ("hasBlockedMe", 1, "has_blocked_me", True),
        ("hasBlockedMe", 0, "has_blocked_me", False),
        ("hasBlockedMe", "true", "has_blocked_me", True),
        ("hasBlockedMe", "0", "has_blocked_me", False),
        ("hasBlockedMe", "maybe", "has_blocked_me", None),
        ("hasBlockedMe", 1.0, "has_blocked_me", None),
    ],
)
def test_a_field_of_another_type_is_none_or_read_if_that_is_safe(key, value, field, result):
    """Numbers in texts and the like are read. Any other value is None, never an exception."""
    assert getattr(User.from_dict({"uid": "u", key: value}), field) == result


def test_the_raw_object_is_kept_without_its_secrets():
    """raw has all received fields, also unknown ones, but no token and not the channel, which has a secret."""
    raw = User.from_dict(WIRE).raw
    assert raw == {key: value for key, value in WIRE.items() if key not in ("authToken", "jwt", "fat", "wsChannel")}


def test_the_repr_shows_no_secret():
    """The auth token can be read, but is not logged with its user."""
    user = User.from_dict(WIRE)
    assert user.auth_token == "s3cret-token"
    assert "s3cret" not in repr(user) + str(user)


def test_a_user_can_not_be_changed():
    """A user is frozen."""
    user = User.from_dict(WIRE)
    with pytest.raises(dataclasses.FrozenInstanceError):
        user.name = "other"


def test_two_reads_of_the_same_object_are_equal():
    """Equality and hash depend on the user's fields, and not on the token or unknown fields."""
    other = User.from_dict({**WIRE, "authToken": "another", "somethingNew": 5})
    assert User.from_dict(WIRE) == other and hash(User.from_dict(WIRE)) == hash(other)
    assert User.from_dict(WIRE) != User.from_dict({**WIRE, "status": "offline"})
    assert User.from_dict(WIRE) != User.from_dict({**WIRE, "metadata": {"a": 2}})


DUPLICATES = [copy.copy, copy.deepcopy, lambda user: pickle.loads(pickle.dumps(user)), dataclasses.replace]


@pytest.mark.parametrize("duplicate", DUPLICATES)
def test_a_copy_of_a_user_has_all_but_the_token(duplicate):
    """Every field and raw are there. The token is not, since a copy may be kept, sent or logged."""
    user = User.from_dict(WIRE)
    other = duplicate(user)
    assert other == user and other.raw == user.raw and other.auth_token is None
    assert "s3cret" not in str(vars(other))


def test_a_user_as_a_dict_or_pickle_shows_no_secret():
    """Users put asdict() and a pickle into caches and answers."""
    user = User.from_dict(WIRE)
    assert "s3cret" not in str(dataclasses.asdict(user)) + str(dataclasses.astuple(user))
    assert b"s3cret" not in pickle.dumps(user)


def test_the_object_that_was_read_can_be_changed_afterwards():
    """metadata and raw are the user's own mappings."""
    data = {"uid": "u", "metadata": {"a": 1}}
    user = User.from_dict(data)
    data["metadata"]["a"] = 2
    data["new"] = 1
    assert user.metadata == {"a": 1} and "new" not in user.raw


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
TYPES = {"uid": str, "metadata": dict, "tags": tuple, "raw": dict}
TIMES = ("last_active_at", "created_at", "updated_at", "deactivated_at", "blocked_at", "blocked_by_me_at")
TYPES.update({name: int for name in TIMES})
TYPES.update({name: bool for name in ("has_blocked_me", "blocked_by_me")})


@given(st.dictionaries(st.sampled_from(sorted(WIRE)) | st.text(max_size=5), JSON, max_size=12))
def test_any_json_object_is_a_user(data):
    """For any JSON object, every field has its type or is None, and the user can be hashed."""
    user = User.from_dict(data)
    for field in dataclasses.fields(user):
        value = getattr(user, field.name)
        optional = field.name not in ("uid", "metadata", "tags", "raw")
        assert (optional and value is None) or type(value) is TYPES.get(field.name, str)
    assert all(type(tag) is str for tag in user.tags)
    hash(user)
