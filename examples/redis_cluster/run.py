"""Start three processes that share one connection, and kill the process that holds it.

    python examples/redis_cluster/run.py

It starts Redis (``redis-server`` must be installed), a sandbox and the processes, each a ``worker.py``, and shows their
output. It kills the process that holds the connection, shows how another process takes over, stops Redis, starts it
again, and ends. ``pip install ".[sandbox,redis]"``. For another number of processes: ``run.py 5``.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Dict, Iterable, List

from cometchat.sandbox import Sandbox

WORKER = Path(__file__).with_name("worker.py")

#: Maximum wait for an expected event, in seconds.
PATIENCE = 30.0


class Worker:
    """A process, with its last reported status."""

    def __init__(self, number: int, env: Dict[str, str], show: "Show") -> None:
        self.number = number
        self.status = "started"
        self._show = show
        self.process = subprocess.Popen([sys.executable, str(WORKER)], stdout=subprocess.PIPE, text=True, env=env)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def connected(self) -> bool:
        return self.status.startswith("connected")

    @property
    def holds(self) -> bool:
        return "holds" in self.status

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            self._show_all(lines)

    def _show_all(self, lines: Iterable[str]) -> None:
        for line in lines:
            if not line.startswith(("message", "error")):
                self.status = line.strip()
            self._show.line(f"process {self.number}: {line.strip()}")


class Show:
    """Prints lines with the time, and waits for events."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._changed = threading.Condition()

    def line(self, text: str) -> None:
        with self._changed:
            print(f"{time.monotonic() - self._began:6.2f} s  {text}", flush=True)
            self._changed.notify_all()

    def until(self, predicate) -> None:  # type: ignore[no-untyped-def]
        with self._changed:
            if not self._changed.wait_for(predicate, PATIENCE):
                raise SystemExit("an expected event did not happen")


def start_redis(port: int) -> "subprocess.Popen[bytes]":
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("redis-server is not installed (Debian, Ubuntu: apt-get install redis-server)")
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def main(count: int) -> None:
    show = Show()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    workers: List[Worker] = []
    with Sandbox() as sandbox:
        redis = start_redis(port)
        env = {
            **os.environ,
            "COMETCHAT_APP_ID": sandbox.app_id,
            "COMETCHAT_UID": "cometchat-uid-1",
            "COMETCHAT_AUTH_KEY": sandbox.auth_key,
            "COMETCHAT_ADMIN_HOST": sandbox.url,
            "COMETCHAT_CLIENT_HOST": sandbox.url,
            "REDIS_URL": f"redis://127.0.0.1:{port}/0",
        }
        try:
            for number in range(1, count + 1):
                workers.append(Worker(number, env, show))
            show.until(lambda: all(worker.connected for worker in workers))
            show.line(f"--- all are connected; the service sees {sandbox.connections} connection")
            (leader,) = [worker for worker in workers if worker.holds]
            workers.remove(leader)
            show.line(f"--- kill -9 of process {leader.number}, which holds the connection")
            leader.kill()
            show.until(lambda: all(worker.connected for worker in workers) and any(worker.holds for worker in workers))
            show.line(f"--- another holds it; the service sees {sandbox.connections} connection")
            show.line("--- Redis is killed")
            redis.kill()
            redis.wait()
            show.until(lambda: all(worker.status == "disconnected" for worker in workers))
            show.line("--- no process knows the leader, and all report it. Redis restarts, empty")
            redis = start_redis(port)
            show.until(lambda: all(worker.connected for worker in workers))
            show.line(f"--- all are connected again; the service sees {sandbox.connections} connection")
        finally:
            redis.kill()
            redis.wait()
            for worker in workers:
                worker.kill()


if __name__ == "__main__":
    for signum in (signal.SIGINT, signal.SIGTERM):  # end the processes too
        signal.signal(signum, lambda number, frame: sys.exit(128 + number))
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
