"""CometChat in a Flask application: a client per serving process, views, a light for templates, commands.

::

    app.config["COMETCHAT"] = {"APP_ID": "...", "REGION": "us", "UID": "...", "AUTH_KEY": "..."}
    cometchat = CometChatFlask(app)
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import Any, Callable, Iterator, List, Mapping, Optional, Tuple, Union

import blinker
import click
from flask import Blueprint, Flask, Response, abort, current_app, has_app_context, request, url_for
from flask.cli import AppGroup
from flask.helpers import get_debug_flag
from markupsafe import Markup, escape

from cometchat import (
    Client,
    CometChat,
    CometChatException,
    CometChatWSState,
    ConnectionListener,
    InvalidArgumentException,
)
from cometchat.cli import main

from .serving import Account, ServingClient, read_account, start_as_the_server_does
from .web import Answer, StatusFeed, StreamAnswer, component_answer, status_report, status_tag
from .wsgi import gone, is_concurrent

#: What the extension reads itself of the settings. MAX_STREAMS has no default here: it depends on the server.
_OPTIONS = ("URL_PREFIX", "KEEP_ALIVE", "MAX_STREAMS", "AUTO_START")

#: How many streams Werkzeug's own server may hold: it starts a thread for each request.
_MAX_STREAMS_OF_WERKZEUG = 100

#: Sent at each change, on the client's dispatcher thread: ``receiver(app, status, error)``. ``error`` is None, or what
#: an attempt failed of, or a connection broke of.
status_changed = blinker.signal("cometchat-status-changed")


class CometChatFlask:
    """The extension.

    :param app: the application; or call :meth:`init_app` later.
    :param guard: called before the views of the status (not of the health, nor of the script). What it returns is
        answered in their place; None lets them answer.
    :raises CometChatException: as :meth:`init_app`.
    """

    def __init__(self, app: Optional[Flask] = None, *, guard: Optional[Callable[[], Any]] = None) -> None:
        self._guard = guard
        self._app: Optional[Flask] = None
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Read ``app.config["COMETCHAT"]``; add the views, the template global and the commands.

        The connection begins where the process serves: at once in a worker of gunicorn or uWSGI and in ``flask run``,
        elsewhere with the first request. ``AUTO_START`` True begins now, False leaves it to :meth:`start`. While
        ``app.testing`` is true nothing begins by itself.

        :raises CometChatException: a setting is missing or wrong; the message says which, and what would be right.
        """
        values = app.config.get("COMETCHAT")
        if values is None:
            expected = 'COMETCHAT is missing: set app.config["COMETCHAT"].'
            raise InvalidArgumentException("MISSING_PARAMETERS", expected, name="COMETCHAT")
        part = _Part(app, read_account(values, _OPTIONS), values)
        app.extensions["cometchat"] = part
        self._app = app
        app.register_blueprint(_blueprint(part, self._guard), url_prefix=values.get("URL_PREFIX", "/cometchat"))
        app.jinja_env.globals["cometchat_status"] = cometchat_status
        app.cli.add_command(_commands(part.serving.account))
        _start(app, part.serving, values.get("AUTO_START"))

    @property
    def client(self) -> Client:
        """The current application's client in this process; outside of a context, of the last one initialised."""
        return self._part().serving.client

    @property
    def feed(self) -> StatusFeed:
        """What the views of the status answer from."""
        return self._part().feed

    def start(self) -> None:
        """Log in and connect, behind the caller's back. Started already: nothing."""
        self._part().serving.start()

    def close(self) -> None:
        """End the streams and the client of this process."""
        self._part().close()

    def _part(self) -> _Part:
        app = current_app if has_app_context() else self._app
        part: Optional[_Part] = None if app is None else app.extensions.get("cometchat")
        if part is None:
            raise CometChatException(
                "COMETCHAT_INITIALIZATION_NOT_DONE", "Call CometChatFlask.init_app(app) before anything else."
            )
        return part


class _Part:
    """What the extension keeps for an application."""

    def __init__(self, app: Flask, account: Account, values: Mapping[str, Any]) -> None:
        self._app = app
        self._options = {"keep_alive": values.get("KEEP_ALIVE", 10.0)}
        #: None: as many as the server bears.
        self.max_streams: Optional[int] = values.get("MAX_STREAMS")
        if self.max_streams is not None:
            self._options["max_streams"] = self.max_streams
        StatusFeed(CometChat, **self._options).close()  # wrong values are said now, not in the first request
        self._feed: Optional[StatusFeed] = None
        self.serving = ServingClient(account, self._made)

    def _made(self, client: Client) -> None:
        self._feed = StatusFeed(client, **self._options)
        client.add_connection_listener("cometchat-flask-signal", _Signals(self._app, client))

    @property
    def feed(self) -> StatusFeed:
        """Made with the client."""
        client = self.serving.client
        assert self._feed is not None, client
        return self._feed

    def close(self) -> None:
        if self._feed is not None:
            self._feed.close()
        self.serving.close()


class _Signals(ConnectionListener):
    def __init__(self, app: Flask, client: Client) -> None:
        self._app = app
        self._client = client

    def _send(self, status: CometChatWSState, error: Optional[CometChatException] = None) -> None:
        status_changed.send(self._app, status=status, error=error)

    def on_connecting(self) -> None:
        self._send(CometChatWSState.CONNECTING)

    def on_connected(self) -> None:
        self._send(CometChatWSState.CONNECTED)

    def on_feature_throttled(self) -> None:
        self._send(CometChatWSState.FEATURE_THROTTLED)

    def on_disconnected(self) -> None:
        self._send(CometChatWSState.DISCONNECTED)

    def on_connection_error(self, error: CometChatException) -> None:
        self._send(self._client.get_connection_status(), error)


# When it begins.


def _start(app: Flask, serving: ServingClient, auto_start: object) -> None:
    if auto_start is not None and not isinstance(auto_start, bool):
        raise InvalidArgumentException(
            "INVALID_COMETCHAT", "COMETCHAT['AUTO_START'] is wrong: give True, False or None.", name="AUTO_START"
        )
    if auto_start is False:
        return
    if auto_start or os.environ.get("WERKZEUG_RUN_MAIN") == "true" or _is_flask_run_without_reloader():
        serving.start()
    elif os.environ.get("FLASK_RUN_FROM_CLI") != "true":
        start_as_the_server_does(serving)

    @app.before_request
    def start_with_the_first_request() -> None:
        if not serving.started and (auto_start or not app.testing):
            serving.start()


def _is_flask_run_without_reloader() -> bool:
    """The reloader's parent loads the application as well, and never serves."""
    context = click.get_current_context(silent=True)
    if context is None or context.info_name != "run" or os.environ.get("FLASK_RUN_FROM_CLI") != "true":
        return False
    reload = context.params.get("reload")
    return not (get_debug_flag() if reload is None else reload)


# Views.


def _response(answer: Union[Answer, StreamAnswer]) -> Response:
    return Response(answer.body, answer.status, dict(answer.headers), content_type=answer.content_type)


def _blueprint(part: _Part, guard: Optional[Callable[[], Any]]) -> Blueprint:
    blueprint = Blueprint("cometchat", __name__)

    @blueprint.get("/status")
    def status() -> Any:
        refused = None if guard is None else guard()
        return _response(part.feed.status_answer()) if refused is None else refused

    @blueprint.get("/events")
    def events() -> Any:
        refused = None if guard is None else guard()
        if refused is not None:
            return refused
        limit = part.max_streams
        if limit is None and str(request.environ.get("SERVER_SOFTWARE", "")).startswith("Werkzeug"):
            limit = _MAX_STREAMS_OF_WERKZEUG
        environ = request.environ
        return _response(part.feed.events_answer(is_concurrent(environ), limit, gone(environ)))

    @blueprint.get("/health")
    @blueprint.get("/health/<probe>")
    def health(probe: str = "ready") -> Response:
        if probe not in ("live", "ready"):
            abort(404)
        return _response(part.feed.health_answer(probe))

    @blueprint.get("/cometchat-status.js")
    def script() -> Response:
        return _response(component_answer(request.headers.get("If-None-Match")))

    return blueprint


def cometchat_status(**attributes: object) -> Markup:
    """The light, for templates: ``{{ cometchat_status() }}``. Needs a request or ``SERVER_NAME``, as ``url_for`` does.

    :param attributes: of the tag, with underscores for hyphens: ``text_connected="Verbunden"``; True: without a value.
    :raises CometChatException: ``INVALID_ATTRIBUTES``.
    """
    given = {name.replace("_", "-"): "" if value is True else str(value) for name, value in attributes.items()}
    tag = status_tag(url_for("cometchat.events"), url_for("cometchat.status"), given)
    source = escape(url_for("cometchat.script"))
    # Each value is escaped by status_tag() and escape().
    return Markup(f'<script src="{source}" defer></script>{tag}')  # nosec B704


# Commands.


def _commands(account: Account) -> AppGroup:
    group = AppGroup("cometchat", help="CometChat's connection, with the application's settings.")
    passed_on = {"ignore_unknown_options": True}

    @group.command("watch", context_settings=passed_on, add_help_option=False, with_appcontext=False)
    @click.argument("args", nargs=-1, type=click.UNPROCESSED)
    def watch(args: Tuple[str, ...]) -> None:
        """The live status, one line a transition (--help says more)."""
        _run(account, ["watch", *args])

    @group.command("doctor", context_settings=passed_on, add_help_option=False, with_appcontext=False)
    @click.argument("args", nargs=-1, type=click.UNPROCESSED)
    def doctor(args: Tuple[str, ...]) -> None:
        """Every step from DNS to ping, and what a failure means (--help says more)."""
        _run(account, ["doctor", *args])

    @group.command("status", with_appcontext=False)
    @click.option("--timeout", default=10.0, show_default=True, help="Seconds to wait for the connection.")
    def status(timeout: float) -> None:
        """Connect once and print the status as JSON; exit code 1: not connected."""
        with Client(account.app_id, account.settings) as client:
            try:
                account.login(client)
                client.connect(timeout)
            except CometChatException as error:
                click.echo(str(error), err=True)
            report = status_report(client)
        click.echo(json.dumps(report))
        sys.exit(0 if report["status"] in ("connected", "featureThrottled") else 1)

    return group


def _run(account: Account, argv: List[str]) -> None:
    with _environment(account):
        code = main(argv)
    sys.exit(code)


@contextlib.contextmanager
def _environment(account: Account) -> Iterator[None]:
    """The account where the command line looks for one: other users of the machine can see its arguments."""
    before = dict(os.environ)
    for name in [name for name in before if name.startswith("COMETCHAT_")]:
        del os.environ[name]
    os.environ.update(account.environment())
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
