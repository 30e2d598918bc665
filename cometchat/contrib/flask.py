"""CometChat in a Flask application: a client per serving process, views, a light for templates, commands.

::

    app.config["COMETCHAT"] = {"APP_ID": "...", "REGION": "us", "UID": "...", "AUTH_KEY": "..."}
    cometchat = CometChatFlask(app)
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Callable, Mapping, Optional, Tuple, Union

import blinker
import click
from flask import Blueprint, Flask, Response, abort, current_app, has_app_context, request, url_for
from flask.cli import AppGroup
from flask.helpers import get_debug_flag
from markupsafe import Markup, escape

from cometchat import Client, CometChatException, CometChatWSState, ConnectionListener

from ._arguments import wrong
from .commands import run, token_error
from .process import Role, act, is_reloaders_child, loading_modules, server_role
from .serving import Serving
from .settings import NAME, Configuration, Option, examine, refusal
from .web import Answer, StatusFeed, StreamAnswer, component_answer, status_report, status_tag
from .wsgi import events_answer

#: The keys that Django's app does not have.
_OPTIONS: Mapping[str, Option] = {
    "URL_PREFIX": Option(
        "/cometchat",
        lambda value: isinstance(value, str) and value.startswith("/"),
        'Give a path, such as "/cometchat".',
    ),
}

_MISSING = f'Set app.config["{NAME}"] = {{"APP_ID": ..., "REGION": "us", "UID": ..., "AUTH_KEY": ...}}.'

#: Sent at each change, on the client's dispatcher thread: ``receiver(app, status, error)``. ``error`` is None, or what
#: an attempt failed of, or a connection broke of.
status_changed = blinker.signal("cometchat-status-changed")


class CometChatFlask:
    """The extension.

    :param app: the application; or call :meth:`init_app` later.
    :param guard: called before the views of the status (not of the health, nor of the script). What it returns is
        answered in their place; None lets them answer.
    :raises CometChatException: ``INVALID_GUARD``; as :meth:`init_app`.
    """

    def __init__(self, app: Optional[Flask] = None, *, guard: Optional[Callable[[], Any]] = None) -> None:
        if guard is not None and not callable(guard):
            raise wrong("guard", f"give a function without arguments, not {type(guard).__name__}")
        self._guard = guard
        self._app: Optional[Flask] = None
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Read ``app.config["COMETCHAT"]``; add the views, the template global and the commands.

        The connection begins where the process serves: in a worker of gunicorn or uWSGI and in ``flask run`` at once,
        elsewhere with the first request. ``START`` "request" leaves it to that everywhere, "never" to :meth:`start`.
        While ``app.testing`` is true nothing begins by itself.

        :raises CometChatException: the setting is missing or wrong; the message has all that is, and what would be
            right. ``INVALID_APP``: no Flask application, or one that has the extension.
        """
        if not isinstance(app, Flask):
            raise wrong("app", f"give a Flask application, not {type(app).__name__}")
        if "cometchat" in app.extensions:
            raise wrong("app", "it has this extension already: call init_app(app) once for each application")
        configuration, problems = examine(app.config.get(NAME), _OPTIONS, _MISSING)
        if configuration is None:
            raise refusal(problems)
        serving = _serving(app, configuration)
        app.extensions["cometchat"] = serving
        self._app = app
        prefix = configuration.options["URL_PREFIX"]
        app.register_blueprint(_blueprint(serving, self._guard), url_prefix=prefix)
        app.jinja_env.globals["cometchat_status"] = cometchat_status
        app.cli.add_command(_commands(configuration))
        _arrange(app, serving)

    @property
    def client(self) -> Client:
        """The current application's client in this process; outside of a context, of the last one initialised."""
        return self._serving.client

    @property
    def feed(self) -> StatusFeed:
        """What the views of the status answer from."""
        return self._serving.feed

    def start(self) -> Client:
        """Log in and connect, behind the caller's back; returns :attr:`client` at once. Started already: only that."""
        serving = self._serving
        serving.start()
        return serving.client

    def close(self) -> None:
        """End the streams and the client of this process. What is asked for afterwards is made anew."""
        self._serving.stop()

    @property
    def _serving(self) -> Serving:
        app = current_app if has_app_context() else self._app
        serving: Optional[Serving] = None if app is None else app.extensions.get("cometchat")
        if serving is None:
            raise CometChatException(
                "COMETCHAT_INITIALIZATION_NOT_DONE", "Call CometChatFlask.init_app(app) before anything else."
            )
        return serving


def _serving(app: Flask, configuration: Configuration) -> Serving:
    def on_made(client: Client) -> None:
        client.add_connection_listener("cometchat-flask-signal", _Signals(app, client))

    return Serving(lambda: configuration, on_made)


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


def _arrange(app: Flask, serving: Serving) -> None:
    start, requested = serving.configuration.start, False
    if start == "never":
        return

    @app.before_request
    def start_with_the_first_request() -> None:
        nonlocal requested
        if not requested and not app.testing:
            requested = True  # what close() has ended, the next request does not begin
            serving.start()

    if start == "auto" and not app.testing:
        act(serving, _role())


def _role() -> Role:
    if is_reloaders_child(os.environ) or _is_flask_run_without_reloader():
        return Role.SERVES
    if os.environ.get("FLASK_RUN_FROM_CLI") == "true":
        return Role.OTHER
    return server_role(loading_modules(), sys.modules.get("uwsgi"))


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


def _blueprint(serving: Serving, guard: Optional[Callable[[], Any]]) -> Blueprint:
    blueprint = Blueprint("cometchat", __name__)

    @blueprint.get("/status")
    def status() -> Any:
        refused = None if guard is None else guard()
        return _response(serving.feed.status_answer()) if refused is None else refused

    @blueprint.get("/events")
    def events() -> Any:
        refused = None if guard is None else guard()
        if refused is not None:
            return refused
        return _response(events_answer(serving.feed, request.environ, serving.configuration.max_streams))

    @blueprint.get("/health")
    @blueprint.get("/health/<probe>")
    def health(probe: str = "ready") -> Response:
        if probe not in ("live", "ready"):
            abort(404)
        return _response(serving.feed.health_answer(probe))

    @blueprint.get("/cometchat-status.js")
    def script() -> Response:
        return _response(component_answer(request.headers.get("If-None-Match")))

    return blueprint


def cometchat_status(**attributes: object) -> Markup:
    """The light, for templates: ``{{ cometchat_status() }}``. Needs a request or ``SERVER_NAME``, as ``url_for`` does.

    :param attributes: of the tag, with underscores for hyphens: ``text_connected="Verbunden"``; True: without a
        value; False: not at all.
    :raises CometChatException: ``INVALID_ATTRIBUTES``.
    """
    given = {name.replace("_", "-"): value for name, value in attributes.items()}
    tag = status_tag(url_for("cometchat.events"), url_for("cometchat.status"), given)
    source = escape(url_for("cometchat.script"))
    # Each value is escaped by status_tag() and escape().
    return Markup(f'<script src="{source}" defer></script>{tag}')  # nosec B704


# Commands.


def _commands(configuration: Configuration) -> AppGroup:
    group = AppGroup("cometchat", help="CometChat's connection, with the application's settings.")
    passed_on = {"ignore_unknown_options": True}

    @group.command("watch", context_settings=passed_on, add_help_option=False, with_appcontext=False)
    @click.argument("args", nargs=-1, type=click.UNPROCESSED)
    def watch(args: Tuple[str, ...]) -> None:
        """The live status, one line a transition (--help says more)."""
        sys.exit(run(configuration, ["watch", *args]))

    @group.command("doctor", context_settings=passed_on, add_help_option=False, with_appcontext=False)
    @click.argument("args", nargs=-1, type=click.UNPROCESSED)
    def doctor(args: Tuple[str, ...]) -> None:
        """Every step from DNS to ping, and what a failure means (--help says more)."""
        sys.exit(run(configuration, ["doctor", *args]))

    @group.command("status", with_appcontext=False)
    @click.option("--timeout", default=10.0, show_default=True, help="Seconds to wait for the connection.")
    def status(timeout: float) -> None:
        """Connect once and print the status as JSON; exit code 1: not connected."""
        failed = None
        with Client(configuration.app_id, configuration.settings) as client:
            try:
                if not configuration.is_logged_in(client):
                    configuration.log_in(client)
                client.connect(timeout)
            except Exception as error:
                known = token_error(error)
                click.echo(str(known), err=True)
                failed = {"code": known.code, "message": known.message}
            report = status_report(client)
            report["reason"] = report["reason"] or failed  # the client knows of no login that was refused
        click.echo(json.dumps(report))
        sys.exit(0 if report["status"] in ("connected", "featureThrottled") else 1)

    return group
