"""The WebSocket of the sandbox, used by hand."""

from __future__ import annotations

import json
import time

import pytest
import websocket

ACCEPTED = {"type": "auth", "body": {"code": "200", "status": "OK"}}


def refused(code="401"):
    return {"type": "auth", "body": {"code": code, "status": "ERROR"}}


@pytest.mark.parametrize("path", ["/", "/v3.0", "/any/path?x=1"])
def test_a_good_jwt_is_accepted(client, sandbox, path):
    """An auth frame with the jwt of a login is accepted, on any path, and counts as a connection."""
    jwt = client.log_in()["jwt"]
    socket = client.open(path)
    assert sandbox.connections == 0
    client.send(socket, client.auth_frame("cometchat-uid-1", jwt))
    assert client.receive(socket) == ACCEPTED
    assert (sandbox.connections, sandbox.sockets) == (1, 1)
    assert sandbox.violations == []
    assert [uid for uid, _ in sandbox.frames] == [None]


def test_a_clock_that_stands_still_stops_no_answer(client, sandbox, monkeypatch):
    """A test that freezes the clocks of its process, as freezegun does, still gets a connection."""
    jwt = client.log_in()["jwt"]
    monkeypatch.setattr(time, "monotonic", lambda: 1_577_836_800.0)  # so large that a tick of the clock rounds to 0
    socket = client.open()
    client.send(socket, client.auth_frame("cometchat-uid-1", jwt))
    assert client.receive(socket) == ACCEPTED


def test_an_auth_token_in_place_of_the_jwt_is_never_answered(client, sandbox):
    """Like the live service, the sandbox does not answer an auth token on the socket. It records it."""
    token = client.log_in()["authToken"]
    socket = client.open()
    client.send(socket, client.auth_frame("cometchat-uid-1", token))
    assert client.hears_nothing(socket)
    assert sandbox.connections == 0 and "is an auth token" in sandbox.violations[0]
    assert token not in str(sandbox.violations)


@pytest.mark.parametrize("jwt", ["wrong", "a.b.c", "", "é.é.é"])
def test_a_wrong_jwt_is_refused(client, sandbox, jwt):
    """A text that is not a jwt of the sandbox gets the code 401, on a socket that stays open."""
    socket = client.open()
    client.send(socket, client.auth_frame("cometchat-uid-1", jwt))
    assert client.receive(socket) == refused()
    assert client.hears_nothing(socket)
    assert (sandbox.connections, sandbox.sockets) == (0, 1)


def test_a_tampered_jwt_is_refused(client, sandbox):
    """A jwt whose claims were changed is refused: the signature is checked."""
    header, _, signature = sandbox.jwt("cometchat-uid-1").split(".")
    claims = sandbox.jwt("cometchat-uid-2").split(".")[1]
    socket = client.open()
    client.send(socket, client.auth_frame("cometchat-uid-2", f"{header}.{claims}.{signature}"))
    assert client.receive(socket) == refused()


def test_an_expired_jwt_is_refused(client, sandbox):
    """A jwt after its exp gets the code 401."""
    socket = client.open()
    client.send(socket, client.auth_frame("cometchat-uid-1", sandbox.jwt("cometchat-uid-1", lifetime=-1)))
    assert client.receive(socket) == refused()


def test_a_jwt_is_good_for_its_user_alone(client, sandbox):
    """An auth frame whose sender is not the jwt's user is refused and recorded."""
    socket = client.open()
    client.send(socket, client.auth_frame("cometchat-uid-2", sandbox.jwt("cometchat-uid-1")))
    assert client.receive(socket) == refused()
    assert sandbox.violations == ["socket: auth.sender is not the jwt's user"]


def test_the_socket_is_held_against_the_login(client, sandbox):
    """A resource or device other than that of the login is recorded."""
    jwt = client.log_in()["jwt"]
    client.resource = client.resource.replace("PYTHON", "OTHER")
    client.device_id = client.device_id[:-1] + ("1" if client.device_id[-1] != "1" else "2")
    socket = client.open()
    client.send(socket, client.auth_frame("cometchat-uid-1", jwt))
    assert client.receive(socket) == ACCEPTED
    assert sandbox.violations == [
        "socket: auth.deviceId is not the resource that asked for the jwt",
        "socket: auth.body.params.deviceId is not the device that asked for the jwt",
    ]


def test_nothing_goes_before_auth(client, sandbox):
    """Frames before auth are ignored and recorded. auth still counts afterwards."""
    socket = client.open()
    client.send(socket, {"action": "ping", "ack": "true"})
    assert client.hears_nothing(socket)
    assert sandbox.violations == ["socket: a frame before auth was accepted"]
    client.send(socket, client.auth_frame("cometchat-uid-1", sandbox.jwt("cometchat-uid-1")))
    assert client.receive(socket) == ACCEPTED


def test_a_second_auth_is_ignored(client, sandbox):
    """Only the first auth of a connection counts."""
    socket = client.connect()
    client.send(socket, client.auth_frame("cometchat-uid-1", sandbox.jwt("cometchat-uid-1")))
    assert client.hears_nothing(socket)
    assert sandbox.violations == ["socket: a second auth"]


def test_a_ping_is_answered(client, sandbox):
    """The JSON heartbeat gets a pong. WebSocket's own PING gets a PONG."""
    socket = client.connect()
    client.send(socket, {"action": "ping", "ack": "true"})
    assert client.receive(socket) == {"action": "pong"}
    socket.ping(b"x")
    opcode, data = socket.recv_data(control_frame=True)
    assert (opcode, data) == (websocket.ABNF.OPCODE_PONG, b"x")
    assert sandbox.violations == []


def remove(*path):
    def change(frame):
        for key in path[:-1]:
            frame = frame[key]
        del frame[path[-1]]

    return change


def put(value, *path):
    def change(frame):
        for key in path[:-1]:
            frame = frame[key]
        frame[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change, violation",
    [
        (remove("appId"), "auth.appId is missing"),
        (put("other", "appId"), "auth.appId is wrong"),
        (put("x", "deviceId"), "auth.deviceId is wrong"),
        (put("PYTHON-0.1.0", "body", "deviceId"), "auth.body.deviceId is wrong"),
        (put("NONE", "body", "presenceSubscription"), "auth.body.presenceSubscription is wrong"),
        (put(None, "body", "presenceSubscription"), "auth.body.presenceSubscription is wrong"),
        (put(["a"], "body", "roles"), "auth.body.roles goes with presenceSubscription ROLES, and only with it"),
        (
            put("ROLES", "body", "presenceSubscription"),
            "auth.body.roles goes with presenceSubscription ROLES, and only" " with it",
        ),
        (put("a", "body", "roles"), "auth.body.roles is wrong"),
        (put(1, "body", "extra"), "auth.body.extra is not of the protocol"),
        (remove("body", "params"), "auth.body.params is missing"),
        (put([], "body", "params"), "auth.body.params is wrong"),
        (put("", "body", "params", "deviceId"), "auth.body.params.deviceId is wrong"),
        (remove("body", "params", "platform"), "auth.body.params.platform is missing"),
        (put("3.0", "body", "params", "appInfo", "apiVersion"), "auth.body.params.appInfo.apiVersion is wrong"),
        (put(1.7e12, "body", "params", "appInfo", "uts"), "auth.body.params.appInfo.uts is wrong"),
        (put(1700000000, "body", "params", "appInfo", "uts"), "auth.body.params.appInfo.uts is wrong"),
    ],
)
def test_auth_is_checked_to_the_letter(client, sandbox, change, violation):
    """A wrong, missing or unknown key of an auth frame is recorded by its path. A good jwt is still accepted."""
    frame = client.auth_frame("cometchat-uid-1", sandbox.jwt("cometchat-uid-1"))
    change(frame)
    socket = client.open()
    client.send(socket, frame)
    assert client.receive(socket) == ACCEPTED
    assert f"socket: {violation}" in sandbox.violations


def test_auth_without_a_body_is_refused(client, sandbox):
    """An auth frame without a body is refused like a wrong jwt."""
    socket = client.open()
    client.send(socket, {"type": "auth"})
    assert client.receive(socket) == refused()
    assert "socket: auth.body is missing" in sandbox.violations


@pytest.mark.parametrize("presence, body", [(None, {}), ("FRIENDS", {}), ("ROLES", {"roles": ["default", "b"]})])
def test_each_subscription_is_of_the_protocol(client, sandbox, presence, body):
    """No subscription, FRIENDS, and ROLES with roles are not violations."""
    client.connect(presence=presence, **body)
    assert sandbox.violations == []


@pytest.mark.parametrize("data", ["no JSON", "[1]", '"text"', '{"type": "unheard-of"}', '{"action": "ping"}'])
def test_an_unknown_frame_is_recorded(client, sandbox, data):
    """A text that is not a frame, or an unknown frame, is a violation, and the connection stays."""
    socket = client.connect()
    socket.send(data)
    assert sandbox.wait_until(lambda: len(sandbox.violations) == 1)
    assert sandbox.connections == 1


def test_binary_is_noted(client, sandbox):
    """A binary message from a client is a violation."""
    client.connect().send_binary(b"{}")
    assert sandbox.wait_until(lambda: sandbox.violations == ["socket: a binary message"])


def test_presence_goes_to_subscribers(client, sandbox):
    """Subscribers of ALL_USERS, or of the user's role, get a user's presence. Others do not."""
    sandbox.add_user("boss", "Boss", role="boss")
    everyone = client.connect("cometchat-uid-1")
    bosses = client.connect("cometchat-uid-2", presence="ROLES", roles=["boss"])
    silent = client.connect("cometchat-uid-3", presence=None)
    for uid in ("cometchat-uid-2", "cometchat-uid-3"):
        assert client.receive(everyone)["sender"] == uid
    boss = client.connect("boss", presence=None)
    online = client.receive(everyone)
    assert online == client.receive(bosses)
    assert set(online) == {"appId", "receiver", "receiverType", "deviceId", "type", "sender", "body"}
    assert (online["type"], online["sender"], online["deviceId"]) == ("presence", "boss", client.resource)
    assert online["body"]["action"] == online["body"]["user"]["status"] == "online"
    boss.close(timeout=0.1)
    offline = client.receive(everyone)
    assert offline == client.receive(bosses)
    assert offline["body"]["action"] == offline["body"]["user"]["status"] == "offline"
    assert client.hears_nothing(silent)


def test_presence_is_of_users_not_of_sockets(client, sandbox):
    """A second socket of a user does not change the presence for the others. The end of the last one does."""
    watcher = client.connect("cometchat-uid-1")
    first, second = client.connect("cometchat-uid-2"), client.connect("cometchat-uid-2")
    assert client.receive(watcher)["body"]["action"] == "online"
    first.close(timeout=0.1)
    assert sandbox.wait_for_connections(2)
    second.close(timeout=0.1)
    assert client.receive(watcher)["body"]["action"] == "offline"
    assert client.hears_nothing(watcher)


TRANSIENT = [
    ("typing_indicator", {"action": "started", "metadata": {"a": 1}}, {}),
    ("transient_message", {"data": {"like": 1}}, {}),
    ("receipts", {"action": "read", "messageId": "5"}, {"messageSender": "cometchat-uid-2"}),
]


@pytest.mark.parametrize("kind, body, envelope", TRANSIENT)
def test_transient_frames_are_routed(client, sandbox, kind, body, envelope):
    """Typing, transient messages and receipts reach the receiver, with the sender's fields in the service."""
    sender = client.connect("cometchat-uid-1", presence=None)
    receiver = client.connect("cometchat-uid-2", presence=None)
    frame = client.frame(kind, "cometchat-uid-1", "cometchat-uid-2", body, **envelope)
    client.send(sender, frame)
    got = client.receive(receiver)
    assert {key: got[key] for key in frame if key != "body"} == {key: frame[key] for key in frame if key != "body"}
    assert got["body"]["user"]["name"] == "Andrew Joseph"
    assert {key: got["body"][key] for key in body} == body
    assert ("timestamp" in got["body"]) == (kind == "receipts")
    assert sandbox.violations == [] and sandbox.frames[-1] == ("cometchat-uid-1", frame)


@pytest.mark.parametrize(
    "change, violation",
    [
        (put("other", "sender"), "typing_indicator.sender is wrong"),
        (put("x", "deviceId"), "typing_indicator.deviceId is wrong"),
        (put("crowd", "receiverType"), "typing_indicator.receiverType is wrong"),
        (put("maybe", "body", "action"), "typing_indicator.body.action is wrong"),
        (put({"uid": "other"}, "body", "user"), "typing_indicator.body.user is not the sender"),
        (put("text", "body"), "typing_indicator.body is wrong"),
        (put("m", "messageSender"), "typing_indicator.messageSender is not of the protocol"),
    ],
)
def test_malformed_transient_frames_go_nowhere(client, sandbox, change, violation):
    """A frame outside of the protocol is recorded, and not delivered."""
    sender = client.connect("cometchat-uid-1", presence=None)
    receiver = client.connect("cometchat-uid-2", presence=None)
    body = {"action": "started", "metadata": {}}
    frame = client.frame("typing_indicator", "cometchat-uid-1", "cometchat-uid-2", body)
    change(frame)
    client.send(sender, frame)
    assert sandbox.wait_until(lambda: f"socket: {violation}" in sandbox.violations)
    assert client.hears_nothing(receiver, 0.05)


def test_typing_needs_no_metadata(client, sandbox):
    """A typing indicator without metadata is right, and reaches the receiver unchanged."""
    sender = client.connect("cometchat-uid-1", presence=None)
    receiver = client.connect("cometchat-uid-2", presence=None)
    frame = client.frame("typing_indicator", "cometchat-uid-1", "cometchat-uid-2", {"action": "started"})
    client.send(sender, frame)
    got = client.receive(receiver)
    assert got["body"]["action"] == "started" and "metadata" not in got["body"]
    assert sandbox.violations == []


def test_no_transient_means_none(client, sandbox):
    """In mode NO_TRANSIENT presence and typing are dropped, while messages arrive."""
    sandbox.set_mode("NO_TRANSIENT")
    receiver = client.connect("cometchat-uid-2")
    sender = client.connect("cometchat-uid-1")
    body = {"action": "started", "metadata": {}}
    client.send(sender, client.frame("typing_indicator", "cometchat-uid-1", "cometchat-uid-2", body))
    assert sandbox.wait_for_frame(lambda frame: frame["type"] == "typing_indicator")
    headers = {"authToken": sandbox.auth_token("cometchat-uid-1")}
    message = {"receiver": "cometchat-uid-2", "receiverType": "user", "category": "message", "type": "text"}
    message["data"] = {"text": "hello"}
    assert client.call("POST", "/messages", headers=headers, body=message).status_code == 200
    assert client.receive(receiver)["type"] == "message"


def test_frames_to_groups_and_strangers_vanish(client, sandbox):
    """A typing indicator to a group or an unknown user is accepted without a violation, and is not delivered."""
    sender = client.connect("cometchat-uid-1")
    body = {"action": "ended", "metadata": {}}
    client.send(sender, client.frame("typing_indicator", "cometchat-uid-1", "g1", body, receiverType="group"))
    client.send(sender, client.frame("typing_indicator", "cometchat-uid-1", "nobody", body))
    assert sandbox.wait_until(lambda: len(sandbox.frames) == 3)
    assert sandbox.violations == [] and client.hears_nothing(sender, 0.05)


@pytest.mark.parametrize(
    "end, code",
    [
        (lambda socket: socket.close(1000, b"bye", timeout=0.1), 1000),
        (lambda socket: socket.close(4000, timeout=0.1), 4000),
        (lambda socket: socket.send(b"", websocket.ABNF.OPCODE_CLOSE), 1005),
        (lambda socket: socket.shutdown(), 1006),
    ],
)
def test_how_a_client_closes_is_recorded(client, sandbox, end, code):
    """The code of a client's close is recorded: its own, 1005 for a close without one, 1006 for a lost connection."""
    end(client.connect())
    assert sandbox.wait_for_connections(0)
    assert sandbox.close_codes == [code]


def test_broken_framing_from_a_client_is_noted(client, sandbox):
    """Bytes that are not WebSocket frames end the connection, and are a violation."""
    socket = client.connect()
    socket.sock.sendall(b"\xff" * 16)
    assert sandbox.wait_for_connections(0)
    assert sandbox.violations == ["socket: data that is not WebSocket's"]
    assert sandbox.close_codes == [1006]


def test_a_bad_upgrade_is_refused(client, sandbox):
    """An upgrade without a WebSocket key gets 400, and counts as an attempt."""
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    assert client.call("GET", "/", headers=headers).status_code == 400
    assert len(sandbox.attempts) == 1 and sandbox.requests == []


def test_frames_are_data(client, sandbox):
    """wait_for_frame() returns the frame as it was sent, or None if no frame arrived."""
    socket = client.connect()
    socket.send(json.dumps({"action": "ping", "ack": "true"}))
    assert sandbox.wait_for_frame(lambda frame: frame.get("action") == "ping") == {"action": "ping", "ack": "true"}
    assert sandbox.wait_for_frame(lambda frame: frame.get("action") == "pong", timeout=0.01) is None
