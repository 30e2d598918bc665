"""Runs the application of ``flask_app`` in gunicorn, in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Optional, TypeVar

import pytest

from cometchat.sandbox import Sandbox

UID = "cometchat-uid-1"

#: Seconds. What has to happen has happened by then, on a slow machine too.
DEADLINE = 15.0

T = TypeVar("T")


def config(sandbox: Sandbox, **more: Any) -> Dict[str, Any]:
    """What an application's settings say of a user of the sandbox."""
    return {
        "APP_ID": sandbox.app_id,
        "ADMIN_HOST": sandbox.url,
        "CLIENT_HOST": sandbox.url,
        "UID": UID,
        "AUTH_KEY": sandbox.auth_key,
        **more,
    }


def free_port() -> int:
    """A port that was free a moment ago, on 127.0.0.1."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(look: Callable[[], T], deadline: float = DEADLINE) -> T:
    """Look again and again, until what is seen is true; the last look is returned."""
    end = time.monotonic() + deadline
    pause = threading.Event()
    while True:
        seen = look()
        if seen or time.monotonic() > end:
            return seen
        pause.wait(0.02)


class Site:
    """gunicorn with the application. ``stop()`` and ``start()`` as often as wanted, on one port."""

    def __init__(self, settings: Dict[str, Any], folder: Path, *arguments: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._settings = settings
        self._log = folder / f"gunicorn-{self.port}.log"
        self._arguments = arguments
        self._process: Optional[subprocess.Popen[bytes]] = None

    def start(self) -> Site:
        command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{self.port}"]
        command += ["--chdir", str(Path(__file__).parent), "--graceful-timeout", "1", *self._arguments]
        kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "flask_app:create_app()"],
                stdout=log,
                stderr=log,
                env={**kept, "SITE_COMETCHAT": json.dumps(self._settings)},
                start_new_session=True,
            )
        assert eventually(self._answers), self.log()
        return self

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 0.2):
                return True
        except OSError:
            return False

    def get(self, path: str) -> Any:
        """The JSON of an address; of a refusal too."""
        return self.fetch(path)[1]

    def fetch(self, path: str, method: str = "GET") -> Any:
        """(status, JSON or None) of an address."""
        request = urllib.request.Request(self.url + path, method=method)
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
                return answer.status, json.loads(answer.read() or "null")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or "null")

    def kill(self) -> None:
        """As a machine that fails: every process of it, at once."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(DEADLINE)
        self._process = None

    def stop(self) -> float:
        """As an operator does: SIGTERM. Returns the seconds it took."""
        if self._process is None:
            return 0.0
        begin = time.monotonic()
        self._process.terminate()
        try:
            self._process.wait(DEADLINE)
        finally:
            if self._process is not None and self._process.poll() is None:
                self.kill()
        self._process = None
        return time.monotonic() - begin

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")


@contextlib.contextmanager
def site(settings: Dict[str, Any], folder: Path, *arguments: str) -> Iterator[Site]:
    """A site for the time of a ``with`` block."""
    pytest.importorskip("gunicorn", reason="gunicorn is not installed: it comes with [test], and not on Windows")
    running = Site(settings, folder, *arguments)
    try:
        yield running.start()
    finally:
        running.stop()
