"""Requests with wrong values are refused with the vendor's envelope. None makes the sandbox itself fail."""

from __future__ import annotations

import json
import socket

import pytest
import requests
from sandbox_answers import code

A, B = "cometchat-uid-1", "cometchat-uid-2"

DEEP = '{"a":' * 100_000 + "1" + "}" * 100_000
MESSAGE = (
    '{"receiver": "cometchat-uid-2", "receiverType": "user", "category": "custom", "type": "t", '
    '"data": {"customData": %s}}'
)


@pytest.fixture
def app(sandbox):
    """Make calls of a back end, with the text of a body."""

    def call(method, path, body="", by=None):
        headers = {"apiKey": sandbox.api_key, **({} if by is None else {"onBehalfOf": by})}
        return requests.request(method, f"{sandbox.url}/v3{path}", data=body.encode(), headers=headers, timeout=5)

    return call


@pytest.mark.parametrize("body", [DEEP, *(MESSAGE % value for value in ("NaN", "Infinity", "-Infinity", "1e999"))])
def test_a_body_that_browsers_could_not_read_is_not_json(client, sandbox, say, body):
    """Python's reader takes NaN and infinite numbers, and fails for deep nesting. The sandbox stores neither."""
    answer = client.call("POST", "/messages", headers={"authToken": sandbox.auth_token(A)}, body=body)
    assert code(answer) == (400, "ERR_BAD_REQUEST")
    assert sandbox.messages == []


@pytest.mark.parametrize("frame", [DEEP, '{"action": NaN}'])
def test_a_frame_that_is_not_json_is_a_violation(client, sandbox, frame):
    """The socket stays open, also after a frame that is nested too deep."""
    socket = client.connect(A)
    socket.send(frame)
    assert sandbox.wait_until(lambda: sandbox.violations)
    assert "not a JSON object" in sandbox.violations[0]
    socket.send(json.dumps({"action": "ping", "ack": "true"}))
    assert client.receive(socket) == {"action": "pong"}


def test_a_jwt_that_is_not_text_is_refused(client, sandbox):
    """JSON may have half of a character. The sandbox refuses it like any other wrong jwt, and is not silent."""
    socket = client.open()
    client.send(socket, client.auth_frame(A, "\ud800.a.b"))
    assert client.receive(socket)["body"]["code"] == "401"


@pytest.mark.parametrize(
    "headers, expected",
    [
        ({"apiKey": "\u00ff".encode("latin-1")}, "AUTH_ERR_APIKEY_NOT_FOUND"),
        ({"Authorization": b"Bearer \xff.a.b"}, "ERR_NO_AUTH"),
    ],
)
def test_a_credential_that_is_not_text_is_refused(sandbox, headers, expected):
    """Its bytes are not UTF-8."""
    if "Authorization" in headers:
        headers = {**headers, "authToken": sandbox.auth_token(A), "appId": sandbox.app_id}
    answer = requests.post(f"{sandbox.url}/ping", headers=headers, timeout=5)
    assert code(answer) == (401, expected)


def test_an_upload_for_a_receiver_that_is_not_text(say):
    """The receiver of an upload is checked like that of a message."""
    files = {"f": {"name": "n", "size": 3, "mimeType": "a/b"}}
    for kind in ("user", "group"):
        answer = say(A, "POST", "/files/upload-url", {"files": files, "receiver": 5, "receiverType": kind})
        assert code(answer) == (400, "ERR_EMPTY_RECEIVER")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_back_end_has_no_own_user(app, method):
    """The routes of /me need an auth token: a back end on behalf of a user has no token to show, renew or void."""
    assert code(app(method, "/me", "{}" if method == "PUT" else "", by=A)) == (401, "AUTH_ERR_EMPTY_AUTH_TOKEN")


@pytest.mark.parametrize(
    "field, value",
    [
        ("name", "x" * 101),
        ("name", 5),
        ("avatar", 5),
        ("link", "x" * 3001),
        ("metadata", 1.5),
        ("metadata", {"a": "\u00e4" * 2_600}),
        ("statusMessage", []),
        ("tags", 1.5),
        ("tags", [{}]),
        ("tags", ["x" * 101]),
        ("tags", ["x"] * 26),
    ],
)
def test_a_wrong_field_of_a_user_is_refused(app, say, field, value):
    """It would break the lists of users. Users and back ends get the same refusal."""
    for answer in (
        say(A, "PUT", "/me", {"name": "Andy", field: value}),
        app("PUT", f"/users/{B}", json.dumps({field: value})),
        app("POST", "/users", json.dumps({"uid": "new", "name": "New", field: value})),
    ):
        assert code(answer) == (400, "ERR_BAD_REQUEST")
        assert list(answer.json()["error"]["details"]) == [field]
    assert app("GET", "/users?tags=a").status_code == 200


def test_five_kilobytes_of_metadata_are_accepted(app, say):
    """The limit of the vendor's page: of a user's metadata, and of a group's."""
    metadata = {"a": "\u00e4" * 2_550}
    assert say(A, "PUT", "/me", {"name": "Andy", "metadata": metadata}).json()["data"]["metadata"] == metadata
    assert app("PUT", f"/users/{B}", json.dumps({"metadata": metadata})).status_code == 200
    group = {"guid": "g", "name": "G", "type": "public", "metadata": metadata}
    assert say(A, "POST", "/groups", group).status_code == 200


def test_a_null_of_a_client_changes_nothing(say):
    """A client may send the fields that its user does not have as null."""
    say(A, "PUT", "/me", {"name": "Andy", "statusMessage": "busy"})
    me = say(A, "PUT", "/me", {"name": "Andrew", "statusMessage": None, "metadata": None}).json()["data"]
    assert (me["name"], me["statusMessage"]) == ("Andrew", "busy") and "metadata" not in me


@pytest.mark.parametrize("unset", [5, "avatar", [[]]])
def test_only_a_list_of_texts_unsets_fields(app, unset):
    """Other values are refused."""
    answer = app("PUT", f"/users/{A}", json.dumps({"unset": unset}))
    assert code(answer) == (400, "ERR_BAD_REQUEST")


@pytest.mark.parametrize(
    "field, value",
    [
        ("guid", "a/b"),
        ("guid", "x" * 101),
        ("name", "x" * 101),
        ("icon", 5),
        ("description", "x" * 256),
        ("metadata", 1.5),
        ("metadata", {"a": "\u00e4" * 2_600}),
        ("metadata", "x" * 5_121),
        ("password", "x" * 101),
        ("password", 5),
        ("tags", 1.5),
        ("tags", [{}]),
        ("owner", 5),
    ],
)
def test_a_wrong_field_of_a_group_is_refused(app, say, field, value):
    """It would break the lists of groups, or be over the vendor's limits."""
    body = json.dumps({"guid": "g", "name": "G", "type": "public", field: value})
    for answer in (app("POST", "/groups", body), app("POST", "/groups", body, by=A)):
        assert code(answer) == (400, "ERR_BAD_REQUEST")
        assert list(answer.json()["error"]["details"]) == [field]
    assert say(A, "POST", "/groups", {"guid": "g", "name": "G", "type": "public"}).status_code == 200
    if field not in ("guid", "owner"):  # no change of a group reads these
        assert code(say(A, "PUT", "/groups/g", {field: value})) == (400, "ERR_BAD_REQUEST")
    assert say(A, "GET", "/groups?tags=a").status_code == 200


def test_null_fields_of_a_group_are_like_no_fields(app, say):
    """The owner, the members and the details may be null."""
    nulls = dict.fromkeys(("icon", "description", "metadata", "tags", "owner", "members", "password"))
    given = {"name": "G", "type": "public", **nulls}
    group = app("POST", "/groups", json.dumps({"guid": "g", **given}), by=A).json()["data"]
    assert group["owner"] == A and not set(group) & {"icon", "description", "metadata", "tags"}
    group_of_app = app("POST", "/groups", json.dumps({"guid": "h", **given})).json()["data"]
    assert group_of_app["owner"] == "app_system"
    assert say(A, "PUT", "/groups/g", {"name": "New", **nulls}).json()["data"]["name"] == "New"


def test_clients_may_send_metadata_as_text(say):
    """It is kept as it is. The SDK reads it as an object."""
    text = '{"a": 1}'
    assert say(A, "PUT", "/me", {"metadata": text}).json()["data"]["metadata"] == text
    group = {"guid": "g", "name": "G", "type": "public", "metadata": text}
    assert say(A, "POST", "/groups", group).json()["data"]["metadata"] == text


def test_no_user_blocks_themselves(say):
    """The case of the own uid does not matter."""
    assert code(say(A, "POST", "/blockedusers", {"blockedUids": [A.upper()]})) == (400, "ERR_CANNOT_BLOCK_SELF")


def unfinished(sandbox, more=""):
    """Open a connection, and send a request without its body."""
    connection = socket.create_connection(("127.0.0.1", sandbox.port), timeout=10)
    connection.sendall(f"POST /v3/users HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n{more}\r\n".encode())
    return connection


def test_a_client_that_waits_for_100_continue(sandbox):
    """A client that asks before it sends a large body, such as curl, needs no pause."""
    with unfinished(sandbox, "Expect: 100-continue\r\n") as connection:
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"{}       ")
        assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")


def test_a_client_that_ends_in_its_request_is_not_an_error(caplog, sandbox):
    """A killed client leaves half a body. The log has no traceback of it."""
    with unfinished(sandbox, "Expect: 100-continue\r\n") as connection:
        connection.recv(1000)  # the sandbox reads the body now
    sandbox.stop()
    assert caplog.records == []
