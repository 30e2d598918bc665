"""The shared parts of the tests of web applications: a sandbox's account, and servers in separate processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import pytest
from integration import conftest
from integration.conftest import UID
from integration.conftest import unused_port as free_port
from processes import DEADLINE, plain

from cometchat.sandbox import Sandbox

__all__ = [
    "DEADLINE",
    "HERE",
    "UID",
    "Server",
    "account",
    "eventually",
    "free_port",
    "gunicorn",
    "plain",
    "served",
    "uwsgi",
]

HERE = Path(__file__).resolve().parent


def eventually(predicate: Callable[[], Any], timeout: float = DEADLINE) -> Any:
    """Return the predicate's first truthy value, or its last falsy one.

    It is called seldom enough for requests to a server.
    """
    return conftest.eventually(predicate, timeout, pause=0.01)


def account(sandbox: Sandbox, **more: Any) -> Dict[str, Any]:
    """Return the setting COMETCHAT for a sandbox."""
    return {
        "APP_ID": sandbox.app_id,
        "ADMIN_HOST": sandbox.url,
        "CLIENT_HOST": sandbox.url,
        "UID": UID,
        "AUTH_KEY": sandbox.auth_key,
        **more,
    }


def gunicorn(application: str, port: int, *options: str) -> List[str]:
    """Return the command that serves a test's application. Skips the test if gunicorn is missing."""
    pytest.importorskip("gunicorn", reason="gunicorn is not installed: it comes with [test], and not on Windows")
    command = [sys.executable, "-m", "gunicorn", application, "--bind", f"127.0.0.1:{port}", *options]
    return [*command, "--worker-tmp-dir", "/dev/shm"] if os.path.isdir("/dev/shm") else command


def uwsgi(port: int, *options: str) -> List[str]:
    """Return the command of uWSGI with two workers. Skips the test if uWSGI is missing."""
    pytest.importorskip("pyuwsgi", reason="pyuwsgi is not installed")
    command = [sys.executable, "-c", "import sys, pyuwsgi; pyuwsgi.run()", "--http-socket", f"127.0.0.1:{port}"]
    return [*command, "--processes", "2", "--enable-threads", "--die-on-term", "--need-app", *options]


class Server:
    """A web server in a separate process, on a free port. A test may start it several times."""

    def __init__(self, command: Sequence[str], port: int, env: Dict[str, str]) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._command = command
        self._env = env
        self._process: Optional["subprocess.Popen[bytes]"] = None
        self._printed = tempfile.NamedTemporaryFile()
        self._output = ""  # after close()

    def start(self) -> None:
        with open(self._printed.name, "ab") as printed:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=str(HERE),
                start_new_session=True,  # so that no worker is left behind
            )

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None
        return self._process

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> str:
        """The output until now. It is in a file, so no thread of the test can be late with it."""
        return self._output if self._printed.closed else Path(self._printed.name).read_text("utf-8", "replace")

    def fetch(self, path: str, method: str = "GET") -> Tuple[int, str]:
        """Return (status, body) of one request on a separate connection."""
        request = urllib.request.Request(self.url + path, method=method)
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def get(self, path: str) -> Any:
        """Return the JSON of an address, also of a refusal."""
        return json.loads(self.fetch(path)[1])

    def wait_until_it_answers(self, path: str) -> Any:
        """Return the JSON of an address, as soon as it answers."""

        def ask() -> Any:
            assert self.process.poll() is None, self.output
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                return self.fetch(path)

        answer = eventually(ask)
        assert answer and answer[0] == 200, (answer, self.output)
        return json.loads(answer[1])

    def wait_until_it_listens(self) -> None:
        """Wait until the server accepts connections, without a request to the application."""

        def listens() -> bool:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.2):
                return True
            return False

        assert eventually(listens), self.output

    def terminate(self, number: int = signal.SIGTERM) -> float:
        """Ask it to end. Returns the seconds that it took."""
        begun = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(DEADLINE)
        return time.monotonic() - begun

    def kill(self) -> None:
        """Kill all of its processes at once, like a failing machine."""
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        else:
            self.process.kill()
        self.process.wait(DEADLINE)

    def close(self) -> None:
        """End it, cleanly if possible."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
        self.kill()
        self._output = self.output
        self._printed.close()


@contextlib.contextmanager
def served(command: Sequence[str], port: int, env: Dict[str, str]) -> Iterator[Server]:
    """Yield a server, and end it at the end."""
    server = Server(command, port, env)
    server.start()
    try:
        yield server
    finally:
        server.close()
