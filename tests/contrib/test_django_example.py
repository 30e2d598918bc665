"""examples/django_site runs as a reader runs it: one command, a page with the indicator, buttons, the admin."""

from __future__ import annotations

import http.cookiejar
import re
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("django", reason="Django is not installed: pip install 'cometchat[django]'")

from cometchat.sandbox import Sandbox  # noqa: E402

from .django_support import environment  # noqa: E402
from .support import DEADLINE, eventually, free_port, served  # noqa: E402

MANAGE = Path(__file__).resolve().parents[2] / "examples" / "django_site" / "manage.py"
RUN = Path(__file__).resolve().parents[2] / "examples" / "django_site" / "run.py"


class Visitor:
    """A browser without scripts, with cookies."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._jar = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._jar))

    def get(self, path: str) -> str:
        with self._opener.open(self._url + path, timeout=DEADLINE) as answer:
            text: str = answer.read().decode()
            return text

    def post(self, path: str, **fields: str) -> str:
        token = next(cookie.value for cookie in self._jar if cookie.name == "csrftoken")
        data = urllib.parse.urlencode({**fields, "csrfmiddlewaretoken": token}).encode()
        with self._opener.open(self._url + urllib.parse.quote(path, safe="/?="), data, DEADLINE) as answer:
            text: str = answer.read().decode()
            return text


def test_the_example_runs() -> None:
    """The page shows the light, a signal brings a message, a button breaks the connection, and the admin reports it."""
    port = free_port()
    command = [sys.executable, str(RUN), "--port", str(port)]
    with served(command, port, environment(None, DJANGO_SETTINGS_MODULE="")) as server:
        visitor = Visitor(server.url)

        def status() -> Any:
            return server.get("/cometchat/status")["status"]

        server.wait_until_it_answers("/cometchat/status")
        assert eventually(lambda: status() == "connected"), server.output
        page = visitor.get("/")
        assert re.search(r"<cometchat-status [^>]*src=", page) and "None yet." in page
        assert "Take the service away" in page
        visitor.post("/press/Send a message")
        assert eventually(lambda: "Hello, Django" in visitor.get("/"))
        visitor.post("/press/Break the connection")
        login = visitor.get("/admin/login/?next=/admin/cometchat/connection/")
        assert "csrfmiddlewaretoken" in login
        admin = visitor.post("/admin/login/?next=/admin/cometchat/connection/", username="admin", password="admin")
        assert "<strong>" in admin and "WS_CONNECTION_FAIL" in admin
        assert "CometChat" in visitor.get("/admin/")
        server.terminate(signal.SIGINT)
    assert "Traceback" not in server.output


def test_the_bot_of_the_site(tmp_path: Path) -> None:
    """``manage.py run_bot`` answers with the data of the site's database, and SIGTERM ends it with 0."""
    with Sandbox(tls=True) as sandbox:
        env = environment(None, DJANGO_SETTINGS_MODULE="settings", SITE_DATABASE=str(tmp_path / "site.db"))
        for name, value in (("APP_ID", sandbox.app_id), ("UID", "cometchat-uid-1"), ("AUTH_KEY", sandbox.auth_key)):
            env[f"COMETCHAT_{name}"] = value
        env["PYTHONPATH"] = str(MANAGE.parents[2])
        env["COMETCHAT_ADMIN_HOST"] = env["COMETCHAT_CLIENT_HOST"] = sandbox.url
        env["COMETCHAT_CA_CERTS"] = str(sandbox.ca_certs)
        manage = [sys.executable, str(MANAGE)]
        subprocess.run([*manage, "migrate", "--verbosity=0"], env=env, check=True, timeout=60)
        pipe = subprocess.PIPE
        bot = subprocess.Popen([*manage, "run_bot"], env=env, stdout=pipe, stderr=subprocess.STDOUT, text=True)
        try:
            assert sandbox.wait_for_connections(1, DEADLINE)
            sandbox.send_message("cometchat-uid-2", "cometchat-uid-1", "Hello")
            answered = sandbox.wait_until(lambda: len(sandbox.messages) == 2, DEADLINE)
            assert answered and sandbox.messages[1]["data"]["text"] == "This site has 0 users"
            bot.send_signal(signal.SIGTERM)
            output = bot.communicate(timeout=DEADLINE)[0]
        finally:
            bot.kill()
            with bot:
                bot.wait(DEADLINE)
        assert (bot.returncode, output) == (0, "The bot runs.\n")
