"""Run the site against a sandbox, with buttons that break the connection: python examples/flask_site/run.py"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from typing import Any, Callable, Dict

from app import cometchat, create_app
from flask import Blueprint, abort
from werkzeug.serving import make_server

from cometchat.sandbox import Sandbox


def faults(sandbox: Sandbox) -> Blueprint:
    """Return the actions of the page's buttons."""

    def refuse() -> None:
        sandbox.refuse_connections()
        sandbox.drop_connections()

    def back() -> None:
        sandbox.heal()
        sandbox.set_mode("DEFAULT", push=cometchat.client.get_connection_status() == "featureThrottled")
        cometchat.client.connect(0)  # at once, instead of the next attempt

    acts: Dict[str, Callable[[], Any]] = {
        "drop": sandbox.drop_connections,
        "refuse": refuse,
        "throttle": lambda: sandbox.set_mode("LIMITED_TRANSIENT", push=True),
        "disconnect": lambda: cometchat.client.disconnect(),
        "back": back,
    }
    blueprint = Blueprint("sandbox", __name__)

    @blueprint.post("/sandbox/<name>")
    def act(name: str) -> str:
        acts.get(name, lambda: abort(404))()
        return ""

    return blueprint


def main() -> int:
    parser = argparse.ArgumentParser(description="The site, before a sandbox.")
    parser.add_argument("--port", type=int, default=8000)
    port = parser.parse_args().port
    with Sandbox() as sandbox:
        account = {"APP_ID": sandbox.app_id, "ADMIN_HOST": sandbox.url, "CLIENT_HOST": sandbox.url}
        user = {"UID": "cometchat-uid-1", "AUTH_KEY": sandbox.auth_key}
        app = create_app({**account, **user})
        cometchat.start()
        app.register_blueprint(faults(sandbox))
        server = make_server("127.0.0.1", port, app, threaded=True)
        server.daemon_threads = True
        print(f"Open http://127.0.0.1:{server.server_port} (Ctrl-C ends it)", flush=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
        cometchat.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
