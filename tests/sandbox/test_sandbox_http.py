"""The HTTP API of the sandbox, called by hand."""

from __future__ import annotations

import base64
import json
import time
from typing import Any, Dict

import pytest

from cometchat.sandbox import Sandbox

UIDS = [f"cometchat-uid-{number}" for number in range(1, 6)]


def claims(jwt: str) -> Dict[str, Any]:
    part = jwt.split(".")[1]
    result = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    assert isinstance(result, dict)
    return result


@pytest.mark.parametrize("prefix", ["", "/v3.0"])
def test_login_takes_two_calls(client, sandbox, prefix):
    """An auth key leads to an auth token, and that to the user, jwt, settings and wsChannel, for both prefixes."""
    answer = client.call(
        "POST",
        prefix + "/users/cometchat-uid-1/auth_tokens",
        headers={"apiKey": sandbox.auth_key},
        body=client.device,
    )
    assert answer.status_code == 200
    data = answer.json()["data"]
    assert data["uid"] == "cometchat-uid-1" and abs(data["createdAt"] - time.time()) < 5
    me = client.call("PUT", prefix + "/me", headers={"authToken": data["authToken"]}, body=client.device)
    assert me.status_code == 200
    user = me.json()["data"]
    assert (user["uid"], user["name"], user["status"]) == ("cometchat-uid-1", "Andrew Joseph", "available")
    assert user["authToken"] == data["authToken"]
    assert {"jwt", "settings", "wsChannel", "fat"} <= set(user)
    assert sandbox.violations == []


def test_the_sample_users_exist(client):
    """cometchat-uid-1 to -5 can log in, each with another name."""
    assert len({client.log_in(uid)["name"] for uid in UIDS}) == 5


def test_added_users_exist(client, sandbox):
    """A user of add_user() can log in, with the given role and avatar, and with any uid."""
    sandbox.add_user("zoë/1", "Zoë", role="admin", avatar="https://example.org/z.png")
    token = client.create_token("zo%C3%AB%2F1").json()["data"]["authToken"]
    user = client.me(token).json()["data"]
    assert (user["uid"], user["role"], user["avatar"]) == ("zoë/1", "admin", "https://example.org/z.png")


@pytest.mark.parametrize(
    "headers, status, code",
    [
        ({"appId": None}, 400, "AUTH_ERR_EMPTY_APPID"),
        ({"appId": "another"}, 401, "AUTH_ERR_INVALID_APPID"),
        ({"apiKey": None}, 401, "AUTH_ERR_EMPTY_APIKEY"),
        ({"apiKey": "wrong"}, 401, "AUTH_ERR_APIKEY_NOT_FOUND"),
    ],
)
def test_wrong_keys_are_refused(client, headers, status, code):
    """A missing or wrong app id or key gets an error envelope with the vendor's code."""
    answer = client.create_token("cometchat-uid-1", **headers)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}
    assert set(answer.json()["error"]) == {"code", "message", "devMessage", "source", "details"}
    assert answer.json()["error"]["source"] == "chat-api" and answer.json()["error"]["details"] == {}
    assert answer.json()["error"]["code"] == code


def test_an_unknown_uid_is_refused(client):
    """A login of an unknown user gets 404 and ERR_UID_NOT_FOUND."""
    answer = client.create_token("nobody")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "ERR_UID_NOT_FOUND")


@pytest.mark.parametrize("token, code", [(None, "AUTH_ERR_EMPTY_AUTH_TOKEN"), ("x", "AUTH_ERR_AUTH_TOKEN_NOT_FOUND")])
@pytest.mark.parametrize(
    "method, path", [("PUT", "/me"), ("DELETE", "/me"), ("GET", "/settings"), ("POST", "/messages")]
)
def test_calls_want_an_auth_token(client, method, path, token, code):
    """Without a valid auth token, every call of the client API is refused with 401."""
    answer = client.call(method, path, headers={"authToken": token}, body=client.device)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, code)


def test_an_auth_token_needs_no_http(client, sandbox):
    """A token of auth_token() logs in. An unknown user gets no token."""
    assert client.me(sandbox.auth_token("cometchat-uid-2")).json()["data"]["uid"] == "cometchat-uid-2"
    with pytest.raises(KeyError):
        sandbox.auth_token("nobody")


def test_logout_voids_the_token(client, sandbox):
    """DELETE /me answers success, and the token is refused from then on."""
    token = sandbox.auth_token("cometchat-uid-1")
    answer = client.call("DELETE", "/me", headers={"authToken": token})
    assert answer.json() == {"data": {"success": True}}
    assert client.me(token).status_code == 401


def test_the_jwt_says_whose_it_is_and_how_long(client):
    """The jwt is three base64url parts with sub, iat and an exp 60 days later."""
    jwt = client.log_in()["jwt"]
    assert jwt.count(".") == 2 and "=" not in jwt
    said = claims(jwt)
    assert said["sub"] == "cometchat-uid-1" and abs(said["iat"] - time.time()) < 5
    assert said["exp"] - said["iat"] == 60 * 24 * 3600


def test_the_jwt_lifetime_can_be_set(client, sandbox):
    """With a negative jwt_lifetime, a new jwt has already expired, until heal() is called."""
    sandbox.jwt_lifetime = -10
    said = claims(client.log_in()["jwt"])
    assert said["exp"] < time.time()
    sandbox.heal()
    assert claims(client.log_in()["jwt"])["exp"] > time.time()


def test_the_settings_lead_here(client, sandbox):
    """Every host of the settings is the sandbox, also the one for pings, which are on. MODE is DEFAULT."""
    token = sandbox.auth_token("cometchat-uid-1")
    settings = client.call("GET", "/v3.0/settings", headers={"authToken": token}).json()["data"]
    here = f"127.0.0.1:{sandbox.port}"
    assert (settings["CHAT_HOST"], settings["CHAT_WS_PORT"]) == ("127.0.0.1", str(sandbox.port))
    # Read in the tests of the vendor's Android client.
    expected = {"GROUP_SERVICE", "CALL_SERVICE", "CHAT_HTTP_BIND_PORT", "CHAT_HTTPS_BIND_PORT", "WEBRTC_HOST"}
    assert expected <= settings.keys()
    assert settings["ADMIN_API_HOST"] == settings["CLIENT_API_HOST"] == here
    assert settings["MODE"] == "DEFAULT" and settings["CHAT_USE_SSL"] is False
    assert settings["ANALYTICS_PING_DISABLED"] is False and settings["ANALYTICS_HOST"] == here
    assert not any("cometchat.io" in str(value) for value in settings.values())


def test_set_mode_changes_the_settings(client, sandbox):
    """set_mode() changes MODE and the hash of the settings, until heal() is called."""
    before = client.log_in()["settings"]
    sandbox.set_mode("NO_TRANSIENT")
    throttled = client.log_in()["settings"]
    assert throttled["MODE"] == "NO_TRANSIENT" and throttled["settingsHash"] != before["settingsHash"]
    sandbox.heal()
    assert client.log_in()["settings"]["settingsHash"] == before["settingsHash"]


def test_settings_can_be_overridden(client, sandbox):
    """override_settings() changes any field of the settings."""
    sandbox.override_settings(CHAT_HOST_OVERRIDE="localhost", CHAT_WS_PORT=1)
    settings = client.log_in()["settings"]
    assert (settings["CHAT_HOST_OVERRIDE"], settings["CHAT_WS_PORT"]) == ("localhost", 1)


def test_user_sessions_are_answered(client):
    """POST .../user_sessions, under any path, succeeds."""
    for path in ("/user_sessions", "/v3.0/me/user_sessions"):
        assert client.call("POST", path, body={}).json() == {"data": {"success": True}}


@pytest.mark.parametrize(
    "method, path, body, status, code",
    [
        ("GET", "/v3.0/nothing", None, 404, "ERR_API_NOT_FOUND"),
        ("GET", "/v2.0/me", None, 400, "ERR_INVALID_API_VERSION"),
        ("PATCH", "/me", None, 404, "ERR_API_NOT_FOUND"),
        ("PUT", "/me", "{", 400, "ERR_BAD_REQUEST"),
        ("PUT", "/me", b"\xff\xfe", 400, "ERR_BAD_REQUEST"),
    ],
)
def test_unknown_paths_and_bad_bodies_are_refused_in_the_envelope(client, sandbox, method, path, body, status, code):
    """Unknown paths and versions, wrong methods and bodies that are not JSON get the error envelope."""
    headers = {"authToken": sandbox.auth_token("cometchat-uid-1")}
    answer = client.call(method, path, headers=headers, body=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_the_host_header_does_not_matter(client, sandbox):
    """A request for a host of the real service, mapped to the sandbox, is answered like any other."""
    host = {"Host": f"{sandbox.app_id}.api-us.cometchat.io", "apiKey": sandbox.auth_key}
    answer = client.call("POST", "/v3.0/users/cometchat-uid-1/auth_tokens", headers=host, body=client.device)
    assert answer.status_code == 200


def test_preflights_are_granted(client, sandbox):
    """OPTIONS of any path permits a local origin, the requested method and headers, and private networks."""
    answer = client.call(
        "OPTIONS",
        "/v3.0/whatever",
        headers={
            "appId": None,
            "Origin": "http://localhost:8080",
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "appid,authtoken,x-made-up",
            "Access-Control-Request-Private-Network": "true",
        },
    )
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:8080"
    assert answer.headers["Access-Control-Allow-Headers"] == "appid,authtoken,x-made-up"
    assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["Access-Control-Allow-Private-Network"] == "true"


def test_every_answer_carries_cors(client, sandbox):
    """A page of this machine can read successes, refusals and injected failures."""
    origin = {"Origin": "http://127.0.0.1:3000"}
    answers = [client.create_token("cometchat-uid-1", **origin), client.create_token("nobody", **origin)]
    sandbox.fail_http(503, retry_after=7)
    answers.append(client.create_token("cometchat-uid-1", **origin))
    assert [answer.status_code for answer in answers] == [200, 404, 503]
    assert {answer.headers["Access-Control-Allow-Origin"] for answer in answers} == {"http://127.0.0.1:3000"}
    assert "Retry-After" in answers[-1].headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("origin", ["https://app.example", "null", "http://localhost.example", "http://[::1", "x"])
def test_pages_of_other_origins_may_not_call(client, sandbox, origin):
    """A page of another machine gets no permission, neither by a preflight nor with an answer."""
    answers = [client.call(method, "/me", headers={"Origin": origin}) for method in ("OPTIONS", "GET")]
    assert [answer.status_code for answer in answers] == [204, 401]
    assert not [name for answer in answers for name in answer.headers if name.startswith("Access-Control")]


def test_origins_are_a_list():
    """A text is a sequence too: each of its characters would be an origin, and no page could call."""
    with pytest.raises(ValueError, match="origins: give a list of origins, not the text 'https://app.example'"):
        Sandbox(origins="https://app.example")


def test_an_origin_can_be_allowed(make_client):
    """origins= permits further pages to call. Pages of this machine may still call."""
    with Sandbox(origins=["https://app.example"]) as sandbox:
        client = make_client(sandbox)
        for origin in ("https://app.example", "http://[::1]:80", "http://app.localhost"):
            answer = client.call("GET", "/me", headers={"Origin": origin})
            assert answer.headers["Access-Control-Allow-Origin"] == origin
            assert answer.headers["Access-Control-Allow-Credentials"] == "true"


def test_each_sandbox_has_an_auth_key_of_its_own(make_client):
    """Each sandbox makes its own auth key. The key stays through a restart, and can be given."""
    one, two = Sandbox(), Sandbox(auth_key="given")
    assert one.auth_key != Sandbox().auth_key and len(one.auth_key) == 40 and two.auth_key == "given"
    with two:
        assert make_client(two).create_token("cometchat-uid-1").status_code == 200


@pytest.mark.parametrize(
    "header, value", [("sdk", None), ("resource", "PYTHON-1"), ("Accept", "*/*"), ("Content-Type", "text/plain")]
)
def test_wrong_headers_are_violations(client, sandbox, header, value):
    """A call without the usual headers is answered, and recorded as a violation."""
    assert client.create_token("cometchat-uid-1", **{header: value}).status_code == 200
    assert len(sandbox.violations) == 1 and header in sandbox.violations[0]


@pytest.mark.parametrize(
    "change, what",
    [
        ({"deviceId": ""}, "body.deviceId is wrong"),
        ({"platform": ""}, "body.platform is wrong"),
        ({"appInfo": {}}, "body.appInfo.version is missing"),
        ({"appInfo": 5}, "body.appInfo is not an object"),
        ({"extra": 1}, "body.extra is not of the protocol"),
    ],
)
def test_wrong_bodies_are_violations(client, sandbox, change, what):
    """A login body outside of the protocol is answered, and recorded as a violation."""
    client.device.update(change)
    assert client.me(sandbox.auth_token("cometchat-uid-1")).status_code == 200
    assert f"PUT /me: {what}" in sandbox.violations


def test_a_login_without_a_body_is_a_violation(client, sandbox):
    """PUT /me without a body is answered, and recorded as a violation."""
    assert client.call("PUT", "/me", headers={"authToken": sandbox.auth_token("cometchat-uid-1")}).status_code == 200
    assert sandbox.violations == ["PUT /me: body is not an object"]


def test_requests_are_recorded(client, sandbox):
    """Every request is in requests before the caller has its answer. Its headers can be read in any case."""
    client.create_token("nobody")
    (request,) = sandbox.requests
    assert (request.method, request.path, request.status) == ("POST", "/users/nobody/auth_tokens", 404)
    assert request.headers["APIKEY"] == sandbox.auth_key and sandbox.auth_key not in repr(request)
    assert abs(request.time - time.monotonic()) < 5
    sandbox.clear_records()
    assert sandbox.requests == []


def test_the_query_of_a_request_is_recorded(client, sandbox):
    """The decoded query of a request is in its record, and not in its path."""
    client.call("GET", "/v3.0/messages?affix=append&id=7&searchKey=a%26b%20c")
    client.call("GET", "/settings")
    asked, plain = sandbox.requests
    assert (asked.path, dict(asked.query)) == ("/v3.0/messages", {"affix": "append", "id": "7", "searchKey": "a&b c"})
    assert dict(plain.query) == {}


def message(**change: Any) -> Dict[str, Any]:
    return {
        "receiver": "cometchat-uid-2",
        "receiverType": "user",
        "category": "message",
        "type": "text",
        "muid": "m1",
        "data": {"text": "hello"},
        **change,
    }


def test_a_message_is_stored_answered_and_delivered(client, sandbox):
    """POST /messages returns the stored message, and sends it to each socket of the receiver, and to no other."""
    first, second = client.connect("cometchat-uid-2", presence=None), client.connect("cometchat-uid-2", presence=None)
    other = client.connect("cometchat-uid-3", presence=None)
    headers = {"authToken": sandbox.auth_token("cometchat-uid-1")}
    stored = client.call("POST", "/messages", headers=headers, body=message()).json()["data"]
    assert (stored["id"], stored["muid"], stored["sender"]) == ("1", "m1", "cometchat-uid-1")
    assert stored["conversationId"] == "cometchat-uid-1_user_cometchat-uid-2"
    assert stored["data"]["text"] == "hello" and stored["data"]["resource"] == client.resource
    assert stored["data"]["entities"]["receiver"]["entity"]["uid"] == "cometchat-uid-2"
    for socket in (first, second):
        frame = client.receive(socket)
        assert frame["body"] == stored
        assert (frame["type"], frame["sender"], frame["receiver"]) == ("message", "cometchat-uid-1", "cometchat-uid-2")
        assert frame["deviceId"] == client.resource and frame["appId"] == sandbox.app_id
    assert client.hears_nothing(other)
    assert sandbox.messages == [stored]
    assert client.call("POST", "/messages", headers=headers, body=message(muid="m2")).json()["data"]["id"] == "2"


@pytest.mark.parametrize(
    "body, status, code",
    [
        (None, 400, "ERR_BAD_REQUEST"),
        (message(data=None), 400, "ERR_INVALID_MESSAGE_DATA"),
        (message(type=""), 400, "ERR_EMPTY_MESSAGE_TYPE"),
        (message(receiverType="crowd"), 400, "ERR_INVALID_RECEIVER_TYPE"),
        (message(receiver="nobody"), 404, "ERR_UID_NOT_FOUND"),
        (message(receiverType="group"), 404, "ERR_GUID_NOT_FOUND"),
    ],
)
def test_an_incomplete_message_is_refused(client, sandbox, body, status, code):
    """A message with a missing field, or to an unknown receiver, is refused and not stored."""
    headers = {"authToken": sandbox.auth_token("cometchat-uid-1")}
    answer = client.call("POST", "/messages", headers=headers, body=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert sandbox.messages == []
