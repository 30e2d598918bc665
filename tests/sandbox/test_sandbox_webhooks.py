"""Webhooks: each event reaches the URL once, in order, in the vendor's published shape. A failure is recorded."""

from __future__ import annotations

import base64
import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest
from docs_blocks import block

from cometchat.sandbox import Sandbox

ONE, TWO, THREE = "cometchat-uid-1", "cometchat-uid-2", "cometchat-uid-3"

#: In seconds.
TIMEOUT = 5.0

ENVELOPE = {"appId": "sandbox-app", "region": "us", "webhook": "sandbox"}


class Receiver:
    """A web server that keeps the posted bodies."""

    def __init__(self) -> None:
        self.bodies: List[Dict[str, Any]] = []
        self.headers: List[Any] = []
        self.status = 200
        #: When cleared, it does not answer.
        self.answering = threading.Event()
        self.answering.set()
        self.asked = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.headers.append(self.headers)
                receiver.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                receiver.asked.set()
                receiver.answering.wait(TIMEOUT)
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}/webhook"

    def close(self) -> None:
        self.answering.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.close()


@pytest.fixture
def told(receiver: Receiver) -> Iterator[Sandbox]:
    with Sandbox(webhook_url=receiver.url) as running:
        yield running


def deliveries(sandbox: Sandbox, count: int) -> List[Tuple[str, Any]]:
    """Wait for this many deliveries. Returns the name and the data of each."""
    assert sandbox.wait_until(lambda: len(sandbox.deliveries) >= count), sandbox.deliveries
    return [(each.trigger, each.payload["data"]) for each in sandbox.deliveries]


def group(sandbox: Sandbox) -> None:
    sandbox.add_group("team", "Team", owner=ONE, members=[TWO])


def test_the_program_of_the_page(told: Sandbox) -> None:
    """The program of docs/sandbox.rst finds its delivery."""
    exec(block("sandbox.rst", "python", "deliveries"), {"sandbox": told})


Act = Callable[[Sandbox], Any]

#: The event, the action that leads to it, and the fields that its data must have.
MESSAGES: List[Tuple[str, Act, Any]] = [
    ("message_sent", lambda s: s.send_message(ONE, TWO, "Hi"), {"message": {"data": {"text": "Hi"}, "sender": ONE}}),
    (
        "user_mentioned",
        lambda s: s.send_message(ONE, TWO, f"<@uid:{TWO}>"),
        {"message": {"data": {"mentions": {TWO: {"uid": TWO}}}}},
    ),
    (
        "message_edited",
        lambda s: s.edit_message(s.send_message(ONE, TWO, "Hi")["id"], "Hello"),
        {
            "message": {
                "category": "action",
                "data": {
                    "action": "edited",
                    "entities": {
                        "by": {"entity": {"uid": ONE}, "entityType": "user"},
                        "on": {"entity": {"id": "1", "data": {"text": "Hello"}, "editedBy": ONE}},
                    },
                },
            }
        },
    ),
    (
        "message_reaction_added",
        lambda s: s.react(s.send_message(ONE, TWO, "Hi")["id"], TWO, "👍"),
        {"reaction": {"messageId": "1", "reaction": "👍", "uid": TWO, "reactedBy": {"uid": TWO}}},
    ),
    (
        "message_read_receipt",
        lambda s: s.mark_read(s.send_message(ONE, TWO, "Hi")["id"], TWO),
        {"type": "receipts", "sender": TWO, "messageSender": ONE, "body": {"action": "read", "messageId": "1"}},
    ),
    (
        "moderation_engine_blocked",
        lambda s: s.moderate(s.send_message(ONE, TWO, "Hi")["id"], "disapproved"),
        {"message": {"data": {"moderation": {"status": "disapproved"}}}},
    ),
    ("call_initiated", lambda s: s.call(ONE, TWO), {"call": {"category": "call", "data": {"action": "initiated"}}}),
    ("user_blocked", lambda s: s.block(ONE, TWO), {"users": {TWO: {"name": "George Alan"}}, "by": {"uid": ONE}}),
    ("user_unblocked", lambda s: s.unblock(ONE, TWO), {"users": {TWO: {}}, "by": {"uid": ONE}}),
]

GROUPS: List[Tuple[str, Act, Any]] = [
    ("group_created", lambda s: None, {"group": {"guid": "team", "hasJoined": True}, "members": {ONE: {"uid": ONE}}}),
    ("group_member_joined", lambda s: s.join("team", THREE), {"members": {THREE: {}}, "group": {"membersCount": 3}}),
    ("group_member_left", lambda s: s.leave("team", TWO), {"members": {TWO: {"uid": TWO}}, "group": {"guid": "team"}}),
    ("group_member_added", lambda s: s.add_member("team", THREE), {"members": {THREE: {}}, "by": {"uid": ONE}}),
    ("group_member_kicked", lambda s: s.kick("team", TWO), {"members": {TWO: {}}, "by": {"uid": ONE}}),
    ("group_member_banned", lambda s: s.ban("team", TWO), {"members": {TWO: {}}, "by": {"uid": ONE}}),
    (
        "group_member_unbanned",
        lambda s: (s.ban("team", TWO), s.unban("team", TWO)),
        {"members": {TWO: {}}, "by": {"uid": ONE}, "group": {"guid": "team"}},
    ),
    (
        "group_member_scope_changed",
        lambda s: s.change_scope("team", TWO, "admin"),
        {"members": {TWO: {"scope": "admin", "oldScope": "participant"}}, "by": {"uid": ONE}},
    ),
]


def has(found: Any, wanted: Any) -> bool:
    """Return whether an object has these fields, at any depth."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(key in found and has(found[key], wanted[key]) for key in wanted)
    return bool(found == wanted)


@pytest.mark.parametrize("trigger, act, wanted", MESSAGES, ids=[each[0] for each in MESSAGES])
def test_actions_of_users(told: Sandbox, receiver: Receiver, trigger: str, act: Act, wanted: Any) -> None:
    """An action of a user leads to the last event, in the published shape."""
    act(told)
    assert told.wait_until(lambda: told.deliveries and told.deliveries[-1].trigger == trigger), told.deliveries
    assert has(told.deliveries[-1].payload["data"], wanted), told.deliveries[-1].payload
    assert receiver.bodies[-1] == told.deliveries[-1].payload
    assert has(receiver.bodies[-1], {"trigger": trigger, **ENVELOPE})


@pytest.mark.parametrize("trigger, act, wanted", GROUPS, ids=[each[0] for each in GROUPS])
def test_actions_in_groups(told: Sandbox, trigger: str, act: Act, wanted: Any) -> None:
    """The event of a change of a group's members has the group, the members concerned, and the acting user."""
    group(told)
    act(told)
    assert told.wait_until(lambda: told.deliveries and told.deliveries[-1].trigger == trigger), told.deliveries
    data = told.deliveries[-1].payload["data"]
    assert has(data, wanted), data
    assert ("by" in data) == ("by" in wanted)


def test_a_group_changed_over_http(told: Sandbox, make_client: Callable[[Sandbox], Any]) -> None:
    """The events of an update, a new owner and the deletion name the acting user, and the old owner."""
    client = make_client(told)
    group(told)
    headers = {ONE: {"authToken": told.auth_token(ONE)}, TWO: {"authToken": told.auth_token(TWO)}}
    client.call("PUT", "/groups/team", headers=headers[ONE], body={"name": "Crew"})
    client.call("PATCH", "/groups/team/owner", headers=headers[ONE], body={"owner": TWO})
    client.call("DELETE", "/groups/team", headers=headers[TWO])
    events = deliveries(told, 4)
    assert [name for name, _ in events][1:] == ["group_updated", "group_owner_transferred", "group_deleted"]
    assert has(events[1][1], {"group": {"name": "Crew", "updatedBy": ONE}})
    assert has(events[2][1], {"group": {"owner": TWO, "oldOwner": ONE, "updatedBy": ONE}})
    assert has(events[3][1], {"group": {"guid": "team", "updatedBy": TWO}})


def test_a_back_end_hands_over_a_group(told: Sandbox, make_client: Callable[[Sandbox], Any]) -> None:
    """The old owner is the one from before, and not the app. The present owner is refused."""
    client = make_client(told)
    group(told)
    answers = [
        client.call("PATCH", "/groups/team/owner", headers={"apiKey": told.api_key}, body={"owner": TWO})
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [200, 403]
    events = deliveries(told, 2)
    assert events[1][0] == "group_owner_transferred"
    assert has(events[1][1], {"group": {"owner": TWO, "oldOwner": ONE, "updatedBy": "app_system"}})


def test_a_deleted_message_keeps_few_fields(told: Sandbox) -> None:
    """A deleted message keeps the published fields: id, conversationId, deletedAt and deletedBy."""
    told.delete_message(told.send_message(ONE, TWO, "Hi")["id"])
    trigger, data = deliveries(told, 2)[1]
    assert trigger == "message_deleted"
    on = data["message"]["data"]["entities"]["on"]
    assert set(on["entity"]) == {"id", "conversationId", "deletedAt", "deletedBy"}


def test_connections(told: Sandbox, make_client: Callable[[Sandbox], Any]) -> None:
    """Each connection has an event, with its platform. Presence changes with the first and the last one of a user."""
    client = make_client(told)
    sockets = [client.connect(ONE), client.connect(ONE)]
    for count, socket in enumerate(sockets, 3):
        socket.close()
        deliveries(told, count)
    found = [
        (data["status"], data["currentConnection"]["action"], data["userPresenceChanged"])
        for _, data in deliveries(told, 4)
    ]
    assert found == [
        ("online", "connected", True),
        ("online", "connected", False),
        ("offline", "disconnected", False),
        ("offline", "disconnected", True),
    ]
    data = told.deliveries[-1].payload["data"]
    assert data["currentConnection"]["platform"] == "python"
    assert 10**12 < data["currentConnection"]["connectedAt"] <= data["timestamp"]
    assert data["user"] == {"uid": ONE, "name": "Andrew Joseph", "status": "offline", "role": "default"}


def test_a_stop_ends_the_connections(told: Sandbox, make_client: Callable[[Sandbox], Any]) -> None:
    """The users whom a stop of the sandbox takes offline have an event before it has stopped."""
    make_client(told).connect(ONE)
    told.stop()
    assert [each.payload["data"]["status"] for each in told.deliveries] == ["online", "offline"]


def test_a_receipt_of_the_socket(told: Sandbox, make_client: Callable[[Sandbox], Any]) -> None:
    """A receipt in a frame has an event like one over HTTP."""
    told.send_message(ONE, TWO, "Hi")
    client = make_client(told)
    socket = client.connect(TWO)
    body = {"action": "delivered", "messageId": "1"}
    client.send(socket, client.frame("receipts", TWO, ONE, body, messageSender=ONE))
    trigger, data = deliveries(told, 3)[2]
    assert trigger == "message_delivery_receipt"
    assert data["body"]["user"] == {"uid": TWO, "name": "George Alan", "status": "online"}
    assert "appId" not in data and "deviceId" not in data


def test_order_and_basic_auth(receiver: Receiver) -> None:
    """A hundred events come once and in order, with the credentials of the URL."""
    with Sandbox(webhook_url=f"http://user:secret@{receiver.host}/webhook") as sandbox:
        for number in range(100):
            sandbox.send_message(ONE, TWO, str(number))
        deliveries(sandbox, 100)
    assert [body["data"]["message"]["data"]["text"] for body in receiver.bodies] == [str(each) for each in range(100)]
    wanted = "Basic " + base64.b64encode(b"user:secret").decode()
    assert {headers["Authorization"] for headers in receiver.headers} == {wanted}


def test_failures_are_recorded(told: Sandbox, receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    """A failing receiver does not affect the sandbox. The failure is recorded and logged.

    The next event is posted.
    """
    caplog.set_level(logging.WARNING, "cometchat.sandbox")
    receiver.status = 500
    told.send_message(ONE, TWO, "one")
    deliveries(told, 1)
    receiver.status = 302
    told.send_message(ONE, TWO, "two")
    deliveries(told, 2)
    receiver.status = 204
    told.send_message(ONE, TWO, "three")
    deliveries(told, 3)
    outcomes = [(each.status, each.error) for each in told.deliveries]
    assert outcomes == [(500, "HTTP 500"), (302, "HTTP 302"), (204, None)]
    assert repr(told.deliveries[0]) == "<Delivery message_sent 500: HTTP 500>"
    logged = [record.getMessage() for record in caplog.records]
    assert f"webhook {receiver.url}: message_sent was not delivered: HTTP 500" in logged


def test_a_receiver_that_is_down(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    """The record has the error, and no text has the password."""
    host = receiver.host
    receiver.close()
    with Sandbox(webhook_url=f"http://user:secret@{host}/") as sandbox:
        sandbox.send_message(ONE, TWO, "Hi")
        deliveries(sandbox, 1)
        (delivery,) = sandbox.deliveries
    assert delivery.status == 0 and delivery.error
    assert "secret" not in caplog.text + repr(delivery) + repr(vars(delivery))


def test_a_receiver_that_hangs_does_not_keep_the_sandbox(
    told: Sandbox, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """stop() waits a short time for the running delivery. That event and those behind it are recorded as failed."""
    monkeypatch.setattr("cometchat.sandbox._service.CLOSE_TIMEOUT", 0.1)
    receiver.answering.clear()
    told.send_message(ONE, TWO, "one")
    told.send_message(ONE, TWO, "two")
    assert receiver.asked.wait(TIMEOUT)
    told.stop()
    assert [each.error for each in told.deliveries] == ["the sandbox was stopped"] * 2


def test_events_of_a_stopped_sandbox_wait(receiver: Receiver) -> None:
    """Events from before the start are posted after it."""
    sandbox = Sandbox(webhook_url=receiver.url)
    sandbox.send_message(ONE, TWO, "early")
    with sandbox:
        assert deliveries(sandbox, 1)[0][0] == "message_sent"
    sandbox.clear_records()
    assert sandbox.deliveries == []


@pytest.mark.parametrize("url", ["localhost:80", "ftp://secret@host/", "http://", "http://[secret", "http://secret:x"])
def test_a_wrong_url(url: str) -> None:
    """A wrong URL is refused at once. The text says what would be right, and does not repeat the URL."""
    with pytest.raises(ValueError, match="expected a URL such as") as caught:
        Sandbox(webhook_url=url)
    assert "secret" not in str(caught.value)
