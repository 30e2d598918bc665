"""The frames, compared with those recorded from the vendor's client (tests/data/frames.json)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import each_row

from cometchat._protocol import _frames as frames
from cometchat._protocol._error_codes import ErrorKind
from cometchat._protocol._frames import EVENT_KINDS, AuthAnswer, EventKind, Ignored, Pong, ServerEvent
from cometchat.version import __version__

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "frames.json").read_text("utf-8"))
TO_SERVER = RECORDED["client_to_server"]
TO_CLIENT = RECORDED["server_to_client"]

RESOURCE = "PYTHON-0_1_0-00000000-0000-4000-8000-000000000000-1700000000000"
DEVICE = "app_00000000-0000-4000-8000-000000000001_1700000000000"
ME = frames.Identity("app", "uid1", RESOURCE, DEVICE, "0.1.0")
USER = {"uid": "uid1", "name": "UID1", "role": "default", "status": "online"}


def auth(subscription_type, roles=()):
    return frames.encode_auth(ME, "header.payload.signature", subscription_type, roles, 1700000000000)


def receipt(action):
    return frames.encode_receipt(ME, "uid2", "user", USER, action=action, message_id="5", message_sender="uid2")


ENCODERS = {
    "auth_all_users": lambda: auth("ALL_USERS"),
    "auth_roles": lambda: auth("ROLES", ("a", "b")),
    "auth_friends": lambda: auth("FRIENDS"),
    "auth_none": lambda: auth("NONE"),
    "ping": lambda: frames.PING,
    "typing_started": lambda: frames.encode_typing(ME, "uid2", "user", USER, started=True, metadata={"a": 1}),
    "typing_ended": lambda: frames.encode_typing(ME, "g1", "group", USER, started=False),
    "transient_message": lambda: frames.encode_transient_message(ME, "uid2", "user", USER, {"like": 1}),
    "receipt_delivered": lambda: receipt("delivered"),
    "receipt_read": lambda: receipt("read"),
}


def test_every_recorded_frame_of_a_client_has_its_encoder():
    """No recorded frame is left out of the next test."""
    assert set(ENCODERS) == set(TO_SERVER)


@each_row("name", sorted(TO_SERVER))
def test_each_frame_to_the_server_is_the_recorded_one(name):
    """The SDK sends the recorded frames of the vendor's client, apart from the user agent."""
    frame = json.loads(ENCODERS[name]())
    if frame.get("type") == "auth":
        assert frame["body"]["params"].pop("userAgent") == "cometchat-python/0.1.0"
        recorded = json.loads(json.dumps(TO_SERVER[name]))
        del recorded["body"]["params"]["userAgent"]
        assert frame == recorded
    else:
        assert frame == TO_SERVER[name]


@pytest.mark.parametrize("subscription_type, expected", [("ALL_USERS", False), ("FRIENDS", False), ("ROLES", True)])
def test_roles_go_with_the_roles_subscription_only(subscription_type, expected):
    """The key ``roles`` is absent without ROLES, as in the vendor's client."""
    body = json.loads(auth(subscription_type, ("a",)))["body"]
    assert ("roles" in body) is expected
    assert body["presenceSubscription"] == subscription_type


@each_row("text", ["Zoë", "日本", "💬", 'quote " and \\', "line\nbreak", "\u2028"])
def test_text_goes_through_a_frame_unchanged(text):
    """Any text comes out of the frame unchanged."""
    frame = frames.encode_transient_message(ME, "uid2", "user", USER, {"text": text})
    assert json.loads(frame)["body"]["data"]["text"] == text


def test_the_http_bodies_name_this_sdk():
    """appInfo has only version, apiVersion and userAgent."""
    assert frames.app_info(__version__) == {
        "version": __version__,
        "apiVersion": "v3.0",
        "userAgent": f"cometchat-python/{__version__}",
    }
    assert frames.PLATFORM == "python"


@each_row("as_bytes", [True, False])
@each_row("name", sorted(TO_CLIENT))
def test_each_frame_of_the_server_is_read(name, as_bytes):
    """Every recorded frame of the server is decoded, from bytes and from text, into the event of its kind."""
    recorded = TO_CLIENT[name]
    text = json.dumps(recorded)
    event = frames.decode(text.encode() if as_bytes else text)
    if name == "auth_ok":
        assert event == AuthAnswer("200", "OK", None) and event.accepted
    elif name == "pong":
        assert isinstance(event, Pong)
    else:
        assert event == ServerEvent(
            recorded["type"],
            recorded["body"],
            recorded.get("sender"),
            recorded.get("receiver"),
            recorded.get("receiverType"),
            recorded.get("deviceId"),
        )


def test_stored_ephemeral_and_kept_frames():
    """Only messages and moderation are stored, and only five types may be dropped. wire-protocol 3.3 and 3.5."""
    assert {kind for kind, what in EVENT_KINDS.items() if what is EventKind.STORED} == {
        "message",
        "on_moderation_status_changed",
    }
    assert {kind for kind, what in EVENT_KINDS.items() if what is EventKind.EPHEMERAL} == {
        *("presence", "typing_indicator", "transient_message", "receipts", "reaction"),
    }
    assert {kind for kind, what in EVENT_KINDS.items() if what is EventKind.KEPT} == {
        *("interaction_completed", "streamed_message", "notification_feed_item", "pin", "save"),
        *("message_pin", "message_save", "message_pinned", "message_unpinned", "message_saved", "message_unsaved"),
        *("conversation_pin", "conversation_pinned", "conversation_unpinned"),
    }


@each_row("kind", [*sorted(EVENT_KINDS), "brand_new"])
def test_an_envelope_may_lack_everything_but_its_body(kind):
    """Presence has no receiver: a field that is absent, or of another type, is None. A type may be unknown."""
    envelope = {"sender": [], "receiver": None, "deviceId": True}
    event = frames.decode(json.dumps({"type": kind, "body": {"a": 1}, **envelope}))
    assert event == ServerEvent(kind, {"a": 1}, None, None, None, None, None, None)


@pytest.mark.parametrize("body", ["", ',"body":null', ',"body":[1]', ',"body":"text"'])
def test_a_frame_of_an_unknown_type_needs_no_body(body):
    """It goes to the EventListener, which shows that the frame arrived."""
    event = frames.decode(f'{{"type":"brand_new","sender":5{body}}}'.encode())
    assert isinstance(event, ServerEvent)
    assert (event.type, event.body, event.sender) == ("brand_new", {}, "5")


def test_the_ids_of_an_envelope_may_be_numbers():
    """Users, groups and devices may be named by a number, which is read as its digits."""
    envelope = {"sender": 42, "receiver": 0, "receiverType": "user", "deviceId": 7, "messageSender": 8}
    event = frames.decode(json.dumps({"type": "receipts", "body": {}, **envelope, "action": "saved"}))
    assert event == ServerEvent("receipts", {}, "42", "0", "user", "7", "8", "saved")


@each_row("more", [{}, {"type": None}, {"type": "message", "body": {}}, {"type": 5}, {"ack": True}])
@each_row("action", ["pong", "PONG"])
def test_any_frame_with_the_action_pong_is_a_pong(action, more):
    """The vendor's clients read the action before the type."""
    assert isinstance(frames.decode(json.dumps({"action": action, **more})), Pong)


@each_row(
    "body, accepted, kind",
    [
        ({"code": "200", "status": "OK"}, True, None),
        ({"code": "200"}, True, None),
        ({"code": 200}, True, None),
        ({"status": "OK"}, True, None),
        ({"status": "ok"}, True, None),
        ({"status": "ERROR"}, False, ErrorKind.CREDENTIAL),
        ({}, False, ErrorKind.CREDENTIAL),
        ({"code": True}, False, ErrorKind.CREDENTIAL),
        ({"code": None, "status": None}, False, ErrorKind.CREDENTIAL),
        ({"code": "401", "status": "OK"}, False, ErrorKind.CREDENTIAL),
        ({"code": 401, "status": "ERROR", "message": "no"}, False, ErrorKind.CREDENTIAL),
        ({"code": "2000"}, False, ErrorKind.CREDENTIAL),
        ({"code": "AUTH_ERR_TOKEN"}, False, ErrorKind.CREDENTIAL),
        ({"code": "ERR_BRAND_NEW"}, False, ErrorKind.CREDENTIAL),
        ({"code": "ERR_MISSION_FAILED"}, False, ErrorKind.TEMPORARY),
        ({"code": "ERR_SUBSCRIPTION_EXPIRED"}, False, ErrorKind.OPERATOR),
        ({"code": "ERR_PLAN_BRAND_NEW"}, False, ErrorKind.OPERATOR),
        ({"code": "ERR_TOO_MANY_REQUESTS"}, False, ErrorKind.RATE_LIMIT),
        ({"code": "500"}, False, ErrorKind.TEMPORARY),
        ({"code": 503}, False, ErrorKind.TEMPORARY),
        ({"code": "429"}, False, ErrorKind.TEMPORARY),
        ({"code": "408"}, False, ErrorKind.TEMPORARY),
        ({"code": "5000"}, False, ErrorKind.CREDENTIAL),
        ({"code": "5xx"}, False, ErrorKind.CREDENTIAL),
    ],
)
def test_the_meaning_of_an_answer_to_auth(body, accepted, kind):
    """200, or OK without any code, is acceptance. 5xx, 408 and 429 are failures of the server.

    The code decides in other cases.
    """
    answer = frames.decode(json.dumps({"type": "auth", "body": body}))
    assert isinstance(answer, AuthAnswer)
    assert answer.accepted is accepted and (accepted or answer.kind is kind)


@pytest.mark.parametrize("frame", ['{"type":"auth"}', '{"type":"auth","body":null}', '{"type":"auth","body":"200"}'])
def test_an_answer_to_auth_without_a_body_is_not_an_acceptance(frame):
    """The server has answered without accepting, so the client does not wait for the time limit."""
    answer = frames.decode(frame)
    assert isinstance(answer, AuthAnswer) and not answer.accepted and answer.kind is ErrorKind.CREDENTIAL


MALFORMED = {
    "nothing": b"",
    "white space": b"  ",
    "no JSON": b"hello",
    "half of a frame": b'{"type":"presence","body":{"action"',
    "two frames": b'{"action":"pong"}{"action":"pong"}',
    "not UTF-8": b'{"type":"\xff\xfe\xfd"}',
    "zero bytes": b"\x00" * 40,
    "a number": b"5",
    "null": b"null",
    "a list": b'[{"action":"pong"}]',
    "a string": b'"pong"',
    "an empty object": b"{}",
    "another action": b'{"action":"ping"}',
    "a type that is a number": b'{"type":5,"body":{}}',
    "a type that is a list": b'{"type":[],"body":{}}',
    "no body": b'{"type":"presence"}',
    "a body that is null": b'{"type":"message","body":null}',
    "a body that is a list": b'{"type":"receipts","body":[]}',
    "a body that is text": b'{"type":"message","body":"200"}',
    "an action that is a list": b'{"action":["pong"]}',
    "an empty type": b'{"type":"","body":{}}',
    "nested lists": b"[" * 100_000,
    "nested objects": b'{"a":' * 100_000,
    "a number of 10,000 digits": b'{"type":"auth","body":{"code":' + b"9" * 10_000 + b"}}x",
}


@each_row(
    "value, expected, number",
    [
        (7, "7", 7),
        ("9" * 39, "9" * 39, int("9" * 39)),
        ("9" * 40, "9" * 40, -1),  # int() refuses longer texts
        ("x" * 100, "x" * 100, -1),
        ("x" * 101, None, -1),
        ("\ud800", None, -1),
        (None, None, -1),
    ],
)
def test_the_id_of_a_message_and_its_number(value, expected, number):
    """A message without a usable id is still delivered."""
    assert (frames.id_of({"id": value}), frames.rank(expected or "")) == (expected, number)


@each_row("data", MALFORMED.values())
def test_unknown_frames_are_ignored_with_a_reason(data):
    """A senseless frame does not end the connection: it is Ignored, with a short reason."""
    event = frames.decode(data)
    assert isinstance(event, Ignored)
    assert 0 < len(event.reason) < 100


@each_row("value", [10**30, 1e308, float("inf"), "x" * 100_000, [1], {"a": 1}])
def test_an_odd_code_in_an_answer_to_auth_is_refusal(value):
    """No odd code counts as acceptance, and its text is cut."""
    answer = frames.decode(json.dumps({"type": "auth", "body": {"code": value, "status": "ERROR"}}))
    assert isinstance(answer, AuthAnswer) and not answer.accepted
    assert answer.code is None or len(answer.code) <= 80


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FRAME_LIKE = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(sorted(EVENT_KINDS) + ["auth", "other"]) | JSON,
        "action": st.just("pong") | JSON,
        "body": st.dictionaries(st.sampled_from(["code", "status", "message", "user"]), JSON) | JSON,
        "sender": JSON,
        "receiver": JSON,
        "receiverType": JSON,
        "deviceId": JSON,
    },
)


@given(st.binary(max_size=200) | st.text(max_size=200) | FRAME_LIKE.map(json.dumps) | JSON.map(json.dumps))
def test_decode_never_raises(data):
    """For any bytes, text, JSON or mixture of a frame's parts, an event is returned, with the declared types."""
    event = frames.decode(data)
    assert isinstance(event, (AuthAnswer, Pong, ServerEvent, Ignored))
    if isinstance(event, ServerEvent):
        assert event.type and event.type != "auth" and type(event.body) is dict
        assert all(part is None or type(part) is str for part in event[2:])
    if isinstance(event, AuthAnswer):
        assert all(part is None or type(part) is str for part in event)
        assert not (event.accepted and event.transient)


@given(st.data())
def test_a_recorded_frame_that_is_cut_or_bent_never_raises(data):
    """A frame that was damaged on its way, at any byte, is an event or Ignored."""
    text = json.dumps(data.draw(st.sampled_from(sorted(TO_CLIENT.items())))[1]).encode()
    at = data.draw(st.integers(0, len(text)))
    bent = text[:at] + data.draw(st.binary(max_size=4)) + text[at + data.draw(st.integers(0, 4)) :]
    assert isinstance(frames.decode(bent), (AuthAnswer, Pong, ServerEvent, Ignored))
    assert isinstance(frames.decode(text[:at]), Ignored) or at == len(text)


def test_an_identity_holds_no_secret():
    """The log may contain a client's names on the wire."""
    assert set(frames.Identity._fields) == {"app_id", "uid", "resource", "device_id", "sdk_version"}
