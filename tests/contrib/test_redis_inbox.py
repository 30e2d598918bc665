"""Workers on one machine that share a connection by Redis, and the file of the durable inbox."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import List, Tuple

import pytest
from integration.conftest import (  # noqa: F401 - fixtures
    OTHER_UID,
    UID,
    eventually,
    no_thread_left,
    plain_environment,
    sandbox,
)
from integration.inbox_bot import has_begun

from cometchat import Client, FileSessionStore
from cometchat.sandbox import Sandbox

from .redis_support import RedisServer, redis_server  # noqa: F401 - fixture
from .support import DEADLINE, HERE

pytest.importorskip("redis")

WORKERS, KILLS, BETWEEN = 3, 4, 25


def begun(log: Path) -> List[Tuple[int, int]]:
    """The numbers of the messages with which a callback began, in any worker, and the process ids of the workers."""
    lines = log.read_text().splitlines() if log.exists() else []
    words = [line.split() for line in lines if line.startswith("begin")]
    return [(int(number), int(pid)) for _, number, pid in words]


@pytest.mark.timeout(120)
def test_workers_that_are_killed(
    sandbox: Sandbox, redis_server: RedisServer, tmp_path: Path  # noqa: F811 - fixtures
) -> None:
    """One worker at a time handles messages: each in order, none skipped, only the one in progress repeated."""
    seed = Client(sandbox.app_id, sandbox.settings(session_store=FileSessionStore(tmp_path / "session.json")))
    seed.login(UID, sandbox.auth_key)
    seed.close()
    program = str(HERE.parent / "integration" / "inbox_bot.py")
    command = [sys.executable, program, sandbox.url, sandbox.app_id, str(tmp_path), redis_server.url]
    numbers, log = itertools.count(), tmp_path / "log"

    def send() -> int:
        for _ in range(BETWEEN):
            number = next(numbers)
            sandbox.send_message(OTHER_UID, UID, str(number))
        return number

    def answers() -> List[str]:
        return [message["data"]["text"] for message in sandbox.messages if message["sender"] == UID]

    workers = [subprocess.Popen(command) for _ in range(WORKERS)]
    try:
        assert eventually(lambda: has_begun(tmp_path / "inbox.db"), DEADLINE)
        for _ in range(KILLS):
            newest = send()
            assert eventually(lambda: begun(log) and begun(log)[-1][0] > newest - 5, DEADLINE), begun(log)
            (victim,) = [worker for worker in workers if worker.pid == begun(log)[-1][1]]
            victim.kill()
            victim.wait(DEADLINE)
            send()
            workers[workers.index(victim)] = subprocess.Popen(command)
        newest = send()
        assert eventually(lambda: len(answers()) == newest + 1, 2 * DEADLINE), answers()
    finally:
        for worker in workers:
            worker.kill()
            worker.wait(DEADLINE)
    found = [number for number, _ in begun(log)]
    assert len({pid for _, pid in begun(log)}) > KILLS
    assert [number for number, _ in itertools.groupby(found)] == list(range(newest + 1))
    assert len(found) <= newest + 1 + KILLS
    assert answers() == [f"re {number}" for number in range(newest + 1)]
