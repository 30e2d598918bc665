"""The Flask extension, with Flask's own test client and runner, and in common servers."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple
from unittest import mock

import pytest
from flask import Flask, render_template_string

from cometchat import Client, CometChatException, CometChatWSState
from cometchat.contrib.flask import CometChatFlask, status_changed
from cometchat.contrib.web import COMPONENT_ETAG, Serving, examine
from cometchat.sandbox import Sandbox

from .flask_site import site
from .support import DEADLINE, HERE, UID, account, eventually, free_port, plain, served, uwsgi


@contextlib.contextmanager
def made(settings: Any, *, testing: bool = True, **options: Any) -> Iterator[Tuple[Flask, CometChatFlask]]:
    """Return an application for one test, as its factory would make it."""
    app = Flask("site")
    app.config.update(TESTING=testing, COMETCHAT=settings)
    extension = CometChatFlask(**options)
    extension.init_app(app)
    try:
        yield app, extension
    finally:
        extension.close()


def connected(extension: CometChatFlask) -> bool:
    return eventually(lambda: extension.client.get_connection_status() is CometChatWSState.CONNECTED)


def test_settings_from_the_environment(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flask's from_prefixed_env() reads the settings, as docs/flask.rst says: a uid of digits in quotation marks."""
    sandbox.add_user("42", "Forty-two")
    settings = {**account(sandbox), "UID": '"42"', "PING_INTERVAL": "7"}
    for name, value in settings.items():
        monkeypatch.setenv(f"FLASK_COMETCHAT__{name}", str(value))
    app = Flask("site")
    app.testing = True
    app.config.from_prefixed_env()
    extension = CometChatFlask(app)
    try:
        extension.start()
        assert connected(extension)
        assert extension.client.get_logged_in_user().uid == "42"
        assert extension.client.settings.ping_interval == 7
    finally:
        extension.close()


# Views.


def test_the_views_say_how_it_is(sandbox: Sandbox) -> None:
    """JSON, health and the script are right before the start, and while the connection is up."""
    with made(account(sandbox)) as (app, extension):
        browser = app.test_client()
        assert browser.get("/cometchat/status").json["status"] == "disconnected"
        assert browser.get("/cometchat/health").status_code == 503
        assert browser.get("/cometchat/health/live").status_code == 200
        extension.start()
        extension.start()
        assert connected(extension)
        answer = browser.get("/cometchat/status")
        assert (answer.json["status"], answer.json["user"]) == ("connected", None)
        assert answer.headers["Cache-Control"] == "private, no-store"
        health = browser.get("/cometchat/health/ready")
        assert (health.status_code, health.content_type) == (200, "application/health+json")
        assert browser.get("/cometchat/health/other").status_code == 404
        script = browser.get("/cometchat/cometchat-status.js")
        assert script.content_type == "text/javascript; charset=utf-8"
        again = browser.get("/cometchat/cometchat-status.js", headers={"If-None-Match": COMPONENT_ETAG})
        assert (again.status_code, again.data) == (304, b"")
    assert sandbox.wait_for_connections(0)
    assert len(sandbox.attempts) == 1


def test_the_stream_is_a_response_piece_by_piece(sandbox: Sandbox) -> None:
    """A server with threads gets each event when it happens. A server without threads gets 204."""
    with made(account(sandbox)) as (app, extension):
        browser = app.test_client()
        threads = {"wsgi.multithread": True}
        answer = browser.get("/cometchat/events", environ_overrides=threads)
        pieces = iter(answer.response)
        assert answer.content_type == "text/event-stream"
        assert b"event: alive" in next(pieces)
        assert b'"status": "disconnected"' in next(pieces)
        extension.start()
        assert any(b'"status": "connected"' in piece for piece in pieces)
        answer.close()
        assert browser.get("/cometchat/events", environ_overrides={"wsgi.multithread": False}).status_code == 204


def test_the_light_is_a_global_of_templates(sandbox: Sandbox) -> None:
    """{{ cometchat_status() }} is the script and the tag, with the application's own addresses and words, escaped."""
    with made(account(sandbox, URL_PREFIX="/chat")) as (app, _), app.test_request_context(base_url="http://x/"):
        text = render_template_string("{{ cometchat_status(text_connected='<Da>', compact=True, theme=None) }}")
        assert text == (
            '<script src="/chat/cometchat-status.js" defer></script>'
            '<cometchat-status src="/chat/events" status-src="/chat/status" text-connected="&lt;Da&gt;" compact="">'
            "</cometchat-status>"
        )
        assert app.test_client().get("/chat/status").status_code == 200
        text = render_template_string("{{ cometchat_status(nonce='\"x\"') }}")
        assert text.startswith('<script src="/chat/cometchat-status.js" nonce="&#34;x&#34;" defer></script>')
        assert text.count("nonce") == 1


_GUARDED = ("status", "events", "health", "health/live", "health/ready")


def test_a_guard_keeps_the_status_from_strangers(sandbox: Sandbox) -> None:
    """The guard's result is the answer of status, events and health, also if it is empty.

    The script contains no status.
    """
    with made(account(sandbox), guard=lambda: ("who are you?", 401)) as (app, _):
        browser = app.test_client()
        codes = {path: browser.get(f"/cometchat/{path}").status_code for path in _GUARDED}
        assert codes == dict.fromkeys(_GUARDED, 401)
        assert browser.get("/cometchat/cometchat-status.js").status_code == 200
    with made(account(sandbox), guard=lambda: "") as (app, _):
        assert app.test_client().get("/cometchat/status").data == b""


def test_a_receiver_that_raises_does_not_stop_the_others(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """Each receiver gets every change, even if another one raises. The error is logged with its traceback."""
    told: List[CometChatWSState] = []

    def fail(sender: Flask, **kwargs: Any) -> None:
        raise ValueError("a receiver's own mistake")

    def hear(sender: Flask, status: CometChatWSState, **kwargs: Any) -> None:
        told.append(status)

    def hear_too(sender: Flask, status: CometChatWSState, **kwargs: Any) -> None:
        told.append(status)

    with made(account(sandbox)) as (app, extension), contextlib.ExitStack() as stack:
        # blinker keeps no order. In most runs, one of the other receivers would be called after the one that fails.
        for receiver in (hear, fail, hear_too):
            stack.enter_context(status_changed.connected_to(receiver, sender=app))
        extension.start()
        assert connected(extension)
        assert eventually(lambda: told.count(CometChatWSState.CONNECTED) == 2)
    assert told.count(CometChatWSState.CONNECTING) == 2
    assert "a receiver's own mistake" in caplog.text


def test_a_receiver_may_be_asynchronous(sandbox: Sandbox) -> None:
    """As for Flask's own signals, a coroutine runs to its end. It must not be dropped in silence."""
    pytest.importorskip("asgiref")
    told: List[str] = []

    async def hear(sender: Flask, status: CometChatWSState, error: Optional[CometChatException]) -> None:
        await asyncio.sleep(0)
        told.append(status.value)

    with made(account(sandbox)) as (app, extension), status_changed.connected_to(hear, sender=app):
        extension.start()
        assert eventually(lambda: told == ["connecting", "connected"]), told


def test_changes_are_blinker_signals(sandbox: Sandbox) -> None:
    """status_changed has the application as its sender, and the status. An error has the error."""
    told: List[Tuple[CometChatWSState, Optional[str]]] = []
    with made(account(sandbox)) as (app, extension):

        def hear(sender: Flask, status: CometChatWSState, error: Optional[CometChatException]) -> None:
            assert sender is app
            told.append((status, error.code if error else None))

        with status_changed.connected_to(hear, sender=app):
            extension.start()
            assert connected(extension)
            sandbox.drop_connections()
            assert eventually(lambda: [status for status, _ in told].count(CometChatWSState.CONNECTED) == 2)
            extension.client.disconnect()
            assert eventually(lambda: told[-1][0] is CometChatWSState.DISCONNECTED)
    assert [status.value for status, error in told if error is None] == [
        *("connecting", "connected", "disconnected", "connecting", "connected", "disconnected")
    ]
    assert [error for _, error in told if error] == ["WS_CONNECTION_FAIL"]


# The start.


def test_an_application_under_test_connects_to_nothing(sandbox: Sandbox) -> None:
    """With TESTING, requests are answered, and no request goes to the service."""
    with made(account(sandbox)) as (app, _):
        assert app.test_client().get("/cometchat/status").status_code == 200
        assert sandbox.requests == []


def test_the_first_request_starts_it_once(sandbox: Sandbox) -> None:
    """If the extension cannot know that this process serves, the first request starts it.

    Many at once start it once.
    """
    app = Flask("site")
    app.config["COMETCHAT"] = account(sandbox)
    extension = CometChatFlask(app)
    assert sandbox.requests == []
    browsers = [
        threading.Thread(target=app.test_client().get, args=("/cometchat/status",), name="browser", daemon=True)
        for _ in range(8)
    ]
    for browser in browsers:
        browser.start()
    for browser in browsers:
        browser.join(DEADLINE)
    assert connected(extension)
    assert len(sandbox.attempts) == 1
    extension.close()


def test_a_first_request_that_cannot_start_it_leaves_that_to_the_next(sandbox: Sandbox) -> None:
    """If the first request finds no thread for the client of a stored session, a later request starts it."""
    with made(account(sandbox), testing=False) as (app, extension):
        browser = app.test_client()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Serving, "start", mock.Mock(side_effect=CometChatException("ERR_INTERNAL", "no thread")))
            assert browser.get("/cometchat/status").status_code == 500
        assert browser.get("/cometchat/status").status_code == 200
        assert connected(extension)


@pytest.mark.parametrize("start", ["request", "never"])
def test_start_has_the_last_word(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, start: str) -> None:
    """In a process that serves, "request" means not before the first request, and "never" not even then."""
    monkeypatch.setenv("WERKZEUG_RUN_MAIN", "true")
    with made(account(sandbox, START=start), testing=False) as (app, extension):
        assert sandbox.requests == [] and not app.extensions["cometchat"].started
        assert app.test_client().get("/cometchat/status").status_code == 200
        assert app.extensions["cometchat"].started is (start == "request")
        if start == "request":
            assert connected(extension)
        else:
            assert sandbox.requests == []


def test_a_serving_process_starts_at_once_except_under_test(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """"auto" in the reloader's child means before any request, but not while ``app.testing`` is true."""
    monkeypatch.setenv("WERKZEUG_RUN_MAIN", "true")
    with made(account(sandbox)) as (app, _):
        assert not app.extensions["cometchat"].started
    with made(account(sandbox), testing=False) as (app, extension):
        assert app.extensions["cometchat"].started and connected(extension)


def test_a_request_after_close_starts_nothing(sandbox: Sandbox) -> None:
    """After close(), only start() begins again, with a new client."""
    with made(account(sandbox), testing=False) as (app, extension):
        app.test_client().get("/cometchat/status")
        assert connected(extension)
        before = extension.client
        extension.close()
        assert app.test_client().get("/cometchat/status").json["status"] == "disconnected"
        assert not app.extensions["cometchat"].started
        extension.start()
        assert extension.client is not before and connected(extension)


def test_two_applications_have_a_client_each(sandbox: Sandbox) -> None:
    """One extension object serves both. The application's context decides which client is used."""
    apps = [Flask("one"), Flask("two")]
    extension = CometChatFlask()
    for number, app in enumerate(apps, 1):
        app.config.update(TESTING=True, COMETCHAT=account(sandbox, UID=f"cometchat-uid-{number}", DETAILS=True))
        extension.init_app(app)
    for app in apps:
        with app.app_context():
            extension.start()
            assert connected(extension)
    users = [app.test_client().get("/cometchat/status").json["user"] for app in apps]
    assert users == ["cometchat-uid-1", "cometchat-uid-2"]
    for app in apps:
        with app.app_context():
            extension.close()


def test_before_init_app_the_error_says_what_to_do() -> None:
    """The client of an extension without an application raises an error that says what to do."""
    with pytest.raises(CometChatException, match="init_app") as error:
        CometChatFlask().client
    assert error.value.code == "COMETCHAT_INITIALIZATION_NOT_DONE"


# Settings.

GOOD: Dict[str, Any] = {"APP_ID": "1234567890abcdef", "REGION": "us", "UID": "me", "AUTH_KEY": "secret-key"}


@pytest.mark.parametrize(
    "settings, code, words",
    [
        (None, "MISSING_PARAMETERS", "app.config"),
        ("us", "INVALID_COMETCHAT", "mapping"),
        ({**GOOD, "AUTHKEY": "secret-key"}, "INVALID_COMETCHAT", "Did you mean AUTH_KEY?"),
        ({**GOOD, "colour": "red"}, "INVALID_COMETCHAT", "unknown key, 'colour'. The keys are APP_ID,"),
        ({**GOOD, "APP_ID": ""}, "MISSING_PARAMETERS", "app_id"),
        ({**GOOD, "APP_ID": 7}, "INVALID_APP_ID", "app_id"),
        ({**GOOD, "REGION": None}, "MISSING_PARAMETERS", "region"),
        ({**GOOD, "PING_INTERVAL": -1}, "INVALID_PING_INTERVAL", "seconds"),
        ({**GOOD, "UID": None}, "INVALID_COMETCHAT", "uid of an existing user"),
        ({**GOOD, "AUTH_KEY": None}, "INVALID_COMETCHAT", "AUTH_TOKEN"),
        ({**GOOD, "AUTH_KEY": 5}, "INVALID_COMETCHAT", "Invalid AUTH_KEY. Give a string"),
        ({**GOOD, "AUTH_TOKEN": "secret-token"}, "INVALID_COMETCHAT", "both AUTH_KEY and AUTH_TOKEN"),
        ({**GOOD, "MAX_STREAMS": "many"}, "INVALID_MAX_STREAMS", "whole number"),
        ({**GOOD, "KEEP_ALIVE": 0}, "INVALID_KEEP_ALIVE", "seconds"),
        ({**GOOD, "START": "yes"}, "INVALID_COMETCHAT", 'Invalid START. Give "auto"'),
        ({**GOOD, "AUTO_START": True}, "INVALID_COMETCHAT", "unknown key, 'AUTO_START'"),
        ({**GOOD, "URL_PREFIX": "chat"}, "INVALID_COMETCHAT", "Invalid URL_PREFIX"),
        ({**GOOD, "PING_INTERVAL": -1, "START": 1}, "INVALID_PING_INTERVAL", "START"),
    ],
)
def test_wrong_settings_are_said_at_the_start(settings: Any, code: str, words: str) -> None:
    """init_app raises an error that names the wrong and the right value, without a secret."""
    with pytest.raises(CometChatException) as error:
        with made(settings):
            raise AssertionError("not reached")
    assert error.value.code == code
    assert words in error.value.message
    assert "secret" not in repr(error.value)


async def async_guard() -> None:
    """Flask would get its coroutine as the answer."""


def generator_guard() -> Iterator[None]:
    """Flask would get its generator as the answer."""
    yield


@pytest.mark.parametrize(
    "wrong, code, words",
    [
        (lambda: CometChatFlask("site"), "INVALID_APP", "a Flask application, got str"),  # type: ignore[arg-type]
        (lambda: CometChatFlask().init_app(None), "INVALID_APP", "got NoneType"),  # type: ignore[arg-type]
        (lambda: CometChatFlask(guard=True), "INVALID_GUARD", "without parameters, got bool"),  # type: ignore[arg-type]
        (lambda: CometChatFlask(guard=async_guard), "INVALID_GUARD", "parameters, got an async function"),
        (lambda: CometChatFlask(guard=generator_guard), "INVALID_GUARD", "parameters, got a generator function"),
    ],
)
def test_wrong_arguments_are_named(wrong: Callable[[], object], code: str, words: str) -> None:
    """The error is raised at once, and names the right value.

    There is no AttributeError, and no 500 at the first request.
    """
    with pytest.raises(CometChatException) as error:
        wrong()
    assert (error.value.code, words in error.value.message) == (code, True)


def test_an_application_gets_the_extension_once() -> None:
    """The second init_app is INVALID_APP, and not Flask's message about a blueprint.

    The first one's views still work.
    """
    with made(GOOD) as (app, extension):
        for again in (extension, CometChatFlask()):
            with pytest.raises(CometChatException, match="once for each application") as error:
                again.init_app(app)
            assert error.value.code == "INVALID_APP"
        assert app.test_client().get("/cometchat/status").status_code == 200


def test_start_returns_the_client(sandbox: Sandbox) -> None:
    """Like Django's start(), it returns the process's client at once, and the same client again."""
    with made(account(sandbox)) as (_, extension):
        client = extension.start()
        assert client is extension.client and extension.start() is client
        assert client.wait_for_status("connected", timeout=DEADLINE)


def test_the_account_shows_no_secret() -> None:
    """Neither the key nor the token is in its repr."""
    configuration, problems = examine(GOOD, {}, "")
    assert problems == [] and GOOD["APP_ID"] in repr(configuration)
    assert "secret" not in repr(configuration)


# The login.


def test_a_login_goes_on_until_there_is_a_network(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """A service first answers 503, then not at all, then again. The application logs in by itself."""
    sandbox.fail_http(503, times=2)
    with made(account(sandbox)) as (app, extension):
        extension.start()
        assert eventually(lambda: "the next attempt follows in" in caplog.text)
        assert connected(extension)
        assert app.test_client().get("/cometchat/status").json["reason"] is None


def test_a_refused_login_is_logged_and_not_repeated_soon(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """A wrong key leads to one request in minutes, a line in the log, and the reason in the status."""
    with made(account(sandbox, AUTH_KEY="wrong-secret")) as (app, extension):
        extension.start()
        assert eventually(lambda: re.search(r"the next attempt follows in 3\d\d\.\d s", caplog.text))
        asked = len(sandbox.requests)
        report = eventually(lambda: app.test_client().get("/cometchat/status").json)
        assert report["status"] == "disconnected"
        assert eventually(lambda: app.test_client().get("/cometchat/status").json["reason"])
        assert len(sandbox.requests) == asked
    assert "wrong-secret" not in caplog.text


def test_an_auth_token_logs_in_too(sandbox: Sandbox) -> None:
    """AUTH_TOKEN works in place of UID and AUTH_KEY."""
    settings = account(sandbox, AUTH_TOKEN=sandbox.auth_token(UID))
    del settings["AUTH_KEY"], settings["UID"]
    with made(settings) as (_, extension):
        extension.start()
        assert connected(extension)


def test_close_ends_a_login_that_waits(sandbox: Sandbox) -> None:
    """The thread that tries again ends with the client."""
    sandbox.refuse_connections()
    configuration, _ = examine(account(sandbox), {}, "")
    assert configuration is not None
    serving = Serving(lambda: configuration)
    serving.start()
    serving.stop()
    assert eventually(lambda: not [t for t in threading.enumerate() if t.name == "cometchat-login"])


# Commands.


def test_flask_cometchat_status(sandbox: Sandbox) -> None:
    """The command connects, prints the report, and ends with 0. After a failure, it ends with 1 and the error."""
    with made(account(sandbox)) as (app, _):
        run = app.test_cli_runner().invoke(args=["cometchat", "status"])
        assert (run.exit_code, json.loads(run.output)["status"]) == (0, "connected")
    with made(account(sandbox, AUTH_KEY="wrong-secret")) as (app, _):
        run = app.test_cli_runner().invoke(args=["cometchat", "status"])
        assert run.exit_code == 1 and '"disconnected"' in run.output and "wrong-secret" not in run.output
        assert json.loads(run.output.splitlines()[-1])["reason"]["code"] == "AUTH_ERR_APIKEY_NOT_FOUND"


def test_flask_cometchat_status_leaves_the_files_of_the_site_alone(sandbox: Sandbox, tmp_path: Path) -> None:
    """It neither makes them, perhaps as another user, nor sends what waits in the outbox."""
    files = {"INBOX_PATH": str(tmp_path / "inbox.db"), "OUTBOX_PATH": str(tmp_path / "outbox.db")}
    with made(account(sandbox, **files)) as (app, _):
        run = app.test_cli_runner().invoke(args=["cometchat", "status"])
        assert (run.exit_code, json.loads(run.output)["status"]) == (0, "connected")
    assert list(tmp_path.iterdir()) == []


def test_flask_cometchat_status_voids_the_auth_token_that_it_has_made(sandbox: Sandbox) -> None:
    """As a probe it would end the login of the running site, since the service keeps a user's newest tokens only."""
    token = sandbox.auth_token(UID)
    with made(account(sandbox)) as (app, _):
        assert app.test_cli_runner().invoke(args=["cometchat", "status"]).exit_code == 0
    sandbox.limit_tokens(1)
    with Client(sandbox.app_id, sandbox.settings(auto_establish_socket_connection=False)) as user:
        user.login_with_auth_token(token)


@pytest.mark.parametrize("token, words", [(lambda: {}["secret"], "raised KeyError"), (lambda: 5, "int"), (str, "")])
@pytest.mark.parametrize("command", ["status", "doctor", "watch"])
def test_a_function_that_gives_no_token_is_one_line(sandbox: Sandbox, command: str, token: Any, words: str) -> None:
    """The exit code is 1, and the line names AUTH_TOKEN. There is no traceback, and no text of the exception."""
    with made(account(sandbox, AUTH_KEY=None, AUTH_TOKEN=token)) as (app, _):
        run = app.test_cli_runner().invoke(args=["cometchat", command])
    assert run.exit_code == 1 and isinstance(run.exception, SystemExit), run.exception
    assert words in run.output and "auth_token" in run.output.lower() and "secret" not in run.output


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full"])
def test_a_function_that_gives_no_token_without_a_standard_error(redirect: str) -> None:
    """The exit code is 1 too if the line can't be written: standard error is closed, or its disk is full."""
    program = """
from cometchat.contrib.web import _commands, examine
account = {"APP_ID": "app", "REGION": "us", "UID": "zoe", "AUTH_TOKEN": str}
configuration, _ = examine(account, {}, "")
code = _commands.run(configuration, ["watch"])
print("code", code)
"""
    command = ["sh", "-c", f'exec "$0" -c "$1" {redirect}', sys.executable, program]
    assert subprocess.run(command, stdout=subprocess.PIPE, check=False, timeout=DEADLINE).stdout == b"code 1\n"


def test_flask_cometchat_doctor_and_watch(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's own commands use the application's account and not the environment's, and have their options."""
    monkeypatch.setenv("COMETCHAT_APP_ID", "another")
    monkeypatch.setenv("COMETCHAT_AUTH_TOKEN", "anothers-token")
    with made(account(sandbox)) as (app, _):
        run = app.test_cli_runner().invoke(args=["cometchat", "doctor"])
        assert run.exit_code == 0, run.output
        run = app.test_cli_runner().invoke(
            args=["cometchat", "watch", "--until", "connected", "--timeout", "10", "--json"]
        )
        assert '"connected"' in run.output
        assert app.test_cli_runner().invoke(args=["cometchat", "watch", "--no-such-option"]).exit_code == 2
    assert os.environ["COMETCHAT_APP_ID"] == "another"


FLASK = [sys.executable, "-m", "flask", "--app", "flask_app:create_app"]


def test_other_commands_do_not_connect(sandbox: Sandbox) -> None:
    """``flask routes``, like any command of the application, has the views and makes no request."""
    env = plain(SITE_COMETCHAT=json.dumps(account(sandbox)))
    ended = subprocess.run([*FLASK, "routes"], cwd=HERE, env=env, capture_output=True, text=True, timeout=DEADLINE)
    assert ended.returncode == 0 and "/cometchat/events" in ended.stdout, ended.stdout + ended.stderr
    assert sandbox.requests == []


@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_flask_run_connects_once(sandbox: Sandbox, debug: List[str]) -> None:
    """``flask run`` connects before any request. With the reloader, the parent does not serve and does not connect."""
    port = free_port()
    command = [*FLASK, *debug, "run", "--port", str(port)]
    with served(command, port, plain(SITE_COMETCHAT=json.dumps(account(sandbox)))) as server:
        assert sandbox.wait_for_connections(1, DEADLINE), server.output
        assert server.wait_until_it_answers("/cometchat/status")
        assert eventually(lambda: server.get("/cometchat/status")["status"] == "connected")
        assert (len(sandbox.attempts), sandbox.connections) == (1, 1)


# gunicorn.


@pytest.mark.parametrize("options", [[], ["--threads", "4", "--preload"]], ids=["sync", "gthread-preload"])
def test_each_worker_of_gunicorn_has_a_connection(sandbox: Sandbox, options: List[str]) -> None:
    """Each worker connects before any request, and the master does not.

    The replacement of a killed worker connects too.
    """
    with site(account(sandbox), "--workers", "2", *options) as running:
        assert sandbox.wait_for_connections(2, DEADLINE), running.output
        assert len(sandbox.attempts) == 2
        killed = running.get("/pid")["pid"]
        assert running.get("/pid")["started"]
        os.kill(killed, signal.SIGKILL)
        assert sandbox.wait_for_attempts(3, DEADLINE), running.output
        assert sandbox.wait_for_connections(2, DEADLINE)
        assert eventually(lambda: running.fetch("/cometchat/health")[0] == 200)
        assert running.terminate() < 5.0
        assert sandbox.wait_for_connections(0, DEADLINE)
    assert len(sandbox.attempts) == 3
    assert "Traceback" not in running.output


def test_streams_leave_room_for_requests(sandbox: Sandbox) -> None:
    """With more pages than threads, the allowed number of streams is open, and other pages get 204.

    Closed streams make room.
    """
    with site(account(sandbox), "--worker-class", "gthread", "--threads", "4") as running:
        assert sandbox.wait_for_connections(1, DEADLINE)
        pages = []
        try:
            for _ in range(6):
                page = http.client.HTTPConnection("127.0.0.1", running.port, timeout=DEADLINE)
                pages.append(page)
                page.request("GET", "/cometchat/events")
            codes = [page.getresponse().status for page in pages]
            assert sorted(codes) == [200, 200, 204, 204, 204, 204]
            assert eventually(lambda: running.get("/cometchat/status")["status"] == "connected")
        finally:
            for page in pages:
                page.close()
        again = http.client.HTTPConnection("127.0.0.1", running.port, timeout=DEADLINE)

        def code() -> int:
            again.request("GET", "/cometchat/events")
            answer = again.getresponse()
            if answer.status == 204:
                answer.read()
            return answer.status

        with contextlib.closing(again):
            assert eventually(lambda: code() == 200, 3.0), "streams of pages that are closed keep their threads"


def test_an_open_stream_does_not_hold_up_a_restart(sandbox: Sandbox) -> None:
    """A stopping worker ends its streams at once, and not at the end of its graceful_timeout."""
    threads = ["--worker-class", "gthread", "--threads", "4", "--graceful-timeout", "30"]
    with site(account(sandbox), *threads) as running:
        page = http.client.HTTPConnection("127.0.0.1", running.port, timeout=DEADLINE)
        with contextlib.closing(page):
            page.request("GET", "/cometchat/events")
            assert page.getresponse().read(6) == b"retry:"
            assert running.terminate() < 5.0


PROGRAM = """
import os, sys
from gunicorn.app.base import BaseApplication
from flask_app import create_app

class Site(BaseApplication):
    def load_config(self):
        self.cfg.set("bind", f"127.0.0.1:{sys.argv[1]}")
        self.cfg.set("workers", 2)

    def load(self):
        return app

app = create_app()
Site().run()
"""


def test_gunicorn_in_a_program_of_the_applications_own(sandbox: Sandbox) -> None:
    """A program that runs gunicorn makes the application before the workers.

    Each worker connects, but the program does not.
    """
    pytest.importorskip("gunicorn", reason="gunicorn is not installed: it comes with [test], and not on Windows")
    port = free_port()
    env = plain(SITE_COMETCHAT=json.dumps(account(sandbox)), PYTHONPATH=str(HERE))
    with served([sys.executable, "-c", PROGRAM, str(port)], port, env) as server:
        assert sandbox.wait_for_connections(2, DEADLINE), server.output
        assert server.wait_until_it_answers("/pid")["pid"] != server.pid
        assert len(sandbox.attempts) == 2


@pytest.mark.parametrize(
    "options", [[], ["--master"], ["--lazy-apps", "--master"]], ids=["plain", "master", "lazy"]
)
def test_each_worker_of_uwsgi_has_a_connection(sandbox: Sandbox, options: List[str]) -> None:
    """Each worker connects before any request, if uWSGI loads the application before the fork or after it."""
    port = free_port()
    command = uwsgi(port, "--pythonpath", str(HERE), "--module", "flask_app:create_app()", *options)
    with served(command, port, plain(SITE_COMETCHAT=json.dumps(account(sandbox)))) as server:
        assert sandbox.wait_for_connections(2, DEADLINE), server.output
        assert server.wait_until_it_answers("/pid")["started"]
        assert eventually(lambda: server.get("/cometchat/status")["status"] == "connected")
    assert len(sandbox.attempts) == 2
