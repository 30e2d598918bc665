"""The runner of the programs: a process with lines to wait for and a timed end, and a server's process."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Dict, List, Optional, Set, Type

import pytest
from integration.conftest import eventually

from cometchat.sandbox import Sandbox

HERE = Path(__file__).parent

#: Maximum wait for an event, in seconds, also on a busy machine, where a program may take more than 20 s to start.
DEADLINE = 60.0


def environment(sandbox: Sandbox, folder: Path, **settings: Any) -> Dict[str, str]:
    """Return the environment of the programs, without coverage, which would take its own time at the end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    kept.update(
        SANDBOX_URL=sandbox.url,
        SANDBOX_APP_ID=sandbox.app_id,
        SANDBOX_AUTH_KEY=sandbox.auth_key,
        SANDBOX_DIARY=str(folder / "diary"),
        SANDBOX_SETTINGS=json.dumps(settings),
        PYTHONPATH=path,
        PYTHONFAULTHANDLER="1",
        HOME=str(folder),  # the folder of gunicorn's socket
    )
    if sandbox.ca_certs is not None:
        kept["SANDBOX_CA"] = sandbox.ca_certs
    return kept


def diary(folder: Path) -> Dict[int, List[str]]:
    """Return the recorded callbacks, by process."""
    heard: Dict[int, List[str]] = {}
    with contextlib.suppress(FileNotFoundError):
        for line in (folder / "diary").read_text().splitlines():
            pid, name = line.split()
            heard.setdefault(int(pid), []).append(name)
    return heard


class Program:
    """A program of this folder. ``ended_at`` is the monotonic time of its end.

    :param arguments: the file's name and its arguments.
    """

    def __init__(self, arguments: List[str], env: Dict[str, str], folder: Path) -> None:
        self._errors = open(folder / "stderr", "w+", encoding="utf-8", errors="replace")
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / arguments[0]), *arguments[1:]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            bufsize=1,
            env=env,
            cwd=folder,
        )
        self.pid = self._process.pid
        self.ended_at = 0.0
        self._lines: queue.SimpleQueue[Optional[str]] = queue.SimpleQueue()
        self._said: List[str] = []
        self._threads = [
            threading.Thread(target=act, name="test-program", daemon=True) for act in (self._read, self._wait)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if self._process.returncode is None:
            self._process.kill()
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()  # children that are left and wait continue then
        for thread in self._threads:
            thread.join(DEADLINE)
        self._process.stdout.close()
        self._errors.close()

    def expect(self, start: str) -> str:
        """Return the next line that starts in this way."""
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no line {start!r}:\n{self._traces()}") from None
            if line is None:
                raise AssertionError(f"it ended before the line {start!r}:\n{self.errors()}")
            if line.startswith(start):
                return line

    def said(self) -> List[str]:
        """Return all of its lines, after its end."""
        self._threads[0].join(DEADLINE)
        return list(self._said)

    def go_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def send(self, signum: int) -> None:
        self._process.send_signal(signum)

    @staticmethod
    def clock() -> float:
        """Return the time of the clock of ``ended_at`` and of the programs. All processes share it."""
        return time.monotonic()

    def end(self) -> int:
        """Wait for its end, and return the exit code. If it hangs, the error says where."""
        self._threads[1].join(DEADLINE)
        if self._threads[1].is_alive():
            raise AssertionError(f"it does not end:\n{self._traces()}")
        return self._process.returncode

    def errors(self) -> str:
        """Return its standard error so far."""
        self._errors.seek(0)
        return self._errors.read()

    def _traces(self) -> str:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGABRT)
        self._threads[1].join(DEADLINE)
        return self.errors()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.append(line.rstrip("\n"))
            self._lines.put(self._said[-1])
        self._lines.put(None)

    def _wait(self) -> None:
        self._process.wait()
        self.ended_at = time.monotonic()


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket, so that no other process can take its port."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Server:
    """A server with a master process and workers, in a separate session.

    :param command: ``SOCKET`` in it is replaced by the path of the socket to listen on.
    """

    def __init__(self, sandbox: Sandbox, command: List[str], **settings: Any) -> None:
        self.sandbox = sandbox
        # Not pytest's folder, since the path of a Unix socket has at most 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="cometchat-"))
        self.socket = str(self.folder / "s")
        self.log_file = self.folder / "log"
        with open(self.log_file, "wb") as log:
            self._process = subprocess.Popen(
                [word.replace("SOCKET", self.socket) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**environment(sandbox, self.folder, **settings), "CELERY_FOLDER": str(self.folder)},
                cwd=self.folder,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(DEADLINE)
        if error is not None:
            print(f"the server's log:\n{self.log()}")
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def diary(self) -> Dict[int, List[str]]:
        return diary(self.folder)

    def workers(self) -> Set[int]:
        """Return the processes below the master."""
        psutil = pytest.importorskip("psutil")
        with contextlib.suppress(psutil.NoSuchProcess):
            return {child.pid for child in psutil.Process(self.pid).children(recursive=True)}
        return set()

    def ask(self, pid: int) -> Dict[str, Any]:
        """Return the answer of one worker. The others are stopped meanwhile, so that none of them takes the request."""
        others = self.workers() - {pid}
        for other in others:
            os.kill(other, signal.SIGSTOP)
        try:
            assert eventually(lambda: all(map(is_stopped, others)))  # kill() does not wait for that
            connection = UnixConnection(self.socket, DEADLINE)
            connection.request("GET", "/")
            answer: Dict[str, Any] = json.loads(connection.getresponse().read())
            connection.close()
        finally:
            for other in others:
                os.kill(other, signal.SIGCONT)
        assert answer["pid"] == pid
        return answer

    def terminate(self) -> float:
        """Send SIGTERM to the master, like an init system. Returns the seconds to its end, with exit code 0."""
        started = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        self._ends_well()
        return time.monotonic() - started

    def signal_all(self, signum: int) -> None:
        """Send a signal to the master and the workers at once, as a terminal does. The master ends with code 0."""
        os.killpg(self.pid, signum)
        self._ends_well()

    def _ends_well(self) -> None:
        assert self._process.wait(DEADLINE) == 0, self.log()


def is_stopped(pid: int) -> bool:
    """Return True if SIGSTOP has stopped the process, or if the system does not report this (Linux does)."""
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "T"


def idle_workers(stats: str) -> int:
    """Return how many workers of uWSGI have loaded the application, and are not inside a request.

    Only in such a worker uWSGI finalizes Python at the end, so that the clients close.

    :param stats: the path of the socket of ``--stats``. The master answers there.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(DEADLINE)
        try:
            connection.connect(stats)
        except (FileNotFoundError, ConnectionRefusedError):
            return 0  # the master is still starting
        told = json.loads(b"".join(iter(lambda: connection.recv(65536), b"")))
    return sum(worker["accepting"] == 1 and worker["status"] == "idle" for worker in told["workers"])


def owners(sandbox: Sandbox, processes: Set[int]) -> Dict[int, Set[int]]:
    """Return, for each WebSocket of the sandbox by the client's port, the processes that have its other end open."""
    psutil = pytest.importorskip("psutil")
    service = sandbox._service
    assert service is not None
    peers = [connection.transport.get_extra_info("peername") for connection in list(service.connections)]
    found: Dict[int, Set[int]] = {peer[1]: set() for peer in peers if peer is not None}
    for pid in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            look = getattr(process, "net_connections", None) or process.connections
            for connection in look(kind="tcp"):
                if connection.raddr and connection.laddr.port in found and connection.raddr.port == sandbox.port:
                    found[connection.laddr.port].add(pid)
    return found
