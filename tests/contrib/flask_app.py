"""A Flask application for the tests: settings from the environment, a page with the light, a strict policy for it."""

from __future__ import annotations

import json
import os

from flask import Flask, Response, jsonify, render_template_string

from cometchat.contrib.flask import CometChatFlask

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Site</title><meta name="color-scheme" content="light dark"></head>
<body>{{ cometchat_status(poll=0.3) }}</body>
</html>"""

#: The strictest possible policy for a page whose script has its own origin.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)


def create_app() -> Flask:
    app = Flask(__name__)
    app.config["COMETCHAT"] = json.loads(os.environ["SITE_COMETCHAT"])
    cometchat = CometChatFlask(app)

    @app.get("/")
    def index() -> Response:
        response = Response(render_template_string(PAGE))
        response.headers["Content-Security-Policy"] = POLICY
        return response

    @app.get("/pid")
    def pid() -> Response:
        return jsonify(pid=os.getpid(), started=app.extensions["cometchat"].started)

    @app.post("/disconnect")
    def disconnect() -> Response:
        cometchat.client.disconnect()
        return jsonify(status=cometchat.client.get_connection_status().value)

    @app.post("/connect")
    def connect() -> Response:
        cometchat.client.connect(0)
        return jsonify(status=cometchat.client.get_connection_status().value)

    return app
