"""The messages and frames that a client sends, and their arrival at the other side."""

from __future__ import annotations

import json
import re
import threading
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import pytest

from cometchat import (
    BaseMessage,
    Client,
    CometChatException,
    CometChatWSState,
    CustomMessage,
    InvalidArgumentException,
    MediaMessage,
    MessageListener,
    TextMessage,
    User,
)
from cometchat._protocol._frames import Heartbeat, Identity
from cometchat._runtime.account._session import Session
from cometchat._runtime.messages._sender import TYPING_INTERVAL, Sender
from cometchat.sandbox import Sandbox

from .conftest import DEADLINE, OTHER_UID, UID, Party, Recorder, _Recording

RECORDED: Dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "frames.json").read_text("utf-8"))[
    "client_to_server"
]
NAME, OTHER_NAME = "Andrew Joseph", "George Alan"


class MessageRecorder(_Recording, MessageListener):
    """A MessageListener that records every method."""


def _recording(method: str) -> Callable[[MessageRecorder, Any], None]:
    return lambda self, argument: self.note(method, argument)


for _method in [name for name in vars(MessageListener) if name.startswith("on_")]:
    setattr(MessageRecorder, _method, _recording(_method))


def listen(client: Client) -> MessageRecorder:
    recorder = MessageRecorder()
    client.add_message_listener("heard", recorder)
    return recorder


class Pair(Party):
    """Two users of one sandbox, both connected, with the messages of each."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        self.me, self.my_connection = self.connected()
        self.mine = listen(self.me)
        self.other = self.as_other()
        self.theirs = listen(self.other)
        assert sandbox.wait_for_connections(2)

    def as_other(self, uid: str = OTHER_UID) -> Client:
        client = self.client()
        client.login(uid, self._sandbox.auth_key)
        client.connect(DEADLINE)
        return client


@pytest.fixture
def pair(sandbox: Sandbox) -> Iterator[Pair]:
    """The pair: me and the other user."""
    both = Pair(sandbox)
    yield both
    both.close()


def text(**fields: Any) -> TextMessage:
    return TextMessage(**{"receiver_id": OTHER_UID, "receiver_type": "user", "text": "hello", **fields})


def custom(**fields: Any) -> CustomMessage:
    given = {"receiver_id": OTHER_UID, "receiver_type": "user", "type": "location", "custom_data": {"lat": 1.5}}
    return CustomMessage(**{**given, **fields})


def sent_frames(sandbox: Sandbox, *kinds: str) -> List[Dict[str, Any]]:
    """Return the clients' frames of some types, or all but auth and pings."""
    frames = [frame for _, frame in sandbox.frames if frame.get("type") not in (None, "auth")]
    return [frame for frame in frames if not kinds or frame["type"] in kinds]


def nothing_was_sent(sandbox: Sandbox, client: Client) -> bool:
    """Assert that only pings have reached the server: a ping sent now arrives after all earlier frames."""
    client.ping(DEADLINE)
    return sent_frames(sandbox) == []


# Messages.


def test_a_text_message_arrives(sandbox: Sandbox, pair: Pair) -> None:
    """``send_message`` returns the stored message.

    The other user's listener gets the same, and one's own gets nothing.
    """
    words = "Zo\u00eb \U0001f4ac \u65e5\u672c"
    stored = pair.me.send_message(text(text=words, metadata={"a": [1, None]}, tags=("t1", "t2")))
    assert isinstance(stored, TextMessage) and stored.id and stored.sent_at
    assert (stored.text, stored.category, stored.type) == (words, "message", "text")
    assert (stored.receiver_id, stored.receiver_type, stored.tags) == (OTHER_UID, "user", ("t1", "t2"))
    assert stored.metadata == {"a": [1, None]}
    assert stored.sender is not None and (stored.sender.uid, stored.sender.name) == (UID, NAME)
    got = pair.theirs.wait_for("on_text_message_received").argument
    assert got == stored
    pair.me.ping(DEADLINE)
    assert pair.mine.names == []


def test_a_custom_message_arrives(sandbox: Sandbox, pair: Pair) -> None:
    """The message arrives with its own type, its data and its sub type."""
    stored = pair.me.send_message(custom(sub_type="pin", metadata={"a": 1}))
    assert isinstance(stored, CustomMessage)
    assert (stored.category, stored.type, stored.sub_type) == ("custom", "location", "pin")
    assert (stored.custom_data, stored.metadata) == ({"lat": 1.5}, {"a": 1})
    assert pair.theirs.wait_for("on_custom_message_received").argument == stored


@pytest.mark.parametrize("yes", [True, False])
def test_the_flags_and_the_text_of_a_custom_message_arrive(sandbox: Sandbox, pair: Pair, yes: bool) -> None:
    """They decide what a list of conversations shows, and whether the service sends a push notification."""
    fields = {"conversation_text": "a place", "update_conversation": yes, "send_notification": yes}
    stored = pair.me.send_message(custom(**fields))
    assert {name: getattr(stored, name) for name in fields} == fields
    assert pair.theirs.wait_for("on_custom_message_received").argument == stored
    # The keys that the vendor's clients read.
    data = {key: sandbox.messages[0]["data"].get(key) for key in ("text", "updateConversation", "sendNotification")}
    assert data == {"text": "a place", "updateConversation": yes, "sendNotification": yes}


@pytest.mark.parametrize("by", ["id", "message", "outbox"])
def test_a_message_quotes_another_one(sandbox: Sandbox, pair: Pair, by: str) -> None:
    """``quoted_message_id`` or ``quoted_message`` goes with the message. The receiver gets the quoted message."""
    quoted = pair.other.send_text("what?", uid=UID)
    quotes = {"quoted_message_id": quoted.id} if by == "id" else {"quoted_message": quoted}
    if by == "outbox":
        pair.me.outbox.put(text(**quotes))
    else:
        stored = pair.me.send_message(text(**quotes))
        assert stored.quoted_message_id == quoted.id
    got = pair.theirs.wait_for("on_text_message_received").argument
    assert got.quoted_message_id == quoted.id
    assert isinstance(got.quoted_message, TextMessage) and got.quoted_message.text == "what?"


def test_missing_fields_are_not_sent(sandbox: Sandbox, pair: Pair) -> None:
    """Empty tags, metadata, parents and quotes are not sent."""
    pair.me.send_message(text())
    pair.me.send_message(custom())
    message, other = sandbox.messages
    assert not {"tags", "metadata", "parentId", "parentMessageId", "quotedMessageId"} & set(message)
    assert set(message["data"]) == {"text", "resource", "entities"}
    assert set(other["data"]) == {"customData", "resource", "entities"}


def test_a_reply_names_its_parent(sandbox: Sandbox, pair: Pair) -> None:
    """``parent_message_id`` goes with the message, and comes back with it."""
    parent = pair.me.send_message(text())
    reply = pair.me.send_message(text(text="and", parent_message_id=parent.id))
    assert reply.parent_message_id == parent.id
    pair.theirs.wait_for("on_text_message_received", 2)
    assert [call.argument.parent_message_id for call in pair.theirs.calls] == [None, parent.id]


def test_messages_arrive_in_order(sandbox: Sandbox, pair: Pair) -> None:
    """Each of thirty messages arrives once, in the order of their sending."""
    for number in range(30):
        pair.me.send_message(text(text=str(number)))
    pair.theirs.wait_for("on_text_message_received", 30)
    assert [call.argument.text for call in pair.theirs.calls] == [str(number) for number in range(30)]


def test_a_message_that_has_no_muid_gets_one(sandbox: Sandbox, pair: Pair) -> None:
    """Each message without a muid gets a different UUID. The given message does not change."""
    message = text()
    muids = [pair.me.send_message(message).muid for _ in range(2)]
    assert [str(uuid.UUID(muid)) for muid in muids] == muids and len(set(muids)) == 2
    assert [stored["muid"] for stored in sandbox.messages] == muids and message.muid is None


def test_a_muid_is_kept(sandbox: Sandbox, pair: Pair) -> None:
    """A message's own muid is sent, returned, and received by the other user."""
    assert pair.me.send_message(text(muid="mine-1")).muid == "mine-1"
    assert pair.theirs.wait_for("on_text_message_received").argument.muid == "mine-1"


def test_a_message_is_sent_without_a_connection(sandbox: Sandbox, party: Party) -> None:
    """Messages go over HTTP: they need a login, but no socket."""
    client = party.client(auto_establish_socket_connection=False)
    client.login(UID, sandbox.auth_key)
    assert client.send_message(text()).id
    assert len(sandbox.messages) == 1 and sandbox.attempts == []


def test_a_message_is_sent_while_throttled(sandbox: Sandbox, party: Party) -> None:
    """Throttling switches transient features off. Messages work."""
    sandbox.set_mode("NO_TRANSIENT")
    client, heard = party.connected()
    heard.wait_for("on_feature_throttled")
    assert client.send_message(text()).id


def test_sending_from_inside_a_callback(sandbox: Sandbox, pair: Pair) -> None:
    """A listener can send an answer."""
    pair.theirs.hooks["on_text_message_received"] = lambda: pair.other.send_message(text(receiver_id=UID, text="pong"))
    pair.me.send_message(text(text="ping"))
    assert pair.mine.wait_for("on_text_message_received").argument.text == "pong"


def test_ones_own_message_comes_back_to_the_other_device_only(sandbox: Sandbox, pair: Pair) -> None:
    """A message to oneself does not come back to the sending device, and reaches one's second device."""
    second = pair.as_other(UID)
    heard = listen(second)
    stored = pair.me.send_message(text(receiver_id=UID))
    assert heard.wait_for("on_text_message_received").argument == stored
    pair.me.ping(DEADLINE)
    assert pair.mine.names == [] and pair.theirs.names == []


@pytest.mark.parametrize(
    "message, code",
    [(text(receiver_id="nobody"), "ERR_UID_NOT_FOUND"), (text(receiver_id="g", receiver_type="group"), None)],
    ids=["unknown user", "unknown group"],
)
def test_the_servers_refusal_of_a_message_passes_through(
    sandbox: Sandbox, pair: Pair, message: TextMessage, code: Optional[str]
) -> None:
    """The service's code and message are unchanged. Nothing is stored, and the connection is not affected."""
    with pytest.raises(CometChatException) as caught:
        pair.me.send_message(message)
    assert caught.value.code == code or (code is None and not caught.value.code.startswith(("INVALID_", "WS_")))
    assert caught.value.message and caught.value.http_status in (400, 404)
    assert sandbox.messages == [] and pair.me.ping(DEADLINE) > 0


def test_a_rate_limit_on_messages(sandbox: Sandbox, pair: Pair) -> None:
    """429 raises ``ERR_TOO_MANY_REQUESTS`` with the server's number of seconds."""
    sandbox.fail_http(429, retry_after=7, path="/messages")
    with pytest.raises(CometChatException) as caught:
        pair.me.send_message(text())
    assert (caught.value.code, caught.value.retry_after) == ("ERR_TOO_MANY_REQUESTS", 7)


def test_messages_want_a_login(sandbox: Sandbox, party: Party) -> None:
    """Without a login they raise ``USER_NOT_LOGGED_IN``, and after the end ``ERR_CLIENT_CLOSED``."""
    client = party.client(auto_establish_socket_connection=False)
    codes = [_code(lambda: client.send_message(text()))]
    client.login(UID, sandbox.auth_key)
    client.logout()
    codes.append(_code(lambda: client.send_message(text())))
    client.close()
    codes.append(_code(lambda: client.send_message(text())))
    assert codes == ["USER_NOT_LOGGED_IN", "USER_NOT_LOGGED_IN", "ERR_CLIENT_CLOSED"]


def _code(call: Callable[[], Any]) -> Optional[str]:
    try:
        call()
    except CometChatException as error:
        return error.code
    return None


# Frames over the socket.


def received(number: str = "5", receiver_type: str = "user", receiver: str = UID) -> TextMessage:
    """Return a message as a listener gets it."""
    return TextMessage(id=number, sender=User(OTHER_UID), receiver_id=receiver, receiver_type=receiver_type, text="hi")


#: Every call of a client that sends a frame, by the frame's name in the recording.
TRANSIENT: Dict[str, Callable[[Client], None]] = {
    "typing_started": lambda client: client.start_typing(OTHER_UID, metadata={"a": 1}),
    "typing_ended": lambda client: client.end_typing("g1", "group"),
    "transient_message": lambda client: client.send_transient_message(OTHER_UID, "user", {"like": 1}),
    "receipt_delivered": lambda client: client.mark_as_delivered(received()),
    "receipt_read": lambda client: client.mark_as_read(received()),
}


def as_recorded(name: str, sandbox: Sandbox, client: Client) -> Any:
    """Return the recorded frame, with this client's names in place of the recording's."""
    (resource,) = {request.headers["resource"] for request in sandbox.requests}
    device = client.connection_info().device_id
    assert device is not None
    names = {
        "app": sandbox.app_id,
        "uid1": UID,
        "uid2": OTHER_UID,
        "UID1": NAME,
        RECORDED["auth_none"]["deviceId"]: resource,
        RECORDED["auth_none"]["body"]["params"]["deviceId"]: device,
    }

    def named(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: named(inner) for key, inner in value.items()}
        return names.get(value, value) if isinstance(value, str) else value

    return named(RECORDED[name])


@pytest.mark.parametrize("name", sorted(TRANSIENT))
def test_each_frame_is_the_recorded_one(sandbox: Sandbox, party: Party, name: str) -> None:
    """Each frame equals that of the vendor's client in the recording, key by key, apart from names."""
    client, _ = party.connected()
    TRANSIENT[name](client)
    client.ping(DEADLINE)
    assert sent_frames(sandbox) == [as_recorded(name, sandbox, client)]


@pytest.mark.parametrize("subscription", ["ALL_USERS", "FRIENDS", "ROLES", "NONE"])
def test_each_auth_frame_is_the_recorded_one(sandbox: Sandbox, party: Party, subscription: str) -> None:
    """The first frame is the recorded one for each subscription.

    The jwt, the time and the user agent are this client's own.
    """
    roles = ("a", "b") if subscription == "ROLES" else ()
    client, _ = party.connected(subscription_type=subscription, roles=roles)
    expected = as_recorded(f"auth_{subscription.lower()}", sandbox, client)
    (frame,) = [frame for _, frame in sandbox.frames if frame.get("type") == "auth"]
    assert frame["body"]["auth"].count(".") == 2
    assert frame["body"]["params"]["appInfo"]["uts"] > 1_700_000_000_000
    for kept in (expected, frame):
        kept["body"]["auth"] = kept["body"]["params"]["userAgent"] = kept["body"]["params"]["appInfo"]["uts"] = "own"
        kept["body"]["params"]["appInfo"]["version"] = "own"
    assert frame == expected


def test_the_ping_is_the_recorded_one(sandbox: Sandbox, party: Party) -> None:
    """``ack`` is a text."""
    client, _ = party.connected()
    client.ping(DEADLINE)
    assert [frame for _, frame in sandbox.frames if "type" not in frame] == [RECORDED["ping"]]


def test_no_frame_of_the_recording_is_left_out() -> None:
    """The tests above produce every frame that the vendor's client sent in the recording."""
    auth = {f"auth_{subscription}" for subscription in ("all_users", "friends", "roles", "none")}
    assert set(RECORDED) == {*TRANSIENT, *auth, "ping"}


HEARD = {
    "typing_started": "on_typing_started",
    "typing_ended": "on_typing_ended",
    "transient_message": "on_transient_message_received",
    "receipt_delivered": "on_messages_delivered",
    "receipt_read": "on_messages_read",
}


@pytest.mark.parametrize("name", sorted(HEARD))
def test_the_other_user_gets_it(sandbox: Sandbox, pair: Pair, name: str) -> None:
    """The other user's listener gets the frame's users and content. One's own and a third user's get nothing."""
    third = listen(pair.as_other("cometchat-uid-3"))
    calls = {**TRANSIENT, "typing_ended": lambda client: client.end_typing(OTHER_UID, metadata={"b": 2})}
    calls[name](pair.me)
    event = pair.theirs.wait_for(HEARD[name]).argument
    assert event.sender is not None and (event.sender.uid, event.sender.name) == (UID, NAME)
    assert (event.receiver_id, event.receiver_type) == (OTHER_UID, "user")
    if name.startswith("receipt"):
        assert (event.message_id, event.receipt_type) == ("5", name.partition("_")[2]) and event.timestamp
    else:
        content = {"typing_started": {"a": 1}, "typing_ended": {"b": 2}, "transient_message": {"like": 1}}[name]
        assert (event.data if name == "transient_message" else event.metadata) == content
    pair.me.ping(DEADLINE)
    assert (pair.theirs.names, pair.mine.names, third.names) == ([HEARD[name]], [], [])


def test_ones_own_frames_come_back_to_the_other_device_only(sandbox: Sandbox, pair: Pair) -> None:
    """A frame to oneself is ignored on the device that sent it, and delivered on the second one."""
    heard = listen(pair.as_other(UID))
    pair.me.start_typing(UID)
    pair.me.send_transient_message(UID, "user", {"n": 1})
    heard.wait_for("on_transient_message_received")
    pair.me.ping(DEADLINE)
    assert heard.names == ["on_typing_started", "on_transient_message_received"] and pair.mine.names == []


def test_a_receipt_for_a_message_that_came(sandbox: Sandbox, pair: Pair) -> None:
    """A message is sent, received and marked as read, and its sender gets the receipt with the message's id."""
    stored = pair.me.send_message(text())
    got = pair.theirs.wait_for("on_text_message_received").argument
    pair.other.mark_as_delivered(got)
    pair.other.mark_as_read(got)
    receipt = pair.mine.wait_for("on_messages_read").argument
    assert (receipt.message_id, receipt.sender.uid) == (stored.id, OTHER_UID)
    assert pair.mine.names == ["on_messages_delivered", "on_messages_read"]


def test_a_receipt_for_a_group_message_goes_to_the_group(sandbox: Sandbox, party: Party) -> None:
    """The receipt goes to the group, and names the message's sender."""
    client, _ = party.connected()
    client.mark_as_read(received("9", "group", "g1"))
    client.ping(DEADLINE)
    (frame,) = sent_frames(sandbox, "receipts")
    assert (frame["receiver"], frame["receiverType"], frame["messageSender"]) == ("g1", "group", OTHER_UID)
    assert (frame["body"]["action"], frame["body"]["messageId"]) == ("read", "9")


@pytest.mark.parametrize("name", sorted(TRANSIENT))
@pytest.mark.parametrize("when", ["before the login", "not connected", "connecting", "disconnected", "logged out"])
def test_without_a_connection_nothing_can_be_sent(sandbox: Sandbox, party: Party, name: str, when: str) -> None:
    """``NO_WEBSOCKET_CONNECTION`` (``USER_NOT_LOGGED_IN`` without a user) is raised at once.

    Nothing is kept for later.
    """
    if when == "connecting":
        sandbox.hang_upgrades()
    client = party.client(auto_establish_socket_connection=False)
    if when != "before the login":
        client.login(UID, sandbox.auth_key)
    if when in ("connecting", "disconnected"):
        client.connect(DEADLINE if when == "disconnected" else 0)
    if when == "disconnected":
        client.disconnect()
    if when == "logged out":
        client.logout()
    with pytest.raises(CometChatException) as caught:
        TRANSIENT[name](client)
    if when in ("before the login", "logged out"):
        assert caught.value.code == "USER_NOT_LOGGED_IN"
    else:
        assert isinstance(caught.value, ConnectionError) and caught.value.code == "NO_WEBSOCKET_CONNECTION"
    if when == "connecting":
        sandbox.heal()
        client.disconnect()
    if client.get_logged_in_user() is not None:
        client.connect(DEADLINE)
        assert nothing_was_sent(sandbox, client)


#: The code of each call while the service's MODE is not DEFAULT.
BLOCKED = {name: "RECEIPTS_TEMPORARILY_BLOCKED" if "receipt" in name else "ERR_FEATURE_THROTTLED" for name in TRANSIENT}

#: MODE -> the calls that it allows.
ALLOWED = {"LIMITED_TRANSIENT": {"transient_message"}, "NO_TRANSIENT": set(), "BRAND_NEW": set()}


def set_mode(sandbox: Sandbox, mode: str) -> None:
    if mode == "BRAND_NEW":
        sandbox.override_settings(MODE=mode)
    else:
        sandbox.set_mode(mode)


@pytest.mark.parametrize("name", sorted(TRANSIENT))
@pytest.mark.parametrize("mode", sorted(ALLOWED))
def test_while_throttled_nothing_is_sent_that_the_mode_forbids(
    sandbox: Sandbox, party: Party, mode: str, name: str
) -> None:
    """Each call raises its own code and sends nothing, or it is allowed and sends.

    Afterwards all of them work again.
    """
    client, heard = party.connected(settings_refresh_interval=0.05)
    set_mode(sandbox, mode)
    heard.wait_for("on_feature_throttled")
    allowed = name in ALLOWED[mode]
    assert _code(lambda: TRANSIENT[name](client)) == (None if allowed else BLOCKED[name])
    if allowed:
        client.ping(DEADLINE)
        assert len(sent_frames(sandbox)) == 1
    else:
        assert nothing_was_sent(sandbox, client)
    sandbox.override_settings(MODE="DEFAULT")
    sandbox.set_mode("DEFAULT")
    heard.wait_for("on_connected", 2)
    for call in TRANSIENT.values():
        call(client)
    client.ping(DEADLINE)
    assert len(sent_frames(sandbox)) == len(TRANSIENT) + allowed


def test_an_app_that_is_throttled_at_the_next_login_of_its_user(sandbox: Sandbox, party: Party) -> None:
    """The connection stays, and its status follows the settings that came with the login."""
    client, heard = party.connected(settings_refresh_interval=0)
    sandbox.override_settings(MODE="NO_TRANSIENT")
    client.login(UID, sandbox.auth_key)
    assert client.get_connection_status() == "featureThrottled"
    sandbox.override_settings(MODE="DEFAULT")
    client.login(UID, sandbox.auth_key)
    assert client.get_connection_status() == "connected"
    heard.wait_for_names("on_connecting", "on_connected", "on_feature_throttled", "on_connected")


def test_an_app_that_is_throttled_at_the_renewal_of_a_token(sandbox: Sandbox, party: Party) -> None:
    """The status follows the settings that came with the new token."""
    client = party.client(settings_refresh_interval=0, ping_interval=0.05)
    heard = party.heard(client)
    client.login_with_auth_token(sandbox.auth_token(UID), refresh=lambda: sandbox.auth_token(UID))
    client.connect(DEADLINE)
    sandbox.override_settings(MODE="NO_TRANSIENT")
    client._core.account.renew()
    heard.wait_for_names("on_connecting", "on_connected", "on_feature_throttled")


@pytest.mark.parametrize("mode", sorted(ALLOWED))
def test_an_app_that_is_throttled_from_the_start(sandbox: Sandbox, party: Party, mode: str) -> None:
    """``connect()`` returns with the status ``featureThrottled``, and nothing forbidden can be sent before that."""
    set_mode(sandbox, mode)
    client = party.client(auto_establish_socket_connection=False)
    heard = party.heard(client)
    client.login(UID, sandbox.auth_key)
    for count in range(1, 6):
        client.connect(DEADLINE)
        assert client.get_connection_status() == "featureThrottled"
        assert _code(lambda: client.start_typing(OTHER_UID)) == "ERR_FEATURE_THROTTLED"
        assert nothing_was_sent(sandbox, client)
        heard.wait_for("on_feature_throttled", count)
        client.disconnect()
        heard.wait_for("on_disconnected", count)
    assert heard.names == ["on_connecting", "on_connected", "on_feature_throttled", "on_disconnected"] * 5


def test_the_next_user_types_too(sandbox: Sandbox, party: Party) -> None:
    """The limit is for each user: the other side has had no indicator of this one."""
    client, _ = party.connected()
    for uid in (UID, "cometchat-uid-3"):
        client.login(uid, sandbox.auth_key)
        client.connect(DEADLINE)
        client.start_typing(OTHER_UID)
    client.ping(DEADLINE)
    assert [frame["sender"] for frame in sent_frames(sandbox, "typing_indicator")] == [UID, "cometchat-uid-3"]


def test_typing_is_sent_once_per_receiver(sandbox: Sandbox, party: Party) -> None:
    """Every keystroke may call ``start_typing``: the client sends one frame per receiver.

    ``end_typing`` always sends one.
    """
    client, _ = party.connected()
    for _ in range(50):
        client.start_typing(OTHER_UID)
        client.start_typing("cometchat-uid-3")
        client.start_typing(OTHER_UID, "group")
    client.end_typing(OTHER_UID)
    client.ping(DEADLINE)
    frames = [(f["receiver"], f["receiverType"], f["body"]["action"]) for f in sent_frames(sandbox, "typing_indicator")]
    assert frames == [
        (OTHER_UID, "user", "started"),
        ("cometchat-uid-3", "user", "started"),
        (OTHER_UID, "group", "started"),
        (OTHER_UID, "user", "ended"),
    ]


# Wrong arguments.

NAN = float("nan")
NO_JSON: List[Any] = [object(), {1, 2}, NAN, b"x"]
NO_OBJECT: List[Any] = [5, "x", [("a", 1)], object(), {"a": NAN}, {"a": object()}, {"a": {1, 2}}, {("a",): 1}]
RECEIVER: List[Any] = [None, "", "  ", 5, b"uid", ["uid"], "\ud800"]
RECEIVER_TYPE: List[Any] = [None, "", "users", "User", 5, ["user"]]

#: Method, parameter, call, wrong values.
WRONG: List[Tuple[str, str, Callable[[Client, Any], Any], List[Any]]] = [
    *[
        (f"{verb}_typing", parameter, call, values)
        for verb in ("start", "end")
        for parameter, call, values in [
            ("receiver_id", lambda c, v, m=f"{verb}_typing": getattr(c, m)(v), RECEIVER),
            ("receiver_type", lambda c, v, m=f"{verb}_typing": getattr(c, m)(OTHER_UID, v), RECEIVER_TYPE),
            ("metadata", lambda c, v, m=f"{verb}_typing": getattr(c, m)(OTHER_UID, "user", v), NO_OBJECT),
        ]
    ],
    ("send_transient_message", "receiver_id", lambda c, v: c.send_transient_message(v, "user", {}), RECEIVER),
    ("send_transient_message", "receiver_type", lambda c, v: c.send_transient_message("u", v, {}), RECEIVER_TYPE),
    ("send_transient_message", "data", lambda c, v: c.send_transient_message("u", "user", v), [None, *NO_OBJECT]),
    ("mark_as_delivered", "message", lambda c, v: c.mark_as_delivered(v), [None, 5, "5", {"id": "5"}, TextMessage]),
    ("mark_as_read", "message", lambda c, v: c.mark_as_read(v), [None, 5, "5", {"id": "5"}, TextMessage]),
    (
        "mark_as_read",
        "message",
        lambda c, v: c.mark_as_read(v),
        [
            TextMessage(id="5"),
            TextMessage(id="5", sender=User(OTHER_UID)),
            TextMessage(sender=User(OTHER_UID), receiver_type="user"),
            TextMessage(id="5", sender=User(""), receiver_type="user"),
            TextMessage(id="5", sender=User(OTHER_UID), receiver_type="channel"),
        ],
    ),
    (
        "send_message",
        "message",
        lambda c, v: c.send_message(v),
        [None, 5, "hello", {"text": "hello"}, TextMessage, BaseMessage(), MediaMessage()],
    ),
    ("send_message", "receiver_id", lambda c, v: c.send_message(text(receiver_id=v)), RECEIVER),
    ("send_message", "receiver_type", lambda c, v: c.send_message(text(receiver_type=v)), RECEIVER_TYPE),
    ("send_message", "text", lambda c, v: c.send_message(text(text=v)), [None, "", " ", 5, ["x"], "\ud800"]),
    ("send_message", "type", lambda c, v: c.send_message(custom(type=v)), [None, "", 5]),
    ("send_message", "custom_data", lambda c, v: c.send_message(custom(custom_data=v)), [None, *NO_OBJECT]),
    ("send_message", "metadata", lambda c, v: c.send_message(text(metadata=v)), [None, *NO_OBJECT]),
    ("send_message", "sub_type", lambda c, v: c.send_message(custom(sub_type=v)), NO_JSON),
    ("send_message", "conversation_text", lambda c, v: c.send_message(custom(conversation_text=v)), NO_JSON),
    ("send_message", "update_conversation", lambda c, v: c.send_message(custom(update_conversation=v)), ["yes", 1]),
    ("send_message", "send_notification", lambda c, v: c.send_message(custom(send_notification=v)), ["yes", 0]),
    ("send_message", "quoted_message_id", lambda c, v: c.send_message(text(quoted_message_id=v)), [*NO_JSON, "x"]),
    ("send_message", "quoted_message", lambda c, v: c.send_message(text(quoted_message=v)), [5, "5", TextMessage()]),
    ("send_message", "tags", lambda c, v: c.send_message(text(tags=v)), ["tag", 5, (object(),), (5,), (None,)]),
    ("send_message", "muid", lambda c, v: c.send_message(text(muid=v)), NO_JSON),
    ("send_message", "parent_message_id", lambda c, v: c.send_message(text(parent_message_id=v)), NO_JSON),
]


@pytest.mark.parametrize("row", WRONG, ids=[f"{method}-{parameter}" for method, parameter, _, _ in WRONG])
def test_a_wrong_argument_is_named_and_nothing_is_sent(sandbox: Sandbox, party: Party, row: Any) -> None:
    """``MISSING_PARAMETERS`` or ``INVALID_{PARAMETER}`` names it. Neither an HTTP call nor a frame is sent."""
    _, parameter, call, values = row
    client, _ = party.connected()
    requests = len(sandbox.requests)
    for value in values:
        with pytest.raises(InvalidArgumentException) as caught:
            call(client, value)
        assert caught.value.code in ("MISSING_PARAMETERS", f"INVALID_{parameter.upper()}"), value
        assert caught.value.name == parameter and f" {parameter}: expected " in caught.value.message
    assert nothing_was_sent(sandbox, client)
    assert [r.path for r in sandbox.requests[requests:] if r.path.endswith("/messages")] == [] == sandbox.messages


@pytest.mark.parametrize(
    "send",
    [
        lambda client, value: client.start_typing(OTHER_UID, "user", {"a": value}),
        lambda client, value: client.send_transient_message(OTHER_UID, "user", {"a": value}),
    ],
    ids=["typing", "transient message"],
)
def test_data_in_odd_characters_does_no_harm(
    sandbox: Sandbox, party: Party, send: Callable[[Client, Any], None]
) -> None:
    """Half of a surrogate pair, which UTF-8 cannot express, is sent in JSON's own way or refused.

    The connection stays.
    """
    client, heard = party.connected()
    code = _code(lambda: send(client, "\ud83d"))
    assert code is None or code.startswith("INVALID_")
    client.ping(DEADLINE)
    assert len(sent_frames(sandbox)) == (1 if code is None else 0)
    assert heard.names == ["on_connecting", "on_connected"]


# The throttle of typing, and muids, with a clock and without a network.


class FakeAccount:
    """The part of an Account that a Sender needs."""

    resource = "PYTHON-0_1_0-x-0"
    mode = "DEFAULT"

    def __init__(self) -> None:
        self.bodies: List[Dict[str, Any]] = []
        self.lock = threading.RLock()

    def client_name(self) -> str:
        return "client 7"

    def require(self) -> Any:
        return Session("app", UID, "token", "app_x_0", {"uid": UID, "name": NAME})

    def request(self, method: str, path: str, body: Any, *, uid: Any) -> Dict[str, Any]:
        self.bodies.append(body)
        return {**body, "id": "1"}


class FakeState:
    """The part of a ConnectionState that a Sender needs, and its generation, and its socket."""

    def __init__(self) -> None:
        self.frames: List[Any] = []
        self.error: Optional[CometChatException] = None
        self.status = CometChatWSState.CONNECTED
        identity = Identity("app", UID, FakeAccount.resource, "app_x_0", "0.1.0")
        self.newest = SimpleNamespace(
            socket=self, heartbeat=Heartbeat(15.0, 3.0, 0.0), credentials=SimpleNamespace(identity=identity)
        )

    def send(self, frame: str, timeout: float) -> None:
        if self.error is not None:
            raise self.error
        self.frames.append(json.loads(frame))


class SenderParts:
    """A Sender with a clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.account, self.state = FakeAccount(), FakeState()
        numbers = iter(range(1, 1000))
        account: Any = self.account
        state: Any = self.state
        inbox: Any = SimpleNamespace(sent=lambda message_id: None)
        self.sender = Sender(
            account,
            state,
            inbox,
            timeout=3.0,
            clock=lambda: self.now,
            new_uuid=lambda: f"uuid-{next(numbers)}",
        )

    def typing(self, started: bool = True, receiver: str = OTHER_UID, receiver_type: str = "user") -> int:
        """Start typing. Returns the number of frames that this sent."""
        before = len(self.state.frames)
        self.sender.typing(receiver, receiver_type, None, started)
        return len(self.state.frames) - before


def test_typing_is_sent_again_after_five_seconds() -> None:
    """A frame goes out once in 5 s, counted from the last frame that was sent."""
    parts = SenderParts()
    assert TYPING_INTERVAL == 5.0
    sent = []
    for seconds in (0.0, 0.1, 4.9, 4.999, 5.0, 5.1, 9.9, 10.0, 100.0):
        parts.now = 1000.0 + seconds
        sent.append(parts.typing())
    assert sent == [1, 0, 0, 0, 1, 0, 0, 1, 1]


def test_the_first_typing_is_sent_at_any_time() -> None:
    """A monotonic clock may begin at 0."""
    for start in (0.0, 0.5, 4.9, 1e9):
        parts = SenderParts()
        parts.now = start
        assert parts.typing() == 1


def test_each_receiver_has_its_own_five_seconds() -> None:
    """A user and a group with the same id are two receivers."""
    parts = SenderParts()
    assert [parts.typing(receiver=name) for name in ("a", "b", "a")] == [1, 1, 0]
    assert [parts.typing(receiver="a", receiver_type="group") for _ in range(2)] == [1, 0]


def test_typing_that_starts_again_is_sent_at_once() -> None:
    """After start, end and start within five seconds, the receiver gets the second start.

    Other receivers are not affected.
    """
    parts = SenderParts()
    assert [parts.typing(), parts.typing(receiver="b"), parts.typing(False), parts.typing()] == [1, 1, 1, 1]
    assert [parts.typing(), parts.typing(receiver="b")] == [0, 0]


def test_the_end_of_typing_is_always_sent() -> None:
    """``end_typing`` is not throttled."""
    parts = SenderParts()
    assert [parts.typing(False) for _ in range(3)] == [1, 1, 1]
    assert [parts.typing(), parts.typing(False), parts.typing(False)] == [1, 1, 1]


@pytest.mark.parametrize(
    "name, value",
    [
        ("error", CometChatException("NO_WEBSOCKET_CONNECTION", "down")),
        ("status", CometChatWSState.DISCONNECTED),
        ("newest", None),
    ],
    ids=["error", "status", "newest"],
)
def test_typing_that_could_not_be_sent_is_sent_next_time(name: str, value: object) -> None:
    """A frame that could not be sent does not count."""
    parts = SenderParts()
    before = getattr(parts.state, name)
    setattr(parts.state, name, value)
    with pytest.raises(CometChatException) as caught:
        parts.typing()
    assert caught.value.code == "NO_WEBSOCKET_CONNECTION"
    setattr(parts.state, name, before)
    assert [parts.typing(), parts.typing()] == [1, 0]


def test_no_frame_goes_out_on_the_connection_of_another_user() -> None:
    """A login of another user may come in the middle of the call."""
    parts = SenderParts()
    session = Session("app", "cometchat-uid-9", "token", "app_x_0", {})
    parts.account.require = lambda: session  # type: ignore[method-assign]
    with pytest.raises(CometChatException, match="There is no connection"):
        parts.typing()
    assert parts.state.frames == []


def test_receivers_are_forgotten_after_their_time() -> None:
    """A client that has typed to a hundred thousand receivers does not remember them forever."""
    parts = SenderParts()
    for number in range(1000):
        parts.now += 1
        parts.typing(receiver=str(number))
    assert len(parts.sender._typing) <= 6


def test_the_user_in_a_frame_has_only_known_fields() -> None:
    """A field that is None is not sent, and the uid always is."""
    parts = SenderParts()
    parts.typing()
    assert parts.state.frames[0]["body"]["user"] == {"uid": UID, "name": NAME}


def test_the_muid_is_made_once_for_a_body() -> None:
    """If the transport or the outbox sends it again, the body is the same, with the same muid."""
    parts = SenderParts()
    body = parts.sender.message_body(text())
    assert body["muid"] == "uuid-1"
    for _ in range(2):
        assert parts.sender.send_message(body).muid == "uuid-1"
    assert [sent["muid"] for sent in parts.account.bodies] == ["uuid-1", "uuid-1"]
    assert parts.sender.message_body(text(muid="mine"))["muid"] == "mine"


def test_the_body_is_a_copy() -> None:
    """A message's mappings can be changed after it is sent."""
    parts = SenderParts()
    metadata: Dict[str, Any] = {"a": 1}
    message = custom(metadata=metadata, custom_data=metadata, tags=("t",))
    body = parts.sender.message_body(message)
    metadata["a"] = 2
    assert body["data"]["metadata"] == body["data"]["customData"] == {"a": 1} and body["tags"] == ["t"]
    assert re.fullmatch(r"uuid-\d+", body["muid"])


def test_the_recorder_saw_one_connection(sandbox: Sandbox, pair: Pair) -> None:
    """All tests above used connections that stayed up."""
    assert isinstance(pair.my_connection, Recorder)
    assert pair.my_connection.names == ["on_connecting", "on_connected"]
