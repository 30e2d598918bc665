"""examples/flask_site runs with one command, and does what its README says."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator, Tuple

import pytest

from .flask_site import DEADLINE, eventually, free_port

RUN = Path(__file__).resolve().parents[2] / "examples" / "flask_site" / "run.py"


@pytest.fixture
def running() -> Iterator[Tuple["subprocess.Popen[str]", int]]:
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COMETCHAT_")}
    process = subprocess.Popen(
        [sys.executable, "-W", "error", str(RUN), "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={name: value for name, value in kept.items() if not name.lower().endswith("_proxy")},
    )
    try:
        assert process.stdout is not None
        assert f":{port} " in process.stdout.readline()
        yield process, port
    finally:
        process.kill()
        process.communicate(timeout=DEADLINE)


def ask(port: int, method: str, path: str) -> Tuple[int, Any, str]:
    """(status, headers, text)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    with contextlib.closing(connection):
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()


def test_one_command_runs_the_site(running: Tuple["subprocess.Popen[str]", int]) -> None:
    """The page has light, buttons and policy; each button does what it says; Ctrl-C ends it all with 0."""
    process, port = running

    def status() -> str:
        return str(json.loads(ask(port, "GET", "/cometchat/status")[2])["status"])

    code, headers, text = ask(port, "GET", "/")
    assert code == 200 and "<cometchat-status " in text and 'data-act="refuse"' in text
    assert headers["Content-Security-Policy"] == "default-src 'self'; frame-ancestors 'none'"
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
        assert ask(port, "POST", f"/sandbox/{act}")[0] == 200
        assert eventually(lambda: status() == expected), act
    assert ask(port, "POST", "/sandbox/other")[0] == 404
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=DEADLINE)[0]
    assert process.returncode == 0, output
    assert "Traceback" not in output
