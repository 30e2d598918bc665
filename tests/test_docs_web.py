"""The first steps of docs/django.rst and docs/flask.rst, exactly as on the pages, lead to a green light."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

import pytest

from cometchat.sandbox import Sandbox

DOCS = Path(__file__).resolve().parent.parent / "docs"
ME, OTHER = "cometchat-uid-1", "cometchat-uid-2"

#: Maximum time of each step, in seconds.
DEADLINE = 30.0


@pytest.fixture
def service() -> Iterator[Tuple[Sandbox, Dict[str, str]]]:
    """A sandbox, and an environment with only the variables of its ``export`` lines."""
    others = ("COMETCHAT_", "DJANGO_", "FLASK_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    env["PYTHONPATH"] = str(DOCS.parent)
    with Sandbox() as sandbox:
        env.update(COMETCHAT_APP_ID=sandbox.app_id, COMETCHAT_UID=ME, COMETCHAT_AUTH_KEY=sandbox.auth_key)
        env.update(COMETCHAT_ADMIN_HOST=sandbox.url, COMETCHAT_CLIENT_HOST=sandbox.url)
        yield sandbox, env


def write_files(page: str, folder: Path) -> List[str]:
    """Write each block of a page to the file that its first line names. Settings are added to those of the project."""
    text = (DOCS / page).read_text(encoding="utf-8")
    names = []
    for found in re.finditer(r"^( *)\.\. code-block:: \w+\n\n((?:\1    .*\n|\n)+)", text, re.MULTILINE):
        block = textwrap.dedent(found[2])
        name = re.match(r"(?:#|<!--) (\S+\.(?:py|html))\b", block)
        if name:
            names.append(name[1])
            (folder / name[1]).parent.mkdir(parents=True, exist_ok=True)
            with (folder / name[1]).open("a" if name[1].endswith("settings.py") else "w", encoding="utf-8") as file:
                file.write(block)
    return names


def test_the_light_of_a_new_django_project(service: Tuple[Sandbox, Dict[str, str]], tmp_path: Path) -> None:
    """After ``startproject``, the page's blocks are enough for a green light."""
    names = new_django_project(service[1], tmp_path)
    assert names == [
        "mysite/settings.py",
        "mysite/urls.py",
        "mysite/templates/index.html",
        "mysite/management/commands/notify.py",
        "mysite/asgi.py",
    ]
    port = unused_port()
    the_light_is_green(service, [sys.executable, "manage.py", "runserver", "--noreload", str(port)], port, tmp_path)


def test_a_command_of_a_django_project(service: Tuple[Sandbox, Dict[str, str]], tmp_path: Path) -> None:
    """The page's command sends a message. If it can't connect, it ends with the reason, and with 1."""
    sandbox, env = service
    new_django_project(env, tmp_path)
    command = [sys.executable, "manage.py", "notify", OTHER, "Hello"]
    subprocess.run(command, cwd=tmp_path, env=env, check=True, timeout=DEADLINE)
    sandbox.expect_message(text="Hello", sender=ME, receiver=OTHER)
    program = tmp_path / "mysite" / "management" / "commands" / "notify.py"
    program.write_text(program.read_text().replace("timeout=10", "timeout=3"))
    env["COMETCHAT_AUTH_KEY"] = "another"
    ended = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=DEADLINE)
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    assert "CommandError: not connected: AUTH_ERR_APIKEY_NOT_FOUND" in ended.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no SIGTERM")
def test_uvicorn_closes_the_connection(service: Tuple[Sandbox, Dict[str, str]], tmp_path: Path) -> None:
    """With the page's ``asgi.py``, uvicorn's end by SIGTERM sends a close frame."""
    pytest.importorskip("uvicorn")
    sandbox, env = service
    new_django_project(env, tmp_path)
    port = unused_port()
    command = [sys.executable, "-m", "uvicorn", "mysite.asgi:application", "--port", str(port)]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=log, stderr=log)
    try:
        assert sandbox.wait_for_connections(1, DEADLINE), (tmp_path / "log").read_text()
        page = f"http://127.0.0.1:{port}/"
        assert sandbox.wait_until(lambda: answer(page) or sandbox.typing(OTHER, ME), DEADLINE)  # see the_light_is_green
        process.terminate()
        process.wait(DEADLINE)
    finally:
        process.kill()
        process.wait(DEADLINE)
    assert sandbox.wait_for_connections(0, DEADLINE)
    assert sandbox.close_codes == [1000], (tmp_path / "log").read_text()


def new_django_project(env: Dict[str, str], folder: Path) -> List[str]:
    """Make a project in a folder, and add the page's files. Returns their names."""
    pytest.importorskip("django")
    start = [sys.executable, "-m", "django", "startproject", "mysite", "."]
    subprocess.run(start, cwd=folder, env=env, check=True, timeout=DEADLINE)
    return write_files("django.rst", folder)


def test_the_light_of_a_new_flask_application(service: Tuple[Sandbox, Dict[str, str]], tmp_path: Path) -> None:
    """One file is enough for a green light."""
    pytest.importorskip("flask")
    assert write_files("flask.rst", tmp_path) == ["app.py"]
    port = unused_port()
    the_light_is_green(service, [sys.executable, "-m", "flask", "run", "--port", str(port)], port, tmp_path)


def the_light_is_green(service: Tuple[Sandbox, Dict[str, str]], command: List[str], port: int, folder: Path) -> None:
    """Check that the server's first page has the light, and that its source says ``connected``."""
    sandbox, env = service
    site = f"http://127.0.0.1:{port}"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log)
    try:
        # The server may listen before or after its client connects. Each look makes a change of the sandbox that leads
        # to another look.
        served = sandbox.wait_until(lambda: answer(f"{site}/") or sandbox.typing(OTHER, ME), DEADLINE)
        assert served, (folder / "log").read_text()
        source = re.search(r'<cometchat-status [^>]*status-src="([^"]+)"', served)
        assert source is not None
        assert sandbox.wait_until(
            lambda: json.loads(answer(f"{site}{source[1]}"))["status"] == "connected" or sandbox.typing(OTHER, ME),
            DEADLINE,
        )
    finally:
        process.kill()
        process.wait(DEADLINE)


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answer(address: str) -> str:
    """Return the answer to a GET of the address. Empty while the server does not listen yet."""
    try:
        with urllib.request.urlopen(address, timeout=DEADLINE) as response:
            return str(response.read().decode())
    except urllib.error.URLError as error:
        if isinstance(error, urllib.error.HTTPError):
            raise
        return ""
