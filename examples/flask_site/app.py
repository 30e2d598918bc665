"""A Flask site with a light for its connection to CometChat. Under gunicorn:

gunicorn --worker-class gthread --threads 8 "app:create_app()"
"""

from __future__ import annotations

import os
from typing import Any, Mapping, Optional

from flask import Flask, Response, render_template

from cometchat.contrib.flask import CometChatFlask

cometchat = CometChatFlask()


def create_app(settings: Optional[Mapping[str, Any]] = None) -> Flask:
    """Create the application. The account comes from the settings, else from the environment."""
    app = Flask(__name__)
    names = ("APP_ID", "REGION", "UID", "AUTH_KEY", "ADMIN_HOST", "CLIENT_HOST", "CA_CERTS")
    app.config["COMETCHAT"] = settings or {name: os.environ.get(f"COMETCHAT_{name}") for name in names}
    cometchat.init_app(app)

    @app.get("/")
    def index() -> str:
        return render_template("index.html", blueprints=app.blueprints)

    @app.after_request
    def only_our_own(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = "default-src 'self'; frame-ancestors 'none'"
        return response

    return app
