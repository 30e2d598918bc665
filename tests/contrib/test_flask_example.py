"""examples/flask_site runs with one command, and does what its README says."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from cometchat.sandbox import Sandbox

from .support import DEADLINE, eventually, free_port, plain, served

RUN = Path(__file__).resolve().parents[2] / "examples" / "flask_site" / "run.py"


def test_one_command_runs_the_site() -> None:
    """The page has light, buttons and policy. Each button has the effect of its label. Ctrl-C ends the site with 0."""
    port = free_port()
    with served([sys.executable, "-W", "error", str(RUN), "--port", str(port)], port, plain()) as server:

        def status() -> str:
            return str(server.get("/cometchat/status")["status"])

        assert server.wait_until_it_answers("/cometchat/status")
        assert f":{port} " in server.output
        with urllib.request.urlopen(server.url + "/", timeout=DEADLINE) as answer:
            text = answer.read().decode()
            assert "<cometchat-status " in text and 'data-act="refuse"' in text
            assert answer.headers["Content-Security-Policy"] == "default-src 'self'; frame-ancestors 'none'"
        assert eventually(lambda: status() == "connected")
        for act, expected in [
            ("refuse", "connecting"),
            ("back", "connected"),
            ("throttle", "featureThrottled"),
            ("back", "connected"),
            ("drop", "connected"),
            ("disconnect", "disconnected"),
            ("back", "connected"),
        ]:
            assert server.fetch(f"/sandbox/{act}", "POST")[0] == 200
            assert eventually(lambda: status() == expected), act
        assert server.fetch("/sandbox/other", "POST")[0] == 404
        server.terminate(signal.SIGINT)
        assert server.process.returncode == 0, server.output
    assert "Traceback" not in server.output


def test_the_site_with_an_account_of_a_sandbox() -> None:
    """Its account is all that ``cometchat sandbox --tls`` exports, without a region."""
    program = "from app import *; create_app(); assert cometchat.start().wait_for_status('connected', 30)"
    with Sandbox(tls=True) as sandbox:
        account = {"APP_ID": sandbox.app_id, "UID": "cometchat-uid-1", "AUTH_KEY": sandbox.auth_key}
        account.update(ADMIN_HOST=sandbox.url, CLIENT_HOST=sandbox.url, CA_CERTS=str(sandbox.ca_certs))
        env = plain(**{f"COMETCHAT_{name}": value for name, value in account.items()})
        command = [sys.executable, "-c", program]
        ended = subprocess.run(command, env=env, cwd=RUN.parent, capture_output=True, text=True, timeout=DEADLINE)
        assert ended.returncode == 0, ended.stderr
