"""Each fault of the sandbox, seen from a client."""

from __future__ import annotations

import json
import socket as sockets
import threading
import time

import pytest
import requests
import websocket

from cometchat.sandbox.faults._faults import Faults, RateLimit
from cometchat.sandbox.http import RateLimiter

ACCEPTED = {"type": "auth", "body": {"code": "200", "status": "OK"}}


def authenticate(client, sandbox):
    """Return a socket that has sent a good auth, and has not read the answer."""
    socket = client.open()
    client.send(socket, client.auth_frame("cometchat-uid-1", sandbox.jwt("cometchat-uid-1")))
    return socket


def close_frame(socket):
    """Return the code and the reason of the next close frame."""
    opcode, data = socket.recv_data()
    assert opcode == websocket.ABNF.OPCODE_CLOSE
    return int.from_bytes(data[:2], "big"), data[2:].decode()


def test_drop_connections_resets(client, sandbox):
    """drop_connections() ends TCP with RST, without a close frame, authenticated or not, and counts them."""
    first, second = client.connect(), client.open()
    assert sandbox.drop_connections() == 2
    for socket in (first, second):
        with pytest.raises(ConnectionResetError):
            socket.recv()
    assert sandbox.wait_for_connections(0)
    assert sandbox.close_codes == []
    client.connect()


def test_drop_connections_without_reset(client, sandbox):
    """drop_connections(reset=False) ends TCP with FIN, without a close frame."""
    socket = client.connect()
    sandbox.drop_connections(reset=False)
    assert socket.sock.recv(1) == b""


def test_close_connections(client, sandbox):
    """close_connections() sends a close frame with code and reason, and does not wait for a slow client."""
    first, second = client.connect(), client.connect("cometchat-uid-2", presence=None)
    start = time.monotonic()
    assert sandbox.close_connections(4000, "go away") == 2
    assert time.monotonic() - start < 1
    assert client.receive(first)["type"] == "presence"
    for socket in (first, second):
        assert close_frame(socket) == (4000, "go away")
    assert sandbox.wait_until(lambda: sandbox.sockets == 0)
    assert sandbox.close_codes == []


def test_refuse_connections(client, sandbox):
    """refuse_connections() makes the kernel refuse HTTP and WebSockets, while an open WebSocket stays open."""
    socket, port = client.connect(), sandbox.port
    client.log_in()
    sandbox.refuse_connections()
    with pytest.raises(ConnectionRefusedError):
        sockets.create_connection(("127.0.0.1", port), 1)
    with pytest.raises(requests.ConnectionError):
        client.log_in()
    client.send(socket, {"action": "ping", "ack": "true"})
    assert client.receive(socket) == {"action": "pong"}
    sandbox.refuse_connections()
    sandbox.accept_connections()
    sandbox.accept_connections()
    assert sandbox.port == port
    client.log_in()
    client.connect()


def test_refusing_may_start_before_the_sandbox(client, sandbox):
    """A sandbox that was stopped during the call refuses from its start, until it is healed."""
    sandbox.stop()
    sandbox.refuse_connections()
    sandbox.start()
    with pytest.raises(ConnectionRefusedError):
        sockets.create_connection(("127.0.0.1", sandbox.port), 1)
    sandbox.heal()
    client.log_in()


@pytest.mark.parametrize("retry_after", [None, 7, "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_refuse_upgrades(client, sandbox, retry_after):
    """refuse_upgrades() answers the upgrade with a status and Retry-After, and does not affect HTTP."""
    sandbox.refuse_upgrades(429, retry_after)
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        client.open()
    assert caught.value.status_code == 429
    headers = {key.lower(): value for key, value in caught.value.resp_headers.items()}
    assert headers.get("retry-after") == (None if retry_after is None else str(retry_after))
    client.log_in()
    sandbox.heal()
    client.connect()
    assert len(sandbox.attempts) == 2


def test_hang_upgrades(client, sandbox):
    """hang_upgrades() accepts the TCP connection and never answers. heal() drops the connections that hang."""
    sandbox.hang_upgrades()
    with pytest.raises(websocket.WebSocketTimeoutException):
        client.open(timeout=0.1)
    assert sandbox.wait_for_attempts(1) and sandbox.sockets == 0
    client.log_in()
    with sockets.create_connection(("127.0.0.1", sandbox.port), 5) as hanging:
        hanging.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
        assert sandbox.wait_for_attempts(2)
        sandbox.heal()
        assert hanging.recv(100) == b""
    client.connect()


def test_drop_connections_ends_what_hangs(client, sandbox):
    """A hanging upgrade is a connection too: drop_connections() ends it."""
    sandbox.hang_upgrades()
    with sockets.create_connection(("127.0.0.1", sandbox.port), 5) as hanging:
        hanging.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
        assert sandbox.wait_for_attempts(1)
        assert sandbox.drop_connections() == 1
        assert hanging.recv(100) == b""


def test_a_client_that_has_given_up_is_not_dropped(client, sandbox):
    """The number that drop_connections() returns does not contain clients that have ended while they hung."""
    sandbox.hang_upgrades()
    with sockets.create_connection(("127.0.0.1", sandbox.port), 5) as hanging:
        hanging.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
        assert sandbox.wait_for_attempts(1)
    client.log_in()  # the sandbox has noticed the end of the first connection before it answers another one
    assert sandbox.drop_connections() == 0


def test_hang_http(client, sandbox):
    """hang_http() never answers, records the request with status 0, and does not affect WebSockets."""
    sandbox.hang_http()
    with pytest.raises(requests.ReadTimeout):
        client.call("PUT", "/me", timeout=0.1)
    assert [(request.method, request.status) for request in sandbox.requests] == [("PUT", 0)]
    client.connect()
    sandbox.heal()
    client.log_in()


def test_a_sandbox_stops_while_something_hangs(client, sandbox):
    """stop() ends hanging requests and upgrades at once."""
    sandbox.hang_http()
    with pytest.raises(requests.ReadTimeout):
        client.call("PUT", "/me", timeout=0.05)
    start = time.monotonic()
    sandbox.stop()
    assert time.monotonic() - start < 1


def test_refuse_auth_with_a_frame(client, sandbox):
    """refuse_auth() refuses a good jwt with its code, this many times, and the socket stays open."""
    sandbox.refuse_auth("ERR_WHATEVER", times=1)
    socket = authenticate(client, sandbox)
    assert client.receive(socket) == {"type": "auth", "body": {"code": "ERR_WHATEVER", "status": "ERROR"}}
    assert client.hears_nothing(socket, 0.05)
    client.connect()


def test_refuse_auth_with_a_close(client, sandbox):
    """refuse_auth(mode="close") closes with the given code."""
    sandbox.refuse_auth(mode="close", close_code=4401)
    assert close_frame(authenticate(client, sandbox)) == (4401, "auth refused: 401")
    sandbox.heal()
    client.connect()


def test_ignore_auth(client, sandbox):
    """ignore_auth() never answers a good jwt."""
    sandbox.ignore_auth(times=1)
    assert client.hears_nothing(authenticate(client, sandbox))
    assert (sandbox.connections, sandbox.sockets) == (0, 1)
    client.connect()


@pytest.mark.parametrize("mode", ["frame", "close", "silence"])
def test_set_refusal(client, sandbox, mode):
    """set_refusal() sets how a wrong jwt is refused, while good ones are accepted."""
    sandbox.set_refusal(mode, close_code=4003, code="403")
    sandbox.expire_jwts()
    socket = client.open()
    client.send(socket, client.auth_frame("cometchat-uid-1", "wrong"))
    if mode == "frame":
        assert client.receive(socket)["body"]["code"] == "403"
    elif mode == "close":
        assert close_frame(socket)[0] == 4003
    else:
        assert client.hears_nothing(socket)
    client.connect()


def test_a_refusal_mode_is_one_of_three(sandbox):
    """An unknown mode raises ValueError, with the known ones."""
    with pytest.raises(ValueError, match="frame, close, silence"):
        sandbox.refuse_auth(mode="shout")


@pytest.mark.parametrize(
    "fault, words",
    [
        (lambda sandbox: sandbox.close_connections(999), "code: give a whole number from 1000 to 4999"),
        (lambda sandbox: sandbox.close_connections(5000), "code: give"),
        (lambda sandbox: sandbox.close_connections(1000, "é" * 62), "reason: give at most 123 bytes"),
        (lambda sandbox: sandbox.refuse_auth(mode="close", close_code=1), "close_code: give"),
        (lambda sandbox: sandbox.fail_http("503"), "status: give a whole number from 200 to 599"),
        (lambda sandbox: sandbox.refuse_upgrades(101), "status: give"),
        (lambda sandbox: sandbox.set_latency(-1), "seconds: give a number of seconds"),
        (lambda sandbox: sandbox.set_latency(float("inf")), "seconds: give"),
        (lambda sandbox: sandbox.delay_auth("1"), "seconds: give"),
        (lambda sandbox: sandbox.refuse_auth(times="2"), "times: give a whole number, 0 or more, or None, not '2'"),
        (lambda sandbox: sandbox.ignore_auth(times=-1), "times: give"),
        (lambda sandbox: sandbox.fail_http(503, times=1.5), "times: give"),
        (lambda sandbox: sandbox.refuse_auth(object()), "code: give a value that JSON can hold: .* type object"),
        (lambda sandbox: sandbox.set_mode(object()), "MODE: give a value that JSON can hold"),
        (lambda sandbox: sandbox.override_settings(REGION={"us"}), "REGION: give a value"),
        (lambda sandbox: sandbox.override_settings(pi=float("nan")), "pi: give a value"),
        (lambda sandbox: sandbox.fail_http(500, body={"at": object()}), "body: give a value"),
        (lambda sandbox: sandbox.fail_http(500, body=b"text"), "body: give a value"),
        (lambda sandbox: sandbox.fail_http(500, path="/v3.0/me"), "path: give a path without the version prefix"),
        (lambda sandbox: sandbox.fail_http(500, path="me"), "path: give a path .* such as '/me', not 'me'"),
        (lambda sandbox: sandbox.answer("GET", "/v3/ai/*", {}), "path: give a path without the version prefix"),
        (lambda sandbox: sandbox.fail_http(429, headers={"X-Rate-Limit": 700}), "X-Rate-Limit: give a printable text"),
        (lambda sandbox: sandbox.fail_http(429, headers={"X": "a\nb"}), "X: give a printable text"),
        (lambda sandbox: sandbox.fail_http(429, headers={5: "a"}), "headers: give a printable text, not 5"),
        (lambda sandbox: sandbox.fail_http(429, retry_after=object()), "retry_after: give a printable text"),
        (lambda sandbox: sandbox.refuse_upgrades(503, "7\n"), "retry_after: give a printable text"),
        (lambda sandbox: sandbox.close_connections(1006), "code: no close frame has 1006; drop_connections"),
        (lambda sandbox: sandbox.refuse_auth(mode="close", close_code=1005), "close_code: no close frame has 1005"),
        (lambda sandbox: sandbox.send_frame({"at": object()}), "frame: give a value"),
        (lambda sandbox: sandbox.send_raw({"type": "presence"}), "data: give a text or bytes, not dict"),
        (lambda sandbox: sandbox.send_raw("\ud800"), "surrogates not allowed"),
        (lambda sandbox: sandbox.limit_requests("2"), "requests: give a whole number"),
        (lambda sandbox: sandbox.limit_requests(2, window=-1), "window: give a number of seconds"),
        (lambda sandbox: sandbox.limit_requests(2, window=0), "window: give 0.001 seconds or more"),
        (lambda sandbox: setattr(sandbox, "jwt_lifetime", float("inf")), "jwt_lifetime: give a number of seconds"),
        (lambda sandbox: sandbox.jwt("cometchat-uid-1", float("nan")), "lifetime: give a number of seconds"),
        (lambda sandbox: sandbox.limit_tokens(None), "newest: give a whole number"),
    ],
)
def test_a_fault_that_is_not_possible_is_refused(sandbox, client, fault, words):
    """A wrong code, status or time raises ValueError at the call, and changes nothing."""
    client.connect()
    with pytest.raises(ValueError, match=words):
        fault(sandbox)
    assert vars(sandbox._faults) == vars(Faults())
    assert sandbox.connections == 1


def test_delay_auth(client, sandbox):
    """delay_auth() answers that much later, and does not answer a client that has disconnected by then."""
    sandbox.delay_auth(0.2)
    start = time.monotonic()
    socket = authenticate(client, sandbox)
    assert client.hears_nothing(socket, 0.1)
    assert sandbox.connections == 0
    assert client.receive(socket) == ACCEPTED
    assert time.monotonic() - start >= 0.2
    socket.close(timeout=0.1)
    authenticate(client, sandbox).shutdown()
    assert sandbox.wait_until(lambda: sandbox.sockets == 0, 0.15)
    assert not sandbox.wait_until(lambda: sandbox.connections, 0.3)


def test_ignore_pings(client, sandbox):
    """ignore_pings() answers no heartbeat, on a connection that otherwise works, until it is healed."""
    sandbox.ignore_pings()
    socket = client.connect()
    client.send(socket, {"action": "ping", "ack": "true"})
    assert client.hears_nothing(socket)
    sandbox.heal()
    client.send(socket, {"action": "ping", "ack": "true"})
    assert client.receive(socket) == {"action": "pong"}


@pytest.mark.parametrize("data", ["not JSON", '{"half":', "", b"\x00\xff", "x" * 1_000_000])
def test_send_raw(client, sandbox, data):
    """send_raw() sends a text or bytes of any size to every socket, and does not wait for its reader."""
    first, second = client.connect(), client.open()
    assert sandbox.send_raw(data) == 2
    for socket in (first, second):
        opcode, got = socket.recv_data()
        assert got == (data if isinstance(data, bytes) else data.encode())
        wanted = websocket.ABNF.OPCODE_BINARY if isinstance(data, bytes) else websocket.ABNF.OPCODE_TEXT
        assert opcode == wanted


def test_send_wire(client, sandbox):
    """send_wire() writes bytes outside of WebSocket's frames: here a text frame that announces 2^63 - 1 bytes."""
    socket = client.connect()
    assert sandbox.send_wire(b"\x81\x7f" + (2**63 - 1).to_bytes(8, "big")) == 1
    assert socket.sock.recv(10) == b"\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"


def test_send_frame(client, sandbox):
    """send_frame() sends a frame to the authenticated connections of one user, or of all."""
    first, second, silent = client.connect(presence=None), client.connect("cometchat-uid-2"), client.open()
    assert sandbox.send_frame({"type": "new"}, uid="cometchat-uid-2") == 1
    assert client.receive(second) == {"type": "new"}
    assert sandbox.send_frame({"type": "newer"}) == 2
    assert client.receive(first) == client.receive(second) == {"type": "newer"}
    assert sandbox.send_frame({"type": "newest"}, uid="nobody") == 0
    assert client.hears_nothing(silent, 0.05)


def test_set_mode_with_a_push(client, sandbox):
    """set_mode(push=True) closes every socket with 1012, so that clients connect again and read the settings."""
    socket = client.connect()
    sandbox.set_mode("LIMITED_TRANSIENT", push=True)
    assert close_frame(socket) == (1012, "settings changed")
    assert client.log_in()["settings"]["MODE"] == "LIMITED_TRANSIENT"


def test_revoke_tokens(client, sandbox):
    """revoke_tokens() voids the auth tokens issued so far, of one user or of all. New ones are valid."""
    one, two = sandbox.auth_token("cometchat-uid-1"), sandbox.auth_token("cometchat-uid-2")
    assert sandbox.revoke_tokens("COMETCHAT-UID-1") == 1
    assert (client.me(one).status_code, client.me(two).status_code) == (401, 200)
    assert client.me(one).json()["error"]["code"] == "AUTH_ERR_AUTH_TOKEN_NOT_FOUND"
    assert sandbox.revoke_tokens() == 1
    assert client.me(two).status_code == 401
    sandbox.heal()
    assert client.me(two).status_code == 401
    client.log_in("cometchat-uid-2")


def test_expire_jwts(client, sandbox):
    """expire_jwts() voids the jwts issued so far for new sockets. Open sockets stay open, and new jwts are valid."""
    up, old = client.connect(), sandbox.jwt("cometchat-uid-1")
    assert sandbox.expire_jwts() == 2
    sandbox.heal()  # does not make them valid again
    socket = client.open()
    client.send(socket, client.auth_frame("cometchat-uid-1", old))
    assert client.receive(socket)["body"]["code"] == "401"
    client.connect("cometchat-uid-1", presence=None)
    client.send(up, {"action": "ping", "ack": "true"})
    assert client.receive(up) == {"action": "pong"}


def test_fail_http(client, sandbox):
    """fail_http() answers this many requests with a status, an envelope and Retry-After.

    A second call queues behind it.
    """
    sandbox.fail_http(429, times=2, retry_after=3)
    sandbox.fail_http(503, times=1)
    answers = [client.create_token("cometchat-uid-1") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [429, 429, 503, 200]
    assert [answer.headers.get("Retry-After") for answer in answers] == ["3", "3", None, None]
    assert answers[0].json()["error"]["code"] == "ERR_TOO_MANY_REQUESTS"
    assert answers[2].json()["error"]["code"] == "ERR_HTTP_503"


def test_failures_that_have_happened_are_forgotten(client, sandbox):
    """A test of many hours sets thousands of them, and no request looks through the old ones."""
    for _ in range(3):
        sandbox.fail_http(503, times=2, path="/me")
        assert client.call("GET", "/settings").status_code == 401
        assert [client.call("GET", "/me").status_code for _ in range(3)] == [503, 503, 401]
    assert sandbox._faults.http_failures == []


def test_fail_http_with_a_body(client, sandbox):
    """The body may be a mapping, sent as JSON, or any text, sent unchanged."""
    sandbox.fail_http(200, times=1, body={"data": {}})
    assert client.create_token("cometchat-uid-1").json() == {"data": {}}
    sandbox.fail_http(502, times=1, body="<html>Bad Gateway</html>")
    answer = client.create_token("cometchat-uid-1")
    assert (answer.status_code, answer.text) == (502, "<html>Bad Gateway</html>")
    assert answer.headers["Content-Type"].startswith("text/html")


def test_fail_http_of_a_path(client, sandbox):
    """A path, with * for any text and without the version prefix, selects requests. Preflights never fail."""
    sandbox.fail_http(500, path="/users/*/auth_tokens")
    assert client.create_token("cometchat-uid-1").status_code == 500
    assert client.call("POST", "/v3.0/users/x/auth_tokens").status_code == 500
    assert client.call("OPTIONS", "/v3.0/users/x/auth_tokens").status_code == 204
    assert client.me(sandbox.auth_token("cometchat-uid-1")).status_code == 200
    sandbox.heal()
    client.log_in()


def test_latency(client, sandbox):
    """set_latency() makes answers, upgrades and frames late, and keeps the frames in order."""
    socket = client.connect()
    sandbox.set_latency(0.1)
    start = time.monotonic()
    client.create_token("cometchat-uid-1")
    assert time.monotonic() - start >= 0.1
    start = time.monotonic()
    for number in range(20):
        sandbox.send_frame({"number": number})
    assert time.monotonic() - start < 1.0  # the caller does not wait 20 times
    assert [client.receive(socket)["number"] for _ in range(20)] == list(range(20))
    assert time.monotonic() - start >= 0.1
    start = time.monotonic()
    client.open()
    assert time.monotonic() - start >= 0.1


def test_faults_can_be_set_from_any_thread(client, sandbox):
    """Faults from many threads at once are all applied, each before its call returns."""
    client.connect()
    failed = []

    def work():
        try:
            for _ in range(20):
                sandbox.set_latency(0.0)
                sandbox.send_frame({"type": "x"})
                sandbox.heal()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert failed == [] and sandbox.connections == 1


def test_heal_clears_every_standing_fault(client, sandbox):
    """After heal() a client logs in and connects as if there had been no fault."""
    sandbox.fail_http(500)
    sandbox.hang_http()
    sandbox.hang_upgrades()
    sandbox.refuse_upgrades()
    sandbox.refuse_auth()
    sandbox.set_refusal("silence")
    sandbox.delay_auth(60)
    sandbox.ignore_pings()
    sandbox.set_latency(60)
    sandbox.set_mode("NO_TRANSIENT")
    sandbox.refuse_connections()
    sandbox.heal()
    assert client.log_in()["settings"]["MODE"] == "DEFAULT"
    socket = client.connect()
    client.send(socket, {"action": "ping", "ack": "true"})
    assert json.loads(socket.recv()) == {"action": "pong"}


def test_every_answer_counts_the_requests_left(client, sandbox):
    """Successes and refusals have the headers of the rate limit. The limit is a million requests."""
    answers = [client.create_token("cometchat-uid-1"), client.create_token("nobody"), client.call("GET", "/nothing")]
    assert [answer.status_code for answer in answers] == [200, 404, 404]
    left = [int(answer.headers["X-Rate-Limit-Remaining"]) for answer in answers]
    assert {answer.headers["X-Rate-Limit"] for answer in answers} == {"1000000"}
    assert left == [999_999, 999_998, 999_997]


def test_a_limit_of_requests(client, sandbox):
    """limit_requests() answers 429 with both headers after this many, until its window ends or it is healed."""
    sandbox.limit_requests(2, window=3600)
    answers = [client.create_token("cometchat-uid-1") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert [answer.headers["X-Rate-Limit-Remaining"] for answer in answers] == ["1", "0", "0", "0"]
    sandbox.limit_requests(2, window=3600)  # earlier requests do not count
    assert client.call("GET", "/settings").headers["X-Rate-Limit-Remaining"] == "1"
    assert answers[2].json()["error"]["code"] == "ERR_TOO_MANY_REQUESTS" and answers[2].headers["X-Rate-Limit"] == "2"
    seconds, reset = int(answers[2].headers["Retry-After"]), int(answers[2].headers["X-Rate-Limit-Reset"])
    assert 3590 < seconds <= 3600 and abs(time.time() + seconds - reset) < 5
    assert not [answer for answer in answers[:2] if "Retry-After" in answer.headers]
    sandbox.heal()
    client.log_in()


def test_a_window_starts_with_its_first_request():
    """A minute of the clock that ends in between does not let further requests through."""
    faults = Faults(rate_limit=RateLimit(2, 60.0))
    limiter = RateLimiter(faults)
    assert [limiter.take(now)[0] for now in (59.0, 60.5, 61.0, 118.5, 119.0)] == [True, True, False, False, True]
    faults.rate_limit = RateLimit(1, 60.0)
    assert [limiter.take(now)[0] for now in (120.0, 120.5)] == [True, False]


def test_the_reset_of_a_429(client, sandbox):
    """fail_http(429) with seconds gives them in both headers. With a date, only the header for dates has it."""
    date = "Fri, 01 Jan 2100 00:00:00 GMT"
    for retry_after in (7, date, None):
        sandbox.fail_http(429, times=1, retry_after=retry_after)
    timed, dated, bare = (client.create_token("cometchat-uid-1").headers for _ in range(3))
    assert timed["Retry-After"] == "7" and abs(int(timed["X-Rate-Limit-Reset"]) - time.time() - 7) < 5
    assert dated["Retry-After"] == date and "X-Rate-Limit-Reset" not in dated
    assert "Retry-After" not in bare and "X-Rate-Limit" in bare


def test_fail_http_with_headers(client, sandbox):
    """Headers are added to the usual ones, or replace them."""
    date = "Fri, 01 Jan 2100 00:00:00 GMT"
    sandbox.fail_http(429, headers={"X-Rate-Limit-Reset": "4102444807", "X-Rate-Limit-Remaining": "0", "Date": date})
    headers = client.create_token("cometchat-uid-1").headers
    names = ("X-Rate-Limit-Reset", "X-Rate-Limit-Remaining", "Date")
    assert [headers[name] for name in names] == ["4102444807", "0", date]
    assert "Retry-After" not in headers


def test_fail_http_with_a_code(client, sandbox):
    """A code makes an error envelope of the service's shape, with any status."""
    sandbox.fail_http(403, code="ERR_SUBSCRIPTION_EXPIRED")
    answer = client.create_token("cometchat-uid-1")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["source"]) == (403, "ERR_SUBSCRIPTION_EXPIRED", "chat-api")


def test_only_the_newest_tokens_count(client, sandbox):
    """limit_tokens() voids a user's older tokens, also earlier ones, and no other user's, until it is healed."""
    other = sandbox.auth_token("cometchat-uid-2")
    first, second, third = (sandbox.auth_token("cometchat-uid-1") for _ in range(3))
    sandbox.limit_tokens(2)
    assert [client.me(token).status_code for token in (first, second, third, other)] == [401, 200, 200, 200]
    assert client.me(first).json()["error"]["code"] == "AUTH_ERR_AUTH_TOKEN_NOT_FOUND"
    sandbox.heal()
    assert client.me(first).status_code == 200


def test_tokens_of_another_device(client, make_client, sandbox):
    """bind_tokens() refuses a login of a second device with ERR_AUTHTOKEN_UNAVAILABLE. The first one is still valid."""
    sandbox.bind_tokens()
    token, other = client.log_in()["authToken"], make_client(sandbox)
    refused = other.me(token)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "ERR_AUTHTOKEN_UNAVAILABLE")
    assert client.me(token).status_code == 200
    sandbox.heal()
    assert other.me(token).status_code == 200


def test_a_request_whose_connection_ends_first(sandbox, monkeypatch, caplog):
    """A request whose connection ends before the sandbox reads its body gets no answer, and leaves no error."""
    server = sandbox._service._server
    make = server.request_factory

    def make_and_end(message, payload, protocol, writer, task):
        """Make the request, and end its connection before aiohttp handles the request."""
        protocol.transport.abort()
        return make(message, payload, protocol, writer, task)

    monkeypatch.setattr(server, "request_factory", make_and_end)
    with sockets.create_connection(("127.0.0.1", sandbox.port), timeout=5) as sender:
        sender.sendall(b"POST /messages HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
        assert sender.recv(1) == b""
    monkeypatch.undo()
    assert requests.get(f"{sandbox.url}/", timeout=5).status_code == 200
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
