"""The programs and tables of the docs' pages about web applications and Redis do and list what the code does."""

from __future__ import annotations

import contextlib
import inspect
import logging
import re
import sys
import threading
import types
from typing import Any, Dict, Iterator, List, Set, Tuple

import pytest
from docs_blocks import DOCS, block
from integration.conftest import OTHER_UID

from cometchat import Client
from cometchat.contrib.web import component_script
from cometchat.contrib.web._settings import OWN_KEYS
from cometchat.sandbox import Sandbox

from .redis_support import RedisServer
from .support import DEADLINE, UID, account, eventually


@pytest.fixture
def sandbox(cometchat_sandbox: Sandbox) -> Sandbox:
    return cometchat_sandbox


@pytest.fixture
def client(cometchat_client: Client) -> Client:
    return cometchat_client


# Indicator: the component in a page, with the answers of the feed.


def test_a_page_and_the_answers_of_another_framework(sandbox: Sandbox, client: Client, browser: Any) -> None:
    """The page's HTML shows the answers of the page's program. Its script and its style sheet have their effect."""
    names: Dict[str, Any] = {"client": client, "if_none_match": None}
    exec(block("indicator.rst", "python", "StatusFeed"), names)
    feed, component = names["feed"], names["answer"]
    answers = {
        "/cometchat/cometchat-status.js": lambda: component,
        "/cometchat/status": feed.status_answer,
        "/cometchat/events": lambda: feed.events_answer(concurrent=False),
    }
    html = block("indicator.rst", "html", "cometchat-status")
    style = block("indicator.rst", "css", "rebeccapurple")
    script = block("indicator.rst", "javascript", "statuschange", ("sendButton", 'document.querySelector("button")'))
    body = f"<!doctype html><style>{style}</style><button>Send</button>{html}<script>{script}</script>"

    def fulfill(route: Any) -> None:
        path = "/" + route.request.url.partition("//")[2].partition("/")[2]
        if path == "/":
            route.fulfill(body=body, content_type="text/html")
        elif path in answers:
            answer = answers[path]()
            route.fulfill(status=answer.status, content_type=answer.content_type, body=answer.body)
        else:
            route.abort()

    page = browser.new_page()
    try:
        page.route("**/*", fulfill)
        page.goto("http://docs.test/")
        page.locator('cometchat-status[status="connected"]').wait_for(state="attached", timeout=DEADLINE * 1000)
        purple = page.evaluate(
            "getComputedStyle(document.querySelector('cometchat-status').shadowRoot.querySelector('[part=dot]')).color"
        )
        client.disconnect()
        page.locator("button[disabled]").wait_for(timeout=DEADLINE * 1000)
    finally:
        page.close()
        feed.close()
    assert purple == "rgb(102, 51, 153)"


def test_the_client_of_a_process_of_another_framework(sandbox: Sandbox) -> None:
    """The program logs in in the background, and names all mistakes of a setting."""
    program = block("indicator.rst", "python", "web.examine")
    names: Dict[str, Any] = {"account": account(sandbox)}
    exec(program, names)
    try:
        assert names["site"].client.wait_for_status("connected", DEADLINE)
        assert eventually(lambda: names["site"].feed.report()["status"] == "connected")
    finally:
        names["site"].stop()
    with pytest.raises(Exception, match="APP_ID") as refused:
        exec(program, {"account": {"UID": 5}})
    assert "UID" in str(refused.value)


def section(page: str, title: str) -> str:
    """Return the text of a page below a heading, up to the next one."""
    found = re.search(rf"^{title}\n-+\n((?:.*\n)*?)(?=^\S.*\n---|\Z)", (DOCS / page).read_text("utf-8"), re.MULTILINE)
    assert found is not None, title
    return found[1]


def test_the_names_of_the_indicator() -> None:
    """Each attribute, property and part in the table of docs/indicator.rst is in the component's script."""
    table = section("indicator.rst", "Words and looks")
    names = re.findall(r"``(text-[a-z-]+|compact|theme|label|-[a-z-]+|::part\((?:\w+)\))(?:=|``)", table)
    assert len(names) >= 25
    missing = []
    for name in names:
        part = re.fullmatch(r"::part\((\w+)\)", name)
        wanted = f'part="{part[1]}"' if part else f"--cometchat-status{name}" if re.match("-[a-z]", name) else name
        if wanted not in component_script() and wanted.replace('"', "'") not in component_script():
            missing.append(wanted)
    assert missing == []


def keys(page: str) -> Set[str]:
    """Return the keys of the setting COMETCHAT that the page explains. Fields of AppSettings are one entry."""
    terms = re.findall(r"^(?:``[A-Z_]+``(?: and |$))+$", section(page, "Settings"), re.MULTILINE)
    return {key for term in terms for key in re.findall(r"``([A-Z_]+)``", term)}


# Flask.


def test_the_settings_and_views_of_flask(app: Any) -> None:
    """docs/flask.rst explains each key, and lists each address."""
    from cometchat.contrib.flask import CometChatFlask
    from cometchat.contrib.flask import _extension as extension

    assert keys("flask.rst") == {*OWN_KEYS, *extension._OPTIONS}
    listed = re.findall(r"^``(/cometchat/\S+)``", section("flask.rst", "Views"), re.MULTILINE)
    with extended(app, CometChatFlask()):
        rules = {rule.rule: rule.endpoint for rule in app.url_map.iter_rules() if rule.rule.startswith("/cometchat/")}
        found = [app.url_map.bind("localhost").match(path)[0] for path in listed]
    assert set(found) == set(rules.values()) and set(listed) >= {rule for rule in rules if "<" not in rule}


@pytest.fixture
def app(sandbox: Sandbox) -> Any:
    flask = pytest.importorskip("flask")
    made = flask.Flask("site")
    made.config.update(TESTING=True, COMETCHAT=account(sandbox))
    return made


@contextlib.contextmanager
def extended(app: Any, extension: Any) -> Iterator[Any]:
    extension.init_app(app)
    try:
        yield extension
    finally:
        extension.close()


def test_the_guard_of_flask(app: Any) -> None:
    """Strangers get 403, members the status, and the load balancer only the health."""
    from cometchat.contrib.flask import CometChatFlask

    user = types.SimpleNamespace(is_authenticated=False)
    names = {"current_user": user, "CometChatFlask": CometChatFlask}
    exec(block("flask.rst", "python", "members_only", ("from flask_login import current_user", "")), names)
    with extended(app, names["cometchat"]):
        browser, balancer = app.test_client(), {"REMOTE_ADDR": "10.0.0.1"}
        assert browser.get("/cometchat/status").status_code == browser.get("/cometchat/health").status_code == 403
        assert browser.get("/cometchat/health", environ_overrides=balancer).status_code == 503
        assert browser.get("/cometchat/status", environ_overrides=balancer).status_code == 403
        user.is_authenticated = True
        assert browser.get("/cometchat/status").status_code == 200


def test_the_probes_of_kubernetes(app: Any) -> None:
    """The addresses of the probes answer."""
    from cometchat.contrib.flask import CometChatFlask

    probes = block("flask.rst", "yaml", "livenessProbe")
    paths = dict(re.findall(r"(\w+)Probe: \{httpGet: \{path: ([\w/]+),", probes))
    with extended(app, CometChatFlask()):
        answers = {kind: app.test_client().get(path).status_code for kind, path in paths.items()}
    assert answers == {"liveness": 200, "readiness": 503}


def test_the_signal_of_flask(app: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The receiver logs each status."""
    from cometchat.contrib.flask import CometChatFlask

    names = {"app": app}
    exec(block("flask.rst", "python", "status_changed"), names)
    with caplog.at_level(logging.INFO), extended(app, CometChatFlask()) as extension:
        extension.start()
        assert eventually(lambda: "chat is connected " in caplog.messages)


@pytest.mark.skipif(sys.platform == "win32", reason="Redis is not for Windows")
def test_workers_of_flask_share_a_connection(app: Any, sandbox: Sandbox, redis_server: RedisServer) -> None:
    """Two applications with the page's store have one connection."""
    pytest.importorskip("redis")
    from cometchat.contrib.flask import CometChatFlask

    redis_server.flush()
    program = block("flask.rst", "python", "RedisStatusStore", ("redis://localhost:6379/0", redis_server.url))
    apps = [app, type(app)("other")]
    apps[1].config.update(TESTING=True, COMETCHAT=account(sandbox))
    with contextlib.ExitStack() as ended:
        for each in apps:
            exec(program, {"app": each})
            extension = ended.enter_context(extended(each, CometChatFlask()))
            extension.start()
            assert extension.client.wait_for_status("connected", DEADLINE)
        assert sandbox.connections == 1


# Django.


@pytest.fixture
def django_site(sandbox: Sandbox) -> Iterator[None]:
    pytest.importorskip("django")
    from . import django_support

    django_support.set_up()
    from django.test import override_settings

    from cometchat.contrib.django import stop

    with override_settings(COMETCHAT=account(sandbox)):
        yield
        stop()


@pytest.mark.usefixtures("django_site")
def test_a_process_of_django_connects_and_sends(sandbox: Sandbox) -> None:
    """start() returns one client at once, which connects and sends."""
    from cometchat.contrib.django import start

    client = start()
    assert start() is client and client.wait_for_status("connected", DEADLINE)
    exec(block("django.rst", "python", "get_client()"), {})
    (message,) = sandbox.messages
    assert (message["sender"], message["receiver"], message["data"]["text"]) == (UID, OTHER_UID, "Hello")


@pytest.mark.usefixtures("django_site")
def test_the_signals_of_django(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """The receivers store each message, and log each status."""
    from cometchat.contrib.django import signals, start

    rows: List[Tuple[str, str]] = []
    manager = types.SimpleNamespace(
        get_or_create=lambda comet_id, defaults: rows.append((str(comet_id), defaults["text"]))
    )
    names: Dict[str, Any] = {"Note": types.SimpleNamespace(objects=manager), "logger": logging.getLogger("site")}
    exec(block("django.rst", "python", "message_received"), names)
    try:
        with caplog.at_level(logging.INFO):
            client = start()
            assert client.wait_for_status("connected", DEADLINE)
            sent = sandbox.send_message(OTHER_UID, UID, "Hello")
            assert eventually(lambda: rows) == [(str(sent["id"]), "Hello")]
            assert eventually(lambda: "chat is connected" in caplog.messages)
    finally:
        signals.message_received.disconnect(names["store"])
        signals.connection_status_changed.disconnect(names["log"])


@pytest.mark.usefixtures("django_site")
def test_the_restricted_views_of_django() -> None:
    """Visitors are sent to the login, users get the status, and the tag has the views' addresses."""
    from django.contrib.auth.models import AnonymousUser, User
    from django.template import engines
    from django.test import RequestFactory, override_settings
    from django.urls import resolve

    names: Dict[str, Any] = {}
    exec(block("django.rst", "python", "login_required", (", ...]", "]")), names)
    urls = types.ModuleType("urls_of_the_page")
    urls.__dict__["urlpatterns"] = names["urlpatterns"]
    with override_settings(ROOT_URLCONF=urls):
        request = RequestFactory().get("/chat/status")
        view = resolve("/chat/status").func
        request.user = AnonymousUser()
        assert view(request).status_code == 302
        request.user = User(username="ada")
        assert view(request).status_code == 200
        tag = engines["django"].from_string("{% load cometchat %}{% cometchat_status %}").render({}, request)
        assert 'src="/chat/events" status-src="/chat/status"' in tag


@pytest.mark.usefixtures("django_site")
def test_the_tables_of_django() -> None:
    """docs/django.rst lists each key, check, signal and address."""
    from django.dispatch import Signal

    from cometchat.contrib.django import _checks as checks
    from cometchat.contrib.django import _conf as conf
    from cometchat.contrib.django import signals, urls
    from cometchat.contrib.web import _settings

    assert keys("django.rst") == {*OWN_KEYS, *conf.OPTIONS}
    numbers = set(re.findall(r'"(E\d{3})"', inspect.getsource(_settings)))
    numbers |= set(re.findall(r"cometchat\.(W\d{3})\"", inspect.getsource(checks)))
    assert set(re.findall(r"^``cometchat\.(\w+)``", section("django.rst", "Checks"), re.MULTILINE)) == numbers
    listed = re.findall(r"^``(\w+)`` +``", section("django.rst", "Signals"), re.MULTILINE)
    assert listed and set(listed) == {name for name, value in vars(signals).items() if isinstance(value, Signal)}
    routes = [line for line in section("django.rst", "Views").splitlines() if line.startswith("``")]
    paths = [path for line in routes for path in re.findall(r"``(\S+?)``", line[:39])]
    assert sorted(paths) == sorted(str(each.pattern) for each in urls.urlpatterns)


# Redis.

redis_only = pytest.mark.skipif(sys.platform == "win32", reason="Redis is not for Windows")


@redis_only
def test_processes_share_a_connection(sandbox: Sandbox, redis_server: RedisServer) -> None:
    """Each client of the page's program is connected, over one connection."""
    pytest.importorskip("redis")
    redis_server.flush()
    program = block(
        "redis.rst",
        "python",
        "RedisStatusStore",
        ("rediss://:PASSWORD@redis.example.com:6379/0", redis_server.url),
        ('"APP_ID", AppSettings(region="us", ', "sandbox.app_id, sandbox.settings("),
        ('"AUTH_KEY"', "sandbox.auth_key"),
    )
    with contextlib.ExitStack() as ended:
        for _ in range(2):
            names: Dict[str, Any] = {"sandbox": sandbox}
            exec(program, names)
            ended.callback(names["client"].close)
            assert names["client"].wait_for_status("connected", DEADLINE)
        assert sandbox.connections == 1


@redis_only
def test_a_worker_of_the_stream(sandbox: Sandbox, redis_server: RedisServer) -> None:
    """The worker of the page's program answers each message of others once, and no message of this user."""
    pytest.importorskip("redis")
    from cometchat.contrib.redis import RedisStatusStore

    redis_server.flush()
    answered: List[str] = []
    done = threading.Event()

    def answer(message: Any) -> None:
        answered.append(message.text)
        if message.text == "last":
            done.set()

    store = RedisStatusStore(redis_server.url)
    with Client(sandbox.app_id, sandbox.settings(status_store=store)) as client:
        client.login(UID, sandbox.auth_key)
        client.connect(DEADLINE)
        names: Dict[str, Any] = {"client": client, "store": store, "answer": answer}
        exec(block("redis_stream.rst", "python", "EventStream"), names)
        with contextlib.closing(names["stream"]):
            sandbox.send_message(UID, OTHER_UID, "own")
            for text in ("first", "last"):
                sandbox.send_message(OTHER_UID, UID, text)
            assert done.wait(DEADLINE)
    assert answered == ["first", "last"]
