"""The processes of a Django site that connect: real servers, with the sandbox as the service."""

from __future__ import annotations

import contextlib
import http.client
import json
import shlex
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

pytest.importorskip("django", reason="Django is not installed: pip install 'cometchat[django]'")

from cometchat.sandbox import Sandbox  # noqa: E402

from . import support  # noqa: E402
from .django_support import MANAGE, environment  # noqa: E402
from .support import DEADLINE, Server, account, eventually, free_port, served, uwsgi  # noqa: E402

#: Maximum wait, in seconds. On a busy machine gunicorn takes three seconds to end, and a held worker 20 to 30.
SOON = 10.0

posix = pytest.mark.skipif(sys.platform == "win32", reason="this system has no fork")


def test_a_command_makes_no_connection(sandbox: Sandbox, tmp_path: Path) -> None:
    """Each command ends with 0, and without a request to the service. makemigrations finds no changes."""
    env = environment(account(sandbox), TEST_DATABASE=str(tmp_path / "db.sqlite3"))
    commands = ["migrate", "makemigrations --check", "test"]
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "error", MANAGE, *command.split()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
            cwd=str(tmp_path),  # the folder in which the test runner looks for tests
        )
        for command in commands
    ]
    for command, process in zip(commands, running):
        _, errors = process.communicate(timeout=DEADLINE)
        # 5: the test runner found no test. It returns this code from Python 3.12 on.
        assert process.returncode == 0 or (command, process.returncode) == ("test", 5), errors
    assert (sandbox.requests, sandbox.attempts) == ([], [])


@posix
@pytest.mark.parametrize("closed", [">&-", ">&- 2>&- <&-"])
def test_a_command_with_closed_streams_does_its_work(closed: str, sandbox: Sandbox) -> None:
    """``manage.py cometchat status`` ends with 0 once connected, also if the shell has closed standard output."""
    line = f"{shlex.quote(sys.executable)} {shlex.quote(MANAGE)} cometchat status {closed}"
    ended = subprocess.run(
        line, shell=True, stderr=subprocess.PIPE, text=True, env=environment(account(sandbox)), timeout=DEADLINE
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(sandbox.attempts) == 1


def test_a_script_connects_when_it_says_so(sandbox: Sandbox) -> None:
    """``django.setup()`` and ``get_client()`` do not connect. ``start()`` does."""
    program = (
        "import django; django.setup()\n"
        "from cometchat.contrib.django import get_client, start, started\n"
        "assert not started() and get_client().get_connection_status() == 'disconnected'\n"
        "print('quiet', flush=True); input()\n"
        "assert start().wait_for_status('connected', 10) and start() is get_client()\n"
        "print('connected', flush=True); input()\n"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment(account(sandbox))) as script:
        assert script.stdin is not None and script.stdout is not None
        assert script.stdout.readline() == "quiet\n"
        assert sandbox.requests == []
        script.stdin.write("\n")
        script.stdin.flush()
        assert script.stdout.readline() == "connected\n"
        assert sandbox.wait_for_connections(1)
        script.stdin.write("\n")
        script.stdin.flush()
        assert script.wait(DEADLINE) == 0
    assert len(sandbox.attempts) == 1


def is_connected(server: Server) -> bool:
    """Return whether a process of the server reports a connection.

    The sandbox counts it a moment before its client does.
    """
    return bool(server.get("/process")["status"] == "connected")


@pytest.mark.parametrize("reload", [True, False], ids=["reloader", "noreload"])
def test_runserver_has_one_connection(reload: bool, sandbox: Sandbox) -> None:
    """runserver connects before the first request, and once: the reloader's parent does not connect."""
    port = free_port()
    command = [sys.executable, MANAGE, "runserver", f"127.0.0.1:{port}", *([] if reload else ["--noreload"])]
    with served(command, port, environment(account(sandbox), TEST_DEBUG="1")) as server:
        assert sandbox.wait_for_connections(1, DEADLINE), server.output
        answer = server.wait_until_it_answers("/process")
        assert eventually(lambda: is_connected(server))
        assert (answer["pid"] != server.pid) == reload
        server.terminate(signal.SIGINT if not reload else signal.SIGTERM)
    assert len(sandbox.attempts) == 1
    assert [request.path for request in sandbox.requests if request.path.endswith("auth_tokens")] != []


def test_runserver_without_threads_holds_no_stream(sandbox: Sandbox) -> None:
    """With --nothreading, runserver has one thread for all requests. A stream would block the site."""
    port = free_port()
    command = [sys.executable, MANAGE, "runserver", f"127.0.0.1:{port}", "--noreload", "--nothreading"]
    with served(command, port, environment(account(sandbox), TEST_DEBUG="1")) as server:
        server.wait_until_it_listens()
        with urllib.request.urlopen(f"{server.url}/cometchat/events", timeout=DEADLINE) as answer:
            assert answer.status == 204


#: The workers load the site, or it is loaded before the fork. The tests of Flask run the same code.
GUNICORN: Dict[str, List[str]] = {"sync": [], "gthread-preload": ["--threads", "4", "--preload"]}


def gunicorn(port: int, *options: str) -> List[str]:
    return support.gunicorn("django_project.wsgi", port, *options)


@posix
@pytest.mark.parametrize("kind", sorted(GUNICORN))
def test_each_worker_of_gunicorn_is_connected(kind: str, sandbox: Sandbox) -> None:
    """Two workers have two connections before any request.

    Every answer reports one, and SIGTERM ends the server soon.
    """
    port = free_port()
    command = gunicorn(port, "--workers", "2", *GUNICORN[kind])
    with served(command, port, environment(account(sandbox))) as server:
        assert sandbox.wait_for_connections(2, DEADLINE), server.output
        server.wait_until_it_answers("/process")
        pids: Dict[int, str] = {}

        def all_say_so() -> bool:
            answer = server.get("/process")
            pids[answer["pid"]] = answer["status"]
            return list(pids.values()) == ["connected"] * 2

        assert eventually(all_say_so), pids
        assert server.pid not in pids
        status, body = server.fetch("/cometchat/status")
        assert (status, json.loads(body)["status"], json.loads(body)["user"]) == (200, "connected", None)
        if kind == "sync":
            assert server.fetch("/cometchat/events")[0] == 204, "a worker without threads has no streams"
        assert server.terminate() < SOON, server.output
    assert len(sandbox.attempts) == 2
    assert "Traceback" not in server.output


@posix
def test_a_site_starts_while_the_service_is_away(sandbox: Sandbox) -> None:
    """Pages are answered at once, with the true status. The worker connects by itself when the service is back."""
    sandbox.refuse_connections()
    port = free_port()
    with served(gunicorn(port, "--threads", "4"), port, environment(account(sandbox))) as server:
        assert server.wait_until_it_answers("/process")["status"] == "disconnected"

        def reason() -> Any:
            return server.get("/cometchat/status")["reason"]

        assert eventually(reason)["code"] == "FAILED_TO_FETCH"
        assert server.fetch("/cometchat/health")[0] == 503
        assert server.fetch("/cometchat/health/live")[0] == 200
        sandbox.accept_connections()
        assert sandbox.wait_for_connections(1, DEADLINE), server.output
        assert eventually(lambda: server.fetch("/cometchat/health")[0] == 200)
        assert reason() is None


def test_a_server_does_not_start_with_wrong_settings(sandbox: Sandbox) -> None:
    """A server runs no checks, so the app raises the error."""
    port = free_port()
    wrong = {**account(sandbox), "AUTHKEY": "secret"}
    with served(gunicorn(port), port, environment(wrong)) as server:
        assert eventually(lambda: "Did you mean AUTH_KEY?" in server.output), server.output
    assert "ImproperlyConfigured" in server.output
    assert "secret" not in server.output


@posix
def test_each_worker_of_uwsgi_is_connected_and_no_mule_or_spooler(sandbox: Sandbox, tmp_path: Path) -> None:
    """Two workers have two connections before any request. Processes that serve no pages do not connect.

    These have the site of the master, too. The tests of Flask load an application in other ways.
    """
    port = free_port()
    tasks = ["--mule", "--spooler", str(tmp_path)]
    command = uwsgi(port, "--wsgi-file", "django_project/wsgi.py", "--master", *tasks)
    with served(command, port, environment(account(sandbox))) as server:
        assert eventually(lambda: "spawned uWSGI mule 1" in server.output and "spawned uWSGI worker 2" in server.output)
        assert sandbox.wait_for_connections(2, DEADLINE), server.output
        server.wait_until_it_answers("/process")
        assert eventually(lambda: is_connected(server))
        assert not sandbox.wait_for_connections(3, 1.0)
    assert len(sandbox.attempts) == 2


@pytest.mark.parametrize("server_name", ["uvicorn", "daphne"])
def test_an_asgi_server_is_connected_and_ends_with_open_streams(server_name: str, sandbox: Sandbox) -> None:
    """An ASGI server connects when it loads the site, and an open stream does not delay its end."""
    pytest.importorskip(server_name, reason=f"{server_name} is not installed")
    port = free_port()
    command = [sys.executable, "-m", server_name, "django_project.asgi:application"]
    command += ["--port", str(port)] if server_name == "uvicorn" else ["-p", str(port)]
    with served(command, port, environment(account(sandbox))) as server:
        assert sandbox.wait_for_connections(1, DEADLINE), server.output
        server.wait_until_it_answers("/process")
        found: List[Tuple[str, Any]] = []
        reader = threading.Thread(target=read_events, args=(f"{server.url}/cometchat/events", found), daemon=True)
        reader.start()
        assert eventually(lambda: found[-1:] == [("status", "connected")]), found
        assert server.terminate() < SOON, server.output
        reader.join(DEADLINE)


def read_events(url: str, found: List[Tuple[str, Any]]) -> None:
    with (
        contextlib.suppress(OSError, http.client.HTTPException),
        urllib.request.urlopen(url, timeout=DEADLINE) as stream,
    ):
        name = ""
        for line in stream:
            text = line.decode().rstrip("\n")
            if text.startswith("event: "):
                name = text[7:]
            elif text.startswith("data: ") and name == "status":
                found.append((name, json.loads(text[6:])["status"]))


@posix
def test_events_come_through_gunicorn(sandbox: Sandbox) -> None:
    """A stream reports a loss and the return at once."""
    port = free_port()
    with served(gunicorn(port, "--threads", "4"), port, environment(account(sandbox))) as server:
        server.wait_until_it_answers("/process")
        assert sandbox.wait_for_connections(1, DEADLINE)
        found: List[Tuple[str, Any]] = []
        reader = threading.Thread(target=read_events, args=(f"{server.url}/cometchat/events", found), daemon=True)
        reader.start()
        assert eventually(lambda: found[-1:] == [("status", "connected")]), found
        sandbox.refuse_connections()
        sandbox.drop_connections()
        assert eventually(lambda: found[-1] == ("status", "connecting")), found
        sandbox.accept_connections()
        assert eventually(lambda: found[-1] == ("status", "connected")), found
        assert server.terminate() < SOON, "an open stream holds no worker"
        reader.join(DEADLINE)
