"""What the tests of the Django app share: Django set up in this process, and servers in processes of their own."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from cometchat.sandbox import Sandbox

HERE = Path(__file__).resolve().parent
MANAGE = str(HERE / "django_project" / "manage.py")
SETTINGS = "DJANGO_SETTINGS_MODULE"
UID = "cometchat-uid-1"

#: Seconds: the longest wait for anything.
DEADLINE = 20.0


def set_up() -> None:
    """Django, once in this process; the environment, its time zone too, is left as it was."""
    if str(HERE) not in sys.path:  # where the project is
        sys.path.insert(0, str(HERE))
    before = {name: os.environ.get(name) for name in (SETTINGS, "TZ", "TEST_DATABASE")}
    os.environ[SETTINGS] = "django_project.settings"
    if str(HERE) not in sys.path:  # where the project is; the folder itself is a package of tests
        sys.path.append(str(HERE))
    # A file: Django does not close the connections of a database in memory.
    os.environ["TEST_DATABASE"] = str(Path(tempfile.gettempdir()) / f"django-tests-{os.getpid()}.sqlite3")
    atexit.register(Path(os.environ["TEST_DATABASE"]).unlink, missing_ok=True)
    try:
        import django

        django.setup()
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        if hasattr(time, "tzset"):
            time.tzset()


def account(sandbox: Sandbox, **more: Any) -> Dict[str, Any]:
    """The setting COMETCHAT that leads to a sandbox."""
    return {
        "APP_ID": sandbox.app_id,
        "ADMIN_HOST": sandbox.url,
        "CLIENT_HOST": sandbox.url,
        "UID": UID,
        "AUTH_KEY": sandbox.auth_key,
        **more,
    }


def environment(setting: Optional[Dict[str, Any]], **more: str) -> Dict[str, str]:
    """Of a process with the project: nothing of the developer's own account, proxies and settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("COMETCHAT_") and not name.lower().endswith("_proxy")
    }
    if setting is not None:
        kept["TEST_COMETCHAT"] = json.dumps(setting)
    return {**kept, SETTINGS: "django_project.settings", "PYTHONPATH": str(HERE), "PYTHONUNBUFFERED": "1", **more}


def manage(
    *arguments: str, setting: Optional[Dict[str, Any]] = None, **more: str
) -> "subprocess.CompletedProcess[str]":
    """Run ``manage.py``, to its end."""
    command = [sys.executable, "-W", "error", MANAGE, *arguments]
    env = environment(setting, **more)
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=DEADLINE)


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def eventually(predicate: Callable[[], Any], timeout: float = DEADLINE) -> Any:
    """The predicate's first truthy value, or its last falsy one."""
    deadline, never = time.monotonic() + timeout, threading.Event()
    while True:
        value = predicate()
        if value or time.monotonic() >= deadline:
            return value
        never.wait(0.01)


class Server:
    """A web server in a process of its own, on a port of its own."""

    def __init__(self, command: Sequence[str], port: int, env: Dict[str, str]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=env,
            cwd=str(HERE),
            start_new_session=True,  # so that no worker can be left behind
        )
        self.lines: List[str] = []
        self._reader = threading.Thread(target=self._read, name="test-reader", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def get(self, path: str) -> Tuple[int, str]:
        """(status, body) of one request on a connection of its own."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=DEADLINE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def wait_until_it_answers(self, path: str = "/process") -> Dict[str, Any]:
        def ask() -> Any:
            assert self._process.poll() is None, self.output
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                return self.get(path)

        answer = eventually(ask)
        assert answer and answer[0] == 200, (answer, self.output)
        found: Dict[str, Any] = json.loads(answer[1])
        return found

    def terminate(self, number: int = signal.SIGTERM) -> float:
        """Ask it to end; seconds that it took."""
        begun = time.monotonic()
        self._process.send_signal(number)
        self._process.wait(DEADLINE)
        return time.monotonic() - begun

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(5)
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._reader.join(5)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError):
            for line in self._process.stdout:
                self.lines.append(line)


@contextlib.contextmanager
def served(command: Sequence[str], port: int, env: Dict[str, str]) -> Iterator[Server]:
    """A server that is ended in the end."""
    server = Server(command, port, env)
    try:
        yield server
    finally:
        server.close()
