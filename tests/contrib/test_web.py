"""The answers of web applications, without any framework: report, stream, health, script and tag."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from typing import Any, Dict, Iterator, List, Tuple

import pytest
import tenacity

from cometchat import Client, CometChat, CometChatException, CometChatWSState, ConnectionListener, api
from cometchat.contrib import web
from cometchat.contrib.web import _wsgi as wsgi
from cometchat.sandbox import Sandbox

from .support import DEADLINE, UID, eventually


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[Client]:
    with Client(sandbox.app_id, sandbox.settings(reconnect_wait=tenacity.wait_fixed(0.1))) as running:
        yield running


@pytest.fixture
def feed(client: Client) -> Iterator[web.StatusFeed]:
    running = web.StatusFeed(client, keep_alive=0.2, details=True)
    yield running
    running.close()


def parsed(chunk: str) -> Tuple[str, Any]:
    """Return (event, data) of a piece of the stream."""
    fields = dict(line.split(": ", 1) for line in chunk.strip().splitlines())
    return fields["event"], json.loads(fields["data"])


def until(stream: Iterator[str], status: str) -> List[Dict[str, Any]]:
    """Return the reports of the stream, up to the first one with this status."""
    seen = []
    end = time.monotonic() + DEADLINE
    for chunk in stream:
        assert time.monotonic() < end, seen
        event, data = parsed(chunk)
        if event == "status":
            seen.append(data)
            if data["status"] == status:
                return seen
    raise AssertionError(f"the stream ended after {seen}")


def test_before_init_the_report_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The class CometChat answers before init: disconnected, with the reason."""
    monkeypatch.setattr(api, "_client", None)  # another test may have closed it
    report = web.status_report(CometChat)
    assert (report["status"], report["since"], report["user"]) == ("disconnected", None, None)
    assert report["reason"]["code"] == "COMETCHAT_INITIALIZATION_NOT_DONE"


def test_the_stream_tells_of_each_change(sandbox: Sandbox, client: Client, feed: web.StatusFeed) -> None:
    """The stream has the status at once, then each phase, a loss with its reason, and the return without a reason."""
    stream = feed.events()
    first = next(stream)
    assert first.startswith("retry: 1000\n") and parsed(first) == ("alive", 0.2)
    assert parsed(next(stream))[1]["status"] == "disconnected"
    client.login(UID, sandbox.auth_key)
    up = until(stream, "connected")
    assert (up[-1]["user"], up[-1]["reason"]) == (UID, None)
    sandbox.refuse_connections()  # a slow reader must not miss the loss
    sandbox.drop_connections()
    down = until(stream, "connecting")[-1]
    assert down["reason"]["code"] == "WS_CONNECTION_FAIL" and down["since"] > up[-1]["since"]
    sandbox.accept_connections()
    assert until(stream, "connected")[-1]["reason"] is None
    stream.close()  # type: ignore[attr-defined]


def test_the_stream_shows_signs_of_life(feed: web.StatusFeed) -> None:
    """While nothing changes, the stream sends a sign of life every keep_alive seconds."""
    stream = feed.events()
    next(stream), next(stream)
    begin = time.monotonic()
    assert parsed(next(stream)) == parsed(next(stream)) == ("alive", 0.2)
    assert 0.35 <= time.monotonic() - begin <= 2.0


def test_a_listener_that_blocks_does_not_make_the_page_lie(
    sandbox: Sandbox, client: Client, feed: web.StatusFeed
) -> None:
    """While another listener holds the dispatcher thread, the stream still has the true status within a second."""
    release = threading.Event()
    client.add_connection_listener(ConnectionListener(on_connected=lambda: release.wait(DEADLINE)))
    stream = feed.events()
    client.login(UID, sandbox.auth_key)
    until(stream, "connected")
    begin = time.monotonic()
    client.disconnect()
    assert until(stream, "disconnected")
    assert time.monotonic() - begin <= 1.0 and not release.is_set()
    release.set()


def test_a_change_is_not_reported_twice(sandbox: Sandbox, client: Client) -> None:
    """The listener's late call is not a second change. A loss and a return that no page saw are one change."""
    release = threading.Event()
    client.add_connection_listener(ConnectionListener(on_connected=lambda: release.wait(DEADLINE)))
    with contextlib.closing(web.StatusFeed(client, keep_alive=0.1)) as feed:
        heard = threading.Event()
        client.add_connection_listener(ConnectionListener(on_connected=heard.set))  # called after the feed's own
        stream = feed.events()
        client.login(UID, sandbox.auth_key)
        seen = until(stream, "connected")[-1]
        release.set()
        assert heard.wait(DEADLINE)
        assert [parsed(next(stream))[0] for _ in range(2)] == ["alive"] * 2
        assert feed.report()["since"] == seen["since"]
        heard.clear()
        sandbox.drop_connections()
        assert heard.wait(DEADLINE)
        assert until(stream, "connected")[-1]["since"] > seen["since"]


def change_after_a_look(client: Client, monkeypatch: pytest.MonkeyPatch, *statuses: str) -> None:
    """Let the next calls return these statuses, and all further calls the last one."""
    left = [CometChatWSState(status) for status in statuses]
    monkeypatch.setattr(client, "get_connection_status", lambda: left.pop(0) if len(left) > 1 else left[0])


def test_a_report_is_about_one_status(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the status changes while the feed makes a report, the report has the time of its own status."""
    with contextlib.closing(web.StatusFeed(client)) as feed:
        change_after_a_look(client, monkeypatch, "disconnected", "connecting")
        with monkeypatch.context() as later:
            later.setattr(time, "time", lambda: 2e9)
            report = feed.report()
    assert (report["status"], report["since"]) == ("connecting", "2033-05-18T03:33:20.000Z")


def test_a_loss_during_a_look_keeps_its_reason(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the connection is lost while the feed notes that it is up, the loss is still the reason."""
    with Client(sandbox.app_id, sandbox.settings(reconnect_wait=tenacity.wait_fixed(60))) as client:
        with contextlib.closing(web.StatusFeed(client)) as feed:
            client.login(UID, sandbox.auth_key)
            assert client.wait_for_status("connected", DEADLINE)
            sandbox.drop_connections()
            assert eventually(lambda: client.stats().drops and feed.report()["reason"])
            change_after_a_look(client, monkeypatch, "connected", "connecting")
            assert feed.report()["reason"]["code"] == "WS_CONNECTION_FAIL"


def test_a_past_error_is_not_a_reason(sandbox: Sandbox, client: Client, feed: web.StatusFeed) -> None:
    """After a loss, a return, and the application's disconnect(), no reason is named."""
    client.login(UID, sandbox.auth_key)
    assert client.wait_for_status("connected", DEADLINE)
    sandbox.drop_connections()
    assert eventually(lambda: client.stats().drops)
    assert client.wait_for_status("connected", DEADLINE)
    assert eventually(lambda: feed.report()["status"] == "connected")
    client.disconnect()
    assert eventually(lambda: feed.report()["status"] == "disconnected")
    assert feed.report()["reason"] is None


def test_a_login_that_fails_is_the_reason(sandbox: Sandbox, client: Client, feed: web.StatusFeed) -> None:
    """A refused key is the reason in the report and in the health, without the key. A later login removes it."""
    with pytest.raises(CometChatException) as refused:
        client.login(UID, "wrong-auth-key")
    assert eventually(lambda: feed.report()["reason"])
    assert feed.report()["reason"]["code"] == refused.value.code
    health = json.loads(feed.health_answer().body)
    assert refused.value.code in health["checks"]["cometchat:connection"][0]["output"]
    assert "wrong-auth-key" not in feed.status_answer().body + feed.health_answer().body
    client.login(UID, sandbox.auth_key)
    assert client.wait_for_status("connected", DEADLINE)
    assert eventually(lambda: feed.report()["reason"] is None)


def test_visitors_see_no_more_than_the_code(sandbox: Sandbox, client: Client) -> None:
    """Without details=True, JSON, stream and health contain no host, no message and no uid."""
    host = sandbox.url.partition("//")[2]
    with contextlib.closing(web.StatusFeed(client)) as feed:
        client.login(UID, sandbox.auth_key)
        assert client.wait_for_status("connected", DEADLINE)
        sandbox.refuse_connections()
        sandbox.drop_connections()
        assert eventually(lambda: feed.report()["reason"])
        stream = feed.events()
        shown = [feed.status_answer().body, feed.health_answer().body, feed.health_answer("live").body]
        shown += [next(stream), next(stream)]
        stream.close()  # type: ignore[attr-defined]
        report = feed.report()
    assert host in report["reason"]["message"] and report["user"] == UID, "the application itself sees everything"
    assert not [text for text in shown if host in text or UID in text or report["reason"]["message"] in text]
    told = json.loads(shown[0])
    assert (told["user"], told["reason"]) == (None, {"code": "WS_CONNECTION_FAIL"})
    assert json.loads(shown[1])["checks"]["cometchat:connection"][0]["output"] == "WS_CONNECTION_FAIL"


def test_the_json_is_not_cached(feed: web.StatusFeed) -> None:
    """status_answer is the report as JSON, and must not be cached."""
    answer = feed.status_answer()
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert json.loads(answer.body) == feed.report() == feed.public_report()


def test_streams_end(client: Client) -> None:
    """Streams end at close(), and at their maximum age. The thread that waits for the next piece is free."""
    aged = list(web.StatusFeed(client, max_age=0.2).events())
    assert [parsed(chunk)[0] for chunk in aged] == ["alive", "status"]
    feed = web.StatusFeed(client)
    ended = threading.Event()

    def read() -> None:
        for _ in feed.events():
            reading.set()
        ended.set()

    reading = threading.Event()
    threading.Thread(target=read, name="reader", daemon=True).start()
    assert reading.wait(DEADLINE) and not ended.is_set()
    feed.close()
    feed.close()
    assert ended.wait(1.0)


def test_where_streams_are_too_many_the_answer_is_204(client: Client) -> None:
    """The answer is 204 if the server has no thread for a stream, beyond max_streams, and after close().

    A closed stream makes room.
    """
    feed = web.StatusFeed(client, max_streams=1)
    assert feed.events_answer(concurrent=False).status == 204
    answer = feed.events_answer(concurrent=True)
    assert isinstance(answer, web.StreamAnswer) and answer.content_type == "text/event-stream"
    assert (answer.headers["Cache-Control"], answer.headers["X-Accel-Buffering"]) == ("private, no-store", "no")
    next(answer.body)
    assert feed.events_answer(concurrent=True).status == 204
    second = feed.events_answer(concurrent=True, max_streams=2)
    assert isinstance(second, web.StreamAnswer) and second.status == 200
    second.body.close()  # type: ignore[attr-defined]
    answer.body.close()  # type: ignore[attr-defined]
    assert feed.events_answer(concurrent=True).status == 200
    feed.close()
    assert feed.events_answer(concurrent=True).status == 204


def test_health(sandbox: Sandbox, client: Client, feed: web.StatusFeed) -> None:
    """Ready is 200 while the connection is up, throttled or not. Live is 200 until the client is closed."""

    def both() -> Tuple[int, str, int, str]:
        ready, live = feed.health_answer(), feed.health_answer("live")
        assert ready.content_type == live.content_type == "application/health+json"
        assert ready.headers["Cache-Control"] == "private, no-store"
        return ready.status, json.loads(ready.body)["status"], live.status, json.loads(live.body)["status"]

    assert both() == (503, "fail", 200, "pass")
    client.login(UID, sandbox.auth_key)
    assert client.wait_for_status("connected", DEADLINE)
    assert both() == (200, "pass", 200, "pass")
    check = json.loads(feed.health_answer().body)["checks"]["cometchat:connection"][0]
    assert (check["observedValue"], check["status"], "output" in check) == ("connected", "pass", False)
    sandbox.set_mode("LIMITED_TRANSIENT", push=True)
    assert client.wait_for_status("featureThrottled", DEADLINE)
    assert both() == (200, "warn", 200, "pass")
    sandbox.refuse_connections()
    sandbox.drop_connections()
    assert eventually(lambda: both() == (503, "fail", 200, "pass"))
    client.close()
    assert both() == (503, "fail", 503, "fail")


def test_a_client_without_its_threads_is_not_live(
    sandbox: Sandbox, client: Client, feed: web.StatusFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client reports "connected", but its threads are gone, as after a failed fork.

    The thread of the pages' streams does not count.
    """
    client.login(UID, sandbox.auth_key)
    assert client.wait_for_status("connected", DEADLINE)
    assert feed.health_answer("live").status == 200
    left = [threading.main_thread(), threading.Thread(name="cometchat-events")]
    monkeypatch.setattr(threading, "enumerate", lambda: left)
    assert feed.health_answer("live").status == 503


@pytest.mark.parametrize(
    "wrong, code",
    [
        ({"keep_alive": 0}, "INVALID_KEEP_ALIVE"),
        ({"keep_alive": True}, "INVALID_KEEP_ALIVE"),
        ({"max_age": "long"}, "INVALID_MAX_AGE"),
        ({"max_streams": -1}, "INVALID_MAX_STREAMS"),
        ({"max_streams": 1.5}, "INVALID_MAX_STREAMS"),
        ({"details": 1}, "INVALID_DETAILS"),
    ],
)
def test_wrong_arguments_are_named(wrong: Dict[str, Any], code: str) -> None:
    """Each raises InvalidArgumentException with its code, and registers nothing."""
    with pytest.raises(CometChatException) as error:
        web.StatusFeed(CometChat, **wrong)
    assert error.value.code == code


def test_another_probe_is_refused(feed: web.StatusFeed) -> None:
    """There are two probes: live and ready."""
    with pytest.raises(CometChatException, match="live"):
        feed.health_answer("well")


def test_the_script_is_cached_by_its_tag() -> None:
    """A browser that has it gets 304, another one the whole script. Its tag depends on its content."""
    answer = web.component_answer()
    assert answer.status == 200 and "customElements.define" in answer.body
    assert answer.body.isascii()  # in any encoding of the page
    assert web.component_answer(f'W/"x", {web.COMPONENT_ETAG}').status == 304
    assert web.component_answer('"other"').status == 200


def test_the_tag_is_escaped() -> None:
    """Addresses and words keep any character. A name that HTML does not allow is refused."""
    tag = web.status_tag('/a?b=1&c="', "/s", {"text-connected": "<b>"})
    assert tag == (
        '<cometchat-status src="/a?b=1&amp;c=&quot;" status-src="/s" text-connected="&lt;b&gt;"></cometchat-status>'
    )
    with pytest.raises(CometChatException) as error:
        web.status_tag("/e", "/s", {"onclick=alert(1) x": ""})
    assert error.value.code == "INVALID_ATTRIBUTES"


def test_an_attribute_of_the_tag_is_on_or_off() -> None:
    """True is the name alone, and False and None leave it out: compact="False" would be a dot without words."""
    tag = web.status_tag("/e", "/s", {"compact": True, "theme": None, "poll": 0})
    assert tag == '<cometchat-status src="/e" status-src="/s" compact="" poll="0"></cometchat-status>'
    assert "compact" not in web.status_tag("/e", "/s", {"compact": False})


@pytest.mark.parametrize("wrong", ["compact", 5, {5: "x"}, {"text_connected": "x"}])
def test_wrong_attributes_are_refused(wrong: Any) -> None:
    """INVALID_ATTRIBUTES is raised for anything but a mapping of names."""
    with pytest.raises(CometChatException, match="names have lower-case letters") as error:
        web.status_tag("/e", "/s", wrong)
    assert error.value.code == "INVALID_ATTRIBUTES"


@pytest.mark.parametrize("wrong", ["client", None, Client])
def test_a_feed_of_no_client_is_refused(wrong: Any) -> None:
    """INVALID_CLIENT names the right and the given value."""
    with pytest.raises(CometChatException, match="expected a Client or the class CometChat, got ") as error:
        web.StatusFeed(wrong)
    assert error.value.code == "INVALID_CLIENT"


def test_a_closed_client_has_no_feed(client: Client) -> None:
    """ERR_CLIENT_CLOSED is raised, like for any use after close()."""
    client.close()
    with pytest.raises(CometChatException) as error, contextlib.closing(web.StatusFeed(client)):
        raise AssertionError("not reached")
    assert error.value.code == "ERR_CLIENT_CLOSED"


def test_a_stream_ends_soon_after_its_browser(client: Client) -> None:
    """The server asks every half second, and then frees the stream's place."""
    feed = web.StatusFeed(client, max_streams=1)
    went = threading.Event()
    stream = feed.events(went.is_set)
    assert [parsed(next(stream))[0] for _ in range(2)] == ["alive", "status"]
    begin = time.monotonic()
    went.set()
    assert list(stream) == []
    assert time.monotonic() - begin < 1.0
    assert feed.events_answer(concurrent=True).status == 200
    feed.close()


@pytest.mark.parametrize("server", ["gunicorn.socket", "werkzeug.socket"])
def test_a_browser_that_goes_is_seen_at_its_socket(server: str) -> None:
    """A silent or a sending browser is still there. It is gone after it has closed, or after this side has."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        gone = wsgi.gone({server: ours})
        assert not gone()
        theirs.close()
        assert gone()
        ours.close()
        assert gone()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        gone = wsgi.gone({server: ours})
        theirs.sendall(b"GET")
        assert not gone() and ours.recv(3) == b"GET"


def test_under_asgiref_pages_poll(feed: web.StatusFeed) -> None:
    """asgiref's WsgiToAsgi claims to have threads, but answers one request at a time. A stream would block the site."""
    asgiref_wsgi = pytest.importorskip("asgiref.wsgi")
    sent: List[Dict[str, Any]] = []

    def application(environ: Dict[str, Any], start_response: Any) -> List[bytes]:
        assert environ["wsgi.multithread"]
        answer = web.wsgi_events_answer(feed, environ)
        if isinstance(answer, web.StreamAnswer):
            answer.body.close()  # type: ignore[attr-defined]
        start_response(f"{answer.status} Status", list(answer.headers.items()))
        return []

    async def receive() -> Dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: Dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/", "query_string": b"", "headers": []}
    asyncio.run(asgiref_wsgi.WsgiToAsgi(application)(scope, receive, send))
    assert sent[0]["status"] == 204


def test_unknown_facts_of_a_server_are_not_guessed() -> None:
    """Waitress answers the question.

    For other servers, no browser counts as gone, and the number of threads is unknown.
    """
    assert wsgi.gone({"waitress.client_disconnected": lambda: True})()
    assert not wsgi.gone({})()
    assert (wsgi.is_concurrent({}), wsgi.is_concurrent({"wsgi.multithread": True})) == (False, True)
