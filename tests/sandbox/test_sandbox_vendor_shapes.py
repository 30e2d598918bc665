"""The calls and frames of the vendor's browser client, replayed by hand: the sandbox accepts them without a violation.
"""

from __future__ import annotations

import time
import uuid
from typing import Any, Callable, Dict, Optional

import pytest

ORIGIN = "http://localhost:8080"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64)"


@pytest.fixture
def browser(sandbox, make_client):
    """A raw client with the headers of the vendor's client, version 4.2.0."""
    client = make_client(sandbox)
    client.resource = f"WEB-4_2_0-{uuid.uuid4()}-{int(time.time() * 1000)}"
    client.headers.update(sdk="javascript@4.2.0", resource=client.resource, Origin=ORIGIN)
    client.device.update(platform="WEB", appInfo={"version": "v4.2.0", "apiVersion": "v3.0", "userAgent": BROWSER})
    return client


def log_in(browser: Any, uid: str = "cometchat-uid-1") -> Dict[str, Any]:
    """Make the two calls of a login, each with the version prefix."""
    created = browser.call(
        "POST",
        f"/v3.0/users/{uid}/auth_tokens",
        headers={"apiKey": browser.sandbox.auth_key},
        body=browser.device,
    )
    headers = {"authToken": created.json()["data"]["authToken"]}
    user = browser.call("PUT", "/v3.0/me", headers=headers, body=browser.device).json()["data"]
    assert isinstance(user, dict)
    return user


def auth_frame(browser: Any, uid: str, jwt: str) -> Dict[str, Any]:
    """Return the first frame. Its version and its platform differ from those of the login."""
    frame: Dict[str, Any] = browser.auth_frame(uid, jwt)
    frame["body"]["params"].update(userAgent=BROWSER, platform="javascript")
    frame["body"]["params"]["appInfo"].update(version="4.2.0", origin=ORIGIN)
    return frame


def join(browser: Any, uid: str = "cometchat-uid-1") -> Any:
    """Open a WebSocket of a user, logged in and accepted."""
    socket = browser.open()
    browser.send(socket, auth_frame(browser, uid, log_in(browser, uid)["jwt"]))
    assert browser.receive(socket)["body"]["code"] == "200"
    return socket


def ping(browser: Any, user: Dict[str, Any], **headers: Optional[str]) -> Any:
    """Ask whether jwt and settings are still valid, without the headers of all other calls."""
    body = {
        "appInfo": {"version": "4.2.0", "apiVersion": "v3.0", "origin": ORIGIN, "uts": int(time.time() * 1000)},
        "uid": user["uid"],
        "userAgent": BROWSER,
        "deviceId": browser.device_id,
        "platform": "javascript",
        "wsId": browser.resource,
    }
    asked = {
        "Accept": None,
        "resource": None,
        "authToken": user["authToken"],
        "Authorization": f"Bearer {user['jwt']}",
        "settingsHash": user["settings"]["settingsHash"],
        "settingsHashReceivedAt": str(user["settings"]["settingsHashReceivedAt"]),
    }
    return browser.call("POST", "/v1/ping", headers={**asked, **headers}, body=body)


def test_a_browser_logs_in_and_is_accepted(browser, sandbox):
    """Login and auth frame follow the protocol, though they name two platforms and two versions."""
    join(browser)
    assert sandbox.wait_for_connections(1)
    assert sandbox.violations == []


def test_a_second_tab_takes_up_the_stored_jwt(browser, sandbox):
    """A tab has its own resource, and the first tab's jwt. It is accepted, without a violation."""
    jwt = log_in(browser)["jwt"]
    browser.resource = f"WEB-4_2_0-{uuid.uuid4()}-{int(time.time() * 1000)}"
    socket = browser.open()
    browser.send(socket, auth_frame(browser, "cometchat-uid-1", jwt))
    assert browser.receive(socket)["body"]["code"] == "200"
    assert sandbox.violations == []


def test_typing_without_metadata_is_routed(browser, client, sandbox):
    """A typing indicator of an app without metadata reaches the receiver without metadata."""
    receiver = client.connect("cometchat-uid-2", presence=None)
    sender = join(browser)
    browser.send(sender, browser.frame("typing_indicator", "cometchat-uid-1", "cometchat-uid-2", {"action": "ended"}))
    got = client.receive(receiver)
    assert (got["type"], got["body"]["action"]) == ("typing_indicator", "ended")
    assert "metadata" not in got["body"]
    assert sandbox.violations == []


def test_typing_with_wrong_metadata_is_a_violation(client, sandbox):
    """If metadata is present, it must be an object."""
    sender = client.connect("cometchat-uid-1", presence=None)
    body = {"action": "started", "metadata": "text"}
    client.send(sender, client.frame("typing_indicator", "cometchat-uid-1", "cometchat-uid-2", body))
    wrong = "socket: typing_indicator.body.metadata is wrong"
    assert sandbox.wait_until(lambda: wrong in sandbox.violations)


def test_a_message_with_fields_beside_its_data_is_stored(browser, client, sandbox):
    """A text message has its text twice and no muid. The delivered message has the text in its data."""
    receiver = client.connect("cometchat-uid-2", presence=None)
    body = {
        "type": "text",
        "receiverType": "user",
        "category": "message",
        "data": {"text": "hello"},
        "text": "hello",
        "receiver": "cometchat-uid-2",
    }
    headers = {"authToken": log_in(browser)["authToken"]}
    stored = browser.call("POST", "/v3.0/messages", headers=headers, body=body).json()["data"]
    assert stored["data"]["text"] == "hello" and "muid" not in stored
    assert client.receive(receiver)["body"]["data"]["text"] == "hello"
    assert sandbox.violations == []


def test_a_user_session_is_taken(browser, sandbox):
    """The client's report about its environment, seconds after a login, succeeds."""
    headers = {"authToken": log_in(browser)["authToken"]}
    body = {
        "sessionId": "ab" * 32,
        "data": {"device": {"id": browser.device_id, "platform": "unknown"}, "app": {"url": "localhost"}},
        "generatedAt": int(time.time()),
    }
    answer = browser.call("POST", "/v3.0/user_sessions", headers=headers, body=body)
    assert (answer.status_code, answer.json()) == (200, {"data": {"success": True}})
    assert sandbox.violations == []


def test_a_ping_over_http_is_answered(browser, sandbox):
    """While jwt and settings are valid, the ping succeeds, and its missing headers are not a violation."""
    answer = ping(browser, log_in(browser))
    assert (answer.status_code, answer.json()) == (200, {"data": {"success": True}})
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert sandbox.violations == []


@pytest.mark.parametrize(
    "change",
    [
        lambda sandbox: {"Authorization": None},
        lambda sandbox: {"Authorization": "Bearer not.a.jwt"},
        lambda sandbox: {"Authorization": f"Bearer {sandbox.jwt('cometchat-uid-2')}"},
        lambda sandbox: sandbox.expire_jwts() and {},
    ],
    ids=["none", "no jwt", "another's", "expired"],
)
def test_a_ping_tells_of_a_jwt_that_is_not_good(browser, sandbox, change: Callable[[Any], Dict[str, Any]]):
    """From ERR_NO_AUTH the client learns that it needs another jwt."""
    user = log_in(browser)
    answer = ping(browser, user, **change(sandbox))
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "ERR_NO_AUTH")


def test_a_ping_tells_of_changed_settings(browser, sandbox):
    """From ERR_SETTINGS_HASH_OUTDATED the client learns that it must log in again. Then it has the new mode."""
    user = log_in(browser)
    sandbox.set_mode("LIMITED_TRANSIENT")
    answer = ping(browser, user)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "ERR_SETTINGS_HASH_OUTDATED")
    again = browser.call("PUT", "/v3.0/me", headers={"authToken": user["authToken"]}, body=browser.device)
    user = again.json()["data"]
    assert user["settings"]["MODE"] == "LIMITED_TRANSIENT"
    assert ping(browser, user).status_code == 200


def test_a_ping_without_a_login_is_refused(browser):
    """A void auth token is refused like everywhere."""
    user = log_in(browser)
    browser.sandbox.revoke_tokens()
    assert ping(browser, user).json()["error"]["code"] == "AUTH_ERR_AUTH_TOKEN_NOT_FOUND"


def test_get_me_renews_the_jwt(browser, sandbox):
    """GET /me, without a body, returns the user with the settings and a jwt that the socket accepts."""
    user = log_in(browser)
    sandbox.expire_jwts()
    answer = browser.call("GET", "/v3.0/me", headers={"authToken": user["authToken"]})
    renewed = answer.json()["data"]
    assert (answer.status_code, renewed["uid"]) == (200, "cometchat-uid-1")
    assert renewed["settings"]["settingsHash"] == user["settings"]["settingsHash"]
    socket = browser.open()
    browser.send(socket, auth_frame(browser, "cometchat-uid-1", renewed["jwt"]))
    assert browser.receive(socket)["body"]["code"] == "200"
    assert sandbox.violations == []


def test_get_me_without_a_login_is_refused(browser):
    """GET /me without an auth token is refused."""
    answer = browser.call("GET", "/me")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "AUTH_ERR_EMPTY_AUTH_TOKEN")
