"""The extension for Flask: ``CometChatFlask(app)``."""

from __future__ import annotations

import os
import sys
from typing import Any, Callable, Mapping, Optional

import click
from flask import Flask, current_app, has_app_context
from flask.helpers import get_debug_flag

from cometchat import Client, CometChatException
from cometchat.exceptions import unusable

from ..._deferred import deferred
from ..web._feed import StatusFeed
from ..web._process import Role, act, is_reloaders_child, loading_modules, server_role
from ..web._serving import Serving
from ..web._settings import NAME, Option, examine, refusal
from ._commands import commands
from ._signals import signal_listener
from ._views import blueprint, cometchat_status

#: The keys for Flask only.
_OPTIONS: Mapping[str, Option] = {
    "URL_PREFIX": Option(
        "/cometchat",
        lambda value: isinstance(value, str) and value.startswith("/"),
        'Give a path, such as "/cometchat".',
    ),
}

_MISSING = f'Set app.config["{NAME}"] = {{"APP_ID": ..., "REGION": "us", "UID": ..., "AUTH_KEY": ...}}.'


class CometChatFlask:
    """The extension.

    :param app: the application. Without it, call :meth:`init_app` later.
    :param guard: a function that runs before the views of the status, the stream and the health (not of the script).
        If it returns a response, that is the answer; None lets the view answer.
    :raises CometChatException: ``INVALID_GUARD``; as :meth:`init_app`.
    """

    def __init__(self, app: Optional[Flask] = None, *, guard: Optional[Callable[[], Any]] = None) -> None:
        if guard is not None and not callable(guard):
            raise unusable("guard", f"a function without parameters, got {type(guard).__name__}")
        odd_function = deferred(guard)
        if odd_function is not None:
            raise unusable("guard", f"a plain function without parameters, got {odd_function}")
        self._guard = guard
        self._app: Optional[Flask] = None
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Read ``app.config["COMETCHAT"]``, and add the views, the template global and the commands.

        In a worker of gunicorn or uWSGI and in ``flask run`` the connection starts at once, in other servers at the
        first request. With ``START`` "request" it always starts at the first request, with "never" only by
        :meth:`start`. While ``app.testing`` is true, it does not start automatically.

        :raises CometChatException: the setting is missing or wrong; the message names every problem and its solution.
            ``INVALID_APP``: not a Flask application, or an application that already has the extension.
        """
        if not isinstance(app, Flask):
            raise unusable("app", f"a Flask application, got {type(app).__name__}")
        if "cometchat" in app.extensions:
            expected = "an application without this extension (call init_app(app) once for each application)"
            raise unusable("app", expected)
        configuration, problems = examine(app.config.get(NAME), _OPTIONS, _MISSING)
        if configuration is None:
            raise refusal(problems)

        def add_signal(client: Client) -> None:
            client.add_connection_listener("cometchat-flask-signal", signal_listener(app, client))

        serving = Serving(lambda: configuration, add_signal)
        app.extensions["cometchat"] = serving
        self._app = app
        app.register_blueprint(blueprint(serving, self._guard), url_prefix=configuration.options["URL_PREFIX"])
        app.jinja_env.globals["cometchat_status"] = cometchat_status
        app.cli.add_command(commands(configuration))
        _arrange(app, serving)

    @property
    def client(self) -> Client:
        """This process's client for the current application, or for the last initialised one outside of a context."""
        return self._serving.client

    @property
    def feed(self) -> StatusFeed:
        """The feed that the status views use."""
        return self._serving.feed

    def start(self) -> Client:
        """Log in and connect, in the background. Returns :attr:`client` at once. No-op when called twice."""
        return self._serving.start()

    def close(self) -> None:
        """End the streams and the client of this process. A later use creates new ones."""
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


def _arrange(app: Flask, serving: Serving) -> None:
    start, requested = serving.configuration.start, False
    if start == "never":
        return

    @app.before_request
    def start_with_the_first_request() -> None:
        nonlocal requested
        if not requested and not app.testing:
            serving.start()  # if it raises, the next request tries again
            requested = True  # after close(), the next request must not start a client

    if start == "auto" and not app.testing:
        act(serving, _role())


def _role() -> Role:
    if is_reloaders_child(os.environ) or _is_flask_run_without_reloader():
        return Role.SERVES
    if os.environ.get("FLASK_RUN_FROM_CLI") == "true":
        return Role.OTHER
    return server_role(loading_modules(), sys.modules.get("uwsgi"))


def _is_flask_run_without_reloader() -> bool:
    """Return True in ``flask run`` without the reloader, whose parent loads the application but never serves."""
    context = click.get_current_context(silent=True)
    if context is None or context.info_name != "run" or os.environ.get("FLASK_RUN_FROM_CLI") != "true":
        return False
    reload = context.params.get("reload")
    return not (get_debug_flag() if reload is None else reload)
