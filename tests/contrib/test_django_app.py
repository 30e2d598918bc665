"""The Django app in one process: login, views, template tag, signals, admin, commands, with Django's test client."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import io
import json
import logging
import os
import re
import sys
import threading
from typing import Any, Dict, Iterator, List, Tuple
from unittest import mock

import pytest
import requests.certs

pytest.importorskip("django", reason="Django is not installed: pip install 'cometchat[django]'")

from . import django_support  # noqa: E402

django_support.set_up()

from django.contrib import admin  # noqa: E402
from django.contrib.auth.models import User as DjangoUser  # noqa: E402
from django.core.exceptions import ImproperlyConfigured, PermissionDenied  # noqa: E402
from django.core.handlers.asgi import ASGIHandler  # noqa: E402
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.core.management import CommandError, call_command  # noqa: E402
from django.db import connection as database  # noqa: E402
from django.db import connections  # noqa: E402
from django.dispatch import Signal  # noqa: E402
from django.http import HttpRequest  # noqa: E402
from django.template import engines  # noqa: E402
from django.test import AsyncClient, RequestFactory, override_settings  # noqa: E402
from django.test.client import Client as Browser  # noqa: E402
from django.utils.functional import SimpleLazyObject, empty  # noqa: E402

from cometchat import AppSettings, Client, TextMessage  # noqa: E402
from cometchat.contrib.django import _conf as conf  # noqa: E402
from cometchat.contrib.django import _relay as relay  # noqa: E402
from cometchat.contrib.django import _serving as serving  # noqa: E402
from cometchat.contrib.django import get_client, get_feed, login_error, signals, start, started, stop  # noqa: E402
from cometchat.contrib.django.admin import ConnectionAdmin  # noqa: E402
from cometchat.contrib.django.models import Connection  # noqa: E402
from cometchat.contrib.web import _commands  # noqa: E402
from cometchat.listeners import KINDS  # noqa: E402
from cometchat.sandbox import Sandbox  # noqa: E402

from .support import DEADLINE, UID, account, eventually  # noqa: E402

OTHER = "cometchat-uid-2"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The service, and the site's setting for it. At the end no thread of the app is left."""
    with Sandbox() as running:
        with override_settings(COMETCHAT=account(running, RECONNECT_WAIT=lambda state: 0.05)):
            yield running
            stop()
        assert running.violations == []
    for thread in threading.enumerate():
        if thread.name.startswith("cometchat-"):
            thread.join(DEADLINE)
            assert not thread.is_alive(), thread.name


@pytest.fixture
def site(sandbox: Sandbox) -> Sandbox:
    """The same site, connected."""
    start()
    assert get_client().wait_for_status("connected", DEADLINE)
    return sandbox


@pytest.fixture
def heard() -> Iterator[List[Tuple[Any, Dict[str, Any]]]]:
    """The arguments of the signals: (signal's name, arguments)."""
    found: List[Tuple[Any, Dict[str, Any]]] = []
    names = {value: name for name, value in vars(signals).items() if isinstance(value, Signal)}

    def receive(signal: Signal, **arguments: Any) -> None:
        found.append((names[signal], arguments))

    for signal in names:
        signal.connect(receive)
    yield found
    for signal in names:
        signal.disconnect(receive)


def get_json(path: str, status: int = 200) -> Any:
    answer = Browser().get(path)
    assert answer.status_code == status, answer.content
    return json.loads(answer.content)


# The connection of the process.


def test_any_number_of_threads_start_one_connection(sandbox: Sandbox) -> None:
    """get_client() and start() return one client, and one login is made, for any number of calls at once."""
    together, clients = threading.Barrier(8), []

    def call() -> None:
        together.wait(DEADLINE)
        clients.append(start() if len(clients) % 2 else get_client())
        clients.append(start())

    threads = [threading.Thread(target=call, name="test-start") for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert len(clients) == 16 and len({id(client) for client in clients}) == 1
    assert clients[0].wait_for_status("connected", DEADLINE)
    assert len([request for request in sandbox.requests if "auth_tokens" in request.path]) == 1
    assert len(sandbox.attempts) == 1


def test_the_login_is_tried_until_the_service_is_back(
    sandbox: Sandbox, heard: List[Tuple[Any, Dict[str, Any]]], caplog: pytest.LogCaptureFixture
) -> None:
    """Meanwhile no thread waits, the status is disconnected with the reason, and a signal is sent for each failure."""
    sandbox.fail_http(429, times=1, retry_after=1)
    sandbox.fail_http(503)
    start()
    assert started()
    assert eventually(login_error) is not None
    report = get_json("/cometchat/status")
    assert report["status"] == "disconnected" and report["reason"]["code"] == login_error().code  # type: ignore
    assert eventually(lambda: [name for name, _ in heard].count("login_failed") >= 2)
    sandbox.heal()
    assert get_client().wait_for_status("connected", DEADLINE)
    assert login_error() is None
    assert get_json("/cometchat/status")["reason"] is None
    assert re.search(r"follows in [12]\.\d s: ERR_TOO_MANY_REQUESTS", caplog.text), "Retry-After is obeyed"
    assert sandbox.auth_key not in caplog.text


def test_a_refused_credential_is_not_hammered(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """A wrong key is reported once. The next attempt is minutes later, and stop() ends that wait."""
    with override_settings(COMETCHAT=account(sandbox, AUTH_KEY="a-wrong-key-0123456789")):
        start()
        error = eventually(login_error)
        assert error.code == "AUTH_ERR_APIKEY_NOT_FOUND"
        assert re.search(r"follows in 3\d\d\.\d s", caplog.text)
        page = Browser().get("/cometchat/status").content.decode()
        assert error.code in page and "a-wrong-key-0123456789" not in page + caplog.text
        assert len(sandbox.requests) == 1
        stop()
        assert eventually(lambda: not [t for t in threading.enumerate() if t.name == "cometchat-login"])


def test_a_refused_session_is_replaced(site: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """With an auth key, a lost session is repaired: the SDK ends its attempts, and the app logs in again.

    The SDK's warning tells the operator to log in again. The app's warning tells that it does.
    """
    site.revoke_tokens()
    site.expire_jwts()
    site.drop_connections()
    assert eventually(lambda: len([r for r in site.requests if "auth_tokens" in r.path]) == 2)
    assert site.wait_for_connections(1, DEADLINE)
    assert [r.levelname for r in caplog.records if "This process logs in again" in r.getMessage()] == ["WARNING"]


def test_an_auth_token_may_be_a_callable(sandbox: Sandbox) -> None:
    """The callable is called on another thread than the main thread, and again after it has raised.

    It gives the app a new session.
    """
    calls: List[str] = []

    def token() -> str:
        calls.append(threading.current_thread().name)
        if len(calls) == 1:
            raise LookupError("no token yet")
        return sandbox.auth_token(UID)

    with override_settings(COMETCHAT={**account(sandbox), "AUTH_KEY": None, "AUTH_TOKEN": token}):
        start()
        assert get_client().wait_for_status("connected", DEADLINE)
        assert calls == ["cometchat-login"] * 2
        stop()


def test_the_first_request_starts_it_where_nothing_else_has(sandbox: Sandbox) -> None:
    """A server's request starts it. Requests of the test client, and requests under a test runner, do not."""
    serving.arrange(dataclasses.replace(conf.read(), start="request"))
    Browser().get("/process")
    assert not started()
    server, environ = WSGIHandler(), RequestFactory().get("/process").environ
    with mock.patch("django.core.mail.outbox", [], create=True):
        assert b"".join(server(environ, lambda status, headers: None))
        assert not started()
    answer = server(environ, lambda status, headers: None)
    assert b"".join(answer) and started()
    answer.close()
    assert get_client().wait_for_status("connected", DEADLINE)


class Consumer:
    """Stands for the part of Celery that says that a worker is ready."""

    def __init__(self, pool: object) -> None:
        self.pool = pool


def test_celery_connects_where_it_was_asked_to(sandbox: Sandbox) -> None:
    """Each process of the prefork pool connects, and closes properly at its end. Their parent does not connect.

    The one process of another pool connects too.
    """
    celery = pytest.importorskip("celery.signals", reason="celery is not installed")
    prefork = pytest.importorskip("celery.concurrency.prefork")
    serving.arrange(dataclasses.replace(conf.read(), start="never", options={"CELERY": True}))
    celery.worker_ready.send(Consumer(pool=prefork.TaskPool.__new__(prefork.TaskPool)))
    assert not started()
    celery.worker_process_init.send(None)
    assert started() and get_client().wait_for_status("connected", DEADLINE)
    celery.worker_process_shutdown.send(None)  # then the process ends by os._exit
    assert not started() and sandbox.wait_for_connections(0, DEADLINE)
    assert sandbox.close_codes == [1000]
    celery.worker_ready.send(Consumer(pool=None))
    assert started()


def test_without_celery_there_are_no_workers_to_connect(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A site may use the same settings where Celery is not installed. Each command was a traceback there."""
    monkeypatch.setitem(sys.modules, "celery", None)
    serving.arrange(dataclasses.replace(conf.read(), start="never", options={"CELERY": True}))
    assert not started()


# Views.


def test_the_status_is_json(site: Sandbox) -> None:
    """The JSON has the status, its time and the user. It must not be cached, and is read-only."""
    answer = Browser().get("/cometchat/status")
    assert answer["Content-Type"] == "application/json" and answer["Cache-Control"] == "private, no-store"
    report = json.loads(answer.content)
    assert (report["status"], report["user"], report["reason"]) == ("connected", None, None)
    assert report["since"].endswith("Z")
    for path in ("status", "events", "health", "cometchat-status.js"):
        assert Browser().post(f"/cometchat/{path}").status_code == 405
        assert Browser().head(f"/cometchat/{path}").content == b""


def test_health_says_whether_it_is_up(sandbox: Sandbox) -> None:
    """health is 503 until it is connected, then 200. For a live process, no connection is needed."""
    assert get_json("/cometchat/health", 503)["status"] == "fail"
    assert get_json("/cometchat/health/live")["status"] == "pass"
    start()
    assert get_client().wait_for_status("connected", DEADLINE)
    assert get_json("/cometchat/health")["status"] == "pass"
    site_down = get_client()
    site_down.disconnect()
    assert get_json("/cometchat/health", 503)["status"] == "fail"


def test_a_cache_of_the_whole_site_keeps_no_status(site: Sandbox) -> None:
    """Django's cache middleware keeps neither the status nor the health. Django 4.2 needs "private" for that."""
    cached = [f"django.middleware.cache.{name}CacheMiddleware" for name in ("Update", "FetchFrom")]
    with override_settings(MIDDLEWARE=cached):
        assert get_json("/cometchat/status")["status"] == "connected"
        assert get_json("/cometchat/health")["status"] == "pass"
        get_client().disconnect()
        assert get_json("/cometchat/status")["status"] == "disconnected"
        assert get_json("/cometchat/health", 503)["status"] == "fail"


def test_the_script_is_cached_by_its_tag(sandbox: Sandbox) -> None:
    """The view returns JavaScript, or 304 to a browser that has it."""
    answer = Browser().get("/cometchat/cometchat-status.js")
    assert answer["Content-Type"].startswith("text/javascript") and answer.content
    again = Browser().get("/cometchat/cometchat-status.js", headers={"If-None-Match": answer["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def statuses(piece: bytes) -> List[str]:
    """Return the statuses in a piece of a stream."""
    found = re.findall(rb"^event: status\ndata: (.*)$", piece, re.MULTILINE)
    return [json.loads(data)["status"] for data in found]


def test_events_without_an_event_loop(site: Sandbox) -> None:
    """The stream has the status at once, then each change.

    GZipMiddleware does not change it. A closed stream is released.
    """
    answer: Any = Browser(headers={"Accept-Encoding": "gzip"}).get("/cometchat/events")
    assert answer.status_code == 204, "a server without threads can hold no stream"
    answer = Browser(headers={"Accept-Encoding": "gzip"}).get("/cometchat/events", **{"wsgi.multithread": True})
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/event-stream")
    assert (answer["Cache-Control"], answer["Content-Encoding"]) == ("private, no-store", "identity")
    stream = iter(answer.streaming_content)
    told: List[str] = []
    while not told:
        told += statuses(next(stream))
    site.refuse_connections()  # a slow reader must not miss the loss
    site.drop_connections()
    while told[-1] != "connecting":
        told += statuses(next(stream))
    site.accept_connections()
    while told[-1] != "connected":
        told += statuses(next(stream))
    assert told[0] == "connected"
    answer.close()
    rest: Any = [Browser().get("/cometchat/events", **{"wsgi.multithread": True}) for _ in range(2)]
    assert [one.status_code for one in rest] == [200, 200], "the closed one no longer counts"
    for one in rest:
        one.close()


def test_events_under_asgi(site: Sandbox) -> None:
    """Fifty pages share one thread. Each gets every change while the event loop runs, and its end frees its place."""

    async def page(told: List[str]) -> None:
        answer: Any = await AsyncClient().get("/cometchat/events")
        assert answer.status_code == 200
        stream = answer.streaming_content
        async for piece in stream:
            told += statuses(piece)
            if "connecting" in told and told[-1] == "connected":
                break
        await stream.aclose()

    async def pages() -> List[List[str]]:
        told: List[List[str]] = [[] for _ in range(50)]
        tasks = [asyncio.ensure_future(page(one)) for one in told]
        while not all(told):
            await asyncio.sleep(0.005)
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("cometchat-events") == 1
        site.refuse_connections()
        site.drop_connections()
        while not all("connecting" in one for one in told):
            await asyncio.sleep(0.005)
        site.accept_connections()
        await asyncio.gather(*tasks)
        return told

    for told in asyncio.run(asyncio.wait_for(pages(), DEADLINE)):
        assert told[0] == told[-1] == "connected"
    get_feed().close()
    assert eventually(lambda: "cometchat-events" not in [t.name for t in threading.enumerate()])


#: The connections of uses_the_database(), by call.
used: List[Any] = []


def uses_the_database(get_response: Any) -> Any:
    """Stand for a middleware or a decorator that reads the user from the database."""

    def respond(request: HttpRequest) -> Any:
        with database.cursor() as cursor:
            cursor.execute("SELECT 1")
        used.append(connections["default"])  # of this thread
        assert used[-1].connection is not None
        return get_response(request)

    return respond


@pytest.fixture
def site_with_database(site: Sandbox) -> Iterator[Sandbox]:
    """Yield the site with the middleware above."""
    used.clear()
    with override_settings(MIDDLEWARE=[f"{__name__}.uses_the_database"]):
        yield site


def test_a_stream_holds_no_connection_of_the_database(site_with_database: Sandbox) -> None:
    """Django keeps it until the response's end. A few streams would hold all connections of a pool."""
    answer: Any = Browser().get("/cometchat/events", **{"wsgi.multithread": True})
    assert next(iter(answer.streaming_content)) and used[0].connection is None
    answer.close()


def test_a_stream_under_asgi_holds_no_connection_of_the_database(site_with_database: Sandbox) -> None:
    """It was opened on a thread that ends with the stream's start."""

    async def page() -> None:
        async def receive() -> Dict[str, Any]:
            if asked:
                await asyncio.sleep(DEADLINE)
            asked.append(None)
            return {"type": "http.request"}

        async def send(message: Dict[str, Any]) -> None:
            if b"event: status" in message.get("body", b""):
                while used[0].connection is not None:
                    await asyncio.sleep(0.005)
                get_feed().close()

        asked: List[None] = []
        scope = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/cometchat/events"}
        await ASGIHandler()({**scope, "query_string": b"", "headers": []}, receive, send)  # type: ignore[arg-type]

    asyncio.run(asyncio.wait_for(page(), DEADLINE))
    assert len(used) == 1


def test_a_stream_under_asgi_ends_with_the_feed(site: Sandbox) -> None:
    """The end of the connection ends the pages' streams."""

    async def page() -> bytes:
        answer: Any = await AsyncClient().get("/cometchat/events")
        pieces = b""
        async for piece in answer.streaming_content:
            pieces += piece
            if statuses(pieces):
                get_feed().close()
        return pieces

    assert statuses(asyncio.run(asyncio.wait_for(page(), DEADLINE))) == ["connected"]


# The page.


def test_the_tag_is_the_indicator_and_its_script(sandbox: Sandbox) -> None:
    """The tag has the views' addresses, the page's words, escaped, and the nonce of a content security policy."""
    page = Browser().get("/").content.decode()
    assert re.search(r'<script type="module" src="/cometchat/cometchat-status.js"></script><cometchat-status ', page)
    assert 'src="/cometchat/events"' in page and 'status-src="/cometchat/status"' in page
    assert ' text-connected="Da"' in page
    template = engines["django"].from_string("{% load cometchat %}{% cometchat_status not_there='<b>' compact=False %}")
    text = template.render({"csp_nonce": '"x"'}, RequestFactory().get("/"))
    assert '<script type="module" src="/cometchat/cometchat-status.js" nonce="&quot;x&quot;">' in text
    assert 'not-there="&lt;b&gt;"' in text
    assert "compact" not in text


class LazyNonce(SimpleLazyObject):
    """The nonce of Django 6 and of django-csp: false until its text is used."""

    def __init__(self) -> None:
        super().__init__(lambda: "lazy")

    def __bool__(self) -> bool:
        return self.__dict__["_wrapped"] is not empty


def test_the_script_has_a_nonce_that_nothing_else_has_used(sandbox: Sandbox) -> None:
    """The nonce of the context or the request is for the script and for the admin's style, also if it is lazy."""
    template = engines["django"].from_string("{% load cometchat %}{% cometchat_status %}")
    request = RequestFactory().get("/")
    assert ' nonce="lazy"></script>' in template.render({"csp_nonce": LazyNonce()}, request)
    assert "nonce" not in template.render({"csp_nonce": None}, request)
    request.csp_nonce = LazyNonce()  # type: ignore[attr-defined]
    assert ' nonce="lazy"></script>' in template.render({}, request)
    assert '<style nonce="lazy">' in admin_page(True, csp_nonce=LazyNonce()).content.decode()


@override_settings(ROOT_URLCONF="django.contrib.auth.urls")
def test_the_tag_names_missing_views(sandbox: Sandbox) -> None:
    """Without the views, the error names the line to add."""
    template = engines["django"].from_string("{% load cometchat %}{% cometchat_status %}")
    with pytest.raises(ImproperlyConfigured, match=r'include\("cometchat.contrib.django.urls"\)'):
        template.render({})


# Signals.


def test_the_newer_kinds_of_listeners_have_signals(site: Sandbox, heard: List[Tuple[Any, Dict[str, Any]]]) -> None:
    """AI assistants, pinned conversations, and frames without a callback in this SDK have signals."""
    frame = {"appId": "app", "receiver": UID, "receiverType": "user", "sender": OTHER, "deviceId": "another"}
    run = {"type": "run_started", "runId": "1", "threadId": "2"}
    pinned = {"conversation": {"conversationId": "c1", "conversationType": "user"}}
    site.send_frame({**frame, "type": "streamed_message", "body": run}, UID)
    site.send_frame({**frame, "type": "conversation_pinned", "body": pinned}, UID)
    site.send_frame({**frame, "type": "conversation_unpinned", "body": pinned}, UID)
    site.send_frame({**frame, "type": "notification_feed_item", "body": {"id": "7"}}, UID)
    newer = ("ai_assistant_event_received", "conversation_pin_changed", "event_received")
    assert eventually(lambda: len([name for name, _ in heard if name in newer]) == 4), heard
    said = [(name, arguments) for name, arguments in heard if name in newer]
    assert said[0][1]["assistant_event"].type == "run_started"
    assert [arguments["pinned"] for name, arguments in said if name == newer[1]] == [True, False]
    assert said[3][1]["type"] == "notification_feed_item" and said[3][1]["body"] == {"id": "7"}


def test_signals_have_the_events_of_listeners(
    site: Sandbox, heard: List[Tuple[Any, Dict[str, Any]]], caplog: pytest.LogCaptureFixture
) -> None:
    """The sender is the message's class, or Client.

    It runs on the dispatcher thread. A receiver that raises is logged, and does not stop the others.
    """
    texts: List[str] = []
    threads: List[str] = []
    mine: List[Any] = []

    def broken(**arguments: Any) -> None:
        raise RuntimeError("this receiver is broken")

    def only_texts(sender: type, message: TextMessage, client: Client, **kwargs: Any) -> None:
        threads.append(threading.current_thread().name)
        assert client is get_client()
        texts.append(message.text)
        with database.cursor() as cursor:
            cursor.execute("SELECT 1")
        mine.append(connections["default"])  # of this thread
        assert mine[0].connection is not None

    signals.message_received.connect(broken)
    signals.message_received.connect(only_texts, sender=TextMessage)
    try:
        site.send_message(OTHER, UID, "Hello")
        site.typing(OTHER, UID)
        site.drop_connections()
        assert eventually(lambda: [name for name, _ in heard][-1:] == ["connection_status_changed"] and texts)
        assert eventually(
            lambda: [a["status"] for n, a in heard if n == "connection_status_changed"][-1] == "connected"
        )
    finally:
        signals.message_received.disconnect(broken)
        signals.message_received.disconnect(only_texts, sender=TextMessage)
    assert mine[0].connection is None, "the database's connection is closed, as after a request"
    assert texts == ["Hello"] and threads[0].startswith("cometchat-dispatcher-")
    by_name = {name: arguments for name, arguments in heard}
    assert by_name["message_received"]["sender"] is TextMessage
    assert by_name["typing_changed"]["typing"] is True and by_name["typing_changed"]["sender"] is Client
    told = [arguments["status"].value for name, arguments in heard if name == "connection_status_changed"]
    assert told[-3:] == ["disconnected", "connecting", "connected"]
    assert by_name["connection_error"]["error"].code == "WS_CONNECTION_FAIL"
    (logged,) = [record for record in caplog.records if record.name == "django.dispatch"]
    assert "broken" in logged.getMessage() and logged.levelno == logging.ERROR


def test_a_function_for_a_token_may_use_the_database(sandbox: Sandbox) -> None:
    """The database may end a connection between two calls, which come on the SDK's threads.

    Django opens a new one for each request only. Without that, no later call of the function could use the database.
    """
    calls: List[Any] = []

    def token() -> str:
        calls.append(connections["default"])  # of this thread
        with database.cursor() as cursor:
            cursor.execute("SELECT 1")
        calls[-1].connection.close()  # the database's restart
        return "refused at first" if len(calls) == 1 else sandbox.auth_token(UID)

    setting = {**account(sandbox), "AUTH_KEY": None, "AUTH_TOKEN": token}
    with override_settings(COMETCHAT=setting):
        assert start().wait_for_status("connected", DEADLINE), login_error()
        assert len(calls) == 2
        stop()
    read = {**setting, "AUTH_TOKEN": "a text", "REFRESH": token}
    with override_settings(COMETCHAT=read):
        refresh = conf.read().refresh
        assert refresh is not None and refresh() != refresh()
    assert all(each.connection is None for each in calls), "the connections are closed, as after a request"


def test_every_callback_of_a_listener_has_a_signal() -> None:
    """Every method of the listeners has a signal, except for the logout's.

    Receipts of all members of a group call the plain methods, which have a signal.
    """
    client: Any = Registrations()
    relay.register(client)
    left_out = set()
    for kind, listener in client.listeners.items():
        callbacks = {name for name in vars(KINDS[kind]) if name.startswith(("on_", "login_", "logout_"))}
        left_out |= callbacks - set(vars(listener))
    of_all = {"on_messages_delivered_to_all", "on_messages_read_by_all"}
    assert left_out == {"logout_success", "logout_failure", "on_interaction_goal_completed", *of_all}


class Registrations:
    """Stands for a client, and only registers listeners: kind -> listener."""

    def __init__(self) -> None:
        self.listeners: Dict[str, Any] = {}
        self.settings = AppSettings(region="us", subscription_type="ALL_USERS")

    def __getattr__(self, name: str) -> Any:
        kind = re.fullmatch(r"add_(\w+)_listener", name)
        assert kind is not None, name
        return lambda listener_id, listener: self.listeners.update({kind.group(1): listener})


def test_every_callback_sends_one_signal(heard: List[Tuple[Any, Dict[str, Any]]]) -> None:
    """For every callback of a listener, receivers get a signal, and the callback's own arguments are among theirs."""
    client: Any = Registrations()
    relay.register(client)
    assert set(client.listeners) == set(KINDS) - {"outbox"}
    callbacks = 0
    for kind, listener in client.listeners.items():
        for name, method in inspect.getmembers(listener, callable):
            if not name.startswith(("on_", "login_")) or name == "on_interaction_goal_completed":
                continue
            given = [object() for _ in inspect.signature(getattr(KINDS[kind], name)).parameters][1:]  # without self
            method(*given)
            callbacks += 1
            assert len(heard) == callbacks, name
            arguments = heard[-1][1]
            assert arguments["client"] is client
            sent = given[:1] if kind == "group" else given  # the action has the others
            assert set(map(id, sent)) <= set(map(id, arguments.values())), name
            assert arguments.get("event", name) == name
    assert callbacks > 30


# The admin.


def admin_page(is_staff: bool, **of_request: object) -> Any:
    request = RequestFactory().get("/admin/cometchat/connection/")
    vars(request).update(of_request)
    request.user = DjangoUser(username="someone", is_staff=is_staff, is_superuser=is_staff)
    request.session = {}  # type: ignore[assignment]
    page = ConnectionAdmin(Connection, admin.site)
    colleague = RequestFactory().get("/")
    colleague.user = DjangoUser(username="colleague", is_staff=True)
    assert page.has_module_permission(colleague) and page.has_view_permission(colleague)
    assert page.has_module_permission(request) == page.has_view_permission(request) == is_staff
    assert not (page.has_add_permission(request) or page.has_change_permission(request))
    assert not page.has_delete_permission(request)
    answer = page.get_urls()[0].callback(request)
    return answer.render() if hasattr(answer, "render") else answer


def test_the_admin_shows_the_connection(site: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """The page has the status, its time, figures and the last errors, for the staff alone, without a secret."""
    site.drop_connections()
    client = get_client()
    assert eventually(lambda: client.stats().connects == 2)
    answer = admin_page(True)
    page = answer.content.decode()
    assert answer.status_code == 200 and "no-store" in answer["Cache-Control"]
    for text in ("<strong>connected</strong>", "Connections lost", "WS_CONNECTION_FAIL", UID, "<cometchat-status"):
        assert text in page, text
    assert site.auth_key not in page
    assert admin_page(False).status_code == 302, "to the login"


def test_a_site_may_restrict_the_page_of_the_admin(sandbox: Sandbox) -> None:
    """A subclass, as for any page of Django's admin. The index of the admin hides the link, and the page refuses."""

    class NotForStaff(ConnectionAdmin):
        def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
            return False

    request = RequestFactory().get("/admin/cometchat/connection/")
    request.user = DjangoUser(username="someone", is_staff=True)
    with pytest.raises(PermissionDenied):
        NotForStaff(Connection, admin.site).changelist_view(request)


def test_the_admin_says_that_a_process_does_not_connect(sandbox: Sandbox) -> None:
    """In a process without a connection, the page is empty and is not an error."""
    page = admin_page(True).content.decode()
    assert "<strong>disconnected</strong>" in page and "makes no connection" in page and "None." in page


def test_the_admin_says_that_the_client_is_closed(site: Sandbox) -> None:
    """If the site's code has closed the client, the page says so and is not an error."""
    get_client().close()
    page = admin_page(True).content.decode()
    assert "<strong>disconnected</strong>" in page and "ERR_CLIENT_CLOSED" in page and "This process" in page


@pytest.mark.parametrize("options", [[], ["--all"], ["cometchat"]])
def test_a_site_can_dump_its_data(options: List[str]) -> None:
    """The app's model has no table, so ``dumpdata`` finds no rows of it, and dumps those of the other apps."""
    call_command("migrate", verbosity=0)
    out = io.StringIO()
    call_command("dumpdata", *options, stdout=out)
    models = {row["model"] for row in json.loads(out.getvalue())}
    assert "cometchat.connection" not in models
    assert bool(models) == ("cometchat" not in options)


# manage.py cometchat.


def command(*arguments: str) -> Tuple[int, str]:
    out = io.StringIO()
    try:
        call_command("cometchat", *arguments, stdout=out, stderr=out)
    except SystemExit as end:
        assert isinstance(end.code, int)
        return end.code, out.getvalue()
    return 0, out.getvalue()


def test_the_commands_use_the_sites_settings(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """doctor and status succeed with the settings' account. They ignore the environment, and do not change it."""
    monkeypatch.setenv("COMETCHAT_AUTH_TOKEN", "of-somebody-else")
    monkeypatch.setenv("COMETCHAT_ADMIN_HOST", "http://127.0.0.1:9")
    code, text = command("doctor")
    assert code == 0 and "Every step passed." in text and sandbox.auth_key not in text
    code, text = command("status")
    assert code == 0 and "connected         after" in text
    code, text = command("watch", "--json", "--until", "connected", "--timeout", "10")
    assert code == 0 and [json.loads(line)["status"] for line in text.splitlines()][-1] == "connected"
    code, text = command("doctor", "--json")
    assert code == 0 and json.loads(text)["ok"] is True
    assert os.environ["COMETCHAT_AUTH_TOKEN"] == "of-somebody-else"


def test_the_commands_use_the_sites_addresses_and_timeouts(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A site behind a slow proxy has longer limits, and ``doctor`` must not fail where the site connects."""
    seen: List[AppSettings] = []
    monkeypatch.setattr(_commands, "main", lambda arguments: seen.append(AppSettings.from_env()) or 0)
    wanted: Dict[str, Any] = {"connect_timeout": 3.5, "auth_timeout": 4.0, "ping_interval": 5.0, "pong_timeout": 2.0}
    own = {name.upper(): value for name, value in wanted.items()}
    with override_settings(COMETCHAT={**account(sandbox), **own, "CA_CERTS": requests.certs.where()}):
        assert command("doctor")[0] == 0
    wanted.update(admin_host=sandbox.url, client_host=sandbox.url, ca_certs=requests.certs.where())
    assert {name: getattr(seen[0], name) for name in wanted} == wanted


def test_the_commands_take_the_options_of_django(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The options that every command of ``manage.py`` has: no colours, and at the highest verbosity the SDK's log."""
    seen: List[List[str]] = []
    monkeypatch.setattr(_commands, "main", lambda arguments: seen.append(arguments) or 0)
    assert command("doctor")[0] == command("--no-color", "--verbosity=3", "doctor")[0] == 0
    assert seen == [["doctor"], ["doctor", "--no-color", "--debug"]]


def test_the_commands_use_no_proxy_if_the_site_does(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """None in PROXIES turns off the proxy of the environment, for the commands too."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with override_settings(COMETCHAT=account(sandbox, PROXIES={"http": None})):
        assert command("status", "--timeout", "5")[0] == 0


def test_the_commands_fail_with_a_code(sandbox: Sandbox) -> None:
    """The exit code is 1 if it does not connect, and 2 if the settings are wrong. One line gives the reason."""
    sandbox.refuse_connections()
    code, text = command("status", "--timeout", "0.5")
    assert code == 1 and "refused" in text and text.count("\n") == 1
    with override_settings(COMETCHAT={**account(sandbox), "AUTHKEY": "x"}):
        with pytest.raises(CommandError, match="Did you mean AUTH_KEY") as raised:
            call_command("cometchat", "doctor")
        assert raised.value.returncode == 2
