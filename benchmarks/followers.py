"""Figures of processes that share one connection over Redis, against redis-py's pub/sub with json.loads.

The hand-written peer of a follower is a subscriber. It is measured twice: with a hand-written leader, a loop that reads
the WebSocket and publishes each frame, and with a server that publishes straight in Redis. Only the first one does the
same job. The second one has one process less on the way.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import statistics
import subprocess
import time
from functools import partial
from typing import Any, Dict, Iterator, List, Optional, Tuple

from .follower import CHANNEL
from .harness import Context, Measured, Result, Row, Server, alternate, at_most, ratio, result_of, start

NAMES = {
    "sdk": "cometchat",
    "led": "a hand-written leader, redis-py and json.loads",
    "plain": "redis-py and json.loads, without a leader",
}

#: Peer -> its name in the rows.
PEERS = {"led": "to a hand-written fleet", "plain": "to redis-py without a leader"}

#: Name -> the leader's process and the followers'.
PROCESSES: Dict[str, Tuple[Optional[str], str]] = {
    "sdk": ("sdk-lead", "sdk"),
    "led": ("plain-lead", "plain"),
    "plain": (None, "plain"),
}


@contextlib.contextmanager
def redis_server() -> Iterator[int]:
    """Run Debian's Redis without persistence. Yields its port."""
    program = shutil.which("redis-server")
    if program is None:
        raise RuntimeError("redis-server is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    process = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""], stdout=subprocess.DEVNULL
    )
    try:
        ends = time.monotonic() + 10.0
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
                break
            if time.monotonic() > ends:
                raise RuntimeError("redis-server does not start")
        yield port
    finally:
        process.kill()
        process.wait()


class Fleet:
    """A number of following processes, and the sender of their events."""

    def __init__(self, server: Server, redis_port: int, count: int) -> None:
        self._server = server
        self._redis_port = redis_port
        self._count = count

    def measure(self, name: str, processes: int, rate: float) -> Dict[str, float]:
        """Return the CPU microseconds of an event in one process, and the median latency in microseconds."""
        lead, follower = PROCESSES[name]
        with contextlib.ExitStack() as stack:
            if lead is not None:
                leader = self._process(lead, stdin=subprocess.PIPE)
                stack.callback(leader.communicate)
                stack.callback(leader.kill)
                _await_ready(leader)
                self._server.do("wait")
            fleet = [self._process(follower) for _ in range(processes)]
            for each in fleet:
                stack.callback(each.kill)
            for each in fleet:
                _await_ready(each)
            if lead is not None:
                self._server.do("pace", count=self._count, rate=rate)
            else:
                self._server.do("publish", port=self._redis_port, channel=CHANNEL, count=self._count, rate=rate)
            found = [result_of(each) for each in fleet]
        cpu = statistics.mean(each["cpu"] for each in found) / self._count * 1e6
        return {"cpu": cpu, "p50": statistics.median(each["latencies"][self._count // 2] for each in found) / 1e3}

    def _process(self, name: str, **options: Any) -> "subprocess.Popen[str]":
        address = f"redis://127.0.0.1:{self._redis_port}/0"
        return start("benchmarks.follower", name, address, str(self._server.port), str(self._count), **options)


def _await_ready(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        raise RuntimeError(f"{process.args!r} is not ready")


def followers(processes: int, rate: float, context: Context) -> Result:
    """Measure paced presence events to many processes: the CPU of one, and the time from the server to the callback."""
    processes, count = (2, 200) if context.quick else (processes, int(rate * 4))
    found: Dict[str, List[Dict[str, float]]] = {name: [] for name in NAMES}
    with redis_server() as redis_port, Server() as server:
        fleet = Fleet(server, redis_port, count)

        def measure(name: str) -> float:
            found[name].append(fleet.measure(name, processes, rate))
            return 0.0

        alternate(list(NAMES), measure, context.runs, context.say)
    rows: List[Row] = []
    for what, title, target in (("cpu", "CPU of a follower", 1.5), ("p50", "median latency of followers", 2.0)):
        values = {name: [each[what] for each in found[name]] for name in NAMES}
        title = f"{title}, {processes} processes at {rate:g}/s"
        for peer, called in PEERS.items():
            rows.append(at_most(f"{title}: {called}", target, ratio(values["sdk"], values[peer]).median))
    numbers = {
        f"{title}, {what}": Measured.of([each[key] for each in found[name]])
        for key, what in (("cpu", "CPU of an event"), ("p50", "median latency"))
        for name, title in NAMES.items()
    }
    return Result(rows, numbers, "us")


FIGURES: Dict[str, Any] = {
    "followers-8-500": partial(followers, 8, 500.0),
    "followers-8-2000": partial(followers, 8, 2000.0),
    "followers-40-500": partial(followers, 40, 500.0),
}
